"""When nothing may be written: somebody works on the root, the disk is not whole, or the layout is not known."""
import io
import os
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Tuple

from ..disk import fsinfo, safeio
from ..engines.docker import liveness
from ..formats import tarsplit, wording
from . import known
from .view import LINK, View

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot

DATABASES = (b'volumes/metadata.db', b'network/files/local-kv.db')
MAX_LAYERS = 20                         # that are looked at for lost devices
MAX_NAMES = 20000                       # of each


class Refusal(NamedTuple):
    """Why nothing is done. `code` is one of records/codes.py."""
    code: str
    message: str
    next_step: str


def refusals(root: 'DataRoot', view: View) -> List[Refusal]:
    """[] if the root ROOT (inventory.DataRoot) may be repaired. LifeboatError where the disk cannot be read."""
    found = _in_use(root)
    if not known.is_known(view):
        found.append(Refusal('ROOT_LAYOUT_UNKNOWN', 'The layout of %s is none that repairs know.' % wording.show(root.path),
                             'Rescue what it holds, and restore it on a new host.'))
    else:
        found.extend(_bad_copy(root, view))
    return found


def _in_use(root: 'DataRoot') -> List[Refusal]:
    where, evidence = wording.show(root.path), []
    if root.liveness.state == liveness.RUNNING:
        evidence.append('dockerd works on it%s' % (' (process %d)' % root.liveness.pid if root.liveness.pid else ''))
    locks = [(root.path, name) for name in DATABASES]
    for store in root.candidate.containerd_roots:
        locks.extend((store, name) for name in _databases_of(store))
    for place, name in locks:
        if liveness.lock_holder(place, name).held:
            evidence.append('%s is locked by a living process' % wording.show(os.path.join(place, name)))
    ids = set(root.container_ids())
    running = [ident for ident in liveness.shims_of(root.host) if ident in ids]
    if running:
        evidence.append('%d of its containers run' % len(running))
    mounted = _mounted(root)
    if mounted:
        evidence.append('its containers have %s mounted' % wording.number(mounted, 'file system'))
    mount = fsinfo.mount_of(root.path, fsinfo.mounts())
    if mount is not None and (mount.fstype in fsinfo.SHARED or mount.fstype.startswith('fuse.')):
        evidence.append('it lies on %s, which another machine may use' % wording.show(mount.fstype))
    if not evidence:
        return []
    return [Refusal('ROOT_IN_USE', '%s is in use: %s.' % (where, '; '.join(evidence)),
                    'Stop dockerd and containerd, end their containers, and try again.')]


def _databases_of(store: bytes) -> List[bytes]:
    found = [b'io.containerd.metadata.v1.bolt/meta.db']
    try:
        with safeio.Dir.root(store) as top:
            found.extend(name + b'/metadata.db' for name in top.names() if name.startswith(b'io.containerd.snapshotter.v1.'))
    except OSError:
        pass
    return found


def _mounted(root: 'DataRoot') -> int:
    count = 0
    for mount in fsinfo.mounts():
        if mount.fstype == 'overlay':
            upper = next((option[9:] for option in mount.super_options if option.startswith(b'upperdir=')), b'')
            count += bool(upper) and fsinfo.is_below(fsinfo.unescape(upper), root.path)
    return count


def _bad_copy(root: 'DataRoot', view: View) -> Iterator[Refusal]:
    """Yield a Refusal of a copy that lost what the engine keeps outside of contents: it looks whole and is not."""
    for name in known.drivers_of(view):
        if name in known.DRIVERS:
            for kind, (there, lost) in sorted(_marks(view, name).items()):
                if lost and not there:  # one alone may be damage; all of them is a copy
                    yield Refusal('ROOT_COPY_INCOMPLETE', '%s has lost all %s of its image layers (%d looked at): it is a copy that did not take '
                                  'them along. What was deleted is there again, and nothing here can tell it.' % (
                                      wording.show(root.path), kind, lost), 'Copy the root again as root: cp -a or rsync -aHAXS.')
    image = view.stat(b'image')
    if os.fstat(root.dir.fd).st_uid == 0 and os.geteuid() == 0 and image is not None and image.st_uid != 0:
        yield Refusal('ROOT_COPY_INCOMPLETE', 'The folder image of %s belongs to user %d: the owners of this root were changed.' % (
            wording.show(root.path), image.st_uid), 'Copy the root again with its owners. Those of files in containers cannot be told.')


def _marks(view: View, driver: bytes) -> Dict[str, List[int]]:
    """{kind: [how many are there, how many are lost]} of what tar-split says that image layers have."""
    counts = {'device nodes of whiteouts': [0, 0], 'links': [0, 0], 'xattrs of opaque folders': [0, 0]}
    records = known.layers(view, driver)
    for chain in sorted(records)[:MAX_LAYERS]:
        cache_id = records[chain].cache_id
        raw = view.read(b'image/' + driver + b'/layerdb/sha256/' + chain[7:].encode() + b'/tar-split.json.gz', 16 << 20)
        if raw and known.has_content(view, driver, cache_id):
            for kind, there in _marks_of(view, driver + b'/' + cache_id + b'/diff/', raw):
                counts[kind][not there] += 1
    return counts


def _marks_of(view: View, content: bytes, raw: bytes) -> Iterator[Tuple[str, bool]]:
    """Yield (kind, whether it is there) for a layer. A damaged tar-split tells nothing of what follows."""
    header, left = b'', MAX_NAMES
    try:
        for entry in tarsplit.entries(io.BytesIO(raw)):
            if isinstance(entry, tarsplit.Segment):
                header = entry.data[-512:]
                continue
            left -= 1
            name = os.path.normpath(entry.name).lstrip(b'/')
            folder, dummy, base = name.rpartition(b'/')
            if left < 0 or name.startswith(b'..'):
                return
            if base == b'.wh..wh..opq':
                if os.geteuid() == 0:   # others do not see the attribute
                    yield 'xattrs of opaque folders', view.is_opaque(content + folder)
            elif base.startswith(b'.wh.') and not base.startswith(b'.wh..wh.'):
                yield 'device nodes of whiteouts', view.kind(os.path.join(content + folder, base[4:])) is not None
            elif len(header) == 512 and header[156:157] == b'2':
                yield 'links', view.kind(content + name) == LINK
    except tarsplit.TarSplitError:
        return
