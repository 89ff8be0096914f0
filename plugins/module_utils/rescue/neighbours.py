# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container's definition needs to know of others: its networks, containers that it shares something with, and
names for anonymous volumes that every container which mounts them gets alike. All of it from the dead root.
"""
from typing import Any, Dict, NamedTuple

from ..disk import metadata
from ..formats.values import strings
from ..recreate import definition as definitions, networks as recorded

DATABASE = b'local-kv.db'


class Neighbours(NamedTuple):
    networks: Dict[str, Any]            # name -> info as definition.define() takes it, of those that the container is in
    peers: Dict[str, str]               # id -> name, of containers whose network, IPC or PID namespace it shares
    volumes: Dict[str, str]             # recorded name of an anonymous volume -> name to give it


def networks(root):
    """{name: info} of the user-defined networks of a data root, {} where their database is lost."""
    try:
        with root.dir.descend(b'network/files') as folder:
            raw = folder.read(DATABASE)
    except OSError:
        return {}
    return recorded.networks(raw)


def neighbours(root, container, known):
    """-> Neighbours of CONTAINER (model.Container). KNOWN: networks(root)."""
    joined = metadata.dict_of(metadata.dict_of(container.config, 'NetworkSettings'), 'Networks')
    mode = metadata.text_of(container.hostconfig, 'NetworkMode')
    mine = dict((name, info) for name, info in known.items() if name in joined or name == mode)
    return Neighbours(mine, _peers(root, container), _volumes(root, container))


def _peers(root, container):
    found = {}
    for key in ('NetworkMode', 'IpcMode', 'PidMode'):
        kind, dummy, ident = metadata.text_of(container.hostconfig, key).partition(':')
        if kind == 'container' and definitions.ID.match(ident) and ident not in found:
            name = metadata.text_of(root.config(ident), 'Name').lstrip('/')
            if name:
                found[ident] = name
    return found


def _volumes(root, container):
    """Who got a volume by --volumes-from is not the one that it is named after."""
    names = {}
    anonymous = [mount for mount in container.mounts if mount.type == 'volume' and mount.anonymous and mount.name]
    if anonymous and container.hostconfig.get('VolumesFrom'):
        for owner in _owners(root, container, set(), 0):
            for mount in owner.mounts:
                if mount.type == 'volume' and mount.name in [item.name for item in anonymous]:
                    names.setdefault(mount.name, definitions.stable_name(owner.name or owner.id[:12], mount.destination))
    for mount in anonymous:
        names.setdefault(mount.name, definitions.stable_name(container.name or container.id[:12], mount.destination))
    return names


def _owners(root, container, seen, depth):
    """The containers that --volumes-from leads to, the last of each chain first."""
    wanted = strings(container.hostconfig.get('VolumesFrom'))[:64]
    if depth > 8 or not wanted:
        return
    ids = root.container_ids()
    for entry in wanted:
        reference = entry.split(':')[0]
        hits = [ident for ident in ids if ident == reference or len(reference) >= 12 and ident.startswith(reference)] or [
            ident for ident, name in root.names().items() if name == reference]
        for ident in hits[:1]:
            if ident not in seen and ident != container.id:
                seen.add(ident)
                owner = root.container(ident)
                yield from _owners(root, owner, seen, depth + 1)
                yield owner
