# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine said while it lived against what we read after its death, on every kind of engine."""
import glob
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest
import rescued
from rig import listing, truth

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info

ZERO = '0001-01-01T00:00:00Z'


@pytest.fixture(scope='module')
def rescues():
    """rescues(root): (result, dest, state of the source before and after) of one rescue of everything, made once."""
    made = {}

    def get(root):
        if root.kind not in made:
            dest = os.path.join(root.scratch, 'rescued')
            before = root.snapshot()
            result = rescued.rescue(root, dest, volumes=('*',), orphans=True)
            made[root.kind] = (result, dest, before, root.snapshot())
        return made[root.kind]
    return get


def bundle_of(result, name):
    return next(item for item in result['bundles'] if item['container'] == name)


# -- facts -------------------------------------------------------------------------------------------------------------------


def test_containers_equal_inspect(dead_root):
    facts = rescued.gather(dead_root, gather_subset=['containers', 'layers'])
    ours = {item['name']: item for item in facts['containers']}
    assert set(ours) == set(dead_root.truth['containers'])
    for name, said in dead_root.truth['containers'].items():
        inspect, item = said['inspect'], ours[name]
        assert item['id'] == inspect['Id']
        assert item['image']['id'] == inspect['Image']
        assert item['image']['reference'] == inspect['Config']['Image']
        assert item['created'] == inspect['Created']
        assert item['driver'] == inspect.get('Driver', item['driver'])
        assert item['labels'] == (inspect['Config']['Labels'] or {})
        state = inspect['State']
        assert item['state']['status'] == state['Status'], name
        assert item['state']['running'] == state['Running']
        assert item['state']['exit_code'] == state['ExitCode']
        assert item['state']['started_at'] == (state['StartedAt'] if state['StartedAt'] != ZERO else None)
        assert item['log']['driver'] == inspect['HostConfig']['LogConfig']['Type']
        assert sorted((m['type'], m['name'] or '', m['destination'], m['rw']) for m in item['mounts']) == \
            sorted((m['Type'], m.get('Name') or '', m['Destination'], m['RW']) for m in inspect['Mounts']), name
        assert not any(dead_root.truth['secret'] in value for value in item['env'].values())
    assert dead_root.truth['secret'] not in json.dumps(facts)


def test_images_and_volumes_equal_the_engine(dead_root):
    facts = rescued.gather(dead_root, gather_subset=['images', 'volumes'])
    said = {item['Id']: sorted(item['RepoTags'] or []) for item in dead_root.truth['images']}
    assert {item['id']: sorted(ref for ref in item['references'] if '@' not in ref) for item in facts['images']} == said
    assert all(item['status'] == 'complete' for item in facts['images'])
    assert {item['name'] for item in facts['volumes']} == set(dead_root.truth['volumes'])
    for item in facts['volumes']:
        inspect = dead_root.truth['volumes'][item['name']]['inspect']
        assert item['labels'] == (inspect['Labels'] or {})
        assert item['options'] == (inspect['Options'] or {})


def test_layer_sums_up_to_docker_ps(dead_root):
    """`docker ps --size` counts what we call usage.bytes of the writable layer; containerd counts blocks, the top folder's too."""
    facts = rescued.gather(dead_root, gather_subset=['containers', 'layers', 'usage'])
    for item in facts['containers']:
        said = dead_root.truth['containers'][item['name']]['inspect'].get('SizeRw', 0)      # left out by Docker where it is 0
        if item['store'] == 'graphdriver':
            assert item['usage']['bytes'] == said, item['name']
        else:
            assert item['usage']['allocated'] + os.lstat(item['layers']['writable']).st_blocks * 512 == said, item['name']


def test_changes_equal_docker_diff(dead_root):
    facts = rescued.gather(dead_root, gather_subset=['containers', 'changes'], changes_limit=0)
    compared = 0
    for item in facts['containers']:
        said = {(truth.KINDS_OF_CHANGE[change['Kind']], change['Path'])
                for change in dead_root.truth['containers'][item['name']]['changes']}
        ours = [(change['kind'], truth.go_text(_raw(change))) for change in item['changes']]
        assert len(ours) == len(set(ours)) == item['changes_total']
        assert set(ours) == said, item['name']
        compared += len(said)
    assert compared > 100


def _raw(change):
    import base64
    return base64.b64decode(change['path_b64']) if 'path_b64' in change else os.fsencode(change['path'])


def test_lowerdir_can_be_mounted(dead_root, disk_dir):
    """The string that the facts give, in a read-only overlay mount, shows the image."""
    facts = rescued.gather(dead_root, containers=['shop-web-1'], gather_subset=['containers', 'layers'])
    layers = facts['containers'][0]['layers']
    data = 'lowerdir=%s:%s' % (layers['writable'], layers['lowerdir'])
    if len(data) > 4000:
        pytest.fail('the rig makes longer stacks than mount takes')
    subprocess.run(['mount', '-t', 'overlay', '-o', 'ro,' + data, 'overlay', disk_dir], check=True,
                   env=dict(os.environ, LIBMOUNT_FORCE_MOUNT2='always'))     # fsconfig(2) takes 255 bytes an option
    try:
        assert os.path.exists(os.path.join(disk_dir, '.dockerenv'))
    finally:
        subprocess.run(['umount', disk_dir], check=True)


# -- archives ----------------------------------------------------------------------------------------------------------------


def test_everything_is_rescued_and_verifies(dead_root, rescues):
    result, dest, dummy, dummy = rescues(dead_root)
    names = {item['container'] for item in result['bundles'] if item['kind'] == 'container'}
    assert names == set(dead_root.truth['containers'])
    for item in info.inspect(os.fsencode(dest), True):
        assert (item['status'], item['extra'], item['differences']) == ('verified', [], []), item['path']
        subprocess.run(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=item['path'], check=True)
    for folder, dummy, files in os.walk(dest):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
        for name in files:
            assert stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode) == 0o600, name


def test_source_is_unchanged(dead_root, rescues):
    dummy, dummy, before, after = rescues(dead_root)
    assert listing.differences(before, after) == []


def test_rootfs_equals_docker_export(dead_root, rescues):
    result = rescues(dead_root)[0]
    for name, said in dead_root.truth['containers'].items():
        bundle = bundle_of(result, name)
        ours, our_links = rescued.unlink_hard(rescued.members(
            os.path.join(bundle['path'], rescued.component(bundle, 'rootfs')['file']), ['zstd', '-dc']))
        theirs, their_links = rescued.unlink_hard(rescued.members(dead_root.file(said['export'])))
        assert set(ours) == set(theirs), name
        for path, item in theirs.items():
            assert ours[path] == item, (name, path)
        assert our_links == their_links, name


def test_writable_over_the_image_gives_the_same_tree(dead_root, rescues, disk_dir):
    """The writable layer applied to the image by OCI rules: extract the export of a fresh container's layers, then ours."""
    result = rescues(dead_root)[0]
    with rescued.open_host(dead_root) as host:
        from ansible_collections.lifeboat.docker.plugins.module_utils.archive import write as archive
        from ansible_collections.lifeboat.docker.plugins.module_utils.layers import union
        for name in ('shop-web-1', 'shop-db-1', 'shop-from-commit'):
            bundle = bundle_of(result, name)
            root = next(root for root in host.roots if bundle['id'] in root.container_ids())
            stack = root.container(bundle['id']).stack
            base = os.path.join(disk_dir, name)
            os.mkdir(base)
            with open(base + '.tar', 'wb') as out, union.View(stack.base()) as view:
                archive.write_tar(view.entries(), out)
            rescued.extract(base + '.tar', base)
            layer = os.path.join(disk_dir, name + '-layer')
            rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'writable')['file']), layer)
            apply_layer(os.fsencode(layer), os.fsencode(base))
            whole = os.path.join(disk_dir, name + '-rootfs')
            rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'rootfs')['file']), whole)
            one, other = rescued.tree(base), rescued.tree(whole)
            assert set(one) == set(other)
            for path in other:
                if one[path][0] != 'd':
                    assert one[path] == other[path], (name, path)
                else:
                    assert one[path][:4] == other[path][:4], (name, path)


def apply_layer(layer, base):
    """OCI layer rules (image-spec, layer.md) with ordinary file operations."""
    for folder, dummy, names in os.walk(layer):
        for name in names:
            target = os.path.join(base, os.path.relpath(os.path.join(folder, name), layer))
            if name == b'.wh..wh..opq':
                if os.path.isdir(os.path.dirname(target)):
                    for inner in os.listdir(os.path.dirname(target)):
                        _remove(os.path.join(os.path.dirname(target), inner))
            elif name.startswith(b'.wh.'):
                _remove(os.path.join(os.path.dirname(target), name[4:]))
    for folder, folders, names in os.walk(layer):
        for name in folders + names:
            if name.startswith(b'.wh.'):
                continue
            source = os.path.join(folder, name)
            target = os.path.join(base, os.path.relpath(source, layer))
            if os.path.lexists(target) and not (os.path.isdir(source) and not os.path.islink(source)
                                                and os.path.isdir(target) and not os.path.islink(target)):
                _remove(target)
    excluded = subprocess.run(['tar', '-C', layer, '--xattrs', '--xattrs-include=*', '--exclude=.wh.*', '--sparse', '-cf', '-',
                               '.'], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(['tar', '-C', base, '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', '-'], check=True,
                   input=excluded)


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


KEYS = ('type', 'mode', 'uid', 'gid', 'mtime_ns', 'xattrs', 'size', 'link', 'rdev', 'sha256', 'same_as')


def compare_listing(said, path, only=None):
    ours = {item['path']: item for item in listing.listing(path, only=only)}
    said = {item['path']: item for item in said if item['type'] != 's'}
    assert set(ours) == set(said)
    for name, item in said.items():
        mine = ours[name]
        for key in KEYS:
            if key == 'same_as' and key in item:
                assert ours[name].get('same_as') or any(other.get('same_as') == name for other in ours.values()), name
                continue
            if key in ('same_as',):
                continue
            if key == 'mtime_ns' and item['type'] == 'l' and item.get('nlink', 1) > 1:
                continue
            assert mine.get(key) == item.get(key), (name, key)


def test_volumes_keep_everything(dead_root, rescues, disk_dir):
    result = rescues(dead_root)[0]
    seen = 0
    for bundle in result['bundles']:
        if bundle['kind'] != 'volume' or bundle['status'] == 'lost':
            continue
        name = rescued.manifest(bundle)['volume']['name']
        target = os.path.join(disk_dir, name)
        rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'volume:' + name)['file']), target)
        device = (dead_root.truth['volumes'][name]['inspect']['Options'] or {}).get('device')
        if device:                      # a local volume that is a folder of the host: its data lie there
            compare_listing(listing.listing(dead_root.host_root + device), target)
        else:
            compare_listing(dead_root.tree(dead_root.truth['volumes'][name]['tree']), target)
        seen += 1
        if name == 'shop-data':
            subprocess.run(['sha256sum', '--quiet', '-c', os.path.join(
                bundle['path'], rescued.component(bundle, 'volume:' + name)['sums'])], cwd=target, check=True)
    assert seen >= 10


def test_binds_keep_everything(dead_root, rescues, disk_dir):
    result = rescues(dead_root)[0]
    seen = set()
    for bundle in result['bundles']:
        if bundle['kind'] != 'container':
            continue
        for item in rescued.manifest(bundle)['components']:
            if item['kind'] != 'bind' or item['source'] in seen:
                continue
            seen.add(item['source'])
            said = dead_root.tree(dead_root.truth['binds'][item['source']])
            target = os.path.join(disk_dir, item['name'].replace(':', '-') + bundle['name'])
            rescued.extract(os.path.join(bundle['path'], item['file']), target)
            if said[0]['type'] == 'f':
                compare_listing(said, target, only=os.path.basename(os.fsencode(item['source'])))
            else:
                compare_listing(said, target)
    assert seen == {path for path, said in dead_root.truth['binds'].items() if said}


def test_sparse_files_stay_sparse(dead_root, rescues, disk_dir):
    result = rescues(dead_root)[0]
    bundle = bundle_of(result, 'shop-sparse')
    writable = rescued.component(bundle, 'writable')
    assert writable['source_bytes'] >= 1 << 30
    assert writable['tar_bytes'] < 64 << 20
    rescued.extract(os.path.join(bundle['path'], writable['file']), disk_dir)
    sizes = [(os.lstat(os.path.join(folder, name)).st_size, os.lstat(os.path.join(folder, name)).st_blocks * 512)
             for folder, dummy, names in os.walk(disk_dir) for name in names]
    size, blocks = max(sizes)
    assert size >= 1 << 30 and blocks < 64 << 20


def test_logs_equal_docker_logs(dead_root, rescues):
    result = rescues(dead_root)[0]
    compared = 0
    for name, said in dead_root.truth['containers'].items():
        if said['stdout'] is None:
            continue
        bundle = bundle_of(result, name)
        path = os.path.join(bundle['path'], 'logs', 'container.log')
        ours = b''
        if os.path.exists(path):
            with open(path, 'rb') as found:
                ours = found.read()
        streams = []
        for stream in ('stdout', 'stderr'):
            with open(dead_root.file(said[stream]), 'rb') as found:
                streams.append(found.read().split(b'\n'))
                if not streams[-1][-1]:
                    streams[-1].pop()
        lines = ours.split(b'\n')
        if not lines[-1]:
            lines.pop()
        assert len(lines) == len(streams[0]) + len(streams[1]), name
        for stream in streams:
            position = iter(lines)
            assert all(line in position for line in stream), name
        compared += len(lines)
    assert compared > 1000


def test_hostile_links_are_kept_as_links(dead_root, rescues):
    result = rescues(dead_root)[0]
    bundle = bundle_of(result, 'shop-hostile')
    found = rescued.members(os.path.join(bundle['path'], rescued.component(bundle, 'writable')['file']), ['zstd', '-dc'])
    links = {path: item[6] for path, item in found.items() if item[0] == 'l'}
    assert any(target == b'/' for target in links.values())
    assert any(b'../../../../etc/shadow' in target for target in links.values())
    for path in found:
        parts = path.split(b'/')
        for depth in range(1, len(parts)):
            assert b'/'.join(parts[:depth]) not in links, 'went through a link: %r' % path


# -- again, damaged, killed ----------------------------------------------------------------------------------------------------


def test_second_run_changes_nothing(dead_root, rescues):
    dest = rescues(dead_root)[1]
    before = listing.snapshot(dest)
    again = rescued.rescue(dead_root, dest, volumes=('*',), orphans=True)
    assert again['changed'] is False
    assert [item['name'] for item in again['bundles'] if item['changed']] == []
    after = listing.snapshot(dest)
    assert {path: item[:10] for path, item in before.items()} == {path: item[:10] for path, item in after.items()}


def test_a_flipped_bit_is_found(dead_root, rescues, disk_dir):
    dest = rescues(dead_root)[1]
    rng = random.Random(dead_root.kind)
    source = bundle_of(rescues(dead_root)[0], 'shop-web-1')['path']
    for number in range(12):
        copy = os.path.join(disk_dir, 'copy-%d' % number)
        shutil.copytree(source, copy)
        files = [os.path.join(folder, name) for folder, dummy, names in os.walk(copy) for name in names]
        victim = sorted(path for path in files if os.path.getsize(path))[rng.randrange(len(files) - 1)]
        position = rng.randrange(os.path.getsize(victim))
        with open(victim, 'r+b') as data:
            data.seek(position)
            byte = data.read(1)[0]
            data.seek(position)
            data.write(bytes([byte ^ (1 << rng.randrange(8))]))
        found = info.inspect(os.fsencode(copy), True)[0]
        assert found['status'] in ('damaged', 'incomplete'), (victim, position)
        done = subprocess.run(['sha256sum', '--strict', '--quiet', '-c', 'SHA256SUMS'], cwd=copy, stderr=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, check=False)
        assert done.returncode != 0, (victim, position)
    assert dest


RUNNER = """
import os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import inventory
with inventory.Host(os.fsencode(sys.argv[1])) as host:
    run.rescue(host, run.Request(os.fsencode(sys.argv[2]), host_name='dead', include=%r))
""" % (rescued.EVERYTHING,)


def runner_environment():
    # the tree that holds ansible_collections, wherever the tests found it
    import ansible_collections
    return dict(os.environ, PYTHONPATH=os.path.dirname(list(ansible_collections.__path__)[0]))


def test_a_killed_run_leaves_nothing_half_and_is_taken_up(dead_root, disk_dir):
    rng = random.Random(dead_root.kind)
    dest = os.path.join(disk_dir, 'dest')
    for dummy in range(4):
        process = subprocess.Popen([sys.executable, '-c', RUNNER, dead_root.host_root, dest], env=runner_environment())
        time.sleep(rng.uniform(0.3, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in glob.glob(os.path.join(dest, 'dead', '[!.]*')):
            if os.path.isdir(path):
                found = info.inspect(os.fsencode(path), True)
                assert [item['status'] for item in found] == ['verified'], path
            elif path.endswith('.yaml'):
                with open(path, encoding='utf-8') as handle:
                    assert handle.read().endswith('\n') and os.path.basename(path).startswith('compose'), path
            else:
                pytest.fail(path)
    subprocess.run([sys.executable, '-c', RUNNER, dead_root.host_root, dest], env=runner_environment(), check=True)
    found = info.inspect(os.fsencode(dest), True)
    assert len(found) == len(dead_root.truth['containers'])
    assert {item['status'] for item in found} == {'verified'}
    assert [name for name in os.listdir(os.path.join(dest, 'dead')) if name.startswith('.')] == []
