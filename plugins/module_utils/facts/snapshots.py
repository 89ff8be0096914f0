"""Snapshots on the disk of a host that hold a data root, with what reads them: those of snapper, of Timeshift, other folders below .snapshots, of
ZFS, and of LVM.

They are named, nothing more: no snapshot is mounted and no tool is run. A snapshot of ZFS is not even entered, since the kernel would mount it.
"""
import os
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..disk import fsinfo
from ..engines import registry
from ..formats import wording
from ..records import model
from ..records.codes import problem

if TYPE_CHECKING:
    from ..disk.host import HostRoot
    from ..engines.registry import Host

SNAPPER, TIMESHIFT, FOLDER, ZFS, LVM = 'snapper', 'timeshift', 'folder', 'zfs', 'lvm'
MOST = 100                              # of one folder that are looked into, the newest
TOLD = 3                                # in a message
_DATE = re.compile(br'<date>([0-9: -]{10,30})</date>')
_NUMBER = re.compile(br'(\d+)')
# folders of Timeshift -> what in each snapshot is the root of the host
TIMESHIFTS = ((b'/timeshift-btrfs/snapshots', b'@'), (b'/timeshift/snapshots', b'localhost'))
MOUNTED = b'/run/timeshift'             # where it mounts its disk, each run in a folder of its own


class Snapshot(NamedTuple):
    """Paths are as the host saw them. `top` is what the snapshot is one of; `checked`: the data root was seen in it."""
    kind: str
    path: bytes
    top: bytes
    data_root: bytes
    created: str = ''
    checked: bool = True


def find(host: 'Host') -> Tuple[List[Dict[str, Any]], List[model.Problem]]:
    """(snapshots as plain JSON types, problems) of every place where a data root is or usually was. Never raises for what is on the disk."""
    disk = host.root
    # nested roots (one of a user namespace, layers of containerd) come with the one that holds them
    roots = {disk.to_host(root.path) for root in host.roots}
    usual = {place for place in host.usual_places if not any(fsinfo.is_below(place, root) for root in roots)}
    owners = [module.owns for module in registry.engines().values()]
    found: List[Snapshot] = []
    for root in sorted(roots | usual):
        found.extend(item for item in _candidates(disk, root) if _holds(disk, item, owners))
    for root in sorted(roots or usual):
        found.extend(_of_zfs(disk, root))
    found.extend(_of_lvm(disk, sorted(roots)))
    return [_fields(disk, item) for item in found], _problems(disk, found)


def _holds(disk: 'HostRoot', item: Snapshot, owners: List[Any]) -> bool:
    inside = _inside(item)
    return disk.is_folder(inside) and any(owns(disk, inside) for owns in owners)


def _inside(item: Snapshot) -> bytes:
    """Where the data root lies in the snapshot."""
    return os.path.join(item.path, item.data_root[len(item.top):].lstrip(b'/')).rstrip(b'/')


def _candidates(disk: 'HostRoot', root: bytes) -> Iterator[Snapshot]:
    """Snapshots that may hold the data root ROOT: of each folder above it."""
    top = root
    while True:
        yield from _snapper(disk, top, root)
        if top == b'/':
            break
        top = os.path.dirname(top)
    mounted = [os.path.join(MOUNTED, name, b'backup') for name in _newest(disk, MOUNTED)]
    for base in [b'/'] + mounted:
        for folder, inner in TIMESHIFTS:
            place = os.path.join(base, folder.lstrip(b'/'))
            for name in _newest(disk, place):
                yield Snapshot(TIMESHIFT, os.path.join(place, name, inner), b'/', root, wording.show(name))


def _of_zfs(disk: 'HostRoot', root: bytes) -> Iterator[Snapshot]:
    """Those of the data set that ROOT is in: the nearest folder above with .zfs."""
    top = root
    while True:
        place = os.path.join(top, b'.zfs/snapshot')
        if disk.is_folder(place):
            for name in _newest(disk, place):
                yield Snapshot(ZFS, os.path.join(place, name), top, root, checked=False)
            return
        if top == b'/':
            return
        top = os.path.dirname(top)


def _snapper(disk: 'HostRoot', top: bytes, root: bytes) -> Iterator[Snapshot]:
    """NUMBER/snapshot of snapper, or folders that another tool or a person made there."""
    place = os.path.join(top, b'.snapshots')
    for name in _newest(disk, place):
        folder = os.path.join(place, name)
        if name.isdigit() and disk.is_folder(os.path.join(folder, b'snapshot')):
            yield Snapshot(SNAPPER, os.path.join(folder, b'snapshot'), top, root, _date(disk, folder))
        else:
            yield Snapshot(FOLDER, folder, top, root)


def _date(disk: 'HostRoot', folder: bytes) -> str:
    try:
        match = _DATE.search(disk.read(os.path.join(folder, b'info.xml'), 1 << 16))
    except OSError:
        return ''
    return match.group(1).decode('ascii').strip() if match else ''


def _newest(disk: 'HostRoot', folder: bytes) -> List[bytes]:
    """At most MOST names in FOLDER, those with the highest numbers first; [] if there is no such folder."""
    try:
        names = disk.listdir(folder)
    except OSError:
        return []
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in _NUMBER.split(name)[1:2]] or [0], reverse=True)[:MOST]


def _of_lvm(disk: 'HostRoot', roots: List[bytes]) -> Iterator[Snapshot]:
    """By the backups that LVM keeps of its metadata; of those volumes that hold a data root, where that is known."""
    for name in _newest(disk, b'/etc/lvm/backup'):
        from ..formats import lvmtext
        try:
            known = lvmtext.snapshots(disk.read(os.path.join(b'/etc/lvm/backup', name), 1 << 24).decode('utf-8', 'replace'))
        except (OSError, ValueError):
            continue
        for item in known:
            for root in roots:
                volume = _volume(disk, root)
                if volume in (None, _mapped(item.group, item.origin), '/dev/%s/%s' % (item.group, item.origin)):
                    yield Snapshot(LVM, os.fsencode('/dev/%s/%s' % (item.group, item.name)), b'/', root, checked=False)


def _mapped(group: str, volume: str) -> str:
    return '/dev/mapper/%s-%s' % (group.replace('-', '--'), volume.replace('-', '--'))


def _volume(disk: 'HostRoot', root: bytes) -> Optional[str]:
    """The device that has ROOT, None if that is not known. Of a disk that is not the running machine's, the mount of this machine says nothing."""
    mount = fsinfo.mount_of(root) if disk.is_live else None
    return wording.text(mount.source) if mount is not None and mount.source.startswith(b'/dev/') else None


def _fields(disk: 'HostRoot', item: Snapshot) -> Dict[str, Any]:
    fields: Dict[str, Any] = wording.path_fields(item.path)
    fields.update({'kind': item.kind, 'data_root': wording.text(item.data_root), 'created': item.created or None, 'checked': item.checked,
                   'next_step': _next_step(disk, item)})
    return fields


def _next_step(disk: 'HostRoot', item: Snapshot) -> str:
    if item.kind == LVM:
        return 'Read it with lifeboat --disk %s look.' % wording.show(item.path)
    if item.top == b'/':
        return 'Read it with host_root %s.' % wording.show(disk.place(item.path))
    if disk.path == b'/':
        return 'Read it with data_roots %s.' % wording.show(_inside(item))
    return 'Read it with host_root %s and data_roots %s.' % (wording.show(disk.path), wording.show(_inside(item)))


def _problems(disk: 'HostRoot', found: List[Snapshot]) -> List[model.Problem]:
    """One for each data root."""
    problems = []
    for root in sorted({item.data_root for item in found}):
        mine = [item for item in found if item.data_root == root]
        told = ', '.join('%s%s%s' % (wording.show(item.path), ' of ' + item.created if item.created else '', '' if item.checked else ' (not looked into)')
                         for item in mine[:TOLD])
        problems.append(problem('SNAPSHOT_FOUND', wording.text(root), '%d snapshot%s hold%s %s as it was: %s%s.' % (
            len(mine), '' if len(mine) == 1 else 's', 's' if len(mine) == 1 else '', wording.show(root), told, ' and more' if len(mine) > TOLD else ''),
            _next_step(disk, mine[0])))
    return problems
