"""The storage drivers of containers/storage: where a layer's folders are, and in which order layers lie below each other."""
import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ....disk import metadata, safeio
from ....records import model
from . import names
from .records import Place, Records, parents

MAX_SMALL = 1 << 20                     # bytes of lower and lower-layers: 500 layers take 33,000


class Folder(NamedTuple):
    """One folder that a layer's content is in, or why there is none."""
    path: Optional[bytes]
    encoding: str
    why: str = ''


class Lowers(NamedTuple):
    """The layers below one, nearest first. `source` told it; `damage` says what was wrong with a source asked before."""
    ids: List[str]
    source: str
    damage: str = ''
    whole: bool = True


class Driver(object):
    """A driver whose layers are full copies: vfs and btrfs. TREE: where a layer's folder lies below the graph root."""
    readable = True

    def __init__(self, name: str, tree: bytes, places: List[Place], records: Records) -> None:
        self.name, self._tree, self._places, self._records = name, tree, places, records

    def folders(self, ident: str) -> List[Folder]:
        """The folders of a layer, top first; one with `why` where its content is not on this disk."""
        for place in self._places:
            path = os.path.join(self._tree, ident.encode('ascii'))
            if _is_folder(place.dir, path):
                return [Folder(os.path.join(place.dir.path(), path), model.PLAIN)]
        return [Folder(os.path.join(self._places[0].dir.path(), self._tree, ident.encode('ascii')), model.PLAIN, 'its folder does not exist')]

    def lowers(self, ident: str) -> Lowers:
        """The layers below, by the records: only one of them is a full copy that matters."""
        chain, whole = parents(self._records.layers, ident)
        return Lowers(chain[1:2], 'layers.json', '', whole or len(chain) > 1)

    def work(self, dummy: str) -> Optional[bytes]:
        """The driver's own folder of a writable layer, None for one that has none."""

    def merged(self, dummy: str) -> Optional[bytes]:
        """Where a container is mounted, None for a driver that mounts nothing."""

    def ids(self) -> List[str]:
        """Every layer that has a folder in the first place."""
        try:
            return [name.decode('ascii') for name in self._places[0].dir.descend(self._tree).names() if names.ID_BYTES.match(name)]
        except OSError:
            return []


class Unreadable(Driver):
    """zfs: a layer is a data set, not a folder."""
    readable = False


class Overlay(Driver):
    """overlay: `diff` of a layer, then `diff1`, `diff2` ..., which are further parts of the same one (drivers/overlay/overlay.go)."""

    def __init__(self, name: str, tree: bytes, places: List[Place], records: Records) -> None:
        super(Overlay, self).__init__(name, tree, places, records)
        self._links: Optional[Dict[bytes, str]] = None
        self._open: Dict[str, Any] = {}
        self._folders: Dict[str, List[Folder]] = {}
        self._lowers: Dict[str, Lowers] = {}

    def _place(self, ident: str) -> Tuple[Optional[Place], Optional[safeio.Dir]]:
        """(Place, open folder) of a layer; (None, None) if there is none."""
        if ident not in self._open:
            self._open[ident] = None, None
            for place in self._places:
                try:
                    self._open[ident] = place, place.dir.descend(os.path.join(self._tree, ident.encode('ascii')))
                    break
                except OSError:
                    continue
        return self._open[ident]

    def folders(self, ident: str) -> List[Folder]:
        if ident not in self._folders:  # layers of images are those of many containers
            self._folders[ident] = self._look(ident)
        return self._folders[ident]

    def _look(self, ident: str) -> List[Folder]:
        place, folder = self._place(ident)
        if place is None or folder is None:
            return [Folder(os.path.join(self._places[0].dir.path(), self._tree, ident.encode('ascii'), b'diff'), self._places[0].encoding,
                           'its folder does not exist')]
        listed = _names(folder)
        extra = sorted((int(found.group(1)), found.string) for found in map(names.EXTRA.match, listed) if found)
        found = []
        for name in [b'diff'] + [name for dummy, name in extra]:
            why = '' if name in listed and _is_folder(folder, name) else 'its folder %s does not exist' % name.decode('ascii')
            if name == b'diff' and why and b'additionallayer' in listed:
                why = 'it was to be fetched when it was needed (additional layer store) and is not on this disk'
            found.append(Folder(os.path.join(folder.path(), name), place.encoding, why))
        if b'composefs-data' in listed:
            found[0] = found[0]._replace(why='it is kept as composefs, which cannot be read as files')
        return found

    def lowers(self, ident: str) -> Lowers:
        """By `lower-layers`, else by `lower` and its links, else by the records."""
        if ident not in self._lowers:
            self._lowers[ident] = self._order(ident)
        return self._lowers[ident]

    def _order(self, ident: str) -> Lowers:
        dummy, folder = self._place(ident)
        chain, whole = parents(self._records.layers, ident)
        if folder is None:
            return Lowers(self._with_templates(chain)[1:], 'layers.json', '', whole)
        listed = _names(folder)
        damage = ''
        if b'lower-layers' in listed:
            found = names.ids_of(_small(folder, b'lower-layers'))
            if found and len(found) <= names.MAX_DEPTH:
                return Lowers(found, 'lower-layers')
            damage = 'lower-layers is damaged'
        if b'lower' in listed:
            links = [self._linked(part) for part in _small(folder, b'lower').strip(b'\0\n ').split(b':')]
            found = [ident for ident in links if ident is not None]
            if found and len(found) == len(links) and len(found) <= names.MAX_DEPTH:
                return Lowers(found, 'lower', damage)
            damage = 'lower or the links in l/ are damaged'
        elif len(chain) > 1:
            damage = 'lower is missing'
        return Lowers(self._with_templates(chain)[1:], 'layers.json', damage, whole)

    def _with_templates(self, chain: List[str]) -> List[str]:
        """A copy of an image's layer for a user namespace lies on that layer, but names the parent of that as its own."""
        template = {}
        for image in self._records.images.values():
            for mapped in metadata.list_of(image, 'mapped-layers'):
                if names.is_id(image.get('layer')):
                    template[mapped] = image['layer']
        found = []
        for ident in chain:
            found.append(ident)
            if template.get(ident) and template[ident] not in chain:
                found.append(template[ident])
        return found

    def _linked(self, part: bytes) -> Optional[str]:
        """The layer that `l/LINK` leads to; None if nothing tells."""
        match = names.LINK.match(part)
        if match is None:
            return None
        for place in self._places:
            try:
                target = names.LINK_TARGET.match(place.dir.descend(os.path.join(self._tree, b'l')).readlink(match.group(1)))
            except OSError:
                continue
            if target:
                return target.group(1).decode('ascii')
        return self._all_links().get(match.group(1))

    def _all_links(self) -> Dict[bytes, str]:
        """{link: layer} of the file `link` of each layer."""
        if self._links is None:
            self._links = {}
            for place in self._places:
                try:
                    tree = place.dir.descend(self._tree)
                    listed = tree.names()
                except OSError:
                    continue
                for name in listed:
                    if names.ID_BYTES.match(name):
                        try:
                            with_link = tree.child(name)
                            self._links.setdefault(with_link.read(b'link', 64).strip(b'\0\n '), name.decode('ascii'))
                            with_link.close()
                        except OSError:
                            continue
        return self._links

    def work(self, ident: str) -> Optional[bytes]:
        return self._beside(ident, b'work')

    def merged(self, ident: str) -> Optional[bytes]:
        return self._beside(ident, b'merged')

    def _beside(self, ident: str, name: bytes) -> Optional[bytes]:
        folder = self._place(ident)[1]
        return None if folder is None else os.path.join(folder.path(), name)


TABLE = {'overlay': (b'overlay', Overlay), 'vfs': (b'vfs/dir', Driver), 'btrfs': (b'btrfs/subvolumes', Driver), 'zfs': (b'zfs/graph', Unreadable)}


def driver(name: str, places: List[Place], records: Records) -> Driver:
    """The Driver called NAME, which is one of TABLE."""
    tree, kind = TABLE[name]
    return kind(name, tree, places, records)


def present(listed: List[bytes]) -> List[str]:
    """The drivers that have records among the names of a graph root, sorted."""
    return sorted(name for name in TABLE if any(name.encode('ascii') + kind in listed for kind in (b'-layers', b'-containers', b'-images')))


def _names(folder: safeio.Dir) -> List[bytes]:
    try:
        return folder.names()
    except OSError:
        return []


def _is_folder(folder: safeio.Dir, path: bytes) -> bool:
    """Whether each part of PATH below FOLDER is a folder and no link."""
    parts = path.split(b'/')
    try:
        return all(stat.S_ISDIR(folder.stat(b'/'.join(parts[:count])).st_mode) for count in range(1, len(parts) + 1))
    except OSError:
        return False


def _small(folder: safeio.Dir, name: bytes) -> bytes:
    try:
        return folder.read(name, MAX_SMALL)
    except OSError:
        return b''


def pair(one: List[Any], other: List[Any]) -> List[Tuple[Any, Any]]:
    """The elements of both, where there are as many; [] otherwise."""
    return list(zip(one, other)) if len(one) == len(other) else []
