"""The definition in a bundle as arguments of community.docker.docker_container."""
import os

import deadroot
import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.filter import to_docker_container as filters
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    deadroot.build(str(tmp / 'var/lib/docker'), containers=2, host_root=str(tmp))
    with registry.open_host(os.fsencode(str(tmp)), [b'/var/lib/docker']) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp / 'out')), 'box', include=('config',), volumes=('shop_db',), compression='none'))
    return {item['name'].rpartition('-')[0]: item['path'] for item in result['bundles']}


def test_a_bundle(bundles):
    found = filters.to_docker_container(bundles['web'])
    assert found['name'] == 'web' and found['image'] and any(item.startswith('shop_uploads:/srv/uploads') for item in found['volumes'])
    assert filters.to_docker_container(bundles['web'], name='other')['name'] == 'other'


def test_a_task_of_ones_own(bundles):
    text = filters.to_docker_container(bundles['web'], 'task')
    task, = yaml.safe_load(text)
    assert task[filters.MODULE]['name'] == 'web' and '!unsafe' not in text


def test_what_looks_like_a_template_is_marked():
    text = filters._task({'name': 'web', 'env': {'A': "{{ lookup('pipe', 'id') }}", 'B': 'x'}, 'command': ['{% x %}']})
    assert text.count('!unsafe') == 2 and 'B: x' in text


def test_damaged_bundles_and_those_without_a_definition(bundles, tmp_path):
    with pytest.raises(AnsibleFilterError, match='no definition'):
        filters.to_docker_container(bundles['volume'])
    for wrong in (str(tmp_path), '', None):
        with pytest.raises(AnsibleFilterError):
            filters.to_docker_container(wrong)
    with pytest.raises(AnsibleFilterError, match='unknown form'):
        filters.to_docker_container(bundles['web'], 'what')
    with open(os.path.join(bundles['db'], 'config', 'create.json'), 'ab') as out:
        out.write(b' ')
    with pytest.raises(AnsibleFilterError, match='damaged'):
        filters.to_docker_container(bundles['db'])
