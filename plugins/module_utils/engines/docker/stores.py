"""The stores of one data root: its storage drivers and the containerd roots that belong to it. Each is asked in a fixed order."""
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...records import model
from ...records.codes import problem
from . import driver_table, legacy
from .graphdriver import Graphdriver

if TYPE_CHECKING:
    from ...disk.safeio import Dir
    from ..shared.containerd.store import ContainerdStore

DRIVER_NAME = re.compile(rb'[a-z0-9-]{2,32}\Z')


class Stores(NamedTuple):
    """`dir` is the open data root, `suffix` that of containerd's namespaces of a user-namespace root."""
    dir: Any
    suffix: str
    graphdrivers: Dict[str, Graphdriver]
    containerd: List[Any]               # shared.containerd.store.ContainerdStore

    def close(self) -> None:
        """Close the containerd roots; the data root is its owner's."""
        for store in self.containerd:
            store.close()

    def places(self) -> List[bytes]:
        """Folders on the managed node that hold layers outside the data root."""
        return [place for store in self.containerd for place in store.places()]

    def drivers(self) -> List[str]:
        """Names of the storage drivers, and of the snapshotters that have snapshots."""
        return sorted(self.graphdrivers) + sorted(
            name for store in self.containerd for name, shots in store.snapshotters().items() if shots.numbers())

    # -- what they know of one container ---------------------------------------------------------------------------------

    def spec(self, ident: str) -> Optional[Dict[str, Any]]:
        """The OCI runtime spec of a container that was running, None if there is none."""
        for store in self.containerd:
            found = store.spec(ident, self.suffix)
            if found is not None:
                return found
        return None

    def snapshotters_with(self, ident: str) -> List[str]:
        """Names of the snapshotters that have a snapshot of this container."""
        return [name for store in self.containerd for name in store.snapshotters() if any(
            ident in names for namespace in store.namespaces(self.suffix) for names in store.names_of(namespace, name))]

    def resolve_snapshot(self, ident: str, snapshotter: Optional[str]) -> model.Resolution:
        """The Resolution of a container of the containerd store."""
        first = None
        for store in self.containerd:
            if snapshotter in store.snapshotters():
                found = store.resolve(ident, snapshotter, self.suffix)
                if found.stack is not None or found.status == model.UNSUPPORTED:
                    return found
                first = first or found
        if first is not None:
            return first
        return model.Resolution(None, model.LOST, (problem(
            'STORE_UNREACHABLE', ident, 'The layers of %s lie in containerd\'s store (%s), which is not on this disk.' % (
                ident[:12], snapshotter),
            'Fetch /var/lib/containerd of the same host too and name it with containerd_root.'),), {})

    def claimed(self, driver: str) -> List[bytes]:
        """Mount ids that layerdb gives to some container or other layer."""
        graph = self.graphdrivers[driver]
        records = [graph.layerdb.mount(name) for name in graph.layerdb.mount_names()]
        return [record.mount_id for record in records if record.mount_id is not None]

    # -- images ----------------------------------------------------------------------------------------------------------

    def references(self, store: str, driver: Optional[str], image_id: Optional[str]) -> Sequence[str]:
        """The names of an image."""
        if image_id is None:
            return []
        if store == 'graphdriver' and driver is not None and driver in self.graphdrivers:
            names = self.graphdrivers[driver].images.references()[0].get(image_id, [])
            return names or legacy.references(self.dir, driver).get(image_id, [])
        for container_store in self.containerd:
            names = container_store.image_targets(self.suffix).get(image_id)
            if names:
                from ..shared.containerd.store import references_of
                return references_of(names)
        return []

    def images(self) -> Iterator[model.Image]:
        """Yield model.Image of every image in every store."""
        legacy_ids = legacy.image_ids(self.dir)
        for name in sorted(self.graphdrivers):
            graph = self.graphdrivers[name]
            for image_id in graph.images.ids():
                yield graph.image(image_id)
            if legacy_ids and graph.driver is not None and not graph.layerdb.layers():
                names = legacy.references(self.dir, name)
                for ident in legacy_ids:
                    if names or graph.present(graph.driver.layer(ident.encode()), ident.encode()):
                        yield legacy.image(graph, ident, names.get(ident, ()))
        for store in self.containerd:
            for digest, named in sorted(store.image_targets(self.suffix).items()):
                yield store.image(digest, named, self.suffix)

    def has_image(self, ident: str) -> bool:
        """True if an image of this ID is in one of the stores."""
        return any(graph.images.config(ident).value is not None for graph in self.graphdrivers.values()) or any(
            ident in store.image_targets(self.suffix) for store in self.containerd)

    def image_of(self, container: model.Container, manifest: Optional[str]) -> Optional[model.Image]:
        """The image of a container, None if no store knows it. MANIFEST: digest of the platform's manifest that it was made from."""
        if container.store == 'graphdriver':
            graph = self.graphdrivers.get(container.driver or '')
            if graph is None or container.image_id is None:
                return None
            image = graph.image(container.image_id)
            return image if image.config else None
        for store in self.containerd:
            names = store.image_targets(self.suffix).get(container.image_id, [])
            image = store.image(container.image_id or '', names, self.suffix, manifest)
            if image.config:
                return image
            if manifest:
                image = store.image(manifest, names, self.suffix, manifest)
                if image.config:
                    return image._replace(id=container.image_id or manifest)
        return None


def open_stores(root: 'Dir', containerd_roots: Sequence[bytes], userxattr: bool, suffix: str, moved: Sequence[Tuple[str, bytes]] = ()) -> Stores:
    """The Stores of the open data root ROOT. MOVED: snapshotters of the system's containerd that its configuration puts elsewhere, and where.
    What cannot be opened is not there."""
    own = root.path().rstrip(b'/') + b'/'       # the daemon's own containerd has a configuration of its own
    return Stores(root, suffix, _graphdrivers(root, userxattr), list(_containerd(
        [(path, () if path.startswith(own) else moved) for path in containerd_roots], userxattr)))


def _graphdrivers(root: 'Dir', userxattr: bool) -> Dict[str, Graphdriver]:
    found = {}
    for raw in _names(root, b'image'):
        if DRIVER_NAME.match(raw):
            name = raw.decode('ascii')
            try:
                root.descend(b'image/' + raw + b'/layerdb').close()
            except OSError:
                if driver_table.driver(name) is None:
                    continue
            found[name] = Graphdriver(root, name, userxattr)
    for raw in root.names():
        # its folder has its name: a driver that never was here is not even imported
        driver = driver_table.at(raw)
        if driver is not None and raw.decode('ascii') not in found and driver.ids(root):
            found[raw.decode('ascii')] = Graphdriver(root, raw.decode('ascii'), userxattr)
    return found


def _containerd(places: Sequence[Tuple[bytes, Sequence[Tuple[str, bytes]]]], userxattr: bool) -> 'Iterator[ContainerdStore]':
    for path, moved in places:
        from ..shared.containerd import store as containerd  # only where there is one
        try:
            yield containerd.ContainerdStore(path, userxattr, moved=moved)
        except OSError:
            continue


def _names(root: 'Dir', folder: bytes) -> List[bytes]:
    try:
        return root.descend(folder).names()
    except OSError:
        return []
