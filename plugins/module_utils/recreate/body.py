"""The Engine API's body for POST /containers/create, from a Definition: only values that were set and that the image does not have."""
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ..records.definition import SHARES, Defaults, Definition, Health, MountRequest, NetworkSettings, Rate, network_info
from ..records.model import Mount
from .naming import network_mode, peer_mode, volume_name

if TYPE_CHECKING:
    from ..records.definition import Endpoint, Resources

# key of HostConfig -> where its value stands; empty ones are the engine's defaults and are left out
OWN = (('AutoRemove', 'auto_remove'), ('PublishAllPorts', 'publish_all'), ('VolumeDriver', 'volume_driver'), ('Dns', 'dns'),
       ('DnsOptions', 'dns_options'), ('DnsSearch', 'dns_search'), ('ExtraHosts', 'extra_hosts'), ('Links', 'links'),
       ('Annotations', 'annotations'), ('StorageOpt', 'storage_options'), ('Sysctls', 'sysctls'), ('Runtime', 'runtime'))
RESOURCES = (('OomKillDisable', 'oom_kill_disable'), ('CpuPeriod', 'cpu_period'), ('CpuQuota', 'cpu_quota'),
             ('CpuRealtimePeriod', 'cpu_rt_period'), ('CpuRealtimeRuntime', 'cpu_rt_runtime'), ('CpuShares', 'cpu_shares'),
             ('Memory', 'memory'), ('MemoryReservation', 'memory_reservation'), ('MemorySwap', 'memory_swap'), ('NanoCpus', 'nano_cpus'),
             ('OomScoreAdj', 'oom_score_adj'), ('CgroupParent', 'cgroup_parent'), ('CpusetCpus', 'cpuset_cpus'),
             ('CpusetMems', 'cpuset_mems'), ('DeviceCgroupRules', 'device_rules'), ('PidsLimit', 'pids'), ('ShmSize', 'shm_size'))
SECURITY = (('Privileged', 'privileged'), ('ReadonlyRootfs', 'read_only'), ('CapAdd', 'cap_add'), ('CapDrop', 'cap_drop'),
            ('GroupAdd', 'group_add'), ('SecurityOpt', 'options'), ('UTSMode', 'uts'), ('UsernsMode', 'userns'), ('CgroupnsMode', 'cgroup'))
RATES = (('BlkioDeviceReadBps', 'read_bps'), ('BlkioDeviceReadIOps', 'read_iops'), ('BlkioDeviceWriteBps', 'write_bps'),
         ('BlkioDeviceWriteIOps', 'write_iops'))
RECURSION = {'disabled': 'NonRecursive', 'writable': 'ReadOnlyNonRecursive', 'readonly': 'ReadOnlyForceRecursive'}
HEALTH = (('Interval', 'interval'), ('Timeout', 'timeout'), ('StartPeriod', 'start_period'), ('StartInterval', 'start_interval'),
          ('Retries', 'retries'))


def create_body(definition: Definition) -> Dict[str, Any]:
    """The Engine API's body for POST /containers/create (without the name, which goes into the query).

    NetworkingConfig names every network; engines before API 1.44 take one, the rest has to be connected afterwards.
    """
    body = _container_part(definition)
    body['HostConfig'] = _host_part(definition)
    endpoints = _endpoints(definition)
    if endpoints:
        body['NetworkingConfig'] = {'EndpointsConfig': endpoints}
    return body


def user_networks(definition: Definition) -> Dict[str, Dict[str, Any]]:
    """{name: {'driver', 'options', 'labels', 'internal', 'ipam', ...}} of the networks that have to exist."""
    found = {}
    for name, endpoint in _endpoints(definition).items():
        if name in ('bridge', 'host', 'none', 'default'):
            continue
        settings = definition.network_settings.get(name, NetworkSettings())
        info = network_info(settings) if settings != NetworkSettings() else {}
        if not info.get('ipam'):
            # only a fixed address needs its subnet again; otherwise the engine chooses a free one
            fixed = endpoint.get('IPAMConfig', {}).get('IPv4Address', '')
            recorded = definition.networks.get(name)
            subnet = _subnet(recorded.address, recorded.prefix, recorded.gateway) if recorded is not None else None
            subnet = subnet or _subnet(fixed, 24, '')
            if subnet and fixed:
                info['ipam'] = [subnet]
        found[name] = info
    return found


def _container_part(definition: Definition) -> Dict[str, Any]:
    image = definition.defaults or Defaults()
    mode = network_mode(definition)
    shares_network = mode.startswith(SHARES)
    body: Dict[str, Any] = {'Image': definition.image}
    # dockerd itself writes the short id, the host's name or the other container's name here
    if definition.hostname and definition.hostname != definition.id[:12] and mode != 'host' and not shares_network \
            and definition.security.uts != 'host':
        body['Hostname'] = definition.hostname
    if definition.domainname and mode != 'host' and not shares_network:
        body['Domainname'] = definition.domainname
    for key, field in (('User', 'user'), ('WorkingDir', 'cwd'), ('StopSignal', 'stop_signal')):
        value = getattr(definition, field)
        if value and value != getattr(image, field):
            body[key] = value
    for key, wanted in (('Tty', definition.tty), ('OpenStdin', definition.stdin_open), ('StdinOnce', definition.stdin_once),
                        ('AttachStdin', 'stdin' in definition.attach), ('AttachStdout', 'stdout' in definition.attach),
                        ('AttachStderr', 'stderr' in definition.attach), ('NetworkDisabled', definition.network_disabled)):
        if wanted:
            body[key] = True
    if definition.stop_timeout is not None:
        body['StopTimeout'] = definition.stop_timeout
    body.update(_command(definition, image))
    env = [item for item in definition.env if item not in image.env]
    if env:
        body['Env'] = env
    labels = dict((key, value) for key, value in definition.labels.items() if image.labels.get(key) != value)
    if labels:
        body['Labels'] = labels
    ports = [port for port in definition.exposed if port not in image.exposed]
    if ports and not shares_network:
        body['ExposedPorts'] = dict((port, {}) for port in ports)
    places = [place for place in definition.volumes if place not in image.volumes]
    if places:
        body['Volumes'] = dict((place, {}) for place in places)
    if definition.shell and definition.shell != image.shell:
        body['Shell'] = list(definition.shell)
    health = healthcheck(definition.health or Health(), image.health or Health())
    if health:
        body['Healthcheck'] = health
    return body


def _command(definition: Definition, image: Defaults) -> Dict[str, List[str]]:
    """Entrypoint and Cmd so that dockerd's merge with the image's gives what is recorded.

    It takes the image's Entrypoint where none is given, and the image's Cmd only where neither is given; [""] stands
    for "no entrypoint" and is recorded as null.
    """
    entrypoint, command = list(definition.entrypoint), list(definition.command)
    same = definition.entrypoint == image.entrypoint
    if same and (definition.command == image.command or definition.lost_process):
        return {}
    if same and command:
        return {'Cmd': command}
    if definition.lost_process or not (entrypoint or command):
        return {}
    found = {'Entrypoint': entrypoint or ['']}
    if command:
        found['Cmd'] = command
    return found


def healthcheck(own: Health, inherited: Health) -> Dict[str, Any]:
    """What OWN says otherwise than INHERITED, as the API takes it; {} for nothing."""
    if own == inherited:
        return {}
    if own.test == ('NONE',):
        return {'Test': ['NONE']}
    found = dict((key, getattr(own, field)) for key, field in HEALTH
                 if getattr(own, field) and getattr(own, field) != getattr(inherited, field))
    if own.test and own.test != inherited.test:
        found['Test'] = list(own.test)
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value


def _host_part(definition: Definition) -> Dict[str, Any]:
    found = {}
    for keys, record in ((OWN, definition), (RESOURCES, definition.resources), (SECURITY, definition.security)):
        for key, field in keys:
            value = getattr(record, field)
            if value:
                found[key] = _plain(value)
    mode = network_mode(definition)
    if mode != 'bridge':
        found['NetworkMode'] = mode
    if definition.published:
        found['PortBindings'] = dict((port, [{'HostIp': one.address, 'HostPort': one.port} for one in bindings])
                                     for port, bindings in definition.published.items())
    if mode.startswith(SHARES):
        for key in ('PortBindings', 'PublishAllPorts', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'Links'):
            found.pop(key, None)        # the engine refuses them together with another container's network
    for key, shared in (('PidMode', definition.security.pid), ('IpcMode', definition.security.ipc)):
        if shared:
            found[key] = peer_mode(definition, shared)
    if not definition.security.privileged:
        for key, paths in (('MaskedPaths', definition.security.masked_paths), ('ReadonlyPaths', definition.security.readonly_paths)):
            if paths is not None:
                found[key] = list(paths)
    if definition.log is not None:
        found['LogConfig'] = {'Type': definition.log.driver, 'Config': dict(definition.log.options)}
    if definition.restart.name not in ('', 'no'):
        found['RestartPolicy'] = {'Name': definition.restart.name, 'MaximumRetryCount': definition.restart.retries}
    if definition.init is not None:
        found['Init'] = definition.init
    _devices(definition.resources, found)
    _mounts(definition, found)
    return found


def _devices(resources: 'Resources', found: Dict[str, Any]) -> None:
    """What is a list of objects in the body, and swappiness, of which 0 is no default."""
    if resources.memory_swappiness is not None:
        found['MemorySwappiness'] = resources.memory_swappiness
    if resources.io.weight:
        found['BlkioWeight'] = resources.io.weight
    if resources.io.weight_device:
        found['BlkioWeightDevice'] = _rates(resources.io.weight_device, 'Weight')
    for key, field in RATES:
        if getattr(resources.io, field):
            found[key] = _rates(getattr(resources.io, field), 'Rate')
    if resources.ulimits:
        found['Ulimits'] = [{'Name': item.name, 'Soft': item.soft, 'Hard': item.hard} for item in resources.ulimits]
    if resources.devices:
        found['Devices'] = [{'PathOnHost': item.path, 'PathInContainer': item.target, 'CgroupPermissions': item.permissions}
                            for item in resources.devices]
    if resources.device_requests:
        found['DeviceRequests'] = [
            {'Driver': item.driver, 'Count': item.number, 'DeviceIDs': list(item.device_ids) or None,
             'Capabilities': [list(group) for group in item.capabilities] or None, 'Options': dict(item.options)}
            for item in resources.device_requests]


def _rates(rates: Tuple[Rate, ...], field: str) -> List[Dict[str, Any]]:
    return [{'Path': item.path, field: item.rate} for item in rates]


def _mounts(definition: Definition, found: Dict[str, Any]) -> None:
    """Binds, Mounts and Tmpfs: as they were asked for, with volumes renamed, and every mount put in that they do not name.

    Every volume is mounted with `nocopy`: else the engine fills an empty one from the image when it creates the container,
    and files that had been deleted from the volume come back. --volumes-from, which is written out here, never copies.
    """
    by_place = dict((_place(mount.destination), mount) for mount in definition.mounts)
    binds, mounts, tmpfs = [], [], {}
    for asked in definition.mount_requests:
        if asked.short and asked.type == 'tmpfs':
            tmpfs[asked.target] = asked.mode
            continue
        source = asked.source
        if asked.type == 'volume':
            source = source or _volume_at(by_place, asked.target)
            source = volume_name(definition, source) if source else ''
        if asked.short:
            mode = _nocopy(asked.mode) if asked.type == 'volume' and source else asked.mode
            binds.append(':'.join(part for part in (source, asked.target, mode) if part))
        else:
            mounts.append(_long_mount(asked, source))
    covered = set(_place(asked.target) for asked in definition.mount_requests)
    for mount in definition.mounts:
        if _place(mount.destination) in covered:
            continue
        if mount.type == 'volume' and mount.name:
            binds.append(_bind(volume_name(definition, mount.name), mount))
        elif mount.type == 'bind' and mount.source:
            binds.append(_bind(mount.source, mount))
        elif mount.type == 'tmpfs':
            mounts.append({'Type': 'tmpfs', 'Target': mount.destination})
    for key, made in (('Binds', binds), ('Mounts', mounts), ('Tmpfs', tmpfs)):
        if made:
            found[key] = made


def _long_mount(asked: MountRequest, source: str) -> Dict[str, Any]:
    """One item of Mounts."""
    bind: Dict[str, Any] = {}
    if asked.propagation:
        bind['Propagation'] = asked.propagation
    if asked.recursive in RECURSION:
        bind[RECURSION[asked.recursive]] = True
    if asked.create_host_path:
        bind['CreateMountpoint'] = True
    volume: Dict[str, Any] = {'NoCopy': True} if asked.type == 'volume' or asked.nocopy else {}
    if asked.labels:
        volume['Labels'] = dict(asked.labels)
    if asked.driver or asked.driver_options:
        volume['DriverConfig'] = dict((key, value) for key, value in (('Name', asked.driver), ('Options', dict(asked.driver_options))) if value)
    image: Dict[str, Any] = {}
    if asked.subpath:
        (image if asked.type == 'image' else volume)['Subpath'] = asked.subpath
    tmpfs: Dict[str, Any] = {}
    for key, number in (('SizeBytes', asked.tmpfs_size), ('Mode', asked.tmpfs_mode)):
        if number:
            tmpfs[key] = number
    if asked.tmpfs_options:
        tmpfs['Options'] = [list(words) for words in asked.tmpfs_options]
    item: Dict[str, Any] = {'Type': asked.type, 'Target': asked.target}
    for key, value in (('Source', source), ('ReadOnly', asked.read_only), ('Consistency', asked.consistency), ('BindOptions', bind),
                       ('VolumeOptions', volume), ('TmpfsOptions', tmpfs), ('ImageOptions', image)):
        if value:
            item[key] = value
    return item


def _place(path: str) -> str:
    """A destination as it is compared."""
    return path.rstrip('/') or '/'


def _volume_at(by_place: Dict[str, Mount], place: str) -> str:
    """Recorded name of the volume that was mounted there, '' if none is known: anonymous volumes are asked for without a name."""
    mount = by_place.get(_place(place))
    return mount.name if mount is not None and mount.type == 'volume' and mount.name else ''


def _nocopy(mode: str) -> str:
    """The mode of a bind of a volume, with nocopy."""
    modes = [item for item in mode.split(',') if item]
    return ','.join(modes if 'nocopy' in modes else modes + ['nocopy'])


def _bind(source: str, mount: Mount) -> str:
    modes = [mode for mode in mount.mode.split(',') if mode and mode not in ('ro', 'rw', mount.propagation)]
    if not mount.rw:
        modes.insert(0, 'ro')
    if mount.type == 'bind' and mount.propagation not in ('', 'rprivate'):
        modes.append(mount.propagation)
    if mount.type == 'volume' and 'nocopy' not in modes:
        modes.append('nocopy')
    return ':'.join([source, mount.destination] + ([','.join(modes)] if modes else []))


def _endpoints(definition: Definition) -> Dict[str, Dict[str, Any]]:
    """EndpointsConfig: what was asked for of each network, without what engines fill in."""
    mode = network_mode(definition)
    if mode in ('host', 'none') or mode.startswith(SHARES):
        return {}
    found = {}
    for name in sorted(set(definition.networks) | {mode}, key=lambda item: (item != mode, item)):
        if name == 'default' or (name == 'bridge' and mode != 'bridge' and name not in definition.networks):
            continue
        recorded = definition.networks.get(name)
        endpoint = _endpoint(definition, name, recorded) if recorded is not None else {}
        if name == mode and definition.mac_address:
            endpoint.setdefault('MacAddress', definition.mac_address)
        # the default bridge goes without saying, unless another network is named beside it
        if endpoint or name != 'bridge' or mode != 'bridge' or recorded is not None and set(definition.networks) - {'bridge', 'default'}:
            found[name] = endpoint
    return found


def _endpoint(definition: Definition, name: str, recorded: 'Endpoint') -> Dict[str, Any]:
    endpoint: Dict[str, Any] = {}
    addresses = dict((key, _plain(value)) for key, value in (
        ('IPv4Address', recorded.ipv4_address), ('IPv6Address', recorded.ipv6_address), ('LinkLocalIPs', recorded.link_local_ips)) if value)
    if addresses:
        endpoint['IPAMConfig'] = addresses
    aliases = [alias for alias in dict.fromkeys(recorded.aliases) if alias not in (definition.id[:12], definition.hostname)]
    if aliases and name != 'bridge':
        endpoint['Aliases'] = aliases
    if recorded.links and name != 'bridge':
        endpoint['Links'] = list(recorded.links)
    if recorded.driver_options:
        endpoint['DriverOpts'] = dict(recorded.driver_options)
    if recorded.mac_address:
        endpoint['MacAddress'] = recorded.mac_address
    if recorded.gw_priority:
        endpoint['GwPriority'] = recorded.gw_priority
    return endpoint


def _subnet(address: str, prefix: int, gateway: str) -> Optional[Dict[str, str]]:
    """{'subnet', 'gateway'} of an address and its prefix length (IPv4), None if they are none."""
    parts = address.split('.')
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts) or not 0 < prefix <= 32:
        return None
    number = 0
    for part in parts:
        number = number << 8 | int(part)
    number &= 0xffffffff << (32 - prefix) & 0xffffffff
    subnet = {'subnet': '%d.%d.%d.%d/%d' % (number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255, prefix)}
    if gateway:
        subnet['gateway'] = gateway
    return subnet
