"""Entries of a tree, and the stream of them for a plain folder (a volume, a bind mount).

The order is the same everywhere: names sorted as bytes within a folder, a folder before what is in it, so the
order of paths compared component by component. The root of a tree is not an entry; see :func:`root_entry`.
"""
import errno
import os
import stat
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Union

from . import safeio


class _Nowhere(safeio.Dir):
    """The `folder` of an entry that no disk has, e.g. of a folder that only leads to a mount: nothing in it can be opened."""

    @property
    def fd(self) -> int:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


NOWHERE = _Nowhere(None, b'')


class Entry(NamedTuple):
    """One name of a tree. Usable only until its stream is advanced: `folder` may then be closed.

    `path` is relative to the tree's root, without leading or trailing slash; `st` is its lstat.
    `whiteout` and `opaque` occur only in streams of a single layer (union.layer_entries).
    """
    path: bytes
    st: os.stat_result
    folder: safeio.Dir                  # the folder (of its own layer) that holds it
    name: bytes                         # its name in there; differs from path's last part after a redirect
    tree: Any                           # gives open() and xattrs() their meaning
    whiteout: bool = False
    opaque: bool = False
    below: Any = None                   # the tree's own note for open(): where a metacopy's data may lie

    def open(self) -> int:
        """Descriptor of a regular file's data, at offset 0; the caller closes it. Raises OSError."""
        return self.tree.open(self)

    def xattrs(self, fd: Optional[int] = None) -> Dict[str, bytes]:
        """{name: value}; FD of the open file saves a look-up. Overlay's own ones are removed. Raises OSError."""
        return self.tree.xattrs(self, fd)

    def readlink(self) -> bytes:
        return self.folder.readlink(self.name)


class Failure(NamedTuple):
    """Stands in a stream for something that could not be read."""
    path: bytes
    error: OSError
    folder: bool                        # a whole folder's content is missing, not one file


class PlainTree(object):
    """A folder as it is: no layer semantics."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def open(self, entry: Entry) -> int:
        return entry.folder.open(entry.name)

    def xattrs(self, entry: Entry, fd: Optional[int] = None) -> Dict[str, bytes]:
        if fd is not None:
            return safeio.xattrs_of(fd)
        return safeio.xattrs_of(entry.folder.node(entry.name), follow_symlinks=False)

    def root_entry(self) -> Entry:
        """The tree's own folder as an Entry with path ``b''`` (archived as ``./``)."""
        parent = safeio.Dir.root(os.path.dirname(self.path) or b'/')
        name = os.path.basename(self.path)
        return Entry(b'', parent.stat(name), parent, name, self)

    def entries(self, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry and Failure. PRUNE(entry) true: do not go into that folder. OSError if the root can't be opened."""
        with safeio.Dir.root(self.path) as root:
            yield from self.below(root, b'', prune)

    def below(self, folder: safeio.Dir, prefix: bytes, prune: Optional[Callable[[Entry], bool]] = None) -> Iterator[Union[Entry, Failure]]:
        """The same for what is in FOLDER (safeio.Dir), an open folder of this tree, which is closed in the end. PREFIX stands
        before each path."""
        pending = [(len(prefix), folder, iter(folder.names()))]
        while pending:
            start, folder, names = pending[-1]
            prefix = prefix[:start]     # kept once: all prefixes of a deep nest would fill memory
            for name in names:
                path = prefix + name
                try:
                    st = folder.stat(name)
                except FileNotFoundError:
                    continue            # removed by a live container since the listing
                except OSError as exc:
                    yield Failure(path, exc, False)
                    continue
                entry = Entry(path, st, folder, name, self)
                yield entry
                if stat.S_ISDIR(st.st_mode) and not (prune and prune(entry)):
                    try:
                        child = folder.child(name)
                        inner = child.names()
                    except OSError as exc:
                        yield Failure(path, exc, True)
                        continue
                    prefix = path + b'/'
                    pending.append((len(prefix), child, iter(inner)))
                    break
            else:
                folder.close()
                pending.pop()
