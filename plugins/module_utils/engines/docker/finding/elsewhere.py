"""What else keeps containers on a host: Docker Desktop's virtual machines; and homes out of reach."""
import os
import shlex
from typing import TYPE_CHECKING, Iterable, Optional

from ....formats.wording import show
from .homes import User, dot_folders

if TYPE_CHECKING:
    from .scan import Scan


def other_engines(scan: 'Scan') -> None:
    """Problems that say where containers may lie that cannot be read here, and what may be hidden from this user."""
    for user in scan.users:
        found = dot_folders(scan, user.home)
        if b'.docker' in found:
            folder = user.home + b'/.docker/desktop/vms/0/data'
            for name in scan.names(folder):
                if name in (b'Docker.raw', b'Docker.qcow2'):
                    _desktop(scan, os.path.join(folder, name), user)
    if scan.no_access:
        homes = sorted(set(scan.no_access))
        scan.problem('PRIVILEGES_MISSING', scan.host.path, 'Folders of %d users may not be read by this user (%s): '
                     'rootless Docker in them is not seen.'
                     % (len(homes), ', '.join(show(path) for path in homes[:3])), 'Run as root (become: true).')


def is_podman(names: Iterable[bytes]) -> bool:
    """True if NAMES (bytes) are those of a store of Podman or CRI-O (containers-storage)."""
    return any(name.endswith(b'-containers') for name in names) or b'libpod' in names


def podman_store(scan: 'Scan', path: bytes, severity: Optional[str] = None) -> None:
    """The problem that PATH, which was to be a data root of Docker, is such a store."""
    place = show(scan.host.place(path))
    scan.problem('DATA_ROOT_EMPTY', place, '%s is a graph root of Podman or CRI-O, not a data root of Docker.' % place,
                 'Leave out the option engines, or name podman or crio in it.', severity)


def _desktop(scan: 'Scan', path: bytes, user: User) -> None:
    place = show(scan.host.place(path))
    attach = ('losetup --find --show --read-only --partscan %s' if path.endswith(b'.raw') else
              'qemu-nbd --read-only --connect=/dev/nbd0 %s') % shlex.quote(place)
    scan.problem('VM_DISK', place, '%s is the virtual machine disk of Docker Desktop (user %s): its containers lie '
                 'inside.' % (place, show(user.name)),
                 'Copy the file, or lay a copy-on-write overlay over it so that its journal can be replayed ("Mount a '
                 'disk" in docs/outage.md); or attach it read-only (%s) and mount its Linux file system with -o '
                 'ro,noload, which may lack what was written last. Give the mount point as host_root; if nothing is '
                 'found there, look for the folder that holds containers/ and name it in data_roots.' % attach)
