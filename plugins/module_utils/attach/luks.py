# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
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
        _shut(session, device, 'neither passphrase nor key_file was given', 'Give one of them.')
        return None
    name = session.name('luks')
    try:
        node = filesystems.read_only(session, device)
        session.state.begin(kind='luks', name=name)
        words = ['cryptsetup', 'open', '--type', 'luks', '--readonly', '--tries', '1']
        if request.key_file:
            session.commands.run(words + ['--key-file', request.key_file, node, name])
        else:
            session.commands.run(words + ['--key-file', '-', node, name], stdin=request.passphrase.encode('utf-8', 'surrogateescape'),
                                 note='the passphrase is read from standard input')
    except ToolMissing as exc:
        _shut(session, device, str(exc), '')
        return None
    except Failed as exc:
        _shut(session, device, exc.said, 'Check the passphrase or the key file.')
        return None
    inner = '/dev/mapper/' + name
    loops.take_back(session.state, session.commands, [inner])
    return Device(inner, 0, size_of(inner), export.graph_of(inner), device.shown + ', decrypted',
                  ('/dev/mapper/luks-' + found.uuid,))


def _shut(session: Session, device: Device, why: str, step: str) -> None:
    session.problem('VOLUME_LOCKED', device.shown, '%s is encrypted (LUKS) and was not opened: %s.' % (device.shown, show(why)),
                    (step + ' Release the disk and attach it again.').strip())


def undo(action: Dict[str, Any], state: State, commands: Commands) -> None:
    """Close what was opened under the name of ACTION."""
    if action['name'].startswith(state.name) and os.path.exists('/dev/mapper/' + action['name']):
        loops.take_back(state, commands, ['/dev/mapper/' + action['name']])
        commands.run(['cryptsetup', 'close', action['name']])
