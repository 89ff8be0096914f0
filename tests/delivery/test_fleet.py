"""The playbook for many hosts: one that is cut off, one that never answers, batches of which nobody answers."""
import json
import os
import subprocess
import sys
import time

import deadroot
import hosts
import pytest

PLAYBOOK = 'lifeboat.docker.rescue'
SECRET = 'hunter2-never-shown'


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """{host name: host root} of three dead hosts, the first with much to read; containers have a secret in their environment."""
    found = {}
    for number in (1, 2, 3):
        top = str(tmp_path_factory.mktemp('root%d' % number))
        expected = deadroot.build(top + '/var/lib/docker', containers=2, host_root=top, seed='fleet%d' % number)
        for container in expected.containers:
            config = '%s/var/lib/docker/containers/%s/config.v2.json' % (top, container.id)
            with open(config) as raw:
                value = json.load(raw)
            value['Config']['Env'] = ['DB_PASSWORD=' + SECRET]
            with open(config, 'w') as raw:
                json.dump(value, raw)
        if number == 1:
            with open(os.path.join(expected.volumes[0].path.decode(), 'large.bin'), 'wb') as large:
                for dummy in range(24):
                    large.write(os.urandom(1 << 20))
        found['dead%d' % number] = top
    return found


@pytest.fixture(scope='module')
def fleet(lab, first):
    known = {host.name: host for host in lab.hosts}
    return [known.get('dead%d' % number) or lab.host(number) for number in (1, 2, 3)]


def inventory(fleet, roots, **more):
    return {host.name: host.variables(rescue_host_root=roots[host.name], **more) for host in fleet}


def variables(tmp_path, **more):
    found = {'rescue_dest': str(tmp_path / 'out'), 'rescue_store_on': 'controller', 'rescue_report_dir': str(tmp_path / 'reports'),
             'rescue_spool_size': 32 << 20, 'rescue_include': ['config', 'writable', 'volumes', 'logs'],
             'rescue_reconnect_timeout': 8}
    found.update(more)
    return found


def report(tmp_path):
    with open(str(tmp_path / 'reports' / 'rescue-report.json')) as raw:
        return json.load(raw)


def states(tmp_path):
    return {record['host']: record['state'] for record in report(tmp_path)['hosts']}


def at_once(tmp_path):
    """How many hosts were at work at the same time, by the report."""
    spans = [(record['started'], record['finished']) for record in report(tmp_path)['hosts']]
    return max(sum(begun <= start < over for begun, over in spans) for start, dummy in spans)


@pytest.mark.parametrize('strategy, throttle', [('linear', 1), ('free', 2)])
def test_all_well(fleet, roots, controller, tmp_path, strategy, throttle):
    status, out = controller.play(PLAYBOOK, inventory(fleet, roots), variables(
        tmp_path, rescue_strategy=strategy, rescue_throttle=throttle))
    assert status == 0, out
    assert at_once(tmp_path) == throttle
    assert set(states(tmp_path).values()) == {'rescued'} and len(states(tmp_path)) == 3
    assert report(tmp_path)['missing'] == []
    assert all(host.clean() == [] for host in fleet)
    assert SECRET not in out
    with open(str(tmp_path / 'reports' / 'rescue-report.html')) as page:
        text = page.read()
    assert SECRET not in text and 'Nothing is missing' in text and '<script' not in text and 'http' not in text.replace('http-equiv', '')


def test_one_is_cut_off_in_the_middle(fleet, roots, controller, tmp_path):
    """Its cable is pulled while it sends: the others go on, it stands first in the report, and the next run goes on with it."""
    slow = variables(tmp_path, rescue_spool_size=4 << 20)
    process = controller.start(PLAYBOOK, inventory(fleet, roots), slow, environment=hosts.impatient(15))
    part = None
    until = time.monotonic() + 120
    while part is None and time.monotonic() < until and process.poll() is None:
        for path, dummy, names in os.walk(str(tmp_path / 'out' / 'dead1')):
            for name in names:
                if name.endswith('.lifeboat-part') and os.path.getsize(os.path.join(path, name)) > 8 << 20:
                    part = os.path.join(path, name)
        time.sleep(0.02)
    assert part, process.communicate()[0]
    fleet[0].unplug()
    try:
        out = process.communicate(timeout=240)[0]
    finally:
        fleet[0].plug()
    assert process.returncode == 2, out
    assert states(tmp_path) == {'dead1': 'unreachable', 'dead2': 'rescued', 'dead3': 'rescued'}
    first = report(tmp_path)['missing'][0]
    assert first['host'] == 'dead1' and first['next_step']
    assert os.path.getsize(part) > 8 << 20
    status, out = controller.play(PLAYBOOK, inventory(fleet, roots), variables(tmp_path))
    assert status == 0, out
    assert set(states(tmp_path).values()) == {'rescued'}
    assert all(host.clean(40) == [] for host in fleet)


def test_batches_of_which_nobody_answers(fleet, roots, controller, tmp_path):
    away = {name: dict(value, ansible_host='127.0.0.1', ansible_port=1) for name, value in inventory(fleet[:1], roots).items()}
    everyone = dict(away, **inventory(fleet[1:], roots))
    status, out = controller.play(PLAYBOOK, everyone, variables(tmp_path, rescue_serial=1))
    assert status == 2, out
    assert states(tmp_path) == {'dead1': 'unreachable', 'dead2': 'rescued', 'dead3': 'rescued'}
    # nobody at all
    status, out = controller.play(PLAYBOOK, away, variables(tmp_path, rescue_report_dir=str(tmp_path / 'reports' / 'none')))
    assert status == 2 and os.path.exists(str(tmp_path / 'reports' / 'none' / 'rescue-report.html')), out


def test_slices_merge(fleet, roots, controller, tmp_path):
    """Two jobs for two halves of the inventory, one report of all."""
    for half in (fleet[:2], fleet[2:]):
        status, out = controller.play(PLAYBOOK, inventory(half, roots), variables(
            tmp_path, rescue_store_on='host', rescue_dest=str(tmp_path / 'there')))
        assert status == 0, out
    assert set(states(tmp_path)) == {'dead1', 'dead2', 'dead3'}


def test_a_host_that_fails_stands_in_the_report(fleet, roots, controller, tmp_path):
    everyone = inventory(fleet[1:], roots)
    everyone['dead2']['rescue_data_roots'] = ['/no/such/root']
    status, out = controller.play(PLAYBOOK, everyone, variables(tmp_path))
    assert status == 2, out
    assert states(tmp_path) == {'dead2': 'failed', 'dead3': 'rescued'}
    assert '/no/such/root' in report(tmp_path)['missing'][0]['message']


def test_under_ansible_runner(fleet, roots, controller, tmp_path):
    """As AWX runs it: events tied to the task, the summary as artifact, nothing secret and nothing large in either."""
    runner = os.path.join(os.path.dirname(sys.executable), 'ansible-runner')
    assert os.path.exists(runner), 'pip install ansible-runner'
    private = tmp_path / 'private'
    for name in ('env', 'inventory', 'project'):
        (private / name).mkdir(parents=True)
    (private / 'env' / 'extravars').write_text(json.dumps(variables(tmp_path, rescue_progress='true')))
    (private / 'env' / 'envvars').write_text(json.dumps(controller.environment))
    (private / 'inventory' / 'hosts.json').write_text(json.dumps({'all': {'hosts': inventory(fleet, roots)}}))
    (private / 'project' / 'site.yml').write_text('- import_playbook: lifeboat.docker.rescue\n')
    # pylint: disable-next=subprocess-run-check
    done = subprocess.run([runner, 'run', str(private), '-p', 'site.yml', '--ident', 'job'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, env=dict(os.environ, **controller.environment))
    assert done.returncode == 0, done.stdout
    events = []
    for path, dummy, names in os.walk(str(private / 'artifacts' / 'job' / 'job_events')):
        for name in names:
            with open(os.path.join(path, name)) as raw:
                text = raw.read()
            assert SECRET not in text and len(text) < 700000
            events.append(json.loads(text))
    stats = [event for event in events if event['event'] == 'playbook_on_stats'][0]
    summary = stats['event_data']['artifact_data']['lifeboat_rescue']
    assert summary['hosts'] == 3 and summary['states']['rescued'] == 3 and len(json.dumps(summary)) < 4000
    told = [event for event in events if event['event'] == 'verbose' and '[dead1]' in event['stdout']]
    assert told and all(event['stdout'].count('\n') < 60 for event in told)
    bundle_lines = [line for event in events for line in event['stdout'].splitlines() if line.startswith('[dead1] 2 bundles')]
    assert len(bundle_lines) == 1
