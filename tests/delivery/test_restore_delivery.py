"""docker_data_restore with remote_src: false over ssh, with and without become: what arrives, how much room it takes on the
way, and what is left on the host."""
import os
import pwd
import random
import shutil
import signal
import subprocess
import tempfile
import time

import hosts
import pytest
from hosts import result_of

from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

MIB = 1 << 20
SIZE = 64 * MIB
PIECE = 8 * MIB


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """A bundle of one volume that does not compress: many pieces."""
    noise = random.Random(2)
    data = b''.join(noise.getrandbits(8 * MIB).to_bytes(MIB, 'little') for dummy in range(SIZE // MIB))
    raw = tar_bytes([ROOT, member('./d/', uid=999, gid=998, mode=0o2750), member('./d/f', b'data', uid=5, mode=0o600),
                     member('./large', data), member('./last', b'end')])
    return os.fsdecode(make_bundle(tmp_path_factory.mktemp('bundle') / 'b', {'volumes/vol.tar': raw},
                                   {'volume': {'name': 'vol', 'driver': 'local'}}))


def plays(bundle, dest, **more):
    options = dict(more, path=bundle, remote_src=False, restore=['volumes'], target='directory', dest=dest)
    return [{'hosts': 'all', 'gather_facts': False, 'tasks': [
        {'lifeboat.docker.docker_data_restore': options, 'register': 'restored', 'diff': True},
        {'ansible.builtin.debug': {'msg': 'RESULT {{ restored | to_json | b64encode }}'}}]}]


@pytest.fixture
def dest(lab):
    """A folder that the login user owns."""
    folder = tempfile.mkdtemp(prefix='lifeboat-restore-', dir='/var/tmp')
    user = pwd.getpwnam(hosts.USER)
    os.chown(folder, user.pw_uid, user.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_temporary(lab):
    """What Ansible itself leaves on a host when its controller is killed, by tests before, counts for none here."""
    for name in ('.ansible', '.ansible_async'):
        shutil.rmtree(os.path.expanduser('~%s/%s' % (hosts.USER, name)), ignore_errors=True)


def temporary():
    """Bytes below the folders that Ansible keeps on the host."""
    total = 0
    for top in (os.path.expanduser('~%s/.ansible' % hosts.USER), os.path.expanduser('~%s/.ansible_async' % hosts.USER)):
        for folder, dummy, names in os.walk(top):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:
                    continue
    return total


def restored(process, seconds=300):
    """(output, most bytes that lay in temporary folders meanwhile)."""
    most = 0
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        most = max(most, temporary())
        time.sleep(0.02)
    return process.communicate(timeout=30)[0], most


@pytest.mark.parametrize('become', [True, False])
def test_streamed_with_little_room(become, lab, first, controller, bundle, dest):
    # the login user may not use any Python of root's
    variables = first.variables(ansible_become=become, ansible_python_interpreter=hosts.sys.executable if become else 'auto')
    process = controller.start(plays(bundle, dest + '/out'), {'box': variables})
    out, most = restored(process)
    assert process.returncode == 0, out
    result = result_of(out)
    assert result['changed'] and result['volumes'][0]['files'] == 3
    place = dest + '/out/volumes/vol'
    assert os.path.getsize(place + '/large') == SIZE and open(place + '/last', 'rb').read() == b'end'
    st = os.stat(place + '/d/f')
    wanted = (5, 0) if become else (pwd.getpwnam(hosts.USER).pw_uid, pwd.getpwnam(hosts.USER).pw_gid)
    assert (st.st_uid, st.st_gid, st.st_mode & 0o777, st.st_mtime) == wanted + (0o600, 1600000000)
    # a few pieces, the one that is being copied, and the module itself; never the bundle as a whole
    assert PIECE < most < SIZE * 0.8, most
    assert first.clean() == [] and temporary() == 0
    status, out = controller.play(plays(bundle, dest + '/out'), {'box': variables})
    assert status == 0 and not result_of(out)['changed'], out


def test_check_mode_and_a_damaged_bundle(lab, first, controller, bundle, dest, tmp_path):
    status, out = controller.play(plays(bundle, dest + '/out'), {'box': first.variables()}, arguments=['--check', '--diff'])
    assert status == 0 and result_of(out)['changed'] and os.listdir(dest) == [], out
    copy = str(tmp_path / 'copy')
    shutil.copytree(bundle, copy)
    with open(copy + '/volumes/vol.tar', 'r+b') as handle:
        handle.seek(40 * MIB)
        handle.write(b'x' * 100)
    status, out = controller.play(plays(copy, dest + '/out'), {'box': first.variables()})
    assert status != 0 and 'is damaged and is not restored' in out and os.listdir(dest) == [], out
    assert first.clean() == [] and temporary() == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_the_controller_goes_away_in_the_middle(number, lab, first, controller, bundle, dest):
    process = controller.start(plays(bundle, dest + '/out'), {'box': first.variables()})
    deadline = time.monotonic() + 180
    while temporary() < PIECE:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    if number == signal.SIGKILL:
        controller.kill(process)
    else:
        os.killpg(process.pid, number)
    out = process.communicate(timeout=180)[0]
    deadline = time.monotonic() + 60
    while True:
        found = left(first, number == signal.SIGKILL)
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert found == [], out
    assert not os.path.exists(dest + '/out/volumes/vol'), out
    status, out = controller.play(plays(bundle, dest + '/out'), {'box': first.variables()})
    assert status == 0 and os.path.getsize(dest + '/out/volumes/vol/large') == SIZE, out


if os.environ.get('LIFEBOAT_SOAK'):     # it takes more than two minutes
    def test_the_module_is_killed_in_the_middle(lab, first, controller, bundle, dest):
        """With Ansible's process around it, as when memory runs out: nothing on the host says so, and the controller does."""
        process = controller.start(plays(bundle, dest + '/out'), {'box': first.variables()})
        deadline = time.monotonic() + 180
        while temporary() < PIECE:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        for pid, line in first.commands().items():
            if 'docker_data_restore' in line:
                os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        out = process.communicate(timeout=300)[0]
        assert process.returncode != 0 and 'was killed on the host' in out and 100 < time.monotonic() - began < 240, out
        assert not os.path.exists(dest + '/out/volumes/vol'), out
        status, out = controller.play(plays(bundle, dest + '/out'), {'box': first.variables()})
        assert status == 0 and os.path.getsize(dest + '/out/volumes/vol/large') == SIZE, out


def left(host, alone):
    """leftovers() of HOST. ALONE: nobody told it that the controller went. So the module is ended here, whenever it is seen: by itself
    it would wait for some minutes."""
    if alone:
        for pid, line in host.commands().items():
            if 'docker_data_restore' in line:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue            # it went by itself
    try:
        return host.leftovers()
    except subprocess.CalledProcessError:
        return ['something went while it was looked at']
