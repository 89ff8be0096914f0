"""Redis and Valkey: dumps, append-only files."""
import re
import struct
from typing import TYPE_CHECKING, Optional, Tuple

from .look import Finder, Kind, Match, words

if TYPE_CHECKING:
    from .look import Look


def _rdb_field(raw: bytes, at: int) -> Tuple[bytes, int]:
    """(value, next offset) of an RDB string: plain with 6, 14 or 32 bits of length, or an integer (rdb.h)."""
    first = raw[at]
    kind = first >> 6
    if kind == 0:
        start, size = at + 1, first & 63
    elif kind == 1:
        start, size = at + 2, (first & 63) << 8 | raw[at + 1]
    elif first == 0x80:
        start, size = at + 5, struct.unpack('>I', raw[at + 1:at + 5])[0]
    elif first in (0xC0, 0xC1, 0xC2):
        start, size = at + 1, 1 << (first & 3)
    else:
        raise ValueError('compressed')
    return raw[start:start + size], start + size


def redis_dump(look: 'Look', name: bytes) -> Optional[Match]:
    """An RDB file: magic and format, then AUX fields such as redis-ver; no key follows where it is empty."""
    head = look.head(name, 1024)
    magic = re.match(br'(?:REDIS|VALKEY)\d{3,4}', head)
    if not magic:
        return None
    engine = 'valkey' if head.startswith(b'VALKEY') else 'redis'
    version = None
    empty = False
    at = magic.end()
    try:
        while head[at] == 0xFA:
            key, at = _rdb_field(head, at + 1)
            value, at = _rdb_field(head, at)
            if key in (b'redis-ver', b'valkey-ver'):
                version = words(value)
                engine = key[:-4].decode('ascii')
        empty = head[at] == 0xFF
    except (IndexError, ValueError, struct.error):
        pass
    return Match(engine, version, magic.group().decode('ascii') + ' dump', name=name, empty=empty)


def redis_log(look: 'Look', name: bytes) -> Optional[Match]:
    """An append-only file: begins with a command in RESP, or with an RDB preamble."""
    head = look.head(name, 64)
    if head.startswith((b'REDIS', b'VALKEY')):
        found = redis_dump(look, name)
        return found and found._replace(empty=False, evidence='append-only file with ' + found.evidence)
    if not re.match(br'(?:#TS:\d+\r\n)?\*\d+\r\n\$\d+\r\n', head):
        return None
    return Match('redis', None, 'append-only file', name=name)


def redis_parts(look: 'Look', name: bytes) -> Optional[Match]:
    """Redis 7: a folder of append-only files with a manifest."""
    head = look.head(name, 512)
    if not re.match(br'file \S+ seq \d+ type [bhi]', head):
        return None
    version, empty = None, True
    for part in look.names():
        if part.endswith(b'.rdb'):
            found = redis_dump(look, part)
            if found:
                version = found.version or version
                empty = empty and found.empty
        elif part.endswith(b'.aof') and look.size(part) > 0:
            empty = False
    return Match('redis', version, 'append-only manifest', empty=empty)


KINDS = (
    Kind('redis', 'Redis', building_block=True,
         variables=('REDIS_VERSION',),
         clean='Loads its dump or append-only file at the start.',
         crashed='Loads its append-only file (or, without one, the last dump) at the start; a '
                 'cut last record is dropped if aof-load-truncated is yes, its default.'),
    Kind('valkey', 'Valkey', building_block=True,
         variables=('VALKEY_VERSION',),
         clean='Loads its dump or append-only file at the start.',
         crashed='Loads its append-only file (or, without one, the last dump) at the start.'),
)
FINDER = Finder(KINDS, {b'appendonly.aof.manifest': redis_parts},
                tails={b'.rdb': redis_dump, b'.aof': redis_log})
