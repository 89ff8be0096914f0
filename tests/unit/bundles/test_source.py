import json

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import source
from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Defaults
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

RAW = tar_bytes([ROOT, member('./a', b'x')])
CONFIG = {'ID': 'c' * 64, 'Name': '/web', 'Config': {'Env': ['A=1', 'B=2'], 'Labels': {'a': 'b'}, 'Cmd': ['run'],
                                                     'Hostname': 'c' * 12}}
HOST = {'NetworkMode': 'none', 'Memory': 5, 'RestartPolicy': {'Name': 'always'}, 'Binds': ['data:/d']}


@pytest.fixture
def read(tmp_path):
    def make(files=None, **manifest):
        content = {'volumes/data.tar': RAW, 'config/config.v2.json': json.dumps(CONFIG).encode(),
                   'config/hostconfig.json': json.dumps(HOST).encode()}
        content.update(files or {})
        default = {'container': {'name': 'web', 'id': 'c' * 64}, 'mounts': [
            {'type': 'volume', 'name': 'data', 'destination': '/d', 'driver': 'local', 'labels': {'x': 'y'}, 'rw': True}]}
        default.update(manifest)
        return source.read(make_bundle(tmp_path / 'b', content, default, 'container'))
    return make


def test_a_container(read):
    found = read()
    assert (found.kind, found.name, found.id) == ('container', 'web', 'c' * 64)
    assert found.definition.name == 'web' and found.volumes['data'].labels == {'x': 'y'}
    part = found.of('volume')[0]
    assert (part.name, part.file, part.bytes) == ('data', b'volumes/data.tar', 1)


@pytest.mark.parametrize('manifest', [
    {'container': {}}, {'container': {'name': 5, 'id': []}}, {'mounts': [{}]}, {'networks': []}, {'peers': 7},
    {'mounts': [{'type': 5, 'name': [], 'destination': {}}]}, {'volume': {'name': 1}}])
def test_senseless_fields_are_no_crash(read, manifest):
    found = read(**manifest)
    source.define(found, 'i', None, 'n', {})
    assert isinstance(found.name, str) and isinstance(found.id, str)


@pytest.mark.parametrize('raw', [b'', b'{', b'[]', b'[' * 100000])
def test_configuration_that_was_damaged_on_the_disk(read, raw):
    found = read({'config/config.v2.json': raw})
    assert found.definition.lost_process and found.name == 'web' and found.definition.resources.memory == 5


def test_stable_name_of_the_bundle_wins(read):
    found = read(mounts=[{'type': 'volume', 'name': 'data', 'destination': '/d', 'anonymous': True, 'stable_name': 'shared'}])
    assert source.volume_names(found, {}, 'web') == {'data': 'shared'}


def inspect(**change):
    """docker inspect of what the body below makes."""
    found = {'Image': 'sha256:1', 'Config': {'Image': 'i:1', 'Env': ['A=1', 'B=2', 'PATH=/bin'], 'Labels': {'a': 'b', 'img': ''},
                                             'Cmd': ['run'], 'Entrypoint': None},
             'HostConfig': {'NetworkMode': 'none', 'Memory': 5, 'Binds': ['data:/d'], 'MemorySwap': 10},
             'NetworkSettings': {'Networks': {'none': {}}}}
    for key, value in change.items():
        (found['HostConfig'] if key in found['HostConfig'] else found['Config'] if key != 'Image' else found)[key] = value
    return found


@pytest.mark.parametrize('change, differs', [
    ({}, []), ({'Cmd': ['other']}, ['Cmd']), ({'Env': ['A=1']}, ['Env']), ({'Memory': 6}, ['Memory']),
    ({'Labels': {'a': 'c'}}, ['Labels']), ({'Binds': None}, ['Binds']), ({'NetworkMode': 'host'}, ['NetworkMode']),
    ({'Labels': None}, ['Labels'])])
def test_is_the_container_that_is_there_the_same(read, change, differs):
    from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import body as bodies
    body = bodies.create_body(source.define(read(), 'i:1', Defaults(), 'web', {}))
    assert plan.differences(inspect(**change), body, ('sha256:1',)) == differs


def test_another_image_is_another_container(read):
    from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import body as bodies
    body = bodies.create_body(source.define(read(), 'i:2', Defaults(), 'web', {}))
    assert plan.differences(inspect(), body, ('sha256:2',)) == ['Image']
    assert plan.differences(inspect(), body, ('sha256:1',)) == []


@pytest.mark.parametrize('own, image, refused', [
    (('linux', 'amd64'), ('linux', 'amd64'), False), (('linux', 'x86_64'), ('linux', 'amd64'), False),
    (('linux', 'amd64'), ('linux', 'arm64'), True), (('linux', 'aarch64'), ('linux', 'arm64'), False),
    (('linux', 'amd64'), ('windows', 'amd64'), True), (('linux', 'amd64'), ('', ''), False)])
def test_architecture(own, image, refused):
    engine = type('E', (), {'version': {'Os': own[0], 'Arch': own[1]}})
    for ignore in ((), ('architecture',)):
        made = plan.Plan()
        plan.plan_platform(made, plan.Options(path=b'', ignore=ignore), engine, image, 'The image')
        assert bool(made.refusals) == (refused and not ignore) and bool(made.notes) == (refused and bool(ignore))
