"""A host with a Podman that runs and answers at its Docker-compatible socket, empty at first: of root, or of the user alice (rootless).

It is the host of podman.py, with `podman system service` instead of a scenario. The socket lies in the scratch folder, which is the same
inside and outside. Programs run inside, as the user of the service, by enter().
"""
import os
import shutil
import socket
import subprocess
import tempfile
import time

from . import oneshell, podman
from .common import RigError, last_words, not_installed
from .engine import scratch_parent

KINDS = ('podman-root', 'podman-rootless')
NEWER = tuple(podman.NEWER)             # in soaks only
WAIT = 60
SERVICE = r'''
set -eu
cd /
TMPDIR=$SCRATCH/run podman system service --time 0 "unix://$SCRATCH/run/podman.sock" &
: >"$SCRATCH/run/begun"
while :; do wait; sleep 1; done
'''


class LivePodman:
    """One Podman; start() before use, close() at the end. `host_root`: its own files, `socket`, `data_root` as for the dead ones."""

    def __init__(self, kind):
        podman.need(kind)
        self.kind, self.rootless = kind, podman.KINDS[kind].rootless
        if self.rootless and not podman.KINDS[kind].newer and shutil.which('slirp4netns') is None:
            raise not_installed('slirp4netns')
        self.scratch = tempfile.mkdtemp(prefix='lb-podman-', dir=scratch_parent())
        os.chmod(self.scratch, 0o755)
        self.host = podman.DeadPodman(kind, self.scratch)
        self.host_root, self.data_root = self.host.host_root, self.host.data_root
        self.socket = os.path.join(self.scratch, 'run', 'podman.sock')
        self.docker_host = 'unix://' + self.socket
        self.process = self.inside = None

    def start(self):
        """Start the service and wait until it answers; returns self."""
        podman._lay_out(self.host)
        podman._write(self.host_root + '/etc/containers/containers.conf', podman.containers_conf(
            self.host.how, 'cgroups = "disabled"\npids_limit = 0\n'))
        os.mkdir(os.path.dirname(self.socket))
        if self.rootless:
            os.chown(os.path.dirname(self.socket), podman.UID, podman.UID)
        log = os.path.join(self.scratch, 'log')
        with open(log, 'wb') as out:
            self.process = subprocess.Popen(
                ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', podman.OUTER],
                env=podman._environment(self.host, SERVICE), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until = time.monotonic() + WAIT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                with open(log, 'rb') as said:
                    raise RigError('%s does not answer: %s' % (self.kind, last_words(said.read())))
            time.sleep(0.05)
        self.inside = oneshell.first_process(self.process)
        return self

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(self.socket)
            except OSError:
                return False
        return True

    def enter(self, *argv):
        """The command line that runs ARGV inside, as the service's user."""
        as_user = ['setpriv', '--reuid', str(podman.UID), '--regid', str(podman.UID), '--clear-groups', '--inh-caps=-all', 'env', 'HOME=/home/alice',
                   'USER=alice', 'XDG_RUNTIME_DIR=/run/user/%d' % podman.UID] if self.rootless else ['env', 'HOME=/root']
        return ['nsenter', '--target', str(self.inside), '--mount', '--pid', '--wdns=/'] + as_user + list(argv)

    def podman(self, *argv, stdin=None):
        """What `podman ARGV` prints (bytes); RigError where it fails. STDIN: bytes, or an open file."""
        given = {'stdin': stdin} if hasattr(stdin, 'fileno') else {'input': stdin or b''}
        done = subprocess.run(self.enter('podman', *argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600, check=False, **given)
        if done.returncode:
            raise RigError('podman %s failed: %s' % (' '.join(argv[:4]), last_words(done.stderr)))
        return done.stdout

    def volume(self, name):
        """The folder of a volume's data, as it is seen outside."""
        return os.path.join(self.data_root, 'volumes', name, '_data')

    def kill(self):
        """A power cut: all of it dies at once. Its disk stays as it is then, see `host`."""
        if self.process is not None:
            oneshell.end(self.process)
            self.process = None

    def close(self):
        """Kill all and take everything away."""
        self.kill()
        self.host.close()
