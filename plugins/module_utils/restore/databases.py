"""Databases in what was restored: which, in what state, what will happen at the first start, does the image fit.

Finding them is audit's work; here are the conclusions for a restore. docs/databases.md says the same at length.
"""
import os
import re
from typing import Any, Dict, List, Optional, Tuple, Union

from ..databases import detector
from ..databases.registry import KINDS
from ..formats.values import as_dict, as_list
from ..usage import walk as usage

NUMBER = re.compile(r'\d+(?:\.\d+)*')

PLAIN = ('Check it with the means of the software before it is used.',
         'It was not shut down: check it with the means of the software before it is used.')


def find(folder: Union[bytes, int], prefix: bytes = b'/') -> List[Dict[str, Any]]:
    """JSON-ready records of the databases below FOLDER, each with `expect`; paths begin with PREFIX. FOLDER: a path (bytes), or an open
    descriptor, since its path may be one of another mount namespace."""
    seen = detector.Detector()
    try:
        usage.scan_folder(folder if isinstance(folder, int) else os.path.realpath(folder), detector=seen)
    except OSError:
        return []
    return [dict(record, expect=expectation(record)) for record in seen.found(prefix)
            if record['kind'] == 'database' and not record['noise']]


def expectation(record: Dict[str, Any]) -> str:
    """What the first start will bring, one or two sentences."""
    kind = KINDS.get(record.get('engine') or '')
    clean, crashed = (kind.clean, kind.crashed) if kind is not None and kind.clean else PLAIN
    return crashed if record.get('clean_shutdown') is False else clean


def image_versions(config: Optional[Dict[str, Any]]) -> Dict[str, str]:
    """{engine: version} that an image's configuration (its `config`) tells."""
    variables = {}
    for item in as_list(as_dict(config).get('Env')):
        if isinstance(item, str) and '=' in item:
            name, dummy, value = item.partition('=')
            variables[name] = value
    found = {}
    known = [kind for kind in KINDS.values() if kind.variables]
    for engine, names in ((kind.name, kind.variables) for kind in known):
        for name in names:
            match = NUMBER.search(re.sub(r'^\d+:', '', variables.get(name, '')))
            if match:
                found[engine] = match.group()
                break
    labels = as_dict(as_dict(config).get('Labels'))
    title = str(labels.get('org.opencontainers.image.title') or labels.get('org.label-schema.name') or '').lower()
    version = str(labels.get('org.opencontainers.image.version') or labels.get('org.label-schema.version') or '')
    for engine in (kind.name for kind in known):
        match = NUMBER.match(version)
        if engine in title and engine not in found and match:
            found[engine] = match.group()
    return found


def series(engine: str, version: Optional[str]) -> Optional[Tuple[int, ...]]:
    """The part of VERSION that has to match, as numbers; None if it is unknown. PostgreSQL before 10 counts two."""
    match = NUMBER.match(version or '')
    count = KINDS[engine].parts if engine in KINDS else 0
    if not match or not count:
        return None
    numbers = [int(part) for part in match.group().split('.')]
    if engine == 'postgresql' and numbers[0] < 10:
        count = 2
    return tuple(numbers[:count])


def mismatch(records: List[Dict[str, Any]], versions: Dict[str, str]) -> Optional[str]:
    """Why data (records of find()) do not fit an image (image_versions()); None if nothing speaks against it."""
    for record in records:
        engine = record['engine']
        wanted = series(engine, record.get('version'))
        given = series(engine, versions.get(engine))
        if wanted is None or given is None or len(wanted) != len(given) or wanted == given:
            continue
        if KINDS[engine].upgrades and given > wanted:
            continue
        return ('The data of %s in %s are of version %s, the image has version %s: it would not start, or harm them. '
                'Take an image of version %s, or dump and load.' % (
                    record['title'], record['path'], record['version'], versions[engine],
                    '.'.join(map(str, wanted))))
    return None
