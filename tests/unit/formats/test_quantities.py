# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and times of options, as people type them."""
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
