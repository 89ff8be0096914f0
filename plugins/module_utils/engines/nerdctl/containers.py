"""A container of nerdctl, or of another client of containerd, from its object and its folder."""
import json
import os
import re
import stat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import containerlogs
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from ..shared import hostjournal
from ..shared.binds import bind_path
from ..shared.containerd.objects import Object
from ..shared.containerd.store import ContainerdStore
from ..shared.lazyrecords import LazyRecords
from . import definition as definitions
from .stores import DEFAULT, PREFIX, STATE, Folder
from .volumes import volume_name

ID = re.compile(r'[0-9a-f]{64}\Z')
OWN = frozenset(('/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/dev/shm'))
STATUS = 'containerd.io/restart.status'
TASKS = b'io.containerd.runtime.v2.task'
_DATA = re.compile(r'/volumes/([^/]+)/([^/]+)/_data\Z')


class Readers(NamedTuple):
    """What a container is read with."""
    disk: Any                           # disk.host.HostRoot
    stores: Callable[[str], ContainerdStore]    # of one namespace
    folders: List[Folder]
    volumes: Callable[[], Dict[str, model.Volume]]
    images: Callable[[str], Any]        # of a namespace -> shared.containerd.images.Images
    names: Dict[str, str]               # id -> name, of the folder names/
    root: bytes                         # the containerd root on the managed node
    recorded: bytes                     # the same as the dead host saw it
    blind: bool                         # see privileges.hidden_marks
    idmap: Any


def name_of(readers: Readers, item: Object) -> Optional[str]:
    """The name that nerdctl gave, with the namespace before it if that is not the usual one; of other clients the id is the name."""
    name = item.labels.get(PREFIX + 'name') or readers.names.get(item.id) or (item.id if not ID.match(item.id) else '')
    if not name:
        return None
    return name if item.namespace == DEFAULT else '%s/%s' % (item.namespace, name)


def read(readers: Readers, item: Object, known: bool) -> model.Container:
    """model.Container of an Object; KNOWN: meta.db has it. Never raises for damage."""
    store, spec = readers.stores(item.namespace), item.spec
    name, problems, sources = name_of(readers, item), [], {}
    shown = name or item.id[:12]
    if name is None:
        problems.append(problem('NAME_UNKNOWN', item.id, 'The name of container %s is lost.' % item.id[:12], 'It is listed by its ID.'))
    if not known:
        sources['config'] = 'folders of nerdctl'
        problems.append(problem('STATE_RECORD_LOST', shown, 'containerd\'s record of container %s (meta.db) is lost. Its data are not affected; used '
                                'instead: folders of nerdctl.' % shown, 'Command, environment, image and mounts are not known. Its volumes are rescued '
                                'only where all are asked for: volumes, with "*".'))
    snapshotter = _snapshotter(store, item)
    if snapshotter is None:
        found = model.Resolution(None, model.LOST, (problem('WRITABLE_LAYER_LOST', shown, 'No snapshotter has a snapshot of %s.' % shown,
                                                            'Look at the orphan snapshots of this host; orphans: true rescues them all.'),), {})
    else:
        found = store.resolve(item.snapshot or item.id, snapshotter)
    sources.update(found.sources)
    problems.extend(found.problems)
    problems.extend(privileges.hidden_marks(readers.root, readers.blind, found.stack))
    mounts, notes = _mounts(readers, item, spec)
    problems.extend(notes)
    folder = folder_of(readers, item)
    settings = _log_settings(folder, item.labels)
    definition = definitions.define(item.labels, spec, settings)._replace(id=item.id, name=name or '', mounts=mounts, damaged=not known)
    image = readers.images(item.namespace).find(item.image)
    definition = definition._replace(image_recorded=item.image, volumes=tuple(mount.destination for mount in mounts if mount.anonymous))
    status = found.status
    if status == model.LOST and any(mount.path is not None for mount in mounts) or \
            status == model.COMPLETE and any(note.loses_data for note in problems):
        status = model.PARTIAL
    log, notes = _log(readers, folder, item, settings, shown)
    return model.Container(
        item.id, name, item.created, image.id if image is not None else None, _reference(image, item), definition.labels, _state(folder, item, store),
        readers.root, folder.path() if folder is not None else None, 'containerd', snapshotter, status, tuple(problems + notes), found.stack, mounts, log,
        definition, RecordFiles(item, folder), sources, readers.idmap, tuple(_own_files(readers, item, folder)))


def _reference(image: Any, item: Object) -> Optional[str]:
    return image.references[0] if image is not None and image.references else item.image or None


def _snapshotter(store: ContainerdStore, item: Object) -> Optional[str]:
    if item.snapshotter:
        return item.snapshotter
    shots = sorted(store.snapshotters().items())
    found = next((name for name, dummy in shots if any(
        item.id in names for namespace in store.namespaces() for names in store.names_of(namespace, name))), None)
    # one whose database is lost may have them: it says so
    return found or next((name for name, each in shots if each.damage and each.numbers()), None)


def folder_of(readers: Readers, item: Object) -> Optional[safeio.Dir]:
    """The open folder of a container's own files: where its label says, or where nerdctl puts it; None if there is none."""
    tried = [item.labels.get(STATE, '').encode('utf-8', 'replace')] if STATE in item.labels else []
    tried += [os.path.join(folder.recorded, b'containers', item.namespace.encode(), item.id.encode('utf-8', 'replace')) for folder in readers.folders]
    for path in tried:
        try:
            return safeio.Dir.root(readers.disk.resolve(path))
        except (OSError, ValueError):
            continue
    return None


def _state(folder: Optional[safeio.Dir], item: Object, store: ContainerdStore) -> Dict[str, Any]:
    """What a crash leaves of it. containerd's tasks are in memory, and nothing says how a container ended; a folder tells that a task was
    there, which may have ended already (containerd core/runtime/v2/bundle.go)."""
    value = metadata.read_json(folder, b'lifecycle.json').value if folder is not None else None
    started = metadata.text_of(value, 'started_at') or None
    if started is not None and started.startswith('0001-'):
        started = None
    wanted, had_task = item.labels.get(STATUS, ''), _had_task(store, item)
    status = 'created' if value is not None and started is None else 'running' if had_task and wanted == 'running' else \
        'unknown' if had_task or value is None else 'exited'
    return {'status': status, 'running': status == 'running', 'exit_code': None, 'dead': False, 'paused': False, 'pid': 0, 'oom_killed': False,
            'started_at': started, 'finished_at': None}


def _had_task(store: ContainerdStore, item: Object) -> bool:
    try:
        store.root.descend(TASKS + os.fsencode('/%s/%s' % (item.namespace, item.id))).close()
        return True
    except (OSError, ValueError):
        return False


def _log_settings(folder: Optional[safeio.Dir], labels: Dict[str, str]) -> Dict[str, Any]:
    value = metadata.read_json(folder, b'log-config.json').value if folder is not None else None
    return value or definitions.log_of_label(labels)


def _log(readers: Readers, folder: Optional[safeio.Dir], item: Object, settings: Dict[str, Any], shown: str) -> Tuple[model.Log, List[model.Problem]]:
    files, size = [], 0
    base = item.id.encode('utf-8', 'replace') + b'-json.log'
    try:
        for name in containerlogs.order(folder.names(), base) if folder is not None else ():
            st = folder.stat(name) if folder is not None else None
            if st is not None and folder is not None and stat.S_ISREG(st.st_mode):
                files.append(os.path.join(folder.path(), name))
                size += st.st_size
    except OSError:
        pass
    driver = metadata.text_of(settings, 'driver') or ('json-file' if files else 'none')
    notes = []
    if not files and driver == 'journald':
        tag = _tag(metadata.text_of(settings, 'opts', 'tag'), item)
        found, notes = hostjournal.log_of(readers.disk, hostjournal.Whose(
            b'SYSLOG_IDENTIFIER=' + tag.encode('utf-8', 'replace'), shown, item.created, True, (b'nerdctl',),
            hostjournal.owner_of(readers.root), True), driver)
        if found is not None:
            return found, notes
    elif not files and driver not in ('json-file', 'none'):
        notes.append(problem('LOG_NOT_ON_DISK', shown, 'The logs of %s went to %s, not into the folders of nerdctl.' % (shown, driver),
                             'Look in the %s server.' % driver))
    return model.Log(driver, tuple(files), size, metadata.text_of(settings, 'opts', 'max-size') or None, 'json'), notes


def _tag(template: str, item: Object) -> str:
    """What nerdctl calls the container in the journal: the beginning of its ID, or what the user asked for."""
    values = {'ID': item.id[:12], 'FullID': item.id, 'Namespace': item.namespace}
    return re.sub(r'\{\{ *\.(\w+) *\}\}', lambda found: values.get(found.group(1), found.group(0)), template) or item.id[:12]


def _mounts(readers: Readers, item: Object, spec: Dict[str, Any]) -> Tuple[Tuple[model.Mount, ...], List[model.Problem]]:
    """(tuple of model.Mount by destination, problems): by the label, else by the runtime spec."""
    found, problems = {}, []
    unnamed = definitions.anonymous(item.labels)
    for kind, name, source, place, rw in _asked(item, spec):
        if kind == 'volume':
            full = volume_name(item.namespace, name)
            volume = readers.volumes().get(full)
            found[place] = model.Mount('volume', full, source, volume.path if volume is not None else None, place, rw, 'local', name in unnamed,
                                       volume.status if volume is not None else model.LOST)
            if volume is None:
                problems.append(problem('VOLUME_LOST', full, 'Volume %s at %s is not on this disk.' % (full, place), 'Look for it in backups.'))
        elif kind == 'tmpfs':
            found[place] = model.Mount('tmpfs', None, None, None, place, rw, None, False, model.COMPLETE)
        else:
            path, status, note = bind_path(source, readers.disk, readers.recorded, readers.root,
                                           lambda: [folder.recorded + b'/volumes' for folder in readers.folders])
            problems.extend([note] if note is not None else [])
            found[place] = model.Mount('bind', None, source, path, place, rw, None, False, status)
    return tuple(found[place] for place in sorted(found)), problems


def _asked(item: Object, spec: Dict[str, Any]) -> Iterator[Tuple[str, str, str, str, bool]]:
    """Yield (type, name of a volume, source, destination, rw)."""
    listed = definitions.mounts(item.labels)
    for mount in listed:
        place = metadata.text_of(mount, 'Destination')
        if place:
            yield metadata.text_of(mount, 'Type') or 'bind', metadata.text_of(mount, 'Name'), metadata.text_of(mount, 'Source'), place, \
                metadata.get(mount, 'RW') is not False
    known = {metadata.text_of(mount, 'Destination') for mount in listed}
    for mount in metadata.list_of(spec, 'mounts'):
        place, source, kind = (metadata.text_of(mount, key) for key in ('destination', 'source', 'type'))
        if kind == 'bind' and place and place not in OWN and place not in known and source.startswith('/'):
            match = _DATA.search(source)
            yield 'volume' if match else 'bind', match.group(2) if match else '', source, place, 'ro' not in metadata.list_of(mount, 'options')


def _own_files(readers: Readers, item: Object, folder: Optional[safeio.Dir]) -> Iterator[Tuple[bytes, bytes]]:
    """Yield (place in the container, path) of what nerdctl mounts into each."""
    for name in (b'resolv.conf', b'hostname'):
        path = os.path.join(folder.path(), name) if folder is not None else None
        if path is not None and safeio.is_file(path):
            yield b'/etc/' + name, path
    for top in readers.folders:
        path = os.path.join(top.path, b'etchosts', item.namespace.encode(), item.id.encode('utf-8', 'replace'), b'hosts')
        if safeio.is_file(path):
            yield b'/etc/hosts', path
            return


class RecordFiles(LazyRecords):
    """{name: bytes} of a container's own records, read when somebody asks."""

    def __init__(self, item: Object, folder: Optional[safeio.Dir]) -> None:
        self._item, self._folder = item, folder

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        if self._item.labels:
            yield definitions.LABELS, json.dumps(self._item.labels, indent=1, sort_keys=True).encode('ascii') + b'\n'
        if self._item.spec_raw:
            yield definitions.SPEC, self._item.spec_raw
        for name in ('log-config.json', 'lifecycle.json', 'network-config.json'):
            try:
                if self._folder is not None:
                    yield name, self._folder.read(name.encode('ascii'))
            except OSError:
                continue
