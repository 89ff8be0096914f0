"""One graph root with one storage driver: stacks of containers, images, and what belongs to nobody."""
import os
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from ....disk import metadata, safeio
from ....formats import wording
from ....records import model
from ....records.codes import problem
from . import drivers, images, names
from .records import Place, Records, is_of_image

STORE = 'containers-storage'


class Store(object):
    """PLACES: the graph root first, then the image store and additional ones; NAME: of the driver; RUN: the open run root or None."""

    def __init__(self, places: List[Place], name: str, run: Optional[safeio.Dir] = None) -> None:
        self.name = name
        self.places = places
        self.records = Records(places, name.encode('ascii'), run)
        self.driver = drivers.driver(name, places, self.records)
        self.images = images.Images(self)

    @property
    def path(self) -> bytes:
        """The graph root on the managed node."""
        return self.places[0].dir.path()

    # -- containers ------------------------------------------------------------------------------------------------------------

    def folder(self, ident: str) -> Optional[bytes]:
        """The folder of a container's own files, relative to the graph root; None for what is no id."""
        return b'%s-containers/%s/userdata' % (self.name.encode('ascii'), ident.encode('ascii')) if names.is_id(ident) else None

    def container_ids(self) -> Set[str]:
        """Ids of the records of containers, and of folders of containers, whose record may be lost."""
        try:
            listed = self.places[0].dir.descend(self.name.encode('ascii') + b'-containers').names()
        except OSError:
            listed = []
        return set(self.records.containers).union(name.decode('ascii') for name in listed if names.ID_BYTES.match(name) and self._spec_there(name))

    def _spec_there(self, name: bytes) -> bool:
        """Whether a folder of a container has more in it than leftovers of one that is gone."""
        try:
            return bool(self.places[0].dir.descend(self.folder(name.decode('ascii')) or b'-').names())
        except OSError:
            return False

    def spec(self, ident: str) -> Dict[str, Any]:
        """The runtime spec with which a container was started last, {} if there is none."""
        try:
            return metadata.read_json(self.places[0].dir.descend(self.folder(ident) or b'-'), b'config.json').value or {}
        except OSError:
            return {}

    def layer_of(self, ident: str, name: Optional[str], spec: Any) -> Tuple[Optional[str], str]:
        """(the writable layer of a container, the source that told it)."""
        layer = metadata.text_of(self.records.containers.get(ident, {}), 'layer')
        if names.is_id(layer):
            return layer, 'containers.json'
        layer = names.layer_of_mount(metadata.text_of(spec, 'root', 'path')) or ''
        if layer:
            return layer, 'config.json'
        fitting = [found for found, record in self.records.layers.items() if name and name + '-layer' in metadata.list_of(record, 'names')]
        return (fitting[0], 'layers.json, name') if len(fitting) == 1 else (None, '')

    def resolve(self, obj: str, layer: str, source: str) -> model.Resolution:
        """The Resolution of the writable layer LAYER of OBJ (for messages)."""
        if not self.driver.readable:
            return model.Resolution(None, model.UNSUPPORTED, (problem(
                'DRIVER_UNSUPPORTED', obj, 'The layer %s of %s is a data set of %s, which cannot be read as files.' % (layer[:12], obj, self.name),
                'Mount the data set read-only and archive it from there.'),), {'writable': source})
        problems: List[model.Problem] = []
        top = self.driver.folders(layer)
        if top[0].why:
            problems.append(problem(
                'WRITABLE_LAYER_LOST', obj, 'The writable layer %s is gone: %s.' % (wording.text(top[0].path), top[0].why),
                'Volumes, logs and config are still rescued; for the layer itself only a file system recovery tool is left.'))
        lowers = self.driver.lowers(layer)
        found = [model.Layer(item.path, item.encoding, model.LOST if item.why else model.COMPLETE, cache_id=layer) for item in top[1:]]
        for ident in lowers.ids:
            for item in self.driver.folders(ident):
                found.append(self._lower(ident, item))
                if item.why:
                    problems.append(problem('IMAGE_LAYER_LOST', obj, 'Image layer %s of %s: %s.' % (ident, obj, item.why),
                                            'To complete it, pull the image that this container was made from on a healthy host.'))
        problems.extend(self._doubts(obj, layer, lowers))
        writable = None if top[0].why else model.Layer(top[0].path, top[0].encoding, model.COMPLETE, cache_id=layer)
        stack = model.Stack(writable, None, tuple(found), self.driver.work(layer), self.driver.merged(layer))
        status = model.LOST if writable is None else model.COMPLETE if stack.known() and lowers.whole else model.PARTIAL
        return model.Resolution(stack, status, tuple(problems), {'writable': source, 'layers': lowers.source} if source else {})

    def _lower(self, ident: str, item: drivers.Folder) -> model.Layer:
        record = self.records.layers.get(ident, {})
        return model.Layer(item.path, item.encoding, model.LOST if item.why else model.COMPLETE, metadata.text_of(record, 'diff-digest') or None,
                           None, ident, images.tar_split(self, ident))

    def _doubts(self, obj: str, layer: str, lowers: drivers.Lowers) -> Iterator[model.Problem]:
        if lowers.damage:
            yield problem('LAYER_LINKS_DAMAGED', obj, '%s of %s: %s; read by %s instead.' % (self.name, obj, lowers.damage, lowers.source), '')
        if not lowers.whole:
            yield problem('IMAGE_LAYER_UNKNOWN', obj, 'No source on this disk tells all image layers of %s.' % obj,
                          'The writable layer is rescued; load the image again to complete it.')
        if self._incomplete(layer):
            yield problem('LAYER_INCOMPLETE', obj, 'The layer of %s is marked as incomplete: it was being made or removed.' % obj,
                          'Rescue it before any command of the engine is run on this disk: the first one deletes it.')

    def _incomplete(self, layer: str) -> bool:
        return metadata.get(self.records.layers.get(layer, {}), 'flags', 'incomplete') is True

    # -- what belongs to nobody --------------------------------------------------------------------------------------------------

    def unowned(self, owned: Set[str]) -> List[str]:
        """Writable layers that no container has. OWNED: those that are a container's."""
        below, kept = set(), set(owned)
        everything = set(self.driver.ids()).union(ident for ident, record in self.records.layers.items() if record)
        for ident in everything:
            below.update(self.driver.lowers(ident).ids)
        for image in self.records.images.values():
            listed: List[Any] = [image.get('layer')] + metadata.list_of(image, 'mapped-layers')
            kept.update(item for item in listed if names.is_id(item))
        return sorted(ident for ident in everything - below - kept if not is_of_image(self.records.layers.get(ident, {})) and
                      images.tar_split(self, ident) is None and not self.driver.folders(ident)[0].why)

    def orphan(self, layer: str, idmap: Any) -> Optional[model.Orphan]:
        """The Orphan that a layer of unowned() is."""
        found = self.resolve(layer[:12], layer, 'folder')
        if found.stack is None or found.stack.writable is None:
            return None
        record = self.records.layers.get(layer, {})
        name = next((item[:-len('-layer')] for item in metadata.list_of(record, 'names') if isinstance(item, str) and item.endswith('-layer')), None)
        image_id, reference = self.images.of_stack(found.stack)
        return model.Orphan(found.stack.writable.path or b'', found.stack, image_id, reference, self.path, STORE, self.name, layer, name, idmap,
                            found.problems)

    def staged(self) -> Iterator[Tuple[bytes, str]]:
        """Yield (path, layer) of folders whose removal was begun: the engine moved them aside, its next command deletes them."""
        top = b'overlay/tempdirs' if self.name == 'overlay' else self.name.encode('ascii') + b'/tempdirs'
        try:
            holder = self.places[0].dir.descend(top)
            listed = holder.names()
        except OSError:
            return
        for name in listed:
            if not name.startswith(b'temp-dir-'):
                continue
            try:
                inner = holder.child(name)
                moved = inner.names()
            except OSError:
                continue
            for item in moved:
                layer = item.partition(b'-')[2]
                if names.ID_BYTES.match(layer):
                    yield os.path.join(inner.path(), item), layer.decode('ascii')

    def staged_orphan(self, path: bytes, layer: str, idmap: Any) -> Optional[model.Orphan]:
        """The Orphan of a folder of staged(); None if there is nothing in it that can be read."""
        inside = os.path.join(path, b'diff') if self.name == 'overlay' else path
        if not safeio.is_folder(inside):
            return None
        lowers: List[model.Layer] = []
        try:
            with safeio.Dir.root(path) as folder:
                for ident in names.ids_of(drivers._small(folder, b'lower-layers')) or drivers.parents(self.records.layers, layer)[0][1:]:
                    lowers.extend(self._lower(ident, item) for item in self.driver.folders(ident))
        except OSError:
            pass
        writable = model.Layer(inside, self.places[0].encoding if self.name == 'overlay' else model.PLAIN, model.COMPLETE, cache_id=layer)
        note = problem('LAYER_STAGED', layer, 'The removal of the layer %s was begun when the host died; its folder was only moved aside.' % layer[:12],
                       'Rescue it (orphans) before any command of the engine is run on this disk: the first one deletes it.')
        return model.Orphan(inside, model.Stack(writable, None, tuple(lowers)), None, None, self.path, STORE, self.name, layer, None, idmap, (note,))

    # -- the store as a whole -------------------------------------------------------------------------------------------------------

    def findings(self, containers: int) -> Iterator[model.Problem]:
        """Yield what is wrong with the records. CONTAINERS: how many were found."""
        for item in self.records.damage:
            yield problem('RECORDS_DAMAGED', wording.text(item.path), '%s cannot be read: %s. Every command of the engine fails with it; what it '
                          'said was taken from folders as far as they tell.' % (wording.show(item.path), item.why),
                          'Rescue first. Do not run crio or podman system commands on this disk: they delete what is not recorded.')
        left = self.unowned(set()) if self.records.empty_volatile and not self.records.containers else []
        for path in self.records.empty_volatile:
            if left or containers > len(self.records.containers):
                yield problem('VOLATILE_RECORD_LOST', wording.text(path), '%s is empty, as after a power cut, but layers of containers are there.' % (
                    wording.show(path)), 'Rescue before crio is started or podman system prune is run: they delete every layer that is not recorded.')
