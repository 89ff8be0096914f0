"""Break the data root of a real engine, repair it, start the same engine on it, and compare with an unbroken one.

The control is the same dead root with nothing but the guard: what a start deletes or starts is held in both.
LIFEBOAT_SOAK=1 breaks each record alone too; LIFEBOAT_SOAK=N breaks N combinations by chance.
"""
import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time

import breaking
import pytest
from breaking import BREAKS, GROUPS, Broken
from rig import dead, engine as engines, fixtures, listing, newer
from rig.common import RigError

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import journal, run, trial

SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)
KINDS = fixtures.wanted(('debian-overlay2', 'newer-overlay2', 'newer-containerd') + (('newer-containerd-packaged', 'trixie-overlay2') if SOAK else ()))
STORE = {kind: 'containerd' if engines.KINDS[kind].store == 'containerd' else 'graph' for kind in engines.KINDS}
ORDER = {'complete': 0, 'partial': 1, 'unsupported': 2, 'lost': 3}
CASES = [(kind, name) for kind in KINDS for name in sorted(breaking.groups_for(STORE[kind], SOAK))]
ALONE = [(kind, name) for kind in KINDS for name in breaking.names_for(STORE[kind])] if SOAK else []
KILLS = [(KINDS[seed % len(KINDS)], seed) for seed in range(SOAK or 1)] if KINDS else []
CHANCE = [(kind, seed) for seed in range(SOAK if SOAK > 1 else 0) for kind in KINDS[seed % len(KINDS):][:1]]
# folders whose entries are never the engine's own to delete at a start
KEPT = ('containers', 'volumes', 'overlay2', 'image/overlay2/imagedb/content/sha256', 'image/overlay2/layerdb/sha256', 'image/overlay2/layerdb/mounts')
KEPT_OF_STORE = ('io.containerd.content.v1.content/blobs/sha256', 'io.containerd.snapshotter.v1.overlayfs/snapshots')


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


def said(engine):
    """What the engine tells of all it has; names of containers are not trusted for anything."""
    found = {'containers': {}, 'diff': {}, 'export': {}}
    for row in engine.api('GET', '/containers/json', all='true'):
        ident = row['Id']
        inspect = engine.api('GET', '/containers/%s/json' % ident)
        found['containers'][ident] = {key: inspect[key] for key in inspect if key not in ('ResolvConfPath', 'State')}
        found['containers'][ident]['Mounts'] = sorted(inspect['Mounts'], key=lambda one: one['Destination'])   # else in no order
        changes = engine.api('GET', '/containers/%s/changes' % ident) or []
        found['diff'][ident] = sorted((one['Kind'], one['Path']) for one in changes)
        found['export'][ident] = exported(engine, ident)
    found['images'] = {row['Id']: sorted(row['RepoTags'] or []) for row in engine.api('GET', '/images/json', all='true')}
    volumes = engine.api('GET', '/volumes')['Volumes'] or []
    found['volumes'] = {one['Name']: (one['Labels'], one['Options']) for one in volumes}
    found['networks'] = {one['Name']: (one['Id'], one['Driver'], json.dumps(one['IPAM'], sort_keys=True), one['Labels'])
                         for one in engine.api('GET', '/networks')}
    return found


def exported(engine, ident):
    """Digest of names, kinds, sizes, owners, modes and contents of docker export."""
    path = os.path.join(engine.scratch, 'export.tar')
    engine.download(path, '/containers/%s/export' % ident)
    digest = hashlib.sha256()
    with tarfile.open(path) as tar:
        for item in sorted(tar, key=lambda one: one.name):
            content = hashlib.sha256(tar.extractfile(item).read()).hexdigest() if item.isreg() else item.linkname
            digest.update(repr((item.name, item.type, item.mode, item.uid, item.gid, item.size, content)).encode('utf-8', 'backslashreplace'))
    os.unlink(path)
    return digest.hexdigest()


def state(engine):
    """Everything below the data root and containerd's but how files lie on their disk: holes of a file are written as zeros when it is put back."""
    places = [engine.data_root] + ([engine.outside('/var/lib/containerd')] if engine.kind.packaged else [])
    return [{key: value for key, value in item.items() if key != 'allocated'} for place in places for item in listing.listing(place)]


def started(engine, names):
    """Those of NAMES (IDs) that the engine can start; they are stopped again."""
    found = set()
    for ident in names:
        try:
            engine.docker('start', ident)
            found.add(ident)
        except RigError:
            continue
    return found


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
    """control(kind): (what the engine says of the guarded root, containers that it can start)."""
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
                made[kind] = said(engine), started(engine, names), result['verified']['containers']
                assert len(made[kind][1]) == len(names) == 7
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
    before, startable, whole = control_of
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
    """What a start of the engine must not delete: names in the folders of records, layers and blobs."""
    found = set()
    for top, names in ((engine.data_root, KEPT), (containerd_of(engine), KEPT_OF_STORE)):
        for name in names:
            place = os.path.join(top, name)
            if os.path.isdir(place):
                found.update(os.path.join(place, one) for one in os.listdir(place))
    return found


@pytest.mark.parametrize('kind, seed', CHANCE)
def test_breaks_by_chance(small_root_of, control, kind, seed):
    """Never worse than before, undo exact, second plan empty, and the next start deletes nothing."""
    before_all, dummy, whole = control(kind)
    with engine_on(small_root_of(kind)) as engine:
        broken = broken_on(engine, small_root_of(kind))
        done = broken_by_chance(broken, kind, random.Random(seed))
        hurt_state, before = state(engine), statuses(engine)
        steps = sorted({step for name in done for step in BREAKS[name].steps}) if seed % 2 else []
        result = repair(engine, verify='offline', steps=steps)
        after = result['verified']['containers']
        worst = {name: ORDER[status] for name, status in before.items() if name in whole}
        assert all(ORDER[after.get(name, 'complete')] <= status for name, status in worst.items()), (done, before, after)
        assert [step for step in repair(engine, run.PLANNED, steps=steps)['plan'] if step['selected']] == [], done
        assert repair(engine, run.REVERTED)['unresolved'] == [], done
        assert state(engine) == hurt_state, done
        repair(engine, steps=steps)
        held = entries(engine)
        try:
            engine.start()
        except engines.NotHere as why:
            assert result['unresolved'] or any(not step['selected'] for step in result['plan']), (done, why)
        else:
            now = said_short(engine)
            print('%s %d: %d breaks, %d of %d containers, %d of %d images' % (
                kind, seed, len(done), len(now[0]), len(before_all['containers']), len(now[1]), len(before_all['images'])))
            missing = len(before_all['containers']) - len(now[0])
            assert not missing or result['unresolved'] or any(not step['selected'] for step in result['plan']), (done, missing)
        assert held <= entries(engine), (done, sorted(held - entries(engine)))


def broken_by_chance(broken, kind, chance):
    """Names of 2 to 11 breaks that were done to a root."""
    names, done = breaking.names_for(STORE[kind]), []
    for name in chance.sample(names, chance.randint(2, min(11, len(names)))):
        with contextlib.suppress(OSError, ValueError):      # what another one took away already
            BREAKS[name].hurt(broken)
            done.append(name)
    return done


@pytest.mark.parametrize('kind, seed', KILLS)
def test_a_repair_that_is_killed_is_finished_or_undone(small_root_of, kind, seed):
    """kill -9 at a moment of the clock, after the journal has begun."""
    chance = random.Random(seed + 1000)
    with engine_on(small_root_of(kind)) as engine:
        done = broken_by_chance(broken_on(engine, small_root_of(kind)), kind, chance)
        hurt_state, kept = state(engine), os.fsencode(engine.data_root + '.lifeboat-repair')
        tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = 'import conftest\nfrom %s import run\nrun.run(run.Request("repaired", %r))' % (run.__package__, os.fsencode(engine.host_root))
        with subprocess.Popen([sys.executable, '-c', code], env=dict(os.environ, PYTHONPATH=tests)) as child:
            while child.poll() is None and not journal.exists(kept):
                time.sleep(0.002)
            time.sleep(chance.random() * 0.3)
            child.kill()
        assert journal.exists(kept), done
        if seed % 2:
            repair(engine)
            assert [step for step in repair(engine, run.PLANNED)['plan'] if step['selected']] == [], done
        assert repair(engine, run.REVERTED)['unresolved'] == [], done
        assert state(engine) == hurt_state, done


def said_short(engine):
    return engine.api('GET', '/containers/json', all='true'), engine.api('GET', '/images/json')


def test_without_the_repair_it_does_not_start(small_root_of):
    """The breaks are real ones: the same engine ends, or hides containers."""
    for kind in KINDS[:1]:
        with engine_on(small_root_of(kind)) as engine:
            breaking.together(GROUPS['store' if STORE[kind] == 'containerd' else 'records']).hurt(broken_on(engine, small_root_of(kind)))
            with pytest.raises(engines.NotHere):
                engine.start()


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
