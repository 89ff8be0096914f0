"""File trees with newer engines than the machine's own: debootstrap of a newer Debian, cached outside the checkout.

A tree is only ever mounted read-only by the engines, or is the lower folder of an overlay, so that many runs can share it.
"""
import json
import os
import re
import shutil
import subprocess
from typing import Dict, NamedTuple, Tuple

from .common import NotHere, RigError, cache_dir, cache_lock, last_words, need_root, not_installed, run, say

# The first release that can be installed wins; Debian's unstable has the newest docker.io.
SUITES = ('sid', 'testing', 'trixie')
# Raised when the packages or the preparation below change, so that an older cached tree is not used.
FORMAT = 1


class What(NamedTuple):
    """What a tree is made for."""
    packages: Tuple[str, ...]
    programs: Dict[str, int]            # whose version is recorded, and the oldest major number that will do


WHATS = {
    'docker': What(('docker.io', 'docker-cli', 'containerd', 'runc', 'iptables', 'ca-certificates', 'zstd'), {'dockerd': 26, 'containerd': 1, 'docker': 1}),
    # the engines without a daemon of Docker's; Python does what is done inside of them
    'others': What(('podman', 'crun', 'conmon', 'fuse-overlayfs', 'uidmap', 'slirp4netns', 'passt', 'netavark', 'containerd', 'runc', 'ca-certificates',
                    'iproute2', 'python3', 'zstd'), {'podman': 5, 'containerd': 2}),
}
# Mount points that the engines need in the tree.
MOUNT_POINTS = ('.old', 'proc', 'sys', 'dev', 'run', 'srv', 'tmp', 'etc/docker', 'var/lib')
_RECORD = 'etc/lifeboat-tree.json'


def mirrors():
    """Addresses of the Debian archive that this machine's apt is set up with, the plainest first.

    Asks apt itself, which reads one-line and deb822 sources alike. Archives that have no sid (security, updates,
    backports, other vendors) are left out.
    """
    form = '$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)'
    out = run(['apt-get', 'indextargets', '--format', form, 'Created-By: Packages']).stdout.decode('utf-8', 'replace')
    found = []
    for line in out.splitlines():
        uri, release, component, origin, label = (line.split('\t') + [''] * 5)[:5]
        if component != 'main' or re.search(r'[-/]', release) or 'security' in uri:
            continue
        if (origin and not origin.startswith('$(') and origin != 'Debian') or label == 'Debian-Security':
            continue
        if re.match(r'(https?|file|copy):', uri) and uri not in found:
            found.append(uri)
    if not found:
        raise NotHere('no Debian archive among the apt sources of this machine; the newer engines need one with sid')
    return found


def debootstrap_environment():
    """debootstrap knows only the usual variables; hand it the proxy that apt was told of."""
    env = dict(os.environ, LC_ALL='C', DEBIAN_FRONTEND='noninteractive')
    for scheme in ('http', 'https'):
        done = run(['apt-config', 'shell', 'P', 'Acquire::%s::Proxy' % scheme], check=False)
        found = re.match(rb"P='(.+)'", done.stdout)
        if found and found.group(1) != b'DIRECT':
            env.setdefault(scheme + '_proxy', found.group(1).decode())
    return env


def tree_path(suite='', what='docker'):
    """Where the finished tree of SUITE for WHAT (of WHATS) lies (it may not be there yet); of the newest that can be had without a suite."""
    return os.path.join(cache_dir(), 'newer-%s-%s-v%d%s' % (what, os.uname().machine, FORMAT, suite and '-' + suite))


def tree_facts(suite='', what='docker'):
    """What the finished tree holds: {suite, docker or podman, containerd, ...}; None without a tree."""
    try:
        with open(os.path.join(tree_path(suite, what), _RECORD), encoding='utf-8') as handle:
            return json.load(handle)
    except (OSError, ValueError):
        return None


def ensure_tree(rebuild=False, suite='', what='docker'):
    """Return the path of the tree of SUITE for WHAT, making it first if need be (one to three minutes and 900 MB)."""
    need_root()
    path = tree_path(suite, what)
    if tree_facts(suite, what) and not rebuild:
        return path
    with cache_lock('newer-' + what):
        for name in os.listdir(cache_dir()):  # what an interrupted run left
            if name.startswith('newer-%s-' % what) and '.tmp-' in name:
                shutil.rmtree(os.path.join(cache_dir(), name))
        if tree_facts(suite, what):
            if not rebuild:
                return path
            shutil.rmtree(path)
        elif os.path.lexists(path):
            shutil.rmtree(path)
        _make(path, (suite,) if suite else SUITES, WHATS[what])
    return path


def _make(path, suites, what):
    reasons = []
    for mirror in mirrors():
        for suite in suites:
            temporary = '%s.tmp-%d' % (path, os.getpid())
            say('making a tree of newer engines: debootstrap of %s into %s' % (suite, path))
            try:
                _debootstrap(suite, mirror, temporary, what.packages)
                _prepare(suite, temporary, what.programs)
                os.rename(temporary, path)
                return
            except NotHere:
                raise
            except RigError as why:
                reasons.append('%s: %s' % (suite, why))
                say('that did not work: %s' % why)
            finally:
                if os.path.isdir(temporary):
                    shutil.rmtree(temporary)
    raise NotHere('no newer engines could be installed: %s' % ' | '.join(reasons))


def _debootstrap(suite, mirror, target, packages):
    script = '/usr/share/debootstrap/scripts/sid'
    if not os.path.exists(script):
        raise not_installed('debootstrap')
    # In a mount namespace of its own: whatever it mounts is gone with it, however it ends.
    argv = ['unshare', '--mount', '--propagation', 'private', 'debootstrap', '--variant=minbase',
            '--include=' + ','.join(packages), suite, target, mirror, script]
    try:
        done = subprocess.run(argv, env=debootstrap_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1500, check=False)
    except subprocess.TimeoutExpired:
        raise RigError('debootstrap of %s did not end in 25 minutes' % suite) from None
    if done.returncode:
        raise RigError('debootstrap of %s failed: %s' % (suite, last_words(done.stdout, 4)))


def _prepare(suite, target, programs):
    facts = {'suite': suite}
    for program, oldest in programs.items():
        # some read /proc before they say anything
        out = run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'mount -t proc proc "$1/proc" && exec chroot "$@" --version', 'sh',
                   target, program]).stdout.decode('utf-8', 'replace')
        found = re.search(r'\b(\d+)\.\d+[\w.~+-]*', out)
        if not found:
            raise RigError('%s of %s does not tell its version: %r' % (program, suite, out))
        if int(found.group(1)) < oldest:
            raise RigError('%s has %s %s, older than %d' % (suite, program, found.group(0), oldest))
        facts[{'docker': 'client', 'dockerd': 'docker'}.get(program, program)] = found.group(0)
    for folder in MOUNT_POINTS:
        os.makedirs(os.path.join(target, folder), exist_ok=True)
    for folder in ('var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'):
        shutil.rmtree(os.path.join(target, folder), ignore_errors=True)
    with open(os.path.join(target, _RECORD), 'w', encoding='utf-8') as handle:
        json.dump(facts, handle)
