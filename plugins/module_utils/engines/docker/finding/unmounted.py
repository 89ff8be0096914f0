"""What should be mounted on a host and is not: fstab and mount units against the mount table of this machine."""
import os
from typing import TYPE_CHECKING, Iterator, List, Tuple

from ....disk import fsinfo
from ....formats.wording import show
from .content import filled
from .daemonconf import parse_unit, to_bytes
from .units import SYSTEM_UNITS

if TYPE_CHECKING:
    from .scan import Scan

MAX_ENTRIES = 50                        # of fstab, for one path


def unmounted(scan: 'Scan', path: bytes) -> List[Tuple[bytes, bytes, str, str]]:
    """[(mount point, source, where that stands, type)] of what should be mounted at PATH, above or below it, and is not.

    Paths as the dead host saw them. ``/`` itself is never meant. The type is that of the file system as written there,
    'bind' for a bind mount, '' if none is named.
    """
    path = fsinfo.clean(path)
    found = {}
    for entry in scan.fstab if path != b'/' else ():
        if entry.point != b'/' and (fsinfo.is_below(path, entry.point) or fsinfo.is_below(entry.point, path)):
            if entry.point in found or len(found) >= MAX_ENTRIES:
                continue
            if entry.is_bind and filled(scan, entry.source):
                continue                # its content is found at its source
            found[entry.point] = (entry.point, entry.source, '/etc/fstab', 'bind' if entry.is_bind else entry.fstype)
    for point, source, where, fstype in _mount_units(scan, path) if path != b'/' else ():
        found.setdefault(point, (point, source, where, fstype))
    return [found[point] for point in sorted(found) if not is_mounted(scan, point)]


def is_mounted(scan: 'Scan', point: bytes) -> bool:
    """Whether something is mounted at POINT of the dead host."""
    place = scan.node(point)
    return place is not None and fsinfo.mounted_at(place, scan.mounts) is not None


def _mount_units(scan: 'Scan', path: bytes) -> Iterator[Tuple[bytes, bytes, str, str]]:
    """Yield (mount point, source, unit file, type) of mount units at PATH, above or below it, by name (systemd.mount(5))."""
    wanted = set()
    step = path
    while step not in (b'/', b''):
        wanted.add(fsinfo.mount_unit_name(step))
        step = os.path.dirname(step)
    below = fsinfo.mount_unit_name(path)[:-len(b'.mount')] + b'-'
    for folder in SYSTEM_UNITS:
        for name in scan.names(folder):
            if not name.endswith(b'.mount') or not (name in wanted or name.startswith(below)):
                continue
            origin = os.path.join(folder, name)
            values = dict(parse_unit(scan.read(origin) or b'', 'Mount'))
            where, what = values.get('Where', ''), values.get('What', '')
            kind = 'bind' if 'bind' in values.get('Options', '').split(',') else values.get('Type', '')
            if where.startswith('/'):
                yield fsinfo.clean(to_bytes(where)), to_bytes(what), show(origin), kind
