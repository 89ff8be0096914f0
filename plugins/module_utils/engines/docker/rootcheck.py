"""What is wrong with a data root as a whole, whoever it belongs to."""
import os
from typing import TYPE_CHECKING, Iterator, List, NamedTuple, Optional, Sequence

from ...formats import wording
from ...records import model
from ...records.codes import problem
from . import orphans
from .stores import Stores

if TYPE_CHECKING:
    from ...disk.safeio import Dir
    from .graphdriver import Graphdriver

LISTED = 5                              # names in one sentence


class Birth(NamedTuple):
    """Of a container as recorded, '' where unknown."""
    driver: str
    created: str


def findings(path: bytes, stores: Stores, births: Sequence[Birth], configured: Optional[str]) -> List[model.Problem]:
    """What is wrong with the data root PATH. BIRTHS: of all its containers; CONFIGURED: the storage driver that a configuration names."""
    found = []                          # type: List[model.Problem]
    for dummy, graph in sorted(stores.graphdrivers.items()):
        found.extend(_graphdriver(path, graph))
    for store in stores.containerd:
        from ..shared.containerd import databases  # only where there is one
        found.extend(databases.findings(store))
    found.extend(_swarm(path, stores.dir))
    found.extend(_hidden(path, births, configured))
    return found


def _some(names: List[str]) -> str:
    shown = ', '.join(names[:LISTED])
    return shown + (' and %d more' % (len(names) - LISTED) if len(names) > LISTED else '')


def _graphdriver(path: bytes, graph: 'Graphdriver') -> Iterator[model.Problem]:
    where = 'image/%s of %s' % (graph.name, wording.text(path))
    damage = graph.images.references()[1]
    if damage:
        yield problem('REFERENCES_DAMAGED', where, 'repositories.json in %s: %s.' % (where, damage),
                      'Images are listed by their IDs; containers still have the names of their images.')
    damaged, removing = [], []
    for chain_id, record in sorted(graph.layerdb.layers().items()):
        if record.damage == 'removal was interrupted':
            removing.append(chain_id[7:19])
        elif record.damage:
            damaged.append('%s (%s)' % (chain_id[7:19], record.damage))
    if damaged:
        yield problem('LAYER_METADATA_DAMAGED', where, 'layerdb in %s has %s: %s.' % (
            where, wording.number(len(damaged), 'damaged layer'), _some(damaged)), 'Containers that need them are named separately.')
    if removing:
        yield problem('LAYER_REMOVING', where, 'The removal of %s in %s was interrupted: %s.' % (
            wording.number(len(removing), 'layer'), where, _some(removing)), 'dockerd removes the rest of them the next time that it is stopped.')
    cached = orphans.build_cache(graph)
    if cached:
        yield problem('BUILD_CACHE', where, 'BuildKit\'s cache in %s has %s of %s that no image uses and no container wrote.' % (
            wording.text(path), wording.number(len(cached), 'layer'), graph.name), 'There is nothing to rescue in them; docker builder prune removes them.')


def _swarm(path: bytes, root: 'Dir') -> Iterator[model.Problem]:
    """Yield what has to be known of a swarm node: its state is in no bundle, and a start of dockerd may delete it."""
    try:
        folder = root.descend(b'swarm')
        used = bool(folder.names())     # every data root has the folder
        folder.close()
    except OSError:
        return
    if not used:
        return
    if _is_manager(root):
        yield problem('SWARM_MANAGER', wording.text(path), 'The host was a manager of a swarm. Services, networks, configs and secrets of the swarm are '
                      'on its disk, and in no bundle.', 'Write them with docker_swarm_export, or lifeboat swarm DEST.')
    try:
        folder = root.descend(b'swarm/certificates')
        try:
            folder.stat(b'swarm-node.crt')
        finally:
            folder.close()
        return
    except FileNotFoundError:
        where = wording.text(os.path.join(path, b'swarm'))
    except OSError:
        return                          # it may be there
    yield problem('SWARM_REMOVED_AT_NEXT_START', where, '%s/certificates/swarm-node.crt is missing: the next start of dockerd '
                  'deletes everything in %s, the raft log with services and secrets too.' % (where, where),
                  'Copy the folder before dockerd is started on this disk.')


def _is_manager(root: 'Dir') -> bool:
    """Whether the root has something of the state of a swarm."""
    try:
        folder = root.descend(b'swarm/raft')
        try:
            return bool(folder.names())
        finally:
            folder.close()
    except OSError:
        return False


def _hidden(path: bytes, births: Sequence[Birth], configured: Optional[str]) -> Iterator[model.Problem]:
    """Containers of a driver that the daemon does not use: `docker ps` is silent about them."""
    by_driver, newest = {}, {}
    for birth in births:
        if birth.driver:
            by_driver[birth.driver] = by_driver.get(birth.driver, 0) + 1
            newest[birth.driver] = max(newest.get(birth.driver, ''), birth.created)
    if len(by_driver) < 2:
        return
    # the driver that the daemon used last: the configured one, else that of the newest container
    active = configured if configured in by_driver else max(newest, key=lambda name: newest[name])
    for driver, count in sorted(by_driver.items()):
        if driver != active:
            yield problem('HIDDEN_STORE', driver, '%s has %s of %s, while the daemon uses %s: docker ps does not '
                          'list them. They are hidden, not lost.' % (wording.text(path), wording.number(count, 'container'), driver, active),
                          'They are read here like all others.')
