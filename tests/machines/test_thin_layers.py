"""Docker 20.10 with the driver devicemapper, in a virtual machine: its layers are mounted by `attach_layers`, and what is then read and
rescued equals what `docker diff` and `docker export` said. Two minutes of processor time each, so only with LIFEBOAT_SOAK."""
import os

import pytest
from test_layers import our_code

HERE = os.path.dirname(os.path.abspath(__file__))
import guest  # noqa: E402  pylint: disable=wrong-import-position

LONGEST = 600                           # seconds on a busy machine


@pytest.mark.soak
@pytest.mark.parametrize('pool, kind', [('loop', 'xfs'), ('lvm', 'ext4')])
def test_layers_on_thin_devices_are_read_as_the_engine_read_them(pool, kind, tmp_path):
    guest.need()
    with open(os.path.join(HERE, 'thin_in_guest.py'), encoding='utf-8') as source:
        script = source.read()
    job = {'run': 'mkdir tree; tar -xf code.tar -C tree; python3 script.py %s %s' % (pool, kind), 'script.py': script, 'code.tar': our_code()}
    with guest.turn(), guest.Guest(str(tmp_path), job) as machine:
        machine.ended(LONGEST)
        lines = [line for dummy, line in machine.lines]
    print('\n'.join(lines[-40:]))
    said = [line for line in lines if line.startswith('case thin ')]
    assert said == ['case thin ok'], said or lines[-20:]
