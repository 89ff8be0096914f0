"""config.v2.json and hostconfig.json of a container, made anew from what else tells of it. Values in, values out: nothing is read here."""
import json
from typing import Any, Dict, List, NamedTuple, Optional

NEVER = '0001-01-01T00:00:00Z'
_MASKED = ['/proc/asound', '/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats',
           '/proc/sched_debug', '/proc/scsi', '/sys/firmware']
_READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']


class Evidence(NamedTuple):
    """What is known of a container without its own record. None or empty: not known."""
    ident: str
    name: str
    driver: str
    image_id: str
    reference: str                      # as somebody would have typed it
    image_config: Dict[str, Any]        # the image's `config`
    spec: Dict[str, Any]                # OCI runtime spec of its last run
    hostconfig: Optional[Dict[str, Any]]
    root: str                           # the data root as the engine knew it
    hostname: str
    created: str
    network_ids: Dict[str, str]
    anonymous: Dict[str, str]           # place in the container -> name of the volume, where only evidence tells it


def dump(value: Any) -> bytes:
    """JSON as Go's encoder writes it: compact, and a newline."""
    text = json.dumps(value, separators=(',', ':'), ensure_ascii=False)
    for sign in '<>&':
        text = text.replace(sign, '\\u%04x' % ord(sign))
    return (text + '\n').encode('utf-8')


def container(known: Evidence) -> Dict[str, Any]:
    """config.v2.json. Lost for good: labels given at run, and the name, unless it is given."""
    process = dict_of(known.spec, 'process')
    image = known.image_config
    entrypoint = texts(image.get('Entrypoint'))
    argv = texts(process.get('args')) or entrypoint + texts(image.get('Cmd')) or ['sh']
    command = argv[len(entrypoint):] if entrypoint and argv[:len(entrypoint)] == entrypoint else argv
    place = '%s/containers/%s' % (known.root, known.ident)
    log_type = dict_of(known.hostconfig or {}, 'LogConfig').get('Type') or 'json-file'
    return {
        'StreamConfig': {}, 'State': _state(), 'ID': known.ident, 'Created': known.created, 'Managed': False,
        'Path': argv[0], 'Args': argv[1:],
        'Config': {
            'Hostname': known.hostname or known.ident[:12], 'Domainname': '', 'User': image.get('User') or '', 'AttachStdin': False,
            'AttachStdout': False, 'AttachStderr': False, 'ExposedPorts': image.get('ExposedPorts'), 'Tty': bool(process.get('terminal')),
            'OpenStdin': False, 'StdinOnce': False, 'Env': _environment(process, image), 'Cmd': command, 'Healthcheck': image.get('Healthcheck'),
            'Image': known.reference or known.image_id, 'Volumes': image.get('Volumes'),
            'WorkingDir': text_of(process, 'cwd') or text_of(image, 'WorkingDir'), 'Entrypoint': image.get('Entrypoint'), 'OnBuild': None,
            'Labels': image.get('Labels') or {}, 'StopSignal': image.get('StopSignal') or ''},
        'Image': known.image_id,
        'NetworkSettings': {'Bridge': '', 'SandboxID': '', 'HairpinMode': False, 'LinkLocalIPv6Address': '', 'LinkLocalIPv6PrefixLen': 0,
                            'Networks': _networks(known), 'Service': None, 'Ports': {}, 'SandboxKey': '', 'SecondaryIPAddresses': None,
                            'SecondaryIPv6Addresses': None, 'IsAnonymousEndpoint': False, 'HasSwarmEndpoint': False},
        'LogPath': '%s/%s-json.log' % (place, known.ident) if log_type == 'json-file' else '',
        'Name': '/' + known.name, 'Driver': known.driver, 'OS': 'linux', 'MountLabel': '', 'ProcessLabel': '', 'RestartCount': 0,
        'HasBeenStartedBefore': True, 'HasBeenManuallyStopped': True, 'MountPoints': mount_points(known), 'SecretReferences': None,
        'ConfigReferences': None, 'AppArmorProfile': '', 'HostnamePath': place + '/hostname', 'HostsPath': place + '/hosts',
        'ShmPath': '', 'ResolvConfPath': place + '/resolv.conf', 'SeccompProfile': '', 'NoNewPrivileges': False,
    }


def _state() -> Dict[str, Any]:
    return {'Running': False, 'Paused': False, 'Restarting': False, 'OOMKilled': False, 'RemovalInProgress': False, 'Dead': False, 'Pid': 0,
            'ExitCode': 255, 'Error': '', 'StartedAt': NEVER, 'FinishedAt': NEVER, 'Health': None}


def _environment(process: Dict[str, Any], image: Dict[str, Any]) -> List[str]:
    """Of the last run, without what dockerd adds itself; else the image's."""
    if not process:
        return texts(image.get('Env'))
    return [one for one in texts(process.get('env')) if not one.startswith(('HOSTNAME=', 'TERM='))]


def _networks(known: Evidence) -> Dict[str, Dict[str, Any]]:
    mode = text_of(known.hostconfig, 'NetworkMode') or ('none' if known.hostconfig is None else 'default')
    if mode.startswith('container:'):
        return {}
    name = 'bridge' if mode == 'default' else mode
    return {name: {'IPAMConfig': None, 'Links': None, 'Aliases': None, 'NetworkID': known.network_ids.get(name, ''), 'EndpointID': '', 'Gateway': '',
                   'IPAddress': '', 'IPPrefixLen': 0, 'IPv6Gateway': '', 'GlobalIPv6Address': '', 'GlobalIPv6PrefixLen': 0, 'MacAddress': '',
                   'DriverOpts': None, 'IPAMOperational': False}}


def mount_points(known: Evidence) -> Dict[str, Dict[str, Any]]:
    """MountPoints: of hostconfig, then of the runtime spec, then anonymous volumes that evidence gives to it."""
    found: Dict[str, Dict[str, Any]] = {}
    host = known.hostconfig or {}
    for bind in texts(host.get('Binds')):
        parts = bind.split(':')
        if len(parts) > 1:
            _point(found, known.root, parts[0], parts[1], 'ro' not in (parts[2].split(',') if len(parts) > 2 else ()), parts[2] if len(parts) > 2 else '')
    for mount in list_of(host, 'Mounts'):
        if isinstance(mount, dict) and mount.get('Source') and mount.get('Target') and mount.get('Type') in ('volume', 'bind'):
            _point(found, known.root, str(mount['Source']), str(mount['Target']), not mount.get('ReadOnly'), '', mount)
    for mount in list_of(known.spec, 'mounts'):
        if isinstance(mount, dict) and isinstance(mount.get('source'), str) and isinstance(mount.get('destination'), str):
            _of_spec(found, known, mount)
    for place, name in known.anonymous.items():
        found.setdefault(place, _volume(known.root, name, place, True, '', {}))
    return found


def _of_spec(found: Dict[str, Dict[str, Any]], known: Evidence, mount: Dict[str, Any]) -> None:
    source, place = mount['source'], mount['destination']
    if place in found or not source.startswith('/') or source.startswith('%s/containers/' % known.root):
        return                          # proc, tmpfs; the engine's own files
    writable = 'ro' not in texts(mount.get('options'))
    volumes = known.root + '/volumes/'
    if source.startswith(volumes) and source.endswith('/_data') and source.count('/') == volumes.count('/') + 1:
        found[place] = _volume(known.root, source[len(volumes):-len('/_data')], place, writable, '', {})
    else:
        _point(found, known.root, source, place, writable, '')


def _point(found: Dict[str, Dict[str, Any]], root: str, source: str, place: str, writable: bool, mode: str, spec: Any = None) -> None:
    if source.startswith('/'):
        spec = spec or {'Type': 'bind', 'Source': source, 'Target': place, **({} if writable else {'ReadOnly': True})}
        found[place] = {'Source': source, 'Destination': place, 'RW': writable, 'Name': '', 'Driver': '', 'Type': 'bind', 'Relabel': mode,
                        'Propagation': 'rprivate', 'Spec': spec, 'SkipMountpointCreation': False}
    else:
        found[place] = _volume(root, source, place, writable, mode, spec or {'Type': 'volume', 'Source': source, 'Target': place})


def _volume(root: str, name: str, place: str, writable: bool, mode: str, spec: Dict[str, str]) -> Dict[str, Any]:
    return {'Source': '%s/volumes/%s/_data' % (root, name) if spec else '', 'Destination': place, 'RW': writable, 'Name': name, 'Driver': 'local',
            'Type': 'volume', 'Relabel': mode, 'Propagation': '', 'Spec': spec, 'SkipMountpointCreation': False}


def host(config: Dict[str, Any], spec: Dict[str, Any], log_type: str) -> Dict[str, Any]:
    """hostconfig.json, from config.v2.json and the runtime spec. The restart policy is `no`; LOG_TYPE must not be empty.

    Lost: --tmpfs, devices, capabilities, ulimits, restart policy, MemorySwap.
    """
    settings = dict_of(config, 'NetworkSettings')
    networks = list(dict_of(settings, 'Networks'))
    linux = dict_of(spec, 'linux')
    memory = dict_of(dict_of(linux, 'resources'), 'memory').get('limit')
    return {
        'Binds': _binds(config) or None, 'ContainerIDFile': '', 'LogConfig': {'Type': log_type, 'Config': {}},
        'NetworkMode': networks[0] if networks else 'none', 'PortBindings': _ports(settings),
        'RestartPolicy': {'Name': 'no', 'MaximumRetryCount': 0}, 'AutoRemove': False, 'VolumeDriver': '', 'VolumesFrom': None, 'CapAdd': None,
        'CapDrop': None, 'CgroupnsMode': 'host', 'Dns': [], 'DnsOptions': [], 'DnsSearch': [], 'ExtraHosts': None, 'GroupAdd': None,
        'IpcMode': 'private', 'Cgroup': '', 'Links': None, 'OomScoreAdj': 0, 'PidMode': '', 'Privileged': False, 'PublishAllPorts': False,
        'ReadonlyRootfs': bool(dict_of(spec, 'root').get('readonly')), 'SecurityOpt': None, 'UTSMode': '', 'UsernsMode': '', 'ShmSize': 67108864,
        'Runtime': 'runc', 'ConsoleSize': [0, 0], 'Isolation': '', 'Memory': memory if isinstance(memory, int) else 0,
        'MaskedPaths': texts(linux.get('maskedPaths')) or _MASKED, 'ReadonlyPaths': texts(linux.get('readonlyPaths')) or _READONLY,
    }


def _binds(config: Dict[str, Any]) -> List[str]:
    found: List[str] = []
    for place, point in sorted(dict_of(config, 'MountPoints').items()):
        if not isinstance(point, dict) or point.get('Type') not in ('', 'bind', 'volume'):
            continue
        named = text_of(point, 'Name') if dict_of(point, 'Spec').get('Source') else ''
        source = text_of(point, 'Source') if point.get('Type') == 'bind' else named
        if source:
            found.append('%s:%s%s' % (source, place, '' if point.get('RW') is not False else ':ro'))
    return found


def _ports(settings: Dict[str, Any]) -> Dict[str, Any]:
    return {port: hosts for port, hosts in dict_of(settings, 'Ports').items() if hosts}


def dict_of(value: Any, key: str) -> Dict[str, Any]:
    """VALUE[KEY] if it is a dictionary, else an empty one."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def text_of(value: Any, key: str) -> str:
    """VALUE[KEY] if that is text, else ''. A damaged record may have anything there, and not all of it can be a key or be compared."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ''


def list_of(value: Any, key: str) -> List[Any]:
    """VALUE[KEY] if it is a list, else an empty one."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def texts(value: Any) -> List[str]:
    """VALUE if it is a list, what is text of it; else []."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
