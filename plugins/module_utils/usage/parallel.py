"""Work shared with other processes. A walk spends its time in system calls and in the interpreter, so it takes processes, not
threads. All of it is one :class:`Crew`: jobs whose results are collected here, a walk that two share in ahead.py.
"""
import collections
import os
import pickle
import select
import signal
import struct
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

_SIZE = struct.Struct('=I')
MOST = 1024                             # numbers in a queue: 4096 bytes, which every pipe takes without anybody reading


def processors() -> int:
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0))


class Crew(object):
    """Processes that take ITEMS, or groups of them if there are many, from one queue; whoever has nothing left takes the next
    one, this process too if it wants. Use as a context manager.

    WORK(taken, send) runs in each of CHILDREN processes: TAKEN gives what the process takes, as :meth:`take` does, and send(bytes)
    brings a message here. Whatever happens in a child, it goes no further: what it took may be left undone. OSError if there
    can be no child.
    """

    def __init__(self, items: Sequence[Any], children: int,
                 work: Callable[[Iterator[Tuple[int, Sequence[Any]]], Callable[[bytes], None]], None]) -> None:
        size = -(-len(items) // MOST) or 1
        self.groups = [items[at:at + size] for at in range(0, len(items), size)]
        self._children: Dict[int, int] = {}     # the pipe that it sends through -> process id
        self._held: Dict[int, bytearray] = {}   # what came of a message that is not whole
        self._come: Deque[bytes] = collections.deque()      # whole messages
        self._poll = select.poll()      # not select(), which knows 1,024 descriptors
        self._todo, into = os.pipe()
        try:
            os.write(into, b''.join(map(_SIZE.pack, range(len(self.groups)))))
        finally:
            os.close(into)
        try:
            for dummy in range(children):
                self._fork(work)
        except OSError:                 # then fewer of them
            if not self._children:
                os.close(self._todo)
                raise

    def __enter__(self) -> 'Crew':
        return self

    def __exit__(self, *dummy: Any) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs. It may be called again."""
        if self._todo < 0:
            return
        os.close(self._todo)
        self._todo = -1
        for out, child in self._children.items():
            os.close(out)
            os.kill(child, signal.SIGKILL)      # not reaped yet, so it is ours
            os.waitpid(child, 0)

    def take(self) -> Iterator[Tuple[int, Sequence[Any]]]:
        """(number, group of items) of what nobody has taken, until there is none."""
        while True:
            raw = os.read(self._todo, _SIZE.size)       # written at once, so never torn
            if not raw:
                return
            number = _SIZE.unpack(raw)[0]
            yield number, self.groups[number]

    def message(self) -> Optional[bytes]:
        """The next message of any child; None once all have ended."""
        while not self._come and self._held:
            for out, dummy in self._poll.poll():
                self._receive(out)
        return self._come.popleft() if self._come else None

    def is_ready(self) -> bool:
        """True if message() need not wait for a child."""
        return bool(self._come or not self._held or self._poll.poll(0))

    def _receive(self, out: int) -> None:
        piece = os.read(out, 1 << 16)
        if not piece:
            del self._held[out]
            self._poll.unregister(out)
            return
        held = self._held[out]
        held += piece
        while len(held) >= _SIZE.size:
            end = _SIZE.size + _SIZE.unpack_from(held)[0]
            if len(held) < end:
                break
            self._come.append(bytes(held[_SIZE.size:end]))
            del held[:end]

    def _fork(self, work: Callable[[Iterator[Tuple[int, Sequence[Any]]], Callable[[bytes], None]], None]) -> None:
        out, into = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(out)
            os.close(into)
            raise
        if child == 0:
            try:
                for fd in [out] + list(self._children):
                    os.close(fd)
                work(self.take(), lambda raw: send(into, raw))
            finally:
                os._exit(0)
        os.close(into)
        self._children[out] = child
        self._held[out] = bytearray()
        self._poll.register(out, select.POLLIN)


def send(into: int, raw: bytes) -> None:
    """Write RAW, whose size stands before it, to a pipe."""
    raw = _SIZE.pack(len(raw)) + raw
    while raw:
        raw = raw[os.write(into, raw):]


class Jobs(object):
    """JOBS, callables without arguments, begun in CHILDREN other processes while the caller does something else. Close it, or ask
    for the results; those that cannot be pickled are made here."""

    def __init__(self, jobs: Sequence[Callable[[], Any]], children: int) -> None:
        self._jobs = list(jobs)
        self._crew: Optional[Crew] = None
        try:
            if min(children, len(self._jobs)) > 0:
                self._crew = Crew(list(enumerate(self._jobs)), min(children, len(self._jobs)), _work)
        except OSError:
            pass                        # no processes or descriptors left: one after the other

    def results(self, helping: bool = True) -> List[Tuple[Any, Optional[Exception]]]:
        """[(value, None) or (None, exception)] in the order of the jobs. HELPING: this process takes jobs as well. What a child leaves
        undone (killed for its memory, say) is done here, and so is everything where fork does not work."""
        results = {}
        if self._crew is not None:
            with self._crew as crew:
                for dummy, group in crew.take() if helping else ():
                    results.update((number, _one(job)) for number, job in group)
                for raw in iter(crew.message, None):
                    results.update(pickle.loads(raw))
        return [results[number] if number in results else _one(job) for number, job in enumerate(self._jobs)]

    def close(self) -> None:
        """End what still runs. It may be called again."""
        if self._crew is not None:
            self._crew.close()


def run(jobs: Sequence[Callable[[], Any]], workers: Optional[int] = None) -> List[Tuple[Any, Optional[Exception]]]:
    """The results of JOBS, see :meth:`Jobs.results`, by WORKERS processes beside this one, which collects. A long job holds up no
    other."""
    workers = workers or processors()
    return Jobs(jobs, workers if workers > 1 and len(jobs) > 1 else 0).results(helping=False)


def _work(taken: Iterator[Tuple[int, Sequence[Any]]], tell: Callable[[bytes], None]) -> None:
    for dummy, group in taken:
        tell(pickle.dumps([(number, _one(job)) for number, job in group], 2))


def _one(job: Callable[[], Any]) -> Tuple[Any, Optional[Exception]]:
    try:
        return job(), None
    except Exception as exc:            # pylint: disable=broad-except
        return None, exc
