"""Time series and columns: Prometheus, InfluxDB, ClickHouse."""
import re
from typing import TYPE_CHECKING, Optional

from .look import Finder, Kind, Match, words

if TYPE_CHECKING:
    from .look import Look


def prometheus(look: 'Look', marker: bytes) -> Optional[Match]:
    """chunks_head beside wal: a head chunk (0x0130BC91), a block's index (0xBAAAD700) or a segment of the log, which
    begins with a record that is whole (1) or continues on the next page (2); bits above the third are compression."""
    for name in look.names(b'chunks_head')[:3]:
        if look.head(b'chunks_head/' + name, 4) == b'\x01\x30\xbc\x91':
            return Match('prometheus', None, 'chunks_head/' + words(name))
    for name in look.names():
        if re.match(br'[0-9A-Z]{26}\Z', name) and look.head(name + b'/index', 4) == b'\xba\xaa\xd7\x00':
            return Match('prometheus', None, 'block ' + words(name))
    segments = [name for name in look.names(b'wal') if re.match(br'\d{8}\Z', name)]
    heads = [look.head(b'wal/' + name, 1) for name in segments]
    if any(head and bytearray(head)[0] & 7 in (1, 2) for head in heads):
        return Match('prometheus', None, 'chunks_head, wal')
    if segments and not any(heads) and look.size(b'queries.active') >= 0:
        return Match('prometheus', None, 'queries.active, wal', empty=True)
    return None


def influxdb(look: 'Look', marker: bytes) -> Optional[Match]:
    """InfluxDB 1: meta/meta.db beside data and wal. It is protobuf and begins with field 1, a varint (the term)."""
    if look.head(b'meta/meta.db', 1) != b'\x08' or not look.is_folder(b'data') or not look.is_folder(b'wal'):
        return None
    return Match('influxdb', '1', 'meta/meta.db, data, wal')


def influx_series(look: 'Look', name: bytes) -> Optional[Match]:
    if look.head(name, 5) != b'\x16\xd1\x16\xd1\x01':
        return None
    return Match('influxdb', None, 'TSM header')


def clickhouse(look: 'Look', marker: bytes) -> Optional[Match]:
    """metadata/ and data/ or store/, and one of the server's own names beside them. `status` stays after a crash."""
    if not (look.is_folder(b'data') or look.is_folder(b'store')):
        return None
    own = [name for name in look.names() if name in (b'preprocessed_configs', b'flags', b'format_schemas',
                                                     b'user_files', b'metadata_dropped', b'dictionaries_lib', b'status')]
    if len(own) < 2:
        return None
    tables = [b'metadata/' + name for name in look.names(b'metadata')] + \
        [b'metadata/default/' + name for name in look.names(b'metadata/default')]
    stored = any(look.head(name, 6) == b'ATTACH' for name in tables[:100] if name.endswith(b'.sql'))
    if not stored and len(own) < 3:
        return None
    running = look.size(b'status') > 0
    return Match('clickhouse', None, 'metadata, ' + ', '.join(name.decode('ascii') for name in own[:3]),
                 False if running else None, 'not shut down' if running else None, empty=not stored)


KINDS = (
    Kind('prometheus', 'Prometheus'),
    Kind('influxdb', 'InfluxDB',
         variables=('INFLUXDB_VERSION',), parts=1,
         clean='Replays its WAL at the start.',
         crashed='Replays its WAL at the start; that can take minutes.'),
    Kind('clickhouse', 'ClickHouse'),
)
FINDER = Finder(KINDS, {b'chunks_head': prometheus, b'meta': influxdb, b'metadata': clickhouse},
                tails={b'.tsm': influx_series})
