"""The built lifeboat.pyz on dead engines: what it says and copies is what docker cp, export, diff and logs said."""
import base64
import json
import os
import subprocess
import sys

import pytest
import rescued
from rig import fixtures, listing, truth, wild

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pyz

EXPORTED = fixtures.some(('shop-web-1', 'shop-hostile'), ('shop-db-1', 'shop-from-commit'))
RESCUED = ('shop-web-1', 'shop-db-1', 'shop-logger')


@pytest.fixture(scope='module')
def tool(tmp_path_factory):
    """tool(root, 'ls', ...) -> (exit status, output, errors) of lifeboat.pyz as a program of its own."""
    path = pyz.pyz(str(tmp_path_factory.mktemp('tool')), 1000000000)

    def run(root, *words):
        done = subprocess.run([sys.executable, '-I', path, '--host-root', root.host_root] + list(words), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert b'Traceback' not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr
    return run


def written(tool, root, path, *words):
    """The same into a file."""
    status, out, err = tool(root, *words)
    assert status == 0, err
    with open(path, 'wb') as target:
        target.write(out)
    return path


def test_look_is_what_the_module_returns(dead_root, tool):
    status, out, err = tool(dead_root, 'look', '--json')
    found = json.loads(out.decode())
    assert {item['name']: item['id'] for item in found['containers']} == {
        name: said['inspect']['Id'] for name, said in dead_root.truth['containers'].items()}
    assert {item['name'] for item in found['volumes']} == set(dead_root.truth['volumes'])
    assert status in (0, 1), err
    assert tool(dead_root, 'look')[0] == status


@pytest.mark.parametrize('name', EXPORTED)
def test_tar_equals_docker_export(dead_root, tool, disk_dir, name):
    path = written(tool, dead_root, os.path.join(disk_dir, 'ours.tar'), 'tar', name)
    ours, our_links = rescued.unlink_hard(rescued.members(path))
    theirs, their_links = rescued.unlink_hard(rescued.members(dead_root.file(dead_root.truth['containers'][name]['export'])))
    assert ours == theirs and our_links == their_links


def test_cp_and_tar_of_a_path_equal_docker_cp(dead_root, tool, disk_dir):
    compared = 0
    before = dead_root.snapshot()
    for number, (name, path) in enumerate(truth.COPIED):
        theirs, their_links = rescued.unlink_hard(rescued.members(dead_root.file(dead_root.truth['containers'][name]['cp'][path])))
        archive = written(tool, dead_root, os.path.join(disk_dir, '%d.tar' % number), 'tar', '%s:%s' % (name, path))
        ours, our_links = rescued.unlink_hard(rescued.members(archive))
        assert ours == theirs and our_links == their_links, (name, path)
        dest = os.path.join(disk_dir, 'copy-%d' % number)
        os.mkdir(dest)
        status, dummy, err = tool(dead_root, 'cp', '--devices', '%s:%s' % (name, path), dest)
        assert status == 0, err
        copied = rescued.tree(dest)
        assert copied == theirs, (name, path)
        compared += len(copied)
    assert compared > 100
    assert listing.differences(before, dead_root.snapshot()) == []


def test_cp_keeps_what_a_tar_of_docker_does_not(dead_root, tool, disk_dir):
    """Times to the nanosecond, extended attributes, holes and hard links: as the volume's folder has them."""
    status, dummy, err = tool(dead_root, 'cp', '--devices', 'volume:shop-data:/', os.path.join(disk_dir, 'data'))
    assert status == 0, err
    said = {item['path']: item for item in dead_root.tree(dead_root.truth['volumes']['shop-data']['tree']) if item['type'] != 's'}
    ours = {item['path']: item for item in listing.listing(os.path.join(disk_dir, 'data'))}
    assert set(ours) == set(said)
    for path, item in said.items():
        for key in ('type', 'mode', 'uid', 'gid', 'mtime_ns', 'xattrs', 'size', 'link', 'rdev', 'sha256'):
            if key == 'mtime_ns' and item['type'] == 'l' and item.get('nlink', 1) > 1:
                continue
            assert ours[path].get(key) == item.get(key), (path, key)
        if item['type'] == 'f' and item['size'] >= wild.SPARSE:
            assert ours[path]['allocated'] < 64 << 20
    assert sum('same_as' in item for item in ours.values()) == sum('same_as' in item for item in said.values())


def test_diff_equals_docker_diff(dead_root, tool):
    compared = 0
    for name, said in dead_root.truth['containers'].items():
        status, out, err = tool(dead_root, 'diff', '--json', name)
        assert status == 0, err
        ours = {(item['kind'], truth.go_text(base64.b64decode(item['path_b64']) if 'path_b64' in item else os.fsencode(item['path'])))
                for item in json.loads(out.decode())['changes']}
        assert ours == {(truth.KINDS_OF_CHANGE[item['Kind']], item['Path']) for item in said['changes']}, name
        compared += len(ours)
    assert compared > 100


def test_logs_equal_docker_logs(dead_root, tool):
    compared = 0
    for name, said in dead_root.truth['containers'].items():
        status, out, err = tool(dead_root, 'logs', '--timestamps', name)
        if said['stdout'] is None:
            assert status == 2 and b'logging driver' in err, name
            continue
        assert status == 0, err
        for stream, ours in (('stdout', out), ('stderr', err)):
            with open(dead_root.file(said[stream]), 'rb') as found:
                theirs = found.read()
            if name == 'shop-logger-local' and dead_root.kind.startswith('debian'):
                # 20.10 forgets the line end behind the last piece of a split line of this driver
                ours, theirs = ours.replace(b'\n', b''), theirs.replace(b'\n', b'')
            assert ours == theirs, (name, stream)
            compared += len(ours)
    assert compared > 10000


def timeless(path):
    with open(os.path.join(path, 'manifest.json'), encoding='utf-8') as found:
        manifest = json.load(found)
    with open(os.path.join(path, 'SHA256SUMS'), encoding='utf-8', errors='surrogateescape') as found:
        sums = sorted(line for line in found if not line.rstrip('\n').endswith(('  manifest.json', '  README.txt')))
    return {key: value for key, value in manifest.items() if key != 'created'}, sums


def test_rescue_by_tool_and_by_module_is_the_same(dead_root, tool, disk_dir):
    status, out, err = tool(dead_root, 'rescue', os.path.join(disk_dir, 'tool'), *(RESCUED + ('--host-name', 'dead', '--json', '--include',
                                                                                              'config,writable,volumes,binds,logs')))
    assert status in (0, 1), err
    theirs = rescued.rescue(dead_root, os.path.join(disk_dir, 'module'), containers=RESCUED,
                            include=('config', 'writable', 'volumes', 'binds', 'logs'), deployment=True)
    ours = json.loads(out.decode())
    assert [(item['name'], item['status']) for item in ours['bundles']] == [(item['name'], item['status']) for item in theirs['bundles']]
    for one, other in zip(ours['bundles'], theirs['bundles']):
        assert timeless(one['path']) == timeless(other['path']), one['name']
    assert tool(dead_root, 'verify', os.path.join(disk_dir, 'tool'))[0] == 0


def test_mount_shows_what_ls_lists(dead_root, tool, disk_dir):
    status, out, err = tool(dead_root, 'mount', 'shop-web-1', disk_dir, '--do')
    assert status == 0, err
    try:
        theirs = set()
        for folder, folders, names in os.walk(os.fsencode(disk_dir)):
            theirs.update(os.path.join(b'/', os.path.relpath(os.path.join(folder, name), os.fsencode(disk_dir))) for name in folders + names)
    finally:
        subprocess.run(['umount', disk_dir], check=True)
    status, out, err = tool(dead_root, 'find', 'shop-web-1', '--no-mounts', '-print0')
    assert status == 0 and set(out.split(b'\0')[:-1]) == theirs, err
