"""The module gives its options to the repair as they are, and the diff only when it is asked for."""
import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.modules import docker_root_repair


class Module:
    def __init__(self, host_root, check_mode=False, diff=False, **params):
        self.check_mode, self._diff = check_mode, diff
        self.params = dict(state='planned', host_root=host_root, data_root=None, containerd_root=None, journal_dir=None, steps=[], names={},
                           policies='keep', donor=[], verify='none')
        self.params.update(params)


@pytest.fixture
def top(tmp_path):
    deadroot.build(str(tmp_path / 'var/lib/docker'), containers=4, host_root=str(tmp_path))
    return tmp_path


def test_planned_changes_nothing(top):
    result = docker_root_repair.repair(Module(str(top)))
    assert not result['changed'] and len(result['plan']) == 3 and 'diff' not in result
    assert docker_root_repair.repair(Module(str(top), diff=True))['diff']


def test_repaired_is_idempotent_and_reverted_too(top):
    assert docker_root_repair.repair(Module(str(top), check_mode=True, state='repaired'))['changed']
    result = docker_root_repair.repair(Module(str(top), state='repaired', verify='offline', journal_dir=str(top / 'journal')))
    assert result['changed'] and result['verified']['total'] == 4 and result['journal'] == str(top / 'journal')
    assert not docker_root_repair.repair(Module(str(top), state='repaired', journal_dir=str(top / 'journal')))['changed']
    assert docker_root_repair.repair(Module(str(top), state='reverted', journal_dir=str(top / 'journal')))['changed']
    assert not docker_root_repair.repair(Module(str(top), state='reverted', journal_dir=str(top / 'journal')))['changed']
