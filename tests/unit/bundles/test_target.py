"""What is said of the place where the bundles go: memory, the disk that is rescued, a stick that is not mounted."""
import os
import types

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import target
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError

TABLE = fsinfo.parse_mountinfo(b'''\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /var/lib/docker rw - ext4 /dev/sda2 rw
22 20 8:3 / /mnt/usb rw - vfat /dev/sdb1 rw
23 20 0:9 / /run rw - tmpfs tmpfs rw
24 20 8:4 / /backup rw - xfs /dev/sdc rw
''')


def host_of(path):
    return types.SimpleNamespace(roots=[types.SimpleNamespace(path=path, places=lambda: [path], volumes=dict)])


@pytest.fixture
def machine(monkeypatch):
    """A machine with TABLE as its mounts and an fstab; devices as the table says."""
    def mount_of(path, table=None):
        fits = [mount for mount in table or TABLE if fsinfo.is_below(path, mount.point)]
        return max(fits, key=lambda mount: len(mount.point))

    monkeypatch.setattr(fsinfo, 'mounts', lambda: TABLE)
    monkeypatch.setattr(fsinfo, 'mount_of', mount_of)
    monkeypatch.setattr(fsinfo, 'same_file_system', lambda one, other, table=None: mount_of(one).dev == mount_of(other).dev)
    monkeypatch.setattr(target.os.path, 'realpath', lambda path: path)
    monkeypatch.setattr(target, '_of_fstab', lambda path, table: b'/archive' if fsinfo.is_below(path, b'/archive') else None)


def codes(dest, source=b'/var/lib/docker'):
    return [item.code for item in target.look(host_of(source), dest)]


@pytest.mark.parametrize('dest, expected', [
    (b'/backup/rescued', []), (b'/mnt/usb/rescued', []), (b'/mnt/stick/rescued', ['DEST_NOT_MOUNTED']), (b'/media/me/disk', ['DEST_NOT_MOUNTED']),
    (b'/archive/rescued', ['DEST_NOT_MOUNTED']), (b'/run/rescued', ['DEST_IN_MEMORY']), (b'/var/lib/docker2', []),
    (b'/run/media/me/stick', ['DEST_IN_MEMORY', 'DEST_NOT_MOUNTED'])])
def test_where_dest_lies(dest, expected, machine):
    assert codes(dest) == expected


@pytest.mark.parametrize('dest', [b'/var/tmp/lifeboat-rescued', b'/mnt/stick'])
def test_the_disk_that_is_rescued(dest, machine):
    assert codes(dest, b'/srv/docker')[-1] == 'DEST_ON_SOURCE'
    note = target.look(host_of(b'/srv/docker'), dest)[-1]
    assert note.severity == 'warning' and '/srv/docker' in note.message and 'store_on: controller' in note.next_step


@pytest.mark.parametrize('dest', [b'/dev', b'/dev/usb', b'/dev/shm/rescued'])
def test_below_dev_is_memory(dest):
    with pytest.raises(LifeboatError, match='memory'):
        target.look(host_of(b'/var/lib/docker'), dest)


def test_a_link_into_dev(tmp_path):
    os.symlink('/dev/shm', str(tmp_path / 'innocent'))
    with pytest.raises(LifeboatError, match='memory'):
        target.refuse_devices(os.fsencode(str(tmp_path / 'innocent' / 'x')))


def test_real_folders_of_one_disk(tmp_path):
    (tmp_path / 'root').mkdir()
    found = target.look(host_of(os.fsencode(str(tmp_path / 'root'))), os.fsencode(str(tmp_path / 'not' / 'there')))
    assert 'DEST_ON_SOURCE' in [item.code for item in found]
