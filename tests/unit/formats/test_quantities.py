"""Sizes and times of options, as people type them."""
import glob
import os
import re

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils import module
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities


@pytest.mark.parametrize('value, expected', [
    (67108864, 67108864), ('67108864', 67108864), ('64M', 64 << 20), ('2GiB', 2 << 30), ('1.5k', 1536), ('9007199254740993', 9007199254740993)])
def test_sizes(value, expected):
    assert quantities.size(value) == expected


@pytest.mark.parametrize('value, expected', [(300, 300), ('300', 300), ('10m', 600), ('1h30m', 5400), (' 5m ', 300)])
def test_seconds(value, expected):
    assert quantities.seconds(value) == expected


@pytest.mark.parametrize('value', ['', '-5', '5 minutes', 'm', '1.5h', True])
def test_what_is_no_time(value):
    with pytest.raises(ValueError):
        quantities.seconds(value)


def test_options_of_modules():
    params = {'spool_size': '64M', 'max_bytes': 0, 'freeze_timeout': '5m', 'containers': ['web', ' db ', ''], 'host_root': '/', 'rules': [{'a': 1}]}
    module.read_values(params)
    assert params == {'spool_size': 64 << 20, 'max_bytes': 0, 'freeze_timeout': 300, 'containers': ['web', 'db'], 'host_root': '/',
                      'rules': [{'a': 1}]}


def test_a_wrong_value_names_its_option():
    with pytest.raises(LifeboatError, match='max_bytes.*many.*64M'):
        module.read_values({'max_bytes': 'many'})


PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(module.__file__)))
QUANTITY = re.compile(r'\w*(?:_size|_bytes|timeout|spool|memory)\Z')


def options():
    """(file, option, type) of every option of a module and of a role."""
    for path in sorted(glob.glob(os.path.join(PLUGINS, 'modules', '*.py'))):
        with open(path, encoding='utf-8') as source:
            for name, kind in re.findall(r"^ {12}(\w+)=dict\(type='(\w+)'", source.read(), re.MULTILINE):
                yield os.path.basename(path), name, kind
    for path in sorted(glob.glob(os.path.join(os.path.dirname(PLUGINS), 'roles', '*', 'meta', 'argument_specs.yml'))):
        with open(path, encoding='utf-8') as source:
            for name, block in re.findall(r'^ {6}(\w+):\n((?: {8}.*\n)+)', source.read(), re.MULTILINE):
                yield path.split(os.sep)[-3], name, re.search(r'^ {8}type: (\w+)', block, re.MULTILINE).group(1)


def test_every_size_and_every_time_takes_a_unit():
    found = [item for item in options() if QUANTITY.match(item[1])]
    assert len(found) > 10
    assert [item for item in found if item[2] != 'str'] == []
    assert {name for where, name, dummy in found if where.endswith('.py')} <= set(module.SIZES + module.DURATIONS)
