"""The commands of "Mount a disk" in docs/outage.md, as they are written there, on disks of hosts whose power was cut:
everything that was on stable storage is seen, and the disk itself stays the same to the byte.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

import pytest
from needs import need

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import deadroot

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

FENCE = re.compile(r'^```\n(.*?)^```$', re.M | re.S)
# file system: (how it is made, mount options without its journal)
KINDS = {'ext4': (['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'], 'ro,noload'),
         'xfs': (['mkfs.xfs', '-q', '-f'], 'ro,norecovery'),
         'btrfs': (['mkfs.btrfs', '-q', '-f'], 'ro,rescue=nologreplay')}
DIRTY, SIZE = 100, 320 << 20            # files that only the journal has; bytes of the disk (xfs wants 300 MiB)
TOOLS = ('qemu-img', 'qemu-storage-daemon', 'losetup', 'lsblk')


def known(kind):
    if shutil.which('modprobe'):
        subprocess.run(['modprobe', '-q', kind], stderr=subprocess.DEVNULL, check=False)
    with open('/proc/filesystems', encoding='utf-8') as kinds:
        return '\t%s\n' % kind in kinds.read()


def checksum(path):
    with open(path, 'rb') as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def power_cut(folder, kind):
    """The image of a disk with a dead root, taken while files were written and synced -> (image, expected containers)."""
    disk, image, point = (os.path.join(folder, name) for name in ('running.img', 'disk.img', 'running'))
    os.mkdir(point)
    with open(disk, 'wb') as out:
        out.truncate(SIZE)
    subprocess.run(KINDS[kind][0] + [disk], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['mount', '-o', 'loop', disk, point], check=True)
    try:
        built = deadroot.build(os.path.join(point, 'var/lib/docker'), host_root=point, containers=3)
        subprocess.run(['sync', '-f', point], check=True)
        where = os.path.join(os.fsencode(built.containers[0].upper), b'written-last')
        os.mkdir(where)
        for number in range(DIRTY):
            with open(os.path.join(where, b'%d' % number), 'wb') as out:
                out.write(b'%d' % number * 1000)
                out.flush()
                os.fsync(out.fileno())
        # the loop device's file, not the device: what the file system has not written back is as lost as in a power cut
        subprocess.run(['cp', '--sparse=always', disk, image], check=True)
    finally:
        subprocess.run(['umount', point], check=True)
    os.unlink(disk)
    return image, built, os.path.relpath(os.fsdecode(where), point)


def written_last(point, where):
    return len(glob.glob(os.path.join(point, where, '*')))


def guide():
    """The three blocks: make the overlay, mount, take all down."""
    with open(os.path.join(COLLECTION, 'docs', 'outage.md'), encoding='utf-8') as page:
        section = page.read().split('\n## Mount a disk')[1].split('\n## ')[0].split('\n### ')[0]
    blocks = [text for text in FENCE.findall(section) if '--setro' not in text]
    assert len(blocks) == 3
    return blocks


@pytest.mark.parametrize('kind', sorted(KINDS))
def test_the_journal_is_replayed_and_the_disk_is_not_written(kind, tmp_path):
    need(KINDS[kind][0][0], *TOOLS)
    if not known(kind):
        pytest.skip('this kernel has no %s' % kind)
    image, built, where = power_cut(str(tmp_path), kind)
    os.chmod(image, 0o444)
    before = checksum(image)
    point = str(tmp_path / 'dead')
    os.mkdir(point)

    # the fallback of the guide: this is a disk whose journal matters
    subprocess.run(['mount', '-o', 'loop,' + KINDS[kind][1], image, point], check=True)
    assert written_last(point, where) < DIRTY
    subprocess.run(['umount', point], check=True)

    # without a partition table: not every kernel that runs tests reads those
    make, mount, clean = [
        text.replace('/dev/sdX', image).replace('/srv/overlay', str(tmp_path / 'overlay')).replace('/mnt/dead', point)
        .replace('"$LOOP"p1', '"$LOOP"') for text in guide()]
    state = str(tmp_path / 'loop')
    done = subprocess.run(['bash', '-ec', '%s\necho "$LOOP" >%s\n%s' % (make, state, mount)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    try:
        assert done.returncode == 0, done.stdout
        assert written_last(point, where) == DIRTY
        with registry.open_host(os.fsencode(point), [b'/var/lib/docker']) as host:
            result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='box',
                                                  include=('config', 'writable', 'volumes', 'binds', 'logs')))
        assert [item['status'] for item in result['bundles']] == ['complete'] * len(built.containers)
    finally:
        # after a failure: all of it that can be done
        ended = subprocess.run(['bash', '-c' if sys.exc_info()[0] else '-ec', 'LOOP=$(cat %s)\n%s' % (state, clean)], check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert ended.returncode == 0, ended.stdout
    assert checksum(image) == before
