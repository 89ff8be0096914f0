"""File systems -> hosts: the root file system with everything that its own fstab mounts below it.

fstab and the names in it are untrusted. A mount point is walked as in a chroot, so that no link leads out of the host; a
source is only looked up among the file systems of the disk.
"""
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..disk.host import HostRoot
from ..engines import registry
from ..engines.api import Given
from ..formats import wording
from ..formats.wording import show
from ..records import model
from . import filesystems, hints, luks, raid
from .commands import Failed
from .session import Device, FileSystem, Session

MAX_ENTRIES = 100                       # of an fstab
ROOT_SIGNS = (b'/etc/os-release', b'/usr/lib/os-release', b'/etc/passwd', b'/etc/fstab')
SUBVOLUMES = (b'@', b'@rootfs', b'root', b'rootfs', b'ROOT')
SKIPPED = ('swap', 'proc', 'sysfs', 'tmpfs', 'devpts', 'vfat', 'iso9660', 'udf', 'nfs', 'nfs4', 'cifs', 'none', 'ignore')
_SUBVOLID = re.compile(r'[0-9]{1,20}\Z')


class Place(NamedTuple):
    """A file system as it is part of a host."""
    point: str                          # in the dead host
    system: FileSystem
    subfolder: str


class Assembled(NamedTuple):
    root: str                           # host_root, on this machine
    places: Tuple[Place, ...]


def assemble(session: Session, systems: List[FileSystem]) -> List[Dict[str, Any]]:
    """`hosts` of the result: those with a root file system first, then file systems that hold a data root alone."""
    hosts, used = [], set()
    for system, subfolder in _roots(systems):
        hosts.append(_host(session, system, subfolder, systems))
        used |= {place.system.point for place in hosts[-1].places}
    described = [_described(session, host) for host in hosts]
    for system in systems:
        if system.point not in used:
            alone = _described(session, Assembled(system.top if system.found.kind == 'btrfs' and not _engines(system.point)[0]
                                                  else system.point, (Place('/', system, ''),)))
            if alone['engines'] or not hosts and len(systems) == 1:
                described.append(alone)
    return described


def _roots(systems: List[FileSystem]) -> List[Tuple[FileSystem, str]]:
    found = []
    for system in systems:
        if _is_root(HostRoot(os.fsencode(system.point)), b'/'):
            found.append((system, ''))
        elif system.top != system.point:
            top = HostRoot(os.fsencode(system.top))
            found += [(system, '/' + os.fsdecode(name)) for name in SUBVOLUMES if _is_root(top, b'/' + name)][:1]
    return found


def _is_root(host: HostRoot, folder: bytes) -> bool:
    # by lstat of the folder: a link there could name another place
    try:
        if host.resolve(folder).rstrip(b'/') != host.place(folder).rstrip(b'/'):
            return False
    except OSError:
        return False
    signs = sum(1 for sign in ROOT_SIGNS if host.exists(folder.rstrip(b'/') + sign))
    return signs >= 2


def _host(session: Session, system: FileSystem, subfolder: str, systems: List[FileSystem]) -> Assembled:
    root = session.folder('host')
    _bind(session, system, subfolder, root)
    places = [Place('/', system, subfolder)]
    host = HostRoot(os.fsencode(root))
    try:
        entries = fsinfo.parse_fstab(host.read(b'/etc/fstab', 1 << 20))[:MAX_ENTRIES]
    except OSError:
        entries = ()
    aliases = _aliases(host, systems)
    for entry in sorted(entries, key=lambda each: (each.is_bind, each.point.count(b'/'), each.point)):
        if entry.point == b'/' or entry.fstype in SKIPPED and not entry.is_bind:
            continue
        placed = _place(session, host, entry, aliases.get(os.fsdecode(entry.source)) or system_of(entry, systems))
        if placed is not None:
            places.append(placed)
    return Assembled(root, tuple(places))


def _bind(session: Session, system: FileSystem, subfolder: str, target: str) -> None:
    """SYSTEM, or SUBFOLDER of its top, at TARGET."""
    source = system.point
    if subfolder:
        source = os.fsdecode(HostRoot(os.fsencode(system.top)).resolve(os.fsencode('/' + subfolder.lstrip('/'))))
    filesystems.mount_at(session, ['--bind', source], target)


def _place(session: Session, host: HostRoot, entry: fsinfo.FstabEntry, system: Optional[FileSystem]) -> Optional[Place]:
    """Mount SYSTEM as one line of fstab says, if the disk has it."""
    point = show(entry.point)
    try:
        target = os.fsdecode(host.resolve(entry.point))
    except OSError:
        session.problem('DATA_ROOT_NOT_MOUNTED', point, 'fstab mounts %s at %s, but there is no such folder.' % (show(entry.source), point))
        return None
    try:
        if entry.is_bind:
            filesystems.mount_at(session, ['--bind', os.fsdecode(host.resolve(entry.source))], target)
            return None
        if system is None:
            if not _optional(entry):
                session.problem('DATA_ROOT_NOT_MOUNTED', point, 'fstab mounts %s at %s, and that file system is not on the disks given.'
                                % (show(entry.source), point), 'Add the disk that has it to path. If it holds no container data, nothing is lost.')
            return None
        subfolder = _subfolder(session, entry, system, target)
        if subfolder is None:
            return Place(os.fsdecode(entry.point), system, 'by subvolid')
        _bind(session, system, subfolder, target)
        return Place(os.fsdecode(entry.point), system, subfolder)
    except (Failed, OSError) as exc:
        session.problem('DATA_ROOT_NOT_MOUNTED', point, 'What fstab mounts at %s could not be mounted: %s.' % (point, show(str(exc))))
        return None


def _aliases(host: HostRoot, systems: List[FileSystem]) -> Dict[str, FileSystem]:
    """{path in /dev: file system} of names that only crypttab and mdadm.conf of HOST explain."""
    found = {}
    inner = [each for each in systems if each.device.container is not None]
    for line in hints.crypttab(host):
        hit = _named_by(line.source, [each.device.container for each in inner])
        if hit is not None:
            found['/dev/mapper/' + line.name] = inner[hit]
    for path, ident in hints.arrays(host).items():
        hits = [each for each in systems if raid.by_id(ident) in each.device.names]
        if len(hits) == 1:
            found[path] = hits[0]
    return found


def _named_by(source: bytes, devices: List[Any]) -> Optional[int]:
    """Which of DEVICES (pairs of Device and Found) SOURCE means, as in fstab."""
    made = [FileSystem(device, found, '', '', '', '') for device, found in devices]
    hit = system_of(fsinfo.FstabEntry(source, b'/', '', ()), made)
    return None if hit is None else [each is hit for each in made].index(True)


def opened_by_keys(session: Session, systems: List[FileSystem]) -> List[Device]:
    """What is inside of LUKS containers that stayed shut, and whose key file lies on a root file system among SYSTEMS."""
    opened = []
    for system, subfolder in _roots(systems):
        top = HostRoot(os.fsencode(system.top if subfolder else system.point))
        host = HostRoot(top.resolve(os.fsencode(subfolder))) if subfolder else top
        for line in hints.crypttab(host):
            hit = _named_by(line.source, session.locked)
            key = hints.key_of(host, line) if hit is not None else None
            if hit is not None and key:
                device, found = session.locked[hit]
                inner = luks.open_with(session, device, found, key, 'the key is %s of the dead host' % show(line.key))
                opened += [inner] if inner else []
    return opened


def _optional(entry: fsinfo.FstabEntry) -> bool:
    return entry.point.startswith((b'/boot', b'/media', b'/mnt/cdrom')) or b'noauto' in entry.options


def _subfolder(session: Session, entry: fsinfo.FstabEntry, system: FileSystem, target: str) -> Optional[str]:
    """The folder of the file system that ENTRY mounts; None if it was mounted here, by the number of a subvolume."""
    if system.found.kind != 'btrfs':
        return ''
    for option in entry.options:
        name, dummy, value = option.decode('utf-8', 'surrogateescape').partition('=')
        if name == 'subvol':
            return '/' + value.strip('/')
    for option in entry.options:
        name, dummy, value = option.decode('utf-8', 'surrogateescape').partition('=')
        if name == 'subvolid' and _SUBVOLID.match(value):
            filesystems.mount_at(session, ['-t', 'btrfs', '-o', '%s,subvolid=%s' % (system.options, value), system.node], target)
            return None
    return ''


def system_of(entry: fsinfo.FstabEntry, systems: List[FileSystem]) -> Optional[FileSystem]:
    """The file system that the source of an fstab ENTRY names; None if there is none, or more than one that could be meant."""
    source = entry.source.decode('utf-8', 'surrogateescape')
    for prefix, key in (('/dev/disk/by-uuid/', 'UUID'), ('/dev/disk/by-label/', 'LABEL'), ('/dev/disk/by-partuuid/', 'PARTUUID'),
                        ('/dev/disk/by-partlabel/', 'PARTLABEL')):
        if source.startswith(prefix):
            source = '%s=%s' % (key, source[len(prefix):])
    key, equals, value = source.partition('=')
    value = value.strip('"')
    if equals:
        of = {'UUID': lambda each: each.found.uuid, 'LABEL': lambda each: each.found.label,
              'PARTUUID': lambda each: each.device.partuuid, 'PARTLABEL': lambda each: each.device.partlabel}.get(key)
        hits = [each for each in systems if of is not None and value and of(each).lower() == value.lower()]
        if of is not None and key in ('LABEL', 'PARTLABEL'):
            hits = [each for each in hits if of(each) == value]
    else:
        hits = [each for each in systems if source in each.device.names]
        if not hits:
            hits = _by_number(source, systems)
    return hits[0] if len(hits) == 1 else None


def _by_number(source: str, systems: List[FileSystem]) -> List[FileSystem]:
    """/dev/sda2 of the dead host: partition 2, if only one disk has a file system there, and of that kind of name."""
    match = re.match(r'/dev/(?:(?:sd|vd|xvd|hd)[a-z]+|(?:nvme\d+n\d+|mmcblk\d+)p)(\d{1,3})\Z', source)
    return [each for each in systems if match and each.device.shown.endswith(', partition %s' % match.group(1))]


# -- what is told ----------------------------------------------------------------------------------------------------


def _engines(root: str) -> Tuple[List[Dict[str, Any]], Tuple[model.Problem, ...]]:
    """([what `hosts[].engines` says of each data root], problems). An engine that does not count its containers says None."""
    engines, problems = [], []
    for name, module in registry.engines().items():
        found = module.find(HostRoot(os.fsencode(root)), Given())
        engines += [{'engine': name, 'data_root': wording.text(each.path), 'containers': getattr(each, 'containers', None),
                     'volumes': getattr(each, 'volumes', None), 'drivers': list(getattr(each, 'drivers', ()))}
                    for each in found.candidates if getattr(each, 'score', 2) > 1]
        problems += found.problems
    return engines, tuple(problems)


def _described(session: Session, host: Assembled) -> Dict[str, Any]:
    try:
        engines, problems = _engines(host.root)
    except (OSError, LifeboatError) as exc:
        engines, problems = [], ()
        session.problem('READ_ERROR', host.root, 'The host at %s cannot be read: %s.' % (host.root, show(str(exc))))
    # the facts and the rescue tell the rest
    session.problems += [each for each in problems if each.code == 'VM_DISK' and each not in session.problems
                         and not _is_known(session, host.root, each.object)]
    return {'host_root': host.root, 'os': os_of(host.root), 'engines': engines, 'file_systems': [
        {'point': show(place.point), 'device': place.system.device.shown, 'kind': place.system.found.kind, 'uuid': show(place.system.found.uuid),
         'label': show(place.system.found.label), 'journal': place.system.found.journal, 'subvolume': show(place.subfolder),
         'options': place.system.options} for place in host.places]}


def _is_known(session: Session, root: str, place: str) -> bool:
    """Whether PLACE is an image that was named already, by its path in its own file system, or attached."""
    host = HostRoot(os.fsencode(root))
    try:
        st = host.lstat(host.to_host(os.fsencode(place)))
    except (OSError, ValueError):
        return False
    return (st.st_dev, st.st_ino) in session.images


def os_of(root: str) -> Dict[str, str]:
    """`id`, `name`, `version`, `hostname` of the dead host; '' where it does not say."""
    host = HostRoot(os.fsencode(root))
    values = {}
    for path in (b'/etc/os-release', b'/usr/lib/os-release'):
        try:
            for line in host.read(path, 1 << 16).decode('utf-8', 'replace').splitlines():
                key, dummy, value = line.partition('=')
                values.setdefault(key.strip(), show(value.strip().strip('"\'')))
            break
        except OSError:
            continue
    try:
        name = show(host.read(b'/etc/hostname', 1 << 12).partition(b'\n')[0].strip())
    except OSError:
        name = ''
    return {'id': values.get('ID', ''), 'name': values.get('PRETTY_NAME', ''), 'version': values.get('VERSION_ID', ''), 'hostname': name}
