"""Removing, making and walking folders of any depth, without recursion and without following links.

shutil.rmtree, os.walk and os.makedirs recurse on most Pythons: a tree that is 1,500 folders deep ends them. Here one
folder is open at a time, each is opened relative to the one that holds it, and the way back up is checked against what
was seen on the way down. So nobody who moves folders meanwhile can lead the removal to another place.
"""
import errno
import os
import stat
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

Name = Union[bytes, str]
DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
O_PATH = getattr(os, 'O_PATH', 0o10000000)


def remove(name: Name, dir_fd: Optional[int] = None) -> None:
    """Remove the file, the link (itself) or the whole tree NAME, a path or one component in the folder DIR_FD.

    Nothing there is no error. Raises OSError at the first thing that cannot be removed; EXDEV where another file system
    is mounted in the tree: its content is somebody else's.
    """
    failed = _remove(name, dir_fd, False)
    if failed:
        raise failed[0]


def discard(name: Name, dir_fd: Optional[int] = None) -> bool:
    """The same, but what cannot be removed is left and the rest is removed. True if nothing is left."""
    try:
        return not _remove(name, dir_fd, True)
    except OSError:
        return False


def make(path: bytes, mode: int = 0o700) -> List[bytes]:
    """Make the folder PATH (absolute, bytes) and what is missing above it, with MODE -> those that were made, the topmost
    first. PATH is trusted: its parts may be links. Raises OSError."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        above = os.path.dirname(path)
        if above == path:
            break
        path = above
    made = []
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue
        os.chmod(folder, mode)
        made.append(folder)
    return made


def folders(top: Name) -> Iterator[Tuple[int, List[str]]]:
    """Yield (descriptor, names in it) of the folder TOP and of every one below it, each before those in it. The caller may change all that is in a
    folder while it has it; the descriptor is not his. What may not be looked into is passed over. Raises OSError for TOP."""
    fd = os.open(top, DIR)
    try:
        above: List[Tuple[int, int]] = []
        pending = [_names(fd)]
        yield fd, list(pending[-1])
        while True:
            if pending[-1]:
                below = _below(pending[-1].pop(), fd)
                if below is not None:
                    above.append(_identity(fd))
                    os.close(fd)
                    fd = below
                    pending.append(_names(fd))
                    yield fd, list(pending[-1])
                continue
            pending.pop()
            if not above:
                return
            fd = _up(fd, above.pop())
    finally:
        os.close(fd)


def _below(name: str, dir_fd: int) -> Optional[int]:
    try:
        return os.open(name, DIR, dir_fd=dir_fd)
    except OSError:                     # no folder, or a link; gone; or one of somebody else
        return None


def _remove(name: Name, dir_fd: Optional[int], on: bool) -> List[OSError]:
    """[errors]; with ON false it ends with the first one."""
    failed: List[OSError] = []
    if _gone(name, dir_fd, failed):
        return failed
    fd = _opened(name, dir_fd)
    try:
        device = os.fstat(fd).st_dev
        above: List[Tuple[Any, Tuple[int, int]]] = []
        pending = [_names(fd)]
        while True:
            if failed and not on:
                return failed
            if pending[-1]:
                inner = pending[-1].pop()
                if _gone(inner, fd, failed):
                    continue
                try:
                    below = _entered(inner, fd, device)
                except OSError as exc:
                    failed.append(exc)
                    continue
                above.append((inner, _identity(fd)))
                os.close(fd)
                fd = below
                pending.append(_names(fd))
                continue
            pending.pop()
            if not above:
                break
            inner, identity = above.pop()
            fd = _up(fd, identity)
            _try(failed, os.rmdir, inner, fd)
    finally:
        os.close(fd)
    _try(failed, os.rmdir, name, dir_fd)
    return failed


def _try(failed: List[OSError], call: Callable[..., Any], name: Union[bytes, str], dir_fd: Optional[int]) -> None:
    try:
        call(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
    except OSError as exc:
        failed.append(exc)


def _gone(name: Union[bytes, str], dir_fd: Optional[int], failed: List[OSError]) -> bool:
    """True if NAME is dealt with: it was no folder. What could not be removed is in FAILED then."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
    except OSError as exc:
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
                return False
        except FileNotFoundError:
            return True
        failed.append(exc)
    return True


def _names(fd: int) -> List[str]:
    # listdir on a descriptor gives str; the names come back to the same bytes
    return os.listdir(fd)


def _identity(fd: int) -> Tuple[int, int]:
    st = os.fstat(fd)
    return st.st_dev, st.st_ino


def _entered(name: str, dir_fd: int, device: int) -> int:
    fd = _opened(name, dir_fd)
    if os.fstat(fd).st_dev != device:
        os.close(fd)
        raise OSError(errno.EXDEV, 'another file system is mounted there', name)
    return fd


def _up(fd: int, identity: Tuple[int, int]) -> int:
    """Descriptor of the folder above FD, which is closed. OSError(ESTALE) if it is not the one that we came from."""
    above = os.open('..', DIR, dir_fd=fd)
    if _identity(above) != identity:
        os.close(above)
        raise OSError(errno.ESTALE, 'a folder was moved while it was removed')
    os.close(fd)
    return above


def _opened(name: Name, dir_fd: Optional[int]) -> int:
    """Descriptor of a folder that we can empty: one of our own gets the mode for it."""
    try:
        fd = os.open(name, DIR, dir_fd=dir_fd)
    except PermissionError:
        _loosen(name, dir_fd)
        return os.open(name, DIR, dir_fd=dir_fd)
    st = os.fstat(fd)
    if st.st_mode & 0o300 != 0o300 and st.st_uid == os.geteuid() != 0:
        os.fchmod(fd, 0o700)
    return fd


def _loosen(name: Name, dir_fd: Optional[int]) -> None:
    handle = os.open(name, O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.chmod('/proc/self/fd/%d' % handle, 0o700)
    finally:
        os.close(handle)
