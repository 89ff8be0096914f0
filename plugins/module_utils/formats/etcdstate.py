"""The data of etcd: what its file holds, with the entries of its write-ahead log that the file does not have yet applied as etcd itself would.

The file (`member/snap/db`) is bbolt. Its bucket `key` has every revision since the last compaction: eight bytes, `_`, eight bytes, and `t` where
the key was deleted (server/storage/mvcc/revision.go); `meta` says up to which entry of the log that is. etcd writes the file every tenth of a
second, and answers as soon as its log is on the disk. How an entry changes the data: api/etcdserverpb, server/etcdserver/apply,
server/storage/mvcc.
"""
import struct
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from . import boltdb, boltwrite, protobuf, raftwal, wording
from .protobuf import Message

KEY, META, LEASE, AUTH, ALARM, MEMBERS = b'key', b'meta', b'lease', b'auth', b'alarm', b'members'
INDEX, TERM, COMPACT, FINISHED = b'consistent_index', b'term', b'scheduledCompactRev', b'finishedCompactRev'
_REVISION = struct.Struct('>QcQ')
TOMBSTONE = _REVISION.size + 1          # length of a key that says that another was deleted
# fields of InternalRaftRequest
_V2, _PUT, _DELETE, _TXN, _COMPACTION, _GRANT, _REVOKE, _ALARM = 2, 4, 5, 6, 7, 8, 9, 10
# a lease that goes on, who logs in, versions of the cluster and attributes of its members: no data
_OTHER = (3, 11, 1012, 1013, 1300, 1301, 1302, 9900)
_V2_DATA = b'/1/'                       # path of keys of the API of version 2
_RESULTS = (lambda order: order == 0, lambda order: order > 0, lambda order: order < 0, lambda order: order != 0)
_TARGETS = {0: (4, 4), 1: (5, 2), 2: (6, 3), 3: (7, 5), 4: (8, 6)}     # of a comparison: (field of Compare, field of KeyValue)
_MAX_DEPTH = 20                         # of transactions in transactions


class Key(NamedTuple):
    """The newest revision of a key that exists. `stored`: the message KeyValue."""
    created: int
    changed: int
    version: int
    lease: int
    stored: bytes


class Unknown(ValueError):
    """An entry whose effect is not known here. The message is a clause."""


class State(object):
    """BUCKETS: {name: {key: value}} of a file, made ready to be written. `keys`: {key: Key}; `errors`: damage (boltdb.BoltError)."""

    def __init__(self, database: boltdb.Db) -> None:
        self.errors: List[Any] = list(database.damage)
        self.buckets: Dict[bytes, Dict[bytes, bytes]] = {
            name: {key: value for key, value in bucket.items(errors=[]) if value is not None} for name, bucket in database.root.buckets(errors=[])}
        if KEY not in self.buckets or META not in self.buckets:
            raise boltdb.BoltError('it has no bucket %s' % ('key' if KEY not in self.buckets else 'meta'))
        self.keys: Dict[bytes, Key] = {}
        self.revision = max(1, *[_main(self.meta(name)) for name in (COMPACT, FINISHED)])
        for revision, raw in self.buckets[KEY].items():
            self._load(revision, raw)
        self.index = int.from_bytes(self.meta(INDEX)[:8], 'big')
        self.applied = 0                # entries of the log
        self.old_api = False            # keys of the API of version 2 were changed; they are not in the file
        self._changes = 0               # in the revision that is being made

    def meta(self, name: bytes) -> bytes:
        return self.buckets[META].get(name, b'')

    def members(self) -> int:
        return len(self.buckets.get(MEMBERS, ()))

    def _load(self, revision: bytes, raw: bytes) -> None:
        """Revisions come in their order."""
        try:
            if len(revision) not in (_REVISION.size, TOMBSTONE):
                raise protobuf.Damaged('the name of a revision has %s' % wording.number(len(revision), 'byte'))
            found = Message(raw)
        except protobuf.Damaged as exc:
            if len(self.errors) < boltdb.MAX_ERRORS:
                self.errors.append(exc)
            return
        self.revision = max(self.revision, _main(revision))
        if len(revision) == TOMBSTONE:
            self.keys.pop(found.raw(1), None)
        else:
            self.keys[found.raw(1)] = Key(found.number(2), found.number(3), found.number(4), found.number(6), raw)

    # -- the log --------------------------------------------------------------------------------------------------------------

    def replay(self, log: raftwal.Log, alone: bool) -> List[str]:
        """Apply the entries behind `index` -> sentences on what could not be. ALONE: the member was the only one, so all that it wrote counts;
        else what its log calls committed."""
        wanted = [entry for entry in log.entries if entry.number > self.index]
        if wanted and wanted[0].number != self.index + 1:
            return ['entries %d to %d of its write-ahead log are missing, and what follows them was not applied' % (self.index + 1, wanted[0].number - 1)]
        for position, entry in enumerate(wanted):
            if not alone and entry.number > log.commit:
                return ['%d entries of its write-ahead log that the other members may not have confirmed are not in it' % (len(wanted) - position)]
            try:
                if entry.kind == raftwal.NORMAL and entry.data:
                    self._apply(Message(entry.data))
            except (Unknown, protobuf.Damaged) as exc:
                return ['the last %d entries of its write-ahead log are not in it: %s' % (len(wanted) - position, exc)]
            self.index, self.applied = entry.number, self.applied + 1
            self.buckets[META][INDEX] = struct.pack('>Q', entry.number)
            if TERM in self.buckets[META]:
                self.buckets[META][TERM] = struct.pack('>Q', entry.term)
        return []

    def _apply(self, request: Message) -> None:
        leases = self.buckets.setdefault(LEASE, {})
        if request.raw(_V2).isalpha():  # a request of etcd 2 as it is: that is its method
            self.old_api |= request.raw(3).startswith(_V2_DATA)
            return
        if self.buckets.get(ALARM) and any(request.has(number) for number in (_PUT, _TXN, _GRANT, _DELETE)):
            raise Unknown('an alarm (no space, or corrupt) was on')
        if struct.pack('?', True) == self.buckets.get(AUTH, {}).get(b'authEnabled') and any(request.has(number) for number in (
                _PUT, _TXN, _DELETE, _GRANT, _REVOKE)):
            raise Unknown('authentication is on, and who may write what is not examined')
        if request.has(_PUT):
            self._transaction([(_PUT, request.message(_PUT))])
        elif request.has(_DELETE):
            self._transaction([(_DELETE, request.message(_DELETE))])
        elif request.has(_TXN):
            self._transaction(list(self._chosen(request.message(_TXN), 0)))
        elif request.has(_COMPACTION):
            wanted = request.message(_COMPACTION).number(1)
            if _main(self.meta(COMPACT)) < wanted <= self.revision:     # etcd does it when it starts
                self.buckets[META][COMPACT] = _REVISION.pack(wanted, b'_', 0)
        elif request.has(_GRANT):
            ident = request.message(_GRANT).number(2)
            leases.setdefault(struct.pack('>Q', ident), _field(1, ident) + _field(2, request.message(_GRANT).number(1)))
        elif request.has(_REVOKE):
            ident = request.message(_REVOKE).number(1)
            if leases.pop(struct.pack('>Q', ident), None) is not None:
                for key in sorted(key for key, known in self.keys.items() if known.lease == ident):
                    self._delete(key)
                self._end()
        elif request.has(_ALARM) and request.message(_ALARM).number(1) == 1:
            raise Unknown('an alarm was raised')
        elif request.has(_V2):
            self.old_api |= request.message(_V2).raw(3).startswith(_V2_DATA)
        elif not any(request.has(number) for number in _OTHER):
            raise Unknown('it changes users or roles, or is of a newer etcd')

    def _chosen(self, transaction: Message, depth: int) -> Iterator[Tuple[int, Message]]:
        """The puts and deletes of the branch that its comparisons choose: all are made before the first change."""
        if depth > _MAX_DEPTH:
            raise Unknown('transactions are nested too deep')
        holds = all(self._holds(each) for each in transaction.messages(1))
        for operation in transaction.messages(2 if holds else 3):
            for field, kind in ((2, _PUT), (3, _DELETE), (4, _TXN), (1, 0)):
                if operation.has(field):
                    inner = operation.message(field)
                    if kind == _TXN:
                        yield from self._chosen(inner, depth + 1)
                    else:
                        yield kind, inner
                    break

    def _holds(self, comparison: Message) -> bool:
        result, target = comparison.number(1), comparison.number(2)
        if result >= len(_RESULTS) or target not in _TARGETS:
            raise Unknown('a comparison is not known')
        given, field = _TARGETS[target]
        found = [Message(self.keys[key].stored) for key in self._range(comparison.raw(3), comparison.raw(64))]
        if field == 5:
            return bool(found) and all(_RESULTS[result](_order(each.raw(5), comparison.raw(given))) for each in found)
        return all(_RESULTS[result](_order(each.signed(field), comparison.signed(given))) for each in found or [Message(b'')])

    def _range(self, key: bytes, end: bytes) -> List[bytes]:
        """The keys from KEY on to END, as the API means them."""
        if not end:
            return [key] if key in self.keys else []
        return sorted(each for each in self.keys if each >= key and (end == b'\0' or each < end))

    def _transaction(self, operations: List[Tuple[int, Message]]) -> None:
        """Puts and deletes that are one revision. etcd refuses all of them if one cannot be."""
        compacted = max(_main(self.meta(COMPACT)), 0)
        for kind, asked in operations:
            if kind == _PUT and ((asked.flag(5) or asked.flag(6)) and asked.raw(1) not in self.keys or asked.number(3) and struct.pack(
                    '>Q', asked.number(3)) not in self.buckets[LEASE]):
                return
            if kind == 0 and asked.number(4) and not compacted <= asked.number(4) <= self.revision:
                return
        for kind, asked in operations:
            if kind == _PUT:
                self._put(asked)
            elif kind == _DELETE:
                for key in self._range(asked.raw(1), asked.raw(2)):
                    self._delete(key)
        self._end()

    def _put(self, asked: Message) -> None:
        key, main = asked.raw(1), self.revision + 1
        known = self.keys.get(key)
        value = Message(known.stored).raw(5) if known and asked.flag(5) else asked.raw(2)
        lease = known.lease if known and asked.flag(6) else asked.number(3)
        created, version = (known.created, known.version + 1) if known else (main, 1)
        stored = _field(1, key) + _field(2, created) + _field(3, main) + _field(4, version) + _field(5, value) + _field(6, lease)
        self._write(stored, b'')
        self.keys[key] = Key(created, main, version, lease, stored)

    def _delete(self, key: bytes) -> None:
        self._write(_field(1, key), b't')
        del self.keys[key]

    def _write(self, stored: bytes, mark: bytes) -> None:
        self.buckets[KEY][_REVISION.pack(self.revision + 1, b'_', self._changes) + mark] = stored
        self._changes += 1

    def _end(self) -> None:
        """The changes since the last revision are one; none is no revision."""
        if self._changes:
            self.revision += 1
            self._changes = 0

    # -- written anew ----------------------------------------------------------------------------------------------------------

    def pieces(self, database: boltdb.Db) -> List[bytes]:
        """The bytes of a file with all of it, in the page size and order of DATABASE."""
        root = boltwrite.Tree({name: boltwrite.Tree(entries) for name, entries in self.buckets.items()})
        return boltwrite.pieces(root, database.page_size, database.order)


def _main(revision: bytes) -> int:
    return int.from_bytes(revision[:8], 'big')


def _order(one: Any, other: Any) -> int:
    return (one > other) - (one < other)


def _field(number: int, value: Any) -> bytes:
    """A field of a message; b'' for the default of the language."""
    if not value:
        return b''
    if isinstance(value, bytes):
        return bytes([number << 3 | protobuf.BYTES]) + _varint(len(value)) + value
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
