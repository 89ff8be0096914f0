"""What crypttab and mdadm.conf of the dead host say about its disks, also where they are hostile."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import (
    filesystems,
    hints,
    hosts,
    nested,
    raid,
    session,
    state,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.superblocks import LUKS, Found
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot

IDENT = '0a1b2c3d-0000-1111-2222-333344445555'


def dead(tmp_path, **files):
    for name, raw in files.items():
        path = tmp_path / 'dead' / name.replace('__', '/').replace('_conf', '.conf')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return HostRoot(os.fsencode(str(tmp_path / 'dead')))


def test_lines_of_crypttab(tmp_path):
    host = dead(tmp_path, etc__crypttab=b'# a comment\n\ncrypt_var UUID=%s /etc/keys/var luks,discard\nswap /dev/sda3 /dev/urandom swap\n'
                b'typed PARTUUID=x none luks\nold /dev/sdb1\nshort\n' % IDENT.encode())
    assert [(each.name, each.source, each.key) for each in hints.crypttab(host)] == [
        ('crypt_var', b'UUID=' + IDENT.encode(), b'/etc/keys/var'), ('swap', b'/dev/sda3', b''), ('typed', b'PARTUUID=x', b''), ('old', b'/dev/sdb1', b'')]
    assert hints.crypttab(HostRoot(os.fsencode(str(tmp_path)))) == ()


@pytest.mark.parametrize('options, expected', [('luks', b'0123456789'), ('keyfile-size=4', b'0123'), ('luks,keyfile-offset=2,keyfile-size=3', b'234'),
                                               ('keyfile-size=x', b'0123456789'), ('keyfile-offset=99', b'')])
def test_a_key_file_is_cut_as_its_options_say(options, expected, tmp_path):
    host = dead(tmp_path, etc__key=b'0123456789', etc__crypttab=b'v UUID=1 /etc/key ' + options.encode())
    line, = hints.crypttab(host)
    assert hints.key_of(host, line) == expected


def test_a_key_file_outside_of_the_dead_host_is_not_read(tmp_path):
    (tmp_path / 'secret').write_bytes(b'of this machine')
    host = dead(tmp_path, etc__crypttab=b'a UUID=1 /etc/out\nb UUID=1 /etc/../../secret\nc UUID=1 /etc/pipe\nd UUID=1 /dev/zero\n')
    os.symlink(str(tmp_path / 'secret'), str(tmp_path / 'dead/etc/out'))
    os.mkfifo(str(tmp_path / 'dead/etc/pipe'))
    assert [hints.key_of(host, line) for line in hints.crypttab(host)] == [None] * 4


def test_arrays_of_mdadm_conf(tmp_path):
    host = dead(tmp_path, etc__mdadm__mdadm_conf=b'DEVICE partitions\nARRAY /dev/md7 metadata=1.2 name=h:7 UUID=0a1b2c3d:00001111:22223333:44445555\n'
                b'array data\n   level=raid1\n\tuuid=ffffffff:00000000:ffffffff:00000000\nARRAY <ignore> UUID=1:2:3:4\nARRAY /dev/md8\nARRAY\n',
                etc__mdadm_conf=b'ARRAY /dev/md7 UUID=00000000:00000000:00000000:00000000\n')
    assert hints.arrays(host) == {'/dev/md7': IDENT, '/dev/md/data': 'ffffffff-0000-0000-ffff-ffff00000000'}
    assert raid.by_id(IDENT) == '/dev/disk/by-id/md-uuid-0a1b2c3d:00001111:22223333:44445555'


def system(device):
    return session.FileSystem(device, Found('ext4', '', '', 'clean'), '/x', '/x', '/dev/loop0', '')


def test_names_that_only_these_files_explain(tmp_path):
    container = session.Device('/x', 0, 1, {}, 'disk.img, partition 3')
    inner = system(session.Device('/y', 0, 1, {}, 'decrypted', ('/dev/mapper/luks-' + IDENT,), container=(container, Found(LUKS, IDENT, '', 'none'))))
    array = system(session.Device('/z', 0, 1, {}, 'RAID', (raid.by_id(IDENT),)))
    host = dead(tmp_path, etc__crypttab=b'one UUID=%s none\ntwo /dev/sda3 none\nthree UUID=0 none\n' % IDENT.encode(),
                etc__mdadm_conf=b'ARRAY /dev/md7 UUID=0a1b2c3d:00001111:22223333:44445555\nARRAY /dev/md8 UUID=00000000:00000000:00000000:00000000\n')
    assert hosts._aliases(host, [inner, array]) == {'/dev/mapper/one': inner, '/dev/mapper/two': inner, '/dev/md7': array}


def test_devices_of_one_btrfs_are_mounted_together():
    def found(name, uuid, devices, member, kind='btrfs'):
        return session.Device(name, 0, 1, {}, name), Found(kind, uuid, '', 'clean', devices, member)
    parts = [found('a', '1', 2, '1'), found('b', '2', 1, '1'), found('c', '1', 2, '2'), found('d', '1', 1, '', 'ext4'), found('e', '2', 1, '1')]
    assert [[device.file for device, dummy in group] for group in filesystems.together(parts)] == [['a', 'c'], ['b'], ['d'], ['e']]


def test_an_image_inside_the_disk_is_named_once(tmp_path):
    """By its path in its file system; what a search of the host says of the same file is no second image."""
    place = tmp_path / 'dead/home/me/.docker/desktop/vms/0/data/Docker.raw'
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(2 << 20))
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        work = session.Session(session.Request(('/x',)), mine)
        root = str(tmp_path / 'dead')
        system_ = system(session.Device('/x', 0, 1, {}, 'disk.img'))._replace(point=root, top=root)
        assert nested.images_in(work, [system_]) == []
        hosts._described(work, hosts.Assembled(root, ()))
        assert [(each.code, each.object) for each in work.problems] == [('VM_DISK', str(place))]
        work = session.Session(session.Request(('/x',), nested=True), mine)
        assert nested.images_in(work, [system_]) == [str(place)]
        hosts._described(work, hosts.Assembled(root, ()))
        assert work.problems == []
