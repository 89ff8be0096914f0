import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import place, removal
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError

root_only = pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder to another user')
STRANGER = 12345


@pytest.fixture
def dest(tmp_path):
    fd = os.open(str(tmp_path), os.O_RDONLY | os.O_DIRECTORY)
    before = os.listdir('/proc/self/fd')
    yield fd
    assert len(os.listdir('/proc/self/fd')) == len(before)
    os.close(fd)


def mode(path):
    return os.stat(str(path)).st_mode & 0o7777


def refused(call, *arguments):
    with pytest.raises(LifeboatError) as caught:
        call(*arguments)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_dest_is_made_with_its_parents_for_this_user_only(tmp_path):
    fd = place.open_dest(os.fsencode(str(tmp_path / 'a' / 'b')))
    try:
        assert mode(tmp_path / 'a') == mode(tmp_path / 'a' / 'b') == 0o700
        assert place.shown(fd) == os.fsencode(str(tmp_path / 'a' / 'b'))
        os.fsync(fd)                    # one that can be locked and listed
        assert os.listdir(fd) == []
    finally:
        os.close(fd)


def test_dest_that_is_not_there_is_not_made_for_who_only_looks(tmp_path):
    refused(place.open_dest, os.fsencode(str(tmp_path / 'a')), False)
    assert os.listdir(str(tmp_path)) == []


def test_dest_below_a_file_is_refused(tmp_path):
    (tmp_path / 'file').write_text('x')
    assert 'file is a file' in refused(place.open_dest, os.fsencode(str(tmp_path / 'file' / 'dest')))


def test_links_of_the_user_in_dest_are_followed(tmp_path):
    (tmp_path / 'disk' / 'inner').mkdir(parents=True)
    os.symlink('../disk/inner', str(tmp_path / 'disk' / 'relative'))
    os.symlink(str(tmp_path / 'disk' / 'relative'), str(tmp_path / 'absolute'))
    fd = place.open_dest(os.fsencode(str(tmp_path / 'absolute' / 'new')))
    os.close(fd)
    assert (tmp_path / 'disk' / 'inner' / 'new').is_dir()


def test_links_in_a_circle_end(tmp_path):
    os.symlink('two', str(tmp_path / 'one'))
    os.symlink('one', str(tmp_path / 'two'))
    assert 'too many links' in refused(place.open_dest, os.fsencode(str(tmp_path / 'one')))


@root_only
@pytest.mark.parametrize('kind', ['link', 'folder'])
def test_dest_that_somebody_planted_where_everybody_can_write(kind, tmp_path):
    """/var/tmp/lifeboat-rescued, the default of the role, in the hands of another user."""
    public = tmp_path / 'public'
    public.mkdir()
    os.chmod(str(public), 0o1777)
    if kind == 'link':
        (tmp_path / 'victim').mkdir()
        os.symlink(str(tmp_path / 'victim'), str(public / 'dest'))
    else:
        (public / 'dest').mkdir()
    os.lchown(str(public / 'dest'), STRANGER, STRANGER)
    said = refused(place.open_dest, os.fsencode(str(public / 'dest' / 'more')))
    assert 'dest belongs to uid 12345' in said
    assert not (tmp_path / 'victim' / 'more').exists() and not (public / 'dest' / 'more').exists()


@root_only
def test_dest_that_an_administrator_gave_to_another_user_is_taken(tmp_path):
    (tmp_path / 'backup').mkdir()
    os.chown(str(tmp_path / 'backup'), STRANGER, STRANGER)
    os.close(place.open_dest(os.fsencode(str(tmp_path / 'backup'))))


def test_a_subfolder_is_made_for_this_user_only(dest, tmp_path):
    old = os.umask(0)
    try:
        os.close(place.subfolder(dest, b'box'))
    finally:
        os.umask(old)
    assert mode(tmp_path / 'box') == 0o700
    os.close(place.subfolder(dest, b'box'))                  # and taken again
    assert place.subfolder(dest, b'none', False) is None
    assert os.listdir(str(tmp_path)) == ['box']


def test_a_link_instead_of_a_subfolder(dest, tmp_path):
    (tmp_path / 'victim').mkdir()
    os.symlink('victim', str(tmp_path / 'box'))
    for make in (True, False):
        assert 'box is a link' in refused(place.subfolder, dest, b'box', make)
    assert 'box is a link' in refused(place.check_owned, dest, b'box')


def test_a_file_instead_of_a_subfolder(dest, tmp_path):
    (tmp_path / 'box').write_text('x')
    os.chmod(str(tmp_path / 'box'), 0o600)
    assert 'box is a file' in refused(place.subfolder, dest, b'box')
    assert place.check_owned(dest, b'box').st_size == 1


@pytest.mark.parametrize('bits', [0o770, 0o707, 0o777, 0o1777])
def test_a_subfolder_that_others_can_write(bits, dest, tmp_path):
    (tmp_path / 'box').mkdir()
    os.chmod(str(tmp_path / 'box'), bits)
    for call in (place.subfolder, place.check_owned):
        assert 'box can be written by others (mode %04o)' % bits in refused(call, dest, b'box')


@root_only
def test_a_subfolder_of_somebody_else(dest, tmp_path):
    (tmp_path / 'box').mkdir(mode=0o700)
    os.chown(str(tmp_path / 'box'), STRANGER, STRANGER)
    for call in (place.subfolder, place.check_owned):
        assert 'box belongs to uid 12345' in refused(call, dest, b'box')
    assert os.listdir(str(tmp_path)) == ['box']


def test_a_file_system_that_gives_one_owner_and_mode_to_all(dest, tmp_path, monkeypatch):
    """vfat, or NFS that squashes root: the kernel's answers are those of the mount, also for what was made just now."""
    real_fstat, real_stat = os.fstat, os.stat

    def squashed(st):
        return os.stat_result((st.st_mode | 0o022,) + tuple(st)[1:4] + (STRANGER, STRANGER) + tuple(st)[6:10])

    monkeypatch.setattr(place.os, 'fstat', lambda fd: squashed(real_fstat(fd)))
    monkeypatch.setattr(place.os, 'stat', lambda *arguments, **options: squashed(real_stat(*arguments, **options)))
    os.close(place.subfolder(dest, b'box'))
    assert place.check_owned(dest, b'box') is not None
    assert os.listdir(str(tmp_path)) == ['box']


def test_several_levels(dest, tmp_path):
    os.close(place.subfolders(dest, b'image/blobs/sha256'))
    assert mode(tmp_path / 'image') == mode(tmp_path / 'image' / 'blobs' / 'sha256') == 0o700
    assert place.subfolders(dest, b'image/none/more', False) is None
    os.rename(str(tmp_path / 'image' / 'blobs'), str(tmp_path / 'real'))
    os.symlink('../real', str(tmp_path / 'image' / 'blobs'))
    assert 'blobs is a link' in refused(place.subfolders, dest, b'image/blobs/sha256')


@pytest.mark.parametrize('name', [b'', b'.', b'..', b'a/b', b'/a', b'a\0b'])
def test_only_one_component_is_a_name(name, dest):
    for call in (place.subfolder, place.check_owned):
        with pytest.raises(ValueError):
            call(dest, name)


def test_removing_does_not_follow_links(dest, tmp_path):
    (tmp_path / 'victim').mkdir()
    (tmp_path / 'victim' / 'file').write_text('kept')
    (tmp_path / 'tree' / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'tree' / 'c').mkdir()
    (tmp_path / 'tree' / 'a' / 'b' / 'file').write_text('x')
    os.symlink(str(tmp_path / 'victim'), str(tmp_path / 'tree' / 'a' / 'link'))
    os.symlink('victim', str(tmp_path / 'alone'))
    for name in (b'tree', b'alone', b'none'):
        removal.remove(name, dest)
    assert os.listdir(str(tmp_path)) == ['victim'] and (tmp_path / 'victim' / 'file').read_text() == 'kept'


def test_removing_a_tree_that_is_very_deep(dest, tmp_path):
    here = os.open(str(tmp_path), os.O_RDONLY)
    for dummy in range(3000):
        os.mkdir('d', dir_fd=here)
        below = os.open('d', os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open('file', os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    removal.remove(b'd', dest)
    assert os.listdir(str(tmp_path)) == []
