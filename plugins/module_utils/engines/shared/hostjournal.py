"""Logs that an engine left to the journal of the host (log driver `journald`), for all engines.

Engines ask libsystemd for the entries with one field (Docker and Podman: CONTAINER_ID_FULL), whoever wrote them, and print MESSAGE with the time
at which journald got it: to stdout at PRIORITY 6, to stderr at 3, and others not at all. So do we, and say who else wrote.
"""
import errno
import heapq
import os
import re
import stat
import weakref
from collections import OrderedDict
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from ...disk import safeio
from ...disk.errors import LifeboatError
from ...formats import gotypes, journal, wording
from ...formats.containerlogs import LogRecord
from ...records import model
from ...records.codes import problem

FOLDERS = (b'/var/log/journal', b'/run/log/journal')
MAX_FILES = 1000
MAX_OPEN = 32
BATCH, BATCH_BYTES = 512, 8 << 20       # entries, and their fields, that wait to be unpacked
MAX_TOLD = 5                            # of a kind, in one sentence
_FILE = re.compile(rb'[^/]+\.journal~?\Z')
_MACHINE = re.compile(rb'[0-9a-f]{32}(?:\.[^/]+)?\Z')    # a name behind it: of a namespace of journald
_STREAMS = {b'6': 'stdout', b'3': 'stderr'}
_WANTED = (b'MESSAGE', b'PRIORITY', b'CONTAINER_PARTIAL_MESSAGE', b'CONTAINER_LOG_EPOCH', b'CONTAINER_LOG_ORDINAL', b'_UID', b'_COMM')
_PRINTABLE = re.compile(r'[^\x00-\x08\x0a-\x1f\x7f-\x9f]*\Z')
_there: 'weakref.WeakKeyDictionary[Any, bool]' = weakref.WeakKeyDictionary()


class Whose(NamedTuple):
    """Of which container the entries are asked for."""
    match: bytes                        # the field by which the engine finds them
    shown: str
    created: Optional[str]              # RFC 3339
    started: bool                       # whether it ever was
    programs: Tuple[bytes, ...]         # that write for it (_COMM)
    owner: int                          # who has the data root: his engine writes, or root's
    alone: bool = False                 # whether entries of others are left out: the field is not one that only the engine uses


def log_of(disk: Any, whose: Whose, driver: str, asked: bool = True) -> Tuple[Optional[model.Log], List[model.Problem]]:
    """(model.Log, problems) of a container whose log is in the journal of the host DISK; None if there is no journal. ASKED false: the log
    driver is not known, so None also if the journal has nothing of the container."""
    found = _Reader(disk, whose)
    if disk not in _there:
        _there[disk] = bool(found.files())
    if not _there[disk]:
        return None, [problem('LOG_NOT_ON_DISK', whose.shown, 'The logs of %s went to the journal of the host, and there is none on this disk.' % whose.shown,
                              'It is in /var/log/journal, which may be another file system that is not mounted. Without that folder, journald keeps the '
                              'journal in memory (/run/log/journal).')] if asked else []
    if not asked and not found.look()[0]:
        return None, []
    return model.Log(driver, (), 0, None, 'journal', model.Journal(found.look, found.read)), []


def owner_of(path: Optional[bytes]) -> int:
    """The user id of a folder, 0 if it cannot be looked at."""
    try:
        return safeio.lstat(path).st_uid if path is not None else 0
    except OSError:
        return 0


class _File(NamedTuple):
    path: bytes
    device: int
    inode: int


class _Opened(object):
    """Files of the journal, of which a few are open at once."""

    def __init__(self) -> None:
        self._fds: 'OrderedDict[_File, int]' = OrderedDict()

    def open(self, item: _File) -> journal.JournalFile:
        """OSError, journal.JournalError."""
        return journal.JournalFile(lambda size, offset: self._pread(item, size, offset), lambda: os.fstat(self._fd(item)).st_size)

    def _fd(self, item: _File) -> int:
        fd = self._fds.pop(item, None)
        if fd is None:
            while len(self._fds) >= MAX_OPEN:
                os.close(self._fds.popitem(last=False)[1])
            fd = _open(item)
        self._fds[item] = fd
        return fd

    def _pread(self, item: _File, size: int, offset: int) -> bytes:
        fd = self._fd(item)
        try:
            return os.pread(fd, size, offset)
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
        parts = []                      # a bad sector: what is around it can be read
        while size > 0:
            part = min(size, 4096 - offset % 4096)
            try:
                parts.append(os.pread(fd, part, offset))
            except OSError:
                parts.append(b'\0' * part)
            offset += part
            size -= part
        return b''.join(parts)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])


def _open(item: _File) -> int:
    """A descriptor of a file, which a running journald may have renamed since it was listed."""
    with safeio.Dir.root(os.path.dirname(item.path)) as folder:
        for name in [os.path.basename(item.path)] + folder.names():
            try:
                fd = folder.open(name)
            except OSError:
                continue
            st = os.fstat(fd)
            if (st.st_dev, st.st_ino) == (item.device, item.inode):
                return fd
            os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), item.path)


class _Reader(object):
    """The entries of one container in the journal of one host."""

    def __init__(self, disk: Any, whose: Whose) -> None:
        self._disk = disk
        self._whose = whose
        self._looked: Optional[Tuple[int, str]] = None

    def files(self) -> List[_File]:
        """The files of the journal as they are now."""
        found: List[_File] = []
        for path in FOLDERS:
            try:
                with safeio.Dir.root(self._disk.resolve(path)) as top:
                    _list(top, found)
                    for name in top.names():
                        if _MACHINE.match(name):
                            try:
                                _list(top.child(name), found)
                            except OSError:
                                continue
            except OSError:
                continue
        return found

    def look(self) -> Tuple[int, str]:
        """See model.Journal."""
        if self._looked is None:
            total, marks, opened = 0, [], _Opened()
            try:
                for item in self.files():
                    try:
                        found = opened.open(item)
                        count = found.count(self._whose.match)
                    except (OSError, journal.JournalError):
                        marks.append('%s unreadable' % wording.text(os.path.basename(item.path)))
                        continue
                    if count is None:
                        marks.append('%s damaged %d' % (found.file_id.hex(), found.end))
                    elif count:
                        marks.append('%s %d' % (found.file_id.hex(), count))
                    total += count if count is not None else 1
            finally:
                opened.close()
            self._looked = total, ', '.join(sorted(marks))
        return self._looked

    def read(self, unpack: model.Unpack, keep: Optional[Callable[[bytes], Any]], problems: List[model.Problem]) -> Iterator[LogRecord]:
        """See model.Journal."""
        opened, told = _Opened(), _Told(self._whose)
        try:
            files = []
            for item in self.files():
                try:
                    files.append((item, opened.open(item)))
                except (OSError, journal.JournalError) as exc:
                    told.unreadable(item.path, exc)
            for found, entry in _unpacked(_merged(files, self._whose.match, told), unpack, told):
                if self._whose.match not in entry.fields or self._whose.alone and told.other(entry):
                    continue            # the index led astray
                if keep is not None:
                    keep(exported(entry, found.seqnum_id))
                record = told.record(entry)
                if record is not None:
                    yield record
            told.finish(files, problems)
        finally:
            opened.close()


def _list(folder: safeio.Dir, found: List[_File]) -> None:
    for name in folder.names():
        if _FILE.match(name) and len(found) < MAX_FILES:
            st = folder.stat(name)
            if stat.S_ISREG(st.st_mode) and not any((item.device, item.inode) == (st.st_dev, st.st_ino) for item in found):
                found.append(_File(os.path.join(folder.path(), name), st.st_dev, st.st_ino))


_Files = List[Tuple[_File, journal.JournalFile]]
_Pairs = Iterator[Tuple[journal.JournalFile, journal.Entry]]


def _merged(files: _Files, match: bytes, told: '_Told') -> _Pairs:
    """Yield (file, entry) of all files in the order of libsystemd, each entry once: by the sequence number where the files are of one journald,
    else by the time since the boot, else by the clock."""
    groups: Dict[bytes, List[List[Any]]] = {}
    for number, (item, found) in enumerate(files):
        groups.setdefault(found.seqnum_id, []).append([found.head_seqnum, number, item, found, None, None])
    streams = [_of_one_journald(groups[key], match, told) for key in sorted(groups)]
    heads = [next(stream, None) for stream in streams]
    last: Optional[Tuple[Any, ...]] = None
    while True:
        best = None
        for number, head in enumerate(heads):
            if head is not None and (best is None or _before(head[1], heads[best][1])):  # type: ignore[index]  # it is not None
                best = number
        if best is None:
            return
        head = heads[best]
        heads[best] = next(streams[best], None)
        if head is None:
            raise AssertionError('it was chosen')
        mark = head[1][2:5] + (head[1].realtime, best)
        if last is None or mark[:-1] != last[:-1] or mark[-1] == last[-1]:
            yield head
        last = mark


def _of_one_journald(heap: List[List[Any]], match: bytes, told: '_Told') -> _Pairs:
    """Yield (file, entry) of files that share their sequence numbers. A file is read only when its first number is due."""
    heapq.heapify(heap)
    before = None
    while heap:
        dummy, number, item, found, entry, entries = heap[0]
        if entry is not None and entry[:5] != before:
            yield found, entry
            before = entry[:5]
        if entries is None:
            entries = found.read(match)
        try:
            entry = next(entries, None)
        except OSError as exc:
            told.unreadable(item.path, exc)
            entry = None
        if entry is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, [entry.seqnum, number, item, found, entry, entries])


def _before(one: journal.Entry, other: journal.Entry) -> bool:
    if one.boot_id == other.boot_id and one.monotonic != other.monotonic:
        return one.monotonic < other.monotonic
    return (one.realtime, one.xor_hash) < (other.realtime, other.xor_hash)


def _unpacked(pairs: _Pairs, unpack: model.Unpack, told: '_Told') -> _Pairs:
    """The same with what is packed with zstd unpacked, many entries at once: for each a program would have to be started."""
    waiting: List[Tuple[journal.JournalFile, journal.Entry]] = []
    size = 0
    for found, entry in pairs:
        packed = sum(field.size for field in entry.fields if isinstance(field, journal.Packed))
        if not packed and not waiting:
            yield found, entry
            continue
        waiting.append((found, entry))
        size += packed
        if len(waiting) >= BATCH or size >= BATCH_BYTES:
            yield from _batch(waiting, unpack, told)
            waiting, size = [], 0
    if waiting:
        yield from _batch(waiting, unpack, told)


def _batch(waiting: List[Tuple[journal.JournalFile, journal.Entry]], unpack: model.Unpack, told: '_Told') -> _Pairs:
    frames = [field for dummy, entry in waiting for field in entry.fields if isinstance(field, journal.Packed)]
    try:
        contents = iter(unpack([(field.frame, field.size) for field in frames]))
    except LifeboatError as exc:
        told.cannot = str(exc)
        contents = iter([None] * len(frames))
    for found, entry in waiting:
        fields = [next(contents, None) if isinstance(field, journal.Packed) else field for field in entry.fields]
        whole: List[Union[bytes, journal.Packed]] = [field for field in fields if field is not None]
        yield found, entry._replace(fields=whole, lost=entry.lost + len(fields) - len(whole))


def exported(entry: journal.Entry, seqnum_id: bytes) -> bytes:
    """An entry in the export format of systemd (`journalctl -o export`), which systemd-journal-remote makes a journal of again."""
    boot = entry.boot_id.hex()
    cursor = 's=%s;i=%x;b=%s;m=%x;t=%x;x=%x' % (seqnum_id.hex(), entry.seqnum, boot, entry.monotonic, entry.realtime, entry.xor_hash)
    parts = [('__CURSOR=%s\n__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\n' % (
        cursor, entry.realtime, entry.monotonic, boot)).encode('ascii')]
    for name, value in entry.values():
        if name == b'_BOOT_ID':
            continue
        try:
            plain = _PRINTABLE.match(value.decode('utf-8')) is not None
        except UnicodeDecodeError:
            plain = False
        parts.append(b'%s=%s\n' % (name, value) if plain else b'%s\n%s%s\n' % (name, len(value).to_bytes(8, 'little'), value))
    parts.append(b'\n')
    return b''.join(parts)


class _Told(object):
    """What was met while the entries of a container were read, and the problems that follow from it."""

    def __init__(self, whose: Whose) -> None:
        self._whose = whose
        self.cannot = ''                # why nothing packed can be read
        self._records = self._lost = 0
        self._unreadable: List[str] = []
        self._others: Dict[str, int] = {}
        self._numbers: Dict[bytes, List[int]] = {}      # {epoch: [how many records, the highest number]}

    def unreadable(self, path: bytes, exc: Exception) -> None:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        self._unreadable.append('%s cannot be read (%s)' % (wording.text(os.path.basename(path)), why))

    def record(self, entry: journal.Entry) -> Optional[LogRecord]:
        """What the engine prints of an entry; None for what it does not print."""
        values: Dict[bytes, bytes] = {}
        for name, value in entry.values():
            if name in _WANTED:
                values.setdefault(name, value)
        if not entry.lost or b'_UID' in values:
            self._writer(values)
        message, stream = values.get(b'MESSAGE'), _STREAMS.get(values.get(b'PRIORITY', b''))
        if entry.lost:
            stream = stream or 'stdout'
            if message is None:
                message, self._lost = b'(this line cannot be read)', self._lost + 1
        if message is None or stream is None:
            return None
        self._records += 1
        if message.endswith(b'\n'):     # conmon leaves it there
            message = message[:-1]
        partial = values.get(b'CONTAINER_PARTIAL_MESSAGE') == b'true'
        return LogRecord(_time(entry.realtime), stream, message if partial else message + b'\n', {})

    def _trusted(self, uid: bytes, program: bytes) -> bool:
        """Of a program that ended at once, as conmon does behind the last line, journald often learns the user only."""
        return uid in (b'0', b'%d' % self._whose.owner) and (not program or program in self._whose.programs)

    def other(self, entry: journal.Entry) -> bool:
        """Whether something else than the engine wrote ENTRY, as far as that can be told."""
        values = dict(entry.values())
        return not values.get(b'_COMM') or not self._trusted(values.get(b'_UID', b''), values[b'_COMM'])

    def _writer(self, values: Dict[bytes, bytes]) -> None:
        uid, program = values.get(b'_UID', b'unknown'), values.get(b'_COMM', b'')
        if not self._trusted(uid, program):
            who = '%s of user %s' % (wording.show(wording.text(program)) or 'a program', wording.show(wording.text(uid)))
            if who in self._others or len(self._others) < 1000:
                self._others[who] = self._others.get(who, 0) + 1
            return
        number, epoch = values.get(b'CONTAINER_LOG_ORDINAL', b''), values.get(b'CONTAINER_LOG_EPOCH', b'')
        if number.isdigit() and len(number) < 19 and (epoch in self._numbers or len(self._numbers) < 1000):
            known = self._numbers.setdefault(epoch, [0, 0])
            known[0] += 1
            known[1] = max(known[1], int(number))

    def finish(self, files: _Files, problems: List[model.Problem]) -> None:
        """Add what there is to say to PROBLEMS."""
        shown = self._whose.shown
        damaged = self._unreadable + ['%s: %s' % (wording.text(os.path.basename(item.path)), ', '.join(
            ['its index is damaged'] * found.scanned + ['%d %s' % (count, what) for what, count in sorted(found.damage.items())]))
            for item, found in files if found.scanned or found.damage]
        if self._lost:
            damaged.insert(0, '%d lines cannot be read%s' % (self._lost, ' (%s)' % self.cannot if self.cannot else ''))
        if damaged:
            problems.append(problem('LOG_DAMAGED', shown, 'The logs of %s are in the journal of the host, which is damaged: %s.' % (
                shown, '; '.join(damaged[:MAX_TOLD]) + ('; and %d more' % (len(damaged) - MAX_TOLD) if len(damaged) > MAX_TOLD else '')),
                'Install zstd on the host that reads it.' if self.cannot else ''))
        if self._others:
            problems.append(problem('LOG_OTHER_WRITERS', shown, 'In the logs of %s, %s are not of the engine but of other programs: %s.' % (
                shown, wording.number(sum(self._others.values()), 'record'), ', '.join(sorted(self._others)[:MAX_TOLD])),
                'The engine prints them, too. Do not trust them.'))
        missing = sum(most - count for count, most in self._numbers.values() if most > count)
        cut = self._cut([found for dummy, found in files])
        if missing:
            cut = '%s that the engine numbered are not in it%s' % (wording.number(missing, 'record'), '; ' + cut if cut else '')
        if cut:
            problems.append(problem('LOG_NOT_WHOLE', shown, 'The journal of the host does not have all logs of %s: %s.' % (shown, cut),
                                    'journald deletes its oldest files, and drops what comes too fast. Look for older journals in backups.'))

    def _cut(self, files: List[journal.JournalFile]) -> str:
        """What the journal cannot have of the container, as a clause."""
        begin = min([found.head_realtime for found in files if found.head_realtime] or [0])
        end = max([found.tail_realtime for found in files] or [0])
        if not self._whose.started:
            return ''
        try:
            seconds, nanos = gotypes.parse_time(self._whose.created or '')
            created = seconds * 1000000 + nanos // 1000
        except ValueError:
            created = begin
        if begin > created:
            return 'it begins at %s, and the container was created at %s' % (_time(begin), self._whose.created)
        if not self._records:
            return 'it has nothing of the container; it begins at %s and ends at %s' % (_time(begin), _time(end))
        return ''


def _time(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1000000)
    try:
        return gotypes.format_time(seconds, rest * 1000)
    except ValueError:                  # no year has five digits
        return ''
