"""A power cut under databases: a virtual machine in which PostgreSQL and MariaDB write is killed at a random moment, its disk is attached with its
journal replayed, and dumps are made of it. Every commit that a client was told of is in them, none is there in part, and the disk stays as it is.

LIFEBOAT_SEED; LIFEBOAT_SOAK: three cuts.
"""
import gzip
import json
import os
import random
import re
import subprocess
import time

import pytest
import test_power_cut

HERE = os.path.dirname(os.path.abspath(__file__))
import database_load  # noqa: E402  pylint: disable=wrong-import-position
import guest  # noqa: E402  pylint: disable=wrong-import-position

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import run as attaching  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402

SEED = int(os.environ.get('LIFEBOAT_SEED', '1'))
CUTS = 3 if os.environ.get('LIFEBOAT_SOAK') else 1
PLACES = {'pg': '/var/lib/postgresql/data', 'my': '/var/lib/mysql'}
ENGINES = {'pg': 'postgresql', 'my': 'mariadb'}
SECONDS = 900                           # until both write, on a busy machine
# (what is before the rows of t, and of c; a row)
IN_DUMP = {
    'pg': (rb'COPY "public"\."%b" [^\n]* FROM stdin;\n(.*?)\\\.\n', rb'(?m)^(\d+)\t(\d+)'),
    'my': (rb'INSERT INTO `%b` VALUES\s*([^;]*);\n', rb'\((\d+),(\d+)'),
}


def acknowledged(lines):
    """{(database, writer): the highest number that it was told is committed}"""
    found = {}
    for name, writer, number in (match.groups() for match in map(database_load.ACKNOWLEDGED.match, lines) if match):
        found[name, int(writer)] = max(int(number), found.get((name, int(writer)), 0))
    return found


def rows(name, table, sql):
    """[(writer, number)] of a table in a dump."""
    statement, row = IN_DUMP[name]
    return [tuple(map(int, each)) for values in re.findall(statement % table, sql, re.DOTALL) for each in re.findall(row, values)]


def cut(folder, seed):
    """-> (disk, {(database, writer): number}, containers) after a power cut under load."""
    chance = random.Random(seed)
    volume = chance.choice(('pg', 'my'))        # the other one writes into its layer
    image = database_load.image()
    job = {'run': database_load.RUN.format(**{name: PLACES[name] if name == volume else '' for name in PLACES})}
    with guest.turn(), guest.Guest(folder, job, [image], chance.choice(test_power_cut.CACHES), memory=2048) as machine:
        for name in PLACES:
            for writer in range(1, database_load.WRITERS + 1):
                machine.wait(r'^ack %s %d %d ' % (name, writer, chance.randrange(3, 30)), SECONDS)
        time.sleep(chance.random() * 8)
        machine.cut()
        lines = [line for dummy, line in machine.lines]
    base = os.path.join(folder, 'root.img')     # beside the overlay, under the name that it has there
    try:
        os.link(os.path.join(machine.machine, 'root.img'), base)
    except OSError:
        subprocess.run(['cp', '--sparse=always', '--reflink=auto', os.path.join(machine.machine, 'root.img'), base], check=True)
    return machine.root, acknowledged(lines), dict(match.groups() for match in map(database_load.CREATED.match, lines) if match), volume


def dumped(disk, folder):
    """{container: entry of the result} of the databases on a DISK, by our own attaching and dumping."""
    request = Request((disk,), scratch_dir=os.path.join(folder, 'scratch'), journal='replay')
    try:
        attached = attaching.attach(request)
        with registry.open_host(os.fsencode(attached['hosts'][0]['host_root'])) as host:
            result = run.dump(host, run.Request(os.fsencode(os.path.join(folder, 'out')), 'dead1', compression='gzip',
                                                scratch_dir=os.fsencode(folder)))
        return {item['container']: item for item in result['dumps']}
    finally:
        attaching.release(request)


@pytest.mark.parametrize('seed', range(SEED, SEED + CUTS))
def test_what_was_committed_is_in_the_dump_after_a_power_cut(seed, tmp_path):
    guest.need()
    machine = tmp_path / 'machine'
    machine.mkdir()
    disk, told, created, volume = cut(str(machine), seed)
    before = test_power_cut.checksum(disk)
    assert len(told) == len(PLACES) * database_load.WRITERS and sorted(created) == sorted(PLACES)
    items = dumped(disk, str(tmp_path))
    assert test_power_cut.checksum(disk) == before
    assert {name: (item['engine'], item['status']) for name, item in items.items()} == {name: (ENGINES[name], 'complete') for name in PLACES}, items
    for name, item in items.items():
        with gzip.open(item['file']) as raw:
            sql = raw.read()
        found, counters = rows(name, b't', sql), dict(rows(name, b'c', sql))
        print(json.dumps({'seed': seed, 'database': name, 'in a volume': name == volume, 'rows': len(found), 'counts': item['counts'],
                          'told': {writer: number for (database, writer), number in told.items() if database == name},
                          'seconds': item['seconds'], 'marks': item['marks']}))
        assert sorted(item['counts'].values()) == sorted([len(found), len(counters)])
        for writer, last in counters.items():
            assert sorted(number for who, number in found if who == writer) == list(range(1, last + 1))
            assert last >= told[name, writer]
