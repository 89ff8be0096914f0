"""PostgreSQL: its own server recovers the data folder in the view, its own pg_dump writes SQL.

The configuration of the data folder is not used: it may include files, load libraries, and name shell commands that the server runs. What the
data need is in global/pg_control.
"""
import os
import re
import signal
import time
from typing import Any, Dict, List

from ..pgclient import PLACE, Client
from ..pgcluster import Writer
from ..room import Refused, Room
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
SUPERUSERS = 'select rolname from pg_catalog.pg_roles where rolsuper and rolcanlogin order by oid'
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
    client = server.start(target.environment.get('POSTGRES_USER', ''))
    marks.append('ready after %.1f s' % (time.monotonic() - began))
    writer = Writer(client, target.verify)
    if not writer.write():
        raise Refused('DUMP_SERVER_FAILED', 'it lists no database')
    marks += writer.marks
    if not room.stop(server.process, signal.SIGINT):
        marks.append('the server did not shut down in order')
    return {'version': version, 'counts': writer.counts, 'marks': marks, 'partial': writer.partial}


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

    def start(self, named: str) -> Client:
        """Start it and wait until it answers, which is when recovery has ended -> a client as a superuser who may log in. Raises Refused."""
        self._start()
        for name in ('postgres', named):
            if name and len(name) <= MAX_NAME and not name.startswith('-'):
                found = Client(self.room, self.program, name).ask('template1', SUPERUSERS)
                if found:
                    return Client(self.room, self.program, found[0][0])
        # it lets every role in, but which there are is known only inside: single user mode asks for no name
        self.room.stop(self.process, signal.SIGINT)
        said = self.room.call(self._argv('--single') + ['template1'], b'select rolname from pg_authid where rolsuper and rolcanlogin\n')[1]
        single = re.search(r'rolname = "([^"\n]+)"', said.decode('utf-8', 'replace'))
        if not single:
            raise Refused('DUMP_SERVER_FAILED', 'no superuser was found in it')
        self._start()
        return Client(self.room, self.program, single.group(1))

    def _start(self) -> None:
        self.process = self.room.start(self._argv())
        # a name, though nobody logs in: else the owner of the data is looked up in the image's passwd, which may not have him
        self.room.ready(self.process, lambda: self.room.call([self.program('pg_isready'), '-q', '-U', 'postgres'] + list(PLACE))[0] == 0)


KIND = Kind(('postgresql',), '.sql', dump, proven=True, other_image=True)
