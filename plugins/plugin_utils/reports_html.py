"""The report of an audit as one page that needs nothing else: style, script and rows are in it, charts are inline SVG.

The page is report_page/audit.html. Figures and charts work without JavaScript; its script draws the tables from the rows. Numbers
come from reports.fleet(); nothing is counted here.
"""
from __future__ import annotations

from typing import Any

from . import findings as rules_of, pages, reports, reports_charts, reports_rows, reports_text, sizes

human = sizes.human_bytes


def as_html(report: dict[str, Any]) -> str:
    """The page of reports.fleet()."""
    return pages.render(
        'audit.html', report=report, headline=reports_text.headline(report), figures=_figures(report),
        missing=_not_audited(report) + _failed_rules(report), bars=reports_charts.bars(report), maps=reports_charts.maps(report),
        trend=reports_charts.trend(report), severities=rules_of.SEVERITIES, data=reports_rows.data_of(reports_rows.rows_of(report)))


def _figures(report: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    totals = report['totals']
    counts = totals['findings']
    if totals['hosts_audited']:
        figures = [
            ('Held by no volume', human(totals['at_risk_bytes']),
             f'of {human(totals["writable_bytes"] + totals["volume_bytes"])} in layers and volumes', False),
            ('Databases in it', f'{totals["databases_at_risk"]:,}',
             f'{human(totals["database_at_risk_bytes"])}, of {totals["databases"]:,} databases', False),
            ('Critical findings', f'{counts["critical"]:,}', f'{counts["warning"]:,} warning, {counts["info"]:,} info'
             + (f', {counts["suppressed"]:,} suppressed' if counts['suppressed'] else ''), counts['critical'] > 0),
        ]
    else:
        figures = [(title, '–', 'no host was audited', False) for title in ('Held by no volume', 'Databases in it', 'Critical findings')]
    dead = totals['states']['daemon_dead']
    return figures + [('Hosts audited', f'{totals["hosts_audited"]:,} of {totals["hosts"]:,}',
                       f'{totals["containers"]:,} containers' + (f'; {dead:,} with a dead dockerd' if dead else ''), False)]


# What the page says of hosts and rules that gave no numbers: (label, title, sentence, [(why, [(host, message)])])
Missing = tuple[str, str, str, list[tuple[str, list[tuple[str, str]]]]]


def _not_audited(report: dict[str, Any]) -> list[Missing]:
    records = [record for record in report['hosts'] if not record.get('totals')]
    if not records:
        return []
    by_state = [(state, [(record['host'], record.get('message') or '') for record in records if record['state'] == state])
                for state in reports.NOT_AUDITED]
    many = len(records) > 1
    return [('Not audited', f'{len(records):,} host{"s" if many else ""} could not be audited',
             f'Nothing is known about {"their" if many else "its"} data; no number on this page includes {"them" if many else "it"}.',
             [(f'{len(hosts):,} {reports.STATE_TEXTS[state]}', hosts) for state, hosts in by_state if hosts])]


def _failed_rules(report: dict[str, Any]) -> list[Missing]:
    """Rules that failed, with the hosts on which they did."""
    by_rule: dict[str, list[tuple[str, str]]] = {}
    for record in report['hosts']:
        for one in reports.failed_rules(record):
            by_rule.setdefault(one['rule'], []).append((record['host'], one['message']))
    if not by_rule:
        return []
    many = len(by_rule) > 1
    return [('Failed rules', f'{len(by_rule):,} rule{"s" if many else ""} failed',
             f'What {"they look" if many else "it looks"} for is not known on these hosts; the findings RULE_FAILED say why.',
             sorted(by_rule.items()))]
