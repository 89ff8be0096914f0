"""LVM, thin volumes, LUKS, md, and all in each other: attached inside a virtual machine, whose kernel has them."""
import io
import os
import tarfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
import guest  # noqa: E402  pylint: disable=wrong-import-position

COLLECTION = os.path.dirname(os.path.dirname(HERE))
LONGEST = 900                           # seconds of all cases on a busy machine
CASES = ('lvm', 'luks', 'raid1', 'raid5', 'thin', 'nested', 'keys', 'arrays', 'btrfs', 'nbd', 'guide')


def our_code():
    """A tar archive of module_utils, as the guest imports it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        for where, dummy, names in os.walk(os.path.join(COLLECTION, 'plugins', 'module_utils')):
            for name in sorted(names):
                if name.endswith('.py'):
                    path = os.path.join(where, name)
                    archive.add(path, os.path.join('ansible_collections/lifeboat/docker', os.path.relpath(path, COLLECTION)))
    return out.getvalue()


@pytest.fixture(scope='module', name='said')
def run_in_guest(tmp_path_factory):
    guest.need()
    with open(os.path.join(HERE, 'layers_in_guest.py'), encoding='utf-8') as source:
        script = source.read()
    with open(os.path.join(COLLECTION, 'docs', 'outage.md'), encoding='utf-8') as source:
        page = source.read()
    job = {'run': 'mkdir tree; tar -xf code.tar -C tree; python3 script.py %s' % ' '.join(os.environ.get('LIFEBOAT_CASES', '').split()),
           'script.py': script, 'code.tar': our_code(), 'outage.md': page}
    with guest.turn(), guest.Guest(str(tmp_path_factory.mktemp('layers')), job) as machine:
        machine.ended(LONGEST)
        lines = [line for dummy, line in machine.lines]
    assert any(line.startswith('cases done') for line in lines), lines[-20:]
    return {line.split()[1]: line.split(' ', 2)[2] for line in lines if line.startswith('case ')}


@pytest.mark.parametrize('case', CASES)
def test_layers_are_attached_and_released_and_the_disks_stay_as_they_are(case, said):
    assert said.get(case) == 'ok', said.get(case)
