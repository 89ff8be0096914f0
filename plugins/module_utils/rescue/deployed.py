"""The bundle `deployment` of a rescue: the original files of the containers that it rescues."""
import socket
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

from ..archive import write as archive
from ..bundles import plan, reading, writing as bundle
from ..formats import wording
from ..records import model

if TYPE_CHECKING:
    from ..deployment.gather import Deployment
    from ..engines.registry import Host
    from .run import Request


def look(host: 'Host', request: 'Request', jobs: List[bundle.Job], holds_dest: Callable[[bytes], bool]) -> 'Optional[Deployment]':
    """The original files of the containers that JOBS rescue; of the whole host, where all of them are. None where nobody asks for them.
    HOLDS_DEST(folder): dest lies in it."""
    chosen = [job for job in jobs if job.container is not None and not job.only_paths]
    if not request.deployment or 'config' not in request.include or (not chosen and is_narrow(request)):
        return None
    from ..deployment import gather
    volumes = [(volume.name, volume.path) for root in host.roots for volume in root.volumes().values() if volume.path is not None]
    return gather.gather(gather.Given(
        host.root, [(job.container, job.image) for job in chosen if job.container is not None], volumes,
        [place for root in host.roots for place in root.places()], not is_narrow(request),
        lambda folder: 'dest lies in it' if holds_dest(folder) else '', request.deployment_credentials))


def is_narrow(request: 'Request') -> bool:
    """True for a rescue of a part of a host."""
    return bool(request.containers or request.paths or request.volumes or request.images)


def jobs(host: 'Host', request: 'Request', found: 'Deployment') -> Iterator[bundle.Job]:
    """The bundle of a Deployment; none where nothing of it is on the disk. Where the disk does not give it the bundle says so, and is not whole."""
    if found.is_empty and found.status == model.COMPLETE:
        return
    items = tuple(plan.Item('context:%s' % tree.stem.rpartition('/')[2], 'context', tree.stem, tree.entries, archive.TREE,
                            {'source': wording.text(tree.place.path)}) for tree in found.collection.trees)
    source = {'hostname': request.host_name or socket.gethostname(), 'host_root': wording.text(host.root.path),
              'data_root': wording.text(host.roots[0].path if host.roots else host.root.path), 'recorded_path': None, 'store': None, 'driver': None,
              'owner_ids': request.owner_ids, 'daemon': 'unknown', 'idmap': None}
    yield bundle.Job(reading.DEPLOYMENT, reading.DEPLOYMENT, {'name': None}, source, model.COMPLETE, items, found.problems, deployment=found)


def told(result: Dict[str, Any], found: 'Optional[Deployment]') -> Dict[str, Any]:
    """RESULT with what is found of the deployments; `deployment` is null where nobody asked for it."""
    if found is None:
        return dict(result, deployment=None)
    from ..deployment import gather
    return dict(result, deployment=gather.summary(found))
