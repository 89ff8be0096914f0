"""Hosts that Ansible reaches over ssh, all on this machine: each a network and mount namespace with an sshd of its own.

A host has its own address, its own /dev/shm and /run (so that what a rescue leaves there can be told), and a login user
who may become root with sudo. Needs root, ip, sshd and sudo.
"""
import base64
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTION = os.path.dirname(os.path.dirname(HERE))
# of this run alone: another may be made or removed at the same time
USER = 'lifeboat%d' % os.getpid()
SSHD = shutil.which('sshd') or '/usr/sbin/sshd'
SUDOERS = '/etc/sudoers.d/' + USER
SSH = ('-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ServerAliveInterval=1 -o ServerAliveCountMax=3 '
       '-o ConnectTimeout=4 -o LogLevel=ERROR')

MIB = 1 << 20
LARGE = 32 * MIB


def run(*argv, **options):
    return subprocess.run(argv, check=options.pop('check', True), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, **options).stdout


def missing():
    """What these tests need and this machine has not."""
    lacks = [name for name in ('ip', 'sudo', 'unshare', 'nsenter', 'useradd', 'ssh-keygen') if not shutil.which(name)]
    if not os.access(SSHD, os.X_OK):
        lacks.append('sshd')
    if os.geteuid() != 0:
        lacks.append('root')
    return lacks


class Lab(object):
    """Makes hosts and the login user; close() removes all of it."""

    def __init__(self, folder):
        self.folder = folder
        self.hosts = []
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        self.key = os.path.join(folder, 'key')
        run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', self.key)
        # no password is needed for a key, but an account without one is locked
        run('useradd', '-m', '-s', '/bin/sh', '-p', '*', USER)
        with open(SUDOERS, 'w') as target:
            target.write('%s ALL=(ALL) NOPASSWD: ALL\n' % USER)
        os.chmod(SUDOERS, 0o440)

    def host(self, number):
        host = Host(self, number)
        self.hosts.append(host)
        return host

    def close(self):
        for host in self.hosts:
            host.close()
        os.unlink(SUDOERS)
        subprocess.call(['userdel', '-r', '-f', USER], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Host(object):
    def __init__(self, lab, number):
        self.name = 'dead%d' % number
        self.space = 'lifeboat-%d-%d' % (os.getpid(), number)
        net = '10.%d.%d.' % (128 + os.getpid() % 128, os.getpid() // 128 % 256)
        self.address = net + str(4 * number + 2)
        self._outside = 'lfb%d-%d' % (os.getpid() % 10000, number)
        self.lab = lab
        folder = os.path.join(lab.folder, self.name)
        os.makedirs(folder)
        run('ip', 'netns', 'add', self.space)
        run('ip', 'link', 'add', self._outside, 'type', 'veth', 'peer', 'name', 'inside', 'netns', self.space)
        run('ip', 'address', 'add', net + '%d/30' % (4 * number + 1), 'dev', self._outside)
        run('ip', 'link', 'set', self._outside, 'up')
        for argv in (('link', 'set', 'lo', 'up'), ('address', 'add', self.address + '/30', 'dev', 'inside'),
                     ('link', 'set', 'inside', 'up')):
            run('ip', '-n', self.space, *argv)
        key = os.path.join(folder, 'hostkey')
        run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key)
        allowed = os.path.join(folder, 'authorized_keys')
        shutil.copy(lab.key + '.pub', allowed)
        config = os.path.join(folder, 'sshd_config')
        with open(config, 'w') as target:
            target.write('ListenAddress %s\nPort 22\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\n'
                         'PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 100\nMaxSessions 100\n'
                         % (self.address, key, allowed))
        self._command = ['ip', 'netns', 'exec', self.space, 'unshare', '-m', '--propagation', 'slave', 'sh', '-c',
                         'mount -t tmpfs -o size=100m,mode=1777 tmpfs /dev/shm && mount -t tmpfs -o size=20m tmpfs /run && '
                         'mkdir -p /run/sshd && exec %s -D -e -f %s' % (SSHD, config)]
        self._log = open(os.path.join(folder, 'sshd.log'), 'wb')
        self.boot()

    def boot(self):
        before = self._said_listening()
        self.sshd = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        until = time.monotonic() + 60
        while self._said_listening() == before:
            if self.sshd.poll() is not None or time.monotonic() > until:
                raise AssertionError('sshd does not start: %s' % open(self._log.name, encoding='utf-8', errors='replace').read()[-2000:])
            time.sleep(0.05)

    def _said_listening(self):
        """How often an sshd of this host has said that it listens."""
        with open(self._log.name, 'rb') as said:
            return said.read().count(b'listening')

    def inside(self, *argv):
        """Run a command in the host's namespaces."""
        return run('nsenter', '-t', str(self.sshd.pid), '-m', '-n', *argv)

    def processes(self):
        """Process ids inside, without the sshd that listens."""
        return [int(word) for word in run('ip', 'netns', 'pids', self.space).split() if int(word) != self.sshd.pid]

    def commands(self):
        found = {}
        for pid in self.processes():
            try:
                with open('/proc/%d/cmdline' % pid, 'rb') as line:
                    found[pid] = line.read().replace(b'\0', b' ').decode('utf-8', 'replace')
            except OSError:
                continue
        return found

    def senders(self):
        return [pid for pid, line in self.commands().items() if 'sender as it' in line and 'sudo' not in line]

    def hang_up(self):
        """Cut every ssh connection; what was started in a session of its own lives on."""
        for pid, line in self.commands().items():
            if line.startswith('sshd'):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass

    def unplug(self):
        run('ip', 'link', 'set', self._outside, 'down')

    def plug(self):
        run('ip', 'link', 'set', self._outside, 'up')

    def reboot(self):
        """All processes gone, /dev/shm and /run empty."""
        self.halt()
        self.boot()

    def halt(self):
        for pid in self.processes() + [self.sshd.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.sshd.wait()

    def leftovers(self):
        """What a rescue left: files in the places of spools, processes of ours."""
        found = self.inside('find', '/dev/shm', '/run', '-maxdepth', '1', '-name', 'lifeboat-*').split()
        # The host shares /tmp with this machine, where others are at work: only what spools have, and no look at what may go meanwhile.
        found += glob.glob('/tmp/lifeboat-*/heartbeat')
        # sudo 1.9.13 (Debian 12) goes on for ever when its terminal goes before the command that it calls has ended; that command is gone
        return found + ['%d %s' % (pid, line) for pid, line in self.commands().items()
                        if 'lifeboat' in line and line.split()[0] != 'sudo' and 'sshd' not in line.split()[0]]

    def clean(self, seconds=10):
        """leftovers() once they had the time to go."""
        until = time.monotonic() + seconds
        while True:
            left = self.leftovers()     # one look decides: a second one could see something else
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.2)

    def variables(self, **more):
        found = {'ansible_host': self.address, 'ansible_user': USER, 'ansible_become': True,
                 'ansible_ssh_private_key_file': self.lab.key, 'ansible_ssh_common_args': SSH,
                 'ansible_python_interpreter': sys.executable}
        found.update(more)
        return found

    def close(self):
        self.halt()
        subprocess.call(['ip', 'link', 'del', self._outside], stderr=subprocess.DEVNULL)
        subprocess.call(['ip', 'netns', 'del', self.space])
        self._log.close()


class Controller(object):
    """Runs playbooks from a folder of its own."""

    def __init__(self, folder, python=sys.executable):
        self.folder = folder
        self._ansible = os.path.join(os.path.dirname(python), 'ansible-playbook')
        os.makedirs(folder, exist_ok=True)
        self.environment = {
            'PATH': os.path.dirname(python) + ':/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': folder, 'LC_ALL': 'C.UTF-8',
            'ANSIBLE_COLLECTIONS_PATH': collections_path(folder), 'ANSIBLE_LOCAL_TEMP': os.path.join(folder, 'tmp'),
            'ANSIBLE_SSH_CONTROL_PATH_DIR': os.path.join(folder, 'cp'), 'ANSIBLE_NOCOLOR': '1', 'ANSIBLE_RETRY_FILES_ENABLED': '0',
            'ANSIBLE_LOCALHOST_WARNING': '0', 'ANSIBLE_TIMEOUT': '3', 'ANSIBLE_DEPRECATION_WARNINGS': '0', 'PYTHONDONTWRITEBYTECODE': '1'}

    def inventory(self, hosts):
        path = os.path.join(self.folder, 'hosts.json')
        with open(path, 'w') as target:
            json.dump({'all': {'hosts': hosts}}, target)
        return path

    def start(self, playbook, hosts, variables=None, arguments=(), environment=None, stdout=subprocess.PIPE):
        """Popen of ansible-playbook; PLAYBOOK: a name (FQCN) or the plays as data."""
        if not isinstance(playbook, str):
            path = os.path.join(self.folder, 'playbook.json')
            with open(path, 'w') as target:
                json.dump(playbook, target)
            playbook = path
        argv = [self._ansible, '-i', self.inventory(hosts), playbook, '-e', json.dumps(variables or {})] + list(arguments)
        return subprocess.Popen(argv, cwd=self.folder, env=dict(self.environment, **(environment or {})), stdin=subprocess.DEVNULL,
                                stdout=stdout, stderr=subprocess.STDOUT, universal_newlines=True, start_new_session=True)

    def on_terminal(self, width, *arguments, **options):
        """(exit status, output) where the output goes to a terminal of WIDTH characters."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, width, 0, 0))
        process = self.start(*arguments, stdout=theirs, **options)
        os.close(theirs)
        said = b''
        with os.fdopen(ours, 'rb', 0) as screen:
            while True:
                try:
                    piece = screen.read(65536)
                except OSError:             # nobody has it open any more
                    break
                if not piece:
                    break
                said += piece
        return process.wait(timeout=60), said.decode('utf-8', 'replace').replace('\r\n', '\n')

    def kill(self, process):
        """SIGKILL to a run of start() and to its workers, which have sessions of their own and would go on without it."""
        os.killpg(process.pid, signal.SIGKILL)
        for line in run('ps', '-wweo', 'pid,args').splitlines():
            if self.folder in line and 'ansible-playbook' in line:
                try:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                except ProcessLookupError:
                    continue            # it ended by itself meanwhile

    def play(self, *arguments, **options):
        """(exit status, output)"""
        process = self.start(*arguments, **options)
        out = process.communicate(timeout=300)[0]
        return process.returncode, out


def collections_path(folder):
    """A folder in which the checkout has its place among collections."""
    top = os.path.join(folder, 'collections', 'ansible_collections', 'lifeboat')
    os.makedirs(top, exist_ok=True)
    if not os.path.lexists(os.path.join(top, 'docker')):
        os.symlink(COLLECTION, os.path.join(top, 'docker'))
    return os.path.join(folder, 'collections')


def task(**options):
    """Plays that rescue all hosts and show the result as one line of JSON."""
    return [{'hosts': 'all', 'gather_facts': False, 'tasks': [
        {'lifeboat.docker.docker_data_rescue': options, 'register': 'rescued'},
        {'ansible.builtin.debug': {'msg': 'RESULT {{ rescued | to_json | b64encode }}'}}]}]


def impatient(seconds):
    """Environment of a controller whose node ends when it heard nothing for SECONDS; see callbacks/impatient.py."""
    return {'ANSIBLE_CALLBACK_PLUGINS': os.path.join(HERE, 'callbacks'), 'ANSIBLE_CALLBACKS_ENABLED': 'impatient',
            'LIFEBOAT_TEST_PATIENCE': str(seconds)}


def options(dead, tmp_path, **more):
    found = {'host_root': dead, 'dest': str(tmp_path / 'out'), 'store_on': 'controller', 'spool_size': 4 * MIB}
    found.update(more)
    return found


def result_of(out):
    match = re.search(r'RESULT ([A-Za-z0-9+/=]+)', out)
    assert match, out
    return json.loads(base64.b64decode(match.group(1)).decode())


def archives(folder):
    """{relative name: SHA-256} of every archive and list below FOLDER, after its SHA256SUMS was checked."""
    found = {}
    for path, dummy, names in os.walk(folder):
        if 'SHA256SUMS' in names:
            subprocess.run(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], cwd=path, check=True)
        for name in names:
            if '.tar' in name or name.endswith('.sha256'):
                with open(os.path.join(path, name), 'rb') as data:
                    found[os.path.relpath(os.path.join(path, name), folder)] = hashlib.sha256(data.read()).hexdigest()
    return found


def no_partial(folder):
    """Nothing is there that does not carry its final name."""
    return [name for name in os.listdir(folder) if name.startswith('.')] == []
