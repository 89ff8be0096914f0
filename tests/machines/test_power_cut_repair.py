"""LIFEBOAT_SOAK: disks of real power cuts are repaired on a copy, and the guest boots with it again: dockerd starts, lists every container that it had
acknowledged, gives out every file whose fsync had returned, and a container that wrote writes on.

What the plan leaves open it must name; everything else the engine itself must have. LIFEBOAT_CUT_KINDS narrows the kinds.

A power cut seldom damages a record of Docker. So each disk is taken as it is, then with the damage that others have met, done to its copy by hand
(`damage`), and of xfs and btrfs once more after what people do when a disk does not mount: the log is thrown away (`without_log`), which damages
what the cut alone had not. LIFEBOAT_DISKS: the folder where test_power_cut.py left its disks; then these are taken.
"""
import contextlib
import io
import json
import os
import subprocess
import tarfile

import guest
import loads
import pytest
from test_power_cut import KINDS, SEED, cuts, keep, left

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

ROUNDS = int(os.environ.get('LIFEBOAT_SOAK') or 0)
WANTED = [name for name in KINDS if name in os.environ.get('LIFEBOAT_CUT_KINDS', name).split(';')]
LEFT = os.environ.get('LIFEBOAT_DISKS', '')
AS_IT_IS, BY_HAND, LOG_GONE = 'as it is', 'damaged by hand', 'log thrown away'
DAMAGES = (AS_IT_IS, BY_HAND, LOG_GONE)
ZERO_LOG = {'xfs': ['xfs_repair', '-L'], 'btrfs': ['btrfs', 'rescue', 'zero-log']}     # tune2fs and e2fsck replay the journal of ext4 first


def damages(kind):
    return DAMAGES if kind in ZERO_LOG else DAMAGES[:2]


def cases():
    """[(folder that test_power_cut.py left or (kind, seed), what is done to the copy)]"""
    if LEFT:
        found = [(os.path.join(LEFT, name), damage_) for name in sorted(os.listdir(LEFT)) for damage_ in damages(left(os.path.join(LEFT, name))[0])]
        return found if ROUNDS else []
    found = [(kind, damage_) for damage_ in DAMAGES for kind in WANTED if damage_ in damages(kind)]
    return [((found[number % len(found)][0], SEED * 7000 + number), found[number % len(found)][1]) for number in range(ROUNDS if found else 0)]


# the second life: nothing is imported or made, only looked at
JOB = r'''#!/bin/sh
{disk}
mkdir -p /etc/docker /run/found
echo '{{"storage-driver": "overlay2"}}' >/etc/docker/daemon.json
dockerd --bridge=none --iptables=false >/run/dockerd.log 2>&1 &
n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -gt 300 ] && {{ tail -5 /run/dockerd.log; exit 3; }}; done
echo "dockerd: up again"
docker ps -a --no-trunc --format '{{{{.ID}}}} {{{{.Names}}}}' >/run/found/containers
docker volume ls -q >/run/found/volumes
for c in {names}; do
  docker cp $c:/layer - >/run/found/$c-layer.tar; docker cp $c:/volume - >/run/found/$c-volume.tar
done
grep -E 'level=(error|fatal)' /run/dockerd.log >/run/found/errors
tar -C /run/found -cf /dev/disk/by-id/virtio-ANSWER .
sync
for c in {names}; do docker start $c >/dev/null && echo "started $c"; done
sleep 5
'''


@contextlib.contextmanager
def mounted(disks, place):
    """The copies DISKS (raw) at PLACE, Docker's own below it; the kernel replays their journals."""
    os.mkdir(place)
    where = [place] + [os.path.join(place, 'var/lib/docker') for dummy in disks[1:]]
    done = []
    try:
        for disk, target in zip(disks, where):
            os.makedirs(target, exist_ok=True)
            subprocess.run(['mount', '-o', 'loop', disk, target], check=True)
            done.append(target)
        yield place
    finally:
        for target in reversed(done):
            subprocess.run(['umount', target], check=True)


def copied(disks, folder):
    """Raw copies, as somebody makes them before anything is tried."""
    found = []
    for number, disk in enumerate(disks):
        found.append(os.path.join(folder, 'copy%d.raw' % number))
        subprocess.run(['qemu-img', 'convert', '-O', 'raw', disk, found[-1]], check=True)
    return found


def booted(folder, copies):
    """The guest once more, with the copies -> (names of the answer's files: contents, containers that were started, acknowledged then)."""
    os.mkdir(folder)
    names = ['c%d' % number for number in range(1, loads.WRITERS + 1)]
    disk = 'udevadm settle; mkdir -p /var/lib/docker; mount /dev/disk/by-id/virtio-DISK0 /var/lib/docker' if copies[1:] else ''
    machine = guest.Guest(folder, {'run': JOB.format(disk=disk, names=' '.join(names))}, copies[1:], 'writeback')
    subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', copies[0], machine.root], check=True)
    with guest.turn(), machine:
        machine.wait('dockerd: up again', guest.BOOT_SECONDS)
        assert machine.ended(guest.BOOT_SECONDS) == 0
        lines = [line for dummy, line in machine.lines]
    found = {}
    with tarfile.open(machine.answer) as archive:
        for member in archive:
            if member.isreg():
                found[os.path.basename(member.name)] = archive.extractfile(member).read()
    return found, {line.split()[1] for line in lines if line.startswith('started ')}, loads.acknowledged(lines)


def there(found):
    """{(container, where, number)} of whole files that the engine gave out."""
    whole = set()
    for name, raw in found.items():
        container, dash, where = name.partition('-')
        if dash and raw:
            with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
                for member in archive:
                    number = os.path.basename(member.name)
                    if number.isdigit() and archive.extractfile(member).read() == loads.content(container, where[:-4], int(number)):
                        whole.add((container, where[:-4], int(number)))
    return whole


def cut_down(case, place):
    """(kind, Cut) of CASE: a folder that test_power_cut.py left, or kind and seed of a cut that is made in PLACE."""
    if isinstance(case, str):
        return left(case)
    kind, seed = case
    os.mkdir(os.path.join(place, 'first'))
    kept = keep(os.environ.get('LIFEBOAT_KEPT') or place, kind)
    made, = cuts(os.path.join(place, 'first'), kept, 'writeback', seed, until=r'^made e%d ' % (1 + seed % 5))
    return kind, made


def damage(root, created):
    """What file systems have left of records after power cuts, done by hand to the host at ROOT -> {name: id} of containers without their record.

    Empty: `config.v2.json` of a container that ran and, if there is one, of one that did not, `link` and `lower` of a third one's layer, `mount-id`.
    Zeros: `size` and `cache-id` of an image layer. Cut: `repositories.json`. CREATED: {name: id} of what the engine had acknowledged.
    """
    top = os.path.join(root, 'var/lib/docker')
    layers, mounts = (os.path.join(top, 'image/overlay2/layerdb', name) for name in ('sha256', 'mounts'))
    lost = {name: created[name] for name in ['c2'] + sorted(name for name in created if name.startswith('e'))[-1:]}
    for ident in lost.values():
        os.truncate(os.path.join(top, 'containers', ident, 'config.v2.json'), 0)
    with open(os.path.join(mounts, created['c3'], 'mount-id'), encoding='ascii') as source:
        layer = source.read()
    for name in ('link', 'lower'):
        os.truncate(os.path.join(top, 'overlay2', layer, name), 0)
    os.truncate(os.path.join(mounts, created['c1'], 'mount-id'), 0)
    base, = [name for name in os.listdir(layers) if not os.path.exists(os.path.join(layers, name, 'parent'))]
    for name in ('size', 'cache-id'):
        zeroed(os.path.join(layers, base, name))
    path = os.path.join(top, 'image/overlay2/repositories.json')
    os.truncate(path, os.path.getsize(path) // 2)
    return lost


def zeroed(path):
    with open(path, 'r+b') as out:
        out.write(bytes(os.path.getsize(path)))


def without_log(kind, disk):
    """The copy DISK as it is after a repair of the file system that throws its log away."""
    subprocess.run(ZERO_LOG[kind] + [disk], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def on_disk(root, created):
    """({name: id} of containers that have a folder, {(container, where, number)} of whole files) of the host at ROOT."""
    top = os.path.join(root, 'var/lib/docker')
    folders = {('c%d' % number, 'volume'): os.path.join(top, 'volumes/vol-c%d/_data' % number) for number in range(1, loads.WRITERS + 1)}
    for name, dummy in list(folders):
        with contextlib.suppress(OSError), open(os.path.join(top, 'image/overlay2/layerdb/mounts', created[name], 'mount-id'), encoding='ascii') as source:
            folders[name, 'layer'] = os.path.join(top, 'overlay2', source.read(), 'diff/layer')
    files = {(name, where, int(number)) for (name, where), folder in folders.items() if os.path.isdir(folder) for number in os.listdir(folder)
             if number.isdigit() and loads.present(root, name, where, int(number), folders)}
    return {name: ident for name, ident in created.items() if os.path.isdir(os.path.join(top, 'containers', ident))}, files


@pytest.mark.parametrize('case, damaged', cases())
def test_a_disk_of_a_power_cut_is_repaired_and_boots(case, damaged, tmp_path):
    guest.need()
    kind, made = cut_down(case, str(tmp_path))
    disks, acknowledged, created = made.disks, made.acknowledged, made.created
    assert len(acknowledged) > 5 and created and KINDS[kind]
    copies = copied(disks, str(tmp_path))
    if damaged == LOG_GONE:
        without_log(kind, copies[-1])
    with mounted(copies, str(tmp_path / 'mounted')) as root:
        by_itself = loads.torn(root)
        if damaged == LOG_GONE:         # nobody can bring back what is not there
            created, acknowledged = on_disk(root, created)
        lost = damage(root, created) if damaged == BY_HAND else {}
        result = run.run(run.Request(run.REPAIRED, os.fsencode(root), verify=run.OFFLINE, names={ident: name for name, ident in lost.items()}))
        assert [step for step in run.run(run.Request(run.PLANNED, os.fsencode(root)))['plan'] if step['selected']] == []
    open_ones = json.dumps(result['unresolved'] + [step for step in result['plan'] if not step['selected']])
    print(json.dumps({'kind': kind, 'case': case, 'torn by itself': by_itself, 'damaged': damaged, 'acknowledged': len(made.acknowledged),
                      'on the disk': len(acknowledged), 'created': len(made.created), 'with a folder': len(created),
                      'steps': sorted('%s %s' % (step['code'], step['certainty']) for step in result['plan'] if step['done']),
                      'open': open_ones, 'verified': result['verified']['status']}), flush=True)
    found, started, again = booted(str(tmp_path / 'second'), copies)
    listed = dict(line.split() for line in found['containers'].decode().splitlines())
    print(json.dumps({'listed': len(set(listed) & set(created.values())), 'files there': len(acknowledged & there(found)), 'started': sorted(started),
                      'errors': found['errors'].decode('utf-8', 'replace').splitlines()[:3]}), flush=True)
    assert [name for name, ident in created.items() if ident not in listed and ident not in open_ones] == []
    if damaged == BY_HAND:              # nothing may be open that the engine needs to list them
        assert {ident: name for name, ident in created.items()}.items() <= listed.items()
    assert sorted(acknowledged - there(found)) == []
    writers = {'c%d' % number for number in range(1, loads.WRITERS + 1)}
    assert started == writers <= set(created) and again
    assert {'vol-%s' % name for name in writers} <= set(found['volumes'].decode().split())
