# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that were being written to when the host died: every row that somebody was told is committed is there again."""
import contextlib
import os
import subprocess
import time
import types

import pytest
import rescued
import test_restore
from rig import databases, scenario
from rig.common import NotHere
from rig.engine import Engine

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
ENGINES = {'pg-layer': 'postgresql', 'pg-volume': 'postgresql', 'redis': 'redis', 'sqlite': 'sqlite'}


@pytest.fixture(scope='module')
def killed(tmp_path_factory):
    """({container: last number that was told to be committed}, {container: bundle}) of an engine that died while all wrote."""
    folder = tmp_path_factory.mktemp('databases')
    with contextlib.ExitStack() as stack:
        try:
            databases.ensure_tar()
            engine = stack.enter_context(Engine('debian-overlay2')).start()
        except NotHere as why:
            if os.environ.get('CI'):
                pytest.fail(str(why))
            pytest.skip(str(why))
        databases.load(engine)
        for name, (user, program, writer, dummy, options) in CONTAINERS.items():
            engine.docker('run', '-d', '--name', name, '--network', 'none', '--user', user, *options, databases.IMAGE, 'bash', '-c', program)
            engine.docker('exec', '-d', name, 'bash', '-c', writer)
        told = {}
        deadline = time.monotonic() + 90
        while len(told) < len(CONTAINERS) or min(told.values()) < 20:
            assert time.monotonic() < deadline, (told, [engine.docker_both('logs', name)[1][-500:] for name in CONTAINERS])
            time.sleep(0.3)
            for name in CONTAINERS:
                said = engine.docker('exec', name, 'cat', '/tmp/told', check=False).strip()
                if said.isdigit():
                    told[name] = int(said)
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), folder, host_name='dead',
                                include=('config', 'writable', 'image', 'volumes', 'logs'))
        yield told, {item['container']: item['path'] for item in result['bundles']}


def test_databases_come_back_with_every_committed_row(killed, start_engine):
    told, bundles = killed
    engine = start_engine('newer-containerd')
    inside = {name: subprocess.run(['tar', '-tf', os.path.join(bundles[name], rescued.component({'path': bundles[name]}, 'writable')[
        'file'])], stdout=subprocess.PIPE, check=True).stdout.split() for name in ('sqlite', 'pg-layer', 'pg-volume')}
    assert b'srv/app/app.db-wal' in inside['sqlite']        # or the test would prove nothing
    where = [[item for item in inside[name] if item.startswith(b'var/lib/postgresql/data/pg_wal/')] for name in ('pg-layer', 'pg-volume')]
    assert where[0] and not where[1]
    reports = {}
    for name in CONTAINERS:
        result = test_restore.restore(engine, bundles[name], state='started', verify_start=True)
        reports[name] = result['databases']
        assert result['container']['state'] == 'running', name
    for name, (dummy, dummy, dummy, reader, dummy) in CONTAINERS.items():
        said = engine.docker('exec', name, 'bash', '-c', reader).decode().split()
        if name == 'redis':
            assert int(said[0]) >= told[name]
        else:
            count, last = map(int, said[0].split('|'))
            assert last >= told[name] and count == last + 1, (name, said, told)
        assert name != 'sqlite' or said[1] == 'ok'
        found = [item for item in reports[name] if item['engine'] == ENGINES[name]]
        assert len(found) == 1 and found[0]['expect'], (name, reports[name])
        if name.startswith('pg'):
            logs = b''.join(engine.docker_both('logs', name))
            assert b'automatic recovery in progress' in logs and b'redo done' in logs, logs
            assert found[0]['clean_shutdown'] is False and found[0]['version'].isdigit(), found
            assert 'Replays its write-ahead log' in found[0]['expect']
        assert bool(found[0].get('volume')) == (name == 'pg-volume')
    assert engine.docker('inspect', '-f', '{{range .Mounts}}{{.Name}}{{end}}', 'pg-volume').strip() == b'pg-volume-var-lib-postgresql-data'


def test_data_of_another_major_version_are_refused(killed, start_engine):
    """The volume of one PostgreSQL, and an image that says it has another."""
    engine = start_engine('debian-overlay2')
    before = test_restore.state(engine)
    engine.docker('import', '-c', 'ENV PG_MAJOR=9', '-', 'other:1', stdin=scenario.base_tar())
    with pytest.raises(test_restore.LifeboatError) as caught:
        test_restore.restore(engine, killed[1]['pg-volume'], restore=('volumes', 'container'), image='other:1')
    assert 'PostgreSQL' in str(caught.value) and 'other' not in engine.docker('ps', '-a').decode()
    assert test_restore.state(engine)[:2] == before[:2]
