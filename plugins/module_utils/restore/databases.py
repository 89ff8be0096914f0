# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases in what was restored: which, in what state, what will happen at the first start, does the image fit.

Finding them is audit's work; here are the conclusions for a restore. docs/databases.md says the same at length.
"""
import re

from ..audit import databases as detector
from ..audit import usage
from ..formats.values import as_dict, as_list

NUMBER = re.compile(r'\d+(?:\.\d+)*')

# engine -> variables of the well-known images that say its version, best first
VARIABLES = {
    'postgresql': ('PG_MAJOR', 'PG_VERSION', 'POSTGRESQL_VERSION'),
    'mysql': ('MYSQL_MAJOR', 'MYSQL_VERSION'), 'mariadb': ('MARIADB_MAJOR', 'MARIADB_VERSION'),
    'mongodb': ('MONGO_MAJOR', 'MONGO_VERSION'), 'redis': ('REDIS_VERSION',), 'valkey': ('VALKEY_VERSION',),
    'elasticsearch': ('ELASTICSEARCH_VERSION', 'ELASTIC_VERSION'), 'opensearch': ('OPENSEARCH_VERSION',),
    'influxdb': ('INFLUXDB_VERSION',), 'rabbitmq': ('RABBITMQ_VERSION',), 'etcd': ('ETCD_VERSION',),
}
# Parts of the version in which the files of one release do not open with another.
PARTS = {'postgresql': 1, 'mysql': 2, 'mariadb': 2, 'mongodb': 2, 'elasticsearch': 1, 'opensearch': 1, 'influxdb': 1,
         'etcd': 2}
# engines that may open files of an older series (they upgrade them at the first start)
UPGRADES = ('mysql', 'mariadb', 'mongodb', 'elasticsearch', 'opensearch', 'etcd')

# engine -> (after a clean shutdown or where that is not known, after a crash)
EXPECT = {
    'postgresql': ('Starts at once.',
                   'Replays its write-ahead log at the first start and says so in its log; every committed transaction '
                   'is there afterwards. Leave pg_wal and postmaster.pid as they are.'),
    'mysql': ('Starts at once.', 'InnoDB applies its redo log at the first start. Keep ibdata1, the redo logs and all '
              'folders together; do not set innodb_force_recovery before a plain start has failed.'),
    'mariadb': ('Starts at once.', 'InnoDB applies its redo log at the first start. Keep ibdata1, ib_logfile0 and all '
                'folders together; start with the same series of MariaDB.'),
    'mongodb': ('Starts at once.', 'WiredTiger replays its journal at the first start; a left mongod.lock is normal.'),
    'redis': ('Loads its dump or append-only file at the start.',
              'Loads its append-only file (or, without one, the last dump) at the start; a cut last record is dropped '
              'if aof-load-truncated is yes, its default.'),
    'valkey': ('Loads its dump or append-only file at the start.',
               'Loads its append-only file (or, without one, the last dump) at the start.'),
    'sqlite': ('Opens at once.', 'The first program that opens it takes over what is in the -wal or -journal file '
               'beside it: these files belong together.'),
    'elasticsearch': ('Recovers its shards at the start.', 'Replays the translog of each shard at the start; watch '
                      '_cluster/health until it is no longer red.'),
    'opensearch': ('Recovers its shards at the start.', 'Replays the translog of each shard at the start; watch '
                   '_cluster/health until it is no longer red.'),
    'influxdb': ('Replays its WAL at the start.', 'Replays its WAL at the start; that can take minutes.'),
    'rabbitmq': ('Starts only under the same node name, which holds the host name: keep hostname.',
                 'Starts only under the same node name, which holds the host name: keep hostname. Queues are recovered '
                 'at the start.'),
    'etcd': ('A lone member starts at once; one of several needs its peers, or --force-new-cluster.',
             'Replays its WAL at the start. One member of several needs its peers, or --force-new-cluster.'),
}
PLAIN = ('Check it with the means of the software before it is used.',
         'It was not shut down: check it with the means of the software before it is used.')


def find(folder, prefix=b'/'):
    """JSON-ready records of the databases below FOLDER (bytes), each with `expect`; paths begin with PREFIX."""
    seen = detector.Detector()
    try:
        usage.scan_folder(folder, detector=seen)
    except OSError:
        return []
    return [dict(record, expect=expectation(record)) for record in seen.found(prefix)
            if record['kind'] == 'database' and not record['noise']]


def expectation(record):
    """What the first start will bring, one or two sentences."""
    clean, crashed = EXPECT.get(record.get('engine'), PLAIN)
    return crashed if record.get('clean_shutdown') is False else clean


def image_versions(config):
    """{engine: version} that an image's configuration (its `config`) tells."""
    variables = {}
    for item in as_list(as_dict(config).get('Env')):
        if isinstance(item, str) and '=' in item:
            name, dummy, value = item.partition('=')
            variables[name] = value
    found = {}
    for engine, names in VARIABLES.items():
        for name in names:
            match = NUMBER.search(re.sub(r'^\d+:', '', variables.get(name, '')))
            if match:
                found[engine] = match.group()
                break
    labels = as_dict(as_dict(config).get('Labels'))
    title = str(labels.get('org.opencontainers.image.title') or labels.get('org.label-schema.name') or '').lower()
    version = str(labels.get('org.opencontainers.image.version') or labels.get('org.label-schema.version') or '')
    for engine in VARIABLES:
        if engine in title and engine not in found and NUMBER.match(version):
            found[engine] = NUMBER.match(version).group()
    return found


def series(engine, version):
    """The part of VERSION that has to match, as numbers; None if it is unknown. PostgreSQL before 10 counts two."""
    match = NUMBER.match(version or '')
    if not match or engine not in PARTS:
        return None
    numbers = [int(part) for part in match.group().split('.')]
    count = PARTS[engine]
    if engine == 'postgresql' and numbers[0] < 10:
        count = 2
    return tuple(numbers[:count])


def mismatch(records, versions):
    """Why data (records of find()) do not fit an image (image_versions()); None if nothing speaks against it."""
    for record in records:
        engine = record['engine']
        wanted = series(engine, record.get('version'))
        given = series(engine, versions.get(engine))
        if wanted is None or given is None or len(wanted) != len(given) or wanted == given:
            continue
        if engine in UPGRADES and given > wanted:
            continue
        return ('The data of %s in %s are of version %s, the image has version %s: it would not start, or harm them. '
                'Take an image of version %s, or dump and load.' % (
                    record['title'], record['path'], record['version'], versions[engine],
                    '.'.join(map(str, wanted))))
    return None
