"""Layers that are thin devices: each is opened on a throw-away view of their pool, and mounted where the engine looks for it.

The pool and its devices are opened for writing, so that journals are replayed; all of it goes to overlays. What the records of the
dead host say is checked: paths must lie in the attachment's folder, and names, numbers and sizes come checked from the engine.
"""
import os
import stat
import struct
from typing import Any, Dict, List

from ..disk.errors import LifeboatError
from ..engines import registry
from ..engines.api import THIN_MARK, ThinDevice, ThinPool
from ..formats import wording
from ..formats.wording import show
from . import export, filesystems
from .commands import Commands, Failed, ToolMissing, line_of
from .session import IGNORE, Device, Session, read_of, size_of
from .state import State
from .superblocks import identify

MAX_LAYERS = 2000                       # devices of all pools of a host; each is a mount
KINDS = ('ext2', 'ext3', 'ext4', 'xfs')  # what engines make on thin devices
SECTOR = 512
MAGIC = 27022010                        # of the metadata of a thin pool (Linux: drivers/md/dm-thin-metadata.c)
_BLOCK_SIZE = 336
REPAIR = 'If the metadata of the pool are damaged: copy them to a file, and look at the copy with thin_check and thin_repair.'


def open_layers(session: Session, host_root: str) -> int:
    """Mount every layer of the host that is a thin device -> how many. What cannot be mounted is a problem."""
    try:
        with registry.open_host(os.fsencode(host_root)) as host:
            pools = [pool for root in host.roots for pool in root.thin_pools()]
    except LifeboatError:
        return 0                        # no engine there
    mounted = 0
    for pool in pools:
        place = os.fsdecode(pool.folder)
        try:
            mounted += _open(session, pool, place)
        except (Failed, ToolMissing, LifeboatError, OSError) as exc:
            session.problem('LAYER_NOT_ATTACHED', place, 'The layers at %s were not mounted: %s.' % (show(place), show(str(exc))), REPAIR)
    return mounted


def _open(session: Session, pool: ThinPool, place: str) -> int:
    if not export.can_overlay():
        raise LifeboatError('that needs qemu-img, and qemu-storage-daemon or qemu-nbd; install them, release the disk and attach it again')
    _inside(session, place, stat.S_ISDIR)
    if filesystems.is_mounted(place):
        return 0
    nodes = [_own_pool(session, pool)] if pool.data else list(session.pools)
    node = _fitting(session, nodes, pool.devices)
    filesystems.mount_at(session, ['-t', 'tmpfs', '-o', 'nosuid,nodev,noexec,mode=0700,size=16m', 'lifeboat'], place)
    os.close(os.open(os.path.join(place, os.fsdecode(THIN_MARK)), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    if len(pool.devices) > MAX_LAYERS:
        session.problem('LAYER_NOT_ATTACHED', place, '%s are recorded; the first %d were mounted.' % (wording.number(len(pool.devices), 'layer'), MAX_LAYERS))
    return sum(1 for device in pool.devices[:MAX_LAYERS] if _mounted(session, node, device, place))


def _inside(session: Session, path: str, is_kind: Any) -> None:
    """LifeboatError if PATH is not of that kind, or not in the attachment's folder: a link on the way could lead out of it."""
    if os.path.realpath(path) != path or not path.startswith(session.state.folder + '/') or not is_kind(os.lstat(path).st_mode):
        raise LifeboatError('%s is a link, or not what should be there' % show(path))


def _own_pool(session: Session, pool: ThinPool) -> str:
    """The pool over the files that the engine kept it in -> its node."""
    metadata, data = os.fsdecode(pool.metadata), os.fsdecode(pool.data)
    for path in (metadata, data):
        _inside(session, path, stat.S_ISREG)
    block = block_size(metadata)
    nodes = []
    for path in (metadata, data):
        place = export.bind(session, path)
        nodes.append(export.overlay(session, Device(place, 0, size_of(place), export.graph_of(place), show(path))))
    sectors = size_of(data) // SECTOR // block * block
    return _create(session, 'pool', '0 %d thin-pool %s %s %d 0 2 skip_block_zeroing error_if_no_space' % (sectors, nodes[0], nodes[1], block))


def block_size(metadata: str) -> int:
    """Sectors of a block of the pool whose metadata the file METADATA has. LifeboatError if it has none."""
    fd = os.open(metadata, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        head = os.pread(fd, _BLOCK_SIZE + 4, 0)
    finally:
        os.close(fd)
    if len(head) < _BLOCK_SIZE + 4 or struct.unpack_from('<Q', head, 32)[0] != MAGIC:
        raise LifeboatError('%s has no metadata of a thin pool' % show(metadata))
    size = struct.unpack_from('<I', head, _BLOCK_SIZE)[0]
    if not 128 <= size <= 2097152 or size % 128:        # the kernel's own limits
        raise LifeboatError('%s names blocks of %d sectors, which no pool has' % (show(metadata), size))
    return size


def _create(session: Session, kind: str, table: str) -> str:
    """A device of device-mapper -> its node."""
    name = session.name(kind)
    session.state.begin(kind='dm', name=name)
    session.commands.run(['dmsetup', 'create', name, '--table', table])
    return '/dev/mapper/' + name


def _fitting(session: Session, nodes: List[str], devices: Any) -> str:
    """The pool of NODES that has DEVICES. LifeboatError if none has."""
    said = 'no thin pool of LVM was found on the disks'
    for node in nodes:
        for device in devices[:5]:      # one may have been recorded just before the power went, and not be in the pool
            try:
                made = _create(session, 'try', _table(node, device))
            except Failed as exc:
                said = exc.said
                continue
            session.commands.run(['dmsetup', 'remove', '--retry', os.path.basename(made)])
            return node
    raise LifeboatError(said)


def _table(node: str, device: ThinDevice) -> str:
    return '0 %d thin %s %d' % (device.size // SECTOR, node, device.number)


def _mounted(session: Session, pool: str, device: ThinDevice, place: str) -> bool:
    """Mount one layer; False, and a problem, if that cannot be done."""
    name = os.fsdecode(device.name)
    point = os.path.join(place, name)
    try:
        node = _create(session, 'layer', _table(pool, device))
        found = identify(read_of(Device(node, 0, device.size, {}, name)), device.size)
        if found is None or found.kind not in KINDS:
            raise LifeboatError('it has no file system that is known')
        session.commands.note(line_of(['mkdir', point]))
        os.mkdir(point, 0o700)
        _mount(session, node, found.kind, point, name)
        return True
    except (Failed, LifeboatError, OSError) as exc:
        session.problem('LAYER_NOT_ATTACHED', name, 'The layer %s (thin device %d) was not mounted: %s.' % (
            name, device.number, show(getattr(exc, 'said', '') or str(exc))))
        return False


def _mount(session: Session, node: str, kind: str, point: str, name: str) -> None:
    if session.request.journal != IGNORE:
        try:
            filesystems.mount_at(session, ['-t', kind, '-o', filesystems.ALWAYS + filesystems.REPLAYED.get(kind, ''), node], point)
            return
        except Failed as exc:
            session.problem('JOURNAL_IGNORED', name, 'The journal of the layer %s could not be replayed (%s): what was written last may be '
                            'missing, or old.' % (name, show(exc.said)))
    filesystems.mount_at(session, ['-t', kind, '-o', filesystems.ALWAYS + filesystems.NO_REPLAY.get(kind, ''), node], point)


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Remove the device of ACTION, if it is there and ours."""
    if not action['name'].startswith(state.name + '-'):
        return
    try:
        commands.run(['dmsetup', 'info', action['name']], quiet=True)
    except Failed:
        return
    commands.run(['dmsetup', 'remove', '--retry', action['name']])
