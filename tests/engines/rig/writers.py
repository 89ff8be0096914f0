"""An engine that is killed while real databases write, and beside them a container that keeps still."""
import time
from typing import Any, Dict, NamedTuple

from . import databases, scenario
from .common import RigError
from .engine import Engine

# one row a transaction; the second program counts what it was told is committed
PG = ('set -e; export PATH=$PATH:/pg PGDATA=/var/lib/postgresql/data; '
      'test -s $PGDATA/PG_VERSION || initdb -A trust >/dev/null; exec postgres -c jit=off')
PG_WRITE = ('until psql -qc "create table t (n int primary key)"; do sleep 0.1; done; n=0; '
            'while psql -qc "insert into t values ($n)"; do echo $n > /tmp/told; n=$((n+1)); sleep 0.02; done')
PG_READ = ('until psql -qc "select 1" >/dev/null 2>&1; do sleep 0.1; done; psql -Atc "select count(*), max(n) from t"')
REDIS = 'exec redis-server --port 0 --unixsocket /tmp/redis --appendonly yes --appendfsync everysec --save "" --dir /var/lib/redis'
REDIS_WRITE = 'n=0; while :; do redis-cli -s /tmp/redis rpush l $n > /tmp/now || continue; echo $n > /tmp/told; n=$((n+1)); sleep 0.02; done'
REDIS_READ = 'until redis-cli -s /tmp/redis ping 2>/dev/null | grep -q PONG; do sleep 0.1; done; redis-cli -s /tmp/redis lrange l -1 -1'
# a second connection that stays open keeps the first ones from clearing the -wal away
SQLITE = ('cd /srv/app; sqlite3 app.db "pragma journal_mode=wal; create table if not exists t (n int)" >/dev/null; '
          '(echo "select count(*) from t;"; sleep 100000) | sqlite3 app.db')
SQLITE_WRITE = 'cd /srv/app; n=0; while sqlite3 -cmd ".timeout 5000" app.db "insert into t values ($n)"; do echo $n > /tmp/told; n=$((n+1)); sleep 0.02; done'
SQLITE_READ = 'sqlite3 /srv/app/app.db "select count(*) || \'|\' || max(n) from t; pragma integrity_check"'
CONTAINERS = {
    'pg-layer': ('postgres', PG, PG_WRITE, PG_READ, []),
    'pg-volume': ('postgres', PG, PG_WRITE, PG_READ, ['-v', '/var/lib/postgresql/data']),
    'redis': ('redis', REDIS, REDIS_WRITE, REDIS_READ, []),
    'sqlite': ('root', SQLITE, SQLITE_WRITE, SQLITE_READ, []),
}
# a server that is locked by a password, with settings that the image's configuration does not have
MARIADB = ('set -e; mariadb-install-db --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null; '
           'exec mariadbd --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=1')
MARIADB_WRITE = ('until mariadb -S /tmp/my -u root -e "create database shop"; do sleep 0.1; done; '
                 'mariadb -S /tmp/my -u root -e "create table shop.t (n int primary key) engine=innodb; create procedure shop.p() select 1; '
                 'create event shop.e on schedule every 1 day do select 1; alter user root@localhost identified by \'%s\'"; n=0; '
                 'while mariadb -S /tmp/my -u root -p%s -e "insert into shop.t values ($n)"; do echo $n > /tmp/told; n=$((n+1)); sleep 0.02; done'
                 % (scenario.SECRET, scenario.SECRET))
# only for dumps: nobody restores them
ONLY_DUMPED = {
    'my-layer': ('mysql', MARIADB, MARIADB_WRITE, '', []),
    'my-volume': ('mysql', MARIADB, MARIADB_WRITE, '', ['-v', '/var/lib/mysql']),
}
# what lies in no volume of its own beside the databases: files in the layer, a log without a limit, an anonymous volume, secrets
STILL = 'still'
STILL_FILES = {'srv/app/notes': 1234567, 'srv/app/deep/er/more': 4321, 'srv/app/empty': 0}
STILL_ANONYMOUS = 654321                # bytes of the one file in /srv/anonymous
STILL_LOG_LINES = 20000
_STILL = ('set -e; cd /; mkdir -p srv/app/deep/er; ' + ''.join(
    'head -c %d /dev/urandom > %s; ' % (size, name) for name, size in sorted(STILL_FILES.items())) +
    'head -c %d /dev/urandom > srv/anonymous/upload; ' % STILL_ANONYMOUS +
    'seq 1 %d; touch /tmp/done; exec sleep 100000' % STILL_LOG_LINES)


class Killed(NamedTuple):
    """A dead engine's disk, and what it said while it lived. Do not write into it."""
    host_root: str
    data_root: str
    told: Dict[str, int]                # container: last number that it was told is committed
    containers: Dict[str, Any]          # name: what the API says of it, with its sizes (SizeRw)
    changes: Any                        # of the container STILL: what docker diff says
    usage: Any                          # docker system df
    uppers: Dict[str, str]              # name: its writable layer on this machine


def kill_while_they_write(stack):
    """Fill an engine, wait until all have written, kill it -> Killed. It is gone when STACK (an ExitStack) closes."""
    databases.ensure_tar()
    engine = stack.enter_context(Engine('debian-overlay2')).start()
    databases.load(engine)
    engine.docker('run', '-d', '--name', STILL, '--network', 'none', '-e', 'DB_PASSWORD=' + scenario.SECRET, '--label', 'token=' + scenario.SECRET,
                  '-v', '/srv/anonymous', databases.IMAGE, 'bash', '-c', _STILL)
    writers = dict(CONTAINERS, **ONLY_DUMPED)
    for name, (user, program, writer, dummy, options) in writers.items():
        engine.docker('run', '-d', '--name', name, '--network', 'none', '--user', user, '-e', 'DB_PASSWORD=' + scenario.SECRET, *options,
                      databases.IMAGE, 'bash', '-c', program)
        engine.docker('exec', '-d', name, 'bash', '-c', writer)
    told = {}
    deadline = time.monotonic() + 300
    while len(told) < len(writers) or min(told.values()) < 20:
        if time.monotonic() > deadline:
            raise RigError('the databases do not write: %r %r' % (told, [engine.docker_both('logs', name)[1][-500:] for name in writers]))
        time.sleep(0.3)
        for name in writers:
            said = engine.docker('exec', name, 'cat', '/tmp/told', check=False).strip()
            if said.isdigit():
                told[name] = int(said)
    engine.docker('exec', STILL, 'test', '-e', '/tmp/done')
    changes = engine.api('GET', '/containers/%s/changes' % STILL)
    usage = engine.api('GET', '/system/df')
    containers = {name: engine.api('GET', '/containers/%s/json' % name, size='true') for name in list(writers) + [STILL]}
    engine.kill()
    uppers = {name: engine.outside(item['GraphDriver']['Data']['UpperDir']) for name, item in containers.items()}
    return Killed(engine.host_root, engine.data_root, told, containers, changes, usage, uppers)
