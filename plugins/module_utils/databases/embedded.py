"""Databases that a program carries with it as a library,
and what is told by them: bbolt, LMDB, Berkeley DB, LevelDB; etcd, OpenLDAP."""
import re
from typing import TYPE_CHECKING, Optional

from .look import Finder, Kind, Match

if TYPE_CHECKING:
    from .look import Look


def etcd(look: 'Look', marker: bytes) -> Optional[Match]:
    """member/snap/db is a bbolt file; the leaf page with the key clusterVersion has the value right behind it."""
    head = look.head(b'member/snap/db', 262144)
    if not _is_bbolt(head):
        return None
    found = re.search(br'clusterVersion(\d{1,2}\.\d{1,2}\.\d{1,2})', head)
    return Match('etcd', found.group(1).decode('ascii') if found else None, 'member/snap/db')


def _is_bbolt(head: bytes) -> bool:
    # page header (16 bytes, flags at 8: 4 is a meta page), then the magic
    return head[16:20] == b'\xed\xda\x0c\xed' and head[8:10] == b'\x04\0'


def bbolt(look: 'Look', name: bytes) -> Optional[Match]:
    if not _is_bbolt(look.head(name, 32)):
        return None
    if name == b'influxd.bolt':
        # InfluxDB 2 keeps its users and tokens here, the series under engine/
        return Match('influxdb', '2', 'influxd.bolt')
    return Match('bbolt', None, 'bbolt header', name=name)


def lmdb(look: 'Look', name: bytes) -> Optional[Match]:
    """Meta page: header of 16 bytes, magic 0xBEEFC0DE, version 1 (openldap lmdb: mdb.c, MDB_meta)."""
    head = look.head(name, 131072)
    if head[16:20] != b'\xde\xc0\xef\xbe':
        return None
    if b'dn2i' in head and b'id2e' in head:
        return Match('openldap', None, 'data.mdb with dn2i and id2e')
    return Match('lmdb', None, 'LMDB header', name=name, sidecars=(b'lock.mdb',))


def berkeleydb(look: 'Look', name: bytes) -> Optional[Match]:
    magic = look.head(name, 16)[12:16]
    if magic not in (b'\x62\x31\x05\0', b'\x61\x15\x06\0', b'\0\x05\x31\x62', b'\0\x06\x15\x61'):
        return None
    return Match('berkeleydb', None, 'Berkeley DB header', name=name)


def leveldb(look: 'Look', marker: bytes) -> Optional[Match]:
    current = re.match(br'(MANIFEST-\d{6,20})\n', look.head(b'CURRENT', 64))
    if not current or look.size(current.group(1)) < 0:
        return None
    rocks = any(name.startswith(b'OPTIONS-') for name in look.names())
    return Match('rocksdb' if rocks else 'leveldb', None, 'CURRENT, ' + current.group(1).decode('ascii'))


KINDS = (
    Kind('etcd', 'etcd',
         variables=('ETCD_VERSION',), parts=2, upgrades=True,
         clean='A lone member starts at once; one of several needs its peers, or '
               '--force-new-cluster.',
         crashed='Replays its WAL at the start. One member of several needs its peers, or '
                 '--force-new-cluster.'),
    Kind('bbolt', 'bbolt', building_block=True),
    Kind('lmdb', 'LMDB', building_block=True),
    Kind('openldap', 'OpenLDAP'),
    Kind('berkeleydb', 'Berkeley DB', building_block=True),
    Kind('leveldb', 'LevelDB', building_block=True),
    Kind('rocksdb', 'RocksDB', building_block=True),
)
FINDER = Finder(KINDS, {b'member': etcd, b'data.mdb': lmdb, b'CURRENT': leveldb},
                paged=(bbolt, lmdb, berkeleydb))
