"""podman.sh: the command line that created a container of Podman, once more. Podman keeps it; it is exact, but it was relative to the folder,
the environment and the other containers of the one who typed it, so each such word is named as a doubt."""
import os
import re
from typing import Dict, Iterator, List, Optional, Tuple

from ..records.definition import Definition
from . import asks
from .shell import comment, words

VERBS = ('run', 'create')
DETACH = re.compile(r'-[dit]*d[dit]*\Z')
# options whose value is a file or a folder of the one who typed it
FILES = ('--env-file', '--label-file', '--cidfile', '--pidfile', '--pod-id-file', '--seccomp-policy', '--authfile')
VOLUME, ENV = ('-v', '--volume'), ('-e', '--env')
OTHERS = {'--pod': 'the pod', '--volumes-from': 'the container', '--requires': 'the container', '--secret': 'the secret'}
NAMESPACES = ('--network', '--net', '--ipc', '--pid', '--uts', '--userns')


def files(definition: Definition) -> Dict[str, str]:
    """{'podman.sh': text}, {} where the engine kept no command line of podman."""
    command = _command(definition.create_command, definition.image_recorded)
    if command is None:
        return {}
    argv, doubts = command
    if definition.image and definition.image_recorded in argv:
        argv[argv.index(definition.image_recorded)] = definition.image
    elif definition.image:
        doubts.append('The image is not named in the command line as it was recorded; the rescued one is %s.' % definition.image)
    lines = ['#!/bin/sh', comment('Creates the container %s again, by the command line that Podman recorded.' % definition.name),
             '# Load the image first (podman load -i ../image.tar) and fill the volumes (podman volume import NAME FILE; see ../README.txt).']
    lines.extend(comment('WARNING: ' + note) for note in asks.warnings(definition))
    lines.extend(comment('NOTE: ' + note) for note in doubts)
    lines.extend(['set -eu', words(argv)])
    return {'podman.sh': '\n'.join(lines) + '\n'}


def _command(recorded: Tuple[str, ...], image: str) -> Optional[Tuple[List[str], List[str]]]:
    """([argv that creates and does not start], [doubts]) of a recorded command line; None if it is no podman run or create."""
    if not recorded or os.path.basename(recorded[0]) not in ('podman', 'podman-remote'):
        return None
    verb = next((number for number, word in enumerate(recorded) if word in VERBS and number < 12), None)
    if verb is None:
        return None
    doubts = ['The options before "%s" (%s) were of the machine that it ran on, and are left out.' % (recorded[verb], words(recorded[1:verb]))] \
        if any(word != 'container' for word in recorded[1:verb]) else []
    kept = list(recorded[verb + 1:])
    if recorded[verb] == 'run':
        kept = _not_detached(kept, kept.index(image) if image in kept else len(kept))
    doubts.extend(_doubts(kept))
    return ['podman', 'create'] + kept, doubts


def _not_detached(argv: List[str], end: int) -> List[str]:
    """Without the word that says that the container runs in the background: `create` does not know it. END: where the image stands; what is
    behind it belongs to the container's own command."""
    for position, word in enumerate(argv[:end]):
        if word in ('--detach', '--detach=true', '-d'):
            return argv[:position] + argv[position + 1:]
        if DETACH.match(word):
            return argv[:position] + [word.replace('d', '')] + argv[position + 1:]
    return argv


def _doubts(argv: List[str]) -> Iterator[str]:
    for position, word in enumerate(argv):
        option, equals, value = word.partition('=')
        value = value if equals else argv[position + 1] if position + 1 < len(argv) else ''
        if option in VOLUME and value.startswith(('./', '../', '~')):
            yield 'The volume %s is relative to the folder where the command was typed.' % value
        elif option in FILES and value:
            yield 'The file %s of %s was on the machine where the command was typed.' % (value, option)
        elif option in ENV and '=' not in value:
            yield 'The value of %s came from the environment of the one who typed the command.' % value
        elif option in OTHERS and value:
            yield '%s needs %s %s, which must be made first.' % (option, OTHERS[option], value)
        elif option in NAMESPACES and value.startswith('container:'):
            yield '%s needs the container %s, which must be made first.' % (option, value[10:])
        elif word == '--rm':
            yield 'It has --rm: the container is deleted when it ends.'
