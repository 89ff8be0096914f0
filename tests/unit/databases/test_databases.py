"""Recognition on files that the real programs wrote (data/make_samples.py), and on hostile and partial ones."""
import glob
import os
import shutil
import struct
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.databases import detector as databases, registry
from ansible_collections.lifeboat.docker.plugins.module_utils.databases.look import DATABASE, Match
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import tree
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import walk as usage

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')

# sample -> [(engine, version, path, clean shutdown, empty)]
EXPECTED = {
    'berkeleydb': [('berkeleydb', None, 'users.bdb', None, False)],
    'clickhouse-clean': [('clickhouse', None, '', None, False)],
    'clickhouse-killed': [('clickhouse', None, '', False, False)],
    'etcd': [('etcd', '3.4.0', 'default.etcd', None, False)],
    'git': [('git', None, 'bare.git', None, False), ('git', None, 'empty.git', None, True), ('git', None, 'tree/.git', None, False)],
    'h2': [('h2', '2', 'app.mv.db', None, False)],
    'influxdb': [('influxdb', '1', '', None, False)],
    'keys': [('keys', None, '', None, False)],
    'leveldb': [('leveldb', None, '', None, False)],
    'lmdb': [('lmdb', None, 'data.mdb', None, False)],
    'lucene': [('lucene', '8.8.1', '', None, False)],
    'mariadb-clean': [('mariadb', '10.11.19', '', None, False)],
    'mariadb-killed': [('mariadb', '10.11.19', '', False, False)],
    'openldap': [('openldap', None, '', None, False)],
    'postgresql-clean': [('postgresql', '15', '', True, False)],
    'postgresql-killed': [('postgresql', '15', '', False, False)],
    'prometheus-blocks': [('prometheus', None, '', None, False)],
    'prometheus-young': [('prometheus', None, '', None, False)],
    'rabbitmq-clean': [('rabbitmq', None, '', True, False)],
    'rabbitmq-killed': [('rabbitmq', None, '', False, False)],
    'redis-aof': [('redis', '7.0.15', 'appendonlydir', None, False), ('redis', '7.0.15', 'dump.rdb', None, False)],
    'redis-dump': [('redis', '7.0.15', 'dump.rdb', None, False)],
    'redis-empty': [('redis', '7.0.15', 'dump.rdb', None, True)],
    'sqlite': [('sqlite', '3.40.1', 'empty.db', True, True), ('sqlite', '3.40.1', 'hot.sqlite', False, False),
               ('sqlite', '3.40.1', 'plain.db', True, False), ('sqlite', '3.40.1', 'wal', False, False)],
    'zookeeper': [('zookeeper', None, '', None, False)],
}


KNOWN = {}


def content_of(name):
    """[(path, content or None for a folder)] of a sample."""
    if name not in KNOWN:
        with tarfile.open(os.path.join(DATA, name + '.tar.xz')) as tar:
            KNOWN[name] = [(member.name, tar.extractfile(member).read() if member.isreg() else None) for member in tar]
    return KNOWN[name]


def unpack(name, where):
    os.makedirs(str(where), exist_ok=True)
    for path, content in content_of(name):
        assert not path.startswith(('/', '..'))
        if content is None:
            os.mkdir(str(where / path))
        else:
            with open(str(where / path), 'wb') as stream:
                stream.write(content)


def look(root, **options):
    """Found records of both walks, which have to agree."""
    raw = os.fsencode(str(root))
    streamed = usage.scan(tree.PlainTree(raw).entries(), detector=databases.Detector(**options))
    fast = usage.scan_folder(raw, detector=databases.Detector(**options))
    assert streamed == fast
    return fast.databases


def short(found):
    return sorted((one.engine, one.version, os.fsdecode(one.path), one.clean_shutdown, one.empty) for one in found)


def write(path, content):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    with open(str(path), 'wb') as stream:
        stream.write(content)


def test_every_sample_is_expected():
    assert sorted(EXPECTED) == sorted(os.path.basename(path)[:-7] for path in glob.glob(DATA + '/*.tar.xz'))


@pytest.mark.parametrize('name', sorted(EXPECTED))
def test_written_by_the_real_program(name, tmp_path):
    unpack(name, tmp_path)
    found = look(tmp_path)
    assert short(found) == EXPECTED[name]
    for one in found:
        where = os.path.join(str(tmp_path), os.fsdecode(one.path))
        if not one.single and one.kind == DATABASE:
            size = sum(os.path.getsize(os.path.join(folder, each)) for folder, dummy, files in os.walk(where) for each in files)
            assert one.bytes == size
        shown = one.as_dict(b'/mnt')
        assert shown['path'].startswith('/mnt') and shown['title'] and shown['evidence']


@pytest.mark.parametrize('name', sorted(EXPECTED))
def test_below_other_folders_and_with_other_names(name, tmp_path):
    """The path of the place is no hint: the same is found anywhere else."""
    unpack(name, tmp_path / 'srv' / 'x' / 'y')
    if name != 'keys':
        assert [one[:2] for one in short(look(tmp_path))] == [one[:2] for one in EXPECTED[name]]


@pytest.mark.parametrize('name', sorted(EXPECTED))
def test_names_alone_prove_nothing(name, tmp_path):
    """The same names and sizes with other content are not a database (nor a crash)."""
    unpack(name, tmp_path)
    for folder, dummy, files in os.walk(str(tmp_path)):
        for one in files:
            size = os.path.getsize(os.path.join(folder, one))
            with open(os.path.join(folder, one), 'wb') as stream:
                stream.write(b'U' * size)
    assert [one for one in look(tmp_path) if not one.empty] == []


@pytest.mark.parametrize('name', sorted(EXPECTED))
@pytest.mark.parametrize('kept', [0, 20, 100])
def test_cut_files_do_no_harm(name, kept, tmp_path):
    unpack(name, tmp_path)
    for folder, dummy, files in os.walk(str(tmp_path)):
        for one in files:
            os.truncate(os.path.join(folder, one), kept)
    look(tmp_path)


def test_used_but_not_made_in_this_layer(tmp_path):
    """A cluster that came with the image: the writable layer has what changed since, PG_VERSION not among it."""
    unpack('postgresql-killed', tmp_path / 'data')
    os.unlink(str(tmp_path / 'data' / 'PG_VERSION'))
    assert short(look(tmp_path)) == [('postgresql', '15', 'data', False, False)]


def test_versions_of_postgresql_by_catalogue(tmp_path):
    for catalogue, major in ((201707211, '10'), (201909212, '12'), (202307071, '16'), (202406281, '17')):
        control = struct.pack('<QIIII', 1, 1300, catalogue, 1, 0) + bytes(4096)
        write(tmp_path / major / 'global' / 'pg_control', control)
    assert [(one.path.decode(), one.version) for one in sorted(look(tmp_path), key=lambda one: one.path)] == \
        [(major, major) for major in ('10', '12', '16', '17')]


def test_the_layout_of_postgresql_18(tmp_path):
    unpack('postgresql-clean', tmp_path / '18' / 'docker')
    write(tmp_path / '18' / 'docker' / 'PG_VERSION', b'18\n')
    assert short(look(tmp_path)) == [('postgresql', '18', '18/docker', True, False)]


def test_mysql_8_by_its_data_dictionary(tmp_path):
    """Layout of page 0 as in MySQL 8: the server's version at 8. No MySQL is in Debian; made by hand."""
    page = bytearray(16384)
    page[24:26] = b'\0\x08'
    write(tmp_path / 'ibdata1', bytes(page))
    page[8:12] = struct.pack('>I', 80036)
    write(tmp_path / 'mysql.ibd', bytes(page))
    assert short(look(tmp_path)) == [('mysql', '8.0.36', '', None, False)]


# Programs that no Debian or PyPI package brings: their layouts, made by hand.
def mongodb(root):
    write(root / 'WiredTiger', b'WiredTiger\nWiredTiger 11.2.0: (November 13, 2023)\n')
    write(root / 'mongod.lock', b'1\n')


def kafka(root):
    write(root / 'meta.properties', b'#\n#Mon Jan 01 00:00:00 UTC 2024\ncluster.id=abc\nversion=1\nnode.id=1\n')
    write(root / '.kafka_cleanshutdown', b'')
    write(root / 'orders-0' / '00000000000000000000.log', b'x' * 100)


def cassandra(root):
    table = root / 'system_schema' / 'keyspaces-abpplay'
    write(table / 'nb-1-big-TOC.txt', b'Statistics.db\nData.db\n')
    write(table / 'nb-1-big-Data.db', b'x' * 512)


def neo4j(root):
    write(root / 'databases' / 'neo4j' / 'neostore', b'x')
    write(root / 'databases' / 'neo4j' / 'neostore.nodestore.db', b'x')


def elasticsearch(root):
    unpack('lucene', root / '_state')
    write(root / '_state' / 'node-1.st', b'x')
    write(root / 'node.lock', b'')
    unpack('lucene', root / 'indices' / 'abc' / '0' / 'index')


def opensearch(root):
    elasticsearch(root / 'nodes' / '0')
    segments = root / 'nodes' / '0' / '_state' / 'segments_1'
    content = bytearray(open(str(segments), 'rb').read())
    content[35] = 9
    write(segments, bytes(content))


def minio(root):
    write(root / '.minio.sys' / 'format.json', b'{"version":"1","format":"xl-single","id":"x"}')


def grafana(root):
    unpack('sqlite', root)
    for name in ('wal', 'wal-wal', 'wal-shm', 'hot.sqlite', 'hot.sqlite-journal', 'empty.db'):
        if os.path.exists(str(root / name)):
            os.unlink(str(root / name))
    with open(str(root / 'plain.db'), 'r+b') as stream:
        stream.seek(3000)
        stream.write(b'CREATE TABLE `migration_log` (')
    os.rename(str(root / 'plain.db'), str(root / 'grafana.db'))


def influxdb2(root):
    write(root / 'influxd.bolt', b'\0' * 8 + b'\x04\0' + bytes(6) + b'\xed\xda\x0c\xed' + bytes(4076))


def maildir(root):
    for box in ('cur', 'new', 'tmp'):
        (root / 'user' / box).mkdir(parents=True)
    write(root / 'user' / 'cur' / '1700000000.M1P1.mail:2,S', b'Return-Path: <a@example.org>\nSubject: x\n\ntext\n')


def rocksdb(root):
    write(root / 'CURRENT', b'MANIFEST-000005\n')
    write(root / 'MANIFEST-000005', b'x')
    write(root / 'OPTIONS-000007', b'x')


def valkey(root):
    write(root / 'dump.rdb', b'REDIS0011\xfa\x0avalkey-ver\x058.0.1\xfe\x00')


HAND_MADE = [
    (mongodb, ('mongodb', None, '', False)), (kafka, ('kafka', None, '', True)), (cassandra, ('cassandra', '4', '', None)),
    (neo4j, ('neo4j', None, '', None)), (elasticsearch, ('elasticsearch', '7', '', None)),
    (opensearch, ('opensearch', '2', '', None)), (minio, ('minio', None, '', None)),
    (grafana, ('grafana', '3.40.1', 'grafana.db', True)), (influxdb2, ('influxdb', '2', '', None)),
    (maildir, ('maildir', None, 'user', None)), (rocksdb, ('rocksdb', None, '', None)), (valkey, ('valkey', '8.0.1', 'dump.rdb', None)),
]


@pytest.mark.parametrize('make, expected', HAND_MADE)
def test_layouts_made_by_hand(make, expected, tmp_path):
    make(tmp_path)
    assert [one[:4] for one in short(look(tmp_path))] == [expected]


def test_every_engine_has_a_title_and_is_tested():
    tested = {engine for sample in EXPECTED.values() for engine, dummy, dummy, dummy, dummy in sample}
    tested.update(expected[0] for dummy, expected in HAND_MADE)
    assert tested | {'uploads', 'mysql', 'bbolt', 'mnesia'} == set(registry.KINDS)


def test_bbolt_and_mnesia(tmp_path):
    write(tmp_path / 'a' / 'portainer.db', b'\0' * 8 + b'\x04\0' + bytes(6) + b'\xed\xda\x0c\xed' + bytes(4076))
    write(tmp_path / 'b' / 'schema.DAT', b'\0\0\0\x18\0\xab\xcd\xef' + bytes(100))
    write(tmp_path / 'b' / 'users.DCD', b'cXM')
    assert [one[0] for one in short(look(tmp_path))] == ['bbolt', 'mnesia']


def test_what_is_inside_a_database_is_not_news(tmp_path):
    unpack('rabbitmq-clean', tmp_path / 'mq')
    unpack('sqlite', tmp_path / 'mq' / 'plugin')
    assert [one.engine for one in look(tmp_path)] == ['rabbitmq']


def test_sqlite_counts_its_sidecars(tmp_path):
    unpack('sqlite', tmp_path)
    found = {one.path: one for one in look(tmp_path)}
    size = sum(os.path.getsize(str(tmp_path / name)) for name in ('wal', 'wal-wal', 'wal-shm') if (tmp_path / name).exists())
    assert found[b'wal'].bytes == size


def test_databases_of_package_managers_are_not_reported(tmp_path):
    for place in ('var/lib/rpm', 'var/cache/man', 'usr/lib/python3/dist-packages/x', 'srv/app/node_modules/x', 'root/.cache/pip'):
        unpack('sqlite', tmp_path / place)
        unpack('keys', tmp_path / place)
    assert look(tmp_path) == []


def test_a_database_in_a_temporary_folder_says_so(tmp_path):
    unpack('redis-dump', tmp_path / 'tmp' / 'scratch')
    assert [one.noise for one in look(tmp_path)] == ['temporary by definition']


def test_data_of_a_database_are_no_noise_whatever_their_names(tmp_path):
    kafka(tmp_path)
    raw = os.fsencode(str(tmp_path))
    for found in (usage.scan_folder(raw, detector=databases.Detector()),
                  usage.scan(tree.PlainTree(raw).entries(), detector=databases.Detector())):
        assert found.noise_bytes == 0 and found.data_bytes == found.bytes
    assert usage.scan_folder(raw).noise_bytes == 100


def test_uploads(tmp_path):
    for number in range(40):
        write(tmp_path / 'srv' / 'app' / 'uploads' / ('2024-%02d' % (number % 12)) / ('p%d.jpg' % number), b'x' * 10000)
    write(tmp_path / 'srv' / 'app' / 'code.py', b'x' * 30000)
    write(tmp_path / 'usr' / 'bin' / 'program', b'x' * 900000)
    found = look(tmp_path)
    assert [(one.kind, one.path, one.files, one.bytes) for one in found] == [('uploads', b'srv/app/uploads', 40, 400000)]
    assert found[0].as_dict()['files'] == 40


def test_a_few_pictures_are_not_uploads(tmp_path):
    for number in range(10):
        write(tmp_path / 'srv' / ('p%d.jpg' % number), b'x' * 1000)
    assert look(tmp_path) == []


def test_declared_volumes_are_named_in_the_evidence(tmp_path):
    unpack('redis-dump', tmp_path / 'data')
    assert 'declares' in look(tmp_path, image_volumes=['/data'])[0].evidence
    assert 'declares' not in look(tmp_path, image_volumes=['/dat'])[0].evidence


def test_planted_candidates_cost_a_bounded_number_of_looks(tmp_path):
    for number in range(60):
        write(tmp_path / ('%d.db' % number), b'x' * 512)
    raw = os.fsencode(str(tmp_path))
    found = usage.scan_folder(raw, detector=databases.Detector(max_looks=50))
    assert not found.complete and found.cut == 'candidates' and found.files == 60


def test_what_is_cut_is_counted(tmp_path):
    for number in range(9):
        unpack('h2', tmp_path / str(number))
    found = usage.scan_folder(os.fsencode(str(tmp_path)), detector=databases.Detector(max_found=5))
    assert (len(found.databases), found.databases_total) == (5, 9)
    assert found.as_dict()['databases_total'] == 9


def test_links_and_special_files_are_not_opened(tmp_path):
    unpack('postgresql-clean', tmp_path / 'outside')
    root = tmp_path / 'root'
    root.mkdir()
    os.symlink(str(tmp_path / 'outside' / 'global'), str(root / 'global'))
    os.symlink(str(tmp_path / 'outside' / 'PG_VERSION'), str(root / 'PG_VERSION'))
    for name in ('dump.rdb', 'id_rsa', 'ibdata1', 'HEAD', 'CURRENT', 'data.mdb'):
        os.mkfifo(str(root / name))     # opening one without a writer would hang
    for name in ('member', 'chunks_head', 'version-2', 'meta', 'metadata', 'cur', 'new'):
        os.mkfifo(str(root / name))
    assert look(root) == []


def test_folders_with_the_names_of_files(tmp_path):
    for name in list(registry.MARKERS) + [b'a' + tail for tail in registry.TAILS]:
        os.mkdir(os.path.join(os.fsencode(str(tmp_path)), name))
    assert look(tmp_path) == []


def test_many_databases_of_one_kind_stay_cheap(tmp_path):
    """Files below a known database are not opened."""
    unpack('postgresql-clean', tmp_path)
    for number in range(300):
        write(tmp_path / 'base' / '5' / str(20000 + number), b'x' * 8192)
    detector = databases.Detector()
    usage.scan_folder(os.fsencode(str(tmp_path)), detector=detector)
    assert databases.MAX_LOOKS - detector.looks_left < 20
    shutil.rmtree(str(tmp_path))


def test_a_file_that_is_removed_while_it_is_looked_at_counts_no_bytes(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.MARKERS, b'marker', lambda look, name: Match('sqlite', None, 'made up', name=b'gone.db'))
    (tmp_path / 'marker').write_bytes(b'')
    found = usage.scan(tree.PlainTree(os.fsencode(str(tmp_path))).entries(), detector=databases.Detector())
    assert [(one.engine, one.path, one.bytes) for one in found.databases] == [('sqlite', b'gone.db', 0)]
