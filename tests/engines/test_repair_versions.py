"""A root that a daemon of one version made and a daemon of another one used: its records are of both. LIFEBOAT_SOAK only."""
import contextlib
import os
import shutil

import breaking
import pytest
from breaking import GROUPS, Broken
from rig import dead, engine as engines, fixtures
from telling import said, started
from test_repair import compare, containerd_of, repair, startable_with, state

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

PAIRS = (('debian-overlay2', 'newer-overlay2'), ('newer-overlay2', 'debian-overlay2'), ('debian-overlay2', 'trixie-overlay2'),
         ('trixie-overlay2', 'newer-overlay2'))
CASES = [pair for pair in PAIRS if set(pair) <= set(fixtures.wanted(sum(PAIRS, ())))] if os.environ.get('LIFEBOAT_SOAK') else []


@contextlib.contextmanager
def used_by_both(first, second):
    """(engine of the kind SECOND that was killed, what engine FIRST said when the root was built): one root, at one place."""
    with contextlib.ExitStack() as stack:
        root, builder = dead.build(first, fill=breaking.fill)
        stack.callback(builder.close)
        engine = stack.enter_context(engines.Engine(second))
        os.rmdir(engine.data_root)
        dead.copy_tree(root.data_root, engine.data_root)
        yield engine, root.truth


@pytest.mark.parametrize('first, second', CASES)
def test_records_of_two_versions(first, second, monkeypatch):
    """The plan is empty after the guard, and what breaks then is repaired and undone as on a root of one version."""
    monkeypatch.setitem(engines.KINDS, second, engines.KINDS[second]._replace(data_root=engines.KINDS[first].data_root))
    with fixtures.or_say(first), used_by_both(first, second) as (engine, truth):
        repair(engine, run.GUARDED)
        engine.start()
        startable = started(engine, [truth['containers'][name]['inspect']['Id'] for name in truth['containers']])
        engine.kill()
        engine.start()                  # what it says of what it had started itself
        before = said(engine)
        assert set(before['containers']) == startable and len(startable) == 7
        engine.kill()
        shutil.rmtree(engine.data_root + '.lifeboat-repair')    # what the engine wrote since is not to be undone
        looked = repair(engine, verify='offline')
        assert (looked['plan'], looked['unresolved'], looked['hidden']) == ([], [], [])
        assert set(looked['verified']['containers'].values()) == {'complete'}
        one, broken = breaking.together(GROUPS['records']), Broken(engine.host_root, engine.data_root, containerd_of(engine), truth)
        one.hurt(broken)
        hurt_state = state(engine)
        options = {'names': {broken.id(name)[:12]: name for name in one.lost}, 'steps': list(one.steps)}
        repair(engine, **options)
        assert repair(engine, run.PLANNED, **options)['plan'] == []
        assert repair(engine, run.REVERTED)['unresolved'] == [] and state(engine) == hurt_state
        repair(engine, **options)
        engine.start()
        # it did not run at the end: no runtime spec tells its command any more
        without_spec = one._replace(lost={name: keys | {'Path', 'Args'} for name, keys in one.lost.items()})
        compare(said(engine), before, without_spec, broken)
        expected = startable_with(broken, one, startable)
        assert started(engine, sorted(expected)) == expected
