"""Dumps into fresh volumes: which are loaded, what the server in the container is asked, and that a difference is an error."""
import re
import types

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Definition
from ansible_collections.lifeboat.docker.plugins.module_utils.records.model import Mount
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    dumpmariadb,
    dumps,
    dumpservers,
    plan as planning,
)

FILE = b'dump/postgresql-1.sql.zst'


class Inside(object):
    """A container in which every program answers what ANSWERS says: {a part of its command line: (status, output)}."""

    def __init__(self, answers):
        self.answers, self.calls, self.files = answers, [], {}

    def call(self, argv, user='0', env=(), limit=0):
        self.calls.append((user, argv))
        return next((answer for part, answer in self.answers if part in ' '.join(argv)), (0, b''))

    must = dumps.Inside.must

    def begin(self, argv, user, env=()):
        self.calls.append((user, argv))

    def until(self, what, ready, alive):
        assert ready(), what

    def put(self, folder, name, size, content, owner=(0, 0), mode=0o644):
        data = b''.join(content)
        assert len(data) == size
        self.files[folder + name] = data, owner, mode


def situation(**component):
    found = dict({'name': 'dump:postgresql-1', 'kind': 'dump', 'file': FILE.decode(), 'engine': 'postgresql', 'version': '15', 'status': 'complete',
                  'data_path': '/var/lib/postgresql/data', 'counts': {'postgres.public.t': 2, 'x': None}, 'tables': 2, 'rows': 2}, **component)
    source = types.SimpleNamespace(info=types.SimpleNamespace(sums={FILE: 'a' * 64}, manifest={'components': [found]}), name='db',
                                   definition=Definition(env=('POSTGRES_USER=owner',), user='999:999'), mounts=(Mount(
                                       type='volume', name='data', source=None, path=None, destination='/var/lib/postgresql', rw=True, driver=None,
                                       anonymous=False, status='complete'),))
    return types.SimpleNamespace(source=source, name='db', image=None, options=planning.Options(b'/b', restore=('dumps',)), engine=types.SimpleNamespace(
        volume=lambda name: None), volumes=types.SimpleNamespace(users=lambda name: []))


def test_what_a_bundle_says_becomes_a_dump():
    now = situation()
    found = dumps.read(now, now.source.info.manifest['components'][0])
    assert (found.folder, found.mount, found.superuser, found.user, found.counts) == (
        '/var/lib/postgresql/data', '/var/lib/postgresql', 'owner', '999', {'postgres.public.t': 2})


@pytest.mark.parametrize('lie', [
    {'name': 'dump:postgresql-1; rm'}, {'name': 'dump:sqlite-1'}, {'data_path': 'relative'}, {'data_path': '/etc/x'}, {'data_path': '/a\nb'},
    {'file': 'dump/other'}, {'version': '15; x'}, {'data_path': '/..'}, {'data_path': 5}, {'version': None}])
def test_a_bundle_that_lies_is_not_loaded(lie):
    now = situation(**lie)
    if not str(lie.get('data_path', '')).startswith('/var'):
        now.source = types.SimpleNamespace(**dict(vars(now.source), mounts=()))
    plan = planning.Plan()
    dumps.plan_dumps(plan, now)
    assert not plan.steps and plan.nothing(('dumps',)).endswith('The bundle has no dump that can be loaded.')


def test_without_an_image_or_into_a_volume_with_something_else_it_is_refused():
    plan, now = planning.Plan(), situation()
    dumps.plan_dumps(plan, now)
    assert 'has no image' in plan.refusals[0] and not plan.steps
    plan, now.engine = planning.Plan(), types.SimpleNamespace(volume=lambda name: {'Name': name, 'Labels': {}})
    dumps.plan_dumps(plan, now)
    assert 'db-dump-postgresql-1 already' in plan.refusals[0]
    now.engine = types.SimpleNamespace(volume=lambda name: {'Name': name, 'Labels': {dumps.volumes_.LABEL: 'a' * 64}})
    plan = planning.Plan()
    dumps.plan_dumps(plan, now)
    assert [step.action for step in plan.steps] == ['keep'] and not plan.refusals


def test_differences_are_said():
    assert dumps.differences({'a': 1, 'b': 0}, {'a': 1}) == []
    assert dumps.differences({'a': 3}, {'a': 2}) == ['a has 2 rows instead of 3'] and dumps.differences({'a': 3}, {'a': 2}, 1) == []
    assert dumps.differences({'a': 3}, {'a': 4}, 1) and dumps.differences({'a': 3}, {}) == ['a has no rows instead of 3']


def test_postgresql_is_loaded_as_its_user_and_counted():
    now = situation()
    found = dumps.read(now, now.source.info.manifest['components'][0])
    inside = Inside([('id -u', (0, b'999\n998\n')), ('IFS=:', (0, b'/usr/lib/postgresql/15/bin/initdb\n')), ('--version', (0, b'postgres (PostgreSQL) 15.3')),
                     ('datname', (0, b'postgres\0')), ('relname', (0, b'public\0t\0')), ('.count', (0, b'0\x002\0')),
                     ('-f /lifeboat-dump', (3, b'psql:/x:1: ERROR:  role "owner" already exists\npsql:/x:9: ERROR:  no such extension\n'))])
    loaded = dumpservers.postgresql(inside, found, 3, lambda: iter([b'SQL']))
    assert loaded.counts == {'postgres.public.t': 2} and len(loaded.errors) == 1 and 'extension' in loaded.errors[0]
    assert inside.files['/lifeboat-dump'] == (b'SQL', (999, 998), 0o400)
    assert {user for user, argv in inside.calls if re.search('/initdb|/postgres|/psql|/pg_ctl', ' '.join(argv[:1]))} == {'999'}
    assert not [argv for dummy, argv in inside.calls if argv[0] == '/bin/sh' and 'owner' in argv[2]]


def test_a_server_of_another_version_is_refused():
    now = situation()
    found = dumps.read(now, now.source.info.manifest['components'][0])
    inside = Inside([('id -u', (0, b'999\n998\n')), ('IFS=:', (0, b'/bin/initdb')), ('--version', (0, b'postgres (PostgreSQL) 16.1'))])
    with pytest.raises(LifeboatError, match='not PostgreSQL 15'):
        dumpservers.postgresql(inside, found, 3, lambda: iter([b'SQL']))


def test_mariadb_is_loaded_in_binary_mode_and_counted():
    now = situation(name='dump:mariadb-1', data_path='/var/lib/mysql', version='10.11.18-MariaDB-0+deb12u1', counts={'shop.t': 2, 'shop."a b"': 1})
    now.source = types.SimpleNamespace(**dict(vars(now.source), mounts=(), definition=Definition()))
    found = dumps.read(now, now.source.info.manifest['components'][0])
    assert (found.folder, found.mount, found.version) == ('/var/lib/mysql', '/var/lib/mysql', '10.11.18')
    inside = Inside([('id -u', (0, b'999\n999\n')), ('IFS=:', (0, b'/usr/sbin/x')), ('--version', (0, b'Ver 10.11.18-MariaDB')),
                     ('information_schema', (0, b'shop\tt\nshop\ta b\n')), ('.count', (0, b'0\t2\n1\t1\n')),
                     ('--binary-mode', (1, b'ERROR 1050 (42S01) at line 3: Table exists\nwhatever\n'))])
    loaded = dumpmariadb.mariadb(inside, found, 3, lambda: iter([b'SQL']))
    assert dumps.differences(found.counts, loaded.counts) == [] and loaded.errors == ['ERROR 1050 (42S01) at line 3: Table exists']
    assert inside.files['/lifeboat-dump.count'][0] == b'select 0, count(*) from `shop`.`t`;\nselect 1, count(*) from `shop`.`a b`;\n'
    inside.answers[2] = ('--version', (0, b'Ver 8.0.36 for Linux (MySQL)'))
    with pytest.raises(LifeboatError, match='not MariaDB'):
        dumpmariadb.mariadb(inside, found, 3, lambda: iter([b'SQL']))


def test_redis_makes_append_only_files_where_there_were_some():
    now = situation(name='dump:redis-1', data_path='/data/appendonlydir', marks=['append-only files were loaded'], version='7.0.15', counts={'db0': 3})
    now.source = types.SimpleNamespace(**dict(vars(now.source), mounts=(), definition=Definition()))
    found = dumps.read(now, now.source.info.manifest['components'][0])
    assert (found.folder, found.mount, found.appended) == ('/data', '/data', True)
    inside = Inside([('id -u', (0, b'999\n999\n')), ('IFS=:', (0, b'/usr/bin/redis-x')), ('keyspace', (0, b'# Keyspace\r\ndb0:keys=2,expires=1\r\n')),
                     ('lifeboat-log', (0, b'Done loading RDB, keys loaded: 2, keys expired: 1.\n')),
                     ('persistence', (0, b'aof_enabled:1\naof_rewrite_in_progress:0\naof_rewrite_scheduled:0\naof_last_bgrewrite_status:ok\n'))])
    pings = iter([(0, b'PONG\n'), (1, b'')])
    call = inside.call
    inside.call = lambda argv, user='0', env=(), limit=0: next(pings) if argv[-1] == 'ping' else call(argv, user)
    loaded = dumpservers.redis(inside, found, 3, lambda: iter([b'RDB']))
    assert loaded == dumpservers.Loaded({'db0': 2}, [], 1) and dumps.differences(found.counts, loaded.counts, loaded.fewer) == []
    assert inside.files['/datadump.rdb'] == (b'RDB', (999, 999), 0o600)
    assert [argv for dummy, argv in inside.calls if argv[-2:] == ['appendonly', 'yes']]
