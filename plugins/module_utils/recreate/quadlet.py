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
# flags of run.options() that the unit has keys for, or says in another way, and those that podman run does not know
KEYS = frozenset((
    '--name', '--hostname', '--user', '--workdir', '--stop-signal', '--entrypoint', '--env', '--env-file', '--label', '--cap-add', '--cap-drop', '--dns',
    '--dns-option', '--dns-search', '--add-host', '--group-add', '--volume', '--tmpfs', '--mount', '--publish', '--network', '--network-alias', '--ip', '--ip6',
    '--mac-address', '--read-only', '--restart', '--rm'))
NOT_PODMAN = frozenset(('--link', '--link-local-ip', '--storage-opt', '--volume-driver', '--runtime', '--domainname'))
# of Network=NAME:KEY=VALUE
ENDPOINT = {'--ip': 'ip', '--ip6': 'ip6', '--mac-address': 'mac', '--network-alias': 'alias'}
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
    for mount in map(as_dict, as_list(host.get('Mounts'))):
        mounted = _mount(mount)
        # of this key alone Quadlet takes words apart, and quotes away
        yield 'Mount', word(mounted) if re.search(r'[\s"\'\\$]', mounted) else value(mounted)
    for port in run.published(host):
        yield 'PublishPort', value(port)
    for network in _networks(body, host):
        yield 'Network', value(network)
    if host.get('ReadonlyRootfs') is True:
        yield 'ReadOnly', 'true'
    for item in _arguments(definition, body):
        yield 'PodmanArgs', word(item)


def _mount(mount: Dict[str, Any]) -> str:
    """The value of --mount as podman run takes it: it names other options for an image, whose part is an absolute path."""
    image = mount.get('Type') == 'image'
    plain = dict(mount, ReadOnly=False, ImageOptions=None) if image else mount
    fields = [part for part in run.mount_flag(plain).split(',') if part != 'volume-nocopy']
    if image and mount.get('ReadOnly') is not True:
        fields.append('rw=true')
    part = as_str(as_dict(mount.get('ImageOptions')).get('Subpath')) if image else ''
    return ','.join(fields + (['subpath=/' + part] if part else []))


def _networks(body: Dict[str, Any], host: Dict[str, Any]) -> List[str]:
    mode = as_str(host.get('NetworkMode'))
    if mode:
        return [mode]
    found = []
    for name, endpoint in as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig')).items():
        flags = run.connect_flags(as_dict(endpoint), first=True)
        options = ['%s=%s' % (ENDPOINT[flag], text_) for flag, text_ in zip(flags[::2], flags[1::2]) if flag in ENDPOINT]
        found.append(name + (':' + ','.join(options) if options else ''))
    return found


def _arguments(definition: Definition, body: Dict[str, Any]) -> Iterator[str]:
    """Yield what the unit has no key for, as words of podman run: limits, health checks, namespaces, devices ..."""
    for words_ in run.options(definition, body):
        if words_[0].partition('=')[0] not in KEYS | NOT_PODMAN:
            yield '='.join(words_)


def value(raw: str) -> str:
    """A value of one line, with nothing in it that systemd would expand (systemd.unit(5): specifiers)."""
    return ''.join(char if char.isprintable() else ' ' for char in raw).replace('%', '%%')


def word(raw: str) -> str:
    """A word as systemd.syntax(7) reads it back: in double quotes, with C escapes."""
    found = ''.join({'\\': '\\\\', '"': '\\"', '\n': '\\n', '\t': '\\t', '%': '%%', '$': '$$'}.get(char, char) for char in raw)
    return '"%s"' % ''.join(char if char.isprintable() else ''.join('\\x%02x' % byte for byte in char.encode('utf-8', 'replace')) for char in found)
