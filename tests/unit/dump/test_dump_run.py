"""Which databases would be dumped, and what is said where none can be."""
import os
import shutil
import sqlite3
import stat

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main
from ansible_collections.lifeboat.docker.plugins.module_utils.cli.verbs import dump as verb
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import registry as kinds, run, unpacked
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import redis
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescue


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
    (upper / 'keeper' / 'version-2').mkdir(parents=True)
    (upper / 'keeper' / 'version-2' / 'log.1').write_bytes(b'ZKLG' + bytes(100))
    found = dump(host, tmp_path / 'out', databases=('sqlite', 'zookeeper'))
    said = [item for item in found['problems'] if item['code'] == 'DUMP_UNSUPPORTED']
    assert [item['engine'] for item in found['dumps']] == ['sqlite'] and len(said) == 1
    assert 'No dump of zookeeper at /srv/keeper in web: ' in said[0]['message'] and 'raw data' in said[0]['next_step']
    with pytest.raises(LifeboatError, match='No dump of zookeeper at /srv/keeper in web'):
        dump(host, tmp_path / 'out', databases=('zookeeper',))
    shutil.rmtree(str(upper / 'keeper'))


def test_every_kind_is_either_dumped_or_refused():
    assert not set(kinds.KINDS) & set(kinds.REFUSED)


def test_the_files_of_one_redis_are_one_database():
    assert redis.choose(['/d/appendonlydir', '/d/dump.rdb', '/e/dump.rdb', '/e/b.rdb', '/f/appendonly.aof', '/f/dump.rdb']) == [
        '/d/appendonlydir', '/e/dump.rdb', '/e/b.rdb', '/f/appendonly.aof']


def test_every_kind_says_what_it_is():
    assert {'postgresql', 'mariadb', 'mysql', 'redis', 'valkey', 'sqlite', 'etcd', 'influxdb', 'rabbitmq', 'mongodb'} <= set(kinds.KINDS)
    assert all(kind.suffix.startswith('.') and kind.attempts >= 1 for kind in kinds.KINDS.values())


@pytest.fixture(scope='module')
def rescued(host, tmp_path_factory):
    """{what is in it: bundle of the container web}"""
    made = {}
    for name, include in (('rootfs', ('config', 'rootfs')), ('image', ('config', 'image', 'writable')), ('data', ('config', 'writable'))):
        dest = tmp_path_factory.mktemp(name)
        with registry.open_host(os.fsencode(str(host)), [b'/var/lib/docker']) as opened:
            result = rescue.rescue(opened, rescue.Request(os.fsencode(str(dest)), 'box', include=include, containers=('web',)))
        made[name] = result['bundles'][0]['path']
    return made


def from_bundle(path, tmp_path, **options):
    scratch = tmp_path / 'scratch'
    scratch.mkdir(exist_ok=True)
    options.setdefault('check_mode', True)
    try:
        return run.dump_bundles(run.Request(os.fsencode(str(tmp_path / 'out')), path=os.fsencode(str(path)), databases=('sqlite',),
                                            scratch_dir=os.fsencode(str(scratch)), **options))
    finally:
        assert os.listdir(str(scratch)) == [], 'what was unpacked is left'


@pytest.mark.parametrize('what', ['rootfs', 'image'])
def test_the_databases_of_a_bundle_are_found(rescued, tmp_path, as_root, what):
    found = from_bundle(rescued[what], tmp_path)
    assert [(item['container'], item['engine'], item['data_path'], item['status']) for item in found['dumps']] == [
        ('web', 'sqlite', '/srv/app.db', 'complete')]
    assert not (tmp_path / 'out').exists()


def test_sqlite_needs_no_image_in_the_bundle(rescued, tmp_path, as_root):
    assert [item['status'] for item in from_bundle(rescued['data'], tmp_path)['dumps']] == ['complete']


def test_a_bundle_without_programs_is_refused_by_name(rescued, tmp_path, as_root, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, 'sqlite', kinds.KINDS['sqlite']._replace(needs_image=True, other_image=True))
    found = from_bundle(rescued['data'], tmp_path)
    assert [item['status'] for item in found['dumps']] == ['unsupported'] and not found['changed']
    said = [item['message'] for item in found['problems'] if item['code'] == 'DUMP_LAYERS_LOST']
    assert len(said) == 1 and 'neither an image nor a rootfs' in said[0] and 'no other image of the host' in said[0]


@pytest.mark.parametrize('what, beside, serves', [('image', 'box', True), ('rootfs', 'box', True), ('image', 'other', False), ('data', 'box', False)])
def test_the_image_of_another_bundle_of_the_host_serves(rescued, tmp_path, as_root, monkeypatch, what, beside, serves):
    """Never that of another host."""
    monkeypatch.setitem(kinds.KINDS, 'sqlite', kinds.KINDS['sqlite']._replace(needs_image=True, other_image=True))
    shutil.copytree(rescued['data'], str(tmp_path / 'all' / 'box' / 'data'))
    shutil.copytree(rescued[what], str(tmp_path / 'all' / beside / 'serves'))
    found = from_bundle(tmp_path / 'all', tmp_path)
    item = next(item for item in found['dumps'] if item['status'] == ('complete' if serves else 'unsupported'))
    assert item['container'] == 'web' and any(mark.startswith('other_image: ') for mark in item['marks']) == serves


def test_without_room_for_another_image_it_is_said(rescued, tmp_path, as_root, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, 'sqlite', kinds.KINDS['sqlite']._replace(needs_image=True, other_image=True))
    shutil.copytree(rescued['data'], str(tmp_path / 'box' / 'data'))
    shutil.copytree(rescued['image'], str(tmp_path / 'box' / 'serves'))
    monkeypatch.setattr(unpacked, '_bytes_of_layers', lambda source: 1 << 60 if source.of('image') else 0)
    found = from_bundle(tmp_path / 'box', tmp_path)
    assert 'DUMP_NO_SPACE' in [item['code'] for item in found['problems']] and not [item for item in found['dumps'] if item['status'] == 'complete']


def test_a_bundle_that_was_changed_is_refused(rescued, tmp_path, as_root):
    copy = tmp_path / 'copy'
    shutil.copytree(rescued['rootfs'], str(copy))
    archive = next(path for path in copy.iterdir() if path.name.startswith('rootfs'))
    with open(str(archive), 'r+b') as raw:
        raw.seek(100)
        raw.write(b'!')
    with pytest.raises(LifeboatError, match='is damaged'):
        from_bundle(copy, tmp_path)


def test_neither_dest_nor_scratch_lies_in_a_bundle(rescued, tmp_path, as_root):
    bundle = os.fsencode(rescued['rootfs'])
    with pytest.raises(LifeboatError, match='must stay as it is'):
        run.dump_bundles(run.Request(bundle + b'/out', path=bundle))
    with pytest.raises(LifeboatError, match='lies inside the bundle'):
        run.dump_bundles(run.Request(os.fsencode(str(tmp_path / 'out')), path=bundle, scratch_dir=bundle))
    assert not os.path.exists(bundle + b'/out')


def test_without_room_to_unpack_nothing_is_begun(rescued, tmp_path, as_root, monkeypatch):
    monkeypatch.setattr(unpacked.fsinfo, 'free', lambda path: fsinfo.Free(1 << 20, None, 1 << 30))
    with pytest.raises(LifeboatError, match='when it is unpacked'):
        from_bundle(rescued['rootfs'], tmp_path)


def test_other_containers_are_left_alone(rescued, tmp_path, as_root):
    with pytest.raises(LifeboatError, match='in 0 bundles'):
        from_bundle(rescued['rootfs'], tmp_path, containers=('nobody',))


def test_of_two_bundles_the_damaged_one_is_named(rescued, tmp_path, as_root):
    """And of two of the same container the second one: its dump would take the place of the first."""
    for name in ('a', 'b', 'c'):
        shutil.copytree(rescued['rootfs'], str(tmp_path / 'box' / name))
    (tmp_path / 'box' / 'c' / 'SHA256SUMS').write_text('')
    found = from_bundle(tmp_path / 'box', tmp_path)
    assert [item['status'] for item in found['dumps']] == ['complete']
    said = [(item['code'], item['object']) for item in found['problems']]
    assert said == [('DUMP_BUNDLE_REFUSED', 'b'), ('DUMP_BUNDLE_REFUSED', 'c')]
    assert verb.status(found) == main.PARTIAL


def test_deletions_of_a_layer_are_those_of_overlayfs(tmp_path):
    """For an ordinary user: device 0/0 can be made by everybody, and the attribute is of his own kind."""
    for name in ('gone/.wh.file', 'opaque/.wh..wh..opq', 'opaque/stays', 'both/.wh.file', 'both/file'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('x')
    # pylint: disable-next=protected-access
    unpacked._mark(os.fsencode(str(tmp_path)), False)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if not path.is_dir()) == ['both/file', 'gone/file', 'opaque/stays']
    st = os.lstat(str(tmp_path / 'gone' / 'file'))
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert os.getxattr(str(tmp_path / 'opaque'), 'user.overlay.opaque') == b'y' and not os.listxattr(str(tmp_path / 'gone'))
    assert (tmp_path / 'both' / 'file').read_text() == 'x'


def test_what_was_not_whole_in_the_bundle_is_not_whole_in_the_dump(rescued, tmp_path, as_root, monkeypatch):
    first = run.sources.read

    def partial(path, remote, seen):
        source = first(path, remote, seen)
        return source._replace(parts=tuple(part._replace(status='partial', reason='2 files could not be read.') for part in source.parts))
    monkeypatch.setattr(run.sources, 'read', partial)
    item = from_bundle(rescued['rootfs'], tmp_path)['dumps'][0]
    assert item['status'] == 'partial' and item['missing'] == ['rootfs rootfs of the bundle is not whole: 2 files could not be read']
