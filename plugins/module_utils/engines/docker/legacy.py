"""Data roots of Docker before 1.10: images in ``graph/<id>/``, tags in ``repositories-<driver>``, a layer folder named
by the image's or the container's own id (moby v1.10: migrate/v1/migratev1.go)."""
import os
import re
from typing import TYPE_CHECKING, Dict, List, Sequence

from ...disk import metadata
from ...records import model

if TYPE_CHECKING:
    from ...disk.safeio import Dir
    from .graphdriver import Graphdriver

IMAGE_ID = re.compile(rb'[0-9a-f]{64}\Z')
TAGS = b'repositories-'
MAX_PARENTS = 512


def image_ids(root: 'Dir') -> List[str]:
    """Ids (64 hex digits) in graph/, [] for a root that never was of that kind or was migrated."""
    try:
        return [name.decode('ascii') for name in root.descend(b'graph').names() if IMAGE_ID.match(name)]
    except OSError:
        return []


def references(root: 'Dir', driver: str) -> Dict[str, List[str]]:
    """{image id: [references]} of repositories-<driver>."""
    found = {}
    record = metadata.read_record(root, TAGS + os.fsencode(driver))
    for repository, tags in metadata.dict_of(record.value, 'Repositories').items():
        for tag, ident in metadata.strings_of({'x': tags}, 'x').items():
            found.setdefault(ident, []).append('%s:%s' % (repository, tag))
    return found


def config(root: 'Dir', ident: str) -> metadata.Found:
    """metadata.Found of graph/<id>/json."""
    try:
        return metadata.read_json(root.descend(b'graph').child(ident.encode('ascii')), b'json')
    except OSError as exc:
        return metadata.Found(None, metadata.describe(exc), '')


def image(graph: 'Graphdriver', ident: str, names: Sequence[str]) -> model.Image:
    """model.Image of one; GRAPH is the Graphdriver whose folders hold its layers. Every parent is a layer; it has no
    diffID, those came with 1.10."""
    layers, problems = [], []
    found = config(graph.root, ident)
    current, seen = ident, set()
    while current and current not in seen and len(seen) < MAX_PARENTS:
        seen.add(current)
        record = config(graph.root, current)
        layer, why = graph.layer_folder(current.encode('ascii'))
        layers.append(model.ImageLayer(None, None, current, layer.path, metadata.get(record.value, 'Size')
                                       if isinstance(metadata.get(record.value, 'Size'), int) else None,
                                       model.LOST if why else model.COMPLETE, graph.encoding or ''))
        current = metadata.text_of(record.value, 'parent')
    value = found.value or {}
    status = model.worst([layer.status for layer in layers]) if found.value is not None else model.PARTIAL
    return model.Image(ident, tuple(sorted(names)), metadata.text_of(value, 'created') or None,
                       metadata.text_of(value, 'architecture') or None, metadata.text_of(value, 'os') or None, status,
                       tuple(reversed(layers)), value, found.raw, 'graphdriver', graph.root.path(), graph.name,
                       tuple(problems))
