"""Whether containerd's databases are whole, and what becomes of the snapshots if they are not."""
import os
from typing import Iterator

from ....formats import wording
from ....records import model
from ....records.codes import problem
from .snapshotters import META
from .store import ContainerdStore


def findings(store: ContainerdStore) -> Iterator[model.Problem]:
    """Yield what is wrong with the databases of a containerd root. Each engine on it says the same."""
    store.meta()
    if store.damage and store.used():
        yield problem('METADATA_DB_DAMAGED', wording.text(store.path), 'The database of containerd in %s: %s.' % (
            wording.text(store.path), store.damage), 'Snapshots are found by their names; images may be missing.')
        if any(shots.numbers() for shots in store.snapshotters().values()):
            yield from _missing(store, META, b'meta.db', 'its next garbage collection, after any removal of an image, deletes every '
                                'snapshot and blob: the writable layers of all containers too')
    for name, shots in sorted(store.snapshotters().items()):
        shots.snapshots()
        if shots.damage and (shots.numbers() or 'missing' not in shots.damage):
            yield problem('METADATA_DB_DAMAGED', wording.text(store.path), 'The database of snapshotter %s in %s: %s.' % (
                name, wording.text(store.path), shots.damage),
                'Snapshots that it does not name are listed as orphans, by the number of their folder.')
            yield from _missing(store, shots.folder_name, b'metadata.db', 'numbers new snapshots from 1 again, in the folders of the '
                                'old ones, and a prune deletes every blob')


def _missing(store: ContainerdStore, folder: bytes, name: bytes, then: str) -> Iterator[model.Problem]:
    """Yield a problem if a database of containerd is not there: bbolt makes a new, empty one of no file and of an empty one."""
    path = os.path.join(store.path, folder, name)
    try:
        holder = store.root.descend(folder)
        try:
            if holder.stat(name).st_size:
                return
        finally:
            holder.close()
    except FileNotFoundError:
        pass
    except OSError:
        return                          # it may be there
    yield problem('METADATA_DB_MISSING', wording.text(store.path), '%s is missing or empty. containerd starts without it, and %s.'
                  % (wording.text(path), then), 'Start neither containerd nor dockerd on this disk; rescue first.')
