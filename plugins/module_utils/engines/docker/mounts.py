"""What a container has mounted, and where that lies on the managed node."""
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple

from ...disk import metadata
from ...records import model
from ...records.codes import problem
from ..shared.binds import bind_path
from .volumes import ANONYMOUS_NAME

if TYPE_CHECKING:
    from ...disk.host import HostRoot


def mount_points(config: Dict[str, Any], hostconfig: Dict[str, Any], spec: Optional[Dict[str, Any]] = None) -> Tuple[Dict[str, Dict[str, Any]], str]:
    """({destination: MountPoint dict}, source of the fact). MountPoints of config.v2.json, else the OCI spec that
    containerd kept, else what hostconfig.json asks for (volumes of the image are not known then)."""
    points = metadata.get(config, 'MountPoints')
    if isinstance(points, dict) and (points or (config.get('ID') and not config.get('Volumes'))):
        return {dest: point for dest, point in points.items() if isinstance(point, dict)}, 'config.v2.json'
    found = dict(_of_old_config(config))
    if found:
        return found, 'config.json'
    if spec:
        found = dict(_of_spec(spec))
        if found:
            return found, 'containerd spec'
    return dict(_of_hostconfig(hostconfig)), 'hostconfig.json'


def _of_old_config(config: Dict[str, Any]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Volumes and VolumesRW of Docker before 1.8: destination -> path on the host."""
    writable = metadata.dict_of(config, 'VolumesRW')
    for dest, source in metadata.strings_of(config, 'Volumes').items():
        yield dest, _volume_or_bind(source, dest, writable.get(dest) is not False)


def _of_spec(spec: Dict[str, Any]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for item in metadata.list_of(spec, 'mounts'):
        source, dest = metadata.text_of(item, 'source'), metadata.text_of(item, 'destination')
        if metadata.text_of(item, 'type') != 'bind' or not source.startswith('/') or \
                dest in ('/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/dev/shm'):
            continue
        rw = 'ro' not in metadata.list_of(item, 'options')
        yield dest, _volume_or_bind(source, dest, rw)


def _volume_or_bind(source: str, dest: str, rw: bool) -> Dict[str, Any]:
    parts = source.split('/')
    if len(parts) > 3 and parts[-1] == '_data' and parts[-3] == 'volumes':
        return {'Type': 'volume', 'Name': parts[-2], 'Driver': 'local', 'Source': source, 'Destination': dest, 'RW': rw}
    return {'Type': 'bind', 'Source': source, 'Destination': dest, 'RW': rw}


def _of_hostconfig(hostconfig: Dict[str, Any]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for bind in metadata.list_of(hostconfig, 'Binds'):
        if not isinstance(bind, str):
            continue
        parts = bind.split(':')
        if len(parts) < 2:
            continue
        rw = len(parts) < 3 or 'ro' not in parts[2].split(',')
        if parts[0].startswith('/'):
            yield parts[1], {'Type': 'bind', 'Source': parts[0], 'Destination': parts[1], 'RW': rw}
        else:
            yield parts[1], {'Type': 'volume', 'Name': parts[0], 'Driver': 'local', 'Source': '', 'Destination': parts[1],
                             'RW': rw}
    for item in metadata.list_of(hostconfig, 'Mounts'):
        dest, kind = metadata.text_of(item, 'Target'), metadata.text_of(item, 'Type')
        source = metadata.text_of(item, 'Source')
        if dest and kind in ('volume', 'bind', 'tmpfs'):
            yield dest, {'Type': kind, 'Name': source if kind == 'volume' else '', 'Driver': 'local' if kind == 'volume' else
                         '', 'Source': source, 'Destination': dest, 'RW': not metadata.get(item, 'ReadOnly')}


def mounts(points: Dict[str, Dict[str, Any]], volumes: Dict[str, model.Volume], host: 'HostRoot', recorded_root: bytes, root_path: bytes,
           writable_places: Callable[[], Tuple[bytes, ...]] = tuple,
           has_image: Callable[[str], bool] = lambda ident: False) -> Tuple[Tuple[model.Mount, ...], List[model.Problem]]:
    """(tuple of model.Mount sorted by destination, problems). VOLUMES: {name: model.Volume}. WRITABLE_PLACES() gives the
    folders, as the dead host saw them, in which containers could make links. HAS_IMAGE(id): whether an image is on this disk."""
    found, problems = [], []
    for dest in sorted(points):
        point = points[dest]
        name = metadata.text_of(point, 'Name') or None
        kind = metadata.text_of(point, 'Type') or ('volume' if name else 'bind')
        source = metadata.text_of(point, 'Source') or None
        rw = metadata.get(point, 'RW')
        driver = metadata.text_of(point, 'Driver') or None
        subpath = metadata.text_of(point, 'Spec', 'ImageOptions' if kind == 'image' else 'VolumeOptions', 'Subpath') or None
        path, status, anonymous = None, model.LOST, False
        if kind == 'volume':
            name = name or _name_of(source)
            volume = volumes.get(name or '')
            if volume is not None:
                path, status, anonymous = volume.path, volume.status, volume.anonymous
                problems.extend(volume.problems)
            else:
                anonymous = bool(ANONYMOUS_NAME.match(name or ''))
                problems.append(problem('VOLUME_LOST', name or dest, 'Volume %s (mounted at %s) does not exist in this data '
                                        'root.' % (name, dest), 'Look for it in other data roots and backups.'))
        elif kind == 'bind':
            path, status, note = bind_path(source or '', host, recorded_root, root_path, writable_places)
            if note is not None:
                problems.append(note)
        elif kind == 'image':           # its data are the image's: see images
            ident = metadata.text_of(point, 'Spec', 'Source')
            name = name or ident or None
            status = model.COMPLETE if has_image(ident) else model.LOST
        found.append(model.Mount(kind, name if kind in ('volume', 'image') else None, source, path, metadata.text_of(
            point, 'Destination') or dest, rw is not False, driver, anonymous, status, metadata.text_of(point, 'Relabel') or
            metadata.text_of(point, 'Mode'), metadata.text_of(point, 'Propagation'), subpath))
    return tuple(found), problems


def _name_of(source: Optional[str]) -> Optional[str]:
    parts = (source or '').split('/')
    return parts[-2] if len(parts) > 2 and parts[-1] == '_data' else None
