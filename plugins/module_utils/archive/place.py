"""The one door to folders below dest: by descriptor, never through a link, and only what this user or root owns.

Somebody else may have made names in dest before the rescue came: links that lead elsewhere, folders that he owns or can
write. Bundles hold secrets, so nothing is written into such a folder, and nothing behind a link is removed.

On a file system without owners or modes of its own (vfat, NFS that squashes root) each file has what the mount gives it.
That is found out by making a folder there, and then it counts as ours.
"""
import contextlib
import errno
import os
import stat
from typing import Iterator, Optional, Tuple

from ..disk.errors import LifeboatError
from ..formats import wording

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH
MAX_LINKS = 40                          # as the kernel: path_resolution(7)


def open_dest(path: bytes, make: bool = True) -> int:
    """The descriptor of the folder PATH (absolute), which is made with its parents (mode 0700) where it is missing and MAKE.

    The user names dest, so links in PATH are followed. But in a folder that everybody can write, such as /var/tmp, a link or
    folder must belong to this user or to root: else somebody else has planted it. Raises LifeboatError.
    """
    todo = [name for name in path.split(b'/') if name not in (b'', b'.')]
    here = os.open(b'/', os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    links = 0
    try:
        while todo:
            name = todo.pop(0)
            below = _step(here, name, make, path)
            try:
                st = os.fstat(below)
                _refuse_planted(here, name, st)
                if not stat.S_ISLNK(st.st_mode):
                    here, below = below, here
                    continue
                links += 1
                if links > MAX_LINKS:
                    raise LifeboatError('dest %s has too many links. Choose another dest.' % wording.text(path))
                target = os.readlink(b'', dir_fd=below)
                todo[:0] = [part for part in target.split(b'/') if part not in (b'', b'.')]
                if target.startswith(b'/'):
                    os.close(here)
                    here = os.open(b'/', os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            finally:
                os.close(below)
        return os.open(b'.', FOLDER, dir_fd=here)
    except OSError as exc:
        raise LifeboatError('The folder %s cannot be made or opened: %s. Choose another dest.' % (
            wording.text(path), exc.strerror or exc))
    finally:
        os.close(here)


def _step(here: int, name: bytes, make: bool, path: bytes) -> int:
    """An O_PATH descriptor of NAME in the folder HERE; a link is opened itself. OSError, LifeboatError."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        found = os.open(name, flags, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise
        try:
            os.mkdir(name, 0o700, dir_fd=here)
        except FileExistsError:         # another run was faster
            pass
        found = os.open(name, flags, dir_fd=here)
    mode = os.fstat(found).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
        os.close(found)
        raise LifeboatError('dest %s cannot be a folder: %s is a file. Choose another dest.' % (
            wording.text(path), wording.text(os.path.join(shown(here), name))))
    return found


def _refuse_planted(here: int, name: bytes, st: os.stat_result) -> None:
    parent = os.fstat(here)
    if parent.st_mode & stat.S_IWOTH and st.st_uid not in _ours() and st.st_uid != _given(here)[0]:
        raise LifeboatError(
            '%s belongs to uid %d and lies in a folder that everybody can write. Nothing is written there. Choose another '
            'dest, or remove it.' % (wording.text(os.path.join(shown(here), name)), st.st_uid))


def subfolder(fd: int, name: bytes, make: bool = True) -> Optional[int]:
    """A descriptor of the folder NAME in the folder FD. It is made (mode 0700) where it is missing; without MAKE the answer is
    None then. Raises LifeboatError for a link, a file, what belongs to somebody else, and what group or others can write.
    """
    _one_component(name)
    try:
        if make:
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
            except FileExistsError:
                pass
        try:
            found = os.open(name, FOLDER, dir_fd=fd)
        except FileNotFoundError:
            if make:
                raise
            return None
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refused(fd, name, 'is %s where a folder should be' % (
                'a link' if _is_link(fd, name) else 'a file'))
        raise LifeboatError('The folder %s cannot be made or opened: %s.' % (
            wording.text(os.path.join(shown(fd), name)), exc.strerror or exc))
    try:
        _check(fd, name, os.fstat(found))
    except BaseException:
        os.close(found)
        raise
    return found


def subfolders(fd: int, path: bytes, make: bool = True) -> Optional[int]:
    """The same for several levels, PATH being relative; b'' is a second descriptor of FD itself."""
    here = os.dup(fd)
    for name in [part for part in path.split(b'/') if part]:
        try:
            below = subfolder(here, name, make)
        finally:
            os.close(here)
        if below is None:
            return None
        here = below
    return here


@contextlib.contextmanager
def inside(fd: Optional[int], path: bytes, make: bool = True) -> Iterator[Optional[int]]:
    """The same while the body runs; None also where FD is."""
    below = None if fd is None else subfolders(fd, path, make)
    try:
        yield below
    finally:
        if below is not None:
            os.close(below)


def check_owned(fd: int, name: bytes) -> Optional[os.stat_result]:
    """What lstat says of NAME in the folder FD, None where it is missing. Raises LifeboatError for a link, for what
    belongs to somebody else, and for what group or others can write."""
    _one_component(name)
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LifeboatError('%s cannot be looked at: %s.' % (
            wording.text(os.path.join(shown(fd), name)), exc.strerror or exc))
    _check(fd, name, st)
    return st


def shown(fd: int) -> bytes:
    """The path of the open folder FD, for messages; empty where it cannot be told."""
    try:
        return os.readlink(b'/proc/self/fd/%d' % fd)
    except OSError:
        return b''


def _ours() -> Tuple[int, int]:
    return 0, os.geteuid()


def _check(fd: int, name: bytes, st: os.stat_result) -> None:
    if stat.S_ISLNK(st.st_mode):
        raise _refused(fd, name, 'is a link')
    foreign = st.st_uid not in _ours()
    if not foreign and not st.st_mode & FOREIGN_WRITE:
        return
    owner, mode = _given(fd)
    if foreign and st.st_uid != owner:
        raise _refused(fd, name, 'belongs to uid %d' % st.st_uid)
    if st.st_mode & FOREIGN_WRITE & ~mode:
        raise _refused(fd, name, 'can be written by others (mode %04o)' % stat.S_IMODE(st.st_mode))


def _given(fd: int) -> Tuple[Optional[int], int]:
    """(owner, mode) that the file system of the folder FD gives to a folder of ours with mode 0700; (None, 0) if unknown."""
    name = b'.lifeboat-owner-%s' % os.urandom(6).hex().encode('ascii')
    try:
        os.mkdir(name, 0o700, dir_fd=fd)
    except OSError:
        return None, 0
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        return st.st_uid, st.st_mode
    except OSError:
        return None, 0
    finally:
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError:
            pass


def _is_link(fd: int, name: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _refused(fd: int, name: bytes, why: str) -> LifeboatError:
    return LifeboatError('%s %s. Nothing is written or removed there. Move it away or remove it, or choose another dest.' % (
        wording.text(os.path.join(shown(fd), name)), why))


def _one_component(name: bytes) -> None:
    if not name or b'/' in name or b'\0' in name or name in (b'.', b'..'):
        raise ValueError('not a file name: %r' % name)
