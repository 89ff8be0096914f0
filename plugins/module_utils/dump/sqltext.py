"""A stream of SQL as pg_dump writes it, looked through while it passes: rows of each COPY are counted, and nothing in it is a command to psql.

psql runs shell commands: by a backslash anywhere outside of quotes. pg_dump writes only a few harmless ones, but this dump comes from a program
of a dead container's image, which may write anything. So lines with another one become a comment, and `removed` counts them.

Where a plain quote ends depends on the setting standard_conforming_strings, which a dump can change out of sight. So a plain literal that has
a backslash is written as E'...' with the backslash doubled: that means the same with both settings.
"""
import re
from typing import Any, Callable, Dict, Optional, Tuple

from ..disk.errors import LifeboatError

# outside of quotes: what begins something that may hold a backslash, or is one
_NEXT = re.compile(br"""'|"|\$(?:[A-Za-z_\x80-\xff][A-Za-z_0-9\x80-\xff]*)?\$|--|/\*|\\""")
_PLAIN = re.compile(br"'")
_ESCAPED = re.compile(br"\\.|'", re.DOTALL)
_COMMENT = re.compile(br'/\*|\*/')
_WORD_BEFORE = re.compile(br'[A-Za-z_0-9\x80-\xff$&]\Z')
_ESCAPE_BEFORE = re.compile(br'(?:\A|[^A-Za-z_0-9\x80-\xff$&])[eE]\Z')
_NAME = br'("(?:[^"]|"")+"|[A-Za-z_\x80-\xff][A-Za-z_0-9\x80-\xff$]*)'
# a table without columns has two spaces there
_COPY = re.compile(br'COPY (?:%b\.)?%b(?: \(.*\)| )? FROM stdin;\n\Z' % (_NAME, _NAME), re.DOTALL)
# pg_dump before 2018 names tables without their schema
_SEARCH_PATH = re.compile(br'SET search_path = %b, pg_catalog;\n\Z' % _NAME)
_LARGE_OBJECT = b'SELECT pg_catalog.lo_open('
_LAST_WORDS = b' dump complete\n--\n'
# backquotes run a shell, also in the arguments of a harmless command
_ALLOWED = re.compile(br'\\(?:(?:un)?restrict [A-Za-z0-9]+|encoding SQL_ASCII|connect (?:-reuse-previous=on )?(?:[A-Za-z_][A-Za-z0-9_]*|"(?:[^"`\n\\]|"")+"|'
                      br'"dbname=\'(?:[^"`\n\\\']|\\[\\\']|"")+\'"))\n\Z')
_END_OF_COPY = b'\\.\n'
REMOVED = b'-- a command to psql was removed here by lifeboat\n'
MAX_HELD = 1 << 28                      # bytes of one line, or of one literal
MAX_TABLES = 1000000                    # each is remembered
MAX_ROW = 8 << 20                       # bytes of one row of COPY that are held back until it is whole

Table = Tuple[str, str, str]            # database, schema, table


class Filter(object):
    """take() bytes; OUT gets them. `database`: the one that is dumped, for the keys of `rows`. `rows`: {(database, schema, table): rows};
    `large_objects`: {database: how many}; `removed`: how many times lines were made a comment."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self.database = ''
        self.rows: Dict[Table, int] = {}
        self.large_objects: Dict[str, int] = {}
        self.removed = 0
        self.table: Optional[Table] = None  # that of the COPY that is at work
        self._schema = ''               # of names that have none
        self._middle = False            # a part of a row is out, its end is not
        self._last = b''                # the end of what came
        self._out = out
        self._rest = b''                # the beginning of a line
        self._held = b''                # whole lines that are not out yet: a plain literal is still open
        self._at = 0                    # so far they were looked through
        self._inside: Any = None        # what ends the quote or comment that is open: a pattern of this file, or bytes
        self._opened = 0                # where in `held` the plain literal begins
        self._depth = 0                 # of nested comments
        self._before: Any = (None, 0)        # `inside` and `depth` at the beginning of `held`

    def take(self, data: bytes) -> None:
        """The next bytes. Raises LifeboatError for a line or literal longer than MAX_HELD."""
        self._last = (self._last + data)[-200:]
        data = self._rest + data
        at = 0
        while True:
            if self.table is not None:
                at = self._rows(data, at)
                if self.table is not None:
                    break
            end = data.find(b'\n', at) + 1
            if not end:
                break
            self._line(data[at:end])
            at = end
        self._rest = data[at:]
        if len(self._rest) + len(self._held) > MAX_HELD:
            raise LifeboatError('A line of the dump is longer than %d bytes' % MAX_HELD)

    def close(self) -> bool:
        """The program that wrote has ended, perhaps in the middle: end what is open, so that more SQL can follow -> whether it had come to
        its last words."""
        whole = self.table is None and self._inside is None and not self._rest and _LAST_WORDS in self._last
        if self.table is not None:
            self._out((b'\n' if self._middle else b'') + _END_OF_COPY)     # the rest is half a row
        elif self._inside is None and self._rest:
            self._line(self._rest + b'\n')
        self.table, self._inside, self._rest, self._held, self._at = None, None, b'', b'', 0
        self._schema, self._middle, self._last = '', False, b''
        return whole

    def _rows(self, data: bytes, at: int) -> int:
        """Whole rows of a COPY from AT on -> where it goes on. Of a very long row the parts go out as they come."""
        if self._middle:
            end = data.find(b'\n', at) + 1
            self._middle = not end
            self._count(int(end > 0))
            self._out(data[at:end or len(data)])
            if not end:
                return len(data)
            at = end
        if data.startswith(_END_OF_COPY, at):
            end, last = at, True
        else:
            end = data.find(b'\n' + _END_OF_COPY, at) + 1
            last = end > 0
            end = end or data.rfind(b'\n', at) + 1 or at
        self._count(data.count(b'\n', at, end))
        if not last and len(data) - end > MAX_ROW:
            end, self._middle = len(data), True
        if last:
            end += len(_END_OF_COPY)
            self.table = None
        if end > at:
            self._out(data[at:end])
        return end

    def _count(self, rows: int) -> None:
        if self.table is not None:
            self.rows[self.table] += rows

    def _line(self, line: bytes) -> None:
        """A whole line of SQL, in COPY's rows or not."""
        if not self._held:
            self._before = self._inside, self._depth
            if self._inside is None and _ALLOWED.match(line):
                self._out(line)
                return
        self._held += line
        if not self._scan():
            self._inside, self._depth = self._before
            self.removed += 1
            self._held = REMOVED        # nothing of the line itself: a quote may be open around it
        elif self._inside is _PLAIN or self._inside == b'"' and self._before[0] is None and self._held.startswith(b'COPY '):
            return                      # whether it has a backslash, or which table it is, is known at its end
        if self._before[0] is None and self._inside is None:
            self._statement()
        self._out(self._held)
        self._held, self._at = b'', 0

    def _statement(self) -> None:
        """What is held begins and ends outside of quotes: does it say something about rows?"""
        if self._held.startswith(b'COPY '):
            copy = _COPY.match(self._held)
            if copy:
                schema, table = copy.groups()
                self.table = self.database, _plain(schema) if schema else self._schema, _plain(table)
                if len(self.rows) >= MAX_TABLES and self.table not in self.rows:
                    raise LifeboatError('The dump has more than %d tables' % MAX_TABLES)
                self.rows.setdefault(self.table, 0)
        elif self._held.startswith(_LARGE_OBJECT):
            self.large_objects[self.database] = self.large_objects.get(self.database, 0) + 1
        elif self._held.startswith(b'SET '):
            path = _SEARCH_PATH.match(self._held)
            self._schema = _plain(path.group(1)) if path else self._schema

    def _scan(self) -> bool:
        """Follow quotes and comments through what is held -> False if there is a backslash outside of them."""
        while self._at < len(self._held):
            if self._inside is not None:
                if not self._end_quote():
                    return False
                continue
            found = _NEXT.search(self._held, self._at)
            if not found or found.group() == b'--':
                # a comment ends with its line, which is the last one that is held
                self._at = len(self._held)
                break
            word, self._at = found.group(), found.end()
            if word == b'\\':
                return False
            if word == b'/*':
                self._inside, self._depth = _COMMENT, 1
            elif word == b"'":
                self._opened = found.start()
                self._inside = _ESCAPED if _ESCAPE_BEFORE.search(self._held[max(0, self._opened - 2):self._opened]) else _PLAIN
            else:
                self._inside = word
        return True

    def _end_quote(self) -> bool:
        """Go on behind what is open, or to the end of what is held. A doubled quote closes and opens again, which is the same. False for a
        literal that cannot be made safe."""
        if isinstance(self._inside, bytes):
            end = self._held.find(self._inside, self._at)
            self._at = len(self._held) if end < 0 else end + len(self._inside)
            if end >= 0:
                self._inside = None
            return True
        found = self._inside.search(self._held, self._at)
        self._at = found.end() if found else len(self._held)
        if not found:
            return True
        if self._inside is _COMMENT:
            self._depth += 1 if found.group() == b'/*' else -1
            if not self._depth:
                self._inside = None
        elif found.group() == b"'":
            if self._held[self._at:self._at + 1] == b"'":
                self._at += 1           # a doubled one
                return True
            plain, self._inside = self._inside is _PLAIN, None
            return self._doubled() if plain else True
        return True

    def _doubled(self) -> bool:
        """Write the plain literal that has ended so that its backslashes mean the same with every setting."""
        literal = self._held[self._opened:self._at]
        if b'\\' in literal:
            if _WORD_BEFORE.search(self._held[:self._opened][-1:]):
                return False            # U&'...', B'...': with a backslash none that pg_dump writes
            new = b'E' + literal.replace(b'\\', b'\\\\')
            self._held = self._held[:self._opened] + new + self._held[self._at:]
            self._at = self._opened + len(new)
        return True


def _plain(name: bytes) -> str:
    """A name as it is, without quotes."""
    return (name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name).decode('utf-8', 'surrogateescape')
