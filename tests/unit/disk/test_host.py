"""Paths of the dead host stay inside the host root, whatever links are planted there."""
import ctypes
import errno
import json
import os
import random
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import host as hosts
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot


@pytest.fixture
def root(tmp_path):
    """A host root with a neighbour outside of it that must never be reached."""
    folder = os.fsencode(str(tmp_path / 'dead'))
    os.mkdir(folder)
    (tmp_path / 'secret').write_text('outside')
    return folder


def make(root, path, data=b''):
    path = os.path.join(root, path.lstrip(b'/'))
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with open(path, 'wb') as stream:
        stream.write(data)
    return path


def link(root, path, target):
    path = os.path.join(root, path.lstrip(b'/'))
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    os.symlink(target, path)


def code_of(function, *args):
    with pytest.raises(OSError) as caught:
        function(*args)
    return caught.value.errno


def test_resolve_plain(root):
    make(root, b'/var/lib/docker/x')
    host = HostRoot(root)
    assert host.resolve(b'/var/lib/docker/x') == root + b'/var/lib/docker/x'
    assert host.resolve(b'//var/./lib//docker/') == root + b'/var/lib/docker'
    assert host.resolve(b'/') == root
    assert host.resolve(b'/..') == root


@pytest.mark.parametrize('target', [b'/data/docker', b'../data/docker', b'../../../../data/docker',
                                    b'/../data/./docker', b'/again', b'/var/../data/docker/'])
def test_links_are_resolved_inside(root, target):
    make(root, b'/data/docker/x', b'inside')
    link(root, b'/again', b'data/docker')
    link(root, b'/var/docker', target)
    host = HostRoot(root)
    assert host.resolve(b'/var/docker/x') == root + b'/data/docker/x'
    assert host.read(b'/var/docker/x') == b'inside'
    assert host.listdir(b'/var/docker') == [b'x']


@pytest.mark.parametrize('target', [b'../secret', b'../../../../../secret', b'/../secret'])
def test_no_link_leads_out(root, target):
    link(root, b'/etc/passwd', target)
    host = HostRoot(root)
    assert code_of(host.read, b'/etc/passwd') == errno.ENOENT
    assert not host.exists(b'/etc/passwd')


def test_absolute_link_to_the_real_path_is_not_followed_out(root, tmp_path):
    link(root, b'/x', os.fsencode(str(tmp_path / 'secret')))
    assert not HostRoot(root).exists(b'/x')


def test_dotdot_after_a_link_is_that_of_its_target(root):
    make(root, b'/data/deep/er/x')
    make(root, b'/data/found')
    link(root, b'/var', b'/data/deep/er')
    # a textual clean-up would give /found
    assert HostRoot(root).resolve(b'/var/../../found') == root + b'/data/found'


def test_loops_end(root):
    link(root, b'/a', b'b')
    link(root, b'/b', b'/a')
    link(root, b'/c', b'c/c/c')
    host = HostRoot(root)
    for path in (b'/a', b'/b/x', b'/c'):
        assert code_of(host.resolve, path) == errno.ELOOP
        assert not host.exists(path)


def test_forty_links_are_enough_and_the_most(root):
    make(root, b'/l0')
    for number in range(1, 42):
        link(root, b'/l%d' % number, b'l%d' % (number - 1))
    host = HostRoot(root)
    assert host.resolve(b'/l40') == root + b'/l0'
    assert code_of(host.resolve, b'/l41') == errno.ELOOP


def test_links_of_links_that_grow(root):
    """40 links of 2,000 components each: it ends, and soon."""
    os.mkdir(os.path.join(root, b'd'))
    for number in range(40):
        link(root, b'/g%d' % number, b'd/../' * 400 + b'g%d' % (number + 1))
    assert code_of(HostRoot(root).resolve, b'/g0') in (errno.ENOENT, errno.ELOOP)


def test_not_folders_on_the_way(root):
    make(root, b'/file', b'x')
    host = HostRoot(root)
    assert code_of(host.resolve, b'/file/x') == errno.ENOTDIR
    assert code_of(host.resolve, b'/file/') == errno.ENOTDIR
    assert code_of(host.resolve, b'/file/..') == errno.ENOTDIR
    assert not host.exists(b'/file/x')
    with pytest.raises(FileNotFoundError):
        host.resolve(b'/nothing')


@pytest.mark.parametrize('path', [b'relative', b'', b'/a\0b'])
def test_paths_that_are_none(root, path):
    assert code_of(HostRoot(root).resolve, path) == errno.EINVAL
    assert not HostRoot(root).exists(path)


def test_endless_paths(root):
    assert code_of(HostRoot(root).resolve, b'/' + b'./' * 3000000) == errno.ENAMETOOLONG
    assert code_of(HostRoot(root).resolve, b'/' + b'x' * 300) == errno.ENAMETOOLONG


def test_deep_trees_do_not_use_up_descriptors(root):
    fd = os.open(root, os.O_RDONLY)
    for dummy in range(500):
        os.mkdir(b'd', dir_fd=fd)
        inner = os.open(b'd', os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    host = HostRoot(root)
    assert host.resolve(b'/d' * 300) == root + b'/d' * 300
    assert code_of(host.resolve, b'/d' * 500) == errno.ENAMETOOLONG


def test_every_descriptor_is_closed(root):
    make(root, b'/a/b/c', b'x')
    link(root, b'/l', b'a/b')
    link(root, b'/loop', b'loop')
    host = HostRoot(root)
    before = len(os.listdir('/proc/self/fd'))
    for path in (b'/a/b/c', b'/l/c', b'/loop', b'/l/../../a/b', b'/nothing', b'/a/b/c/d'):
        for call in (host.resolve, host.stat, host.lstat, host.exists, host.read, host.listdir):
            try:
                call(path)
            except OSError:
                pass
    assert len(os.listdir('/proc/self/fd')) == before


def test_names_of_any_bytes(root):
    name = b'a\nb\xff\xfe $(x)'
    make(root, b'/' + name + b'/' + name, b'ok')
    link(root, b'/l\xe9', name)
    host = HostRoot(root)
    assert host.read(b'/l\xe9/' + name) == b'ok'
    assert host.listdir(b'/') == [name, b'l\xe9']
    assert host.resolve(b'/l\xe9') == os.path.join(root, name)


def test_read_takes_regular_files_only(root):
    make(root, b'/f', b'12345')
    os.mkfifo(os.path.join(root, b'fifo'))
    os.mkdir(os.path.join(root, b'd'))
    link(root, b'/null', b'/dev/null')
    host = HostRoot(root)
    assert host.read(b'/f', 5) == b'12345'
    assert code_of(host.read, b'/f', 4) == errno.EFBIG
    assert code_of(host.read, b'/fifo') == errno.EINVAL
    assert code_of(host.read, b'/d') == errno.EINVAL
    assert code_of(host.read, b'/') == errno.EINVAL
    assert code_of(host.read, b'/null') == errno.ENOENT     # not this machine's /dev/null


def test_a_sparse_giant_is_refused_unread(root):
    path = make(root, b'/big')
    os.truncate(path, 1 << 40)
    assert code_of(HostRoot(root).read, b'/big') == errno.EFBIG


def test_stat_follows_and_lstat_does_not(root):
    make(root, b'/f', b'123')
    link(root, b'/l', b'/f')
    link(root, b'/dangling', b'/gone')
    host = HostRoot(root)
    assert host.stat(b'/l').st_size == 3
    assert stat.S_ISLNK(host.lstat(b'/l').st_mode)
    assert stat.S_ISLNK(host.lstat(b'/dangling').st_mode)
    assert code_of(host.stat, b'/dangling') == errno.ENOENT
    assert stat.S_ISDIR(host.stat(b'/').st_mode)


def test_reading_leaves_access_times(root):
    path = make(root, b'/etc/x', b'1')
    for one in (path, os.path.dirname(path)):
        os.utime(one, (1000, 1000))
    host = HostRoot(root)
    host.read(b'/etc/x')
    host.listdir(b'/etc')
    assert os.stat(path).st_atime == 1000
    assert os.stat(os.path.dirname(path)).st_atime == 1000


def test_to_host(root):
    host = HostRoot(root)
    assert host.to_host(root) == b'/'
    assert host.to_host(root + b'/var/lib') == b'/var/lib'
    assert HostRoot(b'/').to_host(b'/var') == b'/var'
    for path in (root + b'x', os.path.dirname(root), b'/'):
        with pytest.raises(ValueError):
            host.to_host(path)


def test_host_root_may_be_a_link_and_text(root, tmp_path):
    os.symlink(root, str(tmp_path / 'link'))
    make(root, b'/f')
    host = HostRoot(str(tmp_path / 'link'))
    assert host.path == root
    assert host.resolve(b'/f') == root + b'/f'


@pytest.mark.parametrize('path', ['/nothing/here', 'relative', '/a\0b', '/dev/null'])
def test_host_root_that_cannot_be(path):
    with pytest.raises(LifeboatError) as caught:
        HostRoot(path.encode())
    assert 'host_root' in str(caught.value) and '\n' not in str(caught.value)


def test_live_is_only_the_own_root(root):
    assert HostRoot(b'/').is_live
    assert HostRoot(b'/proc/self/root').is_live
    assert not HostRoot(root).is_live


def test_processes_only_of_a_live_host(root):
    name = hosts.read_proc(os.getpid(), 'comm').strip()
    found = [process for process in HostRoot(b'/').processes((name,), ('PATH',)) if process.pid == os.getpid()]
    assert len(found) == 1 and len(found[0].argv) > 0
    assert set(found[0].env) <= set(['PATH'])
    assert list(HostRoot(root).processes((name,))) == []


CLONE_NEWUSER = 0x10000000


def chroot_stats(root, paths):
    """[[st_dev, st_ino] or errno] of PATHS, said by the kernel itself in a real chroot."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
                os._exit(77)
            os.chroot(root)
            os.chdir('/')
            found = []
            for path in paths:
                try:
                    st = os.stat(path)
                    found.append([st.st_dev, st.st_ino])
                except OSError as exc:
                    found.append(exc.errno)
            os.write(writing, json.dumps(found).encode())
            os._exit(0)
        except BaseException:
            os._exit(78)
    os.close(writing)
    with os.fdopen(reading, 'rb') as stream:
        raw = stream.read()
    return json.loads(raw.decode()) if os.waitpid(child, 0)[1] == 0 else None


@pytest.mark.parametrize('seed', range(20))
def test_same_answers_as_a_chroot(root, seed):
    """Random trees of folders, files and links of every kind: the kernel's chroot is the reference."""
    chance = random.Random(seed)
    names = [b'a', b'b', b'c', b'd', b'e']

    def path(depth):
        parts = [chance.choice(names + [b'..', b'.']) for dummy in range(chance.randint(1, depth))]
        return (b'/' if chance.random() < 0.5 else b'') + b'/'.join(parts) + (b'/' if chance.random() < 0.1 else b'')

    for dummy in range(30):
        place = os.path.join(root, *[chance.choice(names) for dummy in range(chance.randint(1, 4))])
        try:
            kind = chance.random()
            if kind < 0.4:
                os.makedirs(place)
            elif kind < 0.8:
                os.symlink(path(4), place)
            else:
                os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError:
            continue
    paths = [b'/' + path(6) for dummy in range(200)]
    expected = chroot_stats(root, paths)
    if expected is None:
        assert not os.environ.get('CI'), 'a chroot must be possible in CI (root or user namespaces)'
        pytest.skip('neither root nor user namespaces')
    host = HostRoot(root)
    different = []
    for one, want in zip(paths, expected):
        try:
            st = host.stat(one)
            got = [st.st_dev, st.st_ino]
            # what resolve() gives has no links left and is the same object
            again = host.resolve(one)
            assert os.path.realpath(again) == again and os.lstat(again).st_ino == st.st_ino
            assert again == root or again.startswith(root + b'/')
        except OSError as exc:
            got = exc.errno
        if got != want:
            different.append((one, got, want))
    assert not different
    assert sum(isinstance(want, list) for want in expected) > 20
