"""Two rescues never write into one folder: the folder itself is locked (flock(2)). Nothing is written for it."""
import fcntl
import os
import re
import time
from typing import Optional

from ..archive import place
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..disk.host import read_kernel
from ..formats import wording

PATIENCE = 15                           # seconds: the last process of a killed run needs a moment to notice
NAP = 0.25
# proc(5), /proc/locks: the process and the inode of each lock
LOCK = re.compile(br'(?m)^\d+: FLOCK +ADVISORY +WRITE +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ')


class Holder(object):
    """The lock of the open folder FD, from hold() to release()."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock: Optional[int] = None

    def hold(self, patience: float = PATIENCE) -> None:
        """Lock the folder; what is locked already stays so. Where another rescue has it, wait for PATIENCE seconds, then raise
        LifeboatError with its process and since when. A file system without locks is no error."""
        if self._lock is not None:
            return
        # a description of its own: those of one process would share the lock
        self._lock = os.open(b'.', place.FOLDER, dir_fd=self._fd)
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(self._lock)
                    self._lock = None
                    raise LifeboatError('Another rescue is writing into %s%s. Wait until it ends, or choose another dest.' % (
                        wording.text(place.shown(self._fd)), _by_whom(self._fd)))
                time.sleep(NAP)
            except OSError:             # such a file system cannot keep two rescues apart
                break

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _by_whom(fd: int) -> str:
    """' (process ..., since ...)', '' where it cannot be told: a process of another machine or of another container."""
    inode = os.fstat(fd).st_ino
    for pid, locked in LOCK.findall(read_kernel('/proc/locks')):
        try:
            if int(locked) == inode:
                began = safeio.lstat(b'/proc/' + pid).st_mtime
                return ' (process %d, since %s)' % (int(pid), time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(began)))
        except OSError:
            continue
    return ''
