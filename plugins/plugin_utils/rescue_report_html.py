# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a rescue as one page: no script, nothing from elsewhere, light and dark, what is missing first."""
from __future__ import annotations

import html
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.progress import duration, human
from ansible_collections.lifeboat.docker.plugins.module_utils.storage.model import show

from . import rescue_report

# title, whether it is a number
HOST_COLUMNS = (('Host', False), ('Result', False), ('Bundles', True), ('Complete', True), ('Size', True), ('Time', True), ('Where', False))
STYLE = """
:root { color-scheme: light dark; --bg: #fff; --panel: #f6f7f8; --ink: #16191d; --soft: #57616b; --line: #dfe3e7;
  --bad: #b3261e; --warn: #8a5200; --good: #1f6b3a; --accent: #1c5d99; }
@media (prefers-color-scheme: dark) { :root { --bg: #121518; --panel: #1a1e22; --ink: #e8ebee; --soft: #9da8b3; --line: #2a3037;
  --bad: #ff8f7d; --warn: #f2b750; --good: #7fcf9a; --accent: #78b0e6; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; font-variant-numeric: tabular-nums; }
header, main, footer { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 36px; color: var(--soft); }
h1 { color: var(--ink); font-size: clamp(24px, 3.6vw, 34px); line-height: 1.2; font-weight: 620; margin: 20px 0 24px; max-width: 30em; }
h2 { font-size: 18px; margin: 36px 0 8px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 0 24px; margin: 0; padding: 16px 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
dt { font-size: 14px; } dd { margin: 0; font-size: 24px; font-weight: 600; color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; color: var(--soft); padding: 4px 0; }
th { text-align: left; color: var(--soft); font-weight: 500; white-space: nowrap; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.n { padding-left: 10px; }
/* names may be long, but are not broken into letters to make room for sentences */
.missing td:nth-child(-n+2), .left td:nth-child(-n+2), .bundles td:first-child, .hosts td:first-child { max-width: 22em; min-width: 9em; }
.missing td:last-child, .left td:last-child { min-width: 22em; overflow-wrap: anywhere; }
.bundles td:nth-child(4), .bundles td:nth-child(5), .hosts td:last-child { max-width: 26em; overflow-wrap: anywhere; }
td[class] { white-space: nowrap; }
.lost, .unreachable, .failed, .not_run { color: var(--bad); font-weight: 600; }
.partial, .unsupported, .incomplete { color: var(--warn); font-weight: 600; }
.complete, .rescued { color: var(--good); }
.step { color: var(--soft); display: block; }
.none { color: var(--good); font-size: 16px; }
details { border-bottom: 1px solid var(--line); padding: 8px 0; } summary { cursor: pointer; }
details table { margin: 8px 0 4px; } code { font-size: 13px; }
footer { color: var(--soft); font-size: 14px; padding-top: 28px; padding-bottom: 40px; }
@media (max-width: 820px) {
  header, main, footer { padding-left: 16px; padding-right: 16px; }
  thead { display: none; }
  table, tbody, tr, td { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: 8px 0; }
  .wide table td { border: 0; padding: 1px 0; min-width: 0; max-width: none; text-align: left; overflow-wrap: anywhere; }
  td:first-child { font-weight: 600; }
  td:empty { display: none !important; }
  .hosts td.n { display: inline-block; padding-right: 14px !important; }
  .hosts td:nth-child(3)::before { content: "bundles "; color: var(--soft); }
  .hosts td:nth-child(4)::before { content: "complete "; color: var(--soft); }
}
@media print { details { break-inside: avoid; } }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>%(title)s</title>
<style>%(style)s</style>
</head>
<body>
<header><div>%(title)s &ensp; %(generated)s</div><h1>%(headline)s</h1>
<dl>%(figures)s</dl></header>
<main>
<h2 id="missing">Not rescued</h2>
%(missing)s
%(left)s<h2 id="hosts">Hosts</h2>
%(hosts)s
<h2 id="bundles">Bundles and problems</h2>
%(details)s
</main>
<footer><p>To check a bundle: <code>sha256sum -c SHA256SUMS</code> in its folder. README.txt there says how to restore it.
The same data are in rescue-report.json. Made by the Ansible collection lifeboat.docker.</p></footer>
</body>
</html>
"""


def _text(value: Any) -> str:
    """Names come from the disks of dead hosts: whatever is in them stays text, and on one line."""
    return html.escape(show(value))


def _table(name: str, heads: tuple[tuple[str, bool], ...], rows: list[str]) -> str:
    top = ''.join(f'<th scope="col"{" class=n" if right else ""}>{head}</th>' for head, right in heads)
    return f'<div class="wide"><table class="{name}"><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _count(number: int, word: str) -> str:
    return f'{number} {word}' if number == 1 else f'{number} {word}s'


def _why(message: Any, step: Any) -> str:
    return _text(message) + (f'<span class="step">{_text(step)}</span>' if step else '')


def as_html(report: dict[str, Any]) -> str:
    totals = report['totals']
    figures = [('hosts', totals['hosts']), ('rescued completely', totals['states']['rescued'] - totals['hosts_left_behind']), ('bundles', totals['bundles']),
               ('partial', totals['partial']), ('lost or unsupported', totals['lost'] + totals['unsupported']), ('size', human(totals['bytes']))]
    missing = [f'<tr><td>{_text(row["host"])}</td><td>{_text(row["object"]) or "the whole host"}</td>'
               f'<td class="{_text(row["status"])}">{_text(str(row["status"]).replace("_", " "))}</td>'
               f'<td>{_why(row["message"], row["next_step"])}</td></tr>' for row in report['missing']]
    left = [f'<tr><td>{_text(row["host"])}</td><td>{_text(row["object"])}</td><td>{_why(row["message"], row["next_step"])}</td></tr>'
            for row in report['left_behind']]
    return PAGE % {
        'title': _text(report['title']), 'generated': _text(report['generated']), 'headline': _text(rescue_report.headline(report)),
        'style': STYLE, 'figures': ''.join(f'<div><dt>{name}</dt><dd>{_text(value)}</dd></div>' for name, value in figures),
        'missing': _table('missing', (('Host', False), ('What', False), ('Status', False), ('Why, and what to do next', False)), missing)
        if missing else '<p class="none">Nothing is missing.</p>' if not totals['left_behind'] else
        '<p class="none">Nothing is missing of what was asked for.</p>',
        'left': '<h2 id="left">Not asked for, and still only on the host</h2>\n' + _table('left', (
            ('Host', False), ('What', False), ('Which data, and what to do next', False)), left) if left else '',
        'hosts': _table('hosts', HOST_COLUMNS, [_host_row(record) for record in report['hosts']]),
        'details': ''.join(_details(record) for record in report['hosts'] if record['bundles'] or record['problems'])}


def _host_row(record: dict[str, Any]) -> str:
    bundles = record['bundles']
    complete = sum(item['status'] == 'complete' for item in bundles)
    where = f'{_text(record["dest"])} on the {"controller" if record["store_on"] == "controller" else "host"}' if record['dest'] else ''
    return (f'<tr><td>{_text(record["host"])}</td><td class="{record["state"]}">{_text(rescue_report.state_text(record))}</td>'
            f'<td class=n>{len(bundles)}</td><td class=n>{complete}</td>'
            f'<td class=n>{human(sum(item["bytes"] or 0 for item in bundles))}</td>'
            f'<td class=n>{duration(record["duration_seconds"])}</td><td>{where}</td></tr>')


def _details(record: dict[str, Any]) -> str:
    order = {status: number for number, status in enumerate(rescue_report.STATUSES)}
    bundles = sorted(record['bundles'], key=lambda item: (order.get(item['status'], 0), str(item['name'])))
    rows = [f'<tr><td>{_text(item["name"])}</td><td class="{_text(item["status"])}">{_text(item["status"])}</td>'
            f'<td class=n>{human(item["bytes"] or 0)}</td><td>{_text(item["image"])}</td><td><code>{_text(item["path"])}</code></td></tr>'
            for item in bundles]
    shades = {'critical': 'lost', 'warning': 'partial'}
    problems = [f'<tr><td class="{shades.get(item["severity"], "")}">{_text(item["code"])}{" (note)" if item["severity"] == "info" else ""}</td>'
                f'<td>{_text(item["object"])}</td><td>{_why(item["message"], item["next_step"])}</td></tr>' for item in record['problems']]
    notes = sum(item['severity'] == 'info' for item in record['problems'])
    opened = ' open' if record['state'] != 'rescued' else ''
    text = f'<details{opened}><summary>{_text(record["host"])}: {_count(len(bundles), "bundle")}, {_count(len(problems) - notes, "problem")}'
    text += f', {_count(notes, "note")}</summary>' if notes else '</summary>'
    if rows:
        text += _table('bundles', (('Bundle', False), ('Status', False), ('Size', True), ('Image', False), ('Folder', False)), rows)
    if problems:
        text += _table('problems', (('Code', False), ('What', False), ('Why, and what to do next', False)), problems)
    return text + '</details>'
