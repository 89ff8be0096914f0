"""MariaDB loads a dump into an empty folder, as the functions of dumpservers do."""
import re
from typing import TYPE_CHECKING, Dict, List

from ..disk.errors import LifeboatError
from ..formats.values import count_of
from . import dumpservers as servers

if TYPE_CHECKING:
    from .dumps import Dump, Inside

SERVE = 'exec "$1" --no-defaults --datadir="$2" --socket="$2/lifeboat.sock" --pid-file="$2/lifeboat.pid" --skip-networking --skip-log-bin ' \
        '--event-scheduler=0 --max-allowed-packet=1G --log-error="$2/lifeboat-log"'
# --binary-mode: what looks like a command to the client in the dump is none
LOAD = 'exec "$1" --no-defaults -S "$2/lifeboat.sock" -u root --binary-mode --force --max-allowed-packet=1G < "$3" 2>&1 >/dev/null'
COUNT = 'exec "$1" --no-defaults -S "$2/lifeboat.sock" -u root -N -B --force < "$3"'
GONE = 'test ! -e "$1/lifeboat.pid"'
FINISH = 'rm -f "$1/lifeboat.sock" "$1/lifeboat-log"'
SYSTEM = ('mysql', 'performance_schema', 'information_schema', 'sys')
TABLES = "select table_schema, table_name from information_schema.tables where table_type in ('BASE TABLE', 'SYSTEM VERSIONED') and " \
         'table_schema not in (%s)' % ', '.join("'%s'" % name for name in SYSTEM)
ESCAPED = re.compile(r'\\(.)', re.DOTALL)
ESCAPES = {'n': '\n', 't': '\t', '0': '\0'}
FOLDERS = ('/usr/local/mysql/bin', '/usr/libexec', '/opt/bitnami/mariadb/sbin', '/opt/bitnami/mariadb/bin', '/opt/bitnami/mariadb/scripts')


def mariadb(inside: 'Inside', dump: 'Dump', size: int, content: 'servers.Content') -> servers.Loaded:
    """A new data folder with everything of the dump, users too."""
    user, owner = servers.owner_of(inside, [dump.user, 'mysql', 'mariadb'])
    server, client, install = (servers.program(inside, dump.version, names, FOLDERS) for names in (
        ('mariadbd', 'mysqld'), ('mariadb', 'mysql'), ('mariadb-install-db', 'mysql_install_db')))
    if b'MariaDB' not in inside.must('mariadbd', [server, '--no-defaults', '--version'], user):
        raise LifeboatError('The server of the image is not MariaDB, of which the dump is. Give image: NAME of one that is')
    servers.prepare(inside, dump.folder, owner)
    inside.put('/', servers.UPLOAD, size, content(), owner, 0o400)
    # --force: the container has no network, so names of hosts cannot be looked up
    inside.must('mariadb-install-db', [install, '--no-defaults', '--datadir=' + dump.folder, '--skip-test-db', '--force',
                                       '--auth-root-authentication-method=normal'], user)
    inside.begin(['/bin/sh', '-c', SERVE, 'lifeboat', server, dump.folder], user)
    ask = [client, '--no-defaults', '-S', dump.folder + '/lifeboat.sock', '-u', 'root', '-N', '-B']

    def log() -> bytes:
        return inside.call(['/bin/sh', '-c', servers.LOG, 'lifeboat', dump.folder], user)[1]
    inside.until('MariaDB', lambda: not inside.call(ask + ['-e', 'select 1'], user)[0], log)
    said = inside.call(['/bin/sh', '-c', LOAD, 'lifeboat', client, dump.folder, '/' + servers.UPLOAD], user)[1]
    errors = [line.strip() for line in servers.text(said).split('\n') if line.startswith('ERROR')]
    counts = _counts(inside, client, ask, dump, user)
    inside.must('shutdown', ask + ['-e', 'shutdown'], user)
    inside.until('The end of MariaDB', lambda: not inside.call(['/bin/sh', '-c', GONE, 'lifeboat', dump.folder], user)[0], log)
    servers.script(inside, user, FINISH, dump.folder)
    return servers.Loaded(counts, errors, advice=' Its users have their old passwords.')


def _counts(inside: 'Inside', client: str, ask: List[str], dump: 'Dump', user: str) -> Dict[str, int]:
    tables = _rows(inside.must('mariadb', ask + ['-e', TABLES], user))
    found = {}
    for begin in range(0, len(tables), servers.BATCH):
        batch = tables[begin:begin + servers.BATCH]
        queries = ''.join('select %d, count(*) from %s.%s;\n' % (number, _quoted(database), _quoted(name))
                          for number, (database, name) in enumerate(batch)).encode('utf-8', 'surrogateescape')
        inside.put('/', servers.UPLOAD + '.count', len(queries), iter([queries]), (0, 0), 0o444)
        said = inside.call(['/bin/sh', '-c', COUNT, 'lifeboat', client, dump.folder, '/%s.count' % servers.UPLOAD], user)[1]
        for row in _rows(said):
            which, counted = (count_of(row[0]), count_of(row[1])) if len(row) == 2 else (None, None)
            if which is not None and counted is not None and which < len(batch):
                for name in servers.labels(tuple(batch[which])):
                    found[name] = counted
    return found


def _rows(said: bytes) -> List[List[str]]:
    """What the client prints with -B: a line for a row, tabs between values, and escapes in them."""
    return [[ESCAPED.sub(lambda found: ESCAPES.get(found.group(1), found.group(1)), value) for value in line.split('\t')]
            for line in said.decode('utf-8', 'surrogateescape').split('\n')[:-1]]


def _quoted(name: str) -> str:
    return '`%s`' % name.replace('`', '``')
