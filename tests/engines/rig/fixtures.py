"""Fixtures, a plugin of pytest: dead data roots of real engines, each built once a session, and healthy empty engines.

Where an engine cannot run (no root, not Linux, nothing installed) its tests are skipped and one plain line says so at
the end; in CI (`CI=true`) that is a failure. `LIFEBOAT_ENGINE_KINDS=a,b` runs only some kinds, outside of CI;
`LIFEBOAT_ENGINES_SHARE=a` one of the shares of shares.py.
"""
import contextlib
import os
import shutil
import tempfile

import pytest

from . import dead, engine as engines, kube, livepodman, podman, shares, writers
from .common import NotHere

DEAD_KINDS = ('debian-overlay2', 'newer-overlay2', 'newer-containerd', 'newer-containerd-packaged')
OTHER_KINDS = ('debian-userns', 'debian-rootless', 'debian-vfs', 'debian-btrfs')
LIVE_KINDS = ('debian-overlay2', 'newer-overlay2', 'newer-containerd')
IN_CI = os.environ.get('CI', '').lower() in ('1', 'true', 'yes')
# One kind differs from another only by where containerd has its root. What these files ask of both is asked of that one with LIFEBOAT_SOAK.
SAME, ASKED_ONCE = 'newer-containerd-packaged', ('test_rescue', 'test_tool')
# kind -> why it cannot run here, for the closing lines
_NOT_HERE = {}


def wanted(kinds):
    """Those of KINDS that this run is to have."""
    chosen = os.environ.get('LIFEBOAT_ENGINE_KINDS', '')
    if IN_CI or not chosen:
        return list(kinds)
    return [kind for kind in kinds if kind in chosen.split(',')]


def program(name):
    """Path of a program that tests need beside the engines. Without it they are skipped, in CI they fail."""
    found = shutil.which(name)
    if not found:
        if IN_CI:
            pytest.fail('%s is not installed in CI' % name, pytrace=False)
        pytest.skip('%s is not installed here' % name)
    return found


def some(cases, more):
    """CASES, one of each sort; with LIFEBOAT_SOAK MORE of them, too."""
    return tuple(cases) + (tuple(more) if os.environ.get('LIFEBOAT_SOAK') else ())


@contextlib.contextmanager
def or_say(kind):
    """Turn "cannot run here" into a skipped test, in CI into a failed one. What is wrong otherwise stays an error."""
    try:
        if kind in _NOT_HERE:
            raise NotHere(_NOT_HERE[kind])
        yield
    except NotHere as why:
        _NOT_HERE[kind] = str(why)
        if IN_CI:
            pytest.fail('the engine %s does not run in CI: %s' % (kind, why), pytrace=False)
        pytest.skip('the engine %s does not run here: %s' % (kind, why))


def asked_elsewhere(item):
    """Is it a test that LIFEBOAT_SOAK has, and asked here of another kind?"""
    parameters = getattr(getattr(item, 'callspec', None), 'params', {})
    return not os.environ.get('LIFEBOAT_SOAK') and item.path.stem in ASKED_ONCE and parameters.get('dead_root') == SAME


def pytest_collection_modifyitems(config, items):
    """Leave out tests that only a soak has cases for; and of a run that is to have one share only, the tests of the others."""
    empty = [item for item in items if asked_elsewhere(item) or any(
        'empty parameter set' in mark.kwargs.get('reason', '') for mark in item.iter_markers('skip'))]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]
    share = os.environ.get('LIFEBOAT_ENGINES_SHARE', '')
    if not share:
        return
    if share not in shares.SHARES:
        raise pytest.UsageError('LIFEBOAT_ENGINES_SHARE is none of %s: %s' % (', '.join(shares.SHARES), share))
    ours = [item for item in items if shares.share_of(item.name, item.fixturenames) == share]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours


def pytest_terminal_summary(terminalreporter):
    """One plain line for each kind of engine that could not run."""
    for kind, why in sorted(_NOT_HERE.items()):
        terminalreporter.write_line('engine %s did not run: %s' % (kind, why))


@pytest.fixture(scope='session')
def dead_root_of():
    """dead_root_of(kind): the DeadRoot of any kind of rig.engine.KINDS, built once a session. Do not write into it."""
    roots, failures = {}, {}
    with contextlib.ExitStack() as stack:
        def get(kind):
            with or_say(kind):
                if kind in failures:  # a second attempt would only take its time again
                    raise failures[kind]
                if kind not in roots:
                    try:
                        root, engine = dead.build(kind)
                    except NotHere:
                        raise
                    except Exception as why:
                        failures[kind] = why
                        raise
                    stack.callback(engine.close)
                    roots[kind] = root
            return roots[kind]
        yield get


@contextlib.contextmanager
def once(build):
    """Gives get(kind): what BUILD(kind) makes, once; closed at the end."""
    roots = {}
    with contextlib.ExitStack() as stack:
        def get(kind):
            with or_say(kind):
                if kind not in roots:
                    roots[kind] = build(kind)
                    stack.callback(roots[kind].close)
            return roots[kind]
        yield get


@pytest.fixture(scope='session')
def dead_podman_of():
    """dead_podman_of(kind): the rig.podman.DeadPodman of any of its KINDS, built once a session. Do not write into it."""
    with once(podman.build) as get:
        yield get


@pytest.fixture
def start_podman():
    """start_podman(kind): a started, empty rig.livepodman.LivePodman of any of its KINDS, taken away after the test."""
    with _starter(livepodman.LivePodman) as start:
        yield start


@pytest.fixture(scope='session')
def dead_kube_of():
    """dead_kube_of(kind): the rig.kube.DeadKube of any of its KINDS, built once a session. Do not write into it."""
    with once(kube.build) as get:
        yield get


@pytest.fixture(scope='session', params=wanted(DEAD_KINDS))
def dead_root(request, dead_root_of):
    """The DeadRoot (rig/dead.py) of each main kind of engine, after its kill -9. Do not write into it."""
    return dead_root_of(request.param)


@pytest.fixture(scope='session')
def dead_databases():
    """rig.writers.Killed: an engine that died while real databases wrote, built once a session. Do not write into it."""
    with contextlib.ExitStack() as stack:
        with or_say('debian-overlay2 with databases'):
            killed = writers.kill_while_they_write(stack)
        yield killed


@contextlib.contextmanager
def _starter(make):
    """Gives start(kind): what MAKE(kind) is, started; closed at the end."""
    with contextlib.ExitStack() as stack:
        def start(kind):
            with or_say(kind):
                engine = make(kind)
                stack.callback(engine.close)
                return engine.start()
        yield start


@pytest.fixture
def start_engine():
    """start_engine(kind): a healthy, empty, running Engine (rig/engine.py), which is gone after the test."""
    with _starter(engines.Engine) as start:
        yield start


@pytest.fixture(scope='module')
def start_engine_once():
    """The same for the tests of a module: it is gone after the last of them."""
    with _starter(engines.Engine) as start:
        yield start


@pytest.fixture(params=wanted(LIVE_KINDS))
def live_engine(request, start_engine):
    """A healthy, empty, running Engine of each kind: engine.docker(*args) talks to it, engine.socket is its API."""
    return start_engine(request.param)


@pytest.fixture
def disk_dir():
    """A new folder on the disk that also holds the engines (tmp_path may be in memory and know no such xattrs)."""
    path = tempfile.mkdtemp(prefix='lb-test-', dir=engines.scratch_parent())
    yield path
    shutil.rmtree(path)
