"""overlay (Docker up to 23, not overlay2): an image layer is a full tree ``overlay/<id>/root`` (hard links), a
container has ``upper`` and, in ``lower-id``, the one image layer below it. Its upper began as a copy of the init
layer's.
"""
from typing import TYPE_CHECKING

from ....records import model
from .common import CACHE_ID, Lowers, ids_in, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = model.OVERLAY
FOLDER = TREE = b'overlay'
COPIED_INIT = True                      # see model.Stack.copied_init
FULL_LAYERS = True                      # one image layer holds all that is below it

writable = path_in(FOLDER, b'/upper')
work = path_in(FOLDER, b'/work')
merged = path_in(FOLDER, b'/merged')
ids = ids_in(FOLDER)


def layer(ident: bytes) -> bytes:
    return b'overlay/' + ident + (b'/upper' if ident.endswith(b'-init') else b'/root')


def lowers(root: 'Dir', ident: bytes) -> Lowers:
    try:
        raw = root.descend(FOLDER + b'/' + ident).read(b'lower-id', 4096)
    except OSError:
        return Lowers(None, 'lower-id is missing')
    name = raw.replace(b'\0', b'').strip()
    if not CACHE_ID.match(name):
        return Lowers(None, 'lower-id is damaged')
    return Lowers((name,))
