"""Kubernetes on containerd (its CRI plugin), as engines.api wants it."""
from typing import TYPE_CHECKING, Any, Callable

from .. import api

if TYPE_CHECKING:
    from ...records.definition import Definition

NAME = 'kubernetes'
PLACES = (b'/var/lib/containerd', b'/var/lib/kubelet', b'/var/lib/rancher', b'/var/lib/rancher/k3s', b'/var/lib/rancher/rke2', b'/var/lib/k0s',
          b'/run/containerd', b'/run/k3s')


def find(disk: Any, given: api.Given) -> api.Found:
    """The containerd roots in which the CRI plugin has something, kubeadm's and those of distributions."""
    from ..shared.containerd import finding
    found = finding.candidates(disk, given.data_roots, given.containerd_root)
    if found:                           # most hosts go without what comes now
        from . import presence
        found = [item for item in found if presence.is_here(item.path)]
    return api.Found(tuple(found), tuple(finding.missing(given.data_roots, found, 'Kubernetes')), tuple(finding.nothing(disk, 'Kubernetes on containerd')))


def owns(disk: Any, path: bytes) -> bool:
    """Whether PATH is a containerd root in which the CRI plugin has something."""
    from . import presence
    try:
        return presence.is_here(disk.resolve(path))
    except OSError:
        return False


def open_root(disk: Any, candidate: Any) -> api.Root:
    """The containerd root of a candidate that find() gave. Raises OSError."""
    from . import inventory
    return inventory.KubernetesRoot(disk, candidate)


def definition(read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of container.json, sandbox.json and config.json, which READ(name) gives."""
    from . import definition as cri
    return cri.of_records(read)
