"""The create body as arguments of the module community.docker.docker_container.

Option names are those of community.docker 4. What of the body has no option there is named, so that it can be told.
"""
from typing import Any, Dict, List, Tuple

from ..formats.values import as_dict, as_int, as_list, as_str, strings

# key of the body -> (option, what makes its value)
CONTAINER = {'Image': 'image', 'Hostname': 'hostname', 'Domainname': 'domainname', 'User': 'user', 'WorkingDir': 'working_dir',
             'StopSignal': 'stop_signal', 'Tty': 'tty', 'OpenStdin': 'interactive', 'StopTimeout': 'stop_timeout', 'Entrypoint': 'entrypoint',
             'Cmd': 'command', 'Labels': 'labels'}
HOST = {'AutoRemove': 'auto_remove', 'OomKillDisable': 'oom_killer', 'Privileged': 'privileged', 'PublishAllPorts': 'publish_all_ports',
        'ReadonlyRootfs': 'read_only', 'BlkioWeight': 'blkio_weight', 'CpuPeriod': 'cpu_period', 'CpuQuota': 'cpu_quota',
        'CpuShares': 'cpu_shares', 'OomScoreAdj': 'oom_score_adj', 'CgroupParent': 'cgroup_parent', 'CpusetCpus': 'cpuset_cpus',
        'CpusetMems': 'cpuset_mems', 'PidMode': 'pid_mode', 'UTSMode': 'uts', 'UsernsMode': 'userns_mode', 'VolumeDriver': 'volume_driver',
        'CapAdd': 'capabilities', 'CapDrop': 'cap_drop', 'DeviceCgroupRules': 'device_cgroup_rules', 'Dns': 'dns_servers',
        'DnsOptions': 'dns_opts', 'DnsSearch': 'dns_search_domains', 'GroupAdd': 'groups', 'Links': 'links', 'StorageOpt': 'storage_opts',
        'Sysctls': 'sysctls', 'NetworkMode': 'network_mode', 'IpcMode': 'ipc_mode', 'MemorySwappiness': 'memory_swappiness',
        'PidsLimit': 'pids_limit', 'SecurityOpt': 'security_opts', 'Runtime': 'runtime', 'CgroupnsMode': 'cgroupns_mode', 'Init': 'init'}
BYTES = {'Memory': 'memory', 'MemoryReservation': 'memory_reservation', 'MemorySwap': 'memory_swap', 'ShmSize': 'shm_size'}
RATES = {'BlkioDeviceReadBps': ('device_read_bps', str), 'BlkioDeviceWriteBps': ('device_write_bps', str),
         'BlkioDeviceReadIOps': ('device_read_iops', int), 'BlkioDeviceWriteIOps': ('device_write_iops', int)}
QUIET = ('AttachStdin', 'AttachStdout', 'AttachStderr', 'StdinOnce')      # of who created it by hand; a service has no use for them


def arguments(body: Dict[str, Any], name: str) -> Tuple[Dict[str, Any], List[str]]:
    """(arguments, names of what has no option) for the create BODY (see body.create_body) of the container NAME."""
    host, found, unsaid = as_dict(body.get('HostConfig')), {'name': name}, []       # type: Dict[str, Any], Dict[str, Any], List[str]
    makers = {'Env': _env, 'ExposedPorts': _exposed, 'Healthcheck': _health, 'Volumes': _places}
    for key, value in body.items():
        if key in CONTAINER:
            found[CONTAINER[key]] = value
        elif key in makers:
            makers[key](value, found, unsaid)
        elif key not in ('HostConfig', 'NetworkingConfig') + QUIET:
            unsaid.append(key)
    if 'command' in found or 'entrypoint' in found:
        found['command_handling'] = 'correct'       # lists as they are, not joined and split
    makers = {'NanoCpus': _cpus, 'ExtraHosts': _hosts, 'DeviceRequests': _requests, 'Devices': _devices, 'Ulimits': _ulimits,
              'Tmpfs': _tmpfs, 'PortBindings': _ports, 'LogConfig': _log, 'RestartPolicy': _restart, 'Binds': _binds, 'Mounts': _mounts}
    for key, value in host.items():
        if key in HOST:
            found[HOST[key]] = value
        elif key in BYTES:
            found[BYTES[key]] = 'unlimited' if value == -1 else str(value)
        elif key in RATES:
            option, kind = RATES[key]
            found[option] = [{'path': as_str(item.get('Path')), 'rate': kind(as_int(item.get('Rate')) or 0)} for item in _dicts(value)]
        elif key in makers:
            makers[key](value, found, unsaid)
        else:
            unsaid.append('HostConfig.' + key)
    _networks(as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig')), found, unsaid)
    return found, sorted(set(unsaid))


def _dicts(value: Any) -> List[Dict[str, Any]]:
    return [item for item in as_list(value) if isinstance(item, dict)]


def _env(value: Any, found: Dict[str, Any], unsaid: List[str]) -> None:
    for item in strings(value):
        key, sign, rest = item.partition('=')
        if sign:
            found.setdefault('env', {})[key] = rest
        else:
            unsaid.append('Env (%s is taken away from the image)' % key)


def _exposed(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['exposed_ports'] = sorted(as_dict(value))


def _places(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    """Anonymous volumes that the command line asked for, where no volume is mounted anyway."""
    known = [item.split(':')[1] for item in found.get('volumes', ()) if ':' in item]
    found['volumes'] = found.get('volumes', []) + [place for place in sorted(as_dict(value)) if place not in known]


def _health(value: Any, found: Dict[str, Any], unsaid: List[str]) -> None:
    made: Dict[str, Any] = {}
    for key, item in as_dict(value).items():
        if key == 'Test':
            made['test'] = strings(item)
        elif key == 'Retries':
            made['retries'] = item
        elif key in ('Interval', 'Timeout', 'StartPeriod', 'StartInterval'):
            option = {'StartPeriod': 'start_period', 'StartInterval': 'start_interval'}.get(key, key.lower())
            made[option] = _duration(as_int(item) or 0)
        else:
            unsaid.append('Healthcheck.' + key)
    if made:
        if 'test' not in made:
            made['test_cli_compatible'] = True      # else the module takes a check without a test of its own for none
        found['healthcheck'] = made


def _duration(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10 ** 9)
    return '%ds' % seconds if not rest else '%ds%dus' % (seconds, rest // 1000)


def _cpus(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['cpus'] = (as_int(value) or 0) / 1e9


def _hosts(value: Any, found: Dict[str, Any], unsaid: List[str]) -> None:
    for item in strings(value):
        host, dummy, address = item.partition(':')
        if found.setdefault('etc_hosts', {}).setdefault(host, address) != address:
            unsaid.append('HostConfig.ExtraHosts (a second address of %s)' % host)


def _requests(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    options = {'Driver': 'driver', 'Count': 'count', 'DeviceIDs': 'device_ids', 'Capabilities': 'capabilities', 'Options': 'options'}
    found['device_requests'] = [{options[key]: item[key] for key in sorted(item) if key in options and item[key] not in (None, [], {}, '')}
                                for item in _dicts(value)]


def _devices(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['devices'] = [':'.join(filter(None, (as_str(item.get('PathOnHost')), as_str(item.get('PathInContainer')) or as_str(
        item.get('PathOnHost')), as_str(item.get('CgroupPermissions'))))) for item in _dicts(value)]


def _ulimits(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['ulimits'] = ['%s:%s:%s' % (as_str(item.get('Name')), as_int(item.get('Soft')), as_int(item.get('Hard'))) for item in _dicts(value)]


def _tmpfs(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['tmpfs'] = [place + (':' + as_str(options) if options else '') for place, options in sorted(as_dict(value).items())]


def _ports(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    ports = []
    for port, bindings in sorted(as_dict(value).items()):
        for item in _dicts(bindings) or [{}]:
            address, number = as_str(item.get('HostIp')), as_str(item.get('HostPort'))
            address = '[%s]' % address if ':' in address else address
            ports.append(':'.join([address, number, port] if address else [number, port] if number else [port]))
    found['published_ports'] = ports
    if any(not as_str(item.get('HostIp')) for bindings in as_dict(value).values() for item in _dicts(bindings) or [{}]):
        found['default_host_ip'] = ''       # all addresses, those of IPv6 too; the module's own default is 0.0.0.0


def _log(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['log_driver'] = as_str(as_dict(value).get('Type'))
    if as_dict(as_dict(value).get('Config')):
        found['log_options'] = as_dict(value)['Config']


def _restart(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    found['restart_policy'] = as_str(as_dict(value).get('Name'))
    if as_int(as_dict(value).get('MaximumRetryCount')):
        found['restart_retries'] = as_dict(value)['MaximumRetryCount']


def _binds(value: Any, found: Dict[str, Any], dummy: List[str]) -> None:
    binds = strings(value)
    taken = [item.split(':')[1] for item in binds if ':' in item]
    found['volumes'] = binds + [place for place in found.get('volumes', []) if place not in taken]


# of an item of Mounts: (group or '', key) -> option
MOUNT = {('', 'Type'): 'type', ('', 'Source'): 'source', ('', 'Target'): 'target', ('', 'ReadOnly'): 'read_only',
         ('', 'Consistency'): 'consistency', ('BindOptions', 'Propagation'): 'propagation', ('BindOptions', 'NonRecursive'): 'non_recursive',
         ('BindOptions', 'CreateMountpoint'): 'create_mountpoint', ('BindOptions', 'ReadOnlyNonRecursive'): 'read_only_non_recursive',
         ('BindOptions', 'ReadOnlyForceRecursive'): 'read_only_force_recursive', ('VolumeOptions', 'NoCopy'): 'no_copy',
         ('VolumeOptions', 'Labels'): 'labels', ('VolumeOptions', 'Subpath'): 'subpath', ('ImageOptions', 'Subpath'): 'subpath'}


def _mounts(value: Any, found: Dict[str, Any], unsaid: List[str]) -> None:
    found['mounts'] = [_mount(item, unsaid) for item in _dicts(value)]


def _mount(item: Dict[str, Any], unsaid: List[str]) -> Dict[str, Any]:
    made: Dict[str, Any] = {}
    parts = [('', item)] + [(group, as_dict(item[group])) for group in ('BindOptions', 'VolumeOptions', 'TmpfsOptions', 'ImageOptions')
                            if group in item]
    for group, options in parts:
        for key, value in options.items():
            if (group, key) in MOUNT:
                made[MOUNT[group, key]] = value
            elif (group, key) == ('TmpfsOptions', 'SizeBytes'):
                made['tmpfs_size'] = str(value)
            elif (group, key) == ('TmpfsOptions', 'Mode'):
                made['tmpfs_mode'] = '%o' % (as_int(value) or 0)
            elif (group, key) == ('VolumeOptions', 'DriverConfig'):
                # the module drops options where no driver is named
                made.update(volume_driver=as_str(as_dict(value).get('Name')) or 'local', volume_options=as_dict(as_dict(value).get('Options')))
            elif (group, key) == ('TmpfsOptions', 'Options'):
                made['tmpfs_options'] = [{words[0]: words[1] if words[1:] else None} for words in map(strings, as_list(value)) if words]
            elif not (group == '' and key.endswith('Options')):
                unsaid.append('HostConfig.Mounts.%s%s' % (group + '.' if group else '', key))
    return made


def _networks(endpoints: Dict[str, Any], found: Dict[str, Any], unsaid: List[str]) -> None:
    options = {'Aliases': 'aliases', 'Links': 'links', 'DriverOpts': 'driver_opts', 'MacAddress': 'mac_address', 'GwPriority': 'gw_priority'}
    networks = []
    for name, endpoint in endpoints.items():
        made: Dict[str, Any] = {'name': name}
        for key, value in as_dict(endpoint).items():
            if key in options:
                made[options[key]] = value
            elif key == 'IPAMConfig':
                for field, address in as_dict(value).items():
                    option = {'IPv4Address': 'ipv4_address', 'IPv6Address': 'ipv6_address'}.get(field)
                    if option:
                        made[option] = address
                    else:
                        unsaid.append('EndpointsConfig.IPAMConfig.' + field)
            else:
                unsaid.append('EndpointsConfig.' + key)
        networks.append(made)
    if networks:
        found['networks'] = networks
