"""What the kinds have in common: compose files of a folder, files beside them, command lines that start containers."""
import posixpath
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ..formats.wording import show, text
from . import ran
from .model import Left, NotTaken, Place, Scene, Stack, Wanted, note

# in the order in which Compose looks for them
COMPOSE_NAMES = (b'compose.yaml', b'compose.yml', b'docker-compose.yml', b'docker-compose.yaml')
OVERRIDES = (b'compose.override.yml', b'compose.override.yaml', b'docker-compose.override.yml', b'docker-compose.override.yaml')
WORKING_DIR, CONFIG_FILES, ENVIRONMENT_FILE = (
    'com.docker.compose.project.working_dir', 'com.docker.compose.project.config_files', 'com.docker.compose.project.environment_file')
# a command that starts containers; what lies between the program and its word are options
STARTS = re.compile(r'(?:^|[\s;&|(`"\'=/!@:-])(?:(?:docker|podman|nerdctl|docker-compose|podman-compose)\b[^\n;|&]{0,400}?\s'
                    r'(?:run|start|restart|create|compose|stack\s+deploy|service\s+create|play|kube|up)\b)')
# an absolute path in a command line
PATHS = re.compile(r'(?<![\w.$}*?~-])(/[A-Za-z0-9_.@+=,%/-]{2,400})')
COMMENT = re.compile(r'(?:^|\s)#.*')
MOST_LINE = 20000
MOST_USERS = 5000
MOST_NAMED = 500                        # paths of one label, or of one command


def homes(scene: Scene) -> Iterator[bytes]:
    """Yield the homes of root and of every user, as the dead host knew them: folders of /home, and what /etc/passwd says of others."""
    yield b'/root'
    yield from scene.door.glob(b'/home/*')
    told = set()
    for line in scene.door.text(b'/etc/passwd').split('\n')[:MOST_USERS]:
        fields = line.split(':')
        home = posixpath.normpath(fields[5]).encode('utf-8', 'surrogateescape') if len(fields) > 6 and fields[5].startswith('/') else b'/'
        if home not in told and home.strip(b'/') and home != b'/root' and posixpath.dirname(home) != b'/home' and b'\0' not in home:
            told.add(home)
            yield home


def compose_in(scene: Scene, folder: bytes) -> Tuple[Place, ...]:
    """The compose files that Compose itself would take in FOLDER of the host; () if there is none."""
    first = next((place for place in (scene.door.maybe(name, folder) for name in COMPOSE_NAMES) if place is not None), None)
    if first is None:
        return ()
    override = next((place for place in (scene.door.maybe(name, folder) for name in OVERRIDES) if place is not None), None)
    return (first, override) if override is not None else (first,)


def wanted(scene: Scene, folder: bytes, names: Sequence[bytes], role: str) -> Iterator[Wanted]:
    """Yield a Wanted for each of NAMES that is a file in FOLDER."""
    for place in scene.door.beside(folder, names).values():
        yield Wanted(place, role)


def globbed(scene: Scene, pattern: bytes, role: str) -> Iterator[Wanted]:
    """Yield a Wanted for each file that matches PATTERN."""
    for path in scene.door.glob(pattern):
        place = scene.door.maybe(path)
        if place is not None:
            yield Wanted(place, role)


def folders(scene: Scene, kind: str, pattern: bytes, evidence: str, more: Any = None) -> Iterator[Stack]:
    """Yield the Stack of each folder that matches PATTERN and has a compose file. MORE(folder) gives further Wanted of it."""
    for folder in scene.door.glob(pattern):
        compose = compose_in(scene, folder)
        files = tuple(more(folder)) if more is not None else ()
        if compose or files:
            name = text(posixpath.basename(folder))
            yield Stack(kind, name, '%s in %s' % (evidence, show(folder)), text(folder), folder, compose, files=files, project=project_of(scene, compose, name))


def project_of(scene: Scene, compose: Iterable[Place], name: str) -> str:
    """Compose's name of the project with these files: of a container whose labels name one of them, or else made from NAME as Compose
    does it."""
    paths = {place.path for place in compose} | {scene.door.disk.to_host(place.real) for place in compose}
    for container in scene.containers:
        if paths & set(label_paths(scene, container.labels)):
            return container.labels.get(ran.PROJECT, '')
    return re.sub(r'[^a-z0-9_-]', '', name.lower()).lstrip('_-')


def label_paths(scene: Scene, labels: Dict[str, str]) -> List[bytes]:
    """The compose files that labels name, as absolute paths, whether they are there or not."""
    found = []
    for item in split(labels.get(CONFIG_FILES, '')):
        try:
            found.append(scene.door.absolute(item, scene.door.absolute(labels[WORKING_DIR]) if labels.get(WORKING_DIR) else b''))
        except NotTaken:
            continue
    return found


def split(value: str) -> List[str]:
    """The paths that a label lists."""
    return [item.strip() for item in value.split(',') if item.strip()][:MOST_NAMED]


def found_named(scene: Scene, items: Iterable[str], base: bytes, named_by: str) -> Tuple[Tuple[Place, ...], Tuple[Left, ...]]:
    """(Places, what is left out) of paths that labels name."""
    places: List[Place] = []
    left: List[Left] = []
    for item in items:
        try:
            places.append(scene.door.find_named(item, base))
        except NotTaken as exc:
            left.append(note(item, exc, named_by))
    return tuple(places), tuple(left)


def starts_containers(line: str) -> bool:
    """Does a command line start containers?"""
    return bool(STARTS.search(COMMENT.sub('', line[:MOST_LINE])))


def scripts_of(scene: Scene, command: str) -> List[Place]:
    """The files that a command line names by absolute path and that are scripts which start containers."""
    found = []
    for path in PATHS.findall(command[:MOST_LINE])[:MOST_NAMED]:
        place = script(scene, path)
        if place is not None:
            found.append(place)
    return found


def script(scene: Scene, path: Any) -> Optional[Place]:
    """The Place of a script that starts containers; None for every other file."""
    place = scene.door.maybe(path)
    if place is None:
        return None
    try:
        data = scene.door.read(place)
    except NotTaken:
        return None
    if b'\0' in data or not any(word in data for word in (b'docker', b'podman', b'nerdctl')):
        return None
    lines = [line for line in data.decode('utf-8', 'replace').replace('\\\n', ' ').split('\n') if not line.lstrip().startswith('#')]
    return place if any(starts_containers(line) for line in lines) else None


def compose_files_of(scene: Scene, command: str, base: bytes = b'') -> List[Place]:
    """The compose files that a command line names with -f or --file."""
    found = []
    for match in re.finditer(r'(?:\s-f|\s--file)[ =]+(["\']?)([^\s"\';|&]+)\1', command[:MOST_LINE]):
        place = scene.door.maybe(match.group(2), base) if match.group(2).startswith('/') or base else None
        if place is not None and re.search(r'\.ya?ml\Z', match.group(2)):
            found.append(place)
    return found
