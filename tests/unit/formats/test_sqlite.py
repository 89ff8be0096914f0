"""The reader of SQLite files against those that Python's sqlite3 wrote, whole and damaged."""
import os
import sqlite3

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import sqlite

CREATE = 'CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL, ' \
         'FOREIGN KEY (PodID) REFERENCES PodConfig(ID), CHECK (ID IN (1, 2)) )'


def made(path, rows):
    database = sqlite3.connect(str(path))
    database.execute(CREATE.replace(', CHECK (ID IN (1, 2)) ', ''))
    database.executemany('INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)', rows)
    database.commit()
    database.close()
    return path.read_bytes()


def rows_of(number, size=200):
    return [('%064x' % each, 'name-%d' % each, None, b'{"x": "' + b'y' * (each * size) + b'"}') for each in range(number)]


def test_columns_of_a_statement():
    assert sqlite.columns_of(CREATE) == ('ID', 'Name', 'PodID', 'JSON')
    assert sqlite.columns_of('CREATE TABLE "x" ("a" INT, [b] TEXT)') == ('a', 'b')
    assert sqlite.columns_of('nonsense') == ()


@pytest.mark.parametrize('number', [0, 1, 30, 120])
def test_every_row_of_every_page(tmp_path, number):
    """Pages below each other, and records with pages of their own (up to 80 kB)."""
    rows = rows_of(number)
    database = sqlite.Db(made(tmp_path / 'db', rows))
    assert sorted(tuple(row[name] for name in ('ID', 'Name', 'PodID', 'JSON')) for row in database.rows('ContainerConfig')) == sorted(rows)
    assert database.damage == [] and not database.rolled_back and list(database.rows('Nothing')) == []


def test_types(tmp_path):
    database = sqlite3.connect(str(tmp_path / 'db'))
    database.execute('CREATE TABLE t(a, b)')
    values = [0, 1, -1, 127, 128, 2 ** 31, -2 ** 47, 2 ** 62, 1.5, None, 'text', b'\x00\xff', 'é' * 5000]
    database.executemany('INSERT INTO t VALUES (?, 7)', [(value,) for value in values])
    database.commit()
    database.close()
    assert [row['a'] for row in sqlite.Db((tmp_path / 'db').read_bytes()).rows('t')] == values


def test_a_hot_journal_is_taken_back(tmp_path):
    """What SQLite does when it opens the file: the journal that a killed writer left puts the old pages back."""
    made(tmp_path / 'db', rows_of(60, 100))
    writer = sqlite3.connect(str(tmp_path / 'db'), isolation_level=None)
    writer.execute('PRAGMA cache_size = 1')
    writer.execute('PRAGMA cache_spill = 1')
    writer.execute('BEGIN EXCLUSIVE')
    writer.execute("UPDATE ContainerConfig SET JSON = ?", (b'z' * 9000,))
    raw, journal = (tmp_path / 'db').read_bytes(), (tmp_path / 'db-journal').read_bytes()
    writer.execute('ROLLBACK')
    writer.close()
    assert journal.strip(b'\0'), 'the writer left no journal'
    database = sqlite.Db(raw, journal)
    assert database.rolled_back
    assert sorted(row['JSON'] for row in database.rows('ContainerConfig')) == sorted(row[3] for row in rows_of(60, 100))


@pytest.mark.parametrize('raw', [b'', b'\0' * 8192, b'text' * 100, sqlite.MAGIC, sqlite.MAGIC + b'\x03\x00' + b'\0' * 200])
def test_what_is_no_database(raw):
    with pytest.raises(sqlite.SqliteError):
        sqlite.Db(raw)


def test_damage_costs_no_more_than_what_it_hits(tmp_path):
    raw = made(tmp_path / 'db', rows_of(40))
    whole = {row['ID'] for row in sqlite.Db(raw).rows('ContainerConfig')}
    for page in range(1, len(raw) // 4096, 7):
        hurt = bytearray(raw)
        hurt[page * 4096:(page + 1) * 4096] = bytes(4096)
        database = sqlite.Db(bytes(hurt))
        found = {row['ID'] for row in database.rows('ContainerConfig')}
        assert found <= whole | {None}


def test_random_damage_ends(tmp_path):
    raw = made(tmp_path / 'db', rows_of(40))
    for seed in range(20):
        hurt = bytearray(raw)
        for number, byte in enumerate(os.urandom(40)):
            hurt[100 + (seed * 7919 + number * 104729) % (len(raw) - 100)] = byte
        try:
            database = sqlite.Db(bytes(hurt))
            list(database.rows('ContainerConfig'))
        except sqlite.SqliteError:
            pass
