"""A stream of SQL as mysqldump writes it, looked through while it passes: the rows of each table are counted.

mysqldump writes line feeds within a value as an escape, so a line never ends in the middle of one.
"""
import re
from typing import Callable, Dict, Match, Optional, Tuple

from ..disk.errors import LifeboatError

_NAME = br'`((?:[^`]|``)+)`'
_USE = re.compile(br'USE %b;' % _NAME)
_CREATE = re.compile(br'CREATE TABLE (?:IF NOT EXISTS )?%b \(' % _NAME)
_INSERT = re.compile(br'INSERT (?:IGNORE )?INTO %b (?:\((?:`(?:[^`]|``)+`(?:, *)?)+\) )?VALUES' % _NAME)
_STRING = re.compile(br"'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_DELIMITER = re.compile(br'DELIMITER (\S+)')
_LAST_WORDS = re.compile(br'-- Dump completed')
MAX_TABLES = 1000000                    # each is remembered
MAX_LINE = 1 << 28                      # bytes of a line that are held to count its rows

Table = Tuple[str, str]                 # database, table


class Counter(object):
    """take() bytes; OUT gets them at once. `rows`: {(database, table): rows, None where a line was too long to count}."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self.rows: Dict[Table, Optional[int]] = {}
        self.whole = False              # it came to its last words
        self._out = out
        self._line = bytearray()
        self._database = ''
        self._table: Optional[Table] = None     # the statement that inserts into it goes on
        self._code = False              # of a routine, a trigger or an event: whatever stands there is no row
        self._skip = False              # the rest of a line that is too long

    def take(self, data: bytes) -> None:
        """The next bytes."""
        self._out(data)
        begin, end = 0, data.find(b'\n') + 1
        while end:
            self._line += data[begin:end]
            if not self._skip:
                self._one(bytes(self._line))
            self._line, self._skip = bytearray(), False
            begin, end = end, data.find(b'\n', end) + 1
        self._line += data[begin:]
        if len(self._line) > MAX_LINE:
            self._give_up()

    def _give_up(self) -> None:
        if not self._skip:
            self._one(bytes(self._line[:4096]))
            if self._table is not None:
                self.rows[self._table] = None
        self._line, self._skip = bytearray(), True

    def _one(self, line: bytes) -> None:
        if self._table is not None:
            self._values(line)
            return
        self.whole = not self._code and bool(_LAST_WORDS.match(line)) or self.whole and not line.strip()
        delimiter = _DELIMITER.match(line)
        if delimiter:
            self._code = delimiter.group(1) != b';'
        if self._code:
            return
        found = _INSERT.match(line)
        if found:
            self._table = self._named(found)
            self._values(line[found.end():])
            return
        found = _CREATE.match(line)
        if found:
            self.rows.setdefault(self._named(found), 0)
            return
        found = _USE.match(line)
        if found:
            self._database = _plain(found.group(1))

    def _named(self, found: Match[bytes]) -> Table:
        table = self._database, _plain(found.group(1))
        if len(self.rows) >= MAX_TABLES and table not in self.rows:
            raise LifeboatError('The dump has more than %d tables' % MAX_TABLES)
        return table

    def _values(self, line: bytes) -> None:
        """Rows: each has one parenthesis outside of quotes."""
        if self._table is None:
            return
        rows = self.rows.get(self._table, 0)
        if rows is not None:
            self.rows[self._table] = rows + _STRING.sub(b'', line).count(b'(')
        if line.endswith(b');\n'):
            self._table = None


def _plain(name: bytes) -> str:
    return name.replace(b'``', b'`').decode('utf-8', 'surrogateescape')
