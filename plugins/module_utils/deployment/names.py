"""The names that files of a deployment have in its bundle: their path on the dead host, in characters that every store takes."""
import hashlib
import re
from typing import Set

TREE = 'files'                          # folder of the bundle that holds them
LONGEST, DEEPEST = 900, 14              # characters and steps of a name; see transport.frames and bundles.reading
STEP = 200
_PLAIN = re.compile(rb'[A-Za-z0-9_.@:+,-]')
_FIRST = re.compile(r'\.?[A-Za-z0-9_]')
# ends that only the stores themselves give to files
_OURS = ('.lifeboat-part', '.lifeboat-mark', '.partial', '.new')


def stored(path: bytes) -> str:
    """The relative name for the absolute PATH. What is not plain becomes =XX; a path that is too long or too deep gets a digest. Two paths
    never have one name."""
    steps = [_step(part) for part in path.split(b'/') if part]
    name = '/'.join([TREE] + steps)
    if len(steps) >= DEEPEST or len(name) > LONGEST or any(len(step) > STEP for step in steps):
        last = steps[-1] if len(steps[-1]) <= 60 else 'file'
        return '%s/_deep/%s/%s' % (TREE, hashlib.sha256(path).hexdigest()[:32], last)
    return name


def _step(part: bytes) -> str:
    made = ''.join(chr(byte) if _PLAIN.match(bytes((byte,))) else '=%02X' % byte for byte in part)
    if not _FIRST.match(made) or made == '_deep' or made.startswith('_='):
        made = '_=%02X%s' % (part[0], made[3 if made.startswith('=') else 1:])
    if made.endswith(_OURS):
        made = made[:-1] + '=%02X' % ord(made[-1])
    return made


def slug(name: str, taken: Set[str]) -> str:
    """A short name for NAME that is not in TAKEN, to which it is added."""
    base = re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-.')[:60] or 'unnamed'
    made, number = base, 1
    while made in taken:
        number += 1
        made = '%s-%d' % (base, number)
    taken.add(made)
    return made
