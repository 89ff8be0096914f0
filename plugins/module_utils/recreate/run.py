"""run.sh: the create body as a docker command line that a person can read and change."""
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ..formats.values import as_dict, as_int, as_list, as_str, strings
from . import asks, doubts, env
from .body import create_body, user_networks
from .naming import volumes
from .shell import comment, quote, words

if TYPE_CHECKING:
    from ..records.definition import Definition

# HostConfig key -> flag
NUMBERS = (('Memory', '--memory'), ('MemoryReservation', '--memory-reservation'), ('MemorySwap', '--memory-swap'),
           ('MemorySwappiness', '--memory-swappiness'), ('CpuShares', '--cpu-shares'), ('CpuPeriod', '--cpu-period'),
           ('CpuQuota', '--cpu-quota'), ('CpuRealtimePeriod', '--cpu-rt-period'),
           ('CpuRealtimeRuntime', '--cpu-rt-runtime'), ('BlkioWeight', '--blkio-weight'),
           ('PidsLimit', '--pids-limit'), ('OomScoreAdj', '--oom-score-adj'), ('ShmSize', '--shm-size'))
TEXTS = (('CpusetCpus', '--cpuset-cpus'), ('CpusetMems', '--cpuset-mems'), ('CgroupParent', '--cgroup-parent'),
         ('CgroupnsMode', '--cgroupns'), ('IpcMode', '--ipc'), ('PidMode', '--pid'), ('UTSMode', '--uts'),
         ('UsernsMode', '--userns'), ('Runtime', '--runtime'), ('VolumeDriver', '--volume-driver'))
LISTS = (('CapAdd', '--cap-add'), ('CapDrop', '--cap-drop'), ('DeviceCgroupRules', '--device-cgroup-rule'),
         ('Dns', '--dns'), ('DnsOptions', '--dns-option'), ('DnsSearch', '--dns-search'), ('ExtraHosts', '--add-host'),
         ('GroupAdd', '--group-add'), ('Binds', '--volume'))
MAPS = (('Sysctls', '--sysctl'), ('StorageOpt', '--storage-opt'), ('Annotations', '--annotation'))
SWITCHES = (('Privileged', '--privileged'), ('ReadonlyRootfs', '--read-only'), ('PublishAllPorts', '--publish-all'),
            ('OomKillDisable', '--oom-kill-disable'), ('AutoRemove', '--rm'))
RATES = (('BlkioWeightDevice', '--blkio-weight-device', 'Weight'),
         ('BlkioDeviceReadBps', '--device-read-bps', 'Rate'), ('BlkioDeviceWriteBps', '--device-write-bps', 'Rate'),
         ('BlkioDeviceReadIOps', '--device-read-iops', 'Rate'), ('BlkioDeviceWriteIOps', '--device-write-iops', 'Rate'))

# flag of docker run -> field of its --network
LONG = {'--ip': 'ip', '--ip6': 'ip6', '--link-local-ip': 'link-local-ip', '--network-alias': 'alias', '--mac-address': 'mac-address', '--link': 'link'}


def run_sh(definition: 'Definition') -> str:
    """Text of run.sh: makes missing networks and volumes, then the container; --no-start needs editing `run -d`."""
    body = create_body(definition)
    networks = list(as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig')))
    # `docker network connect` cannot give an address of hardware: such a network goes into the command that creates the container
    later = [name for name in networks[1:] if not as_str(body['NetworkingConfig']['EndpointsConfig'][name].get('MacAddress'))]
    lines = ['#!/bin/sh', comment('Runs the container %s again, from its recorded configuration.' % definition.name),
             '# Load the image first (docker load -i ../image.tar) and fill the volumes (see ../README.txt).']
    if definition.image_recorded:
        lines.append(comment('The container was made from the image %s.' % definition.image_recorded))
    lines.extend(comment('WARNING: ' + note) for note in asks.warnings(definition))
    lines.extend(comment('NOTE: ' + note) for note in doubts.warnings(definition))
    lines.extend(['set -eu', 'cd "$(dirname "$0")"', ''])
    for name, info in sorted(user_networks(definition).items()):
        lines.append('docker network inspect -- %s >/dev/null 2>&1 || \\' % quote(name))
        lines.append('    ' + words(['docker', 'network', 'create'] + network_flags(info) + ['--', name]))
    for volume in volumes(definition):
        lines.append('docker volume inspect -- %s >/dev/null 2>&1 || \\' % quote(volume['name']))
        lines.append('    ' + words(['docker', 'volume', 'create'] + volume_flags(volume) + ['--', volume['name']]))
    shell = env.by_shell(definition)
    if shell:
        lines.append('. ./env.sh')
    for name in env.unset(definition):
        if env.IDENTIFIER.match(name):
            lines.append('unset %s' % name)
    verb = ['docker', 'create'] if later else ['docker', 'run', '--detach']
    groups = [verb] + options(definition, body) + [tail(body)]
    lines.append(' \\\n    '.join(words(group) for group in groups))
    for name in later:
        endpoint = body['NetworkingConfig']['EndpointsConfig'][name]
        lines.append(words(['docker', 'network', 'connect'] + connect_flags(endpoint) + ['--', name, definition.name]))
    if later:
        lines.append(words(['docker', 'start', '--', definition.name]))
    if definition.paused:
        lines.append(words(['docker', 'pause', '--', definition.name]))
    return '\n'.join(lines) + '\n'


def options(definition: 'Definition', body: Dict[str, Any]) -> List[List[str]]:
    """The flags as groups of words, one group a line."""
    host = as_dict(body.get('HostConfig'))
    found = [['--name', definition.name]]
    found.extend(_container_options(definition, body))
    for key, flag in NUMBERS:
        if as_int(host.get(key)) is not None:
            found.append([flag, str(host[key])])
    if as_int(host.get('NanoCpus')):
        found.append(['--cpus', decimal(host['NanoCpus'])])
    for key, flag in TEXTS:
        if as_str(host.get(key)):
            found.append([flag, host[key]])
    for key, flag in SWITCHES:
        if host.get(key) is True:
            found.append([flag])
    if 'Init' in host:
        found.append(['--init' if host['Init'] else '--init=false'])
    for key, flag in LISTS:
        found.extend([flag, item] for item in strings(host.get(key)))
    for key, flag in MAPS:
        found.extend([flag, '%s=%s' % (name, as_str(value))] for name, value in sorted(as_dict(host.get(key)).items()))
    for place, mode in sorted(as_dict(host.get('Tmpfs')).items()):
        found.append(['--tmpfs', place + (':' + as_str(mode) if as_str(mode) else '')])
    found.extend(['--mount', flag] for flag in map(mount_flag, as_list(host.get('Mounts'))) if flag)
    for item in map(as_dict, as_list(host.get('Ulimits'))):
        found.append(['--ulimit', '%s=%s:%s' % (item.get('Name'), item.get('Soft'), item.get('Hard'))])
    found.extend(['--device', device_text(item)] for item in as_list(host.get('Devices')))
    found.extend(['--device', name] for name in cdi_devices(host))
    for key, flag, field in RATES:
        found.extend([flag, '%s:%s' % (as_dict(item).get('Path'), as_dict(item).get(field))]
                     for item in as_list(host.get(key)))
    found.extend(['--gpus', gpus] for gpus in map(gpu_flag, as_list(host.get('DeviceRequests'))) if gpus)
    found.extend(['--security-opt', option] for option in security_options(host))
    log = as_dict(host.get('LogConfig'))
    if log:
        found.append(['--log-driver', as_str(log.get('Type'))])
        found.extend(['--log-opt', '%s=%s' % (key, as_str(value))] for key, value in sorted(as_dict(log.get('Config')).items()))
    if host.get('RestartPolicy'):
        found.append(['--restart', restart_text(host['RestartPolicy'])])
    found.extend(['--publish', port] for port in published(host))
    found.extend(_network_options(body, host))
    return found


def _container_options(definition: 'Definition', body: Dict[str, Any]) -> List[List[str]]:
    found = []
    for key, flag in (('Hostname', '--hostname'), ('Domainname', '--domainname'), ('User', '--user'),
                      ('WorkingDir', '--workdir'), ('StopSignal', '--stop-signal')):
        if key in body:
            found.append([flag, body[key]])
    if 'StopTimeout' in body:
        found.append(['--stop-timeout', str(body['StopTimeout'])])
    if body.get('Tty'):
        found.append(['--tty'])
    if body.get('OpenStdin'):
        found.append(['--interactive'])
    made = env.files(definition)
    if 'env' in made:
        found.append(['--env-file', 'env'])
    found.extend(['--env', name] for name, dummy in env.by_shell(definition))
    found.extend(['--env', name] for name in env.unset(definition))
    found.extend(['--label', '%s=%s' % item] for item in sorted(as_dict(body.get('Labels')).items()))
    ports = as_dict(as_dict(body.get('HostConfig')).get('PortBindings'))
    found.extend(['--expose', port] for port in sorted(as_dict(body.get('ExposedPorts'))) if port not in ports)
    if 'Entrypoint' in body:
        found.append(['--entrypoint', body['Entrypoint'][0]])
    found.extend(_health_options(as_dict(body.get('Healthcheck'))))
    return found


def _health_options(health: Dict[str, Any]) -> List[List[str]]:
    test = strings(health.get('Test'))
    if test == ['NONE']:
        return [['--no-healthcheck']]
    found = []
    if test[:1] == ['CMD-SHELL']:
        found.append(['--health-cmd', ' '.join(test[1:])])
    elif test[:1] == ['CMD']:
        found.append(['--health-cmd', words(test[1:])])     # docker run knows only the shell form
    for key, flag in (('Interval', '--health-interval'), ('Timeout', '--health-timeout'),
                      ('StartPeriod', '--health-start-period'), ('StartInterval', '--health-start-interval')):
        if as_int(health.get(key)):
            found.append([flag, duration(health[key])])
    if as_int(health.get('Retries')):
        found.append(['--health-retries', str(health['Retries'])])
    return found


def _network_options(body: Dict[str, Any], host: Dict[str, Any]) -> List[List[str]]:
    endpoints = as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))
    found = []
    # without a mode it is the default bridge, or the one that was connected in its place
    mode = as_str(host.get('NetworkMode')) or next(iter(endpoints), '')
    more = _only_long(as_dict(endpoints.get(mode)))
    if more or mode not in ('', 'bridge') or as_str(host.get('NetworkMode')):
        found.append(['--network', csv(['name=' + mode] + more) if more else mode])
    for name in list(endpoints)[:1]:
        words_ = connect_flags(endpoints[name], first=True)
        found.extend([words_[index], words_[index + 1]] for index in range(0, len(words_), 2))
    for name in list(endpoints)[1:]:
        if as_str(endpoints[name].get('MacAddress')):
            words_ = connect_flags(endpoints[name], first=True)
            found.append(['--network', csv(['name=' + name] + ['%s=%s' % (LONG[flag], value) for flag, value in zip(words_[::2], words_[1::2])]
                                           + _only_long(endpoints[name]))])
    if not any(as_dict(endpoint).get('Links') for endpoint in endpoints.values()):
        found.extend(['--link', link] for link in strings(host.get('Links')))
    return found


def _only_long(endpoint: Dict[str, Any]) -> List[str]:
    """What `docker run` takes of a network only in the long form of --network."""
    found = ['driver-opt=%s=%s' % (key, as_str(value)) for key, value in sorted(as_dict(endpoint.get('DriverOpts')).items())]
    return found + (['gw-priority=%d' % endpoint['GwPriority']] if as_int(endpoint.get('GwPriority')) else [])


def csv(fields: List[str]) -> str:
    """Fields of --mount and --network: comma separated, in quotes where needed."""
    return ','.join('"%s"' % field.replace('"', '""') if re.search('[,"\n]', field) else field for field in fields)


def connect_flags(endpoint: Dict[str, Any], first: bool = False) -> List[str]:
    """Flags of `docker network connect`, or those of `docker run` for the FIRST network: pairs of words."""
    found = []
    addresses = as_dict(endpoint.get('IPAMConfig'))
    for key, flag in (('IPv4Address', '--ip'), ('IPv6Address', '--ip6')):
        if as_str(addresses.get(key)):
            found.extend([flag, addresses[key]])
    for address in strings(addresses.get('LinkLocalIPs')):
        found.extend(['--link-local-ip', address])
    for alias in strings(endpoint.get('Aliases')):
        found.extend(['--network-alias' if first else '--alias', alias])
    for link in strings(endpoint.get('Links')):
        found.extend(['--link', link])
    if as_str(endpoint.get('MacAddress')) and first:
        found.extend(['--mac-address', endpoint['MacAddress']])
    if not first:
        for key, value in sorted(as_dict(endpoint.get('DriverOpts')).items()):
            found.extend(['--driver-opt', '%s=%s' % (key, as_str(value))])
        if as_int(endpoint.get('GwPriority')):
            found.extend(['--gw-priority', str(endpoint['GwPriority'])])
    return found


def network_flags(info: Dict[str, Any]) -> List[str]:
    """Flags of `docker network create`."""
    found = []
    if as_str(info.get('driver')) not in ('', 'bridge'):
        found.extend(['--driver', info['driver']])
    for item in map(as_dict, as_list(info.get('ipam'))):
        for key, flag in (('subnet', '--subnet'), ('gateway', '--gateway'), ('ip_range', '--ip-range')):
            if as_str(item.get(key)):
                found.extend([flag, item[key]])
        for name, address in sorted(as_dict(item.get('reserved')).items()):
            found.extend(['--aux-address', '%s=%s' % (name, as_str(address))])
    if as_str(info.get('ipam_driver')):
        found.extend(['--ipam-driver', info['ipam_driver']])
    if info.get('disable_ipv4') is True:
        found.append('--ipv4=false')
    for key, flag in (('internal', '--internal'), ('attachable', '--attachable'), ('enable_ipv6', '--ipv6')):
        if info.get(key) is True:
            found.append(flag)
    for key, flag in (('options', '--opt'), ('labels', '--label'), ('ipam_options', '--ipam-opt')):
        for name, value in sorted(as_dict(info.get(key)).items()):
            found.extend([flag, '%s=%s' % (name, as_str(value))])
    return found


def volume_flags(volume: Dict[str, Any]) -> List[str]:
    """Flags of `docker volume create`."""
    found = [] if volume['driver'] == 'local' else ['--driver', volume['driver']]
    for key, flag in (('options', '--opt'), ('labels', '--label')):
        for name, value in sorted(volume[key].items()):
            found.extend([flag, '%s=%s' % (name, value)])
    return found


def tail(body: Dict[str, Any]) -> List[str]:
    """Image and arguments: --entrypoint takes one word, the others come before Cmd. No name in them is a flag."""
    return ['--', body['Image']] + body.get('Entrypoint', [])[1:] + body.get('Cmd', [])


def mount_flag(mount: Dict[str, Any]) -> str:
    """The value of --mount (comma separated, in CSV quotes where needed), None where it cannot be said."""
    mount = as_dict(mount)
    kind = as_str(mount.get('Type'))
    fields = ['type=' + kind]
    if as_str(mount.get('Source')):
        fields.append('source=' + mount['Source'])
    fields.append('target=' + as_str(mount.get('Target')))
    if mount.get('ReadOnly') is True:
        fields.append('readonly')
    if as_str(mount.get('Consistency')):
        fields.append('consistency=' + mount['Consistency'])
    bind, volume, tmpfs = (as_dict(mount.get(key)) for key in ('BindOptions', 'VolumeOptions', 'TmpfsOptions'))
    if as_str(bind.get('Propagation')):
        fields.append('bind-propagation=' + bind['Propagation'])
    if recursion(bind):
        fields.append('bind-recursive=' + recursion(bind))
    if volume.get('NoCopy') is True:
        fields.append('volume-nocopy')
    if as_str(volume.get('Subpath')):
        fields.append('volume-subpath=' + volume['Subpath'])
    for key, value in sorted(as_dict(volume.get('Labels')).items()):
        fields.append('volume-label=%s=%s' % (key, as_str(value)))
    driver = as_dict(volume.get('DriverConfig'))
    if as_str(driver.get('Name')):
        fields.append('volume-driver=' + driver['Name'])
    for key, value in sorted(as_dict(driver.get('Options')).items()):
        fields.append('volume-opt=%s=%s' % (key, as_str(value)))
    if as_int(tmpfs.get('SizeBytes')):
        fields.append('tmpfs-size=%d' % tmpfs['SizeBytes'])
    if as_int(tmpfs.get('Mode')):
        fields.append('tmpfs-mode=%o' % tmpfs['Mode'])
    if kind == 'image' and as_str(as_dict(mount.get('ImageOptions')).get('Subpath')):
        fields.append('image-subpath=' + mount['ImageOptions']['Subpath'])
    return csv(fields)


def recursion(bind: Dict[str, Any]) -> str:
    """BindOptions -> what `bind-recursive` of docker run and `recursive` of Compose take, '' for the default."""
    for key, value in (('NonRecursive', 'disabled'), ('ReadOnlyNonRecursive', 'writable'), ('ReadOnlyForceRecursive', 'readonly')):
        if bind.get(key) is True:
            return value
    return ''


def device_text(device: Dict[str, str]) -> str:
    """'host:container:rwm', short where the parts say nothing."""
    device = as_dict(device)
    host, inside = as_str(device.get('PathOnHost')), as_str(device.get('PathInContainer'))
    rights = as_str(device.get('CgroupPermissions'))
    if rights not in ('', 'rwm'):
        return '%s:%s:%s' % (host, inside or host, rights)
    return host if inside in ('', host) else '%s:%s' % (host, inside)


def cdi_devices(host: Dict[str, Any]) -> List[str]:
    """Names of devices that the Container Device Interface hands out, vendor.com/class=name: --device takes them as it takes paths."""
    return [name for item in map(as_dict, as_list(host.get('DeviceRequests'))) if as_str(item.get('Driver')) == 'cdi'
            for name in strings(item.get('DeviceIDs'))]


def gpu_flag(request: Dict[str, Any]) -> Optional[str]:
    """The value of --gpus for one DeviceRequest, None for drivers that --gpus does not reach."""
    request = as_dict(request)
    devices = strings(request.get('DeviceIDs'))
    capabilities = [name for group in as_list(request.get('Capabilities')) for name in strings(group)]
    if as_str(request.get('Driver')) == 'cdi':
        return None
    fields = []
    if as_str(request.get('Driver')):
        fields.append('driver=' + request['Driver'])
    if devices:
        fields.append('"device=%s"' % ','.join(devices) if len(devices) > 1 else 'device=' + devices[0])
    else:
        count = as_int(request.get('Count')) or 0
        fields.append('all' if count < 0 and not fields else 'count=%d' % count)
    rest = [name for name in capabilities if name != 'gpu']
    if rest:
        fields.append('"capabilities=%s"' % ','.join(rest))
    return ','.join(fields)


def security_options(host: Dict[str, Any], folder: str = '') -> List[str]:
    """SecurityOpt as the command line takes it: profiles as files, unmasked paths as systempaths=unconfined."""
    found = []
    number = 0
    for option in strings(host.get('SecurityOpt')):
        if option.startswith('seccomp=') and option[8:].lstrip().startswith('{'):
            option = 'seccomp=%sseccomp-%d.json' % (folder, number)
            number += 1
        found.append(option)
    if host.get('MaskedPaths') == [] and host.get('ReadonlyPaths') == []:
        found.append('systempaths=unconfined')
    return found


def restart_text(policy: Dict[str, Any]) -> str:
    name, limit = as_str(policy.get('Name')), as_int(policy.get('MaximumRetryCount'))
    return '%s:%d' % (name, limit) if name == 'on-failure' and limit else name


def _by_number(port: str) -> Tuple[int, str]:
    found = re.match(r'\d{1,5}', port)
    return int(found.group()) if found is not None else 0, port


def published(host: Dict[str, Any]) -> List[str]:
    """Port bindings as [ip:][host port:]port[/udp], numbers in order."""
    found = []
    bindings = as_dict(host.get('PortBindings'))
    for port in sorted(bindings, key=_by_number):
        inside = port[:-4] if port.endswith('/tcp') else port
        for binding in map(as_dict, as_list(bindings[port])) if bindings[port] else [{}]:
            address, outside = as_str(binding.get('HostIp')), as_str(binding.get('HostPort'))
            if ':' in address:
                address = '[%s]' % address
            if outside in ('', '0'):
                outside = ''
            if address:
                found.append('%s:%s:%s' % (address, outside, inside))
            else:
                found.append('%s:%s' % (outside, inside) if outside else inside)
    return found


def duration(nanoseconds: int) -> str:
    """Go's notation: 90s, 1500ms."""
    for unit, size in (('s', 10 ** 9), ('ms', 10 ** 6), ('us', 10 ** 3)):
        if nanoseconds % size == 0:
            return '%d%s' % (nanoseconds // size, unit)
    return '%dns' % nanoseconds


def decimal(nano: int) -> str:
    """10^-9 units as a decimal number without needless zeros."""
    whole, part = divmod(nano, 10 ** 9)
    return ('%d.%09d' % (whole, part)).rstrip('0').rstrip('.')
