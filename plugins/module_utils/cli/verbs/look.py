"""lifeboat look: what is on the disk, and what is wrong with it."""
from typing import TYPE_CHECKING, Any, Dict, List

from .. import report, words
from ..host import open_host
from ..main import NOTHING, PARTIAL, WHOLE
from ..parser import listed

if TYPE_CHECKING:
    import argparse

    from ..output import Output
    from ..parser import Parser

DESCRIPTION = '''
Begin here. --json prints what the module docker_layer_facts returns as docker_layers.'''

EXAMPLES = '''
lifeboat look                             this machine
lifeboat --host-root /mnt/dead look       a disk that is mounted at /mnt/dead
lifeboat look --data-root /mnt/x/docker   a disk that holds only the data root
lifeboat look web db --size               these two, and how large they are
lifeboat look --json > facts.json'''

FAST = ('containers', 'images', 'volumes', 'orphans')
SIZES = ('usage',)


def arguments(parser: 'Parser') -> None:
    parser.add_argument('containers', metavar='CONTAINER', nargs='*', help='only these: names, IDs or globs')
    parser.add_argument('-s', '--size', action='store_true', help='also sizes of layers and volumes; this reads all of them')
    parser.add_argument('--gather', metavar='SUBSET,...', action='append', default=[], help='what to gather, as gather_subset of docker_layer_facts')
    parser.add_argument('--show-env', action='store_true', help='with --json: values of environment variables and labels, secret or not')


def run(given: 'argparse.Namespace', out: 'Output') -> int:
    from ...facts import gather as facts
    wanted = listed(given.gather) or list(FAST + (SIZES if given.size else ()) + (('layers',) if given.json else ()))
    options = facts.Options(containers=given.containers, gather_subset=wanted, redact_env=not given.show_env, definitions=given.json)
    with open_host(given) as host:
        found = facts.gather(host, options)
    if given.json:
        out.json(found)
    else:
        for line in report.look(_spoken(found), out.width, out.paint, given.verbose > 0):
            out.line(line)
    return status(found)


def _spoken(found: Dict[str, Any]) -> Dict[str, Any]:
    """FOUND with its problems in the words of the tool. Only they have sentences: to look through everything else takes time."""
    def each(items: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        return [dict(item, problems=words.spoken(item['problems'])) if item['problems'] else item for item in items]

    said = dict(found, problems=words.spoken(found['problems']))
    said.update((key, each(found[key])) for key in ('containers', 'volumes', 'images') if key in found)
    if found.get('orphans'):
        said['orphans'] = dict(found['orphans'], writable_layers=each(found['orphans'].get('writable_layers', ())))
    return said


def status(found: Dict[str, Any]) -> int:
    """Exit status for facts: nothing there, something not whole, or all well."""
    orphans = found.get('orphans') or {}
    if not (found['containers'] or found.get('volumes') or found.get('images') or orphans.get('writable_layers')):
        return NOTHING
    parts = found['containers'] + found.get('volumes', []) + found.get('images', [])
    if any(item['status'] != 'complete' for item in parts):
        return PARTIAL
    if any(item['severity'] == 'critical' or item['loses_data'] for item in report.everything(found)):
        return PARTIAL
    return WHOLE
