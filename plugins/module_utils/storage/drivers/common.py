# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's storage drivers: where each keeps a layer, and in which encoding.

A driver is one file here that offers

- ``ENCODING``: model.OVERLAY, AUFS, FUSE_OVERLAYFS or PLAIN, or None where plain file reading can't reach the layers;
- ``FOLDER``: its folder below the data root (bytes);
- ``layer(id)`` and ``writable(id)``: path of a read-only layer's and of a writable layer's content below the data
  root, and ``work(id)``, ``merged(id)`` or None;
- ``ids(root)``: the ids that have a folder (sorted bytes);
- ``lowers(root, id)``: Lowers, the driver's own record of what lies below a layer; a full-copy driver has none;
- ``next_step(root, id)``: for an unsupported one, what can read it.

and a line in :func:`driver` here. Everything else (chains, views, changes, archives) works from these.
"""
import re
from typing import NamedTuple, Optional, Tuple

CACHE_ID = re.compile(rb'[0-9a-f]{64}(-init)?\Z')
BUILDKIT_ID = re.compile(rb'[0-9a-z]{25}(-init)?\Z')


class Lowers(NamedTuple):
    """What a driver's own files say lies below a layer, nearest first. `ids` is None where they say nothing usable."""
    ids: Optional[Tuple[bytes, ...]]
    damage: str = ''                    # '' or what is wrong with the files
    below: Optional[bytes] = None       # overlay2: the text of `lower` after the init layer, if all in it is as usual


def driver(name):
    """The module of a storage driver, None for an unknown one. Imported on demand: most hosts use one."""
    if name == 'overlay2':
        from . import overlay2
        return overlay2
    if name == 'fuse-overlayfs':
        from . import fuse_overlayfs
        return fuse_overlayfs
    if name == 'aufs':
        from . import aufs
        return aufs
    if name == 'vfs':
        from . import vfs
        return vfs
    if name == 'btrfs':
        from . import btrfs
        return btrfs
    if name == 'overlay':
        from . import overlay
        return overlay
    if name == 'devicemapper':
        from . import devicemapper
        return devicemapper
    if name == 'zfs':
        from . import zfs
        return zfs
    if name == 'windowsfilter':
        from . import windowsfilter
        return windowsfilter
    return None


def folder_names(root, path):
    """Names in a folder below the data root, [] where it can't be listed."""
    try:
        return root.descend(path).names()
    except OSError:
        return []
