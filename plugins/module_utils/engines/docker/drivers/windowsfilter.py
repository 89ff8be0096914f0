"""windowsfilter: layers of Windows containers; only Windows can open them."""
from typing import TYPE_CHECKING

from .common import ids_in, no_lowers, no_path, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = None
FOLDER = TREE = b'windowsfilter'

layer = writable = path_in(FOLDER)
work = merged = no_path
ids = ids_in(FOLDER)
lowers = no_lowers


def next_step(root: 'Dir', ident: bytes) -> str:
    return 'attach the disk to a Windows host with containers and read the layer there'
