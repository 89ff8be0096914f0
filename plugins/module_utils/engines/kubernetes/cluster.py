"""What a database of the API server on this node tells: specifications of pods, and which folder is behind which claim. etcd's is a bbolt file
(`snap/db`: server/storage/mvcc), that of k3s is SQLite (kine). Of both only pods, claims and PersistentVolumes are read, and of pods only names,
mounts and volumes: no value of an environment, no Secret, no ConfigMap.

Objects are protobuf behind `k8s\\0` (apimachinery pkg/runtime/serializer/protobuf; core/v1/generated.proto), or JSON.
"""
import errno
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import gotypes, jsonish, wording
from ...formats.values import NOTHING
from ...records import model
from ...records.codes import problem

PREFIX = b'/registry/'
KINDS = {b'pods': 'pod', b'persistentvolumes': 'volume', b'persistentvolumeclaims': 'claim'}
MAX_DB, MAX_OBJECTS = 256 << 20, 100000
DQLITE = b'/kubernetes/backend'         # the folder of MicroK8s' own database
ENCRYPTED = b'k8s:enc:'                 # encryption at rest (apiserver pkg/storage/value/encrypt)
MAX_SAID = 3                            # clauses on damage
TOMBSTONE = 18                          # length of a key of etcd that says that the object was deleted


class Cluster(object):
    """CLAIMS: {name of a PersistentVolume: (namespace, name of its claim)}; PLACES: {the same: its folder on this node, as the dead host saw
    it}; PODS: {uid: specification}."""

    def __init__(self, claims: Dict[str, Tuple[str, str]] = NOTHING, places: Dict[str, bytes] = NOTHING, pods: Dict[str, Dict[str, Any]] = NOTHING) -> None:
        self._claims, self._places, self._pods = claims, places, pods

    def claim_of(self, pv: str) -> Tuple[str, str]:
        """(namespace, name) of the claim that has a PersistentVolume, ('', '') where it is not known."""
        return self._claims.get(pv, ('', ''))

    def pv_of(self, namespace: str, claim: str) -> str:
        """The PersistentVolume of a claim, '' where it is not known."""
        return next((pv for pv, known in self._claims.items() if known == (namespace, claim)), '')

    def place_of(self, pv: str) -> bytes:
        """The folder of a local PersistentVolume, b'' where it is not known."""
        return self._places.get(pv, b'')

    def pod(self, uid: str) -> Dict[str, Any]:
        """The specification of a pod, {} where it is not known."""
        return self._pods.get(uid, {})


def load(disk: Any, paths: Tuple[bytes, ...]) -> Tuple[Cluster, List[model.Problem]]:
    """(Cluster, problems) of the first of PATHS (as the dead host saw them) that is there. A node that is no server has none."""
    for path in paths:
        try:
            place = disk.resolve(path)
        except FileNotFoundError:
            continue
        except OSError as exc:
            if exc.errno in (errno.ENOTDIR, errno.ELOOP):
                continue
            return Cluster(), [_unread(path, metadata.describe(exc))]
        if path.endswith(DQLITE):
            found = _of_dqlite(place)
            if found:
                return Cluster(), found
            continue
        objects: Dict[bytes, bytes] = {}
        damage: List[str] = []
        try:
            for key, value in (_sqlite if path.endswith(b'/state.db') else _etcd)(place, damage):
                if value is None:
                    objects.pop(key, None)
                elif len(objects) < MAX_OBJECTS or key in objects:
                    objects[key] = value
                elif len(damage) < MAX_SAID:
                    damage.append('it has more than %d pods and volumes' % MAX_OBJECTS)
        except (OSError, ValueError) as exc:
            return Cluster(), [_unread(place, metadata.describe(exc) if isinstance(exc, OSError) else str(exc))]
        made, more = _made(objects)
        damage.extend(more)
        return made, [problem('CLUSTER_DB_DAMAGED', wording.text(place), 'The database of the API server, %s, could not be read whole: %s. What it says of '
                              'some pods and claims is not known.' % (wording.text(place), '; '.join(dict.fromkeys(damage[:MAX_SAID]))),
                              'Containers, layers, volumes and logs were found without it.')] if damage else []
    return Cluster(), []


def _unread(place: bytes, why: str) -> model.Problem:
    return problem('CLUSTER_DB_UNREAD', wording.text(place), 'The database of the API server, %s: %s. Specifications of pods are not known from it.' % (
        wording.text(place), why), 'Containers, layers, volumes and logs were found without it.')


def _of_dqlite(place: bytes) -> List[model.Problem]:
    """That dqlite is not read, where there is some."""
    try:
        with safeio.Dir.root(place) as folder:
            there = any(name.startswith((b'snapshot-', b'open-', b'metadata', b'0')) for name in folder.names())
    except OSError:
        return []
    where = wording.text(place)
    return [problem('CLUSTER_DB_UNREAD', where, 'The database of the API server, %s, is dqlite (MicroK8s), which is not read. Specifications of pods are not '
                    'known from it.' % where, 'Keep a copy of it (tar -czf dqlite.tar.gz -C %s backend). A new MicroK8s of the same version takes it as '
                    'https://microk8s.io/docs/restore-quorum says; then: microk8s kubectl get pods,pvc,pv -A -o yaml.' % wording.show(
                        os.path.dirname(place)))] if there else []


def _kind_of(key: bytes) -> str:
    """'' for a key of something that is not read."""
    return KINDS.get(key[len(PREFIX):].split(b'/')[0], '') if key.startswith(PREFIX) else ''


def _read(place: bytes, name: bytes, limit: int) -> bytes:
    with safeio.Dir.root(os.path.dirname(place)) as folder:
        fd = folder.open(name)
        try:
            return safeio.read_all(fd, limit)
        finally:
            os.close(fd)


def _etcd(place: bytes, damage: List[str]) -> Iterator[Tuple[bytes, Optional[bytes]]]:
    """Yield (key, value or None where it was deleted), in the order of revisions: the last one counts. DAMAGE learns what could not be read."""
    from ...formats import boltdb  # long, and most nodes have no such file
    database = boltdb.open_db(_read(place, os.path.basename(place), MAX_DB))
    if database.trouble:
        damage.append(database.trouble)
    errors: List[boltdb.BoltError] = []
    bucket = database.root.bucket(b'key', errors=errors)
    if bucket is None:
        raise ValueError(str(errors[0]) if errors else 'it has no bucket key')
    for revision, raw in bucket.items(errors=errors):
        try:
            found = dict((number, value) for number, kind, value in gotypes.fields(raw or b'') if kind == 2)
        except ValueError as exc:
            errors.append(boltdb.BoltError('a revision: %s' % exc))
            continue
        if _kind_of(found.get(1, b'')):
            yield found[1], None if len(revision) == TOMBSTONE else found.get(5, b'')
    damage.extend(str(item) for item in errors[:MAX_SAID])


def _sqlite(place: bytes, damage: List[str]) -> Iterator[Tuple[bytes, Optional[bytes]]]:
    """The same of kine. Rows come in the order of their ids."""
    from ...formats import sqlite
    name = os.path.basename(place)
    try:
        wal = _read(place, name + b'-wal', MAX_DB)
    except FileNotFoundError:
        wal = b''
    except OSError as exc:
        damage.append('its newest changes, %s-wal, cannot be read: %s' % (name.decode('ascii', 'replace'), metadata.describe(exc)))
        wal = b''
    database = sqlite.Db(_read(place, name, MAX_DB), wal=wal)
    if 'kine' not in database.tables:
        raise ValueError('it has no table kine')
    for row in database.rows('kine'):
        key, value = row.get('name'), row.get('value')
        key = key.encode('utf-8', 'replace') if isinstance(key, str) else key if isinstance(key, bytes) else b''
        if _kind_of(key):
            yield key, None if row.get('deleted') else value if isinstance(value, bytes) else b''
    damage.extend(database.damage[:MAX_SAID])


def _made(objects: Dict[bytes, bytes]) -> Tuple[Cluster, List[str]]:
    """(the Cluster, clauses on objects that could not be read)."""
    encrypted = damaged = 0
    claims: Dict[str, Tuple[str, str]] = {}
    places: Dict[str, bytes] = {}
    pods: Dict[str, Dict[str, Any]] = {}
    for key, raw in objects.items():
        kind = _kind_of(key)
        try:
            value = _object(kind, raw)
        except ValueError:
            encrypted, damaged = encrypted + raw.startswith(ENCRYPTED), damaged + (not raw.startswith(ENCRYPTED))
            continue
        about, spec = metadata.dict_of(value, 'metadata'), metadata.dict_of(value, 'spec')
        if kind == 'pod' and metadata.text_of(about, 'uid'):
            pods[metadata.text_of(about, 'uid')] = spec
        elif kind == 'volume':
            name = metadata.text_of(about, 'name')
            claims[name] = metadata.text_of(spec, 'claimRef', 'namespace'), metadata.text_of(spec, 'claimRef', 'name')
            place = metadata.text_of(spec, 'local', 'path') or metadata.text_of(spec, 'hostPath', 'path')
            if place.startswith('/'):
                places[name] = place.encode('utf-8', 'replace')
    counted = ((encrypted, '%d objects are encrypted at rest'), (damaged, '%d objects are damaged'))
    return Cluster(claims, places, pods), [clause % count for count, clause in counted if count]


# -- objects ------------------------------------------------------------------------------------------------------------------------------

# {field of the message: (name, what it is)}: a table, '' for text, or a list of one of them; core/v1 and meta/v1 generated.proto
_META = {1: ('name', ''), 3: ('namespace', ''), 5: ('uid', '')}
_MOUNT = {1: ('name', ''), 3: ('mountPath', ''), 4: ('subPath', '')}
_CONTAINER = {1: ('name', ''), 2: ('image', ''), 9: ('volumeMounts', [_MOUNT])}
_SOURCE = {1: ('hostPath', {1: ('path', '')}), 2: ('emptyDir', {1: ('medium', '')}), 10: ('persistentVolumeClaim', {1: ('claimName', '')})}
_POD = {1: ('volumes', [{1: ('name', ''), 2: ('', _SOURCE)}]), 2: ('containers', [_CONTAINER]), 20: ('initContainers', [_CONTAINER]), 3: ('restartPolicy', '')}
_VOLUME = {2: ('', {3: ('hostPath', {1: ('path', '')}), 20: ('local', {1: ('path', '')})}), 4: ('claimRef', {2: ('namespace', ''), 3: ('name', '')})}
_SPECS: Dict[str, Any] = {'pod': {1: ('metadata', _META), 2: ('spec', _POD)}, 'volume': {1: ('metadata', _META), 2: ('spec', _VOLUME)}, 'claim': {}}
_JSON = {'pod': ('volumes', 'containers', 'initContainers', 'restartPolicy')}
_KEPT = ('name', 'image', 'volumeMounts')


def _object(kind: str, raw: bytes) -> Dict[str, Any]:
    """What is read of an object, named as in its JSON. ValueError for one that is encrypted, or damaged."""
    if raw.startswith(b'k8s\0'):
        inner = next((value for number, wire, value in gotypes.fields(raw[4:]) if number == 2 and wire == 2), b'')
        return _message(inner, _SPECS[kind])
    value = jsonish.loads(raw)
    if not isinstance(value, dict):
        raise ValueError('no object')
    if kind == 'pod':
        spec = {key: item for key, item in metadata.dict_of(value, 'spec').items() if key in _JSON[kind]}
        for key in ('containers', 'initContainers'):
            if key in spec:
                spec[key] = [{name: item.get(name) for name in _KEPT} for item in metadata.list_of(spec, key) if isinstance(item, dict)]
        value = dict(value, spec=spec)
    return value


def _message(raw: bytes, table: Dict[int, Any]) -> Dict[str, Any]:
    """A protobuf message by a table of the fields that are wanted. The message in a field without a name is part of this one."""
    found: Dict[str, Any] = {}
    for number, wire, value in gotypes.fields(raw):
        name, what = table.get(number, ('', None))
        if wire != 2 or what is None:
            continue
        if isinstance(what, list):
            found.setdefault(name, []).append(_message(value, what[0]))
        elif isinstance(what, dict):
            inner = _message(value, what)
            found.update(inner if not name else {name: inner})
        else:
            found[name] = value.decode('utf-8', 'replace')
    return found
