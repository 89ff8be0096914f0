import json
import random
import re
import struct
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb, gotypes
from ansible_collections.lifeboat.docker.tests.fixtures import boltwriter
from ansible_collections.lifeboat.docker.tests.unit.formats import genuine

GENUINE = ['volumes.db.gz', 'local-kv.db.gz', 'containerd-meta.db.gz', 'snapshotter.db.gz']


def as_dict(bucket, errors=None):
    """Everything below a bucket, in the shape that boltwriter takes."""
    tree = {key: value for key, value in bucket.items(errors) if value is not None}
    tree.update((key, as_dict(inner, errors)) for key, inner in bucket.buckets(errors))
    return tree


def page_of(raw, content, page_size=4096):
    return raw.index(content) // page_size


def zeroed(raw, page, page_size=4096):
    return raw[:page * page_size] + b'\0' * page_size + raw[(page + 1) * page_size:]


def with_meta(raw, number=0, place=4096, order='<', **changes):
    """RAW with other values in a meta page, and its checksum made right again."""
    names = ['magic', 'version', 'page_size', 'flags', 'root', 'sequence', 'freelist', 'high_water', 'txid']
    start = number * place + 16
    values = dict(zip(names, struct.unpack_from(order + 'IIIIQQQQQ', raw, start)))
    values.update(changes)
    body = struct.pack(order + 'IIIIQQQQQ', *[values[name] for name in names])
    return raw[:start] + body + struct.pack(order + 'Q', boltwriter.fnv1a64(body)) + raw[start + 64:]


def many(count=400):
    return {b'b': {b'key-%05d' % number: b'value %d' % number for number in range(count)}, b'c': {b'k': b'v'}}


# ---- what real engines wrote

@pytest.mark.parametrize('name', GENUINE)
def test_a_genuine_file_is_read_without_complaint(name):
    db = boltdb.open_db(genuine.unpacked(name))
    assert (db.page_size, db.warnings, db.damage) == (4096, [], [])
    assert as_dict(db.root)


def test_genuine_volumes():
    volumes = boltdb.open_db(genuine.unpacked('volumes.db.gz')).root.bucket(b'volumes')
    assert [key for key, value in volumes.items()] == [b'vol-%04d' % number for number in range(300)]
    assert json.loads(volumes.get(b'vol-0123').decode())['Labels'] == {'n': '123'}
    assert volumes.get(b'vol-0300') is None
    assert volumes.get(b'a') is None
    assert volumes.get(b'vol-0123x') is None


def test_genuine_container_of_containerd():
    containers = boltdb.open_db(genuine.unpacked('containerd-meta.db.gz')).root.bucket(b'v1', b'moby', b'containers')
    found = list(containers.buckets())
    assert len(found) == 3              # a fourth was removed
    for key, container in found:
        type_url, spec = gotypes.any_message(container.get(b'spec'))
        assert type_url == 'types.containerd.io/opencontainers/runtime-spec/1/Spec'
        assert json.loads(spec.decode())['process']['args'] == ['sleep', '1000']
        assert gotypes.binary_time(container.get(b'createdat')).startswith('2026-11-24T06:05:4')
        assert container.path == (b'v1', b'moby', b'containers', key)


def test_genuine_snapshots_of_both_databases_agree():
    meta = boltdb.open_db(genuine.unpacked('containerd-meta.db.gz')).root
    snapshots = boltdb.open_db(genuine.unpacked('snapshotter.db.gz')).root.bucket(b'v1', b'snapshots')
    named = {bucket.get(b'name') for key, bucket in meta.bucket(b'v1', b'test', b'snapshots', b'overlayfs').buckets()}
    assert named == {key for key, bucket in snapshots.buckets()}
    assert len(named) == 60             # an image's, 60 prepared on it of which one was removed
    ids = {key: gotypes.uvarint(bucket.get(b'id'))[0] for key, bucket in snapshots.buckets()}
    assert len(set(ids.values())) == 60 and max(ids.values()) == 61
    assert ids[b'test/63/committed-1'] == 2     # a commit renames the bucket, the folder stays
    size = meta.bucket(b'v1', b'test', b'images', b'docker.io/library/base:1', b'target').get(b'size')
    assert gotypes.varint(size)[0] == 422


# ---- shapes

@pytest.mark.parametrize('page_size', [1024, 4096, 16384, 65536])
def test_every_entry_of_a_large_tree_is_found(page_size):
    tree = {b'top': {b'%06d' % number: b'x' * (number % 50) for number in range(5000)},
            b'small': {b'a': b'1', b'empty': b''},
            b'deep': {b'1': {b'2': {b'3': {b'k': b'v', b'big': b'y' * 200000}}}},
            b'none': {}}
    db = boltdb.open_db(boltwriter.encode(tree, page_size))
    assert (db.page_size, db.warnings, db.damage) == (page_size, [], [])
    assert as_dict(db.root) == tree
    top = db.root.bucket(b'top')
    assert all(top.get(key) == value for key, value in list(tree[b'top'].items())[::97])
    assert db.root.bucket(b'small').get(b'empty') == b''


def test_values_and_buckets_are_told_apart():
    root = boltdb.open_db(boltwriter.encode({b'value': b'', b'bucket': {b'k': b'v'}})).root
    assert list(root.items()) == [(b'bucket', None), (b'value', b'')]
    assert [key for key, bucket in root.buckets()] == [b'bucket']
    assert root.get(b'bucket') is None and root.bucket(b'value') is None and root.bucket(b'bucket', b'k') is None
    assert root.bucket(b'nothing', b'here') is None
    assert root.bucket().get(b'value') == b''


def test_big_endian():
    page = 4096
    values = b'v1' + b'bucket' + struct.pack('>QQ', 0, 7) + struct.pack('>QHHI', 0, 2, 1, 0) \
        + struct.pack('>IIII', 0, 16, 1, 5) + b'kinner'
    leaf = struct.pack('>QHHI', 3, 2, 2, 0) + struct.pack('>IIII', 0, 32, 1, 1) \
        + struct.pack('>IIII', 1, 18, 6, 54) + values
    leaf = leaf.replace(b'v1bucket', b'b1bucket')
    empty = struct.pack('>QHHI', 2, 2, 0, 0)
    raw = b''.join(part.ljust(page, b'\0') for part in (b'\0' * 80, b'\0' * 80, empty, leaf))
    for number, root in ((0, 3), (1, 2)):
        raw = with_meta(raw, number, order='>', magic=boltdb.MAGIC, version=2, page_size=page, root=root, high_water=4,
                        txid=8 - number)
    db = boltdb.open_db(raw)
    assert db.warnings == [] and db.txid == 8
    assert as_dict(db.root) == {b'b': b'1', b'bucket': {b'k': b'inner'}}
    assert db.root.bucket(b'bucket').sequence == 7


# ---- damage to the meta pages

@pytest.mark.parametrize('raw,expected', [
    (b'', 'empty (0 bytes)'),
    (b'\0' * 32768, 'NUL bytes (power loss before write-back)'),
    (b'\0' * 10 + b'x' * 20, 'cut off at byte 30'),
    (b'SQLite format 3\0' * 500, 'not a bbolt database'),
])
def test_what_is_no_database_is_named(raw, expected):
    with pytest.raises(boltdb.BoltError) as failure:
        boltdb.open_db(raw)
    assert expected in str(failure.value)


@pytest.mark.parametrize('name', GENUINE)
def test_one_damaged_meta_page_costs_one_transaction_at_most(name):
    raw = genuine.unpacked(name)
    whole = boltdb.open_db(raw)
    for number in (0, 1):
        hurt = bytearray(raw)
        hurt[number * 4096 + 16 + 20] ^= 1
        db = boltdb.open_db(bytes(hurt))
        assert db.damage == []
        assert db.txid == (whole.txid if whole.txid % 2 != number else whole.txid - 1)
        assert len(db.warnings) == 1 and 'meta page %d is damaged' % number in db.warnings[0]


@pytest.mark.parametrize('page_size', [1024, 16384, 65536])
def test_the_page_size_is_found_without_meta_page_0(page_size):
    raw = boltwriter.encode({b'a': {b'b': b'c'}}, page_size)
    other = with_meta(raw, 1, page_size, txid=9, root=struct.unpack_from('<Q', raw, 32)[0],
                      high_water=struct.unpack_from('<Q', raw, 56)[0])
    db = boltdb.open_db(zeroed(other, 0, page_size))
    assert as_dict(db.root) == {b'a': {b'b': b'c'}} and db.page_size == page_size


def test_both_meta_pages_damaged():
    raw = genuine.unpacked('volumes.db.gz')
    with pytest.raises(boltdb.BoltError) as failure:
        boltdb.open_db(zeroed(zeroed(raw, 0), 1))
    assert 'both of its meta pages' in str(failure.value)


def test_a_meta_page_without_checksum_serves_if_there_is_nothing_better():
    raw = boltwriter.encode({b'a': b'b'})
    unsigned = raw[:72] + b'\0' * 8 + raw[80:4096 + 72] + b'\0' * 8 + raw[4096 + 80:]
    db = boltdb.open_db(unsigned)
    assert as_dict(db.root) == {b'a': b'b'} and 'checksum' in db.warnings[0]
    newer = raw[:72] + b'\0' * 8 + raw[80:]
    assert boltdb.open_db(newer).txid == 7      # the signed one, although it is older


# ---- damage to the tree

def test_a_zeroed_leaf_costs_only_its_own_entries():
    raw = boltwriter.encode(many())
    hurt = zeroed(raw, page_of(raw, b'key-00100'))
    db = boltdb.open_db(hurt)
    assert len(db.damage) == 1 and 'filled with zeros' in str(db.damage[0]) and 'bucket b' in str(db.damage[0])
    assert any('filled with zeros' in warning for warning in db.warnings)
    bucket = db.root.bucket(b'b')
    errors = []
    found = dict(bucket.items(errors))
    assert len(errors) == 1
    lost = set(many()[b'b']) - set(found)
    assert b'key-00100' in lost and len(lost) < 150
    assert all(many()[b'b'][key] == value for key, value in found.items())
    with pytest.raises(boltdb.BoltError):
        list(bucket.items())
    with pytest.raises(boltdb.BoltError):
        bucket.get(b'key-00100')
    errors = []
    assert bucket.get(b'key-00100', errors) is None and len(errors) == 1
    assert bucket.get(b'key-00399') == b'value 399'
    assert db.root.bucket(b'c').get(b'k') == b'v'


def test_the_previous_commit_serves_when_the_newest_is_torn():
    raw = genuine.unpacked('volumes.db.gz')
    whole = boltdb.open_db(raw)
    only_newest = set()
    root = whole.root.bucket(b'volumes')._page
    only_newest.add(root)
    db = boltdb.open_db(zeroed(raw, root))
    assert db.txid == whole.txid - 1 and db.damage == []
    assert 'newest commit (transaction %d) is damaged' % whole.txid in db.warnings[0]
    assert db.trouble == db.warnings[0] and whole.trouble == ''
    assert len(list(db.root.bucket(b'volumes').items())) in (299, 300)


def test_an_older_commit_that_has_less_does_not_serve():
    raw = boltwriter.encode(many())     # its older commit is an empty database
    db = boltdb.open_db(zeroed(raw, page_of(raw, b'key-00100')))
    assert db.txid == 8 and db.damage and db.trouble == str(db.damage[0])


@pytest.mark.parametrize('name', GENUINE)
def test_a_truncated_file_gives_what_is_left(name):
    raw = genuine.unpacked(name)
    whole = as_dict(boltdb.open_db(raw).root)
    seen = set()
    for size in range(8192, len(raw), 3 * 4096 + 100):
        db = boltdb.open_db(raw[:size])
        errors = []
        seen.add(len(str(as_dict(db.root, errors))))
        if size < db.high_water * 4096:
            assert any('shorter than its high-water mark' in warning for warning in db.warnings)
        if as_dict(db.root, []) != whole:
            assert db.warnings
    assert len(seen) > 1


def test_a_file_may_end_anywhere():
    raw = genuine.unpacked('volumes.db.gz')
    whole = len(list(boltdb.open_db(raw).root.bucket(b'volumes').items()))
    for page in range(5, boltdb.open_db(raw).high_water):
        for more in (-1, 0, 1, 15, 16, 31):
            db = boltdb.open_db(raw[:page * 4096 + more])
            bucket = db.root.bucket(b'volumes', errors=[])
            found = len(list(bucket.items([]))) if bucket is not None else 0
            assert found == whole or db.warnings


def test_what_of_a_cut_page_is_left_is_delivered():
    raw = boltwriter.encode({b'%02d' % number: b'x' * 200 for number in range(15)})
    page = struct.unpack_from('<Q', raw, 32)[0]
    db = boltdb.open_db(raw[:page * 4096 + 2000])
    assert '7 of 15 entries' in str(db.damage[0])
    assert [key for key, value in db.root.items([])] == [b'%02d' % number for number in range(8)]


def test_an_overflow_that_reaches_too_far():
    raw = bytearray(boltwriter.encode({b'a': b'b'}))
    page = struct.unpack_from('<Q', raw, 32)[0]
    for overflow in (1, 2, 100, 0xffffffff):
        struct.pack_into('<I', raw, page * 4096 + 12, overflow)
        db = boltdb.open_db(bytes(raw))
        assert 'reaches beyond the end of the database' in str(db.damage[0])
        assert list(db.root.items([])) == [(b'a', b'b')]


def test_a_page_that_holds_something_else():
    raw = boltwriter.encode(many())
    page = page_of(raw, b'key-00100')
    other = page_of(raw, b'key-00300')
    stale = raw[:page * 4096] + raw[other * 4096:(other + 1) * 4096] + raw[(page + 1) * 4096:]
    db = boltdb.open_db(stale)
    assert 'page %d of bucket b holds something else' % page in str(db.damage[0])


def test_keys_out_of_order_are_reported_and_readable():
    raw = boltwriter.encode(many())
    db = boltdb.open_db(raw.replace(b'key-00100', b'key-99100'))
    assert 'out of order' in str(db.damage[0])
    assert b'key-99100' in dict(db.root.bucket(b'b').items())


@pytest.mark.parametrize('change', [
    lambda key: key[:-2] + b'zz',       # the keys of its page are too small for it
    lambda key: key[:-1] + b'z',        # only the first ones are
    lambda key: key[:-1] + bytes([key[-1] + 1]),
    lambda key: key[:-5] + b'00000',    # too large for the page before
    lambda key: b'key-%05d' % (int(key[4:]) - 1),   # only the last of the page before is
])
def test_a_wrong_separator_is_noticed(change):
    """A search would go astray although every page is in order of itself."""
    raw = boltwriter.encode(many())
    branch = next(page for page in range(5, len(raw) // 4096) if raw[page * 4096 + 8] == boltwriter.BRANCH)
    key = re.findall(b'key-[0-9]{5}', raw[branch * 4096:(branch + 1) * 4096])[2]
    start = raw.index(key, branch * 4096)
    db = boltdb.open_db(raw[:start] + change(key) + raw[start + 9:])
    assert any('out of order' in str(error) for error in db.damage)


@pytest.mark.parametrize('offset', [4, 0])
def test_one_damaged_entry_of_a_branch_costs_one_page(offset):
    """A key, or the start of it, that would lie outside of the page."""
    raw = bytearray(boltwriter.encode(many()))
    branch = next(page for page in range(5, len(raw) // 4096) if raw[page * 4096 + 8] == boltwriter.BRANCH)
    struct.pack_into('<I', raw, branch * 4096 + 16 + 16 * 2 + offset, 0x7ffffff0)
    db = boltdb.open_db(bytes(raw))
    assert '1 of %d entries of page %d' % (raw[branch * 4096 + 10], branch) in str(db.damage[0])
    assert 250 < len(dict(db.root.bucket(b'b').items([]))) < 400


def test_one_damaged_entry_costs_only_itself():
    raw = bytearray(boltwriter.encode({b'%03d' % number: b'x' for number in range(20)}))
    page = struct.unpack_from('<Q', raw, 32)[0]
    struct.pack_into('<I', raw, page * 4096 + 16 + 16 * 7 + 4, 0xfffffff0)
    struct.pack_into('<I', raw, page * 4096 + 16 + 16 * 8 + 12, 0xfffffff0)
    db = boltdb.open_db(bytes(raw))
    assert '2 of 20 entries of page %d' % page in str(db.damage[0])
    assert len(dict(db.root.items([]))) == 18
    assert db.root.get(b'003') == b'x'
    with pytest.raises(boltdb.BoltError):
        db.root.get(b'007')
    assert db.root.get(b'007', []) is None


# ---- hostile files

def leaf_page(number, flags, body, count, overflow=0):
    return struct.pack('<QHHI', number, flags, count, overflow) + body


def hostile(pages, page_size=4096, root=5, **changes):
    """A file whose page 5 and following are PAGES (raw bytes)."""
    raw = zeroed(boltwriter.encode({})[:5 * 4096], 1) + b''.join(page.ljust(page_size, b'\0') for page in pages)
    return with_meta(raw, root=root, high_water=changes.pop('high_water', 5 + len(pages)), **changes)


def walk_all(db):
    errors = []
    pending = [db.root]
    count = 0
    while pending:
        bucket = pending.pop()
        count += len(list(bucket.items(errors)))
        pending.extend(inner for key, inner in bucket.buckets(errors))
    return count, errors


def test_a_branch_that_leads_back_to_itself_ends():
    loop = leaf_page(5, 1, struct.pack('<IIQ', 32, 1, 5) + struct.pack('<IIQ', 17, 1, 5) + b'ab', 2)
    db = boltdb.open_db(hostile([loop]))
    assert 'used twice' in str(db.damage[0])
    assert walk_all(db)[0] == 0
    with pytest.raises(boltdb.BoltError):
        db.root.get(b'a')


def test_a_bucket_inside_of_itself_ends():
    body = struct.pack('<IIII', 1, 16, 1, 16) + b'b' + struct.pack('<QQ', 5, 0)
    db = boltdb.open_db(hostile([leaf_page(5, 2, body, 1)]))
    assert 'used twice' in str(db.damage[0])
    count, errors = walk_all(db)
    assert count <= boltdb.MAX_DEPTH + 1 and errors


def test_a_chain_of_inline_buckets_ends():
    value = struct.pack('<QHHI', 0, 2, 0, 0)
    for dummy in range(200):
        inner = struct.pack('<QQ', 0, 0) + value
        value = struct.pack('<QHHI', 0, 2, 1, 0) + struct.pack('<IIII', 1, 16, 1, len(inner)) + b'b' + inner
    page = struct.pack('<QHHI', 5, 2, 1, 3) + value[16:]
    db = boltdb.open_db(hostile([page.ljust(4 * 4096, b'\0')], high_water=9))
    assert db.damage
    assert walk_all(db)[0] <= boltdb.MAX_DEPTH + 1


def test_pages_that_overlap_are_not_read_again_and_again():
    pages = [leaf_page(5, 1, b''.join(struct.pack('<IIQ', 16 * (200 - number), 2, 6 + number) for number in range(200))
                       + b'xx', 200)]
    body = b''.join(struct.pack('<IIII', 0, 16, 1, 1) for dummy in range(255))
    pages += [leaf_page(6 + number, 2, body, 255, 200 - number) for number in range(200)]
    db = boltdb.open_db(hostile(pages))
    assert any('used twice' in str(error) for error in db.damage)
    assert walk_all(db)[0] < 1000


def test_values_that_overlap_do_not_multiply():
    count = 65535
    elements = b''.join(struct.pack('<IIII', 0, 16 * (count - number), 1, 1000000) for number in range(count))
    page = leaf_page(5, 2, elements + b'k' + b'v' * 1000000, count, 511)
    db = boltdb.open_db(hostile([page.ljust(512 * 4096, b'\0')], high_water=5 + 512))
    assert sum(len(value) for key, value in db.root.items([])) <= len(db.raw)
    assert 'entries of page 5' in str(db.damage[0])


def test_separators_that_overlap_do_not_multiply():
    count = 4000
    elements = b''.join(struct.pack('<IIQ', 16 * (count - number), 60000, 6) for number in range(count))
    page = leaf_page(5, 1, elements + b's' * 60000, count, 31)
    db = boltdb.open_db(hostile([page.ljust(32 * 4096, b'\0')], high_water=5 + 32))
    kind, found, trouble = boltdb._read_page(db.root, 5)
    assert sum(len(key) for key, child in found) <= 32 * 4096
    assert '3999 of 4000 entries' in str(trouble)


@pytest.mark.parametrize('page', [1, 6, 7, 2 ** 63, 2 ** 64 - 1])
def test_a_bucket_whose_page_does_not_exist(page):
    body = struct.pack('<IIII', 1, 32, 1, 16) + struct.pack('<IIII', 0, 33, 1, 1) \
        + b'a' + struct.pack('<QQ', page, 0) + b'bv'
    db = boltdb.open_db(hostile([leaf_page(5, 2, body, 2)]))
    assert [str(error) for error in db.damage] == ['page %d of bucket a is outside of the database' % page]
    assert db.root.get(b'b') == b'v'


def test_long_names_of_buckets_do_not_multiply():
    """A huge key with many damaged buckets below it: messages show its beginning."""
    inner = struct.pack('<QHHI', 0, 2, 100, 0)
    for number in range(100):
        inner += struct.pack('<IIII', 1, 16 * (100 - number) + 18 * number, 2, 16)
    for number in range(100):
        inner += b'%02d' % number + struct.pack('<QQ', 999, 0)
    value = struct.pack('<QQ', 0, 0) + inner
    body = struct.pack('<IIII', 1, 16, 30000, len(value)) + b'k' * 30000 + value
    db = boltdb.open_db(hostile([leaf_page(5, 2, body, 1, 8).ljust(9 * 4096, b'\0')], high_water=14))
    assert len(db.damage) == 100
    assert max(len(str(error)) for error in db.damage) < 300


def test_the_list_of_errors_does_not_grow_without_end():
    body = b''.join(struct.pack('<IIQ', 16 * (250 - number), 1, 4096) for number in range(250)) + b'x'
    pages = [leaf_page(5, 1, b''.join(struct.pack('<IIQ', 16 * (200 - number), 1, 6 + number) for number in range(200))
                       + b'x', 200)]
    pages += [leaf_page(6 + number, 1, body, 250) for number in range(200)]
    db = boltdb.open_db(hostile(pages, high_water=5000))
    assert len(db.damage) == boltdb.MAX_ERRORS
    assert any('at least 1000 damaged places' in warning for warning in db.warnings)


@pytest.mark.parametrize('name', GENUINE)
def test_random_damage_is_survived(name):
    raw = genuine.unpacked(name)
    used = boltdb.open_db(raw).high_water * 4096
    started = time.time()
    for seed in range(60):
        rng = random.Random(seed)
        hurt = bytearray(raw)
        for dummy in range(rng.choice([1, 1, 3, 30])):
            start = rng.randrange(used)
            kind = rng.randrange(4)
            if kind == 0:
                hurt[start] ^= 1 << rng.randrange(8)
            elif kind == 1:
                hurt[start:start + 512] = bytes(len(hurt[start:start + 512]))
            elif kind == 2:
                hurt[start:start + 4] = struct.pack('<I', rng.getrandbits(32))
            else:
                source = rng.randrange(used)
                hurt[start:start + 64] = hurt[source:source + 64]
        try:
            db = boltdb.open_db(bytes(hurt[:rng.choice([len(hurt), len(hurt), rng.randrange(len(hurt))])]))
        except boltdb.BoltError:
            continue
        count, errors = walk_all(db)
        if not db.damage:
            assert errors == [], seed
            assert sum(1 for item in db.root.items()) >= 0
        for key, dummy in list(db.root.items([])):
            db.root.get(key, [])
    assert time.time() - started < 60
