from __future__ import annotations

import collections
import re
import subprocess

import auditdata as data
import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.filter.audit_findings import audit_findings
from ansible_collections.lifeboat.docker.plugins.plugin_utils import findings, plaindata, sizes

RULES = data.builtin_rules()
ANON = 'ab' * 32


def found(content, rules=None, **more):
    return findings.findings(content, RULES if rules is None else rules, now=data.NOW, **more)


def rules_hit(content, **more):
    return sorted({one['rule'] for one in found(content, **more)})


def of_volume(**more):
    """A container with a volume, as facts."""
    anonymous = more.pop('anonymous', True)
    destination = more.pop('destination', '/data')
    name = ANON if anonymous else 'shop_db'
    container = data.container(mounts=[data.mount(name, destination, anonymous)])
    return data.facts([container], [data.volume(name, anonymous=anonymous, used_by=[container['id']], **more)])


VOLUME_DB = data.database(where=None, path='/')
# rule -> (facts on which it must say something, facts on which it must not)
CASES = {
    'DB_IN_WRITABLE_LAYER': (
        [data.facts([data.container(databases=[data.database()])]),
         data.facts([data.container(databases=[data.database('sqlite', 'SQLite', '3.40.1', '/srv/app.db', 8192, single_file=True)])])],
        [data.facts([data.container(databases=[data.database(where='volume')])]), data.facts([data.container(databases=[data.database(where='bind')])]),
         data.facts([data.container(databases=[data.database(empty=True)])]),
         data.facts([data.container(databases=[data.database(noise='temporary by definition')])]),
         data.facts([data.container(databases=[data.database('git', 'Git', None, kind='repository')])])]),
    'STATE_IN_WRITABLE_LAYER_PRECIOUS': (
        [data.facts([data.container(databases=[data.database('uploads', 'uploaded files', None, '/srv/up', kind='uploads')])]),
         data.facts([data.container(databases=[data.database('git', 'Git', None, '/srv/x', kind='repository', state='has no remote')])])],
        [data.facts([data.container(databases=[data.database('git', 'Git', None, '/srv/x', kind='repository', state='has a remote')])])]),
    'STATE_IN_WRITABLE_LAYER_OTHER': (
        [data.facts([data.container(databases=[data.database('keys', 'private keys', None, '/etc/ssh', kind='keys')])])],
        [data.facts([data.container(databases=[data.database()])])]),
    'UNMOUNTED_VOLUME_PATH': (
        [of_volume(), data.facts([data.container(image_volumes=['/data'])]),
         data.facts([data.container(image={'id': None, 'reference': 'docker.io/grafana/grafana:10@sha256:00'})])],
        [of_volume(anonymous=False), of_volume(destination='/var/cache/x'), data.facts([data.container()]),
         data.facts([data.container(image_volumes=['/data/db'], mounts=[data.mount('d', '/data')])]),
         data.facts([data.container(image_volumes=['/data'], mounts=[data.mount(None, '/data', type='bind')])])]),
    'ANON_VOLUME_DATABASE': ([of_volume(databases=[VOLUME_DB], data=5)],
                             [of_volume(data=5), of_volume(databases=[VOLUME_DB], anonymous=False), of_volume(databases=[dict(VOLUME_DB, empty=True)])]),
    'ANON_VOLUME_FILES': ([of_volume(data=5)], [of_volume(data=0), of_volume(databases=[VOLUME_DB], data=5), of_volume(data=5, anonymous=False),
                                                of_volume(data=5, destination='/var/cache/nginx')]),
    'EMPTY_VOLUME': (
        [data.facts([data.container(mounts=[data.mount('shop_db', '/var/lib/postgresql'), data.mount(ANON, '/var/lib/postgresql/data', True)])],
                    [data.volume('shop_db'), data.volume(ANON, 5, anonymous=True, databases=[VOLUME_DB])]),
         data.facts([data.container(mounts=[data.mount('shop_db', '/var/lib/db')], databases=[data.database()])], [data.volume('shop_db')])],
        [data.facts([data.container(mounts=[data.mount('shop_db', '/var/lib/db')])], [data.volume('shop_db')]),
         data.facts([data.container(mounts=[data.mount('shop_db', '/x')], databases=[data.database()])], [data.volume('shop_db', 5)])]),
    'ORPHAN_VOLUME_DATABASE': ([data.facts([], [data.volume(used_by=(), data=5, databases=[VOLUME_DB])])],
                               [data.facts([], [data.volume(data=5, databases=[VOLUME_DB])]), data.facts([], [data.volume(used_by=(), data=5)])]),
    'ORPHAN_VOLUME_FILES': ([data.facts([], [data.volume(used_by=(), data=5)])],
                            [data.facts([], [data.volume(used_by=())]), data.facts([], [data.volume(data=5)])]),
    'EMPTYDIR_DATABASE': ([data.facts([], [data.volume(labels={'io.kubernetes.volume.plugin': 'empty-dir'}, databases=[VOLUME_DB])])],
                          [data.facts([], [data.volume(labels={'io.kubernetes.volume.plugin': 'empty-dir'})]),
                           data.facts([], [data.volume(labels={'io.kubernetes.volume.plugin': 'csi'}, databases=[VOLUME_DB])])]),
    'ORPHAN_LAYER': ([data.facts(layers=[{'path': '/l', 'image': {}, 'usage': data.usage(5)}])],
                     [data.facts(layers=[{'path': '/l', 'usage': data.usage(0, 5)}])]),
    'LOG_UNBOUNDED_LARGE': (
        [data.facts([data.container(log={'driver': 'json-file', 'bytes': 10 << 30, 'max_size': None})])],
        [data.facts([data.container(log={'driver': 'json-file', 'bytes': 10 << 30, 'max_size': '10m'})]), data.facts([data.container(log=None)]),
         data.facts([data.container(log={'driver': 'local', 'bytes': 10 << 30, 'max_size': None})]),
         data.facts([data.container(log={'driver': 'json-file', 'bytes': 5, 'max_size': None})])]),
    'LOG_UNBOUNDED_SMALL': ([data.facts([data.container(log={'driver': 'json-file', 'bytes': 5, 'max_size': None})])], [data.facts([data.container()])]),
    'LARGE_WRITABLE_LAYER': ([data.facts([data.container(data=2 << 30)])],
                             [data.facts([data.container(data=1 << 20)]), data.facts([data.container(usage=data.usage(0, 2 << 30))])]),
    'AUTOREMOVE_DATABASE': ([data.facts([data.container(auto_remove=True, databases=[data.database()])])],
                            [data.facts([data.container(databases=[data.database()])]), data.facts([data.container(auto_remove=True)])]),
    'AUTOREMOVE_OTHER': ([data.facts([data.container(auto_remove=True)])], [
        data.facts([data.container()]), data.facts([data.container(auto_remove=True, databases=[data.database()])])]),
    'DEAD_CONTAINER': ([data.facts([data.container(state={'status': 'dead', 'dead': True})])], [data.facts([data.container()])]),
    'DAMAGED_METADATA': (
        [data.facts([data.container(status='partial', problems=[{'code': 'CONFIG_DAMAGED', 'severity': 'warning', 'message': 'It is empty.'}])])],
        [data.facts([data.container()]), data.facts([data.container(status='unsupported')])]),
    'DAMAGED_METADATA_VOLUME': ([data.facts([], [data.volume(status='lost')])],
                                [data.facts([], [data.volume()]), data.facts([], [data.volume(status='lost', options={'type': 'tmpfs', 'device': 'tmpfs'})])]),
    'UNCLEAN_DATABASE': (
        [data.facts([data.container(state={'status': 'exited', 'running': False}, databases=[data.database(clean_shutdown=False, state='in production')])])],
        [data.facts([data.container(databases=[data.database(clean_shutdown=False)])]),
         data.facts([data.container(state={'running': False}, databases=[data.database(clean_shutdown=None)])])]),
    'NO_DATA_CHANGE': ([data.facts([], [data.volume(databases=[VOLUME_DB], usage=data.usage(5, newest='2026-04-01T00:00:00Z'))])],
                       [data.facts([], [data.volume(databases=[VOLUME_DB], usage=data.usage(5))]),
                        data.facts([], [data.volume(usage=data.usage(5, newest='2026-04-01T00:00:00Z'))]),
                        data.facts([], [data.volume(databases=[VOLUME_DB], usage=data.usage(5, newest=None))])]),
    'SCAN_INCOMPLETE': ([data.facts([data.container(usage=data.usage(5, complete=False))]), data.facts([], [data.volume(usage=data.usage(5, complete=False))])],
                        [data.facts([data.container()], [data.volume()])]),
    'HOST_PROBLEM': (
        [data.facts(problems=[{'code': 'DRIVER_FOLDER_EMPTY', 'severity': 'critical', 'object': '/x', 'message': 'Empty.', 'next_step': 'Mount it.'}])],
        [data.facts(problems=[{'code': 'NO_STATE_RECORD', 'severity': 'info', 'object': '/x', 'message': 'Podman.', 'next_step': ''}])]),
}


def test_every_builtin_rule_has_a_case_and_complete_texts():
    assert sorted(CASES) == sorted(rule.get('name', rule['code']) for rule in RULES)
    for rule in RULES:
        assert rule['consequence'] and rule['next_step'] and 'remedy' in rule, rule


def test_the_codes_of_the_contract_are_there():
    codes = {rule['code'] for rule in RULES}
    for code in ('DB_IN_WRITABLE_LAYER', 'UNMOUNTED_VOLUME_PATH', 'ANON_VOLUME', 'ORPHAN_VOLUME', 'ORPHAN_LAYER', 'LOG_UNBOUNDED',
                 'LARGE_WRITABLE_LAYER', 'AUTOREMOVE', 'DEAD_CONTAINER', 'DAMAGED_METADATA', 'NO_DATA_CHANGE'):
        assert code in codes


@pytest.mark.parametrize('rule', sorted(CASES))
def test_builtin_rule(rule):
    for content in CASES[rule][0]:
        hits = [one for one in found(content, host='h1') if one['rule'] == rule]
        assert hits, content
        for one in hits:
            assert one['object'] and '?' not in one['message'] + one['next_step'], one
            assert '{' not in one['message'] + one['consequence'] + one['next_step']
    for content in CASES[rule][1]:
        assert rule not in rules_hit(content), content


def test_a_healthy_host_has_no_findings():
    container = data.container(mounts=[data.mount('shop_db', '/data')])
    assert found(data.facts([container], [data.volume(used_by=[container['id']], data=5, databases=[VOLUME_DB])])) == []


@pytest.mark.parametrize('said, path', [
    ('/srv/other place/v/{name}', "'/srv/other place/v/shop-db-data'"), (None, 'PATH_OF_VOLUME_shop-db-data'),
    (['x'], 'PATH_OF_VOLUME_shop-db-data')])
def test_where_a_volume_lies_is_said_by_its_engine(said, path):
    content = data.facts([data.container('shop-db', databases=[data.database()])])
    content['roots'][0]['volume_path'] = said
    assert found(content)[0]['remedy'].splitlines()[2].endswith(' ' + path)


def test_consequence_and_remedy():
    one = found(data.facts([data.container('shop-db', labels={'com.docker.compose.service': 'db'}, databases=[data.database()])]))[0]
    assert one['consequence'].startswith('1.2 GiB PostgreSQL 15 is lost when container shop-db is recreated')
    commands, compose = one['remedy'].split('# then in compose.yaml')
    assert commands.splitlines()[2] == 'docker cp -a -- shop-db:/var/lib/postgresql/data/. /var/lib/docker/volumes/shop-db-data/_data'
    assert yaml.safe_load(compose.partition('\n')[2]) == {
        'services': {'db': {'volumes': ['shop-db-data:/var/lib/postgresql/data']}}, 'volumes': {'shop-db-data': {'external': True}}}


@pytest.mark.parametrize('path, mounted, copied', [('/srv/app/x.db', '/srv/app', '/srv/app/.'), ('/x.db', '/data', '/x.db')])
def test_remedy_of_a_single_file_mounts_its_folder(path, mounted, copied):
    item = data.database('sqlite', 'SQLite', '3', path, single_file=True)
    remedy = found(data.facts([data.container(databases=[item])]))[0]['remedy']
    assert f':{mounted}\n' in remedy and f'web:{copied} ' in remedy


def test_remedy_mounts_what_the_image_declares():
    item = data.database(path='/var/lib/postgresql/data/base')
    assert ':/var/lib/postgresql/data\n' in found(data.facts([data.container(databases=[item], image_volumes=['/var/lib/postgresql/data'])]))[0]['remedy']


def test_hostile_names_cannot_leave_their_quotes():
    evil = "x'; rm -rf /\n$(reboot) `id` {code}"
    content = data.facts([data.container(evil, databases=[data.database(path="/a'b\nc")], labels={'com.docker.compose.service': 'a: [b'})])
    one = found(content)[0]
    assert '\n' not in one['message'] and 'rm -rf /\\n$(reboot)' in one['message']
    first = one['remedy'].splitlines()[0]
    assert subprocess.check_output(['bash', '-c', "docker() { printf '%s\\0' \"$@\"; }; " + first]).split(b'\0')[:-1] == [
        b'stop', b'--', evil.encode()]
    services = yaml.safe_load(one['remedy'].split('# then in compose.yaml')[1].partition('\n')[2])['services']
    assert list(services) == ['a: [b']


def test_a_container_whose_name_is_lost_goes_by_its_id():
    container = data.container(status='partial', databases=[data.database()], log={'driver': 'json-file', 'bytes': 1, 'max_size': None})
    container['name'] = None
    result = found(data.facts([container]))
    assert result and not [one for one in result for text in (one['message'], one['remedy'], one['consequence']) if '?' in text]
    assert {one['object'] for one in result} == {container['id'][:12]}
    assert any('docker cp' in one['remedy'] and container['id'][:12] + ':' in one['remedy'] for one in result)


def test_two_containers_of_one_image_are_told_apart():
    content = data.facts([data.container('a', databases=[data.database()]), data.container('b', databases=[data.database()])])
    assert [one['object'] for one in found(content) if one['code'] == 'DB_IN_WRITABLE_LAYER'] == ['a', 'b']


def test_worst_and_largest_first():
    content = data.facts([data.container('a', auto_remove=True), data.container('b', databases=[data.database(size=5)]),
                          data.container('c', databases=[data.database(size=50)])])
    assert [one['object'] for one in found(content)] == ['c', 'b', 'a']


# -- suppression ---------------------------------------------------------------------------------------------------------

def test_label_suppresses_its_codes_only():
    content = data.facts([data.container(auto_remove=True, databases=[data.database()], labels={'lifeboat.audit.ignore': 'DB_IN_WRITABLE_LAYER, X'})])
    by_code = {one['code']: one for one in found(content)}
    assert by_code['DB_IN_WRITABLE_LAYER']['suppressed']['by'] == 'label'
    assert 'suppressed' not in by_code['AUTOREMOVE']
    assert [one['code'] for one in found(content)][-1] == 'DB_IN_WRITABLE_LAYER'


def test_label_of_a_volume_suppresses_too():
    content = data.facts([], [data.volume(used_by=(), data=5, labels={'lifeboat.audit.ignore': 'ORPHAN_VOLUME'})])
    assert all('suppressed' in one for one in found(content))


@pytest.mark.parametrize('entry, hit', [
    ({}, True), ({'until': '2026-06-01'}, True), ({'until': '2026-05-31'}, False), ({'host': 'h*'}, True), ({'host': 'x*'}, False),
    ({'object': 'w?b'}, True), ({'object': 'db'}, False), ({'code': '*'}, True), ({'code': 'AUTOREMOVE'}, False)])
def test_ignore_list(entry, hit):
    ignore = [dict({'code': 'DB_IN_WRITABLE_LAYER', 'reason': 'moved next week', 'until': '2026-06-30'}, **entry)]
    one = found(data.facts([data.container(databases=[data.database()])]), ignore=ignore, host='h1')[0]
    assert ('suppressed' in one) is hit
    if hit:
        assert one['suppressed']['reason'] == 'moved next week' and one['suppressed']['until'] == ignore[0]['until']


@pytest.mark.parametrize('entry, word', [({'code': 'X', 'until': '2026-01-01'}, 'reason'), ({'code': 'X', 'reason': 'y'}, 'until'),
                                         ({'code': 'X', 'reason': 'y', 'until': 'soon'}, 'soon'), ('X', 'dictionary')])
def test_ignore_needs_reason_and_end(entry, word):
    with pytest.raises(AnsibleFilterError, match=word):
        audit_findings(data.facts(), RULES, ignore=[entry])


# -- rules of users ------------------------------------------------------------------------------------------------------

def test_own_rule():
    rule = {'code': 'OLD', 'severity': 'info', 'query': "containers[?age_days(created) > `100` && usage.bytes < bytes('1k')].{object: name, created: created}",
            'message': '{object} is from {created|date}.'}
    one, = audit_findings(data.facts([data.container()]), [rule], now='2026-06-01T12:00:00Z')
    assert (one['code'], one['object'], one['message'], one['consequence']) == ('OLD', 'web', 'web is from 2026-01-01.', '')
    assert audit_findings(data.facts([data.container()]), [rule], now='2026-03-01') == []


def test_a_query_for_a_single_value():
    rule = {'code': 'MANY', 'severity': 'info', 'query': 'length(containers) > `0`', 'message': 'Some.'}
    assert len(audit_findings(data.facts([data.container()]), [rule])) == 1
    assert audit_findings(data.facts(), [rule]) == []


def test_a_later_rule_changes_single_keys():
    rules = RULES + [{'name': 'DB_IN_WRITABLE_LAYER', 'severity': 'warning'}, {'name': 'AUTOREMOVE_DATABASE', 'enabled': False}]
    content = data.facts([data.container(auto_remove=True, databases=[data.database()])])
    assert {one['code']: one['severity'] for one in found(content, rules)} == {'DB_IN_WRITABLE_LAYER': 'warning'}


@pytest.mark.parametrize('rule, words', [
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'containers[?', 'message': 'x'}, 'BAD_ONE'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'nosuch(containers)', 'message': 'x'}, r'BAD_ONE calls nosuch\(\)'),
    # where the call is reached only on some hosts, too
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'nowhere[?nosuch(name)]', 'message': 'x'}, r'BAD_ONE calls nosuch\(\).* age_days, avg, bytes'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'nowhere[?bytes(name, name)]', 'message': 'x'}, r'BAD_ONE gives bytes\(\) 2 values'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'nowhere[?not_null()]', 'message': 'x'}, 'takes 1 or more'),
    ({'code': 'RULE_FAILED', 'severity': 'info', 'query': 'x', 'message': 'x'}, 'choose another'),
    ({'code': 'BAD_ONE', 'severity': 'bad', 'query': 'x', 'message': 'x'}, 'critical, warning, info'),
    ({'code': 'bad one', 'severity': 'info', 'query': 'x', 'message': 'x'}, 'capital'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'message': 'x'}, 'BAD_ONE lacks query'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'x', 'message': '{a|nosuch}'}, 'nosuch'),
    ({'code': 'BAD_ONE', 'severity': 'info', 'query': 'x', 'message': 'x', 'serverity': 'x'}, 'serverity'),
    ({'severity': 'info'}, 'neither code nor name'), ('x', 'dictionary')])
def test_a_wrong_rule_is_named(rule, words):
    with pytest.raises(AnsibleFilterError, match=words):
        audit_findings(data.facts([data.container()]), [rule])


@pytest.mark.parametrize('query, why', [
    ('sort_by(containers, &usage.bytes)', r'sort_by\(\) got (null|string)'),                   # one has a number, the other a text
    ('containers[?starts_with(restart, \'x\')]', r'starts_with\(\) got null where it takes string'),
    ('length(`5`)', r'length\(\) got number'),
    ('containers[?bytes(labels)]', r'bytes\(\) got object'),
    ('containers[?bytes(\'' + '9' * 400 + '\')]', 'OverflowError'),
])
def test_a_rule_that_fails_on_one_host_is_a_finding_of_that_host(query, why):
    facts = data.facts([data.container('one', 5, databases=[data.database()], labels={'token': data.SECRET}),
                        data.container('two', usage={'bytes': 'many'})])
    rule = {'code': 'MINE', 'name': 'MINE_TOO', 'severity': 'info', 'query': query, 'message': 'x'}
    result = found(facts, [rule] + RULES, host='web7')
    failed, = (one for one in result if one['code'] == 'RULE_FAILED')
    assert (failed['severity'], failed['object'], failed['object_type'], failed['rule']) == ('critical', 'web7', 'host', 'MINE_TOO')
    assert re.search('Rule MINE_TOO failed on the facts of web7: .*' + why, failed['message'])
    assert 'MINE' in failed['consequence'] and failed['next_step']
    assert data.SECRET not in str(failed)
    # the others go on
    assert [one for one in result if one is not failed] == found(facts, RULES, host='web7')


def test_a_rule_that_fails_can_be_accepted_for_a_time():
    rule = {'code': 'MINE', 'severity': 'info', 'query': 'length(`5`)', 'message': 'x'}
    entry = {'code': 'RULE_FAILED', 'host': 'web*', 'reason': 'known', 'until': '2026-12-31'}
    one, = found(data.facts(), [rule], host='web7', ignore=[entry])
    assert one['suppressed']['reason'] == 'known'


@pytest.mark.parametrize('query', ['containers[].{object: labels, object_type: mounts, bytes: name}', 'containers[].[name]', 'containers[].{object: `5`}'])
def test_odd_results_of_a_query_are_findings_all_the_same(query):
    one, = found(data.facts([data.container('one', labels={'a': 'b'})]), [{'code': 'MINE', 'severity': 'info', 'query': query, 'message': 'x'}])
    assert one['code'] == 'MINE' and isinstance(one['object'], str) and isinstance(one['object_type'], str)


def test_without_jmespath_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(findings, 'jmespath', None)
    with pytest.raises(AnsibleFilterError, match='pip install jmespath'):
        audit_findings(data.facts(), RULES)


@pytest.mark.parametrize('content', [{}, None, [], {'containers': None}, {'containers': [None, 5, {}]}, {'volumes': [{}], 'orphans': []},
                                     {'containers': [{'mounts': [None], 'labels': [], 'databases': [{}], 'image': 'x', 'log': 5, 'usage': 'x'}]}])
def test_odd_facts_do_no_harm(content):
    found(content)


# -- values --------------------------------------------------------------------------------------------------------------------

class Text(str):
    pass


class Lazy(collections.UserDict):
    pass


def test_ansible_types_become_plain():
    tagged = Lazy({Text('containers'): (Lazy({Text('name'): Text('web'), 'n': 5}),)})
    plain = plaindata.plain(tagged)
    assert plain == {'containers': [{'name': 'web', 'n': 5}]}
    # pylint: disable-next=unidiomatic-typecheck
    assert type(plain) is dict and type(plain['containers']) is list and type(plain['containers'][0]['name']) is str
    assert all(type(key) is str for key in plain)  # pylint: disable=unidiomatic-typecheck
    with pytest.raises(TypeError):
        plaindata.plain(object())


def test_strings_of_this_ansible_core():
    """What jmespath refuses on every ansible-core: its own string types."""
    from ansible.parsing.dataloader import DataLoader
    content = DataLoader().load('containers: [{name: web, auto_remove: true, labels: {a: b}}]')
    rule = [{'code': 'X', 'severity': 'info', 'query': "containers[?starts_with(name, 'we')]", 'message': '{name}'}]
    assert [one['message'] for one in audit_findings(content, rule)] == ['web']
    rule = DataLoader().load('- {code: X, severity: info, query: "containers[?auto_remove]", message: "{name}"}')
    assert [one['message'] for one in audit_findings(content, rule, host=DataLoader().load('h: h1')['h'])] == ['web']


@pytest.mark.parametrize('text, size', [('10m', 10 << 20), ('1.5 GiB', 3 << 29), ('2GB', 2 * 10 ** 9), ('7', 7), (7, 7), ('x', None),
                                        (None, None), ('1KB', 1000),
                                        ('1k', 1024), (True, None)])
def test_parse_bytes(text, size):
    assert sizes.parse_bytes(text) == size


@pytest.mark.parametrize('size, text', [(0, '0 B'), (999, '999 B'), (1000, '1.0 KiB'), (1288490189, '1.2 GiB'), (123456789, '118 MiB'), (None, '? B')])
def test_human_bytes(size, text):
    assert sizes.human_bytes(size) == text
