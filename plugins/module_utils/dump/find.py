"""Which databases a host's containers have: found by content, in the writable layer and in what is mounted."""
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ..disk import safeio
from ..formats import wording
from ..records import model, selection
from ..records.codes import problem
from . import registry


class Database(NamedTuple):
    """One database. `path`: as the container sees it. `bytes`: of its files."""
    root: Any                           # engines.api.Root
    container: model.Container
    engine: str
    version: str
    path: str
    bytes: int
    clean: Any                          # True, False, or None where its files do not tell


def find(host: Any, containers: Tuple[str, ...], engines: Tuple[str, ...]) -> Tuple[List[Database], List[model.Problem], int]:
    """(databases in the order of containers, problems, number of containers). LifeboatError for a pattern that matches no container."""
    records = [(root, root.container(ident)) for root, ident in selection.containers(host, containers)]
    found, problems = among(records, [root.path for root in host.roots], engines)
    return found, problems, len(records)


def among(records: Sequence[Tuple[Any, model.Container]], data_roots: Sequence[bytes], engines: Tuple[str, ...]) -> Tuple[List[Database], List[model.Problem]]:
    """(databases of [(root, container)] in their order, problems)"""
    from ..usage.trees import Trees
    trees = Trees(data_roots=data_roots)
    for dummy, record in records:
        if record.stack is not None and record.stack.writable is not None and record.stack.writable.path:
            trees.layer(record.id, record.stack.readable(), sorted(record.definition.volumes))
        for mount in _mounts(record):
            if mount.path is not None:
                trees.folder(mount.path)
    trees.walk()
    found, problems = [], []
    for root, record in records:
        items = [item for item in _items(trees, record, problems) if not item.get('noise') and not item.get('empty') and (
            not engines or item['engine'] in engines or 'all' in engines)]
        problems += [_refused(record, item) for item in items if item['engine'] in registry.REFUSED]
        items = [item for item in items if item['engine'] in registry.KINDS]
        wanted = {(engine, path) for engine in {item['engine'] for item in items}
                  for path in registry.KINDS[engine].choose([item['path'] for item in items if item['engine'] == engine])}
        found += [Database(root, record, item['engine'], item.get('version') or '', item['path'], item['bytes'], item.get('clean_shutdown'))
                  for item in items if (item['engine'], item['path']) in wanted]
    return found, problems


def _refused(record: model.Container, item: Dict[str, Any]) -> model.Problem:
    name = record.name or record.id[:12]
    return problem('DUMP_UNSUPPORTED', name, 'No dump of %s at %s in %s: %s.' % (item['engine'], item['path'], name, registry.REFUSED[item['engine']]),
                   'Rescue the raw data; docs/databases.md has the dump program that works after a restore.')


def _mounts(record: model.Container) -> Iterator[model.Mount]:
    return (mount for mount in record.mounts if mount.type in ('volume', 'bind') and mount.path not in (None, b'/') and safeio.is_folder(mount.path))


def _items(trees: Any, record: model.Container, problems: List[model.Problem]) -> Iterator[Dict[str, Any]]:
    """The databases of a container as the facts have them, paths as it sees them."""
    places = [(trees.of_folder(mount.path), mount.destination) for mount in _mounts(record)]
    if record.stack is not None and record.stack.writable is not None and record.stack.writable.path:
        places.insert(0, (trees.of_layer(record.id), ''))
    for found, destination in places:
        if found.error is not None or found.unreadable_total:
            problems.append(problem('READ_ERROR', record.name or record.id[:12], 'Databases of %s may be missing from the list: %s.' % (
                record.name or record.id[:12], found.error or '%s could not be read, the first: %s' % (
                    wording.number(found.unreadable_total, 'file'), found.unreadable[0])), 'Use become: true.'))
        for item in found.databases:
            yield dict(item, path=os.path.join(destination, item['path'].lstrip('/')) if destination else item['path'])
