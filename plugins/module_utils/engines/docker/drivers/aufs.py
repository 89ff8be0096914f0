"""aufs (Docker up to 23): ``aufs/diff/<id>``, and ``aufs/layers/<id>`` with one ancestor a line, nearest first."""
from typing import TYPE_CHECKING

from ....records import model
from .common import CACHE_ID, Lowers, ids_in, no_path, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = model.AUFS
FOLDER = b'aufs'
TREE = b'aufs/diff'
REMOVING = b'-removing'                 # suffix of diff/ folders while a layer is deleted

layer = writable = path_in(TREE)
work = no_path
merged = path_in(b'aufs/mnt')
ids = ids_in(TREE)


def lowers(root: 'Dir', ident: bytes) -> Lowers:
    try:
        raw = root.descend(b'aufs/layers').read(ident, 1 << 20)
    except OSError:
        return Lowers(None, 'its file in aufs/layers is missing')
    names = tuple(line.strip() for line in raw.replace(b'\0', b'').split(b'\n') if line.strip())
    if not all(CACHE_ID.match(name) for name in names):
        return Lowers(None, 'its file in aufs/layers is damaged')
    return Lowers(names)
