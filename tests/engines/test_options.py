# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of docker create, there and back: what the engine recorded on its disk, made into a create body and into
run.sh, gives on another engine a container of which `docker inspect` says the same."""
import json
import os
import subprocess

import pytest
import test_restore
from rig import scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import recreate, recreate_networks
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import engine as restoring, engineapi

NONE = ['--network', 'none']
OPTIONS = {
    'nothing': NONE, 'hostname': NONE + ['--hostname', 'shop', '--domainname', 'example.test'],
    'user': NONE + ['--user', '999:998'], 'workdir': NONE + ['--workdir', '/tmp'],
    'env': NONE + ['--env', 'A=1', '--env', 'Q=it\'s "q" $HOME `id`', '--env', 'M=one\ntwo', '--env', 'EMPTY='],
    'labels': NONE + ['--label', 'a=b', '--label', 'q=$x "y" \'z\''],
    'tty': NONE + ['--tty', '--interactive'], 'stop': NONE + ['--stop-signal', 'USR1', '--stop-timeout', '7'],
    'health': NONE + ['--health-cmd', 'test -f "/x y"', '--health-interval', '90s', '--health-timeout', '1500ms',
                      '--health-retries', '4', '--health-start-period', '2s'],
    'nohealth': NONE + ['--no-healthcheck'], 'expose': NONE + ['--expose', '99', '--expose', '53/udp'],
    'ports': NONE + ['--publish', '127.0.0.1:18080:80', '--publish', '9000-9001:9000-9001/udp', '--publish', '70'],
    'publishall': NONE + ['--publish-all'],
    'memory': NONE + ['--memory', '100m', '--memory-reservation', '50m'], 'swap': NONE + ['-m', '100m', '--memory-swap', '-1'],
    'cpu': NONE + ['--cpus', '1.5', '--cpu-shares', '100', '--cpuset-cpus', '0'],
    'quota': NONE + ['--cpu-period', '50000', '--cpu-quota', '25000'],
    'oom': NONE + ['--oom-score-adj', '10', '--memory', '10m', '--oom-kill-disable'], 'pids': NONE + ['--pids-limit', '50'],
    'ulimit': NONE + ['--ulimit', 'nofile=10:20', '--ulimit', 'core=0'], 'shm': NONE + ['--shm-size', '16m'],
    'caps': NONE + ['--cap-add', 'NET_ADMIN', '--cap-add', 'SYS_PTRACE', '--cap-drop', 'MKNOD'],
    'privileged': NONE + ['--privileged'], 'readonly': NONE + ['--read-only'], 'init': NONE + ['--init'],
    'security': NONE + ['--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=unconfined'],
    'paths': NONE + ['--security-opt', 'systempaths=unconfined'],
    'devices': NONE + ['--device', '/dev/null:/dev/x:r', '--device', '/dev/zero', '--device-cgroup-rule', 'c 1:3 rw'],
    'sysctl': ['--network', 'opt-net', '--sysctl', 'net.ipv4.ip_forward=1'], 'tmpfs': NONE + ['--tmpfs', '/t:size=1m', '--tmpfs', '/u'],
    'groups': NONE + ['--group-add', '7', '--group-add', '8'], 'ipc': NONE + ['--ipc', 'shareable'],
    'pid': NONE + ['--pid', 'host'], 'uts': NONE + ['--uts', 'host'], 'userns': NONE + ['--userns', 'host'],
    'restart': NONE + ['--restart', 'on-failure:3'], 'always': NONE + ['--restart', 'always'], 'remove': NONE + ['--rm'],
    'logs': NONE + ['--log-driver', 'local', '--log-opt', 'max-size=1m'], 'nolog': NONE + ['--log-driver', 'none'],
    'volumes': NONE + ['-v', 'opt-vol:/v:ro', '-v', '/tmp:/b:ro,rslave',
                       '--mount', 'type=volume,src=opt-vol,dst=/w,volume-nocopy', '--mount', 'type=tmpfs,dst=/m,tmpfs-size=1m'],
    'anonymous': NONE + ['-v', '/only-here'], 'entrypoint': NONE + ['--entrypoint', '/bin/echo'],
    'noentrypoint': NONE + ['--entrypoint', ''],
    'network': ['--network', 'opt-net', '--ip', '10.214.0.9', '--network-alias', 'one', '--network-alias', 'two',
                '--dns', '10.0.0.1', '--dns-search', 'x.test', '--dns-option', 'ndots:2', '--add-host', 'h:10.0.0.2'],
    'blkio': NONE + ['--device-read-bps', '/dev/null:1mb'],
}
COMMAND = {'entrypoint': ['a', 'b c'], 'noentrypoint': ['sleep', '5'], 'nothing': ['echo "two words"; exit 3']}


def recorded(engine, name):
    """(config.v2.json, hostconfig.json, image config) from the disk."""
    identifier = engine.docker('inspect', '-f', '{{.Id}}', name).strip().decode()
    folder = os.path.join(engine.data_root, 'containers', identifier)
    with open(os.path.join(folder, 'config.v2.json'), encoding='utf-8') as handle:
        config = json.load(handle)
    with open(os.path.join(folder, 'hostconfig.json'), encoding='utf-8') as handle:
        host = json.load(handle)
    image = engine.api('GET', '/images/%s/json' % scenario.SHOP)
    with open(os.path.join(engine.data_root, 'network/files/local-kv.db'), 'rb') as handle:
        networks = recreate_networks.networks(handle.read())
    return config, host, image['Config'], networks


def define(engine, name):
    config, host, image, networks = recorded(engine, name)
    return recreate.define(config, host, image, scenario.SHOP, network_info=networks)


def prepared(start_engine, kind):
    engine = start_engine(kind)
    scenario.build_images(engine)
    engine.docker('network', 'create', '--subnet', '10.214.0.0/24', 'opt-net')
    engine.docker('volume', 'create', 'opt-vol')
    return engine


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-containerd'])
def test_every_option_there_and_back(kind, start_engine, tmp_path):
    old, new = prepared(start_engine, 'debian-overlay2'), prepared(start_engine, kind)
    api = engineapi.engine('unix://' + new.socket)
    made = {}
    for name, arguments in OPTIONS.items():
        old.docker('create', '--name', 'opt-' + name, *arguments, scenario.SHOP, *COMMAND.get(name, []))
        made[name] = define(old, 'opt-' + name)
    wrong = {}
    for name, definition in made.items():
        names = {volume['recorded']: volume['name'] for volume in recreate.volumes(definition)}
        expected = test_restore.shown(old.api('GET', '/containers/opt-%s/json' % name), names)
        for way in ('body', 'run.sh'):
            if way == 'body':
                body, rest = restoring._body_for(api, recreate.create_body(definition), False)
                identifier = api.create_container('opt-' + name, body)[0]
                for network, endpoint in rest.items():
                    api.connect_network(network, identifier, endpoint)
            else:
                identifier = by_hand(definition, new, tmp_path / name)
            found = test_restore.shown(api.container(identifier), names)
            differs = {key: (value, found.get(key)) for key, value in expected.items() if found.get(key) != value}
            api.remove('/containers/%s' % identifier, {'force': '1'})
            if (name, way) == ('anonymous', 'run.sh'):
                differs.pop('Volumes')  # on the command line a named volume is not declared a second time
            if differs:
                wrong[name, way] = differs
    assert wrong == {}


def by_hand(definition, engine, folder):
    """What `sh run.sh` makes (without starting it)."""
    folder.mkdir()
    for name, content in recreate.files(definition).items():
        (folder / name).write_text(content, encoding='utf-8')
    script = folder / 'run.sh'
    script.write_text(script.read_text(encoding='utf-8').replace('docker run --detach', 'docker create'), encoding='utf-8')
    done = subprocess.run(['sh', str(script)], env=dict(os.environ, DOCKER_HOST='unix://' + engine.socket),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, (definition.name, done.stderr)
    return engine.docker('inspect', '-f', '{{.Id}}', definition.name).strip().decode()


def test_a_network_of_another_container(start_engine):
    old, new = prepared(start_engine, 'debian-overlay2'), prepared(start_engine, 'newer-containerd')
    old.docker('create', '--name', 'opt-db', *NONE, scenario.SHOP)
    old.docker('create', '--name', 'opt-side', '--network', 'container:opt-db', scenario.SHOP)
    config, host, image, networks = recorded(old, 'opt-side')
    peer = old.docker('inspect', '-f', '{{.Id}}', 'opt-db').strip().decode()
    assert host['NetworkMode'] == 'container:' + peer
    definition = recreate.define(config, host, image, scenario.SHOP, network_info=networks, peers={peer: 'opt-db'})
    api = engineapi.engine('unix://' + new.socket)
    api.create_container('opt-db', {'Image': scenario.SHOP, 'HostConfig': {'NetworkMode': 'none'}})
    identifier = api.create_container('opt-side', restoring._body_for(api, recreate.create_body(definition), False)[0])[0]
    assert api.container(identifier)['HostConfig']['NetworkMode'].startswith('container:')
