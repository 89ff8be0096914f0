# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the guest: makes disks with LVM, LUKS and md, attaches them with our code, compares, releases.

Prints one line `case NAME ok` or `case NAME failed: WHY` for each, and `cases done N`.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import traceback

sys.path.insert(0, '/run/job/tree')
from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request  # noqa: E402

PLACE, SCRATCH = '/var/tmp/disks', '/var/tmp/scratch'
PASSPHRASE = 'open it'
TREE = '/var/tmp/tree'


def sh(command, stdin=None):
    done = subprocess.run(['bash', '-ec', command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError('%s: %s' % (command, done.stdout.decode('utf-8', 'replace')[-600:]))
    return done.stdout.decode().strip()


def disk(name, mib):
    path = os.path.join(PLACE, name)
    with open(path, 'wb') as out:
        out.truncate(mib << 20)
    return path


def loop(path):
    return sh('losetup -f --show %s' % path)


def unloop(*nodes):
    sh('udevadm settle; ' + '; '.join('losetup -d %s' % node for node in nodes))


def tree(mark, fstab=''):
    """A root file system with MARK in it."""
    shutil.rmtree(TREE, ignore_errors=True)
    for folder in ('etc', 'var/lib/docker', 'srv'):
        os.makedirs(os.path.join(TREE, folder))
    for name, text in (('etc/fstab', fstab), ('etc/os-release', 'ID=x\nPRETTY_NAME=%s\n' % mark), ('etc/hostname', mark + '\n'), ('srv/mark', mark)):
        with open(os.path.join(TREE, name), 'w') as out:
            out.write(text)


def mkfs(node, mark, fstab=''):
    tree(mark, fstab)
    sh('mkfs.ext4 -q -F -d %s %s' % (TREE, node))
    # a mount, a write and no clean unmount: the journal is dirty
    sh('mkdir -p /mnt/x; mount %s /mnt/x; echo late >/mnt/x/srv/late; sync; sync -f /mnt/x' % node)
    return node


def settle():
    sh('umount /mnt/x')


def sums(paths):
    found = []
    for path in paths:
        with open(path, 'rb') as stream:
            found.append(hashlib.sha256(stream.read()).hexdigest())
    return found


def attach(paths, **options):
    before = sums(paths)
    request = Request(tuple(paths), scratch_dir=SCRATCH, **options)
    try:
        result = run.attach(request)
        marks = {}
        for host in result['hosts']:
            marks[host['os']['hostname']] = open(os.path.join(host['host_root'], 'srv/mark')).read(), [
                each['point'] for each in host['file_systems']]
        return result, marks
    finally:
        run.release(request)
        assert sums(paths) == before, 'the disk was written'
        assert not os.listdir(SCRATCH), os.listdir(SCRATCH)
        left = sh('dmsetup ls; cat /proc/mdstat; losetup -a; grep lifeboat /proc/mounts || true')
        assert 'lifeboat' not in left and SCRATCH not in left, left


def crashed_copies(paths):
    """The disks as they are now, in the middle of everything: copies, as a power cut leaves them."""
    found = []
    for path in paths:
        sh('sync; cp --sparse=always %s %s.dead' % (path, path))
        found.append(path + '.dead')
    return found


def lvm():
    paths = [disk('pv0', 96), disk('pv1', 96)]
    nodes = [loop(path) for path in paths]
    sh('vgcreate dead-vg %s' % ' '.join(nodes))
    sh('lvcreate -y -n root -L 48M dead-vg; lvcreate -y -n var-lib -l 100%FREE dead-vg')
    sh('mkfs.ext4 -q /dev/dead-vg/var-lib; mkdir -p /mnt/y; mount /dev/dead-vg/var-lib /mnt/y; echo var >/mnt/y/below; umount /mnt/y')
    mkfs('/dev/dead-vg/root', 'lvm', '/dev/mapper/dead--vg-var--lib /var/lib ext4 defaults 0 2\n')
    dead = crashed_copies(paths)
    # the group of the same name stays active on this machine, as on a live system that has such a name itself
    before = sh('dmsetup table')
    result, marks = attach(dead)
    assert marks == {'lvm': ('lvm', ['/', '/var/lib'])}, (marks, result['problems'])
    assert sh('dmsetup table') == before, 'a volume of this machine was changed'
    settle()
    sh('vgchange -an dead-vg')
    unloop(*nodes)
    # without overlays: read-only, under its own name
    result, marks = attach(dead, journal='ignore')
    assert marks == {'lvm': ('lvm', ['/', '/var/lib'])}, (marks, result['problems'])
    assert 'JOURNAL_IGNORED' in [each['code'] for each in result['problems']]
    # and with one of two disks
    result, marks = attach(dead[:1])
    assert marks['lvm'][0] == 'lvm' and 'DISK_MEMBER_MISSING' in [each['code'] for each in result['problems']], (marks, result['problems'])


def thin():
    path = disk('thin', 160)
    node = loop(path)
    sh('vgcreate thinvg %s; lvcreate -y --type thin-pool -n pool -L 96M thinvg; lvcreate -y -n root --thin -V 64M thinvg/pool' % node)
    mkfs('/dev/thinvg/root', 'thin')
    dead = crashed_copies([path])
    settle()
    sh('vgchange -an thinvg')
    unloop(node)
    result, marks = attach(dead)
    assert marks == {'thin': ('thin', ['/'])}, (marks, result['problems'])


def luks():
    path = disk('luks', 64)
    node = loop(path)
    sh('cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file - %s' % node, PASSPHRASE.encode())
    sh('cryptsetup open --key-file - %s mine' % node, PASSPHRASE.encode())
    mkfs('/dev/mapper/mine', 'luks')
    dead = crashed_copies([path])
    settle()
    sh('cryptsetup close mine')
    unloop(node)
    result, marks = attach(dead, passphrase=PASSPHRASE)
    assert marks == {'luks': ('luks', ['/'])}, (marks, result['problems'])
    assert PASSPHRASE not in repr(result)
    with open('/run/key', 'w') as out:
        out.write(PASSPHRASE)
    assert attach(dead, key_file='/run/key')[1] == marks
    for options, word in (({}, 'neither passphrase nor key_file'), ({'passphrase': 'wrong'}, 'No key available')):
        try:
            attach(dead, **options)
            raise AssertionError('a locked disk was attached')
        except run.LifeboatError as exc:
            assert word in str(exc), str(exc)


def raid(level, number, missing, name):
    paths = [disk('%s%d' % (name, each), 64) for each in range(number)]
    nodes = [loop(path) for path in paths]
    sh('yes | mdadm --create /dev/md/%s --homehost=dead --level=%d --raid-devices=%d --assume-clean --run %s' % (name, level, number, ' '.join(nodes)))
    node = os.path.realpath('/dev/md/' + name)
    mkfs(node, name)
    dead = crashed_copies(paths)
    settle()
    sh('mdadm --stop %s' % node)
    unloop(*nodes)
    result, marks = attach(dead)
    assert marks == {name: (name, ['/'])}, (marks, result['problems'])
    result, marks = attach(dead[:number - missing])
    assert marks == {name: (name, ['/'])}, (marks, result['problems'])
    assert 'DISK_MEMBER_MISSING' in [each['code'] for each in result['problems']]


def raid1():
    raid(1, 2, 1, 'mirror')


def raid5():
    raid(5, 3, 1, 'parity')


def nested():
    """ext4 on LVM on LUKS on RAID1."""
    paths = [disk('n%d' % each, 96) for each in range(2)]
    nodes = [loop(path) for path in paths]
    sh('yes | mdadm --create /dev/md/n --level=1 --raid-devices=2 --assume-clean --run %s' % ' '.join(nodes))
    node = os.path.realpath('/dev/md/n')
    sh('cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file - %s' % node, PASSPHRASE.encode())
    sh('cryptsetup open --key-file - %s deep' % node, PASSPHRASE.encode())
    sh('vgcreate deepvg /dev/mapper/deep; lvcreate -y -n root -L 48M deepvg')
    mkfs('/dev/deepvg/root', 'deep')
    dead = crashed_copies(paths)
    settle()
    sh('vgchange -an deepvg; cryptsetup close deep; mdadm --stop %s' % node)
    unloop(*nodes)
    result, marks = attach(dead, passphrase=PASSPHRASE)
    assert marks == {'deep': ('deep', ['/'])}, (marks, result['problems'])


def main():
    os.makedirs(PLACE)
    cases = [lvm, luks, raid1, raid5, thin, nested]
    wanted = sys.argv[1:]
    for case in cases:
        if wanted and case.__name__ not in wanted:
            continue
        try:
            case()
            print('case %s ok' % case.__name__, flush=True)
        except Exception:               # whatever it is, it is told to the host
            print('case %s failed: %s' % (case.__name__, traceback.format_exc().replace('\n', ' | ')[-1800:]), flush=True)
        shutil.rmtree(PLACE)
        os.makedirs(PLACE)
    print('cases done %d' % len(cases), flush=True)


main()
