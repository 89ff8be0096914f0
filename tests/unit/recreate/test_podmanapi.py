"""What the create body becomes for Podman's Docker-compatible API. Each refusal and each default here was seen with Podman 4.3."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Definition, Health
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import podmanapi

DRIVERS = ('k8s-file', 'none', 'passthrough', 'journald')


def adapted(host=None, definition=None, **body):
    body.update(Image='x', HostConfig=dict(host or {}))
    before = repr(body)
    made, lacks = podmanapi.adapted(body, definition or Definition(), DRIVERS)
    assert repr(body) == before, 'the body that was given stays'
    return made, ' '.join(lack.message + lack.next_step for lack in lacks)


def test_a_container_without_a_time_to_stop_gets_that_of_docker():
    """Over this API Podman would give it none, and kill a database at once."""
    assert adapted()[0]['StopTimeout'] == 10 and adapted(StopTimeout=90)[0]['StopTimeout'] == 90


def test_the_health_check_is_never_left_to_the_image():
    """The image is in the format of OCI, which has none."""
    health = Health(test=('CMD', 'true'), interval=5)
    definition = Definition()._replace(health=health, defaults=Definition().defaults)
    assert adapted(definition=definition)[0]['Healthcheck'] == {'Test': ['CMD', 'true'], 'Interval': 5}
    assert 'Healthcheck' not in adapted()[0]


@pytest.mark.parametrize('key, value, words', [
    ('Links', ['db:db'], 'does not know links'), ('Runtime', 'nvidia', 'the runtime nvidia'),
    ('LogConfig', {'Type': 'fluentd', 'Config': {}}, 'no log driver fluentd'), ('DeviceRequests', [{'Count': -1}], 'device requests'),
    ('SecurityOpt', ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'], 'seccomp profile'), ('Annotations', {'a': 'b'}, 'annotations')])
def test_what_podman_refuses_or_ignores_is_left_out_and_named(key, value, words):
    made, said = adapted({key: value})
    assert not made['HostConfig'].get(key) and words in said


@pytest.mark.parametrize('key, value', [
    ('LogConfig', {'Type': 'json-file', 'Config': {'max-size': '10m'}}), ('LogConfig', {'Type': 'journald'}), ('SecurityOpt', ['seccomp=unconfined']),
    ('Memory', 5), ('CapAdd', ['NET_ADMIN'])])
def test_what_podman_takes_stays(key, value):
    made, said = adapted({key: value})
    assert made['HostConfig'][key] == value and said == ''


def test_the_usual_runtime_is_no_loss():
    made, said = adapted({'Runtime': 'runc'})
    assert 'Runtime' not in made['HostConfig'] and said == ''


def test_volumes_of_mounts_go_to_binds_since_only_they_know_nocopy():
    mount = {'Type': 'volume', 'Source': 'v', 'Target': '/v', 'ReadOnly': True, 'VolumeOptions': {'NoCopy': True}}
    bind = {'Type': 'bind', 'Source': '/srv', 'Target': '/s'}
    made, said = adapted({'Mounts': [mount, bind], 'Binds': ['w:/w:nocopy']})
    assert made['HostConfig']['Binds'] == ['w:/w:nocopy', 'v:/v:ro,nocopy'] and made['HostConfig']['Mounts'] == [bind] and said == ''
    assert 'Mounts' not in adapted({'Mounts': [mount]})[0]['HostConfig']


@pytest.mark.parametrize('more', [{'Target': '/a:b'}, {'VolumeOptions': {'NoCopy': True, 'Subpath': 'x'}}])
def test_a_volume_that_a_bind_cannot_say_stays_and_is_named(more):
    mount = dict({'Type': 'volume', 'Source': 'v', 'Target': '/v', 'VolumeOptions': {'NoCopy': True}}, **more)
    made, said = adapted({'Mounts': [mount]})
    assert made['HostConfig'] == {'Mounts': [mount]} and 'not to fill the volume' in said


def test_a_restart_policy_needs_a_unit():
    assert 'podman-restart.service' in adapted({'RestartPolicy': {'Name': 'always'}})[1]


def test_options_of_the_recorded_command_line_that_the_api_has_no_field_for():
    definition = Definition()._replace(image_recorded='i', create_command=(
        'podman', 'run', '--uidmap', '0:300000:65536', '--gidmap=0:1:2', '--pod=p', '--name', 'x', 'i', '--secret'))
    said = adapted(definition=definition)[1]
    assert '--uidmap, --gidmap, --pod,' in said and '--secret' not in said and 'podman.sh' in said


@pytest.mark.parametrize('options, without', [
    ({'type': 'tmpfs', 'device': 'tmpfs', 'o': 'size=1m,uid=1000'}, {'type': 'tmpfs', 'device': 'tmpfs', 'o': 'uid=1000'}),
    ({'type': 'tmpfs', 'o': 'nr_inodes=5,size=1m'}, {'type': 'tmpfs'}), ({'o': 'ro,resize=1'}, {'o': 'ro,resize=1'}), ({}, {})])
def test_a_volume_without_its_size(options, without):
    assert podmanapi.without_size(options) == without
