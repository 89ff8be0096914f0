"""What the engine's command line keeps in a home: credentials of registries, and contexts (other hosts, with keys). Only on request."""
import posixpath
from typing import Any, Iterator, List

from ...formats import jsonish
from ...formats.wording import show, text
from ..model import ON_REQUEST, SECRET, Kind, Left, NotTaken, Place, Scene, Stack, Wanted

NAME = 'client'
HOMES = (b'/root', b'/home/*')
CREDENTIALS = (b'.docker/config.json', b'.dockercfg', b'.config/containers/auth.json')
CONTEXTS = (b'.docker/contexts/meta/*/meta.json', b'.docker/contexts/tls/*/*/*')
ASKED = 'it holds credentials; deployment_credentials: true takes it'


def find(scene: Scene) -> Iterator[Stack]:
    for pattern in HOMES:
        for home in scene.door.glob(pattern):
            places = _places(scene, home)
            if not places:
                continue
            name = text(posixpath.basename(home))
            by = '%s %s' % (NAME, show(name))
            yield Stack(NAME, name, 'credentials and contexts of the command line in %s' % show(home), text(home), home,
                        files=tuple(Wanted(place, SECRET) for place in places) if scene.credentials else (),
                        left=() if scene.credentials else tuple(Left(show(place.path), ON_REQUEST, ASKED, by) for place in places))


def _places(scene: Scene, home: bytes) -> List[Place]:
    """The files below HOME that have credentials, or lead to other hosts. A link out of it is not followed: its owner is not root."""
    try:
        inside = scene.door.find(home).real
    except NotTaken:
        return []
    found = [scene.door.maybe(name, home, inside) for name in CREDENTIALS]
    kept = [place for place in found if place is not None and _has_credentials(scene, place)]
    for pattern in CONTEXTS:
        for path in scene.door.glob(home + b'/' + pattern):
            place = scene.door.maybe(path, b'', inside)
            if place is not None:
                kept.append(place)
    return kept


def _has_credentials(scene: Scene, place: Place) -> bool:
    """Whether a file says how to log in. Most have only what the command line looks like; one that cannot be read may have anything."""
    try:
        document: Any = jsonish.loads(scene.door.read(place))
    except (NotTaken, ValueError):
        return True
    if not isinstance(document, dict):
        return True
    if posixpath.basename(place.path) == b'.dockercfg':
        return bool(document)
    return any(document.get(key) for key in ('auths', 'credHelpers', 'credsStore', 'HttpHeaders', 'proxies'))


KIND = Kind(NAME, find)
