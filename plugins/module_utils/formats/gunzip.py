"""Streaming decompression of gzip data that may be cut off or damaged: everything before the damage is delivered."""
import itertools
import zlib
from typing import TYPE_CHECKING, Iterable, Iterator

from . import pieces, wording

if TYPE_CHECKING:
    from .pieces import Readable

MAGIC = b'\x1f\x8b'
CHUNK = 64 * 1024
_MAX_OUT = 256 * 1024                   # bytes a piece may have: a bomb must not fill memory


class GunzipError(ValueError):
    """The data end early or are damaged; raised after everything before that was delivered.

    The message is a clause: 'the gzip data are cut off after N bytes' (N: of the unpacked data).
    """


def contents(fileobj: 'Readable') -> Iterator[bytes]:
    """Yield what FILEOBJ (binary, at its start) holds, unpacked if it begins like gzip. Raises GunzipError, OSError."""
    found = pieces.of(fileobj, CHUNK)
    first = next(found, b'')
    if first == MAGIC[:1]:
        first += next(found, b'')
    found = itertools.chain((first,), found) if first else found
    return chunks(found) if first.startswith(MAGIC) else found


def chunks(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress PACKED (iterable of bytes, all members of a gzip file); yield bytes. Raises GunzipError."""
    unpacked = 0
    stream = None
    empty = True
    for piece in packed:
        while piece:
            if stream is None:
                if not empty and not piece.strip(b'\0'):
                    break               # padding behind the last member, as gzip itself allows it
                stream = zlib.decompressobj(31)
            try:
                out = stream.decompress(piece, _MAX_OUT)
            except zlib.error:
                raise GunzipError('the gzip data are damaged after %s' % wording.number(unpacked, 'byte'))
            if out:
                unpacked += len(out)
                yield out
            if stream.eof:
                piece = stream.unused_data
                stream = None
                empty = False
            else:
                piece = stream.unconsumed_tail
    if stream is not None or empty:
        raise GunzipError('the gzip data are cut off after %s' % wording.number(unpacked, 'byte'))
