"""Files of damaged image layers come back from the same layer elsewhere, and from nothing else."""
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile

import pytest
from repairing import Dead, codes, empty, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run, whole

# what an ordinary user builds is a rootless root, whose owners inside are not those on the disk: there no donor is taken
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='only root can build a data root that is not a rootless one')


@pytest.fixture
def dead(tmp_path):
    return Dead(tmp_path / 'dead', containers=1)


def layer_files(dead):
    """Regular files with content and one name of all image layers, as paths."""
    found = []
    for number in range(len(dead.expected.images[0].layers)):
        for folder, dummy, names in os.walk(dead.cache(number, 'diff')):
            for name in names:
                st = os.lstat(os.path.join(folder, name))
                if os.path.isfile(os.path.join(folder, name)) and not os.path.islink(os.path.join(folder, name)) and st.st_size and st.st_nlink == 1:
                    found.append(os.path.join(folder, name))
    return sorted(found)


def config_of(dead):
    ident = dead.expected.images[0].id[7:]
    with open(os.path.join(dead.image, 'imagedb/content/sha256', ident), 'rb') as stream:
        return stream.read()


def add(tar, name, data):
    item = tarfile.TarInfo(name)
    item.size = len(data)
    tar.addfile(item, io.BytesIO(data))


def archive(dead, path, pack=None):
    """What docker save writes."""
    raw, layers = config_of(dead), [layer.tar for layer in dead.expected.images[0].layers]
    with tarfile.open(path, 'w') as tar:
        add(tar, 'config.json', raw)
        for number, layer in enumerate(layers):
            add(tar, '%d/layer.tar' % number, pack(layer) if pack else layer)
        add(tar, 'manifest.json', json.dumps([{'Config': 'config.json', 'RepoTags': [], 'Layers': ['%d/layer.tar' % n for n in range(len(layers))]}]).encode())
    return path


def layout(dead, path):
    """An OCI image layout with packed layers."""
    blobs = os.path.join(path, 'blobs/sha256')
    os.makedirs(blobs)

    def blob(data):
        name = hashlib.sha256(data).hexdigest()
        put(os.path.join(blobs, name), data)
        return {'digest': 'sha256:' + name, 'size': len(data)}
    layers = [blob(gzip.compress(layer.tar)) for layer in dead.expected.images[0].layers]
    manifest = blob(json.dumps({'config': blob(config_of(dead)), 'layers': layers}).encode())
    put(os.path.join(path, 'index.json'), json.dumps({'manifests': [manifest]}).encode())
    put(os.path.join(path, 'oci-layout'), b'{"imageLayoutVersion": "1.0.0"}')
    return path


def bundle(dead, path):
    os.makedirs(path)
    archive(dead, os.path.join(path, 'image.tar'))
    return path


def data_root(dead, path):
    return Dead(path, containers=1).path


DONORS = {
    'archive': archive, 'packed archive': lambda dead, path: archive(dead, path, gzip.compress), 'layout': layout, 'bundle': bundle, 'data root': data_root}


@pytest.mark.parametrize('kind', sorted(DONORS))
def test_files_come_back_with_content_owner_mode_and_time(dead, tmp_path, kind):
    files = layer_files(dead)
    dead.run(run.GUARDED)
    whole = snapshot(dead.overlay)
    empty(files[0])
    put(files[-1], b'x' * os.path.getsize(files[-1]))
    os.unlink(files[len(files) // 2])
    broken = snapshot(dead.overlay)
    donor = os.fsencode(DONORS[kind](dead, str(tmp_path / 'donor')))
    result = dead.run(donors=[donor])
    assert {step['path'] for step in result['plan']} == {os.path.relpath(path, dead.path) for path in (files[0], files[-1], files[len(files) // 2])}
    assert {(step['code'], step['certainty'], step['done']) for step in result['plan']} == {('LAYER_FILE', 'certain', True)}
    now = snapshot(dead.overlay)
    assert {path: one[:3] + one[4:] for path, one in now.items()} == {path: one[:3] + one[4:] for path, one in whole.items()}
    assert all(now[os.path.relpath(path, dead.overlay)][3] // 10 ** 9 == whole[os.path.relpath(path, dead.overlay)][3] // 10 ** 9 for path in files)
    assert dead.run(run.PLANNED, donors=[donor])['plan'] == []
    undone = dead.run(run.REVERTED)
    assert undone['unresolved'] == []
    assert {path: one for path, one in snapshot(dead.overlay).items() if os.path.isfile(os.path.join(dead.overlay, path))} == \
        {path: one for path, one in broken.items() if os.path.isfile(os.path.join(dead.overlay, path))}


def test_a_damaged_donor_gives_what_it_has_whole(dead, tmp_path):
    files = layer_files(dead)
    other = Dead(tmp_path / 'other', containers=1)
    theirs = layer_files(other)
    folder = os.path.relpath(files[0], dead.overlay).partition('/')[0]
    mine = [path for path in files if os.path.relpath(path, dead.overlay).startswith(folder)]
    same = [path for path in theirs if os.path.relpath(path, other.overlay) == os.path.relpath(mine[0], dead.overlay)]
    assert len(same) == 1
    empty(mine[0])
    for path in theirs:
        if path != same[0]:
            put(path, b'rotten')
    result = dead.run(donors=[os.fsencode(other.path)])
    assert [(step['path'], step['certainty']) for step in result['plan'] if step['code'] == 'LAYER_FILE'] == [
        (os.path.relpath(mine[0], dead.path), 'certain')]


def test_another_content_is_not_taken(dead, tmp_path):
    files = layer_files(dead)
    other = Dead(tmp_path / 'other', containers=1)
    for path in layer_files(other):
        put(path, b'y' * os.path.getsize(path))
    empty(files[0])
    before = snapshot(dead.overlay)
    result = dead.run(donors=[os.fsencode(other.path)])
    assert 'LAYER_FILE' not in codes(result['plan'])
    assert [one['path'] for one in result['unresolved'] if one['code'] == 'LAYER_FILE'] == [os.path.relpath(files[0], dead.path)]
    assert snapshot(dead.overlay) == before


def test_a_part_that_no_donor_has_makes_the_rest_only_likely(dead, tmp_path):
    files = [path for path in layer_files(dead) if path.startswith(dead.cache(0))]
    assert len(files) > 1
    other = Dead(tmp_path / 'other', containers=1)
    put(os.path.join(other.overlay, os.path.relpath(files[1], dead.overlay)), b'rotten')
    empty(files[0])
    empty(files[1])
    result = dead.run(donors=[os.fsencode(other.path)])
    assert [(step['certainty'], step['selected']) for step in result['plan'] if step['code'] == 'LAYER_FILE'] == [('likely', False)]
    assert os.path.getsize(files[0]) == 0
    dead.run(donors=[os.fsencode(other.path)], steps=['LAYER_FILE'])
    assert os.path.getsize(files[0]) > 0 and os.path.getsize(files[1]) == 0


def test_a_file_with_several_names_is_left_and_said(dead, tmp_path):
    files = layer_files(dead)
    other = Dead(tmp_path / 'other', containers=1)
    os.link(files[0], files[0] + '.link')
    empty(files[0])
    result = dead.run(donors=[os.fsencode(other.path)])
    assert any('hard links' in one['why'] for one in result['unresolved'])
    assert os.path.getsize(files[0]) == 0


def test_without_a_donor_no_layer_is_read(dead):
    empty(layer_files(dead)[0])
    assert 'LAYER_FILE' not in codes(dead.plan())


@pytest.mark.parametrize('made', [os.makedirs, lambda path: put(path, b'no archive' * 100), lambda path: None])
def test_what_is_no_donor_is_named(dead, tmp_path, made):
    path = str(tmp_path / 'nothing')
    made(path)
    empty(layer_files(dead)[0])
    with pytest.raises(LifeboatError, match='donor .*nothing'):
        dead.run(donors=[os.fsencode(path)])


@pytest.mark.parametrize('manifest', [b'[]', b'{}', b'[{"Config": 5, "Layers": "x"}]', b'[[]]', b'[{"Config": "config.json", "Layers": [7, {}]}]', b'\xff'])
def test_a_strange_archive_gives_nothing(dead, tmp_path, manifest):
    path = str(tmp_path / 'strange.tar')
    with tarfile.open(path, 'w') as tar:
        add(tar, 'config.json', config_of(dead))
        add(tar, 'manifest.json', manifest)
    empty(layer_files(dead)[0])
    result = dead.run(donors=[os.fsencode(path)])
    assert 'LAYER_FILE' in [one['code'] for one in result['unresolved']]


# -- a layer as a whole ---------------------------------------------------------------------------------------------------


def meaning(dead):
    """The driver's folder without times of what a repair makes itself, and without the link that the folder of links is not."""
    return {path: one[:3] + one[4:] for path, one in snapshot(dead.overlay).items() if path.count('/') > 1}


def times(dead):
    return {path: one[3] // 10 ** 9 for path, one in snapshot(dead.overlay).items() if path.count('/') > 1 and '/diff/' in path}


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can make device nodes')
@pytest.mark.parametrize('kind', sorted(DONORS))
@pytest.mark.parametrize('number', [0, 2])
def test_a_lost_layer_comes_back_as_a_whole(dead, tmp_path, kind, number):
    dead.run(run.GUARDED)
    unbroken, then = meaning(dead), times(dead)
    shutil.rmtree(dead.cache(number))
    broken = snapshot(dead.overlay)
    donor = os.fsencode(DONORS[kind](dead, str(tmp_path / 'donor')))
    result = dead.run(donors=[donor])
    assert ('LAYER_FOLDER', 'place', 'certain', True) in [(step['code'], step['operation'], step['certainty'], step['done']) for step in result['plan']]
    assert meaning(dead) == unbroken and times(dead) == then
    assert dead.run(run.PLANNED, donors=[donor])['plan'] == []
    assert dead.run(run.REVERTED)['unresolved'] == []
    assert snapshot(dead.overlay) == broken
    dead.run(donors=[donor])
    assert meaning(dead) == unbroken


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can make device nodes')
def test_a_lost_layer_does_not_come_from_a_donor_with_another_digest(dead, tmp_path):
    other = Dead(tmp_path / 'other', containers=1)
    path = next(path for path in layer_files(other) if path.startswith(other.cache(1)))
    put(path, b'z' * os.path.getsize(path))
    shutil.rmtree(dead.cache(1))
    before = snapshot(dead.overlay)
    result = dead.run(donors=[os.fsencode(other.path)])
    assert 'LAYER_FOLDER' not in codes(result['plan']) and 'LAYER_FOLDER' in [one['code'] for one in result['unresolved']]
    assert {path: one for path, one in snapshot(dead.overlay).items() if path in before} == before


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can make device nodes')
def test_a_run_that_is_killed_while_a_layer_is_made_is_undone(dead, tmp_path, monkeypatch):
    donor = os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))
    shutil.rmtree(dead.cache(1))
    broken = snapshot(dead.path)

    def killed(*dummy):
        raise KeyboardInterrupt()
    with monkeypatch.context() as patch:
        patch.setattr(whole, '_mark', killed)
        with pytest.raises(KeyboardInterrupt):
            dead.run(donors=[donor])
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.path) == broken
    dead.run(donors=[donor])
    assert os.path.isdir(dead.cache(1, 'diff'))
