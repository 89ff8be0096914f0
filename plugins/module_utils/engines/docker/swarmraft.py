"""The state of a swarm manager out of its raft log: the newest snapshot, and every change behind it.

An object stays as the bytes that the log has; most of them are tasks, which nobody asks for. (moby/swarmkit: manager/state/raft,
manager/state/raft/storage, manager/state/store, api/raft.proto, api/snapshot.proto.)
"""
import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ...disk import metadata
from ...formats import raftwal, wording
from ...formats.protobuf import Damaged, Message
from .swarmkeys import opened

if TYPE_CHECKING:
    from ...disk.safeio import Dir

# newest first: (log, snapshots, whether their contents are encrypted)
PLACES = ((b'wal-v3-encrypted', b'snap-v3-encrypted', True), (b'wal-v3', b'snap-v3', False), (b'wal', b'snap', False))
LARGEST = 256 << 20                     # bytes of a snapshot, which takes four times as much memory; it holds every secret, config and task
# field of a change, and of a snapshot: kind of the object
CHANGED = {2: 'node', 3: 'service', 4: 'task', 5: 'network', 6: 'cluster', 7: 'secret', 8: 'resource', 9: 'extension', 10: 'config', 11: 'volume'}
KEPT = {1: 'node', 2: 'service', 3: 'network', 4: 'task', 5: 'cluster', 6: 'secret', 7: 'resource', 8: 'extension', 9: 'config', 10: 'volume'}
CREATE, UPDATE, REMOVE = 1, 2, 3


class State(object):
    """What was read. `objects`: {kind: {ID: its bytes}}; `index`: the last change that is in them.

    `missing`: sentences on what could not be read and may be newer or more than what is here; `notes`: what was tried in vain, and
    replaced by something as good; `uncommitted`: changes at the end that the log does not call committed; `read`: something was.
    """

    def __init__(self) -> None:
        self.objects: Dict[str, Dict[str, bytes]] = {kind: {} for kind in CHANGED.values()}
        self.index = 0
        self.missing: List[str] = []
        self.notes: List[str] = []
        self.uncommitted = 0
        self.read = False
        self.torn = False


class _Place(NamedTuple):
    log: List[bytes]
    snapshots: List[bytes]
    log_folder: 'Dir'
    snapshot_folder: 'Dir'
    keys: Sequence[bytes]
    encrypted: bool


def exists(folder: 'Dir') -> bool:
    """Whether the folder `raft` of a node holds a log or a snapshot, or a folder for them that cannot be read."""
    return any(_is_there(folder, log) or _is_there(folder, snapshots) for log, snapshots, dummy in PLACES)


def needs_key(folder: 'Dir') -> bool:
    """Whether what is read first is encrypted: always, but for the first version of swarm."""
    return any(encrypted and (_is_there(folder, log) or _is_there(folder, snapshots)) for log, snapshots, encrypted in PLACES)


def read(folder: 'Dir', keys: Sequence[bytes]) -> State:
    """The State of the open folder `raft`. KEYS: of the log. Raises nothing for damage."""
    state = State()
    for log, snapshots, encrypted in PLACES:
        unread: List[str] = []
        segments = raftwal.segments(_names(folder, log, unread))
        found = raftwal.snapshots(_names(folder, snapshots, unread))
        state.missing.extend(unread)
        if segments or found or unread:  # what is older is no state of this swarm any more
            place = _Place(segments, found, _folder(folder, log), _folder(folder, snapshots), keys, encrypted)
            _read_place(state, place)
            break
    return state


def _read_place(state: State, place: _Place) -> None:
    newest = _newest(state, place)
    names = raftwal.needed(place.log, state.index)
    if not names:
        state.missing.append('the log is missing')
        return
    with _opened(place.log_folder, names, state) as streams:
        log = raftwal.Log().read(streams, state.index)
    state.torn = log.torn
    first = log.entries[0].number if log.entries else raftwal.begins_after(names[0]) + 1
    if first > state.index + 1:
        state.missing.append('changes %d to %d are missing' % (state.index + 1, first - 1))
    recorded = max(log.snapshots + [0])
    if recorded > max(newest, log.entries[-1].number if log.entries else 0):
        state.missing.append('the snapshot of change %d is missing, or was not read' % recorded)
    _apply_all(state, log, place)
    if log.damage:
        state.missing.append('the log is damaged behind change %d (%s)' % (state.index, log.damage))
    state.uncommitted = sum(1 for entry in log.entries if entry.number > log.commit) if log.commit else 0


def _newest(state: State, place: _Place) -> int:
    """Fill STATE from the newest snapshot that can be read -> its index, 0 for none."""
    for name in place.snapshots:
        try:
            size = place.snapshot_folder.stat(name).st_size
            if size > LARGEST:
                raise Damaged('it has %d MiB, and no more than %d MiB are read into memory' % (size >> 20, LARGEST >> 20))
            found = raftwal.snapshot(place.snapshot_folder.read(name, LARGEST))
            _take_snapshot(state, _plain(found.data, place))
        except (OSError, Damaged) as exc:
            state.notes.append('the snapshot %s cannot be read: %s' % (name.decode('ascii'), getattr(exc, 'strerror', None) or exc))
            continue
        state.index, state.read = found.number, True
        return found.number
    return 0


def _take_snapshot(state: State, data: bytes) -> None:
    store = Message(data).message(3)
    objects: Dict[str, Dict[str, bytes]] = {kind: {} for kind in CHANGED.values()}
    for field, kind in KEPT.items():
        for raw in store.all_bytes(field):
            objects[kind][Message(raw).text(1)] = raw
    state.objects = objects


def _apply_all(state: State, log: raftwal.Log, place: _Place) -> None:
    """What cannot be read is passed over: what comes behind it is more than nothing."""
    failed: List[Tuple[int, str]] = []
    for entry in log.entries:
        if entry.kind == raftwal.NORMAL and entry.data:         # a new leader begins with an empty one
            try:
                _apply(state, _plain(entry.data, place))
            except Damaged as exc:
                failed.append((entry.number, str(exc)))
                continue
            state.read = True
        state.index = entry.number
    if failed:
        state.missing.append('%s cannot be read, the first is %d: %s' % (wording.number(len(failed), 'change'), failed[0][0], failed[0][1]))


def _apply(state: State, data: bytes) -> None:
    """One request: all of its changes, or none where it is damaged."""
    changes: List[Tuple[int, str, str, bytes]] = []
    for change in Message(data).messages(2):
        for field, kind in CHANGED.items():
            for raw in change.all_bytes(field)[-1:]:
                changes.append((change.number(1), kind, Message(raw).text(1), raw))
    for action, kind, ident, raw in changes:
        if action in (CREATE, UPDATE):
            state.objects[kind][ident] = raw
        elif action == REMOVE:
            state.objects[kind].pop(ident, None)


def _plain(data: bytes, place: _Place) -> bytes:
    return opened(Message(data), place.keys) if place.encrypted else data


@contextlib.contextmanager
def _opened(folder: 'Dir', names: List[bytes], state: State) -> Iterator[List[BinaryIO]]:
    """The segments, each opened when it stands in the list; those behind one that cannot be opened are left out."""
    streams: List[BinaryIO] = []
    try:
        for name in names:
            try:
                streams.append(os.fdopen(folder.open(name), 'rb'))
            except OSError as exc:
                state.missing.append('the segment %s of the log cannot be read: %s' % (name.decode('ascii'), exc.strerror))
                break
        yield streams
    finally:
        for stream in streams:
            stream.close()


def _is_there(folder: 'Dir', name: bytes) -> bool:
    unread: List[str] = []
    return bool(_names(folder, name, unread) or unread)


def _names(folder: 'Dir', name: bytes, unread: List[str]) -> List[bytes]:
    """What is in a folder below FOLDER, [] where there is none. A sentence goes to UNREAD where it cannot be read."""
    try:
        below = folder.child(name)
        try:
            return [each for each in below.names() if raftwal.SEGMENT.match(each) or raftwal.SNAP.match(each)]
        finally:
            below.close()
    except FileNotFoundError:
        return []
    except OSError as exc:
        unread.append('the folder %s cannot be read: %s' % (name.decode('ascii'), metadata.describe(exc)))
        return []


def _folder(folder: 'Dir', name: bytes) -> 'Dir':
    """The folder NAME, or FOLDER itself where it is not there: then nothing in it is asked for."""
    try:
        return folder.child(name)
    except OSError:
        return folder
