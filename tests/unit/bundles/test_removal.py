"""Trees of any depth go, and nothing else."""
import errno
import os
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import removal
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store


def nest(top, depth, name='d'):
    """Folders in folders, made part by part: such a path is longer than the system takes."""
    fd = os.open(str(top), os.O_RDONLY)
    for dummy in range(depth):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


@pytest.fixture
def top(tmp_path):
    folder = tmp_path / 'top'
    folder.mkdir()
    (tmp_path / 'beside').mkdir()
    (tmp_path / 'beside' / 'file').write_bytes(b'stays')
    yield folder
    assert (tmp_path / 'beside' / 'file').read_bytes() == b'stays'


@pytest.mark.parametrize('depth', [1, 1500, 6000])
def test_any_depth(top, depth):
    os.close(nest(top, depth))
    before = len(os.listdir('/proc/self/fd'))
    removal.remove(os.fsencode(str(top)))
    assert not top.exists() and len(os.listdir('/proc/self/fd')) == before


def test_everything_in_it(top):
    (top / 'a' / 'b').mkdir(parents=True)
    (top / 'a' / 'file').write_bytes(b'x')
    os.mkfifo(str(top / 'a' / 'b' / 'fifo'))
    (top / os.fsdecode(b'\xff\n')).write_bytes(b'x')
    removal.remove(str(top))
    assert not top.exists()


def test_links_go_and_what_they_lead_to_stays(top, tmp_path):
    (top / 'in').symlink_to(tmp_path / 'beside')
    removal.remove(str(top))
    (tmp_path / 'out').symlink_to(tmp_path / 'beside')
    removal.remove(os.fsencode(str(tmp_path / 'out')))
    assert sorted(os.listdir(str(tmp_path))) == ['beside']


def test_relative_to_a_folder_and_nothing_there(top):
    fd = os.open(str(top.parent), os.O_RDONLY)
    try:
        removal.remove('top', dir_fd=fd)
        removal.remove('top', dir_fd=fd)
        assert not top.exists() and removal.discard(b'nothing', fd)
    finally:
        os.close(fd)


def test_a_folder_that_is_moved_meanwhile_ends_it(top, tmp_path, monkeypatch):
    """Else '..' would lead to where it was moved to, and that would be emptied."""
    (top / 'a' / 'b').mkdir(parents=True)
    real = os.rmdir
    moved = []

    def names(fd):
        listed = os.listdir(fd)
        if listed == ['b'] and not moved:
            moved.append(os.rename(str(top / 'a'), str(tmp_path / 'beside' / 'a')))
        return listed
    monkeypatch.setattr(removal, '_names', names)
    with pytest.raises(OSError) as caught:
        removal.remove(str(top))
    assert caught.value.errno == errno.ESTALE and os.rmdir is real
    assert not removal.discard(str(top / 'x' / 'y')) or not (top / 'x').exists()


def test_modes_of_our_own_are_no_obstacle(top):
    (top / 'a' / 'b').mkdir(parents=True)
    (top / 'a' / 'b' / 'file').write_bytes(b'x')
    fd = os.open(str(top), os.O_RDONLY)
    user = os.geteuid()
    if user == 0:                       # root needs no mode
        for path in (top, top / 'a', top / 'a' / 'b'):
            os.chown(str(path), 65534, 65534)
        os.seteuid(65534)
    try:
        for mode, name in ((0o500, 'a/b'), (0, 'a')):
            os.chmod(name, mode, dir_fd=fd)
        removal.remove('a', fd)
        assert os.listdir(fd) == []
    finally:
        os.seteuid(user)
        os.close(fd)


def test_another_file_system_is_not_entered(top, monkeypatch):
    (top / 'a' / 'mounted').mkdir(parents=True)
    (top / 'a' / 'mounted' / 'file').write_bytes(b'x')
    (top / 'z').write_bytes(b'x')
    inode = (top / 'a' / 'mounted').stat().st_ino
    real = os.fstat

    class Elsewhere(object):
        def __init__(self, st):
            self.st_dev, self.st_ino, self.st_mode, self.st_uid = st.st_dev + 1, st.st_ino, st.st_mode, st.st_uid
    monkeypatch.setattr(removal.os, 'fstat', lambda fd: Elsewhere(real(fd)) if real(fd).st_ino == inode else real(fd))
    with pytest.raises(OSError) as caught:
        removal.remove(str(top))
    assert caught.value.errno == errno.EXDEV
    assert not removal.discard(str(top))
    assert (top / 'a' / 'mounted' / 'file').exists() and not (top / 'z').exists()


def test_folders_are_made_without_recursion(tmp_path):
    path = os.path.join(os.fsencode(str(tmp_path)), *[b'd'] * 1100)
    made = removal.make(path, 0o701)
    assert len(made) == 1100 and made[-1] == path and stat.S_IMODE(os.stat(path).st_mode) == 0o701
    assert removal.make(path) == []
    with open(os.path.join(path, b'file'), 'wb'):
        pass
    removal.remove(os.path.join(os.fsencode(str(tmp_path)), b'd'))
    assert os.listdir(str(tmp_path)) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(OSError):
        removal.make(os.path.join(os.fsencode(str(tmp_path)), b'file', b'inner'))


@pytest.mark.parametrize('raw', [b'[' * 100000, b'{"a":' * 100000, b'nonsense', b'\xff', b'[]'],
                         ids=['lists', 'dictionaries', 'words', 'bytes', 'a list'])
def test_a_left_file_that_is_no_progress_is_none(tmp_path, raw):
    """Nested JSON ended every later run, since the file stayed."""
    beginning = store.FolderStore(os.fsencode(str(tmp_path)), b'host')
    beginning.prepare()
    bundle = beginning.begin('web-0123456789ab')
    with open(os.path.join(bundle.path, store.PROGRESS), 'wb') as left:
        left.write(raw)
    assert bundle.progress() == {}
    there = tmp_path / 'host' / 'old'
    there.mkdir(mode=0o700)
    (there / 'manifest.json').write_bytes(raw)
    assert beginning.manifest('old') == {}
