"""Copying files out as files: owners, modes, times, extended attributes, ACLs, holes, hard links; links as links.

Everything is made under the name `.NAME.DIGEST.lifeboat-part` beside its final place and gets its name when it is whole. What a
run that ended early left there is taken up: a file with the size and time of its source is whole, as the time is set last.
Every folder of the destination is opened relative to the one that holds it, without following links, so nothing that
the source holds can lead out of it.
"""
import errno
import functools
import hashlib
import os
import stat
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, Union

from ..archive import removal
from ..archive.sink import TEMPORARY
from ..archive.unpack import set_xattrs
from ..archive.write import HASHED_HOLES, data_map
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..disk.tree import Entry, Failure
from ..formats import checksums, pieces, wording
from .output import shown

if TYPE_CHECKING:
    from .progress import Meter

MAX_OPEN = 64                           # folders of the destination held open
MAX_LINKS = 1000000                     # inodes whose further names are awaited
SMALL = 128 * 1024
CHUNK = 1 << 20
ZEROS = memoryview(bytes(CHUNK))
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# what a file system says of one thing that it cannot hold: a link or a device on FAT, a name that it does not take, a file of more than 4 GiB
REFUSALS = frozenset((errno.EPERM, errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.EOPNOTSUPP, errno.ENOSYS, errno.EFBIG, errno.EMLINK,
                      errno.EEXIST, errno.ENOENT))
MEASURE_AFTER = 1.0                     # seconds; what is copied within needs no progress


class Options(NamedTuple):
    """IDMAP: owners as the container saw them, None to keep those of the disk. SUMS: binary file for lines of sha256sum."""
    idmap: Any = None
    devices: bool = False
    owners: bool = True                 # needs root
    sums: Any = None


class Counts(object):
    """What was done, and what of it is not as in the source."""

    def __init__(self) -> None:
        self.files = self.bytes = self.kept = 0
        self.devices = self.attributes = self.sockets = self.split_links = self.owners = 0


class Refused(str):
    """Why DEST does not take one thing, as a sentence."""


class _Unreadable(Exception):
    """Something of the source; `error` is its OSError."""

    def __init__(self, error: OSError) -> None:
        super(_Unreadable, self).__init__(error)
        self.error = error


def temporary(name: bytes, source: str) -> bytes:
    """Name (bytes) under which NAME is made. SOURCE: text that tells this source from others."""
    return b'.%b.%b%b' % (name[:180], hashlib.sha256(source.encode('utf-8', 'surrogateescape')).hexdigest()[:12].encode('ascii'), TEMPORARY)


class Copy(object):
    """One file or folder to one place: file() or folder() makes it under its temporary name, finish() gives it its own.

    PARENT: descriptor of the destination's folder; NAME: the final name in it, b'' where what is in the folder goes into PARENT.
    SOURCE: text that tells this source from others. FAILED(path, error or sentence) is called for what cannot be read; METER:
    progress.Meter.
    """

    def __init__(self, parent: int, name: bytes, source: str, options: Options, failed: Callable[[bytes, Union[OSError, str]], Any],
                 meter: 'Meter', counts: Counts) -> None:
        self._parent = parent           # descriptor of the destination's folder
        self._name = name
        self._temporary = temporary(name or b'contents', source)
        self._options = options
        self._failed = failed
        self._meter = meter
        self.counts = counts
        self._resumed = False
        self._root: Optional[int] = None
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._pending = []              # folders that are not finished: (path, stat, xattrs, names)
        self._links: Dict[Tuple[int, int], bytes] = {}
        self._late: List[Tuple[bytes, Tuple[int, int]]] = []  # (path, atime, mtime) of files that are not as in the source
        self._skip = 0                  # bytes before the paths of entries
        self._measure: Optional[Callable[[], Any]] = None
        self._until = time.monotonic() + MEASURE_AFTER
        self._sums: List[Tuple[str, bytes]] = []
        self._refused: Optional[bytes] = None       # the folder that DEST does not take: nothing below it can be
        self._there: Tuple[Optional[bytes], Set[bytes]] = (None, set())     # the names in one folder when it was first asked for

    # -- entry points

    def file(self, entry: Entry) -> bool:
        """Copy an Entry that is no folder."""
        name = self._temporary
        self._root, self._skip = self._parent, len(entry.path)
        removal.remove(name, self._parent)
        try:
            made = self._one(entry, b'', self._parent, name, self._name)
            self._settle()
            return made
        except BaseException:
            removal.remove(name, self._parent)
            raise

    def folder(self, root: Entry, entries: Iterable[Union[Entry, Failure]], skip: int, measure: Callable[[], Any]) -> None:
        """Copy the folder ROOT (Entry) with ENTRIES (Entry and Failure) of all below it; SKIP bytes of their paths are those of
        ROOT. MEASURE() -> bytes that are to be copied."""
        self._skip, self._measure = skip, measure
        try:
            os.mkdir(self._temporary, 0o700, dir_fd=self._parent)
        except FileExistsError:
            self._resumed = True
        self._root = os.open(self._temporary, FOLDER, dir_fd=self._parent)
        try:
            if os.fstat(self._root).st_uid != os.geteuid():
                raise LifeboatError('%s is there and belongs to somebody else. Remove it, or choose another destination'
                                    % shown(self._temporary))
            self._settable(functools.partial(os.fchmod, self._root, 0o700))
            self._pending.append((b'', root.st, self._xattrs(root), set()))
            for item in entries:
                if isinstance(item, Failure):
                    self._failed(item.path, item.error)
                else:
                    self._add(item)
            self._finish(b'')
            self._settle()
            self._apply(self._root, *self._pending.pop()[1:3])
        finally:
            for fd in self._open.values():
                os.close(fd)
            self._open.clear()
            os.close(self._root)

    def names(self) -> List[bytes]:
        """The final names (bytes) that finish() will give."""
        if self._name:
            return [self._name]
        fd = os.open(self._temporary, FOLDER, dir_fd=self._parent)
        try:
            return sorted(map(os.fsencode, os.listdir(fd)))
        finally:
            os.close(fd)

    def finish(self, force: bool) -> List[Tuple[bytes, Optional[bytes]]]:
        """Give everything its name -> [(name, what was there and how it is called now)]. FORCE: rename what is there; without
        it LifeboatError."""
        names, aside = self.names(), []
        for name in names:
            if exists(self._parent, name) is not None:
                if not force:
                    raise LifeboatError('There is %s already. Choose another DEST, or --force, which renames it' % shown(name))
                aside.append((name, set_aside(self._parent, name)))
        if self._name:
            os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            return aside
        fd = os.open(self._temporary, FOLDER, dir_fd=self._parent)
        try:
            self._settable(functools.partial(os.fchmod, fd, 0o700))
            for name in names:
                os.rename(name, name, src_dir_fd=fd, dst_dir_fd=self._parent)
        finally:
            os.close(fd)
        os.rmdir(self._temporary, dir_fd=self._parent)
        return aside

    def discard(self) -> None:
        """Remove a single file that will not get its name. A folder stays, for the next run."""
        there = exists(self._parent, self._temporary)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            removal.remove(self._temporary, self._parent)

    # -- folders

    def _top(self) -> int:
        if self._root is None:
            raise AssertionError('folder() opened it')
        return self._root

    def _descriptor(self, path: bytes) -> int:
        """Descriptor of the folder PATH (relative to what is made), opened part by part."""
        if not path:
            return self._top()
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        parent, dummy, name = path.rpartition(b'/')
        if parent in self._open or not parent:
            fd = os.open(name, FOLDER, dir_fd=self._open.get(parent, self._top()))
        else:
            fd = self._walk(path)
        self._open[path] = fd
        while len(self._open) > MAX_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def _walk(self, path: bytes) -> int:
        fd = os.dup(self._top())
        for name in path.split(b'/'):
            try:
                inner = os.open(name, FOLDER, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def _add(self, entry: Entry) -> None:
        path = entry.path[self._skip:]
        parent, dummy, name = path.rpartition(b'/')
        if self._refused is not None and path.startswith(self._refused + b'/'):
            return
        if parent != self._pending[-1][0]:
            self._finish(parent)
        self._pending[-1][3].add(name)
        folder = self._descriptor(parent)
        if not stat.S_ISDIR(entry.st.st_mode):
            self._one(entry, path, folder, name, path)
            self._tell(entry)
            return
        try:
            self._make_folder(path, folder, name)
        except OSError as exc:
            if exc.errno not in REFUSALS:
                raise
            self._refused = path
            self._failed(entry.path, _refusal(exc, ' and what is in it'))
            return
        self._pending.append((path, entry.st, self._xattrs(entry), set()))

    def _make_folder(self, path: bytes, folder: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            self._ours(path, folder, name)
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                removal.remove(name, folder)
                os.mkdir(name, 0o700, dir_fd=folder)
            else:
                self._settable(functools.partial(os.chmod, name, 0o700, dir_fd=folder))

    def _ours(self, path: bytes, folder: int, name: bytes) -> None:
        """FileExistsError where what has the NAME in FOLDER is not what an earlier run left under it, but something else of the source, whose
        name the file system of DEST takes for the same one. It must not be replaced."""
        if path and not (self._resumed and name in self._listed(path, folder)):
            raise FileExistsError(errno.EEXIST, 'its name is the same as that of another one there, which DEST does not tell apart')

    def _listed(self, path: bytes, folder: int) -> Set[bytes]:
        parent = path.rpartition(b'/')[0]
        if self._there[0] != parent:
            self._there = parent, set(map(os.fsencode, os.listdir(folder)))
        return self._there[1]

    def _finish(self, parent: bytes) -> None:
        """Folders that are through, the deepest first, so that no later change touches their times again."""
        while self._pending[-1][0] != parent:
            path, st, xattrs, names = self._pending.pop()
            fd = self._descriptor(path)
            self._drop(fd, names)
            self._apply(fd, st, xattrs)
            os.close(self._open.pop(path))

    def _drop(self, fd: int, names: Set[bytes]) -> None:
        """What an earlier run left that the source does not have any more."""
        for name in map(os.fsencode, os.listdir(fd)) if self._resumed else ():
            if name not in names:
                removal.remove(name, fd)

    def _settle(self) -> None:
        """What comes last: times of files that are not as in the source, names that are gone, sums."""
        if self._pending:
            self._drop(self._top(), self._pending[0][3])
        for path, times in self._late:
            parent, dummy, name = path.rpartition(b'/')
            os.utime(name or self._temporary, ns=times, dir_fd=self._descriptor(parent), follow_symlinks=False)
        self._write_sums()

    # -- what is no folder

    def _one(self, entry: Entry, path: bytes, folder: int, name: bytes, shown_path: bytes) -> bool:
        """Make one file, link or special file; False if it cannot be."""
        st = entry.st
        kind = stat.S_IFMT(st.st_mode)
        if kind == stat.S_IFSOCK:
            self.counts.sockets += 1    # nobody listens any more
            if not path:
                self._failed(entry.path, 'it is a socket, which has no content')
            return False
        try:
            if st.st_nlink > 1 and self._linked(st, path, folder, name):
                self.counts.files += kind == stat.S_IFREG
                return True
            folder = self._descriptor(path.rpartition(b'/')[0]) if path else folder
            if kind == stat.S_IFREG:
                self._file(entry, path, folder, name, shown_path)
            elif not self._special(entry, kind, path, folder, name):
                return False
        except _Unreadable as exc:
            self._failed(entry.path, exc.error)
            removal.remove(name, folder)
            return False
        except OSError as exc:
            if exc.errno not in REFUSALS:
                raise
            self._failed(entry.path, _refusal(exc))
            if exc.errno not in (errno.EEXIST, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT, errno.EINVAL):
                removal.remove(name, folder)
            return False
        if st.st_nlink > 1:
            if len(self._links) < MAX_LINKS:
                self._links[st.st_dev, st.st_ino] = path
            else:
                self.counts.split_links += 1
        return True

    def _linked(self, st: os.stat_result, path: bytes, folder: int, name: bytes) -> bool:
        first = self._links.get((st.st_dev, st.st_ino))
        if first is None or first == path:
            return False
        parent, dummy, old = first.rpartition(b'/')
        source = self._descriptor(parent)
        folder = self._descriptor(path.rpartition(b'/')[0])     # looking up the first may have closed it
        source = self._descriptor(parent)
        try:
            os.link(old, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            self._ours(path, folder, name)
            removal.remove(name, folder)
            os.link(old, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in REFUSALS:
                raise
            self.counts.split_links += 1        # no hard links there, or no more of them: a copy
            return False
        return True

    def _special(self, entry: Entry, kind: int, path: bytes, folder: int, name: bytes) -> bool:
        st = entry.st
        if kind in (stat.S_IFCHR, stat.S_IFBLK) and not (self._options.devices and self._options.owners):
            self.counts.devices += 1
            return False
        target = b''
        if kind == stat.S_IFLNK:
            try:
                target = entry.readlink()
            except OSError as exc:
                raise _Unreadable(exc)
        if exists(folder, name) is not None:
            self._ours(path, folder, name)
            removal.remove(name, folder)
        if kind == stat.S_IFLNK:
            os.symlink(target, name, dir_fd=folder)
        elif kind == stat.S_IFIFO:
            os.mkfifo(name, 0o600, dir_fd=folder)
        else:
            os.mknod(name, kind | 0o600, st.st_rdev, dir_fd=folder)
        node = b'/proc/self/fd/%d/%s' % (folder, name)
        if self._options.owners:
            self._settable(functools.partial(os.chown, name, *self._ids(st), dir_fd=folder, follow_symlinks=False))
        if kind != stat.S_IFLNK:
            made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                if safeio.has_proc():
                    os.chmod('/proc/self/fd/%d' % made, self._mode(st))
                else:                   # a bare chroot, where nobody else runs
                    os.chmod(name, self._mode(st), dir_fd=folder)
            finally:
                os.close(made)
        self._set_xattrs(node, self._xattrs(entry))
        os.utime(name, ns=_times(st), dir_fd=folder, follow_symlinks=False)
        return True

    def _file(self, entry: Entry, path: bytes, folder: int, name: bytes, shown_path: bytes) -> None:
        st = entry.st
        if self._resumed and self._options.sums is None and self._is_whole(st, path, folder, name):
            self.counts.kept += 1
            self.counts.files += 1
            self.counts.bytes += st.st_size
            return
        try:
            source = entry.open()
        except OSError as exc:
            raise _Unreadable(exc)
        try:
            try:
                target = os.open(name, NEW, 0o600, dir_fd=folder)
            except FileExistsError:
                self._ours(path, folder, name)
                removal.remove(name, folder)
                target = os.open(name, NEW, 0o600, dir_fd=folder)
            try:
                digest = hashlib.sha256() if self._options.sums is not None else None
                clean = self._data(source, target, st, entry.path, digest)
                self._apply(target, st, self._xattrs(entry, source), clean)
                if not clean:
                    self._late.append((path, _times(st)))
            finally:
                os.close(target)
        finally:
            os.close(source)
        if digest is not None:
            self._sum(digest.hexdigest(), shown_path)
        self.counts.files += 1
        self.counts.bytes += st.st_size

    def _is_whole(self, st: os.stat_result, path: bytes, folder: int, name: bytes) -> bool:
        """True if an earlier run made it: the time was set last."""
        try:
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if path and name not in self._listed(path, folder):
            return False                # of another name, which DEST takes for this one
        return stat.S_ISREG(there.st_mode) and (there.st_size, there.st_mtime_ns) == (st.st_size, st.st_mtime_ns)

    # -- data

    def _data(self, source: int, target: int, st: os.stat_result, path: bytes, digest: 'Optional[hashlib._Hash]') -> bool:
        """True if every byte is as in the source."""
        size = st.st_size
        if size <= SMALL and st.st_blocks * 512 >= size:
            try:
                data = os.read(source, size)
            except OSError:
                data = b''
            if len(data) == size:
                if digest is not None:
                    digest.update(data)
                _write(target, data)
                self._meter.done += size
                return True
            os.lseek(source, 0, os.SEEK_SET)
        clean, position = True, 0
        extents = data_map(source, size) if st.st_blocks * 512 < size and size > pieces.PAGE else [(0, size)]
        if digest is not None and size - sum(length for dummy, length in extents) > HASHED_HOLES:
            digest = None
        for start, length in extents:
            _hash_zeros(digest, start - position)
            clean = self._range(source, target, start, start + length, path, digest) and clean
            position = start + length
        _hash_zeros(digest, size - position)
        if not extents or position < size:
            os.ftruncate(target, size)
        return clean

    def _range(self, source: int, target: int, start: int, end: int, path: bytes, digest: 'Optional[hashlib._Hash]') -> bool:
        """Bytes from START to END. True if all were read."""
        at = start
        if digest is None:
            os.lseek(target, start, os.SEEK_SET)
            try:
                while at < end:
                    done = os.sendfile(target, source, at, min(end - at, 16 * CHUNK))
                    if not done:
                        break
                    at += done
                    self._meter.done += done
                    self._measured()
            except OSError as exc:
                if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
        os.lseek(target, at, os.SEEK_SET)
        clean = True
        while at < end:                 # with sums, and around what sendfile could not read
            try:
                data = os.pread(source, min(CHUNK, end - at), at)
            except OSError:
                data, good = self._salvage(source, at, min(CHUNK, end - at), path)
                clean = clean and good
            if not data:
                self._failed(path, 'became shorter while it was read, %s are zeros' % (wording.number(end - at, 'byte')))
                os.ftruncate(target, end)
                return False
            if digest is not None:
                digest.update(data)
            _write(target, data)
            at += len(data)
            self._meter.done += len(data)
            self._measured()
        return clean

    def _salvage(self, source: int, at: int, length: int, path: bytes) -> Tuple[bytes, bool]:
        """(bytes, whether all were read) page by page; zeros for pages that cannot be read."""
        lost = []
        data = pieces.salvaged(source, at, length, lambda *page: lost.append(page))
        if lost:
            self._failed(path, 'from byte %d on, %s cannot be read and are zeros: %s' % (
                lost[0][0], wording.number(sum(end - start for start, end, dummy in lost), 'byte'), lost[-1][2].strerror))
        return data, not lost

    def _measured(self) -> None:
        """Where it takes longer, count how much there is."""
        if self._measure is not None and time.monotonic() > self._until:
            measure, self._measure = self._measure, None
            self._meter.total = measure()

    def _tell(self, entry: Entry) -> None:
        if self._measure is not None and not self.counts.files & 255:
            self._measured()
        self._meter.label = entry.path

    # -- what belongs to each

    def _ids(self, st: os.stat_result) -> Tuple[int, int]:
        idmap = self._options.idmap
        return (st.st_uid, st.st_gid) if idmap is None else idmap.to_container(st.st_uid, st.st_gid)

    def _mode(self, st: os.stat_result) -> int:
        mode = stat.S_IMODE(st.st_mode)
        # set-user-ID of another user than the owner would be a present to us
        return mode if self._options.owners else mode & ~(stat.S_ISUID | stat.S_ISGID)

    def _xattrs(self, entry: Entry, fd: Optional[int] = None) -> Dict[str, bytes]:
        try:
            found = entry.xattrs(fd)
        except OSError as exc:
            self._failed(entry.path, 'extended attributes cannot be read: %s' % (exc.strerror or exc))
            return {}
        return found if self._options.idmap is None or not found else self._options.idmap.xattrs(found)

    def _set_xattrs(self, where: Union[bytes, int], xattrs: Dict[str, bytes]) -> None:
        self.counts.attributes += sum(1 for dummy in set_xattrs(where, xattrs))

    def _apply(self, fd: int, st: os.stat_result, xattrs: Dict[str, bytes], clean: bool = True) -> None:
        """Owner, mode, attributes and, last of all, times of an open file or folder."""
        if self._options.owners:
            self._settable(functools.partial(os.fchown, fd, *self._ids(st)))
        self._settable(functools.partial(os.fchmod, fd, self._mode(st)))
        if xattrs:
            self._set_xattrs(fd, xattrs)
        if clean:
            os.utime(fd, ns=_times(st))

    def _settable(self, set_it: Callable[[], None]) -> None:
        """Owner or mode. Where the file system of DEST has none (FAT), or gives them by itself (NFS), the content is kept all the same."""
        try:
            set_it()
        except OSError as exc:
            if exc.errno not in REFUSALS:
                raise
            self.counts.owners += 1

    # -- sums

    def _sum(self, digest: str, path: bytes) -> None:
        self._sums.append((digest, path))
        if len(self._sums) > 500:
            self._write_sums()

    def _write_sums(self) -> None:
        if self._sums:
            self._options.sums.write(checksums.lines(self._sums))
            del self._sums[:]


def _refusal(exc: OSError, more: str = '') -> Refused:
    # some file systems say of a name with a character that they do not have that it is not there
    return Refused('DEST cannot hold it%s: %s' % (more, 'it does not take this name' if exc.errno == errno.ENOENT else exc.strerror or exc))


def _times(st: os.stat_result) -> Tuple[int, int]:
    return st.st_atime_ns, st.st_mtime_ns


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def _hash_zeros(digest: 'Optional[hashlib._Hash]', count: int) -> None:
    while digest is not None and count > 0:
        digest.update(ZEROS[:min(count, CHUNK)])
        count -= CHUNK


def exists(folder: int, name: bytes) -> Optional[os.stat_result]:
    """The lstat of NAME in the open FOLDER, None if there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def set_aside(folder: int, name: bytes) -> Optional[bytes]:
    """Rename what is called NAME to NAME.until-TIME -> the new name."""
    aside = name[:220] + b'.until-' + time.strftime('%Y%m%dT%H%M%SZ', time.gmtime()).encode('ascii')
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    return aside
