"""Install what the engines need, on a fresh Debian 12 or newer, as root. Changes nothing else on the machine.

The machine's own Docker service is not started by the installation: a policy-rc.d says no while packages are
installed (unless the machine already has one), so that nothing ever begins in the machine's own data root.
"""
import contextlib
import os
import shutil
import subprocess

from . import newer
from .common import NotHere, last_words, need_root, run, say

# program -> package
NEEDED = (('dockerd', 'docker.io'), ('docker', 'docker-cli'), ('containerd', 'containerd'), ('runc', 'runc'),
          ('debootstrap', 'debootstrap'), ('busybox', 'busybox-static'), ('getfattr', 'attr'), ('getfacl', 'acl'),
          ('zstd', 'zstd'), ('xz', 'xz-utils'), ('mkfs.btrfs', 'btrfs-progs'), ('nsenter', 'util-linux'),
          ('mount', 'mount'), ('ip', 'iproute2'), ('file', 'file'), ('tar', 'tar'), ('skopeo', 'skopeo'),
          ('rootlesskit', 'rootlesskit'), ('slirp4netns', 'slirp4netns'), ('newuidmap', 'uidmap'), ('journalctl', 'systemd'))
_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
_POLICY = '/usr/sbin/policy-rc.d'


def missing():
    """Packages whose program is not there."""
    return [package for program, package in NEEDED if not shutil.which(program, path=_PATH)]


def install():
    """Install the missing packages; NotHere in one sentence if that is not possible here."""
    need_root()
    wanted = missing()
    if not wanted:
        return
    if not shutil.which('apt-get', path=_PATH):
        raise NotHere('the rig installs Debian packages, and there is no apt-get; missing: %s' % ' '.join(wanted))
    say('installing %s' % ' '.join(wanted))
    env = dict(os.environ, DEBIAN_FRONTEND='noninteractive', LC_ALL='C', NEEDRESTART_MODE='l')
    with _no_services():
        _apt(env, 'update')
        if 'docker-cli' in wanted and 'docker.io' in wanted:
            wanted.remove('docker-cli')  # one package with docker.io in Debian 12, a separate one later
        _apt(env, 'install', '-y', '--no-install-recommends', *wanted)
        if not shutil.which('docker', path=_PATH):
            _apt(env, 'install', '-y', '--no-install-recommends', 'docker-cli')
    if missing():
        raise NotHere('still missing after the installation: %s' % ' '.join(missing()))


def _apt(env, *args):
    argv = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'APT::Update::Error-Mode=any'] + list(args)
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode:
        raise NotHere('apt-get %s failed: %s' % (args[0], last_words(done.stdout, 4)))


@contextlib.contextmanager
def _no_services():
    """Keep package scripts from starting services meanwhile."""
    if os.path.lexists(_POLICY):
        yield
        return
    handle = os.open(_POLICY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    os.write(handle, b'#!/bin/sh\nexit 101\n')
    os.close(handle)
    os.chmod(_POLICY, 0o755)
    try:
        yield
    finally:
        os.unlink(_POLICY)


def versions():
    """One line for a person: which engines there are now."""
    own = run(['dockerd', '--version'], check=False).stdout.decode('utf-8', 'replace').strip()
    facts = newer.tree_facts() or {}
    return '%s; newer Docker %s (%s)' % (own, facts.get('docker', 'not yet made'), facts.get('suite', '-'))
