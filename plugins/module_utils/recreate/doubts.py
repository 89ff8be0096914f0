# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has to look at before the made files are used."""
from ..formats.values import as_dict, as_int, as_list, as_str, strings
from . import env
from .body import default_paths
from .definition import ID, network_mode


def warnings(definition):
    """Sentences on what the made files cannot say or what has to be looked at before they are used."""
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
                     'its secrets and configs are not in this bundle. Managers of the swarm keep them in swarm/raft.')
    if host.get('AutoRemove') is True:
        found.append('The container was run with --rm: it is removed as soon as it stops.')
    if definition.paused:
        found.append('The container was paused: its processes begin anew, and it is paused again after its start (docker unpause '
                     'lets it run).')
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
    for mount in map(as_dict, as_list(host.get('Mounts'))):
        if as_dict(mount.get('BindOptions')).get('CreateMountpoint') is True:
            found.append('The folder %s is made where it is missing: docker run --mount cannot say that, make it before.'
                         % as_str(mount.get('Source')))
        if as_list(as_dict(mount.get('TmpfsOptions')).get('Options')):
            found.append('The options of the tmpfs on %s are in create.json only.' % as_str(mount.get('Target')))
    if as_int(host.get('KernelMemory')):
        found.append('The kernel memory limit is left out: current engines refuse it.')
    for key in ('MaskedPaths', 'ReadonlyPaths'):
        if isinstance(host.get(key), list) and host[key] and not default_paths(key, host[key]):
            found.append('%s differ from the defaults: only create.json has them.' % key)
    if as_str(config.get('Hostname')) and network_mode(definition) == 'host':
        found.append('The host name %s is left out: with the network of the host it is that of the host.'
                     % config['Hostname'])
    if host.get('PublishAllPorts') is True:
        found.append('All exposed ports are published on random ports of the host (-P): the numbers will differ.')
    found.extend(env.warnings(definition))
    return found
