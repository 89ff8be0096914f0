"""What Compose would change if the original files were started again: each difference between them and what ran, as a row.

A row says what the file wants and what ran; values of variables are never in it. What cannot be decided is a sentence of its own.
"""
import re
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ..formats import redact
from ..formats.values import as_dict
from ..formats.variables import Text, Undecided
from ..formats.wording import show
from . import ran as runs, service as services
from .project import Project
from .ran import Ran
from .service import Mount, Port, Service, Words

MOST_ROWS = 1000
LONGEST = 300                           # characters of a cell
KEYS = ('project', 'service', 'container', 'what', 'name', 'file', 'ran')
_SCALE = re.compile(r'(?:.*/)?[^/]*:[^/:]+\Z')


class Result(NamedTuple):
    """`rows`: dictionaries with KEYS; `undecided`: sentences; `compared`: names of containers."""
    rows: Tuple[Dict[str, str], ...]
    undecided: Tuple[str, ...]
    compared: Tuple[str, ...]


class _Sheet(object):
    """Where the rows of one container go."""

    def __init__(self, project: str, service: str, container: str) -> None:
        self.where = {'project': show(project), 'service': show(service), 'container': show(container)}
        self.rows: List[Dict[str, str]] = []
        self.undecided: List[str] = []

    def row(self, what: str, name: str, file: str, there: str) -> None:
        self.rows.append(dict(self.where, what=what, name=_cell(name), file=_cell(file), ran=_cell(there)))

    def open(self, what: str, why: Any) -> None:
        """WHAT cannot be decided."""
        self.undecided.append('%s of %s: %s' % (what, self.where['container'] or self.where['service'], show(why)))


def _cell(text: str) -> str:
    found = show(redact.text(text))
    return found if len(found) <= LONGEST else found[:LONGEST] + '...'


def compare(project: Project, containers: Iterable[Ran], whole: bool, others: Iterable[str] = ()) -> Result:
    """The Result for a Project and the containers that its labels name. WHOLE: these are all that there are, but for those of the services
    OTHERS."""
    rows: List[Dict[str, str]] = []
    undecided: List[str] = []
    compared, seen = [], set(others)
    here = [one for one in containers if not one.oneoff]
    if project.unread:
        return Result((), tuple('Project %s: %s' % (show(project.name), why) for why in project.unread), ())
    for one in here:
        sheet = _Sheet(project.name, one.service, one.name)
        seen.add(one.service)
        wanted = project.services.get(one.service)
        if wanted is None:
            sheet.row('service', one.service, '(not in the files)', 'a container')
        elif one.lost:
            sheet.open('everything', 'its own definition could not be read')
        else:
            compared.append(one.name)
            _container(sheet, project, wanted, one)
        rows.extend(sheet.rows)
        undecided.extend(sheet.undecided)
    for name, wanted in sorted(project.services.items()) if whole and here else ():
        if name not in seen and not wanted.optional:
            sheet = _Sheet(project.name, name, '')
            sheet.row('service', name, 'a service', '(no container)')
            rows.extend(sheet.rows)
    return Result(tuple(rows[:MOST_ROWS]), tuple(undecided[:MOST_ROWS]), tuple(compared))


def _container(sheet: _Sheet, project: Project, wanted: Service, one: Ran) -> None:
    for why in wanted.undecided:
        sheet.open('a part', why)
    _image(sheet, project, wanted, one)
    _environment(sheet, wanted, one)
    _commands(sheet, wanted, one)
    _ports(sheet, wanted, one)
    _mounts(sheet, project, wanted, one)
    _networks(sheet, project, wanted, one)


# -- image, variables, commands -------------------------------------------------------------------------------------------------------


def normal(reference: str) -> str:
    """A reference with everything that engines add by themselves."""
    name, at, digest = reference.partition('@')
    first, slash, rest = name.partition('/')
    if not slash or not ('.' in first or ':' in first or first == 'localhost'):
        name = 'docker.io/' + (name if slash else 'library/' + name)
    elif first == 'index.docker.io':
        name = 'docker.io/' + rest
    if not at and not _SCALE.match(name):
        name += ':latest'
    return name + at + digest


def _image(sheet: _Sheet, project: Project, wanted: Service, one: Ran) -> None:
    image = wanted.image
    if isinstance(image, Undecided):
        sheet.open('image', image.why)
        return
    known = one.image or one.image_id or '(unknown)'
    if not image:
        names = ['%s%s%s' % (project.name, sign, one.service) for sign in '-_'] if wanted.built else []
        if not names:
            sheet.open('image', 'the files name none')
        elif normal(one.image) not in map(normal, names):
            sheet.row('image', '', '%s (built)' % names[0], known)
    elif not one.image or one.image.startswith('sha256:') or one.image == one.image_id:
        sheet.open('image', 'the reference that it was created from is not recorded')
    elif normal(image) != normal(one.image):
        sheet.row('image', '', image, known)


def _environment(sheet: _Sheet, wanted: Service, one: Ran) -> None:
    asked: Dict[str, Optional[Text]] = dict(wanted.from_files, **wanted.environment)
    image = runs.pairs(one.defaults.env) if one.defaults is not None else {}
    for name, value in sorted(asked.items()):
        if isinstance(value, Undecided):
            sheet.open('environment %s' % show(name), value.why)
        elif name not in one.environment:
            sheet.row('environment', name, 'set', 'not set')
        elif one.environment[name] != value:
            sheet.row('environment', name, 'set', 'set to another value')
    for name, text in sorted(one.environment.items()):
        if name in asked or image.get(name) == text:
            continue
        if one.defaults is None:
            sheet.open('environment %s' % show(name), 'it may come from the image, which is lost')
        else:
            sheet.row('environment', name, 'set by the image to another value' if name in image else 'not set', 'set')


def _commands(sheet: _Sheet, wanted: Service, one: Ran) -> None:
    for what, asked, there in (('entrypoint', wanted.entrypoint, one.entrypoint), ('command', wanted.command, one.command)):
        expected: Words = asked
        if asked is None and what == 'command' and wanted.entrypoint is not None:
            expected = ()               # with an entrypoint of its own the image's command does not count
        elif asked is None:
            expected = getattr(one.defaults, what) if one.defaults is not None else Undecided('it is that of the image, which is lost')
        if isinstance(expected, Undecided):
            sheet.open(what, expected.why)
        elif tuple(expected or ()) != tuple(there):
            sheet.row(what, '', _argv(expected or ()) + (' (of the image)' if asked is None else ''), _argv(there))


def _argv(words: Tuple[str, ...]) -> str:
    return ' '.join(runs.words(words)) or '(none)'


# -- ports and mounts ----------------------------------------------------------------------------------------------------------------------


def _ports(sheet: _Sheet, wanted: Service, one: Ran) -> None:
    left = list(one.ports)
    for asked in wanted.ports:
        match = next((port for port in left if port.target == asked.target and port.address == asked.address and _published(asked, port)), None)
        if match is not None:
            left.remove(match)
        else:
            sheet.row('port', asked.target, runs.shown_port(asked), 'not published so')
    for port in left:
        sheet.row('port', port.target, 'not published so', runs.shown_port(port))


def _published(asked: Port, there: Port) -> bool:
    """Is the port that was published one that was asked for?"""
    wanted, found = services.numbers(asked.published), services.numbers(there.published)
    if wanted is not None and found is not None and '-' in asked.published:
        return wanted[0] <= found[0] and found[1] <= wanted[1]
    return asked.published == there.published


def _mounts(sheet: _Sheet, project: Project, wanted: Service, one: Ran) -> None:
    expected, closed = dict(_wanted_mounts(sheet, project, wanted)), set()
    for target, asked in sorted(expected.items()):
        there = one.mounts.get(target)
        if isinstance(asked, Undecided):
            closed.add(target)
            sheet.open('mount %s' % show(target), asked.why)
        elif there is None:
            sheet.row('mount', target, runs.shown_mount(asked), 'not mounted')
        elif there != asked:
            sheet.row('mount', target, runs.shown_mount(asked), runs.shown_mount(there))
    declared = set(map(services.clean_path, one.defaults.volumes)) if one.defaults is not None else set()
    for target, there in sorted(one.mounts.items()):
        if target in expected or target in one.anonymous and target in declared:
            continue
        if target in one.anonymous and one.defaults is None:
            sheet.open('mount %s' % show(target), 'it may be a volume of the image, which is lost')
        elif any(why.startswith('volumes:') for why in wanted.undecided):
            sheet.open('mount %s' % show(target), 'a volume of the files could not be read')
        else:
            sheet.row('mount', target, 'not mounted', runs.shown_mount(there))


def _wanted_mounts(sheet: _Sheet, project: Project, wanted: Service) -> Iterator[Tuple[str, Any]]:
    """Yield (target, Mount or Undecided): volumes by the engine's names, and secrets and configs that are files."""
    for target, mount in wanted.mounts.items():
        if mount.type == 'volume' and mount.source:
            name = services.named(project.volumes, mount.source, project.name)
            yield target, name if isinstance(name, Undecided) else mount._replace(source=name)
        else:
            yield target, mount
    for granted, files, known in ((wanted.secrets, project.secrets, 'secret'), (wanted.configs, project.configs, 'config')):
        for key, target in granted:
            path = files.get(key)
            if isinstance(path, Undecided):
                yield target, path
            elif path is not None:
                yield target, Mount('bind', path, True)
            else:
                sheet.open('%s %s' % (known, show(key)), 'it is no file')


# -- networks -----------------------------------------------------------------------------------------------------------------------------


def _networks(sheet: _Sheet, project: Project, wanted: Service, one: Ran) -> None:
    mode = wanted.network_mode
    if isinstance(mode, Undecided):
        sheet.open('network_mode', mode.why)
    elif mode:
        kind = 'container:' if mode.startswith(('service:', 'container:')) else mode
        there = one.network_mode or 'default'
        if not (there.startswith(kind) if kind == 'container:' else there == kind):
            sheet.row('network', '', 'network_mode %s' % mode, 'network_mode %s' % there)
    else:
        expected = set()
        for key in wanted.networks if wanted.networks is not None else ('default',):
            name = services.named(project.networks, key, project.name)
            if isinstance(name, Undecided):
                sheet.open('network %s' % show(key), name.why)
                return
            expected.add(name)
        names = set(one.networks)
        if not names and one.network_mode not in ('', 'default', 'bridge'):
            names = {one.network_mode}
        for name in sorted(expected - names):
            sheet.row('network', name, 'connected', 'not connected')
        for name in sorted(names - expected):
            sheet.row('network', name, 'not connected', 'connected')


def as_rows(value: Any) -> List[Dict[str, str]]:
    """Rows of a deployment.json that somebody wrote: texts only."""
    return [{key: show(as_dict(item).get(key) or '') for key in KEYS} for item in value if isinstance(item, dict)] if isinstance(value, list) else []
