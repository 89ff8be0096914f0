"""Databases under load, and a record of every commit that a client was told of.

Each writer writes one transaction after another: a row into `t`, and its number into its row of `c`. So after a crash the rows of a writer are
1 to N without a gap, `c` says N too, and N is what the writer was told last, or one more, whose answer did not arrive.
"""
import os
import re
from typing import Dict, NamedTuple

from . import databases, podman, scenario

WRITERS = 3                             # of each database
# what each writer was told, one number in a line; on the disk of the container, so it is there after its end
_TOLD = '/tmp/told.%d'
_PG_SERVER = '''set -e; export PATH=$PATH:/pg PGDATA=/var/lib/postgresql/data
test -s $PGDATA/PG_VERSION || initdb -A trust -U postgres >/dev/null
exec postgres -c jit=off -c max_wal_size=48MB -c unix_socket_directories=/tmp -c listen_addresses=
'''
# checkpoints and vacuums happen meanwhile, as they do
_PG_LOAD = '''p() { psql -h /tmp -U postgres -d postgres -qAtX -v ON_ERROR_STOP=1 "$@"; }
until p -c "create table t (w int, n int, filler text, primary key (w, n)); create table c (w int primary key, n int)" 2>/dev/null; do sleep 0.1; done
writer() {
  p -c "insert into c values ($1, 0)"; n=0
  while :; do n=$((n+1)); echo "begin; insert into t values ($1, $n, repeat('x', $((n * 37 % 400)))); update c set n = $n where w = $1; commit; select $n;"
  done | stdbuf -oL psql -h /tmp -U postgres -d postgres -qAtX -v ON_ERROR_STOP=1 >/tmp/told.$1
}
for w in {writers}; do writer $w & done
while sleep 0.6; do p -c checkpoint -c "vacuum t" -c "vacuum c"; done
'''
_MARIADB_SERVER = '''set -e
test -d /var/lib/mysql/mysql || mariadb-install-db --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null
exec mariadbd --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=1
'''
_MARIADB_LOAD = '''until mariadb -S /tmp/my -u root -e "create database shop" 2>/dev/null; do sleep 0.1; done
mariadb -S /tmp/my -u root -e "create table shop.t (w int, n int, filler text, primary key (w, n)) engine=innodb;
  create table shop.c (w int primary key, n int) engine=innodb; alter user root@localhost identified by '{secret}'"
writer() {
  mariadb -S /tmp/my -u root -p{secret} -e "insert into shop.c values ($1, 0)"; n=0
  while :; do n=$((n+1)); echo "begin; insert into t values ($1, $n, repeat('x', $((n * 37 % 400)))); update c set n = $n where w = $1; commit; select $n;"
  done | mariadb -S /tmp/my -u root -p{secret} -N -B -n shop >/tmp/told.$1
}
for w in {writers}; do writer $w & done
wait
'''
# a dump comes in, then the answer to the question below goes out: a line "WRITER ROWS FIRST LAST COUNTER" for each writer
_QUESTION = 'select t.w, count(*), min(t.n), max(t.n), max(c.n) from {0}t t join {0}c c on c.w = t.w group by t.w order by t.w'
_PG_FRESH = '''set -e; export PATH=$PATH:/pg; cd /tmp; initdb -D /tmp/d -A trust -U postgres >/dev/null
pg_ctl -D /tmp/d -w -l /tmp/log -o "-c jit=off -c fsync=off -c unix_socket_directories=/tmp -c listen_addresses=" start >/dev/null || { cat /tmp/log; exit 1; }
psql -h /tmp -U postgres -d postgres -X -q -v ON_ERROR_STOP=1 -f - >/dev/null
psql -h /tmp -U postgres -d postgres -AtF " " -c "{question}"
'''
_MARIADB_FRESH = '''set -e; mkdir /tmp/d; mariadb-install-db --datadir=/tmp/d --skip-test-db --auth-root-authentication-method=normal >/dev/null
mariadbd --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid --datadir=/tmp/d 2>/tmp/log &
until mariadb -S /tmp/my -u root -e "select 1" >/dev/null 2>&1; do sleep 0.1; done
mariadb -S /tmp/my -u root --binary-mode; mariadb -S /tmp/my -u root -N -B -e "{question}" | tr "\\t" " "
'''


class Kind(NamedTuple):
    user: str                           # of the image
    folder: str                         # of the data
    server: str                         # scripts: the program of the container, the load beside it, what loads a dump
    load: str
    fresh: str
    table: str                          # what comes before the name of a table in the counts of a dump


def _filled(script, **more):
    for name, value in dict(more, writers=' '.join(map(str, range(1, WRITERS + 1))), secret=scenario.SECRET).items():
        script = script.replace('{%s}' % name, value)
    return script


KINDS = {
    'postgresql': Kind('postgres', '/var/lib/postgresql/data', _PG_SERVER, _filled(_PG_LOAD),
                       _filled(_PG_FRESH, question=_QUESTION.format('')), 'postgres.public.'),
    'mariadb': Kind('mysql', '/var/lib/mysql', _MARIADB_SERVER, _filled(_MARIADB_LOAD),
                    _filled(_MARIADB_FRESH, question=_QUESTION.format('shop.')), 'shop.'),
}


class Rows(NamedTuple):
    """Of one writer."""
    count: int
    first: int
    last: int
    counter: int


def told(upper) -> Dict[int, int]:
    """{writer: number of the last transaction that it was told is committed}, out of a writable layer."""
    found = {}
    for writer in range(1, WRITERS + 1):
        with open(os.path.join(upper, (_TOLD % writer).lstrip('/')), 'rb') as said:
            lines = said.read().split(b'\n')[:-1]       # the last one may be cut
        found[writer] = int(lines[-1]) if lines else 0
    return found


def rows(said) -> Dict[int, Rows]:
    """What a fresh server said."""
    return {int(line[0]): Rows(*map(int, line[1:])) for line in (each.split() for each in said.decode().splitlines()) if len(line) == 5}


def start(engine, kind, name, place, image=databases.IMAGE):
    """Start a server of a KIND in a container NAME of a rig.engine.Engine, its data in PLACE: layer, volume or bind, and its writers."""
    what = KINDS[kind]
    options = []
    if place != 'layer':
        source = '/srv/' + name if place == 'bind' else name
        if place == 'bind':
            os.makedirs(engine.outside(source))
            if engine.kind.userns:
                os.chown(engine.outside(source), 100000, 100000)
        options = ['-v', '%s:%s' % (source, what.folder)]
        owner = what.user + ':' + what.user
        engine.docker('run', '--rm', '--network', 'none', *options, image, 'chown', owner, what.folder)
    engine.docker('run', '-d', '--name', name, '--network', 'none', '--user', what.user, *options, image, 'bash', '-c', what.server)
    engine.docker('exec', '-d', name, 'bash', '-c', what.load)


def loaded(engine, kind, sql, image=databases.IMAGE) -> Dict[int, Rows]:
    """{writer: rows} in a fresh server of IMAGE after a dump, the bytes SQL, was loaded."""
    what = KINDS[kind]
    if kind == 'postgresql':            # it exists in every cluster
        sql = re.sub(rb'(?m)^CREATE ROLE "postgres";$', b'', sql)
    return rows(engine.docker('run', '--rm', '-i', '--network', 'none', '--user', what.user, image, 'bash', '-c', what.fresh, stdin=sql))


# the same with Podman, whose scenario this is: see podman.build(); $SERVER_KIND, $LOAD_KIND are scripts
_PODMAN = r'''
set -eu
cd /
podman import "$SCRATCH/databases.tar" localhost/databases:1 >/dev/null
begin() { # name user server load options
    name=$1 user=$2 server=$3 load=$4; shift 4
    podman run -d --cgroups=disabled --name "$name" --user "$user" "$@" localhost/databases:1 bash -c "$server" >/dev/null
    podman exec -d "$name" bash -c "$load" >/dev/null
    upper=$(podman inspect --format '{{.GraphDriver.Data.UpperDir}}' "$name")
    echo "$name $upper" >>"$TRUTH/uppers"
}
for place in layer volume; do
    options=; [ $place = layer ] || options="--volume pg-data:/var/lib/postgresql/data"
    begin postgresql-$place postgres "$PG_SERVER" "$PG_LOAD" $options
    options=; [ $place = layer ] || options="--volume my-data:/var/lib/mysql"
    begin mariadb-$place mysql "$MARIADB_SERVER" "$MARIADB_LOAD" $options
done
while read -r name upper; do
    for w in 1 2 3; do until podman exec "$name" test -s /tmp/told.$w; do sleep 0.2; done; done
done <"$TRUTH/uppers"
: >"$TRUTH/ready"
sleep 100000
'''


def killed_podman(kind, pause):
    """(podman.DeadPodman of a KIND with four databases under load, {container: its writable layer}); it was killed after PAUSE seconds."""
    pg, maria = KINDS['postgresql'], KINDS['mariadb']
    dead = podman.build(kind, _PODMAN, {'databases.tar': databases.ensure_tar()}, pause, {
        'PG_SERVER': pg.server, 'PG_LOAD': pg.load, 'MARIADB_SERVER': maria.server, 'MARIADB_LOAD': maria.load})
    with open(dead.truth('uppers'), encoding='utf-8') as lines:
        return dead, {name: dead.host_root + upper for name, upper in (line.split() for line in lines)}
