"""The report as JSON, CSV, Prometheus text and Markdown: prints the numbers of reports.fleet(), counts nothing."""
from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from . import findings as rules_of, reports, sizes
from .records import moment_of, one_line

human = sizes.human_bytes


def as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, ensure_ascii=True) + '\n'


# -- CSV ---------------------------------------------------------------------------------------------------------------

COLUMNS = ('kind', 'host', 'name', 'state', 'severity', 'findings', 'at_risk_bytes', 'data_bytes', 'bytes', 'files', 'log_bytes',
           'newest_change', 'complete', 'image', 'project', 'databases', 'used_by', 'id', 'message')


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection); numbers stay numbers.

    Nor what follows a semicolon in it: where the comma is the decimal sign, spreadsheets split at semicolons.
    """
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if value is None or isinstance(value, (int, float)):
        return value
    return re.sub(r'(\A|;)(?=["\s]*[=+\-@|%\uff1d\uff0b\uff0d\uff20])', r"\1'", one_line(value))


def as_csv(report: dict[str, Any]) -> str:
    """One row for each host, container, volume and orphan layer. Cells of what was not counted are empty, not 0."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval='', quoting=csv.QUOTE_MINIMAL, lineterminator='\r\n')
    writer.writeheader()
    for record in report['hosts']:
        for row in _rows(record):
            writer.writerow({key: harmless(value) for key, value in row.items()})
    return out.getvalue()


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    host, totals = record['host'], record.get('totals')
    row = {'kind': 'host', 'host': host, 'name': host, 'state': record['state'], 'message': record.get('message')}
    if totals:
        counts = totals['findings']
        row.update(severity=next((one for one in rules_of.SEVERITIES if counts[one]), None),
                   findings=', '.join(f'{counts[one]} {one}' for one in rules_of.SEVERITIES if counts[one]),
                   at_risk_bytes=totals['at_risk_bytes'], data_bytes=totals['data_bytes'],
                   bytes=totals['writable_bytes'] + totals['volume_bytes'], log_bytes=totals['log_bytes'],
                   complete=not totals['incomplete'])
    rows = [row]
    for kind, items in (('container', record['containers']), ('volume', record['volumes']), ('layer', record['layers'])):
        for item in items:
            rows.append(_row(kind, host, item))
    return rows


def _row(kind: str, host: str, item: dict[str, Any]) -> dict[str, Any]:
    row = {
        'kind': kind, 'host': host, 'name': item.get('name') or item.get('path'), 'severity': item['severity'], 'id': item.get('id'),
        'findings': ' '.join(item['findings']), 'image': item.get('image'), 'project': item.get('project'),
        'databases': '; '.join(f'{one["label"]} {one["path"]} ({one["where"]})' for one in item['databases']),
        'used_by': ' '.join(item.get('used_by') or ()), 'log_bytes': item.get('log_bytes'),
        'state': {'container': item.get('state'), 'layer': 'orphan'}.get(
            kind, 'orphan' if item.get('orphan') else 'anonymous' if item.get('anonymous') else 'named'),
    }
    if item['counted']:
        row.update(at_risk_bytes=item['at_risk_bytes'], bytes=item['writable_bytes'] if kind == 'container' else item['bytes'],
                   data_bytes=item['data_bytes'] if kind == 'container' else None, files=item['files'],
                   newest_change=item['newest_mtime'], complete=item['complete'])
    return row


# -- Prometheus ----------------------------------------------------------------------------------------------------------

# name of the metric -> (key of totals, help)
PER_HOST = {
    'containers': ('containers', 'Containers on the host.'),
    'writable_bytes': ('writable_bytes', 'Apparent size of all writable layers.'),
    'unheld_bytes': ('at_risk_bytes', 'Data that no named volume in use and no bind mount holds.'),
    'unheld_databases': ('databases_at_risk', 'Databases that no named volume in use and no bind mount holds.'),
    'volume_bytes': ('volume_bytes', 'Apparent size of all volumes.'),
    'orphan_volumes': ('orphan_volumes', 'Volumes that no container uses.'),
    'log_bytes': ('log_bytes', 'Size of the log files of all containers.'),
    'failed_rules': ('failed_rules', 'Rules that failed on the facts of the host, so what they look for is not known.'),
    'incomplete_objects': ('incomplete', 'Containers, volumes and layers that could not be counted completely.'),
}


def label_value(text: Any) -> str:
    """TEXT inside the quotes of a label (Prometheus text format: backslash, quote and line feed are escaped)."""
    return one_line(text).replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')


def as_prom(report: dict[str, Any]) -> str:
    """For node_exporter's textfile collector. Labels: host, state, severity, engine - all bounded by the inventory and
    by tables here. A host that was not audited has its state and no numbers."""
    lines: list[str] = []

    def metric(name: str, text: str, samples: list[tuple[dict[str, Any], Any]]) -> None:
        full = 'lifeboat_audit_' + name
        if samples:
            lines.append(f'# HELP {full} {text}')
            lines.append(f'# TYPE {full} gauge')
        for labels, value in samples:
            inner = ','.join(f'{key}="{label_value(item)}"' for key, item in labels.items())
            lines.append(f'{full}{"{" + inner + "}" if inner else ""} {value}')
    hosts, totals = report['hosts'], report['totals']
    hosts = sorted(hosts, key=lambda record: str(record['host']))
    audited = [record for record in hosts if record.get('totals')]
    metric('report_timestamp_seconds', 'When the report was made.', [({}, _seconds(report['generated']))])
    metric('host_success', 'Whether the host could be audited.',
           [({'host': record['host']}, int(bool(record.get('totals')))) for record in hosts])
    metric('host_state', 'State of the host at the audit, 1 for the one it is in.',
           [({'host': record['host'], 'state': record['state']}, 1) for record in hosts])
    metric('scan_timestamp_seconds', 'When the audit of the host ended.',
           [({'host': record['host']}, _seconds(record['finished'])) for record in hosts])
    metric('scan_duration_seconds', 'How long the audit of the host took.',
           [({'host': record['host']}, record['duration_seconds']) for record in audited])
    for name, (key, text) in PER_HOST.items():
        metric('host_' + name, text, [({'host': record['host']}, record['totals'][key]) for record in audited])
    metric('host_findings', 'Findings on the host by severity, without suppressed ones.',
           [({'host': record['host'], 'severity': severity}, record['totals']['findings'][severity])
            for record in audited for severity in rules_of.SEVERITIES])
    metric('fleet_hosts', 'Hosts by state.', [({'state': state}, totals['states'][state]) for state in reports.STATES])
    for name, (key, text) in PER_HOST.items():
        metric('fleet_' + name, text[:-1] + ', all audited hosts.', [({}, totals[key])])
    metric('fleet_findings', 'Findings by severity, without suppressed ones, all audited hosts.',
           [({'severity': severity}, totals['findings'][severity]) for severity in rules_of.SEVERITIES])
    metric('fleet_unheld_engine_bytes', 'Data that no named volume in use and no bind mount holds, by engine.',
           [({'engine': engine}, entry['at_risk_bytes']) for engine, entry in sorted(report['engines'].items())])
    return '\n'.join(lines) + '\n'


def _seconds(text: str) -> int:
    moment = moment_of(text)
    return int(moment.timestamp()) if moment else 0


# -- Markdown --------------------------------------------------------------------------------------------------------------

def _md(text: Any) -> str:
    """TEXT from a disk inside a line or a cell of Markdown: nothing of it is markup."""
    return re.sub(r'([\\`*_\[\]<>#|~])', r'\\\1', one_line(text))


def as_markdown(report: dict[str, Any], limit: int = 10) -> str:
    """Short, for a chat or a mail."""
    totals = report['totals']
    counts = totals['findings']
    lines = [f'# {_md(report["title"])}', '', headline(report) + '.', '',
             f'{counts["critical"]} critical, {counts["warning"]} warning, {counts["info"]} info'
             + (f', {counts["suppressed"]} suppressed' if counts['suppressed'] else '') + f'. {report["generated"]}.']
    missing = [record for record in report['hosts'] if not record.get('totals')]
    if missing:
        lines += ['', f'**Not audited: {len(missing)} of {totals["hosts"]} hosts**', '']
        lines += [f'- {_md(record["host"])}: {reports.STATE_TEXTS[record["state"]]}' + (f' ({_md(record["message"])})' if record.get('message') else '')
                  for record in missing[:limit]]
        if len(missing) > limit:
            lines.append(f'- and {len(missing) - limit} more')
    failed = [(record['host'], one) for record in report['hosts'] for one in reports.failed_rules(record)]
    if failed:
        lines += ['', f'**Rules that failed: {len(failed)}**', '']
        lines += [f'- {_md(host)}: {_md(one["message"])} {_md(one["consequence"])}' for host, one in failed[:limit]]
        if len(failed) > limit:
            lines.append(f'- and {len(failed) - limit} more')
    worst = [record for record in report['hosts'] if record.get('totals') and (record['totals']['at_risk_bytes'] or record['totals']['findings']['critical'])]
    if worst:
        lines += ['', '| host | state | critical | warning | held by no volume |', '|---|---|---:|---:|---:|']
        lines += [f'| {_md(record["host"])} | {reports.STATE_TEXTS[record["state"]]} | {record["totals"]["findings"]["critical"]} | '
                  f'{record["totals"]["findings"]["warning"]} | {human(record["totals"]["at_risk_bytes"])} |' for record in worst[:limit]]
    critical = [(record['host'], one) for record in report['hosts'] for one in record['findings']
                if one['severity'] == 'critical' and 'suppressed' not in one and one['code'] != rules_of.RULE_FAILED]
    critical.sort(key=lambda one: -(one[1]['bytes'] or 0))
    if critical:
        lines += ['', f'**Critical{"" if len(critical) <= limit else f", the largest {limit} of {len(critical)}"}**', '']
        lines += [f'- {_md(host)}: {_md(one["message"])} {_md(one["consequence"])}' for host, one in critical[:limit]]
    return '\n'.join(lines) + '\n'


def headline(report: dict[str, Any]) -> str:
    totals = report['totals']
    audited = totals['hosts_audited']
    if not audited:
        return f'None of {totals["hosts"]:,} hosts could be audited' if totals['hosts'] else 'No host was audited'
    number = totals['databases_at_risk']
    text = f'{human(totals["at_risk_bytes"])} of data on {audited:,} audited host{"" if audited == 1 else "s"} is held by no volume'
    return text + (f', including {number:,} database{"" if number == 1 else "s"}' if number else '')
