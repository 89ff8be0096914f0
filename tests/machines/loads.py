"""The job of a guest whose power will be cut: dockerd under load, and every write that fsync acknowledged is said.

The disk of Docker is the root disk (ext4), or a disk of its own (serial DISK0), made here and written into fstab.
"""
import json
import os
import re

WRITERS = 3                             # containers that write; each has a volume
GO = 'go'                               # typed on the console: the load begins
# a line of the console: CONTAINER WHERE NUMBER, twice, so that a line that was cut or mixed is not taken for a whole one
ACKNOWLEDGED = re.compile(r'^ack (c\d) (layer|volume) (\d+) \1\2\3$')
# said before it is removed: from then on it may be there, or not, or in part
REMOVED = re.compile(r'^gone (\S+) \1$')
CREATED = re.compile(r'^made (\S+) ([0-9a-f]{64}) \1$')

# at its first start it stands still until it is told to go on; process 1 of a container could not do that
WRITER = '''#!/bin/sh
n=0
[ -d /layer/begun ] || { mkdir -p /layer/begun; kill -STOP $$; }
while :; do
  n=$((n+1))
  for where in layer volume; do
    echo "$1 $where $n content of a file that has to be there" >/$where/$n.part
    sync /$where/$n.part; mv /$where/$n.part /$where/$n; sync /$where
    echo "ack $1 $where $n $1$where$n" >/dev/console-of-guest
  done
done
'''
DOCKERD = '''#!/bin/sh
{disk}
busybox true || echo "no busybox"
mkdir -p /etc/docker
echo '{{"storage-driver": "{driver}"{options}}}' >/etc/docker/daemon.json
dockerd --bridge=none --iptables=false >/run/dockerd.log 2>&1 &
n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -gt 300 ] && {{ tail -5 /run/dockerd.log; exit 3; }}; done
echo "dockerd: up"
mkdir -p /run/image/bin /run/image/layer /run/image/volume /run/image/dev /run/image/tmp
cp /usr/bin/busybox /run/image/bin/; for each in sh sync mv mkdir echo sleep true; do ln -s busybox /run/image/bin/$each; done
cp writer /run/image/writer
tar -C /run/image -cf - . | docker import - probe >/dev/null || exit 4
'''
# the writers are there and stand still; they write, and dockerd works, when GO is typed
LOAD = '''
for c in {names}; do
  id=$(docker run -d --network none --name $c -v vol-$c:/volume --device /dev/ttyS0:/dev/console-of-guest --label com.example.c=$c \\
    probe /bin/sh -c "/bin/sh /writer $c & wait") &&
  echo "made $c $id $c"
done
sync
echo "load: ready"
while read line </dev/ttyS0; do [ "$line" = go ] && break; done
for p in /proc/[0-9]*; do grep -qsa /writer $p/cmdline && kill -CONT ${{p#/proc/}}; done
n=0
while :; do
  n=$((n+1))
  id=$(docker create --network none --name e$n probe /bin/true) && echo "made e$n $id e$n"
  case $((n % 3)) in
  0) echo "gone e$n e$n"; docker rm e$n >/dev/null; docker commit c1 image:$n >/dev/null;;
  1) docker start e$n >/dev/null;;
  esac
done
'''
DISKS = {
    'root': '',
    'xfs': 'mkfs.xfs -q /dev/disk/by-id/virtio-DISK0\n',
    'btrfs': 'mkfs.btrfs -q /dev/disk/by-id/virtio-DISK0\n',
}
MOUNT = '''
udevadm settle
u=$(blkid -o value -s UUID /dev/disk/by-id/virtio-DISK0)
echo "UUID=$u /var/lib/docker {kind} defaults 0 2" >>/etc/fstab
mkdir -p /var/lib/docker; mount /dev/disk/by-id/virtio-DISK0 /var/lib/docker; sync
'''


def job(kind='root', driver='overlay2', load=True, options=''):
    """{name: text} for guest.Guest. KIND: root, xfs, btrfs."""
    disk = DISKS[kind] + (MOUNT.format(kind=kind) if kind != 'root' else '')
    names = ' '.join('c%d' % number for number in range(1, WRITERS + 1))
    return {'run': DOCKERD.format(disk=disk, driver=driver, options=options) + (LOAD.format(names=names) if load else ''), 'writer': WRITER}


def acknowledged(lines):
    """{(container, where, number)} of LINES of the console."""
    found = set()
    for line in lines:
        match = ACKNOWLEDGED.match(line)
        if match:
            found.add((match.group(1), match.group(2), int(match.group(3))))
    return found


def created(lines):
    """{name: id} of containers whose creation dockerd acknowledged, and whose removal was not asked for."""
    removed = {match.group(1) for match in map(REMOVED.match, lines) if match}
    found = dict(match.groups() for match in map(CREATED.match, lines) if match)
    return {name: ident for name, ident in found.items() if name not in removed}


def content(container, where, number):
    return ('%s %s %d content of a file that has to be there\n' % (container, where, number)).encode()


def present(root, container, where, number, folders):
    """Whether the file is there and whole. FOLDERS: {(container, where): path}"""
    folder = folders.get((container, where))
    if folder is None:
        return False
    try:
        with open(os.path.join(folder, '%d' % number), 'rb') as stream:
            return stream.read() == content(container, where, number)
    except OSError:
        return False


def torn(root):
    """Records of Docker below ROOT (the root of the host) that are empty, cut, full of zeros or not readable -> [path]. By the files alone, none of
    our code."""
    found = []
    top = os.path.join(root, 'var/lib/docker')
    for room in ('containers', 'image/overlay2', 'overlay2', 'volumes', 'network/files'):
        for where, folders, names in os.walk(os.path.join(top, room)):
            if room == 'overlay2':          # not what is in the layers
                folders[:] = [] if where.count('/') > top.count('/') + 1 else [each for each in folders if each != 'l']
            elif room == 'volumes':
                folders[:] = []
            for name in names:
                path = os.path.join(where, name)
                if name not in NO_RECORDS and not name.startswith('.tmp') and not name.endswith('-json.log') and not os.path.islink(path) and _is_torn(path):
                    found.append(os.path.relpath(path, top))
    return sorted(found)


# they are empty where nothing is wrong, or nobody reads them
NO_RECORDS = ('committed', 'resolv.conf.hash', 'resolv.conf', 'hosts', 'hostname', 'backingFsBlockDev')


def _is_torn(path):
    try:
        with open(path, 'rb') as source:
            raw = source.read()
    except OSError:                     # of a file system without its journal
        return True
    if path.endswith('.json') or not raw.strip(b'\0'):
        try:
            json.loads(raw.decode())
        except ValueError:
            return True
    return False
