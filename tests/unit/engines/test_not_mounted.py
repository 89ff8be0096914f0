"""A volume or bind whose own disk is not mounted: its empty folder never passes for an empty volume."""
import os
import shutil

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared import binds
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.tests.unit.disk.test_fsinfo import in_mount_namespace

CODES = ('MOUNT_MISSING', 'MOUNT_POINT_FILLED')


class Dead(object):
    def __init__(self, folder):
        self.expected = deadroot.build(str(folder / 'var/lib/docker'), containers=2, host_root=str(folder))
        self.path = os.fsencode(str(folder))
        os.makedirs(self.place('/etc/systemd/system/multi-user.target.wants'))
        self.bind = next(mount for mount in self.mounts() if mount.type == 'bind')
        self.volume = next(mount for mount in self.mounts() if mount.type == 'volume' and mount.name)

    def mounts(self):
        return [mount for container in self.expected.containers for mount in container.mounts]

    def place(self, path):
        return os.path.join(os.fsdecode(self.path), path.lstrip('/'))

    def fstab(self, *lines):
        with open(self.place('/etc/fstab'), 'w', encoding='utf-8') as out:
            out.write(''.join(line + '\n' for line in lines))

    def unit(self, name, text, wanted=True):
        with open(self.place('/etc/systemd/system/' + name), 'w', encoding='utf-8') as out:
            out.write(text)
        if wanted:
            os.symlink('/etc/systemd/system/' + name, self.place('/etc/systemd/system/multi-user.target.wants/' + name))

    def empty(self, path):
        for name in os.listdir(path):
            inner = os.path.join(path, name)
            shutil.rmtree(inner) if os.path.isdir(inner) and not os.path.islink(inner) else os.unlink(inner)

    def seen(self):
        """({type: status} of the mounts of the container with the bind, its status, codes)"""
        with registry.open_host(self.path, [b'/var/lib/docker']) as host:
            root, = host.roots
            for ident in root.container_ids():
                found = root.container(ident)
                if any(mount.type == 'bind' and mount.source == self.bind.source for mount in found.mounts):
                    notes = [item for item in found.problems if item.code in CODES]
                    return {mount.type: mount.status for mount in found.mounts}, found.status, notes
        raise AssertionError('no container has the bind')


@pytest.fixture
def dead(tmp_path):
    return Dead(tmp_path)


def top(path):
    """The folder above PATH."""
    return os.path.dirname(path.rstrip('/'))


def test_nothing_is_said_without_a_disk_that_is_missing(dead):
    assert dead.seen()[1:] == ('complete', [])
    dead.empty(os.fsdecode(dead.bind.path))
    dead.fstab('UUID=1 / ext4 defaults 0 1', '/dev/sdb1 /elsewhere ext4 defaults 0 2', 'tmpfs %s tmpfs defaults 0 0' % dead.bind.source,
               'UUID=2 none swap sw 0 0')
    assert dead.seen()[1:] == ('complete', [])


@pytest.mark.parametrize('above', [0, 1])
def test_an_empty_bind_whose_disk_is_missing(dead, above):
    dead.empty(os.fsdecode(dead.bind.path))
    point = top(dead.bind.source) if above else dead.bind.source
    dead.fstab('/dev/mapper/vg-data %s xfs defaults 0 2' % point)
    mounts, status, (note,) = dead.seen()
    assert (mounts['bind'], status, note.code, note.loses_data, note.severity) == ('partial', 'partial', 'MOUNT_MISSING', True, 'critical')
    assert '/etc/fstab' in note.message and '/dev/mapper/vg-data' in note.message and point in note.message and dead.bind.source in note.message
    assert 'disk_attach' in note.next_step and dead.place(point) in note.next_step


def test_a_bind_that_is_not_there_at_all(dead):
    os.rename(os.fsdecode(dead.bind.path), os.fsdecode(dead.bind.path) + '.away')
    dead.fstab('LABEL=data %s ext4 defaults 0 2' % dead.bind.source)
    with registry.open_host(dead.path, [b'/var/lib/docker']) as host:
        notes = [item for ident in host.roots[0].container_ids() for item in host.roots[0].container(ident).problems if item.code == 'BIND_MISSING']
    assert 'LABEL=data' in notes[0].next_step


def test_files_in_the_place_of_a_disk_are_taken_and_named(dead):
    """As in a copy of the whole host."""
    dead.fstab('/dev/sdb1 %s ext4 defaults 0 2' % top(dead.bind.source))
    mounts, status, (note,) = dead.seen()
    assert (mounts['bind'], status, note.code, note.loses_data) == ('complete', 'complete', 'MOUNT_POINT_FILLED', False)
    dead.fstab('/dev/sdb1 %s ext4 noauto 0 2' % top(dead.bind.source))
    assert dead.seen()[2] == []


@pytest.mark.parametrize('options', ['defaults', 'noauto', 'noauto,x-systemd.automount', 'nofail'])
def test_an_empty_volume_with_a_disk_of_its_own(dead, tmp_path, options):
    inside = '/var/lib/docker/volumes/%s/_data' % dead.volume.name
    dead.empty(dead.place(inside))
    dead.fstab('UUID=77 %s ext4 %s 0 2' % (inside, options))
    with registry.open_host(dead.path, [b'/var/lib/docker']) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='box', compression='none', include=('config', 'volumes'),
                                              volumes=(dead.volume.name,)))
    entry = next(item for item in result['bundles'] if item['kind'] == 'volume')
    assert (entry['status'], [item['code'] for item in entry['problems'] if item['code'] in CODES]) == ('partial', ['MOUNT_MISSING'])


def test_a_disk_below_a_bind(dead):
    inner = os.path.join(os.fsdecode(dead.bind.path), 'media')
    os.makedirs(inner)
    dead.fstab('/dev/sdb1 %s/media ext4 defaults 0 2' % dead.bind.source)
    mounts, status, (note,) = dead.seen()
    assert (mounts['bind'], note.code) == ('partial', 'MOUNT_MISSING') and dead.bind.source + '/media' in note.message
    dead.fstab('/dev/sdb1 %s/media ext4 noauto 0 2' % dead.bind.source)         # nobody knows whether it was
    assert dead.seen()[2] == []
    dead.fstab('/dev/sdb1 %s/media ext4 defaults 0 2' % dead.bind.source)
    with open(os.path.join(inner, 'film'), 'w', encoding='utf-8') as out:
        out.write('x')
    assert dead.seen()[2] == []


@pytest.mark.parametrize('wanted', [True, False])
def test_a_mount_unit(dead, wanted):
    dead.empty(os.fsdecode(dead.bind.path))
    name = dead.bind.source.strip('/').replace('-', '\\x2d').replace('/', '-') + '.mount'
    dead.unit(name, '[Unit]\nDescription=x\n[Mount]\nWhat=/dev/disk/by-label/data\nWhere=%s\nType=ext4\n' % dead.bind.source, wanted)
    mounts, status, (note,) = dead.seen()
    assert (mounts['bind'], note.code) == ('partial', 'MOUNT_MISSING') and name in note.message and 'by-label/data' in note.message


@pytest.mark.parametrize('text', ['[Mount]\nWhat=x\nWhere=/other\n', '[Service]\nWhat=x\nWhere=%s\n', '[Mount]\nWhere=%s\n',
                                  '[Mount]\nWhat=t\nWhere=%s\nType=tmpfs\n', '\0\xff[Mount\n', ''])
def test_a_unit_that_mounts_nothing_there(dead, text):
    dead.empty(os.fsdecode(dead.bind.path))
    dead.unit(dead.bind.source.strip('/').replace('/', '-') + '.mount', text.replace('%s', dead.bind.source))
    assert dead.seen()[1:] == ('complete', [])


@pytest.mark.parametrize('hostile', ['/dev/sdb1 %s/../../../etc ext4 x', '$(id) %s ext4 x', '\x1b[31m %s ext4 x', '--all %s ext4 x'])
def test_what_fstab_says_is_only_shown(dead, hostile):
    dead.empty(os.fsdecode(dead.bind.path))
    dead.fstab(hostile % dead.bind.source)
    for note in dead.seen()[2]:
        assert '\x1b' not in note.message + note.next_step and '$(id)' not in note.next_step


def test_once_it_is_mounted_nothing_is_said(dead, tmp_path):
    """At its place, above it, or between the two; a folder that is bound onto itself is no disk."""
    path = os.fsencode(dead.bind.path) if isinstance(dead.bind.path, str) else dead.bind.path
    dead.empty(os.fsdecode(path))
    disk = os.fsencode(str(tmp_path / 'disk'))
    os.makedirs(os.path.join(disk, os.path.basename(path)))
    dead.fstab('/dev/sdb1 %s ext4 defaults 0 2' % top(dead.bind.source))

    def question():
        return [binds.bind_path(dead.bind.source, HostRoot(dead.path), None, None)[1]]

    assert question() == ['partial']
    above = os.path.dirname(path)
    assert in_mount_namespace([(above, above)], question) == ['partial']
    assert in_mount_namespace([(disk, above)], question) == ['complete']
    assert in_mount_namespace([(disk, path)], question) == ['complete']


def test_a_bind_of_fstab(dead):
    dead.empty(os.fsdecode(dead.bind.path))
    os.makedirs(dead.place('/pool/data'))
    dead.fstab('/pool/data %s none bind 0 0' % dead.bind.source)
    note, = dead.seen()[2]
    assert 'mount -o bind,ro -- %s %s' % (dead.place('/pool/data'), dead.place(dead.bind.source)) in note.next_step
