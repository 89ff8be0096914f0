"""Dumps in bundles: beside the raw data, with their checksums, and never at their cost."""
import errno
import json
import os

import deaddatabase
import pytest
from deaddatabase import SQL, answer

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.sink import SinkError
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, parts
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run as dumps
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

RAW = ('config', 'writable', 'volumes', 'binds', 'logs')


@pytest.fixture
def host(tmp_path, monkeypatch):
    answer(monkeypatch)
    return deaddatabase.build(tmp_path / 'host', monkeypatch)


def rescue(host, dest, **options):
    options.setdefault('compression', 'none')
    options.setdefault('include', RAW + ('dumps',))
    with registry.open_host(os.fsencode(str(host[0])), [b'/var/lib/docker']) as opened:
        return run.rescue(opened, run.Request(os.fsencode(str(dest)), host_name='box', containers=(host[1],), **options))


def dump_of(result):
    return next(item for item in result['bundles'][0]['components'] if item['kind'] == 'dump')


def test_a_dump_is_a_component_of_the_bundle(host, tmp_path):
    result = rescue(host, tmp_path / 'out')
    bundle, found = result['bundles'][0], dump_of(result)
    assert bundle['status'] == 'complete' and found['status'] == 'complete', result['problems']
    assert (found['name'], found['file'], found['rows'], found['tables'], found['data_path']) == (
        'dump:sqlite-1', 'dump/sqlite-1.sqlite', 8, 2, '/srv/app.db')
    folder = os.path.join(bundle['path'], 'dump')
    with open(os.path.join(folder, 'sqlite-1.sqlite'), 'rb') as raw:
        assert raw.read() == SQL
    with open(os.path.join(folder, 'sqlite-1.json')) as raw:
        assert json.load(raw)['counts'] == {'t': 7, 'u': 1}
    with open(os.path.join(folder, 'sqlite-1.log')) as raw:
        assert 'hunter2' not in raw.read()
    said = info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]
    assert said['status'] == 'verified' and dict(dump_of({'bundles': [said]}), entries=2) == dict(found)
    with open(os.path.join(bundle['path'], 'README.txt')) as raw:
        said = raw.read()
    assert 'the raw data stay the truth' in said and 'cat dump/sqlite-1.sqlite > dump.sqlite' in said
    with open(os.path.join(folder, 'sqlite-1.sqlite'), 'ab') as raw:
        raw.write(b'x')
    assert info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]['status'] == 'damaged'


def test_nothing_is_dumped_unless_somebody_asks(host, tmp_path, monkeypatch):
    calls = []
    answer(monkeypatch, calls=calls)
    result = rescue(host, tmp_path / 'out', include=run.Request(b'').include)
    assert not calls and not [item for item in result['bundles'][0]['components'] if item['kind'] == 'dump']


def test_an_unchanged_source_is_not_dumped_again(host, tmp_path, monkeypatch):
    calls = []
    answer(monkeypatch, calls=calls)
    rescue(host, tmp_path / 'out')
    assert rescue(host, tmp_path / 'out')['changed'] is False and len(calls) == 1
    again = rescue(host, tmp_path / 'out', include=RAW[:-1] + ('dumps',))       # written again for another reason
    assert again['changed'] is True and len(calls) == 1
    assert info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]['status'] == 'verified'
    rescue(host, tmp_path / 'out', force=True)
    assert len(calls) == 2


def test_a_run_without_dumps_keeps_those_of_the_same_data(host, tmp_path, monkeypatch):
    """As the role does it: raw data first, in one run, then the dumps."""
    calls = []
    answer(monkeypatch, calls=calls)
    for dummy in range(2):
        rescue(host, tmp_path / 'out', include=RAW)
        result = rescue(host, tmp_path / 'out')
    assert len(calls) == 1 and result['changed'] is False and dump_of(result)['status'] == 'complete'
    path = result['bundles'][0]['path']
    with open(os.path.join(host[2], 'srv', 'more'), 'w') as out:
        out.write('x')
    raw = rescue(host, tmp_path / 'out', include=RAW)
    assert raw['changed'] and not [item for item in raw['bundles'][0]['components'] if item['kind'] == 'dump']
    rescue(host, tmp_path / 'out')
    assert len(calls) == 2 and [name for name in os.listdir(os.path.dirname(path)) if not name.startswith('compose')] == [os.path.basename(path)]


@pytest.mark.parametrize('result, status, code', [
    ({'code': 'DUMP_SERVER_FAILED', 'error': 'the server ended with status 1'}, 'lost', 'DUMP_SERVER_FAILED'),
    ({'code': 'DUMP_NO_BINARY', 'error': 'the image has no server'}, 'unsupported', 'DUMP_NO_BINARY'),
    ({'code': '', 'error': 'TypeError: a mistake of ours'}, 'lost', 'DUMP_SERVER_FAILED'),
    ({'version': '', 'counts': {}, 'marks': [], 'partial': ['the table x']}, 'partial', 'DUMP_PARTIAL')])
def test_a_dump_that_fails_costs_nothing_but_itself(host, tmp_path, monkeypatch, result, status, code):
    rescue(host, tmp_path / 'out', include=RAW)
    answer(monkeypatch, result)
    found = rescue(host, tmp_path / 'out')
    bundle = found['bundles'][0]
    assert bundle['status'] == 'partial' and dump_of(found)['status'] == status
    assert {item['status'] for item in bundle['components'] if item['kind'] != 'dump'} == {'complete'}
    said = [item for item in found['problems'] if item['code'].startswith('DUMP')]
    assert [item['code'] for item in said] == [code] and 'raw data are in this bundle' in said[0]['next_step']
    assert info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]['status'] == 'verified'
    # the raw data that were there are these: nothing is kept beside
    assert [name for name in os.listdir(str(tmp_path / 'out' / 'box')) if not name.startswith('compose')] == [os.path.basename(bundle['path'])]
    with open(os.path.join(bundle['path'], 'README.txt')) as raw:
        assert code in ('DUMP_PARTIAL',) or 'There is no dump' in raw.read()
    answer(monkeypatch)
    assert dump_of(rescue(host, tmp_path / 'out', force=status == 'partial'))['status'] == 'complete'       # and is tried again


def test_a_full_disk_ends_the_dump_only(host, tmp_path, monkeypatch):
    def full(self, data):
        raise SinkError(b'dump', OSError(errno.ENOSPC, 'No space left on device'))
    monkeypatch.setattr(parts.Part, 'write', full)
    found = rescue(host, tmp_path / 'out')
    assert dump_of(found)['status'] == 'lost' and found['bundles'][0]['status'] == 'partial'
    assert info.inspect(os.fsencode(str(tmp_path / 'out')), True)[0]['status'] == 'verified'


def test_check_mode_says_what_forbids_it(host, tmp_path, monkeypatch):
    monkeypatch.setattr(dumps, '_reason', lambda database: ('DUMP_CONTAINER_RUNS', 'the container runs (process 1)'))
    found = rescue(host, tmp_path / 'out', check_mode=True)
    assert dump_of(found)['status'] == 'unsupported' and found['bundles'][0]['status'] == 'partial' and not (tmp_path / 'out').exists()
    assert 'DUMP_CONTAINER_RUNS' in [item['code'] for item in found['problems']]


def test_where_dest_lacks_room_the_raw_data_come_first(host, tmp_path, monkeypatch):
    needed = []
    monkeypatch.setattr(run.FolderStore, 'free', lambda self: 1 << 40)
    whole = run._needs

    def needs(*arguments):
        needed.append(whole(*arguments))
        return needed[-1]
    monkeypatch.setattr(run, '_needs', needs)
    rescue(host, tmp_path / 'one')
    enough = sum(needed[0].values()) - needed[0]['dumps'] + run.RESERVE
    monkeypatch.setattr(run.FolderStore, 'free', lambda self: enough)
    found = rescue(host, tmp_path / 'two')
    assert 'DUMP_NO_SPACE' in [item['code'] for item in found['problems']] and found['bundles'][0]['status'] == 'partial'
    assert not [item for item in found['bundles'][0]['components'] if item['kind'] == 'dump']
