"""The report of a drill: a page (report_page/drill.html), JSON, and metrics for node_exporter's textfile collector."""
from __future__ import annotations

import json
from typing import Any

from . import drill, pages
from .records import moment_of
from .reports_text import label_value

MAX_FALLEN = 500                        # tables on the page; the JSON has all


def as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, sort_keys=True) + '\n'


def as_html(report: dict[str, Any]) -> str:
    totals = report['totals']
    bad = sum(totals['states'][name] for name in (drill.FAILED, drill.FALLEN, drill.NOT_DRILLED))
    figures = [('Hosts', f'{totals["hosts"]:,}', '', False), ('Proven', f'{totals["states"][drill.PROVEN]:,}', '', False),
               ('Not proven', f'{bad:,}', '', bad > 0), ('Dumps loaded', f'{totals["dumps"]:,}', '', False),
               ('Rows counted', f'{totals["rows"]:,}', '', False)]
    return pages.render('drill.html', report=report, headline=drill.headline(report), figures=figures, texts=drill.TEXTS,
                        rows=[(record, one) for record in report['hosts'] for one in record['containers']],
                        fallen=[(record['host'], one['container'], part, row) for record in report['hosts'] for one in record['containers']
                                for part in one['dumps'] for row in part['fallen']][:MAX_FALLEN])


def as_prom(report: dict[str, Any]) -> str:
    """Labels: host, state, container, dump - bounded by what was rescued. A host that was not drilled has its state and no numbers."""
    lines: list[str] = []

    def metric(name: str, text: str, samples: list[tuple[dict[str, Any], Any]]) -> None:
        full = 'lifeboat_drill_' + name
        if samples:
            lines.extend((f'# HELP {full} {text}', f'# TYPE {full} gauge'))
        for labels, value in samples:
            inner = ','.join(f'{key}="{label_value(item)}"' for key, item in labels.items())
            lines.append(f'{full}{"{" + inner + "}" if inner else ""} {value}')
    hosts = sorted(report['hosts'], key=lambda record: str(record['host']))
    parts = [(record['host'], one, part) for record in hosts for one in record['containers'] for part in one['dumps']]
    metric('report_timestamp_seconds', 'When the drill was.', [({}, _seconds(report['generated']))])
    metric('host_success', 'Whether everything of the host was loaded and has no fewer rows than before.',
           [({'host': record['host']}, int(record['status'] == drill.PROVEN)) for record in hosts])
    metric('host_state', 'Result of the host, 1 for the one it has.', [({'host': record['host'], 'state': record['status']}, 1) for record in hosts])
    metric('bundle_timestamp_seconds', 'When the bundle was written that was drilled.',
           [({'host': record['host'], 'container': one['container']}, _seconds(one['created'])) for record in hosts for one in record['containers']
            if one['created']])
    metric('dump_rows', 'Rows that were counted after a dump was loaded.', [
        ({'host': host, 'container': one['container'], 'dump': part['name']}, part['counted']) for host, one, part in parts])
    metric('dump_fallen_tables', 'Tables with fewer rows than in the last drill.', [
        ({'host': host, 'container': one['container'], 'dump': part['name']}, len(part['fallen'])) for host, one, part in parts])
    return '\n'.join(lines) + '\n'


def _seconds(text: str) -> int:
    moment = moment_of(text)
    return int(moment.timestamp()) if moment else 0
