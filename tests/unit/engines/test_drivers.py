"""Storage drivers that no engine here can run: data of the documented shape, one small host for each.

The same story everywhere: the image has /keep, /drop, /dir/old and /folder/below; the container wrote /new, removed /drop and
replaced /folder by a folder with /folder/mine.
"""
import hashlib
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.tree import Failure
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import api, registry
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import changes, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

CID = 'c' * 64
MID = 'd' * 64
BASE, TOP = 'a' * 64, 'b' * 64          # see of_both_builders
MERGED = {b'keep', b'dir', b'dir/old', b'new', b'folder', b'folder/mine', b'.dockerenv'}
CHANGES = {('A', b'new'), ('D', b'drop'), ('A', b'folder/mine'), ('D', b'folder/below'), ('C', b'folder')}


@pytest.fixture(autouse=True, params=[('a' * 64, 'b' * 64), ('qx0z5m3n8k1v7c2b9l4j6h0gw', '1jz8y3k0w2v5x7q9m4n6b8c0t')],
                ids=['docker', 'buildkit'])
def of_both_builders(request, monkeypatch):
    """Every test here for image layers whose folders have dockerd's own ids, and for those of BuildKit."""
    monkeypatch.setitem(globals(), 'BASE', request.param[0])
    monkeypatch.setitem(globals(), 'TOP', request.param[1])


def put(root, path, data=b''):
    full = os.path.join(str(root), path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'wb') as out:
        out.write(data if isinstance(data, bytes) else data.encode())
    os.utime(full, (1500000000, 1500000000))


def image_lower(root, path):
    put(root, path + '/keep', b'k')
    put(root, path + '/drop', b'd')


def image_upper(root, path):
    put(root, path + '/dir/old', b'o')
    put(root, path + '/folder/below', b'b')


def records(root, driver, with_layerdb=True, config_name='config.v2.json', image=None):
    diff_ids = ['sha256:' + hashlib.sha256(name).hexdigest() for name in (b'one', b'two')]
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {},
                         'rootfs': {'type': 'layers', 'diff_ids': diff_ids}})
    image_id = hashlib.sha256(config.encode()).hexdigest()
    chain = 'sha256:' + hashlib.sha256(' '.join(diff_ids).encode()).hexdigest()
    if with_layerdb:
        base = 'image/%s/' % driver
        put(root, base + 'imagedb/content/sha256/' + image_id, config)
        put(root, base + 'repositories.json', json.dumps({'Repositories': {'story': {'story:1': 'sha256:' + image_id}}}))
        for name, cache_id, diff, parent in ((diff_ids[0], BASE, diff_ids[0], None), (chain, TOP, diff_ids[1], diff_ids[0])):
            put(root, base + 'layerdb/sha256/%s/cache-id' % name[7:], cache_id)
            put(root, base + 'layerdb/sha256/%s/diff' % name[7:], diff)
            put(root, base + 'layerdb/sha256/%s/size' % name[7:], '2')
            if parent:
                put(root, base + 'layerdb/sha256/%s/parent' % name[7:], parent)
        put(root, base + 'layerdb/mounts/%s/mount-id' % CID, MID)
        put(root, base + 'layerdb/mounts/%s/init-id' % CID, MID + '-init')
        put(root, base + 'layerdb/mounts/%s/parent' % CID, chain)
    put(root, 'containers/%s/%s' % (CID, config_name), json.dumps({
        'ID': CID, 'Name': '/story', 'Driver': driver, 'Image': image or 'sha256:' + image_id, 'Config': {'Image': 'story:1'},
        'Created': '2020-01-02T03:04:05Z', 'State': {'StartedAt': '2020-01-02T03:04:06Z'}, 'MountPoints': {}}))
    put(root, 'containers/%s/hostconfig.json' % CID, '{}')
    put(root, 'containers/%s/%s-json.log' % (CID, CID))
    return 'sha256:' + image_id


@pytest.fixture
def root(tmp_path):
    path = tmp_path / 'host' / 'var' / 'lib' / 'docker'
    path.mkdir(parents=True)
    return path


def read(root, **options):
    host = registry.open_host(os.fsencode(str(root.parents[2])), [b'/var/lib/docker'], **options)
    return host, host.roots[0].container(CID)


def check(root, driver, merged=frozenset(MERGED), diff=frozenset(CHANGES), status=model.COMPLETE, **options):
    host, found = read(root, **options)
    with host:
        assert (found.name, found.driver, found.status) == ('story', driver, status), found.problems
        with union.View(found.stack.view()) as view:
            entries = list(view.entries())
        assert not [item for item in entries if isinstance(item, Failure)]
        assert {item.path for item in entries} == set(merged)
        assert {(item.kind, item.path) for item in changes.changes(found.stack)} == set(diff)
        with union.View(found.stack.view()) as view:
            if not view.encodings[0].hides_all:
                gone = {item.path for item in view.layer_entries() if item.whiteout}
                assert b'drop' in gone
    return found


def init_layer(root, path):
    put(root, path + '/.dockerenv')


def same_times(root):
    for folder, folders, names in os.walk(str(root)):
        for name in folders + names:
            os.utime(os.path.join(folder, name), (1500000000, 1500000000), follow_symlinks=False)


def test_aufs(root):
    records(root, 'aufs')
    image_lower(root, 'aufs/diff/' + BASE)
    image_upper(root, 'aufs/diff/' + TOP)
    init_layer(root, 'aufs/diff/%s-init' % MID)
    upper = 'aufs/diff/' + MID
    put(root, upper + '/new', b'n')
    put(root, upper + '/.wh.drop')
    put(root, upper + '/folder/mine', b'm')
    put(root, upper + '/folder/.wh..wh..opq')
    put(root, upper + '/.wh..wh.aufs')
    put(root, upper + '/.wh..wh.plnk/123.45', b'p')
    put(root, 'aufs/layers/' + MID, '%s-init\n%s\n%s\n' % (MID, TOP, BASE))
    # a folder that was made anew counts as changed only if its mode or owner is: the opaque mark itself shows nothing
    check(root, 'aufs')


def test_aufs_without_layerdb(root):
    """The driver's own list of ancestors tells the order."""
    test_aufs(root)
    import shutil
    shutil.rmtree(str(root / 'image'))
    host, found = read(root)
    with host:
        assert found.stack is None or found.status != model.COMPLETE


def test_fuse_overlayfs_with_every_marker(root):
    for form in ('file', 'xattr'):
        records(root, 'fuse-overlayfs')
        image_lower(root, 'fuse-overlayfs/%s/diff' % BASE)
        image_upper(root, 'fuse-overlayfs/%s/diff' % TOP)
        init_layer(root, 'fuse-overlayfs/%s-init/diff' % MID)
        upper = 'fuse-overlayfs/%s/diff' % MID
        put(root, upper + '/new', b'n')
        put(root, upper + '/.wh.drop')
        put(root, upper + '/folder/mine', b'm')
        opaque = str(root / upper / 'folder' / '.wh..wh..opq')
        if form == 'file':
            put(root, upper + '/folder/.wh..wh..opq')
        else:
            os.unlink(opaque)
            try:
                os.setxattr(str(root / upper / 'folder'), 'user.fuseoverlayfs.opaque', b'y')
            except OSError:
                pytest.fail('the file system of the tests knows no user xattrs')
        put(root, 'fuse-overlayfs/%s/lower' % MID, '')
        check(root, 'fuse-overlayfs')


@pytest.mark.parametrize('driver, folder', [('vfs', 'vfs/dir/'), ('btrfs', 'btrfs/subvolumes/')])
def test_each_layer_is_a_whole_tree(root, driver, folder):
    records(root, driver)
    image_lower(root, folder + BASE)
    for name in (TOP, MID + '-init', MID):
        image_lower(root, folder + name)
        image_upper(root, folder + name)
    for name in (MID + '-init', MID):
        init_layer(root, folder + name)
    os.unlink(str(root / folder / MID / 'drop'))
    os.unlink(str(root / folder / MID / 'folder/below'))
    put(root, '%s%s/new' % (folder, MID), b'n')
    put(root, '%s%s/folder/mine' % (folder, MID), b'm')
    check(root, driver)


def test_legacy_overlay(root):
    """An image layer is a whole tree; the container's upper began as a copy of the init layer's."""
    records(root, 'overlay')
    image_lower(root, 'overlay/%s/root' % BASE)
    image_lower(root, 'overlay/%s/root' % TOP)
    image_upper(root, 'overlay/%s/root' % TOP)
    os.unlink(str(root / ('overlay/%s/root' % BASE) / 'keep'))
    put(root, 'overlay/%s/root/only-in-base' % BASE, b'x')
    init_layer(root, 'overlay/%s-init/upper' % MID)
    upper = 'overlay/%s/upper' % MID
    init_layer(root, upper)
    put(root, upper + '/new', b'n')
    put(root, 'overlay/%s/lower-id' % MID, TOP)
    if os.geteuid() == 0:
        os.mknod(str(root / upper / 'drop'), 0o020000)
        put(root, upper + '/folder/mine', b'm')
        os.setxattr(str(root / upper / 'folder'), 'trusted.overlay.opaque', b'y')
        assert [item.code for item in check(root, 'overlay').problems] == []
    else:
        host, found = read(root)
        with host:
            assert [os.path.basename(os.path.dirname(layer.path)) for layer in found.stack.image] == [TOP.encode()]
            assert [item.code for item in found.problems if item.code.startswith('LAYER_')] == []


@pytest.mark.parametrize('of_both_builders', [('a' * 64, 'b' * 64)], indirect=True)   # there was no BuildKit yet
def test_before_1_10(root):
    """graph/, config.json, repositories-aufs; the layer folder has the container's own id."""
    records(root, 'aufs', with_layerdb=False, config_name='config.json', image=TOP)
    for name, parent in ((BASE, None), (TOP, BASE)):
        value = {'id': name, 'architecture': 'amd64', 'os': 'linux', 'config': {}}
        if parent:
            value['parent'] = parent
        put(root, 'graph/%s/json' % name, json.dumps(value))
        put(root, 'graph/%s/layersize' % name, '2')
    put(root, 'repositories-aufs', json.dumps({'Repositories': {'story': {'1': TOP}}}))
    image_lower(root, 'aufs/diff/' + BASE)
    image_upper(root, 'aufs/diff/' + TOP)
    init_layer(root, 'aufs/diff/%s-init' % CID)
    upper = 'aufs/diff/' + CID
    put(root, upper + '/new', b'n')
    put(root, upper + '/.wh.drop')
    put(root, upper + '/folder/mine', b'm')
    put(root, upper + '/folder/.wh..wh..opq')
    put(root, 'aufs/layers/' + CID, '%s-init\n%s\n%s\n' % (CID, TOP, BASE))
    config = json.loads((root / 'containers' / CID / 'config.json').read_text())
    del config['MountPoints']
    config['Volumes'] = {'/data': '/var/lib/docker/vfs/dir/' + 'e' * 64}
    config['VolumesRW'] = {'/data': True}
    put(root, 'containers/%s/config.json' % CID, json.dumps(config))
    put(root, 'vfs/dir/%s/row' % ('e' * 64), b'1')
    found = check(root, 'aufs')
    assert [(mount.destination, mount.status) for mount in found.mounts] == [('/data', 'complete')]
    host, dummy = read(root)
    with host:
        images = {image.id: image for image in host.roots[0].images()}
    assert images[TOP].references == ('story:1',) and images[TOP].status == model.COMPLETE
    assert [layer.cache_id for layer in images[TOP].layers] == [BASE, TOP]


@pytest.mark.parametrize('driver, words', [('devicemapper', ('dmsetup', '7', '10737418240')), ('zfs', ('zfs', MID)),
                                           ('windowsfilter', ('Windows',))])
def test_unsupported_ones_say_what_can_read_them(root, driver, words):
    records(root, driver)
    if driver == 'devicemapper':
        put(root, 'devicemapper/metadata/' + MID, json.dumps(
            {'device_id': 7, 'size': 10737418240, 'transaction_id': 3, 'initialized': False, 'deleted': False}))
    else:
        (root / driver / 'graph' / MID).mkdir(parents=True)
    put(root, 'volumes/data/_data/row', b'1')
    path = root / 'containers' / CID / 'config.v2.json'
    config = json.loads(path.read_text())
    config['MountPoints'] = {'/data': {'Type': 'volume', 'Name': 'data', 'Driver': 'local', 'Destination': '/data', 'RW': True}}
    put(root, 'containers/%s/config.v2.json' % CID, json.dumps(config))
    host, found = read(root)
    with host:
        assert found.status == model.UNSUPPORTED and found.stack is None
        note = next(item for item in found.problems if item.code == 'DRIVER_UNSUPPORTED')
        assert all(word in note.next_step for word in words), note
        assert [(mount.name, mount.status) for mount in found.mounts] == [('data', 'complete')]


def thin_record(root, ident, **values):
    put(root, 'devicemapper/metadata/' + ident, json.dumps(dict(
        {'device_id': 7, 'size': 10737418240, 'transaction_id': 3, 'initialized': False, 'deleted': False}, **values)))


def mounted(root, ident, *builders):
    put(root, 'devicemapper/mnt/' + os.fsdecode(api.THIN_MARK))
    for each in builders:
        each(root, 'devicemapper/mnt/%s/rootfs' % ident)


def test_layers_of_devicemapper_that_are_mounted_are_read_as_full_copies(root):
    def story(where, path):
        image_lower(where, path)
        image_upper(where, path)
        os.remove(os.path.join(str(where), path, 'drop'))
        os.remove(os.path.join(str(where), path, 'folder/below'))
        put(where, path + '/new', b'n')
        put(where, path + '/folder/mine', b'm')
        put(where, path + '/.dockerenv')

    records(root, 'devicemapper')
    for number, ident in enumerate((BASE, TOP, MID + '-init', MID)):
        thin_record(root, ident, device_id=number)
    mounted(root, BASE, image_lower)
    mounted(root, TOP, image_lower, image_upper)
    mounted(root, MID + '-init', image_lower, image_upper, lambda where, path: put(where, path + '/.dockerenv'))
    mounted(root, MID, story)
    same_times(root)
    host, found = read(root)
    with host:
        assert found.status == model.COMPLETE and not found.problems, found.problems
        with union.View(found.stack.view()) as view:
            assert {entry.path for entry in view.entries()} == MERGED
        assert {(each.kind, each.path) for each in changes.changes(found.stack)} >= CHANGES - {('C', b'folder')}


def test_a_pool_of_devicemapper_that_was_moved_behind_a_link_is_told_where_it_is(root):
    records(root, 'devicemapper')
    thin_record(root, BASE)
    put(root, 'devicemapper/devicemapper/data')
    put(root, 'devicemapper/devicemapper/metadata')
    (root.parents[2] / 'big').mkdir()
    os.rename(str(root / 'devicemapper'), str(root.parents[2] / 'big/dm'))
    os.symlink('/big/dm', str(root / 'devicemapper'))
    with registry.open_host(os.fsencode(str(root.parents[2])), [b'/var/lib/docker']) as host:
        pool, = host.roots[0].thin_pools()
        top = os.path.join(os.path.realpath(os.fsencode(str(root.parents[2]))), b'big/dm')
        assert (pool.folder, pool.data) == (top + b'/mnt', top + b'/devicemapper/data')


@pytest.mark.parametrize('attached', [True, False])
def test_a_layer_of_devicemapper_that_is_not_mounted_is_not_lost(root, attached):
    """Its device could not be opened; or nothing was attached, and a dockerd that runs has mounted what its running containers need."""
    records(root, 'devicemapper')
    for ident in (BASE, TOP, MID):
        thin_record(root, ident, device_id=9)
    mounted(root, TOP, image_lower, image_upper)
    if not attached:
        mounted(root, MID, image_lower, image_upper)
        os.unlink(str(root / 'devicemapper/mnt' / os.fsdecode(api.THIN_MARK)))
    host, found = read(root)
    with host:
        assert found.status == model.UNSUPPORTED
        assert 'attach_layers' in next(item for item in found.problems if item.code == 'DRIVER_UNSUPPORTED').next_step
        if not attached:
            assert {image.status for image in host.roots[0].images()} == {model.UNSUPPORTED}


def test_pools_of_devicemapper_are_told_with_what_makes_sense(root):
    records(root, 'devicemapper')
    thin_record(root, BASE, device_id=3, size=1 << 30)
    for number, bad in enumerate(({'device_id': -1}, {'device_id': True}, {'device_id': '7'}, {'device_id': 1 << 24}, {'size': 0}, {'size': 1e99},
                                  {'size': '9 thin /dev/sda 1'}, {'size': 1 << 60})):
        thin_record(root, '%064x' % number, **bad)
    put(root, 'devicemapper/metadata/' + TOP, b'{"device_id": 3,')
    put(root, 'devicemapper/metadata/base', json.dumps({'device_id': 1, 'size': 10737418240}))
    with registry.open_host(os.fsencode(str(root.parents[2])), [b'/var/lib/docker']) as host:
        pool, = host.roots[0].thin_pools()
        assert [tuple(each) for each in pool.devices] == [(BASE.encode(), 3, 1 << 30)]
        assert pool.folder == os.path.join(host.roots[0].path, b'devicemapper/mnt') and pool.data == b''
    put(root, 'devicemapper/devicemapper/data')
    put(root, 'devicemapper/devicemapper/metadata')
    with registry.open_host(os.fsencode(str(root.parents[2])), [b'/var/lib/docker']) as host:
        pool, = host.roots[0].thin_pools()
        assert pool.data.endswith(b'/devicemapper/devicemapper/data') and pool.metadata.endswith(b'/devicemapper/devicemapper/metadata')


def test_a_hundred_and_twenty_layers(root):
    """More layers than fit into one mount option string."""
    diff_ids = ['sha256:' + hashlib.sha256(b'%d' % number).hexdigest() for number in range(120)]
    config = json.dumps({'rootfs': {'type': 'layers', 'diff_ids': diff_ids}})
    image_id = hashlib.sha256(config.encode()).hexdigest()
    base, parent = 'image/overlay2/', None
    for number, diff_id in enumerate(diff_ids):
        chain = diff_id if parent is None else 'sha256:' + hashlib.sha256((parent + ' ' + diff_id).encode()).hexdigest()
        cache_id = hashlib.sha256(b'cache %d' % number).hexdigest()
        put(root, base + 'layerdb/sha256/%s/cache-id' % chain[7:], cache_id)
        put(root, base + 'layerdb/sha256/%s/diff' % chain[7:], diff_id)
        put(root, base + 'layerdb/sha256/%s/size' % chain[7:], '1')
        if parent:
            put(root, base + 'layerdb/sha256/%s/parent' % chain[7:], parent)
        put(root, 'overlay2/%s/diff/file-%03d' % (cache_id, number), b'x')
        parent = chain
    put(root, base + 'imagedb/content/sha256/' + image_id, config)
    for name, value in (('mount-id', MID), ('init-id', MID + '-init'), ('parent', parent)):
        put(root, base + 'layerdb/mounts/%s/%s' % (CID, name), value)
    init_layer(root, 'overlay2/%s-init/diff' % MID)
    put(root, 'overlay2/%s/diff/new' % MID, b'n')
    put(root, 'containers/%s/config.v2.json' % CID, json.dumps({
        'ID': CID, 'Name': '/story', 'Driver': 'overlay2', 'Image': 'sha256:' + image_id, 'Config': {}, 'State': {},
        'MountPoints': {}}))
    host, found = read(root)
    with host:
        assert len(found.stack.image) == 120
        with union.View(found.stack.view()) as view:
            names = [item.path for item in view.entries()]
        assert len(names) == 122
        assert {(item.kind, item.path) for item in changes.changes(found.stack)} == {('A', b'new')}
