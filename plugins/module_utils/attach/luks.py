"""LUKS: opened read-only under a name of ours, with the user's passphrase or key file."""
import os
from typing import Any, Dict, Optional

from ..formats.wording import show
from . import export, filesystems, loops
from .commands import Commands, Failed, ToolMissing
from .session import Device, Session, size_of
from .state import State
from .superblocks import Found


def open_device(session: Session, device: Device, found: Found) -> Optional[Device]:
    """What is inside of the LUKS container DEVICE; None, and a problem, if it stays shut."""
    request = session.request
    if not request.passphrase and not request.key_file:
        _shut(session, device, found, 'neither passphrase nor key_file was given', 'Give one of them.')
        return None
    try:
        if request.key_file:
            return _opened(session, device, found, request.key_file, None, '')
        return _opened(session, device, found, '-', request.passphrase.encode('utf-8', 'surrogateescape'),
                       'the passphrase is read from standard input')
    except ToolMissing as exc:
        _shut(session, device, found, str(exc), '')
    except Failed as exc:
        _shut(session, device, found, exc.said, 'Check the passphrase or the key file.')
    return None


def open_with(session: Session, device: Device, found: Found, key: bytes, note: str) -> Optional[Device]:
    """What is inside of DEVICE, which stayed shut, opened with the bytes KEY of a key file; None if it still stays shut."""
    try:
        inner = _opened(session, device, found, '-', key, note)
    except (Failed, ToolMissing):
        return None                     # it is a problem already
    session.locked.remove((device, found))
    session.problems = [each for each in session.problems if (each.code, each.object) != ('VOLUME_LOCKED', device.shown)]
    return inner


def _opened(session: Session, device: Device, found: Found, key_file: str, stdin: Optional[bytes], note: str) -> Device:
    name = session.name('luks')
    node = filesystems.read_only(session, device)
    session.state.begin(kind='luks', name=name)
    session.commands.run(['cryptsetup', 'open', '--type', 'luks', '--readonly', '--tries', '1', '--key-file', key_file, node, name],
                         stdin=stdin, note=note)
    inner = '/dev/mapper/' + name
    loops.take_back(session.state, session.commands, [inner])
    return Device(inner, 0, size_of(inner), export.graph_of(inner), device.shown + ', decrypted',
                  ('/dev/mapper/luks-' + found.uuid,), container=(device, found))


def _shut(session: Session, device: Device, found: Found, why: str, step: str) -> None:
    session.locked.append((device, found))
    session.problem('VOLUME_LOCKED', device.shown, '%s is encrypted (LUKS) and was not opened: %s.' % (device.shown, show(why)),
                    (step + ' Release the disk and attach it again.').strip())


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Close what was opened under the name of ACTION."""
    if action['name'].startswith(state.name) and os.path.exists('/dev/mapper/' + action['name']):
        loops.take_back(state, commands, ['/dev/mapper/' + action['name']])
        commands.run(['cryptsetup', 'close', action['name']])
