"""The same numbers in every form, states that stand apart, nothing hostile and nothing secret in any of them."""
from __future__ import annotations

import base64
import csv
import datetime
import gzip
import hashlib
import io
import json
import os
import re

import auditdata as data
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.filter.audit_host import audit_host
from ansible_collections.lifeboat.docker.plugins.filter.audit_report import audit_report
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    records,
    reports,
    reports_charts,
    reports_html,
    reports_rows,
    reports_store,
    reports_text,
)

RULES = data.builtin_rules()
EVIL = '=cmd|"/c calc"!A1;=2</script><img src=x onerror=alert(1)>\n@here'
ANON = 'cd' * 32


def record(host, result, **more):
    return reports.host_record(result, RULES, host, started='2026-06-01T11:59:50Z', now=more.pop('now', data.NOW), **more)


def fleet():
    """Seven hosts, each in another state."""
    db = data.container('db', 1288490189, databases=[data.database()])
    anonymous = data.container('cache', 0, mounts=[data.mount(ANON, '/data', True)], log={'driver': 'json-file', 'bytes': 700, 'max_size': None})
    volumes = [data.volume('held', 4000, used_by=[db['id']]), data.volume(ANON, 500, used_by=[anonymous['id']], anonymous=True),
               data.volume('spare', 30, used_by=(), databases=[data.database(where=None, path='/', size=30)])]
    layers = [{'path': '/var/lib/docker/overlay2/x/diff', 'image': {'reference': None}, 'usage': data.usage(7), 'databases': []}]
    return [
        record('alive', data.result(data.facts([db, anonymous], volumes, layers))),
        record('dead', data.result(data.facts([data.container('web', 20, usage=data.usage(20, 100, complete=False))], daemon='stopped'))),
        record('disk', data.result(data.facts([data.container()], daemon='unknown'))),
        record('bare', data.result({'roots': [], 'problems': [{'code': 'NO_DATA_ROOT', 'severity': 'critical'}]})),
        record('unmounted', data.result({'roots': [], 'problems': [{'code': 'DATA_ROOT_NOT_MOUNTED', 'severity': 'critical', 'message': 'Mount it.'}]})),
        record('gone', {'unreachable': True, 'msg': 'Task failed: No route\n to host'}),
        record('broken', {'failed': True, 'msg': 'Cannot read.', 'invocation': {'module_args': {'x': data.SECRET}}}),
        record(EVIL, data.result(data.facts([data.container(EVIL, 1288490198, databases=[data.database(title=EVIL, path=EVIL)], image={'reference': EVIL})],
                                            [data.volume(EVIL, 9, used_by=())]))),
    ]


@pytest.fixture(scope='module')
def report():
    return reports.fleet(fleet(), [], data.NOW)


def rows_of_page(page):
    plain = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    if plain:
        return json.loads(plain.group(1))
    packed = re.search(r'<script type="text/plain" id="packed">(.*?)</script>', page, re.DOTALL)
    return json.loads(gzip.decompress(base64.b64decode(packed.group(1))))


def metrics(text):
    return {line.rpartition(' ')[0]: float(line.rpartition(' ')[2]) for line in text.splitlines() if line and not line.startswith('#')}


def test_states():
    assert {one['host']: one['state'] for one in fleet() if one['host'] != EVIL} == {
        'alive': 'healthy', 'dead': 'daemon_dead', 'disk': 'offline', 'bare': 'no_docker', 'unmounted': 'failed', 'gone': 'unreachable', 'broken': 'failed'}


def test_a_host_that_was_not_audited_has_no_numbers_anywhere(report):
    for one in report['hosts']:
        assert (one['totals'] is None) == (one['state'] in reports.NOT_AUDITED)
    rows = {row['host']: row for row in csv.DictReader(io.StringIO(reports_text.as_csv(report))) if row['kind'] == 'host'}
    values = metrics(reports_text.as_prom(report))
    page = {one['host']: one for one in rows_of_page(reports_html.as_html(report))['hosts']}
    for host in ('bare', 'unmounted', 'gone', 'broken'):
        assert rows[host]['at_risk_bytes'] == rows[host]['bytes'] == rows[host]['log_bytes'] == '' and rows[host]['message']
        assert [name for name in values if f'host="{host}"' in name and '_bytes' in name] == []
        assert values[f'lifeboat_audit_host_success{{host="{host}"}}'] == 0
        assert page[host]['at_risk'] is None and page[host]['message']
    assert values['lifeboat_audit_host_state{host="gone",state="unreachable"}'] == 1
    assert rows['gone']['message'] == 'No route to host'
    assert rows['unmounted']['message'] == 'Mount it.'


def test_totals_of_a_host(report):
    totals = next(one for one in report['hosts'] if one['host'] == 'alive')['totals']
    assert totals['at_risk_bytes'] == 1288490189 + 500 + 30 + 7
    assert (totals['databases'], totals['databases_at_risk'], totals['database_at_risk_bytes']) == (2, 2, 1288490189 + 30)
    assert (totals['volume_bytes'], totals['anonymous_bytes'], totals['orphan_volume_bytes'], totals['orphan_layer_bytes']) == (4530, 500, 30, 7)
    assert totals['log_bytes'] == 710 and totals['containers'] == 2 and totals['containers_with_data'] == 1


def test_sums_of_the_fleet(report):
    totals = report['totals']
    assert totals['hosts'] == 8 and totals['hosts_audited'] == 4
    for key in reports.SUMS:
        assert totals[key] == sum(one['totals'][key] for one in report['hosts'] if one['totals'])
    assert sum(entry['at_risk_bytes'] for entry in report['engines'].values()) == totals['at_risk_bytes']
    assert report['engines']['other']['at_risk_bytes'] == 500 + 7 + 20 + 9 + 9


def test_the_same_numbers_in_every_form(report):
    document = json.loads(reports_text.as_json(report))
    assert document == json.loads(json.dumps(report))
    rows = list(csv.DictReader(io.StringIO(reports_text.as_csv(report))))
    page = rows_of_page(reports_html.as_html(report))
    values = metrics(reports_text.as_prom(report))
    for index, one in enumerate(report['hosts']):
        if not one['totals']:
            continue
        mine = [row for row in rows if row['host'] == reports_text.harmless(one['host'])]
        assert sum(int(row['at_risk_bytes']) for row in mine if row['kind'] != 'host') == one['totals']['at_risk_bytes']
        assert int(mine[0]['at_risk_bytes']) == one['totals']['at_risk_bytes'] == page['hosts'][index]['at_risk']
        assert values[f'lifeboat_audit_host_unheld_bytes{{host="{reports_text.label_value(one["host"])}"}}'] == one['totals']['at_risk_bytes']
        assert [row[5] for row in page['containers'] if row[0] == index] == [row['data_bytes'] for row in one['containers']] == [
            int(row['data_bytes']) for row in mine if row['kind'] == 'container']
        assert sorted(row[3] for row in page['volumes'] if row[0] == index) == sorted(
            int(row['bytes']) for row in mine if row['kind'] in ('volume', 'layer'))
        assert len([row for row in page['findings'] if row[0] == index]) == len(one['findings'])
    counts = report['totals']['findings']
    for at, severity in enumerate(('critical', 'warning', 'info')):
        assert values[f'lifeboat_audit_fleet_findings{{severity="{severity}"}}'] == counts[severity]
        assert len([row for row in page['findings'] if row[1] == at and row[9] is None]) == counts[severity]
    markdown = reports_text.as_markdown(report)
    assert f'{counts["critical"]} critical, {counts["warning"]} warning' in markdown
    for text in (markdown, reports_html.as_html(report)):
        assert '2.4 GiB of data on 4 audited hosts is held by no volume' in text


def test_a_rule_that_failed_on_one_host_shows_in_every_form():
    rules = RULES + [{'code': 'MINE', 'severity': 'info', 'query': "containers[?starts_with(driver, 'z')]", 'message': 'x'}]
    content = {name: data.facts([data.container(driver=driver, databases=[data.database()])]) for name, driver in (('bad', None), ('good', 'zfs'))}
    report = reports.fleet([reports.host_record(data.result(one), rules, name, now=data.NOW) for name, one in content.items()], [], data.NOW)
    bad, good = sorted(report['hosts'], key=lambda one: one['host'])
    sentence = 'Rule MINE failed on the facts of bad: starts_with() got null where it takes string.'
    assert bad['message'] == sentence and good['message'] is None
    assert [(one['totals']['failed_rules'], one['totals']['databases_at_risk'], one['state']) for one in (bad, good)] == [
        (1, 1, 'healthy'), (0, 1, 'healthy')]
    assert 'MINE' in {one['code'] for one in good['findings']} and 'MINE' not in {one['code'] for one in bad['findings']}
    assert report['totals']['failed_rules'] == reports.summary_of(report)['totals']['failed_rules'] == 1
    rows = {row['name']: row['message'] for row in csv.DictReader(io.StringIO(reports_text.as_csv(report))) if row['kind'] == 'host'}
    assert rows == {'bad': sentence, 'good': ''}
    values = metrics(reports_text.as_prom(report))
    assert values['lifeboat_audit_host_failed_rules{host="bad"}'] == values['lifeboat_audit_fleet_failed_rules'] == 1
    assert values['lifeboat_audit_host_failed_rules{host="good"}'] == 0
    assert '**Rules that failed: 1**' in reports_text.as_markdown(report) and 'starts\\_with() got null' in reports_text.as_markdown(report)
    page = reports_html.as_html(report)
    assert '1 rule failed' in page and sentence in [row[5] for row in rows_of_page(page)['findings']]
    assert rows_of_page(page)['hosts'][report['hosts'].index(bad)]['message'] == sentence


def test_no_values_of_the_environment_anywhere(report):
    for form in (reports_text.as_json, reports_text.as_csv, reports_text.as_prom, reports_text.as_markdown):
        assert data.SECRET not in form(report)
    assert data.SECRET not in json.dumps(rows_of_page(reports_html.as_html(report)))
    assert data.SECRET not in reports_html.as_html(report)


# -- hostile names -----------------------------------------------------------------------------------------------------------

def test_no_cell_is_a_formula(report):
    for row in csv.reader(io.StringIO(reports_text.as_csv(report))):
        for cell in row:
            assert not cell.startswith(('=', '+', '-', '@', '\t', '\r', '|', '%')), cell
            assert '\n' not in cell
    assert [reports_text.harmless(text) for text in ('=1', '+1', '-1', '@x', ' =1', '\t=1', 'x=1')] == ["'=1", "'+1", "'-1", "'@x", "' =1", '\\t=1', 'x=1']
    assert reports_text.harmless(5) == 5
    # split at semicolons, as where the comma is the decimal sign
    assert [reports_text.harmless(text) for text in ('x;=1', '; @x;-1', 'x";"=1', 'a; b; c')] == ["x;'=1", ";' @x;'-1", 'x";\'"=1', 'a; b; c']
    for row in csv.reader(io.StringIO(reports_text.as_csv(report)), delimiter=';'):
        assert not [cell for cell in row if cell.lstrip()[:1] in ('=', '+', '-', '@', '|', '%')], row


def test_names_are_no_markup_in_the_page(report):
    page = reports_html.as_html(report)
    assert page.count('</script>') == len(re.findall(r'<script[ >]', page)) == 2
    assert '<img' not in page
    rows = rows_of_page(page)
    assert any(EVIL.replace('\n', '\\n') == row[1] for row in rows['containers'])


def test_large_pages_are_packed_and_hold_the_same(report, monkeypatch):
    plain = rows_of_page(reports_html.as_html(report))
    monkeypatch.setattr(reports_rows, 'PLAIN_UP_TO', 10)
    packed = reports_html.as_html(report)
    assert 'id="packed"' in packed and 'onerror' not in packed.split('</main>')[1]
    assert rows_of_page(packed) == plain


def test_the_page_needs_nothing_else(report):
    page = reports_html.as_html(report)
    script = re.search(r'<script>(.*)</script>', page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page.split('id="data"')[0])
    assert 'http' not in re.sub(r'http-equiv|https://www\.gnu\.org\S*', '', page.split('id="data"')[0])
    assert '@@' not in page


def test_labels_of_metrics_are_escaped(report):
    lines = reports_text.as_prom(report).splitlines()
    pattern = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*")*\})? \d+(\.\d+)?\Z')
    for line in lines:
        assert line.startswith('#') or pattern.match(line), line
    names = [line.split()[2] for line in lines if line.startswith('# TYPE')]
    assert len(names) == len(set(names)) and len(names) > 10


def test_names_are_no_markup_in_markdown(report):
    markdown = reports_text.as_markdown(report)
    assert '<img' not in re.sub(r'\\<', '', markdown)
    table = [line for line in markdown.splitlines() if line.startswith('|')]
    assert {len(re.findall(r'(?<!\\)\|', line)) for line in table} == {6}


# -- edges ---------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('records', [[], [record('gone', {'unreachable': True})]])
def test_nothing_audited_is_said(records):
    report = reports.fleet(records, [], data.NOW)
    page = reports_html.as_html(report)
    assert 'host' in reports_text.headline(report) and '0 B of data' not in page
    assert 'Nothing was found' not in page      # nobody looked
    for form in (reports_text.as_json, reports_text.as_csv, reports_text.as_prom, reports_text.as_markdown):
        assert form(report)


def test_what_was_not_counted_is_not_zero():
    one = data.container()
    del one['usage']
    report = reports.fleet([record('h', data.result(data.facts([one])))], [], data.NOW)
    row = list(csv.DictReader(io.StringIO(reports_text.as_csv(report))))[1]
    assert row['bytes'] == row['at_risk_bytes'] == ''
    assert rows_of_page(reports_html.as_html(report))['containers'][0][5] is None


def test_suppressed_findings_do_not_count():
    content = data.result(data.facts([data.container(data=5, auto_remove=True, labels={'lifeboat.audit.ignore': 'AUTOREMOVE'})]))
    one = record('h', content)
    assert one['totals']['findings'] == {'critical': 0, 'warning': 0, 'info': 0, 'suppressed': 1}
    assert one['containers'][0]['severity'] is None and one['containers'][0]['findings'] == []
    report = reports.fleet([one], [], data.NOW)
    assert rows_of_page(reports_html.as_html(report))['findings'][0][9] == 'label lifeboat.audit.ignore'


def test_worst_hosts_first_and_those_not_audited_before_all(report):
    hosts = [one['host'] for one in report['hosts']]
    assert set(hosts[:4]) == {'gone', 'broken', 'bare', 'unmounted'} and hosts[4] == 'alive'


def test_treemap_fills_its_area():
    boxes = reports_charts.squarify([50.0, 30.0, 10.0, 5.0, 5.0], 0, 0, 200, 100)
    assert sum(w * h for x, y, w, h in boxes) == pytest.approx(200 * 100)
    assert all(x >= -1e-9 and y >= -1e-9 and x + w <= 200 + 1e-6 and y + h <= 100 + 1e-6 for x, y, w, h in boxes)
    assert boxes[0][2] * boxes[0][3] == pytest.approx(10000)
    assert reports_charts.squarify([], 0, 0, 1, 1) == []


def test_a_wrong_rule_is_said_even_for_a_host_without_docker():
    with pytest.raises(AnsibleFilterError, match='BAD_ONE'):
        audit_host({'unreachable': True}, [{'code': 'BAD_ONE', 'severity': 'info', 'query': '[', 'message': 'x'}], 'h')


# -- the folder ------------------------------------------------------------------------------------------------------------------

def keep(folder, one, moment):
    where = folder / 'hosts' / records.folder_name(one['host'])
    where.mkdir(parents=True, exist_ok=True)
    (where / (records.stamp(moment) + '.json')).write_text(json.dumps(one))


def hours(number):
    return data.NOW - datetime.timedelta(hours=number)


def test_the_newest_record_of_each_host_counts(tmp_path):
    """Slices of a job write into one folder; the report has all of them."""
    for one in fleet():
        keep(tmp_path, dict(one, state='failed', totals=None), hours(3))
        keep(tmp_path, one, hours(1))
    keep(tmp_path, record('retired', {'unreachable': True}), hours(30))
    text = audit_report(str(tmp_path), 'json', now='2026-06-01T12:00:00Z')
    assert json.loads(text) == json.loads(reports_text.as_json(reports.fleet(fleet(), [], data.NOW)))
    assert audit_report(str(tmp_path), 'summary', now='2026-06-01T12:00:00Z', max_age_hours=48)['totals']['hosts'] == 9


def test_a_cut_record_falls_back_to_the_one_before(tmp_path):
    one = record('h', data.result(data.facts([data.container()])))
    keep(tmp_path, one, hours(2))
    (tmp_path / 'hosts' / 'h' / (records.stamp(hours(1)) + '.json')).write_text('{"schema": "lifeb')
    (tmp_path / 'hosts' / 'h' / 'notes.txt').write_text('x')
    assert [found['host'] for found in reports_store.collect(str(tmp_path), data.NOW, 24)] == ['h']
    assert reports_store.collect(str(tmp_path / 'none'), data.NOW, 24) == []


def test_trend_from_earlier_reports(tmp_path):
    keep(tmp_path, record('h', data.result(data.facts([data.container(data=5)]))), hours(1))
    (tmp_path / 'history').mkdir()
    for day in (1, 2):
        past = reports.fleet([record('h', data.result(data.facts([data.container(data=5 * day)])), now=hours(24 * day))], [], hours(24 * day))
        (tmp_path / 'history' / (records.stamp(hours(24 * day)) + '.json')).write_text(json.dumps(reports.summary_of(past) if day == 1 else past))
    (tmp_path / 'history' / '20260101T000000Z.json').write_text('[]')
    report = json.loads(audit_report(str(tmp_path), 'json', now='2026-06-01T12:00:00Z'))
    assert [point['at_risk_bytes'] for point in report['trend']] == [10, 5]
    assert 'Trend' in audit_report(str(tmp_path), 'html', now='2026-06-01T12:00:00Z')


def test_expiry_keeps_the_newest(tmp_path):
    for number in range(5):
        keep(tmp_path, record('h', {}), hours(number))
    expired = reports_store.expired(str(tmp_path), 2)
    assert sorted(os.path.basename(path) for path in expired) == sorted(records.stamp(hours(number)) + '.json' for number in (2, 3, 4))
    assert reports_store.expired(str(tmp_path), 0) == [] == reports_store.expired(str(tmp_path), 5)


@pytest.mark.parametrize('host', ['web.example.org', '../../etc', '.hidden', 'a/b', 'ü', '', 'a b', '[::1]', 'x' * 60])
def test_folder_names_stay_below_and_differ(host):
    name = records.folder_name(host)
    assert '/' not in name and not name.startswith('.') and name
    others = {records.folder_name(one) for one in ('a', 'a%2Fb', '%00')}
    assert name not in others


def test_unknown_forms_are_refused(tmp_path):
    with pytest.raises(AnsibleFilterError, match='pdf'):
        audit_report(str(tmp_path), 'pdf')


# -- the documented schema -----------------------------------------------------------------------------------------------------

TYPES = {'object': dict, 'array': list, 'string': str, 'integer': int, 'number': (int, float), 'boolean': bool, 'null': type(None)}


def mismatches(value, schema, where='report'):
    """What JSON Schema would say, for the keywords that docs/audit-report.schema.json uses."""
    if 'enum' in schema:
        return [] if value in schema['enum'] else [f'{where}: {value!r}']
    names = [schema['type']] if isinstance(schema['type'], str) else schema['type']
    if not any(isinstance(value, TYPES[name]) and (name == 'boolean' or not isinstance(value, bool)) for name in names):
        return [f'{where}: {value!r} is not {names}']
    found = []
    if isinstance(value, dict):
        found += [f'{where} lacks {key}' for key in schema.get('required', ()) if key not in value]
        rest = schema.get('additionalProperties', True)
        for key, item in value.items():
            inner = schema.get('properties', {}).get(key, rest)
            if inner is True:
                found.append(f'{where}.{key} is not documented')
            else:
                found += mismatches(item, inner, f'{where}.{key}')
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += mismatches(item, schema['items'], f'{where}[{number}]')
    elif isinstance(value, (int, float)) and value < schema.get('minimum', value):
        found.append(f'{where}: {value}')
    return found


def test_the_documented_schema_is_kept(tmp_path):
    with open(os.path.join(data.ROLE, '..', '..', 'docs', 'audit-report.schema.json'), encoding='utf-8') as stream:
        schema = json.load(stream)
    ignored = record('ignored', data.result(data.facts([data.container(auto_remove=True, labels={'lifeboat.audit.ignore': 'AUTOREMOVE'})])))
    past = reports.fleet(fleet(), [], hours(24))
    report = reports.fleet(fleet() + [ignored], [reports.summary_of(past)], data.NOW)
    assert mismatches(report, schema) == []
    assert mismatches(dict(report, totals=None), schema) and mismatches(dict(report, more=1), schema)
