"""Private Docker engines of several kinds, each on a small host disk of its own.

`<scratch>/host` is that disk: etc, var/lib, srv, run. The engine runs in a mount and a network namespace in which
those folders lie at their usual places, so it writes `/var/lib/docker`, `/srv/...`, `/run/docker.sock` into its files
as on any real host, while the machine's own folders are neither read nor written. For a reader the same disk is the
dead host seen at `host_root`. With the processes dies the namespace, and with it every mount that the engine made.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from typing import NamedTuple

from . import journald, newer, procs
from .common import NotHere, RigError, need_root, not_installed, run

READY_SECONDS = 180                     # a machine may be busy with other things


class Kind(NamedTuple):
    """What tells one kind of engine from another."""
    name: str
    newer: bool                 # from the cached tree instead of the machine's own docker.io
    driver: str                 # storage driver or snapshotter, as `docker info` names it
    store: str                  # 'graphdriver' or 'containerd'
    packaged: bool = False      # containerd is started first, as its own service (root /var/lib/containerd)
    userns: bool = False        # are its user ids not those of the host? (userns-remap, rootless)
    rootless: bool = False      # of an ordinary user, in rootlesskit
    data_root: str = '/var/lib/docker'   # as the engine sees it
    suite: str = ''             # of Debian, whose Docker is in the tree; by default the newest that can be had


KINDS = {kind.name: kind for kind in (
    Kind('debian-overlay2', False, 'overlay2', 'graphdriver'),
    Kind('debian-vfs', False, 'vfs', 'graphdriver'),
    Kind('debian-btrfs', False, 'btrfs', 'graphdriver'),
    Kind('debian-userns', False, 'overlay2', 'graphdriver', userns=True),
    Kind('debian-rootless', False, 'overlay2', 'graphdriver', userns=True, rootless=True, data_root='/home/alice/.local/share/docker'),
    Kind('newer-overlay2', True, 'overlay2', 'graphdriver', packaged=True, data_root='/srv/docker'),
    Kind('trixie-overlay2', True, 'overlay2', 'graphdriver', suite='trixie'),     # Docker 26.1, in soaks only
    Kind('newer-containerd', True, 'overlayfs', 'containerd'),
    Kind('newer-containerd-packaged', True, 'overlayfs', 'containerd', packaged=True),
)}

USER, UID, IDS, SIZE = 'alice', 5001, (100000, 200000), 65536       # who has the rootless one, and its first user and group ids

# Prepares the namespace, then becomes the daemon. $1 tree ('' for the machine's own root), $2 scratch, $3 packaged or rootless.
_ENTER = journald.START + r'''
set -e
tree=$1 scratch=$2 manner=$3
new=
if [ -n "$tree" ]; then
    new=$scratch/root
    mount --bind "$tree" "$new"
    mount -o remount,bind,ro "$new"
    for d in proc sys dev; do mount --rbind "/$d" "$new/$d"; done
fi
mount -t overlay lifeboat-etc -o "lowerdir=$new/etc,upperdir=$scratch/host/etc,workdir=$scratch/etc.work" "$new/etc"
for d in srv var/lib run; do mount --rbind "$scratch/host/$d" "$new/$d"; done
if [ "$manner" = rootless ]; then mount --rbind "$scratch/host/home" /home; fi
if [ -e "$scratch/host/journald.conf" ]; then HOST=$scratch/host NEW=$new start_journald; fi
if [ -n "$tree" ]; then
    cd "$new"
    pivot_root . .old
    umount -l /.old
else
    mount -o remount,bind,ro /   # for this namespace only: the engine may write to its own disk and nowhere else
fi
cd /
mount -t tmpfs tmpfs /tmp
mount --make-rshared /
ip link set lo up 2>/dev/null || true
if [ "$manner" = rootless ]; then
    umount -l -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
    mknod -m 666 /tmp/tun c 10 200 && mount --bind /tmp/tun /dev/net/tun
    export HOME=/home/alice USER=alice XDG_RUNTIME_DIR=/run/user/5001 PATH="$PATH:/usr/share/docker.io/contrib"
    exec setpriv --reuid 5001 --regid 5001 --clear-groups --inh-caps=-all dockerd-rootless.sh
fi
if [ "$manner" = packaged ]; then
    containerd &
    n=0
    until [ -S /run/containerd/containerd.sock ]; do
        n=$((n+1)); [ $n -lt 1500 ] || { echo "containerd did not start" >&2; exit 1; }
        sleep 0.1
    done
    exec dockerd --containerd=/run/containerd/containerd.sock
fi
exec dockerd
'''

_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def scratch_parent():
    """Where scratch folders are made: a disk rather than a memory file system, and a short path."""
    return os.environ.get('LIFEBOAT_TEST_SCRATCH') or '/var/tmp'


class Engine:
    """One private engine. start(), docker(), kill() or stop(), close(); also a context manager around all of it."""

    def __init__(self, kind, scratch=None):
        """`scratch`: a folder that is not there yet and gets all of it; by default one under scratch_parent()."""
        need_root()
        if kind not in KINDS:
            raise RigError('no kind of engine is called %r; there are: %s' % (kind, ' '.join(KINDS)))
        self.kind = KINDS[kind]
        if scratch is None:
            self.scratch = tempfile.mkdtemp(prefix='lb-', dir=scratch_parent())
        else:
            self.scratch = os.path.realpath(scratch)
            try:
                os.makedirs(self.scratch)
            except FileExistsError:
                raise RigError('%s exists already' % self.scratch) from None
        os.chmod(self.scratch, 0o755)
        self.host_root = os.path.join(self.scratch, 'host')
        self.cgroup_name = 'lifeboat-%d-%s' % (os.getpid(), os.urandom(4).hex())
        self.pid = None
        self._keeper = subprocess.Popen(
            [sys.executable, '-m', 'rig.keeper', self.scratch, self.cgroup_name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, cwd='/',
            env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        try:
            self._lay_out()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_dummy):
        self.close()

    # -- places ------------------------------------------------------------------------------------------------

    def outside(self, path):
        """The path on this machine of what the engine calls `path`."""
        return os.path.join(self.host_root, path.lstrip('/'))

    @property
    def data_root(self):
        """Path of the data root on this machine (with userns-remap the nested one that holds everything)."""
        path = self.outside(self.kind.data_root)
        return os.path.join(path, '100000.100000') if self.kind.userns and not self.kind.rootless else path

    @property
    def containerd_root(self):
        """Path of containerd's root on this machine if the images and layers lie there, else None."""
        if self.kind.store != 'containerd':
            return None
        return self.outside('/var/lib/containerd' if self.kind.packaged else self.kind.data_root + '/containerd/daemon')

    @property
    def socket(self):
        """Path on this machine of the engine's API socket."""
        return self.outside('/run/user/%d/docker.sock' % UID if self.kind.rootless else '/run/docker.sock')

    @property
    def log(self):
        """Path of the daemon's own output."""
        return os.path.join(self.scratch, 'dockerd.log')

    # -- life --------------------------------------------------------------------------------------------------

    def _lay_out(self):
        kind = self.kind
        for folder in ('root', 'etc.work', 'host/etc/docker', 'host/srv', 'host/run', 'host/var/lib'):
            os.makedirs(os.path.join(self.scratch, folder))
        os.symlink('../run', os.path.join(self.host_root, 'var/run'))
        os.makedirs(self.outside(kind.data_root))
        config = {
            'iptables': False, 'ip6tables': False, 'bridge': 'none', 'ip-forward': False,
            'exec-opts': ['native.cgroupdriver=cgroupfs'], 'cgroup-parent': '/' + self.cgroup_name,
            'storage-driver': kind.driver,
        }
        if kind.data_root != '/var/lib/docker':
            config['data-root'] = kind.data_root
        if kind.newer:
            config['features'] = {'containerd-snapshotter': kind.store == 'containerd'}
        if kind.rootless:
            config = {'iptables': False, 'ip6tables': False, 'bridge': 'none', 'storage-driver': kind.driver}
            self._user(USER, UID, *IDS)
        elif kind.userns:
            config['userns-remap'] = 'default'
            self._user('dockremap', 997, 100000, 100000)
        folder = self.outside('/home/%s/.config/docker' % USER if kind.rootless else '/etc/docker')
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, 'daemon.json'), 'w', encoding='utf-8') as handle:
            json.dump(config, handle, indent=2)
        if kind.rootless:
            self._own()
        if kind.packaged:
            os.makedirs(self.outside('/etc/containerd'))
            with open(self.outside('/etc/containerd/config.toml'), 'w', encoding='utf-8') as handle:
                handle.write('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        if kind.driver == 'btrfs':
            image = os.path.join(self.scratch, 'btrfs.img')
            with open(image, 'wb') as handle:
                handle.truncate(4 << 30)
            run(['mkfs.btrfs', '-q', image])
            run(['mount', '-o', 'loop', image, self.outside(kind.data_root)])

    def _user(self, user, number, first_user, first_group):
        """The user and the ranges that a map of ids needs, on the engine's own disk only."""
        for name, line in (('passwd', '%s:x:%d:%d::/home/%s:/bin/false\n' % (user, number, number, user)),
                           ('group', '%s:x:%d:\n' % (user, number)),
                           ('subuid', '%s:%d:%d\n' % (user, first_user, SIZE)), ('subgid', '%s:%d:%d\n' % (user, first_group, SIZE))):
            before = ''
            if name in ('passwd', 'group'):
                with open('/etc/' + name, encoding='utf-8', errors='surrogateescape') as handle:
                    before = ''.join(x for x in handle if not x.startswith(user + ':') and ':%d:' % number not in x)
            with open(self.outside('/etc/' + name), 'w', encoding='utf-8', errors='surrogateescape') as handle:
                handle.write(before + line)

    def _own(self):
        """The folders of an ordinary user are his."""
        os.makedirs(self.outside('/run/user/%d' % UID))
        run(['chown', '-R', '%d:%d' % (UID, UID), self.outside('/run/user/%d' % UID), self.outside('/home/' + USER)])

    def _order(self, **order):
        try:
            self._keeper.stdin.write((json.dumps(order) + '\n').encode())
            self._keeper.stdin.flush()
            answer = self._keeper.stdout.readline()
        except BrokenPipeError:
            answer = b''
        if not answer:
            raise RigError('the keeper of %s has died' % self.scratch)
        return json.loads(answer.decode())

    def start(self):
        """Start the engine and wait until it answers; returns itself."""
        if self.kind.newer:
            tree = newer.ensure_tree(suite=self.kind.suite)
        else:
            tree = ''
            if not shutil.which('dockerd', path=_PATH):
                raise not_installed('docker.io')
            if self.kind.rootless and not all(shutil.which(program, path=_PATH) for program in ('rootlesskit', 'slirp4netns', 'newuidmap')):
                raise not_installed('rootlesskit slirp4netns uidmap')
        argv = ['env', '-i', 'PATH=' + _PATH, 'LC_ALL=C.UTF-8', 'HOME=/root',
                'unshare', '--mount', '--net', '--propagation', 'private',
                'sh', '-c', _ENTER, 'sh', tree, self.scratch, 'packaged' if self.kind.packaged else 'rootless' if self.kind.rootless else '']
        self.pid = self._order(start=argv, log=self.log)['pid']
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.version = self.api('GET', '/version')
                break
            except (OSError, http.client.HTTPException):
                if not procs.alive(self.pid):
                    self._fail('ended at once')
                if time.monotonic() > deadline:
                    self._fail('does not answer after %d seconds' % READY_SECONDS)
                time.sleep(0.1)
        info = self.api('GET', '/info')
        if info['Driver'] != self.kind.driver:
            self._fail('uses %s instead of %s' % (info['Driver'], self.kind.driver))
        return self

    def _fail(self, what):
        with open(self.log, encoding='utf-8', errors='replace') as handle:
            lines = [line for line in handle.read().splitlines() if line.strip()]
        bad = [line for line in lines if re.search('level=(error|fatal)|failed', line)] or lines
        raise NotHere('the engine %s %s: %s' % (self.kind.name, what, ' / '.join((bad + lines[-1:])[-3:])))

    def kill(self):
        """The crash: SIGKILL to dockerd, containerd, the shims and every container process, by number."""
        left = self._order(kill=True)['left']
        if left:
            raise RigError('these processes of %s do not die: %s' % (self.kind.name, left))
        self.pid = None

    def stop(self, timeout=30):
        """The orderly end: SIGTERM to dockerd, which stops its containers; what is left then is killed."""
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while procs.alive(self.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def close(self, keep=False):
        """End all, unmount all, and (unless `keep`) remove the scratch folder."""
        if self._keeper.poll() is None:
            if keep:
                self._order(keep=True)
            self._keeper.stdin.close()
            self._keeper.wait(120)
        self._keeper.stdout.close()

    # -- talk --------------------------------------------------------------------------------------------------

    def enter(self, *argv):
        """`argv` made to run inside the engine's namespaces."""
        return ['nsenter', '--target', str(self.pid), '--mount', '--net', '--wd=/', 'env', '-i', 'PATH=' + _PATH,
                'HOME=/nonexistent', 'LC_ALL=C.UTF-8', 'DOCKER_BUILDKIT=0', 'DOCKER_HIDE_LEGACY_COMMANDS=',
                'DOCKER_HOST=unix://' + self.socket[len(self.host_root):]] + list(argv)

    def docker(self, *args, **options):
        """Standard output (bytes) of the engine's own client. Options: stdin (bytes), check, timeout."""
        return self.docker_both(*args, **options)[0]

    def docker_both(self, *args, stdin=None, check=True, timeout=300):
        """(standard output, standard error) of the engine's own client."""
        done = run(self.enter('docker', *args), stdin=stdin, check=check, timeout=timeout)
        return done.stdout, done.stderr

    def build(self, context, *tags, buildkit=False):
        """Build CONTEXT (bytes of a tar with a Dockerfile) by the classic builder or by BuildKit, without a network.

        By the API, since the clients differ in what they ask of BuildKit: newer ones want a plug-in for it.
        """
        query = [('version', '2' if buildkit else '1'), ('networkmode', 'none'), ('rm', '1')] + [('t', tag) for tag in tags]
        connection = _UnixConnection(self.socket)
        try:
            connection.request('POST', '/build?' + urllib.parse.urlencode(query), body=context,
                               headers={'Content-Type': 'application/x-tar'})
            answer = connection.getresponse()
            body = answer.read().decode('utf-8', 'replace')
        finally:
            connection.close()
        wrong = [line for line in body.splitlines() if '"error"' in line or '"errorDetail"' in line]
        if answer.status != 200 or wrong:
            raise RigError('building %s %s: %d %s' % (' '.join(tags), 'by BuildKit' if buildkit else 'by the classic builder',
                                                      answer.status, ' / '.join(wrong or [body[-500:]])))

    def download(self, target, path):
        """The body of GET `path` (of `docker export`, `docker save`) into a new file, sparse where it is zero."""
        connection = _UnixConnection(self.socket)
        size = 1 << 18
        zeros = bytes(size)
        try:
            connection.request('GET', path)
            answer = connection.getresponse()
            if answer.status != 200:
                words = answer.read().decode('utf-8', 'replace').strip()
                raise RigError('GET %s: %d %s' % (path, answer.status, words))
            with open(target, 'wb') as handle:
                while True:
                    block = answer.read(size)
                    if not block:
                        break
                    if block == zeros:
                        handle.seek(size, os.SEEK_CUR)
                    else:
                        handle.write(block)
                handle.truncate(handle.tell())
        finally:
            connection.close()

    def api(self, method, path, **query):
        """The JSON answer of one call to the engine's API; OSError or HTTPException if it does not answer."""
        if query:
            path += '?' + urllib.parse.urlencode(query)
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RigError('%s %s: %d %s' % (method, path, answer.status, body.decode('utf-8', 'replace').strip()))
        return json.loads(body.decode('utf-8')) if body else None

    def container_pid(self, name):
        """Number of the first process of a running container, as this machine counts."""
        return int(self.docker('inspect', '--format', '{{.State.Pid}}', name))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        http.client.HTTPConnection.__init__(self, 'localhost', timeout=120)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
