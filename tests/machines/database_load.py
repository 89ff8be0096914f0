"""The job of a guest in which PostgreSQL and MariaDB write, and say every commit that they were told of on the console.

Their image is that of the tests of real engines without what they do not need, and with data folders that are made already: a guest without KVM is slow.
"""
import os
import re
import shutil
import tempfile

from rig import databases
from rig.common import cache_dir, cache_lock, run, say

# Raised when the preparation below changes.
FORMAT = 1
WRITERS = 2                             # of each database
SUPERFLUOUS = ('usr/share/perl', 'usr/share/perl5', 'usr/lib/x86_64-linux-gnu/perl', 'usr/lib/x86_64-linux-gnu/perl5', 'usr/lib/x86_64-linux-gnu/gconv',
               'usr/share/zoneinfo/right', 'usr/share/zoneinfo/posix', 'usr/lib/apt', 'usr/lib/systemd', 'usr/lib/udev', 'var/lib/dpkg', 'var/cache/debconf')
_DROPPED = re.compile(r'(redis|perl|mariadb-|apt|dpkg|mysql|my_|resolveip|openssl)')
# a line of the console: DATABASE WRITER NUMBER, twice, so that a line that was cut or mixed is not taken for a whole one
ACKNOWLEDGED = re.compile(r'^ack (pg|my) (\d) (\d+) \1\2\3$')
CREATED = re.compile(r'^made (pg|my) ([0-9a-f]{64}) \1$')

_TRANSACTIONS = '''n=0; while :; do n=$((n+1))
  echo "begin; insert into t values ($1, $n, repeat('x', $((n * 37 % 400)))); update c set n = $n where w = $1; commit; select $n;"; done'''
_SAY = 'while read -r n; do echo "ack $2 $1 $n $2$1$n" >/dev/console-of-guest; done'
PG = '''#!/bin/bash
export PATH=/pg:$PATH              # that of the package is a script of perl, which is not here
writer() { (%s) | stdbuf -oL psql -h /tmp -d postgres -qAtX -v ON_ERROR_STOP=1 2>/dev/null | %s; }
(until psql -h /tmp -d postgres -qAtXc "insert into c values (1, 0), (2, 0)" 2>/dev/null; do sleep 0.5; done
writer 1 pg & writer 2 pg & while sleep 3; do psql -h /tmp -d postgres -qAtXc checkpoint; done) &
exec postgres -D /var/lib/postgresql/data -c jit=off -c max_wal_size=32MB -c unix_socket_directories=/tmp -c listen_addresses=
''' % (_TRANSACTIONS, _SAY)
MY = '''#!/bin/bash
m() { mariadb -S /tmp/my -u root -N -B -n "$@"; }
writer() { (%s) | m shop 2>/dev/null | %s; }
(until m shop -e "insert into c values (1, 0), (2, 0)" 2>/dev/null; do sleep 0.5; done; writer 1 my & writer 2 my & wait) &
exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid --innodb-log-file-size=8M \\
  --innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=32M
''' % (_TRANSACTIONS, _SAY)
_TABLES = 'create table t (w int, n int, filler text, primary key (w, n)); create table c (w int primary key, n int);\n'
# DISK0 is the image as a tar; PostgreSQL has a volume, MariaDB the writable layer, or the other way round
RUN = '''#!/bin/sh
mkdir -p /etc/docker
echo '{{"storage-driver": "overlay2"}}' >/etc/docker/daemon.json
dockerd --bridge=none --iptables=false >/run/dockerd.log 2>&1 &
n=0; until docker info >/dev/null 2>&1; do sleep 0.5; n=$((n+1)); [ $n -gt 300 ] && {{ tail -5 /run/dockerd.log; exit 3; }}; done
echo "dockerd: up"
docker import - databases </dev/disk/by-id/virtio-DISK0 >/dev/null || exit 4
echo "image: there"
chmod 666 /dev/ttyS0
begin() {{ # name user volume or nothing
  options="--user $2 --network none --device /dev/ttyS0:/dev/console-of-guest"
  [ -z "$3" ] || options="$options -v $1-data:$3"
  id=$(docker run -d --name $1 $options databases bash /run-$1) && echo "made $1 $id $1"
}}
begin pg postgres {pg}
begin my mysql {my}
while sleep 5; do [ $(docker ps -q | wc -l) = 2 ] || {{ docker logs --tail 5 pg; docker logs --tail 5 my; exit 5; }}; done
'''


def image():
    """Path of the tar, made first if need be (some seconds)."""
    path = os.path.join(cache_dir(), 'guest-databases-%s-v%d.tar' % (os.uname().machine, FORMAT))
    source = databases.ensure_tar()
    with cache_lock('guest-databases'):
        if not os.path.exists(path):
            tree = tempfile.mkdtemp(prefix='lb-databases-', dir=cache_dir())
            try:
                _make(source, tree, path)
            finally:
                shutil.rmtree(tree)
    return path


def _make(source, tree, path):
    say('making an image with databases for the virtual machine')
    run(['tar', '--numeric-owner', '-C', tree, '-xf', source])
    os.chmod(tree, 0o755)
    inside = ['unshare', '--mount', '--net', '--pid', '--fork', 'chroot']
    run(inside + ['--userspec=postgres', tree, '/pg/initdb', '-A', 'trust', '-U', 'postgres', '-D', '/var/lib/postgresql/data', '-N'])
    run(inside + ['--userspec=postgres', tree, '/pg/postgres', '--single', '-j', '-D', '/var/lib/postgresql/data', 'postgres'],
        stdin=_TABLES.replace('; ', ';\n\n').encode() + b'\n')
    run(inside + [tree, 'mariadb-install-db', '--no-defaults', '--user=mysql', '--datadir=/var/lib/mysql', '--skip-test-db',
                  '--auth-root-authentication-method=normal', '--innodb-log-file-size=8M'])
    run(inside + ['--userspec=mysql', tree, 'mariadbd', '--no-defaults', '--bootstrap', '--datadir=/var/lib/mysql', '--innodb-log-file-size=8M'],
        stdin=('create database shop;\nuse shop;\n' + _TABLES.replace('; ', ';\n').replace('))', ')) engine=innodb')).encode())
    for name in SUPERFLUOUS:
        shutil.rmtree(os.path.join(tree, name), ignore_errors=True)
    for folder in ('usr/bin', 'usr/sbin'):
        for name in os.listdir(os.path.join(tree, folder)):
            if _DROPPED.match(name) and name not in ('mariadb-dump',):
                os.unlink(os.path.join(tree, folder, name))
    for name, script in (('pg', PG), ('my', MY)):
        with open(os.path.join(tree, 'run-' + name), 'w', encoding='utf-8') as out:
            out.write(script)
        os.chmod(os.path.join(tree, 'run-' + name), 0o755)
    run(['tar', '--numeric-owner', '-C', tree, '-cf', path + '.part', '.'])
    os.rename(path + '.part', path)
