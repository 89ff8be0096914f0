"""One containerd root of nerdctl: what engines.api.Root offers, put together of the parts in this folder."""
import os
import re
from typing import Any, Dict, Iterator, List, Optional

from ...formats import wording
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from .. import api
from ..shared.containerd import databases, liveness, orphans, owners
from ..shared.containerd.finding import Candidate
from ..shared.containerd.images import Images
from ..shared.containerd.objects import Object, objects
from ..shared.containerd.store import ContainerdStore
from ..shared.unread import Unread
from . import containers, definition, stores, volumes

ADDRESS = re.compile(r'(/.*/[0-9a-f]{8})/containers/[^/]+/[^/]+\Z')


class NerdctlRoot(api.Root):
    """DISK: disk.host.HostRoot; CANDIDATE: shared.containerd.finding.Candidate. Raises OSError."""

    def __init__(self, disk: Any, candidate: Candidate) -> None:
        super(NerdctlRoot, self).__init__()
        self._disk, self._candidate = disk, candidate
        self.path, self.recorded_path = candidate.path, candidate.recorded
        self._store = ContainerdStore(candidate.path, candidate.rootless, moved=candidate.moved)
        self.idmap = owners.map_of(disk, candidate)
        self.user = wording.show(candidate.user) if candidate.rootless else None
        self.liveness = liveness.of_daemon(disk)
        self._unread = Unread()
        mine = stores.mine(self._store)
        self._namespaces = sorted(mine)
        self._folders = self._own_folders(mine)
        self._objects = {ident: item for items in mine.values() for ident, item in items.items()}
        self._known = set(self._objects)
        self._names = self._recorded_names()
        self._without_records()
        self._stores: Dict[str, ContainerdStore] = {}
        self._images: Dict[str, Images] = {}
        self._readers = containers.Readers(disk, self._within, self._folders, self.volumes, self._images_of, self._names, candidate.path,
                                           candidate.recorded, not candidate.rootless and not privileges.sees_trusted(), self.idmap)
        self._containers: Dict[str, model.Container] = {}
        self._running: Optional[Dict[str, int]] = None
        self._volumes: Optional[Dict[str, model.Volume]] = None

    def close(self) -> None:
        self._store.close()

    # -- where things lie ----------------------------------------------------------------------------------------------------------

    def _own_folders(self, mine: Dict[str, Dict[str, Object]]) -> List[stores.Folder]:
        """nerdctl's folders: the usual one, and those that labels of containers name."""
        found = stores.usual_folders(self._disk, self._candidate, self._unread)
        for items in mine.values():
            for item in items.values():
                match = ADDRESS.match(item.labels.get(stores.STATE, ''))
                recorded = wording.raw(match.group(1)) if match else b''
                if recorded and recorded not in [folder.recorded for folder in found]:
                    try:
                        found.append(stores.Folder(self._disk.resolve(recorded), recorded))
                    except OSError:
                        continue
        return found

    def _recorded_names(self) -> Dict[str, str]:
        found = {}
        for folder in self._folders:
            for namespace, name in stores.named(folder, b'names'):
                try:
                    ident = self._disk.read(os.path.join(folder.recorded, b'names', namespace.encode(), name), 256).strip().decode('ascii', 'replace')
                except OSError:
                    continue
                found[ident] = name.decode('utf-8', 'backslashreplace')
        return found

    def _without_records(self) -> None:
        """What meta.db does not have, since it is lost or newer than they are: nerdctl's folders name the containers."""
        for folder in self._folders:
            for namespace, raw in stores.named(folder, b'containers', self._unread):
                ident = raw.decode('ascii', 'replace')
                if containers.ID.match(ident) and ident not in self._objects:
                    self._objects[ident] = Object(ident, namespace)
                    self._namespaces = sorted(set(self._namespaces) | {namespace})

    def _within(self, namespace: str) -> ContainerdStore:
        if namespace not in self._stores:
            self._stores[namespace] = self._store.within(namespace)
        return self._stores[namespace]

    def _images_of(self, namespace: str) -> Images:
        if namespace not in self._images:
            self._images[namespace] = Images(self._within(namespace), False)
        return self._images[namespace]

    def places(self) -> List[bytes]:
        return self._store.places() + [folder.path for folder in self._folders]

    def facts(self) -> Dict[str, Any]:
        """Snapshotters in use, what named the root, and where nerdctl keeps the content of a volume."""
        found = {'drivers': sorted(name for name, shots in self._store.snapshotters().items() if shots.numbers()),
                 'userns': self.idmap.first if self.idmap is not None else None, 'rootless': self._candidate.rootless,
                 'containerd_roots': [wording.text(self.path)], 'found_by': list(self._candidate.why)}
        if self._folders:
            found['volume_path'] = wording.text(os.path.join(self._folders[0].recorded, b'volumes/default/{name}/_data'))
        return found

    # -- containers ----------------------------------------------------------------------------------------------------------------

    def container_ids(self) -> List[str]:
        return sorted(self._objects)

    def names(self) -> Dict[str, Optional[str]]:
        return {ident: containers.name_of(self._readers, item) for ident, item in self._objects.items()}

    def container(self, ident: str) -> model.Container:
        if ident not in self._containers:
            self._containers[ident] = containers.read(self._readers, self._objects[ident], ident in self._known)
        return self._containers[ident]

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        item = self._objects[container.id]
        found = self._images_of(item.namespace).find(item.image)
        return found if found is not None and found.config else None

    def alive(self, container: model.Container) -> Optional[int]:
        if self._running is None:
            self._running = liveness.running(self._disk) if self._disk.is_live else {}
        return self._running.get(container.id)

    # -- volumes and images --------------------------------------------------------------------------------------------------------

    def volumes(self) -> Dict[str, model.Volume]:
        if self._volumes is None:
            anonymous = {volumes.volume_name(item.namespace, name) for item in self._objects.values() for name in definition.anonymous(item.labels)}
            self._volumes = volumes.all_of(self._folders, self.path, self.idmap, anonymous, self._unread)
        return self._volumes

    def lost_volume(self, name: str, users: List[str]) -> model.Volume:
        return volumes.lost(name, users, self.path)

    def images(self) -> Iterator[model.Image]:
        """Of every namespace, each once; those of Kubernetes are told by its own root."""
        told = set()
        for namespace in self._namespaces:
            for image in self._images_of(namespace).all() if namespace != stores.KUBERNETES else ():
                if image.id not in told:
                    told.add(image.id)
                    yield image

    # -- the root as a whole -------------------------------------------------------------------------------------------------------

    def orphans(self) -> Iterator[model.Orphan]:
        for namespace in self._namespaces:
            if namespace != stores.KUBERNETES:
                owned = {item.snapshot for item in objects(self._store, namespace).values()} | set(self._objects)
                yield from orphans.unowned(self._within(namespace), owned, self.path, self.idmap)

    def findings(self) -> List[model.Problem]:
        """Damaged databases, folders that cannot be read, and what BuildKit has here."""
        found = list(databases.findings(self._store))
        self.volumes()
        found += self._unread.problems('Containers and volumes')
        for namespace, number in stores.build_cache(self._store):
            found.append(problem('BUILD_CACHE', wording.text(self.path), '%d snapshots in %s are in the namespace %s: they belong to BuildKit\'s cache, and no '
                                 'container wrote them.' % (number, wording.text(self.path), namespace),
                                 'There is nothing to rescue in them; nerdctl builder prune removes them.'))
        return found
