"""Search engines: Lucene, Elasticsearch, OpenSearch."""
import re
import struct
from typing import TYPE_CHECKING, Optional, Tuple

from .look import Finder, Kind, Match

if TYPE_CHECKING:
    from .look import Look


def _lucene_version(look: 'Look', folder: bytes = b'') -> Optional[Tuple[Optional[str], bytes]]:
    """(release or None, file name) of a Lucene index, None where there is none. CodecUtil's header: magic, the codec's
    name and version, since 5.0 an id of 16 bytes and a suffix, then (since 5.2) the release as three vInts."""
    prefix = folder + b'/' if folder else b''
    for name in sorted(look.names(folder), reverse=True):
        if not re.match(br'segments_[0-9a-z]+\Z', name):
            continue
        head = look.head(prefix + name, 64)
        if head[:13] == b'\x3f\xd7\x6c\x17\x08segments':
            release = None
            if struct.unpack('>I', head[13:17])[0] >= 5 and len(head) > 33:
                at = 33 + 1 + head[33]
                release = '.'.join(str(part) for part in bytearray(head[at:at + 3]))
            return release, name
        if head[:3] == b'\xff\xff\xff':  # before 4.0: a negative format number
            return None, name
    return None


def lucene(look: 'Look', marker: bytes) -> Optional[Match]:
    found = _lucene_version(look)
    if not found:
        return None
    return Match('lucene', found[0], found[1].decode('ascii', 'replace'))


def elasticsearch(look: 'Look', marker: bytes) -> Optional[Match]:
    """A node's folder: node.lock beside _state; up to 7 (and in OpenSearch) it is nodes/0, since 8 the data folder."""
    if not look.is_folder(b'_state'):
        return None
    nested = re.search(br'(?:\A|/)nodes/\d+/\Z', look.prefix)
    found = _lucene_version(look, b'_state')
    states = [name for name in look.names(b'_state') if re.match(br'(?:node|global|manifest)-\d+\.st\Z', name)]
    if not found and not states:
        return None
    release = found and found[0]
    engine, version = 'elasticsearch', None
    if release:
        major = int(release.split('.')[0])
        if nested and major >= 9:       # Elasticsearch 8 and later have no nodes/0 any more
            engine, version = 'opensearch', {9: '2', 10: '3'}.get(major)
        else:
            version = {7: '6', 8: '7', 9: '8', 10: '9'}.get(major)
    return Match(engine, version, 'node.lock, _state' + (', Lucene %s' % release if release else ''),
                 up=2 if nested else 0)


KINDS = (
    Kind('lucene', 'Lucene', building_block=True),
    Kind('elasticsearch', 'Elasticsearch',
         variables=('ELASTICSEARCH_VERSION', 'ELASTIC_VERSION'), parts=1, upgrades=True,
         clean='Recovers its shards at the start.',
         crashed='Replays the translog of each shard at the start; watch _cluster/health until '
                 'it is no longer red.'),
    Kind('opensearch', 'OpenSearch',
         variables=('OPENSEARCH_VERSION',), parts=1, upgrades=True,
         clean='Recovers its shards at the start.',
         crashed='Replays the translog of each shard at the start; watch _cluster/health until '
                 'it is no longer red.'),
)
FINDER = Finder(KINDS, {b'write.lock': lucene, b'node.lock': elasticsearch})
