"""TrueNAS (24.10 and later): the compose file that it made of each app, and the answers of the user, in the dataset ix-apps."""
import posixpath
import re
from typing import Iterator, Tuple

from ...formats.wording import show, text
from .. import finding
from ..model import SETTINGS, Kind, Scene, Stack

NAME = 'truenas'
# mounted as it was, or below the pool where the disk is attached elsewhere
HOMES = (b'/mnt/.ix-apps', b'/mnt/*/.ix-apps', b'/mnt/*/ix-apps', b'/.ix-apps', b'/ix-apps')


def find(scene: Scene) -> Iterator[Stack]:
    seen = set()
    for home in HOMES:
        for folder in scene.door.glob(home + b'/app_configs/*'):
            if folder in seen or not scene.door.is_folder(folder):
                continue
            seen.add(folder)
            yield from _app(scene, folder)


def _app(scene: Scene, folder: bytes) -> Iterator[Stack]:
    """The newest version of an app."""
    versions = sorted((name for name in scene.door.names(folder + b'/versions')), key=_order)
    files = tuple(finding.wanted(scene, folder, (b'metadata.yaml',), SETTINGS)) + \
        tuple(finding.wanted(scene, posixpath.dirname(posixpath.dirname(folder)), (b'metadata.yaml', b'user_config.yaml'), SETTINGS))
    name = text(posixpath.basename(folder))
    for version in reversed(versions):
        base = folder + b'/versions/' + version
        rendered = base + b'/templates/rendered'
        compose = finding.compose_in(scene, rendered)
        if compose:
            files += tuple(finding.wanted(scene, base, (b'user_config.yaml', b'app.yaml'), SETTINGS))
            yield Stack(NAME, name, 'an app of TrueNAS in %s, version %s' % (show(folder), show(version)), text(rendered), rendered, compose,
                        files=files, project=finding.project_of(scene, compose, 'ix-' + name))
            return


def _order(version: bytes) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(rb'\d{1,9}', version))


KIND = Kind(NAME, find)
