import errno
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import sink
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError


def folder_of(tmp_path):
    return os.fsencode(str(tmp_path))


def test_the_name_appears_at_commit_only(tmp_path):
    target = sink.FileSink(folder_of(tmp_path), b'a.tar')
    target.write(b'one')
    target.write(memoryview(bytearray(b'two')))
    names = os.listdir(folder_of(tmp_path))
    assert len(names) == 1 and names[0].endswith(sink.TEMPORARY) and names[0].startswith(b'.a.tar.')
    target.commit()
    assert os.listdir(folder_of(tmp_path)) == [b'a.tar'] and target.bytes == 6
    assert (tmp_path / 'a.tar').read_bytes() == b'onetwo'
    assert (tmp_path / 'a.tar').stat().st_mode & 0o7777 == 0o600
    target.abort()
    assert os.listdir(folder_of(tmp_path)) == [b'a.tar']


def test_abort_leaves_nothing_and_may_be_repeated(tmp_path):
    before = os.listdir('/proc/self/fd')
    target = sink.FileSink(folder_of(tmp_path), b'a.tar')
    target.write(b'one')
    target.abort()
    target.abort()
    assert os.listdir(folder_of(tmp_path)) == [] and os.listdir('/proc/self/fd') == before


def test_commit_replaces_an_older_file_and_a_planted_link(tmp_path):
    (tmp_path / 'victim').write_bytes(b'untouched')
    os.symlink('victim', str(tmp_path / 'a.tar'))
    with sink.FileSink(folder_of(tmp_path), b'a.tar', durable=False) as target:
        target.write(b'new')
    assert (tmp_path / 'victim').read_bytes() == b'untouched'
    assert not os.path.islink(str(tmp_path / 'a.tar')) and (tmp_path / 'a.tar').read_bytes() == b'new'


def test_an_exception_inside_aborts(tmp_path):
    with pytest.raises(KeyError):
        with sink.FileSink(folder_of(tmp_path), b'a.tar') as target:
            target.write(b'new')
            raise KeyError('x')
    assert os.listdir(folder_of(tmp_path)) == []


def test_works_below_an_open_folder_that_is_renamed_meanwhile(tmp_path):
    os.mkdir(str(tmp_path / 'old'))
    fd = os.open(str(tmp_path / 'old'), os.O_RDONLY)
    try:
        target = sink.FileSink(fd, b'a.tar', shown=b'/dest/old')
        assert target.path == b'/dest/old/a.tar'
        os.rename(str(tmp_path / 'old'), str(tmp_path / 'new'))
        target.write(b'x')
        target.commit()
        os.fstat(fd)                    # still the caller's
    finally:
        os.close(fd)
    assert (tmp_path / 'new' / 'a.tar').read_bytes() == b'x'


def test_a_name_of_255_bytes(tmp_path):
    with sink.FileSink(folder_of(tmp_path), b'n' * 255):
        pass
    assert os.listdir(folder_of(tmp_path)) == [b'n' * 255]


@pytest.mark.parametrize('name', [b'', b'.', b'..', b'a/b', b'/a'])
def test_only_one_component_is_a_name(name, tmp_path):
    with pytest.raises(ValueError):
        sink.FileSink(folder_of(tmp_path), name)


def test_a_missing_folder_is_one_clear_sentence(tmp_path):
    before = os.listdir('/proc/self/fd')
    with pytest.raises(LifeboatError, match='cannot write .*/none/a.tar: No such file or directory; ') as caught:
        sink.FileSink(os.path.join(folder_of(tmp_path), b'none'), b'a.tar')
    assert caught.value.errno == errno.ENOENT and os.listdir('/proc/self/fd') == before


def test_a_full_disk_is_one_clear_sentence(tmp_path, monkeypatch):
    target = sink.FileSink(folder_of(tmp_path), b'a.tar')
    real, room = os.write, [100]

    def full(fd, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(fd, data[:room[0]])     # a disk that fills up writes the beginning first
        room[0] -= done
        return done
    monkeypatch.setattr(sink.os, 'write', full)
    with pytest.raises(LifeboatError, match='No space left on device; make room there') as caught:
        target.write(b'x' * 1000)
    assert caught.value.errno == errno.ENOSPC
    target.abort()
    assert os.listdir(folder_of(tmp_path)) == []


def test_short_writes_lose_nothing(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(sink.os, 'write', lambda fd, data: real(fd, data[:7]))
    with sink.FileSink(folder_of(tmp_path), b'a') as target:
        target.write(bytes(range(100)))
    assert (tmp_path / 'a').read_bytes() == bytes(range(100))


@pytest.mark.parametrize('call', ['fsync', 'rename'])
def test_a_failing_commit_leaves_nothing(call, tmp_path, monkeypatch):
    target = sink.FileSink(folder_of(tmp_path), b'a')
    target.write(b'x')

    def fail(*dummy, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(sink.os, call, fail)
    with pytest.raises(LifeboatError, match='Input/output error'):
        target.commit()
    assert os.listdir(folder_of(tmp_path)) == []
