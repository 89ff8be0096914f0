"""A container of a verified bundle, unpacked into a scratch folder, as the records that a dump works with.

Each layer of its image gets a folder, as overlayfs has it, and each volume and bind another one. An ordinary user owns all of them: what the
owners were is not kept, and programs of the image run as that user.
"""
import contextlib
import functools
import hashlib
import os
import re
import stat
import tempfile
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ..archive import compress, removal, tarread, unpack
from ..archive.progress import human
from ..bundles import reading, source as sources
from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..engines import api
from ..formats import gunzip, whiteouts, wording
from ..images import loadfile, store as imagestore
from ..records import model
from .room import Refused

MIN_ROOM = 64 << 20                     # bytes that are left free
ID = re.compile(r'[0-9a-f]{12,64}\Z')
NOTHING_TO_START = ('it has neither an image nor a rootfs, so there is no program that could read its databases; rescue with include: '
                    '[image, writable, volumes]')
# of overlayfs, in a view of root's and of an ordinary user's
_OPAQUE = {True: 'trusted.overlay.opaque', False: 'user.overlay.opaque'}


class Root(object):
    """Stands for the data root that the container was on: none of it is here."""
    liveness = api.NOT_KNOWN
    is_copy = True                      # nobody else uses these files, and an ordinary user owns them

    def __init__(self, path: bytes, why_lost: str, images: Callable[[], Iterator[model.Image]]) -> None:
        self.path = path
        self.why_lost = why_lost        # why there are no programs of its own
        self._images = images
        self._unpacked: Optional[List[model.Image]] = None

    def images(self) -> List[model.Image]:
        """Images of other bundles, unpacked when they are first asked for. Raises Refused."""
        if self._unpacked is None:
            self._unpacked = list(self._images())
        return self._unpacked

    def places(self) -> Tuple[bytes, ...]:
        """What may not be written."""
        return (self.path,)

    @staticmethod
    def alive(dummy: Any) -> None:
        """No process has its container."""


class Host(NamedTuple):
    """Stands for the host."""
    roots: Tuple[Root, ...]


@contextlib.contextmanager
def opened(source: sources.Source, scratch: bytes, others: Callable[[], Iterable[sources.Source]] = tuple) -> Iterator[Tuple[Host, model.Container]]:
    """Unpack the container of SOURCE (read, so verified) into a new folder in SCRATCH, which is removed at the end -> (Host, Container). If it has
    no image, the host has those of OTHERS(), sources too. Raises Refused, LifeboatError, OSError."""
    _refuse_without_room(source, scratch)
    work = tempfile.mkdtemp(prefix=b'.lifeboat-bundle-', dir=scratch)
    try:
        os.chmod(work, 0o711)           # programs of the image run as other users
        maker = _Maker(source, work)
        stack = maker.stack()
        mounts = tuple(maker.mounts())
        record = model.Container(
            id=source.id if ID.match(source.id) else 'unknown', name=source.name, created=None, image_id=None, image_reference=None, labels={},
            state={}, root=work, folder=None, store='bundle', driver=None, status=model.COMPLETE, problems=(),
            stack=stack, mounts=mounts, log=None, definition=source.definition, records={}, sources={})
        yield Host((Root(source.info.path, maker.why_lost, functools.partial(_images, others, scratch, work)),)), record
    finally:
        removal.discard(work)


def lacking(source: sources.Source) -> List[str]:
    """Sentences on what is not whole in the bundle already."""
    return ['%s %s of the bundle is not whole: %s' % (part.kind, wording.show(part.name), part.shortfall) for part in source.parts
            if part.kind in reading.ARCHIVES and part.status != model.COMPLETE]


def _image_bytes(info: reading.BundleInfo) -> int:
    """At most so much is in the layers of the image: that of the image, and as much as its file has, for what the container has added."""
    sizes = [item.get(key) for item in reading.components(info.manifest, 'image') for key in ('source_bytes', 'bytes')]
    return sum(size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0)


def _refuse_without_room(source: sources.Source, scratch: bytes) -> None:
    if fsinfo.lies_inside(scratch, source.info.path):
        raise LifeboatError('scratch_dir %s lies inside the bundle %s' % (wording.text(scratch), wording.show(source.info.path)))
    _refuse_more(_bytes_of_layers(source) + sum(part.bytes or 0 for part in source.of('volume') + source.of('bind')), scratch)


def _bytes_of_layers(source: sources.Source) -> int:
    whole = [part.bytes or 0 for part in source.of('rootfs')[:1]]
    return sum(whole or [_image_bytes(source.info)] + [part.bytes or 0 for part in source.of('writable') if not source.image_digest])


def _refuse_more(size: int, scratch: bytes) -> None:
    free = fsinfo.free(scratch).bytes - MIN_ROOM
    if size > free:
        raise Refused('DUMP_NO_SPACE', 'it takes %s when it is unpacked, and %s has %s' % (human(size), wording.text(scratch), human(max(0, free))))


def _images(others: Callable[[], Iterable[sources.Source]], scratch: bytes, work: bytes) -> Iterator[model.Image]:
    """Unpack the image, or the rootfs, of each of OTHERS into a folder in WORK. One that cannot be unpacked is passed over. Raises Refused where
    there is no room."""
    for source in others():
        _refuse_more(_bytes_of_layers(source), scratch)
        folder = tempfile.mkdtemp(prefix=b'image-', dir=work)
        os.chmod(folder, 0o711)
        try:
            layers = _Maker(source, folder).layers()
        except (Refused, LifeboatError, OSError):
            continue
        env = source.defaults.env if source.defaults is not None else source.definition.env
        yield model.Image(
            source.image_digest or source.id, (source.definition.image,) if source.definition.image else (), None, None, None, model.COMPLETE,
            tuple(model.ImageLayer(None, None, None, layer.path, None, model.COMPLETE, layer.encoding) for layer in reversed(layers)),
            {'config': {'Env': list(env)}}, None, 'bundle', source.info.path, None)


class _Maker(object):
    """Makes the folders of one bundle in WORK."""

    def __init__(self, source: sources.Source, work: bytes) -> None:
        self._source = source
        self._work = work
        self._root = os.geteuid() == 0
        self._encoding = model.OVERLAY if self._root else model.OVERLAY_USER
        self._number = 0
        self._why = ''                  # what was wrong with the last blob that is no layer
        self.why_lost = ''              # why stack() has no image

    def _folder(self, private: bool) -> bytes:
        """A new folder. A database server refuses data that others may read, and without root no archive sets the mode of its top."""
        self._number += 1
        path = os.path.join(self._work, b'%d' % self._number)
        os.mkdir(path, 0o700 if private and not self._root else 0o755)
        return path

    def stack(self) -> model.Stack:
        """Its layers; those of the image are lost where the bundle has none."""
        try:
            layers = self.layers()
            return model.Stack(layers[0], None, layers[1:])
        except Refused as exc:
            if exc.code != 'DUMP_LAYERS_LOST':
                raise
            self.why_lost = str(exc)
        top = [self._unpacked(part, False) for part in self._source.of('writable')[:1]]
        for folder in top:
            _mark(folder, self._root)
        return model.Stack(self._layer(top[0]) if top else None, None, (model.Layer(None, self._encoding, model.LOST),))

    def layers(self) -> Tuple[model.Layer, ...]:
        """The file system of the container, top first."""
        whole = self._source.of('rootfs')
        if whole:
            return (self._layer(self._unpacked(whole[0], False)),)
        if not self._source.of('image'):
            raise Refused('DUMP_LAYERS_LOST', NOTHING_TO_START)
        folders = list(reversed(self._image()))
        if not self._source.image_digest:           # else its last layer is the writable one
            folders[:0] = [self._unpacked(part, False) for part in self._source.of('writable')[:1]]
        for folder in folders:
            _mark(folder, self._root)
        return tuple(map(self._layer, folders))

    def _layer(self, path: bytes) -> model.Layer:
        return model.Layer(path, self._encoding)

    def mounts(self) -> Iterator[model.Mount]:
        """Its mounts, those in the bundle with the folders that they are in now."""
        volumes = {part.name: part for part in self._source.of('volume')}
        binds = {part.destination: part for part in self._source.of('bind')}
        for mount in self._source.mounts:
            part = volumes.get(mount.name or '') if mount.type == 'volume' else binds.get(mount.destination) if mount.type == 'bind' else None
            if not mount.destination.startswith('/') or '\0' in mount.destination:
                continue
            yield mount._replace(path=self._unpacked(part, True) if part is not None else None)

    def _unpacked(self, part: sources.Part, private: bool) -> bytes:
        """Unpack an archive -> its folder, or its file where it is of one."""
        folder = self._folder(private)
        fd = reading.open_file(self._source.info, part.file)
        try:
            stream = compress.open_reader(fd, compress.codec_of(part.file))
            try:
                done = unpack.unpack(stream, folder, wording.show(part.file), self._root, part.bytes, leave_devices=not self._root)
            finally:
                stream.close()
            reading.refuse_changed(self._source.info, part.file, fd)
        finally:
            os.close(fd)
        names = os.listdir(folder)
        return os.path.join(folder, names[0]) if part.kind == 'bind' and not done.root and len(names) == 1 else folder

    def _image(self) -> List[bytes]:
        """Folders of the layers of the image, lowest first."""
        wanted = self._read(lambda stream: loadfile.pick(loadfile.read(stream), self._source.image_digest)).diff_ids
        left = _image_bytes(self._source.info)

        def unpack_all(stream: loadfile.Stream) -> Dict[str, bytes]:
            made: Dict[str, bytes] = {}
            reader = tarread.Reader(stream, 'the image')
            for member in reader:
                if member.kind == tarread.FILE and member.name.startswith(b'blobs/'):
                    raw = reader.pieces()
                    self._blob(raw, set(wanted) - set(made), left, made)
                    for dummy in raw:
                        pass            # to the end of the member
            return made
        made = self._read(unpack_all)
        if set(wanted) - set(made):
            raise Refused('DUMP_LAYERS_LOST', 'its image lacks %s, or they are packed in a way that is not read here%s; rescue with include: '
                          '[rootfs, volumes]' % (wording.number(len(set(wanted) - set(made)), 'layer'), self._why and ' (%s)' % self._why.rstrip('.')))
        return [made[diff_id] for diff_id in wanted]

    def _blob(self, raw: Iterable[bytes], wanted: Any, limit: int, made: Dict[str, bytes]) -> None:
        """Unpack a blob if it is a layer that is WANTED; its checksum tells."""
        digest = hashlib.sha256()

        def hashed(pieces: Iterable[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece
        first = next((piece for piece in raw if piece), b'')
        if first[:1] in (b'{', b'[', b''):
            return                      # a document
        folder = self._folder(False)
        stream = loadfile.Stream(hashed(gunzip.contents(loadfile.Stream(_chain(first, raw)))))
        try:
            unpack.unpack(stream, folder, 'a layer of the image', self._root, limit, leave_devices=not self._root)
            while stream.read():
                pass                    # what stands behind the end of the tar belongs to the checksum
        except (tarread.ArchiveError, gunzip.GunzipError) as exc:
            self._why = str(exc)        # if it should be a layer, it is missing
            return
        found = 'sha256:' + digest.hexdigest()
        if found in wanted:
            made[found] = folder

    def _read(self, use: Callable[[loadfile.Stream], Any]) -> Any:
        stream = loadfile.Stream(imagestore.loadable(self._source.info.path))
        try:
            return use(stream)
        finally:
            stream.close()


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _mark(top: bytes, root: bool) -> None:
    """What an archive of a layer says by names, overlayfs says by device nodes and an attribute."""
    for fd, names in removal.folders(top):
        for name in names:
            kind, hidden = whiteouts.meaning(os.fsencode(name))
            if kind is None or stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
                continue
            os.unlink(name, dir_fd=fd)
            if kind == whiteouts.OPAQUE_MARKER:
                os.setxattr(fd, _OPAQUE[root], b'y')
            elif kind == whiteouts.WHITEOUT_MARKER and not _is_there(hidden, fd):
                os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)


def _is_there(name: bytes, dir_fd: int) -> bool:
    try:
        os.lstat(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    return True
