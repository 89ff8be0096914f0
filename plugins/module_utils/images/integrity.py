"""Is an image on the disk still what it was? Every byte of it is read and compared with the digests that name it.

What cannot be compared (a layer without tar-split data, or one of which containerd kept no blob) is said so and never
counts as whole.
"""
import hashlib
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..disk.errors import LifeboatError
from ..formats import wording
from ..layers import chains
from ..records import model
from . import codes as imagecodes, layerdata

OK = 'ok'
DAMAGED = 'damaged'
LOST = 'lost'


def check_image(image: model.Image,
                checked: Optional[Dict[Any, Dict[str, Any]]] = None,
                progress: Optional[Callable[[int], Any]] = None) -> Dict[str, Any]:
    """Check a model.Image -> dict that JSON can hold:

    ``status``    complete: every layer and the config are what their digests say; partial: some are not, or could not be
                  compared; lost: none is; unsupported: no layer can be read as files
    ``config``    ok | damaged | lost; ``chain`` likewise: the recorded chainIDs are those of the diffIDs
    ``verified``  number of layers that have their digest; ``bytes`` read, ``seconds`` they took
    ``layers``    bottom first: ``diff_id``, ``status``, ``verified``, ``method`` (blob | tar-split | none), ``bytes``,
                  ``seconds``, ``damaged`` (names, at most layerdata.MAX_NAMED), ``damaged_total``, ``message``
    ``problems``  model.Problem as dicts

    CHECKED: a dict that several calls share, so that a layer of many images is read once. PROGRESS(bytes) is called for
    each piece that was read. Never raises for damage.
    """
    started = time.monotonic()
    checked = {} if checked is None else checked
    problems = []
    config = _config(image, problems)
    chain = _chain(image, problems)
    layers = []
    read = 0
    for position, layer in enumerate(image.layers):
        key = (layer.chain_id, layer.path, layer.tar_split, layer.blob, layer.status)
        if key not in checked:
            checked[key] = _layer(layer, image.layers[:position][::-1], progress)
            read += checked[key]['bytes']
        found = checked[key]
        layers.append(dict(found, damaged=list(found['damaged'])))
        problems.extend(_problems_of(image, found))
    return {
        'status': _status(config, chain, layers), 'config': config, 'chain': chain,
        'verified': sum(1 for item in layers if item['verified']), 'bytes': read,
        'seconds': round(time.monotonic() - started, 3), 'layers': layers,
        'problems': [dict(item._asdict()) for item in problems]}


def _name(image: model.Image) -> str:
    return image.references[0] if image.references else image.id[:19]


def _config(image: model.Image, problems: List[model.Problem]) -> str:
    """The config's bytes have the digest that the image's ID, or its manifest, gives them."""
    if image.config_raw is None:
        problems.append(imagecodes.problem('IMAGE_CONFIG_LOST', image.id, 'The config of image %s is not on this disk.' % (
            _name(image)), imagecodes.pull(image)))
        return LOST
    digest = 'sha256:' + hashlib.sha256(image.config_raw).hexdigest()
    if image.config_digest is not None and digest != image.config_digest:
        problems.append(imagecodes.problem('IMAGE_CONFIG_LOST', image.id, 'The config of image %s does not have its digest '
                                           '%s.' % (_name(image), image.config_digest), imagecodes.pull(image)))
        return DAMAGED
    return OK


def _chain(image: model.Image, problems: List[model.Problem]) -> str:
    diff_ids = chains.diff_ids_of(image.config)
    if not diff_ids:
        return LOST
    expected = list(zip(diff_ids, chains.chain_ids(diff_ids)))
    if [(layer.diff_id, layer.chain_id) for layer in image.layers] == expected:
        return OK
    problems.append(imagecodes.problem('LAYER_ORDER_CONFLICT', image.id, 'The recorded layers of image %s are not those that '
                                       'its config names.' % _name(image), imagecodes.pull(image)))
    return DAMAGED


def _layer(layer: model.ImageLayer, below: Tuple[model.ImageLayer, ...], progress: Optional[Callable[[int], Any]]) -> Dict[str, Any]:
    started = time.monotonic()
    found = {'diff_id': layer.diff_id, 'status': layer.status, 'verified': False, 'method': layerdata.NONE, 'bytes': 0,
             'seconds': 0.0, 'damaged': [], 'damaged_total': 0, 'message': ''}
    if layer.blob is not None:
        found['method'] = layerdata.BLOB
        _compare(found, _blob_pieces(layer), progress)
    elif layerdata.has_tar_split(layer):
        found['method'] = layerdata.TAR_SPLIT
        _compare(found, layerdata.split_tar(layer, below), progress)
        if not found['verified']:
            _name_damages(found, layer, below, progress)
    elif layer.status == model.COMPLETE:
        found['message'] = 'cannot be compared: ' + (
            'its tar-split data are missing' if layer.blob_digest is None else 'containerd kept no blob of it')
    else:
        found['message'] = 'its files are not on this disk' if layer.status != model.UNSUPPORTED else \
            'its storage driver cannot be read as files'
    found['seconds'] = round(time.monotonic() - started, 3)
    return found


def _blob_pieces(layer: model.ImageLayer) -> Iterator[bytes]:
    """The blob's bytes, checked against its own digest; then its content against the diffID."""
    yield from layerdata.blob_bytes(layer)
    yield from layerdata.blob_tar(layer)


def _compare(found: Dict[str, Any], pieces: Iterator[bytes], progress: Optional[Callable[[int], Any]]) -> None:
    try:
        for piece in pieces:
            found['bytes'] += len(piece)
            if progress is not None:
                progress(len(piece))
        found['verified'] = True
        found['status'] = model.COMPLETE
    except layerdata.LayerError as exc:
        found['status'] = model.PARTIAL
        found['message'] = str(exc)
        found['damaged'] = [wording.text(name) for name in exc.damaged]
        found['damaged_total'] = exc.total
    except (OSError, LifeboatError) as exc:
        found['message'] = 'cannot be compared: %s' % exc


def _name_damages(found: Dict[str, Any], layer: model.ImageLayer, below: Tuple[model.ImageLayer, ...], progress: Optional[Callable[[int], Any]]) -> None:
    names, total, error = layerdata.damages(layer, below, progress)
    if names:
        found['damaged'] = [wording.text(name) for name in names]
        found['damaged_total'] = total
        found['message'] = '%d of its files are not what the image had' % total
    elif error:
        found['message'] = error
    else:
        found['message'] = 'every file in it has its checksum, but the tar of the whole has another digest'


def _problems_of(image: model.Image, found: Dict[str, Any]) -> Iterator[model.Problem]:
    where = 'Layer %s of image %s' % (found['diff_id'], _name(image))
    if found['verified']:
        return
    if found['damaged'] or (found['message'] and found['status'] == model.PARTIAL):
        names = imagecodes.some(found['damaged'], found['damaged_total'])
        yield imagecodes.problem('IMAGE_LAYER_DAMAGED', image.id, '%s: %s%s.' % (
            where, found['message'], ' (%s)' % names if names else ''), imagecodes.pull(image))
    elif found['status'] == model.COMPLETE:
        yield imagecodes.problem('IMAGE_LAYER_UNVERIFIED', image.id, '%s %s.' % (where, found['message']),
                                 imagecodes.pull(image))
    # what is lost or unsupported is among the image's own problems already


def _status(config: str, chain: str, layers: List[Dict[str, Any]]) -> str:
    if layers and all(item['status'] == model.UNSUPPORTED for item in layers):
        return model.UNSUPPORTED
    parts = [model.COMPLETE if item['verified'] else model.LOST if item['status'] == model.LOST else model.PARTIAL
             for item in layers]
    if config != OK:
        parts.append(model.LOST)
    if chain == DAMAGED:
        parts.append(model.PARTIAL)
    return model.worst(parts)
