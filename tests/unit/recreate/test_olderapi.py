"""What an older Docker does not know of a container is left out of what it is asked for, and named."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import olderapi

NEW = (1, 51)
OLD = (1, 41)                           # Docker 20.10
MOUNT = {'Type': 'volume', 'Source': 'v', 'Target': '/v', 'VolumeOptions': {'NoCopy': True, 'Subpath': 'a'}}


def body(**host):
    return {'Image': 'x', 'HostConfig': host}


@pytest.mark.parametrize('asked, left, words', [
    (body(Annotations={'a': 'b'}), body(), '--annotation'),
    (body(Mounts=[MOUNT]), body(Mounts=[dict(MOUNT, VolumeOptions={'NoCopy': True})]), 'volume-subpath: the whole volume is mounted (of the mount /v)'),
    (body(Mounts=[{'Target': '/b', 'BindOptions': {'ReadOnlyForceRecursive': True}}]), body(Mounts=[{'Target': '/b'}]), 'bind-recursive=readonly'),
    (dict(body(), Healthcheck={'Retries': 2, 'StartInterval': 5}), dict(body(), Healthcheck={'Retries': 2}), '--health-start-interval'),
    (dict(body(), Healthcheck={'StartInterval': 5}), body(), '--health-start-interval'),
    (dict(body(), NetworkingConfig={'EndpointsConfig': {'a': {'MacAddress': 'm', 'GwPriority': 1}}}),
     dict(body(), NetworkingConfig={'EndpointsConfig': {'a': {'MacAddress': 'm'}}}), 'gw-priority (of the network a)'),
    (dict(body(), NetworkingConfig={'EndpointsConfig': {'a': {}, 'b': {'MacAddress': 'm'}}}),
     dict(body(), NetworkingConfig={'EndpointsConfig': {'a': {}, 'b': {}}}), 'not the first network (of the network b)'),
])
def test_what_an_older_engine_does_not_know_is_named(asked, left, words):
    assert olderapi.adapted(asked, NEW) == (asked, [])
    found, lacks = olderapi.adapted(asked, OLD)
    assert found == left and len(lacks) == 1 and words in lacks[0]


def test_what_it_knows_stays():
    asked = body(CgroupnsMode='host', Memory=5, Mounts=[{'Target': '/b', 'BindOptions': {'NonRecursive': True}}])
    assert olderapi.adapted(asked, OLD) == (asked, [])


def test_a_network_without_ipv4():
    assert not list(olderapi.network_lacks({'disable_ipv4': True}, NEW)) and not list(olderapi.network_lacks({}, OLD))
    assert 'without IPv4' in list(olderapi.network_lacks({'disable_ipv4': True}, OLD))[0]
