"""Stacks of Dockge: a folder for each in /opt/stacks, or in the folder that DOCKGE_STACKS_DIR of its container names."""
from typing import Iterator

from ...formats.wording import show
from .. import finding
from ..model import Kind, NotTaken, Scene, Stack
from ..ran import pairs

NAME = 'dockge'
VARIABLE = 'DOCKGE_STACKS_DIR'


def find(scene: Scene) -> Iterator[Stack]:
    folders = [b'/opt/stacks', b'/opt/dockge']
    for container in scene.containers:
        named = pairs(container.definition.env).get(VARIABLE)
        if named:
            try:                        # Dockge needs the same path inside and outside
                folders.append(scene.door.absolute(named))
            except NotTaken:
                continue
    for folder in sorted(set(folders)):
        if folder == b'/opt/dockge':
            yield from finding.folders(scene, NAME, folder, 'Dockge itself')
        else:
            yield from finding.folders(scene, NAME, folder + b'/*', 'a stack of Dockge, whose folder is %s,' % show(folder))


KIND = Kind(NAME, find)
