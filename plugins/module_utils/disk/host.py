"""The root folder of the host that is rescued, as the managed node sees it.

Paths in Docker's and the system's configuration are meant as the dead host saw them. :class:`HostRoot`
translates: it walks a path the way a chroot would, so that no link, absolute or relative, leads out of the
host root. Paths are bytes.
"""
import errno
import functools
import os
import stat
from typing import (
    TYPE_CHECKING,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from ..disk.errors import LifeboatError
from ..formats import pieces, wording
from . import safeio

if TYPE_CHECKING:
    from .expected import Mounts

MAX_LINKS = 40                          # as the kernel (path_resolution(7))
MAX_PATH = 4096                         # PATH_MAX
MAX_DEPTH = 400                         # every folder on the way holds one descriptor
# O_PATH: looking at a FIFO or a device node must not open it.
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


class Process(NamedTuple):
    """A running process. `argv` and `env` as text (surrogateescape); `env` holds only what was asked for."""
    pid: int
    argv: Tuple[str, ...]
    env: Dict[str, str]


class HostRoot(object):
    """Where the dead host's ``/`` is visible. LifeboatError if it is not a folder that can be read."""

    def __init__(self, path: Union[bytes, str]) -> None:
        if not isinstance(path, bytes):
            path = os.fsencode(path)
        if not path.startswith(b'/') or b'\0' in path:
            raise LifeboatError('host_root %s is not an absolute path; give the folder where the root file '
                                "system of the dead host is mounted, or / for this machine's own."
                                % wording.text(path))
        self.path = os.path.realpath(path)
        try:
            st = os.stat(self.path)
        except OSError as exc:
            raise LifeboatError('host_root %s cannot be used (%s); mount the root file system of the dead '
                                'host there first.' % (wording.text(path), exc.strerror))
        if not stat.S_ISDIR(st.st_mode):
            raise LifeboatError('host_root %s is not a folder; if it is a disk image, mount it read-only and '
                                'give the mount point.' % wording.text(path))
        self._id = (st.st_dev, st.st_ino)
        self._live: Optional[bool] = None
        self._expected: 'Optional[Mounts]' = None

    @property
    def is_live(self) -> bool:
        """True when this is the own ``/`` of the machine that we run on.

        A container that shares the machine's process ids sees it as the root of process 1.
        """
        if self._live is None:
            self._live = any(_identity(path) == self._id for path in (b'/', b'/proc/1/root'))
        return self._live

    @property
    def expected(self) -> 'Mounts':
        """What the host itself would have mounted."""
        if self._expected is None:
            from .expected import Mounts  # needs this file's class
            self._expected = Mounts(self)
        return self._expected

    # -- paths ---------------------------------------------------------------------------------------------

    def _walk(self, path: bytes, follow: bool = True) -> Tuple[List[bytes], List[int]]:
        """Walk PATH (absolute). Returns (names, descriptors): the components below the host root that are
        left without links, and one O_PATH descriptor for the host root and each of them; the last one is the
        object itself. The caller closes them. FOLLOW false: a link as last component is not followed.
        """
        if not path.startswith(b'/') or b'\0' in path:
            raise OSError(errno.EINVAL, 'not an absolute path', path)
        if len(path) > MAX_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path[:200])
        todo = path.split(b'/')[::-1]
        names = []
        fds = [safeio.openat(self.path, flags=_FOLDER)]
        is_folder = True
        links = 0
        try:
            while todo:
                part = todo.pop()
                if not is_folder:
                    raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                if part in (b'', b'.'):
                    continue
                if part == b'..':
                    if names:           # the parent of the root is the root
                        names.pop()
                        os.close(fds.pop())
                    continue
                if len(fds) > MAX_DEPTH:
                    raise OSError(errno.ENAMETOOLONG, 'too many folders below each other', path)
                fd, mode = _look(part, fds[-1], path)
                if stat.S_ISLNK(mode) and (follow or todo):
                    links += 1
                    target = _read_link(fd, links, path)
                    if target.startswith(b'/'):
                        del names[:]
                        while len(fds) > 1:
                            os.close(fds.pop())
                    todo.extend(reversed(target.split(b'/')))
                    continue
                is_folder = stat.S_ISDIR(mode)
                names.append(part)
                fds.append(fd)
        except BaseException:
            _close(fds)
            raise
        return names, fds

    def _join(self, names: Sequence[bytes]) -> bytes:
        return os.path.join(self.path, *names)

    def resolve(self, path: bytes) -> bytes:
        """PATH as the dead host saw it -> absolute path on the managed node that has no links left.

        FileNotFoundError if there is nothing; OSError ELOOP, ENOTDIR, EACCES, ENAMETOOLONG, EINVAL.
        """
        names, fds = self._walk(path)
        _close(fds)
        return self._join(names)

    def to_host(self, path: bytes) -> bytes:
        """The reverse: PATH on the managed node -> as the dead host saw it. ValueError outside the host root."""
        if self.path == b'/':
            return path
        if path == self.path:
            return b'/'
        if path.startswith(self.path + b'/'):
            return path[len(self.path):]
        raise ValueError('%s is not below %s' % (wording.text(path), wording.text(self.path)))

    def place(self, path: bytes) -> bytes:
        """Where PATH of the dead host would be on the managed node, there or not; links are not looked at."""
        return os.path.join(self.path, path.lstrip(b'/'))

    # -- what is there -------------------------------------------------------------------------------------

    def stat(self, path: bytes) -> os.stat_result:
        """os.stat_result; links are followed inside the host root."""
        return self._stat(path, True)

    def lstat(self, path: bytes) -> os.stat_result:
        """os.stat_result of PATH itself, even where it is a link that leads nowhere."""
        return self._stat(path, False)

    def _stat(self, path: bytes, follow: bool) -> os.stat_result:
        fds = self._walk(path, follow)[1]
        try:
            return os.fstat(fds[-1])
        finally:
            _close(fds)

    def is_folder(self, path: bytes) -> bool:
        """True for a folder, or a link to one; False for what cannot be looked at too."""
        try:
            return stat.S_ISDIR(self.stat(path).st_mode)
        except OSError:
            return False

    def readlink(self, path: bytes) -> bytes:
        """Where the link PATH leads, as it is written in it. OSError, also if PATH is no link."""
        fds = self._walk(path, False)[1]
        try:
            return os.readlink(b'', dir_fd=fds[-1])
        finally:
            _close(fds)

    def exists(self, path: bytes) -> bool:
        """False where there is nothing (a link to nothing too). OSError if that cannot be said (EACCES, EIO)."""
        try:
            _close(self._walk(path)[1])
        except OSError as exc:
            if exc.errno in _MISSING:
                return False
            raise
        return True

    def listdir(self, path: bytes) -> List[bytes]:
        """Names in a folder, as sorted bytes."""
        fds = self._walk(path)[1]
        try:
            fd = safeio.openat(b'.', fds[-1], safeio.FLAGS | os.O_DIRECTORY)
            try:
                return sorted(map(os.fsencode, os.listdir(fd)))
            finally:
                os.close(fd)
        finally:
            _close(fds)

    def read(self, path: bytes, limit: int = safeio.MAX_METADATA) -> bytes:
        """The bytes of a regular file. OSError(EINVAL) for anything else, OSError(EFBIG) above LIMIT bytes."""
        names, fds = self._walk(path)
        try:
            st = os.fstat(fds[-1])
            if not stat.S_ISREG(st.st_mode):
                raise OSError(errno.EINVAL, 'not a regular file', path)
            if st.st_size > limit:
                raise OSError(errno.EFBIG, 'larger than %s' % wording.number(limit, 'byte'), path)
            fd = safeio.openat(names[-1], fds[-2])
            try:
                return safeio.read_all(fd, limit)
            finally:
                os.close(fd)
        finally:
            _close(fds)

    def subids(self) -> Tuple[bytes, bytes]:
        """The contents of /etc/subuid and /etc/subgid, b'' for one that cannot be read: which IDs the user namespaces of whom have."""
        found = []
        for path in (b'/etc/subuid', b'/etc/subgid'):
            try:
                found.append(self.read(path, 1 << 20))
            except OSError:
                found.append(b'')
        return found[0], found[1]

    # -- what runs -----------------------------------------------------------------------------------------

    def processes(self, words: Sequence[bytes], env: Sequence[str] = ()) -> Iterator[Process]:
        """Yield Process for those whose name holds one of WORDS (bytes). Nothing unless :attr:`is_live`.

        Processes of containers are among them: a caller that cares looks at :func:`seen_by`.
        ENV: names of environment variables wanted (readable for root and the owner only).
        """
        if not self.is_live:
            return
        for pid in filter(str.isdigit, kernel_names('/proc')):
            # comm is cut after 15 bytes, but costs one small read where cmdline would be one for each process
            comm = read_proc(pid, 'comm', 64)
            if not any(word in comm for word in words):
                continue
            argv = [arg.decode('utf-8', 'surrogateescape') for arg in read_proc(pid, 'cmdline').split(b'\0')[:-1]]
            if argv:
                yield Process(int(pid), tuple(argv), _environment(pid, env) if env else {})


def _look(name: bytes, parent: int, path: bytes) -> Tuple[int, int]:
    """(O_PATH descriptor, mode) of NAME in the folder PARENT. OSError names PATH."""
    try:
        return safeio.openat(name, parent, _FOLDER), stat.S_IFDIR
    except OSError as exc:
        if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise OSError(exc.errno, exc.strerror, path)
    fd = safeio.openat(name, parent, _ANY)
    return fd, os.fstat(fd).st_mode


def _read_link(fd: int, number: int, path: bytes) -> bytes:
    """Where the link FD leads; it is closed. NUMBER: how many were followed on the way to PATH."""
    try:
        if number > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.readlink(b'', dir_fd=fd)
    finally:
        os.close(fd)


def seen_by(pid: int, path: bytes) -> Tuple[int, int]:
    """(st_dev, st_ino) of PATH (bytes) as process PID sees it. OSError."""
    st = os.stat(b'/proc/%d/root/%s' % (pid, path.lstrip(b'/')))
    return st.st_dev, st.st_ino


def owner_of(pid: int) -> int:
    """The user id of a process. OSError if it is gone."""
    return os.stat('/proc/%d' % pid).st_uid


def read_proc(pid: Union[int, str], name: str, limit: int = 1 << 17) -> bytes:
    """At most LIMIT bytes of /proc/PID/NAME; empty if the process is gone or out of reach."""
    return read_kernel('/proc/%s/%s' % (pid, name), limit)


def read_kernel(path: str, limit: int = 1 << 24) -> bytes:
    """At most LIMIT bytes of a file by which the kernel of this machine tells something; empty if it does not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b''
    try:
        return pieces.up_to(functools.partial(os.read, fd), limit)
    except OSError:
        return b''
    finally:
        os.close(fd)


def kernel_names(path: str) -> List[str]:
    """Names in a folder of /proc or /sys of this machine; [] if it cannot be listed."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def _environment(pid: str, names: Sequence[str]) -> Dict[str, str]:
    found = {}
    for item in read_proc(pid, 'environ').split(b'\0'):
        name, dummy, value = item.decode('utf-8', 'surrogateescape').partition('=')
        if name in names:
            found[name] = value
    return found


def _identity(path: bytes) -> Optional[Tuple[int, int]]:
    try:
        st = os.stat(path)
    except OSError:
        return None
    return st.st_dev, st.st_ino


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
