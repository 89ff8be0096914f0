"""The verdict of a drill: what is proven, what fell, what was not drilled, and that it is said again until somebody accepts it."""
import copy
import datetime
import os

import pytest
import yaml

from ansible_collections.lifeboat.docker.plugins.plugin_utils import drill, drill_report

NOW = datetime.datetime(2026, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4)


def bundle(host='dead1', name='db', created='2026-05-06T01:00:00Z', status='verified', dumps=('postgresql-1',), folder=None):
    return {'path': f'/srv/{host}/{folder or name + "-0123456789ab"}', 'kind': 'container', 'name': name, 'created': created, 'status': status,
            'components': [{'name': 'writable', 'kind': 'writable', 'file': 'writable.tar'}] + [
                {'name': 'dump:' + each, 'kind': 'dump', 'file': f'dump/{each}.sql'} for each in dumps]}


def tried(bundles, counts=None, **more):
    """Results of docker_data_restore of the candidates, with COUNTS in each dump."""
    found = []
    for one in drill.drilled(drill.candidates(bundles)):
        parts = [{'name': part['name'], 'engine': 'postgresql', 'version': '15', 'compared': len(counts or {}), 'counts': counts or {}}
                 for part in one['dumps']]
        found.append(dict({'item': one, 'nothing': False, 'dumps': parts}, **more))
    return found


def failed(msg):
    """As failed_when: false leaves it."""
    return {'failed': False, 'msg': msg, 'dumps': None, 'nothing': None}


def judge(bundles, counts=None, state=None, more=(), **options):
    return drill.judge(bundles, tried(bundles, counts, **dict(more)), state, NOW, **options)


def statuses(report):
    return [(one['host'], one['status']) for one in report['hosts']]


def test_what_was_loaded_and_counted_is_proven():
    report = judge([bundle(), bundle(created='2026-05-01T01:00:00Z', folder='db-0123456789ab.until-x')], {'t': 5})
    assert statuses(report) == [('dead1', 'proven')] and report['totals']['rows'] == 5 and report['totals']['proven'] == 1
    assert report['hosts'][0]['containers'][0]['path'].endswith('db-0123456789ab') and not drill.failures(report, drill.STATES[:-1])
    assert 'can be restored: 5 rows' in drill.headline(report)


@pytest.mark.parametrize('bundles, more, status', [
    ([bundle(status='damaged')], {}, 'failed'), ([bundle()], {'failed': True, 'msg': 'The dump was loaded, but its rows differ.'}, 'failed'),
    ([bundle(dumps=())], {}, 'not_drilled'), ([bundle()], {'dumps': []}, 'not_drilled'), ([bundle()], {'nothing': True}, 'failed')])
def test_what_is_not_loaded_is_no_success(bundles, more, status):
    report = judge(bundles, {'t': 5}, more=more.items())
    assert statuses(report) == [('dead1', status)] and drill.failures(report, ['failed', 'not_drilled']) and report['totals']['rows'] == 0


def test_two_containers_of_one_name_are_two():
    """Docker's and Podman's, or of two data roots: the newer one does not stand in for the other."""
    podman = dict(bundle(folder='db-ba9876543210', created='2026-05-01T02:00:00Z', status='damaged'), source={'recorded_path': '/var/lib/containers/storage'})
    docker = dict(bundle(created='2026-05-01T03:00:00Z'), source={'recorded_path': '/var/lib/docker', 'data_root': '/mnt/dead/var/lib/docker'})
    older = dict(bundle(folder='db-0123456789ab.until-x', created='2026-04-01T03:00:00Z'), source={'recorded_path': '/var/lib/docker', 'data_root': '/x'})
    report = judge([docker, podman, older], {'t': 5})
    assert statuses(report) == [('dead1', 'failed')]
    assert {(one['container'], one['status']) for one in report['hosts'][0]['containers']} == {
        ('db', 'failed'), ('db (/var/lib/docker)', 'proven')}
    assert set(drill.state_of(report, None)['hosts']['dead1']) == {'db (/var/lib/docker)'}


def test_nothing_at_all_is_a_failure():
    report = judge([])
    assert report['hosts'] == [] and drill.failures(report, ['failed']) == ['Nothing was drilled: no dump of any bundle was loaded.']
    assert drill.failures(report, []) == [] and 'there is no bundle' in drill.headline(report)
    assert statuses(judge([bundle()], {'t': 1}, hosts=['dead1', 'dead2'])) == [('dead2', 'not_drilled'), ('dead1', 'proven')]
    # the scratch engine is down: nothing is known about the bundle
    report = judge([bundle()], {'t': 1}, more={'failed': True, 'msg': 'The engine at unix:///x does not answer GET /version: start it.'}.items())
    assert statuses(judge([bundle()], {}, more=failed('The engine at unix:///x does not answer GET /version.').items())) == [('dead1', 'not_drilled')]
    assert statuses(judge([bundle()], {}, more=failed('Nothing was changed.').items())) == [('dead1', 'failed')]
    assert statuses(report) == [('dead1', 'not_drilled')] and 'Start the engine' in report['hosts'][0]['next_step']
    # a trial that was not even begun
    assert statuses(drill.judge([bundle()], [], {}, NOW)) == [('dead1', 'not_drilled')]


def test_a_bundle_without_a_dump_can_be_recovered():
    bare = bundle(dumps=())
    item = drill.without_dumps(drill.candidates([bare, bundle(host='dead2')]))
    assert [one['host'] for one in item] == ['dead1']

    def judged(**result):
        return drill.judge([bare], [dict(result, item=item[0])], {}, NOW)
    dumps = [{'engine': 'postgresql', 'version': '15', 'status': 'complete', 'counts': {'t': 4}}, {'engine': 'postgresql', 'status': 'failed', 'counts': {}}]
    report = judged(dumps=dumps[:1])
    assert statuses(report) == [('dead1', 'proven')] and report['totals']['rows'] == 4
    assert judged(dumps=dumps)['hosts'][0]['containers'][0]['note'] == 'not loaded: postgresql-2'
    assert statuses(judged(dumps=dumps[1:])) == [('dead1', 'not_drilled')]
    assert statuses(judged(failed=True, msg='No room.')) == [('dead1', 'failed')]
    assert statuses(judged(**failed('No room.'))) == [('dead1', 'failed')]
    report = judged(**failed('No database that can be dumped was found in 1 bundle of containers.'))
    assert statuses(report) == [('dead1', 'not_drilled')] and report['hosts'][0]['message'] == 'No bundle of it has a dump of a database.'


def test_a_server_without_any_table_was_loaded_too():
    report = judge([bundle(dumps=('redis-1',))], {})
    assert statuses(report) == [('dead1', 'proven')] and report['totals']['rows'] == 0
    many = {f't{number}': 9 for number in range(600)}
    state = drill.state_of(judge([bundle()], many), {})
    fallen = judge([bundle()], {}, state)
    assert statuses(fallen) == [('dead1', 'fallen')] and drill.state_of(fallen, state)['hosts'] == state['hosts'] | {
        'dead1': {'db': dict(state['hosts']['dead1']['db'])}}


def test_rows_that_fall_are_said_until_somebody_accepts_it():
    state = drill.state_of(judge([bundle()], {'t': 100, 'u': 3}), {})
    fallen = judge([bundle()], {'t': 99, 'u': 4}, state)
    assert statuses(fallen) == [('dead1', 'fallen')] and 't of postgresql-1 had 100 rows, and has 99' in fallen['hosts'][0]['message']
    again = drill.state_of(fallen, state)
    assert again['hosts']['dead1']['db']['dumps']['postgresql-1'] == {'t': 100, 'u': 4}
    assert statuses(judge([bundle()], {'t': 99, 'u': 4}, again)) == [('dead1', 'fallen')]
    accepted = drill.state_of(fallen, state, True)
    assert statuses(judge([bundle()], {'t': 99, 'u': 4}, accepted)) == [('dead1', 'proven')]
    assert statuses(judge([bundle()], {'t': 99, 'u': 4}, state, fall_percent=1)) == [('dead1', 'proven')]
    gone = judge([bundle()], {'u': 4}, state)
    assert statuses(gone) == [('dead1', 'fallen')] and 'has none' in gone['hosts'][0]['message']


def test_what_was_drilled_once_is_missed():
    state = drill.state_of(judge([bundle(), bundle(name='shop')], {'t': 1}), {})
    report = judge([bundle(dumps=())], {}, state)
    assert statuses(report) == [('dead1', 'not_drilled')]
    assert {one['container']: one['message'] for one in report['hosts'][0]['containers']} == {
        'db': 'The bundle has no dump, and the last one that was drilled had.', 'shop': 'It was drilled before, and there is no bundle of it now.'}
    assert drill.state_of(report, state)['hosts'] == state['hosts']
    assert drill.state_of(report, state, True)['hosts']['dead1'].keys() == {'db'}
    report = judge([bundle(), bundle(host='dead2', dumps=())], {'t': 1}, drill.state_of(judge([bundle(dumps=('postgresql-1', 'redis-1'))], {'t': 1}), {}))
    assert statuses(report)[0] == ('dead1', 'not_drilled')


def test_an_old_bundle_is_said():
    assert statuses(judge([bundle()], {'t': 1}, max_age_hours=5)) == [('dead1', 'stale')]
    assert statuses(judge([bundle()], {'t': 1}, max_age_hours=7)) == [('dead1', 'proven')]


def test_nonsense_is_no_proof():
    """State files and results may be cut or of another version."""
    for state in (None, [], {'schema': 'x', 'hosts': {'dead1': {'db': {'dumps': {'postgresql-1': {'t': 9}}}}}}, {'schema': drill.STATE_SCHEMA, 'hosts': 5}):
        assert statuses(judge([bundle()], {'t': 1}, state)) == [('dead1', 'proven')]
    assert statuses(judge([bundle()], {'t': True, 'u': -1, 'v': 'x'}, None)) == [('dead1', 'proven')]
    assert judge([bundle()], {'t': True, 'u': -1})['totals']['rows'] == 0
    assert drill.candidates([{'kind': 'container'}, 5, {'kind': 'container', 'path': 7}]) == [] and drill.candidates(None) == []


def test_every_form_says_the_same_and_hides_nothing():
    evil = '<b>\x1b[31m"\n'
    state = drill.state_of(judge([bundle(name=evil)], {evil: 7}), {})
    report = judge([bundle(name=evil), bundle(host='dead2', status='damaged')], {evil: 5}, state)
    page, prom = drill_report.as_html(report), drill_report.as_prom(report)
    assert '<b>' not in page and '\x1b' not in page + prom and '&lt;b&gt;' in page and 'has fewer rows than before' in page
    assert 'lifeboat_drill_host_success{host="dead1"} 0' in prom and 'lifeboat_drill_host_state{host="dead2",state="failed"} 1' in prom
    assert 'dump="postgresql-1"} 5' in prom and all(line.startswith(('#', 'lifeboat_drill_')) for line in prom.strip().split('\n'))
    assert drill_report.as_json(report).endswith('}\n')
    before = copy.deepcopy(state)
    drill.state_of(report, state)
    assert state == before


def test_the_role_documents_its_variables():
    def load(*names):
        with open(os.path.join(TOP, 'roles', 'drill', *names), encoding='utf-8') as raw:
            return yaml.safe_load(raw)
    documented = load('meta', 'argument_specs.yml')['argument_specs']['main']['options']
    assert {name: option['default'] for name, option in documented.items()} == load('defaults', 'main.yml')
    assert documented['drill_fail_on']['choices'] == list(drill.STATES[:-1])


def test_a_bundle_of_the_future_is_not_fresh():
    """Its clock, or ours, is wrong: with an age asked for it is not proven, without one it is said."""
    later = bundle(created='2026-06-06T01:00:00Z')
    report = judge([later], {'t': 1}, max_age_hours=24)
    assert statuses(report) == [('dead1', 'stale')] and drill.failures(report, ['stale'])
    said = report['hosts'][0]['message']
    assert 'clock' in said and '31 days after this drill' in said and 'clocks' in report['hosts'][0]['next_step']
    assert report['hosts'][0]['containers'][0]['age_hours'] is None
    report = judge([later], {'t': 1})
    assert statuses(report) == [('dead1', 'proven')] and 'clock' in report['hosts'][0]['containers'][0]['note']
    assert 'clock' in drill_report.as_html(report)
    # clocks of a fleet differ by a little
    assert statuses(judge([bundle(created='2026-05-06T07:13:00Z')], {'t': 1}, max_age_hours=24)) == [('dead1', 'proven')]
    assert statuses(judge([bundle(created='2026-05-06T08:13:00Z')], {'t': 1}, max_age_hours=24)) == [('dead1', 'stale')]


def test_a_bundle_of_the_future_hides_no_newer_one():
    wrong = bundle(created='2036-06-06T01:00:00Z', folder='db-ba9876543210')
    right = bundle()
    assert [one['path'] for one in drill.candidates([wrong, right], NOW)] == [right['path']]
    assert [one['path'] for one in drill.candidates([wrong], NOW)] == [wrong['path']]
