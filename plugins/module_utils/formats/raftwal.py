"""The write-ahead log and the snapshots of etcd's raft, as they lie on the disk.

A segment (`SEQUENCE-INDEX.wal`, both as 16 hexadecimal digits) is a row of records. Each has eight bytes before it: the length in the lower 56
bits, and, where the highest bit is set, the number of bytes of padding in bits 56 to 58. A segment is made with its full size, so behind
its last record are zeros. The checksum of a record (CRC-32C of its data) goes on from that of the record before it, from segment to segment.
"""
import functools
import re
from typing import BinaryIO, Iterable, Iterator, List, NamedTuple, Tuple

from . import wording
from .protobuf import Damaged, Message

METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
SEGMENT = re.compile(br'([0-9a-f]{16})-([0-9a-f]{16})\.wal\Z')
SNAP = re.compile(br'([0-9a-f]{16})-([0-9a-f]{16})\.snap\Z')
LARGEST = 1 << 28                       # bytes of a record: an entry of raft has a few MiB at most
MOST = 256 << 20                        # bytes of all entries that are kept; a snapshot takes the place of 10,000 entries
SECTOR = 512                            # what a disk writes at once
NORMAL = 0                              # kind of an entry: one that changes the data, and not the members


class Entry(NamedTuple):
    """One entry of the log."""
    kind: int
    term: int
    number: int                         # the index
    data: bytes


class Snapshot(NamedTuple):
    """The state at an index, with everything before it."""
    number: int                         # the index
    term: int
    data: bytes


class Log(object):
    """The entries of a log. read() fills it; nothing is raised.

    `entries` are in order and without gaps, and one that was written again is there once, as raft itself takes it. `commit`: the last index
    that the log calls committed. `torn`: its end was being written, so nothing that was acknowledged is missing. `damage`: why it could not
    be read to its end, ''. `snapshots`: the indexes of the snapshots that it names.
    """

    def __init__(self) -> None:
        self.entries: List[Entry] = []
        self.commit = 0
        self.torn = False
        self.damage = ''
        self.snapshots: List[int] = []
        self._bytes = 0

    def read(self, segments: Iterable[BinaryIO], after: int = 0) -> 'Log':
        """Read SEGMENTS in their order, keep the entries behind the index AFTER."""
        crc = 0
        segments = list(segments)
        for number, segment in enumerate(segments):
            try:
                for kind, data, so_far in _records(segment, crc, number == 0):
                    self._take(kind, data, after)
                    crc = so_far
            except _Torn:
                if number + 1 == len(segments):
                    self.torn = True
                    return self
                self.damage = 'a segment ends in the middle of a record'
            except Damaged as exc:
                self.damage = str(exc)
            except OSError as exc:
                self.damage = exc.strerror or str(exc)
            if self.damage:
                break
        return self

    def _take(self, kind: int, data: bytes, after: int) -> None:
        message = Message(data) if kind in (ENTRY, STATE, SNAPSHOT) else None
        if message is None:
            return
        if kind == STATE:
            self.commit = message.number(3)
        elif kind == SNAPSHOT:
            self.snapshots.append(message.number(1))
        else:
            entry = Entry(message.number(1), message.number(2), message.number(3), message.raw(4))
            if entry.number <= after:
                return
            if self.entries:
                last = self.entries[-1].number
                if entry.number > last + 1:
                    raise Damaged('entries %d to %d are missing' % (last + 1, entry.number - 1))
                if entry.number <= last:
                    del self.entries[max(0, entry.number - self.entries[0].number):]
            self._bytes += len(entry.data)
            if self._bytes > MOST:
                raise Damaged('its entries have more than %d bytes' % MOST)
            self.entries.append(entry)


class _Torn(Exception):
    """The record was being written when the host died."""


def _records(stream: BinaryIO, crc: int, first: bool) -> Iterator[Tuple[int, bytes, int]]:
    """Yield (kind, data, checksum up to here) of a segment. CRC: of the segment before it; FIRST: there is none, so the log may begin with any."""
    position = 0
    while True:
        head = stream.read(8)
        if len(head) < 8 and head.strip(b'\0'):
            raise _Torn()
        field = int.from_bytes(head, 'little')
        if not field:
            return                      # the rest was never written, or the end
        length = field & (1 << 56) - 1
        padding = field >> 56 & 7 if field >> 63 else 0
        if length > LARGEST:
            raise Damaged('a record would have %s' % wording.number(length, 'byte'))
        raw = stream.read(length + padding)
        if len(raw) < length + padding:
            raise _Torn()
        try:
            kind, data, crc = _record(raw[:length], crc, first)
        except Damaged:
            if _is_torn(raw, position + len(head)):
                raise _Torn()
            raise
        first, position = False, position + len(head) + len(raw)
        yield kind, data, crc


def _record(raw: bytes, crc: int, first: bool) -> Tuple[int, bytes, int]:
    message = Message(raw)
    kind, said, data = message.number(1), message.number(2), message.raw(3)
    if kind == CRC:
        if crc != said and not first:
            raise Damaged('the checksums of two segments do not go on')
        return kind, data, said
    crc = crc32c(data, crc)
    if crc != said:
        raise Damaged('the checksum of a record does not fit')
    return kind, data, crc


def _is_torn(written: bytes, position: int) -> bool:
    """Whether a whole sector of a record that begins at POSITION of its file is empty: then not all of it reached the disk."""
    edges = [0] + list(range(-position % SECTOR or SECTOR, len(written), SECTOR)) + [len(written)]
    return any(not written[start:end].strip(b'\0') for start, end in zip(edges, edges[1:]))


def segments(names: Iterable[bytes]) -> List[bytes]:
    """The names that are segments, in their order, from the last gap in their numbers on."""
    found = sorted(name for name in names if SEGMENT.match(name))
    for position in range(len(found) - 1, 0, -1):
        if _sequence(found[position]) != _sequence(found[position - 1]) + 1:
            return found[position:]
    return found


def begins_after(name: bytes) -> int:
    """The index before the first entry of the segment NAME, 0 for a whole log."""
    match = SEGMENT.match(name)
    return max(0, int(match.group(2), 16) - 1) if match else 0


def _sequence(name: bytes) -> int:
    return int(name[:16], 16)


def needed(names: List[bytes], after: int) -> List[bytes]:
    """Of segments() those that a reader needs who has everything up to the index AFTER."""
    start = 0
    for position, name in enumerate(names):
        if begins_after(name) <= after:
            start = position
    return names[start:]


def snapshots(names: Iterable[bytes]) -> List[bytes]:
    """The names that are snapshots, the newest first."""
    return sorted((name for name in names if SNAP.match(name)), reverse=True)


def snapshot(raw: bytes) -> Snapshot:
    """The Snapshot in the bytes of its file. Damaged."""
    outer = Message(raw)
    data = outer.raw(2)
    if not data:
        raise Damaged('it is empty')
    if crc32c(data) != outer.number(1):
        raise Damaged('its checksum does not fit')
    inner = Message(data)
    metadata = inner.message(2)
    return Snapshot(metadata.number(2), metadata.number(3), inner.raw(1))


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC-32C (Castagnoli) of DATA, going on from CRC."""
    table = _table()
    crc ^= 0xffffffff
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


@functools.lru_cache(maxsize=None)
def _table() -> List[int]:
    found = []
    for byte in range(256):
        for dummy in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        found.append(byte)
    return found
