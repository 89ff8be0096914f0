"""A container that lives on after its dockerd was killed: read as it runs, or frozen meanwhile."""
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import rescued
from rig import procs, scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import quiesce

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# Runs where the engine's paths are the machine's: a process number in a foreign disk's files says nothing about this kernel.
SCRIPT = '''
import sys, types
for name, where in (('ansible_collections', []), ('ansible_collections.lifeboat', []), ('ansible_collections.lifeboat.docker', ['/srv/code'])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = where
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(b'/') as host:
    run.rescue(host, run.Request(b'/srv/rescued', host_name='live', include=('writable',), quiesce=sys.argv[1]))
'''


class Alive(object):
    """A container that writes to its layer all the time, and nobody who looks after it."""

    def __init__(self, engine):
        engine.docker('import', '-', 'base:1', stdin=scenario.base_tar())
        self.id = engine.docker('run', '-d', '--name', 'box', '--network', 'none', 'base:1', '/bin/sh', '-c',
                                'head -c 100000000 /dev/urandom > /large; while :; do echo x >> /growing; done').decode().strip()
        upper = engine.docker('inspect', '-f', '{{.GraphDriver.Data.UpperDir}}', 'box').decode().strip()
        self.host_root = engine.host_root
        shutil.copytree(os.path.join(COLLECTION, 'plugins'), engine.outside('/srv/code/plugins'))
        self.growing = os.path.join(engine.outside(upper), 'growing')
        self.pid = engine.container_pid('box')
        until = time.monotonic() + 60
        while not os.path.exists(self.growing):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(engine.pid, signal.SIGKILL)
        while procs.alive(engine.pid):
            time.sleep(0.05)
        self.group = quiesce.find(self.pid, self.id)

    def rescue(self, how):
        """A process that rescues it into /srv/rescued of the engine's disk."""
        with open('/proc/%d/stat' % self.pid, encoding='ascii', errors='replace') as stat:
            shim = stat.read().rpartition(')')[2].split()[1]
        # a venv and the checkout may lie in a /tmp that is not theirs
        return subprocess.Popen(['nsenter', '--target', shim, '--mount', '--wd=/', os.path.realpath(sys.executable), '-B', '-c', SCRIPT, how])

    def consistency(self):
        return rescued.manifest({'path': os.path.join(self.host_root, 'srv/rescued/live/box-' + self.id[:12])})['consistency']

    def grows(self):
        before = os.path.getsize(self.growing)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if os.path.getsize(self.growing) > before:
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def alive(start_engine):
    return Alive(start_engine('debian-overlay2'))


def test_frozen_while_it_is_read(alive):
    process, seen = alive.rescue('freeze'), []
    while process.poll() is None:
        if alive.group.is_frozen():
            size = os.path.getsize(alive.growing)
            if alive.group.is_frozen():         # else it may have been thawed in between
                seen.append(size)
        time.sleep(0.01)
    assert process.returncode == 0 and alive.consistency() == 'frozen'
    assert len(seen) > 1 and len(set(seen)) == 1
    assert alive.grows()


def test_without_freezing_it_says_so(alive):
    assert alive.rescue('none').wait() == 0
    assert alive.consistency() == 'crash-consistent'
    assert alive.grows()


def test_it_goes_on_when_the_rescue_is_killed(alive):
    process = alive.rescue('freeze')
    until = time.monotonic() + 120
    while not alive.group.is_frozen():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert alive.grows()
