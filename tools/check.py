"""Runs the checks of `make test`: python3 tools/check.py PART... (lint units sanity integration kernel engines
machines delivery soak)

Makes what it needs under .venv/ by itself. Every part prints one line, and all it said if it failed; at the end come
the counts of all parts, and pytest's closing line over the same. A part that this machine cannot run is named with the
reason and counts as skipped; with CI=true it is a failure. Logs stay in .venv/results/.
"""
import copy
import fcntl
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from typing import Callable, Dict

import cases
import envs
import lanes
import linting
import memory
import progress
import tree
from cases import FAILED, PASSED, SKIPPED, Case

RESULTS = os.path.join(envs.VENV, 'results')
# what is imported by module_utils' tests; the others need ansible-core, so a newer Python
FLOORS = ('formats', 'disk', 'records', 'layers', 'engines', 'archive', 'databases', 'usage', 'recreate', 'images', 'bundles', 'transport',
          'facts', 'rescue', 'repair', 'restore', 'dump', 'cli', 'fixtures')
# these look at the files of the checkout, whatever Python does it
SOURCES = ['tests/unit/test_%s.py' % name for name in ('check_tools', 'defaults', 'docs_codes', 'docs_links', 'docs_zh', 'opening', 'rooms', 'seam',
                                                       'test_paths')]
MACHINE_TOOLS = ('qemu-system-x86_64', 'qemu-img', 'qemu-storage-daemon', 'debootstrap', 'busybox', 'mkfs.ext4')
BYTECODE = os.path.join(envs.VENV, 'bytecode')      # what Python compiles
HALVED = ['tests/unit/' + name for name in ('archive', 'bundles', 'engines', 'images', 'repair', 'rescue', 'usage')]    # as much as all the rest
COVERAGE = os.path.join(RESULTS, 'coverage')
LEAST_COVERED = 5                       # files that are named
# share of the engine tests -> how it is called
SHARES = {'debian': "Debian's own", 'newer': 'newer', 'containerd': "containerd's store", 'drivers': 'other storage drivers', 'own': 'each test its own',
          'repair': 'repaired', 'databases': 'databases',
          'chance': 'random contents, every option', 'podman': 'Podman', 'kube': 'Kubernetes'}
SOAK = bool(os.environ.get('LIFEBOAT_SOAK'))
OF_EACH = 2                             # cases of a test with many parameters, on the oldest Python
SUBJECTS = 16                           # the same of the conformance suite, which has a case for each engine's host: more than there are
# On the oldest ansible-core: the action plugins, a connection of theirs, a role. On the newest: all.
FEW_TARGETS = ('docker_bundle_info', 'docker_data_rescue', 'docker_layer_facts', 'role_rescue')
SHARES_OF_TARGETS = {'few': 'some targets', 'modules': 'modules', 'roles': 'roles', 'rescues': 'the role rescue'}
DELIVERIES = {'fleets': ['tests/delivery/test_%s.py' % name for name in ('fleet', 'restore_delivery')],
              'nodes': ['tests/delivery/test_%s.py' % name for name in ('connections', 'delivery_manners', 'delivery_quiesce', 'hostile_node')]}
ENGINE_TOOLS = ('dockerd', 'debootstrap', 'busybox', 'setfattr', 'setfacl')
CI = os.environ.get('CI', '').lower() in ('true', '1', 'yes')


class Run(object):
    """One run of this script: where its tree is, and what it found so far."""

    def __init__(self):
        self.pythons = envs.interpreters()
        self.top = os.path.join(envs.VENV, 'tree')
        self.collection = tree.build(self.top)
        self.cases = []
        self.measured = []
        self.used = progress.Used()
        self.lock = threading.Lock()

    def command(self, part, command, cwd=None, **environment):
        """Run COMMAND, everything it says goes to a log. Returns (exit status, what it said). No Python leaves what it compiles in the tree,
        where judges would see it."""
        path = os.path.join(RESULTS, re.sub(r'[^A-Za-z0-9.]+', '-', part) + '.log')
        with open(path, 'ab') as log:
            begun = subprocess.Popen(command, cwd=cwd or self.collection, stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.STDOUT,
                                     env=envs.clean_environment(**dict({'ANSIBLE_COLLECTIONS_PATH': self.top, 'PYTHONPATH': self.top,
                                                                        'PYTHONDONTWRITEBYTECODE': '1', 'ANSIBLE_NOCOLOR': '1'},
                                                                       **environment)))
        return progress.wait(begun, part, path, self.used), progress.text(path)

    def part(self, name, function, *arguments, **options):
        """Run one part; print its line, and before it what it said if something failed."""
        print('== %s ...' % name, flush=True)
        began, before = time.time(), self.used.here()
        said = ''
        try:
            found, said = function(name, *arguments, **options)
        except envs.Missing as exc:
            found = [self.missing(name, exc)]
        lines = []
        if any(case.outcome == FAILED for case in found):
            lines += ['   | ' + line for line in said.splitlines()[-150:]]
        lines += ['   ' + case.text for case in found if case.text.startswith('did not run: ')]
        lines += ['   %d skipped: %s' % (number, why) for why, number in cases.reasons(found)]
        lines.append('== %s: %s in %d s (%d s of processor)' % (name, cases.worded(found), time.time() - began,
                                                                self.used.here() - before))
        with self.lock:
            print('\n'.join(lines), flush=True)
            self.cases += found

    @staticmethod
    def missing(name, why):
        """The case that stands for a part that this machine cannot run."""
        return Case(name, 'the part itself', FAILED if CI else SKIPPED, 'did not run: %s' % why)

    def lane(self, names):
        """Run parts one after another: NAMES, of a lanes.Queue."""
        for name in names:
            try:
                PARTS[name](self)
            except Exception as exc:        # whatever it is, it must not be taken for a pass
                known = isinstance(exc, envs.Missing)
                case = self.missing(name, exc) if known else Case(name, 'the part itself', FAILED, traceback.format_exc())
                with self.lock:
                    print('== %s: %s' % (name, case.text), flush=True)
                    self.cases.append(case)


def version(key):
    return '%d.%d' % key


def remove(folder):
    """Remove a test's folder, unless it left something mounted in there."""
    try:
        with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as mounts:
            if any(line.split(' ')[4].startswith(folder + '/') for line in mounts):
                print('left as it is, something is mounted in it: %s' % folder, flush=True)
                return
    except FileNotFoundError:
        pass                            # not Linux
    shutil.rmtree(folder, ignore_errors=True)


def pytest_part(name, run, python, folders, ignore=(), with_ansible=True, options=(), measure='', **environment):
    """pytest over FOLDERS (or files) of the tree. MEASURE: the file for which lines of the plugins ran, for :func:`coverage_lines`."""
    own_version = tuple(envs.interpreter(python)[1][:2])
    own = version(own_version)
    env = envs.make(['ansible', 'units'], python, 'controller-' + own) if with_ansible \
        else envs.make(['units'], python, 'units-' + own)
    junit = os.path.join(RESULTS, re.sub(r'[^A-Za-z0-9.]+', '-', name) + '.xml')
    command = [os.path.join(env, 'bin', 'python')]
    if measure:
        command += ['-m', 'coverage', 'run', '--rcfile=tools/coverage.ini']
        environment.update(COVERAGE_FILE=measure, COVERAGE_CORE='sysmon')      # the quick way, of Python 3.12 and newer
    command += ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--junitxml', junit, '-o', 'junit_family=xunit2']
    command += ['--ignore=' + each for each in ignore] + list(options) + list(folders)
    environment.setdefault('PATH', os.path.join(env, 'bin') + os.pathsep + os.environ.get('PATH', os.defpath))
    # the next part reads the same files; Python 3.6 and 3.7 know no other place than beside them, and keep nothing
    environment.setdefault('PYTHONPYCACHEPREFIX', BYTECODE)
    if own_version >= (3, 8):
        environment.setdefault('PYTHONDONTWRITEBYTECODE', '')
    # short, for unix sockets in it; our own, since pytest's common one may be somebody else's
    scratch = tempfile.mkdtemp(prefix='lb-')
    command += ['--basetemp', os.path.join(scratch, 't')]
    try:
        if 'LIFEBOAT_TEST_SCRATCH' not in os.environ and memory.possible():
            command = memory.with_disk(scratch, command)
            environment['LIFEBOAT_TEST_SCRATCH'] = scratch
        status, said = run.command(name, command, **environment)
    finally:
        remove(scratch)
    found = cases.from_junit(name, junit)
    if status and not any(case.outcome == FAILED for case in found):
        found.append(Case(name, 'pytest', FAILED, 'exit status %d\n%s' % (status, said[-2000:])))
    return found, said


def units_oldest(run):
    """The oldest Python runs what goes to managed nodes, unless it is the only one: a few cases of each test, since the newest runs them
    all, and what differs is what the two understand. LIFEBOAT_SOAK: every case."""
    oldest = min(run.pythons)
    if oldest != max(run.pythons):
        few = {} if SOAK else {'LIFEBOAT_OF_EACH': str(OF_EACH)}
        run.part('units, Python %s%s' % (version(oldest), ', %d cases of each' % OF_EACH if few else ''), pytest_part, run,
                 run.pythons[oldest], ['tests/unit'], controller_tests(run) + SOURCES, False, **few)


def units_newest(run, half):
    """The newest runs everything: HALF 1 is the folders of HALVED, HALF 0 all the rest."""
    newest = max(run.pythons)
    controller, measure = newest >= (3, 10), newest >= (3, 12)
    # pytest looks through all folders of tests before it makes the next one, so those that are no longer needed go
    options = ['-o', 'tmp_path_retention_policy=failed'] if newest >= (3, 9) else []
    ignore = [] if controller else controller_tests(run)
    data = '%s.%d' % (COVERAGE, half) if measure else ''
    run.part('units, Python %s%s' % (version(newest), ', the other half' if half else ''), pytest_part, run, run.pythons[newest],
             HALVED if half else ['tests/unit'], ignore if half else ignore + HALVED, controller, options, data)
    if measure:
        with run.lock:
            run.measured.append(data)
            last = len(run.measured) == 2
        if last:
            print('\n'.join(coverage_lines(run, newest, run.measured)), flush=True)


def units_conformance(run):
    """The conformance suite over hosts that a builder made, on both; on the oldest a few of the damages."""
    for own in sorted({min(run.pythons), max(run.pythons)}):
        few = {} if SOAK or own == max(run.pythons) else {'LIFEBOAT_OF_EACH': str(SUBJECTS)}
        run.part('conformance, Python %s' % version(own), pytest_part, run, run.pythons[own], ['tests/conformance'], (),
                 own == max(run.pythons) and own >= (3, 10), LIFEBOAT_CONFORMANCE='built', **few)


def controller_tests(run):
    """Folders of unit tests that need ansible-core."""
    here = os.path.join(run.collection, 'tests', 'unit')
    return [os.path.join('tests', 'unit', name) for name in sorted(os.listdir(here))
            if os.path.isdir(os.path.join(here, name)) and name not in FLOORS]


def coverage_lines(run, newest, measured):
    """How much of the plugins the unit tests ran, and where least: lines to print. MEASURED: files of coverage. The whole report stays in
    RESULTS."""
    python = os.path.join(envs.make(['ansible', 'units'], run.pythons[newest], 'controller-' + version(newest)), 'bin', 'python')

    def coverage(*words):
        return subprocess.run([python, '-m', 'coverage'] + list(words), cwd=run.collection, env=envs.clean_environment(COVERAGE_FILE=COVERAGE),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    done = coverage('combine', '--rcfile=tools/coverage.ini', '-q', *measured)
    if done.returncode == 0:
        done = coverage('json', '--rcfile=tools/coverage.ini', '-q', '-o', '-')
    try:
        report = json.loads(done.stdout.decode('utf-8'))
    except ValueError:
        return ['   coverage could not be measured: %s' % done.stdout.decode('utf-8', 'replace').strip()[-300:]]
    shares = sorted((item['summary']['percent_covered'], name) for name, item in report['files'].items() if item['summary']['num_statements'])
    with open(os.path.join(RESULTS, 'coverage.txt'), 'w', encoding='utf-8') as out:
        out.writelines('%5.1f %%  %s\n' % item for item in shares)
    return ['   coverage: %.1f %% of %d statements; least:' % (report['totals']['percent_covered'], report['totals']['num_statements'])] + [
        '   %5.1f %%  %s' % item for item in shares[:LEAST_COVERED]]


def newest_python(run):
    """The interpreter whose environment the unit tests have, too. Raises envs.Missing."""
    return run.pythons[max(run.pythons)] if max(run.pythons) >= (3, 10) else envs.controller()


def needs_root():
    if not sys.platform.startswith('linux'):
        raise envs.Missing('needs Linux')
    if os.geteuid():
        raise envs.Missing('needs root: sudo make test')


def as_root(name, run, folders, tools, options=(), **environment):
    """pytest over folders or files whose tests mount file systems or start daemons."""
    needs_root()
    lacking = [tool for tool in tools if not shutil.which(tool)]
    if lacking:
        raise envs.Missing('not installed: %s' % ', '.join(lacking))
    for each in folders:
        if not os.path.exists(os.path.join(run.collection, each)):
            raise envs.Missing('there is no %s' % each)
    return pytest_part(name, run, newest_python(run), folders, options=options, **environment)


def kernel(run):
    run.part('against the kernel\'s overlayfs', as_root, run, ['tests/kernel'], ['mount'])


def engines(run, share):
    """One share of the tests, see tests/engines/rig/shares.py: all of them at once take longer than anybody likes to wait."""
    run.part('real engines, %s' % SHARES[share], as_root, run, ['tests/engines', 'tests/conformance'], ENGINE_TOOLS,
             LIFEBOAT_CONFORMANCE='real', LIFEBOAT_ENGINES_SHARE=share)


def machines(run):
    run.part('virtual machines', as_root, run, ['tests/machines'], MACHINE_TOOLS)


def delivery(run, share):
    """SHARE: 'fleets', whole playbooks for several hosts and restores; 'nodes', what one node says and does; '', the rest."""
    ignored = [] if share else ['--ignore=' + name for name in sum(DELIVERIES.values(), [])]
    run.part('delivery over ssh' + (share and ', ' + share), as_root, run, DELIVERIES[share] if share else ['tests/delivery'],
             ['ip', 'sudo', 'unshare', 'nsenter', 'useradd', 'ssh-keygen', 'sshd'], ignored)


def soak(run):
    """The tests that read LIFEBOAT_SOAK, with it; what they print is shown."""
    os.environ.setdefault('LIFEBOAT_SOAK', '20')
    run.part('soak, units', soak_part, run, 'tests/unit')
    run.part('soak, real engines', soak_part, run, 'tests/engines')
    run.part('soak, power cuts', soak_part, run, 'tests/machines')


def soak_part(name, run, folder):
    files = []
    for where, dummy, names in os.walk(os.path.join(run.collection, folder)):
        for each in sorted(names):
            path = os.path.join(where, each)
            if each.startswith('test_') and each.endswith('.py') and 'LIFEBOAT_SOAK' in progress.text(path):
                files.append(os.path.relpath(path, run.collection))
    if not files:
        raise envs.Missing('no test in %s reads LIFEBOAT_SOAK' % folder)
    tools = {'tests/engines': ENGINE_TOOLS, 'tests/machines': MACHINE_TOOLS}.get(folder)
    found, said = as_root(name, run, files, tools, ['-s']) if tools else \
        pytest_part(name, run, newest_python(run), files, options=['-s'])
    print('\n'.join('   | ' + line for line in said.splitlines() if not progress.RESULTS.match(line)), flush=True)
    return found, ''


# ansible-test

def cores(run):
    """[(requirements name, interpreter)]: the oldest and the newest ansible-core that this machine's Pythons run."""
    oldest = envs.choose(run.pythons, (3, 10), (3, 12)) or envs.choose(run.pythons, (3, 10))
    newest = run.pythons.get(max(run.pythons), None) if max(run.pythons) >= (3, 10) else None
    if newest is None:
        raise envs.Missing('ansible-core needs Python 3.10 or newer')
    return [('ansible-oldest', oldest), ('ansible', newest)]


def prepare_home(core):
    """A home for ansible-test, one for each CORE, since both may be at work. Its bootstrap of pip would download a script; ensurepip does
    as well, and is at hand.

    It would also call ssh-keygen for a key with which it reaches rented machines. There are none with --local, so
    the two files say that, and ssh-keygen need not be installed.
    """
    home = os.path.join(envs.VENV, 'home-' + core)
    os.makedirs(os.path.join(home, '.ansible', 'test', 'cache'), exist_ok=True)
    for name in ('id_rsa', 'id_rsa.pub'):
        place(os.path.join(home, '.ansible', 'test', name), 'no key: nothing is reached over ssh\n')
    for name in ('.config/pip', '.cache/pip', '.pip'):
        source, target = os.path.expanduser(os.path.join('~', name)), os.path.join(home, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.exists(source):
            try:
                os.symlink(source, target)
            except FileExistsError:
                continue
    return home


def place(path, text):
    """A file that is there as a whole at any moment: another part may read it."""
    handle, made = tempfile.mkstemp(dir=os.path.dirname(path))
    with open(handle, 'w', encoding='utf-8') as out:
        out.write(text)
    os.replace(made, path)


# Each test of ansible-test that needs a package gets an environment of its own; the first of a Python keeps what all of them have.
BOOTSTRAP = '''import hashlib, os, shutil, subprocess, sys, sysconfig, tempfile
asked = [each for each in sys.argv[1:] if each not in ("--no-setuptools", "--no-wheel")]
there, home = sysconfig.get_path("purelib"), os.path.expanduser("~/.ansible/test/cache")
empty = os.path.isdir(there) and not os.listdir(there)
kept = os.path.join(home, "pip-" + hashlib.sha256(repr([sys.version, asked]).encode("utf-8")).hexdigest()[:16])
if empty and os.path.isdir(kept):
    os.rmdir(there)
    shutil.copytree(kept, there, symlinks=True)
    sys.exit()
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"] + asked)
if empty:
    made = tempfile.mkdtemp(dir=home)
    shutil.copytree(there, os.path.join(made, "pip"), symlinks=True)
    try:
        os.rename(os.path.join(made, "pip"), kept)
    except OSError:
        pass                            # another was quicker
    shutil.rmtree(made)
'''

FACTS = '''import glob, json, os, re
import ansible.release, ansible_test
from ansible_test._util.target.common import constants
with open(os.path.join(os.path.dirname(ansible_test.__file__), "_internal", "python_requirements.py")) as source:
    pips = sorted(set(re.findall(r"pip='([0-9.]+)'", source.read())))
print(json.dumps([ansible.release.__version__, pips, constants.REMOTE_ONLY_PYTHON_VERSIONS,
                  constants.CONTROLLER_PYTHON_VERSIONS]))
'''


# integration looks whether spools are left in /dev/shm, where other parts may have theirs
OWN_MEMORY = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$@"', 'sh']


class AnsibleTest(object):
    """ansible-test of one ansible-core. Raises envs.Missing."""

    def __init__(self, run, requirements, python):
        self.run = run
        own = tuple(envs.interpreter(python)[1][:2])
        self.own = version(own)
        # not that of the other parts: with --requirements it installs into it
        self.env = envs.make([requirements], python, '%s-%s' % (requirements, self.own))
        raw = subprocess.run([os.path.join(self.env, 'bin', 'python'), '-c', FACTS], stdout=subprocess.PIPE, check=True,
                             env=envs.clean_environment()).stdout
        self.core, pips, remote, controllers = json.loads(raw.decode('utf-8'))
        self.home = prepare_home(self.core)
        for pip in pips:
            place(os.path.join(self.home, '.ansible', 'test', 'cache', 'get_pip_%s.py' % pip.replace('.', '_')), BOOTSTRAP)
        self.targets = [each for each in remote + controllers
                        if tuple(int(part) for part in each.split('.')) in run.pythons]
        # real interpreters only: a pyenv shim of an inactive version would fail the compile test
        self.bin = os.path.join(run.top, 'pythons-%s' % self.core)
        shutil.rmtree(self.bin, ignore_errors=True)
        os.makedirs(self.bin)
        for each in self.targets:
            if each != self.own:
                os.symlink(run.pythons[tuple(int(part) for part in each.split('.'))],
                           os.path.join(self.bin, 'python' + each))

    def __call__(self, part, *arguments):
        """Run it in the tree; returns (status, output)."""
        shutil.rmtree(os.path.join(self.run.collection, 'tests', 'output'), ignore_errors=True)
        path = os.pathsep.join([os.path.join(self.env, 'bin'), self.bin, '/usr/local/sbin', '/usr/sbin', '/usr/bin',
                                '/sbin', '/bin'])
        command = [os.path.join(self.env, 'bin', 'ansible-test')] + list(arguments)
        if arguments[0] == 'integration' and os.geteuid() == 0 and sys.platform.startswith('linux'):
            command = OWN_MEMORY + command
        # the tree lies in a folder that git ignores; without this ansible-test would ask that git for files
        return self.run.command(part, command, HOME=self.home,
                                PATH=path, ANSIBLE_TEST_CONTENT_ROOT=self.run.collection, LC_ALL='C.UTF-8')


def sanity_part(name, run, test, calls):
    """CALLS: options of one call of ansible-test each."""
    found, said = [], ''
    for options in calls:
        status, said = test(name, 'sanity', '--local', '--requirements', '--junit', '--color', 'no', *options)
        # a test that passes writes a file too; one that has no targets does not
        here = cases.from_junit(name, os.path.join(run.collection, 'tests', 'output', 'junit', '*.xml'))
        if status and not any(case.outcome == FAILED for case in here):
            here.append(Case(name, 'ansible-test', FAILED, 'exit status %d\n%s' % (status, said[-2000:])))
        if not here:
            here.append(Case(name, 'ansible-test %s' % ' '.join(options), FAILED, 'no result\n%s' % said[-2000:]))
        found += here
    # what pip said while the test environments were made stays in the log
    return found, '\n'.join(line for line in said.splitlines() if line.startswith(('ERROR', 'FATAL', 'WARNING: ')))


def excluded(said):
    """Names of the targets that ansible-test SAID it leaves out: with the options above, those that need root."""
    return [each for line in re.findall(r'Excluding (?:\w+ )?tests marked .*?: (.*)', said) for each in re.split(r'[, ]+', line.strip())]


def integration_part(name, run, test, target, chosen):
    """One case a target. CHOSEN: their names, without end all."""
    options = ['--local', '--python', target, '--color', 'no']
    if os.geteuid() == 0:
        options += ['--allow-root', '--allow-destructive']
    status, said = test(name, 'integration', *(options + ['--list-targets'] + chosen))
    listed = [line for line in said.splitlines() if re.match(r'^[a-z][a-z0-9_]*$', line)]
    skipped = excluded(said)
    if not listed and skipped and os.geteuid():
        needs_root()
    if status or not listed:
        raise envs.Missing('ansible-test found no integration targets\n%s' % said[-2000:])
    status, said = test(name, 'integration', '--requirements', '--continue-on-error', *(options + chosen))
    failed = set()
    for line in re.findall(r'integration test\(s\) listed below [^\n]*\n(.*)\Z', said, re.S):
        failed.update(each for each in line.split() if each in listed)
    found = [Case(name, each, FAILED if each in failed else PASSED, said[-4000:] if each in failed else '')
             for each in listed]
    found += [Case(name, each, SKIPPED, 'needs root') for each in sorted(set(skipped) - set(listed))]
    # what a target leaves out for want of a tool, it says by such a line
    for line in sorted(set(re.findall(r'^NOT RUN: (.*)', said, re.M))):
        found.append(Case(name, line, FAILED if CI else SKIPPED, 'did not run: ' + line))
    if status and not failed:
        found.append(Case(name, 'ansible-test', FAILED, 'exit status %d\n%s' % (status, said[-2000:])))
    return found, said


def sanity(run, which, kind=''):
    """In a tree of its own, since integration may be at work at the same time. WHICH: 0 is the oldest core, 1 the newest. KIND: 'pylint',
    or all the other tests."""
    found = cores(run)
    requirements, python = found[which]
    apart = copy.copy(run)
    with tempfile.TemporaryDirectory(prefix='sanity-') as apart.top:
        apart.collection = tree.build(apart.top)
        test = AnsibleTest(apart, requirements, python)
        alone = AnsibleTest(apart, *found[1 - which]).core == test.core
        if which == 0 and alone:
            return                      # this machine's Python has but one
        calls = [PYLINT] if kind else sanity_calls(test.targets, test.own, which, alone)
        apart.part('sanity, ansible-core %s%s' % (test.core, kind and ', ' + kind), sanity_part, apart, test, calls)


# Pylint takes as long as all the others, so it is a part of its own; that of the newest core judges the same files by stricter rules.
# Our tests and tools are judged by ruff, and with LIFEBOAT_SOAK by pylint, too.
PYLINT = ['--test', 'pylint'] + ([] if SOAK else ['plugins/'])


# Of these the newest core brings the newer judge, and they do not look at what a core does: once is enough.
ONCE = ('changelog', 'pep8', 'yamllint')


def sanity_calls(targets, own, which, alone=False):
    """Options of the calls of ansible-test that are all of its tests but pylint; of the oldest core (WHICH is 0) without those of ONCE.
    Every file is compiled by every Python that is here. To import each file alone takes longest: the oldest Python does it with the oldest
    core (integration has the oldest that the newest core manages), and each core's own: TARGETS are their versions in rising order, OWN is
    that of the controller. ALONE: there is no other core. LIFEBOAT_SOAK: everything."""
    apart = ('pylint', 'import') + (() if which or SOAK else ONCE)
    others = [word for each in apart for word in ('--skip-test', each)]
    if SOAK:
        return [others, ['--test', 'import']]
    oldest = [] if which and not alone else targets[:1]
    return [others] + [['--test', 'import', '--python', each] for each in dict.fromkeys(oldest + [own])]


def integration(run, which, share):
    """The managed Python is the oldest that the ansible-core supports. WHICH: 0 is the oldest core, 1 the newest. SHARE of the targets:
    'rescues', 'roles', 'modules', which together are all of them, or 'few', what leans most on an ansible-core (LIFEBOAT_SOAK: all)."""
    apart = copy.copy(run)
    requirements, python = cores(run)[which]
    # on the disk of the checkout, as dead hosts with all their attributes are made in it
    apart.top = os.path.join(envs.VENV, 'tree-%s-%s' % (requirements, share))
    apart.collection = tree.build(apart.top)
    test = AnsibleTest(apart, requirements, python)
    target = test.targets[0] if test.targets else test.own
    apart.part('integration of %s, ansible-core %s on %s, managed %s' % (SHARES_OF_TARGETS[share], test.core, test.own, target),
               integration_part, apart, test, target, targets(apart.collection, share))


def targets(collection, share):
    """Names of the integration targets that belong to SHARE, see :func:`integration`."""
    where = os.path.join(collection, 'tests', 'integration', 'targets')
    found = [name for name in sorted(os.listdir(where)) if not name.startswith('setup_')]
    if share == 'few':
        return found if SOAK else [name for name in found if name in FEW_TARGETS]
    return [name for name in found if share == ('rescues' if name.startswith('role_rescue') else 'roles' if name.startswith('role_') else 'modules')]


def lint(run):
    # a tree of its own: judges leave caches in it, which others would judge; and not inside another collection,
    # where the checkout may lie and ansible-doc finds no roles
    apart = copy.copy(run)
    with tempfile.TemporaryDirectory(prefix='lint-') as apart.top:
        apart.collection = tree.build(apart.top)
        for name, function in linting.PARTS:
            apart.part('lint, ' + name, function, apart)


PARTS: Dict[str, Callable[..., None]] = {
    'units oldest': units_oldest, 'units newest': functools.partial(units_newest, half=0),
    'units newest rooms': functools.partial(units_newest, half=1), 'units conformance': units_conformance, 'kernel': kernel,
    'machines': machines, 'delivery': functools.partial(delivery, share=''),
    'delivery fleets': functools.partial(delivery, share='fleets'), 'delivery nodes': functools.partial(delivery, share='nodes'),
    'lint': lint, 'soak': soak}
for _number, _which in enumerate(('oldest', 'newest')):
    PARTS['sanity ' + _which] = functools.partial(sanity, which=_number)
PARTS['integration oldest'] = functools.partial(integration, which=0, share='few')
PARTS['integration newest'] = functools.partial(integration, which=1, share='modules')
PARTS['integration roles'] = functools.partial(integration, which=1, share='roles')
PARTS['integration rescues'] = functools.partial(integration, which=1, share='rescues')
PARTS['sanity pylint'] = functools.partial(sanity, which=1, kind='pylint')
for _share in SHARES:
    PARTS['engines ' + _share] = functools.partial(engines, share=_share)
# Several at a time if there is a second processor, and one more than there are processors, since some wait more than they work, and another
# while the processors have nothing to do. First what fails most often and what takes longest, and those that may not run beside each other;
# last what is short, so that all end at about the same time. Who is free takes the next one.
ORDER = ('lint', 'integration newest', 'delivery', 'units newest rooms', 'engines drivers', 'units newest', 'delivery fleets', 'engines own',
         'integration roles', 'engines databases', 'units oldest', 'engines newer', 'integration rescues', 'engines chance', 'engines debian',
         'delivery nodes', 'engines podman', 'sanity oldest', 'engines containerd', 'sanity newest', 'sanity pylint', 'integration oldest',
         'engines repair', 'kernel', 'engines kube', 'units conformance')
MOST = 6                                # at a time, whatever the machine has
# (parts, how many of them at a time): look whether something of a delivery is left in /tmp of this machine; install into one environment;
# daemons that all start at once get in each other's way
APART = (({'delivery', 'delivery fleets', 'delivery nodes'}, 1), ({'integration newest', 'integration roles', 'integration rescues'}, 1),
         ({'engines ' + share for share in SHARES}, 2))


def chosen(asked):
    """The parts that the words of the command line mean, in the order in which they begin."""
    found = [name for name in ORDER if name in asked or name.split()[0] in asked]
    return found + [name for name in asked if name in PARTS and name not in found]


def at_a_time(names, processors):
    """How many parts run at a time."""
    return min(len(names), processors + 1, MOST) if processors > 1 else 1


def verdict_env(run):
    """An environment with a pytest for the closing line: that of the unit tests if they have run, else one that is made quickly."""
    python = newest_python(run)
    own = envs.interpreter(python)
    name = 'controller-%s' % version(tuple(own[1][:2])) if own else ''
    if os.path.exists(os.path.join(envs.VENV, name, 'made-from')):
        return envs.make(['ansible', 'units'], python, name)
    return envs.make(['units'], python, 'verdict')


def main():
    asked = sys.argv[1:]
    if not asked or not set(asked) <= set(PARTS) | {name.split()[0] for name in PARTS}:
        sys.exit(__doc__)
    began = time.time()
    os.makedirs(envs.VENV, exist_ok=True)
    with open(os.path.join(envs.VENV, 'check.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(RESULTS, ignore_errors=True)
        os.makedirs(RESULTS)
        run = Run()
        names = chosen(asked)
        parts, several = lanes.Queue(names, APART), at_a_time(names, os.cpu_count() or 1)
        threads = [threading.Thread(target=run.lane, args=(parts,)) for dummy in range(several)]
        if 1 < several < MOST:
            threads.append(threading.Thread(target=run.lane, args=(parts.each(lanes.idle),)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pytest = os.path.join(verdict_env(run), 'bin', 'pytest')
        sys.exit(cases.close(run.cases, time.time() - began, pytest, RESULTS))


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)
