"""A whole host that code has built, read back; both stores, with and without root."""
import os
import stat

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import tree
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import changes, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model, selection


def host_of(expected_root, tmp):
    return registry.open_host(os.fsencode(str(tmp)), [b'/' + os.path.relpath(expected_root, os.fsencode(str(tmp)))])


@pytest.fixture(scope='module', params=['graphdriver', 'containerd'])
def built(request, tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=5, layers=4, images=2, store=request.param,
                              host_root=str(tmp), orphan_layers=1)
    with host_of(expected.root, tmp) as host:
        yield expected, host


def test_containers(built):
    expected, host = built
    root = host.roots[0]
    assert sorted(root.container_ids()) == sorted(item.id for item in expected.containers)
    for item in expected.containers:
        found = root.container(item.id)
        assert (found.name, found.image_id, found.driver, found.store) == (
            item.name, item.image_id, item.driver, expected.store)
        assert found.state['status'] == item.state['status']
        assert found.stack.writable.path == item.upper
        assert tuple(layer.path for layer in found.stack.image) == item.lowers
        assert [(mount.type, mount.name, mount.destination, mount.path) for mount in found.mounts] == [
            (mount.type, mount.name, mount.destination, mount.path) for mount in item.mounts]
        assert found.log.files == item.log_files


def test_changes(built):
    expected, host = built
    for item in expected.containers:
        found = list(changes.changes(host.roots[0].container(item.id).stack))
        assert not any(isinstance(change, tree.Failure) for change in found)
        assert {(change.kind, b'/' + change.path) for change in found} == item.changes()


def test_merged_view(built):
    expected, host = built
    for item in expected.containers:
        wanted = item.tree()
        with union.View(host.roots[0].container(item.id).stack.view()) as view:
            seen = set()
            for entry in view.entries():
                seen.add(entry.path)
                node = wanted[entry.path]
                if stat.S_ISREG(entry.st.st_mode):
                    with os.fdopen(entry.open(), 'rb') as data:
                        assert data.read() == node.content(), entry.path
            assert seen == set(wanted)


def test_images_volumes_orphans(built):
    expected, host = built
    root = host.roots[0]
    images = {image.id: image for image in root.images()}
    assert set(images) == {item.id for item in expected.images}
    for item in expected.images:
        found = images[item.id]
        assert found.status == model.COMPLETE
        assert found.references == item.references
        assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in item.layers]
        assert [layer.chain_id for layer in found.layers] == [layer.chain_id for layer in item.layers]
        assert [layer.path for layer in found.layers] == [layer.path for layer in item.layers]
    volumes = root.volumes_with_users()
    assert {(name, volume.path, volume.used_by) for name, volume in volumes.items()} == {
        (item.name, item.path, tuple(sorted(item.used_by))) for item in expected.volumes} or {
        (name, volume.path, frozenset(volume.used_by)) for name, volume in volumes.items()} == {
        (item.name, item.path, frozenset(item.used_by)) for item in expected.volumes}
    assert {orphan.path for orphan in root.orphans()} == {item.path for item in expected.orphans}


def test_patterns(built):
    expected, host = built
    first = expected.containers[0]
    assert selection.containers(host, [first.name]) == [(host.roots[0], first.id)]
    assert selection.containers(host, [first.id[:6]]) == [(host.roots[0], first.id)]
    assert selection.containers(host, ['/' + first.name, first.name[:2] + '*'])[0] == (host.roots[0], first.id)
    with pytest.raises(LifeboatError) as raised:
        selection.containers(host, ['no-such-one'])
    assert 'no-such-one' in str(raised.value) and first.name in str(raised.value)


def test_only_the_data_root_was_copied(tmp_path):
    """The layers lie in a containerd root that is not on this disk: said, not hidden."""
    expected = deadroot.build(str(tmp_path / 'var' / 'lib' / 'docker'), containers=2, store='containerd',
                              host_root=str(tmp_path), containerd_root=str(tmp_path / 'elsewhere'))
    (tmp_path / 'elsewhere').rename(tmp_path / 'gone')
    with host_of(expected.root, tmp_path) as host:
        for item in expected.containers:
            found = host.roots[0].container(item.id)
            assert found.stack is None
            assert [note.code for note in found.problems if note.code == 'STORE_UNREACHABLE']
            assert found.name == item.name


@pytest.mark.parametrize('named', [True, False])
def test_a_containerd_that_was_never_started_is_no_damage(tmp_path, named):
    expected = deadroot.build(str(tmp_path / 'var/lib/docker'), containers=1, host_root=str(tmp_path))
    where = tmp_path / 'var/lib/containerd'
    where.mkdir()
    for used in (False, True):
        if used:                        # its folders are there and meta.db is not
            (where / 'io.containerd.content.v1.content').mkdir()
        with registry.open_host(os.fsencode(str(tmp_path)), [b'/var/lib/docker'], b'/var/lib/containerd' if named else None) as host:
            codes = [found.code for found in host.roots[0].findings()]
        assert ('METADATA_DB_DAMAGED' in codes) == used
    assert expected.containers
