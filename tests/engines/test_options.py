"""Every option of docker create, there and back: created with it, killed, rescued, and made again on other engines by
docker_data_restore, by run.sh and by Compose. Then `docker inspect` has to say the same. LIFEBOAT_SOAK: on older engines, too."""
import os
import re
import shutil
import subprocess
import types

import pytest
import rescued
import test_restore
from rig import fixtures, scenario

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
    'db': NONE + ['-v', '/var/lib/db'],
    'side': ['--network', 'container:opt-db', '--pid', 'container:opt-db', '--volumes-from', 'opt-db'],
    'rotate': NONE + ['--log-opt', 'max-size=1m', '--log-opt', 'max-file=3', '--log-opt', 'labels=a'],
    'gone': NONE + ['-v', '/srv/never-was:/x'], 'mems': NONE + ['--cpuset-mems', '0'],
    'blkio': NONE + ['--device-read-bps', '/dev/null:1mb', '--device-write-iops', '/dev/null:100'],
}
COMMAND = {'entrypoint': ['a', 'b c'], 'noentrypoint': ['sleep', '5'], 'nothing': ['echo "two words"; exit 3']}

TARGETS = fixtures.some(['newer-containerd'], ['debian-overlay2'])
# what Compose cannot say; its files have a NOTE on each
NOT_IN_COMPOSE = {'remove': {'host AutoRemove'}, 'publishall': {'host PublishAllPorts'}, 'mems': {'host CpusetMems'}}


@pytest.fixture(scope='module')
def old(tmp_path_factory):
    """(inspect of every container by name, folder of the bundles) of a killed engine."""
    from rig.engine import Engine
    folder = tmp_path_factory.mktemp('options')
    with Engine('debian-overlay2') as engine:
        engine.start()
        scenario.build_images(engine)
        engine.docker('rm', '-f', 'shop-old')
        engine.docker('network', 'create', '--subnet', '10.214.0.0/24', '--label', 'net=label', 'opt-net')
        engine.docker('volume', 'create', '--label', 'vol=label', 'opt-vol')
        for name, arguments in OPTIONS.items():
            engine.docker('create', '--name', 'opt-' + name, *arguments, scenario.SHOP, *COMMAND.get(name, []))
        truth = {name: engine.api('GET', '/containers/opt-%s/json' % name) for name in OPTIONS}
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), folder, include=('config', 'volumes'),
                                host_name='dead')
    assert {item['container'] for item in result['bundles']} == {'opt-' + name for name in OPTIONS}
    yield truth, {item['container'][4:]: item['path'] for item in result['bundles']}, os.path.join(str(folder), 'dead')


def differences(old, engine, way):
    """{(way, option): {field: (expected, found)}}"""
    wrong = {}
    names = {}
    for name, truth in old[0].items():
        for mount in truth['Mounts']:
            if len(mount.get('Name', '')) == 64:
                names.setdefault(mount['Name'], 'opt-%s%s' % (
                    'db' if name == 'side' else name, mount['Destination'].replace('/', '-')))
    for name, truth in old[0].items():
        expected = test_restore.shown(truth, names)
        found = test_restore.shown(engine.api('GET', '/containers/opt-%s/json' % name), names)
        found['Labels'] = {key: value for key, value in found['Labels'].items() if not key.startswith('com.docker.compose.')}
        if name == 'side':
            for key in ('network', 'host PidMode'):
                expected[key], found[key] = expected[key][:10], found[key][:10]
                assert expected[key] == 'container:'
        if way == 'compose':            # which writes CAP_NET_ADMIN for NET_ADMIN; engines take both
            for shown in (expected, found):
                for key in ('host CapAdd', 'host CapDrop'):
                    shown[key] = [cap[4:] if cap.startswith('CAP_') else cap for cap in shown.get(key) or []]
        differs = {key: (value, found.get(key)) for key, value in expected.items() if found.get(key) != value}
        if way != 'restore':
            differs.pop('Volumes', None)    # a volume that has got a name is not declared a second time
        if differs:
            wrong[way, name] = differs
    return wrong


def clean(engine):
    engine.docker('rm', '-f', *engine.docker('ps', '-aq').decode().split())
    engine.docker('volume', 'rm', *engine.docker('volume', 'ls', '-q').decode().split())
    engine.docker('network', 'rm', 'opt-net')


def ordered(old):
    """As they were created: who shares something with another one comes later."""
    return sorted(OPTIONS, key=lambda name: old[0][name]['Created'])


@pytest.mark.parametrize('kind', TARGETS)
def test_every_option_there_and_back(kind, old, start_engine, tmp_path):
    engine = start_engine(kind)
    scenario.build_images(engine)
    engine.docker('rm', '-f', 'shop-old')
    wrong = {}
    alone = {'restore': ('volumes', 'container'), 'image': scenario.SHOP}
    with pytest.raises(test_restore.LifeboatError) as caught:
        test_restore.restore(engine, old[1]['side'], **alone)
    assert 'shares the network of the container opt-db' in str(caught.value) and 'restore that one first' in str(caught.value)
    assert any('opt-db' in note for note in test_restore.restore(engine, old[1]['side'], check=True, **alone)['notes'])
    for name in ordered(old):
        result = test_restore.restore(engine, old[1][name], **alone)
        again = test_restore.restore(engine, old[1][name], **alone)
        assert result['changed'] and not again['changed'], (name, again['steps'])
    wrong.update(differences(old, engine, 'restore'))
    assert engine.docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}} {{.Labels.net}}', 'opt-net').split() == [
        b'10.214.0.0/24', b'label']
    assert engine.docker('volume', 'inspect', '-f', '{{.Labels.vol}}', 'opt-vol').strip() == b'label'
    clean(engine)
    for name in ordered(old):
        by_hand(old[1][name], engine, tmp_path / name)
    wrong.update(differences(old, engine, 'run.sh'))
    if engine.kind.newer:
        clean(engine)
        by_compose(old, engine, tmp_path)
        for (way, name), differs in differences(old, engine, 'compose').items():
            differs = {key: value for key, value in differs.items() if key not in NOT_IN_COMPOSE.get(name, ())}
            if differs:
                wrong[way, name] = differs
    assert not wrong, '\n'.join('%s: %s' % item for item in wrong.items())


def by_hand(bundle, engine, folder):
    """What `sh run.sh` makes (without starting it)."""
    shutil.copytree(os.path.join(bundle, 'config'), str(folder))
    script = folder / 'run.sh'
    script.write_text(script.read_text(encoding='utf-8').replace('docker run --detach', 'docker create'), encoding='utf-8')
    done = subprocess.run(['sh', str(script)], env=dict(os.environ, DOCKER_HOST='unix://' + engine.socket),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, (bundle, done.stderr)


def by_compose(old, engine, folder):
    """All containers of the host by its one file, after what that file says has to exist."""
    program = compose_program()
    with open(os.path.join(old[2], 'compose.yaml'), encoding='utf-8') as handle:
        said = dict(re.findall(r'# These (volumes|networks) have to exist .*: (.*)', handle.read()))
    assert said['networks'] == 'opt-net'
    engine.docker('network', 'create', '--subnet', '10.214.0.0/24', '--label', 'net=label', 'opt-net')
    engine.docker('run', '--rm', '--network', 'none', *(
        word for volume in said['volumes'].split(', ') for word in ('-v', '%s:/v/%s' % (volume, volume))), scenario.SHOP, 'true')
    for options in (['config', '--quiet'], ['up', '--no-start', '--pull', 'never']):
        done = subprocess.run([program, '-f', os.path.join(old[2], 'compose.yaml')] + options, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False,
                              env=dict(os.environ, DOCKER_HOST='unix://' + engine.socket, HOME=str(folder)))
        assert done.returncode == 0, done.stdout.decode('utf-8', 'replace')[-3000:]


def compose_program():
    for name in ('docker-compose', '/usr/libexec/docker/cli-plugins/docker-compose'):
        path = shutil.which(name)
        if path and b'ersion v' in subprocess.run([path, 'version'], stdout=subprocess.PIPE, check=False).stdout:
            return path
    if os.environ.get('CI'):
        pytest.fail('there is no docker-compose of version 2 or newer')
    pytest.skip('there is no docker-compose of version 2 or newer')
