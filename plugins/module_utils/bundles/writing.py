"""One bundle: its components streamed into files, then manifest, README and checksums, then its final name.

The manifest (schema_version 2) is described in docs/design.md. A component's `fingerprint` covers what stat tells of
its source: while it is the same, the file that is already there is the answer.
"""
import contextlib
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..archive import compress, trees, write as archive
from ..archive.progress import Progress
from ..archive.sink import resumed
from ..disk import metadata
from ..disk.errors import LifeboatError
from ..formats import checksums, wording
from ..formats.values import as_list
from ..records import codes, definition as definitions, model
from ..records.codes import problem
from . import parts as files_of, plan, texts

if TYPE_CHECKING:
    from ..archive.sink import Sink
    from ..deployment.gather import Deployment
    from ..layers.idmap import IdMap
    from .store import Bundle, Store

SCHEMA_VERSION = 2
DEFINITION = 'config/definition.json'
TOOL = 'lifeboat.docker'
VERSION = '1.0.0'
EXPORT = 'logs/journal.export'
DUMPS = 'dumps'                         # word of include
MANIFEST_PROBLEMS = 200                 # listed; more of one kind are counted


class Job(NamedTuple):
    """What one bundle is to hold. `subject` goes into the manifest under `kind`."""
    name: str                           # of the folder
    kind: str                           # container | volume | orphan | image | deployment
    subject: Dict[str, Any]
    source: Dict[str, Any]
    status: str                         # of the object itself, before anything is read
    items: Tuple[plan.Item, ...]
    problems: Tuple[model.Problem, ...]
    idmap: Any = None
    container: Optional[model.Container] = None
    image: Optional[model.Image] = None
    with_config: bool = False
    with_logs: bool = False
    with_image: bool = False
    mounts: Tuple[Dict[str, Any], ...] = ()
    volume_settings: Optional[Dict[str, definitions.VolumeSettings]] = None
    around: Any = None                  # engines.api.Neighbours of a container
    consistency: str = 'stopped'
    freeze: Any = None                  # (pid, container id, seconds) of a live container that is to be frozen
    left: Tuple[Tuple[str, str], ...] = ()      # see plan.left_behind
    engine: str = ''                    # whose data it holds
    made: Tuple[plan.Made, ...] = ()    # written after everything else
    only_paths: bool = False            # named by the option paths alone: `include` does not hold for it
    deployment: 'Optional[Deployment]' = None    # of the bundle of that kind
    held: Any = None                    # rescue.openfiles.Hold: what only processes of the container still have


class Outcome(NamedTuple):
    path: bytes
    changed: bool
    status: str
    bytes: int
    files: int
    components: List[Dict[str, Any]]
    problems: Tuple[model.Problem, ...]


class Settings(NamedTuple):
    """What holds for the whole run."""
    codec: compress.Codec
    include: Tuple[str, ...]
    owner_ids: str = 'container'
    on_error: str = 'continue'
    force: bool = False
    progress: Any = None                # Progress, which a run has for itself
    images: Any = None                  # imagestore.ImageStore that the run's bundles share, or None


class ReadFailed(LifeboatError):
    """on_error is fail and something could not be read."""


def fingerprints(job: Job) -> Dict[str, Any]:
    """{component name: trees.Estimate or OSError; of what is made, a fingerprint or None}: one walk of each item, no data read."""
    found: Dict[str, Any] = {}
    for item in job.items:
        try:
            found[item.name] = trees.measure(item.tree)
        except OSError as exc:
            found[item.name] = exc
    for made in job.made:
        found[made.name] = _fingerprint(job, made, found)
    return found


def _fingerprint(job: Job, made: plan.Made, measured: Mapping[str, Any]) -> Optional[str]:
    """Of what a plan.Made is made of; None where that cannot be read."""
    same = next((measured[item.name] for item in job.items if (
        item.kind == 'writable' if made.shared is None else item.shared == made.shared)), None)
    try:
        mark = same if isinstance(same, trees.Estimate) else trees.measure(made.tree)
    except OSError:
        return None
    return hashlib.sha256(json.dumps([mark.fingerprint, made.about]).encode()).hexdigest()


def existing(store: 'Store', job: Job, settings: Settings, measured: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """The manifest of the bundle that STORE has if it is whole, verified and of an unchanged source; else None."""
    manifest = None if settings.force else store.verified(job.name)
    if manifest is None or manifest.get('schema_version') != SCHEMA_VERSION:
        return None
    told = set(item.code for item in job.problems)
    if any(codes.has(str(item.get('code')), codes.PASSES) and item.get('code') not in told for item in manifest.get('problems', ())
           if isinstance(item, dict)):
        return None                     # perhaps it can be read now
    wanted = expected(job, settings, measured)
    have = {item['name']: (item['kind'], item.get('fingerprint')) for item in manifest.get('components', ())
            if isinstance(item, dict)}
    asked = manifest.get('options')
    if DUMPS not in settings.include and isinstance(asked, dict):       # dumps that an earlier run has added are no reason to write it again
        have = {name: mark for name, mark in have.items() if mark[0] != 'dump'}
        asked = dict(asked, include=[each for each in as_list(asked.get('include')) if each != DUMPS])
    return manifest if have == wanted and asked == options(settings, job) else None


def expected(job: Job, settings: Settings, measured: Mapping[str, Any]) -> Dict[str, Tuple[str, Optional[str]]]:
    """{component name: (kind, fingerprint)} that an up-to-date bundle has."""
    wanted = {}
    for item in job.items:
        mark = measured[item.name]
        wanted[item.name] = (item.kind, mark.fingerprint if isinstance(mark, trees.Estimate) else None)
    for made in job.made:
        wanted[made.name] = (made.kind, measured[made.name])
    if job.with_config:
        wanted['config'] = ('config', config_fingerprint(job))
    if job.deployment is not None:
        wanted[job.kind] = (job.kind, job.deployment.fingerprint)
    if job.with_logs and job.container is not None and job.container.log is not None and job.container.log.there:
        wanted['log'] = ('log', plan.log_fingerprint(job.container))
    if job.with_image:
        from ..images import container as image
        layer = measured.get('writable')
        wanted['image'] = ('image', image.fingerprint(job.image, job.container, layer.fingerprint
                                                      if isinstance(layer, trees.Estimate) else None))
    return wanted


def config_fingerprint(job: Job) -> str:
    """Also changes with what is found about the object: its status and its problems."""
    digest = hashlib.sha256(plan.records_fingerprint(job.container.records).encode() if job.container else b'')
    digest.update(json.dumps([job.status, job.subject.get('image'), list(job.problems), job.around], sort_keys=True).encode())
    return digest.hexdigest()


def options(settings: Settings, job: Job) -> Dict[str, Any]:
    """What a bundle was asked to be, for its manifest. Another answer than last time: the bundle is written again."""
    found = {'compression': settings.codec.name, 'owner_ids': settings.owner_ids,
             'include': [] if job.only_paths or job.deployment is not None else sorted(settings.include)}
    patterns = {item.about['object']: item.about['patterns'] for item in job.items if item.kind == 'paths'}
    return dict(found, paths=patterns) if patterns else found


def write(store: 'Store', job: Job, settings: Settings, measured: Mapping[str, Any],
          shared: 'Dict[bytes, Tuple[Bundle, Dict[str, Any]]]') -> Outcome:
    """Write one bundle -> Outcome. SHARED: {(data path, owner_ids): (absolute file, component record)} of this run, so
    that a volume of two containers is read once. Raises ReadFailed, CompressError, SinkError."""
    if settings.progress is None:
        settings = settings._replace(progress=Progress())
    bundle = store.begin(job.name)
    work = _Work(bundle, job, settings, measured, shared)
    work.held()
    with work.quiet():
        for item in job.items:
            if not item.held:
                work.tree(item)
        if job.with_image:
            work.image(expected(job, settings, measured)['image'][1])
        if job.with_logs:
            work.logs()
    if job.with_config:
        work.config()
    if job.deployment is not None:
        work.deployment(job.deployment)
    for made in job.made:
        work.made(made)
    return work.finish(store)


class _Work(object):
    """A bundle while it is written: what is done is in `records`."""

    def __init__(self, bundle: 'Bundle', job: Job, settings: Settings, measured: Mapping[str, Any],
                 shared: 'Dict[bytes, Tuple[Bundle, Dict[str, Any]]]') -> None:
        self.bundle = bundle
        self.job = job
        self.settings = settings
        self.measured = measured
        self.shared = shared
        self.done = bundle.progress()
        self.earlier = _components(bundle.before())
        self.records: List[Dict[str, Any]] = []
        self.files: Dict[str, str] = {}  # relative name -> sha256
        self.problems = list(job.problems)
        self._definition: Optional[definitions.Definition] = None

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """With quiesce: freeze nothing of a live container runs in here. What came of it is in the job's consistency."""
        if self.job.freeze is None:
            yield
            return
        from . import quiesce
        try:
            frozen = quiesce.freeze(*self.job.freeze)
        except (quiesce.NotFrozen, OSError) as exc:
            self._not_frozen('could not be frozen: %s' % (exc.strerror if isinstance(exc, OSError) else exc))
            yield
            return
        self.settings.progress.frozen(True)
        whole = False
        try:
            yield
        finally:
            whole = frozen.thaw()
            self.settings.progress.frozen(False)
        if whole:
            self.job = self.job._replace(consistency='frozen')
            self.problems = [item for item in self.problems if not codes.has(item.code, codes.LIVE)]
        else:
            self._not_frozen('was frozen only for a part of the time (freeze_timeout: %d)' % self.job.freeze[2])

    def _not_frozen(self, why: Any) -> None:
        self.problems = [item for item in self.problems if not codes.has(item.code, codes.LIVE)]
        self.problems.append(problem('CRASH_CONSISTENT', self.job.name, 'Container %s is still running and %s: its files are '
                                     'rescued as after a power cut.' % (self.job.name, why),
                                     'Stop its processes, or give it more time with freeze_timeout.'))

    def held(self) -> None:
        """First what goes when a process ends; then the processes may go on."""
        if self.job.held is None:
            return
        self.job.held.settle()
        for item in self.job.items:
            if item.held:
                self.tree(item)
        self.problems.extend(self.job.held.release(self.job.name, bool(self.records)))

    # -- archives ----------------------------------------------------------------------------------------------------------

    def tree(self, item: plan.Item) -> None:
        mark = self.measured[item.name]
        if isinstance(mark, OSError):
            self._lost(item, mark)
            return
        file = item.stem + '.tar' + self.settings.codec.suffix
        if self._reuse(item, file, mark.fingerprint):
            return
        sums_name = item.stem + '.sha256'
        made = resumed(self._archive, item, mark, file, sums_name)
        self.settings.progress.done(mark.work)
        if isinstance(made, OSError):
            self._lost(item, made)
            return
        result, written, sums_sha256 = made
        status = model.PARTIAL if result.failures_total or item.status != model.COMPLETE else model.COMPLETE
        record = {'name': item.name, 'kind': item.kind, 'file': file, 'bytes': written.bytes, 'sha256': written.sha256,
                  'entries': result.entries, 'files': result.files, 'source_bytes': result.source_bytes,
                  'tar_bytes': result.tar_bytes, 'status': status, 'fingerprint': result.fingerprint, 'sums': sums_name,
                  'sums_sha256': sums_sha256, 'problems': self._notes(item, result)}
        record.update(item.about)
        self._keep(record)
        if item.shared is not None:
            self.shared[item.shared] = (self.bundle, dict(record))

    def _archive(self, item: plan.Item, mark: trees.Estimate, file: str,
                 sums_name: str) -> Union[OSError, Tuple[archive.Result, compress.Written, str]]:
        """(archive.Result, compress.Written, SHA-256 of the list), or the OSError for which ITEM cannot be opened."""
        source = json.dumps([mark.fingerprint, self.settings.codec, item.form, self.settings.owner_ids])
        sums = self.bundle.sink(sums_name, source)
        try:
            summer = _Hashing(sums)
            with compress.Compressor(self.settings.codec, self.bundle.sink(file, source)) as packed:
                self.settings.progress.reading(item.name, mark.work, packed.raw_count)
                try:
                    with item.tree.opened() as (root, entries):
                        result = archive.write_tar(
                            entries, packed, item.form, self._idmap(), summer, False, False, root,
                            True, self._on_failure)
                except OSError as exc:
                    if isinstance(exc, LifeboatError):
                        raise
                    packed.abort()
                    sums.abort()
                    return exc
                written = packed.close()
            sums.commit()
        except BaseException:
            sums.abort()
            raise
        return result, written, summer.hexdigest()

    def _on_failure(self, lost: archive.Lost) -> None:
        if self.settings.on_error == 'fail':
            raise ReadFailed('%s of %s could not be read: %s. Nothing of it was kept; on_error: continue rescues the rest.' % (
                wording.text(lost.path), self.job.name, lost.message))

    def _idmap(self) -> 'Optional[IdMap]':
        return self.job.idmap if self.settings.owner_ids == 'container' else None

    def _notes(self, item: plan.Item, result: archive.Result) -> List[Dict[str, Any]]:
        """The problems of one archive as plain dicts."""
        found = []
        who = '%s of %s' % (item.name, self.job.name)
        for lost in result.failures[:20]:
            where = ' at byte %d' % lost.offset if lost.offset is not None else ''
            found.append(problem('READ_ERROR', self.job.name, '%s: /%s%s: %s.' % (
                who, wording.text(lost.path), where, lost.message),
                'Everything else was read; try again from a copy of the disk.'))
        if result.failures_total > 20:
            found.append(problem('READ_ERROR', self.job.name, '%s: %s could not be read.' % (
                who, wording.number(result.failures_total, 'place')), ''))
        if result.skipped_sockets:
            found.append(problem('SOCKET_SKIPPED', self.job.name, '%s: %s left out.' % (who, wording.number(result.skipped_sockets, 'socket')),
                                 ''))
        if result.markers_total:
            found.append(problem('WHITEOUT_NAME', self.job.name, '%s: %d real files are named .wh.*, the first /%s.' % (
                who, result.markers_total, wording.text(result.markers[0])),
                'Take them from rootfs; a layer would read them as deletions.'))
        return [dict(note._asdict()) for note in found]

    def _lost(self, item: plan.Item, exc: OSError) -> None:
        self.problems.append(problem('READ_ERROR', self.job.name, '%s of %s cannot be opened: %s.' % (
            item.name, self.job.name, metadata.describe(exc)), 'Use become: true, or read a copy of the disk.'))
        record = {'name': item.name, 'kind': item.kind, 'file': '', 'bytes': 0, 'sha256': None, 'entries': 0, 'files': 0,
                  'source_bytes': 0, 'status': model.LOST, 'fingerprint': None, 'problems': []}
        record.update(item.about)
        self.records.append(record)

    def _reuse(self, item: plan.Item, file: str, fingerprint: str) -> bool:
        """Take over a whole archive: of a killed run, of another bundle of this run, of the bundle that is replaced."""
        candidates: List[Tuple[Any, Any]] = []
        if not self.settings.force or item.name in self.done:
            candidates = [(None, self.done.get(item.name)), (self.bundle.final, self.earlier.get(item.name))]
        if item.shared in self.shared:
            candidates.append(self.shared[item.shared])
        for holder, record in candidates:
            if not isinstance(record, dict) or record.get('status') != item.status \
                    or record.get('fingerprint') != fingerprint or not record.get('sha256') \
                    or not str(record.get('file', '')).endswith('.tar' + self.settings.codec.suffix):
                continue
            names = ((record['file'], file, record['sha256']),
                     (record.get('sums', ''), item.stem + '.sha256', record.get('sums_sha256')))
            if all(self.bundle.take(holder, *name) for name in names):
                record = dict(record, problems=_noted(record))
                record.update(item.about)
                record.update({'name': item.name, 'file': file, 'sums': item.stem + '.sha256'})
                self._keep(record)
                return True
        return False

    def _keep(self, record: Dict[str, Any]) -> None:
        self.records.append(record)
        self.files[record['file']] = record['sha256']
        if record.get('sums'):
            self.files[record['sums']] = record['sums_sha256']
        self.bundle.note({item['name']: item for item in self.records})

    # -- the image -----------------------------------------------------------------------------------------------------------

    def image(self, fingerprint: Optional[str]) -> None:
        """The image with the writable layer on top, in a form that every engine loads."""
        from ..images import container as image
        job, settings = self.job, self.settings
        for holder, record in ((None, self.done.get('image')), (self.bundle.final, self.earlier.get('image'))):
            if isinstance(record, dict) and record.get('fingerprint') == fingerprint and record.get('parts') \
                    and record.get('status') == model.COMPLETE and not (settings.force and holder is not None) \
                    and all(self.bundle.take(holder, name, name, digest) for name, digest in record['parts'].items()):
                self._keep_parts(dict(record, problems=_noted(record)))
                return
        settings.progress.reading('image', 0, lambda: 0)
        layer = self.measured.get('writable')
        # always with the container's own ids: an engine maps them itself
        record, notes = resumed(
            image.write, self.bundle, job.image, job.container, settings.images, job.idmap, self.bundle.scratch,
            job.consistency != 'stopped', self._on_failure, measured=layer if isinstance(layer, trees.Estimate) else None)
        record = dict(record, fingerprint=fingerprint)
        record['problems'] = [dict(note._asdict()) for note in notes]
        if record['status'] == model.COMPLETE and plan.hidden(job.problems):
            record['status'] = model.PARTIAL
        self._keep_parts(record)

    def _keep_parts(self, record: Dict[str, Any]) -> None:
        self.records.append(record)
        self.files.update(record.get('parts') or {})
        self.bundle.note({item['name']: item for item in self.records})

    # -- logs and config -----------------------------------------------------------------------------------------------------

    def logs(self) -> None:
        container = self.job.container
        if container is None or container.log is None or not container.log.there:
            return
        notes = []
        sizes = [size for size in (self._log_file(path, notes) for path in container.log.files) if size is not None]
        relative, lines = 'logs/container.log', 0
        with contextlib.ExitStack() as stack:
            whole, raw = _Hashing(stack.enter_context(self.bundle.sink(relative))), None
            if container.log.journal is not None:
                raw = _Hashing(stack.enter_context(self.bundle.sink(EXPORT)))
            for line in texts.readable(container, notes, raw.gather if raw is not None else None):
                whole.gather(line)
                lines += 1
            whole.flush()
            if raw is not None:
                raw.flush()
                self.files[EXPORT] = raw.hexdigest()
                sizes.append(raw.bytes)
        self.files[relative] = whole.hexdigest()
        self.records.append({
            'name': 'log', 'kind': 'log', 'file': relative, 'bytes': whole.bytes, 'sha256': whole.hexdigest(),
            'entries': lines, 'files': len(sizes), 'source_bytes': sum(sizes),
            'status': model.PARTIAL if any(note.loses_data for note in notes) else model.COMPLETE,
            'fingerprint': plan.log_fingerprint(container), 'problems': [dict(note._asdict()) for note in notes]})
        if container.log.journal is not None:
            self.records[-1]['export'] = EXPORT

    def _log_file(self, path: bytes, notes: List[model.Problem]) -> Optional[int]:
        """Keep one log file as it is -> its size; None if it cannot be read."""
        relative = 'logs/' + wording.text(os.path.basename(path))
        try:
            with self.bundle.sink(relative) as sink:
                self.files[relative], size = texts.copy_log(path, sink)
        except OSError as exc:
            if isinstance(exc, LifeboatError):
                raise
            notes.append(problem('READ_ERROR', self.job.name, 'The log file %s could not be read: %s.' % (
                wording.text(path), metadata.describe(exc)), ''))
            return None
        return size

    def config(self) -> None:
        job, container = self.job, self.job.container
        found = container.records if container is not None else {}
        made = dict(('config/' + name, raw) for name, raw in found.items())
        if container is not None:
            self._definition = self._resolved()
            made.update(self._definitions(self._definition))
        if job.image is not None and job.image.config_raw:
            made['config/image.json'] = job.image.config_raw
        for relative, raw in sorted(made.items()):
            self.bundle.write(relative, raw)
            self.files[relative] = hashlib.sha256(raw).hexdigest()
        whole = container is not None and not container.definition.damaged
        self.records.append({
            'name': 'config', 'kind': 'config', 'file': DEFINITION if DEFINITION in made else '', 'bytes': len(made.get(DEFINITION, b'')),
            'sha256': self.files.get(DEFINITION), 'entries': len(made), 'files': len(made),
            'source_bytes': sum(map(len, found.values())),
            'status': model.COMPLETE if whole else model.PARTIAL if made else model.LOST,
            'fingerprint': config_fingerprint(job), 'problems': []})

    def deployment(self, found: 'Deployment') -> None:
        """The original files of a host's deployments."""
        from ..deployment import write as deployments
        record, files = deployments.write(self.bundle, found)
        self.records.append(record)
        self.files.update(files)

    def _resolved(self) -> definitions.Definition:
        """The Definition with the image, volumes and networks that the bundle has."""
        container, image, around = self.job.container, self.job.image, self.job.around
        if container is None:
            raise AssertionError('nothing else has a config')
        reference = container.image_reference or container.image_id or 'unknown-image'
        if any(record['kind'] == 'image' and record['status'] != model.LOST for record in self.records):
            from ..images.documents import container_tag
            reference = container_tag(container)
        return definitions.resolved(
            container.definition, reference, definitions.image_defaults(image.config.get('config')) if image is not None else None,
            volume_names=around.volumes, volume_settings=self.job.volume_settings or {}, network_settings=around.networks, peers=around.peers)

    @staticmethod
    def _definitions(definition: definitions.Definition) -> Dict[str, bytes]:
        """The definition itself, compose.yaml, run.sh and the API body."""
        from ..recreate import files
        return {'config/' + name: content.encode('utf-8', 'surrogateescape') for name, content in files.files(definition).items()}

    def made(self, item: plan.Made) -> None:
        """A component that is written by whoever asked for the bundle. Where it fails, everything else stays as it is."""
        mark = self.measured[item.name]
        for holder, record in ((None, self.done.get(item.name)), (self.bundle.final, self.earlier.get(item.name))):
            if not mark or not isinstance(record, dict) or record.get('fingerprint') != mark or self.settings.force and holder is not None:
                continue
            parts = record.get('parts')
            if isinstance(parts, dict) and parts and all(name.startswith(item.kind + '/') for name in parts) \
                    and all(self.bundle.take(holder, name, name, digest) for name, digest in parts.items()):
                self._keep_parts(dict(record, problems=_noted(record)))
                return
        self.settings.progress.reading(item.name, 0, lambda: 0)
        files = files_of.Parts(self.bundle, item.kind)
        record, notes = item.write(files)
        whole = record['status'] in (model.COMPLETE, model.PARTIAL)
        # without a fingerprint the next run tries again
        self._keep_parts(dict(record, name=item.name, kind=item.kind, fingerprint=mark if whole else None, parts=files.sums,
                              problems=[dict(note._asdict()) for note in notes]))

    # -- the end -----------------------------------------------------------------------------------------------------------

    def finish(self, store: 'Store') -> Outcome:
        for record in self.records:     # each keeps its own, for the run that takes the component over
            self.problems.extend(model.Problem(**note) for note in record.get('problems', ()))
        status = _status(self.job, self.records)
        if status in (model.COMPLETE, model.PARTIAL):
            self.problems = [_taken(item) for item in self.problems]
        manifest = self._manifest(status)
        for name, raw in (('README.txt', texts.readme(manifest).encode('utf-8', 'backslashreplace')),
                          ('manifest.json', json.dumps(manifest, indent=1, sort_keys=True).encode('utf-8') + b'\n')):
            self.bundle.write(name, raw)
            self.files[name] = hashlib.sha256(raw).hexdigest()
        self.bundle.write('SHA256SUMS', checksums.lines(
            (digest, os.fsencode(name)) for name, digest in sorted(self.files.items())))
        self.bundle.drop_others(list(self.files) + ['SHA256SUMS'])
        changed = self._changed(manifest)
        if changed:
            aside = self.bundle.finish(self._aside())
            if aside:
                self.problems.append(problem(
                    'OLD_BUNDLE_KEPT', self.job.name, 'The bundle %s that was there has more; it is kept as %s.' % (
                        self.job.name, wording.text(os.path.basename(aside))), 'Compare the two before you remove one.'))
        else:
            self.bundle.discard()
        total = sum(record['bytes'] for record in self.records)
        return Outcome(self.bundle.final, changed, status, total, len(self.files) + 1, self.records,
                       tuple(_unique(self.problems)))

    def _manifest(self, status: str) -> Dict[str, Any]:
        manifest = {
            'schema_version': SCHEMA_VERSION, 'kind': self.job.kind, 'tool': {'name': TOOL, 'version': VERSION},
            'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), 'source': self.job.source,
            'options': options(self.settings, self.job), 'status': status, 'raw_status': _raw_status(self.job, self.records),
            'consistency': self.job.consistency,
            'container': None, 'volume': None, 'orphan': None, 'image': None,
            'mounts': self._mounts(), 'components': self.records,
            'engine': self.job.engine, 'pod': self._pod(),
            'definition': texts.definition(self._definition) if self._definition is not None else None,
            'networks': dict((name, definitions.network_info(info)) for name, info in self.job.around.networks.items()) if self.job.around else {},
            'peers': self.job.around.peers if self.job.around else {},
            'problems': [dict(item._asdict()) for item in _unique(self.problems)[:MANIFEST_PROBLEMS]]}
        manifest[self.job.kind] = self.job.subject
        return manifest

    def _pod(self) -> Optional[Dict[str, Any]]:
        pod = self.job.container.pod if self.job.container is not None else None
        return {'id': pod.id, 'name': pod.name, 'namespace': pod.namespace, 'uid': pod.uid} if pod is not None else None

    def _changed(self, manifest: Dict[str, Any]) -> bool:
        """False if the bundle that is there says the same: a partial one was read again, with the same result."""
        before = self.bundle.before()
        same = [before.get(key) == manifest[key] for key in ('status', 'options', 'problems', 'consistency')]
        old = {name: item.get('sha256') for name, item in self.earlier.items()}
        return self.settings.force or not all(same) or old != {item['name']: item['sha256'] for item in self.records} or \
            not self.bundle.before_verified()

    def _aside(self) -> str:
        """Suffix under which the bundle that is replaced stays, if it was better than this one: a rescue must never
        replace good data by worse."""
        rank = (model.COMPLETE, model.PARTIAL, model.UNSUPPORTED, model.LOST)
        before = self.bundle.before()
        old = before.get('raw_status', before.get('status'))
        status = _raw_status(self.job, self.records)
        asked = DUMPS in self.settings.include      # else the data are newer, and a dump of the old ones is out of date
        lost = {item.get('name') for item in before.get('components', ()) if isinstance(item, dict)
                and item.get('status') == model.COMPLETE and (asked or item.get('kind') != 'dump')}
        lost -= {item['name'] for item in self.records if item['status'] == model.COMPLETE}
        if old in rank and (rank.index(old) < rank.index(status) or lost):
            return '.until-' + time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        return ''

    def _mounts(self) -> List[Dict[str, Any]]:
        by_volume = {record.get('volume'): record['file'] for record in self.records if record['kind'] == 'volume'}
        by_dest = {record.get('destination'): record['file'] for record in self.records if record['kind'] == 'bind'}
        found = []
        for mount in self.job.mounts:
            mount = dict(mount)
            mount['component'] = by_volume.get(mount['name']) if mount['type'] == 'volume' else \
                by_dest.get(mount['destination']) if mount['type'] == 'bind' else None
            found.append(mount)
        return found


class _Hashing(object):
    """A sink that also keeps the SHA-256 of what goes through; gathers small lines into larger writes."""

    def __init__(self, sink: 'Sink') -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self._pieces, self._held = [], 0
        self.bytes = 0

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._digest.update(data)
        self._sink.write(data)
        self.bytes += len(data)

    def gather(self, data: bytes) -> None:
        """Write DATA with those before it; flush() ends that."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held > 1 << 18:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self.write(b''.join(self._pieces))
        self._pieces, self._held = [], 0

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _noted(record: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The problems that a component's record of an earlier run has."""
    found = record.get('problems')
    return [note for note in found if isinstance(note, dict) and set(model.Problem._fields[:5]) <= set(note) <= set(model.Problem._fields) and all(
        isinstance(value, bool if name in ('loses_data', 'blocks_start') else str) for name, value in note.items())
    ] if isinstance(found, list) else []


def _taken(item: Any) -> model.Problem:
    """A problem whose next step was to rescue what this bundle has now."""
    if not codes.has(item.code, codes.DELETES):
        return item
    return item._replace(next_step='It is in this bundle now. Verify the bundle before the engine is started on this disk.')


def _status(job: Job, records: List[Dict[str, Any]]) -> str:
    """Of the whole bundle: complete only if every component is and the object itself was."""
    if job.status == model.UNSUPPORTED:
        return model.UNSUPPORTED
    own = [record['status'] for record in records]
    if job.status == model.LOST and not any(record['status'] != model.LOST and record['kind'] in (
            'writable', 'rootfs', 'volume', 'bind', 'paths', 'open-files') for record in records):
        return model.LOST
    return model.worst([job.status] + own) if job.status != model.LOST else model.PARTIAL


def _raw_status(job: Job, records: List[Dict[str, Any]]) -> str:
    """The same without what was made of the data, such as dumps: a dump that fails is no reason to keep an older bundle."""
    made = {item.kind for item in job.made}
    return _status(job, [record for record in records if record['kind'] not in made])


def _unique(items: Iterable[model.Problem]) -> List[model.Problem]:
    found = []
    seen = set()
    for item in items:
        if item not in seen:
            seen.add(item)
            found.append(item)
    return found


def _components(manifest: Dict[str, Any]) -> Dict[Any, Dict[str, Any]]:
    return {item.get('name'): item for item in manifest.get('components', ()) if isinstance(item, dict)}
