"""Programs of a dead container's image print anything: that is no number, no end of the run, and fills no memory."""
import types

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import insertrows, pgclient, sqltext
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import mysql, redis
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import count_of
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import dumpmariadb, dumpservers

ODD = ['\u00b2', '\u0663', '9' * 5000, '-1', '+1', ' 1', '1_0', '', '1\n', '0x1', '\udcb2']


class Room(object):
    """A view in which every program prints SAID."""

    def __init__(self, said):
        self.said = said

    def stream(self, argv, take, data=None, **environment):
        for piece in self.said:
            take(piece)
        return 0

    def call(self, argv, data=None):
        return 0, b''.join(self.said)


class Inside(object):
    def __init__(self, said):
        self.said = said

    def call(self, argv, user='0', env=(), limit=0):
        return 0, self.said

    def must(self, what, argv, user='0', env=()):
        return self.said

    def put(self, *dummy):
        pass


def raw(text):
    return text.encode('utf-8', 'surrogateescape')


@pytest.mark.parametrize('odd', ODD)
def test_what_is_no_number(odd):
    assert count_of(odd) is None and count_of('0') == 0 and count_of('9' * 18) == 10 ** 18 - 1
    for number, rows in ((odd, '1'), ('0', odd)):
        client = pgclient.Client(Room([raw('%s\0%s\0' % (number, rows))]), str, 'postgres')
        assert client.count('d', [('s', 't')]) == {('s', 't'): None}
        if '\n' not in odd:
            asker = mysql.Client.__new__(mysql.Client)
            asker.room, asker._argv = Room([raw('%s\t%s\n' % (number, rows))]), []
            assert asker.count([('d', 't')]) == {('d', 't'): None}


@pytest.mark.parametrize('odd', [odd for odd in ODD if odd.strip() and ' ' not in odd and '\n' not in odd])
def test_what_a_container_says_while_a_dump_is_loaded(odd):
    with pytest.raises(LifeboatError, match='none of the users'):
        dumpservers.owner_of(Inside(raw('0\n%s\n' % odd)), ['postgres'])
    with pytest.raises(LifeboatError, match='none of the users'):
        dumpservers.owner_of(Inside(b'0\n4294967295\n'), ['postgres'])
    inside = Inside(raw('%s\0%s\0' % (odd, odd)))
    assert dumpservers._postgresql_counts(inside, [], 'u', (0, 0)) == {}
    assert dumpmariadb._counts(Inside(raw('%s\t%s\n' % (odd, odd))), 'c', [], types.SimpleNamespace(folder='/d'), 'u') == {}


@pytest.mark.parametrize('line', ['db0:keys=' + '9' * 5000, 'db' + '9' * 5000 + ':keys=1', 'db0:keys=\u00b2', 'db\u0663:keys=1'])
def test_keys_that_are_no_number(line):
    assert redis.KEYS.match(line) is None and redis.KEYS.match('db0:keys=12,expires=0').groups() == ('db0', '12')


def test_an_answer_without_an_end_fills_no_memory():
    taken = []

    class Counted(Room):
        def stream(self, argv, take, data=None, **environment):
            take(b'x' * pgclient.MAX_SAID)
            for dummy in range(50):
                take(b'x' * (1 << 20))
                taken.append(len(take.__closure__[0].cell_contents) if take.__closure__ else 1 << 40)
            return 0
    assert pgclient.Client(Counted(()), str, 'u').ask('d', 'select 1') is None
    asker = mysql.Client.__new__(mysql.Client)
    asker.room, asker._argv = Counted(()), []
    assert asker.ask('select 1') is None
    assert max(taken) <= pgclient.MAX_SAID + (1 << 20)


def test_more_tables_than_can_be_remembered(monkeypatch):
    monkeypatch.setattr(insertrows, 'MAX_TABLES', 3)
    monkeypatch.setattr(sqltext, 'MAX_TABLES', 3)
    counter, kept = insertrows.Counter(lambda data: None), sqltext.Filter(lambda data: None)
    for number in range(3):
        counter.take(b'CREATE TABLE `t%d` (\nCREATE TABLE `t0` (\n' % number)
        kept.take(b'COPY public.t%d (a) FROM stdin;\n\\.\nCOPY public.t0 (a) FROM stdin;\n\\.\n' % number)
    with pytest.raises(LifeboatError):
        counter.take(b'CREATE TABLE `t9` (\n')
    with pytest.raises(LifeboatError):
        kept.take(b'COPY public.t9 (a) FROM stdin;\n')
