"""Attach a disk, release it: the two calls of this room."""
import os
import re
import stat
from typing import Any, Dict, List, Tuple

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats.wording import show
from . import export, filesystems, hosts, images, nested, release as releasing, state as states, thin
from .commands import Commands, Failed
from .explore import explore
from .session import Device, FileSystem, Request, Session

MAX_PATHS = 64


def attach(request: Request) -> Dict[str, Any]:
    """Attach the disks of REQUEST -> `changed`, `hosts`, `steps`, `problems`. LifeboatError if there is nothing to be had;
    then everything that was done is undone. Attached already: what was found then."""
    if os.geteuid():
        raise LifeboatError('Attaching a disk needs root (become: true)')
    paths = files_of(request.paths)
    disks = [images.image_of(path) for path in paths]
    inner = {name for disk in disks for name in disk.files[1:]}
    disks = [disk for disk in disks if disk.path not in inner]      # a backing file that was named too
    for disk in disks:
        _is_free(disk)
    with states.held(request.scratch_dir, states.identifier(paths)) as state:
        result = state.data['result']
        if result is not None and all(filesystems.is_mounted(host['host_root']) for host in result['hosts']) and _covers(state, request):
            return dict(result, changed=False)
        if state.actions:               # of a run that was killed, or before a reboot, or one that was asked for less
            try:
                releasing.release(state, Commands())
            except LifeboatError as exc:
                raise LifeboatError('The disk is attached already, without all that is asked for now, and could not be released: %s. Attach it again when '
                                    'nothing uses it any more' % str(exc).rstrip('.'))
            states.own_folder(state.folder)
        state.data['paths'] = paths
        state.save()
        session = Session(request, state)
        try:
            result = _attach(session, disks)
        except BaseException:
            releasing.release(state, Commands())
            raise
        state.data.update(result=result, layers=request.attach_layers, nested=request.nested, journal=request.journal)
        state.save()
    return dict(result, changed=True)


def _covers(state: states.State, request: Request) -> bool:
    """Whether what is attached has all that REQUEST asks for: images inside the disk, layers, the journals, and volumes that a key now opens."""
    done = state.data
    locked = any(each.get('code') == 'VOLUME_LOCKED' for each in done['result']['problems'])
    return (not request.attach_layers or bool(done.get('layers'))) and (not request.nested or bool(done.get('nested'))) \
        and done.get('journal', request.journal) == request.journal and not (locked and (request.passphrase or request.key_file))


def _attach(session: Session, disks: List[images.Image]) -> Dict[str, Any]:
    try:
        devices = [export.adopt(session, disk) for disk in disks]
    except Failed as exc:
        raise LifeboatError('The disk cannot be opened: %s' % exc.said)
    systems, named = _mounted(session, devices)
    more, others = _mounted(session, hosts.opened_by_keys(session, systems))
    systems, named = systems + more, named + others
    for place in nested.images_in(session, systems):
        try:
            more, others = _mounted(session, [export.adopt(session, images.image_of(place))])
        except (Failed, LifeboatError) as exc:
            session.problem('LAYER_NOT_ATTACHED', place, 'The image %s was not attached: %s.' % (show(place), show(str(exc))))
            continue
        systems, named = systems + more, named + others
    found = hosts.assemble(session, systems)
    if not found:
        reasons = [each.message for each in session.problems]
        raise LifeboatError('%s: no host and no data root was found. %s%s' % (
            ', '.join(show(disk.path) for disk in disks), 'It has: %s. ' % ', '.join(named) if named else 'Nothing on it is known. ',
            ' '.join(reasons)))
    if session.request.attach_layers:
        for host in found:
            thin.open_layers(session, host['host_root'])
    return {'hosts': found, 'steps': session.commands.steps, 'problems': [each._asdict() for each in session.problems]}


def _mounted(session: Session, devices: List[Device]) -> Tuple[List[FileSystem], List[str]]:
    """(file systems that are mounted now, what was found, for a sentence)"""
    finding = explore(session, devices)
    systems = []
    for members in filesystems.together(finding.mountable):
        device, found = members[0]
        try:
            systems.append(filesystems.mount(session, members))
        except (Failed, LifeboatError) as exc:
            session.problem('FILE_SYSTEM_NOT_MOUNTED', device.shown, '%s (%s) was not mounted: %s.' % (
                device.shown, found.kind, show(getattr(exc, 'said', '') or str(exc))), 'The kernel says more: dmesg. If its module is missing, '
                'attach the disk in a machine that has it. Never run fsck on the only copy.')
    named = ['%s on %s' % (show(found.kind), device.shown) for device, found in finding.mountable + finding.others]
    return systems, named


def release(request: Request) -> Dict[str, Any]:
    """Release the disks of REQUEST; without paths everything in its scratch_dir -> `changed`, `steps`."""
    commands, changed = Commands(), False
    wanted = [states.identifier(files_of(request.paths, True))] if request.paths else states.names(request.scratch_dir)
    for name in wanted:
        try:
            with states.held(request.scratch_dir, name, make=False) as state:
                changed = releasing.release(state, commands) or changed
        except FileNotFoundError:
            continue                    # released already
    return {'changed': changed, 'hosts': [], 'steps': commands.steps, 'problems': []}


def attached(request: Request) -> bool:
    """Whether a release would undo something; nothing is done."""
    wanted = states.identifier(files_of(request.paths, True)) if request.paths else ''
    return any(not wanted or name == wanted for name in states.names(request.scratch_dir))


def files_of(paths: Tuple[str, ...], gone: bool = False) -> List[str]:
    """PATHS, with what is in those that are folders. GONE: they need not be there any more."""
    found = []
    for path in paths:
        if not path.startswith('/'):
            raise LifeboatError('path: %s is not an absolute path' % show(path))
        if os.path.isdir(path):
            found += [os.path.join(path, name) for name in sorted(os.listdir(path))
                      if not re.search(r'\.(?:txt|md|log|json|xml|sha256|md5|sum|nvram|vmx|vmsd)\Z', name, re.I)
                      and os.path.isfile(os.path.join(path, name)) and not name.startswith('.')]
        else:
            found.append(path)
    if not found and not gone:
        raise LifeboatError('path: %s is a folder without files' % show(', '.join(paths)))
    if len(found) > MAX_PATHS:
        raise LifeboatError('path: more than %d disks; name those of one host' % MAX_PATHS)
    return found


def _is_free(disk: images.Image) -> None:
    """LifeboatError if this machine uses the device itself: then its file systems are here already."""
    st = os.stat(disk.path)
    if not stat.S_ISBLK(st.st_mode):
        return
    name = os.path.basename(os.path.realpath('/sys/dev/block/%d:%d' % (os.major(st.st_rdev), os.minor(st.st_rdev))))
    folder = '/sys/class/block/%s' % name
    parts = [name] + [each for each in os.listdir(folder) if each.startswith(name)]
    for part in parts:
        with open('/sys/class/block/%s/dev' % part, encoding='ascii') as stream:
            number = stream.read().strip().encode('ascii')
        for mount in fsinfo.mounts():
            if mount.dev == number:
                raise LifeboatError('%s is mounted at %s on this machine; give that folder as host_root instead, or unmount it' % (
                    show(disk.path), show(mount.point)))
        holders = os.listdir('/sys/class/block/%s/holders' % part) if os.path.isdir('/sys/class/block/%s/holders' % part) else []
        if holders:
            raise LifeboatError('%s is in use on this machine by %s; deactivate that first' % (show(disk.path), show(', '.join(holders))))
