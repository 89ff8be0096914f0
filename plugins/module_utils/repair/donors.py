"""Where the files of a damaged image layer can be had: the same layer (diffID) in a bundle, another data root, an image archive, or
an OCI layout. Nothing that a donor says is believed: the caller compares every file with its checksum, and the layer with its digest.
"""
import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from ..archive import compress, tarread
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..engines import registry
from ..formats import gunzip, jsonish, pieces, tarsplit, wording
from ..formats.values import as_dict, as_list
from ..images import layerdata, loadfile

if TYPE_CHECKING:
    from ..records.model import ImageLayer

MAX_SMALL = 8 << 20                     # manifests and configs
MAX_KEPT = 64 << 20                     # of them, of one archive
MAX_MANIFESTS = 200
_GZIP, _ZSTD = b'\x1f\x8b', b'\x28\xb5\x2f\xfd'


class Wanted(object):
    """Files of one layer: `left` {name: tarsplit.File} is what is looked for, `found` {name: content} what was found, with its checksum."""

    def __init__(self, files: Dict[bytes, tarsplit.File]) -> None:
        self.left = dict(files)
        self.found: Dict[bytes, bytes] = {}

    def offer(self, name: bytes, data: bytes) -> None:
        """Take DATA if it is the content of NAME."""
        wanted = self.left.get(name)
        if wanted is not None and len(data) == wanted.size and (wanted.crc is None or tarsplit.crc64(data).to_bytes(8, 'big') == wanted.crc):
            self.found[name] = data
            del self.left[name]

    def tar(self, stream: Iterator[bytes]) -> None:
        """Offer what an uncompressed layer tar (pieces) has."""
        by_plain = {plain(name): name for name in self.left}
        reader = tarread.Reader(loadfile.Stream(stream), 'the layer')
        for member in reader:
            name = by_plain.get(member.name)
            if name in self.left and member.kind == tarread.FILE and member.realsize == self.left[name].size:
                self.offer(name, reader.take() if member.sparse is None else _filled(reader, member))

    def files(self, layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]') -> None:
        """Offer what a layer that lies as files has; a damaged one has some of them whole."""
        with layerdata.LayerFiles(layer, below) as files:
            for name, item in list(self.left.items()):
                with contextlib.suppress(OSError):
                    self.offer(name, b''.join(files.open(name, item.size)))


class Whole(object):
    """A layer as a whole: USE(pieces of its tar) -> whether it was right. `left` is true until it was."""

    def __init__(self, use: Callable[[Iterator[bytes]], bool]) -> None:
        self.left = True
        self._use = use

    def tar(self, stream: Iterator[bytes]) -> None:
        """Try an uncompressed layer tar."""
        self.left = not self._use(stream)

    def files(self, layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]') -> None:
        """Try the tar of a layer that lies as files, where tar-split tells how it was."""
        if layerdata.has_tar_split(layer):
            with contextlib.suppress(layerdata.LayerError):
                self.tar(layerdata.split_tar(layer, below))


def search(donors: List[bytes], diff_id: str, wanted: Any) -> None:
    """Give what every donor (path on this machine) has of the layer DIFF_ID to WANTED (Wanted or Whole), until it has all.

    LifeboatError for a donor that is none.
    """
    for path in donors:
        if not wanted.left:
            return
        try:
            _donor(path)(path, diff_id, wanted)
        except (OSError, tarread.ArchiveError, gunzip.GunzipError, compress.CompressError, layerdata.LayerError) as exc:
            raise LifeboatError('donor %s cannot be read: %s' % (wording.show(path), exc))


def _donor(path: bytes) -> Callable[[bytes, str, Any], None]:
    """The function that reads a donor of this kind."""
    if safeio.is_file(path):
        return _archive
    if safeio.is_file(os.path.join(path, b'oci-layout')):
        return _layout
    if safeio.is_file(os.path.join(path, b'image.tar')):
        return lambda place, diff_id, wanted: _archive(os.path.join(place, b'image.tar'), diff_id, wanted)
    if safeio.is_folder(os.path.join(path, b'image')) or safeio.is_folder(os.path.join(path, b'containers')):
        return _data_root
    raise LifeboatError('donor %s is none: a donor is a bundle with image.tar, a data root, an image archive, or a folder with an OCI layout' %
                        wording.show(path))


def _data_root(path: bytes, diff_id: str, wanted: Union[Wanted, Whole]) -> None:
    with registry.Host(b'/', [path]) as host:
        for root in host.roots:
            for image in root.images():
                for position, layer in enumerate(image.layers):
                    if layer.diff_id == diff_id and wanted.left:
                        _of_layer(layer, image.layers[:position][::-1], wanted)


def _of_layer(layer: 'ImageLayer', below: 'Tuple[ImageLayer, ...]', wanted: Union[Wanted, Whole]) -> None:
    if layer.blob is not None:
        with contextlib.suppress(layerdata.LayerError):     # a donor may be damaged too; files were compared one by one
            wanted.tar(layerdata.blob_tar(layer))
    elif layer.path is not None:
        wanted.files(layer, below)


def _filled(reader: tarread.Reader, member: tarread.Member) -> bytes:
    """Content of a file with holes."""
    data = bytearray(member.realsize)
    for offset, length in member.sparse:
        data[offset:offset + length] = b''.join(reader.pieces(length))
    return bytes(data)


def plain(name: bytes) -> bytes:
    """A name in a tar without what says nothing: `./`, slashes at the ends."""
    return b'/'.join(part for part in name.split(b'/') if part not in (b'', b'.'))


def _unpacked(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a layer's tar, whatever packs it. Zstandard is read only from files."""
    first = next(stream, b'')
    rest = _again(first, stream)
    return gunzip.chunks(rest) if first.startswith(_GZIP) else rest


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


# -- archives of docker save ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _members(path: bytes) -> Iterator[tarread.Reader]:
    with layerdata.opened(path) as fd, contextlib.ExitStack() as stack:
        start = os.pread(fd, 4, 0)
        packed = {_GZIP: 'gzip', _ZSTD: 'zstd'}.get(start[:2] if start.startswith(_GZIP) else start)
        stream = stack.enter_context(contextlib.closing(compress.open_reader(fd, packed))) if packed else loadfile.Stream(pieces.of(fd))
        yield tarread.Reader(stream, wording.show(path))


def _archive(path: bytes, diff_id: str, wanted: Union[Wanted, Whole]) -> None:
    """Two passes: which member is the layer; then its files."""
    small: Dict[bytes, bytes] = {}
    room = MAX_KEPT
    with _members(path) as reader:
        for member in reader:
            if member.kind == tarread.FILE and member.size <= min(MAX_SMALL, room) and _is_document(member.name):
                data = reader.take()
                if data[:1] in (b'{', b'['):    # layers are blobs, too, and small ones would take the room
                    small[member.name] = data
                    room -= member.size + len(member.name)
    names = set()
    for item in as_list(_json(small.get(b'manifest.json'))):
        image = as_dict(item)
        config = as_dict(_json(small.get(str(image.get('Config')).encode())))
        for wanted_id, name in zip(as_list(as_dict(config.get('rootfs')).get('diff_ids')), as_list(image.get('Layers'))):
            if wanted_id == diff_id:
                names.add(str(name).encode())
    if not names:
        return
    with _members(path) as reader:
        for member in reader:
            if member.name in names and member.kind == tarread.FILE:
                wanted.tar(_unpacked(reader.pieces()))
                return


def _is_document(name: bytes) -> bool:
    return name.endswith(b'.json') or name.startswith(b'blobs/')


def _json(raw: Optional[bytes]) -> Any:
    try:
        return jsonish.loads(raw) if raw else None
    except ValueError:
        return None


# -- OCI layouts ----------------------------------------------------------------------------------------------------------


def _layout(path: bytes, diff_id: str, wanted: Union[Wanted, Whole]) -> None:
    with safeio.Dir.root(path) as top:
        pending = [_json(top.read(b'index.json', MAX_SMALL))]
        count = 0
        while pending and count < MAX_MANIFESTS:
            count += 1
            document = as_dict(pending.pop())
            for item in as_list(document.get('manifests')):
                pending.append(_json(_blob(top, as_dict(item).get('digest'))))
            config = as_dict(_json(_blob(top, as_dict(document.get('config')).get('digest'))))
            diff_ids = as_list(as_dict(config.get('rootfs')).get('diff_ids'))
            for one, layer in zip(diff_ids, as_list(document.get('layers'))):
                if one == diff_id and wanted.left:
                    _of_blob(top, as_dict(layer).get('digest'), wanted)


def _place(digest: Any) -> Tuple[bytes, bytes]:
    """(folder, name) of a blob; OSError for what is no digest."""
    algorithm, dummy, name = str(digest).partition(':')
    if algorithm not in ('sha256', 'sha512') or not name.isalnum():
        raise OSError(22, 'a manifest names something that is no digest', str(digest)[:80])
    return b'blobs/' + algorithm.encode(), name.encode('ascii', 'replace')


def _blob(top: safeio.Dir, digest: Any) -> Any:
    if not digest:
        return None
    folder, name = _place(digest)
    try:
        return top.descend(folder).read(name, MAX_SMALL)
    except OSError:
        return None


def _of_blob(top: safeio.Dir, digest: Any, wanted: Union[Wanted, Whole]) -> None:
    folder, name = _place(digest)
    fd = top.descend(folder).open(name)
    try:
        if os.pread(fd, 4, 0) == _ZSTD:
            with contextlib.closing(compress.open_reader(fd, 'zstd')) as reader:
                wanted.tar(pieces.of(reader))
        else:
            wanted.tar(_unpacked(iter(functools.partial(os.read, fd, 1 << 18), b'')))
    finally:
        os.close(fd)
