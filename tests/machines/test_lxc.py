"""Docker in an unprivileged container of LXC, in a virtual machine: its data root is found from outside without being named, and owners, which are
shifted on the disk, are those that the instance saw. Two minutes of processor time, so only with LIFEBOAT_SOAK."""
import os

import guest
import pytest
from test_layers import our_code

HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST = 600                           # seconds on a busy machine
IMAGE, PACKAGES = 'root-lxc.img', ('lxc', 'uidmap')
CASES = ('found', 'rescued', 'all')


@pytest.fixture(scope='module', name='said')
def run_in_guest(tmp_path_factory):
    image = guest.need(lambda: guest.variant(IMAGE, PACKAGES))
    with open(os.path.join(HERE, 'lxc_in_guest.py'), encoding='utf-8') as source:
        script = source.read()
    job = {'run': 'mkdir tree; tar -xf code.tar -C tree; python3 script.py', 'script.py': script, 'code.tar': our_code()}
    with guest.turn(), guest.Guest(str(tmp_path_factory.mktemp('lxc')), job, image=image) as machine:
        machine.ended(LONGEST)
        lines = [line for dummy, line in machine.lines]
    print('\n'.join(lines[-20:]))
    return {line.split()[1]: line.split(' ', 2)[2] for line in lines if line.startswith('case ')}


@pytest.mark.soak
@pytest.mark.parametrize('case', CASES)
def test_docker_in_an_unprivileged_container_of_lxc_is_found_and_its_owners_are_shifted_back(case, said):
    assert said.get(case) == 'ok', said.get(case)
