"""The layers of an image that is being written: where the bytes of each come from, and what its digest is.

Size and digest stand before the bytes in what is written, so both are known first: for an exact layer by the records
that Docker kept of it, for one that is made anew by making it twice.
"""
import os
import tempfile
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterable, Optional, Tuple, Union

from ..disk import metadata
from ..disk.errors import LifeboatError
from ..formats import pieces, wording
from ..records import model
from . import layerdata

if TYPE_CHECKING:
    from ..archive.trees import Estimate
    from ..archive.write import Lost
    from ..disk.tree import Entry, Failure
    from ..layers.idmap import IdMap
    from .store import ImageStore

LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'
MAX_NOTES = 20                          # damaged files listed in a record
HOLES = 2 << 30                         # bytes of holes of a writable layer that are not written as zeros


class Again(Exception):
    """What was promised in a header turned out otherwise: write once more, knowing better."""


class _NoRoom(Exception):
    """The temporary file is full."""


def full_copies(image: model.Image) -> bool:
    """True where each layer's folder is a whole file system although its encoding says otherwise (legacy overlay)."""
    return image.driver == 'overlay'


_WAYS = (layerdata.BLOB, layerdata.TAR_SPLIT, layerdata.REBUILT, layerdata.NONE)


class ImageLayer(object):
    """An image layer and the best way to its bytes that has not failed yet."""

    def __init__(self, image: model.Image, position: int, idmap: 'Optional[IdMap]', store: 'Optional[ImageStore]') -> None:
        self.layer = image.layers[position]
        self.number = position + 1
        self._below = image.layers[:position][::-1]
        self.full_copies = full_copies(image)
        self._idmap = idmap
        self._known = store.known if store is not None else {}
        self.method: Optional[str] = None
        self.message = ''
        self.damaged: Tuple[bytes, ...] = ()
        self.damaged_total = 0
        self.digest: Optional[str] = None
        self.diff_id: Optional[str] = None
        self.media_type: Optional[str] = None
        self.size = 0
        self.made: Optional[layerdata.Made] = None
        self._unpacked = False
        self._choose(_WAYS)

    @property
    def exact(self) -> bool:
        """It has the diffID that the image gives it; now and then one that was made anew has it too."""
        return self.diff_id is not None and self.diff_id == self.layer.diff_id

    @property
    def promised(self) -> bool:
        """Its digest is believed, not yet seen: damage shows only while it is read."""
        return self.method in (layerdata.BLOB, layerdata.TAR_SPLIT) and not self._unpacked

    @property
    def whole(self) -> bool:
        """Nothing is known to be missing in it."""
        return self.method != layerdata.NONE and not self.damaged_total and not (
            self.made and (self.made.failures_total or self.made.stripped_total))

    def _choose(self, methods: Tuple[str, ...]) -> None:
        for method in methods:
            self.method = method
            try:
                if getattr(self, '_' + method.replace('-', '_'))():
                    return
            except layerdata.LayerError as exc:
                self._note(exc)

    def fail(self, error: layerdata.LayerError) -> None:
        """What it was taken from is damaged: go to the next way."""
        self._note(error)
        if self.method == layerdata.TAR_SPLIT:
            names, total, dummy = layerdata.damages(self.layer, self._below)
            if names:
                self.message = '%d of its files are not what the image had' % total
                self.damaged, self.damaged_total = names, total
        self._choose(_WAYS[_WAYS.index(self.method) + 1:])

    def _note(self, error: layerdata.LayerError) -> None:
        self.message = str(error)
        self.damaged, self.damaged_total = error.damaged, error.total

    # the ways; each answers whether it can be gone, and then sets digest, size, media_type and diff_id

    def _blob(self) -> bool:
        blob = layerdata.blob_of(self.layer)
        if blob is None or self.layer.diff_id is None:
            return False
        self.diff_id = self.layer.diff_id
        if blob.packed == layerdata.ZSTD:
            try:
                self.size = sum(len(piece) for piece in layerdata.blob_tar(self.layer))
                self.digest, self.media_type, self._unpacked = self.diff_id, LAYER_TYPE, True
                return True
            except LifeboatError as exc:
                self.message = 'it stays packed with zstd, which Docker 20.10 cannot load (%s)' % exc
        self.digest, self.size = self.layer.blob_digest, blob.size
        self.media_type = LAYER_TYPE + ('+' + blob.packed if blob.packed else '')
        return True

    def _tar_split(self) -> bool:
        if not layerdata.has_tar_split(self.layer) or self.layer.diff_id is None:
            return False
        key = self.layer.tar_split
        if key not in self._known:
            self._known[key] = layerdata.tar_size(self.layer)
        self.size = self._known[key]
        self.digest = self.diff_id = self.layer.diff_id
        self.media_type = LAYER_TYPE
        return True

    def _rebuilt(self) -> bool:
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

    def _none(self) -> bool:
        self.digest = self.diff_id = self.media_type = None
        self.size = 0
        self.message = self.message or 'its files are not on this disk'
        return True

    def _entries(self) -> 'ContextManager[Iterable[Union[Entry, Failure]]]':
        return layerdata.rebuilt((self.layer,) + self._below, self.full_copies)

    def copy(self, write: Callable[[Union[bytes, memoryview]], Any]) -> None:
        """Write its bytes; layerdata.LayerError where they are not what was promised."""
        if self.method == layerdata.BLOB:
            for piece in layerdata.blob_tar(self.layer) if self._unpacked else layerdata.blob_bytes(self.layer):
                write(piece)
        elif self.method == layerdata.TAR_SPLIT:
            for piece in layerdata.split_tar(self.layer, self._below):
                write(piece)
        else:
            self._make_again(write)

    def _make_again(self, write: Callable[[Union[bytes, memoryview]], Any]) -> None:
        try:
            same = layerdata.make(self._entries, write, self._idmap).diff_id == self.diff_id
        except OSError as exc:
            raise layerdata.LayerError('its folder cannot be read: %s' % metadata.describe(exc))
        if not same:
            self._known.pop((self.layer.path, self.layer.chain_id), None)
            raise layerdata.LayerError('it changed while it was read')

    def record(self) -> Dict[str, Any]:
        return {'diff_id': self.diff_id, 'recorded_diff_id': self.layer.diff_id, 'digest': self.digest, 'bytes': self.size,
                'method': self.method, 'exact': self.exact, 'message': self.message,
                'damaged': [wording.text(name) for name in self.damaged[:MAX_NOTES]], 'damaged_total': self.damaged_total}


class WritableLayer(object):
    """A container's writable layer. It is read twice, to know its size and digest before it is written; if it changes
    in between, and from the start where the container is running, it is written to a temporary file first."""

    def __init__(self, stack: model.Stack, measured: 'Optional[Estimate]', idmap: 'Optional[IdMap]', scratch: Optional[bytes], live: bool,
                 on_failure: 'Optional[Callable[[Lost], Any]]') -> None:
        self._stack = stack
        self._idmap = idmap
        self._scratch = scratch
        self._on_failure = on_failure
        self._held: Any = None
        self._tries = 0
        self.sparse = measured is not None and measured.bytes - measured.allocated >= HOLES
        self.made = self._settled(live and scratch is not None)

    def _make(self, out: Optional[Callable[[Union[bytes, memoryview]], Any]], on_failure: 'Optional[Callable[[Lost], Any]]' = None) -> layerdata.Made:
        return layerdata.make(lambda: layerdata.writable(self._stack), out, self._idmap, on_failure, self.sparse)

    def settle(self, hold: bool) -> None:
        """Learn size and digest. HOLD: keep the bytes too, as far as there is room. OSError if it can't be read."""
        self.made = self._settled(hold)

    def _settled(self, hold: bool) -> layerdata.Made:
        if hold and self._scratch is not None:
            try:
                self._held = tempfile.TemporaryFile(dir=os.fsdecode(self._scratch))
                return self._make(self._hold, self._on_failure)
            except (OSError, _NoRoom):
                self.close()
                self._held = self._scratch = None
        return self._make(None, self._on_failure)

    def _hold(self, data: Union[bytes, memoryview]) -> None:
        try:
            self._held.write(data)
        except OSError:
            raise _NoRoom()

    def changed(self) -> bool:
        """It was not the same the second time. True: settled again; False: no use."""
        self._tries += 1
        if self._scratch is None and self._tries > 1:
            return False
        try:
            self.settle(self._scratch is not None)
        except OSError:
            return False
        return True

    def copy(self, write: Callable[[Union[bytes, memoryview]], Any]) -> None:
        """Write its bytes; Again if they are not those that were settled."""
        if self._held is not None:
            self._held.seek(0)
            for piece in pieces.of(self._held):
                write(piece)
            return
        try:
            same = self._make(write).diff_id == self.made.diff_id
        except (layerdata.LayerError, OSError):     # more bytes than promised, or gone
            same = False
        if not same:
            raise Again()

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
