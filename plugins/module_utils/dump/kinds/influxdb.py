"""InfluxDB: a tool of the image reads the files as they lie, with the write-ahead log, and writes line protocol; no server runs. Version 1 has
influx_inspect export, version 2 influxd inspect export-lp, once for each bucket."""
import json
import os
import re
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from ...formats import boltdb, protobuf
from ...formats.wording import show
from ..compare import few, label
from ..room import MAX_SAID, Refused, Room
from ..target import Kind, Target, picked
from ..viewfiles import opened

PIPE = '/run/lifeboat/points'
FOUND = b'/run/lifeboat/influxdb.json'
META, BOLT = b'meta/meta.db', b'influxd.bolt'
MAX_META = 256 << 20
MAX_LINE, MAX_NAME, MAX_NAMES = 1 << 16, 1000, 100000
FOLDERS = ('/usr/bin', '/usr/local/bin', '/opt/bitnami/influxdb/bin')
# what the tools say of what they leave out, and then end well; what they say in any case has names in it
PROGRESS = re.compile(r'writing out (?:tsm|wal) file data for .*?\.\.\.(?:complete\.$)?|\{"level":"(?:info|debug)".*')
TROUBLE = re.compile(r'skipp|corrupt|unable|deletes|ignoring|warn|error|fail|invalid', re.IGNORECASE)
LINE = re.compile(br'# CONTEXT-(DATABASE|RETENTION-POLICY):(.*)')
NO_POINT = (b'#', b'CREATE ')
# of version 2: names in influxd.bolt that line protocol has no place for
LEFT_OUT = {'usersv1': 'users', 'authorizationsv1': 'tokens', 'dashboardsv2': 'dashboards', 'tasksv1': 'tasks', 'dbrpv1': 'mappings of databases'}


class Part(NamedTuple):
    """One run of a tool. `head`: a comment before what it writes."""
    argv: List[str]
    name: str
    head: str


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder = room.adopt(target.path)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    place = os.fsencode(folder)
    if room.fork(lambda: _look(place)):
        raise Refused('DUMP_SERVER_FAILED', 'its meta data cannot be read: see the log')
    with opened(FOUND) as raw:
        found = json.loads(raw.read(MAX_SAID).decode('utf-8'))
    parts = list(_one(room, folder) if found['version'] == '1' else _two(room, folder, found['buckets']))
    watch = Watch(room.out)
    trouble: List[str] = []
    for part in parts:
        watch.begin(part.name)
        room.out(part.head.encode('utf-8', 'surrogateescape'))
        status, said = room.piped(part.argv, PIPE, watch.take)
        if status:
            trouble.append('the tool ended with status %d%s: see its log' % (status, ' for ' + part.name if part.name else ''))
        trouble += troubles(said)
        if not watch.whole():
            trouble.append('what the tool wrote%s ends in the middle of a line' % (' for ' + part.name if part.name else ''))
    return {'version': found['version'], 'counts': watch.lines if target.verify else {}, 'marks': ['values were not counted in a server'],
            'partial': found['partial'] + few(trouble)}


def _one(room: Room, folder: str) -> Iterator[Part]:
    yield Part([room.program(['influx_inspect'], FOLDERS), 'export', '-datadir', folder + '/data', '-waldir', folder + '/wal', '-out', PIPE], '', '')


def _two(room: Room, folder: str, buckets: List[List[str]]) -> Iterator[Part]:
    program = room.program(['influxd'], FOLDERS)
    for identifier, name in buckets:
        yield Part([program, 'inspect', 'export-lp', '--bucket-id', identifier, '--engine-path', folder + '/engine', '--output-path', PIPE],
                   label((name,)), '# bucket %s %s\n' % (identifier, show(name)))


def _look(folder: bytes) -> None:
    """In a process without privileges: what its meta data say, written to FOUND."""
    if os.path.lexists(os.path.join(folder, META)):
        found = _meta_one(_read(folder, META))
    elif os.path.lexists(os.path.join(folder, BOLT)):
        found = _meta_two(_read(folder, BOLT))
    else:
        raise ValueError('it has neither meta/meta.db nor influxd.bolt')
    with open(FOUND, 'w', encoding='utf-8') as told:
        json.dump(found, told)


def _read(folder: bytes, name: bytes) -> bytes:
    with opened(os.path.join(folder, name)) as raw:
        content = raw.read(MAX_META + 1)
    if len(content) > MAX_META:
        raise ValueError('%s has more than %d MiB' % (os.fsdecode(name), MAX_META >> 20))
    return content


def _meta_one(raw: bytes) -> Dict[str, Any]:
    """services/meta/internal/meta.proto: Data has databases (5) and users (6), a database policies (3) and continuous queries (4)."""
    data = protobuf.Message(raw)
    databases = [database for database in data.messages(5) if database.raw(1) != b'_internal']
    return {'version': '1', 'partial': ['%d %s in it' % (number, what) for number, what in (
        (len(data.all_bytes(6)), 'users are not'), (sum(len(each.all_bytes(4)) for each in databases), 'continuous queries are not'),
        (sum(policy.number(2) != 0 for each in databases for policy in each.messages(3)), 'retention policies have no time limit')) if number]}


def _meta_two(raw: bytes) -> Dict[str, Any]:
    """bucketsv1 has a bucket as JSON under each ID of eight bytes; its name is only said."""
    database = boltdb.open_db(raw)
    errors: List[boltdb.BoltError] = []
    buckets = []
    inner = database.root.bucket(b'bucketsv1', errors=errors)
    for key, value in inner.items(errors=errors) if inner is not None else ():
        identifier = key.decode('ascii', 'replace')
        if value is None or not re.match(r'[0-9a-f]{16}\Z', identifier):
            continue
        try:
            said = json.loads(value.decode('utf-8', 'replace'))
        except (ValueError, RecursionError):
            said = None
        name = said.get('name') if isinstance(said, dict) else None
        buckets.append([identifier, show(name[:MAX_NAME]) if isinstance(name, str) else ''])
    partial = ['its influxd.bolt is damaged: %s' % errors[0]] if errors or database.damage else []
    for kind, what in sorted(LEFT_OUT.items()):
        inner = database.root.bucket(kind.encode('ascii'), errors=[])
        number = sum(1 for dummy in inner.items(errors=[])) if inner is not None else 0
        if number:
            partial.append('%d %s are not in it' % (number, what))
    if not buckets:
        partial.append('it lists no bucket')
    return {'version': '2', 'buckets': buckets, 'partial': partial}


def troubles(said: bytes) -> List[str]:
    """What a tool says that it leaves out."""
    lines = [PROGRESS.sub('', line) for line in said.decode('utf-8', 'replace').splitlines()]
    return [line[:300] for line in lines if TROUBLE.search(line)]


class Watch(object):
    """Counts lines on their way to OUT: {database.policy, or bucket: lines}. A string value may have line breaks, so it is no more than that."""

    def __init__(self, out: Callable[[bytes], None]) -> None:
        self._out = out
        self.lines: Dict[str, int] = {}
        self._names = {b'DATABASE': '', b'RETENTION-POLICY': ''}
        self._rest, self._name = b'', ''

    def begin(self, name: str) -> None:
        self._rest, self._name = b'', name

    def whole(self) -> bool:
        return not self._rest

    def take(self, piece: bytes) -> None:
        self._out(piece)
        lines = (self._rest + piece).split(b'\n')
        self._rest = lines.pop()[:MAX_LINE]         # how it begins is enough
        for line in lines:
            if not line.startswith(NO_POINT):
                self.lines[self._name] = self.lines.get(self._name, 0) + 1
                continue
            found = LINE.match(line)
            if found:
                self._names[found.group(1)] = found.group(2)[:MAX_NAME].decode('utf-8', 'replace')
                name = label((self._names[b'DATABASE'], self._names[b'RETENTION-POLICY']))
                self._name = name if len(self.lines) < MAX_NAMES else ''


KIND = Kind(('influxdb',), '.lp', dump)
