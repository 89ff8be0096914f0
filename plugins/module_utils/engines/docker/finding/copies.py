"""Copies of a data root: backups, and what was left when a root was moved. Their containers are those of the root itself, so that only one
of them may be rescued."""
import os
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ....disk import safeio
from ....formats.wording import show

if TYPE_CHECKING:
    from .scan import Scan

GUESS = 2                               # rank of a folder that no configuration names


def without_copies(scan: 'Scan', found: 'List[Tuple[Any, Any]]', ranks: Dict[bytes, int]) -> 'List[Tuple[Any, Any]]':
    """FOUND, [(RootCandidate, Content)], without the copies of another one in it; each is a problem. RANKS: {folder: 0 if a configuration
    names it, 1 the usual place, GUESS}. A root that has more containers than the other is kept, unless it was only guessed."""
    if len(found) < 2:
        return found
    order = sorted(found, key=lambda pair: (_rank(pair[0], ranks), -_newest(pair[0].path, pair[1].containers), -pair[0].score, pair[0].path))
    kept, copies = [], []
    for pair in order:
        mine, rank = frozenset(pair[1].containers), _rank(pair[0], ranks)
        same = [other for other in kept if mine & frozenset(other[1].containers) and (rank == GUESS or _rank(other[0], ranks) < rank)]
        if same and (rank == GUESS or any(mine <= frozenset(other[1].containers) for other in same)):
            _told(scan, pair[0].path, same[0][0].path, len(mine.difference(*[other[1].containers for other in same])))
            copies.append(pair)
        else:
            kept.append(pair)
    return [pair for pair in found if pair not in copies]


def _rank(candidate: Any, ranks: Dict[bytes, int]) -> int:
    return ranks.get(candidate.path, ranks.get(candidate.base, GUESS))


def _newest(path: bytes, containers: Tuple[bytes, ...]) -> float:
    """When the records of the containers were written last, as far as their folders show."""
    newest = 0.0
    for name in containers:
        try:
            newest = max(newest, safeio.lstat(os.path.join(path, b'containers', name)).st_mtime)
        except OSError:
            continue
    return newest


def _told(scan: 'Scan', copy: bytes, root: bytes, more: int) -> None:
    text = '%s has containers of %s, and was taken for a copy of it.' % (show(copy), show(root))
    if more:
        text += ' It has %d container%s more.' % (more, '' if more == 1 else 's')
    scan.problem('DATA_ROOT_COPY', copy, text, 'To rescue it as well, name it in data_roots, with another dest.', None if more else 'info')
