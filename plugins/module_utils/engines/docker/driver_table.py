# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage drivers by Docker's name for them; what each offers is told in drivers.common."""


def driver(name):
    """The module of a storage driver, None for an unknown one. Imported on demand: most hosts use one."""
    if name == 'overlay2':
        from .drivers import overlay2
        return overlay2
    if name == 'fuse-overlayfs':
        from .drivers import fuse_overlayfs
        return fuse_overlayfs
    if name == 'aufs':
        from .drivers import aufs
        return aufs
    if name == 'vfs':
        from .drivers import vfs
        return vfs
    if name == 'btrfs':
        from .drivers import btrfs
        return btrfs
    if name == 'overlay':
        from .drivers import overlay
        return overlay
    if name == 'devicemapper':
        from .drivers import devicemapper
        return devicemapper
    if name == 'zfs':
        from .drivers import zfs
        return zfs
    if name == 'windowsfilter':
        from .drivers import windowsfilter
        return windowsfilter
    return None
