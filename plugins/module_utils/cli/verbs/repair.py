"""lifeboat repair: so that the engine starts again; the same as docker_root_repair does."""
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional

from ...formats import wording
from ..main import NOTHING, PARTIAL, WHOLE
from ..output import Output, shown
from ..parser import listed

if TYPE_CHECKING:
    import argparse

    from ...repair.run import Request
    from ..parser import Parser

DESCRIPTION = '''
Without an option it only looks: what is hidden by a setting, what is broken, and what would be done. The engine must be stopped.
Rescue the data before (lifeboat rescue). Everything is journalled beside the data root; --revert brings every byte back.'''

EXAMPLES = '''
lifeboat repair                                        what is wrong, and what would be done; writes nothing
lifeboat --host-root /mnt/dead repair -v               the same of a mounted disk, with what would change in each file
lifeboat repair --guard                                hold what a start of the engine would delete or start
lifeboat repair --apply                                the guard, and all that is certain
lifeboat repair --apply --steps MOUNT_ID --name 4f0c5ad01b77=shop-web-1
lifeboat repair --verify engine                        would dockerd start, and list all, if that were done? Tried on a copy of the records
lifeboat repair --apply --donor shop-image.tar         also heal files of damaged image layers from there
lifeboat repair --revert                               take everything back'''

GO_ON = 'What was begun is in the journal. Run it again with --apply, or --revert.'
WORDS = {'certain': 'certain', 'rebuilt': 'rebuilt', 'likely': 'likely, needs --steps', 'choice': 'a choice, needs --steps',
         'lost': 'loses data, needs --steps'}


def arguments(parser: 'Parser') -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--guard', dest='state', action='store_const', const='guarded', help='hold what a start would delete or start')
    how.add_argument('--apply', dest='state', action='store_const', const='repaired', help='the guard and every certain step')
    how.add_argument('--revert', dest='state', action='store_const', const='reverted', help='undo everything in the journal')
    parser.add_argument('--give-back', action='store_true', help='with --apply: only give restart policies back that the guard took')
    parser.add_argument('--check', action='store_true', help='with one of these: write nothing')
    parser.add_argument('--steps', metavar='CODE,...', action='append', default=[], help='codes that run too; !CODE: that do not')
    parser.add_argument('--name', metavar='ID=NAME', action='append', default=[], help='name of a container whose record is lost')
    parser.add_argument('--journal', metavar='DIR', help='where the originals go (default: beside the data root)')
    parser.add_argument('--donor', metavar='PATH', action='append', default=[],
                        help='bundle, data root, image archive or OCI layout that has files of damaged image layers')
    parser.add_argument('--verify', nargs='?', const='offline', default='none', choices=['offline', 'engine'],
                        help='read the whole root again afterwards; engine: also start the dockerd of this machine on a copy of the records')


def run(given: 'argparse.Namespace', out: Output) -> int:
    from ...repair import run as repairs
    result = repairs.run(request(given))
    out.result({key: value for key, value in result.items() if key != 'diff'}, given.json, lines(result, given, out))
    return status(result)


def request(given: 'argparse.Namespace') -> 'Request':
    """The run.Request that the arguments stand for. LifeboatError."""
    from ...disk.errors import LifeboatError
    from ...repair import run as repairs
    names = {}
    for one in given.name:
        ident, equals, name = one.partition('=')
        if not equals or len(ident) < 4:
            raise LifeboatError('--name takes ID=NAME, with at least four digits of the ID')
        names[ident] = name
    roots = given.data_root
    if len(roots) > 1:
        raise LifeboatError('one data root at a time is repaired; give one --data-root')
    return repairs.Request(
        state=given.state or repairs.PLANNED, host_root=wording.raw(given.host_root), data_root=wording.raw(roots[0]) if roots else None,
        containerd_root=wording.raw(given.containerd_root) if given.containerd_root else None,
        journal_dir=wording.raw(given.journal) if given.journal else None,
        policies=repairs.GIVE_BACK if given.give_back else repairs.KEEP,
        steps=listed(given.steps), names=names,
        verify=given.verify, donors=[wording.raw(os.path.abspath(one)) for one in given.donor], check=given.check)


def lines(result: Dict[str, Any], given: 'argparse.Namespace', out: Output) -> Iterator[str]:
    """Yield what people read: what is hidden first, then the plan, then what stays broken."""
    from ...repair import run as repairs
    for one in result['hidden']:
        yield out.paint('HIDDEN, not lost: %d %s. %s' % (one['containers'], shown(one['what']), shown(one['why'])), 'yellow')
        yield '  set in daemon.json: %s. %s' % (shown(one['setting']), one['warning'])
    for item in result['problems']:
        yield out.paint('%s %s' % (item['code'], shown(item['message'])), 'red')
        yield '  %s' % shown(item['next_step'])
    for step in result['plan']:
        done = 'done' if step['done'] else 'would' if step['selected'] else 'not'
        yield '%-5s %-22s %-7s %s%s' % (done, step['code'], step['operation'], shown(step['path']), ' -> ' + shown(step['to']) if step['to'] else '')
        yield '      %s (%s)' % (shown(step['why']), WORDS[step['certainty']])
    if given.verbose:
        for item in result['diff']:
            for line in repairs.unified(item):
                yield shown(line)
    for one in result['unresolved']:
        yield out.paint('UNRESOLVED %s %s: %s' % (one['code'], shown(one['path']), shown(one['why'])), 'red')
        yield '  %s' % shown(one['next_step'])
    yield from _end(result, given, out)


def _end(result: Dict[str, Any], given: 'argparse.Namespace', out: Output) -> Iterator[str]:
    verified = result['verified']
    if 'total' in verified:
        yield '%d of %s %s complete' % (
            verified['complete'], wording.number(verified['total'], 'container'), 'is' if verified['complete'] == 1 else 'are')
    yield from _trial(verified.get('engine'))
    if given.state is None and _is_undamaged(result):
        yield 'No record is damaged. The steps only hold what a start of the engine would delete or start.'
    if not (result['plan'] or result['unresolved'] or result['hidden'] or result['problems']):
        yield 'Undone.' if given.state == 'reverted' and result['changed'] else 'Nothing is to be done.'
    elif given.state is None and any(step['selected'] for step in result['plan']):
        out.note('nothing was written; lifeboat repair --apply does what says would')
    elif result['journal']:
        out.note('the originals are in %s; lifeboat repair --revert brings them back' % shown(result['journal']))


def _is_undamaged(result: Dict[str, Any]) -> bool:
    """Whether the plan is the guard and nothing else."""
    from ...repair import guard
    return bool(result['plan']) and all(step['code'] in guard.CODES for step in result['plan']) and not (
        result['unresolved'] or result['hidden'] or result['problems'])


def _trial(found: Optional[Dict[str, Any]]) -> Iterator[str]:
    """What an engine on a copy of the records said."""
    if found is None:
        return
    yield 'An engine on a copy of the records: %s%s' % (found['status'], '; ' + shown(found['why']) if found['why'] else '')
    if found['version']:
        yield '  Docker %s lists %s, %s, %s' % (
            shown(found['version']), wording.number(found['containers'], 'container'), wording.number(found['images'], 'image'),
            wording.number(found['volumes'], 'volume'))
    for what in ('containers', 'images', 'volumes'):
        if found['hidden_' + what]:
            yield '  not these %s: %s' % (what, ', '.join(map(shown, found['hidden_' + what])))
    for line in found['log']:
        yield '  %s' % shown(line)


def status(result: Dict[str, Any]) -> int:
    """Exit status: all well, something stays broken, or nothing may be done."""
    if any(item['code'].startswith('ROOT_') for item in result['problems']):
        return NOTHING
    left = [step for step in result['plan'] if not step['selected']]
    failed = result['verified'].get('engine', {}).get('status') in ('partial', 'failed')
    return PARTIAL if result['unresolved'] or left or failed or result['hidden'] or result['problems'] else WHOLE
