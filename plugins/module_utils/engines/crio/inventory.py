"""One graph root of CRI-O: what engines.api.Root offers."""
from typing import Any, Dict, Iterator, List, Optional

from ...records import model
from .. import api
from ..shared.storage import changes, kubernetes, orphans
from ..shared.storage.finding import Candidate
from ..shared.storage.graphroot import GraphRoot
from . import containers, wipe


class CrioRoot(api.Root):
    """DISK: disk.host.HostRoot; CANDIDATE: shared.storage.finding.Candidate. Raises OSError. Where Podman has the same graph root, its images
    and what belongs to nobody are told by Podman's."""

    def __init__(self, disk: Any, candidate: Candidate) -> None:
        super(CrioRoot, self).__init__()
        self._root = GraphRoot(disk, candidate)
        self.path, self.recorded_path = candidate.path, candidate.recorded
        self.user, self.idmap = self._root.user_name, self._root.idmap
        self._shared = not kubernetes.only(candidate.path)
        self._readers = containers.Readers(self._root, wipe.settings(disk), self._spec)
        self.liveness = self._root.liveness()
        self._specs: Dict[str, Dict[str, Any]] = {}
        self._containers: Dict[str, model.Container] = {}
        self._ids, self._sandboxes = containers.ids(self._root, self._spec)

    def close(self) -> None:
        self._root.close()

    def places(self) -> List[bytes]:
        return [self.path] + [folder.path() for folder in self._root.extra]

    def facts(self) -> Dict[str, Any]:
        """Storage drivers, and what named the root."""
        return {'drivers': [store.name for store in self._root.stores], 'userns': None, 'rootless': self._root.rootless, 'containerd_roots': [],
                'found_by': list(self._root.candidate.why)}

    def _spec(self, ident: str) -> Dict[str, Any]:
        if ident not in self._specs:
            store = self._root.store_of(ident)
            self._specs[ident] = store.spec(ident) if store is not None else {}
        return self._specs[ident]

    def container_ids(self) -> List[str]:
        return self._ids

    def names(self) -> Dict[str, Optional[str]]:
        return {ident: containers.name_of(self._root.store_of(ident), ident, self._spec(ident)) for ident in self._ids}

    def container(self, ident: str) -> model.Container:
        if ident not in self._containers:
            self._containers[ident] = containers.read(self._readers, ident)
        return self._containers[ident]

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        found = (store.images.get(container.image_id) for store in self._root.stores if store.name == container.driver)
        return next((image for image in found if image is not None), None)

    def alive(self, container: model.Container) -> Optional[int]:
        return self._root.alive(container.id)

    def changes(self, container: model.Container) -> Iterator[Any]:
        """CRI-O has no command for it: what `podman diff` prints of the same layer."""
        if container.stack is None:
            return super(CrioRoot, self).changes(container)
        if container.driver == 'overlay' and not self._root.mount_program:
            return changes.visible(changes.of_upper(container.stack, self._root.disk))
        return changes.visible(changes.of_views(container.stack))

    def export_ids(self, container: model.Container) -> Any:
        return container.idmap

    def pods(self) -> List[Any]:
        return [containers.pod_of(self._root.store_of(ident), ident, self._spec(ident)) for ident in self._sandboxes]

    def images(self) -> Iterator[model.Image]:
        for store in self._root.stores if not self._shared else ():
            yield from store.images.all()

    def orphans(self) -> Iterator[model.Orphan]:
        return iter(()) if self._shared else orphans.find(self._root, lambda ident: None)

    def findings(self) -> List[model.Problem]:
        """What the next start deletes; damaged records."""
        found = list(wipe.of_store(self._root.disk, self.path, self._readers.config))
        for store in self._root.stores if not self._shared else ():
            found.extend(store.findings(len(self._ids)))
        return found
