"""Names that mean "deleted" and "opaque" in OCI layer tars and in aufs branches.

Source: OCI image-spec layer.md; aufs adds bookkeeping names that mean nothing to a reader of the layer.
"""
from typing import Optional, Tuple

PREFIX = b'.wh.'                        # .wh.NAME hides NAME of the layers below
OPAQUE = b'.wh..wh..opq'                # in a folder: hides everything below that folder
BOOKKEEPING = b'.wh..wh.'               # .wh..wh.aufs, .wh..wh.plnk, .wh..wh.orph

WHITEOUT_MARKER = 'whiteout'
OPAQUE_MARKER = 'opaque'
BOOKKEEPING_MARKER = 'bookkeeping'


def whiteout_path(path: bytes) -> bytes:
    """The tar member that deletes PATH (bytes, relative): ``a/b`` -> ``a/.wh.b``."""
    folder, slash, name = path.rpartition(b'/')
    return folder + slash + PREFIX + name


def opaque_path(folder: bytes) -> bytes:
    """The tar member that makes FOLDER opaque; ``b''`` is the root of the tree."""
    return folder + b'/' + OPAQUE if folder else OPAQUE


def looks_like_marker(path: bytes) -> bool:
    """True if any part of PATH would be taken for a marker by whoever applies the layer."""
    return b'.wh.' in path and any(part.startswith(PREFIX) for part in path.split(b'/'))


def meaning(name: bytes) -> Tuple[Optional[str], bytes]:
    """(kind, hidden name) of one file name in a branch that uses markers, (None, NAME) for an ordinary one.

    kind: WHITEOUT_MARKER, OPAQUE_MARKER or BOOKKEEPING_MARKER; the hidden name is ``b''`` for the last two.
    """
    if not name.startswith(PREFIX):
        return None, name
    if name == OPAQUE:
        return OPAQUE_MARKER, b''
    if name.startswith(BOOKKEEPING):
        return BOOKKEEPING_MARKER, b''
    return WHITEOUT_MARKER, name[len(PREFIX):]
