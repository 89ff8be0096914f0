"""NAME.container: the container as a unit of Quadlet (podman-systemd.unit(5)), for /etc/containers/systemd or ~/.config/containers/systemd.

Quadlet runs containers with --rm --replace: what they write outside of volumes is gone at each start. The unit says so.
"""
import re
from typing import Any, Dict, Iterator, List, Tuple

from ..formats.values import as_dict, as_list, as_str, strings
from ..records.definition import Definition
from . import asks, doubts, run
from .body import create_body
from .naming import volumes
from .shell import comment, words

# HostConfig key -> key of the unit
LISTS = (('CapAdd', 'AddCapability'), ('CapDrop', 'DropCapability'), ('Dns', 'DNS'), ('DnsOptions', 'DNSOption'), ('DnsSearch', 'DNSSearch'),
         ('ExtraHosts', 'AddHost'), ('GroupAdd', 'GroupAdd'), ('Binds', 'Volume'))
TEXTS = (('Hostname', 'HostName'), ('User', 'User'), ('WorkingDir', 'WorkingDir'), ('StopSignal', 'StopSignal'))
# flags of podman run that Quadlet has no key for
ARGUMENTS = (('Memory', '--memory'), ('MemoryReservation', '--memory-reservation'), ('MemorySwap', '--memory-swap'), ('CpuShares', '--cpu-shares'),
             ('CpuPeriod', '--cpu-period'), ('CpuQuota', '--cpu-quota'), ('PidsLimit', '--pids-limit'), ('CpusetCpus', '--cpuset-cpus'),
             ('IpcMode', '--ipc'), ('PidMode', '--pid'), ('UTSMode', '--uts'))
UNIT = re.compile(r'[^A-Za-z0-9_.-]+')


def files(definition: Definition) -> Dict[str, str]:
    """{'NAME.container': text} for containers of an engine that keeps a command line of podman, {} for others."""
    if not definition.create_command:
        return {}
    name = UNIT.sub('-', definition.name).strip('-.')[:100] or 'container'
    return {name + '.container': text(definition)}


def text(definition: Definition) -> str:
    """The unit."""
    body = create_body(definition)
    lines = [comment('The container %s as a unit of Quadlet, from its recorded configuration.' % definition.name),
             '# Quadlet starts it with --rm --replace: what it writes outside of volumes is lost at each start.',
             '# Load the image first (podman load -i ../image.tar) and fill the volumes (see ../README.txt).']
    lines.extend(comment('WARNING: ' + note) for note in asks.warnings(definition))
    lines.extend(comment('NOTE: ' + note) for note in doubts.warnings(definition))
    for volume in volumes(definition):
        lines.append(comment('Needs the volume %s: %s' % (volume['name'], words(['podman', 'volume', 'create'] + run.volume_flags(volume) + [volume['name']]))))
    lines.extend(['', '[Unit]', 'Description=%s' % value(definition.name), '', '[Container]'])
    lines.extend('%s=%s' % item for item in _container(definition, body))
    restart = as_str(as_dict(as_dict(body.get('HostConfig')).get('RestartPolicy')).get('Name'))
    lines.extend(['', '[Service]', 'Restart=%s' % {'always': 'always', 'unless-stopped': 'always', 'on-failure': 'on-failure'}.get(restart, 'no')])
    if restart in ('always', 'unless-stopped'):
        lines.extend(['', '[Install]', 'WantedBy=default.target'])
    return '\n'.join(lines) + '\n'


def _container(definition: Definition, body: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    host = as_dict(body.get('HostConfig'))
    yield 'ContainerName', value(definition.name)
    yield 'Image', value(as_str(body.get('Image')))
    for key, unit in TEXTS:
        if as_str(body.get(key)):
            yield unit, value(body[key])
    if as_list(body.get('Entrypoint')):
        yield 'Entrypoint', value(body['Entrypoint'][0])
    command = strings(body.get('Entrypoint'))[1:] + strings(body.get('Cmd'))
    if command:
        yield 'Exec', ' '.join(map(word, command))
    for item in strings(body.get('Env')):
        yield 'Environment', word(item)
    for item in sorted(as_dict(body.get('Labels')).items()):
        yield 'Label', word('%s=%s' % item)
    for key, unit in LISTS:
        for item in strings(host.get(key)):
            yield unit, value(item)
    for place, mode in sorted(as_dict(host.get('Tmpfs')).items()):
        yield 'Tmpfs', value(place + (':' + as_str(mode) if as_str(mode) else ''))
    for flag in map(run.mount_flag, as_list(host.get('Mounts'))):
        if flag:
            yield 'Mount', value(','.join(part for part in flag.split(',') if part != 'volume-nocopy'))
    for port in run.published(host):
        yield 'PublishPort', value(port)
    for network in _networks(body, host):
        yield 'Network', value(network)
    if host.get('ReadonlyRootfs') is True:
        yield 'ReadOnly', 'true'
    for item in _arguments(host):
        yield 'PodmanArgs', word(item)


def _networks(body: Dict[str, Any], host: Dict[str, Any]) -> List[str]:
    mode = as_str(host.get('NetworkMode'))
    return [mode] if mode else list(as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig')))


def _arguments(host: Dict[str, Any]) -> List[str]:
    found = ['%s=%s' % (flag, host[key]) for key, flag in ARGUMENTS if host.get(key) not in (None, 0, '', False)]
    if host.get('Privileged') is True:
        found.append('--privileged')
    return found


def value(raw: str) -> str:
    """A value of one line, with nothing in it that systemd would expand (systemd.unit(5): specifiers)."""
    return ''.join(char if char.isprintable() else ' ' for char in raw).replace('%', '%%')


def word(raw: str) -> str:
    """A word as systemd.syntax(7) reads it back: in double quotes, with C escapes."""
    found = ''.join({'\\': '\\\\', '"': '\\"', '\n': '\\n', '\t': '\\t', '%': '%%', '$': '$$'}.get(char, char) for char in raw)
    return '"%s"' % ''.join(char if char.isprintable() else ''.join('\\x%02x' % byte for byte in char.encode('utf-8', 'replace')) for char in found)
