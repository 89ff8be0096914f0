"""devicemapper (Docker up to 24): layers are thin devices of a pool; only a kernel can open them.

Sources: moby v24: graphdriver/devmapper/{deviceset,driver}.go.
"""
from typing import TYPE_CHECKING

from ....disk import metadata
from .common import folder_names, ids_in, no_lowers, no_path, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = None
FOLDER = b'devicemapper'
TREE = b'devicemapper/metadata'

layer = writable = path_in(b'devicemapper/mnt', b'/rootfs')
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers


def next_step(root: 'Dir', ident: bytes) -> str:
    """How to reach one thin device: its number and size from ``metadata/<id>``, the pool from loop files or an LV."""
    try:
        record = metadata.read_json(root.descend(TREE), ident).value or {}
    except OSError:
        record = {}
    number, size = record.get('device_id'), record.get('size')
    loop = folder_names(root, b'devicemapper/devicemapper')
    if b'data' in loop and b'metadata' in loop:
        pool = 'attach copies of devicemapper/devicemapper/{data,metadata} with losetup -r and create a read-only ' \
               'thin-pool over them'
    else:
        pool = 'activate the thin pool (often the LV docker-thinpool) read-only'
    if not isinstance(number, int) or not isinstance(size, int):
        return '%s; the device number of %s is not recorded, look for the device whose file "id" names it' \
            % (pool, ident.decode('ascii', 'replace'))
    return ('%s; then: dmsetup create lifeboat --readonly --table "0 %d thin /dev/mapper/POOL %d" and mount it with '
            '-o ro (xfs: ro,nouuid,norecovery; ext4: ro,noload): the files are in its rootfs/ (device %d, %d bytes)'
            % (pool, size // 512, number, number, size))
