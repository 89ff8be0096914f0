"""The log of raft as etcd writes it: checksums from record to record, torn ends, entries that were written again."""
import io

import deadswarm
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import protobuf, raftwal


def made(tmp_path, *requests):
    return deadswarm.Node(tmp_path).begin().entries(*requests)


def read(*logs, after=0):
    return raftwal.Log().read([io.BytesIO(log) for log in logs], after)


def numbers(log):
    return [entry.number for entry in log.entries]


def test_crc32c_of_the_rfc():
    """RFC 3720, B.4."""
    assert raftwal.crc32c(bytes(32)) == 0x8a9136aa
    assert raftwal.crc32c(b'6789', raftwal.crc32c(b'12345')) == raftwal.crc32c(b'123456789') == 0xe3069283


def test_a_whole_log_with_zeros_behind_it(tmp_path):
    log = read(made(tmp_path, b'a', b'b').log + bytes(5000))
    assert (numbers(log), log.commit, log.torn, log.damage) == ([1, 2], 2, False, '')


def test_only_what_is_behind_the_snapshot(tmp_path):
    assert numbers(read(made(tmp_path, b'a', b'b', b'c').log, after=2)) == [3]


def test_an_end_that_is_cut_anywhere_loses_only_its_last_records(tmp_path):
    node = made(tmp_path, b'a')
    whole = len(node.log)
    raw = node.entries(b'b').log
    for end in range(whole + 1, len(raw)):
        log = read(raw[:end])
        assert log.damage == '' and numbers(log) in ([1], [1, 2]), end
        if numbers(log) == [1] and end % 8:
            assert log.torn


def test_an_empty_sector_in_the_last_record_is_a_torn_write(tmp_path):
    node = made(tmp_path, b'a')
    before = len(node.log)
    node.entries(bytes([7]) * 3000)
    torn = bytearray(node.log)
    torn[before + 1024 - before % 512:before + 1536 - before % 512] = bytes(512)
    log = read(bytes(torn))
    assert (numbers(log), log.torn, log.damage) == ([1], True, '')


def test_damage_in_the_middle_is_no_torn_write(tmp_path):
    node = made(tmp_path, b'a')
    raw = bytearray(node.entries(b'b' * 50, b'c').log)
    raw[raw.index(b'who') + 1] ^= 1
    log = read(bytes(raw))
    assert (numbers(log), log.torn) == ([], False) and 'checksum' in log.damage


def test_checksums_go_on_over_segments(tmp_path):
    node = made(tmp_path, b'a')
    first = node.log
    node.write_log()
    second = node.entries(b'b').log
    assert numbers(read(first + bytes(100), second)) == [1, 2]
    foreign = deadswarm.Node(tmp_path / 'other').begin().write_log().entries(b'b', at=2).log
    assert 'go on' in read(first, foreign).damage


def test_a_torn_record_in_an_older_segment_is_damage(tmp_path):
    node = made(tmp_path, b'a')
    first = node.log
    node.write_log()
    assert read(first[:-9], node.entries(b'b').log).damage != ''


def test_entries_that_were_written_again_replace_the_old_ones(tmp_path):
    log = read(made(tmp_path, b'a', b'b', b'c').entries(b'new', at=2).log)
    assert numbers(log) == [1, 2]
    assert log.entries[1].data != log.entries[0].data


def test_a_gap_is_damage(tmp_path):
    log = read(made(tmp_path, b'a').entries(b'x', at=5).log)
    assert numbers(log) == [1] and 'missing' in log.damage


@pytest.mark.parametrize('raw', [b'\xff' * 8, b'\xff' * 4096, (1 << 40).to_bytes(8, 'little') + bytes(64), b'garbage!' * 100])
def test_garbage_is_said_and_takes_no_memory(raw):
    log = read(raw)
    assert log.entries == [] and (log.damage or log.torn)


def test_segments_in_their_order_from_the_last_gap_on():
    names = [b'%016x-%016x.wal' % pair for pair in ((0, 0), (1, 90), (3, 300), (4, 400))] + [b'0.tmp', b'x.wal']
    assert raftwal.segments(names) == names[2:4]
    assert raftwal.needed(names[2:4], 350) == names[2:3] + names[3:4]
    assert raftwal.needed(names[2:4], 399) == names[3:4]
    assert raftwal.begins_after(names[2]) == 299


def test_a_snapshot_and_its_checksum(tmp_path):
    data = deadswarm.message((1, b'state'), (2, deadswarm.message((2, 12), (3, 4))))
    raw = deadswarm.message((1, raftwal.crc32c(data)), (2, data))
    assert raftwal.snapshot(raw) == raftwal.Snapshot(12, 4, b'state')
    for damaged in (b'', raw[:-1], raw[:-1] + b'x', deadswarm.message((1, 0))):
        with pytest.raises(protobuf.Damaged):
            raftwal.snapshot(damaged)
