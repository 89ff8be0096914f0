"""Where the programs for a database come from: the image of its container, or, where layers of that are lost, another image of the same host.

Another image never shows its own files in the folder of the data: what is there is the container's alone, else two databases would be mixed. A
driver refuses an image whose server is another one, or of another version.
"""
import os
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from ..disk import safeio
from ..formats.values import as_dict
from ..records import model
from ..records.definition import image_defaults
from . import view
from .find import Database
from .target import Kind, picked

MAX_TRIED = 100                         # images; each takes a fraction of a second
BY_NAME = (model.AUFS, model.FUSE_OVERLAYFS)
# what a driver says of an image that does not fit, so that the next one is tried
UNFIT = ('DUMP_NO_BINARY', 'DUMP_VERSION_MISMATCH', 'DUMP_FOREIGN_ARCH')
IN_LOST_LAYERS = 'layers of its image are lost: what was in the folder of the data there, and was never changed, is missing'


class Programs(NamedTuple):
    """`layers`: of the root folder of a view, top first; none: no program of an image is needed. `places`: what is mounted there before what the
    container mounts. `image`: the name of another image, '' for the container's own. `lacking`: sentences on what the data may lack."""
    layers: Tuple[model.Layer, ...]
    environment: Dict[str, str]
    places: Tuple[view.Place, ...] = ()
    image: str = ''
    lacking: Tuple[str, ...] = ()


def of(host: Any, database: Database, kind: Kind) -> List[Programs]:
    """Those to be tried in this order; none where nothing can be. HOST: with the images that are there."""
    container = database.container
    environment = dict(item.split('=', 1) for item in container.definition.env if '=' in item)
    stack = container.stack
    if stack is not None and (stack.known() or _whole_copy(stack.writable)):
        return [Programs(stack.view(), environment)]
    data = _data(database, kind)
    if data is None:
        return []
    places, lacking = data
    if not kind.needs_image:
        return [Programs((), environment, places, '', lacking)]
    if not kind.other_image:
        return []
    own = {name: value for name, value in environment.items() if name not in ('PATH', 'LD_LIBRARY_PATH')}
    return [Programs(layers, dict(own, **its), places, name, lacking) for layers, its, name in _images(host, container)]


def usable(layers: Iterable[model.Layer]) -> bool:
    """Whether the kernel can show LAYERS together."""
    encodings = {layer.encoding for layer in layers}
    return len(encodings) == 1 and encodings <= set((model.PLAIN, model.OVERLAY, model.OVERLAY_USER) + BY_NAME)


def _whole_copy(layer: Any) -> bool:
    """Some storage drivers copy everything below into each layer: those below are not needed."""
    return layer is not None and layer.encoding == model.PLAIN and layer.status == model.COMPLETE and bool(layer.path)


def _data(database: Database, kind: Kind) -> Any:
    """(places for the folder of the data, sentences on what it may lack); None if it cannot be had without the lost layers."""
    folder = os.path.dirname(database.path) if kind.beside else database.path
    if any((folder + '/').startswith(mount.destination.rstrip('/') + '/') for mount in database.container.mounts if mount.type in ('volume', 'bind')):
        return (), ()
    stack = database.container.stack
    top = stack.writable if stack is not None else None
    if top is None or not top.path or top.encoding not in (model.OVERLAY, model.OVERLAY_USER) or folder.strip('/') == '':
        return None
    path = os.path.join(top.path, os.fsencode(folder).lstrip(b'/'))
    return ((view.Place(os.fsencode(folder), path),), (IN_LOST_LAYERS,)) if safeio.is_folder(path) else None


def _images(host: Any, container: model.Container) -> Iterator[Tuple[Tuple[model.Layer, ...], Dict[str, str], str]]:
    """(layers top first, what its programs need of its environment, name) of each whole image, the likeliest first."""
    found = {}
    for root in host.roots:
        for image in root.images():
            if image.status == model.COMPLETE and image.layers and all(layer.path and layer.status == model.COMPLETE for layer in image.layers):
                found.setdefault(image.id, image)
    called = repository(container.image_reference or '')
    images = sorted(found.values(), key=lambda image: image.created or '', reverse=True)
    images.sort(key=lambda image: called not in map(repository, image.references))     # stable: the newest stay first
    for image in images[:MAX_TRIED]:
        layers = tuple(model.Layer(layer.path, layer.encoding) for layer in reversed(image.layers))
        if usable(layers):
            env = image_defaults(as_dict(image.config).get('config')).env
            yield layers, picked(dict(item.split('=', 1) for item in env if '=' in item), 'PATH', 'LD_LIBRARY_PATH'), _name(image)


def _name(image: model.Image) -> str:
    return image.references[0] if image.references else image.id


def repository(reference: str) -> str:
    """A reference without its tag and digest."""
    name = reference.partition('@')[0]
    head, slash, tail = name.rpartition('/')
    return head + slash + tail.partition(':')[0]
