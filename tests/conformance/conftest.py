"""The suite that every engine has to pass, whatever driver and store it has. See subject.py: an engine is one adapter.

LIFEBOAT_CONFORMANCE: `built` takes only hosts that a builder made (no root, no engine: part of `make units`), `real` only those
of real engines (part of `make engines`); otherwise both.
"""
import contextlib
import os
import shutil
import tempfile

import cases
import pytest
import rescued
from docker_built import BuiltDocker
from docker_killed import KilledDocker
from kube_built import BuiltKubernetes, BuiltNerdctl
from kube_killed import KilledKubernetes, KilledNerdctl
from podman_built import BuiltPodman
from podman_killed import KilledPodman

BUILT, REAL = (BuiltDocker, BuiltPodman, BuiltKubernetes, BuiltNerdctl), (KilledDocker, KilledPodman, KilledKubernetes, KilledNerdctl)
CHOICE = os.environ.get('LIFEBOAT_CONFORMANCE', '')
# kind -> another kind of the same store and driver. A damage that both have is tried on that one, and only FEW of them here as well;
# LIFEBOAT_SOAK: all on both.
TWINS = {} if os.environ.get('LIFEBOAT_SOAK') else {'newer-overlay2': 'debian-overlay2', 'newer-containerd-packaged': 'newer-containerd'}
FEW = 6


def pytest_configure(config):
    """By name, so that the roots are built once when tests/engines is run with these tests."""
    if CHOICE != 'built':
        config.pluginmanager.import_plugin('rig.fixtures')


def adapters():
    """[(adapter, kind)] of this run."""
    found = [] if CHOICE == 'real' else [(adapter, kind) for adapter in BUILT for kind in adapter.KINDS]
    if CHOICE != 'built':
        from rig import fixtures
        found += [(adapter, kind) for adapter in REAL for kind in fixtures.wanted(adapter.KINDS)]
    return found


def damages(table, kind, kinds):
    """Names of the damages of TABLE that are tried on KIND, in a run that has KINDS."""
    def working(one):
        return [name for name, damage in sorted(table.items()) if damage.works_on is None or one in damage.works_on]
    names, twin = working(kind), TWINS.get(kind)
    both = [name for name in names if name in working(twin)] if twin in kinds else []
    left = set(both) - set(cases.spread(both, FEW))
    return [name for name in names if name not in left]


def pytest_generate_tests(metafunc):
    """`subject`: each subject. `case` with it: each of its DAMAGES, `blinding` each of its BLINDING, that works there."""
    if 'subject' not in metafunc.fixturenames:
        return
    for argument, table in (('case', 'DAMAGES'), ('blinding', 'BLINDING')):
        if argument in metafunc.fixturenames:
            found = adapters()
            chosen = [((adapter, kind), name) for adapter, kind in found
                      for name in damages(getattr(adapter, table), kind, [other for dummy, other in found])]
            metafunc.parametrize('subject,' + argument, chosen, indirect=['subject'], scope='session',
                                 ids=['%s-%s' % (pair[1], name) for pair, name in chosen])
            return
    metafunc.parametrize('subject', adapters(), indirect=True, scope='session', ids=[kind for dummy, kind in adapters()])


@pytest.fixture(scope='session')
def built_subjects():
    return {}


@pytest.fixture(scope='session')
def subject(request, built_subjects):
    """A subject.Subject, built once a session. Do not write into it."""
    adapter, kind = request.param
    if kind not in built_subjects:
        built_subjects[kind] = adapter.build(kind, request)
    return built_subjects[kind]


@pytest.fixture(scope='session')
def once():
    """once(key, make): what make() returned the first time."""
    made = {}

    def get(key, make):
        if key not in made:
            made[key] = make()
        return made[key]
    return get


@pytest.fixture
def facts(subject, once):
    """The facts with everything in them."""
    return once((subject.name, 'facts'), lambda: rescued.gather(subject, gather_subset=['all', '!databases'], changes_limit=0))


@pytest.fixture
def rescue(subject):
    """(result, dest, state of the source before and after) of one rescue of everything."""
    return rescued.everything(subject, subject.compression)


@pytest.fixture(scope='session')
def copies():
    """copies(subject, gather): (a copy that tests may damage, its facts while it is whole). At the end it must be whole again."""
    made = {}
    with contextlib.ExitStack() as stack:
        def get(subject, gather):
            if subject.name not in made:
                target = os.path.join(subject.scratch, 'damaged-copy')
                copy = subject.copy(target)
                stack.callback(shutil.rmtree, target)
                made[subject.name] = copy, gather(copy), gather
            return made[subject.name][:2]
        yield get
        for copy, whole, gather in made.values():
            assert gather(copy) == whole, 'a test did not put everything back: %s' % copy.name


@pytest.fixture
def disk_dir(subject):
    """A new folder on the disk that holds the subject (tmp_path may be in memory and know no such xattrs)."""
    path = tempfile.mkdtemp(dir=subject.scratch)
    yield path
    shutil.rmtree(path)
