"""Freeze a container's processes while its files are read, without any daemon.

The control group is found through /proc/<pid>/cgroup (cgroups(7)), so it works with dockerd dead and the container
alive. A keeper (keeper.py) freezes and thaws.
"""
import os
import time
from typing import List, NamedTuple, Optional, Union

from ..disk import fsinfo
from . import keeper

V1, V2 = 1, 2
_ROOTS = (b'/', b'')
_SETTLE = 10.0                          # seconds that a group has to become frozen


class NotFrozen(Exception):
    """Why a container could not be frozen, as the end of a sentence."""


class Group(NamedTuple):
    version: int
    folder: bytes                       # of the group in the file system

    def is_frozen(self) -> bool:
        if self.version == V1:
            return _read(self.folder, b'freezer.state').strip() == b'FROZEN'
        return b'frozen 1' in _read(self.folder, b'cgroup.events').splitlines()


# Arguments: seconds, file, word to freeze, word to thaw.
_FREEZER = r'''
path, freeze, thaw = sys.argv[2], sys.argv[3].encode(), sys.argv[4].encode()
os.nice(-5) if os.geteuid() == 0 else None
def put(word):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, word)
    finally:
        os.close(fd)
try:
    put(freeze)
    os.write(1, b'f')
    select.select([0], [], [], max(0, until - time.monotonic()))
finally:
    while True:
        try:
            put(thaw)
            break
        except FileNotFoundError:
            break
        except OSError:
            time.sleep(0.2)
'''


class Frozen(object):
    """A frozen group; :meth:`thaw` says whether it was frozen all the time."""

    def __init__(self, group: Group, limit: float) -> None:
        self._group = group
        file, freeze, thaw = (b'freezer.state', 'FROZEN', 'THAWED') if group.version == V1 else (b'cgroup.freeze', '1', '0')
        path = os.path.join(group.folder, file)
        try:
            self._keeper = keeper.Keeper(_FREEZER, limit, path, freeze, thaw)
        except OSError as exc:
            raise NotFrozen('the process that would thaw it cannot be started: %s' % exc.strerror)
        try:
            if not self._keeper.answer(_SETTLE):
                raise NotFrozen('%s cannot be written' % os.fsdecode(path))
            settled = time.monotonic() + min(limit, _SETTLE)
            while not group.is_frozen():
                if time.monotonic() > settled:
                    raise NotFrozen('a process of it does not stop (it may wait for a disk)')
                time.sleep(0.01)
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> bool:
        """Let it go on. True if it was frozen until now."""
        whole = self._keeper.held() and self._group.is_frozen()
        self._keeper.release(_SETTLE)
        return whole


class Paused(object):
    """It was frozen before (docker pause), and stays so."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def thaw(self) -> bool:
        return self._group.is_frozen()


def freeze(pid: int, container_id: str, limit: float) -> Union[Frozen, Paused]:
    """Freeze the group of the process PID of a container for at most LIMIT seconds. Raises NotFrozen."""
    group = find(pid, container_id)
    if group.is_frozen():
        return Paused(group)
    return Frozen(group, limit)


def find(pid: int, container_id: str) -> Group:
    """The Group of a container's process. Raises NotFrozen: also where freezing would stop more than the container."""
    try:
        lines = _read(b'/proc/%d' % pid, b'cgroup').splitlines()
        own = _read(b'/proc/self', b'cgroup').splitlines()
    except OSError as exc:
        raise NotFrozen('its control group is not known: %s' % exc.strerror)
    for version, pick in ((V1, _freezer), (V2, _unified)):
        path = pick(lines)
        if path is None or path in _ROOTS:
            continue
        if container_id.encode() not in path or b'..' in path.split(b'/'):
            # a group that the container shares with others, or one that we see through a namespace
            continue
        path = _whole(path, container_id.encode())
        ours = pick(own)
        if ours is not None and fsinfo.is_below(ours, path):
            raise NotFrozen('this program runs in the same control group')
        folder = _folder(version, path)
        if folder is None:
            continue
        group = Group(version, folder)
        try:
            group.is_frozen()
        except OSError:
            continue                    # no freezer here: the other hierarchy may have one
        return group
    raise NotFrozen('no control group of its own with a freezer was found for process %d' % pid)


def _whole(path: bytes, ident: bytes) -> bytes:
    """The container's own group: what a process of it made below that is frozen with it."""
    steps = path.split(b'/')
    for number, step in enumerate(steps):
        if ident in step:
            return b'/'.join(steps[:number + 1])
    return path


def _freezer(lines: List[bytes]) -> Optional[bytes]:
    for line in lines:
        parts = line.split(b':', 2)
        if len(parts) == 3 and b'freezer' in parts[1].split(b','):
            return parts[2]
    return None


def _unified(lines: List[bytes]) -> Optional[bytes]:
    for line in lines:
        if line.startswith(b'0::'):
            return line[3:]
    return None


def _folder(version: int, path: bytes) -> Optional[bytes]:
    """Where a group lies in the file system, None if its hierarchy is not mounted."""
    for raw in _read(b'/proc/self', b'mountinfo').splitlines():
        before, separator, after = raw.partition(b' - ')
        fields, tail = before.split(), after.split()
        if not separator or len(fields) < 5 or len(tail) < 3:
            continue
        if (version == V2 and tail[0] != b'cgroup2') or \
                (version == V1 and (tail[0] != b'cgroup' or b'freezer' not in tail[2].split(b','))):
            continue
        root, point = fsinfo.unescape(fields[3]), fsinfo.unescape(fields[4])
        if root == b'/' or fsinfo.is_below(path, root):
            inner = path if root == b'/' else path[len(root):]
            folder = os.path.join(point, inner.lstrip(b'/'))
            if os.path.isdir(folder):
                return folder
    return None


def _read(folder: bytes, name: bytes) -> bytes:
    with open(os.path.join(folder, name), 'rb') as found:
        return found.read(1 << 20)
