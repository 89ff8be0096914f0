"""Unpacking an archive below one folder, and nowhere else.

Every folder is opened relative to the descriptor of the one that holds it, without following links, and every file is
made with O_EXCL: so a link in the archive can never lead a later member out, not even with somebody who changes the
folder meanwhile. Folders get their modes, times and ACLs at the end: a read-only folder would refuse its content, and
a default ACL or set-group-ID bit would be handed down to it.
"""
import errno
import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ..databases.registry import MARKERS, TAILS
from ..formats import wording
from . import tarread
from .tarread import BLOCKDEV, CHARACTER, FIFO, FILE, FOLDER, HARDLINK, SYMLINK, Reader, shown

if TYPE_CHECKING:
    from ..formats.pieces import Readable

MAX_OPEN = 64                           # folders held open
MAX_NOTES = 20
MAX_HELD = 1 << 30                      # bytes of memory for names and attributes of folders, which wait for the end
HELD = 200                              # bytes that one takes beside its name and attributes
ROOM = 64 << 20                         # bytes and numbers of files that are left free on the file system that is written to
ROOM_FILES = 1000
LOOK_BYTES = 64 << 20                   # how often the room is looked at
LOOK_MEMBERS = 4096
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Belong to the old host: labels of its policy, signatures with its keys.
SELINUX = b'security.selinux'
HOST_XATTRS = (SELINUX, b'security.ima', b'security.evm')
Label = Optional[Callable[[bytes], Optional[bytes]]]    # what is set for a recorded label of SELinux; None: nothing
SMALL = 128 * 1024
SQLITE = b'SQLite format 3'
SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
Names = Tuple[bytes, ...]               # in a class with a field `bytes` that word means the field


class Unpacked(NamedTuple):
    """What was made. `notes` are sentences on what could not be kept (the first MAX_NOTES; all are counted)."""
    entries: int
    files: int
    bytes: int                          # apparent size of regular files
    notes: Tuple[str, ...]
    notes_total: int
    telling: bool = False               # a name or a beginning that databases have was among them
    root: bool = True                   # the archive has the folder itself; otherwise it is of a single file
    implied: Names = ()                 # folders that were made although no member names them (PARENTS of unpack)


class Scan(NamedTuple):
    """What is in an archive, found without writing anything."""
    entries: int
    files: int
    bytes: int                          # apparent size
    sparse: int                         # files with holes
    xattrs: int                         # members with extended attributes
    devices: int
    first: Tuple[str, ...]              # a few names


def scan(stream: 'Readable', what: str, allow_devices: bool = False, check: bool = True, limit: Optional[int] = None,
         parents: bool = False) -> Scan:
    """Read a whole archive as unpack() would, and refuse what it would refuse -> Scan. Raises ArchiveError."""
    reader = Reader(stream, what)
    seen = Seen(parents)
    files = size = sparse = xattrs = devices = 0
    first = []
    for member in reader:
        if check:
            foresee(reader, member, seen, allow_devices)
        if member.kind == FILE:
            files += 1
            size += member.realsize
            _refuse_more(reader, member, size, limit)
            sparse += member.sparse is not None
        elif member.kind == HARDLINK:
            files += 1
        devices += member.kind in (CHARACTER, BLOCKDEV)
        xattrs += member.xattrs is not None
        if len(first) < 10 and member.name:
            first.append(tarread.text(member.name))
    return Scan(reader.members, files, size, sparse, xattrs, devices, tuple(first))


class Seen(object):
    """What foresee() remembers of the members before."""

    def __init__(self, parents: bool = False) -> None:
        self.links: Set[bytes] = set()
        self.folders = set((b'',))
        self.held = 0
        self.parents = parents          # folders that the archive does not name itself are made
        self.implied: Set[bytes] = set()  # those of them that were not named yet

    def hold(self, reader: Reader, name: bytes) -> None:
        """Count what is kept in memory; an archive of nothing but folders or links would fill it."""
        self.held = _held(reader, self.held, name, None)

    def imply(self, reader: Reader, path: bytes) -> bool:
        """Whether the folder PATH, which no member named, may be made all the same."""
        missing = []
        while path and path not in self.folders:
            if not self.parents or path in self.links:
                return False
            missing.append(path)
            path = path.rpartition(b'/')[0]
        for one in missing:
            self.hold(reader, one)
        self.folders.update(missing)
        self.implied.update(missing)
        return True


def _held(reader: Reader, held: int, name: bytes, xattrs: Optional[Dict[bytes, bytes]]) -> int:
    """HELD and what one more member takes. Raises ArchiveError above MAX_HELD."""
    held += HELD + len(name) + (sum(len(key) + len(value) for key, value in xattrs.items()) if xattrs else 0)
    if held > MAX_HELD:
        raise reader.fail('has so many folders, links and attributes that their names alone take %d bytes of memory' % MAX_HELD, name)
    return held


def foresee(reader: Reader, member: tarread.Member, seen: Seen, allow_devices: bool) -> None:
    """Refuse a member that goes through a link of the same archive, or stands where nothing can be, as openat() would."""
    _refuse_device(reader, member, allow_devices)
    links, name = seen.links, member.name
    for path in (name, member.link) if member.kind == HARDLINK else (name,):
        if path and path.rpartition(b'/')[0] not in seen.folders and not (path is name and seen.imply(reader, path.rpartition(b'/')[0])):
            raise _misplaced(reader, path, name, links)
    if name in links or name and name in seen.folders and not (member.kind == FOLDER and name in seen.implied):
        raise reader.fail('is in the archive twice', name)
    seen.implied.discard(name)
    if member.kind == SYMLINK:
        seen.hold(reader, name)
        links.add(name)
    elif member.kind == FOLDER:
        seen.hold(reader, name)
        seen.folders.add(name)


def _misplaced(reader: Reader, path: bytes, name: bytes, links: Set[bytes]) -> tarread.ArchiveError:
    """The error for a PATH whose parent is not a folder."""
    at = path.find(b'/')
    while at >= 0:
        if path[:at] in links:
            return reader.fail('goes through %s, which the archive makes a link' % shown(path[:at]), name)
        at = path.find(b'/', at + 1)
    return reader.fail('comes before its folder, or has a path through something that is not a folder', name)


def _refuse_device(reader: Reader, member: tarread.Member, allow_devices: bool) -> None:
    # character device 0/0 is how overlay file systems mark a deletion: it cannot be opened, by nobody
    if member.kind == BLOCKDEV or member.kind == CHARACTER and member.device != (0, 0):
        device = member.device or (0, 0)
        if not allow_devices:
            raise reader.fail('is a device node (%d:%d), which is not expected here; ignore: [device_nodes] makes it all the '
                              'same' % device, member.name)


def _refuse_more(reader: Reader, member: tarread.Member, size: int, limit: Optional[int]) -> None:
    if limit is not None and size > limit:
        raise reader.fail('has more content than the manifest says (%s)' % wording.number(limit, 'byte'), member.name)


def unpack(stream: 'Readable', folder: Union[bytes, int], what: str = 'the archive', allow_devices: bool = False,
           limit: Optional[int] = None, owners: Optional[bool] = None, leave_devices: bool = False,
           parents: bool = False, label: Label = None) -> Unpacked:
    """Unpack STREAM (decompressed, read(n)) into FOLDER (bytes or descriptor, an existing empty folder) -> Unpacked.

    LIMIT: bytes of file content that are expected at most. OWNERS: False leaves all to the user who runs this
    (default: as in the archive for root). LEAVE_DEVICES: device nodes are left out, and noted. PARENTS: folders that no
    member names are made, as an engine does with a layer. LABEL: what is made of labels of SELinux; without it none is set.
    Raises ArchiveError for what is refused, OSError for what the system refuses; then FOLDER has a part of the content, and whoever made it removes it.
    """
    job = _Job(Reader(stream, what), folder, allow_devices, limit, os.geteuid() == 0 if owners is None else owners)
    job.leave_devices, job.parents, job.label = leave_devices, parents, label
    before = os.umask(0)
    try:
        job.run()
    finally:
        os.umask(before)
        job.close()
    return Unpacked(job.reader.members, job.files, job.bytes, tuple(job.notes), job.notes_total, job.telling, job.root_seen,
                    tuple(sorted(job.implied)))


class _Job(object):
    def __init__(self, reader: Reader, folder: Union[bytes, int], allow_devices: bool = False, limit: Optional[int] = None,
                 owners: bool = False) -> None:
        self.reader = reader
        self.what = reader.what
        self.allow_devices = allow_devices
        self.leave_devices = self.parents = False
        self.label: Label = None
        self.implied: Set[bytes] = set()  # folders that were made and that no member has named yet
        self.limit = limit
        self.owners = owners
        self.files = self.bytes = 0
        self.telling = self.root_seen = False
        self.notes: List[str] = []
        self.notes_total = 0
        self.folders: List[tarread.Member] = []  # members, to be finished last
        self.held = 0
        self.unlooked = LOOK_BYTES      # bytes until the room is looked at
        # the folder's own path is trusted; it may be reached through links
        self.open_folders: 'OrderedDict[bytes, int]' = OrderedDict()
        self.root = os.dup(folder) if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        for fd in self.open_folders.values():
            os.close(fd)
        self.open_folders.clear()
        os.close(self.root)

    def note(self, sentence: str) -> None:
        self.notes_total += 1
        if len(self.notes) < MAX_NOTES:
            self.notes.append(sentence)

    # --- folders

    def descriptor(self, path: bytes) -> int:
        """Descriptor of the folder PATH (relative), opened part by part."""
        if not path:
            return self.root
        fd = self.open_folders.get(path)
        if fd is not None:
            self.open_folders.move_to_end(path)
            return fd
        # from the nearest folder above that is open
        missing = []
        above = path
        while above and above not in self.open_folders:
            missing.append(above)
            above = above.rpartition(b'/')[0]
        fd = self.open_folders[above] if above else self.root
        for folder in reversed(missing):
            fd = self.opened(folder, fd)
            self.open_folders[folder] = fd
            if len(self.open_folders) > MAX_OPEN:
                os.close(self.open_folders.popitem(last=False)[1])
        return fd

    def opened(self, path: bytes, above: int) -> int:
        """Descriptor of the folder PATH in the folder ABOVE, made where that is asked for."""
        base = path.rpartition(b'/')[2]
        try:
            return os.open(base, DIR, dir_fd=above)
        except FileNotFoundError:
            if not self.parents:
                raise
        os.mkdir(base, 0o755, dir_fd=above)
        self.held = _held(self.reader, self.held, path, None)
        self.implied.add(path)
        return os.open(base, DIR, dir_fd=above)

    def forget(self, path: bytes) -> None:
        fd = self.open_folders.pop(path, None)
        if fd is not None:
            os.close(fd)

    # --- members

    def run(self) -> None:
        reader, descriptor, owners = self.reader, self.descriptor, self.owners
        take, write, utime, chown, fchmod = reader.take, os.write, os.utime, os.fchown, os.fchmod
        opener, closer = os.open, os.close
        last = given = None
        last_fd = -1
        member = None
        try:
            for member in reader:
                name = member.name
                if not reader.members % LOOK_MEMBERS:
                    self.look(0)
                if member.kind is FILE and member.sparse is None and member.size <= SMALL:
                    # nearly every member; nothing that is not needed
                    parent, dummy, base = name.rpartition(b'/')
                    mode = member.mode
                    if last_fd < 0 or parent != last:
                        last_fd = descriptor(parent)
                        last = parent
                        given = None
                    fd = opener(base, NEW, mode & 0o777, dir_fd=last_fd)
                    try:
                        if given is None:
                            # the group may come from the folder (mount option grpid); the same for all files in it
                            st = os.fstat(fd)
                            given = st.st_uid, st.st_gid
                        if member.size:
                            data = take()
                            written = write(fd, data)
                            if written < len(data):
                                _write_all(fd, data[written:])
                            self.count(member)
                            self.look(member.size)
                            if not member.size & 511 and data.startswith(SQLITE):
                                self.telling = True
                        if base in MARKERS or base[-4:] in TAILS:
                            self.telling = True
                        if owners and (member.uid, member.gid) != given:
                            chown(fd, member.uid, member.gid)
                        if mode & SPECIAL:
                            fchmod(fd, mode)
                        if member.xattrs:
                            self.xattrs(member, fd)
                        utime(fd, ns=(member.mtime, member.mtime))
                    finally:
                        closer(fd)
                    self.files += 1
                else:
                    last_fd = -1
                    self.member(member)
            while self.folders:
                member = self.folders.pop()
                self.finish(member)
        except OSError as exc:
            raise self.translated(exc, member)

    def translated(self, exc: OSError, member: Optional[tarread.Member]) -> tarread.ArchiveError:
        """An error of the system in words; what only a hostile archive can cause is a refusal."""
        name = member.name if member is not None else None
        if exc.errno in (errno.ELOOP, errno.ENOTDIR):
            return self.reader.fail('has a path through a link or a file', name)
        if exc.errno == errno.EEXIST:
            return self.reader.fail('is in the archive twice, or its place is taken', name)
        if exc.errno == errno.ENOENT and member is not None:
            if member.kind == HARDLINK:
                return self.reader.fail('is a hard link to %s, which is not there' % shown(member.link), name)
            return self.reader.fail('stands before its folder', name)
        where = ' %s of' % shown(name) if name is not None else ''
        return tarread.ArchiveError('Cannot unpack%s %s: %s.' % (where, self.what, exc.strerror))

    def member(self, member: tarread.Member) -> None:
        kind = member.kind
        if kind == FOLDER:
            self.folder(member)
            return
        parent, dummy, base = member.name.rpartition(b'/')
        folder = self.descriptor(parent)
        if kind == FILE:
            self.file(member, base, folder)
            return
        if kind == HARDLINK:
            source, dummy, last = member.link.rpartition(b'/')
            origin = self.descriptor(source)
            # looking up the second folder may have closed the first
            folder = self.descriptor(parent)
            if source and source not in self.open_folders:
                origin = self.descriptor(source)
            os.link(last, base, src_dir_fd=origin, dst_dir_fd=folder, follow_symlinks=False)
            self.files += 1
            return
        if self.leave_devices and kind in (CHARACTER, BLOCKDEV):
            self.note('%s of %s is a device node and was left out.' % (shown(member.name), self.what))
            return
        _refuse_device(self.reader, member, self.allow_devices)
        if kind == SYMLINK:
            os.symlink(member.link, base, dir_fd=folder)
        elif kind == FIFO:
            os.mkfifo(base, member.mode & 0o777, dir_fd=folder)
        else:
            self.device(member, base, folder)
        self.finish_node(member, base, folder)

    def device(self, member: tarread.Member, base: bytes, folder: int) -> None:
        node = stat.S_IFCHR if member.kind == CHARACTER else stat.S_IFBLK
        if member.device is None:
            raise AssertionError('a reader gives one to every device')
        try:
            os.mknod(base, node | member.mode & 0o777, os.makedev(*member.device), dir_fd=folder)
        except PermissionError:
            raise self.reader.fail('is a device node, which only root can make', member.name)

    def look(self, count: int) -> None:
        """COUNT more bytes will be written: stop before the file system is full, which others need too."""
        self.unlooked -= count
        if count and self.unlooked > 0:
            return
        self.unlooked = LOOK_BYTES
        st = os.fstatvfs(self.root)
        if count and st.f_bavail * st.f_frsize < ROOM + count:
            raise self.reader.fail('needs more room than there is; less than %d bytes would be left free' % ROOM)
        if st.f_files and st.f_favail < ROOM_FILES:
            raise self.reader.fail('has more files than the file system has room for; less than %d would be left free' % ROOM_FILES)

    def count(self, member: tarread.Member) -> None:
        self.bytes += member.realsize
        _refuse_more(self.reader, member, self.bytes, self.limit)

    def file(self, member: tarread.Member, base: bytes, folder: int) -> None:
        self.count(member)
        # a large file that is none costs a walk of the folder afterwards, nothing else
        self.telling = self.telling or not member.realsize & 511 or base in MARKERS or base[-4:] in TAILS
        fd = os.open(base, NEW, member.mode & 0o777, dir_fd=folder)
        try:
            if member.sparse is None:
                for piece in self.reader.pieces():
                    self.look(len(piece))
                    _write_all(fd, piece)
            else:
                os.ftruncate(fd, member.realsize)
                for offset, length in member.sparse:
                    if length:
                        os.lseek(fd, offset, os.SEEK_SET)
                        for piece in self.reader.pieces(length):
                            self.look(len(piece))
                            _write_all(fd, piece)
            if self.owners:
                os.fchown(fd, member.uid, member.gid)
            if member.mode & SPECIAL:
                os.fchmod(fd, member.mode)
            if member.xattrs:
                self.xattrs(member, fd)
            os.utime(fd, ns=(member.mtime, member.mtime))
        finally:
            os.close(fd)
        self.files += 1

    def folder(self, member: tarread.Member) -> None:
        name = member.name
        if name:
            parent, dummy, base = name.rpartition(b'/')
            self.telling = self.telling or base in MARKERS
            folder = self.descriptor(parent)
            if name in self.implied:
                self.implied.discard(name)
            else:
                os.mkdir(base, 0o700, dir_fd=folder)
        else:
            self.root_seen = True
        self.held = _held(self.reader, self.held, name, member.xattrs)
        self.folders.append(member)

    def finish(self, member: tarread.Member) -> None:
        """Folders come last, the deepest first, so that no later change touches a time again."""
        fd = self.descriptor(member.name)
        if self.owners:
            os.fchown(fd, member.uid, member.gid)
        elif not member.name:
            return                      # somebody else's folder that was given to us
        os.fchmod(fd, member.mode)
        if member.xattrs:
            self.xattrs(member, fd)
        os.utime(fd, ns=(member.mtime, member.mtime))
        self.forget(member.name)

    def finish_node(self, member: tarread.Member, base: bytes, folder: int) -> None:
        """Owner, mode, attributes and time of what cannot be opened without harm."""
        if self.owners:
            os.chown(base, member.uid, member.gid, dir_fd=folder, follow_symlinks=False)
        if member.kind != SYMLINK and member.mode & SPECIAL:
            os.chmod(base, member.mode, dir_fd=folder)      # made by us just now, and no link
        if member.xattrs:
            self.xattrs(member, b'/proc/self/fd/%d/%s' % (folder, base))
        os.utime(base, ns=(member.mtime, member.mtime), dir_fd=folder, follow_symlinks=False)

    def xattrs(self, member: tarread.Member, where: Union[bytes, int]) -> None:
        for name, exc in set_xattrs(where, member.xattrs or {}, self.label):
            self.note('%s of %s could not get its attribute %s: %s.'
                      % (shown(member.name or b'.'), self.what, shown(name), exc.strerror))


class Shadow(_Job):
    """A likeness of a tree for looking at: every file has its size, but only the first HEAD bytes of its content.

    feed() takes members as they pass by on their way to somewhere else. It gives up quietly at its limits.
    """
    HEAD = 256 * 1024
    MAX_MEMBERS = 50000
    MAX_BYTES = 256 << 20
    MAX_LOOSE = 100                     # folders above a file

    def __init__(self, reader: Reader, folder: Union[bytes, int]) -> None:
        _Job.__init__(self, reader, folder)
        self.place = folder
        self.loose = False
        self.kept = self.count_ = 0

    def wants(self, member: tarread.Member) -> Optional[int]:
        """Make MEMBER in the likeness; returns a descriptor for the beginning of its content, or None."""
        self.count_ += 1
        if self.count_ > self.MAX_MEMBERS or self.kept > self.MAX_BYTES or member.kind not in (FILE, FOLDER):
            return None
        parent, dummy, base = member.name.rpartition(b'/')
        try:
            if self.loose and parent:
                self._above(parent)
            if member.kind == FOLDER:
                if base:
                    os.mkdir(base, 0o700, dir_fd=self.descriptor(parent))
                return None
            fd = os.open(base, NEW, 0o600, dir_fd=self.descriptor(parent))
            os.ftruncate(fd, min(member.realsize, 1 << 40))
            return fd
        except OSError:                 # an OCI layer need not have the folders above its files
            return None

    def _above(self, path: bytes) -> None:
        """Make the folders of PATH that are missing."""
        if path in self.open_folders:
            return
        parts = path.split(b'/')
        if len(parts) > self.MAX_LOOSE:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        fd = os.dup(self.root)
        try:
            for name in parts:
                try:
                    os.mkdir(name, 0o700, dir_fd=fd)
                except FileExistsError:
                    pass
                inner = os.open(name, DIR, dir_fd=fd)
                os.close(fd)
                fd = inner
        finally:
            os.close(fd)

    def keep(self, fd: int, offset: int, piece: bytes) -> None:
        """Write what of PIECE, which stands at OFFSET, belongs to the beginning."""
        if offset < self.HEAD and self.kept <= self.MAX_BYTES:
            piece = piece[:self.HEAD - offset]
            os.pwrite(fd, piece, offset)
            self.kept += len(piece)


def shadow(stream: 'Readable', what: str, folder: Union[bytes, int]) -> None:
    """The likeness of a whole archive below FOLDER; folders above its members are made where they are missing."""
    reader = Reader(stream, what)
    job = Shadow(reader, folder)
    job.loose = True
    try:
        for member in reader:
            fd = job.wants(member)
            if fd is None:
                continue
            try:
                offset = 0
                for start, length in ((0, member.size),) if member.sparse is None else member.sparse:
                    offset = start
                    for piece in reader.pieces(length):
                        job.keep(fd, offset, piece)
                        offset += len(piece)
            finally:
                os.close(fd)
    finally:
        job.close()


def set_xattrs(where: Union[int, bytes], found: Dict[Any, bytes], label: Label = None) -> Iterator[Tuple[Any, OSError]]:
    """Give WHERE, a descriptor or a path whose last component is not followed, the attributes FOUND ({name, bytes or text: value}),
    but for HOST_XATTRS; of a label of SELinux what LABEL makes of it. Yields (name, why) of those that it could not get, most often
    for want of privileges or of a file system that has them. OSError where nothing more can be written. Nothing happens before it is iterated over."""
    for name, value in sorted(found.items()):
        if os.fsencode(name) in HOST_XATTRS:
            made = label(value) if label and os.fsencode(name) == SELINUX else None
            if made is None:
                continue
            value = made
        try:
            os.setxattr(where, name, value, follow_symlinks=isinstance(where, int))
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            yield name, exc


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
