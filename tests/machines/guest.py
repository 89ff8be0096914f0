"""A virtual machine that boots in seconds without KVM: Debian's cloud kernel, an initramfs of busybox, and a root file
system with dockerd, LVM, md and LUKS. Kernel and root are made once and cached outside the checkout.

A job is a folder with a script `run`; the guest gets it as a tar archive on its second disk (serial JOB), says what it
has to say on the serial console, and may write an answer (a tar archive) to its third disk (serial ANSWER). The root disk
is a qcow2 overlay over the cached one, so that a power cut leaves a real crashed disk and the cache stays as it is.

A guest can be kept at one moment of its life (`Guest.keep`), with its memory and its disks: others go on from there as often
as wanted, each on overlays of its own, in a second or two.
"""
import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
from rig import newer  # noqa: E402  pylint: disable=wrong-import-position
from rig.common import NotHere, RigError, cache_dir, cache_lock, last_words, need_root, not_installed, run, say  # noqa: E402

# Raised when packages or preparation change: an older cached machine is then not used.
FORMAT = 1
SUITE = 'bookworm'                      # Docker 20.10, which still has devicemapper
PACKAGES = ('docker.io', 'iptables', 'lvm2', 'mdadm', 'cryptsetup-bin', 'thin-provisioning-tools', 'xfsprogs', 'btrfs-progs',
            'e2fsprogs', 'fdisk', 'udev', 'kmod', 'python3', 'qemu-utils', 'qemu-system-common', 'fuse3', 'podman', 'netavark')
KERNEL = 'linux-image-cloud-amd64'
# in this order: each needs those before it
EARLY = ('virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk')
ROOT_SIZE = 3 << 30
BOOT_SECONDS = 400                      # of a machine that is busy with other things
READY = 'guest: ready'

INIT_EARLY = '''#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for each in {modules}; do insmod /lib/$each.ko || echo "guest: insmod $each failed"; done
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
mount -t ext4 -o rw{options} /dev/vda /root || echo "guest: no root"
umount /proc /sys; mount --move /dev /root/dev
exec switch_root /root /sbin/guest-init
'''
# process 1 of the guest; a job never ends by itself but by poweroff or by losing its power
INIT = '''#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd; hostname dead1; busybox ip link set lo up
exec </dev/null >/dev/ttyS0 2>&1
dmesg -n 1
for each in overlay fuse loop xfs btrfs dm_mod dm_thin_pool dm_snapshot dm_crypt raid1 raid456 veth bridge; do modprobe -q $each; done
/lib/systemd/systemd-udevd --daemon; udevadm trigger; udevadm settle
echo "{ready}"
mkdir /run/job && tar -xf /dev/disk/by-id/virtio-JOB -C /run/job && cd /run/job && sh ./run
echo "guest: job ended $?"
sync
echo o >/proc/sysrq-trigger; sleep 60
'''.replace('{ready}', READY)


# IMAGE FOLDER PACKAGES SCRIPT, in a mount namespace of its own; standard input is SCRIPT's
VARIANT = '''set -e
mount -o loop "$1" "$2"
cd "$2"
mount --bind /proc proc
cp /etc/resolv.conf etc/resolv.conf
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial
chroot . apt-get -q update </dev/null
chroot . apt-get -q -y --no-install-recommends install $3 </dev/null
rm -rf var/lib/apt/lists/* var/cache/apt/archives/*.deb
eval "$4"
cd /
umount "$2/proc" "$2"
'''


def folder():
    """Where the finished machine lies (it may not be there yet)."""
    return os.path.join(cache_dir(), 'guest-%s-v%d' % (os.uname().machine, FORMAT))


def need(made=None):
    """ensure(), or MADE(), or the end of the test: skipped where there is no machine, failed in CI."""
    try:
        return (made or ensure)()
    except NotHere as why:
        return (pytest.fail if os.environ.get('CI') else pytest.skip)(str(why))


def ensure():
    """Make the machine if need be (some minutes, 1.5 GB) -> its folder, with kernel, initrd and root.img."""
    need_root()
    for tool in ('qemu-system-x86_64', 'qemu-img', 'debootstrap', 'mkfs.ext4', 'dpkg-deb', 'busybox'):
        if not shutil.which(tool):
            raise not_installed(tool)
    path = folder()
    if os.path.exists(os.path.join(path, 'root.img')):
        return path
    with cache_lock('guest'):
        for name in os.listdir(cache_dir()):        # what an interrupted run left
            if name.startswith('guest-') and '.tmp-' in name:
                shutil.rmtree(os.path.join(cache_dir(), name))
        if not os.path.exists(os.path.join(path, 'root.img')):
            _make(path)
    return path


def variant(image, packages, script='', stdin=b''):
    """IMAGE (a name beside root.img): a copy of root.img with PACKAGES more and what SCRIPT does in its root folder -> IMAGE. Made if it is not there.
    Raises NotHere."""
    ensure()
    path = os.path.join(folder(), image)
    with cache_lock('guest-variant'):
        if os.path.exists(path):
            return image
        say('making %s of the virtual machine' % image)
        run(['cp', '--sparse=always', os.path.join(folder(), 'root.img'), path + '.part'])
        with tempfile.TemporaryDirectory(prefix='lb-variant-') as place:
            argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', VARIANT, 'sh', path + '.part', place, ' '.join(packages), script]
            done = subprocess.run(argv, env=newer.debootstrap_environment(), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=900, check=False)
        if done.returncode:
            os.unlink(path + '.part')
            raise NotHere('%s cannot be made: %s' % (image, last_words(done.stdout)))
        os.rename(path + '.part', path)
    return image


def _make(path):
    temporary = '%s.tmp-%d' % (path, os.getpid())
    os.mkdir(temporary)
    try:
        tree = os.path.join(temporary, 'tree')
        _debootstrap(tree)
        kernel = _kernel(temporary, tree)
        _initrd(temporary, tree, kernel)
        shutil.copy(shutil.which('busybox'), os.path.join(tree, 'usr', 'bin', 'busybox'))
        with open(os.path.join(tree, 'sbin', 'guest-init'), 'w', encoding='utf-8') as out:
            out.write(INIT)
        os.chmod(os.path.join(tree, 'sbin', 'guest-init'), 0o755)
        for name in ('var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'):
            shutil.rmtree(os.path.join(tree, name), ignore_errors=True)
        image = os.path.join(temporary, 'root.tmp')
        with open(image, 'wb') as out:
            out.truncate(ROOT_SIZE)
        run(['mkfs.ext4', '-q', '-F', '-L', 'dead-root', '-d', tree, image])
        shutil.rmtree(tree)
        os.rename(image, os.path.join(temporary, 'root.img'))
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _debootstrap(tree):
    say('making the root file system of the virtual machine: debootstrap of %s' % SUITE)
    reasons = []
    for mirror in newer.mirrors():
        argv = ['unshare', '--mount', '--propagation', 'private', 'debootstrap', '--variant=minbase',
                '--include=' + ','.join(PACKAGES), SUITE, tree, mirror]
        done = subprocess.run(argv, env=newer.debootstrap_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1500, check=False)
        if not done.returncode:
            return
        reasons.append(done.stdout.decode('utf-8', 'replace')[-300:])
        shutil.rmtree(tree, ignore_errors=True)
    raise NotHere('debootstrap of %s failed: %s' % (SUITE, ' | '.join(reasons)))


def _kernel(temporary, tree):
    """Unpack the cloud kernel; its modules go into TREE -> version."""
    named = run(['apt-cache', 'depends', KERNEL]).stdout.decode('utf-8', 'replace')
    package = re.search(r'Depends: (linux-image-[0-9]\S+)', named)
    if not package:
        raise NotHere('the archive of this machine has no %s' % KERNEL)
    downloads = os.path.join(temporary, 'kernel')
    os.mkdir(downloads)
    os.chmod(downloads, 0o777)          # apt's own user writes there
    run(['apt-get', 'download', package.group(1)], cwd=downloads)
    archive = os.path.join(downloads, os.listdir(downloads)[0])
    run(['dpkg-deb', '-x', archive, os.path.join(downloads, 'x')])
    version = os.listdir(os.path.join(downloads, 'x', 'lib', 'modules'))[0]
    shutil.copy(os.path.join(downloads, 'x', 'boot', 'vmlinuz-' + version), os.path.join(temporary, 'kernel.tmp'))
    run(['cp', '-a', os.path.join(downloads, 'x', 'lib', 'modules'), os.path.join(tree, 'usr', 'lib', '')])
    run(['chroot', tree, 'depmod', version])
    shutil.rmtree(downloads)
    os.rename(os.path.join(temporary, 'kernel.tmp'), os.path.join(temporary, 'kernel'))
    return version


def _initrd(temporary, tree, version):
    """An initramfs that finds the root disk on virtio, and nothing else."""
    early = os.path.join(temporary, 'early')
    for name in ('bin', 'lib', 'proc', 'sys', 'dev', 'root'):
        os.makedirs(os.path.join(early, name))
    shutil.copy(shutil.which('busybox'), os.path.join(early, 'bin', 'busybox'))
    built_in = open(os.path.join(tree, 'usr/lib/modules', version, 'modules.builtin'), encoding='utf-8').read()
    modules = []
    for name in EARLY:
        if '/%s.ko' % name in built_in:
            continue
        found = [os.path.join(where, name + '.ko') for where, dummy, names in os.walk(os.path.join(tree, 'usr/lib/modules', version))
                 if name + '.ko' in names]
        if found:
            shutil.copy(found[0], os.path.join(early, 'lib'))
            modules.append(name)
    for rootflags in ('', 'writeback'):
        with open(os.path.join(early, 'init'), 'w', encoding='utf-8') as out:
            out.write(INIT_EARLY.format(modules=' '.join(modules), options=',data=writeback' if rootflags else ''))
        os.chmod(os.path.join(early, 'init'), 0o755)
        names = b'\n'.join(os.path.relpath(os.path.join(where, name), early).encode()
                           for where, dirs, files in os.walk(early) for name in sorted(dirs) + sorted(files))
        made = run(['busybox', 'cpio', '-o', '-H', 'newc'], stdin=names, cwd=early)
        with open(os.path.join(temporary, 'initrd' + rootflags), 'wb') as out:
            out.write(made.stdout)
    shutil.rmtree(early)


@contextlib.contextmanager
def turn():
    """The one lock of everything here that needs a whole processor."""
    with open(os.environ.get('LIFEBOAT_MACHINE_LOCK') or os.path.join(cache_dir(), 'machine.lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Guest:
    """One run of the machine. PLACE: an empty folder; JOB: {name: text or bytes} with `run`; DISKS: further images.
    KEPT: the folder where another guest was kept; then this one goes on from there, and JOB and DISKS are of that one.
    IMAGE: what the root disk lies over; APPEND: further words for the kernel.

    Use as a context manager: what is left of it is killed at the end.
    """

    def __init__(self, place, job=(), disks=(), cache='none', initrd='initrd', answer=64 << 20, memory=1536, kept='', image='root.img', append=''):
        self.place, self.disks, self.cache, self.memory, self.kept = place, list(disks), cache, memory, kept
        self.machine = ensure()
        self.append = ' '.join(filter(None, ['console=ttyS0 quiet random.trust_cpu=on mitigations=off', append]))
        self.initrd = os.path.join(self.machine, initrd)
        self.root = os.path.join(place, 'root.qcow2')
        self.lines = []
        self._change = threading.Condition()
        self._ended = False
        self.process = self._reader = self._monitor = None
        self.job, self.answer = os.path.join(place, 'job.tar'), os.path.join(place, 'answer.tar')
        with open(self.answer, 'wb') as out:
            out.truncate(answer)
        if kept:
            self._go_on()
            return
        run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', os.path.join(self.machine, image), self.root])
        with tarfile.open(self.job, 'w') as archive:
            for name in sorted(job):
                path = os.path.join(place, 'one')
                with open(path, 'wb') as out:
                    out.write(job[name] if isinstance(job[name], bytes) else job[name].encode())
                os.chmod(path, 0o755)
                archive.add(path, name)
        with open(self.job, 'ab') as out:
            out.truncate((os.path.getsize(self.job) + 511) // 512 * 512)

    def _go_on(self):
        """Overlays over the disks of the guest that was kept. What they lie on is beside them, under the name that they give it."""
        with open(os.path.join(self.kept, 'kept.json'), encoding='utf-8') as source:
            kept = json.load(source)
        self.initrd, self.memory = kept['initrd'], kept['memory']
        self.lines = [(0, line) for line in kept['lines']]
        for name in kept['files'] + ['job.tar']:
            os.link(os.path.join(self.kept, name), os.path.join(self.place, name))
        self.root, *self.disks = [self._over('kept-' + name, name) for name in kept['disks']]

    def _over(self, below, name):
        path = os.path.join(self.place, name)
        run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', below, path])
        return path

    def _drive(self, path, form, serial, cache):
        name = 'd%d' % self._count
        self._count += 1
        return ['-drive', 'if=none,id=%s,format=%s,cache=%s,file=%s' % (name, form, cache, path),
                '-device', 'virtio-blk-pci,drive=%s,serial=%s' % (name, serial)]

    def __enter__(self):
        self._count = 0
        command = ['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', str(self.memory), '-nographic',
                   '-nodefaults', '-no-reboot', '-serial', 'stdio', '-kernel', os.path.join(self.machine, 'kernel'),
                   '-initrd', self.initrd, '-append', self.append]
        command += self._drive(self.root, 'qcow2', 'ROOT', self.cache)
        command += self._drive(self.job, 'raw', 'JOB', 'writeback') + self._drive(self.answer, 'raw', 'ANSWER', 'writeback')
        for number, path in enumerate(self.disks):
            command += self._drive(path, 'qcow2' if path.endswith('.qcow2') else 'raw', 'DISK%d' % number, self.cache)
        self._monitor, theirs = socket.socketpair()
        command += ['-chardev', 'socket,id=monitor,fd=%d' % theirs.fileno(), '-mon', 'chardev=monitor,mode=control']
        if self.kept:
            command += ['-incoming', 'exec:cat ' + shlex.quote(os.path.join(self.kept, 'memory'))]
        if shutil.which('setpriv'):         # a run that is killed leaves no machine behind
            command = ['setpriv', '--pdeathsig', 'KILL'] + command
        with theirs:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                            pass_fds=[theirs.fileno()])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._asked('qmp_capabilities')
        deadline = time.monotonic() + BOOT_SECONDS
        while self.kept and not self._asked('query-status')['running']:     # what is typed before is lost
            if time.monotonic() > deadline:
                raise RigError('the guest did not go on')
            time.sleep(0.1)
        return self

    def __exit__(self, *dummy):
        self.cut()

    def _read(self):
        for line in self.process.stdout:
            with open(os.path.join(self.place, 'console'), 'ab') as out:        # for who waits for it
                out.write(line)
            with self._change:
                self.lines.append((time.monotonic(), line.decode('utf-8', 'replace').rstrip('\r\n')))
                self._change.notify_all()
        with self._change:
            self._ended = True
            self._change.notify_all()

    def wait(self, pattern, seconds):
        """The first line that matches PATTERN. RigError with the last lines if it does not come."""
        deadline = time.monotonic() + seconds
        with self._change:
            while True:
                for dummy, line in self.lines:
                    if re.search(pattern, line):
                        return line
                if self._ended or time.monotonic() > deadline:
                    raise RigError('the guest did not say %r: %s' % (pattern, ' / '.join(line for dummy, line in self.lines[-25:])))
                self._change.wait(1)

    def said(self, prefix):
        """What followed PREFIX in every whole line that begins with it."""
        with self._change:
            return [line[len(prefix):] for dummy, line in self.lines if line.startswith(prefix)]

    def tell(self, line):
        """Type LINE on the serial console."""
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def keep(self, seconds=120):
        """Stop this guest as it is now -> its folder, for `kept` of others. It runs no more afterwards."""
        self._asked('migrate', uri='exec:cat >' + shlex.quote(os.path.join(self.place, 'memory')))
        deadline = time.monotonic() + seconds
        while self._asked('query-migrate').get('status') != 'completed':
            if time.monotonic() > deadline:
                raise RigError('the memory of the guest was not written in %d seconds' % seconds)
            time.sleep(0.2)
        self._asked('quit')
        self.process.wait(60)
        self.cut()
        disks = [os.path.basename(path) for path in [self.root] + self.disks]
        for name in disks:
            os.rename(os.path.join(self.place, name), os.path.join(self.place, 'kept-' + name))
        try:
            os.link(os.path.join(self.machine, 'root.img'), os.path.join(self.place, 'root.img'))
        except OSError:
            run(['cp', '--sparse=always', '--reflink=auto', os.path.join(self.machine, 'root.img'), os.path.join(self.place, 'root.img')])
        with open(os.path.join(self.place, 'kept.json'), 'w', encoding='utf-8') as out:
            json.dump({'disks': disks, 'files': ['kept-' + name for name in disks] + ['root.img'], 'initrd': self.initrd,
                       'memory': self.memory, 'lines': [line for dummy, line in self.lines]}, out)
        return self.place

    def _asked(self, command, **arguments):
        """The answer of QEMU's monitor to COMMAND."""
        self._monitor.sendall(json.dumps({'execute': command, 'arguments': arguments}).encode() + b'\n')
        with self._monitor.makefile('rb') as answers:
            for line in answers:
                said = json.loads(line)
                if 'error' in said:
                    raise RigError('QEMU, %s: %s' % (command, said['error'].get('desc')))
                if 'return' in said:
                    return said['return']
        raise RigError('QEMU ended before it answered to %s' % command)

    def copy(self, place):
        """What a cut just now would leave, in the folder PLACE -> (root disk, further disks, lines of the console); the guest goes on.

        QEMU is stopped (SIGSTOP) while its disks are copied: they are then as SIGKILL would have left them.
        """
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            while not self._stands_still():
                time.sleep(0.02)
            time.sleep(0.2)             # what it had printed is read
            with self._change:
                lines = [line for dummy, line in self.lines]
            disks = []
            for path in [self.root] + self.disks:
                disks.append(os.path.join(place, os.path.basename(path)))
                run(['cp', '--sparse=always', path, disks[-1]])
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
        for name in os.listdir(self.place):
            if name.startswith('kept-') or name == 'root.img':
                os.link(os.path.join(self.place, name), os.path.join(place, name))
        return disks, lines

    def _stands_still(self):
        folder = '/proc/%d/task' % self.process.pid
        for name in os.listdir(folder):
            with open('%s/%s/stat' % (folder, name), encoding='ascii', errors='replace') as source:
                if source.read().rpartition(') ')[2][0] != 'T':
                    return False
        return True

    def cut(self):
        """The power goes, now: SIGKILL. Every line that it had printed before is there afterwards."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self._monitor.close()
            self.process = None

    def ended(self, seconds):
        """Wait until the job has ended by itself -> its exit status."""
        said = self.wait(r'^guest: job ended \d+', seconds)
        if self.process is not None:
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                pass
            self.cut()
        return int(said.rsplit(' ', 1)[1])
