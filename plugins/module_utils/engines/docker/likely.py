"""Which writable layer belongs to a container whose layerdb entry is lost: evidence, never a silent guess.

Candidates are driver folders with an ``-init`` twin that no other container claims.
"""
import os
import stat
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ...disk import safeio
from ...formats import gotypes, wording
from ...layers.chains import chain_ids, diff_ids_of

if TYPE_CHECKING:
    from ...records.model import Log
    from .graphdriver import Graphdriver

CLOCK_SLACK = 10                        # seconds between a folder's birth and the container's Created


def candidates(driver: 'Graphdriver', claimed: List[bytes]) -> List[bytes]:
    """Ids of driver folders that look like a container's writable layer and that no record names."""
    names = driver.driver.ids(driver.root)
    known = set(names)
    taken = set(claimed) | {record.cache_id for record in driver.layerdb.layers().values()}
    return [name for name in names if not name.endswith(b'-init') and name + b'-init' in known and name not in taken]


def evidence(driver: 'Graphdriver', ident: bytes, created: Optional[str], points: Any, chain_cache_ids: List[bytes],
             log_newest: Optional[int]) -> Tuple[int, List[str]]:
    """(score, [sentences]) of how well one folder fits a container."""
    score, said = 0, []
    if chain_cache_ids:
        lowers = driver.driver.lowers(driver.root, ident)
        if lowers.ids is not None and list(lowers.ids[1:]) == chain_cache_ids:
            score += 3
            said.append('it has the same parent image')
        elif lowers.ids is not None:
            return 0, ['it has another parent image']
    born = _time(driver, driver.driver.FOLDER + b'/' + ident + b'-init')
    if born is not None:
        # a time that is damaged is far from every other
        distance = abs(born - gotypes.time_key(created)[0])
        if distance <= CLOCK_SLACK:
            score += 3
            said.append('its init layer was made %d s from the container\'s creation' % distance)
    if points:
        present = sum(1 for dest in points if _exists(driver, ident, dest))
        if present == len(points):
            score += 2
            said.append('it has the mount points of the container')
        elif present:
            score += 1
            said.append('it has %d of %d mount points of the container' % (present, len(points)))
    if log_newest is not None:
        newest = _time(driver, driver.driver.writable(ident))
        if newest is not None and abs(newest - log_newest) <= 60:
            score += 1
            said.append('it changed last when the log did')
    return score, said


def best(driver: 'Graphdriver', claimed: List[bytes], created: Optional[str], points: Dict[str, Dict[str, Any]],
         chain_cache_ids: List[bytes], log_newest: Optional[int]) -> Optional[Tuple[bytes, List[str]]]:
    """(id, [sentences]) of the one candidate that fits best by a clear margin, else None."""
    ranked = []
    for ident in candidates(driver, claimed):
        score, said = evidence(driver, ident, created, points, chain_cache_ids, log_newest)
        ranked.append((score, ident, said))
    ranked.sort(reverse=True)
    if not ranked or ranked[0][0] < 3 or (len(ranked) > 1 and ranked[1][0] >= ranked[0][0]):
        return None
    return ranked[0][1], ranked[0][2]


def _time(driver: 'Graphdriver', relative: bytes) -> Optional[int]:
    """mtime in seconds of a folder below the data root, None if it is not there. The init layer's folder is not changed
    after it was made, so its time is the container's creation."""
    try:
        folder = driver.root.descend(relative)
        st = os.fstat(folder.fd)
        folder.close()
        return int(st.st_mtime)
    except OSError:
        return None


def _exists(driver: 'Graphdriver', ident: bytes, dest: str) -> bool:
    parts = [part for part in wording.raw(dest).split(b'/') if part not in (b'', b'.')]
    if not parts or b'..' in parts:
        return False
    try:
        folder = driver.root.descend(driver.driver.writable(ident))
        for part in parts[:-1]:
            folder = folder.child(part)
        return not stat.S_ISLNK(folder.stat(parts[-1]).st_mode)
    except OSError:
        return False


def log_time(log: 'Log') -> Optional[int]:
    """mtime in seconds of the newest log file, None without one."""
    newest = None
    for path in log.files if log is not None else ():
        try:
            newest = max(newest or 0, int(safeio.lstat(path).st_mtime))
        except OSError:
            continue
    return newest


def cache_ids(driver: 'Graphdriver', image_id: Optional[str]) -> List[bytes]:
    """cache-ids of an image's layers, top first, or [] where one is unknown."""
    found = []
    for chain_id in chain_ids(diff_ids_of(driver.images.config(image_id).value))[::-1] if image_id else []:
        record = driver.layerdb.layers().get(chain_id)
        if record is None or record.cache_id is None:
            return []
        found.append(record.cache_id)
    return found
