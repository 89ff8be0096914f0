"""The one loop that reads: all that a descriptor or a stream holds, in pieces."""
import functools
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional, Tuple, Union

if TYPE_CHECKING:
    import hashlib
    from typing import Protocol  # Python 3.8

    class Readable(Protocol):
        """What gives its bytes by read(n), fewer than n only at its end, as an open file does."""
        def read(self, __size: int) -> bytes:
            ...

    class ReadableFile(Readable, Protocol):
        """The same, to be closed."""
        def close(self) -> Any:
            ...

    class Writable(Protocol):
        """What takes bytes by write(), as an open file does."""
        def write(self, __data: Union[bytes, memoryview]) -> Any:
            ...

CHUNK = 1 << 20
PAGE = 4096                             # what a disk that fails gives or does not give


def of(source: 'Union[int, Readable]', size: int = CHUNK) -> Iterator[bytes]:
    """Iterate over the bytes that SOURCE, a descriptor or an object with read(n), holds from where it stands, in pieces of at most
    SIZE. What read(2) or the object raises comes through."""
    if isinstance(source, int):
        return iter(functools.partial(os.read, source, size), b'')
    return _of_stream(source, size)


def _of_stream(source: 'Readable', size: int) -> Iterator[bytes]:
    piece = source.read(size)
    while piece:
        yield piece
        piece = source.read(size)


def joined(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """PIECES (bytes) with small ones put together, so that there are no more than needed; one of SIZE bytes comes as it is."""
    held, total = [], 0
    for piece in pieces:
        if len(piece) < size:
            held.append(piece)
            total += len(piece)
        if total >= size or (held and len(piece) >= size):
            yield b''.join(held)
            held, total = [], 0
        if len(piece) >= size:
            yield piece
    if held:
        yield b''.join(held)


def up_to(read: Callable[[int], bytes], most: int) -> bytes:
    """The next MOST bytes that READ(n) gives, fewer only at its end. What READ raises comes through."""
    found = []
    while most > 0:
        piece = read(min(most, CHUNK))
        if not piece:
            break
        found.append(piece)
        most -= len(piece)
    return found[0] if len(found) == 1 else b''.join(found)


def hashed(source: 'Union[int, Readable]', write: Optional[Callable[[bytes], Any]] = None) -> 'Tuple[hashlib._Hash, int]':
    """(SHA-256 object, number of bytes) of what SOURCE holds, see :func:`of`; WRITE, if given, is called with each piece."""
    import hashlib  # loads OpenSSL, which those who only read do without
    digest, size = hashlib.sha256(), 0
    for piece in of(source):
        digest.update(piece)
        size += len(piece)
        if write is not None:
            write(piece)
    return digest, size


def salvaged(fd: int, offset: int, length: int, lost: Callable[[int, int, OSError], Any]) -> bytes:
    """LENGTH bytes from OFFSET of a file, read page by page; fewer only where the file ends. A page that cannot be read is zeros, and
    LOST(start, end, OSError) is told."""
    found, end = [], offset + length
    while offset < end:
        step = min(PAGE - offset % PAGE, end - offset)
        try:
            data = os.pread(fd, step, offset)
        except OSError as exc:
            data = bytes(step)
            lost(offset, offset + step, exc)
        if not data:
            break
        found.append(data)
        offset += len(data)
    return b''.join(found)
