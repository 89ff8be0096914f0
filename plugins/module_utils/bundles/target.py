"""What dest lies on: never memory below /dev, and a warning where it is the disk that is rescued, no disk, or not mounted."""
import errno
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats import wording
from ..records import model
from ..records.codes import problem

if TYPE_CHECKING:
    from ..engines.registry import Host

MEMORY = ('tmpfs', 'ramfs', 'devtmpfs', 'rootfs')
# Where people mount sticks and disks by hand, and desktops do: hier(7)
MOUNT_PLACES = (b'/mnt', b'/media', b'/run/media')
SAFE = re.compile(r'[^A-Za-z0-9_.-]')


def host_folder(root: Any, name: Optional[str]) -> bytes:
    """The folder in dest for a host (disk.host.HostRoot) that the user calls NAME, or that tells its name itself."""
    if not name and not root.is_live:
        try:
            name = root.read(b'/etc/hostname', 4096).strip().decode('utf-8', 'replace')
        except OSError:
            name = ''
    return folder_name(name or socket.gethostname())


def folder_name(host: str) -> bytes:
    """The folder of a host's bundles for its name."""
    return os.fsencode((SAFE.sub('-', host).strip('.-') or 'host')[:200])


def refuse_inside(host: Any, dest: bytes, inside: Optional[Callable[[bytes], bool]] = None) -> None:
    """Raises LifeboatError where DEST is no folder, or lies in what is rescued of HOST. INSIDE(folder) tells it where dest is not on this
    machine."""
    if not inside and os.path.lexists(dest) and not os.path.isdir(dest):
        raise LifeboatError('dest %s is a file, not a folder. Choose another dest.' % wording.text(dest))
    for root in host.roots:
        folders = root.places()
        folders += [volume.path for volume in root.volumes().values() if volume.path is not None]
        for folder in folders:
            if inside(folder) if inside else within(host, dest, folder):
                raise LifeboatError(
                    'dest %s lies inside %s, which is being rescued and must not be written. Choose a dest on another disk.'
                    % (wording.text(dest), wording.text(folder)))


def within(host: Any, dest: bytes, folder: bytes) -> bool:
    """True if what is written to DEST would show up in FOLDER of HOST. A folder that is gone holds nothing; of one that is a link on another
    host's disk only the link is rescued, and where it leads on this machine says nothing. OSError if FOLDER cannot be looked at."""
    if os.path.islink(folder) and host.root.path != b'/':
        return False
    try:
        return fsinfo.lies_inside(dest, folder)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise


def look(host: 'Host', dest: bytes) -> List[model.Problem]:
    """Problems of DEST (absolute, need not exist) as the target of a rescue of HOST (engines.registry.Host). Raises LifeboatError
    for a dest below /dev."""
    found = _on_source(host, dest, fsinfo.mounts())
    return local(dest) + ([found] if found is not None else [])


def local(dest: bytes) -> List[model.Problem]:
    """Problems of DEST on this machine, wherever the data come from. Raises LifeboatError for a dest below /dev."""
    refuse_devices(dest)
    table = fsinfo.mounts()
    return [item for item in (_in_memory(dest, table), _not_mounted(dest, table)) if item is not None]


def refuse_devices(dest: bytes) -> None:
    """Raises LifeboatError for a dest below /dev: it would fill memory, and /dev/usb1 is the name of a device, not of its
    mount point."""
    if fsinfo.is_below(os.path.realpath(dest), b'/dev'):
        raise LifeboatError('dest %s lies in /dev, which is memory and no disk. Mount the device and choose its mount point '
                            'as dest.' % wording.text(dest))


def _in_memory(dest: bytes, table: Tuple[fsinfo.MountPoint, ...]) -> Optional[model.Problem]:
    mount = fsinfo.mount_of(dest, table)
    if mount is None or mount.fstype not in MEMORY:
        return None
    return problem('DEST_IN_MEMORY', wording.text(dest), 'dest %s is in memory (%s at %s): its bundles take memory from this machine and '
                   'are gone when it is switched off.' % (wording.text(dest), mount.fstype, wording.text(mount.point)),
                   'Choose a dest on a disk, or copy the bundles to one at once.')


def _not_mounted(dest: bytes, table: Tuple[fsinfo.MountPoint, ...]) -> Optional[model.Problem]:
    path = os.path.realpath(dest)
    mount = fsinfo.mount_of(path, table)
    place = next((folder for folder in MOUNT_PLACES if fsinfo.is_below(path, folder) and path != folder), None)
    if place is not None and mount is not None and not fsinfo.is_below(mount.point, place):
        missing = path
    else:
        missing = _of_fstab(path, table)
    if missing is None:
        return None
    return problem('DEST_NOT_MOUNTED', wording.text(dest), 'Nothing is mounted at %s: what is written to dest goes to the disk of %s.' % (
        wording.text(missing), wording.text(mount.point) if mount is not None else '/'),
        'Mount the disk that is meant and run again, or choose another dest.')


def _of_fstab(path: bytes, table: Tuple[fsinfo.MountPoint, ...]) -> Optional[bytes]:
    """A mount point of this machine's fstab on the way to PATH where nothing is mounted, None if there is none."""
    try:
        with open('/etc/fstab', 'rb') as found:
            entries = fsinfo.parse_fstab(found.read(1 << 20))
    except OSError:
        return None
    for entry in entries:
        if entry.point != b'/' and fsinfo.is_below(path, entry.point) and not any(
                fsinfo.is_below(mount.point, entry.point) and fsinfo.is_below(path, mount.point) for mount in table):
            return entry.point
    return None


def _on_source(host: 'Host', dest: bytes, table: Tuple[fsinfo.MountPoint, ...]) -> Optional[model.Problem]:
    for root in host.roots:
        sources = root.places()
        sources += [volume.path for volume in root.volumes().values() if volume.path is not None]
        for source in sources:
            try:
                same = _device(source) == _device(dest) if source != root.path else fsinfo.same_file_system(dest, source, table)
            except OSError:
                continue
            if same:
                return problem(
                    'DEST_ON_SOURCE', wording.text(dest), 'dest %s is on the same file system as %s, which is rescued: what is written can '
                    'overwrite deleted data, fills that disk, and is lost with it.' % (wording.text(dest), wording.text(source)),
                    'Choose a dest on another disk, or store_on: controller.')
    return None


def _device(path: bytes) -> int:
    return os.stat(fsinfo.existing(path)).st_dev
