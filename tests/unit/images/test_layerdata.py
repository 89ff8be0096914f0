"""The exact tar of a layer, from tar-split and from blobs; damage is named; what is left is a new layer."""
import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile

import deadroot
import layertree
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.images import layerdata
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model


def sha(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def member(tar, name, data=None, kind=tarfile.REGTYPE, link='', mode=0o644):
    item = tarfile.TarInfo(name)
    item.type, item.linkname, item.mode, item.mtime = kind, link, mode, 1600000000
    item.size = len(data or b'')
    tar.addfile(item, io.BytesIO(data or b''))


def tar_of(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT, errors='surrogateescape') as tar:
        for each in members:
            member(tar, *each)
    return out.getvalue()


def split_of(raw):
    """Lines of tar-split.json for a tar (bytes)."""
    lines, at = [], 0

    def line(**entry):
        lines.append(json.dumps(dict(entry, position=len(lines))).encode() + b'\n')

    with tarfile.open(fileobj=io.BytesIO(raw), errors='surrogateescape') as tar:
        for item in tar:
            line(type=2, payload=base64.b64encode(raw[at:item.offset_data]).decode())
            data = raw[item.offset_data:item.offset_data + item.size] if item.isreg() else b''
            name = os.fsencode(item.name)
            try:
                fields = {'name': name.decode('utf-8')}
            except UnicodeDecodeError:
                fields = {'name_raw': base64.b64encode(name).decode()}
            payload = base64.b64encode(layertree.crc64(data)).decode() if data else None
            line(type=1, size=len(data), payload=payload, **fields)
            at = item.offset_data + len(data)
    line(type=2, payload=base64.b64encode(raw[at:]).decode())
    return b''.join(lines)


@pytest.fixture
def place(tmp_path):
    """place(raw tar, files): the ImageLayer of a layer whose folder holds FILES {path: content}."""
    def make(raw, files, encoding=model.OVERLAY, name='layer'):
        folder = tmp_path / name
        folder.mkdir()
        for path, content in files.items():
            full = os.path.join(os.fsencode(str(folder)), path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'wb') as out:
                out.write(content)
        split = tmp_path / (name + '.json.gz')
        split.write_bytes(gzip.compress(split_of(raw)))
        return model.ImageLayer(sha(raw), sha(raw), 'x', os.fsencode(str(folder)), 1, model.COMPLETE, encoding,
                                os.fsencode(str(split)))
    return make


@pytest.fixture(scope='module', params=['graphdriver', 'containerd'])
def dead(request, tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var/lib/docker'), host_root=str(tmp), images=2, store=request.param)
    with registry.open_host(os.fsencode(str(tmp)), [b'/var/lib/docker']) as host:
        yield expected, list(host.roots[0].images())


def test_every_layer_of_a_host_comes_out_exactly(dead):
    expected, images = dead
    wanted = {layer.diff_id: layer.tar for image in expected.images for layer in image.layers}
    seen = set()
    for image in images:
        for position, layer in enumerate(image.layers):
            below = image.layers[:position][::-1]
            if layer.blob is not None:
                got = b''.join(layerdata.blob_tar(layer))
                assert sha(b''.join(layerdata.blob_bytes(layer))) == layer.blob_digest
            else:
                got = b''.join(layerdata.split_tar(layer, below))
                assert layerdata.tar_size(layer) == len(got)
                assert layerdata.damages(layer, below) == ((), 0, '')
            assert got == wanted[layer.diff_id]
            seen.add(layer.diff_id)
    assert seen == set(wanted)


def test_names_as_archives_write_them(place):
    raw = tar_of(('./', None, tarfile.DIRTYPE), ('./dot', b'1'), ('/slash', b'22'), ('a//b', b'333'),
                 ('caf\udce9', b'not utf-8'), ('first', b'two names'), ('second', None, tarfile.LNKTYPE, 'first'),
                 ('empty', b''), ('link', None, tarfile.SYMTYPE, '/etc/passwd'), ('large', b'x' * 300000), ('after', b'z'))
    layer = place(raw, {b'dot': b'1', b'slash': b'22', b'a/b': b'333', b'caf\xe9': b'not utf-8', b'first': b'two names',
                        b'empty': b'', b'large': b'x' * 300000, b'after': b'z'})
    assert b''.join(layerdata.split_tar(layer)) == raw


def test_a_name_through_a_link_of_the_layer_itself(place):
    raw = tar_of(('usr/lib/real', b'1'), ('lib', None, tarfile.SYMTYPE, '/usr/lib'), ('lib/more', b'22'),
                 ('up', None, tarfile.SYMTYPE, '../../usr'), ('up/lib/most', b'333'))
    layer = place(raw, {b'usr/lib/real': b'1', b'usr/lib/more': b'22', b'usr/lib/most': b'333'})
    os.symlink('/usr/lib', layer.path + b'/lib')
    os.symlink('../../usr', layer.path + b'/up')
    assert b''.join(layerdata.split_tar(layer)) == raw


@pytest.mark.parametrize('target', ['/', '..', 'loop', '../outside', '/proc/self/root'])
def test_links_never_lead_out_of_the_layer(place, tmp_path, target):
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside' / 'secret').write_bytes(b'secret')
    raw = tar_of(('loop/secret', b'secret'), ('file', b'x'))
    layer = place(raw, {b'file': b'x'})
    os.symlink(target, layer.path + b'/loop')
    with pytest.raises(layerdata.LayerError) as caught:
        list(layerdata.split_tar(layer))
    assert caught.value.damaged == (b'loop/secret',)


def test_a_file_that_became_a_link_or_a_pipe_is_missing(place, tmp_path):
    (tmp_path / 'secret').write_bytes(b'secret')
    for number, plant in enumerate((lambda path: os.symlink(str(tmp_path / 'secret'), path), os.mkfifo, os.mkdir)):
        layer = place(tar_of(('a', b'secret'), ('b', b'x')), {b'b': b'x'}, name='layer-%d' % number)
        plant(layer.path + b'/a')
        assert layerdata.damages(layer)[:2] == ((b'a',), 1)


def test_a_name_with_two_dots_is_refused(place):
    layer = place(tar_of(('../../etc/passwd', b'root')), {})
    with pytest.raises(layerdata.LayerError):
        list(layerdata.split_tar(layer))


def overwrite(path):
    with open(path, 'r+b') as out:
        out.write(b'X')


@pytest.mark.parametrize('damage, message', [
    (os.unlink, 'opened'),
    (lambda path: os.truncate(path, 3), 'ends after 3'),
    (lambda path: os.truncate(path, 30), 'longer'),
    (overwrite, 'digest'),
])
def test_damage_is_found_and_named(place, damage, message):
    layer = place(tar_of(('a/b', b'0123456789'), ('c', b'c'), ('d', b'0123456789')),
                  {b'a/b': b'0123456789', b'c': b'c', b'd': b'0123456789'})
    damage(layer.path + b'/d')
    with pytest.raises(layerdata.LayerError) as caught:
        list(layerdata.split_tar(layer))
    assert message in str(caught.value)
    assert layerdata.damages(layer) == ((b'd',), 1, '')


def test_many_damages_are_counted_not_listed(place):
    names = ['f%04d' % number for number in range(250)]
    layer = place(tar_of(*[(name, b'x') for name in names]), {})
    found, total, error = layerdata.damages(layer)
    assert (len(found), total, error) == (layerdata.MAX_NAMED, 250, '')


def test_damaged_tar_split_data(place):
    layer = place(tar_of(('a', b'x' * 2000)), {b'a': b'x' * 2000})
    with open(layer.tar_split, 'r+b') as out:
        out.truncate(os.path.getsize(layer.tar_split) // 2)
    for call in (lambda: list(layerdata.split_tar(layer)), lambda: layerdata.tar_size(layer)):
        with pytest.raises(layerdata.LayerError):
            call()
    assert layerdata.damages(layer)[2]
    os.unlink(layer.tar_split)
    with pytest.raises(layerdata.LayerError):
        layerdata.tar_size(layer)


def test_thousands_of_folders_need_few_descriptors(place):
    names = ['%d/%d/%d/f' % (a, b, c) for a in range(8) for b in range(8) for c in range(8)]
    raw = tar_of(*[(name, name.encode()) for name in names])
    layer = place(raw, {name.encode(): name.encode() for name in names})
    before = len(os.listdir('/proc/self/fd'))
    most = 0
    pieces = []
    with layerdata.LayerFiles(layer) as files:
        for name in names:
            pieces += files.open(name.encode(), len(name))
            most = max(most, len(os.listdir('/proc/self/fd')))
    assert most - before < 10
    assert len(os.listdir('/proc/self/fd')) == before
    assert b''.join(pieces) == ''.join(names).encode()


@pytest.fixture
def xattrs(tmp_path):
    try:
        os.setxattr(str(tmp_path), 'user.probe', b'x')
    except OSError:
        pytest.skip('this file system keeps no user.* attributes')


def test_data_in_a_lower_layer(place, xattrs):
    """An overlay mounted with metacopy and redirect_dir that became an image layer."""
    lower = place(tar_of(('old/data', b'the data'), ('moved/inner', b'inner')),
                  {b'old/data': b'the data', b'moved/inner': b'inner'}, model.OVERLAY_USER, 'lower')
    raw = tar_of(('old/data', b'the data'), ('new/inner', b'inner'), ('own', b'own'))
    upper = place(raw, {b'own': b'own', b'old/data': b''}, model.OVERLAY_USER, 'upper')
    os.truncate(upper.path + b'/old/data', 8)
    os.setxattr(upper.path + b'/old/data', 'user.overlay.metacopy', b'')
    os.mkdir(upper.path + b'/new')
    os.setxattr(upper.path + b'/new', 'user.overlay.redirect', b'moved')
    assert b''.join(layerdata.split_tar(upper, (lower,))) == raw
    with pytest.raises(layerdata.LayerError):
        list(layerdata.split_tar(upper))


# -- blobs -----------------------------------------------------------------------------------------------------------------------


def blob_layer(tmp_path, raw, packed):
    path = tmp_path / 'blob'
    path.write_bytes(packed)
    return model.ImageLayer(sha(raw), sha(raw), None, None, None, model.COMPLETE, blob=os.fsencode(str(path)),
                            blob_digest=sha(packed))


def test_blobs_of_every_packing(tmp_path):
    raw = tar_of(('a', b'x' * 100000))
    kinds = {'': raw, 'gzip': gzip.compress(raw)}
    if shutil.which('zstd'):
        kinds['zstd'] = subprocess.run(['zstd', '-qc'], input=raw, stdout=subprocess.PIPE, check=True).stdout
    for packed, data in kinds.items():
        layer = blob_layer(tmp_path, raw, data)
        assert layerdata.blob_of(layer) == (len(data), packed)
        assert b''.join(layerdata.blob_bytes(layer)) == data
        assert b''.join(layerdata.blob_tar(layer)) == raw
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        (tmp_path / 'blob').write_bytes(bytes(flipped))
        for reader in (layerdata.blob_bytes, layerdata.blob_tar):
            with pytest.raises(layerdata.LayerError):
                list(reader(layer))
        (tmp_path / 'blob').write_bytes(data[:-5])
        for reader in (layerdata.blob_bytes, layerdata.blob_tar):
            with pytest.raises(layerdata.LayerError):
                list(reader(layer))


def test_a_blob_that_is_a_link_or_gone(tmp_path):
    raw = tar_of(('a', b'x'))
    layer = blob_layer(tmp_path, raw, raw)
    os.rename(str(tmp_path / 'blob'), str(tmp_path / 'elsewhere'))
    for plant in (lambda: None, lambda: os.symlink('elsewhere', str(tmp_path / 'blob'))):
        plant()
        assert layerdata.blob_of(layer) is None
        for reader in (layerdata.blob_bytes, layerdata.blob_tar):
            with pytest.raises(layerdata.LayerError):
                list(reader(layer))


# -- layers made anew --------------------------------------------------------------------------------------------------------------


def read(data):
    with tarfile.open(fileobj=io.BytesIO(data), errors='surrogateescape') as tar:
        return [(os.fsencode(item.name), item.type, tar.extractfile(item).read() if item.isreg() else b'') for item in tar]


def made(opened, **options):
    pieces = []
    result = layerdata.make(opened, lambda data: pieces.append(bytes(data)), **options)
    data = b''.join(pieces)
    assert (sha(data), len(data)) == (result.diff_id, result.size)
    assert layerdata.make(opened, None, **options) == result
    return result, read(data)


def test_a_full_copy_becomes_the_difference(place):
    base = place(tar_of(('x', b'')), {b'same': b'1', b'changed': b'2', b'gone': b'3', b'dir/gone': b'4'}, model.PLAIN, 'base')
    upper = place(tar_of(('x', b'')), {b'changed': b'22', b'new/file': b'5'}, model.PLAIN, 'upper')
    shutil.copy2(base.path + b'/same', upper.path + b'/same')
    found = made(lambda: layerdata.rebuilt((upper, base)))[1]
    assert {name: content for name, dummy, content in found} == {
        b'changed': b'22', b'new': b'', b'new/file': b'5', b'.wh.gone': b'', b'.wh.dir': b''}
    # the same folders, called overlay by their driver's name: legacy overlay keeps full copies too
    as_overlay = [layer._replace(encoding=model.OVERLAY) for layer in (upper, base)]
    assert made(lambda: layerdata.rebuilt(as_overlay, True))[1] == found
    whole = made(lambda: layerdata.rebuilt((base,)))[1]
    assert [name for name, dummy, dummy in whole] == [b'changed', b'dir', b'dir/gone', b'gone', b'same']


def test_markers_sockets_and_capabilities(place, tmp_path, monkeypatch):
    layer = place(tar_of(('x', b'')), {b'.wh.victim': b'data', b'victim': b'v', b'dir/.wh..wh..opq': b'', b'keep': b'k',
                                       b'.wh.folder/inner': b''})
    monkeypatch.chdir(str(tmp_path / 'layer'))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind('sock')
    result, found = made(lambda: layerdata.rebuilt((layer,)))
    assert [name for name, dummy, dummy in found] == [b'dir', b'keep', b'victim']
    assert result.markers_total == 4 and b'.wh.victim' in result.markers
    assert result.sockets == 1 and result.entries == 3


def test_an_empty_layer_is_dockers_empty_layer(place):
    layer = place(tar_of(('x', b'')), {})
    result = made(lambda: layerdata.rebuilt((layer,)))[0]
    assert result.entries == 0
    assert result.diff_id == 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef'


def test_holes_are_zeros_unless_asked_otherwise(place):
    layer = place(tar_of(('x', b'')), {b'big': b'head'})
    os.truncate(layer.path + b'/big', 8 << 20)
    plain, found = made(lambda: layerdata.rebuilt((layer,)))
    assert plain.size > 8 << 20 and found[0][2] == b'head' + bytes((8 << 20) - 4)
    sparse = layerdata.make(lambda: layerdata.rebuilt((layer,)), None, sparse=True)
    if os.stat(layer.path + b'/big').st_blocks * 512 < 8 << 20:
        assert sparse.size < 1 << 20
