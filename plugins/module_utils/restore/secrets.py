"""Secrets of a bundle, made again on Podman. A value is read out of the bundle when it is needed and goes into the body of one request: it is in no
plan, message or result, and neither is a length or a checksum of it.

Podman tells values since 4.7. An older one is asked whether there is a secret of that name, and what is there is left as it is.
"""
import functools
import time
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional

from ..bundles import reading
from ..disk import metadata
from ..disk.errors import LifeboatError
from ..formats.patterns import Lazy
from ..formats.values import NOTHING, as_dict, as_list, as_str
from ..formats.wording import show
from . import volumes as volumes_

if TYPE_CHECKING:
    from .engineapi import Engine
    from .plan import Plan, Situation
    from .steps import Undo

KIND = 'secrets'                        # of the component, and the word of `restore`
FOLDER, INDEX = b'secrets/', b'secrets/secrets.json'
MAX_INDEX, MAX_VALUE, MOST = 8 << 20, 1 << 20, 10000           # Podman itself takes 512,000 bytes
NAME = Lazy(r'[^,/=\0]{1,253}\Z')       # common/pkg/secrets/secrets.go: secretNameRegexp
FILE = Lazy(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z')
PLACE = 'path'                          # the option of the driver `file`: a folder of the dead host
ONLY_PODMAN = 'A single Docker has no secrets: those of the bundle can be restored on Podman only.'
HIDDEN = '***'


class Recorded(NamedTuple):
    """A secret as the bundle has it."""
    name: str
    file: bytes                         # b'': it has no value
    missing: str                        # why not
    driver: str
    options: Dict[str, str] = NOTHING
    labels: Dict[str, str] = NOTHING


class Found(NamedTuple):
    """A secret as the engine has it. `value`: None where it is not told, or is no text that JSON can carry."""
    value: Optional[bytes]
    told: Optional[str]
    driver: str
    options: Dict[str, str]
    labels: Dict[str, str]


def recorded(info: reading.BundleInfo) -> List[Recorded]:
    """Those of a bundle, each name once; [] if it has none. LifeboatError where what it says of them cannot be believed."""
    if not any(reading.component_file(item) == INDEX for item in reading.components(info.manifest, KIND)):
        return []
    try:
        index = reading.parse(_content(info, INDEX, MAX_INDEX))
    except ValueError as exc:
        raise LifeboatError('%s of the bundle is damaged: %s.' % (show(INDEX), exc))
    found: Dict[str, Recorded] = {}
    for item in map(as_dict, as_list(index)[:MOST]):
        name, file = as_str(item.get('name')), as_str(item.get('file'))
        if not NAME.match(name) or file and not FILE.match(file):
            raise LifeboatError('%s of the bundle names %s, which is no secret of Podman.' % (show(INDEX), reading.brief(name or file)))
        found.setdefault(name, Recorded(name, FOLDER + file.encode('ascii') if file else b'', as_str(item.get('missing')), as_str(item.get('driver')),
                                        metadata.strings_of(item, 'driver_options'), metadata.strings_of(item, 'labels')))
    return list(found.values())


def _content(info: reading.BundleInfo, name: bytes, limit: int) -> bytes:
    """All bytes of a file of the bundle, which is on the controller perhaps. They are those that SHA256SUMS means."""
    stream = volumes_.open_archive(info, name, 'none')
    try:
        found = b''
        while len(found) <= limit:
            piece = stream.read(limit + 1 - len(found))
            if not piece:
                return found
            found += piece
    finally:
        stream.close()
    raise LifeboatError('%s of the bundle is too large.' % show(name))


def note_left_out(plan: 'Plan', situation: 'Situation') -> None:
    """That the bundle has secrets which nobody asked for."""
    if situation.engine.podman and reading.components(situation.source.info.manifest, KIND):
        plan.note('The bundle has the values of secrets, which are not restored: restore: [..., secrets] makes them again.')


def plan_secrets(plan: 'Plan', situation: 'Situation') -> None:
    """Make each secret of the bundle, unless the engine has it with the same value."""
    plan.result[KIND] = []
    found = recorded(situation.source.info)
    if not found:
        plan.lack('The bundle has no secrets; rescue it with secrets in include.')
    elif not situation.engine.podman:
        plan.refuse(ONLY_PODMAN)
    else:
        for item in found:
            _plan_secret(plan, situation, item)


def _plan_secret(plan: 'Plan', situation: 'Situation', item: Recorded) -> None:
    name = show(item.name)
    if not item.file:
        plan.doubt('SECRET_LOST', name, 'The bundle does not have the value of the secret %s: %s.' % (name, show(item.missing).rstrip('.') or 'it was lost'),
                   'Make it anew from where it came from (podman secret create).')
        return
    there, value = find(situation.engine, item.name), _content(situation.source.info, item.file, MAX_VALUE)
    action = 'create' if there is None else judge(there, value)
    plan.before.setdefault(KIND, {})[name] = HIDDEN if there is not None else None
    plan.after.setdefault(KIND, {})[name] = HIDDEN
    if there is not None and action == 'other':
        action = _replace_or_refuse(plan, situation, name, there)
    if not action:
        return
    if action == 'unknown':
        plan.doubt('SECRET_NOT_COMPARED', name, 'The secret %s is there already, and this Podman does not tell its value: it stays as it is.' % name,
                   'To have the value of the bundle, remove it (podman secret rm) and restore again.')
        action = 'keep'
    plan.result[KIND].append({'name': name, 'created': action == 'create', 'replaced': action == 'replace'})
    if there is None or action != 'keep':
        if PLACE in item.options:
            plan.note('The values of the secret %s lay in %s; they are kept where this Podman keeps those of its driver %s.' % (
                name, item.options[PLACE], item.driver or 'of containers.conf'))
        plan.add('secret', name, action, 'Replace the value of the secret %s; the old one is %s.' % (
            name, 'kept as a secret of its own' if situation.options.keep_old else 'dropped') if action == 'replace' else
            'Create the secret %s.' % name, _step(plan, situation, item, there))
        return
    plan.add('secret', name, 'keep', 'The secret %s is there already%s.' % (name, ' with this value' if there.value is not None else ''))
    _doubt_labels(plan, name, item.labels, there.labels)


def _replace_or_refuse(plan: 'Plan', situation: 'Situation', name: str, there: Found) -> str:
    """'replace', or '' after a refusal."""
    if not situation.options.force:
        plan.refuse('There is a secret named %s already, with another value; force: true would replace it.' % name)
    elif there.value is None:
        plan.refuse('The secret %s has another value, which Podman tells only in part (it is no text), so it could not be kept: remove it yourself '
                    '(podman secret rm).' % name)
    else:
        return 'replace'
    return ''


def find(engine: 'Engine', name: str) -> Optional[Found]:
    """The secret NAME of the engine, None if it has none of that name."""
    found = engine.secret(name)
    if found is None:
        return None
    spec, told = as_dict(found.get('Spec')), found.get('SecretData')
    if not isinstance(told, str) or not told:
        told = None                     # no secret is empty
    driver = as_dict(spec.get('Driver'))
    # Go puts U+FFFD in the place of each byte that is no text
    value = told.encode('utf-8', 'surrogatepass') if told is not None and '\ufffd' not in told else None
    return Found(value, told, as_str(driver.get('Name')), metadata.strings_of(driver, 'Options'), metadata.strings_of(spec, 'Labels'))


def judge(there: Found, value: bytes) -> str:
    """'keep': it has this VALUE; 'other'; 'unknown': the engine does not tell."""
    if there.told is None:
        return 'unknown'
    shown = ''.join('\ufffd' if '\udc80' <= char <= '\udcff' else char for char in value.decode('utf-8', 'surrogateescape'))
    if there.told != shown:
        return 'other'
    return 'keep' if there.value is not None else 'unknown'


def _step(plan: 'Plan', situation: 'Situation', item: Recorded, there: Optional[Found]) -> 'Callable[[Undo], None]':
    engine, info, name = situation.engine, situation.source.info, show(item.name)

    def do(undo: 'Undo') -> None:
        value = _content(info, item.file, MAX_VALUE)
        if there is not None and there.value is not None:
            aside = '%s-before-%s' % (item.name[:200], time.strftime('%Y%m%d%H%M%S', time.gmtime()))
            old = functools.partial(engine.create_secret, value=there.value, driver=there.driver, options=there.options, labels=there.labels)
            old(aside)
            undo.append(lambda: engine.remove_secret(aside))
            engine.remove_secret(item.name)
            undo.append(lambda: old(item.name))
            plan.result.setdefault('kept', []).append((_KeptSecret(engine, aside), item.name))
        engine.create_secret(item.name, value, item.driver, _options(item), item.labels)
        undo.append(lambda: engine.remove_secret(item.name))
        made = find(engine, item.name)
        if made is None or judge(made, value) == 'other':
            raise LifeboatError('Podman took the secret %s, and does not have it.' % name)
        _doubt_labels(plan, name, item.labels, made.labels)
    return do


def _options(item: Recorded) -> Dict[str, str]:
    """Those of the driver; not a folder of the dead host, which is none of this one, and which a bundle could choose."""
    return dict((key, value) for key, value in item.options.items() if key != PLACE)


def _doubt_labels(plan: 'Plan', name: str, wanted: Dict[str, str], found: Dict[str, str]) -> None:
    lacking = sorted(key for key, value in wanted.items() if found.get(key) != value)
    if lacking:
        plan.doubt('NOT_AS_ASKED', name, 'The secret %s does not have these labels as they were recorded: %s.' % (name, show(', '.join(lacking))),
                   'Look at it with podman secret inspect.')


class _KeptSecret(object):
    """The value that a secret had, under the name ASIDE."""

    def __init__(self, engine: 'Engine', aside: str) -> None:
        self._engine, self._aside = engine, aside

    def keep(self) -> str:
        return self._aside

    def drop(self) -> None:
        self._engine.remove_secret(self._aside)
