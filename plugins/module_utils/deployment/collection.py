"""What is taken of the deployments of one host: each file once, with who named it, in bounds; and what is left out, with the reason."""
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Union

from ..disk.tree import Entry, Failure, PlainTree
from ..formats import variables
from ..formats.wording import number, show, text
from . import names
from .door import Door
from .model import COMPOSE, CONFIDENTIAL, ENV_FILE, REFUSED, TOO_LARGE, Left, NotTaken, Place, note

MOST_FILES = 5000
MOST_BYTES = 64 << 20                   # of all files
TREE_BYTES, TREE_ENTRIES = 64 << 20, 20000      # of a build context
MOST_TREES = 200
MOST_LEFT = 500
_COMPOSE = re.compile(rb'(?m)^["\']?(?:services|include)["\']?[ \t]*:')


class Taken(object):
    """A file that is taken."""

    def __init__(self, place: Place, role: str, size: int, mark: List[int]) -> None:
        self.place, self.role, self.size, self.mark = place, role, size, mark
        self.stored = names.stored(place.path)
        self.named_by: List[str] = []

    @property
    def confidential(self) -> bool:
        return self.role in CONFIDENTIAL


class Made(NamedTuple):
    """A file that is made of records of a program, such as the variables in Portainer's database."""
    stored: str
    data: bytes
    role: str
    named_by: str


class Tree(NamedTuple):
    """A folder that becomes an archive."""
    place: Place
    stem: str                           # below the bundle, without the ends of archive and compression
    named_by: str
    entries: 'FolderTree'


class FolderTree(object):
    """A folder without what is rescued elsewhere: volumes, binds and data roots in it stay empty folders."""

    def __init__(self, path: bytes, without: Set[bytes]) -> None:
        self.path = path
        self._without = frozenset(one[len(path):].strip(b'/') for one in without if one.startswith(path.rstrip(b'/') + b'/'))

    def opened(self) -> '_Opened':
        return _Opened(PlainTree(self.path), self._without)


class _Opened(object):
    """See archive.trees: a context manager that gives (root entry, stream of entries)."""

    def __init__(self, tree: PlainTree, without: Any) -> None:
        self._tree, self._without = tree, without
        self._root: Optional[Entry] = None

    def __enter__(self) -> Any:
        self._root = self._tree.root_entry()
        return self._root, self._tree.entries(lambda entry: entry.path in self._without)

    def __exit__(self, *dummy: object) -> None:
        if self._root is not None:
            self._root.folder.close_all()


class Collection(object):
    """WITHOUT: folders on the managed node that archives leave out. REFUSED_TREE(folder) says why a folder cannot be archived, '' if it
    can."""

    def __init__(self, door: Door, without: Set[bytes], refuse_tree: Any = None) -> None:
        self.door = door
        self.files: Dict[bytes, Taken] = {}
        self.made: List[Made] = []
        self.trees: List[Tree] = []
        self.left: List[Left] = []
        self.left_total = 0
        self._without, self._refuse_tree = without, refuse_tree
        self._bytes = 0
        self._slugs: Set[str] = set()

    def leave(self, item: Left) -> None:
        if item not in self.left:
            self.left_total += 1
            if len(self.left) < MOST_LEFT:
                self.left.append(item)

    def take(self, place: Place, role: str, named_by: str) -> Optional[bytes]:
        """Take a file, and its content; None if it is left out, which is noted."""
        try:
            return self._take(place, role, named_by)
        except NotTaken as exc:
            self.leave(note(place.path, exc, named_by))
            return None

    def _take(self, place: Place, role: str, named_by: str) -> bytes:
        data, st = self.door.read_with_stat(place)
        known = self.files.get(place.path)
        if known is None:
            why = looks_wrong(data, role)
            if why:
                raise NotTaken(REFUSED, why)
            if len(self.files) >= MOST_FILES or self._bytes + len(data) > MOST_BYTES:
                raise NotTaken(TOO_LARGE, 'there are %s of %s before it' % (number(len(self.files), 'file'), number(self._bytes, 'byte')))
            known = Taken(place, role, len(data), [st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_ino, st.st_size])
            self.files[place.path] = known
            self._bytes += len(data)
        if named_by not in known.named_by and len(known.named_by) < 20:
            known.named_by.append(named_by)
        return data

    def take_named(self, path: Union[str, bytes], base: bytes, home: Optional[bytes], role: str, named_by: str) -> Optional[bytes]:
        """The same for a path that a file names: relative to BASE, from a file at home in HOME."""
        try:
            place = self.door.find(path, base, home)
        except NotTaken as exc:
            self.leave(note(path, exc, named_by))
            return None
        return self.take(place, role, named_by)

    def make(self, name: str, data: bytes, role: str, named_by: str) -> str:
        """A file with DATA -> its name in the bundle. NAME: its folder and first part."""
        found = '%s.env' % names.slug(name, self._slugs)
        self.made.append(Made('made/' + found, data, role, named_by))
        return 'made/' + found

    def take_tree(self, place: Place, name: str, named_by: str) -> bool:
        """Archive a folder; False if it is left out, which is noted."""
        if any(tree.place.real == place.real for tree in self.trees):
            return True
        try:
            self._check_tree(place)
        except NotTaken as exc:
            self.leave(note(place.path, exc, named_by))
            return False
        self.trees.append(Tree(place, 'contexts/' + names.slug(name, self._slugs), named_by, FolderTree(place.real, self._without)))
        return True

    def _check_tree(self, place: Place) -> None:
        if len(self.trees) >= MOST_TREES:
            raise NotTaken(TOO_LARGE, 'there are %d folders before it' % MOST_TREES)
        why = self._refuse_tree(place.real) if self._refuse_tree is not None else ''
        if why:
            raise NotTaken(REFUSED, why)
        size = count = 0
        try:
            with FolderTree(place.real, self._without).opened() as (dummy, entries):
                for entry in entries:
                    count += 1
                    if not isinstance(entry, Failure):
                        size += entry.st.st_size
                    if size > TREE_BYTES or count > TREE_ENTRIES:
                        raise NotTaken(TOO_LARGE, 'it has more than %d MiB or %d files' % (TREE_BYTES >> 20, TREE_ENTRIES))
        except OSError as exc:
            raise NotTaken(REFUSED, 'it is no folder that can be read: %s' % exc.strerror)

    def listed_files(self) -> Iterator[Taken]:
        """The files in the order of their names in the bundle."""
        return iter(sorted(self.files.values(), key=lambda item: item.stored))


def looks_wrong(data: bytes, role: str) -> str:
    """Why a file is surely not what it is named as, '' if it may be: a label must not make a key or a table of passwords a compose file."""
    if role == COMPOSE and not _COMPOSE.search(data):
        return 'it has no services, so it is no compose file'
    if role == ENV_FILE and variables.env_file(data) is None:
        return 'it is no env file'
    return ''


def shown(place: Place) -> str:
    """The path of a place for people."""
    return show(text(place.path))
