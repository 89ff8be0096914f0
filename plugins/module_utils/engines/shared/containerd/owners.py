"""Whose files lie in the containerd root of a user without root."""
from typing import Any, Optional

from ....disk import safeio
from ....layers import idmap
from .finding import Candidate


def map_of(disk: Any, candidate: Candidate) -> Optional[idmap.IdMap]:
    """The IdMap of a Candidate, None for root's."""
    if not candidate.rootless:
        return None
    st = safeio.lstat(candidate.path)
    return idmap.from_rootless(st.st_uid, st.st_gid, candidate.user, *disk.subids())
