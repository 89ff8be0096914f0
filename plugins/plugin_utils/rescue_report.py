"""The report of a rescue: a record for each host, written as soon as the host has ended, and the report of all of them.

    rescues/NAME/20260102T030405Z.json      one record for each rescue of a host; the newest counts
    rescue-report.html rescue-report.json

Slices of a job, or several jobs, may share the folder. A host that was not rescued has a record too, or none at all when
the play never came to it; both stand in the report before everything that went well.
"""
from __future__ import annotations

import datetime
import json
import os
import tempfile
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.cli.report import LEFT, left_behind, staying
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.module_utils.records import codes

from .records import failure, folder_name, newest, timestamp, utcnow

HOST_SCHEMA = 'lifeboat.rescue.host/1'
REPORT_SCHEMA = 'lifeboat.rescue.report/1'
FOLDER = 'rescues'
# worst first
STATES = ('unreachable', 'failed', 'not_run', 'incomplete', 'rescued')
STATE_TEXTS = {'unreachable': 'did not answer', 'failed': 'rescue failed', 'not_run': 'not run',
               'incomplete': 'something was not rescued', 'rescued': 'everything was rescued'}
NEXT_STEPS = {'unreachable': 'Repair its network and run again, or attach its disk to another machine and rescue with host_root.',
              'failed': 'Remove the cause and run again: complete bundles are kept.',
              'not_run': 'Run again, with this host in --limit.'}
SEVERITIES = ('critical', 'warning', 'info')
STATUSES = ('lost', 'unsupported', 'partial', 'complete')
BUNDLE = ('name', 'kind', 'container', 'id', 'image', 'status', 'changed', 'bytes', 'files', 'path')
PROBLEM = ('code', 'severity', 'object', 'message', 'next_step')
DIFFERENCE = ('project', 'service', 'container', 'what', 'name', 'file', 'ran')
COUNTS = ('deployments', 'files', 'archives', 'compared', 'differences_total', 'undecided_total', 'left_out')
MAX_PROBLEMS = 200
MAX_REASONS = 5                         # problems of one bundle
# of what dockerd deletes at its next start; after the rescue the advice to rescue it is no help any more
RESCUED_NEXT = 'It is rescued. Verify the bundle before dockerd is started on this disk.'


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def host_record(result: Any, host: str, options: dict[str, Any] | None = None, started: datetime.datetime | None = None,
                now: datetime.datetime | None = None) -> dict[str, Any]:
    """The record of HOST from what docker_data_rescue returned, or from the failure it ended with. Plain data only."""
    now = now or utcnow()
    options = options or {}
    result = _dict(result)
    record: dict[str, Any] = {
        'schema': HOST_SCHEMA, 'host': host, 'state': 'failed', 'message': None, 'started': timestamp(started or now),
        'finished': timestamp(now), 'duration_seconds': max(0.0, round((now - (started or now)).total_seconds(), 1)),
        'store_on': options.get('store_on') or 'host', 'dest': options.get('dest'), 'check_mode': bool(options.get('check_mode')),
        'summary': None, 'bundles': [], 'problems': [], 'left_behind': {}, 'left_names': [], 'next_step': None, 'deployment': None}
    if result.get('unreachable'):
        return dict(record, state='unreachable', message=failure(result, 'The host did not answer.'))
    if result.get('failed') or not isinstance(result.get('summary'), dict):
        return dict(record, message=failure(result, 'The module returned nothing.'))
    record['summary'] = {key: value for key, value in result['summary'].items() if isinstance(value, int)}
    record['bundles'] = [_bundle(item) for item in _dicts(result.get('bundles'))]
    record['left_behind'], record['left_names'] = left_behind(result), _left_names(result)
    record['problems'] = _problems(result, record['bundles'])
    record['deployment'] = _deployment(result.get('deployment'))
    short = [item for item in record['bundles'] if item['status'] != 'complete']
    others = [item for item in record['bundles'] if item['kind'] != 'deployment']     # the original files are no data
    critical = [item for item in record['problems'] if item['severity'] == 'critical' and not others]
    if critical:                        # no data root, an empty one: nothing was rescued
        return dict(record, state='failed', message=critical[0]['message'], next_step=critical[0]['next_step'] or None)
    record['state'] = 'incomplete' if short else 'rescued'
    return record


def _bundle(item: dict[str, Any]) -> dict[str, Any]:
    """`incomplete`: names of the components that are not whole; `problems`: the gravest of this bundle."""
    short = [str(part.get('name')) for part in _dicts(item.get('components')) if part.get('status') != 'complete']
    found = dict({key: item.get(key) for key in BUNDLE}, incomplete=short[:20],
                 problems=[_problem(one) for one in _dicts(item.get('problems'))[:MAX_REASONS]])
    if found['status'] not in STATUSES:     # a word that we do not know is no promise
        found['status'] = 'partial'
    return found


def _problems(result: dict[str, Any], bundles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    whole = {show(name) for item in bundles if item['status'] == 'complete' for name in (item['name'], item['container'], item['id']) if name}
    found = [_problem(item) for item in _dicts(result.get('problems'))[:MAX_PROBLEMS]]
    for item in found:
        if codes.has(item['code'], codes.DELETES) and show(item['object']) in whole:
            item['next_step'] = RESCUED_NEXT
    return found


def _problem(item: dict[str, Any]) -> dict[str, Any]:
    """A problem as a record has it."""
    found = {key: item.get(key) for key in PROBLEM}
    found['code'] = show(found['code'])[:60]
    if found['severity'] not in SEVERITIES:
        found['severity'] = 'warning'
    return found


def _deployment(value: Any) -> dict[str, Any] | None:
    """What the original files would change, as a record has it; None where nobody looked."""
    if not isinstance(value, dict):
        return None
    found: dict[str, Any] = {key: value[key] if isinstance(value.get(key), int) else 0 for key in COUNTS}
    found['differences'] = [{key: str(item.get(key) or '') for key in DIFFERENCE} for item in _dicts(value.get('differences'))[:MAX_PROBLEMS]]
    undecided = value.get('undecided')
    found['undecided'] = [str(item) for item in undecided[:MAX_PROBLEMS]] if isinstance(undecided, list) else []
    return found


def _left_names(result: dict[str, Any]) -> list[str]:
    said = _dict(_dict(result.get('summary')).get('left_behind')).get('names')
    return [show(name) for name in said[:20]] if isinstance(said, list) else []


def write_record(folder: str, record: dict[str, Any]) -> str:
    """Keep RECORD below FOLDER -> its path. OSError."""
    place = os.path.join(folder, FOLDER, folder_name(record['host']))
    os.makedirs(place, mode=0o700, exist_ok=True)
    final = os.path.join(place, record['finished'].replace('-', '').replace(':', '') + '.json')
    handle, path = tempfile.mkstemp(dir=place, suffix='.new')
    with os.fdopen(handle, 'w', encoding='utf-8') as target:
        json.dump(record, target, indent=1, sort_keys=True)
    os.replace(path, final)
    return final


def collect(folder: str, now: datetime.datetime, max_age_hours: float) -> list[dict[str, Any]]:
    """The newest whole record of each host that is recent enough."""
    return newest(os.path.join(folder, FOLDER), HOST_SCHEMA, STATES, now, max_age_hours)


def fleet(records: list[dict[str, Any]], expected: Any = (), now: datetime.datetime | None = None,
          title: str = 'Docker data rescue') -> dict[str, Any]:
    """The report: hosts with the worst first. EXPECTED: names of hosts that ought to have a record."""
    now = now or utcnow()
    known = {record['host'] for record in records}
    hosts = list(records)
    for host in expected:
        if host not in known:
            known.add(host)
            hosts.append(dict(host_record({}, host, now=now), state='not_run', message='There is no record of a rescue of this host.'))
    hosts.sort(key=lambda record: (STATES.index(record['state']), record['host']))
    bundles = [item for record in hosts for item in record['bundles']]
    counts = _counts(hosts)
    totals: dict[str, Any] = {'hosts': counts['hosts'], 'states': counts['states'], 'bundles': len(bundles),
                              'bytes': sum(item.get('bytes') or 0 for item in bundles)}
    totals.update(counts['statuses'])
    totals['left_behind'] = {kind: number for kind, dummy in LEFT for number in [sum(_left_of(record).get(kind, 0) for record in hosts)] if number}
    totals['hosts_left_behind'] = sum(_is_whole(record) and not _is_everything(record) for record in hosts)
    return {'schema': REPORT_SCHEMA, 'title': title, 'generated': timestamp(now), 'totals': totals,
            'missing': _missing(hosts), 'left_behind': _left(hosts), 'differences': _differences(hosts), 'hosts': hosts}


def _is_whole(record: dict[str, Any]) -> bool:
    return record['state'] == 'rescued'


def _is_everything(record: dict[str, Any]) -> bool:
    """True if nothing of the host was left out."""
    return _is_whole(record) and not _left_of(record)


def state_text(record: dict[str, Any]) -> str:
    """The state of a host as text."""
    return STATE_TEXTS[record['state']] if not _is_whole(record) or _is_everything(record) else 'what was asked for was rescued'


def _left_of(record: dict[str, Any]) -> dict[str, Any]:
    return _dict(record.get('left_behind'))     # records of an earlier version have none


def _left(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is still only on the host, because it was not asked for."""
    rows = []
    for record in hosts:
        told = [{'host': record['host'], 'object': item['object'], 'message': item['message'], 'next_step': item['next_step']}
                for item in record['problems'] if codes.has(item['code'], codes.LEFT_OUT)]
        if not told and _left_of(record):
            told = [{'host': record['host'], 'object': None, 'next_step': 'Run again with these in include.',
                     'message': ', '.join(record.get('left_names') or ()) or staying(_left_of(record))}]
        rows += told
    return rows


def _differences(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Compose would change if the original files were started again, of all hosts."""
    return [dict(row, host=record['host']) for record in hosts for row in _dict(record.get('deployment')).get('differences') or ()]


def _missing(hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was not rescued, worst first: whole hosts, then bundles, each with why and what to do."""
    found = [{'host': record['host'], 'object': None, 'status': record['state'], 'message': record['message'],
              'next_step': record.get('next_step') or NEXT_STEPS[record['state']]} for record in hosts if record['state'] in NEXT_STEPS]
    rows = []
    for record in hosts:
        why: dict[Any, list[dict[str, Any]]] = {}
        for item in record['problems']:
            if not codes.has(item['code'], codes.LEFT_OUT):      # wanted so, and never the reason
                why.setdefault(show(item['object']), []).append(item)
        for item in record['bundles']:
            if item['status'] == 'complete':
                continue
            parts = [part.partition(':')[2] for part in item.get('incomplete') or () if ':' in part]
            # its own first: the list of the whole host may be cut, and may have others of the same name
            reasons = [one for one in item.get('problems') or () if one['code'] != 'NOT_INCLUDED'] or [
                one for key in (item['name'], item['container'], item['id'], *parts) if key for one in why.get(show(key), ())]
            reasons.sort(key=lambda one: SEVERITIES.index(one['severity']) if one['severity'] in SEVERITIES else 3)
            rows.append({'host': record['host'], 'object': item['name'], 'status': item['status'],
                         'message': reasons[0]['message'] if reasons else _unexplained(item),
                         'next_step': reasons[0]['next_step'] if reasons else None})
    rows.sort(key=lambda row: (STATUSES.index(row['status']) if row['status'] in STATUSES else 0, row['host'], str(row['object'])))
    return found + rows


def _unexplained(item: dict[str, Any]) -> str:
    parts = ', '.join(show(part) for part in item.get('incomplete') or ())
    return f'Incomplete: {parts}. The manifest in its bundle has the details.' if parts else 'See the manifest in its bundle.'


def headline(report: dict[str, Any]) -> str:
    """The result as one sentence. A host counts as complete only if none of its data were left out."""
    totals = report['totals']
    rescued = totals['states']['rescued'] - totals['hosts_left_behind']
    text = f'{rescued} of {totals["hosts"]} hosts rescued completely'
    bad = [f'{totals["states"][state]} {state.replace("_", " ")}' for state in STATES[:-1] if totals['states'][state]]
    bundles = [f'{totals[status]} {status}' for status in STATUSES[:-1] if totals[status]]
    text += (': ' + ', '.join(bad) if bad else '') + (f'; of {totals["bundles"]} bundles ' + ', '.join(bundles) if bundles else '')
    return text + ('; ' + staying(totals['left_behind']) if totals['left_behind'] else '')


def _counts(hosts: list[dict[str, Any]]) -> dict[str, Any]:
    bundles = [item for record in hosts for item in record['bundles']]
    return {'hosts': len(hosts), 'states': {state: sum(record['state'] == state for record in hosts) for state in STATES},
            'statuses': {status: sum(item['status'] == status for item in bundles) for status in STATUSES}}


def summary_of(report: dict[str, Any], own: Any = ()) -> dict[str, Any]:
    """What set_stats and the end of a play tell: small, whatever the size of the fleet.

    `run` counts the hosts OWN only (all, if there are none): a job is judged by them, other jobs may share the folder.
    """
    totals = report['totals']
    names = set(own) or {record['host'] for record in report['hosts']}
    return {'generated': report['generated'], 'headline': headline(report), 'hosts': totals['hosts'], 'states': totals['states'],
            'bundles': totals['bundles'], 'bytes': totals['bytes'], 'left_behind': totals['left_behind'],
            'statuses': {status: totals[status] for status in STATUSES},
            'run': _counts([record for record in report['hosts'] if record['host'] in names]),
            'not_rescued': [record['host'] for record in report['hosts'] if record['state'] in NEXT_STEPS][:20]}


def as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, sort_keys=True) + '\n'
