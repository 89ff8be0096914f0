"""What every part of the rig needs: errors, running commands, the cache folder and its lock."""
import contextlib
import fcntl
import os
import subprocess


class RigError(Exception):
    """An engine, or something that it needs, cannot be had here. The message is one sentence for a person."""


class NotHere(RigError):
    """This machine cannot run that engine at all; nothing is known to be wrong with the engine or the rig."""


def not_installed(what):
    """The NotHere that says how to get `what`."""
    return NotHere('%s is not installed here; run "python3 -m rig setup" in tests/engines as root' % what)


def say(message):
    """One line to the person who waits; never to standard output, which carries results."""
    os.write(2, ('rig: %s\n' % message).encode('utf-8', 'backslashreplace'))


def run(argv, stdin=None, env=None, cwd=None, timeout=600, check=True, stdout=subprocess.PIPE):
    """Run `argv`, return its CompletedProcess (bytes). A failure raises RigError with the command's own last words."""
    try:
        done = subprocess.run(argv, input=stdin, env=env, cwd=cwd, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL if stdin is None else None,
                              stdout=stdout, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise not_installed(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise RigError('%s gave no answer in %d seconds' % (' '.join(argv[:6]), timeout)) from None
    if check and done.returncode:
        raise RigError('%s failed (exit %d): %s' % (' '.join(argv[:8]), done.returncode, last_words(done.stderr)))
    return done


def last_words(stderr, lines=8):
    """The last lines of a command's standard error, as text on one line."""
    found = [line.strip() for line in stderr.decode('utf-8', 'replace').splitlines() if line.strip()]
    return ' / '.join(found[-lines:]) or '(it said nothing)'


def need_root():
    """Real engines need real root on Linux; say it in words instead of failing on the first mount."""
    if os.uname().sysname != 'Linux':
        raise NotHere('real engines need Linux')
    if os.geteuid() != 0:
        raise NotHere('real engines need root (mount namespaces, overlay mounts, foreign owners): run it with sudo')


def cache_dir():
    """The folder outside the checkout that keeps what is slow to make."""
    path = os.environ.get('LIFEBOAT_TEST_CACHE')
    if not path:
        path = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'lifeboat-tests')
    os.makedirs(path, mode=0o755, exist_ok=True)
    return os.path.realpath(path)


@contextlib.contextmanager
def cache_lock(name):
    """Hold the lock `name` of the cache folder; a second run waits here until the first has made the thing."""
    path = os.path.join(cache_dir(), name + '.lock')
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say('waiting for another run that makes %s' % name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
