"""A reader for SQLite databases (Podman's `db.sql`, `state.db` of k3s) that opens nothing, locks nothing and survives damage.

The whole file is given as bytes, and with it the rollback journal or the write-ahead log that a crash may have left: the pages of either
take the place of the file's in memory, as SQLite itself would do on the disk (https://www.sqlite.org/fileformat2.html: "The Rollback
Journal", "The Write-Ahead Log"). Only tables with a rowid are read, which are all that these have. Work and memory are linear in the
size of the files, whatever their content says.
"""
import re
import struct
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

MAGIC = b'SQLite format 3\0'
JOURNAL_MAGIC = b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7'
WAL_MAGIC = 0x377f0682
MAX_DEPTH = 40                          # of a tree of pages; SQLite itself stops at 20
MAX_COLUMNS = 2000                      # SQLITE_MAX_COLUMN
MAX_ERRORS = 100
INNER, LEAF = 0x05, 0x0d
SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}
NO_COLUMN = frozenset(('PRIMARY', 'FOREIGN', 'UNIQUE', 'CHECK', 'CONSTRAINT'))


class SqliteError(ValueError):
    """The file, or a part of it, cannot be read. The message is one clause."""


class Table(NamedTuple):
    """One table: its first page, and the names of its columns in order."""
    page: int
    columns: Tuple[str, ...]


class Db(object):
    """An opened file. `tables` {name: Table}; `damage`: sentences about pages that could not be read; `rolled_back`: whether a hot
    journal was applied, or committed pages of a write-ahead log."""

    def __init__(self, raw: bytes, journal: bytes = b'', wal: bytes = b'') -> None:
        if not raw.startswith(MAGIC) or len(raw) < 100:
            raise SqliteError('it is empty' if not raw.strip(b'\0') else 'it is no SQLite database')
        size = struct.unpack_from('>H', raw, 16)[0]
        self.page_size = 65536 if size == 1 else size
        if self.page_size < 512 or self.page_size & self.page_size - 1:
            raise SqliteError('its page size is %d' % self.page_size)
        self._usable = self.page_size - raw[20]
        self._text = {2: 'utf-16-le', 3: 'utf-16-be'}.get(struct.unpack_from('>I', raw, 56)[0], 'utf-8')
        if self._usable < 480:
            raise SqliteError('its pages are too small')
        self._raw = raw
        self._old = rollback_pages(journal, self.page_size) if journal else logged_pages(wal, self.page_size) if wal else {}
        self.rolled_back = bool(self._old)
        self.damage: List[str] = []
        self.tables: Dict[str, Table] = {}
        for row in self._rows(Table(1, ('type', 'name', 'tbl_name', 'rootpage', 'sql'))):
            page, sql = row['rootpage'], row['sql']
            if row['type'] == 'table' and isinstance(row['name'], str) and isinstance(page, int) and isinstance(sql, str):
                self.tables[row['name']] = Table(page, columns_of(sql))

    def rows(self, name: str) -> Iterator[Dict[str, Any]]:
        """Yield the rows of a table as {column: None, int, float, str or bytes}; nothing for a table that is not there. What cannot be
        read is left out and stands in `damage`."""
        table = self.tables.get(name)
        return self._rows(table) if table is not None else iter(())

    def _rows(self, table: Table) -> Iterator[Dict[str, Any]]:
        seen, stack = set(), [(table.page, 0)]
        rests = [len(self._raw) // self.page_size + len(self._old)]     # pages with the rest of a row: each is of one row, so there are no more
        while stack:
            number, depth = stack.pop()
            if number in seen or depth > MAX_DEPTH:
                self._note('page %d is used twice' % number)
                continue
            seen.add(number)
            try:
                kind, cells, below = self._page(number, rests)
                if kind == INNER:
                    stack.extend((child, depth + 1) for child in reversed(below))
                for payload in cells:
                    yield self._row(payload, table.columns)
            except SqliteError as exc:
                self._note(str(exc))

    def _note(self, sentence: str) -> None:
        if len(self.damage) < MAX_ERRORS:
            self.damage.append(sentence)

    def _bytes(self, number: int) -> bytes:
        if number in self._old:
            return self._old[number]
        start = (number - 1) * self.page_size
        if number < 1 or start + self.page_size > len(self._raw):
            raise SqliteError('page %d is missing' % number)
        return self._raw[start:start + self.page_size]

    def _page(self, number: int, rests: List[int]) -> Tuple[int, Iterable[bytes], Sequence[int]]:
        """(kind, payloads of a leaf, pages below an inner page)."""
        page = self._bytes(number)
        at = 100 if number == 1 else 0
        kind, dummy, count = struct.unpack_from('>BHH', page, at)
        if kind not in (INNER, LEAF):
            raise SqliteError('page %d is no page of a table' % number)
        first = at + (12 if kind == INNER else 8)
        if first + 2 * count > len(page):
            raise SqliteError('page %d has more cells than room' % number)
        places = struct.unpack_from('>%dH' % count, page, first)
        if kind == INNER:
            children = [struct.unpack_from('>I', page, place)[0] for place in places if place + 4 <= len(page)]
            return kind, (), children + [struct.unpack_from('>I', page, at + 8)[0]]
        return kind, self._payloads(number, page, places, rests), ()

    def _payloads(self, number: int, page: bytes, places: Iterable[int], rests: List[int]) -> Iterator[bytes]:
        for place in places:
            try:
                size, at = varint(page, place)
                dummy, at = varint(page, at)
                yield self._payload(page, at, size, rests)
            except (SqliteError, struct.error) as exc:
                self._note('a row of page %d: %s' % (number, exc))

    def _payload(self, page: bytes, at: int, size: int, rests: List[int]) -> bytes:
        """A record of SIZE bytes that begins at AT; the rest of a long one is on pages of its own, of which RESTS may still be read."""
        if size > len(self._raw) + len(self._old) * self.page_size:
            raise SqliteError('it is larger than the file')
        local = size
        if size > self._usable - 35:
            least = (self._usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (self._usable - 4)
            local = local if local <= self._usable - 35 else least
        if at + local > len(page):
            raise SqliteError('it leaves its page')
        parts, left = [page[at:at + local]], size - local
        following = struct.unpack_from('>I', page, at + local)[0] if left else 0
        while left:
            rests[0] -= 1
            if rests[0] < 0:
                raise SqliteError('its rest is that of other rows')
            more = self._bytes(following)
            parts.append(more[4:4 + min(left, self._usable - 4)])
            left -= len(parts[-1])
            following = struct.unpack_from('>I', more, 0)[0]
        return b''.join(parts)

    def _row(self, record: bytes, columns: Tuple[str, ...]) -> Dict[str, Any]:
        values = {}
        try:
            end, at = varint(record, 0)
            place, number = end, 0
            while at < end and number < MAX_COLUMNS:
                serial, at = varint(record, at)
                value, place = self._value(record, place, serial)
                if number < len(columns):
                    values[columns[number]] = value
                number += 1
        except (SqliteError, struct.error) as exc:
            self._note('a row: %s' % exc)
        return {name: values.get(name) for name in columns}

    def _value(self, record: bytes, place: int, serial: int) -> Tuple[Any, int]:
        """(value, where the next one begins)."""
        size = SIZES.get(serial, (serial - 12) // 2 if serial >= 12 else -1)
        if size < 0 or place + size > len(record):
            raise SqliteError('a value leaves its record')
        raw = record[place:place + size]
        if serial == 0:
            value: Any = None
        elif serial in (8, 9):
            value = serial - 8
        elif serial == 7:
            value = struct.unpack('>d', raw)[0]
        elif serial < 7:
            value = int.from_bytes(raw, 'big', signed=True)
        else:
            value = raw.decode(self._text, 'replace') if serial & 1 else raw
        return value, place + size


def varint(raw: bytes, at: int) -> Tuple[int, int]:
    """(value, where it ends) of a big-endian number of one to nine bytes. SqliteError where it is cut."""
    value = 0
    for count in range(9):
        if at >= len(raw):
            raise SqliteError('a number is cut')
        byte = raw[at]
        at += 1
        if count == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7f
        if not byte & 0x80:
            break
    return value, at


def columns_of(sql: str) -> Tuple[str, ...]:
    """Names of the columns of a CREATE TABLE statement."""
    start, depth, words, piece = sql.find('('), 0, [], []
    for char in sql[start + 1:] if start >= 0 else '':
        if char == ')' and depth == 0:
            break
        depth += (char == '(') - (char == ')')
        if char == ',' and depth == 0:
            words.append(''.join(piece))
            piece = []
        else:
            piece.append(char)
    words.append(''.join(piece))
    names = [re.match(r'\s*["`\[]?(\w+)', word) for word in words]
    return tuple(found.group(1) for found in names if found and found.group(1).upper() not in NO_COLUMN)


def rollback_pages(journal: bytes, page_size: int) -> Dict[int, bytes]:
    """{number: page} that a rollback journal puts back; {} for one that is not hot (empty, or zeroed at its beginning)."""
    found: Dict[int, bytes] = {}
    at = 0
    while journal[at:at + 8] == JOURNAL_MAGIC and at + 28 <= len(journal):
        count, nonce, dummy, sector, size = struct.unpack_from('>5I', journal, at + 8)
        if size != page_size or not 32 <= sector <= 65536:
            break
        at += sector
        most = (len(journal) - at) // (page_size + 8)
        for dummy in range(min(most, count)):
            number = struct.unpack_from('>I', journal, at)[0]
            page = journal[at + 4:at + 4 + page_size]
            wanted = struct.unpack_from('>I', journal, at + 4 + page_size)[0]
            if (nonce + sum(page[place] for place in range(page_size - 200, 0, -200))) & 0xffffffff != wanted:
                return found            # torn: what follows was never synced
            found.setdefault(number, page)
            at += page_size + 8
        if count > most:
            break
        at = -(-at // sector) * sector
    return found


def logged_pages(wal: bytes, page_size: int) -> Dict[int, bytes]:
    """{number: newest committed page} of a write-ahead log; {} for one that is empty or of another database. It ends before the first
    frame that was not written whole."""
    if len(wal) < 32 or struct.unpack_from('>I', wal)[0] & 0xfffffffe != WAL_MAGIC or struct.unpack_from('>I', wal, 8)[0] != page_size:
        return {}
    order = '>' if wal[3] & 1 else '<'
    salts, sums = wal[16:24], _checksum(wal[:24], order, (0, 0))
    if sums != struct.unpack_from('>2I', wal, 24):
        return {}
    found: Dict[int, bytes] = {}
    pending: Dict[int, bytes] = {}
    for at in range(32, len(wal) - page_size - 23, page_size + 24):
        number, committed = struct.unpack_from('>2I', wal, at)
        page = wal[at + 24:at + 24 + page_size]
        sums = _checksum(page, order, _checksum(wal[at:at + 8], order, sums))
        if wal[at + 8:at + 16] != salts or struct.unpack_from('>2I', wal, at + 16) != sums:
            break
        pending[number] = page
        if committed:
            found.update(pending)
            pending = {}
    return found


def _checksum(raw: bytes, order: str, sums: Tuple[int, int]) -> Tuple[int, int]:
    one, two = sums
    words = struct.unpack('%s%dI' % (order, len(raw) // 4), raw)
    for first, second in zip(words[::2], words[1::2]):
        one = one + first + two & 0xffffffff
        two = two + second + one & 0xffffffff
    return one, two
