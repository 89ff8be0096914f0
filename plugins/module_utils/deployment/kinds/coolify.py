"""Coolify: /data/coolify/ has a folder for each application, service, database and proxy, and its own compose files in source/."""
from typing import Iterator

from .. import finding
from ..model import SETTINGS, Kind, Scene, Stack, Wanted

NAME = 'coolify'
HOME = b'/data/coolify'


def find(scene: Scene) -> Iterator[Stack]:
    def more(folder: bytes) -> Iterator[Wanted]:
        """What is no compose file: the Dockerfile of an application, the rules of the proxy."""
        yield from finding.wanted(scene, folder, (b'README.md', b'Dockerfile', b'acme.json'), SETTINGS)
        for end in (b'yml', b'yaml'):
            yield from finding.globbed(scene, folder + b'/dynamic/*.' + end, SETTINGS)

    for name in (b'applications', b'services', b'databases'):
        yield from finding.folders(scene, NAME, HOME + b'/' + name + b'/*', 'Coolify', more)
    yield from finding.folders(scene, NAME, HOME + b'/proxy', 'the proxy of Coolify', more)
    for place in scene.door.beside(HOME + b'/source', (b'docker-compose.yml',)).values():
        over = tuple(scene.door.beside(HOME + b'/source', (b'docker-compose.prod.yml', b'docker-compose.custom.yml')).values())
        yield Stack(NAME, 'coolify', 'Coolify itself', '/data/coolify/source', HOME + b'/source', (place,) + over, project='coolify')


KIND = Kind(NAME, find)
