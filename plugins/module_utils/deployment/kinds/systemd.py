"""Units of systemd that start containers, with their drop-ins, env files and scripts."""
import posixpath
import re
from typing import Iterator, List, Optional, Tuple

from ...formats.wording import text
from .. import finding
from ..model import ENV_FILE, SCRIPT, UNIT, Kind, Place, Scene, Stack, Wanted

NAME = 'systemd'
FOLDERS = (b'/etc/systemd/system', b'/usr/local/lib/systemd/system', b'/etc/systemd/user')
IN_HOME = b'/.config/systemd/user'
# the engines' own units start no container
ENGINES = re.compile(rb'(?:docker|containerd|podman[a-z-]*|crio|kubelet|netavark[a-z-]*)\.(?:service|socket|timer)\Z')
_EXEC = re.compile(r'(?m)^[ \t]*Exec(?:Start|StartPre|StartPost|Stop|StopPost|Reload)[ \t]*=[ \t]*(.*)$')


def find(scene: Scene) -> Iterator[Stack]:
    for folder in FOLDERS + tuple(home + IN_HOME for home in finding.homes(scene)):
        for path in scene.door.glob(folder + b'/*.service'):
            name = posixpath.basename(path)
            place = scene.door.maybe(path)
            if place is None or ENGINES.match(name):
                continue
            stack = _stack(scene, path, place)
            if stack is not None:
                yield stack


def _stack(scene: Scene, path: bytes, place: Place) -> Optional[Stack]:
    dropins = [one for one in (scene.door.maybe(inner) for inner in scene.door.glob(path + b'.d/*.conf')) if one is not None]
    content = '\n'.join(scene.door.text(one.path) for one in [place] + dropins).replace('\\\n', ' ')
    commands = _EXEC.findall(content)
    scripts = [one for command in commands for one in finding.scripts_of(scene, command)]
    if not scripts and not any(finding.starts_containers(' ' + command) for command in commands):
        return None
    files = [Wanted(one, UNIT) for one in [place] + dropins] + [Wanted(one, SCRIPT) for one in scripts]
    files += [Wanted(one, ENV_FILE) for one in env_files(scene, content)]
    folder = working_folder(content)
    base = folder.encode('utf-8', 'surrogateescape')
    compose: Tuple[Place, ...] = tuple(one for command in commands for one in finding.compose_files_of(scene, command, base))
    if not compose and base and any('compose' in command for command in commands):
        compose = finding.compose_in(scene, base)
    name = text(posixpath.basename(path))
    if compose:
        base = posixpath.dirname(compose[0].path)
        return Stack(NAME, name, 'the unit %s' % name, text(base), base, tuple(dict.fromkeys(compose)),
                     files=tuple(files), project=finding.project_of(scene, compose, text(posixpath.basename(base))))
    return Stack(NAME, name, 'the unit %s' % name, files=tuple(files))


def env_files(scene: Scene, content: str) -> List[Place]:
    """The files of EnvironmentFile= and of --env-file in the command lines."""
    found = []
    for value in re.findall(r'(?m)^[ \t]*EnvironmentFile[ \t]*=[ \t]*-?(\S+)', content) + re.findall(r'--env-file[ =](\S+)', content):
        place = scene.door.maybe(value) if value.startswith('/') else None
        if place is not None:
            found.append(place)
    return found


def working_folder(content: str) -> str:
    """The folder of WorkingDirectory=; '' if there is none that is a path."""
    found = re.findall(r'(?m)^[ \t]*WorkingDirectory[ \t]*=[ \t]*-?(/\S*)', content)
    return found[-1] if found and '%' not in found[-1] else ''


KIND = Kind(NAME, find)
