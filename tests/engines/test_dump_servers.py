"""Dumps of servers that were written to when the engine was killed: everything that somebody was told is stored is in them, and they load."""
import contextlib
import gzip
import json
import os
import re
import stat
import subprocess
import time

import pytest
from rig import fixtures, listing, servers
from rig.common import RigError
from rig.engine import Engine

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

pytestmark = pytest.mark.soak           # with LIFEBOAT_SOAK: it takes a minute
RABBITMQ = 'export HOME=/tmp RABBITMQ_LOG_BASE=/tmp LC_ALL=C.UTF-8 PATH=/usr/lib/rabbitmq/bin:$PATH; '
MYSQL = ('mkdir -p %s; mysqld --no-defaults --secure-file-priv=NULL --initialize-insecure --datadir=%s; '
         '%s mysqld --no-defaults --secure-file-priv=NULL --datadir=%s --socket=/tmp/my --skip-networking --mysqlx=0')
# a queue after the other; each is told once it is declared
DECLARE = ('F = fun F(N) -> rabbit_amqqueue:declare(rabbit_misc:r(<<\\"/\\">>, queue, integer_to_binary(N)), true, false, [], none, <<\\"ann\\">>), '
           'file:write_file(\\"/tmp/told\\", integer_to_list(N)), timer:sleep(20), F(N + 1) end, F(0).')
# name: (kind, image, its server, what writes one thing after another, options of docker run)
WRITERS = {
    'etcd': ('etcd', servers.IMAGE, 'export ETCDCTL_API=3; exec etcd --data-dir /var/lib/etcd',
             'export ETCDCTL_API=3; until etcdctl put gone x; do sleep 0.1; done; etcdctl del gone; n=0; '
             'while etcdctl put key/$n value-$n; do echo $n > /tmp/told; n=$((n+1)); done', ['-v', '/var/lib/etcd']),
    'rabbitmq': ('rabbitmq', servers.IMAGE, RABBITMQ + 'exec rabbitmq-server', RABBITMQ + 'sleep 5; until rabbitmqctl await_startup; do sleep 1; done; '
                 'rabbitmqctl add_user ann geheim; rabbitmqctl eval "%s"' % DECLARE, ['--user', 'rabbitmq', '-v', '/var/lib/rabbitmq']),
    'mysql': ('mysql', servers.MYSQL, MYSQL % ('/var/lib/mysql/d', '/var/lib/mysql/d', 'exec', '/var/lib/mysql/d'),
              'until mysql -S /tmp/my -u root -e "create database shop"; do sleep 0.2; done; '
              'mysql -S /tmp/my -u root -e "create table shop.t (n int primary key); create procedure shop.p() select 1; '
              'alter user root@localhost identified by \'geheim\'"; n=0; '
              'while :; do echo "insert into shop.t values ($n); select $n;"; n=$((n+1)); sleep 0.005; done | '
              'mysql -S /tmp/my -u root -pgeheim -N --unbuffered | while read n; do echo $n > /tmp/told; done', ['--user', 'mysql', '-v', '/var/lib/mysql']),
}


@pytest.fixture(scope='module')
def killed():
    """(engine, which is dead, {name: last number that it was told is stored})"""
    with contextlib.ExitStack() as stack:
        with fixtures.or_say('debian-overlay2 with servers'):
            engine, told = kill_while_they_write(stack)
        yield engine, told


def kill_while_they_write(stack):
    servers.ensure_tar()
    servers.ensure_mysql()
    engine = stack.enter_context(Engine('debian-overlay2')).start()
    servers.load(engine)
    servers.load_mysql(engine)
    for name, (dummy, image, program, writer, options) in WRITERS.items():
        engine.docker('run', '-d', '--name', name, '--hostname', name, '--network', 'none', *options, image, 'bash', '-c', program)
        engine.docker('exec', '-d', name, 'bash', '-c', writer)
    told = {}
    deadline = time.monotonic() + 180
    while len(told) < len(WRITERS) or min(told.values()) < 30:
        if time.monotonic() > deadline:
            raise RigError('the servers do not write: %r %r' % (told, [engine.docker_both('logs', name)[1][-800:] for name in WRITERS]))
        time.sleep(0.3)
        for name in WRITERS:
            said = engine.docker('exec', name, 'cat', '/tmp/told', check=False).strip()
            if said.isdigit():
                told[name] = int(said)
    engine.kill()
    return engine, told


@pytest.fixture(scope='module')
def dumps(killed, tmp_path_factory):
    """{name: entry of the result}"""
    dest = tmp_path_factory.mktemp('dumps')
    before = listing.snapshot(killed[0].host_root)
    old = os.umask(0o077)
    with registry.open_host(os.fsencode(killed[0].host_root), []) as host:
        result = run.dump(host, run.Request(os.fsencode(str(dest)), 'dead', tuple(WRITERS), compression='gzip'))
    os.umask(old)
    assert before == listing.snapshot(killed[0].host_root), 'the disk is what it was, access times too'
    return {item['container']: item for item in result['dumps']}


def content(item):
    with gzip.open(item['file']) as raw:
        return raw.read()


def inside(engine, script, data, *options, image=servers.IMAGE):
    """What a script says in a new container, to which DATA is given."""
    done = subprocess.run(engine.enter('docker', 'run', '--rm', '-i', '--network', 'none', '--hostname', 'fresh', *options, image, 'bash', '-c', script),
                          input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout.decode('utf-8', 'replace')


def test_every_server_is_dumped(dumps):
    assert {name: (item['engine'], item['status']) for name, item in dumps.items()} == {
        name: (writer[0], 'complete') for name, writer in WRITERS.items()}, dumps
    for item in dumps.values():
        assert stat.S_IMODE(os.stat(item['file']).st_mode) == 0o600


@pytest.fixture(scope='module')
def fresh():
    with Engine('debian-overlay2') as engine:
        engine.start()
        servers.load(engine)
        servers.load_mysql(engine)
        yield engine


LOAD_ETCD = ('export ETCDCTL_API=3; cat > /tmp/s.db; etcdctl snapshot restore /tmp/s.db --data-dir /tmp/d >/dev/null 2>&1 && '
             '{ etcd --data-dir /tmp/d >/dev/null 2>&1 & until etcdctl get --prefix key/ --keys-only >/tmp/keys 2>/dev/null; do sleep 0.1; done; '
             'grep -c key/ /tmp/keys; etcdctl get gone; }')


def test_etcd(dumps, killed, fresh):
    item = dumps['etcd']
    said = inside(fresh, LOAD_ETCD, content(item)).split()
    assert len(said) == 1 and int(said[0]) == item['counts']['keys'] > killed[1]['etcd'], 'a key that was deleted is not there'
    assert any(re.match(r'\d+ entries of the write-ahead log', mark) for mark in item['marks'])


LOAD_RABBITMQ = RABBITMQ + ('cat > /tmp/d.json; mkdir /tmp/m; export RABBITMQ_MNESIA_BASE=/tmp/m; rabbitmq-server >/tmp/log 2>&1 & sleep 5; '
                            'until rabbitmqctl -q await_startup; do sleep 1; done >/dev/null 2>&1; rabbitmqctl -q import_definitions /tmp/d.json >/dev/null && '
                            'rabbitmqctl -q list_queues name --no-table-headers | wc -l; rabbitmqctl -q list_users --no-table-headers | cut -f 1')


def test_rabbitmq(dumps, killed, fresh):
    item = dumps['rabbitmq']
    found = json.loads(content(item).decode())
    assert sorted(int(queue['name']) for queue in found['queues']) == list(range(item['counts']['queues']))
    assert item['counts']['queues'] > killed[1]['rabbitmq'] and item['counts']['users'] == 2
    assert inside(fresh, LOAD_RABBITMQ, content(item)).split() == [str(item['counts']['queues']), 'ann', 'guest']


LOAD_MYSQL = MYSQL % ('/tmp/d', '/tmp/d', '', '/tmp/d') + (
    ' >/dev/null 2>&1 & until mysql -S /tmp/my -u root -e "select 1" >/dev/null 2>&1; do sleep 0.2; done; '
    'mysql -S /tmp/my -u root --binary-mode && Q="select count(*), max(n) from shop.t"; '
    'mysql -S /tmp/my -u root -N -e "$Q" || mysql -S /tmp/my -u root -pgeheim -N -e "$Q"')


def test_mysql(dumps, killed, fresh):
    item = dumps['mysql']
    count = item['counts']['shop.t']
    assert count > killed[1]['mysql'] and list(item['counts']) == ['shop.t'] and b'PROCEDURE `p`' in content(item)
    assert inside(fresh, LOAD_MYSQL, content(item), '--user', 'mysql', image=servers.MYSQL).split()[-2:] == [str(count), str(count - 1)]
