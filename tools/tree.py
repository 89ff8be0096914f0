"""Copies the checkout to WHERE/ansible_collections/lifeboat/docker, where Ansible can import it.

    python3 tools/tree.py WHERE

A copy and not a link: ansible-test resolves links and then refuses to work. What git ignores stays out; without git,
or where git refuses the checkout (another owner), the same by the names in IGNORED. Standard library only.
"""
import os
import shutil
import subprocess
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARTS = ('ansible_collections', 'lifeboat', 'docker')
IGNORED = {'.git', '.venv', '.venv-root', '.ansible', '.mypy_cache', '.nox', '.pytest_cache', '.ruff_cache',
           '__pycache__', 'dist', 'lifeboat-reports', 'rescued', 'importer_result.json', '.plugin-cache.yaml'}
IGNORED_PATHS = {'tests/output', 'tests/integration/inventory'}


def files_by_git():
    """Relative names (bytes) of what git has or would add; None where git cannot say."""
    command = ['git', '-C', CHECKOUT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    try:
        top = subprocess.run(['git', '-C', CHECKOUT, 'rev-parse', '--show-toplevel'], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=True).stdout.rstrip(b'\n')
        if os.path.realpath(top) != os.path.realpath(os.fsencode(CHECKOUT)):
            return None                 # unpacked inside some other repository
        raw = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in raw.split(b'\0') if name and os.path.lexists(os.path.join(os.fsencode(CHECKOUT), name))]


def files_by_walk():
    found = []
    for folder, folders, names in os.walk(os.fsencode(CHECKOUT)):
        inside = os.path.relpath(folder, os.fsencode(CHECKOUT))
        folders[:] = [name for name in folders if os.fsdecode(name) not in IGNORED
                      and os.fsdecode(os.path.normpath(os.path.join(inside, name))) not in IGNORED_PATHS]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in names + links:
            if os.fsdecode(name) not in IGNORED and not name.endswith((b'.pyc', b'.swp', b'~')):
                found.append(os.path.normpath(os.path.join(inside, name)))
    return found


def build(where):
    """Make the tree anew below WHERE; returns the collection's folder in it."""
    top = os.path.join(os.path.abspath(where), PARTS[0])
    collection = os.path.join(os.path.abspath(where), *PARTS)
    shutil.rmtree(top, ignore_errors=True)
    names = files_by_git()
    for name in files_by_walk() if names is None else names:
        source, target = os.path.join(os.fsencode(CHECKOUT), name), os.path.join(os.fsencode(collection), name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            shutil.copy2(source, target, follow_symlinks=False)
        except FileNotFoundError:
            continue                    # gone since it was listed
    return collection


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(build(sys.argv[1]))
