"""Break the data root of a real engine, repair it, start the same engine on it, and compare with an unbroken one.

The control is the same dead root with nothing but the guard: what a start deletes or starts is held in both.
LIFEBOAT_SOAK=1 breaks each record alone too; LIFEBOAT_SOAK=N breaks N combinations by chance and kills N repairs; LIFEBOAT_SOAK_FROM=S: of the
seeds from S on. A seed and a kind of engine always make the same combination.
"""
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, NamedTuple, Set

import breaking
import pytest
from breaking import BREAKS, GROUPS, Broken
from rig import dead, engine as engines, fixtures, listing, newer, scenario
from telling import right, said, started

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import journal, run, trial

SOAK, FROM = int(os.environ.get('LIFEBOAT_SOAK') or 0), int(os.environ.get('LIFEBOAT_SOAK_FROM') or 0)
SEEDS = range(FROM, FROM + (SOAK or 1))
KINDS = fixtures.wanted(('debian-overlay2', 'newer-overlay2', 'newer-containerd') + (('newer-containerd-packaged', 'trixie-overlay2') if SOAK else ()))
STORE = {kind: 'containerd' if engines.KINDS[kind].store == 'containerd' else 'graph' for kind in engines.KINDS}
ORDER = {'complete': 0, 'partial': 1, 'unsupported': 2, 'lost': 3, 'gone': 4}
CASES = [(kind, name) for kind in KINDS for name in sorted(breaking.groups_for(STORE[kind], SOAK))]
ALONE = [(kind, name) for kind in KINDS for name in breaking.names_for(STORE[kind])] if SOAK else []
KILLS = [(KINDS[seed % len(KINDS)], seed) for seed in SEEDS] if KINDS else []
CHANCE = KILLS if SOAK > 1 else []
# folders whose entries are never the engine's own to delete at a start
KEPT = ('containers', 'volumes', 'overlay2', 'image/overlay2/imagedb/content/sha256', 'image/overlay2/layerdb/sha256', 'image/overlay2/layerdb/mounts')
KEPT_OF_STORE = ('io.containerd.content.v1.content/blobs/sha256', 'io.containerd.snapshotter.v1.overlayfs/snapshots')


class Control(NamedTuple):
    """An unbroken root with the guard, and what the engine said of it."""
    said: Dict[str, Any]
    startable: Set[str]                 # containers that it can start
    statuses: Dict[str, str]            # of our own inventory
    kept: Set[str]                      # entries() after the start


@contextlib.contextmanager
def engine_on(root):
    """An engine that is not started, whose disk has copies of the data of ROOT (DeadRoot)."""
    with engines.Engine(root.kind) as engine:
        for name in ('var/lib', 'srv'):
            target = os.path.join(engine.host_root, name)
            shutil.rmtree(target)
            dead.copy_tree(os.path.join(root.host_root, name), target)
        yield engine


def broken_on(engine, root):
    return Broken(engine.host_root, engine.data_root, containerd_of(engine), root.truth)


def containerd_of(engine):
    """Root of the containerd that serves it, whatever it holds."""
    return engine.outside('/var/lib/containerd') if engine.kind.packaged else os.path.join(engine.data_root, 'containerd/daemon')


def state(engine):
    """Everything below the data root, containerd's, /etc and /run but how files lie on their disk: holes of a file are written as zeros when it is put back."""
    places = [engine.data_root, engine.outside('/etc'), engine.outside('/run')] + ([engine.outside('/var/lib/containerd')] if engine.kind.packaged else [])
    return [{key: value for key, value in item.items() if key != 'allocated'} for place in places for item in listing.listing(place)]


def repair(engine, state=run.REPAIRED, **more):
    return run.run(run.Request(state=state, host_root=os.fsencode(engine.host_root), **more))


def statuses(engine):
    """{container: status} of our own inventory."""
    result = repair(engine, run.GUARDED, steps=['!all'], verify='offline')
    assert not result['changed']
    return result['verified']['containers']


@pytest.fixture(scope='module')
def small_root_of():
    """small_root_of(kind): DeadRoot of a small shop, built once a module. Do not write into it."""
    roots = {}
    with contextlib.ExitStack() as stack:
        def get(kind):
            with fixtures.or_say(kind):
                if kind not in roots:
                    roots[kind], engine = dead.build(kind, fill=breaking.fill)
                    stack.callback(engine.close)
                return roots[kind]
        yield get


@pytest.fixture(scope='module')
def control(small_root_of):
    """control(kind): Control."""
    made = {}

    def get(kind):
        if kind not in made:
            with engine_on(small_root_of(kind)) as engine:
                result = repair(engine, run.GUARDED, verify='offline')
                assert result['changed'] and repair(engine, run.PLANNED)['plan'] == []
                engine.start()
                with pytest.raises(LifeboatError, match='in use'):
                    repair(engine)
                assert 'ROOT_IN_USE' in [item['code'] for item in repair(engine, run.PLANNED)['problems']]
                names = [row['Id'] for row in engine.api('GET', '/containers/json', all='true')]
                kept = entries(engine)
                made[kind] = Control(said(engine), started(engine, names), result['verified']['containers'], kept)
                assert len(made[kind].startable) == len(names) == 7
        return made[kind]
    return get


def compare(now, before, one, broken):
    allowed = {broken.id(name): keys for name, keys in one.lost.items()}
    for what in ('diff', 'export', 'images', 'volumes', 'networks'):
        if what in one.forgiven:
            # values may be lost, names that the engine does not make itself not: but networks lie in that file alone
            assert set(now[what]) == set(before[what]) or what == 'networks', what
        else:
            assert now[what] == before[what], what
    assert set(now['containers']) == set(before['containers'])
    for ident, inspect in before['containers'].items():
        different = {key for key in inspect if now['containers'][ident].get(key) != inspect[key]}
        assert different <= allowed.get(ident, set()), (ident, different)


def startable_with(broken, one, startable):
    """A container of a network that is lost is not startable."""
    return startable - ({broken.id(breaking.NET)} if 'networks' in one.forgiven else set())


def prove(root, control_of, one):
    """The break ONE of a copy of ROOT: repaired, undone byte for byte, repaired again; then the engine tells of all that it had."""
    before, startable, whole, dummy = control_of
    with engine_on(root) as engine:
        broken = broken_on(engine, root)
        try:
            one.hurt(broken)
        except breaking.Impossible as why:
            pytest.skip('not possible on %s: %s' % (root.kind, why))
        hurt_state = state(engine)
        options = {'names': {broken.id(name)[:12]: name for name in one.lost}, 'steps': list(one.steps),
                   'donors': [os.fsencode(root.data_root)] if one.donor else []}
        result = repair(engine, verify='offline', **options)
        assert {item['code'] for item in result['unresolved']} <= set(one.open), result['unresolved']
        assert sorted(result['verified']['containers'].values()) == sorted(whole.values())
        assert repair(engine, run.PLANNED, **options)['plan'] == []
        assert repair(engine, run.REVERTED)['unresolved'] == []
        assert state(engine) == hurt_state
        repair(engine, **options)
        engine.start()
        compare(said(engine), before, one, broken)
        expected = startable_with(broken, one, startable)
        assert started(engine, sorted(expected)) == expected


@pytest.mark.parametrize('kind, name', CASES)
def test_the_engine_starts_again(small_root_of, control, kind, name):
    prove(small_root_of(kind), control(kind), breaking.together(breaking.groups_for(STORE[kind], SOAK)[name]))


@pytest.mark.parametrize('store', ['graph', 'containerd'])
def test_every_break_is_in_a_group(store):
    assert {name for names in breaking.groups_for(store, True).values() for name in names} == set(breaking.names_for(store))


@pytest.mark.parametrize('kind, name', ALONE)
def test_one_break_alone(small_root_of, control, kind, name):
    prove(small_root_of(kind), control(kind), BREAKS[name])


def entries(engine):
    """Paths of all records, layers, blobs and data of volumes: what a start of the engine or a repair must not delete."""
    found = set()
    for top, names in ((engine.data_root, KEPT), (containerd_of(engine), KEPT_OF_STORE)):
        for name in names:
            for folder, folders, files in os.walk(os.path.join(top, name)):
                folders[:] = [one for one in folders if one != 'merged' or name != 'overlay2']   # a mount point: the driver makes and removes it
                found.update(os.path.relpath(os.path.join(folder, one), engine.host_root) for one in folders + files)
    return found


def chance_of(kind, seed):
    """Always the same chance for a KIND and a SEED."""
    return random.Random('%s %d' % (kind, seed))


def broken_by_chance(broken, kind, chance):
    """Names of the 2 to 11 breaks that were done to a root."""
    names, done = breaking.names_for(STORE[kind]), []
    chance.shuffle(names)
    wanted = chance.randint(2, 11)
    for name in names:
        with contextlib.suppress(OSError, ValueError):      # what another one took away already
            BREAKS[name].hurt(broken)
            done.append(name)
        if len(done) == wanted:
            break
    return done


def told_without_repair(root, hurt):
    """What an engine tells on the same broken root with nothing but the guard; None if it does not start."""
    with engine_on(root) as engine:
        hurt(broken_on(engine, root))
        try:
            repair(engine, run.GUARDED)
            engine.start()
        except (engines.NotHere, LifeboatError):
            return None
        return said(engine, damaged=True)


def by_id(told, truth):
    """{container: status} of what our inventory says of those in TRUTH, whatever they are called; `gone` without a word of one."""
    found = {}
    for name, container in truth['containers'].items():
        ident = container['inspect']['Id']
        found[name] = told.get(name) or next((status for other, status in told.items() if other.endswith(ident[:12])), 'gone')
    return found


@pytest.mark.parametrize('kind, seed', CHANCE)
def test_breaks_by_chance(small_root_of, control, kind, seed):
    """Nothing is worse than without the repair, the undo is exact, a second plan is empty, and the next start deletes nothing."""
    root = small_root_of(kind)

    def options_for(done):
        if not seed % 2:
            return {}
        return {'steps': sorted({step for name in done for step in BREAKS[name].steps}),     # all that is known is named
                'donors': [os.fsencode(root.data_root)] if STORE[kind] == 'graph' else []}
    judge(root, control(kind), 'CHANCE %s %d' % (kind, seed), lambda broken: broken_by_chance(broken, kind, chance_of(kind, seed)), options_for)


def judge(root, unbroken, label, hurt, options_for, may_refuse=False):
    """HURT(broken) -> names of what was broken; the repair with OPTIONS_FOR(names) must make nothing worse. UNBROKEN: Control."""
    without = told_without_repair(root, hurt)
    with engine_on(root) as engine:
        done = hurt(broken_on(engine, root))
        there, hurt_state, options = entries(engine), state(engine), options_for(done)
        try:
            before = by_id(statuses(engine), root.truth)
        except LifeboatError as why:
            assert may_refuse and 'nothing was done' in str(why) and state(engine) == hurt_state, (done, why)
            print('\n%s | %s | refused: %s' % (label, '; '.join(done), why))
            return
        result = repair(engine, verify='offline', **options)
        after = by_id(result['verified']['containers'], root.truth)
        assert all(ORDER[after[name]] <= ORDER[status] for name, status in before.items()), (done, before, after)
        assert [step for step in repair(engine, run.PLANNED, **options)['plan'] if step['selected']] == [], done
        assert repair(engine, run.REVERTED)['unresolved'] == [], done
        assert state(engine) == hurt_state, done
        repair(engine, **options)
        held, open_ones = entries(engine), sorted({one['code'] for one in result['unresolved'] + result['plan'] if not one.get('selected')})
        now = None
        try:
            engine.start()
        except engines.NotHere as why:
            assert open_ones, (done, why)
        else:
            now = said(engine, damaged=bool(open_ones))
        report(label, done, unbroken.said, without, now, open_ones)
        assert_not_worse(root, done, unbroken.said, without, now)
        gone = (held - entries(engine)) & unbroken.kept         # what it empties at every start is no loss
        assert not gone, (done, sorted(gone))
        moved = {os.path.relpath(os.path.join(engine.data_root, step['path']), engine.host_root) for step in result['plan']}
        gone = (there - held) & unbroken.kept - moved
        assert not gone, (done, sorted(gone))
        if now and not open_ones:
            assert_some_start(engine, root, done, unbroken, label)


def assert_some_start(engine, root, done, unbroken, seed):
    """Two of the containers that can be started; not the one of a network that is lost."""
    lost = any('networks' in BREAKS[name].forgiven for name in done if name in BREAKS)
    possible = sorted(unbroken.startable - ({root.truth['containers'][breaking.NET]['inspect']['Id']} if lost else set()))
    some = random.Random(seed).sample(possible, 2)
    assert started(engine, some) == set(some), done


def assert_not_worse(root, done, before_all, without, now):
    """What an engine tells rightly without the repair, it tells rightly after it. Values that a named choice changes are no loss."""
    if without is not None:
        assert now is not None, (done, 'it does not start any more')
        lost = {('containers', root.truth['containers'][name]['inspect']['Id'], key)
                for each in done if each in BREAKS for name, keys in BREAKS[each].lost.items() for key in keys}
        worse = right(without, before_all) - right(now, before_all) - lost
        assert not worse, (done, sorted(worse))


def report(label, done, before_all, without, now, open_ones):
    """One line for a table of what was seen."""
    whole = len(right(before_all, before_all))
    shown = ['does not start' if told is None else '%d/%d containers, %d/%d values' % (
        len(told['containers']), len(before_all['containers']), len(right(told, before_all)), whole) for told in (without, now)]
    print('\n%s | %s | without: %s | with: %s | open: %s' % (label, '; '.join(done), *shown, ' '.join(open_ones)))


@pytest.mark.parametrize('kind, seed', KILLS)
def test_a_repair_that_is_killed_is_finished_or_undone(small_root_of, kind, seed):
    """kill -9 at a moment of the apply, any step of it."""
    root, chance = small_root_of(kind), chance_of(kind, seed + 100000)
    with engine_on(root) as engine:
        done = broken_by_chance(broken_on(engine, root), kind, chance)
        hurt_state, kept = state(engine), os.fsencode(engine.data_root + '.lifeboat-repair')
        planned = sum(step['selected'] for step in repair(engine, run.PLANNED)['plan'])
        tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = 'import conftest\nfrom %s import run\nrun.run(run.Request("repaired", %r))' % (run.__package__, os.fsencode(engine.host_root))
        moment = chance.randint(0, max(planned - 1, 0))    # steps that are begun before
        with subprocess.Popen([sys.executable, '-c', code], env=dict(os.environ, PYTHONPATH=tests)) as child:
            while child.poll() is None and journal_lines(kept) < moment + 2:
                time.sleep(0.0005)
            time.sleep(chance.random() * 0.01)
            child.kill()
        assert journal.exists(kept), done
        reached = journal_lines(kept)
        print('\nKILL %s %d | %s | after %d of %d steps, exit %d' % (kind, seed, '; '.join(done), max(0, reached - 2), planned, child.returncode))
        if seed % 2:
            repair(engine)
            assert [step for step in repair(engine, run.PLANNED)['plan'] if step['selected']] == [], done
        assert repair(engine, run.REVERTED)['unresolved'] == [], done
        assert state(engine) == hurt_state, done


def journal_lines(kept):
    """How many lines the journal in KEPT has: one of the version, one of the begin, one each step, one of the end."""
    try:
        with open(os.path.join(kept, journal.NAME), 'rb') as stream:
            return stream.read().count(b'\n')
    except FileNotFoundError:
        return 0


def test_without_the_repair_it_does_not_start(small_root_of):
    """The breaks are real ones: the same engine ends, or hides containers."""
    for kind in KINDS[:1]:
        with engine_on(small_root_of(kind)) as engine:
            breaking.together(GROUPS['store' if STORE[kind] == 'containerd' else 'records']).hurt(broken_on(engine, small_root_of(kind)))
            with pytest.raises(engines.NotHere):
                engine.start()


@pytest.mark.parametrize('kind', KINDS if SOAK else KINDS[:1])
def test_a_build_cache_beside_which_there_is_no_place(small_root_of, kind):
    """With a journal on another file system, as where the data root is a disk of its own: the databases go, and the engine starts."""
    place = '/dev/shm/lifeboat-repair-%d' % os.getpid()
    with engine_on(small_root_of(kind)) as engine:
        assert os.stat('/dev/shm').st_dev != os.stat(engine.data_root).st_dev
        BREAKS['all of buildkit garbage'].hurt(broken_on(engine, small_root_of(kind)))
        hurt_state, options = state(engine), {'journal_dir': os.fsencode(place)}
        try:
            assert repair(engine, **options)['unresolved'] == []
            assert os.path.isdir(os.path.join(engine.data_root, 'buildkit')) and repair(engine, run.PLANNED, **options)['plan'] == []
            assert repair(engine, run.REVERTED, **options)['unresolved'] == [] and state(engine) == hurt_state
            repair(engine, **options)
        finally:
            shutil.rmtree(place)
        engine.start()
        assert len(engine.api('GET', '/containers/json', all='true')) == 7
        engine.build(scenario._context('FROM %s\nRUN echo new > /new\n' % breaking.BASE), 'again:1', buildkit=True)


def trial_of(engine, monkeypatch, **more):
    """What an engine of the same version says of a copy of the records."""
    if engine.kind.newer:               # its programs are those of the tree
        tree = os.path.join(newer.ensure_tree(suite=engine.kind.suite), 'usr')
        monkeypatch.setattr(trial, '_ENTER', trial._ENTER.replace('\ntimeout', '\nmount --bind %s /usr\ntimeout' % tree))
    return repair(engine, run.PLANNED, verify='engine', **more)['verified']['engine']


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'newer-containerd-packaged'])
def test_a_start_is_tried_on_a_copy(small_root_of, kind, monkeypatch):
    """Before anything is written: what a start shows of the broken root, and of the repaired one."""
    with engine_on(small_root_of(kind)) as engine:
        broken = broken_on(engine, small_root_of(kind))
        one = breaking.together(GROUPS['store' if STORE[kind] == 'containerd' else 'records'])
        whole = trial_of(engine, monkeypatch)
        assert (whole['status'], whole['containers'], len(whole['networks'])) == ('complete', 7, 3), whole
        assert whole['version'] and whole['images'] >= 2 and whole['volumes'] == 4
        one.hurt(broken)
        before, beside = state(engine), sorted(os.listdir(os.path.dirname(engine.data_root)))
        told = trial_of(engine, monkeypatch, steps=['!all'])
        assert told['status'] in ('failed', 'partial') and told['log'], told
        told = trial_of(engine, monkeypatch, steps=list(one.steps))
        assert (told['status'], told['containers'], told['networks']) == ('complete', 7, whole['networks']), told
        assert state(engine) == before and sorted(os.listdir(os.path.dirname(engine.data_root))) == beside


@pytest.mark.parametrize('kind', KINDS if SOAK else [])
def test_a_node_with_a_damaged_swarm_starts_without_it(kind):
    """Only where the code is named: the services are gone then, the data are there. The guard has a copy of all of swarm/."""
    with fixtures.or_say(kind), engines.Engine(kind) as engine:
        engine.start()
        engine.docker('swarm', 'init', '--advertise-addr', '127.0.0.1', '--listen-addr', '127.0.0.1')
        engine.docker('volume', 'create', '--label', 'of=node', 'kept')
        engine.kill()
        breaking.write(os.path.join(engine.data_root, 'swarm/docker-state.json'))
        hurt_state = state(engine)
        looked = repair(engine)
        assert [(step['code'], step['done']) for step in looked['plan']] == [('SWARM_ASIDE', False)] and not looked['changed']
        result = repair(engine, steps=['SWARM_ASIDE'])
        assert [(step['code'], step['done']) for step in result['plan']] == [('SWARM_ASIDE', True)]
        assert repair(engine, run.REVERTED)['unresolved'] == [] and state(engine) == hurt_state
        repair(engine, steps=['SWARM_ASIDE'])
        engine.start()
        assert engine.api('GET', '/info')['Swarm']['LocalNodeState'] == 'inactive'
        assert [one['Labels'] for one in engine.api('GET', '/volumes')['Volumes']] == [{'of': 'node'}]
