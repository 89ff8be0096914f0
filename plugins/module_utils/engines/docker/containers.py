"""A container from its records: one function a fact, each with its fallback chain."""
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata, safeio
from ...layers import privileges
from ...records import model
from ...records.codes import problem
from ..shared import hostjournal
from ..shared.containerd import snapshotters
from ..shared.lazyrecords import LazyDefinition, LazyRecords
from . import driver_table, likely, mounts
from .configs import Configs
from .drivers.common import CACHE_ID
from .stores import Stores

if TYPE_CHECKING:
    from .graphdriver import Graphdriver

NEVER = '0001-01-01T00:00:00Z'
ROTATED = re.compile(rb'(\.\d+)?(\.gz)?\Z')
MOST_ROTATED = 1000                     # numbers of rotated log files that are looked at for gaps
LOCAL_LOG = re.compile(rb'container\.log(\.\d+)?(\.gz)?\Z')
# what config/ of a bundle gets: the records as they are, and the small files beside them
RECORDS = (b'config.v2.json', b'hostconfig.json', b'config.json', b'hostname', b'hosts', b'resolv.conf')
OWN_FILES = ((b'resolv.conf', 'ResolvConfPath', b'/etc/resolv.conf'), (b'hostname', 'HostnamePath', b'/etc/hostname'),
             (b'hosts', 'HostsPath', b'/etc/hosts'))
CACHED_LOG = re.compile(rb'container-cached\.log(\.\d+)?(\.gz)?\Z')


class Readers(NamedTuple):
    """What a container is read with: parts of one data root, none of which knows the root."""
    host: Any                           # disk.host.HostRoot
    path: bytes                         # the data root on the managed node
    configs: Configs
    stores: Stores
    volumes: Callable[[], Dict[str, model.Volume]]
    idmap: Any                          # layers.idmap.IdMap or None
    blind: bool                         # see privileges.hidden_marks


def read(readers: Readers, ident: str) -> model.Container:
    """model.Container of one folder below containers/. Its records are kept in `readers.configs`. Never raises for damage."""
    problems, sources = [], {}
    stores = readers.stores
    folder, names = _open(readers.configs, ident, problems)
    spec = _Once(lambda: stores.spec(ident))
    config = _config(folder, names, ident, spec, problems, sources)
    hostconfig = _hostconfig(folder, names, ident, problems, bool(config) and 'config' not in sources)
    name = metadata.text_of(config, 'Name').lstrip('/') or None
    if name is None:
        problems.append(problem('NAME_UNKNOWN', ident, 'The name of container %s is lost.' % ident[:12], _hints(
            folder, ident)))
    readers.configs.keep(ident, config, 'config' not in sources)
    store, driver = _driver(stores, ident, config, sources)
    image_id = metadata.text_of(config, 'Image') or None
    points, sources['mounts'] = mounts.mount_points(config, hostconfig, spec() if not config.get('MountPoints') and
                                                    'config' in sources else None)
    created = metadata.text_of(config, 'Created') or None
    log = _log(folder, names, ident, hostconfig, problems, bool(_state(config)['started_at']), lambda driver: _journal(readers, ident, config, driver))
    if store == 'graphdriver' and image_id is None:
        image_id = _image_from_layers(stores, driver, ident)
        if image_id:
            sources['image'] = 'layerdb parent'
    found = _resolve(stores, ident, store, driver, image_id, created, points, log, spec)
    sources.update(found.sources)
    problems.extend(found.problems)
    problems.extend(privileges.hidden_marks(readers.path, readers.blind, found.stack))
    if store == 'graphdriver' and driver in stores.graphdrivers and image_id:
        problems.extend(stores.graphdrivers[driver].images.config_problems(image_id))
    mounted, notes = mounts.mounts(points, readers.volumes(), readers.host, readers.configs.recorded_path(), readers.path,
                                   readers.configs.writable_places, stores.has_image)
    problems.extend(notes)
    state = _state(config)
    problems[:0] = _removals(ident, name, hostconfig, state)
    reference = _reference(stores, config, store, driver, image_id)
    place = folder.path() if folder is not None else os.path.join(readers.path, b'containers', ident.encode('ascii'))
    if folder is not None:
        folder.close()
    definition = _definition(config, hostconfig, {
        'id': ident, 'name': name or '', 'damaged': any(item.code in DAMAGED for item in problems), 'mounts': mounted})
    return model.Container(
        ident, name, created, image_id, reference, metadata.strings_of(config, 'Config', 'Labels'), state, readers.path,
        place, store, driver, _status(found, mounted, problems, state), tuple(problems), found.stack, mounted, log, definition,
        Records(place), sources, readers.idmap, tuple((inside, os.path.join(place, name)) for name, key, inside in OWN_FILES if config.get(key)))


def _definition(config: Dict[str, Any], hostconfig: Dict[str, Any], known: Dict[str, Any]) -> LazyDefinition:
    """The Definition of the two records. KNOWN: fields of which more is known than they tell."""
    def whole() -> Any:
        from .definition import define
        made = define(config, hostconfig)
        return made._replace(**dict(known, mounts=known['mounts'] or made.mounts))

    def part() -> Dict[str, Any]:
        from .definition import few
        return few(config, hostconfig)
    return LazyDefinition(whole, part)


class Records(LazyRecords):
    """{name: bytes} of the files in a container's folder."""
    def __init__(self, folder: bytes) -> None:
        self._folder = folder

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        try:
            with safeio.Dir.root(self._folder) as folder:
                for name in RECORDS:
                    try:
                        yield name.decode(), folder.read(name)
                    except OSError:
                        continue
        except OSError:                 # no folder at all
            pass


def _open(configs: Configs, ident: str, problems: List[model.Problem]) -> Tuple[Optional[safeio.Dir], List[bytes]]:
    """(open folder or None, names in it) of a container."""
    try:
        folder = configs.folder(ident)
        return folder, folder.names()
    except OSError as exc:
        problems.append(problem('CONFIG_DAMAGED', ident, 'containers/%s: %s.' % (ident, metadata.describe(exc)), ''))
        return None, []


class _Once(object):
    """A costly source that is asked only if another one fails."""
    __slots__ = ('_make', '_value')

    def __init__(self, make: Callable[[], Optional[Dict[str, Any]]]) -> None:
        self._make: Optional[Callable[[], Optional[Dict[str, Any]]]] = make
        self._value: Optional[Dict[str, Any]] = None

    def __call__(self) -> Optional[Dict[str, Any]]:
        if self._make is not None:
            self._value, self._make = self._make(), None
        return self._value


def _config(folder: Optional[safeio.Dir], names: List[bytes], ident: str, spec: _Once, problems: List[model.Problem],
            sources: Dict[str, str]) -> Dict[str, Any]:
    """config.v2.json; the temporary file of an interrupted write; config.json of Docker before 1.10; the runtime spec that
    containerd kept of a running container; whole top-level pairs of a cut file."""
    if folder is None:
        return _from_spec(spec(), ident, sources)

    def accept(value: Dict[str, Any]) -> str:
        found = value.get('ID')
        if found == ident:
            return ''
        return 'carries the ID of another container (%s)' % str(found)[:12] if found else 'has no ID'

    found = metadata.read_record(folder, b'config.v2.json', names, accept)
    if found.value is not None:
        if found.damage:
            sources['config'] = found.source
            problems.append(problem('CONFIG_FROM_TEMP', ident, 'config.v2.json of %s: %s; its newest complete content was '
                                    'in %s.' % (ident[:12], found.damage, found.source), ''))
        return found.value
    code = 'CONFIG_MISMATCH' if 'another container' in found.damage else 'CONFIG_DAMAGED'
    old = metadata.read_record(folder, b'config.json', names, accept)
    if old.value is not None:
        sources['config'] = 'config.json'
        if found.damage != 'missing':
            problems.append(problem(code, ident, 'config.v2.json of %s: %s; the older config.json was used.' % (
                ident[:12], found.damage), ''))
        return old.value
    value = _from_spec(spec(), ident, sources)
    if not value and found.raw:
        from ...formats import jsonish
        value = jsonish.salvage(found.raw)
        if value.get('ID') not in (ident, None):
            value = {}
        if value:
            sources['config'] = 'what could be read of config.v2.json'
    sources.setdefault('config', 'none')
    problems.append(problem(code, ident, 'config.v2.json of container %s: %s. Used instead: %s.' % (
        ident[:12], found.damage, sources['config']), 'Compare with your compose file or docker run line.'))
    return value


def _from_spec(spec: Optional[Dict[str, Any]], ident: str, sources: Dict[str, str]) -> Dict[str, Any]:
    """The part of config.v2.json that an OCI runtime spec tells."""
    if not spec:
        return {}
    sources['config'] = 'containerd spec'
    process = metadata.dict_of(spec, 'process')
    env = [item for item in metadata.list_of(process, 'env') if isinstance(item, str)]
    argv = [item for item in metadata.list_of(process, 'args') if isinstance(item, str)]
    labels = metadata.strings_of(spec, 'annotations')
    return {'ID': ident, 'Path': argv[0] if argv else '', 'Args': argv[1:], 'Config': {
        'Hostname': metadata.text_of(spec, 'hostname'), 'Env': env, 'Cmd': argv, 'Labels': labels,
        'WorkingDir': metadata.text_of(process, 'cwd')}, 'State': {'Running': True, 'StartedAt': 'unknown'}}


def _hostconfig(folder: Optional[safeio.Dir], names: List[bytes], ident: str, problems: List[model.Problem], whole: bool) -> Dict[str, Any]:
    """hostconfig.json. Docker starts a container without one, with an empty one: what it had been asked for is lost all the same. WHOLE: the
    other record is there, which is written first; without it that problem says it all."""
    if folder is None:
        return {}
    found = metadata.read_record(folder, b'hostconfig.json', names)
    if found.value is None and found.damage != 'missing':
        problems.append(problem('HOSTCONFIG_DAMAGED', ident, 'hostconfig.json of container %s: %s.' % (
            ident[:12], found.damage), 'Ports, limits, restart policy and log options must be set by hand.'))
    elif found.value is None and whole:
        problems.append(problem('HOSTCONFIG_DAMAGED', ident, 'hostconfig.json of container %s is missing; Docker would start it with '
                                'defaults.' % ident[:12], 'Ports, limits, restart policy and log options must be set by hand.')._replace(blocks_start=False))
    elif found.damage and found.value is not None:
        problems.append(problem('CONFIG_FROM_TEMP', ident, 'hostconfig.json of %s: %s; its newest complete content was in %s.'
                                % (ident[:12], found.damage, found.source), ''))
    return found.value or {}


def _hints(folder: Optional[safeio.Dir], ident: str) -> str:
    hints = []
    hostname = metadata.read_text(folder, b'hostname') if folder is not None else ''
    if hostname and hostname != ident[:12]:
        hints.append('its hostname was %s' % hostname)
    return 'It is listed by its ID%s; names may still stand in the system log and in compose files.' % (
        ' (' + ', '.join(hints) + ')' if hints else '')


def _removals(ident: str, name: Optional[str], hostconfig: Dict[str, Any], state: Dict[str, Any]) -> Iterator[model.Problem]:
    """Yield a problem if the next start of dockerd deletes the container, or if that was going on."""
    if state['dead'] or state['status'] == 'removing':
        yield problem('REMOVAL_INTERRUPTED', name or ident, 'Container %s was being removed when the daemon '
                      'died; parts of it may be gone.' % (name or ident[:12]),
                      'Rescue it before anybody runs docker rm or docker container prune: a start of dockerd alone removes nothing '
                      'more of it, and cannot start it.')
    if metadata.get(hostconfig, 'AutoRemove') is True:
        yield problem('REMOVED_AT_NEXT_START', name or ident, 'Container %s was started with --rm: the next '
                      'start of dockerd deletes it. Its anonymous volumes stay, but the next prune deletes them.'
                      % (name or ident[:12]), 'Rescue it before dockerd is started on this disk.')


def _reference(stores: Stores, config: Dict[str, Any], store: str, driver: Optional[str], image_id: Optional[str]) -> Optional[str]:
    """The image's name: as the user gave it, or one that it has now where only its id was given."""
    reference = metadata.text_of(config, 'Config', 'Image') or None
    if reference is None or reference == image_id:
        known = stores.references(store, driver, image_id)
        return known[0] if known else reference
    return reference


def _driver(stores: Stores, ident: str, config: Dict[str, Any], sources: Dict[str, str]) -> Tuple[str, Optional[str]]:
    """(store, driver). btrfs and zfs are names of both a storage driver and a snapshotter, so what exists decides."""
    recorded = metadata.text_of(config, 'Driver')
    if recorded:
        if metadata.dict_of(config, 'ImageManifest'):
            return 'containerd', recorded
        if recorded in stores.graphdrivers:
            return 'graphdriver', recorded
        if recorded in stores.snapshotters_with(ident) or recorded in snapshotters.TABLE and driver_table.driver(recorded) is None:
            return 'containerd', recorded
        return 'graphdriver', recorded
    for name, driver in sorted(stores.graphdrivers.items()):
        if driver.layerdb.mount(ident).exists or driver.present(driver.driver.writable(ident.encode()), ident.encode()):
            sources['driver'] = 'layerdb'
            return 'graphdriver', name
    for snapshotter in stores.snapshotters_with(ident):
        sources['driver'] = 'containerd'
        return 'containerd', snapshotter
    only = sorted(stores.graphdrivers)
    return ('graphdriver', only[0]) if only else ('containerd' if stores.containerd else 'graphdriver', None)


def _image_from_layers(stores: Stores, driver: Optional[str], ident: str) -> Optional[str]:
    """The one image whose chain is the container's parent, when its config does not tell."""
    graph = stores.graphdrivers.get(driver or '')
    if graph is None:
        return None
    return graph.images.with_top(graph.layerdb.mount(ident).parent)


def _resolve(stores: Stores, ident: str, store: str, driver: Optional[str], image_id: Optional[str], created: Optional[str],
             points: Dict[str, Dict[str, Any]], log: model.Log, spec: _Once) -> model.Resolution:
    if store == 'containerd':
        return stores.resolve_snapshot(ident, driver)
    graph = stores.graphdrivers.get(driver or '')
    if graph is None:
        return model.Resolution(None, model.LOST, (problem(
            'WRITABLE_LAYER_LOST', ident, 'This data root has nothing of the storage driver %s.' % (driver or 'unknown'),
            'The driver\'s folder may be a file system of its own that is not mounted.'),), {})
    found = graph.resolve(ident, image_id)
    if found.stack is not None or found.status != model.LOST or graph.encoding is None:
        return found
    hint = _spec_hint(spec(), graph)
    if hint is None:
        chain = likely.cache_ids(graph, image_id)
        fits = likely.best(graph, stores.claimed(graph.name), created, points, chain, likely.log_time(log))
        if fits is None:
            return found
        hint = (fits[0], 'likely: ' + ', '.join(fits[1]))
    again = graph.resolve(ident, image_id, hint)
    if hint[1].startswith('likely'):
        note = problem('WRITABLE_LAYER_LIKELY', ident, 'The record of the writable layer of %s is lost; %s fits: %s.' % (
            ident[:12], hint[0].decode('ascii'), hint[1][8:]), 'Compare its content with what you expect before you use it.')
        return again._replace(status=model.PARTIAL if again.status == model.COMPLETE else again.status,
                              problems=(note,) + again.problems)
    return again


def _spec_hint(spec: Any, graph: 'Graphdriver') -> Optional[Tuple[bytes, str]]:
    """The mount id in the root path of the runtime spec (…/overlay2/<id>/merged)."""
    path = metadata.text_of(spec, 'root', 'path').encode()
    found = re.search(rb'/' + re.escape(graph.driver.FOLDER) + rb'/(?:[a-z]+/)?([0-9a-z]+)(?:/|\Z)', path)
    return (found.group(1), 'containerd spec') if found and CACHE_ID.match(found.group(1)) else None


def _log(folder: Optional[safeio.Dir], names: List[bytes], ident: str, hostconfig: Dict[str, Any], problems: List[model.Problem],
         started: bool, journal: Callable[[str], Tuple[Optional[model.Log], List[model.Problem]]]) -> model.Log:
    """The log files of a container, by what is there; the driver as recorded. STARTED: it ever ran. JOURNAL(driver) looks in the journal of the host."""
    driver = metadata.text_of(hostconfig, 'LogConfig', 'Type')
    options = metadata.strings_of(hostconfig, 'LogConfig', 'Config')
    files = []                          # (path, bytes)
    if folder is not None:
        base = ident.encode('ascii') + b'-json.log'
        files = _ordered(folder, [name for name in names if name == base or (
            name.startswith(base) and ROTATED.match(name, len(base)))])
        if not files and b'local-logs' in names:
            try:
                inner = folder.child(b'local-logs')
                files = _ordered(inner, [name for name in inner.names() if LOCAL_LOG.match(name)])
                driver = driver or ('local' if files else '')
            except OSError:
                pass
        if not files:
            files = _ordered(folder, [name for name in names if CACHED_LOG.match(name)])
    if not files and driver in ('journald', ''):
        found, notes = journal(driver)
        problems.extend(notes)
        if found is not None:
            return found
    driver = driver or 'json-file'
    if not files and driver not in ('json-file', 'local', 'none', 'journald'):
        problems.append(problem('LOG_NOT_ON_DISK', ident, 'The logs of %s went to %s, not into the data root.' % (
            ident[:12], driver), 'Look in the %s server.' % driver))
    problems.extend(_log_gaps(ident, driver, [path for path, dummy in files], started))
    first = os.path.basename(files[0][0]) if files else b''
    form = 'local' if LOCAL_LOG.match(first) or CACHED_LOG.match(first) else 'json'
    return model.Log(driver, tuple(path for path, dummy in files), sum(size for dummy, size in files), options.get('max-size'), form)


def _log_gaps(ident: str, driver: str, files: List[bytes], started: bool) -> Iterator[model.Problem]:
    """What is missing of the log FILES (paths, oldest first) of a container that ran: all, or some between others. dockerd makes the file at each
    start, and rotates without a gap; it says nothing of either."""
    if not files and started and driver in ('json-file', 'local'):
        yield problem('LOG_DAMAGED', ident, 'There is no log file of %s, although it ran: it was removed, or is lost.' % ident[:12], '')
    there = {_number(os.path.basename(path)) for path in files}
    gaps = [str(number) for number in range(1, min(max(there, default=0), MOST_ROTATED)) if number not in there]
    if gaps:
        yield problem('LOG_DAMAGED', ident, 'No rotated log file of %s has the number %s: it was removed, is lost, or the host died while they were '
                      'rotated.' % (ident[:12], ', '.join(gaps[:10]) + (' and more' if len(gaps) > 10 else '')), '')


def _journal(readers: Readers, ident: str, config: Dict[str, Any], driver: str) -> Tuple[Optional[model.Log], List[model.Problem]]:
    shown = metadata.text_of(config, 'Name').lstrip('/') or ident[:12]
    started = not config or metadata.text_of(config, 'State', 'StartedAt') not in ('', NEVER)
    return hostjournal.log_of(readers.host, hostjournal.Whose(
        b'CONTAINER_ID_FULL=' + ident.encode('ascii'), shown, metadata.text_of(config, 'Created') or None, started, (b'dockerd',),
        hostjournal.owner_of(readers.path)), 'journald', bool(driver))


def _ordered(folder: safeio.Dir, names: List[bytes]) -> List[Tuple[bytes, int]]:
    """[(absolute path, bytes)] of log files that are regular files, oldest first: the highest number first. Where both .N and .N.gz
    exist, compressing was interrupted and .N is the whole one."""
    numbered = {}
    for name in names:
        try:
            st = folder.stat(name)
            if not stat.S_ISREG(st.st_mode):
                continue
        except OSError:
            continue
        number = _number(name)
        if number not in numbered or not name.endswith(b'.gz'):
            numbered[number] = (name, st.st_size)
    place = folder.path()
    return [(os.path.join(place, name), size) for dummy, (name, size) in sorted(numbered.items(), reverse=True)]


def _number(name: bytes) -> int:
    """The number of a rotated log file, 0 for the one that was written last."""
    tail = (name[:-3] if name.endswith(b'.gz') else name).rsplit(b'.', 1)[1]
    return int(tail) if tail.isdigit() else 0


def _state(config: Dict[str, Any]) -> Dict[str, Any]:
    """The state as `docker inspect` words it (moby: container/state.go)."""
    state = metadata.dict_of(config, 'State')
    running = state.get('Running') is True
    started = metadata.text_of(state, 'StartedAt')
    dead = state.get('Dead') is True or state.get('RemovalInProgress') is True
    if not state:
        status = 'unknown'
    elif running:
        status = 'paused' if state.get('Paused') is True else 'restarting' if state.get('Restarting') is True else 'running'
    elif state.get('RemovalInProgress') is True:
        status = 'removing'
    elif state.get('Dead') is True:
        status = 'dead'
    else:
        status = 'created' if started in ('', NEVER) else 'exited'
    code = state.get('ExitCode')
    pid = state.get('Pid')
    return {'status': status, 'running': running, 'exit_code': code if isinstance(code, int) else None, 'dead': dead,
            'paused': state.get('Paused') is True, 'pid': pid if isinstance(pid, int) else 0,
            'oom_killed': state.get('OOMKilled') is True,
            'started_at': started if started not in ('', NEVER) else None,
            'finished_at': metadata.text_of(state, 'FinishedAt')
            if metadata.text_of(state, 'FinishedAt') not in ('', NEVER) else None}


# Damage of the records that the definition is made from
DAMAGED = frozenset(('CONFIG_DAMAGED', 'CONFIG_MISMATCH', 'HOSTCONFIG_DAMAGED'))


def _status(found: model.Resolution, mounted: Tuple[model.Mount, ...], problems: List[model.Problem], state: Dict[str, Any]) -> str:
    if found.status == model.UNSUPPORTED:
        return model.UNSUPPORTED
    if found.status == model.LOST:
        # lost only if no data of its own are left at all
        kept = any(mount.status == model.COMPLETE and mount.path is not None for mount in mounted)
        return model.PARTIAL if kept else model.LOST
    if found.status != model.COMPLETE or state['dead'] or any(item.loses_data for item in problems):
        return model.PARTIAL
    return model.COMPLETE
