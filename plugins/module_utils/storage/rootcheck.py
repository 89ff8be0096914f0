# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a data root as a whole, whoever it belongs to."""
from . import model
from .codes import problem

LISTED = 5                              # names in one sentence


def findings(root):
    """[model.Problem] of an inventory.DataRoot."""
    found = []
    for name in sorted(root.graphdrivers):
        found.extend(_graphdriver(root, root.graphdrivers[name]))
    for store in root.stores:
        found.extend(_containerd(store))
    found.extend(_hidden(root))
    return found


def _some(names):
    shown = ', '.join(names[:LISTED])
    return shown + (' and %d more' % (len(names) - LISTED) if len(names) > LISTED else '')


def _graphdriver(root, graph):
    where = 'image/%s of %s' % (graph.name, model.text(root.path))
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
            len(removing), where, _some(removing)), 'The next start of dockerd removes the rest of them.')


def _containerd(store):
    store.meta()
    if store.damage and store.used():
        yield problem('METADATA_DB_DAMAGED', model.text(store.path), 'The database of containerd in %s: %s.' % (
            model.text(store.path), store.damage), 'Snapshots are found by their names; images may be missing.')
    for name, shots in sorted(store.snapshotters().items()):
        shots.snapshots()
        if shots.damage and (shots.numbers() or 'missing' not in shots.damage):
            yield problem('METADATA_DB_DAMAGED', model.text(store.path), 'The database of snapshotter %s in %s: %s.' % (
                name, model.text(store.path), shots.damage),
                'What it does not tell is listed as orphans by the number of the folder.')


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
                          'list them. They are hidden, not lost.' % (len(idents), model.text(root.path), driver, active),
                          'They are read here like all others.')
