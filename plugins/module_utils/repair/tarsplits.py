"""tar-split.json.gz: what an image layer's tar had besides the content of its files. It can be made anew from the tar itself, which a donor has."""
import hashlib
from typing import Any, Iterator, List

from ..formats import gunzip, tarsplit_write
from . import donors, known, steps
from .plan import Plan

MAX_FILE = 256 << 20
CODES = {
    'LAYER_TAR_SPLIT': steps.Code('tar-split.json.gz of an image layer is gone or empty. Containers work; docker save and docker push fail.',
                                  'With donor: makes it anew from the tar of the same layer (diffID), if that has the digest. Else nothing.'),
}


def plan(this: Plan, name: bytes, images: known.Images, given: List[bytes]) -> None:
    """Plan for the driver NAME, with the donors GIVEN; the records of layers must be planned before."""
    folder = b'image/' + name + b'/layerdb/sha256/'
    for chain, record in sorted(known.layers(this.view, name).items()):
        path = folder + chain[7:].encode() + b'/tar-split.json.gz'
        if chain not in images.chains or _is_there(this, path):
            continue
        data = _made(this, given, images.chains[chain].diff_id)
        if data:
            this.write('LAYER_TAR_SPLIT', path, data, 'made of the tar of the same layer of a donor, which has the digest', steps.CERTAIN, 0o644)
        elif record.cache_id:
            this.leave('LAYER_TAR_SPLIT', path, 'it is gone or empty: docker save and docker push of the image fail',
                       'Name a donor that has the image, pull the image again by its digest, or docker commit what is needed of it.')


def _is_there(this: Plan, path: bytes) -> bool:
    """Whether the file holds anything; a large one is read once."""
    if path.decode('ascii', 'replace') not in this.asked:
        if not (this.view.read(path, MAX_FILE) or b'').strip(b'\0'):
            return False
        this.asked[path.decode('ascii', 'replace')] = True
    return True


def _made(this: Plan, given: List[bytes], diff_id: str) -> bytes:
    """The data of the layer DIFF_ID, b'' if no donor has it whole."""
    found: List[bytes] = []
    if 'no tar of ' + diff_id in this.asked or not this.chosen('LAYER_TAR_SPLIT', steps.CERTAIN):
        return b''

    def use(stream: Iterator[bytes]) -> bool:
        digest = hashlib.sha256()
        try:
            data = tarsplit_write.packed(_hashed(stream, digest))
        except (tarsplit_write.NotSplit, gunzip.GunzipError):
            return False
        if 'sha256:' + digest.hexdigest() == diff_id:
            found.append(data)
        return bool(found)
    donors.search(given, diff_id, donors.Whole(use))
    if not found:
        this.asked['no tar of ' + diff_id] = True
    return found[0] if found else b''


def _hashed(stream: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in stream:
        digest.update(piece)
        yield piece
