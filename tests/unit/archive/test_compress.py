import errno
import gzip
import hashlib
import io
import lzma
import os
import signal
import sys
import tarfile
import time
import types
import zlib

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compress
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError

NOISE = os.urandom(1 << 20)
TEXT = b'a line that repeats itself\n' * 40000


class Memory(object):
    """A sink. `room`: bytes until it is full."""

    def __init__(self, room=None):
        self.data, self.state, self.room = bytearray(), 'open', room

    def write(self, data):
        assert self.state == 'open'
        if self.room is not None and len(self.data) + len(data) > self.room:
            raise OSError(errno.ENOSPC, 'No space left on device')
        self.data += data

    def commit(self):
        assert self.state == 'open'
        self.state = 'committed'

    def abort(self):
        if self.state == 'open':
            self.state = 'aborted'


@pytest.fixture(autouse=True)
def nothing_stays():
    """No descriptor, no child and no zombie of a test survives it."""
    before = set(os.listdir('/proc/self/fd'))
    yield
    assert not set(os.listdir('/proc/self/fd')) - before    # a collected leftover of another test may be gone, though
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def without_programs(monkeypatch):
    monkeypatch.setattr(compress, '_find', lambda commands: None)


def codecs():
    """Every way that this machine can compress, by program and by module."""
    found = []
    for name in compress.NAMES[1:]:
        try:
            found.append(compress.pick(name))
        except LifeboatError:
            assert name == 'zstd' and not os.environ.get('CI')
    found += [compress.Codec(name, compress.SUFFIXES[name], None) for name in ('gzip', 'xz')]
    return found


CODECS = codecs()
CHILDREN = [codec for codec in CODECS if codec.argv]


def by_name(codec):
    return codec.name + ('-program' if codec.argv else '')


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
@pytest.mark.parametrize('pieces', [[], [b''], [b'x'], [TEXT, NOISE, TEXT]], ids=['nothing', 'empty', 'byte', 'much'])
def test_there_and_back(codec, pieces, tmp_path):
    raw = b''.join(pieces)
    sink = Memory()
    with compress.Compressor(codec, sink) as packed:
        for piece in pieces:
            packed.write(piece)
        written = packed.close()
    assert sink.state == 'committed'
    assert (written.bytes, written.sha256) == (len(sink.data), hashlib.sha256(sink.data).hexdigest())
    assert packed.raw_count() == len(raw)
    path = tmp_path / ('file' + codec.suffix)
    path.write_bytes(sink.data)
    assert compress.codec_of(str(path)) == codec.name
    with compress.open_reader(os.fsencode(str(path))) as reader:
        assert reader.read() == raw
    if codec.name == 'gzip':
        assert gzip.decompress(bytes(sink.data)) == raw
    if codec.name == 'xz':
        assert lzma.decompress(bytes(sink.data)) == raw


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_the_same_input_gives_the_same_file(codec):
    raw = (TEXT + NOISE) * (1 if codec.name == 'xz' else 6)
    digests = set()
    for cut in (1000, 1 << 20):
        with compress.Compressor(codec, Memory()) as packed:
            for start in range(0, 50 * cut, cut):
                packed.write(raw[start:start + cut])
            packed.write(raw[50 * cut:])
            digests.add(packed.close().sha256)
    assert len(digests) == 1


def test_the_buffer_may_be_reused():
    for codec in CODECS:
        sink = Memory()
        with compress.Compressor(codec, sink) as packed:
            buffer = bytearray(100000)
            for number in range(50):
                buffer[:] = bytes([number]) * 100000
                packed.write(memoryview(buffer))
            packed.close()
        expected = b''.join(bytes([number]) * 100000 for number in range(50))
        assert unpacked(codec, sink.data) == expected


def unpacked(codec, data):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        with os.fdopen(writer, 'wb') as handle:
            handle.write(data)
        os._exit(0)
    os.close(writer)
    try:
        with compress.open_reader(reader, codec.name) as stream:
            return stream.read()
    finally:
        os.close(reader)
        os.wait()


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_a_full_sink_is_told_to_the_writer(codec):
    sink = Memory(room=100000)
    with pytest.raises(OSError, match='No space left'):
        with compress.Compressor(codec, sink) as packed:
            for dummy in range(200):
                packed.write(NOISE)
            packed.close()
    assert sink.state == 'aborted'


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_a_sink_that_is_full_at_the_very_end(codec):
    sink = Memory(room=5)
    with pytest.raises(OSError, match='No space left'):
        with compress.Compressor(codec, sink) as packed:
            packed.write(TEXT)
            packed.close()
    assert sink.state == 'aborted'


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_a_failing_commit_is_told(codec):
    class Failing(Memory):
        def commit(self):
            raise OSError(errno.EIO, 'Input/output error')
    sink = Failing()
    with pytest.raises(OSError, match='Input/output error'):
        with compress.Compressor(codec, sink) as packed:
            packed.write(TEXT)
            packed.close()
    assert sink.state == 'aborted'


@pytest.mark.parametrize('codec', CHILDREN, ids=by_name)
def test_a_killed_compressor_is_told_to_the_writer(codec):
    sink = Memory()
    packed = compress.Compressor(codec, sink)
    packed.write(NOISE)
    os.kill(packed._filter._process.pid, signal.SIGKILL)
    with pytest.raises(LifeboatError, match=codec.argv[0] + '.*(SIGKILL|stopped reading)'):
        for dummy in range(50):
            packed.write(NOISE)
        packed.close()
    assert sink.state == 'aborted'


@pytest.mark.parametrize('codec', CHILDREN, ids=by_name)
def test_a_compressor_killed_before_the_end_leaves_no_file(codec):
    sink = Memory()
    packed = compress.Compressor(codec, sink)
    packed.write(b'little')
    os.kill(packed._filter._process.pid, signal.SIGKILL)
    with pytest.raises(LifeboatError, match='SIGKILL'):
        packed.close()
    assert sink.state == 'aborted'


def script(text):
    return compress.Codec('zstd', '.zst', ('/bin/sh', '-c', text))


def test_what_a_failing_compressor_says_is_in_the_error():
    with pytest.raises(LifeboatError, match='status 3: cannot do this; '):
        with compress.Compressor(script('cat >/dev/null; echo "cannot   do\nthis" >&2; exit 3'), Memory()) as packed:
            packed.write(b'x')
            packed.close()


def test_a_compressor_that_complains_without_end_does_not_hang():
    sink = Memory()
    with compress.Compressor(script('i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789 >&2; '
                                    'i=$((i+1)); done; exec cat'), sink) as packed:
        packed.write(TEXT)
        packed.close()
    assert sink.data == TEXT


def test_a_compressor_that_ends_early_is_an_error_even_with_status_0():
    with pytest.raises(LifeboatError, match='stopped reading'):
        with compress.Compressor(script('exit 0'), Memory()) as packed:
            for dummy in range(100):
                packed.write(NOISE)
            packed.close()


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_abort_in_the_middle(codec):
    sink = Memory()
    packed = compress.Compressor(codec, sink)
    packed.write(NOISE)
    packed.abort()
    packed.abort()
    assert sink.state == 'aborted'


def test_abort_of_a_compressor_that_does_nothing():
    started = time.time()
    packed = compress.Compressor(script('exec sleep 60'), Memory())
    packed.write(b'x')
    packed.abort()
    assert time.time() - started < 10


def test_leaving_without_close_keeps_nothing():
    sink = Memory()
    with pytest.raises(KeyError):
        with compress.Compressor(CODECS[0], sink) as packed:
            packed.write(b'x')
            raise KeyError('x')
    assert sink.state == 'aborted'


def test_a_program_that_cannot_start():
    sink = Memory()
    with pytest.raises(LifeboatError, match='cannot start /nowhere/zstd: No such file'):
        compress.Compressor(compress.Codec('zstd', '.zst', ('/nowhere/zstd',)), sink)
    assert sink.state == 'aborted'


# --- choice

def programs(monkeypatch, *present):
    monkeypatch.setattr(compress.shutil, 'which', lambda name, path=None: '/bin/' + name if name in present else None)
    monkeypatch.setattr(compress, '_zstd_module', lambda: None)


def test_auto_takes_the_fastest_that_there_is(monkeypatch):
    programs(monkeypatch, 'zstd', 'pigz', 'gzip', 'xz')
    assert compress.pick('auto')[:2] == ('zstd', '.zst') and compress.pick('auto').argv[0] == '/bin/zstd'
    programs(monkeypatch, 'pigz', 'gzip', 'xz')
    assert compress.pick('auto')[:2] == ('gzip', '.gz') and compress.pick('auto').argv[0] == '/bin/pigz'
    programs(monkeypatch, 'gzip')
    assert compress.pick('auto').argv[0] == '/bin/gzip'
    programs(monkeypatch)
    assert compress.pick('auto') == ('gzip', '.gz', None)
    assert compress.pick('xz') == ('xz', '.xz', None) and compress.pick('none') == ('none', '', None)
    monkeypatch.setattr(compress, '_zstd_module', lambda: object())  # pylint: disable=unnecessary-lambda
    assert compress.pick('auto') == ('zstd', '.zst', None)


def test_what_cannot_be_done_says_what_to_do(monkeypatch):
    programs(monkeypatch)
    with pytest.raises(LifeboatError, match='install it or use'):
        compress.pick('zstd')
    with pytest.raises(LifeboatError, match='one of auto, zstd, gzip, xz, none'):
        compress.pick('lz4')


def test_the_number_of_threads_is_bounded(monkeypatch):
    monkeypatch.setattr(compress.os, 'sched_getaffinity', lambda pid: range(96))
    programs(monkeypatch, 'zstd', 'xz')
    for codec in (compress.pick('zstd'), compress.pick('xz')):
        assert '-T8' in codec.argv


def test_module_of_python_3_14(monkeypatch, tmp_path):
    class Packer(object):
        def __init__(self, options):
            assert options.pop('checksum') == 1     # otherwise a flipped bit may go unseen
            assert 0 <= options.pop('workers') <= 4
            self._packer = zlib.compressobj(options.pop('level'))
            assert not options

        def compress(self, data):
            return self._packer.compress(data)

        def flush(self):
            return self._packer.flush()

    class Damage(Exception):
        pass

    class Reader(object):
        def __init__(self, raw):
            self._raw = raw

        def read(self, size=-1):
            try:
                return zlib.decompress(self._raw.read())
            except zlib.error as exc:
                raise Damage(exc)

        def close(self):
            pass

    class Workers(str):
        def bounds(self):
            return 0, 4
    module = types.ModuleType('compression')
    parameters = types.SimpleNamespace(compression_level='level', checksum_flag='checksum',
                                       nb_workers=Workers('workers'))
    module.zstd = types.SimpleNamespace(ZstdCompressor=Packer, ZstdFile=Reader, ZstdError=Damage,
                                        CompressionParameter=parameters)
    monkeypatch.setitem(sys.modules, 'compression', module)
    without_programs(monkeypatch)
    codec = compress.pick('zstd')
    sink = Memory()
    with compress.Compressor(codec, sink) as packed:
        packed.write(TEXT)
        packed.close()
    path = tmp_path / 'a.zst'
    path.write_bytes(sink.data)
    with compress.open_reader(str(path)) as reader:
        assert reader.read() == TEXT
    path.write_bytes(sink.data[:-10])
    with compress.open_reader(str(path)) as reader, pytest.raises(LifeboatError, match='damaged'):
        reader.read()


# --- reading

def packed_file(codec, tmp_path, raw=TEXT + NOISE):
    sink = Memory()
    with compress.Compressor(codec, sink) as packed:
        packed.write(raw)
        packed.close()
    path = tmp_path / ('file' + codec.suffix)
    path.write_bytes(sink.data)
    return str(path), bytes(sink.data)


READABLE = [codec for codec in CODECS if codec.name != 'none']


@pytest.mark.parametrize('by_program', [True, False])
@pytest.mark.parametrize('codec', READABLE, ids=by_name)
def test_damage_is_an_error_and_not_a_short_file(codec, by_program, tmp_path, monkeypatch):
    path, data = packed_file(codec, tmp_path)
    if not by_program:
        if codec.name == 'zstd' and compress._zstd_module() is None:
            return
        without_programs(monkeypatch)
    middle = len(data) // 2
    for damaged in (data[:middle], data[:-1], b'nonsense' * 10,
                    data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1:]):
        with open(path, 'wb') as handle:
            handle.write(damaged)
        with pytest.raises(LifeboatError, match='damaged'), compress.open_reader(path) as reader:
            while reader.read(100000):
                pass


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_reading_in_pieces_and_from_a_descriptor(codec, tmp_path):
    path, dummy = packed_file(codec, tmp_path)
    fd = os.open(path, os.O_RDONLY)
    try:
        with compress.open_reader(fd, codec.name) as reader:
            pieces = iter(lambda: reader.read(10000), b'')
            found = list(pieces)
        os.fstat(fd)
    finally:
        os.close(fd)
    assert b''.join(found) == TEXT + NOISE and set(map(len, found[:-1])) == {10000}


@pytest.mark.parametrize('codec', CODECS, ids=by_name)
def test_a_reader_may_be_left_early(codec, tmp_path):
    path, dummy = packed_file(codec, tmp_path, NOISE * 4)
    with compress.open_reader(path) as reader:
        assert reader.read(10) == NOISE[:10]


def test_tarfile_reads_through_it(tmp_path):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w') as archive:
        info = tarfile.TarInfo('file')
        info.size = len(NOISE)
        archive.addfile(info, io.BytesIO(NOISE))
    for codec in CODECS:
        path, dummy = packed_file(codec, tmp_path, raw.getvalue())
        with compress.open_reader(path) as reader, tarfile.open(fileobj=reader, mode='r|') as archive:
            assert [archive.extractfile(info).read() for info in archive] == [NOISE]


def test_names_of_files_tell_the_codec():
    assert [compress.codec_of(name) for name in (b'a.tar.zst', 'a.tar.gz', 'a.xz', b'a.tar', b'\xff.zst')] == [
        'zstd', 'gzip', 'xz', 'none', 'zstd']
    with pytest.raises(LifeboatError, match='unknown compression'):
        compress.open_reader('/dev/null', 'rar')


def test_without_any_way_to_read_zstd(monkeypatch, tmp_path):
    (tmp_path / 'a.zst').write_bytes(b'x')
    without_programs(monkeypatch)
    monkeypatch.setattr(compress, '_zstd_module', lambda: None)
    with pytest.raises(LifeboatError, match='install it to read .*a.zst'):
        compress.open_reader(os.fsencode(str(tmp_path / 'a.zst')))


def greedy_xz():
    """A small archive whose decompression needs 1 GiB of memory."""
    data = lzma.compress(b'x' * 1000, lzma.FORMAT_XZ, filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 20}])
    # the size of the dictionary is one byte of the block's header, which a checksum closes
    header = bytearray(data[12:24])
    assert header[2:4] == b'\x21\x01'
    header[4] = 36                      # 1 GiB
    header[8:12] = zlib.crc32(bytes(header[:8])).to_bytes(4, 'little')
    return data[:12] + bytes(header) + data[24:]


@pytest.mark.parametrize('ours', [True, False])
def test_an_archive_that_wants_much_memory_is_refused(tmp_path, monkeypatch, ours):
    if ours:
        programs(monkeypatch)
    path = tmp_path / 'a.tar.xz'
    path.write_bytes(greedy_xz())
    with compress.open_reader(str(path)) as reader, pytest.raises(LifeboatError, match='damaged archive: .*[Mm]emory'):
        while reader.read(1 << 16):
            pass


@pytest.mark.parametrize('padding', [b'', bytes(4096), bytes(1 << 20)])
def test_several_streams_in_one_file_are_one(tmp_path, monkeypatch, padding):
    programs(monkeypatch)
    path = tmp_path / 'a.xz'
    path.write_bytes(lzma.compress(b'a' * 300000) + padding + lzma.compress(b'b') + padding)
    with compress.open_reader(str(path)) as reader:
        assert b''.join(iter(lambda: reader.read(1000), b'')) == b'a' * 300000 + b'b'
    path.write_bytes(lzma.compress(NOISE)[:-20])
    with compress.open_reader(str(path)) as reader, pytest.raises(LifeboatError):
        while reader.read():
            pass
