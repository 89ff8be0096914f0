"""One call for the module and the tool: look, plan, hold what a start would delete, repair, or undo. Returns what both of them print."""
import contextlib
import difflib
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from ..disk.errors import LifeboatError
from ..engines import registry
from ..formats import jsonish, redact, wording
from ..formats.values import NOTHING
from ..records.codes import problem
from . import (
    apply as acts,
    copies,
    groups,
    guard,
    hidden as hiding,
    journal as journals,
    plan as plans,
    records,
    refuse,
    revert,
    steps,
    tops,
    trial,
)
from .view import FILE, LINK, View

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot
    from ..records.model import Problem

PLANNED, GUARDED, REPAIRED, REVERTED = 'planned', 'guarded', 'repaired', 'reverted'
STATES = (PLANNED, GUARDED, REPAIRED, REVERTED)
NONE, OFFLINE, ENGINE = 'none', 'offline', 'engine'
VERIFY = (NONE, OFFLINE, ENGINE)
KEEP, GIVE_BACK = 'keep', 'give_back'
DOCKER = 'docker'
MAX_DIFF = 200                          # lines of one file


class Request(NamedTuple):
    """What is asked for. Paths are bytes as the user gave them."""
    state: str = PLANNED
    host_root: bytes = b'/'
    data_root: Optional[bytes] = None   # None: the only one that the host has
    containerd_root: Optional[bytes] = None
    journal_dir: Optional[bytes] = None  # None: beside the root
    steps: Sequence[str] = ()
    names: Dict[str, str] = NOTHING
    policies: str = KEEP
    verify: str = NONE
    donors: Sequence[bytes] = ()        # where files of damaged image layers may be had
    check: bool = False                 # write nothing, whatever the state


def run(request: Request) -> Dict[str, Any]:
    """Do what REQUEST asks. LifeboatError where nothing can be done, with a sentence for people."""
    with registry.Host(request.host_root, [request.data_root] if request.data_root else [], request.containerd_root, [DOCKER]) as host:
        root = _only(host)
        path = os.path.abspath(request.journal_dir) if request.journal_dir else journals.default_dir(root.path)
        with contextlib.closing(tops.of(root)) as top:
            return (_reverted if request.state == REVERTED else _planned)(root, top, path, request)


def _only(host: registry.Host) -> 'DataRoot':
    """The one data root that is meant."""
    if len(host.roots) == 1:
        return host.roots[0]
    if not host.roots:
        why = ' '.join(one.message for one in host.problems[:3])
        raise LifeboatError('no data root can be opened. %s' % why)
    raise LifeboatError('this host has several data roots; name one with data_root: %s' % ', '.join(
        wording.show(host.root.to_host(root.path)) for root in host.roots))


def _chosen(request: Request) -> Callable[[str, str], bool]:
    try:
        chosen = plans.choose(request.steps, groups.CODES)
    except ValueError as exc:
        raise LifeboatError(str(exc))
    if request.state != GUARDED:
        return chosen
    return lambda code, certainty: code in guard.CODES and chosen(code, certainty)


def _planned(root: 'DataRoot', top: tops.Tops, path: bytes, request: Request) -> Dict[str, Any]:
    view = View(top)
    refusals = refuse.refusals(root, view)
    if request.state != PLANNED and not request.check and not refusals and journals.exists(path):
        _undo_unfinished(root, top, path)
    result = _result(root, path)
    result['hidden'] = [_hidden(one) for one in hiding.hidden(root, view)]
    result['problems'] = [_problem(item) for item in _problems(root, refusals)]
    if any(item.code == 'ROOT_LAYOUT_UNKNOWN' for item in refusals):
        return _or_refused(result, request, refusals)
    this = plans.Plan(view, _chosen(request), request.names, _device(path))
    if request.policies == GIVE_BACK:
        groups.give_back(this, _policies(root, path))
    else:
        groups.plan(this, root, [os.path.abspath(one) for one in request.donors])
    wanted = [step for step in this.steps if request.state != GUARDED or step.code in guard.CODES]
    result['plan'] = [_step(step) for step in wanted]
    result['unresolved'] = [{'code': one.code, 'path': wording.text(one.path), 'why': one.why, 'next_step': one.next_step} for one in this.unresolved]
    selected = [step for step in wanted if step.selected]
    result['changed'] = bool(selected) and request.state != PLANNED
    result['diff'] = _diffs(View(top), selected)
    if request.state == PLANNED or request.check:
        if request.verify == ENGINE and not refusals:   # what a start would show after all of that
            result['verified'] = {'engine': trial.verdict(root, this.view, os.path.dirname(path))}
        return result
    _or_refused(result, request, refusals)
    _stop_of_store(root)
    if selected:
        with journals.Journal(path, root.path) as journal:
            copies.save(View(top), journal)
            acts.apply(top, selected, journal)
            result['journal'] = wording.text(path)
    for item, step in zip(result['plan'], wanted):
        item['done'] = step.selected
    if request.verify != NONE:
        result['verified'] = verify(request, root)
    if request.verify == ENGINE:
        result['verified']['engine'] = trial.verdict(root, View(top), os.path.dirname(path))
    return result


def _policies(root: 'DataRoot', path: bytes) -> Dict[bytes, Dict[str, Any]]:
    """{container id: RestartPolicy} of before the guard, from the originals in the journal."""
    found = {}
    if journals.exists(path):
        with journals.Journal(path, root.path) as journal:
            for entry in journal.entries:
                if entry['code'] == 'GUARD_RESTART':
                    policy = records.dict_of(journal.original(entry), 'RestartPolicy')
                    if policy.get('Name'):
                        found.setdefault(entry['path'].split('/')[1].encode('ascii'), policy)
    return found


def _undo_unfinished(root: 'DataRoot', top: tops.Tops, path: bytes) -> None:
    """A run that was killed is undone before the next one: half of a repair is no state to plan from."""
    with journals.Journal(path, root.path) as journal:
        conflicts = revert.unfinished(top, journal)
    if conflicts:
        raise LifeboatError('an earlier repair was cut short and cannot be undone: %s of %s %s. Compare it with the journal %s, put the '
                            'original there, and try again' % (conflicts[0].code, wording.show(conflicts[0].path), conflicts[0].why, wording.show(path)))


def _or_refused(result: Dict[str, Any], request: Request, refusals: List[refuse.Refusal]) -> Dict[str, Any]:
    """RESULT, if this is only a look; LifeboatError if it should be more."""
    if refusals and request.state != PLANNED and not request.check:
        raise LifeboatError('nothing was done. %s' % ' '.join('%s %s' % (one.message, one.next_step) for one in refusals))
    return result


def _stop_of_store(root: 'DataRoot') -> None:
    """A containerd store without its databases: a start would delete every layer."""
    for item in root.findings():
        if item.code == 'METADATA_DB_MISSING':
            raise LifeboatError('nothing was done. %s %s' % (item.message, item.next_step))


def _reverted(root: 'DataRoot', top: tops.Tops, path: bytes, request: Request) -> Dict[str, Any]:
    result = _result(root, path)
    if not journals.exists(path):
        return result
    refusals = [one for one in refuse.refusals(root, View(top)) if one.code == 'ROOT_IN_USE']
    result['problems'] = [_problem(item) for item in _problems(root, refusals)]
    if request.check:
        result['changed'] = True
        return result
    if refusals:
        raise LifeboatError('nothing was done. %s %s' % (refusals[0].message, refusals[0].next_step))
    with journals.Journal(path, root.path) as journal:
        result['changed'] = bool(journal.entries)
        conflicts = revert.revert(top, journal)
    result['journal'] = wording.text(path)
    result['unresolved'] = [{'code': one.code, 'path': wording.text(one.path), 'why': 'not undone: %s' % one.why,
                             'next_step': 'Compare it with its original in the journal.'} for one in conflicts]
    return result


def verify(request: Request, before: Any) -> Dict[str, Any]:
    """Our own inventory after the repair: {status, containers {name: status}, complete, total}."""
    with registry.Host(request.host_root, [before.host.to_host(before.path)], request.containerd_root, [DOCKER]) as host:
        root = host.roots[0]
        found = {}
        for ident in root.container_ids():
            container = root.container(ident)
            name = container.name or ident[:12]
            found['%s-%s' % (name, ident[:12]) if name in found else name] = container.status
    complete = sum(status == 'complete' for status in found.values())
    return {'status': 'complete' if complete == len(found) else 'partial', 'containers': found, 'complete': complete, 'total': len(found)}


# -- what both users print ---------------------------------------------------------------------------------------------


def _result(root: 'DataRoot', path: bytes) -> Dict[str, Any]:
    return {'changed': False, 'data_root': wording.text(root.path), 'plan': [], 'unresolved': [], 'hidden': [], 'problems': [], 'diff': [],
            'journal': wording.text(path) if journals.exists(path) else '', 'verified': {}}


def _device(path: bytes) -> Optional[int]:
    """st_dev of the folder that the journal is, or will be, in; None if that cannot be told."""
    for place in (path, os.path.dirname(path)):
        try:
            return os.stat(place).st_dev
        except OSError:
            continue
    return None


def _problems(root: 'DataRoot', refusals: List[refuse.Refusal]) -> 'Iterator[Problem]':
    for one in refusals:
        yield problem(one.code, wording.text(root.path), one.message, one.next_step)
    for item in root.findings():
        if item.code in ('METADATA_DB_MISSING', 'SWARM_REMOVED_AT_NEXT_START', 'HIDDEN_STORE'):
            yield item
    for clause in hiding.daemon_json(root):
        yield problem('DAEMON_JSON_DAMAGED', 'daemon.json', clause + '.', 'Correct the file. If the plan has DAEMON_JSON, naming that code in steps does it.')


def _problem(item: 'Problem') -> Dict[str, Any]:
    return dict(item._asdict())


def _hidden(one: hiding.Hidden) -> Dict[str, Any]:
    return dict(one._asdict())


def _step(step: steps.Step) -> Dict[str, Any]:
    return {'code': step.code, 'path': wording.text(step.path), 'operation': step.operation, 'why': step.why, 'certainty': step.certainty,
            'to': wording.text(step.data) if step.operation == steps.RENAME else '', 'selected': step.selected, 'done': False}


def _diffs(view: View, selected: List[steps.Step]) -> List[Dict[str, str]]:
    """For diff mode: what each step changes. Values of the environment are redacted; databases are only named."""
    found = []
    for step in selected:
        before, after = _shown(view, step.path, None), _shown(view, step.path, step)
        found.append({'before_header': wording.text(step.path), 'after_header': '%s (%s)' % (wording.text(step.path), step.code),
                      'before': before, 'after': after})
    return found


def _shown(view: View, path: bytes, step: Optional[steps.Step]) -> str:
    if step is None:
        kind = view.kind(path)
        raw = view.read(path) if kind == FILE else view.target(path) if kind == LINK else None
        text = '' if kind is None else '(%s)\n' % kind
    else:
        raw = step.data if step.operation in (steps.WRITE, steps.SYMLINK) else None
        text = {steps.MKDIR: '(folder)\n', steps.RENAME: '(renamed to %s)\n' % wording.text(step.data or b''),
                steps.PLACE: '(folder with layer %s)\n' % wording.text(step.data or b'')}.get(step.operation, '')
    if raw is None:
        return text
    return _readable(path, raw)


def _readable(path: bytes, raw: bytes) -> str:
    if path.endswith(b'.db'):
        return '(database, %s)\n' % wording.number(len(raw), 'byte')
    try:
        value = jsonish.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):     # half a JSON file may hold half an environment
        return '(no JSON object, %s)\n' % wording.number(len(raw), 'byte') if path.endswith(b'.json') or not _is_text(raw) else wording.show(raw[:2000]) + '\n'
    lines = pretty(value)
    return '\n'.join(lines[:MAX_DIFF]) + '\n'


def _is_text(raw: bytes) -> bool:
    return len(raw) < 4096 and not any(one < 9 for one in raw[:4096])


def pretty(value: Dict[str, Any]) -> List[str]:
    """Lines of a JSON object, without what may be a secret."""
    import json
    return json.dumps(_clean(value), indent=1, sort_keys=True, ensure_ascii=True).split('\n')


def _clean(value: Any, name: str = '') -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        if name in ('Env', 'env'):
            return ['%s=%s' % (str(one).partition('=')[0], redact.REDACTED) for one in value]
        return [_clean(one, name) for one in value]
    return redact.value_of(name, value) if isinstance(value, str) else value


def unified(item: Dict[str, str]) -> List[str]:
    """Lines of a unified diff of an entry of `diff`."""
    return list(difflib.unified_diff(item['before'].splitlines(), item['after'].splitlines(), item['before_header'], item['after_header'],
                                     lineterm=''))
