"""What etcd would say that it has: its file, and the entries of its log behind it, applied in their order."""
import io
import struct

import boltwriter
import deadetcd
import pytest
from deadetcd import COMPACTION, DELETE, GRANT, REVOKE, TXN, put, request
from deadswarm import message

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb, boltwrite, etcdstate, raftwal


def made(*requests, alone=True, commit=True, first=6, **more):
    """(state, sentences on what is missing) after these entries."""
    state = etcdstate.State(boltdb.open_db(boltwriter.encode(deadetcd.buckets(**more))))
    log = raftwal.Log().read([io.BytesIO(deadetcd.Log(first).entries(*requests, commit=commit).bytes())], state.index)
    return state, state.replay(log, alone)


def values(state):
    return {key.decode(): etcdstate.Message(found.stored).raw(5).decode() for key, found in state.keys.items()}


def test_the_newest_revision_counts_and_what_was_deleted_is_not_there():
    state, missing = made()
    assert (values(state), state.revision, missing) == ({'a': 'two', 'c': 'leased'}, 5, [])
    assert state.keys[b'a'][:4] == (2, 5, 2, 0) and state.keys[b'c'].lease == 7


def test_entries_that_the_file_has_already_are_not_applied_again():
    state, missing = made(put('a', 'old'), put('a', 'new'), first=5)
    assert (values(state)['a'], state.keys[b'a'].version, state.applied, missing) == ('new', 3, 1, [])


def test_puts_and_deletes_make_revisions():
    state, missing = made(put('b', 'again'), request(DELETE, (1, 'a'), (2, 'c')), request(DELETE, (1, 'nothing')), put('a', 'x'), b'')
    assert (values(state), state.revision, state.index, missing) == ({'a': 'x', 'c': 'leased'}, 8, 10, [])
    assert state.keys[b'a'][:3] == (8, 8, 1), 'it was made anew'
    assert {deadetcd.revision(7, 0, b't'), deadetcd.revision(7, 1, b't')} <= set(state.buckets[b'key'])
    assert struct.unpack('>Q', state.buckets[b'meta'][b'consistent_index']) == (10,)


def test_all_keys_from_one_on():
    state, dummy = made(request(DELETE, (1, b'\0'), (2, b'\0')))
    assert values(state) == {} and state.revision == 6


def test_a_put_that_keeps_what_was_there_needs_it():
    state, dummy = made(put('c', '', (5, 1), (3, 0)), put('a', 'three', (6, 1)), put('new', '', (5, 1)), put('new', 'x', (3, 99)))
    assert values(state) == {'a': 'three', 'c': 'leased'} and state.revision == 7
    assert state.keys[b'c'].lease == 0


def test_a_lease_ends_with_its_keys():
    state, dummy = made(request(GRANT, (1, 60), (2, 9)), put('d', 'x', (3, 9)), request(REVOKE, (1, 9)), request(REVOKE, (1, 9)), request(REVOKE, (1, 7)))
    assert values(state) == {'a': 'two'} and state.revision == 8 and state.buckets[b'lease'] == {}


@pytest.mark.parametrize('comparison, holds', [
    (((1, 0), (2, 3), (3, 'a'), (7, 'two')), True), (((1, 1), (2, 3), (3, 'a'), (7, 'two')), False), (((1, 0), (2, 3), (3, 'none'), (7, '')), False),
    (((1, 0), (2, 1), (3, 'none'), (5, 0)), True), (((1, 0), (2, 2), (3, 'a'), (6, 5)), True), (((1, 1), (2, 0), (3, 'a'), (4, 1)), True),
    (((1, 2), (2, 0), (3, 'a'), (4, 2)), False), (((1, 3), (2, 4), (3, 'c'), (8, 7)), False), (((1, 0), (2, 1), (3, 'a'), (64, 'd'), (5, 2)), False)])
def test_a_transaction_takes_the_branch_of_its_comparisons(comparison, holds):
    branch = [message((2, message((1, 'yes'), (2, '1')))), message((3, message((1, 'a'))))]
    state, missing = made(request(TXN, (1, message(*comparison)), (2, branch), (3, message((2, message((1, 'no'), (2, '1')))))))
    assert (('yes' in values(state)), ('a' in values(state)), ('no' in values(state))) == (holds, not holds, not holds), missing
    assert state.revision == 6, 'a transaction is one revision'


def test_a_transaction_is_refused_as_a_whole():
    state, dummy = made(request(TXN, (2, [message((2, message((1, 'x'), (2, '1')))), message((2, message((1, 'y'), (3, 99))))])))
    assert 'x' not in values(state) and state.revision == 5


def test_comparisons_of_inner_transactions_see_the_state_before():
    inner = message((1, message((1, 0), (2, 3), (3, 'a'), (7, 'two'))), (2, message((2, message((1, 'inner'), (2, '1'))))))
    state, dummy = made(request(TXN, (2, [message((2, message((1, 'a'), (2, 'changed')))), message((4, inner))])))
    assert values(state) == {'a': 'changed', 'c': 'leased', 'inner': '1'}


def test_a_compaction_is_left_to_etcd():
    state, dummy = made(request(COMPACTION, (1, 4)), request(COMPACTION, (1, 999)))
    assert state.buckets[b'meta'][b'scheduledCompactRev'] == deadetcd.revision(4) and values(state)['a'] == 'two'


@pytest.mark.parametrize('entry, more, words', [
    (put('a', 'x'), {'auth': {b'authEnabled': b'\x01'}}, 'authentication is on'), (put('a', 'x'), {'alarm': {b'\x08\x01\x10\x01': b''}}, 'an alarm'),
    (request(1100, (1, 'root')), {}, 'users or roles'), (request(deadetcd.ALARM, (1, 1)), {}, 'an alarm was raised'),
    (b'\x22\xff', {}, 'cut'), (request(TXN, (1, message((1, 9), (3, 'a')))), {}, 'a comparison')])
def test_what_is_not_understood_is_not_applied_and_is_said(entry, more, words):
    state, missing = made(put('before', '1') if not more else b'', entry, put('a', 'later'), **more)
    assert values(state)['a'] == 'two' and state.applied == 1
    assert len(missing) == 1 and 'the last 2 entries of its write-ahead log are not in it' in missing[0] and words in missing[0]


def test_entries_of_others_count_once_they_are_confirmed():
    state, missing = made(put('a', 'x'), alone=False)
    assert (values(state)['a'], missing) == ('x', [])
    state, missing = made(put('a', 'x'), put('a', 'y'), alone=False, commit=False)
    assert values(state)['a'] == 'two' and '2 entries' in missing[0] and 'other members' in missing[0]
    state, missing = made(put('a', 'x'), alone=True, commit=False)
    assert (values(state)['a'], missing) == ('x', []), 'nobody else has to confirm them'


def test_a_gap_before_the_log_is_said():
    state, missing = made(put('a', 'x'), first=9)
    assert values(state)['a'] == 'two' and 'entries 6 to 8' in missing[0]


@pytest.mark.parametrize('entry, old', [
    (message((1, 5), (2, 'PUT'), (3, '/1/k'), (4, 'v')), True), (message((100, b''), (2, message((1, 5), (2, 'PUT'), (3, '/1/k')))), True),
    (message((1, 5), (2, 'PUT'), (3, '/0/members/x'), (4, 'v')), False), (put('/1/', '/1/'), False)])
def test_keys_of_the_old_api_are_seen(entry, old):
    state, missing = made(entry)
    assert state.old_api is old and missing == []


def test_it_is_written_with_everything_and_read_again():
    state, dummy = made(put('z', 'last'))
    source = boltdb.open_db(boltwriter.encode(deadetcd.buckets()))
    again = etcdstate.State(boltdb.open_db(b''.join(state.pieces(source))))
    assert again.keys == state.keys and again.buckets == state.buckets and again.errors == []


def test_a_file_without_its_buckets_is_no_etcd():
    with pytest.raises(boltdb.BoltError, match='no bucket key'):
        etcdstate.State(boltdb.open_db(boltwriter.encode({b'other': {}})))


def test_a_revision_with_a_strange_name_is_damage():
    tree = deadetcd.buckets()
    tree[b'key'][b'short'] = b'\x0a\x01a'
    state = etcdstate.State(boltdb.open_db(boltwriter.encode(tree)))
    assert len(state.errors) == 1 and values(state)['a'] == 'two'


def test_more_keys_than_a_page_can_count():
    entries = {struct.pack('>Q', number): b'%d' % number for number in range(boltwrite.MAX_KEYS + 1)}
    raw = boltwrite.encode(boltwrite.Tree({b'b': boltwrite.Tree(entries)}), 4096)
    database = boltdb.open_db(raw)
    bucket = database.root.bucket(b'b')
    assert database.damage == [] and len(list(bucket.items())) == len(entries) and bucket.get(struct.pack('>Q', 64000)) == b'64000'
