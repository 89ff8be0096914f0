"""Dumps of databases are brought to the controller with the bundle they belong to."""
import json
import os
import types

import deaddatabase
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, store as stores
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames, remote
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery

RAW = ('config', 'writable', 'volumes', 'binds', 'logs')


@pytest.fixture
def host(tmp_path, monkeypatch):
    deaddatabase.answer(monkeypatch)
    return deaddatabase.build(tmp_path / 'host', monkeypatch)


def dumps_of(bundle):
    return [item for item in bundle['components'] if item['kind'] == 'dump']


def deliver(host, dest, **options):
    """The bundle's facts on the controller after a delivery."""
    folder = stores.FolderStore(os.fsencode(str(dest)), b'box')
    folder.prepare()
    receiver = delivery.Receiver(folder)
    writer = types.SimpleNamespace(message=lambda value: receiver.feed(frames.message(value)), flush=lambda: None,
                                   data=lambda number, piece: receiver.feed(frames.data_head(number, len(piece)) + bytes(piece)))
    away = remote.RemoteStore(writer, folder.path, 1 << 40, [None, []], lambda number: json.loads(json.dumps(receiver.answer())))
    with registry.open_host(os.fsencode(str(host[0])), [b'/var/lib/docker']) as opened:
        writer.message({'op': 'end', 'result': run.rescue(opened, run.Request(
            os.fsencode(str(dest)), host_name='box', containers=(host[1],), compression='none', inside=away.lies_inside, **options), away)})
    receiver.close()
    assert not receiver.failed, receiver.failed
    return receiver.result()['bundles'][0]


def test_a_dump_comes_to_the_controller(host, tmp_path, monkeypatch):
    raw = deliver(host, tmp_path / 'out', include=RAW)
    bundle = deliver(host, tmp_path / 'out', include=RAW + ('dumps',))
    found = dumps_of(bundle)[0]
    assert bundle['status'] == found['status'] == 'complete' and bundle['path'] == raw['path']
    assert (found['file'], found['rows'], found['tables'], found['marks'], found['engine']) == ('dump/sqlite-1.sqlite', 8, 2, ['clean'], 'sqlite')
    assert info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]['status'] == 'verified'


def test_a_dump_that_fails_keeps_no_second_bundle_on_the_controller(host, tmp_path, monkeypatch):
    deliver(host, tmp_path / 'out', include=RAW)
    deaddatabase.answer(monkeypatch, {'code': 'DUMP_SERVER_FAILED', 'error': 'it ended'})
    bundle = deliver(host, tmp_path / 'out', include=RAW + ('dumps',))
    assert bundle['status'] == 'partial' and dumps_of(bundle)[0]['status'] == 'lost'
    assert [name for name in os.listdir(str(tmp_path / 'out' / 'box')) if not name.startswith('compose')] == [os.path.basename(bundle['path'])]
