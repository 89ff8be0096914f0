"""The rights on the host that a definition gives to its container: with them, whoever wrote it can take over the host.

A bundle may come from a hostile disk. A restore names each of these and needs `allow` for it; run.sh and compose.yaml
carry a comment. Pure functions, no I/O.
"""
import posixpath
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Tuple

from ..formats.values import as_dict, as_list, as_str, strings
from .body import create_body
from .naming import split_bind, volumes

if TYPE_CHECKING:
    from ..records.definition import Definition

PRIVILEGED, NAMESPACES, PATHS, SOCKET = 'privileged', 'host_namespaces', 'host_paths', 'docker_socket'
DEVICES, CAPABILITIES, VOLUME_DEVICES = 'devices', 'capabilities', 'volume_devices'
KINDS = (PRIVILEGED, NAMESPACES, PATHS, SOCKET, DEVICES, CAPABILITIES, VOLUME_DEVICES)

MODES = (('NetworkMode', '--network'), ('PidMode', '--pid'), ('IpcMode', '--ipc'), ('UTSMode', '--uts'), ('UsernsMode', '--userns'),
         ('CgroupnsMode', '--cgroupns'))
# what every container has (moby: oci/caps/defaults.go)
DEFAULT_CAPABILITIES = frozenset(('CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP',
                                  'SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'))
SOCKETS = re.compile(r'/(docker|dockershim|cri-dockerd|containerd|podman|crio|buildkitd)[^/]*\.sock\Z')
# folders of the operating system: these themselves, and whatever lies below
SYSTEM = ('/bin', '/boot', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/proc', '/root', '/run', '/sbin', '/sys', '/usr',
          '/var/spool', '/var/lib/apt', '/var/lib/cloud', '/var/lib/containerd', '/var/lib/containers',
          '/var/lib/docker', '/var/lib/dpkg', '/var/lib/kubelet', '/var/lib/pacman', '/var/lib/rpm', '/var/lib/snapd',
          '/var/lib/systemd')
# these themselves, not what lies below
WHOLE = frozenset(('/', '/home', '/var', '/var/lib', '/var/log'))
# of the host, and read by many containers; nobody takes a host over by reading them
HARMLESS = ('/etc/ca-certificates', '/etc/hostname', '/etc/hosts', '/etc/localtime', '/etc/machine-id', '/etc/os-release',
            '/etc/pki/ca-trust', '/etc/pki/tls/certs', '/etc/resolv.conf', '/etc/ssl/certs', '/etc/timezone', '/lib/modules',
            '/usr/lib/modules', '/usr/share/ca-certificates', '/usr/share/zoneinfo', '/usr/local/share/ca-certificates')
HARMLESS_WRITTEN = ('/etc/localtime', '/etc/timezone')
# file systems of the local driver whose `device` is no path of the host
REMOTE = re.compile(r'(tmpfs|nfs\d?|cifs|smb\d?)\Z')


class Ask(NamedTuple):
    """One thing that a definition asks for. KIND of KINDS; WHAT as a person would write it; VOLUME: the name of the volume that
    asks, '' where it is the container."""
    kind: str
    what: str
    volume: str = ''


def asks(definition: 'Definition') -> List[Ask]:
    """[Ask] of a definition, in the order of KINDS; [] for a container that stays within its own walls."""
    host = create_body(definition)['HostConfig']
    found = [Ask(PRIVILEGED, '--privileged')] if host.get('Privileged') is True else []
    found.extend(Ask(NAMESPACES, '%s host' % flag) for key, flag in MODES if as_str(host.get(key)) == 'host')
    for source, place, readonly in _binds(host):
        kind = host_path(source, readonly)
        if kind:
            found.append(Ask(kind, '%s:%s%s' % (source, place, ':ro' if readonly else '')))
    found.extend(_devices(host))
    found.extend(_capabilities(host))
    for mount in map(as_dict, as_list(host.get('Mounts'))):
        driver = as_dict(as_dict(mount.get('VolumeOptions')).get('DriverConfig'))
        device = volume_device(as_str(driver.get('Name')), as_dict(driver.get('Options')))
        if device:
            found.append(Ask(VOLUME_DEVICES, '%s in the mount %s' % (device, as_str(mount.get('Target')))))
    for volume in volumes(definition):
        device = volume_device(volume['driver'], volume['options'])
        if device:
            found.append(Ask(VOLUME_DEVICES, '%s of the volume %s' % (device, volume['name']), volume['name']))
    return sorted(found, key=lambda ask: KINDS.index(ask.kind))


def host_path(path: str, readonly: bool = False) -> str:
    """PATHS or SOCKET for a folder or file of the host that gives power over it; '' for one that does not.

    The folders of the operating system, those that hold the homes or states of everything, hidden files of users (.ssh), and the
    sockets of engines. /srv, /opt, /mnt, folders below /home/NAME and /var/lib/NAME are for data.
    """
    path = plain(path)
    if SOCKETS.search(path):
        return SOCKET
    if path in HARMLESS_WRITTEN or readonly and belongs_to_host(path):
        return ''
    home = bool(re.match(r'/home/([^/]+\Z|.*/\.)', path))
    return PATHS if home or whole(path) or any(below(path, folder) for folder in SYSTEM) else ''


def whole(path: str) -> bool:
    """Is PATH '/', or one of the top folders of the operating system?"""
    return plain(path) in WHOLE or plain(path) in SYSTEM


def belongs_to_host(path: str) -> bool:
    """Is PATH a file that every host has of its own, such as /etc/localtime? It is never restored."""
    return any(below(plain(path), place) for place in HARMLESS)


def volume_device(driver: str, options: Dict[str, str]) -> str:
    """'type=none,o=bind,device=/srv' of a volume whose driver options lead to a path or device of the host; '' for others."""
    if driver in ('', 'local'):
        # mount(2) looks neither at the type nor at the form of the device where it is to bind
        binds = any(item in ('bind', 'rbind', 'remount') for item in as_str(options.get('o')).split(','))
        leads = bool(as_str(options.get('device'))) and (binds or not REMOTE.match(as_str(options.get('type'))))
    else:
        leads = any(as_str(value).startswith('/') for value in options.values())
    return ','.join('%s=%s' % (key, as_str(value)) for key, value in sorted(options.items())) if leads else ''


def listed(items: List[Ask]) -> str:
    """'privileged (--privileged), host_paths (/:/host, /etc:/e)' of asks."""
    found = {}
    for item in items:
        found.setdefault(item.kind, []).append(item.what)
    return ', '.join('%s (%s)' % (kind, ', '.join(whats)) for kind, whats in found.items())


def kinds(items: List[Ask]) -> List[str]:
    """The names for `allow`, each once, in order."""
    return list(dict.fromkeys(item.kind for item in items))


def warnings(definition: 'Definition') -> List[str]:
    """[sentence] for the heads of run.sh and compose.yaml; [] if nothing is asked for."""
    found = asks(definition)
    return ['This container reaches its host: %s. Run it only if you trust where it comes from. docker_data_restore needs '
            'allow: [%s] for it.' % (listed(found), ', '.join(kinds(found)))] if found else []


def plain(path: str) -> str:
    """An absolute path without '.', '..' and doubled slashes; /var/run is /run."""
    path = '/' + posixpath.normpath('/' + path).lstrip('/')
    return path[4:] if below(path, '/var/run') else path


def below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip('/') + '/')


def _binds(host: Dict[str, Any]) -> Iterator[Tuple[str, str, bool]]:
    """Yield (path on the host, destination, whether read-only) of every bind mount."""
    for bind in strings(host.get('Binds')):
        source, place, mode = split_bind(bind)
        if source.startswith('/'):
            yield source, place, 'ro' in mode.split(',')
    for mount in map(as_dict, as_list(host.get('Mounts'))):
        if mount.get('Type') == 'bind':
            yield as_str(mount.get('Source')), as_str(mount.get('Target')), mount.get('ReadOnly') is True


def _devices(host: Dict[str, Any]) -> Iterator[Ask]:
    for device in map(as_dict, as_list(host.get('Devices'))):
        yield Ask(DEVICES, '--device %s' % as_str(device.get('PathOnHost')))
    for rule in strings(host.get('DeviceCgroupRules')):
        yield Ask(DEVICES, '--device-cgroup-rule %s' % rule)
    for request in map(as_dict, as_list(host.get('DeviceRequests'))):
        yield Ask(DEVICES, '--gpus or other devices of the driver %s' % (as_str(request.get('Driver')) or 'nvidia'))


def _capabilities(host: Dict[str, Any]) -> Iterator[Ask]:
    for name in strings(host.get('CapAdd')):
        upper = name.upper()
        if (upper[4:] if upper.startswith('CAP_') else upper) not in DEFAULT_CAPABILITIES:
            yield Ask(CAPABILITIES, '--cap-add %s' % name)
    for option in strings(host.get('SecurityOpt')):
        key, value = (re.split('[=:]', option, maxsplit=1) + [''])[:2]
        if value == 'unconfined' or key in ('label', 'writable-cgroups'):
            yield Ask(CAPABILITIES, '--security-opt %s' % option)
        elif key == 'seccomp' and value.lstrip().startswith('{'):
            yield Ask(CAPABILITIES, '--security-opt seccomp=(a profile of its own)')
    for key in ('MaskedPaths', 'ReadonlyPaths'):
        if key in host:
            yield Ask(CAPABILITIES, '%s of its own%s' % (key, '' if host[key] else ' (systempaths=unconfined)'))
