"""Results as text for a person: what is on a disk, what was rescued, which bundles are whole.

All functions return lines. WIDTH: columns of the terminal, None where nothing has to be cut. PAINT(text, colour) colours text
on a terminal. Values come from disks and bundles: every one goes through shown().
"""
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..formats import wording
from ..formats.values import as_dict, as_int, as_list, as_str
from ..records import model
from .output import columns, shown, wrapped

SEVERITIES = (model.CRITICAL, model.WARNING, model.INFO)
STATUSES = (model.LOST, model.UNSUPPORTED, model.PARTIAL, model.COMPLETE)
COLOURS = {model.COMPLETE: 'green', model.PARTIAL: 'yellow', model.LOST: 'red', model.UNSUPPORTED: 'red',
           model.CRITICAL: 'red', model.WARNING: 'yellow', 'verified': 'green', 'damaged': 'red', 'incomplete': 'red',
           'unverified': 'yellow'}
RIGHT = ('VOLUMES', 'SIZE', 'LAYERS', 'BYTES', 'FILES')
BUNDLES = 40                            # rows of a table of bundles
PROBLEMS = 20
DIFFERENCES = 30
NOT_INCLUDED = 'NOT_INCLUDED'
# what a rescue can leave on the host, as in `summary.left_behind` -> its name
LEFT = (('binds', 'bind mount'), ('volumes', 'volume'), ('layers', 'writable layer'), ('images', 'image'), ('containers', 'container'))


def plain(text: str, dummy_colour: Optional[str]) -> str:
    """The PAINT of who wants no colours."""
    return text


def _table(rows: Sequence[Tuple[str, ...]], width: Optional[int], paint: Callable[[str, Optional[str]], str], flexible: Tuple[str, ...]) -> List[str]:
    """Lines of a table whose first column is a status."""
    lines = columns(rows, RIGHT, width, flexible)
    painted = []
    for number, line in enumerate(lines):
        word = rows[number][0]
        colour = 'bold' if number == 0 else COLOURS.get(word)
        painted.append(paint(line, 'bold') if number == 0 else paint(line[:len(word)], colour) + line[len(word):])
    return painted


# -- what is on the disk -------------------------------------------------------------------------------------------------


def look(facts: Dict[str, Any], width: Optional[int] = None, paint: Callable[[str, Optional[str]], str] = plain,
         verbose: bool = False) -> List[str]:
    """The dictionary that facts.gather() returns, as lines."""
    lines = []
    for root in facts['roots']:
        lines += wrapped('Data root %s%s' % (shown(root['path']), _about_root(root)), width)
    for title, rows, flexible in (('Containers', _containers(facts), ('CONTAINER', 'IMAGE')),
                                  ('Volumes', _volumes(facts), ('VOLUME', 'USED BY')),
                                  ('Images', _images(facts), ('IMAGE',)),
                                  ('Layers without a container', _orphans(facts), ('LAYER', 'IMAGE'))):
        if len(rows) > 1:
            lines += ['', paint('%s: %d' % (title, len(rows) - 1), 'bold')] + _table(rows, width, paint, flexible)
    told = everything(facts)
    lines += _problems(told, width, paint, verbose)
    lines += ['', _counts(facts)]
    return lines


def _about_root(root: Dict[str, Any]) -> str:
    words = [shown(root['engine']), ', '.join(map(shown, root['drivers'])) or 'no storage driver', 'daemon %s' % root['daemon']['state']]
    if root['recorded_path'] and root['recorded_path'] != root['path']:
        words.append('recorded as %s' % shown(root['recorded_path']))
    if root.get('userns'):              # this and the next are what only some engines say
        words.append('user namespace %s' % root['userns'])
    if root.get('rootless'):
        words.append('rootless, of %s' % shown(root['user']) if root['user'] else 'rootless')
    return ': %s' % ', '.join(words)


def human(size: float) -> str:
    """Bytes as people read them; most tables that look prints have none."""
    from ..archive.progress import human as sized
    return sized(size)


def _size(item: Dict[str, Any]) -> str:
    usage = item.get('usage')
    return human(usage['bytes']) if usage else '-'


def _containers(facts: Dict[str, Any]) -> Sequence[Tuple[str, ...]]:
    names = {}
    for item in facts['containers']:
        for mount in item['mounts']:
            if mount['type'] == 'volume':
                names.setdefault(item['id'], set()).add(mount['name'])
    rows = [('STATUS', 'CONTAINER', 'ID', 'STATE', 'IMAGE', 'VOLUMES', 'SIZE')]
    for item in sorted(facts['containers'], key=_order):
        rows.append((item['status'], shown(item['name'] or '(name lost)'), item['id'][:12], shown(item['state']['status']),
                     shown(item['image']['reference'] or '-'), str(len(names.get(item['id'], ()))), _size(item)))
    return _without_empty(rows, 'SIZE')


def _order(item: Dict[str, Any]) -> Tuple[int, str]:
    return STATUSES.index(item['status']) if item['status'] in STATUSES else 0, item.get('name') or ''


def _without_empty(rows: Sequence[Tuple[str, ...]], name: str) -> Sequence[Tuple[str, ...]]:
    """ROWS without the column NAME where all of it is empty."""
    at = rows[0].index(name)
    if any(row[at] != '-' for row in rows[1:]):
        return rows
    return [row[:at] + row[at + 1:] for row in rows]


def _volumes(facts: Dict[str, Any]) -> Sequence[Tuple[str, ...]]:
    names = {item['id']: item['name'] or item['id'][:12] for item in facts['containers']}
    rows = [('STATUS', 'VOLUME', 'USED BY', 'DRIVER', 'SIZE')]
    for item in sorted(facts.get('volumes', ()), key=_order):
        users = ', '.join(names.get(ident, ident[:12]) for ident in item['used_by'])
        rows.append((item['status'], shown(item['name']), shown(users or 'no container'), shown(item['driver']), _size(item)))
    return _without_empty(rows, 'SIZE')


def _images(facts: Dict[str, Any]) -> Sequence[Tuple[str, ...]]:
    rows = [('STATUS', 'IMAGE', 'ID', 'LAYERS')]
    for item in sorted(facts.get('images', ()), key=lambda one: _order({'status': one['status'], 'name': ''.join(one['references'])})):
        rows.append((item['status'], shown(', '.join(item['references']) or '(no name)'), shown(item['id'].split(':')[-1][:12]),
                     str(len(item['layers']))))
    return rows


def _orphans(facts: Dict[str, Any]) -> Sequence[Tuple[str, ...]]:
    rows = [('STATUS', 'LAYER', 'IMAGE', 'NEWEST CHANGE', 'SIZE')]
    for item in as_dict(facts.get('orphans')).get('writable_layers', ()):
        status = model.PARTIAL if any(problem['loses_data'] for problem in item['problems']) else model.COMPLETE
        rows.append((status, shown(item['name'][:16]), shown(item['image']['reference'] or '-'), item['newest_mtime'] or '-',
                     human(item['usage']['bytes']) if item['usage'] else '-'))
    return _without_empty(_without_empty(rows, 'SIZE'), 'NEWEST CHANGE')


def everything(facts: Dict[str, Any]) -> List[Dict[str, Any]]:
    """All problems of the facts, each once, the gravest first."""
    found, seen = [], set()
    groups = [facts] + facts['containers'] + facts.get('volumes', []) + facts.get('images', []) + \
        as_dict(facts.get('orphans')).get('writable_layers', [])
    for group in groups:
        for item in group['problems']:
            key = (item['code'], item['object'], item['message'])
            if key not in seen:
                seen.add(key)
                found.append(item)
    return sorted(found, key=lambda item: SEVERITIES.index(item['severity']))


def _problems(found: List[Dict[str, Any]], width: Optional[int], paint: Callable[[str, Optional[str]], str], verbose: bool) -> List[str]:
    shown_ones = [item for item in found if verbose or item['severity'] != model.INFO]
    infos = len(found) - len(shown_ones)
    lines = ['', paint('Problems: %d' % len(shown_ones), 'bold')] if shown_ones else []
    for item in shown_ones:
        lines += problem(item, width, paint)
    if infos:
        lines += ['', '%s more, only for information: -v shows them' % wording.number(infos, 'problem')]
    return lines


def problem(item: Dict[str, Any], width: Optional[int] = None, paint: Callable[[str, Optional[str]], str] = plain, apart: bool = True) -> List[str]:
    """One problem as lines. APART: its next step stands in lines of its own."""
    severity, step = as_str(item.get('severity')), shown(as_str(item.get('next_step')))
    said = '%s %s: %s' % (shown(severity.upper()), shown(as_str(item.get('code'))), shown(as_str(item.get('message'))))
    lines = wrapped(said if apart or not step else '%s %s' % (said, step), width)
    lines[0] = paint(lines[0][:len(severity)], COLOURS.get(severity)) + lines[0][len(severity):]
    if step and apart:
        lines += ['    ' + line for line in wrapped('Next: ' + step, width and width - 4)]
    return lines


def _counts(facts: Dict[str, Any]) -> str:
    summary = facts['summary']
    words = ['%d %s' % (summary[name], name) for name in (model.COMPLETE, model.PARTIAL, model.LOST, model.UNSUPPORTED) if summary[name]]
    return '%s%s, %s, %s' % (
        wording.number(summary['containers'], 'container'), ' (%s)' % ', '.join(words) if words else '',
        wording.number(summary['volumes'], 'volume'), wording.number(len(facts.get('images', ())), 'image'))


# -- what was rescued ------------------------------------------------------------------------------------------------------


def rescued(result: Dict[str, Any], width: Optional[int] = None, paint: Callable[[str, Optional[str]], str] = plain, check_mode: bool = False,
            head: str = '') -> List[str]:
    """The result of a rescue: a line for each bundle and each problem, the gravest first. HEAD stands before each line."""
    bundles = sorted(as_list(result.get('bundles')), key=lambda item: STATUSES.index(item.get('status'))
                     if item.get('status') in STATUSES else 0)
    rows = [('STATUS', 'BUNDLE', 'IMAGE', 'VOLUMES', 'SIZE', '')]
    for item in bundles[:BUNDLES]:
        rows.append((shown(str(item.get('status'))), shown(str(item.get('name'))), shown(item.get('image') or '-'),
                     str(sum(part.get('kind') == 'volume' for part in item.get('components') or ())), human(item.get('bytes') or 0),
                     '' if item.get('changed') else 'unchanged'))
    room = width - len(head) if width else None
    lines = columns(rows, RIGHT) if bundles else []
    if room and lines and max(map(len, lines)) > room:      # without the images then
        rows = [row[:2] + row[3:] for row in rows]
    lines = _table(rows, room, paint, ('BUNDLE',)) if bundles else []
    if len(bundles) > BUNDLES:
        lines.append('... and %d more' % (len(bundles) - BUNDLES))
    problems = sorted(as_list(result.get('problems')), key=lambda item: SEVERITIES.index(item.get('severity'))
                      if item.get('severity') in SEVERITIES else 0)
    for item in problems[:PROBLEMS]:
        lines += problem(item, room, paint, False)
    if len(problems) > PROBLEMS:
        lines.append('... and %s' % (wording.number(len(problems) - PROBLEMS, 'more problem')))
    lines += deployment(result, room, paint)
    summary = as_dict(result.get('summary'))
    lines.append('%s, %d %s, %s, %s' % (
        wording.number(summary.get('bundles', 0), 'bundle'), summary.get('written', 0), 'to write' if check_mode else 'written',
        human(summary.get('bytes', 0)), wording.number(summary.get('problems', 0), 'problem')))
    left = left_behind(result)
    if left:
        lines += wrapped(staying(left), room)
    return [head + line for line in lines]


def deployment(result: Dict[str, Any], width: Optional[int] = None, paint: Callable[[str, Optional[str]], str] = plain) -> List[str]:
    """What Compose would change if the original files were started again, as a table; [] where it would change nothing."""
    said = as_dict(result.get('deployment'))
    found = [item for item in as_list(said.get('differences')) if isinstance(item, dict)]
    lines = []
    if found:
        rows = [('CONTAINER', 'WHAT', 'IN THE FILES', 'RAN')]
        for item in found[:DIFFERENCES]:
            what = ' '.join(as_str(item.get(key)) for key in ('what', 'name') if as_str(item.get(key)))
            rows.append((shown(as_str(item.get('container')) or as_str(item.get('service'))), shown(what), shown(as_str(item.get('file'))),
                         shown(as_str(item.get('ran')))))
        lines += ['', paint('What Compose would change with the original files', 'bold')] + _table(rows, width, paint, ('IN THE FILES', 'RAN'))
        total = as_int(said.get('differences_total')) or len(found)
        lines += ['... and %d more in deployment.json' % (total - len(rows) + 1)] if total >= len(rows) else []
    undecided = as_int(said.get('undecided_total'))
    lines += ['%s could not be compared; deployment.json says why' % wording.number(undecided, 'point')] if undecided else []
    return lines + [''] if found else lines


def left_behind(result: Dict[str, Any]) -> Dict[str, int]:
    """{kind: number} of what is on the host and not in the bundles, because it was not asked for; kinds are those of LEFT, {} for nothing.

    From the summary of the module; an older one tells it by its problems only.
    """
    said = as_dict(result.get('summary')).get('left_behind')
    if not isinstance(said, dict):
        names = {str(item.get('object')) for item in as_list(result.get('problems'))
                 if isinstance(item, dict) and item.get('code') == NOT_INCLUDED}
        said = {'containers': len(names)}
    return {kind: said[kind] for kind, dummy in LEFT if as_int(said.get(kind)) and said[kind] > 0}


def staying(left: Dict[str, int]) -> str:
    """The clause on data that were not asked for. LEFT: what left_behind() returns, not empty."""
    titles = dict(LEFT)
    return 'not in the bundles and only on the host: ' + ', '.join(
        '%s%d %s%s' % ('data of mounts of ' if kind == 'containers' else '', number, titles[kind], '' if number == 1 else 's')
        for kind, number in left.items())


# -- which bundles are whole -------------------------------------------------------------------------------------------------


def verified(bundles: List[Dict[str, Any]], width: Optional[int] = None, paint: Callable[[str, Optional[str]], str] = plain) -> List[str]:
    """What info.inspect() returns, as lines."""
    rows = [('STATUS', 'BUNDLE', 'RESCUE', 'WRITTEN')]
    for item in bundles:
        rows.append((item['status'], shown(item['path']), shown(as_str(item['rescue_status'])), shown(as_str(item['created']))))
    lines = _table(rows, width, paint, ('BUNDLE',))
    for item in bundles:
        for difference in item['differences'][:PROBLEMS]:
            lines += wrapped('%s: %s %s' % (shown(item['path']), shown(difference['file']), shown(difference['problem'])), width)
        if len(item['differences']) > PROBLEMS:
            lines.append('... and %d more differences in %s' % (len(item['differences']) - PROBLEMS, shown(item['path'])))
        signed = item.get('signature') or {}
        if signed.get('status') == 'valid':
            lines += wrapped('%s: signed by %s%s' % (shown(item['path']), shown(signed['signer']), _custody(signed['custody'])), width)
    good = sum(item['status'] in ('verified', 'unverified') for item in bundles)
    lines.append('%d of %s %s whole%s' % (good, wording.number(len(bundles), 'bundle'), 'is' if good == 1 else 'are',
                                          ' and signed' if any('signature' in item for item in bundles) else ''))
    return lines


def _custody(record: Dict[str, str]) -> str:
    """The rest of that line: who rescued, when, from what; empty without a record."""
    if not record:
        return ''
    return ', rescued by %s at %s from %s of %s' % (shown(record.get('signed_by') or '?'), shown(record.get('rescued_at') or '?'),
                                                    shown(record.get('source_device') or 'a disk'), shown(record.get('host') or '?'))
