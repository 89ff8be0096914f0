# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bytes of a finished archive go.

A sink has three calls, and whoever fills one uses nothing else:

``write(data)``  takes all of DATA (bytes-like; the buffer may be reused afterwards) or raises SinkError
``commit()``     makes what was written whole and lasting; nothing has its final name before
``abort()``      leaves nothing behind; may be called at any time, also twice or after commit (then it does nothing)
"""
import errno
import os

from ..disk.errors import LifeboatError
from ..formats.wording import text

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

    def __init__(self, path, exc):
        LifeboatError.__init__(self, 'cannot write %s: %s; %s' % (
            text(path), exc.strerror or exc, _NEXT_STEP.get(exc.errno, 'check that file system and run again')))
        self.errno = exc.errno


class ResumeMismatch(LifeboatError):
    """The beginning that the controller has is not what this run writes: write it whole."""


class FileSink(object):
    """A file that gets its name only when it is whole.

    FOLDER is a path (bytes) or an open descriptor of the folder (then SHOWN is its path for messages); NAME is the
    final name (bytes, one component). An older file of that name is replaced at commit. With DURABLE the data and
    the name are on the disk when commit() returns.
    """

    def __init__(self, folder, name, durable=True, shown=None):
        if not name or b'/' in name or name in (b'.', b'..'):
            raise ValueError('not a file name: %r' % name)
        self.path = os.path.join(shown if shown is not None else folder if isinstance(folder, bytes) else b'', name)
        self.bytes = 0
        self._name = name
        self._durable = durable
        self._fd = self._folder = None
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

    def write(self, data):
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._fd, view)
                self.bytes += done
                view = view[done:]
        except OSError as exc:
            raise SinkError(self.path, exc)

    def commit(self):
        try:
            if self._durable:
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = None
            if self._durable:
                os.fsync(self._folder)
        except OSError as exc:
            self.abort()
            raise SinkError(self.path, exc)
        self._close()

    def abort(self):
        if self._folder is not None and self._temporary is not None:
            try:
                os.unlink(self._temporary, dir_fd=self._folder)
            except OSError:
                pass
        self._close()

    def _close(self):
        for fd in (self._fd, self._folder):
            if fd is not None:
                try:
                    os.close(fd)
                except OSError:         # e.g. EIO of a network file system; whoever lost data was told by fsync
                    pass
        self._fd = self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *dummy):
        if kind is None and self._fd is not None:
            self.commit()
        else:
            self.abort()


def resumed(write, *arguments, **options):
    """write(...), a second time if what lies there does not fit: then nothing is left to go on with."""
    try:
        return write(*arguments, **options)
    except ResumeMismatch:
        return write(*arguments, **options)


def make_private(path):
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
