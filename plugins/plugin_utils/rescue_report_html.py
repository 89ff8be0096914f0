"""The report of a rescue as one page: no script, nothing from elsewhere, light and dark, what is missing first.

The page is report_page/rescue.html.
"""
from __future__ import annotations

from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.progress import duration

from . import pages, rescue_report
from .sizes import human_bytes as human

SHADES = {'critical': 'lost', 'warning': 'partial'}


def _count(number: int, word: str) -> str:
    return f'{number:,} {word}' if number == 1 else f'{number:,} {word}s'


def as_html(report: dict[str, Any]) -> str:
    """The page of rescue_report.fleet()."""
    return pages.render('rescue.html', report=report, headline=rescue_report.headline(report), figures=_figures(report['totals']),
                        hosts=[_host(record) for record in report['hosts']], shades=SHADES)


def _figures(totals: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    lost = totals['lost'] + totals['unsupported']
    return [('Hosts', f'{totals["hosts"]:,}', '', False),
            ('Rescued completely', f'{totals["states"]["rescued"] - totals["hosts_left_behind"]:,}', '', False),
            ('Bundles', f'{totals["bundles"]:,}', '', False), ('Partial', f'{totals["partial"]:,}', '', False),
            ('Lost or unsupported', f'{lost:,}', '', lost > 0), ('Size', human(totals['bytes']), '', False)]


def _host(record: dict[str, Any]) -> dict[str, Any]:
    """What the page tells of one host."""
    order = {status: number for number, status in enumerate(rescue_report.STATUSES)}
    bundles = sorted(record['bundles'], key=lambda item: (order.get(item['status'], 0), str(item['name'])))
    notes = sum(item['severity'] == 'info' for item in record['problems'])
    summary = f'{record["host"]}: {_count(len(bundles), "bundle")}, {_count(len(record["problems"]) - notes, "problem")}'
    return {
        'name': record['host'], 'state': record['state'], 'text': rescue_report.state_text(record), 'bundles': bundles,
        'problems': record['problems'], 'complete': sum(item['status'] == 'complete' for item in bundles),
        'size': human(sum(item['bytes'] or 0 for item in bundles)), 'time': duration(record['duration_seconds']),
        'where': f'{record["dest"]} on the {"controller" if record["store_on"] == "controller" else "host"}' if record['dest'] else '',
        'summary': summary + (f', {_count(notes, "note")}' if notes else ''), 'undecided': (record.get('deployment') or {}).get('undecided') or []}
