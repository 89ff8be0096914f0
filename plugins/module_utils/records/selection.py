"""Which containers, volumes and images a user's patterns mean."""
import fnmatch
from typing import Any, Iterable, List, Optional, Sequence, Tuple

from ..disk.errors import LifeboatError

SHOWN = 20                              # names listed in an error


def containers(host: Any, patterns: Sequence[str]) -> List[Tuple[Any, str]]:
    """[(DataRoot, id)] of the containers that PATTERNS name (names, id prefixes or shell globs; empty: all), in the order
    of roots and ids. Raises LifeboatError for a pattern that matches none, listing what there is."""
    found = []
    table = []
    for root in host.roots:
        if patterns:
            table.extend((root, ident, name) for ident, name in root.names().items())
        else:
            found.extend((root, ident) for ident in root.container_ids())
    if not patterns:
        return found
    taken = set()
    for pattern in patterns:
        hits = [(root, ident) for root, ident, name in table if matches(pattern, ident, name)]
        if not hits:
            raise LifeboatError('No container matches "%s". There %s' % (pattern, _what_there_is(
                sorted(name or ident[:12] for dummy, ident, name in table))))
        for hit in hits:
            if (hit[0].path, hit[1]) not in taken:
                taken.add((hit[0].path, hit[1]))
                found.append(hit)
    return found


def matches(pattern: str, ident: str, name: Optional[str]) -> bool:
    pattern = pattern.lstrip('/')
    if name is not None and (pattern == name or fnmatch.fnmatchcase(name, pattern)):
        return True
    if len(pattern) >= 4 and ident.startswith(pattern.lower()):
        return True
    return fnmatch.fnmatchcase(ident, pattern)


def by_glob(what: str, patterns: Sequence[str], names: Iterable[str]) -> List[str]:
    """The NAMES (sorted) that PATTERNS mean; LifeboatError for a pattern that matches none."""
    found = set()
    for pattern in patterns:
        hits = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not hits and pattern != '*':
            raise LifeboatError('No %s matches "%s". There %s' % (what, pattern, _what_there_is(sorted(names))))
        found.update(hits)
    return sorted(found)


def _what_there_is(names: Sequence[str]) -> str:
    if not names:
        return 'is none at all on this disk.'
    more = len(names) - SHOWN
    return 'are: %s%s.' % (', '.join(names[:SHOWN]), ' and %d more' % more if more > 0 else '')
