"""What is written anew is what was read: keys, values, buckets in buckets, sequences, page size. And what is damaged is seen."""
import struct

import boltwriter
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltcheck, boltdb, boltwrite

SAMPLE = boltwrite.Tree({
    b'v1': boltwrite.Tree({b'moby': boltwrite.Tree({b'key-%04d' % each: b'value' * each for each in range(300)}, 42), b'plain': b''}, 7),
    b'large': b'x' * 100000, b'empty': boltwrite.Tree({}, 9)}, 3)


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('page_size', [4096, 16384, 65536])
def test_what_is_written_is_read_again(page_size, order):
    raw = boltwrite.encode(SAMPLE, page_size, order, 12)
    assert boltcheck.judge(raw).state == boltcheck.GOOD
    db = boltdb.open_db(raw)
    assert (db.page_size, db.order, db.txid, db.warnings) == (page_size, order, 12, [])
    assert boltwrite.tree_of(db.root) == SAMPLE
    assert boltcheck.geometry(raw) == (page_size, order)


def test_both_meta_pages_lead_to_the_same_tree():
    raw = bytearray(boltwrite.encode(SAMPLE, 4096))
    raw[20:24] = b'\0' * 4              # the version of meta page 0
    assert boltwrite.tree_of(boltdb.open_db(bytes(raw)).root) == SAMPLE


@pytest.fixture
def file():
    return bytearray(boltwriter.encode({b'volumes': {b'v%03d' % each: b'{"Name":"v%03d"}' % each for each in range(200)}}))


def freelist(raw):
    return boltdb.open_db(bytes(raw)).freelist * 4096


def test_a_whole_file_is_good(file):
    assert boltcheck.judge(bytes(file))[:2] == (boltcheck.GOOD, '')


@pytest.mark.parametrize('damage', [
    lambda raw, at: raw.__setitem__(slice(at, at + 16), b'\0' * 16),
    lambda raw, at: struct.pack_into('<Q', raw, at + 16, 1 << 40),
    lambda raw, at: struct.pack_into('<H', raw, at + 10, 5000),
    lambda raw, at: struct.pack_into('<I', raw, at + 12, 1 << 31),      # bbolt frees that many pages, one by one
    lambda raw, at: struct.pack_into('<Q', raw, at + 24, 5)])           # a page that holds data
def test_a_bad_list_of_free_pages_is_seen_and_nothing_is_lost(file, damage):
    before = boltwrite.tree_of(boltdb.open_db(bytes(file)).root)
    damage(file, freelist(file))
    verdict = boltcheck.judge(bytes(file))
    assert verdict.state == boltcheck.FREE_LIST
    again = boltwrite.encode(boltwrite.tree_of(verdict.db.root), verdict.db.page_size, verdict.db.order)
    assert boltcheck.judge(again).state == boltcheck.GOOD
    assert boltwrite.tree_of(boltdb.open_db(again).root) == before


def test_the_tree_before_the_last_transaction_is_offered(file):
    root = 5                            # the first page of the newer tree, see the writer
    file[root * 4096:(root + 1) * 4096] = b'\xff' * 4096
    verdict = boltcheck.judge(bytes(file))
    assert verdict.state == boltcheck.OLDER
    assert boltwrite.tree_of(verdict.db.root) == boltwrite.Tree({})


def test_without_meta_pages_leaf_pages_are_still_found(file):
    file[:2 * 4096] = b'\0' * 8192
    assert boltcheck.judge(bytes(file)).state == boltcheck.DAMAGED
    found = dict(boltcheck.salvage(bytes(file)))
    assert {key: value for key, value in found.items() if key.startswith(b'v')} == {
        b'v%03d' % each: b'{"Name":"v%03d"}' % each for each in range(200)}


@pytest.mark.parametrize('raw', [b'', b'\0' * 40000, b'garbage' * 5000])
def test_files_that_hold_nothing(raw):
    assert boltcheck.judge(raw).state == boltcheck.DAMAGED
    assert list(boltcheck.salvage(raw)) == []


def test_a_file_that_was_cut_behind_its_data(file):
    whole = boltwrite.tree_of(boltdb.open_db(bytes(file)).root)
    tail = boltwrite.encode(whole, 4096)
    cut = bytearray(tail + b'\0' * 8192)
    for page in (0, 1):                 # as if two free pages had followed
        body = bytearray(cut[page * 4096 + 16:page * 4096 + 72])
        struct.pack_into('<Q', body, 40, len(tail) // 4096 + 2)
        cut[page * 4096 + 16:page * 4096 + 80] = bytes(body) + struct.pack('<Q', boltdb.fnv1a(bytes(body)))
    assert boltcheck.judge(bytes(cut)).state == boltcheck.GOOD
    verdict = boltcheck.judge(bytes(cut[:-8192]))
    assert verdict.state == boltcheck.FREE_LIST and boltwrite.tree_of(verdict.db.root) == whole
