"""The report of a rescue: what was not rescued stands first, and names from hostile disks stay text."""
import datetime
import html.parser
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.plugin_utils import rescue_report, rescue_report_html

NOW = datetime.datetime(2026, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
EVIL = '<script>alert(1)</script>"\'\n\x1b[31m&'


def bundle(name, status='complete', **more):
    return dict({'name': name, 'kind': 'container', 'container': name.rpartition('-')[0], 'id': 'f' * 64, 'status': status, 'changed': True,
                 'bytes': 1000, 'files': 3, 'path': '/srv/' + name, 'image': 'nginx:1', 'components': []}, **more)


def result(*bundles, problems=()):
    return {'bundles': list(bundles), 'problems': list(problems), 'summary': {'bundles': len(bundles), 'bytes': 1000 * len(bundles)}}


def problem(name, severity='critical', message='It is gone.', step='Look elsewhere.'):
    return {'code': 'WRITABLE_LAYER_LOST', 'severity': severity, 'object': name, 'message': message, 'next_step': step}


def report(**hosts):
    records = [rescue_report.host_record(value, name, {'dest': '/srv'}, NOW, NOW) for name, value in hosts.items()]
    return rescue_report.fleet(records, list(hosts) + ['never'], NOW)


def whole():
    return report(good=result(bundle('web-1')), away={'unreachable': True, 'msg': 'no route'}, broken={'failed': True, 'msg': 'no space'},
                  part=result(bundle('db-2', 'partial'), bundle('app-3', 'lost'), problems=[
                      problem('db-2', 'info', 'A detail.'), problem('app', message='Its layer is gone.')]),
                  empty=result(problems=[problem('/', message='No data root.')]))


def test_what_is_missing_stands_first_with_why_and_what_next():
    missing = whole()['missing']
    assert [(row['host'], row['object'], row['status']) for row in missing] == [
        ('away', None, 'unreachable'), ('broken', None, 'failed'), ('empty', None, 'failed'), ('never', None, 'not_run'),
        ('part', 'app-3', 'lost'), ('part', 'db-2', 'partial')]
    assert missing[4]['message'] == 'Its layer is gone.' and all(row['message'] and row['next_step'] for row in missing)
    assert [record['host'] for record in whole()['hosts']][-1] == 'good'


def test_the_sums_agree():
    made = whole()
    assert made['totals']['hosts'] == sum(made['totals']['states'].values()) == 6
    assert made['totals']['bundles'] == sum(made['totals'][status] for status in rescue_report.STATUSES) == 3
    assert '1 of 6 hosts rescued completely' in rescue_report.headline(made)
    assert json.loads(rescue_report.as_json(made)) == made
    assert len(json.dumps(rescue_report.summary_of(made))) < 1000


def test_a_run_is_judged_by_its_own_hosts():
    everything = rescue_report.summary_of(whole())
    assert everything['run'] == {'hosts': 6, 'states': everything['states'], 'statuses': everything['statuses']}
    own = rescue_report.summary_of(whole(), ['good', 'part'])
    assert own['states'] == everything['states']
    assert {state: count for state, count in own['run']['states'].items() if count} == {'incomplete': 1, 'rescued': 1}
    assert own['run']['statuses'] == everything['statuses']
    assert sum(rescue_report.summary_of(whole(), ['away'])['run']['statuses'].values()) == 0


class Reader(html.parser.HTMLParser):
    def __init__(self):
        html.parser.HTMLParser.__init__(self)
        self.tags, self.attributes, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in ('meta', 'link', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_report_of_no_host_does_not_say_that_nothing_is_missing():
    page = rescue_report_html.as_html(rescue_report.fleet([], [], NOW))
    assert 'There is no record of a rescue.' in page and 'Nothing is missing' not in page


def test_the_page_is_self_contained_and_names_stay_text():
    made = report(good=result(bundle(EVIL, 'lost', image=EVIL, path=EVIL), problems=[problem(EVIL, message=EVIL, step=EVIL)]))
    made['hosts'][0]['host'] = EVIL
    reader = Reader()
    page = rescue_report_html.as_html(made)
    reader.feed(page)
    assert reader.open == [] and 'script' not in reader.tags
    assert not [value for name, value in reader.attributes if name in ('src', 'href') and not value.startswith(('data:', '#'))]
    assert not [name for name, dummy in reader.attributes if name.startswith('on')]
    assert '<script>alert(1)' in ''.join(reader.text) and '\x1b' not in page
    assert page.index('id="missing"') < page.index('id="hosts"') < page.index('id="bundles"')
    assert 'prefers-color-scheme: dark' in page


def test_what_include_leaves_out_is_a_note_and_no_alarm():
    note = dict(problem('web', 'info', 'The data of 1 mount of web are not in its bundle.'), code='NOT_INCLUDED')
    made = rescue_report.fleet([rescue_report.host_record(result(bundle('web-1'), problems=[note]), 'good', {}, NOW, NOW)], [], NOW)
    assert made['missing'] == [] and made['hosts'][0]['state'] == 'rescued' and made['hosts'][0]['problems'] == [note]
    page = rescue_report_html.as_html(made)
    assert 'Nothing is missing of what was asked for.' in page and '1 bundle, 0 problems, 1 note<' in page
    assert '<td class="">NOT_INCLUDED (note)</td>' in page and note['message'] in page
    # the headline says what stays, in the page and in the summary; the host is not rescued "completely"
    assert rescue_report.headline(made) == ('0 of 1 hosts rescued completely; not in the bundles and only on the host: '
                                            'data of mounts of 1 container')
    assert rescue_report.summary_of(made)['left_behind'] == {'containers': 1} and rescue_report.headline(made) in page
    assert 'id="left"' in page and 'everything was rescued' not in page
    # as the module counts it; whatever else a host sends is nothing
    counted = result(bundle('web-1'))
    counted['summary']['left_behind'] = {'binds': 2, 'volumes': 0, 'layers': 1, 'images': True, 'names': ['web: /srv\x1b at /srv'], 'x': 9}
    made = rescue_report.fleet([rescue_report.host_record(counted, 'good', {}, NOW, NOW)], [], NOW)
    assert made['totals']['left_behind'] == {'binds': 2, 'layers': 1} and rescue_report.headline(made).endswith(
        'only on the host: 2 bind mounts, 1 writable layer')
    assert made['left_behind'][0]['message'] == 'web: /srv\\x1b at /srv'
    assert [rescue_report.left_behind(value) for value in ({}, {'summary': {'left_behind': 3}}, {'summary': {'left_behind': {'binds': 'x'}}})] == [{}] * 3
    # of a bundle that lacks something it is not the reason
    made = rescue_report.fleet([rescue_report.host_record(result(bundle('web-1', 'partial'), problems=[note]), 'good', {}, NOW, NOW)], [], NOW)
    assert made['missing'][0]['message'] == 'See the manifest in its bundle.'
    assert '1 bundle, 2 problems<' in rescue_report_html.as_html(rescue_report.fleet([rescue_report.host_record(
        result(bundle('web-1', 'partial'), problems=[problem('web'), problem('x')]), 'good', {}, NOW, NOW)], [], NOW))


def test_the_reason_and_the_next_step_are_told():
    gone = dict(problem('data', message='Volume data is gone.'), code='VOLUME_LOST')
    parts = [{'name': 'writable', 'status': 'complete'}, {'name': 'volume:data', 'status': 'lost'}]
    made = report(one=result(bundle('web-1', 'partial', components=parts), problems=[gone]),
                  two=result(bundle('web-1', 'partial', components=parts)),
                  no=result(problems=[dict(problem('/', message='No data root.'), code='NO_DATA_ROOT', next_step='Mount it.')]))
    rows = {row['host']: row for row in made['missing']}
    assert rows['one']['message'] == 'Volume data is gone.' and rows['one']['next_step'] == 'Look elsewhere.'
    assert rows['two']['message'] == 'Incomplete: volume:data. The manifest in its bundle has the details.'
    assert (rows['no']['message'], rows['no']['next_step']) == ('No data root.', 'Mount it.')
    assert 'Mount it.' in rescue_report_html.as_html(made)


def test_the_reasons_of_a_bundle_are_its_own_whatever_is_cut_from_the_list_of_the_host():
    crowd = [problem('other-%d' % number) for number in range(300)]
    own = problem('mysql', 'warning', 'Three files could not be read.', 'Copy the disk.')
    note = dict(problem('db', 'info', 'Not asked for.'), code='NOT_INCLUDED')
    made = rescue_report.fleet([rescue_report.host_record(result(
        bundle('db-2', 'partial', problems=[note, own]), bundle('odd-3', 'partial', problems='none')), 'one', {}, NOW, NOW),
        rescue_report.host_record(result(bundle('db-2', 'partial', problems=[own]), problems=crowd), 'two', {}, NOW, NOW)], [], NOW)
    assert [(row['host'], row['message'], row['next_step']) for row in made['missing'] if row['object'] == 'db-2'] == [
        ('one', own['message'], own['next_step']), ('two', own['message'], own['next_step'])]
    assert json.loads(rescue_report.as_json(made))['hosts'][0]['bundles'][0]['problems'] == [note, own]
    page = rescue_report_html.as_html(made)
    assert own['message'] in page and page.index(own['message']) < page.index('id="hosts"')


def test_words_of_a_node_that_nobody_knows_promise_nothing():
    note = dict(problem('web', 'no such severity'), code='X' * 900)
    made = report(host=result(bundle('web-1', 'perfect'), problems=[note]))
    assert made['totals']['partial'] == 1 and made['hosts'][1]['state'] == 'incomplete'
    assert (made['hosts'][1]['problems'][0]['severity'], len(made['hosts'][1]['problems'][0]['code'])) == ('warning', 60)


def test_nobody_is_told_to_rescue_what_was_rescued():
    note = dict(problem('web', step='Rescue it before dockerd is started on this disk.'), code='REMOVED_AT_NEXT_START')
    for status, advised in (('complete', False), ('partial', True)):
        page = rescue_report_html.as_html(report(host=result(bundle('web-1', status), problems=[note])))
        assert ('Rescue it before' in page) is advised


def test_records_of_slices_merge_and_old_ones_do_not_count(tmp_path):
    early, late, old = NOW - datetime.timedelta(hours=3), NOW - datetime.timedelta(hours=1), NOW - datetime.timedelta(hours=30)
    for host, when, value in (('one', early, {'failed': True, 'msg': 'x'}), ('one', late, result(bundle('web-1'))), ('two', early, result()),
                              ('old', old, result(bundle('web-2'))), ('../../evil', late, result())):
        path = rescue_report.write_record(str(tmp_path / 'reports'), rescue_report.host_record(value, host, {}, when, when))
        assert os.path.realpath(path).startswith(str(tmp_path / 'reports')) and os.stat(path).st_mode & 0o777 == 0o600
    (tmp_path / 'reports' / 'rescues' / 'two' / '20260506T070000Z.json').write_text('{"cut')
    found = {record['host']: record['state'] for record in rescue_report.collect(str(tmp_path / 'reports'), NOW, 24)}
    assert found == {'one': 'rescued', 'two': 'rescued', '../../evil': 'rescued'}
    assert [name for dummy, dummy, names in os.walk(str(tmp_path)) for name in names if name.endswith('.new')] == []


@pytest.mark.parametrize('value', [None, {}, [], 'text', {'summary': 3}, {'bundles': None, 'summary': {}, 'problems': 'x'}])
def test_whatever_a_task_returned_is_a_record(value):
    record = rescue_report.host_record(value, 'h', None, NOW, NOW)
    assert record['state'] in rescue_report.STATES
    rescue_report_html.as_html(rescue_report.fleet([record], [], NOW))


def test_what_compose_would_change_stands_in_the_report():
    """Of all hosts in one table, on the page and in the JSON; what a host says there stays text."""
    row = {'project': 'shop', 'service': 'web', 'container': 'shop-web-1', 'what': 'image', 'name': '', 'file': 'nginx:2', 'ran': EVIL, 'evil': 1}
    said = {'deployments': 1, 'files': 2, 'differences': [row, 3, {'file': 5}], 'differences_total': 2, 'undecided': [EVIL, 3], 'undecided_total': 2,
            'left_out': 'x'}
    made = report(good=dict(result(bundle('web-1')), deployment=said), none=dict(result(bundle('web-1')), deployment=None), old=result(bundle('web-1')),
                  odd=dict(result(bundle('web-1')), deployment=[]))
    assert [(item['host'], item['file']) for item in made['differences']] == [('good', 'nginx:2'), ('good', '5')]
    assert set(made['differences'][0]) == {'host'} | set(rescue_report.DIFFERENCE)
    page = rescue_report_html.as_html(made)
    assert 'What Compose would change' in page and 'nginx:2' in page and '<script>alert' not in page and '\x1b' not in page
    assert 'What Compose would change' not in rescue_report_html.as_html(whole())


def test_the_original_files_alone_are_no_rescue():
    empty = report(one=result(bundle('deployment', kind='deployment'), problems=[problem('/', message='No data root.')]))
    assert [record['state'] for record in empty['hosts'] if record['host'] == 'one'] == ['failed']
