"""Dumps of databases that were written to when the engine was killed: every row that somebody was told is committed is in them, they load, and
the disk is what it was."""
import gzip
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile

import pytest
import rescued
from rig import databases, listing

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

CHECKOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
SOAK = os.environ.get('LIFEBOAT_SOAK')
KINDS = {'pg-layer': 'postgresql', 'pg-volume': 'postgresql', 'my-layer': 'mariadb', 'my-volume': 'mariadb', 'redis': 'redis', 'sqlite': 'sqlite'}


@pytest.fixture(scope='module')
def dumps(dead_databases, tmp_path_factory):
    """({container: entry of the result}, whether the disk is what it was, access times too)"""
    dest = tmp_path_factory.mktemp('dumps')
    before = listing.snapshot(dead_databases.host_root)
    old = os.umask(0o077)               # as the module and the tool do it
    with registry.open_host(os.fsencode(dead_databases.host_root), []) as host:
        result = run.dump(host, run.Request(os.fsencode(str(dest)), 'dead', tuple(KINDS), compression='gzip',
                                            scratch_dir=os.fsencode(str(tmp_path_factory.mktemp('scratch')))))
    os.umask(old)
    return {item['container']: item for item in result['dumps']}, before == listing.snapshot(dead_databases.host_root)


def content(item):
    with gzip.open(item['file']) as raw:
        return raw.read()


def test_every_database_is_dumped(dumps, dead_databases):
    found, unchanged = dumps
    assert {name: item['engine'] for name, item in found.items()} == KINDS
    assert {item['status'] for item in found.values()} == {'complete'}, found
    assert unchanged
    for item in found.values():
        st = os.stat(item['file'])
        assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_size == item['bytes']
        with open(item['file'], 'rb') as raw:
            assert hashlib.sha256(raw.read()).hexdigest() == item['sha256']
        with open(os.path.join(os.path.dirname(item['file']), 'dumps.json')) as raw:
            assert [each['sha256'] for each in json.load(raw)] == [item['sha256']]
    left = subprocess.run(['findmnt', '-rn', '-o', 'TARGET'], stdout=subprocess.PIPE, check=True).stdout
    assert b'lifeboat-dump' not in left


@pytest.mark.parametrize('name', ['pg-layer', 'pg-volume'])
def test_rows_of_postgresql(dumps, dead_databases, name):
    item = dumps[0][name]
    told = dead_databases.told[name]
    rows = re.search(rb'COPY "public"\."t" \("n"\) FROM stdin;\n(.*?)\\\.\n', content(item), re.DOTALL).group(1).split()
    assert sorted(map(int, rows)) == list(range(len(rows))) and len(rows) > told
    assert item['counts'] == {'postgres.public.t': len(rows)}
    assert item['version'].isdigit() and 'state: in production' in item['marks'], item


@pytest.mark.parametrize('name', ['my-layer', 'my-volume'])
def test_rows_of_mariadb(dumps, dead_databases, name):
    item = dumps[0][name]
    text = content(item)
    rows = [int(row) for values in re.findall(rb'INSERT INTO `t` VALUES\s*([^;]*);\n', text) for row in re.findall(rb'\((\d+)\)', values)]
    assert rows == list(range(len(rows))) and len(rows) > dead_databases.told[name]
    assert item['counts'] == {'shop.t': len(rows)} and 'MariaDB' in item['version'] and 'force_recovery' not in ' '.join(item['marks'])
    assert b"'shop','e'," in text and b'PROCEDURE `p`' in text, 'events and routines'


def test_rows_of_redis_and_sqlite(dumps, dead_databases, tmp_path):
    item = dumps[0]['redis']
    assert content(item)[:5] == b'REDIS' and item['counts'] == {'db0': 1}
    item = dumps[0]['sqlite']
    (tmp_path / 'app.db').write_bytes(content(item))
    database = sqlite3.connect(str(tmp_path / 'app.db'))
    count, last = database.execute('select count(*), max(n) from t').fetchone()
    assert last >= dead_databases.told['sqlite'] and count == last + 1 and item['counts'] == {'t': count}
    assert database.execute('pragma integrity_check').fetchone() == ('ok',)


LOAD_MARIADB = ('mkdir /tmp/d; mariadb-install-db --datadir=/tmp/d --skip-test-db --auth-root-authentication-method=normal >/dev/null; '
                'mariadbd --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid --datadir=/tmp/d 2>/dev/null & '
                'until mariadb -S /tmp/my -u root -e "select 1" >/dev/null 2>&1; do sleep 0.1; done; mariadb -S /tmp/my -u root --binary-mode && '
                'mariadb -S /tmp/my -u root -N -e "select count(*), max(n) from shop.t; select count(*) from information_schema.events"')
LOAD_REDIS = ('cat > /tmp/dump.rdb; redis-server --port 0 --unixsocket /tmp/redis --dir /tmp --appendonly no >/dev/null & '
              'until redis-cli -s /tmp/redis ping 2>/dev/null | grep -q PONG; do sleep 0.1; done; redis-cli -s /tmp/redis lrange l -1 -1')


def test_the_dumps_load(dumps, dead_databases, start_engine):
    """Into fresh servers of the same image: psql stops at the first error."""
    engine = start_engine('debian-overlay2')
    databases.load(engine)
    engine.docker('run', '-d', '--name', 'fresh', '--network', 'none', '--user', 'postgres', databases.IMAGE, 'bash', '-c',
                  'export PATH=$PATH:/pg PGDATA=/var/lib/postgresql/data; initdb -A trust -U postgres >/dev/null; exec postgres -c jit=off')
    engine.docker('exec', 'fresh', 'bash', '-c', 'until psql -qc "select 1" >/dev/null 2>&1; do sleep 0.1; done')
    item = dumps[0]['pg-volume']
    # its superuser exists in every cluster
    sql = content(item).replace(b'CREATE ROLE "postgres";', b'')
    done = subprocess.run(engine.enter('docker', 'exec', '-i', 'fresh', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres'), input=sql,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    count = int(engine.docker('exec', 'fresh', 'psql', '-Atc', 'select count(*) from t'))
    assert count == item['counts']['postgres.public.t']
    said = subprocess.run(engine.enter('docker', 'run', '--rm', '-i', '--network', 'none', '--user', 'mysql', databases.IMAGE, 'bash', '-c', LOAD_MARIADB),
                          input=content(dumps[0]['my-volume']), stdout=subprocess.PIPE, check=True).stdout.split()
    count = dumps[0]['my-volume']['counts']['shop.t']
    assert [int(each) for each in said] == [count, count - 1, 1]
    said = subprocess.run(engine.enter('docker', 'run', '--rm', '-i', '--network', 'none', databases.IMAGE, 'bash', '-c', LOAD_REDIS),
                          input=content(dumps[0]['redis']), stdout=subprocess.PIPE, check=True).stdout
    assert int(said.split()[-1]) >= dead_databases.told['redis']


def test_nothing_is_dumped_without_room_or_time(dead_databases, tmp_path):
    with registry.open_host(os.fsencode(dead_databases.host_root), []) as host:
        request = run.Request(os.fsencode(str(tmp_path / 'd')), 'dead', ('pg-layer',), compression='none')
        small = run.dump(host, request._replace(scratch_size=4096))
        assert [item['code'] for item in small['problems'] if item['code'].startswith('DUMP')] == ['DUMP_NO_SPACE'] and not small['changed']
        late = run.dump(host, request._replace(timeout=1, databases=('postgresql',)))
        assert late['dumps'][0]['status'] in ('failed', 'complete')
        if late['dumps'][0]['status'] == 'failed':
            assert [item['code'] for item in late['problems'] if item['code'].startswith('DUMP')] == ['DUMP_TIMEOUT']


AS_USER = '''
import json, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import run
dumped = run.dump_bundles(run.Request(sys.argv[2].encode() + b'/out', path=sys.argv[1].encode(), compression='gzip', scratch_dir=sys.argv[2].encode()))
print(json.dumps([[item['container'], item['engine'], item['status'], item['counts']] for item in dumped['dumps']] + dumped['problems']))
'''
IMAGE, ROOTFS = ('config', 'writable', 'image'), ('config', 'rootfs', 'volumes')


@pytest.mark.parametrize('name, include, user', [('my-layer', IMAGE, 61000)] + (
    [('my-volume', IMAGE + ('volumes',), 0), ('pg-volume', ROOTFS, 61000), ('pg-layer', ROOTFS, 0)] if SOAK else []))
def test_out_of_a_bundle(dumps, dead_databases, name, include, user):
    """As root, and as an ordinary user in a user namespace of his own; nothing is left of it."""
    home = tempfile.mkdtemp(prefix='lb-test-', dir='/var/tmp')
    tree = os.path.join(home, 'tree')
    try:
        subprocess.run([sys.executable, os.path.join(CHECKOUT, 'tools', 'tree.py'), tree], stdout=subprocess.DEVNULL, check=True)
        bundle = rescued.rescue(dead_databases, os.path.join(home, 'bundles'), containers=(name,), include=include)['bundles'][0]['path']
        for folder, dummy, names in os.walk(os.path.join(home, 'bundles')):
            for path in [folder] + [os.path.join(folder, each) for each in names]:
                os.chown(path, user, user)
        os.chown(home, user, user)
        done = subprocess.run(['setpriv', '--reuid=%d' % user, '--regid=%d' % user, '--clear-groups', '/usr/bin/python3', '-c', AS_USER,
                               bundle, home], env={'PYTHONPATH': tree, 'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()
        assert json.loads(done.stdout.decode()) == [[name, KINDS[name], 'complete', dumps[0][name]['counts']]], done.stdout
        assert sorted(os.listdir(home)) == ['bundles', 'out', 'tree'] and os.listdir(os.path.join(home, 'out')) == ['dead']
    finally:
        shutil.rmtree(home)
