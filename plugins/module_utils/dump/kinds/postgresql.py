"""PostgreSQL: its own server recovers the data folder in the view, its own pg_dump writes SQL.

The configuration of the data folder is not used: it may include files, load libraries, and name shell commands that the server runs. What the
data need is in global/pg_control.
"""
import os
import re
import signal
import time
from typing import Any, Dict, List, Optional, Tuple

from ..room import Refused, Room
from ..sqltext import Filter
from ..target import Kind, Target, picked

CONFIG = '''
listen_addresses = ''
unix_socket_directories = '/run/lifeboat'
port = 5432
hba_file = '/run/lifeboat/pg_hba.conf'
ident_file = '/run/lifeboat/pg_ident.conf'
shared_buffers = 32MB
huge_pages = off
fsync = off
full_page_writes = off
autovacuum = off
archive_mode = off
ssl = off
logging_collector = off
log_destination = stderr
max_connections = 100
max_prepared_transactions = 64
max_locks_per_transaction = 256
dynamic_shared_memory_type = mmap
max_wal_senders = 0
max_worker_processes = 8
max_logical_replication_workers = 0
'''
SINCE_12 = "restore_command = ''\n"     # before, it stands in recovery.conf
SINCE_18 = 'io_method = sync\n'         # io_uring is not allowed in the view
# in the way of a plain start, or of a node that was a standby
ASIDE = ('postmaster.pid', 'standby.signal', 'recovery.signal', 'recovery.conf')
FOLDERS = ('/usr/lib/postgresql/%s/bin', '/usr/pgsql-%s/bin', '/usr/local/pgsql/bin', '/opt/bitnami/postgresql/bin', '/usr/local/bin')
DAMAGED = '-c zero_damaged_pages=on -c ignore_checksum_failure=on'
MAX_NAME = 63


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = room.adopt(target.path)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    with open(os.path.join(folder, 'PG_VERSION'), encoding='ascii', errors='replace') as raw:
        version = raw.read(16).strip()
    if not re.match(r'\d{1,2}(\.\d{1,2})?\Z', version):
        raise Refused('DUMP_VERSION_MISMATCH', 'its PG_VERSION is damaged')
    server = Server(room, folder, version)
    marks = server.prepare()
    began = time.monotonic()
    superuser = server.start(target.environment.get('POSTGRES_USER', ''))
    marks.append('ready after %.1f s' % (time.monotonic() - began))
    counts, partial = Writer(server, superuser).write()
    if not room.stop(server.process, signal.SIGINT):
        marks.append('the server did not shut down in order')
    return {'version': version, 'counts': counts, 'marks': marks, 'partial': partial}


class Server(object):
    def __init__(self, room: Room, folder: str, version: str) -> None:
        self.room = room
        self.folder = folder
        self.version = version
        self.process: Any = None
        self._folders = [each % version if '%s' in each else each for each in FOLDERS]
        self._major = int(version.split('.')[0])
        self._config = ''

    def program(self, name: str) -> str:
        return self.room.program([name], self._folders)

    def prepare(self) -> List[str]:
        """Write the configuration; put away what would make it another server -> marks."""
        said = self.room.call([self.program('postgres'), '--version'])[1].decode('utf-8', 'replace')
        if not re.search(r'\) %s(\.|\b)' % re.escape(self.version), said):
            raise Refused('DUMP_VERSION_MISMATCH', 'the data are of PostgreSQL %s, and the program of the image says: %s' % (self.version, said.strip()[:80]))
        marks = []
        for name in ASIDE:
            path = os.path.join(self.folder, name)
            if os.path.lexists(path):
                os.unlink(path)
                if name != 'postmaster.pid':
                    marks.append('standby: %s was there; what the node had received is in the dump' % name)
        if os.path.lexists(os.path.join(self.folder, 'backup_label')):
            marks.append('backup_label is there: the data are a copy of a base backup')
        for name in ('pg_hba.conf', 'pg_ident.conf'):
            self.room.write(name, 'local all all trust\n' if 'hba' in name else '')
        self._config = self.room.write('pg.conf', CONFIG + (SINCE_12 if self._major >= 12 else '') + (SINCE_18 if self._major >= 18 else ''))
        said = self.room.call([self.program('pg_controldata'), '-D', self.folder] if self._major >= 10 else [
            self.program('pg_controldata'), self.folder])[1].decode('utf-8', 'replace')
        state = re.search(r'^Database cluster state: +(.*)$', said, re.M)
        return marks + (['state: %s' % state.group(1)] if state else [])

    def _argv(self, *more: str) -> List[str]:
        return [self.program('postgres')] + list(more) + ['-D', self.folder, '-c', 'config_file=' + self._config, '-c', 'data_directory=' + self.folder]

    def start(self, named: str) -> str:
        """Start it and wait until it answers -> the name of a superuser who may log in. Raises Refused."""
        self.process = self.room.start(self._argv())
        self.room.ready(self.process, lambda: self.room.call([self.program('pg_isready'), '-q', '-h', '/run/lifeboat'])[0] == 0)
        for name in ('postgres', named):
            if name and len(name) <= MAX_NAME and not name.startswith('-'):
                found = self.ask('template1', 'select rolname from pg_roles where rolsuper and rolcanlogin order by oid', name)
                if found:
                    return found[0]
        # it lets every role in, but which there are is known only inside: single user mode asks for no name
        self.room.stop(self.process, signal.SIGINT)
        said = self.room.call(self._argv('--single') + ['template1'], b'select rolname from pg_authid where rolsuper and rolcanlogin\n')[1]
        found = re.search(r'rolname = "([^"\n]+)"', said.decode('utf-8', 'replace'))
        if not found:
            raise Refused('DUMP_SERVER_FAILED', 'no superuser was found in it')
        self.process = self.room.start(self._argv())
        self.room.ready(self.process, lambda: self.room.call([self.program('pg_isready'), '-q', '-h', '/run/lifeboat'])[0] == 0)
        return found.group(1)

    def ask(self, database: str, query: str, user: str) -> List[str]:
        """The lines that psql prints for QUERY; [] if it fails."""
        status, said = self.room.call([self.program('psql'), '-X', '-A', '-t', '-h', '/run/lifeboat', '-p', '5432', '-U', user, '-d',
                                       connection(database), '-c', query])
        return said.decode('utf-8', 'surrogateescape').split('\n')[:-1] if status == 0 else []


class Writer(object):
    """Writes the whole cluster: roles, then each database, so that one that is damaged does not cost the rest."""

    def __init__(self, server: Server, superuser: str) -> None:
        self.server = server
        self.user = superuser
        self.room = server.room
        self.counts: Dict[str, Optional[int]] = {}
        self.partial: List[str] = []
        self.filter = Filter(self.room.out)

    def write(self) -> Tuple[Dict[str, Optional[int]], List[str]]:
        if self._run('pg_dumpall', '--globals-only'):
            self.partial.append('roles and tablespaces could not be dumped')
        names = self.server.ask('template1', 'select datname from pg_database where datallowconn and datname <> \'template0\' order by datname', self.user)
        if not names:
            raise Refused('DUMP_SERVER_FAILED', 'it lists no database')
        for name in names:
            self._database(name)
        closed = self.server.ask('template1', 'select datname from pg_database where not datallowconn and datname <> \'template0\'', self.user)
        self.partial += ['the database %s allows no connection and is not in the dump' % name for name in closed]
        if self.filter.removed:
            self.partial.append('%d lines that were commands to psql were made comments' % self.filter.removed)
        return self.counts, self.partial

    def _database(self, name: str) -> None:
        if name == 'template1' and not self._tables(name):
            return
        create = name not in ('postgres', 'template1')      # every cluster has them
        if not create:
            self.room.out(b'\\connect "%b"\n\n' % name.encode('ascii'))
        before = dict(self.filter.rows)
        lost = self._run('pg_dump', '--section=pre-data', *(['--create'] if create else []) + ['-d', connection(name)])
        if self._run('pg_dump', '--section=data', '-d', connection(name)):
            lost += self._by_table(name, before)
        lost += self._run('pg_dump', '--section=post-data', '-d', connection(name))
        if lost:
            self.partial.append('the database %s could not be dumped as a whole' % name)
        for schema, table in self._tables(name):
            found = self.server.ask(name, 'select count(*) from %s.%s' % (quoted(schema), quoted(table)), self.user)
            self.counts['%s.%s.%s' % (name, schema, table)] = int(found[0]) if found and found[0].isdigit() else None

    def _by_table(self, name: str, before: Dict[str, int]) -> int:
        """Each table that is not whole in the dump once more, and damaged pages are passed over -> how many could not be dumped."""
        lost = 0
        for schema, table in self._tables(name):
            place = '%s.%s' % (quoted(schema), quoted(table))
            found = self.server.ask(name, 'select count(*) from ' + place, self.user)
            rows = self.filter.rows.get(place, self.filter.rows.get('%s.%s' % (schema, table)))
            if found and rows is not None and place not in before and str(rows) == found[0]:
                continue
            if rows is not None:
                self.room.out(('\nTRUNCATE ONLY %s;\n' % place).encode('utf-8', 'surrogateescape'))
            lost += 1
            if self._run('pg_dump', '--section=data', '-t', place, '-d', connection(name), PGOPTIONS=DAMAGED):
                self.partial.append('the table %s of %s is not whole in the dump' % (place, name))
        return lost

    def _tables(self, name: str) -> List[Tuple[str, str]]:
        """[(schema, table)]"""
        query = ("select quote_ident(schemaname) || '.' || quote_ident(tablename) || chr(9) || schemaname || chr(9) || tablename from pg_tables where "
                 "schemaname not in ('pg_catalog', 'information_schema') order by 1")
        rows = [line.split('\t') for line in self.server.ask(name, query, self.user)]
        return [(row[1], row[2]) for row in rows if len(row) == 3]

    def _run(self, program: str, *options: str, **environment: str) -> int:
        """1 if the program failed."""
        argv = [self.server.program(program), '-h', '/run/lifeboat', '-p', '5432', '-U', self.user, '--quote-all-identifiers'] + list(options)
        status = self.room.stream(argv, self.filter.take, None, **environment)
        self.filter.close()
        return int(status != 0)


def connection(name: str) -> str:
    """NAME as a value of a connection string: a plain name with a = in it would be read as one."""
    return "dbname='%s'" % name.replace('\\', '\\\\').replace("'", "\\'")


def quoted(name: str) -> str:
    return '"%s"' % name.replace('"', '""')


KIND = Kind(('postgresql',), '.sql', dump, proven=True)
