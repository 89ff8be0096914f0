"""`make rescue`: this host's Docker data into ./rescued/, by the tool `lifeboat` of this checkout. Needs Python and nothing else.

If the host has Docker data that this user may not read, it says what to run instead. If it has none, it builds the
data root of a small dead host and rescues that. A disk that is mounted somewhere: make rescue HOST_ROOT=/mnt/dead.
"""
import argparse
import contextlib
import glob
import hashlib
import importlib
import os
import shlex
import shutil
import socket
import subprocess
import sys

import envs

SAMPLE = os.path.join(envs.VENV, 'sample')


class Tool(object):
    """The tool `lifeboat` as it lies in the checkout, run in this process."""

    def __init__(self):
        sys.path.insert(0, envs.CHECKOUT)
        sys.dont_write_bytecode = True

    def _part(self, name):
        return importlib.import_module('plugins.module_utils.' + name)

    def _given(self, words):
        return self._part('cli.parser').build('').parse_args(words)

    def facts(self, where):
        """What `lifeboat look` would show of containers. Raises envs.Missing with its sentence."""
        gather = self._part('facts.gather')
        with self._errors(), self._part('cli.host').open_host(self._given(where + ['look'])) as host:
            return gather.gather(host, gather.Options(gather_subset=['containers']))

    def rescue(self, where, dest, host):
        """Rescue in front of the user -> why that is a failure, '' if it is none."""
        words = where + ['rescue', dest, '--host-name', host]
        print('lifeboat %s' % ' '.join(map(shlex.quote, words)), flush=True)
        given, out = self._given(words), self._part('cli.output').Output(False, 0)
        with self._errors():
            result = self._part('cli.verbs.rescue').write(given, out)
            out.flush()
        return self._part('rescue.run').verdict(result, 'lost')

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except self._part('disk.errors').LifeboatError as exc:
            raise envs.Missing(str(exc))
        except OSError as exc:
            raise envs.Missing('%s: %s' % (exc.filename or 'the disk', exc.strerror or exc))


def sample():
    """Build the small dead host, once for each state of its builder; returns the folder that is its root."""
    digest = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(envs.CHECKOUT, 'tests', 'fixtures', '*.py'))) + [os.path.abspath(__file__)]:
        with open(path, 'rb') as source:
            digest.update(source.read())
    root = os.path.join(SAMPLE, '%s-%d' % (digest.hexdigest()[:12], os.geteuid()))
    if not os.path.exists(os.path.join(root, 'whole')):
        shutil.rmtree(SAMPLE, ignore_errors=True)
        subprocess.run([sys.executable, os.path.join(envs.CHECKOUT, 'tests', 'fixtures', 'deadroot.py'),
                        '--host-root', root, '--containers', '5', os.path.join(root, 'var', 'lib', 'docker')],
                       stdout=subprocess.DEVNULL, check=True, env=envs.clean_environment(PYTHONDONTWRITEBYTECODE='1'))
        # no image can hold a file of such a name; here it would only make people wonder
        for odd in glob.glob(os.path.join(root, 'var', 'lib', 'docker', '*', '*', 'diff', 'srv', '.wh.looks-like-one')):
            os.unlink(odd)
        open(os.path.join(root, 'whole'), 'w').close()
    return root


def unreadable(facts):
    """Data roots that exist but may not be read by this user."""
    return [problem['object'] for problem in facts['problems'] if problem['code'] == 'DATA_ROOT_UNREADABLE']


def advice(folder):
    """Say how to verify by hand the bundles in FOLDER. True if there are any."""
    if not glob.glob(os.path.join(glob.escape(folder), '*', 'manifest.json')):
        return False
    print('\nVerify by hand:')
    print('  cd %s && for each in */SHA256SUMS; do (cd "${each%%/*}" && sha256sum --quiet -c SHA256SUMS '
          '&& echo "${each%%/*}: verified"); done' % shlex.quote(folder))
    print('Each bundle has a README.txt that says how to restore it, with nothing but tar.')
    return True


def main():
    parser = argparse.ArgumentParser(description='Rescue the data of a dead Docker host.')
    parser.add_argument('--host-root', default='/', help='where the root of the dead host is mounted')
    parser.add_argument('--data-root', action='append', default=[], help='a data root, if it is not found by itself')
    parser.add_argument('--dest', default=os.path.join(envs.CHECKOUT, 'rescued'))
    parser.add_argument('--sample', action='store_true', help='rescue the sample even if there is Docker data here')
    given = parser.parse_args()
    root = os.path.abspath(given.host_root)
    asked = given.host_root != '/' or bool(given.data_root)
    if not os.path.isdir(root):
        sys.exit('HOST_ROOT %s is no folder. Mount the disk of the dead host (docs/outage.md) and name the folder that holds its /.' % root)
    where = ['--host-root', root] + ['--data-root=' + each for each in given.data_root]
    host = 'sample-host' if given.sample else socket.gethostname() or 'localhost'
    tool = Tool()
    if not given.sample:
        facts = tool.facts(where)
        closed = unreadable(facts)
        if closed:
            words = ['sudo', 'make', 'rescue'] + (['HOST_ROOT=' + given.host_root] if given.host_root != '/' else [])
            words += ['DATA_ROOT=' + each for each in given.data_root[:1]]
            sentence = 'There is Docker data in %s that this user may not read. Run: %s' % (
                ', '.join(closed), ' '.join(shlex.quote(word) for word in words))
            if not facts['containers']:
                sys.exit(sentence)
            print(sentence)
        if not facts['containers'] and not asked:
            print('No Docker data on this host: rescuing a sample instead. Its data root is built in .venv/sample.')
            given.sample, host = True, 'sample-host'
    if given.sample:
        where = ['--host-root', sample()]
    dest = os.path.abspath(given.dest)
    why = tool.rescue(where, dest, host)
    advice(os.path.join(dest, host))
    if why:
        sys.exit(why)


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)
