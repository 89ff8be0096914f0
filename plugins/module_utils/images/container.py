"""A container as an image that every engine loads: its image's own layers, and the writable layer on top.

What is written is an OCI layout that also has docker's ``manifest.json``: Docker with the graphdriver store reads the
latter, Docker with the containerd store, skopeo and podman the former. It holds two images: the
original under its own tags, and the container as ``lifeboat/<name>:<first 12 of its id>``.

It is one file, ``image.tar``, or, where other bundles of the run have layers in common with it, a folder ``image/``
whose layers are hard links into ``images/`` (see imagestore). Layers are not packed again: containerd's gzip blobs stay
as they are; what is put together by tar-split stays plain, because a gzip of our own would take three times
as long as the disk; zstd is unpacked, because Docker 20.10 cannot load it.
"""
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

from ..archive import trees
from ..disk import metadata
from ..formats import wording
from ..records import definition as definitions, model
from . import codes as imagecodes, layerdata
from .documents import (
    MANIFEST_TYPE,
    ImageDocuments,
    base_config,
    blob_name,
    container_config,
    container_tag,
    digest_of,
    original_manifest,
    own_tags,
    repository_name,
)
from .layers import HOLES, LAYER_TYPE, MAX_NOTES, Again, ImageLayer, WritableLayer, full_copies
from .store import INDEX_TYPE, LAYOUT, ImageStore, TarFile, document

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    class Bundle(Protocol):
        """What is needed of the bundle that is being written, here or on the controller."""
        def sink(self, __relative: str, __mark: Optional[str]) -> 'Sink':
            ...

        def write(self, __relative: str, __data: bytes) -> None:
            ...

        def adopt(self, __source: bytes, __relative: str) -> bool:
            ...
    from ..archive.sink import Sink
    from ..archive.write import Lost
    from ..layers.idmap import IdMap


MAX_DEPTH = 125                         # of Docker's layer store: an image of 126 layers is refused (max depth exceeded)
FORMAT = 2                              # raised when the same source would be written otherwise
ARCHIVE, FOLDER = 'archive', 'folder'


class Estimate(NamedTuple):
    """Bytes that an image takes in the target. `shared`: {diffID: bytes} of layers that other bundles may have too."""
    own: int
    shared: Dict[str, int]


# -- before anything is written ------------------------------------------------------------------------------------------------


def source_of(image: Optional[model.Image], container: Optional[model.Container] = None) -> Optional[model.Image]:
    """The model.Image to write: IMAGE, or where it is lost, one made of the layers that the container's stack names."""
    if image is not None and (image.config or image.layers):
        return image
    if container is None or container.stack is None:
        return image
    stack = container.stack
    layers = []
    for layer in stack.image[::-1]:
        split = layer.tar_split
        layers.append(model.ImageLayer(layer.diff_id, layer.chain_id, layer.cache_id, layer.path, None, layer.status,
                                       layer.encoding, split if layer.diff_id and _stat(split) else None))
    reference = container.image_reference
    return model.Image(container.image_id or '', (reference,) if reference else (), None, None, None, model.PARTIAL,
                       tuple(layers), {}, None, container.store, container.root, container.driver)


def fingerprint(image: Optional[model.Image], container: Optional[model.Container] = None, writable: Optional[str] = None) -> str:
    """A string that changes when what is written would: ids, tags, the layers' sources, the container's Config, and
    WRITABLE, the fingerprint of the writable layer (trees.Estimate.fingerprint; measured here if it is not given)."""
    image = source_of(image, container)
    facts: List[Any] = [FORMAT]
    if image is not None:
        facts += [image.id, image.config_digest, sorted(image.references)]
        facts += [[layer.diff_id, layer.status, layer.blob_digest, _stat(layer.blob), _stat(layer.tar_split)]
                  for layer in image.layers]
    if container is not None:
        if writable is None:
            measured = _measured(container)
            writable = measured.fingerprint if measured is not None else 'none'
        facts += [container.id, container.name, definitions.image_config(container.definition), writable]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode('utf-8', 'surrogatepass')).hexdigest()


def estimate(image: Optional[model.Image], container: Optional[model.Container] = None, writable: Optional[trees.Estimate] = None) -> Estimate:
    """Estimate of what write() will write, without reading data. WRITABLE: trees.Estimate of the writable layer."""
    image = source_of(image, container)
    shared: Dict[str, int] = {}
    own = 64 * 1024
    for position, layer in enumerate(image.layers if image is not None else ()):
        stored = _stat(layer.blob)
        if stored:
            size = stored[0]
        elif layer.path is None or layer.status != model.COMPLETE:
            continue
        elif layer.bytes is not None:
            # headers and padding, by the size of their packed record: 16 to 1 in a Debian tree
            size = layer.bytes + 18 * (_stat(layer.tar_split) or (0,))[0] + 10240
        else:
            size = _walked(image, position)
        shared[layer.diff_id or layer.chain_id or str(position)] = size
    if container is not None:
        writable = writable or _measured(container)
        if writable is not None:
            holes = writable.bytes - writable.allocated
            own += (writable.allocated if holes >= HOLES else writable.bytes) + 1024 * writable.entries
    return Estimate(own, shared)


def _stat(path: Optional[bytes]) -> Optional[List[int]]:
    if path is None:
        return None
    try:
        with layerdata.opened(path) as fd:
            st = os.fstat(fd)
            return [st.st_size, st.st_mtime_ns]
    except OSError:
        return None


def _measured(container: model.Container) -> Optional[trees.Estimate]:
    """trees.Estimate of a writable layer, None where there is none that can be read."""
    if container.stack is None or container.stack.writable is None:
        return None
    try:
        return trees.measure(trees.LayerTree(container.stack))
    except OSError:
        return None


def _walked(image: Optional[model.Image], position: int) -> int:
    if image is None:
        return 0
    known = layerdata.as_layers(image.layers[position::-1], full_copies(image))
    try:
        found = trees.measure(trees.LayerTree(model.Stack(known[0], None, known[1:])))
    except OSError:
        return 0
    return found.bytes + 1024 * found.entries


# -- writing --------------------------------------------------------------------------------------------------------------------


def write(bundle: 'Bundle', image: Optional[model.Image], container: Optional[model.Container] = None, store: Optional[ImageStore] = None,
          idmap: 'Optional[IdMap]' = None, scratch: Optional[bytes] = None, live: bool = False,
          on_failure: 'Optional[Callable[[Lost], Any]]' = None, form: Optional[str] = None,
          measured: Optional[trees.Estimate] = None) -> Tuple[Dict[str, Any], List[model.Problem]]:
    """Write an image, and a container on top of it, into BUNDLE -> (component record, [model.Problem]).

    BUNDLE: sink(relative name, mark of its source), write(relative name, bytes) and adopt(path, relative name) as store.FolderBundle has
    them. IMAGE: model.Image or None; CONTAINER: model.Container, or None for the image alone. STORE: the run's
    imagestore.ImageStore; without it, or where nothing is shared, all goes into image.tar. IDMAP: the root's. SCRATCH:
    a folder (bytes) for a temporary file as large as the writable layer, or None. LIVE: the container is running.
    ON_FAILURE: called with each archive.Lost of the writable layer; may raise. FORM: ARCHIVE or FOLDER, to force one.
    MEASURED: trees.Estimate of the writable layer, if it is known already.

    The record: name, kind, file, bytes, sha256, entries, files, source_bytes, status, and ``exact`` (every image layer
    has its diffID), ``form``, ``tags``, ``image_id`` (of the original), ``container_image_id`` (digest of the config of
    the container's image), ``load`` (the one command, to be run in the bundle's folder), ``parts`` ({file: SHA-256} of
    all that lies in the bundle), ``referenced`` (blobs that lie in images/ only), ``layers`` (bottom first: diff_id,
    recorded_diff_id, digest, bytes, method, exact, damaged, message), ``fingerprint``. `file` is '' where nothing could
    be written.

    Raises what the bundle's sinks and ON_FAILURE raise. OSError does not come out.
    """
    if measured is None and container is not None:
        measured = _measured(container)
    mark = fingerprint(image, container, measured.fingerprint if measured is not None else 'none')
    work = _Work(source_of(image, container), container, store, idmap)
    try:
        if container is not None:
            work.open_writable(measured, idmap, scratch, live, on_failure)
        if not work.anything():
            return work.nothing(mark)
        if form is None:
            form = FOLDER if store is not None and store.shares(work.image) else ARCHIVE
        record = work.folder(bundle, store) if form == FOLDER and store is not None else work.archive(bundle, mark)
        record['fingerprint'] = mark
        return record, work.problems
    finally:
        work.close()


class _Work(object):
    """What is written, in the order of finding out."""

    def __init__(self, image: Optional[model.Image], container: Optional[model.Container], store: Optional[ImageStore], idmap: 'Optional[IdMap]') -> None:
        self.image = image
        self.container = container
        self.store = store
        self.problems: List[model.Problem] = []
        self.lacking = False            # something that belongs into it is not
        self.layers = [ImageLayer(image, position, idmap, store) for position in range(len(image.layers))] if image else []
        self.writable: Optional[WritableLayer] = None
        self.images: List[ImageDocuments] = []

    def open_writable(self, measured: Optional[trees.Estimate], idmap: 'Optional[IdMap]', scratch: Optional[bytes], live: bool,
                      on_failure: 'Optional[Callable[[Lost], Any]]') -> None:
        stack = self.container.stack if self.container is not None else None
        if stack is None or stack.writable is None:
            self._lack('READ_ERROR', 'The writable layer of %s is not on this disk; the image is written without it.',
                       'The problems of the container say more.')
            return
        try:
            self.writable = WritableLayer(stack, measured, idmap, scratch, live, on_failure)
        except OSError as exc:
            self._lack('READ_ERROR', 'The writable layer of %%s cannot be read (%s); the image is written without it.'
                       % metadata.describe(exc), 'Use become: true, or read a copy of the disk.')

    def _lack(self, code: str, message: str, step: str = '') -> None:
        self.lacking = True
        self.problems.append(imagecodes.problem(code, self.who, message % self.who, step))

    @property
    def who(self) -> str:
        if self.container is not None:
            return self.container.name or self.container.id[:12]
        if self.image is None:
            return 'an image'
        return self.image.references[0] if self.image.references else self.image.id[:19]

    def close(self) -> None:
        if self.writable is not None:
            self.writable.close()

    def anything(self) -> bool:
        return self.writable is not None or any(layer.method != layerdata.NONE for layer in self.layers)

    # -- documents -----------------------------------------------------------------------------------------------------------

    def describe(self) -> None:
        """Make config, manifest and tags of both images from the layers as they are known now."""
        image, layers = self.image, self.layers
        blobs = [(layer.digest, layer.size, layer.media_type) for layer in layers
                 if layer.digest is not None and layer.media_type is not None]
        self.images = []
        if image is not None and image.config and layers:
            config = base_config(image, layers)
            own = config == image.config_raw and digest_of(config) == (image.config_digest or image.id)
            raw, media_type = original_manifest(image, layers) if own else (None, None)
            tags = own_tags(image) if own else ['lifeboat/rebuilt-%s:%s' % (repository_name(
                re.sub(r'.*/|[@:].*', '', image.references[0]) if image.references else 'image'), image.id[7:19])]
            self.images.append(ImageDocuments(config, blobs, tags, raw, media_type or MANIFEST_TYPE))
        if self.container is not None and self.writable is not None:
            made = self.writable.made
            full = made.entries > 0
            config = container_config(image or _NO_IMAGE, layers, self.container, made.diff_id if full else None)
            self.images.append(ImageDocuments(config, blobs + ([(made.diff_id, made.size, LAYER_TYPE)] if full else []),
                                              [container_tag(self.container)]))

    def documents(self) -> Dict[str, bytes]:
        """{name: bytes} of everything but the layers."""
        found = {'oci-layout': LAYOUT, 'index.json': document({
            'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': [item for image in self.images
                                                                       for item in image.descriptors()]}),
                 'manifest.json': document([image.docker() for image in self.images])}
        for image in self.images:
            found[blob_name(image.config_digest)] = image.config
            found[blob_name(digest_of(image.manifest))] = image.manifest
        return found

    def contents(self) -> List[Tuple[str, int, Union[ImageLayer, WritableLayer]]]:
        """[(digest, size, layer or the writable one)]: each blob once."""
        found: List[Tuple[str, int, Union[ImageLayer, WritableLayer]]] = []
        seen = set()
        for layer in self.layers:
            if layer.digest is not None and layer.digest not in seen:
                seen.add(layer.digest)
                found.append((layer.digest, layer.size, layer))
        if self.writable is not None and self.writable.made.entries and self.writable.made.diff_id not in seen:
            found.append((self.writable.made.diff_id, self.writable.made.size, self.writable))
        return found

    # -- one file --------------------------------------------------------------------------------------------------------------

    def archive(self, bundle: 'Bundle', mark: str) -> Dict[str, Any]:
        """image.tar; MARK names its source. Layers are believed to be what their digests say until they were read; where one is
        not, the file is thrown away and written again without that belief."""
        while True:
            self.describe()
            sink = bundle.sink('image.tar', mark)
            try:
                tar = self._tar(sink)
                digest = tar.end()
                sink.commit()
            except Again:
                sink.abort()
                continue
            except BaseException:
                sink.abort()
                raise
            return self._record('image.tar', tar.bytes, digest, tar.members, 1, ARCHIVE, {'image.tar': digest}, [],
                                'docker load -i image.tar')

    def _tar(self, sink: 'Sink') -> TarFile:
        tar = TarFile(sink)
        for name, raw in self.documents().items():
            tar.whole(name, raw)
        for digest, size, content in self.contents():
            try:
                tar.member(blob_name(digest), size, content.copy)
            except layerdata.LayerError as exc:
                if isinstance(content, WritableLayer):
                    raise
                content.fail(exc)
                self._doubt(content)
                raise Again()
            except Again:
                self._settle_again()
                raise
        return tar

    def _doubt(self, failed: ImageLayer) -> None:
        """One layer is damaged: look at all others that were not read yet, so that the next attempt succeeds."""
        for layer in self.layers[self.layers.index(failed) + 1:]:
            self._ascertain(layer)

    @staticmethod
    def _ascertain(layer: ImageLayer) -> None:
        while layer.promised:
            try:
                layer.copy(lambda data: None)
                return
            except layerdata.LayerError as exc:
                layer.fail(exc)

    def _settle_again(self) -> None:
        if self.writable is not None and not self.writable.changed():
            self._lack('FILE_CHANGED', 'The writable layer of %s changes faster than it can be read; the image is written '
                       'without it.', 'Stop the container or use quiesce: freeze, and run again.')
            self.writable.close()
            self.writable = None

    # -- a folder with links ---------------------------------------------------------------------------------------------------

    def folder(self, bundle: 'Bundle', store: ImageStore) -> Dict[str, Any]:
        """image/ in the bundle, its layers in the STORE."""
        parts, referenced, total = {}, [], 0
        for layer in self.layers:
            while layer.digest is not None:
                try:
                    store.put(layer.digest, layer.size, layer.copy)
                    break
                except layerdata.LayerError as exc:
                    layer.fail(exc)
        self._write_writable(bundle, parts)
        self.describe()
        for digest, size, content in self.contents():
            name = 'image/' + blob_name(digest)
            total += size
            if content is self.writable:
                continue
            if bundle.adopt(store.blob(digest), name):
                parts[name] = digest[7:]
            else:
                referenced.append(digest)
        for name, raw in self.documents().items():
            bundle.write('image/' + name, raw)
            parts['image/' + name] = hashlib.sha256(raw).hexdigest()
            total += len(raw)
        base = self.images[0] if self.images and self.image is not None and self.image.config else None
        if base is not None:
            store.note((base.config, base.manifest), base.descriptors())
        load = 'tar -C image -cf - oci-layout index.json manifest.json blobs%s | docker load' % (
            ' -C ../../images ' + ' '.join(blob_name(digest) for digest in referenced) if referenced else '')
        return self._record('image/index.json', total, parts['image/index.json'], len(parts) + len(referenced), len(parts),
                            FOLDER, parts, referenced, load)

    def _write_writable(self, bundle: 'Bundle', parts: Dict[str, str]) -> None:
        while self.writable is not None and self.writable.made.entries:
            made = self.writable.made
            name = 'image/' + blob_name(made.diff_id)
            sink = bundle.sink(name, made.diff_id)
            try:
                self.writable.copy(_Bounded(sink.write, made.size).write)
                sink.commit()
                parts[name] = made.diff_id[7:]
                break
            except Again:
                sink.abort()
                self._settle_again()
            except BaseException:
                sink.abort()
                raise

    # -- what is said about it ---------------------------------------------------------------------------------------------------

    def _record(self, file: str, size: int, digest: str, entries: int, files: int, form: str, parts: Dict[str, str], referenced: List[str],
                load: str) -> Dict[str, Any]:
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

    def _status(self) -> str:
        whole = self.image is not None and self.image.config and all(layer.whole for layer in self.layers)
        made = self.writable.made if self.writable is not None else None
        if made is not None and (made.failures_total or made.markers_total or made.stripped_total):
            whole = False               # something of the container is not in it
        return model.COMPLETE if whole and not self.lacking else model.PARTIAL

    def nothing(self, mark: str) -> Tuple[Dict[str, Any], List[model.Problem]]:
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

    def _tell_layers(self) -> None:
        for layer in self.layers:
            name = 'Layer %d (%s) of the image of %s' % (layer.number, layer.layer.diff_id or 'diffID unknown', self.who)
            if layer.method == layerdata.NONE:
                self.problems.append(imagecodes.problem('IMAGE_LAYER_LOST', self.who, '%s is left out: %s.' % (
                    name, layer.message), imagecodes.pull(self.image)))
            elif layer.method == layerdata.REBUILT and not layer.exact:
                files = imagecodes.some([wording.text(item) for item in layer.damaged], layer.damaged_total)
                why = layer.message or ('the engine kept no record of its exact form' if layer.layer.blob_digest is None else
                                        'containerd kept no blob of it')
                self.problems.append(imagecodes.problem(
                    'IMAGE_LAYER_REBUILT', self.who, '%s could not be restored byte by byte: %s%s. It was made anew from its '
                    'files and has another digest.' % (name, why, ' (%s)' % files if files else ''),
                    imagecodes.pull(self.image)))
                if layer.made is not None and (layer.made.failures_total or layer.made.stripped_total or layer.made.attributes_by_some):
                    self._tell_made(name, layer.made)
            elif layer.message and layer.method == layerdata.BLOB:
                self.problems.append(imagecodes.problem('IMAGE_LAYER_REBUILT', self.who, '%s: %s.' % (name, layer.message),
                                                        'Load it with Docker 23 or newer.'))

    def _tell_writable(self) -> None:
        if self.container is None:
            return
        if self.image is None or not self.image.config:
            self._lack('IMAGE_CONFIG_LOST', 'The config of the image of %s is lost: the architecture is guessed, the history '
                       'is not known.', imagecodes.pull(self.image) if self.image is not None else '')
        if self.container.definition.lost_process:
            self._lack('CONFIG_DAMAGED', 'The Config of %s is lost; its image starts with the settings of the image it was '
                       'made from.', 'Compare with what you know of the container.')
        if self.writable is None:
            return
        self._tell_made('The writable layer of %s' % self.who, self.writable.made)
        if self.writable.made.entries and len(self.layers) >= MAX_DEPTH:
            self.problems.append(imagecodes.problem(
                'IMAGE_TOO_DEEP', self.who, 'The image of %s with what the container changed has %s, and the storage drivers of Docker take '
                '%d: docker load refuses it. The image that the container was made from loads.' % (
                    self.who, wording.number(len(self.layers) + 1, 'layer'), MAX_DEPTH),
                'Load it where Docker has the containerd store, or on Podman, or import rootfs: docker import rootfs.tar.'))
        if self.writable.sparse:
            self.problems.append(imagecodes.problem(
                'IMAGE_SPARSE', self.who, 'The writable layer of %s has more than %d GiB of holes: in the image they are left '
                'out, and Docker cannot save or push an image with such a layer after it was loaded.' % (self.who, HOLES >> 30),
                'Loading writes the holes as zeros. Keep this bundle, or move the file into a volume.'))

    def _tell_made(self, name: str, made: layerdata.Made) -> None:
        for lost in made.failures[:MAX_NOTES]:
            where = ' at byte %d' % lost.offset if lost.offset is not None else ''
            self.problems.append(imagecodes.problem('READ_ERROR', self.who, '%s in the image: /%s%s: %s.' % (
                name, wording.text(lost.path), where, lost.message),
                'Everything else was read; try again from a copy of the disk.'))
        if made.failures_total > MAX_NOTES:
            self.problems.append(imagecodes.problem('READ_ERROR', self.who, '%s in the image: %s could not be read.'
                                                    % (name, wording.number(made.failures_total, 'place'))))
        if made.sockets:
            self.problems.append(imagecodes.problem('SOCKET_SKIPPED', self.who, '%s in the image: %s left out.' % (
                name, wording.number(made.sockets, 'socket'))))
        if made.markers_total:
            self.problems.append(imagecodes.problem(
                'WHITEOUT_NAME', self.who, '%s holds %d real files named .wh.*, the first /%s: they are left out of the image, '
                'where they would delete what they name.' % (name, made.markers_total, wording.text(made.markers[0])),
                'Take them from rootfs.'))
        if made.stripped_total:
            self.problems.append(imagecodes.problem(
                'IMAGE_ATTRIBUTES', self.who, '%s: extended attributes of %s are left out of the image, because docker load '
                'does not keep them or its storage driver would take them for its own: %s.' % (
                    name, wording.number(made.stripped_total, 'file'), imagecodes.some([wording.text(item) for item in made.stripped], made.stripped_total)),
                'Take them from writable or rootfs.'))
        if made.attributes_by_some:
            self.problems.append(imagecodes.problem(
                'IMAGE_ATTRIBUTES_BY_STORE', self.who, '%s: there are trusted.* attributes, or attributes without a value, in %s. They are in '
                'the image, but Docker with the containerd store drops the former, and Docker 20.10 the latter, when it loads it.' % (
                    name, wording.number(made.attributes_by_some, 'file')), 'Take them from writable or rootfs where it matters.'))


_NO_IMAGE = model.Image('', (), None, None, None, model.LOST, (), {}, None, '', b'', None)


class _Bounded(object):
    """Stops a layer that has become longer than it was."""

    def __init__(self, write: Callable[[Union[bytes, memoryview]], Any], size: int) -> None:
        self._write = write
        self._left = size

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise layerdata.LayerError('it has become longer')
        self._write(data)
