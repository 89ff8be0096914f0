"""Projects of Compose, by the labels of their containers: docker compose (v1 and v2) and podman-compose write them."""
import posixpath
from typing import Dict, Iterator, List, Tuple

from ...formats.wording import show
from .. import finding, ran
from ..door import below
from ..finding import CONFIG_FILES, ENVIRONMENT_FILE, WORKING_DIR, compose_in, found_named, split
from ..model import ELSEWHERE, TOO_LARGE, Kind, Left, NotTaken, Place, Scene, Stack, note

NAME = 'compose'


def find(scene: Scene) -> Iterator[Stack]:
    """One Stack for each project, folder and list of files: containers of a project may disagree after a change."""
    found: Dict[Tuple[str, str, str, str], List[Tuple[str, str]]] = {}
    for container in scene.containers:
        labels = container.labels
        key = (labels.get(ran.PROJECT, ''), labels.get(WORKING_DIR, ''), labels.get(CONFIG_FILES, ''), labels.get(ENVIRONMENT_FILE, ''))
        if key[0] and (key[1] or key[2]):
            found.setdefault(key, []).append((container.name or container.id[:12], container.id))
    for key in sorted(found):
        yield _stack(scene, key, found[key])


def _stack(scene: Scene, key: Tuple[str, str, str, str], containers: List[Tuple[str, str]]) -> Stack:
    project, folder, files, env_files = key
    names = [name for name, dummy in containers]
    evidence = 'labels of %s' % ', '.join(map(show, names[:5])) + (' and %d more' % (len(names) - 5) if len(names) > 5 else '')
    left: List[Left] = []
    base = b''
    try:
        base = scene.door.absolute(folder) if folder else b''
    except NotTaken as exc:
        left.append(note(folder, exc, evidence))
    wanted = split(files)
    if files.count(',') >= finding.MOST_NAMED:
        left.append(Left(show(files[:200]), TOO_LARGE, 'a label names more than %d files' % finding.MOST_NAMED, evidence))
    if '-' in wanted:
        left.append(Left('-', ELSEWHERE, 'Compose read it from its standard input', evidence))
    compose, missing = found_named(scene, [item for item in wanted if item != '-'], base, evidence)
    left.extend(missing)
    if not wanted and base:
        compose = compose_in(scene, base)
    env = None
    if env_files:
        env, missing = found_named(scene, split(env_files), base, evidence)
        left.extend(missing)
    return Stack(NAME, project, evidence, folder, _base(compose, base), compose, env, left=tuple(left), project=project,
                 containers=tuple(ident for dummy, ident in containers))


def _base(compose: Tuple[Place, ...], base: bytes) -> bytes:
    """The folder of the project on the host: where its first file is, if that was found elsewhere (a container had made it)."""
    if not compose or base and (below(compose[0].path, base) or compose[0].home is None):
        return base
    return posixpath.dirname(compose[0].path)


KIND = Kind(NAME, find, usual=False)
