"""Freezing for real: a process in a control group of its own, both hierarchies that this kernel has."""
import importlib
import os
import signal
import subprocess
import sys
import time

import hosts
import pytest

ID = 'f' * 12 + 'e' * 52
UTILS = 'ansible_collections.lifeboat.docker.plugins.module_utils.bundles.quiesce'


@pytest.fixture(scope='module')
def quiesce():
    return importlib.import_module(UTILS)


def hierarchies():
    found = []
    with open('/proc/self/mounts') as mounts:
        for line in mounts:
            dummy, point, kind, options = line.split()[:4]
            if kind == 'cgroup2' and os.path.exists('/sys/fs/cgroup'):
                found.append(('v2', point))
            elif kind == 'cgroup' and 'freezer' in options.split(','):
                found.append(('v1', point))
    return found


@pytest.fixture(params=hierarchies(), ids=lambda item: item[0])
def container(request):
    """(pid of a process that counts, its output file object, folder of its group)"""
    folder = os.path.join(request.param[1], 'lifeboat-test', ID)
    os.makedirs(folder, exist_ok=True)
    process = subprocess.Popen([sys.executable, '-u', '-c', 'import time\nwhile True:\n    print(1)\n    time.sleep(0.01)'],
                               stdout=subprocess.PIPE)
    with open(os.path.join(folder, 'cgroup.procs'), 'w') as procs:
        procs.write(str(process.pid))
    os.set_blocking(process.stdout.fileno(), False)
    try:
        yield process
    finally:
        for name, word in (('freezer.state', 'THAWED'), ('cgroup.freeze', '0')):
            if os.path.exists(os.path.join(folder, name)):
                with open(os.path.join(folder, name), 'w') as state:
                    state.write(word)
        process.kill()
        process.wait()
        for dummy in range(50):
            try:
                os.rmdir(folder)
                os.rmdir(os.path.dirname(folder))
                break
            except OSError:
                time.sleep(0.05)


def drained(process):
    """What it wrote before now is read."""
    for dummy in range(3):
        process.stdout.read()


def counts(process, seconds=30):
    """True if it runs, which a busy machine may take its time for."""
    drained(process)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.stdout.read():
            return True
        time.sleep(0.02)
    return False


def stands(process):
    """True if it does not run now."""
    drained(process)
    time.sleep(0.3)
    return not process.stdout.read()


def test_there_is_a_hierarchy_to_test():
    assert hierarchies()


def test_freeze_and_thaw(quiesce, container):
    assert counts(container)
    frozen = quiesce.freeze(container.pid, ID, 30)
    assert stands(container)
    assert frozen.thaw() is True
    assert counts(container)


def test_thawed_when_the_time_is_up(quiesce, container):
    frozen = quiesce.freeze(container.pid, ID, 3)
    assert stands(container)
    assert counts(container)
    assert frozen.thaw() is False


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_thawed_when_whoever_froze_it_is_killed(quiesce, container, how, tmp_path):
    script = 'import time; from %s import freeze; held = freeze(%d, %r, 60); print("held", flush=True); time.sleep(60)' % (
        UTILS, container.pid, ID)
    holder = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                              env=dict(os.environ, PYTHONPATH=hosts.collections_path(str(tmp_path))))
    assert holder.stdout.readline() == b'held\n'
    assert stands(container)
    holder.send_signal(how)
    holder.wait()
    assert counts(container)


def test_a_paused_container_stays_paused(quiesce, container):
    outer = quiesce.freeze(container.pid, ID, 30)
    inner = quiesce.freeze(container.pid, ID, 30)
    assert inner.thaw() is True
    assert stands(container)
    outer.thaw()


def test_never_more_than_the_container(quiesce, container):
    with pytest.raises(quiesce.NotFrozen):
        quiesce.freeze(os.getpid(), ID, 5)
    with pytest.raises(quiesce.NotFrozen):
        quiesce.freeze(container.pid, 'a' * 64, 5)
    with pytest.raises(quiesce.NotFrozen):
        quiesce.freeze(1, ID, 5)
    assert counts(container)
