"""Virtual environments under .venv/, made once and reused until a pin or the interpreter changes.

    python3 tools/envs.py NAME [PYTHON]     make tools/requirements/NAME.txt's environment, print its folder

Also finds the Python interpreters of this machine. Standard library only: this runs before anything is installed.
"""
import fcntl
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# `sudo make rescue` must not leave root's files where the owner of the checkout works
FOREIGN = os.geteuid() == 0 and os.stat(CHECKOUT).st_uid != 0
VENV = os.path.join(CHECKOUT, '.venv-root' if FOREIGN else '.venv')
REQUIREMENTS = os.path.join(CHECKOUT, 'tools', 'requirements')
OLDEST = (3, 6)                         # what module_utils support
EVERY = 30                              # seconds until a slow command is said to be still at it


class Missing(Exception):
    """Something that this machine lacks. The message says what to do."""


def requirement_files(name):
    """The file of environment NAME and those that it includes."""
    path = os.path.join(REQUIREMENTS, name + '.txt')
    yield path
    with open(path, encoding='utf-8') as lines:
        for line in lines:
            if line.startswith('-r '):
                yield from requirement_files(line[3:].strip()[:-len('.txt')])


def stamp_of(names, python, where):
    """What an environment was made from; it cannot be moved either, so its place counts too."""
    digest = hashlib.sha256('\0'.join([json.dumps(interpreter(python)), where] + names).encode('utf-8'))
    for name in names:
        for path in requirement_files(name):
            with open(path, 'rb') as raw:
                digest.update(raw.read())
    return digest.hexdigest()


def interpreter(python):
    """(real executable, [major, minor, micro]) of PYTHON; None if it does not run (a pyenv shim, for example)."""
    code = 'import json, sys; print(json.dumps([sys.executable, list(sys.version_info[:3])]))'
    try:
        raw = subprocess.run([python, '-I', '-c', code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL, timeout=60, check=True).stdout
        return json.loads(raw.decode('utf-8'))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def interpreters():
    """{(3, minor): executable} of every Python here that is not older than OLDEST, each once."""
    folders = [each for each in os.environ.get('PATH', os.defpath).split(os.pathsep) if each]
    candidates = [sys.executable] if sys.prefix == sys.base_prefix else []
    for folder in folders:
        candidates += glob.glob(os.path.join(folder, 'python3.[0-9]*'))
        candidates.append(os.path.join(folder, 'python3'))
    candidates += glob.glob(os.path.expanduser('~/.pyenv/versions/*/bin/python3.[0-9]*'))
    found = {}
    for candidate in candidates:
        name = os.path.basename(candidate)
        if name != 'python3' and not name[len('python3.'):].isdigit() and candidate != sys.executable:
            continue                    # python3.11-config and the like
        if not os.access(candidate, os.X_OK):
            continue
        facts = interpreter(candidate)
        if facts and tuple(facts[1][:2]) >= OLDEST and not os.path.realpath(facts[0]).startswith(VENV + os.sep):
            found.setdefault(tuple(facts[1][:2]), facts[0])
    return found


def choose(found, lowest, highest=(3, 99)):
    """The interpreter for the controller: the one that runs this if it fits, else the newest that does. Or None."""
    own = tuple(sys.version_info[:2])
    if lowest <= own <= highest and own in found:
        return found[own]
    fitting = [version for version in found if lowest <= version <= highest]
    return found[max(fitting)] if fitting else None


def make(names, python, folder=None):
    """The folder of the environment for NAMES (a requirements name, or several); made if need be. Raises Missing."""
    names = [names] if isinstance(names, str) else list(names)
    where = os.path.join(VENV, folder or '-'.join(names))
    os.makedirs(VENV, exist_ok=True)
    with open(where + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, marker = stamp_of(names, python, where), os.path.join(where, 'made-from')
        if os.path.exists(marker):
            with open(marker, encoding='ascii') as kept:
                if kept.read() == stamp:
                    return where
        print('making %s (once; %s from the Python package index, which needs the network)' % (
            os.path.relpath(where, CHECKOUT), ', '.join(names)), file=sys.stderr, flush=True)
        shutil.rmtree(where, ignore_errors=True)
        run([python, '-m', 'venv', where],
            '%s cannot make virtual environments; on Debian: apt install python3-venv' % python)
        pip = [os.path.join(where, 'bin', 'python'), '-m', 'pip', '--disable-pip-version-check',
               '--retries', '2', '--timeout', '15', 'install', '-q']
        if tuple(interpreter(python)[1][:2]) < (3, 7):
            run(pip + ['pip==21.3.1'], 'pip could not be brought up to date')   # the one in 3.6 ignores markers' limits
        files = [each for name in names for each in ('-r', os.path.join(REQUIREMENTS, name + '.txt'))]
        run(pip + files, 'pip could not install %s. The first run needs the network and a Python package index (a mirror: '
            'PIP_INDEX_URL).' % ', '.join(names))
        with open(marker, 'w', encoding='ascii') as kept:
            kept.write(stamp)
    return where


def run(command, sentence, cwd=None):
    """Run quietly; on failure raise Missing with SENTENCE and what the command said."""
    began = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          env=clean_environment(), cwd=cwd) as child:
        while True:
            try:
                said, dummy = child.communicate(timeout=EVERY)
                break
            except subprocess.TimeoutExpired:
                words = [os.path.relpath(each, CHECKOUT) if os.path.isabs(each) else each for each in command]
                print('   still at it, %d s: %s' % (time.time() - began, ' '.join(words)), file=sys.stderr, flush=True)
    if child.returncode:
        raise Missing('%s\n%s' % (sentence, said.decode('utf-8', 'replace').strip()[-2000:]))


def clean_environment(**more):
    """os.environ without what would lead another interpreter astray."""
    kept = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV')}
    kept.update(more)
    return kept


def controller():
    """An interpreter for ansible-core. Raises Missing."""
    python = choose(interpreters(), (3, 10))
    if python is None:
        raise Missing('ansible-core 2.16 or newer needs Python 3.10 or newer, and there is none on this machine')
    return python


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        print(make(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else controller()))
    except Missing as exc:
        sys.exit('%s' % exc)


if __name__ == '__main__':
    main()
