"""Databases that were being written to when the host died: every row that somebody was told is committed is there again."""
import os
import subprocess

import pytest
import rescued
import test_restore
from rig import scenario
from rig.writers import CONTAINERS

ENGINES = {'pg-layer': 'postgresql', 'pg-volume': 'postgresql', 'redis': 'redis', 'sqlite': 'sqlite'}


@pytest.fixture(scope='module')
def killed(dead_databases, tmp_path_factory):
    """({container: last number that was told to be committed}, {container: bundle}) of an engine that died while all wrote."""
    result = rescued.rescue(dead_databases, tmp_path_factory.mktemp('databases'), containers=tuple(CONTAINERS), host_name='dead',
                            include=('config', 'writable', 'image', 'volumes', 'logs'))
    return dead_databases.told, {item['container']: item['path'] for item in result['bundles']}


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
