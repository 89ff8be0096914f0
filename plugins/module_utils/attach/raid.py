"""md (Linux software RAID): members that belong together, assembled read-only. Only devices of the disk are ever named."""
import os
from typing import Any, Dict, List, Optional, Tuple

from ..formats import wording
from ..formats.wording import show
from . import export, filesystems, loops
from .commands import Commands, Failed, ToolMissing
from .session import IGNORE, Device, Session, size_of
from .state import State
from .superblocks import Found

LAST_NUMBER = 511


def assemble(session: Session, members: List[Tuple[Device, Found]]) -> Optional[Device]:
    """The array of MEMBERS, which have one UUID; None, and a problem, if it does not start."""
    found = members[0][1]
    shown = 'RAID %s (%s)' % (show(found.label or found.uuid), ', '.join(device.shown for device, dummy in members))
    if len(members) < found.devices:
        session.problem('DISK_MEMBER_MISSING', shown, '%s has %s, and %d of them are here.' % (shown, wording.number(found.devices, 'device'), len(members)),
                        'If the others can be had, add them to path: one that is missing may be the newest.')
    try:
        node = _start(session, [device for device, dummy in members])
    except (Failed, ToolMissing) as exc:
        session.problem('LAYER_NOT_ATTACHED', shown, '%s was not started: %s.' % (shown, show(str(exc))), 'Add its other devices to path.')
        return None
    loops.take_back(session.state, session.commands, [node])
    return Device(node, 0, size_of(node), export.graph_of(node), shown, _names(found))


def _names(found: Found) -> Tuple[str, ...]:
    """What the dead host may have called the array FOUND by. Its mdadm.conf may have more names; see hints."""
    names = [by_id(found.uuid)]
    if found.label:
        short = found.label.split(':')[-1]
        names += ['/dev/md/' + short, '/dev/md/' + found.label] + (['/dev/md' + short] if short.isdigit() else [])
    return tuple(names)


def by_id(ident: str) -> str:
    """The name of the array with the UUID IDENT in /dev/disk/by-id."""
    raw = ident.replace('-', '')
    return '/dev/disk/by-id/md-uuid-' + ':'.join((raw[:8], raw[8:16], raw[16:24], raw[24:]))


def _start(session: Session, devices: List[Device]) -> str:
    node = _free()
    words = ['mdadm', '--assemble', '--config=none', '--run', '--readonly', node]
    nodes = [filesystems.read_only(session, device) for device in devices]
    loops.take_back(session.state, session.commands, nodes)
    session.state.begin(kind='md', node=node)
    try:
        session.commands.run(words + nodes)
        return node
    except Failed:
        # dirty and degraded, as after a power cut: mdadm has to mark it clean, which writes
        if session.request.journal == IGNORE or not export.can_overlay():
            raise
        _stop(node, session.state, session.commands)
        nodes = [export.overlay(session, device) for device in devices]
        loops.take_back(session.state, session.commands, nodes)
        session.state.begin(kind='md', node=node)
        session.commands.run(words[:2] + ['--force'] + words[2:] + nodes)
        return node


def _free() -> str:
    for number in range(LAST_NUMBER, 127, -1):
        if not os.path.exists('/sys/block/md%d' % number):
            return '/dev/md%d' % number
    raise Failed(['mdadm'], 1, 'no number for an array is free')


def _stop(node: str, state: State, commands: Commands) -> None:
    """Stop NODE if all its members are loop devices of ours."""
    try:
        slaves = os.listdir('/sys/block/%s/slaves' % os.path.basename(node))
    except OSError:
        return
    ours = set(loops.left(state))
    if slaves and all('/dev/' + each in ours for each in slaves):
        loops.take_back(state, commands, [node])
        commands.run(['mdadm', '--stop', node])


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Stop the array of ACTION, if it is still ours."""
    _stop(action['node'], state, commands)
