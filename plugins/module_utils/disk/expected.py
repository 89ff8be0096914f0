"""What the dead host mounted by itself, by its own fstab and mount units, and is not mounted where we read: an empty folder there is none.

fstab(5), systemd.mount(5). All of it comes from the disk: it is compared and shown, and nothing is opened by it but below the host root.
"""
import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

from . import fsinfo

if TYPE_CHECKING:
    from .host import HostRoot

MAX_CONFIG = 1 << 20                    # of fstab, of one unit
MAX_ENTRIES = 1000
UNITS = (b'/etc/systemd/system',)
# in memory, or of the kernel: on a dead disk nothing is missing with them
NO_DISK = frozenset(('swap', 'tmpfs', 'ramfs', 'proc', 'sysfs', 'devpts', 'devtmpfs', 'cgroup', 'cgroup2', 'securityfs', 'debugfs', 'tracefs', 'mqueue',
                     'hugetlbfs', 'configfs', 'efivarfs', 'bpf', 'fusectl', 'binfmt_misc', 'overlay', 'autofs', 'ignore'))
_NOTHING = frozenset((b'lost+found', b'.Trash-0', b'System Volume Information'))


class Expected(NamedTuple):
    """A file system that should be mounted. Paths as the dead host saw them."""
    point: bytes
    source: bytes
    where: bytes                        # the file that says so
    by_hand: bool                       # `noauto`: it may not have been mounted


class Missing(NamedTuple):
    """What is not mounted of a folder. `empty`: nothing is seen in its place."""
    expected: Expected
    empty: bool


class Mounts(object):
    """Of one host; looked up when it is first asked. Its mount table is that of this moment."""

    def __init__(self, host: 'HostRoot', table: Optional[Tuple[fsinfo.MountPoint, ...]] = None) -> None:
        self._host = host
        self._table = table
        self._known: Optional[List[Expected]] = None

    def missing(self, path: bytes) -> Optional[Missing]:
        """What should be mounted at PATH or above it (or below it, where an empty folder is in its place), and is not; None if nothing."""
        path = fsinfo.clean(path)
        if path == b'/' or not self._expected():
            return None
        try:
            place = self._host.resolve(path)
        except OSError:
            place = None
        views = {path} | ({fsinfo.clean(self._host.to_host(place))} if place is not None else set())
        # the nearest one above decides: what is mounted deeper hides it
        for entry in self._expected():
            if any(fsinfo.is_below(view, entry.point) for view in views):
                if self._is_mounted(entry.point, place):
                    return None
                empty = self._is_empty(path)
                if entry.by_hand and (not empty or self._host.is_live):     # of a host that lives it is not mounted now, and that is all
                    return None
                return Missing(entry, empty)
        for entry in self._expected():
            if any(fsinfo.is_below(entry.point, view) for view in views) and not entry.by_hand and not self._is_mounted(entry.point, None) \
                    and self._is_empty(entry.point):
                return Missing(entry, True)
        return None

    def _expected(self) -> List[Expected]:
        """The longest mount points first."""
        if self._known is None:
            found: Dict[bytes, Expected] = {}
            for entry in self._of_fstab() + self._of_units():
                if len(found) < MAX_ENTRIES:
                    found.setdefault(entry.point, entry)
            self._known = sorted(found.values(), key=lambda entry: (-len(entry.point), entry.point))
        return self._known

    def _of_fstab(self) -> List[Expected]:
        return [Expected(entry.point, entry.source, b'/etc/fstab', b'noauto' in entry.options and b'x-systemd.automount' not in entry.options)
                for entry in fsinfo.parse_fstab(self._read(b'/etc/fstab')) if entry.point != b'/' and entry.fstype not in NO_DISK]

    def _of_units(self) -> List[Expected]:
        found = []
        for folder in UNITS:
            try:
                names = [name for name in self._host.listdir(folder) if name.endswith(b'.mount')]
            except OSError:
                continue
            for name in names[:MAX_ENTRIES]:
                path = os.path.join(folder, name)
                values = _section(self._read(path))
                point = fsinfo.clean(values.get(b'Where', b'')) if values.get(b'Where', b'').startswith(b'/') else b'/'
                # of another name systemd refuses it
                if point != b'/' and fsinfo.mount_unit_name(point) == name and values.get(b'What') \
                        and values.get(b'Type', b'').decode('ascii', 'replace') not in NO_DISK:
                    found.append(Expected(point, values[b'What'], path, not self._is_wanted(name)))
        return found

    def _is_wanted(self, name: bytes) -> bool:
        """Whether systemd starts the mount unit by itself: it, or its automount unit, is in the .wants or .requires of another one."""
        try:
            folders = [each for each in self._host.listdir(UNITS[0]) if each.endswith((b'.wants', b'.requires'))]
            wanted = {each for folder in folders for each in self._host.listdir(os.path.join(UNITS[0], folder))}
        except OSError:
            return False
        return name in wanted or name[:-len(b'.mount')] + b'.automount' in wanted

    def _read(self, path: bytes) -> bytes:
        try:
            return self._host.read(path, MAX_CONFIG)
        except OSError:
            return b''

    def _is_mounted(self, point: bytes, place: Optional[bytes]) -> bool:
        """Whether something is mounted at POINT, or between it and PLACE (on this machine)."""
        if self._table is None:
            self._table = fsinfo.mounts()
        try:
            top = self._host.resolve(point)
        except OSError:
            return False
        if fsinfo.mounted_at(top, self._table) is not None:
            return True
        return place is not None and any(fsinfo.is_below(place, each.point) and fsinfo.is_below(each.point, top) and each.point != top
                                         and fsinfo.mounted_at(each.point, self._table) is not None for each in self._table)

    def _is_empty(self, path: bytes) -> bool:
        """Whether nothing is at PATH, or a folder with nothing in it. What cannot be looked at is not called empty."""
        try:
            return not set(self._host.listdir(path)) - _NOTHING
        except FileNotFoundError:
            return True
        except OSError:
            return False


def _section(raw: bytes) -> Dict[bytes, bytes]:
    """{key: value} of [Mount] of a unit file (systemd.syntax(7)): of these keys the last one counts."""
    found: Dict[bytes, bytes] = {}
    current = b''
    for line in raw.replace(b'\\\n', b' ').split(b'\n'):
        line = line.strip()
        if line[:1] in (b'#', b';'):
            continue
        if line.startswith(b'[') and line.endswith(b']'):
            current = line
        elif current == b'[Mount]' and b'=' in line:
            key, dummy, value = line.partition(b'=')
            found[key.strip()] = value.strip().strip(b'"')
    return found
