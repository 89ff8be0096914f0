"""Dead hosts without a daemon of this machine: one shell in PID and mount namespaces of its own does everything, writes down what the engine says,
and is killed with all its containers by one SIGKILL to its process 1. `truth/` beside the host root holds the answers.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from . import procs
from .common import RigError


class DeadHost:
    """Such a host after its death. `scratch` holds host_root and truth; do not write into it."""

    def __init__(self, kind, scratch):
        self.kind, self.scratch = kind, scratch
        self.host_root = os.path.join(scratch, 'host')

    def truth(self, name):
        """Path of an answer."""
        return os.path.join(self.scratch, 'truth', name)

    def json(self, name):
        """An answer that is JSON."""
        with open(self.truth(name), encoding='utf-8') as found:
            return json.load(found)

    def copy(self, target):
        """The same in the new folder TARGET; its truth is that of the first."""
        os.makedirs(target)
        done = subprocess.run(['cp', '-a', '--sparse=always', self.host_root, os.path.join(target, 'host')], stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise RigError('the copy of a dead %s failed' % self.kind)
        os.symlink(os.path.join(self.scratch, 'truth'), os.path.join(target, 'truth'))
        return type(self)(self.kind, target)

    def close(self):
        """Take everything away."""
        shutil.rmtree(self.scratch, ignore_errors=True)


@contextlib.contextmanager
def alive(dead, script, env, seconds, also=()):
    """In here the shell's SCRIPT for DEAD has made truth/ready, and goes on; it is killed afterwards. Gives the process that is its ancestor.
    RigError if it is not ready after SECONDS: with the end of what it said, and of the files ALSO of the scratch folder."""
    log = os.path.join(dead.scratch, 'log')
    with open(log, 'wb') as out:
        process = subprocess.Popen(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', script], env=env,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    until = time.monotonic() + seconds
    try:
        while not os.path.exists(dead.truth('ready')):
            if process.poll() is not None or time.monotonic() > until:
                raise RigError('the scenario of %s ended: %s' % (dead.kind, _last_words(log, *[os.path.join(dead.scratch, name) for name in also])))
            time.sleep(0.05)
        yield process
    finally:
        left = procs.descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until = time.monotonic() + seconds
        while any(map(procs.alive, left)) and time.monotonic() < until:     # they go after the first one, some with a delay
            time.sleep(0.05)


def _last_words(*paths):
    found = b''
    for path in paths:
        if os.path.exists(path):
            with open(path, 'rb') as said:
                found += said.read()[-2000:] + b'\n'
    return found.decode('utf-8', 'replace')
