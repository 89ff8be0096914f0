"""Lists of SHA-256 digests as coreutils writes and checks them (``sha256sum``, ``sha256sum -c``).

A line is ``<hex>  <path>\n``. If the path holds a backslash, a newline or a carriage return these are written
``\\``, ``\n``, ``\r`` and the whole line starts with a backslash (coreutils 9; older ones know no ``\r``).
"""
from typing import Iterable, Iterator, Tuple

HEX = frozenset(b'0123456789abcdefABCDEF')
DIGEST_LENGTH = 64
_UNESCAPED = {ord('\\'): b'\\', ord('n'): b'\n', ord('r'): b'\r'}


def escape(path: bytes) -> Tuple[bool, bytes]:
    """(is anything escaped, the path as it stands in the line)."""
    if 0x5c in path or 0x0a in path or 0x0d in path:        # numbers: twice as fast as one-byte strings
        return True, path.replace(b'\\', b'\\\\').replace(b'\n', b'\\n').replace(b'\r', b'\\r')
    return False, path


def unescape(raw: bytes) -> bytes:
    """The path behind an escaped one. ValueError for an escape that coreutils does not write."""
    pieces = raw.split(b'\\')
    found = [pieces[0]]
    position = 1
    while position < len(pieces):
        piece = pieces[position]
        if piece:
            letter, rest = piece[0], piece[1:]
        elif position + 1 < len(pieces):        # two backslashes: an empty piece between them
            position += 1
            letter, rest = ord('\\'), pieces[position]
        else:
            raise ValueError('a lone backslash at the end')
        if letter not in _UNESCAPED:
            raise ValueError('unknown escape')
        found.append(_UNESCAPED[letter] + rest)
        position += 1
    return b''.join(found)


def line(digest: str, path: bytes) -> bytes:
    """One line (bytes) for the hex DIGEST (str) of the file PATH (bytes)."""
    escaped, shown = escape(path)
    return b'%b%b  %b\n' % (b'\\' if escaped else b'', digest.encode('ascii'), shown)


def lines(items: Iterable[Tuple[str, bytes]]) -> bytes:
    """All of ``SHA256SUMS`` for ITEMS, pairs of (hex digest, path), in their order."""
    return b''.join([line(digest, path) for digest, path in items])


def parse(raw_lines: Iterable[bytes]) -> Iterator[Tuple[str, bytes]]:
    """Yield (hex digest in lower case, path) of RAW_LINES (an open binary file or a list of lines).

    Empty lines and comments (``#``) are passed over, as ``sha256sum -c`` does.
    ValueError, with the number of the line, for anything else: a list that lost a line must not verify.
    """
    for number, raw in enumerate(raw_lines, 1):
        if raw.endswith(b'\n'):
            raw = raw[:-1]
        if not raw or raw.startswith(b'#'):
            continue
        escaped = raw.startswith(b'\\')
        if escaped:
            raw = raw[1:]
        digest, separator, path = raw[:DIGEST_LENGTH], raw[DIGEST_LENGTH:DIGEST_LENGTH + 2], raw[DIGEST_LENGTH + 2:]
        if len(digest) != DIGEST_LENGTH or not HEX.issuperset(digest) or separator not in (b'  ', b' *') or not path:
            raise ValueError('line %d is not "<SHA-256>  <path>"' % number)
        if escaped:
            try:
                path = unescape(path)
            except ValueError as exc:
                raise ValueError('line %d: %s' % (number, exc))
        yield digest.decode('ascii').lower(), path
