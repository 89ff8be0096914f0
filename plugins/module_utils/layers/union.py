"""Layers put on top of each other without a mount: the merged view, one writable layer, and what changed.

Follows the kernel's look-up (fs/overlayfs/namei.c): the first layer that has a name decides; a whiteout hides it;
folders of one name are merged downwards until one is opaque or something else than a folder is met; a redirect
sends the search for the lower part of a folder elsewhere. Docker's diff compares two such views
(moby: daemon/graphdriver/fsdiff.go, go-archive: changes.go).
"""
import errno
import os
import stat
from collections import OrderedDict, deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Generator,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from ..disk import safeio
from ..disk.tree import Entry, Failure
from .encodings import ENCODINGS, NO_MARKS

if TYPE_CHECKING:
    from ..records.model import Layer
    from .encodings import FolderMarks


class Part(NamedTuple):
    """One layer's share of a merged folder."""
    index: int                          # type: ignore[assignment]  # of the layer, 0 is the top
    folder: safeio.Dir
    marks: Any


class View(object):
    """A merged file system. LAYERS are model.Layer with a path, top first. Use as a context manager.

    Raises OSError when a layer's folder cannot be opened. Everything that cannot be read below is yielded as
    tree.Failure; the rest goes on.
    """

    def __init__(self, layers: 'Sequence[Layer]') -> None:
        self.layers = tuple(layers)
        self.encodings = [ENCODINGS[layer.encoding] for layer in self.layers]
        self._pool: OrderedDict[int, safeio.Dir] = OrderedDict()
        self._roots: List[safeio.Dir] = []
        self._bare: Optional[Entry] = None  # the last Entry that was opened, if it has no extended attributes

    def __enter__(self) -> 'View':
        try:
            for layer in self.layers:
                if layer.path is None:
                    raise OSError(errno.ENOENT, 'the folder of a layer is not known')
                self._roots.append(safeio.Dir.root(layer.path, self._pool))
        except OSError:
            self.close()
            raise
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def close(self) -> None:
        while self._pool:
            self._pool.popitem()[1]._close()
        self._roots = []

    # -- the merged view ---------------------------------------------------------------------------------------

    def root_parts(self) -> List[Part]:
        parts = []
        for index, root in enumerate(self._roots):
            marks = self.encodings[index].marks(root)
            parts.append(Part(index, root, marks))
            if marks.opaque or self.encodings[index].hides_all:
                break
        return parts

    def entries(self, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry and Failure of the merged file system, without its root. PRUNE(entry) true: not into that folder."""
        return self._walk(self.root_parts(), b'', prune)

    def _walk(self, parts: List[Part], prefix: bytes, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        def visit(here: '_Folder', path: bytes, name: bytes) -> 'Generator[Union[Entry, Failure], None, Optional[_Folder]]':
            try:
                found = self._find(here, name)
            except OSError as exc:
                yield Failure(path, exc, False)
                return None
            if found is None:
                return None
            part, st = found
            entry = Entry(path, st, part.folder, name, self, False, False, (here, part))
            yield entry
            if not stat.S_ISDIR(st.st_mode) or (prune and prune(entry)):
                return None
            try:
                return self._merge(self._collect(here, name), path + b'/')
            except OSError as exc:
                yield Failure(path, exc, True)
            return None
        return descend(self._merge(parts, prefix), prefix, visit)

    def _merge(self, parts: List[Part], prefix: bytes) -> '_Folder':
        """The names of a merged folder. A layer whose share cannot be listed is reported, the others remain."""
        where = {}
        hidden = set()
        failure = None
        for part in parts:
            try:
                names, deleted, opaque = self.encodings[part.index].split(part.folder.names())
            except OSError as exc:
                failure = Failure(prefix[:-1], exc, True)
                continue
            for name in names:
                if name not in hidden:
                    where.setdefault(name, []).append(part)
            hidden.update(deleted)
            if opaque:
                break
        return _Folder(len(prefix), parts, where, failure, sorted(where))

    def _find(self, here: '_Folder', name: bytes) -> Optional[Tuple[Part, os.stat_result]]:
        """(part, lstat) of a name in a merged folder, or None if it is a whiteout or vanished."""
        for part in here.where[name]:
            try:
                st = part.folder.stat(name)
            except FileNotFoundError:
                continue                # removed by a live container since the listing
            encoding = self.encodings[part.index]
            if encoding.is_whiteout(st, part.folder, name, part.marks):
                return None
            return part, encoding.seen_stat(st, part.folder, name)
        return None

    def _collect(self, here: '_Folder', name: bytes) -> List[Part]:
        """The parts of the sub-folder NAME of a merged folder."""
        parts = []

        def visit(index: int, parent: safeio.Dir, leaf: bytes, st: os.stat_result) -> Optional[bytes]:
            if not stat.S_ISDIR(st.st_mode):
                return None
            folder = parent.child(leaf)
            marks = self.encodings[index].marks(folder)
            parts.append(Part(index, folder, marks))
            return None if marks.opaque or self.encodings[index].hides_all else marks.redirect or b''

        self._search(here, name, visit)
        return parts

    def _search(self, here: '_Folder', name: bytes, visit: Callable[[int, safeio.Dir, bytes, os.stat_result], Optional[bytes]]) -> None:
        """Look NAME up downwards as the kernel does. VISIT(layer index, parent folder, leaf, lstat) answers None to
        end the search, b'' to go on with the same name, or the redirect under which to go on."""
        queue: Deque[Tuple[int, safeio.Dir, bytes, Optional[Part]]] = deque(
            (part.index, part.folder, name, part) for part in here.where.get(name, ()))
        while queue:
            index, base, target, part = queue.popleft()
            try:
                located = self._locate(index, base, target, part)
                if located is None:
                    return
                parent, leaf, marks, stop = located
                st = parent.stat(leaf)
            except FileNotFoundError:
                continue
            if self.encodings[index].is_whiteout(st, parent, leaf, marks):
                return
            redirect = visit(index, parent, leaf, st)
            if redirect is None or stop:
                return
            if redirect.startswith(b'/'):
                queue = deque((lower, self._roots[lower], redirect, None)
                              for lower in range(index + 1, len(self._roots)))
            elif redirect:
                queue = deque(self._siblings(here, index, target, redirect))

    def _siblings(self, here: '_Folder', index: int, target: bytes, redirect: bytes) -> List[Tuple[int, safeio.Dir, bytes, Optional[Part]]]:
        """Where a relative redirect is looked for: beside the old name, in every lower layer of the same folder."""
        if target.startswith(b'/'):
            path = os.path.join(os.path.dirname(target), redirect)
            return [(lower, self._roots[lower], path, None) for lower in range(index + 1, len(self._roots))]
        return [(part.index, part.folder, redirect, part) for part in here.parts if part.index > index]

    def _locate(self, index: int, base: safeio.Dir, target: bytes, part: Optional[Part]) -> 'Optional[Tuple[safeio.Dir, bytes, FolderMarks, bool]]':
        """Resolve TARGET below BASE in one layer -> (parent folder, leaf, parent's marks, nothing below counts), None where this
        very layer hides the path."""
        if not target.startswith(b'/'):
            return base, target, part.marks if part is not None else NO_MARKS, False
        encoding = self.encodings[index]
        folder, stop = base, False
        marks = encoding.marks(base)
        names = target.strip(b'/').split(b'/')
        for name in names[:-1]:
            st = folder.stat(name)
            if encoding.is_whiteout(st, folder, name, marks) or not stat.S_ISDIR(st.st_mode):
                return None
            folder = folder.child(name)
            marks = encoding.marks(folder)
            stop = stop or marks.opaque
        return folder, names[-1], marks, stop

    # -- what an Entry asks of its tree --------------------------------------------------------------------------

    def open(self, entry: Entry) -> int:
        here, part = entry.below
        fd = entry.folder.open(entry.name)
        mark = self.encodings[part.index].metacopy_mark
        if mark is None:
            return fd
        names = os.listxattr(fd)
        if mark not in names:
            if not names:
                self._bare = entry      # nearly every file: xattrs() need not ask again
            return fd
        os.close(fd)
        return self._open_data(entry, here)

    def _open_data(self, entry: Entry, here: '_Folder') -> int:
        """The data of a metacopy file (its own bytes read as zeros) from the next lower layer that has them."""
        found = []

        def visit(index: int, parent: safeio.Dir, leaf: bytes, st: os.stat_result) -> Optional[bytes]:
            if not stat.S_ISREG(st.st_mode):
                return None
            fd = parent.open(leaf)
            redirect = self.encodings[index].metacopy(safeio.xattrs_of(fd))
            if redirect is None:
                found.append(fd)
            else:
                os.close(fd)
            return redirect

        self._search(here, entry.name, visit)
        if not found:
            raise OSError(errno.EIO, 'only the metadata of this file are in its layer; the layer with its data is missing')
        return found[0]

    def xattrs(self, entry: Entry, fd: Optional[int] = None) -> Dict[str, bytes]:
        if fd is not None and entry is self._bare:
            return {}
        encoding = self.encodings[entry.below[1].index]
        if fd is not None and _same_inode(fd, entry.st):
            return encoding.clean(safeio.xattrs_of(fd))
        # no descriptor, or that of a metacopy's data: the attributes are the upper inode's
        return encoding.clean(safeio.xattrs_of(entry.folder.node(entry.name), follow_symlinks=False))

    # -- one layer -----------------------------------------------------------------------------------------------

    def layer_entries(self, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry (with `whiteout`, `opaque`) and Failure of the top layer, as an OCI layer would hold it:
        a redirected folder is spelt out as an opaque one with all that is seen in it."""
        def visit(here: '_Folder', path: bytes, name: bytes) -> 'Generator[Union[Entry, Failure], None, Optional[_Folder]]':
            top = here.parts[0]
            encoding = self.encodings[top.index]
            if name in here.deleted:
                yield Entry(path, NO_STAT, top.folder, name, self, True, False, (here, top))
                return None
            try:
                st = top.folder.stat(name)
                gone = encoding.is_whiteout(st, top.folder, name, top.marks)
                if gone or not stat.S_ISDIR(st.st_mode):
                    yield Entry(path, encoding.seen_stat(st, top.folder, name), top.folder, name, self, gone, False, (here, top))
                    return None
                st = encoding.seen_stat(st, top.folder, name)
                parts = self._collect(here, name)
                inner = self._layer_folder(parts, path + b'/')
            except FileNotFoundError:
                return None             # removed by a live container since the listing
            except OSError as exc:
                yield Failure(path, exc, True)
                return None
            redirected = bool(parts[0].marks.redirect)
            entry = Entry(path, st, top.folder, name, self, False, redirected or inner.opaque, (here, top))
            yield entry
            if prune and prune(entry):
                return None
            if redirected:
                yield from self._walk(parts, path + b'/', prune)
                return None
            return inner
        return descend(self._layer_folder(self.root_parts(), b''), b'', visit)

    def _layer_folder(self, parts: List[Part], prefix: bytes) -> '_Folder':
        """A folder of which only the top layer's names are listed; the parts below are kept for look-ups."""
        failure, deleted, names, opaque = None, (), (), False
        try:
            names, deleted, opaque = self.encodings[parts[0].index].split(parts[0].folder.names())
        except OSError as exc:
            failure = Failure(prefix[:-1], exc, True)
        folder = _Folder(len(prefix), parts, _Everywhere(parts), failure,
                         sorted(set(names).union(deleted)) if deleted else names)
        folder.deleted = frozenset(deleted) - frozenset(names)
        folder.opaque = opaque or parts[0].marks.opaque
        return folder


def descend(folder: Any, prefix: bytes, visit: Callable[[Any, bytes, bytes], Any]) -> Iterator[Any]:
    """What VISIT yields for each name in FOLDER, whose paths begin with PREFIX, and below.

    A folder has `start` (length of its prefix), `failures` (to be yielded before its names) and `names`, an iterator.
    VISIT(folder, path, name) is a generator that returns the folder to go down into, None if there is none.
    """
    pending = [folder]
    while pending:
        here = pending[-1]
        prefix = prefix[:here.start]
        yield from here.failures
        here.failures = ()
        for name in here.names:
            path = prefix + name
            inner = yield from visit(here, path, name)
            if inner is not None:
                pending.append(inner)
                prefix = path + b'/'
                break
        else:
            pending.pop()


NO_STAT = os.stat_result((stat.S_IFCHR, 0, 0, 1, 0, 0, 0, 0, 0, 0))


class _Everywhere(object):
    """Stands for the name table of a merged folder of which only the top was listed: any name may be in any part.
    Right only where no layer deletes by name (Encoding.by_name)."""
    __slots__ = ('parts',)

    def __init__(self, parts: List[Part]) -> None:
        self.parts = parts

    def get(self, name: bytes, default: Any = ()) -> List[Part]:
        return self.parts

    def __getitem__(self, name: bytes) -> List[Part]:
        return self.parts

    def __contains__(self, name: object) -> bool:
        return True


class _Folder(object):
    """A merged folder while it is walked."""
    __slots__ = ('start', 'parts', 'where', 'failures', 'names', 'deleted', 'opaque')

    def __init__(self, start: int, parts: List[Part], where: Union[Dict[bytes, List[Part]], _Everywhere], failure: Optional[Failure],
                 names: Iterable[bytes]) -> None:
        self.start = start              # length of the prefix of its paths: all prefixes of a deep nest would fill memory
        self.parts = parts
        self.where = where              # name -> parts that have it, top first
        self.failures = () if failure is None else (failure,)
        self.names = iter(names)
        self.deleted = frozenset()
        self.opaque = False


def _same_inode(fd: int, st: os.stat_result) -> bool:
    now = os.fstat(fd)
    return (now.st_dev, now.st_ino) == (st.st_dev, st.st_ino)
