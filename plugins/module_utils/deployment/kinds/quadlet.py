"""Quadlets: the files that Podman makes units of, with their drop-ins and the env files that they name."""
import posixpath
import re
from typing import Iterator, List, Optional, Tuple

from ...formats.wording import show, text
from .. import finding
from ..model import CONFIG, DOCKERFILE, ENV_FILE, TOO_LARGE, UNIT, Kind, NotTaken, Place, Scene, Stack, Wanted

NAME = 'quadlet'
FOLDERS = (b'/etc/containers/systemd', b'/usr/share/containers/systemd')
IN_HOME = b'/.config/containers/systemd'
ENDS = (b'.container', b'.pod', b'.kube', b'.volume', b'.network', b'.image', b'.build', b'.artifact')
DEEPEST = 4


def find(scene: Scene) -> Iterator[Stack]:
    """One Stack for each folder that holds some."""
    for folder, home in [(folder, b'') for folder in FOLDERS] + [(home + IN_HOME, home) for home in finding.homes(scene)]:
        for inner in _folders(scene, folder, 0):
            files, trees = _files(scene, inner, home)
            if files:
                yield Stack(NAME, text(posixpath.basename(inner)), 'Quadlets in %s' % show(inner), text(inner), inner, files=tuple(files), trees=tuple(trees))


def _folders(scene: Scene, folder: bytes, depth: int) -> Iterator[bytes]:
    if not scene.door.is_folder(folder):
        return
    yield folder
    for name in scene.door.names(folder):
        if not name.endswith(b'.d') and b'.' not in name[:1]:
            inner = folder + b'/' + name
            if depth < DEEPEST:
                yield from _folders(scene, inner, depth + 1)
            elif scene.door.is_folder(inner):
                scene.door.pass_over(inner, b'', NotTaken(TOO_LARGE, 'it is the folder %d of folders below each other' % (DEEPEST + 1)))


def _files(scene: Scene, folder: bytes, home: bytes) -> Tuple[List[Wanted], List[Place]]:
    """(files, folders that images are built from). Drop-ins are of one unit (`web.container.d`), of a prefix (`web-.container.d`) or of a
    whole type (`container.d`)."""
    found: List[Wanted] = []
    trees: List[Place] = []
    for name in scene.door.names(folder):
        if name.endswith(ENDS):
            place = scene.door.maybe(name, folder)
            if place is not None:
                context = _context(scene, place, home) if name.endswith(b'.build') else None
                found += _with_named(scene, place, home, context)
                trees += [context] if context is not None and context.path != folder else []
        elif name.endswith(b'.d') and (b'.' + name[:-2]).endswith(ENDS):
            found += list(finding.globbed(scene, folder + b'/' + name + b'/*.conf', UNIT))
    return found, trees


def _values(scene: Scene, place: Place, key: str, home: bytes) -> List[str]:
    """The values of a key of a unit, without those that hang on a specifier of systemd other than %h, the home."""
    content = scene.door.text(place.path).replace('\\\n', ' ')
    values = [value.replace('%h', text(home)) if home else value for value in re.findall(r'(?m)^[ \t]*%s[ \t]*=[ \t]*-?(\S+)' % key, content)]
    return [value for value in values if '%' not in value]


def _context(scene: Scene, place: Place, home: bytes) -> Optional[Place]:
    """The folder that a .build is built from (podman-systemd.unit(5): SetWorkingDirectory); None where it is no folder of this host."""
    folder = posixpath.dirname(place.path)
    values = _values(scene, place, 'SetWorkingDirectory', home)
    if values and values[-1] == 'unit':
        return Place(folder, posixpath.dirname(place.real))
    if not values or not values[-1].startswith('/'):
        return None
    try:
        found = scene.door.find(values[-1], home=place.home)
    except NotTaken:
        return None
    wide = found.path.count(b'/') < 2 or home and not found.path.startswith(home + b'/')     # /etc is no context, nor is what is not the user's
    return found if scene.door.is_folder(found.path) and not wide else None


def _with_named(scene: Scene, place: Place, home: bytes, context: Optional[Place]) -> Iterator[Wanted]:
    """A Quadlet, and the files that it names. CONTEXT: the folder that its Containerfile is relative to."""
    yield Wanted(place, UNIT)
    base = posixpath.dirname(place.path)
    for key, role in (('EnvironmentFile', ENV_FILE), ('Yaml', CONFIG), ('ConfigMap', CONFIG), ('File', DOCKERFILE)):
        for value in _values(scene, place, key, home):
            named = scene.door.maybe(value, context.path if context is not None and key == 'File' else base, place.home)
            if named is not None:
                yield Wanted(named, role)


KIND = Kind(NAME, find)
