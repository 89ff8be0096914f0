"""MariaDB and MySQL: the image's own server recovers the data folder in the view, its own dump program writes SQL.

The first view uses the defaults of the image (page size, case of names, key files must fit the data), the second none. Then follow the levels of
innodb_force_recovery: each in a fresh view, so even those that change data are harmless here.
"""
import os
import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ...formats.values import count_of
from ..compare import Key, compare, few, label
from ..insertrows import Counter
from ..room import MAX_SAID, Refused, Room
from ..target import Kind, Target, picked, refuse_other_version
from ..viewfiles import opened

SOCKET = '/run/lifeboat/m.sock'
FOLDERS = ('/usr/local/mysql/bin', '/usr/libexec', '/opt/bitnami/mariadb/sbin', '/opt/bitnami/mariadb/bin', '/opt/bitnami/mysql/bin')
# (use the image's defaults, level of innodb_force_recovery)
ATTEMPTS = ((True, 0), (False, 0), (False, 1), (False, 2), (False, 3), (False, 4), (False, 5), (False, 6))
CHANGES_DATA = 4                        # from this level on rows may be missing or wrong
# of the configuration of the image, the last word is ours; nothing in it may be run
OPTIONS = ('--socket=' + SOCKET, '--pid-file=/run/lifeboat/m.pid', '--skip-networking', '--skip-grant-tables', '--secure-file-priv=/tmp',
           '--loose-skip-slave-start', '--loose-skip-replica-start', '--innodb-buffer-pool-size=64M', '--innodb-flush-log-at-trx-commit=0',
           '--innodb-flush-method=fsync',
           '--max-connections=10', '--tmpdir=/tmp', '--general-log=0', '--slow-query-log=0', '--loose-mysqlx=0', '--loose-innodb-use-native-aio=0',
           '--loose-performance-schema=0', '--loose-plugin-maturity=unknown', '--local-infile=0', '--event-scheduler=0', '--max-allowed-packet=1G')
ERRORS = b'/run/lifeboat/m.err'         # MySQL has no way to say that they go to the console
MAX_ERRORS, MAX_INDEX = 32 << 10, 1 << 20
NO_LOG = ['--skip-log-bin']
BINLOG = re.compile(br'(?:.*/)?([A-Za-z0-9_][A-Za-z0-9_.-]{0,60})\.\d{6,10}\Z')
INDEX = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}\.index\Z')
DUMP = ('--all-databases', '--single-transaction', '--quick', '--routines', '--events', '--triggers', '--hex-blob', '--tz-utc', '--comments', '--force',
        '--max-allowed-packet=1G')
SYSTEM = ('mysql', 'performance_schema', 'information_schema', 'sys')
TABLES = 'select table_schema, table_name, table_type, engine from information_schema.tables where table_schema not in (%s)' % ', '.join(
    "'%s'" % name for name in SYSTEM)
# mysqldump leaves their rows out: they are in other tables, on another server, or nowhere
WITHOUT_ROWS = ('MRG_MYISAM', 'MERGE', 'FEDERATED', 'BLACKHOLE')
VERSIONED = 'SYSTEM VERSIONED'
SERIES = 2                              # numbers of a version that say which files a server reads as they are
LEAST_LOG = 4 << 20                     # bytes; smaller ones no server takes
BATCH = 500                             # statements that the client gets at once: what it answers must fit into a pipe
ESCAPED = re.compile(r'\\(.)', re.DOTALL)
ESCAPES = {'n': '\n', 't': '\t', '0': '\0'}


class Table(NamedTuple):
    database: str
    name: str
    kind: str
    engine: str


class Client(object):
    """What the running server is asked by the client of its image."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._argv = [room.program(['mariadb', 'mysql'], FOLDERS), '--no-defaults', '-S', SOCKET, '-u', 'root', '-N', '-B']

    def alive(self) -> bool:
        return self.room.call(self._argv + ['-e', 'select 1'])[0] == 0

    def ask(self, query: str) -> Optional[List[List[str]]]:
        """The rows of QUERY; None if it fails, or if there are too many to take."""
        said = bytearray()

        def take(piece: bytes) -> None:
            if len(said) <= MAX_SAID:   # it is a program of the image, and may print without an end
                said.extend(piece)
        status = self.room.stream(self._argv + ['-e', query], take)
        return None if status or len(said) > MAX_SAID else rows(bytes(said))

    def count(self, tables: List[Tuple[str, str]]) -> Dict[Tuple[str, str], Optional[int]]:
        """{(database, table): rows, None where the server cannot tell}."""
        found: Dict[Tuple[str, str], Optional[int]] = dict.fromkeys(tables)
        for begin in range(0, len(tables), BATCH):
            batch = tables[begin:begin + BATCH]
            # one that fails does not end the others (--force), so each says which it is
            script = ''.join('select %d, count(*) from %s.%s;\n' % (number, quoted(database), quoted(name))
                             for number, (database, name) in enumerate(batch))
            said = self.room.call(self._argv + ['--force'], script.encode('utf-8', 'surrogateescape'))[1]
            for row in rows(said):
                which, counted = (count_of(row[0]), count_of(row[1])) if len(row) == 2 else (None, None)
                if which is not None and counted is not None and which < len(batch):
                    found[batch[which]] = counted
        return found


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = room.adopt(target.path)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    program = room.program(['mariadbd', 'mysqld'], FOLDERS)
    client = Client(room)
    said = room.call([program, '--no-defaults', '--version'])[1]
    is_maria = b'MariaDB' in said
    if (target.engine == 'mariadb') != is_maria and target.version:
        raise Refused('DUMP_VERSION_MISMATCH', 'the data are of %s, and the program of the image is not' % target.engine)
    refuse_other_version(target, said, SERIES)
    defaults, level = ATTEMPTS[target.attempt]
    options = [program] + ([] if defaults else ['--no-defaults']) + ['--datadir=' + folder, '--init-file=' + room.write('init.sql', '')]
    log = binary_log(folder)
    # in another folder it is where the configuration of the image says
    binary = NO_LOG if level else [] if defaults and log == NO_LOG else log
    options += ['--log-error=' if is_maria else '--log-error=' + os.fsdecode(ERRORS)] + binary + list(OPTIONS) + log_size(folder)
    began = time.monotonic()
    try:
        server = room.start(options + (['--innodb-force-recovery=%d' % level] if level else []))
        room.ready(server, client.alive)
        marks = ['ready after %.1f s' % (time.monotonic() - began)] + (['force_recovery=%d' % level] if level else [])
        partial = ['from innodb_force_recovery=%d on rows may be missing or wrong' % CHANGES_DATA] if level >= CHANGES_DATA else []
        if level and log != NO_LOG:
            partial.append('its binary log was not used, so commits that stand only there may be missing')
        version = client.ask('select version()')
        counter = Counter(room.out)
        status = room.stream([room.program(['mariadb-dump', 'mysqldump'], FOLDERS), '--no-defaults', '-S', SOCKET, '-u', 'root'] + list(DUMP), counter.take)
        if server.poll() is not None and target.attempt < len(ATTEMPTS) - 1:
            raise Refused('DUMP_SERVER_FAILED', 'the server ended while it was dumped')
    finally:
        _note_errors(room)
    if status:
        partial.append('the dump program ended with status %d: see its log' % status)
    if not counter.whole:
        partial.append('the dump program ended before its last words')
    counts = _compare(client, counter, target.verify, marks, partial)
    room.stop(server)
    return {'version': version[0][0] if version and version[0] else '', 'counts': counts, 'marks': marks, 'partial': partial}


def log_size(folder: str) -> List[str]:
    """The option with which the server leaves its redo log as large as it is: another size of the defaults makes a new one, which may be larger
    than all the data."""
    try:
        size = os.lstat(os.path.join(folder, 'ib_logfile0')).st_size
    except OSError:
        return []
    return ['--loose-innodb-log-file-size=%d' % size] if size >= LEAST_LOG else []


def binary_log(folder: str) -> List[str]:
    """Options for the binary log that is in FOLDER. A commit that InnoDB has only prepared counts if it stands there: without it such a commit
    is lost, or the server does not start."""
    for name in sorted(os.listdir(folder)):
        if not INDEX.match(name) or 'relay' in name:
            continue
        try:
            with opened(os.fsencode(os.path.join(folder, name))) as raw:
                found = BINLOG.match(raw.read(MAX_INDEX).strip().split(b'\n')[-1])
        except (OSError, ValueError):
            continue
        if found:
            return ['--log-bin=' + found.group(1).decode('ascii'), '--log-bin-index=' + name, '--server-id=1']
    return NO_LOG


def _note_errors(room: Room) -> None:
    """The end of what the server said into a file."""
    try:
        with opened(ERRORS) as raw:
            raw.seek(max(0, os.fstat(raw.fileno()).st_size - MAX_ERRORS))
            room.note(raw.read(MAX_ERRORS).decode('utf-8', 'replace'))
    except (OSError, ValueError):
        pass


def _compare(client: Client, counter: Counter, count: bool, marks: List[str], partial: List[str]) -> Dict[str, Optional[int]]:
    """The rows of each table; what is wrong with them is added to MARKS and PARTIAL."""
    found = client.ask(TABLES)
    if found is None or any(len(row) != 4 for row in found):
        partial.append('its tables could not be listed, so nothing was compared')
        return {}
    tables = [table for table in (Table(*row) for row in found) if table.kind in ('BASE TABLE', VERSIONED)]
    for what, listed, into in (
            ('tables of the engines %s, whose rows are elsewhere: %%s' % ', '.join(WITHOUT_ROWS), [
                table for table in tables if table.engine in WITHOUT_ROWS], marks),
            ('tables in memory, which are empty after a crash: %s', [table for table in tables if table.engine == 'MEMORY'], marks),
            ('the history of tables with system versioning is not in the dump: %s', [table for table in tables if table.kind == VERSIONED], partial)):
        if listed:
            into.append(what % ', '.join(few([label((table.database, table.name)) for table in listed])))
    if not count:
        marks.append('rows were not counted in the server')
        return {}
    counted: Dict[Key, Optional[int]] = {}
    for table, rows in client.count([(table.database, table.name) for table in tables if table.engine not in WITHOUT_ROWS]).items():
        counted[table] = rows
    compared = compare(counted, {key: rows for key, rows in counter.rows.items() if key[0] not in SYSTEM},
                       {(table.database, table.name) for table in tables})
    marks += compared.marks
    partial += compared.partial
    return compared.counts


def rows(said: bytes) -> List[List[str]]:
    """What the client prints with -B: a line for a row, tabs between values, and escapes in them."""
    return [[ESCAPED.sub(lambda found: ESCAPES.get(found.group(1), found.group(1)), value) for value in line.split('\t')]
            for line in said.decode('utf-8', 'surrogateescape').split('\n')[:-1]]


def quoted(name: str) -> str:
    return '`%s`' % name.replace('`', '``')


KIND = Kind(('mysql', 'mariadb'), '.sql', dump, len(ATTEMPTS), other_image=True)
