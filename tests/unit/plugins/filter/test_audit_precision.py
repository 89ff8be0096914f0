"""Ordinary containers, run for real from Debian's packages (tests/unit/audit/data/make_ordinary.py): no critical finding on
one without state, and none missed on one with."""
from __future__ import annotations

import ast
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.databases import detector as databases
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import walk as usage
from ansible_collections.lifeboat.docker.plugins.plugin_utils import findings

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(HERE, '..', '..', 'databases', 'data')
import auditdata as data

RULES = data.builtin_rules()
# container: (worst severity of what the audit says, engines that no named volume holds)
EXPECTED = {
    # web servers, proxies, caches, language run times, small services: nothing to lose
    'nginx': (None, []), 'apache': (None, []), 'lighttpd': (None, []), 'haproxy': (None, []), 'varnish': (None, []), 'squid': (None, []),
    'tinyproxy': (None, []), 'memcached': (None, []), 'php-fpm': (None, []), 'python-web': (None, []), 'node-web': (None, []),
    'ruby-web': (None, []), 'perl-job': (None, []), 'cron': (None, []), 'bind': (None, []), 'dnsmasq': (None, []), 'unbound': (None, []),
    'mosquitto': (None, []), 'node-exporter': (None, []), 'packages': (None, []), 'scratch-db': (None, []),
    'redis-cache': (None, []), 'redis-idle': (None, []), 'sshd': ('info', ['keys']),
    # state in named volumes
    'redis-volume': (None, []), 'postgres-volume': (None, []), 'mariadb-volume': (None, []), 'sqlite-volume': (None, []),
    'prometheus-volume': (None, []),
    # state that is lost with the container
    'redis-layer': ('critical', ['redis']), 'postgres-layer': ('critical', ['postgresql']), 'postgres-baked': ('critical', ['postgresql']),
    'postgres-anonymous': ('critical', ['postgresql']), 'mariadb-layer': ('critical', ['mariadb']), 'sqlite-layer': ('critical', ['sqlite']),
    'prometheus-layer': ('critical', ['prometheus']), 'etcd-layer': ('critical', ['etcd']), 'rabbitmq-layer': ('critical', ['rabbitmq']),
    'influxdb-layer': ('critical', ['influxdb']), 'git-server': ('warning', ['git']), 'uploads': ('warning', ['uploads']),
}


def volumes_of():
    """{container: {destination: volume or None}} as make_ordinary.py has it; read, not run."""
    with open(os.path.join(SAMPLES, 'make_ordinary.py'), encoding='utf-8') as stream:
        tree = ast.parse(stream.read())
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == 'CONTAINERS')
    return {ast.literal_eval(key): ast.literal_eval(value.elts[1]) for key, value in zip(table.keys, table.values)}


VOLUMES = volumes_of()


def unpack(name, where):
    with tarfile.open(os.path.join(SAMPLES, 'ordinary', name + '.tar.xz')) as tar:
        for member in tar:
            path = os.path.join(where, member.name)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'wb') as stream:
                    stream.write(tar.extractfile(member).read())


def scan(folder):
    os.makedirs(folder, exist_ok=True)
    detector = databases.Detector()
    found = usage.scan_folder(os.fsencode(folder), detector=detector)
    return found.as_dict(), detector.found()


def facts_of(name, where):
    """The facts of a host with this one container."""
    unpack(name, where)
    counted, found = scan(os.path.join(where, 'layer'))
    container = data.container(name, usage=counted, databases=[dict(one, where='writable') for one in found])
    volumes = []
    for destination, volume in VOLUMES[name].items():
        counted, found = scan(os.path.join(where, 'volume' + destination))
        volumes.append(data.volume(volume or 'ab' * 32, used_by=[container['id']], anonymous=volume is None, usage=counted, databases=found))
        container['mounts'].append(data.mount(volumes[-1]['name'], destination, volume is None))
    return data.facts([container], volumes)


def test_the_set_is_whole():
    packed = {name[:-7] for name in os.listdir(os.path.join(SAMPLES, 'ordinary'))}
    assert packed == set(EXPECTED) == set(VOLUMES) and len(EXPECTED) >= 30


@pytest.mark.parametrize('name', sorted(EXPECTED))
def test_ordinary_container(name, tmp_path):
    content = facts_of(name, str(tmp_path))
    found = findings.findings(content, RULES, now=data.NOW)
    severity, engines = EXPECTED[name]
    assert (found[0]['severity'] if found else None) == severity, [one['message'] for one in found]
    volumes = {one['name']: one for one in content['volumes']}
    unheld = [one['engine'] for one in content['containers'][0]['databases'] if not one['empty'] and not one['noise']]
    unheld += [one['engine'] for volume in volumes.values() if volume['anonymous'] for one in volume['databases']]
    assert unheld == engines
    if severity == 'critical':
        assert engines[0] in str([(one['engine'], one['message'].lower()) for one in found if one['severity'] == 'critical'])
