"""Dead engines' containers on healthy engines of other kinds: what comes back, and what the engine says of it. LIFEBOAT_SOAK: in more
ways."""
import os
import signal
import subprocess
import sys
import time

import pytest
import rescued
from rig import fixtures

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import asks
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
from ansible_collections.lifeboat.docker.tests.unit.archive.test_unpack import HOSTILE
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

# both ways between the two stores, and from shifted owners to plain ones
PAIRS = (('debian-overlay2', 'newer-containerd'), ('newer-containerd', 'debian-overlay2'),
         ('debian-userns', 'debian-overlay2')) + fixtures.some((), [('debian-rootless', 'debian-overlay2')])
ALL = ('image', 'volumes', 'container', 'binds')
DEVICES = ('device_nodes',)              # the shop's volumes hold some
CONFIG = ('User', 'Cmd', 'Entrypoint', 'Labels', 'ExposedPorts', 'Volumes', 'WorkingDir', 'StopSignal', 'StopTimeout', 'Tty',
          'OpenStdin', 'Healthcheck', 'Shell', 'Domainname')
# HostConfig: what an engine decides by itself, and what is compared by the mounts it leads to
HOST_SKIPPED = {'Binds', 'VolumesFrom', 'ContainerIDFile', 'ConsoleSize', 'MaskedPaths', 'ReadonlyPaths', 'CgroupnsMode',
                'Runtime', 'Mounts', 'NetworkMode', 'Links', 'OomKillDisable', 'KernelMemory', 'KernelMemoryTCP',
                'MemorySwappiness', 'Isolation', 'Cgroup', 'SecurityOpt', 'CgroupParent'}


def restore(engine, path, **options):
    options.setdefault('docker_host', 'unix://' + engine.socket)
    options.setdefault('allow', asks.KINDS)     # what is refused without it: test_restore_contents.py
    return run.restore(plan.Options(path=os.fsencode(path), **options))


def inspect(engine, name):
    return engine.api('GET', '/containers/%s/json' % name)


def plain(value):
    """null, '', 0, false, [] and {} mean the same to an engine."""
    return value or None


def shown(container, names):
    """What defines a container, comparable between engines. NAMES: volumes that got another name."""
    config, host = container['Config'], container['HostConfig']
    found = {key: plain(config.get(key)) for key in CONFIG}
    found['Env'] = sorted(config.get('Env') or [])
    if config['Hostname'] != container['Id'][:12]:
        found['Hostname'] = config['Hostname']
    for key, value in host.items():
        if key not in HOST_SKIPPED:
            found['host ' + key] = plain(value)
    found['host RestartPolicy'] = plain({'': None, 'no': None}.get(host['RestartPolicy']['Name'], host['RestartPolicy']))
    found['host Ulimits'] = sorted(host.get('Ulimits') or [], key=lambda item: item['Name'])
    found['host PidsLimit'] = plain(host.get('PidsLimit') or 0)
    found['network'] = {'default': 'bridge'}.get(host['NetworkMode'], host['NetworkMode'])
    found['mounts'] = sorted((mount['Destination'], mount['Type'], names.get(mount.get('Name'), mount.get('Name')) or
                              mount['Source'], mount['RW']) for mount in container['Mounts'] if mount['Type'] != 'tmpfs')
    return found


@pytest.mark.parametrize('source, target', PAIRS)
def test_the_shop_on_another_engine(source, target, dead_root_of, start_engine, bundles, disk_dir):
    root, engine = dead_root_of(source), start_engine(target)
    os.makedirs(engine.outside('/srv/shop'), exist_ok=True)
    for name, path in sorted(bundles(root).items()):
        truth = root.truth['containers'][name]['inspect']
        checked = restore(engine, path, check=True, ignore=DEVICES, restore=ALL)
        assert checked['changed'] and checked['container']['id'] is None
        result = restore(engine, path, ignore=DEVICES, restore=ALL)
        again = restore(engine, path, ignore=DEVICES, restore=ALL)
        assert not again['changed'], [step for step in again['steps'] if step['action'] != 'keep']
        assert again['container'] == {'id': result['container']['id'], 'name': name}
        names = {item['recorded']: item['name'] for item in result['volumes']}
        names.update((mount['Name'], name + mount['Destination'].replace('/', '-')) for mount in truth['Mounts']
                     if mount.get('Name') and len(mount['Name']) == 64)
        expected, found = shown(truth, names), shown(inspect(engine, name), names)
        if name == 'shop-renamed':      # --volumes-from is written out as mounts; the volumes are named after it
            expected['mounts'], found['mounts'] = ([item[:2] + item[3:] for item in side['mounts']] for side in (expected, found))
        if name == 'shop-quiet' or not engine.kind.newer:
            for side in (expected, found):
                side.pop('host LogConfig')
        assert {key: value for key, value in expected.items() if found.get(key) != value} == {}, name


@pytest.mark.parametrize('source, target', PAIRS)
def test_data_of_a_volume(source, target, dead_root_of, start_engine, bundles, disk_dir):
    """Every name, owner, mode, time, content and hole, against what GNU tar makes of the archive."""
    root, engine = dead_root_of(source), start_engine(target)
    path = bundles(root)['shop-web-1']
    result = restore(engine, path, restore=('volumes',), ignore=DEVICES)
    assert {item['way'] for item in result['volumes']} == {'direct'}
    archive = next(os.path.join(path, 'volumes', name) for name in os.listdir(os.path.join(path, 'volumes'))
                   if name.startswith('shop-data.tar'))
    target_dir = os.path.join(disk_dir, 'by-tar')
    rescued.extract(archive, target_dir)
    wanted = rescued.tree(target_dir)
    got = rescued.tree(os.path.join(engine.data_root, 'volumes', 'shop-data', '_data'))
    assert set(got) == set(wanted)
    assert {name: (item, wanted[name]) for name, item in got.items() if item != wanted[name]} == {}
    used = subprocess.run(['du', '-s', '--block-size=1', target_dir, os.path.join(
        engine.data_root, 'volumes', 'shop-data', '_data')], stdout=subprocess.PIPE, check=True).stdout.split()
    assert int(used[2]) <= int(used[0]) * 1.1 + (1 << 20)


def test_owners_in_a_user_namespace(start_engine, disk_dir):
    """The engine itself shifts them: what the archive calls 999 is 999 in a container."""
    engine = start_engine('debian-userns')
    path = lone_volume(disk_dir, 'vol', [member('./f', b'data', uid=999, gid=998)])
    result = restore(engine, path)
    assert result['volumes'][0]['way'] == 'api'
    found = os.stat(os.path.join(engine.data_root, 'volumes/vol/_data/f'))
    assert (found.st_uid, found.st_gid) == (100999, 100998)


@pytest.mark.parametrize('kind', fixtures.some(['debian-userns'], ['debian-overlay2', 'newer-overlay2', 'newer-containerd']))
def test_links_out_of_a_volume_over_the_api(kind, start_engine, disk_dir, forwarded):
    """The engine refuses them below the folder of a volume, and takes them below `/`: with their owners, and the times of the folders around them."""
    import tarfile
    engine = start_engine(kind)
    folder = tarfile.TarInfo('./d')
    folder.type, folder.mode, folder.mtime, folder.uid = tarfile.DIRTYPE, 0o2750, 1500000000, 33
    targets = {'l': '../../etc', 'd/up': '../../../x y', 'd/far': '../' * 40 + 'etc/passwd', 'd/in': 'f', 'd/abs': '/etc/shadow'}
    links = [member('./' + name, kind=tarfile.SYMTYPE, linkname=target, uid=999, gid=998) for name, target in targets.items()]
    path = lone_volume(disk_dir, 'vol', [links[0], (folder, None), member('./d/f', b'data', uid=999)] + links[1:])
    result = restore(engine, path, **({} if kind == 'debian-userns' else {'docker_host': forwarded(engine.socket)}))
    assert result['volumes'][0]['way'] == 'api', result
    top = os.path.join(engine.data_root, 'volumes/vol/_data')
    shift = 100000 if kind == 'debian-userns' else 0
    for name, target in targets.items():
        st = os.lstat(os.path.join(top, name))
        assert os.readlink(os.path.join(top, name)) == target and (st.st_uid, st.st_gid) == (shift + 999, shift + 998), name
    st = os.lstat(os.path.join(top, 'd'))
    assert (st.st_mode & 0o7777, st.st_mtime, st.st_uid) == (0o2750, 1500000000, shift + 33)


def test_it_starts_and_runs(dead_root_of, start_engine, bundles):
    root, engine = dead_root_of('debian-overlay2'), start_engine('newer-containerd')
    result = restore(engine, bundles(root)['shop-tty'], state='started', verify_start=True)
    assert result['container']['state'] == 'running'
    assert b'colour' in engine.docker('logs', 'shop-tty')
    # its health check comes in an hour; it gets its restart policy when it has stayed up
    result = restore(engine, bundles(root)['shop-web-1'], state='started', verify_start=True, restore=ALL, ignore=DEVICES)
    assert result['container']['state'] == 'running' and any('it is not known whether it is healthy' in note for note in result['notes'])
    assert inspect(engine, 'shop-web-1')['HostConfig']['RestartPolicy']['Name'] == 'unless-stopped'
    assert not restore(engine, bundles(root)['shop-web-1'], state='started', restore=ALL, ignore=DEVICES)['changed']


def lone_volume(folder, name='vol', members=(), **info):
    return make_bundle(os.path.join(folder, 'bundle-' + name), {'volumes/%s.tar' % name: tar_bytes([ROOT] + list(members))},
                       {'volume': dict({'name': name, 'driver': 'local'}, **info)})


def state(engine):
    return (sorted(engine.docker('ps', '-aq').split()), sorted(engine.docker('volume', 'ls', '-q').split()),
            sorted(engine.docker('images', '-aq').split()), sorted(engine.docker('network', 'ls', '-q').split()))


def names(engine):
    """Every name on the engine's disk but those of its own databases."""
    return {os.path.join(folder, name) for folder, folders, files in os.walk(engine.host_root) for name in folders + files
            if 'buildkit' not in folder and 'containerd' not in folder}


@pytest.mark.parametrize('over_tcp', fixtures.some([True], [False]))
def test_hostile_archives_leave_the_engine_as_it_was(over_tcp, start_engine, disk_dir, forwarded):
    """Each is refused with its reason, and nothing is anywhere that was not there before."""
    engine = start_engine('debian-overlay2')
    host = forwarded(engine.socket) if over_tcp else 'unix://' + engine.socket
    before, outside = state(engine), os.path.join(disk_dir, 'outside')
    os.mkdir(outside)
    with open(os.path.join(outside, 'secret'), 'wb') as handle:
        handle.write(b'secret')
    restore(engine, lone_volume(disk_dir, 'first'), docker_host=host)       # whatever an engine makes at its first use
    engine.docker('volume', 'rm', 'first')
    there = names(engine)
    assert len(HOSTILE) > 20
    others = {}
    for case, (raw, reason) in sorted(HOSTILE.items()):
        path = make_bundle(os.path.join(disk_dir, 'bundle-' + case.replace(' ', '-')), {'volumes/vol.tar': raw},
                           {'volume': {'name': 'vol', 'driver': 'local'}})
        try:
            restore(engine, path, docker_host=host)
            said = 'nothing'
        except LifeboatError as exc:
            said = str(exc)
        if not over_tcp or case not in ('hard link to nothing', 'same file twice'):
            assert any(words in said for words in (reason, 'more content than the manifest says')) and 'vol.tar' in said, (case, said)
        others[case] = said
        if said == 'nothing':
            engine.docker('volume', 'rm', 'vol')
        assert state(engine) == before and names(engine) == there, case
    # over the API the engine itself is asked; twice the same file is no danger
    assert over_tcp is ('engine refused' in others['hard link to nothing'])
    assert os.listdir(outside) == ['secret'] and open(os.path.join(outside, 'secret'), 'rb').read() == b'secret'


@pytest.fixture
def forwarded():
    """forwarded(socket): tcp://address that leads to it; then the engine's folders do not count as reachable."""
    import socket as sockets
    import threading
    listeners = []

    def pump(source, target):
        try:
            for data in iter(lambda: source.recv(1 << 16), b''):
                target.sendall(data)
            target.shutdown(sockets.SHUT_WR)
        except OSError:
            pass

    def start(path):
        listener = sockets.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen(20)
        listeners.append(listener)

        def serve():
            while True:
                try:
                    inner, dummy = listener.accept()
                except OSError:
                    return
                outer = sockets.socket(sockets.AF_UNIX)
                outer.connect(path)
                for pair in ((inner, outer), (outer, inner)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        return 'tcp://127.0.0.1:%d' % listener.getsockname()[1]
    yield start
    for listener in listeners:
        listener.close()


def test_over_the_api_the_same_data(start_engine, disk_dir, forwarded):
    engine = start_engine('debian-overlay2')
    path = lone_volume(disk_dir, 'vol', [member('./d/', uid=999, gid=998, mode=0o2750), member('./d/f', b'data', uid=5, mode=0o600)],
                       labels={'a': 'b'})
    result = restore(engine, path, docker_host=forwarded(engine.socket))
    assert result['volumes'][0]['way'] == 'api'
    found = os.stat(os.path.join(engine.data_root, 'volumes/vol/_data/d/f'))
    assert (found.st_uid, found.st_mode & 0o777, found.st_mtime) == (5, 0o600, 1600000000)
    assert engine.docker('volume', 'inspect', '-f', '{{.Labels.a}}', 'vol').strip() == b'b'
    assert engine.docker('ps', '-aq') == b'' == engine.docker('images', '-aq')


def test_volume_that_leads_to_the_host_needs_leave_and_never_replaces(start_engine, disk_dir):
    """Driver options in a bundle made a restore write over any folder of the host."""
    engine = start_engine('debian-overlay2')
    victim = engine.outside('/srv/victim')
    os.makedirs(victim)
    with open(os.path.join(victim, 'precious'), 'wb') as handle:
        handle.write(b'x')
    path = lone_volume(disk_dir, 'vol', [member('./precious', b'overwritten')],
                       options={'type': 'none', 'o': 'bind', 'device': '/srv/victim'})
    volumes = engine.docker('volume', 'ls', '-q')
    for options in ({'allow': ()}, {'allow': (), 'force': True}, {'allow': (), 'check': True}, {'allow': ('volume_devices',)},
                    {'allow': ('volume_devices',), 'force': True}):
        with pytest.raises(LifeboatError) as caught:
            restore(engine, path, restore=('volumes',), **options)
        assert '/srv/victim' in str(caught.value)
        with open(os.path.join(victim, 'precious'), 'rb') as handle:
            assert handle.read() == b'x'
    assert os.listdir(victim) == ['precious'] and engine.docker('volume', 'ls', '-q') == volumes
    os.unlink(os.path.join(victim, 'precious'))
    restore(engine, path, restore=('volumes',), allow=('volume_devices',))
    with open(os.path.join(victim, 'precious'), 'rb') as handle:
        assert handle.read() == b'overwritten'


@pytest.mark.parametrize('name', ['/srv/victim', '../victim', 'a/b', '-rf', 'a\0b', 'a\nb'])
def test_volume_with_a_name_that_leads_elsewhere(name, start_engine, disk_dir):
    engine = start_engine('debian-overlay2')
    volumes = engine.docker('volume', 'ls', '-q')
    path = make_bundle(os.path.join(disk_dir, 'bundle-name'), {'volumes/vol.tar': tar_bytes([ROOT, member('./f', b'x')])}, {
        'volume': {'name': name, 'driver': 'local'}, 'components': [
            {'name': 'volume:' + name, 'kind': 'volume', 'volume': name, 'file': 'volumes/vol.tar', 'status': 'complete', 'source_bytes': 1}]})
    with pytest.raises(LifeboatError) as caught:
        restore(engine, path, restore=('volumes',), force=True)
    assert 'is no name for a volume' in str(caught.value) and engine.docker('volume', 'ls', '-q') == volumes
    restore(engine, path, restore=('volumes',), volume_map={name: 'good'})
    assert os.listdir(os.path.join(engine.data_root, 'volumes/good/_data')) == ['f']


def test_full_volume_is_refused_replaced_and_kept(start_engine, disk_dir):
    engine = start_engine('newer-containerd')
    data = os.path.join(engine.data_root, 'volumes/vol/_data')
    engine.docker('volume', 'create', 'vol')
    with open(os.path.join(data, 'precious'), 'w', encoding='ascii') as handle:
        handle.write('x')
    path = lone_volume(disk_dir, 'vol', [member('./new', b'x')])
    with pytest.raises(LifeboatError) as caught:
        restore(engine, path)
    assert 'precious' in str(caught.value) and os.listdir(data) == ['precious']
    result = restore(engine, path, force=True)
    assert os.listdir(data) == ['new']
    kept = result['kept'][0]['now']
    assert os.listdir(os.path.join(engine.data_root, 'volumes', kept, '_data')) == ['precious']
    assert not restore(engine, path)['changed']


FILES = 12000                           # so many that nobody restores them between two looks


@pytest.mark.parametrize('sig', fixtures.some([signal.SIGKILL], [signal.SIGTERM]))
def test_killed_in_the_middle(sig, start_engine, disk_dir):
    engine = start_engine('debian-overlay2')
    before = state(engine)
    path = lone_volume(disk_dir, 'vol', [member('./f%d' % number, b'x' * 1000) for number in range(FILES)])
    code = ('import sys; from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run; '
            'run.restore(plan.Options(path=sys.argv[1].encode(), docker_host=sys.argv[2]))')
    with subprocess.Popen([sys.executable, '-c', code, os.fsdecode(path), 'unix://' + engine.socket], stderr=subprocess.DEVNULL,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))) as process:
        data = os.path.join(engine.data_root, 'volumes/vol/_data')
        while not (os.path.isdir(data) and len(os.listdir(data)) > 100):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(sig)
    if sig == signal.SIGTERM:
        assert state(engine) == before
    else:
        assert len(os.listdir(data)) < FILES
    result = restore(engine, path)
    assert result['changed'] and len(os.listdir(data)) == FILES
    assert not restore(engine, path)['changed']


def test_container_that_does_not_come_up_is_taken_back(dead_root_of, start_engine, bundles):
    root, engine = dead_root_of('debian-overlay2'), start_engine('debian-overlay2')
    before = state(engine)
    with pytest.raises(LifeboatError) as caught:
        restore(engine, bundles(root)['shop-from-commit'], state='started', verify_start=True)
    assert 'and gone' in str(caught.value) or 'ended with status' in str(caught.value)
    assert state(engine) == before
