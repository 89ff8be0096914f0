"""How much lies in a tree, where, how old, how much of it matters, and which databases are in it. One walk for all.

:func:`scan` takes any stream of tree.Entry (merged views, full-copy drivers). :func:`scan_folder` reads a folder itself: a
layer of a union file system or a volume. It makes no record for each file, which is what keeps it near the speed of du(1).
Both count by the same loop, :meth:`_Walk.measure`.

Sizes are bytes. `bytes` counts what is not a folder, a file with several names once (as `docker ps -s` does);
`allocated` counts blocks of folders too, but for the root's own (as du does).
"""
import errno
import heapq
import os
import time
from datetime import datetime, timedelta
from itertools import islice
from typing import (
    Any,
    Callable,
    Collection,
    ContextManager,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from ..databases import detector as databases, noise, registry
from ..databases.look import Look
from ..disk import safeio
from ..disk.tree import Entry, Failure
from ..formats import wording
from ..records import model
from . import ahead

MAX_FAILURES = 20                       # kept of those that are counted
BIG_FOLDER = 4 << 20                    # st_size from which a folder's names are not all held in memory
CHUNK = 20000                           # names between two looks at the clock
MAX_PATH = 16384                        # four times what a program can name; a deeper nest is there to do harm
_NOISE, _MEDIA, _PROBE = 1, 2, 3        # what the last four characters of a name can mean


class Usage(NamedTuple):
    """`complete` is False when a limit ended the walk, or something could not be read: the numbers are then a floor.

    `files` counts names that are not folders. `top`: ``{path, bytes}`` of disjoint places, largest first: a folder
    at `top_depth` stands for all below it, one above for the files right in it. `noise_bytes` + `data_bytes` = `bytes`.
    `failures`: ``path: error``, the first of `failures_total`. `cut`: which limit ended the walk.
    """
    bytes: int
    allocated: int
    files: int
    newest_mtime: Optional[str]
    top: List[Dict[str, Any]]
    complete: bool
    failures: List[str]
    databases: List[databases.Found]
    noise_bytes: int
    data_bytes: int
    data_files: int
    failures_total: int = 0
    cut: Optional[str] = None
    databases_total: int = 0

    def as_dict(self) -> Dict[str, Any]:
        """The keys of `usage` in the facts; databases stand beside it."""
        fields = {key: getattr(self, key) for key in ('bytes', 'allocated', 'files', 'newest_mtime', 'top', 'complete',
                                                      'noise_bytes', 'data_bytes', 'data_files')}
        if self.failures_total:
            fields['failures'] = self.failures
            fields['failures_total'] = self.failures_total
        if self.cut:
            fields['cut'] = self.cut
        if self.databases_total > len(self.databases):
            fields['databases_total'] = self.databases_total
        return fields


class Budget(object):
    """Limits of one walk, or of several that share them. None or 0: no limit."""

    def __init__(self, scan_timeout: Optional[int] = None, scan_max_files: Optional[int] = None) -> None:
        self.scan_timeout = scan_timeout
        self.files_left = scan_max_files or None
        self._end = time.monotonic() + scan_timeout if scan_timeout else None

    @classmethod
    def of(cls, limits: 'Union[Budget, Mapping[str, int], None]') -> 'Budget':
        """LIMITS: None, a dict with the two options, or a Budget."""
        return limits if isinstance(limits, Budget) else cls(**(limits or {}))

    def spend(self, files: int) -> Optional[str]:
        """None, or the name of the limit that is reached."""
        if self.files_left is not None:
            self.files_left -= files
            if self.files_left < 0:
                return 'scan_max_files'
        if self._end is not None and time.monotonic() > self._end:
            return 'scan_timeout'
        return None


class _Folder(object):
    """A folder on the path from the root to where the walk is."""
    __slots__ = ('parent', 'prefix', 'depth', 'noise', 'ignored', 'quiet', 'special', 'own', 'bytes', 'files',
                 'noise_bytes', 'noise_files', 'media', 'media_bytes', 'uploads')

    def __init__(self, parent: 'Optional[_Folder]', prefix: bytes, depth: int) -> None:
        self.parent = parent
        self.prefix = prefix            # bytes, b'' or with a slash at the end
        self.depth = depth
        self.noise: Optional[str] = None  # why all in it is noise
        self.ignored = False            # nothing in it can be state
        self.quiet = False              # lies in a database
        self.special: Optional[Dict[str, str]] = None   # names of single files that are noise here
        self.own = self.bytes = self.files = 0
        self.noise_bytes = self.noise_files = self.media = self.media_bytes = 0
        self.uploads: Optional[List[Tuple[bytes, int, int]]] = None


class _Tally(object):
    """What a walk adds to."""

    def __init__(self, top_depth: int, top_count: int, detector: Optional[databases.Detector],
                 limits: Optional[Union[Dict[str, int], Budget]], table: Union[Tuple[noise.Noise, ...], noise.Compiled]) -> None:
        self.top_depth = max(top_depth, 0)
        self.top_count = top_count
        self.detector = detector
        self.budget = Budget.of(limits)
        self.noise = table if isinstance(table, noise.Compiled) else noise.Compiled(table)
        self.allocated = 0              # blocks of 512 bytes
        self.newest: Optional[int] = None
        self.links: Set[Tuple[int, int]] = set()  # (device, inode) of files with several names
        self.failures: List[str] = []
        self.failures_total = 0
        self.cut: Optional[str] = None
        self.tops: List[Tuple[int, bytes]] = []  # heap of (bytes, prefix)
        self.root = _Folder(None, b'', 0)

    def enter(self, parent: _Folder, name: bytes) -> _Folder:
        """The _Folder for NAME (bytes) in PARENT."""
        folder = _Folder(parent, parent.prefix + name + b'/', parent.depth + 1)
        text, path = os.fsdecode(name), os.fsdecode(folder.prefix[:-1])
        folder.noise = parent.noise or self.noise.folder(path, text)
        folder.special = self.noise.files.get(path)
        if self.detector is not None:
            folder.ignored = parent.ignored or databases.ignored(path, text)
            folder.quiet = parent.quiet or self.detector.enclosed(folder.prefix)
        return folder

    def leave(self, folder: _Folder) -> None:
        """All below FOLDER is counted; add it to its parent."""
        if folder.depth <= self.top_depth:
            size = folder.bytes if folder.depth == self.top_depth else folder.own
            if size:
                heapq.heappush(self.tops, (size, folder.prefix))
                if self.top_count and len(self.tops) > self.top_count:
                    heapq.heappop(self.tops)
        if self.detector is not None:
            if self.detector.leave(folder.prefix, folder.bytes) and not folder.noise:
                folder.noise_bytes = folder.noise_files = 0
                folder.media = folder.media_bytes = 0
                folder.uploads = None
            elif folder.media >= databases.UPLOADS_FROM and \
                    folder.media_bytes >= folder.bytes * databases.UPLOADS_SHARE:
                if [one[1] for one in folder.uploads or ()] != [folder.media]:      # else a folder below has them all
                    folder.uploads = [(folder.prefix, folder.media, folder.media_bytes)]
        parent = folder.parent
        if parent is None:
            return
        parent.bytes += folder.bytes
        parent.files += folder.files
        parent.noise_bytes += folder.noise_bytes
        parent.noise_files += folder.noise_files
        parent.media += folder.media
        parent.media_bytes += folder.media_bytes
        if folder.uploads:
            parent.uploads = (parent.uploads or []) + folder.uploads

    def fail(self, path: bytes, error: OSError) -> None:
        self.failures_total += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append('%s: %s' % (wording.text(b'/' + path), error.strerror or error))

    def result(self) -> Usage:
        root = self.root
        found, total = [], 0
        if self.detector is not None:
            for prefix, files, size in (root.uploads or [])[:databases.MAX_FOUND]:
                self.detector.uploads(prefix, files, size)
            found, total = self.detector.records(), self.detector.total
            if not self.detector.complete:
                self.cut = self.cut or 'candidates'
        top = [dict(wording.path_fields(b'/' + prefix.rstrip(b'/')), bytes=size)
               for size, prefix in sorted(self.tops, key=lambda one: (-one[0], one[1]))]
        return Usage(root.bytes, self.allocated * 512, root.files, rfc3339(self.newest), top,
                     not self.cut and not self.failures_total, self.failures, found, root.noise_bytes,
                     root.bytes - root.noise_bytes, root.files - root.noise_files, self.failures_total, self.cut, total)


def rfc3339(seconds: Optional[int]) -> Optional[str]:
    """RFC 3339 UTC text of a time stamp from a disk, None for None. A year no calendar has becomes its nearest one."""
    if seconds is None:
        return None
    low, high = -62135596800, 253402300799
    moment = datetime(1970, 1, 1) + timedelta(seconds=min(max(int(seconds), low), high))
    return moment.strftime('%Y-%m-%dT%H:%M:%SZ') if moment.year >= 1000 else moment.isoformat() + 'Z'


# -- what is walked -------------------------------------------------------------------------------------------------

def scan(entries: Iterable[Union[Entry, Failure]], top_depth: int = 2, top_count: int = 10, detector: Optional[databases.Detector] = None,
         limits: Optional[Dict[str, int]] = None, table: Union[Tuple[noise.Noise, ...], noise.Compiled] = noise.TABLE) -> Usage:
    """:class:`Usage` of ENTRIES, a stream of tree.Entry and tree.Failure in the house's order.

    TABLE: what counts as noise (noise.TABLE, noise.extended(...), or a noise.Compiled); () for nothing.
    LIMITS: see :meth:`Budget.of`.
    """
    tally = _Tally(top_depth, top_count, detector, limits, table)
    _Walk(tally, model.PLAIN, None).stream(entries)
    return tally.result()


def scan_folder(path: Union[bytes, int], encoding: str = model.PLAIN, top_depth: int = 2, top_count: int = 10,
                detector: Optional[databases.Detector] = None, limits: Optional[Union[Dict[str, int], Budget]] = None,
                table: Union[Tuple[noise.Noise, ...], noise.Compiled] = noise.TABLE,
                trace: 'Optional[Trace]' = None, helper: bool = False) -> Usage:
    """:class:`Usage` of the folder PATH (bytes, absolute; or an open descriptor): a layer of the given model ENCODING, or a volume.

    Full-copy layers (model.PLAIN from vfs or btrfs) hold the image too: give :func:`scan` the changed entries instead.
    TRACE, a :class:`Trace`, learns by what a later run can tell that nothing changed. HELPER: a second process takes
    part of the work. Raises OSError if PATH can't be opened.
    """
    tally = _Tally(top_depth, top_count, detector, limits, table)
    walk = _Walk(tally, encoding, trace)
    with safeio.Dir.held(path) if isinstance(path, int) else safeio.Dir.root(path) as root:
        walk.run(root, helper)
    return tally.result()


class Trace(object):
    """Every folder of a walk, and the files that changed last (a file that is written in place leaves its folder as
    it is, but what is written is mostly what was written before)."""
    NEWEST = 16

    def __init__(self) -> None:
        self.folders: List[Tuple[bytes, os.stat_result]] = []  # (prefix, lstat)
        self.newest: List[Tuple[int, bytes]] = []  # heap of (mtime, path)
        self.floor = -1 << 62           # an older file is not among the newest

    def folder(self, prefix: bytes, st: os.stat_result) -> None:
        self.folders.append((prefix, st))

    def file(self, mtime: int, path: bytes) -> None:
        heapq.heappush(self.newest, (mtime, path))
        if len(self.newest) > self.NEWEST:
            heapq.heappop(self.newest)
            self.floor = self.newest[0][0] + 1


class Counted(NamedTuple):
    """Some names of one folder, counted: what :meth:`_Walk.measure` hands to :meth:`_Walk.add`, maybe from another process.
    What depends on the rest of the walk is listed instead."""
    names: int                          # all of them
    markers: List[str]                  # names that tell of a database
    files: int
    bytes: int
    blocks: int
    newest: int                         # seconds; NEVER if there is no file
    noise_bytes: int
    noise_files: int
    media: int
    media_bytes: int
    folders: List[Any]                  # (name, lstat)
    linked: List[Any]                   # (name, lstat) of files with more names; they are in no sum
    candidates: List[Any]               # (name, lstat) of files that may be a database
    recent: List[Any]                   # (mtime, name) of files not older than `floor`
    failures: List[Any]                 # (name, errno)


NEVER = -1 << 62


def _with_stats(part: Counted, change: Callable[[Any], Any]) -> Counted:
    return part._replace(folders=list(map(change, part.folders)), linked=list(map(change, part.linked)),
                         candidates=list(map(change, part.candidates)))


def _plain(pair: Tuple[str, os.stat_result]) -> Tuple[Any, ...]:
    """(name, lstat) for marshal."""
    return (pair[0],) + tuple(pair[1].__reduce__()[1])


def _revived(plain: Sequence[Any]) -> Tuple[str, os.stat_result]:
    return plain[0], os.stat_result(*plain[1:])


class _Walk(object):
    """One walk. Names are text here (surrogateescape), as os.listdir gives them for a descriptor."""

    def __init__(self, tally: _Tally, encoding: str, trace: Optional[Trace]) -> None:
        self.tally = tally
        self.trace = trace
        self.devices_hide = encoding in (model.OVERLAY, model.FUSE_OVERLAYFS)
        self.names_hide = encoding in (model.AUFS, model.FUSE_OVERLAYFS)
        self.tails = {tail: _NOISE for tail in tally.noise.tails}      # last four characters: what they mean
        self.markers = frozenset()
        if tally.detector is not None:
            self.tails.update((os.fsdecode(tail), _MEDIA) for tail in registry.MEDIA)
            self.tails.update((os.fsdecode(tail), _PROBE) for tail in registry.TAILS)
            self.markers = frozenset(os.fsdecode(name) for name in registry.MARKERS)
        self.noisy = frozenset(tally.noise.names).difference(self.markers)
        tally.root.special = tally.noise.files.get('')

    def stream(self, entries: Iterable[Union[Entry, Failure]]) -> None:
        """Count what others have looked at: entries of one folder that come one after the other together, but one that may be
        a database at once, while its folder is open."""
        tally, here = self.tally, self.tally.root
        held: Dict[str, os.stat_result] = {}
        telling = {os.fsencode(name[-4:]) for name in self.markers.union(tail for tail, means in self.tails.items() if means == _PROBE)}
        for entry in entries:
            if isinstance(entry, Failure):
                tally.fail(entry.path, entry.error)
                continue
            path, st, whiteout = entry[0], entry[1], entry[5]
            if whiteout:
                continue
            start = path.rfind(b'/') + 1
            if path[:start] != here.prefix:
                self.take_held(here, held)
                here = self.move(here, path[:start])
            name = path[start:]
            held[os.fsdecode(name)] = st
            if name[-4:] in telling or (not st[6] & 511 and st[6]) or len(held) > 255:
                self.take_held(here, held, entry)
            if tally.cut:
                if hasattr(entries, 'close'):
                    entries.close()
                break
        self.take_held(here, held)
        tally.leave(self.move(here, b''))

    def take_held(self, here: _Folder, held: Dict[str, os.stat_result], entry: Optional[Entry] = None) -> None:
        """Count HELD, {name: lstat} of what is right in HERE, and empty it. ENTRY: the last of them."""
        if held:
            self.take(here, entry, self.measure(here, held, held.__getitem__))
            held.clear()

    def move(self, here: _Folder, prefix: bytes) -> _Folder:
        """Leave and enter folders until the walk stands in PREFIX."""
        while not prefix.startswith(here.prefix):
            self.tally.leave(here)
            if here.parent is None:
                raise AssertionError("the root's prefix begins every path")
            here = here.parent
        for name in prefix[len(here.prefix):].split(b'/')[:-1]:
            here = self.tally.enter(here, name)
        return here

    def run(self, root: safeio.Dir, helper: bool) -> None:
        tally = self.tally
        here = tally.root
        st = os.fstat(root.fd)
        if self.trace is not None:
            self.trace.folder(b'', st)
        inner = self.read(here, root, st.st_size)
        far = ahead.Unopened(root)
        shared = ahead.start(inner, lambda some, send: self.exhaust(self.steps(far, iter(some), self.reads_for(send)))) \
            if helper and not tally.cut else None
        if shared is None:
            self.exhaust(self.steps(root, iter(inner), self.read))
        else:
            with shared:
                shared.drive(lambda some: self.steps(root, some, self.read),
                             lambda some: self.steps(far, some, self.reads_from(shared)), lambda: bool(tally.cut))
        tally.leave(here)

    @staticmethod
    def exhaust(steps: Iterable[None]) -> None:
        for dummy in steps:
            pass

    def steps(self, root: Union[safeio.Dir, ahead.Unopened], first: Iterable[Tuple[str, os.stat_result]],
              read: Callable[..., List[Tuple[str, os.stat_result]]]) -> Iterator[None]:
        """Walk the sub-folders FIRST, (name, lstat) each, of ROOT; yields after every folder."""
        tally = self.tally
        pending = [(tally.root, root, first)]
        while pending:
            here, folder, inner = pending[-1]
            for name, st in inner:
                raw = os.fsencode(name)
                below = tally.enter(here, raw)
                if self.trace is not None:
                    self.trace.folder(below.prefix, st)
                if len(below.prefix) > MAX_PATH:
                    tally.fail(below.prefix[:1024], OSError(errno.ENAMETOOLONG, 'folders are nested too deeply'))
                    continue
                try:
                    child = folder.child(raw)
                    pending.append((below, child, iter(read(below, child, st.st_size))))
                except OSError as exc:
                    tally.fail(below.prefix[:-1], exc)
                    continue
                yield
                break
            else:
                pending.pop()
                if pending:
                    folder.close()
                    tally.leave(here)

    def read(self, here: _Folder, folder: safeio.Dir, listing_size: int) -> List[Tuple[str, os.stat_result]]:
        """Count what is right in FOLDER; [(name, lstat)] of its sub-folders. OSError if it can't be listed."""
        if self.tally.cut:
            return []
        inner = []
        for names in self.listing(folder, listing_size):
            inner += self.take(here, folder, self.measure(here, names, safeio.looker(folder.fd)))
            if self.tally.cut:
                return []
        return inner

    def listing(self, folder: safeio.Dir, listing_size: int) -> Iterable[List[str]]:
        for names in _listing(folder, listing_size):
            yield [name for name in names if not name.startswith('.wh.')] if self.names_hide else names

    def reads_for(self, send: Callable[..., None]) -> Callable[..., List[Tuple[str, os.stat_result]]]:
        """A read() for the other process: what it counts goes to SEND."""
        def read(here: _Folder, folder: ahead.Unopened, listing_size: int) -> List[Tuple[str, os.stat_result]]:
            try:
                real = folder.opened()
                parts = [self.measure(here, names, safeio.looker(real.fd)) for names in self.listing(real, listing_size)]
            except OSError as exc:
                send(None, exc.errno)
                raise
            send([tuple(_with_stats(part, _plain)) for part in parts])
            return [one for part in parts for one in part.folders]
        return read

    def reads_from(self, shared: ahead.Shared) -> Callable[..., List[Tuple[str, os.stat_result]]]:
        """A read() that takes what the other process counted, and does itself what that left undone."""
        def read(here: _Folder, folder: ahead.Unopened, listing_size: int) -> List[Tuple[str, os.stat_result]]:
            if self.tally.cut:
                return []
            parts = shared.counted()
            if parts is None:
                return self.read(here, folder.opened(), listing_size)
            inner = []
            for part in map(Counted._make, parts):
                inner += self.take(here, folder, _with_stats(part, _revived))
                if self.tally.cut:
                    return []
            return inner
        return read

    def take(self, here: _Folder, source: Union[safeio.Dir, ahead.Unopened, Entry, None], counted: Counted) -> List[Tuple[str, os.stat_result]]:
        """Add up; the sub-folders, or [] if a limit is reached. SOURCE: see :func:`_look`."""
        if counted.markers and not here.ignored:
            self.look_at_markers(here, source, counted.markers)
        self.add(here, source, counted)
        self.tally.cut = self.tally.budget.spend(counted.names)
        return [] if self.tally.cut else counted.folders

    def look_at_markers(self, here: _Folder, source: Union[safeio.Dir, ahead.Unopened, Entry, None], hits: List[str]) -> None:
        detector = self.tally.detector
        if detector is None:
            return
        look = _look(source, here.prefix)
        for name in hits:
            detector.marker(look, os.fsencode(name), here.noise)
        here.quiet = here.quiet or detector.enclosed(here.prefix)

    def measure(self, here: _Folder, names: Collection[str], lstat: Callable[[str], os.stat_result], fresh: bool = False) -> Counted:
        """:class:`Counted` of NAMES. LSTAT(name) looks at one. Changes nothing: HERE is only asked what is noise in it. FRESH:
        files count whatever other names they have."""
        # The loop that runs once for each file of the host: local names, indexes of stat_result instead of
        # attributes (mode 0, inode 1, device 2, links 3, size 6, mtime 8), sums kept in locals.
        tail_means, devices_hide = self.tails.get, self.devices_hide
        noisy = self.noisy.intersection(names)
        if here.special:
            noisy = noisy.union(here.special)
        suffixes = self.tally.noise.suffixes
        by_name = bool(noisy or suffixes)
        probing = self.tally.detector is not None and not here.ignored
        files = total = blocks = noise_bytes = noise_files = media = media_bytes = 0
        folders, linked, candidates, recent, failures = [], [], [], [], []
        newest, floor = NEVER, 1 << 62 if self.trace is None else self.trace.floor
        for name in names:
            try:
                st = lstat(name)
            except FileNotFoundError:
                continue                # removed by a live container since the listing
            except OSError as exc:
                failures.append((name, exc.errno))
                continue
            kind = st[0] & 0o170000
            if kind == 0o040000:
                blocks += st.st_blocks
                folders.append((name, st))
                continue
            if kind == 0o020000 and devices_hide and not st.st_rdev:
                continue
            if st[3] > 1 and not fresh:
                linked.append((name, st))
                continue
            files += 1
            size = st[6]
            total += size
            blocks += st.st_blocks
            mtime = st[8]
            if mtime > newest:
                newest = mtime
            if mtime >= floor:
                recent.append((mtime, name))
            means = tail_means(name[-4:])
            if means or by_name:
                if means == _NOISE or name in noisy or (suffixes and name.endswith(suffixes)):
                    noise_bytes += size
                    noise_files += 1
                if means == _MEDIA and kind == 0o100000:
                    media += 1
                    media_bytes += size
            if probing and (means == _PROBE or (not size & 511 and size)) and kind == 0o100000 and name not in self.markers:
                candidates.append((name, st))
        return Counted(len(names), sorted(self.markers.intersection(names)), files, total, blocks, int(newest), noise_bytes,
                       noise_files, media, media_bytes, folders, linked, candidates, recent, failures)

    def add(self, here: _Folder, source: Union[safeio.Dir, ahead.Unopened, Entry, None], counted: Counted) -> None:
        tally = self.tally
        for name, number in counted.failures:
            tally.fail(here.prefix + os.fsencode(name), OSError(number, os.strerror(number)))
        here.files += counted.files
        here.bytes += counted.bytes
        here.own += counted.bytes
        here.noise_bytes += counted.noise_bytes if here.noise is None else counted.bytes
        here.noise_files += counted.noise_files if here.noise is None else counted.files
        tally.allocated += counted.blocks
        if counted.newest > NEVER and (tally.newest is None or counted.newest > tally.newest):
            tally.newest = counted.newest
        for mtime, name in counted.recent:
            if self.trace is not None and mtime >= self.trace.floor:
                self.trace.file(mtime, here.prefix + os.fsencode(name))
        if tally.detector is not None and not here.ignored and not here.quiet:
            if here.noise is None:
                here.media += counted.media
                here.media_bytes += counted.media_bytes
            for name, st in counted.candidates:
                tally.detector.file(_look(source, here.prefix), os.fsencode(name), st, here.noise)
        if counted.linked:
            self.add_linked(here, source, counted.linked)

    def add_linked(self, here: _Folder, source: Union[safeio.Dir, ahead.Unopened, Entry, None], linked: List[Tuple[str, os.stat_result]]) -> None:
        """Files with more names: each of them once."""
        fresh = {}
        for name, st in linked:
            if (st[2], st[1]) not in self.tally.links:
                self.tally.links.add((st[2], st[1]))
                fresh[name] = st
        here.files += len(linked) - len(fresh)
        if here.noise is not None:
            here.noise_files += len(linked) - len(fresh)
        if fresh:
            self.add(here, source, self.measure(here, fresh, fresh.__getitem__, True))


def _look(source: Union[safeio.Dir, ahead.Unopened, Entry, None], prefix: bytes) -> Look:
    """A look into the folder PREFIX. SOURCE: the folder itself, or the Entry in it that was met last: it knows how to open itself."""
    if source is None:
        raise AssertionError('who finds something to look at has it')
    return Look(source.folder, prefix, source) if isinstance(source, Entry) else Look(ahead.opened(source), prefix)


def _listing(folder: safeio.Dir, listing_size: int) -> Iterable[List[str]]:
    """Lists of names (text) of a folder, one after the other."""
    if listing_size < BIG_FOLDER or not safeio.SCANS:
        names = folder.texts()
        if len(names) <= CHUNK:
            return [names]
        return (names[at:at + CHUNK] for at in range(0, len(names), CHUNK))
    return _slices(folder.scan())


def _slices(found: 'ContextManager[Iterator[os.DirEntry[str]]]') -> Iterator[List[str]]:
    with found as listed:
        while True:
            names = [one.name for one in islice(listed, CHUNK)]
            if not names:
                return
            yield names
