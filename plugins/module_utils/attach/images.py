"""Image files of disks: which format, which further files belong to it, and the graph of block devices that QEMU gets.

An image names other files (backing files, extents, data files). These names are untrusted: a hostile image could name
/etc/shadow or a server. So QEMU never follows one: every file is found here, in the folder of the image, and handed over
with its format. No format is ever guessed by QEMU.
"""
import os
import re
import stat
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

from ..disk.errors import LifeboatError
from ..formats.wording import show

RAW, QCOW2, VHDX, VMDK, VDI, VHD = 'raw', 'qcow2', 'vhdx', 'vmdk', 'vdi', 'vpc'
MAX_CHAIN = 32                          # backing files below each other
MAX_DESCRIPTOR = 1 << 20
MAX_EXTENTS = 4096
_EXTENT = re.compile(r'^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z]+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?\s*$')
_FIRST_PART = re.compile(r'(.*[._-])((?:0*[01])|a{2,4})\Z')


class Image(NamedTuple):
    """A disk as QEMU has to open it. `files`: every file that is read, the image first. `graph`: a block device of QEMU,
    as a dictionary for --blockdev, without node names; {} if the file can be read as it is."""
    path: str
    format: str
    files: Tuple[str, ...]
    graph: Dict[str, Any]


def image_of(path: str) -> Image:
    """The Image at PATH: a block device, or a regular file. LifeboatError if there is none, or one that cannot be used."""
    path = os.path.abspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as exc:
        raise LifeboatError('path: %s cannot be used (%s)' % (show(path), exc.strerror))
    if stat.S_ISBLK(mode):
        return Image(path, RAW, (path,), {})
    if not stat.S_ISREG(mode):
        raise LifeboatError('path: %s is neither a block device nor the image file of a disk' % show(path))
    parts = _parts(path)
    if len(parts) > 1:
        return Image(path, RAW, tuple(parts), {})
    return _file(path, ())


def _file(path: str, chain: Tuple[str, ...]) -> Image:
    kind = format_of(path)
    if kind == QCOW2:
        return _qcow2(path, chain)
    if kind == VMDK:
        files = (path,) + tuple(_extents(path))
    else:
        files = (path,)
    graph = {} if kind == RAW and not chain else {'driver': kind, 'read-only': True, 'file': _plain(path)}
    return Image(path, kind, files, graph)


def _plain(path: str) -> Dict[str, Any]:
    return {'driver': 'file', 'filename': path, 'read-only': True}


def format_of(path: str) -> str:
    """The format of the image file, by its first bytes (VHD: its last sector). RAW where none is known."""
    with open(path, 'rb') as stream:
        first = stream.read(512)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 512))
        last = stream.read(512)
    if first[:4] == b'QFI\xfb':
        return QCOW2
    if first[:8] == b'vhdxfile':
        return VHDX
    if first[:4] in (b'KDMV', b'COWD') or first[:21].lower() == b'# disk descriptorfile':
        return VMDK
    if first[64:68] == b'\x7f\x10\xda\xbe':
        return VDI
    if first[:8] == b'conectix' or last[:8] == b'conectix':
        return VHD
    return RAW


def _beside(path: str, name: str, what: str) -> str:
    """The file NAME, as the image PATH names it, in the folder of the image. A regular file, not a link."""
    base = name.replace('\\', '/').rstrip('/').rsplit('/', 1)[-1]
    place = os.path.join(os.path.dirname(path), base)
    if base in ('', '.', '..') or '\0' in base:
        raise LifeboatError('%s names a %s without a name; the image is damaged or hostile' % (show(path), what))
    try:
        if not stat.S_ISREG(os.lstat(place).st_mode):
            raise LifeboatError('%s, a %s of %s, is not a regular file' % (show(place), what, show(path)))
    except OSError:
        raise LifeboatError('%s needs the %s %s, which is not in its folder; bring that file there under the name %s' % (
            show(path), what, show(name), show(base)))
    return place


# -- qcow2 -----------------------------------------------------------------------------------------------------------


def _qcow2(path: str, chain: Tuple[str, ...]) -> Image:
    if path in chain or len(chain) >= MAX_CHAIN:
        raise LifeboatError('The backing files of %s lead in a circle, or there are more than %d of them' % (show(path), MAX_CHAIN))
    with open(path, 'rb') as stream:
        header = stream.read(104)
        if len(header) < 72:
            raise LifeboatError('%s is cut off: its header is not whole' % show(path))
        version, where, length = struct.unpack_from('>IQI', header, 4)
        crypt, = struct.unpack_from('>I', header, 32)
        features = struct.unpack_from('>Q', header, 72)[0] if version >= 3 and len(header) >= 104 else 0
        stream.seek(where if where < 1 << 32 else 0)
        name = stream.read(length).decode('utf-8', 'surrogateescape') if where and 0 < length < 1024 else ''
        backing_format = _qcow2_backing_format(stream, header, version)
    if version not in (2, 3):
        raise LifeboatError('%s is qcow of version %d; convert it with qemu-img convert first' % (show(path), version))
    if crypt:
        raise LifeboatError('%s is encrypted inside qcow2; convert it with qemu-img convert first' % show(path))
    if features & 4:
        raise LifeboatError('%s keeps its data in an external data file; convert it with qemu-img convert first' % show(path))
    graph = {'driver': QCOW2, 'read-only': True, 'file': _plain(path)}
    files = (path,)
    if name:
        place = _beside(path, name, 'backing file')
        # a raw disk may begin like an image of another format: what the header says goes first
        below = Image(place, RAW, (place,), {'driver': RAW, 'read-only': True, 'file': _plain(place)}) if backing_format == RAW \
            else _file(place, chain + (path,))
        graph['backing'] = below.graph
        files += below.files
    else:
        graph['backing'] = None
    return Image(path, QCOW2, files, graph)


def _qcow2_backing_format(stream: Any, header: bytes, version: int) -> str:
    """The format of the backing file as a header extension says it; '' if none does."""
    at = struct.unpack_from('>I', header, 100)[0] if version >= 3 and len(header) >= 104 else 72
    for dummy in range(64):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack('>II', head)
        if kind == 0 or length > 4096:
            break
        if kind == 0xe2792aca:
            return stream.read(length).decode('ascii', 'replace')
        at += 8 + (length + 7 & ~7)
    return ''


# -- vmdk ------------------------------------------------------------------------------------------------------------


def _extents(path: str) -> List[str]:
    """The files beside a VMDK that hold its data; [] if it holds them itself. Their names are checked, QEMU reads them."""
    with open(path, 'rb') as stream:
        first = stream.read(512)
        if first[:4] == b'KDMV':
            where, length = struct.unpack_from('<QQ', first, 28)
            if not where or length > MAX_DESCRIPTOR // 512:
                return []
            stream.seek(where * 512)
            raw = stream.read(length * 512)
        elif first[:4] == b'COWD':
            return []
        else:
            stream.seek(0)
            raw = stream.read(MAX_DESCRIPTOR)
    text = raw.split(b'\0')[0].decode('utf-8', 'surrogateescape')
    if re.search(r'^parentFileNameHint', text, re.M):
        raise LifeboatError('%s is a snapshot of another disk; consolidate it, or convert it with qemu-img convert first' % show(path))
    found = []
    for line in text.splitlines():
        match = _EXTENT.match(line)
        if match is None or match.group(3) == 'ZERO' or match.group(4) is None:
            continue
        name = match.group(4)
        if '/' in name or '\\' in name or ':' in name:
            raise LifeboatError('%s names an extent outside its folder (%s)' % (show(path), show(name)))
        if name == os.path.basename(path):
            continue                    # a sparse image in one file names itself
        if first[:4] == b'KDMV':
            continue                    # renamed: the data are in this file, QEMU reads no other
        found.append(_beside(path, name, 'extent'))
        if len(found) > MAX_EXTENTS:
            raise LifeboatError('%s names more than %d extents' % (show(path), MAX_EXTENTS))
    return found


# -- split images ----------------------------------------------------------------------------------------------------


def _parts(path: str) -> List[str]:
    """A raw image in pieces: PATH ends with .001, .000, .00, .aa; the pieces in order. [PATH] if it is whole."""
    match = _FIRST_PART.match(os.path.basename(path))
    if match is None or format_of(path) != RAW:
        return [path]
    stem, first = match.groups()
    found = [path]
    counter = first
    while len(found) < MAX_EXTENTS:
        counter = _next(counter)
        place = os.path.join(os.path.dirname(path), stem + counter)
        if not counter or not os.path.isfile(place) or os.path.islink(place):
            break
        found.append(place)
    return found


def _next(counter: str) -> str:
    """'001' -> '002', 'az' -> 'ba'; '' after the last."""
    if counter.isdigit():
        following = '%0*d' % (len(counter), int(counter) + 1)
        return following if len(following) == len(counter) else ''
    letters = list(counter)
    for index in range(len(letters) - 1, -1, -1):
        if letters[index] != 'z':
            letters[index] = chr(ord(letters[index]) + 1)
            return ''.join(letters)
        letters[index] = 'a'
    return ''


def joined(parts: Tuple[str, ...]) -> str:
    """A VMDK descriptor that shows raw PARTS as one disk. LifeboatError where one of them cannot be a piece of a disk."""
    lines = ['# Disk DescriptorFile', 'version=1', 'CID=fffffffe', 'parentCID=ffffffff', 'createType="twoGbMaxExtentFlat"']
    total = 0
    for part in parts:
        size = os.stat(part).st_size
        if size % 512 or not size or '"' in part or '\n' in part:
            raise LifeboatError('%s cannot be a piece of a disk: its size is no multiple of 512, or its name has quotes' % show(part))
        lines.append('RW %d FLAT "%s" 0' % (size // 512, part))
        total += size
    lines += ['ddb.virtualHWVersion = "4"', 'ddb.geometry.cylinders = "%d"' % min(16383, total // (512 * 16 * 63) + 1),
              'ddb.geometry.heads = "16"', 'ddb.geometry.sectors = "63"', 'ddb.adapterType = "ide"']
    return '\n'.join(lines) + '\n'
