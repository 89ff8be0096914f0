"""One data root of Docker: what engines.api.Root offers, put together of the parts in this folder. None of them knows this file."""
import os
import stat
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Set

from ...disk import metadata, safeio
from ...formats import wording
from ...layers import idmap, privileges
from ...records import model
from .. import api
from ..shared.unread import Unread
from . import configs, containers, liveness, orphans, rootcheck, stores, volumes as volume_store

if TYPE_CHECKING:
    from ...disk.host import HostRoot
    from ...records.cluster import Cluster
    from . import networks
    from .finding.candidates import RootCandidate


class DataRoot(api.Root):
    """One effective data root. HOST: disk.host.HostRoot; CANDIDATE: finding.candidates.RootCandidate. Raises OSError."""

    def __init__(self, host: 'HostRoot', candidate: 'RootCandidate') -> None:
        super(DataRoot, self).__init__()
        self._host = host
        self._candidate = candidate
        self.path = candidate.path
        self._dir = safeio.Dir.root(candidate.path)
        self._dir.links = self._links()
        userxattr = candidate.rootless_uid is not None or self._owned_by_user()
        blind = not privileges.sees_trusted()       # see privileges.hidden_marks
        self.idmap = self._idmap(userxattr)
        self.user = self._rootless_user() if candidate.rootless_uid is not None else None
        self.liveness = liveness.daemon_state(host, candidate)
        self.stores = stores.open_stores(self._dir, candidate.containerd_roots, userxattr, candidate.namespace_suffix or '',
                                         candidate.snapshotter_roots)
        self._configs = configs.Configs(host, self._dir, candidate.recorded_path)
        self._readers = containers.Readers(host, self.path, self._configs, self.stores, self.volumes, self.idmap, blind)
        self._volumes = None            # type: Optional[Dict[str, model.Volume]]
        self._networks: 'Optional[networks.Recorded]' = None
        self._network_users: Set[str] = set()
        self._containers = {}           # type: Dict[str, model.Container]

    def close(self) -> None:
        """Close the data root and its stores."""
        self._dir.close_all()
        self.stores.close()

    # -- for a repair, which works on the records themselves -------------------------------------------------------------

    @property
    def host(self) -> Any:
        """disk.host.HostRoot."""
        return self._host

    @property
    def dir(self) -> safeio.Dir:
        """The open data root."""
        return self._dir

    @property
    def candidate(self) -> Any:
        """The RootCandidate it was opened from."""
        return self._candidate

    # -- what kind of root it is -----------------------------------------------------------------------------------------

    def _links(self) -> Dict[bytes, bytes]:
        """{name: where it leads} of links right below the data root, such as overlay2 -> /big/overlay2: only the host's
        root can have made them. They are resolved inside the host root."""
        found = {}
        for name in self._dir.names():
            try:
                if stat.S_ISLNK(self._dir.stat(name).st_mode):
                    found[name] = self._host.resolve(os.path.join(self._host.to_host(self.path), name))
            except (OSError, ValueError):
                continue
        return found

    def _owned_by_user(self) -> bool:
        """Rootless Docker: everything it made belongs to the user, so the root is not root's."""
        return os.fstat(self._dir.fd).st_uid != 0 and not self._candidate.userns

    def _idmap(self, userxattr: bool) -> Optional[idmap.IdMap]:
        """layers.idmap.IdMap of a user-namespace root, None for an ordinary one."""
        if self._candidate.userns:
            return idmap.from_root_name(os.path.basename(self.path), *self._host.subids())
        if userxattr:
            st = os.fstat(self._dir.fd)
            if self._candidate.rootless_uid is None and self._is_shifted(st):
                return idmap.from_shifted(st.st_uid, st.st_gid, *self._host.subids())
            return idmap.from_rootless(st.st_uid, st.st_gid, self._user(st.st_uid), *self._host.subids())
        return None

    def _is_shifted(self, st: os.stat_result) -> bool:
        """Whether the root file system around the data root (ST) belongs to the same user: that of an unprivileged LXC, LXD or
        Incus instance, or its disk. Around the data root of rootless Docker it is root's."""
        folder = self._host.to_host(self.path)
        while folder != b'/':
            folder = os.path.dirname(folder)
            if self._host.exists(folder.rstrip(b'/') + b'/etc/passwd'):
                try:
                    return self._host.lstat(folder).st_uid == st.st_uid
                except OSError:
                    return False
        return False

    def _rootless_user(self) -> str:
        """The name of the user whose rootless Docker it is, the number where passwd does not tell."""
        uid = self._candidate.rootless_uid
        return uid is not None and wording.show(self._user(uid)) or str(uid)

    def _user(self, uid: int) -> Optional[bytes]:
        try:
            for line in self._host.read(b'/etc/passwd', 1 << 22).split(b'\n'):
                parts = line.split(b':')
                if len(parts) > 3 and parts[2] == b'%d' % uid:
                    return parts[0]
        except OSError:
            pass
        return b''

    @property
    def recorded_path(self) -> bytes:   # type: ignore[override]    # found out when it is asked for
        return self._configs.recorded_path()

    def places(self) -> List[bytes]:
        return [self.path] + self.stores.places()

    def facts(self) -> Dict[str, Any]:
        """Storage drivers and snapshotters with layers here, user namespaces, containerd's roots, what named this root, and where its
        engine keeps the content of a volume."""
        candidate = self._candidate
        return {'drivers': self.stores.drivers(), 'userns': self.idmap.first if self.idmap is not None else None,
                'rootless': candidate.rootless_uid is not None,
                'containerd_roots': [wording.text(store.path) for store in self.stores.containerd], 'found_by': list(candidate.why),
                'volume_path': wording.text(os.path.join(self.recorded_path or self.path, b'volumes/{name}/_data'))}

    def thin_pools(self) -> List[api.ThinPool]:
        return [pool for pool in (graph.pool() for dummy, graph in sorted(self.stores.graphdrivers.items())) if pool is not None]

    # -- containers ------------------------------------------------------------------------------------------------------

    def container_ids(self) -> List[str]:
        return self._configs.ids()

    def names(self) -> Dict[str, Optional[str]]:
        return self._configs.names()

    def container(self, ident: str) -> model.Container:
        if ident not in self._containers:
            self._containers[ident] = containers.read(self._readers, ident)
        return self._containers[ident]

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        manifest = metadata.text_of(self._configs.kept(container.id), 'ImageManifest', 'digest') or None
        return self.stores.image_of(container, manifest)

    def neighbours(self, container: model.Container) -> api.Neighbours:
        from . import neighbours, networks as recorded  # few callers want them
        if self._networks is None:
            self._networks = recorded.recorded(self._dir)
        self._network_users.update(neighbours.own_networks(container.definition))
        note = recorded.note(self._networks, self.path, self._network_users)
        if note is not None:            # one for all containers, with the networks of those that were asked for so far
            self.problems[:] = [item for item in self.problems if item.code != note.code] + [note]
        return neighbours.neighbours(container, self._networks.settings, self._configs, self.container)

    def alive(self, container: model.Container) -> Optional[int]:
        return liveness.container_alive(self._host, container.id, container.state['pid']) if self._host.is_live else None

    # -- volumes and images ----------------------------------------------------------------------------------------------

    def volumes(self) -> Dict[str, model.Volume]:
        if self._volumes is None:
            found, notes = volume_store.volumes(self._dir, self._host)
            self.problems.extend(notes)
            self._volumes = {name: volume._replace(idmap=self.idmap) for name, volume in found.items()}
        return self._volumes

    def volume_names(self, ident: str) -> List[Optional[str]]:
        if ident in self._containers:
            return super().volume_names(ident)
        return list(self._configs.volumes_of(ident))

    def lost_volume(self, name: str, users: List[str]) -> model.Volume:
        return volume_store.lost_volume(self._dir, name, {}, users)

    def images(self) -> Iterator[model.Image]:
        return self.stores.images()

    # -- the root as a whole ---------------------------------------------------------------------------------------------

    def cluster(self, unlock_key: str = '') -> 'Optional[Cluster]':
        from . import swarm  # few hosts are nodes of one
        return swarm.read(self._dir, self._configs, unlock_key)

    def findings(self) -> List[model.Problem]:
        """Damaged indexes, half-removed layers, stores that Docker does not show, folders that cannot be read."""
        configured = next((name for name in (metadata.text_of(settings, 'storage-driver') for settings in (
            self._candidate.flags, self._candidate.daemon_json)) if name), None)
        return rootcheck.findings(self.path, self.stores, [self._birth(ident) for ident in self.container_ids()], configured) + self._unread()

    def _unread(self) -> List[model.Problem]:
        """Folders of image records that cannot be read look like empty ones; of those above them the search for roots tells."""
        unread = Unread()
        try:
            drivers = self._dir.descend(b'image').names()
        except OSError:
            return []
        for driver in drivers:
            folder = os.path.join(b'image', driver, b'imagedb/content/sha256')
            try:
                opened = self._dir.descend(folder)
                try:
                    opened.names()
                finally:
                    opened.close()
            except OSError as exc:
                unread.note(os.path.join(self.path, folder), exc)
        return list(unread.problems('Images'))

    def _birth(self, ident: str) -> rootcheck.Birth:
        known = self._containers.get(ident)
        if known is not None:
            return rootcheck.Birth(known.driver or '', known.created or '')
        config = self._configs.read(ident)
        return rootcheck.Birth(metadata.text_of(config, 'Driver'), metadata.text_of(config, 'Created'))

    def orphans(self) -> Iterator[model.Orphan]:
        return orphans.find(self._readers, self.container)
