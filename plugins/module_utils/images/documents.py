"""Configs, manifests, tags and indexes of the images that are written."""
import hashlib
import platform
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ..disk import metadata, safeio
from ..layers import chains
from ..records.definition import image_config
from . import layerdata
from .store import BLOBS, FULL_NAME, REF_NAME, document

if TYPE_CHECKING:
    from ..records.model import Container, Image
    from .layers import ImageLayer

MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
MACHINES = {'x86_64': 'amd64', 'aarch64': 'arm64', 'armv7l': 'arm', 'i686': '386'}
NEVER = '0001-01-01T00:00:00Z'          # how Go writes that there was no such time


def repository_name(name: Optional[str]) -> str:
    """A container's name as a part of an image's: lower case, single separators."""
    return re.sub(r'[^a-z0-9]+', '-', (name or '').lower()).strip('-')[:100] or 'unnamed'


def container_tag(container: 'Container') -> str:
    return 'lifeboat/%s:%s' % (repository_name(container.name), container.id[:12])


def full_name(reference: str) -> str:
    """``debian:12`` -> ``docker.io/library/debian:12``: the form in which containerd keeps it."""
    first, slash, dummy = reference.partition('/')
    if slash and ('.' in first or ':' in first or first == 'localhost'):
        return reference
    return 'docker.io/' + ('' if slash else 'library/') + reference


class ImageDocuments(object):
    """One image of the archive: config and manifest, and what the two indexes say of it."""

    def __init__(self, config: bytes, layers: Sequence[Tuple[str, int, str]], tags: List[str], manifest: Optional[bytes] = None,
                 manifest_type: str = MANIFEST_TYPE) -> None:
        self.config = config
        self.tags = list(tags)
        self.config_digest = digest_of(config)
        self.layers = layers
        self.manifest = manifest or document({
            'schemaVersion': 2, 'mediaType': MANIFEST_TYPE,
            'config': {'mediaType': CONFIG_TYPE, 'digest': self.config_digest, 'size': len(config)},
            'layers': [{'mediaType': media_type, 'digest': digest, 'size': size} for digest, size, media_type in layers]})
        self._type = manifest_type

    def descriptors(self) -> List[Dict[str, Any]]:
        """Its entries of index.json, one a tag."""
        plain = {'mediaType': self._type, 'digest': digest_of(self.manifest), 'size': len(self.manifest)}
        return [dict(plain, annotations={FULL_NAME: full_name(tag), REF_NAME: tag.rpartition(':')[2]})
                for tag in self.tags] or [plain]

    def docker(self) -> Dict[str, Any]:
        """Its entry of manifest.json."""
        return {'Config': blob_name(self.config_digest), 'RepoTags': self.tags or None,
                'Layers': [blob_name(digest) for digest, dummy, dummy in self.layers]}


def digest_of(raw: bytes) -> str:
    return 'sha256:' + hashlib.sha256(raw).hexdigest()


def blob_name(digest: str) -> str:
    return BLOBS + digest[7:]


def own_tags(image: 'Image') -> List[str]:
    return [name for name in image.references if '@' not in name and ':' in name.rpartition('/')[2]]


def base_config(image: 'Image', layers: 'List[ImageLayer]') -> bytes:
    """The image's config: its exact bytes if every layer is exact, else the same with the new diffIDs."""
    if all(layer.exact for layer in layers) and image.config_raw is not None:
        return image.config_raw
    return document(_with_layers(image.config, layers))


def _with_layers(config: Dict[str, Any], layers: 'List[ImageLayer]') -> Dict[str, Any]:
    """CONFIG with the diffIDs that LAYERS have now; a lost layer's history entry becomes an empty one."""
    changed = dict(config)
    changed['rootfs'] = {'type': 'layers', 'diff_ids': [layer.diff_id for layer in layers
                                                        if layer.method != layerdata.NONE]}
    history, position = [], 0
    for entry in metadata.list_of(config, 'history'):
        if isinstance(entry, dict) and not entry.get('empty_layer'):
            position += 1
            if position > len(layers) or layers[position - 1].method == layerdata.NONE:
                entry = dict(entry, empty_layer=True)
        history.append(entry)
    changed['history'] = history
    return changed


def container_config(image: 'Image', layers: 'List[ImageLayer]', container: 'Container', diff_id: Optional[str]) -> bytes:
    """What `docker commit` would make of the container. DIFF_ID None: the writable layer is empty."""
    config = _with_layers(image.config, layers)
    for key in ('container', 'container_config', 'id', 'parent', 'parent_id', 'Size'):
        config.pop(key, None)           # of the image's own making
    config.setdefault('architecture', MACHINES.get(platform.machine(), platform.machine()))
    config.setdefault('os', 'linux')
    own = container.definition
    if not own.lost_process:
        config['config'] = image_config(own)
    elif not isinstance(config.get('config'), dict):
        config['config'] = {}
    config['created'] = _last_change(container)
    entry = {'created': config['created'], 'created_by': ' '.join(own.command),
             'comment': 'container %s, brought back from its disk by lifeboat.docker' % container.id[:12]}
    if diff_id is None:
        entry['empty_layer'] = True
    else:
        config['rootfs']['diff_ids'].append(diff_id)
    config['history'] = list(config['history']) + [entry]
    return document(config)


def _last_change(container: 'Container') -> str:
    """When the container last ran: the same for the same source, so that the image is too."""
    times = [time for time in (container.created, container.state.get('started_at'), container.state.get('finished_at'))
             if isinstance(time, str) and time > NEVER]
    return max(times) if times else '1970-01-01T00:00:00Z'


def original_manifest(image: 'Image', layers: 'List[ImageLayer]') -> Tuple[Optional[bytes], Optional[str]]:
    """(bytes, media type) of the manifest that containerd keeps of this image, if all of it goes out unchanged: then
    the image keeps its ID there. (None, None) otherwise."""
    if image.blobs is None or not image.config_digest:
        return None, None
    wanted = [(layer.digest, layer.size) for layer in layers]
    try:
        with safeio.Dir.root(image.blobs) as folder:
            pending, seen = [image.id], set()
            while pending:
                digest = pending.pop(0)
                if digest in seen or not chains.DIGEST.match(digest or '') or len(seen) > 100:
                    continue
                seen.add(digest)
                found = metadata.read_json(folder, digest[7:].encode('ascii'))
                if found.value is None or found.raw is None or digest_of(found.raw) != digest:
                    continue
                if metadata.text_of(found.value, 'config', 'digest') == image.config_digest:
                    have = [(metadata.text_of(item, 'digest'), metadata.get(item, 'size'))
                            for item in metadata.list_of(found.value, 'layers')]
                    if have == wanted:
                        return found.raw, metadata.text_of(found.value, 'mediaType') or MANIFEST_TYPE
                pending += [metadata.text_of(item, 'digest') for item in metadata.list_of(found.value, 'manifests')]
    except OSError:
        pass
    return None, None
