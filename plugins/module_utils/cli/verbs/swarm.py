"""lifeboat swarm: services, networks, configs and secrets of a swarm out of a dead manager; the same as docker_swarm_export writes."""
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator

from ...disk.errors import LifeboatError
from ...formats import wording
from ..host import open_host
from ..main import PARTIAL, WHOLE
from ..output import Output, private, shown
from ..parser import listed

if TYPE_CHECKING:
    import argparse

    from ..parser import Parser

DESCRIPTION = '''
Without DEST it prints what there is. With DEST it writes stack files, configs and what docker service inspect would have printed into DEST/HOST/swarm.
The content of secrets is written with --include secrets only. A swarm with autolock needs its unlock key.'''

EXAMPLES = '''
lifeboat swarm                                          what the swarm had
lifeboat --host-root /mnt/dead swarm /mnt/usb/rescue    stack files, configs, services.json
lifeboat swarm /mnt/usb/rescue --include secrets        also the content of secrets, mode 0600
lifeboat swarm --unlock-key-file key.txt                of a swarm with autolock'''

GO_ON = 'SHA256SUMS is written last. Run the same command again.'
LARGEST = 4096                          # bytes of the file of a key


def arguments(parser: 'Parser') -> None:
    parser.add_argument('dest', metavar='DEST', nargs='?', help='folder that receives the files; without it they are only listed')
    parser.add_argument('--include', metavar='WORD,...', action='append', default=[], help='secrets: also the content of secrets')
    parser.add_argument('--unlock-key-file', metavar='FILE', help='file with the unlock key of a swarm with autolock (or LIFEBOAT_UNLOCK_KEY)')
    parser.add_argument('--check', action='store_true', help='write nothing, say what would be written')
    parser.add_argument('--host-name', metavar='NAME', help='name of the folder in DEST (default: the name of the dead host)')


def run(given: 'argparse.Namespace', out: Output) -> int:
    from ...records import clusterfacts
    from ...swarm import export
    with private(), open_host(given) as host:
        if given.dest is None:
            clusters = export.of_host(host, unlock_key(given))
            result = {'swarms': [clusterfacts.facts(cluster) for cluster in clusters],
                      'problems': [item._asdict() for cluster in clusters for item in cluster.problems]}    # type: Dict[str, Any]
        else:
            result = export.export(host, export.Request(
                dest=os.path.abspath(wording.raw(given.dest)), host_name=given.host_name, include=tuple(listed(given.include)),
                unlock_key=unlock_key(given), check_mode=given.check))
    out.result(result, given.json, lines(result, out))
    return status(result)


def unlock_key(given: 'argparse.Namespace') -> str:
    """The key of --unlock-key-file or LIFEBOAT_UNLOCK_KEY, ''. LifeboatError."""
    if given.unlock_key_file is None:
        return os.environ.get('LIFEBOAT_UNLOCK_KEY', '')
    try:
        with open(given.unlock_key_file, 'rb') as stream:
            return stream.read(LARGEST).decode('ascii', 'replace').strip()
    except OSError as exc:
        raise LifeboatError('--unlock-key-file %s cannot be read: %s' % (shown(given.unlock_key_file), exc.strerror))


def lines(result: Dict[str, Any], out: Output) -> Iterator[str]:
    """Yield what people read: the swarm, then a line for each object."""
    for swarm in result['swarms']:
        yield '%-9s %s %s, this host was a %s (node %s)' % (
            swarm['status'], swarm['kind'], shown(swarm['id']) or '?', swarm['role'], shown(swarm['node_id']) or '?')
        for node in swarm['nodes']:
            yield '  node     %s  %s, %s, %s  %s' % (shown(node['hostname']), node['role'], node['availability'], node['state'], shown(node['address']))
        for service in swarm['services']:
            yield '  service  %s  %s%s  %s' % (
                shown(service['name']), service['mode'], ' %d' % service['replicas'] if service['replicas'] is not None else '', shown(service['image']))
        for kind in ('network', 'secret', 'config'):
            for item in swarm[kind + 's']:
                if not item['built_in']:
                    yield '  %-8s %s%s' % (kind, shown(item['name']), '  %s' % wording.number(item['bytes'], 'byte') if item['bytes'] is not None else '')
        for task in swarm['tasks']:
            yield '  task     %s  of %s, container %s' % (shown(task['task']), shown(task['service']), task['container_id'][:12])
    if 'folder' in result:
        yield '%s in %s' % (wording.number(len(result['files']), 'file'), shown(result['folder']))
    for item in result['problems']:
        yield out.paint('%s %s' % (item['code'], shown(item['message'])), {'critical': 'red', 'warning': 'yellow'}.get(item['severity'], 'dim'))
        if item['next_step']:
            yield '  %s' % shown(item['next_step'])


def status(result: Dict[str, Any]) -> int:
    """Exit status: the state of every swarm whole, or not. One of which nothing could be read is an error before this."""
    return WHOLE if all(swarm['status'] == 'complete' for swarm in result['swarms']) else PARTIAL
