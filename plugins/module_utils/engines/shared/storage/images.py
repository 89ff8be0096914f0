"""Images of a store. Config and manifest are kept as they were pulled; layers are files, and tar-split tells their exact archive
(image: storage/storage_dest.go, storage: images.go)."""
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ....disk import metadata
from ....formats import jsonish, wording
from ....layers.chains import chain_ids, diff_ids_of
from ....records import model
from ....records.codes import problem
from . import drivers, names
from .records import parents

SPLIT = b'.tar-split.gz'
MAX_DOCUMENT = 8 << 20                  # bytes of a config or manifest


def tar_split(store: Any, layer: str) -> Optional[bytes]:
    """Path of the tar-split data of a layer, None if there are none."""
    return store.images.splits.get(layer)


def _splits(store: Any) -> Dict[str, bytes]:
    """{layer: path of its tar-split data}, of every place."""
    found: Dict[str, bytes] = {}
    for place in store.places:
        try:
            folder = place.dir.descend(store.name.encode('ascii') + b'-layers')
            for name in folder.names():
                if name.endswith(SPLIT) and names.ID_BYTES.match(name[:-len(SPLIT)]):
                    found.setdefault(name[:-len(SPLIT)].decode('ascii'), os.path.join(folder.path(), name))
        except OSError:
            continue
    return found


class Images(object):
    """Images of a shared.storage.store.Store."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._made: Dict[str, model.Image] = {}
        self._splits: Optional[Dict[str, bytes]] = None

    @property
    def splits(self) -> Dict[str, bytes]:
        """{layer: path of its tar-split data}."""
        if self._splits is None:
            self._splits = _splits(self._store)
        return self._splits

    def all(self) -> Iterator[model.Image]:
        """Yield every model.Image, by id."""
        for ident in sorted(self._store.records.images):
            image = self.get(ident)
            if image is not None:
                yield image

    def get(self, ident: Optional[str]) -> Optional[model.Image]:
        """The image with an id (with or without `sha256:`), None if it is not recorded."""
        ident = (ident or '').partition(':')[2] or ident or ''
        record = self._store.records.images.get(ident)
        if record is None:
            return None
        if ident not in self._made:
            self._made[ident] = self._image(ident, record)
        return self._made[ident]

    def of_stack(self, stack: model.Stack) -> Tuple[Optional[str], Optional[str]]:
        """(id, reference) of the image whose uppermost layer is that below the writable one; one with a name first."""
        below = {layer.cache_id for layer in stack.image}
        top = stack.image[0].cache_id if stack.image else None
        fitting = [(not references_of(record), ident) for ident, record in self._store.records.images.items()
                   if top is not None and (record.get('layer') == top or top in metadata.list_of(record, 'mapped-layers') and
                                           record.get('layer') in below)]
        if not fitting:
            return None, None
        ident = min(fitting)[1]
        named = references_of(self._store.records.images[ident])
        return 'sha256:' + ident, named[0] if named else None

    def documents(self, ident: str) -> Tuple[Optional[bytes], str]:
        """(exact bytes of the config, its digest) of an image; (None, digest or '') where it is lost."""
        digest = ''
        manifest = self._document(ident, 'manifest')
        if manifest:
            try:
                digest = metadata.text_of(jsonish.loads(manifest), 'config', 'digest')
            except ValueError:
                pass
        digest = digest if names.DIGEST.match(digest) else 'sha256:' + ident
        return self._document(ident, digest), digest

    def _document(self, ident: str, key: str) -> Optional[bytes]:
        name = names.big_data(key)
        for place in self._store.places if name else ():
            try:
                return place.dir.descend(self._store.name.encode('ascii') + b'-images/' + ident.encode('ascii')).read(name, MAX_DOCUMENT)
            except OSError:
                continue
        return None

    def _image(self, ident: str, record: Dict[str, Any]) -> model.Image:
        raw, digest = self.documents(ident)
        config, problems = {}, []
        try:
            config = metadata.dict_of({'x': jsonish.loads(raw)}, 'x') if raw else {}
        except ValueError:
            pass
        if not config:
            problems.append(problem('IMAGE_CONFIG_LOST', 'sha256:' + ident, 'The config of image %s is missing or damaged.' % ident[:12], self._pull(record)))
        layers = self._layers(ident, record, config, problems)
        status = model.worst([layer.status for layer in layers]) if config else model.PARTIAL if layers else model.LOST
        if problems and status == model.COMPLETE and any(item.loses_data for item in problems):
            status = model.PARTIAL
        return model.Image('sha256:' + ident, tuple(references_of(record)), metadata.text_of(config, 'created') or metadata.text_of(record, 'created') or None,
                           metadata.text_of(config, 'architecture') or None, metadata.text_of(config, 'os') or None, status, tuple(layers), config,
                           raw, 'containers-storage', self._store.path, self._store.name, tuple(problems), metadata.text_of(config, 'variant') or None, digest)

    def _layers(self, ident: str, record: Dict[str, Any], config: Dict[str, Any], problems: List[model.Problem]) -> List[model.ImageLayer]:
        """[model.ImageLayer] bottom first."""
        top = record.get('layer')
        chain, whole = parents(self._store.records.layers, top if names.is_id(top) else None)
        chain.reverse()
        diff_ids = diff_ids_of(config)
        known = dict(drivers.pair(chain, diff_ids))
        if diff_ids and not known or chain and not whole:
            problems.append(problem('IMAGE_LAYER_UNKNOWN', 'sha256:' + ident, 'Image %s has %s, of which %d are recorded.' % (
                ident[:12], wording.number(len(diff_ids), 'layer'), len(chain)), self._pull(record)))
        named = [known.get(layer) or metadata.text_of(self._store.records.layers.get(layer, {}), 'diff-digest') or None for layer in chain]
        whole_ids = [diff_id for diff_id in named if diff_id is not None]
        chains: Sequence[Optional[str]] = list(chain_ids(whole_ids)) if whole_ids and len(whole_ids) == len(named) else [None] * len(named)
        found = []
        for layer, diff_id, chain_id in zip(chain, named, chains):
            item = self._store.driver.folders(layer)[0]
            size = metadata.get(self._store.records.layers.get(layer, {}), 'diff-size')
            status = model.UNSUPPORTED if not self._store.driver.readable else model.LOST if item.why else model.COMPLETE
            if item.why:
                problems.append(problem('IMAGE_LAYER_LOST', 'sha256:' + ident, 'Layer %s of image %s: %s.' % (diff_id or layer, ident[:12], item.why),
                                        self._pull(record)))
            found.append(model.ImageLayer(diff_id, chain_id, layer, item.path, size if isinstance(size, int) and size >= 0 else None, status,
                                          item.encoding, tar_split(self._store, layer)))
        return found

    def _pull(self, record: Dict[str, Any]) -> str:
        named = references_of(record)
        return 'To complete it: podman pull %s on a healthy host.' % named[0] if named else 'To complete it, pull the image again on a healthy host.'


def references_of(record: Any) -> List[str]:
    """The names of an image, sorted."""
    return sorted(name for name in metadata.list_of(record, 'names') if isinstance(name, str))
