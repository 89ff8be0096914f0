"""CapRover: all apps are in /captain/data/config-captain.json; it makes services of a swarm from them."""
from typing import Iterator

from .. import finding
from ..model import SETTINGS, Kind, Scene, Stack

NAME = 'caprover'
HOME = b'/captain/data'


def find(scene: Scene) -> Iterator[Stack]:
    files = tuple(finding.wanted(scene, HOME, (b'config-captain.json', b'config-override.json'), SETTINGS)) + \
        tuple(finding.globbed(scene, b'/captain/generated/nginx/conf.d/*.conf', SETTINGS))
    if files:
        yield Stack(NAME, 'caprover', 'the settings of CapRover in /captain/data', '/captain/data', HOME, files=files)


KIND = Kind(NAME, find)
