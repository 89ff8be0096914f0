"""Images of disks that lie in a file system of the disk: docker.img of Unraid, Docker.raw of Docker Desktop, and the like."""
import os
import shlex
import stat
from typing import List

from ..disk.host import HostRoot
from ..formats.wording import show
from . import commands
from .session import FileSystem, Session

# folders where such images are kept, and names, as their makers have them; * is any one folder
PLACES = (
    '/system/docker/docker.img', '/docker.img', '/mnt/user/system/docker/docker.img', '/mnt/cache/system/docker/docker.img',
    '/Docker.raw', '/Docker.qcow2', '/docker_data.vhdx', '/ext4.vhdx', '/diffdisk',
    '/home/*/.docker/desktop/vms/0/data/Docker.raw', '/home/*/.docker/desktop/vms/0/data/Docker.qcow2',
    '/home/*/.lima/*/diffdisk', '/home/*/.colima/_lima/*/diffdisk', '/Users/*/.colima/_lima/*/diffdisk', '/Users/*/.lima/*/diffdisk',
    '/root/.lima/*/diffdisk', '/var/lib/libvirt/images/*', '/var/lib/vz/images/*/*', '/images/*/*',
)
ENDINGS = ('.img', '.raw', '.qcow2', '.vhdx', '.vmdk', '.vdi', 'diffdisk')
SMALLEST = 1 << 20
MAX_FOUND = 20
MAX_NAMES = 1000                        # of one folder


def images_in(session: Session, systems: List[FileSystem]) -> List[str]:
    """Images in SYSTEMS. With `nested` those to attach; otherwise each is a problem with the command that goes on."""
    found = []
    for system in systems:
        host = HostRoot(os.fsencode(system.point))
        for pattern in PLACES:
            for path in _matching(host, pattern.strip('/').split('/'), b''):
                if len(found) < MAX_FOUND:
                    found.append(os.fsdecode(host.place(path)))
                    st = host.lstat(path)
                    session.images.add((st.st_dev, st.st_ino))
    if session.request.nested:
        return found
    for place in found:
        session.problem('VM_DISK', place, '%s is the image of a disk inside this disk; what it holds was not read.' % show(place),
                        'Attach with nested: true, or: lifeboat --disk %s look' % commands.line_of([place])
                        if show(place) == shlex.quote(place) else 'Attach with nested: true.')
    return []


def _matching(host: HostRoot, parts: List[str], folder: bytes) -> List[bytes]:
    """Paths in HOST that match PARTS below FOLDER; regular files only, links are not followed."""
    name, rest = parts[0], parts[1:]
    if name == '*':
        try:
            names = host.listdir(folder or b'/')[:MAX_NAMES]
        except OSError:
            return []
    else:
        names = [os.fsencode(name)]
    found = []
    for each in names:
        path = folder + b'/' + each
        try:
            st = host.lstat(path)
        except OSError:
            continue
        if rest and stat.S_ISDIR(st.st_mode):
            found += _matching(host, rest, path)
        elif not rest and stat.S_ISREG(st.st_mode) and st.st_size >= SMALLEST and os.fsdecode(each).lower().endswith(ENDINGS):
            found.append(path)
    return found[:MAX_FOUND]
