"""The files of a dead swarm: which, with which content, who may read them, and that no name of the state is a path."""
import base64
import hashlib
import json
import os
import stat
import subprocess

import deadroot
import deadswarm
import pytest
import yaml
from deadswarm import CREATE, mapping, message, request

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.swarm import export

SHOP = mapping(com__docker__stack__namespace='shop')


def a_second(number):
    """A Duration."""
    return message((1, number))


SERVICE = deadswarm.service(
    'svc1', 'shop_web', 'nginx:1@sha256:' + 'a' * 64, 3,
    container=message(
        (2, mapping(com__docker__stack__namespace='shop', tier='front')), (3, ['/entry', '$x']), (4, ['-a', 'b c']), (5, ['PASSWORD=p$1', 'BARE']),
        (6, '/srv'), (7, '1000:1000'), (8, [message((1, 1), (2, 'shop_data'), (3, '/data'), (6, message((2, SHOP)))),
                                            message((1, 0), (2, '/srv/x'), (3, '/x'), (4, 1), (5, message((1, 4)))), message((1, 2), (3, '/t'))]),
        (9, a_second(10)), (12, message((1, 'sec1'), (2, 'shop_password'), (3, message((1, 'pw'), (2, '0'), (3, '0'), (4, 0o400))))),
        (15, message((1, '1.1.1.1'), (2, 'lan'))), (16, message((1, ['CMD', 'true']), (2, a_second(5)), (4, 3))), (17, '10.0.0.5 db other'),
        (19, 1), (21, message((1, 'con1'), (2, 'site'), (3, message((1, '/etc/site'), (2, '0'), (3, '0'), (4, 0o444))))), (23, message((1, 1))),
        (25, 64), (27, 'CAP_NET_ADMIN'), (29, message((1, 'nofile'), (2, 10), (3, 20)))),
    task=message((2, message((1, message((1, 500000000), (2, 52428800))), (2, message((2, 1048576))))), (4, message((1, 1), (2, a_second(5)), (3, 4))),
                 (5, message((1, 'node.role==worker'), (2, message((1, message((1, 'node.labels.rack'))))), (4, 2))),
                 (6, message((1, 'json-file'), (2, mapping(max_size='10m')))),
                 (7, [message((1, 'net1'), (2, ['web', 'www'])), message((1, 'net2'))])),
    spec=message((6, message((1, 2), (2, a_second(1)), (6, 1))), (8, message((1, 0), (2, message((2, 0), (3, 80), (4, 8080)))))),
    labels=SHOP + mapping(owner='me'))
ALONE = deadswarm.service('svc2', 'alone', 'busybox', 1, task=message((7, message((1, 'net2')))))
GLOBAL = deadswarm.named('svc3', 'agent', message((2, message((1, message((1, 'agent:2'))))), (4, b'')))
OBJECTS = [
    ('network', deadswarm.named('net1', 'shop_back', message((2, message((1, 'overlay'))), (6, 1)), SHOP, _4=message((1, 'overlay')))),
    ('network', deadswarm.named('net2', 'shared', message((2, message((1, 'overlay'))), (5, message((3, message((2, '10.9.0.0/24'), (4, '10.9.0.1'))))))),),
    ('network', deadswarm.named('net3', 'ingress', message((7, 1)))),
    ('secret', deadswarm.secret('sec1', 'shop_password', b'hunter2', SHOP)), ('secret', deadswarm.secret('sec2', 'loose', b'x')),
    ('config', deadswarm.config('con1', 'site', b'server')), ('service', SERVICE), ('service', ALONE), ('service', GLOBAL)]


@pytest.fixture
def host(tmp_path):
    """host(objects): a dead manager with them; the path of its root."""
    def make(objects, **options):
        path = tmp_path / 'host' / 'var' / 'lib' / 'docker'
        deadroot.build(str(path), containers=1, host_root=str(tmp_path / 'host'), rich=False)
        node = deadswarm.Node(path, **options).begin()
        node.entries(*[request((CREATE, kind, raw)) for kind, raw in objects]).write_log()
        return str(tmp_path / 'host')
    return make


def exported(top, dest, **options):
    with registry.open_host(os.fsencode(top)) as opened:
        return export.export(opened, export.Request(os.fsencode(str(dest)), 'box', **options))


def test_the_files_and_who_may_read_them(host, tmp_path):
    result = exported(host(OBJECTS), tmp_path / 'out', include=('secrets',))
    folder = tmp_path / 'out' / 'box' / 'swarm'
    assert result['changed'] is True and result['folder'] == str(folder)
    assert result['files'] == ['swarm/' + name for name in (
        'configs.json', 'configs/site', 'create.sh', 'networks.json', 'nodes.json', 'secrets.json', 'secrets/loose', 'secrets/shop_password',
        'services.json', 'stack-shop.yml', 'stack.yml', 'swarm.json', 'SHA256SUMS')]
    assert (folder / 'secrets/shop_password').read_bytes() == b'hunter2' and (folder / 'configs/site').read_bytes() == b'server'
    for top, folders, files in os.walk(str(folder)):
        assert {stat.S_IMODE(os.stat(os.path.join(top, name)).st_mode) for name in folders} <= {0o700}
        assert {stat.S_IMODE(os.stat(os.path.join(top, name)).st_mode) for name in files} == {0o600}
    for line in (folder / 'SHA256SUMS').read_text().splitlines():
        digest, name = line.split('  ')
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert len((folder / 'SHA256SUMS').read_text().splitlines()) == len(result['files']) - 1
    assert exported(str(tmp_path / 'host'), tmp_path / 'out', include=('secrets',))['changed'] is False


def test_no_secret_without_consent(host, tmp_path):
    result = exported(host(OBJECTS), tmp_path / 'out')
    assert [item['code'] for item in result['problems'] if item['code'].startswith('SWARM')] == ['SWARM_SECRETS_LEFT_OUT']
    assert not any(name.startswith('swarm/secrets/') for name in result['files'])
    for top, dummy, files in os.walk(str(tmp_path / 'out')):
        for name in files:
            content = open(os.path.join(top, name), 'rb').read()
            assert b'hunter2' not in content and base64.b64encode(b'hunter2') not in content
    assert 'hunter2' not in json.dumps(result) and 'p$1' not in json.dumps(result)
    stack = yaml.safe_load((tmp_path / 'out/box/swarm/stack-shop.yml').read_text())
    assert stack['secrets']['password'] == {'external': True, 'name': 'shop_password'}


def test_the_stack_file(host, tmp_path):
    exported(host(OBJECTS), tmp_path / 'out', include=('secrets',))
    stack = yaml.safe_load((tmp_path / 'out/box/swarm/stack-shop.yml').read_text())
    assert stack == {
        'version': '3.9', 'services': {'web': {
            'image': 'nginx:1@sha256:' + 'a' * 64, 'working_dir': '/srv', 'user': '1000:1000', 'read_only': True, 'init': True,
            'entrypoint': ['/entry', '$$x'], 'command': ['-a', 'b c'], 'cap_add': ['CAP_NET_ADMIN'], 'environment': ['PASSWORD=p$$1'],
            'extra_hosts': ['db:10.0.0.5', 'other:10.0.0.5'], 'dns': ['1.1.1.1'], 'dns_search': ['lan'],
            'healthcheck': {'test': ['CMD', 'true'], 'retries': 3, 'interval': '5s'}, 'ulimits': {'nofile': {'soft': 10, 'hard': 20}},
            'stop_grace_period': '10s', 'labels': {'tier': 'front'},
            'volumes': [{'type': 'volume', 'source': 'data', 'target': '/data'},
                        {'type': 'bind', 'source': '/srv/x', 'target': '/x', 'read_only': True, 'bind': {'propagation': 'rslave'}},
                        {'type': 'tmpfs', 'target': '/t'}],
            'networks': {'back': {'aliases': ['www']}, 'shared': {}},
            'secrets': [{'source': 'password', 'target': 'pw', 'uid': '0', 'gid': '0', 'mode': 0o400}],
            'configs': [{'source': 'site', 'target': '/etc/site', 'uid': '0', 'gid': '0', 'mode': 0o444}],
            'ports': [{'target': 80, 'published': 8080, 'protocol': 'tcp', 'mode': 'ingress'}],
            'logging': {'driver': 'json-file', 'options': {'max_size': '10m'}},
            'deploy': {
                'mode': 'replicated', 'replicas': 3, 'labels': {'owner': 'me'}, 'endpoint_mode': 'vip',
                'update_config': {'parallelism': 2, 'failure_action': 'pause', 'max_failure_ratio': 0.0, 'order': 'start-first', 'delay': '1s'},
                'resources': {'limits': {'pids': 64, 'cpus': '0.5', 'memory': '52428800b'}, 'reservations': {'memory': '1048576b'}},
                'restart_policy': {'condition': 'on-failure', 'delay': '5s', 'max_attempts': 4},
                'placement': {'constraints': ['node.role==worker'], 'max_replicas_per_node': 2, 'preferences': [{'spread': 'node.labels.rack'}]}}}},
        'networks': {'back': {'name': 'shop_back', 'driver': 'overlay', 'attachable': True}, 'shared': {'external': True, 'name': 'shared'}},
        'volumes': {'data': {'name': 'shop_data'}},
        'secrets': {'password': {'name': 'shop_password', 'file': './secrets/shop_password'}},
        'configs': {'site': {'external': True, 'name': 'site'}}}
    text = (tmp_path / 'out/box/swarm/stack-shop.yml').read_text()
    assert 'variables without a value are left out' in text
    rest = yaml.safe_load((tmp_path / 'out/box/swarm/stack.yml').read_text())
    assert sorted(rest['services']) == ['agent', 'alone'] and rest['services']['agent']['deploy']['mode'] == 'global'
    assert rest['networks'] == {'shared': {'external': True, 'name': 'shared'}}


def test_two_names_with_the_same_end(host, tmp_path):
    """shop_wide of the stack and wide of nobody are two networks in one file."""
    nets = [('network', deadswarm.named('n1', 'shop_wide', message((2, message((1, 'overlay')))), SHOP)), ('network', deadswarm.named('n2', 'wide'))]
    both = deadswarm.service('s1', 'shop_a', 'x', task=message((7, [message((1, 'n2')), message((1, 'n1'))])), labels=SHOP)
    exported(host(nets + [('service', both)]), tmp_path / 'out')
    stack = yaml.safe_load((tmp_path / 'out/box/swarm/stack-shop.yml').read_text())
    assert {key: item['name'] for key, item in stack['networks'].items()} == {'wide': 'wide', 'shop_wide': 'shop_wide'}
    assert sorted(stack['services']['a']['networks']) == ['shop_wide', 'wide']


def commands(script, folder, there=False):
    """What a script runs: its arguments, one list a call of docker."""
    tool = folder / 'docker'
    tool.write_text('#!/bin/sh\nif [ "$2" = inspect ]; then exit "$FOUND"; fi\n'
                    'for word; do printf "%s\\0" "$word"; done >>"$SEEN"; printf "\\n\\0" >>"$SEEN"\n')
    tool.chmod(0o755)
    seen = folder / 'seen'
    seen.write_text('')
    subprocess.run(['sh', str(script)], check=True, env={
        'PATH': '%s:/usr/bin:/bin' % folder, 'SEEN': str(seen), 'FOUND': str(int(not there))})
    return [call.strip('\0').split('\0') for call in seen.read_text().split('\n\0') if call.strip('\0')]


def test_the_script(host, tmp_path):
    exported(host(OBJECTS), tmp_path / 'out', include=('secrets',))
    assert commands(tmp_path / 'out/box/swarm/create.sh', tmp_path) == [
        ['network', 'create', '--driver', 'overlay', '--subnet', '10.9.0.0/24', '--gateway', '10.9.0.1', '--', 'shared'],
        ['secret', 'create', '--', 'loose', 'secrets/loose'], ['config', 'create', '--', 'site', 'configs/site']]
    assert commands(tmp_path / 'out/box/swarm/create.sh', tmp_path, there=True) == []


HOSTILE = ['../../../evil', '/abs', '-rf', 'a\nb', '$(touch evil)', '..', '.', '', '\x1b[31m', "a'; touch evil; '", 'x' * 300, 'caf\u00e9', 'A', 'a']


def test_names_of_the_state_are_no_paths_options_or_shell_words(host, tmp_path):
    labels = mapping(com__docker__stack__namespace='../$(touch evil)\n')
    objects = [(kind, deadswarm.secret('%s%d' % (kind, number), name, name.encode('utf-8'), labels if number % 2 else ()))
               for kind in ('secret', 'config') for number, name in enumerate(HOSTILE)]
    objects += [('network', deadswarm.named('n%d' % number, name, message((2, message((1, '$(touch evil)')))))) for number, name in enumerate(HOSTILE)]
    objects += [('service', deadswarm.service('s%d' % number, name, name, container=message((4, name), (5, 'A=' + name)), labels=labels))
                for number, name in enumerate(HOSTILE)]
    result = exported(host(objects), tmp_path / 'out', include=('secrets',))
    folder = tmp_path / 'out' / 'box' / 'swarm'
    assert [name for name in os.listdir(str(tmp_path / 'out' / 'box')) if not name.startswith('.lifeboat')] == ['swarm']
    written = {os.path.relpath(os.path.join(top, name), str(folder)) for top, dummy, names in os.walk(str(folder)) for name in names}
    assert sum(name.startswith('secrets/') for name in written) == len(HOSTILE) == sum(name.startswith('configs/') for name in written)
    assert all(part.replace('-', '').replace('_', '').replace('.', '').isalnum() and not part.startswith('-')
               for name in result['files'] for part in name.split('/'))
    calls = commands(folder / 'create.sh', tmp_path)
    assert not list(tmp_path.rglob('evil')) and all(call[:2] in (['network', 'create'], ['secret', 'create'], ['config', 'create']) for call in calls)
    for path in folder.glob('stack*.yml'):
        found = yaml.safe_load(path.read_text())
        assert all(str(item.get('file', './x')).startswith(('./x', './secrets/', './configs/')) for kind in ('secrets', 'configs')
                   for item in found.get(kind, {}).values())
        assert '\x1b' not in path.read_text()


def test_nothing_is_written_in_check_mode(host, tmp_path):
    assert exported(host(OBJECTS), tmp_path / 'out', check_mode=True)['changed'] is True
    assert not (tmp_path / 'out').exists()


def test_a_host_without_a_swarm_and_a_locked_one(host, tmp_path):
    deadroot.build(str(tmp_path / 'plain/var/lib/docker'), containers=1, host_root=str(tmp_path / 'plain'), rich=False)
    with pytest.raises(LifeboatError, match='no node of a swarm'):
        exported(str(tmp_path / 'plain'), tmp_path / 'out')
    with pytest.raises(LifeboatError, match='started with autolock.*unlock_key'):
        exported(host(OBJECTS, kek=deadswarm.KEK), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    assert exported(str(tmp_path / 'host'), tmp_path / 'out', unlock_key=deadswarm.UNLOCK)['swarms'][0]['autolock'] is True


def test_links_in_the_target_are_refused(host, tmp_path):
    (tmp_path / 'out' / 'box').mkdir(parents=True, mode=0o700)
    (tmp_path / 'elsewhere').mkdir()
    os.symlink(str(tmp_path / 'elsewhere'), str(tmp_path / 'out/box/swarm'))
    with pytest.raises(LifeboatError):
        exported(host(OBJECTS), tmp_path / 'out')
    assert os.listdir(str(tmp_path / 'elsewhere')) == []


def test_the_tool(host, tmp_path, capfd):
    top = host(OBJECTS, kek=deadswarm.KEK)
    key = tmp_path / 'key'
    key.write_text(deadswarm.UNLOCK + '\n')
    assert main.main(['--host-root', top, 'swarm']) == 2
    assert '--unlock-key-file' in capfd.readouterr().err
    assert main.main(['--host-root', top, 'swarm', '--unlock-key-file', str(key)]) == 0
    said = capfd.readouterr().out
    assert 'service  shop_web  replicated 3' in said and 'secret   shop_password  7 bytes' in said and 'hunter2' not in said
    assert main.main(['--host-root', top, '--json', 'swarm', str(tmp_path / 'out'), '--include', 'secrets', '--unlock-key-file', str(key)]) == 0
    assert json.loads(capfd.readouterr().out)['changed'] is True


def test_the_facts(host):
    top = host(OBJECTS)
    with registry.open_host(os.fsencode(top)) as opened:
        facts = gather.gather(opened, gather.Options(gather_subset=['swarm']))
    swarm = facts['swarm'][0]
    assert swarm['root'] == os.path.join(top, 'var/lib/docker')
    web = [item for item in swarm['services'] if item['name'] == 'shop_web'][0]
    assert web['env'] == {'PASSWORD': 'VALUE_REDACTED', 'BARE': 'VALUE_REDACTED'} and web['secrets'] == [
        {'id': 'sec1', 'name': 'shop_password', 'target': 'pw'}]
    with registry.open_host(os.fsencode(top)) as opened:
        assert 'swarm' not in gather.gather(opened, gather.Options())
