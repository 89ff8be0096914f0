"""Mounting one file system: with its journal replayed on an overlay, or without it. Never from a device that can be written
where no overlay is in between, never with a type that the kernel would have to guess, and never checked by fsck.
"""
import os
from typing import Any, Dict, List, Sequence, Tuple

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats.wording import number, show
from . import busy, export, loops
from .commands import Commands, Failed
from .session import IGNORE, Device, FileSystem, Session
from .state import State
from .superblocks import Found

ALWAYS = 'ro,nosuid,nodev,noexec'
# errors=: a disk may ask for a panic of the machine that reads it (tune2fs -e panic)
REPLAYED = {'ext2': ',errors=continue', 'ext3': ',errors=continue', 'ext4': ',errors=continue', 'xfs': ',nouuid'}
NO_REPLAY = {'ext2': ',errors=continue', 'ext3': ',noload,errors=continue', 'ext4': ',noload,errors=continue', 'xfs': ',norecovery,nouuid',
             'btrfs': ',rescue=nologreplay', 'f2fs': ',norecovery'}


def together(found: Sequence[Tuple[Device, Found]]) -> List[List[Tuple[Device, Found]]]:
    """FOUND as file systems: btrfs may be on more than one device."""
    groups = []                         # type: List[List[Tuple[Device, Found]]]
    spread = {}                         # type: Dict[str, List[Tuple[Device, Found]]]
    for device, each in found:
        if each.kind == 'btrfs' and each.devices > 1:
            if each.uuid not in spread:
                spread[each.uuid] = []
                groups.append(spread[each.uuid])
            spread[each.uuid].append((device, each))
        else:
            groups.append([(device, each)])
    return groups


def mount(session: Session, members: Sequence[Tuple[Device, Found]]) -> FileSystem:
    """Mount the file system of MEMBERS: mostly one device. Failed, or LifeboatError, if that cannot be done."""
    device, found = members[0]
    if any(each.journal == 'dirty' for dummy, each in members):
        found = found._replace(journal='dirty')
    nodes, options = [], ''
    for each, dummy in members:
        node, options = _node(session, each, found)
        nodes.append(node)
    options += ''.join(',device=' + node for node in nodes[1:])
    here = len({each.member for dummy, each in members})
    if here < found.devices:
        options += ',degraded'
        session.problem('DISK_MEMBER_MISSING', device.shown, 'The btrfs file system of %s has %s, and %d of them are here.' % (
            device.shown, number(found.devices, 'device'), here), 'Add the others to path.')
    node = nodes[0]
    point = session.folder('fs')
    mount_at(session, ['-t', found.kind, '-o', options, node], point)
    _is_ours(session, point, nodes, found)
    top = point
    if found.kind == 'btrfs':
        top = session.folder('fs')
        mount_at(session, ['-t', found.kind, '-o', options + ',subvolid=5', node], top)
    return FileSystem(device, found, point, top, node, options)


def _node(session: Session, device: Device, found: Found) -> Any:
    """(device node, mount options)"""
    needs = found.journal in ('dirty', 'unknown')
    if needs and session.request.journal != IGNORE and export.can_overlay():
        try:
            return export.overlay(session, device), ALWAYS + REPLAYED.get(found.kind, '')
        except Failed as exc:
            session.commands.note('# no overlay: %s' % exc)
    if needs:
        _ignored(session, device, found)
    return read_only(session, device), ALWAYS + NO_REPLAY.get(found.kind, '')


def read_only(session: Session, device: Device) -> str:
    """A node for DEVICE that cannot be written."""
    if not device.offset and not device.file.startswith(session.state.folder + '/'):
        return device.file              # of device-mapper or md, which were made read-only
    return loops.attach(session, device.file, device.offset, device.size, True)


def _ignored(session: Session, device: Device, found: Found) -> None:
    if session.request.journal == IGNORE:
        step = 'Attach it with journal: replay, which writes nothing to the disk.'
    else:
        step = 'Install qemu-img and qemu-storage-daemon (Debian: qemu-utils, qemu-system-common), release the disk and attach it again.'
    session.problem('JOURNAL_IGNORED', device.shown, 'The journal of %s (%s) was not replayed: what was written in the last seconds '
                    'before the host died may be missing, or old.' % (device.shown, found.kind), step)


def mount_at(session: Session, words: Any, point: str) -> None:
    """mount WORDS POINT, written down before."""
    action = session.state.begin(kind='mount', point=point)
    try:
        session.commands.run(['mount'] + list(words) + [point])
    except Failed:
        if not is_mounted(point):
            session.state.drop(action)
        raise


def is_mounted(point: str) -> bool:
    return any(each.point == os.fsencode(point) for each in fsinfo.mounts())


def _is_ours(session: Session, point: str, nodes: Sequence[str], found: Found) -> None:
    """btrfs knows file systems by UUID: where another disk with the same one is mounted, the kernel would show that."""
    if found.kind != 'btrfs':
        return
    ours = {os.path.realpath(os.fsencode(node)) for node in nodes}
    for each in fsinfo.mounts():
        if each.point == os.fsencode(point) and os.path.realpath(each.source) not in ours:
            session.commands.run(['umount', point])
            raise LifeboatError('The btrfs file system with UUID %s is already known to this machine from %s; unmount that, or attach '
                                'this disk in another machine' % (show(found.uuid), show(each.source)))


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Unmount what is at the point of ACTION. LifeboatError that says who uses it."""
    point = action['point']
    if not point.startswith(state.folder + '/'):
        return
    while is_mounted(point):
        try:
            commands.run(['umount', point])
        except Failed as exc:
            users = busy.users_of(point)
            raise LifeboatError('%s cannot be unmounted (%s)%s' % (
                show(point), exc.said, '; it is used by %s. End that and run again' % ', '.join(users) if users else ''))
