"""The tar of one image layer, byte for byte as the image has it, and checked while it is read.

Three sources, in this order: containerd's compressed blob (its digest names it), tar-split and the layer's files
(the SHA-256 of the whole must be the diffID), and where neither is left the files alone: then it is a new layer.
"""
import contextlib
import errno
import functools
import hashlib
import os
import stat
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from ..archive import compress, trees, write as archive
from ..disk import safeio, tree
from ..formats import gunzip, pieces, tarsplit, whiteouts
from ..layers import encodings, union
from ..records import model

if TYPE_CHECKING:
    from ..layers.idmap import IdMap

BLOB = 'blob'
TAR_SPLIT = 'tar-split'
REBUILT = 'rebuilt'
NONE = 'none'

GZIP, ZSTD, PLAIN = 'gzip', 'zstd', ''  # how a blob is packed
MAX_NAMED = 100                         # damaged files listed of one layer; all are counted
MAX_LINKS = 40                          # followed inside a layer before it is called a loop
_BATCH = 512 * 1024                     # a layer of 50,000 files has 100,000 pieces
_SMALL = 128 * 1024


class LayerError(Exception):
    """The layer's exact bytes cannot be had. The message is a clause; `damaged` names files (bytes), `total` counts them."""

    def __init__(self, message: str, damaged: Iterable[bytes] = (), total: Optional[int] = None) -> None:
        Exception.__init__(self, message)
        self.damaged = tuple(damaged)
        self.total = len(self.damaged) if total is None else total


class Blob(NamedTuple):
    """A blob as it lies in containerd's content store."""
    size: int
    packed: str                         # GZIP, ZSTD or PLAIN, by its first bytes: media types have been wrong


# -- containerd's blobs --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: Optional[bytes]) -> Iterator[int]:
    """Descriptor of a file of the engine's own, never through a link. Raises OSError, also for None: there is none."""
    if path is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    folder = safeio.Dir.root(os.path.dirname(path))
    try:
        fd = folder.open(os.path.basename(path))
    finally:
        folder.close_all()
    try:
        yield fd
    finally:
        os.close(fd)


def blob_of(layer: model.ImageLayer) -> Optional[Blob]:
    """Blob of a model.ImageLayer, None if it has none that can be opened."""
    if layer.blob is None or not layer.blob_digest:
        return None
    try:
        with opened(layer.blob) as fd:
            start = os.read(fd, 4)
            packed = GZIP if start.startswith(b'\x1f\x8b') else ZSTD if start == b'\x28\xb5\x2f\xfd' else PLAIN
            return Blob(os.fstat(fd).st_size, packed)
    except OSError:
        return None


def blob_bytes(layer: model.ImageLayer) -> Iterator[bytes]:
    """Yield the blob as it is; LayerError at the end if it does not have the digest that names it."""
    digest = hashlib.sha256()
    try:
        with opened(layer.blob) as fd:
            for piece in pieces.of(fd):
                digest.update(piece)
                yield piece
    except OSError as exc:
        raise LayerError('its blob cannot be read: %s' % (exc.strerror or exc))
    if 'sha256:' + digest.hexdigest() != layer.blob_digest:
        raise LayerError('its blob does not have the digest %s' % layer.blob_digest)


def blob_tar(layer: model.ImageLayer) -> Iterator[bytes]:
    """Yield the unpacked tar of a layer's blob; LayerError at the end if it does not have the diffID, or the blob is
    damaged. LifeboatError if this host cannot unpack it."""
    packed = blob_of(layer)
    try:
        with opened(layer.blob) as fd, contextlib.ExitStack() as stack:
            found = pieces.of(fd)
            if packed is not None and packed.packed == ZSTD:
                reader = stack.enter_context(contextlib.closing(compress.open_reader(fd, 'zstd')))
                found = pieces.of(reader)
            elif packed is not None and packed.packed == GZIP:
                found = gunzip.chunks(found)
            yield from _digested(found, layer.diff_id, 'the unpacked blob')
    except (gunzip.GunzipError, compress.CompressError) as exc:
        raise LayerError('its blob: %s' % exc)
    except OSError as exc:
        raise LayerError('its blob cannot be read: %s' % (exc.strerror or exc))


def _digested(pieces: Iterable[bytes], wanted: Optional[str], what: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if 'sha256:' + digest.hexdigest() != wanted:
        raise LayerError('%s does not have the digest %s' % (what, wanted))


# -- tar-split -----------------------------------------------------------------------------------------------------------------


def has_tar_split(layer: model.ImageLayer) -> bool:
    return layer.tar_split is not None and layer.path is not None and layer.status == model.COMPLETE


def tar_size(layer: model.ImageLayer) -> int:
    """Bytes of the tar that tar-split describes. Raises LayerError where its data are damaged."""
    total = 0
    try:
        with opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split:
            for entry in tarsplit.entries(split):
                total += len(entry.data) if isinstance(entry, tarsplit.Segment) else entry.size
    except tarsplit.TarSplitError as exc:
        raise LayerError(str(exc))
    except OSError as exc:
        raise LayerError('its tar-split data cannot be read: %s' % (exc.strerror or exc))
    return total


def split_tar(layer: model.ImageLayer, below: Tuple[model.ImageLayer, ...] = ()) -> Iterator[bytes]:
    """Yield the layer's tar, put together from tar-split and the layer's files; pieces of about half a MiB.

    BELOW: the model.ImageLayer under it, nearest first, for files whose data lie there (metacopy, redirects).
    Raises LayerError as soon as a file is missing or has another size, and at the end if the digest is not the
    diffID; :func:`damages` then tells which files are damaged.
    """
    try:
        with opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split, LayerFiles(layer, below) as files:
            yield from _digested(pieces.joined(tarsplit.assemble(split, files.open), _BATCH), layer.diff_id, 'the tar')
    except tarsplit.TarSplitError as exc:
        raise LayerError(str(exc), () if exc.name is None else (exc.name,))
    except OSError as exc:
        raise LayerError('its files cannot be read: %s' % (exc.strerror or exc))


def damages(layer: model.ImageLayer, below: Tuple[model.ImageLayer, ...] = (),
            progress: Optional[Callable[[int], Any]] = None) -> Tuple[Tuple[bytes, ...], int, str]:
    """(damaged names (bytes), at most MAX_NAMED; how many there are; why it broke off or ''): the CRC of every file.
    PROGRESS(bytes) is called for each piece."""
    found, error = [], ''
    total = 0
    try:
        with opened(layer.tar_split) as fd, os.fdopen(os.dup(fd), 'rb') as split, LayerFiles(layer, below) as files:
            seen = []
            for piece in tarsplit.assemble(split, files.open, seen):
                if progress is not None:
                    progress(len(piece))
                if seen:
                    total += len(seen)
                    found.extend(seen[:MAX_NAMED - len(found)])
                    del seen[:]
            total += len(seen)
            found.extend(seen[:MAX_NAMED - len(found)])
    except (tarsplit.TarSplitError, OSError) as exc:
        error = str(exc)
    return tuple(item.name for item in found), total, error


class LayerFiles(object):
    """Opens the files that a layer's tar names, below the layer's folder and never outside. Use as a context manager."""

    def __init__(self, layer: model.ImageLayer, below: Tuple[model.ImageLayer, ...] = ()) -> None:
        self._layers = (layer,) + tuple(below)
        self._mark = encodings.ENCODINGS[layer.encoding].metacopy_mark
        if layer.path is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._root = safeio.Dir.root(layer.path)
        self._open: List[Tuple[bytes, safeio.Dir]] = []  # [(name, Dir)]: the way to the folder of the last file; the next is mostly there
        self._view: Optional[union.View] = None

    def __enter__(self) -> 'LayerFiles':
        return self

    def __exit__(self, *dummy: object) -> None:
        self._root.close_all()
        if self._view is not None:
            self._view.close()

    def open(self, name: bytes, size: int) -> Iterable[bytes]:
        """The pieces of a regular file's content. NAME as in the tar. Raises OSError."""
        fd = self._descriptor(name)
        if size > _SMALL:
            return _large(fd)
        try:
            return (pieces.up_to(functools.partial(os.read, fd), size + 1),)
        finally:
            os.close(fd)

    def _descriptor(self, name: bytes) -> int:
        parts = [part for part in name.split(b'/') if part not in (b'', b'.')]
        if not parts or b'..' in parts:
            raise FileNotFoundError(2, 'a name that leaves the layer', name)
        try:
            fd = self._below_root(parts)
        except OSError:
            if not self._shares_data():
                raise
            return self._from_view(parts)
        if self._mark is not None and self._mark in os.listxattr(fd):
            os.close(fd)
            return self._from_view(parts)
        return fd

    def _below_root(self, parts: List[bytes], links: int = 0) -> int:
        depth = 0
        while depth < len(self._open) and depth < len(parts) - 1 and self._open[depth][0] == parts[depth]:
            depth += 1
        while len(self._open) > depth:
            self._open.pop()[1].close()
        folder = self._open[-1][1] if self._open else self._root
        for part in parts[depth:-1]:
            try:
                child = folder.child(part)
            except OSError:
                return self._below_root(self._through_link(folder, parts, len(self._open), links), links + 1)
            self._open.append((part, child))
            folder = child
        return folder.open(parts[-1])

    @staticmethod
    def _through_link(folder: safeio.Dir, parts: List[bytes], depth: int, links: int) -> List[bytes]:
        """PARTS with the link at DEPTH replaced by its target, in the layer's own root: a tar may name files through a
        link of its own, as extraction did. Raises OSError where there is no link."""
        if links >= MAX_LINKS or not stat.S_ISLNK(folder.stat(parts[depth]).st_mode):
            raise FileNotFoundError(2, 'a folder of it is missing in the layer', b'/'.join(parts))
        target = folder.readlink(parts[depth])
        way = [] if target.startswith(b'/') else list(parts[:depth])
        for part in target.split(b'/') + list(parts[depth + 1:]):
            if part == b'..':
                way = way[:-1]
            elif part not in (b'', b'.'):
                way.append(part)
        if not way:
            raise FileNotFoundError(2, 'a link leads to the layer itself', b'/'.join(parts))
        return way

    # -- data that lie in a layer below (an overlay made with metacopy or redirect_dir) --------------------------------

    def _shares_data(self) -> bool:
        return self._mark is not None and len(self._layers) > 1

    def _from_view(self, parts: List[bytes]) -> int:
        if self._view is None:
            self._view = union.View(as_layers(self._layers)).__enter__()
        view = self._view
        here, prefix = view._layer_folder(view.root_parts(), b''), b''
        for part in parts[:-1]:
            found = view._collect(here, part)
            if not found:
                raise FileNotFoundError(2, 'a folder of it is missing in the layer', b'/'.join(parts))
            prefix += part + b'/'
            here = view._layer_folder(found, prefix)
        found = view._find(here, parts[-1])
        if found is None:
            raise FileNotFoundError(2, os.strerror(2), b'/'.join(parts))
        part, st = found
        return tree.Entry(b'/'.join(parts), st, part.folder, parts[-1], view, False, False, (here, part)).open()


def _large(fd: int) -> Iterator[bytes]:
    try:
        yield from pieces.of(fd)
    finally:
        os.close(fd)


# -- a layer made anew ---------------------------------------------------------------------------------------------------------


def as_layers(image_layers: Sequence[model.ImageLayer], full_copies: bool = False) -> Tuple[model.Layer, ...]:
    """model.Layer of those model.ImageLayer (top first) that have a folder, for a union.View. FULL_COPIES: see model.PLAIN."""
    return tuple(model.Layer(layer.path, model.PLAIN if full_copies else layer.encoding, model.COMPLETE, layer.diff_id,
                             layer.chain_id, layer.cache_id)
                 for layer in image_layers if layer.path is not None and layer.status == model.COMPLETE)


class Made(NamedTuple):
    """A layer tar that was written from entries."""
    diff_id: str
    size: int
    entries: int                        # 0: nothing is in it
    fingerprint: str                    # archive.fingerprint of what was in it
    failures: Tuple[archive.Lost, ...]
    failures_total: int
    sockets: int
    markers: Tuple[bytes, ...]          # real files named .wh.*, left out: they would delete what they name
    markers_total: int
    stripped: Tuple[bytes, ...] = ()    # members whose extended attributes are not all in it, see archive.loadable
    stripped_total: int = 0
    attributes_by_some: int = 0         # members with attributes that not every Docker keeps


@contextlib.contextmanager
def rebuilt(layers: Sequence[model.ImageLayer], full_copies: bool = False) -> Iterator[Iterator[Union[tree.Entry, tree.Failure]]]:
    """The stream of entries of a new layer like layers[0]. LAYERS: it and those below it, model.ImageLayer, top first.
    FULL_COPIES: each folder is a whole file system (legacy overlay); the layer is what differs from the next one."""
    known = as_layers(layers, full_copies)
    with contextlib.ExitStack() as held:
        yield held.enter_context(trees.LayerTree(model.Stack(known[0], None, known[1:])).opened())[1]


@contextlib.contextmanager
def writable(stack: model.Stack) -> Iterator[Iterator[Union[tree.Entry, tree.Failure]]]:
    """The stream of entries of a container's writable layer as `docker commit` takes it: without the init layer."""
    if stack.copied_init:               # its files are in the writable layer: only a comparison tells them apart
        with contextlib.closing(trees.difference(stack)) as entries:
            yield entries
        return
    with contextlib.ExitStack() as held:
        yield held.enter_context(trees.LayerTree(stack).opened())[1]


def make(opened: Callable[[], ContextManager[Iterable[Union[tree.Entry, tree.Failure]]]],
         out: Optional[Callable[[Union[bytes, memoryview]], Any]] = None, idmap: 'Optional[IdMap]' = None,
         on_failure: Optional[Callable[[archive.Lost], Any]] = None, sparse: bool = False) -> Made:
    """Write a layer tar as `docker commit` writes it -> Made, but with the nanoseconds and the extended attributes that
    `docker load` keeps and a commit drops. OPENED() is a context manager that gives the entries.

    OUT: write(bytes-like), or None to learn size and digest only. SPARSE: leave holes out. Docker loads such members, but
    its own record of such a layer cannot be put together again, so the loaded image cannot be saved or pushed; that is
    better than a hundred GiB of zeros, and worse than anything less.
    Raises OSError if the entries can't even start, and what OUT raises.
    """
    digested = _Digesting(out)
    markers = []
    count = [0]

    def without_markers(entries: Iterable[Union[tree.Entry, tree.Failure]]) -> Iterator[Union[tree.Entry, tree.Failure]]:
        for entry in entries:
            if not isinstance(entry, tree.Failure) and not entry.whiteout and whiteouts.looks_like_marker(entry.path):
                count[0] += 1
                if len(markers) < MAX_NAMED:
                    markers.append(entry.path)
                continue
            yield entry

    with opened() as entries:
        result = archive.write_tar(without_markers(entries), digested, archive.LAYER, idmap, None, False, True, None, sparse,
                                   on_failure)
    return Made('sha256:' + digested.digest.hexdigest(), digested.size, result.entries, result.fingerprint, result.failures,
                result.failures_total, result.skipped_sockets, tuple(markers), count[0], result.stripped[:MAX_NAMED],
                result.stripped_total, result.attributes_by_some)


class _Digesting(object):
    def __init__(self, out: Optional[Callable[[Union[bytes, memoryview]], Any]]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._out = out

    def write(self, data: Union[bytes, memoryview]) -> None:
        self.digest.update(data)
        self.size += len(data)
        if self._out is not None:
            self._out(data)
