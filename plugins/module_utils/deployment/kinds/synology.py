"""Synology: projects of Container Manager lie in a shared folder, by default /volumeN/docker/PROJECT."""
from typing import Iterator

from .. import finding
from ..model import Kind, Scene, Stack

NAME = 'synology'


def find(scene: Scene) -> Iterator[Stack]:
    yield from finding.folders(scene, NAME, b'/volume*/docker/*', 'the shared folder docker of a Synology')
    yield from finding.folders(scene, NAME, b'/volume*/docker/projects/*', 'the shared folder docker of a Synology')


KIND = Kind(NAME, find)
