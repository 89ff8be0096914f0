"""Entries of a tree -> one tar stream, with the checksums of its files, in one pass over the data.

The archive is always well-formed, whatever the disk or a running container does meanwhile: a member has exactly the
size that its header says, what could not be read is zeros, and every such place is told in the result.
"""
import errno
import functools
import hashlib
import os
import stat
import struct
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

from ..disk.tree import Entry, Failure
from ..formats import checksums, pieces, tarwriter, whiteouts, wording
from ..layers import idmap as ids

if TYPE_CHECKING:
    from ..formats.pieces import Writable

TREE = 'tree'                           # a merged view, a volume, a bind mount
LAYER = 'layer'                         # an OCI layer: deletions as .wh.NAME

MAX_LISTED = 1000                       # of each kind in a Result; all are counted
MAX_LINKS = 100000                      # inodes whose further names are awaited: below 30 MB
MAX_EXTENTS = 16384                     # of one sparse member: Go refuses maps above 1 MiB
XATTR_ROOM = 3500                       # bytes of one file's attributes in an image layer: ext4 has one block for all of them
HASHED_HOLES = 2 << 30                 # bytes of holes of one file that are hashed; more would take minutes

_BATCH = 512 * 1024                     # handed to the writer at once
_SMALL = 128 * 1024                     # files up to here are read by one call
# Files from here on begin at multiples of the second in a tree: databases write pages of up to 16 KiB, and a repository that cuts archives into
# pieces of that size then finds each page that did not change, whatever became longer before it.
ALIGNED_FROM, ALIGNED_TO = 1 << 20, 16384
_CHUNK = 1 << 20
_ZEROS = memoryview(bytes(_CHUNK))
_SECOND = 1000000000
# what storage drivers write beside a file to say what it hides, and whose it is
_DRIVERS_OWN = ('trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.', 'user.containers.')

_SPECIAL = {stat.S_IFLNK: tarwriter.SYMLINK, stat.S_IFIFO: tarwriter.FIFO,
            stat.S_IFCHR: tarwriter.CHARACTER, stat.S_IFBLK: tarwriter.BLOCKDEV}
_STAT = struct.Struct('<??IIIQqqQ').pack


class Lost(NamedTuple):
    """One place that is not in the archive as it is on the disk."""
    path: bytes
    offset: Optional[int]               # first byte that was replaced by zeros; None: not a matter of data
    message: str


class Result(NamedTuple):
    """What was written. Lists hold the first MAX_LISTED."""
    entries: int                        # members of the archive
    files: int                          # names of regular files among them, hard links included
    source_bytes: int                   # apparent size of regular files, each inode once
    tar_bytes: int
    skipped_sockets: int
    failures: Tuple[Lost, ...]
    failures_total: int
    fingerprint: str                    # see fingerprint()
    markers: Tuple[bytes, ...] = ()     # layer: real files named .wh.*, which whoever applies it takes for deletions
    markers_total: int = 0
    split_links: int = 0                # inodes of which a further name may hold a second copy, see MAX_LINKS
    stripped: Tuple[bytes, ...] = ()    # members without some of their extended attributes, see loadable()
    stripped_total: int = 0
    attributes_by_some: int = 0         # members with attributes that not every Docker keeps


class _Listed(object):
    """A list of which only the beginning is kept."""

    def __init__(self) -> None:
        self.first: List[Any] = []
        self.total = 0

    def add(self, item: Any) -> None:
        self.total += 1
        if len(self.first) < MAX_LISTED:
            self.first.append(item)


class _Fingerprint(object):
    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._seen: List[bytes] = []

    def add(self, entry: Entry) -> None:
        st = entry.st
        seen = self._seen
        try:
            seen += (entry.path, _STAT(entry.whiteout, entry.opaque, st.st_mode, st.st_uid, st.st_gid, st.st_size,
                                       st.st_mtime_ns, st.st_ctime_ns, st.st_ino))
        except struct.error:            # a time beyond the year 2262, or none: a deletion that is no inode
            seen += (entry.path, repr((entry.whiteout, entry.opaque, st.st_mode, st.st_uid, st.st_gid, st.st_size,
                                       st.st_mtime_ns, st.st_ctime_ns, st.st_ino)).encode('ascii'))
        if len(seen) >= 2048:
            self._flush()

    def failure(self, failure: Failure) -> None:
        self._seen += (failure.path, b'failure %d %d' % (failure.error.errno or 0, failure.folder))

    def _flush(self) -> None:
        self._seen.append(b'')
        self._digest.update(b'\0'.join(self._seen))
        del self._seen[:]

    def hexdigest(self) -> str:
        self._flush()
        return self._digest.hexdigest()


def fingerprint(entries: Iterable[Union[Entry, Failure]], root_entry: Optional[Entry] = None) -> str:
    """SHA-256 (hex) over what stat tells of each of ENTRIES: ``Result.fingerprint`` without reading any data.

    Path, type, mode, ids as on the disk, size, mtime, ctime and inode, in order; equal: nothing has changed. A link's
    target is not read for it: a new target is a new inode, and reading it would change its access time.
    """
    found = _Fingerprint()
    _fill(found, entries, root_entry)
    return found.hexdigest()


def _fill(target: Any, entries: Iterable[Union[Entry, Failure]], root_entry: Optional[Entry]) -> None:
    if root_entry is not None:
        target.add(root_entry)
    for entry in entries:
        if type(entry) is Failure:  # pylint: disable=unidiomatic-typecheck
            target.failure(entry)
        else:
            target.add(entry)


def data_map(fd: int, size: int) -> List[Tuple[int, int]]:
    """[(offset, length)] of the parts of FD that hold data, ascending; what is between them and up to SIZE is holes.

    At most MAX_EXTENTS: the smallest holes count as data if there are more. [(0, SIZE)] if there is no hole or the
    file system can't tell. FD is at its start afterwards.
    """
    found = []
    smallest = 1                        # holes below this count as data
    position = 0
    try:
        while position < size:
            try:
                start = os.lseek(fd, position, os.SEEK_DATA)
            except OSError as exc:
                if exc.errno == errno.ENXIO:    # nothing but a hole up to the end
                    break
                raise
            if start >= size:
                break
            end = os.lseek(fd, start, os.SEEK_HOLE)
            if not position <= start < end:
                return [(0, size)]
            # whole blocks of the archive, whatever unit the file system has
            start -= start % tarwriter.BLOCK
            end = min(end + -end % tarwriter.BLOCK, size)
            if found and start - found[-1][1] < smallest:
                start = found.pop()[0]
            found.append((start, end))
            position = end
            while len(found) > MAX_EXTENTS:
                smallest *= 2
                found = _join(found, smallest)
    except OSError:
        return [(0, size)]
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return [(start, end - start) for start, end in found]


def _join(extents: List[Tuple[int, int]], smallest: int) -> List[Tuple[int, int]]:
    """EXTENTS, (start, end) each, without the holes that are below SMALLEST."""
    joined = extents[:1]
    for start, end in extents[1:]:
        if start - joined[-1][1] < smallest:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class Loadable(NamedTuple):
    """Extended attributes for a layer that `docker load` takes, see loadable()."""
    kept: Dict[str, bytes]
    left_out: bool                      # some are not in it
    by_some: bool                       # some are in it that not every Docker keeps


def loadable(found: Dict[str, bytes], is_link: bool = False) -> Loadable:
    """Loadable of {name: value} of one member. Tried with Docker 20.10 and 28.5 (overlay2) and 28.5 (containerd store):

    - Each attribute is set on the file in the layer's folder. Those that a storage driver reads as its own marks (the
      opaque mark of an overlay inside the container) would hide files of the image: left out.
    - Those for which the file system has no room end the loading: left out.
    - 28.5 sets the attributes of a symbolic link on its target: left out.
    - A name with '=' comes back as another one: left out.
    - The containerd store drops trusted.*, and 20.10 drops empty values: written, and told.
    - Labels and signatures of the dead host (security.selinux, security.ima) are never in a layer, the engine makes its
      own: neither written nor told.
    """
    kept: Dict[str, bytes] = {}
    left_out, by_some, room = False, False, XATTR_ROOM
    for name, value in sorted(found.items(), key=lambda item: (len(item[0]) + len(item[1]), item[0])):
        if name == ids.CAPABILITY:
            kept[name] = ids.revision2(value)
        elif name.startswith('security.'):
            continue
        elif is_link or not (name in ids.ACLS or _comes_back(name)) or len(name) + len(value) > room:
            left_out = True
        else:
            kept[name] = value
            room -= len(name) + len(value) + 20
            by_some = by_some or not value or name.startswith('trusted.')
    return Loadable(kept, left_out, by_some)


def _comes_back(name: str) -> bool:
    return name.startswith(('user.', 'trusted.')) and not name.startswith(_DRIVERS_OWN) and not any(
        part in name for part in ('=', '%3D', '%25'))


class _Links(object):
    """Inodes with several names: their first name and its digest, until the last name was seen.

    Two generations, so that names that never come (they lie outside of the tree) don't fill the memory.
    """

    def __init__(self) -> None:
        self._young: Dict[int, bytes] = {}
        self._old: Dict[int, bytes] = {}
        self._more: Dict[int, int] = {}  # names still to come where that is more than one
        self.dropped = 0

    def first(self, st: os.stat_result) -> Optional[Tuple[bytes, bytes]]:
        """(path, digest or b'') under which the inode is in the archive already, or None."""
        key = (st.st_dev << 64) + st.st_ino
        generation = self._young if key in self._young else self._old
        found = generation.get(key)
        if found is None:
            return None
        left = self._more.get(key, 1) - 1
        if left > 1:
            self._more[key] = left
        else:
            self._more.pop(key, None)
            if not left:
                del generation[key]
        return found[found[0] + 1:], found[1:found[0] + 1]

    def add(self, st: os.stat_result, path: bytes, digest: bytes) -> None:
        if len(self._young) >= MAX_LINKS // 2:
            self.dropped += len(self._old)
            for key in self._old:
                self._more.pop(key, None)
            self._old = self._young
            self._young = {}
        key = (st.st_dev << 64) + st.st_ino
        self._young[key] = b'%c%b%b' % (len(digest), digest, path)
        if st.st_nlink > 2:
            self._more[key] = st.st_nlink - 1


class _Archive(object):
    def __init__(self, writer: 'Writable', layer: bool, idmap: Optional[ids.IdMap], sums: 'Optional[Writable]',
                 whole_seconds: bool, for_loading: bool, sparse: bool, on_failure: Optional[Callable[[Lost], Any]], hashed_holes: int) -> None:
        self._writer = writer
        self._layer = layer
        self._idmap = idmap
        self._sums = sums
        self._whole_seconds = whole_seconds
        self._changes = idmap is not None or whole_seconds
        self._for_loading = for_loading
        self._sparse = sparse
        self._on_failure = on_failure
        self._hashed_holes = hashed_holes
        self._links = _Links()
        self._parts: List[bytes] = []   # of the tar stream, not yet with the writer
        self._pending = 0               # their bytes
        self._sums_of: List[Tuple[str, bytes]] = []  # (digest, path), not yet with sums
        self._buffer: Optional[memoryview] = None
        self._print = _Fingerprint()
        self._unreadable_until: Optional[Tuple[bytes, int]] = None  # (path, offset) where the last unreadable stretch ended
        self._entries = self._files = self._source_bytes = self._tar_bytes = self._sockets = 0
        self._failures = _Listed()
        self._markers = _Listed()
        self._stripped = _Listed()
        self._by_some = 0

    def close(self) -> Result:
        self._put(tarwriter.END)
        self._flush()
        return Result(self._entries, self._files, self._source_bytes, self._tar_bytes, self._sockets,
                      tuple(self._failures.first), self._failures.total, self._print.hexdigest(),
                      tuple(self._markers.first), self._markers.total,
                      self._links.dropped,
                      tuple(self._stripped.first), self._stripped.total, self._by_some)

    # --- output

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            batch = b''.join(self._parts)
            del self._parts[:]
            self._pending = 0
            self._writer.write(batch)
            self._tar_bytes += len(batch)
        if self._sums_of and self._sums is not None:
            self._sums.write(checksums.lines(self._sums_of))
            del self._sums_of[:]

    def _put_now(self, view: Union[bytes, memoryview]) -> None:
        """Large data: past the batch."""
        if self._parts:
            self._flush()
        self._writer.write(view)
        self._tar_bytes += len(view)

    # --- what went wrong

    def _lose(self, path: bytes, offset: Optional[int], message: str) -> None:
        lost = Lost(path, offset, message)
        self._failures.add(lost)
        if self._on_failure is not None:
            self._on_failure(lost)

    def failure(self, failure: Failure) -> None:
        self._print.failure(failure)
        what = 'the folder cannot be read, what is in it is missing' if failure.folder else 'cannot be read, left out'
        self._lose(failure.path, None, '%s: %s' % (what, _why(failure.error)))

    # --- entries

    def add(self, entry: Entry) -> None:
        self._print.add(entry)
        st = entry.st
        kind = st.st_mode & 0o170000
        if self._layer:
            if entry.whiteout:
                self._marker(whiteouts.whiteout_path(entry.path), int(st.st_mtime))
                return
            if whiteouts.looks_like_marker(entry.path):
                self._markers.add(entry.path)
        if kind == stat.S_IFDIR:
            self._put(self._header(entry, (entry.path or b'.') + b'/', tarwriter.FOLDER, 0, self._xattrs(entry)))
            self._entries += 1
            if entry.opaque and self._layer:
                self._marker(whiteouts.opaque_path(entry.path), 0)
        elif st.st_nlink > 1 and self._further_name(entry):
            pass
        elif kind == stat.S_IFREG:
            self._file(entry)
        elif kind == stat.S_IFSOCK:
            self._sockets += 1
        else:
            self._other(entry, kind)

    def _marker(self, name: bytes, seconds: int) -> None:
        """An empty file that says something about the layers below. Root's: id maps don't touch these."""
        self._put(tarwriter.header(name, tarwriter.REGULAR, 0o600, 0, 0, 0, seconds * _SECOND))
        self._entries += 1

    def _further_name(self, entry: Entry) -> bool:
        """True if the inode is in the archive already; then this is a hard link to it."""
        first = self._links.first(entry.st)
        if first is None:
            return False
        path, digest = first
        self._put(self._header(entry, entry.path, tarwriter.HARDLINK, 0, None, path))
        self._entries += 1
        if stat.S_ISREG(entry.st.st_mode):
            self._files += 1
            if digest:
                self._sums_of.append((digest.hex(), b'./' + entry.path))
        return True

    def _other(self, entry: Entry, kind: int) -> None:
        """Links, FIFOs, devices."""
        link = b''
        device = None
        if kind == stat.S_IFLNK:
            try:
                link = entry.readlink()
            except OSError as exc:
                self._lose(entry.path, None, 'link cannot be read, left out: %s' % _why(exc))
                return
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            number = entry.st.st_rdev
            device = (os.major(number) & tarwriter.MAX_SEVEN, os.minor(number) & tarwriter.MAX_SEVEN)
        elif kind != stat.S_IFIFO:
            self._lose(entry.path, None, 'unknown type of file (mode %o), left out' % entry.st.st_mode)
            return
        self._put(self._header(entry, entry.path, _SPECIAL[kind], 0, self._xattrs(entry), link, device))
        self._entries += 1
        if entry.st.st_nlink > 1:
            self._links.add(entry.st, entry.path, b'')

    def _header(self, entry: Entry, name: bytes, kind: bytes, size: int, xattrs: Optional[Dict[str, bytes]] = None,
                link: bytes = b'', device: Optional[Tuple[int, int]] = None, sparse: Optional[tarwriter.SparseMap] = None,
                records: bytes = b'') -> bytes:
        st = entry.st
        uid, gid, mtime = st.st_uid, st.st_gid, st.st_mtime_ns
        if self._changes:
            if self._idmap is not None:
                uid, gid = self._idmap.to_container(uid, gid)
            if self._whole_seconds:
                mtime -= mtime % _SECOND
        if sparse is not None:
            return sparse.header(name, st.st_mode & 0o7777, uid, gid, mtime, xattrs)
        return tarwriter.header(name, kind, st.st_mode & 0o7777, uid, gid, size, mtime, link, device, xattrs, records)

    def _xattrs(self, entry: Entry, fd: Optional[int] = None) -> Optional[Dict[str, bytes]]:
        try:
            found = entry.xattrs(fd)
        except OSError as exc:
            self._lose(entry.path, None, 'extended attributes cannot be read, left out: %s' % _why(exc))
            return None
        if not found:
            return None
        if self._for_loading:
            chosen = loadable(found, stat.S_ISLNK(entry.st.st_mode))
            found = chosen.kept
            self._by_some += chosen.by_some
            if chosen.left_out:
                self._stripped.add(entry.path)
        return found if self._idmap is None else self._idmap.xattrs(found)

    def _file(self, entry: Entry) -> None:
        """A regular file. Written out in a row where 100,000 small ones go through: calls cost as much as reading."""
        st = entry.st
        path = entry.path
        size = st.st_size
        try:
            fd = entry.open()
        except OSError as exc:
            self._lose(path, None, 'cannot be opened, left out: %s' % _why(exc))
            return
        try:
            xattrs = self._xattrs(entry, fd)
            extents = None
            if st.st_blocks * 512 < size and size > pieces.PAGE and self._sparse:
                extents = data_map(fd, size)
            # a hole may be none: compressed by its file system, or not written back yet
            if extents is not None and extents != [(0, size)]:
                sha = self._sparse_data(entry, fd, extents, xattrs)
            elif size <= _SMALL:
                try:
                    data = os.read(fd, size)
                except OSError as exc:
                    data = self._salvage(fd, path, 0, size, exc)
                if len(data) < size:
                    data = self._rest(fd, path, data, size)
                sha = hashlib.sha256(data) if self._sums is not None else None
                if self._changes:
                    header = self._header(entry, path, tarwriter.REGULAR, size, xattrs)
                else:
                    header = tarwriter.header(path, tarwriter.REGULAR, st.st_mode & 0o7777, st.st_uid, st.st_gid, size,
                                              st.st_mtime_ns, b'', None, xattrs)
                self._parts += (header, data)
                self._pending += len(header) + size
                self._put(tarwriter.padding(size))
            else:
                sha = hashlib.sha256() if self._sums is not None else None
                header = self._header(entry, path, tarwriter.REGULAR, size, xattrs)
                if size >= ALIGNED_FROM and not self._layer:
                    fill = tarwriter.filler(header, self._tar_bytes + self._pending + len(header), ALIGNED_TO)
                    header = self._header(entry, path, tarwriter.REGULAR, size, xattrs, records=fill)
                self._put(header)
                self._large(fd, path, 0, size, sha)
                self._put(tarwriter.padding(size))
        finally:
            os.close(fd)
        self._entries += 1
        self._files += 1
        self._source_bytes += size
        if sha is not None:
            self._sums_of.append((sha.hexdigest(), b'./' + path))
        if st.st_nlink > 1:
            self._links.add(st, path, sha.digest() if sha is not None else b'')

    def _sparse_data(self, entry: Entry, fd: int, extents: List[Tuple[int, int]], xattrs: Optional[Dict[str, bytes]]) -> 'Optional[hashlib._Hash]':
        """Header and data as a sparse member. Returns the digest of the whole file as it will be after extraction."""
        path = entry.path
        size = entry.st.st_size
        member = tarwriter.SparseMap(extents, size)
        sha = None
        if self._sums is not None and size - member.data <= self._hashed_holes:
            sha = hashlib.sha256()
        elif self._sums is not None:
            self._flush()
            self._sums.write(b'# not hashed, nearly all of it is a hole: %b\n' % checksums.escape(b'./' + path)[1])
        self._put(self._header(entry, path, tarwriter.REGULAR, size, xattrs, sparse=member))
        self._put(member.blob)
        position = 0
        for start, length in extents:
            if sha is not None:
                _hash_zeros(sha, start - position)
            os.lseek(fd, start, os.SEEK_SET)
            self._large(fd, path, start, length, sha)
            position = start + length
        if sha is not None:
            _hash_zeros(sha, size - position)
        self._put(tarwriter.padding(member.stored))
        return sha

    # --- data

    def _rest(self, fd: int, path: bytes, data: bytes, size: int) -> bytes:
        """DATA, and what comes after it up to SIZE bytes: a short read is allowed anywhere."""
        while len(data) < size:
            try:
                more = os.read(fd, size - len(data))
            except OSError as exc:
                return data + self._salvage(fd, path, len(data), size - len(data), exc)
            if not more:
                self._shorter(path, len(data), size)
                return data + bytes(size - len(data))
            data += more
        return data

    def _large(self, fd: int, path: bytes, offset: int, length: int, sha: 'Optional[hashlib._Hash]') -> None:
        """LENGTH bytes from OFFSET, where FD stands, to the writer and to SHA."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_CHUNK))
        end = offset + length
        ended = False
        while offset < end:
            wanted = min(_CHUNK, end - offset)
            if ended:
                view = _ZEROS[:wanted]
            else:
                try:
                    view = self._buffer[:wanted]
                    view = view[:os.readv(fd, [view])]
                except OSError as exc:
                    view = self._salvage(fd, path, offset, wanted, exc)
                    os.lseek(fd, offset + len(view), os.SEEK_SET)
                if not view:
                    self._shorter(path, offset, end)
                    ended = True
                    continue
            self._put_now(view)
            if sha is not None:
                sha.update(view)
            offset += len(view)

    def _salvage(self, fd: int, path: bytes, offset: int, length: int, error: OSError) -> bytes:
        """LENGTH bytes from OFFSET, read page by page; pages that can't be read are zeros."""
        data = pieces.salvaged(fd, offset, length, functools.partial(self._unreadable, path))
        if len(data) < length:
            self._shorter(path, offset + len(data), offset + length)
        return data + bytes(length - len(data))

    def _shorter(self, path: bytes, offset: int, size: int) -> None:
        self._lose(path, offset, 'became shorter while it was read, %s are zeros' % (wording.number(size - offset, 'byte')))

    def _unreadable(self, path: bytes, start: int, end: int, error: OSError) -> None:
        """Told once for a stretch, not for each of its pages."""
        if self._unreadable_until != (path, start):
            self._lose(path, start, 'cannot be read from here on, zeros up to the next readable page: %s' % _why(error))
        self._unreadable_until = (path, end)


def _hash_zeros(sha: 'hashlib._Hash', count: int) -> None:
    while count > 0:
        sha.update(_ZEROS[:min(count, _CHUNK)])
        count -= _CHUNK


def _why(exc: OSError) -> str:
    return exc.strerror or str(exc) or type(exc).__name__


def write_tar(entries: Iterable[Union[Entry, Failure]], writer: 'Writable', form: str = TREE, idmap: Optional[ids.IdMap] = None,
              sums: 'Optional[Writable]' = None, whole_seconds: bool = False, for_loading: bool = False,
              root_entry: Optional[Entry] = None, sparse: bool = True, on_failure: Optional[Callable[[Lost], Any]] = None,
              hashed_holes: int = HASHED_HOLES) -> Result:
    """Write the stream ENTRIES (disk.tree.Entry and Failure) as one tar archive to WRITER; return :class:`Result`.

    WRITER: write(bytes-like), done with the buffer when it returns; stays open. FORM: TREE or LAYER.
    IDMAP: layers.idmap.IdMap, or None to keep the ids of the disk. SUMS: binary file that gets a line for
    ``sha256sum -c`` for every regular file, or None. WHOLE_SECONDS: times as `docker commit` writes them. FOR_LOADING:
    extended attributes that `docker load` keeps, see loadable(). ROOT_ENTRY: the tree's own folder, archived as ``./``.
    SPARSE: holes are left out of the archive (GNU format 1.0). ON_FAILURE: called with each :class:`Lost`; may raise.

    Raises what WRITER, SUMS and ON_FAILURE raise, and OSError if ENTRIES can't even start.
    """
    if form not in (TREE, LAYER):
        raise ValueError('form is tree or layer, not %r' % (form,))
    archive = _Archive(writer, form == LAYER, idmap, sums, whole_seconds, for_loading, sparse, on_failure,
                       hashed_holes)
    _fill(archive, entries, root_entry)
    return archive.close()
