"""`docker diff` without a daemon: two merged views compared, name by name.

Rules from go-archive's changes.go, changes_linux.go and changes_unix.go: a path only in the new
view is A, with each path below it; only in the old one D, without what was below; in both C if mode, owner, device
number or security.capability differ, and for what is no folder also if size or mtime differ. A folder with any
change below is C. The root is never listed. Content is not compared.
"""
import stat
from typing import TYPE_CHECKING, Dict, Generator, Iterator, List, NamedTuple, Optional, Tuple, Union

from ..disk.tree import Entry, Failure
from .union import View, _Everywhere, _Folder, descend

if TYPE_CHECKING:
    import os

    from ..records.model import Stack
    from .union import Part

CAPABILITY = 'security.capability'


class Change(NamedTuple):
    kind: str                           # A | C | D
    path: bytes                         # relative, no leading slash
    entry: Optional[Entry]              # in the newer view (None for D); usable until the stream advances


def changes(stack: 'Stack', attributes: str = '') -> Iterator[Union[Change, Failure]]:
    """Yield Change and tree.Failure for a model.Stack, in tree order. Raises OSError if a layer can't be opened. ATTRIBUTES: the beginning of the
    names of xattrs that count as well ('': none do), for an engine that compares them.

    Lost image layers are left out on both sides: then what they held and the container changed reads as added.
    """
    stack = stack.readable()
    with View(stack.view()) as new:
        base = stack.base()
        if not base:
            for entry in new.entries():
                yield entry if isinstance(entry, Failure) else Change('A', entry.path, entry)
            return
        with View(base) as old:
            yield from _Comparison(new, old, not stack.copied_init, attributes).run()


class _Comparison(object):
    def __init__(self, new: View, old: View, stacked: bool, attributes: str) -> None:
        self.attributes = attributes
        self.new = new
        self.old = old
        # the old view is the new one without its top layer: what the top layer does not touch is the same
        self.stacked = stacked and len(new.layers) == len(old.layers) + 1 and not new.encodings[0].hides_all
        self.by_name = any(encoding.by_name for encoding in new.encodings)

    def run(self) -> Iterator[Union[Change, Failure]]:
        return descend(_Pair(self, self.new.root_parts(), self.old.root_parts(), b'', None, None), b'', self._visit)

    def _visit(self, here: '_Pair', path: bytes, name: bytes) -> 'Generator[Union[Change, Failure], None, Optional[_Pair]]':
        try:
            return (yield from self._compared(here, path, name))
        except OSError as exc:
            yield Failure(path, exc, False)
        return None

    def _compared(self, here: '_Pair', path: bytes, name: bytes) -> 'Generator[Union[Change, Failure], None, Optional[_Pair]]':
        """Yield the changes of one name; the return value is the _Pair to go down into, None if there is none."""
        prefix = path[:here.start]
        after = self.new._find(here.new, name) if name in here.new.where else None
        before = self.old._find(here.old, name) if name in here.old.where else None
        if after is None:
            if before is not None:
                yield from here.listed(prefix)
                yield Change('D', path, None)
            return None
        part, st = after
        entry = Entry(path, st, part.folder, name, self.new, False, False, (here.new, part))
        folder = stat.S_ISDIR(st.st_mode)
        was_folder = before is not None and stat.S_ISDIR(before[1].st_mode)
        inner = None
        if folder and before is not None and was_folder:
            differs = self._differs(entry, before, here.old, name)
            inner = _Pair(self, self.new._collect(here.new, name), self.old._collect(here.old, name),
                          path + b'/', here, entry)
            inner.reported = differs
        else:
            differs = before is None or self._differs(entry, before, here.old, name)
        if differs:
            yield from here.listed(prefix)
            yield Change('A' if before is None else 'C', path, entry)
        if folder and not was_folder:
            yield from self._added(here, name, path)
        return inner if inner is not None and not inner.same else None

    def _added(self, here: '_Pair', name: bytes, path: bytes) -> Iterator[Union[Change, Failure]]:
        for entry in self.new._walk(self.new._collect(here.new, name), path + b'/'):
            yield entry if isinstance(entry, Failure) else Change('A', entry.path, entry)

    def _differs(self, entry: Entry, before: 'Tuple[Part, os.stat_result]', old_folder: _Folder, name: bytes) -> bool:
        st, (part, was) = entry.st, before
        if st.st_mode != was.st_mode or st.st_uid != was.st_uid or st.st_gid != was.st_gid \
                or st.st_rdev != was.st_rdev:
            return True
        if not stat.S_ISDIR(st.st_mode):
            if st.st_size != was.st_size or not same_time(st.st_mtime_ns, was.st_mtime_ns):
                return True
        if (st.st_dev, st.st_ino) == (was.st_dev, was.st_ino):
            return False
        older = Entry(entry.path, was, part.folder, name, self.old, False, False, (old_folder, part))
        mine, theirs = entry.xattrs(), older.xattrs()
        return mine.get(CAPABILITY) != theirs.get(CAPABILITY) or bool(self.attributes) and self._counted(mine) != self._counted(theirs)

    def _counted(self, attrs: Dict[str, bytes]) -> Dict[str, bytes]:
        return {name: value for name, value in attrs.items() if name.startswith(self.attributes)}


def same_time(one: int, other: int) -> bool:
    """Nanosecond times, equal also if within one second and one of the two was written without fractions."""
    if one == other:
        return True
    return one // 1000000000 == other // 1000000000 and (one % 1000000000 == 0 or other % 1000000000 == 0)


class _Pair(object):
    """A folder of both views while it is compared."""

    def __init__(self, comparison: _Comparison, new_parts: 'List[Part]', old_parts: 'List[Part]', prefix: bytes, parent: 'Optional[_Pair]',
                 entry: Optional[Entry]) -> None:
        new, old = comparison.new, comparison.old
        self.start = len(prefix)
        self.parent = parent
        self.entry = entry and entry._replace(path=b'')     # see listed(): paths of a whole deep nest would fill memory
        self.reported = parent is None  # the root is never listed
        self.failures: Tuple[Failure, ...] = ()
        self.names: Iterator[bytes] = iter(())
        aligned = comparison.stacked and \
            [(part.index - 1, part.folder.identity) for part in new_parts if part.index > 0] == \
            [(part.index, part.folder.identity) for part in old_parts]
        self.same = aligned and new_parts[0].index > 0
        if self.same:
            return
        if aligned and not new_parts[0].marks.opaque and not comparison.by_name:
            # what the top layer does not name is the same on both sides
            self.new = new._layer_folder(new_parts, prefix)
            self.old = _Folder(len(prefix), old_parts, _Everywhere(old_parts), None, ())
            self.names = self.new.names
        else:
            self.new = new._merge(new_parts, prefix)
            self.old = old._merge(old_parts, prefix)
            self.names = iter(sorted(set(self.new.names).union(self.old.names)))
        self.failures = self.new.failures + self.old.failures

    def listed(self, prefix: bytes) -> Iterator[Change]:
        """The C of this folder, whose paths begin with PREFIX, and of every one above it that was not listed yet, outermost
        first."""
        chain = []
        folder = self
        while folder is not None and not folder.reported:
            chain.append(folder)
            folder = folder.parent
        for folder in reversed(chain):
            folder.reported = True
            path = prefix[:folder.start - 1]
            if folder.entry is not None:
                yield Change('C', path, folder.entry._replace(path=path))
