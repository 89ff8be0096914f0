"""Dumps of a bundle into fresh volumes, each by the database server of the bundle's image: beside what the raw data become, never in their place.

The server runs in a container of its own, made for this and removed afterwards: without a network, without privileges, with nothing of the host
but the new volume. Its programs and the dump come from a dead host, so nothing that they say is a path, an option or a word of a shell here.
"""
import functools
import os
import re
import tarfile
import time
import uuid
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..bundles import reading
from ..disk.errors import LifeboatError
from ..formats import pieces
from ..formats.values import as_dict, as_int, as_list, as_str
from ..formats.wording import number, show
from ..recreate import asks
from . import dumpmariadb, dumpservers, volumes as volumes_
from .plan import IMAGE, Plan, Situation, find_image
from .steps import Undo

STEM = re.compile(r'([a-z]+)-[0-9]{1,4}\Z')
PLACE = re.compile(r'/[^\x00-\x1f\x7f:]{1,200}\Z')
VERSION = re.compile(r'[0-9]{1,2}(\.[0-9]{1,3})*(?=[-+ ]|\Z)')     # MariaDB has more behind it
SERVERS: Dict[str, Callable[..., dumpservers.Loaded]] = {
    'postgresql': dumpservers.postgresql, 'redis': dumpservers.redis, 'valkey': dumpservers.redis, 'mariadb': dumpmariadb.mariadb}
WAIT = "trap 'exit 0' TERM; while :; do sleep 1; done"      # until it is removed
MAX_SAID = 64 << 10
NAMED = 5                               # tables that a sentence names


class Dump(NamedTuple):
    """A component `dump` of a bundle that can be loaded."""
    stem: str                           # ENGINE-N
    engine: str
    version: str
    file: bytes
    sha256: str
    folder: str                         # of the data, as the container saw it
    mount: str                          # where the new volume is mounted
    counts: Dict[str, int]              # {table: rows}, of those that the recovered server counted
    appended: bool                      # the server kept append-only files
    user: str
    superuser: str


class Inside(object):
    """A running container in which a database server is set up."""

    def __init__(self, engine: Any, identifier: str, deadline: float) -> None:
        self._engine, self._id, self._deadline = engine, identifier, deadline

    def call(self, argv: List[str], user: str = '0', env: Tuple[str, ...] = (), limit: int = MAX_SAID) -> Tuple[int, bytes]:
        """(exit status, what it printed)."""
        self.check()
        return self._engine.execute(self._id, argv, user, env, limit)

    def must(self, what: str, argv: List[str], user: str = '0', env: Tuple[str, ...] = ()) -> bytes:
        """What it printed. LifeboatError where it failed."""
        status, said = self.call(argv, user, env)
        if status:
            raise LifeboatError('%s failed in the container (status %d): %s' % (what, status, show(said[-500:].strip()) or 'it said nothing'))
        return said

    def begin(self, argv: List[str], user: str, env: Tuple[str, ...] = ()) -> None:
        """Start a program that goes on."""
        self._engine.execute_behind(self._id, argv, user, env)

    def until(self, what: str, ready: Callable[[], bool], alive: Callable[[], bytes]) -> None:
        """Wait until READY(). LifeboatError when the time is over, with what ALIVE() says."""
        while not ready():
            if time.monotonic() > self._deadline:
                raise LifeboatError('%s is not ready in time. The end of its log: %s' % (what, show(alive()[-1000:].strip()) or '(nothing)'))
            time.sleep(0.5)

    def check(self) -> None:
        if time.monotonic() > self._deadline:
            raise LifeboatError('It took too long. Raise start_timeout')

    def put(self, folder: str, name: str, size: int, content: Iterator[bytes], owner: Tuple[int, int] = (0, 0), mode: int = 0o644) -> None:
        """A file of SIZE bytes in a FOLDER of the container."""
        member = tarfile.TarInfo(name)
        member.size, member.uid, member.gid, member.mode = size, owner[0], owner[1], mode

        def archive() -> Iterator[bytes]:
            yield member.tobuf(tarfile.GNU_FORMAT)
            yield from content
            yield bytes(-size % 512 + 1024)
        self._engine.put_archive(self._id, folder, archive())


def plan_dumps(plan: Plan, situation: Situation) -> None:
    """A step for each dump of the bundle that can be loaded; what is said of the others is a note."""
    found = reading.components(situation.source.info.manifest, 'dump')
    before = len(plan.steps) + len(plan.refusals)
    for component in found:
        label = reading.brief(component.get('name'))
        if reading.component_file(component) is None:
            plan.note('The bundle has no file of the dump %s (%s).' % (label, reading.brief(component.get('status'))))
            continue
        dump = read(situation, component)
        if isinstance(dump, str):
            plan.note('The dump %s is not loaded: %s.' % (label, dump))
        else:
            _plan_one(plan, situation, dump, component)
    if len(plan.steps) + len(plan.refusals) == before:
        said = 'The bundle has no dump that can be loaded%s.' % ('' if found else '; rescue it with dumps in include')
        (plan.note if plan.steps or plan.refusals else plan.lack)(said)


def read(situation: Situation, component: Dict[str, Any]) -> Any:
    """Dump, or why this one is not loaded (text). Nothing in COMPONENT is believed."""
    stem = as_str(component.get('name')).partition(':')[2]
    matched = STEM.match(stem)
    engine = matched.group(1) if matched else ''
    file = reading.component_file(component)
    if engine not in SERVERS or file is None or file not in situation.source.info.sums:
        return 'this version loads those of %s only' % ', '.join(sorted(SERVERS))
    said = as_str(component.get('data_path'))
    path = asks.plain(said) if said.startswith('/') else ''
    folder = os.path.dirname(path) if engine in ('redis', 'valkey') else path
    around = [mount.destination for mount in situation.source.mounts if (folder + '/').startswith(mount.destination.rstrip('/') + '/')]
    mount = max(around, key=len) if around else folder
    if not PLACE.match(folder) or not PLACE.match(mount) or mount.split('/')[1] in ('proc', 'sys', 'dev', 'etc', 'usr', 'bin', 'lib', 'sbin'):
        return 'it says that its data lay in %s' % show(folder)
    version = VERSION.match(as_str(component.get('version')))
    if not version:
        return 'its version is not known'
    definition = situation.source.definition
    variables = dict(item.split('=', 1) for item in definition.env if '=' in item)
    return Dump(stem, engine, version.group(), file, situation.source.info.sums[file], folder, mount, _counts(component),
                any('append-only' in mark for mark in as_list(component.get('marks')) if isinstance(mark, str)),
                as_str(definition.user).split(':')[0], variables.get('POSTGRES_USER') or 'postgres')


def _counts(component: Dict[str, Any]) -> Dict[str, int]:
    found = {name: as_int(count) for name, count in as_dict(component.get('counts')).items() if isinstance(name, str)}
    return {name: count for name, count in found.items() if count is not None}


def _plan_one(plan: Plan, situation: Situation, dump: Dump, component: Dict[str, Any]) -> None:
    name = '%s-dump-%s' % (situation.name, dump.stem)
    facts = reading.dump_facts(component)
    record: Dict[str, Any] = {'name': dump.stem, 'engine': dump.engine, 'version': dump.version, 'volume': name, 'destination': dump.mount,
                              'data_path': facts['data_path'], 'tables': facts['tables'], 'rows': facts['rows'], 'compared': None, 'counts': {}, 'errors': []}
    plan.result['dumps'].append(record)
    volume = situation.engine.volume(name)
    unfinished = volume is not None and any(user['filling'] for user in situation.volumes.users(name))
    plan.before.setdefault('volumes', {})[name] = None if volume is None else dump.sha256
    plan.after.setdefault('volumes', {})[name] = dump.sha256
    if volume is not None and not unfinished:
        if as_dict(volume.get('Labels')).get(volumes_.LABEL) == dump.sha256:
            plan.add('dump', name, 'keep', 'The dump %s was loaded into the volume %s already.' % (dump.stem, name))
        else:
            plan.refuse('There is a volume %s already, and a dump is loaded into a fresh one only: remove it, or give another name by name: NAME.' % name)
        return
    image = situation.options.image
    if not image and situation.image is None:
        plan.refuse('The bundle has no image, so there is no server that could load its dumps: give image: NAME of one on the engine.')
        return
    if not image and IMAGE not in situation.options.restore and find_image(situation.engine, situation.image) is None:
        plan.refuse('The engine does not have the image of the bundle, whose server loads the dump; give restore: [image, dumps].')
        return
    plan.note('The dump %s comes from a dead host: whoever wrote it decides what is in the volume %s. The raw data stay the truth.' % (dump.stem, name))
    plan.add('dump', name, 'load', 'Load the dump %s (%s, %s) into the new volume %s, and compare the rows.' % (
        os.fsdecode(dump.file), number(facts['tables'], 'table'), number(facts['rows'], 'row'), name),
        functools.partial(_load, plan, situation, dump, name, record))


def _load(plan: Plan, situation: Situation, dump: Dump, name: str, record: Dict[str, Any], undo: Undo) -> None:
    engine = situation.engine
    reference = situation.options.image
    if not reference:
        reference = as_dict(find_image(engine, situation.image)).get('Id') or ''
    if engine.volume(name) is not None:
        situation.volumes.remove(name)  # of a run that was killed
    engine.create_volume(name, labels={volumes_.LABEL: dump.sha256})
    undo.append(lambda: situation.volumes.remove(name))
    identifier, dummy = engine.create_container('lifeboat-' + uuid.uuid4().hex[:12], _body(reference, name, dump.mount))
    try:
        engine.start(identifier)
        inside = Inside(engine, identifier, time.monotonic() + situation.options.start_timeout + record['rows'] // 1000)
        size = _size(situation, dump)
        loaded = SERVERS[dump.engine](inside, dump, size, lambda: _content(situation, dump))
    finally:
        engine.remove('/containers/%s' % identifier, {'force': '1', 'v': '1'})
    record['errors'] = [show(line) for line in loaded.errors[:20]]
    record['compared'] = len(dump.counts)
    record['counts'] = {show(table): loaded.counts[table] for table in sorted(dump.counts) if table in loaded.counts}
    for line in record['errors']:
        plan.note('While the dump %s was loaded, the server said: %s' % (dump.stem, line))
    different = differences(dump.counts, loaded.counts, loaded.fewer)
    if different:
        raise LifeboatError('The dump %s was loaded, but its rows are not those of the dead host: %s%s. The raw data stay the truth.' % (
            dump.stem, '; '.join(different[:NAMED]), '; %d more' % (len(different) - NAMED) if len(different) > NAMED else ''))
    plan.note('The dump %s is in the volume %s: the rows of %d of %s were counted, and are those of the dead host.%s' % (
        dump.stem, name, len(dump.counts), number(max(record['tables'], len(dump.counts)), 'table'), loaded.advice))


def differences(wanted: Dict[str, int], found: Dict[str, int], fewer: int = 0) -> List[str]:
    """What differs between the counts of the dead host and those of the loaded dump. FEWER: rows that may be missing, for they expired."""
    said = []
    for name in sorted(wanted):
        count: Optional[int] = found.get(name)
        if count is None and not wanted[name]:
            continue                        # Redis does not list a database without keys
        if count is None or not wanted[name] - fewer <= count <= wanted[name]:
            said.append('%s has %s rows instead of %d' % (show(name), 'no' if count is None else count, wanted[name]))
    return said


def _body(image: str, volume: str, mount: str) -> Dict[str, Any]:
    return {'Image': image, 'Entrypoint': ['/bin/sh', '-c', WAIT], 'Cmd': [], 'User': '0', 'Env': [], 'WorkingDir': '/', 'NetworkDisabled': True,
            'Labels': {volumes_.FILL_LABEL: volume}, 'Healthcheck': {'Test': ['NONE']}, 'HostConfig': {
                'NetworkMode': 'none', 'CapDrop': ['ALL'], 'CapAdd': ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'], 'SecurityOpt': ['no-new-privileges'],
                'PidsLimit': 400, 'LogConfig': {'Type': 'none'},
                'Mounts': [{'Type': 'volume', 'Source': volume, 'Target': mount, 'VolumeOptions': {'NoCopy': True}}]}}


def _content(situation: Situation, dump: Dump) -> Iterator[bytes]:
    stream = volumes_.open_archive(situation.source.info, dump.file)
    try:
        for piece in pieces.of(stream):
            yield bytes(piece)
    finally:
        stream.close()


def _size(situation: Situation, dump: Dump) -> int:
    """Bytes of the dump when it is unpacked: a tar needs to know."""
    return sum(len(piece) for piece in _content(situation, dump))
