"""Looking at a path of a rescued disk: no link on the way is followed."""
import os
import socket
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio


@pytest.fixture
def disk(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder/file').write_bytes(b'123')
    (tmp_path / 'link').symlink_to('folder')
    (tmp_path / 'nowhere').symlink_to('gone')
    os.mkfifo(str(tmp_path / 'fifo'))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / 'socket'))
    return os.fsencode(str(tmp_path))


@pytest.mark.parametrize('name, kind', [
    (b'folder', stat.S_IFDIR), (b'folder/', stat.S_IFDIR), (b'folder/./file', stat.S_IFREG), (b'link', stat.S_IFLNK),
    (b'nowhere', stat.S_IFLNK), (b'fifo', stat.S_IFIFO), (b'socket', stat.S_IFSOCK), (b'gone', 0), (b'folder/file/x', 0),
    (b'link/file', 0), (b'folder/../folder', 0), (b'a\0b', 0), (b'x' * 300, 0)])
def test_what_a_path_is(disk, name, kind):
    path = disk + b'/' + name
    assert safeio.kind(path) == kind
    assert safeio.is_folder(path) == (kind == stat.S_IFDIR)
    assert safeio.is_file(path) == (kind == stat.S_IFREG)


def test_it_says_what_lstat_says(disk):
    assert safeio.lstat(disk + b'/folder/file') == os.lstat(disk + b'/folder/file')
    assert safeio.lstat(disk + b'/link') == os.lstat(disk + b'/link')


def test_no_link_on_the_way(disk):
    with pytest.raises(NotADirectoryError) as told:
        safeio.lstat(disk + b'/link/file')
    assert told.value.filename == disk + b'/link/file'


def test_it_leaves_no_descriptor_open(disk):
    before = os.listdir('/proc/self/fd')
    for name in (b'folder/file', b'link/file', b'gone', b'folder/file/x'):
        safeio.kind(disk + b'/' + name)
    assert os.listdir('/proc/self/fd') == before


def test_no_path_is_nothing():
    assert safeio.kind(None) == 0
    assert not safeio.is_folder(b'folder')


def test_a_root_is_not_opened_through_a_link(disk):
    """A container can swap a folder in the middle of a path for a link, between the look at it and its opening."""
    (inner, outer) = (disk + b'/folder/inner', disk + b'/link/inner')
    os.mkdir(inner)
    with safeio.Dir.root(inner) as folder:
        assert folder.names() == [] and folder.path() == inner
    for path in (outer, disk + b'/link', disk + b'/folder/file', disk + b'/folder/../folder', b'folder', disk + b'/gone'):
        with pytest.raises(OSError):
            safeio.Dir.root(path)


def test_a_root_that_was_closed_is_not_reopened_through_a_link(disk):
    os.mkdir(disk + b'/folder/inner')
    with safeio.Dir.root(disk + b'/folder/inner') as folder:
        assert folder.identity
        folder.close()
        os.rename(disk + b'/folder', disk + b'/moved')
        os.symlink(b'moved', disk + b'/folder')
        with pytest.raises(OSError):
            folder.names()


def test_a_folder_that_somebody_holds(disk):
    held = os.open(disk + b'/folder', os.O_RDONLY | os.O_DIRECTORY)
    os.rename(disk + b'/folder', disk + b'/moved')
    try:
        with safeio.Dir.held(held) as folder:
            assert folder.names() == [b'file']
            folder.close()
            assert folder.read(b'file') == b'123'
            with pytest.raises(OSError) as told:
                folder.open(b'.')
            assert told.value.filename == b'/proc/self/fd/%d/.' % held
    finally:
        os.close(held)


def test_roots_leave_no_descriptor_open(disk):
    before = os.listdir('/proc/self/fd')
    safeio.Dir.root(disk + b'/folder').close()
    for path in (disk + b'/link', disk + b'/folder/file', disk + b'/gone/x'):
        with pytest.raises(OSError):
            safeio.Dir.root(path)
    assert os.listdir('/proc/self/fd') == before
