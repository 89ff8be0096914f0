"""A manager of a swarm is killed. What is read from its disk is what the engine said before: services, networks, nodes, configs, secrets; and what
was written of it makes the same swarm again. LIFEBOAT_SOAK: every way on every engine."""
import base64
import contextlib
import os
import shutil

import pytest
from rig import fixtures, listing, swarm

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.swarm import export

WAYS = [('debian-overlay2', 'snapshot', 'autolock'), ('newer-overlay2', 'log', 'open')]
MORE = [('debian-overlay2', 'log', 'open'), ('debian-overlay2', 'log', 'autolock'), ('newer-overlay2', 'snapshot', 'autolock'),
        ('newer-overlay2', 'snapshot', 'open')]
LIVE = ('Version', 'UpdatedAt', 'Status', 'ManagerStatus')       # of a node: they change by themselves


class Dead:
    """A killed manager: `truth`, `key`, and the path of its host's root."""

    def __init__(self, engine, key, truth):
        self.engine, self.key, self.truth, self.top = engine, key, truth, engine.host_root

    def cluster(self, key=None):
        with registry.open_host(os.fsencode(self.top)) as host:
            return host.roots[0].cluster(self.key if key is None else key)


def kinds(ways):
    return [way for way in ways if way[0] in fixtures.wanted([way[0]])]


@pytest.fixture(scope='module', params=kinds(fixtures.some(WAYS, MORE)), ids='-'.join)
def dead(request):
    kind, state, lock = request.param
    with fixtures.or_say(kind):
        engine, key = swarm.start(kind, snapshots=state == 'snapshot', autolock=lock == 'autolock')
    with contextlib.closing(engine):
        swarm.fill(engine)
        truth = swarm.settled(engine)
        engine.kill()
        found = Dead(engine, key, truth)
        found.kind, found.snapshot = kind, state == 'snapshot' or bool(key)       # autolock takes one at once, with a new key
        yield found


def full(value):
    """VALUE without what is empty: the API leaves some of it out, and some not, which changes with its version."""
    if isinstance(value, dict):
        items = {key: full(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, '', False, 0, [], {}) or key in ('Global', 'Replicated')}
    if isinstance(value, list):
        return [full(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def by_id(items, *without):
    return {item['ID']: full({key: value for key, value in item.items() if key not in without}) for item in items}


def documents(records):
    return [record.document for record in records]


def test_the_engine_and_its_disk_say_the_same(dead):
    assert bool(os.listdir(os.path.join(dead.engine.data_root, 'swarm/raft/snap-v3-encrypted'))) is dead.snapshot
    before = listing.snapshot(dead.top)
    found, truth = dead.cluster(), dead.truth
    assert (found.status, found.role, found.problems) == ('complete', 'manager', ())
    assert (found.id, found.node_id, found.autolock) == (truth.cluster['ID'], truth.info['NodeID'], bool(dead.key))
    assert {item['Spec']['Name'] for item in truth.services} == {'shop_web', 'shop_agent', 'alone'}
    assert by_id(documents(found.services)) == by_id(truth.services)
    assert by_id(documents(found.secrets)) == by_id(truth.secret_list)
    assert by_id(documents(found.configs)) == by_id(truth.config_list)
    assert by_id(documents(found.nodes), *LIVE) == by_id(truth.nodes, *LIVE)
    assert {item.name: item.content for item in found.secrets} == {'loose': bytes(range(256)), 'shop_pw': b'hunter2\n'}
    assert {item.id: item.content for item in found.configs} == {item['ID']: base64.b64decode(item['Spec']['Data']) for item in truth.config_list}
    assert listing.snapshot(dead.top) == before


def test_networks(dead):
    found = {item.id: item for item in dead.cluster().networks}
    said = {item['Id']: item for item in dead.truth.networks}
    assert {ident for ident, item in found.items() if not item.built_in} <= set(said) <= set(found)
    for ident, network in said.items():
        document = found[ident].document
        # what runs on it, and what the node itself made of it, is no part of the state
        keys = ('Name', 'Id', 'Scope', 'Driver', 'EnableIPv6', 'Internal', 'Attachable', 'Ingress', 'ConfigFrom', 'Labels', 'Options')
        assert full({key: document.get(key) for key in keys}) == full({key: network.get(key) for key in keys})
        assert full(document['IPAM'].get('Config', [])) == full(network['IPAM'].get('Config') or [])


def test_the_files_make_the_same_swarm_again(dead, tmp_path):
    with registry.open_host(os.fsencode(dead.top)) as host:
        export.export(host, export.Request(os.fsencode(str(tmp_path)), 'box', ('secrets',), dead.key))
    engine, dummy = swarm.start(dead.kind)
    with contextlib.closing(engine):
        again = swarm.deployed(engine, str(tmp_path / 'box' / 'swarm'))
    old, new = {}, {}
    for truth, specs in ((dead.truth, old), (again, new)):
        names = {item['Id']: item['Name'] for item in truth.networks}
        for service in truth.services:
            name = service['Spec']['Name']
            specs[name[5:] if name.startswith('rest_') else name] = named(service['Spec'], names)
    assert new['shop_web'] == old['shop_web'] and new['shop_agent'] == old['shop_agent']
    was, now = (specs['alone']['TaskTemplate']['ContainerSpec'] for specs in (old, new))
    assert sorted(set(was) - set(now)) == ['Groups']
    assert {key: now[key] for key in was if key != 'Groups'} == {key: value for key, value in was.items() if key != 'Groups'}
    assert sorted(item['Spec']['Name'] for item in again.secret_list) == ['loose', 'shop_pw']
    assert {item['Spec']['Name']: item['Spec']['Data'] for item in again.config_list} == {
        item['Spec']['Name']: item['Spec']['Data'] for item in dead.truth.config_list}


def named(spec, networks):
    """A spec with names instead of IDs, without what the client adds to stacks. `service update --env-add` leaves the variables in random order."""
    def walk(value):
        if isinstance(value, dict):
            return {key: walk(networks.get(item, item) if key == 'Target' and isinstance(item, str) else item) for key, item in value.items()
                    if key not in ('SecretID', 'ConfigID', 'com.docker.stack.namespace', 'com.docker.stack.image')}
        return [walk(item) for item in value] if isinstance(value, list) else value
    found = full(walk(spec))
    found['TaskTemplate']['ContainerSpec'].get('Env', []).sort()
    for network in found['TaskTemplate'].get('Networks', []):
        network['Aliases'] = sorted(network.get('Aliases', []))
    found['TaskTemplate'].get('Networks', []).sort(key=lambda item: item['Target'])
    return found


def test_without_the_key_and_with_another(dead):
    if not dead.key:
        assert dead.cluster('SWMKEY-1-' + 'A' * 43).status == 'complete'
        return
    for key in ('', 'SWMKEY-1-' + 'A' * 43):
        found = dead.cluster(key)
        assert (found.status, found.locked, [item.code for item in found.problems]) == ('lost', True, ['SWARM_LOCKED'])


def test_damage(dead):
    """What a power cut and a failing disk leave of a log. Last: it changes the files."""
    raft = os.path.join(dead.engine.data_root, 'swarm/raft')
    logs = os.path.join(raft, 'wal-v3-encrypted')
    last = os.path.join(logs, sorted(name for name in os.listdir(logs) if name.endswith('.wal'))[-1])
    whole = dead.cluster()
    with open(last, 'rb') as stream:
        end = len(stream.read().rstrip(b'\0'))
    os.truncate(last, end - 20)
    torn = dead.cluster()
    assert torn.status == 'complete' and [item.code for item in torn.problems] == ['SWARM_LOG_TORN'] and torn.last_change >= whole.last_change - 1
    snapshots = os.path.join(raft, 'snap-v3-encrypted')
    for name in os.listdir(snapshots):
        os.unlink(os.path.join(snapshots, name))
    found = dead.cluster()              # the log still begins with the first change; what autolock made unreadable is said
    assert found.status == ('partial' if dead.key and any('cannot be read' in item.message for item in found.problems) else 'complete')
    assert len(found.services) == 3
    with open(last, 'r+b') as stream:
        stream.seek(end // 2)
        stream.write(b'\xff' * 64)
    found = dead.cluster()
    assert found.status == 'partial' and [item.code for item in found.problems] == ['SWARM_STATE_PARTIAL']
    shutil.rmtree(raft)
    found = dead.cluster()              # its certificate still says who it was
    assert (found.role, found.status, found.id, found.node_id) == ('manager', 'lost', dead.truth.cluster['ID'], dead.truth.info['NodeID'])


@pytest.fixture
def two():
    """two(role): (Dead manager, Dead of a second node); both were killed."""
    with contextlib.ExitStack() as stack:
        def make(role):
            one, other = (stack.enter_context(swarm.engine(kind)) for kind in ('debian-overlay2', 'newer-overlay2'))
            swarm.joined(one, other, role)
            truth = swarm.Truth(one)
            one.kill()
            other.kill()
            return Dead(one, '', truth), Dead(other, '', truth)
        yield make


@pytest.mark.parametrize('role', fixtures.some((), ['worker']))
def test_a_worker(two, role):
    manager, worker = two(role)
    found = worker.cluster()
    assert (found.role, found.status, found.id, found.services) == ('worker', 'complete', manager.truth.cluster['ID'], ())
    assert found.node_id in {item['ID'] for item in manager.truth.nodes} - {manager.truth.info['NodeID']}
    assert found.managers == (swarm.FIRST + ':2377',)
    assert {task.service for task in found.tasks} == {'everywhere'} and {task.node_id for task in found.tasks} == {found.node_id}
    assert {task.service_id for task in found.tasks} == {item['ID'] for item in manager.truth.services}


@pytest.mark.parametrize('role', fixtures.some((), ['manager']))
def test_a_second_manager_has_the_same_state(two, role):
    for dead in two(role):
        found = dead.cluster()
        assert found.status == 'complete' and len(found.nodes) == 2
        assert by_id(documents(found.services)) == by_id(dead.truth.services)
        assert {item.name: item.content for item in found.secrets} == {'shared': b'one for all'}


@pytest.mark.parametrize('kind', fixtures.some((), ['newer-overlay2']))
def test_a_log_of_several_segments(kind):
    """A segment has 64 MB. The checksums go on from one to the next."""
    engine, dummy = swarm.start(kind)
    with contextlib.closing(engine):
        contents = {'big%d' % number: os.urandom(900000) for number in range(80)}
        for name, content in contents.items():
            engine.docker('config', 'create', name, '-', stdin=content)
        for name in sorted(contents)[::2]:
            engine.docker('config', 'rm', name)
            del contents[name]
        engine.kill()
        logs = os.listdir(os.path.join(engine.data_root, 'swarm/raft/wal-v3-encrypted'))
        found = Dead(engine, '', None).cluster()
    assert len([name for name in logs if name.endswith('.wal')]) > 1
    assert found.status == 'complete' and {item.name: item.content for item in found.configs} == contents
