"""Container logs of the drivers `json-file` and `local`, and of the format of CRI (`k8s-file` of Podman, kubelet's), read as a stream in
bounded memory.

Both drivers split lines above 16 KiB into several records; `docker logs --timestamps` prints each record behind its
own timestamp, in the order of the file, and ends a line only where the container did (seen on a real engine, for
both drivers). So records are delivered one by one and :func:`render` gives exactly that output. One difference is
wanted: version 20.10 forgets the line end behind the last piece of a split line of the `local` driver; newer ones,
and we, print it.

Damage is skipped and counted, and reading goes on behind it: a torn last line, runs of NUL bytes (power loss before
write-back), a rotated file whose compression was interrupted, an unreadable file. A record above MAX_RECORD bytes
(Docker never writes one) is skipped up to the next recognizable record.
"""
import re
import struct
from typing import TYPE_CHECKING, Any, Collection, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from . import gotypes, gunzip, jsonish, wording

if TYPE_CHECKING:
    from .pieces import Readable

MAX_RECORD = 1024 * 1024                # of JSON. Docker's are below 100 KiB: 16 KiB, each byte escaped with up to 6
MAX_FRAME = 1000000                     # of the local driver; Docker refuses more
MAX_FIELDS = 4096                       # of one message; real ones have five, and one for each attribute
MAX_NOTES = 100
_RECORD_START = re.compile(br'\{"(?:log|stream)":')
_UTC = re.compile(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z', re.ASCII)
_FRAME_START = b'\n\x06std'             # field 1 with six bytes: "stdout" or "stderr"
_SIZE = struct.Struct('>I')
_CRI = re.compile(br'(\d{4}-\d\d-\d\dT[0-9:.]{8,18}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])[^ \n]* ?(.*)\Z', re.DOTALL)
# (field, wire type) of LogEntry in moby's entry.proto
_SOURCE, _NANOS, _LINE, _IS_PARTIAL, _PARTIAL, _ATTRIBUTE = (1, 2), (2, 0), (3, 2), (4, 0), (5, 2), (6, 2)
_DECODE = jsonish.DECODER.raw_decode


class LogRecord(NamedTuple):
    """One record. `time`: RFC 3339 as recorded ('' if it has none); `data`: what `docker logs` prints for it."""
    time: str
    stream: str                         # stdout | stderr
    data: bytes
    attrs: Dict[str, Any]

    @property
    def key(self) -> Tuple[int, int]:
        """(seconds since 1970, nanoseconds), to sort by."""
        return gotypes.time_key(self.time)


class Counters(object):
    """What a reader met. `notes`: (index of the file, one clause) about files that could not be read to their end."""
    __slots__ = ('records', 'damaged', 'skipped_bytes', 'notes')

    def __init__(self) -> None:
        self.records = 0
        self.damaged = 0                # pieces that are no record, e.g. a torn line
        self.skipped_bytes = 0          # their bytes, NUL bytes included (of the unpacked data)
        self.notes: List[Tuple[int, str]] = []

    def skip(self, size: int, damaged: int = 1) -> None:
        self.damaged += damaged
        self.skipped_bytes += size

    def note(self, index: int, message: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append((index, message))


def order(names: Collection[bytes], base: bytes) -> List[bytes]:
    """The files of one log among NAMES (bytes), oldest first: ``BASE.2.gz``, ``BASE.1``, ``BASE``.

    Where a number exists both plain and compressed the plain file counts: Docker removes it only after the
    compressed one is whole.
    """
    numbered = re.compile(re.escape(base) + br'\.([1-9]\d{0,8})(\.gz)?\Z')
    found = {}
    for name in names:
        match = numbered.match(name)
        if match is not None:
            number = int(match.group(1))
            if match.group(2) is None or number not in found:
                found[number] = name
    ordered = [found[number] for number in sorted(found, reverse=True)]
    return ordered + ([base] if base in names else [])


def render(record: LogRecord) -> bytes:
    """The bytes `docker logs --timestamps` prints for RECORD: time in UTC with nine digits, space, data."""
    match = _UTC.match(record.time)
    if match is not None:
        stamp = '%s.%sZ' % (match.group(1), (match.group(2) or '').ljust(9, '0'))
    else:
        try:
            seconds, nanos = gotypes.time_key(record.time)
            stamp = gotypes.format_time(seconds, nanos, fixed=True)
        except ValueError:
            stamp = gotypes.format_time(gotypes.NEVER[0], gotypes.NEVER[1], fixed=True)
    return stamp.encode('ascii') + b' ' + record.data


def json_file_records(files: 'Iterable[Readable]', counters: Optional[Counters] = None) -> Iterator[LogRecord]:
    """Yield the LogRecords of json-file logs. FILES: iterable of binary file objects, oldest first, plain or gzip."""
    counters = Counters() if counters is None else counters
    for index, fileobj in enumerate(files):
        for line in _lines(_contents(fileobj, index, counters), counters):
            record = _json_record(line)
            if record is not None:
                counters.records += 1
                yield record
                continue
            for record in _resync_json(line, counters):
                counters.records += 1
                yield record


def local_records(files: 'Iterable[Readable]', counters: Optional[Counters] = None) -> Iterator[LogRecord]:
    """Yield the LogRecords of `local` logs (and of the cache of other drivers). FILES as in json_file_records()."""
    counters = Counters() if counters is None else counters
    for index, fileobj in enumerate(files):
        for record in _local_records(_Window(_contents(fileobj, index, counters)), counters):
            counters.records += 1
            yield record


def cri_records(files: 'Iterable[Readable]', counters: Optional[Counters] = None) -> Iterator[LogRecord]:
    """Yield the LogRecords of logs in the format of CRI: time, stream, P or F, text. A P says that the line goes on in the next record
    of its stream. FILES as in json_file_records()."""
    counters = Counters() if counters is None else counters
    for index, fileobj in enumerate(files):
        tail = b''
        for piece in _contents(fileobj, index, counters):
            lines = (tail + piece).split(b'\n')
            tail = lines.pop()
            for line in lines:
                yield from _cri_line(line, counters)
            if len(tail) > MAX_RECORD:
                counters.skip(len(tail))
                tail = b''
        if tail:
            yield from _cri_line(tail, counters)


def _cri_line(line: bytes, counters: Counters) -> Iterator[LogRecord]:
    """Yield the one LogRecord of a line. Runs of NUL before it are of a power cut; within the text the container wrote them."""
    found = line.lstrip(b'\0')
    counters.skip(len(line) - len(found), 0)
    match = _CRI.match(found)
    if match is None:
        if found:
            counters.skip(len(found))
        return
    time, stream, tag, text = match.groups()
    counters.records += 1
    yield LogRecord(time.decode('ascii'), stream.decode('ascii'), text + (b'' if tag == b'P' else b'\n'), {})


# Log.form -> its reader
READERS = {'json': json_file_records, 'local': local_records, 'cri': cri_records}


def _contents(fileobj: 'Readable', index: int, counters: Counters) -> Iterator[bytes]:
    """The (unpacked) pieces of one file; an error ends the file and is noted."""
    total = 0
    try:
        for piece in gunzip.contents(fileobj):
            total += len(piece)
            yield piece
    except gunzip.GunzipError as exc:
        counters.note(index, str(exc))
    except OSError as exc:
        counters.note(index, 'cannot be read after %s: %s' % (wording.number(total, 'byte'), exc.strerror or exc))


def _lines(pieces: Iterable[bytes], counters: Counters) -> Iterator[bytes]:
    """Split into lines without their end; NUL bytes end a line too. Lines above MAX_RECORD are cut and counted."""
    tail = b''
    for piece in pieces:
        if b'\0' in piece:
            counters.skip(piece.count(b'\0'), 0)
            piece = piece.replace(b'\0', b'\n')
        lines = (tail + piece).split(b'\n')
        tail = lines.pop()
        for line in lines:
            if line:
                yield line
        if len(tail) > MAX_RECORD:
            # no record can begin in here but at a recognizable start: keep what may be the beginning of one
            starts = [match.start() for match in _RECORD_START.finditer(tail)]
            keep = starts[-1] if starts and starts[-1] > 0 else len(tail) - 16
            yield tail[:keep]
            tail = tail[keep:]
    if tail:
        yield tail


def _json_record(line: bytes) -> Optional[LogRecord]:
    """LogRecord of a line of JSON, None if it is none."""
    try:
        text = line.decode('utf-8')
    except UnicodeDecodeError:
        text = line.decode('utf-8', 'replace')  # as Go's decoder does
    try:
        value, end = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    if end != len(text) and text[end:].strip():
        return None
    return _from_value(value)


def _from_value(value: Any) -> Optional[LogRecord]:
    if not isinstance(value, dict):
        return None
    log, stream, time, attrs = value.get('log', ''), value.get('stream', ''), value.get('time', ''), value.get('attrs')
    if not (isinstance(log, str) and isinstance(stream, str) and isinstance(time, str)) or not (log or time):
        return None
    if attrs:
        pairs = attrs.items() if isinstance(attrs, dict) else ()
        attrs = {jsonish.sound(key): jsonish.sound(text) for key, text in pairs if isinstance(text, str)}
    try:
        data = log.encode('utf-8')
        (time + stream).encode('utf-8')
    except UnicodeEncodeError:
        time, stream, data = jsonish.sound(time), jsonish.sound(stream), jsonish.sound(log).encode('utf-8')
    return LogRecord(time, stream, data, attrs or {})


def _resync_json(line: bytes, counters: Counters) -> Iterator[LogRecord]:
    """Records in a line that is not just one: several without line end between them, or whole ones behind a torn one.

    The quotes of the key are escaped inside of strings, so every match begins a record.
    """
    starts = [match.start() for match in _RECORD_START.finditer(line)]
    if not starts or starts[0] > 0:
        rubbish = line[:starts[0]] if starts else line
        if rubbish.strip():
            counters.skip(len(rubbish))
    for start, end in zip(starts, starts[1:] + [len(line)]):
        record = _json_record(line[start:end])
        if record is None:
            counters.skip(end - start)
        else:
            yield record


class _Window(object):
    """A sliding view of a stream: `data` from `pos` on is what was not yet used."""
    __slots__ = ('_pieces', 'data', 'pos', 'ended')

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.data = b''
        self.pos = 0
        self.ended = False

    def have(self, size: int) -> bool:
        """Whether SIZE unused bytes are there; reads as far as needed."""
        left = len(self.data) - self.pos
        if left >= size or self.ended:
            return left >= size
        parts = [self.data[self.pos:]]
        while left < size:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
                break
            parts.append(piece)
            left += len(piece)
        self.data = b''.join(parts)
        self.pos = 0
        return left >= size


def _local_records(window: _Window, counters: Counters) -> Iterator[LogRecord]:
    """Frames: size (big-endian uint32), message, size again."""
    while window.have(4):
        size = _SIZE.unpack_from(window.data, window.pos)[0]
        if 0 < size <= MAX_FRAME and window.have(size + 8):
            start = window.pos + 4
            if _SIZE.unpack_from(window.data, start + size)[0] == size:
                window.pos = start + size + 4
                record = _local_record(window.data[start:start + size])
                if record is not None:
                    yield record
                else:
                    counters.skip(size + 8)
                continue
        counters.skip(_to_next_frame(window))
    rest = len(window.data) - window.pos
    if rest:
        counters.skip(rest)


def _to_next_frame(window: _Window) -> int:
    """Move behind damage to the next place that looks like a frame, or to the end; returns the bytes skipped."""
    skipped = 1
    window.pos += 1
    while True:
        begin = window.data.find(_FRAME_START, window.pos + _SIZE.size)
        if begin >= 0:
            skipped += begin - _SIZE.size - window.pos
            window.pos = begin - _SIZE.size
            return skipped
        # the mark may have begun within the last bytes
        target = max(window.pos, len(window.data) - _SIZE.size - len(_FRAME_START) + 1)
        skipped += target - window.pos
        window.pos = target
        left = len(window.data) - target
        if not window.have(left + 1):
            window.pos = len(window.data)
            return skipped + left


def _local_record(message: bytes) -> Optional[LogRecord]:
    """LogRecord of a LogEntry message, None if it is none."""
    found, attrs = {}, {}
    try:
        for count, (number, kind, value) in enumerate(gotypes.fields(message)):
            if count >= MAX_FIELDS:
                return None
            if (number, kind) == _ATTRIBUTE:
                pair = {sub: content for sub, sub_kind, content in gotypes.fields(value) if sub_kind == 2}
                attrs[pair.get(1, b'').decode('utf-8', 'replace')] = pair.get(2, b'').decode('utf-8', 'replace')
            elif (number, kind) == _PARTIAL and _PARTIAL in found:
                found[_PARTIAL] += value    # a message that comes in two parts is one
            else:
                found[number, kind] = value
        if not found.get(_SOURCE):
            return None
        nanos = found.get(_NANOS, 0)
        seconds, rest = divmod(nanos - (1 << 64) if nanos >> 63 else nanos, 1000000000)
        ended = not found.get(_IS_PARTIAL) or _is_last(found.get(_PARTIAL, b''))
        return LogRecord(gotypes.format_time(seconds, rest), found[_SOURCE].decode('utf-8', 'replace'),
                         found.get(_LINE, b'') + (b'\n' if ended else b''), attrs)
    except ValueError:
        return None


def _is_last(partial: bytes) -> bool:
    """Whether PartialLogEntryMetadata says that its line ends here."""
    return bool(({(number, kind): value for number, kind, value in gotypes.fields(partial[:4096])}).get((1, 0)))
