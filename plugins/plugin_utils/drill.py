"""A drill: can what was rescued be restored? From what the bundles are, and what came of loading their dumps, to a verdict for each host.

What was counted is compared with the last drill, which a file on the controller remembers. Nothing is believed of a bundle but what was
counted in a server that had loaded it; what is not counted is not drilled, and is said by name.
"""
from __future__ import annotations

import datetime
import os
import re
from typing import Any, Iterable

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show

from .records import failure, moment_of, timestamp

SCHEMA = 'lifeboat.drill.report/1'
STATE_SCHEMA = 'lifeboat.drill.state/1'
# worst first
FAILED, FALLEN, NOT_DRILLED, STALE, PROVEN = STATES = ('failed', 'fallen', 'not_drilled', 'stale', 'proven')
TEXTS = {FAILED: 'cannot be restored', FALLEN: 'has fewer rows than before', NOT_DRILLED: 'not drilled', STALE: 'proven with an old bundle',
         PROVEN: 'proven'}
NEXT_STEPS = {FAILED: 'Rescue the host again, then run the drill again. Keep this bundle until that one is proven.',
              FALLEN: 'Look at the tables. If the rows were deleted on purpose, run the drill once with drill_accept: true.',
              NOT_DRILLED: 'Rescue the host with rescue_dumps: true.', STALE: 'Rescue the host again.', PROVEN: ''}
NO_ENGINE = re.compile(r'The engine at \S+ does not answer')        # that is no fault of the bundle
NO_DATABASE = 'No database that can be dumped was found'
SKEW = datetime.timedelta(minutes=10)     # that clocks may differ


def candidates(bundles: Any, now: datetime.datetime | None = None) -> list[dict[str, Any]]:
    """Of the result of docker_bundle_info the newest bundle of each container: {host, container, path, created, status, rescue_status, dumps}.
    Containers of two data roots may have one name: they are two, and all but the first are called after their root, too. One that says to be of
    the future is the newest only if there is no other."""
    newest: dict[tuple[str, str, str], dict[str, Any]] = {}
    now = now or datetime.datetime.now(datetime.timezone.utc)

    def order(one: dict[str, Any]) -> tuple[bool, str, str]:
        return _ahead(one['created'], now) is None, one['created'], one['path']
    for item in _dicts(bundles):
        path = item.get('path')
        if item.get('kind') != 'container' or not isinstance(path, str):
            continue
        one: dict[str, Any] = {
            'host': show(os.path.basename(os.path.dirname(path))), 'container': show(item.get('name') or os.path.basename(path)), 'path': path,
            'created': item.get('created') if moment_of(item.get('created')) else '', 'status': str(item.get('status')),
            'dumps': [_dump(part) for part in _dicts(item.get('components')) if part.get('kind') == 'dump']}
        source = _dict(item.get('source'))
        key = str(one['host']), str(one['container']), show(source.get('recorded_path') or source.get('data_root') or '')
        if key not in newest or order(one) > order(newest[key]):
            newest[key] = one
    seen: set[tuple[str, str]] = set()
    for host, name, root in sorted(newest):
        if (host, name) in seen:
            newest[host, name, root]['container'] = f'{name} ({root})'
        seen.add((host, name))
    return [newest[key] for key in sorted(newest)]


def drilled(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of candidates() that are whole and have a dump, so that there is something to load."""
    return [one for one in found if one['status'] == 'verified' and any(part['file'] for part in one['dumps'])]


def without_dumps(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of candidates() that are whole and have no dump: docker_database_dump can make one out of them."""
    return [one for one in found if one['status'] == 'verified' and not any(part['file'] for part in one['dumps'])]


def judge(bundles: Any, tries: Any, state: Any, now: datetime.datetime, hosts: Iterable[str] = (), fall_percent: float = 0, max_age_hours: float = 0,
          title: str = 'Restore drill') -> dict[str, Any]:
    """The report. TRIES: results of docker_data_restore with `trial`, or of docker_database_dump, each with its candidate as `item`. STATE: what
    state_of() of the last drill was; HOSTS: names that must have been drilled."""
    results = {str(_dict(one.get('item')).get('path')): one for one in _dicts(tries)}
    before = _dict(_dict(state).get('hosts')) if _dict(state).get('schema') == STATE_SCHEMA else {}
    found: dict[str, list[dict[str, Any]]] = {show(host): [] for host in hosts}
    for one in candidates(bundles, now):
        known = _dict(_dict(before.get(one['host'])).get(one['container']))
        found.setdefault(one['host'], []).append(_judged(one, results.get(one['path']), known, now, fall_percent, max_age_hours))
    # a container that was drilled once is missed
    for host, containers in before.items():
        there = {one['container'] for one in found.get(host, ())}
        for name in sorted(set(_dict(containers)) - there):
            found.setdefault(host, []).append(dict(_empty(host, name), message='It was drilled before, and there is no bundle of it now.'))
    records = [_host(host, containers) for host, containers in found.items()]
    records.sort(key=lambda one: (STATES.index(one['status']), one['host']))
    counts = {name: sum(one['status'] == name for one in records) for name in STATES}
    proven = [one for record in records for one in record['containers'] if one['status'] in (PROVEN, STALE)]
    return {'schema': SCHEMA, 'title': title, 'generated': timestamp(now), 'hosts': records, 'totals': {
        'hosts': len(records), 'states': counts, 'containers': sum(len(one['containers']) for one in records), 'proven': len(proven),
        'dumps': sum(len(one['dumps']) for one in proven), 'rows': sum(part['counted'] for one in proven for part in one['dumps'])}}


def state_of(report: dict[str, Any], state: Any, accept: bool = False) -> dict[str, Any]:
    """What the next drill compares with. A table that has fallen keeps its old number until somebody accepts the new one, so that it is said every
    night; what was not drilled keeps all."""
    old = _dict(_dict(state).get('hosts')) if _dict(state).get('schema') == STATE_SCHEMA else {}
    hosts: dict[str, Any] = {host: dict(_dict(containers)) for host, containers in old.items()}
    for record in report['hosts']:
        for one in record['containers']:
            if one['status'] not in (PROVEN, STALE, FALLEN):
                if accept and not one['path']:      # gone on purpose
                    hosts.get(record['host'], {}).pop(one['container'], None)
                continue
            counts: dict[str, dict[str, int]] = {}
            for part in one['dumps']:
                counts[part['name']] = dict(part['counts'])
                if not accept:
                    counts[part['name']].update({row['table']: row['before'] for row in part['fallen']})
            hosts.setdefault(record['host'], {})[one['container']] = {'drilled': report['generated'], 'created': one['created'], 'dumps': counts}
    return {'schema': STATE_SCHEMA, 'generated': report['generated'], 'hosts': {host: found for host, found in hosts.items() if found}}


def headline(report: dict[str, Any]) -> str:
    totals = report['totals']
    states = totals['states']
    if not totals['hosts']:
        return 'Nothing was drilled: there is no bundle'
    good = states[PROVEN]
    if good == totals['hosts']:
        return f'What was rescued of {_count(good, "host")} can be restored: {totals["rows"]:,} rows were counted in recovered databases'
    bad = ', '.join(f'{states[name]:,} {TEXTS[name]}' for name in STATES[:-1] if states[name])
    return f'{good:,} of {_count(totals["hosts"], "host")} proven; {bad}'


def failures(report: dict[str, Any], fail_on: Iterable[str]) -> list[str]:
    """Sentences on the hosts for which a drill is a failure; one if nothing was drilled at all."""
    wanted = set(fail_on)
    found = [f'{one["host"]}: {TEXTS[one["status"]]}. {one["message"]}' for one in report['hosts'] if one['status'] in wanted]
    if not report['totals']['proven'] and not report['totals']['states'][FALLEN] and not found and wanted:
        found.append('Nothing was drilled: no dump of any bundle was loaded.')
    return found


# -- one container -----------------------------------------------------------------------------------------------------------------


def _judged(one: dict[str, Any], result: Any, known: dict[str, Any], now: datetime.datetime, fall_percent: float, max_age_hours: float) -> dict[str, Any]:
    created = moment_of(one['created'])
    ahead = _ahead(one['created'], now)
    record = dict(_empty(one['host'], one['container']), path=one['path'], created=one['created'],
                  age_hours=round(max(0.0, (now - created).total_seconds() / 3600), 1) if created and ahead is None else None)
    if ahead is not None:
        record['note'] = f'It says that it was written {_hours(ahead)} after this drill: the clock of its host, or of this machine, is wrong.'
    if one['status'] != 'verified':
        return dict(record, status=FAILED, message=f'The bundle is {show(one["status"])}.')
    result = _dict(result)
    if not any(part['file'] for part in one['dumps']):
        if result and not (_failed(result) and NO_DATABASE in str(result.get('msg'))):
            return _counted(record, one, _made(result), known, now, fall_percent, max_age_hours)
        if known:
            return dict(record, message='The bundle has no dump, and the last one that was drilled had.')
        return dict(record, message='The bundle has no dump of a database.', wanted=bool(one['dumps']))
    return _counted(record, one, result, known, now, fall_percent, max_age_hours)


def _failed(result: dict[str, Any]) -> bool:
    """With failed_when: false a result does not say it."""
    return bool(result.get('failed')) or not isinstance(result.get('dumps'), list)


def _made(result: dict[str, Any]) -> dict[str, Any]:
    """The result of docker_database_dump as that of docker_data_restore. A dump that is not complete was not counted."""
    numbers: dict[str, int] = {}
    dumps = []
    for part in _dicts(result.get('dumps')):
        engine = str(part.get('engine'))
        numbers[engine] = numbers.get(engine, 0) + 1
        counts = _dict(part.get('counts'))
        dumps.append({'name': f'{engine}-{numbers[engine]}', 'engine': engine, 'version': part.get('version'), 'counts': counts,
                      'compared': len(counts) if part.get('status') == 'complete' else None})
    return {'failed': _failed(result), 'msg': result.get('msg'), 'nothing': False, 'dumps': dumps}


def _counted(record: dict[str, Any], one: dict[str, Any], result: dict[str, Any], known: dict[str, Any], now: datetime.datetime, fall_percent: float,
             max_age_hours: float) -> dict[str, Any]:
    """RECORD with the verdict on what was counted."""
    if _failed(result) and NO_ENGINE.search(str(result.get('msg'))):
        return dict(record, message=failure(result, ''), next_step='Start the engine of drill_docker_host, and run the drill again.')
    if _failed(result) or result.get('nothing') is not False:
        return dict(record, status=FAILED if result else NOT_DRILLED, message=failure(result, 'It was not tried.'))
    dumps = [_loaded(part, _dict(_dict(known.get('dumps')).get(str(part.get('name')))), fall_percent) for part in _dicts(result.get('dumps'))]
    record['dumps'] = [part for part in dumps if part['compared'] is not None]
    names = {part['name'] for part in record['dumps']}
    left = sorted({part['name'] for part in one['dumps'] + dumps} - names)
    lost = sorted(set(_dict(known.get('dumps'))) - names)
    fallen = [(part, row) for part in record['dumps'] for row in part['fallen']]
    if fallen:
        part, row = fallen[0]
        more = f', and {len(fallen) - 1} more' if len(fallen) > 1 else ''
        return dict(record, status=FALLEN, message=f'{row["table"]} of {part["name"]} had {row["before"]:,} rows, and has '
                    f'{"none" if row["now"] is None else format(row["now"], ",")}{more}.')
    if lost or not names:
        return dict(record, message=f'Nothing was counted of {", ".join(lost or left)}.')
    if left:
        record['note'] = ' '.join(filter(None, (f'not loaded: {", ".join(left)}', record['note'])))
    if max_age_hours and _ahead(record['created'], now) is not None:
        return dict(record, status=STALE, message=f'Nobody can say how old the bundle is. {record["note"]}',
                    next_step='Set the clocks of the host and of this machine, then rescue the host again.')
    if max_age_hours and (record['age_hours'] is None or record['age_hours'] > max_age_hours):
        return dict(record, status=STALE, message=f'The bundle is {_age(record["age_hours"])}.')
    return dict(record, status=PROVEN, message='')


def _loaded(part: dict[str, Any], before: dict[str, Any], fall_percent: float) -> dict[str, Any]:
    """A dump that was loaded, with the tables that have fewer rows than in the last drill."""
    counts = {show(table): rows for table, rows in _dict(part.get('counts')).items() if _number(rows)}
    fallen = [{'table': table, 'before': rows, 'now': counts.get(table)} for table, rows in sorted(before.items())
              if _number(rows) and counts.get(table, -1) < rows * (1 - fall_percent / 100)]
    return {'name': show(part.get('name')), 'engine': show(part.get('engine')), 'version': show(part.get('version')),
            'compared': part['compared'] if _number(part.get('compared')) else None, 'tables': len(counts), 'counted': sum(counts.values()),
            'before': sum(rows for rows in before.values() if _number(rows)) if before else None, 'counts': counts, 'fallen': fallen}


def _host(host: str, containers: list[dict[str, Any]]) -> dict[str, Any]:
    """A host is as its worst container. Those that never had a database do not count."""
    counted = [one for one in containers if one['status'] != NOT_DRILLED or one['wanted']]
    if not counted:
        message = 'No bundle of it has a dump of a database.' if containers else 'There is no bundle of it.'
        return {'host': host, 'status': NOT_DRILLED, 'message': message, 'next_step': NEXT_STEPS[NOT_DRILLED], 'containers': containers}
    worst = min(counted, key=lambda one: STATES.index(one['status']))
    return {'host': host, 'status': worst['status'], 'message': f'{worst["container"]}: {worst["message"]}' if worst['message'] else '',
            'next_step': worst['next_step'] or NEXT_STEPS[worst['status']],
            'containers': sorted(counted, key=lambda one: (STATES.index(one['status']), one['container']))}


def _empty(host: str, container: str) -> dict[str, Any]:
    """`wanted`: it is missed where it is not drilled."""
    return {'host': host, 'container': container, 'path': '', 'created': '', 'age_hours': None, 'status': NOT_DRILLED, 'message': '', 'next_step': '',
            'note': '', 'wanted': True, 'dumps': []}


def _dump(part: dict[str, Any]) -> dict[str, Any]:
    return {'name': show(str(part.get('name')).partition(':')[2]), 'file': show(part.get('file') or '')}


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _ahead(created: str, now: datetime.datetime) -> float | None:
    """How many hours a time lies in the future; None if it does not, or is none."""
    moment = moment_of(created)
    return (moment - now).total_seconds() / 3600 if moment and moment > now + SKEW else None


def _age(hours: float | None) -> str:
    return 'of unknown age' if hours is None else f'{_hours(hours)} old'


def _hours(hours: float) -> str:
    return _count(max(1, round(hours)), 'hour') if hours < 72 else f'{hours / 24:,.0f} days'


def _count(number: int, word: str) -> str:
    return f'{number:,} {word}' if number == 1 else f'{number:,} {word}s'


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
