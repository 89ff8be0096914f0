"""MariaDB and MySQL: the image's own server recovers the data folder in the view, its own dump program writes SQL.

The first view uses the defaults of the image (page size, case of names, key files must fit the data), the second none. Then follow the levels of
innodb_force_recovery: each in a fresh view, so even those that change data are harmless here.
"""
import time
from typing import Any, Dict, List, Optional

from ..room import Refused, Room
from ..target import Kind, Target, picked

SOCKET = '/run/lifeboat/m.sock'
FOLDERS = ('/usr/local/mysql/bin', '/usr/libexec', '/opt/bitnami/mariadb/sbin', '/opt/bitnami/mariadb/bin', '/opt/bitnami/mysql/bin')
# (use the image's defaults, level of innodb_force_recovery)
ATTEMPTS = ((True, 0), (False, 0), (False, 1), (False, 2), (False, 3), (False, 4), (False, 5), (False, 6))
CHANGES_DATA = 4                        # from this level on rows may be missing or wrong
# of the configuration of the image, the last word is ours; nothing in it may be run
OPTIONS = ('--socket=' + SOCKET, '--pid-file=/run/lifeboat/m.pid', '--skip-networking', '--skip-grant-tables', '--skip-log-bin', '--log-error=',
           '--init-file=', '--skip-slave-start', '--innodb-buffer-pool-size=64M', '--innodb-flush-log-at-trx-commit=0', '--innodb-flush-method=fsync',
           '--max-connections=10', '--tmpdir=/tmp', '--general-log=0', '--slow-query-log=0', '--loose-mysqlx=0', '--loose-innodb-use-native-aio=0',
           '--loose-performance-schema=0', '--loose-plugin-maturity=unknown', '--local-infile=0', '--event-scheduler=0')
SYSTEM = ('mysql', 'performance_schema', 'information_schema', 'sys')


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = room.adopt(target.path)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    program = room.program(['mariadbd', 'mysqld'], FOLDERS)
    client = [room.program(['mariadb', 'mysql'], FOLDERS), '--no-defaults', '-S', SOCKET, '-u', 'root', '-N', '-B']
    said = room.call([program, '--no-defaults', '--version'])[1]
    is_maria = b'MariaDB' in said
    if (target.engine == 'mariadb') != is_maria and target.version:
        raise Refused('DUMP_VERSION_MISMATCH', 'the data are of %s, and the program of the image is not' % target.engine)
    defaults, level = ATTEMPTS[target.attempt]
    options = [program] + ([] if defaults else ['--no-defaults']) + ['--datadir=' + folder] + list(OPTIONS)
    began = time.monotonic()
    server = room.start(options + (['--innodb-force-recovery=%d' % level] if level else []))
    room.ready(server, lambda: room.call(client + ['-e', 'select 1'])[0] == 0)
    marks = ['ready after %.1f s' % (time.monotonic() - began)] + (['force_recovery=%d' % level] if level else [])
    partial = ['from innodb_force_recovery=%d on rows may be missing or wrong' % CHANGES_DATA] if level >= CHANGES_DATA else []
    version = _lines(room, client, 'select version()')[:1]
    status = room.stream([room.program(['mariadb-dump', 'mysqldump'], FOLDERS), '--no-defaults', '-S', SOCKET, '-u', 'root', '--all-databases',
                          '--single-transaction', '--quick', '--routines', '--triggers', '--hex-blob', '--tz-utc', '--force'], room.out)
    if status:
        partial.append('the dump program ended with status %d: see its log' % status)
    counts = _counts(room, client)
    room.stop(server)
    return {'version': version[0] if version else '', 'counts': counts, 'marks': marks, 'partial': partial}


def _counts(room: Room, client: List[str]) -> Dict[str, Optional[int]]:
    counts: Dict[str, Optional[int]] = {}
    for line in _lines(room, client, "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE' and "
                       "table_schema not in (%s)" % ', '.join("'%s'" % name for name in SYSTEM)):
        schema, tab, table = line.partition('\t')
        found = _lines(room, client, 'select count(*) from %s.%s' % (quoted(schema), quoted(table))) if tab else []
        counts['%s.%s' % (schema, table)] = int(found[0]) if found and found[0].isdigit() else None
    return counts


def _lines(room: Room, client: List[str], query: str) -> List[str]:
    status, said = room.call(client + ['-e', query])
    return said.decode('utf-8', 'replace').split('\n')[:-1] if status == 0 else []


def quoted(name: str) -> str:
    return '`%s`' % name.replace('`', '``')


KIND = Kind(('mysql', 'mariadb'), '.sql', dump, len(ATTEMPTS))
