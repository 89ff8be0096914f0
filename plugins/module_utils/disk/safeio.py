"""The one place that opens anything on the rescued disk.

Read-only, without following links, without changing access times (open(2): O_NOATIME needs ownership or
CAP_FOWNER; where the kernel refuses it we read without). A container can plant a link anywhere below its
layer or volume, and can swap a folder for a link while we look: so everything below a :class:`Dir` is opened
relative to the descriptor of the folder that holds it, never by a path of several components.
"""
import errno
import functools
import os
import stat
from collections import OrderedDict
from typing import Callable, ContextManager, Dict, Iterator, List, Optional, Tuple, Union

from ..formats import pieces, wording

O_NOATIME = getattr(os, 'O_NOATIME', 0)
# O_NONBLOCK: a FIFO must not hang us. O_NOCTTY: nor a terminal adopt us.
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
SCANS = os.scandir in os.supports_fd    # from Python 3.7 on
MAX_OPEN = 200                          # folders held open at once; deeper ones are reopened, see Dir.fd
MAX_METADATA = 64 * 1024 * 1024         # no JSON of Docker's comes near; a sparse giant must not fill memory


def openat(name: bytes, dir_fd: Optional[int] = None, flags: int = FLAGS) -> int:
    """Open NAME (bytes, one component when DIR_FD is given) for reading. Raises OSError."""
    try:
        return os.open(name, flags | O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, flags, dir_fd=dir_fd)


def look(path: bytes) -> int:
    """An O_PATH descriptor of PATH (bytes, absolute): nothing is opened, so a FIFO or a device may be looked at, and no link on the way is
    followed. Raises OSError."""
    if not path.startswith(b'/') or b'\0' in path or b'..' in path.split(b'/'):
        raise OSError(errno.EINVAL, 'not a plain absolute path', path)
    parts = [part for part in path.split(b'/') if part not in (b'', b'.')]
    fd = os.open(b'/', _LOOK | os.O_DIRECTORY)
    for left, part in zip(range(len(parts) - 1, -1, -1), parts):
        try:
            below = os.open(part, _LOOK | (os.O_DIRECTORY if left else 0), dir_fd=fd)
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, path)
        finally:
            os.close(fd)
        fd = below
    return fd


def _top(place: Union[bytes, int]) -> int:
    """A descriptor of the folder PLACE, see Dir.root() and Dir.held()."""
    looked = place if isinstance(place, int) else look(place)
    try:
        return openat(b'.', looked, FLAGS | os.O_DIRECTORY)
    finally:
        if looked is not place:
            os.close(looked)


def lstat(path: bytes) -> os.stat_result:
    """os.stat_result of PATH (bytes, absolute, as HostRoot.resolve gives it) itself. A link on the way is not followed: then, as for
    whatever cannot be looked at, OSError."""
    fd = look(path)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def looker(fd: int) -> Callable[[Union[bytes, str]], os.stat_result]:
    """A function that gives the lstat of a name (bytes or text) in the folder FD, without a step of Python's."""
    return functools.partial(os.stat, dir_fd=fd, follow_symlinks=False)


def kind(path: Optional[bytes]) -> int:
    """stat.S_IFMT of what PATH itself is; 0 for None, for nothing, and for what cannot be looked at."""
    try:
        return stat.S_IFMT(lstat(path).st_mode) if path is not None else 0
    except OSError:
        return 0


def is_folder(path: Optional[bytes]) -> bool:
    return kind(path) == stat.S_IFDIR


def is_file(path: Optional[bytes]) -> bool:
    return kind(path) == stat.S_IFREG


@functools.lru_cache(maxsize=None)
def has_proc() -> bool:
    """Whether /proc shows the descriptors of this process."""
    return os.path.isdir('/proc/self/fd')


def _inode(fd: int) -> Tuple[int, int]:
    st = os.fstat(fd)
    return st.st_dev, st.st_ino


class Dir(object):
    """A folder below a fixed starting point. `fd` is opened on demand and may be closed and reopened:
    so a tree that is deeper than the limit of open files can still be walked. A reopened folder must be
    the same inode, otherwise OSError(ESTALE)."""
    __slots__ = ('parent', 'name', 'links', '_fd', '_pool', '_id')

    def __init__(self, parent: 'Optional[Dir]', name: bytes, fd: Optional[int] = None, pool: 'Optional[OrderedDict[int, Dir]]' = None) -> None:
        self.parent = parent
        self.name = name
        self.links: Optional[Dict[bytes, bytes]] = None  # {name: absolute path}: links that an administrator made, see child()
        if pool is None:
            pool = OrderedDict() if parent is None else parent._pool
        self._pool: 'OrderedDict[int, Dir]' = pool
        self._fd: Optional[int] = None
        self._id: Optional[Tuple[int, int]] = None
        if fd is not None:
            self._adopt(fd)

    @classmethod
    def root(cls, path: bytes, pool: 'Optional[OrderedDict[int, Dir]]' = None) -> 'Dir':
        """Open PATH (bytes, absolute) as a root. No part of it may be a link: a path of the disk comes from HostRoot.resolve(), one
        that the user gave from os.path.realpath(). Roots that share POOL (an OrderedDict) share one limit of open folders. OSError."""
        return cls(None, path, _top(path), OrderedDict() if pool is None else pool)

    @classmethod
    def held(cls, folder: int) -> 'Dir':
        """The folder that the descriptor FOLDER has open, as a root; the caller closes FOLDER, after this."""
        # its number stands in for its name, see path()
        return cls(None, folder, _top(folder), OrderedDict())  # type: ignore[arg-type]  # all others have a name

    def _adopt(self, fd: int) -> int:
        if self._id is not None and self._id != _inode(fd):
            os.close(fd)
            raise OSError(errno.ESTALE, 'folder was replaced while it was read', self.path())
        self._fd = fd
        pool = self._pool
        pool[id(self)] = self
        while len(pool) > MAX_OPEN:
            oldest = pool.popitem(last=False)[1]
            if oldest._id is None and oldest._fd is not None:       # to know it again
                oldest._id = _inode(oldest._fd)
            oldest._close()
        return fd

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def identity(self) -> Tuple[int, int]:
        """(st_dev, st_ino): the same for two Dirs of one folder."""
        if self._id is None:
            self._id = _inode(self.fd if self._fd is None else self._fd)
        return self._id

    @property
    def fd(self) -> int:
        """The descriptor; valid until the next use of any other Dir of the same root."""
        if self._fd is not None:
            if len(self._pool) > MAX_OPEN // 2:     # else nobody is near to being closed
                self._pool.move_to_end(id(self))
            return self._fd
        chain = [self]
        while chain[-1]._fd is None and chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        fd = chain[-1]._fd
        if fd is None:
            fd = chain[-1]._adopt(_top(chain[-1].name))
        for folder in reversed(chain[:-1]):
            fd = folder._adopt(openat(folder.name, fd, FLAGS | os.O_DIRECTORY))
        return fd

    def close(self) -> None:
        self._pool.pop(id(self), None)
        self._close()

    def close_all(self) -> None:
        """Close every folder that was opened below the same root."""
        while self._pool:
            self._pool.popitem()[1]._close()

    def __enter__(self) -> 'Dir':
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close_all()

    def child(self, name: bytes) -> 'Dir':
        """Open a sub-folder, never through a link, unless `links` of this folder says where a trusted one leads."""
        if self.links and name in self.links:
            return Dir.root(self.links[name], self._pool)
        return Dir(self, name, openat(name, self.fd, FLAGS | os.O_DIRECTORY))

    def descend(self, path: bytes) -> 'Dir':
        """Open a folder several levels down, e.g. ``b'image/overlay2/layerdb'``; no component may be a link."""
        folder = self
        for part in path.split(b'/'):
            if part in (b'', b'.'):
                continue
            if part == b'..':
                raise OSError(errno.EINVAL, 'path leaves its folder', path)
            folder = folder.child(part)
        return folder

    def names(self) -> List[bytes]:
        """Names in the folder as sorted bytes."""
        # listdir on a descriptor always gives str; fsencode restores the bytes
        return sorted(map(os.fsencode, os.listdir(self.fd)))

    def texts(self) -> List[str]:
        """The same as text (surrogateescape), in no order."""
        return os.listdir(self.fd)

    def scan(self) -> 'ContextManager[Iterator[os.DirEntry[str]]]':
        """os.scandir() of it, to be closed; only where SCANS."""
        return os.scandir(self.fd)

    def is_empty(self) -> bool:
        return not os.listdir(self.fd)

    def stat(self, name: bytes) -> os.stat_result:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def readlink(self, name: bytes) -> bytes:
        return os.readlink(name, dir_fd=self.fd)

    def open(self, name: bytes) -> int:
        """A descriptor of a *regular* file. OSError(EINVAL) for anything else."""
        fd = openat(name, self.fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, 'not a regular file', os.path.join(self.path(), name))
        return fd

    def read(self, name: bytes, limit: int = MAX_METADATA) -> bytes:
        """The bytes of a small metadata file. OSError(EFBIG) above LIMIT."""
        fd = openat(name, self.fd)
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                raise OSError(errno.EINVAL, 'not a regular file', os.path.join(self.path(), name))
            if st.st_size < 65536:      # nearly always: one read
                data = os.read(fd, st.st_size + 1)
                if len(data) == st.st_size and len(data) <= limit:
                    return data
                os.lseek(fd, 0, os.SEEK_SET)
            if st.st_size > limit:      # not even its beginning is read
                raise OSError(errno.EFBIG, 'larger than %s' % wording.number(limit, 'byte'), os.path.join(self.path(), name))
            return read_all(fd, limit)
        finally:
            os.close(fd)

    def node(self, name: bytes) -> bytes:
        """A path that reaches NAME in this very folder for calls without dir_fd (getxattr). Without /proc, as in a bare chroot, that is the
        folder's own path; OSError(ESTALE) if it does not lead to this folder any more."""
        if has_proc():
            return b'/proc/self/fd/%d/%s' % (self.fd, name)
        path = self.path()
        looked = look(path)
        try:
            if _inode(looked) != self.identity:
                raise OSError(errno.ESTALE, 'folder was replaced while it was read', path)
        finally:
            os.close(looked)
        return os.path.join(path, name)

    def path(self) -> bytes:
        parts = []
        folder = self
        while folder is not None:
            parts.append(folder.name if isinstance(folder.name, bytes) else b'/proc/self/fd/%d' % folder.name)
            folder = folder.parent
        top = parts.pop()
        return b'/'.join([top.rstrip(b'/')] + parts[::-1]) if parts else top


def read_all(fd: int, limit: int = MAX_METADATA) -> bytes:
    """Everything from FD; OSError(EFBIG) above LIMIT bytes."""
    data = pieces.up_to(functools.partial(os.read, fd), limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, 'larger than %s' % wording.number(limit, 'byte'))
    return data


def xattrs_of(where: Union[bytes, int], follow_symlinks: bool = True) -> Dict[str, bytes]:
    """{name (str): value (bytes)} of a descriptor or a path; {} where the file system has none.

    trusted.* is listed only for CAP_SYS_ADMIN in the initial user namespace (xattr(7)).
    """
    try:
        names = os.listxattr(where, follow_symlinks=follow_symlinks) if not isinstance(where, int) else os.listxattr(where)
    except OSError as exc:
        if exc.errno in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
            return {}
        raise
    found = {}
    for name in names:
        try:
            if isinstance(where, int):
                found[name] = os.getxattr(where, name)
            else:
                found[name] = os.getxattr(where, name, follow_symlinks=follow_symlinks)
        except OSError as exc:
            if exc.errno not in (errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES):
                raise
    return found
