"""MongoDB: the image's own server recovers the data folder in the view, its own mongodump writes an archive. By the documentation of MongoDB: no
server could be had to prove it.

The first view applies the oplog, as the documentation says for the data of a member of a replica set; of others the server refuses that, and
ends. The second goes without, the third repairs first. No configuration of the image is used.
"""
import os
import re
import socket
import struct
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from ...formats import wording
from ..compare import compare, few, label
from ..room import Refused, Room
from ..target import Kind, Target, picked
from ..viewfiles import opened

FOLDERS = ('/usr/bin', '/usr/local/bin', '/opt/bitnami/mongodb/bin')
ADDRESS = ('127.0.0.1', 27017)          # in a network of its own
PIPE = '/run/lifeboat/archive'
OPTIONS = ('--bind_ip', ADDRESS[0], '--port', str(ADDRESS[1]), '--nounixsocket', '--wiredTigerCacheSizeGB', '0.25',
           '--setParameter', 'ttlMonitorEnabled=false', '--setParameter', 'diagnosticDataCollectionEnabled=false')
OPLOG, PLAIN, REPAIR = range(3)
# storage.bson: what the server must be told again; a BSON element of the type boolean that is true
LAYOUT = {b'\x08directoryPerDB\0\x01': '--directoryperdb', b'\x08directoryForIndexes\0\x01': '--wiredTigerDirectoryForIndexes'}
DONE = re.compile(br'done dumping (\S.{0,400}) \(([0-9]{1,18}) documents?\)')
VERSION = re.compile(br'db version v(\d{1,2}(?:\.\d{1,3}){1,2})')
MAGIC, END = b'\x6d\xe2\x99\x81', b'\xff\xff\xff\xff'
MAX_NAMES = 1000000                     # each collection is remembered
LARGEST = 64 << 20                      # bytes of a document: MongoDB takes 16 MiB, and a little more of its own


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = room.adopt(target.path)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    tool = [room.program(['mongodump'], FOLDERS), '--host', ADDRESS[0], '--port', str(ADDRESS[1]), '--archive=' + PIPE]
    program = room.program(['mongod'], FOLDERS)
    version = VERSION.search(room.call([program, '--version'])[1])
    argv = [program, '--dbpath', folder] + _layout(folder) + list(OPTIONS)
    marks, partial = ['documents were not counted in the server'], []
    if target.attempt == REPAIR:
        if room.call(argv + ['--repair'])[0]:
            raise Refused('DUMP_SERVER_FAILED', 'it cannot be repaired: see the log')
        partial.append('it was repaired, which leaves out what is damaged')
    began = time.monotonic()
    server = room.start(argv + (['--setParameter', 'recoverFromOplogAsStandalone=true'] if target.attempt == OPLOG else []))
    room.ready(server, _listens)
    marks.append('ready after %.1f s' % (time.monotonic() - began))
    said = room.piped(tool + ['--db', 'local', '--collection', 'system.replset'], PIPE, lambda piece: None)[1]
    if any(rows != b'0' for dummy, rows in DONE.findall(said)):
        marks.append('a member of a replica set; another one may know more')
        if target.attempt != OPLOG:
            partial.append('what its oplog has since the last checkpoint may be missing')
    archive = Archive(room.out)
    status, said = room.piped(tool + ['--numParallelCollections', '1'], PIPE, archive.take)
    if server.poll() is not None and target.attempt != REPAIR:
        raise Refused('DUMP_SERVER_FAILED', 'the server ended while it was dumped')
    if status:
        partial.append('mongodump ended with status %d: see its log' % status)
    counts, more = judged(archive, said)
    room.stop(server)
    return {'version': version.group(1).decode('ascii') if version else '',
            'counts': counts if target.verify else {}, 'marks': marks, 'partial': partial + more}


def _layout(folder: str) -> List[str]:
    try:
        with opened(os.fsencode(os.path.join(folder, 'storage.bson'))) as raw:
            found = raw.read(1 << 16)
    except (OSError, ValueError):
        return []
    return [option for sign, option in sorted(LAYOUT.items()) if sign in found]


def _listens() -> bool:
    # no name is looked up: that would take a module that is not loaded
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        return connection.connect_ex(ADDRESS) == 0


def judged(archive: 'Archive', said: bytes) -> Tuple[Dict[str, Optional[int]], List[str]]:
    """(documents of each collection, sentences on what is missing), by what went into the archive and what mongodump SAID."""
    told = {tuple(name.decode('utf-8', 'replace').split('.', 1)): int(rows) for name, rows in DONE.findall(said)}
    compared = compare(told, archive.rows)
    partial = [sentence.replace('the server counts', 'mongodump says') for sentence in compared.partial]
    if not archive.whole():
        partial.append('the archive is not whole%s' % (': ' + archive.trouble if archive.trouble else ''))
    unfinished = sorted(label(key) for key in set(archive.rows) - archive.ended)
    return compared.counts, partial + few(['%s was not written to its end' % name for name in unfinished])


class Archive(object):
    """Counts documents on their way to OUT: {(database, collection): documents}. An archive (mongo-tools, common/archive) is its magic, documents
    about it, an end mark, and blocks: a header that names the collection, its documents, an end mark. The header that says EOF is its last."""

    def __init__(self, out: Callable[[bytes], None]) -> None:
        self.rows: Dict[Tuple[str, ...], Optional[int]] = {}
        self.ended: Set[Tuple[str, ...]] = set()
        self.trouble = ''
        self._out = out
        self._rest = bytearray()
        self._begun = False             # the magic was there
        self._inside = True             # documents follow, and not a header
        self._key: Optional[Tuple[str, ...]] = None

    def whole(self) -> bool:
        return self._begun and not (self._inside or self._rest or self.trouble)

    def take(self, piece: bytes) -> None:
        self._out(piece)
        if self.trouble:
            return
        self._rest += piece
        data, at = self._rest, 0
        while len(data) - at >= 4 and not self.trouble:
            head = data[at:at + 4]
            if not self._begun or head == END and self._inside:
                if not self._begun and head != MAGIC:
                    self.trouble = 'it does not begin as one'
                self._inside, self._begun, at = not self._begun, True, at + 4
                continue
            size = struct.unpack('<i', head)[0]
            if not 5 <= size <= LARGEST:
                self.trouble = 'a document would have %s' % wording.number(size, 'byte')
            elif size > len(data) - at:
                break
            elif self._inside:
                if self._key is not None:
                    self.rows[self._key] = (self.rows[self._key] or 0) + 1
                at += size
            else:
                self._header(bytes(data[at:at + size]))
                at += size
        del data[:at]

    def _header(self, raw: bytes) -> None:
        found = elements(raw)
        self._key, self._inside = (str(found.get('db', '')), str(found.get('collection', ''))), True
        if len(self.rows) >= MAX_NAMES and self._key not in self.rows:
            self.trouble = 'it has more than %d collections' % MAX_NAMES
        self.rows.setdefault(self._key, 0)
        if found.get('EOF'):
            self.ended.add(self._key)


def elements(raw: bytes) -> Dict[str, Any]:
    """Texts, booleans and numbers of a BSON document, up to the first element of another type, or one that is cut."""
    found: Dict[str, Any] = {}
    at = 4
    while at < len(raw) - 1:
        kind, end = raw[at], raw.find(b'\0', at + 1)
        width = {1: 8, 8: 1, 16: 4, 18: 8}.get(kind, 0)
        if kind == 2 and end > 0 and end + 5 <= len(raw):
            width = 4 + int.from_bytes(raw[end + 1:end + 5], 'little')
        if not width or end < 0 or end + 1 + width > len(raw):
            break
        value = raw[end + 1:end + 1 + width]
        found[raw[at + 1:end].decode('utf-8', 'replace')] = value[4:-1].decode('utf-8', 'replace') if kind == 2 else int.from_bytes(value, 'little')
        at = end + 1 + width
    return found


KIND = Kind(('mongodb',), '.archive', dump, attempts=3)
