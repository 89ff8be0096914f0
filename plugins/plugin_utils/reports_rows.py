"""The rows of the tables in the audit's page, as data: its script draws them, as text."""
from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from markupsafe import Markup

from . import findings as rules_of, reports
from .records import one_line

PLAIN_UP_TO = 400_000                   # bytes of rows that stay readable in the page's source


def rows_of(report: dict[str, Any]) -> dict[str, Any]:
    """What the script draws; audit.js names the places of the arrays in its columns."""
    codes = sorted({one['code'] for record in report['hosts'] for one in record['findings']})
    code_at = {code: index for index, code in enumerate(codes)}
    severity_at: dict[Any, int | None] = {name: index for index, name in enumerate(rules_of.SEVERITIES)}
    severity_at[None] = None
    hosts, found, containers, volumes = [], [], [], []
    for index, record in enumerate(report['hosts']):
        totals = record.get('totals') or {}
        counts = totals.get('findings') or {}
        hosts.append({
            'host': one_line(record['host']), 'state': record['state'], 'text': reports.STATE_TEXTS[record['state']], 'message': _shown(record.get('message')),
            'at_risk': totals.get('at_risk_bytes'), 'critical': counts.get('critical'), 'warning': counts.get('warning'),
            'containers': totals.get('containers'), 'volumes': totals.get('volume_bytes'), 'logs': totals.get('log_bytes'),
            'severity': next((at for name, at in severity_at.items() if name and counts.get(name)), None)})
        for one in record['findings']:
            suppressed = one.get('suppressed')
            until = f' (until {suppressed["until"]})' if suppressed and suppressed.get('until') else ''
            found.append([index, severity_at[one['severity']], code_at[one['code']], one_line(one['object']), one['bytes'], _shown(one['message']),
                          _lines(one['consequence']), _lines(one['remedy']), _lines(one['next_step']),
                          _shown(suppressed['reason'] + until) if suppressed else None])
        for row in record['containers']:
            containers.append([index, one_line(row['name']), _shown(row['image']), _shown(row['project']), _shown(row['state']),
                               row['data_bytes'] if row['counted'] else None, row['writable_bytes'], row['log_bytes'],
                               row['newest_mtime'], _labels(row), severity_at[row['severity']],
                               [code_at[code] for code in row['findings']], row['complete']])
        for row in record['volumes'] + record['layers']:
            kind = 'orphan layer' if 'path' in row else 'orphan' if row['orphan'] else 'anonymous' if row['anonymous'] else 'named'
            volumes.append([index, one_line(row.get('name') or row.get('path')), kind, row['bytes'] if row['counted'] else None, row['files'],
                            row['newest_mtime'], _labels(row), one_line(', '.join(row.get('used_by') or ())), severity_at[row['severity']],
                            [code_at[code] for code in row['findings']], row['complete']])
    return {'severities': list(rules_of.SEVERITIES), 'codes': codes, 'hosts': hosts, 'findings': found, 'containers': containers, 'volumes': volumes}


def _shown(value: Any) -> str | None:
    return None if value is None else one_line(value)


def _lines(text: str) -> str:
    """Of a rule: its author may have broken lines."""
    return '\n'.join(one_line(line) for line in text.split('\n'))


def _labels(row: dict[str, Any]) -> str:
    return one_line(', '.join(f'{one["label"]} ({one["where"]})' if one.get('where') not in (None, 'volume') else one['label']
                              for one in row['databases'][:5]))


def data_of(rows: dict[str, Any]) -> Markup:
    """The element that holds ROWS; compressed when they are many. Nothing of them can end it."""
    raw = json.dumps(rows, separators=(',', ':'), ensure_ascii=True)
    if len(raw) <= PLAIN_UP_TO:
        # in a script element only these could end it or open a comment
        safe = raw.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
        return Markup(f'<script type="application/json" id="data">{safe}</script>')         # noqa: S704
    packed = base64.b64encode(gzip.compress(raw.encode('ascii'), 6, mtime=0)).decode('ascii')
    return Markup(f'<script type="text/plain" id="packed">{packed}</script>')               # noqa: S704
