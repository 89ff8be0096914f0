"""What an engine shows against what was asked for. FOUND is what Podman 4.3 answers for a container that little was asked of."""
import copy

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.restore import shown

FOUND = {
    'Config': {'Hostname': '60147d5ed19c', 'Domainname': '', 'User': '', 'Tty': False, 'OpenStdin': False, 'StdinOnce': False, 'Env': [
        'PATH=/bin', 'TERM=xterm', 'container=podman'], 'Cmd': ['sh', '-c', 'sleep 100'], 'Volumes': None, 'WorkingDir': '/', 'Entrypoint': [],
        'Labels': {}, 'StopSignal': '15', 'StopTimeout': 0},
    'HostConfig': {'Binds': [], 'LogConfig': {'Type': 'json-file', 'Config': None}, 'NetworkMode': 'none', 'PortBindings': {}, 'RestartPolicy': {
        'Name': '', 'MaximumRetryCount': 0}, 'AutoRemove': False, 'CapAdd': [], 'CapDrop': ['AUDIT_WRITE', 'MKNOD', 'NET_RAW'], 'CgroupnsMode': '',
        'IpcMode': 'shareable', 'PidMode': 'private', 'SecurityOpt': [], 'UTSMode': 'private', 'UsernsMode': '', 'Memory': 0, 'Devices': [],
        'DeviceCgroupRules': None, 'Ulimits': [], 'MaskedPaths': None},
    'Mounts': [], 'NetworkSettings': {'Networks': {}}}


def differences(config=None, host=None, network=None, shown_config=None, shown_host=None, **more):
    body = dict(config or {}, HostConfig=dict(host or {}), Image='x')
    if network:
        body['NetworkingConfig'] = {'EndpointsConfig': network}
    found = copy.deepcopy(FOUND)
    found['Config'].update(shown_config or {})
    found['HostConfig'].update(shown_host or {})
    found.update(more)
    return shown.of_container(body, found)


@pytest.mark.parametrize('section, key, asked, said', [
    ('config', 'StopSignal', 'SIGINT', '2'), ('config', 'StopSignal', 'SIGRTMIN+3', '37'), ('config', 'StopSignal', 'TERM', '15'),
    ('config', 'Entrypoint', [''], []), ('config', 'Entrypoint', ['a'], ['a']), ('config', 'Env', ['A=b'], ['A=b', 'TERM=xterm']),
    ('config', 'Labels', {'a': 'b'}, {'a': 'b', 'c': 'd'}), ('config', 'Healthcheck', {'Test': ['NONE']}, {'Test': ['NONE'], 'Retries': 3}),
    ('config', 'AttachStdout', True, False),
    ('host', 'CapAdd', ['NET_ADMIN', 'CAP_SYS_PTRACE'], ['NET_ADMIN', 'SYS_PTRACE']), ('host', 'CapAdd', ['ALL'], list('ABCDEFG')),
    ('host', 'CapDrop', ['CHOWN'], ['AUDIT_WRITE', 'CHOWN']), ('host', 'SecurityOpt', ['no-new-privileges:true'], ['no-new-privileges']),
    ('host', 'SecurityOpt', ['label:disable'], ['label=disable']), ('host', 'UsernsMode', 'host', ''),
    ('host', 'Ulimits', [{'Name': 'nofile', 'Soft': 1, 'Hard': 2}], [{'Name': 'RLIMIT_NOFILE', 'Hard': 2, 'Soft': 1}]),
    ('host', 'Devices', [{'PathOnHost': '/dev/null', 'PathInContainer': '/dev/n', 'CgroupPermissions': 'rwm'}],
     [{'PathOnHost': '/dev/null', 'PathInContainer': '/dev/n', 'CgroupPermissions': ''}]),
    ('host', 'PortBindings', {'80/tcp': [{'HostIp': '', 'HostPort': ''}]}, {'80/tcp': [{'HostIp': '0.0.0.0', 'HostPort': '4'}]}),
    ('host', 'RestartPolicy', {'Name': 'always', 'MaximumRetryCount': 0}, {'Name': 'always', 'MaximumRetryCount': 0}),
    ('host', 'LogConfig', {'Type': 'k8s-file', 'Config': {}}, {'Type': 'json-file', 'Config': None})])
def test_the_same_in_another_form(section, key, asked, said):
    assert differences(**{section: {key: asked}, 'shown_' + section: {key: said}}) == []


@pytest.mark.parametrize('section, key, asked, said', [
    ('host', 'IpcMode', 'host', 'shareable'), ('host', 'Memory', 5, 6), ('host', 'PortBindings', {'80/tcp': [{'HostPort': '1'}]}, {
        '80/tcp': [{'HostPort': '2'}]}), ('config', 'Cmd', ['a'], ['b']), ('config', 'StopSignal', 'SIGINT', '15'), ('config', 'User', 'a', 'b'),
    ('host', 'CapDrop', ['CHOWN'], ['MKNOD']), ('config', 'Healthcheck', {'Test': ['CMD', 'a']}, {'Test': ['CMD', 'b']})])
def test_another_value(section, key, asked, said):
    one, = differences(**{section: {key: asked}, 'shown_' + section: {key: said}})
    assert one.key == key and one.shown is not None and 'asked for' in shown.sentence(one)


@pytest.mark.parametrize('section, key, asked', [
    ('config', 'Domainname', 'd'), ('config', 'ExposedPorts', {'80/tcp': {}}), ('host', 'Sysctls', {'a': '1'}), ('host', 'Ulimits', [{'Name': 'x'}]),
    ('host', 'DeviceCgroupRules', ['c 1:3 rwm']), ('host', 'MaskedPaths', ['/x']), ('host', 'SecurityOpt', ['systempaths=unconfined']),
    ('host', 'LogConfig', {'Type': 'json-file', 'Config': {'max-size': '10m'}}), ('config', 'Env', ['TOKEN=secret']), ('config', 'Labels', {'a': 'secret'})])
def test_nothing_is_shown(section, key, asked):
    one, = differences(**{section: {key: asked}})
    assert one.shown is None and 'shows nothing of' in shown.sentence(one) and 'secret' not in shown.sentence(one)


def mount(place, name='v', kind='volume', rw=True, **more):
    return dict({'Type': kind, 'Name': name if kind == 'volume' else None, 'Source': name, 'Destination': place, 'RW': rw}, **more)


def test_mounts():
    there = [mount('/v'), mount('/s', '/srv', 'bind', False), mount('/w', 'w')]
    binds = ['v:/v:nocopy,rw,rprivate', '/srv:/s:ro,rprivate,rbind', 'w:/w:rw']
    asked = {'Binds': ['v:/v:nocopy', '/srv:/s:ro'], 'Mounts': [{'Type': 'volume', 'Source': 'w', 'Target': '/w/'}]}
    assert differences(host=asked, shown_host={'Binds': binds}, Mounts=there) == []
    for change, words in (({'Binds': ['v:/x']}, 'the mount /x'), ({'Binds': ['other:/v']}, 'other'), ({'Binds': ['v:/v:ro']}, 'ro'),
                          ({'Binds': ['w:/w:nocopy']}, 'nocopy'), ({'Tmpfs': {'/t': ''}}, 'tmpfs on /t'),
                          ({'Mounts': [{'Type': 'volume', 'Source': 'w', 'Target': '/w', 'VolumeOptions': {'Subpath': 'a'}}]}, 'the folder a')):
        one, = differences(host=change, shown_host={'Binds': binds}, Mounts=there)
        assert words in ' '.join(map(str, one)), change


def test_networks():
    networks = {'Networks': {'n': {'Aliases': ['a', '60147d5ed19c'], 'IPAMConfig': None, 'IPAddress': '', 'MacAddress': ''}}}
    host, shown_host = {'NetworkMode': 'n'}, {'NetworkMode': 'bridge'}
    assert differences(host=host, shown_host=shown_host, network={'n': {'Aliases': ['a']}}, NetworkSettings=networks) == []
    for endpoint, words in (({'n': {'Aliases': ['b']}}, 'aliases'), ({'n': {'IPAMConfig': {'IPv4Address': '10.0.0.9'}}}, 'address'),
                            ({'n': {'MacAddress': '02:42:0a:00:00:01'}}, 'MAC'), ({'n': {}, 'm': {}}, 'network m')):
        one, = differences(host=host, shown_host=shown_host, network=endpoint, NetworkSettings=networks)
        assert words in one.key and one.shown is None
    assert [one.key for one in differences(host={'NetworkMode': 'host'})] == ['NetworkMode']


def test_volumes_and_networks_of_the_engine():
    assert shown.of_volume('local', {'type': 'tmpfs'}, {'a': 'b'}, {'Driver': 'local', 'Options': {'type': 'tmpfs'}, 'Labels': {'a': 'b'}}) == []
    assert [one.key for one in shown.of_volume('local', {'type': 'tmpfs'}, {'a': 'b'}, {'Driver': 'local', 'Options': None, 'Labels': {}})] == [
        'Options type', 'Labels a']
    found = {'Driver': 'bridge', 'Internal': True, 'EnableIPv6': False, 'Options': {}, 'Labels': {'a': 'b'}, 'IPAM': {'Config': [
        {'Subnet': '10.99.0.0/24', 'Gateway': '10.99.0.1'}]}}
    info = {'internal': True, 'labels': {'a': 'b'}, 'ipam': [{'subnet': '10.99.0.0/24', 'gateway': '10.99.0.1'}]}
    assert shown.of_network(info, found) == []
    changed = dict(info, options={'com.docker.network.bridge.name': 'br'}, internal=False, ipam=[{'subnet': '10.1.0.0/24'}])
    assert [one.key for one in shown.of_network(changed, found)] == ['Internal', 'Options com.docker.network.bridge.name', 'Subnet']
