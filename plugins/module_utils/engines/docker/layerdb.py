"""``image/<driver>/layerdb``: dockerd's record of image layers and of containers' layers (moby: layer/)."""
import os
import re
import stat
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

from ...disk import metadata
from ...formats.values import count_of
from ...layers.chains import DIGEST, HEX, MAX_LAYERS
from .drivers.common import CACHE_ID

if TYPE_CHECKING:
    from ...disk.safeio import Dir

REMOVING = re.compile(rb'([0-9a-f]{64})-.+-removing\Z')


class LayerRecord(NamedTuple):
    """An entry of layerdb/sha256. `damage` is '' or why dockerd would not load it."""
    chain_id: str
    diff_id: Optional[str]
    parent: Optional[str]               # chainID, None for a base layer
    cache_id: Optional[bytes]
    size: Optional[int]
    folder: bytes                       # name in layerdb/sha256
    damage: str


class MountRecord(NamedTuple):
    """An entry of layerdb/mounts."""
    mount_id: Optional[bytes]
    init_id: Optional[bytes]
    parent: Optional[str]
    exists: bool


class LayerDb(object):
    """FOLDERS: metadata.Folders of image/<driver>."""

    def __init__(self, folders: metadata.Folders) -> None:
        self._folders = folders
        self._layers: Optional[Dict[str, LayerRecord]] = None
        self._mounts: Dict[str, MountRecord] = {}

    def layers(self) -> Dict[str, LayerRecord]:
        """{chainID: LayerRecord} of every entry of layerdb/sha256, also damaged ones and half-removed ones."""
        if self._layers is None:
            self._layers = {}
            removing = []
            for name in self._folders.names(b'layerdb/sha256'):
                if HEX.match(name):
                    record = self._layer(name, name)
                    self._layers[record.chain_id] = record
                else:
                    begun = REMOVING.match(name)
                    if begun is not None:
                        removing.append((begun.group(1), name))
            for chain, name in removing:
                record = self._layer(chain, name)
                known = self._layers.get(record.chain_id)
                if known is None or known.damage:
                    self._layers[record.chain_id] = record._replace(damage=record.damage or 'removal was interrupted')
        return self._layers

    def _layer(self, chain: bytes, name: bytes) -> LayerRecord:
        chain_id = 'sha256:' + chain.decode('ascii')
        try:
            folder = self._folders.child(b'layerdb/sha256', name)
        except OSError as exc:
            return LayerRecord(chain_id, None, None, None, None, name, metadata.describe(exc))
        damage = []
        cache_id = metadata.read_text(folder, b'cache-id').encode()
        if not CACHE_ID.match(cache_id):
            cache_id = None
            damage.append('cache-id')
        diff_id = metadata.read_text(folder, b'diff')
        if not DIGEST.match(diff_id):
            diff_id = None
            damage.append('diff')
        parent = None
        try:
            parent = folder.read(b'parent', 4096).replace(b'\0', b'').strip().decode('ascii', 'replace')
            if not DIGEST.match(parent):
                parent = None
                damage.append('parent')
        except FileNotFoundError:
            if diff_id is not None and diff_id != chain_id:
                damage.append('parent')  # only a base layer's chainID is its diffID
        except OSError:
            damage.append('parent')
        size = metadata.read_text(folder, b'size')
        if count_of(size) is None:
            damage.append('size')
        folder.close()
        return LayerRecord(chain_id, diff_id, parent, cache_id, count_of(size), name,
                           ', '.join(damage) + ' empty or damaged' if damage else '')

    def tar_split(self, record: LayerRecord) -> 'Optional[Tuple[Dir, bytes]]':
        """(folder, name) of a layer's tar-split file, None if it has none."""
        try:
            folder = self._folders.child(b'layerdb/sha256', record.folder)
            if stat.S_ISREG(folder.stat(b'tar-split.json.gz').st_mode):
                return folder, b'tar-split.json.gz'
        except OSError:
            pass
        return None

    def mount_names(self) -> List[str]:
        """Names in layerdb/mounts: container ids, and layers of image mounts and builds."""
        return [name.decode('utf-8', 'backslashreplace') for name in self._folders.names(b'layerdb/mounts')]

    def mount(self, name: str) -> MountRecord:
        """MountRecord of layerdb/mounts/NAME; every part of it may be missing."""
        if name not in self._mounts:
            self._mounts[name] = self._mount(name)
        return self._mounts[name]

    def _mount(self, name: str) -> MountRecord:
        try:
            folder = self._folders.child(b'layerdb/mounts', os.fsencode(name))
        except OSError:
            return MountRecord(None, None, None, False)
        mount_id = metadata.read_text(folder, b'mount-id').encode()
        init_id = metadata.read_text(folder, b'init-id').encode()
        parent = metadata.read_text(folder, b'parent')
        folder.close()
        return MountRecord(mount_id if CACHE_ID.match(mount_id) else None, init_id if CACHE_ID.match(init_id) else None,
                           parent if DIGEST.match(parent) else None, True)

    def chain(self, top: Optional[str]) -> Tuple[List[str], bool]:
        """chainIDs from TOP down by layerdb's parents, and whether the walk broke off."""
        layers, chain, current = self.layers(), [], top
        while current is not None and len(chain) < MAX_LAYERS and current not in chain:
            record = layers.get(current)
            chain.append(current)
            if record is None or 'parent' in record.damage:
                return chain, True
            if record.parent is None and record.diff_id is None:
                return chain, True
            current = record.parent
        return chain, current is not None
