"""What a hostile program of an image can do in the view in which a database is dumped: nothing to this machine, and not for long."""
import codecs
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import box, view
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import NOBODY, Limits, Refused

MIB = 1 << 20
PROBES = {                              # name: a command of a shell that prints DONE if it reached something
    'mount': 'mount -t tmpfs x /mnt && echo DONE',
    'bind': 'mount -o bind / /mnt && echo DONE',
    'umount': 'umount /proc && echo DONE',
    'device': 'mknod /tmp/disk b 254 0 && echo DONE',
    'user namespace': 'unshare -Ur true && echo DONE',
    'mount namespace': 'unshare -m true && echo DONE',
    'other namespace': 'nsenter -t 1 -m true && echo DONE',
    'chroot': 'chroot / true && echo DONE',
    'pivot': 'pivot_root / /tmp && echo DONE',
    'become root': 'su -c true && echo DONE',
    'first process': 'ls /proc/1/root/ && echo DONE',
    'memory of the first process': 'head -c 1 /proc/1/mem && echo DONE',
    'descriptors of the first process': 'ls /proc/1/fd && echo DONE',
    'kernel settings': 'echo x > /proc/sys/kernel/hostname && echo DONE',
    'core pattern': 'echo "|/tmp/x" > /proc/sys/kernel/core_pattern && echo DONE',
    'sysrq': 'echo h > /proc/sysrq-trigger && echo DONE',
    'kernel log': 'dmesg | head -n 1 | grep -q . && echo DONE',
    'memory of the kernel': 'head -c 1 /proc/kcore && echo DONE',
    'clock': 'date -s 2001-01-01 >/dev/null; test $(date +%Y) = 2001 && echo DONE',
    'host name': 'hostname other && echo DONE',
    'kill the first process': 'kill -9 1; sleep 0.2; test -d /proc/1 || echo DONE',
    'priority': 'nice -n -5 true 2>&1 | grep -qi permission || nice -n -5 sh -c \'test $(nice) -lt 0\' && echo DONE',
    'network': 'ping -c 1 -W 1 192.0.2.1 && echo DONE',
    'interfaces': 'tail -n +3 /proc/net/dev | grep -v "^ *lo:" | grep -q . && echo DONE',
    'listen for all': 'ls /sys/class && echo DONE',
    'capabilities': 'grep -E "^Cap(Prm|Eff|Bnd|Amb)" /proc/self/status | grep -v 0000000000000000 && echo DONE',
    'new privileges': 'grep -q "^NoNewPrivs:.*1" /proc/self/status || echo DONE',
    'filter': 'grep -q "^Seccomp:.*2" /proc/self/status || echo DONE',
    'other processes': 'test $(ls /proc | grep -c "^[0-9]") -lt 8 || echo DONE',
    'the old root': 'ls -a / | grep -q lifeboat-old && echo DONE',
    'devices': 'ls /dev | grep -Ev "^(null|zero|full|random|urandom|shm)$" && echo DONE',
}


@pytest.fixture
def image(tmp_path):
    """A layer that has a shell and nothing else."""
    top = tmp_path / 'layer'
    for name in ('bin', 'data', 'mnt', 'etc'):
        (top / name).mkdir(parents=True)
    shutil.copy(shutil.which('busybox'), str(top / 'bin' / 'busybox'))
    os.chmod(str(top / 'bin' / 'busybox'), 0o755)
    (top / 'bin' / 'sh').symlink_to('busybox')
    (top / 'data' / 'rows').write_text('one\n')
    return top


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / 'scratch'
    folder.mkdir()
    os.chmod(str(folder), 0o711)
    for each in list(tmp_path.parents)[:3]:
        os.chmod(str(each), 0o755)
    return folder


def run(image, scratch, work, seconds=20, size=16 * MIB, places=(), in_memory=True, **limits):
    said = []
    scene = view.Scene((os.fsencode(str(image)),), tuple(places), os.fsencode(str(scratch)), size, in_memory)
    old = os.umask(0o077)               # as the module and the tool set it: what they write is for nobody else
    try:
        ended = box.run(scene, work, Limits(seconds, **limits), said.append)
    finally:
        os.umask(old)
    return ended, b''.join(said)


def shell(room, command):
    """What a command says in the view, with the applets of busybox in its PATH."""
    return room.call(['/bin/busybox', 'sh', '-c', command])


def probes(room):
    room.owner = (NOBODY, NOBODY)
    return {name: shell(room, '(%s) 2>/dev/null' % command)[1].decode('utf-8', 'replace') for name, command in PROBES.items()}


def test_nothing_is_reached(image, scratch):
    before = open('/proc/sys/kernel/core_pattern').read(), os.uname().nodename
    ended, dummy = run(image, scratch, probes)
    assert set(ended.result) == set(PROBES), ended
    reached = {name: said for name, said in ended.result.items() if 'DONE' in said}
    assert reached == {}
    assert (open('/proc/sys/kernel/core_pattern').read(), os.uname().nodename) == before


def as_root_of_the_data(room):
    """A data folder that root owns: programs run as nobody, and can use it."""
    folder = room.adopt(b'/data')
    status, said = shell(room, 'id -u; cat %s/rows; echo two >> %s/rows && cat %s/rows' % (folder, folder, folder))
    return {'status': status, 'said': said.decode()}


@pytest.mark.parametrize('in_memory', [True, False])
def test_no_program_runs_as_root_and_the_source_stays(image, scratch, in_memory):
    ended, dummy = run(image, scratch, as_root_of_the_data, in_memory=in_memory)
    assert ended.result == {'status': 0, 'said': '%d\none\none\ntwo\n' % NOBODY}, ended
    assert (image / 'data' / 'rows').read_text() == 'one\n' and os.stat(str(image / 'data' / 'rows')).st_uid == 0


def as_user(work, image, scratch):
    """The result of WORK in a view that an ordinary user makes, who owns IMAGE and SCRATCH."""
    user = 61000
    for top in (image, scratch):
        for path in [str(top)] + [str(each) for each in top.rglob('*')]:
            os.chown(path, user, user, follow_symlinks=False)
    os.chmod(str(image.parent), 0o755)
    for name in box.ENCODINGS:          # he may be unable to read this Python
        codecs.lookup(name)
    said, answer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            scene = view.Scene((os.fsencode(str(image)),), (), os.fsencode(str(scratch)), 16 * MIB, True, True, True)
            os.write(answer, json.dumps(box.run(scene, work, Limits(20), lambda data: None).result).encode())
        finally:
            os._exit(0)
    os.close(answer)
    with os.fdopen(said, 'rb') as raw:
        found = json.loads(raw.read().decode())
    os.waitpid(child, 0)
    return found


def test_an_ordinary_user_has_a_view_of_his_own(image, scratch):
    """In a user namespace: nothing is reached, and his files stay as they are."""
    found = as_user(probes, image, scratch)
    assert set(found) == set(PROBES), found
    assert {name: said for name, said in found.items() if 'DONE' in said} == {}
    found = as_user(as_root_of_the_data, image, scratch)
    assert found == {'status': 0, 'said': '%d\none\none\ntwo\n' % NOBODY}
    assert (image / 'data' / 'rows').read_text() == 'one\n' and os.listdir(str(scratch)) == []


def bomb(room):
    room.owner = (NOBODY, NOBODY)
    return {'status': shell(room, 'bomb() { bomb | bomb & }; bomb; sleep 1; true')[0]}


def fill(room):
    room.owner = (NOBODY, NOBODY)
    return {'said': shell(room, 'dd if=/dev/zero of=/tmp/large bs=1M count=1000 2>&1 | tail -n 1; stat -c "%s a b c d" /tmp/large')[1].decode()}


def endless(room):
    room.owner = (NOBODY, NOBODY)
    server = room.start(['/bin/busybox', 'sh', '-c', 'trap "" TERM INT HUP; yes endless >&2'])
    room.ready(server, lambda: False)


def ends_at_once(room):
    server = room.start(['/bin/busybox', 'false'])
    room.ready(server, lambda: False)


@pytest.mark.parametrize('in_memory', [True, False])
@pytest.mark.parametrize('work, seconds, code', [(bomb, 5, None), (fill, 10, None), (endless, 2, 'DUMP_TIMEOUT'), (ends_at_once, 10, 'DUMP_SERVER_FAILED')])
def test_it_ends_in_time(image, scratch, work, seconds, code, in_memory):
    began = time.monotonic()
    ended, dummy = run(image, scratch, work, seconds, in_memory=in_memory, processes=50)
    assert time.monotonic() - began < seconds + 20 and ended.result.get('code') in (
        (None, 'DUMP_TIMEOUT') if work is bomb else (code,)), ended.result
    assert len(ended.log) <= 2 * box.MAX_LOG
    assert not mounted(scratch) and (not in_memory or os.listdir(str(scratch)) == [])
    if work is fill:
        assert int(ended.result['said'].split()[-5]) <= 16 * MIB, ended.result


def mounted(folder):
    with open('/proc/self/mountinfo') as table:
        return [line for line in table if str(folder) in line]


def test_links_of_the_image_lead_nowhere(image, scratch, tmp_path):
    (image / 'data' / 'out').symlink_to('/../../../../etc')
    volume = tmp_path / 'volume'
    volume.mkdir()
    (volume / 'f').write_text('v')
    ended, dummy = run(image, scratch, functools.partial(listing, b'/etc'), places=[view.Place(b'/data/out/deep', os.fsencode(str(volume)))])
    assert ended.result == {'names': ['deep']} and not os.path.exists('/etc/deep')


def listing(path, room):
    return {'names': sorted(os.fsdecode(name) for name in os.listdir(path))}


def late_import(room):
    import uuid  # not of the standard modules that are loaded
    return {'found': uuid.__file__}


def test_no_module_is_imported_in_the_view(image, scratch):
    sys.modules.pop('uuid', None)
    ended, dummy = run(image, scratch, late_import)
    assert ended.result['code'] == '' and 'ModuleNotFoundError' in ended.result['error'], ended.result


def test_output_is_taken_and_an_error_of_the_taker_ends_all(image, scratch):
    ended, said = run(image, scratch, writer)
    assert said == b'x' * 3 * MIB and ended.result == {}

    class Full(Exception):
        pass

    def full(data):
        raise Full()
    scene = view.Scene((os.fsencode(str(image)),), (), os.fsencode(str(scratch)), MIB, True)
    with pytest.raises(Full):
        box.run(scene, writer, Limits(20), full)
    assert not mounted(scratch)


def writer(room):
    for dummy in range(3):
        room.out(b'x' * MIB)
    return {}


def refuser(room):
    raise Refused('DUMP_NO_BINARY', 'no')


def test_a_refusal_is_told(image, scratch):
    assert run(image, scratch, refuser)[0].result == {'code': 'DUMP_NO_BINARY', 'error': 'no'}


KILLED = '''
import os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import box, view
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Limits
def work(room):
    server = room.start(['/bin/busybox', 'sh', '-c', 'trap "" TERM INT HUP; while :; do sleep 0.1; done; : %s'])
    room.out(b'started')
    room.ready(server, lambda: False)
box.run(view.Scene((os.fsencode(sys.argv[1]),), (), os.fsencode(sys.argv[2]), 1 << 20, True), work, Limits(60), lambda data: os.write(1, data))
'''


def test_nothing_is_left_when_we_are_killed(image, scratch):
    mark = 'lifeboat-test-%d' % os.getpid()
    process = subprocess.Popen([sys.executable, '-c', KILLED % mark, str(image), str(scratch)], stdout=subprocess.PIPE)
    assert process.stdout.read(7) == b'started'
    assert running(mark)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(mark) == [] and not mounted(scratch) and os.listdir(str(scratch)) == []
    process.stdout.close()


def running(mark):
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open('/proc/%s/cmdline' % name, 'rb') as raw:
                    line = raw.read()
            except OSError:
                continue
            if mark.encode() in line and b'trap' in line and b'import os' not in line:
                found.append(name)
    return found
