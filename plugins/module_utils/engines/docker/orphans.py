"""Writable layers that no container owns, told apart from image layers and from BuildKit's."""
import hashlib
from typing import TYPE_CHECKING, Any, Callable, FrozenSet, Iterator, List, Optional

from ...disk import metadata
from ...layers import privileges
from ...layers.chains import HEX
from ...records import model
from .containers import Readers
from .drivers.common import BUILDKIT_ID
from .graphdriver import Graphdriver

if TYPE_CHECKING:
    from .configs import Configs


def find(readers: Readers, read: Callable[[str], model.Container]) -> Iterator[model.Orphan]:
    """Yield model.Orphan of a data root. READ(id) gives a container."""
    owners = frozenset(readers.configs.ids())
    image_mounts = frozenset(_image_mounts(readers.configs, owners))
    for dummy, graph in sorted(readers.stores.graphdrivers.items()):
        for orphan in _graphdriver(readers, read, graph, owners, image_mounts):
            yield _doubted(readers, orphan)
    for store in readers.stores.containerd:
        from ..shared.containerd import orphans as snapshots  # only where there is one
        for orphan in snapshots.unowned(store, owners | image_mounts, readers.path, readers.idmap, readers.stores.suffix):
            yield _doubted(readers, orphan)


def _doubted(readers: Readers, orphan: model.Orphan) -> model.Orphan:
    """An Orphan with what this process may not have seen of it."""
    return orphan._replace(problems=tuple(orphan.problems) + privileges.hidden_marks(readers.path, readers.blind, orphan.stack))


def _image_mounts(configs: 'Configs', owners: FrozenSet[str]) -> Iterator[str]:
    """Names of the layers that back mounts of type image (moby: daemon/volumes.go)."""
    for ident in owners:
        for dest, point in metadata.dict_of(configs.read(ident), 'MountPoints').items():
            if metadata.text_of(point, 'Type') == 'image':
                source = metadata.text_of(point, 'Spec', 'Source') or metadata.text_of(point, 'Source')
                yield hashlib.sha256(('%s-src=%s-dst=%s' % (ident, source, dest)).encode()).hexdigest()


def _graphdriver(readers: Readers, read: Callable[[str], model.Container], graph: Graphdriver, owners: FrozenSet[str],
                 image_mounts: FrozenSet[Any]) -> Iterator[model.Orphan]:
    if graph.encoding is None:
        return
    claimed, lost_owner = set(), {}
    for name in graph.layerdb.mount_names():
        record = graph.layerdb.mount(name)
        if record.mount_id is None:
            continue
        if name in owners or name in image_mounts:
            claimed.add(record.mount_id)
        elif record.init_id is not None or graph.present(graph.driver.layer(record.mount_id + b'-init'), record.mount_id):
            lost_owner[record.mount_id] = name
        else:
            claimed.add(record.mount_id)    # a layer of a build or of an image mount: no init layer
    claimed.update(record.cache_id for record in graph.layerdb.layers().values() if record.cache_id is not None)
    for ident in owners:
        container = read(ident)
        if container.store == 'graphdriver' and container.driver == graph.name and container.stack is not None \
                and container.stack.writable is not None:
            claimed.add((container.stack.writable.cache_id or '').encode('ascii'))
    names = graph.driver.ids(graph.root)
    known = frozenset(names)
    for ident in names:
        if ident.endswith(b'-init') or ident in claimed or BUILDKIT_ID.match(ident) or not HEX.match(ident):
            continue
        if ident + b'-init' not in known and ident not in lost_owner:
            continue                    # an image layer that layerdb lost, or a builder's; never a container's
        owner = lost_owner.get(ident)
        found = graph.resolve(owner or ident.decode('ascii'), None, (ident, 'folder'))
        if found.stack is None or found.stack.writable is None or found.stack.writable.path is None:
            continue
        image_id = _image_by_chain(graph, found.stack)
        references = graph.images.references()[0].get(image_id or '', [])
        yield model.Orphan(found.stack.writable.path, found.stack, image_id, references[0] if references else None,
                           readers.path, 'graphdriver', graph.name, ident.decode('ascii'), owner, readers.idmap, found.problems)


def build_cache(graph: Graphdriver) -> List[bytes]:
    """Sorted ids (bytes) of the layers of a Graphdriver that BuildKit made and that no entry of layerdb refers to: its cache
    of builds (moby: builder-next/adapters/snapshot)."""
    if graph.driver is None:
        return []
    claimed = {record.cache_id for record in graph.layerdb.layers().values()}
    return sorted(ident for ident in graph.driver.ids(graph.root) if BUILDKIT_ID.match(ident) and ident not in claimed)


def _image_by_chain(graph: Graphdriver, stack: model.Stack) -> Optional[str]:
    """The image whose layers are those below the init layer: by chainIDs, else by the folders themselves."""
    chain_of = {record.cache_id: record.chain_id for record in graph.layerdb.layers().values() if record.cache_id}
    if not stack.image:
        return None
    top = stack.image[0]
    chain_id = top.chain_id or chain_of.get((top.cache_id or '').encode('ascii'))
    return graph.images.with_top(chain_id)
