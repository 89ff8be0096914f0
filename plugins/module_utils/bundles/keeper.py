"""A process of its own, the keeper, that stops something and lets it go on: when it is told to, when the time is up, and when whoever started it
is gone, however that ended. It ignores signals and has a session of its own.
"""
import os
import select
import subprocess
import sys
import time
from typing import Union

SETTLE = 5.0                            # seconds that a keeper has to answer, and to end
# What every keeper begins with. It needs nothing but the interpreter.
HEAD = r'''
import os, select, signal, sys, time
for name in ('SIGHUP', 'SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGPIPE'):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
until = time.monotonic() + float(sys.argv[1])
'''


class Keeper(object):
    """The keeper that runs SCRIPT, Python behind HEAD: its first argument is LIMIT (seconds), WORDS follow. It has to let everything go on when
    its standard input ends or `until` is over. Raises OSError if it cannot be started."""

    def __init__(self, script: str, limit: float, *words: Union[str, bytes]) -> None:
        self._until = time.monotonic() + limit
        self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [sys.executable, '-I', '-S', '-c', HEAD + script, str(limit), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True, cwd='/')
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError('both are pipes')
        self._input, self._output = self._process.stdin, self._process.stdout

    def tell(self, line: bytes) -> None:
        """Give it a line. Raises OSError if it has ended."""
        self._input.write(line)
        self._input.flush()

    def answer(self, seconds: float = SETTLE) -> bytes:
        """The next byte that it says; empty if it says nothing for SECONDS, or has ended. Raises OSError."""
        ready = select.select([self._output], [], [], seconds)[0]
        return os.read(self._output.fileno(), 1) if ready else b''

    def held(self) -> bool:
        """Has it let nothing go on until now?"""
        return self._process.poll() is None and time.monotonic() < self._until

    def release(self, seconds: float = SETTLE) -> None:
        """Let everything go on, and wait up to SECONDS for that."""
        self._input.close()
        self._output.close()
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
