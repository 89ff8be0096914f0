"""SELinux with an enforcing policy, in a virtual machine: archives keep the labels, and what is restored there has the labels that let its container
read it, and nothing else. Two minutes of processor time, so only with LIFEBOAT_SOAK."""
import os

import enforcing
import guest
import pytest
from test_layers import our_code

HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST = 600                           # seconds on a busy machine
CASES = ('archives', 'restored', 'labels', 'all')


@pytest.fixture(scope='module', name='said')
def run_in_guest(tmp_path_factory):
    image = guest.need(enforcing.ensure)
    with open(os.path.join(HERE, 'enforcing_in_guest.py'), encoding='utf-8') as source:
        script = source.read()
    job = {'run': 'mkdir tree; tar -xf code.tar -C tree; python3 script.py', 'script.py': script, 'code.tar': our_code()}
    with guest.turn(), guest.Guest(str(tmp_path_factory.mktemp('enforcing')), job, image=image, append=enforcing.WORDS) as machine:
        machine.ended(LONGEST)
        lines = [line for dummy, line in machine.lines]
    print('\n'.join(lines[-40:]))
    return {line.split()[1]: line.split(' ', 2)[2] for line in lines if line.startswith('case ')}


@pytest.mark.soak
@pytest.mark.parametrize('case', CASES)
def test_labels_survive_a_rescue_and_a_restore_under_an_enforcing_policy(case, said):
    assert said.get(case) == 'ok', said.get(case)
