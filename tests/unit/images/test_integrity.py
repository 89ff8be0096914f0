"""Images compared with their digests: what is whole, what is damaged, and what cannot be told."""
import json
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.images import integrity
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model


@pytest.fixture(params=['graphdriver', 'containerd'])
def store(request):
    return request.param


@pytest.fixture
def build(store, tmp_path):
    """build(damage): the results of all images of a host, {reference: result}, after DAMAGE(expected)."""
    def make(damage=None, **options):
        expected = deadroot.build(str(tmp_path / 'var/lib/docker'), host_root=str(tmp_path), store=store, containers=1,
                                  **options)
        if damage is not None:
            damage(expected)
        with registry.open_host(os.fsencode(str(tmp_path)), [b'/var/lib/docker']) as host:
            checked = {}                # a layer that several share is read once
            found = {image.references[0]: integrity.check_image(image, checked) for image in host.roots[0].images()}
        json.dumps(found)               # it must fit into facts
        return expected, found
    return make


def files_of(layer):
    return sorted(os.path.join(folder, name) for folder, dummy, names in os.walk(layer.path) for name in names
                  if os.path.isfile(os.path.join(folder, name)) and not os.path.islink(os.path.join(folder, name))
                  and os.path.getsize(os.path.join(folder, name)))


def blob_path(expected, digest):
    return os.path.join(expected.containerd_root, b'io.containerd.content.v1.content/blobs/sha256', digest[7:].encode())


def damage_layer(expected, number=1):
    """One byte of a layer: of a file of it, or of its blob."""
    layer = expected.images[0].layers[number]
    path = blob_path(expected, layer.blob) if layer.blob else files_of(layer)[0]
    os.chmod(path, 0o600)               # blobs are read-only
    with open(path, 'r+b') as data:
        first = data.read(1)
        data.seek(0)
        data.write(bytes([first[0] ^ 1]))


def test_a_whole_host(build, store):
    expected, found = build(images=3)
    assert len(found) == 3
    for result in found.values():
        assert result['status'] == model.COMPLETE and result['problems'] == []
        assert result['verified'] == len(result['layers']) == 3
        assert result['config'] == result['chain'] == integrity.OK
        assert {layer['method'] for layer in result['layers']} == {'tar-split' if store == 'graphdriver' else 'blob'}
        assert all(layer['seconds'] >= 0 for layer in result['layers']) and result['seconds'] >= 0
    # a layer that several images share is read once
    sizes = {layer.diff_id: len(layer.tar) for image in expected.images for layer in image.layers}
    read = sum(result['bytes'] for result in found.values())
    assert read >= sum(sizes.values()) if store == 'containerd' else read == sum(sizes.values())


def test_progress_counts_every_byte(build, tmp_path):
    build()
    seen = []
    with registry.open_host(os.fsencode(str(tmp_path)), [b'/var/lib/docker']) as host:
        image = next(iter(host.roots[0].images()))
        result = integrity.check_image(image, progress=seen.append)
    assert sum(seen) == result['bytes'] > 0


def test_a_damaged_byte(build, store):
    expected, found = build(damage_layer)
    result = found['shop/web:1.4']
    assert result['status'] == model.PARTIAL
    assert [layer['verified'] for layer in result['layers']] == [True, False, True]
    bad = result['layers'][1]
    assert bad['status'] == model.PARTIAL and bad['message']
    if store == 'graphdriver':
        layer = expected.images[0].layers[1]
        assert bad['damaged'] == [os.path.relpath(files_of(layer)[0], layer.path).decode('utf-8', 'backslashreplace')]
        assert bad['damaged_total'] == 1
    assert [item['code'] for item in result['problems']] == ['IMAGE_LAYER_DAMAGED']
    assert expected.images[0].layers[1].diff_id in result['problems'][0]['message']
    assert 'docker pull shop/web:1.4' in result['problems'][0]['next_step']


def test_what_cannot_be_compared_is_not_counted_as_whole(build, store):
    def lose(expected):
        layer = expected.images[0].layers[1]
        if layer.blob:
            os.unlink(blob_path(expected, layer.blob))
        else:
            os.unlink(os.path.join(expected.root, b'image/overlay2/layerdb/sha256', layer.chain_id[7:].encode(),
                                   b'tar-split.json.gz'))

    result = build(lose)[1]['shop/web:1.4']
    assert result['status'] == model.PARTIAL and result['verified'] == 2
    assert result['layers'][1]['method'] == 'none' and not result['layers'][1]['verified']
    assert 'cannot be compared' in result['layers'][1]['message']
    assert [item['code'] for item in result['problems']] == ['IMAGE_LAYER_UNVERIFIED']


def test_a_lost_layer(build, store):
    def lose(expected):
        layer = expected.images[0].layers[1]
        os.rename(layer.path, layer.path + b'.gone')
        if layer.blob:
            os.unlink(blob_path(expected, layer.blob))

    result = build(lose)[1]['shop/web:1.4']
    assert result['status'] == model.PARTIAL
    assert [layer['status'] for layer in result['layers']] == [model.COMPLETE, model.LOST, model.COMPLETE]
    assert result['layers'][1]['verified'] is False


def test_a_config_that_is_not_the_one_of_its_digest(build, store):
    def spoil(expected):
        image = expected.images[0]
        path = blob_path(expected, image.config_digest) if store == 'containerd' else \
            os.path.join(expected.root, b'image/overlay2/imagedb/content/sha256', image.id[7:].encode())
        os.chmod(path, 0o600)
        with open(path, 'r+b') as data:
            raw = data.read().replace(b'amd64', b'arm64')
            data.seek(0)
            data.write(raw)

    expected, found = build(spoil)
    result = next(iter(found.values()))
    assert result['config'] == integrity.DAMAGED and result['status'] == model.PARTIAL
    assert 'IMAGE_CONFIG_LOST' in [item['code'] for item in result['problems']]
    assert result['verified'] == len(expected.images[0].layers)


def image_of(*layers, **more):
    return model.Image('sha256:' + 'a' * 64, (), None, None, None, model.COMPLETE, layers, more.get('config', {}),
                       more.get('raw'), 'graphdriver', b'/', more.get('driver'))


def test_unsupported_and_recordless_images():
    layer = model.ImageLayer('sha256:' + 'b' * 64, 'sha256:' + 'b' * 64, None, None, None, model.UNSUPPORTED, '')
    result = integrity.check_image(image_of(layer, driver='zfs'))
    assert result['status'] == model.UNSUPPORTED and result['verified'] == 0
    nothing = integrity.check_image(image_of())
    assert nothing['status'] == model.LOST and nothing['config'] == nothing['chain'] == integrity.LOST


def test_layers_that_the_config_does_not_name():
    config = {'rootfs': {'diff_ids': ['sha256:' + 'b' * 64, 'sha256:' + 'c' * 64]}}
    layer = model.ImageLayer('sha256:' + 'b' * 64, 'sha256:' + 'b' * 64, None, None, None, model.LOST)
    result = integrity.check_image(image_of(layer, config=config, raw=b'{}'))
    assert result['chain'] == integrity.DAMAGED
    assert 'LAYER_ORDER_CONFLICT' in [item['code'] for item in result['problems']]
