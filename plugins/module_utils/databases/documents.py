"""Document and wide column stores, and object storage: MongoDB, Cassandra, MinIO."""
import re
from typing import TYPE_CHECKING, Optional

from .look import Finder, Kind, Match

if TYPE_CHECKING:
    from .look import Look


def mongodb(look: 'Look', marker: bytes) -> Optional[Match]:
    """The file WiredTiger with its version text, and one of mongod's own files."""
    head = look.head(b'WiredTiger', 128)
    if not head.startswith(b'WiredTiger') or (look.size(b'mongod.lock') < 0 and look.size(b'storage.bson') < 0):
        return None
    found = re.search(br'WiredTiger (\d+\.\d+\.\d+)', head)
    lock = look.size(b'mongod.lock')    # holds the pid, emptied by an orderly shutdown
    clean = None if lock < 0 else lock == 0
    return Match('mongodb', None, 'WiredTiger %s files' % (found.group(1).decode('ascii') if found else ''), clean,
                 'not shut down, journal has to be replayed' if clean is False else None)


def minio(look: 'Look', marker: bytes) -> Optional[Match]:
    head = look.head(b'.minio.sys/format.json', 4096)
    if b'"format"' not in head or (b'"xl"' not in head and b'"fs"' not in head and b'"xl-single"' not in head):
        return None
    return Match('minio', None, '.minio.sys/format.json')


def cassandra(look: 'Look', marker: bytes) -> Optional[Match]:
    """Keyspace system_schema with an sstable; the first letters of its file name are the format's version."""
    for table in look.names(b'system_schema')[:50]:
        if not table.startswith(b'keyspaces-'):
            continue
        for name in look.names(b'system_schema/' + table):
            found = re.match(br'([a-z]{2})-[^-]+-(?:big|bti)-TOC\.txt\Z', name)
            if found and b'Data.db' in look.head(b'system_schema/' + table + b'/' + name, 512):
                series = {b'm': '3', b'n': '4', b'o': '5', b'd': '5'}.get(found.group(1)[:1])
                return Match('cassandra', series, 'sstable format ' + found.group(1).decode('ascii'))
    return None


KINDS = (
    Kind('mongodb', 'MongoDB',
         variables=('MONGO_MAJOR', 'MONGO_VERSION'), parts=2, upgrades=True,
         clean='Starts at once.',
         crashed='WiredTiger replays its journal at the first start; a left mongod.lock is '
                 'normal.'),
    Kind('cassandra', 'Cassandra'),
    Kind('minio', 'MinIO'),
)
FINDER = Finder(KINDS, {b'WiredTiger': mongodb, b'.minio.sys': minio, b'system_schema': cassandra})
