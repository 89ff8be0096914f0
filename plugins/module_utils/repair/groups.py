# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All groups of repairs, in the order in which they build on each other. A group is a file with CODES and plan(), and a line here."""
from typing import Any, Dict

from . import containers, databases, guard, known, layers, links, mounts, repositories, small, steps
from .plan import Plan

GROUPS = (guard, layers, mounts, links, containers, repositories, databases, small)
CODES: Dict[str, steps.Code] = {code: each for group in GROUPS for code, each in group.CODES.items()}


def plan(this: Plan, recorded: str, userns: bool) -> None:
    """Fill THIS: the guard first, then all repairs.

    RECORDED: the data root as its engine knew it. USERNS: a root of user namespaces.
    """
    guard.plan(this)
    specs = known.runtime_specs(this.view)
    images: Dict[bytes, Any] = {}
    for name in known.drivers_of(this.view):
        if name in known.DRIVERS:
            images[name] = known.images(this.view, name)
            mounts.plan(this, name, images[name], specs, False)
            layers.plan(this, name, images[name])
            mounts.plan(this, name, images[name], specs, True)
            links.plan(this, name, images[name], userns)
    containers.plan(this, images, specs, recorded)
    for name, found in images.items():
        repositories.plan(this, name, found)
    databases.plan(this)
    small.plan(this)
    guard.plan(this)                    # of what can be read only now
