"""What a device holds, by the bytes of its superblock: file systems, and members of LVM, md and LUKS.

Labels and UUIDs come from the disk: they are compared, shown, and never part of a path or an option.
"""
import struct
import uuid
from typing import Callable, NamedTuple, Optional

Read = Callable[[int, int], bytes]

# kinds that are mounted
MOUNTED = ('ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs')
# what lies in another layer; see layers
LVM, LUKS, MD = 'LVM2_member', 'crypto_LUKS', 'linux_raid_member'

_EXT4_INCOMPAT = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x8000 | 0x10000
_EXT4_RO_COMPAT = 0x8 | 0x10 | 0x20 | 0x40 | 0x400
_RECOVER, _JOURNAL_DEVICE, _HAS_JOURNAL = 0x4, 0x8, 0x4
_MD = struct.pack('<I', 0xa92b4efc)
KIB = 1024


class Found(NamedTuple):
    """`uuid` and `label` as blkid prints them. `journal`: dirty, clean, unknown (only the kernel can say), none."""
    kind: str
    uuid: str
    label: str
    journal: str
    devices: int = 1                    # of one file system (btrfs) or array (md)
    member: str = ''                    # which of them this is
    level: Optional[int] = None         # of md


def identify(read: Read, size: int) -> Optional[Found]:
    """What the device that READ reads holds; None if nothing is known of it."""
    for probe in (_md, _luks, _lvm, _xfs, _btrfs, _ext, _f2fs, _others):
        found = probe(read, size)
        if found is not None:
            return found
    return None


def _text(raw: bytes) -> str:
    return raw.split(b'\0')[0].decode('utf-8', 'backslashreplace').strip()


def _uuid(raw: bytes) -> str:
    return str(uuid.UUID(bytes=bytes(raw)))


def _ext(read: Read, dummy: int) -> Optional[Found]:
    block = read(KIB, KIB)
    if len(block) < KIB or block[56:58] != b'\x53\xef':
        return None
    compat, incompat, ro_compat = struct.unpack_from('<III', block, 92)
    if incompat & _JOURNAL_DEVICE:
        return Found('jbd', _uuid(block[104:120]), _text(block[120:136]), 'unknown')
    kind = 'ext4' if incompat & _EXT4_INCOMPAT or ro_compat & _EXT4_RO_COMPAT else \
        'ext3' if compat & _HAS_JOURNAL else 'ext2'
    journal = 'none' if not compat & _HAS_JOURNAL else 'dirty' if incompat & _RECOVER else 'clean'
    return Found(kind, _uuid(block[104:120]), _text(block[120:136]), journal)


def _xfs(read: Read, dummy: int) -> Optional[Found]:
    block = read(0, 512)
    if len(block) < 512 or block[:4] != b'XFSB':
        return None
    return Found('xfs', _uuid(block[32:48]), _text(block[108:120]), 'unknown')


def _btrfs(read: Read, dummy: int) -> Optional[Found]:
    block = read(64 * KIB, 4 * KIB)
    if len(block) < 4 * KIB or block[64:72] != b'_BHRfS_M':
        return None
    devices, = struct.unpack_from('<Q', block, 136)
    log_root, = struct.unpack_from('<Q', block, 96)
    return Found('btrfs', _uuid(block[32:48]), _text(block[299:555]), 'dirty' if log_root else 'clean',
                 min(devices, 1024), str(struct.unpack_from('<Q', block, 201)[0]))


def _f2fs(read: Read, dummy: int) -> Optional[Found]:
    block = read(KIB, 2 * KIB)
    if len(block) < 2 * KIB or block[:4] != struct.pack('<I', 0xf2f52010):
        return None
    label = block[124:124 + 1024].decode('utf-16-le', 'replace').split('\0')[0]
    return Found('f2fs', _uuid(block[108:124]), label, 'unknown')


def _luks(read: Read, dummy: int) -> Optional[Found]:
    block = read(0, 512)
    if block[:6] != b'LUKS\xba\xbe' or len(block) < 512:
        return None
    version, = struct.unpack_from('>H', block, 6)
    return Found(LUKS, _text(block[168:208]), _text(block[24:72]) if version == 2 else '', 'none')


def _lvm(read: Read, dummy: int) -> Optional[Found]:
    for sector in range(4):
        block = read(sector * 512, 512)
        if block[:8] == b'LABELONE' and block[24:32] == b'LVM2 001':
            where, = struct.unpack_from('<I', block, 20)
            raw = block[where:where + 32].decode('ascii', 'replace') if where <= 480 else ''
            parts = [raw[:6], raw[6:10], raw[10:14], raw[14:18], raw[18:22], raw[22:26], raw[26:32]]
            return Found(LVM, '-'.join(parts), '', 'none')
    return None


def _md(read: Read, size: int) -> Optional[Found]:
    sectors = size // 512
    for where in (4 * KIB, 0, (sectors - 16 & ~7) * 512):           # 1.2, 1.1, 1.0
        block = read(where, 256) if 0 <= where < size else b''
        if len(block) == 256 and block[:4] == _MD and struct.unpack_from('<I', block, 4)[0] == 1:
            level, = struct.unpack_from('<i', block, 72)
            disks, = struct.unpack_from('<I', block, 92)
            number, = struct.unpack_from('<I', block, 160)
            return Found(MD, _uuid(block[16:32]), _text(block[32:64]), 'none', min(disks, 1024), str(number), level)
    where = (size & ~(64 * KIB - 1)) - 64 * KIB                     # 0.90
    block = read(where, 256) if where > 0 else b''
    if len(block) == 256 and block[:4] == _MD and struct.unpack_from('<I', block, 4)[0] == 0:
        raw = block[20:24] + block[52:64]
        level, dummy, dummy, disks = struct.unpack_from('<iIII', block, 28)
        return Found(MD, _uuid(raw), '', 'none', min(disks, 1024), '', level)
    return None


def _others(read: Read, size: int) -> Optional[Found]:
    """What is named but not mounted: it holds no container's data, or cannot be read without more tools."""
    first = read(0, 4 * KIB)
    if first[4086:4096] == b'SWAPSPACE2':
        return Found('swap', _uuid(first[1036:1052]), _text(first[1052:1068]), 'none')
    if first[:4] == b'hsqs':
        return Found('squashfs', '', '', 'none')
    if first[3:11] == b'NTFS    ':
        return Found('ntfs', '', '', 'none')
    if first[510:512] == b'\x55\xaa' and (first[82:87] == b'FAT32' or first[54:57] == b'FAT'):
        at, name = (67, first[71:82]) if first[82:87] == b'FAT32' else (39, first[43:54])
        serial, = struct.unpack_from('<I', first, at)
        return Found('vfat', '%04X-%04X' % (serial >> 16, serial & 0xffff), _text(name), 'none')
    if read(KIB, 4) == struct.pack('<I', 0xe0f5e1e2):
        return Found('erofs', '', '', 'none')
    if read(32 * KIB + 1, 5) == b'CD001':
        return Found('iso9660', '', _text(read(32 * KIB + 40, 32)), 'none')
    labels = read(128 * KIB, 128 * KIB) if size > 256 * KIB else b''
    if any(labels[at:at + 8] in (struct.pack('<Q', 0x00bab10c), struct.pack('>Q', 0x00bab10c)) for at in range(0, len(labels), KIB)):
        return Found('zfs_member', '', '', 'none')
    return None
