"""Compression in a process of its own, hashed on the way to the sink.

    write() -> pipe -> zstd -> pipe -> thread: SHA-256, sink.write()

The host's own programs are used, because they use every core; without them Python's modules do (one core).
"""
import hashlib
import os
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, List, NamedTuple, Optional, Tuple, Type, Union

from ..disk.errors import LifeboatError
from ..formats import pieces

if TYPE_CHECKING:
    from .sink import Sink

NAMES = ('auto', 'zstd', 'gzip', 'xz', 'none')
SUFFIXES = {'zstd': '.zst', 'gzip': '.gz', 'xz': '.xz', 'none': ''}

# zstd -1: half the work of its default -3 on a /usr tree for 9 % more bytes, and it pays for our checksums on large
# files; see docs/design.md.
# %d: threads.
_PACK = {'zstd': (('zstd', '-q', '-c', '-1', '-T%d'),),
         'gzip': (('pigz', '-c', '-n', '-1', '-p%d'), ('gzip', '-c', '-n', '-1')),
         'xz': (('xz', '-q', '-c', '-2', '-T%d'),)}
_UNPACK = {'zstd': (('zstd', '-q', '-d', '-c'),),
           'gzip': (('gzip', '-d', '-c'),),
           'xz': (('xz', '-q', '-d', '-c'),)}
_PATHS = os.pathsep.join(('/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'))
_MAX_THREADS = 8                        # more than one reader can feed, and each takes memory
_F_SETPIPE_SZ = 1031                    # linux/fcntl.h; fcntl has it from Python 3.10 on
_PIPE = 1 << 20
_PIECE = 256 * 1024
_MESSAGE = 4096
_MAX_TRIES = 200                        # runs of a program over frames some of which are damaged
_XZ_MEMORY = 256                        # MiB; the largest preset needs 65, a hostile archive asks for 4096


class CompressError(LifeboatError):
    """The compressor ended before its work was done."""


class Codec(NamedTuple):
    """`argv` is None where Python itself does the work (and for none)."""
    name: str                           # zstd | gzip | xz | none
    suffix: str                         # of file names, with its dot
    argv: Optional[Tuple[str, ...]]


class Written(NamedTuple):
    """What close() returns: of the compressed stream."""
    bytes: int
    sha256: str


def _find(commands: Iterable[Tuple[str, ...]]) -> Optional[Tuple[str, ...]]:
    for argv in commands:
        # Ansible's PATH on a host may be short
        program = shutil.which(argv[0]) or shutil.which(argv[0], path=_PATHS)
        if program:
            return (program,) + tuple(word.replace('%d', str(_threads())) for word in argv[1:])
    return None


def _threads() -> int:
    return max(1, min(_MAX_THREADS, len(os.sched_getaffinity(0))))


def _zstd_module() -> Any:
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        return None
    return zstd


def pick(name: str = 'auto') -> Codec:
    """The Codec for an option value. LifeboatError if the host can't do it."""
    if name == 'auto':
        name = 'zstd' if _find(_PACK['zstd']) or _zstd_module() else 'gzip'
    if name not in SUFFIXES:
        raise LifeboatError('compression must be one of %s, not %s' % (', '.join(NAMES), name))
    argv = _find(_PACK.get(name, ()))
    if argv is None and name == 'zstd' and _zstd_module() is None:
        raise LifeboatError('this host has no zstd program; install it or use compression: auto, gzip or none')
    return Codec(name, SUFFIXES[name], argv)


def _packer(name: str) -> Any:
    """Compress in this process: an object with compress(data) and flush()."""
    if name == 'gzip':
        import zlib
        return zlib.compressobj(1, zlib.DEFLATED, 31)   # 31: gzip framing, without a time
    if name == 'xz':
        import lzma
        return lzma.LZMACompressor(preset=1)
    zstd = _zstd_module()
    options = zstd.CompressionParameter
    # as the program does it: with a checksum, in threads
    return zstd.ZstdCompressor(options={options.compression_level: 1, options.checksum_flag: 1,
                                        options.nb_workers: min(_threads(), options.nb_workers.bounds()[1])})


class _InProcess(object):
    def __init__(self, packer: Any, deliver: Callable[[Union[bytes, memoryview]], Any]) -> None:
        self._packer = packer
        self._deliver = deliver

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._deliver(self._packer.compress(data) if self._packer else data)

    def finish(self) -> None:
        if self._packer:
            self._deliver(self._packer.flush())

    def stop(self) -> None:
        pass


def _widen(fd: int) -> None:
    """Fewer switches between the processes; the kernel may refuse."""
    import fcntl
    try:
        fcntl.fcntl(fd, _F_SETPIPE_SZ, _PIPE)
    except OSError:
        pass


class _Child(object):
    """A filter process. What it writes goes to DELIVER in a thread; the first error of either side stops both."""

    def __init__(self, argv: Tuple[str, ...], deliver: Callable[[Union[bytes, memoryview]], Any]) -> None:
        self._argv = argv
        self._deliver = deliver
        self._error: Optional[BaseException] = None
        self._said = b''
        said, its_stderr = os.pipe()
        # never make it wait for someone to read its complaints
        os.set_blocking(its_stderr, False)
        os.set_blocking(said, False)
        self._stderr: Optional[int] = said
        try:
            # pylint: disable-next=ansible-bad-function
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=its_stderr,
                                             bufsize=0, env=dict(os.environ, LC_ALL='C'))
        except OSError as exc:
            os.close(said)
            raise CompressError('cannot start %s: %s; use another compression' % (argv[0], exc.strerror))
        finally:
            os.close(its_stderr)
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError('both are pipes')
        self._input, self._output = self._process.stdin, self._process.stdout
        self._in = self._input.fileno()
        _widen(self._in)
        _widen(self._output.fileno())
        self._thread = threading.Thread(target=self._pump, name='lifeboat-compressor', daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        out = self._output
        try:
            for piece in pieces.of(out.fileno(), _PIECE):
                self._deliver(piece)
        except BaseException as exc:    # carried over to the writer
            self._error = exc
        finally:
            # if we stopped early the child sees EPIPE, ends, and so the writer wakes up
            out.close()

    def write(self, data: Union[bytes, memoryview]) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._in, view):]
        except BrokenPipeError:
            self.finish()
            raise CompressError('%s stopped reading; run again, or use another compression' % self._argv[0])

    def finish(self) -> None:
        """Close its input, wait for it, raise what went wrong."""
        self._input.close()
        self._thread.join()
        status = self._process.wait()
        self._read_stderr()
        if self._error is not None:
            raise self._error
        if status:
            raise CompressError(_ended(self._argv, status, self._said))

    def stop(self) -> None:
        """End it whatever it does; no error, no zombie."""
        if self._process.poll() is None:
            self._process.kill()
        self._input.close()
        self._thread.join()
        self._process.wait()
        self._read_stderr()

    def _read_stderr(self) -> None:
        if self._stderr is not None:
            try:
                self._said = os.read(self._stderr, _MESSAGE)
            except OSError:
                pass
            os.close(self._stderr)
            self._stderr = None


def _ended(argv: Tuple[str, ...], status: int, said: bytes) -> str:
    if status < 0:
        try:
            how = 'was ended by signal %s' % signal.Signals(-status).name
        except ValueError:
            how = 'was ended by signal %d' % -status
    else:
        how = 'ended with status %d' % status
    message = ' '.join(said.decode('utf-8', 'replace').split())
    return '%s %s%s; run again, or use another compression' % (' '.join(argv), how, ': ' + message if message else '')


def _filter(codec: Codec, deliver: Callable[[Union[bytes, memoryview]], Any]) -> Union[_Child, _InProcess]:
    if codec.argv:
        return _Child(codec.argv, deliver)
    return _InProcess(None if codec.name == 'none' else _packer(codec.name), deliver)


class Compressor(object):
    """The writing end: write(bytes-like) many times, then close() or abort(). Not for several threads.

    The sink is committed by close() and aborted by abort() and on every error. After an error of write() or close()
    nothing of it is left: no process, no thread, no file.
    """

    def __init__(self, codec: Codec, sink: 'Sink') -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self._bytes = self._raw_bytes = 0
        self._open = True
        try:
            self._filter = _filter(codec, self._deliver)
        except BaseException:
            sink.abort()
            raise

    def _deliver(self, piece: Union[bytes, memoryview]) -> None:
        self._digest.update(piece)
        self._sink.write(piece)
        self._bytes += len(piece)

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._raw_bytes += len(data)
        try:
            self._filter.write(data)
        except BaseException:
            self.abort()
            raise

    def raw_count(self) -> int:
        """Bytes that were written in so far; any thread may ask."""
        return self._raw_bytes

    def close(self) -> Written:
        """Finish, commit the sink, return :class:`Written`."""
        try:
            self._filter.finish()
            self._sink.commit()
        except BaseException:
            self.abort()
            raise
        self._open = False
        return Written(self._bytes, self._digest.hexdigest())

    def abort(self) -> None:
        if self._open:
            self._open = False
            try:
                self._filter.stop()
            finally:
                self._sink.abort()

    def __enter__(self) -> 'Compressor':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *dummy: object) -> None:
        # whoever wants the result calls close(); leaving without it means that it failed
        self.abort()


class _Unpacked(object):
    """File-like (read, close) over a decompressing child. Damage is an error at the end, not a short file."""

    def __init__(self, argv: Tuple[str, ...], fd: int) -> None:
        self._argv = argv
        try:
            self._process = subprocess.Popen(argv, stdin=fd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # pylint: disable=ansible-bad-function
                                             env=dict(os.environ, LC_ALL='C', XZ_OPT='--memlimit-decompress=%dMiB' % _XZ_MEMORY))
        except OSError as exc:
            raise CompressError('cannot start %s: %s' % (argv[0], exc.strerror))
        if self._process.stdout is None or self._process.stderr is None:
            raise AssertionError('both are pipes')
        self._output, self._errors = self._process.stdout, self._process.stderr
        self._checked = False

    def read(self, size: int = -1) -> bytes:
        data = self._output.read(size)
        if not self._checked and (size is None or size < 0 or len(data) < size):
            self._check()
        return data

    def _check(self) -> None:
        self._checked = True
        said = self._errors.read(_MESSAGE)
        status = self._process.wait()
        if status:
            raise CompressError('damaged archive: ' + _ended(self._argv, status, said))

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._output.close()
        self._errors.close()
        self._process.wait()

    def __enter__(self) -> '_Unpacked':
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()


class _Decoded(object):
    """The same over Python's own modules."""

    def __init__(self, stream: Any, raw: BinaryIO, errors: Tuple[Type[BaseException], ...]) -> None:
        self._stream = stream
        self._raw = raw
        self._errors = errors

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except self._errors as exc:
            raise CompressError('damaged archive: %s' % exc)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        self._raw.close()

    def __enter__(self) -> '_Decoded':
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()


class _Xz(object):
    """lzma.LZMAFile has no limit of memory; its decompressor has. Streams one after the other are one, as for xz."""

    def __init__(self, raw: BinaryIO, lzma: Any) -> None:
        self._raw = raw
        self._lzma = lzma
        self._decoder: Any = None
        self._rest = b''
        self._streams = 0

    def read(self, size: int = -1) -> bytes:
        pieces, left = [], size
        while size is None or size < 0 or left > 0:
            piece = self._piece(left if left > 0 else _PIECE)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b''.join(pieces)

    def _piece(self, most: int) -> bytes:
        """At most MOST bytes; b'' at the end. EOFError if the file is cut."""
        while True:
            if not self._rest and (self._decoder is None or self._decoder.needs_input):
                self._rest = self._raw.read(_PIECE)
                if not self._rest and (self._decoder is not None or not self._streams):
                    raise EOFError('the file is cut')
                if not self._rest:
                    return b''
            if self._decoder is None:
                self._rest = self._rest.lstrip(b'\0') if self._streams else self._rest     # padding between streams
                if not self._rest:
                    continue
                self._decoder = self._lzma.LZMADecompressor(self._lzma.FORMAT_XZ, memlimit=_XZ_MEMORY << 20)
                self._streams += 1
            data, self._rest = self._rest, b''
            piece = self._decoder.decompress(data, most)
            if self._decoder.eof:
                self._rest = self._decoder.unused_data
                self._decoder = None
            if piece:
                return piece

    def close(self) -> None:
        self._decoder = None


def codec_of(path: Union[bytes, str]) -> str:
    """The codec's name for a file name (str or bytes) by its suffix; none if there is no known one."""
    name = os.fsdecode(path)
    for codec, suffix in SUFFIXES.items():
        if suffix and name.endswith(suffix):
            return codec
    return 'none'


def open_reader(source: Union[bytes, int, str], name: Optional[str] = None) -> Union[BinaryIO, _Decoded, _Unpacked]:
    """File-like object with the decompressed bytes of SOURCE, a path (bytes or str) or a descriptor at its start.

    The descriptor stays the caller's. NAME: codec; by default from the path's suffix. read() raises CompressError
    when the data are damaged or cut. LifeboatError if the host can't decompress it.
    """
    if name is None:
        name = 'none' if isinstance(source, int) else codec_of(source)
    if name not in SUFFIXES:
        raise LifeboatError('unknown compression %s' % name)
    if isinstance(source, int):
        raw = os.fdopen(os.dup(source), 'rb')
    else:
        raw = open(source, 'rb')
    if name == 'none':
        return raw
    try:
        argv = _find(_UNPACK[name])
        if argv is not None:
            reader = _Unpacked(argv, raw.fileno())
            raw.close()
            return reader
        if name == 'gzip':
            import gzip
            import zlib
            return _Decoded(gzip.GzipFile(fileobj=raw), raw, (OSError, EOFError, zlib.error))
        if name == 'xz':
            import lzma
            return _Decoded(_Xz(raw, lzma), raw, (OSError, EOFError, lzma.LZMAError))
        zstd = _zstd_module()
        if zstd is None:
            raise LifeboatError('this host has no zstd program; install it to read %s' % os.fsdecode(str(source)))
        return _Decoded(zstd.ZstdFile(raw), raw, (OSError, EOFError, zstd.ZstdError))
    except BaseException:
        raw.close()
        raise


def unpack_frames(frames: List[Tuple[bytes, int]]) -> List[Optional[bytes]]:
    """The contents of zstd FRAMES, each with the size that it says of itself; None for one that is damaged. LifeboatError if the host can't."""
    zstd = _zstd_module()
    if zstd is not None:
        return [_unpacked_here(zstd, frame, size) for frame, size in frames]
    argv = _find(_UNPACK['zstd'])
    if argv is None:
        raise LifeboatError('this host has no zstd program')
    found: List[Optional[bytes]] = []
    tries = 0
    while len(found) < len(frames):
        tries += 1
        if tries > _MAX_TRIES:
            return found + [None] * (len(frames) - len(found))
        todo = frames[len(found):]
        data = _through(argv, b''.join([frame for frame, dummy in todo]), sum(size for dummy, size in todo))
        place = 0
        for dummy, size in todo:
            if place + size > len(data):
                if place < len(data) or not place:
                    found.append(None)
                break                   # it ended here; those behind are tried again
            found.append(data[place:place + size])
            place += size
    return found


def _unpacked_here(zstd: Any, frame: bytes, size: int) -> Optional[bytes]:
    try:
        reader = zstd.ZstdDecompressor()
        found = reader.decompress(frame, size + 1)
        return found if reader.eof and len(found) == size else None
    except zstd.ZstdError:
        return None


def _through(argv: Tuple[str, ...], data: bytes, most: int) -> bytes:
    """What a program makes of DATA, at most MOST bytes of it, however it ends."""
    # pylint: disable-next=ansible-bad-function
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        source, target = process.stdout, process.stdin
        if source is None or target is None:
            raise AssertionError('both are pipes')
        feeder = threading.Thread(target=_feed, args=(target, data), daemon=True)
        feeder.start()
        try:
            return source.read(most)
        finally:
            process.kill()              # it may have more
            feeder.join()


def _feed(target: Any, data: bytes) -> None:
    try:
        target.write(data)
        target.close()
    except OSError:                     # it ended at something damaged
        pass
