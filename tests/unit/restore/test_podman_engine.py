"""A restore on Podman, with an engine that remembers what it was told and shows less of it than it was asked for."""
import io
import os
import shutil
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    connect,
    engine as restoring,
    engineapi,
    plan as planning,
    podmancli,
    podmanvolumes,
    volumes,
)
from ansible_collections.lifeboat.docker.tests.unit.restore import test_plan, test_restore_engine
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, member, tar_bytes
from ansible_collections.lifeboat.docker.tests.unit.restore.test_volumes import passing

HOST = {'NetworkMode': 'none', 'RestartPolicy': {'Name': 'always', 'MaximumRetryCount': 0}, 'Sysctls': {'net.ipv4.ip_default_ttl': '77'},
        'IpcMode': 'host', 'Links': ['db:db']}


class Podman(test_restore_engine.Engine):
    """It never shows sysctls, and shows each IPC namespace as its own."""
    podman = True
    restarts = 0

    def info(self):
        return {'Plugins': {'Log': ['k8s-file']}}

    def create_container(self, name, body):
        made = test_restore_engine.Engine.create_container(self, name, body)
        host = dict((key, value) for key, value in body['HostConfig'].items() if key != 'Sysctls')
        config = dict((key, value) for key, value in body.items() if key != 'HostConfig')
        self.containers_[made[0]].update(Config=config, HostConfig=dict(host, IpcMode='shareable'), Image='sha256:1', RestartCount=self.restarts)
        return made

    def update_restart(self, *dummy):
        raise engineapi.EngineError('Not Found', 404)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return test_restore_engine.in_use(Podman(tmp_path / 'volumes'), monkeypatch)


def restore(path, **options):
    return restoring.restore(planning.Options(path=path, image='base', allow=('host_namespaces',), **options))


def codes(result):
    return sorted((item['code'], item['severity']) for item in result['problems'])


def test_each_doubt_is_a_problem_and_a_second_run_changes_nothing(engine, tmp_path):
    path = test_plan.bundle(tmp_path, HOST)
    foretold = restore(path, check=True)
    assert codes(foretold) == [('ENGINE_LACKS', 'warning')] * 2 and engine.calls == [], 'links, and a policy that needs a unit'
    first = restore(path)
    assert codes(first) == [('ENGINE_LACKS', 'warning')] * 2 + [('NOT_AS_ASKED', 'warning'), ('NOT_SHOWN', 'info')]
    said = ' '.join(item['message'] for item in first['problems'])
    assert 'links' in said and 'IpcMode as shareable (asked for: host)' in said and 'Sysctls net.ipv4.ip_default_ttl' in said
    again = restore(path)
    assert not again['changed'] and again['problems'] == first['problems']


def test_another_definition_is_another_container(engine, tmp_path):
    restore(test_plan.bundle(tmp_path, HOST))
    with pytest.raises(LifeboatError) as raised:
        restore(test_plan.bundle(tmp_path, dict(HOST, Sysctls={'net.ipv4.ip_default_ttl': '78'})))
    assert 'named web already' in str(raised.value)


def test_a_restart_policy_is_given_at_once_and_a_restart_is_no_start(engine, tmp_path):
    path = test_plan.bundle(tmp_path, HOST)
    engine.restarts = 1
    with pytest.raises(LifeboatError) as raised:
        restore(path, state='started', verify_start=True)
    assert 'web ended with status' in str(raised.value) and engine.containers_ == {}
    engine.restarts = 0
    assert restore(path, state='started', verify_start=True)['container']['state'] == 'running'
    assert engine.made['HostConfig']['RestartPolicy']['Name'] == 'always'


def test_the_one_that_was_replaced_keeps_its_policy_and_that_is_said(engine, tmp_path):
    test_restore_engine.old(engine)
    engine.containers_[test_restore_engine.OLD]['HostConfig'] = {'RestartPolicy': {'Name': 'always'}}
    result = restore(test_plan.bundle(tmp_path), force=True)
    aside = result['kept'][0]['now']
    assert any(aside in item['message'] and 'restart policy' in item['message'] for item in result['problems'])


@pytest.mark.parametrize('kind, components, refused', [
    ('podman', ['Engine'], 'is not Podman'), ('docker', ['Podman Engine', 'Conmon'], 'is Podman'), ('podman', ['Podman Engine'], ''),
    ('auto', ['Podman Engine'], ''), ('auto', [], ''), ('docker', [], '')])
def test_the_kind_of_engine_that_answers(kind, components, refused, monkeypatch):
    made = engineapi.Engine('unix:///s')
    made.version = {'Components': [{'Name': name} for name in components]}
    asked = []
    monkeypatch.setattr(engineapi, 'engine', lambda docker_host, *dummy: asked.append(docker_host) or made)
    options = planning.Options(path=b'/b', docker_host='unix:///s', engine=kind)
    if refused:
        with pytest.raises(LifeboatError) as raised:
            connect.connected(options)
        assert refused in str(raised.value)
    else:
        assert connect.connected(options) is made and made.podman is ('Podman Engine' in components)


@pytest.mark.parametrize('uid, runtime, expected', [
    (0, '/run/user/0', 'unix:///run/podman/podman.sock'), (7, '/run/user/7', 'unix:///run/user/7/podman/podman.sock'),
    (7, '', 'unix:///run/user/7/podman/podman.sock')])
def test_where_podman_listens(uid, runtime, expected, monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: uid)
    monkeypatch.setenv('XDG_RUNTIME_DIR', runtime)
    asked = []
    monkeypatch.setattr(engineapi, 'engine', lambda docker_host, *dummy: asked.append(docker_host) or Podman('/v'))
    connect.connected(planning.Options(path=b'/b', engine='podman', docker_host=engineapi.DEFAULT_HOST))
    assert asked == [expected]


def test_a_socket_that_is_not_there_says_which_unit(monkeypatch):
    def absent(*dummy):
        raise engineapi.EngineError('The engine at unix:///s does not answer.')
    monkeypatch.setattr(engineapi, 'engine', absent)
    with pytest.raises(LifeboatError) as raised:
        connect.connected(planning.Options(path=b'/b', engine='podman', docker_host='unix:///s'))
    assert 'podman.socket' in str(raised.value)


# --- volumes


class Store(object):
    """What podmanvolumes asks of volumes.Volumes and of the engine."""
    docker_host = 'unix:///s'
    podman = True
    maps = [], []

    def __init__(self, waits, ends='prepare'):
        self.engine, self.waits, self.ends, self.calls = self, waits, ends, []

    def volume_state(self, dummy):
        return {'NeedsChown': self.waits}

    def _helper(self, name):
        self.calls.append('helper of %s' % name)
        return 'h'

    def prepare(self, dummy):
        self.calls.append('prepare')
        self.waits = self.waits and self.ends != 'prepare'

    def put_archive(self, dummy, place, pieces):
        assert tarfile.open(fileobj=io.BytesIO(b''.join(pieces))).getmembers() == [] and place == volumes.PLACE
        self.calls.append('put')
        if self.ends == 'refused':
            raise engineapi.EngineError('The engine refused.', 500)
        self.waits = self.waits and self.ends != 'put'

    def _drop(self, dummy):
        self.calls.append('drop')

    def peer(self):
        return os.getpid()

    def id_maps(self):
        return self.maps


def test_what_the_first_use_of_a_volume_changes_happens_before_it_is_filled():
    volume = {'Name': 'v', 'Driver': 'local'}
    for store, calls in ((Store(True), ['prepare']), (Store(True, 'put'), ['prepare', 'drop', 'helper of v', 'put'])):         # Podman 4, Podman 5
        assert podmanvolumes.settle(store, volume, volumes.PLACE) == [] and store.calls == ['helper of v'] + calls + ['drop']
        assert podmanvolumes.settle(store, volume, volumes.PLACE) == [] and len(store.calls) == 2 + len(calls), 'once is enough'
    for ends in ('never', 'refused'):
        said, = podmanvolumes.settle(Store(True, ends), volume, volumes.PLACE)
        assert 'gets another owner' in said


def test_owners_that_went_in_over_the_api_are_looked_at(tmp_path):
    (tmp_path / 'f').write_bytes(b'x')
    own = os.stat(str(tmp_path / 'f'))
    volume = {'Name': 'v', 'Mountpoint': str(tmp_path)}
    assert podmanvolumes.check_owners(Store(False), volume, [podmancli.Owner(b'f', own.st_uid, own.st_gid)]) == []
    with pytest.raises(LifeboatError) as raised:
        podmanvolumes.check_owners(Store(False), volume, [podmancli.Owner(b'f', own.st_uid + 1, own.st_gid)])
    assert 'The engine gave f the owner' in str(raised.value)
    # in the namespace of a user
    shifted = Store(False)
    shifted.maps = [(0, 5001, 1), (1, own.st_uid, 9)], [(0, 5001, 1), (5, own.st_gid, 9)]
    assert podmanvolumes.check_owners(shifted, volume, [podmancli.Owner(b'f', 1, 5)]) == []


def test_the_ids_of_a_users_podman(monkeypatch):
    made = engineapi.Engine('unix:///s')
    answer = {'host': {'idMappings': {'uidmap': [{'container_id': 0, 'host_id': 1000, 'size': 1}], 'gidmap': [{'container_id': 1, 'host_id': 7, 'size': 2}]}}}
    monkeypatch.setattr(made, 'request', lambda *dummy, **dummies: answer)
    assert made.id_maps() == ([(0, 1000, 1)], [(1, 7, 2)])
    answer['host']['idMappings'] = None
    assert made.id_maps() == ([], [])


def test_owners_that_cannot_be_seen_are_no_silent_success(tmp_path, monkeypatch):
    monkeypatch.setattr(podmancli, 'command', lambda *dummy: None)
    said, = podmanvolumes.check_owners(Store(False), {'Name': 'v', 'Mountpoint': '/nowhere/at/all'}, [podmancli.Owner(b'f', 1, 2)])
    assert 'cannot be seen from here' in said


def test_ids_of_a_namespace():
    rows = [(0, 5001, 1), (1, 100000, 65536)]
    assert [podmancli._inner(rows, ident) for ident in (5001, 100008, 7)] == [0, 9, -1] and podmancli._inner([], 7) == 7


def test_a_link_that_leads_out_passes_where_the_engine_confines_it(tmp_path):
    raw = tar_bytes([ROOT, member('./f', b'x', uid=9, gid=10), member('./l', kind=tarfile.SYMTYPE, linkname='../../x')])
    made = passing(raw, tmp_path, confined=True)
    assert b''.join(made).count(b'../../x') == 1 and made.sample == [podmancli.Owner(b'f', 9, 10)]


def fake_podman(folder, monkeypatch, script):
    program = folder / 'podman'
    program.write_text('#!/bin/sh\n' + script)
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(folder) + os.pathsep + os.environ['PATH'])
    monkeypatch.setattr(os, 'geteuid', lambda: 7)


def test_the_command_is_believed_only_for_the_same_store(tmp_path, monkeypatch):
    fake_podman(tmp_path, monkeypatch, '[ "$6" = -- ] || [ "$5" = -- ] || exit 1\necho /store/v/_data\n')
    assert podmancli.command(Store(False), {'Name': 'v', 'Mountpoint': '/store/v/_data'}) is not None
    assert podmancli.command(Store(False), {'Name': 'v', 'Mountpoint': '/other/v/_data'}) is None
    fake_podman(tmp_path, monkeypatch, 'exit 125\n')
    assert podmancli.command(Store(False), {'Name': 'v', 'Mountpoint': '/store/v/_data'}) is None


def test_the_words_of_the_command(tmp_path, monkeypatch):
    log = tmp_path / 'log'
    fake_podman(tmp_path, monkeypatch, 'echo "$CONTAINER_HOST$*" >>%s\n[ "$2" = stat ] && echo "9 10"\nexit 0\n' % log)
    monkeypatch.setenv('CONTAINER_HOST', 'elsewhere')
    command = podmancli.Command('podman')
    assert command.owners([b'/v/-rf']) == [(9, 10)]
    command.move(b'/v/one', b'/v/two')
    assert log.read_text().splitlines() == ['unshare stat -c %u %g -- /v/-rf', 'unshare rmdir -- /v/two', 'unshare mv -n -T -- /v/one /v/two']


class Moving(Store):
    def __init__(self, folder):
        Store.__init__(self, False)
        self.folder, self.volumes = folder, {}

    def create_volume(self, name, dummy='local', options=None, labels=None):
        place = self.folder / name / '_data'
        place.mkdir(parents=True)
        self.volumes[name] = {'Name': name, 'Driver': 'local', 'Mountpoint': str(place), 'Labels': labels or {}, 'Options': options}
        return self.volumes[name]

    def volume(self, name):
        return self.volumes.get(name)

    def content(self, volume):
        return os.listdir(volume['Mountpoint'])

    def remove(self, name):
        name = name.rsplit('/', 1)[-1]
        shutil.rmtree(str(self.folder / name))
        del self.volumes[name]


def test_content_of_a_users_volume_is_moved_and_comes_back(tmp_path, monkeypatch):
    fake_podman(tmp_path, monkeypatch, '''case $1 in
volume) echo "%s/$6/_data";;
unshare) shift; "$@";;
esac
''' % tmp_path)
    store = Moving(tmp_path)
    volume = store.create_volume('v', labels={'a': 'b'})
    (tmp_path / 'v' / '_data' / 'f').write_bytes(b'x')
    kept = podmanvolumes.KeptMoved(store, volume, 'v-before', 'd' * 64, volumes.LABEL)
    assert os.listdir(str(tmp_path / 'v-before' / '_data')) == ['f'] and os.listdir(str(tmp_path / 'v' / '_data')) == []
    assert store.volumes['v']['Labels'] == {'a': 'b', volumes.LABEL: 'd' * 64} and kept.keep() == 'v-before'
    kept.restore()
    assert sorted(store.volumes) == ['v'] and os.listdir(str(tmp_path / 'v' / '_data')) == ['f'] and store.volumes['v']['Labels'] == {'a': 'b'}


def test_without_the_command_nothing_is_moved(tmp_path, monkeypatch):
    fake_podman(tmp_path, monkeypatch, 'exit 1\n')
    store = Moving(tmp_path)
    volume = store.create_volume('v')
    with pytest.raises(LifeboatError) as raised:
        podmanvolumes.KeptMoved(store, volume, 'v-before', 'd' * 64, volumes.LABEL)
    assert 'loses the owners' in str(raised.value) and sorted(store.volumes) == ['v']
