"""One lab for all tests of a run; what is missing for it fails the run, unless LIFEBOAT_DELIVERY_OPTIONAL is set."""
import os
import random
import shutil
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))

import deadroot
import hosts


@pytest.fixture(scope='session')
def lab():
    lacks = hosts.missing()
    if lacks:
        if os.environ.get('LIFEBOAT_DELIVERY_OPTIONAL'):
            pytest.skip('needs ' + ', '.join(lacks))
        pytest.fail('these tests need ' + ', '.join(lacks))
    # the login user has to come through, so not below pytest's private folder
    folder = tempfile.mkdtemp(prefix='delivery-lab-')
    os.chmod(folder, 0o755)
    made = hosts.Lab(os.path.join(folder, 'hosts'))
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def first(lab):
    return lab.host(1)


@pytest.fixture
def controller(tmp_path):
    return hosts.Controller(str(tmp_path / 'controller'))


@pytest.fixture(scope='session')
def dead(tmp_path_factory):
    """A dead host with one volume that takes many chunks and does not compress."""
    top = tmp_path_factory.mktemp('dead')
    expected = deadroot.build(str(top / 'var/lib/docker'), containers=3, host_root=str(top))
    noise = random.Random(1)
    volume = expected.volumes[0]
    with open(os.path.join(volume.path.decode(), 'large.bin'), 'wb') as target:
        for dummy in range(hosts.LARGE // hosts.MIB):
            target.write(noise.getrandbits(8 * hosts.MIB).to_bytes(hosts.MIB, 'little'))
    return str(top)


@pytest.fixture(scope='session')
def reference(dead, tmp_path_factory):
    """The same rescue without any delivery."""
    top = tmp_path_factory.mktemp('reference')
    boss = hosts.Controller(str(top / 'controller'))
    status, out = boss.play(hosts.task(host_root=dead, dest=str(top / 'out')),
                            {'box': {'ansible_connection': 'local', 'ansible_python_interpreter': hosts.sys.executable}})
    assert status == 0, out
    return hosts.archives(str(top / 'out' / 'box'))
