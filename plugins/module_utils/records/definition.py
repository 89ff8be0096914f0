"""How a container was created, in the words of OCI and Compose: what every engine's records become, and what recreate writes.

What an engine fills in by itself (its own defaults, a host name made from the ID) is not in it: each value was asked for. An empty
value ('', 0, (), {}, None) is the default of whatever engine creates the container again. Immutable; every value is of the type
that its field names, whatever the disk or a bundle said.
"""
import functools
import re
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union

from ..formats.values import NOTHING, as_dict, as_str, clean
from .model import Mount

SHARES = 'container:'                   # a namespace of another container: container:ID
_IN_POD = re.compile(r'[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){1,2}\Z')     # NAMESPACE/POD/CONTAINER; no engine takes a slash


class Health(NamedTuple):
    """A health check. Times are nanoseconds, 0 is the engine's default. `test` is [NONE], [CMD, ...] or [CMD-SHELL, ...]."""
    test: Tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Defaults(NamedTuple):
    """What an image says of the containers that are made of it. :class:`Definition` has fields of the same names."""
    entrypoint: Tuple[str, ...] = ()
    command: Tuple[str, ...] = ()
    env: Tuple[str, ...] = ()           # NAME=VALUE
    cwd: str = ''
    user: str = ''
    labels: Dict[str, str] = NOTHING
    exposed: Tuple[str, ...] = ()       # 80/tcp
    volumes: Tuple[str, ...] = ()       # paths that get a volume of their own
    shell: Tuple[str, ...] = ()
    stop_signal: str = ''
    stop_timeout: Optional[int] = None  # seconds
    health: Optional[Health] = None
    args_escaped: bool = False
    on_build: Tuple[str, ...] = ()


class Binding(NamedTuple):
    """Where one port is published on the host; '' as port: the engine chooses one."""
    address: str = ''
    port: str = ''


class MountRequest(NamedTuple):
    """A mount as it was asked for. `short`: in the short syntax (SOURCE:TARGET:MODE; TARGET:MODE of a tmpfs), else one option each."""
    type: str                           # volume | bind | tmpfs | image | cluster | npipe
    target: str
    source: str = ''                    # '' for an anonymous volume
    short: bool = False
    mode: str = ''                      # of the short syntax, as written: ro,z
    read_only: bool = False
    propagation: str = ''
    recursive: str = ''                 # disabled | writable | readonly, as Compose has it
    create_host_path: bool = False
    nocopy: bool = False
    subpath: str = ''
    labels: Dict[str, str] = NOTHING         # of the volume, if it has to be made
    driver: str = ''
    driver_options: Dict[str, str] = NOTHING
    tmpfs_size: int = 0                 # bytes
    tmpfs_mode: int = 0
    tmpfs_options: Tuple[Tuple[str, ...], ...] = ()
    consistency: str = ''


class VolumeSettings(NamedTuple):
    """A volume of a container. `name` is what it is to be called on the engine that it is restored to."""
    name: str = ''
    driver: str = ''
    options: Dict[str, str] = NOTHING
    labels: Dict[str, str] = NOTHING


class Pool(NamedTuple):
    subnet: str = ''
    gateway: str = ''
    ip_range: str = ''
    reserved: Dict[str, str] = NOTHING       # name -> address that no container gets: --aux-address


class NetworkSettings(NamedTuple):
    """A user-defined network."""
    driver: str = ''
    options: Dict[str, str] = NOTHING
    labels: Dict[str, str] = NOTHING
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    ipam: Tuple[Pool, ...] = ()
    disable_ipv4: bool = False
    ipam_driver: str = ''               # '' is the engine's own
    ipam_options: Dict[str, str] = NOTHING
    ident: str = ''


class Endpoint(NamedTuple):
    """What was asked for of one network. `address`, `prefix` and `gateway` are what the engine gave."""
    ipv4_address: str = ''
    ipv6_address: str = ''
    link_local_ips: Tuple[str, ...] = ()
    aliases: Tuple[str, ...] = ()
    links: Tuple[str, ...] = ()
    driver_options: Dict[str, str] = NOTHING
    mac_address: str = ''
    address: str = ''
    prefix: int = 0
    gateway: str = ''
    network_id: str = ''
    gw_priority: int = 0                # of several networks, the one with the highest is the default gateway


class Rate(NamedTuple):
    """A limit of one block device; `rate` is bytes or operations a second, or a weight."""
    path: str = ''
    rate: int = 0


class BlockIO(NamedTuple):
    weight: int = 0
    weight_device: Tuple[Rate, ...] = ()
    read_bps: Tuple[Rate, ...] = ()
    write_bps: Tuple[Rate, ...] = ()
    read_iops: Tuple[Rate, ...] = ()
    write_iops: Tuple[Rate, ...] = ()


class Ulimit(NamedTuple):
    name: str = ''
    soft: int = 0
    hard: int = 0


class Device(NamedTuple):
    path: str = ''                      # on the host
    target: str = ''
    permissions: str = ''


class DeviceRequest(NamedTuple):
    """Devices that a driver hands out, such as GPUs; a `number` of -1 means all of them."""
    driver: str = ''
    number: int = 0
    device_ids: Tuple[str, ...] = ()
    capabilities: Tuple[Tuple[str, ...], ...] = ()
    options: Dict[str, str] = NOTHING


class Resources(NamedTuple):
    """Limits; 0 is none. Sizes are bytes, CPU times microseconds."""
    memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0                # memory and swap together, -1: no limit
    memory_swappiness: Optional[int] = None
    kernel_memory: int = 0
    shm_size: int = 0
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    nano_cpus: int = 0                  # 10^-9 of a CPU
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cpuset_cpus: str = ''
    cpuset_mems: str = ''
    cgroup_parent: str = ''
    pids: int = 0
    io: BlockIO = BlockIO()
    ulimits: Tuple[Ulimit, ...] = ()
    devices: Tuple[Device, ...] = ()
    device_rules: Tuple[str, ...] = ()  # of the device cgroup: c 1:3 rwm
    device_requests: Tuple[DeviceRequest, ...] = ()


class Security(NamedTuple):
    """Namespaces: '' is the engine's default, else host, private, shareable, container:ID ..."""
    privileged: bool = False
    read_only: bool = False             # the root file system
    cap_add: Tuple[str, ...] = ()
    cap_drop: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()       # seccomp=..., label=..., apparmor=..., no-new-privileges
    masked_paths: Optional[Tuple[str, ...]] = None      # None: the engine's own; (): nothing is masked
    readonly_paths: Optional[Tuple[str, ...]] = None
    group_add: Tuple[str, ...] = ()
    pid: str = ''
    ipc: str = ''
    uts: str = ''
    userns: str = ''
    cgroup: str = ''


class Restart(NamedTuple):
    name: str = ''                      # no | always | unless-stopped | on-failure
    retries: int = 0


class LogDriver(NamedTuple):
    driver: str = ''
    options: Dict[str, str] = NOTHING


class Pod(NamedTuple):
    """The pod of Kubernetes that a container was in, and what it is called there."""
    namespace: str = ''
    name: str = ''
    container: str = ''


class Definition(NamedTuple):
    """One container. `lost_process` and `lost_settings` name the engine's record that could not be read, '' where it could:
    the first has command, environment, user and labels, the second ports, limits, mounts and everything about the host."""
    id: str = ''
    name: str = ''
    lost_process: str = ''
    lost_settings: str = ''
    damaged: bool = False               # one of these records was, wholly or in part: values may be missing or older
    image: str = ''                     # the reference that it is to be created from
    image_recorded: str = ''            # the one that it was created from
    defaults: Optional[Defaults] = None         # the image's own, None where they are lost
    # the process
    entrypoint: Tuple[str, ...] = ()
    command: Tuple[str, ...] = ()
    env: Tuple[str, ...] = ()
    cwd: str = ''
    user: str = ''
    labels: Dict[str, str] = NOTHING
    exposed: Tuple[str, ...] = ()
    volumes: Tuple[str, ...] = ()       # declared by the image or the user: paths that get a volume of their own
    shell: Tuple[str, ...] = ()
    stop_signal: str = ''
    stop_timeout: Optional[int] = None
    health: Optional[Health] = None
    args_escaped: bool = False
    on_build: Tuple[str, ...] = ()
    tty: bool = False
    stdin_open: bool = False
    stdin_once: bool = False
    attach: Tuple[str, ...] = ()        # stdin, stdout, stderr
    init: Optional[bool] = None
    runtime: str = ''
    # its surroundings
    hostname: str = ''
    domainname: str = ''
    mac_address: str = ''
    network_disabled: bool = False
    network_mode: str = ''              # none, host, container:ID, the name of a network; '' is the engine's default
    networks: Dict[str, Endpoint] = NOTHING
    network_settings: Dict[str, NetworkSettings] = NOTHING   # of the networks that it was in, where known
    published: Dict[str, Tuple[Binding, ...]] = NOTHING      # 80/tcp -> where
    publish_all: bool = False
    links: Tuple[str, ...] = ()
    dns: Tuple[str, ...] = ()
    dns_options: Tuple[str, ...] = ()
    dns_search: Tuple[str, ...] = ()
    extra_hosts: Tuple[str, ...] = ()
    mounts: Tuple[Mount, ...] = ()      # as they were
    mount_requests: Tuple[MountRequest, ...] = ()       # as they were asked for
    volumes_from: Tuple[str, ...] = ()
    volume_driver: str = ''
    volume_settings: Dict[str, VolumeSettings] = NOTHING     # recorded name -> the rest
    storage_options: Dict[str, str] = NOTHING
    resources: Resources = Resources()
    security: Security = Security()
    restart: Restart = Restart()
    auto_remove: bool = False
    log: Optional[LogDriver] = None
    sysctls: Dict[str, str] = NOTHING
    annotations: Dict[str, str] = NOTHING
    peers: Dict[str, str] = NOTHING          # id of a container that it shares a namespace with -> name
    paused: bool = False
    managed: bool = False               # by an orchestrator, as a task of a service
    secrets: Tuple[str, ...] = ()       # names of those that it wants from an orchestrator
    create_command: Tuple[str, ...] = ()    # the command line that created it, where the engine kept it
    pod: Pod = Pod()


def resolved(recorded: Definition, image: str, defaults: Optional[Defaults], name: str = '', container_id: str = '',
             mounts: Tuple[Mount, ...] = (), volume_names: Optional[Dict[str, str]] = None,
             volume_settings: Optional[Dict[str, VolumeSettings]] = None,
             network_settings: Optional[Dict[str, NetworkSettings]] = None,
             peers: Optional[Dict[str, str]] = None) -> Definition:
    """RECORDED made ready to be created again from IMAGE, whose own defaults are DEFAULTS.

    VOLUME_NAMES {recorded: new} overrides :func:`stable_name` for anonymous volumes and renames others. Empty arguments leave what
    is recorded.
    """
    container_id = container_id or recorded.id
    name = (name or recorded.name).lstrip('/') or 'rescued-' + (container_id[:12] or 'container')
    name = new_name(name)
    mounts = tuple(mounts) or recorded.mounts
    known = recorded.volume_settings if volume_settings is None else volume_settings
    volumes = {}
    for mount in mounts:
        if mount.type == 'volume' and mount.name:
            wanted = (volume_names or {}).get(mount.name)
            if not wanted:
                wanted = stable_name(name, mount.destination) if mount.anonymous else mount.name
            volumes[mount.name] = known.get(mount.name, VolumeSettings())._replace(name=wanted)
    return recorded._replace(
        id=container_id, name=name, image=image, defaults=defaults, mounts=mounts, volume_settings=volumes,
        network_settings=recorded.network_settings if network_settings is None else network_settings,
        peers=recorded.peers if peers is None else dict(peers))


def new_name(name: str) -> str:
    """What a container called NAME is called when it is made again: no engine takes the slashes of NAMESPACE/POD/CONTAINER."""
    return name.replace('/', '_') if _IN_POD.match(name) else name


def stable_name(container: str, destination: str) -> str:
    """Name for a formerly anonymous volume: the container and where it is mounted, in the letters that volumes may have."""
    name = re.sub(r'[^A-Za-z0-9_.-]+', '-', '%s-%s' % (container, destination.strip('/'))).strip('-.')
    return name if re.match(r'[A-Za-z0-9]', name) else 'volume-' + name


def network_settings(info: Any) -> NetworkSettings:
    """Of a JSON object with the names of the fields."""
    return _read(NetworkSettings, as_dict(info))


def network_info(settings: NetworkSettings) -> Dict[str, Any]:
    """The JSON object that :func:`network_settings` takes: every field, of a pool what was chosen."""
    return dict(settings._asdict(), options=dict(settings.options), labels=dict(settings.labels), ipam_options=dict(settings.ipam_options), ipam=[
        dict((key, _plain(value)) for key, value in pool._asdict().items() if value) for pool in settings.ipam])


def volume_settings(info: Any) -> VolumeSettings:
    """Of a JSON object with the names of the fields."""
    return _read(VolumeSettings, as_dict(info))


# -- JSON ---------------------------------------------------------------------------------------------------------------

# where data lie on the managed node, which means nothing elsewhere
_NOT_IN_JSON = ((Mount, 'path'),)


def to_json(record: Any) -> Dict[str, Any]:
    """A Definition (or another record of this file) as plain data; fields that have their default are left out."""
    found = {}
    for field in record._fields:
        value = getattr(record, field)
        if (type(record), field) not in _NOT_IN_JSON and not (field in record._field_defaults and value == record._field_defaults[field]):
            found[field] = _plain(value)
    return found


def from_json(value: Any) -> Definition:
    """What :func:`to_json` gave. Unknown keys are ignored; whatever is missing or of another type is the field's default."""
    return _read(Definition, as_dict(clean(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return to_json(value) if hasattr(value, '_fields') else [_plain(item) for item in value]
    return dict((key, _plain(item)) for key, item in value.items()) if isinstance(value, dict) else value


def _read(kind: Any, value: Mapping[str, Any]) -> Any:
    """A record of KIND from a dict."""
    found = {}
    for field, wanted, typed in _fields(kind):
        good, item = typed(value[field]) if field in value and typed is not None else (False, None)
        if good:
            found[field] = item
        elif field not in kind._field_defaults:
            found[field] = _nothing(wanted)
    return kind(**found)


@functools.lru_cache(maxsize=None)
def _fields(kind: Any) -> Any:
    """((field, type, see _typed(); None where it is not in JSON), ...) of a kind of record: found out once, since hosts have thousands."""
    return tuple((field, wanted, None if (kind, field) in _NOT_IN_JSON else _typed(wanted)) for field, wanted in kind.__annotations__.items())


def _typed(wanted: Any) -> Any:
    """A function: value -> (whether it can be one of the type WANTED, the value as such)."""
    if wanted in (str, bool):
        return lambda value: (isinstance(value, wanted), value)
    if wanted is int:
        return lambda value: (isinstance(value, int) and not isinstance(value, bool), value)
    if hasattr(wanted, '_fields'):
        return lambda value: (True, _read(wanted, value)) if isinstance(value, dict) else (False, None)
    origin, inner = wanted.__origin__, wanted.__args__
    if origin is Union:                 # Optional
        one = _typed(inner[0])
        return lambda value: (True, None) if value is None else one(value)
    if origin in (dict, Dict):
        return functools.partial(_typed_dict, _typed(inner[1]))
    return functools.partial(_typed_tuple, _typed(inner[0]))


def _typed_dict(typed: Callable[[Any], Tuple[bool, Any]], value: Any) -> Tuple[bool, Any]:
    if not isinstance(value, dict):
        return False, {}
    items = [(key, typed(item)) for key, item in value.items()]
    return True, dict((key, item) for key, (good, item) in items if good)


def _typed_tuple(typed: Callable[[Any], Tuple[bool, Any]], value: Any) -> Tuple[bool, Any]:
    if not isinstance(value, (list, tuple)):
        return False, ()
    return True, tuple(item for good, item in map(typed, value) if good)


def _nothing(wanted: Any) -> Any:
    return wanted() if wanted in (str, bool, int) else None


# -- what is the same for every engine that writes images ---------------------------------------------------------------

_OCI = (('User', 'user'), ('ExposedPorts', 'exposed'), ('Env', 'env'), ('Entrypoint', 'entrypoint'), ('Cmd', 'command'),
        ('Volumes', 'volumes'), ('WorkingDir', 'cwd'), ('Labels', 'labels'), ('StopSignal', 'stop_signal'),
        # what Docker's image format adds to OCI's
        ('Healthcheck', 'health'), ('ArgsEscaped', 'args_escaped'), ('OnBuild', 'on_build'), ('StopTimeout', 'stop_timeout'),
        ('Shell', 'shell'))
_HEALTH = (('Test', 'test'), ('Interval', 'interval'), ('Timeout', 'timeout'), ('StartPeriod', 'start_period'),
           ('StartInterval', 'start_interval'), ('Retries', 'retries'))
_KEYS = frozenset(('exposed', 'volumes'))       # JSON objects with empty objects as values


def image_config(record: Union[Definition, Defaults]) -> Dict[str, Any]:
    """`config` of an OCI image configuration that gives RECORD's values to its containers (image-spec: config.md)."""
    found = {}
    for key, field in _OCI:
        value = getattr(record, field)
        if field in _KEYS:
            value = dict((item, {}) for item in value)
        elif field == 'health':
            value = dict((name, _plain(getattr(value, inner))) for name, inner in _HEALTH if getattr(value, inner)) if value else {}
        if value is not False and value not in (None, '', (), {}):
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


def image_defaults(config: Any) -> Defaults:
    """Defaults of `config` of an OCI or Docker image configuration, whose values may have any type."""
    return defaults_of(as_dict(clean(config)))


def defaults_of(config: Dict[str, Any]) -> Defaults:
    """The same for a config that went through formats.values.clean() already."""
    values = dict((field, config.get(key)) for key, field in _OCI)
    for field in _KEYS:
        values[field] = list(as_dict(values[field]))
    for field in ('entrypoint', 'command', 'env', 'shell', 'on_build'):
        if isinstance(values[field], str):      # older engines wrote a lone string
            values[field] = [values[field]]
    values['labels'] = texts(values['labels'])
    values['health'] = health(values['health'])
    return _read(Defaults, values)._replace(health=values['health'])


def health(value: Any) -> Optional[Health]:
    """Health of the JSON object that images and Docker record, None where nothing is asked for."""
    value = as_dict(value)
    if not value:
        return None
    test = value.get('Test')
    value = dict(value, Test=[test] if isinstance(test, str) else test)
    found = _read(Health, dict((field, value.get(key)) for key, field in _HEALTH))
    return found if found != Health() else None


def texts(value: Any) -> Dict[str, str]:
    """A JSON object's strings; what is no string becomes ''."""
    return dict((key, as_str(item)) for key, item in as_dict(value).items())
