"""What a repair does, as records: a plan is a list of them, and nothing is ever written that is not in one."""
from typing import Any, Dict, NamedTuple, Optional

CERTAIN, REBUILT, LIKELY, CHOICE, LOST = 'certain', 'rebuilt', 'likely', 'choice', 'lost'
AUTOMATIC = (CERTAIN, REBUILT)          # the others run only where their code is named
WRITE, MKDIR, SYMLINK, RENAME, ASIDE, PLACE = 'write', 'mkdir', 'symlink', 'rename', 'aside', 'place'


class Step(NamedTuple):
    """One act. Paths are bytes relative to the data root, without links in them."""
    code: str
    path: bytes
    operation: str                      # write | mkdir | symlink | rename (to `data`) | aside (into the journal's folder) | place (out of it)
    data: Optional[bytes]               # new content, target of the link, new path, or diffID of a layer
    why: str                            # which sources agreed
    certainty: str
    mode: int                           # of a file or folder that is new; one that is replaced keeps its own
    selected: bool = True               # False: shown, not done, since nobody named its code
    attributes: Optional[Dict[str, Any]] = None     # mode, uid, gid, times of a written file, where they are known; `donors` of a layer


class Unresolved(NamedTuple):
    """What is broken and not repaired: no source, or two candidates. Nothing is written for it."""
    code: str
    path: bytes
    why: str
    next_step: str


class Code(NamedTuple):
    """What a code of a step means; docs/repair.md explains each, with what is done by hand instead."""
    means: str
    does: str
