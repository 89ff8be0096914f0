"""nerdctl, and other clients of containerd that are neither Docker nor Kubernetes, as engines.api wants it."""
from typing import TYPE_CHECKING, Any, Callable

from .. import api

if TYPE_CHECKING:
    from ...records.definition import Definition

NAME = 'nerdctl'
PLACES = (b'/var/lib/containerd', b'/var/lib/nerdctl', b'/run/containerd')


def find(disk: Any, given: api.Given) -> api.Found:
    """The containerd roots of root and of users that have namespaces of others than Docker, Kubernetes and BuildKit."""
    from ..shared.containerd import finding
    found = finding.candidates(disk, given.data_roots, given.containerd_root)
    if found:                           # most hosts go without what comes now
        from . import stores
        found = [item for item in found if stores.is_here(disk, item)]
    return api.Found(tuple(found), tuple(finding.missing(given.data_roots, found, 'nerdctl')), tuple(finding.nothing(disk, 'nerdctl')))


def owns(disk: Any, path: bytes) -> bool:
    """Whether PATH is a containerd root with something of nerdctl in its database."""
    from . import stores
    try:
        return bool(stores.namespaces(disk.resolve(path)))
    except OSError:
        return False


def open_root(disk: Any, candidate: Any) -> api.Root:
    """The containerd root of a candidate that find() gave. Raises OSError."""
    from . import inventory
    return inventory.NerdctlRoot(disk, candidate)


def definition(read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of labels.json and config.json, which READ(name) gives."""
    from . import definition as nerdctl
    return nerdctl.of_records(read)
