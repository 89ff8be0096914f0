"""A host with every engine at once: Docker, Podman of root and of a user, Buildah and CRI-O in Podman's store, Kubernetes and nerdctl on one
containerd. Each container, image, volume and layer is told once, by the engine that made it."""
import collections
import json
import os

import deadkube
import deadpodman
import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather

STORE = 'var/lib/containers/storage'
HOME_STORE = 'home/alice/.local/share/containers/storage'

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='roots of root, and of other users, can only be built by root')


def merge(one, other):
    """Move all that the graph root OTHER has into ONE, as if both engines had always had the same."""
    for folder, dummy, files in list(os.walk(other)):
        if os.path.basename(folder).endswith(('-layers', '-containers', '-images')):
            for name in [name for name in files if name.endswith('.json')]:
                target = os.path.join(one, os.path.relpath(folder, other), name)
                with open(os.path.join(folder, name), encoding='utf-8') as found:
                    listed = json.load(found)
                if os.path.exists(target):
                    with open(target, encoding='utf-8') as found:
                        listed = json.load(found) + listed
                with open(target, 'w', encoding='utf-8') as out:
                    json.dump(listed, out)
                os.unlink(os.path.join(folder, name))
    for kind in ('overlay', 'overlay/l', 'overlay-layers', 'overlay-containers', 'overlay-images'):
        for name in os.listdir(os.path.join(other, kind)):
            if not os.path.exists(os.path.join(one, kind, name)):
                os.rename(os.path.join(other, kind, name), os.path.join(one, kind, name))


@pytest.fixture(scope='module')
def five(tmp_path_factory):
    """(host root, {engine: ids of its containers}, {engine: Expected of each store})."""
    top = str(tmp_path_factory.mktemp('five'))
    docker = deadroot.build(os.path.join(top, 'var/lib/docker'), 3, 2, host_root=top, orphan_layers=1)
    podman = deadpodman.build(os.path.join(top, STORE), 4, 2, host_root=top, orphan_layers=1)
    forget(os.path.join(top, STORE), podman.containers[3].id)
    crio = deadpodman.build(os.path.join(top, 'elsewhere/storage'), 3, 2, host_root=top, crio=True, seed='crio')
    merge(os.path.join(top, STORE), os.path.join(top, 'elsewhere/storage'))
    alice = deadpodman.build(os.path.join(top, HOME_STORE), 2, 2, host_root=top, driver='vfs', seed='alice')
    for folder, folders, files in os.walk(os.path.join(top, 'home/alice')):
        for name in [folder] + [os.path.join(folder, name) for name in folders + files]:
            os.lchown(name, 5001, 5001)
    for name, text in (('passwd', 'root:x:0:0::/root:/bin/sh\nalice:x:5001:5001::/home/alice:/bin/sh\n'), ('subuid', 'alice:100000:65536\n'),
                       ('subgid', 'alice:200000:65536\n')):
        os.makedirs(os.path.join(top, 'etc'), exist_ok=True)
        with open(os.path.join(top, 'etc', name), 'w', encoding='ascii') as out:
            out.write(text)
    containerd = os.path.join(top, 'var/lib/containerd')
    kubernetes = deadkube.build(containerd, 2, 2, host_root=top, orphan_layers=1)
    first = deadkube.HOSTS[os.fsencode(os.path.realpath(containerd))]
    nerdctl = deadkube.build(containerd, 3, 2, host_root=top, engine='nerdctl', beside=first, seed='nerdctl', orphan_layers=1)
    return top, {'docker': [docker], 'podman': [podman, alice], 'crio': [crio], 'kubernetes': [kubernetes], 'nerdctl': [nerdctl]}


def forget(store, ident):
    """Take a container out of Podman's database: so are those of Buildah."""
    import sqlite3
    with sqlite3.connect(os.path.join(store, 'db.sql')) as database:
        for table in ('ContainerConfig', 'ContainerState'):
            database.execute('DELETE FROM %s WHERE ID = ?' % table, (ident,))
    database.close()


def facts(top, **options):
    with registry.open_host(os.fsencode(top), **options) as host:
        return gather.gather(host, gather.Options(gather_subset=['all', '!integrity'], changes_limit=0))


def test_each_container_is_told_once_by_its_engine(five):
    top, expected = five
    found = facts(top)
    ours = collections.Counter((item['engine'], item['id']) for item in found['containers'])
    assert ours == collections.Counter((engine, item.id) for engine, stores in expected.items() for store in stores for item in store.containers)
    assert len({item['id'] for item in found['containers']}) == len(found['containers']) == found['summary']['containers']
    assert [(root['engine'], root['containers']) for root in found['roots']] == [
        ('docker', 3), ('crio', 3), ('kubernetes', 2), ('nerdctl', 3), ('podman', 4), ('podman', 2)]
    assert {item['id'] for item in found['containers'] if item['user'] == 'alice'} == {item.id for item in expected['podman'][1].containers}
    codes = {item['id']: {problem['code'] for problem in item['problems']} for item in found['containers']}
    assert [ident for ident in codes if 'NO_STATE_RECORD' in codes[ident]] == [expected['podman'][0].containers[3].id]


def test_images_volumes_and_orphans_are_told_once(five):
    top, expected = five
    found = facts(top)
    stores = [store for each in expected.values() for store in each]
    images = collections.Counter(item['id'] for item in found['images'])
    shared = {image.id for store in (expected['podman'][0], expected['crio'][0]) for image in store.images}
    alone = [image.id for store in stores if store not in (expected['podman'][0], expected['crio'][0]) for image in store.images]
    assert images == collections.Counter(alone + sorted(shared))
    volumes = [item['path'] for item in found['volumes']]
    assert len(set(volumes)) == len(volumes) == sum(len(store.volumes) for store in stores)
    layers = [item['path'] for item in found['orphans']['writable_layers']]
    assert len(set(layers)) == len(layers) == sum(len(store.orphans) for store in stores)


def test_changes_and_states_are_those_of_each_engine_alone(five):
    """What one engine says of its containers does not depend on who else is asked."""
    top, expected = five
    together = {item['id']: item for item in facts(top)['containers']}
    for engine in expected:
        alone = facts(top, engines=[engine])['containers']
        assert alone and all(together[item['id']] == item for item in alone), engine
