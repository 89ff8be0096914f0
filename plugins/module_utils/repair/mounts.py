"""layerdb/mounts: which writable layer belongs to which container."""
import re
from typing import Any, Dict, List

from ..formats import wording
from . import known, steps
from .plan import Plan
from .records import dict_of, text_of

CODES = {
    'MOUNT_ID': steps.Code('The record of a container\'s writable layer is gone or empty; dockerd hides the container.',
                           'Writes mount-id from the runtime spec or init-id; the only layer that fits is offered as likely.'),
    'MOUNT_INIT_ID': steps.Code('The name of a container\'s init layer is gone or empty.', 'Writes init-id: mount-id with -init, which exists.'),
    'MOUNT_PARENT': steps.Code('The record of the image layer under a container is gone or empty.',
                               'Writes parent: the topmost layer of the container\'s image, or the layer next below by lower.'),
}
_MERGED = re.compile(r'/([0-9a-f]{64})/merged\Z')


def plan(this: Plan, name: bytes, images: known.Images, specs: Dict[bytes, dict], guess: bool) -> None:
    """Plan for the driver NAME. GUESS: also offer what only fits; call it without first, since that makes fewer layers fit."""
    view = this.view
    driver = known.driver(view, name)
    found = known.mounts(view, name)
    for ident, record in found.items():
        if not known.HEX.match(ident):
            continue                    # BuildKit's own, never a container
        folder = b'image/' + name + b'/layerdb/mounts/' + ident
        if record.mount_id not in driver.ids:
            record = record._replace(mount_id=_mount_id(this, folder, ident, record, driver, found, images, specs, guess))
        if not record.mount_id:
            continue
        init = record.mount_id + b'-init'
        if record.init_id != init and init in driver.ids and not record.init_id:
            this.write('MOUNT_INIT_ID', folder + b'/init-id', init, 'the init layer of mount-id exists', steps.CERTAIN, 0o644)
        if not record.parent:
            _parent(this, folder, ident, record, driver, images)


def _mount_id(this: Plan, folder: bytes, ident: bytes, record: known.Mount, driver: known.Driver, found: Dict[bytes, known.Mount],
              images: known.Images, specs: Dict[Any, Any], guess: bool) -> bytes:
    """The id that mount-id will have, b'' if it is not written."""
    merged = _MERGED.search(str(dict_of(specs.get(ident), 'root').get('path', '')))
    by_spec = merged.group(1).encode() if merged else b''
    by_init = record.init_id[:-5] if record.init_id.endswith(b'-init') else b''
    sources = [(one, why) for one, why in ((by_spec, 'the runtime spec'), (by_init, 'init-id')) if one in driver.ids]
    path = folder + b'/mount-id'
    if len({one for one, dummy in sources}) > 1:
        this.leave('MOUNT_ID', path, 'the runtime spec and init-id name different layers', 'Compare both with the container.')
        return b''
    if sources:
        done = this.write('MOUNT_ID', path, sources[0][0], ' and '.join(why for dummy, why in sources) + ' name it', steps.CERTAIN, 0o644)
        return sources[0][0] if done else b''
    if not guess or ident not in known.containers(this.view):
        return b''
    if record.mount_id:                 # what else would fit belongs to another container, or to none any more
        this.leave('MOUNT_ID', path, 'the writable layer that it names is gone', 'What the container wrote is lost; its volumes can be rescued.')
        return b''
    fitting = _fitting(this, ident, record, driver, found, images)
    if len(fitting) != 1:
        this.leave('MOUNT_ID', path, wording.number_is(len(fitting), 'writable layer', 'fit'),
                   'docker_layer_facts lists orphan layers; write the right one into mount-id.')
        return b''
    done = this.write('MOUNT_ID', path, fitting[0], 'the only writable layer that no container claims and that lies on this image',
                      steps.LIKELY, 0o644)
    return fitting[0] if done else b''


def _fitting(this: Plan, ident: bytes, record: known.Mount, driver: known.Driver, found: Dict[bytes, known.Mount],
             images: known.Images) -> List[bytes]:
    """Writable layers that no record claims and whose lower says the image of this container."""
    claimed = {one.mount_id for one in found.values()}
    config = known.config(this.view, ident) or {}
    chain = record.parent or images.top.get(text_of(config, 'Image'), '')
    layer = known.layers(this.view, driver.name).get(chain)
    if layer is None or not layer.cache_id:
        return []
    return [one for one in driver.ids if not one.endswith(b'-init') and one not in claimed and one + b'-init' in driver.ids and
            driver.below(one)[1:2] == [layer.cache_id]]


def _parent(this: Plan, folder: bytes, ident: bytes, record: known.Mount, driver: known.Driver, images: known.Images) -> None:
    path = folder + b'/parent'
    config = known.config(this.view, ident) or {}
    by_image = images.top.get(text_of(config, 'Image'), '')
    below = driver.below(record.mount_id)[1:]
    records = known.layers(this.view, driver.name)
    by_lower: List[str] = _by_cache(below[0], records) if below else []
    said = set(by_lower[:1] if len(by_lower) == 1 else []) | ({by_image} if by_image else set())
    if len(said) != 1:
        if below or by_image:
            this.leave('MOUNT_PARENT', path, 'its image and its lower file disagree' if said else 'no source tells it', 'Compare the container with its image.')
        return
    sources = [why for why, one in (('its image', by_image), ('its lower file', by_lower and by_lower[0])) if one]
    this.write('MOUNT_PARENT', path, said.pop().encode(), ' and '.join(sources) + ' say so', steps.CERTAIN, 0o644)


def _by_cache(cache_id: bytes, records: Dict[str, known.Layer]) -> List[str]:
    return sorted(chain for chain, record in records.items() if record.cache_id == cache_id)
