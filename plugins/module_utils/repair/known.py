"""What the plan builds on: image configs that are what their name says, layer records, folders of the driver, containers.

Everything is read through a View, so that what was planned before counts.
"""
import hashlib
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from ..formats import boltdb, jsonish
from ..layers.chains import chain_ids, diff_ids_of
from .view import FOLDER, MAX_DB, View

HEX = re.compile(rb'[0-9a-f]{64}\Z')
DRIVERS = (b'overlay2', b'fuse-overlayfs')      # the layout of links, lower files and init layers that section links.py knows
LAYER_ID = re.compile(rb'([0-9a-f]{64}(-init)?|[0-9a-z]{25})\Z')
LINK_NAME = re.compile(rb'[A-Z2-7]{26}\Z')
DIGEST = re.compile(r'sha256:[0-9a-f]{64}\Z')
META_DB = b'io.containerd.metadata.v1.bolt/meta.db'
_LINK_TARGET = re.compile(rb'\.\./([^/]+)/diff\Z')


class Chain(NamedTuple):
    """A layer that an image config proves: its chainID is the SHA-256 of the other two."""
    diff_id: str
    parent: str                         # chainID, '' for a base layer


class Images(NamedTuple):
    """Images whose config is on the disk, whole, and has the name that its content has."""
    configs: Dict[str, Dict[str, Any]]  # image ID -> config
    chains: Dict[str, Chain]            # chainID -> what it is
    top: Dict[str, str]                 # image ID -> chainID of its topmost layer


class Driver(NamedTuple):
    """One storage driver of the root. Ids are names of folders below FOLDER."""
    name: bytes
    ids: List[bytes]
    link_of: Dict[bytes, bytes]         # id -> its 26 letters
    id_of: Dict[bytes, bytes]           # and back
    lower_of: Dict[bytes, List[bytes]]  # id -> 26 letters of what lies below, nearest first; [] where lower says nothing whole

    def below(self, ident: bytes) -> List[bytes]:
        """Ids below IDENT by its lower file, nearest first; [] if one of them is unknown."""
        found = [self.id_of.get(link) for link in self.lower_of.get(ident, ())]
        return [one for one in found if one is not None] if None not in found else []


class Mount(NamedTuple):
    """layerdb/mounts/NAME as texts; '' for what is missing or damaged."""
    mount_id: bytes
    init_id: bytes
    parent: str


class Layer(NamedTuple):
    """layerdb/sha256/NAME; '' for what is missing or damaged."""
    cache_id: bytes
    diff_id: str
    parent: str
    size: str


def drivers_of(view: View) -> List[bytes]:
    """Storage drivers that have a layer database here."""
    return [name for name in view.names(b'image') if view.is_folder(b'image/' + name + b'/layerdb')]


def is_known(view: View) -> bool:
    """Whether this is a data root of a layout that repairs know: the folders of every engine since 1.10."""
    if view.names(b'graph') or any(name.startswith(b'repositories-') for name in view.names(b'')):
        return False
    return view.is_folder(b'containers') and (bool(drivers_of(view)) or any(view.is_folder(place) for place in view.top.containerd))


def images(view: View, driver: bytes) -> Images:
    """Images of a driver's image database."""
    configs: Dict[str, Dict[str, Any]] = {}
    chains: Dict[str, Chain] = {}
    top: Dict[str, str] = {}
    folder = b'image/' + driver + b'/imagedb/content/sha256'
    for name in view.names(folder):
        raw = view.read(folder + b'/' + name) if HEX.match(name) else None
        if not raw or hashlib.sha256(raw).hexdigest().encode() != name:
            continue
        config = _object(raw)
        diff_ids = diff_ids_of(config)
        ids = chain_ids(diff_ids)
        for chain, diff_id, parent in zip(ids, diff_ids, [''] + ids):
            chains[chain] = Chain(diff_id, parent)
        ident = 'sha256:' + name.decode('ascii')
        configs[ident] = config
        top[ident] = ids[-1] if ids else ''
    return Images(configs, chains, top)


def upwards(chain: str, chains: Dict[str, Chain]) -> List[str]:
    """chainIDs of CHAIN and all below it, top first; [] if one of them is not proven."""
    found = []
    while chain:
        if chain not in chains or len(found) > 512:
            return []
        found.append(chain)
        chain = chains[chain].parent
    return found


def driver(view: View, name: bytes) -> Driver:
    """The folders of an overlay driver and what they say of each other."""
    ids = [one for one in view.names(name) if LAYER_ID.match(one) and view.is_folder(name + b'/' + one)]
    known = set(ids)
    link_of: Dict[bytes, bytes] = {}
    id_of: Dict[bytes, bytes] = {}
    for one in ids:
        link = view.text(name + b'/' + one + b'/link').encode()
        if LINK_NAME.match(link) and link not in id_of:
            link_of[one], id_of[link] = link, one
    for link in view.names(name + b'/l'):
        match = _LINK_TARGET.match(view.target(name + b'/l/' + link) or b'')
        if match and match.group(1) in known and LINK_NAME.match(link) and match.group(1) not in link_of and link not in id_of:
            link_of[match.group(1)], id_of[link] = link, match.group(1)
    return Driver(name, ids, link_of, id_of, {one: _lower(view.text(name + b'/' + one + b'/lower')) for one in ids})


def _lower(text: str) -> List[bytes]:
    parts = text.encode().split(b':') if text else []
    links = [part[2:] for part in parts if part.startswith(b'l/') and LINK_NAME.match(part[2:])]
    return links if len(links) == len(parts) else []


def has_content(view: View, driver_name: bytes, ident: bytes) -> bool:
    """Whether the folder of a layer is there with its files' folder."""
    return bool(ident) and view.is_folder(driver_name + b'/' + ident + b'/diff')


def mounts(view: View, driver_name: bytes) -> Dict[bytes, Mount]:
    """{name in layerdb/mounts: Mount}, and of every container that should have one."""
    folder = b'image/' + driver_name + b'/layerdb/mounts'
    names = set(view.names(folder)) | {ident for ident in containers(view) if driver_of(view, ident) == driver_name}
    found = {}
    for name in sorted(names):
        texts = [view.text(folder + b'/' + name + b'/' + one) for one in (b'mount-id', b'init-id', b'parent')]
        mount_id, init_id = texts[0].encode(), texts[1].encode()
        found[name] = Mount(mount_id if LAYER_ID.match(mount_id) else b'', init_id if LAYER_ID.match(init_id) else b'',
                            texts[2] if DIGEST.match(texts[2]) else '')
    return found


def writable(view: View) -> Set[Tuple[str, bytes]]:
    """(driver, container id) of every container whose writable layer is recorded and there."""
    return {(os.fsdecode(name), ident) for name in drivers_of(view) for ident, record in mounts(view, name).items()
            if has_content(view, name, record.mount_id)}


def layers(view: View, driver_name: bytes) -> Dict[str, Layer]:
    """{chainID: Layer} of layerdb/sha256."""
    folder = b'image/' + driver_name + b'/layerdb/sha256'
    found = {}
    for name in view.names(folder):
        if HEX.match(name):
            texts = [view.text(folder + b'/' + name + b'/' + one) for one in (b'cache-id', b'diff', b'parent', b'size')]
            cache = texts[0].encode()
            found['sha256:' + name.decode()] = Layer(cache if LAYER_ID.match(cache) else b'', texts[1] if DIGEST.match(texts[1]) else '',
                                                     texts[2] if DIGEST.match(texts[2]) else '', texts[3] if texts[3].isdigit() else '')
    return found


def containers(view: View) -> List[bytes]:
    """Ids that have a folder below containers/."""
    return [name for name in view.names(b'containers') if HEX.match(name) and view.is_folder(b'containers/' + name)]


def config_path(ident: bytes) -> bytes:
    return b'containers/' + ident + b'/config.v2.json'


def hostconfig_path(ident: bytes) -> bytes:
    return b'containers/' + ident + b'/hostconfig.json'


def config(view: View, ident: bytes) -> Optional[Dict[str, Any]]:
    """A container's own record; None if it is absent, damaged, or another's."""
    found = view.json(config_path(ident))
    return found if found is not None and found.get('ID') == ident.decode('ascii') else None


def driver_of(view: View, ident: bytes) -> bytes:
    """The storage driver of a container: as recorded, else the only one whose layer database knows it, else the only one."""
    found = config(view, ident)
    if found is not None and isinstance(found.get('Driver'), str):
        return os.fsencode(found['Driver'])
    names = drivers_of(view)
    knowing = [name for name in names if view.kind(b'image/' + name + b'/layerdb/mounts/' + ident) == FOLDER]
    if len(knowing) == 1:
        return knowing[0]
    return names[0] if len(names) == 1 and not has_snapshots(view) else b''


def has_snapshots(view: View) -> bool:
    """Whether a containerd of this engine holds layers."""
    return any(holds_layers(view, place) for place in view.top.containerd)


def holds_layers(view: View, place: bytes) -> bool:
    """Whether the containerd with the root PLACE holds layers or images, of whichever client."""
    return any(view.names(place + b'/' + name + b'/snapshots') for name in view.names(place)
               if name.startswith(b'io.containerd.snapshotter.v1.')) or bool(view.names(place + b'/io.containerd.content.v1.content/blobs/sha256'))


def runtime_specs(view: View) -> Dict[bytes, Dict[str, Any]]:
    """{container id: OCI runtime spec} of what ran, from the databases of containerd; {} if they are not readable."""
    found: Dict[bytes, Dict[str, Any]] = {}
    for place in view.top.containerd:
        raw = view.read(place + b'/' + META_DB, MAX_DB)
        try:
            root = boltdb.open_db(raw).root if raw else None
        except boltdb.BoltError:
            continue
        if root is not None:
            _specs_of(root, found)
    return found


def _specs_of(root: boltdb.Bucket, found: Dict[bytes, Dict[str, Any]]) -> None:
    errors: List[boltdb.BoltError] = []
    top = root.bucket(b'v1', errors=errors)
    for dummy, space in top.buckets(errors) if top is not None else ():
        holder = space.bucket(b'containers', errors=errors)
        for ident, record in holder.buckets(errors) if holder is not None else ():
            spec = record.get(b'spec', errors) or b''
            at = spec.find(b'{"ociVersion"')
            value = _object(spec[at:spec.rfind(b'}') + 1]) if at >= 0 else None
            if value and HEX.match(ident):
                found[ident] = value


def _object(raw: bytes) -> Dict[str, Any]:
    try:
        value = jsonish.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
