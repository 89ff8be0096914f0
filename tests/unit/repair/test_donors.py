"""Files of damaged image layers come back from the same layer elsewhere, and from nothing else."""
import base64
import errno
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from typing import NamedTuple

import pytest
from repairing import Dead, codes, empty, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarsplit
from ansible_collections.lifeboat.docker.plugins.module_utils.images import layerdata
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import donors, heal, run, whole

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


CAPABILITY = '\x01\x00\x00\x02\x00\x04' + '\x00' * 14


class OneLayer(NamedTuple):
    tar: bytes
    config: bytes
    folder: str


def saved(layer, folder):
    """The image of one LAYER as docker save writes it into the new file donor.tar of FOLDER -> its path in bytes."""
    path = str(folder / 'donor.tar')
    with tarfile.open(path, 'w') as tar:
        add(tar, 'config.json', layer.config)
        add(tar, 'layer.tar', layer.tar)
        add(tar, 'manifest.json', json.dumps([{'Config': 'config.json', 'RepoTags': [], 'Layers': ['layer.tar']}]).encode())
    return os.fsencode(path)


def one_layer(dead, members):
    """One more image of one layer, from MEMBERS (name, content or None for a folder, PAX records) -> (OneLayer, path of the last one)."""
    raw, lines, fill = io.BytesIO(), [], b''

    def line(**entry):
        lines.append(json.dumps(dict(entry, position=len(lines))).encode() + b'\n')
    for name, data, pax in members:
        item = tarfile.TarInfo(name)
        item.type, item.mode, item.size = (tarfile.DIRTYPE, 0o755, 0) if data is None else (tarfile.REGTYPE, 0o644, len(data))
        item.pax_headers = pax
        header = item.tobuf(tarfile.PAX_FORMAT, 'utf-8', 'surrogateescape')
        raw.write(header + (data or b'') + bytes(-len(data or b'') % 512))
        line(type=2, payload=base64.b64encode(fill + header).decode())
        sum_of = {'payload': base64.b64encode(tarsplit.crc64(data).to_bytes(8, 'big')).decode(), 'size': len(data)} if data else {'payload': None}
        line(type=1, name=name, **sum_of)
        fill = bytes(-len(data or b'') % 512)
    raw.write(bytes(1024))
    line(type=2, payload=base64.b64encode(fill + bytes(1024)).decode())
    digest = hashlib.sha256(raw.getvalue()).hexdigest()
    cache = hashlib.sha256(b'cache of ' + digest.encode()).hexdigest()
    folder, record = os.path.join(dead.overlay, cache, 'diff'), os.path.join(dead.image, 'layerdb/sha256', digest)
    os.makedirs(folder)
    os.makedirs(record)
    for name, text in (('cache-id', cache), ('diff', 'sha256:' + digest), ('size', str(sum(len(data or b'') for dummy, data, dummy2 in members)))):
        put(os.path.join(record, name), text.encode())
    put(os.path.join(record, 'tar-split.json.gz'), gzip.compress(b''.join(lines)))
    raw.seek(0)
    with tarfile.open(fileobj=raw) as tar:
        tar.extractall(folder, **({'filter': 'fully_trusted'} if hasattr(tarfile, 'fully_trusted_filter') else {}))
    config = json.dumps({'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + digest]}}).encode()
    put(os.path.join(dead.image, 'imagedb/content/sha256', hashlib.sha256(config).hexdigest()), config)
    dead.run()                          # link, l/: as an engine has them
    return OneLayer(raw.getvalue(), config, folder), os.path.join(folder, members[-1][0])


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


def linked_of(dead):
    """(path, another name of it) of a file with content and several names in an image layer."""
    seen = {}
    for number in range(len(dead.expected.images[0].layers)):
        for folder, dummy, names in os.walk(dead.cache(number, 'diff')):
            for name in sorted(names):
                path = os.path.join(folder, name)
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode) and st.st_nlink > 1 and st.st_size:
                    if st.st_ino in seen:
                        return seen[st.st_ino], path
                    seen[st.st_ino] = path
    raise AssertionError('no layer has hard links')


@pytest.mark.parametrize('harm', ['empty', 'one name gone'])
def test_a_file_with_several_names_comes_back_with_its_whole_layer(dead, tmp_path, harm):
    """A new file would leave its other names with what is damaged. The damaged layer is kept beside the root."""
    dead.run(run.GUARDED)
    unbroken, then = meaning(dead), times(dead)
    one, other = linked_of(dead)
    empty(other)
    if harm == 'one name gone':
        os.unlink(one)
    broken = snapshot(dead.overlay)
    donor = os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))
    result = dead.run(donors=[donor])
    assert [(step['code'], step['operation'], step['done']) for step in result['plan']] == [('LAYER_FOLDER', 'aside', True), ('LAYER_FOLDER', 'place', True)]
    assert meaning(dead) == unbroken and times(dead) == then and os.path.samefile(one, other)
    assert dead.run(run.PLANNED, donors=[donor])['plan'] == []
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.overlay) == broken


def test_a_file_with_several_names_is_left_and_said_where_no_donor_has_its_layer_whole(dead, tmp_path):
    one, other = linked_of(dead)
    donor = Dead(tmp_path / 'other', containers=1)
    mine = os.path.relpath(one, dead.overlay).partition('/')[0]
    rotten = next(path for path in layer_files(donor) if os.path.relpath(path, donor.overlay).startswith(mine))
    put(rotten, b'rotten')
    empty(one)
    result = dead.run(donors=[os.fsencode(donor.path)])
    assert any('hard links' in each['why'] for each in result['unresolved'])
    assert os.path.getsize(one) == 0 and os.path.samefile(one, other)


def gone_without_content(dead):
    """A link and an empty folder of image layers, as paths."""
    found = {}
    for number in range(len(dead.expected.images[0].layers)):
        for folder, folders, names in os.walk(dead.cache(number, 'diff')):
            for name in sorted(folders + names):
                path = os.path.join(folder, name)
                st = os.lstat(path)
                found.setdefault('link' if stat.S_ISLNK(st.st_mode) else 'folder' if stat.S_ISDIR(st.st_mode) and not os.listdir(path) else '', path)
    return found


@pytest.mark.parametrize('kind', ['another link', 'folder'])
def test_what_has_no_content_is_missed_too(dead, tmp_path, kind):
    dead.run(run.GUARDED)
    unbroken, then = meaning(dead), times(dead)
    path = gone_without_content(dead).get(kind.rpartition('another ')[2])
    (os.rmdir if kind == 'folder' else os.unlink)(path)
    if kind == 'another link':
        os.symlink('elsewhere', path)
    result = dead.run(donors=[os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))])
    assert [(step['code'], step['operation']) for step in result['plan']] == [('LAYER_FOLDER', 'aside'), ('LAYER_FOLDER', 'place')]
    assert meaning(dead) == unbroken and times(dead) == then


def test_much_damage_is_healed_with_the_whole_layer(dead, tmp_path, monkeypatch):
    """After a power cut a layer may have nothing but empty files."""
    dead.run(run.GUARDED)
    unbroken, then = meaning(dead), times(dead)
    for path in layer_files(dead):
        empty(path)
    monkeypatch.setattr(heal, 'MAX_BYTES', 10)
    donor = os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))
    result = dead.run(donors=[donor])
    assert result['unresolved'] == [] and 'too much' in result['plan'][0]['why']
    assert meaning(dead) == unbroken and times(dead) == then
    assert dead.run(run.PLANNED, donors=[donor])['plan'] == []


def test_a_healed_file_has_the_attributes_of_the_image_and_its_folder_the_old_time(dead, tmp_path):
    """A capability is lost where a file is emptied; without it a program of the image fails, and nobody sees why."""
    pax = {'SCHILY.xattr.security.capability': CAPABILITY, 'mtime': '1500000000.123456789'}
    layer, path = one_layer(dead, [('opt', None, {}), ('opt/ping', b'program', pax)])
    os.unlink(path)
    os.utime(os.path.dirname(path), (1, 2))
    result = dead.run(donors=[saved(layer, tmp_path)])
    assert [(step['code'], step['certainty']) for step in result['plan'] if step['code'].startswith('LAYER')] == [('LAYER_FILE', 'certain')]
    assert os.getxattr(path, 'security.capability') == CAPABILITY.encode('utf-8', 'surrogateescape')
    assert os.stat(path).st_mtime_ns == 1500000000123456789 and os.stat(os.path.dirname(path)).st_mtime == 2


@pytest.mark.parametrize('change', [{'size': 9 << 30}, {'name': 'bytes-\udcff'}, {'name': 'long/' * 60 + 'name'}, {'uid': 3000000, 'gid': 1 << 31},
                                    {'mtime': 0.5}])
def test_headers_of_every_sort_tell_the_attributes(change):
    """What does not fit into the first header of a member stands in one before it."""
    item = tarfile.TarInfo(change.get('name', 'large'))
    item.mode, item.mtime = 0o4750, 1
    for key, value in change.items():
        setattr(item, key, value)
    for form in (tarfile.PAX_FORMAT,) if 'mtime' in change else (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        found = heal._attributes(item.tobuf(form, 'utf-8', 'surrogateescape'))
        time = int(item.mtime * 10 ** 9)
        assert found == {'mode': 0o4750, 'uid': item.uid, 'gid': item.gid, 'times': [time, time]}


def test_a_layer_that_names_no_folders_comes_back_as_a_whole(dead, tmp_path):
    """Builders other than Docker's write files without the folders above them; an engine makes those."""
    layer, path = one_layer(dead, [('opt/deep/one', b'one', {}), ('opt', None, {}), ('opt/two', b'two', {})])
    shutil.rmtree(layer.folder)
    result = dead.run(donors=[saved(layer, tmp_path)])
    assert 'LAYER_FOLDER' in codes(result['plan']) and not [one for one in result['unresolved'] if one['code'] == 'LAYER_FOLDER']
    with open(path, 'rb') as stream:
        assert stream.read() == b'two'
    with open(os.path.join(layer.folder, 'opt/deep/one'), 'rb') as stream:
        assert stream.read() == b'one'


def test_folders_that_the_tar_does_not_name_stay_as_they_were(dead, tmp_path):
    """An engine made them when it unpacked the layer: nothing else knows their owner, mode and time."""
    layer, path = one_layer(dead, [('opt/deep/one', b'one', {}), ('opt/two', b'two', {})])
    os.link(path, path + '-too')        # one more name: the layer comes as a whole
    empty(path)
    for number, folder in enumerate((layer.folder, os.path.join(layer.folder, 'opt'), os.path.join(layer.folder, 'opt/deep'))):
        os.chown(folder, 5, 6)
        os.chmod(folder, 0o700)
        os.utime(folder, (number, number))
    result = dead.run(donors=[saved(layer, tmp_path)])
    assert [step['operation'] for step in result['plan'] if step['code'] == 'LAYER_FOLDER'] == ['aside', 'place']
    for number, folder in enumerate((layer.folder, os.path.join(layer.folder, 'opt'), os.path.join(layer.folder, 'opt/deep'))):
        st = os.lstat(folder)
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), st.st_mtime) == (5, 6, 0o700, number)
    assert os.path.getsize(path) == 3 and not os.path.exists(path + '-too')


def test_a_layer_whose_tar_split_data_are_damaged_is_said(dead, tmp_path):
    """Nobody can tell then which of its files are whole."""
    path = dead.layer(0, 'tar-split.json.gz')
    put(path, b'\x1f\x8b rotten')
    result = dead.run(run.PLANNED, donors=[os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))])
    assert ['tar-split' in one['why'] for one in result['unresolved'] if one['code'] == 'LAYER_FILE'] == [True]


@pytest.mark.parametrize('kind, lose', [('archive', empty)] + [(kind, os.unlink) for kind in sorted(DONORS)])
def test_a_lost_tar_split_file_is_made_anew(dead, tmp_path, kind, lose):
    """Without it docker save and docker push fail; the tar of the layer tells all that it had."""
    dead.run(run.GUARDED)
    whole_state = snapshot(dead.image)
    path = dead.layer(1, 'tar-split.json.gz')
    with gzip.open(path) as stream:
        lines = [json.loads(line.decode()) for line in stream]
    lose(path)
    broken = snapshot(dead.image)
    donor = os.fsencode(DONORS[kind](dead, str(tmp_path / 'donor')))
    assert [one['code'] for one in dead.run(run.PLANNED)['unresolved']] == ['LAYER_TAR_SPLIT']
    result = dead.run(donors=[donor])
    assert [(step['code'], step['certainty'], step['done']) for step in result['plan']] == [('LAYER_TAR_SPLIT', 'certain', True)]
    with gzip.open(path) as stream:
        assert [json.loads(line.decode()) for line in stream] == lines
    assert dead.run(run.PLANNED, donors=[donor])['plan'] == []
    assert set(snapshot(dead.image)) == set(whole_state)
    assert dead.run(run.REVERTED)['unresolved'] == [] and snapshot(dead.image) == broken


def test_a_file_that_the_disk_does_not_give_is_said(dead, tmp_path, monkeypatch):
    """What a bad disk hides is no damage that a donor heals: another write may make it worse."""
    def failing(dummy, name, size):
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        yield b''       # pylint: disable=unreachable
    monkeypatch.setattr(layerdata.LayerFiles, 'open', failing)
    result = dead.run(run.PLANNED, donors=[os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))])
    assert {one['code'] for one in result['unresolved']} == {'LAYER_FILE'} and all('cannot be read' in one['why'] for one in result['unresolved'])
    assert not [step for step in result['plan'] if step['code'].startswith('LAYER')]


def test_layers_of_a_containerd_store_are_said_not_to_be_compared(dead, tmp_path):
    store = Dead(tmp_path / 'store', containers=1, store='containerd')
    result = store.run(run.PLANNED, donors=[os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))])
    assert [one['code'] for one in result['unresolved']] == ['LAYER_FILE'] and 'not compared' in result['unresolved'][0]['why']
    assert store.run(run.PLANNED)['unresolved'] == []


def test_many_small_layers_do_not_take_the_room_of_manifests(dead, tmp_path, monkeypatch):
    """In an archive of today's engines a layer is a blob like a manifest is one."""
    monkeypatch.setattr(donors, 'MAX_KEPT', 20000)
    path = str(tmp_path / 'donor.tar')
    raw, layers = config_of(dead), [layer.tar for layer in dead.expected.images[0].layers]
    with tarfile.open(path, 'w') as tar:
        for number in range(10):
            add(tar, 'blobs/sha256/%064d' % number, b'x' * 5000)
        for number, layer in enumerate(layers):
            add(tar, 'blobs/sha256/a%063d' % number, layer)
        add(tar, 'blobs/sha256/b', raw)
        add(tar, 'manifest.json', json.dumps([{'Config': 'blobs/sha256/b', 'Layers': ['blobs/sha256/a%063d' % n for n in range(len(layers))]}]).encode())
    file = layer_files(dead)[0]
    empty(file)
    dead.run(donors=[os.fsencode(path)])
    assert os.path.getsize(file)


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
    """Of what the tar has times for: a device that marks what was deleted has that of the moment."""
    return {path: one[3] // 10 ** 9 for path, one in snapshot(dead.overlay).items() if path.count('/') > 1 and '/diff/' in path and not stat.S_ISCHR(one[0])}


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
def test_another_folder_on_the_same_parent_is_no_lost_layer(dead, tmp_path):
    """What a build has left there lies as the lost layer did; its record says which folder was its own."""
    donor = os.fsencode(archive(dead, str(tmp_path / 'donor.tar')))
    other = os.path.join(dead.overlay, 'e' * 64)
    os.makedirs(os.path.join(other, 'diff'))
    shutil.copy(dead.cache(1, 'lower'), other)
    put(os.path.join(other, 'link'), b'E' * 26)
    shutil.rmtree(dead.cache(1))
    assert 'LAYER_CACHE_ID' not in codes(dead.run(run.PLANNED)['plan'])
    dead.run(donors=[donor], steps=['all'])
    with open(dead.layer(1, 'cache-id'), encoding='ascii') as stream:
        assert stream.read() == os.path.basename(dead.cache(1))
    assert os.path.isdir(dead.cache(1, 'diff'))


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
