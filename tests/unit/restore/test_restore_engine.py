"""A restore from its plan to its result, on an engine that only remembers what it was told."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    engine as restoring,
    engineapi,
    plan as planning,
)
from ansible_collections.lifeboat.docker.tests.unit.restore import test_plan

OLD = 'd' * 64


class Engine(test_plan.Engine):
    """Containers by name, and every call that changes one, in order. DIES: what the container's first start ends with."""
    dies = None
    health = ()                         # what the health check says, one look after another

    def __init__(self, folder):
        test_plan.Engine.__init__(self, folder)
        self.containers_ = {}           # id -> {'Name', 'State', ...}
        self.calls = []
        self.said = 'line one\nline \x1b[2Jtwo\n'

    def info(self):
        return {}

    def container(self, name):
        for ident, item in self.containers_.items():
            if name in (ident, item['Name']):
                if self.health and item['State'].get('Running'):
                    item['State']['Health'] = {'Status': self.health[0]}
                    self.health = self.health[1:] or self.health
                return dict(item, Id=ident)
        return None

    def create_container(self, name, body):
        self.calls.append(('create', name))
        self.made = body
        self.containers_[test_plan.CID] = {'Name': name, 'State': {'Status': 'created', 'Running': False}}
        return test_plan.CID, ['Your kernel does not support swap limit.']

    def start(self, ident):
        self.calls.append(('start', ident))
        running = self.dies is None
        self.containers_[ident]['State'] = {'Status': 'running' if running else 'exited', 'Running': running, 'ExitCode': self.dies or 0}

    def stop(self, ident, dummy=None):
        self.calls.append(('stop', ident))
        self.containers_[ident]['State'] = {'Status': 'exited', 'Running': False}

    def pause(self, ident):
        self.calls.append(('pause', ident))
        self.containers_[ident]['State']['Status'] = 'paused'

    def rename(self, ident, name):
        self.calls.append(('rename', name))
        self.containers_[ident]['Name'] = name

    def update_restart(self, ident, policy):
        self.calls.append(('restart policy', policy['Name']))

    def remove(self, path, *dummy):
        if path.startswith('/containers/'):
            self.calls.append(('remove', path))
            del self.containers_[path.rsplit('/', 1)[1]]
        else:
            test_plan.Engine.remove(self, path)

    def logs(self, dummy):
        return self.said


def in_use(made, monkeypatch):
    """The engine MADE is the one that a restore finds, and nothing waits for it."""
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(engineapi, 'engine', lambda *dummy: made)
    monkeypatch.setattr(restoring, 'SETTLE', 0)
    monkeypatch.setattr(restoring.time, 'sleep', lambda dummy: None)
    return made


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return in_use(Engine(tmp_path / 'volumes'), monkeypatch)


def restore(path, **options):
    return restoring.restore(planning.Options(path=path, image='base', **options))


def old(engine, running=True):
    """Another container of the name is there."""
    engine.containers_[OLD] = {'Name': 'web', 'State': {'Running': running, 'Status': 'running' if running else 'exited'}, 'Image': 'sha256:other',
                               'Config': {'Image': 'other'}, 'HostConfig': {}}


def test_it_is_created_and_not_started(engine, tmp_path):
    result = restore(test_plan.bundle(tmp_path))
    assert result['changed'] and result['container'] == {'id': test_plan.CID, 'name': 'web'}
    assert engine.calls == [('create', 'web')] and engine.made['Image'] == 'base'
    assert 'The engine says: Your kernel does not support swap limit.' in result['notes']
    assert result['diff']['before']['container'] is None and result['kept'] == []


def test_check_mode_touches_nothing(engine, tmp_path):
    result = restore(test_plan.bundle(tmp_path), check=True)
    assert result['changed'] and engine.calls == [] and [step['action'] for step in result['steps']] == ['create']


def test_the_diff_has_no_values_of_variables(engine, tmp_path):
    path = test_plan.bundle(tmp_path)
    config = os.path.join(os.fsdecode(path), 'config', 'config.v2.json')
    with open(config) as handle:
        said = handle.read().replace('"Image": "base"', '"Image": "base", "Env": ["TOKEN=hunter2"]')
    test_plan.make_bundle(os.fsdecode(path), {'config/config.v2.json': said.encode(), 'config/hostconfig.json': b'{"NetworkMode": "none"}'},
                          {'container': {'name': 'web', 'id': test_plan.CID}}, 'container')
    result = restore(path)
    assert engine.made['Env'] == ['TOKEN=hunter2']
    assert result['diff']['after']['container']['Env'] == ['TOKEN=***']


def test_it_is_started_and_gets_its_restart_policy_when_it_stays_up(engine, tmp_path):
    path = test_plan.bundle(tmp_path, {'NetworkMode': 'none', 'RestartPolicy': {'Name': 'always'}})
    result = restore(path, state='started', verify_start=True)
    assert engine.calls == [('create', 'web'), ('start', test_plan.CID), ('restart policy', 'always')]
    assert 'RestartPolicy' not in engine.made['HostConfig'], 'a container that fails would be started again and again'
    assert result['container']['state'] == 'running'


def test_one_that_ends_at_once_is_undone_and_its_log_is_told(engine, tmp_path):
    engine.dies = 3
    with pytest.raises(LifeboatError) as raised:
        restore(test_plan.bundle(tmp_path), state='started', verify_start=True)
    said = str(raised.value)
    assert 'web ended with status 3' in said and 'line one' in said and '\x1b' not in said
    assert engine.containers_ == {}, 'it was to be removed again'


def test_it_waits_until_it_is_healthy(engine, tmp_path):
    engine.health = ('starting', 'starting', 'healthy')
    result = restore(test_plan.bundle(tmp_path), state='started', verify_start=True)
    assert result['container']['state'] == 'running' and engine.health == ('healthy',)


def test_one_that_never_is_healthy(engine, tmp_path):
    engine.health = ('unhealthy',)
    with pytest.raises(LifeboatError) as raised:
        restore(test_plan.bundle(tmp_path), state='started', verify_start=True, start_timeout=-1)
    assert 'is not healthy after' in str(raised.value) and 'unhealthy' in str(raised.value) and engine.containers_ == {}


def test_paused_as_it_was(engine, tmp_path):
    result = restore(test_plan.bundle(tmp_path, state={'Running': True, 'Paused': True}), state='started')
    assert engine.calls[-1] == ('pause', test_plan.CID) and result['container']['state'] == 'paused'


def test_another_one_of_the_name_is_refused(engine, tmp_path):
    old(engine)
    with pytest.raises(LifeboatError) as raised:
        restore(test_plan.bundle(tmp_path))
    assert 'named web already' in str(raised.value) and 'force: true' in str(raised.value) and engine.calls == []


@pytest.mark.parametrize('keep', [True, False])
def test_force_replaces_and_keeps_the_old_one_on_request(engine, tmp_path, keep):
    old(engine)
    result = restore(test_plan.bundle(tmp_path), force=True, keep_old=keep)
    assert engine.calls[0] == ('stop', OLD), 'it is stopped before anything else'
    assert engine.containers_[test_plan.CID]['Name'] == 'web' and (OLD in engine.containers_) is keep
    if keep:
        aside, = result['kept']
        assert aside['was'] == 'web' and aside['now'] == engine.containers_[OLD]['Name'] and aside['now'].startswith('web-before-')
        assert ('restart policy', 'no') in engine.calls, 'it must not come up beside the new one'


def test_a_replacement_that_fails_gives_the_old_one_back(engine, tmp_path):
    old(engine)
    engine.dies = 1
    started = engine.start

    def start(ident):
        engine.dies = 1 if ident == test_plan.CID else None
        started(ident)
    engine.start = start
    with pytest.raises(LifeboatError):
        restore(test_plan.bundle(tmp_path), force=True, state='started', verify_start=True)
    assert list(engine.containers_) == [OLD]
    assert engine.containers_[OLD]['Name'] == 'web' and engine.containers_[OLD]['State']['Running'] is True


def test_keep_partial_leaves_what_was_made(engine, tmp_path):
    engine.dies = 1
    with pytest.raises(LifeboatError) as raised:
        restore(test_plan.bundle(tmp_path), state='started', verify_start=True, keep_partial=True)
    assert 'keep_partial' in str(raised.value) and test_plan.CID in engine.containers_


def test_a_peer_that_is_not_there(engine, tmp_path):
    path = test_plan.bundle(tmp_path, {'NetworkMode': 'container:db'})
    with pytest.raises(LifeboatError) as raised:
        restore(path)
    assert 'shares the network of the container db' in str(raised.value) and 'restore that one first' in str(raised.value)
    assert any('has to be restored before' in note for note in restore(path, check=True)['notes'])
    engine.containers_[OLD] = {'Name': 'db', 'State': {}}
    assert restore(path)['container']['id'] == test_plan.CID
    assert engine.made['HostConfig']['NetworkMode'] == 'container:db'


def test_an_image_that_the_engine_lacks(engine, tmp_path):
    with pytest.raises(LifeboatError) as raised:
        restoring.restore(planning.Options(path=test_plan.bundle(tmp_path), image='other'))
    assert 'has no image other' in str(raised.value) and engine.calls == []


def test_nothing_to_restore(engine, tmp_path):
    path = test_plan.bundle(tmp_path)
    with pytest.raises(LifeboatError):
        restore(path, restore=('volumes',))
    assert restore(path, restore=('volumes',), if_nothing='skip')['nothing'] is True and engine.calls == []


@pytest.mark.parametrize('api, at_once', [((1, 43), 1), ((1, 44), 2)])
def test_networks_that_older_engines_take_one_by_one(api, at_once):
    class Old(object):
        pass
    Old.api = api
    body = {'HostConfig': {'RestartPolicy': {'Name': 'always'}}, 'NetworkingConfig': {
        'EndpointsConfig': {'one': {'MacAddress': '02:42:0a:00:00:01', 'Aliases': ['a']}, 'two': {}}}}
    made, rest = restoring._body_for(Old, body, True)
    assert len(made['NetworkingConfig']['EndpointsConfig']) == at_once and len(rest) == 2 - at_once
    assert ('MacAddress' in made) == (api < (1, 44))
    assert 'RestartPolicy' not in made['HostConfig'] and 'RestartPolicy' in body['HostConfig'], 'the body that was given stays'
