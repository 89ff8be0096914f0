# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a data root as a whole, whoever it belongs to."""
import os

from ...formats import wording
from ...records.codes import problem
from . import orphans

LISTED = 5                              # names in one sentence


def findings(root):
    """[model.Problem] of an inventory.DataRoot."""
    found = []
    for name in sorted(root.graphdrivers):
        found.extend(_graphdriver(root, root.graphdrivers[name]))
    for store in root.stores:
        found.extend(_containerd(store))
    found.extend(_swarm(root))
    found.extend(_hidden(root))
    return found


def _some(names):
    shown = ', '.join(names[:LISTED])
    return shown + (' and %d more' % (len(names) - LISTED) if len(names) > LISTED else '')


def _graphdriver(root, graph):
    where = 'image/%s of %s' % (graph.name, wording.text(root.path))
    damage = graph.images.references()[1]
    if damage:
        yield problem('REFERENCES_DAMAGED', where, 'repositories.json in %s: %s.' % (where, damage),
                      'Images are listed by their IDs; containers still tell the names that they were made from.')
    damaged, removing = [], []
    for chain_id, record in sorted(graph.layerdb.layers().items()):
        if record.damage == 'removal was interrupted':
            removing.append(chain_id[7:19])
        elif record.damage:
            damaged.append('%s (%s)' % (chain_id[7:19], record.damage))
    if damaged:
        yield problem('LAYER_METADATA_DAMAGED', where, '%d layers of layerdb in %s are damaged: %s.' % (
            len(damaged), where, _some(damaged)), 'Containers that need them are named separately.')
    if removing:
        yield problem('LAYER_REMOVING', where, 'The removal of %d layers in %s was interrupted: %s.' % (
            len(removing), where, _some(removing)), 'dockerd removes the rest of them the next time that it is stopped.')
    cached = orphans.build_cache(graph)
    if cached:
        yield problem('BUILD_CACHE', where, '%d layers of %s in %s belong to BuildKit\'s cache: no image uses them, and no '
                      'container wrote them.' % (len(cached), graph.name, wording.text(root.path)),
                      'Nothing is to be rescued of them; docker builder prune removes them.')


def _containerd(store):
    from ..shared.containerd import META  # loaded already where there is such a store
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
                'What it does not tell is listed as orphans by the number of the folder.')
            yield from _missing(store, shots.folder_name, b'metadata.db', 'numbers new snapshots from 1 again, in the folders of the '
                                'old ones, and a prune deletes every blob')


def _missing(store, folder, name, then):
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


def _swarm(root):
    """Yield a problem if a start of dockerd deletes what a swarm node has on this disk."""
    try:
        folder = root.dir.descend(b'swarm')
        used = bool(folder.names())     # every data root has the folder
        folder.close()
    except OSError:
        return
    if not used:
        return
    try:
        folder = root.dir.descend(b'swarm/certificates')
        try:
            folder.stat(b'swarm-node.crt')
        finally:
            folder.close()
        return
    except FileNotFoundError:
        where = wording.text(os.path.join(root.path, b'swarm'))
    except OSError:
        return                          # it may be there
    yield problem('SWARM_REMOVED_AT_NEXT_START', where, '%s/certificates/swarm-node.crt is missing: the next start of dockerd '
                  'deletes everything in %s, the raft log with services and secrets too.' % (where, where),
                  'Copy the folder before dockerd is started on this disk.')


def _hidden(root):
    """Containers of a driver that the daemon does not use: `docker ps` is silent about them."""
    by_driver, newest = {}, {}
    for ident in root.container_ids():
        driver, created = root.driver_and_birth(ident)
        if driver:
            by_driver.setdefault(driver, []).append(ident)
            newest[driver] = max(newest.get(driver, ''), created)
    if len(by_driver) < 2:
        return
    active = root.active_driver()
    if active not in by_driver:
        active = max(newest, key=newest.get)
    for driver, idents in sorted(by_driver.items()):
        if driver != active:
            yield problem('HIDDEN_STORE', driver, '%d containers of %s use %s, while the daemon uses %s: docker ps does not '
                          'list them. They are hidden, not lost.' % (len(idents), wording.text(root.path), driver, active),
                          'They are read here like all others.')
