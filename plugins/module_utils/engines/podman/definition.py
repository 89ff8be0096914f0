"""A container's configuration in Podman's database, or the runtime spec that is left of it, as a neutral Definition. The only place that
knows what Podman calls these values (podman libpod/container_config.go).

What Podman filled in by itself is taken out again, so that another engine can choose its own.
"""
import re
import signal
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...formats import jsonish
from ...formats.values import as_dict, as_int, as_list, as_str, clean, strings
from ...records.definition import (
    Binding,
    Definition,
    Endpoint,
    LogDriver,
    MountRequest,
    Resources,
    Restart,
    Security,
    Ulimit,
    health,
    texts,
)
from ..shared.storage import names

CONFIG = 'container.json'               # in config/ of a bundle: the record of the database
SHARES = 'container:'
SHM_SIZE = 65536000
SYSTEM_MOUNTS = frozenset(('/proc', '/dev', '/sys', '/dev/pts', '/dev/mqueue', '/dev/shm', '/sys/fs/cgroup', '/run', '/tmp', '/var/tmp', '/run/lock',
                           '/var/log/journal', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/run/.containerenv', '/run/secrets', '/etc/passwd',
                           '/etc/group'))
# common/pkg/config/default.go: what a container has where nobody asked
CAPABILITIES = frozenset('CAP_' + name for name in ('CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP',
                                                    'SETUID', 'SYS_CHROOT', 'AUDIT_WRITE', 'MKNOD', 'NET_RAW'))
LESS = frozenset(('CAP_AUDIT_WRITE', 'CAP_MKNOD', 'CAP_NET_RAW'))       # defaults of older versions only
OWN_ENV = re.compile(r'(?:container=(?:podman|oci)|TERM=xterm|HOME=/root|PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)\Z')
SYSCTLS = (('net.ipv4.ping_group_range', '0 0'),)
# Where a namespace of another container is named; words of the OCI runtime spec for the others
NAMESPACES = (('pid', 'pidNsCtr'), ('ipc', 'ipcNsCtr'), ('uts', 'utsNsCtr'))


def define(config: Any, spec: Any = None) -> Definition:
    """The Definition of the record CONFIG; of the runtime spec SPEC alone where it is lost ({}). Both may hold anything."""
    config, spec = as_dict(clean(config)), as_dict(clean(as_dict(config).get('spec') or spec))
    process, ident = as_dict(spec.get('process')), as_str(config.get('id'))
    hostname = as_str(spec.get('hostname'))
    entrypoint, command = strings(config.get('entrypoint')), strings(config.get('command'))
    if not entrypoint and not command:
        command = strings(process.get('args'))
    annotations = texts(spec.get('annotations'))
    return Definition(
        id=ident, name=as_str(config.get('name')), lost_process='' if process else CONFIG, lost_settings='' if config else CONFIG,
        image_recorded=as_str(config.get('RawImageName')) or as_str(config.get('rootfsImageName')),
        entrypoint=tuple(entrypoint), command=tuple(command),
        env=tuple(item for item in strings(process.get('env')) if not OWN_ENV.match(item) and item != 'HOSTNAME=' + (hostname or ident[:12])),
        cwd=as_str(process.get('cwd')), user=as_str(config.get('user')), labels=texts(config.get('labels')),
        exposed=tuple(_exposed(config)),
        volumes=tuple(as_str(item.get('dest')) for item in map(as_dict, as_list(config.get('namedVolumes'))) if _is_anonymous(item)),
        stop_signal=_signal(config.get('stopSignal')), stop_timeout=_unless(as_int(config.get('stopTimeout')), 10), health=health(config.get('healthcheck')),
        tty=process.get('terminal') is True, stdin_open=config.get('stdin') is True,
        hostname='' if hostname in ('', ident[:12]) else hostname, network_mode=_network_mode(config), networks=_networks(config),
        published=_published(config), dns=_list(config, 'dnsServer'), dns_options=_list(config, 'dnsOption'), dns_search=_list(config, 'dnsSearch'),
        extra_hosts=_list(config, 'hostsAdd'), mount_requests=tuple(_requests(config, spec)), resources=_resources(config, spec),
        security=_security(config, spec), restart=_restart(config), auto_remove=annotations.get('io.podman.annotations.autoremove') == 'TRUE',
        log=_log(config), sysctls=dict(item for item in texts(as_dict(spec.get('linux')).get('sysctl')).items() if item not in SYSCTLS),
        secrets=tuple(as_str(as_dict(item).get('name')) for item in as_list(config.get('secrets')) if as_str(as_dict(item).get('name'))) +
        tuple(sorted(as_dict(config.get('secret_env')))),
        create_command=_list(config, 'CreateCommand'))


def outside_of_pod(definition: Definition, infra: Any) -> Definition:
    """DEFINITION without the namespaces of its pod's infra container, whose record INFRA is: no other engine makes one. Its network is
    kept, its published ports are not: several containers may be behind them."""
    ident, own = as_str(as_dict(infra).get('id')), define(infra)
    security = definition.security
    pid, ipc, uts = ('' if kind == SHARES + ident else kind for kind in (security.pid, security.ipc, security.uts))
    found = definition._replace(security=security._replace(pid=pid, ipc=ipc, uts=uts))
    if found.network_mode == SHARES + ident:
        found = found._replace(network_mode=own.network_mode, networks=own.networks)
    return found


def of_records(read: Any) -> Definition:
    """The Definition of the files that READ(name) gives, as a bundle's config/ holds them; a damaged file counts as lost."""
    found = []
    for name in (CONFIG, 'config.json'):
        try:
            found.append(as_dict(jsonish.loads(read(name) or b'{}')))
        except ValueError:
            found.append({})
    return define(*found)


def _list(config: Dict[str, Any], key: str) -> Tuple[str, ...]:
    return tuple(strings(config.get(key)))


def _unless(value: Optional[int], default: int) -> Optional[int]:
    return None if value == default else value


def _signal(number: Any) -> str:
    number = as_int(number)
    try:
        return signal.Signals(number).name if number not in (None, 0, 15) else ''
    except ValueError:
        return ''


def _restart(config: Dict[str, Any]) -> Restart:
    name = as_str(config.get('restart_policy'))
    return Restart(name, as_int(config.get('restart_retries')) or 0) if name not in ('', 'no') else Restart()


def _log(config: Dict[str, Any]) -> Optional[LogDriver]:
    """Names of drivers are Podman's: its own form of file becomes the other engine's default."""
    driver, size = as_str(config.get('logDriver')), as_int(config.get('logSize')) or 0
    options = {'max-size': str(size)} if size > 0 else {}
    if driver in ('', 'k8s-file', 'json-file', 'passthrough'):
        return LogDriver('json-file', options) if options else None
    return LogDriver(driver, {})


# -- networks -----------------------------------------------------------------------------------------------------------

def _network_mode(config: Dict[str, Any]) -> str:
    peer = as_str(config.get('netNsCtr'))
    if names.is_id(peer):
        return SHARES + peer
    mode = as_str(config.get('networkMode'))
    if mode in ('none', 'host'):
        return mode
    if config.get('createNetNS') is False and as_dict(config.get('spec')):
        listed = [as_str(as_dict(item).get('type')) for item in as_list(as_dict(as_dict(config['spec']).get('linux')).get('namespaces'))]
        return 'host' if listed and 'network' not in listed else 'none' if 'network' in listed and not _published(config) and not _networks(config) else ''
    return ''


def _networks(config: Dict[str, Any]) -> Dict[str, Endpoint]:
    """User-defined networks; the default one is whatever the other engine has."""
    found: Dict[str, Endpoint] = {}
    listed = dict((as_str(as_dict(item).get('name')), as_dict(item)) for item in as_list(config.get('orderedNetworks')))
    listed.update((name, as_dict(item)) for name, item in as_dict(config.get('newNetworks')).items())
    listed.update((name, {}) for name in strings(config.get('networks')))
    for name, item in listed.items():
        if name and name != 'podman':
            item = as_dict(item.get('options')) or item
            addresses = strings(item.get('static_ips'))
            aliases = [alias for alias in strings(item.get('aliases')) if alias != as_str(config.get('id'))[:12]]
            found[name] = Endpoint(ipv4_address=next((text for text in addresses if ':' not in text), ''),
                                   ipv6_address=next((text for text in addresses if ':' in text), ''), aliases=tuple(aliases),
                                   mac_address=as_str(item.get('static_mac')))
    return found


def _published(config: Dict[str, Any]) -> Dict[str, Tuple[Binding, ...]]:
    found: Dict[str, Tuple[Binding, ...]] = {}
    for item in map(as_dict, as_list(config.get('newPortMappings'))):
        inside, outside, count = (as_int(item.get(key)) for key in ('container_port', 'host_port', 'range'))
        if not inside:
            continue
        for step in range(min(count or 1, 1000)):
            for protocol in (as_str(item.get('protocol')) or 'tcp').split(','):
                key = '%d/%s' % (inside + step, protocol)
                found[key] = found.get(key, ()) + (Binding(as_str(item.get('host_ip')), str(outside + step) if outside else ''),)
    return found


def _exposed(config: Dict[str, Any]) -> Iterator[str]:
    for port, protocols in as_dict(config.get('exposedPorts')).items():
        for protocol in strings(protocols):
            if port.isdigit():
                yield '%s/%s' % (port, protocol)


# -- mounts -------------------------------------------------------------------------------------------------------------

def binds_of(config: Any, spec: Any) -> List[Tuple[str, str, str, Tuple[str, ...]]]:
    """[(type, source, destination, options)] of bind and tmpfs mounts that somebody asked for, without those that Podman adds itself."""
    named = set(as_str(as_dict(item).get('dest')) for item in as_list(as_dict(config).get('namedVolumes')))
    asked = set(strings(as_dict(config).get('userVolumes')))
    found = []
    for item in map(as_dict, as_list(as_dict(spec).get('mounts'))):
        kind, place, source = (as_str(item.get(key)) for key in ('type', 'destination', 'source'))
        options = tuple(strings(item.get('options')))
        if kind not in ('bind', 'tmpfs') or place in named or not place.startswith('/'):
            continue
        if place in asked or not asked and place not in SYSTEM_MOUNTS and not place.startswith(('/dev/', '/proc/', '/sys/')) and 'ctr' not in item:
            found.append((kind, source, place, options))
    return found


def _is_anonymous(item: Dict[str, Any]) -> bool:
    """Older versions do not say it: the name is one that nobody would give."""
    return item.get('setAnonymous') is True or names.is_id(item.get('volumeName'))


def _requests(config: Dict[str, Any], spec: Dict[str, Any]) -> Iterator[MountRequest]:
    for kind, source, place, options in binds_of(config, spec):
        if kind == 'tmpfs':
            kept = ','.join(item for item in options if item not in ('tmpcopyup', 'rprivate', 'private', 'rbind'))
            yield MountRequest('tmpfs', place, '', True, kept)
        else:
            yield MountRequest('bind', place, source, read_only='ro' in options, propagation=next(
                (item for item in options if item in ('rshared', 'shared', 'rslave', 'slave')), ''))
    for item in map(as_dict, as_list(config.get('namedVolumes'))):
        if not _is_anonymous(item):
            yield MountRequest('volume', as_str(item.get('dest')), as_str(item.get('volumeName')),
                               read_only='ro' in strings(item.get('options')), subpath=as_str(item.get('SubPath')))
    for item in map(as_dict, as_list(config.get('ctrImageVolumes'))):
        yield MountRequest('image', as_str(item.get('dest')), as_str(item.get('source')), read_only=item.get('rw') is not True,
                           subpath=as_str(item.get('subPath')).lstrip('/'))     # Docker wants it relative


# -- limits, security ---------------------------------------------------------------------------------------------------

def _resources(config: Dict[str, Any], spec: Dict[str, Any]) -> Resources:
    process, asked = as_dict(spec.get('process')), as_dict(as_dict(spec.get('linux')).get('resources'))
    memory, cpu = as_dict(asked.get('memory')), as_dict(asked.get('cpu'))
    limit, swap = as_int(memory.get('limit')) or 0, as_int(memory.get('swap')) or 0
    shm = as_int(config.get('shmSize')) or 0
    pids = as_int(as_dict(asked.get('pids')).get('limit')) or 0
    return Resources(
        memory=max(limit, 0), memory_reservation=as_int(memory.get('reservation')) or 0, memory_swap=0 if limit > 0 and swap == 2 * limit else swap,
        shm_size=0 if shm in (0, SHM_SIZE, 64 << 20) else shm, oom_kill_disable=memory.get('disableOOMKiller') is True,
        oom_score_adj=as_int(process.get('oomScoreAdj')) or 0, cpu_shares=as_int(cpu.get('shares')) or 0, cpu_period=as_int(cpu.get('period')) or 0,
        cpu_quota=as_int(cpu.get('quota')) or 0, cpuset_cpus=as_str(cpu.get('cpus')), cpuset_mems=as_str(cpu.get('mems')),
        pids=0 if pids == 2048 else max(pids, 0),
        ulimits=tuple(Ulimit(as_str(item.get('type')).replace('RLIMIT_', '').lower(), as_int(item.get('soft')) or 0, as_int(item.get('hard')) or 0)
                      for item in map(as_dict, as_list(process.get('rlimits'))) if as_str(item.get('type')) not in ('RLIMIT_NOFILE', 'RLIMIT_NPROC')))


def _security(config: Dict[str, Any], spec: Dict[str, Any]) -> Security:
    process, privileged = as_dict(spec.get('process')), config.get('privileged') is True
    have = set(strings(as_dict(process.get('capabilities')).get('bounding')))
    made = [as_str(as_dict(item).get('type')) for item in as_list(as_dict(spec.get('linux')).get('namespaces'))]
    peers: Dict[str, Any] = dict((kind, SHARES + config[key] if names.is_id(config.get(key)) else 'host') for kind, key in NAMESPACES
                                 if names.is_id(config.get(key)) or made and kind not in made)      # the runtime leaves it in the host's
    options = ['no-new-privileges'] if process.get('noNewPrivileges') is True else []
    return Security(
        privileged=privileged, read_only=as_dict(spec.get('root')).get('readonly') is True,
        cap_add=() if privileged or not have else tuple(sorted(name[4:] for name in have - CAPABILITIES)),
        cap_drop=() if privileged or not have else tuple(sorted(name[4:] for name in CAPABILITIES - LESS - have)),
        options=tuple(options), group_add=_list(config, 'groups'), **peers)
