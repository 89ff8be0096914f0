"""A graph root that was opened: its stores, one a driver, who owns it, and what both engines on it read the same way."""
import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from ....disk import fsinfo, host as hosts, safeio
from ....formats import wording
from ....layers import idmap, privileges
from ....records import model
from ... import api
from . import drivers, finding, names, owners
from .records import Place
from .store import Store

LOG_NAME = b'ctr.log'
RUN_FILES = ((b'resolv.conf', b'/etc/resolv.conf'), (b'hostname', b'/etc/hostname'), (b'hosts', b'/etc/hosts'))


class GraphRoot(object):
    """DISK: disk.host.HostRoot; CANDIDATE: finding.Candidate. Raises OSError."""

    def __init__(self, disk: Any, candidate: finding.Candidate) -> None:
        self.disk, self.candidate = disk, candidate
        self.dir = safeio.Dir.root(candidate.path)
        st = os.fstat(self.dir.fd)
        self.user = candidate.user if candidate.user is not None and st.st_uid != 0 else None
        self.rootless = st.st_uid != 0
        self.idmap = self._outer(st)
        self._held = [self.dir]
        self.run = self._open(candidate.run)
        self.extra = [folder for folder in map(self._open, candidate.extra) if folder is not None]
        # the marks of a rootless store, and one that a mount program writes, are seen by everybody
        self.blind = not self.rootless and not privileges.sees_trusted()
        listed = self.dir.names()
        self.mount_program = False
        self.stores: List[Store] = []
        for name in drivers.present(listed):
            places = [self._place(self.dir, name, True)] + [self._place(folder, name, False) for folder in self.extra]
            self.stores.append(Store(places, name, self.run))

    def close(self) -> None:
        """Close everything."""
        for folder in self._held:
            folder.close_all()

    def _open(self, path: Optional[bytes]) -> Optional[safeio.Dir]:
        try:
            folder = safeio.Dir.root(path) if path is not None else None
        except OSError:
            return None
        if folder is not None:
            self._held.append(folder)
        return folder

    def _place(self, folder: safeio.Dir, name: str, own: bool) -> Place:
        """The existence of .has-mount-program says nothing: a store that is mounted by the kernel has one with "false" in it."""
        encoding = model.OVERLAY_USER if os.fstat(folder.fd).st_uid != 0 else model.OVERLAY
        try:
            if name == 'overlay' and folder.descend(b'overlay').read(b'.has-mount-program', 64).strip() == b'true':
                encoding = model.FUSE_OVERLAYFS
                self.mount_program = self.mount_program or own
        except OSError:
            pass
        return Place(folder, encoding, own)

    def _outer(self, st: os.stat_result) -> Optional[idmap.IdMap]:
        """layers.idmap.IdMap of a rootless store, None for root's."""
        if not self.rootless:
            return None
        gid = self.user.gid if self.user is not None and self.user.gid is not None else st.st_gid
        return idmap.from_rootless(st.st_uid, gid, self.user.name if self.user is not None else b'', *self.disk.subids())

    @property
    def user_name(self) -> Optional[str]:
        """Whose rootless store it is: a name, the number where passwd does not tell; None for root's."""
        if not self.rootless:
            return None
        return wording.show(self.user.name) if self.user is not None else str(os.fstat(self.dir.fd).st_uid)

    # -- containers --------------------------------------------------------------------------------------------------------------

    def store_of(self, ident: str) -> Optional[Store]:
        """The store that has a container, None if none has."""
        for store in self.stores:
            if ident in store.records.containers:
                return store
        return next((store for store in self.stores if ident in store.container_ids()), None)

    def map_of(self, ident: str, store: Optional[Store]) -> Any:
        """The IdMap of what a container wrote into its layer."""
        if store is None or self.mount_program and store.name == 'overlay':
            return self.idmap
        return owners.combined(self.idmap, store.records.containers.get(ident, {}))

    def container_folder(self, store: Optional[Store], ident: str) -> Optional[safeio.Dir]:
        """The open folder of a container's own files, None if there is none."""
        try:
            relative = store.folder(ident) if store is not None else None
            return self.dir.descend(relative) if relative else None
        except OSError:
            return None

    def run_files(self, store: Optional[Store], ident: str) -> Tuple[Tuple[bytes, bytes], ...]:
        """(place in the container, path) of those files that the engine mounts into it and that outlived the host: they lie in memory."""
        relative = store.folder(ident) if store is not None else None
        if self.run is None or not relative:
            return ()
        found = []
        try:
            folder = self.run.descend(relative)
            for name, inside in RUN_FILES:
                if stat.S_ISREG(folder.stat(name).st_mode):
                    found.append((inside, os.path.join(folder.path(), name)))
        except OSError:
            pass
        return tuple(found)

    # -- liveness ------------------------------------------------------------------------------------------------------------------

    def monitors(self) -> Dict[str, int]:
        """{container id: process id of its conmon} of containers of this root that run on a live host."""
        found = {}
        for process in self.disk.processes((b'conmon',)):
            words = process.argv
            mine = any(fsinfo.is_below(wording.raw(word), self.candidate.recorded) for word in words if word.startswith('/'))
            for option, value in zip(words, words[1:]):
                if option in ('-c', '--cid') and names.is_id(value) and mine:
                    found[value] = process.pid
        return found

    def liveness(self) -> api.Liveness:
        """There is no daemon: what runs are monitors (conmon), one a container."""
        if not self.disk.is_live:
            return api.Liveness(api.STOPPED, None, ('there is no daemon, and this is not the disk of the running machine',))
        running = self.monitors()
        if running:
            return api.Liveness(api.RUNNING, sorted(running.values())[0], (
                'monitors (conmon) of %s of this store run' % wording.number(len(running), 'container'),))
        return api.Liveness(api.STOPPED if os.geteuid() == 0 else api.UNKNOWN, None, ('no container of this store has a monitor (conmon)',))

    def alive(self, ident: str) -> Optional[int]:
        """The process of a container that still runs, None if it does not or nothing can be said."""
        monitor = self.monitors().get(ident) if self.disk.is_live else None
        if monitor is None:
            return None
        children = hosts.read_proc(monitor, 'task/%d/children' % monitor).split()
        return int(children[0]) if children else None


def log_of(folder: Optional[safeio.Dir], name: bytes) -> Tuple[Tuple[bytes, ...], int]:
    """((paths of a log and of those it was rotated to, oldest first), their bytes) in an open folder."""
    from ....formats import containerlogs
    files, size = [], 0
    try:
        listed = containerlogs.order(folder.names(), name) if folder is not None else []
    except OSError:
        listed = []
    for item in listed:
        if folder is None:
            raise AssertionError('it was listed')
        try:
            st = folder.stat(item)
        except OSError:
            continue
        if stat.S_ISREG(st.st_mode):
            files.append(os.path.join(folder.path(), item))
            size += st.st_size
    return tuple(files), size
