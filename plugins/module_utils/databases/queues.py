"""Graphs, queues and coordination: Neo4j, RabbitMQ, Kafka, ZooKeeper."""
import re
from typing import TYPE_CHECKING, Optional

from .look import Finder, Kind, Match, words

if TYPE_CHECKING:
    from .look import Look


def neo4j(look: 'Look', marker: bytes) -> Optional[Match]:
    if look.size(b'neostore.nodestore.db') < 0 or look.size(b'neostore') < 0:
        return None
    return Match('neo4j', None, 'neostore', up=1 if not re.search(br'(?:\A|/)databases/[^/]+/\Z', look.prefix) else 2)


def rabbitmq(look: 'Look', marker: bytes) -> Optional[Match]:
    """Mnesia's folder: schema.DAT is a dets file (cookie 0x00ABCDEF at 4); RabbitMQ adds its own tables."""
    if look.head(b'schema.DAT', 8)[4:] != b'\0\xab\xcd\xef':
        return None
    names = look.names()
    ours = [name for name in names if name.startswith(b'rabbit_') or name in (b'msg_stores', b'coordination')]
    # disk_log.hrl: a log that was closed in order says 63 58 4D 0B ("cXM" and 11) in its status word
    last = look.head(b'LATEST.LOG', 8)
    clean = None
    if last[:4] == b'\x01\x02\x03\x04':
        clean = last[4:8] == b'\x63\x58\x4d\x0b'
    state = 'not shut down' if clean is False else None
    if ours:
        return Match('rabbitmq', None, 'schema.DAT, ' + words(ours[0]), clean, state)
    if not any(name.endswith((b'.DCD', b'.DCL')) for name in names):
        return None
    return Match('mnesia', None, 'schema.DAT', clean, state)


def kafka(look: 'Look', marker: bytes) -> Optional[Match]:
    head = look.head(b'meta.properties', 1024)
    if not re.search(br'(?m)^cluster\.id=', head) or not re.search(br'(?m)^(?:broker|node)\.id=', head):
        return None
    clean = look.stat(b'.kafka_cleanshutdown') is not None
    return Match('kafka', None, 'meta.properties', clean, None if clean else 'not shut down')


def zookeeper(look: 'Look', marker: bytes) -> Optional[Match]:
    for name in look.names(b'version-2'):
        if name.startswith((b'log.', b'snapshot.')) and look.head(b'version-2/' + name, 4) in (b'ZKLG', b'ZKSN'):
            return Match('zookeeper', None, 'version-2/' + words(name))
    return None


KINDS = (
    Kind('neo4j', 'Neo4j'),
    Kind('rabbitmq', 'RabbitMQ',
         variables=('RABBITMQ_VERSION',),
         clean='Starts only under the same node name, which holds the host name: keep '
               'hostname.',
         crashed='Starts only under the same node name, which holds the host name: keep '
                 'hostname. Queues are recovered at the start.'),
    Kind('mnesia', 'Mnesia', building_block=True),
    Kind('kafka', 'Kafka'),
    Kind('zookeeper', 'ZooKeeper'),
)
FINDER = Finder(KINDS, {b'neostore': neo4j, b'schema.DAT': rabbitmq, b'meta.properties': kafka, b'version-2': zookeeper})
