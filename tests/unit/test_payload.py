"""What Ansible sends to a node with each module: every file that an import statement leads to, wherever it stands. A room that a module has no use
for costs each call of it on each host."""
import ast
import functools
import os

import pytest

PLUGINS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'plugins')
NAME = 'ansible_collections.lifeboat.docker.plugins.'
# module -> the rooms that it needs
ROOMS = {
    'disk_attach': {'attach', 'disk', 'engines', 'formats', 'layers', 'records'},
    'docker_bundle_info': {'bundles', 'disk', 'formats'},
    'docker_layer_facts': {'archive', 'databases', 'disk', 'engines', 'facts', 'formats', 'images', 'layers', 'rescue', 'records', 'usage'},
}
# big rooms -> the modules that may send them
FOR = {
    'attach': {'disk_attach'},
    'deployment': {'docker_data_rescue'},
    'dump': {'docker_data_rescue', 'docker_database_dump'},
    'engines': {'disk_attach', 'docker_data_rescue', 'docker_data_restore', 'docker_database_dump', 'docker_layer_facts', 'docker_root_repair',
                'docker_swarm_export'},
    'repair': {'docker_root_repair'},
    'restore': {'docker_data_restore'},
}


@functools.lru_cache(maxsize=None)
def imported(path):
    """Names of the files below plugins/ that a file imports."""
    place = path[:-3].split('/')
    with open(os.path.join(PLUGINS, path), encoding='utf-8') as source:
        tree = ast.parse(source.read())
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level and not (node.module + '.').startswith(NAME):
            continue
        base = place[:len(place) - node.level] + (node.module.split('.') if node.module else []) if node.level else \
            (node.module + '.')[len(NAME):].strip('.').split('.')
        for names in [base] + [base + [alias.name] for alias in node.names]:
            name = '/'.join(names) + '.py'
            if os.path.exists(os.path.join(PLUGINS, name)):
                found.add(name)
    return found


def sent(module):
    """Names of the files of module_utils that go to a node with a module."""
    found, pending = set(), ['modules/%s.py' % module]
    while pending:
        for name in imported(pending.pop()):
            if name not in found:
                found.add(name)
                pending.append(name)
    return found


def rooms(module):
    return {name.split('/')[1] for name in sent(module) if name.count('/') > 1}


MODULES = sorted(name[:-3] for name in os.listdir(os.path.join(PLUGINS, 'modules')) if name.endswith('.py'))


@pytest.mark.parametrize('module', sorted(ROOMS))
def test_only_what_it_needs(module):
    assert rooms(module) == ROOMS[module]


@pytest.mark.parametrize('room', sorted(FOR))
def test_a_big_room_goes_with_those_that_use_it(room):
    assert {module for module in MODULES if room in rooms(module)} == FOR[room]


def test_a_lazy_import_counts():
    """In docker_data_rescue the sender is imported in a function."""
    assert 'module_utils/rescue/sender.py' in sent('docker_data_rescue')
