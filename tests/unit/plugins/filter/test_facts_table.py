"""Facts as a table: the same as lifeboat look, and nothing of it acts on a terminal."""
import os

import deadroot
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.filter.facts_table import facts_table
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather


@pytest.fixture(scope='module')
def facts(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    deadroot.build(str(tmp / 'var/lib/docker'), containers=5, host_root=str(tmp))
    with registry.open_host(os.fsencode(str(tmp)), [b'/var/lib/docker']) as host:
        return gather.gather(host, gather.Options(gather_subset=['containers', 'volumes', 'usage', 'databases', 'orphans']))


def test_the_table(facts):
    lines = facts_table(facts)
    assert any(line.startswith('STATUS') and 'CONTAINER' in line for line in lines)
    assert any(' web ' in line for line in lines) and any('shop_db' in line for line in lines)
    assert max(map(len, facts_table(facts, width=60))) <= 60


def test_nothing_of_it_acts_on_a_terminal(facts):
    hostile = dict(facts, containers=[dict(item, name='x\x1b[2J\ny') for item in facts['containers']])
    assert not [line for line in facts_table(hostile) if not line.isprintable()]


@pytest.mark.parametrize('wrong', [None, {}, [], 'x', {'roots': [1]}, {'roots': [], 'containers': [{}], 'problems': [], 'summary': {}}])
def test_what_is_no_facts(wrong):
    with pytest.raises(AnsibleFilterError, match='must be the fact'):
        facts_table(wrong)
