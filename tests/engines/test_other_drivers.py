# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vfs, btrfs and userns-remap, each from a real dockerd: the same truths as for overlay2."""
import os

import pytest
import rescued
from rig import listing, truth

KINDS = ('debian-vfs', 'debian-btrfs', 'debian-userns')


@pytest.fixture(scope='module', params=KINDS)
def root(request, dead_root_of):
    return dead_root_of(request.param)


@pytest.fixture(scope='module')
def rescues():
    made = {}

    def get(root):
        if root.kind not in made:
            before = root.snapshot()
            result = rescued.rescue(root, os.path.join(root.scratch, 'rescued'), volumes=('*',))
            made[root.kind] = result, before, root.snapshot()
        return made[root.kind]
    return get


def test_changes_equal_docker_diff(root):
    facts = rescued.gather(root, gather_subset=['containers', 'changes'], changes_limit=0)
    assert {item['name'] for item in facts['containers']} == set(root.truth['containers'])
    for item in facts['containers']:
        said = {(truth.KINDS_OF_CHANGE[change['Kind']], change['Path'])
                for change in root.truth['containers'][item['name']]['changes']}
        import base64
        ours = {(change['kind'], truth.go_text(base64.b64decode(change['path_b64']) if 'path_b64' in change
                                               else os.fsencode(change['path']))) for change in item['changes']}
        assert ours == said, item['name']


def test_images_and_states(root):
    facts = rescued.gather(root, gather_subset=['containers', 'images'])
    assert {item['id'] for item in facts['images']} == {item['Id'] for item in root.truth['images']}
    assert all(item['status'] == 'complete' for item in facts['images'])
    for item in facts['containers']:
        assert item['state']['status'] == root.truth['containers'][item['name']]['inspect']['State']['Status']
    assert bool(facts['roots'][0]['userns']) == (root.kind == 'debian-userns')


def test_rootfs_equals_docker_export_with_the_containers_own_ids(root, rescues):
    """docker export maps owners back to what the container saw, and so do we. It leaves out what belongs to an id outside
    the map (the init layer's /etc/mtab is the host's root's); we keep it."""
    result = rescues(root)[0]
    for name, said in root.truth['containers'].items():
        bundle = next(item for item in result['bundles'] if item['container'] == name)
        ours, our_links = rescued.unlink_hard(rescued.members(
            os.path.join(bundle['path'], rescued.component(bundle, 'rootfs')['file']), ['zstd', '-dc']))
        theirs, their_links = rescued.unlink_hard(rescued.members(root.file(said['export'])))
        if root.kind == 'debian-userns':
            assert set(ours) - set(theirs) <= {b'etc/mtab'}
            ours.pop(b'etc/mtab', None)
        assert set(ours) == set(theirs), name
        for path, item in theirs.items():
            assert ours[path] == item, (name, path)
        assert our_links == their_links, name


def test_source_is_unchanged(root, rescues):
    dummy, before, after = rescues(root)
    assert listing.differences(before, after) == []


def test_owner_ids(dead_root_of, disk_dir):
    """`disk` keeps the ids of the disk, `container` shifts them by the map, which the manifest records."""
    root = dead_root_of('debian-userns')
    start = root.truth['volumes'] and int(os.path.basename(root.data_root).split('.')[0])
    assert start > 0
    for owner_ids in ('disk', 'container'):
        dest = os.path.join(disk_dir, owner_ids)
        result = rescued.rescue(root, dest, containers=('shop-web-1',), volumes=('shop-data',), owner_ids=owner_ids)
        bundle = next(item for item in result['bundles'] if item['kind'] == 'volume')
        target = os.path.join(dest, 'extracted')
        rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'volume:shop-data')['file']), target)
        ours = {item['path']: item for item in listing.listing(target)}
        said = {item['path']: item for item in root.tree(root.truth['volumes']['shop-data']['tree']) if item['type'] != 's'}
        assert set(ours) == set(said)
        shifted = 0
        for path, item in said.items():
            uid = item['uid']
            if owner_ids == 'container' and start <= uid < start + 65536:
                uid -= start
                shifted += 1
            assert ours[path]['uid'] == uid, path
        assert (shifted > 0) == (owner_ids == 'container')
        manifest = rescued.manifest(bundle)
        assert manifest['source']['owner_ids'] == owner_ids
        assert manifest['source']['idmap']['uid'][0][:2] == [0, start]
