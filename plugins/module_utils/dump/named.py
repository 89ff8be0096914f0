"""Layers that say by names what they hide (aufs, fuse-overlayfs), for overlayfs, which wants device nodes and an attribute.

Nothing can be written into a layer, so folders of ours go around it: one above it hides the names that are marks, one below it hides what the
marks say.
"""
import os
import stat
from typing import Callable, List, Optional, Tuple

from ..layers import encodings

_STRATEGY = encodings.FuseOverlayfs()   # it knows the names of aufs too
OPAQUE = 'trusted.overlay.opaque'


def around(layer: bytes, above: bytes, below: bytes, attribute: str = OPAQUE) -> Tuple[bool, bool]:
    """Make what is needed around LAYER in the new folders ABOVE and BELOW -> whether there is something in each. Raises OSError."""
    os.mkdir(above, stat.S_IMODE(os.stat(layer).st_mode))
    os.mkdir(below, 0o755)
    made = [False, False]
    for folder, folders, names in os.walk(layer, onerror=_refuse):
        inside = os.path.relpath(folder, layer)
        marks = [name for name in folders + names if name.startswith(encodings.WH)]
        deleted, opaque = _STRATEGY.split(marks)[1:]
        if opaque or any(os.getxattr(folder, name) == b'y' for name in _STRATEGY.OPAQUE if name in os.listxattr(folder)):
            os.setxattr(_folder(below, inside, None), attribute, b'y')
            made[1] = True
        for top, hidden, like, place in ((above, marks, layer, 0), (below, deleted, None, 1)):
            for name in hidden:
                os.mknod(os.path.join(_folder(top, inside, like), name), stat.S_IFCHR, os.makedev(0, 0))
                made[place] = True
    return made[0], made[1]


def _refuse(exc: OSError) -> None:
    raise exc


def _folder(top: bytes, inside: bytes, like: Optional[bytes]) -> bytes:
    """The folder INSIDE of TOP, made where it is not there. LIKE: owners and modes are those of the folders in there, as the uppermost is seen."""
    if inside == b'.':
        _own(top, like, inside)
        return top
    path = os.path.join(top, inside)
    if not os.path.isdir(path):
        _folder(top, os.path.dirname(inside) or b'.', like)
        os.mkdir(path, 0o755)
        _own(path, like, inside)
    return path


def _own(path: bytes, like: Optional[bytes], inside: bytes) -> None:
    if like is not None:
        st = os.stat(os.path.join(like, inside))
        os.chown(path, st.st_uid, st.st_gid)
        os.chmod(path, stat.S_IMODE(st.st_mode))


def lower(layers: List[bytes], around_of: Callable[[bytes], Tuple[bytes, bytes]]) -> List[bytes]:
    """LAYERS, top first, each with what is needed around it. AROUND_OF: where that goes."""
    found = []
    for layer in layers:
        above, below = around_of(layer)
        has_above, has_below = around(layer, above, below)
        found += ([above] if has_above else []) + [layer] + ([below] if has_below else [])
    return found
