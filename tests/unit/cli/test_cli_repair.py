"""lifeboat repair: looks by default, and its exit status says what is left."""
import json
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main


@pytest.fixture
def dead(tmp_path, capfdbinary):
    expected = deadroot.build(str(tmp_path / 'var/lib/docker'), containers=4, host_root=str(tmp_path))

    def lifeboat(*words):
        status = main.main(['--host-root', str(tmp_path), 'repair'] + list(words))
        said = capfdbinary.readouterr()
        return status, said.out.decode(), said.err.decode()
    lifeboat.path, lifeboat.expected = str(tmp_path / 'var/lib/docker'), expected
    return lifeboat


def test_look_repair_and_undo(dead):
    path = os.path.join(dead.path, 'image/overlay2/repositories.json')
    with open(path, 'rb') as stream:
        names = json.loads(stream.read().decode())
    os.truncate(path, 0)
    status, out, err = dead()
    assert status == 1 and 'would REPOSITORIES' in out and 'not   REPOSITORIES' in out and '--apply' in err and os.path.getsize(path) == 0
    status, out, err = dead('--apply', '--verify', '--steps', 'REPOSITORIES')
    assert status == 0 and 'done  REPOSITORIES' in out and '4 of 4 containers are complete' in out
    with open(path, 'rb') as stream:
        assert set(json.loads(stream.read().decode())['Repositories']) == set(names['Repositories'])
    assert dead()[:2] == (0, 'Nothing is to be done.\n')
    assert dead('--revert')[:2] == (0, 'Undone.\n') and os.path.getsize(path) == 0


def test_of_a_whole_root_it_says_that_nothing_is_damaged(dead):
    status, out, dummy = dead()
    assert status == 0 and 'No record is damaged.' in out and 'web: the policy is ' in out
    os.truncate(os.path.join(dead.path, 'image/overlay2/repositories.json'), 0)
    assert 'No record is damaged.' not in dead()[1]


def test_what_stays_broken_is_status_1(dead):
    web = dead.expected.container('db')
    os.truncate(os.path.join(dead.path, 'containers', web.id, 'config.v2.json'), 0)
    status, out, dummy = dead('--apply', '--name', '%s=db' % web.id[:12])
    assert status == 1 and 'UNRESOLVED CONTAINER_CONFIG' in out and 'needs --steps' in out


def test_json_and_wrong_use(dead):
    status, out, dummy = dead('--json')
    assert status == 0 and {step['code'] for step in json.loads(out)['plan']} == {'GUARD_AUTOREMOVE', 'GUARD_RESTART'}
    assert dead('--name', 'x=y')[0] == 2 and dead('--steps', 'NOTHING')[0] == 2
