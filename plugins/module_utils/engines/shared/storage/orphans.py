"""Writable layers of a graph root that belong to no container."""
from typing import Any, Callable, Iterator

from ....records import model
from . import owners


def find(root: Any, name_of: Callable[[str], Any]) -> Iterator[model.Orphan]:
    """Yield the model.Orphan of a graphroot.GraphRoot, those whose removal was begun last. NAME_OF(id): the name of a container."""
    for store in root.stores:
        owned = set()
        for ident in store.container_ids():
            layer = store.layer_of(ident, name_of(ident), store.spec(ident))[0]
            owned.update([layer] if layer else [])
        for layer in store.unowned(owned):
            orphan = store.orphan(layer, owners.combined(root.idmap, store.records.layers.get(layer, {})))
            if orphan is not None:
                yield orphan
        for path, layer in store.staged():
            orphan = store.staged_orphan(path, layer, root.idmap)
            if orphan is not None:
                yield orphan
