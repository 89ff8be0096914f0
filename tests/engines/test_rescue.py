"""Bundles of real engines: archives as other programs read them, second runs, damage, a run that is killed. See also tests/conformance."""
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import rescued
from rig import fixtures, listing, wild

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info


def bundle_of(result, name):
    return next(item for item in result['bundles'] if item['container'] == name)


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


@pytest.mark.parametrize('kind', fixtures.some(['newer-overlay2'], ['debian-overlay2', 'newer-containerd']))
def test_a_damaged_database_of_networks_is_named(dead_root_of, kind, disk_dir):
    """And the container still gets the network, as its own record has it."""
    root = dead_root_of(kind)
    path = os.path.join(root.data_root, 'network/files/local-kv.db')

    def rescued_as(dest):
        result = rescued.rescue(root, os.path.join(disk_dir, dest), include=('config',), containers=('shop-web-2',))
        with open(os.path.join(bundle_of(result, 'shop-web-2')['path'], 'config/run.sh'), encoding='utf-8') as made:
            return [item for item in result['problems'] if item['code'] == 'NETWORK_DB_DAMAGED'], made.read()
    notes, script = rescued_as('whole')
    assert notes == [] and 'network create --subnet 10.213.0.0/24' in script and '--internal' in script
    os.rename(path, path + '.parked')
    try:
        for hurt in ('garbage', 'cut', 'gone'):
            if hurt == 'gone':
                os.unlink(path)
            else:
                with open(path + '.parked', 'rb') as old, open(path, 'wb') as out:
                    out.write(b'garbage' * 4000 if hurt == 'garbage' else old.read(9000))
            (note,), script = rescued_as(hurt)
            assert 'shop-net' in note['message'] and note['severity'] == 'warning' and '--network shop-net' in script, hurt
    finally:
        os.rename(path + '.parked', path)


# -- archives ----------------------------------------------------------------------------------------------------------------


def test_writable_over_the_image_gives_the_same_tree(dead_root, disk_dir):
    """The writable layer applied to the image by OCI rules: extract the export of a fresh container's layers, then ours."""
    result = rescued.everything(dead_root)[0]
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


def test_sparse_files_stay_sparse(dead_root, disk_dir):
    result = rescued.everything(dead_root)[0]
    bundle = bundle_of(result, 'shop-sparse')
    writable = rescued.component(bundle, 'writable')
    assert writable['source_bytes'] >= wild.SPARSE
    assert writable['tar_bytes'] < 64 << 20
    rescued.extract(os.path.join(bundle['path'], writable['file']), disk_dir)
    sizes = [(os.lstat(os.path.join(folder, name)).st_size, os.lstat(os.path.join(folder, name)).st_blocks * 512)
             for folder, dummy, names in os.walk(disk_dir) for name in names]
    size, blocks = max(sizes)
    assert size >= wild.SPARSE and blocks < 64 << 20


def test_hostile_links_are_kept_as_links(dead_root):
    result = rescued.everything(dead_root)[0]
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


def test_second_run_changes_nothing(dead_root):
    dest = rescued.everything(dead_root)[1]
    before = listing.snapshot(dest)
    again = rescued.rescue(dead_root, dest, volumes=('*',), orphans=True)
    assert again['changed'] is False
    assert [item['name'] for item in again['bundles'] if item['changed']] == []
    after = listing.snapshot(dest)
    assert {path: item[:10] for path, item in before.items()} == {path: item[:10] for path, item in after.items()}


def test_a_flipped_bit_is_found(dead_root, disk_dir):
    dest = rescued.everything(dead_root)[1]
    rng = random.Random(dead_root.kind)
    source = bundle_of(rescued.everything(dead_root)[0], 'shop-web-1')['path']
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
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(os.fsencode(sys.argv[1])) as host:
    run.rescue(host, run.Request(os.fsencode(sys.argv[2]), host_name='dead', include=%r))
""" % (rescued.EVERYTHING,)


def runner_environment():
    # the tree that holds ansible_collections, wherever the tests found it
    import ansible_collections
    return dict(os.environ, PYTHONPATH=os.path.dirname(list(ansible_collections.__path__)[0]))


def test_a_killed_run_leaves_nothing_half_and_is_taken_up(dead_root, disk_dir):
    rng = random.Random(dead_root.kind)
    dest = os.path.join(disk_dir, 'dest')
    for dummy in fixtures.some(range(2), range(2, 6)):
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
