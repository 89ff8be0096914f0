"""What can be archived: a writable layer, a merged file system, a folder. Each as a stream of entries, and how large it is.

A tree is a context manager factory: `opened()` yields (root entry or None, stream of disk.tree.Entry and Failure).
"""
import contextlib
import os
import stat
from typing import (
    TYPE_CHECKING,
    ContextManager,
    Generator,
    Iterable,
    Iterator,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

from ..disk.tree import NOWHERE, Entry, Failure, PlainTree
from ..layers.changes import changes as compare
from ..layers.union import NO_STAT, View
from . import write as archive

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    class Tree(Protocol):
        def opened(self) -> ContextManager[Tuple[Optional[Entry], Iterator[Union[Entry, Failure]]]]:
            ...
    from ..records.model import Stack

# Names that databases give their files. databases/ looks into them; here they only say what goes first.
DATABASE_NAMES = frozenset((b'PG_VERSION', b'ibdata1', b'WiredTiger', b'appendonly.aof.manifest', b'data.mdb', b'.minio.sys',
                            b'system_schema', b'chunks_head', b'neostore', b'schema.DAT', b'meta.properties', b'version-2'))
DATABASE_TAILS = frozenset((b'.rdb', b'.aof', b'.tsm', b'.sql', b'lite', b'ite3', b'.ibd', b'.frm', b'.MYD'))


class Estimate(NamedTuple):
    bytes: int                          # apparent size of regular files
    allocated: int                      # on the disk, so without holes
    entries: int
    fingerprint: str
    databases: bool = False             # a name in it is one that databases use: for the order, not a finding

    @property
    def work(self) -> int:
        """Bytes of archive that come of it, about: holes are left out."""
        return min(self.bytes, self.allocated) + 1024 * self.entries


class LayerTree(object):
    """The writable layer as an OCI layer."""

    def __init__(self, stack: 'Stack') -> None:
        self.stack = stack

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[Optional[Entry], Iterator[Union[Entry, Failure]]]]:
        """Yield (root entry or None, stream of Entry and Failure)."""
        with View(self.stack.readable().view()) as view:
            if view.encodings[0].hides_all:
                yield None, difference(self.stack)
            else:
                yield None, view.layer_entries()


class MergedTree(object):
    """The merged file system."""

    def __init__(self, stack: 'Stack') -> None:
        self.stack = stack

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[Optional[Entry], Iterator[Union[Entry, Failure]]]]:
        with View(self.stack.readable().view()) as view:
            yield None, view.entries()


class FolderTree(object):
    """A volume or a bind: a folder, a single file, or a link that is kept as a link."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[Optional[Entry], Iterator[Union[Entry, Failure]]]]:
        tree = PlainTree(self.path)
        root = tree.root_entry()
        try:
            if stat.S_ISDIR(root.st.st_mode):
                yield root, tree.entries()
            else:
                # under its own name: an archive of one member
                yield None, iter((Entry(root.name, root.st, root.folder, root.name, tree),))
        finally:
            root.folder.close_all()


def difference(stack: 'Stack') -> Generator[Union[Entry, Failure], None, None]:
    """A full-copy driver's writable layer: what differs from the init layer, deletions as whiteouts."""
    for change in compare(stack):
        if isinstance(change, Failure):
            yield change
        elif change.entry is None:      # deleted
            yield Entry(change.path, NO_STAT, NOWHERE, os.path.basename(change.path), None, True)
        else:
            yield change.entry


def measure(tree: 'Tree') -> Estimate:
    """Walk a tree of this file without reading data -> Estimate. Raises OSError if it cannot be opened."""
    totals = [0, 0, 0]
    databases = False
    seen = set()

    def counted(stream: Iterable[Union[Entry, Failure]]) -> Iterator[Union[Entry, Failure]]:
        nonlocal databases
        for entry in stream:
            if not isinstance(entry, Failure):
                st = entry.st
                totals[2] += 1
                if entry.name in DATABASE_NAMES or entry.name[-4:] in DATABASE_TAILS:
                    databases = True
                if stat.S_ISREG(st.st_mode) and not entry.whiteout:
                    if st.st_nlink > 1:
                        key = (st.st_dev, st.st_ino)
                        if key in seen:
                            yield entry
                            continue
                        if len(seen) < archive.MAX_LINKS:
                            seen.add(key)
                    totals[0] += st.st_size
                    totals[1] += min(st.st_blocks * 512, st.st_size + 4096)
            yield entry

    with tree.opened() as (root, entries):
        mark = archive.fingerprint(counted(entries), root)
    return Estimate(totals[0], totals[1], totals[2], mark, databases)
