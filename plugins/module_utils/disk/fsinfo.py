"""File systems: what is mounted where, what fstab would mount, how much room is left, what lies in what.

Paths are bytes, absolute, on the managed node. Formats: proc_pid_mountinfo(5), fstab(5), systemd.mount(5).
"""
import os
import re
from typing import NamedTuple, Optional, Sequence, Tuple

from ..formats.patterns import Lazy

_ESCAPE = Lazy(br'\\([0-7]{3})')
# Another machine may use these at the same time: a lock that is free here says nothing.
SHARED = ('nfs', 'nfs4', 'cifs', 'smb3', 'smbfs', '9p', 'virtiofs', 'ceph', 'glusterfs', 'lustre', 'gfs2', 'ocfs2',
          'vboxsf', 'prl_fs', 'afs', 'beegfs')


class MountPoint(NamedTuple):
    """A line of mountinfo. `root` is the folder inside the file system that shows at `point`."""
    id: int
    parent: int
    dev: bytes                          # major:minor of the file system; the same for all its mounts
    root: bytes
    point: bytes
    options: Tuple[bytes, ...]
    fstype: str
    source: bytes
    super_options: Tuple[bytes, ...]


class FstabEntry(NamedTuple):
    source: bytes
    point: bytes
    fstype: str
    options: Tuple[bytes, ...]

    @property
    def is_bind(self) -> bool:
        return b'bind' in self.options or b'rbind' in self.options


class Free(NamedTuple):
    """Room for an unprivileged writer. `inodes` None: the file system has no fixed number of them."""
    bytes: int
    inodes: Optional[int]
    total: int


def unescape(raw: bytes) -> bytes:
    r"""``\040`` and the like in mountinfo and fstab -> bytes."""
    return _ESCAPE.sub(lambda found: bytes(bytearray([int(found.group(1), 8) & 0xff])), raw)


def parse_mountinfo(raw: bytes) -> Tuple[MountPoint, ...]:
    """Lines of /proc/PID/mountinfo -> tuple of MountPoint; what is not such a line is left out."""
    found = []
    for line in raw.split(b'\n'):
        fields = line.split(b' ')
        try:
            dash = fields.index(b'-', 6)
            found.append(MountPoint(int(fields[0]), int(fields[1]), fields[2], unescape(fields[3]),
                                    unescape(fields[4]), tuple(fields[5].split(b',')),
                                    fields[dash + 1].decode('ascii', 'replace'), unescape(fields[dash + 2]),
                                    tuple(fields[dash + 3].split(b','))))
        except (ValueError, IndexError):
            continue
    return tuple(found)


def mounts() -> Tuple[MountPoint, ...]:
    """What is mounted in our mount namespace; () where /proc cannot be read."""
    try:
        with open('/proc/self/mountinfo', 'rb') as stream:
            return parse_mountinfo(stream.read())
    except OSError:
        return ()


def parse_fstab(raw: bytes) -> Tuple[FstabEntry, ...]:
    """fstab(5) -> tuple of FstabEntry, those with an absolute mount point only."""
    found = []
    for line in raw.split(b'\n'):
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith(b'#'):
            continue
        point = unescape(fields[1])
        if not point.startswith(b'/'):
            continue                    # swap: none
        options = tuple(fields[3].split(b',')) if len(fields) > 3 else ()
        found.append(FstabEntry(unescape(fields[0]), clean(point), fields[2].decode('ascii', 'replace'), options))
    return tuple(found)


def mount_unit_name(path: bytes) -> bytes:
    """The name that systemd gives to the mount unit of PATH (systemd-escape --path --suffix=mount)."""
    path = clean(path).strip(b'/')
    if not path:
        return b'-.mount'
    name = bytearray()
    for index, byte in enumerate(bytearray(path)):
        char = bytes(bytearray([byte]))
        if char == b'/':
            name += b'-'
        elif re.match(br'[A-Za-z0-9:_.]', char) and not (char == b'.' and index == 0):
            name += char
        else:
            name += b'\\x%02x' % byte
    return bytes(name) + b'.mount'


def clean(path: bytes) -> bytes:
    """PATH without empty and ``.`` components and without a slash at its end; ``..`` is taken literally away."""
    path = os.path.normpath(path)
    return path[1:] if path.startswith(b'//') else path


def is_below(path: bytes, folder: bytes) -> bool:
    """True if PATH is FOLDER or names something in it. Compares the names only."""
    return path == folder or path.startswith(folder.rstrip(b'/') + b'/')


def existing(path: bytes) -> bytes:
    """The nearest folder or file on the way to PATH that exists, with its links resolved."""
    path = os.path.realpath(path)
    while not os.path.lexists(path):
        parent = os.path.dirname(path)
        if parent == path:
            break
        path = parent
    return path


def mount_of(path: bytes, table: Optional[Sequence[MountPoint]] = None) -> Optional[MountPoint]:
    """The MountPoint that PATH (or what exists of it) lies on, None if it cannot be said.

    The kernel tells it for a descriptor (proc_pid_fdinfo(5)); names alone do not, where one mount hides another.
    """
    return _place(path, mounts() if table is None else table)[0]


def _place(path: bytes, table: Sequence[MountPoint]) -> Tuple[Optional[MountPoint], Optional[bytes]]:
    """(MountPoint or None, folder inside its file system or None) of what exists of PATH."""
    path = existing(path)
    number = None
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            with open('/proc/self/fdinfo/%d' % fd, 'rb') as stream:
                for line in stream:
                    if line.startswith(b'mnt_id:'):
                        number = int(line.split()[1])
        finally:
            os.close(fd)
    except (OSError, ValueError):
        pass
    found = None
    for mount in table:
        if number is not None:
            if mount.id == number:
                found = mount
                break
        elif is_below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    if found is None or not is_below(path, found.point):
        return found, None
    inner = path[len(found.point.rstrip(b'/')):].lstrip(b'/')
    return found, os.path.join(found.root, inner) if inner else found.root


def mounted_at(point: bytes, table: Sequence[MountPoint]) -> Optional[MountPoint]:
    """The MountPoint on top at POINT (resolved), None if nothing is mounted there.

    A folder that is only mounted onto itself does not count: dockerd does that with its data root, and after a
    crash it stays.
    """
    found = None
    for mount in table:
        if mount.point == point:
            found = mount
    if found is None:
        return None
    above = {mount.id: mount for mount in table}.get(found.parent)
    if above is not None and above.dev == found.dev and is_below(point, above.point):
        inner = point[len(above.point.rstrip(b'/')):].lstrip(b'/')
        if os.path.join(above.root, inner).rstrip(b'/') == found.root.rstrip(b'/'):
            return mounted_at(point, tuple(mount for mount in table if mount is not found))
    return found


def free(path: bytes) -> Free:
    """Free of the file system that PATH (which need not exist yet) is or would be on. OSError."""
    st = os.statvfs(existing(path))
    return Free(st.f_bavail * st.f_frsize, st.f_favail if st.f_files else None, st.f_blocks * st.f_frsize)


def same_file_system(one: bytes, other: bytes, table: Optional[Sequence[MountPoint]] = None) -> bool:
    """True if both (or what exists of them) lie on one file system, as subvolumes and bind mounts too."""
    if os.stat(existing(one)).st_dev == os.stat(existing(other)).st_dev:
        return True
    table = mounts() if table is None else table
    # subvolumes of btrfs have device numbers of their own, their mounts have not
    first, second = mount_of(one, table), mount_of(other, table)
    return first is not None and second is not None and first.dev == second.dev


def lies_inside(path: bytes, folder: bytes, table: Optional[Sequence[MountPoint]] = None) -> bool:
    """True if what is written to PATH (which need not exist yet) would show up in FOLDER.

    Links are resolved; parents are compared by device and inode; and where PATH goes through a bind mount of
    FOLDER or of something in it, or FOLDER has something mounted in it that holds PATH, that counts too.
    OSError if FOLDER cannot be looked at.
    """
    folder = os.path.realpath(folder)
    want = os.stat(folder)
    target = os.path.realpath(path)
    if is_below(target, folder):
        return True
    step = existing(path)
    while True:
        try:
            st = os.stat(step)
            if (st.st_dev, st.st_ino) == (want.st_dev, want.st_ino):
                return True
        except OSError:
            pass
        parent = os.path.dirname(step)
        if parent == step:
            break
        step = parent
    table = mounts() if table is None else table
    mount, inner = _place(path, table)
    if mount is None or inner is None:
        return False
    regions = [(other.dev, other.root) for other in table if is_below(other.point, folder)]
    own, own_inner = _place(folder, table)
    if own is not None and own_inner is not None:
        regions.append((own.dev, own_inner))
    return any(mount.dev == dev and is_below(inner, root) for dev, root in regions)
