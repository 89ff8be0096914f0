"""Specifications and claims from etcd's file and from the database of k3s: read only, and nothing that may be a secret."""
import errno
import json
import os
import random
import sqlite3
import struct

import boltwriter
import pytest
from deadcontent import field
from test_kubernetes import POD, PV, UID, container, facts, mount, node, put, sandbox

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.kubernetes import cluster
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import sqlite

ETCD, KINE = '/var/lib/etcd/member/snap/db', '/var/lib/rancher/k3s/server/db/state.db'
SECRET = b'cluster-s3cret'


def message(*fields_):
    return b''.join(field(number, value.encode() if isinstance(value, str) else value) for number, value in fields_)


def unknown(inner):
    """An object as the API server stores it."""
    return b'k8s\0' + message((1, message((1, 'v1'))), (2, inner))


META = message((1, 'web-0'), (3, 'shop'), (5, UID))
DATA = message((1, 'data'), (2, message((10, message((1, 'data-web-0'))))))
CACHE = message((1, 'cache'), (2, message((2, message((1, 'Memory'))))))
APP = message((1, 'app'), (7, message((1, 'TOKEN'), (2, SECRET))), (9, message((1, 'data'), (3, '/data'), (4, 'sub'))))
VOLUME = message((2, message((20, message((1, '/big/disk'))))), (4, message((2, 'shop'), (3, 'data-web-0'))))
PROTO = {
    b'/registry/pods/shop/web-0': unknown(message((1, META), (2, message((1, DATA), (1, CACHE), (2, APP), (3, 'OnFailure'))))),
    b'/registry/persistentvolumes/' + PV.encode(): unknown(message((1, message((1, PV))), (2, VOLUME))),
    b'/registry/secrets/shop/token': unknown(message((2, SECRET)))}
PLAIN = {
    b'/registry/pods/shop/web-0': json.dumps({'metadata': {'name': 'web-0', 'uid': UID}, 'spec': {
        'restartPolicy': 'OnFailure', 'volumes': [{'name': 'data', 'persistentVolumeClaim': {'claimName': 'data-web-0'}},
                                                  {'name': 'cache', 'emptyDir': {'medium': 'Memory'}}],
        'containers': [{'name': 'app', 'env': [{'name': 'TOKEN', 'value': SECRET.decode()}], 'volumeMounts': [
            {'name': 'data', 'mountPath': '/data', 'subPath': 'sub'}]}]}}).encode(),
    b'/registry/persistentvolumes/' + PV.encode(): json.dumps({'metadata': {'name': PV}, 'spec': {
        'local': {'path': '/big/disk'}, 'claimRef': {'namespace': 'shop', 'name': 'data-web-0'}}}).encode()}


def etcd(top, objects, deleted=()):
    """etcd's file: each change of a key is a revision of its own."""
    revisions, rows = {}, [(key, b'old') for key in objects] + list(objects.items()) + [(key, None) for key in deleted]
    for number, (key, value) in enumerate(rows):
        raw = struct.pack('>Q', number + 1) + b'_' + struct.pack('>Q', 0) + (b't' if value is None else b'')
        revisions[raw] = field(1, key) + (field(5, value) if value is not None else b'')
    put(top, ETCD)
    os.unlink(str(top) + ETCD)
    boltwriter.write(str(top) + ETCD, {b'key': revisions, b'meta': {b'x': b'y'}})


def kine(top, objects, deleted=(), crashed=True):
    """The database of k3s, whose last rows are only in the write-ahead log where it crashed."""
    put(top, KINE)
    path = str(top) + KINE
    os.unlink(path)
    live = path + '-live'
    database = sqlite3.connect(live)
    database.execute('PRAGMA journal_mode = WAL')
    database.execute('CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER, create_revision INTEGER, '
                     'prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)')
    rows = [(key.decode(), 0, b'old' * 4000) for key in objects]
    database.executemany('INSERT INTO kine(name, deleted, value) VALUES (?, ?, ?)', rows)
    database.commit()
    database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    database.executemany('INSERT INTO kine(name, deleted, value) VALUES (?, ?, ?)', [(key.decode(), 0, value) for key, value in objects.items()])
    database.executemany('INSERT INTO kine(name, deleted, value) VALUES (?, ?, ?)', [(key.decode(), 1, b'x') for key in deleted])
    database.commit()
    for name in ('', '-wal') if crashed else ('',):
        with open(live + name, 'rb') as source, open(path + name, 'wb') as target:
            target.write(source.read())
    database.close()
    for name in ('', '-wal', '-shm'):
        if os.path.exists(live + name):
            os.unlink(live + name)


def loaded(top, path):
    return cluster.load(HostRoot(os.fsencode(str(top))), (path.encode(),))


@pytest.mark.parametrize('objects', [PROTO, PLAIN], ids=['protobuf', 'json'])
@pytest.mark.parametrize('build, path', [(etcd, ETCD), (kine, KINE)], ids=['etcd', 'kine'])
def test_pods_claims_and_places(tmp_path, build, path, objects):
    build(tmp_path, objects)
    found, problems = loaded(tmp_path, path)
    assert (problems, found.claim_of(PV), found.pv_of('shop', 'data-web-0'), found.place_of(PV)) == ([], ('shop', 'data-web-0'), PV, b'/big/disk')
    spec = found.pod(UID)
    assert spec['restartPolicy'] == 'OnFailure' and [item['name'] for item in spec['volumes']] == ['data', 'cache']
    assert spec['containers'][0]['volumeMounts'] == [{'name': 'data', 'mountPath': '/data', 'subPath': 'sub'}]
    assert SECRET.decode() not in repr(spec)


@pytest.mark.parametrize('build, path', [(etcd, ETCD), (kine, KINE)], ids=['etcd', 'kine'])
def test_what_was_deleted_is_not_there(tmp_path, build, path):
    build(tmp_path, PROTO, deleted=(b'/registry/pods/shop/web-0',))
    assert loaded(tmp_path, path)[0].pod(UID) == {}


def test_a_log_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    kine(tmp_path, PROTO)
    real = safeio.Dir.open

    def opened(self, name, *more):
        if name.endswith(b'-wal'):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, name, *more)
    monkeypatch.setattr(safeio.Dir, 'open', opened)
    found, problems = loaded(tmp_path, KINE)
    assert [item.code for item in problems] == ['CLUSTER_DB_DAMAGED'] and 'newest changes' in problems[0].message and found.pod(UID) == {}


def test_a_part_of_etcd_that_is_damaged_is_said(tmp_path):
    etcd(tmp_path, {key: value * 3000 for key, value in PROTO.items()})
    path = str(tmp_path) + ETCD
    size = os.path.getsize(path)
    said = set()
    for place in range(2 * 4096, size, 4096):
        etcd(tmp_path, {key: value * 3000 for key, value in PROTO.items()})
        with open(path, 'r+b') as out:
            out.seek(place)
            out.write(b'\xff' * 4096)
        said.update(item.code for item in loaded(tmp_path, ETCD)[1])
    assert said <= {'CLUSTER_DB_UNREAD', 'CLUSTER_DB_DAMAGED'} and 'CLUSTER_DB_DAMAGED' in said


def test_without_the_log_the_older_rows_are_read(tmp_path):
    """It says that the rows of the test before come from the write-ahead log."""
    kine(tmp_path, PROTO, crashed=False)
    assert loaded(tmp_path, KINE)[0].pod(UID) == {}


@pytest.mark.parametrize('path, raw', [(ETCD, b''), (ETCD, bytes(100000)), (KINE, b''), (KINE, b'SQLite format 3\0' + bytes(5000))])
def test_damage_is_said_and_nothing_else_is_lost(tmp_path, path, raw):
    put(tmp_path, path)
    with open(str(tmp_path) + path, 'wb') as damaged:
        damaged.write(raw)
    found, problems = loaded(tmp_path, path)
    assert [item.code for item in problems] == ['CLUSTER_DB_UNREAD'] and found.pod(UID) == {}


def test_a_local_volume_by_its_record(tmp_path):
    """The folder of a local PersistentVolume has no name that tells: only the database does."""
    put(tmp_path, '/big/disk/file', 'rows')
    place = '%s/volumes/kubernetes.io~local-volume/%s' % (POD, PV)
    (tmp_path / place.lstrip('/')).mkdir(parents=True)
    etcd(tmp_path, PROTO)
    found = facts(node(tmp_path, container(mounts=[mount('/data', '%s/volume-subpaths/%s/app/0' % (POD, PV))]), sandbox()))
    one, = found['containers']
    assert [(item['name'], item['path'], item.get('subpath')) for item in one['mounts']] == [('shop_data-web-0', str(tmp_path / 'big/disk'), 'sub')]
    assert [item['name'] for item in found['volumes']] == ['shop_data-web-0'] and SECRET.decode() not in json.dumps(found)


# -- damage: what is not read is named -----------------------------------------------------------------------------------------------------

MANY = dict(PROTO)
MANY.update({b'/registry/pods/shop/more-%d' % number: unknown(message((1, message((1, 'more-%d' % number), (3, 'shop'), (5, 'uid-%d' % number))),
                                                                      (2, message((1, DATA), (2, APP), (3, 'Always' + 'x' * 900))))) for number in range(20)})


def known(found):
    return {uid for uid in [UID] + ['uid-%d' % number for number in range(20)] if found.pod(uid)}


@pytest.mark.parametrize('build, path', [(etcd, ETCD), (kine, KINE)], ids=['etcd', 'kine'])
def test_a_file_that_was_cut_is_never_taken_for_a_whole_one(tmp_path, build, path):
    build(tmp_path, MANY)
    place = str(tmp_path) + path
    with open(place, 'rb') as found:
        raw = found.read()
    whole, problems = loaded(tmp_path, path)
    assert len(known(whole)) == 21 and problems == []
    told = set()
    for length in range(0, len(raw), len(raw) // 25):
        with open(place, 'wb') as out:
            out.write(raw[:length])
        if os.path.exists(place + '-wal'):
            os.unlink(place + '-wal')
        found, problems = loaded(tmp_path, path)
        # what was cut off may have been free
        assert [item.code for item in problems] in (['CLUSTER_DB_UNREAD'], ['CLUSTER_DB_DAMAGED']) or known(found) == known(whole) and found.claim_of(PV)
        told.update(item.code for item in problems)
        assert SECRET.decode() not in repr(problems)
    assert told >= {'CLUSTER_DB_UNREAD'} and ('CLUSTER_DB_DAMAGED' in told or build is etcd)    # bbolt refuses a file with less than its root


@pytest.mark.parametrize('build, path', [(etcd, ETCD), (kine, KINE)], ids=['etcd', 'kine'])
def test_random_damage_never_raises(tmp_path, build, path):
    build(tmp_path, MANY)
    place, chance = str(tmp_path) + path, random.Random(7)
    with open(place, 'rb') as found:
        raw = found.read()
    for dummy in range(15):
        hurt = bytearray(raw)
        for position in chance.sample(range(len(raw)), chance.choice((1, 30, 3000))):
            hurt[position] = chance.randrange(256)
        with open(place, 'wb') as out:
            out.write(hurt)
        found, problems = loaded(tmp_path, path)
        assert len(known(found)) == 21 or path == KINE or problems
        json.dumps([item._asdict() for item in problems])


def test_rows_that_all_claim_the_same_long_rest_end(tmp_path):
    """Each row of a page says that its rest is the whole file: work stays linear in the size of the file."""
    kine(tmp_path, {b'/registry/pods/shop/a%d' % number: b'v' * 100000 for number in range(9)}, crashed=False)
    place = str(tmp_path) + KINE
    with open(place, 'rb') as found:
        database = sqlite.Db(found.read())
    page, table = database.page_size, database.tables['kine'].page
    local = (page - 12) * 32 // 255 - 23
    size = local + (len(database._raw) // (page - 4) - 1) * (page - 4)
    cell = _varint(size) + b'\x01' + bytes(local) + struct.pack('>I', 3)
    count = (page - 8) // (len(cell) + 2)
    leaf = struct.pack('>BHHHB', 13, 0, count, 0, 0) + b''.join(struct.pack('>H', 8 + 2 * count + number * len(cell)) for number in range(count))
    raw = bytearray(database._raw)
    raw[(table - 1) * page:table * page] = (leaf + cell * count).ljust(page, b'\0')
    raw[2 * page:2 * page + 4] = struct.pack('>I', 3)   # and comes back to where it began
    read = []
    evil = sqlite.Db(bytes(raw))
    evil._bytes = lambda number, inner=evil._bytes: read.append(number) or inner(number)
    list(evil.rows('kine'))
    assert len(read) * page < 2 * len(raw) and evil.damage


def _varint(value):
    parts = [value & 0x7f]
    while value > 0x7f:
        value >>= 7
        parts.append(value & 0x7f | 0x80)
    return bytes(reversed(parts))


@pytest.mark.parametrize('raw, clause', [(b'k8s:enc:aescbc:v1:key1:' + bytes(60), '1 objects are encrypted at rest'), (b'\xff\xfe', '1 objects are damaged')])
def test_objects_that_cannot_be_read_are_counted(tmp_path, raw, clause):
    etcd(tmp_path, dict(list(PROTO.items()) + [(b'/registry/pods/shop/other', raw)]))
    found, (item,) = loaded(tmp_path, ETCD)
    assert item.code == 'CLUSTER_DB_DAMAGED' and clause in item.message and found.pod(UID)


def test_dqlite_is_named_with_what_keeps_it(tmp_path):
    """MicroK8s: on the way to it is a link, as the snap has it."""
    put(tmp_path, '/var/snap/microk8s/7000/var/kubernetes/backend/snapshot-1-1024-55555', 'x')
    os.symlink('7000', str(tmp_path / 'var/snap/microk8s/current'))
    node(tmp_path, container(), sandbox(), root='var/snap/microk8s/common/var/lib/containerd')
    found = facts(tmp_path)
    item, = [item for item in found['problems'] if item['code'] == 'CLUSTER_DB_UNREAD']
    assert 'dqlite' in item['message'] and 'tar -czf' in item['next_step'] and len(found['containers']) == 1
