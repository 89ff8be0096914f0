# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bundles go: a folder in which each bundle appears under its name only when it is whole.

A bundle at work lies in ``.<name>.partial`` beside its final place. What is whole in there is listed in its
``progress.json``, so a killed run is taken up where it stopped. `FolderStore` writes on this machine; a store that
delivers to another one offers the same methods.
"""
import hashlib
import json
import os

from ..bundles import reading, removal
from ..storage import fsinfo, model
from .sink import FileSink, SinkError, make_private

PARTIAL = '.partial'
PROGRESS = b'progress.json'


class FolderStore(object):
    """Bundles below DEST/HOST (bytes). Nothing is made before :meth:`prepare`."""

    def __init__(self, dest, host):
        self.path = os.path.join(dest, host)
        self._seen = {}                 # files that several bundles have are read once

    def prepare(self):
        """Make the folders, 0700. Raises model.LifeboatError where they can't be made or written."""
        try:
            make_private(self.path)
        except OSError as exc:
            raise model.LifeboatError('The folder %s cannot be made: %s. Choose another dest.' % (
                model.text(self.path), exc.strerror or exc))
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise model.LifeboatError('The folder %s cannot be written by this user. Choose another dest or use become: true.'
                                      % model.text(self.path))

    def bundle_path(self, name):
        return os.path.join(self.path, os.fsencode(name))

    def images(self):
        """An imagestore.ImageStore: where layers that several bundles have in common lie once."""
        from . import imagestore        # and all that knows layers: only for who asks for images
        return imagestore.ImageStore(os.path.join(self.path, imagestore.NAME))

    def ask(self, names, blobs=()):
        """Where it costs time to learn what is there: which bundles and which layers (digests) will be asked for."""

    def free(self):
        """Bytes of room. OSError."""
        return fsinfo.free(self.path).bytes

    def manifest(self, name):
        """The manifest of the bundle that is there, {} if there is none."""
        return manifest_of(self.bundle_path(name))

    def verified(self, name):
        """The same if everything of the bundle was found to be whole; else None."""
        path = self.bundle_path(name)
        if not os.path.isdir(path):
            return None
        try:
            info = reading.inspect_bundle(path, True, self._seen)
        except model.LifeboatError:
            return None
        return info.manifest if info.status == reading.VERIFIED else None

    def begin(self, name):
        return FolderBundle(self, name)

    def settle(self):
        """After the last bundle: bring what lies beside the bundles up to date -> paths of what was changed. LifeboatError,
        OSError."""
        from . import hostfiles
        if not os.path.isdir(self.path):
            return []
        return [os.path.join(self.path, name) for name in hostfiles.refresh(self.path)]


class FolderBundle(object):
    """One bundle while it is written."""

    def __init__(self, store, name):
        self.name = name
        self.final = store.bundle_path(name)
        self.path = os.path.join(store.path, os.fsencode('.' + name + PARTIAL))
        self._store = store
        self.scratch = self.path        # a folder for temporary files
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
        except (OSError, ValueError, RecursionError):
            return {}

    def before(self):
        """The manifest of the bundle that this one replaces."""
        return self._store.manifest(self.name)

    def before_verified(self):
        return self._store.verified(self.name) is not None

    def note(self, records):
        self.write(PROGRESS.decode(), json.dumps(records).encode('utf-8'))

    def sink(self, relative, dummy_mark=None):
        """A sink for a file of the bundle; its folder is made. A mark names the source of a file that is worth going on
        with after a cut, for stores that can. Raises SinkError."""
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

    def take(self, holder, source, target, digest):
        """Take over a whole file: of what a killed run left (HOLDER None), of a finished bundle (its path), of another
        bundle of this run. False where it is not there or differs from DIGEST."""
        if not digest:
            return False
        if holder is None:
            return source == target and file_sha256(self.absolute(target)) == digest
        folder = holder if isinstance(holder, bytes) else (
            holder.path if os.path.isdir(holder.path) else holder.final)
        path = os.path.join(folder, os.fsencode(source))
        return file_sha256(path) == digest and self.adopt(path, target)

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

    def copy(self, holder, source, target, digest):
        """The same as take() where there are no hard links. OSError; False where the file differs from DIGEST."""
        folder = holder if isinstance(holder, bytes) else (
            holder.path if os.path.isdir(holder.path) else holder.final)
        path = os.path.join(folder, os.fsencode(source))
        if file_sha256(path) != digest:
            return False
        with open(path, 'rb') as found, self.sink(target) as sink:
            for piece in iter(lambda: found.read(1 << 20), b''):
                sink.write(piece)
        return True

    def make_folder(self, relative):
        """The folder of a file of the bundle (bytes). Raises SinkError."""
        return self._folder(relative)

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
        for folder, name in removal.files_below(self.path):
            relative = os.path.join(folder, name)
            if relative not in keep:
                os.unlink(os.path.join(self.path, relative))

    def discard(self):
        removal.discard(self.path)

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
                removal.discard(aside)
            os.rename(self.final, aside)
        os.rename(self.path, self.final)
        fsync_folder(self._store.path)
        if aside is not None and not keep_old:
            removal.discard(aside)
        return aside if keep_old else None


def manifest_of(path):
    """manifest.json of the bundle PATH as a dict, {} if there is none."""
    try:
        with open(os.path.join(path, b'manifest.json'), 'rb') as found:
            value = json.loads(found.read().decode('utf-8'))
        return value if isinstance(value, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def file_sha256(path):
    """SHA-256 of a file, None where it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as found:
            for piece in iter(lambda: found.read(1 << 20), b''):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()


def fsync_folder(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
