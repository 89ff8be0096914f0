"""A host without any engine: most of a fleet. It is told, quickly."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import trees


def facts(top, **options):
    with registry.open_host(os.fsencode(str(top))) as opened:
        return gather.gather(opened, gather.Options((), ['all'], **options))


def test_nothing_is_made_ready_for_a_walk(tmp_path, monkeypatch):
    monkeypatch.setattr(trees, 'Trees', None)       # a call of it fails
    found = facts(tmp_path)
    assert (found['roots'], found['containers'], found['volumes'], found['images']) == ([], [], [], [])
    assert found['orphans']['writable_layers'] == [] and 'NO_DATA_ROOT' in {item['code'] for item in found['problems']}
    assert found['summary']['volume_bytes'] == 0


def test_wrong_options_are_told_all_the_same(tmp_path):
    with pytest.raises(LifeboatError):
        facts(tmp_path, noise=[{'pattern': '', 'kind': 'nonsense'}])


def test_the_state_is_written_all_the_same(tmp_path):
    (tmp_path / 'host').mkdir()
    facts(tmp_path / 'host', state_path=str(tmp_path / 'state.json'))
    assert (tmp_path / 'state.json').exists()
