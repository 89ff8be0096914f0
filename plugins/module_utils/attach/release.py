"""Undo what an attachment has done, in reverse order: after a success, a failure, or a kill at any moment."""
import os
from typing import List

from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats.wording import show
from . import export, filesystems, loops, luks, lvm, raid, thin
from .commands import Commands, Failed
from .state import FILE, State

UNDO = {'mount': filesystems.undo, 'daemon': export.undo, 'loop': loops.undo, 'luks': luks.undo, 'md': raid.undo, 'vg': lvm.undo,
        'dm': thin.undo}


def release(state: State, commands: Commands) -> bool:
    """Undo everything that STATE has -> whether there was something. LifeboatError if something is in use; then what was
    undone is no longer in STATE, and the next release goes on from there."""
    was = bool(state.actions)
    for action in list(reversed(state.actions)):
        undo = UNDO.get(action.get('kind'))
        if undo is None:
            raise LifeboatError('%s holds an action that this version does not know (%s)' % (
                show(state.path(FILE)), show(action.get('kind'))))
        try:
            undo(action, state, commands)
        except Failed as exc:
            raise LifeboatError('%s. Run it again when nothing uses the disk any more' % exc)
        state.drop(action)
    state.data['result'] = None
    state.save()
    _empty(state)
    return was


def _empty(state: State) -> None:
    """Remove the folder with what we made in it. Nothing may be mounted there any more."""
    below = os.fsencode(state.folder) + b'/'
    left = [mount.point for mount in fsinfo.mounts() if mount.point.startswith(below)]
    if left:
        raise LifeboatError('%s is still mounted; it was not mounted by this attachment. Unmount it, then release again' % show(left[0]))
    for name in sorted(names_of(state), key=lambda each: each == FILE):     # the state last
        path = state.path(name)
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    os.rmdir(state.folder)


def names_of(state: State) -> List[str]:
    return os.listdir(state.folder)
