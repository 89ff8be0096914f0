"""Volumes of pods, from kubelet's folders and without an API server: emptyDir, configMap, claims (local, CSI, hostPath provisioners), and
those that images declare (kubernetes pkg/kubelet/kubelet_getters.go, pkg/volume; containerd internal/cri/server/container_create.go).
"""
import os
import re
import stat
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import wording
from ...records import model
from ...records.codes import problem
from ..shared.unread import Unread
from . import names

LABEL = 'io.kubernetes.'
MAX_PODS, MAX_CLAIMS, MAX_NAMES = 5000, 5000, 5000
PREFIX = 'kubernetes.io~'
IN_MEMORY = ('secret', 'projected', 'downward-api')     # kubelet mounts a tmpfs for them, and fills it from the API server
# provisioners that make a folder for each claim, and how they call it
STORAGE = (b'/opt/local-path-provisioner', b'/var/openebs/local', b'/var/local-path-provisioner')
_CLAIM = re.compile(r'(?P<pv>pvc-[0-9a-f-]{36})_(?P<ns>[a-z0-9-]{1,63})_(?P<claim>[a-z0-9.-]{1,253})\Z')        # local-path
_CLAIM_LAST = re.compile(r'(?P<both>[a-z0-9.-]{3,320})-(?P<pv>pvc-[0-9a-f-]{36})\Z')      # MicroK8s: NAMESPACE-CLAIM-PV
_BARE = re.compile(r'(?P<pv>pvc-[0-9a-f-]{36})\Z')       # OpenEBS
POD = re.compile(r'(?P<root>/.*?)/pods/(?P<uid>[A-Za-z0-9][A-Za-z0-9-]{0,127})/(?P<rest>.+)\Z')
_VOLUME = re.compile(r'volumes/(?P<plugin>[^/]+)/(?P<name>[^/]+)(?:/mount)?\Z')
_SUBPATH = re.compile(r'volume-subpaths/(?P<name>[^/]+)/(?P<ctr>[^/]+)/(?P<index>\d{1,4})\Z')


class Claim(NamedTuple):
    """A folder that a provisioner made for a claim. '' for what its name does not tell."""
    pv: str
    namespace: str
    claim: str
    path: bytes                         # on the managed node


class Spec(NamedTuple):
    """What a pod's own specification says of a volume."""
    claim: str = ''
    memory: bool = False                # emptyDir in memory
    known: bool = False                 # there is a specification at all


class Volumes(object):
    """DISK: disk.host.HostRoot; KUBELETS: kubelet's root folders, STORAGE_FOLDERS: those of provisioners, both as the dead host saw them;
    WHOSE: {uid: (namespace, name)} of pods; SPECS(uid): {name of a volume: Spec}; PLACES: {name of a PersistentVolume: folder as the dead
    host saw it}, where a database of the cluster tells; ROOT: the containerd root on the managed node."""

    def __init__(self, disk: Any, kubelets: List[bytes], storage_folders: Tuple[bytes, ...], whose: Dict[str, Tuple[str, str]], specs: Any, cluster: Any,
                 root: bytes, idmap: Any = None) -> None:
        self.disk, self._whose, self._specs, self._cluster, self._root, self._idmap = disk, whose, specs, cluster, root, idmap
        self.unread = Unread()
        self.claims = list(self._find_claims(storage_folders + STORAGE))
        self.table: Dict[str, model.Volume] = {}
        self._at: Dict[Tuple[str, str], str] = {}        # (pod uid, name in kubelet's folder) -> name of the volume
        for kubelet in kubelets:
            self._pods(kubelet)
        for claim in self.claims:
            self._add_claim(claim)

    # -- kubelet's folders -------------------------------------------------------------------------------------------------------

    def _pods(self, kubelet: bytes) -> None:
        for uid in self._names(os.path.join(kubelet, b'pods'), MAX_PODS):
            if not names.UID.match(uid):
                continue
            top = os.path.join(kubelet, b'pods', uid, b'volumes')
            for plugin in self._names(top):
                for name in self._names(os.path.join(top, plugin)):
                    self._volume(uid.decode('ascii'), plugin.decode('utf-8', 'replace'), name.decode('utf-8', 'backslashreplace'),
                                 os.path.join(top, plugin, name))

    def _volume(self, uid: str, plugin: str, name: str, recorded: bytes) -> None:
        kind = plugin[len(PREFIX):] if plugin.startswith(PREFIX) else plugin
        path = self._folder(recorded)
        if kind in IN_MEMORY or kind == 'configmap' and (path is None or not _has(path, b'..data')):
            return
        namespace, pod = self._whose.get(uid, ('', ''))
        spec = self._specs(uid).get(name, Spec())
        labels = {'pod.namespace': namespace, 'pod.name': pod, 'pod.uid': uid, 'volume.plugin': kind, 'volume.name': name}
        if kind in ('empty-dir', 'configmap'):
            full = names.volume_name(namespace or None, pod or uid, name)
            if full in self.table:
                full = names.volume_name(namespace or None, pod or uid, name, uid)
            found = self._of_pod(full, kind, path, spec)
        else:
            claim = self._claim_of(uid, name, namespace, spec)
            labels.update({'pv.name': name, 'pvc.name': claim.claim, 'pvc.namespace': claim.namespace})
            full = names.volume_name(claim.namespace or namespace or None, claim.claim or name)
            found = self._of_claim(full, kind, path, recorded, claim)
        self._at[uid, name] = full
        if full not in self.table or self.table[full].path is None:
            self.table[full] = found._replace(labels={LABEL + key: value for key, value in labels.items() if value})

    def _of_pod(self, full: str, kind: str, path: Optional[bytes], spec: Spec) -> model.Volume:
        notes: List[model.Problem] = []
        if kind == 'empty-dir':
            if spec.memory and (path is None or not _is_mounted(path)):
                path = None
                notes.append(problem('TMPFS_LOST', full, 'Volume %s is an emptyDir in memory (medium: Memory): its data are gone with the power.' % full, ''))
            elif path is not None and _is_empty(path) and not _is_mounted(path) and not spec.known:
                notes.append(problem('VOLUME_EMPTY_HERE', full, 'Volume %s is an emptyDir with nothing in it. Either nothing was written to it, or it lay '
                                     'in memory (medium: Memory): this disk does not tell.' % full, 'Look for medium: Memory in the specification of the pod.'))
            else:
                notes.append(problem('EMPTYDIR_OF_POD', full, 'Volume %s is an emptyDir: it is deleted with its pod. The first kubelet that reaches its API '
                                     'server and hears that the pod is gone, or was moved to another node, deletes it.' % full,
                                     'Rescue it before kubelet is started with a network.'))
        found = self._made(full, path, model.COMPLETE if path is not None else model.LOST, notes)
        return found._replace(options={'type': 'tmpfs', 'device': 'tmpfs'}) if spec.memory else found

    def _of_claim(self, full: str, kind: str, path: Optional[bytes], recorded: bytes, claim: Claim) -> model.Volume:
        """Of a PersistentVolume: kubelet's folder is where it was mounted, and empty on a dead host."""
        about = {}
        if kind == 'csi' and path is not None:
            about, path = _csi(path)
        if claim.path and (path is None or not _is_mounted(path) and _is_empty(path)):
            return self._made(full, claim.path, model.COMPLETE, [])
        if path is not None and (_is_mounted(path) or not _is_empty(path)):
            return self._made(full, path, model.COMPLETE, [])
        driver = metadata.text_of(about, 'driverName') or kind
        handle = metadata.text_of(about, 'volumeHandle')
        return self._made(full, None, model.LOST, [problem(
            'VOLUME_NOT_ON_DISK', full, 'Volume %s (%s%s) was mounted at %s; what it holds lies elsewhere.' % (
                full, driver, ', handle ' + handle if handle else '', wording.show(recorded)),
            'Its data are safe from what happened to this node if they are on a storage of the network; a local disk has to be mounted there.')])

    def _claim_of(self, uid: str, name: str, namespace: str, spec: Spec) -> Claim:
        """The Claim behind a PersistentVolume; its `path` is b'' where no folder of it is known."""
        pv = name
        if spec.claim and not pv.startswith('pvc-'):
            pv = self._cluster.pv_of(namespace, spec.claim) or pv
        found = next((claim for claim in self.claims if claim.pv == pv), None)
        known = self._cluster.claim_of(pv)
        if found is None:
            place = self._cluster.place_of(pv)
            path = self._folder(place) if place else None
            return Claim(pv, known[0], known[1] or spec.claim, path or b'')
        return found._replace(namespace=found.namespace or known[0] or namespace, claim=found.claim or known[1] or spec.claim)

    # -- folders of claims ---------------------------------------------------------------------------------------------------------

    def _find_claims(self, folders: Tuple[bytes, ...]) -> Iterator[Claim]:
        for folder in dict.fromkeys(folders):
            for raw in self._names(folder, MAX_CLAIMS):
                claim = claim_named(raw.decode('utf-8', 'backslashreplace'))
                path = self._folder(os.path.join(folder, raw)) if claim is not None else None
                if claim is not None and path is not None:
                    yield claim._replace(path=path)

    def _add_claim(self, claim: Claim) -> None:
        """A folder of a claim that no pod of this node has mounted now has its data all the same."""
        known = self._cluster.claim_of(claim.pv)
        namespace, name = claim.namespace or known[0], claim.claim or known[1]
        full = names.volume_name(namespace or None, name or claim.pv)
        if any(volume.path == claim.path for volume in self.table.values()):
            return
        if full in self.table:
            full = names.volume_name(namespace or None, name or claim.pv, claim.pv)
        labels = {'pv.name': claim.pv, 'pvc.name': name, 'pvc.namespace': namespace}
        self.table[full] = self._made(full, claim.path, model.COMPLETE, [])._replace(labels={LABEL + key: value for key, value in labels.items() if value})

    # -- for containers ------------------------------------------------------------------------------------------------------------

    def at(self, host_path: str) -> Tuple[Optional[model.Volume], str]:
        """(the Volume that kubelet mounted into a container from HOST_PATH or None, '' or 'memory', 'subpath', 'kubelet', 'bind': what the
        path is otherwise). A volume that is not there any more is added to the table."""
        match = POD.match(host_path)
        if not match:
            path = self._folder(wording.raw(host_path))
            return next((volume for volume in self.table.values() if path is not None and volume.path == path), None), 'bind'
        rest = match.group('rest')
        inner, sub = _VOLUME.match(rest), _SUBPATH.match(rest)
        name = inner.group('name') if inner else sub.group('name') if sub else ''
        full = self._at.get((match.group('uid'), name))
        volume = self.table.get(full) if full else None
        if inner and volume is None:
            kind = inner.group('plugin')[len(PREFIX):]
            return (None, 'memory') if kind in IN_MEMORY + ('configmap',) else (self._gone(match.group('uid'), kind, name), '')
        return volume, 'subpath' if sub else '' if inner else 'kubelet'

    def _gone(self, uid: str, kind: str, name: str) -> model.Volume:
        """A volume that a container had, and whose folder is not there any more."""
        namespace, pod = self._whose.get(uid, ('', ''))
        full = names.volume_name(namespace or None, pod or uid, name)
        self._at[uid, name] = full
        self.table[full] = self._made(full, None, model.LOST, [problem(
            'VOLUME_LOST', full, 'The folder of volume %s (%s) of pod %s/%s does not exist below kubelet\'s folder.' % (
                full, kind, namespace or '?', pod or uid),
            'Look for it in backups and on other disks of this host.')])
        return self.table[full]

    def add_image_volumes(self, found: Dict[str, bytes]) -> None:
        """Those of a container, {name: path}."""
        for name, path in found.items():
            self.table[name] = self._made(name, path, model.COMPLETE, [], True)

    def _made(self, name: str, path: Optional[bytes], status: str, notes: List[model.Problem], anonymous: bool = False) -> model.Volume:
        return model.Volume(name, path, 'local', {}, {}, anonymous, (), status, self._root, tuple(notes), self._idmap)

    # -- the disk --------------------------------------------------------------------------------------------------------------------

    def _names(self, folder: bytes, most: int = MAX_NAMES) -> List[bytes]:
        try:
            found = self.disk.listdir(folder)
        except OSError as exc:
            self.unread.note(folder, exc)
            return []
        self.unread.cut(folder, len(found), most)
        return found[:most]

    def _folder(self, recorded: bytes) -> Optional[bytes]:
        """A folder on the managed node, None if it is none, or a link. Links on the way are the host's own: pods cannot write above their
        volumes."""
        try:
            if stat.S_ISLNK(self.disk.lstat(recorded).st_mode):
                return None
            place = self.disk.resolve(recorded)
        except OSError as exc:
            self.unread.note(recorded, exc)
            return None
        return place if safeio.is_folder(place) else None


def claim_named(name: str) -> Optional[Claim]:
    """The Claim that a provisioner's folder of this name belongs to, None for other folders."""
    match = _CLAIM.match(name) or _BARE.match(name)
    if match:
        found = match.groupdict()
        return Claim(found['pv'], found.get('ns') or '', found.get('claim') or '', b'')
    match = _CLAIM_LAST.match(name)
    # where the namespace ends and the claim begins is not told
    return Claim(match.group('pv'), '', match.group('both'), b'') if match else None


def _csi(path: bytes) -> Tuple[Dict[str, Any], Optional[bytes]]:
    """(vol_data.json, where the volume was mounted) of a folder of kubelet's CSI plugin."""
    try:
        with safeio.Dir.root(path) as folder:
            about = metadata.read_json(folder, b'vol_data.json').value or {}
            inner = os.path.join(path, b'mount')
            return about, inner if stat.S_ISDIR(folder.stat(b'mount').st_mode) else None
    except OSError:
        return {}, None


def _is_empty(path: bytes) -> bool:
    try:
        with safeio.Dir.root(path) as folder:
            return folder.is_empty()
    except OSError:
        return True


def _has(path: bytes, name: bytes) -> bool:
    try:
        with safeio.Dir.root(path) as folder:
            folder.stat(name)
            return True
    except OSError:
        return False


def _is_mounted(path: bytes) -> bool:
    """Whether a file system is mounted on the folder."""
    try:
        return safeio.lstat(path).st_dev != safeio.lstat(os.path.dirname(path)).st_dev
    except OSError:
        return False
