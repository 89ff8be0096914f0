"""A walk shared with a second process: both take sub-folders of the root from one queue; what the other one counted comes
through a pipe and is added up here, between our own folders. If it ends early, its part is done here.
"""
import collections
import functools
import marshal
import os
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence, Tuple, Union

from . import parallel

if TYPE_CHECKING:
    from ..disk.safeio import Dir

_SUBTREE, _COUNTED, _FAILED = range(3)


class Unopened(object):
    """Looks like a safeio.Dir, but is opened only at its first use."""
    __slots__ = ('_parent', '_name', '_dir')

    def __init__(self, folder: 'Optional[Dir]', parent: 'Optional[Unopened]' = None, name: bytes = b'') -> None:
        self._dir, self._parent, self._name = folder, parent, name

    def child(self, name: bytes) -> 'Unopened':
        return Unopened(None, self, name)

    def opened(self) -> 'Dir':
        """The safeio.Dir. Raises OSError."""
        if self._dir is None:
            if self._parent is None:
                raise AssertionError('see child()')
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
    """A :class:`Shared` walk of INNER, (name, lstat) of the root's sub-folders; None if it is not worthwhile, or fork failed.

    WORK(some, send) is called in the other process. It walks SOME of INNER and calls, for every folder that it enters,
    send(parts) once, or send(None, errno) if the folder can't be read. PARTS: what marshal(3) can take.
    """
    if len(inner) < 2 or parallel.processors() < 2:
        return None
    try:
        return Shared(parallel.Crew(inner, 1, functools.partial(_child, work)))
    except OSError:
        return None


def _child(work: Callable[[Any, Callable[..., None]], Any], taken: Iterator[Tuple[int, Sequence[Any]]],
           tell: Callable[[bytes], None]) -> None:
    """What goes wrong shows as an early end, and then all is done again on the other side."""
    begun = []

    def send(parts: Any, error: int = 0) -> None:
        # with the news that its group was begun: whoever reads that can read this, and does not wait
        tell(marshal.dumps(begun + [(_COUNTED, parts) if parts is not None else (_FAILED, error)]))
        del begun[:]

    for number, group in taken:
        begun.append((_SUBTREE, number))
        work(group, send)


class Shared(object):
    """A walk of which CREW, one child, takes a part. Use as a context manager; then drive()."""

    def __init__(self, crew: parallel.Crew) -> None:
        self._crew = crew
        self._left = set(range(len(crew.groups)))   # begun by nobody
        self._taken = crew.take()
        self._come = collections.deque()    # messages that were read
        self._over = False              # nothing more will come
        self._stopped = lambda: False

    def __enter__(self) -> 'Shared':
        return self

    def __exit__(self, *dummy: object) -> None:
        self._crew.close()

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
        for dummy in own(one for number in sorted(self._left) for one in self._crew.groups[number] if not stopped()):
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
        for number, group in iter(lambda: None if self._stopped() else next(self._taken, None), None):
            self._left.discard(number)
            yield from group

    def _theirs(self) -> Iterator[Tuple[str, os.stat_result]]:
        while not self._stopped():
            message = self._read()
            if message is None or message[0] != _SUBTREE:
                self._over = True
                return
            self._left.discard(message[1])
            yield from self._crew.groups[message[1]]

    def _ready(self) -> bool:
        return bool(self._over or self._come or self._crew.is_ready())

    def _read(self) -> Optional[Tuple[int, Any]]:
        """The next message, None at an early end (and ever after)."""
        if not self._come and not self._over:
            raw = self._crew.message()
            if raw is None:
                self._over = True
            else:
                self._come.extend(marshal.loads(raw))
        return self._come.popleft() if self._come else None
