"""Which databases would be dumped, and what is said where none can be."""
import os
import shutil
import sqlite3

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import registry as kinds, run
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import redis
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry


@pytest.fixture(scope='module')
def host(tmp_path_factory):
    """A dead host with a database in the writable layer of a container."""
    made = tmp_path_factory.mktemp('host')
    root = deadroot.build(str(made / 'var' / 'lib' / 'docker'), host_root=str(made), containers=2)
    folder = os.path.join(os.fsdecode(root.containers[0].upper), 'srv')
    os.makedirs(folder, exist_ok=True)
    with sqlite3.connect(os.path.join(folder, 'app.db')) as database:
        database.execute('create table t (n)')
    return made


def dump(host, dest, **options):
    options.setdefault('check_mode', True)
    with registry.open_host(os.fsencode(str(host)), [b'/var/lib/docker']) as opened:
        return run.dump(opened, run.Request(os.fsencode(str(dest)), 'box', **options))


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(run.os, 'geteuid', lambda: 0)
    monkeypatch.setattr(run, '_available', lambda: 1 << 34)


def test_check_mode_names_them_and_writes_nothing(host, tmp_path, as_root):
    found = dump(host, tmp_path / 'out', databases=('sqlite',))
    assert [(item['container'], item['engine'], item['data_path'], item['status']) for item in found['dumps']] == [
        ('web', 'sqlite', '/srv/app.db', 'complete')]
    assert 'memory' in found['dumps'][0]['marks'][0] and not (tmp_path / 'out').exists()


def test_without_room_or_root_it_is_said(host, tmp_path, as_root, monkeypatch):
    found = dump(host, tmp_path / 'out', databases=('sqlite',), scratch_size=10)
    assert [item['status'] for item in found['dumps']] == ['unsupported'] and not found['changed']
    assert [item['code'] for item in found['problems'] if item['code'].startswith('DUMP')] == ['DUMP_NO_SPACE']
    monkeypatch.setattr(run.os, 'geteuid', lambda: 1000)
    found = dump(host, tmp_path / 'out', databases=('sqlite',))
    assert [item['code'] for item in found['problems'] if item['code'].startswith('DUMP')] == ['DUMP_UNSAFE_HERE']


@pytest.mark.parametrize('options, words', [
    ({'databases': ('access',)}, 'databases has no "access"'), ({'databases': ('redis',)}, 'No database that can be dumped'),
    ({'containers': ('nobody',)}, 'No container matches')])
def test_what_cannot_be_meant_is_refused(host, tmp_path, options, words):
    with pytest.raises(LifeboatError, match=words):
        dump(host, tmp_path / 'out', **options)


def test_dest_and_scratch_never_lie_in_the_source(host, tmp_path, as_root):
    with pytest.raises(LifeboatError, match='must not be written'):
        dump(host, host / 'var' / 'lib' / 'docker' / 'out', check_mode=False)
    found = dump(host, tmp_path / 'out', databases=('sqlite',), scratch_dir=os.fsencode(str(host / 'var' / 'lib' / 'docker')))
    assert 'must not be written' in found['dumps'][0]['missing'][0]


def test_a_kind_that_cannot_be_dumped_is_named(host, tmp_path, as_root):
    """Beside others it is in the problems; alone it is why nothing was done."""
    folder = host / 'var' / 'lib' / 'docker' / 'overlay2'
    upper = next(path for path in folder.rglob('app.db')).parent
    for name, content in (('WiredTiger', b'WiredTiger\nWiredTiger 10.0.2: (2021)\n'), ('mongod.lock', b'1\n'), ('storage.bson', b'x' * 200)):
        (upper / 'mongo').mkdir(exist_ok=True)
        (upper / 'mongo' / name).write_bytes(content)
    found = dump(host, tmp_path / 'out', databases=('sqlite', 'mongodb'))
    said = [item for item in found['problems'] if item['code'] == 'DUMP_UNSUPPORTED']
    assert [item['engine'] for item in found['dumps']] == ['sqlite'] and len(said) == 1
    assert 'No dump of mongodb at /srv/mongo in web: ' in said[0]['message'] and 'raw data' in said[0]['next_step']
    with pytest.raises(LifeboatError, match='No dump of mongodb at /srv/mongo in web'):
        dump(host, tmp_path / 'out', databases=('mongodb',))
    shutil.rmtree(str(upper / 'mongo'))


def test_every_kind_is_either_dumped_or_refused():
    assert not set(kinds.KINDS) & set(kinds.REFUSED)


def test_the_files_of_one_redis_are_one_database():
    assert redis.choose(['/d/appendonlydir', '/d/dump.rdb', '/e/dump.rdb', '/e/b.rdb', '/f/appendonly.aof', '/f/dump.rdb']) == [
        '/d/appendonlydir', '/e/dump.rdb', '/e/b.rdb', '/f/appendonly.aof']


def test_every_kind_says_what_it_is():
    assert {'postgresql', 'mariadb', 'mysql', 'redis', 'valkey', 'sqlite'} <= set(kinds.KINDS)
    assert all(kind.suffix.startswith('.') and kind.attempts >= 1 for kind in kinds.KINDS.values())
