"""Several breaks at once, and an end by kill -9 at any system call: never worse than before, undo exact, the second plan empty."""
import errno
import os
import random
import subprocess
import sys
import time

import pytest
from repairing import BREAKS, Dead, contents, empty, load, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import apply, journal, objects, run, whole

SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)   # times as many combinations and moments; without it a few
COMBINATIONS = 8 * SOAK or 3
ORDER = {'complete': 0, 'partial': 1, 'unsupported': 2, 'lost': 3}


def statuses(dead):
    with registry.Host(os.fsencode(dead.top), [b'/var/lib/docker']) as host:
        root = host.roots[0]
        return {ident: root.container(ident).status for ident in root.container_ids()}


def hurt(dead, seed):
    """2 to 11 breaks by chance; those that find their file gone already are none."""
    chance = random.Random(seed)
    done = []
    for name in chance.sample(sorted(BREAKS), chance.randint(2, 11)):
        try:
            BREAKS[name](dead)
            done.append(name)
        except OSError:
            continue
    return done


@pytest.mark.newest
@pytest.mark.parametrize('seed', range(COMBINATIONS))
def test_combinations(tmp_path, seed):
    dead = Dead(tmp_path, containers=5)
    names = hurt(dead, seed)
    broken, before = snapshot(dead.path), statuses(dead)
    outside = {path for path in snapshot(dead.top) if not path.startswith('var/lib/docker')}
    result = dead.run(verify='offline')
    after = statuses(dead)
    assert all(ORDER[after[ident]] <= ORDER[before[ident]] for ident in before), names
    assert result['verified']['total'] == len(after)
    assert [step for step in dead.plan() if step['selected']] == [], names
    for path in (set(contents(dead.path)) - set(broken)):
        assert any(path == step['path'] or path.startswith(step['path'] + '/') or
                   step['to'] and path.startswith(step['to']) for step in result['plan']), (names, path)
    assert {path for path in snapshot(dead.top) if not path.startswith('var/lib/docker')} == outside
    undone = dead.run(run.REVERTED)
    assert undone['unresolved'] == [] and snapshot(dead.path) == broken, names


class Killed(BaseException):
    """Stands for kill -9: nothing that the program does afterwards counts."""


class Executioner(object):
    """Counts the calls that change something; the one of number AT is the last that is done, or is not done any more."""
    CALLS = ('rename', 'unlink', 'mkdir', 'symlink', 'fsync', 'chown', 'utime', 'rmdir', 'write')

    def __init__(self, monkeypatch, at):
        self.count, self.at = 0, at
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, call):
        def wrapper(*arguments, **options):
            self.count += 1
            if self.count == self.at:
                raise Killed()
            if self.at and self.count > self.at:
                raise Killed()          # a finally block of a dead process does nothing
            return call(*arguments, **options)
        return wrapper


def several(tmp_path):
    dead = Dead(tmp_path, containers=4)
    for name in ('config empty', 'hostconfig empty', 'layer removing', 'links gone', 'init layer gone', 'buildkit garbage', 'repositories NUL'):
        BREAKS[name](dead)
    return dead


@pytest.mark.newest
def test_kill_at_any_call(tmp_path, monkeypatch):
    dead = several(tmp_path)
    broken = snapshot(dead.path)
    with monkeypatch.context() as patch:
        counter = Executioner(patch, 0)
        dead.run()
        total = counter.count
    repaired = contents(dead.path)
    with monkeypatch.context() as patch:
        counter = Executioner(patch, 0)
        dead.run(run.REVERTED)
        undoing = counter.count
    assert snapshot(dead.path) == broken and total > 100
    for at in random.Random(1).sample(range(1, total), min(16 * SOAK or 6, total - 1)):
        with monkeypatch.context() as patch:
            Executioner(patch, at)
            with pytest.raises(Killed):
                dead.run()
        if at % 2:                      # finished, then undone
            dead.run()
            assert contents(dead.path) == repaired, at
        if journal.exists(os.fsencode(dead.journal)):
            assert dead.run(run.REVERTED)['unresolved'] == [], at
        assert snapshot(dead.path) == broken, at
    for at in random.Random(2).sample(range(1, undoing), min(6 * SOAK or 3, undoing - 1)):
        dead.run()
        with monkeypatch.context() as patch:
            Executioner(patch, at)
            with pytest.raises(Killed):
                dead.run(run.REVERTED)
        dead.run(run.REVERTED)
        assert snapshot(dead.path) == broken, at


class Full(Executioner):
    """A disk that is full from the call of number AT on: nothing that needs room is done any more."""
    CALLS = ('rename', 'mkdir', 'symlink', 'fsync', 'write')

    def wrapped(self, call):
        def wrapper(*arguments, **options):
            self.count += 1
            if self.at and self.count >= self.at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **options)
        return wrapper


def test_a_disk_that_is_full_at_any_call(tmp_path, monkeypatch):
    """A sentence that says what to do; with room again the undo is exact."""
    dead = several(tmp_path)
    broken = snapshot(dead.path)
    totals = {}
    for state in (run.REPAIRED, run.REVERTED):
        with monkeypatch.context() as patch:
            counter = Full(patch, 0)
            dead.run(state)
            totals[state] = counter.count
    assert snapshot(dead.path) == broken
    for state, total in totals.items():
        for at in random.Random(state).sample(range(1, total), min(6 * SOAK, total - 1)):
            if state == run.REVERTED:
                dead.run()
            with monkeypatch.context() as patch:
                Full(patch, at)
                with pytest.raises(LifeboatError, match='No space left on device') as told:
                    dead.run(state)
            assert 'cannot be read' not in str(told.value)
            if journal.exists(os.fsencode(dead.journal)):
                assert dead.run(run.REVERTED)['unresolved'] == [], (state, at)
            assert snapshot(dead.path) == broken, (state, at)


def whole_layer(dead, tmp_path):
    """A layer that must be replaced as a whole -> options of a run that does it."""
    found = []
    for number in range(len(dead.expected.images[0].layers)):
        for folder, dummy, names in os.walk(dead.cache(number, 'diff')):
            found.extend(path for path in (os.path.join(folder, name) for name in names)
                         if os.lstat(path).st_nlink > 1 and os.path.isfile(path) and os.path.getsize(path))
    empty(min(found))
    donor = Dead(tmp_path / 'donor', containers=1)
    return {'donors': (os.fsencode(donor.path),)}


@pytest.mark.newest
@pytest.mark.parametrize('donor', [False, True] if os.geteuid() == 0 else [False])
def test_kill_of_a_process(tmp_path, donor):
    """The same with a real kill -9, at moments of the clock from the first line of the journal on: finished, or undone."""
    dead = several(tmp_path / 'dead')
    options = whole_layer(dead, tmp_path) if donor else {}
    broken = snapshot(dead.path)
    started = time.monotonic()
    dead.run(**options)
    takes = time.monotonic() - started
    repaired = contents(dead.path)
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.path) == broken
    code = ('import conftest\n'
            'from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run\n'
            'run.run(run.Request("repaired", %r, b"/var/lib/docker", **%r))') % (os.fsencode(dead.top), options)
    units = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.dirname(units), units]))
    chance, cut = random.Random(3), 0
    for number in range(3 * SOAK or 2):
        with subprocess.Popen([sys.executable, '-c', code], env=environment) as child:
            while child.poll() is None and not journal.exists(os.fsencode(dead.journal)):
                time.sleep(0.001)
            time.sleep(chance.random() * takes)
            child.kill()
        assert journal.exists(os.fsencode(dead.journal))
        with open(os.path.join(dead.journal, 'journal.jsonl'), 'rb') as stream:
            cut += b'"end"' not in stream.read()
        if number % 2:
            dead.run(**options)
            assert contents(dead.path) == repaired
        assert dead.run(run.REVERTED)['unresolved'] == []
        assert snapshot(dead.path) == broken
    assert cut or SOAK < 2
    print('%d of %d runs were cut short' % (cut, 3 * SOAK or 2))


@pytest.mark.skipif(os.geteuid() != 0, reason='only root unpacks layers')
@pytest.mark.parametrize('at', ['build', '_flush'])
def test_what_an_earlier_run_undid_is_not_undone_twice(tmp_path, monkeypatch, at):
    """The damaged folder of a layer was brought back; it must not be taken for the one out of the donor."""
    dead = several(tmp_path / 'dead')
    options, broken = whole_layer(dead, tmp_path), snapshot(dead.path)

    def killed(*dummy):
        raise Killed()
    for dummy in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(whole, at, killed)
            with pytest.raises(Killed):
                dead.run(**options)
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.path) == broken
    with monkeypatch.context() as patch:
        patch.setattr(whole, at, killed)
        with pytest.raises(Killed):
            dead.run(**options)
    dead.run(**options)
    assert [step for step in dead.plan(**options) if step['selected']] == []
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.path) == broken


def test_what_the_engine_wrote_since_is_not_overwritten(tmp_path):
    dead = several(tmp_path)
    dead.run()
    path = dead.folder('web', 'config.v2.json')
    put(path, b'{"of": "the engine"}')
    result = dead.run(run.REVERTED)
    assert [(one['code'], one['path']) for one in result['unresolved']] == [
        ('CONTAINER_CONFIG', 'containers/%s/config.v2.json' % dead.container('web').id)]
    assert load(path) == {'of': 'the engine'}
    os.truncate(path, 0)                # as it was before the repair
    assert dead.run(run.REVERTED)['unresolved'] == []


def test_a_journal_below_the_root_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=1)
    inside = os.path.join(dead.path, 'tmp')
    with pytest.raises(LifeboatError, match='below the data root'):
        dead.run(journal_dir=os.fsencode(inside))
    os.symlink(dead.path, dead.path + '.link')
    with pytest.raises(LifeboatError, match='below the data root'):
        dead.run(journal_dir=os.fsencode(dead.path) + b'.link/journal')


def test_a_journal_of_another_root_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=4)
    dead.run()
    put(os.path.join(dead.journal, 'journal.jsonl'), b'{"root":"/elsewhere","version":1}\n')
    with pytest.raises(LifeboatError, match='belongs to /elsewhere'):
        dead.run(run.REVERTED)


def test_a_saved_file_that_is_not_the_original_any_more_is_not_put_back(tmp_path):
    dead = Dead(tmp_path, containers=4)
    dead.run()
    for name in os.listdir(dead.journal):
        if 'saved' in name:
            put(os.path.join(dead.journal, name), b'something else')
    before = contents(dead.path)
    with pytest.raises(LifeboatError, match='not the original'):
        dead.run(run.REVERTED)
    assert contents(dead.path) == before


def mounted_by_itself(monkeypatch):
    """From now on every path is where something is mounted: a disk of its own, or a bind mount of the same one."""
    there = fsinfo.mount_of
    monkeypatch.setattr(fsinfo, 'mount_of', lambda path, table=None: there(path, table)._replace(point=path))


@pytest.fixture
def other_disk(tmp_path):
    """A place for a journal on another file system than TMP_PATH's."""
    other = next((one for one in ('/dev/shm', '/tmp') if os.path.isdir(one) and os.stat(one).st_dev != os.stat(str(tmp_path)).st_dev), '')
    assert other, 'this machine has one file system only'
    place = os.path.join(other, 'lifeboat-repair-%d' % os.getpid())
    yield os.fsencode(place)
    if os.path.isdir(place):
        for name in os.listdir(place):
            os.unlink(os.path.join(place, name))
        os.rmdir(place)


@pytest.mark.parametrize('own', [False, True])
def test_a_folder_on_another_file_system_is_left_and_said(tmp_path, other_disk, own, monkeypatch):
    """What to do depends on whether there can be a journal on the file system of the root at all."""
    if own:
        mounted_by_itself(monkeypatch)
    dead = Dead(tmp_path, containers=1)
    plugin = os.path.join(dead.path, 'plugins', 'f' * 64)
    os.makedirs(plugin)
    empty(os.path.join(plugin, 'config.json'))
    result = dead.run(journal_dir=other_disk, steps=['PLUGIN'])
    assert [one['code'] for one in result['unresolved']] == ['PLUGIN'] and os.path.isdir(plugin)
    assert ('by hand' in result['unresolved'][0]['next_step']) == own
    assert ('journal_dir' in result['unresolved'][0]['next_step']) != own
    assert dead.run(run.REVERTED, journal_dir=other_disk)['unresolved'] == []


@pytest.mark.parametrize('bind', [False, True])
def test_of_a_build_cache_with_no_place_beside_it_the_databases_are_moved(tmp_path, other_disk, bind, monkeypatch):
    """A folder can be moved neither to another disk nor out of a bind mount of the same one."""
    if bind:
        mounted_by_itself(monkeypatch)
    dead = Dead(tmp_path, containers=1)
    options = {} if bind else {'journal_dir': other_disk}
    BREAKS['buildkit garbage'](dead)
    for name in ('snapshots.db', 'content'):
        put(os.path.join(dead.path, 'buildkit', name), b'')
    broken = snapshot(dead.path)
    assert dead.run(**options)['unresolved'] == []
    assert os.listdir(os.path.join(dead.path, 'buildkit')) == ['content']
    assert dead.run(run.PLANNED, **options)['plan'] == []
    assert dead.run(run.REVERTED, **options)['unresolved'] == [] and snapshot(dead.path) == broken


def test_the_journal_has_a_copy_of_all_records(tmp_path):
    import tarfile
    dead = Dead(tmp_path, containers=4)
    with open(dead.folder('web', 'config.v2.json'), 'rb') as stream:
        original = stream.read()
    dead.run()
    with tarfile.open(os.path.join(dead.journal, '1-records.tar')) as tar:
        names = tar.getnames()
        web = 'containers/%s/config.v2.json' % dead.container('web').id
        assert tar.extractfile(web).read() == original
    assert 'volumes/metadata.db' in names and 'image/overlay2/repositories.json' in names
    assert not any('/diff/' in name or name.endswith('.log') for name in names)


def test_a_locked_database_is_a_living_daemon(tmp_path):
    import fcntl
    dead = Dead(tmp_path, containers=1)
    with open(os.path.join(dead.path, 'volumes/metadata.db'), 'rb') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert [one['code'] for one in dead.run(run.PLANNED)['problems']] == ['ROOT_IN_USE']
        with pytest.raises(LifeboatError, match='is in use'):
            dead.run()
    assert not os.path.exists(dead.journal)


def test_steps_are_done_as_planned_or_not_at_all(tmp_path):
    """Somebody made a folder where the plan saw a file: nothing is done to it."""
    dead = Dead(tmp_path, containers=1)
    from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
    from ansible_collections.lifeboat.docker.plugins.module_utils.repair import steps
    os.mkdir(os.path.join(dead.path, 'tmp', 'here'))
    root = os.fsencode(dead.path)
    with safeio.Dir.root(root) as top, journal.Journal(os.fsencode(dead.journal), root) as book:
        with pytest.raises(LifeboatError, match='not what the plan saw'):
            apply.apply(top, [steps.Step('X', b'tmp/here', steps.WRITE, b'data', '', steps.CERTAIN, 0o600)], book)
        with pytest.raises(LifeboatError):
            apply.apply(top, [steps.Step('X', b'../outside', steps.WRITE, b'data', '', steps.CERTAIN, 0o600)], book)
        os.symlink('/etc', os.path.join(dead.path, 'tmp', 'link'))
        with pytest.raises(LifeboatError):
            apply.apply(top, [steps.Step('X', b'tmp/link/planted', steps.WRITE, b'data', '', steps.CERTAIN, 0o600)], book)
        assert objects.state(top.fd, b'engine-id') != objects.NONE
    assert not os.path.lexists('/etc/planted')
