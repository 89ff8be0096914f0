"""layerdb/sha256: records of image layers, from the image configs that prove them and the order of folders above them."""
import re
import stat
from typing import Dict, List, Match, Set

from ..formats import wording
from . import known, steps
from .plan import Plan

CODES = {
    'LAYER_RECORD': steps.Code('The record of an image layer is gone; dockerd hides the image and every container on it.',
                               'Makes the record anew: chainID, diffID and parent are proven by the image config.'),
    'LAYER_REMOVING': steps.Code('The removal of an image layer was begun and its files are still there.', 'Gives its record the old name back.'),
    'LAYER_CACHE_ID': steps.Code('Which folder an image layer has is not recorded any more.',
                                 'Writes cache-id: its place in every readable lower file above it, all of which must agree.'),
    'LAYER_DIFF': steps.Code('diff of an image layer is gone, empty or wrong.', 'Writes it; the chainID is the SHA-256 of parent and diff.'),
    'LAYER_PARENT': steps.Code('parent of an image layer is gone, empty or wrong; a layer without it passes as a base layer.',
                               'Writes it; the chainID is the SHA-256 of parent and diff.'),
    'LAYER_SIZE': steps.Code('size of an image layer is gone or empty.', 'Writes the sum of what is in its folder.'),
}
_REMOVING = re.compile(rb'([0-9a-f]{64})-.+-removing\Z')
MAX_FILES = 5000000


def plan(this: Plan, name: bytes, images: known.Images) -> None:
    """Plan for the driver NAME."""
    view = this.view
    driver = known.driver(view, name)
    records = known.layers(view, name)
    folder = b'image/' + name + b'/layerdb/sha256'
    for match in filter(None, map(_REMOVING.match, view.names(folder))):
        _unremove(this, folder, match, driver, records, images)
    records = known.layers(view, name)
    cache = {chain: record.cache_id for chain, record in records.items() if known.has_content(view, name, record.cache_id)}
    places = _places(this, driver, cache, images)
    # base layers first, so that a layer can be found by what lies under it
    for chain in sorted(images.chains, key=lambda one: (len(known.upwards(one, images.chains)), one)):
        _layer(this, folder, chain, driver, records, cache, places, images)


def _unremove(this: Plan, folder: bytes, match: Match[bytes], driver: known.Driver, records: Dict[str, known.Layer], images: known.Images) -> None:
    chain = 'sha256:' + match.group(1).decode()
    cache_id = this.view.text(folder + b'/' + match.group() + b'/cache-id').encode()
    if chain in images.chains and chain not in records and known.has_content(this.view, driver.name, cache_id):
        this.rename('LAYER_REMOVING', folder + b'/' + match.group(), folder + b'/' + match.group(1),
                    'an image needs it, and its files are there', steps.CERTAIN)


def _places(this: Plan, driver: known.Driver, cache: Dict[str, bytes], images: known.Images) -> Dict[str, Set[bytes]]:
    """{chainID: ids that some lower file puts there}."""
    found: Dict[str, Set[bytes]] = {}
    for record in known.mounts(this.view, driver.name).values():
        below = [one for one in driver.below(record.mount_id) if not one.endswith(b'-init')]
        _learn(found, record.parent, below, images)
    for chain, cache_id in cache.items():
        parent = images.chains[chain].parent if chain in images.chains else ''
        _learn(found, parent, driver.below(cache_id), images)
    return found


def _learn(found: Dict[str, Set[bytes]], chain: str, below: List[bytes], images: known.Images) -> None:
    chains = known.upwards(chain, images.chains)
    if len(chains) == len(below):       # else one of the two is not whole
        for each, ident in zip(chains, below):
            found.setdefault(each, set()).add(ident)


def _layer(this: Plan, folder: bytes, chain: str, driver: known.Driver, records: Dict[str, known.Layer], cache: Dict[str, bytes],
           places: Dict[str, Set[bytes]], images: known.Images) -> None:
    proven = images.chains[chain]
    path = folder + b'/' + chain[7:].encode()
    record = records.get(chain)
    code = 'LAYER_RECORD' if record is None else ''
    record = record or known.Layer(b'', '', '', '')
    if record.cache_id not in driver.ids:
        found = _cache_id(this, path, chain, record.cache_id, driver, cache, places, images)
        why = 'it lies there in the lower files above' if places.get(chain) else 'the only folder directly on its parent that nothing claims'
        if not found or not this.write(code or 'LAYER_CACHE_ID', path + b'/cache-id', found, why, steps.CERTAIN if places.get(chain) else steps.LIKELY,
                                       0o644):
            return
        cache[chain] = found
        record = record._replace(cache_id=found)
    if record.diff_id != proven.diff_id:
        this.write(code or 'LAYER_DIFF', path + b'/diff', proven.diff_id.encode(), 'the image config and the chainID prove it', steps.CERTAIN, 0o644)
    if proven.parent and record.parent != proven.parent:
        this.write(code or 'LAYER_PARENT', path + b'/parent', proven.parent.encode(), 'the image config and the chainID prove it', steps.CERTAIN, 0o644)
    # what comes from a donor can be summed up only when it is there
    if not record.size and this.view.stat(driver.name + b'/' + record.cache_id + b'/diff') is not None:
        size = tree_size(this.view, driver.name + b'/' + record.cache_id + b'/diff')
        this.write(code or 'LAYER_SIZE', path + b'/size', b'%d' % size, 'sum of all in its folder that is no folder', steps.CERTAIN, 0o644)


def _cache_id(this: Plan, path: bytes, chain: str, recorded: bytes, driver: known.Driver, cache: Dict[str, bytes],
              places: Dict[str, Set[bytes]], images: known.Images) -> bytes:
    """The folder of a layer, b'' if that is not decided. RECORDED: a folder that it had and that is gone; then no other one is guessed."""
    said = {one for one in places.get(chain, ()) if known.has_content(this.view, driver.name, one)}
    if not places.get(chain) and not recorded:
        said = set(_alone_on(this, images.chains[chain], driver, cache))
    taken = {one for other, one in cache.items() if other != chain}
    said -= taken
    if len(said) == 1:
        return said.pop()
    this.leave('LAYER_CACHE_ID', path + b'/cache-id', wording.number_is(len(said), 'folder', 'fit') if said else 'no folder of this layer is left',
               'Pull the image again by its digest on a healthy host and copy the layer from there.')
    return b''


def _alone_on(this: Plan, proven: known.Chain, driver: known.Driver, cache: Dict[str, bytes]) -> List[bytes]:
    """Folders of image layers that no record claims, directly on the parent's."""
    claimed = set(cache.values()) | {one.mount_id for one in known.mounts(this.view, driver.name).values()}
    parent = cache.get(proven.parent, b'')
    if proven.parent and not parent:
        return []
    found: List[bytes] = []
    for ident in driver.ids:
        if ident in claimed or ident.endswith(b'-init') or ident + b'-init' in driver.ids or not known.has_content(this.view, driver.name, ident):
            continue
        if driver.below(ident)[:1] == [parent] if proven.parent else this.view.kind(driver.name + b'/' + ident + b'/lower') is None:
            found.append(ident)
    return found


def tree_size(view: known.View, path: bytes) -> int:
    """Sum of sizes of everything below PATH that is no folder, each inode once (links count by their length)."""
    total, seen, left = 0, set(), MAX_FILES
    pending = [path]
    while pending and left > 0:
        folder = pending.pop()
        for name in view.names(folder):
            st = view.stat(folder + b'/' + name)
            left -= 1
            if st is None:
                continue
            if stat.S_ISDIR(st.st_mode):
                pending.append(folder + b'/' + name)
            elif st.st_ino not in seen:
                seen.add(st.st_ino)
                total += st.st_size
    return total
