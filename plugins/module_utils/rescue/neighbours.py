# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container's definition needs to know of others, with names for anonymous volumes that every container which mounts them
gets alike. All of it from the dead root.
"""
from typing import Any, Dict, NamedTuple

from ..recreate import definition as definitions


class Neighbours(NamedTuple):
    networks: Dict[str, Any]            # name -> info as definition.define() takes it, of those that the container is in
    peers: Dict[str, str]               # id -> name, of containers whose network, IPC or PID namespace it shares
    volumes: Dict[str, str]             # recorded name of an anonymous volume -> name to give it


def neighbours(root, container):
    """-> Neighbours of CONTAINER (model.Container) of the engines.api.Root ROOT."""
    around = root.neighbours(container)
    return Neighbours(around.networks, around.peers, _volumes(container, around.owners))


def _volumes(container, owners):
    """Who took a volume over from one of OWNERS is not the one that it is named after."""
    names = {}
    anonymous = [mount for mount in container.mounts if mount.type == 'volume' and mount.anonymous and mount.name]
    for owner in owners:
        for mount in owner.mounts:
            if mount.type == 'volume' and mount.name in [item.name for item in anonymous]:
                names.setdefault(mount.name, definitions.stable_name(owner.name or owner.id[:12], mount.destination))
    for mount in anonymous:
        names.setdefault(mount.name, definitions.stable_name(container.name or container.id[:12], mount.destination))
    return names
