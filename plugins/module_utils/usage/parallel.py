# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several walks at once. A walk spends its time in system calls and in the interpreter, so it takes processes."""
import functools
import os
import pickle
import signal
import struct
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple


def run(jobs: Iterable[Callable[[], Any]], workers: Optional[int] = None) -> List[Tuple[Any, Optional[Exception]]]:
    """[(value, None) or (None, exception)] of JOBS, callables without arguments, in their order.

    Values have to be picklable. The children share nothing but a pipe of job numbers, so a long job holds up no
    other. What a child leaves undone (killed for its memory, say) is done here, and so is everything where fork
    does not work.
    """
    jobs = list(jobs)
    workers = min(workers or processors(), len(jobs))
    results = {}
    if workers > 1:
        try:
            results = _forked(jobs, workers)
        except OSError:
            pass                        # no processes or descriptors left: one after the other
    for number, job in enumerate(jobs):
        if number not in results:
            results[number] = _one(job)
    return [results[number] for number in range(len(jobs))]


def processors() -> int:
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0))


class Early(object):
    """Answers to QUESTIONS, callables that give True or False, sought from now on by other processes while the caller does
    something else; whoever needs the answers helps with what is left. Close it, or ask for the answers.

    An exception is a no. WORKERS: processes beside this one; none for questions that one pipe cannot number.
    """
    _ANSWER = struct.Struct('=I?')      # shorter than PIPE_BUF, so writers share a pipe
    MOST = 16384

    def __init__(self, questions: Iterable[Callable[[], Any]], workers: Optional[int] = None) -> None:
        self._questions = list(questions)
        self._children: List[int] = []
        self._todo = self._out = -1     # descriptors, while there are children
        count = len(self._questions)
        workers = min(processors() - 1 if workers is None else workers, count)
        if workers < 1 or count > self.MOST:
            return
        fds = []
        try:
            fds += os.pipe()
            fds += os.pipe()
            self._todo, into_todo, self._out, into = fds
            for dummy in range(workers):
                self._children.append(fork(lambda: self._work(into), (into_todo, self._out)))
        except OSError:                 # fewer, or none: then all is done by the caller
            if not self._children:
                for fd in fds:
                    os.close(fd)
                return
        os.close(into)
        # as much as a pipe takes without anybody reading
        os.write(into_todo, packed(count))
        os.close(into_todo)

    def answers(self) -> List[bool]:
        """[True or False] in the order of the questions."""
        found = {}
        if self._children:
            for number in numbers(self._todo):
                found[number] = self._ask(number)
            with os.fdopen(os.dup(self._out), 'rb') as stream:
                raw = stream.read()
            found.update(self._ANSWER.iter_unpack(raw[:len(raw) // self._ANSWER.size * self._ANSWER.size]))
            self.close()
        return [found[number] if number in found else self._ask(number) for number in range(len(self._questions))]

    def close(self) -> None:
        """End what still runs. Twice is once."""
        children, self._children = self._children, []
        for child in children:
            os.kill(child, signal.SIGKILL)      # not reaped yet, so it is ours
            os.waitpid(child, 0)
        if children:
            os.close(self._todo)
            os.close(self._out)

    def _work(self, into: int) -> None:
        for number in numbers(self._todo):
            os.write(into, self._ANSWER.pack(number, self._ask(number)))

    def _ask(self, number: int) -> bool:
        try:
            return bool(self._questions[number]())
        except Exception:               # pylint: disable=broad-except
            return False


def fork(work: Callable[[], Any], inherited: Sequence[int] = ()) -> int:
    """The process id of a child that closes the descriptors INHERITED and calls WORK(); whatever happens, it goes no further. OSError."""
    child = os.fork()
    if child == 0:
        try:
            for fd in inherited:
                os.close(fd)
            work()
        finally:
            os._exit(0)
    return child


def packed(count: int) -> bytes:
    """The numbers below COUNT as they go through a pipe."""
    return b''.join(struct.pack('=I', number) for number in range(count))


def send(into: int, raw: bytes) -> None:
    """Write RAW, whose size stands before it, to a pipe."""
    raw = struct.pack('=I', len(raw)) + raw
    while raw:
        raw = raw[os.write(into, raw):]


def numbers(todo: int) -> Iterator[int]:
    """Take one number after the other from a pipe that others read as well, until nobody can write to it any more."""
    while True:
        raw = os.read(todo, 4)          # written in multiples of 4 at most PIPE_BUF long or at once, so never torn
        if len(raw) < 4:
            return
        yield struct.unpack('=I', raw)[0]


def _one(job: Callable[[], Any]) -> Tuple[Any, Optional[Exception]]:
    try:
        return job(), None
    except Exception as exc:            # pylint: disable=broad-except
        return None, exc


def _forked(jobs: List[Callable[[], Any]], workers: int) -> Dict[int, Tuple[Any, Optional[Exception]]]:
    todo_out, todo_in = os.pipe()
    children = []
    feeder = None
    try:
        for dummy in range(workers):
            out, into = os.pipe()
            child = fork(functools.partial(_child, jobs, todo_out, into), [todo_in, out] + [one[1] for one in children])
            os.close(into)
            children.append((child, out))
        feeder = _feed(todo_in, len(jobs), todo_out)
        return _collect(children)
    finally:
        os.close(todo_out)
        if feeder is None:
            os.close(todo_in)
        for child, out in children:
            os.close(out)
            os.waitpid(child, 0)
        if feeder:
            os.waitpid(feeder, 0)


def _feed(todo_in: int, count: int, todo_out: int) -> int:
    """Write the numbers; a pipe takes 16384 of them without anybody reading, more need a process of their own."""
    raw, child = packed(count), 0
    parts = [raw[at:at + 4096] for at in range(0, len(raw), 4096)]
    if len(parts) == 1:
        os.write(todo_in, raw)
    else:
        child = fork(lambda: [os.write(todo_in, part) for part in parts], [todo_out])
    os.close(todo_in)
    return child


def _child(jobs: List[Callable[[], Any]], todo_out: int, into: int) -> None:
    for number in numbers(todo_out):
        result = _one(jobs[number])
        try:
            raw = pickle.dumps((number, result), 2)
        except Exception as exc:        # pylint: disable=broad-except
            raw = pickle.dumps((number, (None, RuntimeError(str(exc)))), 2)
        send(into, raw)


def _collect(children: List[Tuple[int, int]]) -> Dict[int, Tuple[Any, Optional[Exception]]]:
    """{number: result} of all that arrive whole."""
    import select
    results = {}
    buffers = {out: b'' for dummy, out in children}
    waiting = select.poll()             # not select(), which knows 1,024 descriptors
    for out in buffers:
        waiting.register(out, select.POLLIN)
    while buffers:
        for out, dummy in waiting.poll():
            piece = os.read(out, 1 << 16)
            if not piece:
                del buffers[out]
                waiting.unregister(out)
                continue
            held = buffers[out] + piece
            while len(held) >= 4:
                end = 4 + struct.unpack('=I', held[:4])[0]
                if len(held) < end:
                    break
                number, result = pickle.loads(held[4:end])
                results[number] = result
                held = held[end:]
            buffers[out] = held
    return results
