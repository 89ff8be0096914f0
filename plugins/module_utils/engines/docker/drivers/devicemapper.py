"""devicemapper (Docker up to 24): layers are thin devices of a pool; only a kernel can open them.

Each device has the whole file system as of its layer, in its folder ``rootfs``. It is mounted at ``devicemapper/mnt/<id>`` while the
layer is in use. Where disk_attach has mounted them all, they are read like those of vfs. What a dockerd that still runs has mounted is not
enough: it is only the top of what runs.

Sources: moby v24: graphdriver/devmapper/{deviceset,driver}.go.
"""
import os
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

from ....disk import metadata
from ....formats import wording
from ....formats.values import as_int
from ....records import model
from ... import api
from .common import folder_names, ids_in, no_lowers, no_path, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = model.PLAIN
FOLDER = b'devicemapper'
TREE = b'devicemapper/metadata'
MOUNTS = b'devicemapper/mnt'
LOOP = b'devicemapper/devicemapper'     # the pool's files, where it is not a volume of LVM
CONTENT = b'rootfs'                     # in each device
MAX_NUMBER = 1 << 24                    # of a device: 24 bits in the pool
MAX_SIZE = 1 << 50

layer = writable = path_in(MOUNTS, b'/' + CONTENT)
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers


def sealed(root: 'Dir', ident: bytes) -> bool:
    """Whether layer IDENT is one of the pool, and is not mounted."""
    try:
        root.descend(os.path.join(MOUNTS, ident, CONTENT)).close()
        return False
    except OSError:
        return True


def opened(root: 'Dir') -> bool:
    """Whether the layers were mounted, all that can be."""
    return api.THIN_MARK in folder_names(root, MOUNTS)


def pool(root: 'Dir') -> Optional[api.ThinPool]:
    """What has to be opened for the layers of the open data root ROOT to be seen; None without layers."""
    devices = tuple(_devices(root))
    if not devices:
        return None
    loop = folder_names(root, LOOP)
    here = b'data' in loop and b'metadata' in loop
    top = (root.links or {}).get(FOLDER) or os.path.join(root.path(), FOLDER)    # people move it to another disk
    folder = os.path.join(top, os.path.basename(LOOP))
    return api.ThinPool(os.path.join(top, os.path.basename(MOUNTS)), os.path.join(folder, b'data') if here else b'',
                        os.path.join(folder, b'metadata') if here else b'', devices)


def _devices(root: 'Dir') -> Iterator[api.ThinDevice]:
    for ident in ids(root):
        number, size = _recorded(root, ident)
        if number is not None and size is not None:
            yield api.ThinDevice(ident, number, size)


def _recorded(root: 'Dir', ident: bytes) -> Tuple[Optional[int], Optional[int]]:
    """(number in the pool, bytes) of a layer; None where the record is lost or of no sense."""
    try:
        record = metadata.read_json(root.descend(TREE), ident).value or {}
    except OSError:
        record = {}
    number, size = as_int(record.get('device_id')), as_int(record.get('size'))
    return (number if number is not None and 0 <= number < MAX_NUMBER else None, size if size is not None and 0 < size < MAX_SIZE else None)


def next_step(root: 'Dir', ident: bytes) -> str:
    """How to reach one thin device: its number and size from ``metadata/<id>``, the pool from loop files or an LV."""
    number, size = _recorded(root, ident)
    loop = folder_names(root, LOOP)
    unaided = 'Attach the disk with disk_attach and attach_layers: true, or: lifeboat --disk FILE --attach-layers rescue DEST. By hand: '
    if b'data' in loop and b'metadata' in loop:
        by_hand = 'attach copies of devicemapper/devicemapper/{data,metadata} with losetup and create a thin-pool over them'
    else:
        by_hand = 'activate the thin pool (often the LV docker-thinpool) of a copy of the disk'
    if number is None or size is None:
        return '%s%s; the device number of %s is not recorded, look for the device whose file "id" names it' \
            % (unaided, by_hand, ident.decode('ascii', 'replace'))
    return ('%s%s; then: dmsetup create lifeboat --table "0 %d thin /dev/mapper/POOL %d" and mount it with '
            '-o ro (xfs: ro,nouuid): the files are in its rootfs/ (device %d, %s)'
            % (unaided, by_hand, size // 512, number, number, wording.number(size, 'byte')))
