"""vfs: ``vfs/dir/<id>`` is a full copy of the file system as of that layer."""
from ....records import model
from .common import ids_in, no_lowers, no_path, path_in

ENCODING = model.PLAIN
FOLDER = b'vfs'
TREE = b'vfs/dir'

layer = writable = path_in(TREE)
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers
