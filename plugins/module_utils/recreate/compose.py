"""compose.yaml: create bodies in the words of the Compose specification.

One file is for containers of one compose project (then volumes and networks of that project are its own, and Compose
finds on them the labels it expects), for a lone container, or for a whole host (then what was made elsewhere is
`external`). Compose interpolates `$` in every value, so it is doubled; keys are not interpolated.
"""
import re
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..formats.values import as_dict, as_int, as_list, as_str, strings
from . import asks, doubts, env, run as runs, yamlout
from .body import create_body, user_networks
from .naming import (
    COMPOSE_PREFIX,
    DEPENDS_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    VOLUME_LABEL,
    network_mode,
    project_of,
    split_bind,
    volumes,
)
from .run import cdi_devices, decimal, device_text, duration, published, restart_text, security_options
from .shell import comment, words

if TYPE_CHECKING:
    from ..records.definition import Definition

# HostConfig key -> service key
SAME = (('CapAdd', 'cap_add'), ('CapDrop', 'cap_drop'), ('CgroupParent', 'cgroup_parent'), ('CgroupnsMode', 'cgroup'),
        ('CpuPeriod', 'cpu_period'), ('CpuQuota', 'cpu_quota'), ('CpuRealtimePeriod', 'cpu_rt_period'),
        ('CpuRealtimeRuntime', 'cpu_rt_runtime'), ('CpuShares', 'cpu_shares'), ('CpusetCpus', 'cpuset'),
        ('DeviceCgroupRules', 'device_cgroup_rules'), ('Dns', 'dns'), ('DnsOptions', 'dns_opt'),
        ('DnsSearch', 'dns_search'), ('ExtraHosts', 'extra_hosts'), ('GroupAdd', 'group_add'), ('Init', 'init'),
        ('Memory', 'mem_limit'), ('MemoryReservation', 'mem_reservation'), ('MemorySwap', 'memswap_limit'),
        ('MemorySwappiness', 'mem_swappiness'), ('OomKillDisable', 'oom_kill_disable'),
        ('OomScoreAdj', 'oom_score_adj'), ('PidsLimit', 'pids_limit'), ('Privileged', 'privileged'),
        ('ReadonlyRootfs', 'read_only'), ('Runtime', 'runtime'), ('ShmSize', 'shm_size'), ('StorageOpt', 'storage_opt'),
        ('Sysctls', 'sysctls'), ('UTSMode', 'uts'), ('UsernsMode', 'userns_mode'), ('Annotations', 'annotations'))
BYTES = frozenset(('Memory', 'MemoryReservation', 'MemorySwap', 'ShmSize'))
RATES = (('BlkioDeviceReadBps', 'device_read_bps'), ('BlkioDeviceWriteBps', 'device_write_bps'),
         ('BlkioDeviceReadIOps', 'device_read_iops'), ('BlkioDeviceWriteIOps', 'device_write_iops'))
ONE_OF_TWO = 'The same containers are in %s beside this file: use one of the two, not both.'
PROJECT = re.compile(r'[^a-z0-9_-]+')


def compose(definitions: 'Sequence[Definition]', name: Optional[str] = None, twice: str = '', folders: Sequence[str] = ()) -> str:
    """Text of one compose.yaml with the containers of DEFINITIONS as services.

    NAME is the project's; without it that of the one compose project (or the container) that they belong to. TWICE: a sentence on
    another file with the same containers. FOLDERS: where the env files of each lie, as seen from this file; '.' without it.
    """
    named = set(project_of(definition) for definition in definitions)
    own_project = named.pop() if len(named) == 1 else ''
    if name is None:
        name = own_project or (definitions[0].name if definitions else 'rescued')
    document = _Document(own_project, definitions, folders)
    document.fill()
    head = ['Made from the recorded configuration of %s.' % ', '.join(definition.name for definition in definitions[:20]),
            'Load the images and fill the volumes first; then: docker compose up -d (Compose v2 or newer; for docker-compose 1.x '
            'remove the line "name:" and give it with -p).']
    if twice:
        head.append(twice)
    for kind, names in (('volumes', document.external_volumes), ('networks', document.external_networks)):
        if names:
            head.append('These %s have to exist (docker %s create NAME): %s' % (kind, kind[:-1], ', '.join(sorted(names))))
    for dummy, info in sorted(document.external_volumes.items()):
        if runs.volume_flags(info):
            head.append('With its options and labels: %s' % words(
                ['docker', 'volume', 'create'] + runs.volume_flags(info) + ['--', info['name']]))
    for network, info in sorted(document.external_networks.items()):
        if runs.network_flags(info):
            head.append('With its options and labels: %s' % words(['docker', 'network', 'create'] + runs.network_flags(info) + ['--', network]))
    for definition in definitions:
        head.extend('WARNING %s: %s' % (definition.name, note) for note in asks.warnings(definition))
        head.extend('NOTE %s: %s' % (definition.name, note) for note in doubts.warnings(definition))
        head.extend('NOTE %s: %s' % (definition.name, note) for note in notes(definition))
    value = {'name': PROJECT.sub('-', name.lower()).strip('-_') or 'rescued', 'services': document.services}
    if document.volumes:
        value['volumes'] = document.volumes
    if document.networks:
        value['networks'] = document.networks
    return ''.join(comment(line) + '\n' for line in head) + yamlout.dump(interpolation_safe(value))


def whole_host(definitions: 'Sequence[Definition]', name: str, folders: Sequence[str] = ()) -> str:
    """Text of one compose.yaml with everything of a host."""
    return compose(definitions, name, ONE_OF_TWO % 'the files compose-PROJECT.yaml' if any(map(project_of, definitions)) else '', folders)


def projects(definitions: 'Sequence[Definition]', folders: Sequence[str] = ()) -> Dict[str, str]:
    """{compose project: text} of one compose.yaml for each compose project among DEFINITIONS."""
    found = {}
    for definition, folder in _placed(definitions, folders):
        name = project_of(definition)
        if name:
            found.setdefault(name, []).append((definition, folder))
    return dict((name, compose([definition for definition, dummy in group], twice=ONE_OF_TWO % 'compose.yaml of the whole host',
                               folders=[folder for dummy, folder in group])) for name, group in found.items())


def _placed(definitions: 'Sequence[Definition]', folders: Sequence[str]) -> 'List[Tuple[Definition, str]]':
    return list(zip(definitions, folders or ['.'] * len(definitions)))


def notes(definition: 'Definition') -> List[str]:
    """What only Compose cannot say."""
    host = create_body(definition)['HostConfig']
    found = []
    if definition.paused:
        found.append('Compose has no paused containers: docker compose pause after up.')
    if host.get('AutoRemove'):
        found.append('Compose has no --rm.')
    if host.get('PublishAllPorts'):
        found.append('Compose has no -P: publish the ports that are needed.')
    health = as_dict(create_body(definition).get('Healthcheck'))
    if as_int(health.get('StartInterval')) and not as_int(_started(definition, health).get('StartInterval')):
        found.append('The start interval of the health check is left out: without a start period it is never used, and Compose refuses it.')
    for key in ('CpusetMems', 'VolumeDriver'):
        if host.get(key):
            found.append('%s %s is in create.json and run.sh only.' % (key, host[key]))
    if 'bridge' in definition.networks and (network_mode(definition) != 'bridge' or user_networks(definition)):
        found.append('The container was on the default bridge too: Compose cannot say that.')
    elif any(as_dict(_Document.endpoints(create_body(definition)).get('bridge')).get(key) for key in ('MacAddress', 'DriverOpts', 'GwPriority')):
        found.append('Newer versions of Compose give the container on the default bridge neither its MAC address nor options: run.sh does.')
    return found


def interpolation_safe(value: Any) -> Any:
    """`$` doubled in every string value, as Compose wants it."""
    if isinstance(value, str):
        return value.replace('$', '$$')
    if isinstance(value, dict):
        return dict((key, interpolation_safe(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return [interpolation_safe(item) for item in value]
    return value


class _Document(object):
    """Services, volumes and networks of one file, and who is called what in it."""

    def __init__(self, project: str, definitions: 'Sequence[Definition]', folders: Sequence[str]) -> None:
        self.project = project
        self.services, self.volumes, self.networks = {}, {}, {}
        self.external_volumes, self.external_networks = {}, {}      # name -> what docker volume or network create needs
        self.entries: List[Tuple[str, Definition, str]] = []  # [(service, Definition, folder of its env files)]
        taken = set()
        for definition, folder in _placed(definitions, folders):
            name = base = service_name(definition)
            number = 2
            while name in taken:
                name = '%s-%d' % (base, number)
                number += 1
            taken.add(name)
            self.entries.append((name, definition, folder))
        self.by_container = dict((definition.name, name) for name, definition, dummy in self.entries)
        # of a scaled service: the first
        self.by_service = dict(((project_of(definition), service_name(definition)), name)
                               for name, definition, dummy in reversed(self.entries))

    def fill(self) -> None:
        for name, definition, folder in self.entries:
            self.services[name] = self._service(name, definition, folder)
        for name, service in self.services.items():
            for link in service.get('external_links', ()):
                linked = self.by_container.get(link.partition(':')[0].lstrip('/'))
                if linked and not self._needs(linked, name):
                    service.setdefault('depends_on', {}).setdefault(linked, {'condition': 'service_started'})

    def _needs(self, service: str, other: str) -> bool:
        """Is OTHER made before SERVICE?"""
        seen, todo = set(), [service]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(self.services.get(name, {}).get('depends_on', ()))
        return other in seen

    def _service(self, name: str, definition: 'Definition', folder: str) -> Dict[str, Any]:
        body = create_body(definition)
        host = body['HostConfig']
        service = {'image': body['Image']}
        if definition.name != '%s-%s-1' % (self.project, name):
            service['container_name'] = definition.name
        _container_keys(definition, body, service, folder)
        _host_keys(host, service, '' if folder == '.' else folder + '/')
        for key, target in (('IpcMode', 'ipc'), ('PidMode', 'pid')):
            if as_str(host.get(key)):
                service[target] = self._peer(host[key])
        mounts = self._mounts(definition, host)
        if mounts:
            service['volumes'] = mounts
        self._join(name, definition, body, service)
        depends = self._depends(name, definition)
        if depends:
            service['depends_on'] = depends
        return service

    def _peer(self, mode: str) -> str:
        if mode.startswith('container:') and mode[10:] in self.by_container:
            return 'service:' + self.by_container[mode[10:]]
        return mode

    def _depends(self, own: str, definition: 'Definition') -> Dict[str, Dict[str, str]]:
        """From Compose's own label, 'db:service_started:false,cache:...', what is in this file."""
        found = {}
        for item in definition.labels.get(DEPENDS_LABEL, '').split(','):
            parts = item.split(':')
            name = self.by_service.get((project_of(definition), parts[0]))
            if name not in (None, own):
                condition = parts[1] if len(parts) > 1 and parts[1] in (
                    'service_started', 'service_healthy', 'service_completed_successfully') else 'service_started'
                found[name] = {'condition': condition}
        return found

    def _mounts(self, definition: 'Definition', host: Dict[str, Any]) -> List[Any]:
        found: List[Any] = []
        known = dict((item['name'], item) for item in volumes(definition))
        for bind in strings(host.get('Binds')):
            source, place, mode = split_bind(bind)
            modes = [item for item in mode.split(',') if item]
            if source.startswith('/'):
                # the long form would refuse a missing path, the short one cannot hold a colon: neither can a bind
                found.append(bind)
                continue
            key = self._volume(source, known)
            found.append(':'.join([key, place] + ([','.join(modes)] if modes else [])))
        for mount in map(as_dict, as_list(host.get('Mounts'))):
            found.append(self._long_mount(mount, known))
        return found

    def _long_mount(self, mount: Dict[str, Any], volumes: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
        kind = as_str(mount.get('Type'))
        item: Dict[str, Any] = {'type': kind}
        source = as_str(mount.get('Source'))
        if source:
            item['source'] = self._volume(source, volumes) if kind == 'volume' else source
        item['target'] = as_str(mount.get('Target'))
        if mount.get('ReadOnly') is True:
            item['read_only'] = True
        if as_str(mount.get('Consistency')):
            item['consistency'] = mount['Consistency']
        bind, volume, tmpfs = (as_dict(mount.get(key)) for key in ('BindOptions', 'VolumeOptions', 'TmpfsOptions'))
        options = {}
        if as_str(bind.get('Propagation')):
            options['propagation'] = bind['Propagation']
        if runs.recursion(bind):
            options['recursive'] = runs.recursion(bind)
        if bind.get('CreateMountpoint') is True:
            options['create_host_path'] = True
        if options:
            item['bind'] = options
        options = {}
        if volume.get('NoCopy') is True:
            options['nocopy'] = True
        if as_str(volume.get('Subpath')):
            options['subpath'] = volume['Subpath']
        if options:
            item['volume'] = options
        limits = {}
        if as_int(tmpfs.get('SizeBytes')):
            limits['size'] = tmpfs['SizeBytes']
        if as_int(tmpfs.get('Mode')):
            limits['mode'] = tmpfs['Mode']
        if limits:
            item['tmpfs'] = limits
        if kind == 'image' and as_str(as_dict(mount.get('ImageOptions')).get('Subpath')):
            item['image'] = {'subpath': mount['ImageOptions']['Subpath']}
        return item

    def _volume(self, name: str, volumes: Dict[str, Dict[str, Any]]) -> str:
        """The key under `volumes:` for the volume NAME; it is entered there."""
        info = volumes.get(name, {'name': name, 'driver': 'local', 'labels': {}, 'options': {}})
        labels = info['labels']
        mine = self.project and (labels.get(PROJECT_LABEL) == self.project
                                 or not labels and name.startswith(self.project + '_'))
        key = name
        if mine:
            key = labels.get(VOLUME_LABEL) or name[len(self.project) + 1:]
        entry: Dict[str, Any] = {'name': name}
        if mine:
            if info['driver'] != 'local':
                entry['driver'] = info['driver']
            if info['options']:
                entry['driver_opts'] = info['options']
            kept = own_labels(labels)
            if kept:
                entry['labels'] = kept
        else:
            entry['external'] = True
            self.external_volumes[name] = info
        self.volumes[key] = entry
        return key

    def _join(self, own: str, definition: 'Definition', body: Dict[str, Any], service: Dict[str, Any]) -> None:
        mode, infos = network_mode(definition), user_networks(definition)
        if mode == 'bridge':
            mode = next((name for name in self.endpoints(body) if name in infos), mode)      # connected afterwards; `notes` names the bridge
        if mode in ('host', 'none', 'bridge') or mode.startswith('container:'):
            service['network_mode'] = self._peer(mode)
            if 'bridge' in self.endpoints(body):
                self._mac(self.endpoints(body)['bridge'], service)
            links = strings(as_dict(body['HostConfig']).get('Links'))
            if links:
                service['external_links'] = links
            return
        joined = {}
        linked = []
        endpoints = dict((name, endpoint) for name, endpoint in self.endpoints(body).items() if name in infos)
        for name, endpoint in endpoints.items():
            entry = {}
            addresses = as_dict(endpoint.get('IPAMConfig'))
            for key, target in (('IPv4Address', 'ipv4_address'), ('IPv6Address', 'ipv6_address')):
                if as_str(addresses.get(key)):
                    entry[target] = addresses[key]
            if strings(addresses.get('LinkLocalIPs')):
                entry['link_local_ips'] = strings(addresses['LinkLocalIPs'])
            aliases = [alias for alias in strings(endpoint.get('Aliases'))
                       if alias not in (definition.name, own)]
            if aliases:
                entry['aliases'] = aliases
            if name == mode and len(endpoints) > 1:
                entry['priority'] = 100
            if endpoint.get('DriverOpts'):
                entry['driver_opts'] = dict((key, as_str(value)) for key, value in sorted(as_dict(endpoint['DriverOpts']).items()))
            if as_int(endpoint.get('GwPriority')):
                entry['gw_priority'] = endpoint['GwPriority']
            if name == mode:
                self._mac(endpoint, service)
            elif as_str(endpoint.get('MacAddress')):
                entry['mac_address'] = endpoint['MacAddress']
            linked.extend(strings(endpoint.get('Links')))
            joined[self._network(name, infos[name])] = entry or None
        service['networks'] = joined
        if linked:
            service['external_links'] = linked

    @staticmethod
    def endpoints(body: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
        """{network: what was asked for of it} of a create body."""
        return as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))

    @staticmethod
    def _mac(endpoint: Dict[str, Any], service: Dict[str, Any]) -> None:
        if as_str(endpoint.get('MacAddress')):
            service.setdefault('mac_address', endpoint['MacAddress'])

    def _network(self, name: str, info: Dict[str, Any]) -> str:
        labels = as_dict(info.get('labels'))
        mine = self.project and (labels.get(PROJECT_LABEL) == self.project
                                 or not labels and name.startswith(self.project + '_'))
        entry: Dict[str, Any] = {'name': name}
        if not mine:
            entry['external'] = True
            self.external_networks[name] = info
            self.networks[name] = entry
            return name
        key = as_str(labels.get('com.docker.compose.network')) or name[len(self.project) + 1:] or name
        if as_str(info.get('driver')) not in ('', 'bridge'):
            entry['driver'] = info['driver']
        options = dict((name_, as_str(value)) for name_, value in as_dict(info.get('options')).items())
        if options:
            entry['driver_opts'] = options
        for flag in ('internal', 'attachable', 'enable_ipv6'):
            if info.get(flag) is True:
                entry[flag] = True
        pools = [dict((field, as_str(item[field])) for field in ('subnet', 'gateway', 'ip_range')
                      if as_str(item.get(field))) for item in map(as_dict, as_list(info.get('ipam')))]
        for pool, item in zip(pools, as_list(info.get('ipam'))):
            if as_dict(item).get('reserved'):
                pool['aux_addresses'] = item['reserved']
        ipam = {'driver': info.get('ipam_driver'), 'config': pools if any(pools) else None, 'options': info.get('ipam_options')}
        if any(ipam.values()):
            entry['ipam'] = dict((key, value) for key, value in ipam.items() if value)
        if info.get('disable_ipv4') is True:
            entry['enable_ipv4'] = False
        kept = own_labels(labels)
        if kept:
            entry['labels'] = kept
        self.networks[key] = entry
        return key


def service_name(definition: 'Definition') -> str:
    wanted = definition.labels.get(SERVICE_LABEL) or definition.name
    return re.sub(r'[^a-zA-Z0-9._-]+', '-', wanted).strip('-') or 'rescued'


def own_labels(labels: Optional[Mapping[str, str]]) -> Dict[str, str]:
    """Without those that Compose writes by itself."""
    return dict((key, as_str(value)) for key, value in sorted(as_dict(labels).items())
                if not key.startswith(COMPOSE_PREFIX))


def _container_keys(definition: 'Definition', body: Dict[str, Any], service: Dict[str, Any], folder: str) -> None:
    for key, target in (('Hostname', 'hostname'), ('Domainname', 'domainname'), ('User', 'user'),
                        ('WorkingDir', 'working_dir'), ('StopSignal', 'stop_signal'), ('Tty', 'tty'),
                        ('OpenStdin', 'stdin_open')):
        if key in body:
            service[target] = body[key]
    if 'StopTimeout' in body:
        service['stop_grace_period'] = '%ds' % body['StopTimeout']
    if 'Entrypoint' in body:
        # [] is Compose's word for "none"
        service['entrypoint'] = [] if body['Entrypoint'] == [''] else body['Entrypoint']
    if 'Cmd' in body:
        service['command'] = body['Cmd']
    if 'compose.env' in env.files(definition):
        service['env_file'] = ['%s/compose.env' % folder]
    labels = own_labels(body.get('Labels'))
    if labels:
        service['labels'] = labels
    bindings = as_dict(as_dict(body.get('HostConfig')).get('PortBindings'))
    exposed = [port for port in sorted(as_dict(body.get('ExposedPorts'))) if port not in bindings]
    if exposed:
        service['expose'] = [port[:-4] if port.endswith('/tcp') else port for port in exposed]
    health = _started(definition, as_dict(body.get('Healthcheck')))
    if health:
        service['healthcheck'] = _healthcheck(health)


def _started(definition: 'Definition', health: Dict[str, Any]) -> Dict[str, Any]:
    """HEALTH, with the start period of the image: Compose takes no start interval without one. Where there is none, the interval is never used."""
    if not as_int(health.get('StartInterval')) or as_int(health.get('StartPeriod')):
        return health
    period = definition.health.start_period if definition.health is not None else 0
    return dict(health, StartPeriod=period) if period else dict((key, value) for key, value in health.items() if key != 'StartInterval')


def _healthcheck(health: Dict[str, Any]) -> Dict[str, Any]:
    if strings(health.get('Test')) == ['NONE']:
        return {'disable': True}
    found: Dict[str, Any] = {}
    if strings(health.get('Test')):
        found['test'] = strings(health['Test'])
    for key, target in (('Interval', 'interval'), ('Timeout', 'timeout'), ('StartPeriod', 'start_period'),
                        ('StartInterval', 'start_interval')):
        if as_int(health.get(key)):
            nanoseconds = health[key]
            # Compose knows no unit below the microsecond
            found[target] = duration(nanoseconds - nanoseconds % 1000)
    if as_int(health.get('Retries')):
        found['retries'] = health['Retries']
    return found


def _host_keys(host: Dict[str, Any], service: Dict[str, Any], folder: str) -> None:
    for key, target in SAME:
        if key in host:
            value = host[key]
            if isinstance(value, dict):
                value = dict((name, as_str(item)) for name, item in sorted(value.items()))
            elif key in BYTES:
                value = value if value == -1 else '%db' % value
            service[target] = value
    if as_int(host.get('NanoCpus')):
        service['cpus'] = float(decimal(host['NanoCpus']))
    devices = [device_text(item) for item in as_list(host.get('Devices'))] + cdi_devices(host)
    if devices:
        service['devices'] = devices
    if host.get('Ulimits'):
        service['ulimits'] = dict(
            (as_str(item.get('Name')), {'soft': as_int(item.get('Soft')) or 0, 'hard': as_int(item.get('Hard')) or 0})
            for item in map(as_dict, as_list(host['Ulimits'])))
    if host.get('Tmpfs'):
        service['tmpfs'] = [place + (':' + as_str(mode) if as_str(mode) else '')
                            for place, mode in sorted(as_dict(host['Tmpfs']).items())]
    options = security_options(host, folder)
    if options:
        service['security_opt'] = options
    log = as_dict(host.get('LogConfig'))
    if log:
        service['logging'] = {'driver': as_str(log.get('Type'))}
        if log.get('Config'):
            service['logging']['options'] = dict((key, as_str(value)) for key, value in sorted(as_dict(log['Config']).items()))
    if host.get('RestartPolicy'):
        service['restart'] = restart_text(host['RestartPolicy'])
    ports = published(host)
    if ports:
        service['ports'] = ports
    blkio = {}
    if as_int(host.get('BlkioWeight')):
        blkio['weight'] = host['BlkioWeight']
    weights = [{'path': as_str(item.get('Path')), 'weight': as_int(item.get('Weight')) or 0}
               for item in map(as_dict, as_list(host.get('BlkioWeightDevice')))]
    if weights:
        blkio['weight_device'] = weights
    for key, target in RATES:
        rates = [{'path': as_str(item.get('Path')), 'rate': as_int(item.get('Rate')) or 0}
                 for item in map(as_dict, as_list(host.get(key)))]
        if rates:
            blkio[target] = rates
    if blkio:
        service['blkio_config'] = blkio
    requests = [_device_request(as_dict(item)) for item in as_list(host.get('DeviceRequests'))
                if as_str(as_dict(item).get('Driver')) != 'cdi']
    if requests:
        service['deploy'] = {'resources': {'reservations': {'devices': requests}}}


def _device_request(request: Dict[str, Any]) -> Dict[str, Any]:
    found = {}
    if as_str(request.get('Driver')):
        found['driver'] = request['Driver']
    if strings(request.get('DeviceIDs')):
        found['device_ids'] = strings(request['DeviceIDs'])
    else:
        count = as_int(request.get('Count')) or 0
        found['count'] = 'all' if count < 0 else count
    found['capabilities'] = [name for group in as_list(request.get('Capabilities')) for name in strings(group)] or ['gpu']
    options = dict((key, as_str(value)) for key, value in sorted(as_dict(request.get('Options')).items()))
    if options:
        found['options'] = options
    return found
