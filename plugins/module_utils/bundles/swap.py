"""How a bundle that is whole gets its final name, and how the next run ends what a killed one began.

Before the first rename a mark is written into the new bundle. Whatever has the mark is new; so each state in which a run can
be killed is known, and recover() goes on from there:

    .X.partial marked, X as before       nothing was renamed yet
    .X.partial marked, no X              there was no X, or it is parked as X.until-TIME, where docker_bundle_info shows it
    X marked, .X.partial                 the two were exchanged; .X.partial is the old bundle
    X marked                             the old bundle is parked as X.until-TIME

With renameat2(2) the old and the new bundle change places at once. Where there is none (old kernels, NFS), the old one is
parked first.
"""
import contextlib
import errno
import json
import os
from typing import Any, Dict, Iterator, Optional

from ..archive import place, removal
from ..archive.sink import FileSink
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording

MARK = b'.lifeboat-finish'
RENAME_EXCHANGE = 2
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EXDEV)


def finish(fd: int, partial: bytes, final: bytes, parked: bytes, keep: bool) -> Optional[bytes]:
    """Give the whole bundle PARTIAL in the folder FD the name FINAL -> name of the old bundle where it stays.

    An old bundle FINAL stays as PARKED if KEEP, else it is removed. Raises OSError, LifeboatError; then FINAL is what it
    was, or recover() ends the work.
    """
    parked = _unused(fd, parked)
    with _folder(fd, partial) as new:
        sink = FileSink(new, MARK)
        with sink:
            sink.write(json.dumps({'parked': os.fsdecode(parked), 'keep': keep}).encode('utf-8'))
    return _swap(fd, partial, final, parked, keep)


def recover(fd: int, partial: bytes, final: bytes) -> bool:
    """End what a killed run began with these names -> whether there was something. Raises OSError, LifeboatError."""
    new, old = _mark(fd, partial, final), _mark(fd, final, final)
    if new is not None:
        if old is not None:             # of an earlier run that could not remove it
            _unmark(fd, final)
        _swap(fd, partial, final, new['parked'], new['keep'])
    elif old is not None:
        _tidy(fd, partial, final, old['parked'], old['keep'])
    return new is not None or old is not None


def unfinished(fd: int, name: bytes) -> bool:
    """True if the entry NAME of the folder FD has the mark."""
    try:
        os.stat(os.path.join(name, MARK), dir_fd=fd, follow_symlinks=False)
        return True
    except OSError:
        return False


def _swap(fd: int, partial: bytes, final: bytes, parked: bytes, keep: bool) -> Optional[bytes]:
    if not _is_there(fd, final):
        os.rename(partial, final, src_dir_fd=fd, dst_dir_fd=fd)
    elif not exchange(fd, partial, final):
        os.rename(final, parked, src_dir_fd=fd, dst_dir_fd=fd)
        try:
            os.rename(partial, final, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError:
            os.rename(parked, final, src_dir_fd=fd, dst_dir_fd=fd)
            raise
    os.fsync(fd)
    try:
        return _tidy(fd, partial, final, parked, keep)
    except OSError:                     # the new bundle has its name; the mark stays, and the next run tidies up
        return parked if keep and _is_there(fd, parked) else None


def _tidy(fd: int, partial: bytes, final: bytes, parked: bytes, keep: bool) -> Optional[bytes]:
    """Keep or remove the old bundle, after the new one got its name."""
    if _is_there(fd, partial):
        if keep:
            os.rename(partial, parked, src_dir_fd=fd, dst_dir_fd=fd)
        else:
            removal.remove(partial, fd)
    if not keep:
        _remove_parked(fd, final, parked)
    _unmark(fd, final)
    return parked if keep and _is_there(fd, parked) else None


def _remove_parked(fd: int, final: bytes, parked: bytes) -> None:
    """What is half removed must not be seen as a bundle."""
    hidden = b'.' + final + b'.replaced'
    removal.remove(hidden, fd)
    if _is_there(fd, parked):
        os.rename(parked, hidden, src_dir_fd=fd, dst_dir_fd=fd)
        removal.remove(hidden, fd)


def exchange(fd: int, one: bytes, other: bytes) -> bool:
    """Let two entries of the folder FD change places at once. False where this system cannot do it. Raises OSError."""
    try:
        import ctypes
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, OSError, AttributeError):
        return False
    if call(fd, ctypes.c_char_p(one), fd, ctypes.c_char_p(other), ctypes.c_uint(RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), one)


@contextlib.contextmanager
def _folder(fd: int, name: bytes) -> Iterator[int]:
    """A descriptor of the folder NAME, which is checked first."""
    found = place.subfolder(fd, name, False)
    if found is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    try:
        yield found
    finally:
        os.close(found)


def _mark(fd: int, name: bytes, final: bytes) -> Optional[Dict[str, Any]]:
    """The content of the mark in the folder NAME; None without a mark."""
    if not unfinished(fd, name):
        return None
    with _folder(fd, name) as folder:
        try:
            found = safeio.openat(MARK, folder)
            try:
                value = json.loads(safeio.read_all(found, 65536).decode('utf-8'))
            finally:
                os.close(found)
            parked = os.fsencode(value['parked'])
            if not parked.startswith(final + b'.until-') or b'/' in parked or b'\0' in parked:
                raise ValueError('it is no name for a parked bundle')
            return {'parked': parked, 'keep': bool(value['keep'])}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise LifeboatError('%s is damaged (%s). Remove that file and run again.' % (
                wording.text(os.path.join(place.shown(folder), MARK)), exc))


def _unmark(fd: int, name: bytes) -> None:
    with _folder(fd, name) as folder:
        try:
            os.unlink(MARK, dir_fd=folder)
        except FileNotFoundError:
            pass


def _unused(fd: int, name: bytes) -> bytes:
    number, found = 1, name
    while _is_there(fd, found):
        number += 1
        found = b'%s-%d' % (name, number)
    return found


def _is_there(fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
        return True
    except FileNotFoundError:
        return False
