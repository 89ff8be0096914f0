"""Folders of an engine that could not be read: what is in them is not known, and that is said."""
import errno
from typing import Dict, Iterator

from ...disk import metadata
from ...formats import wording
from ...records import model
from ...records.codes import problem

MOST = 100
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Unread(object):
    """What was passed over, each folder once."""

    def __init__(self) -> None:
        self._why: Dict[bytes, str] = {}

    def note(self, path: bytes, exc: OSError) -> None:
        """PATH gave EXC. One that is not there, or a link, counts as empty."""
        if exc.errno not in _GONE:
            self._say(path, metadata.describe(exc))

    def cut(self, path: bytes, names: int, most: int) -> None:
        """Of the NAMES in PATH only MOST are looked at."""
        if names > most:
            self._say(path, 'it has %d names, and the first %d were looked at' % (names, most))

    def _say(self, path: bytes, why: str) -> None:
        if len(self._why) < MOST:
            self._why.setdefault(path, why)

    def problems(self, what: str) -> Iterator[model.Problem]:
        """Yield one for each. WHAT: what may be in them."""
        for path, why in sorted(self._why.items()):
            place = wording.text(path)
            yield problem('READ_ERROR', place, '%s could not be read whole: %s. %s in it are not known.' % (place, why, what),
                          'Run as root (become: true); if the disk is damaged, image it first.')
