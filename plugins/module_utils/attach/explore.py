"""Disks -> file systems: partition tables, LUKS, md, LVM, in whatever order they lie in each other."""
from typing import List, NamedTuple, Optional, Tuple

from ..formats.wording import show
from . import luks, lvm, partitions, raid
from .session import MAX_DEPTH, MAX_DEVICES, Device, Session, read_of
from .superblocks import LUKS, LVM, MD, MOUNTED, Found, identify


class Finding(NamedTuple):
    """`mountable`: file systems that are mounted. `others`: what is only named (swap, vfat, ...)."""
    mountable: Tuple[Tuple[Device, Found], ...]
    others: Tuple[Tuple[Device, Found], ...]


def explore(session: Session, disks: List[Device]) -> Finding:
    """Look into DISKS and everything in them."""
    todo = [(disk, 0) for disk in disks]
    mountable, others = [], []
    volumes = []
    arrays = {}
    seen = depth = 0
    while True:
        while todo:
            device, depth = todo.pop(0)
            seen += 1
            if seen > MAX_DEVICES or depth > MAX_DEPTH:
                session.problem('LAYER_NOT_ATTACHED', device.shown, 'There are more than %d devices in each other, or beside each other; '
                                'the rest was not looked at.' % MAX_DEVICES)
                return Finding(tuple(mountable), tuple(others))
            found = _identify(session, device)
            if found is None or found.kind != MD:
                inner = _partitions(session, device)
                if inner:
                    todo += [(each, depth + 1) for each in inner]
                    continue
            if found is None:
                continue
            if found.kind == MD:
                arrays.setdefault(found.uuid, []).append((device, found))
            elif found.kind == LVM:
                volumes.append((device, found))
            elif found.kind == LUKS:
                opened = luks.open_device(session, device, found)
                todo += [(opened, depth + 1)] if opened else []
            else:
                (mountable if found.kind in MOUNTED else others).append((device, found))
        if arrays:                      # before LVM, which may lie on them
            started = [raid.assemble(session, members) for dummy, members in sorted(arrays.items())]
            todo = [(each, depth + 1) for each in started if each]
            arrays = {}
        elif volumes:
            todo = [(each, depth + 1) for each in lvm.activate(session, volumes)]
            volumes = []
        else:
            return Finding(tuple(mountable), tuple(others))


def _identify(session: Session, device: Device) -> Optional[Found]:
    try:
        return identify(read_of(device), device.size)
    except OSError as exc:
        session.problem('READ_ERROR', device.shown, '%s cannot be read: %s.' % (device.shown, exc.strerror),
                        'Copy the disk first (ddrescue) and attach the copy.')
        return None


def _partitions(session: Session, device: Device) -> List[Device]:
    try:
        table = partitions.table_of(read_of(device), device.size)
    except OSError:
        return []                       # said by _identify
    if table.damage:
        session.problem('PARTITIONS_DAMAGED', device.shown, '%s: %s' % (device.shown, table.damage))
    if table.partitions:
        session.commands.note('# %s: %s with %d partitions' % (device.shown, table.kind, len(table.partitions)))
    return [Device(device.file, device.offset + each.start, each.size, device.graph, '%s, partition %d' % (device.shown, each.number),
                   tuple('%s%s%d' % (name, 'p' if name[-1:].isdigit() else '', each.number) for name in device.names
                         if name.startswith('/dev/')), each.uuid, show(each.name)) for each in table.partitions]
