"""tools/progress.py and what README.md lists: a slow check says how far it is, and the page names everything that there is."""
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import types

import pytest

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cases
import check
import lanes
import memory
import progress
from rig import shares


@pytest.mark.parametrize('said, expected', [
    ('', 'no output yet'),
    ('...F..s [ 40%]\n....', '11 tests done, 40 %'),
    ('....', '4 tests done'),
    ('Running sanity test "pylint"\nSuccessfully installed a b c\n', 'Running sanity test "pylint"'),
    ('TASK [docker_data_rescue : Write bundles] ****\nok: [testhost]\n', 'TASK [docker_data_rescue : Write bundles]'),
    ('something\n\n', 'something')])
def test_how_far_it_is(said, expected):
    assert progress.state(said) == expected


def run(tmp_path, script, used):
    log = str(tmp_path / 'log')
    with open(log, 'wb') as out:
        child = subprocess.Popen(['sh', '-c', script], stdout=out)
    return progress.wait(child, 'the part', log, used, every=0.1)


def test_a_slow_command_is_told_and_a_fast_one_is_not(tmp_path, capsys):
    used = progress.Used()
    assert run(tmp_path, 'exit 3', used) == 3
    assert capsys.readouterr().out == ''
    assert run(tmp_path, 'echo "TASK [one] ***"; sleep 0.5', used) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 6 and all(re.match(r' +the part: \d+ s, ', line) for line in lines)
    assert lines[-1].endswith('TASK [one]')


def test_a_signal_and_the_processor_time(tmp_path):
    used = progress.Used()
    assert run(tmp_path, 'kill -9 $$', used) == -9
    before = used.here()
    run(tmp_path, 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done', used)
    assert used.here() > before


def test_why_something_was_skipped():
    found = [cases.Case('a', 'x', cases.SKIPPED, 'bsdtar is not installed'), cases.Case('a', 'y', cases.PASSED, ''),
             cases.Case('a', 'z', cases.SKIPPED, 'bsdtar is not installed'), cases.Case('a', 'q', cases.SKIPPED, ''),
             cases.Case('a', 'the part itself', cases.SKIPPED, 'did not run: needs root')]
    assert cases.reasons(found) == [('bsdtar is not installed', 2), ('no reason given', 1)]


@pytest.mark.parametrize('kind', ['modules', 'filter', 'lookup', 'inventory'])
def test_readme_names_all(kind):
    with open(os.path.join(COLLECTION, 'README.md'), encoding='utf-8') as page:
        named = set(re.findall(r'`(?:lifeboat\.docker\.)?([a-z_]+)`', page.read()))
    here = {name[:-3] for name in os.listdir(os.path.join(COLLECTION, 'plugins', kind)) if name.endswith('.py')}
    assert here and here - named == set()


def test_readme_links_every_guide():
    with open(os.path.join(COLLECTION, 'README.md'), encoding='utf-8') as page:
        text = page.read()
    guides = [name for name in os.listdir(os.path.join(COLLECTION, 'docs')) if name.endswith('.md') and name != 'README.md']
    assert [name for name in sorted(guides) if '(docs/%s' % name not in text] == []


def test_parts_are_taken_once_and_not_beside_each_other():
    names = ['engines own', 'engines repair', 'engines kube', 'units oldest', 'delivery fleets', 'delivery', 'integration roles', 'lint', 'integration newest']
    queue, taken, together = lanes.Queue(names, check.APART), [], []

    def lane():
        for name in queue:
            together.append(name)
            assert all(len(set(together) & parts) <= most for parts, most in check.APART)
            time.sleep(0.02)
            taken.append(name)
            together.remove(name)
    threads = [threading.Thread(target=lane) for dummy in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(taken) == sorted(names)


def test_one_more_lane_takes_a_part_only_when_the_processors_are_idle(tmp_path, monkeypatch):
    answers = iter([False, True, False, False, True])
    queue = lanes.Queue(['a', 'b', 'c'], ())
    spare = queue.each(lambda: next(answers))
    assert [next(spare), next(spare), next(iter(queue)), list(spare)] == ['a', 'b', 'c', []]
    stat = tmp_path / 'stat'
    monkeypatch.setattr(lanes, 'STAT', str(stat))
    assert not lanes.idle(0)            # no such file
    for now, expected in (('cpu 180 0 10 5 5 0 0 0 9 9\n', False), ('cpu 150 0 0 40 10 0 0 0 9 9\n', True)):
        stat.write_text('cpu 100 0 0 0 0 0 0 0 0 0\ncpu0 1 2 3\n')
        monkeypatch.setattr(lanes.time, 'sleep', lambda dummy, now=now: stat.write_text(now))
        assert lanes.idle(1) is expected


def test_the_order_names_every_part_of_make_test():
    with open(os.path.join(COLLECTION, 'Makefile'), encoding='utf-8') as page:
        asked = re.search(r'^test:\n.*check\.py (.*)$', page.read(), re.M).group(1).split()
    assert {name.split()[0] for name in check.ORDER} == set(asked)
    assert set(check.ORDER) <= set(check.PARTS)
    assert check.chosen(asked) == list(check.ORDER)


def test_a_word_means_all_its_parts_and_a_part_itself():
    assert check.chosen(['units']) == ['units newest rooms', 'units newest', 'units oldest', 'units conformance']
    assert check.chosen(['machines', 'sanity oldest', 'kernel']) == ['sanity oldest', 'kernel', 'machines']
    assert [check.at_a_time(names, processors) for names, processors in (('abcd', 1), ('abcd', 2), ('a', 2), ('abcdefghij', 16))] == [
        1, 3, 1, check.MOST]


@pytest.mark.parametrize('name, fixtures, share', [
    ('test_look[debian-overlay2]', ['dead_root', 'dead_root_of'], 'debian'), ('test_look[newer-containerd]', ['dead_root_of'], 'containerd'),
    ('test_look[newer-containerd-packaged]', ['dead_root_of'], 'newer'), ('test_damage[newer-overlay2-config cut]', ['subject'], 'newer'),
    ('test_loaded_elsewhere[debian-vfs-to-newer-containerd]', ['written', 'dead_root_of'], 'drivers'),
    ('test_without_hard_links_the_command_fetches_the_blobs[newer-overlay2]', ['dead_root_of'], 'debian'),
    ('test_of_one_root', ['dead_root_of'], 'debian'), ('test_databases', ['dead_databases'], 'databases'),
    ('test_every_option[newer-containerd]', ['start_engine'], 'own'), ('test_words', [], 'own'),
    ('test_every_option_there_and_back[newer-containerd]', ['start_engine'], 'chance'), ('test_nothing_differs[newer-overlay2-1]', ['rescued_of'], 'chance'),
    ('test_breaks[newer-overlay2]', ['small_root_of'], 'repair'), ('test_owner_ids', ['dead_root_of'], 'drivers'),
    ('test_damage[podman-vfs-config cut]', ['subject'], 'podman'), ('test_of_podman', ['dead_podman_of'], 'podman'),
    ('test_facts[podman-newer-root]', ['subject'], 'podman'), ('test_facts[kube-containerd-newer]', ['subject'], 'kube'),
    ('test_facts[kube-containerd]', ['subject'], 'kube'), ('test_of_nodes', ['dead_kube_of'], 'kube')])
def test_each_engine_test_is_in_the_share_whose_root_it_reads(name, fixtures, share):
    assert shares.share_of(name, fixtures) == share


def test_the_shares_of_integration_targets_are_all_of_them():
    shared = [check.targets(COLLECTION, share) for share in ('modules', 'roles', 'rescues')]
    where = os.path.join(COLLECTION, 'tests', 'integration', 'targets')
    assert sorted(sum(shared, [])) == sorted(name for name in os.listdir(where) if not name.startswith('setup_'))
    assert set(check.FEW_TARGETS) <= set(sum(shared, [])) and all(shared)


def test_sanity_runs_every_test_and_imports_on_the_oldest_and_the_newest(monkeypatch):
    monkeypatch.setattr(check, 'SOAK', False)
    targets, imports = ['3.6', '3.7', '3.11'], [['--test', 'import', '--python', each] for each in ('3.6', '3.11')]
    newest = check.sanity_calls(targets, '3.11', 1)
    assert newest == [['--skip-test', 'pylint', '--skip-test', 'import'], imports[1]]
    assert check.sanity_calls(targets, '3.11', 1, alone=True) == [newest[0]] + imports
    assert [len(check.sanity_calls(each, '3.11', 1, alone)) for each in (['3.11'], []) for alone in (False, True)] == [2] * 4
    oldest = check.sanity_calls(targets, '3.11', 0)
    assert set(oldest[0][1::2]) - set(newest[0][1::2]) == set(check.ONCE) and oldest[1:] == imports
    monkeypatch.setattr(check, 'SOAK', True)
    assert check.sanity_calls(targets, '3.11', 0) == [newest[0], ['--test', 'import']]


def test_a_failure_says_what_did_not_hold(tmp_path):
    report = tmp_path / 'junit.xml'
    report.write_text('<testsuites><testsuite><testcase classname="a" name="b"><failure message="assert [1]&#10; == []">def x():</failure>'
                      '</testcase><testcase classname="a" name="c"/></testsuite></testsuites>')
    found = cases.from_junit('part', str(report))
    assert [(case.name, case.outcome) for case in found] == [('a.b', cases.FAILED), ('a.c', cases.PASSED)]
    assert found[0].text.splitlines()[0] == 'assert [1] == []'


@pytest.mark.parametrize('said, names', [
    ('WARNING: Excluding target tests marked "needs/root" which require --allow-root or prefixing with "needs/root/" to run on unmanaged hosts: '
     'docker_bundle_info, examples\n', ['docker_bundle_info', 'examples']),
    ('WARNING: Excluding tests marked "needs/root" which require --allow-root or running as root: examples\n', ['examples']),
    ('docker_bundle_info\n', [])])
def test_an_ordinary_user_is_told_what_needs_root(said, names):
    assert check.excluded(said) == names


def test_some_cases_of_each_test():
    assert cases.spread([1, 2, 3, 4, 5, 6, 7], 3) == [1, 4, 7]
    assert cases.spread([1, 2], 3) == [1, 2] and cases.spread([1, 2], 1) == [1]


def test_files_that_are_named_are_there():
    assert [name for name in check.SOURCES + sum(check.DELIVERIES.values(), []) + check.HALVED if not os.path.exists(os.path.join(COLLECTION, name))] == []


def test_every_share_is_a_part_of_make_test():
    assert set(check.SHARES) == set(shares.SHARES)
    assert {name for name in check.ORDER if name.startswith('engines')} == {'engines ' + share for share in shares.SHARES}


def test_coverage_names_what_is_covered_least(tmp_path, monkeypatch):
    """Also a file that nothing imports, in a folder that is no package."""
    pytest.importorskip('coverage', reason='coverage is measured on the newest Python only')
    folder = tmp_path / 'plugins' / 'action'
    folder.mkdir(parents=True)
    (folder / 'used.py').write_text('A = 1\n')
    (folder / 'never.py').write_text('A = 1\nB = 2\n')
    (tmp_path / 'tools').mkdir()
    shutil.copy(os.path.join(COLLECTION, 'tools', 'coverage.ini'), str(tmp_path / 'tools'))
    monkeypatch.setattr(check, 'COVERAGE', str(tmp_path / 'data'))
    monkeypatch.setattr(check, 'RESULTS', str(tmp_path))
    monkeypatch.setattr(check.envs, 'make', lambda *dummy: sys.prefix)
    monkeypatch.setattr(check.envs, 'clean_environment', lambda **more: dict(os.environ, **more))
    subprocess.check_call([sys.executable, '-m', 'coverage', 'run', '--rcfile=tools/coverage.ini', 'plugins/action/used.py'], cwd=str(tmp_path),
                          env=dict(os.environ, COVERAGE_FILE=check.COVERAGE + '.0'))
    run = types.SimpleNamespace(collection=str(tmp_path), pythons={(3, 13): sys.executable})
    shutil.copy(check.COVERAGE + '.0', check.COVERAGE + '.1')
    lines = check.coverage_lines(run, (3, 13), [check.COVERAGE + '.0', check.COVERAGE + '.1'])
    assert lines[0] == '   coverage: 33.3 % of 3 statements; least:' and lines[1].split() == ['0.0', '%', os.path.join('plugins', 'action', 'never.py')]
    assert (tmp_path / 'coverage.txt').read_text().split() == ['0.0', '%', 'plugins/action/never.py', '100.0', '%', 'plugins/action/used.py']


def in_memory(folder, script, size='256M'):
    """(exit status, lines) of SCRIPT in FOLDER, $1, with a disk in memory."""
    if not memory.possible():
        pytest.skip('no disk in memory on this machine')
    done = subprocess.run(memory.with_disk(folder, ['sh', '-c', 'cd "$1"; ' + script, 'sh', folder], size),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout.decode().splitlines()


def test_a_disk_in_memory_is_seen_by_its_command_only(tmp_path):
    status, lines = in_memory(str(tmp_path), 'stat -f -c %T . && grep -c " $1 " /proc/self/mounts; touch file && mkfifo pipe && ls -A && exit 7')
    if lines[1] == '0':
        pytest.skip('no loop device on this machine')
    assert (status, lines) == (7, ['ext2/ext3', '2', 'file', 'pipe'])
    assert os.listdir(str(tmp_path)) == []


def test_where_the_disk_cannot_be_made_the_command_has_the_folder(tmp_path):
    assert in_memory(str(tmp_path), 'grep -c " $1 " /proc/self/mounts; touch file; exit 7', size='nonsense') == (7, ['0'])
    assert os.listdir(str(tmp_path)) == ['file']


def test_where_memory_is_short_the_tests_are_on_the_disk(monkeypatch):
    monkeypatch.setattr(memory, 'free', lambda: memory.ENOUGH - 1)
    assert not memory.possible()
