"""The dictionary that docker_layer_facts returns: what is on the disk, whose, where, how large, in which state."""
import collections
import gc
import os
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from ..disk import metadata, safeio
from ..disk.errors import LifeboatError
from ..disk.tree import Failure
from ..formats import redact, wording
from ..formats.redact import REDACTED
from ..records import model, owners, selection
from ..records.codes import problem
from . import snapshots

if TYPE_CHECKING:
    from ..engines.api import Root
    from ..engines.registry import Host
    from ..usage.trees import Result, Trees

SUBSETS = ('containers', 'layers', 'images', 'volumes', 'usage', 'changes', 'databases', 'orphans', 'integrity', 'swarm')
DEFAULT = ('containers', 'layers', 'images', 'volumes', 'usage', 'orphans')
LAYERS_UP_TO = 50                       # matching containers that are described at length; more are described in short
SEVERITIES = (model.CRITICAL, model.WARNING, model.INFO)       # the worst first
NEXT_STEPS = 3                          # in the summary
GARBAGE = 50000                         # objects after which Python looks for unused cycles: records are many, and none is part of one
SHORT_TOP = 1                           # folders in usage.top of the short form


def subsets(wanted: Iterable[str]) -> FrozenSet[str]:
    """The set of subsets that gather_subset means; ``!x`` leaves x out. LifeboatError for an unknown one."""
    chosen = set()
    plain = [item for item in wanted if not item.startswith('!')]
    for item in plain or DEFAULT:
        if item == 'all':
            chosen.update(SUBSETS)
        elif item in SUBSETS:
            chosen.add(item)
        else:
            raise LifeboatError('gather_subset has no "%s"; it has: %s, all.' % (item, ', '.join(SUBSETS)))
    for item in wanted:
        if item.startswith('!'):
            if item[1:] not in SUBSETS + ('all',):
                raise LifeboatError('gather_subset has no "%s"; it has: %s, all.' % (item[1:], ', '.join(SUBSETS)))
            chosen.difference_update(SUBSETS if item == '!all' else (item[1:],))
    return frozenset(chosen)


class Options(object):
    """What the caller wants: see the module's options of the same names. DEFINITIONS: also what only the definition of a container and
    labels tell, which no table shows."""

    def __init__(self,
                 containers: Sequence[str] = (), gather_subset: Iterable[str] = DEFAULT, redact_env: bool = True, changes_limit: int = 1000,
                 top_count: int = 10, images: Sequence[str] = (), top_depth: int = 2, scan_timeout: int = 0, scan_max_files: int = 0,
                 noise: Sequence[Dict[str, str]] = (), state_path: Optional[str] = None, definitions: bool = True,
                 unlock_key: str = '') -> None:
        self.containers = list(containers)
        self.named = any(pattern != '*' for pattern in containers)
        self.subsets = subsets(gather_subset)
        self.redact = redact_env
        self.changes_limit = changes_limit
        self.top_count = top_count
        self.top_depth = top_depth
        self.images = list(images)
        self.scan_timeout = scan_timeout
        self.scan_max_files = scan_max_files
        self.noise = list(noise or ())
        self.state_path = wording.raw(state_path) if state_path else None
        self.definitions = definitions
        self.unlock_key = unlock_key


def gather(host: 'Host', options: Options) -> Dict[str, Any]:
    """The facts of an engines.registry.Host as plain JSON types. Raises LifeboatError for a pattern that matches nothing."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE)           # a look after each 700 of them takes a tenth of the time
    try:
        return _all(host, options)
    finally:
        gc.set_threshold(*before)


def _all(host: 'Host', options: Options) -> Dict[str, Any]:
    chosen = selection.containers(host, options.containers)
    at_length = options.named or len(chosen) <= LAYERS_UP_TO
    if not at_length:
        # AWX drops results above 700,000 characters
        options.top_count = min(options.top_count, SHORT_TOP)
    trees = _trees(host, options)
    try:
        return _gather(host, options, chosen, at_length, trees)
    finally:
        if trees is not None:
            trees.close()


def _gather(host: 'Host', options: Options, chosen: 'List[Tuple[Root, str]]', at_length: bool, trees: 'Optional[Trees]') -> Dict[str, Any]:
    wanted = options.subsets
    problems = list(host.problems)
    records, facts_of, volumes, orphans = [], [], [], []
    if 'containers' in wanted:
        records = [(root, root.container(ident)) for root, ident in chosen]
    if 'volumes' in wanted:
        names = frozenset(mount.name for dummy, record in records for mount in record.mounts if mount.type == 'volume') \
            if options.named else None
        volumes = [volume for root in host.roots for name, volume in sorted(root.volumes_with_users().items())
                   if names is None or name in names]
    if 'orphans' in wanted and not options.named:
        orphans = [orphan for dummy, orphan in host.orphans()]
    if trees is not None:
        _walk(trees, options, [record for dummy, record in records], volumes, orphans, problems)
    for root, record in records:
        facts_of.append(_container(root, record, options, at_length, trees))
    records = [record for dummy, record in records]
    problems.extend(_name_conflicts(records, facts_of))
    facts: Dict[str, Any] = {'roots': [_root(root) for root in host.roots], 'containers': facts_of, 'pods': _pods(host, records)}
    if 'images' in wanted or 'integrity' in wanted:
        facts['images'] = [_image(image, options, at_length) for image in _chosen_images(host, options)]
    if 'volumes' in wanted:
        facts['volumes'] = [_volume(volume, options, at_length, trees) for volume in volumes]
        _unread_volumes(facts)
    if 'orphans' in wanted and not options.named:
        facts['orphans'] = _orphans(host, options, orphans, trees)
    if 'swarm' in wanted:
        facts['swarm'] = _clusters(host, options, problems)
    for root in host.roots:
        problems.extend(root.problems)
        problems.extend(root.findings())
    if os.geteuid() != 0:
        problems.append(problem('PRIVILEGES_MISSING', wording.text(host.root.path), 'Not run as root: what other users own '
                                'and trusted.* attributes cannot be read.', 'Use become: true.'))
    facts['snapshots'], more = snapshots.find(host)
    problems.extend(more)
    facts['problems'] = _problems(problems)
    facts['summary'] = _summary(facts)
    return facts


def _problems(items: Iterable[model.Problem]) -> List[Dict[str, Any]]:
    seen, found = set(), []
    for item in items:
        if item not in seen:
            seen.add(item)
            found.append(dict(item._asdict()))
    return found


def _root(root: 'Root') -> Dict[str, Any]:
    fields = wording.path_fields(root.path)
    fields.update({
        'recorded_path': wording.text(root.recorded_path) or None,
        'engine': root.engine, 'user': root.user,
        'daemon': {'state': root.liveness.state, 'pid': root.liveness.pid},
        'containers': len(root.container_ids()),
    })
    fields.update(root.facts())
    return fields


def _container(root: 'Root', record: model.Container, options: Options, at_length: bool, trees: 'Optional[Trees]') -> Dict[str, Any]:
    state = record.state
    fields = {
        'id': record.id, 'name': record.name, 'created': record.created,
        'image': {'id': record.image_id, 'reference': record.image_reference},
        'state': {key: state[key] for key in ('status', 'running', 'exit_code', 'dead', 'started_at', 'finished_at')},
        'engine': root.engine, 'root': wording.text(record.root),
        'store': record.store, 'driver': record.driver, 'status': record.status,
        'mounts': [_mount(mount) for mount in record.mounts],
        'log': _log(record.log, at_length),
    }
    if 'config' in record.sources or any(value.startswith('likely') for value in record.sources.values()):
        fields['sources'] = dict(record.sources)
    problems = list(record.problems + owners.assumed(record.idmap, record.name or record.id[:12])) + _still_open(root, record)
    if options.definitions:
        fields.update(_defined(record, options, at_length))
    if at_length:
        fields.update({'user': root.user, 'pod': _pod(record.pod)})     # every byte of the short form counts, and the root says the user
        if 'layers' in options.subsets:
            fields['layers'] = _layers(record.stack)
    if record.stack is not None and record.stack.writable is not None:
        if trees is not None and ('usage' in options.subsets or 'databases' in options.subsets):
            found = trees.of_layer(record.id)
            if 'usage' in options.subsets:
                fields['usage'] = found.usage
            if 'databases' in options.subsets:
                fields['databases'] = [dict(item, where='writable') for item in found.databases] + _mount_databases(record, trees)
            problems.extend(_unread(found, record.name or record.id, 'The writable layer of %s' % (record.name or record.id[:12])))
        if 'changes' in options.subsets:
            problems.extend(_changes(root, record, options, fields))
    fields['problems'] = _problems(problems)
    _not_all_read(fields)
    return fields


def _defined(record: model.Container, options: Options, at_length: bool) -> Dict[str, Any]:
    """What was asked for when the container was created."""
    definition = record.definition
    fields = {'labels': _labels(record.labels, options, definition.env), 'auto_remove': definition.auto_remove,
              'restart_policy': definition.restart.name or 'no'}
    declared = _image_volumes(record)
    if declared or at_length:
        fields['image_volumes'] = declared
    if at_length:
        fields['env'] = _env(definition.env, options.redact)
    return fields


def _still_open(root: 'Root', record: model.Container) -> List[model.Problem]:
    """Of a container that runs although its volume is gone: what its processes still have of it."""
    if not any(mount.path is None and mount.type in ('volume', 'bind') for mount in record.mounts):
        return []
    pid = root.alive(record)
    if pid is None:
        return []
    from ..archive.opentree import still_open
    return still_open(record, pid, root.cgroup_ids(record))


def _pod(pod: Any) -> Optional[Dict[str, Any]]:
    return {'id': pod.id, 'name': pod.name, 'namespace': pod.namespace, 'uid': pod.uid} if pod is not None else None


def _pods(host: Any, records: List[model.Container]) -> List[Dict[str, Any]]:
    """The pods of every root, with those of their containers that are in the facts."""
    members: Dict[Any, List[model.Container]] = {}
    for record in records:
        if record.pod is not None:
            members.setdefault((record.root, record.pod.id), []).append(record)
    found = []
    for root in host.roots:
        for pod in root.pods():
            mine = members.get((root.path, pod.id), [])
            volumes = {mount.name for record in mine for mount in record.mounts if mount.type == 'volume' and mount.name}
            found.append(dict(_pod(pod) or {}, labels=redact.values(pod.labels), containers=[record.id for record in mine], volumes=sorted(volumes)))
    return found


def _clusters(host: 'Host', options: Options, problems: List[model.Problem]) -> List[Dict[str, Any]]:
    """The cluster of each root that has one; what is wrong with it is added to PROBLEMS, too."""
    from ..records import clusterfacts
    found = []
    for root in host.roots:
        cluster = root.cluster(options.unlock_key)
        if cluster is not None:
            problems.extend(cluster.problems)
            found.append(dict(clusterfacts.facts(cluster, options.redact), root=wording.text(root.path)))
    return found


def _not_all_read(fields: Dict[str, Any]) -> None:
    """What could not be read of an object makes it partial: `complete` means that all of it can be read."""
    if fields['status'] == model.COMPLETE and any(item['loses_data'] for item in fields['problems']):
        fields['status'] = model.PARTIAL


def _unread_volumes(facts: Dict[str, List[Dict[str, Any]]]) -> None:
    """A container is as whole as its volumes: give it what could not be read of them."""
    unread = {(volume['root'], volume['name']): [item for item in volume['problems'] if item['loses_data']]
              for volume in facts['volumes']}
    for container in facts['containers']:
        for mount in container['mounts']:
            said = unread.get((container['root'], mount['name'])) if mount['type'] == 'volume' else None
            if said and mount['status'] == model.COMPLETE:
                mount['status'] = model.worst([mount['status'], model.PARTIAL])
                container['problems'].extend(item for item in said if item not in container['problems'])
                _not_all_read(container)


def _env(environment: Iterable[str], hide: bool) -> Dict[str, str]:
    found = {}
    for item in environment:
        name, dummy, value = item.partition('=')
        found[name] = REDACTED if hide else value
    return found


def _labels(labels: Dict[str, str], options: Options, environment: Tuple[str, ...] = ()) -> Dict[str, str]:
    return redact.values(labels, environment) if options.redact else labels


def _log(log: Optional[model.Log], at_length: bool) -> Optional[Dict[str, Any]]:
    if log is None:
        return None
    # in the journal of the host it has no size of its own
    fields: Dict[str, Any] = {'driver': log.driver, 'bytes': log.bytes if log.journal is None else None, 'max_size': log.max_size}
    if at_length:
        fields['files'] = [wording.text(path) for path in log.files]
    return fields


def _mount(mount: model.Mount) -> Dict[str, Any]:
    fields = {'type': mount.type, 'name': mount.name, 'source': mount.source, 'destination': mount.destination,
              'rw': mount.rw, 'driver': mount.driver, 'anonymous': mount.anonymous, 'status': mount.status}
    fields.update(wording.path_fields(mount.path))
    if mount.subpath:
        fields['subpath'] = mount.subpath
    return fields


def _layers(stack: Optional[model.Stack]) -> Optional[Dict[str, Any]]:
    if stack is None:
        return None
    view = stack.view()
    below = [layer.path for layer in (view[1:] if stack.writable is not None else view) if layer.path is not None]
    return {
        'writable': wording.text(stack.writable.path) if stack.writable is not None else None,
        'init': wording.text(stack.init.path) if stack.init is not None else None,
        'work': wording.text(stack.work), 'merged': wording.text(stack.merged),
        'image': [wording.text(layer.path) for layer in stack.image],
        'lowerdir': ':'.join(escape_lowerdir(wording.text(path)) for path in below),
    }


def escape_lowerdir(path: str) -> str:
    """A path as overlay's lowerdir= takes it: backslash and colon are escaped (fs/overlayfs/params.c)."""
    return path.replace('\\', '\\\\').replace(':', '\\:')


def _image_volumes(record: model.Container) -> List[str]:
    """Paths that the image (or the command line) declared as volumes."""
    return sorted(record.definition.volumes)


def _trees(host: 'Host', options: Options) -> 'Optional[Trees]':
    """What is to be walked, still empty; None if neither usage nor databases are wanted, or if there is nothing: most hosts of a fleet have no
    engine, and what looks into trees takes a while to load. Options that only it can judge are judged all the same."""
    if not options.subsets & {'usage', 'databases'} or not (host.roots or options.noise or options.state_path):
        return None
    from ..usage.trees import Trees
    try:
        trees = Trees(options.top_depth, options.top_count, options.scan_timeout, options.scan_max_files,
                      'databases' in options.subsets, options.noise, options.state_path, [root.path for root in host.roots])
    except ValueError as exc:
        raise LifeboatError(str(exc))
    if not options.named:
        trees.look_ahead()              # while the metadata are read here
    return trees


def _walk(trees: 'Trees', options: Options, records: List[model.Container], volumes: List[model.Volume], orphans: List[model.Orphan],
          problems: List[model.Problem]) -> None:
    """Walk every tree whose usage or databases are wanted."""
    look = 'databases' in options.subsets
    for record in records:
        if record.stack is not None and record.stack.writable is not None:
            trees.layer(record.id, record.stack.readable(), _image_volumes(record))
        for mount in record.mounts if look else ():
            if mount.path is not None and _is_looked_into(mount):
                trees.folder(mount.path)
    for volume in volumes:
        if volume.path is not None and _is_folder(volume.path):
            trees.folder(volume.path)
    for orphan in orphans:
        trees.layer(_orphan_key(orphan), orphan.stack.readable())
    trees.walk()
    if trees.note:
        problems.append(problem('READ_ERROR', wording.text(options.state_path), trees.note, 'Delete the file.'))
    try:
        trees.save()
    except OSError as exc:
        problems.append(problem('READ_ERROR', wording.text(options.state_path), 'state_path %s cannot be written: %s.' % (
            wording.text(options.state_path), metadata.describe(exc)), 'The next audit counts everything again.'))


def _orphan_key(orphan: model.Orphan) -> str:
    return 'orphan ' + os.fsdecode(orphan.path)


def _is_folder(path: Optional[bytes]) -> bool:
    return safeio.is_folder(path)


def _is_looked_into(mount: model.Mount) -> bool:
    return mount.type in ('volume', 'bind') and mount.path != b'/' and safeio.is_folder(mount.path)


def _unread(found: 'Result', obj: str, what: str) -> List[model.Problem]:
    """Problems of a trees.Result."""
    if found.error is not None:
        return [problem('READ_ERROR', obj, '%s cannot be read: %s.' % (what, found.error), 'Use become: true.')]
    if found.unreadable:
        return [problem('READ_ERROR', obj, '%s or folders of %s could not be read, the first: %s.' % (
            wording.number(found.unreadable_total, 'file'), what[:1].lower() + what[1:], found.unreadable[0]), '')]
    return []


def _mount_databases(record: model.Container, trees: 'Trees') -> List[Dict[str, Any]]:
    found = []
    for mount in record.mounts:
        if mount.path is None or not _is_looked_into(mount):
            continue
        for item in trees.of_folder(mount.path).databases:
            item = dict(item, where=mount.type, path=os.path.join(mount.destination, item['path'].lstrip('/')))
            if mount.name:
                item['volume'] = mount.name
            found.append(item)
    return found


def _changes(root: 'Root', record: model.Container, options: Options, fields: Dict[str, Any]) -> List[model.Problem]:
    """Fill `changes`, `changes_total`, `changes_truncated`; returns the problems met."""
    found, total, failures = [], 0, []
    limit = options.changes_limit
    try:
        for change in root.changes(record):
            if isinstance(change, Failure):
                failures.append(change)
                continue
            total += 1
            if not limit or total <= limit:
                item = {'kind': change.kind}
                item.update(wording.path_fields(b'/' + change.path))
                found.append(item)
    except OSError as exc:
        failures.append(Failure(b'', exc, True))
    fields['changes'] = found
    fields['changes_total'] = total
    fields['changes_truncated'] = total > len(found)
    if record.stack is not None and not record.stack.known():
        fields['changes_complete'] = False  # compared with what is left of the image
    return [problem('READ_ERROR', record.name or record.id, '/%s of %s could not be compared: %s.' % (
        wording.text(item.path), record.name or record.id[:12], metadata.describe(item.error)), '') for item in failures[:20]]


def _name_conflicts(records: List[model.Container], fields: List[Dict[str, Any]]) -> List[model.Problem]:
    """Two containers of one name: the one whose layer is there is the likely live one."""
    by_name = {}
    for record, shown in zip(records, fields):
        if record.name:
            by_name.setdefault((record.root, record.name), []).append((record, shown))
    found = []
    for (dummy, name), holders in sorted(by_name.items()):
        if len(holders) < 2:
            continue
        live = [record.id[:12] for record, dummy in holders if record.stack is not None and record.stack.writable is not None]
        note = problem('NAME_CONFLICT', name, '%s are called %s: %s.' % (
            wording.number(len(holders), 'container'), name, ', '.join(record.id[:12] for record, dummy in holders)),
            'The one in use is probably %s: its layer is there.' % live[0] if len(live) == 1 else
            'Tell them apart by created and by what is in their layers.')
        found.append(note)
        for dummy, shown in holders:
            shown['problems'].append(dict(note._asdict()))
    return found


def _chosen_images(host: 'Host', options: Options) -> List[model.Image]:
    everything = [image for root in host.roots for image in root.images()]
    if not options.images:
        return everything
    named = {}
    for image in everything:
        for name in image.references + (image.id, image.id[7:19]):
            named.setdefault(name, []).append(image)
    hits = [image for name in selection.by_glob('image', options.images, list(named)) for image in named[name]]
    return [image for image in everything if image in hits]


def _image(image: model.Image, options: Options, at_length: bool) -> Dict[str, Any]:
    fields: Dict[str, Any] = {
        'id': image.id, 'references': list(image.references), 'created': image.created,
        'architecture': image.architecture, 'os': image.os, 'status': image.status, 'store': image.store,
        'layers': [_image_layer(layer, at_length) for layer in image.layers],
        'problems': _problems(image.problems),
    }
    if image.variant:
        fields['variant'] = image.variant
    if 'integrity' in options.subsets:
        from ..images import integrity
        fields['integrity'] = integrity.check_image(image)
        if fields['integrity']['status'] != model.COMPLETE and fields['status'] == model.COMPLETE:
            fields['status'] = fields['integrity']['status']
    return fields


def _image_layer(layer: model.ImageLayer, at_length: bool) -> Dict[str, Any]:
    fields = {'diff_id': layer.diff_id, 'chain_id': layer.chain_id, 'cache_id': layer.cache_id, 'bytes': layer.bytes,
              'status': layer.status}
    if at_length:
        fields['path'] = wording.text(layer.path)
    return fields


def _volume(volume: model.Volume, options: Options, at_length: bool, trees: 'Optional[Trees]') -> Dict[str, Any]:
    fields = {'name': volume.name, 'driver': volume.driver, 'options': redact.options(volume.options),
              'anonymous': volume.anonymous, 'used_by': list(volume.used_by), 'status': volume.status, 'root': wording.text(volume.root)}
    if options.definitions:
        fields['labels'] = _labels(volume.labels, options)
    if at_length:
        fields.update(wording.path_fields(volume.path))
    problems = list(volume.problems + owners.assumed(volume.idmap, volume.name))
    if trees is not None and volume.path is not None and _is_folder(volume.path):
        found = trees.of_folder(volume.path)
        problems.extend(_unread(found, volume.name, 'Volume %s' % volume.name))
        if 'usage' in options.subsets:
            fields['usage'] = found.usage
        if 'databases' in options.subsets:
            fields['databases'] = [dict(item, where='volume') for item in found.databases]
    fields['problems'] = _problems(problems)
    _not_all_read(fields)
    return fields


def _orphans(host: 'Host', options: Options, orphans: List[model.Orphan], trees: 'Optional[Trees]') -> Dict[str, List[Any]]:
    layers, names = [], []
    for orphan in orphans:
        fields = wording.path_fields(orphan.path)
        problems = list(orphan.problems + owners.assumed(orphan.idmap, orphan.name))
        fields.update({'image': {'id': orphan.image_id, 'reference': orphan.image_reference}, 'name': orphan.name,
                       'store': orphan.store, 'driver': orphan.driver, 'owner_hint': orphan.owner_hint,
                       'root': wording.text(orphan.root), 'usage': None, 'newest_mtime': None})
        if trees is not None:
            found = trees.of_layer(_orphan_key(orphan))
            problems.extend(_unread(found, wording.text(orphan.path), 'The layer'))
            fields['usage'] = found.usage if 'usage' in options.subsets else None
            fields['newest_mtime'] = found.usage['newest_mtime'] if found.usage else None
            if 'databases' in options.subsets:
                fields['databases'] = [dict(item, where='writable') for item in found.databases]
        fields['problems'] = _problems(problems)
        layers.append(fields)
    for root in host.roots:
        users = root.used_by()
        names.extend(name for name in root.volumes() if name not in users)
    return {'writable_layers': layers, 'volumes': sorted(names)}


def _summary(facts: Dict[str, Any]) -> Dict[str, Any]:
    counts = {status: sum(1 for item in facts['containers'] if item['status'] == status) for status in model.STATUSES}
    volumes = facts.get('volumes', [])
    found = _all_problems(facts)
    return {
        'containers': len(facts['containers']), 'complete': counts[model.COMPLETE], 'partial': counts[model.PARTIAL],
        'lost': counts[model.LOST], 'unsupported': counts[model.UNSUPPORTED],
        'writable_bytes': sum((item.get('usage') or {}).get('bytes', 0) for item in facts['containers']),
        'volumes': len(volumes), 'volume_bytes': sum((item.get('usage') or {}).get('bytes', 0) for item in volumes),
        'worst': found[0]['severity'] if found else None,
        'next_steps': list(collections.OrderedDict.fromkeys(item['next_step'] for item in found if item['next_step']))[:NEXT_STEPS],
    }


def _all_problems(facts: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Of the host, and of every container, image, volume and orphan that the facts have; the worst first."""
    lists = [facts['problems']]
    for key in ('containers', 'volumes', 'images'):
        lists.extend(item['problems'] for item in facts.get(key, ()))
    lists.extend(item['problems'] for item in facts.get('orphans', {}).get('writable_layers', ()))
    return sorted((item for problems in lists for item in problems), key=lambda item: SEVERITIES.index(item['severity']))
