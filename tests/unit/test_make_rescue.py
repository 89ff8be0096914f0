"""`make rescue`: what it says and what it leaves."""
import importlib.util
import os
import sys

import deadroot
import pytest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools')


@pytest.fixture(name='tool')
def load(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location('tools_rescue', os.path.join(TOOLS, 'rescue.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(tool, monkeypatch, capfd):
    """make('--sample') -> (exit status or sentence, what was printed)."""
    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['rescue'] + list(words))
        try:
            status = tool.main()
        except (SystemExit, tool.envs.Missing) as exc:
            status = exc.code if isinstance(exc, SystemExit) else str(exc)
        return status, capfd.readouterr().out
    return run


def test_a_mounted_disk(make, tmp_path, monkeypatch, tool):
    monkeypatch.setattr(tool.socket, 'gethostname', lambda: 'real')
    deadroot.build(str(tmp_path / 'host/var/lib/docker'), containers=2, host_root=str(tmp_path / 'host'))
    status, said = make('--host-root', str(tmp_path / 'host'), '--dest', str(tmp_path / 'out'))
    assert not status and '2 bundles, 2 written' in said and 'Verify by hand' in said
    assert len(os.listdir(str(tmp_path / 'out' / 'real'))) >= 2
    assert '2 bundles, 0 written' in make('--host-root', str(tmp_path / 'host'), '--dest', str(tmp_path / 'out'))[1]


def test_the_sample_where_there_is_nothing(make, tool, tmp_path, monkeypatch):
    deadroot.build(str(tmp_path / 'host/var/lib/docker'), containers=5, host_root=str(tmp_path / 'host'))
    monkeypatch.setattr(tool, 'sample', lambda: str(tmp_path / 'host'))
    monkeypatch.setattr(tool.Tool, 'facts', lambda *dummy: {'containers': [], 'problems': []})
    status, said = make('--dest', str(tmp_path / 'out'))
    assert not status and 'rescuing a sample instead' in said       # one of it is partial, which is no failure
    assert os.path.isdir(str(tmp_path / 'out' / 'sample-host'))


def test_a_folder_without_docker_is_a_failure(make, tmp_path):
    status, said = make('--host-root', str(tmp_path), '--dest', str(tmp_path / 'out'))
    assert 'Nothing was rescued' in status and 'Verify' not in said


def test_an_error_is_one_sentence(make, tmp_path):
    deadroot.build(str(tmp_path / 'var/lib/docker'), containers=1, host_root=str(tmp_path))
    status, dummy = make('--host-root', str(tmp_path), '--dest', str(tmp_path / 'var/lib/docker/out'))
    assert 'must not be written' in status and '\n' not in status


def test_a_wrong_host_root_is_said_before_anything_is_made(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'Tool', None)
    monkeypatch.setattr(sys, 'argv', ['rescue', '--host-root', str(tmp_path / 'nowhere')])
    with pytest.raises(SystemExit, match='HOST_ROOT .*nowhere is no folder'):
        tool.main()
