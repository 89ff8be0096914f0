"""The folder on the node through which node and controller talk, whichever of them sends: names of the files in it, limits, and how
they are opened, made and removed. spool.py brings a rescue out of it, inbox.py a restore in.

The folder belongs to the user who logs in, and this process may be root: files in it are opened relative to its descriptor,
never through a link, and only files; new ones are made anew.

Nothing but the standard library is imported here, see spool.py.
"""
import errno
import os
import re
import stat
from typing import AnyStr, Optional

MAX_CHUNK = 16 * 1024 * 1024            # bytes of a chunk of a rescue,
MAX_PIECE = 64 << 20                    # of a piece of a file for a restore,
MAX_HEAD = 256 << 20                    # of what comes before them,
MAX_ANSWER = 1 << 28                    # and of an answer to a rescue
MAX_LISTED = 1000                       # chunks of the answer to one step
PIECES = 2                              # of one file, that may wait in the folder
STOP, DONE = 'stop', 'done'             # the controller gives up; the node has ended

CHUNK = re.compile(r'(\d{8})-([0-9a-f]{64})\Z')
WANT = re.compile(r'want-([0-9]{1,9})-((?:[0-9a-f]{2}){1,1000})\Z')
ALIVE = re.compile(r'alive-[0-9]{1,12}\Z')
PIECE = re.compile(r'chunk-([0-9]{1,9})-[0-9]{1,12}(?:-last)?\Z')


def chunk_name(number: int, digest: str) -> str:
    """A chunk of a rescue: DIGEST is its SHA-256 in hex. See CHUNK."""
    return '%08d-%s' % (number, digest)


def want_name(number: int, file: bytes) -> str:
    """The wish for FILE as the stream NUMBER. See WANT."""
    return 'want-%d-%s' % (number, file.hex())


def piece_name(number: int, count: int, last: bool) -> str:
    """Piece COUNT of the stream NUMBER. See PIECE."""
    return 'chunk-%d-%d%s' % (number, count, '-last' if last else '')


def alive_name(count: int) -> str:
    """What is there while the module lives, another one every few seconds. See ALIVE."""
    return 'alive-%d' % count


def opened(folder: AnyStr, name: AnyStr, most: Optional[int] = None) -> int:
    """A descriptor of the file NAME in FOLDER, which has MOST bytes at most. OSError, also for a link and for no file."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)
    st = os.fstat(fd)
    if not stat.S_ISREG(st.st_mode) or (most is not None and st.st_size > most):
        os.close(fd)
        raise OSError(errno.EINVAL, 'it is no file, or larger than it may be')
    return fd


def read(folder: AnyStr, name: AnyStr, most: int = 1 << 20) -> bytes:
    """The first MOST bytes of the file NAME in FOLDER; none where there is no such file."""
    try:
        with os.fdopen(opened(folder, name), 'rb') as found:
            return found.read(most)
    except OSError:
        return b''


def make(folder: AnyStr, name: AnyStr, data: bytes = b'', mode: int = 0o600, owner: Optional[int] = None) -> None:
    """The new file NAME in FOLDER, given to the user OWNER (None: ours). OSError, also where something of that name is there."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=here)
    finally:
        os.close(here)
    with os.fdopen(fd, 'wb') as target:
        target.write(data)
        if owner is not None and owner != os.geteuid():
            os.fchown(fd, owner, -1)


def remove(folder: AnyStr, name: AnyStr) -> None:
    """Remove a file, if it is there and can be removed."""
    try:
        os.unlink(os.path.join(folder, name))
    except OSError:
        pass
