import json
import os

import boltwriter
import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import networks as recorded
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

# what Docker 20.10 wrote for `docker network create --internal --subnet 172.30.5.0/24 -o x=y --label a=b net1`
RECORD = {'attachable': False, 'enableIPv6': False, 'ingress': False, 'internal': True, 'labels': {'a': 'b'}, 'name': 'net1',
          'generic': {'com.docker.network.enable_ipv6': False, 'com.docker.network.generic': {'x': 'y'}},
          'ipamV4Config': '[{"PreferredPool":"172.30.5.0/24","SubPool":"","Gateway":"172.30.5.7","AuxAddresses":null}]',
          'networkType': 'bridge', 'scope': 'local'}
INFO = {'driver': 'bridge', 'options': {'x': 'y'}, 'labels': {'a': 'b'}, 'internal': True, 'attachable': False,
        'enable_ipv6': False, 'ipam': [{'subnet': '172.30.5.0/24', 'gateway': '172.30.5.7'}], 'ident': '0' * 64}


class Bucket(object):
    def __init__(self, records):
        self.records = records
        self.root = self
        self.trouble = ''

    def bucket(self, *dummy, **dummies):
        return self

    def items(self, **dummies):
        for number, record in enumerate(self.records):
            raw = record if isinstance(record, bytes) else json.dumps(record).encode()
            yield b'docker/network/v1.0/network/%064d/' % number, bytes(8) + raw
        yield b'docker/network/v1.0/endpoint/x/', bytes(8) + b'{"name": "no"}'


@pytest.mark.parametrize('change, expected', [
    ({}, {'net1': INFO}),
    ({'enableIPv4': False, 'ipamType': 'default', 'ipamV4Config': '[{"PreferredPool":"10.1.0.0/24","AuxAddresses":{"router":"10.1.0.9"}}]'},
     {'net1': dict(INFO, disable_ipv4=True, ipam=[{'subnet': '10.1.0.0/24', 'reserved': {'router': '10.1.0.9'}}])}),
    ({'enableIPv4': True, 'ipamType': 'mine', 'ipamOptions': {'a': 'b'}}, {'net1': dict(INFO, ipam_driver='mine', ipam_options={'a': 'b'})}),
    ({'networkType': 'host'}, {}), ({'ingress': True}, {}), ({'name': 5}, {}),
    ({'ipamV4Config': '[{"PreferredPool":"","SubPool":"","Gateway":""}]'}, {'net1': dict(INFO, ipam=[])}),
    ({'ipamV4Config': 'nonsense', 'labels': 7, 'generic': []}, {'net1': dict(INFO, ipam=[], labels={}, options={})}),
])
def test_definition_of_a_network(change, expected, monkeypatch):
    monkeypatch.setattr(boltdb, 'open_db', lambda raw: Bucket([dict(RECORD, **change), b'{', b'']))
    assert recorded.networks(b'') == (expected, 'the record of a network is damaged')


def test_damaged_database_gives_nothing():
    for raw in (b'', b'x' * 8192):
        found, damage = recorded.networks(raw)
        assert found == {} and damage


@pytest.fixture
def dead(tmp_path):
    expected = deadroot.build(str(tmp_path / 'var/lib/docker'), containers=2, rich=False, host_root=str(tmp_path))
    endpoint = {'IPAddress': '172.30.5.9', 'IPPrefixLen': 24, 'Gateway': '172.30.5.7', 'IPAMConfig': {'IPv4Address': '172.30.5.9'}}
    for name, change in (('config.v2.json', {'NetworkSettings': {'Networks': {'net1': endpoint}}}), ('hostconfig.json', {'NetworkMode': 'net1'})):
        path = os.path.join(os.fsdecode(expected.root), 'containers', expected.containers[0].id, name)
        with open(path, encoding='utf-8') as found:
            record = json.load(found)
        with open(path, 'w', encoding='utf-8') as out:
            json.dump(dict(record, **change), out)
    return expected, os.fsencode(str(tmp_path)), os.path.join(os.fsdecode(expected.root), 'network/files/local-kv.db')


def rescue(dead, dest):
    with registry.open_host(dead[1], [b'/var/lib/docker']) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='box', compression='none', include=('config',)))
    notes = [item for item in result['problems'] if item['code'] == 'NETWORK_DB_DAMAGED']
    entry = next(item for item in result['bundles'] if item['container'] == dead[0].containers[0].name)
    with open(os.path.join(entry['path'], 'config/run.sh'), encoding='utf-8') as made:
        return notes, entry, made.read()


def whole(path, records=(RECORD,)):
    boltwriter.write(os.fsencode(path), {b'libnetwork': {
        b'docker/network/v1.0/network/%064d/' % number: bytes(8) + (item if isinstance(item, bytes) else json.dumps(item).encode())
        for number, item in enumerate(records)}})


@pytest.mark.parametrize('hurt', ['garbage', 'cut', 'record', 'empty', 'gone', 'link'])
def test_a_damaged_database_is_named_and_the_own_networks_of_containers_serve(dead, tmp_path, hurt):
    path = dead[2]
    whole(path, [RECORD] if hurt != 'record' else [b'{"name'])
    if hurt == 'garbage':
        with open(path, 'wb') as out:
            out.write(b'garbage' * 3000)
    elif hurt in ('cut', 'empty'):
        os.truncate(path, 5000 if hurt == 'cut' else 0)
    elif hurt in ('gone', 'link'):
        os.unlink(path)
        if hurt == 'link':
            os.symlink('/etc/passwd', path)
    (note,), entry, made = rescue(dead, tmp_path / 'out')
    assert 'local-kv.db' in note['message'] and 'net1' in note['message'] and note['severity'] == 'warning' and note['next_step']
    assert entry['status'] == 'complete' and '172.30.5.9' in made and '172.30.5.0/24' in made


def test_a_whole_database_and_a_host_without_networks_say_nothing(dead, tmp_path):
    whole(dead[2])
    notes, dummy, made = rescue(dead, tmp_path / 'out')
    assert notes == [] and '172.30.5.9' in made and '--internal' in made
    plain = deadroot.build(str(tmp_path / 'plain/var/lib/docker'), containers=1, rich=False, host_root=str(tmp_path / 'plain'))
    assert rescue((plain, os.fsencode(str(tmp_path / 'plain'))), tmp_path / 'out2')[0] == []
