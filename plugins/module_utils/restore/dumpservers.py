"""Database servers that load a dump into an empty folder, in a container of their image: one function for each kind.

What a server says is read as data: numbers, and names that are compared. Values are given to shell scripts as their arguments.
"""
import re
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ..disk.errors import LifeboatError
from ..formats.values import count_of

if TYPE_CHECKING:
    from .dumps import Dump, Inside

    Content = Callable[[], Iterator[bytes]]

UPLOAD = 'lifeboat-dump'
MAX_COUNTS = 32 << 20
PREPARE = 'mkdir -p "$1" && chown "$2" "$1" && chmod 700 "$1"'
WHO = 'id -u "$1" && id -g "$1"'
FIND = '''version=$1; more=$2; shift 2
IFS=:
for folder in /usr/lib/postgresql/$version/bin /usr/pgsql-$version/bin /usr/local/pgsql/bin /opt/bitnami/postgresql/bin $PATH $more /usr/local/bin /usr/bin; do
  for name in "$@"; do
    if test -x "$folder/$name"; then echo "$folder/$name"; exit 0; fi
  done
done
exit 1'''
HBA = 'echo "local all all trust" > "$1/lifeboat-hba"'
SERVE = 'exec "$1/postgres" -D "$2" -c hba_file="$2/lifeboat-hba" -c listen_addresses= -c unix_socket_directories="$2" -c fsync=off ' \
        '-c full_page_writes=off -c autovacuum=off -c logging_collector=off > "$2/lifeboat-log" 2>&1'
LOG = 'cat "$1/lifeboat-log" 2>/dev/null'
# peers of the same name from inside, passwords from elsewhere: as a fresh cluster of most images
FINISH = 'printf "local all all peer\\nhost all all all md5\\n" > "$1/pg_hba.conf" && rm -f "$1/lifeboat-hba" "$1/lifeboat-log"'
DATABASES = "select datname from pg_catalog.pg_database where datallowconn and datname <> 'template0' order by datname"
TABLES = '''select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg!_t%' escape '!' order by 1, 2'''
PLAIN = re.compile(r'[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9$\x80-\U0010ffff-]*\Z')
ERROR = re.compile(r'(?:ERROR|FATAL|PANIC):')
BATCH = 500
NO_ID = (1 << 32) - 1                    # (uid_t) -1
REDIS_SERVE = 'exec "$1" --dir "$2" --dbfilename dump.rdb --appendonly no --save "" --port 0 --unixsocket "$2/lifeboat.sock" --logfile "$2/lifeboat-log"'
REDIS_FINISH = 'rm -f "$1/lifeboat.sock" "$1/lifeboat-log"'


class Loaded(NamedTuple):
    """`counts`: {table: rows} as the server has them now; `errors`: what it complained about; `fewer`: rows that may be missing, for they
    had expired; `advice`: a sentence, with a blank before it, or ''."""
    counts: Dict[str, int]
    errors: List[str]
    fewer: int = 0
    advice: str = ''


def postgresql(inside: 'Inside', dump: 'Dump', size: int, content: 'Content') -> Loaded:
    """A new cluster with everything of the dump. The first role of the old one, which every cluster has, is there before."""
    user, owner = owner_of(inside, [dump.user, 'postgres'])
    folder = program(inside, dump.version, ['initdb']).rpartition('/')[0]
    if not re.search(r'\) %s(\.|\b)' % re.escape(dump.version), text(inside.must('postgres', [folder + '/postgres', '--version'], user))):
        raise LifeboatError('The server of the image is not PostgreSQL %s, of which the dump is. Give image: NAME of one that is' % dump.version)
    prepare(inside, dump.folder, owner)
    inside.put('/', UPLOAD, size, content(), owner, 0o400)
    inside.must('initdb', [folder + '/initdb', '-D', dump.folder, '-U', dump.superuser, '-E', 'UTF8', '--locale=C', '--auth-local=peer',
                           '--auth-host=reject'], user)
    script(inside, user, HBA, dump.folder)
    inside.begin(['/bin/sh', '-c', SERVE, 'lifeboat', folder, dump.folder], user)
    client = [folder + '/psql', '-X', '-q', '-h', dump.folder, '-U', dump.superuser]
    inside.until('PostgreSQL', lambda: not inside.call(client + ['-d', 'postgres', '-c', 'select 1'], user)[0],
                 lambda: inside.call(['/bin/sh', '-c', LOG, 'lifeboat', dump.folder], user)[1])
    said = inside.call(client + ['-d', 'postgres', '-f', '/' + UPLOAD, '-o', '/dev/null'], user)[1]
    known = 'role "%s" already exists' % dump.superuser
    errors = [line.strip() for line in text(said).split('\n') if ERROR.search(line) and not line.rstrip().endswith(known)]
    counts = _postgresql_counts(inside, client, user, owner)
    inside.must('pg_ctl', [folder + '/pg_ctl', '-D', dump.folder, '-m', 'fast', '-w', 'stop'], user)
    inside.must('initdb', [folder + '/initdb', '-D', dump.folder, '--sync-only'], user)
    script(inside, user, FINISH, dump.folder)
    return Loaded(counts, errors, advice=' Its postgresql.conf and pg_hba.conf are new.')


def _postgresql_counts(inside: 'Inside', client: List[str], user: str, owner: Tuple[int, int]) -> Dict[str, int]:
    found = {}
    for (database,) in _rows(inside, client, user, 'postgres', 1, ['-c', DATABASES]):
        tables = _rows(inside, client, user, database, 2, ['-c', TABLES])
        for begin in range(0, len(tables), BATCH):
            batch = tables[begin:begin + BATCH]
            script = ''.join('select %d, count(*) from only %s.%s;\n' % (number, _quoted(schema), _quoted(table))
                             for number, (schema, table) in enumerate(batch)).encode('utf-8', 'surrogateescape')
            inside.put('/', UPLOAD + '.count', len(script), iter([script]), owner, 0o400)
            for number, rows in _rows(inside, client, user, database, 2, ['-f', '/%s.count' % UPLOAD]):
                which, counted = count_of(number), count_of(rows)
                if which is not None and counted is not None and which < len(batch):
                    for name in labels((database,) + tuple(batch[which])):
                        found[name] = counted
    return found


def labels(key: Tuple[str, ...]) -> Tuple[str, str]:
    """The names that a dump may give to a table."""
    return '.'.join(key), '.'.join(part if PLAIN.match(part) else _quoted(part) for part in key)


def _rows(inside: 'Inside', client: List[str], user: str, database: str, columns: int, more: List[str]) -> List[List[str]]:
    """Names may have any character but NUL, so that is what separates."""
    where = "dbname='%s'" % database.replace('\\', '\\\\').replace("'", "\\'")
    status, said = inside.call(client + ['-A', '-t', '-z', '-0', '-d', where] + more, user, limit=MAX_COUNTS)
    values = said.decode('utf-8', 'surrogateescape').split('\0')[:-1]
    if status or len(values) % columns:
        raise LifeboatError('The rows of the loaded dump could not be counted: psql ended with status %d' % status)
    return [values[at:at + columns] for at in range(0, len(values), columns)]


def redis(inside: 'Inside', dump: 'Dump', size: int, content: 'Content') -> Loaded:
    """The dump file where the server looks for it, and append-only files made from it where the dead server had them."""
    user, owner = owner_of(inside, [dump.user, 'redis', 'valkey', '0'])
    server, client = (program(inside, dump.version, ['%s-%s' % (kind, name) for kind in ('redis', 'valkey')]) for name in ('server', 'cli'))
    prepare(inside, dump.folder, owner)
    inside.put(dump.folder, 'dump.rdb', size, content(), owner, 0o600)
    inside.begin(['/bin/sh', '-c', REDIS_SERVE, 'lifeboat', server, dump.folder], user)
    ask = [client, '-s', dump.folder + '/lifeboat.sock']

    def log() -> bytes:
        return inside.call(['/bin/sh', '-c', LOG, 'lifeboat', dump.folder], user)[1]
    inside.until('The server', lambda: inside.call(ask + ['ping'], user)[1].strip() == b'PONG', log)
    said = text(inside.must('redis-cli', ask + ['info', 'keyspace'], user))
    counts = {name: int(keys) for name, keys in re.findall(r'^(db[0-9]{1,9}):keys=([0-9]{1,18})(?![0-9])', said, re.M)}
    expired = sum(map(int, re.findall(r'keys expired: ([0-9]{1,18})(?![0-9])', text(log()))))
    if dump.appended:
        # else a server that is configured for them begins empty
        inside.must('redis-cli', ask + ['config', 'set', 'appendonly', 'yes'], user)
        inside.until('Its append-only file', lambda: _appended(inside, ask, user), log)
    inside.call(ask + ['shutdown', 'nosave'], user)
    inside.until('The end of the server', lambda: inside.call(ask + ['ping'], user)[0] != 0, log)
    script(inside, user, REDIS_FINISH, dump.folder)
    return Loaded(counts, [], expired)


def _appended(inside: 'Inside', ask: List[str], user: str) -> bool:
    said = text(inside.call(ask + ['info', 'persistence'], user)[1])
    return all(line in said for line in ('aof_enabled:1', 'aof_rewrite_in_progress:0', 'aof_rewrite_scheduled:0', 'aof_last_bgrewrite_status:ok'))


def owner_of(inside: 'Inside', names: List[str]) -> Tuple[str, Tuple[int, int]]:
    """(user, (uid, gid)) of the first of NAMES that the image knows."""
    for name in names:
        if not name or name in ('0', 'root') and name != names[-1]:
            continue
        status, said = inside.call(['/bin/sh', '-c', WHO, 'lifeboat', name])
        numbers = [count_of(number) for number in text(said).split()[:3]]
        if not status and len(numbers) == 2:
            uid, gid = numbers
            if uid is not None and gid is not None and max(uid, gid) < NO_ID:
                return name, (uid, gid)
    raise LifeboatError('The image has none of the users %s, or no shell' % ', '.join(filter(None, names)))


def prepare(inside: 'Inside', folder: str, owner: Tuple[int, int]) -> None:
    """Make the data FOLDER for the server's user."""
    inside.must('chown', ['/bin/sh', '-c', PREPARE, 'lifeboat', folder, '%d:%d' % owner])


def program(inside: 'Inside', version: str, names: Sequence[str], folders: Sequence[str] = ()) -> str:
    """The path of the first of NAMES that the image has, in the usual FOLDERS of a kind too. LifeboatError."""
    status, said = inside.call(['/bin/sh', '-c', FIND, 'lifeboat', version, ':'.join(folders)] + list(names))
    path = text(said).strip()
    if status or not re.match(r'/[A-Za-z0-9/._+-]{1,200}\Z', path):
        raise LifeboatError('The image has no %s, which the dump needs. Give image: NAME of one that has it' % ' or '.join(names))
    return path


def script(inside: 'Inside', user: str, source: str, *arguments: str) -> bytes:
    """Run a shell script with ARGUMENTS -> what it printed. LifeboatError where it failed."""
    return inside.must('sh', ['/bin/sh', '-c', source, 'lifeboat'] + list(arguments), user)


def _quoted(name: str) -> str:
    return '"%s"' % name.replace('"', '""')


def text(raw: bytes) -> str:
    """What a program printed."""
    return raw.decode('utf-8', 'replace')
