"""1Panel: apps and compose projects below BASE_DIR/1panel; the script 1pctl says which BASE_DIR."""
import re
from typing import Iterator

from .. import finding
from ..model import Kind, NotTaken, Scene, Stack

NAME = '1panel'
SCRIPTS = ('/usr/local/bin/1pctl', '/usr/bin/1pctl')


def find(scene: Scene) -> Iterator[Stack]:
    bases = [b'/opt']
    for path in SCRIPTS:
        for value in re.findall(r'(?m)^BASE_DIR=["\']?([^"\'\s]+)', scene.door.text(path)):
            try:
                bases.append(scene.door.absolute(value))
            except NotTaken:
                continue
    for base in sorted(set(bases)):
        for pattern in (b'/1panel/apps/*/*', b'/1panel/apps/local/*/*', b'/1panel/docker/compose/*'):
            yield from finding.folders(scene, NAME, base.rstrip(b'/') + pattern, '1Panel')


KIND = Kind(NAME, find)
