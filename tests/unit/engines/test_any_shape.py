"""Records of any shape give definitions: whatever type stands in a place, nothing is raised."""
import copy

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import definition as recorded
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared.lazyrecords import LazyDefinition
from ansible_collections.lifeboat.docker.plugins.module_utils.records import definition
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import files

CONFIG = {
    'ID': 'a' * 64, 'Name': '/web', 'State': {'Paused': False}, 'Managed': False,
    'Config': {'Hostname': 'h', 'User': '0', 'ExposedPorts': {'80/tcp': {}}, 'Tty': True, 'Env': ['A=b'], 'Cmd': ['x'], 'Entrypoint': ['y'],
               'Healthcheck': {'Test': ['CMD', 'a'], 'Interval': 1, 'Retries': 3}, 'Image': 'nginx', 'Volumes': {'/x': {}}, 'WorkingDir': '/',
               'Labels': {'com.docker.compose.depends_on': 'db:service_started:true'}, 'StopSignal': 'SIGTERM', 'StopTimeout': 3},
    'NetworkSettings': {'Networks': {'n1': {'IPAMConfig': {'IPv4Address': '10.0.0.2'}, 'Aliases': ['a'], 'DriverOpts': {'a': 'b'}}}},
    'MountPoints': {'/x': {'Type': 'volume', 'Name': 'v', 'Destination': '/x', 'RW': True, 'Driver': 'local',
                           'Spec': {'VolumeOptions': {'Subpath': 'a'}}, 'Propagation': 'rprivate', 'Relabel': 'z'}}}
HOST = {
    'Binds': ['/a:/b:ro'], 'LogConfig': {'Type': 'json-file', 'Config': {'max-size': '1m'}}, 'NetworkMode': 'n1',
    'PortBindings': {'80/tcp': [{'HostIp': '', 'HostPort': '80'}]}, 'RestartPolicy': {'Name': 'on-failure', 'MaximumRetryCount': 2},
    'VolumesFrom': ['x:ro'], 'CapAdd': ['A'], 'Dns': ['1.1.1.1'], 'ExtraHosts': ['a:1.1.1.1'], 'Links': ['a:b'], 'OomScoreAdj': 1,
    'SecurityOpt': ['seccomp={}'], 'ShmSize': 1, 'Runtime': 'runc', 'BlkioWeightDevice': [{'Path': '/a', 'Weight': 1}], 'NanoCpus': 1,
    'Devices': [{'PathOnHost': '/dev/a', 'PathInContainer': '/dev/a', 'CgroupPermissions': 'r'}], 'PidsLimit': 1, 'Memory': 1,
    'DeviceRequests': [{'Driver': 'nvidia', 'Count': 1, 'DeviceIDs': ['a'], 'Capabilities': [['gpu']], 'Options': {'a': 'b'}}],
    'Ulimits': [{'Name': 'nofile', 'Hard': 1, 'Soft': 1}], 'Tmpfs': {'/a': 'size=1'}, 'Sysctls': {'a': 'b'}, 'StorageOpt': {'size': '1G'},
    'Mounts': [{'Type': 'tmpfs', 'Target': '/t', 'TmpfsOptions': {'SizeBytes': 1, 'Mode': 1}}], 'Init': True, 'Annotations': {'a': 'b'}}


def places(value, path=()):
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield path + (key,)
        yield from places(value[key], path + (key,))


def with_odd(value, path, odd):
    made = copy.deepcopy(value)
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = odd
    return made


@pytest.mark.parametrize('odd', [None, 1.5, 10 ** 30, '', 'a:b:c', [[None]], {'a': {}}, '\ud800'], ids=ascii)
def test_nothing_is_raised(odd):
    pairs = [(with_odd(CONFIG, path, odd), HOST) for path in places(CONFIG)] + [(CONFIG, with_odd(HOST, path, odd)) for path in places(HOST)]
    for config, host in pairs:
        whole = recorded.define(config, host)
        assert recorded.few(config, host) == dict((field, getattr(whole, field)) for field in LazyDefinition.FEW)
        made = files.files(definition.resolved(recorded.define(config, host), 'img', definition.image_defaults({'Env': ['A=1']})))
        assert all(text.encode('utf-8', 'surrogateescape') for text in made.values())


def test_a_lazy_definition_is_made_when_more_than_a_few_fields_are_asked_for():
    made = []

    def whole():
        made.append('whole')
        return recorded.define(CONFIG, HOST)
    lazy = LazyDefinition(whole, lambda: recorded.few(CONFIG, HOST))
    assert (lazy.env, lazy.volumes, lazy.restart.name, lazy.auto_remove, made) == (('A=b',), ('/x',), 'on-failure', False, [])
    assert lazy.hostname == 'h' and lazy.env == ('A=b',) and lazy._replace(name='x').name == 'x' and made == ['whole']
    assert lazy == recorded.define(CONFIG, HOST) and lazy != recorded.define(CONFIG, {}) and made == ['whole']
    assert copy.copy(lazy).user == '0'
    with pytest.raises(AttributeError):
        assert lazy.no_such_field
