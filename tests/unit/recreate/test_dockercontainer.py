"""A definition as arguments of community.docker.docker_container: nothing of the create body is lost without a word."""
import inspect
import re

import pytest
import test_recreate as samples

from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import body as bodies, dockercontainer

# the options of the module (community.docker 4)
OPTIONS = {
    'auto_remove', 'blkio_weight', 'capabilities', 'cap_drop', 'cgroup_parent', 'cgroupns_mode', 'command', 'command_handling',
    'cpu_period', 'cpu_quota', 'cpu_shares', 'cpus', 'cpuset_cpus', 'cpuset_mems', 'default_host_ip', 'devices', 'device_cgroup_rules', 'device_read_bps',
    'device_read_iops', 'device_requests', 'device_write_bps', 'device_write_iops', 'dns_opts', 'dns_search_domains', 'dns_servers',
    'domainname', 'entrypoint', 'env', 'etc_hosts', 'exposed_ports', 'groups', 'healthcheck', 'hostname', 'image', 'init', 'interactive',
    'ipc_mode', 'labels', 'links', 'log_driver', 'log_options', 'memory', 'memory_reservation', 'memory_swap', 'memory_swappiness',
    'mounts', 'name', 'network_mode', 'networks', 'oom_killer', 'oom_score_adj', 'pid_mode', 'pids_limit', 'privileged',
    'publish_all_ports', 'published_ports', 'read_only', 'restart_policy', 'restart_retries', 'runtime', 'security_opts', 'shm_size',
    'stop_signal', 'stop_timeout', 'storage_opts', 'sysctls', 'tmpfs', 'tty', 'ulimits', 'user', 'userns_mode', 'uts', 'volume_driver',
    'volumes', 'working_dir'}


def made(config=None, host=None, **options):
    definition = samples.define(config, host, **options)
    return dockercontainer.arguments(bodies.create_body(definition), definition.name)


@pytest.mark.parametrize('host, expected', [
    ({'Memory': 1 << 29, 'MemorySwap': -1}, {'memory': '536870912', 'memory_swap': 'unlimited'}),
    ({'NanoCpus': 1500000000}, {'cpus': 1.5}),
    ({'PortBindings': {'80/tcp': [{'HostIp': '', 'HostPort': '8080'}], '53/udp': [{'HostIp': '::1', 'HostPort': '53'}], '9/tcp': None}},
     {'published_ports': ['[::1]:53:53/udp', '8080:80/tcp', '9/tcp'], 'default_host_ip': ''}),
    ({'ExtraHosts': ['a:10.0.0.1', 'v6:fd00::1']}, {'etc_hosts': {'a': '10.0.0.1', 'v6': 'fd00::1'}}),
    ({'Devices': [{'PathOnHost': '/dev/kvm', 'PathInContainer': '/dev/kvm', 'CgroupPermissions': 'rw'}]}, {'devices': ['/dev/kvm:/dev/kvm:rw']}),
    ({'Ulimits': [{'Name': 'nofile', 'Soft': 1, 'Hard': 2}]}, {'ulimits': ['nofile:1:2']}),
    ({'Tmpfs': {'/run': 'size=1m', '/tmp': ''}}, {'tmpfs': ['/run:size=1m', '/tmp']}),
    ({'LogConfig': {'Type': 'local', 'Config': {'max-size': '1m'}}}, {'log_driver': 'local', 'log_options': {'max-size': '1m'}}),
    ({'RestartPolicy': {'Name': 'on-failure', 'MaximumRetryCount': 3}}, {'restart_policy': 'on-failure', 'restart_retries': 3}),
    ({'BlkioDeviceReadBps': [{'Path': '/dev/sda', 'Rate': 1024}]}, {'device_read_bps': [{'path': '/dev/sda', 'rate': '1024'}]}),
    ({'DeviceRequests': [{'Driver': '', 'Count': -1, 'DeviceIDs': None, 'Capabilities': [['gpu']], 'Options': {}}]},
     {'device_requests': [{'capabilities': [['gpu']], 'count': -1}]}),
    ({'Mounts': [{'Type': 'tmpfs', 'Target': '/t', 'TmpfsOptions': {'SizeBytes': 5, 'Mode': 448}}]},
     {'mounts': [{'type': 'tmpfs', 'target': '/t', 'tmpfs_size': '5', 'tmpfs_mode': '700'}]}),
    ({'Mounts': [{'Type': 'tmpfs', 'Target': '/t', 'TmpfsOptions': {'Options': [['noexec'], ['uid', '5']]}}]},
     {'mounts': [{'type': 'tmpfs', 'target': '/t', 'tmpfs_options': [{'noexec': None}, {'uid': '5'}]}]}),
    ({'Mounts': [{'Type': 'volume', 'Source': 'v', 'Target': '/v', 'VolumeOptions': {'DriverConfig': {'Options': {'type': 'tmpfs'}}}}]},
     {'mounts': [{'type': 'volume', 'source': 'v', 'target': '/v', 'no_copy': True, 'volume_driver': 'local', 'volume_options': {'type': 'tmpfs'}}]}),
    ({'Binds': ['/srv/a:/a:ro', 'data:/data']}, {'volumes': ['/srv/a:/a:ro', 'data:/data:nocopy']}),
])
def test_options_of_the_host(host, expected):
    found, unsaid = made(host=host)
    assert {key: found[key] for key in expected} == expected and not unsaid


def test_options_of_the_container():
    found, unsaid = made({'Env': ['PATH=/bin', 'A=1', 'B=x=y'], 'Cmd': ['run', 'a b'], 'Entrypoint': ['/init'], 'User': 'nobody',
                          'Healthcheck': {'Test': ['CMD', 'x'], 'Interval': 1500000000, 'Retries': 2}})
    assert not unsaid
    assert (found['env'], found['command'], found['entrypoint'], found['command_handling']) == ({'B': 'x=y'}, ['run', 'a b'], ['/init'], 'correct')
    assert found['healthcheck'] == {'test': ['CMD', 'x'], 'interval': '1s500000us', 'retries': 2}


def test_a_health_check_without_a_test_of_its_own_does_not_switch_that_of_the_image_off():
    assert made({'Healthcheck': {'Interval': 7000000000}})[0]['healthcheck'] == {'interval': '7s', 'test_cli_compatible': True}


def test_a_port_of_one_address_leaves_the_default_alone():
    assert 'default_host_ip' not in made(host={'PortBindings': {'80/tcp': [{'HostIp': '127.0.0.1', 'HostPort': '80'}]}})[0]


def test_what_has_no_option_is_named():
    assert made(host={'MaskedPaths': []})[1] == ['HostConfig.MaskedPaths']
    assert 'HostConfig.ExtraHosts (a second address of a)' in made(host={'ExtraHosts': ['a:1.1.1.1', 'a:2.2.2.2']})[1]


def calls(test):
    """Arguments of each call that pytest makes of TEST; none if it takes fixtures."""
    marks = [mark for mark in getattr(test, 'pytestmark', ()) if mark.name == 'parametrize']
    wanted = set(inspect.signature(test).parameters)
    if not wanted:
        return [{}]
    if len(marks) != 1 or set(re.split(r'[, ]+', marks[0].args[0])) != wanted:
        return []
    names = re.split(r'[, ]+', marks[0].args[0])
    return [dict(zip(names, values if len(names) > 1 else [values])) for values in marks[0].args[1]]


def test_every_option_set_of_the_other_outputs(monkeypatch):
    """Whatever the tests of recreate define: each key of the body is an option of the module or is named."""
    seen = []
    create, define = bodies.create_body, samples.define
    monkeypatch.setattr(samples, 'define', lambda *words, **options: seen.append(define(*words, **options)) or seen[-1])
    for name, test in inspect.getmembers(samples, inspect.isfunction):
        for words in calls(test) if name.startswith('test_') else ():
            test(**words)
    assert len(seen) > 40
    told = ('HostConfig.MaskedPaths', 'HostConfig.ReadonlyPaths', 'HostConfig.Annotations', 'HostConfig.BlkioWeightDevice',
            'HostConfig.CpuRealtimePeriod', 'HostConfig.CpuRealtimeRuntime', 'NetworkDisabled', 'Shell')
    for definition in seen:
        found, unsaid = dockercontainer.arguments(create(definition), definition.name)
        assert set(found) <= OPTIONS
        assert not [item for item in unsaid if not item.startswith(told + ('Env (', 'HostConfig.ExtraHosts (', 'Healthcheck.', 'EndpointsConfig.IPAM'))]


def test_every_key_that_a_body_can_have_is_known():
    """A key that body.py learns and this output does not is seen here."""
    keys = [key for table in (bodies.OWN, bodies.RESOURCES, bodies.SECURITY, bodies.RATES) for key, dummy in table]
    unsaid = {'CpuRealtimePeriod', 'CpuRealtimeRuntime', 'BlkioWeightDevice', 'Annotations'}
    for key in keys:
        found, left = dockercontainer.arguments({'HostConfig': {key: []}}, 'web')
        assert bool(left) == (key in unsaid), key
        assert set(found) <= OPTIONS
