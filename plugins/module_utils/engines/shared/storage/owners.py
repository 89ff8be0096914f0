"""Owners in layers of containers/storage: from the number on the disk to the one that the container saw.

A rootless store lies in the subordinate ids of its user (the outer map). A container with a map of its own (`--uidmap`, `keep-id`,
`--userns=auto`) has that one on top; its host ids are those inside of the outer map. A mount program maps by itself: then its layers
have the outer map only.
"""
from typing import Any, Iterable, Iterator, List, Optional, Tuple

from ....disk import metadata
from ....layers.idmap import MAX_ID, IdMap, Range

MAX_RANGES = 340                        # the kernel's limit for one map, user_namespaces(7)


def recorded(record: Any, key: str) -> List[Range]:
    """The ranges of `uidmap` or `gidmap` of a layer or container; what is nonsense is left out."""
    found = []
    for item in metadata.list_of(record, key)[:MAX_RANGES]:
        numbers = [metadata.get(item, name) for name in ('container_id', 'host_id', 'size')]
        if all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MAX_ID for number in numbers) and numbers[2]:
            found.append(Range(*numbers))
    return found


def combined(outer: Optional[IdMap], record: Any) -> Optional[IdMap]:
    """The IdMap of what a container with this record wrote; OUTER where it has no map of its own."""
    uids, gids = recorded(record, 'uidmap'), recorded(record, 'gidmap')
    if not uids and not gids or _is_plain(uids) and _is_plain(gids):
        return outer
    if outer is None:
        return IdMap(uids, gids)
    return IdMap(list(_through(uids, outer.uid_ranges)), list(_through(gids, outer.gid_ranges)), outer.assumed)


def _is_plain(ranges: Iterable[Any]) -> bool:
    return all(item.container == item.host for item in ranges)


def _through(inner: List[Range], outer: Tuple[Range, ...]) -> Iterator[Range]:
    """INNER, whose host ids are container ids of OUTER, as ranges of ids on the disk."""
    for item in inner:
        for shift in outer:
            low = max(item.host, shift.container)
            high = min(item.host + item.count, shift.container + shift.count)
            if low < high:
                yield Range(item.container + low - item.host, shift.host + low - shift.container, high - low)
