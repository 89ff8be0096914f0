"""Files of image layers that are not what the image had, out of a donor. tar-split names each file of a layer with its checksum and has its
header; the whole must have the layer's digest before anything counts as certain.

What cannot be done file by file is done with the whole layer, where a donor has it with its digest: see whole.py.
"""
import base64
import hashlib
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from ..archive import tarread, unpack
from ..formats import tarsplit, wording
from ..images import layerdata, loadfile
from . import donors, steps, whole
from .plan import Plan
from .view import FOLDER, LINK

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot
    from ..records.model import ImageLayer

CODES = {
    'LAYER_FILE': steps.Code('A file of an image layer is not what the image had: empty after a power cut, changed, or gone.',
                             'With donor: writes the file of the same layer (diffID) from there. Certain where the layer then has its digest.'),
}
MAX_BYTES = 256 << 20                   # of one plan, held in memory


class Damaged(NamedTuple):
    """A file of a layer that is not what it was. `header`: its headers in the tar."""
    file: tarsplit.File
    header: bytes


class Look(NamedTuple):
    """What is wrong with a layer. `gone`: names without content (folders, links, empty files) that are not there, or are something else.

    `linked`: damaged files that have further names (hard links) in the image. `unreadable`: files that the disk does not give.
    """
    damaged: Dict[bytes, Damaged]
    gone: List[bytes]
    linked: Set[bytes]
    unreadable: List[bytes]


def plan(this: Plan, root: 'DataRoot', given: List[bytes]) -> None:
    """Plan for all image layers of ROOT (inventory.DataRoot) that have tar-split data, with the donors GIVEN."""
    if not given:
        return
    seen, unchecked, room = set(), set(), MAX_BYTES
    for image in root.images():
        for position, layer in enumerate(image.layers):
            if layer.blob is not None and not layerdata.has_tar_split(layer):
                unchecked.add(layer.chain_id)
            elif layer.chain_id not in seen and layerdata.has_tar_split(layer):
                seen.add(layer.chain_id)
                room -= _layer(this, root, layer, image.layers[:position][::-1], given, room)
    if unchecked:
        this.leave('LAYER_FILE', b'', '%d image layers are in containerd\'s store, which notes no checksums of their files: they were not compared with the '
                   'donor' % len(unchecked), 'If files of an image are damaged, pull the image again by its digest.')


def _layer(this: Plan, root: 'DataRoot', layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', given: List[bytes], room: int) -> int:
    """How many bytes were planned for a layer."""
    if layer.path is None:
        return 0
    folder = os.path.relpath(layer.path, root.path)
    inside = not folder.startswith(b'..')
    try:
        look = _looked(this, layer, below, folder if inside else b'')
    except (tarsplit.TarSplitError, OSError) as exc:
        this.leave('LAYER_FILE', folder, 'its tar-split data cannot be read (%s), so nobody can tell whether its files are whole' % exc,
                   'If the plan makes them anew (LAYER_TAR_SPLIT), run the repair again afterwards. Else pull the image again by its digest.')
        return 0
    if look.unreadable:
        this.leave('LAYER_FILE', _path(folder, look.unreadable[0]),
                   '%s of this layer cannot be read from the disk' % wording.number(len(look.unreadable), 'file'),
                   'Copy the disk first (ddrescue), and repair the copy.')
    if not look.damaged and not look.gone:
        return 0
    if not inside or root.idmap:
        this.leave('LAYER_FILE', layer.path,
                   'This layer has %s, and it lies outside of the root or in a user namespace' % wording.number(len(look.damaged), 'damaged file'),
                   'Pull the image again by its digest.')
        return 0
    size = sum(one.file.size for one in look.damaged.values())
    why = _why_whole(this, folder, look, size > room)
    if why and _replaced(this, folder, layer, given, why):
        return 0
    for name in look.gone:
        this.leave('LAYER_FILE', _path(folder, name), 'it is gone, or is something else than in the image, and no donor has layer %s whole' % layer.diff_id,
                   'Name another donor, or pull the image again by its digest.')
    if size > room:
        this.leave('LAYER_FILE', folder, 'This layer has %s, %s, more than one run heals one by one, and no donor has layer %s '
                   'whole' % (wording.number(len(look.damaged), 'damaged file'), wording.number(size, 'byte'), layer.diff_id),
                   'Name another donor, or pull the image again by its digest.')
        return 0
    _one_by_one(this, folder, layer, below, given, look)
    return size


def _why_whole(this: Plan, folder: bytes, look: Look, large: bool) -> str:
    """Why the files of a layer cannot be healed one by one; '' if they can."""
    if look.gone:
        return '%s, links and empty files of it are gone or damaged, too' % wording.number(len(look.gone), 'folder')
    if large:
        return 'what is damaged is too much to be healed one by one'
    hard = sum(name in look.linked or _names_of(this, _path(folder, name)) > 1 for name in look.damaged)
    return '%d of its damaged files have several names (hard links)' % hard if hard else ''


def _replaced(this: Plan, folder: bytes, layer: 'ImageLayer', given: List[bytes], why: str) -> bool:
    """Plan the whole folder out of a donor, the damaged one aside. False if no donor can give it."""
    if os.geteuid() != 0 or not layer.diff_id or not whole.has(this, given, layer.diff_id):
        return False
    found = 'files of it are damaged; %s. A donor has the layer, and its tar has the digest' % why
    return this.aside('LAYER_FOLDER', folder, found, steps.CERTAIN) and this.place('LAYER_FOLDER', folder, layer.diff_id, given, found) or True


def _one_by_one(this: Plan, folder: bytes, layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', given: List[bytes], look: Look) -> None:
    wanted = donors.Wanted({name: one.file for name, one in look.damaged.items()})
    donors.search(given, layer.diff_id or '', wanted)
    for name in sorted(wanted.left):
        this.leave('LAYER_FILE', os.path.join(folder, name), 'it is damaged, and no donor has this file of layer %s' % layer.diff_id,
                   'Name another donor, or pull the image again by its digest.')
    proven = not wanted.left and _has_digest(layer, below, wanted.found)
    why = 'the same layer of a donor has it; ' + ('the layer has its digest then' if proven else 'its checksum is right, the layer is not whole')
    for name, data in sorted(wanted.found.items()):
        path = _path(folder, name)
        if name in look.linked or _names_of(this, path) > 1:    # a new file would leave the other names with what is damaged
            this.leave('LAYER_FILE', path, 'it has several names (hard links), and no donor has layer %s whole' % layer.diff_id,
                       'Name another donor, or pull the image again by its digest.')
            continue
        this.write('LAYER_FILE', path, data, why, steps.CERTAIN if proven else steps.LIKELY, attributes=_attributes(look.damaged[name].header))


def _path(folder: bytes, name: bytes) -> bytes:
    return os.path.join(folder, os.path.normpath(name).lstrip(b'/'))


def _names_of(this: Plan, path: bytes) -> int:
    st = this.view.stat(path)
    return st.st_nlink if st is not None else 0


def _looked(this: Plan, layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', folder: bytes) -> Look:
    """Compare a layer with its tar-split data. FOLDER: where it is below the root, b'' if outside. TarSplitError, OSError."""
    bad: List[tarsplit.Damage] = []
    with layerdata.LayerFiles(layer, below) as files:
        with layerdata.opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
            for dummy in tarsplit.assemble(split, files.open, bad):
                pass
    names = {one.name for one in bad if one.kind != 'unreadable' and not os.path.normpath(one.name).startswith(b'..')}
    found, gone, links = {}, [], set()
    for header, entry in _members(layer):
        if entry.name in names and entry.size:
            found[entry.name] = Damaged(entry, header)
        elif not entry.size and folder and _is_gone(this, folder, entry.name, header):
            gone.append(entry.name)
        if names and header[-tarread.BLOCK:][156:157] == tarread.HARDLINK:
            member = _member(header)
            links.update((member.link,) if member is not None else ())
    return Look(found, gone, {name for name in found if donors.plain(name) in links}, [one.name for one in bad if one.kind == 'unreadable'])


def _members(layer: 'ImageLayer') -> 'Iterator[Tuple[bytes, tarsplit.File]]':
    """Yield (its headers, tarsplit.File) of every member of a layer's tar."""
    with layerdata.opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
        header, fill = b'', 0
        for entry in tarsplit.entries(split):
            if isinstance(entry, tarsplit.Segment):
                header += entry.data
                continue
            yield header[fill:], entry  # what fills the last block of the file before it comes first
            header, fill = b'', -entry.size % tarread.BLOCK


def _is_gone(this: Plan, folder: bytes, name: bytes, header: bytes) -> bool:
    """Whether a member without content is not in the layer. One that was reached through a link of the layer counts as there."""
    path = _path(folder, name)
    parent, dummy, base = path.rpartition(b'/')
    if base.startswith(b'.wh.'):        # a mark of what was deleted: refuse.py looks at those
        return False
    kind = this.view.kind(path)
    if kind is None:
        return this.view.is_folder(parent)
    sort = header[-tarread.BLOCK:][156:157]
    if sort == tarread.FOLDER:
        return kind != FOLDER
    if sort == tarread.SYMLINK:
        return kind != LINK or len(header) == tarread.BLOCK and this.view.target(path) != header[157:257].rstrip(b'\0')
    return False


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
    """Mode, owner, time and extended attributes by the headers of a tar, as objects.give() takes them; None where they tell none."""
    member = _member(header)
    if member is None:
        return None
    found: Dict[str, Any] = {'mode': member.mode, 'uid': member.uid, 'gid': member.gid, 'times': [member.mtime, member.mtime]}
    xattrs = {os.fsdecode(name): base64.b64encode(value).decode('ascii') for name, value in (member.xattrs or {}).items()
              if name not in unpack.HOST_XATTRS}
    if xattrs:
        found['xattrs'] = xattrs
    return found


def _member(header: bytes) -> Optional[tarread.Member]:
    """The member that headers of a tar announce; None if they are not whole."""
    try:
        return next(iter(tarread.Reader(loadfile.Stream(iter((header,))), 'the layer')), None)
    except tarread.ArchiveError:
        return None
