"""Rescues from and to disks that are broken, full or read-only: real file systems on loop devices."""
import contextlib
import os
import subprocess
import sys
import tarfile

import deadroot
import pytest
from needs import need

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run


@contextlib.contextmanager
def loop_disk(folder, size, options='loop'):
    """A mounted ext4 file system of SIZE bytes; yields (mount point, image file)."""
    need('mkfs.ext4', 'filefrag')
    image, point = os.path.join(folder, 'disk.img'), os.path.join(folder, 'mnt')
    with open(image, 'wb') as out:
        out.truncate(size)
    subprocess.run(['mkfs.ext4', '-q', '-F', '-b', '4096', '-O', '^has_journal', image], check=True)
    os.makedirs(point, exist_ok=True)
    subprocess.run(['mount', '-o', options, image, point], check=True)
    try:
        yield point, image
    finally:
        subprocess.run(['umount', point], check=True)


def rescue(host_root, dest, **options):
    options.setdefault('host_name', 'box')
    with registry.open_host(os.fsencode(host_root), [b'/var/lib/docker']) as host:
        return run.rescue(host, run.Request(os.fsencode(dest), **options))


def build(host_root, **options):
    options.setdefault('containers', 3)
    return deadroot.build(os.path.join(host_root, 'var/lib/docker'), host_root=host_root, **options)


def test_blocks_that_cannot_be_read(tmp_path):
    """EIO from the kernel itself: the loop device's file is cut under the mounted file system."""
    with loop_disk(str(tmp_path), 96 << 20) as (point, image):
        expected = build(point)
        victim = expected.containers[0]
        victim_file = os.path.join(victim.upper, b'big-file')
        with open(victim_file, 'wb') as out:
            for number in range(48):
                out.write(bytes([number + 1]) * (1 << 20))
        subprocess.run(['sync', '-f', point], check=True)
        first = subprocess.check_output(['filefrag', '-v', os.fsdecode(victim_file)], universal_newlines=True)
        ends = [int(line.split(':')[2].split('..')[1].strip().rstrip(':')) for line in first.splitlines()
                if line.strip()[:1].isdigit() and '..' in line]
        cut = max(ends) * 4096 - (8 << 20)
        # out of the page cache, then gone below the file system
        subprocess.run(['umount', point], check=True)
        subprocess.run(['mount', '-o', 'loop,ro,noload', image, point], check=True)
        os.truncate(image, cut)
        with open('/proc/sys/vm/drop_caches', 'w') as out:
            out.write('3')
        result = rescue(point, str(tmp_path / 'out'), compression='none')
        bundle = next(item for item in result['bundles'] if item['container'] == victim.name)
        assert bundle['status'] == 'partial'
        errors = [item for item in result['problems'] if item['code'] == 'READ_ERROR']
        assert errors and any('big-file' in item['message'] and 'byte' in item['message'] for item in errors)
        with tarfile.open(os.path.join(bundle['path'], 'writable.tar')) as archive:
            data = archive.extractfile('big-file').read()
        assert len(data) == 48 << 20 and data[:1 << 20] == b'\x01' * (1 << 20)
        assert {item['status'] for item in info.inspect(os.fsencode(str(tmp_path / 'out')), True)} == {'verified'}
        others = [item for item in result['bundles'] if item['container'] != victim.name]
        assert others and all(item['status'] == 'complete' for item in others)
        with pytest.raises(LifeboatError):
            rescue(point, str(tmp_path / 'strict'), compression='none', on_error='fail')


def test_dest_without_room(tmp_path):
    host = tmp_path / 'host'
    host.mkdir()
    expected = build(str(host))
    with open(os.path.join(expected.containers[0].upper, b'big-file'), 'wb') as out:
        out.write(os.urandom(40 << 20))
    with loop_disk(str(tmp_path), 32 << 20) as (point, dummy):
        with pytest.raises(LifeboatError) as raised:
            rescue(str(host), os.path.join(point, 'out'))
        assert 'MiB free' in str(raised.value) and '\n' not in str(raised.value)
        assert not os.path.exists(os.path.join(point, 'out', 'box'))


def test_dest_that_fills_up_and_is_cleared_again(tmp_path):
    host = tmp_path / 'host'
    host.mkdir()
    expected = build(str(host))
    with open(os.path.join(expected.containers[0].upper, b'big-file'), 'wb') as out:
        out.write(os.urandom(40 << 20))
    with loop_disk(str(tmp_path), 64 << 20) as (point, dummy):
        ballast = os.path.join(point, 'ballast')
        with open(ballast, 'wb') as out:
            out.write(bytes(30 << 20))
        result = rescue(str(host), os.path.join(point, 'out'), check_space=False, include=('config', 'writable', 'volumes', 'logs'))
        assert 'NOT_WRITTEN' in [item['code'] for item in result['problems']]
        whole = info.inspect(os.fsencode(os.path.join(point, 'out')), True)
        assert len(whole) == len(result['bundles']) - 1 and {item['status'] for item in whole} == {'verified'}
        os.unlink(ballast)
        result = rescue(str(host), os.path.join(point, 'out'), check_space=False, include=('config', 'writable', 'volumes', 'logs'))
        assert 'NOT_WRITTEN' not in [item['code'] for item in result['problems']]
        whole = info.inspect(os.fsencode(os.path.join(point, 'out')), True)
        assert len(whole) == len(result['bundles']) and {item['status'] for item in whole} == {'verified'}
        assert [item['changed'] for item in result['bundles']].count(True) == 1


def test_dest_that_cannot_be_written(tmp_path):
    host = tmp_path / 'host'
    host.mkdir()
    build(str(host))
    with loop_disk(str(tmp_path), 32 << 20) as (point, dummy):
        subprocess.run(['mount', '-o', 'remount,ro', point], check=True)
        with pytest.raises(LifeboatError) as raised:
            rescue(str(host), os.path.join(point, 'out'))
        assert '\n' not in str(raised.value) and 'Read-only' in str(raised.value)


def test_a_read_only_disk_of_another_machine(tmp_path):
    """Nothing but reading: the disk is mounted ro,noload, and its image is the same to the byte afterwards."""
    with loop_disk(str(tmp_path), 64 << 20) as (point, image):
        expected = build(point, containers=4)
        subprocess.run(['umount', point], check=True)
        before = subprocess.check_output(['sha256sum', image]).split()[0]
        subprocess.run(['mount', '-o', 'loop,ro,noload', image, point], check=True)
        result = rescue(point, str(tmp_path / 'out'), volumes=('*',))
        assert {item['container'] for item in result['bundles'] if item['kind'] == 'container'} == {
            item.name for item in expected.containers}
        assert subprocess.check_output(['sha256sum', image]).split()[0] == before


RUNNER = """
import os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(os.fsencode(sys.argv[1]), [b'/var/lib/docker']) as host:
    result = run.rescue(host, run.Request(os.fsencode(sys.argv[2]), host_name='box', include=('writable', 'rootfs')))
peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(result['summary']['complete'], peak)
"""


def test_memory_does_not_grow_with_the_data(tmp_path):
    """100,000 files, some of them in one folder, hard links among them, and a large one: below 64 MiB."""
    host = tmp_path / 'host'
    host.mkdir()
    expected = build(str(host), containers=1)
    upper = expected.containers[0].upper
    for number in range(100):
        folder = os.path.join(upper, b'many', b'%03d' % number)
        os.makedirs(folder)
        for inner in range(900 if number else 10900):
            with open(os.path.join(folder, b'file-%05d' % inner), 'wb') as out:
                out.write(b'%d' % inner)
    for number in range(1000):
        os.link(os.path.join(upper, b'many', b'001', b'file-%05d' % (number % 900)), os.path.join(upper, b'link-%d' % number))
    block = os.urandom(1 << 20) * 8
    with open(os.path.join(upper, b'large'), 'wb') as out:
        for dummy in range(40):
            out.write(block)
    import ansible_collections
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(list(ansible_collections.__path__)[0]))
    said = subprocess.check_output([sys.executable, '-c', RUNNER, str(host), str(tmp_path / 'out')], env=environment)
    complete, peak = map(int, said.split())
    print('peak memory: %d KiB' % peak)
    assert complete == 1
    assert 10 * 1024 < peak < 64 * 1024


@contextlib.contextmanager
def mounted(folder, *arguments):
    point = os.path.join(folder, 'other')
    os.makedirs(point, exist_ok=True)
    subprocess.run(['mount'] + list(arguments) + [point], check=True)
    try:
        yield point
    finally:
        subprocess.run(['umount', point], check=True)


def codes(result):
    return [item['code'] for item in result['problems']]


def test_dest_in_memory_and_on_a_disk_of_its_own(tmp_path):
    host = tmp_path / 'host'
    host.mkdir()
    build(str(host))
    with mounted(str(tmp_path), '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs') as point:
        found = codes(rescue(str(host), os.path.join(point, 'out')))
        assert 'DEST_IN_MEMORY' in found and 'DEST_ON_SOURCE' not in found
    with loop_disk(str(tmp_path), 64 << 20) as (point, dummy):
        found = codes(rescue(str(host), os.path.join(point, 'out')))
        assert not [code for code in found if code.startswith('DEST_')]
    # the stick is not there any more: what is left is a folder of the disk that is rescued
    assert 'DEST_ON_SOURCE' in codes(rescue(str(host), os.path.join(point, 'out')))


def test_dest_where_nothing_at_all_could_be_written_is_a_failure(tmp_path):
    host = tmp_path / 'host'
    host.mkdir()
    expected = build(str(host))
    for each in expected.containers:
        with open(os.path.join(each.upper, b'big-file'), 'wb') as out:
            out.write(os.urandom(8 << 20))
    with loop_disk(str(tmp_path), 32 << 20) as (point, dummy):
        os.mkdir(os.path.join(point, 'out'))
        with open(os.path.join(point, 'ballast'), 'wb') as out:
            with contextlib.suppress(OSError):
                while True:
                    out.write(bytes(1 << 16))
        with open(os.path.join(point, 'ballast'), 'r+b') as out:
            out.truncate(os.path.getsize(os.path.join(point, 'ballast')) - (1 << 18))
        result = rescue(str(host), os.path.join(point, 'out'), check_space=False, include=('writable',))
        assert {item['status'] for item in result['bundles']} == {'lost'}
        said = run.verdict(result, 'lost')
        assert said.startswith(('None of ', 'The one bundle was not rescued')) and 'No space left on device' in said
        with pytest.raises(LifeboatError, match='There is no bundle'):
            info.inspect(os.fsencode(os.path.join(point, 'out')), True)
