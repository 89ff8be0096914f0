"""Records of how containers were deployed: what a kind finds, what is taken of it, what is left out."""
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

from ..formats.values import NOTHING

if TYPE_CHECKING:
    from ..records.model import Container
    from .door import Door

# why a file is not taken
MISSING, REFUSED, UNREADABLE, TOO_LARGE, ELSEWHERE, CLOSED, ON_REQUEST, UNKNOWN = (
    'missing', 'refused', 'unreadable', 'too large', 'elsewhere', 'not looked into', 'on request', 'not understood')

# what a file is
COMPOSE, ENV_FILE, DOCKERFILE, SECRET, CONFIG, UNIT, SCRIPT, TEMPLATE, SETTINGS = (
    'compose file', 'env file', 'Dockerfile', 'secret', 'config', 'unit', 'script', 'template', 'settings')
CONFIDENTIAL = frozenset((ENV_FILE, SECRET, SETTINGS))


class NotTaken(Exception):
    """A file, or a folder, that is not taken. `kind` is one of the words above, `why` a clause. `denied`: only another user may see it, which is no
    damage."""

    def __init__(self, kind: str, why: str, denied: bool = False) -> None:
        Exception.__init__(self, why)
        self.kind, self.why, self.denied = kind, why, denied


class Place(NamedTuple):
    """A file or folder that came through the door. `path`: as the dead host saw it; `real`: on the managed node, without links;
    `home`: the folder on the node that a container could write and that holds it, None where no container could."""
    path: bytes
    real: bytes
    home: Optional[bytes] = None


class Left(NamedTuple):
    """What was named and is not taken."""
    path: str
    kind: str
    why: str
    named_by: str


class Wanted(NamedTuple):
    """One file beside the compose files that belongs to a deployment."""
    place: Place
    role: str


class Stack(NamedTuple):
    """One deployment as a kind finds it. `folder` is the project's folder as Compose knew it (text), `base` the folder on the dead host
    that the paths in its files are relative to."""
    kind: str                           # compose | portainer | dockge | ...
    name: str                           # of the project, the app, the unit
    evidence: str                       # what told of it: a sentence without its end
    folder: str = ''
    base: bytes = b''
    compose: Tuple[Place, ...] = ()     # compose files, the first one first
    env_files: Optional[Tuple[Place, ...]] = None       # that Compose reads variables from; None: .env of its folder
    env: Dict[str, str] = NOTHING       # variables that a program hands to Compose
    files: Tuple[Wanted, ...] = ()
    trees: Tuple[Place, ...] = ()       # folders that are archived whole, up to a size
    left: Tuple[Left, ...] = ()
    project: str = ''                   # of Compose, '' where it is none of its
    containers: Tuple[str, ...] = ()    # IDs of those whose labels name exactly these files


class Scene(NamedTuple):
    """What a kind looks at. `containers`: those that are rescued; `whole`: all of the host are, so its usual places are searched;
    `credentials`: those of registries and other hosts are wanted, too."""
    door: 'Door'
    containers: Tuple['Container', ...]
    volumes: Tuple[Tuple[str, bytes], ...]      # (name, folder on the managed node)
    whole: bool
    credentials: bool = False


class Kind(NamedTuple):
    """A kind of source, a file of kinds/. `usual`: it searches the places of a program or of the host, so only where `Scene.whole`."""
    name: str
    find: Callable[[Scene], Iterator[Stack]]
    usual: bool = True


def note(place: Any, exc: NotTaken, named_by: str) -> Left:
    """The Left of a path (bytes or text) for the reason EXC."""
    from ..formats.wording import show
    return Left(show(place), exc.kind, exc.why, named_by)
