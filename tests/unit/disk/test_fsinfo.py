"""What is mounted, what fstab says, and whether a destination lies in the source, whatever path leads there."""
import ctypes
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import discovery

MOUNTINFO = b'''22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 254:16 / /var/lib/my\\040data\\134x rw,noatime shared:2 master:1 - xfs /dev/mapper/vg-data rw,attr2
31 22 254:1 /srv/real /mnt/bind rw - ext4 /dev/vda1 rw
garbage
32 22 0:55 / /short
33 30 0:60 / /merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u\\040p,workdir=/w
'''


def test_mountinfo():
    table = fsinfo.parse_mountinfo(MOUNTINFO)
    assert [mount.id for mount in table] == [22, 30, 31, 33]
    data = table[1]
    assert data.point == b'/var/lib/my data\\x'
    assert (data.parent, data.dev, data.root, data.fstype, data.source) == (22, b'254:16', b'/', 'xfs',
                                                                            b'/dev/mapper/vg-data')
    assert data.options == (b'rw', b'noatime')
    assert table[2].root == b'/srv/real'
    assert b'workdir=/w' in table[3].super_options


def test_mountinfo_of_this_machine():
    table = fsinfo.mounts()
    assert any(mount.point == b'/proc' and mount.fstype == 'proc' for mount in table)
    assert fsinfo.mount_of(b'/proc/self', table).fstype == 'proc'
    root = fsinfo.mount_of(b'/', table)
    # in a chroot that is no mount point, the mount that holds it has no path there
    assert (root.point if root else None) == (b'/' if any(mount.point == b'/' for mount in table) else None)
    assert fsinfo.mount_of(b'/does/not/exist', table) == root


def test_garbage_is_no_mount():
    assert fsinfo.parse_mountinfo(b'') == ()
    assert fsinfo.parse_mountinfo(b'\0\xff' * 500 + b'\n1 2 3 - \n - - - - - - -\nx y z - a b c d e f g\n') == ()


def test_fstab():
    table = fsinfo.parse_fstab(b'# comment\n\nUUID=1-2 / ext4 errors=remount-ro 0 1\n'
                               b'/dev/sdb1\t/srv/my\\040data/ xfs noauto,x-y 0 2\nUUID=3 none swap sw 0 0\n'
                               b'/a /b none rw,bind\nbroken\n/x /y ext4\n  #no /z ext4\n')
    assert [(entry.source, entry.point) for entry in table] == [
        (b'UUID=1-2', b'/'), (b'/dev/sdb1', b'/srv/my data'), (b'/a', b'/b'), (b'/x', b'/y')]
    assert [entry.is_bind for entry in table] == [False, False, True, False]
    assert table[1].options == (b'noauto', b'x-y')


@pytest.mark.parametrize('path,name', [
    (b'/var/lib/docker', b'var-lib-docker.mount'),
    (b'/var//lib/docker/', b'var-lib-docker.mount'),
    (b'/data-1/x y', b'data\\x2d1-x\\x20y.mount'),
    (b'/.hidden/.x', b'\\x2ehidden-.x.mount'),
    (b'/', b'-.mount'),
])
def test_mount_unit_name(path, name):
    assert fsinfo.mount_unit_name(path) == name


def test_is_below():
    assert fsinfo.is_below(b'/a/b', b'/a')
    assert fsinfo.is_below(b'/a', b'/a')
    assert fsinfo.is_below(b'/a', b'/')
    assert not fsinfo.is_below(b'/ab', b'/a')
    assert not fsinfo.is_below(b'/', b'/a')


def mount(number, parent, dev, root, point):
    return fsinfo.MountPoint(number, parent, dev, root, point, (), 'ext4', b'/dev/x', ())


def test_mounted_at_tells_a_file_system_from_a_self_mount():
    top = mount(1, 0, b'8:1', b'/', b'/')
    own = mount(2, 1, b'8:1', b'/var/lib/docker', b'/var/lib/docker')       # as dockerd does
    assert fsinfo.mounted_at(b'/var/lib/docker', (top, own)) is None
    disk = mount(3, 1, b'8:17', b'/', b'/var/lib/docker')
    assert fsinfo.mounted_at(b'/var/lib/docker', (top, disk)) == disk
    over = mount(4, 3, b'8:17', b'/', b'/var/lib/docker')                   # dockerd's, on top of a real one
    assert fsinfo.mounted_at(b'/var/lib/docker', (top, disk, over)) == disk
    bind = mount(5, 1, b'8:1', b'/data', b'/var/lib/docker')
    assert fsinfo.mounted_at(b'/var/lib/docker', (top, bind)) == bind
    assert fsinfo.mounted_at(b'/var/lib', (top, own)) is None
    deep = mount(6, 7, b'8:2', b'/@/lib', b'/mnt/dead/var/lib')
    assert fsinfo.mounted_at(b'/mnt/dead/var/lib', (mount(7, 1, b'8:2', b'/@', b'/mnt/dead/var'), deep)) is None


def test_free(tmp_path):
    path = os.fsencode(str(tmp_path))
    room = fsinfo.free(path)
    st = os.statvfs(path)
    assert room.total == st.f_blocks * st.f_frsize
    assert 0 <= room.bytes <= room.total
    assert room.inodes is None if st.f_files == 0 else 0 <= room.inodes <= st.f_files
    assert fsinfo.free(os.path.join(path, b'not/yet/there')).total == room.total


def test_same_file_system(tmp_path):
    path = os.fsencode(str(tmp_path))
    assert fsinfo.same_file_system(path, os.path.join(path, b'new/folder'))
    assert not fsinfo.same_file_system(path, b'/proc')


def test_lies_inside_by_name_and_by_link(tmp_path):
    source = os.fsencode(str(tmp_path / 'source'))
    other = os.fsencode(str(tmp_path / 'other'))
    os.makedirs(os.path.join(source, b'volumes/x'))
    os.mkdir(other)
    os.symlink(source, os.path.join(other, b'abs'))
    os.symlink(b'../source/volumes', os.path.join(other, b'rel'))
    os.symlink(other, os.path.join(source, b'out'))
    os.symlink(os.path.join(source, b'new'), os.path.join(other, b'dangling'))
    for path in (source, source + b'/', source + b'/new/deep', source + b'/volumes/x', other + b'/abs',
                 other + b'/abs/new', other + b'/rel/x/y', other + b'/../source/z', other + b'/dangling/x'):
        assert fsinfo.lies_inside(path, source), path
        assert fsinfo.lies_inside(path, other + b'/abs'), path
    for path in (other, other + b'/new', source + b'/out', source + b'/out/x', source + b'/..', source + b'x'):
        assert not fsinfo.lies_inside(path, source), path
    with pytest.raises(OSError):
        fsinfo.lies_inside(other, source + b'/nothing')


CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18


def in_mount_namespace(binds, question):
    """Make bind mounts [(source, target)] in a mount namespace of a child process; what QUESTION() gives there."""
    libc = ctypes.CDLL(None, use_errno=True)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if os.geteuid() else 0)):
                os._exit(77)
            if libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None):
                os._exit(77)
            for source, target in binds:
                if libc.mount(source, target, None, MS_BIND, None):
                    os._exit(77)
            os.write(writing, json.dumps(question()).encode())
            os._exit(0)
        except BaseException:
            os._exit(78)
    os.close(writing)
    with os.fdopen(reading, 'rb') as stream:
        raw = stream.read()
    status = os.waitpid(child, 0)[1]
    if os.WEXITSTATUS(status) == 77:
        assert not os.environ.get('CI'), 'mount namespaces must be possible in CI (root or user namespaces)'
        pytest.skip('neither root nor user namespaces')
    assert status == 0
    return json.loads(raw.decode())


def test_lies_inside_through_bind_mounts(tmp_path):
    base = os.fsencode(str(tmp_path))
    for name in (b'source/volumes/x', b'whole', b'part', b'data/in', b'source/mounted', b'free', b'beside'):
        os.makedirs(os.path.join(base, name))
    source = base + b'/source'

    def question():
        return [fsinfo.lies_inside(path, source) for path in (
            base + b'/whole', base + b'/whole/new',             # another name of the folder itself
            base + b'/part', base + b'/part/new/x',             # another name of a folder in it
            base + b'/data', base + b'/data/in/new',            # mounted into it
            base + b'/free', base + b'/free/new', base + b'/beside/new')] + [
                fsinfo.same_file_system(base + b'/part', base + b'/free')]

    assert in_mount_namespace([(source, base + b'/whole'), (source + b'/volumes', base + b'/part'),
                               (base + b'/data', source + b'/mounted'), (base + b'/free', base + b'/beside')],
                              question) == [True] * 6 + [False] * 3 + [True]


def test_mount_of_a_hidden_mount_point(tmp_path):
    """Names alone would give the mount that lies below the other one."""
    base = os.fsencode(str(tmp_path))
    for name in (b'a/x', b'b', b'top/x'):
        os.makedirs(os.path.join(base, name))

    def question():
        found = fsinfo.mount_of(base + b'/a/x')
        return [found.point == base + b'/a', found.root.endswith(b'/top')]

    assert in_mount_namespace([(base + b'/b', base + b'/a/x'), (base + b'/top', base + b'/a')],
                              question) == [True, True]


def test_discovery_sees_what_is_mounted_below_the_host_root(tmp_path):
    """fstab names a disk for the data root: no complaint once it is mounted, and none about dockerd's self-mount."""
    base = os.fsencode(str(tmp_path))
    root = base + b'/dead/var/lib/docker'
    for name in (b'/dead/etc', b'/dead/var/lib/docker/containers', b'/disk/containers/' + b'c' * 64,
                 b'/disk/overlay2/' + b'd' * 64):
        os.makedirs(base + name)
    with open(base + b'/dead/etc/fstab', 'wb') as stream:
        stream.write(b'/dev/sdb1 /var/lib/docker ext4 defaults 0 2\n')

    def question():
        return [problem.code for problem in discovery.find_roots(HostRoot(base + b'/dead'), []).problems]

    assert question() == ['DATA_ROOT_NOT_MOUNTED', 'DATA_ROOT_EMPTY']
    assert in_mount_namespace([(root, root)], question) == ['DATA_ROOT_NOT_MOUNTED', 'DATA_ROOT_EMPTY']
    assert in_mount_namespace([(base + b'/disk', root)], question) == []
