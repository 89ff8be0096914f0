"""One graph root of Podman (and Buildah): what engines.api.Root offers, put together of the parts in this folder."""
import os
from typing import Any, Dict, Iterator, List, Optional

from ...disk import metadata, safeio
from ...formats import wording
from ...records import model
from ...records.codes import problem
from ...records.definition import SHARES
from .. import api
from ..shared.storage import changes, names, orphans
from ..shared.storage.finding import Candidate
from ..shared.storage.graphroot import GraphRoot
from ..shared.storage.kubernetes import is_of_kubernetes
from . import containers, libpod, networks
from .secrets import Secrets
from .volumes import Volumes


class PodmanRoot(api.Root):
    """DISK: disk.host.HostRoot; CANDIDATE: shared.storage.finding.Candidate. Raises OSError."""

    def __init__(self, disk: Any, candidate: Candidate) -> None:
        super(PodmanRoot, self).__init__()
        self._root = GraphRoot(disk, candidate)
        self.path = candidate.path
        self.user, self.idmap = self._root.user_name, self._root.idmap
        self._state = libpod.read(self._root.dir, self._root.run if candidate.settings.get('storage.transient_store') is True else None)
        self._readers = containers.Readers(self._root, self._state, self.volumes)
        self.recorded_path = libpod.volume_places(self._state.settings)[0] or candidate.recorded
        self.liveness = self._root.liveness()
        self._ids: Optional[List[str]] = None
        self._containers: Dict[str, model.Container] = {}
        self._volumes: Optional[Dict[str, model.Volume]] = None
        self._networks: Optional[Dict[str, Any]] = None

    def close(self) -> None:
        self._root.close()

    def places(self) -> List[bytes]:
        return [self.path] + [folder.path() for folder in self._root.extra]

    def facts(self) -> Dict[str, Any]:
        """Storage drivers, whose root it is, what named it, and where Podman keeps the content of a volume."""
        volumes = libpod.volume_places(self._state.settings)[1] or os.path.join(self.recorded_path, b'volumes')
        return {'drivers': [store.name for store in self._root.stores],
                'userns': self.idmap.first if self.idmap is not None else None,
                'rootless': self._root.rootless, 'containerd_roots': [], 'found_by': list(self._root.candidate.why),
                'volume_path': wording.text(os.path.join(volumes, b'{name}/_data'))}

    # -- containers ------------------------------------------------------------------------------------------------------------

    def container_ids(self) -> List[str]:
        if self._ids is None:
            found = set(ident for ident in self._state.configs)
            for store in self._root.stores:
                found.update(ident for ident in store.container_ids() if not is_of_kubernetes(store, ident))
            self._ids = sorted(ident for ident in found if not self._is_hidden(ident))
        return self._ids

    def _is_hidden(self, ident: str) -> bool:
        """Infra containers of pods, and the layers behind volumes of the driver `image`."""
        config = self._state.configs.get(ident, {})
        if config:
            return libpod.is_infra(config)
        return any(metadata.text_of(record, 'storageID') == ident for record in self._state.volumes.values()) or self._is_lost_infra(ident)

    def _is_lost_infra(self, ident: str) -> bool:
        store = self._root.store_of(ident)
        if store is None:
            return False
        name = next((item for item in metadata.list_of(store.records.containers.get(ident, {}), 'names') if isinstance(item, str)), '')
        return name.endswith('-infra') and (name[:-6] == ident[:12] or not metadata.text_of(store.records.containers.get(ident, {}), 'image'))

    def names(self) -> Dict[str, Optional[str]]:
        return {ident: containers.name_of(self._readers, ident) for ident in self.container_ids()}

    def container(self, ident: str) -> model.Container:
        if ident not in self._containers:
            self._containers[ident] = containers.read(self._readers, ident)
        return self._containers[ident]

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        for store in self._root.stores:
            if container.driver in (None, store.name):
                found = store.images.get(container.image_id)
                if found is not None:
                    return found
        return None

    def neighbours(self, container: model.Container) -> api.Neighbours:
        """Networks, and the containers whose namespaces it shares; an infra container is its pod's."""
        if self._networks is None:
            self._networks = networks.recorded(self._root)
        definition = container.definition
        mine = {name: info for name, info in self._networks.items() if name in definition.networks}
        peers = {}
        for mode in (definition.network_mode, definition.security.ipc, definition.security.pid):
            ident = mode[len(SHARES):] if mode.startswith(SHARES) else ''
            name = containers.name_of(self._readers, ident) if names.is_id(ident) and not self._is_hidden(ident) else None
            if name:
                peers[ident] = name
        return api.Neighbours(mine, peers, {})

    def alive(self, container: model.Container) -> Optional[int]:
        return self._root.alive(container.id)

    def changes(self, container: model.Container) -> Iterator[Any]:
        """As `podman diff`: a walk of the writable layer where the kernel mounts overlay plainly, else two views compared."""
        if container.stack is None:
            return super(PodmanRoot, self).changes(container)
        if container.driver == 'overlay' and not self._root.mount_program and not self._metacopy():
            return changes.visible(changes.of_upper(container.stack, self._root.disk))
        return changes.visible(changes.of_views(container.stack))

    def _metacopy(self) -> bool:
        options = [value for key, value in self._root.candidate.settings.items() if key.endswith('mountopt') and isinstance(value, str)]
        return any('metacopy=on' in value.replace(' ', '').split(',') for value in options)

    def export_ids(self, container: model.Container) -> Any:
        return container.idmap

    def _secrets(self) -> Secrets:
        return Secrets(self._root.dir, lambda ident: self._root.container_folder(self._root.store_of(ident), ident))

    def secrets(self, container: model.Container) -> List[model.Secret]:
        return self._secrets().of(container.id, self._state.configs.get(container.id, {}))

    def secret_names(self) -> List[str]:
        return self._secrets().names()

    def pods(self) -> List[Any]:
        return [model.Pod(ident, metadata.text_of(record, 'name') or None, None, None, metadata.strings_of(record, 'labels'))
                for ident, record in sorted(self._state.pods.items())]

    # -- volumes and images ----------------------------------------------------------------------------------------------------

    def volumes(self) -> Dict[str, model.Volume]:
        if self._volumes is None:
            self._volumes = Volumes(self._root.disk, self.path, self._volume_folder(), self._state.volumes, self.idmap, self._layer_path).all()
        return self._volumes

    def _volume_folder(self) -> Optional[safeio.Dir]:
        """The open folder of volumes: that of the graph root, or where the database says they were."""
        recorded, elsewhere = libpod.volume_places(self._state.settings)
        try:
            if elsewhere and recorded and elsewhere != os.path.join(recorded, b'volumes'):
                return safeio.Dir.root(self._root.disk.resolve(elsewhere))
        except OSError:
            pass
        try:
            return self._root.dir.descend(b'volumes')
        except OSError:
            return None

    def _layer_path(self, ident: str) -> Optional[bytes]:
        store = self._root.store_of(ident) if names.is_id(ident) else None
        layer = store.layer_of(ident, None, {})[0] if store is not None else None
        top = store.driver.folders(layer)[0] if store is not None and layer else None
        return top.path if top is not None and not top.why else None

    def volume_names(self, ident: str) -> List[Optional[str]]:
        config = self._state.configs.get(ident)
        if not config:
            return super().volume_names(ident)
        return [metadata.text_of(item, 'volumeName') for item in metadata.list_of(config, 'namedVolumes')]

    def lost_volume(self, name: str, users: List[str]) -> model.Volume:
        return Volumes(self._root.disk, self.path, None, {}, self.idmap, self._layer_path).lost(name, users)

    def images(self) -> Iterator[model.Image]:
        for store in self._root.stores:
            yield from store.images.all()

    # -- the root as a whole ---------------------------------------------------------------------------------------------------

    def orphans(self) -> Iterator[model.Orphan]:
        return orphans.find(self._root, lambda ident: containers.name_of(self._readers, ident))

    def findings(self) -> List[model.Problem]:
        """Damaged records, a lost or damaged database, removals that were begun."""
        found = []
        for store in self._root.stores:
            found.extend(store.findings(len(self.container_ids())))
        where = wording.text(self.path)
        for item in self._state.damage:
            found.append(problem('STATE_DB_DAMAGED', where, 'Podman\'s database: %s. Containers, layers, images and volumes were found without it.' % item,
                                 'Rescue first: podman commands fail with a damaged database.'))
        if self._state.hot:
            found.append(problem('STATE_DB_HOT', where, 'Podman was writing its database when the host died; the half-written part was taken back in memory.',
                                 ''))
        if self.container_ids() and not self._state.source and not self._state.damage:
            found.append(problem('STATE_DB_MISSING', where, 'Podman\'s database (db.sql, libpod/bolt_state.db) is not in %s. podman ps shows nothing '
                                 'without it.' % where, 'podman ps --all --external lists the containers; their data are rescued all the same.'))
        return found
