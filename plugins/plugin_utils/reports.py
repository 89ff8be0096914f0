"""The numbers of an audit, counted once: a record for each host, and the report of the fleet made of such records.

Every form of the report (HTML, JSON, CSV, Prometheus, Markdown) only prints what stands here. docs/audit.md has the
schema. A host that could not be audited has a state and a message and no numbers: `totals` is None, never zeros.
"""
from __future__ import annotations

import datetime
from typing import Any

from . import enrichment, findings as rules_of
from .plaindata import plain
from .records import failure, moment_of, one_line, timestamp, utcnow

HOST_SCHEMA = 'lifeboat.audit.host/1'
REPORT_SCHEMA = 'lifeboat.audit.report/1'
# healthy: dockerd runs; offline: nothing tells whether it does (the disk of another machine, say)
AUDITED = ('healthy', 'daemon_dead', 'offline')
NOT_AUDITED = ('unreachable', 'failed', 'no_docker')
STATES = AUDITED + NOT_AUDITED
STATE_TEXTS = {
    'healthy': 'audited', 'daemon_dead': 'audited, dockerd is dead', 'offline': 'audited, dockerd not visible',
    'unreachable': 'unreachable', 'failed': 'audit failed', 'no_docker': 'no Docker',
}
# sums over hosts; `findings` is a dict of its own
SUMS = ('containers', 'containers_with_data', 'writable_bytes', 'data_bytes', 'volumes', 'volume_bytes', 'anonymous_volumes',
        'anonymous_bytes', 'orphan_volumes', 'orphan_volume_bytes', 'orphan_layers', 'orphan_layer_bytes', 'log_bytes',
        'databases', 'databases_at_risk', 'database_at_risk_bytes', 'at_risk_bytes', 'incomplete', 'failed_rules')
COUNTS = rules_of.SEVERITIES + ('suppressed',)


# -- one host ----------------------------------------------------------------------------------------------------------

def host_record(result: Any, rules: Any, host: str, ignore: Any = None, started: str | None = None,
                now: datetime.datetime | None = None) -> dict[str, Any]:
    """The record of HOST from the registered RESULT of docker_layer_facts, whatever became of that task.

    Rules are checked even when the host gave nothing: a wrong rule has to show on every run. AuditError for those.
    """
    now = now or utcnow()
    compiled = rules_of.compile_rules(plain(rules))
    ignores = rules_of.compile_ignores(plain(ignore))
    begun = moment_of(started) or now
    record: dict[str, Any] = {
        'schema': HOST_SCHEMA, 'host': host, 'state': 'failed', 'message': None, 'started': timestamp(begun), 'finished': timestamp(now),
        'duration_seconds': max(0.0, round((now - begun).total_seconds(), 1)), 'daemon': None, 'totals': None, 'engines': {},
        'containers': [], 'volumes': [], 'layers': [], 'findings': [],
    }
    result = plain(result) if result is not None else {}
    facts = enrichment.as_dict(enrichment.as_dict(result.get('ansible_facts')).get('docker_layers'))
    if result.get('unreachable'):
        return dict(record, state='unreachable', message=failure(result, 'The host did not answer.'))
    if not facts:
        return dict(record, message=failure(result, 'The module returned nothing.'))
    if not facts.get('roots'):
        critical = [item for item in enrichment.as_dicts(facts.get('problems'))
                    if item.get('severity') == 'critical' and item.get('code') != 'NO_DATA_ROOT']
        if critical:
            return dict(record, message=one_line(critical[0].get('message') or critical[0].get('code')))
        return dict(record, state='no_docker', message='No Docker data root was found.')
    enriched = enrichment.enrich(facts)
    found = rules_of.evaluate(enriched, compiled, ignores, host, now)
    daemons = [enrichment.as_dict(root.get('daemon')).get('state') for root in enrichment.as_dicts(enriched.get('roots'))]
    record['daemon'] = 'running' if 'running' in daemons else 'stopped' if 'stopped' in daemons else 'unknown'
    record['state'] = {'running': 'healthy', 'stopped': 'daemon_dead', 'unknown': 'offline'}[record['daemon']]
    record['findings'] = found
    record['message'] = ' '.join(one['message'] for one in failed_rules(record)[:3]) or None
    by_object: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found:
        by_object.setdefault((one['object_type'], str(one['object'])), []).append(one)
        if one['object_type'] == 'container' and one.get('volume'):
            by_object.setdefault(('volume', str(one['volume'])), []).append(one)
    names = {item.get('id'): item['object'] for item in enrichment.as_dicts(enriched.get('containers'))}
    record['containers'] = [_container(item, by_object) for item in enrichment.as_dicts(enriched.get('containers'))]
    record['volumes'] = [_volume(item, by_object, names) for item in enrichment.as_dicts(enriched.get('volumes'))]
    record['layers'] = [_layer(item, by_object) for item in enrichment.as_dicts(enriched['orphans'].get('writable_layers'))]
    record['totals'] = _totals(record)
    record['engines'] = _engines(record)
    return record


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0


def _data_bytes(usage: dict[str, Any]) -> int:
    """Bytes of data of a usage; all bytes if noise was not counted apart."""
    value = usage.get('data_bytes')
    return _number(usage.get('bytes') if value is None else value)


def _verdict(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """`findings` (codes) and `severity` of an object's row; suppressed ones don't count."""
    active = [one for one in findings if 'suppressed' not in one]
    worst = min((rules_of.SEVERITIES.index(one['severity']) for one in active), default=None)
    return {'findings': sorted({one['code'] for one in active}), 'severity': None if worst is None else rules_of.SEVERITIES[worst]}


def _databases(item: dict[str, Any], wheres: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    rows = []
    for one in enrichment.as_dicts(item.get('databases')):
        if one.get('empty') or one.get('noise') or (wheres and one.get('where') not in wheres):
            continue
        rows.append({'engine': one.get('engine'), 'label': enrichment.label(one), 'kind': one.get('kind') or 'database',
                     'version': one.get('version'), 'path': one.get('path'), 'where': one.get('where'), 'bytes': _number(one.get('bytes')),
                     'clean_shutdown': one.get('clean_shutdown')})
    return rows


def _container(item: dict[str, Any], by_object: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    usage = enrichment.as_dict(item.get('usage'))
    row = {
        'name': item['object'], 'id': item.get('id'), 'image': enrichment.as_dict(item.get('image')).get('reference'),
        'project': item.get('project'), 'service': item.get('service'), 'status': item.get('status'),
        'state': enrichment.as_dict(item.get('state')).get('status'), 'writable_bytes': _number(usage.get('bytes')),
        'data_bytes': _data_bytes(usage), 'files': _number(usage.get('files')), 'newest_mtime': usage.get('newest_mtime'),
        'complete': usage.get('complete', True) is not False, 'counted': bool(usage), 'log_bytes': _number(enrichment.as_dict(item.get('log')).get('bytes')),
        'databases': _databases(item), 'at_risk_bytes': _data_bytes(usage),
    }
    row.update(_verdict(by_object.get(('container', str(item['object'])), [])))
    return row


def _volume(item: dict[str, Any], by_object: dict[tuple[str, str], list[dict[str, Any]]], names: dict[Any, str]) -> dict[str, Any]:
    usage = enrichment.as_dict(item.get('usage'))
    held = not item.get('anonymous') and not item.get('orphan')
    row = {
        'name': item.get('name'), 'driver': item.get('driver'), 'anonymous': bool(item.get('anonymous')), 'orphan': bool(item.get('orphan')),
        'status': item.get('status'), 'used_by': [names.get(one, str(one)[:12]) for one in item.get('used_by') or ()],
        'bytes': _number(usage.get('bytes')), 'files': _number(usage.get('files')), 'newest_mtime': usage.get('newest_mtime'),
        'complete': usage.get('complete', True) is not False, 'counted': bool(usage), 'databases': _databases(item),
        'at_risk_bytes': 0 if held else _data_bytes(usage),
    }
    row.update(_verdict(by_object.get(('volume', str(item.get('name'))), [])))
    return row


def _layer(item: dict[str, Any], by_object: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    usage = enrichment.as_dict(item.get('usage'))
    row = {'path': item.get('path'), 'image': enrichment.as_dict(item.get('image')).get('reference'), 'bytes': _number(usage.get('bytes')),
           'files': _number(usage.get('files')), 'newest_mtime': usage.get('newest_mtime'), 'complete': usage.get('complete', True) is not False,
           'counted': bool(usage), 'databases': _databases(item), 'at_risk_bytes': _data_bytes(usage)}
    row.update(_verdict(by_object.get(('layer', str(item.get('path'))), [])))
    return row


def _at_risk(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Databases that no named volume in use and no bind mount holds."""
    found = [one for row in record['containers'] for one in row['databases'] if one['where'] == 'writable']
    found += [one for row in record['volumes'] if row['anonymous'] or row['orphan'] for one in row['databases']]
    return found + [one for row in record['layers'] for one in row['databases']]


def failed_rules(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Findings that say that a rule could not be applied to the host."""
    return [one for one in record['findings'] if one['code'] == rules_of.RULE_FAILED and 'suppressed' not in one]


def _totals(record: dict[str, Any]) -> dict[str, Any]:
    containers, volumes, layers = record['containers'], record['volumes'], record['layers']
    anonymous = [row for row in volumes if row['anonymous'] and not row['orphan']]
    orphans = [row for row in volumes if row['orphan']]
    risky = [one for one in _at_risk(record) if one['kind'] == 'database']
    counts = {severity: 0 for severity in COUNTS}
    for one in record['findings']:
        counts['suppressed' if 'suppressed' in one else one['severity']] += 1
    return {
        'containers': len(containers), 'containers_with_data': sum(row['data_bytes'] > 0 for row in containers),
        'writable_bytes': sum(row['writable_bytes'] for row in containers), 'data_bytes': sum(row['data_bytes'] for row in containers),
        'volumes': len(volumes), 'volume_bytes': sum(row['bytes'] for row in volumes),
        'anonymous_volumes': len(anonymous), 'anonymous_bytes': sum(row['at_risk_bytes'] for row in anonymous),
        'orphan_volumes': len(orphans), 'orphan_volume_bytes': sum(row['at_risk_bytes'] for row in orphans),
        'orphan_layers': len(layers), 'orphan_layer_bytes': sum(row['at_risk_bytes'] for row in layers),
        'log_bytes': sum(row['log_bytes'] for row in containers),
        'databases': sum(one['kind'] == 'database' and one['where'] == 'writable' for row in containers for one in row['databases'])
        + sum(one['kind'] == 'database' for row in volumes + layers for one in row['databases']),
        'databases_at_risk': len(risky), 'database_at_risk_bytes': sum(one['bytes'] for one in risky),
        'at_risk_bytes': sum(row['at_risk_bytes'] for row in containers + volumes + layers),
        'incomplete': sum(not row['complete'] for row in containers + volumes + layers), 'failed_rules': len(failed_rules(record)),
        'findings': counts,
    }


def _engines(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{engine: {title, at_risk, at_risk_bytes}}; `other` is what belongs to none."""
    engines: dict[str, dict[str, Any]] = {}
    for one in _at_risk(record):
        entry = engines.setdefault(one['engine'] or 'other', {'title': _title(one), 'at_risk': 0, 'at_risk_bytes': 0})
        entry['at_risk'] += 1
        entry['at_risk_bytes'] += one['bytes']
    rest = record['totals']['at_risk_bytes'] - sum(entry['at_risk_bytes'] for entry in engines.values())
    if rest > 0:
        entry = engines.setdefault('other', {'title': 'other files', 'at_risk': 0, 'at_risk_bytes': 0})
        entry['at_risk_bytes'] += rest
    return engines


def _title(database: dict[str, Any]) -> str:
    version = database.get('version')
    text = database['label']
    return text[:-len(version) - 1] if version and text.endswith(' ' + version) else text


# -- the fleet -----------------------------------------------------------------------------------------------------------

def fleet(records: list[dict[str, Any]], history: list[dict[str, Any]] | None = None, now: datetime.datetime | None = None,
          title: str = 'Docker data audit') -> dict[str, Any]:
    """The report: hosts (worst first), sums over those that were audited, and the sums of earlier reports."""
    now = now or utcnow()
    audited = sorted((record for record in records if record.get('totals')), key=lambda record: str(record['host']))
    totals: dict[str, Any] = {'hosts': len(records), 'hosts_audited': len(audited),
                              'states': {state: sum(record['state'] == state for record in records) for state in STATES}}
    for key in SUMS:
        totals[key] = sum(_number(record['totals'].get(key)) for record in audited)
    totals['findings'] = {key: sum(_number(record['totals']['findings'].get(key)) for record in audited) for key in COUNTS}
    engines: dict[str, dict[str, Any]] = {}
    for record in audited:
        for engine, entry in record['engines'].items():
            whole = engines.setdefault(engine, {'title': entry['title'], 'at_risk': 0, 'at_risk_bytes': 0})
            whole['at_risk'] += entry['at_risk']
            whole['at_risk_bytes'] += entry['at_risk_bytes']
    generated = timestamp(now)
    trend = [one for one in (_past(report) for report in history or ()) if one and one['generated'] < generated]
    return {
        'schema': REPORT_SCHEMA, 'title': title, 'generated': generated, 'totals': totals,
        'engines': dict(sorted(engines.items(), key=lambda one: (one[0] == 'other', -one[1]['at_risk_bytes'], one[0]))),
        'trend': sorted(trend, key=lambda one: one['generated'])[-120:], 'hosts': sorted(records, key=_worst_first),
    }


def _past(report: Any) -> dict[str, Any] | None:
    """The point that an earlier report.json makes in the trend."""
    totals = report.get('totals') if isinstance(report, dict) and report.get('schema') == REPORT_SCHEMA else None
    if not isinstance(totals, dict) or not isinstance(report.get('generated'), str) or not isinstance(totals.get('findings'), dict):
        return None
    point = {'generated': report['generated']}
    point.update({key: _number(totals.get(key)) for key in ('hosts', 'hosts_audited', 'at_risk_bytes', 'database_at_risk_bytes', 'databases_at_risk')})
    point['critical'] = _number(totals['findings'].get('critical'))
    point['warning'] = _number(totals['findings'].get('warning'))
    return point


def summary_of(report: dict[str, Any]) -> dict[str, Any]:
    """REPORT without its hosts: what the history keeps and set_stats carries."""
    return {key: report[key] for key in ('schema', 'title', 'generated', 'totals', 'engines')}


def _worst_first(record: dict[str, Any]) -> tuple[Any, ...]:
    totals = record.get('totals')
    if not totals:
        return (0, STATES.index(record['state']) if record['state'] in STATES else 0, 0, 0, str(record['host']))
    return (1, 0, -totals['findings']['critical'], -totals['at_risk_bytes'], str(record['host']))
