"""Podman and Buildah, as engines.api wants it."""
from typing import TYPE_CHECKING, Any, Callable

from .. import api

if TYPE_CHECKING:
    from ...records.definition import Definition

NAME = 'podman'
PLACES = (b'/var/lib/containers', b'/var/lib/containers/storage')


def find(disk: Any, given: api.Given) -> api.Found:
    """The graph roots of root and of every user; those in which only Kubernetes' containers are belong to CRI-O."""
    from ..shared.storage import finding, kubernetes
    finder = finding.Finder(disk)
    found = [item for item in finder.candidates(given.data_roots) if not kubernetes.only(item.path)]
    return api.Found(tuple(found), tuple(finder.problems) + tuple(finder.missing(given.data_roots, found)), tuple(finder.nothing('Podman')))


def owns(disk: Any, path: bytes) -> bool:
    """Whether PATH is a graph root with something of Podman's in it."""
    from ..shared.storage import finding, kubernetes
    try:
        return finding.is_store(disk.listdir(path)) and not kubernetes.only(disk.resolve(path))
    except OSError:
        return False


def open_root(disk: Any, candidate: Any) -> api.Root:
    """The graph root of a candidate that find() gave. Raises OSError."""
    from . import inventory
    return inventory.PodmanRoot(disk, candidate)


def definition(read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of container.json and config.json, which READ(name) gives."""
    from . import definition as podman
    return podman.of_records(read)
