"""Podman's database: `db.sql` (SQLite, from 4.8 on) or `libpod/bolt_state.db`. It is read as bytes: nothing is locked, nothing written.

Containers, their names and layers, images and volumes are found without it; it adds states, definitions, pods and options of volumes.
Sources: podman libpod/sqlite_state_internal.go, boltdb_state_internal.go, container_config.go, container.go.
"""
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import jsonish, wording
from ...records import model
from ..shared.boltfile import read_db
from ..shared.storage import names

if TYPE_CHECKING:
    from ...formats import boltdb

MAX_DB = 512 << 20
# libpod/define/containerstate.go
STATES = ('unknown', 'created', 'initialized', 'running', 'stopped', 'paused', 'exited', 'removing', 'stopping')


class State(object):
    """What the database says: {id: JSON object} of containers and their states, pods, and {name: JSON object} of volumes. `source`: the
    file that told it, '' if none did; `damage`: clauses; `hot`: a transaction was cut off and is taken back in memory."""

    def __init__(self) -> None:
        self.configs: Dict[str, Dict[str, Any]] = {}
        self.states: Dict[str, Dict[str, Any]] = {}
        self.pods: Dict[str, Dict[str, Any]] = {}
        self.volumes: Dict[str, Dict[str, Any]] = {}
        self.settings: Dict[str, str] = {}  # GraphRoot, VolumeDir ... as this Podman knew them
        self.source = ''
        self.damage: List[str] = []
        self.hot = False


def read(root: safeio.Dir, run: Any = None) -> State:
    """The State of an open graph root; of a transient store the database lies in the run root RUN. Never raises for damage."""
    state = State()
    for folder in (root,) if run is None else (root, run):
        if _has(folder, b'db.sql'):
            _of_sqlite(state, folder)
            if state.configs or state.volumes:
                return state
    if _has(root, b'libpod/bolt_state.db'):
        _of_bolt(state, root)
    return state


def _has(folder: safeio.Dir, path: bytes) -> bool:
    top, name = os.path.split(path)
    try:
        folder.descend(top).stat(name)
        return True
    except OSError:
        return False


def _json(value: Any) -> Dict[str, Any]:
    """A JSON object of a column or key, {} for anything else."""
    if isinstance(value, str):
        value = value.encode('utf-8', 'replace')
    try:
        found = jsonish.loads(value) if value else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_sqlite(state: State, folder: safeio.Dir) -> None:
    from ...formats import sqlite  # not every host has such a file
    raw = []
    for name in (b'db.sql', b'db.sql-journal'):
        try:
            raw.append(folder.read(name, MAX_DB))
        except OSError as exc:
            raw.append(b'')
            if name == b'db.sql':
                state.damage.append('db.sql: %s' % metadata.describe(exc))
    try:
        database = sqlite.Db(raw[0], raw[1])
    except sqlite.SqliteError as exc:
        state.damage.append('db.sql: %s' % exc)
        return
    state.hot = database.rolled_back
    for table, key, target, wanted in (('ContainerConfig', 'ID', state.configs, names.is_id), ('ContainerState', 'ID', state.states, names.is_id),
                                       ('PodConfig', 'ID', state.pods, names.is_id), ('VolumeConfig', 'Name', state.volumes, _is_volume)):
        for row in database.rows(table):
            if wanted(row.get(key)):
                target[row[key]] = _json(row.get('JSON'))
    for row in database.rows('DBConfig'):
        state.settings.update((key, value) for key, value in row.items() if isinstance(value, str))
    state.damage.extend('db.sql: %s' % item for item in database.damage[:3])
    state.source = 'db.sql'


def _of_bolt(state: State, root: safeio.Dir) -> None:
    database, damage = read_db(root, b'libpod', b'bolt_state.db')
    if damage:
        state.damage.append(damage)
    if database is None:
        return
    state.source = 'bolt_state.db'
    for key, bucket in _buckets(database, b'ctr'):
        ident = key.decode('ascii', 'replace')
        if names.is_id(ident):
            state.configs[ident] = _json(_value(bucket, b'config'))
            state.states[ident] = _json(_value(bucket, b'state'))
    for key, bucket in _buckets(database, b'pod'):
        if names.is_id(key.decode('ascii', 'replace')):
            state.pods[key.decode('ascii')] = _json(_value(bucket, b'config'))
    for key, bucket in _buckets(database, b'vol'):
        name = key.decode('utf-8', 'replace')
        if _is_volume(name):
            state.volumes[name] = _json(_value(bucket, b'config'))
    settings = database.root.bucket(b'runtime-config', errors=[])
    for key, name in ((b'graph-root', 'GraphRoot'), (b'volume-path', 'VolumeDir'), (b'run-root', 'RunRoot'), (b'static-dir', 'StaticDir')):
        value = _value(settings, key) if settings is not None else None
        if value:
            state.settings[name] = value.decode('utf-8', 'replace')


def _buckets(database: 'boltdb.Db', name: bytes) -> 'List[Tuple[bytes, boltdb.Bucket]]':
    holder = database.root.bucket(name, errors=[])
    return list(holder.buckets(errors=[])) if holder is not None else []


def _value(bucket: 'boltdb.Bucket', key: bytes) -> Optional[bytes]:
    return next((value for name, value in bucket.items(errors=[]) if name == key and value is not None), None)


def _is_volume(name: Any) -> bool:
    return isinstance(name, str) and names.VOLUME.match(wording.raw(name)) is not None


def is_infra(config: Any) -> bool:
    """Whether a container only holds the namespaces of a pod, or is the service of `kube play`."""
    return any(metadata.get(config, key) is True for key in ('pause', 'isInfra', 'isService'))


def state_of(config: Any, state: Any, buildah: bool) -> Dict[str, Any]:
    """The state in the words of `podman inspect`; `storage` as `podman ps --external` says where Podman has no record of it."""
    number = metadata.get(state, 'state')
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(STATES)
    status = STATES[number] if known else 'storage' if buildah else 'unknown'
    code, pid = metadata.get(state, 'exitCode'), metadata.get(state, 'pid')
    return {'status': status, 'running': status in ('running', 'paused', 'stopping'), 'exit_code': code if isinstance(code, int) else 0 if known else None,
            'dead': status == 'removing', 'paused': status == 'paused', 'pid': pid if isinstance(pid, int) else 0,
            'oom_killed': metadata.get(state, 'oomKilled') is True,
            'started_at': _time(metadata.text_of(state, 'startedTime')), 'finished_at': _time(metadata.text_of(state, 'finishedTime'))}


def _time(text: str) -> Optional[str]:
    return None if text in ('', '0001-01-01T00:00:00Z') else text


def pod_of(config: Any, pods: Dict[str, Dict[str, Any]]) -> Any:
    """The model.Pod of a container's config, None for one that is in no pod."""
    ident = metadata.text_of(config, 'pod')
    if not names.is_id(ident):
        return None
    return model.Pod(ident, metadata.text_of(pods.get(ident, {}), 'name') or None, None, None, metadata.strings_of(pods.get(ident, {}), 'labels'))


def volume_places(settings: Dict[str, str]) -> Tuple[bytes, bytes]:
    """(graph root, folder of volumes) as this Podman knew them; b'' for what is not known."""
    found = []
    for key in ('GraphRoot', 'VolumeDir'):
        raw = wording.raw(settings.get(key, ''))
        found.append(raw if raw.startswith(b'/') and b'\0' not in raw else b'')
    return found[0], found[1]
