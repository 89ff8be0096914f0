"""zfs: every layer is a dataset with a legacy mountpoint; nothing is visible until it is mounted (moby:
graphdriver/zfs)."""
from typing import TYPE_CHECKING

from .common import ids_in, no_lowers, no_path, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = None
FOLDER = b'zfs'
TREE = b'zfs/graph'

layer = writable = path_in(TREE)
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers


def next_step(root: 'Dir', ident: bytes) -> str:
    name = ident.decode('ascii', 'replace')
    return ('import the pool read-only (zpool import -o readonly=on POOL), find the dataset with: zfs list -o name -H | '
            'grep %s; mount it with: mount -t zfs -o ro DATASET DIR; and archive DIR' % name)
