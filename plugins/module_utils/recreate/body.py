# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Engine API's body for POST /containers/create.

What dockerd filled in by itself when the container was created (from the image or as its own defaults) is taken out
again, so that the new engine fills in its own, and a person sees only what somebody asked for.
"""
import re
from typing import Any, Dict

from ..formats.values import as_dict, as_int, as_list, as_str, strings
from .definition import network_mode, peer_mode, split_bind

SHM_SIZE = 64 * 1024 * 1024

# The paths that dockerd masks by itself, over all its versions: a recorded list of nothing else is a default.
MASKED = frozenset(('/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
                    '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware',
                    '/sys/devices/virtual/powercap'))
READONLY = frozenset(('/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger', '/proc/asound'))
MASKED_CPU = re.compile(r'/sys/devices/system/cpu/cpu\d+/thermal_throttle\Z')

# HostConfig: taken over as it is where it is of the right type and not empty (null, "", 0, false, [] and {} are the
# engine's defaults)
SWITCHES = ('AutoRemove', 'OomKillDisable', 'Privileged', 'PublishAllPorts', 'ReadonlyRootfs')
NUMBERS = ('BlkioWeight', 'CpuPeriod', 'CpuQuota', 'CpuRealtimePeriod', 'CpuRealtimeRuntime', 'CpuShares', 'Memory',
           'MemoryReservation', 'NanoCpus', 'OomScoreAdj')
TEXTS = ('CgroupParent', 'CpusetCpus', 'CpusetMems', 'PidMode', 'UTSMode', 'UsernsMode', 'VolumeDriver')
TEXT_LISTS = ('CapAdd', 'CapDrop', 'DeviceCgroupRules', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'GroupAdd', 'Links')
RECORD_LISTS = ('BlkioDeviceReadBps', 'BlkioDeviceReadIOps', 'BlkioDeviceWriteBps', 'BlkioDeviceWriteIOps',
                'BlkioWeightDevice', 'DeviceRequests', 'Devices', 'Ulimits')
TEXT_MAPS = ('Annotations', 'StorageOpt', 'Sysctls', 'Tmpfs')


def create_body(definition):
    """The Engine API's body for POST /containers/create (without the name, which goes into the query).

    NetworkingConfig names every network; engines before API 1.44 take one, the rest has to be connected afterwards.
    """
    body = _container_part(definition)
    body['HostConfig'] = _host_part(definition)
    endpoints = _endpoints(definition)
    if endpoints:
        body['NetworkingConfig'] = {'EndpointsConfig': endpoints}
    return body


def user_networks(definition):
    """{name: {'driver', 'options', 'labels', 'internal', 'ipam', ...}} of the networks that have to exist."""
    found = {}
    for name, endpoint in _endpoints(definition).items():
        if name in ('bridge', 'host', 'none', 'default'):
            continue
        info = dict(as_dict(definition.network_info.get(name)))
        if not info.get('ipam'):
            # only a fixed address needs its subnet again; otherwise the engine chooses a free one
            fixed = as_str(as_dict(endpoint.get('IPAMConfig')).get('IPv4Address'))
            subnet = _subnet(as_dict(definition.networks.get(name))) or _subnet({'IPAddress': fixed, 'IPPrefixLen': 24})
            if subnet and fixed:
                info['ipam'] = [subnet]
        found[name] = info
    return found


def _container_part(definition):
    config, image = definition.config, as_dict(definition.image)
    mode = network_mode(definition)
    shares_network = mode.startswith('container:')
    body = {'Image': definition.pinned_image}
    hostname = as_str(config.get('Hostname'))
    # dockerd itself writes the short id, the host's name or the other container's name here
    if hostname and hostname != definition.id[:12] and mode != 'host' and not shares_network \
            and as_str(definition.host.get('UTSMode')) != 'host':
        body['Hostname'] = hostname
        if as_str(config.get('Domainname')):
            body['Domainname'] = as_str(config['Domainname'])
    for key in ('User', 'WorkingDir', 'StopSignal'):
        value = as_str(config.get(key))
        if value and value != as_str(image.get(key)):
            body[key] = value
    for key in ('Tty', 'OpenStdin', 'StdinOnce', 'AttachStdin', 'AttachStdout', 'AttachStderr', 'NetworkDisabled'):
        if config.get(key) is True:
            body[key] = True
    if as_int(config.get('StopTimeout')) is not None:
        body['StopTimeout'] = as_int(config['StopTimeout'])
    body.update(_command(definition))
    inherited = set(strings(image.get('Env')))
    env = [item for item in strings(config.get('Env')) if item not in inherited]
    if env:
        body['Env'] = env
    labels = _differing(config.get('Labels'), image.get('Labels'))
    if labels:
        body['Labels'] = dict((key, as_str(value)) for key, value in labels.items())
    ports = _differing(config.get('ExposedPorts'), image.get('ExposedPorts'))
    if ports and not shares_network:
        body['ExposedPorts'] = dict((key, {}) for key in ports)
    places = _differing(config.get('Volumes'), image.get('Volumes'))
    if places:
        body['Volumes'] = dict((key, {}) for key in places)
    shell = strings(config.get('Shell'))
    if shell and shell != strings(image.get('Shell')):
        body['Shell'] = shell
    health = _healthcheck(as_dict(config.get('Healthcheck')), as_dict(image.get('Healthcheck')))
    if health:
        body['Healthcheck'] = health
    return body


def _command(definition):
    """Entrypoint and Cmd so that dockerd's merge with the image's gives what is recorded.

    It takes the image's Entrypoint where none is given, and the image's Cmd only where neither is given; [""] stands
    for "no entrypoint" and is recorded as null.
    """
    config, image = definition.config, as_dict(definition.image)
    entrypoint, command = strings(config.get('Entrypoint')), strings(config.get('Cmd'))
    image_entrypoint, image_command = strings(image.get('Entrypoint')), strings(image.get('Cmd'))
    if entrypoint == image_entrypoint and (command == image_command or not config):
        return {}
    if entrypoint == image_entrypoint and command:
        return {'Cmd': command}
    if not config or not (entrypoint or command):
        return {}
    found = {'Entrypoint': entrypoint or ['']}
    if command:
        found['Cmd'] = command
    return found


def _healthcheck(own, inherited):
    if own == inherited:
        return {}
    if strings(own.get('Test')) == ['NONE']:
        return {'Test': ['NONE']}
    return dict((key, value) for key, value in own.items() if value and value != inherited.get(key))


def _host_part(definition):
    host = definition.host
    found = {}
    for keys, taken in ((SWITCHES, lambda value: value is True), (NUMBERS, as_int), (TEXTS, as_str), (TEXT_LISTS, strings),
                        (RECORD_LISTS, _records), (TEXT_MAPS, _texts), (('PortBindings',), _bindings)):
        for key in keys:
            value = taken(host.get(key))
            if value:
                found[key] = value
    mode = network_mode(definition)
    if mode != 'bridge':
        found['NetworkMode'] = mode
    if mode.startswith('container:'):
        for key in ('PortBindings', 'PublishAllPorts', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'Links'):
            found.pop(key, None)        # the engine refuses them together with another container's network
    if found.get('PidMode'):
        found['PidMode'] = peer_mode(definition, as_str(found['PidMode']))
    ipc = as_str(host.get('IpcMode'))
    if ipc not in ('', 'private'):
        found['IpcMode'] = peer_mode(definition, ipc)
    _limits(host, found)
    _security(host, found)
    log = as_dict(host.get('LogConfig'))
    kind = as_str(log.get('Type'))
    if kind and (kind != 'json-file' or log.get('Config')):
        found['LogConfig'] = {'Type': kind, 'Config': _texts(log.get('Config'))}
    policy = as_dict(host.get('RestartPolicy'))
    if as_str(policy.get('Name')) not in ('', 'no'):
        found['RestartPolicy'] = {'Name': policy['Name'], 'MaximumRetryCount': as_int(policy.get('MaximumRetryCount')) or 0}
    runtime = as_str(host.get('Runtime'))
    if runtime not in ('', 'runc', 'io.containerd.runc.v2', 'io.containerd.runtime.v1.linux'):
        found['Runtime'] = runtime
    # cgroup v1 hosts default to "host" and record whether the OOM killer is off; on v2 that is null, so "host" was asked
    if as_str(host.get('CgroupnsMode')) == 'host' and 'OomKillDisable' in host and host['OomKillDisable'] is None:
        found['CgroupnsMode'] = 'host'
    if isinstance(host.get('Init'), bool):
        found['Init'] = host['Init']
    binds, mounts = _mounts(definition)
    if binds:
        found['Binds'] = binds
    if mounts:
        found['Mounts'] = mounts
    return found


def _records(value):
    return [item for item in as_list(value) if isinstance(item, dict)]


def _texts(value):
    return dict((key, as_str(item)) for key, item in as_dict(value).items())


def _bindings(value):
    return dict((port, _records(binding)) for port, binding in as_dict(value).items())


def _limits(host, found):
    shm = as_int(host.get('ShmSize'))
    if shm and shm != SHM_SIZE:
        found['ShmSize'] = shm
    swap, memory = as_int(host.get('MemorySwap')), as_int(host.get('Memory')) or 0
    if swap and not (memory > 0 and swap == 2 * memory):   # dockerd's own choice when only Memory is given
        found['MemorySwap'] = swap
    swappiness = as_int(host.get('MemorySwappiness'))
    if swappiness is not None and swappiness >= 0:
        found['MemorySwappiness'] = swappiness
    pids = as_int(host.get('PidsLimit'))
    if pids and pids > 0:
        found['PidsLimit'] = pids


def _security(host, found):
    options = strings(host.get('SecurityOpt'))
    # dockerd adds label=disable by itself to these
    if host.get('Privileged') is True or 'host' in (host.get('IpcMode'), host.get('PidMode')):
        options = [option for option in options if option not in ('label=disable', 'label:disable')]
    if options:
        found['SecurityOpt'] = options
    for key in ('MaskedPaths', 'ReadonlyPaths'):
        paths = host.get(key)
        if isinstance(paths, list) and host.get('Privileged') is not True and not default_paths(key, paths):
            found[key] = strings(paths)


def default_paths(key, paths):
    """True if dockerd chose these; an empty list is `systempaths=unconfined`."""
    known = MASKED if key == 'MaskedPaths' else READONLY
    return bool(paths) and all(path in known or MASKED_CPU.match(path) for path in strings(paths))


def _mounts(definition):
    """(Binds, Mounts): as recorded, with volumes renamed, and every mount that they do not name put in.

    Every volume is mounted with `nocopy`: else the engine fills an empty one from the image when it creates the container,
    and files that had been deleted from the volume come back. --volumes-from, which is written out here, never copies.
    """
    host = definition.host
    by_place = dict((_place(mount.destination), mount) for mount in definition.mounts)
    binds, mounts, covered = [], [], set(map(_place, as_dict(host.get('Tmpfs'))))
    for bind in strings(host.get('Binds')):
        source, place, mode = split_bind(bind)
        if not source:
            source = _volume_at(by_place, place)
        if source and not source.startswith('/'):
            source, mode = definition.volume_names.get(source, source), _nocopy(mode)
        binds.append(':'.join(part for part in (source, place, mode) if part))
        covered.add(_place(place))
    for item in as_list(host.get('Mounts')):
        item = dict(as_dict(item))
        place = as_str(item.get('Target'))
        if not place:
            continue
        if item.get('Type') == 'volume':
            source = as_str(item.get('Source')) or _volume_at(by_place, place)
            if source:
                item['Source'] = definition.volume_names.get(source, source)
            item['VolumeOptions'] = dict(as_dict(item.get('VolumeOptions')), NoCopy=True)
        mounts.append(item)
        covered.add(_place(place))
    for mount in definition.mounts:
        if _place(mount.destination) in covered:
            continue
        if mount.type == 'volume' and mount.name:
            binds.append(_bind(definition.volume_names[mount.name], mount))
        elif mount.type == 'bind' and mount.source:
            binds.append(_bind(mount.source, mount))
        elif mount.type == 'tmpfs':
            mounts.append({'Type': 'tmpfs', 'Target': mount.destination})
    return binds, mounts


def _place(path):
    """A destination as it is compared."""
    return path.rstrip('/') or '/'


def _volume_at(by_place, place):
    """Recorded name of the volume that was mounted there, '' if none is known: anonymous volumes have no name in HostConfig."""
    mount = by_place.get(_place(place))
    return mount.name if mount is not None and mount.type == 'volume' and mount.name else ''


def _nocopy(mode):
    """The mode of a bind of a volume, with nocopy."""
    modes = [item for item in mode.split(',') if item]
    return ','.join(modes if 'nocopy' in modes else modes + ['nocopy'])


def _bind(source, mount):
    modes = [mode for mode in mount.mode.split(',') if mode and mode not in ('ro', 'rw', mount.propagation)]
    if not mount.rw:
        modes.insert(0, 'ro')
    if mount.type == 'bind' and mount.propagation not in ('', 'rprivate'):
        modes.append(mount.propagation)
    if mount.type == 'volume' and 'nocopy' not in modes:
        modes.append('nocopy')
    return ':'.join([source, mount.destination] + ([','.join(modes)] if modes else []))


def _endpoints(definition):
    """EndpointsConfig: what was asked for of each network, without what engines fill in."""
    mode = network_mode(definition)
    if mode in ('host', 'none') or mode.startswith('container:'):
        return {}
    found = {}
    named = dict(definition.networks)
    named.setdefault(mode, {})
    mac = as_str(definition.config.get('MacAddress'))
    for name in sorted(named, key=lambda item: (item != mode, item)):
        if name == 'default' or (name == 'bridge' and mode != 'bridge' and name not in definition.networks):
            continue
        recorded = as_dict(named[name])
        endpoint: Dict[str, Any] = {}
        addresses = dict((key, value) for key, value in as_dict(recorded.get('IPAMConfig')).items() if value)
        if addresses:
            endpoint['IPAMConfig'] = addresses
        aliases = [alias for alias in _unique(strings(recorded.get('Aliases')))
                   if alias not in (definition.id[:12], as_str(definition.config.get('Hostname')))]
        if aliases and name != 'bridge':
            endpoint['Aliases'] = aliases
        links = strings(recorded.get('Links'))
        if links and name != 'bridge':
            endpoint['Links'] = links
        options = as_dict(recorded.get('DriverOpts'))
        if options:
            endpoint['DriverOpts'] = options
        own = as_str(recorded.get('DesiredMacAddress')) or (mac if name == mode else '')
        if own:
            endpoint['MacAddress'] = own
        if endpoint or name != 'bridge' or mode != 'bridge':
            found[name] = endpoint
    return found


def _subnet(recorded):
    """{'subnet', 'gateway'} from a recorded address and prefix length (IPv4), None if there is none."""
    address, prefix = as_str(recorded.get('IPAddress')), as_int(recorded.get('IPPrefixLen')) or 0
    parts = address.split('.')
    if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts) or not 0 < prefix <= 32:
        return None
    number = 0
    for part in parts:
        number = number << 8 | int(part)
    number &= 0xffffffff << (32 - prefix) & 0xffffffff
    subnet = {'subnet': '%d.%d.%d.%d/%d' % (number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255, prefix)}
    if as_str(recorded.get('Gateway')):
        subnet['gateway'] = as_str(recorded['Gateway'])
    return subnet


def _differing(own, inherited):
    inherited = as_dict(inherited)
    return dict((key, value) for key, value in as_dict(own).items()
                if key not in inherited or inherited[key] != value)


def _unique(items):
    return list(dict.fromkeys(items))
