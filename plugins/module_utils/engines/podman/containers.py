"""A container of Podman or Buildah from its records: each fact with its fallbacks, of which none is needed to find it."""
import json
import os
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import jsonish, wording
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from ..shared import hostjournal
from ..shared.binds import bind_path
from ..shared.lazyrecords import LazyRecords
from ..shared.storage import names
from ..shared.storage.graphroot import LOG_NAME, GraphRoot, log_of
from . import definition as definitions, libpod
from .volumes import is_anonymous

if TYPE_CHECKING:
    from ..shared.storage.store import Store

SPEC = 'config.json'
UPPER = 'upperdir='                     # option of a mount with :O
NO_LOG = ('none', 'passthrough', 'passthrough-tty')
_LAYER_NAME = re.compile(r'(.+)-layer\Z', re.DOTALL)


class Readers(NamedTuple):
    """What a container is read with."""
    root: GraphRoot
    state: libpod.State
    volumes: Callable[[], Dict[str, model.Volume]]


def read(readers: Readers, ident: str) -> model.Container:
    """model.Container of an id. Never raises for damage."""
    root, state = readers.root, readers.state
    store = root.store_of(ident)
    record = store.records.containers.get(ident, {}) if store is not None else {}
    config, sources = state.configs.get(ident, {}), {}
    spec = store.spec(ident) if store is not None else {}
    name = name_of(readers, ident, sources)
    shown, problems = name or ident[:12], []
    if name is None:
        problems.append(problem('NAME_UNKNOWN', ident, 'The name of container %s is lost.' % ident[:12], 'It is listed by its ID.'))
    if not config:
        problems.append(_no_row(readers, shown, spec, sources))
    about = _metadata(record)
    image_id = metadata.text_of(config, 'rootfsImageID') or metadata.text_of(record, 'image') or metadata.text_of(about, 'image-id')
    image_id = 'sha256:' + image_id if names.is_id(image_id) else None
    reference = metadata.text_of(config, 'rootfsImageName') or metadata.text_of(about, 'image-name') or None
    found = _resolve(readers, store, ident, name, config, spec, shown)
    sources.update(found.sources)
    problems.extend(found.problems)
    problems.extend(privileges.hidden_marks(root.candidate.path, root.blind, found.stack))
    mounts, notes = _mounts(readers, ident, config, spec)
    problems.extend(notes)
    status_now = libpod.state_of(config, state.states.get(ident, {}), bool(record) and not config and bool(state.source))
    problems.extend(_removals(shown, config, spec, status_now))
    log, notes = _log(root, store, ident, config, shown)
    problems.extend(notes)
    definition = definitions.define(config, spec)._replace(id=ident, name=name or '', damaged=not config)
    infra = _infra_of(state, config)
    if infra:
        definition = definitions.outside_of_pod(definition, infra)
        ports = ', '.join(sorted(definitions.define(infra).published))
        problems.append(problem('IN_POD', shown, 'Container %s is in the pod %s. The pod itself is not rescued%s.' % (
            shown, metadata.text_of(state.pods.get(config['pod'], {}), 'name') or config['pod'][:12], '; its published ports are ' + ports if ports else ''),
            'Make the pod again with podman pod create, or publish these ports of the container that serves them.'))
    folder = store.folder(ident) if store is not None else None
    place = os.path.join(root.candidate.path, folder) if folder is not None else None
    created = metadata.text_of(config, 'createdTime') or metadata.text_of(record, 'created') or None
    return model.Container(
        ident, name, created, image_id, reference, definition.labels, status_now, root.candidate.path, place, 'containers-storage',
        store.name if store is not None else None, _status(found, mounts, problems, status_now), tuple(problems), found.stack, mounts, log,
        definition._replace(mounts=mounts), Records(root, store, ident, config, state.states.get(ident, {}), record), sources, root.map_of(ident, store),
        root.run_files(store, ident), libpod.pod_of(config, state.pods))


def name_of(readers: Readers, ident: str, sources: Any = None) -> Any:
    """The name of a container, None where it is lost. SOURCES: a dict that learns which record told it, where it was not the first."""
    root = readers.root
    store = root.store_of(ident)
    record = store.records.containers.get(ident, {}) if store is not None else {}
    candidates = (metadata.text_of(readers.state.configs.get(ident, {}), 'name'),
                  next((item for item in metadata.list_of(record, 'names') if isinstance(item, str) and item), ''), metadata.text_of(_metadata(record), 'name'))
    first = next((name for name in candidates if name), '')
    if first:
        return first
    layer = store.layer_of(ident, None, store.spec(ident))[0] if store is not None else None
    for item in metadata.list_of(store.records.layers.get(layer, {}), 'names') if store is not None and layer else ():
        match = _LAYER_NAME.match(item) if isinstance(item, str) else None
        if match:
            if sources is not None:
                sources['name'] = 'layers.json'
            return match.group(1)
    return None


def _metadata(record: Dict[str, Any]) -> Dict[str, Any]:
    """The text `metadata` of a record, which is JSON itself."""
    try:
        found = jsonish.loads(metadata.text_of(record, 'metadata').encode('utf-8', 'replace') or b'{}')
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _infra_of(state: libpod.State, config: Dict[str, Any]) -> Dict[str, Any]:
    """The record of the infra container of the pod that a container is in, {} if there is none."""
    pod = metadata.text_of(config, 'pod')
    return next((item for item in state.configs.values() if pod and item.get('pod') == pod and libpod.is_infra(item)), {})


def _no_row(readers: Readers, shown: str, spec: Any, sources: Dict[str, str]) -> model.Problem:
    state = readers.state
    sources['config'] = SPEC if spec else 'containers.json'
    if state.source and not state.damage:
        return problem('NO_STATE_RECORD', shown, 'Podman has no record of container %s: another program made it, such as Buildah.' % shown,
                       'podman ps --all --external lists it.')
    return problem('STATE_RECORD_LOST', shown, 'The record of container %s in Podman\'s database is lost. Its data are not affected; used instead: %s.' % (
        shown, sources['config']), 'Ports, volumes by name and restart policy may be missing in its definition.')


def _resolve(readers: Readers, store: 'Optional[Store]', ident: str, name: Optional[str], config: Dict[str, Any], spec: Any, shown: str) -> model.Resolution:
    rootfs = metadata.text_of(config, 'rootfs')
    if store is None:
        return model.Resolution(None, model.LOST, (problem(
            'WRITABLE_LAYER_LOST', shown, 'Container %s is in the database, but the store has nothing of it.' % shown,
            'Look at the orphan writable layers of this host; orphans: true rescues them all.'),), {})
    if rootfs:
        return _own_rootfs(readers, store, ident, config, rootfs, shown)
    layer, source = store.layer_of(ident, name, spec)
    if layer is None:
        return model.Resolution(None, model.LOST, (problem('WRITABLE_LAYER_UNKNOWN', shown, 'No record tells which layer is that of container %s.' % shown,
                                                           'Look at the orphan writable layers of this host; orphans: true rescues them all.'),), {})
    return store.resolve(shown, layer, source)


def _own_rootfs(readers: Readers, store: 'Store', ident: str, config: Dict[str, Any], rootfs: str, shown: str) -> model.Resolution:
    """A container whose root is a folder of the host (`--rootfs`), with `:O` below a layer of its own."""
    root = readers.root
    path, status, note = bind_path(rootfs, root.disk, root.candidate.recorded, root.candidate.path)
    notes = (note,) if note is not None else ()
    base = model.Layer(path, model.PLAIN, status if path is not None else model.LOST)
    if config.get('rootfs_overlay') is True:
        # it was in the run root up to Podman 4, which is in memory
        inside = b'%s-containers/%s/rootfs/upper' % (store.name.encode('ascii'), ident.encode('ascii'))
        upper = next((os.path.join(folder.path(), inside) for folder in (root.dir, root.run) if folder is not None and _is_folder(folder, inside)), None)
        if upper is not None:
            return model.Resolution(model.Stack(model.Layer(upper, store.places[0].encoding), None, (base,)), status, notes, {})
        notes += (problem('WRITABLE_LAYER_LOST', shown, 'What %s changed in %s lay in a layer in memory, and is gone.' % (shown, rootfs),
                          'The folder as it was before, volumes, logs and config are still rescued.'),)
        status = model.PARTIAL if status == model.COMPLETE else status
    return model.Resolution(model.Stack(base, None, ()) if path is not None else None, status if path is not None else model.LOST, notes, {})


def _is_folder(root: safeio.Dir, path: bytes) -> bool:
    """Whether PATH, of which no part may be a link, is a folder."""
    try:
        with root.descend(path):
            return True
    except OSError:
        return False


# -- mounts ---------------------------------------------------------------------------------------------------------------------------


def _mounts(readers: Readers, ident: str, config: Dict[str, Any], spec: Any) -> Tuple[Tuple[model.Mount, ...], List[model.Problem]]:
    """(tuple of model.Mount by destination, problems)."""
    root, found, problems = readers.root, {}, []
    spec = metadata.dict_of(config, 'spec') or spec
    for kind, source, place, options in definitions.binds_of(config, spec):
        if kind == 'tmpfs':
            found[place] = model.Mount('tmpfs', None, None, None, place, 'ro' not in options, None, False, model.COMPLETE)
            continue
        name = _volume_of(source) if not config else None
        if name is not None:
            found[place] = _volume_mount(readers, name, place, 'ro' not in options, problems)
            continue
        path, status, note = bind_path(source, root.disk, root.candidate.recorded, root.candidate.path, lambda: _writable_places(root))
        if note is not None:
            problems.append(note)
        found[place] = model.Mount('bind', None, source, path, place, 'ro' not in options, None, False, status, '', next(
            (item for item in options if item in ('shared', 'rshared', 'slave', 'rslave')), ''))
    for item in metadata.list_of(config, 'namedVolumes'):
        name, place = metadata.text_of(item, 'volumeName'), metadata.text_of(item, 'dest')
        if place:
            options = metadata.list_of(item, 'options')
            mount = _volume_mount(readers, name, place, 'ro' not in options, problems)
            found[place] = mount._replace(subpath=metadata.text_of(item, 'SubPath') or None,
                                          anonymous=mount.anonymous or metadata.get(item, 'setAnonymous') is True)
    for item in metadata.list_of(config, 'overlayVolumes'):
        _overlay_mount(root, ident, item, found, problems)
    for item in metadata.list_of(config, 'ctrImageVolumes'):
        place = metadata.text_of(item, 'dest')
        if place:
            found[place] = model.Mount('image', metadata.text_of(item, 'source') or None, metadata.text_of(item, 'source') or None, None, place,
                                       metadata.get(item, 'rw') is True, None, False, model.COMPLETE,
                                       subpath=metadata.text_of(item, 'subPath') or None)
    problems.extend(_writes_left(root, ident))
    return tuple(found[place] for place in sorted(found)), problems


def _writes_left(root: GraphRoot, ident: str) -> Iterator[model.Problem]:
    """Yield a problem for what a container wrote to mounts of the kind `:O` and to images that it had mounted read-write: it lies beside
    its own files, in no layer (buildah pkg/overlay)."""
    folder = root.container_folder(root.store_of(ident), ident)
    try:
        holder = folder.child(b'overlay') if folder is not None else None
        listed = holder.names() if holder is not None else []
    except OSError:
        return
    for name in listed:
        if holder is None:
            raise AssertionError('it was listed')
        try:
            upper = holder.child(name).child(b'upper')
            written = not upper.is_empty()
        except OSError:
            continue
        if written:
            yield problem('MOUNT_WRITES_LEFT', ident[:12], 'What container %s wrote to a mount with :O, or to an image that it had mounted, lies in %s and is '
                          'not rescued.' % (ident[:12], wording.text(upper.path())), 'Copy that folder: the engine empties it when the container stops.')


def _volume_of(source: str) -> Optional[str]:
    parts = source.split('/')
    return parts[-2] if len(parts) > 3 and parts[-1] == '_data' and parts[-3] == 'volumes' else None


def _volume_mount(readers: Readers, name: str, place: str, rw: bool, problems: List[model.Problem]) -> model.Mount:
    volume = readers.volumes().get(name)
    if volume is None:
        problems.append(problem('VOLUME_LOST', name or place, 'Volume %s (mounted at %s) does not exist in this graph root.' % (name, place),
                                'Look for it in other graph roots and backups.'))
        return model.Mount('volume', name or None, None, None, place, rw, 'local', is_anonymous(name, {}), model.LOST)
    problems.extend(volume.problems)
    source = wording.text(volume.path) if volume.path is not None else None
    return model.Mount('volume', name, source, volume.path, place, rw, volume.driver, volume.anonymous, volume.status)


def _overlay_mount(root: GraphRoot, ident: str, item: Any, found: Dict[str, model.Mount], problems: List[model.Problem]) -> None:
    """`:O`: the host's folder, below a layer that lives until the container stops, or that the user keeps (`upperdir=`)."""
    place, source = metadata.text_of(item, 'dest'), metadata.text_of(item, 'source')
    if not place:
        return
    path, status, note = bind_path(source, root.disk, root.candidate.recorded, root.candidate.path, lambda: _writable_places(root))
    if note is not None:
        problems.append(note)
    found[place] = model.Mount('bind', None, source, path, place, False, None, False, status, 'O')
    for option in metadata.list_of(item, 'options'):
        kept = option[len(UPPER):] if isinstance(option, str) and option.startswith(UPPER) else ''
        upper = bind_path(kept, root.disk, root.candidate.recorded, root.candidate.path, lambda: _writable_places(root))[0] if kept else None
        if upper is not None and safeio.is_folder(upper):
            problems.append(problem('MOUNT_WRITES_LEFT', ident[:12], 'What container %s wrote to %s lies in %s, which the user chose (upperdir), and is not '
                                    'rescued.' % (ident[:12], place, wording.text(upper)), 'Copy that folder.'))


def _writable_places(root: GraphRoot) -> List[bytes]:
    """Folders as the dead host saw them in which containers could make links."""
    return [os.path.join(root.candidate.recorded, name) for name in (b'volumes', b'overlay', b'vfs', b'btrfs')]


# -- log, state, status ---------------------------------------------------------------------------------------------------------------


def _log(root: GraphRoot, store: 'Optional[Store]', ident: str, config: Dict[str, Any], shown: str) -> Tuple[model.Log, Tuple[model.Problem, ...]]:
    """(model.Log, problems)."""
    driver = metadata.text_of(config, 'logDriver') or ('k8s-file' if not config else 'journald')
    notes: Tuple[model.Problem, ...] = ()
    folder = root.container_folder(store, ident)
    files, size = log_of(folder, LOG_NAME)
    recorded = metadata.text_of(config, 'logPath')
    if not files and recorded and driver in ('k8s-file', 'json-file'):
        files, size = _log_elsewhere(root, recorded)
    if not files and (driver == 'journald' or not config):
        found, more = hostjournal.log_of(root.disk, hostjournal.Whose(
            b'CONTAINER_ID_FULL=' + ident.encode('ascii', 'replace'), shown, metadata.text_of(config, 'createdTime') or None, bool(config), (b'conmon',),
            hostjournal.owner_of(root.candidate.path)), 'journald', bool(config))
        if found is not None:
            return found, ()
        notes = tuple(more)
    elif not files and driver not in NO_LOG + ('k8s-file', 'json-file'):
        notes = (problem('LOG_NOT_ON_DISK', shown, 'The logs of %s went to %s, not into the graph root.' % (shown, driver), ''),)
    most = metadata.get(config, 'logSize')
    return model.Log(driver, files, size, str(most) if isinstance(most, int) and most > 0 else None, 'cri'), notes


def _log_elsewhere(root: GraphRoot, recorded: str) -> Tuple[Tuple[bytes, ...], int]:
    """A log at a place that the user chose (`--log-opt path=`)."""
    try:
        path = root.disk.resolve(wording.raw(recorded))
        with safeio.Dir.root(os.path.dirname(path)) as folder:
            return log_of(folder, os.path.basename(path))
    except (OSError, UnicodeEncodeError):
        return (), 0


def _removals(shown: str, config: Dict[str, Any], spec: Any, state: Dict[str, Any]) -> Iterator[model.Problem]:
    annotations = metadata.strings_of(config, 'spec', 'annotations') or metadata.strings_of(spec, 'annotations')
    if state['dead']:
        yield problem('REMOVAL_INTERRUPTED', shown, 'Container %s was being removed when the host died; parts of it may be gone.' % shown,
                      'Rescue it before any podman command is run on this disk: the first one after a reboot removes the rest.')
    elif annotations.get('io.podman.annotations.autoremove') == 'TRUE':
        yield problem('REMOVED_AT_NEXT_START', shown, 'Container %s was started with --rm: the first podman command after a reboot (podman ps is enough) '
                      'deletes it with its anonymous volumes.' % shown, 'Rescue it before any podman command is run on this disk.')


def _status(found: model.Resolution, mounts: Tuple[model.Mount, ...], problems: List[model.Problem], state: Dict[str, Any]) -> str:
    if found.status == model.UNSUPPORTED:
        return model.UNSUPPORTED
    if found.status == model.LOST:
        kept = any(mount.status == model.COMPLETE and mount.path is not None for mount in mounts)
        return model.PARTIAL if kept else model.LOST
    if found.status != model.COMPLETE or state['dead'] or any(item.loses_data for item in problems):
        return model.PARTIAL
    return model.COMPLETE


class Records(LazyRecords):
    """{name: bytes} of a container's own records, made and read when somebody asks. Secrets in the environment stand in the runtime spec
    alone: of a container that has some it is left out."""

    def __init__(self, root: GraphRoot, store: Any, ident: str, config: Any, state: Any, record: Any) -> None:
        self._root, self._store, self._ident = root, store, ident
        self._values = (('container.json', config), ('state.json', state), ('storage.json', record))
        self._secret = bool(metadata.dict_of(config, 'secret_env'))

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        for name, value in self._values:
            if value:
                yield name, json.dumps(value, sort_keys=True, indent=1).encode('ascii')
        folder = self._root.container_folder(self._store, self._ident)
        try:
            if folder is not None and not self._secret:
                yield SPEC, folder.read(b'config.json')
        except OSError:
            pass
