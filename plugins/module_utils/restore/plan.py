"""What has to be done on an engine so that a bundle is alive there: a list of steps, or the reasons why not.

Planning only asks. Check mode and diff show the same plan that a real run carries out.
"""
import functools
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ..bundles import reading
from ..disk.errors import LifeboatError
from ..formats import pieces
from ..formats.redact import REDACTED
from ..formats.values import NOTHING, as_dict, as_list
from ..formats.wording import number, show, text
from ..images import loadfile as imagefile, store as imagestore
from ..records import codes
from ..records.definition import VolumeSettings
from ..records.model import COMPLETE, Mount
from ..recreate import asks, body, naming
from ..transport import inbox
from . import asked, databases, podmanvolumes, shown as shown_, volumes as volumes_
from .steps import Step, Undo

if TYPE_CHECKING:
    from ..bundles.source import Part, Source
    from .engineapi import Engine

IMAGE, VOLUMES, CONTAINER, BINDS, DUMPS, SECRETS = 'image', 'volumes', 'container', 'binds', 'dumps', 'secrets'
EVERYTHING = (IMAGE, VOLUMES, BINDS, CONTAINER)      # the default of `restore`; the others only where somebody asks
ARCHITECTURE, DATABASE_VERSION, HOLES, DEVICES = 'architecture', 'database_version', 'holes', 'device_nodes'
NOT_EMPTY = ('The volume %s leads to %s, and there is something in it, which is never replaced: empty that place, or give the volume '
             'another name in volume_map.')
# GOARCH of what engines and images call otherwise
ARCHITECTURES = {'x86_64': 'amd64', 'aarch64': 'arm64', 'armv7l': 'arm', 'armv6l': 'arm', 'i386': '386', 'i686': '386'}


class Options(NamedTuple):
    """The module's options, checked and complete."""
    path: bytes
    restore: Tuple[str, ...] = EVERYTHING
    name: str = ''
    volume_map: Dict[str, str] = NOTHING
    image: str = ''
    docker_host: str = ''
    tls: Any = None
    use_tls: bool = False
    timeout: int = 60
    state: str = 'created'
    force: bool = False
    keep_old: bool = True
    keep_partial: bool = False
    verify_start: bool = False
    trial: bool = False                 # take everything back at the end
    start_timeout: int = 120
    ignore: Tuple[str, ...] = ()
    allow: Tuple[str, ...] = ()         # of asks.KINDS
    target: str = 'engine'
    dest: bytes = b''
    engine: str = 'auto'                # or docker, podman: what has to answer at docker_host
    offline: bool = False
    data_root: bytes = b''
    check: bool = False
    if_nothing: str = 'fail'            # or skip: the bundle has nothing of what `restore` asks for
    inbox: Any = None                   # inbox.Inbox where the bundle is on the controller
    seen: Any = None                    # files that were verified already, for several bundles; see reading.inspect_bundle()


class Plan(object):
    """Steps, refusals and what will be said; filled by the functions of `engine`."""

    def __init__(self) -> None:
        self.steps: List[Step] = []
        self.refusals: List[str] = []
        self.lacking: List[str] = []    # refusals too, but where there is nothing to do at all they are the reason for that
        self.unsure = False             # check mode cannot tell whether there is something to do
        self.notes: List[str] = []
        self.asking: Set[str] = set()   # volumes that plan_asks() has named
        self.before: Dict[str, Any] = {}
        self.after: Dict[str, Any] = {}
        self.result: Dict[str, Any] = {'image': None, 'networks': [], 'volumes': [], 'container': None, 'databases': [], 'asks': [],
                                       'dumps': [], 'problems': []}

    def add(self, kind: str, name: str, action: str, message: str, do: Optional[Callable[[Undo], Any]] = None) -> None:
        self.steps.append(Step(kind, name, action, message, do))

    def refuse(self, sentence: str) -> None:
        self.refusals.append(sentence)

    def lack(self, sentence: str) -> None:
        self.lacking.append(sentence)

    def nothing(self, restore: Tuple[str, ...]) -> str:
        """'' or the sentence that the bundle has nothing of RESTORE (the option). To be asked when everything is planned."""
        if self.steps or self.refusals or self.unsure:
            self.refusals.extend(self.lacking)
            return ''
        return ' '.join(['The bundle has nothing of what restore asks for (%s).' % ', '.join(restore)] + self.lacking)

    def skipped(self, name: str, sentence: str) -> Dict[str, Any]:
        """The result of a restore that did nothing, since there is nothing."""
        self.note(sentence)
        return dict(self.result, changed=False, name=name, nothing=True, steps=[], notes=self.notes,
                    diff={'before': self.before, 'after': self.after})

    def note(self, sentence: str) -> None:
        sentence = show(sentence)
        if sentence not in self.notes:
            self.notes.append(sentence)

    def doubt(self, code: str, name: str, message: str, next_step: str = '') -> None:
        """A problem with something that was, or will be, made; see records.codes."""
        found = codes.problem(code, name, message, next_step)._asdict()
        if found not in self.result['problems']:
            self.result['problems'].append(found)

    def changes(self) -> bool:
        return any(step.changes for step in self.steps)

    def refuse_now(self, where: str) -> None:
        """Raise if there is a reason against it."""
        if self.refusals:
            raise LifeboatError('Nothing was changed on %s. %s' % (where, ' '.join(self.refusals)))


class Situation(NamedTuple):
    """What the planning functions share."""
    options: Options
    source: Any                         # source.Source
    engine: Any
    info: Dict[str, Any]
    volumes: Any                        # volumes.Volumes
    name: str                           # of the container
    names: Dict[str, str]               # volumes: recorded -> on the target
    images: Any                         # imagefile.ImageFile of all images in the bundle
    image: Any                          # the one that the container is made from, or None
    wanted: Optional[Dict[str, Any]]    # create body, None if no container is restored
    definition: Any
    existing: Optional[Dict[str, Any]]  # container of that name
    differs: Tuple[str, ...] = ()       # in what `existing` is not what would be made

    @property
    def same(self) -> bool:
        """The container is there as it would be made."""
        return self.existing is not None and self.wanted is not None and not self.differs


def has_image(source: 'Source') -> bool:
    """Does the bundle hold what docker load takes?"""
    return any(part.status not in ('lost', 'unsupported') for part in source.of('image'))


def read_images(source: 'Source') -> Tuple[Tuple[imagefile.ImageFile, ...], imagefile.ImageFile]:
    """(images of the bundle, the one that the container is made from)."""
    path = os.path.join(source.info.path, b'image.tar')
    if source.info.remote is not None:
        images = imagefile.from_document(source.info.remote.document(inbox.IMAGES))
    elif b'image.tar' in source.info.sums:
        with os.fdopen(reading.open_file(source.info, b'image.tar'), 'rb') as stream:
            images = imagefile.read(stream, text(path), seek=True)
    else:
        stream = imagefile.Stream(imagestore.loadable(source.info.path))
        try:
            images = imagefile.read(stream, text(os.path.join(source.info.path, b'image')))
        finally:
            stream.close()
    return images, imagefile.pick(images, source.image_digest)


def find_image(engine: 'Engine', image: Any) -> Optional[Dict[str, Any]]:
    """The engine's record of an image with exactly the layers and configuration of IMAGE (ImageFile), else None."""
    for reference in image.ids + image.references:
        found = engine.image(reference)
        if found and is_image(found, image):
            return found
    return None


def is_image(found: Dict[str, Any], image: Any) -> bool:
    return tuple(as_list(as_dict(found.get('RootFS')).get('Layers'))) == image.diff_ids and (
        found.get('Id') in image.ids or _same_config(as_dict(found.get('Config')), as_dict(image.config.get('config'))))


def _same_config(one: Any, other: Any) -> bool:
    """containerd-backed engines name an image by another digest than its configuration's."""
    return all((one.get(key) or None) == (other.get(key) or None)
               for key in ('Env', 'Cmd', 'Entrypoint', 'Labels', 'User', 'WorkingDir'))


def plan_platform(plan: Plan, options: Options, engine: 'Engine', platform: Tuple[str, str], what: str) -> None:
    """Refuse an image of another operating system or processor."""
    system, processor = platform
    own = (engine.version.get('Os') or '', engine.version.get('Arch') or '')
    processor = ARCHITECTURES.get(processor, processor)
    given = ARCHITECTURES.get(own[1], own[1])
    if (system and own[0] and system != own[0]) or (processor and given and processor != given):
        sentence = '%s is for %s/%s, the engine runs on %s/%s.' % (what, system or own[0], processor, own[0], given)
        if ARCHITECTURE in options.ignore:
            plan.note(sentence)
        else:
            plan.refuse(sentence + ' Restore it on such a host (or give ignore: [architecture] if emulation is set up).')


def plan_image(plan: Plan, situation: Situation) -> None:
    """Load the image unless the engine has it."""
    options, engine, image = situation.options, situation.engine, situation.image
    plan_platform(plan, options, engine, (image.config.get('os') or '', image.config.get('architecture') or ''), 'The image')
    shown = image.references[0] if image.references else image.config_digest
    found = find_image(engine, image)
    plan.result['image'] = {'id': found['Id'] if found else image.config_digest, 'reference': shown}
    if found:
        plan.add('image', shown, 'keep', 'The image %s is there already.' % shown)
        plan.before['image'] = plan.after['image'] = shown
        return
    for reference in image.references:
        other = engine.image(reference)
        if other and not options.force:
            plan.refuse('The name %s belongs to another image (%s) on this engine; force: true would move it.'
                        % (reference, other.get('Id')))
    alone, new = _originals(plan, situation)
    plan.before['image'] = None
    plan.after['image'] = shown

    def do(undo: Undo) -> None:
        archive = loadable(situation.source.info)
        loaded = engine.load(imagefile.only(archive, image) if alone else archive)
        found = find_image(engine, image)
        if found is None:
            raise LifeboatError('The engine loaded %s, but that is not the image of the bundle.'
                                % (', '.join(loaded) or 'nothing'))
        for reference in new + list(image.references or (found['Id'],)):
            undo.append(functools.partial(engine.remove, '/images/%s' % reference))
        plan.result['image']['id'] = found['Id']
    plan.add('image', shown, 'load', 'Load the image %s (%s).' % (shown, number(len(image.diff_ids), 'layer')), do)


def loadable(info: Any) -> Iterator[bytes]:
    """Yield the bytes of what docker load takes."""
    if info.remote is None:
        yield from imagestore.loadable(info.path)
        return
    stream = volumes_.open_archive(info, inbox.IMAGE)
    try:
        yield from pieces.of(stream)
    finally:
        stream.close()


def _originals(plan: Plan, situation: Situation) -> Any:
    """The bundle also holds the image that the container was once made from, under its own name. (True if it must stay
    out because the name belongs to another image here, names that loading would add.)"""
    new = []
    for other in situation.images:
        if other is situation.image:
            continue
        for reference in other.references:
            found = situation.engine.image(reference)
            if found is None:
                new.append(reference)
            elif not is_image(found, other):
                plan.note('The name %s belongs to another image on this engine and stays with it.' % reference)
                return True, []
    return False, new


def plan_networks(plan: Plan, situation: Situation) -> None:
    engine = situation.engine
    for name, info in sorted(body.user_networks(situation.definition).items()):
        found = engine.network(name)
        plan.result['networks'].append({'name': name, 'created': found is None})
        if found:
            plan.add('network', name, 'keep', 'The network %s is there already.' % name)
            continue
        info = dict(info)
        project = naming.project_of(situation.definition)
        if project and name.startswith(project + '_') and not info.get('labels'):
            # so that Compose takes it for its own
            info['labels'] = {naming.PROJECT_LABEL: project, 'com.docker.compose.network': name[len(project) + 1:]}
        if not engine.podman:
            asked.known_network(plan, name, info, engine.api)
        plan.before.setdefault('networks', {})[name] = None
        plan.after.setdefault('networks', {})[name] = info
        plan.add('network', name, 'create', 'Create the network %s%s.' % (
            name, ''.join(' ' + item['subnet'] for item in info.get('ipam') or [] if item.get('subnet'))),
            _network_step(plan, engine, name, info))


def _network_step(plan: Plan, engine: 'Engine', name: str, info: Any) -> Callable[[Undo], None]:
    def do(undo: Undo) -> None:
        identifier = engine.create_network(name, info)
        undo.append(lambda: engine.remove('/networks/%s' % identifier))
        if engine.podman:
            asked.doubts(plan, name, 'The network', shown_.of_network(info, engine.network(name) or {}))
    return do


def plan_volumes(plan: Plan, situation: Situation) -> None:
    """Every volume of the bundle that has data."""
    for part in situation.source.of('volume'):
        name = situation.names[part.name]
        if part.status != COMPLETE:
            plan.note('The volume %s was rescued only in part (%s): %s.' % (part.name, part.status, part.shortfall))
        if situation.options.check and situation.source.info.remote is None:
            try:
                volumes_.look_through(situation.source.info, part.file, DEVICES in situation.options.ignore)
            except LifeboatError as exc:
                plan.refuse(str(exc))
                continue
        _plan_volume(plan, situation, part, name)
    planned = set(part.name for part in situation.source.of('volume'))
    for mount in situation.source.mounts:
        if mount.type == 'volume' and mount.name and mount.name not in planned:
            planned.add(mount.name)
            _plan_volume_without_data(plan, situation, mount, situation.names.get(mount.name, mount.name))


def note_open_files(plan: Plan, source: 'Source') -> None:
    """Deleted files that the container had open are for a person to choose from."""
    if source.of('open-files'):
        plan.note('The bundle has deleted files that the container had open. They are unpacked with target: directory only: copy from there what '
                  'the volumes need.')


def _plan_volume_without_data(plan: Plan, situation: Situation, mount: Mount, name: str) -> None:
    """A volume whose data are elsewhere (tmpfs, NFS, a driver) or lost: made as it was, since the engine would make a plain one."""
    info = situation.source.volumes.get(mount.name, VolumeSettings())
    elsewhere = bool(info.options) or (info.driver or 'local') != 'local'
    if situation.wanted is None and not elsewhere:
        return
    if situation.engine.volume(name) is not None:
        plan.add('volume', name, 'keep', 'The volume %s is there already; the bundle has no data of it.' % name)
        plan.note('The bundle has no data of the volume %s (%s): it stays as it is on the engine.' % (name, mount.status))
        return
    how = _how_made(plan, situation, mount.name, name, False)
    if how is None:
        return
    plan.note('The bundle has no data of the volume %s (%s): %s.' % (
        name, mount.status, 'its data are where its driver and options point' if elsewhere else 'it will be empty'))
    plan.before.setdefault('volumes', {})[name] = None
    plan.after.setdefault('volumes', {})[name] = {'driver': how[0], 'options': how[1]}

    def do(undo: Undo) -> None:
        asked.volume(plan, situation.engine, name, how)
        undo.append(lambda: situation.volumes.remove(name))
    plan.add('volume', name, 'create', 'Create the volume %s; the bundle has no data of it.' % name, do)


def _how_made(plan: Plan, situation: Situation, recorded: Optional[str], name: str, data: bool) -> Optional[Tuple[str, Dict[str, str], Dict[str, str]]]:
    """(driver, options, labels) of a new volume as it was recorded; None after a refusal. DATA: the bundle has its data."""
    info = situation.source.volumes.get(recorded or '', VolumeSettings())
    driver, options = info.driver or 'local', dict(info.options)
    drivers = as_list(as_dict(situation.info.get('Plugins')).get('Volume'))
    if drivers and driver not in drivers:
        if not data:
            plan.refuse('The volume %s is of the driver %s, which this engine does not have: install its plugin, or create the volume '
                        'on the engine first.' % (name, driver))
            return None
        plan.note('The volume %s was of the driver %s, which this engine does not have: it becomes a local one.' % (recorded, driver))
        driver, options = 'local', {}
    if any(REDACTED in str(value) for value in options.values()):
        plan.refuse('The volume %s was mounted with a password, which is not in the bundle; create it on the engine first, or '
                    'give restore: [image, binds, container].' % name)
        return None
    device = asks.volume_device(driver, options)
    if device and asks.VOLUME_DEVICES not in situation.options.allow:
        if name not in plan.asking:      # else it is among what the definition of the container asks for
            refuse_asks(plan, situation.options, name, [asks.Ask(asks.VOLUME_DEVICES, '%s of the volume %s' % (device, name), name)])
        return None
    if options and driver == 'local':
        plan.note('The volume %s is made with its recorded options (%s): its data go where these point.' % (
            name, ', '.join(sorted(options))))
    return driver, options, _labels(situation, recorded, info)


def refuse_asks(plan: Plan, options: Options, name: str, found: List[asks.Ask]) -> None:
    """Name what reaches the host and, for what is not in `allow`, refuse it."""
    missing = [ask for ask in found if ask.kind not in options.allow]
    allowed = [ask for ask in found if ask.kind in options.allow]
    if allowed:
        plan.note('%s reaches its host, as allow says: %s.' % (name, asks.listed(allowed)))
    if missing:
        plan.refuse('%s asks for what reaches its host: %s. If you trust where the bundle comes from, give allow: [%s].' % (
            name, asks.listed(missing), ', '.join(asks.kinds(found))))


def plan_asks(plan: Plan, situation: Situation) -> None:
    """What the definition of the container asks for, before anything else is planned."""
    found = [ask for ask in asks.asks(situation.definition) if not ask.volume or
             VOLUMES in situation.options.restore and situation.engine.volume(ask.volume) is None]
    plan.asking = set(ask.volume for ask in found)
    plan.result['asks'] = [{'kind': ask.kind, 'what': ask.what} for ask in found]
    refuse_asks(plan, situation.options, situation.name, found)


def _plan_volume(plan: Plan, situation: Situation, part: 'Part', name: str) -> None:
    access = situation.volumes
    record = {'name': name, 'recorded': part.name, 'way': None, 'notes': [], 'databases': []}
    plan.result['volumes'].append(record)
    volume = situation.engine.volume(name)
    action, message = 'create', 'Create the volume %s and fill it from %s.' % (name, text(part.file))
    if volume is not None:
        action, message = _judge_volume(plan, situation, part, name, volume)
        if action is None:
            return
    record['way'], record['why'] = access.way(volume)
    if action == 'keep':
        plan.add('volume', name, 'keep', message)
        plan.before.setdefault('volumes', {})[name] = plan.after.setdefault('volumes', {})[name] = part.sha256
        return
    plan.before.setdefault('volumes', {})[name] = None if volume is None else \
        {'content': access.content(volume) if action == 'replace' else []}
    plan.after.setdefault('volumes', {})[name] = part.sha256
    how = ('local', {}, _labels(situation, part.name, situation.source.volumes.get(part.name, VolumeSettings())))
    if volume is None:
        how = _how_made(plan, situation, part.name, name, True)
        if how is None or not _may_fill(plan, situation, name, how[1]):
            return
    how[2][volumes_.LABEL] = part.sha256
    plan.add('volume', name, action, message, _volume_step(plan, situation, part, name, record, action, how))


def _may_fill(plan: Plan, situation: Situation, name: str, options: Dict[str, str]) -> bool:
    """Refuse a volume whose options lead to a folder of the host that has something in it. (A real run looks again.)"""
    access, device = situation.volumes, options.get('device')
    if not isinstance(device, str) or not device.startswith('/') or access.way()[0] != volumes_.DIRECT:
        return True
    try:
        content = os.listdir(access.place({'Mountpoint': device}))
    except OSError:
        return True                     # no folder: the engine says what it thinks of it
    if content:
        plan.refuse(NOT_EMPTY % (name, device))
    return not content


def _judge_volume(plan: Plan, situation: Situation, part: 'Part', name: str, volume: Dict[str, Any]) -> Any:
    """(action, message) for a volume that exists; (None, '') after a refusal."""
    options, access = situation.options, situation.volumes
    users = access.users(name)
    if access.unfinished(volume):
        return 'refill', 'Fill the volume %s again: an earlier run was interrupted.' % name
    if access.restored_from(volume) == part.sha256 and not options.force:
        others = [user['name'] or user['id'][:12] for user in users if user['name'] != situation.name]
        if others and situation.wanted is not None:
            plan.note('The volume %s is shared with %s.' % (name, ', '.join(others)))
        return 'keep', 'The volume %s was restored from this bundle already.' % name
    if situation.same and any(user['name'] == situation.name for user in users):
        return 'keep', 'The volume %s belongs to the restored container already.' % name
    running = [user['name'] or user['id'][:12] for user in users if user['running']]
    content = access.content(volume)
    if running and not (options.force and running == [situation.name] and CONTAINER in options.restore):
        plan.refuse('The volume %s is in use by the running container %s; stop it first.' % (name, ', '.join(running)))
        return None, ''
    if content is None:
        plan.note('Whether the volume %s is empty cannot be seen without making a container: a real run looks.' % name)
    if not content:
        return 'fill', 'Fill the empty volume %s from %s.' % (name, text(part.file))
    if not options.force:
        plan.refuse('The volume %s is not empty (it has %s%s); give it another name in volume_map, or force: true to '
                    'replace its content.' % (name, ', '.join(content), ', ...' if len(content) >= 10 else ''))
        return None, ''
    if volume.get('Options'):
        plan.refuse(NOT_EMPTY % (name, as_dict(volume['Options']).get('device') or 'where its options say'))
        return None, ''
    others = [user['name'] or user['id'][:12] for user in users]
    if access.way(volume)[0] == volumes_.API and others:
        plan.refuse('The content of the volume %s cannot be replaced over the API while %s refers to it; remove that '
                    'container, or restore on the engine\'s own host.' % (name, ', '.join(others)))
        return None, ''
    if not access.replaceable(volume):
        plan.refuse(podmanvolumes.NO_REPLACE % name)
        return None, ''
    return 'replace', 'Replace the content of the volume %s by %s; what was in it is %s.' % (
        name, text(part.file), 'kept in a volume of its own' if options.keep_old else 'dropped')


def _labels(situation: Situation, recorded: Optional[str], info: VolumeSettings) -> Dict[str, str]:
    """Labels of a new volume: those it had, and those that Compose looks for."""
    labels = {}
    if situation.definition is not None:
        for volume in naming.volumes(situation.definition):
            if volume['recorded'] == recorded:
                labels.update(volume['labels'])
    else:
        labels.update(info.labels)
    return labels


def _volume_step(plan: Plan, situation: Situation, part: 'Part', name: str, record: Dict[str, Any], action: str,
                 how: Tuple[str, Dict[str, str], Dict[str, str]]) -> Callable[[Undo], None]:
    access, engine, options = situation.volumes, situation.engine, situation.options

    def do(undo: Undo) -> None:
        volume = engine.volume(name)
        if volume is None:
            volume = asked.volume(plan, engine, name, how)
            undo.append(lambda: access.remove(name))
            if how[1] and access.content(volume):
                raise LifeboatError(NOT_EMPTY % (name, how[1].get('device') or how[0]))
        elif action == 'refill':
            volume = access.empty(volume)
            undo.append(lambda: access.empty(engine.volume(name)))
        elif action == 'replace':
            kept = access.set_aside(volume, part.sha256)
            undo.append(kept.restore)
            volume = engine.volume(name)
        elif action == 'fill':
            if access.content(volume):
                raise LifeboatError('The volume %s is not empty any more.' % name)
            if access.way(volume)[0] == volumes_.API and access.plain(volume) and not access.users(name):
                # only a label can say later that it was restored
                engine.remove('/volumes/%s' % name)
                volume = engine.create_volume(name, labels=how[2])
            undo.append(lambda: access.empty(engine.volume(name)))
        stream = volumes_.open_archive(situation.source.info, part.file)
        try:
            done = access.fill(volume, stream, text(part.file), part.sha256, part.bytes, None if HOLES in options.ignore
                               else volumes_.MAX_HOLES, DEVICES in options.ignore)
        finally:
            stream.close()
        for item in done['databases']:
            item['volume'] = name
        plan.result['databases'].extend(done['databases'])
        for note in done['notes']:
            plan.note(note)
        record.update(done)
        if action == 'replace':
            plan.result.setdefault('kept', []).append((kept, name))
    return do


def check_databases(plan: Plan, options: Options, versions: Dict[str, str]) -> None:
    """Raise before a container is made whose image cannot read the data."""
    problem = databases.mismatch(plan.result['databases'], versions)
    if problem:
        if DATABASE_VERSION not in options.ignore:
            raise LifeboatError(problem + ' (ignore: [database_version] restores it anyway.)')
        plan.note(problem)


def differences(existing: Dict[str, Any], body: Dict[str, Any], image_ids: Sequence[str]) -> List[str]:
    """Names of what tells an existing container (inspect) from what BODY would make; [] if nothing does."""
    config, host = as_dict(existing.get('Config')), as_dict(existing.get('HostConfig'))
    found = []
    if existing.get('Image') not in image_ids and config.get('Image') != body['Image']:
        found.append('Image')
    for key, value in body.items():
        if key in ('HostConfig', 'NetworkingConfig', 'Image'):
            continue
        if key == 'Entrypoint' and value == ['']:
            value = None
        if not _covers(config.get(key), value):
            found.append(key)
    for key, value in body['HostConfig'].items():
        if key in ('RestartPolicy', 'Links'):
            continue                    # off until it has proved itself; shown in another form than it is given
        if not _covers(_of_its_life(host.get(key)), _of_its_life(value)):
            found.append(key)
    networks = as_dict(as_dict(existing.get('NetworkSettings')).get('Networks'))
    wanted = as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))
    found.extend('network %s' % name for name in wanted if name not in networks)
    return found


def _of_its_life(value: Any) -> Any:
    """Binds and Mounts without what counts only when a container is created, or for labels of SELinux."""
    if not isinstance(value, list):
        return value
    found = []
    for item in value:
        if isinstance(item, str) and item.count(':') > 1:
            head, dummy, modes = item.rpartition(':')
            modes = ','.join(mode for mode in modes.split(',') if mode not in ('nocopy', 'z'))
            item = head + (':' + modes if modes else '')
        elif isinstance(item, dict) and 'VolumeOptions' in item:
            options = dict((key, inner) for key, inner in as_dict(item['VolumeOptions']).items() if key != 'NoCopy')
            item = dict(item, VolumeOptions=options)
        found.append(item)
    return found


def _covers(own: Any, wanted: Any) -> bool:
    """WANTED is in OWN: engines add to labels, variables and lists by themselves."""
    if isinstance(wanted, dict):
        return all(_covers(as_dict(own).get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if any(isinstance(item, dict) for item in wanted):
            return len(as_list(own)) == len(wanted) and all(_covers(one, two) for one, two in zip(own, wanted))
        return all(item in as_list(own) for item in wanted)
    return (own or None) == (wanted or None)
