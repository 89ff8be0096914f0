"""SQLite: no program of the image is needed. What stands in the write-ahead log or the journal beside the file is taken over, in the view."""
import json
import os
from typing import Any, Dict

try:
    import sqlite3
except ImportError:                     # a Python that was built without
    sqlite3 = None  # type: ignore[assignment]

from ...formats import wording
from ..room import Refused, Room
from ..target import Kind, Target

FOUND = b'/run/lifeboat/sqlite.json'
MAX_FOUND = 16 << 20
MAX_TABLES = 10000


def dump(room: Room, target: Target) -> Dict[str, Any]:
    if sqlite3 is None:
        raise Refused('DUMP_NO_BINARY', 'the Python of this machine has no sqlite3')
    path = room.adopt_file(target.path, (b'-wal', b'-journal'))
    # an index of the log for processes that share it: those that had it are dead
    if os.path.lexists(path + b'-shm'):
        os.unlink(path + b'-shm')
    status = room.fork(lambda: _recover(path, target.verify))
    if status:
        raise Refused('DUMP_SERVER_FAILED', 'SQLite cannot open it: see the log')
    with open(os.open(FOUND, os.O_RDONLY | os.O_NOFOLLOW), 'rb') as raw:
        found = json.loads(raw.read(MAX_FOUND).decode('utf-8'))
    room.out_file(path)
    return found


def _recover(path: bytes, count: bool) -> None:
    """In a process without privileges: make the file whole by itself, count its rows, write what was found to FOUND."""
    database = sqlite3.connect(os.fsdecode(path))
    database.text_factory = lambda raw: raw.decode('utf-8', 'replace')
    tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite!_%' escape '!'")]
    marks, partial = [], []
    if os.path.exists(path + b'-wal'):
        marks.append('its write-ahead log was taken over')
    said = [row[0] for row in database.execute('pragma integrity_check(20)')]
    if said != ['ok']:
        partial.append('the integrity check says: %s' % '; '.join(str(line) for line in said)[:500])
    counts = {}
    if len(tables) > MAX_TABLES:
        partial.append('the rows of %s were not counted: more than %d are not' % (wording.number(len(tables) - MAX_TABLES, 'table'), MAX_TABLES))
    for name in tables[:MAX_TABLES] if count else ():
        try:
            counts[name] = database.execute('select count(*) from "%s"' % name.replace('"', '""')).fetchone()[0]
        except sqlite3.Error as exc:    # a virtual table whose module is not here, or damage
            counts[name] = None
            partial.append('the table %s cannot be counted: %s' % (name, exc))
    database.execute('pragma wal_checkpoint(truncate)')
    if database.execute('pragma journal_mode=delete').fetchone()[0] != 'delete':
        raise ValueError('its write-ahead log could not be taken over')
    version = database.execute('pragma user_version').fetchone()[0]
    database.close()
    with open(FOUND, 'w', encoding='utf-8') as out:
        json.dump({'version': '', 'counts': counts, 'marks': marks + ['user_version %d' % version], 'partial': partial[:20]}, out)


KIND = Kind(('sqlite', 'grafana'), '.sqlite', dump, proven=True, needs_image=False, beside=True)
