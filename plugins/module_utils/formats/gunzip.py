# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streaming decompression of gzip data that may be cut off or damaged: everything before the damage is delivered."""
import itertools
import zlib

MAGIC = b'\x1f\x8b'
CHUNK = 64 * 1024
_MAX_OUT = 256 * 1024                   # bytes a piece may have: a bomb must not fill memory


class GunzipError(ValueError):
    """The data end early or are damaged; raised after everything before that was delivered.

    The message is a clause: 'the gzip data are cut off after N bytes' (N: of the unpacked data).
    """


def read_chunks(fileobj, limit=CHUNK):
    """Yield what FILEOBJ holds, in pieces of at most LIMIT bytes; file objects without buffer may give less."""
    while True:
        piece = fileobj.read(limit)
        if not piece:
            return
        yield piece


def contents(fileobj):
    """Yield what FILEOBJ (binary, at its start) holds, unpacked if it begins like gzip. Raises GunzipError, OSError."""
    pieces = read_chunks(fileobj)
    first = next(pieces, b'')
    if first == MAGIC[:1]:
        first += next(pieces, b'')
    pieces = itertools.chain((first,), pieces) if first else pieces
    return chunks(pieces) if first.startswith(MAGIC) else pieces


def chunks(pieces):
    """Decompress PIECES (iterable of bytes, all members of a gzip file); yield bytes. Raises GunzipError."""
    unpacked = 0
    stream = None
    empty = True
    for piece in pieces:
        while piece:
            if stream is None:
                if not empty and not piece.strip(b'\0'):
                    break               # padding behind the last member, as gzip itself allows it
                stream = zlib.decompressobj(31)
            try:
                out = stream.decompress(piece, _MAX_OUT)
            except zlib.error:
                raise GunzipError('the gzip data are damaged after %d bytes' % unpacked)
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
        raise GunzipError('the gzip data are cut off after %d bytes' % unpacked)
