"""Relational databases: PostgreSQL, MySQL, MariaDB, SQLite, H2."""
import re
import struct
from typing import TYPE_CHECKING, Optional

from .look import Finder, Kind, Match

if TYPE_CHECKING:
    from .look import Look

# PostgreSQL's src/include/catalog/pg_control.h: DBState
PG_STATES = ('starting up', 'shut down', 'shut down in recovery', 'shutting down', 'in crash recovery',
             'in archive recovery', 'in production')


def postgresql(look: 'Look', marker: bytes) -> Optional[Match]:
    """PG_VERSION and global/pg_control. The latter alone will do: a cluster that came with the image and was only
    used since has no PG_VERSION in its writable layer."""
    version = re.match(br'(\d{1,2}(?:\.\d{1,2})?)\n?\Z', look.head(b'PG_VERSION', 16))
    control = look.head(b'global/pg_control', 32)
    if len(control) < 32:
        return None                     # base/*/PG_VERSION lies in every database's folder as well
    for order in '<>':
        number, catalog, state = struct.unpack(order + 'III', control[8:20])
        if 700 <= number <= 3000:
            break
    else:
        return None
    if version:
        release = version.group(1).decode('ascii')
        evidence = 'PG_VERSION, global/pg_control'
    else:
        # CATALOG_VERSION_NO is a date; since 10 there is one major a year
        year = catalog // 100000
        release = str(year - 2007) if 2017 <= year <= 2040 else None
        evidence = 'global/pg_control, catalog version %d' % catalog
    known = PG_STATES[state] if state < len(PG_STATES) else 'state %d' % state
    running = look.size(b'postmaster.pid') >= 0
    return Match('postgresql', release, evidence, state in (1, 2) and not running, known)


def mysql(look: 'Look', marker: bytes) -> Optional[Match]:
    """The InnoDB system tablespace: a file header page (type 8) of space 0, page 0 (storage/innobase fil0types.h)."""
    page = look.head(b'ibdata1', 64)
    if len(page) < 64 or page[4:8] != bytes(4) or page[24:26] != b'\0\x08' or page[34:38] != bytes(4):
        return None
    evidence = ['ibdata1']
    version = None
    engine = 'mysql'
    for name in (b'mariadb_upgrade_info', b'mysql_upgrade_info'):
        found = re.match(br'(\d+\.\d+\.\d+)(-MariaDB)?', look.head(name, 64))
        if found:
            version = found.group(1).decode('ascii')
            engine = 'mariadb' if found.group(2) else 'mysql'
            evidence.append(name.decode('ascii'))
            break
    if look.size(b'aria_log_control') > 0:
        engine = 'mariadb'
        evidence.append('aria_log_control')
    if version is None and engine == 'mysql':
        # 8.0 and later: page 0 of mysql.ibd carries the server's version at 8
        page = look.head(b'mysql.ibd', 64)
        number = struct.unpack('>I', page[8:12])[0] if len(page) == 64 else 0
        if 80000 <= number < 200000:
            version = '%d.%d.%d' % (number // 10000, number // 100 % 100, number % 100)
            evidence.append('mysql.ibd')
    clean = _innodb_clean(look)
    state = {True: 'shut down', False: 'not shut down, redo log has to be applied', None: None}[clean]
    return Match(engine, version, ', '.join(evidence), clean, state)


def _innodb_clean(look: 'Look') -> Optional[bool]:
    """Whether the redo log holds nothing that has to be applied, or None where the files do not say so.

    The temporary table space ibtmp1 is removed by an orderly shutdown (MySQL since 5.7, MariaDB since 10.2). Up to
    MySQL 8.0.29 and MariaDB 10.7 a shutdown writes its LSN into page 0 of ibdata1 as well, and the newest of the two
    checkpoints in ib_logfile0 names the same one.
    """
    if look.size(b'ibtmp1') >= 0:
        return False
    head = look.head(b'ib_logfile0', 2048)
    if len(head) < 2048 or head[:4] == b'Phys':
        return None
    newest = max(struct.unpack('>QQ', head[at:at + 16])[1] for at in (512, 1536))
    flushed = struct.unpack('>Q', look.head(b'ibdata1', 34)[26:34])[0]
    return flushed == newest if newest and flushed else None


def sqlite(look: 'Look', name: bytes) -> Optional[Match]:
    """The 100-byte header of a database file (https://www.sqlite.org/fileformat.html) and what lies beside it."""
    head = look.head(name, 100)
    if len(head) < 100 or head[:16] != b'SQLite format 3\0':
        return None
    page = struct.unpack('>H', head[16:18])[0]
    if page != 1 and (page < 512 or page & (page - 1)):
        return None
    number = struct.unpack('>I', head[96:100])[0]
    version = '%d.%d.%d' % (number // 1000000, number // 1000 % 1000, number % 1000) if number else None
    wal, journal = look.size(name + b'-wal'), look.size(name + b'-journal')
    state = None
    clean = None
    if wal > 32:
        clean, state = False, 'the write-ahead log beside it holds changes'
    elif journal > 0 and look.head(name + b'-journal', 8) == b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7':
        clean, state = False, 'a transaction was interrupted'
    elif wal < 0 and journal < 0:
        clean = True
    engine = 'sqlite'
    if name == b'grafana.db' and b'migration_log' in look.head(name, 262144):
        engine = 'grafana'
    # the schema format is 0 until the first table is made
    empty = head[44:48] == bytes(4) and wal <= 32
    sidecars = tuple(name + tail for tail in (b'-wal', b'-shm', b'-journal'))
    return Match(engine, version, 'SQLite header', clean, state, name, empty=empty, sidecars=sidecars)


def h2(look: 'Look', name: bytes) -> Optional[Match]:
    head = look.head(name, 64)
    found = re.match(br'H:(\d),block', head)
    if not found:
        return None
    return Match('h2', found.group(1).decode('ascii'), 'MVStore header', name=name)


KINDS = (
    Kind('postgresql', 'PostgreSQL',
         variables=('PG_MAJOR', 'PG_VERSION', 'POSTGRESQL_VERSION'), parts=1,
         clean='Starts at once.',
         crashed='Replays its write-ahead log at the first start and says so in its log; every '
                 'committed transaction is there afterwards. Leave pg_wal and postmaster.pid as '
                 'they are.'),
    Kind('mysql', 'MySQL',
         variables=('MYSQL_MAJOR', 'MYSQL_VERSION'), parts=2, upgrades=True,
         clean='Starts at once.',
         crashed='InnoDB applies its redo log at the first start. Keep ibdata1, the redo logs '
                 'and all folders together; do not set innodb_force_recovery before a plain '
                 'start has failed.'),
    Kind('mariadb', 'MariaDB',
         variables=('MARIADB_MAJOR', 'MARIADB_VERSION'), parts=2, upgrades=True,
         clean='Starts at once.',
         crashed='InnoDB applies its redo log at the first start. Keep ibdata1, ib_logfile0 and '
                 'all folders together; start with the same series of MariaDB.'),
    Kind('sqlite', 'SQLite', building_block=True,
         clean='Opens at once.',
         crashed='The first program that opens it takes over what is in the -wal or -journal '
                 'file beside it: these files belong together.'),
    Kind('grafana', 'Grafana'),
    Kind('h2', 'H2', building_block=True),
)
FINDER = Finder(KINDS, {b'PG_VERSION': postgresql, b'global': postgresql, b'ibdata1': mysql},
                paged=(sqlite, h2))
