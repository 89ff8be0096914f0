"""An archive of mongodump: what is counted in it, and what is said where it is not whole. The bytes are as its source describes them."""
import os
import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import mongodb
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Refused
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.target import Target

TOLD = b'2026-01-01T00:00:00.000+0000\twriting shop.t to archive\n2026-01-01T00:00:01.000+0000\tdone dumping shop.t (%d documents)\n' \
       b'2026-01-01T00:00:01.000+0000\tdone dumping shop.a.b (1 document)\n'


def text(name, value):
    raw = value.encode() + b'\0'
    return b'\x02' + name.encode() + b'\0' + struct.pack('<i', len(raw)) + raw


def bson(*parts):
    raw = b''.join(parts) + b'\0'
    return struct.pack('<i', len(raw) + 4) + raw


def header(name, last=False):
    return bson(text('db', 'shop'), text('collection', name), b'\x08EOF\0' + bytes([last]), b'\x12CRC\0' + bytes(8))


def archive(rows=3, end=True):
    document = bson(text('x', 'y' * 50), b'\x07_id\0' + bytes(12))
    blocks = [header('t') + document * 2, header('a.b') + document, header('t') + document * (rows - 2), header('a.b', True)] + (
        [header('t', True)] if end else [])
    return mongodb.MAGIC + bson(text('server_version', '6.0.1')) + bson(text('db', 'shop'), text('collection', 't')) + mongodb.END + b''.join(
        block + mongodb.END for block in blocks)


def taken(raw, size=1 << 20):
    out = []
    found = mongodb.Archive(out.append)
    for at in range(0, len(raw), size):
        found.take(raw[at:at + size])
    assert b''.join(out) == raw
    return found


@pytest.mark.parametrize('size', [1, 7, 100, 1 << 20])
def test_documents_are_counted_while_they_pass(size):
    found = taken(archive(), size)
    assert (found.rows, found.whole(), found.trouble) == ({('shop', 't'): 3, ('shop', 'a.b'): 1}, True, '')
    assert mongodb.judged(found, TOLD % 3) == ({'shop.t': 3, 'shop."a.b"': 1}, [])


@pytest.mark.parametrize('raw, told, words', [
    (archive(), TOLD % 4, 'shop.t has 3 rows in the dump, and mongodump says 4'), (archive(end=False), TOLD % 3, 'shop.t was not written to its end'),
    (archive()[:-2], TOLD % 3, 'the archive is not whole'), (b'', TOLD % 3, 'the archive is not whole'), (b'<html>' + archive(), TOLD % 3, 'does not begin'),
    (archive()[:-4] + b'\x01\0\0\0', TOLD % 3, 'a document would have 1 byte'), (archive(), b'', 'shop.t is in the dump'),
    (archive() + b'x', TOLD % 3, 'not whole')])
def test_what_is_missing_is_named(raw, told, words):
    assert any(words in sentence for sentence in mongodb.judged(taken(raw), told)[1])


def test_collections_without_number_are_not_remembered(monkeypatch):
    monkeypatch.setattr(mongodb, 'MAX_NAMES', 1)
    assert any('more than 1 collections' in sentence for sentence in mongodb.judged(taken(archive()), TOLD % 3)[1])


def test_elements_of_a_document_that_is_cut():
    assert mongodb.elements(header('t', True))['EOF'] == 1
    for end in range(len(header('t'))):
        assert set(mongodb.elements(header('t')[:end])) <= {'db', 'collection', 'EOF', 'CRC'}


class Room(object):
    """Its server lives; mongodump writes an archive, and says that local.system.replset has so many documents."""

    def __init__(self, members=0, repaired=0):
        self.environment, self.written, self.called = {}, b'', []
        self._members, self._repaired = members, repaired

    def adopt(self, path):
        return os.fsdecode(path)

    def program(self, names, dummy):
        return names[0]

    def call(self, argv):
        self.called.append(argv)
        return self._repaired, b'db version v6.0.1\nBuild Info: {'

    def start(self, argv):
        self.called.append(argv)
        return self

    def poll(self):
        return None

    def ready(self, dummy, probe):
        pass

    def stop(self, dummy):
        pass

    def out(self, data):
        self.written += data

    def piped(self, argv, pipe, take):
        assert argv[-1].startswith('--') or '--archive=' + pipe in argv
        if 'local' in argv:
            return 0, b'done dumping local.system.replset (%d documents)' % self._members
        take(archive())
        return 0, TOLD % 3


def dumped(room, path, attempt):
    return mongodb.dump(room, Target('mongodb', os.fsencode(str(path)), '', {}, attempt))


def test_the_oplog_is_applied_first(tmp_path):
    (tmp_path / 'storage.bson').write_bytes(b'....\x08directoryPerDB\0\x01\x08directoryForIndexes\0\0\0')
    room = Room()
    found = dumped(room, tmp_path, 0)
    assert (found['version'], found['counts'], found['partial']) == ('6.0.1', {'shop.t': 3, 'shop."a.b"': 1}, []) and room.written == archive()
    assert 'recoverFromOplogAsStandalone=true' in room.called[-1] and '--directoryperdb' in room.called[-1]
    assert '--wiredTigerDirectoryForIndexes' not in room.called[-1] and 'ttlMonitorEnabled=false' in room.called[-1]
    found = dumped(Room(1), tmp_path, 0)
    assert found['partial'] == [] and 'a member of a replica set; another one may know more' in found['marks']


def test_without_the_oplog_a_member_of_a_set_is_not_whole(tmp_path):
    room = Room(1)
    assert dumped(room, tmp_path, 1)['partial'] == ['what its oplog has since the last checkpoint may be missing']
    assert 'recoverFromOplogAsStandalone=true' not in room.called[-1]
    assert dumped(Room(), tmp_path, 1)['partial'] == []


def test_a_repair_is_said_and_one_that_fails_is_no_dump(tmp_path):
    room = Room()
    assert 'repaired' in dumped(room, tmp_path, 2)['partial'][0] and room.called[1][-1] == '--repair'
    with pytest.raises(Refused, match='cannot be repaired'):
        dumped(Room(repaired=1), tmp_path, 2)
