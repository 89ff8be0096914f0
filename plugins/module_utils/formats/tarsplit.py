"""tar-split: what Docker keeps of an image layer's tar besides the files themselves, so that it can be put together
again byte for byte.

The file is gzip of one JSON object a line (layout: the packer of tar-split): ``type`` 2 is a *segment* with literal
bytes of the tar in ``payload`` (base64); ``type`` 1 is a *file*, whose ``size`` bytes are read from the layer's
folder, with a checksum in ``payload``. ``position`` counts the lines from 0.
"""
import base64
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Union

from . import gunzip, jsonish, wording

if TYPE_CHECKING:
    from .pieces import Readable

MAX_LINE = 64 * 1024 * 1024             # old versions put all that follows the archive's end into one segment
MAX_PADDING = 64 * 1024 * 1024 * 1024   # zeros put in for damaged files of one layer
_ZEROS = bytes(64 * 1024)
_CRC_BLOCK = 32 * 1024                  # the numbers should stay in the processor's cache
_ALL_ONES = 0xffffffffffffffff


class TarSplitError(ValueError):
    """The tar cannot be put together. The message is a clause; `line` (from 1) or `name` (bytes) say where."""

    def __init__(self, message: str, line: Optional[int] = None, name: Optional[bytes] = None) -> None:
        ValueError.__init__(self, message)
        self.line = line
        self.name = name


class Segment(NamedTuple):
    """Bytes of the tar to copy as they are: headers, padding, the end of the archive."""
    data: bytes


class File(NamedTuple):
    """The content of one member. `name` as in the archive; `crc`: CRC-64/GO-ISO, 8 bytes big-endian, None if empty."""
    name: bytes
    size: int
    crc: Optional[bytes]


class Damage(NamedTuple):
    """A file whose content is not what the layer had."""
    name: bytes
    kind: str                           # missing | unreadable | short | long | changed
    message: str


def entries(fileobj: 'Readable') -> Iterator[Union[File, Segment]]:
    """Yield Segment and File in the order of the archive. FILEOBJ: the tar-split file, gzip or already unpacked.

    Raises TarSplitError where the data are cut off or are no tar-split data.
    """
    for number, line in enumerate(_lines(fileobj), 1):
        yield _entry(line, number)


def assemble(fileobj: 'Readable', open_file: Callable[[bytes, int], Iterable[bytes]], damages: Optional[List[Damage]] = None,
             crc: Optional[bool] = None) -> Iterator[bytes]:
    """Yield the bytes of the layer's tar. OPEN_FILE(name, size) gives an iterable of the pieces of a file's content.

    Without DAMAGES the first file that is missing, unreadable, too short or too long raises TarSplitError(name=...).
    With a list DAMAGES each such file is appended there as a :class:`Damage`, and zeros stand for what is missing, so
    every other byte keeps its place. CRC: also compare checksums (default: with DAMAGES; the caller who only wants to
    know *whether* all is right compares the digest of the whole stream). OPEN_FILE and its iterable report failure by
    OSError.
    """
    check = damages is not None if crc is None else crc
    room = MAX_PADDING
    for entry in entries(fileobj):
        if isinstance(entry, Segment):
            if entry.data:
                yield entry.data
        elif entry.size:
            found = []
            sent = 0
            for piece in _content(entry, open_file, check, found):
                sent += len(piece)
                yield piece
            if not found:
                continue
            if damages is None:
                raise TarSplitError(found[0].message, name=entry.name)
            damages.extend(found)
            room -= entry.size - sent
            if room < 0:
                raise TarSplitError('the damaged files of the layer are too large to put zeros in their place',
                                    name=entry.name)
            while sent < entry.size:
                piece = _ZEROS[:entry.size - sent]
                sent += len(piece)
                yield piece


def _content(entry: File, open_file: Callable[[bytes, int], Iterable[bytes]], check: bool, found: List[Damage]) -> Iterator[bytes]:
    """Yield at most entry.size bytes of the file; what is wrong with it goes to FOUND."""
    left = entry.size
    crc = 0
    pieces = None
    try:
        pieces = iter(open_file(entry.name, entry.size))
        for piece in pieces:
            if len(piece) > left:
                found.append(_damage(entry, 'long', 'is longer than the %s it had' % wording.number(entry.size, 'byte')))
                piece = piece[:left]
            left -= len(piece)
            if check:
                crc = crc64(piece, crc)
            if piece:
                yield piece
            if found:
                break
    except OSError as exc:
        if pieces is None or isinstance(exc, FileNotFoundError):
            kind, what = 'missing', 'cannot be opened: %s'
        else:
            kind, what = 'unreadable', 'cannot be read after %s: %%s' % (wording.number(entry.size - left, 'byte'))
        found.append(_damage(entry, kind, what % (exc.strerror or exc)))
    finally:
        close = getattr(pieces, 'close', None)
        if close is not None:
            close()
    if not found and left:
        found.append(_damage(entry, 'short', 'ends after %d of %s' % (entry.size - left, wording.number(entry.size, 'byte'))))
    if not found and check and entry.crc is not None and crc.to_bytes(8, 'big') != entry.crc:
        found.append(_damage(entry, 'changed', 'is not what the image had (checksum)'))


def _damage(entry: File, kind: str, message: str) -> Damage:
    return Damage(entry.name, kind, '%s %s' % (entry.name.decode('utf-8', 'backslashreplace'), message))


def _lines(fileobj: 'Readable') -> Iterator[bytes]:
    """The lines without their ends."""
    number = 1
    tail = []
    size = 0
    try:
        for piece in gunzip.contents(fileobj):
            lines = piece.split(b'\n')
            for line in lines[:-1]:
                tail.append(line)
                yield b''.join(tail)
                tail = []
                size = 0
                number += 1
            if lines[-1]:
                tail.append(lines[-1])
                size += len(lines[-1])
            if size > MAX_LINE:
                raise TarSplitError('line %d of the tar-split data is too long' % number, line=number)
    except gunzip.GunzipError as exc:
        raise TarSplitError('the tar-split data are damaged in line %d: %s' % (number, exc), line=number)
    if tail:
        yield b''.join(tail)
    elif number == 1:
        raise TarSplitError('the tar-split data are empty', line=1)


def _entry(line: bytes, number: int) -> Union[File, Segment]:
    """The Segment or File of one line; NUMBER from 1."""
    try:
        value = jsonish.loads(line)
    except jsonish.JsonError as exc:
        raise TarSplitError('line %d of the tar-split data: %s' % (number, exc), line=number)
    try:
        if value.get('position', 0) != number - 1:
            raise ValueError('a line before it is missing')
        kind = value.get('type')
        payload = _bytes(value.get('payload'))
        if kind == 2:
            return Segment(payload)
        if kind != 1:
            raise ValueError('unknown type')
        size = value.get('size', 0)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
            raise ValueError('not a size')
        if payload and len(payload) != 8:
            raise ValueError('not a checksum')
        name = _bytes(value.get('name_raw')) or value.get('name', '').encode('utf-8')
        return File(name, size, payload or None)
    except (ValueError, AttributeError) as exc:        # binascii.Error is a ValueError
        raise TarSplitError('line %d of the tar-split data is not an entry: %s' % (number, exc), line=number)


def _bytes(text: Any) -> bytes:
    """Base64 as Go's JSON has it for a byte slice; null or absent: b''."""
    if text is None:
        return b''
    if not isinstance(text, str):
        raise ValueError('not base64')
    return base64.b64decode(text, validate=True)


def crc64(data: Union[bytes, memoryview], crc: int = 0) -> int:
    """CRC-64/GO-ISO of DATA (bytes-like), continuing CRC. crc64(b'123456789') is 0xb90956c775a41001.

    The polynomial x**64 + x**4 + x**3 + x + 1 has few terms, and so have the powers of two of it, since squaring in
    GF(2) only doubles exponents: x**(64*m) = x**(4*m) + x**(3*m) + x**m + 1 for m = 1, 2, 4... So the data are taken
    as one long number, whose front half is folded onto the rest by four shifts, again and again: far faster in Python
    than any table. Bits are reflected: the first bit of the data is the lowest one and has the highest power.
    """
    if len(data) > _CRC_BLOCK:
        view = memoryview(data)
        for start in range(0, len(data), _CRC_BLOCK):
            crc = crc64(view[start:start + _CRC_BLOCK], crc)
        return crc
    length = 8 * len(data) + 64         # the register follows the data
    value = int.from_bytes(data, 'little') ^ crc ^ _ALL_ONES
    m = 1
    while 128 * m < length:
        m *= 2
    while length > 64:
        while m > 1 and 64 * m >= length:
            m //= 2
        front = min(length - 64 * m, 60 * m)
        part = value & ((1 << front) - 1)
        gap = 64 * m - front            # how far the lowest bit of the front part is below the end of the fold
        value = (value >> front) ^ (part << gap) ^ (part << gap - m) ^ (part << gap - 3 * m) ^ (part << gap - 4 * m)
        length -= front
    return value ^ _ALL_ONES
