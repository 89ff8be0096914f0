# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one container, as the files that make it again need it. Pure functions, no I/O.

    definition = define(config, hostconfig, image_config, pinned_image, mounts, ...)
    body.create_body(definition)    the Engine API's body for POST /containers/create
    files.files(definition)         every file for the bundle's config/ folder

The create body is the one source: `compose` and `run` only say the same in other words.
"""
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..formats.values import as_dict, as_str, clean, strings
from ..records.model import Mount

ID = re.compile(r'[0-9a-f]{64}\Z')
PROJECT_LABEL = 'com.docker.compose.project'
SERVICE_LABEL = 'com.docker.compose.service'
VOLUME_LABEL = 'com.docker.compose.volume'
DEPENDS_LABEL = 'com.docker.compose.depends_on'
COMPOSE_PREFIX = 'com.docker.compose.'
DEFAULT_NETWORKS = ('', 'default', 'bridge')


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
    paused: bool = False                # it was paused when its engine ended


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
        env_path=env_path, paused=as_dict(config.get('State')).get('Paused') is True)


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


def stable_name(container, destination):
    """Name for a formerly anonymous volume: the container and where it is mounted, in Docker's letters."""
    name = re.sub(r'[^A-Za-z0-9_.-]+', '-', '%s-%s' % (container, destination.strip('/'))).strip('-.')
    return name if re.match(r'[A-Za-z0-9]', name) else 'volume-' + name


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


def seccomp_profiles(definition):
    """Profiles that are recorded as JSON in SecurityOpt; docker run and compose want them as files."""
    return [option.split('=', 1)[1] for option in strings(definition.host.get('SecurityOpt'))
            if option.startswith('seccomp=') and option[8:].lstrip().startswith('{')]


def split_bind(bind):
    """'source:destination[:mode]' -> (source, destination, mode); a lone path is an anonymous volume's."""
    parts = bind.split(':')
    if len(parts) == 1:
        return '', parts[0], ''
    return parts[0], parts[1], ':'.join(parts[2:])
