"""Stop processes by SIGSTOP where their control group cannot be frozen, and let exactly these go on again.

A keeper (keeper.py) stops and continues. What was stopped before it came stays stopped. Two things it cannot undo: a parent that waits with
WUNTRACED or WCONTINUED sees both signals, and if the keeper itself is killed, the processes stay stopped until somebody sends SIGCONT.
"""
import time
from typing import Callable, Dict, List

from ..disk.processes import started
from . import keeper

ROUNDS = 20                             # a process that makes new ones faster than they are stopped
STOPPED = (b'T', b't')
OVER = (b'', b'Z', b'X')

# Reads lines `pid start-time`; answers s (stopped by it), k (was stopped before) or g (gone) for each. Argument: seconds.
_STOPPER = r'''
def known(pid, start):
    try:
        with open('/proc/%d/stat' % pid, 'rb') as told:
            raw = told.read(4096)
    except OSError:
        return b''
    fields = raw[raw.rfind(b')') + 1:].split()
    return fields[0] if len(fields) > 19 and int(fields[19]) == start else b''
mine, rest = [], b''
try:
    while time.monotonic() < until:
        if not select.select([0], [], [], until - time.monotonic())[0]:
            break
        data = os.read(0, 65536)
        if not data:
            break
        lines = (rest + data).split(b'\n')
        rest = lines.pop()
        for line in lines:
            pid, start = map(int, line.split())
            state, answer = known(pid, start), b'g'
            if state in (b'T', b't'):
                answer = b'k'
            elif state and state not in b'ZX':
                mine.append((pid, start))
                try:
                    os.kill(pid, signal.SIGSTOP)
                    answer = b's'
                except OSError:
                    mine.pop()
            os.write(1, answer)
finally:
    for pid, start in mine:
        if known(pid, start):
            try:
                os.kill(pid, signal.SIGCONT)
            except OSError:
                pass
'''


class NotStopped(Exception):
    """Why processes could not be stopped, as the end of a sentence."""


class Stopped(object):
    """Stopped processes; thaw() lets them go on and says whether they stood still all the time. PROCESSES(): which ones there are now; asked again
    until no new one comes. LIMIT: seconds. Raises NotStopped."""

    def __init__(self, processes: Callable[[], List[int]], limit: float) -> None:
        self._known: Dict[int, int] = {}
        try:
            self._keeper = keeper.Keeper(_STOPPER, limit)
        except OSError as exc:
            raise NotStopped('the process that would let them go on cannot be started: %s' % exc.strerror)
        try:
            for dummy in range(ROUNDS):
                fresh = [pid for pid in processes() if pid not in self._known]
                if not fresh:
                    return
                for pid in fresh:
                    self._stop(pid)
            raise NotStopped('they make new processes faster than these can be stopped')
        except BaseException:
            self.thaw()
            raise

    def _stop(self, pid: int) -> None:
        state, start = started(pid)
        self._known[pid] = start
        if state in OVER:
            return
        try:
            self._keeper.tell(b'%d %d\n' % (pid, start))
            answer = self._keeper.answer()
        except OSError as exc:
            raise NotStopped('the process that stops them has ended: %s' % exc.strerror)
        if not answer:
            raise NotStopped('the process that stops them does not answer')
        settled = time.monotonic() + keeper.SETTLE
        while answer == b's' and started(pid)[0] not in STOPPED + OVER:
            if time.monotonic() > settled:
                raise NotStopped('process %d does not stop (it may wait for a disk)' % pid)
            time.sleep(0.005)
        if answer == b'g' and started(pid) == (state, start):
            raise NotStopped('process %d may not be stopped by this user' % pid)

    def thaw(self) -> bool:
        """Let go on what was stopped here. True if everything stood still until now."""
        still = [started(pid) for pid in self._known]
        whole = self._keeper.held() and all(state in STOPPED + OVER for state, dummy in still)
        self._keeper.release()
        return whole
