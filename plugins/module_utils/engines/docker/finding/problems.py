"""What is wrong with the data roots of a host: missing, out of reach, not mounted, empty, damaged; or none was found.
Each says what to do next.
"""
import errno
import os
import stat
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

from ....disk import fsinfo, safeio
from ....formats import jsonish
from ....formats.wording import number, show
from ....records import model
from .. import driver_table
from . import elsewhere, mounting
from .claims import DEFAULT_ROOT, Claim
from .containerd_roots import DEFAULT_CONTAINERD
from .content import SIGNS, SNAPSHOTTER, Content, filled, is_root
from .daemonconf import MAX_CONFIG, to_bytes
from .unmounted import is_mounted, unmounted

if TYPE_CHECKING:
    from ....disk.host import HostRoot
    from .candidates import RootCandidate
    from .scan import Scan


def no_root(scan: 'Scan') -> None:
    """Says where was looked. An empty result must not look like success."""
    message = 'No Docker data root was found under %s; looked at %s.' % (
        show(scan.host.path), ', '.join(scan.looked))
    lost = [item for item in scan.fstab if item.point != b'/' and not item.is_bind
            and item.fstype not in ('swap', 'proc', 'sysfs', 'tmpfs', 'devpts', 'debugfs')
            and b'noauto' not in item.options and not is_mounted(scan, item.point)]
    if lost:
        step = ('These file systems of its fstab are not mounted: %s. Mount those that can hold the data, or name '
                'the data root in data_roots.' % ', '.join(
                    '%s at %s' % (show(item.source), show(scan.host.place(item.point))) for item in lost[:10]))
    elif not scan.names(b'/etc'):
        step = ('There is no /etc in this host root: mount the root file system of the dead host there, or, if '
                'this disk holds only the data, name the data root on it in data_roots.')
    else:
        step = ('If the data lie elsewhere, name the folder in data_roots; if they are on a disk that is not '
                'mounted, mount it (read-only) and run again.')
    scan.problem('NO_DATA_ROOT', scan.host.path, message, step)


def missing_root(scan: 'Scan', claim: Claim, exc: OSError, severity: Optional[str]) -> None:
    host = scan.host
    if exc.errno in (errno.EACCES, errno.EPERM):
        if claim.kind == 'rootless' and claim.default:
            scan.no_access.append(claim.path)
            return
        scan.problem('DATA_ROOT_UNREADABLE', claim.path, 'The data root %s (%s) may not be read by this user.'
                     % (show(claim.path), claim.why), 'Run as root (become: true).', severity)
        return
    dangling = False
    try:
        dangling = stat.S_ISLNK(host.lstat(claim.path).st_mode)
    except OSError:
        pass
    lost = unmounted(scan, claim.path) if claim.required or dangling or claim.path == DEFAULT_ROOT else []
    if dangling and not lost:
        lost = unmounted(scan, _target(host, claim.path))
    if lost:
        for item in lost:
            _not_mounted(scan, item, 'the data root %s (%s) is not there'
                         % (show(claim.path), claim.why), severity)
    elif claim.required or dangling:
        scan.problem('DATA_ROOT_MISSING', claim.path, 'The data root %s (%s) does not exist under %s%s.'
                     % (show(claim.path), claim.why, show(host.path),
                        ': it is a link to %s, which is not there' % show(_target(host, claim.path))
                        if dangling else ''),
                     'If it is on a disk of its own, mount that at %s (read-only) and run again; if it has moved, name '
                     'the folder in data_roots.' % show(host.place(claim.path)), severity)


def _target(host: 'HostRoot', path: bytes) -> bytes:
    """The target of a dangling link (one step), as the dead host saw it."""
    try:
        folder = host.resolve(os.path.dirname(path) or b'/')
        target = host.readlink(path)
    except OSError:
        return path
    return fsinfo.clean(os.path.join(host.to_host(folder), target))


def unreadable_root(scan: 'Scan', place: bytes, claims: Sequence[Claim], exc: OSError) -> None:
    if exc.errno in (errno.EACCES, errno.EPERM):
        scan.problem('DATA_ROOT_UNREADABLE', place, 'The data root %s (%s) may not be read by this user.'
                     % (show(place), claims[0].why), 'Run as root (become: true).')
    else:
        scan.problem('DATA_ROOT_UNREADABLE', place, 'The data root %s (%s) cannot be read: %s.'
                     % (show(place), claims[0].why, exc.strerror or exc),
                     'If the disk is failing, copy it first (ddrescue) and work on the copy.')


def judge(scan: 'Scan', candidate: 'RootCandidate', content: Content, others: 'List[Tuple[RootCandidate, Content]]') -> None:
    """Problems of one candidate. OTHERS: all of them."""
    host = scan.host
    text = show(candidate.path)
    views = [candidate.recorded_path, host.to_host(candidate.path)]
    if candidate.containers:
        views.extend(candidate.containerd_missing[:1])
        views.extend(host.to_host(root) for root in candidate.containerd_roots)
    lost = {}
    for view in views:
        for item in unmounted(scan, view):
            lost.setdefault(item[0], item)
    for point in sorted(lost):
        if content.is_empty or not filled(scan, point):
            _not_mounted(scan, lost[point], 'the data root %s is not complete without it' % text)
        else:
            _not_mounted(scan, lost[point], 'what is seen of the data root %s may be only what lies below the '
                         'mount point' % text, model.WARNING)
    if content.is_empty:
        _empty(scan, candidate, content, others, bool(lost))
    for driver in content.hollow:
        folder = os.path.join(candidate.path, driver_table.driver(driver).FOLDER)
        scan.problem('DRIVER_FOLDER_EMPTY', folder, '%s holds %s and layers of the driver %s are recorded, '
                     'but %s is empty or missing: the driver directory is probably an unmounted file system.'
                     % (text, number(candidate.containers, 'container'), driver, show(folder)), _remount(scan, folder, driver))
    if candidate.containers and (content.snapshotters or not content.layers and not content.hollow):
        _no_layers(scan, candidate, content)
    if len(content.filled) > 1:
        scan.problem('HIDDEN_STORE', candidate.path, '%s holds layers of several stores: %s. Docker lists only the '
                     'containers of the one in use; the others are hidden, not lost.'
                     % (text, show(', '.join(content.filled))),
                     'Nothing needs to be done: containers of every store are read.')


def _not_mounted(scan: 'Scan', item: Tuple[bytes, bytes, str, str], consequence: str, severity: Optional[str] = None) -> None:
    """ITEM: one of unmounted()."""
    point, source, where, fstype = item
    place = scan.host.place(point)
    step = mounting.bind_advice(scan.host.place(source), place) if fstype == 'bind' and source.startswith(b'/') else \
        mounting.advice(source, place, fstype)
    scan.problem('DATA_ROOT_NOT_MOUNTED', point, '%s says that %s is mounted at %s, but it is not; %s.'
                 % (where, show(source), show(point), consequence),
                 '%s Then run again.' % step, severity)


def _empty(scan: 'Scan', candidate: 'RootCandidate', content: Content, others: 'List[Tuple[RootCandidate, Content]]', explained: bool) -> None:
    """Never "0 containers, all is well"."""
    text = show(candidate.path)
    if elsewhere.is_podman(content.names):
        elsewhere.podman_store(scan, candidate.path, model.CRITICAL)
        return
    better = [other for other, dummy in others if other.score > 1 and other.path != candidate.path]
    seen = 'is new or empty: it holds no container, image or volume' if content.names & set(SIGNS) else \
        'is empty' if not content.names - set((b'lost+found',)) else 'does not look like a Docker data root'
    steps = []
    severity = None
    if better:
        places = ['%s (%s)' % (show(other.path), number(other.containers, 'container')) for other in better[:3]]
        steps.append('Another root holds data: %s.' % ', '.join(places))
        severity = model.WARNING
    if explained:
        steps.append('Mount what is missing first.')
    hint = _near(scan, candidate)
    if hint:
        steps.append(hint)
    own = fsinfo.mounted_at(candidate.path, scan.mounts)
    if own is not None and candidate.path != b'/':
        steps.append('A file system (%s) is mounted here; data from before may lie below the mount point: bind-mount '
                     'the file system above it elsewhere (mount --bind) and look there.' % show(own.source))
    if not steps:
        steps.append('If its disk is not mounted, mount it (read-only) and run again; if the data lie elsewhere, name '
                     'that folder in data_roots. If this host never ran a container, there is nothing to rescue.')
    scan.problem('DATA_ROOT_EMPTY', candidate.path, 'The data root %s (%s) %s.'
                 % (text, ', '.join(candidate.why), seen), ' '.join(steps), severity)


def _near(scan: 'Scan', candidate: 'RootCandidate') -> str:
    """A data root one level above or below a given folder that is not a data root."""
    if 'given' not in candidate.why:
        return ''
    here = scan.host.to_host(candidate.path)
    for path in [os.path.join(here, name) for name in (b'docker', b'lib/docker', b'var/lib/docker')] + [
            os.path.dirname(here)]:
        try:
            names = set(scan.host.listdir(path))
        except OSError:
            continue
        if is_root(names):
            return '%s looks like one: give that in data_roots.' % show(path)
    return ''


def _remount(scan: 'Scan', folder: bytes, driver: str) -> str:
    if driver == 'zfs':
        return ('Import the pool read-only (zpool import -o readonly=on) and mount its datasets below %s.'
                % show(folder))
    return ('Find its file system (lsblk -f, fstab, the mount units). %s Then run again.'
            % mounting.advice(b'DEVICE', folder))


def _no_layers(scan: 'Scan', candidate: 'RootCandidate', content: Content) -> None:
    """Containers without their layers: a driver folder that is gone, or a containerd store that is not here."""
    drivers, snapshotters = set(), set(content.snapshotters)
    for name in content.containers[:5] if not content.layers else ():
        try:
            record = jsonish.loads(scan.host.read(os.path.join(scan.host.to_host(candidate.path), b'containers', name,
                                                               b'config.v2.json'), MAX_CONFIG))
        except (OSError, ValueError):
            continue
        driver = record.get('Driver') if isinstance(record, dict) else None
        if isinstance(driver, str) and driver:
            is_graph = driver_table.driver(driver) is not None and not record.get('ImageManifest')
            (drivers if is_graph else snapshotters).add(driver)
    for driver in sorted(drivers):
        folder = os.path.join(candidate.path, driver_table.driver(driver).FOLDER)
        scan.problem('DRIVER_FOLDER_EMPTY', folder, '%s holds %s of the driver %s, but %s is empty or '
                     'missing: the driver directory is probably an unmounted file system.'
                     % (show(candidate.path), number(candidate.containers, 'container'), driver, show(folder)),
                     _remount(scan, folder, driver))
    for name in sorted(snapshotters):
        wanted = SNAPSHOTTER + to_bytes(name)
        if b'/' in wanted or any(safeio.kind(os.path.join(root, wanted)) for root in candidate.containerd_roots):
            continue
        places = candidate.containerd_missing[:3] or (DEFAULT_CONTAINERD,)
        scan.problem('STORE_UNREACHABLE', candidate.path, '%s holds containers of the containerd store (%s), whose '
                     'layers are not below any containerd root found here.' % (show(candidate.path), show(name)),
                     'Their layers lie on the dead host in %s: bring that folder here too, and name it in '
                     'containerd_root if it is elsewhere.' % ' or '.join(show(path) for path in places))
