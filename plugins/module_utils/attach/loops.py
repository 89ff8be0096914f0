# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices over files of the attachment's own folder; by that they are known again."""
import os
from typing import Any, Dict, Iterator, Optional, Tuple

from .commands import Commands
from .session import Session
from .state import State

SYS = '/sys/block'


def attach(session: Session, path: str, offset: int, size: int, read_only: bool) -> str:
    """A loop device over SIZE bytes of PATH, which lies in the attachment's folder -> /dev/loopN."""
    action = session.state.begin(kind='loop', file=path, offset=offset, size=size)
    words = ['losetup', '--find', '--show'] + (['--read-only'] if read_only else [])
    words += ['--offset', str(offset), '--sizelimit', str(size)] if offset or size % 512 == 0 else []
    node = session.commands.run(words + [path]).strip()
    action['node'] = node
    session.state.save()
    return node


def _all() -> Iterator[Tuple[str, str, int]]:
    """(node, file behind it, offset) of every loop device in use."""
    for name in os.listdir(SYS):
        if name.startswith('loop'):
            folder = os.path.join(SYS, name, 'loop')
            behind = _attribute(folder, 'backing_file')
            if behind:
                yield '/dev/' + name, behind, int(_attribute(folder, 'offset') or '0')


def _attribute(folder: str, name: str) -> Optional[str]:
    try:
        with open(os.path.join(folder, name), encoding='utf-8', errors='surrogateescape') as stream:
            return stream.read().rstrip('\n')
    except OSError:
        return None


def undo(action: Dict[str, Any], dummy_state: State, commands: Commands) -> None:
    """Detach the loop device of ACTION, and no other: the file behind it must be ours."""
    for node, behind, offset in list(_all()):
        if behind in (action['file'], action['file'] + ' (deleted)') and offset == action['offset']:
            commands.run(['losetup', '--detach', node])


def left(state: State) -> Iterator[str]:
    """Nodes of loop devices whose file lies in the attachment's folder."""
    for node, behind, dummy in _all():
        if behind.startswith(state.folder + '/'):
            yield node
