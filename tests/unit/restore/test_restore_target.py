"""What somebody planted in the folder that is restored to is not followed, and named."""
import errno
import os
import stat
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    engineapi,
    folders,
    plan,
    run,
    target,
    volumes,
)
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes
from ansible_collections.lifeboat.docker.tests.unit.restore.test_folders import offline, stopped_root
from ansible_collections.lifeboat.docker.tests.unit.restore.test_hostile import snapshot

GOOD = tar_bytes([ROOT, member('./a', b'data')])
LINK = tar_bytes([member('./_data', kind=tarfile.SYMTYPE, linkname='/')])
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def dest(tmp_path):
    (tmp_path / 'outside' / 'inner').mkdir(parents=True)
    (tmp_path / 'outside' / 'secret').write_bytes(b'untouched')
    (tmp_path / 'dest' / 'volumes').mkdir(parents=True)
    return tmp_path / 'dest'


def bundle(tmp_path, raw=GOOD, name='data'):
    return make_bundle(tmp_path / 'bundle', {'volumes/%s.tar' % name: raw}, {'container': {'name': 'web', 'id': 'c' * 64}}, 'container')


def restore(dest, **options):
    return run.restore(plan.Options(path=bundle(dest.parent), restore=('volumes',), target='directory', dest=os.fsencode(str(dest)), **options))


def link(path, where):
    path.symlink_to(where)


PLANTED = {
    'the folder of all volumes is a link': lambda dest: (os.rmdir(str(dest / 'volumes')), link(dest / 'volumes', '../outside')),
    'the folder of all volumes is a file': lambda dest: (os.rmdir(str(dest / 'volumes')), (dest / 'volumes').write_bytes(b'')),
    'the folder of all volumes may be written by others': lambda dest: (dest / 'volumes').chmod(0o777),
    'the volume is a link to a folder': lambda dest: link(dest / 'volumes' / 'data', '../../outside/inner'),
    'the volume is a link to nothing': lambda dest: link(dest / 'volumes' / 'data', '../../outside/new'),
    'what a killed run would have left is a link': lambda dest: link(dest / 'volumes' / '.lifeboat-partial-data', '../../outside'),
    'what a killed run would have left is a file': lambda dest: (dest / 'volumes' / '.lifeboat-partial-data').write_bytes(b'x'),
}
if IS_ROOT:
    PLANTED['the folder of all volumes is somebody else\'s'] = lambda dest: os.chown(str(dest / 'volumes'), 1234, 1234)

    def foreign_partial(dest):
        (dest / 'volumes' / '.lifeboat-partial-data').mkdir(mode=0o700)
        os.chown(str(dest / 'volumes' / '.lifeboat-partial-data'), 1234, 1234)
    PLANTED['what a killed run would have left is somebody else\'s'] = foreign_partial


@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('case', sorted(PLANTED))
def test_what_was_planted_is_named_and_left_alone(case, force, dest):
    PLANTED[case](dest)
    bundle(dest.parent)
    before = snapshot(dest.parent)
    with pytest.raises(LifeboatError) as caught:
        restore(dest, force=force)
    assert str(dest / 'volumes') in str(caught.value)
    assert {path: found for path, found in snapshot(dest.parent).items() if '/bundle' not in path and not path.endswith('/.')} == {
        path: found for path, found in before.items() if '/bundle' not in path and not path.endswith('/.')}


@pytest.mark.parametrize('make', [lambda path: link(path, '../../outside/secret'), lambda path: os.mkfifo(str(path)),
                                  lambda path: path.write_bytes(b'x' * 100000)])
def test_a_note_that_is_none_of_ours_is_replaced_and_not_followed(make, dest):
    note = dest / 'volumes' / '.lifeboat-done-data'
    make(note)
    assert restore(dest)['changed'] and stat.S_ISREG(os.lstat(str(note)).st_mode)
    assert (dest.parent / 'outside' / 'secret').read_bytes() == b'untouched' and not restore(dest)['changed']


def test_a_failure_takes_back_even_what_a_link_took_the_place_of(dest, monkeypatch):
    """Between the steps of a restore somebody swaps the folder for a link: nothing behind it is touched."""
    def swap(*dummy, **dummies):
        os.rename(str(dest / 'volumes'), str(dest / 'moved'))
        link(dest / 'volumes', '../outside')
        raise OSError(errno.EIO, 'damaged')
    monkeypatch.setattr(folders.unpack, 'unpack', swap)
    before = snapshot(dest.parent / 'outside')
    with pytest.raises(LifeboatError):
        restore(dest)
    assert snapshot(dest.parent / 'outside') == before


@pytest.mark.parametrize('plant', [
    lambda root: link(root / 'volumes' / 'data', '../../outside'),
    lambda root: ((root / 'volumes' / 'data').mkdir(), link(root / 'volumes' / 'data' / '_data', '../../../outside/inner')),
    lambda root: ((root / 'volumes' / 'data').mkdir(), (root / 'volumes' / 'data').chmod(0o777))])
def test_links_among_the_volumes_of_a_stopped_engine(plant, dest, monkeypatch):
    root = stopped_root(dest.parent, monkeypatch)
    monkeypatch.setattr(folders.unpack.os, 'fchown', lambda *dummy: None)
    (root / 'volumes').mkdir()
    plant(root)
    before = snapshot(dest.parent / 'outside')
    with pytest.raises(LifeboatError):
        offline(bundle(dest.parent), force=True)
    assert snapshot(dest.parent / 'outside') == before


def test_data_is_always_a_folder_of_ours(dest, monkeypatch):
    """An archive whose one member is a link made volumes/X/_data a link to '/'."""
    root = stopped_root(dest.parent, monkeypatch)
    monkeypatch.setattr(folders.unpack.os, 'fchown', lambda *dummy: None)
    monkeypatch.setattr(folders.unpack.os, 'chown', lambda *dummy, **dummies: None)
    offline(bundle(dest.parent, LINK))
    assert stat.S_ISDIR(os.lstat(str(root / 'volumes' / 'data' / '_data')).st_mode)


def test_an_engines_volume_behind_a_link_is_not_filled(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'v').mkdir()
    access = volumes.Volumes(engineapi.Engine('unix:///s'), {})
    access._proof = volumes.DIRECT, ''
    monkeypatch.setattr(volumes, '_is_ours', lambda place: True)
    volume = {'Name': 'v', 'Driver': 'local', 'Mountpoint': str(tmp_path / 'v' / '_data')}
    (tmp_path / 'v' / '_data').symlink_to(tmp_path / 'outside')
    for call in (lambda: access.content(volume), lambda: access.empty(volume), lambda: access.set_aside(volume, 'd' * 64),
                 lambda: access.fill(volume, None, 'x', 'd' * 64)):
        with pytest.raises((OSError, LifeboatError)):
            call()
    assert os.listdir(str(tmp_path / 'outside')) == []


def test_links_of_an_administrator(tmp_path):
    """Among folders of the host links of root count, where only root writes; all others are refused."""
    if not IS_ROOT:
        with pytest.raises(LifeboatError):
            (tmp_path / 'to').symlink_to('real')
            with target.Place(os.fsencode(str(tmp_path)), b'to', b'x', False).folder():
                pass
        return
    (tmp_path / 'real' / 'inner').mkdir(parents=True)
    base = os.fsencode(str(tmp_path))
    for where in ('real', '/real', './real/../real', '../../real'):
        (tmp_path / 'to').symlink_to(where)
        with target.Place(base, b'to/inner', b'x', False).folder() as fd:
            assert os.fstat(fd).st_ino == (tmp_path / 'real' / 'inner').stat().st_ino
        os.unlink(str(tmp_path / 'to'))
    (tmp_path / 'to').symlink_to('to')
    with pytest.raises(OSError) as caught:
        with target.Place(base, b'to', b'x', False).folder():
            pass
    assert caught.value.errno == errno.ELOOP
    (tmp_path / 'real' / 'l').symlink_to('inner')
    for owner, mode in ((1234, 0o755), (0, 0o777)):
        os.chown(str(tmp_path / 'real'), owner, owner)
        (tmp_path / 'real').chmod(mode)
        with pytest.raises(LifeboatError):
            with target.Place(base, b'real/l', b'x', False).folder():
                pass


@pytest.mark.parametrize('parent, name', [(b'', b''), (b'', b'..'), (b'', b'a/b'), (b'', b'a\0'), (b'', b'x' * 256), (b'a/../b', b'x'), (b'a\0', b'x')])
def test_what_is_no_name(parent, name):
    with pytest.raises(ValueError):
        target.Place(b'/', parent, name)


def test_a_file_that_changes_after_it_was_checked(tmp_path):
    path = bundle(tmp_path)
    info = reading.inspect_bundle(path)
    os.close(reading.open_file(info, b'volumes/data.tar'))
    with open(path + b'/volumes/data.tar', 'r+b') as handle:
        stream = volumes.open_archive(info, b'volumes/data.tar')
        handle.write(b'!')
        handle.flush()
        with pytest.raises(LifeboatError, match='changed after it was checked'):
            while stream.read(1 << 16):
                pass
        stream.close()
    with pytest.raises(LifeboatError, match='changed after it was checked'):
        reading.open_file(info, b'volumes/data.tar')
    os.rename(path, path + b'.old')
    os.symlink(os.path.join(os.fsencode(str(tmp_path)), b'bundle.old'), path)
    make_bundle(tmp_path / 'other', {'volumes/data.tar': GOOD})
    os.unlink(path)
    os.symlink(os.fsencode(str(tmp_path / 'other')), path)
    with pytest.raises(LifeboatError):
        reading.open_file(info, b'volumes/data.tar')
