import json
import os
import shutil
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.databases import detector as databases
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import parallel, state, walk as usage


@pytest.fixture
def place(tmp_path):
    root = tmp_path / 'tree'
    (root / 'a' / 'b').mkdir(parents=True)
    for name in ('one', 'a/two', 'a/b/three', 'a/b/caf\udce9'):
        with open(os.path.join(os.fsencode(str(root)), os.fsencode(name)), 'wb') as stream:
            stream.write(b'x' * 100)
    return os.fsencode(str(root)), os.fsencode(str(tmp_path / 'state.json'))


def scan(opened, key, path, **options):
    result = opened.remembered(key, path, **options)
    if result is None:
        result, record = opened.walk(path, **options)
        opened.keep(key, record)
    return result


def run(place, **options):
    """(Usage, whether the tree was walked)"""
    opened = state.State.load(place[1], full_every=options.pop('full_every', 10))
    result = scan(opened, 'x', place[0], detector=databases.Detector(), **options)
    opened.save()
    return result, opened.walked == 1


def test_an_unchanged_tree_is_not_walked_again(place):
    first, walked = run(place)
    assert walked and first == usage.scan_folder(place[0], detector=databases.Detector())
    second, walked = run(place)
    assert not walked and second == first


@pytest.mark.parametrize('change', [
    lambda root: open(root + b'/a/b/new', 'w').close(),
    lambda root: os.unlink(root + b'/one'),
    lambda root: os.rename(root + b'/a/two', root + b'/a/zwei'),
    lambda root: os.mkdir(root + b'/a/b/c'),
    lambda root: shutil.rmtree(root + b'/a/b'),
    lambda root: os.truncate(root + b'/a/b/three', 50),
    lambda root: os.chmod(root + b'/a', 0o700),
])
def test_every_change_is_noticed(place, change):
    run(place)
    change(place[0])
    result, walked = run(place)
    assert walked and result == usage.scan_folder(place[0], detector=databases.Detector())


def test_a_folder_swapped_for_a_link_is_noticed(place, tmp_path):
    run(place)
    os.rename(place[0] + b'/a', os.fsencode(str(tmp_path / 'moved')))
    os.symlink(str(tmp_path / 'moved'), place[0] + b'/a')
    assert run(place)[1]


def test_a_full_walk_now_and_then(place):
    assert [run(place, full_every=3)[1] for dummy in range(7)] == [True, False, False, True, False, False, True]


def test_other_options_mean_another_walk(place):
    run(place)
    assert run(place, top_depth=1)[1]
    assert run(place, top_depth=1, table=())[1]
    assert not run(place, top_depth=1, table=())[1]


def test_incomplete_walks_are_not_remembered(place):
    assert not run(place, limits={'scan_max_files': 1})[0].complete
    assert run(place)[0].complete


def test_databases_survive(place):
    shutil.copytree(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'databases', 'data'), os.fsdecode(place[0]) + '/data')
    with open(place[0] + b'/x.mv.db', 'wb') as stream:
        stream.write(b'H:2,block:2'.ljust(4096))
    first = run(place)[0]
    second, walked = run(place)
    assert not walked and first.databases and second.databases == first.databases


def test_never_in_a_data_root(place):
    for path in (place[0], place[0] + b'/a/state.json', place[0] + b'/../tree/s'):
        with pytest.raises(LifeboatError) as error:
            state.State.load(path, [place[0]])
        assert 'outside' in str(error.value)
    os.symlink(place[0], place[0] + b'-link')
    with pytest.raises(LifeboatError):
        state.State.load(place[0] + b'-link/s', [place[0]])


def damaged(text):
    def write(path):
        with open(path, 'w') as stream:
            stream.write(text)
    return write


def headed(head, trees='{}'):
    return damaged(head % state.VERSION + '\n' + trees)


@pytest.mark.parametrize('spoil', [
    damaged(''), damaged('{'), damaged('[]\n{}'), damaged('{"version": 99, "run": 1}\n{}'), headed('{"version": %d}'),
    headed('{"version": %d, "run": -1}'), headed('{"version": %d, "run": 1}', '[]'), headed('{"version": %d, "run": 1}', ''),
    headed('{"version": %d, "run": 1}', '[' * 100000), damaged('[' * 100000), lambda path: os.chmod(path, 0o666)])
def test_a_file_that_does_not_fit_is_not_used_and_said_so(place, spoil):
    run(place)
    spoil(place[1])
    opened = state.State.load(place[1])
    assert opened.note and 'not used' in opened.note
    assert scan(opened, 'x', place[0]).files == 4


@pytest.mark.parametrize('key, value', [
    ('folders', None), ('folders', [1]), ('folders', '//../../etc'), ('folders', ''),
    ('newest', 5), ('newest', [['a']]), ('newest', 'a/gone'), ('signature', None),
    ('result', {}), ('result', []), ('run', -50), ('run', 'x'), ('run', True), ('run', 99), ('path', None), ('path', '/gone')])
def test_planted_entries_lead_to_a_walk(place, key, value):
    run(place)
    with open(place[1]) as stream:
        head, trees = stream.read().split('\n')
    content = json.loads(trees)
    content['x'][key] = value
    with open(place[1], 'w') as stream:
        stream.write(head + '\n' + json.dumps(content))
    assert run(place)[1]


def test_the_file_is_private_and_forgets_what_is_gone(place):
    run(place)
    assert os.stat(place[1]).st_mode & 0o777 == 0o600
    opened = state.State.load(place[1])
    opened.save()
    with open(place[1]) as stream:
        assert stream.read().split('\n')[1] == '{}'
    assert [name for name in os.listdir(os.path.dirname(place[1])) if name.endswith(b'.tmp')] == []


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_many_trees_are_looked_at_by_other_processes(place, tmp_path, workers):
    paths = []
    for number in range(20):
        paths.append(os.fsencode(str(tmp_path / ('many%d' % number))))
        shutil.copytree(place[0], paths[-1])
    opened = state.State.load(place[1])
    for number, path in enumerate(paths):
        scan(opened, str(number), path)
    opened.save()
    open(paths[7] + b'/a/new', 'w').close()
    shutil.rmtree(paths[8])
    opened = state.State.load(place[1])
    opened.look(workers=workers)
    assert [number for number, path in enumerate(paths) if opened.remembered(str(number), path) is None] == [7, 8]
    assert opened.reused == 18


def test_a_tree_at_another_place_is_another_tree(place, tmp_path):
    run(place)
    elsewhere = os.fsencode(str(tmp_path / 'copy'))
    shutil.copytree(place[0], elsewhere)
    opened = state.State.load(place[1])
    assert opened.remembered('x', elsewhere, detector=databases.Detector()) is None
    assert opened.remembered('x', place[0], detector=databases.Detector()).files == 4


def test_a_look_that_nobody_needs_leaves_no_process(place, tmp_path):
    run(place)
    opened = state.State.load(place[1])
    opened.look(workers=1)
    opened.close()
    opened.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_parallel_keeps_order_and_errors():
    parent = os.getpid()

    def dies():
        if os.getpid() != parent:
            os._exit(9)
        return 'done here'
    jobs = [lambda number=number: number * 2 for number in range(50)] + [lambda: 1 // 0, dies]
    results = parallel.run(jobs, 3)
    assert [value for value, dummy in results[:50]] == list(range(0, 100, 2))
    assert isinstance(results[50][1], ZeroDivisionError)
    assert results[51] == ('done here', None)
    assert parallel.run([], 2) == []


def test_parallel_with_more_jobs_than_a_pipe_takes():
    results = parallel.run([lambda number=number: number for number in range(20000)], 2)
    assert [value for value, dummy in results] == list(range(20000))


def test_what_cannot_be_sent_is_made_here():
    results = parallel.run([lambda: 1, lambda: (lambda: 2), lambda: 3], 2)
    assert results[0] == (1, None) and results[1][0]() == 2 and results[2] == (3, None)


def test_jobs_begun_early():
    parent = os.getpid()

    def dies():
        if os.getpid() != parent:
            os._exit(9)
        return True
    jobs = [lambda number=number: number % 3 for number in range(3000)] + [lambda: 1 // 0]
    for children in (0, 1, 2):
        results = parallel.Jobs(jobs, children).results()
        assert [value for value, dummy in results] == [number % 3 for number in range(3000)] + [None]
        assert isinstance(results[-1][1], ZeroDivisionError)
    assert parallel.Jobs([dies] * 9, 2).results() == [(True, None)] * 9
    assert parallel.Jobs([], 2).results() == []


def test_results_fill_the_pipe_of_an_idle_caller():
    early = parallel.Jobs([lambda: True] * 16384, 2)
    time.sleep(0.2)
    assert early.results() == [(True, None)] * 16384


def test_a_result_that_no_pipe_takes_at_once():
    assert parallel.run([lambda: b'x' * (1 << 20)] * 5, 2) == [(b'x' * (1 << 20), None)] * 5


def test_a_crew_leaves_nothing_behind():
    before = os.listdir('/proc/self/fd')
    for helping in (True, False):
        parallel.Jobs([lambda: 1] * 9, 3).results(helping)
    crew = parallel.Jobs([lambda: time.sleep(60)] * 3, 3)
    crew.close()
    crew.close()
    assert os.listdir('/proc/self/fd') == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_cannot_be_had(monkeypatch):
    before, real, left = os.listdir('/proc/self/fd'), os.fork, [1]

    def fork():
        if not left[0]:
            raise OSError(11, 'no')
        left[0] -= 1
        return real()

    monkeypatch.setattr(os, 'fork', fork)
    for dummy in range(2):              # one child instead of three, then none
        assert parallel.run([lambda: 1] * 9, 3) == [(1, None)] * 9
    assert os.listdir('/proc/self/fd') == before
