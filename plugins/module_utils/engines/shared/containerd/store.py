"""containerd's root: its two databases, its snapshots and its content store. Docker's containerd image store, Kubernetes and nerdctl
share it: each asks for its own namespaces.

``meta.db`` maps the names that an engine uses (a container id) to snapshot names; each snapshotter's own
``metadata.db`` maps those to numbered folders and to their parents. Where meta.db is damaged, the snapshot names
themselves still end with the container id; where both are, only the folders remain, unordered and unowned.
"""
import copy
import hashlib
import itertools
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ....disk import metadata, safeio
from ....formats import gotypes, jsonish, wording
from ....layers.chains import DIGEST, MAX_LAYERS, chain_ids, diff_ids_of
from ....records import model
from ....records.codes import problem
from ..boltfile import read_db
from . import snapshotters
from .snapshotters import ACTIVE, COMMITTED, FOLDER as SNAPSHOTTER, META

if TYPE_CHECKING:
    from ....formats.boltdb import Bucket

CONTENT = b'io.containerd.content.v1.content/blobs/sha256'
MAX_NESTED = 4                          # indexes within indexes
MAX_PLATFORMS = 100
CONTAINER_KEY = re.compile(r'[0-9a-f]{64}\Z')


class Snapshot(NamedTuple):
    """A snapshot as its snapshotter recorded it; `ident` is the number of its folder."""
    name: str
    ident: int
    kind: int
    parent: str
    created: Optional[str]
    inodes: Optional[int]


class Snapshotter(object):
    """One snapshotter's folder below a containerd root."""

    def __init__(self, root: safeio.Dir, name: str, userxattr: bool = False) -> None:
        self.name = name
        self.root = root
        self.folder_name = SNAPSHOTTER + os.fsencode(name)
        self.kind = snapshotters.kind(name)
        self.encoding = model.OVERLAY_USER if userxattr and self.kind.encoding == model.OVERLAY else self.kind.encoding
        self.damage = ''
        self._snapshots: Optional[Dict[str, Snapshot]] = None
        self._present: Dict[bytes, str] = {}

    def snapshots(self) -> Dict[str, Snapshot]:
        """{full name: Snapshot} of metadata.db; {} with `damage` set where it can't be read."""
        if self._snapshots is None:
            self._snapshots = {}
            database, self.damage = read_db(self.root, self.folder_name, b'metadata.db')
            if database is not None:
                errors = []
                bucket = database.root.bucket(b'v1', b'snapshots', errors=errors)
                if bucket is not None:
                    for key, inner in bucket.buckets(errors=errors):
                        record = snapshot_of(key, inner)
                        if record is not None:
                            self._snapshots[record.name] = record
                if errors:
                    self.damage = str(errors[0])
        return self._snapshots

    def relative(self, record: Snapshot) -> bytes:
        """Path of a snapshot's content below the containerd root."""
        content = self.kind.content_of.get(record.kind, self.kind.content)
        return self.folder_name + b'/' + os.fsencode(content % record.ident)

    def absolute(self, relative: bytes) -> bytes:
        top, dummy, below = relative.partition(b'/')
        place = (self.root.links or {}).get(top)
        return os.path.join(self.root.path(), relative) if place is None else os.path.join(place, below)

    def layer(self, record: Snapshot, chain_id: Optional[str] = None) -> Tuple[model.Layer, str]:
        """(model.Layer, why it is not whole or '')."""
        relative = self.relative(record)
        layer = model.Layer(self.absolute(relative), self.encoding or '', model.COMPLETE, None, chain_id, str(record.ident))
        if relative not in self._present:
            try:
                folder = self.root.descend(relative)
                empty = False
                if record.kind == COMMITTED and (record.inodes or 0) > 1:
                    empty = folder.is_empty()
                folder.close()
                self._present[relative] = 'its folder is empty although files belong there' if empty else ''
            except OSError as exc:
                self._present[relative] = 'its folder: ' + metadata.describe(exc)
        why = self._present[relative]
        return (layer._replace(status=model.LOST), why) if why else (layer, '')

    def numbers(self) -> List[int]:
        """Numbers of the folders that exist, for when no database tells what they are."""
        try:
            names = self.root.descend(self.folder_name + b'/snapshots').names()
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isdigit())


class ContainerdStore(object):
    """A containerd root. PATH is absolute on the managed node. NAMESPACES: those that are read; (): Docker's. MOVED: (snapshotter, folder on the
    managed node) of those that the configuration puts elsewhere (root_path). Raises OSError if it cannot be opened."""

    def __init__(self, path: bytes, userxattr: bool = False, namespaces: Sequence[str] = (), moved: Sequence[Tuple[str, bytes]] = ()) -> None:
        self.path = path
        self.wanted = list(namespaces)
        self.root = safeio.Dir.root(path)
        self.root.links = {SNAPSHOTTER + os.fsencode(name): place for name, place in moved}
        self.userxattr = userxattr
        self._meta: Optional[Tuple[Optional[Bucket]]] = None
        self._snapshotters: Optional[Dict[str, Snapshotter]] = None
        self._names: Dict[Tuple[str, str], Tuple[Dict[str, str], Dict[str, str]]] = {}
        self._blobs: Dict[str, Optional[bytes]] = {}
        self.damage = ''

    def close(self) -> None:
        self.root.close_all()

    def places(self) -> List[bytes]:
        """Folders on the managed node that hold it: its own, and those of snapshotters that were put elsewhere."""
        return [self.path] + sorted((self.root.links or {}).values())

    def within(self, namespace: str) -> 'ContainerdStore':
        """The same store with one namespace. What was read is shared, and it is closed with this one."""
        self.meta()
        self.snapshotters()
        found = copy.copy(self)
        found.wanted = [namespace]
        return found

    # -- databases -----------------------------------------------------------------------------------------------------

    def meta(self) -> 'Optional[Bucket]':
        """The top bucket ``v1`` of meta.db, None where it can't be read (then `damage` says why)."""
        if self._meta is None:
            database, self.damage = read_db(self.root, META, b'meta.db')
            self._meta = (database.root.bucket(b'v1', errors=[]) if database is not None else None,)
        return self._meta[0]

    def all_namespaces(self) -> List[str]:
        """Every namespace of meta.db, sorted; [] where it can't be read."""
        meta = self.meta()
        return sorted(key.decode('utf-8', 'replace') for key, dummy in meta.buckets(errors=[])) if meta is not None else []

    def namespaces(self, suffix: str = '') -> List[str]:
        """The namespaces that were asked for, or Docker's: ``moby`` and, with user namespaces, ``moby-<uid>.<gid>``."""
        if self.wanted:
            return self.wanted
        meta = self.meta()
        wanted = 'moby' + ('-' + suffix if suffix else '')
        if meta is None:
            return [wanted]
        found = [key.decode('utf-8', 'replace') for key, dummy in meta.buckets(errors=[])]
        found = [name for name in found if name == wanted or (not suffix and name.startswith('moby'))]
        return sorted(found, key=lambda name: name != wanted)

    def used(self) -> bool:
        """False for the empty folder of a containerd that was never started: no database is missing there."""
        try:
            return any(name.startswith(b'io.containerd.') for name in self.root.names())
        except OSError:
            return True

    def snapshotters(self) -> Dict[str, Snapshotter]:
        """{name: Snapshotter} of every snapshotter folder."""
        if self._snapshotters is None:
            self._snapshotters = {}
            try:
                names = self.root.names()
            except OSError:
                names = []
            for name in sorted({*names, *(self.root.links or ())}):
                if name.startswith(SNAPSHOTTER):
                    short = name[len(SNAPSHOTTER):].decode('utf-8', 'replace')
                    self._snapshotters[short] = Snapshotter(self.root, short, self.userxattr)
        return self._snapshotters

    def names_of(self, namespace: str, snapshotter: str) -> Tuple[Dict[str, str], Dict[str, str]]:
        """{Docker's key: full snapshot name}; from meta.db, else from the ends of the snapshot names themselves."""
        known = (namespace, snapshotter)
        if known not in self._names:
            table = {}
            meta = self.meta()
            if meta is not None:
                bucket = meta.bucket(namespace.encode(), b'snapshots', snapshotter.encode(), errors=[])
                if bucket is not None:
                    for key, inner in bucket.buckets(errors=[]):
                        name = inner.get(b'name', errors=[])
                        if name:
                            table[key.decode('utf-8', 'replace')] = name.decode('utf-8', 'replace')
            spare = {}
            if snapshotter in self.snapshotters():
                for name in self.snapshotters()[snapshotter].snapshots():
                    parts = name.split('/', 2)
                    if len(parts) == 3 and parts[0] == namespace:
                        spare[parts[2]] = name
            self._names[known] = (table, spare)
        return self._names[known]

    def spec(self, container_id: str, suffix: str = '') -> Optional[Dict[str, Any]]:
        """The OCI runtime spec of a container that was running (dict), None if there is none."""
        meta = self.meta()
        if meta is None:
            return None
        for namespace in self.namespaces(suffix):
            bucket = meta.bucket(namespace.encode(), b'containers', container_id.encode(), errors=[])
            raw = bucket.get(b'spec', errors=[]) if bucket is not None else None
            if raw:
                try:
                    value = jsonish.loads(gotypes.any_message(raw)[1])
                except ValueError:
                    continue
                if isinstance(value, dict):
                    return value
        return None

    # -- a container's stack ---------------------------------------------------------------------------------------------

    def resolve(self, container_id: str, snapshotter: str, suffix: str = '') -> model.Resolution:
        """Like Graphdriver.resolve for a container (or any other snapshot key) of the containerd store."""
        problems, sources = [], {}
        if snapshotter not in self.snapshotters():
            return model.Resolution(None, model.LOST, (problem(
                'STORE_UNREACHABLE', container_id, 'The snapshotter %s of %s has no folder in %s.' % (
                    snapshotter, container_id[:12], wording.text(self.path)),
                'Name the right one with containerd_root.'),), {})
        shots = self.snapshotters()[snapshotter]
        table = shots.snapshots()
        record = None
        for namespace in self.namespaces(suffix):
            by_meta, by_name = self.names_of(namespace, snapshotter)
            for source, names in (('meta.db', by_meta), ('snapshot names', by_name)):
                if record is None and container_id in names and names[container_id] in table:
                    record, sources['writable'] = table[names[container_id]], source
        if record is None:
            why = shots.damage or self.damage or 'no snapshot carries its id'
            return model.Resolution(None, model.LOST, (problem(
                'WRITABLE_LAYER_UNKNOWN', container_id, 'The snapshot of %s is not recorded: %s.' % (container_id[:12], why),
                'Look at the orphan snapshots of this host; orphans: true rescues them all.'),), sources)
        if sources['writable'] != 'meta.db':
            problems.append(problem('LAYER_ORDER_FALLBACK', container_id, 'meta.db does not have the snapshot of %s (%s); '
                                    'it was found by its name.' % (container_id[:12], self.damage or 'not listed'), ''))
        if shots.encoding is None:
            return model.Resolution(None, model.UNSUPPORTED, tuple(problems) + (problem(
                'DRIVER_UNSUPPORTED', container_id, 'The writable layer of %s is snapshot %d of %s, which cannot be read as '
                'files.' % (container_id[:12], record.ident, snapshotter), shots.kind.next_step % record.ident + '.'),), sources)
        stack, status, notes = self.stack_of(shots, record, container_id)
        sources['layers'] = 'metadata.db'
        return model.Resolution(stack, status, tuple(problems) + notes, sources)

    def stack_of(self, shots: Snapshotter, record: Snapshot, owner: str) -> Tuple[model.Stack, str, Tuple[model.Problem, ...]]:
        """(model.Stack, status, problems) of a snapshot and everything below it."""
        problems = []
        writable, why = shots.layer(record)
        if why:
            problems.append(problem('WRITABLE_LAYER_LOST', owner, 'The writable layer of %s (snapshot %d of %s) is gone: '
                                    '%s.' % (owner[:12], record.ident, shots.name, why), ''))
            writable = None
        init, image, incomplete = None, [], False
        table, seen, name = shots.snapshots(), {record.name}, record.parent
        while name:
            below = table.get(name)
            if below is None or name in seen or len(image) > MAX_LAYERS:
                incomplete = True
                problems.append(problem('IMAGE_LAYER_UNKNOWN', owner, 'The chain of layers of %s ends at %s.' % (
                    owner[:12], name), 'The writable layer is rescued; load the image again to complete it.'))
                break
            seen.add(name)
            key = name.split('/', 2)[-1]
            layer, why = shots.layer(below, key if DIGEST.match(key) else None)
            if why or shots.kind.lazy and self._lazy(shots, below):
                why = why or 'its content was fetched on demand and is not on this disk'
                layer = layer._replace(status=model.LOST)
                problems.append(problem('IMAGE_LAYER_LOST', owner, 'Image layer %s (snapshot %d) of %s: %s.' % (
                    key, below.ident, owner[:12], why), 'To complete it, pull the image again on a healthy host.'))
            if init is None and not image and key == owner + '-init':
                init = layer
            else:
                image.append(layer)
            name = below.parent
        work = os.path.dirname(shots.absolute(shots.relative(record))) + b'/work' if shots.encoding != model.PLAIN else None
        stack = model.Stack(writable, init, tuple(image), work, None)
        if writable is None:
            return stack, model.LOST, tuple(problems)
        return stack, model.COMPLETE if stack.known() and not incomplete else model.PARTIAL, tuple(problems)

    def _lazy(self, shots: Snapshotter, record: Snapshot) -> bool:
        try:
            return self.root.descend(shots.relative(record)).is_empty()
        except OSError:
            return True

    def writable_keys(self, suffix: str = '') -> Iterator[Tuple[str, str, str, Snapshot]]:
        """Yield (namespace, snapshotter, key, Snapshot) of every active snapshot named by 64 hex digits: containers, and
        mounts of images into containers."""
        for snapshotter, shots in sorted(self.snapshotters().items()):
            table = shots.snapshots()
            for namespace in self.namespaces(suffix):
                by_meta, by_name = self.names_of(namespace, snapshotter)
                names = dict(by_name)
                names.update(by_meta)
                for key in sorted(names):
                    record = table.get(names[key])
                    if record is not None and record.kind == ACTIVE and CONTAINER_KEY.match(key):
                        yield namespace, snapshotter, key, record

    # -- content and images ----------------------------------------------------------------------------------------------

    def blob_path(self, digest: str) -> Optional[bytes]:
        """Absolute path of a blob, None if it is not here."""
        if digest not in self._blobs:
            self._blobs[digest] = None
            if DIGEST.match(digest or ''):
                try:
                    folder = self._content()
                    name = digest[7:].encode('ascii')
                    if stat.S_ISREG(folder.stat(name).st_mode):
                        self._blobs[digest] = os.path.join(folder.path(), name)
                except OSError:
                    pass
        return self._blobs[digest]

    def _content(self) -> safeio.Dir:
        return self.root.descend(CONTENT)

    def blob_json(self, digest: str) -> metadata.Found:
        """metadata.Found of a JSON blob; damage also if it does not have its digest."""
        if not DIGEST.match(digest or ''):
            return metadata.Found(None, 'no digest', '')
        try:
            found = metadata.read_json(self._content(), digest[7:].encode('ascii'))
        except OSError as exc:
            return metadata.Found(None, metadata.describe(exc), '')
        if found.raw is not None and hashlib.sha256(found.raw).hexdigest() != digest[7:]:
            return found._replace(damage=found.damage or 'does not match its digest')
        return found

    def image_targets(self, suffix: str = '') -> Dict[str, List[str]]:
        """{target digest: [image names]} of Docker's namespaces."""
        targets = {}
        meta = self.meta()
        if meta is None:
            return targets
        for namespace in self.namespaces(suffix):
            bucket = meta.bucket(namespace.encode(), b'images', errors=[])
            if bucket is None:
                continue
            for name, inner in bucket.buckets(errors=[]):
                target = inner.bucket(b'target', errors=[])
                digest = target.get(b'digest', errors=[]) if target is not None else None
                if digest:
                    targets.setdefault(digest.decode('ascii', 'replace'), []).append(name.decode('utf-8', 'replace'))
        return targets

    def manifests(self, digest: str, depth: int = 0) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Yield (digest, manifest dict) behind a target: itself, or the platform manifests of an index, and of indexes in it, that
        are here (attestations left out)."""
        found = self.blob_json(digest)
        value = found.value
        if value is None or found.damage:
            return
        listed = metadata.list_of(value, 'manifests')
        if not listed:
            if not depth or isinstance(metadata.get(value, 'config'), dict):
                yield digest, value
            return
        for descriptor in listed if depth < MAX_NESTED else ():
            if not metadata.get(descriptor, 'annotations', 'vnd.docker.reference.type'):
                yield from self.manifests(metadata.text_of(descriptor, 'digest'), depth + 1)

    def image(self, digest: str, names: List[str], suffix: str = '', manifest_digest: Optional[str] = None) -> model.Image:
        """model.Image of a target digest. MANIFEST_DIGEST: the platform a container was made for."""
        found = []
        for inner_digest, manifest in itertools.islice(self.manifests(digest), MAX_PLATFORMS):
            image = self._image(digest, names, manifest, suffix)
            if inner_digest == manifest_digest:
                return image
            found.append(image)
        own = self.blob_json(manifest_digest) if manifest_digest and manifest_digest != digest else None
        if own is not None and own.value is not None and not own.damage:
            return self._image(digest, names, own.value, suffix)        # the index does not name it, as it should
        if found:
            # an engine unpacks the platform that it runs; the others are blobs, if they are here at all
            best = max(found, key=lambda image: (image.status == model.COMPLETE, any(layer.path for layer in image.layers)))
            others = [image for image in found if image is not best and image.status == model.COMPLETE and image.layers]
            return best._replace(problems=best.problems + _other_platforms(best, others))
        why = self.blob_json(digest).damage or 'no manifest of it is here'
        return model.Image(digest, references_of(names), None, None, None, model.LOST, (), {}, None, 'containerd', self.path,
                           None, (problem('IMAGE_CONFIG_LOST', digest, 'Image %s: %s.' % (digest, why),
                                          'Pull it again on a healthy host.'),))

    def _image(self, digest: str, names: List[str], manifest: Dict[str, Any], suffix: str) -> model.Image:
        config_digest = metadata.text_of(manifest, 'config', 'digest')
        found = self.blob_json(config_digest)
        config = found.value or {}
        problems = []
        usable = found.value is not None and not found.damage
        if not usable:
            problems.append(problem('IMAGE_CONFIG_LOST', digest, 'The config %s of image %s: %s.' % (
                config_digest or 'blob', digest[:19], found.damage), 'Pull it again on a healthy host.'))
        blobs = metadata.list_of(manifest, 'layers')
        diff_ids = diff_ids_of(config)
        layers = []
        for position, (diff_id, chain_id) in enumerate(zip(diff_ids, chain_ids(diff_ids))):
            blob = blobs[position] if position < len(blobs) and isinstance(blobs[position], dict) else {}
            path, ident, encoding, unpacked = self._unpacked(chain_id, suffix)
            blob_path = self.blob_path(metadata.text_of(blob, 'digest'))
            whole = unpacked or blob_path is not None
            size = metadata.get(blob, 'size')
            if not whole:
                problems.append(problem('IMAGE_LAYER_LOST', digest, 'Layer %s of image %s is neither unpacked nor kept as a '
                                        'blob.' % (diff_id, digest[:19]), 'Pull the image again on a healthy host.'))
            layers.append(model.ImageLayer(
                diff_id, chain_id, ident, path, size if isinstance(size, int) else None,
                model.COMPLETE if whole else model.LOST, encoding or model.OVERLAY, None, blob_path,
                metadata.text_of(blob, 'digest') or None, metadata.text_of(blob, 'mediaType') or None))
        status = model.worst([layer.status for layer in layers]) if usable else \
            (model.PARTIAL if layers else model.LOST)
        return model.Image(digest, references_of(names), metadata.text_of(config, 'created') or None,
                           metadata.text_of(config, 'architecture') or None, metadata.text_of(config, 'os') or None,
                           status, tuple(layers), config, found.raw, 'containerd', self.path, None, tuple(problems),
                           metadata.text_of(config, 'variant') or None, config_digest or None,
                           os.path.join(self.path, CONTENT))

    def _unpacked(self, chain_id: str, suffix: str) -> Tuple[Optional[bytes], Optional[str], Optional[str], bool]:
        """(path, folder number, encoding, complete) of the snapshot with a chainID; Nones where there is none."""
        for snapshotter, shots in self.snapshotters().items():
            for namespace in self.namespaces(suffix):
                for names in self.names_of(namespace, snapshotter):
                    record = shots.snapshots().get(names.get(chain_id, ''))
                    if record is not None and shots.encoding is not None:
                        layer, why = shots.layer(record, chain_id)
                        return layer.path, layer.cache_id, layer.encoding, not why
        return None, None, None, False


def _other_platforms(image: model.Image, others: List[model.Image]) -> Tuple[model.Problem, ...]:
    if not others:
        return ()
    name = image.references[0] if image.references else image.id[:19]
    return (problem('IMAGE_OTHER_PLATFORM', image.id, 'Image %s is on this disk for %s too. Only %s is listed and rescued.' % (
        name, ', '.join(sorted({_platform(one) for one in others})), _platform(image)),
        'Pull the others again; if they were built here, keep the disk.'),)


def _platform(image: model.Image) -> str:
    return '/'.join(part for part in (image.os, image.architecture, image.variant) if part)


def snapshot_of(key: bytes, bucket: 'Bucket') -> Optional[Snapshot]:
    """Snapshot of one bucket of a snapshotter's metadata.db, None if it has no id."""
    try:
        ident = gotypes.uvarint(bucket.get(b'id', errors=[]) or b'')[0]
    except ValueError:
        return None
    kind = bucket.get(b'kind', errors=[]) or b'\0'
    created = inodes = None
    try:
        created = gotypes.binary_time(bucket.get(b'createdat', errors=[]) or b'')
    except ValueError:
        pass
    try:
        inodes = gotypes.varint(bucket.get(b'inodes', errors=[]) or b'')[0]
    except ValueError:
        pass
    return Snapshot(key.decode('utf-8', 'replace'), ident, kind[0],
                    (bucket.get(b'parent', errors=[]) or b'').decode('utf-8', 'replace'), created, inodes)


def references_of(names: List[str]) -> Tuple[str, ...]:
    """Image names of containerd in the form that Docker shows; untagged ones have none."""
    found = []
    for name in names:
        if name.startswith('moby-dangling@'):
            continue
        for prefix in ('docker.io/library/', 'docker.io/'):
            if name.startswith(prefix):
                name = name[len(prefix):]
                break
        found.append(name)
    return tuple(sorted(found))
