"""The storage drivers by Docker's name for them; what each offers is told in drivers.common.

This is the only list of drivers. Each import is a statement of its own, since Ansible sends those files to a managed node that an
import statement names; each stands in its branch, since most hosts use one driver.
"""
from typing import Any


def driver(name: str) -> Any:
    """The module of a storage driver by its NAME (text), None for an unknown one."""
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


def at(folder: bytes) -> Any:
    """The module of the driver whose folder below the data root is called FOLDER (bytes), None if that is no driver's."""
    try:
        found = driver(folder.decode('ascii'))
    except UnicodeDecodeError:
        return None
    return found if found is not None and folder == found.FOLDER else None
