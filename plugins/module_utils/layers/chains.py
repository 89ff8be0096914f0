"""diffIDs and chainIDs: how an image's config names its layers and what a layer is called on top of those below it.

Both stores use them (OCI image spec: config.md).
"""
import hashlib
import re
from typing import Any, Iterable, List

from ..disk import metadata

DIGEST = re.compile(r'sha256:[0-9a-f]{64}\Z')
HEX = re.compile(rb'[0-9a-f]{64}\Z')
MAX_LAYERS = 512                        # Docker allows 125; a loop must end


def chain_ids(diff_ids: Iterable[str]) -> List[str]:
    """chainIDs of an image, base first: the first is the diffID, then SHA-256(parent + ' ' + diffID)."""
    chain = []
    for diff_id in diff_ids:
        chain.append(diff_id if not chain else
                     'sha256:' + hashlib.sha256((chain[-1] + ' ' + diff_id).encode('ascii', 'replace')).hexdigest())
    return chain


def diff_ids_of(config: Any) -> List[str]:
    """diffIDs of an image config, base first; [] if it has none that are digests."""
    found = metadata.list_of(config, 'rootfs', 'diff_ids')
    return found if found and all(isinstance(item, str) and DIGEST.match(item) for item in found) else []
