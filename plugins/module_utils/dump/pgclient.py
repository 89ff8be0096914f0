"""What a running PostgreSQL in the view is asked, by the psql of its image."""
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ..formats.values import count_of
from .room import MAX_SAID, Room

PLACE = ('-h', '/run/lifeboat', '-p', '5432')
# a database or a role may have set others for itself
TIMES = '-c statement_timeout=0 -c lock_timeout=0'
SETTINGS = TIMES + ' -c search_path=pg_catalog'
BATCH = 500                             # statements that psql gets at once: what it answers must fit into a pipe


class Client(object):
    """PROGRAM finds a program of the image; USER is a role of the server."""

    def __init__(self, room: Room, program: Callable[[str], str], user: str) -> None:
        self.room = room
        self.user = user
        self._program = program

    def argv(self, program: str, *options: str) -> List[str]:
        """The command line of a PROGRAM that connects to the server."""
        return [self._program(program)] + list(PLACE) + ['-U', self.user] + list(options)

    def ask(self, database: str, query: str, columns: int = 1) -> Optional[List[List[str]]]:
        """The rows of QUERY, each of COLUMNS texts; None if it fails, or if there are too many to take."""
        return self._rows(database, columns, ['-c', query], None)

    def count(self, database: str, tables: Sequence[Tuple[str, str]]) -> Dict[Tuple[str, str], Optional[int]]:
        """{(schema, table): rows in the table itself, without those that inherit from it}; None where the server cannot tell."""
        found: Dict[Tuple[str, str], Optional[int]] = dict.fromkeys(tables)
        for begin in range(0, len(tables), BATCH):
            batch = tables[begin:begin + BATCH]
            # one that fails does not end the others, so each says which it is
            script = ''.join('select %d, count(*) from only %s;\n' % (number, place(*table)) for number, table in enumerate(batch))
            for number, rows in self._rows(database, 2, [], script.encode('utf-8', 'surrogateescape')) or []:
                which, counted = count_of(number), count_of(rows)
                if which is not None and counted is not None and which < len(batch):
                    found[batch[which]] = counted
        return found

    def _rows(self, database: str, columns: int, options: List[str], data: Optional[bytes]) -> Optional[List[List[str]]]:
        """Names may have any character but NUL, so that is what separates."""
        said = bytearray()

        def take(piece: bytes) -> None:
            if len(said) <= MAX_SAID:   # it is a program of the image, and may print without an end
                said.extend(piece)
        status = self.room.stream(self.argv('psql', '-X', '-q', '-A', '-t', '-z', '-0', '-d', connection(database), *options), take, data,
                                  PGOPTIONS=SETTINGS)
        if status or len(said) > MAX_SAID:
            return None
        values = bytes(said).decode('utf-8', 'surrogateescape').split('\0')[:-1]
        return [values[at:at + columns] for at in range(0, len(values), columns)] if len(values) % columns == 0 else None


def connection(name: str) -> str:
    """NAME as a value of a connection string: a plain name with a = in it would be read as one."""
    return "dbname='%s'" % name.replace('\\', '\\\\').replace("'", "\\'")


def quoted(name: str) -> str:
    return '"%s"' % name.replace('"', '""')


def place(schema: str, table: str) -> str:
    return '%s.%s' % (quoted(schema), quoted(table))
