"""Processes that are stopped by signals go on again: those that we stopped, and no other."""
import os
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import stopping
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.processes import started


@pytest.fixture
def sleepers():
    made = [subprocess.Popen(['sleep', '60']) for dummy in range(2)]
    yield [process.pid for process in made]
    for process in made:
        process.kill()
        process.wait()


def becomes(pid, *states):
    until = time.monotonic() + 10
    while started(pid)[0] not in states:
        assert time.monotonic() < until, started(pid)
        time.sleep(0.005)
    return True


def test_both_stand_still_and_go_on(sleepers):
    still = stopping.Stopped(lambda: sleepers, 60)
    assert [started(pid)[0] for pid in sleepers] == [b'T', b'T']
    assert still.thaw() is True
    assert all(becomes(pid, b'S') for pid in sleepers)


def test_what_was_stopped_before_stays_stopped(sleepers):
    os.kill(sleepers[0], signal.SIGSTOP)
    becomes(sleepers[0], b'T')
    assert stopping.Stopped(lambda: sleepers, 60).thaw() is True
    assert becomes(sleepers[1], b'S') and started(sleepers[0])[0] == b'T'


def test_they_go_on_when_the_time_is_up_and_that_is_told(sleepers):
    still = stopping.Stopped(lambda: sleepers, 0.4)
    assert all(becomes(pid, b'S') for pid in sleepers)
    assert still.thaw() is False


def test_one_that_somebody_else_continues_is_told(sleepers):
    still = stopping.Stopped(lambda: sleepers, 60)
    os.kill(sleepers[0], signal.SIGCONT)
    becomes(sleepers[0], b'S')
    assert still.thaw() is False


def test_a_new_process_is_stopped_too(sleepers):
    rounds = iter([sleepers[:1], sleepers, sleepers])
    still = stopping.Stopped(lambda: next(rounds), 60)
    assert started(sleepers[1])[0] == b'T'
    assert still.thaw()


def test_processes_without_end_are_given_up(sleepers, monkeypatch):
    numbers = iter(range(1 << 22, 1 << 23))
    with pytest.raises(stopping.NotStopped):
        stopping.Stopped(lambda: sleepers + [next(numbers)], 60)
    assert all(becomes(pid, b'S') for pid in sleepers)


def test_they_go_on_when_the_one_who_asked_is_killed(sleepers):
    script = ('import sys, time\n'
              'from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import stopping\n'
              'still = stopping.Stopped(lambda: list(map(int, sys.argv[1:])), 60)\nprint("x", flush=True)\ntime.sleep(60)')
    process = subprocess.Popen([sys.executable, '-c', script] + list(map(str, sleepers)), stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert process.stdout.readline() == b'x\n'
    assert [started(pid)[0] for pid in sleepers] == [b'T', b'T']
    process.kill()
    process.wait()
    process.stdout.close()
    assert all(becomes(pid, b'S') for pid in sleepers)
