"""Databases that are killed at random moments under load, again and again: in the dump is every commit that a client was told of, none is there in
part, the dump loads into fresh servers of the same and of the next version, and the disk is what it was.

Where the data lie (writable layer, named volume, bind) and when the engine dies is drawn by the seed. Only with LIFEBOAT_SOAK=N, N kills of
PostgreSQL and of MariaDB each; LIFEBOAT_SOAK_FROM=S: the seeds from S on.
"""
import contextlib
import gzip
import json
import os
import random
import shutil
import subprocess
import tarfile
import time

import pytest
from rig import databases, listing, scenario, transactions
from rig.common import RigError

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import find, programs, registry as kinds, run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)
FROM = int(os.environ.get('LIFEBOAT_SOAK_FROM') or 1)
PLACES = ('layer', 'volume', 'bind')
NEXT = 'trixie'                         # PostgreSQL 17 and MariaDB 11.8, the data are of 15 and 10.11
LONGEST = 6                             # seconds under load


def content(item):
    with gzip.open(item['file']) as raw:
        return raw.read()


def dumped(host_root, folder, **more):
    """({container: entry of the result}, whether the disk is what it was, access times too)"""
    before = listing.snapshot(host_root)
    old = os.umask(0o077)
    try:
        with registry.open_host(os.fsencode(host_root), []) as host:
            request = run.Request(os.fsencode(str(folder)), 'dead', compression='gzip', scratch_dir=os.fsencode(str(folder)))
            result = run.dump(host, request._replace(**more))
    finally:
        os.umask(old)
    return {item['container']: item for item in result['dumps']}, before == listing.snapshot(host_root)


def under_load(engine, names, chance):
    """Wait until every writer was told of a commit, and a moment drawn by CHANCE longer -> {name: its writable layer}."""
    uppers = {name: engine.outside(engine.api('GET', '/containers/%s/json' % name)['GraphDriver']['Data']['UpperDir']) for name in names}
    deadline = time.monotonic() + 120
    while True:
        try:
            if all(min(transactions.told(upper).values()) for upper in uppers.values()):
                break
        except FileNotFoundError:
            pass
        if time.monotonic() > deadline:
            raise RigError('the databases do not write: %r' % [engine.docker_both('logs', name)[1][-500:] for name in names])
        time.sleep(0.1)
    time.sleep(chance.random() * LONGEST)
    return uppers


def judge(item, kind, acknowledged, found):
    """FOUND: rows of each writer in a fresh server."""
    assert item['status'] == 'complete', item
    assert sorted(found) == sorted(acknowledged)
    for writer, rows in found.items():
        assert (rows.count, rows.first, rows.counter) == (rows.last, 1, rows.last), (writer, rows)
        assert acknowledged[writer] <= rows.last <= acknowledged[writer] + 1, (writer, rows)
    table = transactions.KINDS[kind].table
    assert item['counts'] == {table + 't': sum(rows.count for rows in found.values()), table + 'c': len(found)}


@pytest.fixture(scope='module', name='engine')
def engine_with_two_versions(start_engine_once):
    engine = start_engine_once('debian-overlay2')
    databases.load(engine)
    databases.load(engine, NEXT)
    return engine


def fresh(engine):
    """The engine runs and has no container and no volume."""
    if engine.pid is None:
        engine.start()
    for what in ('container', 'volume'):
        left = engine.docker(what, 'ls', '-q', *(['-a'] if what == 'container' else [])).decode().split()
        if left:
            engine.docker(what, 'rm', '-f', *left)


@pytest.mark.soak
@pytest.mark.parametrize('seed', range(FROM, FROM + SOAK))
def test_every_commit_that_a_client_was_told_of_is_in_the_dump(seed, engine, tmp_path):
    chance = random.Random(seed)
    fresh(engine)
    places = {kind: chance.choice(PLACES) for kind in transactions.KINDS}
    names = {'%s-%d' % (kind, seed): kind for kind in places}
    for name, kind in names.items():
        transactions.start(engine, kind, name, places[kind])
    uppers = under_load(engine, names, chance)
    engine.kill()
    acknowledged = {name: transactions.told(upper) for name, upper in uppers.items()}
    items, unchanged = dumped(engine.host_root, tmp_path)
    assert unchanged and sorted(items) == sorted(names), items
    fresh(engine)
    for name, kind in names.items():
        found = {image: transactions.loaded(engine, kind, content(items[name]), image)
                 for image in (databases.IMAGE, databases.IMAGE + '-' + NEXT)}
        print(json.dumps({'seed': seed, 'database': kind, 'place': places[kind], 'told': sum(acknowledged[name].values()),
                          'rows': items[name]['counts'], 'seconds': items[name]['seconds'], 'bytes': items[name]['bytes'],
                          'marks': items[name]['marks']}))
        for rows in found.values():
            judge(items[name], kind, acknowledged[name], rows)


def layer_of(engine, image):
    """The folder of the one layer of IMAGE."""
    return engine.outside(engine.api('GET', '/images/%s/json' % image)['GraphDriver']['Data']['UpperDir'])


@pytest.mark.soak
def test_another_image_serves_where_the_own_one_is_lost(start_engine, tmp_path):
    """PostgreSQL in a volume, MariaDB in the writable layer; their image is lost, a newer one and one of the same version are there."""
    engine = start_engine('debian-overlay2')
    databases.load(engine)
    databases.load(engine, NEXT)
    other = str(tmp_path / 'other.tar')
    shutil.copy(databases.ensure_tar(), other)
    with tarfile.open(other, 'a') as archive:       # else it would be the same layer
        archive.add(__file__, 'another')
    databases.load_tar(engine, other, 'other:1')
    os.unlink(other)
    transactions.start(engine, 'postgresql', 'postgresql', 'volume')
    transactions.start(engine, 'mariadb', 'mariadb', 'layer')
    lost, same = layer_of(engine, databases.IMAGE), layer_of(engine, 'other:1')
    uppers = under_load(engine, transactions.KINDS, random.Random(FROM))
    engine.kill()
    shutil.rmtree(lost)
    items, unchanged = dumped(engine.host_root, tmp_path / 'out')
    assert unchanged and sorted(items) == sorted(transactions.KINDS), items
    for item in items.values():
        assert item['marks'][-1] == 'other_image: other:1', item
    assert items['mariadb']['status'] == 'partial' and items['mariadb']['missing'] == [programs.IN_LOST_LAYERS]
    shutil.rmtree(same)
    none, dummy = dumped(engine.host_root, tmp_path / 'none')
    for item in none.values():
        assert item['status'] == 'unsupported' and 'no other image of the host has the same server' in item['missing'][0], item
    engine.start()
    for kind in transactions.KINDS:
        found = transactions.loaded(engine, kind, content(items[kind]), databases.IMAGE + '-' + NEXT)
        judge(dict(items[kind], status='complete'), kind, transactions.told(uppers[kind]), found)


@pytest.mark.soak
@pytest.mark.parametrize('remapped, place', [('debian-userns', place) for place in PLACES] + [('debian-rootless', 'volume')])
def test_behind_a_user_namespace(remapped, place, start_engine, tmp_path):
    """userns-remap, and an engine without root: every owner on the disk is shifted. Dumped by root."""
    chance = random.Random(FROM)
    engine = start_engine(remapped)
    databases.load(engine)
    for kind in transactions.KINDS:
        transactions.start(engine, kind, kind, place)
    uppers = under_load(engine, transactions.KINDS, chance)
    engine.kill()
    acknowledged = {kind: transactions.told(upper) for kind, upper in uppers.items()}
    items, unchanged = dumped(engine.host_root, tmp_path)
    assert unchanged and sorted(items) == sorted(transactions.KINDS), items
    fresh(engine)
    for kind in transactions.KINDS:
        judge(items[kind], kind, acknowledged[kind], transactions.loaded(engine, kind, content(items[kind])))


@pytest.mark.soak
@pytest.mark.parametrize('podman', ['podman-rootless', 'podman-root', 'podman-fuse'])
def test_from_a_store_of_podman(podman, engine, tmp_path):
    """Dumped by root, whoever's the store was; loaded on Docker."""
    dead, uppers = transactions.killed_podman(podman, random.Random(FROM).random() * LONGEST)
    with contextlib.closing(dead):
        acknowledged = {name: transactions.told(upper) for name, upper in uppers.items()}
        items, unchanged = dumped(dead.host_root, tmp_path)
        assert unchanged and sorted(items) == sorted(uppers), items
    fresh(engine)
    for name, item in items.items():
        kind = name.split('-')[0]
        judge(item, kind, acknowledged[name], transactions.loaded(engine, kind, content(item)))


BIG = {
    'postgresql': 'psql -h /tmp -U postgres -d postgres -qXc "create table big as '
                  'select i, md5(i::text) a, md5((-i)::text) b from generate_series(1, 400000) i; alter table big add primary key (i)"',
    'mariadb': 'mariadb -S /tmp/my -u root -p%s shop -e "create table big (primary key (i)) engine=innodb select seq i, md5(seq) a, md5(-seq) b '
               'from seq_1_to_200000"' % scenario.SECRET,
}


@pytest.mark.soak
@pytest.mark.parametrize('kind', transactions.KINDS)
def test_what_recovery_changes_is_at_most_a_fifth_more_than_the_data(kind, engine, tmp_path, monkeypatch):
    """The figures of docs/databases.md, too."""
    def measured(room, target):
        found = proper(room, target)
        used = os.statvfs('/')          # of the file system that takes the changes
        found['marks'].append('scratch: %d' % ((used.f_blocks - used.f_bfree) * used.f_frsize))
        return found
    proper = kinds.KINDS[kind].dump
    monkeypatch.setitem(kinds.KINDS, kind, kinds.KINDS[kind]._replace(dump=measured))
    fresh(engine)
    transactions.start(engine, kind, kind, 'volume')
    uppers = under_load(engine, [kind], random.Random(FROM))
    engine.docker('exec', kind, 'bash', '-c', 'export PATH=$PATH:/pg; ' + BIG[kind])
    under_load(engine, [kind], random.Random(FROM))
    engine.kill()
    with registry.open_host(os.fsencode(engine.host_root), []) as host:
        size = find.find(host, (kind,), (kind,))[0][0].bytes
    items, unchanged = dumped(engine.host_root, tmp_path, scratch_dir=None, scratch_size=int(size * run.SHARE), compression='zstd')
    item = items[kind]
    assert unchanged and item['status'] == 'complete', item
    table = transactions.KINDS[kind].table
    assert item['counts'][table + 't'] >= sum(transactions.told(uppers[kind]).values()) and item['counts'][table + 'big'] in (200000, 400000)
    data = os.path.join(engine.data_root, 'volumes', kind, '_data')
    packed = subprocess.run('tar -cf - %s | zstd -q -1 | wc -c' % data, shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    plain = subprocess.run(['zstd', '-q', '-d', '-c', item['file']], stdout=subprocess.PIPE, check=True).stdout
    print(json.dumps({'database': kind, 'version': item['version'], 'data': size, 'rows': sum(item['counts'].values()), 'marks': item['marks'],
                      'seconds': item['seconds'], 'sql': len(plain), 'sql packed': item['bytes'], 'data packed': int(packed)}))
