"""btrfs: ``btrfs/subvolumes/<id>`` is a subvolume with the full file system; seen as an ordinary folder."""
from ....records import model
from .common import ids_in, no_lowers, no_path, path_in

ENCODING = model.PLAIN
FOLDER = b'btrfs'
TREE = b'btrfs/subvolumes'

layer = writable = path_in(TREE)
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers
