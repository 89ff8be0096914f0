"""A file tree with a newer Docker than the machine's own: debootstrap of a newer Debian, cached outside the checkout.

The tree is only ever mounted read-only by the engines (see namespace.py), so that many runs can share it.
"""
import json
import os
import re
import shutil
import subprocess

from .common import NotHere, RigError, cache_dir, cache_lock, last_words, need_root, not_installed, run, say

# The first release that can be installed wins; Debian's unstable has the newest docker.io.
SUITES = ('sid', 'testing', 'trixie')
# Raised when the packages or the preparation below change, so that an older cached tree is not used.
FORMAT = 1
PACKAGES = ('docker.io', 'docker-cli', 'containerd', 'runc', 'iptables', 'ca-certificates', 'zstd')
OLDEST_MAJOR = 26
# Mount points that namespace.py needs in the tree.
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


def tree_path(suite=''):
    """Where the finished tree of SUITE lies (it may not be there yet); of the newest that can be had without one."""
    return os.path.join(cache_dir(), 'newer-docker-%s-v%d%s' % (os.uname().machine, FORMAT, suite and '-' + suite))


def tree_facts(suite=''):
    """What the finished tree holds: {suite, docker, containerd}; None without a tree."""
    try:
        with open(os.path.join(tree_path(suite), _RECORD), encoding='utf-8') as handle:
            return json.load(handle)
    except (OSError, ValueError):
        return None


def ensure_tree(rebuild=False, suite=''):
    """Return the path of the tree of SUITE, making it first if need be (one to three minutes and 900 MB)."""
    need_root()
    path = tree_path(suite)
    if tree_facts(suite) and not rebuild:
        return path
    with cache_lock('newer-docker'):
        for name in os.listdir(cache_dir()):  # what an interrupted run left
            if name.startswith('newer-docker-') and '.tmp-' in name:
                shutil.rmtree(os.path.join(cache_dir(), name))
        if tree_facts(suite):
            if not rebuild:
                return path
            shutil.rmtree(path)
        elif os.path.lexists(path):
            shutil.rmtree(path)
        _make(path, (suite,) if suite else SUITES)
    return path


def _make(path, suites):
    reasons = []
    for mirror in mirrors():
        for suite in suites:
            temporary = '%s.tmp-%d' % (path, os.getpid())
            say('making the tree of the newer Docker: debootstrap of %s into %s' % (suite, path))
            try:
                _debootstrap(suite, mirror, temporary)
                _prepare(suite, temporary)
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
    raise NotHere('no newer Docker could be installed: %s' % ' | '.join(reasons))


def _debootstrap(suite, mirror, target):
    script = '/usr/share/debootstrap/scripts/sid'
    if not os.path.exists(script):
        raise not_installed('debootstrap')
    # In a mount namespace of its own: whatever it mounts is gone with it, however it ends.
    argv = ['unshare', '--mount', '--propagation', 'private', 'debootstrap', '--variant=minbase',
            '--include=' + ','.join(PACKAGES), suite, target, mirror, script]
    try:
        done = subprocess.run(argv, env=debootstrap_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1500, check=False)
    except subprocess.TimeoutExpired:
        raise RigError('debootstrap of %s did not end in 25 minutes' % suite) from None
    if done.returncode:
        raise RigError('debootstrap of %s failed: %s' % (suite, last_words(done.stdout, 4)))


def _prepare(suite, target):
    versions = {}
    for program in ('dockerd', 'containerd', 'docker'):
        out = run(['chroot', target, program, '--version']).stdout.decode('utf-8', 'replace')
        found = re.search(r'\b(\d+)\.\d+[\w.~+-]*', out)
        if not found:
            raise RigError('%s of %s does not tell its version: %r' % (program, suite, out))
        versions[program] = found.group(0)
    if int(versions['dockerd'].split('.')[0]) < OLDEST_MAJOR:
        raise RigError('%s has dockerd %s, older than %d' % (suite, versions['dockerd'], OLDEST_MAJOR))
    for folder in MOUNT_POINTS:
        os.makedirs(os.path.join(target, folder), exist_ok=True)
    for folder in ('var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'):
        shutil.rmtree(os.path.join(target, folder), ignore_errors=True)
    facts = {'suite': suite, 'docker': versions['dockerd'], 'containerd': versions['containerd'],
             'client': versions['docker']}
    with open(os.path.join(target, _RECORD), 'w', encoding='utf-8') as handle:
        json.dump(facts, handle)
