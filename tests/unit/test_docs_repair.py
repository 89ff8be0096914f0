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
