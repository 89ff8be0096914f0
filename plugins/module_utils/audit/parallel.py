# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several walks at once. A walk spends its time in system calls and in the interpreter, so it takes processes."""
import os
import pickle
import struct


def run(jobs, workers=None):
    """[(value, None) or (None, exception)] of JOBS, callables without arguments, in their order.

    Values have to be picklable. The children share nothing but a pipe of job numbers, so a long job holds up no
    other. What a child leaves undone (killed for its memory, say) is done here, and so is everything where fork
    does not work.
    """
    jobs = list(jobs)
    workers = min(workers or os.cpu_count() or 1, len(jobs))
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


def _one(job):
    try:
        return job(), None
    except Exception as exc:            # pylint: disable=broad-except
        return None, exc


def _forked(jobs, workers):
    todo_out, todo_in = os.pipe()
    children = []
    feeder = None
    try:
        for dummy in range(workers):
            out, into = os.pipe()
            child = os.fork()
            if child == 0:
                _child(jobs, todo_out, into, [todo_in, out] + [one[1] for one in children])
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


def _feed(todo_in, count, todo_out):
    """Write the numbers; a pipe takes 16384 of them without anybody reading, more need a process of their own."""
    numbers = b''.join(struct.pack('=I', number) for number in range(count))
    if len(numbers) <= 4096:
        os.write(todo_in, numbers)
        os.close(todo_in)
        return 0
    child = os.fork()
    if child == 0:
        try:
            os.close(todo_out)
            for at in range(0, len(numbers), 4096):
                os.write(todo_in, numbers[at:at + 4096])
        finally:
            os._exit(0)
    os.close(todo_in)
    return child


def _child(jobs, todo_out, into, inherited):
    """Never returns."""
    try:
        for fd in inherited:
            os.close(fd)
        while True:
            raw = os.read(todo_out, 4)  # written in multiples of 4 at most PIPE_BUF long, so never torn
            if len(raw) < 4:
                break
            number = struct.unpack('=I', raw)[0]
            result = _one(jobs[number])
            try:
                packed = pickle.dumps((number, result), 2)
            except Exception as exc:    # pylint: disable=broad-except
                packed = pickle.dumps((number, (None, RuntimeError(str(exc)))), 2)
            packed = struct.pack('=Q', len(packed)) + packed
            while packed:
                packed = packed[os.write(into, packed):]
    finally:
        os._exit(0)


def _collect(children):
    """{number: result} of all that arrive whole."""
    import select
    results = {}
    buffers = {out: b'' for dummy, out in children}
    while buffers:
        for out in select.select(list(buffers), [], [])[0]:
            piece = os.read(out, 1 << 16)
            if not piece:
                del buffers[out]
                continue
            held = buffers[out] + piece
            while len(held) >= 8:
                size = struct.unpack('=Q', held[:8])[0]
                if len(held) < 8 + size:
                    break
                number, result = pickle.loads(held[8:8 + size])
                results[number] = result
                held = held[8 + size:]
            buffers[out] = held
    return results
