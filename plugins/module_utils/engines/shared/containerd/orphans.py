"""Snapshots of containers that no engine's records name."""
from typing import Any, Container, Iterator, Optional, Tuple

from ....records import model
from .store import ACTIVE, ContainerdStore, Snapshot, Snapshotter


def unowned(store: ContainerdStore, owned: Container[str], path: bytes, idmap: Any, suffix: str = '') -> Iterator[model.Orphan]:
    """Yield the model.Orphan of every writable snapshot of the store's namespaces whose key is not in OWNED. PATH, IDMAP: of the engine's
    root. Where both databases are lost, all folders: several engines on one containerd then yield the same ones."""
    for dummy, snapshotter, key, record in store.writable_keys(suffix):
        shots = store.snapshotters()[snapshotter]
        if key in owned or shots.encoding is None:
            continue
        stack, dummy, problems = store.stack_of(shots, record, key)
        if stack.writable is None or stack.writable.path is None:
            continue
        image_id, reference = _image_of(store, stack, suffix)
        yield model.Orphan(stack.writable.path, stack, image_id, reference, path, 'containerd', snapshotter, key, key, idmap, problems)
    for dummy, shots in sorted(store.snapshotters().items()):
        if shots.damage and not shots.snapshots() and shots.encoding is not None:
            yield from _unordered(shots, path, idmap)


def _image_of(store: ContainerdStore, stack: model.Stack, suffix: str) -> Tuple[Optional[str], Optional[str]]:
    chain_id = next((layer.chain_id for layer in stack.image if layer.chain_id), None)
    for digest, names in sorted(store.image_targets(suffix).items()):
        image = store.image(digest, names, suffix)
        if image.layers and image.layers[-1].chain_id == chain_id:
            return digest, image.references[0] if image.references else None
    return None, None


def _unordered(shots: Snapshotter, path: bytes, idmap: Any) -> Iterator[model.Orphan]:
    """Both databases are gone: every snapshot folder, with nothing known about it."""
    for number in shots.numbers():
        layer, why = shots.layer(Snapshot('', number, ACTIVE, '', None, None))
        if not why and layer.path is not None:
            yield model.Orphan(layer.path, model.Stack(layer, None, ()), None, None, path, 'containerd', shots.name, 'snapshot-%d' % number, None, idmap)
