"""A volume or a bind whose own disk is not mounted: an empty folder is in its place, and looks like an empty volume."""
import shlex
from typing import Any, Optional, Tuple

from ...formats.wording import show
from ...records import model
from ...records.codes import problem


def judged(host: Any, path: bytes, status: str, what: str) -> Tuple[str, Optional[model.Problem]]:
    """(status, problem or None) of a folder that was found with STATUS. PATH: as the dead host saw it. WHAT: words for it, such as
    `volume shop_db`."""
    found = host.expected.missing(path)
    if found is None:
        return status, None
    entry = found.expected
    said = '%s says that %s is mounted at %s, but it is not' % (show(entry.where), show(entry.source), show(entry.point))
    place = shlex.quote(show(host.place(entry.point)))
    if host.is_folder(entry.source):    # a bind mount
        step = 'Bind it read-only (mount -o bind,ro -- %s %s). Then run again.' % (shlex.quote(show(host.place(entry.source))), place)
    else:
        step = 'Add the disk that has it to disk_attach (path), or mount it at %s by hand (docs/outage.md, "Mount a disk"). Then run again.' % place
    if not found.empty:
        return status, problem('MOUNT_POINT_FILLED', show(entry.point), '%s. There are files in its place: a copy of them, or only what lay below the '
                               'mount point.' % said, 'If they are a copy of the whole host, nothing is missing. Otherwise: %s' % step)
    return model.worst([status, model.PARTIAL]), problem(
        'MOUNT_MISSING', what, '%s: %s is empty here, and its data are on that file system.' % (said, what), step)


def advice(host: Any, path: bytes) -> str:
    """A sentence for a folder that is not there at all: which file system of the host should have it. '' if none is named."""
    found = host.expected.missing(path)
    if found is None:
        return ''
    return '%s says that %s is mounted at %s, but it is not.' % (show(found.expected.where), show(found.expected.source), show(found.expected.point))
