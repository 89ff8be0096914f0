"""Every writer of the controller, fed with every control character: table, pages, JSON, CSV, Prometheus, Markdown, messages."""
from __future__ import annotations

import csv
import datetime
import html.parser
import io
import json
import re

import auditdata as data
import pytest
from hostiletext import IDS, NAMES, bad

from ansible_collections.lifeboat.docker.plugins.action import docker_data_rescue as action
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    records,
    reports,
    reports_html,
    reports_text,
    rescue_report,
    rescue_report_html,
)

NOW = datetime.datetime(2026, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
RULES = data.builtin_rules()


class Page(html.parser.HTMLParser):
    def __init__(self, page):
        html.parser.HTMLParser.__init__(self)
        self.tags, self.attributes, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data):
        self.text.append(data)


def rescued(name):
    """What a host says of a rescue."""
    problems = [{'code': code, 'severity': severity, 'object': name, 'message': 'M ' + name, 'next_step': 'N ' + name}
                for code, severity in (('WRITABLE_LAYER_LOST', 'critical'), ('NOT_INCLUDED', 'info'), (name, name))]
    bundle = {'name': name, 'kind': name, 'container': name, 'id': name, 'image': name, 'status': 'partial', 'changed': True, 'bytes': 5,
              'files': 1, 'path': '/srv/' + name, 'components': [{'name': 'volume:' + name, 'kind': 'volume', 'status': 'lost'}]}
    return {'bundles': [bundle, dict(bundle, status=name)], 'problems': problems,
            'summary': {'bundles': 2, 'written': 1, 'bytes': 5, 'problems': 3}}


def audited(name):
    """The fleet's report on a host of which everything is called NAME."""
    labels = {'com.docker.compose.project': name, 'com.docker.compose.service': name}
    problem = {'code': 'NAME_CONFLICT', 'severity': 'warning', 'object': name, 'message': 'M ' + name, 'next_step': 'N ' + name}
    container = data.container(name, 5000, databases=[data.database(engine=name, title=name, version=name, path='/' + name)], labels=labels,
                               image={'id': name, 'reference': name}, problems=[problem], status=name, image_volumes=['/' + name],
                               mounts=[data.mount(name, '/' + name, True)],
                               state={'status': name, 'running': True, 'exit_code': 0, 'dead': True})
    content = data.facts([container], [data.volume(name, 900, used_by=(), labels=labels, databases=[data.database(title=name)])],
                         [{'path': '/x/' + name, 'image': {'reference': name}, 'usage': data.usage(7), 'databases': []}])
    ignore = [{'code': 'ANON_VOLUME', 'reason': name, 'until': '2099-01-01'}]
    made = [reports.host_record(data.result(content), RULES, name, ignore, now=NOW),
            reports.host_record({'failed': True, 'msg': name}, RULES, 'failed', now=NOW),
            reports.host_record({'unreachable': True, 'msg': name}, RULES, 'away', now=NOW)]
    return reports.fleet(made, [], NOW, title=name)


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_the_table(name):
    for width in (None, 60, 200):
        result = rescued(name)
        result['bundles'][1]['status'] = 'lost'
        text = action._table(name, result, width)
        lines = text.split('\n')
        assert bad(text, '\n') == [] and all(line.startswith('[%s]' % show(name)) for line in lines)
        if width is None:
            assert len(lines) == 8      # heads, two bundles, three problems, the sums, what stays behind


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_messages(name):
    assert bad(records.one_line(name)) == [] and bad(records.one_line([name])) == []
    assert bad(records.failure({'msg': name}, 'nothing')) == []


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_the_report_of_a_rescue(name):
    record = rescue_report.host_record(rescued(name), name, {'dest': '/srv/' + name}, NOW, NOW)
    report = rescue_report.fleet([record], [name + '2'], NOW, title=name)
    page = rescue_report_html.as_html(report)
    assert bad(page.replace('\n', '')) == []
    found = Page(page)
    assert set(found.tags) <= {'html', 'head', 'meta', 'link', 'title', 'style', 'body', 'header', 'div', 'h1', 'h2', 'dl', 'dt', 'dd', 'main', 'p',
                               'table', 'thead', 'tbody', 'tr', 'th', 'td', 'span', 'details', 'summary', 'code', 'footer'}
    assert {key for key, dummy in found.attributes} <= {'lang', 'charset', 'http-equiv', 'content', 'name', 'rel', 'href', 'class', 'id',
                                                        'scope', 'open'}
    assert page.count('\n') == rescue_report_html.as_html(rescue_report.fleet([rescue_report.host_record(
        rescued('web'), 'one', {'dest': '/srv'}, NOW, NOW)], ['two'], NOW)).count('\n')
    text = rescue_report.as_json(report)
    assert bad(text, '\n') == [] and json.loads(text)['totals'] == report['totals']
    assert bad(rescue_report.headline(report)) == []


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_the_reports_of_an_audit(name):
    report = audited(name)
    page = reports_html.as_html(report)
    assert bad(page, '\n') == []
    found = Page(page)
    assert found.tags.count('script') == 2 and 'img' not in found.tags
    assert not [key for key, dummy in found.attributes if key.startswith('on')]
    rows = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))
    cells = [cell for table in ('findings', 'containers', 'volumes') for row in rows[table] for cell in row if isinstance(cell, str)]
    assert len(cells) > 20 and sorted({char for cell in cells for char in bad(cell, '\n')}) == []
    text = reports_text.as_json(report)
    assert bad(text, '\n') == []
    for form in (reports_text.as_prom, reports_text.as_markdown):
        assert bad(form(report), '\n') == []
        assert form(report).count('\n') == form(audited('web')).count('\n')


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_no_cell_of_the_csv_is_a_formula(name):
    text = reports_text.as_csv(audited(name))
    assert bad(text, '\r\n') == []
    table = list(csv.reader(io.StringIO(text, newline='')))
    assert len(table) == 7 and {len(row) for row in table} == {len(reports_text.COLUMNS)}
    assert [cell for row in table for cell in row if re.match(r'\s*[=+\-@\t\r|%\uff1d\uff0b\uff0d\uff20]', cell)] == []


def test_prometheus_takes_every_line():
    for line in reports_text.as_prom(audited(NAMES[0])).splitlines():
        assert re.match(r'(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="([^"\\\n]|\\["\\n])*"(,[a-z]+="([^"\\\n]|\\["\\n])*")*\})? [0-9.e+-]+)\Z', line), line
