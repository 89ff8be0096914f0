"""What a `docker load` archive holds, without loading it: manifest.json, index.json and the images' configurations.

Graphdriver engines read manifest.json, containerd-backed ones prefer index.json: both have to lead to
the same images, or what a person saw checked is not what runs.
"""
import hashlib
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from ..archive import tarread
from ..formats import jsonish, tarwriter, wording
from ..formats.values import as_dict, as_list

if TYPE_CHECKING:
    from ..formats.pieces import Readable

MAX_SMALL = 8 << 20                     # configurations and manifests; layers are larger or do not matter here
MAX_KEPT = 64 << 20
MAX_NAMES = 10000
MAX_IMAGES = 20
MANIFEST, INDEX = b'manifest.json', b'index.json'


class ImageFile(NamedTuple):
    """One image of an archive. `ids`: every id under which an engine may know it (configuration and manifest digests)."""
    config: Dict[str, Any]              # the whole configuration: architecture, os, config, rootfs
    config_digest: str                  # sha256:...
    references: Tuple[str, ...]
    diff_ids: Tuple[str, ...]
    ids: Tuple[str, ...]
    listed: Tuple[str, ...] = ()        # digests of its entries in index.json


def to_document(images: Iterable[ImageFile]) -> List[Dict[str, Any]]:
    """JSON-ready; :func:`from_document` takes it back."""
    return [dict(image._asdict()) for image in images]


def from_document(value: Any) -> Tuple[ImageFile, ...]:
    """The ImageFiles that another process of this collection found."""
    return tuple(ImageFile(item['config'], item['config_digest'], tuple(item['references']), tuple(item['diff_ids']),
                           tuple(item['ids']), tuple(item['listed'])) for item in value)


class Stream(object):
    """read(n) over a generator of bytes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, dummy: int = -1) -> bytes:
        # an empty piece is not the end
        return next((piece for piece in self._pieces if piece), b'')

    def close(self) -> None:
        close = getattr(self._pieces, 'close', None)
        if close is not None:
            close()


def read(stream: 'Readable', what: str = 'image.tar', seek: bool = False) -> Tuple[ImageFile, ...]:
    """-> (ImageFile, ...) of an archive, in its order (SEEK: STREAM is a plain file). Raises ArchiveError if there is none,
    or if it contradicts itself."""
    reader = tarread.Reader(stream, what, seek)
    small, names, kept = {}, set(), 0
    for member in reader:
        if member.kind == tarread.SYMLINK and not _stays(member):
            raise reader.fail('is a link that leaves the archive', member.name)
        if member.kind not in (tarread.FILE, tarread.FOLDER, tarread.SYMLINK):
            raise reader.fail('is not a file; an image has only files', member.name)
        if member.name in names and member.kind != tarread.FOLDER:
            raise reader.fail('is in the archive twice', member.name)
        names.add(member.name)
        if len(names) > MAX_NAMES:
            raise reader.fail('has more than %d members: this is not an image' % MAX_NAMES)
        if member.kind == tarread.FILE and member.size <= MAX_SMALL and kept < MAX_KEPT and _may_matter(member):
            data = reader.take()
            kept += len(data)
            small[member.name] = data
    entries = [item for item in as_list(_json(reader, small, MANIFEST)) if isinstance(item, dict)]
    if not 0 < len(entries) <= MAX_IMAGES:
        raise reader.fail('has %s in its manifest.json' % wording.number(len(entries), 'image'))
    index = _index(reader, small) if INDEX in names else None
    found = tuple(_image(reader, entry, small, names, index) for entry in entries)
    listed = [digest for image in found for digest in image.listed]
    if index is not None and set(listed) != set(index):
        raise reader.fail('has images in index.json that are not in manifest.json')
    return found


def pick(images: Iterable[ImageFile], wanted: str) -> ImageFile:
    """The image that a container is made from: that with the configuration WANTED (digest), else the topmost."""
    for image in images:
        if wanted and image.config_digest == wanted:
            return image
    return max(images, key=lambda image: len(image.diff_ids))


def only(pieces: Iterable[bytes], image: ImageFile, what: str = 'image.tar') -> Iterator[bytes]:
    """The archive in PIECES (bytes) with IMAGE as its only one: layers pass, manifest.json and index.json are shortened."""
    reader = tarread.Reader(Stream(pieces), what)
    for member in reader:
        if member.kind == tarread.FOLDER:
            continue
        if member.kind != tarread.FILE:
            raise reader.fail('is no file', member.name)
        if member.name in (MANIFEST, INDEX):
            data = _shortened(member.name, reader.take(), image)
            yield _header(member.name, len(data)) + data + tarwriter.padding(len(data))
            continue
        yield _header(member.name, member.size)
        yield from reader.pieces()
        yield tarwriter.padding(member.size)
    yield tarwriter.END


def _header(name: bytes, size: int) -> bytes:
    return tarwriter.header(name, tarwriter.REGULAR, 0o644, 0, 0, size, 0)


def _shortened(name: bytes, data: bytes, image: ImageFile) -> bytes:
    value = jsonish.loads(data)
    if name == MANIFEST:
        value = [entry for entry in map(as_dict, value) if _digest_of(entry) == image.config_digest]
    else:
        value['manifests'] = [item for item in value['manifests'] if item.get('digest') in image.listed]
    return json.dumps(value, sort_keys=True).encode('utf-8')


def _digest_of(entry: Dict[str, Any]) -> str:
    """The digest of an entry's configuration as its name says it: blobs/sha256/HEX or HEX.json."""
    return 'sha256:' + str(entry.get('Config')).rsplit('/', 1)[-1].split('.')[0]


def _image(reader: tarread.Reader, entry: Dict[str, Any], small: Dict[bytes, bytes], names: Set[bytes],
           index: Optional[Dict[str, List[Tuple[str, Optional[str]]]]]) -> ImageFile:
    name = str(entry.get('Config')).encode('utf-8', 'replace')
    config = _json(reader, small, name)
    diff_ids = as_list(as_dict(as_dict(config).get('rootfs')).get('diff_ids'))
    layers = as_list(entry.get('Layers'))
    if not isinstance(config, dict) or len(diff_ids) != len(layers):
        raise reader.fail('has an image configuration that does not fit its layers')
    for layer in layers:
        if str(layer).encode('utf-8', 'replace') not in names:
            raise reader.fail('lacks the layer %s' % tarread.shown(str(layer).encode('utf-8', 'replace')))
    digest = 'sha256:' + hashlib.sha256(small[name]).hexdigest()
    if _digest_of(entry) != digest:
        raise reader.fail('has an image configuration whose digest is not its name')
    ids, listed = [digest], []
    if index is not None:
        listed = [top for top, reached in index.items() if any(config == digest for dummy, config in reached)]
        if not listed:
            raise reader.fail('has one image in manifest.json and another one in index.json')
        for top in listed:
            ids.extend(manifest for manifest, config in index[top] if config in (digest, None))
    references = tuple(tag for tag in as_list(entry.get('RepoTags')) if isinstance(tag, str))
    return ImageFile(config, digest, references, tuple(map(str, diff_ids)), tuple(dict.fromkeys(ids)), tuple(listed))


def _stays(member: tarread.Member) -> bool:
    """Old `docker save` links ../<other layer>/layer.tar; nothing else has links."""
    return member.link.startswith(b'../') and b'..' not in member.link[3:].split(b'/') and member.name.count(b'/') == 1


def _may_matter(member: tarread.Member) -> bool:
    return member.name in (MANIFEST, INDEX, b'oci-layout') or member.name.endswith(b'.json') \
        or member.name.startswith(b'blobs/')


def _json(reader: tarread.Reader, small: Dict[bytes, bytes], name: bytes) -> Any:
    if name not in small:
        raise reader.fail('lacks %s' % tarread.shown(name))
    try:
        return jsonish.loads(small[name])
    except jsonish.JsonError:
        raise reader.fail('is not JSON', name)


def _index(reader: tarread.Reader, small: Dict[bytes, bytes]) -> Dict[str, List[Tuple[str, Optional[str]]]]:
    """{digest of an entry of index.json: [(digest of a manifest or inner index, digest of its configuration or None)]}."""
    found = {}
    for item in as_list(as_dict(_json(reader, small, INDEX)).get('manifests'))[:MAX_IMAGES]:
        top = str(as_dict(item).get('digest'))
        reached, pending = [], [top]
        while pending and len(reached) < 50:
            digest = pending.pop(0)
            blob = small.get(b'blobs/sha256/' + digest[7:].encode('utf-8', 'replace'))
            if blob is None or digest in [known for known, dummy in reached]:
                continue                # of an index for several platforms only one need be here
            if hashlib.sha256(blob).hexdigest() != digest[7:]:
                raise reader.fail('has a manifest that does not have its digest')
            content = as_dict(_json(reader, small, b'blobs/sha256/' + digest[7:].encode()))
            config = as_dict(content.get('config')).get('digest')
            reached.append((digest, config if isinstance(config, str) else None))
            pending.extend(str(as_dict(inner).get('digest')) for inner in as_list(content.get('manifests'))[:50])
        found[top] = reached
    return found
