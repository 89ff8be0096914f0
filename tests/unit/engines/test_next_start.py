"""What the next start of the engine would do to the data, as dockerd 20.10.24 and 28.5.2 did it."""
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry


def opened(expected):
    root = os.fsdecode(expected.root)
    return registry.open_host(os.fsencode(os.path.dirname(root)), [b'/' + os.path.basename(root).encode()])


def codes(expected):
    with opened(expected) as host:
        return {item.code: item for item in host.roots[0].findings()}


def test_what_is_said_of_containers(tmp_path):
    expected = deadroot.build(str(tmp_path / 'docker'), containers=len(deadroot.KINDS))
    with opened(expected) as host:
        said = {item.code: item for one in expected.containers for item in host.roots[0].container(one.id).problems}
    once = said['REMOVED_AT_NEXT_START']
    assert 'deletes it' in once.message and 'volumes stay' in once.message and 'prune' in once.message
    gone = said['REMOVAL_INTERRUPTED']
    assert 'docker rm' in gone.next_step and 'removes nothing' in gone.next_step


@pytest.mark.parametrize('files, dangerous', [
    ((), False),
    (('docker-state.json', 'state.json', 'certificates/swarm-root-ca.crt', 'raft/snap-v3-encrypted/1.snap'), True),
    (('docker-state.json', 'raft/wal-v3-encrypted/1.wal'), True),
    (('docker-state.json', 'certificates/swarm-node.crt', 'certificates/swarm-node.key'), False)])
def test_a_swarm_node_without_its_certificate(tmp_path, files, dangerous):
    expected = deadroot.build(str(tmp_path / 'docker'))
    swarm = os.path.join(os.fsdecode(expected.root), 'swarm')
    os.makedirs(swarm, exist_ok=True)
    for name in files:
        os.makedirs(os.path.dirname(os.path.join(swarm, name)), exist_ok=True)
        with open(os.path.join(swarm, name), 'w') as handle:
            handle.write('x')
    found = codes(expected)
    assert ('SWARM_REMOVED_AT_NEXT_START' in found) is dangerous
    if dangerous:
        assert swarm in found['SWARM_REMOVED_AT_NEXT_START'].message


@pytest.mark.parametrize('name', ['io.containerd.metadata.v1.bolt/meta.db', 'io.containerd.snapshotter.v1.overlayfs/metadata.db'])
@pytest.mark.parametrize('state', ['missing', 'empty', 'damaged', 'whole'])
def test_a_database_of_containerd(tmp_path, name, state):
    expected = deadroot.build(str(tmp_path / 'docker'), store='containerd')
    path = os.path.join(os.fsdecode(expected.containerd_root), name)
    if state == 'missing':
        os.unlink(path)
    elif state != 'whole':
        with open(path, 'r+b') as handle:
            handle.truncate(0 if state == 'empty' else 5000)
    found = codes(expected)
    assert ('METADATA_DB_MISSING' in found) is (state in ('missing', 'empty'))
    assert ('METADATA_DB_DAMAGED' in found) is (state != 'whole')
    if state in ('missing', 'empty'):
        assert path in found['METADATA_DB_MISSING'].message and found['METADATA_DB_MISSING'].severity == 'critical'
