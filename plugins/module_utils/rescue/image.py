# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container as an image that every engine loads: its image's own layers, and the writable layer on top.

What is written is an OCI layout that also has docker's ``manifest.json``: Docker with the graphdriver store reads the
latter, Docker with the containerd store, skopeo and podman the former (FORMATS 10.3, 10.4). It holds two images: the
original under its own tags, and the container as ``lifeboat/<name>:<first 12 of its id>``.

It is one file, ``image.tar``, or, where other bundles of the run have layers in common with it, a folder ``image/``
whose layers are hard links into ``images/`` (see imagestore). Layers are not packed again: containerd's gzip blobs stay
as they are; what is put together by tar-split stays plain, because a gzip of our own would cost more time than the
disk; zstd is unpacked, because Docker 20.10 cannot load it.
"""
import hashlib
import json
import os
import platform
import re
import tempfile
from typing import Dict, NamedTuple

from ..storage import graphdriver, metadata, model, safeio
from ..storage.containerd import CONTENT
from . import imagecodes, layerdata, plan
from .imagestore import BLOBS, FULL_NAME, INDEX_TYPE, LAYOUT, REF_NAME, TarFile, document

FORMAT = 1                              # raised when the same source would be written otherwise
ARCHIVE, FOLDER = 'archive', 'folder'
MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'
# Of a container's Config, what an image has; the rest (Hostname, Tty ...) belongs to the one container
FIELDS = ('User', 'ExposedPorts', 'Env', 'Entrypoint', 'Cmd', 'Healthcheck', 'ArgsEscaped', 'Volumes', 'WorkingDir',
          'OnBuild', 'Labels', 'StopSignal', 'StopTimeout', 'Shell')
MACHINES = {'x86_64': 'amd64', 'aarch64': 'arm64', 'armv7l': 'arm', 'i686': '386'}
NEVER = '0001-01-01T00:00:00Z'          # how Go writes that there was no such time
MAX_NOTES = 20
HOLES = 2 << 30                         # bytes of holes of a writable layer that are not written as zeros


class Estimate(NamedTuple):
    """Bytes that an image takes in the target. `shared`: {diffID: bytes} of layers that other bundles may have too."""
    own: int
    shared: Dict[str, int]


class _Again(Exception):
    """What was promised in a header turned out otherwise: write once more, knowing better."""


# -- before anything is written ------------------------------------------------------------------------------------------------


def source_of(image, container=None):
    """The model.Image to write: IMAGE, or where it is lost, one made of the layers that the container's stack names."""
    if image is not None and (image.config or image.layers):
        return image
    stack = container.stack if container is not None else None
    if stack is None:
        return image
    layers = []
    for layer in stack.image[::-1]:
        split = None
        if layer.chain_id and container.store == 'graphdriver':
            split = os.path.join(container.root, b'image', os.fsencode(container.driver or ''), b'layerdb/sha256',
                                 os.fsencode(layer.chain_id[7:]), b'tar-split.json.gz')
        layers.append(model.ImageLayer(layer.diff_id, layer.chain_id, layer.cache_id, layer.path, None, layer.status,
                                       layer.encoding, split if split and layer.diff_id and os.path.isfile(split) else None))
    reference = container.image_reference
    return model.Image(container.image_id or '', (reference,) if reference else (), None, None, None, model.PARTIAL,
                       tuple(layers), {}, None, container.store, container.root, container.driver)


def fingerprint(image, container=None, writable=None):
    """A string that changes when what is written would: ids, tags, the layers' sources, the container's Config, and
    WRITABLE, the fingerprint of the writable layer (plan.Estimate.fingerprint; measured here if it is not given)."""
    image = source_of(image, container)
    facts = [FORMAT]
    if image is not None:
        facts += [image.id, image.config_digest, sorted(image.references)]
        facts += [[layer.diff_id, layer.status, layer.blob_digest, _stat(layer.blob), _stat(layer.tar_split)]
                  for layer in image.layers]
    if container is not None:
        if writable is None:
            writable = _measured(container)
            writable = writable.fingerprint if writable is not None else 'none'
        facts += [container.id, container.name, metadata.dict_of(container.config, 'Config'), writable]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode('utf-8', 'surrogatepass')).hexdigest()


def estimate(image, container=None, writable=None):
    """Estimate of what write() will write, without reading data. WRITABLE: plan.Estimate of the writable layer."""
    image = source_of(image, container)
    shared, own = {}, 64 * 1024
    for position, layer in enumerate(image.layers if image is not None else ()):
        stored = _stat(layer.blob)
        if stored:
            size = stored[0]
        elif layer.path is None or layer.status != model.COMPLETE:
            continue
        elif layer.bytes is not None:
            # headers and padding: a dozen bytes for each byte of their packed record
            size = layer.bytes + 12 * (_stat(layer.tar_split) or (0,))[0] + 10240
        else:
            size = _walked(image, position)
        shared[layer.diff_id or layer.chain_id or str(position)] = size
    if container is not None:
        writable = writable or _measured(container)
        if writable is not None:
            holes = writable.bytes - writable.allocated
            own += (writable.allocated if holes >= HOLES else writable.bytes) + 1024 * writable.entries
    return Estimate(own, shared)


def _stat(path):
    try:
        st = os.lstat(path) if path is not None else None
    except OSError:
        st = None
    return [st.st_size, st.st_mtime_ns] if st is not None else None


def _measured(container):
    """plan.Estimate of a writable layer, None where there is none that can be read."""
    if container.stack is None or container.stack.writable is None:
        return None
    try:
        return plan.measure(plan.Item('writable', 'writable', 'writable', plan.LayerTree(container.stack), 'layer', {}))
    except OSError:
        return None


def _walked(image, position):
    known = layerdata.as_layers(image.layers[position::-1], _full_copies(image))
    try:
        found = plan.measure(plan.Item('', '', '', plan.LayerTree(model.Stack(known[0], None, known[1:])), 'layer', {}))
    except OSError:
        return 0
    return found.bytes + 1024 * found.entries


def _full_copies(image):
    return image.driver == 'overlay'


# -- one layer -----------------------------------------------------------------------------------------------------------------


class _Layer(object):
    """An image layer and the best way to its bytes that has not failed yet."""

    def __init__(self, image, position, idmap, store):
        self.layer = image.layers[position]
        self.number = position + 1
        self._below = image.layers[:position][::-1]
        self._full_copies = _full_copies(image)
        self._idmap = idmap
        self._known = store.rebuilt if store is not None else {}
        self.method = None
        self.message = ''
        self.damaged = ()
        self.damaged_total = 0
        self.digest = self.diff_id = self.media_type = None
        self.size = 0
        self.made = None
        self._unpacked = False
        self._choose((layerdata.BLOB, layerdata.TAR_SPLIT, layerdata.REBUILT, layerdata.NONE))

    @property
    def exact(self):
        return self.method in (layerdata.BLOB, layerdata.TAR_SPLIT)

    @property
    def promised(self):
        """Its digest is believed, not yet seen: damage shows only while it is read."""
        return self.exact and not self._unpacked

    @property
    def whole(self):
        """Nothing is known to be missing in it."""
        return self.method != layerdata.NONE and not self.damaged_total and not (self.made and self.made.failures_total)

    def _choose(self, methods):
        for method in methods:
            self.method = method
            try:
                if getattr(self, '_' + method.replace('-', '_'))():
                    return
            except layerdata.LayerError as exc:
                self._note(exc)

    def fail(self, error):
        """What it was taken from is damaged: go to the next way."""
        self._note(error)
        if self.method == layerdata.TAR_SPLIT and not self.damaged_total or self.damaged:
            names, total, dummy = layerdata.damages(self.layer, self._below) if self.method == layerdata.TAR_SPLIT else \
                (self.damaged, self.damaged_total, '')
            self.damaged, self.damaged_total = names, total
        order = (layerdata.BLOB, layerdata.TAR_SPLIT, layerdata.REBUILT, layerdata.NONE)
        self._choose(order[order.index(self.method) + 1:])

    def _note(self, error):
        self.message = str(error)
        self.damaged, self.damaged_total = error.damaged, error.total

    # the ways; each answers whether it can be gone, and then sets digest, size, media_type and diff_id

    def _blob(self):
        blob = layerdata.blob_of(self.layer)
        if blob is None or self.layer.diff_id is None:
            return False
        self.diff_id = self.layer.diff_id
        if blob.packed == layerdata.ZSTD:
            try:
                self.size = sum(len(piece) for piece in layerdata.blob_tar(self.layer))
                self.digest, self.media_type, self._unpacked = self.diff_id, LAYER_TYPE, True
                return True
            except model.LifeboatError as exc:
                self.message = 'it stays packed with zstd, which Docker 20.10 cannot load (%s)' % exc
        self.digest, self.size = self.layer.blob_digest, blob.size
        self.media_type = LAYER_TYPE + ('+' + blob.packed if blob.packed else '')
        return True

    def _tar_split(self):
        if not layerdata.has_tar_split(self.layer) or self.layer.diff_id is None:
            return False
        self.size = layerdata.tar_size(self.layer)
        self.digest = self.diff_id = self.layer.diff_id
        self.media_type = LAYER_TYPE
        return True

    def _rebuilt(self):
        if self.layer.path is None or self.layer.status != model.COMPLETE:
            return False
        key = (self.layer.path, self.layer.chain_id)
        if key not in self._known:
            try:
                self._known[key] = layerdata.make(self._entries, None, self._idmap)
            except OSError as exc:
                raise layerdata.LayerError('its folder cannot be read: %s' % metadata.describe(exc))
        self.made = self._known[key]
        self.digest = self.diff_id = self.made.diff_id
        self.size = self.made.size
        self.media_type = LAYER_TYPE
        return True

    def _none(self):
        self.digest = self.diff_id = self.media_type = None
        self.size = 0
        self.message = self.message or 'its files are not on this disk'
        return True

    def _entries(self):
        return layerdata.rebuilt((self.layer,) + self._below, self._full_copies)

    def copy(self, write):
        """Write its bytes; layerdata.LayerError where they are not what was promised."""
        if self.method == layerdata.BLOB:
            for piece in layerdata.blob_tar(self.layer) if self._unpacked else layerdata.blob_bytes(self.layer):
                write(piece)
        elif self.method == layerdata.TAR_SPLIT:
            for piece in layerdata.split_tar(self.layer, self._below):
                write(piece)
        elif layerdata.make(self._entries, write, self._idmap).diff_id != self.diff_id:
            self._known.pop((self.layer.path, self.layer.chain_id), None)
            raise layerdata.LayerError('it changed while it was read')

    def record(self):
        return {'diff_id': self.diff_id, 'recorded_diff_id': self.layer.diff_id, 'digest': self.digest, 'bytes': self.size,
                'method': self.method, 'exact': self.exact, 'message': self.message,
                'damaged': [model.text(name) for name in self.damaged[:MAX_NOTES]], 'damaged_total': self.damaged_total}


class _Writable(object):
    """A container's writable layer. It is read twice, to know its size and digest before it is written; if it changes
    in between, and from the start where the container is running, it is written to a temporary file first."""

    def __init__(self, stack, idmap, scratch, live, on_failure):
        self._stack = stack
        self._idmap = idmap
        self._scratch = scratch
        self._on_failure = on_failure
        self._held = None
        self._tries = 0
        self._sparse = False
        self.made = None
        size = plan.measure(plan.Item('writable', 'writable', 'writable', plan.LayerTree(stack), 'layer', {}))
        self._sparse = size.bytes - size.allocated >= HOLES
        self.settle(live and scratch is not None)

    def _entries(self):
        return layerdata.writable(self._stack)

    def settle(self, hold):
        """Learn size and digest. HOLD: keep the bytes too."""
        if hold:
            self._held = tempfile.TemporaryFile(dir=os.fsdecode(self._scratch))
            self.made = layerdata.make(self._entries, self._held.write, self._idmap, self._on_failure, self._sparse)
        else:
            self.made = layerdata.make(self._entries, None, self._idmap, self._on_failure, self._sparse)

    def changed(self):
        """It was not the same the second time. True: settled again; False: no use."""
        self._tries += 1
        if self._scratch is None and self._tries > 1:
            return False
        self.settle(self._scratch is not None)
        return True

    def copy(self, write):
        if self._held is not None:
            self._held.seek(0)
            for piece in iter(lambda: self._held.read(layerdata.CHUNK), b''):
                write(piece)
            return
        try:
            same = layerdata.make(self._entries, write, self._idmap, None, self._sparse).diff_id == self.made.diff_id
        except layerdata.LayerError:    # more or fewer bytes than promised
            same = False
        if not same:
            raise _Again()

    def close(self):
        if self._held is not None:
            self._held.close()


# -- documents -----------------------------------------------------------------------------------------------------------------


def repository_name(name):
    """A container's name as a part of an image's: lower case, single separators."""
    return re.sub(r'[^a-z0-9]+', '-', (name or '').lower()).strip('-')[:100] or 'unnamed'


def container_tag(container):
    return 'lifeboat/%s:%s' % (repository_name(container.name), container.id[:12])


def full_name(reference):
    """``debian:12`` -> ``docker.io/library/debian:12``: the form in which containerd keeps it."""
    first, slash, dummy = reference.partition('/')
    if slash and ('.' in first or ':' in first or first == 'localhost'):
        return reference
    return 'docker.io/' + ('' if slash else 'library/') + reference


class _Image(object):
    """One image of the archive: config and manifest, and what the two indexes say of it."""

    def __init__(self, config, layers, tags, manifest=None, manifest_type=MANIFEST_TYPE):
        self.config = config
        self.tags = list(tags)
        self.config_digest = _digest(config)
        self.layers = layers
        self.manifest = manifest or document({
            'schemaVersion': 2, 'mediaType': MANIFEST_TYPE,
            'config': {'mediaType': CONFIG_TYPE, 'digest': self.config_digest, 'size': len(config)},
            'layers': [{'mediaType': media_type, 'digest': digest, 'size': size} for digest, size, media_type in layers]})
        self._type = manifest_type

    def descriptors(self):
        """Its entries of index.json, one a tag."""
        plain = {'mediaType': self._type, 'digest': _digest(self.manifest), 'size': len(self.manifest)}
        return [dict(plain, annotations={FULL_NAME: full_name(tag), REF_NAME: tag.rpartition(':')[2]})
                for tag in self.tags] or [plain]

    def docker(self):
        """Its entry of manifest.json."""
        return {'Config': _blob(self.config_digest), 'RepoTags': self.tags or None,
                'Layers': [_blob(digest) for digest, dummy, dummy in self.layers]}


def _digest(raw):
    return 'sha256:' + hashlib.sha256(raw).hexdigest()


def _blob(digest):
    return BLOBS + digest[7:]


def _own_tags(image):
    return [name for name in image.references if '@' not in name and ':' in name.rpartition('/')[2]]


def _base_config(image, layers):
    """The image's config: its exact bytes if every layer is exact, else the same with the new diffIDs."""
    if all(layer.exact for layer in layers) and image.config_raw is not None:
        return image.config_raw
    return document(_with_layers(image.config, layers))


def _with_layers(config, layers):
    """CONFIG with the diffIDs that LAYERS have now; a lost layer's history entry becomes an empty one."""
    changed = dict(config)
    changed['rootfs'] = {'type': 'layers', 'diff_ids': [layer.diff_id for layer in layers
                                                        if layer.method != layerdata.NONE]}
    history, position = [], 0
    for entry in metadata.list_of(config, 'history'):
        if isinstance(entry, dict) and not entry.get('empty_layer'):
            position += 1
            if position > len(layers) or layers[position - 1].method == layerdata.NONE:
                entry = dict(entry, empty_layer=True)
        history.append(entry)
    changed['history'] = history
    return changed


def _container_config(image, layers, container, diff_id):
    """What `docker commit` would make of the container (FORMATS 4.9.3). DIFF_ID None: the writable layer is empty."""
    config = _with_layers(image.config, layers)
    for key in ('container', 'container_config', 'id', 'parent', 'parent_id', 'Size'):
        config.pop(key, None)           # of the image's own making
    config.setdefault('architecture', MACHINES.get(platform.machine(), platform.machine()))
    config.setdefault('os', 'linux')
    own = metadata.dict_of(container.config, 'Config')
    if own:
        config['config'] = {key: own[key] for key in FIELDS if own.get(key) not in (None, '', [], {})
                            or (key in own and key in ('Entrypoint', 'Cmd'))}
    config['created'] = _last_change(container)
    entry = {'created': config['created'], 'created_by': ' '.join(
        item for item in metadata.list_of(own, 'Cmd') if isinstance(item, str)),
        'comment': 'container %s, brought back from its disk by lifeboat.docker' % container.id[:12]}
    if diff_id is None:
        entry['empty_layer'] = True
    else:
        config['rootfs']['diff_ids'].append(diff_id)
    config['history'] = list(config['history']) + [entry]
    return document(config)


def _last_change(container):
    """When the container last ran: the same for the same source, so that the image is too."""
    times = [time for time in (container.created, container.state.get('started_at'), container.state.get('finished_at'))
             if isinstance(time, str) and time > NEVER]
    return max(times) if times else '1970-01-01T00:00:00Z'


def _original_manifest(image, layers):
    """(bytes, media type) of the manifest that containerd keeps of this image, if all of it goes out unchanged: then
    the image keeps its ID there. (None, None) otherwise."""
    if image.store != 'containerd' or not image.config_digest:
        return None, None
    wanted = [(layer.digest, layer.size) for layer in layers]
    try:
        with safeio.Dir.root(image.root) as root:
            folder = root.descend(CONTENT)
            pending, seen = [image.id], set()
            while pending:
                digest = pending.pop(0)
                if digest in seen or not graphdriver.DIGEST.match(digest or '') or len(seen) > 100:
                    continue
                seen.add(digest)
                found = metadata.read_json(folder, digest[7:].encode('ascii'))
                if found.value is None or _digest(found.raw) != digest:
                    continue
                if metadata.text_of(found.value, 'config', 'digest') == image.config_digest:
                    have = [(metadata.text_of(item, 'digest'), metadata.get(item, 'size'))
                            for item in metadata.list_of(found.value, 'layers')]
                    if have == wanted:
                        return found.raw, metadata.text_of(found.value, 'mediaType') or MANIFEST_TYPE
                pending += [metadata.text_of(item, 'digest') for item in metadata.list_of(found.value, 'manifests')]
    except OSError:
        pass
    return None, None


# -- writing -------------------------------------------------------------------------------------------------------------------


def write(bundle, image, container=None, store=None, idmap=None, scratch=None, live=False, on_failure=None, form=None):
    """Write an image, and a container on top of it, into BUNDLE -> (component record, [model.Problem]).

    BUNDLE: sink(relative name), write(relative name, bytes) and adopt(path, relative name) as store.FolderBundle has
    them. IMAGE: model.Image or None; CONTAINER: model.Container, or None for the image alone. STORE: the run's
    imagestore.ImageStore; without it, or where nothing is shared, all goes into image.tar. IDMAP: the root's. SCRATCH:
    a folder (bytes) for a temporary file as large as the writable layer, or None. LIVE: the container is running.
    ON_FAILURE: called with each archive.Lost of the writable layer; may raise. FORM: ARCHIVE or FOLDER, to force one.

    The record: name, kind, file, bytes, sha256, entries, files, source_bytes, status, and ``exact`` (every image layer
    has its diffID), ``form``, ``tags``, ``image_id`` (of the original), ``container_image_id`` (digest of the config of
    the container's image), ``load`` (the one command, to be run in the bundle's folder), ``parts`` ({file: SHA-256} of
    all that lies in the bundle), ``referenced`` (blobs that lie in images/ only), ``layers`` (bottom first: diff_id,
    recorded_diff_id, digest, bytes, method, exact, damaged, message), ``fingerprint``. `file` is '' where nothing could
    be written.

    Raises what the bundle's sinks and ON_FAILURE raise. OSError does not come out.
    """
    mark = fingerprint(image, container)
    work = _Work(source_of(image, container), container, store, idmap, scratch, live, on_failure)
    try:
        if not work.anything():
            return work.nothing(mark)
        if form is None:
            form = FOLDER if store is not None and store.shares(work.image) else ARCHIVE
        record = work.folder(bundle) if form == FOLDER else work.archive(bundle)
        record['fingerprint'] = mark
        return record, work.problems
    finally:
        work.close()


class _Work(object):
    """What is written, in the order of finding out."""

    def __init__(self, image, container, store, idmap, scratch, live, on_failure):
        self.image = image
        self.container = container
        self.store = store
        self.problems = []
        self.lacking = False            # something that belongs into it is not
        self.layers = [_Layer(image, position, idmap, store) for position in range(len(image.layers))] if image else []
        self.writable = None
        self.images = []
        if container is not None:
            self._open_writable(idmap, scratch, live, on_failure)

    def _open_writable(self, idmap, scratch, live, on_failure):
        stack = self.container.stack
        if stack is None or stack.writable is None:
            self._lack('READ_ERROR', 'The writable layer of %s is not on this disk; the image is written without it.',
                       'What is known about it is said of the container itself.')
            return
        try:
            self.writable = _Writable(stack, idmap, scratch, live, on_failure)
        except OSError as exc:
            if isinstance(exc, model.LifeboatError):
                raise
            self._lack('READ_ERROR', 'The writable layer of %%s cannot be read (%s); the image is written without it.'
                       % metadata.describe(exc), 'Use become: true, or read a copy of the disk.')

    def _lack(self, code, message, step=''):
        self.lacking = True
        self.problems.append(imagecodes.problem(code, self.who, message % self.who, step))

    @property
    def who(self):
        if self.container is not None:
            return self.container.name or self.container.id[:12]
        return self.image.references[0] if self.image.references else self.image.id[:19]

    def close(self):
        if self.writable is not None:
            self.writable.close()

    def anything(self):
        return self.writable is not None or any(layer.method != layerdata.NONE for layer in self.layers)

    # -- documents -----------------------------------------------------------------------------------------------------------

    def describe(self):
        """Make config, manifest and tags of both images from the layers as they are known now."""
        image, layers = self.image, self.layers
        blobs = [(layer.digest, layer.size, layer.media_type) for layer in layers if layer.method != layerdata.NONE]
        self.images = []
        if image is not None and image.config and layers:
            config = _base_config(image, layers)
            own = config == image.config_raw and _digest(config) == (image.config_digest or image.id)
            raw, media_type = _original_manifest(image, layers) if own else (None, None)
            tags = _own_tags(image) if own else ['lifeboat/rebuilt-%s:%s' % (repository_name(
                re.sub(r'.*/|[@:].*', '', image.references[0]) if image.references else 'image'), image.id[7:19])]
            self.images.append(_Image(config, blobs, tags, raw, media_type or MANIFEST_TYPE))
        if self.container is not None and self.writable is not None:
            made = self.writable.made
            full = made.entries > 0
            config = _container_config(image or _NO_IMAGE, layers, self.container, made.diff_id if full else None)
            self.images.append(_Image(config, blobs + ([(made.diff_id, made.size, LAYER_TYPE)] if full else []),
                                      [container_tag(self.container)]))

    def documents(self):
        """{name: bytes} of everything but the layers."""
        found = {'oci-layout': LAYOUT, 'index.json': document({
            'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': [item for image in self.images
                                                                       for item in image.descriptors()]}),
                 'manifest.json': document([image.docker() for image in self.images])}
        for image in self.images:
            found[_blob(image.config_digest)] = image.config
            found[_blob(_digest(image.manifest))] = image.manifest
        return found

    def contents(self):
        """[(digest, size, layer or the writable one)]: each blob once."""
        found, seen = [], set()
        for layer in self.layers:
            if layer.method != layerdata.NONE and layer.digest not in seen:
                seen.add(layer.digest)
                found.append((layer.digest, layer.size, layer))
        if self.writable is not None and self.writable.made.entries and self.writable.made.diff_id not in seen:
            found.append((self.writable.made.diff_id, self.writable.made.size, self.writable))
        return found

    # -- one file --------------------------------------------------------------------------------------------------------------

    def archive(self, bundle):
        """image.tar. Layers are believed to be what their digests say until they were read; where one is not, the file
        is thrown away and written again without that belief."""
        while True:
            self.describe()
            sink = bundle.sink('image.tar')
            try:
                tar = self._tar(sink)
                digest = tar.end()
                sink.commit()
            except _Again:
                sink.abort()
                continue
            except BaseException:
                sink.abort()
                raise
            return self._record('image.tar', tar.bytes, digest, tar.members, 1, ARCHIVE, {'image.tar': digest}, [],
                                'docker load -i image.tar')

    def _tar(self, sink):
        tar = TarFile(sink)
        for name, raw in self.documents().items():
            tar.member(name, len(raw), lambda write, raw=raw: write(raw))
        for digest, size, content in self.contents():
            try:
                tar.member(_blob(digest), size, content.copy)
            except layerdata.LayerError as exc:
                content.fail(exc)
                self._doubt(content)
                raise _Again()
            except _Again:
                self._settle_again()
                raise
        return tar

    def _doubt(self, failed):
        """One layer is damaged: look at all others that were not read yet, so that the next attempt succeeds."""
        for layer in self.layers[self.layers.index(failed) + 1:]:
            self._ascertain(layer)

    @staticmethod
    def _ascertain(layer):
        while layer.promised:
            try:
                layer.copy(lambda data: None)
                return
            except layerdata.LayerError as exc:
                layer.fail(exc)

    def _settle_again(self):
        if not self.writable.changed():
            self._lack('FILE_CHANGED', 'The writable layer of %s changes faster than it can be read; the image is written '
                       'without it.', 'Stop the container or use quiesce: freeze, and run again.')
            self.writable.close()
            self.writable = None

    # -- a folder with links ---------------------------------------------------------------------------------------------------

    def folder(self, bundle):
        """image/ in the bundle, its layers in the store."""
        parts, referenced = {}, []
        for layer in self.layers:
            while layer.method != layerdata.NONE:
                try:
                    self.store.put(layer.digest, layer.size, layer.copy)
                    break
                except layerdata.LayerError as exc:
                    layer.fail(exc)
        total = self._write_writable(bundle, parts)
        self.describe()
        for digest, size, content in self.contents():
            name = 'image/' + _blob(digest)
            total += size
            if content is self.writable:
                continue
            if bundle.adopt(self.store.blob(digest), name):
                parts[name] = digest[7:]
            else:
                referenced.append(digest)
        for name, raw in self.documents().items():
            bundle.write('image/' + name, raw)
            parts['image/' + name] = hashlib.sha256(raw).hexdigest()
            total += len(raw)
        base = self.images[0] if self.images and self.image is not None and self.image.config else None
        if base is not None:
            self.store.note((base.config, base.manifest), base.descriptors())
        load = 'tar -C image -cf - oci-layout index.json manifest.json blobs%s | docker load' % (
            ' -C ../../images ' + ' '.join(_blob(digest) for digest in referenced) if referenced else '')
        return self._record('image/index.json', total, parts['image/index.json'], len(parts) + len(referenced), len(parts),
                            FOLDER, parts, referenced, load)

    def _write_writable(self, bundle, parts):
        while self.writable is not None and self.writable.made.entries:
            made = self.writable.made
            name = 'image/' + _blob(made.diff_id)
            sink = bundle.sink(name)
            try:
                self.writable.copy(_Bounded(sink.write, made.size).write)
                sink.commit()
                parts[name] = made.diff_id[7:]
                break
            except _Again:
                sink.abort()
                self._settle_again()
            except BaseException:
                sink.abort()
                raise
        return 0

    # -- what is said about it ---------------------------------------------------------------------------------------------------

    def _record(self, file, size, digest, entries, files, form, parts, referenced, load):
        self._tell_layers()
        self._tell_writable()
        exact = all(layer.exact for layer in self.layers) and bool(self.layers or self.image is not None)
        base = self.images[0] if self.images else None
        return {
            'name': 'image', 'kind': 'image', 'file': file, 'bytes': size, 'sha256': digest, 'entries': entries,
            'files': files, 'source_bytes': sum(layer.size for layer in self.layers), 'status': self._status(),
            'exact': exact, 'form': form, 'tags': [tag for image in self.images for tag in image.tags],
            'image_id': self.image.id if self.image is not None else None,
            'container_image_id': self.images[-1].config_digest if self.writable is not None and base else None,
            'layers': [layer.record() for layer in self.layers], 'parts': parts, 'referenced': referenced, 'load': load}

    def _status(self):
        whole = self.image is not None and self.image.config and all(layer.whole for layer in self.layers)
        if self.writable is not None and self.writable.made.failures_total:
            whole = False
        return model.COMPLETE if whole and not self.lacking else model.PARTIAL

    def nothing(self, mark):
        """The record where no layer can be read at all."""
        unsupported = any(layer.layer.status == model.UNSUPPORTED for layer in self.layers) or (
            self.container is not None and self.container.status == model.UNSUPPORTED)
        self.problems.append(imagecodes.problem(
            'DRIVER_UNSUPPORTED' if unsupported else 'IMAGE_LAYER_UNKNOWN', self.who if self.image or self.container else '',
            'No layer of the image of %s can be read from this disk.' % (self.who if self.image or self.container else '?'),
            imagecodes.pull(self.image) if self.image is not None else ''))
        return {'name': 'image', 'kind': 'image', 'file': '', 'bytes': 0, 'sha256': None, 'entries': 0, 'files': 0,
                'source_bytes': 0, 'status': model.UNSUPPORTED if unsupported else model.LOST, 'exact': False, 'form': None,
                'tags': [], 'image_id': self.image.id if self.image else None, 'container_image_id': None,
                'layers': [layer.record() for layer in self.layers], 'parts': {}, 'referenced': [], 'load': '',
                'fingerprint': mark}, self.problems

    def _tell_layers(self):
        for layer in self.layers:
            name = 'Layer %d (%s) of the image of %s' % (layer.number, layer.layer.diff_id or 'diffID unknown', self.who)
            if layer.method == layerdata.NONE:
                self.problems.append(imagecodes.problem('IMAGE_LAYER_LOST', self.who, '%s is left out: %s.' % (
                    name, layer.message), imagecodes.pull(self.image)))
            elif layer.method == layerdata.REBUILT:
                files = ', '.join('/' + model.text(item).lstrip('./') for item in layer.damaged[:5])
                why = layer.message or ('Docker kept no record of its exact form' if layer.layer.blob_digest is None else
                                        'containerd kept no blob of it')
                self.problems.append(imagecodes.problem(
                    'IMAGE_LAYER_REBUILT', self.who, '%s could not be put together exactly: %s%s. It was made anew from its '
                    'files and has another digest.' % (name, why, '; damaged: %s%s' % (
                        files, ' and %d more' % (layer.damaged_total - 5) if layer.damaged_total > 5 else '') if files else ''),
                    imagecodes.pull(self.image)))
                if layer.made.failures_total:
                    self._tell_made(name, layer.made)
            elif layer.message:
                self.problems.append(imagecodes.problem('IMAGE_LAYER_REBUILT', self.who, '%s: %s.' % (name, layer.message),
                                                        'Load it with Docker 23 or newer.'))

    def _tell_writable(self):
        if self.container is None:
            return
        if self.image is None or not self.image.config:
            self._lack('IMAGE_CONFIG_LOST', 'The config of the image of %s is lost: the architecture is guessed, the history '
                       'is not known.', imagecodes.pull(self.image) if self.image is not None else '')
        if not metadata.dict_of(self.container.config, 'Config'):
            self._lack('CONFIG_DAMAGED', 'The Config of %s is lost; its image starts with the settings of the image it was '
                       'made from.', 'Compare with what you know of the container.')
        if self.writable is not None:
            self._tell_made('The writable layer of %s' % self.who, self.writable.made)

    def _tell_made(self, name, made):
        for lost in made.failures[:MAX_NOTES]:
            where = ' at byte %d' % lost.offset if lost.offset is not None else ''
            self.problems.append(imagecodes.problem('READ_ERROR', self.who, '%s in the image: /%s%s: %s.' % (
                name, model.text(lost.path), where, lost.message),
                'Everything else was read; try again from a copy of the disk.'))
        if made.failures_total > MAX_NOTES:
            self.problems.append(imagecodes.problem('READ_ERROR', self.who, '%s in the image: %d places could not be read.'
                                                    % (name, made.failures_total)))
        if made.sockets:
            self.problems.append(imagecodes.problem('SOCKET_SKIPPED', self.who, '%s in the image: %d sockets left out.' % (
                name, made.sockets)))
        if made.markers_total:
            self.problems.append(imagecodes.problem(
                'WHITEOUT_NAME', self.who, '%s holds %d real files named .wh.*, the first /%s: they are left out of the image, '
                'where they would delete what they name.' % (name, made.markers_total, model.text(made.markers[0])),
                'Take them from rootfs.'))


_NO_IMAGE = model.Image('', (), None, None, None, model.LOST, (), {}, None, '', b'', None)


class _Bounded(object):
    """Stops a layer that has become longer than it was."""

    def __init__(self, write, size):
        self._write = write
        self._left = size

    def write(self, data):
        self._left -= len(data)
        if self._left < 0:
            raise layerdata.LayerError('it has become longer')
        self._write(data)
