"""A place that unpack() made from an archive is what the archive has; after any one change it is not."""
import io
import os
import socket
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compare, unpack
from ansible_collections.lifeboat.docker.plugins.module_utils.archive.tarread import ArchiveError
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import member, tar_bytes

SPARSE = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'd/holes', 'GNU.sparse.realsize': '200000'}
MAP = b'1\n100000\n4\n'.ljust(512, b'\0') + b'data'
OWN = {'uid': os.geteuid(), 'gid': os.getegid()}
RAW = tar_bytes([
    member('./', **OWN), member('./a', b'some content', **OWN), member('./d/', **OWN), member('./d/b', b'', mode=0o4755, **OWN),
    member('./d/c', b'x' * 300000, **OWN), member('d/holes', MAP, pax_headers=SPARSE, **OWN), member('./e/', mode=0o700, **OWN),
    member('./e/f/', **OWN), member('./e/f/deep', b'1', **OWN), member('./fifo', kind=tarfile.FIFOTYPE, **OWN),
    member('./hard', kind=tarfile.LNKTYPE, linkname='./d/c', **OWN), member('./link', kind=tarfile.SYMTYPE, linkname='a', **OWN)])


@pytest.fixture
def place(tmp_path):
    (tmp_path / 'place').mkdir()
    unpack.unpack(io.BytesIO(RAW), os.fsencode(str(tmp_path / 'place')), owners=True)
    return tmp_path / 'place'


def difference(place, raw=RAW):
    fd = os.open(str(place.parent), os.O_RDONLY)
    try:
        return compare.difference(io.BytesIO(raw), fd, place.name.encode(), 'a.tar', True)
    finally:
        os.close(fd)


def test_what_was_unpacked_is_the_same_and_nothing_stays_open(place):
    before = len(os.listdir('/proc/self/fd'))
    assert difference(place) == ''
    assert len(os.listdir('/proc/self/fd')) == before


def test_times_and_sockets_do_not_count(place):
    os.utime(str(place / 'd'))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / 'sock'))
        assert difference(place) == ''


def relinked(place):
    (place / 'link').unlink()
    (place / 'link').symlink_to('/etc/passwd')


def unlinked(place):
    (place / 'hard').unlink()
    (place / 'hard').write_bytes(b'x' * 300000)


def swapped(place):
    (place / 'e').rename(place.parent / 'elsewhere')
    (place / 'e').symlink_to(place.parent / 'elsewhere')


def in_the_hole(place):
    with open(str(place / 'd' / 'holes'), 'r+b') as out:
        out.seek(150000)
        out.write(b'!')


@pytest.mark.parametrize('change, word', [
    (lambda place: (place / 'a').write_bytes(b'some_content'), 'a has another content'),
    (lambda place: (place / 'a').write_bytes(b'short'), 'a has 5 bytes instead of 12'),
    (lambda place: (place / 'e' / 'f' / 'deep').unlink(), 'e/f/deep is not there'),
    (lambda place: (place / 'e' / 'f' / 'more').write_bytes(b''), '12 files and folders'),
    (lambda place: (place / 'new').mkdir(), 'the archive has 11'),
    (lambda place: os.chmod(str(place / 'd' / 'b'), 0o755), 'mode 755 instead of 4755'),
    (lambda place: os.chmod(str(place), 0o777), '. has the mode'),
    (relinked, 'link to another place'), (unlinked, 'hard is not the same file as d/c'), (swapped, 'e is of another kind'),
    (in_the_hole, 'd/holes has another content'),
    (lambda place: ((place / 'fifo').unlink(), (place / 'fifo').write_bytes(b'')), 'fifo is of another kind')])
def test_one_change_is_seen_and_named(change, word, place):
    change(place)
    assert word in difference(place).replace('"', '')


def test_attributes(place):
    try:
        os.setxattr(str(place / 'a'), 'user.mark', b'1')
    except OSError as exc:
        pytest.skip('no extended attributes here: %s' % exc)
    assert 'a has other extended attributes' in difference(place).replace('"', '')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
def test_owners(place):
    os.chown(str(place / 'a'), 12, 34)
    assert 'a belongs to 12:34' in difference(place).replace('"', '')


def test_one_file(tmp_path):
    raw = tar_bytes([member('app.conf', b'key=value', **OWN)])
    (tmp_path / 'other-name').write_bytes(b'key=value')
    os.chmod(str(tmp_path / 'other-name'), 0o644)
    assert difference(tmp_path / 'other-name', raw) == ''
    assert difference(tmp_path / 'other-name') != ''
    (tmp_path / 'other-name').write_bytes(b'key=other')
    assert 'another content' in difference(tmp_path / 'other-name', raw)


def test_a_link_in_its_place_is_not_followed(place):
    moved = place.parent / 'moved'
    place.rename(moved)
    place.symlink_to(moved)
    assert difference(place) != ''


def test_deep_trees(tmp_path):
    names = ['/'.join(['n'] * (count + 1)) for count in range(600)]
    raw = tar_bytes([member('./', **OWN)] + [member('./%s/' % name, **OWN) for name in names] + [member('./z', b'1', **OWN)])
    (tmp_path / 'place').mkdir()
    unpack.unpack(io.BytesIO(raw), os.fsencode(str(tmp_path / 'place')), owners=False)
    os.chmod(str(tmp_path / 'place'), 0o755)
    assert difference(tmp_path / 'place', raw) == ''


def test_damaged_archive(place):
    with pytest.raises(ArchiveError):
        difference(place, RAW[:len(RAW) // 2])
