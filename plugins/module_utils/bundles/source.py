"""A verified bundle as the records that a restore works with."""
import os
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..disk.errors import LifeboatError
from ..engines import registry
from ..formats.values import as_dict, as_list
from ..formats.wording import show
from ..records.definition import (
    Defaults,
    Definition,
    NetworkSettings,
    VolumeSettings,
    from_json,
    image_defaults,
    network_settings,
    new_name,
    resolved,
    stable_name,
    volume_settings,
)
from ..records.model import COMPLETE, Mount
from . import reading

MAX_LISTED = 10
MAX_REASON = 500                        # characters
CONFIG, DEFINITION, IMAGE = b'config/', b'config/definition.json', b'config/image.json'
# moby: daemon/names (RestrictedNamePattern); a folder has that name. The engine itself wants at least two characters.
VOLUME_NAME = re.compile(r'[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z', re.ASCII)


class Part(NamedTuple):
    """One archive of a bundle."""
    kind: str                           # volume | bind | writable | rootfs | image | open-files
    name: str                           # of the volume; else of the component
    file: bytes
    sha256: str
    bytes: Optional[int]                # content when unpacked, None if unknown
    status: str
    destination: str
    source: str
    reason: str = ''                    # why it is not whole, as far as the bundle says

    @property
    def shortfall(self) -> str:
        """What is missing of it, for a sentence: the reason, or where it can be looked up."""
        return 'what is missing stands in the manifest' if not self.reason else show(self.reason[:MAX_REASON]).rstrip('.')


class Source(NamedTuple):
    info: reading.BundleInfo
    kind: str                           # container | volume | orphan
    name: str                           # of the container, volume or orphan
    id: str
    definition: Definition              # as it was rescued
    defaults: Optional[Defaults]        # of the image that the container was made from
    mounts: Tuple[Mount, ...]
    volumes: Dict[str, VolumeSettings]  # recorded name -> the rest
    networks: Dict[str, NetworkSettings]
    peers: Dict[str, str]
    stable: Dict[str, str]              # recorded volume -> stable name, where the bundle says it
    parts: Tuple[Part, ...]
    image_digest: str = ''              # of the configuration of the container's image

    def of(self, kind: str) -> List[Part]:
        return [part for part in self.parts if part.kind == kind]


def read(path: bytes, remote: 'Optional[reading.Remote]' = None, seen: Optional[Dict[Tuple[int, int, int, int], str]] = None) -> Source:
    """-> Source of a bundle; REMOTE: an inbox.Inbox for one on the controller. LifeboatError if it is damaged, incomplete,
    or no bundle. SEEN: see reading.inspect_bundle()."""
    info = reading.inspect_bundle(path, True, seen) if remote is None else remote.info()
    if info.status != reading.VERIFIED:
        listed = '; '.join('%s %s' % (reading.brief(item['file']), item['problem']) for item in info.differences[:MAX_LISTED])
        if len(info.differences) > MAX_LISTED:
            listed += '; %d more' % (len(info.differences) - MAX_LISTED)
        raise LifeboatError('The bundle %s is %s and is not restored: %s. Rescue again, or copy it again.'
                            % (show(info.path), info.status, listed))
    return of_info(info)


def of_info(info: reading.BundleInfo) -> Source:
    """-> Source of a reading.BundleInfo whose manifest is one."""
    manifest = info.manifest
    kind = manifest['kind']
    subject = as_dict(manifest.get(kind))
    recorded_as = _definition(info)
    image = json_object(info, IMAGE)
    mounts = tuple(_mount(as_dict(item)) for item in as_list(manifest.get('mounts')))
    infos, stable = {}, {}
    for item in map(as_dict, as_list(manifest.get('mounts'))):
        if isinstance(item.get('name'), str) and item['name']:
            infos[item['name']] = volume_settings(dict(item, name=''))
            if _text(item.get('stable_name')):
                stable[item['name']] = item['stable_name']
    parts = tuple(_parts(info, manifest))
    if kind == 'volume' and _text(subject.get('name')):
        infos.setdefault(subject['name'], volume_settings(dict(subject, name='')))
    name = _text(subject.get('name')) or recorded_as.name or _text(subject.get('id'))[:12]
    if kind == 'container':             # the name of a volume is refused where it leads elsewhere
        name = new_name(name)
    digests = [_text(item.get('container_image_id')) for item in reading.components(manifest, 'image')]
    return Source(
        info=info, kind=kind, name=name, id=_text(subject.get('id')) or recorded_as.id, definition=recorded_as,
        defaults=image_defaults(image.get('config')) if image else None, mounts=mounts, volumes=infos,
        networks=dict((key, network_settings(value)) for key, value in as_dict(manifest.get('networks')).items()),
        peers=_peers(manifest), stable=stable, parts=parts, image_digest=digests[0] if digests else '')


def define(source: Source, image: str, defaults: Optional[Defaults], name: str, names: Dict[str, str]) -> Definition:
    """The container as a Definition for the engine that is restored to, made from IMAGE, whose own defaults are DEFAULTS.
    NAMES: of volume_names()."""
    return resolved(source.definition, image, defaults, name, source.id, source.mounts, names, source.volumes, source.networks,
                    source.peers)


def _definition(info: reading.BundleInfo) -> Definition:
    """The neutral definition; of a bundle of version 1 from the engine's own files. Lost where there is none or it is damaged."""
    if info.manifest.get('schema_version') == 1:
        return registry.definition(registry.FIRST, lambda name: json_bytes(info, CONFIG + os.fsencode(name)))
    value = json_object(info, DEFINITION)
    return from_json(value) if value else Definition(lost_process='The definition', lost_settings='The definition')


def volume_names(source: Source, mapping: Mapping[str, str], container_name: str) -> Dict[str, str]:
    """{recorded name: name on the target} of every volume of a bundle. MAPPING: the user's volume_map, whose keys may be
    the recorded or the stable name. LifeboatError for a key that names no volume."""
    found = {}
    places = dict((mount.name, mount) for mount in source.mounts if mount.type == 'volume' and mount.name)
    names = [part.name for part in source.of('volume')]
    names.extend(name for name in places if name not in names)
    for name in names:
        wanted = source.stable.get(name)
        mount = places.get(name)
        if mount is not None and mount.anonymous and wanted in (None, stable_name(source.name, mount.destination)):
            # named after the container, so after its new name if it gets one
            wanted = stable_name(container_name, mount.destination)
        found[name] = wanted or name
    if source.kind == 'volume' and container_name and len(names) == 1:
        found[names[0]] = container_name
    for key, value in mapping.items():
        hits = [name for name, wanted in found.items() if key in (name, wanted)]
        if not hits:
            raise LifeboatError('volume_map names %s, but the bundle has no such volume. It has: %s.'
                                % (show(key), ', '.join(map(reading.brief, sorted(found))) or 'none'))
        for name in hits:
            found[name] = value
    taken = {}
    for name, wanted in found.items():
        if wanted in taken:
            raise LifeboatError('The volumes %s and %s would both become %s; give one of them another name in volume_map.'
                                % (reading.brief(taken[wanted]), reading.brief(name), reading.brief(wanted)))
        taken[wanted] = name
        if not VOLUME_NAME.match(wanted):
            raise LifeboatError('%s is no name for a volume (letters, digits, and within it also _ . and -, at most 255 of them); give '
                                'it another one in volume_map.' % (reading.brief(wanted) or "''"))
    return found


def _parts(info: reading.BundleInfo, manifest: Dict[str, Any]) -> Iterator[Part]:
    for item in reading.components(manifest):
        file = reading.component_file(item)
        kind = reading.kind_of(item)
        if kind == 'image' and (file is not None or as_dict(item.get('parts'))):
            yield Part(kind, 'image', file or b'', '', None, _text(item.get('status')), '', '')
        if file is None or kind not in ('volume', 'bind', 'writable', 'rootfs', 'open-files'):
            continue
        name = reading.component_name(item)
        size = item.get('source_bytes')
        yield Part(kind, name, file, info.sums[file], size if isinstance(size, int) and not isinstance(size, bool) else None,
                   _text(item.get('status')), _text(item.get('destination')), _text(item.get('source')), _reason(manifest, item, name))


def _reason(manifest: Dict[str, Any], item: Dict[str, Any], name: str) -> str:
    """Why a component is not whole: its own problems first, then those of the bundle that name it or what it is of."""
    own = list(map(as_dict, as_list(item.get('problems'))))
    others = [problem for problem in map(as_dict, as_list(manifest.get('problems'))) if problem.get('object') in (name, item.get('name'))]
    said = [_text(problem.get('message')) for problem in own + others if problem.get('severity') in ('warning', 'critical')]
    return next((message for message in said if message), '')


def _mount(item: Dict[str, Any]) -> Mount:
    return Mount(type=_text(item.get('type')) or 'volume', name=_text(item.get('name')) or None,
                 source=_text(item.get('source')) or None, path=None, destination=_text(item.get('destination')),
                 rw=item.get('rw') is not False, driver=_text(item.get('driver')) or None,
                 anonymous=item.get('anonymous') is True, status=_text(item.get('status')) or COMPLETE,
                 mode=_text(item.get('mode')), propagation=_text(item.get('propagation')),
                 subpath=_text(item.get('subpath')) or None)


def _peers(manifest: Dict[str, Any]) -> Dict[str, str]:
    return dict((key, value) for key, value in as_dict(manifest.get('peers')).items() if isinstance(value, str))


def json_object(info: reading.BundleInfo, name: bytes) -> Dict[str, Any]:
    """A JSON object of the bundle, {} where it is missing or damaged (as it was on the disk)."""
    raw = json_bytes(info, name)
    return as_dict(reading.parse(raw)) if raw else {}


def json_bytes(info: reading.BundleInfo, name: bytes) -> bytes:
    """The bytes of a JSON file of the bundle, b'' where it is missing or damaged."""
    if name not in info.sums:
        return b''
    raw = reading.read_file(info, name)
    try:
        reading.parse(raw)
    except ValueError:
        return b''
    return raw


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ''
