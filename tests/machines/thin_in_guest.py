"""Runs inside the guest: dockerd with the driver devicemapper is used and killed, a crashed copy of its disk is attached with our code,
and what we say is compared with what dockerd said.

Arguments: POOL FILE_SYSTEM: loop or lvm, ext4 or xfs. Prints `case thin ok` or `case thin failed: WHY`.
"""
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import traceback

sys.path.insert(0, '/run/job/tree')
from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues  # noqa: E402

PLACE, SCRATCH, LIVE = '/var/tmp/disks', '/var/tmp/scratch', '/mnt/live'
STORY = 'echo one >/new; rm /image/drop; echo two >>/image/change; mkdir /a; ln -s /new /a/link; ln /new /a/hard; chmod 4711 /image/keep; ' \
    'rm -r /image/folder; mkdir /image/folder; echo mine >/image/folder/mine; echo done; sync; sleep 100000'


def sh(command, stdin=None):
    done = subprocess.run(['bash', '-ec', command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError('%s: %s' % (command, done.stdout.decode('utf-8', 'replace')[-600:]))
    return done.stdout.decode().strip()


def start(pool, kind):
    """dockerd on a disk of its own, a file -> (paths of the disks, its process)"""
    os.makedirs(PLACE)
    os.makedirs(LIVE)
    root = os.path.join(PLACE, 'root')
    with open(root, 'wb') as out:
        out.truncate(500 << 20)
    sh('mkfs.ext4 -q %s; mount -o loop %s %s; mkdir -p %s/etc %s/var/lib/docker' % (root, root, LIVE, LIVE, LIVE))
    with open(os.path.join(LIVE, 'etc/os-release'), 'w') as out:
        out.write('ID=x\nPRETTY_NAME=Dead\n')
    with open(os.path.join(LIVE, 'etc/fstab'), 'w') as out:
        out.write('# nothing\n')
    disks, options = [root], ['dm.fs=' + kind, 'dm.basesize=320M']
    if pool == 'loop':
        options += ['dm.loopdatasize=2G', 'dm.loopmetadatasize=32M']
    else:
        disks.append(os.path.join(PLACE, 'pv'))
        with open(disks[1], 'wb') as out:
            out.truncate(1200 << 20)
        sh('vgcreate docker $(losetup -f --show %s); lvcreate -y --type thin-pool -n thinpool -L 1000M --poolmetadatasize 16M -Zn docker' % disks[1])
        options.append('dm.thinpooldev=/dev/mapper/docker-thinpool')
    words = ['dockerd', '--data-root', LIVE + '/var/lib/docker', '--bridge=none', '--iptables=false', '--storage-driver', 'devicemapper']
    for option in options:
        words += ['--storage-opt', option]
    daemon = subprocess.Popen(words, stdout=open('/run/dockerd.log', 'wb'), stderr=subprocess.STDOUT)
    sh('n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -lt 200 ] || { tail -5 /run/dockerd.log; exit 3; }; done')
    return disks, daemon


def image():
    """A tar archive with busybox and what the story changes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        archive.add('/usr/bin/busybox', 'bin/busybox')
        for name in ('sh', 'rm', 'mkdir', 'ln', 'chmod', 'sync', 'sleep', 'cat'):
            info = tarfile.TarInfo('bin/' + name)
            info.type, info.linkname = tarfile.SYMTYPE, 'busybox'
            archive.addfile(info)
        for name in ('keep', 'drop', 'change', 'folder/below'):
            info = tarfile.TarInfo('image/' + name)
            info.size, info.mtime = 6, 1500000000
            archive.addfile(info, io.BytesIO(b'image\n'))
    return out.getvalue()


def use():
    """Containers, and what dockerd says of them -> {name: {id, diff, export}}"""
    sh('docker import - story:1', image())
    with open('/run/Dockerfile', 'w') as out:
        out.write('FROM story:1\nRUN echo second >/image/second; rm /image/folder/below\n')
    sh('mkdir /run/empty; docker build --network none -q -t story:2 -f /run/Dockerfile /run/empty')
    sh('docker run -d --network none --name runs story:2 /bin/sh -c "%s"' % STORY)
    sh('docker create --network none --name never story:1 /bin/sh')
    sh('n=0; until docker logs runs | grep -q done; do sleep 0.5; n=$((n+1)); [ $n -lt 100 ]; done; sync')
    said = {}
    for name in ('runs', 'never'):
        said[name] = {'id': sh('docker inspect -f {{.Id}} ' + name), 'diff': sorted(sh('docker diff ' + name).splitlines())}
        sh('docker export -o /run/export.tar ' + name)
        said[name]['export'] = members('/run/export.tar')
    return said


def members(path, prefix=''):
    """{name: what a tar archive says of it}"""
    found = {}
    with tarfile.open(path) as archive:
        for each in archive:
            name = each.name.strip('/')
            name = name[2:] if name.startswith('./') else name
            link = each.linkname.strip('/') if each.islnk() else each.linkname
            raw = hashlib.sha256(archive.extractfile(each).read()).hexdigest() if each.isreg() else link
            if name not in ('', '.'):
                # of two names of one file, any may be the first
                found[name] = [each.type.decode() if not each.islnk() else '0', oct(each.mode & 0o7777), each.uid, each.gid, int(each.mtime),
                               raw if not each.islnk() else 'link']
    for name, item in found.items():
        if name in ('new', 'a/hard'):
            item[5] = 'link'
    return found


def compared(root, said):
    """What differs between what dockerd said and what we say of the attached disk at ROOT."""
    wrong = []
    with registry.open_host(os.fsencode(root)) as host:
        data = host.roots[0]
        for name, item in sorted(said.items()):
            container = data.container(item['id'])
            if container.status != 'complete':
                wrong.append((name, container.status, [each.message for each in container.problems]))
                continue
            changes = sorted('%s /%s' % (each.kind, os.fsdecode(each.path)) for each in data.changes(container))
            wrong += [(name, 'diff', each) for each in set(changes) ^ set(item['diff'])]
        result = rescues.rescue(host, rescues.Request(b'/var/tmp/out', host_name='dead', compression='none',
                                                      include=('config', 'writable', 'rootfs', 'image', 'logs')))
    for bundle in result['bundles']:
        item = said.get(bundle.get('container'))
        if item is None:
            continue
        files = {each['name']: each['file'] for each in bundle['components']}
        if bundle['status'] != 'complete' or not files.get('rootfs') or not files.get('image'):
            wrong.append((bundle['container'], bundle['status'], [each['message'] for each in bundle['problems']], files))
            continue
        ours = members(os.path.join(bundle['path'], files['rootfs']))
        ours = {name[7:] if name.startswith('rootfs/') else name: value for name, value in ours.items() if name != 'rootfs'}
        wrong += [(bundle['container'], each, item['export'].get(each), ours.get(each)) for each in sorted(set(ours) | set(item['export']))
                  if ours.get(each) != item['export'].get(each)]
    wrong += [('bundles', len(result['bundles']))] if len(result['bundles']) < len(said) else []
    return wrong


def sums(paths):
    """What is in the files, without their holes: reading those takes minutes here."""
    found = []
    for path in paths:
        digest, place, size = hashlib.sha256(), 0, os.path.getsize(path)
        with open(path, 'rb') as stream:
            while place < size:
                try:
                    place = os.lseek(stream.fileno(), place, os.SEEK_DATA)
                except OSError:         # the rest is a hole
                    break
                end = os.lseek(stream.fileno(), place, os.SEEK_HOLE)
                digest.update(b'%d %d ' % (place, end))
                while place < end:
                    block = os.pread(stream.fileno(), min(1 << 20, end - place), place)
                    digest.update(block)
                    place += len(block)
        found.append((size, digest.hexdigest()))
    return found


def told(what):
    print('%s after %.0f s' % (what, time.monotonic()), flush=True)


def main():
    pool, kind = sys.argv[1:3]
    disks, daemon = start(pool, kind)
    told('dockerd')
    said = use()
    told('containers')
    dead = []
    for path in disks:                  # as a power cut leaves them: everything is mounted and runs
        sh('cp --sparse=always %s %s.dead' % (path, path))
        dead.append(path + '.dead')
    os.kill(daemon.pid, signal.SIGKILL)
    before = sums(dead)
    told('sums')
    request = Request(tuple(dead), scratch_dir=SCRATCH, attach_layers=True)
    try:
        result = run.attach(request)
        told('attached in %d steps' % len(result['steps']))
        assert not result['problems'], result['problems']
        assert run.attach(request)['changed'] is False
        wrong = compared(result['hosts'][0]['host_root'], said)
        assert not wrong, json.dumps(wrong[:12])
        assert len(re.findall(r'lifeboat-\S+-layer\d+', sh('dmsetup ls'))) > 5
        told('compared')
    finally:
        run.release(request)
    told('released')
    left = sh('dmsetup ls; losetup -a; grep lifeboat /proc/mounts || true')
    assert 'lifeboat' not in left and SCRATCH not in left, left
    assert not os.listdir(SCRATCH), os.listdir(SCRATCH)
    assert sums(dead) == before, 'the disk was written'


try:
    main()
    print('case thin ok', flush=True)
except Exception:                       # whatever it is, it is told to the host
    print('case thin failed: %s' % traceback.format_exc().replace('\n', ' | ')[-2500:], flush=True)
