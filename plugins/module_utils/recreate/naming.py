"""Names in a definition as they are used when its container is made again: networks, volumes, other containers, the compose project."""
import re
from typing import Any, Dict, List, Tuple

from ..records.definition import SHARES, Definition, VolumeSettings

PROJECT_LABEL = 'com.docker.compose.project'
SERVICE_LABEL = 'com.docker.compose.service'
VOLUME_LABEL = 'com.docker.compose.volume'
DEPENDS_LABEL = 'com.docker.compose.depends_on'
COMPOSE_PREFIX = 'com.docker.compose.'
ID = re.compile(r'[0-9a-f]{1,64}\Z')


def network_mode(definition: Definition) -> str:
    """The recorded network mode with other containers by name where it is known: bridge, none, host, container:x, NAME."""
    if definition.network_mode in ('', 'default', 'bridge'):
        named = [name for name in definition.networks if name not in ('host', 'none')]
        # the record of the settings is lost: the networks that the container was in say it
        return named[0] if named and definition.lost_settings else 'bridge'
    return _by_id(definition, definition.network_mode) or peer_mode(definition, definition.network_mode)


def _by_id(definition: Definition, mode: str) -> str:
    """Name of the network that MODE means by its ID or the beginning of one, which is what engines record if it was asked for so. '' for none."""
    if mode in definition.networks or not ID.match(mode):
        return ''
    idents = dict((name, settings.ident) for name, settings in definition.network_settings.items() if name in definition.networks)
    idents.update((name, endpoint.network_id) for name, endpoint in definition.networks.items() if endpoint.network_id)
    found = [name for name, ident in idents.items() if ident.startswith(mode)]
    return found[0] if len(found) == 1 else list(definition.networks)[0] if len(definition.networks) == 1 else ''


def peer_mode(definition: Definition, mode: str) -> str:
    """container:<id> -> container:<name> where the other container is known."""
    if mode.startswith(SHARES):
        peer = mode[len(SHARES):]
        return SHARES + definition.peers.get(peer, peer)
    return mode


def project_of(definition: Definition) -> str:
    """The compose project that the container belongs to, '' for none."""
    return definition.labels.get(PROJECT_LABEL, '')


def volume_name(definition: Definition, recorded: str) -> str:
    """What the volume RECORDED is to be called."""
    known = definition.volume_settings.get(recorded)
    return known.name if known is not None and known.name else recorded


def volumes(definition: Definition) -> List[Dict[str, Any]]:
    """What `docker volume create` needs, in mount order: [{'recorded', 'name', 'driver', 'options', 'labels'}]."""
    found: List[Dict[str, Any]] = []
    for mount in definition.mounts:
        if mount.type != 'volume' or not mount.name or mount.name in [item['recorded'] for item in found]:
            continue
        info = definition.volume_settings.get(mount.name, VolumeSettings())
        name = volume_name(definition, mount.name)
        labels = dict(info.labels)
        if mount.anonymous:
            labels.pop('com.docker.volume.anonymous', None)
            if project_of(definition):
                # so that Compose takes it for its own
                labels.setdefault(PROJECT_LABEL, project_of(definition))
                labels.setdefault(VOLUME_LABEL, name)
        found.append({'recorded': mount.name, 'name': name, 'labels': labels, 'driver': info.driver or mount.driver or 'local',
                      'options': dict(info.options)})
    return found


def seccomp_profiles(definition: Definition) -> List[str]:
    """Profiles that are recorded as JSON in the security options; docker run and compose want them as files."""
    return [option.split('=', 1)[1] for option in definition.security.options
            if option.startswith('seccomp=') and option[8:].lstrip().startswith('{')]


def split_bind(bind: str) -> Tuple[str, str, str]:
    """'source:destination[:mode]' of a create body -> (source, destination, mode)."""
    parts = bind.split(':')
    if len(parts) == 1:
        return '', parts[0], ''
    return parts[0], parts[1], ':'.join(parts[2:])
