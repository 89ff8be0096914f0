# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/repair.md explains every code of a repair, once, and no other."""
import os
import re

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import groups

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'docs', 'repair.md')


def test_every_code_is_explained():
    with open(PAGE, encoding='utf-8') as text:
        cells = re.findall(r'^\| (`[A-Z_`, ]+`) \|', text.read(), re.M)
    named = [code for cell in cells for code in re.findall('`([A-Z_]+)`', cell)]
    assert sorted(named) == sorted(groups.CODES)
