"""Rows in what mysqldump and mariadb-dump write, and what is said where they are not those of the server."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import insertrows
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.insertrows import Counter
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import mysql
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Refused
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.target import Target

HEAD = br"""-- MariaDB dump 10.19  Distrib 10.11.18-MariaDB, for debian-linux-gnu (x86_64)
USE `mysql`;
CREATE TABLE IF NOT EXISTS `general_log` (
  `a` int
);
-- Current Database: `shop`
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;

USE `shop`;
"""
BODY = br"""CREATE TABLE `t` (
  `n` int(11) NOT NULL COMMENT 'it''s (one)'
) ENGINE=InnoDB;
INSERT INTO `t` VALUES (1,'a(b),(c);',0x00FF),(2,'it\'s \\ "x"\n);\n',NULL);
INSERT INTO `t` VALUES
(3,'INSERT INTO `t` VALUES (1);\\',0x78),
(4,'',_binary '\'(');
CREATE TABLE `empty` (
  `n` int
);
CREATE TABLE `odd ``(na,me)` (
  `a` int
);
INSERT INTO `odd ``(na,me)` (`a`, `b``(`) VALUES (1),(2);
/*!50001 CREATE VIEW `v` AS SELECT 1 AS `n`*/;
DELIMITER ;;
CREATE PROCEDURE `p`() begin
INSERT INTO `t` VALUES (100);
INSERT INTO `empty` VALUES (1),
-- Dump completed
end ;;
DELIMITER ;
USE `stock`;
CREATE TABLE `t` (
  `n` int
);
INSERT INTO `t` VALUES (1);
"""
TAIL = b'\n-- Dump completed on 2026-01-01\n'


def counted(raw, size=1 << 20):
    out = []
    found = Counter(out.append)
    for at in range(0, len(raw), size):
        found.take(raw[at:at + size])
    assert b''.join(out) == raw
    return found


@pytest.mark.parametrize('size', [1, 5, 64, 1 << 20])
def test_rows_are_counted_in_both_forms(size):
    found = counted(HEAD + BODY + TAIL, size)
    assert found.whole
    assert found.rows == {('mysql', 'general_log'): 0, ('shop', 't'): 4, ('shop', 'empty'): 0, ('shop', 'odd `(na,me)'): 2, ('stock', 't'): 1}


@pytest.mark.parametrize('raw', [b'', HEAD, HEAD + BODY, (HEAD + BODY + TAIL)[:-30], HEAD + BODY + TAIL + b'INSERT INTO `t` VALUES (1);\n'],
                         ids=['nothing', 'head', 'no end', 'cut', 'more'])
def test_without_its_last_words_it_is_not_whole(raw):
    assert not counted(raw).whole


def test_a_line_of_any_length_passes_and_is_not_called_counted(monkeypatch):
    monkeypatch.setattr(insertrows, 'MAX_LINE', 500)
    long = b'INSERT INTO `t` VALUES (1,0x%b);\n' % (b'00' * 5000)
    found = counted(HEAD + long + b'USE `stock`;\nCREATE TABLE `t` (\nINSERT INTO `t` VALUES (1);\n' + TAIL, 64)
    assert found.rows[('shop', 't')] is None


def test_the_client_writes_escapes():
    assert mysql.rows(b'a\\tb\t\\\\n\\n\nc\xff\t\n') == [['a\tb', '\\n\n'], ['c\udcff', '']]
    assert mysql.quoted('a`b') == '`a``b`'


class Client(object):
    def __init__(self, tables, counts):
        self.tables, self.counts = tables, counts

    def ask(self, query):
        return self.tables

    def count(self, tables):
        return {key: self.counts.get(key) for key in tables}


def compared(tables, counts, raw, count=True):
    marks, partial = [], []
    # pylint: disable-next=protected-access
    found = mysql._compare(Client(tables, counts), counted(HEAD + raw), count, marks, partial)
    return found, marks, partial


def base(name, kind='BASE TABLE', engine='InnoDB', database='shop'):
    return [database, name, kind, engine]


ONE = b'CREATE TABLE `t` (\nINSERT INTO `t` VALUES (1),(2);\n'


@pytest.mark.parametrize('tables, counts, raw, partial, marks', [
    ([base('t')], {('shop', 't'): 2}, ONE, [], []),
    ([base('t')], {('shop', 't'): 3}, ONE, ['shop.t has 2 rows in the dump, and the server counts 3'], ['count_differs=1']),
    ([base('t'), base('t', database='stock')], {('shop', 't'): 2, ('stock', 't'): 0}, ONE, ['stock.t is not in the dump; the server counts 0 rows'],
     ['count_differs=1']),
    ([base('t')], {}, ONE, ['the rows of shop.t could not be counted; the dump has 2'], ['not_counted=1']),
    ([], {}, ONE, ['shop.t is in the dump, and the server does not list it'], ['count_differs=1']),
    ([base('t'), base('v', 'VIEW'), base('s', 'SEQUENCE')], {('shop', 't'): 2}, ONE, [], []),
    ([base('t', engine='FEDERATED')], {}, b'CREATE TABLE `t` (\n', [], ['tables of the engines']),
    ([base('t', engine='MEMORY')], {('shop', 't'): 2}, ONE, [], ['tables in memory']),
    ([base('t', 'SYSTEM VERSIONED')], {('shop', 't'): 2}, ONE, ['the history of tables with system versioning is not in the dump: shop.t'], []),
    (None, {}, ONE, ['its tables could not be listed, so nothing was compared'], [])])
def test_what_is_said_of_tables(tables, counts, raw, partial, marks):
    found = compared(tables, counts, raw)
    assert found[2] == partial and [mark[:len(begin)] for mark, begin in zip(found[1], marks)] == marks and len(found[1]) == len(marks)


def test_without_counting_it_says_so():
    assert compared([base('t')], {('shop', 't'): 3}, ONE, False) == ({}, ['rows were not counted in the server'], [])


class Process(object):
    def __init__(self, status):
        self.status = status

    def poll(self):
        return self.status


class Room(object):
    """One whose server has ended with STATUS, or is there still, when the dump program is done."""

    def __init__(self, status):
        self.environment = {}
        self.server = Process(status)
        self.written = b''

    def adopt(self, path):
        return os.path.dirname(os.path.abspath(__file__))

    def write(self, name, content):
        return '/run/' + name if content == '' else None

    def program(self, names, folders=()):
        return names[0]

    def call(self, argv, data=None):
        return 0, b'MariaDB 10.11' if '--version' in argv else b'0\t2\n'

    def start(self, argv):
        self.argv = argv
        return self.server

    def ready(self, server, probe):
        pass

    def stop(self, server):
        pass

    def out(self, data):
        self.written += data

    def stream(self, argv, take, data=None):
        query = argv[argv.index('-e') + 1] if '-e' in argv else ''
        take({'select version()': b'10.11\n', mysql.TABLES: b'shop\tt\tBASE TABLE\tInnoDB\n', '': HEAD + ONE + TAIL}[query])
        return 0


def dumped(room, attempt):
    return mysql.dump(room, Target('mariadb', b'/var/lib/mysql', '10.11', {}, attempt))


def test_a_server_that_dies_under_the_dump_is_tried_with_the_next_step():
    with pytest.raises(Refused) as caught:
        dumped(Room(134), 0)
    assert caught.value.code == 'DUMP_SERVER_FAILED'
    last = dumped(Room(134), len(mysql.ATTEMPTS) - 1)
    assert 'may be missing or wrong' in last['partial'][0] and 'force_recovery=6' in last['marks']
    room = Room(None)
    found = dumped(room, 0)
    assert (found['partial'], found['counts'], found['version']) == ([], {'shop.t': 2}, '10.11') and room.written == HEAD + ONE + TAIL
    # what the configuration of the image has is not run
    assert {'--init-file=/run/init.sql', '--skip-grant-tables', '--skip-networking'} <= set(room.argv) and '--skip-log-bin' not in room.argv
    dumped(room, 1)
    assert '--skip-log-bin' in room.argv and '--no-defaults' in room.argv


@pytest.mark.parametrize('files, options', [
    ({}, ['--skip-log-bin']),
    ({'binlog.index': b'./binlog.000001\n./binlog.000012\n'}, ['--log-bin=binlog', '--log-bin-index=binlog.index', '--server-id=1']),
    ({'mysql-bin.index': b'/var/lib/mysql/shop-bin.000001\n'}, ['--log-bin=shop-bin', '--log-bin-index=mysql-bin.index', '--server-id=1']),
    ({'host-relay-bin.index': b'./host-relay-bin.000001\n'}, ['--skip-log-bin']), ({'binlog.index': b''}, ['--skip-log-bin']),
    ({'binlog.index': b'./--init-file=x.000001\n'}, ['--skip-log-bin']), ({'--x.index': b'./binlog.000001\n'}, ['--skip-log-bin']),
    ({'binlog.index': b'./a b.000001\n'}, ['--skip-log-bin'])])
def test_the_binary_log_of_the_data_is_used_for_the_recovery(tmp_path, files, options):
    """What is only prepared is committed if it stands in there. No name becomes another option."""
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    assert mysql.binary_log(str(tmp_path)) == options


def test_a_link_in_the_place_of_an_index_is_not_followed(tmp_path):
    (tmp_path / 'other').write_bytes(b'./binlog.000001\n')
    (tmp_path / 'binlog.index').symlink_to(tmp_path / 'other')
    assert mysql.binary_log(str(tmp_path)) == ['--skip-log-bin']


def test_without_the_binary_log_that_is_there_a_dump_is_not_whole(monkeypatch):
    """The steps that recover by force do without it."""
    monkeypatch.setattr(mysql, 'binary_log', lambda folder: ['--log-bin=binlog'])
    room = Room(None)
    assert dumped(room, 1)['partial'] == [] and '--log-bin=binlog' in room.argv
    found = dumped(room, 2)
    assert 'binary log' in found['partial'][0] and '--skip-log-bin' in room.argv and '--log-bin=binlog' not in room.argv


@pytest.mark.parametrize('size, expected', [(8 << 20, ['--loose-innodb-log-file-size=8388608']), (100, []), (None, [])])
def test_the_redo_log_stays_as_large_as_it_is(tmp_path, size, expected):
    """A new one of the usual size takes more room than a small database."""
    if size is not None:
        with open(str(tmp_path / 'ib_logfile0'), 'wb') as raw:
            raw.truncate(size)
    assert mysql.log_size(str(tmp_path)) == expected
