"""A service of a compose file in plain terms: what Compose would ask the engine for. Pure functions; what cannot be decided is Undecided."""
import posixpath
import re
import shlex
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..formats.values import NOTHING, as_dict, as_list
from ..formats.variables import Lookup, Room, Text, Undecided
from ..formats.yamlread import Odd, resolve

MOST_PORTS = 2000                       # of one service
DEEPEST = 30
Words = Union[None, Tuple[str, ...], Undecided]
_PORT = re.compile(r'(?:(?:(\[[0-9A-Fa-f:.%]+\]|[0-9.]*):)?([0-9]{0,5}(?:-[0-9]{1,5})?):)?([0-9]{1,5}(?:-[0-9]{1,5})?)(?:/([a-z]+))?\Z')
_PUBLISHED = re.compile(r'([0-9]{1,5})(?:-([0-9]{1,5}))?\Z')


class Port(NamedTuple):
    """`address` '' is every address, `published` '' one that the engine chooses; it may be a range."""
    target: str                         # 80/tcp
    address: str = ''
    published: str = ''


class Mount(NamedTuple):
    """`source`: absolute path of a bind, name of a volume, '' of a tmpfs or an anonymous volume."""
    type: str
    source: str
    read_only: bool = False


class EnvReference(NamedTuple):
    path: Text
    required: bool = True
    raw: bool = False                   # values are not interpolated


class Service(NamedTuple):
    """Fields that a file does not set have their default, so that files can be laid over each other, see :func:`over`."""
    image: Optional[Text] = None
    built: bool = False
    entrypoint: Words = None
    command: Words = None
    environment: Dict[str, Optional[Text]] = NOTHING    # None: from the shell
    env_files: Tuple[EnvReference, ...] = ()
    from_files: Dict[str, Optional[Text]] = NOTHING     # of those env files; what `environment` has counts more
    ports: Tuple[Port, ...] = ()
    mounts: Dict[str, Mount] = NOTHING
    networks: Optional[Tuple[str, ...]] = None          # keys of the file
    network_mode: Optional[Text] = None
    secrets: Tuple[Tuple[str, str], ...] = ()           # (key, where it is mounted)
    configs: Tuple[Tuple[str, str], ...] = ()
    optional: bool = False              # has profiles, or no replicas
    undecided: Tuple[str, ...] = ()     # clauses


def interpolated(value: Any, lookup: Lookup, depth: int = 0, room: Optional[Room] = None) -> Any:
    """A value of yamlread.loads() with its variables replaced; Undecided where that cannot be done. ROOM: for all that is replaced."""
    room = Room() if room is None else room
    if depth > DEEPEST:
        return Undecided('it is nested too deep')
    if isinstance(value, str):
        return room.expand(value, lookup) if '$' in value else value
    if isinstance(value, dict):
        return {key: interpolated(item, lookup, depth + 1, room) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, lookup, depth + 1, room) for item in value]
    return value


def scalar(value: Any) -> Optional[Text]:
    """A scalar as Compose writes it into a text; None for null."""
    if isinstance(value, Undecided):
        return value
    value = resolve(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        if 'e' in text or 'n' in text:
            return Undecided('a number that is written in another way by every program')
        return text[:-2] if text.endswith('.0') else text
    # not the value itself: it may be a secret
    return Undecided('a date or a large number, which Compose changes' if isinstance(value, Odd) else 'a value that is no text')


def text_of(value: Any) -> str:
    """The same where only a text counts; '' for everything else."""
    found = scalar(value)
    return found if isinstance(found, str) else ''


def is_true(value: Any) -> bool:
    return resolve(value) is True or value == 'true'


def words(value: Any) -> Words:
    """A command: a list, or a text in the words of a shell."""
    if isinstance(value, list):
        found: List[str] = []
        for item in value:
            one = scalar(item)
            if isinstance(one, Undecided):
                return one
            found.append(one or '')
        return tuple(found)
    one = scalar(value)
    if one is None or isinstance(one, Undecided):
        return one
    try:
        return tuple(shlex.split(one))
    except ValueError:
        return Undecided('a quote in it is not closed')


def service(value: Any, folder: str) -> Service:
    """The Service of a mapping of a compose file, interpolated. FOLDER: what its relative paths are relative to."""
    if not isinstance(value, dict):
        return Service(undecided=('it is no mapping',)) if value not in (None, '') else Service()
    undecided: List[str] = []
    return Service(
        image=scalar(value.get('image')), built=value.get('build') not in (None, ''), entrypoint=words(value.get('entrypoint')),
        command=words(value.get('command')), environment=environment(value.get('environment'), undecided),
        env_files=tuple(env_references(value.get('env_file'), undecided)), ports=tuple(_ports(value.get('ports'), undecided)),
        mounts=dict(_mounts(value, folder, undecided)), networks=_networks(value.get('networks'), undecided),
        network_mode=scalar(value.get('network_mode')), secrets=tuple(_granted(value.get('secrets'), '/run/secrets', undecided)),
        configs=tuple(_granted(value.get('configs'), '/', undecided)),
        optional=bool(as_list(value.get('profiles'))) or text_of(value.get('scale')) == '0' or
        text_of(as_dict(value.get('deploy')).get('replicas')) == '0', undecided=tuple(undecided))


def over(below: Service, top: Service) -> Service:
    """TOP laid over BELOW, as Compose merges files, and a service over the one that it extends."""
    found: Dict[str, Any] = {}
    for field in Service._fields:
        low, high = getattr(below, field), getattr(top, field)
        if field in ('environment', 'from_files', 'mounts'):
            low = dict(low, **high)
        elif field in ('env_files', 'ports', 'undecided', 'secrets', 'configs'):
            low = low + tuple(item for item in high if item not in low)
        elif field == 'networks':
            low = high if low is None else low if high is None else low + tuple(name for name in high if name not in low)
        elif high not in (None, False):
            low = high
        found[field] = low
    return Service(**found)


def environment(value: Any, undecided: List[str]) -> Dict[str, Optional[Text]]:
    """{name: value, None where the shell gives it} of a mapping or a list."""
    if isinstance(value, dict):
        return {name: scalar(item) for name, item in value.items()}
    found: Dict[str, Optional[Text]] = {}
    for item in _several(value, 'environment', undecided):
        text = scalar(item)
        if isinstance(text, Undecided) or text is None:
            undecided.append('environment: %s' % (text.why if text is not None else 'an empty entry'))
            continue
        name, sign, rest = text.partition('=')
        found[name] = rest if sign else None
    return found


def env_references(value: Any, undecided: List[str]) -> List[EnvReference]:
    """The files of `env_file`, in their order."""
    found = []
    for item in [value] if isinstance(value, (str, dict, Undecided)) and value != '' else _several(value, 'env_file', undecided):
        if isinstance(item, dict):
            path = scalar(item.get('path'))
            required = item.get('required')
            found.append(EnvReference(path or '', required is None or is_true(required), text_of(item.get('format')) == 'raw'))
        else:
            found.append(EnvReference(scalar(item) or ''))
    return found


def _several(value: Any, what: str, undecided: List[str]) -> List[Any]:
    if isinstance(value, list):
        return value
    if value not in (None, ''):
        undecided.append('%s: %s' % (what, value.why if isinstance(value, Undecided) else 'it is no list'))
    return []


# -- ports ------------------------------------------------------------------------------------------------------------------------


def _ports(value: Any, undecided: List[str]) -> List[Port]:
    found: List[Port] = []
    for item in _several(value, 'ports', undecided):
        made = _long_port(item) if isinstance(item, dict) else short_ports(scalar(item))
        if isinstance(made, Undecided):
            undecided.append('ports: %s' % made.why)
        elif len(found) + len(made) > MOST_PORTS:
            undecided.append('ports: there are more than %d' % MOST_PORTS)
            break
        else:
            known = frozenset(found)
            found.extend(one for one in made if one not in known)
    return found


def numbers(text: str) -> Optional[Tuple[int, int]]:
    """(first, last) of a published port, or of a range of ports; None for what is neither."""
    match = _PUBLISHED.match(text)
    return (int(match.group(1)), int(match.group(2) or match.group(1))) if match else None


def _long_port(item: Dict[str, Any]) -> Union[List[Port], Undecided]:
    values = [scalar(item.get(key)) for key in ('target', 'protocol', 'host_ip', 'published')]
    for value in values:
        if isinstance(value, Undecided):
            return value
    target, protocol, address, published = (str(value or '') for value in values)
    return [Port('%s/%s' % (target, protocol or 'tcp'), _address(address), published)]


def short_ports(text: Optional[Text]) -> Union[List[Port], Undecided]:
    """The Ports of the short syntax: [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL], the numbers also as ranges."""
    if isinstance(text, Undecided) or text is None:
        return text or Undecided('an empty port')
    match = _PORT.match(text)
    if match is None:
        return Undecided('%s is no port' % text[:40])
    address, published, target, protocol = (group or '' for group in match.groups())
    targets, wanted = _range(target), _range(published)
    if targets is None or wanted is None or len(targets) > 1 and published and len(wanted) != len(targets):
        return Undecided('%s is no range of ports' % text[:40])
    if len(targets) == 1:
        wanted = [published]
    if not published:
        wanted = [''] * len(targets)
    return [Port('%s/%s' % (one, protocol or 'tcp'), _address(address.strip('[]')), host) for one, host in zip(targets, wanted)]


def _range(text: str) -> Optional[List[str]]:
    first, dummy, last = text.partition('-')
    if not text:
        return []
    low, high = int(first or '0'), int(last or first)
    return None if not low <= high < 65536 or high - low > MOST_PORTS else [str(number) for number in range(low, high + 1)]


def _address(text: str) -> str:
    return '' if text in ('0.0.0.0', '::', '*') else text


# -- mounts -----------------------------------------------------------------------------------------------------------------------


def _mounts(value: Dict[str, Any], folder: str, undecided: List[str]) -> List[Tuple[str, Mount]]:
    found: List[Tuple[str, Mount]] = []
    for item in _several(value.get('volumes'), 'volumes', undecided):
        made = _long_mount(item, folder) if isinstance(item, dict) else short_mount(scalar(item), folder)
        if isinstance(made, Undecided):
            undecided.append('volumes: %s' % made.why)
        else:
            found.append(made)
    tmpfs = value.get('tmpfs')
    for item in [tmpfs] if isinstance(tmpfs, str) and tmpfs else _several(tmpfs, 'tmpfs', undecided):
        found.append((_target(text_of(item).partition(':')[0]), Mount('tmpfs', '')))
    return found


def _long_mount(item: Dict[str, Any], folder: str) -> Union[Tuple[str, Mount], Undecided]:
    kind, source, target = (scalar(item.get(key)) for key in ('type', 'source', 'target'))
    for value in (kind, source, target):
        if isinstance(value, Undecided):
            return value
    kind, source = str(kind or 'volume'), str(source or '')
    if kind == 'bind':
        place = _host_path(source, folder)
        if isinstance(place, Undecided):
            return place
        source = place
    return _target(str(target or '')), Mount(kind, source, is_true(item.get('read_only')))


def short_mount(text: Optional[Text], folder: str) -> Union[Tuple[str, Mount], Undecided]:
    """(target, Mount) of the short syntax: [SOURCE:]TARGET[:MODE]."""
    if isinstance(text, Undecided) or not text:
        return text or Undecided('an empty volume')
    parts = text.split(':')
    if len(parts) == 1:
        return _target(text), Mount('volume', '')
    if len(parts) > 3:
        return Undecided('%s is no volume' % text[:80])
    source, target, mode = parts[0], parts[1], parts[2] if len(parts) == 3 else ''
    kind = 'volume'
    if source.startswith(('.', '/', '~')):
        place = _host_path(source, folder)
        if isinstance(place, Undecided):
            return place
        kind, source = 'bind', place
    return _target(target), Mount(kind, source, 'ro' in mode.split(','))


def _host_path(text: str, folder: str) -> Text:
    if text.startswith('~'):
        return Undecided('%s is in the home of whoever called Compose' % text[:80])
    if not text.startswith('/') and not folder:
        return Undecided('%s is relative, and the folder of the project is not known' % text[:80])
    return clean_path(posixpath.join(folder, text))


def clean_path(text: str) -> str:
    """A path without . and .. and further slashes."""
    return '/' + posixpath.normpath(text).lstrip('/')


def _target(text: str) -> str:
    return clean_path(text) if text.startswith('/') else text


# -- the rest ----------------------------------------------------------------------------------------------------------------------


def _networks(value: Any, undecided: List[str]) -> Optional[Tuple[str, ...]]:
    if isinstance(value, dict):
        return tuple(value)
    if value in (None, ''):
        return None
    return tuple(text_of(item) for item in _several(value, 'networks', undecided))


def _granted(value: Any, folder: str, undecided: List[str]) -> List[Tuple[str, str]]:
    """(key, target) of secrets or configs of a service."""
    found = []
    for item in _several(value, 'secrets and configs', undecided):
        if isinstance(item, dict):
            key, target = text_of(item.get('source')), text_of(item.get('target'))
        else:
            key, target = text_of(item), ''
        found.append((key, clean_path(posixpath.join(folder, target or key))))
    return found


def named(kind: Mapping[str, Any], key: str, project: str) -> Text:
    """The engine's name of the volume or network KEY. KIND: the section `volumes` or `networks` of the file, interpolated."""
    about = as_dict(kind.get(key))
    external = about.get('external')
    name = scalar(about.get('name'))
    if name:
        return name
    if isinstance(external, dict):
        return scalar(external.get('name')) or key
    return key if is_true(external) else '%s_%s' % (project, key)
