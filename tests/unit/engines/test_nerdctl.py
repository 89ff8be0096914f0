"""nerdctl: namespaces, volumes, labels in two forms, containers of other clients of containerd, and what is left without labels."""
import json
import os

import boltwriter
import deadkube
import pytest
from test_kubernetes import container, entry, facts, node, put, sandbox

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.nerdctl import definition, stores

DATA = '/var/lib/nerdctl/1935db59'
ID = 'a' * 64
SOURCE = DATA + '/volumes/default/data/_data'


def one(tmp_path, labels=None, spec=None, namespace=b'default', ident=ID):
    return facts(node(tmp_path, (ident.encode(), entry({'nerdctl/name': 'web'} if labels is None else labels, {}, spec)), namespace=namespace))


def codes(item):
    return {problem['code'] for problem in item['problems']}


def test_a_volume_by_the_label(tmp_path):
    put(tmp_path, SOURCE + '/file', 'x')
    put(tmp_path, DATA + '/volumes/default/data/volume.json', json.dumps({'labels': {'tier': 'db'}}))
    found = one(tmp_path, {'nerdctl/name': 'web', 'nerdctl/mounts': json.dumps([
        {'Type': 'volume', 'Name': 'data', 'Source': SOURCE, 'Destination': '/data', 'RW': False}])})
    assert [(item['type'], item['name'], item['rw'], item['path']) for item in found['containers'][0]['mounts']] == [
        ('volume', 'data', False, str(tmp_path) + SOURCE)]
    assert [(item['name'], item['labels'], item['used_by']) for item in found['volumes']] == [('data', {'tier': 'db'}, [ID])]


def test_mounts_spread_over_labels():
    text = json.dumps([{'Type': 'bind', 'Source': '/srv/%d' % number, 'Destination': '/%d' % number} for number in range(12)])
    parts = {'nerdctl/mounts.%d' % number: text[number * 50:(number + 1) * 50] for number in range(len(text) // 50 + 1)}
    assert [item['Destination'] for item in definition.mounts(parts)] == ['/%d' % number for number in range(12)]


def test_a_volume_by_the_runtime_spec(tmp_path):
    put(tmp_path, SOURCE + '/file', 'x')
    found = one(tmp_path, spec={'mounts': [{'type': 'bind', 'source': SOURCE, 'destination': '/data', 'options': ['rbind', 'ro']},
                                           {'type': 'bind', 'source': DATA + '/etchosts/x', 'destination': '/etc/hosts'}]})
    assert [(item['name'], item['destination'], item['rw']) for item in found['containers'][0]['mounts']] == [('data', '/data', False)]


def test_namespaces_are_told_apart(tmp_path):
    put(tmp_path, DATA + '/volumes/test/data/_data/file', 'x')
    found = one(tmp_path, {'nerdctl/name': 'web', 'nerdctl/mounts': json.dumps([{'Type': 'volume', 'Name': 'data', 'Destination': '/d'}])}, namespace=b'test')
    assert found['containers'][0]['name'] == 'test/web' and [item['name'] for item in found['volumes']] == ['test_data']


def test_a_container_of_ctr_is_called_by_its_id(tmp_path):
    found = one(tmp_path, {}, ident='redis-1')
    assert [(item['name'], item['id'], item['engine']) for item in found['containers']] == [('redis-1', 'redis-1', 'nerdctl')]


def test_in_the_namespace_of_kubernetes_each_has_its_own(tmp_path):
    found = facts(node(tmp_path, (ID.encode(), entry({'nerdctl/name': 'debug'}, {})), container(), sandbox()))
    assert {(item['name'], item['engine']) for item in found['containers']} == {('k8s.io/debug', 'nerdctl'), ('shop/web-0/app', 'kubernetes')}


@pytest.mark.parametrize('namespace', ['moby', 'moby-100000.100000', 'buildkit', 'buildkit_history', 'plugins.moby'])
def test_namespaces_of_others(tmp_path, namespace):
    assert stores.is_other(namespace)
    assert [item for item in one(tmp_path, {}, namespace=namespace.encode())['roots'] if item['engine'] == 'nerdctl'] == []


def test_what_buildkit_has_is_named(tmp_path):
    put(tmp_path, SOURCE + '/file', 'x')
    folder = node(tmp_path) / 'var/lib/containerd/io.containerd.metadata.v1.bolt'
    os.unlink(str(folder / 'meta.db'))
    boltwriter.write(str(folder / 'meta.db'), {b'v1': {b'default': {}, b'buildkit': {b'snapshots': {b'overlayfs': {b'a' * 25: {b'name': b'buildkit/1/a'}}}}}})
    found = facts(tmp_path)
    assert found['containers'] == [] and [item['message'][:13] for item in found['problems'] if item['code'] == 'BUILD_CACHE'] == ['1 snapshots i']


def test_without_labels(tmp_path):
    """meta.db is lost: nerdctl's own folders have the containers, their names and logs; nothing tells which volumes they had."""
    put(tmp_path, DATA + '/containers/default/%s/%s-json.log' % (ID, ID), '{"log":"a\\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}\n')
    put(tmp_path, DATA + '/names/default/web', ID)
    put(tmp_path, SOURCE + '/file', 'x')
    node(tmp_path)
    os.unlink(str(tmp_path / 'var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db'))
    found = facts(tmp_path)
    item, = found['containers']
    assert (item['name'], len(item['log']['files']), item['mounts']) == ('web', 1, [])
    assert {'STATE_RECORD_LOST', 'WRITABLE_LAYER_LOST'} <= codes(item)
    assert found['orphans']['volumes'] == ['data'] and any('"*"' in problem['next_step'] for problem in item['problems'])


def test_after_a_start_of_containerd_without_its_database(tmp_path):
    """A new and empty meta.db: nerdctl's folders and the names of snapshots still tell whose the layers are."""
    expected = deadkube.build(str(tmp_path / 'var/lib/containerd'), 3, 2, host_root=str(tmp_path), engine='nerdctl')
    meta = str(tmp_path / 'var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db')
    os.unlink(meta)
    boltwriter.write(meta, {b'v1': {b'version': b'\6'}})
    found = facts(tmp_path)
    assert {item['name']: item['layers']['writable'] for item in found['containers']} == {
        item.name: os.fsdecode(item.upper) for item in expected.containers}
    assert all('STATE_RECORD_LOST' in codes(item) for item in found['containers']) and found['orphans']['writable_layers'] == []


def test_a_definition_of_labels():
    found = definition.define({
        'nerdctl/name': 'web', 'nerdctl/hostname': 'box', 'nerdctl/networks': '["bridge","front"]', 'nerdctl/auto-remove': 'true', 'app': 'shop',
        'nerdctl/ports': '[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":"0.0.0.0"}]', 'containerd.io/restart.policy': 'on-failure:3',
        'nerdctl/stop-timeout': '7', 'nerdctl/user': '1:2'}, {'process': {'args': ['/entry', 'run'], 'env': ['A=b'], 'cwd': '/srv'}},
        {'driver': 'json-file', 'opts': {'max-size': '1m'}})
    assert (found.name, found.hostname, list(found.networks), found.auto_remove, found.labels) == ('web', 'box', ['front'], True, {'app': 'shop'})
    assert (found.entrypoint, found.command, found.user, found.stop_timeout) == (('/entry',), ('run',), '1:2', 7)
    assert (found.published, tuple(found.restart), found.log.options) == ({'80/tcp': (('', '8080'),)}, ('on-failure', 3), {'max-size': '1m'})


@pytest.mark.parametrize('labels', [{'nerdctl/ports': '{', 'nerdctl/networks': '[1,{}]', 'nerdctl/mounts': '{"a":1}'}, {'nerdctl/ports': '[[],7]'},
                                    {'nerdctl/stop-timeout': '\u00b2', 'containerd.io/restart.policy': 'on-failure:\u00b2'}])
def test_a_definition_of_anything(labels):
    definition.define(labels, {'process': []}, [])
    assert definition.mounts(labels) == []


def test_a_bind_of_a_folder_of_the_host(tmp_path):
    put(tmp_path, '/srv/www/index', 'x')
    found = one(tmp_path, {'nerdctl/mounts': json.dumps([{'Type': 'bind', 'Source': '/srv/www', 'Destination': '/www', 'RW': True}])})
    assert [(item['type'], item['path']) for item in found['containers'][0]['mounts']] == [('bind', str(tmp_path) + '/srv/www')]


@pytest.mark.parametrize('passwd', ['alice:x:5001:5001::/home/alice:/bin/sh\n', ''])
def test_of_a_user_without_root(tmp_path, passwd):
    """Also of one that only a directory server knows: the folder in /home tells."""
    put(tmp_path, '/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n' + passwd)
    put(tmp_path, '/home/alice/.local/share/nerdctl/0123abcd/volumes/default/data/_data/file', 'x')
    source = '/home/alice/.local/share/nerdctl/0123abcd/volumes/default/data/_data'
    found = facts(node(tmp_path, (ID.encode(), entry({'nerdctl/name': 'web', 'nerdctl/mounts': json.dumps([
        {'Type': 'volume', 'Name': 'data', 'Source': source, 'Destination': '/data'}])}, {})), namespace=b'default', root='home/alice/.local/share/containerd'))
    assert [(item['engine'], item['user'], item['rootless']) for item in found['roots']] == [('nerdctl', 'alice', True)]
    assert [(item['name'], item['path']) for item in found['containers'][0]['mounts']] == [('data', str(tmp_path) + source)]
