"""One storage driver's part of a data root: which folders a container's stack and an image's layers are.

layerdb (engines.docker.layerdb) is asked first, since it needs none of a driver's own link files; the image's config
(engines.docker.imagedb) and the driver's own record of lower layers stand in where it is damaged, and are compared with it
where it is not.
"""
import errno
import os
import stat
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...disk import metadata
from ...formats import wording
from ...layers.chains import chain_ids, diff_ids_of
from ...records import model
from ...records.codes import problem
from .driver_table import driver
from .drivers.common import CACHE_ID, Lowers
from .imagedb import ImageDb
from .layerdb import LayerDb, LayerRecord, MountRecord

if TYPE_CHECKING:
    from ...disk.safeio import Dir
    from ..api import ThinPool


class _Chain(NamedTuple):
    """Image layers on which all sources agree, for further containers of the same image."""
    layers: Tuple[model.Layer, ...]     # top first
    lower: bytes                        # what the file ``lower`` of overlay2 says of them, never empty


class _Said(NamedTuple):
    """What each source says of the image layers below one writable layer, top first."""
    by_layerdb: List[str]               # chainIDs along layerdb's parents
    cut: bool                           # that walk broke off
    by_config: List[str]                # chainIDs of the image's config
    lowers: Lowers                      # the driver's own record
    below: Optional[List[bytes]]        # its cache-ids without the init layer, None where it says nothing usable
    scratch: bool                       # the container has no image layers


class _Found(NamedTuple):
    """The image layers of a container."""
    layers: Tuple[model.Layer, ...]     # top first
    source: str                         # that told their order, '' where there are none
    problems: Tuple[model.Problem, ...] = ()
    is_all: bool = True                 # False: there are layers that no source names


class Graphdriver(object):
    """One storage driver's part of a data root. ROOT is the open data root; nothing outlives it."""

    def __init__(self, root: 'Dir', name: str, userxattr: bool = False) -> None:
        self.root = root
        self.name = name
        self.driver = driver(name)
        encoding = self.driver.ENCODING if self.driver else None
        self._sealed = getattr(self.driver, 'sealed', None)
        if self._sealed and not self.driver.opened(root):
            encoding = None             # none of its layers can be seen
        self.encoding = model.OVERLAY_USER if userxattr and encoding == model.OVERLAY else encoding
        folders = metadata.Folders(root, os.path.join(b'image', os.fsencode(name)))
        self.layerdb = LayerDb(folders)
        self.images = ImageDb(folders)
        self._prefix = os.path.join(root.path(), b'')
        self._records = os.path.join(b'image', os.fsencode(name), b'layerdb/sha256')
        self._folders: Dict[bytes, Optional[Dir]] = {}  # right below the data root
        self._links: Optional[Dir] = None  # overlay2/l
        self._idents: Dict[bytes, bytes] = {}
        self._present: Dict[bytes, bool] = {}
        self._empty: Dict[bytes, bool] = {}
        self._image_layers_of: Dict[Optional[str], Tuple[model.Layer, str]] = {}
        self._chains: Dict[Tuple[Optional[str], Optional[str]], _Chain] = {}  # see _Chain

    # -- folders -----------------------------------------------------------------------------------------------------

    def absolute(self, relative: Optional[bytes]) -> Optional[bytes]:
        if relative is None:
            return None
        top, dummy, below = relative.partition(b'/')
        if self.root.links and top in self.root.links:
            return os.path.join(self.root.links[top], below)
        return self._prefix + relative

    def present(self, relative: bytes, ident: bytes) -> bool:
        """True if a layer's folder exists, as a folder and not through a link."""
        if relative not in self._present:
            st = self._folder_stat(relative)
            if st is not None and st.st_nlink > 2:      # where links are counted, those beyond two are folders in it
                self._empty[relative] = False
            self._present[relative] = st is not None
        return self._present[relative]

    def _folder_stat(self, relative: bytes) -> Optional[os.stat_result]:
        """The lstat of a folder, None if it is not there, or a step on the way is no folder."""
        top, dummy, below = relative.partition(b'/')
        holder = self._holder(top)
        if holder is None:
            return None
        parts, st = below.split(b'/'), None
        try:
            for depth in range(1, len(parts) + 1):
                st = holder.stat(b'/'.join(parts[:depth]))
                if not stat.S_ISDIR(st.st_mode):
                    return None
        except OSError:
            return None
        return st

    def _holder(self, top: bytes) -> 'Optional[Dir]':
        if top not in self._folders:
            try:
                self._folders[top] = self.root.child(top)
            except OSError:
                self._folders[top] = None
        return self._folders[top]

    def _inner(self, name: bytes) -> 'Dir':
        """A folder in that of the driver. OSError."""
        holder = self._holder(self.driver.FOLDER)
        if holder is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return holder.child(name)

    def empty(self, relative: bytes) -> bool:
        """True if a layer's folder (that is present) has nothing in it."""
        if relative not in self._empty:
            try:
                folder = self.root.descend(relative)
                self._empty[relative] = folder.is_empty()
                folder.close()
            except OSError:
                self._empty[relative] = False
        return self._empty[relative]

    def image_layer(self, record: Optional[LayerRecord]) -> Tuple[model.Layer, str]:
        """model.Layer of a read-only layer, and why it is not whole ('' if it is)."""
        key = record.chain_id if record is not None else None
        if key not in self._image_layers_of:
            self._image_layers_of[key] = self._image_layer(record)
        return self._image_layers_of[key]

    def _image_layer(self, record: Optional[LayerRecord]) -> Tuple[model.Layer, str]:
        if record is None or record.cache_id is None:
            return model.Layer(None, self.encoding or '', model.LOST, record.diff_id if record else None,
                               record.chain_id if record else None), 'its folder is not recorded'
        layer, why = self.layer_folder(record.cache_id)
        layer = layer._replace(diff_id=record.diff_id, chain_id=record.chain_id, tar_split=self.absolute(
            b'%s/%s/tar-split.json.gz' % (self._records, record.folder)))
        if not why and record.size and self.empty(self.driver.layer(record.cache_id)):
            return layer._replace(status=model.LOST), 'its folder is empty although %s belong there' % wording.number(record.size, 'byte')
        return layer, why

    def layer_folder(self, cache_id: bytes) -> Tuple[model.Layer, str]:
        relative = self.driver.layer(cache_id)
        ident = cache_id.decode('ascii', 'replace')
        if not self.present(relative, cache_id):
            return model.Layer(self.absolute(relative), self.encoding or '', model.LOST, cache_id=ident), \
                'its device was not mounted' if self._sealed and cache_id in self.driver.ids(self.root) else 'its folder does not exist'
        return model.Layer(self.absolute(relative), self.encoding or '', model.COMPLETE, cache_id=ident), ''

    # -- a container's stack -----------------------------------------------------------------------------------------

    def resolve(self, name: str, image_id: Optional[str] = None, hint: Optional[Tuple[bytes, str]] = None) -> model.Resolution:
        """The stack of layerdb/mounts/NAME (a container id). HINT: a mount id found elsewhere, with its source, as
        (bytes, str). Never raises for damage: what is missing is in the problems and the status."""
        if self.encoding is None:
            return self._unsupported(name, hint)
        problems, sources = [], {}
        record = self.layerdb.mount(name)
        mount_id, source = self._mount_id(name, record, hint)
        if mount_id is None:
            problems.append(problem('WRITABLE_LAYER_UNKNOWN', name, 'image/%s/layerdb/mounts/%s %s.' % (
                self.name, name, 'is empty or damaged' if record.exists else 'does not exist'),
                'Look at the orphan writable layers of this host; orphans: true rescues them all.'))
            return model.Resolution(None, model.LOST, tuple(problems), sources)
        if self._sealed and self._sealed(self.root, mount_id):
            return self._unsupported(name, hint)
        sources['writable'] = source
        writable, why = self.writable(mount_id)
        if why:
            problems.append(problem('WRITABLE_LAYER_LOST', name, 'The writable layer %s is gone: %s.' % (
                wording.text(self.absolute(self.driver.writable(mount_id))), why),
                'Volumes, logs and config are still rescued; for the layer itself only a file system recovery tool is left.'))
        init = self._init(mount_id, record)
        image = self._image_layers(name, mount_id, record, image_id, init)
        problems.extend(image.problems)
        if image.source:
            sources['layers'] = image.source
        stack = model.Stack(writable, init, image.layers, self.absolute(self.driver.work(mount_id)),
                            self.absolute(self.driver.merged(mount_id)), getattr(self.driver, 'COPIED_INIT', False))
        if writable is None:
            status = model.LOST
        elif stack.known() and image.is_all:
            status = model.COMPLETE
        else:
            status = model.PARTIAL
        return model.Resolution(stack, status, tuple(problems), sources)

    def _mount_id(self, name: str, record: MountRecord, hint: Optional[Tuple[bytes, str]]) -> Tuple[Optional[bytes], str]:
        if record.mount_id is not None:
            return record.mount_id, 'layerdb'
        if record.init_id is not None:
            return record.init_id[:-5], 'layerdb init-id'
        # containers from before 1.10 and migrated ones: the layer has the container's own id
        own = os.fsencode(name)
        if CACHE_ID.match(own) and self.present(self.driver.writable(own), own):
            return own, 'folder with the container\'s id'
        if hint is not None and CACHE_ID.match(hint[0]) and self.present(self.driver.writable(hint[0]), hint[0]):
            return hint
        return None, ''

    def writable(self, mount_id: bytes) -> Tuple[Optional[model.Layer], str]:
        relative = self.driver.writable(mount_id)
        if not self.present(relative, mount_id):
            return None, 'its folder does not exist'
        return model.Layer(self.absolute(relative), self.encoding or '', model.COMPLETE,
                           cache_id=mount_id.decode('ascii', 'replace')), ''

    def _init(self, mount_id: bytes, record: MountRecord) -> Optional[model.Layer]:
        init_id = record.init_id or mount_id + b'-init'
        relative = self.driver.layer(init_id)
        if not self.present(relative, init_id):
            return None
        return model.Layer(self.absolute(relative), self.encoding or '', model.COMPLETE, cache_id=init_id.decode('ascii'))

    def _image_layers(self, name: str, mount_id: bytes, record: MountRecord, image_id: Optional[str], init: Optional[model.Layer]) -> _Found:
        """_Found. Sources in order: layerdb's parents, the image's config, the driver's lowers."""
        known = self._chains.get((record.parent, image_id))
        if known is not None and self._below_init(mount_id, init) == known.lower:
            return _Found(known.layers, 'layerdb')
        said = self._ask(mount_id, record, image_id, init)
        chain, source, is_all = _order(said)
        if getattr(self.driver, 'FULL_LAYERS', False):
            chain = chain[:1]
            said = said._replace(by_config=said.by_config[:1], below=said.below[:1] if said.below else said.below)
        if not chain and not said.scratch:
            if said.below is not None:
                return self._by_lowers(name, record, said.below)
            if (record.exists or image_id) and self.encoding != model.PLAIN:
                return _Found((), '', (problem(
                    'IMAGE_LAYER_UNKNOWN', name, 'No record on this disk has the image layers of %s.' % name[:12],
                    'The writable layer is rescued; load the image again to complete it.'),), False)
        layers, problems = self._by_chain(name, chain, said.below, image_id)
        problems.extend(self._doubts(name, chain, source, said, layers))
        if not problems and said.lowers.below:
            self._chains[record.parent, image_id] = _Chain(layers, said.lowers.below)
        return _Found(layers, source, tuple(problems), is_all)

    def _ask(self, mount_id: bytes, record: MountRecord, image_id: Optional[str], init: Optional[model.Layer]) -> _Said:
        """_Said of every source."""
        by_config = chain_ids(diff_ids_of(self.images.config(image_id).value))[::-1] if image_id else []
        by_layerdb, cut = self.layerdb.chain(record.parent)
        lowers = self._checked_lowers(mount_id, init, None if cut else by_layerdb)
        # a copied init layer lies in the writable one, not below it
        with_init = init is not None and not getattr(self.driver, 'COPIED_INIT', False)
        below = list(lowers.ids[1 if with_init else 0:]) if lowers.ids is not None else None
        scratch = record.exists and record.parent is None and not by_config and not below
        return _Said(by_layerdb, cut, by_config, lowers, below, scratch)

    def _by_lowers(self, name: str, record: MountRecord, below: List[bytes]) -> _Found:
        """_Found by the driver's own record alone."""
        note = problem('LAYER_ORDER_FALLBACK', name, 'The image layers of %s were found by %s\'s own lower list; layerdb '
                       'does not tell.' % (name[:12], self.name), '')
        return _Found(tuple(self.layer_folder(cache_id)[0] for cache_id in below), self.name + ' lower', (note,),
                      bool(below) or record.exists)

    def _by_chain(self, name: str, chain: List[str], below: Optional[List[bytes]],
                  image_id: Optional[str]) -> Tuple[Tuple[model.Layer, ...], List[model.Problem]]:
        """(layers, [problems]) of chainIDs; where layerdb lacks one, its folder is taken from BELOW."""
        layers, problems = self.layerdb.layers(), []
        found = []
        for position, chain_id in enumerate(chain):
            entry = layers.get(chain_id)
            layer, why = self.image_layer(entry)
            if (entry is None or entry.cache_id is None) and below is not None and len(below) == len(chain):
                layer, why = self.layer_folder(below[position])
                problems.append(problem('LAYER_ORDER_FALLBACK', name, 'layerdb lacks %s; its folder was found by the '
                                        'driver\'s lower list.' % chain_id, ''))
            found.append(layer._replace(chain_id=chain_id))
            if why:
                problems.append(problem('IMAGE_LAYER_LOST', name, 'Image layer %s (cache-id %s) of %s: %s.' % (
                    chain_id, layer.cache_id or 'unknown', name[:12], why), self.images.pull_hint(image_id)))
        return tuple(found), problems

    def _doubts(self, name: str, chain: List[str], source: str, said: _Said, layers: Tuple[model.Layer, ...]) -> Iterator[model.Problem]:
        """Yield a problem for each source that was damaged or says something else than the one used."""
        if source not in ('', 'layerdb'):
            yield problem('LAYER_ORDER_FALLBACK', name, 'layerdb does not have the whole chain of %s; used: %s.'
                          % (name[:12], source), '')
        elif said.by_config and said.by_config != chain:
            yield problem('LAYER_ORDER_CONFLICT', name, 'layerdb and the image config of %s disagree about '
                          'its layers; layerdb was used.' % name[:12], 'Compare the result before trusting it.')
        if said.lowers.damage:
            yield problem('LAYER_LINKS_DAMAGED', name, '%s of %s: %s; read by layerdb instead, nothing is missing.'
                          % (self.name, name[:12], said.lowers.damage), '')
        elif said.below is not None and chain and said.below != [(layer.cache_id or '').encode() for layer in layers]:
            yield problem('LAYER_ORDER_CONFLICT', name, 'layerdb and the lower list of %s disagree about its '
                          'layers; layerdb was used.' % name[:12], 'Compare the result before trusting it.')

    def _checked_lowers(self, mount_id: bytes, init: Optional[model.Layer], chain: Optional[List[str]]) -> Lowers:
        """The driver's lowers of a writable layer. Where they are just what layerdb says (nearly always), this costs
        one read: each link is looked up once."""
        if chain and self._has_lower_file():
            layers = self.layerdb.layers()
            recorded = [layers[item].cache_id for item in chain]
            idents = [ident for ident in recorded if ident is not None]
            below = self._below_init(mount_id, init)
            if below is not None and len(idents) == len(recorded) and idents == [self._ident(part) for part in below.split(b':')]:
                return Lowers(((mount_id + b'-init',) if init is not None else ()) + tuple(idents), below=below)
        return self.driver.lowers(self.root, mount_id)

    def _has_lower_file(self) -> bool:
        return hasattr(self.driver, 'by_symlink')

    def _below_init(self, mount_id: bytes, init: Optional[model.Layer]) -> Optional[bytes]:
        """What the file ``lower`` of a writable layer says of the layers below its init layer, None if it is unusual."""
        try:
            folder = self._inner(mount_id)
            lower = folder.read(b'lower', 1 << 20)
        except OSError:
            return None
        folder.close()
        if init is None:
            return lower
        first, dummy, below = lower.partition(b':')
        return below if self._ident(first) == mount_id + b'-init' else None

    def _ident(self, part: bytes) -> bytes:
        """The layer that an entry of ``lower`` (``l/LINK``) names, as the kernel finds it; b'' if it names none."""
        if part not in self._idents:
            if self._links is None:
                try:
                    self._links = self._inner(b'l')
                except OSError:
                    return b''
            self._idents[part] = (self.driver.by_symlink(self._links, part[2:]) or b'') if part.startswith(b'l/') else b''
        return self._idents[part]

    def _unsupported(self, name: str, hint: Optional[Tuple[bytes, str]]) -> model.Resolution:
        record = self.layerdb.mount(name)
        mount_id, dummy = self._mount_id(name, record, hint) if self.driver else (record.mount_id, '')
        step = self.driver.next_step(self.root, mount_id) if self.driver and mount_id else \
            'Read the layer with the software that wrote it.'
        return model.Resolution(None, model.UNSUPPORTED, (problem(
            'DRIVER_UNSUPPORTED', name, 'The writable layer of %s (%s) is kept by %s in a form that cannot be read as '
            'files.' % (name[:12], mount_id.decode('ascii') if mount_id else 'id unknown', self.name), step),), {})

    def pool(self) -> 'Optional[ThinPool]':
        """What has to be opened for the layers to be seen, None for a driver that keeps them as files."""
        return self.driver.pool(self.root) if self._sealed else None

    # -- images --------------------------------------------------------------------------------------------------------

    def image(self, image_id: str) -> model.Image:
        """model.Image of one image of imagedb; its layers bottom first."""
        found = self.images.config(image_id)
        config = found.value or {}
        problems = list(self.images.config_problems(image_id))
        usable = not problems
        diff_ids = diff_ids_of(config)
        layers = []
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids)):
            record = self.layerdb.layers().get(chain_id)
            layer, why = self.image_layer(record)
            if why and self.encoding is not None:
                problems.append(problem('IMAGE_LAYER_LOST' if record else 'IMAGE_LAYER_UNKNOWN', image_id,
                                        'Layer %s of image %s: %s.' % (diff_id, image_id[:19], why),
                                        self.images.pull_hint(image_id)))
            split = self.layerdb.tar_split(record) if record else None
            layers.append(model.ImageLayer(
                diff_id, chain_id, layer.cache_id, layer.path, record.size if record else None,
                layer.status if self.encoding else model.UNSUPPORTED, self.encoding or '',
                os.path.join(split[0].path(), split[1]) if split else None))
            if split:
                split[0].close()
        if not usable and not layers:
            status = model.LOST
        elif not usable:
            status = model.PARTIAL
        else:
            status = model.worst([layer.status for layer in layers])
        references = self.images.references()[0].get(image_id, [])
        return model.Image(image_id, tuple(references), metadata.text_of(config, 'created') or None,
                           metadata.text_of(config, 'architecture') or None, metadata.text_of(config, 'os') or None,
                           status, tuple(layers), config, found.raw, 'graphdriver', self.root.path(), self.name,
                           tuple(problems), metadata.text_of(config, 'variant') or None, image_id)


def _order(said: _Said) -> Tuple[List[str], str, bool]:
    """(chainIDs top first, the source that told them, whether they are all) of a _Said."""
    if said.by_layerdb and not said.cut:
        return said.by_layerdb, 'layerdb', True
    if said.by_config and (not said.by_layerdb or said.by_layerdb == said.by_config[:len(said.by_layerdb)]):
        return said.by_config, 'image config', True
    if said.by_layerdb:
        return said.by_layerdb, 'layerdb, cut', False
    return [], '', True
