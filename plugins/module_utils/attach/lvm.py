"""LVM: volume groups made of the disk's physical volumes only, by a device filter, under names of ours.

Activation and the new name write to the physical volumes, so each of them gets an overlay. Without overlays the groups are
activated from read-only devices and keep their name; that is refused where this machine has a group of that name.
"""
import json
import os
import re
from typing import Any, Dict, List, Tuple

from ..formats.wording import show
from . import export, filesystems, loops
from .commands import Commands, Failed, ToolMissing, has
from .session import IGNORE, Device, Session, size_of
from .state import State
from .superblocks import Found

TRIES = 3                               # machines with systemd activate volumes some time after udev has settled
_NAME = re.compile(r'[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}\Z')
_UUID = re.compile(r'[A-Za-z0-9-]{38}\Z')


def activate(session: Session, volumes: List[Tuple[Device, Found]]) -> List[Device]:
    """The logical volumes on the physical VOLUMES; what is not activated is a problem."""
    shown = ', '.join(device.shown for device, dummy in volumes)
    try:
        nodes = [_node(session, device) for device, dummy in volumes]
        loops.take_back(session.state, session.commands, nodes)
        config = config_of(nodes)
        groups = _report(session.commands, ['vgs', '--config', config, '-o', 'vg_name,vg_uuid,vg_missing_pv_count'], 'vg')
        places = _report(session.commands, ['pvs', '--config', config, '-o', 'pv_name,vg_uuid'], 'pv')
    except (Failed, ToolMissing) as exc:
        session.problem('LAYER_NOT_ATTACHED', shown, 'LVM on %s was not activated: %s.' % (shown, show(str(exc))))
        return []
    found = []
    for group in groups:
        name, ident = group.get('vg_name', ''), group.get('vg_uuid', '')
        if not _NAME.match(name) or not _UUID.match(ident):
            continue
        missing = group.get('vg_missing_pv_count', '0')
        if missing != '0':
            session.problem('DISK_MEMBER_MISSING', name, 'The volume group %s lacks %s of its physical volumes.' % (
                show(name), show(missing)), 'Add the other disks of that host to path.')
        own = [each['pv_name'] for each in places if each.get('vg_uuid') == ident and each.get('pv_name') in nodes]
        try:
            found += _group(session, config, (name, ident), own)
        except (Failed, ToolMissing) as exc:
            session.problem('LAYER_NOT_ATTACHED', name, 'The volume group %s was not activated: %s.' % (show(name), show(str(exc))))
    return found


def _node(session: Session, device: Device) -> str:
    if session.request.journal != IGNORE and export.can_overlay():
        return export.overlay(session, device)
    return filesystems.read_only(session, device)


def config_of(nodes: List[str]) -> str:
    """Configuration of LVM that lets it see NODES and no other device, and leaves no copy of metadata in /etc."""
    rules = ', '.join(['"a|^%s$|"' % node for node in nodes] + ['"r|.*|"'])
    return ('devices { use_devicesfile=0 filter=[%s] global_filter=[%s] } backup { backup=0 archive=0 } '
            'activation { monitoring=0 } global { event_activation=0 }' % (rules, rules))


def _report(commands: Commands, words: List[str], key: str) -> List[Dict[str, str]]:
    said = commands.run(['lvm'] + words + ['--reportformat', 'json'], quiet=True)
    return json.loads(said)['report'][0][key]


def _ours(session: Session, config: str, group: Tuple[str, str], nodes: List[str]) -> str:
    """The name that GROUP (name, UUID) has from now on: one of ours, with new UUIDs, or its own where that takes nobody else's.

    A name of ours alone is not enough: LVM knows active volumes by UUID, and those of a disk of which this one is a copy
    would be taken for ours.
    """
    name, ident = group
    ours = session.name('vg')
    said = ''
    for dummy in range(TRIES):
        try:
            session.commands.run(['lvm', 'vgimportclone', '--config', config, '--basevgname', ours] + nodes)
            return ours
        except Failed as exc:           # read-only, or physical volumes are missing; or systemd has activated it just now
            said = exc.said
            loops.take_back(session.state, session.commands, nodes)
    active = session.commands.run(['dmsetup', 'info', '--columns', '--noheadings', '-o', 'uuid'], quiet=True)
    if 'LVM-' + ident.replace('-', '') in active or os.path.exists('/dev/' + name) or any(
            each.startswith(name.replace('-', '--') + '-') for each in _mapped()):
        raise Failed(['lvm'], 1, 'it got no name of its own here (%s), and this machine has it already, or one of that name' % said)
    return name


def _group(session: Session, config: str, group: Tuple[str, str], nodes: List[str]) -> List[Device]:
    """Activate one volume group on NODES -> its logical volumes."""
    commands, name = session.commands, group[0]
    ours = _ours(session, config, group, nodes)
    session.state.begin(kind='vg', name=ours, config=config)
    said = ''
    try:
        commands.run(['lvm', 'vgchange', '--config', config, '--activate', 'y', '--ignoreactivationskip',
                      '--activationmode', 'degraded', ours])
    except Failed as exc:               # some of its volumes may be active nevertheless
        said = exc.said
    found = []
    for volume in _report(commands, ['lvs', '--config', config, '-o', 'lv_name,lv_attr', ours], 'lv'):
        label, attributes = volume.get('lv_name', ''), volume.get('lv_attr', '').ljust(10)
        if not _NAME.match(label) or attributes[0] in 'TdeDls':
            continue                    # parts of pools
        node = '/dev/mapper/%s-%s' % (ours.replace('-', '--'), label.replace('-', '--'))
        if attributes[0] == 't':
            session.pools += [node] if os.path.exists(node) else []
            continue
        if attributes[4] != 'a' or not os.path.exists(node):
            session.problem('LAYER_NOT_ATTACHED', '%s/%s' % (name, label), 'The logical volume %s/%s was not activated%s.' % (
                show(name), show(label), ': ' + show(said) if said else ''))
            continue
        found.append(Device(node, 0, size_of(node), export.graph_of(node), 'logical volume %s/%s' % (show(name), show(label)),
                            ('/dev/%s/%s' % (name, label), '/dev/mapper/%s-%s' % (name.replace('-', '--'), label.replace('-', '--')))))
    return found


def _mapped() -> List[str]:
    try:
        return os.listdir('/dev/mapper')
    except OSError:
        return []


def undo(action: Dict[str, Any], dummy_state: State, commands: Commands) -> None:
    """Deactivate the group of ACTION; its filter lets LVM see nothing but what was ours."""
    prefix = action['name'].replace('-', '--') + '-'
    if any(each.startswith(prefix) for each in _mapped()) and has('lvm'):
        commands.run(['lvm', 'vgchange', '--config', action['config'], '--activate', 'n', action['name']])
