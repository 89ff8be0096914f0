"""Options that few tests think of and many users have, on the newest engine, there and back: several networks with drivers' options, priorities,
addresses of hardware and of IPv6, networks with reserved addresses, GPUs, mounts of images and of parts of volumes. LIFEBOAT_SOAK: more of them."""
import os
import subprocess
import types

import pytest
import rescued
import test_options
import test_restore
from rig import fixtures, scenario

NONE = test_options.NONE
KIND = 'newer-overlay2'
NETWORKS = {
    'odd-one': ['--subnet', '10.215.0.0/24', '--gateway', '10.215.0.254', '--ip-range', '10.215.0.128/25', '--aux-address', 'router=10.215.0.200',
                '--aux-address', 'switch=10.215.0.201', '--opt', 'com.docker.network.bridge.name=odd1'],
    'odd-two': ['--ipv6', '--subnet', '10.216.0.0/24', '--subnet', 'fd00:216::/64'],
    'odd-six': ['--ipv4=false', '--ipv6', '--subnet', 'fd00:218::/64'],
}
IFNAME = 'driver-opt=com.docker.network.endpoint.ifname='
OPTIONS = {
    'two': ['--network', 'name=odd-one,ip=10.215.0.9,mac-address=02:42:00:00:00:09,gw-priority=1,%sshop0' % IFNAME,
            '--network', 'name=odd-two,ip6=fd00:216::9,alias=other,mac-address=02:42:00:00:00:19,gw-priority=7'],
    'three': ['--network', 'name=odd-two,alias=a', '--network', 'name=odd-one,%sshop1' % IFNAME, '--network', 'odd-six'],
    'byid': ['--network', '{odd-two}'],
    'onegpu': NONE + ['--gpus', '"device=0,GPU-3a","capabilities=compute,utility"'],
    'cdi': NONE + ['--device', 'vendor.com/class=name'],
    'image': NONE + ['--mount', 'type=image,src=%s,dst=/j,image-subpath=etc' % scenario.SHOP],
    'subpath': NONE + ['--mount', 'type=volume,src=odd-vol,dst=/s,volume-subpath=a/b,readonly'],
    'volopts': NONE + ['--mount', 'type=volume,src=odd-made,dst=/v,volume-label=x=y,"volume-opt=o=size=1m,uid=5",volume-opt=type=tmpfs,'
                       'volume-opt=device=tmpfs'],
    'env': NONE + ['--env', 'A=\u65e5\u672c', '--env', 'B= lead', '--env', 'C=#x', '--env', 'D="q"', '--env', 'E=a\rb', '--env', 'F.G-H=x', '--env',
                   'PATH=/x', '--label', 'a.b=', '--label', '\u00fc=\u65e5'],
    'words': NONE + ['--entrypoint', '', '--workdir', '/a b', '--user', ':7'],
}
MORE = {
    'oldmac': ['--mac-address', '02:42:00:00:00:39'],
    'peer': ['--network', 'odd-two', '--ipc', 'shareable'],
    'shares': ['--network', 'container:odd-peer', '--ipc', 'container:odd-peer', '--pid', 'container:odd-peer'],
    'linked': ['--link', 'odd-oldmac:db', '--add-host', 'up:host-gateway', '--add-host', 'six:[fd00::1]'],
    'gpus': NONE + ['--gpus', 'all'], 'cgroupns': NONE + ['--cgroupns', 'host'],
    'note': NONE + ['--annotation', 'a.b/c=d e', '--annotation', 'x='],
    'tmpfs': NONE + ['--mount', 'type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=0700', '--tmpfs', '/t:rw,exec,uid=5,mode=0755'],
    'health': NONE + ['--health-cmd', 'a "b" $C', '--health-start-interval', '1500us', '--health-start-period', '1h2m3.5s'],
    'log': NONE + ['--log-driver', 'json-file', '--log-opt', 'max-size=10m', '--log-opt', 'max-file=3', '--log-opt', 'compress=true', '--log-opt',
                   'tag={{.Name}}/$x'],
    'unlimited': NONE + ['--pids-limit', '-1', '--ulimit', 'memlock=-1:-1', '--memory-swappiness', '0', '-m', '64m', '--memory-swap', '64m'],
    'security': NONE + ['--security-opt', 'apparmor=unconfined', '--security-opt', 'label=disable', '--security-opt', 'writable-cgroups=true'],
    'init': NONE + ['--init=false', '--stop-timeout', '0', '--stop-signal', 'SIGRTMIN+3', '--hostname', 'a.b.example'],
    'colon': NONE + ['--mount', 'type=bind,src=/srv/odd:name,dst=/c:d,readonly,bind-recursive=writable', '--mount',
                     'type=bind,src=/tmp,"dst=/q,x",bind-propagation=rslave'],
    'restart': NONE + ['--restart', 'unless-stopped', '--oom-score-adj', '-500', '--cpus', '0.01'],
    'domain': NONE + ['--domainname', 'x.example'],
    'six': ['--network', 'odd-two', '--publish', '[::1]:18090:80/udp', '--publish', '127.0.0.1::81', '--publish', '18100-18110:82', '--publish',
            '18095:83/sctp', '--expose', '7000-7002', '--expose', '53/udp', '--publish', '0.0.0.0:18097:84', '--publish', '[::]:18098:84'],
    'block': NONE + ['--blkio-weight', '300', '--device-read-bps', '/dev/null:1mb', '--device-read-iops', '/dev/null:10', '--cpu-shares', '7',
                     '--cpuset-cpus', '0-0', '--cgroup-parent', '/odd', '--shm-size', '65537', '--cpus', '0.7'],
    'name': ['--network', 'odd-one', '--dns-option', 'ndots:2', '--dns-search', '.', '--dns', 'fd00::53', '--sysctl', 'net.ipv4.ip_forward=1',
             '--group-add', 'audio', '--cap-add', 'ALL', '--cap-drop', 'CAP_MKNOD', '--userns', 'host', '--uts', 'host'],
    'local': ['--network', 'odd-two', '--link-local-ip', '169.254.7.7', '--ip', '10.216.0.77', '--network-alias', 'q'],
    'modes': NONE + ['--mount', 'type=bind,src=/tmp,dst=/k,consistency=cached,bind-recursive=disabled', '--volume', 'odd-vol:/n:nocopy', '--mount',
                     'type=bind,src=/tmp,dst=/r,readonly,bind-recursive=readonly,bind-propagation=rprivate'],
    'end': ['--network', 'name=bridge,%sodd0' % IFNAME], 'lines': NONE + ['--label', 'a.b=one\ntwo', '--env', 'N=one\ntwo', '--env', 'A.B=x y'],
    'inherits': NONE + ['--health-interval', '7s', '--health-start-interval', '2s'], 'nohealth': NONE + ['--no-healthcheck'],
    'run': NONE + ['--runtime', 'runc', '--isolation', 'default', '--cpuset-mems', '0', '--security-opt', 'no-new-privileges:true'],
    'bridged': ['--publish', '80'],
}
AFTER = {'bridged': 'odd-one'}    # `docker network connect`
OPTIONS.update(fixtures.some((), MORE.items()))
# what Compose cannot say; its file has a NOTE on each
NOT_IN_COMPOSE = {'oldmac': {'endpoints'}, 'end': {'endpoints'}, 'inherits': {'Healthcheck'}, 'run': {'host CpusetMems'},
                  'bridged': {'network', 'endpoints'}}
COMMAND = {'words': ['sh', '-c', 'echo "$@" `x`; :', '--', '-x', '', '\u65e5', 'a\nb']}
SAME = ('SecurityOpt', 'MemorySwappiness', 'CgroupParent', 'Runtime', 'CgroupnsMode', 'Links', 'MaskedPaths', 'ReadonlyPaths', 'OomKillDisable')
ENDPOINT = ('IPAMConfig', 'Links', 'Aliases', 'DriverOpts', 'GwPriority', 'MacAddress')


def network(found):
    return {'Driver': found['Driver'], 'IPv4': found.get('EnableIPv4'), 'IPv6': found['EnableIPv6'], 'Internal': found['Internal'],
            'IPAM': dict(found['IPAM'], Options=found['IPAM']['Options'] or {}), 'Options': found['Options']}


def said(container, names):
    """What `docker inspect` says of a container, with its networks. NAMES: volumes that got another name."""
    found = test_restore.shown(container, names)
    found['endpoints'] = {name: dict(((key, endpoint.get(key) or None) for key in ENDPOINT), Aliases=sorted(
        set(endpoint.get('Aliases') or []) - {container['Id'][:12]}) or None) for name, endpoint in container['NetworkSettings']['Networks'].items()}
    if container['Config'].get('MacAddress'):      # where older engines keep it
        first = found['endpoints'][container['HostConfig']['NetworkMode'].replace('default', 'bridge')]
        first['MacAddress'] = first['MacAddress'] or container['Config']['MacAddress']
    found.update(('host ' + key, test_restore.plain(container['HostConfig'].get(key))) for key in SAME)
    found['Labels'] = {key: value for key, value in found['Labels'].items() if not key.startswith('com.docker.compose.')}
    for endpoint in found['endpoints'].values():    # Compose adds the name of the service
        endpoint['Aliases'] = sorted(set(endpoint['Aliases'] or []) - {container['Name'][1:]}) or None
    for key in ('network', 'host PidMode', 'host IpcMode'):
        if str(found[key]).startswith('container:'):
            found[key] = 'container:'   # by its name or by its id
    found['host ExtraHosts'] = sorted(found['host ExtraHosts'] or ())      # Compose gives them in any order
    if list(found['endpoints']) == ['odd-two']:
        found['network'] = 'odd-two'    # the same
    for request in found['host DeviceRequests'] or ():
        request['Options'] = request['Options'] or None
    return found


def prepare(engine):
    scenario.build_images(engine)
    engine.docker('rm', '-f', 'shop-old')
    os.makedirs(engine.outside('/srv/odd:name'), exist_ok=True)


def fill(engine):
    """The folder of a volume that a container mounts has to be there."""
    engine.docker('run', '--rm', '--network', 'none', '-v', 'odd-vol:/v', scenario.SHOP, 'mkdir -p /v/a/b')


@pytest.fixture(scope='module')
def old(tmp_path_factory):
    """(inspect of every container, of every network, folder of the bundles by container) of a killed engine."""
    from rig.engine import Engine
    folder = tmp_path_factory.mktemp('odd')
    with fixtures.or_say(KIND), Engine(KIND) as engine:
        engine.start()
        prepare(engine)
        idents = {name: engine.docker('network', 'create', *(arguments + [name])).decode().strip() for name, arguments in NETWORKS.items()}
        fill(engine)
        for name, arguments in OPTIONS.items():
            words = [idents[word[1:-1]] if word.startswith('{') else word for word in arguments]
            engine.docker('create', '--name', 'odd-' + name, *words, scenario.SHOP, *COMMAND.get(name, []))
            if name in AFTER:
                engine.docker('network', 'connect', AFTER[name], 'odd-' + name)
        truth = {name: engine.api('GET', '/containers/odd-%s/json' % name) for name in OPTIONS}
        networks = {name: network(engine.api('GET', '/networks/' + name)) for name in NETWORKS}
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), folder, include=('config', 'volumes', 'binds'), host_name='dead')
    yield truth, networks, {item['container'][4:]: item['path'] for item in result['bundles']}, os.path.join(str(folder), 'dead', 'compose.yaml')


def by_compose(path, engine, home):
    """What the one file of the host makes, where its volumes and networks are there."""
    done = subprocess.run([test_options.compose_program(), '-f', path, 'up', '--no-start', '--pull', 'never'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, env=dict(os.environ, DOCKER_HOST='unix://' + engine.socket, HOME=str(home)))
    assert done.returncode == 0, done.stdout.decode('utf-8', 'replace')[-3000:]


def differences(old, engine, way):
    wrong, names = {}, {}
    for name, truth in old[0].items():
        names.update((mount['Name'], 'odd-%s%s' % (name, mount['Destination'].replace('/', '-'))) for mount in truth['Mounts']
                     if len(mount.get('Name', '')) == 64)
    for name, truth in old[0].items():
        expected, found = said(truth, names), said(engine.api('GET', '/containers/odd-%s/json' % name), names)
        for endpoint, asked in expected['endpoints'].items():
            if asked['MacAddress'] is None and endpoint in found['endpoints']:
                found['endpoints'][endpoint]['MacAddress'] = None   # the engine gave one when it was connected afterwards
        differs = {key: (value, found.get(key)) for key, value in expected.items() if found.get(key) != value}
        if way != 'restore':
            differs.pop('Volumes', None)
        if differs:
            wrong[way, name] = differs
    for name, expected in old[1].items():
        found = network(engine.api('GET', '/networks/' + name))
        if found != expected:
            wrong[way, name] = (expected, found)
    return wrong


def test_odd_options_there_and_back(old, start_engine, tmp_path):
    engine = start_engine(KIND)
    prepare(engine)
    order = sorted(old[0], key=lambda name: old[0][name]['Created'])
    for name in order:
        test_restore.restore(engine, old[2][name], restore=('volumes', 'container'), image=scenario.SHOP, ignore=('devices',))
    wrong = differences(old, engine, 'restore')
    engine.docker('rm', '-f', *engine.docker('ps', '-aq').decode().split())
    engine.docker('volume', 'rm', *engine.docker('volume', 'ls', '-q').decode().split())
    engine.docker('network', 'rm', *NETWORKS)
    fill(engine)
    for name in order:
        test_options.by_hand(old[2][name], engine, tmp_path / name)
    wrong.update(differences(old, engine, 'run.sh'))
    engine.docker('rm', '-f', *engine.docker('ps', '-aq').decode().split())
    by_compose(old[3], engine, tmp_path)
    with open(old[3], encoding='utf-8') as handle:
        text = handle.read()
    for (way, name), differs in differences(old, engine, 'compose').items():
        if not set(differs) <= NOT_IN_COMPOSE.get(name, set()) or '# NOTE odd-%s: ' % name not in text:
            wrong[way, name] = differs
    assert not wrong, '\n'.join('%s: %s' % item for item in wrong.items())


# what Docker 20.10 does not know, and is said of each
OLDER = {'two': 'gw-priority', 'subpath': 'volume-subpath', 'note': '--annotation', 'health': '--health-start-interval', 'colon': 'bind-recursive=writable',
         'modes': 'bind-recursive=readonly', 'inherits': '--health-start-interval', 'three': 'without IPv4'}
# what it refuses
REFUSED = {'image': 'mount type unknown', 'security': 'writable-cgroups'}


@pytest.mark.soak             # with LIFEBOAT_SOAK
def test_what_an_older_engine_does_not_know_is_named(old, start_engine):
    engine = start_engine('debian-overlay2')
    prepare(engine)
    said, wrong = {}, {}
    for name in sorted(old[0], key=lambda name: old[0][name]['Created']):
        options = {'restore': ('volumes', 'container'), 'image': scenario.SHOP, 'ignore': ('devices',)}
        try:
            result = test_restore.restore(engine, old[2][name], **options)
            again = test_restore.restore(engine, old[2][name], **options)
        except test_restore.LifeboatError as exc:
            if name not in REFUSED or REFUSED[name] not in str(exc):
                wrong[name] = str(exc)
            continue
        said[name] = ' '.join(problem['message'] for problem in result['problems'])
        if again['changed']:
            wrong[name] = [step for step in again['steps'] if step['action'] != 'keep']
    wrong.update((name, said.get(name)) for name, words in OLDER.items() if words not in said.get(name, ''))
    for (dummy, name), differs in differences((dict((name, old[0][name]) for name in said), {}), engine, 'restore').items():
        for key in ('host MaskedPaths', 'host ReadonlyPaths'):      # defaults of the engine
            differs.pop(key, None)
        if differs and name not in OLDER:
            wrong['differs ' + name] = differs
    assert not wrong, '\n'.join('%s: %s' % item for item in wrong.items())
