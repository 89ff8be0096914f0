"""The same door as delivery_door.py for what a node says while a bundle is restored there: a record comes out, or a ProtocolError."""
from __future__ import annotations

import re
from typing import Any, NamedTuple

from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_door import (
    ProtocolError,
    deprecations,
    flag,
    harmless,
    matching,
    warnings,
)

JOB = re.compile(r'[A-Za-z0-9][A-Za-z0-9.]{0,63}\Z')
FOLDER = re.compile(r"/[\w.@:+=,%~ /-]{1,1000}\Z")
MAX_WANTED = 16                         # files that a restore reads at once

# Keys that a restore's result may have; below them any JSON whose texts people may see.
RESTORED = ('changed', 'failed', 'msg', 'skipped', 'name', 'steps', 'nothing', 'image', 'networks', 'volumes', 'binds', 'container',
            'databases', 'kept', 'notes', 'problems', 'diff', 'bundles', 'summary', 'asks', 'dumps', 'secrets')


def restored(value: dict[str, Any]) -> dict[str, Any]:
    """The result of docker_data_restore with only the keys that a restore has. Raises ProtocolError."""
    found = {key: harmless(value[key]) for key in RESTORED if key in value}
    for key, read in (('warnings', warnings), ('deprecations', deprecations)):
        said = read(value.get(key))
        if said:
            found[key] = said
    for key in ('changed', 'failed', 'skipped'):
        if key in found:
            flag(found[key], key)
    return found


def folder(value: Any) -> str:
    """A folder on the node that Ansible's own code asked the node for: an absolute path of harmless characters."""
    path = matching(FOLDER, value, 'name of a folder')
    if '..' in path.split('/'):
        raise ProtocolError(f'{path!r} is no name of a folder')
    return path.rstrip('/')


def job(value: Any) -> str:
    """The id of a job that async_wrapper has started."""
    return matching(JOB, value, 'id of a job')


class Wants(NamedTuple):
    """What a restore on the node asks for. `files`: number of a stream -> file; `chunks`: number -> pieces that lie there."""
    files: dict[int, bytes]
    chunks: dict[int, int]
    done: bool


def wants(names: list[str], known: Any) -> Wants:
    """From the NAMES in the folder of a restore. KNOWN: the files (bytes) that may be asked for. Raises ProtocolError."""
    files: dict[int, bytes] = {}
    chunks: dict[int, int] = {}
    for name in names:
        found = channel.WANT.match(name)
        if found:
            file = bytes.fromhex(found.group(2))
            if file not in known or len(files) >= MAX_WANTED:
                raise ProtocolError('the restore asks for a file that the bundle does not have, or for too many')
            files[int(found.group(1))] = file
        elif name.startswith('want-'):
            raise ProtocolError('the restore asks for a file without a name')
        found = channel.PIECE.match(name)
        if found:
            chunks[int(found.group(1))] = chunks.get(int(found.group(1)), 0) + 1
    return Wants(files, chunks, channel.DONE in names)
