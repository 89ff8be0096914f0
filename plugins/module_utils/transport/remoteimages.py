"""``images/`` on the controller, seen from the node: each layer is sent once, however many bundles have it.

The bundle at work brings a layer as a file of its own (so a cut one is gone on with), `share` has it linked into images/,
and every other bundle takes it from there: also in later runs, as the controller says which layers it has.
"""
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Optional

from ..archive.sink import Data, resumed
from ..formats import wording
from ..images import layerdata, store as imagestore

if TYPE_CHECKING:
    from ..records.model import ImageLayer
    from .remote import RemoteStore


class RemoteImages(imagestore.ImageStore):
    """See imagestore.ImageStore. STORE: remote.RemoteStore."""

    def __init__(self, store: 'RemoteStore', worth: Optional[int] = None) -> None:
        super(RemoteImages, self).__init__(os.path.join(store.path, imagestore.NAME), worth)
        self._store = store
        self._senders: Dict[str, str] = {}  # digest: bundle that brought it in this run

    def _lies_here(self, layer: 'ImageLayer') -> bool:
        return any(digest in self._store.blobs for digest in (layer.diff_id, layer.blob_digest))

    def has(self, digest: str, size: int) -> bool:
        """True if the controller has verified it, or a bundle of this run brought it and has not failed there."""
        return self._store.blobs.get(digest) == size or self._senders.get(digest, '') not in self._store.failed \
            and digest in self._senders

    def put(self, digest: str, size: int, copy: Callable[[Callable[[Data], Any]], Any]) -> None:
        if not self.has(digest, size):
            resumed(self._send, digest, size, copy)

    def _send(self, digest: str, size: int, copy: Callable[[Callable[[Data], Any]], Any]) -> None:
        bundle = self._store.at_work
        if bundle is None:
            raise AssertionError('it is the one that asks')
        name = inner_name(digest)
        sink = bundle.sink(name, digest)
        try:
            copy(sink.write)
            if sink.bytes != size:
                raise layerdata.LayerError('has %s instead of %d' % (wording.number(sink.bytes, 'byte'), size))
            sink.commit()
        except BaseException:
            sink.abort()
            raise
        self._store.tell(bundle.name, 'share', file=name, sha256=digest.partition(':')[2])
        self._senders[digest] = bundle.name

    def note(self, documents: Iterable[bytes], descriptors: Iterable[Dict[str, Any]]) -> None:
        """The documents lie in the bundle at work already."""
        mark = imagestore.document(list(descriptors))
        bundle = self._store.at_work
        if mark not in self._noted and bundle is not None:
            self._store.tell(bundle.name, 'index', descriptors=list(descriptors),
                             documents=[inner_name('sha256:' + digest) for digest in map(imagestore.sha256, documents)])
            self._noted.add(mark)


def inner_name(digest: str) -> str:
    """Where a bundle holds a blob."""
    return 'image/' + imagestore.BLOBS + digest.partition(':')[2]
