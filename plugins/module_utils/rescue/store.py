# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bundles go: a folder in which each bundle appears under its name only when it is whole.

A bundle at work lies in ``.<name>.partial`` beside its final place. What is whole in there is listed in its
``progress.json``, so a killed run is taken up where it stopped. `FolderStore` writes on this machine; a store that
delivers to another one offers the same methods.
"""
import errno
import json
import os
import shutil

from ..storage import model
from .sink import FileSink, SinkError

PARTIAL = '.partial'
PROGRESS = b'progress.json'


class FolderStore(object):
    """Bundles below DEST/HOST (bytes). Folders are made 0700. Raises model.LifeboatError where that can't be done."""

    def __init__(self, dest, host, check_mode=False):
        self.path = os.path.join(dest, host)
        if check_mode:
            return
        try:
            make_private(dest)
            make_private(self.path)
        except OSError as exc:
            raise model.LifeboatError('The folder %s cannot be made: %s. Choose another dest.' % (
                model.text(self.path), exc.strerror or exc))

    def bundle_path(self, name):
        return os.path.join(self.path, os.fsencode(name))

    def begin(self, name):
        return FolderBundle(self, name)


class FolderBundle(object):
    """One bundle while it is written."""

    def __init__(self, store, name):
        self.final = store.bundle_path(name)
        self.path = os.path.join(store.path, os.fsencode('.' + name + PARTIAL))
        self._store = store
        try:
            make_private(self.path)
        except OSError as exc:
            raise model.LifeboatError('The folder %s cannot be made: %s.' % (model.text(self.path), exc.strerror or exc))

    def progress(self):
        """{component name: its record} of what a killed run left whole."""
        try:
            with open(os.path.join(self.path, PROGRESS), 'rb') as found:
                value = json.loads(found.read().decode('utf-8'))
            return value if isinstance(value, dict) else {}
        except (OSError, ValueError):
            return {}

    def note(self, records):
        self.write(PROGRESS.decode(), json.dumps(records).encode('utf-8'))

    def sink(self, relative):
        """A sink for a file of the bundle; its folder is made. Raises SinkError."""
        folder = self._folder(relative)
        return FileSink(folder, os.path.basename(os.fsencode(relative)))

    def write(self, relative, data):
        """A small file, whole or not at all."""
        sink = self.sink(relative)
        try:
            sink.write(data)
            sink.commit()
        except BaseException:
            sink.abort()
            raise

    def has(self, relative, size):
        try:
            return os.lstat(os.path.join(self.path, os.fsencode(relative))).st_size == size
        except OSError:
            return False

    def adopt(self, source, relative):
        """Take over a whole file of this run or of an earlier bundle by a hard link; False where that can't be done."""
        target = os.path.join(self._folder(relative), os.path.basename(os.fsencode(relative)))
        try:
            if os.path.lexists(target):
                os.unlink(target)
            os.link(source, target, follow_symlinks=False)
            return True
        except OSError:
            return False

    def absolute(self, relative):
        return os.path.join(self.path, os.fsencode(relative))

    def _folder(self, relative):
        inner = os.path.dirname(os.fsencode(relative))
        folder = os.path.join(self.path, inner) if inner else self.path
        try:
            make_private(folder)
        except OSError as exc:
            raise SinkError(folder, exc)
        return folder

    def drop_others(self, wanted):
        """Remove what does not belong into the bundle: leftovers of an earlier run with other options."""
        keep = frozenset(os.fsencode(name) for name in wanted)
        for folder, dummy, names in os.walk(self.path):
            for name in names:
                full = os.path.join(folder, name)
                if os.path.relpath(full, self.path) not in keep:
                    os.unlink(full)

    def discard(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def finish(self, keep_old):
        """Give the bundle its name. KEEP_OLD: an older bundle there stays beside it, with this suffix; '' replaces it."""
        try:
            os.unlink(os.path.join(self.path, PROGRESS))
        except OSError:
            pass
        aside = None
        if os.path.lexists(self.final):
            aside = self.final + (os.fsencode(keep_old) if keep_old else b'')
            if not keep_old:
                aside = os.path.join(self._store.path, b'.' + os.path.basename(self.final) + b'.replaced')
                shutil.rmtree(aside, ignore_errors=True)
            os.rename(self.final, aside)
        os.rename(self.path, self.final)
        fsync_folder(self._store.path)
        if aside is not None and not keep_old:
            shutil.rmtree(aside, ignore_errors=True)
        return aside if keep_old else None


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


def fsync_folder(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
