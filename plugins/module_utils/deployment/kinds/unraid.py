"""Unraid: templates of its containers (XML) and projects of the plugin Compose Manager, both on the boot stick."""
import posixpath
from typing import Iterator

from ...formats.wording import show, text
from .. import finding
from ..model import SETTINGS, TEMPLATE, Kind, NotTaken, Scene, Stack, Wanted, note

NAME = 'unraid'
PLUGINS = b'/boot/config/plugins'
PROJECTS = PLUGINS + b'/compose.manager/projects'


def find(scene: Scene) -> Iterator[Stack]:
    files = tuple(finding.globbed(scene, PLUGINS + b'/dockerMan/templates-user/*.xml', TEMPLATE)) + \
        tuple(finding.wanted(scene, b'/boot/config', (b'docker.cfg',), SETTINGS)) + \
        tuple(finding.wanted(scene, PLUGINS + b'/dockerMan', (b'userprefs.cfg',), SETTINGS))
    if any(item.role == TEMPLATE for item in files):
        yield Stack(NAME, 'templates', 'templates of Unraid in %s' % show(PLUGINS + b'/dockerMan/templates-user'), files=files)

    def more(folder: bytes) -> Iterator[Wanted]:
        yield from finding.wanted(scene, folder, (b'name', b'autostart', b'indirect', b'envpath'), SETTINGS)

    for stack in finding.folders(scene, NAME, PROJECTS + b'/*', 'Compose Manager of Unraid', more):
        yield _with_env(scene, _indirect(scene, stack), stack.base)


def _with_env(scene: Scene, stack: Stack, folder: bytes) -> Stack:
    """A project whose file of variables is elsewhere: the file `envpath` in FOLDER names it."""
    named = scene.door.text(folder + b'/envpath').strip()
    if not named:
        return stack
    try:
        return stack._replace(env_files=(scene.door.find(named, stack.base),))
    except NotTaken as exc:
        return stack._replace(env_files=(), left=stack.left + (note(named, exc, 'the file envpath in %s' % show(folder)),))


def _indirect(scene: Scene, stack: Stack) -> Stack:
    """A project whose files are in another folder, which the file `indirect` names."""
    named = scene.door.text(stack.base + b'/indirect').strip()
    if not named:
        return stack
    try:
        base = scene.door.absolute(named)
    except NotTaken:
        return stack
    compose = finding.compose_in(scene, base)
    name = text(posixpath.basename(base))
    return stack._replace(compose=stack.compose + compose, base=base, folder=named, project=finding.project_of(scene, compose, name)) if compose else stack


KIND = Kind(NAME, find)
