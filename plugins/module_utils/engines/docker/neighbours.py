# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container shares with others: networks, namespaces (container:ID), and volumes that it took over (--volumes-from)."""
import re
from typing import Any, Callable, Dict, Iterator, Set

from ...disk import metadata
from ...formats.values import strings
from ...records import model
from .. import api
from .configs import Configs

ID = re.compile(r'[0-9a-f]{64}\Z')
NAMESPACES = ('NetworkMode', 'IpcMode', 'PidMode')
MOST_OWNERS = 64                        # of one container
DEEPEST = 8                             # containers from one to the next


def neighbours(ident: str, networks: Dict[str, Any], configs: Configs, read: Callable[[str], model.Container]) -> api.Neighbours:
    """The Neighbours of a container that was read. NETWORKS: all of the root; READ(id) gives another container."""
    config, hostconfig = configs.kept(ident)
    joined = metadata.dict_of(config, 'NetworkSettings', 'Networks')
    mode = metadata.text_of(hostconfig, 'NetworkMode')
    mine = {name: info for name, info in networks.items() if name in joined or name == mode}
    return api.Neighbours(mine, _peers(hostconfig, configs), tuple(_owners(ident, configs, read, {ident}, 0)))


def _peers(hostconfig, configs):
    found = {}
    for key in NAMESPACES:
        kind, dummy, ident = metadata.text_of(hostconfig, key).partition(':')
        if kind == 'container' and ID.match(ident) and ident not in found:
            name = configs.name(ident)
            if name:
                found[ident] = name
    return found


def _owners(ident: str, configs: Configs, read: Callable[[str], model.Container], seen: Set[str], depth: int) -> Iterator[model.Container]:
    """The containers that --volumes-from leads to, the last of each chain first."""
    wanted = strings(configs.kept(ident)[1].get('VolumesFrom'))[:MOST_OWNERS]
    if depth > DEEPEST or not wanted:
        return
    ids = configs.ids()
    for entry in wanted:
        reference = entry.split(':')[0]
        hits = [each for each in ids if each == reference or len(reference) >= 12 and each.startswith(reference)] or [
            each for each, name in configs.names().items() if name == reference]
        for owner in hits[:1]:
            if owner not in seen:
                seen.add(owner)
                record = read(owner)
                yield from _owners(owner, configs, read, seen, depth + 1)
                yield record
