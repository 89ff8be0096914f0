"""The places that a restore writes to, opened part by part.

Somebody else may have planted a link or a folder there beforehand, or does so meanwhile. So nothing below the starting
folder is reached by a path of several parts: each folder is opened relative to the one that holds it and never through
a link, and one that belongs to somebody else, or that others may write into, is refused by its name.
"""
import contextlib
import errno
import hashlib
import os
import re
import stat
from collections import deque
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

from ..archive import removal
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats.wording import show

MAX_LINKS = 40
MAX_PARTS = 500
NAME_MAX = 255
MAX_NOTE = 4096                         # bytes of a file that we keep beside the data
START = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(object):
    """NAME (bytes, one part) in the folder PARENT (bytes, relative) below BASE (bytes, absolute).

    BASE is trusted: the user or the engine named it, and its own parts may be links. OWNED: the folders of PARENT are ours;
    they must belong to this user or to root, and only those may write into them. Otherwise they are an administrator's, of
    whatever owner; links among them count only where root made them in a folder of root's. Missing ones get MODE.
    Raises ValueError for a NAME that is none, and for '..' in PARENT.
    """

    def __init__(self, base: bytes, parent: bytes, name: bytes, owned: bool = True, mode: int = 0o700) -> None:
        if not is_name(name) or b'\0' in parent or b'..' in parent.split(b'/'):
            raise ValueError('not the name of a file: %r' % os.path.join(parent, name))
        self.base = base
        self.parent = parent
        self.name = name
        self.owned = owned
        self.mode = mode

    @property
    def path(self) -> bytes:
        """The whole path (bytes), for messages and results."""
        return os.path.join(self.base, self.parent, self.name)

    def beside(self, name: bytes) -> bytes:
        """The path of another name in the same folder, for messages."""
        return os.path.join(self.base, self.parent, name)

    @contextlib.contextmanager
    def folder(self) -> Iterator[int]:
        """Descriptor of the folder that holds it. FileNotFoundError, OSError; LifeboatError for what is refused."""
        fd = self._open(None)
        try:
            yield fd
        finally:
            os.close(fd)

    def make(self) -> Callable[[], None]:
        """Make what is missing of the folder that holds it -> a function that removes it again while it is empty."""
        made = []
        os.close(self._open(made))

        def unmake() -> None:
            for parent, name in reversed(made):
                try:
                    with Place(self.base, parent, name, self.owned).folder() as fd:
                        os.rmdir(name, dir_fd=fd)
                except (OSError, LifeboatError):
                    pass                # somebody else put something there meanwhile
        return unmake

    def _open(self, made: Optional[List[Any]]) -> int:
        parts = deque(part for part in self.parent.split(b'/') if part)
        if len(parts) > MAX_PARTS:
            raise LifeboatError('The folder for %s has more than %d folders above it.' % (show(self.name[:100]), MAX_PARTS))
        links = 0
        way = []
        opened = [os.open(self.base, START)]
        try:
            while parts:
                part = parts.popleft()
                if part == b'..':       # only links bring it
                    if way:
                        way.pop()
                        os.close(opened.pop())
                    continue
                if part == b'.' or not part:
                    continue
                here = b'/'.join(way)
                target = self._link(opened[-1], part, here)
                if target is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
                    if target.startswith(b'/'):
                        while len(opened) > 1:
                            os.close(opened.pop())
                        del way[:]
                    parts.extendleft(reversed(target.split(b'/')))
                    continue
                opened.append(self._child(opened[-1], part, here, made))
                way.append(part)
                while self.owned and len(opened) > 2:
                    os.close(opened.pop(-2))
            return opened.pop()
        finally:
            for fd in opened:
                os.close(fd)

    def _link(self, fd: int, name: bytes, here: bytes) -> Optional[bytes]:
        """Where NAME leads if it is a link that we may follow, None if it is no link."""
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(st.st_mode):
            return None
        holder = os.fstat(fd)
        if self.owned or st.st_uid != 0 or holder.st_uid != 0 or holder.st_mode & 0o022:
            raise LifeboatError('%s is a link, which is not followed here: remove it, or choose another place.'
                                % show(os.path.join(self.base, here, name)))
        return os.readlink(name, dir_fd=fd)

    def _child(self, fd: int, name: bytes, here: bytes, made: Optional[List[Tuple[bytes, bytes]]]) -> int:
        path = os.path.join(self.base, here, name)
        fresh = False
        if made is not None:
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
                made.append((here, name))
                fresh = True
            except FileExistsError:
                pass
        try:
            child = os.open(name, removal.DIR, dir_fd=fd)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                raise LifeboatError('%s is no folder, and one has to be there: remove it, or choose another place.' % show(path))
            raise
        try:
            if self.owned:
                refuse_foreign(os.fstat(child), path)
            if fresh:
                os.fchmod(child, self.mode)
        except BaseException:
            os.close(child)
            raise
        return child


def on_host(path: bytes) -> Place:
    """A Place for PATH (bytes, absolute, plain) among an administrator's folders: on this host, or as /proc/PID/root/... in the
    mount namespace of an engine, where an absolute link leads to that '/'."""
    inner = re.match(br'/proc/\d+/root(?=/)', path)
    base = inner.group() if inner else b'/'
    parent, name = os.path.split(path[len(base):])
    return Place(base, parent.strip(b'/'), name, owned=False)


def refuse_foreign(st: os.stat_result, path: bytes) -> None:
    """LifeboatError if what ST describes belongs to somebody else, or may be written by others."""
    if st.st_uid not in (0, os.geteuid(), os.getuid()):
        raise LifeboatError('%s belongs to the user with the id %d, not to the one who restores: remove it, or choose another '
                            'place.' % (show(path), st.st_uid))
    if st.st_mode & 0o022:
        raise LifeboatError('%s may be written by others (its mode is %o): remove that permission (chmod go-w), or choose another place.'
                            % (show(path), stat.S_IMODE(st.st_mode)))


def is_name(name: bytes) -> bool:
    """True for bytes that are one part of a path."""
    return bool(name) and b'/' not in name and b'\0' not in name and name not in (b'.', b'..') and len(name) <= NAME_MAX


def beside(prefix: bytes, name: bytes) -> bytes:
    """PREFIX + NAME, or a name made from its checksum where that is longer than a name may be."""
    whole = prefix + name
    return whole if len(whole) <= NAME_MAX else prefix + hashlib.sha256(name).hexdigest().encode('ascii')


def kind_of(name: Union[bytes, str], dir_fd: int) -> int:
    """The st_mode of NAME itself (a link is a link); 0 if there is nothing."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def opened_folder(name: bytes, dir_fd: int) -> int:
    """Descriptor of the folder NAME, never through a link. The caller closes it."""
    return os.open(name, removal.DIR, dir_fd=dir_fd)


def names_in(name: bytes, dir_fd: int) -> List[bytes]:
    """The sorted names (bytes) in the folder NAME."""
    fd = opened_folder(name, dir_fd)
    try:
        return sorted(map(os.fsencode, os.listdir(fd)))
    finally:
        os.close(fd)


def read_note(name: bytes, dir_fd: int) -> bytes:
    """The bytes of a small file that a run of ours left; b'' if there is none, or if it is not ours."""
    try:
        fd = os.open(name, safeio.FLAGS, dir_fd=dir_fd)
    except OSError:
        return b''
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or st.st_uid not in (0, os.geteuid(), os.getuid()) or st.st_mode & 0o022:
            return b''
        return os.read(fd, MAX_NOTE)
    finally:
        os.close(fd)


def write_note(name: bytes, data: bytes, dir_fd: int) -> None:
    """A small file, whole or not at all, in the place of whatever has that name (a link is replaced, not followed)."""
    fresh = beside(b'.lifeboat-new-', name)
    removal.remove(fresh, dir_fd)
    fd = os.open(fresh, NEW, 0o600, dir_fd=dir_fd)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    os.rename(fresh, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def drop_note(name: bytes, dir_fd: int) -> None:
    """Remove a small file; nothing there is no error."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
