# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rescues never write into one folder: the folder itself is locked (flock(2)), and a small file says by whom."""
import fcntl
import json
import os
import socket
import time
from typing import Optional

from ..archive import place
from ..archive.sink import FileSink, SinkError
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording

FILE = b'.lifeboat-holder'
PATIENCE = 15                           # seconds: the last process of a killed run needs a moment to notice
NAP = 0.25


class Holder(object):
    """The lock of the open folder FD, from hold() to release()."""

    def __init__(self, fd: int):
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
        self._tell()

    def release(self) -> None:
        if self._lock is None:
            return
        _forget(self._fd)
        os.close(self._lock)
        self._lock = None

    def _tell(self):
        about = {'pid': os.getpid(), 'host': socket.gethostname(), 'since': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}
        try:
            with FileSink(self._fd, FILE, False) as sink:
                sink.write(json.dumps(about).encode('utf-8'))
        except SinkError:               # a full disk; an older file would name the wrong process
            _forget(self._fd)


def _forget(fd):
    try:
        os.unlink(FILE, dir_fd=fd)
    except OSError:
        pass


def _by_whom(fd):
    """' (process ...)', '' where it cannot be told."""
    try:
        found = safeio.openat(FILE, fd)
        try:
            about = json.loads(safeio.read_all(found, 4096).decode('utf-8'))
        finally:
            os.close(found)
        return ' (process %d on %s, since %s)' % (int(about['pid']), wording.text(str(about['host'])), wording.text(str(about['since'])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ''
