"""What a person has to look at before the made files are used."""
import re
from typing import Iterator, List

from ..records.definition import SHARES, Definition
from . import env
from .naming import network_mode

ID = re.compile(r'[0-9a-f]{64}\Z')


def warnings(definition: Definition) -> List[str]:
    """Sentences on what the made files cannot say or what has to be looked at before they are used."""
    found = []
    if definition.lost_process:
        found.append('%s is lost: command, environment, user and labels are those of the image.' % definition.lost_process)
    if definition.lost_settings:
        found.append('%s is lost: ports, restart policy, limits and capabilities are unknown.' % definition.lost_settings)
    if definition.defaults is None:
        found.append("The image's own configuration is lost: everything recorded is given, defaults of the image too.")
    if definition.managed:
        found.append('The container was a task of a swarm service: create the service again rather than the container; '
                     'its secrets and configs are not in this bundle. Managers of the swarm keep them in swarm/raft.')
    if definition.pod.name:
        found.append('The container was one of the pod %s in the namespace %s: its probes, its Services, what was in its ConfigMaps and Secrets and in '
                     'other containers of the pod is not in this bundle.' % (definition.pod.name, definition.pod.namespace))
    if definition.auto_remove:
        found.append('The container was run with --rm: it is removed as soon as it stops.')
    if definition.paused:
        found.append('The container was paused: its processes begin anew, and it is paused again after its start (docker unpause '
                     'lets it run).')
    found.extend(_mounts(definition))
    for key, mode in (('NetworkMode', definition.network_mode), ('IpcMode', definition.security.ipc), ('PidMode', definition.security.pid)):
        peer = mode[len(SHARES):] if mode.startswith(SHARES) else ''
        if ID.match(peer) and peer not in definition.peers:
            found.append('%s is that of the container %s, which is not known here: restore it first, then put in its '
                         'name.' % (key, peer[:12]))
    if definition.volumes_from:
        found.append('--volumes-from %s is written out as the mounts it stood for.' % ', '.join(definition.volumes_from))
    found.extend(_requests(definition))
    if definition.resources.kernel_memory:
        found.append('The kernel memory limit is left out: current engines refuse it.')
    for key, paths in (('MaskedPaths', definition.security.masked_paths), ('ReadonlyPaths', definition.security.readonly_paths)):
        if paths:
            found.append('%s differ from the defaults: only create.json has them.' % key)
    if definition.hostname and network_mode(definition) == 'host':
        found.append('The host name %s is left out: with the network of the host it is that of the host.' % definition.hostname)
    if definition.publish_all:
        found.append('All exposed ports are published on random ports of the host (-P): the numbers will differ.')
    found.extend(env.warnings(definition))
    return found


def _mounts(definition: Definition) -> Iterator[str]:
    images = set(asked.target.rstrip('/') for asked in definition.mount_requests if asked.type == 'image')
    for mount in definition.mounts:
        where = mount.destination
        if mount.type == 'bind' and mount.status != 'complete':
            yield 'The bind mount %s on %s was not found on the rescued disk.' % (mount.source, where)
        elif mount.type == 'volume' and mount.status != 'complete':
            yield 'The volume %s on %s is %s.' % (mount.name, where, mount.status)
        elif mount.type == 'tmpfs':
            yield 'What was in the tmpfs on %s is lost; it starts empty.' % where
        elif mount.type not in ('bind', 'volume') and not (mount.type == 'image' and where.rstrip('/') in images):
            yield 'The %s mount on %s is in create.json only.' % (mount.type, where)


def _requests(definition: Definition) -> Iterator[str]:
    for asked in definition.mount_requests:
        if asked.create_host_path:
            yield 'The folder %s is made where it is missing: docker run --mount cannot say that, make it before.' % asked.source
        if asked.tmpfs_options:
            yield 'The options of the tmpfs on %s are in create.json only.' % asked.target
