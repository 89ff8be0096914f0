"""A whole rescue: what is to be written, in which order, whether there is room, and then one bundle after another."""
import contextlib
import hashlib
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Container, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from ..archive import compress, trees
from ..archive.opentree import still_open
from ..archive.progress import Progress, human
from ..bundles import objects, paths, plan, reading, target, writing as bundle
from ..bundles.store import FolderStore
from ..disk import fsinfo, metadata, processes, safeio
from ..disk.errors import LifeboatError
from ..formats import redact, wording
from ..records import codes, model, owners, selection
from ..records.codes import problem
from ..records.definition import VolumeSettings
from . import deployed, names, openfiles, secrets

if TYPE_CHECKING:
    from ..bundles.store import Store
    from ..engines.api import Root
    from ..engines.registry import Host
    from ..images.store import ImageStore

# What a compressed archive needs at least, as a share of its data: below that the target is surely too small.
LEAST = {'none': 1.0}
USUAL = 0.5
RESERVE = 16 * 1024 * 1024
_JOURNALED = 1500                       # bytes of an entry of the journal of the host, with all its fields, and its line
SEVERITIES = (model.CRITICAL, model.WARNING, model.INFO)
PARTS = {'volume': 'volumes', 'bind': 'binds'}       # kind of a component: word of include
REASONS = 5                             # problems that an entry of `bundles` has
LEFT_NAMES = 20
SAFE = re.compile(r'[^A-Za-z0-9_.-]')


NO_DEVICE: Mapping[str, Optional[str]] = {'device': None, 'file_system': None, 'mount_options': None, 'read_only': 'open'}


class Request(NamedTuple):
    """The module's options of the same names; paths are bytes."""
    dest: bytes
    host_name: Optional[str] = None
    containers: Tuple[str, ...] = ()
    include: Tuple[str, ...] = plan.DEFAULT
    volumes: Tuple[str, ...] = ()
    images: Tuple[str, ...] = ()
    paths: Tuple[str, ...] = ()         # OBJECT:GLOB
    deployment: bool = False
    deployment_credentials: bool = False
    orphans: bool = False
    compression: str = 'auto'
    on_error: str = 'continue'
    owner_ids: str = 'container'
    force: bool = False
    check_space: bool = True
    image_optional: bool = True
    binds_optional: bool = True
    check_mode: bool = False
    quiesce: str = 'none'
    freeze_timeout: int = 300
    max_bytes: int = 0
    dump_scratch_dir: Optional[bytes] = None
    dump_timeout: float = 3600
    open_files: bool = False            # take what only processes of the containers still have
    inside: Any = None                  # callable(folder): dest is FOLDER or below, where dest is not on this machine


def request_of(params: Dict[str, Any], check_mode: bool = False) -> Request:
    """The Request for the options (text) of docker_data_rescue. LifeboatError where dest is empty, which would be the present folder."""
    if not params['dest']:
        raise LifeboatError('dest is empty; name the folder that receives the bundles.')
    return Request(
        dest=os.path.abspath(wording.raw(params['dest'])), host_name=params['host_name'],
        containers=tuple(params['containers']), include=tuple(params['include']), volumes=tuple(params['volumes']), images=tuple(params['images']),
        paths=tuple(params['paths']), deployment=params['deployment'],
        deployment_credentials=params.get('deployment_credentials') or False,
        orphans=params['orphans'], compression=params['compression'], on_error=params['on_error'],
        owner_ids=params['owner_ids'], force=params['force'], check_space=params['check_space'],
        image_optional=params['image_optional'], binds_optional=params['binds_optional'], check_mode=check_mode,
        quiesce=params['quiesce'], freeze_timeout=params['freeze_timeout'], max_bytes=params['max_bytes'],
        dump_scratch_dir=os.path.abspath(wording.raw(params['dump_scratch_dir'])) if params.get('dump_scratch_dir') else None,
        dump_timeout=params.get('dump_timeout') or 3600, open_files=params['open_files'])


def rescue(host: 'Host', request: Request, store: 'Optional[Store]' = None, progress: Optional[Progress] = None) -> Dict[str, Any]:
    """Write the bundles that REQUEST asks for -> the module's result. Raises LifeboatError before anything is read
    where the request itself is wrong; trouble with single bundles is in the result."""
    if store is not None:
        return _rescue(host, request, store, progress)
    with contextlib.closing(FolderStore(request.dest, target.host_folder(host.root, request.host_name))) as own:
        return _rescue(host, request, own, progress)


def _rescue(host: 'Host', request: Request, store: 'Store', progress: Optional[Progress]) -> Dict[str, Any]:
    settings = _settings(request, progress)
    if request.open_files:
        openfiles.refuse_dead(host)
    target.refuse_inside(host, request.dest, request.inside)
    problems = target.look(host, request.dest) if not request.inside else []
    with contextlib.ExitStack() as holds:
        jobs, more = _jobs(host, request, holds)
        found = deployed.look(host, request, jobs, lambda folder: _inside(request, folder))
        if found is not None:
            more.extend(found.problems)
            jobs.extend(deployed.jobs(host, request, found))
        return deployed.told(_carry_out(request, store, settings, jobs, problems + more), found)


def _carry_out(request: Request, store: 'Store', settings: bundle.Settings, jobs: List[bundle.Job], problems: List[model.Problem]) -> Dict[str, Any]:
    """Measure JOBS and write them. PROBLEMS: of the host; changed in place."""
    settings.progress.phase('measuring', len(jobs))
    measured = [bundle.fingerprints(job) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda index: _urgency(jobs[index], measured[index]))
    jobs, measured = [jobs[index] for index in order], [measured[index] for index in order]
    settings.progress.phase('comparing')
    if not request.check_mode:
        store.lock()
    store.ask([job.name for job in jobs], _layers(jobs))
    settings = settings._replace(images=_image_store(store, jobs))
    done = {index: bundle.existing(store, job, settings, measured[index]) for index, job in enumerate(jobs)}
    for index, job in enumerate(jobs):
        if job.held is not None and done[index] is not None:
            job.held.release(job.name, False)
    left_out = _over_limit(jobs, measured, done, request.max_bytes)
    through = dict(done)
    through.update(left_out)
    jobs, notes = _make_room(request, jobs, measured, through, settings, store)
    problems.extend(notes)
    if request.check_mode:
        kept = [index for index in range(len(jobs)) if index not in left_out]
        result = _forecast(store, [jobs[index] for index in kept], [measured[index] for index in kept],
                           dict(enumerate(done[index] for index in kept)), problems + list(left_out.values()))
        result['compose'] = []
        return result
    store.prepare()
    store.lock()
    settings.progress.plan(sum(_work(measured[index]) for index in range(len(jobs))
                               if done[index] is None and index not in left_out), len(jobs))
    outcomes, more = _write(store, jobs, settings, measured, done, left_out)
    settings.progress.phase('finishing')
    settled, notes = settle(store)
    result = _result(jobs, outcomes, problems + more + notes)
    result['compose'] = settled
    result['changed'] = result['changed'] or bool(settled)
    return result


def _write(store: 'Store', jobs: List[bundle.Job], settings: bundle.Settings, measured: List[Dict[str, Any]],
           done: Dict[int, Optional[Dict[str, Any]]], left_out: Dict[Any, Any]) -> Tuple[List[bundle.Outcome], List[model.Problem]]:
    """([Outcome of each job], problems). DONE: {index: manifest of the bundle that is there, or None}; LEFT_OUT: {index: problem}."""
    outcomes, problems, shared = [], [], {}
    for index, job in enumerate(jobs):
        settings.progress.bundle(index + 1, job.name)
        there = done[index]
        if there is not None:
            store.leave(job.name)
            outcomes.append(_unchanged(store.bundle_path(job.name), there))
            continue
        note = left_out.get(index)
        try:
            if note is None:
                outcomes.append(bundle.write(store, job, settings, measured[index], shared))
                continue
        except bundle.ReadFailed:
            raise
        except (LifeboatError, OSError) as exc:
            note = problem('NOT_WRITTEN', job.name, 'The bundle %s was not written: %s.' % (
                job.name, (str(exc) if isinstance(exc, LifeboatError) else metadata.describe(exc)).rstrip('.')),
                'Complete files of it are kept, and the next run uses them.')
        problems.append(note)
        outcomes.append(bundle.Outcome(store.bundle_path(job.name), False, model.LOST, 0, 0, [], ()))
    return outcomes, problems


def settle(store: 'Store') -> Tuple[List[str], List[model.Problem]]:
    """([path (text)] of compose files beside the bundles that were written or removed, problems)."""
    try:
        return [wording.text(path) for path in store.settle()], []
    except (LifeboatError, OSError, ValueError) as exc:
        return [], [problem('NOT_WRITTEN', wording.text(store.path), 'compose.yaml beside the bundles in %s was not written: %s.' % (
            wording.text(store.path), metadata.describe(exc) if isinstance(exc, OSError) else str(exc).rstrip('.')),
            'Each bundle has a compose.yaml of its own in config/.')]


def _layers(jobs: List[bundle.Job]) -> List[str]:
    """Digests under which layers of the images that are going to be written may be known."""
    layers = [layer for job in jobs if job.with_image and job.image is not None for layer in job.image.layers]
    return sorted({digest for layer in layers for digest in (layer.diff_id, layer.blob_digest) if digest})


def _image_store(store: 'Store', jobs: List[bundle.Job]) -> 'Optional[ImageStore]':
    """The imagestore.ImageStore of a run that writes images, None for one that does not."""
    wanted = [job.image for job in jobs if job.with_image]
    if not wanted:
        return None
    shared = store.images()
    for image in wanted:
        shared.expect(image)
    return shared


def _settings(request: Request, progress: Optional[Progress]) -> bundle.Settings:
    for name in request.include:
        if name not in plan.KINDS:
            raise LifeboatError('include has no "%s"; it has: %s.' % (name, ', '.join(plan.KINDS)))
    return bundle.Settings(compress.pick(request.compression), tuple(request.include), request.owner_ids,
                           request.on_error, request.force, progress or Progress())


def _inside(request: Request, folder: bytes) -> bool:
    """True if what is written to dest would show up in FOLDER."""
    return request.inside(folder) if request.inside else fsinfo.lies_inside(request.dest, folder)


# -- what to write -------------------------------------------------------------------------------------------------------------


def _jobs(host: 'Host', request: Request, holds: contextlib.ExitStack) -> Tuple[List[bundle.Job], List[model.Problem]]:
    """(jobs, problems of the host). HOLDS closes what jobs hold of processes."""
    wanted = paths.wanted(host, request.paths) if request.paths else []
    # who asks for paths and names nothing else gets nothing else
    alone_paths = wanted and not (request.containers or request.volumes or request.images or request.orphans or request.open_files)
    chosen = [] if alone_paths else selection.containers(host, request.containers)
    problems = list(host.problems)
    jobs = []
    volumes = [(root, root.volumes_with_users()) for root in host.roots] if request.volumes else []
    alone = selection.by_glob('volume', request.volumes, {name for dummy, table in volumes for name in table})
    groups = processes.Groups() if request.open_files else None
    held = _holds(chosen, groups, request, holds)
    for root, ident in chosen:
        jobs.append(_with_held(_container_job(host, root, root.container(ident), request, alone), held.get((root.path, ident))))
    if chosen and 'dumps' in request.include:
        from . import dumps
        found, more = dumps.by_container(host, request.containers, dumps.Options(
            compress.pick(request.compression), request.dump_scratch_dir, request.dump_timeout, {'writable', 'volumes', 'binds'} <= set(request.include)))
        problems.extend(more)
        jobs = [job._replace(made=job.made + found.get((root.path, ident), ())) for job, (root, ident) in zip(jobs, chosen)]
    if groups is not None and host.whole and not request.containers:
        jobs.extend(_unrecorded_jobs(host, groups, request, holds))
    if request.open_files and not any(job.held is not None and job.held.items for job in jobs):
        problems.append(problem('NOTHING_OPEN', wording.text(host.root.path), 'open_files: true found nothing: of %s %d run, and none of their '
                                'processes has a deleted file.' % (wording.number(len(chosen), 'container'), len(held)), ''))
    for root in host.roots:
        problems.extend(root.problems)
        problems.extend(root.findings())
    if secrets.WORD in request.include and not request.containers and chosen:
        problems.extend(secrets.of_nobody(host))
    jobs.extend(_volume_jobs(host, volumes, alone, request))
    jobs.extend(_image_jobs(host, request))
    if request.orphans:
        for root, orphan in host.orphans():
            jobs.append(_orphan_job(host, root, orphan, request))
    _add_paths(host, request, jobs, wanted)
    disks = {wording.text(root.path): _device(root.path) for root in host.roots}
    for job in jobs:
        job.source.update(disks.get(job.source.get('data_root'), NO_DEVICE))
    if not jobs and not any(item.severity == model.CRITICAL for item in problems):
        problems.append(problem('DATA_ROOT_EMPTY', wording.text(host.root.path), 'Nothing was rescued: %s.' % (
            'the data roots hold no container' if host.roots else 'no data root was found'),
            'Name the right folder with data_roots, or volumes to rescue with volumes.'))
    return names.distinct(jobs), problems


def _holds(chosen: 'List[Tuple[Root, str]]', groups: Optional[processes.Groups], request: Request,
           holds: contextlib.ExitStack) -> Dict[Tuple[bytes, str], openfiles.Hold]:
    """{(data root, id): what only the processes of that container have}, of those that run. Before anything else is read: a database may end by
    itself as soon as it misses its files."""
    found = {}
    if groups is None:
        return found
    for root, ident in chosen:
        held = openfiles.hold(root, root.container(ident), groups, request.freeze_timeout, not request.check_mode)
        if held is not None:
            holds.callback(held.close)
            found[root.path, ident] = held
    return found


def _unrecorded_jobs(host: 'Host', groups: processes.Groups, request: Request, holds: contextlib.ExitStack) -> Iterator[bundle.Job]:
    """Containers that run and of which no data root has a record any more, as after `rm -rf` of all of it: what their processes have."""
    known = {ident for root in host.roots for ident in root.container_ids()}
    for ident in groups.ids():
        held = openfiles.hold_unrecorded(ident, groups, request.freeze_timeout, not request.check_mode) if ident not in known else None
        if held is None:
            continue
        holds.callback(held.close)
        if not held.items:
            continue
        note = problem('CONTAINER_WITHOUT_RECORD', ident[:12], 'A container %s runs, and no data root has it: all that can be rescued of it is what its '
                       'processes have open.' % ident[:12], 'Do not stop it before the bundle is verified.')
        source = {'hostname': request.host_name or socket.gethostname(), 'host_root': wording.text(host.root.path), 'data_root': '',
                  'recorded_path': None, 'store': None, 'driver': None, 'owner_ids': request.owner_ids, 'daemon': 'unknown', 'idmap': None}
        yield bundle.Job('running-' + ident[:12], 'orphan', {'name': ident, 'image': {'id': None, 'reference': None}, 'owner_hint': ident, 'path': ''},
                         source, model.PARTIAL, tuple(held.items), (note,) + tuple(held.problems), held=held)


def _with_held(job: bundle.Job, held: Optional[openfiles.Hold]) -> bundle.Job:
    if held is None:
        return job
    return job._replace(items=job.items + tuple(held.items), problems=job.problems + tuple(held.problems), held=held)


def _source(host: 'Host', root: 'Root', store: Optional[str], driver: Optional[str], request: Request) -> Dict[str, Any]:
    return {
        'hostname': request.host_name or socket.gethostname(), 'host_root': wording.text(host.root.path),
        'data_root': wording.text(root.path), 'recorded_path': wording.text(root.recorded_path) or None, 'store': store,
        'driver': driver, 'owner_ids': request.owner_ids, 'daemon': root.liveness.state,
        'idmap': {'uid': [list(item) for item in root.idmap.uid_ranges], 'gid': [list(item) for item in
                                                                                 root.idmap.gid_ranges]}
        if root.idmap is not None else None}


def _device(path: bytes) -> Mapping[str, Optional[str]]:
    """The disk of a data root, for the custody record: `device`, `file_system`, `mount_options`, and `read_only`: mount, or open where the
    file system could be written, so that only the rescue's way to open files (O_RDONLY) kept it as it was."""
    mount = fsinfo.mount_of(path)
    if mount is None:
        return NO_DEVICE
    options = mount.options + tuple(each for each in mount.super_options if each not in mount.options)
    return {'device': wording.text(mount.source), 'file_system': mount.fstype, 'mount_options': wording.sentence(wording.text(b','.join(options))),
            'read_only': 'mount' if b'ro' in options else 'open'}


def _owners(idmap: Any, name: str, request: Request) -> Tuple[model.Problem, ...]:
    """What is to be said of the owners in a bundle."""
    return owners.assumed(idmap, name) if request.owner_ids == 'container' else ()


def _container_job(host: 'Host', root: 'Root', container: model.Container, request: Request, alone: Container[str]) -> bundle.Job:
    """ALONE: names of volumes that get bundles of their own."""
    problems = list(container.problems + _owners(root.export_ids(container), container.name or container.id[:12], request))
    items, notes = plan.container_items(container, request.include, lambda mount: _too_wide(host, request, mount))
    problems.extend(notes)
    problems.extend(plan.not_included(container, request.include, alone))
    with_secrets = secrets.WORD in request.include
    problems.extend([] if with_secrets else secrets.left_out(root, container))
    consistency = 'stopped'
    pid = root.alive(container)
    if pid and not request.open_files:
        problems.extend(still_open(container, pid, root.cgroup_ids(container)))
    if pid:
        consistency = 'crash-consistent'
        problems.append(problem('CRASH_CONSISTENT', container.name or container.id, 'Container %s is still running: its '
                                'files are rescued as after a power cut.' % (container.name or container.id[:12]),
                                'quiesce: freeze stops it while it is read.'))
    image = root.image_of(container)
    volumes = root.volumes()
    around = root.neighbours(container)
    mounts = []
    for mount in container.mounts:
        volume = volumes.get(mount.name or '') if mount.type == 'volume' else None
        mounts.append({'type': mount.type, 'name': mount.name, 'source': mount.source, 'destination': mount.destination,
                       'rw': mount.rw, 'driver': mount.driver, 'anonymous': mount.anonymous, 'status': mount.status,
                       'subpath': mount.subpath, 'mode': mount.mode, 'propagation': mount.propagation,
                       'stable_name': around.volumes.get(mount.name or '') if mount.type == 'volume' else None,
                       'labels': volume.labels if volume else {},
                       'options': redact.options(volume.options) if volume else {}})
    subject = {'id': container.id, 'name': container.name, 'created': container.created,
               'image': {'id': container.image_id, 'reference': container.image_reference,
                         'architecture': image.architecture if image else None, 'os': image.os if image else None},
               'state': {key: container.state[key] for key in ('status', 'running', 'exit_code', 'dead', 'started_at',
                                                               'finished_at')},
               'labels': container.labels, 'log_driver': container.log.driver if container.log else None,
               'sources': container.sources}
    info = {name: VolumeSettings('', volume.driver, volume.options, volume.labels)
            for name, volume in volumes.items() if any(mount.type == 'volume' and mount.name == name for mount in container.mounts)}
    name = SAFE.sub('-', (container.name or 'unknown').replace('/', '_')).strip('.-')[:180] or 'unknown'
    return bundle.Job('%s-%s' % (name, container.id[:12]), 'container', subject,
                      _source(host, root, container.store, container.driver, request), container.status, tuple(items),
                      tuple(problems), root.export_ids(container), container, image, 'config' in request.include,
                      'logs' in request.include, 'image' in request.include, tuple(mounts), info, around, consistency,
                      freeze=(pid, container.id, request.freeze_timeout) if pid and request.quiesce == 'freeze' else None,
                      left=tuple(plan.left_behind(container, request.include, alone)), engine=root.engine,
                      made=secrets.made(root, container) if with_secrets else ())


def _too_wide(host: 'Host', request: Request, mount: model.Mount) -> str:
    """'' or why a bind is not archived."""
    if mount.path is None:
        return ''
    seen = os.path.normpath(host.root.to_host(mount.path))
    if seen in plan.SYSTEM or seen in host.usual_places:
        return 'it is a part of the system itself'
    if not safeio.is_folder(mount.path):
        return ''
    for root in host.roots:
        if fsinfo.lies_inside(root.path, mount.path):
            return 'the data root lies in it'
    if _inside(request, mount.path):
        return 'dest lies in it'
    return ''


def _volume_jobs(host: 'Host', volumes: 'List[Tuple[Root, Dict[str, model.Volume]]]', names: List[str], request: Request) -> Iterator[bundle.Job]:
    """The volumes called NAMES of every root. VOLUMES: [(root, its volumes by name)]. Where several roots have one of the name
    (snap beside apt, a data root that was moved), the names of the later bundles carry a digest of the root."""
    for name in names:
        found = [(root, table[name]) for root, table in volumes if name in table]
        for position, (root, volume) in enumerate(found):
            job = _volume_job(host, root, volume, request)
            yield job if position == 0 else job._replace(name='%s-%s' % (job.name, hashlib.sha256(root.path).hexdigest()[:12]))


def _volume_job(host: 'Host', root: 'Root', volume: model.Volume, request: Request) -> bundle.Job:
    subject = {'name': volume.name, 'driver': volume.driver, 'options': redact.options(volume.options),
               'labels': volume.labels, 'anonymous': volume.anonymous, 'used_by': list(volume.used_by)}
    items = (plan.volume_item(volume.name, volume.path, volume.status),) if volume.path is not None else ()
    return bundle.Job('volume-' + SAFE.sub('-', volume.name)[:200], 'volume', subject,
                      _source(host, root, None, volume.driver, request), volume.status, items,
                      volume.problems + _owners(root.idmap, volume.name, request),
                      root.idmap, engine=root.engine)


def _image_jobs(host: 'Host', request: Request) -> Iterator[bundle.Job]:
    """Images by themselves, whoever uses them."""
    if not request.images:
        return
    named = {}
    for root in host.roots:
        for image in root.images():
            for name in image.references + (image.id, image.id.split(':')[-1][:12]):
                named.setdefault(name, (root, image))
    done = set()
    for name in selection.by_glob('image', request.images, list(named)):
        root, image = named[name]
        if (root.path, image.id) in done:
            continue
        done.add((root.path, image.id))
        yield _image_job(host, root, image, request)


def _image_job(host: 'Host', root: 'Root', image: model.Image, request: Request) -> bundle.Job:
    name = (image.references or (image.id,))[0]
    subject = {'id': image.id, 'name': name, 'references': list(image.references),
               'architecture': image.architecture, 'os': image.os}
    status = model.worst([image.status, model.PARTIAL]) if any(codes.has(item.code, codes.MORE_ON_DISK) for item in image.problems) else image.status
    return bundle.Job('image-' + SAFE.sub('-', name)[:180], 'image', subject,
                      _source(host, root, image.store, image.driver, request), status, (), image.problems,
                      root.idmap, None, image, with_image=True, engine=root.engine)


def _orphan_job(host: 'Host', root: 'Root', orphan: model.Orphan, request: Request) -> bundle.Job:
    subject = {'name': orphan.name, 'image': {'id': orphan.image_id, 'reference': orphan.image_reference},
               'owner_hint': orphan.owner_hint, 'path': wording.text(orphan.path)}
    items = tuple(plan.orphan_items(orphan, request.include))
    return bundle.Job('orphan-' + SAFE.sub('-', orphan.name)[:64], 'orphan', subject,
                      _source(host, root, orphan.store, orphan.driver, request),
                      model.PARTIAL if plan.hidden(orphan.problems) else model.COMPLETE, items,
                      orphan.problems + _owners(root.idmap, orphan.name, request),
                      root.idmap, engine=root.engine)


def _add_paths(host: 'Host', request: Request, jobs: List[bundle.Job], wanted: List[paths.Wanted]) -> None:
    """Give each of JOBS (changed in place) what paths.wanted() found of its object. An object without one gets a bundle of its own, with
    nothing else in it."""
    places = {names.identity(job): number for number, job in enumerate(jobs)}
    for each in wanted:
        own = _bare_job(host, request, each)
        if names.identity(own) not in places:
            places[names.identity(own)] = len(jobs)
            jobs.append(own)
        number = places[names.identity(own)]
        job = jobs[number]
        problems = tuple(item for item in own.problems if item not in job.problems)
        jobs[number] = job._replace(items=job.items + (each.item,), problems=job.problems + problems)


def _bare_job(host: 'Host', request: Request, wanted: paths.Wanted) -> bundle.Job:
    """The bundle.Job of the object of a paths.Wanted, without any component."""
    item, bare = wanted.object, request._replace(include=())
    record = item.record
    if isinstance(record, model.Container):
        job = _container_job(host, item.root, record, bare, ())
    elif item.kind == objects.VOLUME:
        job = _volume_job(host, item.root, record, bare)
    elif item.kind == objects.IMAGE:
        job = _image_job(host, item.root, record, bare)
    else:
        job = _orphan_job(host, item.root, record, bare)
    keep = [each for each in job.problems if codes.has(each.code, codes.LIVE) or wanted.partial and not codes.has(each.code, codes.LEFT_OUT)]
    return job._replace(items=(), problems=tuple(keep), left=(), status=model.COMPLETE, with_image=False, only_paths=True)


def _urgency(job: bundle.Job, measured: Mapping[str, Any]) -> Tuple[bool, bool, bool, int, str]:
    """First what only processes have, then what the next start of dockerd deletes, then what looks like a database, then the smallest."""
    doomed = any(codes.has(item.code, codes.DELETES) for item in job.problems)
    databases = any(item.databases for item in measured.values() if isinstance(item, trees.Estimate))
    return (job.held is None or not job.held.items, not doomed, not databases, _size(measured), job.name)


def _over_limit(jobs: List[bundle.Job], measured: List[Dict[str, Any]], done: Dict[int, Optional[Dict[str, Any]]], limit: int) -> Dict[Any, Any]:
    """{index: problem} of the jobs that MAX_BYTES leaves out, in the order of rescue."""
    found, total = {}, 0
    for index, job in enumerate(jobs):
        size = _size(measured[index])
        if not limit or done[index] is not None:
            continue
        if total + size > limit:
            found[index] = problem('NOT_WRITTEN', job.name, 'The bundle %s with %s of data was left out: max_bytes is %s, and '
                                   '%s come before it.' % (job.name, human(size), human(limit), human(total)),
                                   'Run again with a larger max_bytes; what is there stays.')
        else:
            total += size
    return found


def _work(measured: Mapping[str, Any]) -> int:
    """Bytes that reading a job will show: holes are not read."""
    return sum(item.work for item in measured.values() if isinstance(item, trees.Estimate))


def _size(measured: Mapping[str, Any]) -> int:
    """Bytes of data of a job."""
    return sum(item.bytes for item in measured.values() if isinstance(item, trees.Estimate))


# -- room ------------------------------------------------------------------------------------------------------------------------


def _needs(jobs: List[bundle.Job], measured: List[Dict[str, Any]], done: Dict[int, Optional[Dict[str, Any]]],
           settings: bundle.Settings) -> Dict[str, int]:
    """{word of include: bytes} that the target surely needs. A volume of several containers counts once."""
    share = LEAST.get(settings.codec.name, USUAL)
    needs: Dict[str, int] = {}
    counted: Set[Any] = set()

    def need(part: str, size: int) -> None:
        needs[part] = needs.get(part, 0) + size

    for index, job in enumerate(jobs):
        if done[index] is not None:
            continue
        for item in job.items:
            mark = measured[index][item.name]
            if isinstance(mark, trees.Estimate) and item.shared not in counted:
                need(PARTS.get(item.kind, item.kind), _packed(mark, share))
            if item.shared is not None:
                counted.add(item.shared)
        for made in job.made:
            need('dumps' if made.kind != secrets.WORD else secrets.WORD, int(made.bytes * share))
        log = job.container.log if job.container is not None else None
        if job.with_logs and log is not None:
            need('logs', 2 * log.bytes + (_JOURNALED * log.journal.look()[0] if log.journal is not None else 0))
        if job.with_image:
            from ..images import container as image
            layer = measured[index].get('writable')
            size = image.estimate(job.image, job.container, layer if isinstance(layer, trees.Estimate) else None)
            need('image', size.own)
            for diff_id, stored in size.shared.items():
                if settings.images is None or diff_id not in counted:
                    need('image', stored)
                counted.add(diff_id)
    return needs


def _packed(mark: Any, share: float) -> int:
    """Bytes that the archive of a trees.Estimate needs at least."""
    return int(mark.allocated * share) + 512 * mark.entries // (1 if share == 1.0 else 8)


def _make_room(request: Request, jobs: List[bundle.Job], measured: List[Dict[str, Any]], done: Dict[int, Optional[Dict[str, Any]]],
               settings: bundle.Settings, store: 'Store') -> Tuple[List[bundle.Job], List[model.Problem]]:
    """(jobs, problems): where dest has too little room, what is optional is left out: first images, as registries have most of
    them, then binds, the largest first. Raises LifeboatError where the rest does not fit either."""
    try:
        free = store.free()
    except OSError as exc:
        raise LifeboatError('The free space of dest %s is not known: %s. Choose another dest.' % (
            wording.text(request.dest), metadata.describe(exc)))
    notes: List[model.Problem] = []
    needs = _needs(jobs, measured, done, settings)

    def fits() -> bool:
        return not request.check_space or not sum(needs.values()) or sum(needs.values()) + RESERVE <= free

    if needs.get('dumps') and not fits():
        jobs, notes = _without_dumps(jobs, done, needs['dumps'])
        needs = _needs(jobs, measured, done, settings)
    if request.image_optional and not fits():
        jobs, more = _without_images(jobs, done, sum(needs.values()))
        notes = notes + more
        needs = _needs(jobs, measured, done, settings)
    if request.binds_optional and not fits():
        without = sum(needs.values()) + RESERVE - free
        jobs, more = _without_binds(jobs, measured, done, settings, without)
        notes = notes + more
        needs = _needs(jobs, measured, done, settings)
    if fits():
        return jobs, notes
    sizes = ', '.join('%s %s' % (part, human(needs[part])) for part in sorted(needs, key=lambda part: -needs[part]) if needs[part])
    sizes += ', reserve %s' % human(RESERVE)
    raise LifeboatError(
        'dest %s has %s free, and this rescue needs at least %s (%s%s). Choose another dest, rescue fewer containers, name less in '
        'include, which leaves out what it does not name, or set check_space: false to try anyway.' % (
            wording.text(request.dest), human(free), human(sum(needs.values()) + RESERVE), sizes,
            '; without images and binds, which are left out already' if notes else ''))


def _without_dumps(jobs: List[bundle.Job], done: Dict[int, Optional[Dict[str, Any]]], needed: int) -> Tuple[List[bundle.Job], List[model.Problem]]:
    """(jobs that dump nothing, problems): the raw data come first. What lacks a dump that was asked for is partial."""
    notes, kept = [], []
    for index, job in enumerate(jobs):
        if job.made and done[index] is None:
            note = problem('DUMP_NO_SPACE', job.name, 'No database of %s is dumped: dest may lack room for the dumps of this run (about %s) '
                           'beside the raw data.' % (job.name, human(needed)), 'Rescue to a larger dest; what is there already is used.')
            notes.append(note)
            job = job._replace(made=(), problems=job.problems + (note,), status=model.worst([job.status, model.PARTIAL]))
        kept.append(job)
    return kept, notes


def _without_images(jobs: List[bundle.Job], done: Dict[int, Optional[Dict[str, Any]]], needed: int) -> Tuple[List[bundle.Job], List[model.Problem]]:
    """(jobs that write no image, problems): there is no room for them."""
    notes, kept = [], []
    for index, job in enumerate(jobs):
        if job.with_image and job.container is not None and done[index] is None:
            notes.append(problem('IMAGE_LEFT_OUT', job.name, 'The image of %s is left out: with images this rescue needs at least %s, '
                                 'more than dest has.' % (job.name, human(needed + RESERVE)),
                                 'Rescue it to a larger dest with include: [image].'))
            job = job._replace(with_image=False, left=job.left + (('images', '%s: image' % (job.container.name or job.name)),))
        kept.append(job)
    return kept, notes


def _without_binds(jobs: List[bundle.Job], measured: List[Dict[str, Any]], done: Dict[int, Optional[Dict[str, Any]]],
                   settings: bundle.Settings, excess: int) -> Tuple[List[bundle.Job], List[model.Problem]]:
    """(jobs, problems) without as many binds as need EXCESS bytes, the largest first. What lacks one is partial."""
    share = LEAST.get(settings.codec.name, USUAL)
    sizes = {}
    for index, job in enumerate(jobs):
        for item in job.items:
            mark = measured[index][item.name]
            if item.kind == 'bind' and done[index] is None and isinstance(mark, trees.Estimate):
                sizes[item.shared] = _packed(mark, share)
    gone = set()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        if excess <= 0:
            break
        gone.add(path)
        excess -= sizes[path]
    notes, kept = [], []
    for index, job in enumerate(jobs):
        left = [item for item in job.items if item.kind == 'bind' and item.shared in gone and done[index] is None]
        if left:
            note = problem('BIND_LEFT_OUT', job.name, 'dest has no room for %d bind%s of %s: %s.' % (
                len(left), '' if len(left) == 1 else 's', job.name, ', '.join(
                    '%s (at least %s)' % (item.about.get('source'), human(sizes[item.shared])) for item in left[:plan.NAMED_MOUNTS])),
                'Rescue to a larger dest; what is there already is used.')
            notes.append(note)
            job = job._replace(
                items=tuple(item for item in job.items if item not in left), problems=job.problems + (note,),
                status=model.worst([job.status, model.PARTIAL]), left=job.left + tuple(('binds', '%s: %s at %s' % (
                    job.container is not None and job.container.name or job.name, item.about.get('source'),
                    item.about.get('destination'))) for item in left))
        kept.append(job)
    return kept, notes


# -- results ---------------------------------------------------------------------------------------------------------------------


def _unchanged(path: bytes, manifest: Dict[str, Any]) -> bundle.Outcome:
    components = [item for item in manifest.get('components', ()) if isinstance(item, dict)]
    return bundle.Outcome(path, False, manifest.get('status') or '', sum(item.get('bytes') or 0 for item in components),
                          sum(item.get('files') or 0 for item in components), components,
                          tuple(model.Problem(**item) for item in manifest.get('problems', ())))


def _forecast(store: 'Store', jobs: List[bundle.Job], measured: List[Dict[str, Any]], done: Dict[int, Optional[Dict[str, Any]]],
              problems: List[model.Problem]) -> Dict[str, Any]:
    """What check mode says: sizes are those of the data, before compression."""
    outcomes = []
    for index, job in enumerate(jobs):
        there = done[index]
        if there is not None:
            outcomes.append(_unchanged(store.bundle_path(job.name), there))
            continue
        components: List[Dict[str, Any]] = []
        for item in job.items:
            mark = measured[index][item.name]
            whole = isinstance(mark, trees.Estimate)
            components.append({'name': item.name, 'kind': item.kind, 'file': item.stem + '.tar', 'sha256': None,
                               'bytes': mark.bytes if whole else 0, 'entries': mark.entries if whole else 0, 'files': None,
                               'status': item.status if whole else model.LOST})
        log = job.container.log if job.container is not None else None
        if job.with_logs and log is not None and log.there:
            components.append({'name': 'log', 'kind': 'log', 'file': 'logs/container.log', 'sha256': None,
                               'bytes': log.bytes, 'entries': None, 'files': len(log.files),
                               'status': model.COMPLETE})
        if job.with_image:
            from ..images import container as image
            size = image.estimate(job.image, job.container)
            components.append({'name': 'image', 'kind': 'image', 'file': 'image.tar', 'sha256': None,
                               'bytes': size.own + sum(size.shared.values()), 'entries': None, 'files': None,
                               'status': job.image.status if job.image is not None else model.PARTIAL})
        if job.deployment is not None:
            components.append({'name': job.kind, 'kind': job.kind, 'file': 'deployment.json', 'sha256': None, 'entries': None, 'files': None,
                               'bytes': sum(item.size for item in job.deployment.collection.files.values()), 'status': job.deployment.status})
        more: Tuple[model.Problem, ...] = ()
        for made in job.made:
            record, notes = made.forecast()
            components.append(dict(record, name=made.name, kind=made.kind, bytes=made.bytes))
            more += tuple(notes)
        if job.with_config:
            components.append({'name': 'config', 'kind': 'config', 'file': bundle.DEFINITION, 'sha256': None, 'bytes': 0,
                               'entries': None, 'files': None, 'status': model.COMPLETE})
        # as far as it is known before anything is read
        whole = all(item['status'] == model.COMPLETE for item in components if item['kind'] in ('dump', secrets.WORD))
        outcomes.append(bundle.Outcome(store.bundle_path(job.name), True, model.PARTIAL if job.status == model.COMPLETE and not whole else job.status,
                                       sum(item['bytes'] for item in components), 0, components, job.problems + more))
    return _result(jobs, outcomes, problems)


SHOWN = ('name', 'kind', 'file', 'bytes', 'sha256', 'entries', 'status')


def _result(jobs: List[bundle.Job], outcomes: List[bundle.Outcome], problems: List[model.Problem]) -> Dict[str, Any]:
    bundles, seen = [], []
    for job, outcome in zip(jobs, outcomes):
        container = job.container
        fields = wording.path_fields(outcome.path)
        fields.update({
            'name': job.name, 'kind': job.kind, 'container': container.name if container is not None else None,
            'id': container.id if container is not None else None,
            'image': job.subject.get('image', {}).get('reference') if isinstance(job.subject.get('image'), dict) else None,
            'status': outcome.status, 'changed': outcome.changed, 'bytes': outcome.bytes, 'files': outcome.files,
            'components': [dict({key: item.get(key) for key in SHOWN}, **reading.dump_facts(item)) for item in outcome.components],
            'problems': [dict(item._asdict()) for item in _worst_first(bundle._unique(outcome.problems + tuple(
                item for item in problems if item.object == job.name)))[:REASONS]]})
        bundles.append(fields)
        seen.extend(outcome.problems)
    # the worst first: notes must not crowd them out of what is shown
    everything = _worst_first(bundle._unique(problems + seen))
    statuses = [item['status'] for item in bundles]
    return {
        'bundles': bundles, 'changed': any(item['changed'] for item in bundles),
        'problems': [dict(item._asdict()) for item in everything[:bundle.MANIFEST_PROBLEMS]],
        'summary': {'bundles': len(bundles), 'written': sum(1 for item in bundles if item['changed']),
                    'complete': statuses.count(model.COMPLETE), 'partial': statuses.count(model.PARTIAL),
                    'lost': statuses.count(model.LOST), 'unsupported': statuses.count(model.UNSUPPORTED),
                    'bytes': sum(item['bytes'] for item in bundles),
                    'problems': len(everything), 'left_behind': _left_behind(jobs)}}


def _worst_first(problems: List[model.Problem]) -> List[model.Problem]:
    return sorted(problems, key=lambda item: SEVERITIES.index(item.severity))


def _left_behind(jobs: List[bundle.Job]) -> Dict[str, Any]:
    """What the bundles do not have although it is on the disk and belongs to their containers: counts, and the first names."""
    left = sorted(set(item for job in jobs for item in job.left))
    found: Dict[str, Any] = {part: sum(1 for kind, dummy in left if kind == part) for part in ('binds', 'volumes', 'layers', 'images')}
    found['names'] = [name for dummy, name in left[:LEFT_NAMES]]
    return found


def verdict(result: Dict[str, Any], fail_on: str) -> str:
    """Why the result of a rescue is a failure for FAIL_ON (never, lost or partial); '' if it is not a failure."""
    summary = result['summary']
    lost, partial = summary.get('lost', 0), summary.get('partial', 0) + summary.get('unsupported', 0)
    if fail_on == 'never':
        return ''
    critical = [item for item in result.get('problems', ()) if item.get('severity') == model.CRITICAL]
    others = sum(item.get('kind') == reading.DEPLOYMENT for item in result.get('bundles', ()))
    if not summary.get('bundles', 0) - others:
        said = critical[0] if critical else {'message': 'Nothing was found.', 'next_step': 'Name the right folder with data_roots.'}
        return ('Nothing was rescued. %s %s' % (said.get('message') or '', said.get('next_step') or '')).strip()
    if not lost and not (partial and fail_on == 'partial'):
        return ''
    names = {item.get('name') for item in result.get('bundles', ()) if item.get('status') == model.LOST}
    reason = next((item for item in critical if item.get('object') in names), None)
    if lost == summary['bundles'] - others:
        said = 'The one bundle was not rescued.' if lost == 1 else 'None of %s was rescued.' % wording.number(lost, 'bundle')
    else:
        said = '%s %s lost and %d partial or unsupported; everything else was rescued.' % (
            wording.number(lost, 'bundle'), 'is' if lost == 1 else 'are', partial)
    return '%s%s' % (said,
                     ' %s %s' % (reason.get('message'), reason.get('next_step')) if reason else
                     ' The problems say why and what to do next.')
