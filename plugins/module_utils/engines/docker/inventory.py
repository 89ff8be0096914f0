# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker host's disk, opened: its data roots and what is in them."""
import os
import re
import stat

from ...disk import metadata, safeio
from ...disk.host import HostRoot
from ...formats import wording
from ...layers import idmap, privileges
from ...records import model
from ...records.codes import problem
from . import containers, discovery, legacy, liveness, orphans, rootcheck, volumes as volume_store
from .driver_table import driver as driver_named
from .graphdriver import Graphdriver

CONTAINER_FOLDER = re.compile(rb'[0-9a-f]{64}\Z')
DRIVER_NAME = re.compile(rb'[a-z0-9-]{2,32}\Z')


class Host(object):
    """Everything below a host root. Use as a context manager; close() ends it.

    HOST_ROOT, DATA_ROOTS, CONTAINERD_ROOT are bytes as the user gave them. Raises LifeboatError when what was
    asked for cannot be opened at all; all other trouble is in `problems`, here and in the records.
    """

    def __init__(self, host_root=b'/', data_roots=(), containerd_root=None):
        self.root = HostRoot(host_root)
        found = discovery.find_roots(self.root, list(data_roots), containerd_root)
        self.problems = list(found.problems)
        self.roots = []
        for candidate in found.roots:
            try:
                self.roots.append(DataRoot(self.root, candidate))
            except OSError as exc:
                self.problems.append(problem(
                    'DATA_ROOT_UNREADABLE', wording.text(candidate.path), 'The data root %s cannot be read: %s.' % (
                        wording.text(candidate.path), metadata.describe(exc)), 'Run as root (become: true).'))

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        self.close()

    def close(self):
        for root in self.roots:
            root.close()


class DataRoot(object):
    """One effective data root."""

    def __init__(self, host, candidate):
        self.host = host
        self.candidate = candidate
        self.path = candidate.path
        self.dir = safeio.Dir.root(candidate.path)
        self.dir.links = self._links()
        self.userxattr = candidate.rootless_uid is not None or self._owned_by_user()
        self.suffix = candidate.namespace_suffix or ''
        self.blind = not privileges.sees_trusted()      # see privileges.hidden_marks
        self.idmap = self._idmap()
        self.liveness = liveness.daemon_state(host, candidate)
        self.graphdrivers = {}
        self._find_graphdrivers()
        self.stores = []
        for path in candidate.containerd_roots:
            # only where there is one
            from ..shared import containerd
            try:
                self.stores.append(containerd.ContainerdStore(path, self.userxattr))
            except OSError:
                continue
        self.problems = []
        self._recorded = None
        self._volumes = None
        self._places = None
        self._containers = {}
        self._containers_dir = None

    def close(self):
        self.dir.close_all()
        for store in self.stores:
            store.close()

    def _links(self):
        """{name: where it leads} of links right below the data root, such as overlay2 -> /big/overlay2: only the host's
        root can have made them. They are resolved inside the host root."""
        found = {}
        for name in self.dir.names():
            try:
                if stat.S_ISLNK(self.dir.stat(name).st_mode):
                    found[name] = self.host.resolve(os.path.join(self.host.to_host(self.path), name))
            except (OSError, ValueError):
                continue
        return found

    def _owned_by_user(self):
        """Rootless Docker: everything it made belongs to the user, so the root is not root's."""
        return os.fstat(self.dir.fd).st_uid != 0 and not self.candidate.userns

    def _idmap(self):
        """layers.idmap.IdMap of a user-namespace root, None for an ordinary one."""
        if self.candidate.userns:
            return idmap.from_root_name(os.path.basename(self.path), *self._subids())
        if self.userxattr:
            st = os.fstat(self.dir.fd)
            return idmap.from_rootless(st.st_uid, st.st_gid, self._user(st.st_uid), *self._subids())
        return None

    def _subids(self):
        found = []
        for name in (b'/etc/subuid', b'/etc/subgid'):
            try:
                found.append(self.host.read(name, 1 << 20))
            except OSError:
                found.append(b'')
        return found

    def _user(self, uid):
        try:
            for line in self.host.read(b'/etc/passwd', 1 << 22).split(b'\n'):
                parts = line.split(b':')
                if len(parts) > 3 and parts[2] == b'%d' % uid:
                    return parts[0]
        except OSError:
            pass
        return b''

    def _find_graphdrivers(self):
        try:
            names = self.dir.descend(b'image').names()
        except OSError:
            names = []
        for raw in names:
            if DRIVER_NAME.match(raw):
                name = raw.decode('ascii')
                try:
                    self.dir.descend(b'image/' + raw + b'/layerdb').close()
                except OSError:
                    if driver_named(name) is None:
                        continue
                self.graphdrivers[name] = Graphdriver(self.dir, name, self.userxattr)
        for name in ('overlay2', 'fuse-overlayfs', 'aufs', 'btrfs', 'overlay', 'vfs', 'devicemapper', 'zfs',
                     'windowsfilter'):
            # its folder has its name: a driver that never was here is not even imported
            if name not in self.graphdrivers and self._has(name.encode('ascii')):
                if driver_named(name).ids(self.dir):
                    self.graphdrivers[name] = Graphdriver(self.dir, name, self.userxattr)

    def _has(self, name):
        try:
            self.dir.stat(name)
        except OSError:
            return False
        return True

    # -- containers --------------------------------------------------------------------------------------------------------

    def containers_dir(self):
        """The open folder containers/. Raises OSError."""
        if self._containers_dir is None:
            self._containers_dir = self.dir.descend(b'containers')
        return self._containers_dir

    def container_ids(self):
        """Ids with a folder below containers/."""
        try:
            names = self.containers_dir().names()
        except OSError:
            return []
        return [name.decode('ascii') for name in names if CONTAINER_FOLDER.match(name)]

    def container(self, ident):
        """model.Container by its full id."""
        if ident not in self._containers:
            self._containers[ident] = containers.read(self, ident)
        return self._containers[ident]

    def names(self):
        """{id: name or None}: one read a container, for matching patterns."""
        found = {}
        for ident in self.container_ids():
            config = self.config(ident)
            found[ident] = metadata.text_of(config, 'Name').lstrip('/') or None
        return found

    def config(self, ident):
        """config.v2.json of a container as a dict, {} if it can't be parsed."""
        known = self._containers.get(ident)
        if known is not None and 'config' not in known.sources:
            return known.config
        try:
            folder = self.containers_dir().child(ident.encode('ascii'))
        except OSError:
            return {}
        value = metadata.read_record(folder, b'config.v2.json').value
        folder.close()
        return value or {}

    def driver_and_birth(self, ident):
        """(Driver, Created) of a container as recorded, '' where unknown."""
        if ident in self._containers:
            return self._containers[ident].driver or '', self._containers[ident].created or ''
        config = self.config(ident)
        return metadata.text_of(config, 'Driver'), metadata.text_of(config, 'Created')

    @property
    def recorded_path(self):
        """The data root's path as the dead daemon knew it (bytes), from the paths its containers recorded."""
        if self._recorded is None:
            self._recorded = self.candidate.recorded_path or b''
            for ident in self.container_ids()[:50]:
                config = self.config(ident)
                tail = '/containers/%s/' % ident
                path = metadata.text_of(config, 'HostnamePath') or metadata.text_of(config, 'LogPath')
                if tail in path:
                    self._recorded = os.fsencode(path[:path.index(tail)])
                    break
        return self._recorded

    def spec(self, ident):
        for store in self.stores:
            found = store.spec(ident, self.suffix)
            if found is not None:
                return found
        return None

    def has_snapshot(self, ident, snapshotter):
        return snapshotter in self.snapshotters_with(ident)

    def snapshotters_with(self, ident):
        """Names of the snapshotters that have a snapshot of this container."""
        found = []
        for store in self.stores:
            for name in store.snapshotters():
                for namespace in store.namespaces(self.suffix):
                    if any(ident in names for names in store.names_of(namespace, name)):
                        found.append(name)
        return found

    def resolve_snapshot(self, ident, snapshotter):
        first = None
        for store in self.stores:
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

    def claimed(self, driver):
        """Mount ids that layerdb gives to some container or other layer."""
        graph = self.graphdrivers[driver]
        records = [graph.layerdb.mount(name) for name in graph.layerdb.mount_names()]
        return [record.mount_id for record in records if record.mount_id is not None]

    def references(self, store, driver, image_id):
        if store == 'graphdriver' and driver in self.graphdrivers:
            names = self.graphdrivers[driver].images.references()[0].get(image_id, [])
            return names or legacy.references(self.dir, driver).get(image_id, [])
        for container_store in self.stores:
            names = container_store.image_targets(self.suffix).get(image_id)
            if names:
                from ..shared.containerd import references_of
                return references_of(names)
        return []

    # -- volumes and images ------------------------------------------------------------------------------------------------

    def volumes(self):
        """{name: model.Volume}, without `used_by`; see :meth:`volumes_with_users`."""
        if self._volumes is None:
            self._volumes, notes = volume_store.volumes(self.dir, self.host)
            self.problems.extend(notes)
            self._volumes = {name: volume._replace(idmap=self.idmap) for name, volume in self._volumes.items()}
        return self._volumes

    def used_by(self):
        """{volume name: [container ids]} over all containers of the root."""
        found = {}
        for ident in self.container_ids():
            if ident in self._containers:
                names = [mount.name for mount in self._containers[ident].mounts if mount.type == 'volume']
            else:
                names = [metadata.text_of(point, 'Name') for point in
                         metadata.dict_of(self.config(ident), 'MountPoints').values()
                         if metadata.text_of(point, 'Type') in ('', 'volume')]
            for name in names:
                if name and ident not in found.setdefault(name, []):
                    found[name].append(ident)
        return found

    def writable_places(self):
        """Folders, as the dead host saw them, in which containers could make links: their volumes and writable binds."""
        if self._places is None:
            found = {self.host.to_host(os.path.join(self.path, b'volumes'))}
            for ident in self.container_ids():
                for point in metadata.dict_of(self.config(ident), 'MountPoints').values():
                    source = os.fsencode(metadata.text_of(point, 'Source'))
                    if metadata.text_of(point, 'Type') == 'bind' and source not in (b'', b'/') and \
                            metadata.get(point, 'RW') is not False:
                        found.add(os.path.normpath(source))
            self._places = tuple(sorted(found))
        return self._places

    def volumes_with_users(self):
        """{name: model.Volume} with `used_by`, and volumes that containers name but that have no folder."""
        users = self.used_by()
        found = {name: volume._replace(used_by=tuple(users.get(name, ()))) for name, volume in self.volumes().items()}
        for name in users:
            if name not in found:
                found[name] = volume_store.lost_volume(self.dir, name, {}, users[name])
        return found

    def images(self):
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
        for store in self.stores:
            for digest, names in sorted(store.image_targets(self.suffix).items()):
                yield store.image(digest, names, self.suffix)

    def has_image(self, ident: str) -> bool:
        """True if an image of this ID (text) is in one of the stores."""
        return any(graph.images.config(ident).value is not None for graph in self.graphdrivers.values()) or any(
            ident in store.image_targets(self.suffix) for store in self.stores)

    def active_driver(self):
        """The storage driver that the daemon used last: the configured one, else that of the newest container record."""
        for settings in (self.candidate.flags, self.candidate.daemon_json):
            named = metadata.text_of(settings, 'storage-driver')
            if named:
                return named
        return None

    def image_of(self, container):
        """model.Image that a container was made from, None if no store knows it."""
        if container.store == 'graphdriver':
            graph = self.graphdrivers.get(container.driver)
            if graph is None or container.image_id is None:
                return None
            image = graph.image(container.image_id)
            return image if image.config else None
        manifest = metadata.text_of(container.config, 'ImageManifest', 'digest') or None
        for store in self.stores:
            names = store.image_targets(self.suffix).get(container.image_id, [])
            image = store.image(container.image_id or '', names, self.suffix, manifest)
            if image.config:
                return image
            if manifest:
                image = store.image(manifest, names, self.suffix, manifest)
                if image.config:
                    return image._replace(id=container.image_id or manifest)
        return None

    def findings(self):
        """model.Problem of the root as a whole: damaged indexes, half-removed layers, stores that Docker does not show."""
        return rootcheck.findings(self)

    def orphans(self):
        """Yield model.Orphan: writable layers that no container owns."""
        for orphan in orphans.find(self):
            yield orphan._replace(problems=tuple(orphan.problems) + privileges.hidden_marks(self, orphan.stack))
