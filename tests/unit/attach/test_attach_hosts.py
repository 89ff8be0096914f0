"""Which file system of the disk a line of fstab means."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import hosts, session
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.superblocks import Found
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo

ROOT_UUID, VAR_UUID = '11111111-2222-3333-4444-555555555555', '66666666-7777-8888-9999-aaaaaaaaaaaa'


def system(uuid, label, shown, names=(), partuuid='', partlabel=''):
    return session.FileSystem(session.Device('/x', 0, 1, {}, shown, names, partuuid, partlabel), Found('ext4', uuid, label, 'clean'),
                              '/x', '/x', '/dev/loop0', '')


SYSTEMS = [system(ROOT_UUID, 'root', 'disk.img, partition 1', partuuid='abcd-01', partlabel='Linux root'),
           system(VAR_UUID, 'var disk', 'logical volume vg/var-lib', ('/dev/vg/var-lib', '/dev/mapper/vg-var--lib')),
           system('', '', 'disk.img, partition 5'), system('', 'twice', 'a'), system('', 'twice', 'b')]


@pytest.mark.parametrize('source, expected', [
    ('UUID=' + ROOT_UUID, 0), ('UUID="%s"' % ROOT_UUID.upper(), 0), ('LABEL=root', 0), ('LABEL=ROOT', None), ('LABEL=var\\040disk', 1),
    ('PARTUUID=ABCD-01', 0), ('PARTLABEL=Linux\\040root', 0), ('/dev/disk/by-uuid/' + VAR_UUID, 1), ('/dev/disk/by-label/root', 0),
    ('/dev/vg/var-lib', 1), ('/dev/mapper/vg-var--lib', 1), ('/dev/sda5', 2), ('/dev/nvme0n1p1', 0), ('/dev/vda7', None), ('/dev/sda', None),
    ('UUID=', None), ('UUID=0', None), ('LABEL=twice', None), ('tmpfs', None), ('../../etc', None)])
def test_sources_of_fstab(source, expected):
    entry, = fsinfo.parse_fstab(('%s /mnt ext4 defaults 0 0\n' % source).encode())
    assert hosts.system_of(entry, SYSTEMS) is (None if expected is None else SYSTEMS[expected])


def test_a_name_of_the_dead_kernel_that_two_disks_could_have_means_none():
    two = SYSTEMS + [system('', '', 'other.img, partition 1')]
    entry, = fsinfo.parse_fstab(b'/dev/sda1 / ext4 defaults 0 0\n')
    assert hosts.system_of(entry, two) is None
