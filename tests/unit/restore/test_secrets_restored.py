"""Secrets of a bundle, made again on Podman: what is made, kept, replaced and refused, and that no value is anywhere but in the one request."""
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    engine as restoring,
    engineapi,
    plan as planning,
    run,
)
from ansible_collections.lifeboat.docker.tests.unit.restore import test_plan, test_restore_engine
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import make_bundle
from ansible_collections.lifeboat.docker.tests.unit.restore.test_engineapi import engine as api, server
from ansible_collections.lifeboat.docker.tests.unit.restore.test_podman_engine import Podman
from ansible_collections.lifeboat.docker.tests.unit.transport.test_inbox import Controller

__all__ = ['api', 'server']
VALUES = {'db-password': b'first-s3cret', 'key.gz': b'\x1f\x8b-s3cret', 'a b;$(id)': b'third-s3cret'}
FILES = {'db-password': 'db-password', 'key.gz': 'key.gz', 'a b;$(id)': 'a-b---id--0123'}


class WithSecrets(Podman):
    """Podman that keeps secrets in memory. OLD: it does not tell their values, and drops labels, as Podman 4.3 does."""
    old = False
    refuses = ''

    def __init__(self, folder):
        Podman.__init__(self, folder)
        self.secrets = {}

    def secret(self, name):
        if name not in self.secrets:
            return None
        value, driver, options, labels = self.secrets[name]
        found = {'ID': 'x', 'Spec': {'Name': name, 'Driver': {'Name': driver, 'Options': dict({'path': '/here'}, **options)}, 'Labels': labels}}
        if not self.old:
            told = value.decode('utf-8', 'surrogateescape')
            found['SecretData'] = ''.join('\ufffd' if '\udc80' <= char <= '\udcff' else char for char in told)
        return found

    def create_secret(self, name, value, driver, options, labels):
        assert name not in self.secrets and isinstance(value, bytes)
        if name == self.refuses:
            raise engineapi.EngineError('The engine refused.', 500)
        self.calls.append(('secret', name))
        self.secrets[name] = value, driver, dict(options), {} if self.old else dict(labels)

    def remove_secret(self, name):
        self.calls.append(('remove secret', name))
        self.secrets.pop(name, None)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return test_restore_engine.in_use(WithSecrets(tmp_path / 'volumes'), monkeypatch)


def bundle(tmp_path, values=None, config=True, **more):
    """A bundle of the container web with secrets, and its CONFIG; MORE: changes of the record of the last of them."""
    values = VALUES if values is None else values
    index = [{'name': name, 'file': FILES.get(name, name), 'target': '/run/secrets/x', 'variable': False, 'changed': '', 'missing': '', 'driver': 'file',
              'driver_options': {'path': '/dead/store/secrets'}, 'labels': {'tier': 'web'}} for name in sorted(values)]
    if index:
        index[-1].update(more)
    files = {'secrets/' + FILES.get(name, name): value for name, value in values.items()}
    files['secrets/secrets.json'] = json.dumps(index + index[:1]).encode()      # one secret at two places of a container
    if config:
        files['config/config.v2.json'] = json.dumps({'ID': test_plan.CID, 'Name': '/web', 'Config': {'Image': 'base'}, 'State': {}}).encode()
        files['config/hostconfig.json'] = b'{"NetworkMode": "none"}'
    return make_bundle(os.path.join(str(tmp_path), 'bundle'), files, {'container': {'name': 'web', 'id': test_plan.CID}, 'components': [
        {'name': 'secrets', 'kind': 'secrets', 'file': 'secrets/secrets.json', 'status': 'complete'}]}, 'container')


def restore(path, *parts, **options):
    return restoring.restore(planning.Options(path=path, image='base', restore=parts or ('secrets',), **options))


def test_each_is_made_with_its_labels_and_no_value_is_in_the_result(engine, tmp_path):
    path = bundle(tmp_path)
    checked = restore(path, check=True)
    assert checked['changed'] and engine.calls == [] and [step['action'] for step in checked['steps']] == ['create'] * 3
    result = restore(path)
    assert {name: item[0] for name, item in engine.secrets.items()} == VALUES
    assert all(item[1:] == ('file', {}, {'tier': 'web'}) for item in engine.secrets.values()), 'the folder of the dead host is no option here'
    assert any('/dead/store/secrets' in note for note in result['notes'])
    assert sorted(item['name'] for item in result['secrets']) == sorted(VALUES) and all(item['created'] for item in result['secrets'])
    again = restore(path)
    # of a value that is no text Podman tells only a part
    assert not again['changed'] and [item['code'] for item in again['problems']] == ['SECRET_NOT_COMPARED']
    assert 's3cret' not in json.dumps([checked, result, again])


def test_only_when_they_are_asked_for(engine, tmp_path):
    result = restore(bundle(tmp_path), 'container')
    assert not engine.secrets and 'secrets' not in result and any('restore: [..., secrets]' in note for note in result['notes'])


def test_another_value_is_refused_and_with_force_kept_beside(engine, tmp_path):
    engine.secrets['db-password'] = b'other-s3cret', 'file', {}, {'tier': 'db'}
    path = bundle(tmp_path, {'db-password': VALUES['db-password']})
    for check in (True, False):
        with pytest.raises(LifeboatError) as caught:
            restore(path, check=check)
        assert 'named db-password already, with another value' in str(caught.value) and 's3cret' not in str(caught.value)
    assert engine.secrets['db-password'][0] == b'other-s3cret'
    result = restore(path, force=True)
    kept = result['kept'][0]['now']
    assert engine.secrets['db-password'][0] == b'first-s3cret' and engine.secrets[kept][0] == b'other-s3cret' and kept.startswith('db-password-before-')
    assert engine.secrets[kept][3] == {'tier': 'db'} and result['secrets'][0]['replaced']
    engine.secrets = {'db-password': (b'other-s3cret', 'file', {}, {})}
    restore(path, force=True, keep_old=False)
    assert set(engine.secrets) == {'db-password'}


def test_a_failure_gives_back_the_old_value(engine, tmp_path):
    engine.secrets['db-password'] = b'other-s3cret', 'file', {}, {}
    engine.refuses = 'zz'
    with pytest.raises(LifeboatError):
        restore(bundle(tmp_path, {'db-password': b'first-s3cret', 'zz': b'x-s3cret'}), force=True)
    assert {name: item[0] for name, item in engine.secrets.items()} == {'db-password': b'other-s3cret'}


def test_an_old_podman_does_not_tell_values_and_nothing_is_replaced(engine, tmp_path):
    engine.old = True
    engine.secrets['db-password'] = b'other-s3cret', 'file', {}, {}
    path = bundle(tmp_path, {'db-password': b'first-s3cret', 'new': b'new-s3cret'})
    result = restore(path, force=True)
    assert engine.secrets['db-password'][0] == b'other-s3cret' and engine.secrets['new'][0] == b'new-s3cret'
    assert {item['code'] for item in result['problems']} == {'SECRET_NOT_COMPARED', 'NOT_AS_ASKED'}
    again = restore(path, force=True)
    assert not again['changed']


def test_a_value_that_is_no_text_cannot_be_replaced(engine, tmp_path):
    engine.secrets['key.gz'] = b'\x1f\x8b-other', 'file', {}, {}
    with pytest.raises(LifeboatError) as caught:
        restore(bundle(tmp_path, {'key.gz': VALUES['key.gz']}), force=True)
    assert 'remove it yourself' in str(caught.value)


def test_one_without_a_value_is_named(engine, tmp_path):
    result = restore(bundle(tmp_path, dict(VALUES, zz=b''), file='', missing='it is kept by the driver pass'))
    assert [item['code'] for item in result['problems']] == ['SECRET_LOST'] and 'driver pass' in result['problems'][0]['message']
    assert set(engine.secrets) == set(VALUES)


@pytest.mark.parametrize('lie', [{'name': 'a,b'}, {'name': 'a/b'}, {'name': ''}, {'name': 'x' * 254}, {'file': '../config/hostconfig.json'},
                                 {'file': 'no-such-file'}, {'name': 5}])
def test_a_bundle_that_lies_is_refused(engine, tmp_path, lie):
    with pytest.raises(LifeboatError):
        restore(bundle(tmp_path, **lie))
    assert not engine.secrets


def test_where_there_is_nothing_or_nobody_to_take_them(engine, tmp_path):
    with pytest.raises(LifeboatError) as caught:
        restore(test_plan.bundle(tmp_path))
    assert 'has no secrets' in str(caught.value)
    path = bundle(tmp_path)
    for options in ({'target': 'directory', 'dest': os.fsencode(str(tmp_path / 'out'))}, {'offline': True, 'data_root': b'/x'}):
        with pytest.raises(LifeboatError) as caught:
            run.restore(planning.Options(path=path, restore=('secrets', 'volumes'), **options))
        assert 'running Podman' in str(caught.value)
    engine.podman = False
    with pytest.raises(LifeboatError) as caught:
        restore(path)
    assert 'on Podman only' in str(caught.value)


def from_the_controller(tmp_path, **options):
    """The same of a bundle that comes in pieces."""
    incoming = tmp_path / 'in'
    incoming.mkdir()
    controller = Controller(incoming, bundle(tmp_path, config=False), **options)
    try:
        return run.restore_remote(planning.Options(path=os.fsencode(str(incoming)), restore=('secrets',)))
    finally:
        controller.thread.join(5)


def test_a_bundle_on_the_controller(engine, tmp_path):
    from_the_controller(tmp_path, size=7)
    assert {name: item[0] for name, item in engine.secrets.items()} == VALUES, 'a name like key.gz is no compressor'


def test_a_value_that_arrives_otherwise_is_not_taken(engine, tmp_path):
    with pytest.raises(LifeboatError) as caught:
        from_the_controller(tmp_path, change=lambda name, data: data + b'!' if name == 'secrets/db-password' else data)
    assert 'arrived damaged' in str(caught.value) and engine.secrets == {}


def test_a_trial_leaves_none(engine, tmp_path):
    restore(bundle(tmp_path), trial=True)
    assert engine.secrets == {}


def test_the_value_is_the_body_of_one_request_and_nowhere_else(api, server):
    place = engineapi.LIBPOD + '/secrets/'
    server.answers.update({'POST %screate' % place: (200, {'ID': 'x'}), 'GET %sa%%20b/json' % place: (200, {'ID': 'x', 'SecretData': 'v'}),
                           'DELETE %sgone' % place: (404, {'message': 'no such secret'})})
    api.create_secret('a b', b'\0value', 'file', {}, {'k': 'v&w'})
    line, headers, body = server.requests[-1]
    assert line == 'POST %screate?name=a+b&driver=file&labels=%%7B%%22k%%22%%3A+%%22v%%26w%%22%%7D' % place and body == b'\0value'
    assert 'value' not in str(headers)
    assert api.secret('a b') == {'ID': 'x', 'SecretData': 'v'} and api.secret('none') is None
    api.remove_secret('gone')
