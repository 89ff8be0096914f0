"""Containers that CRI-O made in a graph root, told from Podman's: their record says of which pod they are (cri-o internal/storage/runtime.go)."""
from typing import Any, Dict, Tuple

from ....disk import metadata, safeio
from ....formats import jsonish
from . import drivers
from .records import Place

# only these make a graph root Podman's
PODMAN = (b'db.sql', b'libpod')


def about(store: Any, ident: str) -> Dict[str, Any]:
    """The metadata that CRI-O wrote into the record of a container, {} if it is another's."""
    try:
        found = jsonish.loads(metadata.text_of(store.records.containers.get(ident, {}), 'metadata').encode('utf-8', 'replace') or b'{}')
    except ValueError:
        return {}
    return found if isinstance(found, dict) and metadata.text_of(found, 'pod-id') and metadata.text_of(found, 'pod-name') else {}


def is_of_kubernetes(store: Any, ident: str) -> bool:
    """Whether CRI-O made a container; where the record is lost its runtime spec tells."""
    if ident in store.records.containers:
        return bool(about(store, ident))
    return metadata.text_of(store.spec(ident), 'annotations', 'io.container.manager') == 'cri-o'


def any_of(path: bytes) -> bool:
    """Whether a graph root (on the managed node) has containers of CRI-O."""
    return _look(path)[0]


def only(path: bytes) -> bool:
    """Whether a graph root has containers of CRI-O and nothing of Podman's."""
    cri, other = _look(path)
    return cri and not other


def _look(path: bytes) -> Tuple[bool, bool]:
    """(has it containers of CRI-O, has it something of Podman's)."""
    from .store import Store
    cri = other = False
    try:
        with safeio.Dir.root(path) as root:
            listed = root.names()
            other = any(name in listed for name in PODMAN)
            for name in drivers.present(listed):
                store = Store([Place(root, '')], name)
                for ident in store.container_ids():
                    if is_of_kubernetes(store, ident):
                        cri = True
                    else:
                        other = True
    except OSError:
        pass
    return cri, other
