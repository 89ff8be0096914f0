"""What is in a folder that may be a data root: names are counted, no record is opened. Content decides its rank."""
import errno
import os
from typing import TYPE_CHECKING, NamedTuple, Sequence, Set, Tuple

from ....formats import wording
from ....formats.patterns import Lazy
from ....formats.wording import show
from ...shared.containerd.snapshotters import FOLDER as SNAPSHOTTER
from .. import driver_table

if TYPE_CHECKING:
    from .scan import Scan

NO_LAYER = (b'l', b'lost+found', b'backingFsBlockDev')
SIGNS = (b'containers', b'image', b'volumes', b'network', b'buildkit', b'graph', b'engine-id', b'containerd')
ROOM = (b'image', b'volumes', b'network')  # of these a data root with containers has one, or a driver's folder
USERNS = Lazy(br'([0-9]{1,10})\.([0-9]{1,10})\Z')
_HEX64 = Lazy(br'[0-9a-f]{64}\Z')
MAX_FOLDERS = 50                        # userns folders, drivers, snapshotters of one root


class Content(NamedTuple):
    names: frozenset
    drivers: Tuple[str, ...]
    filled: Tuple[str, ...]             # stores that hold layers
    hollow: Tuple[str, ...]             # drivers with layers in layerdb but none in their tree
    containers: Tuple[bytes, ...]
    volumes: int
    layers: int
    snapshotters: Tuple[str, ...]
    remapped: Tuple[bytes, ...]         # names of userns-remap folders

    @property
    def is_empty(self) -> bool:
        return not (self.containers or self.volumes or self.layers or self.hollow)

    @property
    def score(self) -> int:
        return 100 * len(self.containers) + 10 * self.volumes + self.layers


def content_of(scan: 'Scan', path: bytes) -> Content:
    """Content of a data root (as the dead host saw it, resolved). OSError if it may not be read."""
    host = scan.host
    names = frozenset(host.listdir(path))

    def inside(name: bytes) -> Sequence[bytes]:
        """Names in a folder of the root; people do put a link to another disk there."""
        if name.split(b'/')[0] not in names:
            return ()
        try:
            return host.listdir(os.path.join(path, name))
        except PermissionError:
            raise
        except OSError as exc:
            if exc.errno == errno.EIO:
                scan.problem('READ_ERROR', os.path.join(path, name), '%s cannot be read: %s.'
                             % (show(os.path.join(path, name)), exc.strerror),
                             'Copy the disk first (ddrescue) and work on the copy.')
            return ()

    recorded = {}
    for driver in inside(b'image')[:MAX_FOLDERS]:
        database = b'image/' + driver + b'/layerdb/'
        recorded[wording.text(driver)] = len(inside(database + b'sha256')) + len(inside(database + b'mounts'))
    counts = {}
    for folder in sorted(names):
        driver = driver_table.at(folder)
        if driver is not None:
            counts[folder.decode('ascii')] = len([name for name in inside(driver.TREE) if name not in NO_LAYER and name[:1] != b'.'])
    snapshotters = dict((wording.text(name), 0) for name in inside(b'rootfs')[:MAX_FOLDERS])
    for name in inside(b'containerd/daemon')[:MAX_FOLDERS]:
        if name.startswith(SNAPSHOTTER):
            number = len(inside(b'containerd/daemon/' + name + b'/snapshots'))
            if number:
                snapshotters[wording.text(name[len(SNAPSHOTTER):])] = number
    hollow = tuple(name for name in sorted(recorded) if recorded[name] and not counts.get(name)
                   and driver_table.driver(name) is not None)
    stores = dict(counts)
    for driver in recorded:
        stores.setdefault(driver, 0)
    for name in snapshotters:
        stores[name] = stores.get(name, 0) + snapshotters[name]
    filled = [name for name in counts if counts[name]] + list(snapshotters)
    return Content(names, tuple(sorted(stores, key=lambda name: (-stores[name], name))), tuple(sorted(set(filled))),
                   hollow, tuple(name for name in inside(b'containers') if _HEX64.match(name)),
                   len([name for name in inside(b'volumes') if name not in (b'metadata.db', b'backingFsBlockDev')]),
                   sum(counts.values()) + sum(snapshotters.values()), tuple(sorted(snapshotters)),
                   tuple(name for name in sorted(names) if USERNS.match(name)))


def is_root(names: Set[bytes]) -> bool:
    """True if NAMES (bytes) in a folder are those of a data root that has containers."""
    return b'containers' in names and any(name in ROOM or driver_table.at(name) is not None for name in names)


# what dockerd makes in a data root, and nobody else: its record of networks, its databases, its links of layers
_PROOFS = (b'engine-id', b'network/files', b'volumes/metadata.db', b'overlay2/l', b'swarm/docker-state.json', b'containerd/daemon',
           b'linkgraph.db', b'buildkit/cache.db', b'buildkit/metadata_v2.db')
_OF_IMAGES = frozenset((b'layerdb', b'imagedb', b'distribution', b'repositories.json'))


def is_made_by_dockerd(scan: 'Scan', path: bytes) -> bool:
    """Whether what is in a folder with the names of a data root proves that it is one: people have folders called containers, too."""
    def inside(name: bytes) -> Sequence[bytes]:
        try:
            return scan.host.listdir(os.path.join(path, name))
        except OSError:
            return ()

    if any(_HEX64.match(name) for folder in (b'containers', b'graph') for name in inside(folder)):
        return True
    if any(scan.host.exists(os.path.join(path, name)) for name in _PROOFS):
        return True
    return any(_OF_IMAGES.intersection(inside(b'image/' + driver)) for driver in inside(b'image')[:MAX_FOLDERS])


def filled(scan: 'Scan', path: bytes) -> bool:
    """Whether there is something in a folder."""
    try:
        return bool(set(scan.host.listdir(path)) - set(NO_LAYER))
    except OSError:
        return False
