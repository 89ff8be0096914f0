"""Ways to restore that are not the usual one: into a stopped engine's data root, over TCP with and without TLS; and what is left
of a restore that fails."""
import json
import os
import shutil
import subprocess
import sys

import pytest
from rig import scenario
from rig.engine import Engine
from test_restore import lone_volume, restore, state

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

TWO = [member('./d/', uid=999, gid=998, mode=0o2750), member('./d/f', b'data', uid=5, mode=0o600), member('./many', b'x' * 100000)]


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-containerd'])
def test_offline_into_the_data_root_of_a_stopped_engine(kind, start_engine, disk_dir):
    engine = start_engine(kind)
    root = os.fsencode(engine.data_root)
    path = lone_volume(disk_dir, 'vol', TWO)
    with pytest.raises(LifeboatError) as caught:
        restore(engine, path, offline=True, data_root=root)
    assert 'not proved to be stopped' in str(caught.value) and not os.path.exists(os.path.join(engine.data_root, 'volumes/vol'))
    engine.stop()
    for check in (True, False):
        result = restore(engine, path, offline=True, data_root=root, check=check)
        assert result['changed'] and os.path.exists(os.path.join(engine.data_root, 'volumes/vol')) is not check
    assert not restore(engine, path, offline=True, data_root=root)['changed']
    engine.start()
    assert engine.docker('volume', 'inspect', '-f', '{{.Name}} {{.Driver}}', 'vol').strip() == b'vol local'
    engine.docker('import', '-', 'base:1', stdin=scenario.base_tar())
    said = engine.docker('run', '--rm', '--network', 'none', '-v', 'vol:/v', 'base:1', 'stat', '-c', '%u %g %a %s', '/v/d', '/v/d/f')
    assert said.split()[:3] == [b'999', b'998', b'2750'] and said.split()[4:] == [b'5', b'0', b'600', b'4']


def certificates(folder):
    """{name: path} of an authority, and of keys and certificates of a server on 127.0.0.1 and of a client."""
    made = {}

    def ssl(*argv):
        subprocess.run(('openssl',) + argv, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2')
    for name, extension in (('server', 'subjectAltName=IP:127.0.0.1'), ('client', 'extendedKeyUsage=clientAuth')):
        ssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + name)
        with open(os.path.join(folder, name + '.ext'), 'w', encoding='ascii') as handle:
            handle.write(extension + '\n')
        ssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', name + '.pem',
            '-days', '2', '-extfile', name + '.ext')
    for name in ('ca.pem', 'server.pem', 'server.key', 'client.pem', 'client.key'):
        made[name] = os.path.join(folder, name)
    return made


CLIENT = """
import json, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import engineapi, plan, run
path, host, tls = json.loads(sys.argv[1])
try:
    print(json.dumps(run.restore(plan.Options(path=path.encode(), docker_host=host, use_tls=tls is not None,
                                              tls=engineapi.Tls(*tls) if tls else None))))
except engineapi.LifeboatError as exc:
    print(json.dumps({'msg': str(exc)}))
"""


def from_inside(engine, path, host, tls):
    """Result of a restore that runs in the engine's network, where its TCP ports are."""
    done = subprocess.run(['nsenter', '--target', str(engine.pid), '--net', sys.executable, '-c', CLIENT,
                           json.dumps([os.fsdecode(path), host, tls])], stdout=subprocess.PIPE, check=True,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    return json.loads(done.stdout.decode())


def listen(kind, **more):
    """An engine that is not started yet, with more in its daemon.json."""
    engine = Engine(kind)
    path = engine.outside('/etc/docker/daemon.json')
    with open(path, encoding='utf-8') as handle:
        settings = json.load(handle)
    settings.update(more)
    with open(path, 'w', encoding='utf-8') as handle:
        json.dump(settings, handle)
    return engine


def test_tcp_and_tls(disk_dir):
    """dockerd with --tlsverify on loopback; a wrong certificate on either side ends it before anything was made."""
    path = lone_volume(disk_dir, 'vol', TWO, labels={'a': 'b'})
    files = certificates(disk_dir)
    with listen('debian-overlay2', hosts=['unix:///var/run/docker.sock', 'tcp://127.0.0.1:2376'], tlsverify=True,
                tlscacert='/srv/tls/ca.pem', tlscert='/srv/tls/server.pem', tlskey='/srv/tls/server.key') as engine:
        shutil.copytree(disk_dir, engine.outside('/srv/tls'))
        engine.start()
        good = [files['ca.pem'], files['client.pem'], files['client.key'], True]
        before = state(engine)
        for tls, reason in ((['', good[1], good[2], True], 'certificate verify failed'), ([good[0], '', '', True], 'certificate'),
                            (None, '')):
            result = from_inside(engine, path, 'tcp://127.0.0.1:2376' if tls else 'tcp://127.0.0.1:2375', tls)
            assert reason in result['msg'].lower() and state(engine) == before, result
        result = from_inside(engine, path, 'tcp://127.0.0.1:2376', good)
        assert 'msg' not in result and result['volumes'][0]['way'] == 'api' and result['volumes'][0]['files'] == 2, result
        found = os.stat(os.path.join(engine.data_root, 'volumes/vol/_data/d/f'))
        assert (found.st_uid, found.st_mode & 0o777) == (5, 0o600)
        assert not from_inside(engine, path, 'tcp://127.0.0.1:2376', good)['changed']
    with listen('debian-overlay2', hosts=['unix:///var/run/docker.sock', 'tcp://127.0.0.1:2375']) as engine:
        engine.start()
        result = from_inside(engine, path, 'tcp://127.0.0.1:2375', None)
        assert 'msg' not in result and result['volumes'][0]['way'] == 'api', result
        assert engine.docker('volume', 'inspect', '-f', '{{.Labels.a}}', 'vol').strip() == b'b'


@pytest.fixture
def broken(disk_dir):
    """A bundle of a container with two volumes, the second of which is hostile at its end."""
    good = tar_bytes([ROOT, member('./good', b'x')])
    bad = tar_bytes([ROOT, member('./fine', b'x'), member('../evil', b'x')])
    return make_bundle(os.path.join(disk_dir, 'broken'), {'volumes/first.tar': good, 'volumes/second.tar': bad}, {
        'container': {'name': 'web', 'id': 'c' * 64}, 'mounts': [
            {'type': 'volume', 'name': name, 'destination': '/' + name} for name in ('first', 'second')]}, 'container')


def test_volumes_of_a_restore_that_fails_later(start_engine, disk_dir, broken):
    """The first volume is filled when the second turns out to be hostile: both are gone again, or kept if that was asked."""
    engine = start_engine('debian-overlay2')
    before = state(engine)
    with pytest.raises(LifeboatError) as caught:
        restore(engine, broken, restore=('volumes',))
    assert 'taken back' in str(caught.value) and state(engine) == before
    with pytest.raises(LifeboatError) as caught:
        restore(engine, broken, restore=('volumes',), keep_partial=True)
    assert 'is kept' in str(caught.value)
    assert os.listdir(os.path.join(engine.data_root, 'volumes/first/_data')) == ['good']
    # force replaces what is there, and puts it back when it fails
    with pytest.raises(LifeboatError):
        restore(engine, broken, restore=('volumes',), force=True)
    assert os.listdir(os.path.join(engine.data_root, 'volumes/first/_data')) == ['good']


def test_force_drops_the_old_when_told_so(start_engine, disk_dir):
    engine = start_engine('debian-overlay2')
    engine.docker('volume', 'create', 'vol')
    data = os.path.join(engine.data_root, 'volumes/vol/_data')
    with open(os.path.join(data, 'old'), 'w', encoding='ascii') as handle:
        handle.write('x')
    path = lone_volume(disk_dir, 'vol', TWO)
    checked = restore(engine, path, force=True, keep_old=False, check=True)
    assert checked['diff']['before']['volumes'] == {'vol': {'content': ['old']}} and os.listdir(data) == ['old']
    assert restore(engine, path, force=True, keep_old=False)['kept'] == []
    assert sorted(os.listdir(data)) == ['d', 'many'] and engine.docker('volume', 'ls', '-q').split() == [b'vol']


def steps(result):
    return [(step['kind'], step['name'], step['action']) for step in result['steps']]


def test_check_mode_says_exactly_what_comes(dead_root_of, start_engine, bundles):
    root, engine = dead_root_of('debian-overlay2'), start_engine('newer-containerd')
    os.makedirs(engine.outside('/srv/shop'), exist_ok=True)
    options = {'ignore': ('device_nodes',), 'restore': ('image', 'volumes', 'container', 'binds')}
    path = bundles(root)['shop-web-1']
    before = state(engine)
    checked = restore(engine, path, check=True, **options)
    assert state(engine) == before
    done = restore(engine, path, **options)
    assert steps(checked) == steps(done) and checked['diff'] == done['diff']
    again = restore(engine, path, check=True, **options)
    assert not again['changed'] and again['diff']['before'] == again['diff']['after']
