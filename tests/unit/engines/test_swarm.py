"""The state of a swarm out of the folder of a dead manager or worker: whole, damaged, locked, hostile."""
import errno
import os
import random
import tracemalloc

import deadroot
import deadswarm
import pytest
from deadswarm import CREATE, REMOVE, UPDATE, mapping, message, request

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.swarm import export

CLUSTER = deadswarm.named('cluster-1', 'default', message((8, message((1, 0)))), _11=['10.0.0.0/8'], _12=24)
NETWORK = deadswarm.named('net1', 'shop_back', message((2, message((1, 'overlay'), (2, mapping(encrypted='true')))), (6, 1)),
                          mapping(com__docker__stack__namespace='shop'), _4=message((1, 'overlay')))
HOST_NETWORK = deadswarm.named('net0', 'host', message((2, message((1, 'host')))), mapping(com__docker__swarm__predefined='true'))
SECRET = deadswarm.secret('sec1', 'db_password', b'hunter2\n')
CONFIG = deadswarm.config('con1', 'nginx.conf', b'server {}\n')
WEB = deadswarm.service(
    'svc1', 'shop_web', 'nginx:1', 3,
    container=message((4, ['nginx', '--token=abc']), (5, ['A=1', 'TOKEN=s3cr3t']), (8, [message((1, 1), (2, 'shop_data'), (3, '/data'), (4, 1))]),
                      (12, message((1, 'sec1'), (2, 'db_password'), (3, message((1, 'password'), (2, '0'), (3, '0'), (4, 0o444)))))),
    task=message((7, message((1, 'net1'), (2, ['web'])))), spec=message((8, message((2, message((2, 1), (3, 53), (4, 5353)))))),
    labels=mapping(com__docker__stack__namespace='shop'))
NODE = deadswarm.named('node-1', '', message((2, 1)), _4=message((1, 'host-a'), (4, message((1, '28.5.2')))), _5=message((1, 2), (3, '10.0.0.1')))


@pytest.fixture
def root(tmp_path):
    """The data root of a dead host with one container."""
    path = tmp_path / 'host' / 'var' / 'lib' / 'docker'
    deadroot.build(str(path), containers=1, host_root=str(tmp_path / 'host'), rich=False)
    return path


def full(root, **options):
    """A manager's folder with one of each."""
    node = deadswarm.Node(root, **options).begin()
    node.entries(request((CREATE, 'cluster', CLUSTER), (CREATE, 'node', NODE)), b'', request((CREATE, 'network', NETWORK), (CREATE, 'network', HOST_NETWORK)),
                 request((CREATE, 'secret', SECRET), (CREATE, 'config', CONFIG)), request((CREATE, 'service', WEB)))
    return node


def cluster(root, key=''):
    with registry.open_host(os.fsencode(str(root.parents[2]))) as host:
        return host.roots[0].cluster(key)


def codes(found):
    return [item.code for item in found.problems]


def test_a_manager(root):
    full(root).write_log()
    found = cluster(root)
    assert (found.kind, found.id, found.role, found.node_id, found.status, found.locked, codes(found)) == (
        'swarm', 'cluster-1', 'manager', 'node-1', 'complete', False, [])
    assert found.last_change == 5
    assert [(node.hostname, node.role, node.availability, node.state, node.address, node.engine_version) for node in found.nodes] == [
        ('host-a', 'manager', 'active', 'ready', '10.0.0.1', '28.5.2')]
    web = found.services[0]
    assert (web.name, web.stack, web.image, web.mode, web.replicas, web.args, web.env) == (
        'shop_web', 'shop', 'nginx:1', 'replicated', 3, ('nginx', '--token=abc'), ('A=1', 'TOKEN=s3cr3t'))
    assert (web.networks, web.mounts, web.ports) == (('shop_back',), (('volume', 'shop_data', '/data', True),), (('udp', 53, 5353, 'ingress'),))
    assert [tuple(use) for use in web.secrets] == [('sec1', 'db_password', 'password')]
    assert [(item.name, item.built_in, item.driver) for item in found.networks] == [('host', True, 'host'), ('shop_back', False, 'overlay')]
    assert (found.networks[1].settings.options, found.networks[1].settings.attachable) == ({'encrypted': 'true'}, True)
    assert (found.secrets[0].content, found.configs[0].content, found.configs[0].created) == (b'hunter2\n', b'server {}\n', '2023-11-14T22:13:20.12Z')


def test_whoever_looks_at_the_host_is_told_of_the_state(root):
    with registry.open_host(os.fsencode(str(root.parents[2]))) as host:
        assert 'SWARM_MANAGER' not in [item.code for item in host.roots[0].findings()]
    full(root).write_log()
    with registry.open_host(os.fsencode(str(root.parents[2]))) as host:
        assert 'SWARM_MANAGER' in [item.code for item in host.roots[0].findings()]


def test_what_was_changed_and_removed(root):
    node = full(root)
    node.entries(request((UPDATE, 'secret', deadswarm.secret('sec1', 'db_password', b'new'))), request((REMOVE, 'config', message((1, 'con1')))))
    node.write_log()
    found = cluster(root)
    assert ([item.content for item in found.secrets], found.configs) == ([b'new'], ())


def test_a_snapshot_and_what_came_behind_it(root):
    """Entries before the snapshot need not be there any more."""
    node = deadswarm.Node(root).begin()
    node.index = 9000
    node.snapshot(cluster=[CLUSTER], secret=[SECRET], service=[WEB])
    node.entries(request((CREATE, 'config', CONFIG)), at=9001).write_log(3, 8000)
    found = cluster(root)
    assert (found.status, found.last_change, [item.name for item in found.services], [item.name for item in found.configs]) == (
        'complete', 9001, ['shop_web'], ['nginx.conf'])


@pytest.mark.parametrize('managers, expected', [(1, []), (2, ['SWARM_UNCOMMITTED'])])
def test_changes_that_were_never_agreed_on(root, managers, expected):
    """One manager agrees with itself. Of several, this one may be alone with the end of its log."""
    node = full(root)
    others = [deadswarm.named('node-%d' % number, '', message((2, 1)), _4=message((1, 'host-%d' % number))) for number in range(2, managers + 1)]
    node.entries(*[request((CREATE, 'node', other)) for other in others])
    node.entries(request((CREATE, 'config', deadswarm.config('con2', 'late.conf', b'x'))), commit=False).write_log()
    found = cluster(root)
    assert codes(found) == expected and found.status == 'complete'
    assert [item.name for item in found.configs] == ['late.conf', 'nginx.conf']


def test_cluster_volumes_are_named(root):
    full(root).entries(request((CREATE, 'volume', message((1, 'csi1'))))).write_log()
    found = cluster(root)
    assert (found.status, codes(found)) == ('complete', ['SWARM_VOLUMES_LEFT_OUT']) and 'csi1' in found.problems[0].message


def test_a_torn_end_is_no_loss(root):
    node = full(root)
    kept = len(node.log)
    node.entries(request((CREATE, 'secret', deadswarm.secret('sec2', 'late', b'x' * 900))))
    node.log = node.log[:kept + 100]
    node.write_log(size=0)
    found = cluster(root)
    assert (found.status, codes(found), [item.name for item in found.secrets]) == ('complete', ['SWARM_LOG_TORN'], ['db_password'])


def test_damage_keeps_what_stands_before_it(root):
    node = full(root)
    kept = len(node.log)
    node.entries(request((CREATE, 'secret', deadswarm.secret('sec2', 'late', b'x' * 900))), b'')
    node.log = node.log[:kept + 200] + b'\xff' + node.log[kept + 201:]
    node.write_log()
    found = cluster(root)
    assert (found.status, codes(found), [item.name for item in found.secrets]) == ('partial', ['SWARM_STATE_PARTIAL'], ['db_password'])


def test_a_missing_snapshot_is_said(root):
    node = deadswarm.Node(root).begin()
    node.index = 9000
    node.snapshot(secret=[SECRET])
    node.entries(request((CREATE, 'config', CONFIG)), at=9001).write_log(3, 8000)
    os.unlink(str(next((root / 'swarm/raft/snap-v3-encrypted').iterdir())))
    found = cluster(root)
    assert (found.status, codes(found), found.secrets, len(found.configs)) == ('partial', ['SWARM_STATE_PARTIAL'], (), 1)
    assert 'changes 1 to 9000 are missing' in found.problems[0].message


@pytest.mark.parametrize('size', [(256 << 20) + 1, 1 << 42])
def test_a_snapshot_that_is_too_large_for_memory_is_named(root, size):
    node = deadswarm.Node(root).begin()
    node.index = 9000
    node.snapshot(secret=[SECRET])
    node.entries(request((CREATE, 'config', CONFIG)), at=9001).write_log(3, 8000)
    os.truncate(str(next((root / 'swarm/raft/snap-v3-encrypted').iterdir())), size)
    tracemalloc.start()
    try:
        found = cluster(root)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert (found.status, codes(found), len(found.configs)) == ('partial', ['SWARM_STATE_PARTIAL'], 1)
    assert 'no more than 256 MiB' in found.problems[0].message and 'changes 1 to 9000 are missing' in found.problems[0].message


def test_a_damaged_snapshot_that_the_log_makes_needless(root):
    node = full(root)
    node.snapshot(secret=[]).write_log()
    path = next((root / 'swarm/raft/snap-v3-encrypted').iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b'\xff')
    found = cluster(root)
    assert (found.status, codes(found), len(found.secrets)) == ('complete', ['SWARM_LOG_TORN'], 1)


def test_the_log_is_missing(root):
    full(root).snapshot(secret=[SECRET]).write_log()
    for path in (root / 'swarm/raft/wal-v3-encrypted').iterdir():
        path.unlink()
    found = cluster(root)
    assert (found.status, codes(found), len(found.secrets)) == ('partial', ['SWARM_STATE_PARTIAL'], 1)


def test_garbage_instead_of_a_log(root):
    full(root).write_log()
    for path in (root / 'swarm/raft/wal-v3-encrypted').iterdir():
        path.write_bytes(b'garbage!' * 1000)
    found = cluster(root)
    assert (found.status, codes(found)) == ('lost', ['SWARM_STATE_LOST'])


@pytest.mark.parametrize('key, wrong', [('', False), ('SWMKEY-1-' + 'A' * 43, True)])
def test_autolock_without_its_key(root, key, wrong):
    full(root, kek=deadswarm.KEK).write_log()
    found = cluster(root, key)
    assert (found.status, found.locked, found.autolock, codes(found), found.services) == ('lost', True, True, ['SWARM_LOCKED'], ())
    assert ('is not its key' in found.problems[0].message) is wrong
    assert 'docker swarm unlock-key' in found.problems[0].next_step


def test_autolock_with_its_key(root):
    full(root, kek=deadswarm.KEK).write_log()
    found = cluster(root, deadswarm.UNLOCK + '\n')
    assert (found.status, found.locked, found.autolock, len(found.secrets)) == ('complete', False, True, 1)


@pytest.mark.parametrize('key', ['x', 'SWMKEY-1-', 'SWMKEY-1-AAAA', 'SWMKEY-2-' + 'A' * 43, 'SWMKEY-1-' + '\u20ac' * 43])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(root, key):
    full(root, kek=deadswarm.KEK).write_log()
    with pytest.raises(LifeboatError) as raised:
        cluster(root, key)
    assert key not in str(raised.value) or key == 'x' or key == 'SWMKEY-1-'


def test_another_key_of_the_log(root):
    """What is encrypted under a key that the node does not have any more is counted, and the rest is read."""
    node = full(root)
    node.dek = bytes(32)
    node.entries(request((CREATE, 'secret', deadswarm.secret('sec2', 'other', b'x')))).write_log()
    found = cluster(root)
    assert (found.status, codes(found), len(found.secrets)) == ('partial', ['SWARM_STATE_PARTIAL'], 1)
    assert '1 change cannot be read, the first is 6' in found.problems[0].message


def test_without_the_key_of_the_node(root):
    full(root).write_log()
    (root / 'swarm/certificates/swarm-node.key').unlink()
    found = cluster(root)
    assert (found.status, codes(found)) == ('lost', ['SWARM_STATE_LOST'])


def test_a_manager_whose_log_is_gone(root):
    deadswarm.Node(root)
    found = cluster(root)
    assert (found.role, found.status, codes(found)) == ('manager', 'lost', ['SWARM_STATE_LOST'])


def test_a_worker_and_its_tasks(root):
    node = deadswarm.Node(root, role='swarm-worker')
    node._write('state.json', b'[{"peer": {"node_id": "m1", "addr": "10.0.0.9:2377"}, "weight": 20}]')
    path = next((root / 'containers').glob('*/config.v2.json'))
    path.write_text(path.read_text().replace('"Labels":{', '"Labels": {').replace(
        '"Labels": {', '"Labels": {"com.docker.swarm.service.name":"shop_web","com.docker.swarm.service.id":"svc1","com.docker.swarm.task.id":"t1",'
        '"com.docker.swarm.task.name":"shop_web.1.t1","com.docker.swarm.node.id":"node-1"%s' % (
            '' if '"Labels": {}' in path.read_text().replace('"Labels":{', '"Labels": {') else ','), 1))
    found = cluster(root)
    assert (found.role, found.status, found.id, found.node_id, found.managers, codes(found)) == (
        'worker', 'complete', 'cluster-1', 'node-1', ('10.0.0.9:2377',), [])
    assert [(task.service, task.task, task.node_id) for task in found.tasks] == [('shop_web', 'shop_web.1.t1', 'node-1')]


@pytest.mark.parametrize('broken, status, said', [
    ('swarm', 'lost', 'swarm cannot be read'), ('swarm/raft', 'lost', 'raft cannot be read'), ('swarm/certificates', 'lost', 'certificates cannot be read'),
    ('swarm/raft/wal-v3-encrypted', 'partial', 'wal-v3-encrypted cannot be read'),
    ('swarm/raft/snap-v3-encrypted', 'partial', 'snap-v3-encrypted cannot be read')])
@pytest.mark.parametrize('number', [errno.EIO, errno.EACCES])
def test_a_folder_that_cannot_be_read_is_no_missing_one(root, monkeypatch, broken, status, said, number):
    """Neither a worker, nor an older state, nor no swarm at all."""
    node = full(root)
    node.snapshot(secret=[SECRET])
    node.entries(request((CREATE, 'config', CONFIG))).write_log()
    node._write('raft/wal-v3/%016x-%016x.wal' % (0, 0), b'old')
    real = safeio.Dir.child

    def child(self, name):
        if os.path.join(self.path(), name).endswith(b'/' + broken.encode()):
            raise OSError(number, os.strerror(number))
        return real(self, name)
    monkeypatch.setattr(safeio.Dir, 'child', child)
    found = cluster(root)
    assert found.status == status and any(said in item.message for item in found.problems), found.problems
    if status == 'lost':
        with registry.open_host(os.fsencode(str(root.parents[2]))) as host, pytest.raises(LifeboatError, match='cannot be read'):
            export.of_host(host, '')


def test_without_log_and_certificate_it_is_no_worker(root):
    node = deadswarm.Node(root, role='swarm-worker')
    assert cluster(root).status == 'complete'
    os.remove(os.path.join(node.path, 'certificates/swarm-node.crt'))
    found = cluster(root)
    assert (found.status, codes(found)) == ('partial', ['SWARM_STATE_PARTIAL'])


def test_no_node_of_a_swarm(root):
    assert (root / 'swarm').is_dir() and cluster(root) is None     # every data root has the folder
    (root / 'swarm').rmdir()
    assert cluster(root) is None


def test_links_instead_of_its_folders_are_not_followed(root, tmp_path):
    full(root).write_log()
    os.rename(str(root / 'swarm/raft'), str(tmp_path / 'elsewhere'))
    os.symlink(str(tmp_path / 'elsewhere'), str(root / 'swarm/raft'))
    assert codes(cluster(root)) == ['SWARM_STATE_LOST']


def test_objects_of_any_bytes(root):
    """Whatever a byte of an object becomes: it is shown or said, and files can be made of all of them."""
    chance, node = random.Random(3), deadswarm.Node(root).begin()
    for number in range(300):
        kind, raw = chance.choice([('service', WEB), ('network', NETWORK), ('secret', SECRET), ('config', CONFIG), ('node', NODE), ('cluster', CLUSTER)])
        changed = bytearray(raw)
        for dummy in range(chance.randrange(1, 5)):
            changed[chance.randrange(len(changed))] = chance.getrandbits(8)
        node.entries(request((CREATE, kind, bytes(changed) + message((1, '%s%d' % (kind, number))))))
    node.write_log()
    found = cluster(root)
    assert len(found.services) > 10 and 'SWARM_STATE_PARTIAL' in codes(found) and found.last_change > 200
    assert 'stack.yml' in export.content_of(found, True)


def test_an_object_that_is_damaged_does_not_hide_the_others(root):
    node = full(root)
    node.entries(request((CREATE, 'service', message((1, 'bad'), (3, b'\xff\xff'))))).write_log()
    found = cluster(root)
    assert (found.status, codes(found), [item.name for item in found.services]) == ('partial', ['SWARM_STATE_PARTIAL'], ['shop_web'])
