"""A host whose images BuildKit made: their layers have ids of 25 characters, and its cache lies beside them."""
import os
import shutil

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import orphans
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'


def ident(number):
    """A name as BuildKit makes them: 25 digits of base 36."""
    text = ''
    for dummy in range(25):
        number, digit = divmod(number * 1103515245 + 12345, 36)
        text += DIGITS[digit]
        number += 7919
    return text


def rename_layers(root):
    """Give every image layer of the overlay2 root ROOT an id of BuildKit; {old: new}."""
    records, new_of = os.path.join(root, 'image/overlay2/layerdb/sha256'), {}
    for number, chain in enumerate(sorted(os.listdir(records))):
        with open(os.path.join(records, chain, 'cache-id'), 'r+') as record:
            old = record.read()
            new = new_of[old] = ident(number)
            record.seek(0)
            record.truncate()
            record.write(new)
        os.rename(os.path.join(root, 'overlay2', old), os.path.join(root, 'overlay2', new))
    links = os.path.join(root, 'overlay2/l')
    for name in os.listdir(links):
        old = os.readlink(os.path.join(links, name)).split('/')[1]
        if old in new_of:
            os.unlink(os.path.join(links, name))
            os.symlink('../%s/diff' % new_of[old], os.path.join(links, name))
    return new_of


@pytest.fixture
def built(tmp_path):
    expected = deadroot.build(str(tmp_path / 'docker'), containers=4)
    root = os.fsdecode(expected.root)
    return expected, root, rename_layers(root)


def opened(root):
    return registry.open_host(os.fsencode(os.path.dirname(root)), [b'/' + os.path.basename(root).encode()])


def test_nothing_is_missing(built):
    expected, root, new_of = built
    with opened(root) as host:
        data_root = host.roots[0]
        found = [data_root.container(one.id) for one in expected.containers]
        images = list(data_root.images())
        problems = data_root.findings()
    by_id = {one.id: one for one in expected.containers}
    for one in found:
        codes = {item.code for item in one.problems}
        assert not {code for code in codes if code.startswith(('LAYER_', 'IMAGE_', 'WRITABLE_'))}, one.problems
        assert [layer.status for layer in one.stack.image] == [model.COMPLETE] * len(by_id[one.id].image.layers)
    assert images and all(image.status == model.COMPLETE and image.problems == () for image in images)
    assert {layer.cache_id for image in images for layer in image.layers} == set(new_of.values())
    assert 'LAYER_METADATA_DAMAGED' not in [item.code for item in problems]


@pytest.mark.parametrize('gone', ['l', 'image/overlay2/layerdb/sha256'])
def test_the_other_sources_know_these_ids_too(built, gone):
    """overlay2's link files where l/ is lost, its lower lists where layerdb is."""
    dummy, root, new_of = built
    shutil.rmtree(os.path.join(root, 'overlay2/l' if gone == 'l' else gone))
    with opened(root) as host:
        data_root = host.roots[0]
        for one in data_root.container_ids():
            stack = data_root.container(one).stack
            if stack is not None and stack.writable is not None:
                assert stack.image and {layer.cache_id for layer in stack.image} <= set(new_of.values())
                assert all(layer.status == model.COMPLETE for layer in stack.image)


def test_the_cache_of_builds_is_no_orphan(built):
    dummy, root, new_of = built
    with opened(root) as host:
        before = len(list(host.roots[0].orphans()))
        assert 'BUILD_CACHE' not in [item.code for item in host.roots[0].findings()]
    for number in (901, 902):
        os.makedirs(os.path.join(root, 'overlay2', ident(number), 'diff'))
        with open(os.path.join(root, 'overlay2', ident(number), 'diff', 'cached'), 'w') as handle:
            handle.write('of a build')
    # what a RUN that was killed leaves: a writable layer with dockerd's sort of id, no init layer, mounted by BuildKit
    mount_id = 'e' * 64
    os.makedirs(os.path.join(root, 'overlay2', mount_id, 'diff'))
    record = os.path.join(root, 'image/overlay2/layerdb/mounts', ident(903))
    os.makedirs(record)
    with open(os.path.join(record, 'mount-id'), 'w') as handle:
        handle.write(mount_id)
    with opened(root) as host:
        data_root = host.roots[0]
        assert len(list(data_root.orphans())) == before
        assert orphans.build_cache(data_root.stores.graphdrivers['overlay2']) == sorted(
            ident(number).encode() for number in (901, 902))
        said = [item for item in facts.gather(host, facts.Options())['problems'] if item['code'] == 'BUILD_CACHE']
    assert len(said) == 1 and said[0]['severity'] == 'info' and '2 layers' in said[0]['message']
