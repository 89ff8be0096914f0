"""Real power cuts: a virtual machine with dockerd under load is killed at a random moment, its disk is attached and rescued.

What the guest had not flushed is lost in part: the disks are qcow2, and QEMU keeps where new clusters lie in its memory until
a flush, with every mode of its cache.

Every file whose fsync had returned is in the bundles, every container that dockerd had acknowledged is listed or named as
damaged, nothing crashes, the disk stays as it is. LIFEBOAT_CUTS (default 2) cuts, LIFEBOAT_SOAK times as many in a soak;
LIFEBOAT_CUT_KINDS narrows them.
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile
import time

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
CUTS = int(os.environ.get('LIFEBOAT_CUTS', '2')) * (25 if os.environ.get('LIFEBOAT_SOAK') else 1)
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


def cut(folder, kind, cache, seed, until=None):
    """-> (disks, acknowledged files, created containers), after a power cut. UNTIL: a line (pattern) that must have come before."""
    system, initrd = KINDS[kind]
    chance = random.Random(seed)
    disks = []
    if system != 'root':
        disks = [os.path.join(folder, 'docker.qcow2')]
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disks[0], '2G'], check=True)
    wanted = chance.randrange(20, 150)
    with guest.turn(), guest.Guest(folder, loads.job(system), disks, cache, initrd) as machine:
        machine.wait('dockerd: up', guest.BOOT_SECONDS)
        machine.wait(r'^ack c%d \w+ %d ' % (chance.randrange(1, loads.WRITERS + 1), wanted // loads.WRITERS), guest.BOOT_SECONDS)
        if until:
            machine.wait(until, guest.BOOT_SECONDS)
        time.sleep(chance.random() * 2)         # also between the writes, where dockerd is at work
        machine.cut()
        lines = [line for dummy, line in machine.lines]
    # beside the overlay, under the name that it has there
    base = os.path.join(folder, 'root.img')
    try:
        os.link(os.path.join(machine.machine, 'root.img'), base)
    except OSError:
        subprocess.run(['cp', '--sparse=always', '--reflink=auto', os.path.join(machine.machine, 'root.img'), base], check=True)
    return [machine.root] + disks, loads.acknowledged(lines), loads.created(lines)


def members(bundle, name):
    """{path: content} of small regular files in an archive of a bundle."""
    component = [each for each in bundle['components'] if each['name'] == name and each['file']]
    if not component:
        return {}
    with tarfile.open(os.path.join(bundle['path'], component[0]['file'])) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isreg() and member.size < 4096}


def rescued(disks, scratch, dest, journal):
    """(attached, rescue result, {(container, where, number) that are there and whole})"""
    request = Request(tuple(disks), scratch_dir=scratch, journal=journal)
    try:
        attached = attaching.attach(request)
        root = attached['hosts'][0]['host_root']
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
def test_what_was_acknowledged_is_rescued_after_a_power_cut(kind, cache, seed, tmp_path):
    try:
        guest.ensure()
    except guest.NotHere as why:
        (pytest.fail if os.environ.get('CI') else pytest.skip)(str(why))
    machine = tmp_path / 'machine'
    machine.mkdir()
    disks, acknowledged, created = cut(str(machine), kind, cache, seed)
    before = [checksum(path) for path in disks]
    assert len(acknowledged) > 5 and created
    attached, result, there = rescued(disks, str(tmp_path / 'scratch'), str(tmp_path / 'out'), 'replay')
    ignored, without = set(), 'crashed'
    try:
        dummy, other, ignored = rescued(disks, str(tmp_path / 'scratch'), str(tmp_path / 'ignored'), 'ignore')
        without = '%d of %d containers' % (len([item for item in other['bundles'] if item['kind'] == 'container']), len(created))
    except Exception as exc:            # a file system without its journal may be any shape: it is measured, not required
        without = type(exc).__name__
    listed = {item['id']: item for item in result['bundles'] if item['kind'] == 'container'}
    named = json.dumps(result['problems'])
    damaged = [item['id'] for item in listed.values() if item['status'] != 'complete']
    print(json.dumps({'kind': kind, 'cache': cache, 'seed': seed, 'acknowledged': len(acknowledged), 'replay': len(acknowledged & there),
                      'ignore': len(acknowledged & ignored), 'containers': len(created), 'listed': len(set(created.values()) & set(listed)),
                      'not complete': len(damaged), 'without journal': without,
                      'codes': sorted({each['code'] for each in result['problems']}),
                      'journals': [each['journal'] for each in attached['hosts'][0]['file_systems']]}))
    assert [checksum(path) for path in disks] == before
    assert sorted(acknowledged - there) == []
    assert [name for name, ident in created.items() if ident not in listed and ident[:12] not in named] == []
    for ident in damaged:
        assert listed[ident]['problems'], 'a container is not whole, and nothing says why'
    shutil.rmtree(str(tmp_path))
