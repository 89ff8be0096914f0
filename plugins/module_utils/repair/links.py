"""overlay2: link, l/, lower, work and init layers. Their order is layerdb's."""
import base64
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Dict, List, Optional

from . import known, steps
from .plan import Plan

if TYPE_CHECKING:
    from .view import View

CODES = {
    'LINK_FILE': steps.Code('The short name of a layer (link) is gone or empty.', 'Writes it: its link in l/, or its place in a lower file, or a new one.'),
    'LINK': steps.Code('A short link in l/ is gone, leads elsewhere, or is no link; nothing on it can be mounted.', 'Makes the link l/NAME to the layer.'),
    'LOWER': steps.Code('The list of layers below one is gone, empty or damaged; with an empty one a container would see the files of all others.',
                        'Writes lower from the order of layerdb.'),
    'WORK_FOLDER': steps.Code('The work folder of a layer is gone; it cannot be mounted.', 'Makes it.'),
    'INIT_LAYER': steps.Code('The init layer of a container is gone; the container cannot be mounted.',
                             'Makes a new one, as dockerd does for a new container.'),
}
_INIT_FOLDERS = (b'dev', b'dev/pts', b'dev/shm', b'proc', b'sys', b'etc')
_INIT_FILES = (b'.dockerenv', b'etc/hosts', b'etc/hostname', b'etc/resolv.conf', b'dev/console')
_MTAB = b'etc/mtab'


def plan(this: Plan, name: bytes, images: known.Images, userns: bool) -> None:
    """Plan for the driver NAME. USERNS: a root of user namespaces, whose init layers have owners that are not known here."""
    if not known.driver(this.view, name).ids:
        return
    order = _orders(this, name, images)
    _init_layers(this, name, order, userns)
    driver = known.driver(this.view, name)
    links = _names(driver, order)
    for ident in driver.ids:
        if known.has_content(this.view, name, ident):
            _one(this, driver, ident, links, order.get(ident))


def _orders(this: Plan, name: bytes, images: known.Images) -> Dict[bytes, List[bytes]]:
    """{id: ids that must lie below it, nearest first} by layerdb; only what is known whole."""
    records = known.layers(this.view, name)
    found: Dict[bytes, List[bytes]] = {}
    for chain, record in records.items():
        chains = known.upwards(chain, images.chains)
        below = _cache_ids(chains[1:], records)
        if record.cache_id and chains and below is not None:
            found[record.cache_id] = below
    for record in known.mounts(this.view, name).values():
        below = _cache_ids(known.upwards(record.parent, images.chains), records) if record.parent else None
        if record.mount_id and below:
            init = record.mount_id + b'-init'
            found[init] = below
            found[record.mount_id] = [init] + below
    return found


def _cache_ids(chains: List[str], records: Dict[str, known.Layer]) -> Optional[List[bytes]]:
    found = [records[chain].cache_id if chain in records else b'' for chain in chains]
    return found if all(found) else None


def _names(driver: known.Driver, order: Dict[bytes, List[bytes]]) -> Dict[bytes, bytes]:
    """{id: short name}: as found, else by the place in a lower file above, else a new one made of the id."""
    found = dict(driver.link_of)
    for ident in driver.ids:
        if ident in found:
            continue
        said = {driver.lower_of[above][below.index(ident)] for above, below in order.items()
                if ident in below and len(driver.lower_of.get(above, ())) == len(below)}
        said -= set(found.values())
        found[ident] = said.pop() if len(said) == 1 else new_name(ident)
    return found


def new_name(ident: bytes) -> bytes:
    """A short name as dockerd makes them (26 of A-Z2-7), always the same for one id."""
    return base64.b32encode(hashlib.sha256(ident).digest())[:26]


def _one(this: Plan, driver: known.Driver, ident: bytes, links: Dict[bytes, bytes], below: Optional[List[bytes]]) -> None:
    folder = driver.name + b'/' + ident
    link = links[ident]
    why = 'its link in l/ or a lower file says so' if ident in driver.link_of or link != new_name(ident) else 'a new name'
    this.write('LINK_FILE', folder + b'/link', link, why, steps.CERTAIN, 0o644)
    this.symlink('LINK', driver.name + b'/l/' + link, b'../' + ident + b'/diff', 'the link file of the layer', steps.CERTAIN)
    if not below:
        return                          # a base layer has neither lower nor work; of others the order is not known
    if any(one not in links for one in below):
        if not driver.below(ident):
            this.leave('LOWER', folder + b'/lower', 'a layer below it is gone', 'Copy the missing layer from a host that has it.')
        return
    said = driver.below(ident)
    if said and said != below:
        this.leave('LOWER', folder + b'/lower', 'lower and layerdb disagree about the layers below', 'Compare both with the image; nothing was written.')
        return
    lower = b':'.join(b'l/' + links[one] for one in below)
    if this.view.text(folder + b'/lower').encode() != lower:
        this.write('LOWER', folder + b'/lower', lower, 'the order of layerdb', steps.CERTAIN, 0o644)
    this.mkdir('WORK_FOLDER', folder + b'/work', 'overlay needs it', steps.CERTAIN, 0o700)


def _init_layers(this: Plan, name: bytes, order: Dict[bytes, List[bytes]], userns: bool) -> None:
    driver = known.driver(this.view, name)
    for record in known.mounts(this.view, name).values():
        init = record.mount_id + b'-init'
        if record.mount_id not in driver.ids or known.has_content(this.view, name, init) or not known.has_content(this.view, name, record.mount_id):
            continue
        below = order.get(init)
        path = name + b'/' + init
        if userns:
            this.leave('INIT_LAYER', path, 'owners of an init layer in a user namespace are not known', 'Rescue the container and restore it.')
        elif below:
            _new_init(this, name, path, _link_of_init(driver, record.mount_id, below, init), below)


def _link_of_init(driver: known.Driver, mount_id: bytes, below: List[bytes], init: bytes) -> bytes:
    lower = driver.lower_of.get(mount_id, [])
    return lower[0] if len(lower) == len(below) + 1 and lower[0] not in driver.id_of else new_name(init)


def _new_init(this: Plan, name: bytes, path: bytes, link: bytes, below: List[bytes]) -> None:
    """What dockerd puts into an init layer: each only where the image has not got it."""
    why = 'made as dockerd makes it for a new container'
    if any(this.view.stat(name + b'/' + one + b'/diff') is None for one in below):
        this.leave('INIT_LAYER', path, 'a layer below it is not there yet', 'Run the repair again when it is.')
        return
    image = {one: _in_image(this.view, name, below, one) for one in _INIT_FOLDERS + _INIT_FILES + (_MTAB,)}
    there = [st for st in (image[one] for one in _INIT_FOLDERS) if st is not None]
    if any(not stat.S_ISDIR(st.st_mode) or st.st_uid for st in there):
        this.leave('INIT_LAYER', path, 'the image has links, files or foreign owners where dockerd would make folders',
                   'Rescue the container and restore it.')
        return
    if not (this.mkdir('INIT_LAYER', path, why, steps.CERTAIN, 0o710) and this.mkdir('INIT_LAYER', path + b'/diff', why, steps.CERTAIN, 0o755)):
        return
    needed = [one for one in _INIT_FILES + (_MTAB,) if image[one] is None]
    for each in _INIT_FOLDERS:
        if image[each] is None or any(one.startswith(each + b'/') for one in needed):
            st = image[each]
            mode = 0o755 if st is None else stat.S_IMODE(st.st_mode)
            this.mkdir('INIT_LAYER', path + b'/diff/' + each, why, steps.CERTAIN, mode)
    for each in needed:
        if each != _MTAB:
            this.write('INIT_LAYER', path + b'/diff/' + each, b'', why, steps.CERTAIN, 0o755)
    if _MTAB in needed:
        this.symlink('INIT_LAYER', path + b'/diff/' + _MTAB, b'/proc/mounts', why, steps.CERTAIN)
    this.write('INIT_LAYER', path + b'/committed', b'', why, steps.CERTAIN, 0o600)
    this.write('INIT_LAYER', path + b'/link', link, why, steps.CERTAIN, 0o644)


def _in_image(view: 'View', name: bytes, below: List[bytes], relative: bytes) -> Optional[os.stat_result]:
    """os.stat_result of RELATIVE in the merged image, None where it has none. A link on the way counts as the thing itself."""
    parts = relative.split(b'/')
    for ident in below:
        here = name + b'/' + ident + b'/diff'
        for part in parts:
            here += b'/' + part
            st = view.stat(here)
            if st is None:
                break
            if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
                return None             # a whiteout
            if part is parts[-1] or not stat.S_ISDIR(st.st_mode):
                return st
    return None
