"""config.v2.json and hostconfig.json as a neutral Definition. The only place that knows what Docker calls these values.

What dockerd filled in by itself when the container was created is taken out again (moby: daemon/create.go, daemon/daemon_unix.go).
"""
import re
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Optional, Tuple

from ...formats import jsonish
from ...formats.values import as_dict, as_int, as_list, as_str, clean, strings
from ...records.definition import (
    Binding,
    BlockIO,
    Definition,
    Device,
    DeviceRequest,
    Endpoint,
    LogDriver,
    MountRequest,
    Rate,
    Resources,
    Restart,
    Security,
    Ulimit,
    defaults_of,
    texts,
)
from ...records.model import Mount

CONFIG, HOSTCONFIG = 'config.v2.json', 'hostconfig.json'
ID = re.compile(r'[0-9a-f]{64}\Z')
SHM_SIZE = 64 * 1024 * 1024
RUNTIMES = ('runc', 'io.containerd.runc.v2', 'io.containerd.runtime.v1.linux')

# The paths that dockerd masks by itself, over all its versions: a recorded list of nothing else is a default.
MASKED = frozenset(('/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
                    '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware',
                    '/sys/devices/virtual/powercap'))
READONLY = frozenset(('/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger', '/proc/asound'))
MASKED_CPU = re.compile(r'/sys/devices/system/cpu/cpu\d+/thermal_throttle\Z')


def of_records(read: Callable[[str], bytes]) -> Definition:
    """The Definition of the files that READ(name) gives, as a bundle's config/ holds them; a damaged file counts as lost."""
    return define(_json(read(CONFIG)), _json(read(HOSTCONFIG)))


def define(config: Any, hostconfig: Any) -> Definition:
    """The Definition of CONFIG and HOSTCONFIG as read from disk ({} where lost); they may hold anything."""
    config, host = as_dict(clean(config)), as_dict(clean(hostconfig))
    inner = as_dict(config.get('Config'))
    ident = as_str(config.get('ID'))
    hostname = as_str(inner.get('Hostname'))
    own = defaults_of(inner)            # the keys of an image's config are those of a container's
    return Definition(
        id=ident, name=as_str(config.get('Name')).lstrip('/'), lost_process='' if inner else CONFIG, lost_settings='' if host else HOSTCONFIG,
        image_recorded=as_str(inner.get('Image')),
        tty=inner.get('Tty') is True, stdin_open=inner.get('OpenStdin') is True, stdin_once=inner.get('StdinOnce') is True,
        attach=tuple(name for name in ('stdin', 'stdout', 'stderr') if inner.get('Attach' + name.capitalize()) is True),
        init=host['Init'] if isinstance(host.get('Init'), bool) else None, runtime=_unless(host.get('Runtime'), RUNTIMES),
        hostname='' if hostname == ident[:12] else hostname, domainname=as_str(inner.get('Domainname')),
        mac_address=as_str(inner.get('MacAddress')), network_disabled=inner.get('NetworkDisabled') is True,
        network_mode=_unless(host.get('NetworkMode'), ('default', 'bridge')), networks=_networks(config),
        published=dict((port, tuple(map(_binding, _records(found)))) for port, found in as_dict(host.get('PortBindings')).items()),
        publish_all=host.get('PublishAllPorts') is True, links=_strings(host.get('Links')), dns=_strings(host.get('Dns')),
        dns_options=_strings(host.get('DnsOptions')), dns_search=_strings(host.get('DnsSearch')),
        extra_hosts=_strings(host.get('ExtraHosts')), mounts=mounts_of(config), mount_requests=tuple(_mount_requests(host)),
        volumes_from=_strings(host.get('VolumesFrom')), volume_driver=as_str(host.get('VolumeDriver')),
        storage_options=texts(host.get('StorageOpt')), resources=_resources(host), security=_security(host),
        restart=_restart(as_dict(host.get('RestartPolicy'))), auto_remove=host.get('AutoRemove') is True,
        log=_log(as_dict(host.get('LogConfig'))), sysctls=texts(host.get('Sysctls')), annotations=texts(host.get('Annotations')),
        paused=as_dict(config.get('State')).get('Paused') is True, managed=config.get('Managed') is True,
        secrets=tuple(_secrets(config)), **own._asdict())


def few(config: Any, hostconfig: Any) -> Dict[str, Any]:
    """{field: value} of those fields of :func:`define` that are asked of all containers of a host: see lazyrecords.LazyDefinition."""
    inner, host = as_dict(as_dict(config).get('Config')), as_dict(hostconfig)
    own = defaults_of(as_dict(clean({'Env': inner.get('Env'), 'Volumes': inner.get('Volumes')})))
    return {'env': own.env, 'volumes': own.volumes, 'restart': _restart(as_dict(clean(host.get('RestartPolicy')))),
            'auto_remove': host.get('AutoRemove') is True}


def mounts_of(config: Any) -> Tuple[Mount, ...]:
    """Mount records from MountPoints, for where nothing better is known (missing types, empty sources)."""
    found = []
    for destination, point in sorted(as_dict(as_dict(config).get('MountPoints')).items()):
        point = as_dict(point)
        name = as_str(point.get('Name')) or None
        kind = as_str(point.get('Type')) or ('volume' if name else 'bind')
        options = as_dict(as_dict(point.get('Spec')).get('VolumeOptions'))
        found.append(Mount(type=kind, name=name, source=as_str(point.get('Source')) or None, path=None,
                           destination=as_str(point.get('Destination')) or destination, rw=point.get('RW') is not False,
                           driver=as_str(point.get('Driver')) or None,
                           anonymous=bool(kind == 'volume' and name and ID.match(name)), status='complete',
                           mode=as_str(point.get('Relabel')), propagation=as_str(point.get('Propagation')),
                           subpath=as_str(options.get('Subpath')) or None))
    return tuple(found)


def _json(raw: bytes) -> Dict[str, Any]:
    try:
        return as_dict(jsonish.loads(raw)) if raw else {}
    except (ValueError, RecursionError):
        return {}


def _strings(value: Any) -> Tuple[str, ...]:
    return tuple(strings(value))


def _records(value: Any) -> List[Dict[str, Any]]:
    return [item for item in as_list(value) if isinstance(item, dict)]


def _unless(value: Any, defaults: Tuple[str, ...]) -> str:
    """The text VALUE, '' where it is one of DEFAULTS."""
    return '' if as_str(value) in defaults else as_str(value)


def _number(value: Any) -> int:
    return as_int(value) or 0


def _binding(value: Any) -> Binding:
    return Binding(as_str(value.get('HostIp')), as_str(value.get('HostPort')))


def _networks(config: Dict[str, Any]) -> Dict[str, Endpoint]:
    found = {}
    for name, recorded in as_dict(as_dict(config.get('NetworkSettings')).get('Networks')).items():
        recorded = as_dict(recorded)
        asked = as_dict(recorded.get('IPAMConfig'))
        found[name] = Endpoint(
            as_str(asked.get('IPv4Address')), as_str(asked.get('IPv6Address')), _strings(asked.get('LinkLocalIPs')),
            _strings(recorded.get('Aliases')), _strings(recorded.get('Links')), texts(recorded.get('DriverOpts')),
            as_str(recorded.get('DesiredMacAddress')), as_str(recorded.get('IPAddress')), _number(recorded.get('IPPrefixLen')),
            as_str(recorded.get('Gateway')), as_str(recorded.get('NetworkID')), _number(recorded.get('GwPriority')))
    return found


def _secrets(config: Dict[str, Any]) -> Iterator[Any]:
    """Names of a swarm service's secrets and configs that the task mounts."""
    for key in ('SecretReferences', 'ConfigReferences'):
        for item in _records(config.get(key)):
            name = as_str(item.get('SecretName') or item.get('ConfigName'))
            if name:
                yield name


# -- mounts as they were asked for --------------------------------------------------------------------------------------

def _mount_requests(host: Dict[str, Any]) -> Iterator[MountRequest]:
    for bind in strings(host.get('Binds')):
        source, place, mode = split_bind(bind)
        yield MountRequest('bind' if source.startswith('/') else 'volume', place, source, True, mode)
    for place, mode in as_dict(host.get('Tmpfs')).items():
        yield MountRequest('tmpfs', place, '', True, as_str(mode))
    for item in _records(host.get('Mounts')):
        if as_str(item.get('Target')):
            yield _long_request(item)


def split_bind(bind: str) -> Tuple[str, str, str]:
    """'source:destination[:mode]' -> (source, destination, mode); a lone path is an anonymous volume's."""
    parts = bind.split(':')
    if len(parts) == 1:
        return '', parts[0], ''
    return parts[0], parts[1], ':'.join(parts[2:])


def _long_request(item: Dict[str, Any]) -> MountRequest:
    bind, volume, tmpfs, image = (as_dict(item.get(key)) for key in ('BindOptions', 'VolumeOptions', 'TmpfsOptions', 'ImageOptions'))
    driver = as_dict(volume.get('DriverConfig'))
    recursive = ''
    for key, word in (('ReadOnlyForceRecursive', 'readonly'), ('ReadOnlyNonRecursive', 'writable'), ('NonRecursive', 'disabled')):
        if bind.get(key) is True:
            recursive = word
    return MountRequest(
        as_str(item.get('Type')), as_str(item.get('Target')), as_str(item.get('Source')), read_only=item.get('ReadOnly') is True,
        propagation=as_str(bind.get('Propagation')), recursive=recursive, create_host_path=bind.get('CreateMountpoint') is True,
        nocopy=volume.get('NoCopy') is True, subpath=as_str(volume.get('Subpath')) or as_str(image.get('Subpath')),
        labels=texts(volume.get('Labels')), driver=as_str(driver.get('Name')), driver_options=texts(driver.get('Options')),
        tmpfs_size=_number(tmpfs.get('SizeBytes')), tmpfs_mode=_number(tmpfs.get('Mode')),
        tmpfs_options=tuple(_strings(words) for words in as_list(tmpfs.get('Options')) if strings(words)),
        consistency=as_str(item.get('Consistency')))


# -- limits, security, the rest -----------------------------------------------------------------------------------------

def _resources(host: Dict[str, Any]) -> Resources:
    memory, swap = _number(host.get('Memory')), _number(host.get('MemorySwap'))
    shm, swappiness, pids = _number(host.get('ShmSize')), as_int(host.get('MemorySwappiness')), _number(host.get('PidsLimit'))
    return Resources(
        memory=memory, memory_reservation=_number(host.get('MemoryReservation')),
        memory_swap=0 if memory > 0 and swap == 2 * memory else swap,   # dockerd's own choice when only Memory is given
        memory_swappiness=swappiness if swappiness is not None and swappiness >= 0 else None,
        kernel_memory=_number(host.get('KernelMemory')), shm_size=0 if shm == SHM_SIZE else shm,
        oom_kill_disable=host.get('OomKillDisable') is True, oom_score_adj=_number(host.get('OomScoreAdj')),
        nano_cpus=_number(host.get('NanoCpus')), cpu_shares=_number(host.get('CpuShares')), cpu_period=_number(host.get('CpuPeriod')),
        cpu_quota=_number(host.get('CpuQuota')), cpu_rt_period=_number(host.get('CpuRealtimePeriod')),
        cpu_rt_runtime=_number(host.get('CpuRealtimeRuntime')), cpuset_cpus=as_str(host.get('CpusetCpus')),
        cpuset_mems=as_str(host.get('CpusetMems')), cgroup_parent=as_str(host.get('CgroupParent')), pids=max(pids, 0),
        io=BlockIO(_number(host.get('BlkioWeight')), _rates(host, 'BlkioWeightDevice', 'Weight'), _rates(host, 'BlkioDeviceReadBps'),
                   _rates(host, 'BlkioDeviceWriteBps'), _rates(host, 'BlkioDeviceReadIOps'), _rates(host, 'BlkioDeviceWriteIOps')),
        ulimits=tuple(Ulimit(as_str(item.get('Name')), _number(item.get('Soft')), _number(item.get('Hard')))
                      for item in _records(host.get('Ulimits'))),
        devices=tuple(Device(as_str(item.get('PathOnHost')), as_str(item.get('PathInContainer')), as_str(item.get('CgroupPermissions')))
                      for item in _records(host.get('Devices'))),
        device_rules=_strings(host.get('DeviceCgroupRules')),
        device_requests=tuple(DeviceRequest(
            as_str(item.get('Driver')), _number(item.get('Count')), _strings(item.get('DeviceIDs')),
            tuple(_strings(group) for group in as_list(item.get('Capabilities'))), texts(item.get('Options')))
            for item in _records(host.get('DeviceRequests'))))


def _rates(host: Dict[str, Any], key: str, field: str = 'Rate') -> Tuple[Rate, ...]:
    return tuple(Rate(as_str(item.get('Path')), _number(item.get(field))) for item in _records(host.get(key)))


def _security(host: Dict[str, Any]) -> Security:
    options = strings(host.get('SecurityOpt'))
    # dockerd adds label=disable by itself to these
    if host.get('Privileged') is True or 'host' in (host.get('IpcMode'), host.get('PidMode')):
        options = [option for option in options if option not in ('label=disable', 'label:disable')]
    # cgroup v1 hosts default to "host" and record whether the OOM killer is off; on v2 that is null, so "host" was asked
    asked = as_str(host.get('CgroupnsMode')) == 'host' and 'OomKillDisable' in host and host['OomKillDisable'] is None
    return Security(
        privileged=host.get('Privileged') is True, read_only=host.get('ReadonlyRootfs') is True, cap_add=_strings(host.get('CapAdd')),
        cap_drop=_strings(host.get('CapDrop')), options=tuple(options), masked_paths=_paths(host, 'MaskedPaths', MASKED),
        readonly_paths=_paths(host, 'ReadonlyPaths', READONLY), group_add=_strings(host.get('GroupAdd')),
        pid=as_str(host.get('PidMode')), ipc=_unless(host.get('IpcMode'), ('private',)), uts=as_str(host.get('UTSMode')),
        userns=as_str(host.get('UsernsMode')), cgroup='host' if asked else '')


def _paths(host: Dict[str, Any], key: str, known: FrozenSet[str]) -> Optional[Tuple[str, ...]]:
    """None where dockerd chose these; an empty list is `systempaths=unconfined`."""
    paths = host.get(key)
    if not isinstance(paths, list) or paths and all(path in known or MASKED_CPU.match(path) for path in strings(paths)):
        return None
    return _strings(paths)


def _restart(policy: Dict[str, Any]) -> Restart:
    name = as_str(policy.get('Name'))
    return Restart(name, _number(policy.get('MaximumRetryCount'))) if name not in ('', 'no') else Restart()


def _log(recorded: Dict[str, Any]) -> Optional[LogDriver]:
    """json-file without options is what dockerd takes where daemon.json names nothing else."""
    driver = as_str(recorded.get('Type'))
    options = recorded.get('Config')
    return LogDriver(driver, texts(options)) if driver and (driver != 'json-file' or options) else None
