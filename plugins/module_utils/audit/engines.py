# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How stateful software is told by the content of its files. One engine is one function and one line of a table.

A function gets a :class:`Look` into the folder that holds a telling name, reads a few bytes, and answers with a
:class:`Match` or None. Nothing here trusts a name alone, and nothing reads more than 256 KiB. Functions never raise
for what they find: a file that cannot be read is a file that does not match.
"""
import os
import re
import stat
import struct
from typing import NamedTuple, Optional

DATABASE = 'database'
REPOSITORY = 'repository'
MAIL = 'mail'
UPLOADS = 'uploads'
KEYS = 'keys'

TITLES = {
    'berkeleydb': 'Berkeley DB', 'bbolt': 'bbolt', 'cassandra': 'Cassandra', 'clickhouse': 'ClickHouse',
    'elasticsearch': 'Elasticsearch', 'etcd': 'etcd', 'git': 'Git', 'grafana': 'Grafana', 'h2': 'H2',
    'influxdb': 'InfluxDB', 'kafka': 'Kafka', 'keys': 'private keys', 'leveldb': 'LevelDB', 'lmdb': 'LMDB',
    'lucene': 'Lucene', 'maildir': 'mail folder', 'mariadb': 'MariaDB', 'minio': 'MinIO', 'mnesia': 'Mnesia',
    'mongodb': 'MongoDB', 'mysql': 'MySQL', 'neo4j': 'Neo4j', 'openldap': 'OpenLDAP', 'opensearch': 'OpenSearch',
    'postgresql': 'PostgreSQL', 'prometheus': 'Prometheus', 'rabbitmq': 'RabbitMQ', 'redis': 'Redis',
    'rocksdb': 'RocksDB', 'sqlite': 'SQLite', 'uploads': 'uploaded files', 'valkey': 'Valkey',
    'zookeeper': 'ZooKeeper',
}
# File formats that other software builds on: inside that software's folder they are not news.
BUILDING_BLOCKS = frozenset(('berkeleydb', 'bbolt', 'h2', 'leveldb', 'lmdb', 'lucene', 'mnesia', 'rocksdb', 'sqlite',
                             'redis', 'valkey'))


class Match(NamedTuple):
    """`name`: the file that is the database, or None: the folder is, or one `up` levels above it.

    `clean`: True, False, or None where the files do not tell whether it was shut down in order.
    """
    engine: str
    version: Optional[str]
    evidence: str
    clean: Optional[bool] = None
    state: Optional[str] = None
    name: Optional[bytes] = None
    up: int = 0
    empty: bool = False
    kind: str = DATABASE
    sidecars: tuple = ()                # further files that belong to `name`


class Look(object):
    """What an engine's function may see: a folder, by relative paths (bytes), without following any link."""

    def __init__(self, folder, prefix, entry=None):
        self._folder = folder           # safeio.Dir
        self.prefix = prefix            # of the folder from the root of the walk, b'' or ending in a slash
        self._entry = entry             # tree.Entry that was met; it knows how to open itself (copy-up of metadata)

    def _at(self, path):
        """(folder, last name, opened folders) of a relative path."""
        opened = []
        folder = self._folder
        parts = path.split(b'/')
        try:
            for part in parts[:-1]:
                folder = folder.child(part)
                opened.append(folder)
        except OSError:
            self._release(opened)
            raise
        return folder, parts[-1], opened

    @staticmethod
    def _release(opened):
        for folder in reversed(opened):
            folder.close()

    def head(self, path, length=512, offset=0):
        """Up to LENGTH bytes of a regular file, b'' if there is none."""
        try:
            folder, name, opened = self._at(path)
        except OSError:
            return b''
        try:
            if self._entry is not None and folder is self._folder and name == self._entry.name:
                fd = self._entry.open()
            else:
                fd = folder.open(name)
            try:
                return os.pread(fd, length, offset)
            finally:
                os.close(fd)
        except OSError:
            return b''
        finally:
            self._release(opened)

    def stat(self, path):
        try:
            folder, name, opened = self._at(path)
        except OSError:
            return None
        try:
            return folder.stat(name)
        except OSError:
            return None
        finally:
            self._release(opened)

    def size(self, path):
        """Size of a regular file, -1 if it is not one."""
        st = self.stat(path)
        return st.st_size if st is not None and stat.S_ISREG(st.st_mode) else -1

    def is_folder(self, path):
        st = self.stat(path)
        return st is not None and stat.S_ISDIR(st.st_mode)

    def names(self, path=b''):
        try:
            if not path:
                return self._folder.names()
            folder, name, opened = self._at(path + b'/')
        except OSError:
            return []
        try:
            return folder.names()
        except OSError:
            return []
        finally:
            self._release(opened)


def _words(raw):
    """Bytes of a file as one line of text that is safe to show."""
    return ' '.join(raw.decode('ascii', 'replace').split())[:80]


# -- relational ---------------------------------------------------------------------------------------------------

# PostgreSQL's src/include/catalog/pg_control.h: DBState
PG_STATES = ('starting up', 'shut down', 'shut down in recovery', 'shutting down', 'in crash recovery',
             'in archive recovery', 'in production')


def postgresql(look, marker):
    """PG_VERSION and global/pg_control. The latter alone will do: a cluster that came with the image and was only
    used since has no PG_VERSION in its writable layer."""
    version = re.match(br'(\d{1,2}(?:\.\d{1,2})?)\n?\Z', look.head(b'PG_VERSION', 16))
    control = look.head(b'global/pg_control', 32)
    if len(control) < 32:
        return None                     # base/*/PG_VERSION lies in every database's folder as well
    for order in '<>':
        number, catalog, state = struct.unpack(order + 'III', control[8:20])
        if 700 <= number <= 3000:
            break
    else:
        return None
    if version:
        release = version.group(1).decode('ascii')
        evidence = 'PG_VERSION, global/pg_control'
    else:
        # CATALOG_VERSION_NO is a date; since 10 there is one major a year
        year = catalog // 100000
        release = str(year - 2007) if 2017 <= year <= 2040 else None
        evidence = 'global/pg_control, catalog version %d' % catalog
    known = PG_STATES[state] if state < len(PG_STATES) else 'state %d' % state
    running = look.size(b'postmaster.pid') >= 0
    return Match('postgresql', release, evidence, state in (1, 2) and not running, known)


def mysql(look, marker):
    """The InnoDB system tablespace: a file header page (type 8) of space 0, page 0 (storage/innobase fil0types.h)."""
    page = look.head(b'ibdata1', 64)
    if len(page) < 64 or page[4:8] != bytes(4) or page[24:26] != b'\0\x08' or page[34:38] != bytes(4):
        return None
    evidence = ['ibdata1']
    version = None
    engine = 'mysql'
    for name in (b'mariadb_upgrade_info', b'mysql_upgrade_info'):
        found = re.match(br'(\d+\.\d+\.\d+)(-MariaDB)?', look.head(name, 64))
        if found:
            version = found.group(1).decode('ascii')
            engine = 'mariadb' if found.group(2) else 'mysql'
            evidence.append(name.decode('ascii'))
            break
    if look.size(b'aria_log_control') > 0:
        engine = 'mariadb'
        evidence.append('aria_log_control')
    if version is None and engine == 'mysql':
        # 8.0 and later: page 0 of mysql.ibd carries the server's version at 8
        page = look.head(b'mysql.ibd', 64)
        number = struct.unpack('>I', page[8:12])[0] if len(page) == 64 else 0
        if 80000 <= number < 200000:
            version = '%d.%d.%d' % (number // 10000, number // 100 % 100, number % 100)
            evidence.append('mysql.ibd')
    clean = _innodb_clean(look)
    state = {True: 'shut down', False: 'not shut down, redo log has to be applied', None: None}[clean]
    return Match(engine, version, ', '.join(evidence), clean, state)


def _innodb_clean(look):
    """Whether the redo log holds nothing that has to be applied, or None where the files do not say so.

    The temporary table space ibtmp1 is removed by an orderly shutdown (MySQL since 5.7, MariaDB since 10.2). Up to
    MySQL 8.0.29 and MariaDB 10.7 a shutdown writes its LSN into page 0 of ibdata1 as well, and the newest of the two
    checkpoints in ib_logfile0 names the same one.
    """
    if look.size(b'ibtmp1') >= 0:
        return False
    head = look.head(b'ib_logfile0', 2048)
    if len(head) < 2048 or head[:4] == b'Phys':
        return None
    newest = max(struct.unpack('>QQ', head[at:at + 16])[1] for at in (512, 1536))
    flushed = struct.unpack('>Q', look.head(b'ibdata1', 34)[26:34])[0]
    return flushed == newest if newest and flushed else None


def sqlite(look, name):
    """The 100-byte header of a database file (https://www.sqlite.org/fileformat.html) and what lies beside it."""
    head = look.head(name, 100)
    if len(head) < 100 or head[:16] != b'SQLite format 3\0':
        return None
    page = struct.unpack('>H', head[16:18])[0]
    if page != 1 and (page < 512 or page & (page - 1)):
        return None
    number = struct.unpack('>I', head[96:100])[0]
    version = '%d.%d.%d' % (number // 1000000, number // 1000 % 1000, number % 1000) if number else None
    wal, journal = look.size(name + b'-wal'), look.size(name + b'-journal')
    state = None
    clean = None
    if wal > 32:
        clean, state = False, 'the write-ahead log beside it holds changes'
    elif journal > 0 and look.head(name + b'-journal', 8) == b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7':
        clean, state = False, 'a transaction was interrupted'
    elif wal < 0 and journal < 0:
        clean = True
    engine = 'sqlite'
    if name == b'grafana.db' and b'migration_log' in look.head(name, 262144):
        engine = 'grafana'
    # the schema format is 0 until the first table is made
    empty = head[44:48] == bytes(4) and wal <= 32
    sidecars = tuple(name + tail for tail in (b'-wal', b'-shm', b'-journal'))
    return Match(engine, version, 'SQLite header', clean, state, name, empty=empty, sidecars=sidecars)


def h2(look, name):
    head = look.head(name, 64)
    found = re.match(br'H:(\d),block', head)
    if not found:
        return None
    return Match('h2', found.group(1).decode('ascii'), 'MVStore header', name=name)


# -- documents, keys and values -------------------------------------------------------------------------------------

def mongodb(look, marker):
    """The file WiredTiger with its version text, and one of mongod's own files."""
    head = look.head(b'WiredTiger', 128)
    if not head.startswith(b'WiredTiger') or (look.size(b'mongod.lock') < 0 and look.size(b'storage.bson') < 0):
        return None
    found = re.search(br'WiredTiger (\d+\.\d+\.\d+)', head)
    lock = look.size(b'mongod.lock')    # holds the pid, emptied by an orderly shutdown
    clean = None if lock < 0 else lock == 0
    return Match('mongodb', None, 'WiredTiger %s files' % (found.group(1).decode('ascii') if found else ''), clean,
                 'not shut down, journal has to be replayed' if clean is False else None)


def _rdb_field(raw, at):
    """(value, next offset) of an RDB string: plain with 6, 14 or 32 bits of length, or an integer (rdb.h)."""
    first = raw[at]
    kind = first >> 6
    if kind == 0:
        start, size = at + 1, first & 63
    elif kind == 1:
        start, size = at + 2, (first & 63) << 8 | raw[at + 1]
    elif first == 0x80:
        start, size = at + 5, struct.unpack('>I', raw[at + 1:at + 5])[0]
    elif first in (0xC0, 0xC1, 0xC2):
        start, size = at + 1, 1 << (first & 3)
    else:
        raise ValueError('compressed')
    return raw[start:start + size], start + size


def redis_dump(look, name):
    """An RDB file: magic and format, then AUX fields such as redis-ver; no key follows where it is empty."""
    head = look.head(name, 1024)
    magic = re.match(br'(?:REDIS|VALKEY)\d{3,4}', head)
    if not magic:
        return None
    engine = 'valkey' if head.startswith(b'VALKEY') else 'redis'
    version = None
    empty = False
    at = magic.end()
    try:
        while head[at] == 0xFA:
            key, at = _rdb_field(head, at + 1)
            value, at = _rdb_field(head, at)
            if key in (b'redis-ver', b'valkey-ver'):
                version = _words(value)
                engine = key[:-4].decode('ascii')
        empty = head[at] == 0xFF
    except (IndexError, ValueError, struct.error):
        pass
    return Match(engine, version, magic.group().decode('ascii') + ' dump', name=name, empty=empty)


def redis_log(look, name):
    """An append-only file: begins with a command in RESP, or with an RDB preamble."""
    head = look.head(name, 64)
    if head.startswith((b'REDIS', b'VALKEY')):
        found = redis_dump(look, name)
        return found and found._replace(empty=False, evidence='append-only file with ' + found.evidence)
    if not re.match(br'(?:#TS:\d+\r\n)?\*\d+\r\n\$\d+\r\n', head):
        return None
    return Match('redis', None, 'append-only file', name=name)


def redis_parts(look, name):
    """Redis 7: a folder of append-only files with a manifest."""
    head = look.head(name, 512)
    if not re.match(br'file \S+ seq \d+ type [bhi]', head):
        return None
    version, empty = None, True
    for part in look.names():
        if part.endswith(b'.rdb'):
            found = redis_dump(look, part)
            if found:
                version = found.version or version
                empty = empty and found.empty
        elif part.endswith(b'.aof') and look.size(part) > 0:
            empty = False
    return Match('redis', version, 'append-only manifest', empty=empty)


def etcd(look, marker):
    """member/snap/db is a bbolt file; the leaf page with the key clusterVersion has the value right behind it."""
    head = look.head(b'member/snap/db', 262144)
    if not _is_bbolt(head):
        return None
    found = re.search(br'clusterVersion(\d{1,2}\.\d{1,2}\.\d{1,2})', head)
    return Match('etcd', found.group(1).decode('ascii') if found else None, 'member/snap/db')


def _is_bbolt(head):
    # page header (16 bytes, flags at 8: 4 is a meta page), then the magic
    return head[16:20] == b'\xed\xda\x0c\xed' and head[8:10] == b'\x04\0'


def bbolt(look, name):
    if not _is_bbolt(look.head(name, 32)):
        return None
    if name == b'influxd.bolt':
        # InfluxDB 2 keeps its users and tokens here, the series under engine/
        return Match('influxdb', '2', 'influxd.bolt')
    return Match('bbolt', None, 'bbolt header', name=name)


def lmdb(look, name):
    """Meta page: header of 16 bytes, magic 0xBEEFC0DE, version 1 (openldap lmdb: mdb.c, MDB_meta)."""
    head = look.head(name, 131072)
    if head[16:20] != b'\xde\xc0\xef\xbe':
        return None
    if b'dn2i' in head and b'id2e' in head:
        return Match('openldap', None, 'data.mdb with dn2i and id2e')
    return Match('lmdb', None, 'LMDB header', name=name, sidecars=(b'lock.mdb',))


def berkeleydb(look, name):
    magic = look.head(name, 16)[12:16]
    if magic not in (b'\x62\x31\x05\0', b'\x61\x15\x06\0', b'\0\x05\x31\x62', b'\0\x06\x15\x61'):
        return None
    return Match('berkeleydb', None, 'Berkeley DB header', name=name)


def leveldb(look, marker):
    current = re.match(br'(MANIFEST-\d{6,20})\n', look.head(b'CURRENT', 64))
    if not current or look.size(current.group(1)) < 0:
        return None
    rocks = any(name.startswith(b'OPTIONS-') for name in look.names())
    return Match('rocksdb' if rocks else 'leveldb', None, 'CURRENT, ' + current.group(1).decode('ascii'))


def minio(look, marker):
    head = look.head(b'.minio.sys/format.json', 4096)
    if b'"format"' not in head or (b'"xl"' not in head and b'"fs"' not in head and b'"xl-single"' not in head):
        return None
    return Match('minio', None, '.minio.sys/format.json')


def cassandra(look, marker):
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


# -- search -----------------------------------------------------------------------------------------------------------

def _lucene_version(look, folder=b''):
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


def lucene(look, marker):
    found = _lucene_version(look)
    if not found:
        return None
    return Match('lucene', found[0], found[1].decode('ascii', 'replace'))


def elasticsearch(look, marker):
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


# -- series -----------------------------------------------------------------------------------------------------------

def prometheus(look, marker):
    """chunks_head beside wal: a head chunk (0x0130BC91), a block's index (0xBAAAD700) or a segment of the log, which
    begins with a record that is whole (1) or continues on the next page (2); bits above the third are compression."""
    for name in look.names(b'chunks_head')[:3]:
        if look.head(b'chunks_head/' + name, 4) == b'\x01\x30\xbc\x91':
            return Match('prometheus', None, 'chunks_head/' + _words(name))
    for name in look.names():
        if re.match(br'[0-9A-Z]{26}\Z', name) and look.head(name + b'/index', 4) == b'\xba\xaa\xd7\x00':
            return Match('prometheus', None, 'block ' + _words(name))
    segments = [name for name in look.names(b'wal') if re.match(br'\d{8}\Z', name)]
    heads = [look.head(b'wal/' + name, 1) for name in segments]
    if any(head and bytearray(head)[0] & 7 in (1, 2) for head in heads):
        return Match('prometheus', None, 'chunks_head, wal')
    if segments and not any(heads) and look.size(b'queries.active') >= 0:
        return Match('prometheus', None, 'queries.active, wal', empty=True)
    return None


def influxdb(look, marker):
    """InfluxDB 1: meta/meta.db beside data and wal. It is protobuf and begins with field 1, a varint (the term)."""
    if look.head(b'meta/meta.db', 1) != b'\x08' or not look.is_folder(b'data') or not look.is_folder(b'wal'):
        return None
    return Match('influxdb', '1', 'meta/meta.db, data, wal')


def influx_series(look, name):
    if look.head(name, 5) != b'\x16\xd1\x16\xd1\x01':
        return None
    return Match('influxdb', None, 'TSM header')


def clickhouse(look, marker):
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


# -- graphs, queues, coordination --------------------------------------------------------------------------------------

def neo4j(look, marker):
    if look.size(b'neostore.nodestore.db') < 0 or look.size(b'neostore') < 0:
        return None
    return Match('neo4j', None, 'neostore', up=1 if not re.search(br'(?:\A|/)databases/[^/]+/\Z', look.prefix) else 2)


def rabbitmq(look, marker):
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
        return Match('rabbitmq', None, 'schema.DAT, ' + _words(ours[0]), clean, state)
    if not any(name.endswith((b'.DCD', b'.DCL')) for name in names):
        return None
    return Match('mnesia', None, 'schema.DAT', clean, state)


def kafka(look, marker):
    head = look.head(b'meta.properties', 1024)
    if not re.search(br'(?m)^cluster\.id=', head) or not re.search(br'(?m)^(?:broker|node)\.id=', head):
        return None
    clean = look.stat(b'.kafka_cleanshutdown') is not None
    return Match('kafka', None, 'meta.properties', clean, None if clean else 'not shut down')


def zookeeper(look, marker):
    for name in look.names(b'version-2'):
        if name.startswith((b'log.', b'snapshot.')) and look.head(b'version-2/' + name, 4) in (b'ZKLG', b'ZKSN'):
            return Match('zookeeper', None, 'version-2/' + _words(name))
    return None


# -- what people made --------------------------------------------------------------------------------------------------

def git(look, marker):
    head = look.head(b'HEAD', 128)
    if not re.match(br'(?:ref: refs/\S+|[0-9a-f]{40}|[0-9a-f]{64})\n?\Z', head):
        return None
    if not look.is_folder(b'objects') or not look.is_folder(b'refs'):
        return None
    stored = any(name != b'info' and (name != b'pack' or look.names(b'objects/pack'))
                 for name in look.names(b'objects'))
    remote = b'[remote ' in look.head(b'config', 16384)
    return Match('git', None, 'HEAD, objects, refs', None, 'has a remote' if remote else 'has no remote',
                 empty=not stored, kind=REPOSITORY)


def maildir(look, marker):
    if not look.is_folder(b'new') or not look.is_folder(b'tmp'):
        return None
    for box in (b'cur', b'new'):
        for name in look.names(box)[:5]:
            if re.search(br'(?im)^(?:return-path|received|delivered-to|message-id|from|date):',
                         look.head(box + b'/' + name, 4096)):
                return Match('maildir', None, 'messages in ' + box.decode('ascii'), kind=MAIL)
    return None


def private_key(look, name):
    head = look.head(name, 8192)
    if re.search(br'-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----', head):
        evidence = 'PRIVATE KEY in PEM'
    elif head[:4] == b'\xfe\xed\xfe\xed':
        evidence = 'Java key store'
    elif name.endswith((b'.p12', b'.pfx')) and re.match(br'\x30[\x80\x82-\x84]..?.?.?\x02\x01\x03', head, re.DOTALL):
        evidence = 'PKCS #12'
    else:
        return None
    return Match('keys', None, evidence, name=name, kind=KEYS)


# -- tables --------------------------------------------------------------------------------------------------------------

# A name in a folder -> the function that looks. Names of files and of folders.
MARKERS = {
    b'PG_VERSION': postgresql,
    b'global': postgresql,
    b'ibdata1': mysql,
    b'WiredTiger': mongodb,
    b'appendonly.aof.manifest': redis_parts,
    b'member': etcd,
    b'data.mdb': lmdb,
    b'CURRENT': leveldb,
    b'.minio.sys': minio,
    b'system_schema': cassandra,
    b'write.lock': lucene,
    b'node.lock': elasticsearch,
    b'chunks_head': prometheus,
    b'meta': influxdb,
    b'metadata': clickhouse,
    b'neostore': neo4j,
    b'schema.DAT': rabbitmq,
    b'meta.properties': kafka,
    b'version-2': zookeeper,
    b'HEAD': git,
    b'cur': maildir,
    b'id_rsa': private_key,
    b'id_dsa': private_key,
    b'id_ecdsa': private_key,
    b'id_ed25519': private_key,
    b'ssh_host_rsa_key': private_key,
    b'ssh_host_ecdsa_key': private_key,
    b'ssh_host_ed25519_key': private_key,
}
# The last four characters of a file's name -> the function.
TAILS = {
    b'.rdb': redis_dump,
    b'.aof': redis_log,
    b'.tsm': influx_series,
    b'.pem': private_key,
    b'.key': private_key,
    b'.p12': private_key,
    b'.pfx': private_key,
    b'.jks': private_key,
}
# Files whose size is a multiple of 512 (their formats come in pages) -> by their first bytes.
PAGED = (sqlite, bbolt, lmdb, h2, berkeleydb)
# What a page-sized file must show in its first 32 bytes before one of PAGED looks closer.
PAGED_SIGNS = re.compile(
    br'SQLite format 3\0|H:\d,block|.{16}(?:\xed\xda\x0c\xed|\xde\xc0\xef\xbe)'
    br'|.{12}(?:\x62\x31\x05\0|\x61\x15\x06\0|\0\x05\x31\x62|\0\x06\x15\x61)', re.DOTALL)
# Last four characters of media and document files; many of them together are uploads.
MEDIA = frozenset((b'.jpg', b'.JPG', b'jpeg', b'JPEG', b'.png', b'.PNG', b'.gif', b'webp', b'heic', b'HEIC', b'.mp4',
                   b'.MP4', b'.mov', b'.MOV', b'.mp3', b'flac', b'.ogg', b'.wav', b'.mkv', b'.avi', b'.pdf', b'.PDF',
                   b'.doc', b'docx', b'.xls', b'xlsx', b'.ppt', b'pptx', b'.odt', b'.ods', b'.zip', b'.tif', b'tiff'))
