# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one page that needs nothing else: style, script and rows are in it, charts are inline SVG.

Figures and charts are made here and work without JavaScript; the script of report_page/ draws the tables from the
rows, which are compressed when they are many. Numbers come from reports.fleet(); nothing is counted here.
"""
from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
from typing import Any

from . import findings as rules_of, reports, reports_text
from .records import moment_of, one_line

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'report_page')
PLAIN_UP_TO = 400_000                   # bytes of rows that stay readable in the page's source
BARS = 10
TILES = 32
human = rules_of.human_bytes


def _asset(name: str) -> str:
    with open(os.path.join(HERE, name), encoding='utf-8') as stream:
        return stream.read()


def esc(text: Any) -> str:
    return html.escape(one_line(text), quote=True)


def as_html(report: dict[str, Any]) -> str:
    script = '\n' + _asset('script.js')
    digest = base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')
    parts = {
        'title': esc(report['title']), 'generated': esc(_moment_text(report['generated'])), 'style': _asset('style.css'),
        'headline': esc(reports_text.headline(report)), 'figures': _figures(report), 'missing': _missing(report) + _failed_rules(report),
        'charts': _charts(report), 'data': _data(rows_of(report)), 'script': script, 'script_hash': 'sha256-' + digest,
    }
    return re.sub(r'@@([a-z_]+)@@', lambda found: parts[found.group(1)], _asset('page.html'))


def _moment_text(text: str) -> str:
    return text[:10] + ' ' + text[11:16] + ' UTC'


# -- figures -------------------------------------------------------------------------------------------------------------

def _figures(report: dict[str, Any]) -> str:
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
    figures.append(('Hosts audited', f'{totals["hosts_audited"]:,} of {totals["hosts"]:,}',
                    f'{totals["containers"]:,} containers' + (f'; {dead:,} with a dead dockerd' if dead else ''), False))
    return '<dl class="figures">' + ''.join(
        f'<div><dt>{esc(title)}</dt><dd{" class=bad" if bad else ""}>{esc(value)}<span class="note">{esc(note)}</span></dd></div>'
        for title, value, note, bad in figures) + '</dl>'


def _missing(report: dict[str, Any]) -> str:
    records = [record for record in report['hosts'] if not record.get('totals')]
    if not records:
        return ''
    lines = []
    for state in reports.NOT_AUDITED:
        names = [record for record in records if record['state'] == state]
        if not names:
            continue
        shown = ', '.join(f'<span title="{esc(one.get("message") or "")}">{esc(one["host"])}</span>' for one in names[:8])
        if len(names) > 8:
            rest = ', '.join(esc(one['host']) for one in names[8:])
            shown = f'<details><summary>{shown} and {len(names) - 8:,} more</summary>{rest}</details>'
        lines.append(f'<li><b>{len(names):,} {esc(reports.STATE_TEXTS[state])}</b><span class="hosts">{shown}</span></li>')
    number = len(records)
    return (f'<section class="missing" aria-label="Not audited"><h2>{number:,} host{"" if number == 1 else "s"} could not be audited</h2>'
            f'<p>Nothing is known about {"its" if number == 1 else "their"} data; no number on this page includes {"it" if number == 1 else "them"}.</p>'
            f'<ul>{"".join(lines)}</ul></section>')


def _failed_rules(report: dict[str, Any]) -> str:
    """Rules that failed, with the hosts on which they did."""
    by_rule: dict[str, list[tuple[str, str]]] = {}
    for record in report['hosts']:
        for one in reports.failed_rules(record):
            by_rule.setdefault(one['rule'], []).append((record['host'], one['message']))
    if not by_rule:
        return ''
    lines = []
    for rule, places in sorted(by_rule.items()):
        shown = ', '.join(f'<span title="{esc(message)}">{esc(host)}</span>' for host, message in places[:8])
        more = f' and {len(places) - 8:,} more' if len(places) > 8 else ''
        lines.append(f'<li><b>{esc(rule)}</b><span class="hosts">{shown}{more}</span></li>')
    number = len(by_rule)
    return (f'<section class="missing" aria-label="Failed rules"><h2>{number:,} rule{"" if number == 1 else "s"} failed</h2>'
            f'<p>What {"it looks" if number == 1 else "they look"} for is not known on these hosts; the findings RULE_FAILED say why.</p>'
            f'<ul>{"".join(lines)}</ul></section>')


# -- charts ----------------------------------------------------------------------------------------------------------------

def _charts(report: dict[str, Any]) -> str:
    hosts = [record for record in report['hosts'] if record.get('totals') and record['totals']['at_risk_bytes']]
    hosts.sort(key=lambda record: (-record['totals']['at_risk_bytes'], str(record['host'])))
    by_host: list[tuple[str, int, str | None]] = [(record['host'], record['totals']['at_risk_bytes'], 'host:' + str(record['host'])) for record in hosts[:BARS]]
    rest = sum(record['totals']['at_risk_bytes'] for record in hosts[BARS:])
    if rest:
        by_host.append((f'{len(hosts) - BARS:,} other hosts', rest, None))
    engines = [(key, entry) for key, entry in report['engines'].items() if entry['at_risk_bytes'] and key != 'other']
    by_engine: list[tuple[str, int, str | None]] = [
        (f'{entry["title"]} ({entry["at_risk"]:,})' if entry['at_risk'] else entry['title'], entry['at_risk_bytes'], entry['title'])
                 for dummy, entry in engines[:BARS]]
    rest = sum(entry['at_risk_bytes'] for dummy, entry in engines[BARS:])
    if rest:
        by_engine.append((f'{len(engines) - BARS} other engines', rest, None))
    other = report['engines'].get('other', {}).get('at_risk_bytes')
    if other:
        by_engine.append(('no database: other files', other, None))
    charts = [_bars('By host', 'bytes held by no volume', by_host), _bars('By kind of data', 'bytes held by no volume', by_engine)]
    tiles = _tiles(report)
    if tiles:
        charts.append(_map(tiles))
    if report['trend']:
        charts.append(_trend(report))
    return ''.join(charts)


def _bars(title: str, about: str, items: list[tuple[str, int, str | None]]) -> str:
    if not items:
        return f'<div><h2>{esc(title)}</h2><p class="quiet">Nothing is held by no volume.</p></div>'
    most = max((size for dummy, size, show in items if show), default=1)
    lines = []
    for name, size, show in items:
        label = f'<button type="button" class="what" data-show="{esc(show)}" title="{esc(name)}">{esc(name)}</button>' if show \
            else f'<span class="what quiet">{esc(name)}</span>'
        width = max(size / most * 100, 0.6)
        # pylint: disable-next=disallowed-name
        bar = f'<rect class="track" width="100%" height="100%" rx="2"/><rect class="fill" width="{width:.1f}%" height="100%" rx="2"/>'
        lines.append(f'<li>{label}<svg role="img" aria-label="{esc(human(size))}">{bar if show else ""}</svg>'
                     f'<span class="much">{esc(human(size))}</span></li>')
    return f'<div><h2>{esc(title)}</h2><p class="quiet">{esc(about)}</p><ul class="bars">{"".join(lines)}</ul></div>'


def _tiles(report: dict[str, Any]) -> list[tuple[str, str, int, bool, str]]:
    """(name, host, bytes, holds a database, table that has it) of the largest places."""
    found = []
    for record in report['hosts']:
        for table, row in [('containers', row) for row in record['containers']] + [('volumes', row) for row in record['volumes'] + record['layers']]:
            if row['at_risk_bytes']:
                name = str(row.get('name') or row.get('path'))
                database = any(one['kind'] == 'database' and one['where'] in ('writable', 'volume') for one in row['databases'])
                found.append((name[:12] if re.match(r'[0-9a-f]{64}\Z', name) else name, str(record['host']), row['at_risk_bytes'], database, table))
    found.sort(key=lambda one: (-one[2], one[0], one[1]))
    return found[:TILES]


def squarify(sizes: list[float], x: float, y: float, width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles of SIZES (descending) that fill the area, as square as they get (Bruls, Huizing, van Wijk 2000)."""
    total = sum(sizes)
    if not sizes or total <= 0:
        return []
    scale = width * height / total
    areas = [size * scale for size in sizes]
    placed = []
    at = 0
    while at < len(areas):
        side = min(width, height)
        row = [areas[at]]
        best = _worst(row, side)
        while at + len(row) < len(areas):
            wider = _worst(row + [areas[at + len(row)]], side)
            if wider > best:
                break
            row.append(areas[at + len(row)])
            best = wider
        thick = sum(row) / side if side else 0
        offset = 0.0
        for area in row:
            long = area / thick if thick else 0
            placed.append((x, y + offset, thick, long) if width >= height else (x + offset, y, long, thick))
            offset += long
        if width >= height:
            x, width = x + thick, max(width - thick, 0)
        else:
            y, height = y + thick, max(height - thick, 0)
        at += len(row)
    return placed


def _worst(row: list[float], side: float) -> float:
    total = sum(row)
    if not total or not side:
        return float('inf')
    return max(side * side * max(row) / total ** 2, total ** 2 / (side * side * min(row)) if min(row) else float('inf'))


def _map(tiles: list[tuple[str, str, int, bool, str]]) -> str:
    drawn = ''.join(_draw_map(tiles, name, width, height) for name, width, height in (('flat', 1000, 340), ('tall', 360, 440)))
    return (f'<div class="wide"><h2>Largest places</h2><p class="quiet">containers, anonymous and unused volumes, by bytes held by no volume</p>{drawn}'
            '<p class="key"><span><i class="db"></i>holds a database</span><span><i></i>other files</span></p></div>')


def _draw_map(tiles: list[tuple[str, str, int, bool, str]], kind: str, width: int, height: int) -> str:
    parts = []
    boxes = squarify([float(tile[2]) for tile in tiles], 0, 0, width, height)
    for (name, host, size, database, table), (x, y, w, h) in zip(tiles, boxes):
        letters = int((w - 14) / 7)
        text = ''
        if letters >= 5 and h >= 22:
            text = f'<text x="{x + 8:.1f}" y="{y + 18:.1f}">{esc(_short(one_line(name), letters))}</text>'
            if h >= 52:
                text += f'<text class="size" x="{x + 8:.1f}" y="{y + 34:.1f}">{esc(_short(human(size), letters))}</text>'
            if h >= 70 and letters >= 8:
                text += f'<text class="size" x="{x + 8:.1f}" y="{y + 50:.1f}">{esc(_short(one_line(host), letters))}</text>'
        show = esc(f'{name} host:{host}')
        parts.append(f'<g{" class=db" if database else ""} data-show="{show}" data-table="{table}">'
                     f'<title>{esc(name)} on {esc(host)}: {esc(human(size))}</title>'
                     f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>{text}</g>')
    return f'<svg class="map {kind}" viewBox="0 0 {width} {height}" role="img" aria-label="Treemap of the largest places">{"".join(parts)}</svg>'


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[:max(letters - 1, 1)] + '…'


def _trend(report: dict[str, Any]) -> str:
    totals = report['totals']
    points = report['trend'] + [{'generated': report['generated'], 'at_risk_bytes': totals['at_risk_bytes'], 'critical': totals['findings']['critical']}]
    charts = ''.join(_line(points, key, title, show) for key, title, show in (
        ('at_risk_bytes', 'Held by no volume', human), ('critical', 'Critical findings', lambda value: f'{value:,}')))
    return f'<div class="wide"><h2>Trend</h2><p class="quiet">{len(points)} reports</p><div class="trend">{charts}</div></div>'


def _line(points: list[dict[str, Any]], key: str, title: str, show: Any) -> str:
    """Points by their time, zero at the bottom."""
    moments = [moment_of(point['generated']) for point in points]
    seconds = [moment.timestamp() if moment else 0.0 for moment in moments]
    span = (seconds[-1] - seconds[0]) or 1.0
    most = max(point[key] for point in points) or 1
    places = [((at - seconds[0]) / span * 100, 40 - point[key] / most * 38) for at, point in zip(seconds, points)]
    line = ' '.join(f'{x:.2f},{y:.2f}' for x, y in places)
    first, last, highest = (esc(show(value)) for value in (points[0][key], points[-1][key], max(point[key] for point in points)))
    return (f'<figure><figcaption>{esc(title)}<span>now <b>{last}</b>, highest {highest}</span></figcaption>'
            f'<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="{esc(title)}: from {first} to {last}">'
            f'<polygon points="0,40 {line} 100,40"/><polyline points="{line}"/></svg>'
            f'<div class="ends"><span>{esc(points[0]["generated"][:10])}</span><span>{esc(points[-1]["generated"][:10])}</span></div></figure>')


# -- rows --------------------------------------------------------------------------------------------------------------------

def rows_of(report: dict[str, Any]) -> dict[str, Any]:
    """What the script draws; script.js names the places of the arrays in its columns."""
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


def _data(rows: dict[str, Any]) -> str:
    raw = json.dumps(rows, separators=(',', ':'), ensure_ascii=True)
    if len(raw) <= PLAIN_UP_TO:
        # in a script element only these could end it or open a comment
        safe = raw.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
        return f'<script type="application/json" id="data">{safe}</script>'
    packed = base64.b64encode(gzip.compress(raw.encode('ascii'), 6, mtime=0)).decode('ascii')
    return f'<script type="text/plain" id="packed">{packed}</script>'
