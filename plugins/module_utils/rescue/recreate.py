# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a container's recorded configuration to what makes it again. Pure functions, no I/O.

    definition = define(config, hostconfig, image_config, pinned_image, mounts, ...)
    files(definition)           every file for the bundle's config/ folder
    create_body(definition)     the Engine API's body for POST /containers/create

The create body is the one source: `recreate_compose` and `recreate_run` only say the same in other words. What
dockerd filled in by itself when the container was created (from the image or as its own defaults) is taken out
again, so that the new engine fills in its own, and a person sees only what somebody asked for.

Everything read here comes from a disk and may have any type or be missing.
"""
import json
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..storage.model import Mount

ID = re.compile(r'[0-9a-f]{64}\Z')
PROJECT_LABEL = 'com.docker.compose.project'
SERVICE_LABEL = 'com.docker.compose.service'
NUMBER_LABEL = 'com.docker.compose.container-number'
VOLUME_LABEL = 'com.docker.compose.volume'
DEPENDS_LABEL = 'com.docker.compose.depends_on'
COMPOSE_PREFIX = 'com.docker.compose.'
DEFAULT_NETWORKS = ('', 'default', 'bridge')
SHM_SIZE = 64 * 1024 * 1024
MAX_DEPTH = 12

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


class Definition(NamedTuple):
    """What is known of one container; made by :func:`define`, all of it of the right type."""
    id: str                             # '' if unknown
    name: str                           # without slash; made from the id where it is lost
    config: Dict[str, Any]              # Config of config.v2.json
    host: Dict[str, Any]                # hostconfig.json
    networks: Dict[str, Any]            # NetworkSettings.Networks
    image: Optional[Dict[str, Any]]     # config of the image, None if lost
    pinned_image: str
    mounts: Tuple[Mount, ...]
    volume_names: Dict[str, str]        # every volume of the container: recorded name -> name to use
    volume_info: Dict[str, Any]         # recorded name -> {'driver', 'options', 'labels'}
    network_info: Dict[str, Any]        # name -> {'driver', 'options', 'labels', 'internal', 'ipam': [{'subnet', ...}]}
    peers: Dict[str, str]               # id of other containers -> name
    managed: bool                       # task of a swarm service
    restored_name: str                  # reference under which pinned_image was asked for; for comments only
    env_path: str                       # folder of the env files as seen from the compose file


def define(config, hostconfig, image_config, pinned_image, mounts=(), name=None, container_id=None, volume_names=None,
           volume_info=None, network_info=None, peers=None, env_path='.'):
    """-> Definition. CONFIG and HOSTCONFIG as read from disk ({} where lost), IMAGE_CONFIG the `config` of the image's
    configuration or None, MOUNTS a list of model.Mount (made from CONFIG's MountPoints where it is empty).

    VOLUME_NAMES {recorded: new} overrides :func:`stable_name` for anonymous volumes and renames others.
    """
    config = as_dict(clean(config))
    inner = as_dict(config.get('Config'))
    container_id = as_str(container_id or config.get('ID'))
    name = as_str(name or config.get('Name')).lstrip('/') or 'rescued-' + (container_id[:12] or 'container')
    mounts = tuple(mounts) or mounts_of(config)
    names = {}
    for mount in mounts:
        if mount.type == 'volume' and mount.name:
            wanted = (volume_names or {}).get(mount.name)
            if not wanted:
                wanted = stable_name(name, mount.destination) if mount.anonymous else mount.name
            names[mount.name] = wanted
    return Definition(
        id=container_id, name=name, config=inner, host=as_dict(clean(hostconfig)),
        networks=as_dict(as_dict(config.get('NetworkSettings')).get('Networks')),
        image=None if image_config is None else as_dict(clean(image_config)), pinned_image=pinned_image, mounts=mounts,
        volume_names=names, volume_info=as_dict(volume_info), network_info=as_dict(network_info),
        peers=dict(peers or {}), managed=config.get('Managed') is True, restored_name=as_str(inner.get('Image')),
        env_path=env_path)


def files(definition):
    """{file name: text} for the bundle's config/ folder: create.json, compose.yaml, run.sh and the env files they use.

    All of them 0600; run.sh is for `sh run.sh`. Env files are left out where they would be empty.
    """
    from . import recreate_compose, recreate_env, recreate_run
    made = {'create.json': json.dumps(create_body(definition), indent=2, sort_keys=True) + '\n',
            'compose.yaml': recreate_compose.compose([definition]),
            'run.sh': recreate_run.run_sh(definition)}
    made.update(recreate_env.files(definition))
    for number, profile in enumerate(seccomp_profiles(definition)):
        made['seccomp-%d.json' % number] = profile + '\n'
    return made


def compose(definition):
    """compose.yaml of one container."""
    from . import recreate_compose
    return recreate_compose.compose([definition])


def compose_host(definitions, name):
    """compose.yaml of everything on one host; each definition's `env_path` leads to its own env files."""
    from . import recreate_compose
    return recreate_compose.compose(definitions, name)


def compose_projects(definitions):
    """{compose project: text} of one compose.yaml for each compose project among DEFINITIONS."""
    from . import recreate_compose
    projects = {}
    for definition in definitions:
        name = project_of(definition)
        if name:
            projects.setdefault(name, []).append(definition)
    return dict((name, recreate_compose.compose(group)) for name, group in projects.items())


def run_sh(definition):
    from . import recreate_run
    return recreate_run.run_sh(definition)


def env_file(definition):
    """Text of the file `env` for docker run --env-file."""
    from . import recreate_env
    return recreate_env.files(definition).get('env', '')


def stable_name(container, destination):
    """Name for a formerly anonymous volume: the container and where it is mounted, in Docker's letters."""
    name = re.sub(r'[^A-Za-z0-9_.-]+', '-', '%s-%s' % (container, destination.strip('/'))).strip('-.')
    return name if re.match(r'[A-Za-z0-9]', name) else 'volume-' + name


def stable_names(definitions):
    """{recorded name: new name} of all anonymous volumes of one host, the same for every container that shares one."""
    names = {}
    # whoever mounts a volume through another container is not the one it is named after
    for definition in sorted(definitions, key=lambda item: bool(item.host.get('VolumesFrom'))):
        for mount in definition.mounts:
            if mount.type == 'volume' and mount.anonymous and mount.name:
                names.setdefault(mount.name, stable_name(definition.name, mount.destination))
    return names


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


def network_mode(definition):
    """The recorded network mode with other containers by name where it is known: bridge, none, host, container:x, NAME."""
    mode = as_str(definition.host.get('NetworkMode'))
    if mode in DEFAULT_NETWORKS:
        named = [name for name in definition.networks if name not in ('host', 'none')]
        # hostconfig.json lost: the networks of config.v2.json say it
        return named[0] if named and not definition.host else 'bridge'
    return peer_mode(definition, mode)


def peer_mode(definition, mode):
    """container:<id> -> container:<name> where the other container is known."""
    if mode.startswith('container:'):
        peer = mode.split(':', 1)[1]
        return 'container:' + definition.peers.get(peer, peer)
    return mode


def project_of(definition):
    return as_str(as_dict(definition.config.get('Labels')).get(PROJECT_LABEL))


def volumes(definition):
    """What `docker volume create` needs, in mount order: [{'recorded', 'name', 'driver', 'options', 'labels'}]."""
    found = []
    for mount in definition.mounts:
        if mount.type != 'volume' or not mount.name or mount.name in [item['recorded'] for item in found]:
            continue
        info = as_dict(definition.volume_info.get(mount.name))
        labels = dict((key, as_str(value)) for key, value in as_dict(info.get('labels')).items())
        if mount.anonymous:
            labels.pop('com.docker.volume.anonymous', None)
            if project_of(definition):
                # so that Compose takes it for its own
                labels.setdefault(PROJECT_LABEL, project_of(definition))
                labels.setdefault(VOLUME_LABEL, definition.volume_names[mount.name])
        options = dict((key, as_str(value)) for key, value in as_dict(info.get('options')).items())
        found.append({'recorded': mount.name, 'name': definition.volume_names[mount.name], 'labels': labels,
                      'driver': as_str(info.get('driver')) or mount.driver or 'local', 'options': options})
    return found


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


def seccomp_profiles(definition):
    """Profiles that are recorded as JSON in SecurityOpt; docker run and compose want them as files."""
    return [option.split('=', 1)[1] for option in strings(definition.host.get('SecurityOpt'))
            if option.startswith('seccomp=') and option[8:].lstrip().startswith('{')]


def warnings(definition):
    """Sentences on what the made files cannot say or what has to be looked at before they are used."""
    from . import recreate_env
    found = []
    host, config = definition.host, definition.config
    if not config:
        found.append('config.v2.json is lost: command, environment, user and labels are those of the image.')
    if not host:
        found.append('hostconfig.json is lost: ports, restart policy, limits and capabilities are unknown.')
    if definition.image is None:
        found.append("The image's own configuration is lost: everything recorded is given, defaults of the image too.")
    if definition.managed:
        found.append('The container was a task of a swarm service: create the service again rather than the container; '
                     'its secrets and configs are not on this disk.')
    if host.get('AutoRemove') is True:
        found.append('The container was run with --rm: it is removed as soon as it stops.')
    for mount in definition.mounts:
        where = mount.destination
        if mount.type == 'bind' and mount.status != 'complete':
            found.append('The bind mount %s on %s was not found on the rescued disk.' % (mount.source, where))
        elif mount.type == 'volume' and mount.status != 'complete':
            found.append('The volume %s on %s is %s.' % (mount.name, where, mount.status))
        elif mount.type == 'tmpfs':
            found.append('What was in the tmpfs on %s is lost; it starts empty.' % where)
        elif mount.type not in ('bind', 'volume'):
            found.append('The %s mount on %s is in create.json only.' % (mount.type, where))
    for key in ('NetworkMode', 'IpcMode', 'PidMode'):
        mode = as_str(host.get(key))
        if mode.startswith('container:') and ID.match(mode[10:]) and mode[10:] not in definition.peers:
            found.append('%s is that of the container %s, which is not known here: restore it first, then put in its '
                         'name.' % (key, mode[10:22]))
    if strings(host.get('VolumesFrom')):
        found.append('--volumes-from %s is written out as the mounts it stood for.'
                     % ', '.join(strings(host.get('VolumesFrom'))))
    if as_int(host.get('KernelMemory')):
        found.append('The kernel memory limit is left out: current engines refuse it.')
    for key in ('MaskedPaths', 'ReadonlyPaths'):
        if isinstance(host.get(key), list) and host[key] and not _default_paths(key, host[key]):
            found.append('%s differ from the defaults: only create.json has them.' % key)
    if as_str(config.get('Hostname')) and network_mode(definition) == 'host':
        found.append('The host name %s is left out: with the network of the host it is that of the host.'
                     % config['Hostname'])
    if host.get('PublishAllPorts') is True:
        found.append('All exposed ports are published on random ports of the host (-P): the numbers will differ.')
    found.extend(recreate_env.warnings(definition))
    return found


def mounts_of(config):
    """model.Mount records from MountPoints, for where nothing better is known (missing types, empty sources)."""
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


# --- the parts of the body

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
    if as_str(host.get('CgroupnsMode')) == 'host' and host.get('OomKillDisable') is None:
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
        if isinstance(paths, list) and host.get('Privileged') is not True and not _default_paths(key, paths):
            found[key] = strings(paths)


def _default_paths(key, paths):
    """True if dockerd chose these; an empty list is `systempaths=unconfined`."""
    known = MASKED if key == 'MaskedPaths' else READONLY
    return bool(paths) and all(path in known or MASKED_CPU.match(path) for path in strings(paths))


def _mounts(definition):
    """(Binds, Mounts): as recorded, with volumes renamed, and every mount that they do not name put in."""
    host = definition.host
    by_place = dict((mount.destination, mount) for mount in definition.mounts)
    binds, mounts, covered = [], [], set(as_dict(host.get('Tmpfs')))
    for bind in strings(host.get('Binds')):
        source, place, mode = split_bind(bind)
        if not source.startswith('/'):
            source = definition.volume_names.get(source, source)
        binds.append(':'.join(part for part in (source, place, mode) if part))
        covered.add(place.rstrip('/') or '/')
    for item in as_list(host.get('Mounts')):
        item = dict(as_dict(item))
        if not as_str(item.get('Target')):
            continue
        place = as_str(item.get('Target'))
        if item.get('Type') == 'volume':
            known = by_place.get(place.rstrip('/'))
            source = as_str(item.get('Source')) or (known.name if known is not None and known.name else '')
            if source:
                item['Source'] = definition.volume_names.get(source, source)
        mounts.append(item)
        covered.add(place.rstrip('/') or '/')
    for mount in definition.mounts:
        if (mount.destination.rstrip('/') or '/') in covered:
            continue
        if mount.type == 'volume' and mount.name:
            binds.append(_bind(definition.volume_names[mount.name], mount))
        elif mount.type == 'bind' and mount.source:
            binds.append(_bind(mount.source, mount))
        elif mount.type == 'tmpfs':
            mounts.append({'Type': 'tmpfs', 'Target': mount.destination})
    return binds, mounts


def _bind(source, mount):
    modes = [mode for mode in mount.mode.split(',') if mode and mode not in ('ro', 'rw', mount.propagation)]
    if not mount.rw:
        modes.insert(0, 'ro')
    if mount.type == 'bind' and mount.propagation not in ('', 'rprivate'):
        modes.append(mount.propagation)
    return ':'.join([source, mount.destination] + ([','.join(modes)] if modes else []))


def split_bind(bind):
    """'source:destination[:mode]' -> (source, destination, mode); a lone path is an anonymous volume's."""
    parts = bind.split(':')
    if len(parts) == 1:
        return '', parts[0], ''
    return parts[0], parts[1], ':'.join(parts[2:])


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


# --- taming what was read

def clean(value, depth=0):
    """JSON data with half surrogates replaced and NULs removed from strings; nothing below MAX_DEPTH."""
    if isinstance(value, str):
        return value.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace').replace('\0', '')
    if isinstance(value, dict):
        return {} if depth > MAX_DEPTH else dict((clean(key), clean(item, depth + 1)) for key, item in value.items())
    if isinstance(value, list):
        return [] if depth > MAX_DEPTH else [clean(item, depth + 1) for item in value]
    return value


def as_dict(value):
    return value if isinstance(value, dict) else {}


def as_list(value):
    return value if isinstance(value, list) else []


def as_str(value):
    return value if isinstance(value, str) else ''


def as_int(value):
    """int or None (also for bool)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def strings(value):
    """A list of its strings; a lone string counts as one (older engines wrote such)."""
    if isinstance(value, str):
        return [value]
    return [item for item in as_list(value) if isinstance(item, str)]
