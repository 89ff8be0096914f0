# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else keeps containers on a host: Docker Desktop's virtual machines, Podman, CRI-O; and homes out of reach."""
import os
import shlex
from typing import TYPE_CHECKING, Iterable, Optional

from ....formats.wording import show
from .daemonconf import to_bytes, toml_value
from .homes import User, dot_folders

if TYPE_CHECKING:
    from .scan import Scan


def other_engines(scan: 'Scan') -> None:
    """Problems that say what this collection does not read, and what may be hidden from this user."""
    podman = [b'/var/lib/containers/storage']
    root = toml_value(scan.read(b'/etc/containers/storage.conf') or b'', 'storage', 'graphroot')
    if root:
        podman.insert(0, to_bytes(root))
    for user in scan.users:
        found = dot_folders(scan, user.home)
        if b'.local' in found:
            podman.append(user.home + b'/.local/share/containers/storage')
        if b'.docker' in found:
            folder = user.home + b'/.docker/desktop/vms/0/data'
            for name in scan.names(folder):
                if name in (b'Docker.raw', b'Docker.qcow2'):
                    _desktop(scan, os.path.join(folder, name), user)
    for path in podman:
        try:
            names = scan.host.listdir(path)
        except OSError:
            continue
        if is_podman(names):
            podman_store(scan, path)
    if scan.no_access:
        homes = sorted(set(scan.no_access))
        scan.problem('PRIVILEGES_MISSING', scan.host.path, 'Folders of %d users may not be read by this user (%s): '
                     'rootless Docker in them is not seen.'
                     % (len(homes), ', '.join(show(path) for path in homes[:3])), 'Run as root (become: true).')


def is_podman(names: Iterable[bytes]) -> bool:
    """True if NAMES (bytes) are those of a store of Podman or CRI-O (containers-storage)."""
    return any(name.endswith(b'-containers') for name in names) or b'libpod' in names


def podman_store(scan: 'Scan', path: bytes, severity: Optional[str] = None) -> None:
    """The problem that PATH is such a store."""
    place = show(scan.host.place(path))
    scan.problem('OTHER_ENGINE', place, '%s holds containers of Podman or CRI-O; this collection does not read them.' % place,
                 'Copy the folder before you start podman or crio on it (starting them deletes unfinished layers), then use '
                 'podman --root on the copy.', severity)


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
