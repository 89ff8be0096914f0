"""A file system by path, as a process in the container saw it: links are followed inside it, mounts are at their places.

    with union.View(layers) as view:
        files = FileSystem(merged(view), mounts)
        node = files.lookup(b'/etc/app.conf')
        for entry in files.walk(node): ...

A link can never lead out: an absolute one begins at the root of the file system, and `..` of the root is the root
(path_resolution(7), chroot(2)). Everything is opened relative to the folder that holds it.
"""
import errno
import os
import stat
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..disk.tree import NOWHERE, Entry, Failure, PlainTree
from ..formats.wording import show
from ..layers.encodings import Overlay
from ..layers.union import _Folder

if TYPE_CHECKING:
    from .union import Part, View

MAX_LINKS = 40                          # as the kernel, path_resolution(7)
MAX_PATH = 4096                         # PATH_MAX
BATCH = 512                             # paths that are handed out at once


class Node(NamedTuple):
    """What a path leads to. `names` are the components without links; `entry` has them joined as its path."""
    names: Tuple[bytes, ...]
    entry: Entry
    folder: Any                         # Merged or Plain; None for what is no folder


class MountPoint(NamedTuple):
    """`open()` -> Node of the mount's root. `missing`: why its data are not there; '' with open None: nothing is lost."""
    destination: bytes
    open: Any
    missing: str = ''


class Merged(object):
    """A folder of a merged view (union.View)."""

    def __init__(self, view: 'View', parts: 'List[Part]') -> None:
        self._view = view
        self._parts = parts
        self._listed: Optional[_Folder] = None

    def _here(self) -> _Folder:
        if self._listed is None:
            self._listed = self._view._merge(self._parts, b'')
        return self._listed

    def root_entry(self) -> Entry:
        part = self._parts[0]
        return Entry(b'', part.folder.stat(b'.'), part.folder, b'.', self._view, False, False, (None, part))

    def failure(self) -> Optional[Failure]:
        """tree.Failure if the share of a layer cannot be listed, else None."""
        return next(iter(self._here().failures), None)

    def find(self, name: bytes, path: bytes) -> Optional[Entry]:
        """Entry of NAME with this PATH, None if there is none. OSError."""
        here = self._here()
        found = self._view._find(here, name) if name in here.where else None
        if found is None:
            return None
        part, st = found
        return Entry(path, st, part.folder, name, self._view, False, False, (here, part))

    def child(self, name: bytes) -> 'Merged':
        return Merged(self._view, self._view._collect(self._here(), name))

    def walk(self, prefix: bytes, prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        return self._view._walk(self._parts, prefix, prune)

    def paths(self, prefix: bytes, failed: Callable[[Failure], Any]) -> Optional[Iterator[List[bytes]]]:
        """Yield lists of the paths of everything below, a slash behind folders; None if that cannot be told without looking at each."""
        # types: an Overlay without its heirs, which ask for attributes of each file
        if not safeio.SCANS or any(encoding.__class__ is not Overlay for encoding in self._view.encodings):
            return None
        return _paths(self._view, self._parts, prefix, failed)


class Plain(object):
    """A folder as it is (tree.PlainTree), open as a safeio.Dir."""

    def __init__(self, tree: PlainTree, folder: safeio.Dir) -> None:
        self._tree = tree
        self._folder = folder

    def root_entry(self) -> Entry:
        return Entry(b'', self._folder.stat(b'.'), self._folder, b'.', self._tree)

    def failure(self) -> Optional[Failure]:
        return None                     # find() raises

    def find(self, name: bytes, path: bytes) -> Optional[Entry]:
        try:
            return Entry(path, self._folder.stat(name), self._folder, name, self._tree)
        except FileNotFoundError:
            return None

    def child(self, name: bytes) -> 'Plain':
        return Plain(self._tree, self._folder.child(name))

    def walk(self, prefix: bytes, prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        return self._tree.below(self._folder, prefix, prune)

    def paths(self, dummy_prefix: bytes, dummy_failed: Callable[[Failure], Any]) -> Optional[Iterator[List[bytes]]]:
        return None


def _paths(view: 'View', parts: 'List[Part]', prefix: bytes, failed: Callable[[Failure], Any]) -> Iterator[List[bytes]]:
    """See Merged.paths(). Which names are folders or may be deletions the kernel says when it lists (getdents64(2), d_type)."""
    found = []
    pending = [(len(prefix),) + _scanned(view, parts, prefix, failed, found)]
    while pending:
        start, here, names, folders = pending[-1]
        prefix = prefix[:start]
        for name in names:
            path = prefix + name
            if name not in folders:
                found.append(path)
                continue
            found.append(path + b'/')
            try:
                inner = view._collect(here, name)
            except OSError as exc:
                failed(Failure(path, exc, True))
                continue
            if len(found) > BATCH:
                yield found
                found = []
            prefix = path + b'/'
            pending.append((len(prefix),) + _scanned(view, inner, prefix, failed, found))
            break
        else:
            pending.pop()
    yield found


def _scanned(view: 'View', parts: 'List[Part]', prefix: bytes, failed: Callable[[Failure], Any],
             found: List[bytes]) -> Tuple[_Folder, Iterator[bytes], Set[bytes]]:
    """(union._Folder, iterator of names, those of them that are folders) of a merged folder. What is in a folder without folders goes
    into FOUND at once."""
    where: Dict[bytes, List[Part]] = {}
    shown: Set[bytes] = set()
    folders: Set[bytes] = set()
    listed: Collection[bytes] = ()
    decided, shares = set(), []         # names that a layer above shows or hides; (part, names in it) of each layer
    for part in parts:
        try:
            names, inner, deleted = _scan(view, part)
        except OSError as exc:
            failed(Failure(prefix[:-1], exc, True))
            continue
        if len(parts) == 1:             # most folders are in one layer only
            listed, folders = names, inner
            where = dict.fromkeys(inner, parts)
            break
        here = deleted.union(names)
        folders |= inner - decided
        shown |= here - decided - deleted
        decided |= here
        shares.append((part, here))
    else:
        where = {name: [part for part, here in shares if name in here] for name in folders}
        listed = shown
    names = sorted(listed)
    if not folders:
        found += [prefix + name for name in names]
        names = ()
    return _Folder(len(prefix), parts, where, None, ()), iter(names), folders


def _scan(view: 'View', part: 'Part') -> Tuple[Sequence[bytes], Set[bytes], Set[bytes]]:
    """(names, those that are folders, deletions) of one layer's share of a folder."""
    with part.folder.scan() as listed:
        entries = list(listed)
    if not entries:
        return (), set(), set()
    # text, as scandir gives it for a descriptor; all at once, as no name has a slash
    names = os.fsencode('/'.join([entry.name for entry in entries])).split(b'/')
    others = [number for number, entry in enumerate(entries) if not entry.is_file(follow_symlinks=False)]      # few: one question a file
    inner = {names[number] for number in others if entries[number].is_dir(follow_symlinks=False)}
    odd = [names[number] for number in others if not (names[number] in inner or entries[number].is_symlink())]
    encoding, deleted, gone = view.encodings[part.index], set(), set()
    for name in names if part.marks.xwhiteouts else odd:
        try:
            if encoding.is_whiteout(part.folder.stat(name), part.folder, name, part.marks):
                deleted.add(name)
        except FileNotFoundError:
            gone.add(name)              # removed by a live container since the listing
    if deleted or gone:
        names = [name for name in names if name not in deleted and name not in gone]
    return names, inner, deleted


class _Made(object):
    """A folder that only leads to a mount: the engine makes it when it starts the container."""

    def root_entry(self) -> Entry:
        return Entry(b'', MADE, NOWHERE, b'', self)

    def failure(self) -> Optional[Failure]:
        return None

    def find(self, dummy_name: bytes, dummy_path: bytes) -> Optional[Entry]:
        return None

    def walk(self, dummy_prefix: bytes, dummy_prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        return iter(())

    def paths(self, dummy_prefix: bytes, dummy_failed: Callable[[Failure], Any]) -> Optional[Iterator[List[bytes]]]:
        return iter(())

    def xattrs(self, dummy_entry: Entry, dummy_fd: Optional[int] = None) -> Dict[str, bytes]:
        """What Entry.xattrs() asks of its tree."""
        return {}


MADE = os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 2, 0, 0, 0, 0, 0, 0),
                      {'st_atime_ns': 0, 'st_mtime_ns': 0, 'st_ctime_ns': 0, 'st_blocks': 0, 'st_rdev': 0})


def empty() -> Node:
    """The Node of a root without files, for a container whose layers cannot be read: mounts are at their places."""
    folder = _Made()
    return Node((), folder.root_entry(), folder)


def merged(view: 'View') -> Merged:
    """The root of an open union.View."""
    return Merged(view, view.root_parts())


def plain(path: bytes) -> Node:
    """Node of the folder, or single file, PATH (bytes, absolute, without links)."""
    tree = PlainTree(path)
    parent, name = safeio.Dir.root(os.path.dirname(path) or b'/'), os.path.basename(path)
    if name and not stat.S_ISDIR(parent.stat(name).st_mode):
        return Node((), Entry(b'', parent.stat(name), parent, name, tree), None)
    parent.close_all()
    folder = Plain(tree, safeio.Dir.root(path))
    return Node((), folder.root_entry(), folder)


def below(node: Node, path: bytes) -> Node:
    """The Node that PATH (bytes) leads to inside of the volume NODE. OSError."""
    found = FileSystem(node).lookup(path)
    return found._replace(names=(), entry=found.entry._replace(path=b''))


class FileSystem(object):
    """ROOT: a Merged or Plain folder, or a Node. MOUNTS: MountPoint of each mount, in any order."""

    def __init__(self, root: Union[Merged, Plain, Node], mounts: Iterable[MountPoint] = ()) -> None:
        self._root = root if isinstance(root, Node) else Node((), root.root_entry(), root)
        self._mounts: Dict[Tuple[bytes, ...], MountPoint] = {}  # names of the place, links resolved -> MountPoint
        self._roots: Dict[Tuple[bytes, ...], Node] = {}
        for mount in sorted(mounts, key=lambda item: item.destination.count(b'/')):
            names = self._place(mount.destination)
            if names:
                self._mounts[names] = mount

    def _place(self, destination: bytes) -> Tuple[bytes, ...]:
        """Names of a mount's place. An engine follows the links of the container's own file system to it."""
        parts = [part for part in destination.split(b'/') if part not in (b'', b'.')]
        if b'..' in parts:
            return ()
        for count in range(len(parts), 0, -1):
            try:
                return self.lookup(b'/'.join(parts[:count])).names + tuple(parts[count:])
            except (OSError, LifeboatError):
                continue
        return tuple(parts)

    @property
    def root(self) -> Node:
        return self._root

    def is_mounted(self, names: Tuple[bytes, ...]) -> bool:
        """True if the place NAMES (without links) lies in a mount that has data, so that no layer has a part in it."""
        return any(mount.open is not None and names[:len(place)] == place for place, mount in self._mounts.items())

    def lookup(self, path: bytes, follow: bool = True) -> Node:
        """The Node that PATH (bytes) leads to from the root. FOLLOW false: a link as last component is not followed.

        OSError ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES...; LifeboatError where the data of a mount are not there.
        """
        if len(path) > MAX_PATH or b'\0' in path:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        stack = [self._root]
        todo = path.split(b'/')[::-1]
        follow = follow or path.endswith(b'/')
        links = 0
        while todo:
            part = todo.pop()
            if stack[-1].folder is None:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if part in (b'', b'.'):
                continue
            if part == b'..':
                if len(stack) > 1:
                    stack.pop()
                continue
            node = self._step(stack[-1], part)
            if stat.S_ISLNK(node.entry.st.st_mode) and (follow or todo):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = node.entry.readlink()
                if target.startswith(b'/'):
                    del stack[1:]
                todo.extend(reversed(target.split(b'/')))
                continue
            stack.append(node)
        return stack[-1]

    def _step(self, here: Node, name: bytes) -> Node:
        names = here.names + (name,)
        mount = self._mounts.get(names)
        if mount is not None and mount.missing:
            raise LifeboatError(mount.missing)
        if mount is not None and mount.open is not None:
            return self._mounted(names)
        path = b'/'.join(names)
        entry = here.folder.find(name, path)
        if entry is None:
            failure = here.folder.failure()
            if failure is not None:     # the name may be in what cannot be listed
                raise failure.error
            if any(place[:len(names)] == names for place in self._mounts):
                folder = _Made()
                return Node(names, folder.root_entry()._replace(path=path), folder)
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return Node(names, entry, here.folder.child(name) if stat.S_ISDIR(entry.st.st_mode) else None)

    def _mounted(self, names: Tuple[bytes, ...]) -> Node:
        if names not in self._roots:
            self._roots[names] = self._mounts[names].open()
        node = self._roots[names]
        return node._replace(names=names, entry=node.entry._replace(path=b'/'.join(names)))

    def children(self, node: Node) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry and Failure of what is right in the folder NODE, in order; paths begin at the root."""
        return self.walk(node, lambda entry: True)

    def walk(self, node: Node, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry and Failure of everything below the folder NODE, in tree order (see disk.tree); paths begin at the
        root. PRUNE(entry) true: not into that folder."""
        prefix = b'/'.join(node.names) + b'/' if node.names else b''
        depth = len(node.names)
        inner = sorted(place for place in self._mounts if len(place) > depth and place[:depth] == node.names)
        if not inner:
            return node.folder.walk(prefix, prune)
        return self._walk(node, prefix, inner, prune)

    def paths(self, node: Node, failed: Callable[[Failure], Any]) -> Iterator[List[bytes]]:
        """Yield lists of the paths (bytes) of everything below the folder NODE, in tree order, folders with a slash behind.
        FAILED(Failure) is called for what cannot be read."""
        prefix = b'/'.join(node.names) + b'/' if node.names else b''
        inside = any(place[:len(node.names)] == node.names for place in self._mounts if len(place) > len(node.names))
        found = None if inside else node.folder.paths(prefix, failed)
        if found is not None:
            yield from found
            return
        batch = []
        for item in self.walk(node):
            if isinstance(item, Failure):
                failed(item)
                continue
            batch.append(item.path + b'/' if stat.S_ISDIR(item.st.st_mode) else item.path)
            if len(batch) > BATCH:
                yield batch
                batch = []
        yield batch

    def _walk(self, node: Node, prefix: bytes, inner: List[Tuple[bytes, ...]],
              prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        """The same where mounts lie below: INNER are their places, sorted."""
        outer = [place for place in inner if not any(place != other and place[:len(other)] == other for other in inner)]
        waiting = {b'/'.join(place): place for place in outer}
        pending = list(outer)
        cut, made = [], set()

        def pruned(entry: Entry) -> bool:
            if entry.path in waiting:
                return True
            no = bool(prune and prune(entry))
            if no:
                cut.append(entry.path + b'/')
            return no

        for item in node.folder.walk(prefix, pruned):
            key = tuple(item.path.split(b'/')) if pending else ()
            while pending and pending[0] < key:
                yield from self._late(node, pending.pop(0), cut, made, prune)
            if isinstance(item, Failure) or not pending or pending[0] != key:
                yield item
                continue
            yield from self._at(pending.pop(0), item, prune)
        for place in pending:
            yield from self._late(node, place, cut, made, prune)

    def _late(self, node: Node, place: Tuple[bytes, ...], cut: List[bytes], made: Set[Tuple[bytes, ...]],
              prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        """A mount whose place is not in the file system itself: the folders to it, then what is in it."""
        path = b'/'.join(place)
        if any(path.startswith(folder) for folder in cut):
            return
        for count in range(len(node.names) + 1, len(place)):
            try:
                above = self._step_from(node, place[:count])
            except (OSError, LifeboatError):
                return                  # something else than a folder is there
            if isinstance(above.folder, _Made) and above.names not in made:
                made.add(above.names)
                yield above.entry
                if prune and prune(above.entry):
                    cut.append(above.entry.path + b'/')
                    return
        yield from self._at(place, None, prune)

    def _step_from(self, node: Node, names: Tuple[bytes, ...]) -> Node:
        for name in names[len(node.names):]:
            if node.folder is None:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            node = self._step(node, name)
        return node

    def _at(self, place: Tuple[bytes, ...], covered: Optional[Entry], prune: Optional[Callable[[Entry], bool]]) -> Iterator[Union[Entry, Failure]]:
        """A mount at its place. COVERED: the Entry that is there without it."""
        mount, path = self._mounts[place], b'/'.join(place)
        if mount.open is None:
            if covered is not None:
                yield covered
            if mount.missing:
                yield Failure(path, OSError(errno.ENODATA, mount.missing), True)
            return
        try:
            node = self._mounted(place)
        except OSError as exc:
            yield Failure(path, exc, True)
            return
        yield node.entry
        if node.folder is not None and not (prune and prune(node.entry)):
            yield from self.walk(node, prune)


def why(exc: OSError) -> str:
    """The reason of an OSError in words; names of a disk in it are made harmless."""
    return show(exc.strerror or str(exc)) or type(exc).__name__


def kind(mode: int) -> Optional[str]:
    """f, d, l, p, s, c or b for a st_mode, as find -type has them."""
    return {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p', stat.S_IFSOCK: 's',
            stat.S_IFCHR: 'c', stat.S_IFBLK: 'b'}.get(stat.S_IFMT(mode))
