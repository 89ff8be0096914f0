"""What an engine offers to the floors above, which know no engine's name, files or JSON keys.

An engine is a folder beside this file with a module ``engine`` that has

- ``NAME``: the word for it in the option `engines` (text);
- ``PLACES``: its usual folders as the dead host saw them (bytes): a bind of one of them is a window on the engine, not data;
- ``find(disk, given) -> Found``: where such an engine may have lived on a host (disk.host.HostRoot), asked for by Given;
- ``owns(disk, path) -> bool``: whether a folder (bytes, as the dead host saw it) is surely a store of this engine. It is asked only
  where several engines could be meant by a folder that the user gave;
- ``open_root(disk, candidate) -> Root``: one of its candidates, opened for reading. Raises OSError;
- ``definition(read) -> records.definition.Definition``: of its own files, which READ(name) gives. Only for an engine of which there are
  bundles without a neutral definition;

and one line in engines.registry. It is imported on every call, so it imports the rest of its folder where it is needed.
"""
import errno
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..formats.values import NOTHING
from ..records import model

if TYPE_CHECKING:
    from ..records.cluster import Cluster
    from ..records.definition import NetworkSettings

RUNNING = 'running'
STOPPED = 'stopped'
UNKNOWN = 'unknown'


class Liveness(NamedTuple):
    """Whether an engine still works on a data root."""
    state: str                          # RUNNING | STOPPED | UNKNOWN: of the engine, not of its containers
    pid: Optional[int]                  # of the engine's daemon
    evidence: Tuple[str, ...]           # sentences for people, strongest first


NOT_KNOWN = Liveness(UNKNOWN, None, ())


class Given(NamedTuple):
    """What the user said about where to look. Paths are bytes as they were given."""
    data_roots: Tuple[bytes, ...] = ()
    containerd_root: Optional[bytes] = None


class Found(NamedTuple):
    """What an engine's find() says."""
    candidates: Tuple[Any, ...]         # best first; each has a `path` (bytes, on the managed node)
    problems: Tuple[model.Problem, ...] = ()
    nothing: Tuple[model.Problem, ...] = ()     # to be told only if no engine has a candidate


THIN_MARK = b'.attached-by-lifeboat'    # a file in ThinPool.folder: every device was tried there, not only those that a live engine uses


class ThinDevice(NamedTuple):
    """A layer that is a volume of a thin pool of device-mapper: `number` in the pool, `size` in bytes."""
    name: bytes                         # of the folder where it is looked for
    number: int
    size: int


class ThinPool(NamedTuple):
    """Layers that only a kernel can open: thin devices, with an ordinary file system in each. All paths are on the managed node, and what
    is there comes from the dead host."""
    folder: bytes                       # where each device is looked for, mounted at its name
    data: bytes                         # the files of the pool, b'' where it is a volume of LVM
    metadata: bytes
    devices: Tuple[ThinDevice, ...]


class Neighbours(NamedTuple):
    """What a container's definition needs to know of others."""
    networks: Dict[str, 'NetworkSettings'] = NOTHING   # of the user-defined networks that the container is in, by name
    peers: Dict[str, str] = NOTHING          # id -> name, of containers whose network, IPC or PID namespace it shares
    volumes: Dict[str, str] = NOTHING        # recorded name of an anonymous volume -> name to give it, the same for all who mount it


class Root(object):
    """One engine's data root, open for reading. An engine's class has this one as its base and replaces what it has itself.

    Nothing here raises for damage: what is missing is in the problems and the status of the records.
    """
    engine = ''                         # NAME of the engine; the registry sets it
    user = None                         # type: Optional[str]  # whose it is, for a rootless engine
    path = b''                          # the data root on the managed node
    recorded_path = b''                 # the same as the dead engine knew it
    idmap = None                        # type: Any  # layers.idmap.IdMap of a root with shifted owners
    liveness = NOT_KNOWN

    def __init__(self) -> None:
        self.problems = []              # type: List[model.Problem]

    def places(self) -> List[bytes]:
        """Folders on the managed node that hold what is rescued and must never be written; the data root first."""
        return [self.path]

    def container_ids(self) -> List[str]:
        """The full ids of all containers, sorted."""
        raise NotImplementedError

    def names(self) -> Dict[str, Optional[str]]:
        """{id: name, None where it is lost} of all containers, without reading more than that takes."""
        raise NotImplementedError

    def container(self, ident: str) -> model.Container:
        """The container with a full id of container_ids()."""
        raise NotImplementedError

    def image_of(self, container: model.Container) -> Optional[model.Image]:
        """The image that a container was made from, None if no store knows it."""

    def neighbours(self, container: model.Container) -> Neighbours:
        """The Neighbours of a container."""
        return Neighbours()

    def alive(self, container: model.Container) -> Optional[int]:
        """The process id of a container that still runs on this machine, None if it does not or nothing can be said."""

    def cgroup_ids(self, container: model.Container) -> Tuple[str, ...]:
        """Words by which control groups (v1 and v2) of a container that runs can be told: one of them is in the path of each. All engines
        that there are put the whole id into it."""
        return (container.id,)

    def changes(self, container: model.Container) -> Iterator[Any]:
        """Yield layers.changes.Change and disk.tree.Failure: what the engine itself would print as changed. Raises OSError."""
        from ..layers.changes import changes
        if container.stack is None:
            raise OSError(errno.ENOENT, 'its layers are not known')
        return changes(container.stack)

    def export_ids(self, container: model.Container) -> Any:
        """The layers.idmap.IdMap by which the engine's own export shows owners, None where it shows them as they lie on the disk."""
        return self.idmap

    def volumes(self) -> Dict[str, model.Volume]:
        """{name: volume}, without `used_by`."""
        return {}

    def used_by(self) -> Dict[str, List[str]]:
        """{name of a volume: [ids of the containers that mount it]}."""
        found: Dict[str, List[str]] = {}
        for ident in self.container_ids():
            for name in self.volume_names(ident):
                if name and ident not in found.setdefault(name, []):
                    found[name].append(ident)
        return found

    def volume_names(self, ident: str) -> List[Optional[str]]:
        """Names of the volumes that a container mounts. An engine whose records name them need not read the whole container for it."""
        return [mount.name for mount in self.container(ident).mounts if mount.type == 'volume']

    def volumes_with_users(self) -> Dict[str, model.Volume]:
        """The same as volumes() with `used_by`, and volumes that containers name but that are not there."""
        users = self.used_by()
        found = {name: volume._replace(used_by=tuple(users.get(name, ()))) for name, volume in self.volumes().items()}
        lost = {name: self.lost_volume(name, ids) for name, ids in users.items() if name not in found}
        found.update((name, volume) for name, volume in lost.items() if volume is not None)
        return found

    def lost_volume(self, name: str, users: List[str]) -> Optional[model.Volume]:
        """The record of a volume that the containers USERS (ids) name and that is not there; None where an engine has none for it."""

    def images(self) -> Iterator[model.Image]:
        """Yield every image of every store."""
        return iter(())

    def orphans(self) -> Iterator[model.Orphan]:
        """Yield writable layers that no container owns."""
        return iter(())

    def thin_pools(self) -> List[ThinPool]:
        """Pools whose devices have to be mounted before the layers in them can be read."""
        return []

    def secrets(self, container: model.Container) -> List[model.Secret]:
        """Secrets of the engine that a container was given; their values are read when somebody calls for them."""
        return []

    def secret_names(self) -> List[str]:
        """The names of all secrets that the root has, whoever was given them."""
        return []

    def pods(self) -> List[Any]:
        """The pods of the root."""
        return []

    def cluster(self, unlock_key: str = '') -> 'Optional[Cluster]':
        """The cluster that the host was a node of, as the root knows it; None for an engine or a host without one. UNLOCK_KEY: text, of a state
        that is locked. LifeboatError for a key that cannot be one; all other trouble is in the record."""

    def findings(self) -> List[model.Problem]:
        """What is wrong with the root as a whole. `problems` has what was met when parts of it were read."""
        return []

    def facts(self) -> Dict[str, Any]:
        """What the engine adds to its entry in `roots` of the facts; plain JSON types. `volume_path`: where the engine keeps the content
        of the volume `{name}`, as the dead host saw it; left out by an engine that has no such place."""
        return {'drivers': []}

    def close(self) -> None:
        """Give back what is open."""
