"""Images from a host that code has built, checked by a reader that shares nothing with the writer."""
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.sink import SinkError
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store as stores
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import definition as docker
from ansible_collections.lifeboat.docker.plugins.module_utils.images import (
    container as image,
    documents as imagedocs,
    layerdata,
    store as imagestore,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run


def sha(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


# -- a reader ----------------------------------------------------------------------------------------------------------------------


class Read(object):
    """A loadable archive, taken apart; every rule that an engine insists on is asserted."""

    def __init__(self, data):
        self.files = {}
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for item in tar:
                assert item.isreg() or item.isdir(), item.name
                assert not item.name.startswith(('.', '/')) and item.name not in self.files
                if item.isreg():
                    self.files[item.name] = tar.extractfile(item).read()
        blobs = {name: content for name, content in self.files.items() if name.startswith('blobs/')}
        for name, content in blobs.items():
            assert name == 'blobs/sha256/' + sha(content)[7:]
        assert json.loads(self.files['oci-layout'].decode()) == {'imageLayoutVersion': '1.0.0'}
        used = set()

        def blob(descriptor):
            content = blobs['blobs/sha256/' + descriptor['digest'][7:]]
            assert len(content) == descriptor['size']
            used.add('blobs/sha256/' + descriptor['digest'][7:])
            return content

        self.images = {}
        by_manifest = []
        for entry in json.loads(self.files['index.json'].decode())['manifests']:
            manifest = json.loads(blob(entry).decode())
            raw = blob(manifest['config'])
            layers = [unpacked(blob(item), item['mediaType']) for item in manifest['layers']]
            config = json.loads(raw.decode())
            assert [sha(layer) for layer in layers] == config['rootfs']['diff_ids']
            assert sum(1 for each in config['history'] if not each.get('empty_layer')) <= len(layers)
            annotations = entry.get('annotations', {})
            name = annotations.get('io.containerd.image.name')
            if name:
                assert annotations['org.opencontainers.image.ref.name'] == name.rpartition(':')[2]
            self.images[name] = (config, raw, layers)
            by_manifest.append(('blobs/sha256/' + manifest['config']['digest'][7:],
                                ['blobs/sha256/' + item['digest'][7:] for item in manifest['layers']]))
        assert used == set(blobs), 'a blob that nothing refers to'
        self.docker = json.loads(self.files['manifest.json'].decode())
        assert {(item['Config'], tuple(item['Layers'])) for item in self.docker} == {
            (config, tuple(layers)) for config, layers in by_manifest}
        self.tags = [tag for item in self.docker for tag in item['RepoTags'] or []]
        assert {imagedocs.full_name(tag) for tag in self.tags} == set(self.images) - {None}

    def image(self, tag):
        return self.images[imagedocs.full_name(tag)]


def unpacked(data, media_type):
    if media_type.endswith('+gzip'):
        return gzip.decompress(data)
    assert media_type == 'application/vnd.oci.image.layer.v1.tar'
    return data


def names_of(layer):
    with tarfile.open(fileobj=io.BytesIO(layer), errors='surrogateescape') as tar:
        return {os.fsencode(item.name): item for item in tar}


# -- hosts and bundles -----------------------------------------------------------------------------------------------------------------


class Dead(object):
    def __init__(self, tmp, kind, **options):
        self.kind = kind
        self.tmp = tmp
        self.expected = deadroot.build(str(tmp / 'host/var/lib/docker'), host_root=str(tmp / 'host'), store=kind, **options)
        for each in self.expected.containers:
            if each.name == 'web':      # an image cannot hold it, see the test of its own
                self.marker = os.path.join(each.upper, b'srv/.wh.looks-like-one')
                os.unlink(self.marker)
        self.holder = stores.FolderStore(os.fsencode(str(tmp / 'dest')), b'box')
        self.holder.prepare()
        self.host = registry.open_host(os.fsencode(str(tmp / 'host')), [b'/var/lib/docker'])
        self.root = self.host.roots[0]

    def again(self):
        """Read the disk anew, after damage."""
        self.host.close()
        self.host = registry.open_host(os.fsencode(str(self.tmp / 'host')), [b'/var/lib/docker'])
        self.root = self.host.roots[0]

    def container(self, name='web'):
        return self.root.container(self.expected.container(name).id)

    def write(self, name='web', bundle=None, **options):
        """(record, problems, path of the bundle)."""
        container = self.container(name)
        bundle = bundle or self.holder.begin(name)
        record, problems = image.write(bundle, self.root.image_of(container), container, options.pop('store', None),
                                       self.root.idmap, **options)
        return record, problems, bundle.path

    def layer_paths(self, number):
        layer = self.expected.images[0].layers[number]
        return layer.path, self.blob(layer.blob) if layer.blob else None

    def blob(self, digest):
        return os.path.join(self.expected.containerd_root, b'io.containerd.content.v1.content/blobs/sha256',
                            digest[7:].encode())


@pytest.fixture(params=['graphdriver', 'containerd'])
def dead(request, tmp_path):
    made = Dead(tmp_path, request.param, containers=3)
    yield made
    made.host.close()


def archive_of(path):
    with open(os.path.join(path, b'image.tar'), 'rb') as data:
        return data.read()


def codes(problems):
    return sorted({item.code for item in problems})


# -- the ordinary case -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['web', 'db', 'job'])
def test_a_container_and_its_image(dead, name):
    record, problems, path = dead.write(name)
    expected = dead.expected.container(name)
    original = expected.image
    data = archive_of(path)
    found = Read(data)
    assert record['status'] == model.COMPLETE and record['exact'] is True, problems
    assert (record['file'], record['bytes'], record['sha256']) == ('image.tar', len(data), sha(data)[7:])
    assert record['parts'] == {'image.tar': record['sha256']} and record['load'] == 'docker load -i image.tar'
    tag = 'lifeboat/%s:%s' % (name, expected.id[:12])
    assert found.tags == record['tags'] == ['shop/web:1.4', 'shop/web:latest', tag]
    # the original: its very bytes
    config, raw, layers = found.image('shop/web:1.4')
    assert raw == original.config_raw
    assert layers == [layer.tar for layer in original.layers]
    # the container
    own, own_raw, own_layers = found.image(tag)
    changed = bool(expected.upper_nodes)
    assert changed is (name != 'job')
    assert own_layers[:len(layers)] == layers and len(own_layers) == len(layers) + changed
    assert record['container_image_id'] == sha(own_raw) and record['image_id'] == original.id
    assert [item['exact'] for item in record['layers']] == [True] * len(layers)
    for key in ('architecture', 'os'):
        assert own[key] == config[key]
    said = expected.config['Config']
    for key in ('Entrypoint', 'Cmd', 'Env', 'User', 'WorkingDir', 'Volumes', 'Labels', 'StopSignal', 'Healthcheck',
                'ExposedPorts'):
        assert (own['config'].get(key) or None) == (said.get(key) or None), key
    assert 'Hostname' not in own['config'] and 'Image' not in own['config']
    assert own['history'][:-1] == config['history']
    assert len(own['rootfs']['diff_ids']) == sum(1 for entry in own['history'] if not entry.get('empty_layer'))
    if not changed:
        return
    # its own layer: what the writable layer holds, no more
    members = names_of(own_layers[-1])
    wanted = set()
    for node_path, node in expected.upper_nodes.items():
        folder, slash, last = node_path.rpartition(b'/')
        if any(part.startswith(b'.wh.') for part in node_path.split(b'/')) or node.kind == 'socket':
            continue
        wanted.add(folder + slash + b'.wh.' + last if node.kind == 'whiteout' else node_path)
    opaque = {member for member in members if member.endswith(b'.wh..wh..opq')}
    assert set(members) - opaque == wanted
    assert not any(member.startswith(b'.dockerenv') for member in members)


def test_an_image_lacks_real_files_that_are_named_like_deletions(dead):
    with open(dead.marker, 'wb') as out:
        out.write(b'no deletion')
    record, problems, path = dead.write('web')
    assert record['status'] == model.PARTIAL and set(codes(problems)) == {
        'SOCKET_SKIPPED', 'WHITEOUT_NAME', 'IMAGE_ATTRIBUTES_BY_STORE'}
    own_layers = Read(archive_of(path)).image(record['tags'][-1])[2]
    assert not [name for name in names_of(own_layers[-1]) if b'looks-like-one' in name]


@pytest.mark.parametrize('form', [image.ARCHIVE, image.FOLDER])
@pytest.mark.parametrize('name, whole', [('user.note', True), ('user.a=b', False), ('user.overlay.opaque', False)])
def test_attributes_and_times_of_the_writable_layer(dead, form, name, whole):
    """Those that docker load keeps are in the image; where one is not, it is not called complete."""
    path = os.path.join(dead.expected.container('db').upper, b'noted')
    with open(path, 'wb') as out:
        out.write(b'x')
    try:
        os.setxattr(path, name, b'y')
    except OSError as why:
        pytest.skip('no user.* attributes here: %s' % why)
    os.utime(path, ns=(0, 1500000000123456789))
    shared = imagestore.ImageStore(dead.holder.path + b'/images') if form == image.FOLDER else None
    record, problems, where = dead.write('db', store=shared, form=form)
    archive = archive_of(where) if form == image.ARCHIVE else b''.join(imagestore.loadable(where))
    own = Read(archive).image(record['tags'][-1])[2][-1]
    with tarfile.open(fileobj=io.BytesIO(own)) as layer:
        headers = layer.getmember('noted').pax_headers
    assert (headers.get('SCHILY.xattr.' + name) == 'y') is whole
    assert headers['mtime'] == '1500000000.123456789'
    # in a rootless root, as a user other than root makes it, this is the driver's own mark and nobody's attribute
    told = not whole and not (os.geteuid() and name == 'user.overlay.opaque')
    assert record['status'] == (model.PARTIAL if told else model.COMPLETE)
    assert bool([item for item in problems if item.code == 'IMAGE_ATTRIBUTES' and '/noted' in item.message]) is told


def test_the_same_source_gives_the_same_bytes_and_fingerprint(dead):
    first = dead.write('db')
    data = archive_of(first[2])
    mark = first[0]['fingerprint']
    assert image.fingerprint(dead.root.image_of(dead.container('db')), dead.container('db')) == mark
    dead.again()
    second = dead.write('db')
    assert archive_of(second[2]) == data and second[0]['fingerprint'] == mark
    upper = dead.expected.container('db').upper
    with open(os.path.join(upper, b'new'), 'wb') as out:
        out.write(b'new')
    assert image.fingerprint(dead.root.image_of(dead.container('db')), dead.container('db')) != mark


def test_an_estimate_is_close(dead):
    for name in ('web', 'db'):
        container = dead.container(name)
        size = image.estimate(dead.root.image_of(container), container)
        record = dead.write(name)[0]
        total = size.own + sum(size.shared.values())
        assert record['bytes'] * 0.9 < total < record['bytes'] * 2 + 300000


def test_an_image_alone(dead):
    one = dead.root.image_of(dead.container())
    bundle = dead.holder.begin('image')
    record, problems = image.write(bundle, one)
    found = Read(archive_of(bundle.path))
    assert problems == [] and record['status'] == model.COMPLETE and record['container_image_id'] is None
    assert found.tags == ['shop/web:1.4', 'shop/web:latest']
    untagged = image.write(bundle, one._replace(references=()))[0]
    found = Read(archive_of(bundle.path))
    assert untagged['tags'] == [] and found.docker[0]['RepoTags'] is None and list(found.images) == [None]


def test_containerd_keeps_its_manifest(tmp_path):
    dead = Dead(tmp_path, 'containerd', containers=1)
    record, dummy, path = dead.write('web')
    manifest = dead.expected.images[0].manifest_digest
    assert 'blobs/sha256/' + manifest[7:] in Read(archive_of(path)).files
    assert [item['method'] for item in record['layers']] == ['blob'] * 3
    dead.host.close()


def test_nothing_changed_in_the_container(tmp_path):
    dead = Dead(tmp_path, 'graphdriver', containers=1, rich=False)
    upper = dead.expected.containers[0].upper
    for name in os.listdir(upper):
        full = os.path.join(upper, name)
        os.rename(full, os.path.join(os.fsencode(str(tmp_path)), name))
    name = dead.expected.containers[0].name
    record, problems, path = dead.write(name)
    own, dummy, layers = Read(archive_of(path)).image(record['tags'][-1])
    assert len(layers) == 3 and own['history'][-1]['empty_layer'] is True
    assert record['status'] == model.COMPLETE and problems == []
    dead.host.close()


# -- damage -------------------------------------------------------------------------------------------------------------------------------


def spoil(path):
    os.chmod(path, 0o600)               # blobs are read-only
    with open(path, 'r+b') as data:
        first = data.read(1)
        data.seek(0)
        data.write(bytes([first[0] ^ 1]))


def some_file(folder):
    return sorted(os.path.join(top, name) for top, dummy, names in os.walk(folder) for name in names
                  if stat.S_ISREG(os.lstat(os.path.join(top, name)).st_mode) and os.lstat(os.path.join(top, name)).st_size)[0]


@pytest.mark.parametrize('number', [0, 1, 2])
@pytest.mark.parametrize('form', [image.ARCHIVE, image.FOLDER])
def test_a_damaged_layer_is_made_anew_and_said_so(dead, number, form):
    folder, blob = dead.layer_paths(number)
    spoil(blob or some_file(folder))
    record, problems, path = dead.write('web', store=imagestore.ImageStore(dead.holder.path + b'/images'), form=form)
    found = Read(b''.join(imagestore.loadable(path)))
    if record['layers'][number]['method'] == 'rebuilt' and record['exact']:
        # the fixture's tar of this Python is what our writer makes of the same files: then it is the original
        assert blob and record['layers'][number]['diff_id'] == dead.expected.images[0].layers[number].diff_id
        return
    assert record['exact'] is False
    assert record['status'] == (model.PARTIAL if blob is None else model.COMPLETE)
    assert [item['exact'] for item in record['layers']] == [each != number for each in range(3)]
    layer = record['layers'][number]
    assert layer['diff_id'] != layer['recorded_diff_id'] == dead.expected.images[0].layers[number].diff_id
    if blob is None:
        assert layer['damaged'] == [os.path.relpath(some_file(folder), folder).decode()]
    assert 'IMAGE_LAYER_REBUILT' in codes(problems)
    assert not set(found.tags) & {'shop/web:1.4', 'shop/web:latest'}, 'passed off as the original'
    for each, (dummy, dummy, layers) in found.images.items():
        assert layers[:number] == [one.tar for one in dead.expected.images[0].layers[:number]], each
    assert not [name for name in os.listdir(path) if name.startswith(b'.')]


def test_several_damaged_layers_cost_one_more_attempt(dead):
    for number in range(3):
        folder, blob = dead.layer_paths(number)
        spoil(blob or some_file(folder))
    bundle = dead.holder.begin('web')
    opened = []
    sink = bundle.sink
    bundle.sink = lambda *args: opened.append(args) or sink(*args)
    record = dead.write('web', bundle)[0]
    assert len(opened) == 2
    assert [item['method'] for item in record['layers']] == ['rebuilt'] * 3
    Read(archive_of(bundle.path))


def test_a_lost_layer_is_left_out(dead):
    folder, blob = dead.layer_paths(1)
    os.rename(folder, folder + b'.gone')
    if blob:
        os.unlink(blob)
    dead.again()
    record, problems, path = dead.write('web')
    assert record['status'] == model.PARTIAL and record['exact'] is False
    assert record['layers'][1]['method'] == 'none'
    assert 'IMAGE_LAYER_LOST' in codes(problems)
    own, dummy, layers = Read(archive_of(path)).image(record['tags'][-1])
    assert layers[:2] == [dead.expected.images[0].layers[number].tar for number in (0, 2)]
    assert [bool(entry.get('empty_layer')) for entry in own['history']] == [False, True, False, True, False]


def test_the_images_config_is_lost(dead):
    raw = dead.expected.images[0]
    path = dead.blob(raw.config_digest) if dead.kind == 'containerd' else os.path.join(
        dead.expected.root, b'image/overlay2/imagedb/content/sha256', raw.id[7:].encode())
    os.unlink(path)
    dead.again()
    record, problems, path = dead.write('web')
    assert record['status'] == model.PARTIAL
    assert 'IMAGE_CONFIG_LOST' in codes(problems)
    found = Read(archive_of(path))
    assert found.tags == ['lifeboat/web:' + dead.expected.container('web').id[:12]]
    own, dummy, layers = found.image(found.tags[0])
    assert len(layers) == 4 and own['os'] == 'linux' and own['config']['Cmd'] == \
        dead.expected.container('web').config['Config']['Cmd']
    if dead.kind == 'graphdriver':
        assert layers[:3] == [layer.tar for layer in raw.layers]


def test_the_containers_config_is_lost(dead):
    with open(os.path.join(dead.expected.container('web').folder, b'config.v2.json'), 'wb'):
        pass
    dead.again()
    record, problems, path = dead.write('web')
    if 'shop/web:1.4' in record['tags']:
        own = Read(archive_of(path)).image(record['tags'][-1])[0]
        assert own['config']['Labels'] == {'maintainer': 'shop'}
    assert record['status'] == model.PARTIAL
    # with containerd the runtime's spec tells a part of it
    assert ('CONFIG_DAMAGED' in codes(problems)) is (dead.kind == 'graphdriver')


def test_the_writable_layer_is_lost(dead):
    upper = dead.expected.container('web').upper
    os.rename(upper, upper + b'.gone')
    dead.again()
    record, problems, path = dead.write('web')
    assert record['status'] == model.PARTIAL and 'READ_ERROR' in codes(problems)
    assert Read(archive_of(path)).tags == ['shop/web:1.4', 'shop/web:latest'] == record['tags']


def test_nothing_can_be_read():
    layer = model.ImageLayer('sha256:' + 'b' * 64, 'sha256:' + 'b' * 64, None, None, None, model.UNSUPPORTED, '')
    one = model.Image('sha256:' + 'a' * 64, ('x:1',), None, None, None, model.UNSUPPORTED, (layer,),
                      {'rootfs': {'diff_ids': [layer.diff_id]}}, b'{}', 'graphdriver', b'/', 'zfs')
    for each, status, code in ((one, model.UNSUPPORTED, 'DRIVER_UNSUPPORTED'),
                               (one._replace(layers=(layer._replace(status=model.LOST),)), model.LOST, 'IMAGE_LAYER_UNKNOWN')):
        record, problems = image.write(None, each)
        assert (record['status'], record['file'], codes(problems)) == (status, '', [code])
        assert image.estimate(each).shared == {}


def test_hostile_records_do_not_raise(dead):
    one = dead.root.image_of(dead.container())
    bundle = dead.holder.begin('web')
    for config in ({'history': 'x', 'rootfs': 7}, {'history': [1, None, {'empty_layer': 'y'}, {}, {}, {}, {}, {}, {}]},
                   {'config': [], 'os': 3}):
        container = dead.container()
        container = container._replace(definition=docker.define({'Config': {'Cmd': [1, None], 'Env': 'x'}}, {}), created=5, state={'started_at': 7})
        record = image.write(bundle, one._replace(config=dict(config, architecture='amd64')), container)[0]
        assert record['file'] == 'image.tar'
    for name in (None, '', '///', '\udce9', 'A__b', 'x' * 500):
        tag = imagedocs.container_tag(container._replace(name=name))
        assert tag.startswith('lifeboat/') and len(tag) < 130


# -- the source changes, the target fails -------------------------------------------------------------------------------------------------------


class Changing(object):
    """A bundle during whose writing a file of the container grows, TIMES times."""

    def __init__(self, bundle, path, times):
        self.bundle, self.path, self.file, self.times = bundle, bundle.path, path, times

    def sink(self, relative, mark=None):
        sink = self.bundle.sink(relative, mark)
        if self.times:
            self.times -= 1
            with open(self.file, 'ab') as out:
                out.write(b'more and more' * 100)
        return sink

    def __getattr__(self, name):
        return getattr(self.bundle, name)


@pytest.mark.parametrize('form', [image.ARCHIVE, image.FOLDER])
@pytest.mark.parametrize('times, scratch, whole', [(1, False, True), (9, False, False), (9, True, True)])
def test_a_writable_layer_that_changes_while_it_is_read(dead, form, times, scratch, whole):
    victim = some_file(dead.expected.container('web').upper)
    bundle = Changing(dead.holder.begin('web'), victim, times)
    record, problems, path = dead.write('web', bundle, store=imagestore.ImageStore(dead.holder.path + b'/images'), form=form,
                                        scratch=dead.holder.path if scratch else None)
    found = Read(b''.join(imagestore.loadable(path)))
    assert record['status'] == (model.COMPLETE if whole else model.PARTIAL)
    assert ('FILE_CHANGED' in codes(problems)) is not whole
    assert any(tag.startswith('lifeboat/web:') for tag in found.tags) is whole
    assert sorted(os.listdir(dead.holder.path)) == [b'.web.partial'] + ([b'images'] if form == image.FOLDER else [])


def test_a_running_container_is_read_once_where_there_is_room(dead):
    victim = some_file(dead.expected.container('web').upper)
    bundle = Changing(dead.holder.begin('web'), victim, 9)
    record = dead.write('web', bundle, scratch=dead.holder.path, live=True)[0]
    assert record['status'] == model.COMPLETE and bundle.times == 8
    missing = dead.write('web', scratch=b'/nonexistent', live=True)[0]
    assert missing['status'] == model.COMPLETE


class Full(object):
    def __init__(self, sink, room):
        self.sink, self.room, self.bytes = sink, room, 0

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise SinkError(b'/target', OSError(28, 'No space left on device'))
        self.sink.write(data)

    def __getattr__(self, name):
        return getattr(self.sink, name)


def test_a_full_disk_leaves_nothing(dead):
    bundle = dead.holder.begin('web')
    sink = bundle.sink
    bundle.sink = lambda *args: Full(sink(*args), 30000)
    with pytest.raises(SinkError):
        dead.write('web', bundle)
    assert os.listdir(bundle.path) == []


# -- layers that several have in common --------------------------------------------------------------------------------------------------------------


def test_layers_in_common_lie_there_once(dead):
    shared = imagestore.ImageStore(dead.holder.path + b'/images', 1000)
    names = ('web', 'db', 'job')
    for name in names:
        shared.expect(dead.root.image_of(dead.container(name)))
    inodes = {}
    for name in names:
        record, problems, path = dead.write(name, store=shared)
        assert record['form'] == image.FOLDER and record['status'] == model.COMPLETE and record['referenced'] == []
        assert record['load'] == 'tar -C image -cf - oci-layout index.json manifest.json blobs | docker load'
        files = {os.path.relpath(os.path.join(top, each), path).decode() for top, dummy, each_of in os.walk(path)
                 for each in each_of}
        assert files == set(record['parts'])
        for part, digest in record['parts'].items():
            full = os.path.join(path, part.encode())
            with open(full, 'rb') as data:
                assert sha(data.read())[7:] == digest
            inodes.setdefault(part, set()).add(os.lstat(full).st_ino)
        found = Read(b''.join(imagestore.loadable(path)))
        assert found.tags[-1] == record['tags'][-1]
        assert record['sha256'] == record['parts'][record['file']]
    layers = [item for item in dead.expected.images[0].layers]  # pylint: disable=unnecessary-comprehension
    for layer in layers:
        digest = layer.blob or layer.diff_id
        assert len(inodes['image/blobs/sha256/' + digest[7:]]) == 1
    # images/ is a layout of its own
    folder = os.path.join(dead.holder.path, b'images')
    assert sorted(os.listdir(folder)) == [b'blobs', b'index.json', b'oci-layout']
    with open(os.path.join(folder, b'index.json'), 'rb') as data:
        listed = json.loads(data.read().decode())['manifests']
    assert [item['annotations']['io.containerd.image.name'] for item in listed] == [
        'docker.io/shop/web:1.4', 'docker.io/shop/web:latest']


def test_what_is_not_worth_it_goes_into_one_file(dead):
    shared = imagestore.ImageStore(dead.holder.path + b'/images')
    one = dead.root.image_of(dead.container())
    for dummy in range(3):
        shared.expect(one)
    assert shared.shares(one) is False
    assert dead.write('web', store=shared)[0]['form'] == image.ARCHIVE
    assert not os.path.exists(shared.path)
    large = one._replace(layers=tuple(layer._replace(bytes=1 << 30) for layer in one.layers))
    assert shared.shares(large) is True
    assert imagestore.ImageStore(shared.path).shares(large) is False


def test_without_hard_links_bundles_refer_to_the_blobs(dead):
    shared = imagestore.ImageStore(dead.holder.path + b'/images')
    bundle = dead.holder.begin('web')
    bundle.adopt = lambda source, relative: False
    record, problems, path = dead.write('web', bundle, store=shared, form=image.FOLDER)
    assert len(record['referenced']) == 3 and record['status'] == model.COMPLETE
    assert ' -C ../../images blobs/sha256/' in record['load']
    os.rename(path, bundle.final)
    Read(b''.join(imagestore.loadable(bundle.final)))
    # and by the command itself, as far as its pipe
    made = os.popen('cd %s && %s' % (os.fsdecode(bundle.final), record['load'].replace(
        '| docker load', '> %s' % (dead.tmp / 'made.tar')))).close()
    assert made is None
    assert Read((dead.tmp / 'made.tar').read_bytes()).tags == record['tags']


def test_a_blob_of_an_earlier_run_is_verified_before_it_is_used(dead):
    dead.write('web', store=imagestore.ImageStore(dead.holder.path + b'/images'), form=image.FOLDER)
    layer = dead.expected.images[0].layers[0]
    shared = imagestore.ImageStore(dead.holder.path + b'/images')
    spoil(shared.blob(layer.blob or layer.diff_id))
    record, dummy, path = dead.write('db', store=shared, form=image.FOLDER)
    assert record['exact'] is True
    Read(b''.join(imagestore.loadable(path)))


def test_a_store_with_garbage_in_its_index(dead):
    os.makedirs(dead.holder.path + b'/images')
    for garbage in (b'', b'{', b'[]', b'{"manifests": 7}', b'{"manifests": [1]}', b'{"manifests": [{"digest": "x"}]}'):
        with open(os.path.join(dead.holder.path, b'images/index.json'), 'wb') as out:
            out.write(garbage)
        shared = imagestore.ImageStore(dead.holder.path + b'/images')
        dead.write('web', store=shared, form=image.FOLDER)
        with open(os.path.join(shared.path, b'index.json'), 'rb') as data:
            assert len(json.loads(data.read().decode())['manifests']) == 2


def test_a_bundle_that_holds_no_image(tmp_path):
    with pytest.raises(LifeboatError):
        list(imagestore.loadable(os.fsencode(str(tmp_path))))
    (tmp_path / 'image').mkdir()
    (tmp_path / 'image' / 'manifest.json').write_text('[{"Layers": "../../../../etc/passwd"}]')
    with pytest.raises(LifeboatError):
        list(imagestore.loadable(os.fsencode(str(tmp_path))))


# -- small parts ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name, tag', [
    ('web', 'web'), ('Shop_Web.1', 'shop-web-1'), ('--a--', 'a'), ('\xe9t\xe9', 't'), (None, 'unnamed'), ('__', 'unnamed')])
def test_names_become_repositories(name, tag):
    assert imagedocs.repository_name(name) == tag


@pytest.mark.parametrize('reference, full', [
    ('debian:12', 'docker.io/library/debian:12'), ('shop/web:1', 'docker.io/shop/web:1'),
    ('localhost/x:1', 'localhost/x:1'), ('registry.example.test:5000/a/b:1', 'registry.example.test:5000/a/b:1'),
    ('host:5000/x:2', 'host:5000/x:2')])
def test_full_names(reference, full):
    assert imagedocs.full_name(reference) == full


def test_a_member_that_does_not_keep_its_promise():
    out = io.BytesIO()
    for data in (b'12345', b'123'):
        with pytest.raises(layerdata.LayerError):
            imagestore.TarFile(out).member('x', 4, lambda write, data=data: write(data))


@pytest.mark.parametrize('layers, said', [(124, False), (125, True)])
def test_an_image_that_docker_would_not_load_is_named(layers, said, tmp_path):
    """Docker's layer store takes 125 layers (max depth exceeded); the writable layer is one more."""
    expected = deadroot.build(str(tmp_path / 'd'), containers=1, layers=layers, files=0, rich=False)
    with registry.open_host(b'/', [expected.root]) as host:
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='h', include=('image',), compression='none'))
    assert ('IMAGE_TOO_DEEP' in [item['code'] for item in result['bundles'][0]['problems']]) is said
