"""Disks in a disk: docker.img of Unraid (btrfs), Docker.raw of Docker Desktop, the qcow2 of a virtual machine."""
import contextlib
import os
import subprocess
import uuid

import deadroot
import disktable
import pytest
from needs import need
from test_attach import MIB, attached, checksum, nothing_left
from test_mount_guide import known

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues

TOOLS = ('qemu-img', 'qemu-storage-daemon', 'losetup', 'mkfs.ext4', 'mkfs.btrfs')
START = MIB                             # of the first partition, where there are any
UNRAID, DESKTOP, MACHINE = 'system/docker/docker.img', 'home/me/.docker/desktop/vms/0/data/Docker.raw', 'var/lib/libvirt/images/shop.qcow2'


@contextlib.contextmanager
def made(path, size, maker, partitioned=False):
    """A new disk at PATH, mounted while it is filled -> where."""
    point = path + '.mnt'
    os.makedirs(point)
    with open(path, 'wb') as out:
        out.truncate(size + (2 * MIB if partitioned else 0))
    if partitioned:
        disktable.write_gpt(path, ((START, size, uuid.uuid4(), 'data'),))
    node = subprocess.check_output(['losetup', '-f', '--show'] + (['-o', str(START), '--sizelimit', str(size)] if partitioned else []) + [path],
                                   universal_newlines=True).strip()
    try:
        subprocess.run(maker + [node], check=True)
        subprocess.run(['mount', node, point], check=True)
        try:
            yield point
        finally:
            subprocess.run(['umount', point], check=True)
    finally:
        subprocess.run(['losetup', '-d', node], check=True)
        os.rmdir(point)


def write(top, name, text):
    os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
    with open(os.path.join(top, name), 'w', encoding='utf-8') as out:
        out.write(text)


def root_of(top, name):
    write(top, 'etc/hostname', name + '\n')
    write(top, 'etc/os-release', 'ID=debian\nPRETTY_NAME=%s\n' % name)
    write(top, 'etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n')


@pytest.fixture(scope='module', name='outer')
def disk_with_disks(tmp_path_factory):
    need(*TOOLS)
    if not known('btrfs'):
        (pytest.fail if os.environ.get('CI') else pytest.skip)('this kernel has no btrfs')
    folder = str(tmp_path_factory.mktemp('nested'))
    path, inner, ext4 = os.path.join(folder, 'outer.img'), os.path.join(folder, 'inner'), ['mkfs.ext4', '-q']
    with made(path, 800 * MIB, ext4) as top:
        root_of(top, 'outer')
        for name in (UNRAID, DESKTOP, MACHINE):
            os.makedirs(os.path.dirname(os.path.join(top, name)))
        with made(inner, 160 * MIB, ['mkfs.btrfs', '-q']) as point:
            deadroot.build(os.path.join(point, 'new'), recorded_root='/var/lib/docker', containers=1)
            for name in os.listdir(os.path.join(point, 'new')):
                os.rename(os.path.join(point, 'new', name), os.path.join(point, name))
            os.rmdir(os.path.join(point, 'new'))
        subprocess.run(['cp', '--sparse=always', inner, os.path.join(top, UNRAID)], check=True)
        with made(inner, 96 * MIB, ext4, True) as point:
            deadroot.build(os.path.join(point, 'docker'), host_root=point, containers=2)
        subprocess.run(['cp', '--sparse=always', inner, os.path.join(top, DESKTOP)], check=True)
        with made(inner, 128 * MIB, ext4, True) as point:
            root_of(point, 'shop')
            deadroot.build(os.path.join(point, 'var/lib/docker'), host_root=point, containers=3)
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', inner, os.path.join(top, MACHINE)], check=True)
        os.unlink(inner)
    return path


def test_images_inside_a_disk_are_named_with_what_goes_on(outer, tmp_path):
    with attached(Request((outer,), scratch_dir=str(tmp_path / 'scratch'))) as result:
        assert [host['os']['hostname'] for host in result['hosts']] == ['outer']
        root = result['hosts'][0]['host_root']
        named = {each['object']: each for each in result['problems'] if each['code'] == 'VM_DISK'}
        assert len(named) == 3, sorted(named)
        for name in (UNRAID, DESKTOP, MACHINE):
            step, = [each['next_step'] for path, each in named.items() if path.endswith(name)]
            assert 'nested: true' in step and 'lifeboat --disk /' in step, (step, root)
        # what it names: the same disk again, with the images; and while somebody is in there, it is refused and nothing is lost
        again = Request((outer,), nested=True, scratch_dir=str(tmp_path / 'scratch'))
        used = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with pytest.raises(LifeboatError) as raised:
                run.attach(again)
            assert 'attached already' in str(raised.value) and 'busy' in str(raised.value)
        finally:
            os.close(used)
        more = run.attach(again)
        assert more['changed'] is True and len(more['hosts']) == 4 and run.attach(again)['changed'] is False


def test_images_inside_a_disk_are_attached_and_rescued_as_hosts_of_their_own(outer, tmp_path):
    before, scratch = checksum(outer), str(tmp_path / 'scratch')
    with attached(Request((outer,), nested=True, scratch_dir=scratch)) as result:
        assert [each['code'] for each in result['problems']] == []
        found = sorted((host['os']['hostname'], sum(each['containers'] for each in host['engines']), host['file_systems'][0]['kind'])
                       for host in result['hosts'])
        assert found == [('', 1, 'btrfs'), ('', 2, 'ext4'), ('outer', 0, 'ext4'), ('shop', 3, 'ext4')]
        for number, each in enumerate(result['hosts']):
            if each['engines']:
                with registry.open_host(os.fsencode(each['host_root'])) as host:
                    out = rescues.rescue(host, rescues.Request(os.fsencode(str(tmp_path / ('out%d' % number))), host_name='x', compression='none'))
                wanted = sum(engine['containers'] for engine in each['engines'])
                assert len([item for item in out['bundles'] if item['kind'] == 'container']) == wanted
                assert {item['status'] for item in out['bundles']} <= {'complete', 'partial'}
    nothing_left(scratch)
    assert checksum(outer) == before
