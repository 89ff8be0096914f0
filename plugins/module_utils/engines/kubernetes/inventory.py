"""One containerd root of a node of Kubernetes: what engines.api.Root offers, put together of the parts in this folder."""
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...disk import metadata
from ...formats import wording
from ...layers import privileges
from ...records import model
from .. import api
from ..shared.containerd import databases, liveness, orphans, owners
from ..shared.containerd.finding import Candidate
from ..shared.containerd.images import Images
from ..shared.containerd.objects import objects
from ..shared.containerd.store import ContainerdStore
from . import cluster, containers, names, podspec
from .cleanup import Cleanup
from .records import NAMESPACE, Record, Records, image_volumes
from .volumes import POD, Volumes


class KubernetesRoot(api.Root):
    """DISK: disk.host.HostRoot; CANDIDATE: shared.containerd.finding.Candidate. Raises OSError."""

    def __init__(self, disk: Any, candidate: Candidate) -> None:
        super(KubernetesRoot, self).__init__()
        self._disk, self._candidate = disk, candidate
        self.path, self.recorded_path = candidate.path, candidate.recorded
        self._store = ContainerdStore(candidate.path, candidate.rootless, (NAMESPACE,), candidate.moved)
        self.idmap = owners.map_of(disk, candidate)
        self.user = wording.show(candidate.user) if candidate.rootless else None
        self.liveness = liveness.of_daemon(disk)
        self._records = Records(self._store, disk)
        self._images = Images(self._store, True)
        self._kubelets = self._kubelet_folders()
        self._cluster, notes = cluster.load(disk, candidate.about.databases)
        self.problems.extend(notes)
        cleanup = Cleanup(disk, self._records, candidate.about, self._kubelets)
        self._readers = containers.Readers(disk, self._store, self._records, self._all_volumes, self._images.find, self._pod_spec, cleanup,
                                           candidate.recorded, not candidate.rootless and not privileges.sees_trusted(), self.idmap)
        self._containers: Dict[str, model.Container] = {}
        self._running: Optional[Dict[str, int]] = None
        self._volumes: Optional[Volumes] = None

    def close(self) -> None:
        self._store.close()

    def _kubelet_folders(self) -> List[bytes]:
        """kubelet's roots, as the dead host saw them: what mounts of containers say, and that of the distribution."""
        found = []
        for record in self._records.containers.values():
            for item in metadata.list_of(record.config, 'mounts'):
                match = POD.match(metadata.text_of(item, 'host_path'))
                root = wording.raw(match.group('root')) if match else b''
                if root and root not in found:
                    found.append(root)
        usual = self._candidate.about.kubelet
        return found + ([usual] if usual and usual not in found else [])

    def places(self) -> List[bytes]:
        found = self._store.places()
        for path in self._kubelets:
            try:
                found.append(self._disk.resolve(path))
            except OSError:
                continue
        return found

    def facts(self) -> Dict[str, Any]:
        """Snapshotters in use, the distribution, and what named the root."""
        return {'drivers': sorted(name for name, shots in self._store.snapshotters().items() if shots.numbers()), 'userns': None,
                'rootless': self._candidate.rootless, 'containerd_roots': [wording.text(self.path)], 'found_by': list(self._candidate.why)}

    # -- containers and pods -----------------------------------------------------------------------------------------------------

    def container_ids(self) -> List[str]:
        return sorted(self._records.containers)

    def names(self) -> Dict[str, Optional[str]]:
        return {ident: containers.name_of(self._records, record) for ident, record in self._records.containers.items()}

    def container(self, ident: str) -> model.Container:
        if ident not in self._containers:
            self._containers[ident] = containers.read(self._readers, ident)
        return self._containers[ident]

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        found = self._images.find(container.image_id or '')
        return found if found is not None and found.config else None

    def alive(self, container: model.Container) -> Optional[int]:
        if self._running is None:
            self._running = liveness.running(self._disk) if self._disk.is_live else {}
        return self._running.get(container.id)

    def pods(self) -> List[Any]:
        return self._records.pods()

    def _pod_spec(self, record: Record) -> Dict[str, Any]:
        return self._cluster.pod(record.whose.uid) or podspec.of_sandbox(self._records.sandbox_of(record))

    # -- volumes and images ------------------------------------------------------------------------------------------------------

    def _all_volumes(self) -> Volumes:
        if self._volumes is None:
            about = self._candidate.about
            self._volumes = Volumes(self._disk, self._kubelets, about.storage, self._whose(), self._volume_specs, self._cluster, self.path, self.idmap)
            for ident in self._records.containers:
                self._volumes.add_image_volumes(image_volumes(self._store.root, ident))
        return self._volumes

    def _whose(self) -> Dict[str, Tuple[str, str]]:
        """{uid of a pod: (namespace, name)}: by containerd's records, else by folders of logs."""
        found = names.pods_of_logs(self._disk)
        for record in list(self._records.containers.values()) + list(self._records.sandboxes.values()):
            whose = record.whose
            if whose.uid and whose.namespace and whose.pod:
                found[whose.uid] = whose.namespace, whose.pod
        return found

    def _volume_specs(self, uid: str) -> Dict[str, Any]:
        spec = self._cluster.pod(uid)
        if not spec:
            spec = next((podspec.of_sandbox(record) for record in self._records.sandboxes.values() if record.whose.uid == uid), {})
        return podspec.volumes(spec)

    def volumes(self) -> Dict[str, model.Volume]:
        return self._all_volumes().table

    def images(self) -> Iterator[model.Image]:
        return self._images.all()

    # -- the root as a whole -----------------------------------------------------------------------------------------------------

    def orphans(self) -> Iterator[model.Orphan]:
        owned = {item.snapshot for item in objects(self._store, NAMESPACE).values()} | set(self._records.containers) | set(self._records.sandboxes)
        return orphans.unowned(self._store, owned, self.path, self.idmap)

    def findings(self) -> List[model.Problem]:
        """Damaged databases, and folders of volumes that cannot be read."""
        return list(databases.findings(self._store)) + list(self._all_volumes().unread.problems('Volumes'))
