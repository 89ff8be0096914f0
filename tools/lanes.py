"""Which part runs when: several at a time, each once, and not beside those that it would disturb."""
import threading
import time
from typing import Any, Callable, Iterable, Iterator, List, Optional, Set, Tuple

STAT = '/proc/stat'
LOOK = 5                                # seconds for which the processors are watched
SPARE = 0.2                             # share of them that does nothing, from which on one more part is begun


def _ticks() -> Tuple[int, int]:
    """(of all processors together, of those that had nothing to do) since the machine began."""
    with open(STAT, encoding='ascii') as lines:
        numbers = [int(word) for word in lines.readline().split()[1:9]]
    return sum(numbers), numbers[3] + numbers[4]


def idle(seconds: float = LOOK) -> bool:
    """Watch the processors for SECONDS: do they have time for one more part? Many wait for engines, disks and connections. Never where that
    cannot be told."""
    try:
        before = _ticks()
        time.sleep(seconds)
        after = _ticks()
    except (OSError, ValueError, IndexError):
        return False
    return after[1] - before[1] > SPARE * (after[0] - before[0])


class Queue(object):
    """The parts that nobody has taken yet: NAMES, in their order. APART: (parts, how many of them may run at a time)."""

    def __init__(self, names: Iterable[str], apart: Iterable[Tuple[Set[str], int]]) -> None:
        self._names: List[str] = list(names)
        self._apart = list(apart)
        self._taken: Set[str] = set()
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[str]:
        return self.each()

    def each(self, ready: Optional[Callable[[], Any]] = None) -> Iterator[str]:
        """Take one after another, each when READY() says so. One that may not run now is left for later."""
        while True:
            while ready is not None and self._names and not ready():
                continue
            name = self._take()
            if name is None:
                return
            try:
                yield name
            finally:
                with self._changed:
                    self._taken.discard(name)
                    self._changed.notify_all()

    def _take(self) -> Optional[str]:
        with self._changed:
            while self._names:
                busy: Set[str] = set()
                for parts, most in self._apart:
                    if len(self._taken & parts) >= most:
                        busy |= parts
                name = next((each for each in self._names if each not in busy), None)
                if name is not None:
                    self._names.remove(name)
                    self._taken.add(name)
                    return name
                self._changed.wait()
        return None
