"""Docker's storage drivers: where each keeps a layer, and in which encoding.

A driver is one file here that offers

- ``ENCODING``: model.OVERLAY, AUFS, FUSE_OVERLAYFS or PLAIN, or None where plain file reading can't reach the layers;
- ``FOLDER``: its folder below the data root (bytes), which has the name that Docker has for the driver;
- ``TREE``: the folder, there or below it, in which each layer has a name;
- ``layer(id)`` and ``writable(id)``: path of a read-only layer's and of a writable layer's content below the data
  root, and ``work(id)``, ``merged(id)`` or None;
- ``ids(root)``: the ids that have a folder (sorted bytes);
- ``lowers(root, id)``: Lowers, the driver's own record of what lies below a layer; a full-copy driver has none;
- ``next_step(root, id)``: for an unsupported one, what can read it;
- where layers are seen only after something was mounted: ``pool(root)``, the engines.api.ThinPool to open, ``opened(root)``, whether that
  was done, and ``sealed(root, id)``, whether this one is not; such a driver has ``next_step``, too;
- where it applies, ``COPIED_INIT`` (see model.Stack.copied_init), ``FULL_LAYERS`` (one image layer holds all that is below it),
  ``by_symlink(links, link)`` (it has a file ``lower`` whose entries are names of links in ``l/``).

and its entry in engines.docker.driver_table. There is no other list: discovery, chains, views, changes and archives work from these
attributes. What many drivers have in common is made by the functions of this file.
"""
import re
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from ....disk.safeio import Dir

# dockerd's own ids are 64 hex digits; BuildKit names the layers that it makes by 25 digits of base 36 (moby: identity.NewID)
BUILDKIT_ID = re.compile(rb'[0-9a-z]{25}\Z')
CACHE_ID = re.compile(rb'(?:[0-9a-f]{64}(?:-init)?|[0-9a-z]{25})\Z')


class Lowers(NamedTuple):
    """What a driver's own files say lies below a layer, nearest first. `ids` is None where they say nothing usable."""
    ids: Optional[Tuple[bytes, ...]]
    damage: str = ''                    # '' or what is wrong with the files
    below: Optional[bytes] = None       # overlay2: the text of `lower` after the init layer, if all in it is as usual


def folder_names(root: 'Dir', path: bytes) -> List[bytes]:
    """Names in a folder below the data root, [] where it can't be listed."""
    try:
        return root.descend(path).names()
    except OSError:
        return []


def path_in(folder: bytes, part: bytes = b'') -> Callable[[bytes], Optional[bytes]]:
    """The function id -> path below the data root, of a driver that has ``FOLDER/<id>PART``."""
    def path(ident: bytes) -> bytes:
        return folder + b'/' + ident + part
    return path


def no_path(ident: bytes) -> Optional[bytes]:
    """`work` or `merged` of a driver that has no such folder: always None."""


def ids_in(folder: bytes) -> 'Callable[[Dir], List[bytes]]':
    """The function open data root -> ids of a driver whose layers each have a name in FOLDER."""
    def ids(root: 'Dir') -> List[bytes]:
        return [name for name in folder_names(root, folder) if CACHE_ID.match(name)]
    return ids


def no_lowers(root: 'Dir', ident: bytes) -> Lowers:
    """`lowers` of a driver that does not record what lies below a layer."""
    return Lowers(None)
