"""nerdctl's own folders, and which namespaces of a containerd root are its (nerdctl pkg/clientutil/client.go, docs/dir.md)."""
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import safeio
from ..shared.containerd.finding import SYSTEM, Candidate
from ..shared.containerd.objects import Object, objects
from ..shared.containerd.store import ContainerdStore
from ..shared.unread import Unread

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


def usual_folders(disk: Any, candidate: Candidate, unread: Optional[Unread] = None) -> List[Folder]:
    """nerdctl's folders of the containerd whose root this is. The name of a folder is made of the socket's, which for users without root
    changes at each start: all of theirs count."""
    top = os.path.join(candidate.home, IN_HOME) if candidate.home else DATA
    if not candidate.home and candidate.recorded != SYSTEM:
        return []
    return [folder for folder in _folders(disk, top, unread) if candidate.home or os.path.basename(folder.recorded) == USUAL]


def _folders(disk: Any, top: bytes, unread: Optional[Unread]) -> Iterator[Folder]:
    said = unread if unread is not None else Unread()
    try:
        listed = disk.listdir(top)
    except OSError as exc:
        said.note(top, exc)
        return
    for recorded in (os.path.join(top, name) for name in listed if ADDRESS.match(name)):
        try:
            yield Folder(disk.resolve(recorded), recorded)
        except OSError as exc:
            said.note(recorded, exc)


def _has_data(folder: Folder) -> bool:
    return any(True for dummy in named(folder, b'containers')) or any(True for dummy in named(folder, b'volumes'))


def named(folder: Folder, kind: bytes, unread: Optional[Unread] = None) -> Iterator[Tuple[str, bytes]]:
    """Yield (namespace, name) of what lies in containers/, names/ or volumes/. UNREAD is told of folders that cannot be read."""
    said = unread if unread is not None else Unread()
    place = os.path.join(folder.path, kind)
    try:
        with safeio.Dir.root(folder.path) as top:
            holder = top.child(kind)
            for namespace in _listed(holder, place, said):
                for name in _of_namespace(holder, namespace, place, said) if NAME.match(namespace) else ():
                    yield namespace.decode('ascii'), name
    except OSError as exc:
        said.note(place, exc)


def _of_namespace(holder: safeio.Dir, namespace: bytes, place: bytes, said: Unread) -> List[bytes]:
    """One namespace that cannot be read does not hide the others."""
    place = os.path.join(place, namespace)
    try:
        inner = holder.child(namespace)
        try:
            return _listed(inner, place, said)
        finally:
            inner.close()
    except OSError as exc:
        said.note(place, exc)
        return []


def _listed(folder: safeio.Dir, place: bytes, said: Unread) -> List[bytes]:
    found = folder.names()
    said.cut(place, len(found), MAX)
    return found[:MAX]
