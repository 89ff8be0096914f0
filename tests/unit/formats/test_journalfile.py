"""Journal files that systemd wrote, whole and damaged, against what journalctl says of them."""
import os
import random
import shutil
import struct
import subprocess
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compress
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared import hostjournal
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import journal, journalhash
from ansible_collections.lifeboat.docker.tests.fixtures import journals
from ansible_collections.lifeboat.docker.tests.fixtures.journals import MATCH, OTHER, SINGLE

SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)


def opened(raw):
    return journal.JournalFile(lambda size, offset: raw[offset:offset + size], lambda: len(raw))


def read(raw, match=MATCH):
    """(entries with all fields unpacked, the file)."""
    found = opened(raw)
    entries = []
    for entry in found.read(match):
        fields = [compress.unpack_frames([field])[0] if isinstance(field, journal.Packed) else field for field in entry.fields]
        entries.append(entry._replace(fields=[field for field in fields if field is not None]))
    return [entry for entry in entries if match in entry.fields], found


def row(entry):
    values = dict(field.split(b'=', 1) for field in entry.fields)
    message = values.get(b'MESSAGE', b'')
    return (entry.realtime, values[b'_UID'].decode(), values[b'PRIORITY'].decode(), b'CONTAINER_PARTIAL_MESSAGE' in values, len(message),
            journals.digest(message))


@pytest.mark.parametrize('name', SINGLE)
def test_entries_are_what_journalctl_says(name):
    entries, found = read(journals.load(name))
    assert [row(entry) for entry in entries] == journals.expected(name)
    assert (found.damage, found.scanned) == ({}, False)
    assert found.count(MATCH) == len(entries)


@pytest.mark.parametrize('name', SINGLE)
def test_nothing_but_what_is_asked_for_is_read(name):
    for match in (MATCH, OTHER):
        entries = read(journals.load(name), match)[0]
        assert entries and all(match in entry.fields for entry in entries)
    assert read(journals.load(name), b'CONTAINER_ID_FULL=' + b'c' * 64)[0] == []


@pytest.mark.parametrize('name', SINGLE)
def test_one_container_takes_a_small_part_of_the_file(name):
    """The index is used: a journal of 128 MiB is not read for ten lines."""
    raw, seen = journals.load(name), []
    found = journal.JournalFile(lambda size, offset: (seen.append(size), raw[offset:offset + size])[1], lambda: len(raw))
    assert list(found.read(b'MESSAGE=line 3'))
    assert sum(seen) < 32768


@pytest.mark.parametrize('name', SINGLE)
def test_without_the_hash_table_the_objects_are_read(name):
    raw = bytearray(journals.load(name))
    table, size = struct.unpack_from('<QQ', raw, 104)
    for wrong in (b'\xff' * size, b''.join([struct.pack('<QQ', table, table)] * (size // 16))):
        raw[table:table + size] = wrong
        entries, found = read(bytes(raw))
        assert [row(entry) for entry in entries] == journals.expected(name)
        assert found.scanned


@pytest.mark.parametrize('name', SINGLE)
def test_a_hash_table_that_was_never_written_does_not_say_that_nothing_is_there(name):
    """A cut of the power may leave zeros."""
    raw = bytearray(journals.load(name))
    table, size = struct.unpack_from('<QQ', raw, 104)
    raw[table:table + size] = bytes(size)
    entries, found = read(bytes(raw))
    assert found.scanned and [row(entry) for entry in entries] == journals.expected(name)


@pytest.mark.parametrize('name', SINGLE)
def test_a_cycle_in_the_arrays_ends(name):
    raw = bytearray(journals.load(name))
    arrays = [place for place in range(0, len(raw) - 24, 8) if raw[place] == 6 and raw[place + 1:place + 8] == bytes(7)
              and 24 < struct.unpack_from('<Q', raw, place + 8)[0] < 4096]
    assert len(arrays) > 3
    for place in arrays:
        struct.pack_into('<Q', raw, place + 16, arrays[0])
    entries, found = read(bytes(raw))
    assert [row(entry) for entry in entries] == journals.expected(name)
    assert found.scanned


@pytest.mark.parametrize('name', SINGLE)
def test_an_index_that_leads_to_others_gives_nothing_of_them(name):
    """Exchange what two DATA objects lead to: the journal then says that all lines of the other are ours."""
    raw = bytearray(journals.load(name))
    payload = 72 if raw[12] & journal.COMPACT else 64
    ours, others = (bytes(raw).index(match) - payload for match in (MATCH, OTHER))
    raw[ours + 40:ours + 64], raw[others + 40:others + 64] = raw[others + 40:others + 64], raw[ours + 40:ours + 64]
    entries, found = read(bytes(raw))
    assert all(MATCH in entry.fields for entry in entries)
    assert not any(b'secret' in field for entry in entries for field in entry.fields)
    assert found.damage


@pytest.mark.parametrize('name', SINGLE)
def test_a_cut_file_gives_what_is_before_the_cut(name):
    raw = journals.load(name)
    whole = journals.expected(name)
    tail = struct.unpack_from('<Q', raw, 136)[0]
    begin = struct.unpack_from('<Q', raw, 88)[0] + sum(struct.unpack_from('<Q', raw, place)[0] for place in (112, 128)) + 64
    before = 0
    for part in range(1, 10):
        entries, found = read(raw[:begin + (tail - begin) * part // 10])
        rows = [row(entry) for entry in entries if not entry.lost]
        assert rows == whole[:len(rows)] and len(rows) >= before
        assert found.scanned
        before = len(rows)
    assert before > len(whole) // 2


@pytest.mark.parametrize('name', SINGLE)
def test_pages_that_were_never_written_lose_no_more_than_what_was_in_them(name):
    raw = journals.load(name)
    whole, tail = journals.expected(name), struct.unpack_from('<Q', raw, 136)[0]
    data, size = struct.unpack_from('<QQ', raw, 104)
    bucket = data + opened(raw).hash(MATCH) % (size // 16) * 16
    most = []
    for page in {bucket // 4096 * 4096} | set(range(4096 * ((data + size) // 4096), tail, 4096 if SOAK else 8192)):
        entries, found = read(raw[:page] + bytes(4096) + raw[page + 4096:])
        rows = [row(entry) for entry in entries if not entry.lost]
        assert len(rows) == len(whole) or found.scanned or found.damage
        assert set(rows) <= set(whole) or found.damage
        most.append(len(rows))
    assert sorted(most)[len(most) // 2] > len(whole) // 2


def test_a_file_whose_end_is_not_in_its_header_is_read_to_its_end():
    raw = bytearray(journals.load('compact-zstd'))
    first = bytes(raw).index(b'MESSAGE=line 5') - 72
    struct.pack_into('<Q', raw, 136, first)             # the header is older than the objects
    table, size = struct.unpack_from('<QQ', raw, 104)
    raw[table:table + size] = bytes(size)               # and so is the index
    entries, found = read(bytes(raw))
    assert [row(entry) for entry in entries] == journals.expected('compact-zstd')


def test_a_giant_with_holes_ends(monkeypatch):
    raw = journals.load('lz4')
    hurt = raw[:104] + bytes(32) + raw[136:]            # no hash tables
    monkeypatch.setattr(journal, 'MAX_SCAN', 64 << 20)
    found = journal.JournalFile(lambda size, offset: hurt[offset:offset + size].ljust(size, b'\0'), lambda: 1 << 62)
    assert len(list(found.read(MATCH))) == len(journals.expected('lz4'))
    assert found.damage == {'parts that were not read, because the file is too large': 1}


@pytest.mark.parametrize('name, value', [('MAX_ENTRIES', 5), ('MAX_TOTAL', 5000), ('MAX_ENTRY', 100), ('MAX_STEPS', 50), ('MAX_ITEMS', 2)])
def test_every_bound_is_named(monkeypatch, name, value):
    raw = bytearray(journals.load('lz4'))
    if name == 'MAX_STEPS':
        raw[104:136] = bytes(32)
    monkeypatch.setattr(journal, name, value)
    entries, found = read(bytes(raw))
    assert found.damage and len([entry for entry in entries if not entry.lost]) < len(journals.expected('lz4'))


@pytest.mark.parametrize('change, said', [
    (lambda raw: raw[:100], 'not a journal'), (lambda raw: b'', 'not a journal'), (lambda raw: b'x' * 5000, 'not a journal'),
    (lambda raw: raw[:12] + b'\x40' + raw[13:], 'newer version'), (lambda raw: raw[:88] + struct.pack('<Q', 1 << 60) + raw[96:], 'header'),
    (lambda raw: raw[:88] + struct.pack('<Q', 8) + raw[96:], 'header')])
def test_what_is_no_journal_is_said(change, said):
    with pytest.raises(journal.JournalError, match=said):
        opened(change(journals.load('xz')))


@pytest.mark.parametrize('name', SINGLE)
def test_random_damage_neither_hangs_nor_raises(name):
    """Bytes, runs of zeros, numbers that lie, cuts: every entry that comes has the field that was asked for."""
    original = journals.load(name)[:4 << 20]
    tail = struct.unpack_from('<Q', original, 136)[0]
    used = tail + 4096
    rng = random.Random(name)
    for dummy in range(3 + 300 * SOAK):
        raw = bytearray(original[:used])
        for dummy in range(rng.choice((1, 3, 30))):
            last = len(raw) - 1
            place = rng.choice((rng.randrange(256), rng.randrange(last), rng.randrange(min(tail * 2 // 3, last - 1), last)))
            kind = rng.randrange(4)
            if kind == 0:
                raw[place] = rng.randrange(256)
            elif kind == 1:
                raw[place:place + 64] = bytes(len(raw[place:place + 64]))
            elif kind == 2 and place < len(raw) - 8:
                struct.pack_into('<Q', raw, place // 8 * 8, rng.choice((0, 1, 8, 256, tail, used, 1 << 31, 1 << 63, (1 << 64) - 1)))
            elif rng.random() < .2:
                del raw[place:]
            if len(raw) < 300:
                break
        begun = time.process_time()
        try:
            entries = read(bytes(raw))[0]
        except journal.JournalError:
            continue
        assert all(MATCH in entry.fields for entry in entries)
        assert time.process_time() - begun < 20


REMOTE = '/lib/systemd/systemd-journal-remote'
LAYOUTS = [{}, {'SYSTEMD_JOURNAL_COMPACT': '0'}, {'SYSTEMD_JOURNAL_KEYED_HASH': '0'}, {'SYSTEMD_JOURNAL_COMPRESS': 'LZ4'},
           {'SYSTEMD_JOURNAL_COMPRESS': 'XZ', 'SYSTEMD_JOURNAL_COMPACT': '0', 'SYSTEMD_JOURNAL_KEYED_HASH': '0'}]


@pytest.mark.soak             # with LIFEBOAT_SOAK
@pytest.mark.parametrize('seed', range(5 * SOAK))
def test_random_journals_are_what_journalctl_says(seed, tmp_path):
    """Of systemd-journal-remote: lines of all sizes, binary ones, of several containers, in several files."""
    program = os.environ.get('LIFEBOAT_JOURNAL_REMOTE') or REMOTE
    if not os.path.exists(program) or not shutil.which('journalctl'):
        pytest.skip('there is no systemd-journal-remote')
    rng, idents = random.Random(seed), [b'%064x' % number for number in range(4)]
    for number in range(3):
        env = dict(os.environ, **LAYOUTS[(seed + number) % len(LAYOUTS)])
        subprocess.run([program, '-o', str(tmp_path / ('%d.journal' % number)), '-'], input=random_export(rng, idents), env=env, check=True)
    for ident in idents:
        match = b'CONTAINER_ID_FULL=' + ident
        said = subprocess.run(['journalctl', '-D', str(tmp_path), '-o', 'export', '--all', match.decode()], stdout=subprocess.PIPE, check=True).stdout
        log = hostjournal.log_of(FakeDisk(str(tmp_path)), hostjournal.Whose(match, 'web', None, True, (), 0), 'journald')[0]
        ours, problems = [], []
        records = list(log.journal.read(compress.unpack_frames, ours.append, problems))
        assert parsed(b''.join(ours)) == parsed(said)
        again = str(tmp_path / 'again' / (ident[-1:].decode() + '.journal'))
        os.makedirs(os.path.dirname(again), exist_ok=True)
        subprocess.run([program, '-o', again, '-'], input=b''.join(ours), check=True)
        assert parsed(subprocess.run(['journalctl', '--file', again, '-o', 'export', '--all'], stdout=subprocess.PIPE, check=True).stdout) == parsed(said)
        assert len(records) == len(ours) > 50 and 'LOG_DAMAGED' not in [item.code for item in problems]


class FakeDisk(object):
    """/var/log/journal is a folder, and nothing else is there."""

    def __init__(self, path):
        self.path = os.fsencode(path)

    def resolve(self, path):
        if path != hostjournal.FOLDERS[0]:
            raise FileNotFoundError(path)
        return self.path


def random_export(rng, idents):
    moment, parts = 1700000000000000 + rng.randrange(1000), []
    boot = b'%032x' % rng.getrandbits(128)
    for number in range(500):
        moment += rng.randrange(1, 5000000)
        size = rng.choice((0, 1, 30, 100, 511, 512, 600, 3000, 20000))
        message = b'%d ' % number + (bytes(rng.choice(b'abc xyz') for dummy in range(size)) if rng.random() < .7 else
                                     bytes(rng.getrandbits(8) for dummy in range(size)))
        parts.append(b'__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\nMESSAGE\n%s%s\nPRIORITY=%d\nCONTAINER_ID_FULL=%s\n\n' % (
            moment, moment - 1690000000000000, boot, struct.pack('<Q', len(message)), message, rng.choice((3, 6)), rng.choice(idents)))
    return b''.join(parts)


def parsed(export):
    """[sorted fields of each entry], without those that one version of journalctl writes and another does not."""
    found, place = [set()], 0
    while place < len(export):
        end = export.index(b'\n', place)
        line = export[place:end]
        place = end + 1
        if not line:
            found.append(set())
        elif b'=' in line:
            found[-1].add(line)
        else:
            size = struct.unpack_from('<Q', export, place)[0]
            found[-1].add(line + b'=' + export[place + 8:place + 8 + size])
            place += 9 + size
    return [sorted(field for field in entry if not field.startswith((b'__SEQNUM', b'__CURSOR'))) for entry in found]


def test_hashes_are_those_of_their_authors():
    assert journalhash.siphash24(bytes(range(15)), bytes(range(16))) == 0xa129ca6149be45e5
    assert journalhash.siphash24(b'', bytes(range(16))) == 0x726fdb47dd0e0e31
    assert journalhash.lookup3(b'') == 0xdeadbeefdeadbeef
    assert journalhash.lookup3(b'Four score and seven years ago') == 0x17770551ce7226e6


@pytest.mark.parametrize('block, content', [
    (b'\x00', b''), (b'\x30abc', b'abc'), (b'\x10a\x01\x00\x00', b'a' * 5), (b'\x1fa\x01\x00\x05\x00', b'a' * 25),
    (b'\xf0\x05' + b'b' * 20, b'b' * 20), (b'\x40abcd\x04\x00\x10e', b'abcdabcde'), (b'\x20ab\x02\x00\x10c', b'abababc')])
def test_lz4_blocks(block, content):
    assert journalhash.unlz4(block, len(content)) == content
    with pytest.raises(ValueError):
        journalhash.unlz4(block, len(content) + 1)


@pytest.mark.parametrize('block', [b'\xf0', b'\x10', b'\x10a\x02\x00\x00', b'\x10a\x00\x00\x00', b'\x10a\x01', b'\x1fa\x01\x00' + b'\xff' * 100, b''])
def test_lz4_blocks_that_are_damaged(block):
    with pytest.raises(ValueError):
        journalhash.unlz4(block, 30)


@pytest.mark.parametrize('header, size', [
    ('20 05', 5), ('60 0001', 512), ('40 00 0500', 261), ('a0 05000000', 5), ('e0 0100000000000000', 1), ('00 58', None), ('23 00000000 07', 7)])
def test_the_size_in_the_header_of_a_zstd_frame(header, size):
    assert journal.zstd_size(b'\x28\xb5\x2f\xfd' + bytes.fromhex(header.replace(' ', '')) + b'xx') == size


def test_damaged_frames_do_not_spoil_others():
    frames = [field for entry in opened(journals.load('compact-zstd')).read(MATCH) for field in entry.fields if isinstance(field, journal.Packed)]
    assert len(frames) == 2
    whole = compress.unpack_frames(frames)
    assert [len(content) for content in whole] == [frame.size for frame in frames]
    torn = (frames[0].frame[:20] + b'\xff' * 8, frames[0].size)
    assert compress.unpack_frames([torn, frames[1], torn, torn, frames[0]]) == [None, whole[1], None, None, whole[0]]
    assert compress.unpack_frames([]) == []
