"""Partition tables as bytes: GPT (with its backup), MBR with logical partitions. Nothing is believed without a check.

The kernel is never asked: it may be built without these tables, and a hostile table is better parsed here than there.
"""
import struct
import uuid
import zlib
from typing import Callable, List, NamedTuple, Optional, Tuple

Read = Callable[[int, int], bytes]      # (offset, bytes) -> what is there, short at the end

SECTOR = 512
GPT_SECTORS = (512, 4096)
MAX_PARTITIONS = 128
MAX_ENTRY = 4096                        # bytes of one entry of GPT
EXTENDED = (0x05, 0x0f, 0x85)
PROTECTIVE = 0xee


class Partition(NamedTuple):
    """`number` as Linux counts; `start` and `size` in bytes; `uuid` and `name` as PARTUUID and PARTLABEL say it."""
    number: int
    start: int
    size: int
    type: str
    uuid: str
    name: str


class Table(NamedTuple):
    kind: str                           # gpt | mbr | none
    partitions: Tuple[Partition, ...]
    damage: str                         # '' or one sentence


NONE = Table('none', (), '')


def table_of(read: Read, size: int) -> Table:
    """The partition table of a disk of SIZE bytes. Partitions that do not fit into it are left out, and said."""
    found = _gpt(read, size)
    if found is None:
        found = _mbr(read, size)
    return found if found is not None else NONE


def _gpt(read: Read, size: int) -> Optional[Table]:
    for sector in GPT_SECTORS:
        primary = _gpt_at(read, sector, sector, size)
        if primary is not None:
            return primary
    if not _is_protective(read(0, SECTOR)):
        return None
    for sector in GPT_SECTORS:          # only where the first sector says that this is GPT
        backup = _gpt_at(read, size // sector * sector - sector, sector, size)
        if backup is not None:
            return backup._replace(damage='The first partition table (GPT) is damaged; its backup at the end was used.')
    return Table('gpt', (), 'The partition table (GPT) and its backup are damaged.')


def _gpt_at(read: Read, where: int, sector: int, size: int) -> Optional[Table]:
    header = read(where, sector) if where > 0 else b''
    if len(header) < 92 or header[:8] != b'EFI PART':
        return None
    length, crc = struct.unpack_from('<II', header, 12)
    if not 92 <= length <= len(header):
        return None
    if zlib.crc32(header[:16] + b'\0\0\0\0' + header[20:length]) & 0xffffffff != crc:
        return None
    first, count, each, entries_crc = struct.unpack_from('<QIII', header, 72)
    if not 128 <= each <= MAX_ENTRY or not 0 < count <= 1024:
        return None
    raw = read(first * sector, count * each)
    if len(raw) < count * each or zlib.crc32(raw) & 0xffffffff != entries_crc:
        return None
    found = []
    left_out = 0
    for index in range(count):
        entry = raw[index * each:(index + 1) * each]
        if entry[:16] == b'\0' * 16:
            continue
        start, last = struct.unpack_from('<QQ', entry, 32)
        if last < start or start == 0 or (last + 1) * sector > size or len(found) >= MAX_PARTITIONS:
            left_out += 1
            continue
        name = entry[56:128].decode('utf-16-le', 'replace').split('\0')[0]
        found.append(Partition(index + 1, start * sector, (last + 1 - start) * sector, _guid(entry[:16]),
                               _guid(entry[16:32]), name))
    return Table('gpt', tuple(found), _left_out(left_out))


def _guid(raw: bytes) -> str:
    return str(uuid.UUID(bytes_le=bytes(raw)))


def _left_out(number: int) -> str:
    return '%d partitions do not fit into the disk; it may be cut off.' % number if number else ''


def _entries(sector: bytes) -> List[Tuple[int, int, int, int]]:
    """[(boot indicator, type, first sector, sectors)]"""
    found = []
    for index in range(4):
        boot, kind, start, count = struct.unpack_from('<B3xB3xII', sector, 446 + 16 * index)
        found.append((boot, kind, start, count))
    return found


def _is_mbr(sector: bytes) -> bool:
    return len(sector) == SECTOR and sector[510:] == b'\x55\xaa'


def _is_protective(sector: bytes) -> bool:
    return _is_mbr(sector) and any(kind == PROTECTIVE for dummy, kind, dummy2, dummy3 in _entries(sector))


def _is_boot_sector(sector: bytes) -> bool:
    """FAT and NTFS begin with a sector that ends as an MBR does."""
    return sector[3:11] in (b'NTFS    ', b'EXFAT   ') or sector[54:57] == b'FAT' or sector[82:85] == b'FAT'


def _mbr(read: Read, size: int) -> Optional[Table]:
    sector = read(0, SECTOR)
    if not _is_mbr(sector) or _is_boot_sector(sector):
        return None
    entries = _entries(sector)
    used = [entry for entry in entries if entry[1] and entry[3]]
    if not used or any(entry[0] not in (0, 0x80) for entry in entries):
        return None
    disk = '%08x' % struct.unpack_from('<I', sector, 440)[0]
    found, left_out = [], 0
    for index, (dummy, kind, start, count) in enumerate(entries):
        if not kind or not count:
            continue
        if start == 0 or start * SECTOR >= size:
            left_out += 1
        elif kind in EXTENDED:
            logical, outside = _logical(read, size, start, disk)
            found.extend(logical)
            left_out += outside
        elif (start + count) * SECTOR > size:
            left_out += 1
        else:
            found.append(_plain(index + 1, start, count, kind, disk))
    return Table('mbr', tuple(sorted(found)), _left_out(left_out))


def _plain(number: int, start: int, count: int, kind: int, disk: str) -> Partition:
    return Partition(number, start * SECTOR, count * SECTOR, '0x%02x' % kind, '%s-%02x' % (disk, number), '')


def _logical(read: Read, size: int, base: int, disk: str) -> Tuple[List[Partition], int]:
    """Logical partitions: a chain of sectors, each naming one partition and the next link. A loop in it ends it."""
    found, left_out, seen = [], 0, set()
    here = base
    while here not in seen and len(found) < MAX_PARTITIONS:
        seen.add(here)
        sector = read(here * SECTOR, SECTOR)
        if not _is_mbr(sector):
            break
        (dummy, kind, start, count), (dummy, next_kind, next_start, next_count) = _entries(sector)[:2]
        if kind and count:
            if start and (here + start + count) * SECTOR <= size:
                found.append(_plain(5 + len(found), here + start, count, kind, disk))
            else:
                left_out += 1
        if next_kind not in EXTENDED or not next_count:
            break
        here = base + next_start
    return found, left_out
