"""Paths in a file system: links stay inside, mounts are at their places."""
import errno
import io
import os
import random
import stat
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import write as archive
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.tree import Failure
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import filesystem, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model


def put(base, name, content=b'x'):
    path = os.path.join(str(base), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as out:
        out.write(content)


@pytest.fixture
def lower(tmp_path):
    base = str(tmp_path / 'layer')
    for name in ('etc/passwd', 'srv/a/b/file', 'srv/z', 'data/below'):
        put(base, name)
    os.symlink('/etc/passwd', base + '/srv/absolute')
    os.symlink('../../../../../../etc/passwd', base + '/srv/far')
    os.symlink('a', base + '/srv/folder')
    os.symlink('loop', base + '/loop')
    os.symlink('/run', base + '/var')
    os.mkdir(base + '/run')
    return base


@pytest.fixture
def view(lower):
    with union.View([model.Layer(os.fsencode(lower), model.OVERLAY)]) as opened:
        yield opened


def mount(place, path, missing=''):
    return filesystem.MountPoint(place, (lambda: filesystem.plain(os.fsencode(str(path)))) if path else None, missing)


def paths(files, path=b'/', prune=None):
    return [item.path for item in files.walk(files.lookup(path), prune) if not isinstance(item, Failure)]


@pytest.mark.parametrize('path', [b'/etc/passwd', b'etc//./passwd', b'/srv/absolute', b'/srv/far', b'/../../etc/passwd', b'/srv/a/../../etc/passwd'])
def test_links_and_dots_stay_inside(view, path):
    assert filesystem.FileSystem(filesystem.merged(view)).lookup(path).names == (b'etc', b'passwd')


def test_the_last_link_is_followed_only_when_asked(view):
    files = filesystem.FileSystem(filesystem.merged(view))
    assert files.lookup(b'/srv/folder', False).names == (b'srv', b'folder')
    assert files.lookup(b'/srv/folder/', False).names == (b'srv', b'a')
    assert files.lookup(b'/srv/folder/b/file', False).names == (b'srv', b'a', b'b', b'file')


@pytest.mark.parametrize('path, code', [(b'/nothing', errno.ENOENT), (b'/etc/passwd/x', errno.ENOTDIR), (b'/loop', errno.ELOOP),
                                        (b'/' + b'a/' * 3000, errno.ENAMETOOLONG), (b'/etc/passwd/', errno.ENOTDIR)])
def test_what_is_not_there(view, path, code):
    with pytest.raises(OSError) as raised:
        filesystem.FileSystem(filesystem.merged(view)).lookup(path)
    assert raised.value.errno == code


def test_mounts_are_at_their_places_in_order(view, tmp_path):
    put(tmp_path, 'volume/inside')
    put(tmp_path, 'volume/sub/x')
    put(tmp_path, 'other/deep')
    put(tmp_path, 'single')
    files = filesystem.FileSystem(filesystem.merged(view), [
        mount(b'/data', tmp_path / 'volume'), mount(b'/data/sub', tmp_path / 'other'), mount(b'/new/place', tmp_path / 'other'),
        mount(b'/etc/passwd', tmp_path / 'single'), mount(b'/srv/z', tmp_path / 'volume')])
    assert paths(files) == [
        b'data', b'data/inside', b'data/sub', b'data/sub/deep', b'etc', b'etc/passwd', b'loop', b'new', b'new/place', b'new/place/deep',
        b'run', b'srv', b'srv/a', b'srv/a/b', b'srv/a/b/file', b'srv/absolute', b'srv/far', b'srv/folder', b'srv/z', b'srv/z/inside',
        b'srv/z/sub', b'srv/z/sub/x', b'var']
    assert sum(files.paths(files.root, None), []) == [path + b'/' if files.lookup(path, False).folder else path for path in paths(files)]
    assert paths(files, b'/data') == [b'data/inside', b'data/sub', b'data/sub/deep']
    assert files.lookup(b'/data/sub/../inside').names == (b'data', b'inside')
    assert [entry.path for entry in files.children(files.lookup(b'/new'))] == [b'new/place']


def test_a_mount_goes_where_the_link_of_the_container_leads(view, tmp_path):
    put(tmp_path, 'volume/inside')
    files = filesystem.FileSystem(filesystem.merged(view), [mount(b'/var/lib', tmp_path / 'volume')])
    assert files.lookup(b'/run/lib/inside').names == (b'run', b'lib', b'inside')
    assert b'run/lib/inside' in paths(files)


def test_folders_that_are_left_out_hide_their_mounts(view, tmp_path):
    put(tmp_path, 'volume/inside')
    files = filesystem.FileSystem(filesystem.merged(view), [mount(b'/srv/q/w', tmp_path / 'volume'), mount(b'/srv/r', tmp_path / 'volume')])
    assert [path for path in paths(files, prune=lambda entry: entry.path == b'srv') if path.startswith(b'srv')] == [b'srv']


def test_a_mount_that_is_lost_is_said_and_never_empty(view):
    files = filesystem.FileSystem(filesystem.merged(view), [mount(b'/data', None, 'The volume x is gone.')])
    with pytest.raises(LifeboatError) as raised:
        files.lookup(b'/data/below')
    assert str(raised.value) == 'The volume x is gone.'
    told = [item for item in files.walk(files.root) if isinstance(item, Failure)]
    assert [(item.path, item.error.strerror) for item in told] == [(b'data', 'The volume x is gone.')]


def test_two_mounts_in_a_folder_that_is_not_there(view, tmp_path):
    put(tmp_path, 'volume/inside')
    files = filesystem.FileSystem(filesystem.merged(view), [mount(b'/new/a', tmp_path / 'volume'), mount(b'/new/b', tmp_path / 'volume')])
    assert [path for path in paths(files) if path.startswith(b'new')] == [b'new', b'new/a', b'new/a/inside', b'new/b', b'new/b/inside']


def test_a_part_of_a_volume(tmp_path):
    put(tmp_path, 'volume/part/file')
    os.symlink('/part', str(tmp_path / 'volume' / 'link'))
    node = filesystem.below(filesystem.plain(os.fsencode(str(tmp_path / 'volume'))), b'link')
    assert [item.path for item in filesystem.FileSystem(node).walk(filesystem.FileSystem(node).root)] == [b'file']


def test_a_name_in_a_layer_that_cannot_be_listed_is_not_called_missing(view, monkeypatch):
    from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
    real = safeio.Dir.names

    def names(self):
        if self.name == b'etc':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self)
    monkeypatch.setattr(safeio.Dir, 'names', names)
    with pytest.raises(OSError) as raised:
        filesystem.FileSystem(filesystem.merged(view)).lookup(b'/etc/passwd')
    assert raised.value.errno == errno.EIO


def test_a_folder_that_only_leads_to_a_mount_can_be_archived(view, tmp_path):
    """Its times are known as those of any other."""
    put(tmp_path / 'volume', 'a')
    files = filesystem.FileSystem(filesystem.merged(view), [mount(b'/not/there/yet', tmp_path / 'volume')])
    made = files.lookup(b'/not/there').entry
    assert (made.st.st_mtime_ns, made.st.st_ctime_ns, made.st.st_blocks) == (0, 0, 0)
    with tarfile.open(fileobj=io.BytesIO(archive_of(files))) as found:
        assert found.getnames() == ['not/there', 'not/there/yet', 'not/there/yet/a']


def archive_of(files):
    out = io.BytesIO()
    archive.write_tar(files.walk(files.lookup(b'/not')), out)
    return out.getvalue()


def some_layer(base, dice):
    """A layer of files, folders, links, whiteouts and opaque folders whose names other layers have, too."""
    def fill(folder, depth):
        for name in dice.sample('abcdefgh', dice.randint(0, 8)):
            path = os.path.join(folder, name)
            kind = dice.choice('ffddlwp')
            if kind == 'd' and depth < 3:
                os.mkdir(path)
                if dice.random() < 0.2:
                    os.setxattr(path, 'user.overlay.opaque', b'y')
                fill(path, depth + 1)
            elif kind == 'l':
                os.symlink('a', path)
            elif kind == 'w':
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            elif kind == 'p':
                os.mkfifo(path)
            else:
                put(folder, name)
    os.makedirs(base)
    fill(base, 0)


@pytest.mark.parametrize('seed', range(int(os.environ.get('LIFEBOAT_SOAK', 1)) * 12))
def test_listing_without_looking_at_each_file_is_the_same_as_a_walk(tmp_path, seed):
    dice = random.Random(seed)
    layers = [str(tmp_path / str(number)) for number in range(dice.randint(1, 5))]
    for base in layers:
        some_layer(base, dice)
    with union.View([model.Layer(os.fsencode(base), model.OVERLAY_USER) for base in layers]) as opened:
        merged = filesystem.merged(opened)
        failures = []
        if not safeio.SCANS:            # Python 3.6 lists no open folder with types, so each file has to be looked at
            assert merged.paths(b'', failures.append) is None
            return
        fast = [path for batch in merged.paths(b'', failures.append) for path in batch]
        slow = [entry.path + (b'/' if stat.S_ISDIR(entry.st.st_mode) else b'') for entry in filesystem.merged(opened).walk(b'', None)]
    assert fast == slow and not failures


def test_a_folder_that_only_leads_to_a_mount_holds_nothing():
    entry = filesystem.empty().entry
    for ask in (entry.folder.names, entry.readlink, lambda: entry.folder.open(b'x')):
        with pytest.raises(OSError) as caught:
            ask()
        assert caught.value.errno == errno.ENOENT
    assert entry.xattrs() == {}
