"""``images/`` beside the bundles: each image layer of a run once, however many containers use it.

It is an OCI layout of its own (``skopeo inspect oci:images:TAG``). Bundles hold hard links to its blobs, so each of them
is whole by itself, and ``images/`` may be deleted without harm to them. Where the file system has no hard links, a
bundle's index names blobs that lie here.
"""
import hashlib
import json
import os
import stat
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Set,
    Tuple,
    Union,
)

from ..archive import place
from ..archive.sink import Data, FileSink
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import jsonish, pieces, tarwriter, wording
from . import layerdata

if TYPE_CHECKING:
    from ..records.model import Image, ImageLayer

NAME = b'images'
BLOBS = 'blobs/sha256/'
WORTH = 64 << 20                        # bytes that sharing must save in a run; for less, each bundle is one file of its own
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
REF_NAME = 'org.opencontainers.image.ref.name'
FULL_NAME = 'io.containerd.image.name'


class ImageStore(object):
    """The store of one run. PATH (bytes): its folder, made when the first layer comes. Say with expect() what the run is
    going to write; shares() then tells whether an image's layers belong here or into a file of its own."""

    def __init__(self, path: bytes, worth: Optional[int] = None, base: Optional[Callable[[bool], Optional[int]]] = None) -> None:
        self.path = path
        self._base = base or self._above        # callable(make): the descriptor of the folder that holds it, see store.FolderStore
        self._above_fd: Optional[int] = None
        self._worth = WORTH if worth is None else worth
        self._uses: Dict[Optional[str], int] = {}       # by diffID
        self._bytes: Dict[Optional[str], int] = {}
        self._whole: Dict[str, int] = {}  # digest: size, of blobs that were written or verified in this run
        self._noted: Set[bytes] = set()  # images that are in the index already
        self.known: Dict[Any, Any] = {}  # what imagelayers.py learnt of layers: sizes, and those that are made anew

    # -- what is shared ------------------------------------------------------------------------------------------------------

    def expect(self, image: 'Optional[Image]') -> None:
        """Count the layers of a model.Image (or None) that is going to be written."""
        for layer in image.layers if image is not None else ():
            key = layer.diff_id
            self._uses[key] = self._uses.get(key, 0) + 1
            self._bytes[key] = max(self._bytes.get(key, 0), layer.bytes or 0)

    def shares(self, image: 'Optional[Image]') -> bool:
        """True if writing the layers of IMAGE once saves enough: they are used by other images or containers of this run, or
        lie here from an earlier one."""
        saved = 0
        for layer in image.layers if image is not None else ():
            uses = self._uses.get(layer.diff_id, 0) + self._lies_here(layer)
            saved += max(uses - 1, 0) * (layer.bytes or 0)
        return saved >= self._worth

    def _lies_here(self, layer: 'ImageLayer') -> bool:
        return any(digest and os.path.exists(self.blob(digest)) for digest in (layer.diff_id, layer.blob_digest))

    # -- blobs ---------------------------------------------------------------------------------------------------------------

    def blob(self, digest: str) -> bytes:
        """Absolute path (bytes) of a blob."""
        return os.path.join(self.path, os.fsencode(BLOBS + digest.partition(':')[2]))

    def has(self, digest: str, size: int) -> bool:
        """True if the blob is here with SIZE bytes and its digest; one from an earlier run is read once to know."""
        if digest not in self._whole:
            with self._folder(BLOBS) as folder:
                if folder is None or _digest_of(folder, os.path.basename(self.blob(digest)), size) != digest:
                    return False
            self._whole[digest] = size
        return self._whole[digest] == size

    def _above(self, make: bool) -> int:
        if self._above_fd is None:
            self._above_fd = place.open_dest(os.path.dirname(self.path), make)
        return self._above_fd

    def _folder(self, relative: str, make: bool = False) -> ContextManager[Optional[int]]:
        """A descriptor of the folder RELATIVE (text) below; None where it is missing and not to be made. Raises LifeboatError for
        a link or a folder in other hands."""
        return place.inside(self._base(make), NAME + b'/' + os.fsencode(relative), make)

    def _sink(self, relative: str, name: bytes, shown: bytes) -> FileSink:
        with self._folder(relative, True) as fd:
            if fd is None:
                raise AssertionError('it is made')
            return FileSink(fd, name, shown=shown)

    def put(self, digest: str, size: int, copy: Callable[[Callable[[Union[bytes, memoryview]], Any]], Any]) -> None:
        """Have the blob here. COPY(write) writes its bytes; what it raises comes through, and nothing is left then."""
        if self.has(digest, size):
            return
        folder, name = os.path.split(self.blob(digest))
        with self._sink(BLOBS, name, folder) as sink:
            copy(sink.write)
            if sink.bytes != size:
                raise layerdata.LayerError('has %s instead of %d' % (wording.number(sink.bytes, 'byte'), size))
        self._whole[digest] = size

    # -- the layout's index --------------------------------------------------------------------------------------------------

    def _put_whole(self, raw: bytes) -> None:
        self.put('sha256:' + sha256(raw), len(raw), lambda write: write(raw))

    def note(self, documents: Iterable[bytes], descriptors: Iterable[Dict[str, Any]]) -> None:
        """Add an image to the index. DOCUMENTS: its config and manifest (bytes); DESCRIPTORS: its entries for the index."""
        mark = document(list(descriptors))
        if mark in self._noted:
            return
        for raw in documents:
            self._put_whole(raw)
        new = set(_key(item) for item in descriptors)
        kept = [item for item in self._index() if _key(item) not in new]
        self._write(b'index.json', document({'schemaVersion': 2, 'mediaType': INDEX_TYPE,
                                             'manifests': kept + list(descriptors)}))
        self._write(b'oci-layout', LAYOUT)
        self._noted.add(mark)

    def _index(self) -> List[Dict[str, Any]]:
        """Entries of the index as an earlier image left it, as far as their manifests are here."""
        try:
            with safeio.Dir.root(os.path.realpath(self.path)) as folder:
                value = jsonish.loads(folder.read(b'index.json'))
            return [item for item in value['manifests'] if os.path.isfile(self.blob(item['digest']))]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []

    def _write(self, name: bytes, raw: bytes) -> None:
        with self._sink('', name, self.path) as sink:
            sink.write(raw)


def _key(descriptor: Dict[str, Any]) -> str:
    """A name points to one image; images without a name are told apart by their digest."""
    names = descriptor.get('annotations') or {}
    return str(names.get(FULL_NAME) or descriptor.get('digest'))


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def document(value: Any) -> bytes:
    """JSON as bytes, the same for the same content."""
    return json.dumps(value, sort_keys=True, separators=(',', ':')).encode('ascii')


def _digest_of(folder: int, name: bytes, size: int) -> Optional[str]:
    """The digest of a file of ours of SIZE bytes in the open folder FOLDER; None if it is none, or of another size."""
    try:
        st = place.check_owned(folder, name)
        if st is None or st.st_size != size or not stat.S_ISREG(st.st_mode):
            return None
        with os.fdopen(safeio.openat(name, folder), 'rb') as found:
            return 'sha256:' + pieces.hashed(found)[0].hexdigest()
    except (OSError, LifeboatError):      # of somebody else, too: it is written anew
        return None


class TarFile(object):
    """A plain tar that is written member by member: sizes are known before, nothing is written twice."""

    def __init__(self, sink: 'pieces.Writable') -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.members = 0

    def write(self, data: Data) -> None:
        self._digest.update(data)
        self._sink.write(data)
        self.bytes += len(data)

    def member(self, name: str, size: int, copy: Callable[[Callable[[Union[bytes, memoryview]], Any]], Any]) -> None:
        """COPY(write) must write SIZE bytes; layerdata.LayerError otherwise: the archive must then be thrown away."""
        self.write(tarwriter.header(os.fsencode(name), tarwriter.REGULAR, 0o644, 0, 0, size, 0))
        left = [size]

        def counted(data: Union[bytes, memoryview]) -> None:
            left[0] -= len(data)
            if left[0] < 0:
                raise layerdata.LayerError('has more than %s' % wording.number(size, 'byte'))
            self.write(data)

        copy(counted)
        if left[0]:
            raise layerdata.LayerError('has %s instead of %d' % (wording.number(size - left[0], 'byte'), size))
        self.write(tarwriter.padding(size))
        self.members += 1

    def whole(self, name: str, raw: bytes) -> None:
        """A member whose bytes are all here."""
        self.member(name, len(raw), lambda write: write(raw))

    def end(self) -> str:
        """Finish; the SHA-256 (hex) of the whole."""
        self.write(tarwriter.END)
        return self._digest.hexdigest()


def loadable(bundle: bytes) -> Iterator[bytes]:
    """Yield the archive that `docker load` takes of the bundle folder BUNDLE (bytes): image.tar as it is, or the folder
    image/ as a tar, with blobs that had to stay in images/. Raises LifeboatError where something is missing."""
    try:
        with layerdata.opened(os.path.join(bundle, b'image.tar')) as fd:
            yield from pieces.of(fd)
            return
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise LifeboatError('image.tar of %s cannot be read: %s.' % (wording.text(bundle), exc.strerror or exc))
    held = []
    tar = TarFile(_Held(held))
    for name, path in _files_of(bundle):
        try:
            with layerdata.opened(path) as fd:
                size = os.fstat(fd).st_size
                tar.write(tarwriter.header(name, tarwriter.REGULAR, 0o644, 0, 0, size, 0))
                for piece in pieces.of(fd):
                    tar.write(piece)
                    yield from held
                    del held[:]
                tar.write(tarwriter.padding(size))
        except OSError as exc:
            raise LifeboatError('%s of the image in %s cannot be read: %s. Check the bundle with docker_bundle_info.' % (
                wording.text(name), wording.text(bundle), exc.strerror or exc))
    tar.end()
    yield from held


class _Held(object):
    def __init__(self, pieces: List[bytes]) -> None:
        self._pieces = pieces

    def write(self, data: Data) -> None:
        self._pieces.append(bytes(data))


def _files_of(bundle: bytes) -> List[Tuple[bytes, bytes]]:
    """(name in the archive, path) of everything that image/ of a bundle holds or refers to."""
    folder = os.path.join(bundle, b'image')
    found = [(name, os.path.join(folder, name)) for name in (b'oci-layout', b'index.json', b'manifest.json')]
    try:
        with safeio.Dir.root(os.path.realpath(folder)) as top:
            listed = jsonish.loads(top.read(b'manifest.json'))
            blobs = top.descend(b'blobs/sha256').names()
            wanted = set()
            for item in listed:
                wanted.update(os.path.basename(os.fsencode(name)) for name in item['Layers'])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise LifeboatError('The bundle %s holds no image that can be loaded (%s).' % (wording.text(bundle), exc))
    beside = os.path.join(os.path.dirname(bundle), NAME, b'blobs/sha256')
    found += [(b'blobs/sha256/' + name, os.path.join(folder, b'blobs/sha256', name)) for name in blobs]
    found += [(b'blobs/sha256/' + name, os.path.join(beside, name)) for name in sorted(wanted.difference(blobs))]
    return found
