"""Volumes that are deleted under containers that run: what their processes still have is rescued, and works elsewhere.

LIFEBOAT_SOAK=1 does it with real databases too.
"""
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import rescued
from rig import databases, fixtures, podman, scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import processes
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import folders, plan

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
KINDS = fixtures.wanted(('debian-overlay2',))
SOAKED = KINDS if os.environ.get('LIFEBOAT_SOAK') else []
# where the engine's paths are the machine's own, as in test_live
SCRIPT = '''
import json, sys, types
for name, where in (('ansible_collections', []), ('ansible_collections.lifeboat', []), ('ansible_collections.lifeboat.docker', [sys.argv[1]])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = where
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(b'/') as host:
    facts = gather.gather(host, gather.Options((), ['containers']))
    result = run.rescue(host, run.Request(sys.argv[2].encode(), host_name='live', include=('config', 'volumes'), open_files=True, compression='none'))
print(json.dumps([facts['containers'], result]))
'''


class Live(object):
    """An engine, and rescues of it by itself."""

    def __init__(self, engine):
        self.engine = engine
        shutil.copytree(os.path.join(COLLECTION, 'plugins'), engine.outside('/srv/code/plugins'))

    def volume(self, name):
        return self.engine.outside('/var/lib/docker/volumes/' + name)

    def rescue(self):
        """({container: its problems in the facts}, {container: its entry of `bundles`})"""
        done = subprocess.run(['nsenter', '--target', str(self.engine.pid), '--mount', '--wd=/', os.path.realpath(sys.executable), '-B', '-c', SCRIPT,
                               '/srv/code', '/srv/rescued'], stdout=subprocess.PIPE, check=True)
        facts, result = json.loads(done.stdout.decode())
        bundles = {item['container']: dict(item, path=self.engine.outside(item['path'])) for item in result['bundles']}
        return {item['name']: {note['code']: note for note in item['problems']} for item in facts}, bundles


def unpacked(bundle, where):
    """The folder into which the collection itself unpacks the files of a verified BUNDLE."""
    assert [item['status'] for item in info.inspect(os.fsencode(bundle['path']), True)] == ['verified']
    folders.restore(plan.Options(os.fsencode(bundle['path']), ('volumes',), target='directory', dest=os.fsencode(str(where))))
    return str(where)


def kinds(bundle):
    return {item['name']: item['status'] for item in bundle['components']}


def codes(bundle):
    return {item['code'] for item in rescued.manifest(bundle)['problems']}


@pytest.mark.parametrize('kind', KINDS)
def test_open_files_of_a_container_whose_volume_is_deleted(kind, start_engine, tmp_path):
    live = Live(start_engine(kind))
    docker = live.engine.docker
    docker('import', '-', 'base:1', stdin=scenario.base_tar())
    options = ('run', '-d', '--network', 'none')
    docker(*options, '--name', 'box', '-v', 'data:/data', '-v', 'moved:/moved', '-v', 'hidden:/hidden', 'base:1', '/bin/sh', '-c',
           'umask 077; mkdir /data/deep; seq 1 100000 > /data/deep/numbers; echo secret > "/data/odd\tname"; echo layer > /gone; echo m > /moved/file;'
           'echo h > /hidden/file; exec 7< /data/deep/numbers 8<> "/data/odd\tname" 9< /gone; rm /gone; echo > /ready;'
           'while :; do echo x >> /ticks; sleep 0.1; done')
    docker(*options, '--name', 'calm', '-v', 'whole:/data', 'base:1', '/bin/sh', '-c', 'sleep 100000')
    lost = docker(*options, '--name', 'lost', '-v', 'lost:/data', 'base:1', '/bin/sh', '-c',
                  'echo lost > /data/file; exec 7< /data/file; echo > /ready; while :; do sleep 0.1; done').decode().strip()
    until_there(docker, 'box', '/ready')
    until_there(docker, 'lost', '/ready')
    shutil.rmtree(live.engine.outside('/var/lib/docker/containers/' + lost))
    shutil.rmtree(live.volume('lost'))
    pid = live.engine.container_pid('box')
    shutil.rmtree(live.volume('data'))
    os.rename(live.volume('moved'), live.engine.outside('/srv/moved-away'))
    # not over _data itself: a container gets what is mounted below its volume (rslave)
    os.makedirs(live.engine.outside('/srv/empty/_data'))
    subprocess.run(live.engine.enter('mount', '--bind', '/srv/empty', '/var/lib/docker/volumes/hidden'), check=True)

    facts, bundles = live.rescue()
    assert '2 of the deleted files' in facts['box']['DELETED_STILL_OPEN']['message'] and 'DELETED_STILL_OPEN' not in facts['calm']
    box = bundles['box']
    assert kinds(box) == {'open-files': 'complete', 'volume:moved': 'complete', 'open-files:01': 'complete', 'volume:hidden': 'complete', 'config': 'complete'}
    assert set(kinds(bundles['calm'])) == {'volume:whole', 'config'}
    assert 'REACHED_THROUGH_PROCESS' in codes(box) and not codes(box) & {'OPEN_FILES_MOVING', 'FILE_CHANGED', 'OPEN_FILE_UNNAMED', 'READ_ERROR'}

    found = unpacked(box, tmp_path / 'found')
    files = os.path.join(found, 'open-files')
    assert sorted(os.path.relpath(os.path.join(top, name), files) for top, dummy, names in os.walk(files) for name in names) == [
        'data/deep/numbers', 'data/odd\tname', 'gone']
    with open(os.path.join(files, 'data/deep/numbers'), 'rb') as numbers:
        assert numbers.read() == b''.join(b'%d\n' % number for number in range(1, 100001))
    assert os.stat(os.path.join(files, 'data/deep/numbers')).st_mode & 0o777 == 0o600
    for place, content in (('volumes/moved/file', 'm\n'), ('open-files-01-hidden/file', 'h\n'), ('open-files/gone', 'layer\n')):
        with open(os.path.join(found, place), encoding='ascii') as back:
            assert back.read() == content
    record, = [item for item in bundles.values() if item['name'] == 'running-' + lost[:12]]
    assert kinds(record) == {'open-files': 'complete'} and record['status'] == 'partial' and 'CONTAINER_WITHOUT_RECORD' in codes(record)
    with open(os.path.join(unpacked(record, tmp_path / 'record'), 'open-files/data/file'), encoding='ascii') as back:
        assert back.read() == 'lost\n'
    # nobody noticed: it is the same process, and it goes on
    assert live.engine.container_pid('box') == pid
    size = int(docker('exec', 'box', 'wc', '-c', '/ticks').split()[0])
    until_there(docker, 'box', '/ticks', size)
    assert processes.started(pid)[0] in (b'S', b'R', b'D')


PODMAN = r'''
set -eu
podman import "$SCRATCH/base.tar" localhost/base:1 >/dev/null
podman run -d --cgroups=disabled --name box --network none -v data:/data localhost/base:1 \
    sh -c 'echo rows >/data/rows; exec 7</data/rows; : >/data/ready; while :; do sleep 0.1; done' >/dev/null
until [ -e /var/lib/containers/storage/volumes/data/_data/ready ]; do sleep 0.1; done
rm -r /var/lib/containers/storage/volumes/data
%s -B -c "$CODE" %s/code %s/out
podman ps --format '{{.Names}} {{.State}}'
'''


@pytest.mark.parametrize('kind', fixtures.wanted(('podman-root',)))
def test_open_files_of_podman_without_a_control_group(kind, disk_dir, tmp_path):
    """Its processes are found by their mount namespace and stopped one by one."""
    shutil.copytree(os.path.join(COLLECTION, 'plugins'), os.path.join(disk_dir, 'code', 'plugins'))
    script = 'CODE=%s\n' % shlex.quote(SCRIPT) + PODMAN % (os.path.realpath(sys.executable), disk_dir, disk_dir)
    with fixtures.or_say(kind):
        said = podman.on_a_new_host(script).decode().splitlines()
    facts, result = json.loads(said[0])
    assert 'DELETED_STILL_OPEN' in {item['code'] for item in facts[0]['problems']} and said[1].startswith('box Up')
    box = result['bundles'][0]
    assert kinds(box) == {'open-files': 'complete', 'config': 'complete'} and not codes(box) & {'OPEN_FILES_MOVING', 'READ_ERROR'}
    with open(os.path.join(unpacked(box, tmp_path / 'found'), 'open-files/data/rows'), encoding='ascii') as back:
        assert back.read() == 'rows\n'


def until_there(docker, name, path, size=-1):
    docker('exec', name, 'sh', '-c', 'until test -e %s && test $(wc -c < %s) -gt %d; do sleep 0.1; done' % (path, path, size))


# -- databases ---------------------------------------------------------------------------------------------------------------------

ROWS = 5000
REDIS = 'exec redis-server --port 0 --unixsocket /tmp/redis --appendonly yes --appendfsync always --save "" --dir /var/lib/redis'
REDIS_FILL = ('until redis-cli -s /tmp/redis ping | grep -q PONG; do sleep 0.1; done; '
              'seq 1 %d | sed "s/^/rpush l /" | redis-cli -s /tmp/redis > /dev/null; echo > /tmp/ready' % ROWS)
SQLITE = ('cd /srv/app; (echo "pragma journal_mode=wal; create table t (n int); '
          'insert into t with recursive c(n) as (select 1 union all select n+1 from c where n < %d) select n from c;"; '
          'echo ".shell touch /tmp/ready"; sleep 100000) | sqlite3 app.db' % ROWS)
PG_PATH = 'export PATH=$PATH:/pg PGDATA=/var/lib/postgresql/data; '
PG = PG_PATH + 'initdb -A trust > /dev/null; exec postgres -c jit=off'
PG_TABLE = 'create table t (n int)'
# frozen rows need no other file to be seen; the session keeps the table open
PG_FILL = ('until psql -qc "%s"; do sleep 0.1; done; psql -qc "insert into t select generate_series(1, %d)" -c "vacuum freeze t" -c checkpoint; '
           '(echo "select count(*) from t;"; echo "\\! touch /tmp/ready"; sleep 100000) | psql' % (PG_TABLE, ROWS))
PG_FILE = 'psql -Atc "select pg_relation_filepath(\'t\')"'


@pytest.mark.parametrize('kind', SOAKED)
def test_open_files_of_databases_start_elsewhere_and_have_every_row(kind, start_engine, tmp_path):
    live = Live(start_engine(kind))
    docker, options = live.engine.docker, ('run', '-d', '--network', 'none')
    databases.load(live.engine)
    for name, user, place, program in (('redis', 'redis', '/var/lib/redis', REDIS), ('pg', 'postgres', '/var/lib/postgresql/data', PG),
                                       ('sqlite', 'root', '/srv/app', SQLITE)):
        docker(*options, '--name', name, '--user', user, '-v', '%s-data:%s' % (name, place), databases.IMAGE, 'bash', '-c', program)
    docker('exec', '-d', 'redis', 'bash', '-c', REDIS_FILL)
    docker('exec', '-d', 'pg', 'bash', '-c', PG_FILL)
    for name in ('redis', 'pg', 'sqlite'):
        until_there(docker, name, '/tmp/ready')
    table = docker('exec', 'pg', 'bash', '-c', PG_FILE).decode().strip()
    for name in ('redis', 'pg', 'sqlite'):
        shutil.rmtree(live.volume(name + '-data'))

    bundles = live.rescue()[1]
    held = {name: os.path.join(unpacked(bundles[name], tmp_path / name), 'open-files') for name in bundles}
    docker('rm', '-f', *bundles)

    # SQLite: the database and its -wal
    docker('volume', 'create', 'new-sqlite')
    fill(held['sqlite'], 'srv/app', live.volume('new-sqlite'))
    said = docker('run', '--rm', '--network', 'none', '-v', 'new-sqlite:/srv/app', databases.IMAGE, 'sqlite3', '/srv/app/app.db',
                  'select count(*) || max(n) from t; pragma integrity_check')
    assert said.split() == [b'%d%d' % (ROWS, ROWS), b'ok']
    # Redis: its log of all commands, and a manifest by hand
    docker('volume', 'create', 'new-redis')
    fill(held['redis'], 'var/lib/redis', live.volume('new-redis'))
    folder = os.path.join(live.volume('new-redis'), '_data', 'appendonlydir')
    log, = [name for name in os.listdir(folder) if name.endswith('.incr.aof')]
    with open(os.path.join(folder, 'appendonly.aof.manifest'), 'w', encoding='ascii') as manifest:
        manifest.write('file %s seq 1 type i\n' % log)
    docker(*options, '--name', 'new-redis', '--user', 'root', '-v', 'new-redis:/var/lib/redis', databases.IMAGE, 'bash', '-c', REDIS)
    said = docker('exec', 'new-redis', 'bash', '-c', 'until redis-cli -s /tmp/redis ping | grep -q PONG; do sleep 0.1; done; redis-cli -s /tmp/redis llen l')
    assert int(said) == ROWS
    # PostgreSQL: the file of the table, into a new cluster with the same table
    docker(*options, '--name', 'new-pg', '--user', 'postgres', '-v', 'new-pg:/var/lib/postgresql/data', databases.IMAGE, 'bash', '-c', PG)
    docker('exec', 'new-pg', 'bash', '-c', 'until psql -qc "%s" -c checkpoint; do sleep 0.1; done' % PG_TABLE)
    place = docker('exec', 'new-pg', 'bash', '-c', PG_FILE).decode().strip()
    docker('stop', 'new-pg')
    with open(os.path.join(held['pg'], 'var/lib/postgresql/data', table), 'rb') as source, \
            open(os.path.join(live.volume('new-pg'), '_data', place), 'wb') as target:
        shutil.copyfileobj(source, target)
    docker(*options, '--name', 'again', '--user', 'postgres', '-v', 'new-pg:/var/lib/postgresql/data', databases.IMAGE, 'bash', '-c',
           PG_PATH + 'exec postgres -c jit=off')
    said = docker('exec', 'again', 'bash', '-c', 'until psql -qc "select 1" > /dev/null 2>&1; do sleep 0.1; done; psql -Atc "select count(*), sum(n) from t"')
    assert said.strip() == b'%d|%d' % (ROWS, ROWS * (ROWS + 1) // 2)


def fill(held, place, volume):
    """What lies below PLACE of the unpacked files into a volume, as undelete.md says."""
    subprocess.run(['cp', '-a', os.path.join(held, place) + '/.', os.path.join(volume, '_data')], check=True)
