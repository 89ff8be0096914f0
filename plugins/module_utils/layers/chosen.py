"""The files of a file system that patterns choose, as a stream of entries.

A pattern is a path. In a component, ``*``, ``?`` and ``[...]`` mean what fnmatch(3) says, names with a leading dot included; a
component ``**`` stands for any number of folders, as the last one for everything below. A folder that is chosen is chosen with
everything below it. Links in the literal beginning of a pattern are followed inside the file system, and are chosen themselves.
Links that a glob meets are not followed. A path that exists as it is typed is chosen, whatever is in its names; where these have signs of
a pattern, what they match is chosen too: a file that is called ``*`` must not keep the others back.
"""
import errno
import fnmatch
import os
import stat
from typing import Any, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ..disk.errors import LifeboatError
from ..disk.tree import Entry, Failure
from . import filesystem

MAGIC = (b'*', b'?', b'[')
ANY = b'**'
Names = Tuple[bytes, ...]


class Pattern(NamedTuple):
    """`names`: the literal beginning without links; `rest`: the components behind it, () where NAMES itself is meant; `links`: the places
    of the links that were followed; `exact`: TEXT is also a path as it stands, which is then one of `links`."""
    text: bytes
    names: Names
    rest: Names
    links: Tuple[Names, ...] = ()
    exact: bool = False


class Nothing(Exception):
    """No file matches a pattern. `parent`: the nearest folder (bytes) that exists; `why`: an OSError, None where only the glob fails."""

    def __init__(self, parent: bytes, why: Any) -> None:
        super(Nothing, self).__init__(parent)
        self.parent = parent
        self.why = why


def resolve(files: filesystem.FileSystem, text: bytes) -> Pattern:
    """The Pattern of TEXT in the filesystem.FileSystem FILES. Nothing where its literal beginning is not there; LifeboatError where
    the data of a mount on the way are not on the disk."""
    parts = [part for part in text.split(b'/') if part not in (b'', b'.')]
    magic = [number for number, part in enumerate(parts) if any(sign in part for sign in MAGIC)]
    count = magic[0] if magic else 0
    plain = not magic or b'..' in parts[count:]
    exact: Tuple[Names, ...] = ()
    try:
        names = files.lookup(text or b'/').names
        if plain:
            return Pattern(text, names, (), tuple(_links(files, parts)))
        exact = tuple(_links(files, parts)) + (names,)
    except OSError as exc:
        if plain:
            raise Nothing(nearest(files, parts), exc)
    try:
        node = files.lookup(b'/'.join(parts[:count]) or b'/')
    except OSError as exc:
        raise Nothing(nearest(files, parts[:count]), exc)
    if node.folder is None:
        raise Nothing(nearest(files, parts[:count - 1]), OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    return Pattern(text, node.names, tuple(parts[count:]), exact or tuple(_links(files, parts[:count])), bool(exact))


def nearest(files: filesystem.FileSystem, parts: List[bytes]) -> bytes:
    """The longest beginning of the path of PARTS that is a folder."""
    for count in range(len(parts), 0, -1):
        path = b'/' + b'/'.join(parts[:count])
        try:
            if files.lookup(path).folder is not None:
                return path
        except (OSError, LifeboatError):
            continue
    return b'/'


def _links(files: filesystem.FileSystem, parts: List[bytes]) -> Set[Names]:
    """Places of the links on the way along PARTS, which exists; also of those that links lead through."""
    found: Set[Names] = set()
    pending = [list(parts)]
    while pending and len(found) <= filesystem.MAX_LINKS:
        parts = pending.pop()
        for count in range(1, len(parts) + 1):
            node = files.lookup(b'/'.join(parts[:count]), follow=False)
            if not stat.S_ISLNK(node.entry.st.st_mode) or node.names in found:
                continue
            found.add(node.names)
            target = node.entry.readlink()
            way = [] if target.startswith(b'/') else list(node.names[:-1])
            pending.append(way + [part for part in target.split(b'/') if part not in (b'', b'.')])
    return found


class _Frame(object):
    """A folder that the walk is in. `places`: positions in the patterns' components that its names may match."""

    def __init__(self, entry: Optional[Entry], places: Set[Tuple[int, int]], taken: bool, told: bool) -> None:
        self.entry = entry
        self.prefix = entry.path + b'/' if entry is not None else b''
        self.places = places
        self.taken = taken
        self.told = told


class Choice(object):
    """What PATTERNS (Pattern) choose of the filesystem.FileSystem FILES. `matched`: numbers of the patterns that chose something, once
    entries() has gone so far."""

    def __init__(self, files: filesystem.FileSystem, patterns: List[Pattern]) -> None:
        self._files = files
        self.matched = {number for number, pattern in enumerate(patterns) if not pattern.rest or pattern.exact}
        self._steps = [pattern.names + pattern.rest for pattern in patterns]
        self._literal = [len(pattern.names) for pattern in patterns]
        for pattern in patterns:
            for place in sorted(pattern.links):
                self._steps.append(place)
                self._literal.append(len(place))
        self._enter = False

    def entries(self) -> Iterator[Union[Entry, Failure]]:
        """Yield Entry and Failure of what is chosen, in tree order, with the folders that lead there."""
        start = self._open({(number, 0) for number in range(len(self._steps))})
        frames = [_Frame(None, start, self._accepts(start), True)]
        for item in self._files.walk(self._files.root, lambda entry: not self._enter):
            while not item.path.startswith(frames[-1].prefix):
                frames.pop()
            here = frames[-1]
            if isinstance(item, Failure):
                if here.taken or not item.path or self._step(here.places, os.path.basename(item.path)):
                    yield item
                continue
            places = set() if here.taken else self._step(here.places, os.path.basename(item.path))
            taken = here.taken or self._accepts(places)
            if taken:
                for frame in frames:
                    if not frame.told and frame.entry is not None:
                        frame.told = True
                        yield frame.entry
                yield item
            self._enter = taken or bool(places)
            if stat.S_ISDIR(item.st.st_mode) and self._enter:
                frames.append(_Frame(item, places, taken, taken))

    def _open(self, places: Set[Tuple[int, int]]) -> Set[Tuple[int, int]]:
        """PLACES, and those behind each ``**``, which may stand for no folder at all; as the last component it stands for something."""
        pending = list(places)
        while pending:
            number, at = pending.pop()
            steps = self._steps[number]
            if at + 1 < len(steps) and at >= self._literal[number] and steps[at] == ANY and (number, at + 1) not in places:
                places.add((number, at + 1))
                pending.append((number, at + 1))
        return places

    def _step(self, places: Set[Tuple[int, int]], name: bytes) -> Set[Tuple[int, int]]:
        """Where PLACES lead for a NAME in their folder."""
        found = set()
        for number, at in places:
            steps = self._steps[number]
            if at >= len(steps):
                continue
            if at >= self._literal[number] and steps[at] == ANY:
                found.add((number, at))
                if at + 1 == len(steps):
                    found.add((number, at + 1))
            elif fnmatch.fnmatchcase(name, steps[at]) if at >= self._literal[number] else name == steps[at]:
                found.add((number, at + 1))
        return self._open(found)

    def _accepts(self, places: Set[Tuple[int, int]]) -> bool:
        hits = [number for number, at in places if at == len(self._steps[number])]
        self.matched.update(hits)
        return bool(hits)
