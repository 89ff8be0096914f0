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

# Lines of a shell in its own mount namespace: where $TREE is a file tree, an overlay over it becomes the root, and the folders $SCRATCH and
# $ALSO lie in there at their usual places.
INTO_TREE = r'''
if [ -n "$TREE" ]; then
    mkdir -p "$SCRATCH/root" "$SCRATCH/upper" "$SCRATCH/work"
    mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" "$SCRATCH/root"
    cd "$SCRATCH/root"
    mkdir -p .old
    mount --rbind /dev dev && mount --rbind /sys sys && mount -t proc proc proc
    for each in "$SCRATCH" ${ALSO:+"$ALSO"}; do mkdir -p "./$each" && mount --bind "$each" "./$each"; done
    pivot_root . .old
    umount -l /.old
fi
'''


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
def begun(dead, script, env, seconds):
    """The process that is the ancestor of the shell's SCRIPT for DEAD; killed at the end, and everything that it began (SECONDS at most)."""
    with open(os.path.join(dead.scratch, 'log'), 'wb') as out:
        process = subprocess.Popen(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', script], env=env,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        left = procs.descendants(process.pid)
        end(process)
        until = time.monotonic() + seconds
        while any(map(procs.alive, left)) and time.monotonic() < until:     # they go after the first one, some with a delay
            time.sleep(0.05)


@contextlib.contextmanager
def alive(dead, script, env, seconds, also=()):
    """The same, and in here SCRIPT has made truth/ready, and goes on. RigError if it is not ready after SECONDS: with the end of what it said, and
    of the files ALSO of the scratch folder."""
    until = time.monotonic() + seconds
    with begun(dead, script, env, seconds) as process:
        while not os.path.exists(dead.truth('ready')):
            if process.poll() is not None or time.monotonic() > until:
                raise RigError('the scenario of %s ended: %s' % (dead.kind, last_words(dead, also)))
            time.sleep(0.05)
        yield process


def first_process(process):
    """Number of process 1 of the namespace that PROCESS, an unshare, made."""
    with open('/proc/%d/task/%d/children' % (process.pid, process.pid), encoding='ascii') as found:
        return int(found.read().split()[0])


def end(process):
    """A power cut for the namespace of PROCESS. Its process 1 is killed by us: after a change of users the kernel forgets --kill-child."""
    try:
        os.kill(first_process(process), signal.SIGKILL)
    except (OSError, IndexError):
        pass                            # it has ended by itself
    process.send_signal(signal.SIGKILL)
    process.wait()


def last_words(dead, also=()):
    """What the scenario of DEAD printed last, and the end of the files ALSO of its scratch folder."""
    found = b''
    for path in [os.path.join(dead.scratch, name) for name in ('log',) + tuple(also)]:
        if os.path.exists(path):
            with open(path, 'rb') as said:
                found += said.read()[-2000:] + b'\n'
    return found.decode('utf-8', 'replace')
