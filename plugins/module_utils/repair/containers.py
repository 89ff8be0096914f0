"""config.v2.json and hostconfig.json: which containers lack them, and the evidence to make them anew from."""
import re
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..formats import wording
from . import known, records, steps
from .plan import Plan

if TYPE_CHECKING:
    from .view import View

CODES = {
    'CONTAINER_CONFIG': steps.Code('config.v2.json is empty, cut, gone or another\'s; dockerd hides the container.',
                                   'Takes the complete temporary file of the last write; else makes the record anew from the runtime spec, '
                                   'hostconfig.json and the image.'),
    'CONTAINER_HOSTCONFIG': steps.Code('hostconfig.json is empty, damaged or gone; dockerd hides the container, or cannot start it.',
                                       'Makes it anew from config.v2.json and the runtime spec.'),
    'CONTAINER_FOLDER': steps.Code('A writable layer names a container that has no folder.', 'Makes the folder, so that its records can be made.'),
    'CONTAINER_NAME': steps.Code('Two containers have one name; which of them dockerd shows is chance.',
                                 'Gives the one with less behind it a name with a part of its ID.'),
}
NAME = re.compile(r'[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z')
_RECORDED = re.compile(r'(/.*)/containers/[0-9a-f]{64}/')


def plan(this: Plan, images: Dict[bytes, known.Images], specs: Dict[bytes, dict], recorded: str) -> None:
    """Plan for all containers. IMAGES: by driver. RECORDED: the data root as the engine knew it, where no record tells."""
    _folders(this, images)
    others = {ident: known.config(this.view, ident) for ident in known.containers(this.view)}
    for ident, config in sorted(others.items()):
        if config is None:
            _config(this, ident, [one for one in others.values() if one], images, specs, recorded)
        if this.view.json(known.hostconfig_path(ident)) is None:
            _hostconfig(this, ident, specs.get(ident, {}))
    _names(this)


def _folders(this: Plan, images: Dict[bytes, known.Images]) -> None:
    for driver in images:
        for ident, record in known.mounts(this.view, driver).items():
            if known.HEX.match(ident) and not this.view.is_folder(b'containers/' + ident) and record.init_id and \
                    known.has_content(this.view, driver, record.mount_id):
                this.mkdir('CONTAINER_FOLDER', b'containers/' + ident, 'layerdb gives it a writable layer', steps.LIKELY, 0o710)


def _config(this: Plan, ident: bytes, others: List[Dict[str, Any]], images: Dict[bytes, known.Images], specs: Dict[bytes, Dict[str, Any]],
            recorded: str) -> None:
    path = known.config_path(ident)
    saved = _of_temporary(this.view, ident)
    if saved is not None:
        this.write('CONTAINER_CONFIG', path, saved, 'complete temporary file of the last write', steps.CERTAIN)
        return
    driver = known.driver_of(this.view, ident)
    if driver not in images:
        this.leave('CONTAINER_CONFIG', path, 'its storage driver or store is not one that a record can be made for',
                   'Rescue the container; docker_data_restore makes it anew.')
        return
    evidence = _evidence(this, ident, driver, others, images[driver], specs.get(ident, {}), recorded)
    if evidence is not None:
        sources = [word for word, there in (('runtime spec', evidence.spec), ('hostconfig.json', evidence.hostconfig),
                                            ('image config', evidence.image_config)) if there]
        missing = [place for place in records.dict_of(evidence.image_config, 'Volumes') if not spec_tells(evidence) and
                   place not in records.mount_points(evidence)]
        why = 'from ' + ', '.join(sources)
        if not evidence.spec:           # it did not run when the host died, or containerd's database is lost
            why += '; nothing tells its own command and environment: they are the image\'s'
        if missing:                     # without its volume a database would begin anew, beside its data
            this.leave('CONTAINER_CONFIG', path, 'which anonymous volume was at %s is not known' % ', '.join(map(str, missing))[:200],
                       'docker_layer_facts lists volumes that no container uses. Rescue and restore the container, or name the code.')
            why += '; without a volume at %s' % ', '.join(map(str, missing))[:200]
        this.write('CONTAINER_CONFIG', path, records.dump(records.container(evidence)), why, steps.LIKELY if missing else steps.REBUILT)


def spec_tells(evidence: records.Evidence) -> bool:
    """Whether the mounts of the last run are known: then a volume that is not among them was not there."""
    return bool(evidence.spec.get('mounts'))


def _of_temporary(view: 'View', ident: bytes) -> Optional[bytes]:
    """Content of the newest complete temporary file of an interrupted write that has the right ID."""
    folder = b'containers/' + ident + b'/'
    found = []
    for name in view.names(folder[:-1]):
        if name.startswith(b'.tmp-config.v2.json'):
            value, st = view.json(folder + name), view.stat(folder + name)
            if value is not None and st is not None and value.get('ID') == ident.decode() and isinstance(value.get('Config'), dict):
                found.append((st.st_mtime_ns, name))
    return view.read(folder + max(found)[1]) if found else None


def _evidence(this: Plan, ident: bytes, driver: bytes, others: List[Dict[str, Any]], images: known.Images, spec: Dict[str, Any],
              recorded: str) -> Optional[records.Evidence]:
    """What is known, None (and a note) where a record cannot be made surely."""
    view, path, text = this.view, known.config_path(ident), ident.decode()
    record = known.mounts(view, driver).get(ident, known.Mount(b'', b'', ''))
    if not known.has_content(view, driver, record.mount_id):
        this.leave('CONTAINER_CONFIG', path, 'its writable layer is not known', 'Rescue orphan layers and volumes of this host.')
        return None
    fitting = sorted(one for one, chain in images.top.items() if chain == record.parent and chain)
    used = {records.text_of(one, 'Image'): records.text_of(records.dict_of(one, 'Config'), 'Image') for one in others}
    # images of steps of a build have the layers of what was built, but neither a name nor a container
    named = [one for one in fitting if one in used or _tag(view, driver, one)] or fitting
    if len(named) != 1:
        this.leave('CONTAINER_CONFIG', path, '%s have the layers of this container' % wording.number(len(fitting), 'image'),
                   'Rescue the container; docker_data_restore asks for the image.')
        return None
    hostconfig = view.json(known.hostconfig_path(ident))
    root = next((match.group(1) for match in (_RECORDED.match(str(one.get('HostnamePath', ''))) for one in others) if match), recorded)
    config = images.configs[named[0]]
    inner = records.dict_of(config, 'config')
    made = records.Evidence(
        text, _name(this, text, others), driver.decode(), named[0], used.get(named[0]) or _tag(view, driver, named[0]), inner, spec, hostconfig,
        root, _hostname(view, ident), _birth(view, driver, record.mount_id), _network_ids(others), {})
    return made._replace(anonymous=_anonymous(this, made, others, driver, record.mount_id))


def _name(this: Plan, ident: str, others: List[Dict[str, Any]]) -> str:
    given = next((name for start, name in sorted(this.names.items()) if len(start) >= 4 and ident.startswith(start)), '')
    taken = {str(one.get('Name', '')).lstrip('/') for one in others}
    return given if given and NAME.match(given) and given not in taken else 'recovered-' + ident[:12]


def _tag(view: 'View', driver: bytes, image_id: str) -> str:
    value = view.json(b'image/' + driver + b'/repositories.json') or {}
    for dummy, references in sorted(records.dict_of(value, 'Repositories').items()):
        for reference, target in sorted(references.items() if isinstance(references, dict) else ()):
            if target == image_id and '@' not in reference:
                return reference
    return ''


def _hostname(view: 'View', ident: bytes) -> str:
    text = view.text(b'containers/' + ident + b'/hostname')
    return text if NAME.match(text) else ''


def _birth(view: 'View', driver: bytes, mount_id: bytes) -> str:
    st = view.stat(driver + b'/' + mount_id + b'/link') or view.stat(driver + b'/' + mount_id)
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(st.st_mtime if st is not None else 0))


def _network_ids(others: List[Dict[str, Any]]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for one in others:
        for name, endpoint in records.dict_of(records.dict_of(one, 'NetworkSettings'), 'Networks').items():
            if isinstance(endpoint, dict) and endpoint.get('NetworkID'):
                found[name] = str(endpoint['NetworkID'])
    return found


def _anonymous(this: Plan, made: records.Evidence, others: List[Dict[str, Any]], driver: bytes, mount_id: bytes) -> Dict[str, str]:
    """{place: volume} for volumes that the image declares: the only unclaimed one that was made within 5 s of the layer."""
    there = records.mount_points(made)
    claimed = {records.text_of(point, 'Name') for one in others for point in records.dict_of(one, 'MountPoints').values()}
    claimed |= {records.text_of(point, 'Name') for point in there.values()}
    places = [] if spec_tells(made) else [place for place in records.dict_of(made.image_config, 'Volumes') if place not in there]
    st = this.view.stat(driver + b'/' + mount_id + b'/link')
    near: List[Any] = []
    for name in this.view.names(b'volumes'):
        folder = this.view.stat(b'volumes/' + name)
        if known.HEX.match(name) and folder is not None and name.decode() not in claimed and st is not None:
            near.append((abs(folder.st_mtime - st.st_mtime), name.decode()))
    near.sort()
    if len(places) == 1 and near and near[0][0] < 5 and (len(near) == 1 or near[1][0] - near[0][0] > 0.5):
        return {places[0]: near[0][1]}
    return {}


def _hostconfig(this: Plan, ident: bytes, spec: Dict[str, Any]) -> None:
    config = known.config(this.view, ident)
    path = known.hostconfig_path(ident)
    if config is None:
        this.leave('CONTAINER_HOSTCONFIG', path, 'config.v2.json is not there to make it from', 'Rescue the container.')
        return
    names = this.view.names(b'containers/' + ident)
    local = b'local-logs' in names
    log_type = 'json-file' if config.get('LogPath') or any(name.endswith(b'-json.log') for name in names) else 'local' if local else 'json-file'
    this.write('CONTAINER_HOSTCONFIG', path, records.dump(records.host(config, spec, log_type)),
               'from config.v2.json' + (' and the runtime spec' if spec else ''), steps.REBUILT)


def _names(this: Plan) -> None:
    by_name: Dict[str, List[Any]] = {}
    layers = known.writable(this.view)
    for ident in known.containers(this.view):
        config = known.config(this.view, ident)
        if config is not None and isinstance(config.get('Name'), str):
            weight = ((records.text_of(config, 'Driver'), ident) in layers, bool(records.dict_of(config, 'State').get('Running')),
                      str(config.get('Created', '')))
            by_name.setdefault(config['Name'], []).append((weight, ident, config))
    for name, holders in sorted(by_name.items()):
        holders.sort(key=lambda one: one[:2])
        for dummy, ident, config in holders[:-1]:
            this.write('CONTAINER_NAME', known.config_path(ident), records.dump(dict(config, Name='%s-%s' % (name, ident[:12].decode()))),
                       '%s has the same name, and more behind it' % holders[-1][1][:12].decode(), steps.CHOICE)
