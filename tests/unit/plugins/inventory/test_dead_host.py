"""Containers of a dead host, or of bundles, as hosts of an inventory."""
import os
import re

import deadroot
import pytest
from ansible import template
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader

from ansible_collections.lifeboat.docker.plugins.inventory import dead_host
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

HOSTILE = {'lifeboat_id': 'a' * 64, 'lifeboat_name': "x\n[all:vars]\x1b{{ lookup('pipe', 'id') }}", 'lifeboat_status': 'complete',
           'lifeboat_engine': 'docker', 'lifeboat_project': '../../{{ 1 }}', 'lifeboat_service': '', 'lifeboat_image': 'a/b:1\n[evil]',
           'lifeboat_labels': {"{{ lookup('pipe', 'id') }}": "{{ lookup('pipe', 'id') }}"}, 'lifeboat_state': '', 'lifeboat_volumes': []}


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var/lib/docker'), containers=4, host_root=str(tmp))
    return expected, str(tmp)


class Plugin(dead_host.InventoryModule):
    """Without the loader of plugins: options are given."""

    def __init__(self, **options):
        super().__init__()
        self.given = dict({'host_root': None, 'data_roots': [], 'containerd_root': None, 'engines': ['all'], 'bundles': None, 'verify': False, 'strict': True,
                           'compose': {}, 'groups': {}, 'keyed_groups': []}, **options)
        self.inventory = InventoryData()
        self.loader = DataLoader()
        self.templar = template.Templar(loader=self.loader)

    def get_option(self, option, hostvars=None):
        return self.given[option]

    def hosts(self):
        self._populate(self._read())
        return self.inventory.hosts

    def members(self, group):
        return {host.name for host in self.inventory.groups[group].get_hosts()}


def test_containers_of_a_dead_root(dead):
    plugin = Plugin(host_root=dead[1])
    assert set(plugin.hosts()) == {item.name for item in dead[0].containers}
    assert plugin.members('lifeboat_status_complete') == set(plugin.inventory.hosts) == plugin.members('lifeboat_engine_docker')
    web = plugin.inventory.get_host('web').get_vars()
    assert (web['lifeboat_id'], web['lifeboat_image']) == (dead[0].container('web').id, dead[0].container('web').image_reference)
    assert 'shop_uploads' in web['lifeboat_volumes']
    projects = {item.labels.get(dead_host.PROJECT) for item in dead[0].containers} - {None}
    assert {name for name in plugin.inventory.groups if name.startswith('lifeboat_project_')} == {'lifeboat_project_' + name for name in projects}


def test_bundles(dead, tmp_path):
    with registry.open_host(os.fsencode(dead[1]), [b'/var/lib/docker']) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path)), 'box', include=('config',), volumes=('*',), compression='none'))
    for verify in (False, True):
        plugin = Plugin(bundles=str(tmp_path), verify=verify)
        assert set(plugin.hosts()) == {item.name for item in dead[0].containers}
        assert {host.get_vars()['lifeboat_bundle'] for host in plugin.inventory.hosts.values()} == {
            item['path'] for item in result['bundles'] if item['kind'] == 'container'}
    with open(os.path.join(result['bundles'][0]['path'], 'README.txt'), 'ab') as out:
        out.write(b'x')
    plugin = Plugin(bundles=str(tmp_path), verify=True)
    plugin.hosts()
    assert len(plugin.inventory.groups['lifeboat_status_damaged'].get_hosts()) == 1


def test_names_from_the_disk_are_names_and_values_are_never_templated():
    trusted = getattr(template, 'trust_as_template', str)
    plugin = Plugin(compose={'copied': trusted('lifeboat_name')}, keyed_groups=[{'key': trusted('lifeboat_project'), 'prefix': 'own'}])
    plugin._populate([dict(HOSTILE), dict(HOSTILE)])
    assert len(plugin.inventory.hosts) == 2
    for name in plugin.inventory.hosts:
        assert re.match(r'[A-Za-z0-9_.-]+\Z', name)
    for name in plugin.inventory.groups:
        assert re.match(r'[A-Za-z0-9_]+\Z', name)
    own = next(iter(plugin.inventory.hosts.values())).get_vars()
    templar = template.Templar(loader=DataLoader(), variables=own)
    assert templar.template(trusted('{{ lifeboat_name }}')) == HOSTILE['lifeboat_name']
    assert templar.template(trusted('{{ copied }}')) == HOSTILE['lifeboat_name']
    assert templar.template(trusted('{{ lifeboat_labels }}')) == HOSTILE['lifeboat_labels']


def test_nothing_there_is_an_error(tmp_path):
    for options in ({}, {'host_root': '/', 'bundles': '/'}, {'bundles': str(tmp_path)}, {'host_root': str(tmp_path)}):
        with pytest.raises(AnsibleParserError):
            Plugin(**options).hosts()
