"""A container of CRI-O: its record in the store, its runtime spec with CRI-O's annotations, its state.json. There is no database
(cri-o internal/annotations/annotations.go, internal/oci/container.go)."""
import os
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import jsonish
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from ...records.definition import Definition
from ..podman import definition as oci
from ..shared import crilog
from ..shared.binds import bind_path
from ..shared.lazyrecords import LazyRecords
from ..shared.storage import kubernetes, names
from ..shared.storage.graphroot import GraphRoot
from . import wipe

PREFIX = 'io.kubernetes.cri-o.'
FILES = (b'config.json', b'state.json')
ZERO = '0001-01-01T00:00:00Z'


class Readers(NamedTuple):
    """What a container is read with."""
    root: GraphRoot
    config: Dict[str, Any]              # crio.conf
    spec: Callable[[str], Any]          # runtime spec of a container


def annotation(spec: Any, name: str) -> str:
    """An annotation of CRI-O, '' if there is none."""
    return metadata.text_of(metadata.dict_of(spec, 'annotations'), PREFIX + name)


def json_annotation(spec: Any, name: str) -> Any:
    """One that is JSON itself, None if it is not."""
    try:
        return jsonish.loads(annotation(spec, name).encode('utf-8', 'replace') or b'null')
    except ValueError:
        return None


def is_sandbox(store: Any, ident: str, spec: Any) -> bool:
    """Whether a container only holds the namespaces of a pod."""
    return metadata.get(kubernetes.about(store, ident), 'pod') is True or annotation(spec, 'ContainerType') == 'sandbox'


def pod_of(store: Any, ident: str, spec: Any) -> model.Pod:
    """The model.Pod of a container."""
    about, labels = kubernetes.about(store, ident), json_annotation(spec, 'Labels')
    ident = metadata.text_of(about, 'pod-id') or annotation(spec, 'SandboxID')
    return model.Pod(ident, metadata.text_of(about, 'pod-name') or metadata.text_of(labels, 'io.kubernetes.pod.name') or None,
                     metadata.text_of(about, 'namespace') or metadata.text_of(labels, 'io.kubernetes.pod.namespace') or annotation(spec, 'Namespace') or None,
                     metadata.text_of(about, 'uid') or metadata.text_of(labels, 'io.kubernetes.pod.uid') or None)


def name_of(store: Any, ident: str, spec: Any) -> Any:
    """NAMESPACE/POD/CONTAINER, None where one of them is lost."""
    pod = pod_of(store, ident, spec)
    own = metadata.text_of(kubernetes.about(store, ident), 'metadata-name') or metadata.text_of(json_annotation(spec, 'Metadata'), 'name')
    return '%s/%s/%s' % (pod.namespace, pod.name, own) if own and pod.name and pod.namespace else None


def read(readers: Readers, ident: str) -> model.Container:
    """model.Container of an id. Never raises for damage."""
    root, spec = readers.root, readers.spec(ident)
    store = root.store_of(ident)
    if store is None:
        raise AssertionError('see ids()')
    record, about = store.records.containers.get(ident, {}), kubernetes.about(store, ident)
    name, problems = name_of(store, ident, spec), []
    shown = name or ident[:12]
    if name is None:
        problems.append(problem('NAME_UNKNOWN', ident, 'The name of container %s is lost.' % ident[:12], 'It is listed by its ID.'))
    layer, source = store.layer_of(ident, None, spec)
    if layer is None:
        found = model.Resolution(None, model.LOST, (problem('WRITABLE_LAYER_UNKNOWN', shown, 'No record tells which layer is that of %s.' % shown,
                                                            'orphans: true rescues all layers that belong to nobody.'),), {})
    else:
        found = store.resolve(shown, layer, source)
    problems.extend(found.problems)
    problems.extend(privileges.hidden_marks(root.candidate.path, root.blind, found.stack))
    problems.append(wipe.of_container(shown, readers.config))
    mounts, notes = _mounts(root, spec)
    problems.extend(notes)
    state = _state(root.container_folder(store, ident))
    image = metadata.text_of(record, 'image') or metadata.text_of(about, 'image-id') or annotation(spec, 'ImageRef')
    image = image[7:] if image.startswith('sha256:') else image
    definition = of_spec(spec)._replace(id=ident, name=name or '', mounts=mounts)
    status, folder = found.status, store.folder(ident)
    if status == model.LOST and any(mount.path is not None for mount in mounts) or status == model.COMPLETE and any(item.loses_data for item in problems):
        status = model.PARTIAL
    return model.Container(
        ident, name, annotation(spec, 'Created') or metadata.text_of(record, 'created') or None, 'sha256:' + image if names.is_id(image) else None,
        annotation(spec, 'Image') or metadata.text_of(about, 'image-name') or None, definition.labels, state, root.candidate.path,
        os.path.join(root.candidate.path, folder) if folder is not None else None, 'containers-storage', store.name, status, tuple(problems), found.stack,
        mounts, crilog.log_of(root.disk, annotation(spec, 'LogPath')), definition, Records(root, store, ident), dict(found.sources),
        root.map_of(ident, store), root.run_files(store, ident), pod_of(store, ident, spec))


def of_spec(spec: Any) -> Definition:
    """The Definition of a runtime spec of CRI-O. Its mounts are those that Kubernetes asked for."""
    found = oci.define({}, spec)
    labels = metadata.strings_of({'x': json_annotation(spec, 'Labels')}, 'x')
    image = annotation(spec, 'Image')
    # the spec has the whole command line: nothing of the image's comes before it
    found = found._replace(entrypoint=found.command[:1], command=found.command[1:])
    return found._replace(labels=labels, lost_settings='', image_recorded=image, mount_requests=(), network_mode='', tty=annotation(spec, 'TTY') == 'true',
                          stdin_open=annotation(spec, 'Stdin') == 'true', stdin_once=annotation(spec, 'StdinOnce') == 'true', sysctls={})


def of_records(read_file: Callable[[str], bytes]) -> Definition:
    """The Definition of config.json, which READ_FILE(name) gives; a damaged one counts as lost."""
    try:
        return of_spec(jsonish.loads(read_file('config.json') or b'{}'))
    except ValueError:
        return of_spec({})


def _mounts(root: GraphRoot, spec: Any) -> Tuple[Tuple[model.Mount, ...], List[model.Problem]]:
    """(tuple of model.Mount, problems) of the annotation Volumes, which has every mount that was asked for."""
    found, problems = {}, []
    listed = json_annotation(spec, 'Volumes')
    for item in listed[:1000] if isinstance(listed, list) else ():
        place, source = metadata.text_of(item, 'container_path'), metadata.text_of(item, 'host_path')
        if not place:
            continue
        path, status, note = bind_path(source, root.disk, root.candidate.recorded, root.candidate.path, lambda: _writable_places(root))
        problems.extend([note] if note is not None else [])
        found[place] = model.Mount('bind', None, source, path, place, metadata.get(item, 'readonly') is not True, None, False, status)
    return tuple(found[place] for place in sorted(found)), problems


def _writable_places(root: GraphRoot) -> List[bytes]:
    return [os.path.join(root.candidate.recorded, b'overlay'), b'/var/lib/kubelet/pods']


def _state(folder: Optional[safeio.Dir]) -> Dict[str, Any]:
    """In the words of `crictl inspect`, as the other engines say it."""
    value = metadata.read_json(folder, b'state.json').value if folder is not None else None
    started, finished = (metadata.text_of(value, key) for key in ('started', 'finished'))
    started, finished = (None if text in ('', ZERO) else text for text in (started, finished))
    status = 'unknown' if value is None else 'created' if started is None else 'running' if finished is None else 'exited'
    code, pid = metadata.get(value, 'exitCode'), metadata.get(value, 'initPid')
    return {'status': status, 'running': status == 'running', 'exit_code': code if isinstance(code, int) else 0 if value is not None else None, 'dead': False,
            'paused': False, 'pid': pid if isinstance(pid, int) else 0, 'oom_killed': metadata.get(value, 'oomKilled') is True, 'started_at': started,
            'finished_at': finished}


class Records(LazyRecords):
    """{name: bytes} of a container's own files, read when somebody asks."""

    def __init__(self, root: GraphRoot, store: Any, ident: str) -> None:
        self._root, self._store, self._ident = root, store, ident

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        folder = self._root.container_folder(self._store, self._ident)
        if folder is None:
            return
        for name in FILES:
            try:
                yield name.decode('ascii'), folder.read(name)
            except OSError:
                continue


def ids(root: GraphRoot, spec: Callable[[str], Any]) -> Tuple[List[str], List[str]]:
    """(containers, sandboxes) of CRI-O in a graph root, sorted."""
    found, sandboxes = set(), set()
    for store in root.stores:
        for ident in store.container_ids():
            if kubernetes.is_of_kubernetes(store, ident):
                (sandboxes if is_sandbox(store, ident, spec(ident)) else found).add(ident)
    return sorted(found), sorted(sandboxes)
