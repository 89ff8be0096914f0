"""Docker, as engines.api wants it."""
from typing import TYPE_CHECKING, Any, Callable

from .. import api

if TYPE_CHECKING:
    from ...records.definition import Definition

NAME = 'docker'
PLACES = (b'/var/lib/docker', b'/var/lib/containerd')


def find(disk: Any, given: api.Given) -> api.Found:
    """The data roots of Docker on a host; see discovery.find_roots."""
    from . import discovery
    found = discovery.find_roots(disk, list(given.data_roots), given.containerd_root)
    return api.Found(found.roots, tuple(item for item in found.problems if item not in found.nothing), found.nothing)


def owns(disk: Any, path: bytes) -> bool:
    """Whether PATH has the folders of a data root of Docker."""
    from .finding import content
    try:
        return content.is_root(disk.listdir(path))
    except OSError:
        return False


def open_root(disk: Any, candidate: Any) -> api.Root:
    """The data root of a candidate that find() gave. Raises OSError."""
    from . import inventory
    return inventory.DataRoot(disk, candidate)


def definition(read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of config.v2.json and hostconfig.json, which READ(name) gives."""
    from . import definition as docker
    return docker.of_records(read)
