"""Run a piece of work in a view of a container, shut off from this machine.

    this process ── fork ── keeper: new namespaces, the view, the time limit
                              └── first process of the new PID namespace: the work; every program of the image is its child

Three pipes lead out: the data (the dump), a log, and one JSON object with the result. There is no other way out: the work has no file of
this machine open. If this process is killed, the kernel kills the keeper, and with it everything in there; mounts go with them.

Every module that the work may need is imported before it enters the view. Afterwards no import is possible: it would run files of the image
as root.
"""
import codecs
import json
import os
import select
import selectors
import signal
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from ..disk import metadata
from ..disk.errors import LifeboatError
from ..formats.wording import text
from . import kernel, view
from .room import NOBODY, Limits, Refused, Room

MAX_RESULT = 16 << 20                   # bytes of JSON; the names of 100,000 tables are less
MAX_LOG = 64 << 10                      # bytes of a log that are kept: its end
PIECE = 1 << 16
ENCODINGS = ('ascii', 'utf-8', 'latin-1')
GRACE = 20                              # seconds that the keeper has beyond the time limit


class Ended(NamedTuple):
    """What came of it. `result`: what the work returned, or {'code', 'error'}. `log`: the end of what the programs said."""
    result: Dict[str, Any]
    log: bytes
    seconds: float


def run(scene: view.Scene, work: Callable[[Room], Dict[str, Any]], limits: Limits, deliver: Callable[[bytes], None]) -> Ended:
    """Call WORK(room) in a view of SCENE. DELIVER gets what it writes to room.out(). What goes wrong in there is in the result; what DELIVER
    raises ends everything and is raised here."""
    began = time.monotonic()
    pipes = [os.pipe() for dummy in range(3)]
    here = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        _keeper(scene, work, limits, [pair[1] for pair in pipes], here)
    for dummy, writing in pipes:
        os.close(writing)
    result, log = _Tail(MAX_RESULT), _Tail(MAX_LOG)
    try:
        _collect([pair[0] for pair in pipes], (deliver, log.add, result.add), began + limits.seconds + GRACE)
    finally:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        for reading, dummy in pipes:
            os.close(reading)
    return Ended(_parsed(result.data), bytes(log.data), time.monotonic() - began)


def _collect(fds: List[int], takers: Sequence[Callable[[bytes], None]], deadline: float) -> None:
    """Give what comes out of FDS to TAKERS until all have ended or the DEADLINE is over."""
    with selectors.DefaultSelector() as waiting:
        for fd, taker in zip(fds, takers):
            waiting.register(fd, selectors.EVENT_READ, taker)
        while waiting.get_map() and time.monotonic() < deadline:
            for key, dummy in waiting.select(1):
                data = os.read(key.fd, PIECE)
                if data:
                    key.data(data)
                else:
                    waiting.unregister(key.fd)


class _Tail(object):
    """The last LIMIT bytes of what is added."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > 2 * self._limit:
            del self.data[:-self._limit]


def _parsed(raw: bytearray) -> Dict[str, Any]:
    try:
        found = json.loads(bytes(raw).decode('utf-8'))
        return found if isinstance(found, dict) else {'code': 'DUMP_SERVER_FAILED', 'error': 'no result came out of the view'}
    except ValueError:
        return {'code': 'DUMP_TIMEOUT', 'error': 'it was ended before it had a result'}


def _keeper(scene: view.Scene, work: Callable[[Room], Dict[str, Any]], limits: Limits, out: List[int], parent: int) -> None:
    """The process between this machine and the view. Never returns."""
    status = 1
    try:
        kernel.die_with(parent)
        os.umask(0o022)                 # that of the caller keeps dumps private; programs of the image run as other users
        _close_others(out)
        _namespaces(scene)
        kernel.die_with(parent)         # it may not outlive the change of user
        new = view.build(scene)
        kernel.unshare(kernel.NEW_PIDS)         # not before: the next child is the first process in there, and all ends with it
        alive = os.pipe()
        first = os.fork()
        if first == 0:
            _first(new, work, limits, out, alive)
        os.close(alive[0])
        late: List[bool] = []

        def over(*dummy: Any) -> None:
            late.append(True)
            os.kill(first, signal.SIGKILL)
        signal.signal(signal.SIGALRM, over)
        signal.alarm(max(1, int(limits.seconds)))
        ended = os.waitpid(first, 0)[1]
        if late:
            _tell(out, {'code': 'DUMP_TIMEOUT', 'error': 'it was not ready after %d s' % limits.seconds})
        elif os.WIFSIGNALED(ended):
            _tell(out, {'code': 'DUMP_SERVER_FAILED', 'error': 'it was ended by signal %d' % os.WTERMSIG(ended)})
        status = 0
    except BaseException as exc:        # carried over to the caller: there is no other way out
        _tell(out, _failure(exc))
    finally:
        os._exit(status)


def _namespaces(scene: view.Scene) -> None:
    """Raises Refused where this machine allows none."""
    try:
        if scene.own:
            kernel.own_user_namespace(NOBODY)
        kernel.unshare(kernel.NEW_NAMESPACES)
    except OSError as exc:
        raise Refused('DUMP_UNSAFE_HERE', 'new namespaces are not allowed here (%s)%s' % (metadata.describe(exc), (
            ': an ordinary user needs user.max_user_namespaces above 0 and no rule of the system against user namespaces' if scene.own else
            ': a container needs the capability SYS_ADMIN')))


def _close_others(kept: List[int]) -> None:
    """Close what else is open: the disk, the lock of the folder that the dumps go to."""
    for name in os.listdir('/proc/self/fd'):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:             # that of the listing itself
                pass


def _first(new: bytes, work: Callable[[Room], Dict[str, Any]], limits: Limits, out: List[int], alive: Tuple[int, int]) -> None:
    """The first process of the new namespaces: enter the view and work. Never returns. ALIVE: a pipe that the keeper holds open."""
    try:
        kernel.die_with(0)              # the keeper is not in this PID namespace: its number is 0 here
        os.close(alive[1])
        if select.select([alive[0]], [], [], 0)[0]:
            os._exit(1)                 # it ended before that was known
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        _quiet()
        for name in ENCODINGS:          # they are modules, too
            codecs.lookup(name)
        view.enter(new)
        kernel.hide()
        sys.path[:] = []
        sys.meta_path[:] = []
        with Room(limits, out[0], out[1]) as room:
            _tell(out, work(room))
    except BaseException as exc:        # the same
        _tell(out, _failure(exc))
    finally:
        os._exit(0)


def _quiet() -> None:
    """Nothing that is printed here reaches what the caller prints: a module's output is JSON."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _tell(out: List[int], result: Dict[str, Any]) -> None:
    data = json.dumps(result).encode('utf-8')
    while data:
        data = data[os.write(out[2], data):]


def _failure(exc: BaseException) -> Dict[str, Any]:
    if isinstance(exc, Refused):
        return {'code': exc.code, 'error': str(exc)}
    if isinstance(exc, LifeboatError):
        return {'code': 'DUMP_SERVER_FAILED', 'error': str(exc)}
    if isinstance(exc, OSError):
        return {'code': 'DUMP_SERVER_FAILED', 'error': '%s%s' % (
            '' if exc.filename is None else text(os.fsencode(exc.filename)) + ': ', metadata.describe(exc))}
    return {'code': '', 'error': '%s: %s%s' % (type(exc).__name__, exc, _where(exc.__traceback__))}


def _where(trace: Any) -> str:
    """The places of a traceback, without a look at any source file: those of the image may have the same path."""
    found = []
    while trace is not None:
        found.append(' at %s:%d' % (trace.tb_frame.f_code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    return ''.join(found)
