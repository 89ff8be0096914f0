"""What containerd's CRI plugin recorded of containers and sandboxes: the JSON in the extensions of its objects, and its own folders where
that is lost (containerd internal/cri/store, internal/cri/server/container_create.go)."""
import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional

from ...disk import metadata, safeio
from ...formats.values import NOTHING
from ...records import model
from ..shared.containerd.objects import Object, json_of, objects
from . import names

if TYPE_CHECKING:
    from ..shared.containerd.store import ContainerdStore

NAMESPACE = 'k8s.io'
CRI = b'io.containerd.grpc.v1.cri'
KIND = 'io.cri-containerd.kind'
CONTAINER, SANDBOX = 'io.cri-containerd.container.metadata', 'io.cri-containerd.sandbox.metadata'
LABEL = 'io.kubernetes.'


class Record(NamedTuple):
    """A container or sandbox. `about` is its Metadata; `object` None: meta.db does not have it."""
    id: str
    whose: names.Whose
    sandbox: str
    about: Dict[str, Any] = NOTHING
    object: Optional[Object] = None
    source: str = 'meta.db'             # what told it

    @property
    def config(self) -> Dict[str, Any]:
        """What kubelet asked the CRI plugin for."""
        return metadata.dict_of(self.about, 'Config')


class Records(object):
    """All of a containerd root. DISK: disk.host.HostRoot."""

    def __init__(self, store: 'ContainerdStore', disk: Any) -> None:
        self.store, self.disk = store, disk
        self.objects = objects(store, NAMESPACE)
        self.whole = store.meta() is not None
        self.containers: Dict[str, Record] = {}
        self.sandboxes: Dict[str, Record] = {}
        self.folders = _ids(store.root, CRI + b'/containers')
        for ident, item in sorted(self.objects.items()):
            kind = item.labels.get(KIND, '')
            if kind == 'sandbox' or SANDBOX in item.extensions:
                self.sandboxes[ident] = _sandbox(ident, item)
            elif kind == 'container' or CONTAINER in item.extensions:
                self.containers[ident] = _container(ident, item)
        self._without_objects()

    def _without_objects(self) -> None:
        """Containers that only containerd's folders, its snapshots or kubelet's logs tell of."""
        pauses = set(_ids(self.store.root, CRI + b'/sandboxes')) | set(self.sandboxes)
        left = [ident for ident in self.folders if ident not in self.objects and ident not in pauses and (not self.whole or self._has_volumes(ident))]
        layers = [key for dummy, dummy, key, dummy in self.store.writable_keys() if key not in pauses and key not in self.objects]
        logs = names.containers_of_logs(self.disk) if left or layers else {}
        # a start of containerd without its database deletes its folders and leaves the snapshots; those that nobody names are orphans
        left += [key for key in layers if key in logs]
        for ident in sorted(set(left)):
            whose = logs.get(ident, names.Whose())
            self.containers[ident] = Record(ident, whose, '', source='/var/log/containers' if whose.container else 'folders of containerd')
        for ident in sorted(pauses - set(self.sandboxes)):
            self.sandboxes[ident] = Record(ident, names.Whose(), ident, source='folders of containerd')

    def _has_volumes(self, ident: str) -> bool:
        return bool(image_volumes(self.store.root, ident))

    def folder(self, ident: str) -> Optional[safeio.Dir]:
        """The open folder of a container's own files, None if there is none."""
        try:
            return self.store.root.descend(CRI + b'/containers/' + ident.encode('ascii')) if names.ID.match(ident) else None
        except OSError:
            return None

    def sandbox_of(self, record: Record) -> Record:
        """The Record of the sandbox that a container is in; an empty one where it is lost."""
        found = self.sandboxes.get(record.sandbox)
        return found if found is not None else Record(record.sandbox, record.whose, record.sandbox, source='')

    def pod_of(self, record: Record) -> model.Pod:
        """The model.Pod of a container or sandbox."""
        whose, sandbox = record.whose, self.sandbox_of(record)
        labels = {key: value for key, value in metadata.strings_of(sandbox.config, 'labels').items() if not key.startswith(LABEL)}
        return model.Pod(record.sandbox, whose.pod or None, whose.namespace or None, whose.uid or None, labels)

    def pods(self) -> List[model.Pod]:
        """Every pod once: of sandboxes of one pod, the newest attempt."""
        newest: Dict[Any, Record] = {}
        for record in self.sandboxes.values():
            if record.source:
                key = record.whose.uid or record.id
                if key not in newest or newest[key].whose.attempt < record.whose.attempt:
                    newest[key] = record
        return [self.pod_of(record) for dummy, record in sorted(newest.items())]

    def newest_attempts(self) -> Dict[Any, int]:
        """{(pod uid, container): its newest attempt}."""
        found: Dict[Any, int] = {}
        for record in self.containers.values():
            key = (record.whose.uid, record.whose.container)
            found[key] = max(found.get(key, 0), record.whose.attempt)
        return found


def _container(ident: str, item: Object) -> Record:
    about = metadata.dict_of(json_of(item.extensions.get(CONTAINER, b'')), 'Metadata')
    attempt = metadata.get(about, 'Config', 'metadata', 'attempt')
    whose = _labelled(item.labels, names.of_metadata_name(metadata.text_of(about, 'Name')))
    whose = whose._replace(container=whose.container or metadata.text_of(about, 'Config', 'metadata', 'name'),
                           attempt=attempt if isinstance(attempt, int) else whose.attempt, log=metadata.text_of(about, 'LogPath'))
    return Record(ident, whose, metadata.text_of(about, 'SandboxID'), about, item)


def _sandbox(ident: str, item: Object) -> Record:
    about = metadata.dict_of(json_of(item.extensions.get(SANDBOX, b'')), 'Metadata')
    config = metadata.dict_of(about, 'Config', 'metadata')
    attempt = metadata.get(config, 'attempt')
    whose = _labelled(item.labels, names.Whose(metadata.text_of(config, 'namespace'), metadata.text_of(config, 'name'), metadata.text_of(config, 'uid')))
    return Record(ident, whose._replace(attempt=attempt if isinstance(attempt, int) else 0), ident, about, item)


def _labelled(labels: Dict[str, str], spare: names.Whose) -> names.Whose:
    """By the labels that kubelet gives, else SPARE."""
    return spare._replace(namespace=labels.get(LABEL + 'pod.namespace') or spare.namespace, pod=labels.get(LABEL + 'pod.name') or spare.pod,
                          uid=labels.get(LABEL + 'pod.uid') or spare.uid, container=labels.get(LABEL + 'container.name') or spare.container)


def _ids(root: safeio.Dir, folder: bytes) -> List[str]:
    try:
        holder = root.descend(folder)
        return [name for name in (raw.decode('ascii', 'replace') for raw in holder.names()) if names.ID.match(name)]
    except OSError:
        return []


def image_volumes(root: safeio.Dir, ident: str) -> Dict[str, bytes]:
    """{name: path} of the volumes that a container's image declares: folders of containerd, deleted with the container."""
    folder = CRI + b'/containers/' + ident.encode('ascii', 'replace') + b'/volumes'
    try:
        holder = root.descend(folder)
        return {name: os.path.join(holder.path(), name.encode('ascii')) for name in (raw.decode('ascii', 'replace') for raw in holder.names())
                if names.ID.match(name)}
    except OSError:
        return {}
