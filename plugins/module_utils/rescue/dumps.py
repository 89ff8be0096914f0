"""Dumps of databases in bundles: one component for each database, written after the raw data, which they never replace."""
import functools
import json
import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..archive import compress, trees
from ..bundles import plan
from ..disk import metadata
from ..disk.errors import LifeboatError
from ..formats import wording
from ..records import model
from ..records.codes import problem
from ..transport.remote import Refused

if TYPE_CHECKING:
    from ..bundles.parts import Parts
    from ..dump.find import Database
    from ..engines.registry import Host

KIND = 'dump'
NAMED = 1000                            # tables in the manifest; dump/NAME.json has all
HERE = 'The raw data are in this bundle. '
TOO = 'Rescue the raw data too. '
NEXT_STEPS = {
    'DUMP_FOREIGN_ARCH': 'Restore them on a host with that processor.',
    'DUMP_NO_BINARY': 'Start them with an image of their version.',
    'DUMP_VERSION_MISMATCH': 'Start them with an image of their version.',
    'DUMP_LAYERS_LOST': 'Start them with an image of their version.',
    'DUMP_NO_SPACE': 'For the dump choose a dump_scratch_dir with more room, and run again.',
    'DUMP_TIMEOUT': 'For the dump raise dump_timeout and run again.',
    'DUMP_SERVER_FAILED': 'The log of the server is in dump/.',
    'DUMP_UNSAFE_HERE': 'For the dump run as root (become: true) on a machine where new namespaces are allowed.',
    'DUMP_CONTAINER_RUNS': 'Stop the container before the dump, or dump it by its own tools.',
    'DUMP_PARTIAL': 'What the dump lacks may be in them.',
}


class Options(NamedTuple):
    """How it is dumped; see dump.run.Request."""
    codec: compress.Codec
    scratch_dir: Optional[bytes] = None
    timeout: float = 3600
    raw: bool = True                    # the bundle has the raw data, too


def by_container(host: 'Host', containers: Tuple[str, ...], options: Options) -> Tuple[Dict[Tuple[bytes, str], Tuple[plan.Made, ...]], List[model.Problem]]:
    """({(path of the data root, container ID): its dumps}, problems). LifeboatError for a pattern that matches no container."""
    from ..dump import find  # all that knows databases: only when somebody asks for dumps
    databases, problems, dummy = find.find(host, containers, ())
    found: Dict[Tuple[bytes, str], Tuple[plan.Made, ...]] = {}
    for database in databases:
        key = (database.root.path, database.container.id)
        before = found.get(key, ())
        number = 1 + sum(made.name.startswith('%s:%s-' % (KIND, database.engine)) for made in before)
        found[key] = before + (_made(host, database, number, options),)
    return found, problems


def _made(host: 'Host', database: 'Database', number: int, options: Options) -> plan.Made:
    mount = _mount(database)
    about = json.dumps([database.engine, database.path, options.codec.name])
    work = functools.partial(_dump, host, database, number, options)
    return plan.Made('%s:%s-%d' % (KIND, database.engine, number), KIND, _tree(database, mount), mount.path if mount is not None else None,
                     about, database.bytes, work, functools.partial(work, None))


def _tree(database: 'Database', mount: Optional[model.Mount]) -> 'trees.Tree':
    if mount is not None and mount.path is not None:
        return trees.FolderTree(mount.path)
    if database.container.stack is None:
        raise AssertionError('it was found in a layer')
    return trees.LayerTree(database.container.stack)


def _mount(database: 'Database') -> Optional[model.Mount]:
    """The mount in which a database lies; None for the writable layer."""
    inside = [mount for mount in database.container.mounts if mount.type in ('volume', 'bind') and mount.path is not None and (
        database.path + '/').startswith(mount.destination.rstrip('/') + '/')]
    return max(inside, key=lambda mount: len(mount.destination)) if inside else None


def _dump(host: 'Host', database: 'Database', number: int, options: Options, files: 'Optional[Parts]') -> Tuple[Dict[str, Any], List[model.Problem]]:
    """See plan.Made.write. FILES None: only whether it can be done."""
    from ..dump import run as dumps
    stem = '%s-%d' % (database.engine, number)
    problems: List[model.Problem] = []
    request = dumps.Request(b'', scratch_dir=options.scratch_dir, timeout=options.timeout, check_mode=files is None)
    try:
        entry = dumps.one(host, request, options.codec, files or _Nowhere(), database, number, problems)
    except (LifeboatError, OSError, RuntimeError) as exc:
        if isinstance(exc, Refused):
            raise                           # the controller takes nothing of this bundle any more
        entry = {'status': dumps.FAILED, 'missing': [_why(exc)]}
        problems.append(problem('DUMP_SERVER_FAILED', database.container.name or database.container.id[:12], 'No dump of %s at %s: %s.' % (
            database.engine, database.path, _why(exc).rstrip('.')), ''))
    where = HERE if options.raw else TOO
    problems = [item._replace(next_step=where + NEXT_STEPS[item.code]) if item.code in NEXT_STEPS else item for item in problems]
    record = _record(database, entry, stem)
    if files is not None:
        _describe(files, stem, entry, record, problems)
    return record, problems


def _why(exc: BaseException) -> str:
    return metadata.describe(exc) if isinstance(exc, OSError) and not isinstance(exc, LifeboatError) else wording.show(str(exc))


def _record(database: 'Database', entry: Dict[str, Any], stem: str) -> Dict[str, Any]:
    """The component for the manifest; nobody but its own database server knows more than ENTRY says."""
    counts = entry.get('counts') or {}
    named = dict(sorted(counts.items())[:NAMED])
    status = entry['status']
    written = bool(entry.get('file'))
    return {'file': '%s/%s' % (KIND, os.path.basename(entry['file'])) if written else '', 'bytes': entry.get('bytes') or 0,
            'sha256': entry.get('sha256'), 'entries': len(counts), 'files': 1 if written else 0, 'source_bytes': database.bytes,
            'status': status if status in model.STATUSES else model.LOST, 'engine': database.engine,
            'version': entry.get('version') or wording.show(database.version), 'data_path': wording.show(database.path), 'counts': named,
            'tables': len(counts), 'rows': sum(count for count in counts.values() if isinstance(count, int)),
            'marks': list(entry.get('marks') or []), 'missing': list(entry.get('missing') or []), 'seconds': entry.get('seconds') or 0.0}


def _describe(files: 'Parts', stem: str, entry: Dict[str, Any], record: Dict[str, Any], problems: List[model.Problem]) -> None:
    """Write dump/NAME.json with all counts, beside the dump."""
    if not record['file']:
        return
    whole = dict(record, counts=entry.get('counts') or {})
    try:
        with files.sink(stem + '.json') as out:
            out.write(json.dumps(whole, indent=1, sort_keys=True).encode('utf-8') + b'\n')
    except LifeboatError as exc:
        if isinstance(exc, Refused):
            raise
        record['status'] = model.PARTIAL
        problems.append(problem('DUMP_PARTIAL', stem, 'The counts of %s could not be written: %s.' % (stem, str(exc).rstrip('.')), ''))


class _Nowhere(object):
    """Files of check mode, in which none is written."""

    def sink(self, dummy_name: str) -> Any:
        raise AssertionError('nothing is written in check mode')

    def path(self, name: str) -> bytes:
        return os.fsencode(name)
