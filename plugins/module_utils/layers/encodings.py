"""How a layer's folder says what it hides below it: one strategy a way of writing it down.

A strategy answers five questions about a folder of its layer; :mod:`union` does the rest. A new storage driver
that writes layers in one of these ways needs nothing here; one with a way of its own adds a class of this shape.
Sources: the kernel's overlayfs documentation and namei.c, aufs' whiteout names as in the OCI layer
specification, fuse-overlayfs' main.c.
"""
import os
import stat
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..disk import safeio
from ..records import model

WH = b'.wh.'
WH_META = b'.wh..wh.'                   # aufs' own bookkeeping, never a deletion
WH_OPAQUE = b'.wh..wh..opq'
WH_OPAQUE_TOO = b'.wh..opq'             # a device that fuse-overlayfs makes beside it
MAX_REDIRECT = 256                      # bytes; the kernel refuses longer ones


class FolderMarks(NamedTuple):
    opaque: bool = False                # hides everything below
    redirect: Optional[bytes] = None    # where the lower part of this folder lies
    xwhiteouts: bool = False            # deletions may be empty files with an xattr


NO_MARKS = FolderMarks()


class Plain(object):
    """A full copy of the file system: nothing lies below it."""
    hides_all = True
    by_name = False                     # deletions are names of their own (.wh.NAME)
    metacopy_mark: Optional[str] = None     # xattr of a file whose data lie in a lower layer

    def split(self, names: Sequence[bytes]) -> Tuple[Sequence[bytes], Sequence[bytes], bool]:
        """names of the folder -> (names of real entries, names deleted below, whether the folder is opaque)."""
        return names, (), False

    def marks(self, folder: safeio.Dir) -> FolderMarks:
        """FolderMarks of an open folder."""
        return NO_MARKS

    def is_whiteout(self, st: os.stat_result, folder: safeio.Dir, name: bytes, marks: FolderMarks) -> bool:
        return False

    def metacopy(self, attrs: Dict[str, bytes]) -> Optional[bytes]:
        """None for a file with its own data, else the redirect (b'' for none) under which they lie below."""
        return None

    def clean(self, attrs: Dict[str, bytes]) -> Dict[str, bytes]:
        """xattrs as the container saw them."""
        return attrs

    def seen_stat(self, st: os.stat_result, folder: safeio.Dir, name: bytes) -> os.stat_result:
        """lstat as the container saw it."""
        return st


class Overlay(Plain):
    """Kernel overlayfs. PREFIX is ``trusted.overlay.``, or ``user.overlay.`` for mounts in a user namespace."""
    hides_all = False

    def __init__(self, prefix: str = 'trusted.overlay.') -> None:
        self.prefix = prefix
        self.metacopy_mark = prefix + 'metacopy'

    def marks(self, folder: safeio.Dir) -> FolderMarks:
        fd = folder.fd
        names = os.listxattr(fd)
        if not names:
            return NO_MARKS
        opaque = redirect = None
        for name in names:
            if name == self.prefix + 'opaque':
                opaque = os.getxattr(fd, name)
            elif name == self.prefix + 'redirect':
                redirect = valid_redirect(os.getxattr(fd, name))
        if opaque is None and redirect is None:
            return NO_MARKS
        return FolderMarks(opaque == b'y', redirect, opaque == b'x')

    def is_whiteout(self, st: os.stat_result, folder: safeio.Dir, name: bytes, marks: FolderMarks) -> bool:
        if stat.S_ISCHR(st.st_mode):
            return st.st_rdev == 0
        if marks.xwhiteouts and stat.S_ISREG(st.st_mode) and st.st_size == 0:
            return self.prefix + 'whiteout' in os.listxattr(folder.node(name), follow_symlinks=False)
        return False

    def metacopy(self, attrs: Dict[str, bytes]) -> Optional[bytes]:
        if self.metacopy_mark not in attrs:
            return None
        return valid_redirect(attrs.get(self.prefix + 'redirect', b'')) or b''

    def clean(self, attrs: Dict[str, bytes]) -> Dict[str, bytes]:
        if not attrs or not any(name.startswith(self.prefix) for name in attrs):
            return attrs
        kept = {}
        for name, value in attrs.items():
            if not name.startswith(self.prefix):
                kept[name] = value
            elif name.startswith(self.prefix + 'overlay.'):
                # the mark of an overlay inside the container, escaped by one level
                kept[self.prefix + name[len(self.prefix) + len('overlay.'):]] = value
        return kept


class Aufs(Plain):
    """Deletions are files named ``.wh.NAME``."""
    hides_all = False
    by_name = True

    def split(self, names: Sequence[bytes]) -> Tuple[Sequence[bytes], Sequence[bytes], bool]:
        if not any(name.startswith(WH) for name in names):
            return names, (), False
        real, deleted, opaque = [], [], False
        for name in names:
            if not name.startswith(WH):
                real.append(name)
            elif name == WH_OPAQUE:
                opaque = True
            elif not name.startswith(WH_META) and len(name) > len(WH):
                deleted.append(name[len(WH):])
        return real, deleted, opaque


class FuseOverlayfs(Aufs):
    """Any of the forms that fuse-overlayfs reads: device or file whiteouts, three xattrs or a file for opaque."""
    OPAQUE = ('trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque')
    OVERRIDE = ('user.containers.override_stat', 'user.fuseoverlayfs.override_stat',
                'security.fuseoverlayfs.override_stat')
    PRIVATE = ('trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.', 'security.fuseoverlayfs.')
    TYPES = {b'dir': stat.S_IFDIR, b'file': stat.S_IFREG, b'symlink': stat.S_IFLNK,
             b'pipe': stat.S_IFIFO, b'socket': stat.S_IFSOCK}

    def split(self, names: Any) -> Any:
        if WH_OPAQUE in names:          # else .wh..opq deletes a file named .opq
            names = [name for name in names if name != WH_OPAQUE_TOO]
        return Aufs.split(self, names)

    def marks(self, folder: safeio.Dir) -> FolderMarks:
        attrs = safeio.xattrs_of(folder.fd)
        redirect = attrs.get('trusted.overlay.redirect', attrs.get('user.overlay.redirect'))
        return FolderMarks(any(attrs.get(name) == b'y' for name in self.OPAQUE),
                           valid_redirect(redirect) if redirect else None, False)

    def is_whiteout(self, st: os.stat_result, folder: safeio.Dir, name: bytes, marks: FolderMarks) -> bool:
        return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0

    def clean(self, attrs: Dict[str, bytes]) -> Dict[str, bytes]:
        return {name: value for name, value in attrs.items()
                if not name.startswith(self.PRIVATE) and name not in self.OVERRIDE}

    def seen_stat(self, st: os.stat_result, folder: safeio.Dir, name: bytes) -> os.stat_result:
        if not stat.S_ISREG(st.st_mode) and not stat.S_ISDIR(st.st_mode):
            return st
        attrs = safeio.xattrs_of(folder.node(name), follow_symlinks=False)
        for key in self.OVERRIDE:
            if key in attrs:
                return overridden(st, attrs[key], self.TYPES)
        return st


def overridden(st: os.stat_result, value: bytes, types: Mapping[bytes, int]) -> os.stat_result:
    """Apply ``uid:gid:octalmode[:type]``; an unreadable value changes nothing."""
    parts = value.rstrip(b'\0').split(b':')
    try:
        uid, gid, mode = int(parts[0]), int(parts[1]), int(parts[2], 8)
    except (ValueError, IndexError):
        return st
    kind = stat.S_IFMT(st.st_mode)
    rdev = st.st_rdev
    if len(parts) > 3:
        kind = next((types[name] for name in types if parts[3].startswith(name)), kind)
        device = parts[3].split(b'-')
        if device[0] in (b'block', b'char') and len(device) == 3 and device[1].isdigit() and device[2].isdigit():
            kind = stat.S_IFBLK if device[0] == b'block' else stat.S_IFCHR
            rdev = os.makedev(int(device[1]), int(device[2]))
    plain = list(st)[:10]
    plain[0], plain[4], plain[5] = kind | (mode & 0o7777), uid, gid
    return os.stat_result(plain, {'st_mtime_ns': st.st_mtime_ns, 'st_atime_ns': st.st_atime_ns,
                                  'st_ctime_ns': st.st_ctime_ns, 'st_rdev': rdev, 'st_blocks': st.st_blocks,
                                  'st_blksize': st.st_blksize, 'st_mtime': st.st_mtime, 'st_atime': st.st_atime,
                                  'st_ctime': st.st_ctime})


def valid_redirect(value: bytes) -> Optional[bytes]:
    """The redirect, or None where the kernel would answer EIO: empty, too long, or with an inner slash but no leading one."""
    value = value.rstrip(b'\0')
    if not value or len(value) > MAX_REDIRECT or b'\0' in value:
        return None
    parts = value.split(b'/')
    if value.startswith(b'/'):
        return value if all(part not in (b'', b'.', b'..') for part in parts[1:]) else None
    return value if len(parts) == 1 and value not in (b'.', b'..') else None


ENCODINGS = {
    model.PLAIN: Plain(),
    model.OVERLAY: Overlay(),
    model.OVERLAY_USER: Overlay('user.overlay.'),
    model.AUFS: Aufs(),
    model.FUSE_OVERLAYFS: FuseOverlayfs(),
}
