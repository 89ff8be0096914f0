"""Headers of a tar archive: ustar, with a PAX extended header only where ustar can't say it.

Sources: POSIX pax(1) "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Storing Sparse
Files", format PAX 1.0; star(5) for SCHILY.xattr.* and SCHILY.acl.*. What GNU tar, bsdtar and Python's tarfile
make of each case was tried; tests/unit/formats/test_tarwriter.py keeps it so.

Everything here is a pure function of its arguments: the same entry gives the same bytes on every host. User and
group names are left empty (they belong to the host that died), so readers use the numbers.
"""
import struct
from typing import Any, Iterable, Mapping, Optional, Tuple
from zlib import adler32

BLOCK = 512
REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCKDEV, FOLDER, FIFO = b'0', b'1', b'2', b'3', b'4', b'5', b'6'
END = bytes(2 * BLOCK)

MAX_NAME = 100
MAX_PREFIX = 155
MAX_SEVEN = 0o7777777                   # largest number in mode, uid, gid, device fields
MAX_ELEVEN = 0o77777777777              # largest number in size and mtime: 8 GiB - 1, the year 2242

ACL_KEYS = {b'system.posix_acl_access': b'SCHILY.acl.access', b'system.posix_acl_default': b'SCHILY.acl.default'}

_ZERO = bytes(BLOCK)
_ZEROS = tuple(bytes(count) for count in range(BLOCK))
_HEAD = b'%b%b%07o\0%07o\0%07o\0%011o\0%011o\0'    # everything before the checksum
_DEVICE0 = b'0000000\x000000000\x00'
_SPARSE_FOLDER = b'GNUSparseFile.0/'


def _sum(raw: bytes) -> int:
    """Sum of all bytes, the checksum of tar. adler32 has it in its low half, exact up to 256 bytes (65280 < 65521),
    and is 20 times faster than sum()."""
    return sum((adler32(raw[at:at + 256]) & 0xffff) - 1 for at in range(0, len(raw), 256))


def _rest(device: bytes, prefix: bytes) -> Tuple[bytes, int]:
    """(header from the magic on, sum of its bytes plus that of the blank checksum field)."""
    rest = b''.join((b'ustar\x0000', bytes(64), device, prefix.ljust(MAX_PREFIX, b'\0'), bytes(12)))
    return rest, _sum(rest) + 8 * 0x20


_PLAIN_REST = _rest(_DEVICE0, b'')


def _tail(kind: bytes, link: bytes = b'', rest: Tuple[bytes, int] = _PLAIN_REST) -> Tuple[bytes, int]:
    """(header from the type flag on, sum of its bytes plus that of the blank checksum field)."""
    return (b''.join((kind, link, _ZEROS[MAX_NAME - len(link)], rest[0])),
            kind[0] + (adler32(link) & 0xffff) - 1 + rest[1])


_TAILS = dict((kind, _tail(kind)) for kind in (REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCKDEV, FOLDER, FIFO))


def _ustar(name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int, tail: Tuple[bytes, int]) -> bytes:
    head = _HEAD % (name, _ZEROS[MAX_NAME - len(name)], mode, uid, gid, size, seconds)
    return b'%b%06o\0 %b' % (head, (adler32(head) & 0xffff) - 1 + tail[1], tail[0])     # 148 bytes: see _sum


def padding(size: int) -> bytes:
    """Zero bytes that fill the last block of SIZE bytes of data."""
    return _ZEROS[-size % BLOCK]


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record; its length counts its own digits."""
    body = b' %b=%b\n' % (key, value)
    length = len(body) + len(str(len(body)))
    if len(str(length)) != len(str(len(body))):
        length += 1
    return b'%d%b' % (length, body)


_EXTENDED = {}                          # length of the records -> header block; a handful of lengths repeat


def extended(records: bytes) -> bytes:
    """A PAX extended header (type x) that holds RECORDS (bytes)."""
    length = len(records)
    block = _EXTENDED.get(length)
    if block is None:
        block = _ustar(b'././@PaxHeader', 0o644, 0, 0, length, 0, _tail(b'x'))
        if length <= 4096:
            _EXTENDED[length] = block
    return b'%b%b%b' % (block, records, _ZEROS[-length % BLOCK])


_MTIME_BLOCK = extended(bytes(30))[:BLOCK]
_MTIME_FILL = bytes(BLOCK - 30)


def timestamp(mtime_ns: int) -> bytes:
    """PAX time: ``seconds.nanoseconds``, the sign before the whole (-1.5 is one and a half second before 1970)."""
    sign = b'-' if mtime_ns < 0 else b''
    seconds, fraction = divmod(abs(mtime_ns), 1000000000)
    return b'%b%d.%09d' % (sign, seconds, fraction) if fraction else b'%b%d' % (sign, seconds)


def _split(name: bytes) -> Optional[Tuple[bytes, bytes]]:
    """(prefix, name) of a path that fits ustar's two fields, None if it doesn't."""
    at = name.find(b'/', max(len(name) - MAX_NAME - 1, 1))
    if at < 0 or at > MAX_PREFIX or at == len(name) - 1:
        return None
    return name[:at], name[at + 1:]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode('utf-8')
    except UnicodeDecodeError:
        return False
    return True


def xattr_records(xattrs: Mapping[Any, bytes]) -> bytes:
    """PAX records of {name (str or bytes): value (bytes)}, in order of names.

    ACLs are written twice: as the raw attribute, which GNU tar restores with --xattrs-include='*' and docker load
    always, and as star's text with numeric ids, which is all that ``tar --acls`` and bsdtar look at.
    """
    found = []
    for key, value in sorted((name if isinstance(name, bytes) else name.encode('utf-8', 'surrogateescape'), value)
                             for name, value in xattrs.items()):
        if key in ACL_KEYS:
            text = acl_text(value)
            if text:
                found.append(record(ACL_KEYS[key], text))
        if b'=' in key or b'%25' in key or b'%3D' in key:
            # a key ends at its first '='; this is GNU tar's way out
            key = key.replace(b'%', b'%25').replace(b'=', b'%3D')
        found.append(record(b'SCHILY.xattr.' + key, value))
    return b''.join(found)


def acl_text(value: bytes) -> Optional[bytes]:
    """Text form of a system.posix_acl_* value (linux/posix_acl_xattr.h), ids as numbers; None if it is malformed."""
    if len(value) < 4 or (len(value) - 4) % 8 or value[:4] != b'\x02\0\0\0':
        return None
    names = {0x01: b'user:', 0x02: b'user:%d', 0x04: b'group:', 0x08: b'group:%d', 0x10: b'mask:', 0x20: b'other:'}
    found = []
    for tag, permissions, number in struct.iter_unpack('<HHI', value[4:]):
        if tag not in names or permissions > 7:
            return None
        name = names[tag] % number if tag in (0x02, 0x08) else names[tag]
        found.append(b'%b:%b%b%b' % (name, b'r' if permissions & 4 else b'-', b'w' if permissions & 2 else b'-',
                                     b'x' if permissions & 1 else b'-'))
    return b','.join(found)


def header(name: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, mtime_ns: int, link: bytes = b'',
           device: Optional[Tuple[int, int]] = None, xattrs: Optional[Mapping[Any, bytes]] = None, records: bytes = b'') -> bytes:
    """Header blocks of one member.

    NAME: bytes, folders with their trailing slash. KIND: one of the type flags above. MODE: permission bits.
    SIZE: bytes of data that follow. LINK: target of a link. DEVICE: (major, minor). XATTRS: {name: value}.
    RECORDS: further PAX records, ready made.
    """
    seconds, fraction = divmod(mtime_ns, 1000000000)
    if (len(name) <= MAX_NAME and len(link) <= MAX_NAME and uid <= MAX_SEVEN and gid <= MAX_SEVEN
            and size <= MAX_ELEVEN and 1000000000 <= seconds < MAX_ELEVEN and not (xattrs or device or records)):
        # nearly every entry; all at once, because this is what 100,000 small files cost
        head = _HEAD % (name, _ZEROS[MAX_NAME - len(name)], mode, uid, gid, size, seconds)
        tail, total = _tail(kind, link) if link else _TAILS[kind]
        total += (adler32(head) & 0xffff) - 1
        if fraction:
            return b''.join((_MTIME_BLOCK, b'30 mtime=%d.%09d\n' % (seconds, fraction), _MTIME_FILL,
                             head, b'%06o\0 ' % total, tail))
        return b''.join((head, b'%06o\0 ' % total, tail))
    if fraction or not 0 <= seconds <= MAX_ELEVEN:
        records += record(b'mtime', timestamp(mtime_ns))
        seconds = min(max(seconds, 0), MAX_ELEVEN)
    prefix = b''
    if len(name) > MAX_NAME or len(link) > MAX_NAME:
        split = (prefix, name) if len(name) <= MAX_NAME else _split(name)
        if split is None or len(link) > MAX_NAME:
            if not (_is_utf8(name) and _is_utf8(link)):
                records += b'21 hdrcharset=BINARY\n'
        if split is None:
            records += record(b'path', name)
            name = name[:MAX_NAME]
        else:
            prefix, name = split
        if len(link) > MAX_NAME:
            records += record(b'linkpath', link)
            link = link[:MAX_NAME]
    if size > MAX_ELEVEN:
        records += record(b'size', b'%d' % size)
        size = 0
    if uid > MAX_SEVEN:
        records += record(b'uid', b'%d' % uid)
        uid = MAX_SEVEN                 # not 0: who overlooks the record must not create root's files
    if gid > MAX_SEVEN:
        records += record(b'gid', b'%d' % gid)
        gid = MAX_SEVEN
    if xattrs:
        records += xattr_records(xattrs)
    rest = _PLAIN_REST
    if device or prefix:
        rest = _rest(b'%07o\0%07o\0' % device if device else _DEVICE0, prefix)
    tail = _tail(kind, link, rest)
    block = _ustar(name, mode, uid, gid, size, seconds, tail)
    return extended(records) + block if records else block


def filler(block: bytes, end: int, unit: int) -> bytes:
    """A PAX record (a comment, which readers pass over) for header(records=): with it, the data behind the header BLOCK, which END there now,
    begin at a multiple of UNIT (of 512, at least 1024). b'' where they do."""
    missing = -end % unit
    if not missing:
        return b''
    if block[156:157] != b'x':          # the record needs an extended header of its own
        missing = missing - BLOCK or unit
    return b'%d comment=%b\n' % (missing, b' ' * (missing - len(b'%d comment=\n' % missing)))


class SparseMap(object):
    """GNU sparse format 1.0: the map stands as text before the data.

    EXTENTS: ((offset, length), ...) of data in a file of SIZE bytes, ascending, not overlapping; lengths are multiples
    of 512, except that of the last (GNU tar pads each).
    `blob` precedes the data, `data` counts their bytes, `stored` is the size of the member.
    """

    def __init__(self, extents: Iterable[Tuple[int, int]], size: int) -> None:
        self.size = size
        self.extents = list(extents)
        listed = self.extents
        if not listed or sum(listed[-1]) < size:
            listed = listed + [(size, 0)]       # says how long the trailing hole is to readers without realsize
        text = b'%d\n' % len(listed) + b''.join(b'%d\n%d\n' % extent for extent in listed)
        self.blob = text + padding(len(text))
        self.data = sum(length for dummy, length in self.extents)
        self.stored = len(self.blob) + self.data

    def header(self, name: bytes, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: Optional[Mapping[Any, bytes]] = None) -> bytes:
        """Header blocks; `blob` and then the data of all extents follow, padded to a block as a whole."""
        folder, slash, base = name.rpartition(b'/')
        records = b''
        if not _is_utf8(name):
            records += b'21 hdrcharset=BINARY\n'
        records += b''.join((b'22 GNU.sparse.major=1\n', b'22 GNU.sparse.minor=0\n',
                             record(b'GNU.sparse.name', name), record(b'GNU.sparse.realsize', b'%d' % self.size)))
        shown = (folder + slash + _SPARSE_FOLDER + base)[:MAX_NAME]
        return header(shown, REGULAR, mode, uid, gid, self.stored, mtime_ns, b'', None, xattrs, records)
