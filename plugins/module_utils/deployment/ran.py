"""What ran: a container in the terms of a compose file, from its neutral definition."""
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..formats import redact
from ..formats.values import NOTHING
from ..records import definition as definitions
from .service import Mount, Port, clean_path

if TYPE_CHECKING:
    from ..records.model import Container, Image

PROJECT, SERVICE, ONEOFF = 'com.docker.compose.project', 'com.docker.compose.service', 'com.docker.compose.oneoff'
PLACES = 200                            # of a list in deployment.json


class Ran(NamedTuple):
    """`defaults`: what its image says, None where the image is lost."""
    name: str
    id: str
    project: str
    service: str
    image: str                          # the reference that it was created from
    image_id: str
    digests: Tuple[str, ...]
    environment: Dict[str, str]
    ports: Tuple[Port, ...]
    mounts: Dict[str, Mount]
    anonymous: Tuple[str, ...]          # where anonymous volumes were mounted
    entrypoint: Tuple[str, ...]
    command: Tuple[str, ...]
    networks: Tuple[str, ...]
    network_mode: str
    defaults: Optional[definitions.Defaults] = None
    oneoff: bool = False
    lost: bool = False                  # its definition could not be read, wholly or in part
    labels: Dict[str, str] = NOTHING


def ran(container: 'Container', image: 'Optional[Image]') -> Ran:
    """The Ran of a container; its image, if a store knows it."""
    found = container.definition
    references = image.references if image is not None else ()
    defaults = definitions.image_defaults(image.config.get('config')) if image is not None and image.config else None
    return Ran(
        name=container.name or container.id[:12], id=container.id, project=container.labels.get(PROJECT, ''),
        service=container.labels.get(SERVICE, ''), image=container.image_reference or '', image_id=container.image_id or '',
        digests=tuple(one for one in references if '@sha256:' in one), environment=pairs(found.env), ports=_ports(found), mounts=_mounts(container),
        anonymous=tuple(clean_path(mount.destination) for mount in container.mounts if mount.anonymous), entrypoint=found.entrypoint,
        command=found.command, networks=tuple(sorted(found.networks)), network_mode=found.network_mode, defaults=defaults,
        oneoff=container.labels.get(ONEOFF, '').lower() == 'true', lost=bool(found.lost_process or found.lost_settings), labels=container.labels)


def pairs(env: Tuple[str, ...]) -> Dict[str, str]:
    """{name: value} of NAME=VALUE texts."""
    return dict(item.partition('=')[::2] for item in env)


def _ports(found: definitions.Definition) -> Tuple[Port, ...]:
    return tuple(Port(target, '' if binding.address in ('0.0.0.0', '::') else binding.address, '' if binding.port == '0' else binding.port)
                 for target, bindings in sorted(found.published.items()) for binding in bindings)


def _mounts(container: 'Container') -> Dict[str, Mount]:
    made = {}
    for asked in container.definition.mount_requests:
        if asked.type == 'tmpfs':
            made[clean_path(asked.target)] = Mount('tmpfs', '')
    for mount in container.mounts:
        source = '' if mount.anonymous else (mount.name if mount.type == 'volume' else mount.source) or ''
        made[clean_path(mount.destination)] = Mount(mount.type, clean_path(source) if mount.type == 'bind' else source, not mount.rw)
    return made


def to_json(one: Ran) -> Dict[str, Any]:
    """For deployment.json: names of variables without their values, commands without secrets."""
    return {'name': one.name, 'id': one.id, 'project': one.project or None, 'service': one.service or None,
            'image': {'reference': redact.text(one.image) or None, 'id': one.image_id or None, 'digests': list(one.digests)},
            'environment': redact.env('%s=' % name for name in sorted(one.environment)),
            'mounts': [dict(mount._asdict(), target=target) for target, mount in sorted(one.mounts.items())][:PLACES],
            'ports': [shown_port(port) for port in one.ports][:PLACES], 'entrypoint': redact.argv(one.entrypoint),
            'command': redact.argv(one.command), 'networks': list(one.networks), 'network_mode': one.network_mode or None}


def shown_port(port: Port) -> str:
    """A port in the short syntax of Compose."""
    published = port.published or ('(any)' if not port.address else '')
    address = '[%s]' % port.address if ':' in port.address else port.address
    return ':'.join(part for part in (address, published, port.target) if part or part == published and address)


def shown_mount(mount: Mount) -> str:
    """A mount without its target."""
    return '%s %s%s' % (mount.type, mount.source or '(anonymous)' if mount.type != 'tmpfs' else '', ' (read-only)' if mount.read_only else '')


def words(argv: Any) -> List[str]:
    return redact.argv(argv)
