"""A restore on Podman or on an older Docker: the body that it takes, when a container is the same, and each doubt as a problem."""
import hashlib
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from ..formats.values import as_dict, as_list, strings
from ..recreate import olderapi, podmanapi
from . import shown
from .engineapi import EngineError

if TYPE_CHECKING:
    from ..records.definition import Definition
    from .engineapi import Engine
    from .plan import Plan

LABEL = 'lifeboat.docker.restored'      # of a container: SHA-256 of the body that it was made from


def adapt(plan: 'Plan', body: Dict[str, Any], definition: 'Definition', info: Dict[str, Any]) -> Dict[str, Any]:
    """BODY as Podman takes it, with the label that tells a second run that it is the same. What it cannot take becomes a problem."""
    drivers = strings(as_list(as_dict(info.get('Plugins')).get('Log')))
    body, lacks = podmanapi.adapted(body, definition, drivers)
    for lack in lacks:
        plan.doubt('ENGINE_LACKS', definition.name, lack.message, lack.next_step)
    said = hashlib.sha256(json.dumps(body, sort_keys=True).encode('utf-8', 'surrogatepass')).hexdigest()
    return dict(body, Labels=dict(body.get('Labels') or {}, **{LABEL: said}))


def known(plan: 'Plan', body: Dict[str, Any], name: str, api: Tuple[int, ...]) -> Dict[str, Any]:
    """BODY of the container NAME as a Docker engine of this API version takes it. What it does not know becomes a problem."""
    body, lacks = olderapi.adapted(body, api)
    for lack in lacks:
        plan.doubt('ENGINE_LACKS', name, 'The container %s: %s' % (name, lack), 'Restore it on a newer Docker.')
    return body


def known_network(plan: 'Plan', name: str, info: Dict[str, Any], api: Tuple[int, ...]) -> None:
    """A problem for each thing of the network INFO that a Docker engine of this API version does not know."""
    for lack in olderapi.network_lacks(info, api):
        plan.doubt('ENGINE_LACKS', name, 'The network %s: %s' % (name, lack), 'Restore it on a newer Docker.')


def same(existing: Dict[str, Any], body: Dict[str, Any], image_ids: Iterable[Any]) -> Optional[bool]:
    """Was EXISTING (inspect) made from this BODY and image? None if it says nothing of that."""
    label = as_dict(as_dict(existing.get('Config')).get('Labels')).get(LABEL)
    return None if label is None else label == as_dict(body.get('Labels')).get(LABEL) and existing.get('Image') in image_ids


def volume(plan: 'Plan', engine: 'Engine', name: str, how: Tuple[str, Dict[str, str], Dict[str, str]]) -> Dict[str, Any]:
    """Make the volume NAME; HOW: driver, options, labels -> the engine's record of it. What Podman made of it otherwise becomes problems. EngineError."""
    driver, options, labels = how
    if not engine.podman:
        return engine.create_volume(name, driver, options, labels)
    try:
        made = engine.create_volume(name, driver, options, labels)
    except EngineError:
        options = podmanapi.without_size(options)
        if options == how[1]:
            raise
        made = engine.create_volume(name, driver, options, labels)
        plan.doubt('ENGINE_LACKS', name, 'Podman makes volumes with a size only on a file system with project quotas: the volume %s is made without '
                   'its size (%s).' % (name, how[1]['o']), 'For a limit, give the container a tmpfs (--tmpfs PATH:size=...) in its place.')
    doubts(plan, name, 'The volume', shown.of_volume(driver, options, labels, made))
    return made


def doubts(plan: 'Plan', name: str, what: str, differences: List[shown.Difference]) -> None:
    """A problem for each difference of WHAT (a container, network or volume of that NAME)."""
    for one in differences:
        plan.doubt('NOT_SHOWN' if one.shown is None else 'NOT_AS_ASKED', name, '%s %s: %s' % (what, name, shown.sentence(one)),
                   'Look at it with podman inspect, or in the container.')
