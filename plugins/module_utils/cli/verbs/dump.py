"""lifeboat dump: rows out of the databases of dead containers; the same as docker_database_dump writes."""
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator

from ...disk.errors import LifeboatError
from ...formats import quantities, wording
from ..host import open_host
from ..main import NOTHING, PARTIAL, WHOLE
from ..output import Output, private, shown

if TYPE_CHECKING:
    import argparse

    from ...dump.run import Request
    from ..parser import Parser

DESCRIPTION = '''
The database server of the dead image recovers the data in a copy-on-write view and its own dump program writes them. No daemon, no network
and no password is needed, and nothing of the disk is written. Root only, but for --bundle. A dump is an addition: rescue the raw data too.
SQL of a dump is run by whoever loads it: read it first where you do not trust the container.'''

EXAMPLES = '''
lifeboat dump /mnt/usb/dumps                          every database of every container
lifeboat dump /mnt/usb/dumps db --databases postgresql
lifeboat --host-root /mnt/dead dump /mnt/usb/dumps --scratch-dir /mnt/usb/tmp
lifeboat dump /srv/dumps --bundle /srv/rescued/box     out of bundles, also as an ordinary user
lifeboat dump /mnt/usb/dumps --check                  which there are, and what the view would take'''

# said of what has no entry among the dumps
REFUSED = ('DUMP_BUNDLE_REFUSED', 'DUMP_LAYERS_LOST', 'DUMP_NO_SPACE', 'DUMP_UNSUPPORTED')
GO_ON = 'No half dump has its final name. Run the same command again.'


def arguments(parser: 'Parser') -> None:
    parser.add_argument('dest', metavar='DEST', help='folder that receives the dumps; on another disk than the data')
    parser.add_argument('containers', metavar='CONTAINER', nargs='*', help='names, IDs or globs (default: all)')
    parser.add_argument('--databases', metavar='KIND,...', action='append', default=[],
                        help='of etcd, influxdb, mariadb, mongodb, mysql, postgresql, rabbitmq, redis, sqlite, valkey (default: all)')
    parser.add_argument('--bundle', metavar='PATH', help='out of a bundle, or of a folder of bundles, that were rescued before')
    parser.add_argument('--check', action='store_true', help='write nothing, say what would be dumped')
    parser.add_argument('--compression', choices=('auto', 'zstd', 'gzip', 'xz', 'none'), default='auto')
    parser.add_argument('--host-name', metavar='NAME', help='name of the folder in DEST (default: the name of the dead host)')
    parser.add_argument('--scratch-size', metavar='SIZE', default='0', help='at most so much for the changes that recovery makes (default: what the data need)')
    parser.add_argument('--timeout', metavar='TIME', default='1h', help='for each database (default: 1h)')
    parser.add_argument('--memory', metavar='SIZE', default='2GiB', help='address space of each program of the image (default: 2GiB)')


def run(given: 'argparse.Namespace', out: Output) -> int:
    from ...dump import run as dumps
    with private():
        if given.bundle:
            result = dumps.dump_bundles(request(given))
        else:
            with open_host(given) as host:
                result = dumps.dump(host, request(given))
    out.result(result, given.json, lines(result, out))
    return status(result)


def request(given: 'argparse.Namespace') -> 'Request':
    """The run.Request that the arguments stand for. LifeboatError."""
    from ...dump import run as dumps
    try:
        size, memory, seconds = quantities.size(given.scratch_size), quantities.size(given.memory), quantities.seconds(given.timeout)
    except ValueError as exc:
        raise LifeboatError('--scratch-size, --memory or --timeout: %s' % exc)
    return dumps.Request(
        dest=os.path.abspath(wording.raw(given.dest)), host_name=given.host_name, containers=tuple(given.containers),
        databases=tuple(part for each in given.databases for part in each.split(',') if part), compression=given.compression,
        scratch_dir=os.path.abspath(wording.raw(given.scratch_dir)) if given.scratch_dir else None, scratch_size=size, timeout=seconds,
        memory=memory, check_mode=given.check, path=os.path.abspath(wording.raw(given.bundle)) if given.bundle else b'')


def lines(result: Dict[str, Any], out: Output) -> Iterator[str]:
    """Yield what people read: one line for a dump, with what is missing below it."""
    for item in result['dumps']:
        rows = sum(count for count in item['counts'].values() if count)
        yield '%-11s %-10s %s in %s: %s, %s%s' % (
            item['status'], item['engine'], shown(item['data_path']), shown(item['container']), wording.number(len(item['counts']), 'table'),
            wording.number(rows, 'row'),
            ', ' + shown(item['file']) if item['file'] else '')
        for mark in item['marks']:
            yield '            %s' % shown(mark)
        for text in item['missing']:
            yield out.paint('            missing: %s' % shown(text), 'yellow')
    for item in result['problems']:
        if item['severity'] != 'info':
            yield out.paint('%s %s' % (item['code'], shown(item['message'])), 'red' if item['severity'] == 'critical' else 'yellow')
            yield '  %s' % shown(item['next_step'])


def status(result: Dict[str, Any]) -> int:
    """Exit status: every database dumped as a whole, some, none."""
    statuses = [item['status'] for item in result['dumps']]
    refused = [item for item in result['problems'] if item['code'] in REFUSED]
    if not refused and all(each == 'complete' for each in statuses):
        return WHOLE
    return PARTIAL if 'complete' in statuses or 'partial' in statuses else NOTHING
