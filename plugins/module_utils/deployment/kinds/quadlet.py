"""Quadlets: the files that Podman makes units of, with their drop-ins and the env files that they name."""
import posixpath
import re
from typing import Iterator, List

from ...formats.wording import show, text
from .. import finding
from ..model import CONFIG, ENV_FILE, TOO_LARGE, UNIT, Kind, NotTaken, Place, Scene, Stack, Wanted

NAME = 'quadlet'
FOLDERS = (b'/etc/containers/systemd', b'/usr/share/containers/systemd', b'/home/*/.config/containers/systemd', b'/root/.config/containers/systemd')
ENDS = (b'.container', b'.pod', b'.kube', b'.volume', b'.network', b'.image', b'.build', b'.artifact')
DEEPEST = 4


def find(scene: Scene) -> Iterator[Stack]:
    """One Stack for each folder that holds some."""
    for pattern in FOLDERS:
        for folder in scene.door.glob(pattern):
            for inner in _folders(scene, folder, 0):
                files = _files(scene, inner)
                if files:
                    yield Stack(NAME, text(posixpath.basename(inner)), 'Quadlets in %s' % show(inner), text(inner), inner, files=tuple(files))


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


def _files(scene: Scene, folder: bytes) -> List[Wanted]:
    found: List[Wanted] = []
    for name in scene.door.names(folder):
        if name.endswith(ENDS):
            place = scene.door.maybe(name, folder)
            if place is not None:
                found += _with_named(scene, place)
        elif name.endswith(b'.d') and name[:-2].endswith(ENDS):
            found += list(finding.globbed(scene, folder + b'/' + name + b'/*.conf', UNIT))
    return found


def _with_named(scene: Scene, place: Place) -> Iterator[Wanted]:
    """A Quadlet, and the files that it names."""
    yield Wanted(place, UNIT)
    content = scene.door.text(place.path).replace('\\\n', ' ')
    base = posixpath.dirname(place.path)
    for key, role in (('EnvironmentFile', ENV_FILE), ('Yaml', CONFIG), ('ConfigMap', CONFIG), ('File', CONFIG)):
        for value in re.findall(r'(?m)^[ \t]*%s[ \t]*=[ \t]*-?(\S+)' % key, content):
            named = scene.door.maybe(value, base, place.home) if '%' not in value else None
            if named is not None:
                yield Wanted(named, role)


KIND = Kind(NAME, find)
