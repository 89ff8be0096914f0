"""Ctrl-C and a cancelled job interrupt a worker of Ansible in the middle of its work: this lets it clean up."""
from __future__ import annotations

import contextlib
import signal
import typing


class Interrupted(KeyboardInterrupt):
    """A signal. Not an Exception, so that nothing on the way takes it for a failure of its own."""


@contextlib.contextmanager
def signals() -> typing.Iterator[None]:
    """SIGINT and SIGTERM end the work through its `finally` blocks instead of at once; then they do what they did."""
    caught: list[int] = []
    before: dict[int, typing.Any] = {}

    def note(number: int, dummy_frame: typing.Any) -> None:
        caught.append(number)
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)                # whatever hangs then hangs without us
        raise Interrupted()

    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            before[each] = signal.getsignal(each)
            signal.signal(each, note)
    except ValueError:                  # not the main thread, as under some strategy plugins
        before.clear()
    try:
        yield
    finally:
        if not caught:
            for each, handler in before.items():
                signal.signal(each, handler)
        elif callable(before[caught[0]]):
            signal.alarm(0)
            for each, handler in before.items():
                signal.signal(each, handler)
            before[caught[0]](caught[0], None)
