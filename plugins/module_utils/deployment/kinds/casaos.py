"""CasaOS: a compose project for each app in /var/lib/casaos/apps, or in the folder that app-management.conf names."""
import re
from typing import Iterator

from .. import finding
from ..model import Kind, NotTaken, Scene, Stack

NAME = 'casaos'


def find(scene: Scene) -> Iterator[Stack]:
    bases = [b'/var/lib/casaos/apps']
    for value in re.findall(r'(?mi)^[ \t]*AppsPath[ \t]*=[ \t]*(\S+)', scene.door.text('/etc/casaos/app-management.conf')):
        try:
            bases.append(scene.door.absolute(value))
        except NotTaken:
            continue
    for base in sorted(set(bases)):
        yield from finding.folders(scene, NAME, base + b'/*', 'an app of CasaOS')


KIND = Kind(NAME, find)
