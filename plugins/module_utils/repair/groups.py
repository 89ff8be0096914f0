"""All groups of repairs, in the order in which they build on each other. A group is a file with CODES and plan(), and a line here."""
import os
from typing import TYPE_CHECKING, Any, Dict, List

from . import (
    containers,
    databases,
    guard,
    heal,
    known,
    layers,
    links,
    mounts,
    repositories,
    settings,
    small,
    steps,
    tarsplits,
    whole,
)
from .plan import Plan

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot

GROUPS = (guard, layers, mounts, links, containers, repositories, databases, small, settings, heal, tarsplits, whole)
MAX_PASSES = 6
CODES: Dict[str, steps.Code] = {code: each for group in GROUPS for code, each in group.CODES.items()}


def give_back(this: Plan, policies: Dict[bytes, Dict[str, Any]]) -> None:
    """Fill THIS with nothing but the restart policies of before the guard."""
    guard.give_back(this, policies)


def plan(this: Plan, root: 'DataRoot', donors: List[bytes]) -> None:
    """Fill THIS: the guard first, then all repairs of ROOT (inventory.DataRoot).

    DONORS: paths where files of damaged image layers may be had.
    """
    guard.plan(this, root)
    images: Dict[bytes, Any] = {name: known.images(this.view, name) for name in known.drivers_of(this.view)}
    specs = known.runtime_specs(this.view)
    for dummy in range(MAX_PASSES):     # what one pass repairs is a source for the next
        before = this.again()
        _records(this, root, images, specs, donors)
        if sum(step.selected for step in this.steps) == before:
            break
    for name, found in images.items():  # these take what all containers tell, so they come last
        repositories.plan(this, name, found)
    databases.plan(this)
    small.plan(this)
    settings.plan(this)
    heal.plan(this, root, donors)


def _records(this: Plan, root: 'DataRoot', images: Dict[bytes, Any], specs: Dict[bytes, Dict[str, Any]], donors: List[bytes]) -> None:
    recorded, userns = os.fsdecode(root.recorded_path or b'/var/lib/docker'), bool(root.idmap)
    for name, found in images.items():
        if name not in known.DRIVERS:
            continue
        mounts.plan(this, name, found, specs, False)
        layers.plan(this, name, found)
        whole.plan(this, name, found, donors, userns)
        tarsplits.plan(this, name, found, donors)
        mounts.plan(this, name, found, specs, True)
        links.plan(this, name, found, userns)
    containers.plan(this, images, specs, recorded)
    guard.plan(this, root)              # of what can be read only now
