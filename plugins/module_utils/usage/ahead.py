# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A walk shared with a second process: both take sub-folders of the root from one queue; what the other one counted comes
through a pipe and is added up here, between our own folders. If it ends early, its part is done here.

The walk of a large tree spends its time in lstat(2) and in the interpreter, so it takes processes, not threads.
"""
import collections
import functools
import marshal
import os
import select
import signal
import struct
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple, Union

from ..formats import pieces
from . import parallel

if TYPE_CHECKING:
    from ..disk.safeio import Dir

MAX_NUMBERS = 4096                      # a pipe takes 16384 of them without anybody reading
_SUBTREE, _COUNTED, _FAILED, _END = range(4)
_SIZE = struct.Struct('=I')


class Unopened(object):
    """Looks like a safeio.Dir, but is opened only when somebody asks for it."""
    __slots__ = ('_parent', '_name', '_dir')

    def __init__(self, folder: 'Optional[Dir]', parent: 'Optional[Unopened]' = None, name: bytes = b'') -> None:
        self._dir, self._parent, self._name = folder, parent, name

    def child(self, name: bytes) -> 'Unopened':
        return Unopened(None, self, name)

    def opened(self) -> 'Dir':
        """The safeio.Dir. Raises OSError."""
        if self._dir is None:
            assert self._parent is not None     # see child()
            self._dir = self._parent.opened().child(self._name)
        return self._dir

    def close(self) -> None:
        if self._dir is not None and self._parent is not None:
            self._dir.close()
            self._dir = None


def opened(folder: 'Union[Dir, Unopened]') -> 'Dir':
    """A safeio.Dir of one, or of an :class:`Unopened`."""
    return folder.opened() if isinstance(folder, Unopened) else folder


def start(inner: List[Tuple[str, os.stat_result]],
          work: Callable[[List[Tuple[str, os.stat_result]], Callable[..., None]], Any]) -> 'Optional[Shared]':
    """A :class:`Shared` walk of INNER, (name, lstat) of the root's sub-folders; None if it would not pay or processes can't
    be had.

    WORK(some, send) is called in the other process. It walks SOME of INNER and calls, for every folder that it enters,
    send(parts) once, or send(None, errno) if the folder can't be read. PARTS: what marshal(3) can take.
    """
    if len(inner) < 2 or len(os.sched_getaffinity(0)) < 2:
        return None
    fds = []
    try:
        fds += os.pipe()
        fds += os.pipe()
        todo, into_todo, out, into = fds
        size = -(-len(inner) // MAX_NUMBERS)
        groups = [inner[at:at + size] for at in range(0, len(inner), size)]
        child = parallel.fork(lambda: _child(groups, todo, into, work), (into_todo, out))
    except OSError:
        for fd in fds:
            os.close(fd)
        return None
    os.close(into)
    os.write(into_todo, parallel.packed(len(groups)))
    os.close(into_todo)
    return Shared(child, groups, todo, out)


def _child(groups: List[List[Tuple[str, os.stat_result]]], todo: int, into: int,
           work: Callable[[List[Tuple[str, os.stat_result]], Callable[..., None]], Any]) -> None:
    """What goes wrong shows as an early end, and then all is done again on the other side."""
    begun = []

    def send(parts: Any, error: int = 0) -> None:
        # with the news that its group was begun: whoever reads that can read this, and does not wait
        _write(into, begun + [(_COUNTED, parts) if parts is not None else (_FAILED, error)])
        del begun[:]

    for number in parallel.numbers(todo):
        begun.append((_SUBTREE, number))
        work(groups[number], send)
    _write(into, begun + [(_END, 0)])


def _write(into: int, messages: List[Tuple[int, Any]]) -> None:
    parallel.send(into, marshal.dumps(messages))


class Shared(object):
    """Use as a context manager; then drive()."""

    def __init__(self, child: int, groups: List[List[Tuple[str, os.stat_result]]], todo: int, out: int) -> None:
        self._child, self._groups, self._todo, self._out = child, groups, todo, out
        self._left = set(range(len(groups)))    # begun by nobody
        self._numbers = parallel.numbers(todo)
        self._come = collections.deque()    # messages that were read
        self._over = False              # nothing more will come
        self._stopped = lambda: False

    def __enter__(self) -> 'Shared':
        return self

    def __exit__(self, *dummy: object) -> None:
        os.close(self._todo)
        os.close(self._out)
        try:
            os.kill(self._child, signal.SIGKILL)
        except OSError:
            pass
        os.waitpid(self._child, 0)

    def drive(self, own: Callable[[Iterator[Tuple[str, os.stat_result]]], Iterator[None]],
              other: Callable[[Iterator[Tuple[str, os.stat_result]]], Iterator[None]], stopped: Callable[[], bool]) -> None:
        """OWN and OTHER, called with the sub-folders that are theirs, give generators of steps; OTHER's call
        :meth:`counted`. STOPPED(): whether to begin nothing new."""
        self._stopped = stopped
        here, there = own(self._mine()), other(self._theirs())
        while here is not None or there is not None:
            if there is not None and (here is None or self._ready()):
                if next(there, self) is self:
                    there = None
            elif here is not None and next(here, self) is self:
                here = None
        for dummy in own(one for number in sorted(self._left) for one in self._groups[number] if not stopped()):
            pass

    def counted(self) -> Any:
        """PARTS of the next folder; None if the other process has ended. Raises the OSError that it met."""
        message = self._read()
        if message is None:
            return None
        if message[0] == _FAILED:
            raise OSError(message[1], os.strerror(message[1]))
        return message[1]

    def _mine(self) -> Iterator[Tuple[str, os.stat_result]]:
        for number in iter(lambda: None if self._stopped() else next(self._numbers, None), None):
            self._left.discard(number)
            yield from self._groups[number]

    def _theirs(self) -> Iterator[Tuple[str, os.stat_result]]:
        while not self._stopped():
            message = self._read()
            if message is None or message[0] != _SUBTREE:
                self._over = True
                return
            self._left.discard(message[1])
            yield from self._groups[message[1]]

    def _ready(self) -> bool:
        if self._over or self._come:
            return True
        come = select.poll()            # not select(), which knows 1,024 descriptors
        come.register(self._out, select.POLLIN)
        return bool(come.poll(0))

    def _read(self) -> Optional[Tuple[int, Any]]:
        """The next message, None at an early end (and ever after)."""
        if not self._come and not self._over:
            raw = self._exactly(_SIZE.size)
            raw = self._exactly(_SIZE.unpack(raw)[0]) if raw is not None else None
            if raw is None:
                self._over = True
            else:
                self._come.extend(marshal.loads(raw))
        return self._come.popleft() if self._come else None

    def _exactly(self, size: int) -> Optional[bytes]:
        raw = pieces.up_to(functools.partial(os.read, self._out), size)
        return raw if len(raw) == size else None
