"""Which deleted files a process holds, asked of processes of our own."""
import os
import subprocess
import sys

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo, processes

# opens what the arguments name, says so, and waits
HOLDER = r'''
import mmap, os, sys
kept = []
for word in sys.argv[1:]:
    how, path = word.split('=', 1)
    fd = os.open(path, os.O_RDWR)
    if how == 'map':
        kept.append(mmap.mmap(fd, 0))
        os.close(fd)
    kept.append(fd)
kept.append(mmap.mmap(-1, 4096))
os.write(1, b'.')
os.read(0, 1)
'''


@pytest.fixture
def holder():
    """holder('open=/path', 'map=/path') -> pid of a process that holds these."""
    started = []

    def start(*words):
        process = subprocess.Popen([sys.executable, '-S', '-c', HOLDER] + list(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)
        assert process.stdout.read(1) == b'.'
        return process.pid
    yield start
    for process in started:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@pytest.fixture
def scanned():
    """scanned(pid, ...) -> Held, closed in the end."""
    given = []

    def scan(*pids):
        given.append(processes.scan(pids))
        return given[-1]
    yield scan
    for held in given:
        processes.close(held)


def content(item):
    with open('/proc/self/fd/%d' % item.fd, 'rb') as stream:
        return stream.read()


def make(tmp_path, name, data=b'x'):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_a_deleted_file_is_named_and_a_file_that_is_there_is_left_alone(holder, scanned, tmp_path):
    gone, there = make(tmp_path, 'data/base/1', b'rows'), make(tmp_path, 'data/there')
    pid = holder('open=' + gone, 'open=' + gone, 'open=' + there)
    os.unlink(gone)
    held = scanned(pid)
    assert [(item.path, item.pid, content(item)) for item in held.files] == [(os.fsencode(gone[1:]), pid, b'rows')]
    assert held.unread == ()


def test_it_stays_when_the_process_ends(holder, scanned, tmp_path):
    gone = make(tmp_path, 'f', b'rows')
    process = subprocess.Popen([sys.executable, '-S', '-c', HOLDER, 'open=' + gone], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.read(1) == b'.'
    os.unlink(gone)
    held = scanned(process.pid)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert [content(item) for item in held.files] == [b'rows']


def test_a_folder_that_was_deleted_with_its_files(holder, scanned, tmp_path):
    gone = make(tmp_path, 'volume/base/5/1259', b'rows')
    pid = holder('open=' + gone)
    os.unlink(gone)
    os.removedirs(os.path.dirname(gone))
    assert [item.path for item in scanned(pid).files] == [os.fsencode(gone[1:])]


def test_mapped_and_closed(holder, scanned, tmp_path):
    """Without privileges it is named as unread, not left out."""
    gone = make(tmp_path, 'a\nb', b'rows' * 2000)
    pid = holder('map=' + gone)
    os.unlink(gone)
    held = scanned(pid)
    if held.unread:
        assert [item.text for item in held.unread] == [os.fsencode(gone) + processes.DELETED] and os.geteuid()
    else:
        assert [(item.path, content(item)) for item in held.files] == [(os.fsencode(gone[1:]), b'rows' * 2000)]


def test_a_file_that_is_called_deleted_and_is_there(holder, scanned, tmp_path):
    assert scanned(holder('open=' + make(tmp_path, 'x (deleted)'))).files == ()


def test_a_file_with_another_name_left(holder, scanned, tmp_path):
    """The name by which it is held is gone, and only that one is known."""
    gone = make(tmp_path, 'x')
    os.link(gone, str(tmp_path / 'other'))
    pid = holder('open=' + gone)
    os.unlink(gone)
    assert [item.path for item in scanned(pid).files] == [os.fsencode(gone[1:])]


def test_memory_of_the_kernel_is_no_file_and_a_file_of_that_name_is(holder, scanned, tmp_path):
    gone = make(tmp_path, 'memfd:x')
    pid = holder('open=' + gone)
    os.unlink(gone)
    held = scanned(pid)
    assert [item.path for item in held.files] == [os.fsencode(gone[1:])]
    assert processes._is_memory(b'/memfd:x (deleted)', b'0:1', frozenset([b'8:1']))
    assert not processes._is_memory(b'/memfd:x (deleted)', b'8:1', frozenset([b'8:1']))


@pytest.mark.parametrize('text, path', [
    (b'/srv/a (deleted)', b'srv/a'), (b'/srv/a', b'srv/a'), (b'/a (deleted) (deleted)', b'a (deleted)'), (b'/srv/\xff\n (deleted)', b'srv/\xff\n'),
    (b'', None), (b'/', None), (b'srv', None), (b'/srv/../etc/passwd (deleted)', None), (b'/srv//a', None), (b'/./a', None), (b'/a\0b', None),
    (b'/' + b'a' * 256, None), (b'/' + b'a/' * 2100 + b'a', None), (b'(unreachable)/a (deleted)', None),
])
def test_names(text, path):
    assert processes.named(text) == path


def test_more_files_than_can_be_held_are_told(holder, scanned, tmp_path, monkeypatch):
    gone = [make(tmp_path, name) for name in 'abc']
    pid = holder(*('open=' + path for path in gone))
    for path in gone:
        os.unlink(path)
    monkeypatch.setattr(processes, 'MAX_FILES', 2)
    held = scanned(pid)
    assert len(held.files) == 2 and [item.text for item in held.unread] == [os.fsencode(gone[2]) + processes.DELETED]


def test_a_process_that_is_gone_has_nothing(scanned):
    assert scanned(1 << 22)[:2] == ((), ())


def test_processes_of_this_machine_are_never_those_of_a_container():
    """Not even where their control group is called after it, as that of a monitor is."""
    assert processes.of_container(os.getpid(), ['']) == []
    assert processes.of_container(1 << 22, ['/', 'a', 'user']) == [] or os.getpid() not in processes.of_container(1 << 22, ['/', 'a', 'user'])


@pytest.mark.parametrize('table, found', [
    (b'0::/system.slice/docker-abc.scope/inner\n', True), (b'9:freezer,cpu:/docker/abc\n0::/\n', True), (b'0::/docker/abd\n', False),
    (b'9:name=abc:/x\n', False), (b'abc', False), (b'', False)])
def test_control_groups_of_both_versions(table, found):
    assert processes.in_group(table, [b'abc']) is found


def test_ids_in_control_groups(monkeypatch):
    one, two = 'a' * 64, 'b' * 64
    tables = {'7': b'0::/docker/%b\n' % one.encode(), '8': b'9:freezer:/docker/%b/docker/%b\n0::/\n' % (one.encode(), two.encode()),
              '9': b'0::/x-%b\n' % (b'c' * 65)}
    monkeypatch.setattr(processes, 'kernel_names', lambda path: list(tables) + ['self'])
    monkeypatch.setattr(processes, '_namespace', lambda pid: 'ours' if pid in ('self', 1) else 'other')
    monkeypatch.setattr(processes, 'read_proc', lambda pid, name, limit=0: tables[pid])
    monkeypatch.setattr(processes, 'started', lambda pid: (b'S', -pid))
    groups = processes.Groups()
    assert groups.ids() == [one, two]
    assert groups.oldest((one,)) == 8 and groups.oldest((two,)) == 8 and groups.oldest(('d' * 64,)) is None and groups.oldest(('',)) is None


@pytest.fixture
def spaced(tmp_path):
    """A process in a mount namespace of its own with a tmpfs at tmp_path/m: (pid, tmp_path/m); None where that may not be made."""
    point = tmp_path / 'm'
    point.mkdir()
    script = 'mount -t tmpfs none %s && echo rows > %s/f && exec 9<>%s/f && rm %s/f && mkdir %s/d && echo . && read x' % ((point,) * 5)
    process = subprocess.Popen(['unshare', '--mount', '--map-root-user', 'sh', '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    yield (process.pid, str(point)) if process.stdout.readline() == b'.\n' else None
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_another_mount_namespace(spaced, scanned):
    if spaced is None and os.geteuid():
        pytest.skip('no mount namespace can be made here')
    pid, point = spaced
    assert processes.of_container(pid, ['no such group']) == [pid]
    held = scanned(pid)
    assert [(item.path, content(item)) for item in held.files] == [(os.fsencode(point[1:]) + b'/f', b'rows\n')]
    assert any(mount.point == os.fsencode(point) for mount in processes.mounts_of(pid))
    fd = processes.held_below(pid, os.fsencode(point))
    assert os.listdir('/proc/self/fd/%d' % fd) == ['d'] and os.listdir(point) == []
    os.close(fd)


def test_no_link_leads_out_of_a_root(tmp_path):
    (tmp_path / 'link').symlink_to('/etc')
    with pytest.raises(OSError):
        processes.held_below(os.getpid(), os.fsencode(str(tmp_path / 'link' / 'passwd')))
    with processes.root_of(os.getpid()) as root:
        assert processes.seen(root, os.fsencode(str(tmp_path / 'link' / 'passwd'))[1:]) is None
        assert processes.seen(root, os.fsencode(str(tmp_path))[1:]).st_ino == os.stat(str(tmp_path)).st_ino


def test_mountinfo_says_which_folder_was_deleted():
    line = b'30 20 0:26 /volumes/v/_data//deleted /data rw - ext4 /dev/sda rw\n'
    assert fsinfo.parse_mountinfo(line)[0].root.endswith(processes.GONE)
