"""CRI-O, as engines.api wants it."""
from typing import TYPE_CHECKING, Any, Callable

from .. import api

if TYPE_CHECKING:
    from ...records.definition import Definition

NAME = 'crio'
PLACES = (b'/var/lib/containers', b'/var/lib/containers/storage', b'/var/lib/crio')


def find(disk: Any, given: api.Given) -> api.Found:
    """The graph roots that have containers of CRI-O, shared with Podman or not."""
    from ..shared.storage import finding, kubernetes
    finder = finding.Finder(disk)
    found = [item for item in finder.candidates(given.data_roots, False) if kubernetes.any_of(item.path)]
    return api.Found(tuple(found), tuple(finder.missing(given.data_roots, found)), tuple(finder.nothing('CRI-O')))


def owns(disk: Any, path: bytes) -> bool:
    """Whether PATH is a graph root with nothing but containers of CRI-O."""
    from ..shared.storage import finding, kubernetes
    try:
        return finding.is_store(disk.listdir(path)) and kubernetes.only(disk.resolve(path))
    except OSError:
        return False


def open_root(disk: Any, candidate: Any) -> api.Root:
    """The graph root of a candidate that find() gave. Raises OSError."""
    from . import inventory
    return inventory.CrioRoot(disk, candidate)


def definition(read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of config.json, which READ(name) gives."""
    from . import containers
    return containers.of_records(read)
