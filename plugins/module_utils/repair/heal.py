"""Files of image layers that are not what the image had, out of a donor. tar-split names each file of a layer with its checksum and has its
header; the whole must have the layer's digest before anything counts as certain.
"""
import hashlib
import os
import tarfile
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..formats import tarsplit
from ..images import layerdata
from . import donors, steps
from .plan import Plan

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot
    from ..records.model import ImageLayer

CODES = {
    'LAYER_FILE': steps.Code('A file of an image layer is not what the image had: empty after a power cut, changed, or gone.',
                             'With donor: writes the file of the same layer (diffID) from there. Certain where the layer then has its digest.'),
}
MAX_BYTES = 256 << 20                   # of one plan, held in memory


class Damaged(NamedTuple):
    """A file of a layer that is not what it was. `header`: its 512 bytes of tar, b'' if there are none."""
    file: tarsplit.File
    header: bytes


def plan(this: Plan, root: 'DataRoot', given: List[bytes]) -> None:
    """Plan for all image layers of ROOT (inventory.DataRoot) that have tar-split data, with the donors GIVEN."""
    if not given:
        return
    seen, room = set(), MAX_BYTES
    for image in root.images():
        for position, layer in enumerate(image.layers):
            if layer.chain_id not in seen and layerdata.has_tar_split(layer):
                seen.add(layer.chain_id)
                room -= _layer(this, root, layer, image.layers[:position][::-1], given, room)


def _layer(this: Plan, root: 'DataRoot', layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', given: List[bytes], room: int) -> int:
    """How many bytes were planned for a layer."""
    damaged = _damaged(layer, below)
    if not damaged or layer.path is None:
        return 0
    folder = os.path.relpath(layer.path, root.path)
    if folder.startswith(b'..') or root.idmap:
        this.leave('LAYER_FILE', layer.path, '%d files of this layer are damaged, and it lies outside of the root or in a user namespace' % len(damaged),
                   'Pull the image again by its digest.')
        return 0
    size = sum(one.file.size for one in damaged.values())
    if size > room:
        this.leave('LAYER_FILE', folder, '%d files of this layer are damaged, %d bytes, more than one run heals' % (len(damaged), size),
                   'Run the repair again, or pull the image again by its digest.')
        return 0
    wanted = donors.Wanted({name: one.file for name, one in damaged.items()})
    donors.search(given, layer.diff_id or '', wanted)
    for name in sorted(wanted.left):
        this.leave('LAYER_FILE', os.path.join(folder, name), 'it is damaged, and no donor has this file of layer %s' % layer.diff_id,
                   'Name another donor, or pull the image again by its digest.')
    proven = not wanted.left and _has_digest(layer, below, wanted.found)
    why = 'the same layer of a donor has it; ' + ('the layer has its digest then' if proven else 'its checksum is right, the layer is not whole')
    for name, data in sorted(wanted.found.items()):
        path = os.path.join(folder, os.path.normpath(name).lstrip(b'/'))
        st = this.view.stat(path)
        if st is not None and st.st_nlink > 1:  # a new file would leave the other names with what is damaged
            this.leave('LAYER_FILE', path, 'it has %d names (hard links)' % st.st_nlink, 'Pull the image again by its digest.')
            continue
        this.write('LAYER_FILE', path, data, why, steps.CERTAIN if proven else steps.LIKELY, attributes=_attributes(damaged[name].header))
    return size


def _damaged(layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]') -> Dict[bytes, Damaged]:
    """{name: Damaged} of a layer; {} also where its tar-split data cannot be read."""
    bad: List[tarsplit.Damage] = []
    found: Dict[bytes, Damaged] = {}
    try:
        with layerdata.LayerFiles(layer, below) as files:
            with layerdata.opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
                for dummy in tarsplit.assemble(split, files.open, bad):
                    pass
        names = {one.name for one in bad if one.kind != 'unreadable'}
        if not names:
            return {}
        with layerdata.opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
            header = b''
            for entry in tarsplit.entries(split):
                if isinstance(entry, tarsplit.Segment):
                    header = entry.data[-512:]
                elif entry.name in names:
                    found[entry.name] = Damaged(entry, header)
    except (tarsplit.TarSplitError, OSError):
        return {}
    return found


def _has_digest(layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', healed: Dict[bytes, bytes]) -> bool:
    """Whether the layer has its diffID with the files HEALED."""
    digest = hashlib.sha256()
    try:
        with layerdata.LayerFiles(layer, below) as files, layerdata.opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
            for piece in tarsplit.assemble(split, lambda name, size: (healed[name],) if name in healed else files.open(name, size)):
                digest.update(piece)
    except (tarsplit.TarSplitError, OSError):
        return False
    return 'sha256:' + digest.hexdigest() == layer.diff_id


def _attributes(header: bytes) -> Optional[Dict[str, Any]]:
    """Mode, owner and times by a tar header, as objects.give() takes them; None where it tells none."""
    try:
        item = tarfile.TarInfo.frombuf(header, 'utf-8', 'surrogateescape')
    except tarfile.TarError:
        return None
    seconds = int(item.mtime) * 10 ** 9
    return {'mode': item.mode & 0o7777, 'uid': item.uid, 'gid': item.gid, 'times': [seconds, seconds]}
