"""Loop devices over files of the attachment's own folder; by that they are known again."""
import contextlib
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from .commands import Commands, Failed, has
from .session import Session
from .state import State

SYS = '/sys/block'
MAX_ROUNDS = 4                          # layers on a loop device that are not ours


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


def take_back(state: State, commands: Commands, nodes: Sequence[str]) -> None:
    """udev of this machine may have assembled arrays or activated volumes on NODES by itself: stop what lies on them, if all
    that it lies on is ours. What lies on top is stopped first."""
    if has('udevadm'):
        with contextlib.suppress(Failed):                       # a busy machine: what has come by now is taken back
            commands.run(['udevadm', 'settle', '--timeout=10'], quiet=True)
    for dummy in range(MAX_ROUNDS):
        held = _held(state, {os.path.basename(os.path.realpath(node)) for node in list(nodes) + list(left(state))})
        if not held:
            return
        for holder in reversed(held):
            _stop(holder, commands)


def _held(state: State, ours: Set[str]) -> List[str]:
    """Names of what lies on the block devices OURS and on nothing else, each behind everything that it lies on. What this
    attachment itself has made is left out, with what lies on it."""
    ours, found = set(ours), []
    more = True
    while more:
        more = sorted({each for name in ours for each in _names(os.path.join(SYS, name, 'holders'))} - ours)
        more = [each for each in more if ours.issuperset(_names(os.path.join(SYS, each, 'slaves')) or ['']) and not _made(state, each)]
        found += more
        ours.update(more)
    return found


def _made(state: State, holder: str) -> bool:
    """Whether the device HOLDER is one that STATE tells of: LUKS, a volume of an activated group, an array, a thin pool."""
    name = _attribute(os.path.join(SYS, holder, 'dm'), 'name') or ''
    for action in state.actions:
        kind = action.get('kind')
        if kind in ('luks', 'dm') and name == action['name'] or kind == 'md' and action['node'] == '/dev/' + holder or \
                kind == 'vg' and name.startswith(action['name'].replace('-', '--') + '-'):
            return True
    return False


def _stop(holder: str, commands: Commands) -> None:
    try:
        if holder.startswith('md'):
            commands.run(['mdadm', '--stop', '/dev/' + holder])
        elif holder.startswith('dm-'):
            commands.run(['dmsetup', 'remove', _attribute(os.path.join(SYS, holder, 'dm'), 'name') or holder])
    except Failed:
        pass                            # just opened by udev, or in use: the next round comes back to it


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Detach the loop device of ACTION, and no other: the file behind it must be ours."""
    for node, behind, offset in list(_all()):
        if behind in (action['file'], action['file'] + ' (deleted)') and offset == action['offset']:
            if _names(os.path.join(SYS, os.path.basename(node), 'holders')):
                take_back(state, commands, [node])
            commands.run(['losetup', '--detach', node])


def left(state: State) -> Iterator[str]:
    """Nodes of loop devices whose file lies in the attachment's folder."""
    for node, behind, dummy in _all():
        if behind.startswith(state.folder + '/'):
            yield node
