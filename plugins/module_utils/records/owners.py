"""What is to be said where the owners of files cannot be known for sure."""
from typing import Any, Tuple

from .codes import problem
from .model import Problem


def assumed(idmap: Any, name: str) -> Tuple[Problem, ...]:
    """Problems of an object called NAME whose files an IdMap (layers.idmap, or None) shifts: one where a part of it was assumed."""
    if idmap is None or not idmap.assumed:
        return ()
    alone = any(sum(each.count for each in ranges) == 1 for ranges in (idmap.uid_ranges, idmap.gid_ranges))
    return (problem(
        'OWNERS_ASSUMED', name, 'The user namespace of %s is not in /etc/subuid or /etc/subgid of the dead host. %s' % (name, (
            'Only the owner of the engine could be mapped; files of others keep the number that they have on the disk.' if alone else
            'Owners of files were mapped as if it had the usual 65536 IDs.')),
        'Check the owners after a restore. With these two files below the host root they are right; owner_ids: disk keeps the numbers of the disk.'),)
