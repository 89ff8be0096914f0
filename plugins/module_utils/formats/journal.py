"""A journal file of systemd, read for the entries that have one field: the Journal File Format that systemd documents.

A file has DATA objects (`NAME=value`, each value once), ENTRY objects (times, and which DATA they have), a hash table of the DATA, and for
each DATA arrays of the ENTRYs that have it. So the entries of one container are found in a few reads, however large the file is. Where that
index is broken, or the end of the file is not as its header says (a power cut, a copy that was cut), the objects are read one after another.

Nothing in a file is believed: offsets must lie in it, arrays and chains must go forward, so no cycle can hold us, and an entry counts only if it
has the field. What cannot be read is counted in `damage`.
"""
import array
import itertools
import re
import struct
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from . import journalhash

MAX_DATA = 4 << 20                      # of one field; engines split lines above 16 KiB
MAX_ITEMS = 4096                        # fields of one entry; journald allows 1024
MAX_ENTRIES = 1000000                   # of one container in one file; it has 128 MiB by default
MAX_ENTRY = 16 << 20                    # of all fields of an entry
MAX_TOTAL = 4 << 30                     # of all entries of one container in one file: equal values are stored once, so a small file can be much
MAX_CHAIN = 10000                       # objects of one hash, arrays of one field; journald starts a new file at 100
MAX_STEPS = 8000000                     # objects, and places that look like one, when a file is read from one end to the other
MAX_SCAN = 4 << 30                      # bytes of it
_MAGIC = b'LPKSHHRH'
_HEADER = struct.Struct('<8sII B7x 16s16s16s16s QQ QQQQ QQQQQQQQQ')
_OBJECT, _DATA, _ENTRY = struct.Struct('<BB6sQ'), struct.Struct('<QQQQQQ'), struct.Struct('<QQQ16sQ')
DATA, FIELD, ENTRY, ARRAY, KINDS = 1, 2, 3, 6, 7
XZ, LZ4, ZSTD = 1, 2, 4
KEYED, COMPACT, KNOWN = 1 << 2, 1 << 4, (1 << 5) - 1
_LOOKS = re.compile(br'(?=[\x01-\x07][\x00-\x07]\x00{6})')
_NAME = re.compile(br'[A-Z_][A-Z0-9_]{0,63}=')
_WINDOW, _FIRST = 1 << 20, 512
_TAIL = 136                             # where the header has the offset of the last object
_CACHED, _CACHE = 1024, 4096            # bytes of a field that is kept, and how many


class JournalError(ValueError):
    """Not a journal file, or one that cannot be read at all."""


class _Broken(Exception):
    """What an offset leads to is not what it should be."""


class Packed(NamedTuple):
    """A field that is packed with zstd, which Python has only from 3.14 on."""
    frame: bytes
    size: int                           # unpacked


class Entry(NamedTuple):
    """One entry. `fields`: `NAME=value`, or Packed; `lost`: how many could not be read."""
    seqnum: int
    realtime: int                       # microseconds since 1970
    monotonic: int                      # microseconds since the boot
    boot_id: bytes
    xor_hash: int
    fields: 'List[Union[bytes, Packed]]'
    lost: int

    def values(self) -> Iterator[Tuple[bytes, bytes]]:
        """Yield (name, value) of what is unpacked."""
        for field in self.fields:
            if isinstance(field, bytes):
                name, dummy, value = field.partition(b'=')
                yield name, value


class JournalFile(object):
    """A file of SIZE() bytes: it may grow. PREAD(size, offset) gives bytes of it, fewer at its end; what it raises goes through. JournalError."""

    def __init__(self, pread: Callable[[int, int], bytes], size: Callable[[], int]) -> None:
        self._pread = pread
        self._size = size
        self.end = size()
        self.damage: Dict[str, int] = {}    # {what, in the plural: how many}
        self.scanned = False            # whether its index could not be trusted
        raw = pread(_HEADER.size, 0)
        if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
            raise JournalError('not a journal file')
        (dummy, dummy, self._flags, dummy, self.file_id, dummy, dummy, self.seqnum_id, self._start, dummy, self._table, self._table_size, self._names,
         self._names_size, dummy, dummy, dummy, dummy, self.head_seqnum, dummy, self.head_realtime, self.tail_realtime, dummy) = _HEADER.unpack_from(raw)
        if self._flags & ~KNOWN:
            raise JournalError('it is of a newer version of systemd (flags %#x)' % self._flags)
        if not _HEADER.size <= self._start <= self.end or self._start % 8:
            raise JournalError('its header is damaged')
        self._wide = 0 if self._flags & COMPACT else 1
        self._payload = 64 if self._wide else 72
        self._cache: Dict[int, bytes] = {}

    # -- what is asked ----------------------------------------------------------------------------------------------

    def count(self, match: bytes) -> Optional[int]:
        """How many entries the index has for the field MATCH (`NAME=value`), None if the index is broken there."""
        try:
            found = self._find(match)
            return found[2] if found is not None else 0
        except _Broken:
            return None

    def read(self, match: bytes) -> Iterator[Entry]:
        """Yield the entries that have the field MATCH, in the order in which they were written."""
        try:
            yield from self._read(match)
        except _Broken:                 # it was whole a moment ago
            self._note('parts that changed while they were read')
        self._cache.clear()

    def _read(self, match: bytes) -> Iterator[Entry]:
        left = MAX_TOTAL
        for number, offset in enumerate(self._offsets(match)):
            if number >= MAX_ENTRIES or left < 0:
                self._note('parts that were not read, because there is too much of one container')
                break
            try:
                entry = self._entry(offset)
            except _Broken:
                self._note('entries that cannot be read')
                continue
            left -= sum(map(_size, entry.fields))
            if match in entry.fields:
                yield entry
            elif any(isinstance(field, Packed) for field in entry.fields):
                yield entry             # the caller looks again when it has unpacked it
            else:
                self._note('entries that are of something else, or lost what they are of')

    def _note(self, what: str) -> None:
        self.damage[what] = self.damage.get(what, 0) + 1

    # -- the index ---------------------------------------------------------------------------------------------------

    def _offsets(self, match: bytes) -> Iterable[int]:
        """Where the entries are: by the index, and by reading all objects where that is not to be trusted."""
        found: List[int] = []
        self.end = max(self.end, self._size())
        data = None
        try:
            data = self._find(match)
            if data is not None and sum(1 for dummy in self._linked(data)) < min(data[2], MAX_ENTRIES):
                raise _Broken()
        except _Broken:
            self.scanned = True
        if not self.scanned and self._ends_well():
            return self._linked(data) if data is not None else ()
        self.scanned = True
        try:
            found.extend(self._linked(data) if data is not None else ())
        except _Broken:
            pass
        found.extend(itertools.islice(self._scan(match), MAX_ENTRIES))
        return array.array('Q', sorted(set(found)))

    def hash(self, payload: bytes) -> int:
        return journalhash.siphash24(payload, self.file_id) if self._flags & KEYED else journalhash.lookup3(payload)

    def _find(self, match: bytes) -> Optional[Tuple[int, int, int]]:
        """(first entry, first array of more, how many) of the DATA that is MATCH; None if there is none."""
        wanted = self.hash(match)
        offset = self._bucket(self._table, self._table_size, wanted)
        for dummy in range(MAX_CHAIN):
            if not offset:
                if self._has_value(match, wanted):
                    break               # a part of the table never came to the disk
                return None
            flags, size, raw = self._object(offset, DATA, self._payload)
            digest, following, dummy_field, first, more, count = _DATA.unpack_from(raw, 16)
            if digest == wanted and self._is(match, offset, flags, size, raw):
                return first, more, count
            if following and following <= offset:
                break
            offset = following
        raise _Broken()

    def _bucket(self, table: int, size: int, digest: int) -> int:
        """The first object in a hash table for DIGEST, 0 for none."""
        if size < 16 or table < self._start or table + size > self.end:
            raise _Broken()
        return int(struct.unpack('<Q', self._get(table + digest % (size // 16) * 16, 8))[0])

    def _has_value(self, match: bytes, wanted: int) -> bool:
        """Whether the list of all values of the field has MATCH. The newest is the first."""
        name = match.partition(b'=')[0]
        digest = self.hash(name)
        offset = self._bucket(self._names, self._names_size, digest)
        for dummy in range(MAX_CHAIN):
            if not offset:
                return False
            dummy_flags, size, raw = self._object(offset, FIELD, 41)
            found, following, value = struct.unpack_from('<QQQ', raw, 16)
            if found == digest and raw[40:size] == name:
                break
            if following and following <= offset:
                raise _Broken()
            offset = following
        else:
            raise _Broken()
        for dummy in range(MAX_CHAIN):
            if not value:
                return False
            found, dummy_next, following = struct.unpack_from('<QQQ', self._object(value, DATA, self._payload)[2], 16)
            if found == wanted:
                return True
            if following >= value:
                break
            value = following
        raise _Broken()

    def _linked(self, data: Tuple[int, int, int]) -> Iterator[int]:
        """Yield the offsets of the entries that the index has, which go forward, one more than MAX_ENTRIES at most. _Broken where they do not."""
        last, place, dummy = data
        if last:
            yield last
        before = found = 0
        for dummy in range(MAX_CHAIN):
            if not place:
                return
            if place <= before:
                break
            before = place
            dummy_flags, size, head = self._object(place, ARRAY, 24)
            for offset in self._array(place + 24, size - 24):
                if offset <= last:
                    raise _Broken()
                yield offset
                last = offset
                found += 1
                if found > MAX_ENTRIES:
                    return
            place = struct.unpack_from('<Q', head, 16)[0]
        raise _Broken()

    def _array(self, place: int, size: int) -> Iterator[int]:
        """Yield what is in an array; the rest of it is zero as long as it is not used."""
        form, width = ('<%dQ', 8) if self._wide else ('<%dI', 4)
        left = size // width
        while left:
            part = min(left, 8192)
            for offset in struct.unpack(form % part, self._get(place, part * width)):
                if not offset:
                    return
                yield offset
            left -= part
            place += part * width

    def _ends_well(self) -> bool:
        """Whether the last object is where the header says, and nothing follows it."""
        for dummy in range(3):          # a journald that runs may have moved on between two reads
            try:
                tail = struct.unpack('<Q', self._get(_TAIL, 8))[0]
                behind = tail + (self._object(tail, None, 16)[1] + 7 & ~7) if tail else self._start
                if not tail or not self._pread(16, behind).strip(b'\0'):
                    return True
            except _Broken:
                pass
        return False

    # -- objects ------------------------------------------------------------------------------------------------------

    def _get(self, offset: int, size: int) -> bytes:
        if offset + size > self.end:
            raise _Broken()
        raw = self._pread(size, offset)
        if len(raw) != size:
            raise _Broken()
        return raw

    def _object(self, offset: int, kind: Optional[int], least: int) -> Tuple[int, int, bytes]:
        """(flags, size, its first bytes: at least LEAST) of an object. _Broken if there is none of that KIND."""
        if offset % 8 or not self._start <= offset <= self.end - least:
            raise _Broken()
        raw = self._pread(min(_FIRST, self.end - offset), offset)
        if len(raw) < least:
            raise _Broken()
        found, flags, dummy, size = _OBJECT.unpack_from(raw)
        if not found or kind is not None and found != kind or size < least or size > self.end - offset:
            raise _Broken()
        return flags, size, raw

    def _content(self, offset: int, flags: int, size: int, raw: bytes) -> Union[bytes, Packed]:
        """The payload of a DATA object whose first bytes are RAW."""
        if size - self._payload > MAX_DATA:
            raise _Broken()
        if size > len(raw):
            raw += self._get(offset + len(raw), size - len(raw))
        payload = raw[self._payload:size]
        packed = flags & (XZ | LZ4 | ZSTD)
        if packed:
            return _unpack(payload, packed)
        return payload

    def _is(self, match: bytes, offset: int, flags: int, size: int, raw: bytes) -> bool:
        """Whether the DATA object is MATCH. What is packed is no larger than it was."""
        most = len(match) + 64 if flags & (XZ | LZ4 | ZSTD) else len(match)
        if size - self._payload > most:
            return False
        found = self._content(offset, flags, size, raw)
        return found == match or isinstance(found, Packed) and found.size == len(match)

    def _data(self, offset: int) -> Union[bytes, Packed]:
        known = self._cache.get(offset)
        if known is not None:
            return known
        flags, size, raw = self._object(offset, DATA, self._payload)
        found = self._content(offset, flags, size, raw)
        if isinstance(found, Packed):
            return found
        if not _NAME.match(found):
            raise _Broken()
        if self.scanned and self.hash(found) != struct.unpack_from('<Q', raw, 16)[0]:
            self._note('fields that are not what was written')
        if len(found) <= _CACHED:
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[offset] = found
        return found

    def _items(self, raw: bytes) -> Tuple[int, ...]:
        """Offsets of the DATA of the entry RAW."""
        if self._wide:
            return struct.unpack_from('<%dQ' % ((len(raw) - 64) // 16 * 2), raw, 64)[::2]
        return struct.unpack_from('<%dI' % ((len(raw) - 64) // 4), raw, 64)

    def _entry(self, offset: int) -> Entry:
        dummy_flags, size, raw = self._object(offset, ENTRY, 64)
        if size > 64 + MAX_ITEMS * 16:
            raise _Broken()
        raw = raw[:size] if size <= len(raw) else raw + self._get(offset + len(raw), size - len(raw))
        fields: List[Union[bytes, Packed]] = []
        lost, left = 0, MAX_ENTRY
        for item in self._items(raw):
            try:
                if left < 0:
                    raise _Broken()
                fields.append(self._data(item))
                left -= _size(fields[-1])
            except _Broken:
                lost += 1
        if lost:
            self._note('entries without some of their fields')
        seqnum, realtime, monotonic, boot_id, xor_hash = _ENTRY.unpack_from(raw, 16)
        return Entry(seqnum, realtime, monotonic, boot_id, xor_hash, fields, lost)

    # -- without the index -----------------------------------------------------------------------------------------------

    def _scan(self, match: bytes) -> Iterator[int]:
        """Yield where entries are that have the field MATCH, by reading all objects. A DATA is written before the first entry that has it."""
        wanted, digest = set(), self.hash(match)
        window = _Window(self._pread, min(self.end, MAX_SCAN))
        if self.end > MAX_SCAN:
            self._note('parts that were not read, because the file is too large')
        place = self._start
        for dummy in range(MAX_STEPS):
            head = self._plausible(window, place)
            if head is None:
                following = window.seek(place + 8)
                if following is None:
                    return
                place = following
                continue
            kind, flags, size = head
            if kind == DATA and size >= self._payload + 4:
                raw = window.at(place, self._payload)
                if len(wanted) < MAX_CHAIN and (struct.unpack_from('<Q', raw, 16)[0] == digest or size == self._payload + len(match)):
                    try:
                        if self._is(match, place, flags, size, raw):
                            wanted.add(place)
                    except _Broken:
                        pass
            elif kind == ENTRY and wanted and 64 <= size <= 64 + MAX_ITEMS * 16:
                if not wanted.isdisjoint(self._items(window.at(place, size))):
                    yield place
            behind = place + (size + 7 & ~7)
            if self._plausible(window, behind) is not None or not window.look(behind).strip(b'\0'):
                place = behind
            else:                       # its size lies, or what follows is damaged
                following = window.seek(place + 8)
                if following is None:
                    return
                place = following
        self._note('parts that were not read, because they have too many objects')

    def _plausible(self, window: '_Window', place: int) -> Optional[Tuple[int, int, int]]:
        raw = window.look(place)
        if len(raw) < 16:
            return None
        kind, flags, reserved, size = _OBJECT.unpack(raw)
        if not 0 < kind <= KINDS or flags > 7 or reserved != b'\0' * 6 or size < 16 or size > self.end - place:
            return None
        return kind, flags, size


class _Window(object):
    """A part of a file that moves forward."""

    def __init__(self, pread: Callable[[int, int], bytes], end: int) -> None:
        self._pread = pread
        self._end = end
        self._base = 0
        self._data = b''

    def look(self, place: int) -> bytes:
        """The 16 bytes at PLACE, without moving there."""
        begin = place - self._base
        if 0 <= begin <= len(self._data) - 16:
            return self._data[begin:begin + 16]
        return self._pread(16, place) if place < self._end else b''

    def at(self, place: int, size: int) -> bytes:
        begin = place - self._base
        if not 0 <= begin <= len(self._data) - size:
            self._base, self._data, begin = place, self._pread(max(_WINDOW, size), place), 0
        return self._data[begin:begin + size]

    def seek(self, place: int) -> Optional[int]:
        """The next place, from PLACE on, that looks like the beginning of an object. None at the end."""
        while place < self._end - 15:
            data = self.at(place, 16)
            begin = place - self._base
            data = self._data
            if begin + 16 > len(data):
                return None
            if data.count(0, begin) < len(data) - begin:
                for found in _LOOKS.finditer(data, begin):
                    if (self._base + found.start()) % 8 == 0:
                        return self._base + found.start()
            place = (self._base + len(data) - 8) // 8 * 8 if len(data) >= 24 else self._end
        return None


def _size(field: Union[bytes, Packed]) -> int:
    return len(field) if isinstance(field, bytes) else len(field.frame) + field.size


def _unpack(payload: bytes, packed: int) -> Union[bytes, Packed]:
    """The field in a packed payload; of zstd the frame, with the size that is in it. _Broken."""
    if packed == ZSTD:
        size = zstd_size(payload)
        if size is None or size > MAX_DATA:
            raise _Broken()
        return Packed(payload, size)
    if packed == LZ4 and len(payload) > 8:
        size = struct.unpack_from('<Q', payload)[0]
        if size > MAX_DATA:
            raise _Broken()
        try:
            return journalhash.unlz4(payload[8:], size)
        except ValueError:
            raise _Broken()
    if packed == XZ:
        try:
            import lzma
        except ImportError:             # a Python that was built without it
            raise _Broken()
        try:
            reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=128 << 20)
            found = reader.decompress(payload, MAX_DATA)
        except (lzma.LZMAError, EOFError):
            raise _Broken()
        if reader.eof:                  # pylint: disable=using-constant-test  # it takes the attribute for a function
            return found
    raise _Broken()


def zstd_size(frame: bytes) -> Optional[int]:
    """The size of the content as the header of a zstd frame has it (RFC 8878), None if it has none. journald always writes it."""
    if len(frame) < 6 or not frame.startswith(b'\x28\xb5\x2f\xfd'):
        return None
    flags = frame[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    begin = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    if not width or len(frame) < begin + width:
        return None
    return int.from_bytes(frame[begin:begin + width], 'little') + (256 if width == 2 else 0)
