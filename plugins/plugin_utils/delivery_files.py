"""Files of a delivery on the controller: every folder below dest is opened through bundles/place.py, a file never through a link."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import place
from ansible_collections.lifeboat.docker.plugins.module_utils.archive.sink import FileSink, SinkError
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles.store import PARTIAL
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import pieces
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import text

PART, MARK = '.lifeboat-part', '.lifeboat-mark'
SMALL = 1 << 20                         # bytes of a marker


def partial(name: str) -> str:
    """The folder of an unfinished bundle."""
    return f'.{name}{PARTIAL}'


class Folders:
    """The folder of one host below dest, and what is in it. PATH (bytes): DEST/HOST."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._fd: int | None = None

    def make(self) -> None:
        """Make or open the folder, and lock it. Raises LifeboatError if it belongs to another user or cannot be made."""
        if self._fd is None:
            dest, name = os.path.split(self.path)
            outer = place.open_dest(dest)
            try:
                self._fd = place.subfolder(outer, name)
            finally:
                os.close(outer)

    def look(self) -> bool:
        """Open the folder without making it; False if it is not there."""
        if self._fd is None:
            dest, name = os.path.split(self.path)
            if not os.path.isdir(dest):
                return False
            outer = place.open_dest(dest, False)
            try:
                self._fd = place.subfolder(outer, name, False)
            finally:
                os.close(outer)
        return self._fd is not None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def there(self, name: str) -> bool:
        """True if the folder NAME is here. Raises LifeboatError for a link, a file, and a folder of another user."""
        fd = place.subfolder(self._held(), os.fsencode(name), False)
        if fd is None:
            return False
        os.close(fd)
        return True

    def inside(self, relative: str, make: bool) -> contextlib.AbstractContextManager[int | None]:
        """A descriptor of the folder RELATIVE below; None where it is missing and not MAKE. Raises LifeboatError."""
        return place.inside(self._held(), os.fsencode(relative), make)

    def check(self, relative: str) -> bool:
        """True if RELATIVE is a file of ours, all of its folders too; False if it is missing. Raises LifeboatError."""
        folder, dummy, name = relative.rpartition('/')
        with self.inside(folder, False) as fd:
            st = place.check_owned(fd, os.fsencode(name)) if fd is not None else None
        if st is not None and not stat.S_ISREG(st.st_mode):
            raise LifeboatError(f'{text(os.path.join(self.path, os.fsencode(relative)))} is no file. Remove it, or choose another dest.')
        return st is not None

    def size(self, relative: str) -> int:
        """Bytes of a file below, 0 where its folder is missing."""
        folder, dummy, name = relative.rpartition('/')
        with self.inside(folder, False) as fd:
            return os.stat(name, dir_fd=fd, follow_symlinks=False).st_size if fd is not None else 0

    def read(self, relative: str, most: int) -> bytes:
        """The content of a file, which may have MOST bytes. Raises LifeboatError, OSError."""
        if not self.check(relative):
            raise LifeboatError(f'{relative} is missing')
        folder, dummy, name = relative.rpartition('/')
        with self.inside(folder, False) as fd, os.fdopen(_open(name, os.O_RDONLY, fd), 'rb') as found:
            raw = found.read(most + 1)
        if len(raw) > most:
            raise LifeboatError(f'{relative} has more than {most} bytes')
        return raw

    def hashed(self, relative: str) -> tuple[Any, int]:
        """(hash object, size) of a file of ours, so that it is resumable. Raises LifeboatError, OSError."""
        if not self.check(relative):
            raise LifeboatError(f'{relative} is missing')
        folder, dummy, name = relative.rpartition('/')
        with self.inside(folder, False) as fd, os.fdopen(_open(name, os.O_RDONLY, fd), 'rb') as content:
            return pieces.hashed(content)

    def sha256(self, relative: str) -> str | None:
        """SHA-256 of a file of ours; None where there is none that can be read."""
        try:
            return self.hashed(relative)[0].hexdigest()
        except (OSError, LifeboatError):
            return None

    def _held(self) -> int:
        if self._fd is None:
            raise LifeboatError(f'The folder {text(self.path)} is not open.')
        return self._fd


class Part:
    """A file that is resumable: its beginning lies beside its final name until commit(). FOLDER: a descriptor, SHOWN: its path."""

    def __init__(self, folder: int, name: bytes, shown: bytes, mark: str, digest: hashlib._Hash | None, size: int) -> None:
        self._name = name
        self._path = os.path.join(shown, name)
        self._part, self._mark = part_names(name)
        self.digest = digest if size and digest is not None else hashlib.sha256()
        self._folder = os.dup(folder)
        try:
            self._fd = _open(self._part, os.O_WRONLY | os.O_CREAT, self._folder)
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            with os.fdopen(_open(self._mark, os.O_WRONLY | os.O_CREAT, self._folder), 'wb') as target:
                target.truncate(0)
                target.write(json.dumps({'mark': mark, 'name': os.fsdecode(name)}).encode('utf-8'))
        except OSError as exc:
            os.close(self._folder)
            raise SinkError(self._path, exc) from exc

    def write(self, data: Any) -> None:
        view = memoryview(data)
        self.digest.update(view)
        try:
            while view:
                view = view[os.write(self._fd, view):]
        except OSError as exc:
            raise SinkError(self._path, exc) from exc

    def commit(self) -> None:
        try:
            os.fsync(self._fd)
            os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.unlink(self._mark, dir_fd=self._folder)
        except OSError as exc:
            raise SinkError(self._path, exc) from exc
        self.keep()

    def keep(self) -> None:
        """Close it; a later run resumes it."""
        for fd in (self._fd, self._folder):
            try:
                os.close(fd)
            except OSError:
                pass

    def abort(self) -> None:
        for name in (self._part, self._mark):
            try:
                os.unlink(name, dir_fd=self._folder)
            except OSError:
                pass
        self.keep()


class Whole:
    """A small file that is written in one step."""

    def __init__(self, folder: int, name: bytes, shown: bytes) -> None:
        self._sink = FileSink(folder, name, True, shown)
        self.digest = hashlib.sha256()
        self.commit = self._sink.commit
        self.abort = self.keep = self._sink.abort

    def write(self, data: Any) -> None:
        self.digest.update(data)
        self._sink.write(data)


def part_names(name: bytes) -> tuple[bytes, bytes]:
    """(name of the beginning of a file, name of the note about what it is the beginning of)."""
    short = name if len(name) <= 200 else name[:150] + hashlib.sha256(name).hexdigest()[:32].encode()
    return b'.' + short + PART.encode(), b'.' + short + MARK.encode()


def _open(name: str | bytes, flags: int, folder: int | None) -> int:
    """A descriptor of a regular file in FOLDER, never through a link, and without waiting where it is a pipe. OSError."""
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(22, 'it is no regular file')
    return fd
