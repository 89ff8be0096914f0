"""Where the bytes of a finished archive go.

A sink has three calls, and whoever fills one uses nothing else:

``write(data)``  takes all of DATA (bytes-like; the buffer may be reused afterwards) or raises SinkError
``commit()``     makes what was written whole and lasting; nothing has its final name before
``abort()``      leaves nothing behind; may be called at any time, also twice or after commit (then it does nothing)
"""
import errno
import os
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, Type, TypeVar, Union

from ..disk.errors import LifeboatError
from ..formats.wording import text

Data = Union[bytes, memoryview]         # what a sink takes

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    class Sink(Protocol):
        bytes: int

        def write(self, data: Data) -> None:
            ...

        def commit(self) -> None:
            ...

        def abort(self) -> None:
            ...

        def __enter__(self) -> 'Sink':
            ...

        def __exit__(self, kind: Optional[Type[BaseException]], *dummy: object) -> None:
            ...

_Result = TypeVar('_Result')

TEMPORARY = b'.lifeboat-part'           # end of the name of every file that is not whole yet
_NEXT_STEP = {
    errno.ENOSPC: 'make room there or choose another dest',
    errno.EDQUOT: 'raise the quota or choose another dest',
    errno.EROFS: 'choose a dest that can be written',
    errno.EACCES: 'choose a dest that this user may write',
    errno.EFBIG: 'choose a dest whose file system takes larger files',
}


class SinkError(LifeboatError):
    """The target did not take the data. `errno` as the kernel gave it."""

    def __init__(self, path: bytes, exc: OSError) -> None:
        LifeboatError.__init__(self, 'cannot write %s: %s; %s' % (
            text(path), exc.strerror or exc, _NEXT_STEP.get(exc.errno or 0, 'check that file system and run again')))
        self.errno = exc.errno


class ResumeMismatch(LifeboatError):
    """The beginning that the controller has is not what this run writes: write it whole."""


class FileSink(object):
    """A file that gets its name only when it is whole.

    FOLDER is a path (bytes) or an open descriptor of the folder (then SHOWN is its path for messages); NAME is the
    final name (bytes, one component). An older file of that name is replaced at commit. With DURABLE the data and
    the name are on the disk when commit() returns.
    """

    def __init__(self, folder: Union[bytes, int], name: bytes, durable: bool = True, shown: Optional[bytes] = None) -> None:
        if not name or b'/' in name or name in (b'.', b'..'):
            raise ValueError('not a file name: %r' % name)
        self.path = os.path.join(shown if shown is not None else folder if isinstance(folder, bytes) else b'', name)
        self.bytes = 0
        self._name = name
        self._durable = durable
        self._fd: Optional[int] = None
        self._folder: Optional[int] = None
        self._placed = False            # it has its final name
        # a name may be 255 bytes long already
        self._temporary = b'.%b.%b%b' % (name[:200], os.urandom(6).hex().encode('ascii'), TEMPORARY)
        try:
            if isinstance(folder, bytes):
                self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                self._folder = os.dup(folder)
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                               0o600, dir_fd=self._folder)
        except OSError as exc:
            self._close()
            raise SinkError(self.path, exc)

    def write(self, data: Data) -> None:
        view = memoryview(data)
        fd = self._open()[0]
        try:
            while view:
                done = os.write(fd, view)
                self.bytes += done
                view = view[done:]
        except OSError as exc:
            raise SinkError(self.path, exc)

    def commit(self) -> None:
        fd, folder = self._open()
        try:
            if self._durable:
                os.fsync(fd)
            self._fd = None             # whatever close() says, it is no longer ours
            os.close(fd)
            os.rename(self._temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            self._placed = True
            if self._durable:
                os.fsync(folder)
        except OSError as exc:
            self.abort()
            raise SinkError(self.path, exc)
        self._close()

    def _open(self) -> Tuple[int, int]:
        """Descriptors of the file and of its folder. ValueError once the sink is closed, as for a file."""
        if self._fd is None or self._folder is None:
            raise ValueError('the file %s is closed' % text(self.path))
        return self._fd, self._folder

    def abort(self) -> None:
        if self._folder is not None and not self._placed:
            try:
                os.unlink(self._temporary, dir_fd=self._folder)
            except OSError:
                pass
        self._close()

    def _close(self) -> None:
        for fd in (self._fd, self._folder):
            if fd is not None:
                try:
                    os.close(fd)
                except OSError:         # e.g. EIO of a network file system; whoever lost data was told by fsync
                    pass
        self._fd = self._folder = None

    def __enter__(self) -> 'FileSink':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *dummy: object) -> None:
        if kind is None and self._fd is not None:
            self.commit()
        else:
            self.abort()


def resumed(write: Callable[..., _Result], *arguments: Any, **options: Any) -> _Result:
    """write(...), a second time if what lies there does not fit: then nothing is left to go on with."""
    try:
        return write(*arguments, **options)
    except ResumeMismatch:
        return write(*arguments, **options)


def make_private(path: bytes) -> None:
    """mkdir -p with mode 0700 for what is new. OSError(ENOTDIR) for a file where a folder should be."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        make_private(parent)
    try:
        os.mkdir(path, 0o700)
    except OSError as exc:
        if exc.errno == errno.EEXIST and os.path.isdir(path):
            return
        if exc.errno == errno.EEXIST:
            raise OSError(errno.ENOTDIR, 'a file is where a folder should be', path)
        raise
