"""A bbolt database on the rescued disk: Docker's of volumes, containerd's of names and snapshots."""
import os
from typing import TYPE_CHECKING, Optional, Tuple

from ...disk import metadata, safeio

if TYPE_CHECKING:
    from ...formats.boltdb import Db

MAX_DB = 512 * 1024 * 1024


def read_db(root: safeio.Dir, folder: bytes, name: bytes) -> 'Tuple[Optional[Db], str]':
    """(boltdb.Db or None, damage) of a bbolt file below an open root."""
    try:
        holder = root.descend(folder)
        fd = holder.open(name)
    except OSError as exc:
        return None, '%s: %s' % (name.decode(), metadata.describe(exc))
    try:
        raw = safeio.read_all(fd, MAX_DB)
    except OSError as exc:
        return None, '%s: %s' % (name.decode(), metadata.describe(exc))
    finally:
        os.close(fd)
        holder.close()
    from ...formats import boltdb  # long, and not every host has such a file
    try:
        database = boltdb.open_db(raw)
    except ValueError as exc:
        return None, '%s: %s' % (name.decode(), exc)
    return database, '%s: %s' % (name.decode(), database.trouble) if database.trouble else ''
