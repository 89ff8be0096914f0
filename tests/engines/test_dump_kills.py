"""Databases that are killed at random moments under load, again and again: in the dump is every commit that a client was told of, none is there in
part, the dump loads into fresh servers of the same and of the next version, and the disk is what it was.

Where the data lie (writable layer, named volume, bind) and when the engine dies is drawn by the seed. Only with LIFEBOAT_SOAK=N, N kills of
PostgreSQL and of MariaDB each; LIFEBOAT_SOAK_FROM=S: the seeds from S on.
"""
import gzip
import json
import os
import random
import time

import pytest
from rig import databases, listing, transactions
from rig.common import RigError

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run
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
