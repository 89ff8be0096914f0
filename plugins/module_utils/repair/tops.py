"""Where a repair may write: the data root, and the few folders outside of it that belong to the same engine.

A path of a step that begins with a slash lies in one of those folders; every other one is relative to the data root.
"""
import errno
import os
from typing import TYPE_CHECKING, Dict, List, Optional

from ..disk import fsinfo, safeio

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot

DAEMON_JSON = b'/etc/docker/daemon.json'
OWN_CONTAINERD = b'containerd/daemon'   # where dockerd keeps the containerd that it starts itself


class Tops(object):
    """Open folders by their paths; stands in for the safeio.Dir of a data root. Close it with the data root."""

    def __init__(self, top: safeio.Dir, others: Optional[Dict[bytes, safeio.Dir]] = None) -> None:
        self._top = top
        self._others = others or {}
        self.links = top.links
        self.places = frozenset(self._others)
        self.containerd: List[bytes] = [OWN_CONTAINERD]
        self.pid_file = self.daemon_json = b''
        self.is_mount_point = False     # a disk of its own, or a bind mount: nothing can be moved to a place beside it

    @property
    def fd(self) -> int:
        """Descriptor of the data root."""
        return self._top.fd

    def descend(self, path: bytes) -> safeio.Dir:
        """Open the folder PATH; no component may be a link. OSError."""
        if not path.startswith(b'/'):
            return self._top.descend(path)
        for place, folder in self._others.items():
            if path == place or path.startswith(place + b'/'):
                return folder.descend(path[len(place) + 1:])
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def close(self) -> None:
        """Close the folders outside of the data root."""
        for folder in self._others.values():
            folder.close_all()


def of(root: 'DataRoot') -> Tops:
    """Tops of an open data root (inventory.DataRoot). A folder that is not there is left out."""
    others: Dict[bytes, safeio.Dir] = {}
    containerd = []
    for place in root.candidate.containerd_roots:
        if not (place + b'/').startswith(root.path + b'/') and _opened(others, place):
            containerd.append(place)
    settings = _file(root, others, DAEMON_JSON)
    pid_file = _file(root, others, root.candidate.pidfile)
    found = Tops(root.dir, others)
    found.containerd += containerd
    found.daemon_json, found.pid_file = settings, pid_file
    mount = fsinfo.mount_of(root.path)
    found.is_mount_point = mount is not None and mount.point == root.path
    return found


def _file(root: 'DataRoot', others: Dict[bytes, safeio.Dir], path: bytes) -> bytes:
    """PATH of the host as a path of a step, b'' where its folder is not there."""
    folder, name = os.path.split(path)
    try:
        place = root.host.resolve(folder)
    except (OSError, ValueError):
        return b''
    return os.path.join(place, name) if name and _opened(others, place) else b''


def _opened(others: Dict[bytes, safeio.Dir], place: bytes) -> bool:
    if place not in others:
        try:
            others[place] = safeio.Dir.root(place)
        except OSError:
            return False
    return True
