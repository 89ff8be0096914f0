"""Where bundles go: a folder in which each bundle appears under its name only when it is whole.

A bundle at work lies in ``.<name>.partial`` beside its final place. What is whole in there is listed in its
``progress.json``, so a killed run is taken up where it stopped. `FolderStore` writes on this machine; a store that
delivers to another one offers the same methods.
"""
import contextlib
import json
import os
import stat
import time
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from ..archive import place, removal
from ..archive.sink import FileSink, SinkError
from ..disk import fsinfo, safeio
from ..disk.errors import LifeboatError
from ..formats import pieces, wording
from . import holder as holders, reading, swap

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    from ..archive.sink import Sink
    from ..images.store import ImageStore

    class Bundle(Protocol):
        """A bundle while it is written: FolderBundle, or one on the controller."""
        scratch: Optional[bytes]
        final: bytes

        def progress(self) -> Dict[str, Any]:
            ...

        def before(self) -> Dict[str, Any]:
            ...

        def before_verified(self) -> bool:
            ...

        def note(self, records: Dict[str, Any]) -> None:
            ...

        def sink(self, __relative: str, __mark: Optional[str] = None) -> Sink:
            ...

        def write(self, relative: str, data: bytes) -> None:
            ...

        def take(self, holder: Any, source: str, target: str, digest: Optional[str]) -> bool:
            ...

        def adopt(self, source: bytes, relative: str) -> bool:
            ...

        def drop_others(self, wanted: Iterable[str]) -> None:
            ...

        def discard(self) -> None:
            ...

        def finish(self, __keep_old: str) -> Optional[bytes]:
            ...

if TYPE_CHECKING:
    class Store(Protocol):
        """Where a run's bundles go: FolderStore, or the controller's folder."""
        path: bytes

        def prepare(self) -> None:
            ...

        def lock(self) -> None:
            ...

        def bundle_path(self, name: str) -> bytes:
            ...

        def images(self) -> ImageStore:
            ...

        def ask(self, names: Iterable[str], blobs: Iterable[str] = ()) -> None:
            ...

        def free(self) -> int:
            ...

        def manifest(self, name: str) -> Dict[str, Any]:
            ...

        def verified(self, name: str) -> Optional[Dict[str, Any]]:
            ...

        def leave(self, name: str) -> None:
            ...

        def begin(self, name: str) -> Bundle:
            ...

        def settle(self) -> List[bytes]:
            ...

PARTIAL = reading.UNFINISHED.decode()
PROGRESS = b'progress.json'
MANIFEST = b'manifest.json'


class FolderStore(object):
    """Bundles below DEST/HOST (bytes). Nothing is made before :meth:`prepare`. The folder is opened once; all below is opened
    relative to it, see place.py."""

    def __init__(self, dest: bytes, host: bytes) -> None:
        self.path = os.path.join(dest, host)
        self._dest = dest
        self._host = host
        self._fd: Optional[int] = None
        self._holder: Optional[holders.Holder] = None
        self._seen: Dict[Tuple[int, int, int, int], str] = {}  # files that several bundles have are read once

    def folder(self, make: bool = False) -> Optional[int]:
        """The descriptor of the folder of this host, valid until close(); None where it is missing and not to be made. Raises
        LifeboatError where it is a link, or belongs to another user."""
        if self._fd is None and (make or os.path.lexists(self.path)):
            dest = place.open_dest(self._dest, make)
            try:
                self._fd = place.subfolder(dest, self._host, make)
            finally:
                os.close(dest)
        return self._fd

    def made(self) -> int:
        """The same, made where it is missing."""
        fd = self.folder(True)
        if fd is None:
            raise AssertionError('folder() raises where it cannot be made')
        return fd

    def prepare(self) -> None:
        """Make the folders, 0700. Raises LifeboatError where they can't be made or written."""
        if not os.access(b'.', os.W_OK | os.X_OK, dir_fd=self.folder(True)):
            raise LifeboatError('The folder %s cannot be written by this user. Choose another dest or use become: true.'
                                % wording.text(self.path))

    def lock(self, patience: float = holders.PATIENCE) -> None:
        """Keep other rescues out of the folder, if it is there, until close(); then end what a killed one began. Raises
        LifeboatError with the process that has it."""
        fd = self.folder()
        if fd is None or self._holder is not None:
            return
        holder = holders.Holder(fd)
        holder.hold(patience)
        self._holder = holder
        for name in sorted(map(os.fsencode, os.listdir(fd))):
            if swap.unfinished(fd, name):
                final = name[1:-len(PARTIAL)] if _is_partial(name) else name
                with contextlib.suppress(LifeboatError):      # begin() says it, for this bundle
                    self.recover(final)

    def recover(self, name: bytes) -> None:
        """End what a killed run began with the bundle NAME (bytes). Raises LifeboatError."""
        try:
            fd = self.folder()
            if fd is not None:
                swap.recover(fd, _partial(name), name)
        except OSError as exc:
            raise SinkError(os.path.join(self.path, name), exc)

    def close(self) -> None:
        if self._holder is not None:
            self._holder.release()
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._holder = None

    def bundle_path(self, name: str) -> bytes:
        return os.path.join(self.path, os.fsencode(name))

    def images(self) -> 'ImageStore':
        """An imagestore.ImageStore: where layers that several bundles have in common lie once."""
        from ..images import store as imagestore  # and all that knows layers: only when images are rescued
        return imagestore.ImageStore(os.path.join(self.path, imagestore.NAME), None, self.folder)

    def ask(self, names: Iterable[str], blobs: Iterable[str] = ()) -> None:
        """Where it costs time to learn what is there: which bundles and which layers (digests) will be asked for."""

    def free(self) -> int:
        """Bytes of room. OSError."""
        return fsinfo.free(self.path).bytes

    def entry(self, name: bytes) -> Optional[int]:
        """A descriptor of the folder NAME of this store, None where it is missing. Raises LifeboatError."""
        fd = self.folder()
        return None if fd is None else place.subfolder(fd, name, False)

    def manifest(self, name: str) -> Dict[str, Any]:
        """The manifest of the bundle that is there, {} if there is none."""
        try:
            return _json(self.entry(os.fsencode(name)), MANIFEST)
        except LifeboatError:     # not ours: begin() says it
            return {}

    def verified(self, name: str) -> Optional[Dict[str, Any]]:
        """The same if everything of the bundle was found to be whole; else None."""
        try:
            fd = self.entry(os.fsencode(name))
            if fd is None:
                return None
            os.close(fd)
            info = reading.inspect_bundle(self.bundle_path(name), True, self._seen)
        except LifeboatError:
            return None
        return info.manifest if info.status == reading.VERIFIED else None

    def leave(self, name: str) -> None:
        """The bundle NAME that is there needs nothing: what a killed run left beside it is of no use any more."""
        fd = self.folder()
        if fd is not None:
            removal.discard(_partial(os.fsencode(name)), fd)

    def begin(self, name: str) -> 'FolderBundle':
        return FolderBundle(self, name)

    def settle(self) -> List[bytes]:
        """After the last bundle: bring what lies beside the bundles up to date -> paths of what was changed. LifeboatError,
        OSError."""
        from . import hostfiles
        if self.folder() is None:
            return []
        return [os.path.join(self.path, name) for name in hostfiles.refresh(self.path)]


class FolderBundle(object):
    """One bundle while it is written. Raises LifeboatError where its names in the store are in other hands."""

    def __init__(self, store: FolderStore, name: str) -> None:
        self.name = name
        self.final = store.bundle_path(name)
        self._final = os.fsencode(name)
        self._partial = _partial(self._final)
        self.path = os.path.join(store.path, self._partial)
        self._store = store
        self.scratch: Optional[bytes] = self.path       # a folder for temporary files
        store.recover(self._final)
        there = store.entry(self._final)
        if there is not None:
            os.close(there)
        with self._opened() as fd:
            os.fchmod(fd, 0o700)

    @contextlib.contextmanager
    def _opened(self, relative: bytes = b'') -> Iterator[int]:
        """A descriptor of the folder RELATIVE of the bundle at work, which is made. Raises SinkError, LifeboatError."""
        try:
            top = place.subfolder(self._store.made(), self._partial)
            if top is None:
                raise AssertionError('it is made')
            try:
                fd = place.subfolders(top, relative)
                if fd is None:
                    raise AssertionError('it was made')
            finally:
                os.close(top)
        except OSError as exc:
            raise SinkError(os.path.join(self.path, relative), exc)
        try:
            yield fd
        finally:
            os.close(fd)

    def descriptor(self) -> Optional[int]:
        """A descriptor of the bundle's folder, while it is written or when it has its name; None when it was discarded."""
        fd = place.subfolder(self._store.made(), self._partial, False)
        return self._store.entry(self._final) if fd is None else fd

    def progress(self) -> Dict[str, Any]:
        """{component name: its record} of what a killed run left whole."""
        with self._opened() as fd:
            return _json(os.dup(fd), PROGRESS)

    def before(self) -> Dict[str, Any]:
        """The manifest of the bundle that this one replaces."""
        return self._store.manifest(self.name)

    def before_verified(self) -> bool:
        return self._store.verified(self.name) is not None

    def note(self, records: Dict[str, Any]) -> None:
        self.write(PROGRESS.decode(), json.dumps(records).encode('utf-8'))

    def sink(self, relative: str, dummy_mark: Optional[str] = None) -> FileSink:
        """A sink for a file of the bundle; its folder is made. A mark names the source of a file that is worth going on
        with after a cut, for stores that can. Raises SinkError."""
        folder, name = os.path.split(os.fsencode(relative))
        with self._opened(folder) as fd:
            return FileSink(fd, name, shown=os.path.join(self.path, folder))

    def write(self, relative: str, data: bytes) -> None:
        """A small file, whole or not at all."""
        with self.sink(relative) as sink:
            sink.write(data)

    def take(self, holder: Any, source: str, target: str, digest: Optional[str]) -> bool:
        """Take over a whole file: of what a killed run left (HOLDER None), of a finished bundle (its path), of another
        bundle of this run. False where it is not there or differs from DIGEST."""
        if not digest or holder is None and source != target:
            return False
        with self._held(self if holder is None else holder, source) as held:
            if held is None or _sha256_at(*held) != digest:
                return False
            return holder is None or self._link(held[1], target, held[0])

    def adopt(self, source: bytes, relative: str) -> bool:
        """Take over a whole file of this run or of an earlier bundle by a hard link; False where that can't be done."""
        return self._link(source, relative)

    def copy(self, holder: 'FolderBundle', source: str, target: str, digest: Optional[str]) -> bool:
        """The same as take() where there are no hard links. OSError; False where the file differs from DIGEST."""
        with self._held(holder, source) as held:
            if held is None or _sha256_at(*held) != digest:
                return False
            fd = safeio.openat(held[1], held[0])
        with os.fdopen(fd, 'rb') as found, self.sink(target) as sink:
            pieces.hashed(found, sink.write)
        return True

    @contextlib.contextmanager
    def _held(self, holder: 'Union[bytes, FolderBundle]', source: str) -> Iterator[Optional[Tuple[int, bytes]]]:
        """(descriptor of its folder, its name) of the file SOURCE in HOLDER, a path in this store or a bundle; None where there is
        no such folder, or one that is not ours."""
        top = fd = None
        inner, name = os.path.split(os.fsencode(source))
        try:
            top = self._store.entry(os.path.basename(holder)) if isinstance(holder, bytes) else holder.descriptor()
            fd = None if top is None else place.subfolders(top, inner, False)
        except LifeboatError:
            pass
        finally:
            if top is not None:
                os.close(top)
        try:
            yield None if fd is None else (fd, name)
        finally:
            if fd is not None:
                os.close(fd)

    def _link(self, source: bytes, relative: str, source_fd: Optional[int] = None) -> bool:
        folder, name = os.path.split(os.fsencode(relative))
        with self._opened(folder) as fd:
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
                os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
            except OSError:
                return False
            try:
                st = place.check_owned(fd, name)
            except LifeboatError:
                st = None
            if st is not None and stat.S_ISREG(st.st_mode):
                return True
            os.unlink(name, dir_fd=fd)  # a link or another user's file: he could change it later
            return False

    def absolute(self, relative: str) -> bytes:
        return os.path.join(self.path, os.fsencode(relative))

    def drop_others(self, wanted: Iterable[str]) -> None:
        """Remove what does not belong into the bundle: leftovers of an earlier run with other options."""
        keep = {}                       # folder: names in it
        for path in map(os.fsencode, wanted):
            while path:
                folder, name = os.path.split(path)
                keep.setdefault(folder, set()).add(name)
                path = folder
        for folder in sorted(keep):     # each after the one that holds it
            with self._opened(folder) as fd:
                for name in map(os.fsencode, os.listdir(fd)):
                    if name not in keep[folder]:
                        removal.remove(name, fd)

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            removal.remove(self._partial, self._store.made())

    def finish(self, keep_old: str) -> Optional[bytes]:
        """Give the bundle its name. KEEP_OLD: an older bundle there stays beside it, with this suffix; '' replaces it. -> Path of the
        older one, if it stays. Raises SinkError, LifeboatError; then the older bundle has its name, or the next run ends what
        was begun."""
        parked = self._final + os.fsencode(keep_old or '.until-' + time.strftime('%Y%m%dT%H%M%SZ', time.gmtime()))
        try:
            with self._opened() as fd:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(PROGRESS, dir_fd=fd)
            stayed = swap.finish(self._store.made(), self._partial, self._final, parked, bool(keep_old))
        except OSError as exc:
            raise SinkError(self.final, exc)
        return None if stayed is None else os.path.join(self._store.path, stayed)


def _partial(name: bytes) -> bytes:
    return b'.' + name + PARTIAL.encode()


def _is_partial(name: bytes) -> bool:
    return name.startswith(b'.') and name.endswith(PARTIAL.encode())


def _json(folder: Optional[int], name: bytes) -> Dict[str, Any]:
    """A dict from the file NAME in the open folder FOLDER, which is closed; {} if there is none."""
    if folder is None:
        return {}
    try:
        fd = safeio.openat(name, folder)
        try:
            value = json.loads(safeio.read_all(fd).decode('utf-8'))
        finally:
            os.close(fd)
        return value if isinstance(value, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
    finally:
        os.close(folder)


def _sha256_at(folder: int, name: bytes) -> Optional[str]:
    """SHA-256 of a regular file of ours in the open folder FOLDER, None where there is none or it can't be read."""
    try:
        fd = safeio.openat(name, folder)
        with os.fdopen(fd, 'rb') as found:
            return pieces.hashed(found)[0].hexdigest() if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None
