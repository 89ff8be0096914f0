import json
import shlex
import subprocess

import pytest
import yaml

from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import stable_name
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import (
    asks,
    body as bodies,
    compose,
    doubts,
    files,
    naming,
    run,
)
from ansible_collections.lifeboat.docker.tests.unit.recreate.recorded import define_recorded

CID = '5674dc1a3426b22a5861ca44d61f8549588f81e7bf22975120045053042b96b4'
PEER = 'a19e573b14097f183010aa2fed6b3f0eba79dd18a7e0525e82902bc7d116c294'
ANONYMOUS = '91ca9de732638385e7b6fe2794243b38bf6b85a370ccb4f4bf02d99eb3b75624'
IMAGE = {'Env': ['PATH=/bin', 'A=1'], 'Cmd': ['serve'], 'Entrypoint': None, 'Labels': {'from': 'image'},
         'ExposedPorts': {'80/tcp': {}}, 'Volumes': {'/data': {}}, 'WorkingDir': '/srv', 'User': 'www',
         'Healthcheck': {'Test': ['CMD', 'true'], 'Interval': 3000000000}}
# what dockerd 20.10 records for `docker create IMAGE`
DEFAULTS = {
    'Binds': None, 'ContainerIDFile': '', 'LogConfig': {'Type': 'json-file', 'Config': {}}, 'NetworkMode': 'default',
    'PortBindings': {}, 'RestartPolicy': {'Name': 'no', 'MaximumRetryCount': 0}, 'AutoRemove': False, 'VolumeDriver': '',
    'VolumesFrom': None, 'CapAdd': None, 'CapDrop': None, 'CgroupnsMode': 'host', 'Dns': [], 'DnsOptions': [],
    'DnsSearch': [], 'ExtraHosts': None, 'GroupAdd': None, 'IpcMode': 'private', 'Cgroup': '', 'Links': None,
    'OomScoreAdj': 0, 'PidMode': '', 'Privileged': False, 'PublishAllPorts': False, 'ReadonlyRootfs': False,
    'SecurityOpt': None, 'UTSMode': '', 'UsernsMode': '', 'ShmSize': 67108864, 'Runtime': 'runc', 'ConsoleSize': [0, 0],
    'Isolation': '', 'CpuShares': 0, 'Memory': 0, 'NanoCpus': 0, 'CgroupParent': '', 'BlkioWeight': 0,
    'BlkioWeightDevice': [], 'BlkioDeviceReadBps': [], 'CpuPeriod': 0, 'CpusetCpus': '', 'CpusetMems': '', 'Devices': [],
    'DeviceCgroupRules': None, 'DeviceRequests': None, 'KernelMemory': 0, 'KernelMemoryTCP': 0, 'MemorySwap': 0,
    'MemorySwappiness': None, 'OomKillDisable': False, 'PidsLimit': None, 'Ulimits': [], 'CpuCount': 0,
    'MaskedPaths': ['/proc/asound', '/proc/acpi', '/proc/kcore', '/proc/keys', '/sys/firmware'],
    'ReadonlyPaths': ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']}


def define(config=None, host=None, **options):
    """A definition of a container that was created with nothing but CONFIG and HOST asked for."""
    image = options.pop('image', IMAGE)
    extra = options.pop('top', {})
    inner = dict(IMAGE)
    inner.update({'Hostname': CID[:12], 'Domainname': '', 'Image': 'shop/web:1', 'OnBuild': None, 'Tty': False})
    inner.update(config or {})
    recorded = {'ID': CID, 'Name': '/web', 'Config': inner, 'NetworkSettings': {'Networks': {'bridge': {
        'IPAMConfig': None, 'Aliases': None, 'NetworkID': '', 'MacAddress': '02:42:ac:11:00:02'}}}}
    recorded.update(extra)
    hostconfig = dict(DEFAULTS)
    hostconfig.update(host or {})
    return define_recorded(recorded, hostconfig, image, 'shop/web:rescued', **options)


def service(definition):
    document = yaml.safe_load(compose.compose([definition]))
    return list(document['services'].values())[0]


def command(definition):
    """The words of the docker run or docker create line in run.sh, without the `--` before the image."""
    text = run.run_sh(definition).replace('\\\n', ' ')
    line = [line for line in text.split('\n') if line.startswith(('docker run ', 'docker create '))]
    words = shlex.split(line[0])
    words.remove('--')
    return words


def flag(definition, name):
    """All values of one flag."""
    words = command(definition)
    return [words[index + 1] for index, word in enumerate(words) if word == name]


def test_defaults_of_image_and_engine_are_left_out():
    definition = define()
    assert bodies.create_body(definition) == {'Image': 'shop/web:rescued', 'HostConfig': {}}
    assert command(definition) == ['docker', 'run', '--detach', '--name', 'web', 'shop/web:rescued']
    assert service(definition) == {'image': 'shop/web:rescued', 'container_name': 'web', 'network_mode': 'bridge'}
    assert doubts.warnings(definition) == []
    assert sorted(files.files(definition)) == ['compose.yaml', 'create.json', 'definition.json', 'run.sh']


def test_lost_image_configuration_gives_everything_recorded():
    body = bodies.create_body(define(image=None))
    assert body['Cmd'] == ['serve'] and body['Env'] == ['PATH=/bin', 'A=1'] and body['User'] == 'www'


@pytest.mark.parametrize('image, own, expected, words, composed', [
    # (entrypoint, cmd) of the image; of the container; what the body says; what follows --entrypoint / the image
    ((None, ['serve']), (None, ['x', '-v']), {'Cmd': ['x', '-v']}, ([], ['x', '-v']), (None, ['x', '-v'])),
    ((['e'], ['c']), (['e'], ['c']), {}, ([], []), (None, None)),
    ((['e'], ['c']), (['e'], None), {'Entrypoint': ['e']}, (['e'], []), (['e'], None)),
    ((['e'], ['c']), (['f', 'g'], None), {'Entrypoint': ['f', 'g']}, (['f'], ['g']), (['f', 'g'], None)),
    ((['e'], ['c']), (None, ['c']), {'Entrypoint': [''], 'Cmd': ['c']}, ([''], ['c']), ([], ['c'])),
    ((['e'], ['c']), (['f'], ['c', 'd']), {'Entrypoint': ['f'], 'Cmd': ['c', 'd']}, (['f'], ['c', 'd']),
     (['f'], ['c', 'd'])),
])
def test_command_survives_the_engines_merge(image, own, expected, words, composed):
    definition = define({'Entrypoint': own[0], 'Cmd': own[1]}, image=dict(IMAGE, Entrypoint=image[0], Cmd=image[1]))
    body = bodies.create_body(definition)
    assert dict((key, body[key]) for key in ('Entrypoint', 'Cmd') if key in body) == expected
    line = command(definition)
    assert flag(definition, '--entrypoint') == words[0]
    assert line[line.index('shop/web:rescued') + 1:] == words[1]
    assert (service(definition).get('entrypoint'), service(definition).get('command')) == composed


# (key of Config, value; words of docker run; key and value of the service)
@pytest.mark.parametrize('key, value, words, target, composed', [
    ('Hostname', 'shop', ['--hostname', 'shop'], 'hostname', 'shop'),
    ('User', '1:2', ['--user', '1:2'], 'user', '1:2'),
    ('WorkingDir', '/w', ['--workdir', '/w'], 'working_dir', '/w'),
    ('StopSignal', 'USR1', ['--stop-signal', 'USR1'], 'stop_signal', 'USR1'),
    ('StopTimeout', 0, ['--stop-timeout', '0'], 'stop_grace_period', '0s'),
    ('Tty', True, ['--tty'], 'tty', True),
    ('OpenStdin', True, ['--interactive'], 'stdin_open', True),
    ('Labels', {'from': 'image', 'a': '$b c'}, ['--label', 'a=$b c'], 'labels', {'a': '$$b c'}),
    ('ExposedPorts', {'80/tcp': {}, '99/udp': {}}, ['--expose', '99/udp'], 'expose', ['99/udp']),
    ('Healthcheck', {'Test': ['NONE']}, ['--no-healthcheck'], 'healthcheck', {'disable': True}),
    ('Healthcheck', {'Test': ['CMD-SHELL', 'a b'], 'Interval': 3000000000, 'Timeout': 1500000000, 'Retries': 4},
     ['--health-cmd', 'a b', '--health-timeout', '1500ms', '--health-retries', '4'], 'healthcheck',
     {'test': ['CMD-SHELL', 'a b'], 'timeout': '1500ms', 'retries': 4}),
])
def test_options_of_the_container(key, value, words, target, composed):
    definition = define({key: value})
    line = ' '.join(map(shlex.quote, command(definition)))
    assert ' '.join(map(shlex.quote, words)) in line
    assert service(definition)[target] == composed
    assert key in bodies.create_body(definition)


@pytest.mark.parametrize('host, words, composed', [
    ({'CapAdd': ['NET_ADMIN'], 'CapDrop': ['ALL']}, '--cap-add NET_ADMIN --cap-drop ALL',
     {'cap_add': ['NET_ADMIN'], 'cap_drop': ['ALL']}),
    ({'Memory': 100, 'MemorySwap': 200}, '--memory 100', {'mem_limit': '100b'}),
    ({'Memory': 100, 'MemorySwap': -1}, '--memory 100 --memory-swap -1', {'mem_limit': '100b', 'memswap_limit': -1}),
    ({'MemorySwappiness': 0}, '--memory-swappiness 0', {'mem_swappiness': 0}),
    ({'NanoCpus': 1500000000, 'CpuShares': 5, 'CpusetCpus': '0-3'}, '--cpu-shares 5 --cpus 1.5 --cpuset-cpus 0-3',
     {'cpus': 1.5, 'cpu_shares': 5, 'cpuset': '0-3'}),
    ({'PidsLimit': 9, 'OomScoreAdj': -5, 'OomKillDisable': True}, '--pids-limit 9 --oom-score-adj -5 --oom-kill-disable',
     {'pids_limit': 9, 'oom_score_adj': -5, 'oom_kill_disable': True}),
    ({'ShmSize': 5}, '--shm-size 5', {'shm_size': '5b'}),
    ({'Ulimits': [{'Name': 'nofile', 'Soft': 1, 'Hard': 2}]}, '--ulimit nofile=1:2',
     {'ulimits': {'nofile': {'soft': 1, 'hard': 2}}}),
    ({'Sysctls': {'net.a': '1'}}, '--sysctl net.a=1', {'sysctls': {'net.a': '1'}}),
    ({'Tmpfs': {'/t': 'size=1m', '/u': ''}}, '--tmpfs /t:size=1m --tmpfs /u', {'tmpfs': ['/t:size=1m', '/u']}),
    ({'Devices': [{'PathOnHost': '/dev/a', 'PathInContainer': '/dev/a', 'CgroupPermissions': 'rwm'},
                  {'PathOnHost': '/dev/a', 'PathInContainer': '/dev/b', 'CgroupPermissions': 'r'}]},
     '--device /dev/a --device /dev/a:/dev/b:r', {'devices': ['/dev/a', '/dev/a:/dev/b:r']}),
    ({'Dns': ['1.1.1.1'], 'DnsSearch': ['x'], 'DnsOptions': ['ndots:1']},
     '--dns 1.1.1.1 --dns-option ndots:1 --dns-search x',
     {'dns': ['1.1.1.1'], 'dns_search': ['x'], 'dns_opt': ['ndots:1']}),
    ({'ExtraHosts': ['h:::1'], 'GroupAdd': ['7']}, '--add-host h:::1 --group-add 7',
     {'extra_hosts': ['h:::1'], 'group_add': ['7']}),
    ({'RestartPolicy': {'Name': 'on-failure', 'MaximumRetryCount': 3}}, '--restart on-failure:3',
     {'restart': 'on-failure:3'}),
    ({'RestartPolicy': {'Name': 'unless-stopped', 'MaximumRetryCount': 0}}, '--restart unless-stopped',
     {'restart': 'unless-stopped'}),
    ({'LogConfig': {'Type': 'local', 'Config': {'max-size': '1m'}}}, '--log-driver local --log-opt max-size=1m',
     {'logging': {'driver': 'local', 'options': {'max-size': '1m'}}}),
    ({'SecurityOpt': ['no-new-privileges', 'apparmor=x']}, '--security-opt no-new-privileges --security-opt apparmor=x',
     {'security_opt': ['no-new-privileges', 'apparmor=x']}),
    ({'MaskedPaths': [], 'ReadonlyPaths': []}, '--security-opt systempaths=unconfined',
     {'security_opt': ['systempaths=unconfined']}),
    ({'Privileged': True, 'MaskedPaths': None, 'ReadonlyPaths': None, 'SecurityOpt': ['label=disable']}, '--privileged',
     {'privileged': True}),
    ({'ReadonlyRootfs': True, 'Init': False, 'IpcMode': 'host', 'PidMode': 'host', 'UsernsMode': 'host'},
     '--ipc host --pid host --userns host --read-only --init=false',
     {'read_only': True, 'init': False, 'ipc': 'host', 'pid': 'host', 'userns_mode': 'host'}),
    ({'PortBindings': {'80/tcp': [{'HostIp': '127.0.0.1', 'HostPort': '8080'}, {'HostIp': '::1', 'HostPort': '81'}],
                       '53/udp': [{'HostIp': '', 'HostPort': '53'}], '9/tcp': [{'HostIp': '', 'HostPort': ''}]}},
     "--publish 9 --publish 53:53/udp --publish 127.0.0.1:8080:80 --publish '[::1]:81:80'",
     {'ports': ['9', '53:53/udp', '127.0.0.1:8080:80', '[::1]:81:80']}),
    ({'BlkioWeight': 10, 'BlkioDeviceReadBps': [{'Path': '/dev/a', 'Rate': 5}]},
     '--blkio-weight 10 --device-read-bps /dev/a:5',
     {'blkio_config': {'weight': 10, 'device_read_bps': [{'path': '/dev/a', 'rate': 5}]}}),
    ({'DeviceRequests': [{'Driver': '', 'Count': -1, 'DeviceIDs': None, 'Capabilities': [['gpu']], 'Options': {}}]},
     '--gpus all', {'deploy': {'resources': {'reservations': {'devices': [{'count': 'all', 'capabilities': ['gpu']}]}}}}),
    ({'DeviceRequests': [{'Driver': 'nvidia', 'Count': 0, 'DeviceIDs': ['0', '2'], 'Capabilities': [['gpu', 'utility']]}]},
     '--gpus \'driver=nvidia,"device=0,2","capabilities=utility"\'',
     {'deploy': {'resources': {'reservations': {'devices': [
         {'driver': 'nvidia', 'device_ids': ['0', '2'], 'capabilities': ['gpu', 'utility']}]}}}}),
    ({'CgroupnsMode': 'host', 'OomKillDisable': None}, '--cgroupns host', {'cgroup': 'host'}),
    ({'Runtime': 'runsc', 'CgroupParent': '/x', 'StorageOpt': {'size': '1G'}},
     '--cgroup-parent /x --runtime runsc --storage-opt size=1G',
     {'runtime': 'runsc', 'cgroup_parent': '/x', 'storage_opt': {'size': '1G'}}),
])
def test_options_of_the_host(host, words, composed):
    definition = define(host=host)
    assert sorted(command(definition)[5:-1]) == sorted(shlex.split(words))
    assert service(definition) == dict({'image': 'shop/web:rescued', 'container_name': 'web', 'network_mode': 'bridge'},
                                       **composed)


def test_swap_that_dockerd_chose_and_label_that_it_added_are_no_options():
    host = bodies.create_body(define(host={'Memory': 100, 'MemorySwap': 200, 'Privileged': True,
                                           'SecurityOpt': ['label=disable']}))['HostConfig']
    assert host == {'Memory': 100, 'Privileged': True}
    assert bodies.create_body(define(host={'SecurityOpt': ['label=disable']}))['HostConfig'] == {
        'SecurityOpt': ['label=disable']}


def test_network_of_the_host_takes_its_name_along():
    definition = define({'Hostname': 'deadhost'}, {'NetworkMode': 'host'}, top={'NetworkSettings': {'Networks': {'host': {}}}})
    assert 'Hostname' not in bodies.create_body(definition)
    assert any('deadhost' in warning for warning in doubts.warnings(definition))
    assert service(definition)['network_mode'] == 'host'


def test_network_of_another_container():
    host = {'NetworkMode': 'container:' + PEER, 'Dns': ['1.1.1.1'], 'PortBindings': {'80/tcp': [{'HostPort': '1'}]}}
    definition = define({'Hostname': 'db', 'ExposedPorts': {'1/tcp': {}}}, host, peers={PEER: 'db'})
    body = bodies.create_body(definition)
    assert body == {'Image': 'shop/web:rescued', 'HostConfig': {'NetworkMode': 'container:db'}}
    assert service(definition)['network_mode'] == 'container:db'
    lonely = define({}, host)
    assert any('not known here' in warning for warning in doubts.warnings(lonely))


def test_networks_with_addresses_and_aliases():
    networks = {'back': {'IPAMConfig': {}, 'Aliases': [CID[:12], 'b'], 'DriverOpts': {}},
                'front': {'IPAMConfig': {'IPv4Address': '172.30.5.9'}, 'Aliases': ['web', 'www', CID[:12]],
                          'Links': ['db:database'], 'IPAddress': '172.30.5.9', 'IPPrefixLen': 24, 'Gateway': '172.30.5.1'}}
    definition = define({'MacAddress': '02:42:ac:11:00:09'}, {'NetworkMode': 'front'},
                        top={'NetworkSettings': {'Networks': networks}})
    assert bodies.create_body(definition)['NetworkingConfig'] == {'EndpointsConfig': {
        'front': {'IPAMConfig': {'IPv4Address': '172.30.5.9'}, 'Aliases': ['web', 'www'], 'Links': ['db:database'],
                  'MacAddress': '02:42:ac:11:00:09'}, 'back': {'Aliases': ['b']}}}
    assert bodies.user_networks(definition) == {
        'front': {'ipam': [{'subnet': '172.30.5.0/24', 'gateway': '172.30.5.1'}]}, 'back': {}}
    text = run.run_sh(definition)
    assert 'docker network create --subnet 172.30.5.0/24 --gateway 172.30.5.1 -- front' in text
    assert 'docker network connect --alias b -- back web\ndocker start -- web\n' in text
    assert command(definition)[:2] == ['docker', 'create']
    made = service(definition)
    assert made['networks'] == {'front': {'ipv4_address': '172.30.5.9', 'aliases': ['www'], 'priority': 100},
                                'back': {'aliases': ['b']}}
    assert made['external_links'] == ['db:database'] and made['mac_address'] == '02:42:ac:11:00:09'


def points(**places):
    return {'MountPoints': dict(('/' + place, dict({'Destination': '/' + place, 'RW': True, 'Driver': '', 'Name': ''},
                                                   **fields)) for place, fields in places.items())}


def test_anonymous_volume_gets_a_stable_name():
    definition = define({'Volumes': {'/data': {}, '/more': {}}}, top=points(
        data={'Name': ANONYMOUS, 'Driver': 'local', 'Type': 'volume', 'Source': '', 'Spec': {}}))
    assert bodies.create_body(definition)['HostConfig']['Binds'] == ['web-data:/data:nocopy']
    assert bodies.create_body(definition)['Volumes'] == {'/more': {}}
    assert naming.volumes(definition)[0]['recorded'] == ANONYMOUS
    document = yaml.safe_load(compose.compose([definition]))
    assert document['volumes'] == {'web-data': {'name': 'web-data', 'external': True}}
    assert 'docker volume create -- web-data' in run.run_sh(definition)


@pytest.mark.parametrize('destination, name', [
    ('/var/lib/data', 'web-var-lib-data'), ('/', 'web'), ('/a b/$c', 'web-a-b-c'), (u'/\u00e4', 'web')])
def test_stable_names_are_names_that_docker_takes(destination, name):
    assert stable_name('web', destination) == name


def test_named_volumes_binds_and_mounts_stay_as_they_were():
    host = {'Binds': ['vol:/v:ro,nocopy', '/srv/a:/bt:ro,rslave'],
            'Mounts': [{'Type': 'volume', 'Source': 'v3', 'Target': '/v3', 'ReadOnly': True,
                        'VolumeOptions': {'NoCopy': True, 'Labels': {'q': 'r,s'}, 'Subpath': 'x'}},
                       {'Type': 'tmpfs', 'Target': '/tm', 'TmpfsOptions': {'SizeBytes': 9, 'Mode': 0o700}}]}
    definition = define(host=host, top=points(
        v={'Name': 'vol', 'Driver': 'local', 'Type': 'volume', 'RW': False, 'Relabel': 'ro'},
        bt={'Source': '/srv/a', 'Type': 'bind', 'RW': False, 'Relabel': 'ro,rslave', 'Propagation': 'rslave'},
        v3={'Name': 'v3', 'Driver': 'local', 'Type': 'volume'}, tm={'Type': 'tmpfs'}))
    body = bodies.create_body(definition)['HostConfig']
    assert (body['Binds'], body['Mounts']) == (host['Binds'], host['Mounts'])
    assert flag(definition, '--volume') == host['Binds']
    assert flag(definition, '--mount') == [
        'type=volume,source=v3,target=/v3,readonly,volume-nocopy,volume-subpath=x,"volume-label=q=r,s"',
        'type=tmpfs,target=/tm,tmpfs-size=9,tmpfs-mode=700']
    assert service(definition)['volumes'][2:] == [
        {'type': 'volume', 'source': 'v3', 'target': '/v3', 'read_only': True, 'volume': {'nocopy': True, 'subpath': 'x'}},
        {'type': 'tmpfs', 'target': '/tm', 'tmpfs': {'size': 9, 'mode': 0o700}}]


def test_no_volume_is_filled_from_the_image():
    """An engine fills an empty volume from the image when it creates a container: what was deleted would be back."""
    host = {'Binds': ['vol:/v', 'vol:/w:ro,z', '/lone', '/srv/a:/b:ro'],
            'Mounts': [{'Type': 'volume', 'Source': 'vol', 'Target': '/m'}, {'Type': 'volume', 'Target': '/n/', 'VolumeOptions': {'Labels': {'a': 'b'}}},
                       {'Type': 'bind', 'Source': '/srv/c', 'Target': '/c'}]}
    places = points(v={'Name': 'vol'}, w={'Name': 'vol', 'RW': False}, lone={'Name': ANONYMOUS}, data={'Name': PEER},
                    m={'Name': 'vol'}, n={'Name': CID}, b={'Source': '/srv/a'}, c={'Source': '/srv/c'})
    definition = define(host=host, top=places)
    body = bodies.create_body(definition)['HostConfig']
    assert body['Binds'] == ['vol:/v:nocopy', 'vol:/w:ro,z,nocopy', 'web-lone:/lone:nocopy', '/srv/a:/b:ro', 'web-data:/data:nocopy']
    assert body['Mounts'] == [
        {'Type': 'volume', 'Source': 'vol', 'Target': '/m', 'VolumeOptions': {'NoCopy': True}},
        {'Type': 'volume', 'Source': 'web-n', 'Target': '/n/', 'VolumeOptions': {'Labels': {'a': 'b'}, 'NoCopy': True}},
        {'Type': 'bind', 'Source': '/srv/c', 'Target': '/c'}]
    assert flag(definition, '--volume') == body['Binds']
    assert all('volume-nocopy' in item for item in flag(definition, '--mount') if 'type=volume' in item)
    for item in service(definition)['volumes']:
        assert item.endswith('nocopy') if isinstance(item, str) and item[0] != '/' else (
            isinstance(item, str) or item['type'] == 'bind' or item['volume']['nocopy'])


@pytest.mark.parametrize('options, said', [
    ({'NonRecursive': True}, 'disabled'), ({'ReadOnlyNonRecursive': True}, 'writable'), ({'ReadOnlyForceRecursive': True}, 'readonly')])
def test_what_lies_mounted_below_a_bind(options, said):
    definition = define(host={'Mounts': [{'Type': 'bind', 'Source': '/srv', 'Target': '/s', 'BindOptions': dict(options, Propagation='rslave')}]})
    assert flag(definition, '--mount') == ['type=bind,source=/srv,target=/s,bind-propagation=rslave,bind-recursive=' + said]
    assert service(definition)['volumes'][0]['bind'] == {'propagation': 'rslave', 'recursive': said}


def test_paused_is_paused_again():
    definition = define(top={'State': {'Running': True, 'Paused': True}})
    assert run.run_sh(definition).endswith('\ndocker pause -- web\n')
    assert any('paused' in warning for warning in doubts.warnings(definition))
    assert 'docker compose pause' in compose.compose([definition])
    assert 'pause' not in run.run_sh(define(top={'State': {'Running': True}}))


def test_volumes_that_compose_does_not_make_are_said_with_their_options():
    definition = define(host={'Binds': ['nfs:/v']}, top=points(v={'Name': 'nfs', 'Driver': 'local'}), volume_info={
        'nfs': {'driver': 'local', 'options': {'type': 'nfs', 'device': ':/x'}, 'labels': {'a': 'b'}}})
    assert '# With its options and labels: docker volume create --opt device=:/x --opt type=nfs --label a=b -- nfs\n' in \
        compose.compose([definition])


# (HostConfig; what `allow` has to name)
@pytest.mark.parametrize('host, kinds', [
    ({}, []), ({'Privileged': True}, ['privileged']), ({'NetworkMode': 'host', 'PidMode': 'host'}, ['host_namespaces']),
    ({'IpcMode': 'host'}, ['host_namespaces']), ({'UTSMode': 'host'}, ['host_namespaces']), ({'UsernsMode': 'host'}, ['host_namespaces']),
    ({'CgroupnsMode': 'host', 'OomKillDisable': None}, ['host_namespaces']), ({'IpcMode': 'shareable', 'PidMode': 'container:x'}, []),
    ({'Binds': ['/:/host:ro']}, ['host_paths']), ({'Binds': ['//../etc/./:/e']}, ['host_paths']), ({'Binds': ['/srv/../root:/r']}, ['host_paths']),
    ({'Binds': ['/home/me/.ssh:/s']}, ['host_paths']), ({'Binds': ['/home/me:/s']}, ['host_paths']), ({'Binds': ['/proc:/p:ro']}, ['host_paths']),
    ({'Binds': ['/var/lib/docker/volumes:/p:ro']}, ['host_paths']), ({'Binds': ['/var/spool/cron:/c']}, ['host_paths']),
    ({'Binds': ['/etc/ssl/certs:/c']}, ['host_paths']), ({'Binds': ['/etc/ssl/certs:/c:ro', '/etc/localtime:/l']}, []),
    ({'Binds': ['/srv/x:/x', '/opt/y:/y', '/home/me/app:/a', '/var/lib/shop:/s', '/mnt:/m', '/etcetera:/z', '/tmp/x:/t']}, []),
    ({'Binds': ['/var/run/docker.sock:/s']}, ['docker_socket']), ({'Binds': ['/run/user/1000/podman/podman.sock:/s:ro']}, ['docker_socket']),
    ({'Mounts': [{'Type': 'bind', 'Source': '/', 'Target': '/h', 'ReadOnly': True}]}, ['host_paths']),
    ({'Mounts': [{'Type': 'bind', 'Source': '/run/docker.sock', 'Target': '/h'}]}, ['docker_socket']),
    ({'Mounts': [{'Type': 'volume', 'Source': 'v', 'Target': '/h', 'VolumeOptions': {'DriverConfig': {'Options': {
        'type': 'none', 'o': 'bind', 'device': '/etc'}}}}]}, ['volume_devices']),
    ({'Devices': [{'PathOnHost': '/dev/sda'}]}, ['devices']), ({'DeviceCgroupRules': ['a *:* rwm']}, ['devices']),
    ({'DeviceRequests': [{'Driver': '', 'Count': -1}]}, ['devices']),
    ({'CapAdd': ['SYS_ADMIN']}, ['capabilities']), ({'CapAdd': ['CAP_NET_ADMIN']}, ['capabilities']), ({'CapAdd': ['all']}, ['capabilities']),
    ({'CapAdd': ['CHOWN', 'CAP_KILL'], 'CapDrop': ['ALL']}, []), ({'SecurityOpt': ['no-new-privileges', 'apparmor=docker-default']}, []),
    ({'SecurityOpt': ['seccomp=unconfined']}, ['capabilities']), ({'SecurityOpt': ['apparmor:unconfined']}, ['capabilities']),
    ({'SecurityOpt': ['label=disable']}, ['capabilities']), ({'SecurityOpt': ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}']}, ['capabilities']),
    ({'MaskedPaths': [], 'ReadonlyPaths': []}, ['capabilities']),
    ({'Privileged': True, 'Binds': ['/:/h', '/run/docker.sock:/s']}, ['privileged', 'host_paths', 'docker_socket']),
])
def test_what_reaches_the_host_is_named(host, kinds):
    definition = define(host=host)
    assert asks.kinds(asks.asks(definition)) == kinds
    for text in (run.run_sh(definition), compose.compose([definition])):
        assert ('allow: [%s]' % ', '.join(kinds) in text) is bool(kinds)


@pytest.mark.parametrize('driver, options, asked', [
    ('local', {'type': 'none', 'o': 'bind', 'device': '/srv/x'}, True), ('local', {'type': 'ext4', 'device': '/dev/sdb1'}, True),
    ('local', {'device': 'relative'}, True),
    ('local', {'type': 'nfs', 'device': '/etc', 'o': 'ro,bind'}, True), ('local', {'type': 'tmpfs', 'device': 'tmpfs'}, False),
    ('local', {'type': 'nfs', 'device': ':/export', 'o': 'addr=10.0.0.1'}, False), ('local', {'type': 'cifs', 'device': '//nas/x'}, False),
    ('local', {}, False), ('local-persist', {'mountpoint': '/etc'}, True), ('rexray', {'size': '5'}, False)])
def test_volumes_that_lead_to_the_host(driver, options, asked):
    definition = define(host={'Binds': ['vol:/v']}, top=points(v={'Name': 'vol', 'Driver': driver}), volume_info={
        'vol': {'driver': driver, 'options': options, 'labels': {}}})
    assert [(ask.kind, ask.volume) for ask in asks.asks(definition)] == ([('volume_devices', 'vol')] if asked else [])


def test_renamed_volume_is_renamed_everywhere():
    host = {'Binds': ['vol:/v'], 'Mounts': [{'Type': 'volume', 'Source': 'vol', 'Target': '/w'}]}
    definition = define(host=host, volume_names={'vol': 'new'}, top=points(
        v={'Name': 'vol', 'Driver': 'local', 'Type': 'volume'}, w={'Name': 'vol', 'Driver': 'local', 'Type': 'volume'}))
    assert 'vol' not in json.dumps(bodies.create_body(definition)['HostConfig']).replace('volume', '').replace('Volume', '')


def test_volumes_from_is_written_out():
    definition = define(host={'VolumesFrom': ['db:ro']}, top=points(
        v={'Name': 'vol', 'Driver': 'local', 'Type': 'volume', 'RW': False}, b={'Source': '/b', 'Type': 'bind', 'Relabel': 'z'}))
    assert bodies.create_body(definition)['HostConfig']['Binds'] == ['/b:/b:z', 'vol:/v:ro,nocopy']


def test_environment_is_only_in_the_env_files():
    secret = 'se cret#$"\\'
    definition = define({'Env': ['A=1', 'PATH=/bin', 'TOKEN=' + secret, 'KEY=line one\nline \'two\'', 'GONE']})
    made = files.files(definition)
    assert made['env'] == 'TOKEN=%s\n' % secret
    assert 'line one' in made['env.sh'] and 'line one' in made['compose.env']
    for name in ('run.sh', 'compose.yaml'):
        assert 'cret' not in made[name] and 'line one' not in made[name]
    assert flag(definition, '--env') == ['KEY', 'GONE']
    assert 'unset GONE\n' in made['run.sh']
    assert service(definition)['env_file'] == ['./compose.env']


def test_shell_gives_back_the_value_with_newlines():
    value = 'a\n$(touch /nowhere) `id` "\'\\'
    text = files.files(define({'Env': ['KEY=' + value]}))['env.sh']
    shown = subprocess.check_output(['sh', '-c', text + 'printf %s "$KEY"'])
    assert shown.decode() == value


@pytest.mark.parametrize('value, line', [
    ('plain', 'K=plain'), ('', 'K='), ('a b', "K='a b'"), ('$x', "K='$x'"), ('a#b "c"', "K='a#b \"c\"'"),
    ("it's", 'K="it\'s"'), ("it's $x", "K='it\\'s $x'"), ('end\\', 'K="end\\\\"'), ('end\\ $x\\', None)])
def test_value_for_compose(value, line):
    assert files.files(define({'Env': ['K=' + value]})).get('compose.env') == (line + '\n' if line else None)
    if line is None:
        assert any('K' in warning for warning in doubts.warnings(define({'Env': ['K=' + value]})))


PROJECT = {'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web',
           'com.docker.compose.container-number': '1', 'com.docker.compose.depends_on': 'db:service_healthy:false,gone'}


def shop():
    networks = {'NetworkSettings': {'Networks': {'shop_default': {'Aliases': ['web', 'shop-web-1', CID[:12]]}}}}
    web = define({'Labels': dict(PROJECT, **IMAGE['Labels'])}, {'NetworkMode': 'shop_default', 'Binds': ['shop_files:/f']},
                 top=dict(points(f={'Name': 'shop_files', 'Driver': 'local', 'Type': 'volume'}), Name='/shop-web-1', **networks),
                 volume_info={'shop_files': {'driver': 'local', 'labels': {'com.docker.compose.project': 'shop',
                                                                           'com.docker.compose.volume': 'files', 'x': 'y'}}})
    db = define_recorded({'ID': PEER, 'Name': '/shop-db-1', 'Config': {'Labels': {
        'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'db'}}}, {'NetworkMode': 'container:' + CID}, {},
        'db:1', peers={CID: 'shop-web-1'})
    return [web, db]


def test_compose_project_becomes_its_own_file_again():
    text = compose.projects(shop() + [define()])
    assert list(text) == ['shop']
    assert yaml.safe_load(text['shop']) == {
        'name': 'shop',
        'services': {'web': {'image': 'shop/web:rescued', 'volumes': ['files:/f:nocopy'],
                             'networks': {'default': None},
                             'depends_on': {'db': {'condition': 'service_healthy'}}},
                     'db': {'image': 'db:1', 'network_mode': 'service:web'}},
        'volumes': {'files': {'name': 'shop_files', 'labels': {'x': 'y'}}},
        'networks': {'default': {'name': 'shop_default'}}}


def test_files_with_the_same_containers_say_so():
    words = 'use one of the two'
    assert words in compose.whole_host(shop(), 'dead') and words in compose.projects(shop())['shop']
    assert words not in compose.whole_host([define()], 'dead') and words not in compose.compose(shop())


def test_whole_host_in_one_file():
    lone = define()
    document = yaml.safe_load(compose.compose(shop() + [lone, lone._replace(id=PEER[::-1])], 'Dead Host'))
    assert document['name'] == 'dead-host'
    assert sorted(document['services']) == ['db', 'web', 'web-2', 'web-3']
    assert document['volumes'] == {'shop_files': {'name': 'shop_files', 'external': True}}
    assert document['networks'] == {'shop_default': {'name': 'shop_default', 'external': True}}


@pytest.mark.parametrize('config, host', [
    ({}, {}), ({}, {'NetworkMode': 'front', 'Binds': ['vol:/v']}),
    ({'Config': []}, []), ({'Config': {'Env': {'a': 1}, 'Cmd': 'x', 'Labels': [], 'Hostname': 5, 'Entrypoint': {}}}, {
        'Binds': 'x', 'Mounts': [[], None, 'a', {'Type': 5}], 'Devices': ['x'], 'Ulimits': [1], 'PortBindings': {'x': 1, 'y': [2]},
        'RestartPolicy': 'always', 'LogConfig': [], 'Tmpfs': ['x'], 'Memory': '1', 'Sysctls': [], 'Init': 'x',
        'DeviceRequests': [1], 'NetworkMode': [], 'CapAdd': {'x': 1}, 'ExtraHosts': 5, 'MaskedPaths': 'x'}),
    ({'MountPoints': {'/x': None, '/y': []}, 'NetworkSettings': {'Networks': {'a': 1}}, 'Name': 7, 'ID': None}, None),
])
def test_whatever_is_recorded_gives_files(config, host):
    definition = define_recorded(config, host, None, 'image:1')
    made = files.files(definition)
    assert json.loads(made['create.json'])['Image'] == 'image:1'
    assert yaml.safe_load(made['compose.yaml'])['services']
    assert doubts.warnings(definition)


def test_names_cannot_break_out_of_the_shell_script(tmp_path):
    nasty = 'x\n touch "%s/pwned"; $(touch %s/pwned) `touch %s/pwned` \'' % ((tmp_path,) * 3)
    definition = define({'Image': nasty, 'User': nasty, 'Labels': {nasty: nasty}, 'Cmd': [nasty], 'Hostname': nasty},
                        {'NetworkMode': nasty, 'Binds': [nasty + ':/x'], 'RestartPolicy': {'Name': nasty}},
                        top={'Name': '/' + nasty})
    (tmp_path / 'run.sh').write_text(run.run_sh(definition))
    (tmp_path / 'docker').write_text('#!/bin/sh\nexit 0\n')
    (tmp_path / 'docker').chmod(0o755)
    subprocess.check_call(['sh', str(tmp_path / 'run.sh')], env={'PATH': '%s:/usr/bin:/bin' % tmp_path})
    assert not (tmp_path / 'pwned').exists()
    assert yaml.safe_load(compose.compose([definition]))


def test_seccomp_profile_becomes_a_file():
    definition = define(host={'SecurityOpt': ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}']})
    assert files.files(definition)['seccomp-0.json'].strip() == '{"defaultAction": "SCMP_ACT_ALLOW"}'
    assert flag(definition, '--security-opt') == service(definition)['security_opt'] == ['seccomp=seccomp-0.json']
    assert bodies.create_body(definition)['HostConfig']['SecurityOpt'][0].startswith('seccomp={')


def test_what_a_person_has_to_know_is_said():
    definition = define(host={'AutoRemove': True, 'KernelMemory': 5}, top=dict(points(
        b={'Source': '/gone', 'Type': 'bind'}, t={'Type': 'tmpfs'}), Managed=True))
    mounts = [mount._replace(status='lost') if mount.type == 'bind' else mount for mount in definition.mounts]
    said = ' '.join(doubts.warnings(definition._replace(mounts=tuple(mounts))))
    for word in ('--rm', 'kernel memory', '/gone', 'tmpfs', 'swarm'):
        assert word in said


ENDPOINTS = {'NetworkSettings': {'Networks': {
    'front': {'DriverOpts': {'ifname': 'shop0', 'a,b': 'c'}, 'GwPriority': 1, 'DesiredMacAddress': '02:42:00:00:00:01'},
    'back': {'Aliases': ['other'], 'DesiredMacAddress': '02:42:00:00:00:02', 'GwPriority': 7},
    'last': {'DriverOpts': {'x': 'y'}, 'GwPriority': -3}}}}
RESERVED = {'driver': 'macvlan', 'options': {'parent': 'eth0'}, 'disable_ipv4': True, 'ipam_driver': 'mine', 'ipam_options': {'k': 'v'},
            'ipam': [{'subnet': '10.1.0.0/24', 'reserved': {'router': '10.1.0.9', 'switch': '10.1.0.8'}}]}


def test_settings_of_each_network_are_kept():
    definition = define(host={'NetworkMode': 'front'}, top=ENDPOINTS)
    endpoints = bodies.create_body(definition)['NetworkingConfig']['EndpointsConfig']
    assert endpoints['front'] == {'DriverOpts': {'ifname': 'shop0', 'a,b': 'c'}, 'MacAddress': '02:42:00:00:00:01', 'GwPriority': 1}
    assert (endpoints['back']['GwPriority'], endpoints['last']['GwPriority']) == (7, -3)
    text = run.run_sh(definition)
    command = shlex.split(text[text.index('docker create'):].replace('\\\n', ' '))
    assert [command[place + 1] for place, word in enumerate(command) if word == '--network'] == [
        'name=front,"driver-opt=a,b=c",driver-opt=ifname=shop0,gw-priority=1', 'name=back,alias=other,mac-address=02:42:00:00:00:02,gw-priority=7']
    assert command[command.index('--mac-address') + 1] == '02:42:00:00:00:01'
    assert 'docker network connect --driver-opt x=y --gw-priority -3 -- last web' in text and 'connect' not in text.replace('network connect', '', 1)
    found = service(definition)
    assert found['mac_address'] == '02:42:00:00:00:01'
    assert found['networks']['front'] == {'driver_opts': {'ifname': 'shop0', 'a,b': 'c'}, 'gw_priority': 1, 'priority': 100}
    assert found['networks']['back'] == {'aliases': ['other'], 'gw_priority': 7, 'mac_address': '02:42:00:00:00:02'}
    assert found['networks']['last'] == {'driver_opts': {'x': 'y'}, 'gw_priority': -3}


def test_addresses_that_a_network_keeps_free_stay_so():
    assert run.network_flags(RESERVED) == ['--driver', 'macvlan', '--subnet', '10.1.0.0/24', '--aux-address', 'router=10.1.0.9', '--aux-address',
                                           'switch=10.1.0.8', '--ipam-driver', 'mine', '--ipv4=false', '--opt', 'parent=eth0', '--ipam-opt', 'k=v']
    definition = define(host={'NetworkMode': 'shop_front'}, config={'Labels': {'com.docker.compose.project': 'shop'}}, top={
        'NetworkSettings': {'Networks': {'shop_front': {}}}}, network_info={'shop_front': RESERVED})
    document = yaml.safe_load(compose.compose([definition]))
    assert document['networks']['front']['enable_ipv4'] is False
    assert document['networks']['front']['ipam'] == {
        'driver': 'mine', 'options': {'k': 'v'}, 'config': [{'subnet': '10.1.0.0/24', 'aux_addresses': {'router': '10.1.0.9', 'switch': '10.1.0.8'}}]}


@pytest.mark.parametrize('mode', ['8b0934a6dfb1', '8b0934a6dfb12645781fcbc782c5672e65af87eaa75fc3178fae2b12adb104de'])
@pytest.mark.parametrize('running', [False, True], ids=['created', 'started'])
def test_a_network_that_was_asked_for_by_its_id_is_no_second_one(mode, running):
    ident = '8b0934a6dfb12645781fcbc782c5672e65af87eaa75fc3178fae2b12adb104de'
    known = {'back': {'driver': 'bridge', 'ident': '1' * 64}, 'front': {'driver': 'bridge', 'ident': ident}}
    definition = define(host={'NetworkMode': mode}, network_info=known, top={
        'NetworkSettings': {'Networks': {'back': {}, 'front': {'NetworkID': ident if running else ''}}}})
    body = bodies.create_body(definition)
    assert body['HostConfig']['NetworkMode'] == 'front' and list(body['NetworkingConfig']['EndpointsConfig']) == ['front', 'back']
    assert sorted(bodies.user_networks(definition)) == ['back', 'front'] and mode not in run.run_sh(definition)


def test_devices_by_the_container_device_interface_are_kept():
    asked = [{'Driver': 'cdi', 'Count': 0, 'DeviceIDs': ['nvidia.com/gpu=all'], 'Capabilities': None, 'Options': None}]
    definition = define(host={'DeviceRequests': asked, 'Devices': [{'PathOnHost': '/dev/fuse', 'PathInContainer': '/dev/fuse', 'CgroupPermissions': 'rwm'}]})
    assert "--device nvidia.com/gpu=all" in run.run_sh(definition)
    assert service(definition)['devices'] == ['/dev/fuse', 'nvidia.com/gpu=all'] and 'deploy' not in service(definition)


def test_a_domain_comes_without_a_host_name_of_its_own():
    definition = define({'Domainname': 'x.example'})
    assert bodies.create_body(definition)['Domainname'] == 'x.example' and flag(definition, '--domainname') == ['x.example']
    assert service(definition)['domainname'] == 'x.example'


def on_networks(*names):
    return define(top={'NetworkSettings': {'Networks': {name: {} for name in names}}})


def test_a_network_that_was_connected_beside_the_default_bridge_is_kept():
    definition = on_networks('bridge', 'front')
    assert list(bodies.create_body(definition)['NetworkingConfig']['EndpointsConfig']) == ['bridge', 'front']
    assert 'docker network connect -- front web' in run.run_sh(definition) and not flag(definition, '--network')
    assert list(service(definition)['networks']) == ['front'] and 'on the default bridge too' in compose.compose([definition])


def test_a_network_that_was_connected_in_place_of_the_default_bridge_is_kept():
    definition = on_networks('front')
    assert flag(definition, '--network') == ['front'] and list(service(definition)['networks']) == ['front']
    assert 'default bridge' not in compose.compose([definition])


def test_options_of_the_default_bridge_are_kept_or_named():
    definition = define(top={'NetworkSettings': {'Networks': {'bridge': {'DriverOpts': {'ifname': 'x0'}}}}})
    assert flag(definition, '--network') == ['name=bridge,driver-opt=ifname=x0']
    assert 'NOTE web: Newer versions of Compose' in compose.compose([definition])


def test_networks_that_compose_does_not_make_are_said_with_their_options():
    definition = define(host={'NetworkMode': 'front'}, top={'NetworkSettings': {'Networks': {'front': {}}}}, network_info={
        'front': {'driver': 'bridge', 'ipam': [{'subnet': '10.1.0.0/24'}], 'labels': {'a': 'b'}}})
    assert '# With its options and labels: docker network create --subnet 10.1.0.0/24 --label a=b -- front\n' in compose.compose([definition])


# Compose refuses the whole file for a start interval without a start period
@pytest.mark.parametrize('image, period', [(IMAGE, None), (dict(IMAGE, Healthcheck={'Test': ['CMD', 'x'], 'StartPeriod': 5000000000}), '5s')])
def test_a_start_interval_has_its_start_period_for_compose(image, period):
    definition = define({'Healthcheck': dict(image.get('Healthcheck') or {'Test': ['CMD', 'x']}, StartInterval=2000000000, Retries=9)}, image=image)
    assert service(definition)['healthcheck'].get('start_period') == period
    assert ('start_interval' in service(definition)['healthcheck']) == bool(period)
    assert ('start interval of the health check is left out' in compose.compose([definition])) != bool(period)


def test_a_linked_container_of_the_same_file_is_made_first():
    one = define(host={'Links': ['/db:/web/db']})
    other = define_recorded({'ID': CID[::-1], 'Name': '/db', 'Config': dict(IMAGE)}, dict(DEFAULTS), IMAGE, 'shop/db:1')
    assert yaml.safe_load(compose.compose([one, other]))['services']['web']['depends_on'] == {'db': {'condition': 'service_started'}}


def test_the_consistency_of_a_mount_is_kept():
    definition = define(host={'Mounts': [{'Type': 'bind', 'Source': '/srv', 'Target': '/x', 'Consistency': 'cached'}]})
    assert flag(definition, '--mount') == ['type=bind,source=/srv,target=/x,consistency=cached']
    assert service(definition)['volumes'][0]['consistency'] == 'cached'


def test_a_mount_of_an_image_that_run_sh_has_is_no_doubt():
    asked = [{'Type': 'image', 'Source': 'shop:1', 'Target': '/j'}]
    place = (model.Mount('image', None, None, None, '/j', True, None, False, 'unsupported'),)
    assert doubts.warnings(define(host={'Mounts': asked}, mounts=place)) == []
    assert flag(define(host={'Mounts': asked}), '--mount') == ['type=image,source=shop:1,target=/j']
    assert 'image mount on /j' in doubts.warnings(define(mounts=place))[0]
