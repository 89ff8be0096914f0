"""The body for POST /containers/create as Podman's Docker-compatible API takes it, and a sentence for each thing that it cannot take.

That API refuses some fields, takes no notice of others, and has defaults of its own. Seen with Podman 4.3; what a version does beyond this is
found by comparing what it shows with what was asked for (restore.shown). Pure functions, no I/O.
"""
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, NamedTuple, Set, Tuple

from ..formats.values import as_dict, as_list, as_str
from ..records.definition import Health
from .body import healthcheck

if TYPE_CHECKING:
    from ..records.definition import Definition

STOP_SECONDS = 10                       # what Docker gives a container; over this API Podman gives it none, and kills it at once
RUNTIMES = ('', 'runc', 'crun', 'io.containerd.runc.v2')       # an engine's usual one, whatever it is there
SAME_LOG = 'json-file'                  # Podman's k8s-file by another name
# options of the recorded command line that no field of that API stands for
WITHOUT_FIELD = ('--uidmap', '--gidmap', '--subuidname', '--subgidname', '--userns', '--pod', '--secret', '--requires', '--rootfs', '--init-ctr',
                 '--sdnotify', '--systemd', '--umask', '--tz', '--timezone', '--health-on-failure', '--passwd-entry', '--group-entry', '--chrootdirs',
                 '--preserve-fds', '--hostuser')


class Lack(NamedTuple):
    """One thing that the container is made without."""
    message: str
    next_step: str = ''


def adapted(body: Dict[str, Any], definition: 'Definition', log_drivers: Iterable[str]) -> Tuple[Dict[str, Any], List[Lack]]:
    """(body, [Lack]) of a create BODY of DEFINITION. LOG_DRIVERS: those that the engine says it has."""
    host = dict(body['HostConfig'])
    body = dict(body, HostConfig=host)
    body.setdefault('StopTimeout', STOP_SECONDS)
    # an image in the format of OCI has no health check, so it is never left to the image
    health = healthcheck(definition.health or Health(), Health())
    if health:
        body['Healthcheck'] = health
    lacks = _refused(host, set(log_drivers)) + _volumes(host)
    lacks.extend(_of_command(definition))
    if as_dict(host.get('RestartPolicy')).get('Name') in ('always', 'unless-stopped', 'on-failure'):
        lacks.append(Lack('Podman has no daemon: after a reboot it starts containers with a restart policy only where the unit '
                          'podman-restart.service is enabled.',
                          'systemctl enable podman-restart.service (for a user: systemctl --user enable podman-restart.service, and '
                          'loginctl enable-linger).'))
    return body, lacks


def _refused(host: Dict[str, Any], log_drivers: Set[str]) -> List[Lack]:
    """Take out of HOST what would make Podman refuse the container, or what it never looks at."""
    lacks = []
    if host.pop('Links', None):
        lacks.append(Lack('Podman does not know links (--link): the container is made without them.',
                          'Put both containers into one network; there they find each other by name.'))
    runtime = as_str(host.pop('Runtime', ''))
    if runtime not in RUNTIMES:
        lacks.append(Lack('The container ran with the runtime %s. Podman takes none over this API: it runs with that of containers.conf.' % runtime,
                          'podman --runtime %s create ... (see config/).' % runtime))
    driver = as_str(as_dict(host.get('LogConfig')).get('Type'))
    if driver and driver != SAME_LOG and driver not in log_drivers:
        del host['LogConfig']
        lacks.append(Lack('Podman has no log driver %s: the container logs with the driver of containers.conf.' % driver))
    profiles = [option for option in as_list(host.get('SecurityOpt')) if option.startswith('seccomp=') and option[8:].lstrip().startswith('{')]
    if profiles:
        host['SecurityOpt'] = [option for option in host['SecurityOpt'] if option not in profiles]
        lacks.append(Lack('Over this API Podman takes no seccomp profile of its own: the default one confines the container.',
                          'config/seccomp-0.json of the bundle is the profile, for podman create --security-opt seccomp=FILE.'))
    if host.get('DeviceRequests'):
        del host['DeviceRequests']
        lacks.append(Lack('Podman takes no device requests (--gpus) over this API: the container is made without these devices.',
                          'podman create --device nvidia.com/gpu=all, with CDI.'))
    if host.get('Annotations'):
        del host['Annotations']
        lacks.append(Lack('Podman takes no annotations over this API: the container is made without them.'))
    return lacks


def _volumes(host: Dict[str, Any]) -> List[Lack]:
    """Volumes of HOST's Mounts go to its Binds, since only there Podman knows nocopy."""
    binds, mounts, lacks = list(as_list(host.get('Binds'))), [], []
    for item in map(as_dict, as_list(host.get('Mounts'))):
        source, place, more = as_str(item.get('Source')), as_str(item.get('Target')), as_dict(item.get('VolumeOptions'))
        if item.get('Type') != 'volume' or not source or more.get('Subpath') or ':' in source + place:
            mounts.append(item)
            if item.get('Type') == 'volume' and more.get('NoCopy'):
                lacks.append(Lack('Over this API Podman cannot be told not to fill the volume at %s from the image: if it is empty, the files of the '
                                  'image come into it.' % place))
            continue
        binds.append('%s:%s:%snocopy' % (source, place, 'ro,' if item.get('ReadOnly') is True else ''))
    for key, made in (('Binds', binds), ('Mounts', mounts)):
        if made:
            host[key] = made
        else:
            host.pop(key, None)
    return lacks


def without_size(options: Dict[str, str]) -> Dict[str, str]:
    """OPTIONS of a volume without what limits its size."""
    words = [word for word in options.get('o', '').split(',') if word.split('=', 1)[0] not in ('size', 'inodes', 'nr_inodes', 'nr_blocks')]
    return dict((key, ','.join(words) if key == 'o' else value) for key, value in options.items() if key != 'o' or any(words))


def _of_command(definition: 'Definition') -> List[Lack]:
    """Options of Podman's own, of the command line that once made the container."""
    words = []
    for word in definition.create_command:
        if word == definition.image_recorded:
            break                       # what follows belongs to the container
        option = word.split('=', 1)[0]
        if option in WITHOUT_FIELD and option not in words:
            words.append(option)
    return [Lack('The container was created with %s, for which this API has no field: it is made without.' % ', '.join(words),
                 'config/podman.sh of the bundle is the command line, with these options.')] if words else []
