"""How far a long verb is: a gauge on a terminal, a line every ten seconds elsewhere, nothing with --quiet."""
import collections
import threading
import time
from typing import Any, Callable, Dict, Optional

from ..archive.progress import describe, duration, human
from .output import Output, shown

DRAW = 0.25                             # seconds between two pictures of a gauge
TELL = 10.0                             # and between two lines where there is no terminal
AVERAGED = 30.0                         # seconds over which the rate is told
BLOCKS = 24


class Meter(object):
    """How many bytes of how many are done. `total` 0: not known."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.label = b''
        self.done = self.total = 0

    def snapshot(self) -> Dict[str, Any]:
        return {'phase': self.what, 'bytes': self.done, 'total': self.total, 'label': self.label}


class Bar(object):
    """Draws what SNAPSHOT() says while it is entered. One of a Meter, or of archive.progress.Progress."""

    def __init__(self, out: Output, snapshot: Callable[[], Dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._snapshot = snapshot
        self._clock = clock
        self._marks = collections.deque()       # (time, bytes) of the last half minute
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._drawn = False
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> 'Bar':
        if not self._out.quiet:
            self._out.gauge = self
            self._thread = threading.Thread(target=self._loop)
            self._thread.daemon = True
            self._thread.start()
        return self

    def __exit__(self, *dummy: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        self.clear()
        self._out.gauge = None

    def _loop(self) -> None:
        terminal = self._out.err_terminal
        while not self._done.wait(DRAW if terminal else TELL):
            snapshot = self._snapshot()
            text = picture(snapshot, self._rate(snapshot['bytes']), self._out.err_width, terminal)
            with self._lock:
                self._out.draw(('\r%s\x1b[K' % text if terminal else text + '\n').encode('utf-8', 'surrogateescape'))
                self._drawn = terminal

    def _rate(self, done: int) -> float:
        """Bytes a second over the last half minute."""
        marks = self._marks
        marks.append((self._clock(), done))
        while marks[-1][0] - marks[0][0] > AVERAGED:
            marks.popleft()
        seconds = marks[-1][0] - marks[0][0]
        return max(0.0, (done - marks[0][1]) / seconds) if seconds > 0 else 0.0

    def clear(self) -> None:
        """Take the gauge away, so that a sentence can be printed."""
        with self._lock:
            if self._drawn:
                self._out.draw(b'\r\x1b[K')
                self._drawn = False


def picture(snapshot: Dict[str, Any], rate: float, width: Optional[int] = None, gauge: bool = False) -> str:
    """One line. GAUGE: with a bar of blocks, as for a terminal of WIDTH columns."""
    done, total = snapshot['bytes'], snapshot['total']
    if 'bundle' in snapshot:
        if snapshot['phase'] != 'reading' or not gauge:
            return shown(describe(snapshot, rate, width and width - 1))
        label = '%d/%d %s' % (snapshot['bundles'], snapshot['of'], (snapshot['bundle'] + ' ' + snapshot['component']).strip())
    else:
        label = shown(snapshot['label'])
    text = '%s of %s' % (human(done), human(total)) if total else human(done)
    if rate > 0:
        text += '  %s/s' % human(rate)
        if total:
            text += '  %s left' % duration(max(0, total - done) / rate)
    share = min(1.0, float(done) / total) if total else 0.0
    if not gauge:
        return '%s %s%s%s' % (snapshot['phase'], text, '  %d %%' % (100 * share) if total else '', '  ' + label if label else '')
    head = '[%s] %3d %%  ' % ('#' * int(BLOCKS * share) + '.' * (BLOCKS - int(BLOCKS * share)), 100 * share) if total else ''
    line = '%s%s  %s' % (head, text, shown(label))
    return line if width is None or len(line) < width else line[:width - 1]
