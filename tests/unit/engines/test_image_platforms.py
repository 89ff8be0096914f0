"""Images of several platforms in the containerd store: an index with manifests of which one, several or none are on the disk."""
import json
import os

import containerdstore
import deadcontent
import deadroot
import layertree
import pytest
from containerdstore import INDEX, LAYER, MANIFEST, PLATFORM

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

ARM = {'architecture': 'arm64', 'os': 'linux', 'variant': 'v8'}


def arm(store, whole):
    """Descriptor of an image for another platform that was pulled and never unpacked; not WHOLE: a layer of it is missing."""
    tar, dummy = layertree.tar(layertree.completed({b'bin/arm': deadcontent.file(deadcontent.BORN, b'arm', 0o755)}, {}, deadcontent.BORN))
    packed = layertree.zipped(tar)
    blob = store.blob(packed)
    config = store.blob(json.dumps({'architecture': 'arm64', 'os': 'linux', 'variant': 'v8', 'config': {},
                                    'rootfs': {'type': 'layers', 'diff_ids': [layertree.digest(tar)]}}).encode('ascii'))
    made = dict(store.descriptor(MANIFEST, store.manifest(config, [store.descriptor(LAYER, blob)])), platform=ARM)
    if not whole:
        os.unlink(os.path.join(store.blobs, blob[7:].encode('ascii')))
    return made


def document(store, manifests):
    return store.descriptor(INDEX, store.blob(json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': manifests}).encode('ascii')))


def build(tmp_path, monkeypatch, index):
    """A host whose first image is what INDEX(store, descriptor of the platform that was unpacked) makes."""
    monkeypatch.setattr(containerdstore.Containerd, 'index', lambda store, manifest: index(
        store, dict(store.descriptor(MANIFEST, manifest), platform=PLATFORM)))
    return deadroot.build(str(tmp_path / 'h' / 'var' / 'lib' / 'docker'), host_root=str(tmp_path / 'h'), containers=1, store='containerd')


def rescued(tmp_path):
    """(model.Image of the first image, its bundle, the container's) as a rescue has them."""
    with registry.open_host(os.fsencode(str(tmp_path / 'h')), [b'/var/lib/docker']) as host:
        (image,) = host.roots[0].images()
        result = run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'out')), host_name='box', compression='none', images=('*',),
                                              include=('config', 'image')))
    by_kind = {item['kind']: item for item in result['bundles']}
    return image, by_kind['image'], by_kind['container']


def test_of_two_platforms_the_one_that_was_unpacked_is_meant_and_the_other_is_named(tmp_path, monkeypatch):
    expected = build(tmp_path, monkeypatch, lambda store, own: document(store, [arm(store, True), own]))
    image, alone, container = rescued(tmp_path)
    assert (image.architecture, len(image.layers), image.config_digest) == ('amd64', 3, expected.images[0].config_digest)
    assert [item.message for item in image.problems if item.code == 'IMAGE_OTHER_PLATFORM'] == [
        'Image shop/web:1.4 is on this disk for linux/arm64/v8 too. Only linux/amd64 is listed and rescued.']
    assert alone['status'] == model.PARTIAL and 'IMAGE_OTHER_PLATFORM' in [item['code'] for item in alone['problems']]
    assert 'IMAGE_OTHER_PLATFORM' not in [item['code'] for item in container['problems']]


def test_a_platform_of_which_a_layer_is_missing_was_not_pulled(tmp_path, monkeypatch):
    build(tmp_path, monkeypatch, lambda store, own: document(store, [arm(store, False), own]))
    image, alone, dummy = rescued(tmp_path)
    assert image.architecture == 'amd64' and not image.problems and alone['status'] == model.COMPLETE


def test_an_index_in_an_index_is_looked_into(tmp_path, monkeypatch):
    build(tmp_path, monkeypatch, lambda store, own: document(store, [document(store, [own])]))
    image, alone, dummy = rescued(tmp_path)
    assert image.status == model.COMPLETE and len(image.layers) == 3 and alone['status'] == model.COMPLETE


def test_indexes_that_go_on_for_ever_end(tmp_path, monkeypatch):
    def index(store, own):
        found = own
        for dummy in range(50):
            found = document(store, [found] * 3)
        return found
    build(tmp_path, monkeypatch, index)
    assert rescued(tmp_path)[0].status == model.LOST


@pytest.mark.parametrize('whole', [True, False])
def test_a_container_is_of_the_platform_that_its_record_names(tmp_path, monkeypatch, whole):
    expected = build(tmp_path, monkeypatch, lambda store, own: document(store, [arm(store, whole)]))
    with registry.open_host(os.fsencode(str(tmp_path / 'h')), [b'/var/lib/docker']) as host:
        container = host.roots[0].container(expected.containers[0].id)
        assert host.roots[0].image_of(container).config_digest == expected.images[0].config_digest
