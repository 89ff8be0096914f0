"""The swarm that a host was a node of, from <data root>/swarm.

A manager has the whole state in its raft log; a worker has none, and its containers carry the names of their services as labels.
"""
import errno
import json
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple, TypeVar, Union

from ...disk import metadata
from ...formats import protobuf, wording
from ...formats.protobuf import Message
from ...formats.values import as_dict, as_list, as_str, clean
from ...records import cluster as records, model
from ...records.codes import problem
from ...records.definition import network_settings
from . import swarmkeys, swarmobjects, swarmraft

if TYPE_CHECKING:
    from ...disk.safeio import Dir
    from .configs import Configs

KIND = 'swarm'
STACK = 'com.docker.stack.namespace'
PREDEFINED = 'com.docker.swarm.predefined'       # label of the networks host and bridge, which every node has
LABELS = ('service.id', 'service.name', 'task.id', 'task.name', 'node.id')
PREFIX = 'com.docker.swarm.'
WHOLE = 'A manager that is alive has the same state. Without one, look for an older copy of the folder.'

_Record = TypeVar('_Record')


class _Where(NamedTuple):
    """What the parts of a reading share."""
    path: str
    problems: List[model.Problem]


def read(root: 'Dir', configs: 'Configs', unlock_key: str = '') -> Optional[records.Cluster]:
    """The records.Cluster of an open data root, None where it was no node of a swarm. UNLOCK_KEY: text as the engine prints it, '' for none.
    LifeboatError for a key that cannot be one. What cannot be read is in its problems."""
    unlock = swarmkeys.unlock_key(unlock_key)
    path = root.path() + b'/swarm'
    try:
        folder = root.descend(b'swarm')
        try:
            if not folder.names():      # every data root has the folder
                return None
            return _read(folder, configs, unlock)
        finally:
            folder.close()
    except FileNotFoundError:
        return None
    except OSError as exc:
        where = wording.text(path)
        return records.Cluster(KIND, status=model.LOST, path=path, problems=(problem(
            'SWARM_STATE_LOST', where, '%s cannot be read: %s.' % (where, metadata.describe(exc)),
            'Run as root (become: true).' if exc.errno in (errno.EACCES, errno.EPERM) else WHOLE),))


def _read(folder: 'Dir', configs: 'Configs', unlock: Optional[bytes]) -> records.Cluster:
    path = folder.path()
    where = _Where(wording.text(path), [])
    unread: Dict[bytes, str] = {}
    certificates, raft = _below(folder, b'certificates', unread), _below(folder, b'raft', unread)
    said = swarmkeys.who(certificates) if certificates is not None else {}
    found = records.Cluster(KIND, id=said.get('cluster_id', ''), node_id=said.get('node_id', ''), path=path, tasks=tuple(_tasks(configs)))
    if raft is not None and swarmraft.exists(raft):
        found = _manager(found._replace(role=records.MANAGER), where, raft, certificates or unread.get(b'certificates', 'is missing'), unlock)
    elif b'raft' in unread:
        found = found._replace(role=records.MANAGER, status=model.LOST)
        where.problems.append(problem('SWARM_STATE_LOST', where.path, 'The state of the swarm in %s/raft %s.' % (where.path, unread[b'raft']), WHOLE))
    elif said.get('role') == 'swarm-manager':
        found = found._replace(role=records.MANAGER, status=model.LOST)
        where.problems.append(problem(
            'SWARM_STATE_LOST', where.path, 'This host was a manager of a swarm, but %s/raft holds no log. A start of dockerd makes a new, '
            'empty swarm of it: services, secrets and configs are then gone.' % where.path, WHOLE))
    else:
        found = found._replace(managers=tuple(_managers(folder)))
        if not said.get('role'):
            found = found._replace(status=model.PARTIAL)
            where.problems.append(problem(
                'SWARM_STATE_PARTIAL', where.path, 'Whether this host was a manager or a worker of its swarm is not known: %s has no log, and its '
                'certificate %s.' % (where.path, unread.get(b'certificates') or 'is missing or damaged'), WHOLE))
    return found._replace(problems=tuple(where.problems))


def _below(folder: 'Dir', name: bytes, unread: Dict[bytes, str]) -> 'Optional[Dir]':
    """The folder NAME, None where there is none. UNREAD gets {name: why} of one that cannot be read."""
    try:
        return folder.child(name)
    except FileNotFoundError:
        return None
    except OSError as exc:
        unread[name] = 'cannot be read: %s' % metadata.describe(exc)
        return None


# -- a manager -----------------------------------------------------------------------------------------------------------------------------


def _manager(found: records.Cluster, where: _Where, raft: 'Dir', certificates: "Union['Dir', str]", unlock: Optional[bytes]) -> records.Cluster:
    """FOUND with what the log says. CERTIFICATES: their folder, or why it is not there."""
    keys = swarmkeys.Keys((), False)
    if swarmraft.needs_key(raft):
        try:
            if isinstance(certificates, str):
                raise swarmkeys.Lost('the folder certificates %s' % certificates)
            keys = swarmkeys.of_node(certificates, unlock)
        except swarmkeys.Locked as exc:
            where.problems.append(problem('SWARM_LOCKED', where.path, 'The state of the swarm in %s is locked: the swarm was started with autolock%s.' % (
                where.path, ', and unlock_key is not its key' if exc.wrong else ''),
                'Give its key with unlock_key. A living manager prints it: docker swarm unlock-key.'))
            return found._replace(status=model.LOST, locked=True, autolock=True)
        except swarmkeys.Lost as exc:
            where.problems.append(problem('SWARM_STATE_LOST', where.path, 'The state of the swarm in %s cannot be decrypted: %s.' % (where.path, exc), WHOLE))
            return found._replace(status=model.LOST)
    state = swarmraft.read(raft, keys.keys)
    found = _objects(found._replace(autolock=keys.autolock, last_change=state.index), where, state)
    lost = not state.read
    if lost:
        where.problems.append(problem('SWARM_STATE_LOST', where.path, 'Nothing of the state of the swarm in %s could be read: %s.' % (
            where.path, '; '.join(state.missing + state.notes) or 'the log has no entry'), WHOLE))
    elif state.missing:
        where.problems.append(problem('SWARM_STATE_PARTIAL', where.path, 'The state of the swarm in %s is not whole: %s.' % (
            where.path, '; '.join(state.missing + state.notes)), WHOLE))
    elif state.notes or state.torn:
        where.problems.append(problem('SWARM_LOG_TORN', where.path, 'The state of the swarm in %s is whole, although %s.' % (where.path, '; '.join(
            state.notes + (['the last record of the log was being written'] if state.torn else []))), ''))
    if state.uncommitted and len(found.nodes) > 1 and sum(node.role == records.MANAGER for node in found.nodes) > 1:
        where.problems.append(problem('SWARM_UNCOMMITTED', where.path, 'The managers perhaps never agreed on the last %s in %s.' % (
            wording.number(state.uncommitted, 'change'), where.path), 'Compare with another manager.'))
    if state.objects['volume']:
        where.problems.append(problem('SWARM_VOLUMES_LEFT_OUT', where.path, 'The swarm in %s had %d cluster volumes (CSI), which are not read: %s.' % (
            where.path, len(state.objects['volume']), ', '.join(sorted(state.objects['volume'])[:5])), 'Their data lie with the plugin.'))
    partial = any(item.loses_data for item in where.problems)
    return found._replace(status=model.LOST if lost else model.PARTIAL if partial else model.COMPLETE)


def _objects(found: records.Cluster, where: _Where, state: swarmraft.State) -> records.Cluster:
    networks = _each(state, 'network', where, _network)
    names = {item.id: item.name for item in networks}
    clusters = _each(state, 'cluster', where, swarmobjects.cluster)
    document = clusters[0] if clusters else {}
    return found._replace(
        id=document.get('ID') or found.id, created=document.get('CreatedAt'), document=document, networks=tuple(networks),
        autolock=found.autolock or bool(as_dict(as_dict(document.get('Spec')).get('EncryptionConfig')).get('AutoLockManagers')),
        nodes=tuple(_each(state, 'node', where, _node)), secrets=tuple(_each(state, 'secret', where, _secret)),
        configs=tuple(_each(state, 'config', where, _config)),
        services=tuple(_each(state, 'service', where, lambda message: _service(message, names))))


def _each(state: swarmraft.State, kind: str, where: _Where, make: Callable[[Message], _Record]) -> List[_Record]:
    """The records of all objects of a kind, sorted by name and ID; one that is damaged is a problem."""
    found: List[Tuple[str, _Record]] = []
    for ident, raw in sorted(state.objects[kind].items()):
        try:
            message = Message(raw)
            found.append((message.message(3).message(1).text(1), make(message)))
        except protobuf.Damaged as exc:
            where.problems.append(problem('SWARM_STATE_PARTIAL', where.path, 'The %s %s of the swarm in %s cannot be read: %s.' % (
                kind, ident, where.path, exc), WHOLE))
    return [record for dummy, record in sorted(found, key=lambda item: item[0])]


def _common(message: Message) -> Dict[str, Any]:
    """The fields that records of all kinds have."""
    meta, named = message.message(2), swarmobjects.annotations(message.message(3).message(1))
    labels = clean(named['Labels'])
    return {'id': message.text(1), 'name': clean(named['Name']), 'labels': labels, 'stack': labels.get(STACK, ''),
            'created': swarmobjects.moment(meta.maybe(2)), 'updated': swarmobjects.moment(meta.maybe(3))}


def _network(message: Message) -> records.Object:
    document, chosen = clean(swarmobjects.network(message)), clean(swarmobjects.chosen_driver(message))
    common = _common(message)
    settings = network_settings({
        'driver': as_str(chosen.get('Name')) or as_str(document.get('Driver')), 'options': as_dict(chosen.get('Options')), 'labels': common['labels'],
        'internal': bool(document.get('Internal')), 'attachable': bool(document.get('Attachable')), 'enable_ipv6': bool(document.get('EnableIPv6')),
        'ipam': [{'subnet': pool['Subnet'], 'gateway': pool.get('Gateway', ''), 'ip_range': pool.get('IPRange', '')}
                 for pool in clean(swarmobjects.chosen_pools(message))]})
    return records.Object(driver=as_str(document.get('Driver')) or settings.driver, document=document, settings=settings,
                          built_in=bool(document.get('Ingress')) or PREDEFINED in common['labels'], **common)


def _secret(message: Message) -> records.Object:
    document = clean(swarmobjects.secret(message))
    driver = as_str(as_dict(as_dict(document['Spec']).get('Driver')).get('Name'))
    return records.Object(driver=driver, document=document, built_in=message.flag(4),
                          content=None if driver else message.message(3).raw(2), **_common(message))


def _config(message: Message) -> records.Object:
    return records.Object(document=clean(swarmobjects.config(message)), content=message.message(3).raw(2), **_common(message))


def _node(message: Message) -> records.Node:
    document = clean(swarmobjects.node(message))
    spec, said = as_dict(document['Spec']), as_dict(document['Description'])
    return records.Node(
        message.text(1), as_str(said.get('Hostname')), spec['Role'], spec['Availability'], as_str(as_dict(document['Status']).get('State')),
        as_str(as_dict(document['Status']).get('Addr')), as_str(as_dict(said.get('Engine')).get('EngineVersion')), spec['Labels'], document)


def _service(message: Message, networks: Dict[str, str]) -> records.Service:
    document = clean(swarmobjects.service(message))
    spec = as_dict(document['Spec'])
    task = as_dict(spec['TaskTemplate'])
    container = as_dict(task.get('ContainerSpec'))
    modes: List[Tuple[str, Dict[str, Any]]] = list(spec['Mode'].items()) or [('', {})]
    mode, details = modes[0]
    ports = as_list(as_dict(spec.get('EndpointSpec')).get('Ports'))
    return records.Service(
        image=as_str(container.get('Image')), mode=_MODES.get(mode, 'replicated'),
        replicas=details.get('Replicas', details.get('TotalCompletions')), command=tuple(container.get('Command', ())),
        args=tuple(container.get('Args', ())), env=tuple(container.get('Env', ())), container_labels=as_dict(container.get('Labels')),
        networks=tuple(networks.get(target, target) for target in _targets(spec, task)),
        mounts=tuple((item['Type'], as_str(item.get('Source')), as_str(item.get('Target')), bool(item.get('ReadOnly')))
                     for item in container.get('Mounts', ())),
        ports=tuple((item['Protocol'], item.get('TargetPort', 0), item.get('PublishedPort', 0), item['PublishMode']) for item in ports),
        secrets=tuple(_uses(container, 'Secret')), configs=tuple(_uses(container, 'Config')),
        constraints=tuple(as_dict(task.get('Placement')).get('Constraints', ())), document=document, **_common(message))


_MODES = {'Replicated': 'replicated', 'Global': 'global', 'ReplicatedJob': 'replicated-job', 'GlobalJob': 'global-job'}


def _targets(spec: Dict[str, Any], task: Dict[str, Any]) -> Iterable[str]:
    """IDs of the networks of a service; old clients wrote them beside the task."""
    return (as_str(item.get('Target')) for item in task.get('Networks') or spec.get('Networks') or ())


def _uses(container: Dict[str, Any], kind: str) -> Iterable[records.Use]:
    for item in container.get(kind + 's', ()):
        yield records.Use(item[kind + 'ID'], item[kind + 'Name'], as_str(as_dict(item.get('File')).get('Name')))


# -- every node ----------------------------------------------------------------------------------------------------------------------------


def _tasks(configs: 'Configs') -> Iterable[records.Task]:
    """The containers of this host that are tasks of a swarm, by their labels."""
    for ident in configs.ids():
        labels = metadata.dict_of(configs.read(ident), 'Config', 'Labels')
        said = {key: as_str(labels.get(PREFIX + key)) for key in LABELS}
        if said['service.id'] or said['task.id']:
            yield records.Task(ident, configs.name(ident), said['service.id'], said['service.name'], said['task.id'], said['task.name'], said['node.id'])


def _managers(folder: 'Dir') -> Iterable[str]:
    """Addresses of the managers that a worker knows (state.json)."""
    try:
        found = clean(json.loads(folder.read(b'state.json', 1 << 20).decode('utf-8', 'replace')))
    except (OSError, ValueError, RecursionError):
        return []
    peers = found if isinstance(found, list) else [found]
    named = (as_dict(as_dict(peer).get('peer')) or as_dict(peer) for peer in peers)
    return [address for address in (as_str(peer.get('addr')) or as_str(peer.get('Addr')) for peer in named) if address]
