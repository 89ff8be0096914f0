"""What `podman diff` prints for a container on overlay: a walk of the writable layer (storage: pkg/archive/changes.go, changes_linux.go).

It is not Docker's rule. A whiteout is D, and so is an opaque folder where anything was below; anything else is C if a layer below has the name,
but for a folder that looks the same, and A if none has. Opaque marks do not count for that: a file in a folder that was made anew is C if any
layer has one of that name. Links of the layers below are followed, as stat(2) does it on the host: one that leads nowhere is as if it were
not there. Each folder above an A or D is C once.
Content is not compared: a file that was copied up and not changed is C.

Where the engine compares two mounts instead (a mount program, vfs, btrfs), attributes of users (`user.*`) count as well.
"""
import os
import stat
from typing import Any, Iterator, List, Optional, Set, Tuple, Union

from ....disk import safeio
from ....disk.tree import Entry, Failure
from ....layers.changes import Change, changes as compared, same_time
from ....layers.encodings import ENCODINGS, NO_MARKS
from ....layers.union import Part, View

USER = 'user.'
# libpod/diff.go: what the engine itself puts into each container; these very paths, not what lies below
OWN = frozenset((b'dev', b'etc/hostname', b'etc/hosts', b'etc/resolv.conf', b'proc', b'run', b'run/notify', b'run/.containerenv', b'run/secrets',
                 b'run/podman-init', b'sys', b'etc/mtab'))


def visible(found: Iterator[Any]) -> Iterator[Any]:
    """Changes without those of the engine itself."""
    return (item for item in found if isinstance(item, Failure) or item.path not in OWN)


def of_views(stack: Any) -> Iterator[Any]:
    """The same as of_upper() for a driver of which the engine compares two mounts."""
    return compared(stack, USER)


def of_upper(stack: Any, disk: Any) -> Iterator[Any]:
    """Yield layers.changes.Change and tree.Failure of a model.Stack on native overlay. DISK: the disk.host.HostRoot, on which links of the
    layers are followed. Raises OSError if a layer cannot be opened."""
    stack = stack.readable()
    layers = stack.view()
    with View(layers[:1]) as view:
        pool = view._pool
        top = view.root_parts()[0].folder
        below = [_Lower(safeio.Dir.root(layer.path, pool), ENCODINGS[layer.encoding], layer.path, disk) for layer in layers[1:]]
        yield from _Walk(view, ENCODINGS[layers[0].encoding]).run(top, below)


class _Lower(object):
    """A folder of one lower layer, or where it would be. `gone`: this layer deletes it. `path`: of the folder on the managed node, where a link
    led to it, which `folder` does not follow, or may lead on."""
    __slots__ = ('folder', 'encoding', 'path', 'disk', 'gone')

    def __init__(self, folder: Optional[safeio.Dir], encoding: Any, path: Optional[bytes], disk: Any, gone: bool = False) -> None:
        self.folder, self.encoding, self.path, self.disk, self.gone = folder, encoding, path, disk, gone

    def stat(self, name: bytes) -> Tuple[Optional[os.stat_result], bool]:
        """(stat of a name, None if it has none; whether the layer deletes it)."""
        if self.folder is None:
            return self._followed(name), self.gone
        try:
            st = self.folder.stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return None, False
        if stat.S_ISLNK(st.st_mode):
            return self._followed(name), False
        return (None, True) if self.encoding.is_whiteout(st, self.folder, name, NO_MARKS) else (st, False)

    def _followed(self, name: bytes) -> Optional[os.stat_result]:
        """stat(2) of a name on the host; None where there is nothing, or where nothing can be said."""
        try:
            return self.disk.stat(self.disk.to_host(os.path.join(self.path, name))) if self.path is not None else None
        except (OSError, ValueError):
            return None

    def child(self, name: bytes) -> '_Lower':
        """The same of the folder NAME in it."""
        path = os.path.join(self.path, name) if self.path is not None else None
        if self.folder is None:
            return _Lower(None, self.encoding, path, self.disk, self.gone)
        try:
            st = self.folder.stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return _Lower(None, self.encoding, None, self.disk)
        if stat.S_ISLNK(st.st_mode):
            return _Lower(None, self.encoding, path, self.disk)
        if not stat.S_ISDIR(st.st_mode):
            return _Lower(None, self.encoding, None, self.disk, self.encoding.is_whiteout(st, self.folder, name, NO_MARKS))
        return _Lower(self.folder.child(name), self.encoding, path, self.disk)


class _Walk(object):
    def __init__(self, view: View, encoding: Any) -> None:
        self._view, self._encoding = view, encoding
        self._told: Set[Any] = set()

    def run(self, top: safeio.Dir, below: List[_Lower]) -> Iterator[Union[Change, Failure]]:
        """Yield the changes, folders before what is in them."""
        pending: List[Any] = [(b'', top, below, iter(top.names()))]
        while pending:
            prefix, folder, lowers, names = pending[-1]
            inner = None
            for name in names:
                try:
                    found, inner = self._one(prefix, folder, lowers, name)
                except OSError as exc:
                    yield Failure(prefix + name, exc, False)
                    continue
                yield from found
                if inner is not None:
                    pending.append(inner)
                    break
            else:
                pending.pop()
                self._told.discard(prefix[:-1])

    def _one(self, prefix: bytes, folder: safeio.Dir, lowers: List[_Lower], name: bytes) -> Tuple[List[Change], Any]:
        """([changes of one name], what to walk below it or None)."""
        path, st = prefix + name, folder.stat(name)
        if self._encoding.is_whiteout(st, folder, name, self._encoding.marks(folder)):
            return self._parents(path) + [Change('D', path, None)], None
        entry = Entry(path, st, folder, name, self._view, False, False, (None, Part(0, folder, NO_MARKS)))
        was = _was(lowers, name)
        if not stat.S_ISDIR(st.st_mode):
            return ([Change('C', path, entry)] if was is not None else self._parents(path) + [Change('A', path, entry)]), None
        child = folder.child(name)
        if was is None:
            kind = 'A'
        elif self._encoding.marks(child).opaque:
            kind = 'D'
        else:
            kind = '' if _same_folder(st, was) else 'C'
        found = []
        if kind:
            found = (self._parents(path) if kind != 'C' else []) + [Change(kind, path, None if kind == 'D' else entry)]
            self._told.add(path)
        return found, (path + b'/', child, [lower.child(name) for lower in lowers], iter(child.names()))

    def _parents(self, path: bytes) -> List[Change]:
        found, parts = [], path.split(b'/')[:-1]
        for count in range(1, len(parts) + 1):
            parent = b'/'.join(parts[:count])
            if parent not in self._told:
                self._told.add(parent)
                found.append(Change('C', parent, None))
        return found


def _was(lowers: List[_Lower], name: bytes) -> Optional[os.stat_result]:
    """stat of NAME in the nearest layer that has it, None if none has or one hides it."""
    for lower in lowers:
        st, gone = lower.stat(name)
        if gone:
            return None
        if st is not None:
            return st
    return None


def _same_folder(st: os.stat_result, was: os.stat_result) -> bool:
    return stat.S_ISDIR(was.st_mode) and (st.st_size, st.st_mode) == (was.st_size, was.st_mode) and same_time(st.st_mtime_ns, was.st_mtime_ns)
