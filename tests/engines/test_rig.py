"""The rig tested by itself: what it hands over is full, true, dead, and leaves nothing behind."""
import glob
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time

import pytest
from rig import common, dead, engine as engines, listing, procs, scenario, truth, wild

HERE = os.path.dirname(os.path.abspath(__file__))


def mounted_anywhere(folder):
    """Mount points below `folder` in any mount namespace of this machine."""
    found = set()
    for path in glob.glob('/proc/[0-9]*/mountinfo'):
        try:
            found.update(procs.mounts_below(folder, path))
        except OSError:
            pass
    return found


def test_truth_has_every_state_and_each_container_is_on_the_disk(dead_root):
    containers = dead_root.truth['containers']
    status = {name: item['inspect']['State']['Status'] for name, item in containers.items()}
    assert set(status.values()) == {'running', 'exited', 'created', 'paused'}
    assert status['shop-once'] == 'running' and containers['shop-once']['inspect']['HostConfig']['AutoRemove']
    assert 'shop-before' not in status and 'shop-renamed' in status
    for item in containers.values():
        ident = item['inspect']['Id']
        assert os.path.getsize(os.path.join(dead_root.data_root, 'containers', ident, 'config.v2.json')) > 100
        assert ident in dead_root.truth['commands']['docker ps -a -s --no-trunc']


def test_states_on_the_disk_are_those_of_the_moment_before_the_death(dead_root):
    for item in dead_root.truth['containers'].values():
        state = item['inspect']['State']
        path = os.path.join(dead_root.data_root, 'containers', item['inspect']['Id'], 'config.v2.json')
        with open(path, encoding='utf-8') as handle:
            noted = json.load(handle)['State']
        assert (noted['Running'], noted['Paused'], noted['Pid']) == (state['Running'], state['Paused'], state['Pid'])


def test_everything_is_dead_and_nothing_is_mounted(dead_root):
    with open(os.path.join(dead_root.host_root, 'run/docker.pid'), encoding='ascii') as handle:
        assert not procs.alive(int(handle.read()))
    for item in dead_root.truth['containers'].values():
        pid = item['inspect']['State']['Pid']
        if pid and procs.alive(pid):  # a number may be in use again
            with open('/proc/%d/cgroup' % pid, encoding='utf-8') as handle:
                assert item['inspect']['Id'] not in handle.read()
    assert not mounted_anywhere(dead_root.scratch)
    with open(os.path.join(dead_root.host_root, 'etc/docker/daemon.json'), encoding='utf-8') as handle:
        assert not procs.cgroup_folders(json.load(handle)['cgroup-parent'].strip('/'))


def test_changes_hold_every_kind_and_agree_with_the_printed_diff(dead_root):
    web = dead_root.truth['containers']['shop-web-1']
    changes = {item['Path']: truth.KINDS_OF_CHANGE[item['Kind']] for item in web['changes']}
    expected = {'/pristine/deleted': 'D', '/pristine/edited': 'C', '/pristine/dir-deleted': 'D',
                '/pristine/renamed-now': 'A', '/srv/wild/names/new\nline': 'A', '/opt/app/page.html': 'A'}
    assert {path: changes.get(path) for path in expected} == expected
    assert not any('untouched' in path for path in changes)
    with open(dead_root.file(web['diff']), encoding='utf-8') as handle:
        printed = handle.read()
    assert all('%s %s\n' % (kind, path) in printed for path, kind in changes.items())
    assert truth.go_text(b'/srv/wild/names/\xff\xfe\x80') in changes
    assert dead_root.truth['containers']['shop-plain']['changes'] == []


def test_exports_are_whole_archives(dead_root):
    for name, item in dead_root.truth['containers'].items():
        with tarfile.open(dead_root.file(item['export']), errorlevel=2) as archive:
            names = archive.getnames()
        assert 'bin/busybox' in names, name
        if name == 'shop-web-1':
            assert 'srv/wild/names/new\nline' in names
            assert os.fsdecode(b'srv/wild/names/latin-\xe9') in names
            assert max(map(len, names)) > 1024
        if name == 'shop-hostile':
            assert 'x' in names and 'etc/passwd' not in names
    sparse = os.stat(dead_root.file(dead_root.truth['containers']['shop-sparse']['export']))
    assert sparse.st_size > wild.SPARSE > 8 * sparse.st_blocks * 512


def test_running_trees_and_exports_are_two_witnesses_of_one_thing(dead_root):
    web = dead_root.truth['containers']['shop-web-1']
    tree = {item['path']: item for item in dead_root.tree(web['tree'])}
    with tarfile.open(dead_root.file(web['export'])) as archive:
        members = {member.name.rstrip('/'): member for member in archive}
    wild_tree = {path for path in tree if path.startswith('srv/wild/') and tree[path]['type'] != 's'}
    assert wild_tree == {path for path in members if path.startswith('srv/wild/')}
    for path in wild_tree:
        item, member = tree[path], members[path]
        assert (item['mode'], item['uid'], item['gid']) == (member.mode & 0o7777, member.uid, member.gid), path
        if item['type'] == 'f' and member.isreg():
            assert item['size'] == member.size, path


@pytest.mark.parametrize('name, least', [('shop-web-1', 1), ('shop-logger', 100), ('shop-db-1', 100), ('shop-tty', 2)])
def test_logs_are_recorded_per_stream(dead_root, name, least):
    item = dead_root.truth['containers'][name]
    streams = {}
    for stream in ('stdout', 'stderr'):
        with open(dead_root.file(item[stream]), 'rb') as handle:
            streams[stream] = handle.read()
    assert streams['stdout'].count(b'\n') >= least
    assert bool(streams['stderr']) == (name != 'shop-tty')
    folder = os.path.join(dead_root.data_root, 'containers', item['inspect']['Id'])
    if name == 'shop-logger':
        assert len(glob.glob(folder + '/*-json.log.*.gz')) == 3
        assert b'x' * 10000 in streams['stdout']
    if name == 'shop-db-1':
        assert len(glob.glob(folder + '/local-logs/container.log*')) == 3
    assert 'logging driver' in dead_root.truth['containers']['shop-quiet']['logs_error']


def test_images_have_layers_tags_and_an_untagged_one_in_use(dead_root):
    said = dead_root.truth
    images = {image['Id']: image for image in said['images']}
    shop = images[said['containers']['shop-web-1']['inspect']['Image']]
    assert len(shop['RootFS']['Layers']) >= 6
    assert {scenario.SHOP, 'lifeboat/shop:latest', 'registry.example.test:5000/team/shop:1.0'} == set(shop['RepoTags'])
    old = said['containers']['shop-old']['inspect']['Image']
    assert old != shop['Id'] and not images[old]['RepoTags']
    for saved in (said['save'], said['save_dangling']):
        with tarfile.open(dead_root.file(saved)) as archive:
            assert 'manifest.json' in archive.getnames()


def test_volumes_and_binds_hold_one_of_everything(dead_root):
    said = dead_root.truth
    named = {'shop-data', 'shop-db', 'shop-orphan', 'shop-created', 'shop-opt-bind', 'shop-opt-tmpfs'}
    assert named < set(said['volumes'])
    for name in (said['volumes']['shop-data']['tree'], said['binds']['/srv/shop/wild']):
        tree = {item['path']: item for item in dead_root.tree(name)}
        assert {item['type'] for item in tree.values()} == set('fdlpscb')
        assert any(item['uid'] == wild.FAR_UID for item in tree.values())
        assert any(item['mtime_ns'] < 0 for item in tree.values())
        assert any('same_as' in item for item in tree.values())
        kinds = {key for item in tree.values() for key in item['xattrs']}
        assert {'security.capability', 'user.comment', 'system.posix_acl_access', 'system.posix_acl_default',
                'trusted.lifeboat'} <= kinds
        assert [item['rdev'] for path, item in tree.items() if path.endswith('char-0-0')] == [[0, 0]]
        sparse = [item for path, item in tree.items() if path.endswith('sparse/image')][0]
        assert sparse['allocated'] * 8 < sparse['size']
    assert sparse['size'] == 64 << 20
    assert said['binds']['/srv/shop/missing'] is None
    assert [item['path'] for item in dead_root.tree(said['binds']['/srv/shop/one-file.conf'])] == ['one-file.conf']


def test_layers_of_the_writable_and_the_image_kind_hold_whiteouts_and_opaque_folders(dead_root):
    folders = {'overlay2': os.path.join(dead_root.data_root, 'overlay2'),
               'overlayfs': os.path.join(dead_root.containerd_root or '', 'io.containerd.snapshotter.v1.overlayfs')}
    whiteouts, opaque = set(), set()
    for path, _dirs, files in os.walk(folders[dead_root.truth['info']['Driver']]):
        for name in files:
            status = os.lstat(os.path.join(path, name))
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                whiteouts.add(name)
        try:
            if os.getxattr(path, 'trusted.overlay.opaque') == b'y':
                opaque.add(os.path.basename(path))
        except OSError:
            pass
    assert {'file-gone', 'deleted', 'dir-deleted'} <= whiteouts
    # `replaced` is opaque in the loaded image; what containerd itself commits has a whiteout for each name instead
    assert {'replaced', 'dir-opaque'} <= opaque
    assert ('lib' in opaque) == (dead_root.truth['info']['Driver'] == 'overlay2')


def test_the_secret_is_on_the_disk(dead_root):
    ident = dead_root.truth['containers']['shop-web-1']['inspect']['Id']
    with open(os.path.join(dead_root.data_root, 'containers', ident, 'config.v2.json'), encoding='utf-8') as handle:
        assert scenario.SECRET in handle.read()


def test_a_copy_is_equal_in_all_that_can_be_listed(dead_root, disk_dir):
    twin = dead_root.copy(os.path.join(disk_dir, 'twin'))
    before = listing.listing(dead_root.host_root, contents=False)
    after = listing.listing(twin.host_root, contents=False)
    for one, other in zip(before, after):
        for item in (one, other):
            item.pop('allocated', None)
        assert one == other
    assert len(before) == len(after)
    assert os.path.isdir(twin.data_root) and twin.data_root.startswith(twin.host_root)
    assert sum(item.get('allocated', 0) for item in listing.listing(twin.host_root, contents=False)) < 200 << 20


def test_looking_leaves_no_trace_and_a_trace_is_seen(dead_root, disk_dir):
    first = dead_root.snapshot()
    listing.listing(dead_root.host_root, contents=False)
    assert listing.differences(first, dead_root.snapshot()) == []
    path = os.path.join(disk_dir, 'file')
    wild.write(path, b'contents')
    os.utime(path, (1000, 2000))
    before = listing.snapshot(disk_dir)
    with open(path, 'rb') as handle:
        handle.read()
    assert [line.split(' ')[0] for line in listing.differences(before, listing.snapshot(disk_dir))] == ['atime']


def test_a_healthy_engine_works_and_is_gone_after_its_stop(live_engine):
    live_engine.docker('import', '-', scenario.BASE, stdin=scenario.base_tar())
    out = live_engine.docker('run', '--rm', '--network', 'none', scenario.BASE, 'echo', 'alive')
    assert out == b'alive\n'
    live_engine.docker('run', '-d', '--stop-timeout', '1', '--network', 'none', scenario.BASE, 'sleep', '1000')
    places = [live_engine.data_root] + ([live_engine.containerd_root] if live_engine.containerd_root else [])
    assert all(os.listdir(place) for place in places)
    assert live_engine.api('GET', '/info')['ContainersRunning'] == 1
    pid = live_engine.pid
    live_engine.stop()
    assert not procs.alive(pid)
    assert not procs.cgroup_folders(live_engine.cgroup_name)
    live_engine.close()
    assert not os.path.lexists(live_engine.scratch) and not mounted_anywhere(live_engine.scratch)


def test_an_engine_starts_again_on_its_own_disk(start_engine):
    engine = start_engine('debian-overlay2')
    engine.docker('volume', 'create', 'kept')
    engine.kill()
    engine.start()
    assert engine.docker('volume', 'ls', '-q') == b'kept\n'


def test_a_killed_rig_leaves_nothing_behind(start_engine, disk_dir):
    start_engine('debian-overlay2')  # says so where engines cannot run
    code = ('import time; from rig import engine, scenario\n'
            'e = engine.Engine("debian-btrfs").start()\n'
            'e.docker("import", "-", "b:1", stdin=scenario.base_tar())\n'
            'e.docker("run", "-d", "--network", "none", "b:1", "sleep", "1000")\n'
            'print(e.scratch, e.cgroup_name, e.pid, flush=True)\ntime.sleep(60)\n')
    child = subprocess.Popen([sys.executable, '-c', code], cwd=HERE, stdout=subprocess.PIPE,
                             env=dict(os.environ, LIFEBOAT_TEST_SCRATCH=disk_dir))
    scratch, cgroup_name, pid = child.stdout.readline().decode().split()
    assert procs.cgroup_folders(cgroup_name) and mounted_anywhere(scratch)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 120
    while os.path.lexists(scratch) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.lexists(scratch)
    assert not procs.alive(int(pid)) and not procs.cgroup_folders(cgroup_name) and not mounted_anywhere(scratch)
    loops = subprocess.run(['losetup', '-a'], stdout=subprocess.PIPE, check=True).stdout
    assert os.fsencode(scratch) not in loops


def test_what_is_missing_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with pytest.raises(common.NotHere) as why:
        engines.Engine('debian-overlay2')
    assert 'root' in str(why.value) and '\n' not in str(why.value)
    monkeypatch.undo()
    with pytest.raises(common.NotHere) as why:
        common.run(['/nowhere/dockerd'])
    assert 'rig setup' in str(why.value)


@pytest.mark.parametrize('name, text', [(b'plain', 'plain'), ('\u0142'.encode('utf-8'), '\u0142'),
                                        (b'a\xffb', 'a\ufffdb'), (b'\xff\xfe', '\ufffd\ufffd'),
                                        (b'\xe2\x82', '\ufffd\ufffd')])
def test_go_text_replaces_each_wrong_byte(name, text):
    assert truth.go_text(name) == text


def test_a_root_with_a_user_namespace_has_shifted_owners(dead_root_of):
    root = dead_root_of('debian-userns')
    assert os.path.basename(root.data_root) == '100000.100000'
    tree = root.tree(root.truth['volumes']['shop-data']['tree'])
    assert {item['uid'] for item in tree if item['path'].startswith('wild/')} >= {100000, 100999, 160000}
    assert dead.load(root.scratch).data_root == root.data_root


@pytest.mark.parametrize('kind', ['debian-vfs', 'debian-btrfs'])
def test_other_storage_drivers_leave_a_root_as_well(dead_root_of, kind):
    root = dead_root_of(kind)
    layers = {'debian-vfs': 'vfs/dir', 'debian-btrfs': 'btrfs/subvolumes'}[kind]
    # the two containers in which that folder came to be, and the image that was made from one of them with its container
    found = glob.glob(os.path.join(root.data_root, layers, '*/pristine/file-to-dir/inner'))
    assert len(found) >= 2
    assert {'shop-old', 'shop-loaded', 'shop-web-1'} < set(root.truth['containers'])
