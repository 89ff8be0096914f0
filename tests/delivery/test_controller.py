"""store_on: controller over ssh with become: complete, resumed, and the host left clean whatever happens."""
import os
import random
import signal
import time

import deadroot
import hosts
import pytest
from hosts import LARGE, MIB, archives, no_partial, options, result_of

GIVES_UP = hosts.impatient(10)


def test_everything_arrives_and_a_second_run_changes_nothing(first, controller, dead, reference, tmp_path):
    plays = hosts.task(**options(dead, tmp_path, spool_size=32 * MIB))
    status, out = controller.play(plays, {'box': first.variables()})
    assert status == 0, out
    result = result_of(out)
    # what is partial is so without a delivery, too: the archives are equal
    statuses = {item['status'] for item in result['bundles']}
    assert result['changed'] and 'complete' in statuses and statuses <= {'complete', 'partial'}
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert no_partial(str(tmp_path / 'out' / 'box'))
    assert all(item['path'].startswith(str(tmp_path / 'out')) and os.path.isdir(item['path']) for item in result['bundles'])
    assert first.clean() == []
    status, out = controller.play(plays, {'box': first.variables()})
    assert status == 0 and not result_of(out)['changed'], out


def test_check_mode_writes_nothing(first, controller, dead, tmp_path):
    # as most have it: Ansible looks for a Python by itself, and newer ones warn of what they found
    box = first.variables(ansible_python_interpreter='auto')
    status, out = controller.play(hosts.task(**options(dead, tmp_path)), {'box': box}, arguments=['--check'])
    assert status == 0, out
    assert result_of(out)['changed'] and not os.path.exists(str(tmp_path / 'out'))
    assert first.clean() == []


def test_the_spool_stays_small(first, controller, dead, tmp_path):
    process = controller.start(hosts.task(**options(dead, tmp_path)), {'box': first.variables()})
    most, shown = 0, ''
    while process.poll() is None:
        used = first.inside('df', '--output=used', '-B1', '/dev/shm').split()[-1]
        if int(used) > most:
            most = int(used)
            shown = first.inside('ls', '-lR', '/dev/shm')
        time.sleep(0.05)
    out = process.communicate()[0]
    assert process.returncode == 0, out
    assert MIB < most <= 4 * MIB, '%d\n%s' % (most, shown)


def test_a_reboot_of_the_host_goes_on_where_it_was(first, controller, dead, reference, tmp_path):
    plays = hosts.task(**options(dead, tmp_path))
    process = controller.start(plays, {'box': first.variables()})
    begun = wait_for_part(process, tmp_path, 8 * MIB)
    first.reboot()
    out = process.communicate(timeout=240)[0]
    assert process.returncode == 0, out
    assert begun and archives(str(tmp_path / 'out' / 'box')) == reference
    assert first.clean() == []


def wait_for_part(process, tmp_path, size):
    """Wait until the beginning of a large file is SIZE bytes long here; its path."""
    while process.poll() is None:
        for path, dummy, names in os.walk(str(tmp_path / 'out')):
            for name in names:
                try:
                    if name.endswith('.lifeboat-part') and os.path.getsize(os.path.join(path, name)) >= size:
                        return os.path.join(path, name)
                except OSError:
                    pass
        time.sleep(0.02)
    raise AssertionError('it was over before: ' + process.communicate()[0])


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_controller_that_ends(first, controller, dead, reference, tmp_path, how):
    """Ctrl-C, a cancelled job, a killed one: no final names, the host clean, and the next run goes on."""
    plays = hosts.task(**options(dead, tmp_path))
    process = controller.start(plays, {'box': first.variables()})
    part = wait_for_part(process, tmp_path, 8 * MIB)
    if how == signal.SIGKILL:
        controller.kill(process)
        process.wait(timeout=60)
    else:
        os.killpg(process.pid, how)
        process.wait(timeout=60)
        assert first.clean(20) == []
    assert os.path.getsize(part) >= 8 * MIB
    before = os.path.getsize(part)
    assert not [name for name in archives_finished(tmp_path) if 'large' in name]
    # the run that follows ends what the killed one left on the host, and goes on
    sent = []
    process = controller.start(plays, {'box': first.variables()})
    while process.poll() is None:
        try:
            sent.append(os.path.getsize(part))
        except OSError:
            pass
        time.sleep(0.01)
    out = process.communicate()[0]
    assert process.returncode == 0, out
    assert min(sent) >= before
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert no_partial(str(tmp_path / 'out' / 'box'))
    assert first.clean() == []


@pytest.mark.parametrize('seconds', [0.0, 0.5, 1.6] + [pytest.param(each, marks=pytest.mark.soak) for each in (0.2, 0.9)])
def test_ctrl_c_at_any_second(first, controller, dead, tmp_path, seconds):
    """SECONDS after the process on the host began. Nothing is left there, and what has its final name is whole."""
    process = controller.start(hosts.task(**options(dead, tmp_path)), {'box': first.variables()}, environment=GIVES_UP)
    while not first.senders():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    # a start that was cut off before its first step is given up by the node itself
    assert first.clean(30) == [], out
    if os.path.isdir(str(tmp_path / 'out' / 'box')):
        for name in archives_finished(tmp_path):
            hosts.run('sha256sum', '-c', '--quiet', 'SHA256SUMS', cwd=str(tmp_path / 'out' / 'box' / name))


def archives_finished(tmp_path):
    """Names of bundles; beside them lie the compose files of the host."""
    return [one.name for one in (tmp_path / 'out' / 'box').iterdir() if one.is_dir() and not one.name.startswith('.')]


def test_nobody_fetches(first, controller, dead, tmp_path):
    """A run whose controller is gone for good ends by itself."""
    process = controller.start(hosts.task(**options(dead, tmp_path, reconnect_timeout=5)), {'box': first.variables()},
                               environment=GIVES_UP)
    wait_for_part(process, tmp_path, 4 * MIB)
    first.unplug()
    try:
        out = process.communicate(timeout=120)[0]
        assert process.returncode == 4, out
        assert first.clean(40) == []
    finally:
        first.plug()


def test_becoming_somebody_unprivileged_is_explained(first, controller, dead, tmp_path):
    status, out = controller.play(hosts.task(**options(dead, tmp_path)), {'box': first.variables(ansible_become_user='nobody',
                                  ansible_shell_allow_world_readable_temp=True, ansible_python_interpreter='/usr/bin/python3')})
    assert status == 2 and 'Become root' in out, out


def test_the_jobs_container_is_refused(first, controller, dead, tmp_path):
    status, out = controller.play(hosts.task(**options(dead, tmp_path, dest='/runner/out')), {'box': first.variables()})
    assert status == 2 and 'confirm_dest' in out, out
    assert not os.path.exists('/runner/out')


def test_dest_inside_the_data_root_of_this_very_machine(first, controller, dead, tmp_path):
    """Node and controller share a kernel here, so the node can tell that dest is in what it reads."""
    inside = os.path.join(dead, 'var/lib/docker/out')
    status, out = controller.play(hosts.task(**options(dead, tmp_path, dest=inside)), {'box': first.variables()})
    assert status == 2 and 'lies inside' in out, out
    assert not os.path.exists(inside)


def test_no_room_on_the_controller(first, controller, dead, tmp_path):
    disk = str(tmp_path / 'small')
    os.mkdir(disk)
    hosts.run('mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk)
    try:
        status, out = controller.play(hosts.task(**options(dead, tmp_path, dest=disk + '/out')), {'box': first.variables()})
        assert status == 2 and 'needs at least' in out, out
        # told to try all the same: what does not fit is reported, the rest is there
        status, out = controller.play(hosts.task(**options(dead, tmp_path, dest=disk + '/out', check_space=False)),
                                      {'box': first.variables()})
        assert status == 2 and 'lost and' in out, out
        status, out = controller.play(hosts.task(**options(dead, tmp_path, dest=disk + '/out', check_space=False, fail_on='never')),
                                      {'box': first.variables()})
        assert status == 0, out
        result = result_of(out)
        by_status = {item['status'] for item in result['bundles']}
        assert by_status == {'complete', 'lost'}
        assert 'NOT_WRITTEN' in [item['code'] for item in result['problems']]
        archives(disk + '/out/box')
        assert first.clean() == []
    finally:
        hosts.run('umount', disk)


@pytest.fixture(scope='module')
def full(tmp_path_factory):
    """(folder, loop device, archives of a rescue before): a file system that is full to the last byte, with a data root."""
    top = tmp_path_factory.mktemp('full')
    image, disk = str(top / 'disk.img'), str(top / 'disk')
    os.mkdir(disk)
    with open(image, 'wb') as target:
        target.truncate(64 * MIB)
    hosts.run('mkfs.ext4', '-q', '-m', '0', image)
    # a loop device that once was read-only stays so
    loop = hosts.run('losetup', '-f', '--show', image).strip()
    hosts.run('blockdev', '--setrw', loop)
    try:
        hosts.run('mount', loop, disk)
        expected = deadroot.build(disk + '/var/lib/docker', containers=3, host_root=disk)
        fill(os.path.join(expected.volumes[0].path.decode(), 'large.bin'), LARGE)
        boss = hosts.Controller(str(top / 'controller'))
        status, out = boss.play(hosts.task(host_root=disk, dest=str(top / 'out')), {'box': LOCAL})
        assert status == 0, out
        fill(disk + '/var/lib/docker/fill')
        assert os.statvfs(disk).f_bavail == 0
        yield disk, loop, archives(str(top / 'out' / 'box'))
        assert os.statvfs(disk).f_bavail == 0
    finally:
        hosts.run('umount', disk, check=False)
        hosts.run('losetup', '-d', loop)


LOCAL = {'ansible_connection': 'local', 'ansible_python_interpreter': hosts.sys.executable}


def fill(path, size=None):
    """Write noise into a file: SIZE bytes, or to the last byte of the disk."""
    with open(path, 'wb') as target:
        try:
            for dummy in range(size // MIB if size else 1 << 20):
                target.write(os.urandom(MIB))
            target.flush()
        except OSError:
            pass
    if size is None:
        with open(path, 'ab', 0) as target:
            for piece in (4096, 1):
                try:
                    while True:
                        target.write(b'x' * piece)
                except OSError:
                    pass
            os.fsync(target.fileno())


def test_a_full_host_over_ssh_cut_three_times(first, controller, full, tmp_path):
    """0 bytes free on the host, the connection cut three times in the middle: what comes is what a local rescue gives."""
    disk, loop, reference = full
    first.inside('mount', loop, disk)
    try:
        process = controller.start(hosts.task(**options(disk, tmp_path, progress='true')), {'box': first.variables()})
        chance, cuts = random.Random(7), 0
        while process.poll() is None and cuts < 3:
            time.sleep(0.3 + chance.random() / 2)
            if first.senders():
                first.hang_up()
                cuts += 1
        out = process.communicate(timeout=240)[0]
    finally:
        first.inside('umount', disk)
    assert process.returncode == 0, out
    assert cuts == 3, out
    statuses = {item['status'] for item in result_of(out)['bundles']}
    assert 'complete' in statuses and statuses <= {'complete', 'partial'}
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert no_partial(str(tmp_path / 'out' / 'box'))
    assert first.clean() == []


@pytest.mark.parametrize('variables', [LOCAL, None], ids=['local', 'ssh as root'])
def test_a_full_host_without_become(first, controller, full, tmp_path, variables):
    disk, loop, reference = full
    before = spools()
    first.inside('mount', loop, disk)
    try:
        status, out = controller.play(hosts.task(**options(disk, tmp_path, spool_size=16 * MIB)), {
            'box': variables or first.variables(ansible_user='root', ansible_become=False)})
    finally:
        first.inside('umount', disk)
    assert status == 0, out
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert first.clean() == [] and spools() <= before


FULL_ROOT = """set -e
mkdir -p /run/keep /run/dead
mount %(loop)s /run/dead
mount --bind %(lab)s /run/keep
for folder in /tmp /var/tmp %(home)s; do
    mount -t tmpfs -o size=64k,mode=1777 tmpfs $folder
done
mkdir -p %(lab)s
mount --bind /run/keep %(lab)s
umount /run/keep
for folder in /tmp /var/tmp %(home)s; do
    dd if=/dev/zero of=$folder/fill bs=1k count=1000 2> /dev/null || true
done
"""


def test_a_host_whose_root_is_full(first, controller, full, tmp_path):
    """Not even Ansible's own temporary files have room."""
    dummy, loop, reference = full
    home = os.path.expanduser('~' + hosts.USER)
    first.inside('sh', '-c', FULL_ROOT % {'loop': loop, 'lab': first.lab.folder, 'home': home})
    try:
        status, out = controller.play(hosts.task(**options('/run/dead', tmp_path, spool_size=16 * MIB)), {
            'box': first.variables(ansible_python_interpreter='/usr/bin/python3')})
        left = first.inside('find', '/dev/shm', '-mindepth', '1')
    finally:
        first.inside('umount', first.lab.folder, '/tmp', '/var/tmp', home, '/run/dead')
    assert status == 0, out
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert first.clean() == [] and left == ''


def spools():
    """Spools of rescues on this machine itself."""
    return {os.path.join(place, name) for place in ('/dev/shm', '/run') for name in os.listdir(place) if name.startswith('lifeboat-')}


def test_layers_of_an_image_lie_here_once(first, controller, tmp_path):
    top = str(tmp_path / 'dead')
    expected = deadroot.build(top + '/var/lib/docker', containers=2, layers=2, host_root=top, rich=False)
    for layer in expected.images[0].layers:     # what is small is not worth it: say that it is large
        with open('%s/var/lib/docker/image/overlay2/layerdb/sha256/%s/size' % (top, layer.chain_id[7:]), 'w') as size:
            size.write(str(70 * MIB))
    plays = hosts.task(**options(top, tmp_path, include=['config', 'image'], spool_size=32 * MIB))
    status, out = controller.play(plays, {'box': first.variables()})
    assert status == 0, out
    assert [item['status'] for item in result_of(out)['bundles']] == ['complete'] * 2
    archives(str(tmp_path / 'out' / 'box'))
    for layer in expected.images[0].layers:
        found = hosts.run('find', str(tmp_path / 'out'), '-name', layer.diff_id[7:], '-printf', '%i\\n').split()
        assert len(found) == 3 and len(set(found)) == 1     # two bundles, and images/ beside them
    assert first.clean() == []
