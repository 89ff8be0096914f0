"""overlay2: ``overlay2/<id>/{diff,link,lower,work,merged}`` and ``overlay2/l/<LINK>`` (moby: graphdriver/overlay2)."""
import re
from typing import TYPE_CHECKING, Dict, List, Optional

from ....records import model
from .common import CACHE_ID, Lowers, folder_names, path_in

if TYPE_CHECKING:
    from ....disk.safeio import Dir

ENCODING = model.OVERLAY
FOLDER = TREE = b'overlay2'
LINK = re.compile(rb'[A-Z2-7]{26}\Z')

layer = writable = path_in(FOLDER, b'/diff')
work = path_in(FOLDER, b'/work')
merged = path_in(FOLDER, b'/merged')


def ids(root: 'Dir', folder: bytes = FOLDER) -> List[bytes]:
    return [name for name in folder_names(root, folder) if CACHE_ID.match(name)]


def lowers(root: 'Dir', ident: bytes, folder: bytes = FOLDER) -> Lowers:
    """``lower`` names the layers below by their LINK; a LINK is resolved by the symlink in ``l/`` (its text only, it is
    never followed) or, where that is gone, by the ``link`` files."""
    damage = []
    try:
        raw = root.descend(folder + b'/' + ident).read(b'lower', 1 << 20)
    except OSError:
        return Lowers(None, 'lower is missing')
    names = [part for part in raw.replace(b'\0', b'').strip().split(b':') if part]
    if not names:
        return Lowers(None, 'lower is empty')
    by_link = links = None
    try:
        links = root.descend(folder + b'/l')
    except OSError:
        pass
    found = []
    for name in names:
        link = name[2:] if name.startswith(b'l/') else name
        if not LINK.match(link):
            # a child made while its parent's link file was empty: its list has a hole
            return Lowers(None, 'lower has an entry that names no layer')
        target = by_symlink(links, link) if links is not None else None
        if target is None:
            if by_link is None:
                by_link = _by_link_files(root, folder)
                damage.append('l/ lacks links')
            target = by_link.get(link)
        if target is None:
            return Lowers(None, 'a link in lower leads to no layer')
        found.append(target)
    return Lowers(tuple(found), ', '.join(damage))


def by_symlink(links: 'Dir', link: bytes) -> Optional[bytes]:
    """The layer whose folder a symlink of ``l/`` (the open folder LINKS) leads to, None if it leads elsewhere."""
    try:
        target = links.readlink(link)
    except OSError:
        return None
    parts = target.split(b'/')
    if len(parts) == 3 and parts[0] == b'..' and CACHE_ID.match(parts[1]) and parts[2] == b'diff':
        return parts[1]
    return None


def _by_link_files(root: 'Dir', folder: bytes) -> Dict[bytes, bytes]:
    found = {}
    for ident in ids(root, folder):
        try:
            found[root.descend(folder + b'/' + ident).read(b'link', 4096).strip()] = ident
        except OSError:
            continue
    return found
