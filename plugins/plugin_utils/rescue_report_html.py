# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a rescue as one page: no script, nothing from elsewhere, light and dark, what is missing first.

The page is report_page/rescue.html. Whatever the template prints is shown (one line, nothing hidden) and then escaped: names come
from the disks of dead hosts, and no place in it can forget that.
"""
from __future__ import annotations

import os
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.progress import duration, human
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show

from . import rescue_report

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'report_page')
SHADES = {'critical': 'lost', 'warning': 'partial'}


def _printed(value: Any) -> Any:
    """What an expression of the template becomes before it is escaped; Markup is the page's own."""
    return value if isinstance(value, Markup) else show(value)


def _asset(name: str) -> str:
    with open(os.path.join(HERE, name), encoding='utf-8') as stream:
        return stream.read()


def _count(number: int, word: str) -> str:
    return f'{number} {word}' if number == 1 else f'{number} {word}s'


def as_html(report: dict[str, Any]) -> str:
    """The page of rescue_report.fleet()."""
    totals = report['totals']
    figures = [('hosts', totals['hosts']), ('rescued completely', totals['states']['rescued'] - totals['hosts_left_behind']),
               ('bundles', totals['bundles']), ('partial', totals['partial']), ('lost or unsupported', totals['lost'] + totals['unsupported']),
               ('size', human(totals['bytes']))]
    environment = jinja2.Environment(autoescape=True, finalize=_printed, trim_blocks=True, keep_trailing_newline=True)
    environment.filters['human'] = lambda size: human(size or 0)
    return environment.from_string(_asset('rescue.html')).render(
        report=report, headline=rescue_report.headline(report), figures=figures, style=Markup(_asset('rescue.css')),  # noqa: S704
        hosts=[_host(record) for record in report['hosts']], shades=SHADES)


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
        'summary': summary + (f', {_count(notes, "note")}' if notes else '')}
