"""fuse-overlayfs: overlay2's folders; its layers may use any of three ways to mark a deletion (moby:
graphdriver/fuse-overlayfs)."""
from typing import TYPE_CHECKING, List

from ....records import model
from . import overlay2
from .common import Lowers, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = model.FUSE_OVERLAYFS
FOLDER = TREE = b'fuse-overlayfs'

layer = writable = path_in(FOLDER, b'/diff')
work = path_in(FOLDER, b'/work')
merged = path_in(FOLDER, b'/merged')


def ids(root: 'Dir') -> List[bytes]:
    return overlay2.ids(root, FOLDER)


def lowers(root: 'Dir', ident: bytes) -> Lowers:
    return overlay2.lowers(root, ident, FOLDER)
