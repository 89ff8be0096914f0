"""etcd: no program of the image is needed. What its write-ahead log has and its file not yet is applied in a copy, which is written as a
snapshot: the form of `etcdctl snapshot save`, that ends with a checksum."""
import hashlib
import json
import os
from typing import Any, BinaryIO, Dict, List, Tuple

from ...formats import boltdb, etcdstate, raftwal, wording
from ..room import MAX_SAID, Refused, Room
from ..target import Kind, Target
from ..viewfiles import opened

FOUND = b'/run/lifeboat/etcd.json'
OUT = b'lifeboat-snapshot.db'
DB, WAL, SNAP = b'member/snap/db', b'member/wal', b'member/snap'
COPIES = 5                              # of the file that are in memory at once; more where it has many small values
V2 = b'"Path":"/1/'                     # in a snapshot: a key of the API of version 2


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = os.fsencode(room.adopt(target.path))
    out = os.path.join(folder, OUT)
    size = os.lstat(os.path.join(folder, DB)).st_size
    if size * COPIES > room.limits.memory:
        raise Refused('DUMP_NO_SPACE', 'its file has %d MiB, and it takes %d times of that in memory: raise memory' % (size >> 20, COPIES))
    if room.fork(lambda: _recover(folder, out, target.verify)):
        raise Refused('DUMP_SERVER_FAILED', 'its file cannot be read, or takes more memory than it may (the option memory): see the log')
    with opened(FOUND) as raw:
        found: Dict[str, Any] = json.loads(raw.read(MAX_SAID).decode('utf-8'))
    digest = hashlib.sha256()
    room.out_file(out, digest.update)
    room.out(digest.digest())
    return found


def _recover(folder: bytes, out: bytes, count: bool) -> None:
    """In a process without privileges: write the data to OUT, and what is to be said of them to FOUND."""
    with opened(os.path.join(folder, DB)) as raw:
        database = boltdb.open_db(raw.read())
    state = etcdstate.State(database)
    marks = list(database.warnings)
    alone = state.members() == 1
    if not alone:
        marks.append('one of %s; another one may know more' % wording.number(state.members(), 'member'))
    log, partial = _log(folder, state.index)
    partial += state.replay(log, alone)
    marks.append('%d entries of the write-ahead log are in it, beyond those that its file has' % state.applied)
    if log.damage:
        partial.append('its write-ahead log is damaged, and what was written last may be missing: %s' % log.damage)
    if state.errors:
        partial.append('its file is damaged in at least %s: %s' % (wording.number(len(state.errors), 'place'), state.errors[0]))
    if state.old_api or _has_v2(folder):
        partial.append('keys of the API of version 2 are not in it')
    version = state.buckets.get(b'cluster', {}).get(b'clusterVersion', b'').decode('ascii', 'replace')
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), 'wb') as written:
        for piece in state.pieces(database):
            written.write(piece)
    keys = state.keys
    if count:
        del database, state
        with opened(out) as raw:
            again = etcdstate.State(boltdb.open_db(raw.read()))
        if again.errors or again.keys != keys:
            partial.append('the keys in the dump are others than those that were read: %d and %d' % (len(again.keys), len(keys)))
        marks.append('revision %d' % again.revision)
    with open(FOUND, 'w', encoding='utf-8') as told:
        json.dump({'version': version, 'counts': {'keys': len(keys)} if count else {}, 'marks': marks, 'partial': sorted(set(partial))}, told)


def _log(folder: bytes, after: int) -> Tuple[raftwal.Log, List[str]]:
    """(the log behind the index AFTER, sentences on what is missing)"""
    wal = os.path.join(folder, WAL)
    names = raftwal.needed(raftwal.segments(os.listdir(wal) if os.path.isdir(wal) else ()), after)
    if not names:
        return raftwal.Log(), ['its write-ahead log is not in its folder, so the last tenth of a second may be missing']
    segments: List[BinaryIO] = []
    try:
        for name in names:
            segments.append(opened(os.path.join(wal, name)))
        return raftwal.Log().read(segments, after), []
    finally:
        for segment in segments:
            segment.close()


def _has_v2(folder: bytes) -> bool:
    names = raftwal.snapshots(os.listdir(os.path.join(folder, SNAP)))
    if not names:
        return False
    with opened(os.path.join(folder, SNAP, names[0])) as raw:
        return V2 in raw.read()


KIND = Kind(('etcd',), '.db', dump, extra=1.0, proven=True, needs_image=False)
