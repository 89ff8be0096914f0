"""Locks prove a living daemon; pid files, sockets and recycled process ids prove nothing."""
import fcntl
import os
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import discovery, liveness

CID = 'ab' * 32
OTHER = 'cd' * 32


@pytest.fixture
def root(tmp_path):
    """A data root with the lock files that dockerd has."""
    path = os.fsencode(str(tmp_path / 'data'))
    for name in (b'volumes/metadata.db', b'buildkit/cache.db',
                 b'containerd/daemon/io.containerd.metadata.v1.bolt/meta.db'):
        if not os.path.isdir(os.path.dirname(os.path.join(path, name))):
            os.makedirs(os.path.dirname(os.path.join(path, name)))
        with open(os.path.join(path, name), 'wb'):
            pass
    os.makedirs(os.path.join(path, b'containers', CID.encode()))
    return path


@pytest.fixture
def dead(tmp_path):
    return HostRoot(os.fsencode(str(tmp_path)))


LIVE = HostRoot(b'/')


def candidate(path, **more):
    return discovery.RootCandidate(path=path, recorded_path=path, why=('given',), score=0, drivers=(), containers=0,
                                   layers=0, base=path, **more)


def lock(path, how=fcntl.LOCK_EX):
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, how)
    return fd


# -- dockerd -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', [b'volumes/metadata.db', b'buildkit/cache.db'])
@pytest.mark.parametrize('live', [False, True])
def test_a_held_lock_is_a_running_daemon(root, dead, name, live):
    """On a mounted disk too: then a dockerd of this machine works on it."""
    host = LIVE if live else dead
    fd = lock(os.path.join(root, name))
    try:
        state = liveness.daemon_state(host, candidate(root))
    finally:
        os.close(fd)
    assert state.state == 'running'
    assert state.pid in (os.getpid(), None)     # see test_owner_of_a_lock
    assert os.fsdecode(name) + ' is locked by a living process' in state.evidence[0]
    # given up by the end of the process, however that comes
    assert liveness.daemon_state(host, candidate(root)).state == 'stopped'


def test_free_locks_are_a_stopped_daemon(root, dead):
    for host in (dead, LIVE):
        state = liveness.daemon_state(host, candidate(root))
        assert (state.state, state.pid) == ('stopped', None)
        assert 'metadata.db is not locked' in state.evidence[0]


def test_the_probe_keeps_no_lock(root, dead):
    liveness.daemon_state(dead, candidate(root))
    os.close(lock(os.path.join(root, b'volumes/metadata.db'), fcntl.LOCK_EX | fcntl.LOCK_NB))


def test_the_probe_changes_nothing(root, dead):
    path = os.path.join(root, b'volumes/metadata.db')
    os.utime(path, (1000, 1000))
    before = os.stat(path)
    liveness.daemon_state(dead, candidate(root))
    after = os.stat(path)
    assert (before.st_atime, before.st_mtime, before.st_ctime) == (after.st_atime, after.st_mtime, after.st_ctime)


def test_a_reader_of_the_database_is_no_daemon(root, dead):
    """Another rescue that looks at the same time holds a shared lock."""
    fd = lock(os.path.join(root, b'volumes/metadata.db'), fcntl.LOCK_SH)
    try:
        assert liveness.daemon_state(dead, candidate(root)).state == 'stopped'
    finally:
        os.close(fd)


@pytest.mark.parametrize('trick', ['missing', 'link', 'fifo', 'folder'])
def test_nothing_to_probe(root, dead, trick, tmp_path):
    other = os.fsencode(str(tmp_path / 'other.db'))
    for name in (b'volumes/metadata.db', b'buildkit/cache.db'):
        path = os.path.join(root, name)
        os.rename(path, other)
        if trick == 'link':
            os.symlink(other, path)
        elif trick == 'fifo':
            os.mkfifo(path)
        elif trick == 'folder':
            os.mkdir(path)
    fd = lock(other)
    try:
        state = liveness.daemon_state(dead, candidate(root))
    finally:
        os.close(fd)
    assert (state.state, state.pid) == ('unknown', None)
    assert 'no lock file' in state.evidence[-1]


def test_file_systems_of_other_machines_are_not_known(root, dead, monkeypatch):
    for fstype, expected in (('nfs4', 'unknown'), ('virtiofs', 'unknown'), ('fuse.sshfs', 'unknown'),
                             ('ext4', 'stopped')):
        mount = fsinfo.MountPoint(1, 0, b'0:5', b'/', b'/', (), fstype, b'x', ())
        monkeypatch.setattr(fsinfo, 'mount_of', lambda path, table=None, mount=mount: mount)
        assert liveness.daemon_state(dead, candidate(root)).state == expected
    fd = lock(os.path.join(root, b'volumes/metadata.db'))
    monkeypatch.setattr(fsinfo, 'mount_of', lambda path, table=None: mount._replace(fstype='nfs4'))
    try:
        assert liveness.daemon_state(dead, candidate(root)).state == 'running'
    finally:
        os.close(fd)


def test_containerd_alone_is_no_daemon(root, dead):
    place = os.path.join(root, b'containerd/daemon')
    fd = lock(os.path.join(place, b'io.containerd.metadata.v1.bolt/meta.db'))
    try:
        state = liveness.daemon_state(dead, candidate(root, containerd_roots=(place,)))
    finally:
        os.close(fd)
    assert state.state == 'stopped'
    assert any('containerd works on' in line for line in state.evidence)


def test_owner_of_a_lock():
    raw = (b'1: POSIX  ADVISORY  WRITE 11 fd:01:77 0 EOF\n2: FLOCK  ADVISORY  READ 12 fd:01:77 0 EOF\n'
           b'3: FLOCK  ADVISORY  WRITE 13 fd:02:77 0 EOF\n4: FLOCK  ADVISORY  WRITE 14 fd:01:77 0 EOF\n'
           b'4: -> FLOCK  ADVISORY  WRITE 15 fd:01:77 0 EOF\n5: FLOCK  ADVISORY  WRITE 0 08:10:5 0 EOF\nbroken\n')
    assert liveness.owner_in(raw, os.makedev(0xfd, 1), 77) == 14
    assert liveness.owner_in(raw, os.makedev(0xfd, 1), 78) is None
    assert liveness.owner_in(raw, os.makedev(8, 16), 5) is None
    assert liveness.owner_in(b'', os.makedev(8, 16), 5) is None


# -- processes -----------------------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path):
    """Start a process of a name with arguments: fake(name, *arguments) -> pid."""
    running = []

    def start(name, *arguments):
        script = tmp_path / name
        script.write_text('#!/bin/sh\n/bin/sh -c "echo; read line; exit 0"\nexit 0\n')
        script.chmod(0o755)
        process = subprocess.Popen([str(script)] + list(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        process.stdout.readline()
        return process.pid

    yield start
    for process in running:
        process.communicate()


def test_running_process_without_a_lock(root, fake, tmp_path):
    """dockerd before it opened its databases, or one of before 1.9."""
    pid = fake('dockerd', '--data-root', os.fsdecode(root))
    pidfile = tmp_path / 'docker.pid'
    pidfile.write_text(' %d\n' % pid)
    state = liveness.daemon_state(LIVE, candidate(root, pidfile=os.fsencode(str(pidfile))))
    assert (state.state, state.pid) == ('running', pid)
    assert any('as its pid file says' in line for line in state.evidence)
    # the same seen as a disk of another machine
    assert liveness.daemon_state(HostRoot(os.fsencode(str(tmp_path))), candidate(root)).state == 'stopped'


def test_running_process_of_a_userns_root(root, fake):
    inner = os.path.join(root, b'100000.100000')
    os.mkdir(inner)
    pid = fake('dockerd', '-g', os.fsdecode(root), '--userns-remap=default')
    state = liveness.daemon_state(LIVE, candidate(inner)._replace(base=root))
    assert (state.state, state.pid) == ('running', pid)


def test_running_process_on_another_root(root, fake, tmp_path):
    fake('dockerd', '--data-root', str(tmp_path))
    assert liveness.daemon_state(LIVE, candidate(root)).state == 'stopped'


@pytest.mark.parametrize('content', ['own', '1', '4194999', '', 'x', '-5', '9' * 40])
def test_pid_files_that_were_left_behind(root, tmp_path, content):
    pidfile = tmp_path / 'docker.pid'
    pidfile.write_text(str(os.getpid()) if content == 'own' else content)
    state = liveness.daemon_state(LIVE, candidate(root, pidfile=os.fsencode(str(pidfile))))
    assert (state.state, state.pid) == ('stopped', None)
    assert any('left behind' in line for line in state.evidence) == (content in ('own', '1', '4194999'))


def test_running_containers_are_told_although_dockerd_is_dead(root, fake):
    fake('containerd-shim-runc-v2', '-namespace', 'moby', '-id', CID, '-address', '/run/x.sock')
    state = liveness.daemon_state(LIVE, candidate(root))
    assert state.state == 'stopped'
    assert 'running: 1 container of this data root' in state.evidence


# -- containers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('arguments', [
    ['containerd-shim-runc-v2', '-namespace', 'moby', '-id', CID, '-address', '/run/containerd/containerd.sock'],
    ['docker-containerd-shim', CID, '/var/run/docker/libcontainerd/' + CID, 'docker-runc'],
    ['containerd-shim', '-namespace', 'moby', '-workdir', '/var/lib/x/moby/' + CID],
])
def test_container_with_a_shim(fake, dead, arguments):
    shim = fake(*arguments)
    children = liveness._children(shim)
    assert len(children) == 1
    for recorded in (children[0], 0, None, os.getpid(), 1, -1, 4194999, 1 << 70, 'x', True):
        assert liveness.container_alive(LIVE, CID, recorded) == children[0]
    assert liveness.container_alive(LIVE, OTHER, children[0]) is None
    # with the list that was made before
    shims = liveness.shims_of(LIVE)
    assert shims[CID] == shim
    assert liveness.container_alive(LIVE, CID, None, shims) == children[0]
    assert liveness.container_alive(LIVE, CID, None, {}) is None
    # another machine's disk
    assert liveness.container_alive(dead, CID, children[0]) is None
    assert liveness.shims_of(dead) == {}


def test_a_recycled_process_id_is_not_believed():
    assert liveness.container_alive(LIVE, CID, os.getpid()) is None
    assert liveness.container_alive(LIVE, CID, 1) is None


def test_a_shim_without_a_child_is_no_running_container(tmp_path):
    script = tmp_path / 'containerd-shim-runc-v2'
    script.write_text('#!/bin/sh\necho\nread line\n')
    script.chmod(0o755)
    process = subprocess.Popen([str(script), '-id', CID], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert liveness.shims_of(LIVE).get(CID) == process.pid
    assert liveness.container_alive(LIVE, CID, None) is None
    process.communicate()
    assert liveness.shims_of(LIVE).get(CID) is None


def test_a_container_by_its_cgroup(monkeypatch):
    real = liveness.hosts.read_proc
    cgroups = {'v1': b'12:pids:/docker/%s\n1:name=systemd:/docker/%s\n' % (CID.encode(), CID.encode()),
               'v2': b'0::/system.slice/docker-%s.scope\n' % CID.encode(), 'none': b'0::/user.slice\n'}
    for kind in sorted(cgroups):
        monkeypatch.setattr(liveness.hosts, 'read_proc', lambda pid, name, limit=1 << 17, kind=kind: (
            cgroups[kind] if name == 'cgroup' else real(pid, name, limit)))
        found = liveness.container_alive(LIVE, CID, os.getpid(), {})
        assert found == (None if kind == 'none' else os.getpid())


def test_a_dead_process_is_none(monkeypatch):
    """A zombie still has its cgroup."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    real = liveness.hosts.read_proc
    monkeypatch.setattr(liveness.hosts, 'read_proc', lambda pid, name, limit=1 << 17: (
        CID.encode() if name == 'cgroup' else real(pid, name, limit)))
    assert liveness.container_alive(LIVE, CID, child, {}) is None
    os.waitpid(child, 0)
    assert liveness.container_alive(LIVE, CID, child, {}) is None
