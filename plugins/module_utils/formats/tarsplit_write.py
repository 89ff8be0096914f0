"""tar-split data of a layer's tar, as Docker keeps them (see tarsplit.py): everything but the content of files, and a checksum of each."""
import base64
import json
import zlib
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from . import tarnumber, tarsplit

BLOCK = 512
MAX_HEADERS = 16 << 20                  # bytes of extended headers before one member
_EXTENDED = b'xgLK'
_WITH_CONTENT = b'0\x007'


class NotSplit(ValueError):
    """The tar is damaged, or has what Docker itself cannot put together again (files with holes). The message is a clause."""


class _Bytes(object):
    """read(n) over pieces, exact: NotSplit where they end too early."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b''

    def up_to(self, count: int) -> bytes:
        while len(self._rest) < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    def exactly(self, count: int) -> bytes:
        found = self.up_to(count)
        if len(found) < count:
            raise NotSplit('the tar ends in the middle of a member')
        return found


def packed(pieces: Iterable[bytes]) -> bytes:
    """What tar-split.json.gz has to hold for a tar (its pieces, uncompressed). NotSplit."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    found = [packer.compress(line) for line in lines(pieces)]
    return b''.join(found) + packer.flush()


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of tar-split's JSON for a tar. NotSplit."""
    source, number, pending = _Bytes(pieces), 0, b''
    while True:
        header, name, size = _member(source)
        pending += header
        if name is None:
            break
        yield _line(number, type=2, payload=base64.b64encode(pending).decode('ascii'))
        yield _line(number + 1, **_file(source, name, size))
        number, pending = number + 2, source.exactly(-size % BLOCK)
    for piece in iter(lambda: source.up_to(1 << 20), b''):      # whatever follows the end
        yield _line(number, type=2, payload=base64.b64encode(pending).decode('ascii'))
        number, pending = number + 1, piece
    yield _line(number, type=2, payload=base64.b64encode(pending).decode('ascii'))


def _line(position: int, **entry: object) -> bytes:
    return json.dumps(dict(entry, position=position), sort_keys=True, separators=(',', ':')).encode('ascii') + b'\n'


def _file(source: _Bytes, name: bytes, size: int) -> Dict[str, object]:
    crc, left = 0, size
    while left:
        piece = source.exactly(min(left, 1 << 20))
        crc = tarsplit.crc64(piece, crc)
        left -= len(piece)
    entry: Dict[str, object] = {'type': 1, 'payload': base64.b64encode(crc.to_bytes(8, 'big')).decode('ascii') if size else None}
    if size:
        entry['size'] = size
    try:
        entry['name'] = name.decode('utf-8')
    except UnicodeDecodeError:
        entry['name_raw'] = base64.b64encode(name).decode('ascii')
    return entry


def _member(source: _Bytes) -> Tuple[bytes, Optional[bytes], int]:
    """(all header blocks, name, size of what follows) of the next member; name None at the end of the archive."""
    raw: List[bytes] = []
    path, size, length = None, None, 0
    while True:
        block = source.up_to(BLOCK)
        raw.append(block)
        if len(block) < BLOCK or not block.strip(b'\0'):
            return b''.join(raw + [source.up_to(BLOCK)]), None, 0   # the end is marked by two of them
        kind, told = block[156:157], _size(block[124:136])
        if kind in _EXTENDED and kind:
            length += told
            if length > MAX_HEADERS:
                raise NotSplit('its extended headers are too large')
            data = source.exactly(told + -told % BLOCK)
            raw.append(data)
            records = _records(data[:told]) if kind == b'x' else {}
            if any(key.startswith(b'GNU.sparse.') for key in records):
                raise NotSplit('it has files with holes')
            path = records.get(b'path', path) if kind == b'x' else data[:told].rstrip(b'\0') if kind == b'L' else path
            size = int(records[b'size']) if records.get(b'size', b'').isdigit() else size
            continue
        if kind == b'S':
            raise NotSplit('it has files with holes')
        content = (told if size is None else size) if kind in _WITH_CONTENT else 0
        return b''.join(raw), _name(block) if path is None else path, content


def _name(block: bytes) -> bytes:
    name, prefix = block[:100].split(b'\0')[0], block[345:500].split(b'\0')[0]
    return prefix + b'/' + name if prefix and block[257:263] == b'ustar\0' else name


def _size(field: bytes) -> int:
    size = tarnumber.number(field)
    if size is None or size < 0:
        raise NotSplit('a header of it has no size')
    return size


def _records(data: bytes) -> Dict[bytes, bytes]:
    """{key: value} of an extended header."""
    found, at = {}, 0
    while at < len(data):
        digits, dummy, dummy = data[at:at + 12].partition(b' ')
        if not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(data) - at:
            raise NotSplit('an extended header of it is damaged')
        key, dummy, value = data[at + len(digits) + 1:at + int(digits) - 1].partition(b'=')
        found[key] = value
        at += int(digits)
    return found
