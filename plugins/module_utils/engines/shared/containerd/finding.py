"""Where containerd's roots are on a host: of the system's own containerd (its unit, config.toml), of distributions of Kubernetes that bring
their own, and of users without root.

Sources: k3s pkg/agent/config/config.go, rke2 pkg/cli/cmds/server.go, microk8s microk8s-resources/default-args/containerd.
"""
import functools
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ....disk import safeio
from ....formats import wording
from ....records.codes import problem
from ...docker.finding.containerd_roots import ContainerdRoots
from ...docker.finding.given import given_root
from ...docker.finding.scan import Scan
from .snapshotters import FOLDER, META

SYSTEM, KUBELET = b'/var/lib/containerd', b'/var/lib/kubelet'
IN_HOME = b'.local/share/containerd'
K3S, RKE2, K0S, MICROK8S = b'/var/lib/rancher/k3s', b'/var/lib/rancher/rke2', b'/var/lib/k0s', b'/var/snap/microk8s'
CONFIG = (b'/etc/rancher/%s/config.yaml', b'/etc/rancher/%s/config.yaml.d')
_DATA_DIR = re.compile(rb'''(?m)^data-dir:[ \t]*["']?(/[^"'#\r\n]+?)["']?[ \t]*(?:#.*)?\r?$''')
MAX_FILES = 50


class Distribution(NamedTuple):
    """Where a distribution of Kubernetes keeps what belongs to a node. Paths as the dead host saw them; b'': it has none."""
    name: str
    root: bytes                         # containerd's
    kubelet: bytes = KUBELET
    manifests: bytes = b''              # static pods
    databases: Tuple[bytes, ...] = ()   # of the API server, where the node is one
    storage: Tuple[bytes, ...] = ()     # its own provisioner of local volumes


class Candidate(NamedTuple):
    """A containerd root. `path` is on the managed node, `recorded` as the dead host saw it. `uid`: of a user without root."""
    path: bytes
    recorded: bytes
    about: Distribution
    why: Tuple[str, ...]
    uid: Optional[int] = None
    user: bytes = b''
    home: bytes = b''
    moved: Tuple[Tuple[str, bytes], ...] = ()       # snapshotters that config.toml puts elsewhere, and where on the managed node

    @property
    def rootless(self) -> bool:
        """Whether it belongs to a user without root."""
        return self.home != b''


def kubeadm(root: bytes) -> Distribution:
    """What kubeadm sets up around the containerd whose root ROOT is, and most other installers too."""
    return Distribution('kubeadm', root, KUBELET, b'/etc/kubernetes/manifests', (b'/var/lib/etcd/member/snap/db',))


def rancher(name: str, top: bytes) -> Distribution:
    """k3s or RKE2 with its data in TOP."""
    server = top + b'/server/db'
    return Distribution(name, top + b'/agent/containerd', KUBELET, top + b'/agent/pod-manifests',
                        (server + b'/state.db', server + b'/etcd/member/snap/db'), (top + b'/storage',))


class Finder(object):
    """One look at a host. DISK: disk.host.HostRoot."""

    def __init__(self, disk: Any) -> None:
        self.disk, self.scan = disk, Scan(disk)
        self.system = ContainerdRoots(self.scan, None)

    def candidates(self, given: Tuple[bytes, ...], containerd_root: Optional[bytes]) -> List[Candidate]:
        """Every containerd root that has something in it; with GIVEN (as the user typed them) or CONTAINERD_ROOT only those. LifeboatError
        for a folder that cannot be used."""
        wanted = [(given_root(self.disk, path, 'data_roots'), 'given') for path in given]
        if containerd_root is not None:
            wanted.append((given_root(self.disk, containerd_root, 'containerd_root'), 'containerd_root'))
        known = list(self._known())
        claims = [(self._about(path, known), why, None, b'', b'') for path, why in wanted] if wanted else known
        found: Dict[bytes, Candidate] = {}
        for about, why, uid, user, home in claims:
            place = self.scan.node(about.root)
            if place is None:
                continue
            if place in found:
                found[place] = found[place]._replace(why=found[place].why + (why,))
            elif is_used(place):
                moved = self.system.snapshotters if about.root in self.system.system else ()
                found[place] = Candidate(place, about.root, about, (why,), uid, user, home, moved)
        return list(found.values())

    def _about(self, path: bytes, known: List[Any]) -> Distribution:
        place = self.scan.node(path)
        for about, dummy, dummy, dummy, dummy in known:
            if about.root == path or place is not None and self.scan.node(about.root) == place:
                return about
        return kubeadm(path)

    def _known(self) -> Iterator[Tuple[Distribution, str, Optional[int], bytes, bytes]]:
        """Yield (Distribution, why, user id, name of the user, home)."""
        for path in self.system.system:
            yield kubeadm(path), 'default' if path == SYSTEM else 'configuration of containerd', None, b'', b''
        for name, usual in (('k3s', K3S), ('rke2', RKE2)):
            tops = self._data_dirs(name)
            for top in tops + [usual]:
                yield rancher(name, top), name if top == usual else 'config.yaml of %s' % name, None, b'', b''
        yield Distribution('k0s', K0S + b'/containerd', K0S + b'/kubelet', K0S + b'/manifests', (K0S + b'/etcd/member/snap/db', K0S + b'/db/state.db')), \
            'k0s', None, b'', b''
        common = MICROK8S + b'/common'
        yield Distribution('microk8s', common + b'/var/lib/containerd', common + b'/var/lib/kubelet', b'', (
            MICROK8S + b'/current/var/kubernetes/backend', common + b'/var/run/etcd/member/snap/db'), (common + b'/default-storage',)), \
            'microk8s', None, b'', b''
        for user in self.scan.users:
            yield Distribution('rootless', os.path.join(user.home, IN_HOME), b''), 'home of %s' % wording.show(user.name), user.uid, \
                user.name.encode('utf-8', 'surrogateescape'), user.home

    def _data_dirs(self, name: str) -> List[bytes]:
        """What config.yaml of k3s or RKE2 says: one line of it, the rest may be anything."""
        files = [CONFIG[0] % name.encode()]
        folder = CONFIG[1] % name.encode()
        files += [os.path.join(folder, item) for item in self.scan.names(folder) if item.endswith(b'.yaml')][:MAX_FILES]
        found = []
        for path in files:
            found += [match.rstrip(b'/') for match in _DATA_DIR.findall(self.scan.read(path) or b'')]
        return found


def candidates(disk: Any, given: Tuple[bytes, ...], containerd_root: Optional[bytes]) -> List[Candidate]:
    """See Finder. Every engine on containerd asks this of the same disk: the search is made once."""
    return list(_candidates(disk, given, containerd_root))


@functools.lru_cache(maxsize=1)
def _candidates(disk: Any, given: Tuple[bytes, ...], containerd_root: Optional[bytes]) -> Tuple[Candidate, ...]:
    return tuple(Finder(disk).candidates(given, containerd_root))


def missing(given: Tuple[bytes, ...], found: List[Candidate], what: str) -> Iterator[Any]:
    """Yield a problem for each path of GIVEN that is none of FOUND, which has something of WHAT."""
    for path in given:
        if not any(path in (item.recorded, item.path) for item in found):
            yield problem('DATA_ROOT_MISSING', wording.text(path), '%s is no containerd root with something of %s, or does not exist below the host '
                          'root.' % (wording.show(path), what), 'Name the folder that has io.containerd.metadata.v1.bolt in it.')


def is_used(path: bytes) -> bool:
    """Whether a folder on the managed node is a containerd root that was used."""
    try:
        with safeio.Dir.root(path) as root:
            return any(name == META or name.startswith(FOLDER) for name in root.names())
    except OSError:
        return False


def nothing(disk: Any, what: str) -> List[Any]:
    """The problem that there is no WHAT."""
    return [problem('NO_DATA_ROOT', wording.text(disk.path), 'There is nothing of %s below %s: no containerd root in any of the usual places has it.' % (
        what, wording.text(disk.path)), 'If its root lies elsewhere, mount that disk below the host root, or name it in data_roots.')]
