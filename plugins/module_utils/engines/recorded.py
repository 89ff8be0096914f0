# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine's own files, as a bundle keeps them, as a Definition: for bundles of version 1, which have no neutral one."""
from typing import Callable

from ..disk.errors import LifeboatError
from ..formats.wording import show
from ..records.definition import Definition

# what wrote bundles before there were names of engines in them
FIRST = 'docker'


def definition(engine: str, read: Callable[[str], bytes]) -> Definition:
    """The Definition of the files of ENGINE, which READ(name) gives (b'' where there is none); damaged files count as lost.

    LifeboatError for an engine that this collection does not know.
    """
    if engine != FIRST:
        raise LifeboatError('This collection does not know the engine %s, whose records are to be read.' % show(engine))
    from .docker import definition as docker
    return docker.of_records(read)
