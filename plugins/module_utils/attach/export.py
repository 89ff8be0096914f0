"""The source becomes something that the kernel can read, and never something that it can write.

Raw disks are bound into the attachment's folder as they are. Other formats are shown as raw by qemu-storage-daemon, through
FUSE, or by qemu-nbd where that was built without it. `overlay` puts a throw-away qcow2 over a device: what is written to it goes there, up to scratch_size.
"""
import errno
import json
import os
import signal
import stat
import time
from typing import Any, Dict, Iterator, List

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats.wording import show
from . import images, loops
from .commands import Commands, Failed, has, line_of
from .session import Device, Session, size_of
from .state import State

DAEMON, NBD = 'qemu-storage-daemon', 'qemu-nbd'
WAIT = 20                               # seconds for a daemon to end
SYS_NBD, MAX_NBD = '/sys/block/nbd%d', 16
MAX_SOCKET = 100                        # unix(7): 107 bytes, with what is appended


def adopt(session: Session, image: images.Image) -> Device:
    """The disk IMAGE as a Device. Tools that are missing are a ToolMissing."""
    if image.graph or len(image.files) > 1:
        return _shown_as_raw(session, image)
    place = bind(session, image.path)
    return Device(place, 0, size_of(place), graph_of(place), show(image.path), names=(image.path,))


def graph_of(path: str) -> Dict[str, Any]:
    """A raw file or block device, as a block device of QEMU."""
    kind = 'host_device' if stat.S_ISBLK(os.stat(path).st_mode) else 'file'
    return {'driver': 'raw', 'read-only': True, 'file': {'driver': kind, 'filename': path, 'read-only': True}}


def bind(session: Session, path: str, place: str = '') -> str:
    """PATH (file or block device) bound into the attachment's folder, at PLACE if that is given -> where."""
    place = place or session.place('disk', '.raw')
    _touch(session, place)
    session.state.begin(kind='mount', point=place)
    session.commands.run(['mount', '--bind', path, place])
    session.commands.run(['mount', '-o', 'remount,bind,ro', place])
    return place


def _touch(session: Session, place: str) -> None:
    session.commands.note(line_of(['touch', place]))
    os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _shown_as_raw(session: Session, image: images.Image) -> Device:
    graph = image.graph
    if not graph:                       # pieces of a raw disk
        descriptor = session.place('pieces', '.vmdk')
        _touch(session, descriptor)
        with open(descriptor, 'w', encoding='utf-8', errors='surrogateescape') as out:
            out.write(images.joined(image.files))
        session.commands.note('# %s joins %s' % (show(descriptor), show(', '.join(image.files))))
        graph = {'driver': images.VMDK, 'read-only': True, 'file': {'driver': 'file', 'filename': descriptor, 'read-only': True}}
    place = export(session, graph, False)
    return Device(place, 0, size_of(place), graph, show(image.path), names=(image.path,))


def export(session: Session, graph: Dict[str, Any], writable: bool) -> str:
    """Show the block device GRAPH as a raw file or block device, by a daemon of its own -> where, in the attachment's folder."""
    place = session.place('disk', '.raw')
    if not _has_fuse_exports() and has(NBD):
        return _by_nbd(session, graph, place, writable)
    if not os.path.exists('/dev/fuse'):
        raise LifeboatError('This machine has no /dev/fuse, which %s needs; run: modprobe fuse' % DAEMON)
    _touch(session, place)
    session.state.begin(kind='daemon', point=place)
    words = [DAEMON, '--daemonize', '--pidfile', place + '.pid', '--blockdev', json.dumps(dict(graph, **{'node-name': 'disk'}), sort_keys=True),
             '--export', json.dumps({'type': 'fuse', 'id': 'disk', 'node-name': 'disk', 'mountpoint': place, 'writable': writable},
                                    sort_keys=True)]
    session.commands.run(_limited(session, words, writable))
    return place


def _limited(session: Session, words: List[str], writable: bool) -> List[str]:
    """WORDS, with the limit of what the overlay may grow to."""
    return ['prlimit', '--fsize=%d' % session.request.scratch_size] + words if writable else words


def can_overlay() -> bool:
    """Whether this machine has what overlay() needs."""
    return (_has_fuse_exports() and os.path.exists('/dev/fuse') or has(NBD)) and has('qemu-img') and has('prlimit')


def _has_fuse_exports() -> bool:
    """Whether qemu-storage-daemon is there and was built with FUSE: not so on Red Hat and its like."""
    return has(DAEMON) and 'type=]fuse' in Commands().run([DAEMON, '--help'], quiet=True)


# -- qemu-nbd --------------------------------------------------------------------------------------------------------


def _by_nbd(session: Session, graph: Dict[str, Any], place: str, writable: bool) -> str:
    """Show GRAPH at PLACE: a free /dev/nbdN, bound there, so that it is known by its place as everything else is."""
    if not os.path.exists(SYS_NBD % 0):
        session.commands.run(['modprobe', 'nbd'])
    action = session.state.begin(kind='daemon', point=place, node='')
    words = [NBD, '--fork', '--persistent', '--pid-file=' + place + '.pid'] + ([] if writable else ['--read-only'])
    if len(os.fsencode(place)) < MAX_SOCKET:        # else in /var/lock, which not every live system has
        words.append('--socket=' + place + '.sock')
    node = ''
    for number in range(MAX_NBD):
        if os.path.exists(SYS_NBD % number) and not os.path.exists(SYS_NBD % number + '/pid'):
            action['node'] = node = '/dev/nbd%d' % number
            session.state.save()
            try:
                session.commands.run(_limited(session, words + ['--connect=' + node, 'json:' + json.dumps(graph, sort_keys=True)], writable))
                _connected(place, number)
                break
            except Failed:              # somebody else was faster, or it cannot be opened at all
                if not os.path.exists(SYS_NBD % number + '/pid'):
                    raise
    else:
        raise Failed([NBD], 1, 'no /dev/nbdN is free')
    return bind(session, node, place)


def _connected(place: str, number: int) -> None:
    """Wait for the daemon of PLACE to have /dev/nbdNUMBER: it goes into the background before. Failed if it ends instead."""
    deadline = time.time() + WAIT
    while not os.path.exists(SYS_NBD % number + '/pid'):
        if time.time() > deadline or not list(_daemons(place)):
            raise Failed([NBD], 1, '/dev/nbd%d was not connected' % number)
        time.sleep(0.05)


def overlay(session: Session, device: Device) -> str:
    """A loop device that shows DEVICE and takes what is written into a throw-away file -> its node."""
    scratch = session.place('overlay', '.qcow2')
    session.commands.run(['qemu-img', 'create', '-q', '-f', 'qcow2', scratch, str(device.size)])
    below = device.graph
    if device.offset or below.get('driver') == 'raw':
        inner = below['file'] if below.get('driver') == 'raw' else below
        below = {'driver': 'raw', 'read-only': True, 'offset': device.offset, 'size': device.size, 'file': inner}
    graph = {'driver': 'qcow2', 'file': {'driver': 'file', 'filename': scratch}, 'backing': below}
    place = export(session, graph, True)
    return loops.attach(session, place, 0, device.size, False)


# -- taking it down --------------------------------------------------------------------------------------------------


def _daemons(point: str) -> Iterator[int]:
    """Process ids of daemons that show something at POINT, which is below a folder of ours."""
    needle, pid_file = os.fsencode(json.dumps(point)), os.fsencode('--pid-file=' + point + '.pid')
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open('/proc/%s/cmdline' % name, 'rb') as stream:
                    words = stream.read().split(b'\0')
            except OSError:
                continue
            program = os.path.basename(words[0])
            if program == DAEMON.encode() and any(needle in word for word in words) or program == NBD.encode() and pid_file in words:
                yield int(name)


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """End the daemon of ACTION, remove what it showed and what was written to it."""
    point = action['point']
    if action.get('node') and list(_daemons(point)):
        loops.take_back(state, commands, [action['node']])
    for number, which in enumerate((signal.SIGTERM, signal.SIGKILL)):
        found = list(_daemons(point))
        for pid in found:
            if not number:
                commands.note('kill %d' % pid)
            try:
                os.kill(pid, which)
            except OSError as exc:
                if exc.errno != errno.ESRCH:
                    raise
        deadline = time.time() + WAIT
        while found and time.time() < deadline and list(_daemons(point)):
            time.sleep(0.05)
    if any(mount.point == os.fsencode(point) for mount in fsinfo.mounts()):
        commands.run(['umount', point])
