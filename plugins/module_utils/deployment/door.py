"""The one door for paths that labels, compose files, units and databases of programs name.

All of them are text from a disk, and labels also come with images from anywhere. A path is opened through disk.safeio below the host root,
never through a link that leads out of it; /proc, /sys and /dev are refused. What a container could have written itself may name nothing
but what that container could read: files below the same volume or bind.
"""
import errno
import os
import posixpath
import stat
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..disk import metadata, safeio
from ..disk.host import HostRoot
from ..formats.wording import number, show
from .model import ELSEWHERE, MISSING, REFUSED, TOO_LARGE, UNREADABLE, NotTaken, Place

LARGEST = 1 << 20                       # bytes of a file that is read
LONGEST = 4096
MOST_CLOSED = 100
MOST_NAMES = 5000                       # of one folder
KERNEL = (b'/proc', b'/sys', b'/dev')
KERNEL_WHY = 'it belongs to the kernel'
_GONE = (errno.ENOENT, errno.ENOTDIR)


def _unread(exc: OSError) -> NotTaken:
    """Why a path cannot be looked at."""
    return NotTaken(MISSING if exc.errno in _GONE else UNREADABLE, metadata.describe(exc), exc.errno in (errno.EACCES, errno.EPERM))


def below(path: bytes, folder: bytes) -> bool:
    """Is PATH the folder FOLDER or below it?"""
    return path == folder or path.startswith(folder.rstrip(b'/') + b'/')


class Door(object):
    """DISK: the host. OWN: folders and files on the managed node that containers can write. VIEWS: (destination as text, folder on the
    node) of mounts, for a path that is meant as a container saw it: Portainer runs Compose in a container."""

    def __init__(self, disk: HostRoot, own: Sequence[bytes] = (), views: Sequence[Tuple[str, bytes]] = ()) -> None:
        self.disk = disk
        self._own = frozenset(own)
        self._views = tuple(views)
        self.closed: Dict[bytes, NotTaken] = {}     # what the search passed over: path of the host, and why
        self.more_closed = False                # there is more than that

    # -- paths --------------------------------------------------------------------------------------------------------------

    def absolute(self, text: Union[str, bytes], base: bytes = b'') -> bytes:
        """TEXT as an absolute path of the dead host, without . and .. . BASE: what a relative one is relative to. NotTaken."""
        try:
            raw = text if isinstance(text, bytes) else text.encode('utf-8', 'surrogateescape')
        except UnicodeEncodeError:
            raise NotTaken(REFUSED, 'its name is no name of a file')
        if not raw or len(raw) > LONGEST or any(byte < 32 or byte == 127 for byte in raw):
            raise NotTaken(REFUSED, 'its name is empty, too long or has control characters')
        path = posixpath.normpath(posixpath.join(base, raw) if base else raw)
        if not path.startswith(b'/'):
            raise NotTaken(REFUSED, 'it is relative, and nothing says to which folder')
        return b'/' + path.lstrip(b'/')

    def find(self, text: Union[str, bytes], base: bytes = b'', home: Optional[bytes] = None) -> Place:
        """The Place of a path. HOME: of what names it; then it must lie there. NotTaken."""
        path = self.absolute(text, base)
        try:
            real = self.disk.resolve(path)
        except OSError as exc:
            raise _unread(exc)
        seen = self.disk.to_host(real)
        if any(below(seen, one) for one in KERNEL):
            raise NotTaken(REFUSED, KERNEL_WHY)
        if home is not None and not below(real, home):
            raise self._outside(home)
        if self._own and real != self.disk.place(path):
            self._check_links(path)
        return Place(path, real, self._home(real) or home)

    def _outside(self, home: bytes) -> NotTaken:
        return NotTaken(REFUSED, 'a container could write what names it, and it lies outside of %s' % show(self.disk.to_host(home)))

    def _check_links(self, path: bytes) -> None:
        """A link in a folder that a container could write leads nowhere but into that folder. NotTaken."""
        home: Optional[bytes] = None
        at = b''
        for part in path.strip(b'/').split(b'/'):
            at += b'/' + part
            try:
                real = self.disk.resolve(at)
            except OSError as exc:      # it was there a moment ago
                raise NotTaken(UNREADABLE, metadata.describe(exc))
            if home is not None and not below(real, home):
                raise self._outside(home)
            home = self._home(real)

    def find_named(self, text: str, base: bytes = b'') -> Place:
        """The same for a path of a label: on the host, or else in a mount of a container that has one there."""
        try:
            return self.find(text, base)
        except NotTaken as exc:
            if exc.kind != MISSING:
                raise
            path = self.absolute(text, base)
            for destination, folder in self._views:
                inside = destination.encode('utf-8', 'surrogateescape').rstrip(b'/')
                if inside and below(path, inside):
                    real = self._within(folder, path[len(inside):].strip(b'/'))
                    if real is not None:
                        return Place(self.disk.to_host(real), real, folder)
            raise

    def _home(self, real: bytes) -> Optional[bytes]:
        """The innermost of the folders that containers can write and that holds REAL."""
        while real not in self._own:
            if real == b'/':
                return None
            real = os.path.dirname(real)
        return real

    @staticmethod
    def _within(folder: bytes, relative: bytes) -> Optional[bytes]:
        """The path of what lies at RELATIVE in FOLDER, with no link on the way; None if there is none."""
        try:
            with safeio.Dir.root(folder) as top:
                inner, dummy, name = relative.rpartition(b'/')
                mode = top.descend(inner).stat(name or b'.').st_mode
        except OSError:
            return None
        return posixpath.join(folder, relative) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None

    def maybe(self, text: Union[str, bytes], base: bytes = b'', home: Optional[bytes] = None) -> Optional[Place]:
        """The Place of a regular file that may be there or not; None where it is not, or cannot be taken."""
        try:
            place = self.find(text, base, home)
        except NotTaken as exc:
            if exc.kind == UNREADABLE or exc.kind == REFUSED and exc.why != KERNEL_WHY:
                self.pass_over(text if isinstance(text, bytes) else text.encode('utf-8', 'replace'), base, exc)
            return None
        return place if safeio.is_file(place.real) else None

    def pass_over(self, name: bytes, base: bytes, exc: NotTaken) -> None:
        """The search leaves out what lies at NAME in BASE."""
        if len(self.closed) < MOST_CLOSED:
            self.closed[posixpath.join(base, name)[:LONGEST]] = exc
        else:
            self.more_closed = True

    def is_folder(self, path: bytes) -> bool:
        return self.disk.is_folder(path)

    # -- content ------------------------------------------------------------------------------------------------------------

    def open(self, place: Place) -> int:
        """A descriptor of the regular file. OSError, NotTaken."""
        with safeio.Dir.root(os.path.dirname(place.real)) as folder:
            return folder.open(os.path.basename(place.real))

    def read(self, place: Place, limit: int = LARGEST) -> bytes:
        """The content of a file. NotTaken for what is no regular file, is too large or cannot be read."""
        return self.read_with_stat(place, limit)[0]

    def read_with_stat(self, place: Place, limit: int = LARGEST) -> Tuple[bytes, os.stat_result]:
        """The same with what stat tells of it."""
        try:
            fd = self.open(place)
            try:
                st = os.fstat(fd)
                if st.st_size > limit:
                    raise NotTaken(TOO_LARGE, 'it has %s, and %d are the most' % (number(st.st_size, 'byte'), limit))
                return safeio.read_all(fd, limit), st
            finally:
                os.close(fd)
        except OSError as exc:
            if exc.errno == errno.EFBIG:
                raise NotTaken(TOO_LARGE, 'it has more than %s' % number(limit, 'byte'))
            if exc.errno in (errno.EINVAL, errno.ELOOP, errno.ENXIO):
                raise NotTaken(REFUSED, 'it is no regular file')
            raise NotTaken(MISSING if exc.errno in _GONE else UNREADABLE, metadata.describe(exc))

    def text(self, path: Union[str, bytes], limit: int = LARGEST) -> str:
        """A file of the host as text; '' where there is none that can be read."""
        try:
            return self.read(self.find(path), limit).decode('utf-8', 'replace')
        except NotTaken:
            return ''

    def names(self, path: bytes) -> List[bytes]:
        """Names in a folder of the host, sorted, at most MOST_NAMES; [] where there is none."""
        try:
            found = self.disk.listdir(path)
        except OSError as exc:
            if exc.errno not in _GONE:
                self.pass_over(path, b'', _unread(exc))
            return []
        if len(found) > MOST_NAMES:
            self.pass_over(path, b'', NotTaken(TOO_LARGE, 'it has %d names, and %d are the most' % (len(found), MOST_NAMES)))
        return found[:MOST_NAMES]

    def glob(self, path: bytes) -> Iterator[bytes]:
        """Yield paths of the host that match PATH, whose components may be ``*``, or begin or end with it. Hidden names only match a
        pattern that begins with a dot."""
        parts = [part for part in path.split(b'/') if part]
        yield from self._glob(b'', parts)

    def _glob(self, folder: bytes, parts: List[bytes]) -> Iterator[bytes]:
        if not parts:
            yield folder
            return
        if b'*' not in parts[0]:
            yield from self._glob(folder + b'/' + parts[0], parts[1:])
            return
        head, dummy, tail = parts[0].partition(b'*')
        for name in self.names(folder or b'/'):
            if name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail) and (head or not name.startswith(b'.')):
                yield from self._glob(folder + b'/' + name, parts[1:])

    def beside(self, base: bytes, names: Sequence[bytes], home: Optional[bytes] = None) -> Dict[bytes, Place]:
        """{name: Place} of those of NAMES that are regular files in the folder BASE of the host."""
        found = {}
        for name in names:
            place = self.maybe(name, base, home)
            if place is not None:
                found[name] = place
        return found


def elsewhere(text: str) -> Optional[NotTaken]:
    """NotTaken for a build context that is no folder of this host: a repository or an archive."""
    if '://' in text or text.startswith(('git@', 'github.com/')) or text.endswith('.git') or text == '-':
        return NotTaken(ELSEWHERE, 'it is no folder of this host')
    return None
