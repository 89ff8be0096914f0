"""Which processes of this machine belong to a container, and which deleted files they still hold.

This is the only file that looks at processes for data. It is for a live host alone: who asks makes sure of that. All that /proc says here was
made by the container: a link's text becomes a name in named() and nowhere else. A file is opened as O_PATH first, so a device or a FIFO
that a process holds is looked at and never opened.
"""
import contextlib
import errno
import os
import re
import resource
import stat
from typing import Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import fsinfo, safeio
from .host import kernel_names, read_proc

DELETED = b' (deleted)'                 # fs/d_path.c: what the kernel adds to the path of an unlinked file
GONE = b'//deleted'                     # the same in the fourth field of mountinfo, of a mount whose folder was removed
# Files that only the kernel's own memory file system has: shared memory, never on a disk. They count as such only if no mount of the process has
# their device: a container may give a real file one of these names.
IN_MEMORY = (b'/memfd:', b'/SYSV', b'/dev/zero', b'/[aio]', b'/anon_hugepage', b'/dmabuf', b'/drm mm object', b'/i915')
MAX_PROCESSES = 1 << 16
MAX_FILES = 1 << 16                     # of one container: each takes a descriptor and about 1 KiB of memory
MAX_NAME = 255
MAX_PATH = 4096
MAX_LISTED = 1000                       # of what could not be read
MAX_TABLE = 1 << 26                     # bytes of one maps or mountinfo
SPARE = 256                             # descriptors that are left for everything else
_LOOK = os.O_PATH | os.O_CLOEXEC
_ID = re.compile(br'(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])')
_MAPPED = re.compile(br'([0-9a-f]+-[0-9a-f]+) \S+ \S+ ([0-9a-f]+):([0-9a-f]+) \d+ +(/.*)\Z', re.DOTALL)
_ESCAPED = re.compile(br'\\([0-7]{3})')


class OpenFile(NamedTuple):
    """A regular file that was deleted and is still held. `fd` is an O_PATH descriptor of ours: with it the data stay, whatever the process does."""
    fd: int
    path: Optional[bytes]               # in the container, without leading slash; None: it cannot be named
    text: bytes                         # what the kernel calls it
    pid: int
    st: os.stat_result

    @property
    def key(self) -> Tuple[int, int, bytes]:
        """The same for one file under one name, whoever holds it."""
        return self.st.st_dev, self.st.st_ino, self.text


class Unread(NamedTuple):
    """A deleted file, or all those of a process, that could not be opened."""
    pid: int
    text: bytes                         # of the file; b'' for a whole process
    error: OSError


class Held(NamedTuple):
    """What scan() found."""
    files: Tuple[OpenFile, ...]
    unread: Tuple[Unread, ...]
    in_memory: int                      # files that are none: shared memory of the kernel
    processes: Tuple[int, ...]


# -- processes ---------------------------------------------------------------------------------------------------------------------


def of_container(pid: int, words: Sequence[str]) -> List[int]:
    """The processes of a container, sorted: those in the mount namespace of its process PID, and those in another one whose control group
    (v1 or v2) has one of WORDS (the seam's cgroup_ids()) in its path. Never one in the mount namespace of this machine or of the parent of PID,
    like a monitor of the container, whose control group is called after it too."""
    main = _namespace(pid)
    ours = {_namespace('self'), _namespace(1), None}
    ours |= {_namespace(_parent(pid))} - {main}
    wanted = [word.encode('ascii', 'replace') for word in words if word]
    found = []
    for name in kernel_names('/proc')[:MAX_PROCESSES]:
        if not name.isdigit():
            continue
        space = _namespace(name)
        if space not in ours and (space == main or wanted and in_group(read_proc(name, 'cgroup'), wanted)):
            found.append(int(name))
    return sorted(found)


class Groups(object):
    """The control groups of all processes that are not in the mount namespace of this machine, as they are when it is made."""

    def __init__(self) -> None:
        ours = {_namespace('self'), _namespace(1), None}
        names = [name for name in kernel_names('/proc')[:MAX_PROCESSES] if name.isdigit() and _namespace(name) not in ours]
        self._tables = [(int(name), read_proc(name, 'cgroup')) for name in names]

    def oldest(self, words: Sequence[str]) -> Optional[int]:
        """The process that began first in a group with one of WORDS in its path; None if there is none."""
        wanted = [word.encode('ascii', 'replace') for word in words if word]
        found = [pid for pid, table in self._tables if in_group(table, wanted)]
        return min(found, key=lambda pid: (started(pid)[1], pid)) if found else None

    def ids(self) -> List[str]:
        """The ids of containers (64 hexadecimal digits) that are in paths, the innermost of each, sorted."""
        found = set()
        for dummy, table in self._tables:
            found.update(match[-1].decode('ascii') for match in map(_ID.findall, table.splitlines()) if match)
        return sorted(found)


def in_group(table: bytes, words: Iterable[bytes]) -> bool:
    """Whether a group in TABLE (/proc/PID/cgroup) has one of WORDS in its path."""
    paths = [line.split(b':', 2)[2] for line in table.splitlines() if line.count(b':') >= 2]
    return any(word in path for path in paths for word in words)


def started(pid: int) -> Tuple[bytes, int]:
    """(state letter, start time in ticks) by proc_pid_stat(5); (b'', 0) if there is no such process. With it a number that was used again
    is seen."""
    raw = read_proc(pid, 'stat', 4096)
    fields = raw[raw.rfind(b')') + 1:].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else (b'', 0)


def _parent(pid: int) -> int:
    raw = read_proc(pid, 'stat', 4096)
    fields = raw[raw.rfind(b')') + 1:].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _namespace(pid: object) -> Optional[str]:
    try:
        return os.readlink('/proc/%s/ns/mnt' % pid)
    except OSError:
        return None


def mounts_of(pid: int) -> Tuple[fsinfo.MountPoint, ...]:
    """What is mounted in the mount namespace of a process; () if it is gone or out of reach."""
    return fsinfo.parse_mountinfo(read_proc(pid, 'mountinfo', MAX_TABLE))


# -- names -------------------------------------------------------------------------------------------------------------------------


def named(text: bytes) -> Optional[bytes]:
    """The path that TEXT (of a link in /proc/PID/fd) stands for, relative and plain; None where it is none. The one place that makes a name
    of such a text."""
    if text.endswith(DELETED):
        text = text[:-len(DELETED)]
    parts = text.split(b'/')
    if len(text) > MAX_PATH or len(parts) < 2 or parts[0] or b'\0' in text:
        return None
    return b'/'.join(parts[1:]) if all(part not in (b'', b'.', b'..') and len(part) <= MAX_NAME for part in parts[1:]) else None


@contextlib.contextmanager
def root_of(pid: int) -> Iterator[safeio.Dir]:
    """The root folder of a process. Below it nothing is reached through a link. OSError."""
    looked = os.open('/proc/%d/root' % pid, _LOOK | os.O_DIRECTORY)
    try:
        root = safeio.Dir.held(looked)
        try:
            yield root
        finally:
            root.close_all()
    finally:
        os.close(looked)


def seen(root: safeio.Dir, path: bytes) -> Optional[os.stat_result]:
    """lstat of PATH (relative) below ROOT; None if there is nothing, or only through a link."""
    folder, name = os.path.split(path)
    try:
        return root.descend(folder).stat(name) if name else os.fstat(root.fd)
    except OSError:
        return None


def held_below(pid: int, path: bytes) -> int:
    """An O_PATH descriptor of PATH (bytes, absolute) as the process PID sees it, reached through no link. The caller closes it. OSError."""
    with root_of(pid) as root:
        folder, name = os.path.split(path.strip(b'/'))
        if name in (b'', b'.', b'..'):
            raise OSError(errno.EINVAL, 'not a plain path', path)
        return os.open(name, _LOOK | os.O_NOFOLLOW, dir_fd=root.descend(folder).fd)


# -- files -------------------------------------------------------------------------------------------------------------------------


def scan(processes: Sequence[int]) -> Held:
    """The regular files that PROCESSES hold open or mapped and that have no name any more. The caller closes their descriptors, see close().
    Memory of the kernel is counted, and what cannot be opened is named. A process that ends meanwhile is left out."""
    _more_descriptors()
    work = _Scan()
    try:
        for pid in processes:
            work.process(pid)
    except BaseException:
        close(Held(tuple(work.files), (), 0, ()))
        raise
    return Held(tuple(work.files), tuple(work.missed()), work.in_memory, tuple(processes))


def close(held: Held) -> None:
    """Give back the descriptors of scan()."""
    for item in held.files:
        os.close(item.fd)


class _Scan(object):
    """The files of several processes, each once."""

    def __init__(self) -> None:
        self.files: List[OpenFile] = []
        self.in_memory = 0
        self._unread: List[Unread] = []
        self._known: Set[Tuple[int, int, bytes]] = set()
        self._texts: Set[bytes] = set()
        self._memory: Set[Tuple[bytes, int]] = set()
        self._limit = min(MAX_FILES, _descriptors() - SPARE - len(os.listdir('/proc/self/fd')))

    def process(self, pid: int) -> None:
        table = mounts_of(pid)
        devices = frozenset(mount.dev for mount in table)
        known = frozenset(mount.id for mount in table)
        try:
            numbers = os.listdir('/proc/%d/fd' % pid)
        except OSError as exc:
            self._miss(pid, b'', exc)
            return
        for number in sorted(filter(str.isdigit, numbers), key=int):
            self._look(pid, 'fd/' + number, devices, self._is_elsewhere(pid, number, known))
        self._mapped(pid, devices)
        self._mounted(pid, table)

    @staticmethod
    def _is_elsewhere(pid: int, number: str, known: FrozenSet[int]) -> bool:
        """The mount of a descriptor is none of the process's: its path begins somewhere that is not known."""
        for line in read_proc(pid, 'fdinfo/' + number, 4096).splitlines():
            if line.startswith(b'mnt_id:') and line[7:].strip().isdigit():
                return bool(known) and int(line[7:]) not in known
        return False

    def _look(self, pid: int, link: str, devices: FrozenSet[bytes], elsewhere: bool = False, text: bytes = b'') -> None:
        """One link of /proc/PID: kept if it leads to a deleted regular file. TEXT: its text as far as it is known."""
        where = '/proc/%d/%s' % (pid, link)
        try:
            try:
                text = os.readlink(os.fsencode(where))
            except OSError as exc:
                if exc.errno != errno.ENAMETOOLONG:
                    raise
            if text and not text.startswith(b'/'):
                return                  # a pipe, a socket
            if len(self.files) >= self._limit:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            fd = os.open(where, _LOOK)
        except OSError as exc:
            self._miss(pid, text, exc)
            return
        if not self._kept(pid, fd, text, devices, elsewhere):
            os.close(fd)

    def _kept(self, pid: int, fd: int, text: bytes, devices: FrozenSet[bytes], elsewhere: bool) -> bool:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or not _is_deleted(pid, st, text):
            return False
        if _is_memory(text, b'%d:%d' % (os.major(st.st_dev), os.minor(st.st_dev)), devices):
            if (text, st.st_ino) not in self._memory:
                self._memory.add((text, st.st_ino))
                self.in_memory += 1
            return False
        return self._add(OpenFile(fd, None if elsewhere else named(text), text, pid, st))

    def _add(self, item: OpenFile) -> bool:
        if item.key in self._known:
            return False
        self._known.add(item.key)
        self._texts.add(item.text)
        self.files.append(item)
        return True

    def _mapped(self, pid: int, devices: FrozenSet[bytes]) -> None:
        """Files that are mapped and closed (mmap(2)). Their links need CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE."""
        for line in read_proc(pid, 'maps', MAX_TABLE).split(b'\n'):
            match = _MAPPED.match(line) if line.endswith(DELETED) else None
            if match is None or _is_memory(match.group(4), b'%d:%d' % (int(match.group(2), 16), int(match.group(3), 16)), devices):
                continue
            self._look(pid, 'map_files/' + match.group(1).decode('ascii'), devices, text=unescaped(match.group(4)))

    def _mounted(self, pid: int, table: Sequence[fsinfo.MountPoint]) -> None:
        """A file that is mounted by itself and was deleted: the mount still has it."""
        for mount in table:
            if not mount.root.endswith(GONE):
                continue
            try:
                fd = held_below(pid, mount.point)
            except OSError:
                continue                # another mount hides it
            st = os.fstat(fd)
            text = mount.point + DELETED
            if not (stat.S_ISREG(st.st_mode) and st.st_nlink == 0 and self._add(OpenFile(fd, named(text), text, pid, st))):
                os.close(fd)

    def _miss(self, pid: int, text: bytes, exc: OSError) -> None:
        if exc.errno in (errno.ENOENT, errno.ESRCH) or text and not text.endswith(DELETED):
            return                      # gone meanwhile, or not deleted at all
        if len(self._unread) < MAX_LISTED:
            self._unread.append(Unread(pid, text, exc))

    def missed(self) -> List[Unread]:
        """What could not be opened and is not there under the same name from somewhere else, each once."""
        found: Dict[Tuple[bytes, int], Unread] = {}
        for item in self._unread:
            if item.text not in self._texts:
                found.setdefault((item.text, 0 if item.text else item.pid), item)
        return list(found.values())


def _is_deleted(pid: int, st: os.stat_result, text: bytes) -> bool:
    """No name leads to the file, or not the one by which it is held. A file may be called `x (deleted)` and be there."""
    if st.st_nlink == 0:
        return True
    if not text.endswith(DELETED):
        return False
    try:
        with root_of(pid) as root:
            there = seen(root, text[1:])
    except OSError:
        return True
    return there is None or (there.st_dev, there.st_ino) != (st.st_dev, st.st_ino)


def _is_memory(text: bytes, device: bytes, devices: FrozenSet[bytes]) -> bool:
    return text.startswith(IN_MEMORY) and device not in devices


def unescaped(text: bytes) -> bytes:
    r"""A name in /proc/PID/maps, where a newline is ``\012``, as it is."""
    return _ESCAPED.sub(lambda match: bytes(bytearray([int(match.group(1), 8) & 0xff])), text)


def _descriptors() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def _more_descriptors() -> None:
    """Each file that is held takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, 2 * MAX_FILES)
    if soft not in (hard, resource.RLIM_INFINITY) and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
