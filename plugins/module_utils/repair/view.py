"""The data root as it is, and as it will be: what is planned counts as done, so that each repair builds on those before it."""
import errno
import os
import stat
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import jsonish, wording
from . import steps
from .tops import Tops

FILE, FOLDER, LINK, OTHER = 'file', 'folder', 'link', 'other'
MAX_DB = 512 * 1024 * 1024
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)    # ELOOP: a link where a folder should be leads nowhere that counts
_BROKEN = (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EREMOTEIO)


class Node(NamedTuple):
    """A planned object: its kind, and content or target."""
    kind: Optional[str]                 # None: it will be gone
    data: Optional[bytes] = None


class View(object):
    """The root below TOP. Paths are bytes, relative to it or as tops.py says, without a slash at the end.

    Reading an unreadable disk raises LifeboatError: nothing is repaired on one. What is absent is None or empty.
    """

    def __init__(self, top: Tops) -> None:
        self.top = top
        self._planned: Dict[bytes, Node] = {}
        self._moved: Dict[bytes, bytes] = {}  # new folder -> where it is still

    # -- what is there ---------------------------------------------------------------------------------------------

    def kind(self, path: bytes) -> Optional[str]:
        """FILE, FOLDER, LINK, OTHER, or None where nothing is."""
        if path in self._planned:
            return self._planned[path].kind
        if path in self.top.places:
            return FOLDER               # its own parent is not ours
        st = self.stat(path)
        if st is None:
            return None
        if self.top.links and path in self.top.links:
            return FOLDER               # an administrator put it on another disk
        return FILE if stat.S_ISREG(st.st_mode) else FOLDER if stat.S_ISDIR(st.st_mode) else \
            LINK if stat.S_ISLNK(st.st_mode) else OTHER

    def stat(self, path: bytes) -> Optional[os.stat_result]:
        """os.stat_result of what is on the disk at PATH now, links not followed; None where nothing is, or will be."""
        if self._gone(path):
            return None
        return self._at(path, lambda folder, name: folder.stat(name))

    def read(self, path: bytes, limit: int = safeio.MAX_METADATA) -> Optional[bytes]:
        """Content of a regular file, None where there is none, or one above LIMIT."""
        if path in self._planned:
            return self._planned[path].data if self._planned[path].kind == FILE else None
        if self.kind(path) != FILE:
            return None
        return self._at(path, lambda folder, name: folder.read(name, limit))

    def target(self, path: bytes) -> Optional[bytes]:
        """Target of the link PATH, None if PATH is not a link."""
        if path in self._planned:
            return self._planned[path].data if self._planned[path].kind == LINK else None
        if self.kind(path) != LINK:
            return None
        return self._at(path, lambda folder, name: folder.readlink(name))

    def names(self, path: bytes) -> List[bytes]:
        """Names in a folder, sorted; [] where there is none."""
        found = set()
        if path not in self._planned and self.kind(path) == FOLDER:
            found.update(self._at(path + b'/.', lambda folder, dummy: folder.names()) or ())
        prefix = path + b'/' if path else b''
        for other, node in self._planned.items():
            if other.startswith(prefix) and b'/' not in other[len(prefix):]:
                (found.add if node.kind else found.discard)(other[len(prefix):])
        for other in self._moved:
            if other.startswith(prefix) and b'/' not in other[len(prefix):]:
                found.add(other[len(prefix):])
        return sorted(found)

    def is_folder(self, path: bytes) -> bool:
        return self.kind(path) == FOLDER

    def is_opaque(self, path: bytes) -> bool:
        """Whether a folder carries overlay's mark that hides all below it."""
        found = self._at(path + b'/.', lambda folder, dummy: safeio.xattrs_of(folder.fd)) or {}
        return any(found.get(name) == b'y' for name in ('trusted.overlay.opaque', 'user.overlay.opaque'))

    # -- small texts and JSON --------------------------------------------------------------------------------------

    def text(self, path: bytes) -> str:
        """A small text file without white space around it; '' if it is absent, empty or not ASCII."""
        raw = self.read(path, 1 << 20)
        try:
            return raw.decode('ascii').strip('\0\n ') if raw else ''
        except UnicodeDecodeError:
            return ''

    def json(self, path: bytes) -> Optional[dict]:
        """The JSON object in a file, None if it is absent or damaged."""
        raw = self.read(path)
        try:
            value = jsonish.loads(raw) if raw else None
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    # -- what will be ----------------------------------------------------------------------------------------------

    def apply(self, step: steps.Step) -> None:
        """From now on STEP counts as done."""
        if step.operation == steps.WRITE:
            self._planned[step.path] = Node(FILE, step.data)
        elif step.operation in (steps.MKDIR, steps.PLACE):
            self._planned[step.path] = Node(FOLDER)
        elif step.operation == steps.SYMLINK:
            self._planned[step.path] = Node(LINK, step.data)
        else:
            self._planned[step.path] = Node(None)
            if step.operation == steps.RENAME and step.data is not None:
                self._moved[step.data] = step.path

    # -- how it is reached -----------------------------------------------------------------------------------------

    def _gone(self, path: bytes) -> bool:
        here = path
        while here:
            node = self._planned.get(here)
            if node is not None and (node.kind is None or here != path and node.kind != FOLDER):
                return True
            if node is not None and node.kind == FOLDER:
                return True             # made by the plan: nothing of it is on the disk yet
            here = here.rpartition(b'/')[0]
        return False

    def _source(self, path: bytes) -> bytes:
        for new, old in self._moved.items():
            if path == new or path.startswith(new + b'/'):
                return old + path[len(new):]
        return path

    def _at(self, path: bytes, ask: Callable[[safeio.Dir, bytes], Any]) -> Any:
        """ASK(open parent folder, last name) -> answer, or None if nothing is there."""
        parent, dummy, name = self._source(path).rpartition(b'/')
        opened = None
        try:
            opened = self.top.descend(parent)
            return ask(opened, name or b'.')
        except OSError as exc:
            if exc.errno in _ABSENT:
                return None
            if exc.errno in _BROKEN:
                raise LifeboatError('the disk cannot be read at %s (%s); copy the disk first (ddrescue) and repair the copy' % (
                    wording.show(path), os.strerror(exc.errno)))
            if exc.errno in (errno.EACCES, errno.EPERM):
                raise LifeboatError('%s may not be read; run as root (become: true)' % wording.show(path))
            if exc.errno in (errno.EFBIG, errno.EINVAL):
                return None
            raise
        finally:
            if opened is not None and opened.parent is not None:
                opened.close()
