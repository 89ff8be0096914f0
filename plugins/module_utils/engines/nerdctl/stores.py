"""nerdctl's own folders, and which namespaces of a containerd root are its (nerdctl pkg/clientutil/client.go, docs/dir.md)."""
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from ...disk import safeio
from ..shared.containerd.finding import SYSTEM, Candidate
from ..shared.containerd.objects import Object, objects
from ..shared.containerd.store import ContainerdStore

DATA, IN_HOME = b'/var/lib/nerdctl', b'.local/share/nerdctl'
USUAL = b'1935db59'                     # of /run/containerd/containerd.sock
ADDRESS = re.compile(rb'[0-9a-f]{8}\Z')
NAME = re.compile(rb'[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z')
KUBERNETES = 'k8s.io'
OF_KUBERNETES = 'io.cri-containerd.kind'
PREFIX = 'nerdctl/'
STATE = 'nerdctl/state-dir'
DEFAULT = 'default'
_OTHERS = re.compile(r'(?:moby(?:-.*)?|plugins\.moby|buildkit(?:_.*)?)\Z')      # Docker's, and BuildKit's
MAX = 10000                             # names of one folder


class Folder(NamedTuple):
    """DATAROOT/ADDRESS. `recorded`: as the dead host saw it."""
    path: bytes
    recorded: bytes


def is_other(namespace: str) -> bool:
    """Whether a namespace is Docker's or BuildKit's."""
    return _OTHERS.match(namespace) is not None


def mine(store: ContainerdStore) -> Dict[str, Dict[str, Object]]:
    """{namespace: {id: Object}} of those of nerdctl. In that of Kubernetes only those that the CRI plugin did not make."""
    found = {}
    for namespace in store.all_namespaces():
        if not is_other(namespace):
            items = objects(store, namespace)
            if namespace == KUBERNETES:
                items = {ident: item for ident, item in items.items() if OF_KUBERNETES not in item.labels and _is_made_by_hand(item)}
                if not items:
                    continue
            found[namespace] = items
    return found


def _is_made_by_hand(item: Object) -> bool:
    return not any(name.startswith('io.cri-containerd.') for name in item.extensions)


def namespaces(path: bytes) -> List[str]:
    """The namespaces of nerdctl that have containers, images or snapshots in a containerd root on the managed node."""
    try:
        store = ContainerdStore(path)
    except OSError:
        return []
    try:
        meta = store.meta()
        return [name for name, items in mine(store).items() if items or meta is not None and _filled(meta, name)]
    finally:
        store.close()


def _filled(meta: Any, namespace: str) -> bool:
    for kind in (b'images', b'snapshots'):
        bucket = meta.bucket(namespace.encode(), kind, errors=[])
        if bucket is not None and any(True for dummy in bucket.buckets(errors=[])):
            return True
    return False


def build_cache(store: ContainerdStore) -> Iterator[Tuple[str, int]]:
    """Yield (namespace, number of snapshots) of BuildKit's."""
    for namespace in store.all_namespaces():
        number = sum(len(store.names_of(namespace, name)[0]) for name in store.snapshotters()) if namespace.startswith('buildkit') else 0
        if number:
            yield namespace, number


def is_here(disk: Any, candidate: Candidate) -> bool:
    """Whether a Candidate has something of nerdctl: in its database, or in the folders that go with it."""
    return bool(namespaces(candidate.path)) or any(_has_data(folder) for folder in usual_folders(disk, candidate))


def usual_folders(disk: Any, candidate: Candidate) -> List[Folder]:
    """nerdctl's folders of the containerd whose root this is. The name of a folder is made of the socket's, which for users without root
    changes at each start: all of theirs count."""
    top = os.path.join(candidate.home, IN_HOME) if candidate.home else DATA
    if not candidate.home and candidate.recorded != SYSTEM:
        return []
    return [folder for folder in _folders(disk, top) if candidate.home or os.path.basename(folder.recorded) == USUAL]


def _folders(disk: Any, top: bytes) -> Iterator[Folder]:
    try:
        listed = disk.listdir(top)
    except OSError:
        return
    for name in listed:
        if ADDRESS.match(name):
            try:
                recorded = os.path.join(top, name)
                yield Folder(disk.resolve(recorded), recorded)
            except OSError:
                continue


def _has_data(folder: Folder) -> bool:
    return any(True for dummy in named(folder, b'containers')) or any(True for dummy in named(folder, b'volumes'))


def named(folder: Folder, kind: bytes) -> Iterator[Tuple[str, bytes]]:
    """Yield (namespace, name) of what lies in containers/, names/ or volumes/."""
    try:
        with safeio.Dir.root(folder.path) as top:
            holder = top.child(kind)
            for namespace in holder.names()[:MAX]:
                for name in holder.child(namespace).names()[:MAX] if NAME.match(namespace) else ():
                    yield namespace.decode('ascii'), name
    except OSError:
        return
