"""The bounded folder on the node through which a delivery leaves it, one chunk file after another.

    NNNNNNNN-SHA256   a finished chunk, mode 0600, owned by the user who logs in: he fetches it, root wrote it
    building          the chunk at work
    inbox, reply-N    what the controller answers (one file, put there by the user who logs in)
    over              everything was written, no chunk will follow those that are here
    probe           a few bytes for whoever wants to know whether the connection can fetch from here at all
    step            a shell script that runs a step: the controller calls it, and knows nothing else of this machine
    state, failed, stop, heartbeat, lock, said, lib.zip

`lock` is held by the process that writes (see sender.py). :func:`step` is the other end: the controller runs it for
every move. It frees what arrived, says what is there, and keeps the writer alive; when no step comes for a while the
writer ends by itself and takes the folder with it.

Nothing but the standard library is imported here: a step costs little more than the start of Python.
"""
import collections
import errno
import fcntl
import hashlib
import json
import os
import stat
import sys
import threading
import time
from typing import Any, Container, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ..archive import removal
from ..formats import pieces
from . import channel, frames

PREFIX = 'lifeboat-'
LOCK, HEARTBEAT, STATE, FAILED, INBOX, SAID, OVER, PROBE, STEP = (
    'lock', 'heartbeat', 'state', 'failed', 'inbox', 'said', 'over', 'probe', 'step')
MARKER = 'LIFEBOAT-STEP '
MIN_SIZE = 2 * 1024 * 1024
MIN_CHUNK = 64 * 1024
MARGIN = 64 * 1024                      # state, heartbeat and the like
PLACES = ('/dev/shm', '/run', '/tmp', '/var/tmp')   # in the order of preference, where the user names none
ANSWER_VALUES = 20 * frames.MAX_VALUES  # of what the controller puts into the inbox: it has the manifest of each bundle that is there
_NAP = 0.02


class SpoolError(Exception):
    """One sentence about why there can be no spool, or why it broke."""


class Stopped(SpoolError):
    """Nobody wants the rest."""


# -- where ---------------------------------------------------------------------------------------------------------------------


def place(folders: Sequence[str], size: int, avoid: Container[str] = ()) -> Tuple[str, int]:
    """(folder for the spool, bytes it may hold): the first of FOLDERS with room.

    A place with less room than SIZE is taken only if no other has more; never more than half of what is free there.
    AVOID: folders that were tried, and the connection could not fetch from them. SpoolError if there is none.
    """
    best = None
    for folder in folders:
        if folder in avoid:
            continue
        try:
            if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
                continue
            room = os.statvfs(folder)
        except OSError:
            continue
        if room.f_flag & os.ST_RDONLY or (room.f_files and not room.f_favail):
            continue
        free = room.f_bavail * room.f_frsize
        if free >= size + MARGIN:
            return folder, size
        if free // 2 >= MIN_SIZE and (best is None or free // 2 > best[1]):
            best = (folder, free // 2)
    if best is None:
        raise SpoolError('No %sfolder for the spool has %d MiB free: tried %s. Name one with spool_dir (a tmpfs will do)'
                         % ('other ' if avoid else '', MIN_SIZE >> 20, ', '.join(folders)))
    return best


def clean_stale(folders: Iterable[str], key: str, patience: float = 15.0) -> None:
    """Remove spools whose writer is gone, and end a writer with the same KEY: it belongs to an earlier controller."""
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                st = os.lstat(path)
            except OSError:
                continue
            if not name.startswith(PREFIX) or not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid():
                continue
            if not os.path.lexists(os.path.join(path, LOCK)):
                if time.time() - st.st_mtime > 600:     # else it is being made
                    removal.discard(path)
            elif not alive(path):
                removal.discard(path)
            elif channel.read(path, 'key') == key.encode():
                end(path, patience)


def end(folder: str, patience: float = 5.0) -> None:
    """Ask the writer to stop, wait for it, remove what is left."""
    try:
        _write(folder, channel.STOP, b'')
    except OSError:
        pass
    until = time.monotonic() + patience
    while alive(folder) and time.monotonic() < until:
        time.sleep(_NAP)
    if not alive(folder):
        removal.discard(folder)


def alive(folder: str) -> bool:
    """True while a writer holds the lock of the spool FOLDER."""
    try:
        fd = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as exc:
        return exc.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(fd)


def _write(folder: str, name: str, data: bytes) -> None:
    """A small file, whole or not at all."""
    path = os.path.join(folder, name)
    with open(path + '.new', 'wb') as target:
        target.write(data)
    os.rename(path + '.new', path)


def note(folder: str, name: str, value: Any) -> None:
    _write(folder, name, json.dumps(value).encode('utf-8'))


def noted(folder: str, name: str, most: int = 1 << 26) -> Any:
    """What a file of the spool says; None where it is missing, has more than MOST bytes, or is invalid."""
    try:
        return frames.loads(channel.read(folder, name, most + 1), most)
    except frames.FrameError:
        return None


# -- the writing end -----------------------------------------------------------------------------------------------------------


class Writer(object):
    """Cuts the stream into chunk files and waits while the spool is full. For several threads.

    BUDGET: bytes that all files of FOLDER together may have. OWNER: uid that chunks are given to, None for ours.
    """

    def __init__(self, folder: str, budget: int, owner: Optional[int] = None) -> None:
        self._folder = folder
        self._budget = budget
        # several fit: some are written while others are fetched
        self._chunk = max(MIN_CHUNK, min(channel.MAX_CHUNK, (budget - self._used() - MARGIN) // 6))
        self._owner = owner if owner != os.geteuid() else None
        self._lock = threading.RLock()
        self._fd: Optional[int] = None
        self._sequence = 0
        self._waiting = collections.deque()     # (name, size) of chunks that were not fetched yet
        self._broken: Optional[str] = None
        self.bytes = 0

    def message(self, value: Dict[str, Any]) -> None:
        with self._lock:
            self._put(frames.message(value))

    def data(self, number: int, piece: Union[bytes, memoryview]) -> None:
        view = memoryview(piece)
        if len(view):
            with self._lock:
                self._put(frames.data_head(number, len(view)))
                self._put(view)

    def flush(self) -> None:
        """Hand over what is there, however little."""
        with self._lock:
            if self._fd is not None:
                self._seal()

    def stop(self, why: str) -> None:
        """From now on every call raises: SpoolError with this sentence."""
        self._broken = why

    def drained(self) -> bool:
        """True if everything was fetched."""
        self._forget()
        return not self._waiting

    def _put(self, data: Union[bytes, memoryview]) -> None:
        view = memoryview(data)
        while len(view):
            if self._broken:
                raise Stopped(self._broken)
            fd = self._begin() if self._fd is None else self._fd
            piece = view[:self._chunk - self._size]
            try:
                done = os.write(fd, piece)
            except OSError as exc:
                raise SpoolError('cannot write the spool %s: %s; name another one with spool_dir' % (
                    self._folder, exc.strerror))
            self._digest.update(piece[:done])
            self._size += done
            self.bytes += done
            view = view[done:]
            if self._size >= self._chunk:
                self._seal()

    def _begin(self) -> int:
        while self._used() + self._chunk + MARGIN > self._budget:
            if not self._waiting:       # nothing to wait for: smaller chunks then
                self._chunk = max(MIN_CHUNK, self._chunk // 2)
                if self._chunk == MIN_CHUNK:
                    break
                continue
            if self._broken:
                raise Stopped(self._broken)
            time.sleep(_NAP)
            self._forget()
        try:
            self._fd = os.open(os.path.join(self._folder, 'building'),
                               os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise SpoolError('cannot write the spool %s: %s' % (self._folder, exc.strerror))
        self._size = 0
        self._digest = hashlib.sha256()
        return self._fd

    def _seal(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        name = channel.chunk_name(self._sequence, self._digest.hexdigest())
        try:
            if self._owner is not None:
                os.fchown(fd, self._owner, -1)
            os.close(fd)
            os.rename(os.path.join(self._folder, 'building'), os.path.join(self._folder, name))
        except OSError as exc:
            raise SpoolError('cannot hand over a chunk in %s: %s' % (self._folder, exc.strerror))
        self._waiting.append((name, self._size))
        self._sequence += 1

    def _forget(self) -> None:
        while self._waiting and not os.path.exists(os.path.join(self._folder, self._waiting[0][0])):
            self._waiting.popleft()

    def _used(self) -> int:
        total = 0
        for name in os.listdir(self._folder):
            try:
                total += os.lstat(os.path.join(self._folder, name)).st_size
            except OSError:
                continue
        return total


# -- the fetching end ----------------------------------------------------------------------------------------------------------


def step(folder: str, request: Dict[str, Any]) -> Dict[str, Any]:
    """One move of the controller -> dict. Idempotent: a step whose answer got lost may come again.

    Raises ValueError for a request that no controller makes.

    REQUEST: `free` (numbers of chunks below it arrived), `wait` (seconds to wait for a chunk), `reply` ({number, sha256}:
    the inbox holds an answer), `probe` (SHA-256 of what was put into the inbox for a try), `failed` ({bundle: why}), `stop`.
    Answer: `gone` (no such spool), `alive`, `over`, `chunks` [[number, size, sha256], ...], `state`, `said`.
    """
    _check(request)
    if not os.path.isdir(folder):
        return {'gone': True, 'alive': False, 'chunks': [], 'state': None, 'said': ''}
    try:
        os.utime(os.path.join(folder, HEARTBEAT))
    except OSError:
        pass
    for name in os.listdir(folder):
        match = channel.CHUNK.match(name)
        if match and int(match.group(1)) < request.get('free', 0):
            channel.remove(folder, name)
    if request.get('failed'):
        note(folder, FAILED, request['failed'])
    if request.get('reply'):
        problem = _accept(folder, request['reply'])
        if problem:
            return {'gone': False, 'alive': alive(folder), 'chunks': [], 'state': None, 'said': '', 'refused': problem}
    if request.get('probe'):
        return {'gone': False, 'alive': alive(folder), 'chunks': [], 'state': None, 'said': '',
                'probed': _tried(folder, request['probe'])}
    if request.get('stop'):
        end(folder)
        return {'gone': not os.path.isdir(folder), 'alive': alive(folder), 'chunks': [], 'state': None, 'said': ''}
    until = time.monotonic() + min(30.0, request.get('wait', 0))
    while True:
        # in this order: what a writer finished before it ended is seen
        living = alive(folder)
        over = os.path.exists(os.path.join(folder, OVER))
        chunks = _chunks(folder)
        if chunks or over or not living or time.monotonic() >= until:
            break
        time.sleep(_NAP * 2)
    return {'gone': not os.path.isdir(folder), 'alive': living, 'over': over, 'chunks': chunks, 'state': noted(folder, STATE),
            'said': '' if living else channel.read(folder, SAID, 4096).decode('utf-8', 'replace')}


def _chunks(folder: str) -> List[List[Union[int, str]]]:
    found = []
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    for name in names:
        match = channel.CHUNK.match(name)
        if match:
            try:
                size = os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
            found.append([int(match.group(1)), size, match.group(2)])
    return found[:channel.MAX_LISTED]


def _check(request: Dict[str, Any]) -> None:
    """The types of a request. Raises ValueError."""
    reply, failed = request.get('reply') or {}, request.get('failed') or {}
    if request.get('free', 0).__class__ is not int or request.get('wait', 0).__class__ not in (int, float) \
            or not isinstance(reply, dict) or not isinstance(failed, dict) \
            or (reply and (reply.get('number').__class__ is not int or not isinstance(reply.get('sha256'), str))) \
            or not all(isinstance(item, str) for item in failed.values()):
        raise ValueError('a step with an unusable request')


def make_files(folder: str, owner: Optional[int], probe: bytes) -> None:
    """What OWNER (uid or None) finds there: the empty inbox that he may fill, and PROBE (bytes) to fetch."""
    for name, data in ((INBOX, b''), (PROBE, probe)):
        channel.make(folder, name, data, owner=owner)


def _accept(folder: str, reply: Dict[str, Any]) -> str:
    """Turn the inbox into reply-N; '' or what is wrong with it."""
    target = os.path.join(folder, 'reply-%d' % reply['number'])
    if os.path.exists(target) or (noted(folder, 'replied') or -1) >= reply['number']:
        return ''
    digest = hashlib.sha256()
    try:
        with os.fdopen(channel.opened(folder, INBOX), 'rb') as found, open(target + '.new', 'wb') as copy:
            for piece in pieces.of(found):
                digest.update(piece)
                copy.write(piece)
                if copy.tell() > channel.MAX_ANSWER:
                    return 'the answer is too large'
    except OSError as exc:
        return 'the answer cannot be read: %s' % exc.strerror
    if digest.hexdigest() != reply['sha256']:
        return 'the answer was damaged on its way'
    os.rename(target + '.new', target)
    with open(os.path.join(folder, INBOX), 'r+b') as found:
        found.truncate(0)
    return ''


def _tried(folder: str, wanted: str) -> bool:
    """True if the inbox holds what was put there for a try; it is empty afterwards."""
    raw = channel.read(folder, INBOX)
    try:
        os.truncate(os.path.join(folder, INBOX), 0)
    except OSError:
        return False
    return hashlib.sha256(raw).hexdigest() == wanted


def take_reply(folder: str, number: int) -> Any:
    """The controller's answer NUMBER, None if it is not there yet. Raises SpoolError for an invalid one."""
    name = 'reply-%d' % number
    if not os.path.exists(os.path.join(folder, name)):
        return None
    try:
        return frames.loads(channel.read(folder, name, channel.MAX_ANSWER + 1), channel.MAX_ANSWER, ANSWER_VALUES)
    except frames.FrameError as exc:
        raise SpoolError('the controller sent an invalid answer: %s' % exc)
    finally:
        note(folder, 'replied', number)
        channel.remove(folder, name)


def main(argv: List[str]) -> None:
    """A step from the command line: the folder, the request as JSON. Prints one line."""
    answer = step(argv[0], frames.loads(argv[1].encode('utf-8')))
    sys.stdout.write(MARKER + json.dumps(answer) + '\n')
