"""containerd's snapshotters: where each keeps the content of a snapshot, and in which encoding.

One entry of TABLE a snapshotter. There is no other list of them: what is read, what is unsupported and which name is a snapshotter's
comes from here. (containerd: plugins/snapshots/*; stargz-snapshotter, nydus and others keep overlayfs' folders.)
"""
from typing import Any, Dict, NamedTuple, Optional

from ....formats.values import NOTHING
from ....records import model

META = b'io.containerd.metadata.v1.bolt'        # the folder of the database that names snapshots, images and containers
FOLDER = b'io.containerd.snapshotter.v1.'       # and the name: a snapshotter's folder below containerd's root


class Kind(NamedTuple):
    """What is known of one snapshotter. `encoding` None: plain file reading cannot reach its snapshots."""
    encoding: Optional[str] = None
    content: str = 'snapshots/%d/fs'    # below its folder, for the number of a snapshot
    content_of: Dict[int, str] = NOTHING     # the same by kind of snapshot (VIEW, ACTIVE, COMMITTED), where that matters
    next_step: str = ''                 # what can read the snapshot %s of an unsupported one
    lazy: bool = False                  # an empty folder is content that was never fetched


VIEW, ACTIVE, COMMITTED = 1, 2, 3       # containerd: core/snapshots/snapshotter.go

TABLE: Any = {
    'overlayfs': Kind(model.OVERLAY),
    'stargz': Kind(model.OVERLAY, lazy=True),
    'fuse-overlayfs': Kind(model.FUSE_OVERLAYFS),
    'native': Kind(model.PLAIN, 'snapshots/%d'),
    'btrfs': Kind(model.PLAIN, 'snapshots/%d', {ACTIVE: 'active/%d', VIEW: 'view/%d'}),
    'zfs': Kind(next_step='import the pool read-only, find the dataset that ends with /%s (zfs list -o name), mount it with '
                          'mount -t zfs -o ro'),
    'devmapper': Kind(next_step='activate the thin device of the pool whose name ends with -snap-%s read-only and mount it'),
    'blockfile': Kind(next_step='snapshots/%s is a file system image: mount it with -o ro,loop'),
    'erofs': Kind(next_step='snapshots/%s holds EROFS blobs: mount them with -t erofs -o ro,loop; the writable layer is in fs/ or '
                            'in rwlayer.img'),
}
UNKNOWN = Kind(next_step='read snapshot %s with the software that wrote it')


def kind(name: str) -> Kind:
    """The Kind of the snapshotter NAME; UNKNOWN for one that is not in the table."""
    return TABLE.get(name, UNKNOWN)
