"""A bundle that stays on the controller and comes through a small folder, in pieces, as it is read.

    head.tar            from the controller: SHA256SUMS, manifest.json, config/ and what it found out (images.json ...)
    want-N-HEX          from here: send the file whose name is HEX, as stream N; removed when the stream has ended
    chunk-N-K[-last]    from the controller: piece K of stream N; removed as soon as it was read
    stop                from the controller: it has given up
    done                from here: the module has ended
    alive-K             from here: the module lives; K grows every few seconds

The controller keeps at most channel.PIECES there, so the folder never holds more than these, and the bundle is never on
the host as a whole. What arrives is hashed; a file that is not what SHA256SUMS says is an error when its end is read.
"""
import hashlib
import os
import tempfile
import threading
import time
from typing import Any, Dict, Optional, Tuple

from ..archive import removal, tarread, unpack
from ..bundles import reading
from ..disk.errors import LifeboatError
from ..formats import pieces
from ..formats.wording import text
from . import channel, frames

HEAD = b'head.tar'
IMAGES, DATABASES = b'images.json', b'databases.json'
IMAGE = b'image.tar'                    # also where the bundle holds the image as a folder: then it is made on the way
PATIENCE = 300                          # seconds without a new piece
NAP = 0.05
BEAT = 10                               # seconds from one sign of life to the next


class Inbox(object):
    """FOLDER: the path (bytes) that the controller writes to. Close it at the end."""

    def __init__(self, folder: bytes) -> None:
        self.folder = folder
        self.head = os.fsencode(tempfile.mkdtemp(prefix='lifeboat-'))
        self.sums: Dict[bytes, str] = {}
        self._number = 0
        self.abandoned = False          # nobody is there any more who would remove the folder
        self._ended = threading.Event()
        self._life = threading.Thread(target=self._live, name='lifeboat-alive', daemon=True)
        self._life.start()

    def _live(self) -> None:
        """Show that this process lives, until close()."""
        count = 0
        while True:
            try:
                channel.make(self.folder, os.fsencode(channel.alive_name(count)), mode=0o644)
                channel.remove(self.folder, os.fsencode(channel.alive_name(count - 1)))
            except OSError:             # its folder is full, or went: whoever waits will ask
                pass
            count += 1
            if self._ended.wait(BEAT):
                return

    def close(self) -> None:
        self._ended.set()
        self._life.join()
        removal.discard(self.head)
        if not os.path.isdir(self.folder):
            return
        for name in os.listdir(self.folder):
            if name.startswith((b'want-', b'chunk-', b'alive-')):
                channel.remove(self.folder, name)
        if self.abandoned:
            removal.discard(self.folder)
            return
        try:
            channel.make(self.folder, os.fsencode(channel.DONE), mode=0o644)
        except OSError:                 # it is there, or its folder went: nobody waits for it
            pass

    def info(self) -> reading.BundleInfo:
        """reading.BundleInfo of the bundle on the controller, which has verified it. Raises LifeboatError."""
        try:
            stream = os.fdopen(channel.opened(self.folder, HEAD, channel.MAX_HEAD), 'rb')
        except OSError as exc:
            raise LifeboatError('%s from the controller cannot be read: %s.' % (text(HEAD), exc.strerror or exc))
        with stream:
            unpack.unpack(stream, self.head, text(HEAD), owners=False)
        info = reading.inspect_head(self.head, self)
        self.sums = info.sums
        return info

    def document(self, name: bytes) -> Any:
        """What the controller found out: the content of one of its JSON files, None if there is none. Raises LifeboatError."""
        try:
            with os.fdopen(channel.opened(self.head, name, frames.MAX_MESSAGE), 'rb') as handle:
                return frames.loads(handle.read(frames.MAX_MESSAGE + 1))
        except FileNotFoundError:
            return None
        except (OSError, frames.FrameError) as exc:
            raise LifeboatError('%s from the controller cannot be read: %s.' % (text(name), exc))

    def open(self, name: bytes) -> int:
        """A descriptor that gives a file's bytes as they come; see :class:`Checked` for its end."""
        return self.stream(name).fd

    def stream(self, name: bytes) -> '_Incoming':
        self._number += 1
        return _Incoming(self, self._number, name, self.sums.get(name))


class _Incoming(object):
    """One file on its way: a thread that turns pieces into the bytes of a pipe."""

    def __init__(self, inbox: Inbox, number: int, name: bytes, expected: Optional[str]) -> None:
        self.folder = inbox.folder
        self._inbox = inbox
        self.number = number
        self.name = name
        self.expected = expected
        self.error: Optional[str] = None
        self.fd, self._out = os.pipe()
        self._want = os.fsencode(channel.want_name(number, name))
        try:
            channel.make(self.folder, self._want, mode=0o644)
        except OSError as exc:
            os.close(self.fd)
            os.close(self._out)
            raise LifeboatError('%s cannot be asked for in %s: %s.' % (text(name), text(self.folder), exc.strerror or exc))
        self._thread = threading.Thread(target=self._pump, name='lifeboat-inbox', daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        digest = hashlib.sha256()
        try:
            for count in range(1 << 40):
                name, last = self._wait(count)
                with os.fdopen(channel.opened(self.folder, name, channel.MAX_PIECE), 'rb') as handle:
                    for piece in pieces.of(handle):
                        digest.update(piece)
                        view = memoryview(piece)
                        while view:
                            view = view[os.write(self._out, view):]
                channel.remove(self.folder, name)
                if last:
                    break
            if self.expected is not None and digest.hexdigest() != self.expected:
                self.error = '%s arrived damaged from the controller' % text(self.name)
        except BrokenPipeError:
            pass                        # nobody wants the rest
        except Exception as exc:        # told to whoever reads
            self.error = str(exc)
        finally:
            channel.remove(self.folder, self._want)
            os.close(self._out)

    def _wait(self, count: int) -> Tuple[bytes, bool]:
        """(name, whether it is the last) of a piece."""
        names = [(os.fsencode(channel.piece_name(self.number, count, last)), last) for last in (False, True)]
        deadline = time.time() + PATIENCE
        while time.time() < deadline:
            for name, last in names:
                if os.path.lexists(os.path.join(self.folder, name)):
                    return name, last
            # with its folder, too: it may have been removed before anybody looked
            if os.path.exists(os.path.join(self.folder, os.fsencode(channel.STOP))) or not os.path.isdir(self.folder):
                raise LifeboatError('The controller gave up.')
            time.sleep(NAP)
        self._inbox.abandoned = True
        raise LifeboatError('Nothing came from the controller for %d seconds.' % PATIENCE)

    def finish(self) -> None:
        """Wait for the thread; raise what went wrong."""
        self._thread.join(NAP * 200)
        if self.error:
            raise tarread.ArchiveError('%s.' % self.error.rstrip('.'))


class Checked(object):
    """A decompressed stream over an incoming file: its end is only believed if all arrived as it should."""

    def __init__(self, stream: Any, incoming: _Incoming) -> None:
        self._stream = stream
        self._incoming = incoming

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        if not data and count:
            self._incoming.finish()
        return data

    def close(self) -> None:
        self._stream.close()
