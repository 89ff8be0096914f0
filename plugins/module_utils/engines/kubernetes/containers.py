"""A container of Kubernetes from containerd's records: each fact with its fallbacks, of which none is needed to find it."""
import json
import os
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import gotypes
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from ...records.definition import Definition, Pod
from ..shared import crilog
from ..shared.binds import bind_path
from ..shared.containerd.store import ContainerdStore
from ..shared.lazyrecords import LazyRecords
from . import definition as definitions, podspec
from .records import Record, Records, image_volumes
from .volumes import Volumes

# the CRI plugin's own mounts, and what kubelet adds to every container
OWN = frozenset(('/dev/shm', '/dev/termination-log', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/proc', '/dev', '/sys'))
PROPAGATION = {1: 'rslave', 2: 'rshared'}
SECONDS = 10 ** 9


class Readers(NamedTuple):
    """What a container is read with."""
    disk: Any                           # disk.host.HostRoot
    store: ContainerdStore
    records: Records
    volumes: Callable[[], Volumes]
    images: Callable[[str], Any]        # digest of a config, or a name -> model.Image or None
    pod_spec: Callable[[Record], Dict[str, Any]]
    cleanup: Any                        # cleanup.Cleanup
    recorded: bytes                     # the containerd root as the dead host saw it
    blind: bool                         # see privileges.hidden_marks
    idmap: Any


def name_of(records: Records, record: Record) -> Optional[str]:
    """NAMESPACE/POD/CONTAINER, with .N behind it for an attempt that is not the newest; None where one of them is lost."""
    whose = record.whose
    if not (whose.namespace and whose.pod and whose.container):
        return None
    name = '%s/%s/%s' % (whose.namespace, whose.pod, whose.container)
    return name if whose.attempt == records.newest_attempts().get((whose.uid, whose.container), 0) else '%s.%d' % (name, whose.attempt)


def read(readers: Readers, ident: str) -> model.Container:
    """model.Container of an id. Never raises for damage."""
    records, store = readers.records, readers.store
    record = records.containers[ident]
    name, problems, sources = name_of(records, record), [], {}
    shown = name or ident[:12]
    if name is None:
        problems.append(problem('NAME_UNKNOWN', ident, 'The pod and the name of container %s are lost.' % ident[:12], 'It is listed by its ID.'))
    if record.object is None:
        sources['config'] = record.source
        problems.append(problem('STATE_RECORD_LOST', shown, 'containerd\'s record of container %s (meta.db) is lost. Its data are not affected; used '
                                'instead: %s.' % (shown, record.source), 'Command, environment, image and mounts are not known. '
                                'Volumes of pods are rescued where all are asked for: volumes, with "*".'))
    sandbox = records.sandbox_of(record)
    found = _resolve(store, record, ident)
    sources.update(found.sources)
    problems.extend(found.problems)
    problems.extend(privileges.hidden_marks(store.path, readers.blind, found.stack))
    spec = record.object.spec if record.object is not None else {}
    mounts, notes = _mounts(readers, record, spec)
    problems.extend(notes)
    folder = records.folder(ident)
    state = _state(folder)
    problems.extend(readers.cleanup.of_container(shown, record, state))
    pod = readers.pod_spec(record)
    definition = definitions.define(record.config, sandbox.config, spec, pod)._replace(id=ident, name=name or '', mounts=mounts, damaged=not record.config)
    problems.extend(_in_pod(records, record, shown, definition))
    image = readers.images(metadata.text_of(record.about, 'ImageRef') or metadata.text_of(record.config, 'image', 'image'))
    image_id = metadata.text_of(record.about, 'ImageRef') or (image.id if image is not None else None)
    reference = definition.image_recorded
    if (not reference or reference.startswith('sha256:')) and image is not None and image.references:
        reference = image.references[0]
    whose = record.whose
    declared = tuple(mount.destination for mount in mounts if mount.anonymous)
    definition = definition._replace(image_recorded=reference, volumes=declared, pod=Pod(whose.namespace, whose.pod, whose.container))
    created = metadata.get(state, 'created') or (record.object.created if record.object is not None else None)
    return model.Container(
        ident, name, created, image_id or None, reference or None, definition.labels or _labels(record), state, store.path,
        folder.path() if folder is not None else None, 'containerd', _snapshotter(store, record), _status(found, mounts, problems), tuple(problems),
        found.stack, mounts, crilog.log_of(readers.disk, record.whose.log), definition, RecordFiles(readers, record), sources, readers.idmap,
        tuple(_own_files(readers, record)), records.pod_of(record))


def _labels(record: Record) -> Dict[str, str]:
    return record.object.labels if record.object is not None else {}


def _snapshotter(store: ContainerdStore, record: Record) -> Optional[str]:
    """The snapshotter that has a container's layers."""
    if record.object is not None and record.object.snapshotter:
        return record.object.snapshotter
    for name in sorted(store.snapshotters()):
        for namespace in store.namespaces():
            if any(record.id in names for names in store.names_of(namespace, name)):
                return name
    # one whose database is lost may have them: it says so
    return next((name for name, shots in sorted(store.snapshotters().items()) if shots.damage and shots.numbers()), None)


def _resolve(store: ContainerdStore, record: Record, ident: str) -> model.Resolution:
    snapshotter = _snapshotter(store, record)
    if snapshotter is None:
        return model.Resolution(None, model.LOST, (problem('WRITABLE_LAYER_LOST', ident, 'No snapshotter of %s has a snapshot of %s.' % (
            store.path.decode('utf-8', 'replace'), ident[:12]), 'Look at the orphan snapshots of this host; orphans: true rescues them all.'),), {})
    return store.resolve(record.object.snapshot if record.object is not None else ident, snapshotter)


def _status(found: model.Resolution, mounts: Tuple[model.Mount, ...], problems: List[model.Problem]) -> str:
    if found.status == model.LOST and any(mount.path is not None for mount in mounts):
        return model.PARTIAL
    if found.status == model.COMPLETE and any(item.loses_data for item in problems):
        return model.PARTIAL
    return found.status


def _state(folder: Optional[safeio.Dir]) -> Dict[str, Any]:
    """In the words of `crictl inspect` (containerd internal/cri/store/container/status.go)."""
    value = metadata.read_json(folder, b'status').value if folder is not None else None
    started, finished = _time(value, 'StartedAt'), _time(value, 'FinishedAt')
    status = 'unknown' if value is None or metadata.get(value, 'Unknown') is True else \
        'exited' if finished else 'running' if started else 'created'
    code, pid = metadata.get(value, 'ExitCode'), metadata.get(value, 'Pid')
    return {'status': status, 'running': status == 'running', 'exit_code': code if isinstance(code, int) else 0 if value is not None else None, 'dead': False,
            'paused': False, 'pid': pid if isinstance(pid, int) else 0, 'oom_killed': metadata.text_of(value, 'Reason') == 'OOMKilled',
            'started_at': started, 'finished_at': finished, 'created': _time(value, 'CreatedAt')}


def _time(value: Any, key: str) -> Optional[str]:
    nanos = metadata.get(value, key)
    if not isinstance(nanos, int) or nanos <= 0:
        return None
    try:
        return gotypes.format_time(nanos // SECONDS, nanos % SECONDS)
    except ValueError:
        return None


def _in_pod(records: Records, record: Record, shown: str, definition: Definition) -> Iterator[model.Problem]:
    """Yield a problem if other containers share the pod, whose network and volumes they had in common."""
    others = sorted({other.whose.container for other in records.containers.values()
                     if other.whose.uid and other.whose.uid == record.whose.uid and other.whose.container != record.whose.container})
    if others:
        yield problem('IN_POD', shown, 'Container %s shared the pod %s/%s with: %s. They reached each other as localhost. The pod itself is not rescued.' % (
            shown, record.whose.namespace, record.whose.pod, ', '.join(others)), 'On Docker or Podman put them into one network, or into a pod of Podman.')


# -- mounts -----------------------------------------------------------------------------------------------------------------------------


def _mounts(readers: Readers, record: Record, spec: Dict[str, Any]) -> Tuple[Tuple[model.Mount, ...], List[model.Problem]]:
    """(tuple of model.Mount by destination, problems): what kubelet asked for, and the volumes that the image declares, which only the
    runtime spec names."""
    found: Dict[str, model.Mount] = {}
    problems: List[model.Problem] = []
    for item in metadata.list_of(record.config, 'mounts')[:1000]:
        place, source = metadata.text_of(item, 'container_path'), metadata.text_of(item, 'host_path')
        if place and source and place not in OWN:
            rw = metadata.get(item, 'readonly') is not True
            propagation = metadata.get(item, 'propagation')
            mount = _mount(readers, record, place, source, rw, problems)
            found[place] = mount._replace(propagation=PROPAGATION.get(propagation if isinstance(propagation, int) else 0, '') if mount.type == 'bind' else '')
    declared = image_volumes(readers.store.root, record.id)
    for item in metadata.list_of(spec, 'mounts'):
        place, name = metadata.text_of(item, 'destination'), os.path.basename(metadata.text_of(item, 'source'))
        if name in declared and place not in found:
            found[place] = model.Mount('volume', name, None, declared.pop(name), place, True, 'local', True, model.COMPLETE)
    if not spec:
        for name, path in declared.items():
            found['/' + name] = model.Mount('volume', name, None, path, '/' + name, True, 'local', True, model.COMPLETE)
    return tuple(found[place] for place in sorted(found)), problems


def _mount(readers: Readers, record: Record, place: str, source: str, rw: bool, problems: List[model.Problem]) -> model.Mount:
    volume, kind = readers.volumes().at(source)
    if volume is not None:
        problems.extend(item for item in volume.problems if item.loses_data)
        if kind == 'subpath':
            spec = podspec.container(readers.pod_spec(record), record.whose.container)
            sub = next((metadata.text_of(item, 'subPath') for item in metadata.list_of(spec, 'volumeMounts')
                        if metadata.text_of(item, 'mountPath') == place), '')
            if not sub:
                problems.append(problem('SUBPATH_UNKNOWN', record.whose.container or record.id, 'At %s was a folder or file of the volume %s. Which one is '
                                        'written in the specification of the pod only; the whole volume is rescued.' % (place, volume.name),
                                        'Look for the subPath in the specification before you restore the volume there.'))
            return model.Mount('volume', volume.name, source, volume.path, place, rw, 'local', volume.anonymous, volume.status, subpath=sub or None)
        return model.Mount('volume', volume.name, source, volume.path, place, rw, 'local', volume.anonymous, volume.status)
    if kind == 'memory':                # a secret, a token: kubelet fetches it again
        return model.Mount('tmpfs', None, None, None, place, rw, None, False, model.COMPLETE)
    path, status, note = bind_path(source, readers.disk, readers.recorded, readers.store.path, lambda: _writable_places(readers))
    if note is not None:
        problems.append(note)
    return model.Mount('bind', None, source, path, place, rw, None, False, status)


def _writable_places(readers: Readers) -> List[bytes]:
    return [os.path.join(readers.recorded, b'io.containerd.snapshotter.v1.overlayfs')] + [place + b'/pods' for place in readers.cleanup.kubelets]


def _own_files(readers: Readers, record: Record) -> Iterator[Tuple[bytes, bytes]]:
    """Yield (place in the container, path) of files that are mounted into every container of a pod."""
    wanted = {'/etc/hosts': b'/etc/hosts', '/etc/hostname': b'/etc/hostname', '/etc/resolv.conf': b'/etc/resolv.conf'}
    spec = record.object.spec if record.object is not None else {}
    for item in metadata.list_of(spec, 'mounts'):
        place, source = metadata.text_of(item, 'destination'), metadata.text_of(item, 'source')
        if place in wanted:
            path = bind_path(source, readers.disk, readers.recorded, readers.store.path)[0]
            if safeio.is_file(path) and path is not None:
                yield wanted[place], path


class RecordFiles(LazyRecords):
    """{name: bytes} of a container's own records, and its pod's, read when somebody asks."""

    def __init__(self, readers: Readers, record: Record) -> None:
        self._readers, self._record = readers, record

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        record, readers = self._record, self._readers
        if record.object is not None:
            if record.about:
                yield definitions.CONTAINER, _json(record.about)
            if record.object.spec_raw:
                yield definitions.SPEC, record.object.spec_raw
        sandbox = readers.records.sandbox_of(record)
        if sandbox.about:
            yield definitions.SANDBOX, _json(sandbox.about)
        pod = readers.pod_spec(record)
        if pod:
            yield 'podspec.json', _json(pod)
        manifest = readers.cleanup.manifest_of(record)
        if manifest:
            yield 'manifest.yaml', manifest
        folder = readers.records.folder(record.id)
        try:
            if folder is not None:
                yield 'status.json', folder.read(b'status')
        except OSError:
            pass


def _json(value: Dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode('ascii') + b'\n'
