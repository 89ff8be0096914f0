"""Deleted files that a container which still runs has open: its process is one of ours, the rest is a built host."""
import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import opentree
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, quiesce
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import host as hosts, processes
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import api, registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker.inventory import DataRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import openfiles, run
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import folders, plan

HOLDER = r'''
import os, sys
kept = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]
os.write(1, b'.')
for line in sys.stdin:
    os.pwrite(kept[0], line.encode(), 0)
    os.write(1, b'.')
'''


class Live(object):
    """A built host of which the container `db` "runs": as a process that holds deleted files."""

    def __init__(self, tmp_path, monkeypatch):
        self.expected = deadroot.build(str(tmp_path / 'var' / 'lib' / 'docker'), containers=2, host_root=str(tmp_path))
        self.root, self.dest = os.fsencode(str(tmp_path)), str(tmp_path.parent / (tmp_path.name + '-out'))
        self.volume = os.path.join(str(tmp_path), 'var/lib/docker/volumes/shop_db')
        ident = self.expected.container('db').id
        self.files = {}
        monkeypatch.setattr(hosts.HostRoot, 'is_live', True)
        monkeypatch.setattr(DataRoot, 'alive', lambda own, container: self.process.pid if container.id == ident else None)
        monkeypatch.setattr(processes, 'of_container', lambda pid, words: [pid] if words == (ident,) else [])

    def hold(self, **files):
        """Have the process hold new files of the volume's folder, by their names (__ is /)."""
        for name, data in sorted(files.items()):
            path = os.path.join(self.volume, '_data', name.replace('__', '/'))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as target:
                target.write(data)
            self.files[path[1:]] = data
        self.process = subprocess.Popen([sys.executable, '-S', '-c', HOLDER] + sorted('/' + path for path in self.files), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout.read(1) == b'.'

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def rescue(self, **options):
        options = dict(dict(compression='none', containers=('db',), include=('config', 'volumes'), open_files=True), **options)
        with registry.open_host(self.root, [b'/var/lib/docker']) as host:
            return run.rescue(host, run.Request(os.fsencode(self.dest), 'box', **options))

    def facts(self):
        with registry.open_host(self.root, [b'/var/lib/docker']) as host:
            return gather.gather(host, gather.Options(['db'], ['containers']))


@pytest.fixture
def live(tmp_path, monkeypatch):
    made = Live(tmp_path, monkeypatch)
    yield made
    made.close()


def codes(items):
    return {item['code'] for item in items}


def archive(result, name='open-files.tar'):
    with tarfile.open(os.path.join(result['bundles'][0]['path'], name)) as opened:
        return {item.name: opened.extractfile(item).read() if item.isreg() else item for item in opened}


def test_a_deleted_volume_comes_back_from_its_process(live):
    live.hold(base__1=b'rows', wal=b'log' * 50000)
    shutil.rmtree(live.volume)
    result = live.rescue()
    assert {item['name']: item['status'] for item in result['bundles'][0]['components']} == {'open-files': 'complete', 'config': 'complete'}
    found = archive(result)
    assert {name: data for name, data in found.items() if isinstance(data, bytes)} == live.files
    folder = found[os.path.dirname(sorted(live.files)[0])]
    assert folder.isdir() and folder.mode & 0o700 == 0o700
    manifest = json.loads(open(os.path.join(result['bundles'][0]['path'], 'manifest.json'), encoding='utf-8').read())
    component = next(item for item in manifest['components'] if item['kind'] == 'open-files')
    assert component['unnamed'] == [] and component['unread'] == 0 and component['processes'] == 1
    assert 'FILE_CHANGED' not in codes(manifest['problems']) and 'OPEN_FILES_MOVING' not in codes(manifest['problems'])
    with open(os.path.join(result['bundles'][0]['path'], 'README.txt'), encoding='utf-8') as readme:
        assert 'mkdir open-files && tar -C open-files' in readme.read()


def test_it_verifies_and_is_unpacked_into_a_folder(live, tmp_path):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    path = live.rescue()['bundles'][0]['path']
    assert [(item['status'], sorted(part['kind'] for part in item['components'])) for item in info.inspect(os.fsencode(path), True)] == [
        ('verified', ['config', 'open-files'])]
    target = os.fsencode(str(tmp_path / 'target'))
    folders.restore(plan.Options(os.fsencode(path), ('volumes',), target='directory', dest=target))
    (name, data), = live.files.items()
    with open(os.path.join(str(tmp_path / 'target' / 'open-files'), name), 'rb') as back:
        assert back.read() == data


def test_the_processes_stand_still_and_go_on(live, monkeypatch):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    seen = []
    whole = opentree.OpenTree.open
    monkeypatch.setattr(opentree.OpenTree, 'open', lambda *args: (seen.append(processes.started(live.process.pid)[0]), whole(*args))[1])
    live.rescue()
    assert seen == [b'T'] and processes.started(live.process.pid)[0] != b'T'


def test_check_mode_stops_nothing(live, monkeypatch):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    monkeypatch.setattr(quiesce, 'freeze', lambda *dummy: pytest.fail('frozen'))
    result = live.rescue(check_mode=True)
    assert [item['bytes'] for item in result['bundles'][0]['components'] if item['kind'] == 'open-files'] == [4]
    assert processes.started(live.process.pid)[0] != b'T'


def test_what_changes_while_it_is_read_is_told(live, monkeypatch):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    whole = opentree.OpenTree.open

    def changed(self, entry):
        live.process.stdin.write(b'more than before\n')
        live.process.stdin.flush()
        assert live.process.stdout.read(1) == b'.'
        return whole(self, entry)
    monkeypatch.setattr(opentree.OpenTree, 'open', changed)

    def refused(*dummy):
        raise quiesce.NotFrozen('it cannot')
    monkeypatch.setattr(openfiles, '_freeze', refused)
    result = live.rescue()
    assert {'FILE_CHANGED', 'OPEN_FILES_MOVING'} <= codes(result['problems'])
    assert any('could not be stopped: it cannot' in item['message'] for item in result['problems'])
    assert [data for data in archive(result).values() if isinstance(data, bytes)] == [b'more']      # as long as its header says


def test_the_process_ends_while_others_are_written(live, monkeypatch):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    whole = run.bundle.write

    def write(*args):
        live.process.kill()
        live.process.wait()
        monkeypatch.setattr(processes, 'of_container', lambda *dummy: [])
        return whole(*args)
    monkeypatch.setattr(run.bundle, 'write', write)
    assert [data for data in archive(live.rescue()).values() if isinstance(data, bytes)] == [b'rows']


def test_what_is_deleted_after_the_first_look_is_taken_too(live, monkeypatch):
    live.hold(first=b'1', second=b'2')
    first, second = ('/' + path for path in sorted(live.files))
    os.unlink(first)
    whole = run.bundle.write
    monkeypatch.setattr(run.bundle, 'write', lambda *args: (shutil.rmtree(live.volume), whole(*args))[1])
    assert {data for data in archive(live.rescue()).values() if isinstance(data, bytes)} == {b'1', b'2'} and second


def test_what_cannot_be_opened_at_the_second_look_is_told(live, monkeypatch):
    """The limit of open files may be reached between the two."""
    live.hold(first=b'1', second=b'2')
    shutil.rmtree(live.volume)
    whole, looks = processes.scan, []

    def scan(pids):
        looks.append(whole(pids))
        late = processes.Unread(live.process.pid, b'/late (deleted)', OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
        return looks[-1]._replace(unread=(late,)) if len(looks) > 1 else looks[-1]
    monkeypatch.setattr(processes, 'scan', scan)
    bundle, = live.rescue()['bundles']
    assert len(looks) == 2 and bundle['status'] == 'partial'
    problem, = [item for item in bundle['problems'] if item['code'] == 'READ_ERROR']
    assert '/late (deleted)' in problem['message'] and 'Too many open files' in problem['message']


def test_a_sparse_file_stays_sparse(live):
    live.hold(f=b'x')
    path = '/' + sorted(live.files)[0]
    os.truncate(path, 64 << 20)
    shutil.rmtree(live.volume)
    component = next(item for item in live.rescue()['bundles'][0]['components'] if item['kind'] == 'open-files')
    assert component['bytes'] < 1 << 20


def test_two_of_one_name_the_newest_has_it(live):
    live.hold(f=b'old')
    path = '/' + sorted(live.files)[0]
    os.utime(path, (1, 1))
    inode = os.stat(path).st_ino
    os.rename(path, path + '.old')
    with open(path, 'wb') as target:
        target.write(b'new')
    live.close()
    live.process = subprocess.Popen([sys.executable, '-S', '-c', HOLDER, path, path + '.old'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
    assert live.process.stdout.read(1) == b'.'
    os.unlink(path)
    os.rename(path + '.old', path)
    shutil.rmtree(live.volume)
    found = {name: data for name, data in archive(live.rescue()).items() if isinstance(data, bytes)}
    assert found == {path[1:]: b'new', '%s.deleted-%d' % (path[1:], inode): b'old'}


def test_what_cannot_be_named_is_kept_and_listed(live, monkeypatch):
    live.hold(f=b'rows')
    monkeypatch.setattr(processes, 'named', lambda text: None)
    shutil.rmtree(live.volume)
    result = live.rescue()
    assert 'OPEN_FILE_UNNAMED' in codes(result['problems'])
    found = archive(result)
    assert [data for name, data in found.items() if name.startswith('lifeboat-unnamed/')] == [b'rows']
    assert found['lifeboat-unnamed'].isdir()


def test_folders_that_would_fill_the_memory_give_no_name(live, monkeypatch):
    """A few files that lie very deep cost more than all others."""
    live.hold(**{'__'.join('d%d' % number for dummy in range(50)) + '__f': b'%d' % number for number in range(5)})
    shutil.rmtree(live.volume)
    longest = max(len(path) for path in live.files)
    monkeypatch.setattr(opentree, 'MOST_FOLDERS', 60 * (longest + opentree.EACH))
    result = live.rescue()
    found = archive(result)
    assert sorted(data for data in found.values() if isinstance(data, bytes)) == [b'%d' % number for number in range(5)]
    named = [name for name in found if name in live.files]
    assert 1 <= len(named) < 5 and sum(name.startswith('lifeboat-unnamed/') for name, data in found.items() if isinstance(data, bytes)) == 5 - len(named)
    assert 'OPEN_FILE_UNNAMED' in codes(result['bundles'][0]['problems'])


def test_a_container_without_any_record(live, monkeypatch):
    live.hold(f=b'rows')
    gone = 'e' * 64
    shutil.rmtree(live.volume)
    monkeypatch.setattr(processes, 'of_container', lambda pid, words: [pid] if words == (gone,) else [])
    monkeypatch.setattr(processes.Groups, 'ids', lambda self: [gone, live.expected.container('db').id])
    monkeypatch.setattr(processes.Groups, 'oldest', lambda self, words: live.process.pid if words == (gone,) else None)
    with registry.open_host(live.root) as host:
        result = run.rescue(host, run.Request(os.fsencode(live.dest), 'box', open_files=True, include=('config',), compression='none'))
    one, = [item for item in result['bundles'] if item['name'] == 'running-' + gone[:12]]
    assert one['status'] == 'partial' and [item['kind'] for item in one['components']] == ['open-files']
    assert 'CONTAINER_WITHOUT_RECORD' in codes(one['problems'])
    assert [item['status'] for item in info.inspect(os.fsencode(one['path']), True)] == ['verified']
    # who names data roots, engines or containers means no others
    for options, wanted in (({'data_roots': [b'/var/lib/docker']}, ()), ({'engines': ['docker']}, ()), ({}, ('db',))):
        with registry.open_host(live.root, **options) as host:
            result = run.rescue(host, run.Request(os.fsencode(live.dest), 'box', containers=wanted, open_files=True, include=('config',), check_mode=True))
        assert not [item for item in result['bundles'] if item['name'].startswith('running-')]


def test_nothing_open_is_said_and_not_a_silent_success(live):
    live.hold()
    result = live.rescue()
    assert 'NOTHING_OPEN' in codes(result['problems'])
    assert 'open-files' not in [item['kind'] for item in result['bundles'][0]['components']]


def test_the_disk_of_another_host_is_refused(live, monkeypatch):
    live.hold()
    monkeypatch.setattr(hosts.HostRoot, 'is_live', False)
    with pytest.raises(LifeboatError, match='is the disk of another one'):
        live.rescue()
    assert not os.path.exists(live.dest)


def test_without_the_option_rescue_and_facts_say_that_it_is_urgent(live, monkeypatch):
    live.hold(f=b'rows')
    monkeypatch.setattr(processes, 'named', lambda text: b'var/lib/db/f')      # as a process in the container would have it
    assert 'DELETED_STILL_OPEN' not in codes(live.facts()['containers'][0]['problems'])
    shutil.rmtree(live.volume)
    for problems in (live.rescue(open_files=False)['problems'], live.facts()['containers'][0]['problems']):
        told = next(item for item in problems if item['code'] == 'DELETED_STILL_OPEN')
        assert '1 of the deleted files' in told['message'] and 'open_files: true' in told['next_step'] and told['severity'] == 'critical'


def test_deleted_files_of_other_places_are_no_alarm(live):
    """Programs delete files that they have open all the time."""
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    assert 'DELETED_STILL_OPEN' not in codes(live.facts()['containers'][0]['problems'])


def test_a_second_run_finds_it_unchanged(live):
    live.hold(f=b'rows')
    shutil.rmtree(live.volume)
    assert live.rescue()['changed'] is True
    second = live.rescue()
    assert second['changed'] is False and processes.started(live.process.pid)[0] != b'T'


def test_the_seam_says_which_control_groups(live):
    live.hold()
    with registry.open_host(live.root, [b'/var/lib/docker']) as host:
        container = host.roots[0].container(live.expected.container('db').id)
        assert host.roots[0].cgroup_ids(container) == (container.id,) and isinstance(host.roots[0], api.Root)
