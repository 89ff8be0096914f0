"""Real power cuts: a virtual machine with dockerd under load is killed at a random moment, its disk is attached and rescued.

What the guest had not flushed is lost in part: the disks are qcow2, and QEMU keeps where new clusters lie in its memory until
a flush, with every mode of its cache.

Every file whose fsync had returned is in the bundles, every container that dockerd had acknowledged is listed or named as
damaged, nothing crashes, the disk stays as it is. LIFEBOAT_CUT_KINDS narrows the file systems.

LIFEBOAT_CUTS (default 2) runs; in a soak seven times as many, and each is cut four times: QEMU is stopped, its disks are copied as a
kill would have left them, and it goes on; the last time it is killed. The machine of each file system is booted once, kept when dockerd is
up, and goes on from there for each run. LIFEBOAT_KEPT: a folder where they stay for the next call. LIFEBOAT_DISKS: a folder where the
disks of every cut stay, for test_power_cut_repair.py.
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile
import time
from typing import Any, Dict, List, NamedTuple, Set

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
import guest  # noqa: E402  pylint: disable=wrong-import-position
import loads  # noqa: E402  pylint: disable=wrong-import-position

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run as attaching  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues  # noqa: E402

# name: (file system of Docker, initramfs)
KINDS = {
    'ext4, data=ordered': ('root', 'initrd'),
    'xfs': ('xfs', 'initrd'),
    'btrfs': ('btrfs', 'initrd'),
    'ext4, data=writeback': ('root', 'initrdwriteback'),
}
CACHES = ('none', 'writeback')          # of QEMU
MOMENTS = 4 if os.environ.get('LIFEBOAT_SOAK') else 1      # cuts of one run of the guest
CUTS = int(os.environ.get('LIFEBOAT_CUTS', '2')) * (7 if os.environ.get('LIFEBOAT_SOAK') else 1)    # runs
SEED = int(os.environ.get('LIFEBOAT_SEED', '1'))


def kinds():
    wanted = os.environ.get('LIFEBOAT_CUT_KINDS')
    names = [name for name in KINDS if not wanted or name in wanted.split(';')]
    return [(names[number % len(names)], CACHES[(SEED + number // len(names)) % 2], SEED * 1000 + number) for number in range(CUTS)]


def checksum(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as handle:
        for block in iter(lambda: handle.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


@pytest.fixture(scope='module', name='kept')
def keep_one_of_each_kind(tmp_path_factory):
    """kind -> the folder of a guest that was kept when dockerd was up and nothing was written yet."""
    guest.need()
    place = os.environ.get('LIFEBOAT_KEPT') or str(tmp_path_factory.mktemp('kept'))
    return lambda kind: keep(place, kind)


def keep(place, kind):
    """The folder below PLACE with the kept guest of KIND; made if it is not there."""
    system, initrd = KINDS[kind]
    folder = os.path.join(place, '%s-%s' % (system, initrd))
    if os.path.exists(os.path.join(folder, 'kept.json')):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    disks = []
    if system != 'root':
        disks = [os.path.join(folder, 'docker.qcow2')]
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disks[0], '2G'], check=True)
    with guest.turn(), guest.Guest(folder, loads.job(system), disks, 'writeback', initrd) as machine:
        machine.wait('load: ready', guest.BOOT_SECONDS)
        return machine.keep()


class Cut(NamedTuple):
    """`acknowledged`: files; `old`: those of them from before the guest was kept; `created`: containers."""
    disks: List[str]
    acknowledged: Set[Any]
    old: Set[Any]
    created: Dict[str, str]
    seconds: float                      # since the load began


def cuts(folder, kept, cache, seed, moments=1, until=None):
    """Power cuts of one run, at MOMENTS random moments -> [Cut]. KEPT: the folder of a guest that was kept. UNTIL: a line (pattern)
    that must have come before."""
    chance = random.Random(seed)
    found = []
    os.makedirs(os.path.join(folder, 'last'))
    with guest.turn(), guest.Guest(os.path.join(folder, 'last'), cache=cache, kept=kept) as machine:
        began, old = time.monotonic(), loads.acknowledged([line for dummy, line in machine.lines])
        machine.tell(loads.GO)
        for moment in range(moments):
            writer = 'c%d' % chance.randrange(1, loads.WRITERS + 1)
            now = loads.acknowledged([line for dummy, line in machine.lines])
            # often soon after the last one, and late as well
            wanted = int(3 * 25 ** chance.random()) + max([number for container, dummy, number in now if container == writer] or [0])
            machine.wait(r'^ack %s \w+ %d ' % (writer, wanted), guest.BOOT_SECONDS)
            if until:
                machine.wait(until, guest.BOOT_SECONDS)
            time.sleep(chance.random() * 2)     # also between the writes, where dockerd is at work
            if moment < moments - 1:
                place = os.path.join(folder, str(moment))
                os.mkdir(place)
                disks, lines = machine.copy(place)
            else:
                machine.cut()
                disks, lines = [machine.root] + machine.disks, [line for dummy, line in machine.lines]
            found.append(Cut(disks, loads.acknowledged(lines), old, loads.created(lines), time.monotonic() - began))
    return found


def leave(done, kind, cache, name):
    """The Cut DONE stays in LIFEBOAT_DISKS."""
    if not os.environ.get('LIFEBOAT_DISKS'):
        return
    place = os.path.join(os.environ['LIFEBOAT_DISKS'], name)
    os.makedirs(place)
    for folder in {os.path.dirname(path) for path in done.disks}:
        for each in os.listdir(folder):
            if each.startswith('kept-') or each == 'root.img' or os.path.join(folder, each) in done.disks:
                subprocess.run(['cp', '--sparse=always', '--link' if each.startswith('kept-') or each == 'root.img' else '--reflink=auto',
                                os.path.join(folder, each), place], check=True)
    with open(os.path.join(place, 'cut.json'), 'w', encoding='utf-8') as out:
        json.dump({'kind': kind, 'cache': cache, 'disks': [os.path.basename(path) for path in done.disks], 'acknowledged': sorted(done.acknowledged),
                   'old': sorted(done.old), 'created': done.created, 'seconds': done.seconds}, out)


def left(place):
    """(kind, Cut) of the folder PLACE that leave() filled."""
    with open(os.path.join(place, 'cut.json'), encoding='utf-8') as source:
        said = json.load(source)
    return said['kind'], Cut([os.path.join(place, name) for name in said['disks']], {tuple(each) for each in said['acknowledged']},
                             {tuple(each) for each in said['old']}, said['created'], said['seconds'])


def members(bundle, name):
    """{path: content} of small regular files in an archive of a bundle."""
    component = [each for each in bundle['components'] if each['name'] == name and each['file']]
    if not component:
        return {}
    with tarfile.open(os.path.join(bundle['path'], component[0]['file'])) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isreg() and member.size < 4096}


def rescued(disks, scratch, dest, journal):
    """(attached with `torn`, rescue result, {(container, where, number) that are there and whole})"""
    request = Request(tuple(disks), scratch_dir=scratch, journal=journal)
    try:
        attached = attaching.attach(request)
        root = attached['hosts'][0]['host_root']
        attached['torn'] = loads.torn(root)
        with registry.open_host(os.fsencode(root)) as host:
            result = rescues.rescue(host, rescues.Request(os.fsencode(dest), host_name='dead1', compression='none', volumes=('*',),
                                                          include=('config', 'writable', 'volumes', 'logs')))
        there = set()
        for bundle in result['bundles']:
            if bundle['kind'] == 'container':
                for where, prefix, name in (('layer', 'layer/', 'writable'), ('volume', '', 'volume:vol-%s' % bundle['container'])):
                    for path, raw in members(bundle, name).items():
                        number = path[len(prefix):]
                        if path.startswith(prefix) and number.isdigit() and raw == loads.content(bundle['container'], where, int(number)):
                            there.add((bundle['container'], where, int(number)))
        return attached, result, there
    finally:
        attaching.release(request)


@pytest.mark.parametrize('kind, cache, seed', kinds())
def test_what_was_acknowledged_is_rescued_after_a_power_cut(kind, cache, seed, kept, tmp_path):
    for number, done in enumerate(cuts(str(tmp_path / 'machine'), kept(kind), cache, seed, MOMENTS)):
        leave(done, kind, cache, '%d-%d' % (seed, number))
        place = tmp_path / ('judged%d' % number)
        place.mkdir()
        judged((kind, cache, seed), done, place)
    shutil.rmtree(str(tmp_path))


def judged(case, done, tmp_path):
    """Rescue from the disks of a Cut and compare. CASE: kind, cache, seed."""
    kind, cache, seed = case
    disks, acknowledged, old, created, seconds = done
    before = [checksum(path) for path in disks]
    new = acknowledged - old
    assert new and created
    attached, result, there = rescued(disks, str(tmp_path / 'scratch'), str(tmp_path / 'out'), 'replay')
    ignored, without = set(), 'crashed'
    try:
        dummy, other, ignored = rescued(disks, str(tmp_path / 'scratch'), str(tmp_path / 'ignored'), 'ignore')
        without = '%d of %d containers' % (len({item.get('id') for item in other['bundles']} & set(created.values())), len(created))
    except Exception as exc:            # a file system without its journal may be any shape: it is measured, not required
        without = type(exc).__name__
    listed = {item['id']: item for item in result['bundles'] if item['kind'] == 'container'}
    named = json.dumps(result['problems'])
    damaged = [item['id'] for item in listed.values() if item['status'] != 'complete']
    # what was written before the machine was kept, and flushed, is not counted in the shares; without the journal of xfs some of it is old too
    print(json.dumps({'kind': kind, 'cache': cache, 'seed': seed, 'seconds': round(seconds), 'acknowledged': len(new), 'replay': len(new & there),
                      'ignore': len(new & ignored), 'lost old': sorted(old - ignored), 'containers': len(created),
                      'listed': len(set(created.values()) & set(listed)), 'not complete': len(damaged), 'without journal': without,
                      'torn': attached['torn'], 'codes': sorted({each['code'] for each in result['problems']}),
                      'journals': [each['journal'] for each in attached['hosts'][0]['file_systems']]}))
    assert [checksum(path) for path in disks] == before
    assert sorted(acknowledged - there) == []
    assert [name for name, ident in created.items() if ident not in listed and ident[:12] not in named] == []
    for ident in damaged:
        assert listed[ident]['problems'], 'a container is not whole, and nothing says why'
