"""An image with real databases: Debian's PostgreSQL, MariaDB, Redis and SQLite, by debootstrap, cached outside the checkout."""
import os
import re
import shutil
import subprocess

from . import newer
from .common import NotHere, RigError, cache_dir, cache_lock, last_words, need_root, not_installed, run, say

IMAGE = 'lifeboat/databases:2'
# Raised when the packages or the preparation below change.
FORMAT = 2
PACKAGES = ('postgresql', 'mariadb-server', 'redis-server', 'sqlite3')
SUITES = ('bookworm', 'trixie')
# what makes an image large and is not needed (LLVM and Z3: only for PostgreSQL's jit)
SUPERFLUOUS = ('var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/i18n',
               'var/lib/postgresql', 'var/lib/mysql', 'var/log')
_SUPERFLUOUS_LIBRARY = re.compile(r'libLLVM|libclang|libz3|llvmjit|.*\.bc\Z')
_SUPERFLUOUS_PROGRAM = re.compile(r'aria_|myisam|mariadb-(?:binlog|upgrade|slap|check|import|show|conv|plugin|tzinfo-to-sql|waitpid)\Z|'
                                  r'(?:perror|innochecksum|resolve_stack_dump|replace|mariadbd-safe-helper)\Z')


def ensure_tar(suite=None):
    """Path of a tar with the file system, made first if need be (a minute or two). SUITE: of Debian; None: the first of SUITES that is to be had."""
    return tar_of('databases' + ('-' + suite if suite else ''), FORMAT, PACKAGES, (suite,) if suite else SUITES, _prepare)


def tar_of(name, form, packages, suites, prepare):
    """Path of a tar with PACKAGES of the first of SUITES that has them, made first if need be. PREPARE(tree) is called before it is packed."""
    need_root()
    path = os.path.join(cache_dir(), '%s-%s-v%d.tar' % (name, os.uname().machine, form))
    if not os.path.exists(path):
        with cache_lock(name):
            if not os.path.exists(path):
                _make(path, packages, suites, prepare)
    return path


def _make(path, packages, suites, prepare):
    tree, part = path + '.tree', path + '.part'
    script = '/usr/share/debootstrap/scripts/bookworm'
    if not os.path.exists(script):
        raise not_installed('debootstrap')
    reasons = []
    for mirror in newer.mirrors():
        for suite in suites:
            shutil.rmtree(tree, ignore_errors=True)
            say('making an image with databases: debootstrap of %s' % suite)
            argv = ['unshare', '--mount', '--propagation', 'private', 'debootstrap', '--variant=minbase',
                    '--include=' + ','.join(packages), suite, tree, mirror, script]
            try:
                done = subprocess.run(argv, env=newer.debootstrap_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=1500, check=False)
                if done.returncode:
                    reasons.append('%s: %s' % (suite, last_words(done.stdout, 4)))
                    continue
                prepare(tree)
                run(['tar', '--numeric-owner', '-C', tree, '-cf', part, '.'])
                os.rename(part, path)
                return
            finally:
                shutil.rmtree(tree, ignore_errors=True)
    raise NotHere('no image with databases could be made: %s' % ' | '.join(reasons))


def _prepare(tree):
    for name in SUPERFLUOUS:
        shutil.rmtree(os.path.join(tree, name), ignore_errors=True)
    for place, superfluous in (('usr/lib', _SUPERFLUOUS_LIBRARY), ('usr/bin', _SUPERFLUOUS_PROGRAM)):
        for folder, dummy, names in os.walk(os.path.join(tree, place)):
            for name in filter(superfluous.match, names):
                os.unlink(os.path.join(folder, name))
    with open(os.path.join(tree, 'etc/passwd'), encoding='utf-8') as handle:
        owners = {line.split(':')[0]: line.split(':')[2:4] for line in handle}
    programs = [os.path.join(folder, 'postgres') for folder, dummy, names in os.walk(os.path.join(tree, 'usr/lib/postgresql'))
                if 'postgres' in names]
    if not programs or not {'postgres', 'mysql'} <= set(owners):
        raise RigError('the tree has no PostgreSQL or no MariaDB')
    os.symlink(os.path.join('/', os.path.relpath(os.path.dirname(programs[0]), tree)), os.path.join(tree, 'pg'))
    for owner, name, mode in (('postgres', 'var/lib/postgresql', 0o755), ('postgres', 'var/lib/postgresql/data', 0o700),
                              ('postgres', 'var/run/postgresql', 0o2775), ('mysql', 'var/lib/mysql', 0o700)):
        folder = os.path.join(tree, name)
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, *map(int, owners[owner]))
        os.chmod(folder, mode)
    os.makedirs(os.path.join(tree, 'srv/app'))


def load(engine, suite=None):
    """Import the image into ENGINE, that of SUITE under the tag that it has then -> its tag."""
    return load_tar(engine, ensure_tar(suite), '%s-%s' % (IMAGE, suite) if suite else IMAGE)


def load_tar(engine, path, image):
    """Import a tar -> IMAGE, its tag."""
    with open(path, 'rb') as handle:
        done = subprocess.run(engine.enter('docker', 'import', '-', image), stdin=handle, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RigError('docker import failed: %s' % last_words(done.stdout))
    return image
