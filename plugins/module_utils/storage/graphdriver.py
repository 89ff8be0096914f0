# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``image/<driver>/`` of a data root: images, layers, and which folders a container's stack is made of.

layerdb is asked first, since it needs none of a driver's own link files; the image's config and the driver's own
record of lower layers stand in where it is damaged, and are compared with it where it is not.
"""
import hashlib
import os
import re
import stat
from typing import Dict, NamedTuple, Optional, Tuple

from . import metadata, model
from .codes import problem
from .driver_table import driver
from .drivers.common import CACHE_ID, Lowers

DIGEST = re.compile(r'sha256:[0-9a-f]{64}\Z')
HEX = re.compile(rb'[0-9a-f]{64}\Z')
REMOVING = re.compile(rb'([0-9a-f]{64})-.+-removing\Z')
MAX_LAYERS = 512                        # Docker allows 125; a loop must end


class LayerRecord(NamedTuple):
    """An entry of layerdb/sha256. `damage` is '' or why dockerd would not load it."""
    chain_id: str
    diff_id: Optional[str]
    parent: Optional[str]               # chainID, None for a base layer
    cache_id: Optional[bytes]
    size: Optional[int]
    folder: bytes                       # name in layerdb/sha256
    damage: str


class MountRecord(NamedTuple):
    """An entry of layerdb/mounts."""
    mount_id: Optional[bytes]
    init_id: Optional[bytes]
    parent: Optional[str]
    exists: bool


class Resolution(NamedTuple):
    stack: Optional[model.Stack]
    status: str
    problems: Tuple[model.Problem, ...]
    sources: Dict[str, str]


class _Chain(NamedTuple):
    """Image layers on which all sources agree, for further containers of the same image."""
    layers: Tuple[model.Layer, ...]     # top first
    lower: bytes                        # what the file ``lower`` of overlay2 says of them, never empty


def chain_ids(diff_ids):
    """chainIDs of an image, base first: the first is the diffID, then SHA-256(parent + ' ' + diffID) (OCI config.md)."""
    chain = []
    for diff_id in diff_ids:
        chain.append(diff_id if not chain else
                     'sha256:' + hashlib.sha256((chain[-1] + ' ' + diff_id).encode('ascii', 'replace')).hexdigest())
    return chain


def diff_ids_of(config):
    """diffIDs of an image config, base first; [] if it has none that are digests."""
    found = metadata.list_of(config, 'rootfs', 'diff_ids')
    return found if found and all(isinstance(item, str) and DIGEST.match(item) for item in found) else []


class Graphdriver(object):
    """One storage driver's part of a data root. ROOT is the open data root; nothing outlives it."""

    def __init__(self, root, name, userxattr=False):
        self.root = root
        self.name = name
        self.driver = driver(name)
        encoding = self.driver.ENCODING if self.driver else None
        self.encoding = model.OVERLAY_USER if userxattr and encoding == model.OVERLAY else encoding
        self.base = os.path.join(b'image', os.fsencode(name))
        self._folders = {}
        self._layers = None
        self._links = None              # overlay2/l
        self._idents = {}
        self._configs = {}
        self._references = None
        self._present = {}
        self._empty = {}
        self._mounts = {}
        self._image_layers_of = {}
        self._chains = {}               # see _Chain

    # -- reading ---------------------------------------------------------------------------------------------------

    def _folder(self, path):
        """An open folder below image/<driver>, None if there is none; kept open for the next look-up."""
        if path not in self._folders:
            try:
                self._folders[path] = self.root.descend(os.path.join(self.base, path))
            except OSError:
                self._folders[path] = None
        return self._folders[path]

    def _names(self, path):
        folder = self._folder(path)
        try:
            return folder.names() if folder is not None else []
        except OSError:
            return []

    def layers(self):
        """{chainID: LayerRecord} of every entry of layerdb/sha256, also damaged ones and half-removed ones."""
        if self._layers is None:
            self._layers = {}
            removing = []
            for name in self._names(b'layerdb/sha256'):
                if HEX.match(name):
                    record = self._layer(name, name)
                    self._layers[record.chain_id] = record
                elif REMOVING.match(name):
                    removing.append((REMOVING.match(name).group(1), name))
            for chain, name in removing:
                record = self._layer(chain, name)
                known = self._layers.get(record.chain_id)
                if known is None or known.damage:
                    self._layers[record.chain_id] = record._replace(damage=record.damage or 'removal was interrupted')
        return self._layers

    def _layer(self, chain, name):
        chain_id = 'sha256:' + chain.decode('ascii')
        try:
            folder = self._folder(b'layerdb/sha256').child(name)
        except OSError as exc:
            return LayerRecord(chain_id, None, None, None, None, name, metadata.describe(exc))
        damage = []
        cache_id = metadata.read_text(folder, b'cache-id').encode()
        if not CACHE_ID.match(cache_id):
            cache_id = None
            damage.append('cache-id')
        diff_id = metadata.read_text(folder, b'diff')
        if not DIGEST.match(diff_id):
            diff_id = None
            damage.append('diff')
        parent = None
        try:
            parent = folder.read(b'parent', 4096).replace(b'\0', b'').strip().decode('ascii', 'replace')
            if not DIGEST.match(parent):
                parent = None
                damage.append('parent')
        except FileNotFoundError:
            if diff_id is not None and diff_id != chain_id:
                damage.append('parent')  # only a base layer's chainID is its diffID
        except OSError:
            damage.append('parent')
        size = metadata.read_text(folder, b'size')
        if not size.isdigit():
            damage.append('size')
        folder.close()
        return LayerRecord(chain_id, diff_id, parent, cache_id, int(size) if size.isdigit() else None, name,
                           ', '.join(damage) + ' empty or damaged' if damage else '')

    def tar_split(self, record):
        """(folder, name) of a layer's tar-split file, None if it has none."""
        try:
            folder = self._folder(b'layerdb/sha256').child(record.folder)
            if stat.S_ISREG(folder.stat(b'tar-split.json.gz').st_mode):
                return folder, b'tar-split.json.gz'
        except (OSError, AttributeError):
            pass
        return None

    def mount_names(self):
        """Names in layerdb/mounts: container ids, and layers of image mounts and builds."""
        return [name.decode('utf-8', 'backslashreplace') for name in self._names(b'layerdb/mounts')]

    def mount(self, name):
        """MountRecord of layerdb/mounts/NAME; every part of it may be missing."""
        if name not in self._mounts:
            self._mounts[name] = self._mount(name)
        return self._mounts[name]

    def _mount(self, name):
        try:
            folder = self._folder(b'layerdb/mounts').child(os.fsencode(name))
        except (OSError, AttributeError):
            return MountRecord(None, None, None, False)
        mount_id = metadata.read_text(folder, b'mount-id').encode()
        init_id = metadata.read_text(folder, b'init-id').encode()
        parent = metadata.read_text(folder, b'parent')
        folder.close()
        return MountRecord(mount_id if CACHE_ID.match(mount_id) else None, init_id if CACHE_ID.match(init_id) else None,
                           parent if DIGEST.match(parent) else None, True)

    def image_ids(self):
        """Ids of every image that has a config here, or a name without one."""
        found = {'sha256:' + name.decode('ascii') for name in self._names(b'imagedb/content/sha256') if HEX.match(name)}
        return sorted(found.union(image_id for image_id in self.references()[0] if DIGEST.match(image_id)))

    def image_config(self, image_id):
        """metadata.Found of an image's config; `damage` also if its bytes do not have the digest that names them."""
        if image_id not in self._configs:
            self._configs[image_id] = self._image_config(image_id)
        return self._configs[image_id]

    def _image_config(self, image_id):
        folder = self._folder(b'imagedb/content/sha256')
        if folder is None or not DIGEST.match(image_id or ''):
            return metadata.Found(None, 'missing', '')
        found = metadata.read_json(folder, image_id[7:].encode('ascii'))
        if found.raw is not None and hashlib.sha256(found.raw).hexdigest() != image_id[7:]:
            return found._replace(damage=found.damage or 'does not match its digest')
        return found

    def config_problems(self, image_id):
        """() or what is wrong with an image's config."""
        found = self.image_config(image_id)
        if found.value is not None and not found.damage:
            return ()
        return (problem('IMAGE_CONFIG_LOST', image_id, 'The config of image %s: %s.' % (image_id, found.damage),
                        self.pull_hint(image_id)),)

    def image_parent(self, image_id):
        """The image this one was built from by the classic builder or commit; '' if none is recorded."""
        folder = self._folder(b'imagedb/metadata/sha256')
        try:
            return metadata.read_text(folder.child(image_id[7:].encode('ascii')), b'parent')
        except (OSError, AttributeError):
            return ''

    def references(self):
        """({image id: [references]}, damage) of repositories.json."""
        if self._references is None:
            folder = self._folder(b'')
            found = metadata.Found(None, 'missing', '') if folder is None else \
                metadata.read_record(folder, b'repositories.json')
            table = {}
            for names in metadata.dict_of(found.value, 'Repositories').values():
                for reference, image_id in metadata.strings_of({'x': names}, 'x').items():
                    table.setdefault(image_id, []).append(reference)
            for references in table.values():
                references.sort()
            self._references = (table, found.damage if found.damage != 'missing' else '')
        return self._references

    # -- folders -----------------------------------------------------------------------------------------------------

    def absolute(self, relative):
        if relative is None:
            return None
        top, dummy, below = relative.partition(b'/')
        if self.root.links and top in self.root.links:
            return os.path.join(self.root.links[top], below)
        return os.path.join(self.root.path(), relative)

    def present(self, relative, ident):
        """True if a layer's folder exists, as a folder and not through a link."""
        if relative not in self._present:
            found = False
            top, dummy, below = relative.partition(b'/')
            holder = self._holder(top)
            if holder is not None:
                try:
                    parts = below.split(b'/')
                    found = all(stat.S_ISDIR(holder.stat(b'/'.join(parts[:depth])).st_mode)
                                for depth in range(1, len(parts) + 1))
                except OSError:
                    pass
            self._present[relative] = found
        return self._present[relative]

    def _holder(self, top):
        if top not in self._folders:
            try:
                self._folders[top] = self.root.child(top)
            except OSError:
                self._folders[top] = None
        return self._folders[top]

    def empty(self, relative):
        """True if a layer's folder (that is present) has nothing in it."""
        if relative not in self._empty:
            try:
                folder = self.root.descend(relative)
                self._empty[relative] = folder.is_empty()
                folder.close()
            except OSError:
                self._empty[relative] = False
        return self._empty[relative]

    def image_layer(self, record):
        """model.Layer of a read-only layer, and why it is not whole ('' if it is)."""
        key = record.chain_id if record is not None else None
        if key not in self._image_layers_of:
            self._image_layers_of[key] = self._image_layer(record)
        return self._image_layers_of[key]

    def _image_layer(self, record):
        if record is None or record.cache_id is None:
            return model.Layer(None, self.encoding, model.LOST, record.diff_id if record else None,
                               record.chain_id if record else None), 'its folder is not recorded'
        layer, why = self.layer_folder(record.cache_id)
        layer = layer._replace(diff_id=record.diff_id, chain_id=record.chain_id)
        if not why and record.size and self.empty(self.driver.layer(record.cache_id)):
            return layer._replace(status=model.LOST), 'its folder is empty although %d bytes belong there' % record.size
        return layer, why

    def layer_folder(self, cache_id):
        relative = self.driver.layer(cache_id)
        ident = cache_id.decode('ascii', 'replace')
        if not self.present(relative, cache_id):
            return model.Layer(self.absolute(relative), self.encoding, model.LOST, cache_id=ident), \
                'its folder does not exist'
        return model.Layer(self.absolute(relative), self.encoding, model.COMPLETE, cache_id=ident), ''

    # -- a container's stack -----------------------------------------------------------------------------------------

    def resolve(self, name, image_id=None, hint=None):
        """The stack of layerdb/mounts/NAME (a container id). HINT: a mount id found elsewhere, with its source, as
        (bytes, str). Never raises for damage: what is missing is in the problems and the status."""
        if self.encoding is None:
            return self._unsupported(name, hint)
        problems, sources = [], {}
        record = self.mount(name)
        mount_id, source = self._mount_id(name, record, hint)
        if mount_id is None:
            problems.append(problem('WRITABLE_LAYER_UNKNOWN', name, 'image/%s/layerdb/mounts/%s %s.' % (
                self.name, name, 'is empty or damaged' if record.exists else 'does not exist'),
                'Look at the orphan writable layers of this host; orphans: true rescues them all.'))
            return Resolution(None, model.LOST, tuple(problems), sources)
        sources['writable'] = source
        writable, why = self.writable(mount_id)
        if why:
            problems.append(problem('WRITABLE_LAYER_LOST', name, 'The writable layer %s is gone: %s.' % (
                model.text(self.absolute(self.driver.writable(mount_id))), why),
                'Volumes, logs and config are still rescued; for the layer itself only a file system recovery tool is left.'))
        init = self._init(mount_id, record)
        image, notes = self._image_layers(name, mount_id, record, image_id, init, sources)
        problems.extend(notes)
        stack = model.Stack(writable, init, image, self.absolute(self.driver.work(mount_id)),
                            self.absolute(self.driver.merged(mount_id)), getattr(self.driver, 'COPIED_INIT', False))
        if writable is None:
            status = model.LOST
        elif stack.known() and 'incomplete' not in sources:
            status = model.COMPLETE
        else:
            status = model.PARTIAL
        sources.pop('incomplete', None)
        return Resolution(stack, status, tuple(problems), sources)

    def _mount_id(self, name, record, hint):
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

    def writable(self, mount_id):
        relative = self.driver.writable(mount_id)
        if not self.present(relative, mount_id):
            return None, 'its folder does not exist'
        return model.Layer(self.absolute(relative), self.encoding, model.COMPLETE,
                           cache_id=mount_id.decode('ascii', 'replace')), ''

    def _init(self, mount_id, record):
        init_id = record.init_id or mount_id + b'-init'
        relative = self.driver.layer(init_id)
        if not self.present(relative, init_id):
            return None
        return model.Layer(self.absolute(relative), self.encoding, model.COMPLETE, cache_id=init_id.decode('ascii'))

    def _image_layers(self, name, mount_id, record, image_id, init, sources):
        """(layers top first, problems). Sources in order: layerdb's parents, the image's config, the driver's lowers."""
        known = self._chains.get((record.parent, image_id))
        if known is not None and self._below_init(mount_id, init) == known.lower:
            sources['layers'] = 'layerdb'
            return known.layers, []
        problems = []
        layers = self.layers()
        from_config = chain_ids(diff_ids_of(self.image_config(image_id).value))[::-1] if image_id else []
        from_layerdb, broken = self._walk(record.parent)
        lowers = self._checked_lowers(mount_id, init, from_layerdb if not broken else None)
        below = list(lowers.ids[1 if init is not None else 0:]) if lowers.ids is not None else None
        scratch = record.exists and record.parent is None and not from_config and not below
        if from_layerdb and not broken:
            chain, sources['layers'] = from_layerdb, 'layerdb'
        elif from_config and (not from_layerdb or from_layerdb == from_config[:len(from_layerdb)]):
            chain, sources['layers'] = from_config, 'image config'
        elif from_layerdb:
            chain, sources['layers'] = from_layerdb, 'layerdb, cut'
            sources['incomplete'] = 'x'
        else:
            chain = []
        if getattr(self.driver, 'FULL_LAYERS', False):
            chain, below = chain[:1], below[:1] if below else below
        if not chain and below is not None and not scratch:
            sources['layers'] = self.name + ' lower'
            found = [self.layer_folder(cache_id)[0] for cache_id in below]
            if not found and not record.exists:
                sources['incomplete'] = 'x'
            problems.append(problem('LAYER_ORDER_FALLBACK', name, 'The image layers of %s were found by %s\'s own lower '
                                    'list; layerdb does not tell.' % (name[:12], self.name), ''))
            return tuple(found), problems
        if not chain and not scratch and (record.exists or image_id) and self.encoding != model.PLAIN:
            sources['incomplete'] = 'x'
            problems.append(problem('IMAGE_LAYER_UNKNOWN', name, 'No source on this disk tells the image layers of %s.'
                                    % name[:12], 'The writable layer is rescued; load the image again to complete it.'))
            return (), problems
        found = []
        for position, chain_id in enumerate(chain):
            entry = layers.get(chain_id)
            layer, why = self.image_layer(entry)
            if (entry is None or entry.cache_id is None) and below is not None and len(below) == len(chain):
                layer, why = self.layer_folder(below[position])
                layer = layer._replace(chain_id=chain_id)
                problems.append(problem('LAYER_ORDER_FALLBACK', name, 'layerdb lacks %s; its folder was found by the '
                                        'driver\'s lower list.' % chain_id, ''))
            found.append(layer._replace(chain_id=chain_id))
            if why:
                problems.append(problem('IMAGE_LAYER_LOST', name, 'Image layer %s (cache-id %s) of %s: %s.' % (
                    chain_id, layer.cache_id or 'unknown', name[:12], why), self.pull_hint(image_id)))
        if sources.get('layers', 'layerdb') != 'layerdb':
            problems.append(problem('LAYER_ORDER_FALLBACK', name, 'layerdb does not tell the whole chain of %s; used: %s.'
                                    % (name[:12], sources['layers']), ''))
        elif from_config and from_config != chain:
            problems.append(problem('LAYER_ORDER_CONFLICT', name, 'layerdb and the image config of %s disagree about '
                                    'its layers; layerdb was used.' % name[:12], 'Compare the result before trusting it.'))
        if lowers.damage:
            problems.append(problem('LAYER_LINKS_DAMAGED', name, '%s of %s: %s; read by layerdb instead, nothing is '
                                    'missing.' % (self.name, name[:12], lowers.damage), ''))
        elif below is not None and chain and below != [layer.cache_id.encode() if layer.cache_id else b''
                                                       for layer in found]:
            problems.append(problem('LAYER_ORDER_CONFLICT', name, 'layerdb and the lower list of %s disagree about its '
                                    'layers; layerdb was used.' % name[:12], 'Compare the result before trusting it.'))
        found = tuple(found)
        if not problems and lowers.below:
            self._chains[record.parent, image_id] = _Chain(found, lowers.below)
        return found, problems

    def _walk(self, top):
        """chainIDs from TOP down by layerdb's parents, and whether the walk broke off."""
        layers, chain, current = self.layers(), [], top
        while current is not None and len(chain) < MAX_LAYERS and current not in chain:
            record = layers.get(current)
            chain.append(current)
            if record is None or 'parent' in record.damage:
                return chain, True
            if record.parent is None and record.diff_id is None:
                return chain, True
            current = record.parent
        return chain, current is not None

    def _checked_lowers(self, mount_id, init, chain):
        """The driver's lowers of a writable layer. Where they are just what layerdb says (nearly always), this costs
        one read: each link is looked up once."""
        if chain and self._has_lower_file():
            layers = self.layers()
            idents = [layers[item].cache_id for item in chain]
            below = self._below_init(mount_id, init)
            if below is not None and None not in idents and idents == [self._ident(part) for part in below.split(b':')]:
                return Lowers(((mount_id + b'-init',) if init is not None else ()) + tuple(idents), below=below)
        return self.driver.lowers(self.root, mount_id)

    def _has_lower_file(self):
        return self.name == 'overlay2' and self.encoding in (model.OVERLAY, model.OVERLAY_USER)

    def _below_init(self, mount_id, init):
        """What the file ``lower`` of a writable layer says of the layers below its init layer, None if it is unusual."""
        try:
            folder = self._holder(self.driver.FOLDER).child(mount_id)
            lower = folder.read(b'lower', 1 << 20)
        except (OSError, AttributeError):
            return None
        folder.close()
        if init is None:
            return lower
        first, dummy, below = lower.partition(b':')
        return below if self._ident(first) == mount_id + b'-init' else None

    def _ident(self, part):
        """The layer that an entry of ``lower`` (``l/LINK``) names, as the kernel finds it; b'' if it names none."""
        if part not in self._idents:
            if self._links is None:
                try:
                    self._links = self._holder(self.driver.FOLDER).child(b'l')
                except (OSError, AttributeError):
                    return b''
            self._idents[part] = (self.driver.by_symlink(self._links, part[2:]) or b'') if part.startswith(b'l/') else b''
        return self._idents[part]

    def pull_hint(self, image_id):
        """The next step that completes an image: the exact reference, by digest where one is recorded."""
        references = self.references()[0].get(image_id or '', [])
        by_digest = [ref for ref in references if '@sha256:' in ref]
        best = (by_digest or references or [''])[0]
        return 'To complete it: docker pull %s on a healthy host.' % best if best else \
            'To complete it, pull the image that this container was made from on a healthy host.'

    def _unsupported(self, name, hint):
        record = self.mount(name)
        mount_id, dummy = self._mount_id(name, record, hint) if self.driver else (record.mount_id, '')
        step = self.driver.next_step(self.root, mount_id) if self.driver and mount_id else \
            'Read the layer with the software that wrote it.'
        return Resolution(None, model.UNSUPPORTED, (problem(
            'DRIVER_UNSUPPORTED', name, 'The writable layer of %s (%s) is kept by %s in a form that cannot be read as '
            'files.' % (name[:12], mount_id.decode('ascii') if mount_id else 'id unknown', self.name), step),), {})

    # -- images --------------------------------------------------------------------------------------------------------

    def image(self, image_id):
        """model.Image of one image of imagedb; its layers bottom first."""
        found = self.image_config(image_id)
        config = found.value or {}
        problems = list(self.config_problems(image_id))
        usable = not problems
        diff_ids = diff_ids_of(config)
        layers = []
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids)):
            record = self.layers().get(chain_id)
            layer, why = self.image_layer(record)
            if why and self.encoding is not None:
                problems.append(problem('IMAGE_LAYER_LOST' if record else 'IMAGE_LAYER_UNKNOWN', image_id,
                                        'Layer %s of image %s: %s.' % (diff_id, image_id[:19], why),
                                        self.pull_hint(image_id)))
            split = self.tar_split(record) if record else None
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
        references = self.references()[0].get(image_id, [])
        return model.Image(image_id, tuple(references), metadata.text_of(config, 'created') or None,
                           metadata.text_of(config, 'architecture') or None, metadata.text_of(config, 'os') or None,
                           status, tuple(layers), config, found.raw, 'graphdriver', self.root.path(), self.name,
                           tuple(problems), metadata.text_of(config, 'variant') or None, image_id)
