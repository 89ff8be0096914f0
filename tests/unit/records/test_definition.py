"""The neutral definition: as JSON, whatever a bundle says, and as the configuration of an image."""
import json

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.records import codes, definition as definitions, model
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import files

# of every type that a field has, and of none
VALUES = [None, True, 7, -1, 1.5, 10 ** 40, '', 'x', '\ud800', 'a\0b', [], ['x'], [[]], [1, None, 'y'], {}, {'x': 'y'}, {'x': 1}, {'x': {}},
          {'x': [{}]}, [{}], [{'path': 5, 'target': [], 'name': {}, 'type': 'volume'}], [['a', 1]]]


def test_unknown_keys_are_ignored():
    assert definitions.from_json({'name': 'web', 'of_a_later_version': {'x': [1]}, 'resources': {'memory': 5, 'new': 1}}) == \
        definitions.Definition(name='web', resources=definitions.Resources(memory=5))


@pytest.mark.parametrize('value', [None, 5, 'x', [], [[]], [{}], True])
def test_what_is_no_object_is_an_empty_definition(value):
    assert definitions.from_json(value) == definitions.Definition()


@pytest.mark.parametrize('field', definitions.Definition._fields)
def test_a_field_of_any_type_gives_a_definition_that_can_be_written(field):
    for value in VALUES:
        found = definitions.from_json({field: value})
        for other in definitions.Definition._fields:
            assert other == field or getattr(found, other) == getattr(definitions.Definition(), other)
        again = definitions.from_json(json.loads(json.dumps(definitions.to_json(found))))
        assert again == found
        made = files.files(definitions.resolved(found, 'image:1', None))
        assert json.loads(made['create.json'])['Image'] == 'image:1'


@pytest.mark.parametrize('field', ['resources', 'security', 'defaults', 'log', 'restart', 'health'])
def test_a_field_of_a_record_of_any_type(field):
    kind = {'defaults': definitions.Defaults, 'log': definitions.LogDriver, 'health': definitions.Health}.get(field)
    for inner in (kind or type(getattr(definitions.Definition(), field)))._fields:
        for value in VALUES:
            found = definitions.from_json({field: {inner: value}})
            assert definitions.from_json(definitions.to_json(found)) == found
            assert files.files(definitions.resolved(found, 'image:1', found.defaults))


def test_depth_ends():
    value = {}
    for dummy in range(500):
        value = {'labels': value, 'ipam': [value]}
    assert definitions.from_json(value).labels == {}


def test_paths_of_the_managed_node_stay_there():
    mount = model.Mount('bind', None, '/srv', b'/mnt/dead/srv', '/s', True, None, False, 'complete')
    said = definitions.to_json(definitions.Definition(mounts=(mount,)))
    assert 'path' not in said['mounts'][0] and json.dumps(said)
    assert definitions.from_json(said).mounts == (mount._replace(path=None),)


def test_the_path_of_a_device_is_kept():
    device = definitions.Device('/dev/null', '/dev/x', 'r')
    found = definitions.Definition(resources=definitions.Resources(devices=(device,)))
    assert definitions.from_json(definitions.to_json(found)) == found


def test_an_images_configuration_there_and_back():
    config = {'User': 'www', 'ExposedPorts': {'80/tcp': {}}, 'Env': ['A=1'], 'Entrypoint': ['/e'], 'Cmd': ['c'], 'Volumes': {'/d': {}},
              'WorkingDir': '/w', 'Labels': {'a': 'b'}, 'StopSignal': 'USR1', 'StopTimeout': 0, 'Shell': ['/bin/sh', '-c'], 'OnBuild': ['RUN x'],
              'Healthcheck': {'Test': ['CMD', 'true'], 'Interval': 5, 'Retries': 3}, 'ArgsEscaped': True}
    assert definitions.image_config(definitions.image_defaults(config)) == config
    assert definitions.image_config(definitions.image_defaults({'Cmd': None, 'Env': [], 'Labels': None, 'Volumes': {}})) == {}
    # a lone string was a list of one for older engines
    assert definitions.image_defaults({'Cmd': 'run'}).command == ('run',)


def test_every_problem_says_what_it_means_for_the_data():
    lost, blocked = codes.problem('VOLUME_LOST', 'v', 'x'), codes.problem('REFERENCES_DAMAGED', 'r', 'x')
    assert (lost.loses_data, lost.blocks_start) == (True, True)
    assert (blocked.loses_data, blocked.blocks_start) == (False, True)
    info = [code for code, row in codes.CODES.items() if row[0] == model.INFO and codes.LOSES_DATA in row]
    assert info == []
    assert not codes.has('OF_A_LATER_VERSION', codes.LOSES_DATA)


def test_what_a_container_of_a_pod_is_called_when_it_is_made_again():
    assert definitions.new_name('shop/web-0/app') == 'shop_web-0_app' and definitions.new_name('default/web') == 'default_web'
    assert [definitions.new_name(name) for name in ('web', 'a/b/c/d', '/x', 'a b/c')] == ['web', 'a/b/c/d', '/x', 'a b/c']
