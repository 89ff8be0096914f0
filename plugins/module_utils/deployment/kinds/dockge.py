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
            for stack in finding.folders(scene, NAME, folder + b'/*', 'a stack of Dockge, whose folder is %s,' % show(folder)):
                yield _with_global(scene, folder, stack)


def _with_global(scene: Scene, folder: bytes, stack: Stack) -> Stack:
    """Dockge gives Compose the file global.env of its folder, if there is one, and then .env of the stack."""
    common = scene.door.maybe(b'global.env', folder)
    if common is None:
        return stack
    own = scene.door.maybe(b'.env', stack.base)
    return stack._replace(env_files=(common,) if own is None else (common, own))


KIND = Kind(NAME, find)
