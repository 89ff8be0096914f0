"""What a container shares with others: networks, namespaces (container:ID), and volumes that it took over (--volumes-from)."""
import re
from typing import Callable, Dict, Iterator, Set

from ...records import model
from ...records.definition import SHARES, Definition, NetworkSettings, stable_name
from .. import api
from .configs import Configs

ID = re.compile(r'[0-9a-f]{64}\Z')
MOST_OWNERS = 64                        # of one container
BUILT_IN = frozenset(('', 'bridge', 'default', 'host', 'none', 'nat'))
DEEPEST = 8                             # containers from one to the next


def neighbours(container: model.Container, networks: Dict[str, NetworkSettings], configs: Configs,
               read: Callable[[str], model.Container]) -> api.Neighbours:
    """The Neighbours of a container. NETWORKS: all of the root; READ(id) gives another container."""
    definition = container.definition
    mine = {name: info for name, info in networks.items() if name in definition.networks or name == definition.network_mode}
    return api.Neighbours(mine, _peers(definition, configs), _volumes(container, configs, read))


def own_networks(definition: Definition) -> Set[str]:
    """Names of the networks of a container that somebody has made."""
    mode = definition.network_mode
    return (set(definition.networks) | ({mode} if not mode.startswith(SHARES) else set())) - BUILT_IN


def _peers(definition: Definition, configs: Configs) -> Dict[str, str]:
    found = {}
    for mode in (definition.network_mode, definition.security.ipc, definition.security.pid):
        ident = mode[len(SHARES):]
        if mode.startswith(SHARES) and ID.match(ident) and ident not in found:
            name = configs.name(ident)
            if name:
                found[ident] = name
    return found


def _volumes(container: model.Container, configs: Configs, read: Callable[[str], model.Container]) -> Dict[str, str]:
    """Who took a volume over is not the one that it is named after."""
    names = {}
    anonymous = [mount for mount in container.mounts if mount.type == 'volume' and mount.anonymous and mount.name]
    for owner in _owners(container, configs, read, {container.id}, 0) if anonymous else ():
        for mount in owner.mounts:
            if mount.type == 'volume' and mount.name in [item.name for item in anonymous]:
                names.setdefault(mount.name, stable_name(owner.name or owner.id[:12], mount.destination))
    for mount in anonymous:
        names.setdefault(mount.name, stable_name(container.name or container.id[:12], mount.destination))
    return names


def _owners(container: model.Container, configs: Configs, read: Callable[[str], model.Container], seen: Set[str],
            depth: int) -> Iterator[model.Container]:
    """The containers that --volumes-from leads to, the last of each chain first."""
    wanted = container.definition.volumes_from[:MOST_OWNERS]
    if depth > DEEPEST or not wanted:
        return
    ids = configs.ids()
    for entry in wanted:
        reference = entry.split(':')[0]
        hits = [each for each in ids if each == reference or len(reference) >= 12 and each.startswith(reference)] or [
            each for each, name in configs.names().items() if name == reference]
        for ident in hits[:1]:
            if ident not in seen:
                seen.add(ident)
                owner = read(ident)
                yield from _owners(owner, configs, read, seen, depth + 1)
                yield owner
