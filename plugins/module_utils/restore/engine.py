"""A bundle onto a running engine: plan, do, report."""
import os
import tempfile
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from ..archive import removal, unpack
from ..bundles import source as sources
from ..disk.errors import LifeboatError
from ..formats import wording
from ..formats.values import as_dict
from ..records.definition import image_defaults
from ..recreate import asks, doubts, olderapi
from ..recreate.body import create_body
from ..transport import inbox
from . import (
    asked,
    connect,
    databases,
    engineapi,
    folders,
    labels,
    plan as planning,
    secrets,
    shown,
    steps,
    volumes as volumes_,
)
from .plan import BINDS, CONTAINER, DUMPS, IMAGE, SECRETS, VOLUMES

LONGEST_LOG = 2000                      # characters of a log that go into a message
SETTLE = 3                              # seconds that a container without a health check has to stay up
# never written to: programs of the operating system, and what lives in memory
NOT_FOR_BINDS = ('/boot', '/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32')
IN_MEMORY = ('/proc', '/sys', '/dev', '/run')
WITHOUT_BINDS = 'restore: [image, volumes, container] leaves binds out.'
SHARED = (('NetworkMode', 'network'), ('IpcMode', 'IPC namespace'), ('PidMode', 'processes'))


def restore(options: planning.Options) -> Dict[str, Any]:
    """-> result (dict). Raises LifeboatError; then nothing is left but what keep_partial asked to keep."""
    if options.trial and (options.force or options.keep_partial):
        raise LifeboatError('trial takes back what it made, and cannot be combined with force or keep_partial')
    source = sources.read(options.path, options.inbox, options.seen)
    engine = connect.connected(options)
    info = engine.info()
    access = volumes_.Volumes(engine, info, options.check)
    try:
        plan, situation = make_plan(options, source, engine, info, access)
        nothing = plan.nothing(options.restore)
        if nothing and options.if_nothing == 'skip':
            return plan.skipped(situation.name, nothing)
        if nothing:
            plan.refuse(nothing)
        plan.refuse_now(engine.docker_host)
        result = {'changed': plan.changes(), 'name': situation.name, 'nothing': False, 'steps': [steps.shown(step) for step in plan.steps],
                  'notes': plan.notes, 'diff': {'before': plan.before, 'after': plan.after}}
        if not options.check:
            try:
                said = steps.run(plan.steps, options.keep_partial, options.trial)
            finally:
                kept = plan.result.pop('kept', [])
            result['kept'] = _settle(plan, options, kept)
            if options.trial:
                result['changed'] = False
                plan.note(said or 'There was nothing to take back: everything was there already.')
        plan.result.pop('kept', None)
        result.update(plan.result)
        return result
    finally:
        access.close()


def make_plan(options: planning.Options, source: sources.Source, engine: engineapi.Engine, info: Dict[str, Dict[str, List[str]]],
              access: volumes_.Volumes) -> Tuple[planning.Plan, planning.Situation]:
    """(Plan, Situation). Raises LifeboatError for what the bundle itself lacks."""
    plan = planning.Plan()
    wants_container = CONTAINER in options.restore and source.kind == 'container'
    if CONTAINER in options.restore and not wants_container and source.kind != 'volume':
        plan.note('The bundle is of an orphan writable layer: there is no definition of a container in it.')
    name = options.name or source.name
    names = sources.volume_names(source, options.volume_map, name)
    images, image = (), None
    if planning.has_image(source) and (IMAGE in options.restore or DUMPS in options.restore or wants_container) and not options.image:
        images, image = planning.read_images(source)
    situation = planning.Situation(options, source, engine, info, access, name, names, images, image, None, None, None)
    if wants_container:
        situation = _with_container(plan, situation)
    if IMAGE in options.restore and image is not None:
        planning.plan_image(plan, situation)
        access.fallback_image = image.references[0] if image.references else None
    elif IMAGE in options.restore and not planning.has_image(source) and source.kind != 'volume' and not wants_container:
        plan.lack('The bundle has no image; rescue it with image in include.')
    if wants_container and _replaces(situation) and _running(situation.existing):
        # before its volumes are touched; and with the undo it starts again after they are back
        plan.add('container', name, 'stop', 'Stop the container %s, which is to be replaced.' % name, _stop_step(situation))
    if situation.definition is not None:
        planning.plan_asks(plan, situation)
    if wants_container and situation.definition is not None:
        planning.plan_networks(plan, situation)
    if VOLUMES in options.restore:
        planning.plan_volumes(plan, situation)
        planning.note_open_files(plan, source)
    if BINDS in options.restore:
        _plan_binds(plan, situation)
    if SECRETS in options.restore:
        secrets.plan_secrets(plan, situation)
    elif wants_container:
        secrets.note_left_out(plan, situation)
    if situation.wanted is not None:
        _look_for_binds(plan, situation)
    if wants_container and situation.wanted is not None:
        _plan_container(plan, situation)
    if DUMPS in options.restore:
        from . import dumps  # only for who asks for them
        dumps.plan_dumps(plan, situation)
    return plan, situation


def _plan_binds(plan: planning.Plan, situation: planning.Situation) -> None:
    """Folders of the host that were bind-mounted, to where they were."""
    planned = []
    for part in sorted(situation.source.of('bind'), key=lambda part: part.source):
        place = asks.plain(part.source)
        if not part.source.startswith('/') or _below(place, planned):
            plan.refuse('The bind mount %s is no place to restore to: %s. %s' % (
                part.source, 'it lies in another one' if part.source.startswith('/') else 'it is no absolute path', WITHOUT_BINDS))
            continue
        planned.append(place)
        _plan_bind(plan, situation, part, place)
    plan.result.pop('needed', None)


def _plan_bind(plan: planning.Plan, situation: planning.Situation, part: sources.Part, place: str) -> None:
    """One folder or file of the host. What belongs to the operating system stays as it is on this host."""
    access, options = situation.volumes, situation.options
    way, why = access.way()
    if way is None:
        plan.note('The bundle has the bind mount %s (%s); whether its place can be reached from here is found out by a real run.' % (
            place, os.fsdecode(part.file)))
        plan.unsure = True
        return
    if way != volumes_.DIRECT:
        plan.refuse('The bind mount %s is on the host of the engine, which cannot be reached from here as root (%s). %s' % (
            place, why, WITHOUT_BINDS))
        return
    here = access.place({'Mountpoint': place})
    there = _real(here, place)
    if asks.belongs_to_host(place) or _below(there, IN_MEMORY) or asks.host_path(there) == asks.SOCKET or \
            asks.whole(there) and os.path.lexists(here):
        plan.note('The bind mount %s belongs to the host: that of this host is taken, and what the bundle has of it (%s) is not restored.' % (
            place, os.fsdecode(part.file)))
    elif _below(there, NOT_FOR_BINDS) and not asks.below(there, '/usr/local') or there == '/':
        if os.path.lexists(here):
            plan.note('The bind mount %s is a part of the operating system: it stays as it is on this host, and what the bundle has of '
                      'it (%s) is not restored.' % (place, os.fsdecode(part.file)))
        else:
            plan.refuse('The bind mount %s is no place to restore to, and it is not there: put there what it needs (the bundle has '
                        'it as %s), then restore. %s' % (place, os.fsdecode(part.file), WITHOUT_BINDS))
    elif asks.host_path(there) and asks.PATHS not in options.allow:
        # else it is among what the definition of the container asks for
        if place not in [asks.plain(item['what'].split(':')[0]) for item in plan.result['asks']]:
            planning.refuse_asks(plan, options, situation.name, [asks.Ask(asks.PATHS, 'the data of %s%s' % (
                place, '' if there == place else ', which leads to %s,' % there))])
    else:
        before = len(plan.refusals)
        folders.plan_part(plan, options, situation.source, part, here, 'folder', planning.DEVICES in options.ignore)
        if len(plan.refusals) > before:
            plan.refusals.append(WITHOUT_BINDS)


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(asks.below(path, folder) for folder in folders)


def _real(here: bytes, place: str) -> str:
    """PLACE with the links in it followed, as far as they can be: in the engine's own mount namespace they cannot, and it is '/'."""
    if here == wording.raw(place):
        return os.fsdecode(os.path.realpath(here))
    top = here[:len(here) - len(wording.raw(place))]
    parts = wording.raw(place).strip(b'/').split(b'/')
    return '/' if any(os.path.islink(top + b'/' + b'/'.join(parts[:count])) for count in range(1, len(parts) + 1)) else place


def _look_for_binds(plan: planning.Plan, situation: planning.Situation) -> None:
    """What the container will miss: -v makes an empty folder of what is not there, --mount refuses."""
    access, wanted = situation.volumes, situation.wanted
    if wanted is None or access.way()[0] != volumes_.DIRECT:
        return
    needed = [item.get('Source') for item in wanted['HostConfig'].get('Mounts', []) if item.get('Type') == 'bind' and
              as_dict(item.get('BindOptions')).get('CreateMountpoint') is not True]
    for mount in situation.source.mounts:
        if mount.type != 'bind' or not mount.source or os.path.lexists(access.place({'Mountpoint': mount.source})):
            continue
        have = any(part.source == mount.source for part in situation.source.of('bind'))
        if have and BINDS in situation.options.restore and not asks.belongs_to_host(mount.source):
            continue
        sentence = 'The bind mount %s is not there; %s.' % (
            mount.source, 'the bundle has it: give restore: [image, volumes, binds, container]' if have else
            'it is not in the bundle either')
        if mount.source in needed:
            plan.refuse(sentence + ' The engine refuses the container without it.')
        else:
            plan.note(sentence + ' The container gets an empty folder.')


def _with_container(plan: planning.Plan, situation: planning.Situation) -> planning.Situation:
    """Find the image, make the create body, look for a container of that name."""
    options, source, engine, image = situation.options, situation.source, situation.engine, situation.image
    ids = ()
    if options.image:
        found = engine.image(options.image)
        if found is None:
            plan.refuse('The engine has no image %s; pull or load it first.' % options.image)
            return situation
        pinned, defaults, ids = options.image, as_dict(found.get('Config')), (found.get('Id'),)
        planning.plan_platform(plan, options, engine, (found.get('Os') or '', found.get('Architecture') or ''), 'The image')
        _warn_lost_layer(plan, source)
    elif image is not None:
        found = planning.find_image(engine, image)
        if found is None and IMAGE not in options.restore:
            plan.refuse('The engine does not have the image of the bundle; give restore: [image, volumes, binds, container].')
            return situation
        pinned = image.references[0] if image.references else (found['Id'] if found else image.config_digest)
        defaults = as_dict(image.config.get('config'))
        ids = image.ids + ((found['Id'],) if found else ())
    else:
        plan.refuse('The bundle has no image, so the container cannot be made from what was rescued: rescue it with '
                    'image in include, or give image: NAME of one on the engine, or give restore: [volumes, binds] for the data alone.')
        return situation
    definition = sources.define(source, pinned, image_defaults(defaults), situation.name, situation.names)
    for warning in doubts.warnings(definition):
        plan.note(warning)
    body = create_body(definition)
    body = asked.adapt(plan, body, definition, situation.info) if engine.podman else labels.relabelled(
        asked.known(plan, body, situation.name, engine.api), situation.info)
    existing = engine.container(situation.name)
    resolved = _with_peers(plan, situation, body)
    differs = _differences(plan, situation, existing, resolved, ids)
    return situation._replace(wanted=body, definition=definition, existing=existing, differs=differs)


def _differences(plan: planning.Plan, situation: planning.Situation, existing: Optional[Dict[str, Any]], body: Dict[str, Any],
                 ids: Sequence[str]) -> Tuple[str, ...]:
    """In what the container that is there is not what BODY would make."""
    if existing is None:
        return ()
    same = asked.same(existing, body, ids) if situation.engine.podman else None
    if same:                            # what this engine shows otherwise than it was asked for is no difference; but a doubt again
        asked.doubts(plan, situation.name, 'The container', shown.of_container(body, existing))
        return ()
    return tuple(planning.differences(existing, body, ids)) or (() if same is None else ('its definition',))


def _with_peers(plan: planning.Plan, situation: planning.Situation, body: Dict[str, Any]) -> Dict[str, Any]:
    """BODY as the engine will show it: containers that it shares a namespace with by their ids. Refuses where one is not
    there; in check mode it may be another bundle's of the same run."""
    host = dict(body['HostConfig'])
    for key, shared in SHARED:
        kind, dummy, peer = host.get(key, '').partition(':')
        if kind != 'container':
            continue
        found = situation.engine.container(peer)
        sentence = '%s shares the %s of the container %s, which is not on this engine' % (situation.name, shared, peer)
        if found is not None:
            host[key] = 'container:%s' % found['Id']
        elif situation.options.check:
            plan.note(sentence + ' yet: it has to be restored before.')
        else:
            plan.refuse(sentence + ': restore that one first.')
    return dict(body, HostConfig=host)


def _warn_lost_layer(plan: planning.Plan, source: sources.Source) -> None:
    if any(part.kind in ('writable', 'image') for part in source.parts):
        plan.note('The container is made from the image that was named: what the old one had changed outside its volumes is '
                  'not in it.')


def _plan_container(plan: planning.Plan, situation: planning.Situation) -> None:
    options, name, body = situation.options, situation.name, situation.wanted
    existing = situation.existing
    if body is None:
        raise AssertionError('_with_container() made it')
    plan.before['container'] = None if existing is None else {'id': existing['Id'], 'same': situation.same}
    plan.after['container'] = _for_show(dict(body, name=name))
    plan.result['container'] = {'id': existing['Id'] if existing is not None and situation.same else None, 'name': name}
    if situation.same:
        plan.after['container'] = plan.before['container']
        plan.add('container', name, 'keep', 'The container %s is there already and is the same.' % name)
    elif existing is not None and not options.force:
        plan.refuse('There is a container named %s already, and it is another one (%s); give it another one by name: NAME, or force: true to '
                    'replace it.' % (name, ', '.join(situation.differs[:10])))
        return
    elif existing is not None:
        plan.add('container', name, 'replace', 'Replace the container %s; the old one is %s.' % (
            name, 'stopped and renamed' if options.keep_old else 'removed'), _replace_step(plan, situation))
    else:
        plan.add('container', name, 'create', 'Create the container %s.' % name, _create_step(plan, situation))
    if options.state == 'started' and not (situation.same and _running(existing)):
        plan.add('start', name, 'start', 'Start the container %s%s%s.' % (
            name, ' and wait until it is healthy' if options.verify_start else '',
            ', then pause it as it was' if situation.definition.paused else ''), _start_step(plan, situation))


def _for_show(body: Dict[str, Any]) -> Dict[str, Any]:
    """For the diff: without the values of variables."""
    if body.get('Env'):
        body['Env'] = [item.split('=', 1)[0] + '=***' for item in body['Env']]
    return body


def _body_for(engine: engineapi.Engine, body: Dict[str, Any], later: bool) -> Tuple[Dict[str, Any], Dict[str, Dict[str, Any]]]:
    """(body, {network: endpoint} to connect afterwards) as this engine's API takes them."""
    body = dict(body, HostConfig=dict(body['HostConfig']))
    endpoints = as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))
    rest = {}
    if endpoints and engine.api < olderapi.SEVERAL:
        first = list(endpoints)[0]
        rest = dict((name, endpoint) for name, endpoint in endpoints.items() if name != first)
        endpoint = dict(endpoints[first])
        mac = endpoint.pop('MacAddress', None)
        if mac:
            body['MacAddress'] = mac
        body['NetworkingConfig'] = {'EndpointsConfig': {first: endpoint}}
    if later:
        body['HostConfig'].pop('RestartPolicy', None)
    return body, rest


def _create_step(plan: planning.Plan, situation: planning.Situation) -> Callable[[steps.Undo], None]:
    engine, options, name, wanted = situation.engine, situation.options, situation.name, situation.wanted
    if wanted is None:
        raise AssertionError('_with_container() made it')

    def do(undo: steps.Undo) -> None:
        versions = databases.image_versions(_image_config(situation))
        planning.check_databases(plan, options, versions)
        # Podman 4 cannot give a container another restart policy afterwards
        body, rest = _body_for(engine, wanted, options.state == 'started' and options.verify_start and not engine.podman)
        identifier, warnings = engine.create_container(name, body)
        undo.append(lambda: engine.remove('/containers/%s' % identifier, {'force': '1'}))
        for network, endpoint in rest.items():
            engine.connect_network(network, identifier, endpoint)
        for warning in warnings:
            plan.note('The engine says: %s' % warning)
        plan.result['container']['id'] = identifier
        if engine.podman:
            asked.doubts(plan, name, 'The container', shown.of_container(_with_peers(plan, situation, wanted), engine.container(identifier) or {}))
        _writable_databases(plan, situation)
        _check_postgresql(plan, situation, identifier)
    return do


def _image_config(situation: planning.Situation) -> Dict[str, Any]:
    if situation.options.image or situation.image is None:
        found = situation.engine.image(situation.options.image) if situation.options.image else None
        return as_dict(as_dict(found).get('Config'))
    return as_dict(situation.image.config.get('config'))


def _writable_databases(plan: planning.Plan, situation: planning.Situation) -> None:
    """Databases that lay in the container itself come with the image; the bundle's writable layer tells of them."""
    source = situation.source
    if not situation.options.image:
        remote = source.info.remote
        plan.result['databases'].extend(writable_databases(source) if remote is None else
                                        remote.document(inbox.DATABASES) or [])


def writable_databases(source: sources.Source) -> List[Dict[str, Any]]:
    """Records of the databases in the writable layer of a bundle."""
    found = []
    for part in source.of('writable'):
        if part.status == 'lost':
            continue
        folder = os.fsencode(tempfile.mkdtemp(prefix='lifeboat-'))
        try:
            stream = volumes_.open_archive(source.info, part.file)
            try:
                unpack.shadow(stream, os.fsdecode(part.file), folder)
            finally:
                stream.close()
            found.extend(dict(item, volume=None) for item in databases.find(folder))
        finally:
            removal.discard(folder)
    return found


def _check_postgresql(plan: planning.Plan, situation: planning.Situation, identifier: str) -> None:
    """Debian's layout tells the version by a folder, whatever the image's variables say."""
    for item in plan.result['databases']:
        version = databases.series('postgresql', item.get('version')) if item['engine'] == 'postgresql' else None
        if version is None:
            continue
        major = '.'.join(map(str, version))
        engine = situation.engine
        if engine.exists(identifier, '/usr/lib/postgresql') and not engine.exists(
                identifier, '/usr/lib/postgresql/%s/bin/postgres' % major):
            problem = ('The data of PostgreSQL in %s are of version %s, which the image does not have: it would not start. '
                       'Take an image of version %s, or dump and load.' % (item['path'], major, major))
            if planning.DATABASE_VERSION not in situation.options.ignore:
                raise LifeboatError(problem)
            plan.note(problem)


def _replaces(situation: planning.Situation) -> bool:
    return situation.existing is not None and not situation.same and situation.options.force


def _running(container: Optional[Dict[str, Any]]) -> bool:
    return as_dict(as_dict(container).get('State')).get('Running') is True


def _stop_step(situation: planning.Situation) -> Callable[[steps.Undo], None]:
    identifier = as_dict(situation.existing)['Id']

    def do(undo: steps.Undo) -> None:
        situation.engine.stop(identifier)
        undo.append(lambda: situation.engine.start(identifier))
    return do


def _replace_step(plan: planning.Plan, situation: planning.Situation) -> Callable[[steps.Undo], None]:
    engine, name, existing = situation.engine, situation.name, as_dict(situation.existing)
    create = _create_step(plan, situation)

    def do(undo: steps.Undo) -> None:
        aside = '%s-before-%s' % (name, time.strftime('%Y%m%d%H%M%S', time.gmtime()))
        engine.rename(existing['Id'], aside)
        undo.append(lambda: engine.rename(existing['Id'], name))
        create(undo)
        plan.result.setdefault('kept', []).append((_KeptContainer(plan, engine, existing['Id'], aside), name))
    return do


class _KeptContainer(object):
    def __init__(self, plan: planning.Plan, engine: engineapi.Engine, identifier: str, name: str) -> None:
        self.plan = plan
        self.engine = engine
        self.identifier = identifier
        self.name = name

    def keep(self) -> str:
        # it must not come up beside the new one
        try:
            self.engine.update_restart(self.identifier, {'Name': 'no', 'MaximumRetryCount': 0})
        except LifeboatError:
            host = as_dict(as_dict(self.engine.container(self.identifier)).get('HostConfig'))
            if as_dict(host.get('RestartPolicy')).get('Name') not in (None, '', 'no'):
                self.plan.doubt('ENGINE_LACKS', self.name, 'The container %s, which was replaced and is kept, could not be given another restart policy.'
                                % self.name, 'Remove it before the next reboot, or it starts beside the new one.')
        return self.name

    def drop(self) -> None:
        self.engine.remove('/containers/%s' % self.identifier, {'force': '1'})


def _settle(plan: planning.Plan, options: planning.Options, kept: List[Tuple[_KeptContainer, str]]) -> List[Dict[str, str]]:
    """After success: give what was replaced its final place -> list of {'was', 'now'}."""
    found = []
    # containers first: a volume may be needed by one that goes
    for item, name in sorted(kept, key=lambda pair: not isinstance(pair[0], _KeptContainer)):
        if isinstance(item, bytes):     # a folder, see folders
            found.append({'was': os.fsdecode(item), 'now': os.fsdecode(name)})
            continue
        try:
            if options.keep_old:
                found.append({'was': name, 'now': item.keep()})
            else:
                item.drop()
        except (LifeboatError, OSError) as exc:
            plan.note('What was replaced (%s) could not be %s: %s' % (name, 'kept' if options.keep_old else 'dropped', exc))
    return found


def _start_step(plan: planning.Plan, situation: planning.Situation) -> Callable[[steps.Undo], None]:
    engine, options, name = situation.engine, situation.options, situation.name

    def do(undo: steps.Undo) -> None:
        identifier = plan.result['container']['id']
        engine.start(identifier)
        undo.append(lambda: engine.stop(identifier, 10))
        if options.verify_start:
            if not _wait(engine, identifier, name, options.start_timeout):
                plan.note('%s runs, but its health check runs later than start_timeout, so it is not known whether it is healthy.' % name)
            policy = as_dict(as_dict(situation.wanted).get('HostConfig')).get('RestartPolicy')
            if policy and not engine.podman:
                engine.update_restart(identifier, policy)
        if situation.definition.paused:
            engine.pause(identifier)
        plan.result['container']['state'] = as_dict(as_dict(engine.container(identifier)).get('State')).get('Status')
    return do


def _wait(engine: engineapi.Engine, identifier: str, name: str, seconds: int) -> bool:
    """Until it is healthy, or has stayed up for a while; False if its first health check comes too late to wait for.
    Raises LifeboatError with the end of its log."""
    deadline = time.time() + seconds
    since = None
    while True:
        container = as_dict(engine.container(identifier))
        state = as_dict(container.get('State'))
        health = as_dict(state.get('Health')).get('Status')
        if state.get('Running') is not True or container.get('RestartCount'):
            raise LifeboatError('%s ended with status %s. The end of its log: %s' % (
                name, state.get('ExitCode'), _end_of_log(engine, identifier)))
        since = since or time.time()
        settled = time.time() - since >= SETTLE
        if health == 'healthy' or (health in (None, '', 'none') and settled):
            return True
        interval = as_dict(as_dict(container.get('Config')).get('Healthcheck')).get('Interval')
        if settled and isinstance(interval, int) and interval > seconds * 10 ** 9:
            return False
        if time.time() > deadline:
            raise LifeboatError('%s is not healthy after %d seconds (%s). The end of its log: %s' % (
                name, seconds, health or 'no health check', _end_of_log(engine, identifier)))
        time.sleep(0.5)


def _end_of_log(engine: engineapi.Engine, identifier: str) -> str:
    """The last lines of a container's log as one text of bounded length, without control characters."""
    said = ''.join(char if char.isprintable() or char in '\n\t' else '?' for char in engine.logs(identifier)).strip()
    return said[-LONGEST_LOG:] or '(nothing)'
