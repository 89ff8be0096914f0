"""Deleted files that processes still hold, as a tree that can be archived: each under the name that it had in the container.

The descriptors are ours, so the data stay while we have them. Folders that were deleted too have no owner and mode any more: they get the owner of
what is in them, and the mode of the nearest folder above that is still there.
"""
import contextlib
import os
import stat
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..disk import fsinfo, processes, safeio
from ..disk.processes import Held, OpenFile
from ..disk.tree import NOWHERE, Entry, Failure, PlainTree
from ..formats import wording
from ..records import model
from ..records.codes import problem
from .progress import human

UNNAMED = b'lifeboat-unnamed'           # folder of the files that could not be named
_MODE = 0o755
MOST_FOLDERS, EACH = 64 << 20, 200      # bytes of the names of all folders above the files; what one takes beside its name


class Changed(NamedTuple):
    """A file that was not the same after it was read."""
    path: bytes
    before: Tuple[int, int]             # bytes, mtime in ns
    after: Tuple[int, int]


class OpenTree(object):
    """The files of a processes.Held as a tree of archive.trees. `changed` has those that changed while they were read, `unnamed` what the kernel calls
    those that have no name here."""

    def __init__(self, held: Held) -> None:
        self.changed: List[Changed] = []
        self.hold(held)

    def hold(self, held: Held) -> None:
        """Be the tree of HELD from now on."""
        self.files = _placed(held.files)
        self.unnamed = [item.text for path, item in self.files.items() if path.startswith(UNNAMED + b'/')]
        self._folders = _folders(self.files)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[None, Iterator[Union[Entry, Failure]]]]:
        """Yield (None, stream of Entry)."""
        self.changed = []
        yield None, self._entries()

    def _entries(self) -> Iterator[Union[Entry, Failure]]:
        # as if by their parts, which would take many times the memory: no name has a NUL
        for path in sorted(list(self.files) + list(self._folders), key=lambda path: path.replace(b'/', b'\0')):
            item = self.files.get(path)
            if item is None:
                yield Entry(path, self._folders[path], NOWHERE, os.path.basename(path), self)
                continue
            before = os.fstat(item.fd)
            yield Entry(path, before, NOWHERE, os.path.basename(path), self)
            after = os.fstat(item.fd)
            marks = [(st.st_size, st.st_mtime_ns) for st in (before, after)]
            if marks[0] != marks[1]:
                self.changed.append(Changed(path, *marks))

    def open(self, entry: Entry) -> int:
        """A descriptor with a place of its own in the file. OSError."""
        # the link leads to the very file that was looked at; a path of the container is not involved
        return safeio.openat(b'/proc/self/fd/%d' % self.files[entry.path].fd, flags=safeio.FLAGS & ~os.O_NOFOLLOW)

    def xattrs(self, dummy: Entry, fd: Optional[int] = None) -> Dict[str, bytes]:
        return safeio.xattrs_of(fd) if fd is not None else {}


class MountTree(object):
    """A folder that only a mount of a process still leads to, by a descriptor (O_PATH, the caller's). PRUNE: paths in it, without leading slash,
    on which something else is mounted."""

    def __init__(self, fd: int, prune: Tuple[bytes, ...] = ()) -> None:
        self.fd = fd
        self._prune = frozenset(prune)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[Optional[Entry], Iterator[Union[Entry, Failure]]]]:
        """Yield (root entry, stream of Entry and Failure). OSError."""
        tree = PlainTree(b'')
        with safeio.Dir.held(self.fd) as folder, safeio.Dir.held(self.fd) as inner:
            yield Entry(b'', os.fstat(self.fd), folder, b'.', tree), tree.below(inner, b'', lambda entry: entry.path in self._prune)


def still_open(container: model.Container, pid: int, words: Sequence[str]) -> List[model.Problem]:
    """What has to be said of a container that runs (PID) although a folder that it has mounted is gone: its processes may hold the files.
    WORDS: the seam's cgroup_ids(). Looks at processes only if a folder is gone."""
    lost = [mount for mount in container.mounts if mount.path is None and mount.type in ('volume', 'bind')]
    if not lost:
        return []
    places = [wording.raw(mount.destination).strip(b'/') for mount in lost]
    held = processes.scan(processes.of_container(pid, words))
    try:
        mine = [item for item in held.files if any(fsinfo.is_below(item.path or b'', place) for place in places)]
        size = sum(item.st.st_size for item in mine)
    finally:
        processes.close(held)
    name = container.name or container.id[:12]
    return [problem('DELETED_STILL_OPEN', name, '%s at %s of %s is deleted, and the container still runs: its processes have %d of the deleted files '
                    'open (%s).' % ('The %s %s' % (lost[0].type, lost[0].name or lost[0].source or '?'), lost[0].destination, name, len(mine),
                                    human(size)),
                    'Do not stop or restart it: these files are gone then. Rescue it now with open_files: true.')] if mine else []


def _placed(files: Tuple[OpenFile, ...]) -> Dict[bytes, OpenFile]:
    """{path in the archive: file}. The newest of several with one name gets it, and a name that is also a folder's is given to none. Those whose
    folders would fill the memory have no name: a container can make a thousand files that lie in two thousand folders each."""
    ordered = sorted(files, key=lambda item: (-item.st.st_mtime_ns, -item.st.st_ino, item.text))
    folders, nameless = _above(ordered)
    found: Dict[bytes, OpenFile] = {}
    for item in ordered:
        path = item.path
        if path is None or item.fd in nameless or path.split(b'/')[0] == UNNAMED:
            path = b'%b/%d' % (UNNAMED, item.st.st_ino)
        elif path in found or path in folders:
            folder, name = os.path.split(path)
            path = os.path.join(folder, b'%b.deleted-%d' % (name[:200], item.st.st_ino))
        while path in found or path in folders:
            path += b'-'
        found[path] = item
    return found


def _above(files: Sequence[OpenFile]) -> Tuple[Set[bytes], Set[int]]:
    """(the folders above FILES, descriptors of those for whose folders there is no room)."""
    folders: Set[bytes] = set()
    nameless = set()
    left = MOST_FOLDERS
    for item in files:
        folder, new = os.path.dirname(item.path or b''), []
        while folder and folder not in folders:
            new.append(folder)
            folder = os.path.dirname(folder)
        size = sum(len(each) + EACH for each in new)
        if size > left:
            nameless.add(item.fd)
            continue
        left -= size
        folders.update(new)
    return folders, nameless


def _folders(files: Dict[bytes, OpenFile]) -> Dict[bytes, os.stat_result]:
    """{path: stat} of every folder above FILES."""
    found: Dict[bytes, os.stat_result] = {}
    for path in sorted(files):
        item = files[path]
        missing = []
        folder = os.path.dirname(path)
        while folder and folder not in found:
            missing.append(folder)
            folder = os.path.dirname(folder)
        if missing:
            found.update(_stats(item, list(reversed(missing)), found.get(folder)))
    return found


def _stats(item: OpenFile, folders: List[bytes], above: Optional[os.stat_result]) -> Dict[bytes, os.stat_result]:
    """{path: stat} of FOLDERS, each in the one before it: as they are in the container, or made up of ITEM, which is in them."""
    found: Dict[bytes, os.stat_result] = {}
    with contextlib.ExitStack() as stack:
        root: Any = None
        with contextlib.suppress(OSError):
            root = stack.enter_context(processes.root_of(item.pid))
        mode = stat.S_IMODE(above.st_mode) if above is not None else _MODE
        for path in folders:
            there = processes.seen(root, path) if root is not None and item.path is not None else None
            if there is not None and stat.S_ISDIR(there.st_mode):
                mode = stat.S_IMODE(there.st_mode)
                found[path] = _made_up(there, mode, item.st)
            else:
                found[path] = _made_up(item.st, mode & _MODE | 0o700, item.st)
    return found


def _made_up(owner: os.stat_result, mode: int, times: os.stat_result) -> os.stat_result:
    """A folder's stat. Its times are those of a file in it: those of a folder that is there change all the time."""
    seconds, exact = int(times.st_mtime), times.st_mtime_ns
    return os.stat_result((stat.S_IFDIR | mode, 0, 0, 1, owner.st_uid, owner.st_gid, 0, seconds, seconds, seconds),
                          {'st_atime_ns': exact, 'st_mtime_ns': exact, 'st_ctime_ns': exact})
