"""Runs inside the guest: makes disks with LVM, LUKS and md, attaches them with our code, compares, releases.

Prints one line `case NAME ok` or `case NAME failed: WHY` for each, and `cases done N`.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import traceback

sys.path.insert(0, '/run/job/tree')
from ansible_collections.lifeboat.docker.plugins.module_utils.attach import export, run  # noqa: E402
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


def tree(mark, fstab='', more=()):
    """A root file system with MARK in it. MORE: (path, text) of further files."""
    shutil.rmtree(TREE, ignore_errors=True)
    for folder in ('etc', 'var/lib/docker', 'srv'):
        os.makedirs(os.path.join(TREE, folder))
    files = [('etc/fstab', fstab), ('etc/os-release', 'ID=x\nPRETTY_NAME=%s\n' % mark), ('etc/hostname', mark + '\n'), ('srv/mark', mark)]
    for name, text in files + list(more):
        os.makedirs(os.path.dirname(os.path.join(TREE, name)), exist_ok=True)
        with open(os.path.join(TREE, name), 'w') as out:
            out.write(text)


def mkfs(node, mark, fstab='', more=()):
    tree(mark, fstab, more)
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


def layered():
    """Crashed copies of two disks with ext4 on LVM on LUKS on RAID1."""
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
    return dead


def nested():
    result, marks = attach(layered(), passphrase=PASSPHRASE)
    assert marks == {'deep': ('deep', ['/'])}, (marks, result['problems'])


def plain(name, mark, fstab, more):
    """A disk with nothing but a root file system, without a partition table."""
    path = disk(name, 32)
    tree(mark, fstab, more)
    sh('mkfs.ext4 -q -F -d %s %s' % (TREE, path))
    return path


def keys():
    """/var is on LUKS, and its key file lies on the root file system, as crypttab says."""
    path = disk('var', 48)
    node = loop(path)
    with open('/run/key', 'wb') as out:
        out.write(os.urandom(64) + b'\n\0')
    sh('cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 %s /run/key' % node)
    sh('cryptsetup open --key-file /run/key %s keyed' % node)
    sh('mkfs.ext4 -q /dev/mapper/keyed; mkdir -p /mnt/y; mount /dev/mapper/keyed /mnt/y; mkdir -p /mnt/y/lib/docker/containers; umount /mnt/y')
    ident = sh('cryptsetup luksUUID %s' % node)
    sh('cryptsetup close keyed')
    unloop(node)
    root = plain('root', 'keys', '/dev/mapper/crypt_var /var ext4 defaults 0 2\n', [
        ('etc/crypttab', '# name source key\ncrypt_var UUID=%s /etc/keys/var luks\n' % ident)])
    with open('/run/key', 'rb') as source:
        os.makedirs(os.path.join(TREE, 'etc/keys'))
        with open(os.path.join(TREE, 'etc/keys/var'), 'wb') as out:
            out.write(source.read())
    sh('mkfs.ext4 -q -F -d %s %s' % (TREE, root))
    result, marks = attach([root, path])
    assert marks == {'keys': ('keys', ['/', '/var'])}, (marks, result['problems'])
    assert result['problems'] == [], result['problems']
    # a wrong passphrase for it is no hindrance
    assert attach([root, path], passphrase='of another disk')[1] == marks


def arrays():
    """/var is on an array that only mdadm.conf calls md7."""
    paths = [disk('a%d' % each, 48) for each in range(2)]
    nodes = [loop(path) for path in paths]
    sh('yes | mdadm --create /dev/md/other --homehost=dead --level=1 --raid-devices=2 --assume-clean --run %s' % ' '.join(nodes))
    node = os.path.realpath('/dev/md/other')
    sh('mkfs.ext4 -q %s' % node)
    said = sh('mdadm --detail --brief %s' % node)
    ident = said.split('UUID=')[1].split()[0]
    sh('udevadm settle; mdadm --stop %s' % node)
    unloop(*nodes)
    root = plain('root', 'arrays', '/dev/md7 /var ext4 defaults 0 2\n', [
        ('etc/mdadm/mdadm.conf', 'HOMEHOST <system>\nARRAY /dev/md7  metadata=1.2\n   UUID=%s\n' % ident)])
    result, marks = attach([root] + paths)
    assert marks == {'arrays': ('arrays', ['/', '/var'])}, (marks, result['problems'])


def btrfs():
    """One file system on two disks, as RAID1; then with one of them."""
    paths = [disk('b%d' % each, 128) for each in range(2)]
    nodes = [loop(path) for path in paths]
    sh('mkfs.btrfs -q -L two -d raid1 -m raid1 %s; udevadm settle' % ' '.join(nodes))
    tree('btrfs', 'LABEL=two / btrfs subvol=@ 0 0\n')
    sh('mkdir -p /mnt/x; mount %s /mnt/x; btrfs subvolume create /mnt/x/@; cp -a %s/. /mnt/x/@/; sync' % (nodes[0], TREE))
    sh('echo late >/mnt/x/@/srv/late; sync /mnt/x/@/srv/late')
    dead = crashed_copies(paths)
    settle()
    unloop(*nodes)
    sh('btrfs device scan --forget || true')
    result, marks = attach(dead)
    assert marks == {'btrfs': ('btrfs', ['/'])} and result['problems'] == [], (marks, result['problems'])
    result, marks = attach(dead[::-1], journal='ignore')
    assert marks == {'btrfs': ('btrfs', ['/'])}, (marks, result['problems'])
    for one in (dead[:1], dead[1:]):
        result, marks = attach(one)
        assert marks == {'btrfs': ('btrfs', ['/'])}, (marks, result['problems'])
        assert [each['code'] for each in result['problems']] == ['DISK_MEMBER_MISSING'], result['problems']


def nbd():
    """A qemu-storage-daemon without FUSE: qemu-nbd does the same."""
    path = disk('n', 48)
    node = loop(path)
    mkfs(node, 'nbd')
    dead = crashed_copies([path])
    settle()
    unloop(node)
    sh('qemu-img convert -O qcow2 %s %s.qcow2' % (dead[0], path))
    whole, export._has_fuse_exports = export._has_fuse_exports, lambda: False
    try:
        for disks in (dead, [path + '.qcow2']):
            result, marks = attach(disks)
            assert marks == {'nbd': ('nbd', ['/'])} and result['problems'] == [], (marks, result['steps'])
            assert any('qemu-nbd' in step for step in result['steps']), result['steps']
            assert not sh('ls /sys/block/nbd*/pid 2>/dev/null || true')
    finally:
        export._has_fuse_exports = whole


def guide():
    """The commands of docs/outage.md for layers, as they are written there."""
    with open('/run/job/outage.md', encoding='utf-8') as page:
        section = page.read().split('\n### RAID, LUKS, LVM')[1].split('\n## ')[0]
    opened, closed, overlay = re.findall(r'^```\n(.*?)^```$', section, re.M | re.S)
    dead = layered()
    before = sums(dead)
    nodes = [sh('losetup -r -f --show %s' % path) for path in dead]
    sh('udevadm settle; vgchange -an deepvg 2>/dev/null || true; mdadm --stop --scan')
    sh(opened.replace('/dev/sdX1', nodes[0]).replace('/dev/sdY1', nodes[1]), PASSPHRASE.encode())
    sh('mkdir -p /mnt/dead; mount -o ro,noload /dev/deepvg/root /mnt/dead')
    assert open('/mnt/dead/srv/mark').read() == 'deep'
    sh('umount /mnt/dead; ' + closed.replace('VG', 'deepvg'))
    unloop(*nodes)
    assert sums(dead) == before, 'the disk was written'

    path = disk('overlaid', 48)
    node = loop(path)
    mkfs(node, 'overlaid')
    dead = crashed_copies([path])
    settle()
    unloop(node)
    before = sums(dead)
    node = sh('losetup -r -f --show %s' % dead[0])
    sh(overlay.replace('/dev/sdX', node))
    assert open('/mnt/dead/srv/late').read() == 'late\n'
    sh('umount /mnt/dead; dmsetup remove dead-overlay; losetup -D; rm -r /srv/overlay')
    assert sums(dead) == before, 'the disk was written'


CASES = (lvm, luks, raid1, raid5, thin, nested, keys, arrays, btrfs, nbd, guide)


def main():
    os.makedirs(PLACE)
    wanted = sys.argv[1:]
    for case in CASES:
        if wanted and case.__name__ not in wanted:
            continue
        try:
            case()
            print('case %s ok' % case.__name__, flush=True)
        except Exception:               # whatever it is, it is told to the host
            print('case %s failed: %s' % (case.__name__, traceback.format_exc().replace('\n', ' | ')[-1800:]), flush=True)
        shutil.rmtree(PLACE)
        os.makedirs(PLACE)
    print('cases done %d' % len(CASES), flush=True)


main()
