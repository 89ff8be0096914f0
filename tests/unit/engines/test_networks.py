import json

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import networks as recorded
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb

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
    assert recorded.networks(b'') == expected


def test_damaged_database_gives_nothing():
    assert recorded.networks(b'') == recorded.networks(b'x' * 8192) == {}
