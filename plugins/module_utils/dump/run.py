"""Dumps of the databases of dead containers: which, whether it can be done here, one after another, each into a file with its checksum."""
import contextlib
import functools
import json
import os
import re
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..archive import compress, place
from ..archive.progress import human
from ..archive.sink import FileSink
from ..bundles import reading, source as sources, target as targets
from ..bundles.store import FolderStore
from ..disk import fsinfo, metadata, safeio
from ..disk.errors import LifeboatError
from ..disk.host import read_kernel
from ..engines import api
from ..formats import redact, wording
from ..records import model, selection
from ..records.codes import problem
from . import box, find, programs, registry, unpacked, view
from .room import Limits, Refused, Room
from .target import Kind, Target

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    from ..archive.sink import Sink

    class Files(Protocol):
        """Where the files of the dumps of one container go."""
        def sink(self, __name: str) -> Sink:
            ...

        def path(self, __name: str) -> bytes:
            """As people know it."""

SHARE = 1.2                             # of the data: recovery and the first reads touch most pages
RESERVE = 192 << 20                     # bytes of a view beside them: temporary files, write-ahead logs of its own
SCRATCH = b'/var/tmp'
COUNTS, NONE = 'counts', 'none'
FAILED = 'failed'
NOT_NAME = re.compile(r'[^A-Za-z0-9_.-]')
MAX_COUNTS = 20000                      # tables in a result
MAX_UNPACKED = 5                        # images of other bundles that are unpacked to be tried
NO_OTHER = 'no other image of the host has the same server for its data'
NONE_OTHER = 'another image is not used for this kind of database'
LAYERS_LOST = 'layers of the container are missing, so its programs are not there'
NEXT_STEPS = {
    'DUMP_BUNDLE_REFUSED': 'docker_bundle_info says what is wrong with a bundle. Rescue again, or copy it again.',
    'DUMP_FOREIGN_ARCH': 'Rescue the data and restore them on a host with that processor.',
    'DUMP_NO_BINARY': 'Rescue the data and start them with an image of the same version.',
    'DUMP_VERSION_MISMATCH': 'Rescue the data and start them with an image of their version.',
    'DUMP_NO_SPACE': 'Choose another scratch_dir, or raise scratch_size.',
    'DUMP_TIMEOUT': 'Raise timeout and run again, or rescue the data.',
    'DUMP_SERVER_FAILED': 'Read the log beside the dumps. The raw data are not touched; rescue them.',
    'DUMP_UNSAFE_HERE': 'Run as root (become: true) on a machine where new namespaces are allowed.',
    'DUMP_CONTAINER_RUNS': 'Dump it by its own tools while it runs, or stop it first.',
    'DUMP_LAYERS_LOST': 'Rescue the data and start them with an image of the same version.',
}


class Request(NamedTuple):
    """The module's options of the same names; paths are bytes."""
    dest: bytes
    host_name: Optional[str] = None
    containers: Tuple[str, ...] = ()
    databases: Tuple[str, ...] = ()     # kinds of databases; () or ('all',): every one
    compression: str = 'auto'
    scratch_dir: Optional[bytes] = None
    scratch_size: int = 0               # 0: what the data need
    timeout: float = 3600
    memory: int = 2 << 30
    verify: str = COUNTS
    check_mode: bool = False
    path: bytes = b''                   # from: bundle: a bundle, or a folder of bundles


def dump_bundles(request: Request) -> Dict[str, Any]:
    """dump() of the containers in the bundles at request.path; each is verified, and unpacked into scratch_dir while it is worked on.
    LifeboatError where nothing can be done at all."""
    codec = _codec(request)
    problems: List[model.Problem] = []
    dumps: List[Dict[str, Any]] = []
    number, seen, done = 0, {}, set()
    paths = reading.find_bundles(request.path)
    for path in paths:
        if fsinfo.lies_inside(request.dest, path):
            raise LifeboatError('dest %s lies inside the bundle %s, which must stay as it is' % (wording.text(request.dest), wording.text(path)))
        code, why = 'DUMP_BUNDLE_REFUSED', ''
        try:
            source = sources.read(path, None, seen)
            if source.kind != 'container' or request.containers and not any(
                    selection.matches(each, source.id, source.name) for each in request.containers):
                continue
            number += 1
            others = functools.partial(_other_images, paths, source, seen)
            with unpacked.opened(source, request.scratch_dir or SCRATCH, others) as (host, record):
                folder = _host_folder(request, path)
                if (folder, _folder_name(record)) in done:
                    raise LifeboatError('another bundle of the same container was dumped before it; give the path of one bundle')
                done.add((folder, _folder_name(record)))
                found, more = find.among([(host.roots[0], record)], (), request.databases)
                problems += more
                dumps += _of_host(host, request, codec, folder, found, problems, unpacked.lacking(source))
            continue
        except Refused as exc:
            code, why = exc.code, str(exc)
        except LifeboatError as exc:
            why = str(exc)
        except OSError as exc:
            why = metadata.describe(exc)
        problems.append(problem(code, wording.show(os.path.basename(path)), 'No dump out of the bundle %s: %s.' % (
            wording.show(os.path.basename(path)), why.rstrip('.')), NEXT_STEPS[code]))
    if not dumps:
        raise LifeboatError('; '.join([item.message for item in problems[:3]]) or 'No database that can be dumped was found in %s of containers'
                            % wording.number(number, 'bundle'))
    return _result(dumps, problems)


def _other_images(paths: List[bytes], own: sources.Source, seen: Dict[Tuple[int, int, int, int], str]) -> Iterator[sources.Source]:
    """Other bundles of the same host out of PATHS that have an image, verified, the likeliest first; each image once. SEEN: see sources.read()."""
    found = []
    for path in paths:
        if path != own.info.path and os.path.dirname(path) == os.path.dirname(own.info.path):
            info = reading.inspect_bundle(path, False)
            source = sources.of_info(info) if not info.differences else None
            if source is not None and source.kind == 'container' and (source.of('image') or source.of('rootfs')):
                found.append(source)
    called = programs.repository(own.definition.image)
    found.sort(key=lambda source: programs.repository(source.definition.image) != called)
    images = {source.image_digest or source.id: source for source in reversed(found)}
    for source in sorted(images.values(), key=found.index)[:MAX_UNPACKED]:
        try:
            yield sources.read(source.info.path, None, seen)
        except LifeboatError:           # it is told when its own turn comes
            continue


def dump(host: Any, request: Request) -> Dict[str, Any]:
    """Dump what REQUEST asks for -> the module's result: `changed`, `dumps`, `problems`. Trouble with single databases is in the result.
    LifeboatError where nothing can be done at all."""
    targets.refuse_inside(host, request.dest)
    codec = _codec(request)
    problems = list(host.problems) + targets.look(host, request.dest)
    found, more, number = find.find(host, request.containers, request.databases)
    problems += more
    if not found:
        refused = [item.message for item in more if item.code == 'DUMP_UNSUPPORTED']
        raise LifeboatError(' '.join(refused[:3]) or 'No database that can be dumped was found in %s. lifeboat look and docker_layer_facts '
                            'with gather_subset: [databases] list what there is' % wording.number(number, 'container'))
    return _result(_of_host(host, request, codec, targets.host_folder(host.root, request.host_name), found, problems), problems)


def _host_folder(request: Request, bundle: bytes) -> bytes:
    """The folder in dest: of the name that was given, or that the folder of the bundle's host has."""
    return targets.folder_name(request.host_name or os.path.basename(os.path.dirname(bundle)).decode('utf-8', 'replace'))


def _codec(request: Request) -> compress.Codec:
    """How the dumps are compressed. LifeboatError for options that cannot be meant."""
    unknown = sorted(set(request.databases) - set(registry.KINDS) - set(registry.REFUSED) - {'all'})
    if unknown:
        raise LifeboatError('databases has no "%s"; it has: %s.' % (wording.show(unknown[0]), ', '.join(sorted(registry.KINDS))))
    return compress.pick(request.compression)


def _result(dumps: List[Dict[str, Any]], problems: List[model.Problem]) -> Dict[str, Any]:
    return {'changed': any(item['status'] in (model.COMPLETE, model.PARTIAL) for item in dumps), 'dumps': dumps,
            'problems': [item._asdict() for item in problems]}


def _of_host(host: Any, request: Request, codec: compress.Codec, folder: bytes, found: List[find.Database], problems: List[model.Problem],
             lacking: Sequence[str] = ()) -> List[Dict[str, Any]]:
    """Dump the databases FOUND into dest/FOLDER -> their entries of `dumps`. LACKING: sentences on data that were not whole before."""
    numbers: Dict[Tuple[str, str], int] = {}
    dumps = []
    with contextlib.closing(FolderStore(request.dest, folder)) as store:
        if not request.check_mode:
            store.prepare()
            store.lock()
        for database in found:
            key = (database.container.id, database.engine)
            numbers[key] = numbers.get(key, 0) + 1
            dumps.append(one(host, request, codec, _FolderFiles(store, _folder_name(database.container)), database, numbers[key], problems))
            dumps[-1]['missing'] += lacking
            if lacking and dumps[-1]['status'] == model.COMPLETE:
                dumps[-1]['status'] = model.PARTIAL
        _list(store, dumps, request)
    return dumps


def one(host: Any, request: Request, codec: compress.Codec, files: 'Files', database: find.Database, number: int,
        problems: List[model.Problem]) -> Dict[str, Any]:
    """The entry of `dumps` of one database; what went wrong is added to PROBLEMS. NUMBER: of those of its kind in the container. Nothing
    of REQUEST counts that says where dumps go. Raises SinkError, CompressError."""
    container, kind = database.container, registry.KINDS[database.engine]
    name = container.name or container.id[:12]
    entry: Dict[str, Any] = dict(
        container=wording.show(name), container_id=container.id, engine=database.engine, version=wording.show(database.version),
        data_path=wording.show(database.path), status=FAILED, file=None, bytes=0, sha256=None, counts={}, marks=[], missing=[], seconds=0.0, log='')
    label = '%s at %s in %s' % (database.engine, database.path, name)

    def refuse(code: str, why: str) -> Dict[str, Any]:
        entry['status'] = model.UNSUPPORTED if code not in ('DUMP_SERVER_FAILED', 'DUMP_TIMEOUT') else FAILED
        entry['missing'] = [wording.show(why)]
        problems.append(problem(code, name, 'No dump of %s: %s.' % (label, why.rstrip('.')), NEXT_STEPS[code]))
        return entry
    reason = _reason(database)
    if reason is not None:
        return refuse(*reason)
    try:
        offers = programs.of(host, database, kind)
    except Refused as exc:
        return refuse(exc.code, str(exc))
    if not offers:
        why = getattr(database.root, 'why_lost', '') or LAYERS_LOST
        return refuse('DUMP_LAYERS_LOST', '%s; %s' % (why, NO_OTHER if kind.other_image else NONE_OTHER))
    if not any(not offer.layers or programs.usable(offer.layers) for offer in offers):
        return refuse('DUMP_UNSAFE_HERE', 'the kernel cannot show layers of this storage driver (%s)' % ', '.join(
            sorted({layer.encoding for layer in offers[0].layers})))
    try:
        scratch = _scratch(host, request, database, kind)
    except LifeboatError as exc:
        return refuse('DUMP_NO_SPACE', str(exc))
    if request.check_mode:
        entry.update(status=model.COMPLETE, marks=['would be dumped in a view of %s in %s' % (
            human(scratch.size), 'memory' if scratch.in_memory else wording.text(scratch.folder))] + (
                [reading.OTHER_IMAGE + 'one of %s of the host, if it has the same server' % wording.number(len(offers), 'image')] if offers[0].image else []))
        return entry
    stem = '%s-%d' % (database.engine, number)
    try:
        code, ended = _each_image(request, database, kind, offers, scratch, _Place(codec, files, stem), entry)
    except Refused as exc:
        return refuse(exc.code, str(exc))
    _log(files, stem, ended.log)
    if code is not None:
        return refuse(code, str(ended.result.get('error')))
    if entry['missing']:
        problems.append(problem('DUMP_PARTIAL', name, 'The dump of %s is not whole: %s.' % (label, '; '.join(entry['missing'][:3])),
                                'The raw data hold the rest; rescue them too.'))
    return entry


def _reason(database: find.Database) -> Optional[Tuple[str, str]]:
    """(code, why) that forbids a dump, or None."""
    container = database.container
    if os.geteuid() != 0 and not getattr(database.root, 'is_copy', False):
        return 'DUMP_UNSAFE_HERE', 'only root can make the copy-on-write view of another\'s files'
    pid = database.root.alive(container)
    if pid is not None:
        return 'DUMP_CONTAINER_RUNS', 'the container runs (process %d)' % pid
    if database.root.liveness.state == api.RUNNING and container.state.get('running'):
        return 'DUMP_CONTAINER_RUNS', 'the engine runs and says that the container does'
    return None


class _Scratch(NamedTuple):
    """Where what recovery changes goes."""
    folder: bytes
    size: int
    in_memory: bool


def _scratch(host: Any, request: Request, database: find.Database, kind: Kind) -> _Scratch:
    """That of the view of a database. LifeboatError where there is no room."""
    size = int(database.bytes * (SHARE + kind.extra)) + RESERVE
    if request.scratch_size:
        if request.scratch_size < database.bytes:
            raise LifeboatError('it needs %s, and scratch_size is %s' % (human(size), human(request.scratch_size)))
        size = min(size, request.scratch_size)
    folder = request.scratch_dir
    if os.geteuid() != 0:
        if size > _available() // 2:
            raise LifeboatError('it needs %s; an ordinary user has the view in memory, and that is more than half of what is free' % human(size))
        return _Scratch(folder or SCRATCH, size, True)
    if folder is None:
        if size <= _available() // 2:
            return _Scratch(SCRATCH, size, True)
        folder = SCRATCH
        if any(fsinfo.same_file_system(folder, source) for root in host.roots for source in root.places()):
            raise LifeboatError('it needs %s; that is more than half of the free memory, and %s is on the disk of the data' % (
                human(size), wording.text(folder)))
    for root in host.roots:
        for source in root.places():
            if fsinfo.lies_inside(folder, source):
                raise LifeboatError('scratch_dir %s lies inside %s, which must not be written' % (wording.text(folder), wording.text(source)))
    free = fsinfo.free(folder).bytes
    if free < size:
        raise LifeboatError('it needs %s, and %s has %s' % (human(size), wording.text(folder), human(free)))
    return _Scratch(folder, size, False)


def _available() -> int:
    """Bytes of memory that can be had without swapping; 0 where the kernel does not tell."""
    found = re.search(br'^MemAvailable: +(\d+) kB', read_kernel('/proc/meminfo'), re.M)
    return int(found.group(1)) * 1024 if found else 0


class _Place(NamedTuple):
    """Where the files of one database go; `stem`: how their names begin."""
    codec: compress.Codec
    files: 'Files'
    stem: str


def _each_image(request: Request, database: find.Database, kind: Kind, offers: List[programs.Programs], scratch: _Scratch, place: _Place,
                entry: Dict[str, Any]) -> Tuple[Optional[str], box.Ended]:
    """_tries() with each of OFFERS until one fits -> (code of what went wrong, or None, how the last one ended). Raises Refused."""
    for offer in offers:
        code, ended = _tries(request, database, kind, offer, scratch, place, entry)
        if offer.image and code in programs.UNFIT:
            continue
        if code not in (None, 'DUMP_SERVER_FAILED', 'DUMP_TIMEOUT'):
            raise Refused(code, str(ended.result.get('error')))
        if offer.image:
            entry['marks'].append(reading.OTHER_IMAGE + wording.show(offer.image))
        if code is None and offer.lacking:
            entry['missing'] += offer.lacking
            entry['status'] = model.PARTIAL
        return code, ended
    raise Refused('DUMP_LAYERS_LOST', '%s; %s (%d were tried)' % (getattr(database.root, 'why_lost', '') or LAYERS_LOST, NO_OTHER, len(offers)))


def _tries(request: Request, database: find.Database, kind: Kind, offer: programs.Programs, scratch: _Scratch, place: _Place,
           entry: Dict[str, Any]) -> Tuple[Optional[str], box.Ended]:
    """Each attempt that the KIND has, until one is no failure of the server -> (code, how it ended)."""
    for attempt in range(kind.attempts):
        writer = _Writer(place.codec, place.files, place.stem + kind.suffix)
        try:
            ended = _attempt(request, database, kind, attempt, offer, scratch, writer.take)
            code = ended.result.get('code')
            if code == '':
                raise RuntimeError(ended.result.get('error'))
            if code is None:
                _keep(entry, request, writer, ended)
        finally:
            writer.abort()
        entry.update(seconds=round(entry['seconds'] + ended.seconds, 1), log=wording.show(redact.text(wording.text(ended.log))[-2000:]))
        if code not in ('DUMP_SERVER_FAILED', 'DUMP_TIMEOUT'):
            break
    return code, ended


def _attempt(request: Request, database: find.Database, kind: Kind, attempt: int, offer: programs.Programs, scratch: _Scratch,
             deliver: Callable[[bytes], None]) -> box.Ended:
    """One try in a fresh view -> box.Ended."""
    works = [tempfile.mkdtemp(prefix=b'.lifeboat-dump-', dir=scratch.folder) for dummy in range(1 if offer.layers else 2)]
    try:
        for work in works:
            os.chmod(work, 0o711)       # programs of the image run as other users
        # with no image an empty folder is what the view is made of
        layers = offer.layers or (model.Layer(works[1], model.OVERLAY),)
        paths = tuple(layer.path for layer in layers if layer.path is not None)
        scene = view.Scene(paths[:1] if layers[0].encoding == model.PLAIN else paths, offer.places + tuple(_places(database.container)), works[0],
                           scratch.size, scratch.in_memory, layers[0].encoding == model.OVERLAY_USER, os.geteuid() != 0,
                           layers[0].encoding in programs.BY_NAME)
        asked = Target(database.engine, os.fsencode(database.path), database.version, offer.environment, attempt, request.verify == COUNTS,
                       bool(offer.image))
        return box.run(scene, functools.partial(_work, kind.dump, asked), Limits(request.timeout, request.memory, file=scratch.size), deliver)
    finally:
        for work in works:
            shutil.rmtree(work, ignore_errors=True)


def _work(function: Callable[[Room, Target], Dict[str, Any]], asked: Target, room: Room) -> Dict[str, Any]:
    """In the view: the path of the database is resolved in it, so that a driver never follows a link of the image by chance."""
    return function(room, asked._replace(path=view.resolve(b'/', asked.path)))


def _places(container: model.Container) -> Iterator[view.Place]:
    for mount in container.mounts:
        if mount.type in ('volume', 'bind', 'tmpfs'):
            yield view.Place(os.fsencode(mount.destination), mount.path if mount.type != 'tmpfs' and safeio.kind(mount.path) else None)


class _Writer(object):
    """The file of a dump; it is begun with the first byte, so no thread of ours is there when processes are forked."""

    def __init__(self, codec: compress.Codec, files: 'Files', name: str) -> None:
        self._codec, self._files = codec, files
        self._name = name + codec.suffix
        self.path = files.path(self._name)
        self._out: Optional[compress.Compressor] = None

    def take(self, data: bytes) -> None:
        if self._out is None:
            self._out = compress.Compressor(self._codec, self._files.sink(self._name))
        self._out.write(data)

    def close(self) -> compress.Written:
        """compress.Written. LifeboatError if nothing came."""
        if self._out is None:
            raise LifeboatError('the dump is empty')
        written, self._out = self._out.close(), None
        return written

    def abort(self) -> None:
        if self._out is not None:
            self._out.abort()
            self._out = None


def _keep(entry: Dict[str, Any], request: Request, writer: _Writer, ended: box.Ended) -> None:
    """The dump is whole, or as whole as it can be: give it its name, and fill the entry."""
    written = writer.close()
    result = ended.result
    counts = sorted((wording.show(str(name)), count) for name, count in (result.get('counts') or {}).items())
    entry.update(
        version=wording.show(str(result.get('version') or entry['version'])), file=wording.text(writer.path),
        bytes=written.bytes, sha256=written.sha256, counts=dict(counts[:MAX_COUNTS]) if request.verify == COUNTS else {},
        marks=[wording.show(str(mark)) for mark in result.get('marks', ())], missing=[wording.show(str(each)) for each in result.get('partial', ())],
        status=model.PARTIAL if result.get('partial') else model.COMPLETE)


def _folder_name(container: model.Container) -> bytes:
    name = NOT_NAME.sub('-', container.name or 'unknown').strip('.-')[:180] or 'unknown'
    return os.fsencode('%s-%s.dumps' % (name, container.id[:12]))


class _FolderFiles(object):
    """Files in a folder of a store; it is made with the first one."""

    def __init__(self, store: FolderStore, folder: bytes) -> None:
        self._store, self._folder = store, folder

    def sink(self, name: str) -> FileSink:
        with _place(self._store, self._folder) as fd:
            return FileSink(fd, os.fsencode(name), shown=os.path.join(self._store.path, self._folder))

    def path(self, name: str) -> bytes:
        return os.path.join(self._store.path, self._folder, os.fsencode(name))


@contextlib.contextmanager
def _place(store: FolderStore, folder: bytes) -> Iterator[int]:
    above = store.folder(True)
    fd = place.subfolder(above, folder) if above is not None else None
    if fd is None:
        raise LifeboatError('The folder %s cannot be made' % wording.text(folder))
    try:
        yield fd
    finally:
        os.close(fd)


def _log(files: 'Files', stem: str, log: bytes) -> None:
    with files.sink(stem + '.log') as out:
        out.write(redact.text(wording.text(log)).encode('utf-8', 'surrogateescape'))


def _list(store: FolderStore, dumps: List[Dict[str, Any]], request: Request) -> None:
    """dumps.json beside the files of each container: what was dumped, with checksums."""
    if request.check_mode:
        return
    table: Dict[bytes, List[Dict[str, Any]]] = {}
    for item in dumps:
        if item['file']:
            table.setdefault(os.path.basename(os.path.dirname(os.fsencode(item['file']))), []).append(item)
    for folder, items in table.items():
        try:
            with _place(store, folder) as fd, FileSink(fd, b'dumps.json') as out:
                out.write(json.dumps(items, indent=2, sort_keys=True).encode('utf-8') + b'\n')
        except OSError as exc:
            raise LifeboatError('dumps.json in %s cannot be written: %s' % (wording.text(folder), metadata.describe(exc)))
