"""A whole rescue of a host that code has built: results, second runs, wrong requests, half-done runs."""
import contextlib
import errno
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import types

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compress, trees, write
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, plan, writing as bundle
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import inventory
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import privileges
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import files
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=4, host_root=str(tmp), orphan_layers=1)
    return expected, os.fsencode(str(tmp))


FILES = ('config', 'writable', 'volumes', 'logs')


def rescue(dead, dest, **options):
    options.setdefault('host_name', 'box')
    options.setdefault('compression', 'none')
    with registry.open_host(dead[1], [b'/var/lib/docker']) as host:
        return run.rescue(host, run.Request(os.fsencode(str(dest)), **options))


def test_bundles_verify_and_a_second_run_changes_nothing(dead, tmp_path):
    result = rescue(dead, tmp_path / 'out', volumes=('*',), orphans=True)
    assert result['changed'] is True
    assert {item['container'] for item in result['bundles'] if item['kind'] == 'container'} == {
        item.name for item in dead[0].containers}
    found = info.inspect(os.fsencode(str(tmp_path / 'out')), True)
    assert {item['status'] for item in found} == {'verified'}
    assert len(found) == len(result['bundles'])
    again = rescue(dead, tmp_path / 'out', volumes=('*',), orphans=True)
    assert again['changed'] is False
    forced = rescue(dead, tmp_path / 'out', volumes=('*',), orphans=True, force=True)
    assert forced['changed'] is True
    assert not [name for name in os.listdir(str(tmp_path / 'out' / 'box')) if name.startswith('.')]


def archives(folder):
    """{path below FOLDER: bytes} of everything that holds data."""
    found = {}
    for place, dummy, names in os.walk(str(folder)):
        for name in names:
            if '.tar' in name or name.endswith(('.sha256', '.log', '.jsonl')):
                with open(os.path.join(place, name), 'rb') as stream:
                    found[os.path.relpath(os.path.join(place, name), str(folder))] = stream.read()
    return found


def test_what_did_not_change_is_the_same_bytes_again(dead, tmp_path):
    """So that a repository finds all of it: no order of folders, no time of the run and no order of inodes is in an archive."""
    options = dict(include=('config', 'writable', 'rootfs', 'volumes', 'logs', 'image'), volumes=('*',), orphans=True)
    rescue(dead, tmp_path / 'one', **options)
    rescue(dead, tmp_path / 'two', **options)
    one, two = archives(tmp_path / 'one'), archives(tmp_path / 'two')
    assert len([name for name in one if name.endswith('.tar')]) > 6
    assert {name for name in one if one[name] != two.get(name)} == set() and set(one) == set(two)


def test_a_disk_that_was_copied_gives_the_same_archives(dead, tmp_path):
    """Other inodes, in another order: only its times, owners and contents make an archive."""
    source, copied = dead[0].volumes[0].path, tmp_path / 'copied'
    for folder in (source, os.fsencode(str(copied))):
        os.makedirs(folder, exist_ok=True)
    for name in sorted(os.listdir(source), reverse=True):
        subprocess.run(['cp', '-a', os.path.join(source, name), os.fsencode(str(copied))], check=True)
    shutil.copystat(os.fsdecode(source), str(copied))
    written = []
    for folder in (source, os.fsencode(str(copied))):
        out = io.BytesIO()
        with trees.FolderTree(folder).opened() as (root, entries):
            write.write_tar(entries, out, root_entry=root)
        written.append(out.getvalue())
    assert len(written[0]) > 2048 and written[0] == written[1]


@pytest.mark.parametrize('new', [1600000001, 1600000000.5])
def test_a_file_that_was_touched_costs_its_header_only(tmp_path, new):
    for name in 'abc':
        (tmp_path / name).write_bytes(os.urandom(70000))
        os.utime(str(tmp_path / name), (1600000000,) * 2)
    os.utime(str(tmp_path), (1600000000,) * 2)
    written = []
    for moment in (1600000000, new):
        os.utime(str(tmp_path / 'b'), (moment,) * 2)
        out = io.BytesIO()
        with trees.FolderTree(os.fsencode(str(tmp_path))).opened() as (root, entries):
            write.write_tar(entries, out, root_entry=root)
        written.append(out.getvalue())
    same = os.path.commonprefix(written), os.path.commonprefix([data[::-1] for data in written])
    assert 0 < max(map(len, written)) - len(same[0]) - len(same[1]) <= 3 * 512


def test_check_mode_writes_nothing_and_tells_sizes(dead, tmp_path):
    result = rescue(dead, tmp_path / 'out', check_mode=True)
    assert result['changed'] is True
    assert not (tmp_path / 'out').exists()
    assert sum(item['bytes'] for item in result['bundles']) >= sum(item.writable_bytes() for item in dead[0].containers)
    rescue(dead, tmp_path / 'out')
    assert rescue(dead, tmp_path / 'out', check_mode=True)['changed'] is False


def test_what_the_next_start_deletes_comes_first(dead, tmp_path):
    result = rescue(dead, tmp_path / 'out')
    doomed = [item.name for item in dead[0].containers if item.hostconfig.get('AutoRemove')]
    assert doomed and result['bundles'][0]['container'] in doomed
    assert 'REMOVED_AT_NEXT_START' in [item['code'] for item in result['problems']]


def test_every_archive_has_nanoseconds(dead, tmp_path):
    victim = dead[0].containers[0]
    path = os.path.join(victim.upper, b'dated')
    with open(path, 'wb') as out:
        out.write(b'x')
    os.utime(path, ns=(0, 1500000000123456789))
    try:
        result = rescue(dead, tmp_path / 'out', include=('writable', 'rootfs'), containers=(victim.name,))
    finally:
        os.unlink(path)
    for name in ('writable.tar', 'rootfs.tar'):
        with tarfile.open(os.path.join(result['bundles'][0]['path'], name)) as archive:
            assert archive.getmember('dated').pax_headers['mtime'] == '1500000000.123456789'


def test_a_changed_file_is_written_again_and_only_its_bundle(dead, tmp_path):
    first = rescue(dead, tmp_path / 'out')
    victim = dead[0].containers[0]
    path = os.path.join(victim.upper, b'new-since')
    with open(path, 'wb') as out:
        out.write(b'x')
    try:
        second = rescue(dead, tmp_path / 'out')
    finally:
        os.unlink(path)
    assert [item['container'] for item in second['bundles'] if item['changed']] == [victim.name]
    assert len(first['bundles']) == len(second['bundles'])
    rescue(dead, tmp_path / 'out')


def test_hidden_marks_are_never_called_complete(dead, tmp_path, monkeypatch):
    """Without CAP_SYS_ADMIN the kernel shows no trusted.* attribute, and says nothing about it."""
    monkeypatch.setattr(inventory.DataRoot, '_owned_by_user', lambda root: False)       # built by root, whoever runs this
    include = ('writable', 'rootfs', 'image', 'volumes')
    monkeypatch.setattr(privileges, 'sees_trusted', lambda: False)
    for dummy in range(2):
        result = rescue(dead, tmp_path / 'out', include=include, orphans=True)
        assert {item['status'] for item in result['bundles']} == {'partial'}
        for item in result['bundles']:
            for part in item['components']:
                assert part['status'] == ('complete' if part['kind'] == 'volume' else 'partial'), part
        told = [item for item in result['problems'] if item['code'] == 'PRIVILEGES_MISSING']
        assert len(told) == 1 and 'SYS_ADMIN' in told[0]['next_step']
    assert result['changed'] is False
    monkeypatch.setattr(privileges, 'sees_trusted', lambda: True)
    result = rescue(dead, tmp_path / 'out', include=include, orphans=True)
    # an image stays partial where a real file is named like a whiteout
    parts = [part for item in result['bundles'] if item['kind'] == 'container' for part in item['components'] if part['kind'] != 'image']
    assert result['changed'] and {part['status'] for part in parts} == {'complete'}
    assert 'PRIVILEGES_MISSING' not in [item['code'] for item in result['problems']]


def test_a_better_bundle_is_never_replaced_by_a_worse_one(dead, tmp_path):
    rescue(dead, tmp_path / 'out', include=FILES)
    victim = next(item for item in dead[0].containers if item.mounts)
    parked = victim.upper + b'.parked'
    os.rename(victim.upper, parked)
    try:
        worse = rescue(dead, tmp_path / 'out', include=FILES)
    finally:
        os.rename(parked, victim.upper)
    names = [name for name in os.listdir(str(tmp_path / 'out' / 'box')) if name.startswith(victim.name + '-')]
    kept = [name for name in names if '.until-' in name]
    assert len(kept) == 1
    assert 'OLD_BUNDLE_KEPT' in [item['code'] for item in worse['problems']]
    with open(str(tmp_path / 'out' / 'box' / kept[0] / 'manifest.json')) as found:
        assert json.load(found)['status'] == 'complete'


@pytest.mark.parametrize('name', ['none', 'gzip', 'xz'])
def test_compressions(dead, tmp_path, name):
    result = rescue(dead, tmp_path / 'out', containers=(dead[0].containers[0].name,), compression=name)
    suffix = {'none': '.tar', 'gzip': '.tar.gz', 'xz': '.tar.xz'}[name]
    files = [item['file'] for item in result['bundles'][0]['components'] if item['kind'] in ('writable', 'volume')]
    assert files and all(item.endswith(suffix) for item in files)


def test_modes_are_private(dead, tmp_path):
    rescue(dead, tmp_path / 'out')
    for folder, dummy, names in os.walk(str(tmp_path / 'out')):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert all(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600 for name in names)


def one_sentence(raised):
    text = str(raised.value)
    assert '\n' not in text and 'Traceback' not in text
    return text


def test_dest_inside_the_data_root(dead):
    for inside in (dead[0].root, os.path.join(dead[0].root, b'containers', b'x'), dead[0].volumes[0].path):
        before = sorted(os.listdir(dead[0].root))
        with pytest.raises(LifeboatError) as raised:
            rescue(dead, os.fsdecode(inside))
        assert 'lies inside' in one_sentence(raised)
        assert sorted(os.listdir(dead[0].root)) == before


def test_dest_inside_the_data_root_through_a_link(dead, tmp_path):
    link = tmp_path / 'innocent'
    link.symlink_to(os.fsdecode(dead[0].root))
    with pytest.raises(LifeboatError) as raised:
        rescue(dead, link / 'sub')
    assert 'lies inside' in one_sentence(raised)


def test_dest_is_a_file(dead, tmp_path):
    (tmp_path / 'file').write_text('x')
    for dest in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(LifeboatError) as raised:
            rescue(dead, dest)
        assert 'file' in one_sentence(raised)


def test_unknown_container_volume_component(dead, tmp_path):
    for options, word in (({'containers': ('nope',)}, 'nope'), ({'volumes': ('nope*',)}, 'nope*'), ({'include': ('al',)}, 'al')):
        with pytest.raises(LifeboatError) as raised:
            rescue(dead, tmp_path / 'out', **options)
        assert word in one_sentence(raised)
        assert not (tmp_path / 'out' / 'box').exists() or os.listdir(str(tmp_path / 'out' / 'box')) == []


def test_no_room(dead, tmp_path, monkeypatch):
    monkeypatch.setattr(run.fsinfo, 'free', lambda path: run.fsinfo.Free(1000, 1000, 10000))
    with pytest.raises(LifeboatError) as raised:
        rescue(dead, tmp_path / 'out')
    assert '1000 bytes free' in one_sentence(raised) and 'check_space' in one_sentence(raised)


def test_missing_data_root(tmp_path):
    with pytest.raises(LifeboatError) as raised:
        registry.open_host(os.fsencode(str(tmp_path)), [b'/no/such/root'])
    assert '/no/such/root' in one_sentence(raised)


def test_nothing_at_all_is_not_a_silent_success(tmp_path):
    (tmp_path / 'host').mkdir()
    with registry.open_host(os.fsencode(str(tmp_path / 'host'))) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='box'))
    assert result['bundles'] == [] and result['changed'] is False
    assert any(item['severity'] == 'critical' for item in result['problems'])


def test_a_bundle_that_cannot_be_written_does_not_stop_the_others(dead, tmp_path, monkeypatch):
    whole, calls = bundle.write, []

    def sometimes(store, job, *more):
        calls.append(job.name)
        if len(calls) == 2:
            raise compress.CompressError('cannot write: no space left')
        return whole(store, job, *more)
    monkeypatch.setattr(bundle, 'write', sometimes)
    result = rescue(dead, tmp_path / 'out')
    assert 'NOT_WRITTEN' in [item['code'] for item in result['problems']]
    found = info.inspect(os.fsencode(str(tmp_path / 'out')), True)
    assert len(found) == len(result['bundles']) - 1
    assert {item['status'] for item in found} == {'verified'}


def test_unreadable_file(dead, tmp_path, monkeypatch):
    """A file that cannot be opened is told, the rest comes out; with on_error fail nothing is kept."""
    victim = dead[0].containers[0]
    from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
    whole = safeio.Dir.open
    hit = []

    def refuse(self, name):
        if not hit and self.path().startswith(victim.upper):
            hit.append(name)
        if hit and name == hit[0] and self.path().startswith(victim.upper):
            raise OSError(5, 'Input/output error')
        return whole(self, name)
    monkeypatch.setattr(safeio.Dir, 'open', refuse)
    with pytest.raises(LifeboatError):
        rescue(dead, tmp_path / 'strict', containers=(victim.name,), include=FILES, on_error='fail')
    assert [name for name in os.listdir(str(tmp_path / 'strict' / 'box')) if not name.startswith('.')] == []
    result = rescue(dead, tmp_path / 'out', containers=(victim.name,), include=FILES)
    assert result['bundles'][0]['status'] == 'partial'
    assert any(item['code'] == 'READ_ERROR' and 'Input/output error' in item['message'] for item in result['problems'])
    again = rescue(dead, tmp_path / 'out', containers=(victim.name,), include=FILES)
    assert again['changed'] is False
    monkeypatch.setattr(safeio.Dir, 'open', whole)
    healed = rescue(dead, tmp_path / 'out', containers=(victim.name,), include=FILES)
    assert healed['changed'] is True and healed['bundles'][0]['status'] == 'complete'


def test_an_optional_image_is_left_out_where_there_is_no_room(dead, tmp_path, monkeypatch):
    name = dead[0].containers[0].name
    with_image = rescue(dead, tmp_path / 'out', containers=(name,), include=('config', 'writable', 'image'))
    size = {item['kind']: item['bytes'] for item in with_image['bundles'][0]['components']}
    assert size['image'] > size['writable']
    monkeypatch.setattr(run.fsinfo, 'free', lambda path: run.fsinfo.Free(
        run.RESERVE + max(size['image'] // 2, 2 * size['writable']), 1000, 10 ** 9))
    options = dict(containers=(name,), include=('config', 'writable', 'image'))
    with pytest.raises(LifeboatError) as raised:
        rescue(dead, tmp_path / 'small', image_optional=False, **options)
    assert 'image ' in one_sentence(raised) and 'include' in one_sentence(raised)
    result = rescue(dead, tmp_path / 'small', **options)
    assert result['summary']['left_behind']['images'] == 1
    assert name + ': image' in result['summary']['left_behind']['names']
    assert 'IMAGE_LEFT_OUT' in [item['code'] for item in result['problems']]
    assert 'image' not in [item['kind'] for item in result['bundles'][0]['components']]
    assert result['bundles'][0]['status'] == 'complete'


def not_included(result, name):
    return [item for item in result['problems'] if item['code'] == 'NOT_INCLUDED' and item['object'] == name]


def test_binds_that_include_leaves_out_are_named(dead, tmp_path):
    """They are no fault: the bundle is complete, and a second run changes nothing."""
    web = dead[0].container('web')
    bind, = (mount for mount in web.mounts if mount.type == 'bind')
    result = rescue(dead, tmp_path / 'out', containers=('web',), include=FILES)
    note, = not_included(result, 'web')
    assert note['severity'] == 'info'
    assert 'include has no binds' in note['message'] and '%s at %s' % (bind.source, bind.destination) in note['message']
    assert 'binds' in note['next_step']
    assert result['bundles'][0]['status'] == 'complete'
    path = result['bundles'][0]['path']
    with open(os.path.join(path, 'manifest.json')) as found:
        assert note in json.load(found)['problems']
    with open(os.path.join(path, 'README.txt')) as found:
        assert bind.source in found.read()
    again = rescue(dead, tmp_path / 'out', containers=('web',), include=FILES)
    assert again['changed'] is False and not_included(again, 'web') == [note]
    assert not_included(rescue(dead, tmp_path / 'out', containers=('web',), include=FILES, check_mode=True), 'web') == [note]
    everything = rescue(dead, tmp_path / 'whole', containers=('web',), include=('config', 'writable', 'volumes', 'binds'))
    assert not_included(everything, 'web') == []
    assert everything['summary']['left_behind'] == {'binds': 0, 'volumes': 0, 'layers': 0, 'images': 0, 'names': []}
    for each in (result, again):
        assert each['summary']['left_behind'] == {'binds': 1, 'volumes': 0, 'layers': 0, 'images': 0, 'names': [
            'web: %s at %s' % (bind.source, bind.destination)]}


def test_volumes_that_include_leaves_out_are_named(dead, tmp_path):
    web = dead[0].container('web')
    names = sorted({mount.name for mount in web.mounts if mount.type == 'volume'})
    assert len(names) > 1
    result = rescue(dead, tmp_path / 'out', containers=('web',), include=('config', 'writable', 'binds'))
    note, = not_included(result, 'web')
    assert 'include has no volumes' in note['message'] and all(name in note['message'] for name in names)
    assert result['bundles'][0]['status'] == 'complete'
    # one that has a bundle of its own is not left out
    result = rescue(dead, tmp_path / 'own', containers=('web',), include=('config', 'writable', 'binds'), volumes=(names[0],))
    note, = not_included(result, 'web')
    assert names[0] not in note['message'] and names[1] in note['message']
    assert not_included(rescue(dead, tmp_path / 'all', containers=('web',), include=('config', 'writable', 'binds'), volumes=('*',)), 'web') == []


def test_many_mounts_are_named_in_a_bounded_sentence(tmp_path):
    container = model_container([('/srv/%d' % number + 'x' * 5000, '/mnt/%03d' % number) for number in range(500)], tmp_path)
    note, = plan.not_included(container, ('config',))
    assert '500 mounts' in note.message and 'and 495 more' in note.message and len(note.message) < 2500


def model_container(binds, folder):
    mounts = tuple(model.Mount('bind', None, source, os.fsencode(str(folder)), destination, True, None, False, model.COMPLETE, '', '', None)
                   for source, destination in binds)
    return types.SimpleNamespace(name='many', id='1' * 64, mounts=mounts)


def test_what_is_no_data_is_not_named(tmp_path, monkeypatch):
    """A socket of the host, a source that is not there (which has its own problem), tmpfs."""
    where = tmp_path / 'docker.sock'
    monkeypatch.chdir(tmp_path)         # the name of a socket must be short
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind('docker.sock')
    container = model_container([('/var/run/docker.sock', '/var/run/docker.sock')], where)
    lost = container.mounts[0]._replace(path=None)
    memory = container.mounts[0]._replace(type='tmpfs', path=None)
    container.mounts = container.mounts + (lost, memory)
    assert plan.not_included(container, ('config',)) == []


def test_the_worst_problems_come_first_and_are_not_crowded_out(dead, tmp_path, monkeypatch):
    notes = [bundle.problem('NOT_INCLUDED', 'many', 'note %d' % number) for number in range(300)]
    monkeypatch.setattr(plan, 'not_included', lambda *dummy: notes)
    result = rescue(dead, tmp_path / 'out')
    ranks = [('critical', 'warning', 'info').index(item['severity']) for item in result['problems']]
    assert ranks == sorted(ranks) and len(ranks) == bundle.MANIFEST_PROBLEMS and {0, 2} <= set(ranks)
    assert result['summary']['problems'] > 300


def test_an_image_without_a_file_that_it_cannot_hold_is_partial(tmp_path):
    """Named .wh.NAME it would be a deletion in the image, so it is left out there; the archive of the layer keeps its bytes."""
    host = tmp_path / 'host'
    expected = deadroot.build(str(host / 'var' / 'lib' / 'docker'), containers=4, host_root=str(host))
    victim = expected.container('db')
    dead = expected, os.fsencode(str(host))
    assert rescue(dead, tmp_path / 'before', containers=(victim.name,), include=('image',))['bundles'][0]['status'] == 'complete'
    with open(os.path.join(os.fsdecode(victim.upper), '.wh.precious'), 'wb') as target:
        target.write(b'precious')
    result = rescue(dead, tmp_path / 'image', containers=(victim.name,), include=('image',))
    assert result['bundles'][0]['status'] == 'partial' == result['bundles'][0]['components'][0]['status']
    note, = (item for item in result['problems'] if item['code'] == 'WHITEOUT_NAME')
    assert '/.wh.precious' in note['message'] and 'left out of the image' in note['message']
    assert rescue(dead, tmp_path / 'image', containers=(victim.name,), include=('image',))['changed'] is False
    result = rescue(dead, tmp_path / 'layer', containers=(victim.name,), include=FILES)
    assert result['bundles'][0]['status'] == 'complete' and 'WHITEOUT_NAME' in [item['code'] for item in result['problems']]


def test_volumes_of_one_name_in_two_data_roots_are_both_rescued(tmp_path):
    """Snap beside apt, or a data root that was moved: nothing of the second one may be left out unsaid."""
    for where in ('var/lib/docker', 'srv/docker'):
        root = str(tmp_path / 'host' / where)
        deadroot.build(root, containers=1, host_root=str(tmp_path / 'host'), recorded_root='/' + where, rich=False, seed=where)
        os.makedirs(os.path.join(root, 'volumes', 'both', '_data'))
        with open(os.path.join(root, 'volumes', 'both', '_data', 'which'), 'w') as which:
            which.write(where)
    results = []
    for dummy in range(2):
        with registry.open_host(os.fsencode(str(tmp_path / 'host')), [b'/var/lib/docker', b'/srv/docker']) as host:
            results.append(run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='box', compression='none', volumes=('*',))))
    volumes = [item for item in results[0]['bundles'] if item['name'].startswith('volume-both')]
    found = set()
    for item in volumes:
        with open(os.path.join(item['path'], 'volumes', 'both.tar'), 'rb') as archive:
            raw = archive.read()
        found.update(where for where in ('var/lib/docker', 'srv/docker') if where.encode() in raw)
    assert len(volumes) == 2 and found == {'var/lib/docker', 'srv/docker'}
    assert {item['status'] for item in volumes} == {'complete'} and results[1]['changed'] is False


def test_the_default_takes_all_that_people_expect(dead, tmp_path):
    web = dead[0].container('web')
    bind, = (mount for mount in web.mounts if mount.type == 'bind')
    result = rescue(dead, tmp_path / 'out', containers=('web',))
    parts = {item['kind']: item for item in result['bundles'][0]['components']}
    assert set(parts) == {'config', 'writable', 'image', 'volume', 'bind', 'log'}
    with tarfile.open(os.path.join(result['bundles'][0]['path'], parts['bind']['file'])) as archive:
        assert archive.getnames()
    assert bind.source and result['summary']['left_behind']['names'] == []


def test_binds_for_which_there_is_no_room_cost_nothing_else(tmp_path, monkeypatch):
    """The largest goes first; the bundle is partial, says so, and the next run with room takes it."""
    host = tmp_path / 'host'
    expected = deadroot.build(str(host / 'var' / 'lib' / 'docker'), containers=2, host_root=str(host))
    dead = expected, os.fsencode(str(host))
    bind, = (mount for mount in expected.container('web').mounts if mount.type == 'bind')
    with open(os.path.join(str(host), bind.source.lstrip('/'), 'large'), 'wb') as out:
        out.write(os.urandom(8 << 20))
    monkeypatch.setattr(run.fsinfo, 'free', lambda path: run.fsinfo.Free(run.RESERVE + (4 << 20), 1000, 10 ** 9))
    include = FILES + ('binds',)
    with pytest.raises(LifeboatError) as raised:
        rescue(dead, tmp_path / 'out', include=include, binds_optional=False)
    said = one_sentence(raised)
    assert 'binds 8.' in said and said.index('binds 8.') < said.index('writable ') and 'include' in said
    for dummy in range(2):
        result = rescue(dead, tmp_path / 'out', include=include)
        web, = (item for item in result['bundles'] if item['container'] == 'web')
        assert web['status'] == 'partial' and 'bind' not in {item['kind'] for item in web['components']}
        assert [item['code'] for item in web['problems']].count('BIND_LEFT_OUT') == 1
        assert any(bind.source in item['message'] for item in web['problems'])
        assert result['summary']['left_behind']['binds'] == 1
        assert {item['status'] for item in result['bundles'] if item is not web} == {'complete'}
        assert 'WHITEOUT_NAME' in [item['code'] for item in web['problems']]     # also where its archive is taken over
    assert result['changed'] is False
    monkeypatch.undo()
    result = rescue(dead, tmp_path / 'out', include=include)
    web, = (item for item in result['bundles'] if item['container'] == 'web')
    assert web['status'] == 'complete' and 'bind' in {item['kind'] for item in web['components']}


def test_what_was_just_rescued_is_not_to_be_rescued(dead, tmp_path):
    for dummy in range(2):
        result = rescue(dead, tmp_path / 'out')
        steps = [item['next_step'] for item in result['problems'] if item['code'] == 'REMOVED_AT_NEXT_START']
        assert steps and not [step for step in steps if 'Rescue it' in step]
    ahead = rescue(dead, tmp_path / 'other', check_mode=True)
    assert [item for item in ahead['problems'] if 'Rescue it' in item['next_step']]


def test_a_bundle_says_why_it_is_not_complete(dead, tmp_path):
    victim = next(item for item in dead[0].containers if item.mounts)
    parked = victim.upper + b'.parked'
    os.rename(victim.upper, parked)
    try:
        result = rescue(dead, tmp_path / 'out')
    finally:
        os.rename(parked, victim.upper)
    item, = (item for item in result['bundles'] if item['container'] == victim.name)
    assert item['status'] != 'complete' and item['problems'][0]['code'] == 'WRITABLE_LAYER_LOST'
    assert all(len(item['problems']) <= run.REASONS for item in result['bundles'])


def test_an_error_of_the_target_costs_one_bundle(dead, tmp_path, monkeypatch):
    """Whatever call it comes from: here the rename that gives the name."""
    real = os.rename
    hit = []

    def rename(source, target, **options):
        if not hit and source.endswith(b'.partial') and b'shop' not in source:
            hit.append(source)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(source, target, **options)

    monkeypatch.setattr(os, 'rename', rename)
    result = rescue(dead, tmp_path / 'out')
    assert hit and [item['status'] for item in result['bundles']].count('lost') == 1
    note, = (item for item in result['problems'] if item['code'] == 'NOT_WRITTEN')
    assert 'Input/output error' in note['message']
    found = info.inspect(os.fsencode(str(tmp_path / 'out')), True)
    assert len(found) == len(result['bundles']) - 1 and {item['status'] for item in found} == {'verified'}
    assert {item['status'] for item in info.inspect(os.fsencode(str(tmp_path / 'out')), True)} == {'verified'}
    again = rescue(dead, tmp_path / 'out')
    assert 'lost' not in [item['status'] for item in again['bundles']]


# -- verdicts ------------------------------------------------------------------------------------------------------------------------


def counts(**more):
    return dict({'bundles': 3, 'lost': 0, 'partial': 0, 'unsupported': 0}, **more)


@pytest.mark.parametrize('summary, failing', [
    (counts(), ()), (counts(lost=1), ('lost', 'partial')), (counts(lost=3), ('lost', 'partial')), (counts(partial=1), ('partial',)),
    (counts(unsupported=1), ('partial',)), (counts(bundles=0), ('lost', 'partial'))])
def test_verdicts(summary, failing):
    result = {'summary': summary, 'bundles': [], 'problems': []}
    assert tuple(fail_on for fail_on in ('never', 'lost', 'partial') if run.verdict(result, fail_on)) == failing


def test_a_verdict_has_the_reason_and_the_next_step(dead, tmp_path, monkeypatch):
    (tmp_path / 'host').mkdir()
    with registry.open_host(os.fsencode(str(tmp_path / 'host'))) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'none')), host_name='box'))
    said = run.verdict(result, 'lost')
    assert said.startswith('Nothing was rescued') and result['problems'][0]['next_step'] in said

    def full(*dummy):
        raise compress.CompressError('cannot write x: No space left on device; make room there')
    monkeypatch.setattr(bundle, 'write', full)
    result = rescue(dead, tmp_path / 'out')
    said = run.verdict(result, 'lost')
    assert said.startswith('None of %d bundles was rescued' % len(result['bundles'])) and 'No space left' in said


@pytest.mark.parametrize('mistake', [TypeError, KeyError, AttributeError])
def test_a_mistake_of_ours_does_not_pass_for_a_damaged_record(dead, tmp_path, monkeypatch, mistake):
    def define(*dummy, **options):
        raise mistake('of ours')
    monkeypatch.setattr(files, 'files', define)
    with pytest.raises(mistake):
        rescue(dead, tmp_path / 'out', include=('config',))


def test_two_runs_do_not_share_what_they_say_of_themselves():
    first, second = (run._settings(run.Request(b'/out', compression='none'), None) for dummy in range(2))
    assert first.progress is not second.progress
    assert bundle.Settings(None, ()).progress is None
