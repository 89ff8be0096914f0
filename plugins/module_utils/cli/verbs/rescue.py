"""lifeboat rescue: bundles of containers, the same as docker_data_rescue writes."""
from typing import TYPE_CHECKING, Any, Dict

from ...formats import quantities
from .. import report, words
from ..host import open_host
from ..main import NOTHING, PARTIAL, WHOLE
from ..output import Output, private, shown
from ..parser import listed
from ..progress import Bar

if TYPE_CHECKING:
    import argparse

    from ..parser import Parser

DESCRIPTION = '''
Writes DEST/HOST/CONTAINER-ID/ for each container: its writable layer, volumes, logs and definition, with a README.txt that
says how to restore it with nothing but tar. Run it again and only what changed is written; what was ended early is taken up.'''

EXAMPLES = '''
lifeboat rescue /mnt/usb/rescued                                  every container
lifeboat --host-root /mnt/dead rescue /mnt/usb/rescued web db     these two
lifeboat --disk /srv/disk.vhdx rescue /mnt/usb/rescued             the disk of a virtual machine, as it is
lifeboat rescue /mnt/usb/rescued --check                          what would be written, and how large it is
lifeboat rescue /mnt/usb/rescued --include config,writable,image,volumes,binds,logs
lifeboat rescue /mnt/usb/rescued db --include config,writable,image,volumes,binds,logs,dumps     rows of its databases, too (root)
lifeboat rescue /mnt/usb/rescued --paths 'web:/srv/uploads/**' --paths db:/var/lib/mysql     nothing but these
lifeboat rescue /mnt/usb/rescued --volumes '*' --orphans          volumes and layers that no container uses, too
lifeboat rescue /mnt/usb/rescued db --open-files                   its volume was deleted, and it still runs
lifeboat verify /mnt/usb/rescued'''

GO_ON = 'Nothing half has its final name. Run the same command again: it goes on where it stopped.'


def arguments(parser: 'Parser') -> None:
    parser.add_argument('dest', metavar='DEST', help='folder that receives the bundles; on another disk than the data')
    parser.add_argument('containers', metavar='CONTAINER', nargs='*', help='names, IDs or globs (default: all)')
    group = parser.add_argument_group('what to rescue')
    group.add_argument('--include', metavar='PART,...', action='append', help='of config, writable, rootfs, image, volumes, binds, logs, secrets, dumps')
    group.add_argument('--volumes', metavar='GLOB,...', action='append', default=[], help='further volumes, each into a bundle of its own')
    group.add_argument('--images', metavar='GLOB,...', action='append', default=[], help='images, each into a bundle of its own')
    group.add_argument('--paths', metavar='OBJECT:GLOB', action='append', default=[],
                       help='only these files and folders of a container, volume:NAME, layer:NAME or image:REF; ** is any number of '
                            'folders. Everything else that is to be rescued must be named')
    group.add_argument('--no-deployment', dest='deployment', action='store_false',
                       help='leave out the original compose files, units and scripts that started the containers')
    group.add_argument('--deployment-credentials', action='store_true',
                       help='with these files, also the credentials of registries and the contexts that command lines keep in homes')
    group.add_argument('--open-files', action='store_true',
                       help='also deleted files that containers which still run have open; only for the disk of this very machine')
    group.add_argument('--orphans', action='store_true', help='also writable layers that no container owns')
    group.add_argument('--refuse-if-tight', action='store_true',
                       help='where DEST has no room for everything, do nothing instead of leaving images and binds out')
    group.add_argument('--max-bytes', metavar='SIZE', default='0', help='at most this much data, before compression')
    group = parser.add_argument_group('how')
    group.add_argument('--check', action='store_true', help='write nothing, say what would be written')
    group.add_argument('--compression', choices=('auto', 'zstd', 'gzip', 'xz', 'none'), default='auto')
    group.add_argument('--host-name', metavar='NAME', help='name of the folder in DEST (default: the name of the dead host)')
    group.add_argument('--force', action='store_true', help='write again what is there and complete')
    group.add_argument('--no-check-space', dest='check_space', action='store_false', help='begin even if DEST has too little room')
    group.add_argument('--on-error', choices=('continue', 'fail'), default='continue', help='what an unreadable file does')
    group.add_argument('--owner-ids', choices=('container', 'disk'), default='container',
                       help='owners as the container saw them (default), or as on the disk')
    group.add_argument('--dump-timeout', metavar='TIME', default='1h', help='with dumps in --include: for each database (default: 1h)')
    group.add_argument('--quiesce', choices=('none', 'freeze'), default='none', help='freeze running containers while they are read')


def run(given: 'argparse.Namespace', out: Output) -> int:
    return status(write(given, out))


def write(given: 'argparse.Namespace', out: Output) -> Dict[str, Any]:
    """Rescue and print what came of it -> the result of rescue.run.rescue(). LifeboatError."""
    from ...archive.progress import Progress
    from ...rescue import run as rescues
    progress = Progress()
    with private(), open_host(given) as host, Bar(out, progress.snapshot):
        result = rescues.rescue(host, rescues.request_of(params(given), given.check), progress=progress)
    if given.json:
        out.json(result)
        return result
    for line in report.rescued(words.spoken(result), out.width, out.paint, given.check):
        out.line(line)
    if not given.check and any(item['changed'] for item in result['bundles']):
        out.note('check it with: lifeboat verify %s' % shown(given.dest))
    return result


def params(given: 'argparse.Namespace') -> Dict[str, Any]:
    """The options of docker_data_rescue that the arguments stand for. LifeboatError."""
    from ...bundles import plan
    from ...disk.errors import LifeboatError
    try:
        most, patience = quantities.size(given.max_bytes), quantities.seconds(given.dump_timeout)
    except ValueError as exc:
        raise LifeboatError('--max-bytes or --dump-timeout: %s' % exc)
    include = listed(given.include or ()) or list(plan.DEFAULT)
    return {'dest': given.dest, 'host_name': given.host_name, 'containers': given.containers, 'include': include, 'volumes': listed(given.volumes),
            'images': listed(given.images), 'paths': given.paths, 'deployment': given.deployment,
            'deployment_credentials': given.deployment_credentials,
            'orphans': given.orphans, 'compression': given.compression, 'on_error': given.on_error,
            'owner_ids': given.owner_ids, 'force': given.force, 'check_space': given.check_space,
            'image_optional': not given.refuse_if_tight, 'binds_optional': not given.refuse_if_tight,
            'quiesce': given.quiesce, 'freeze_timeout': 300, 'max_bytes': most, 'dump_scratch_dir': given.scratch_dir, 'dump_timeout': patience,
            'open_files': given.open_files}


def status(result: Dict[str, Any]) -> int:
    """Exit status for the result of a rescue."""
    statuses = [item['status'] for item in result['bundles']]
    if not statuses or all(item == 'lost' for item in statuses):
        return NOTHING
    whole = all(item == 'complete' for item in statuses)
    return WHOLE if whole and not any(item['severity'] == 'critical' or item['loses_data'] for item in result['problems']) else PARTIAL
