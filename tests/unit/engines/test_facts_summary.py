"""What the facts of a host say at a glance, and what they never say."""
import glob
import json
import os

import deadroot
import pytest
from hostiletext import IDS, NAMES, bad

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts

JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N'


@pytest.fixture()
def host(tmp_path):
    deadroot.build(str(tmp_path / 'var/lib/docker'), host_root=str(tmp_path))
    return tmp_path


def changed(host, change, name='config.v2.json'):
    """Apply CHANGE to a record of the first container that has one; returns its ID."""
    path = sorted(glob.glob(str(host / 'var/lib/docker/containers/*' / name)))[0]
    with open(path) as handle:
        record = json.load(handle)
    change(record)
    with open(path, 'w') as handle:
        json.dump(record, handle)
    return os.path.basename(os.path.dirname(path))


def gathered(host, **options):
    with registry.open_host(os.fsencode(str(host))) as opened:
        return facts.gather(opened, facts.Options(**options))


def test_a_critical_problem_deep_in_a_container_is_in_the_summary(host):
    changed(host, lambda record: record.update(AutoRemove=True), 'hostconfig.json')
    found = gathered(host)
    notes = [item for container in found['containers'] for item in container['problems'] if item['code'] == 'REMOVED_AT_NEXT_START']
    assert notes and not [item for item in found['problems'] if item['code'] == 'REMOVED_AT_NEXT_START']
    assert found['summary']['worst'] == 'critical'
    steps = found['summary']['next_steps']
    assert notes[0]['next_step'] in steps and 0 < len(steps) <= 3 and len(set(steps)) == len(steps)


def test_the_worst_comes_first_and_nothing_is_nothing():
    def item(severity, step):
        return {'severity': severity, 'next_step': step}
    whole = {'problems': [item('info', 'i'), item('warning', 'w')],
             'containers': [{'status': 'lost', 'problems': [item('critical', 'c'), item('critical', '')]}],
             'volumes': [{'problems': [item('critical', 'c')]}], 'images': [{'problems': [item('warning', 'x')]}],
             'orphans': {'writable_layers': [{'problems': [item('critical', 'o')]}]}}
    summary = facts._summary(whole)
    assert (summary['worst'], summary['next_steps']) == ('critical', ['c', 'o', 'w'])
    summary = facts._summary({'problems': [], 'containers': []})
    assert (summary['worst'], summary['next_steps']) == (None, [])


def test_labels_are_redacted_like_the_environment(host):
    def change(record):
        record['Config']['Env'] = ['PLAIN=hunter2hunter2', 'DB_PASSWORD=s3cretvalue']
        record['Config']['Labels'] = {'auth.users': 'admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/', 'copy': 'hunter2hunter2', 'text': JWT,
                                      'com.docker.compose.project': 'shop', 'in': 'x s3cretvalue y'}
    ident = changed(host, change)
    said = json.dumps(gathered(host))
    for secret in ('hunter2', 's3cretvalue', '$apr1$', JWT):
        assert secret not in said
    labels = [one['labels'] for one in gathered(host)['containers'] if one['id'] == ident][0]
    assert labels['com.docker.compose.project'] == 'shop' and set(labels) >= {'auth.users', 'copy', 'text', 'in'}
    assert JWT in json.dumps(gathered(host, redact_env=False))


@pytest.mark.parametrize('name', NAMES[:4] + NAMES[-4:], ids=IDS[:4] + IDS[-4:])
def test_every_problem_of_a_host_with_hostile_names_is_harmless(host, name):
    def change(record):
        record.update(Name='/' + name, Dead=True)
        record['MountPoints'] = {'/' + name: {'Type': 'bind', 'Source': '/srv/' + name, 'Destination': '/' + name, 'RW': True},
                                 '/v': {'Type': 'volume', 'Name': name, 'Destination': '/v', 'Driver': 'local', 'RW': True}}
    changed(host, change)
    found = gathered(host)
    problems = facts._all_problems(found)
    assert problems
    assert [bad(text) for item in problems for text in item.values() if isinstance(text, str) and bad(text)] == []
