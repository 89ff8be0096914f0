"""The progress of a rescue: `Progress` counts it where it runs, `Teller` makes lines of it where it is watched."""
import re
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..formats import wording
from ..formats.wording import show

DIGITS = re.compile('([0-9a-f]{12})[0-9a-f]{20,}')     # an ID, or the name of an anonymous volume
SUFFIX = re.compile('-[0-9a-f]{12} ')    # of a bundle's name; what is read of it says more
LEAST = 16                              # characters of a name that are shown in any case
UNITS = ('bytes', 'KiB', 'MiB', 'GiB', 'TiB')


class Progress(object):
    """What a run says about itself. Costs nothing between the calls: bytes are looked up only for a snapshot.

    Bytes are those of the sources, before compression. Written by one thread, read by another.
    """

    def __init__(self) -> None:
        self._phase = 'looking'
        self._job = self._component = ''
        self._total = self._before = self._expected = 0
        self._bundles = self._of = 0
        self._counter: Optional[Callable[[], int]] = None
        self._frozen = False

    def phase(self, name: str, of: int = 0) -> None:
        """looking | measuring | comparing | reading | finishing; OF: bundles to come."""
        self._phase = name
        self._of = of or self._of

    def plan(self, total: int, bundles: int) -> None:
        """TOTAL bytes in BUNDLES bundles are going to be read."""
        self._phase, self._total, self._of = 'reading', total, bundles

    def bundle(self, number: int, name: str) -> None:
        self._bundles, self._job, self._component = number, name, ''

    def reading(self, component: str, expected: int, counter: Callable[[], int]) -> None:
        """COUNTER() gives the bytes read so far of a component of EXPECTED bytes."""
        self._component, self._expected, self._counter = component, expected, counter

    def done(self, amount: int) -> None:
        """A component is through; AMOUNT is what it counted for in plan()."""
        self._counter = None
        self._before += amount
        self._expected = 0

    def frozen(self, yes: bool) -> None:
        self._frozen = yes

    def snapshot(self) -> Dict[str, Any]:
        counter = self._counter
        here = min(counter(), self._expected) if counter is not None else 0
        return {'phase': self._phase, 'bundle': self._job, 'component': self._component,
                'bytes': min(self._before + here, self._total) if self._total else self._before + here,
                'total': self._total, 'bundles': self._bundles, 'of': self._of, 'frozen': self._frozen}


def human(size: float) -> str:
    """1536 -> '1.5 KiB'."""
    size, number = float(size), 0
    while size >= 1024 and number < len(UNITS) - 1:
        size, number = size / 1024, number + 1
    return wording.number(int(size), 'byte') if number == 0 else '%.1f %s' % (size, UNITS[number])


def duration(seconds: float) -> str:
    """3725 -> '1:02:05', 65 -> '1:05'."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return '%d:%02d:%02d' % (hour, minute, second) if hour else '%d:%02d' % (minute, second)


class Teller(object):
    """Lines about snapshots, not more often than every EVERY seconds, and none for what did not move."""

    def __init__(self, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._due = clock() + every
        self._marks: List[Tuple[float, int]] = []  # (time, bytes) of the last minute
        self._last: Optional[str] = None

    def line(self, snapshot: Mapping[str, Any], width: Optional[int] = None) -> Optional[str]:
        """A line, or None where none is due. WIDTH: see describe()."""
        if not snapshot:
            return None
        now = self._clock()
        self._marks.append((now, snapshot['bytes']))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30:
            self._marks.pop(0)
        if now < self._due:
            return None
        self._due = now + self._every
        text = describe(snapshot, self.rate(), width)
        if text == self._last:
            self._due = now + 6 * self._every       # a standstill is told, but not all the time
        self._last = text
        return text

    def rate(self) -> float:
        """Bytes a second over the last half minute, 0 if it cannot be told."""
        if len(self._marks) < 2:
            return 0.0
        (since, first), (until, last) = self._marks[0], self._marks[-1]
        return max(0.0, (last - first) / (until - since)) if until > since else 0.0


def describe(snapshot: Mapping[str, Any], rate: float, width: Optional[int] = None) -> str:
    """'reading 2 of 7: shop-db volume:data, 1.2 GiB of 10.4 GiB (11 %), 85.0 MiB/s, 1:50 left'

    or, where that is wider than WIDTH characters: 'reading 2/7 shop-db volum..., 1.2 of 10.4 GiB, 85.0 MiB/s, 1:50 left'.
    """
    if snapshot['phase'] != 'reading':
        return {'looking': 'looking for containers and volumes', 'measuring': 'measuring %s' % wording.number(snapshot['of'], 'object'),
                'comparing': 'comparing with what is already there', 'finishing': 'finishing'}.get(
                    snapshot['phase'], show(snapshot['phase']))
    done, total = human(snapshot['bytes']), human(snapshot['total'])
    name = DIGITS.sub(r'\1', show((snapshot['bundle'] + ' ' + snapshot['component']).strip()))
    if snapshot['frozen']:
        name += ' (frozen)'
    share = ' (%d %%)' % (100 * snapshot['bytes'] // snapshot['total']) if snapshot['total'] else ''
    left = ', %s/s, %s left' % (human(rate), duration((snapshot['total'] - snapshot['bytes']) / rate)) if rate > 0 else ''
    text = 'reading %d of %d: %s, %s of %s%s%s' % (snapshot['bundles'], snapshot['of'], name, done, total, share, left)
    if width is None or len(text) <= width:
        return text
    if done.split()[1] == total.split()[1]:
        done = done.split()[0]
    head, tail = 'reading %d/%d ' % (snapshot['bundles'], snapshot['of']), ', %s of %s%s' % (done, total, left)
    name = SUFFIX.sub(' ', name)
    room = max(LEAST, width - len(head) - len(tail))
    return head + (name if len(name) <= room else name[:room - 3] + '...') + tail
