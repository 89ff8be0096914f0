"""Logs in the format of CRI, as conmon and containerd write them."""
import io

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import containerlogs

STAMP = b'2026-11-27T16:55:21.628942718'


def read(*parts):
    counters = containerlogs.Counters()
    return [(item.stream, item.data) for item in containerlogs.cri_records([io.BytesIO(part) for part in parts], counters)], counters


def test_whole_and_partial_lines_of_both_writers():
    raw = b''.join(STAMP + zone + b' ' + rest for zone, rest in ((b'+00:00', b'stdout P first '), (b'Z', b'stdout F'))).replace(b'P first ', b'P first \n', 1)
    found, counters = read(raw + b' second\n' + STAMP + b'+02:00 stderr F \n' + STAMP + b'Z stdout F:x tagged\n')
    assert found == [('stdout', b'first '), ('stdout', b'second\n'), ('stderr', b'\n'), ('stdout', b'tagged\n')]
    assert (counters.records, counters.damaged) == (4, 0)


def test_times_are_shown_in_utc():
    record, = containerlogs.cri_records([io.BytesIO(b'2026-11-27T16:55:21.5+02:00 stdout F x\n')])
    assert containerlogs.render(record) == b'2026-11-27T14:55:21.500000000Z x\n'


def test_nul_bytes_of_a_power_cut_are_skipped_and_those_of_the_container_are_kept():
    found, counters = read(STAMP + b'Z stdout F a\0b\n' + b'\0' * 4096 + STAMP + b'Z stdout F c\n')
    assert found == [('stdout', b'a\0b\n'), ('stdout', b'c\n')] and counters.skipped_bytes == 4096 and counters.damaged == 0


def test_what_is_no_record_is_counted():
    found, counters = read(b'garbage\n' + STAMP + b'Z stdout F x\n' + STAMP + b'Z std', b'y' * (2 << 20))
    assert found == [('stdout', b'x\n')] and counters.damaged >= 3
