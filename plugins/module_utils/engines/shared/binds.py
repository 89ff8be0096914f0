"""Where the source of a bind mount lies on the managed node."""
import os
import stat
from typing import Any, Callable, Iterable, Iterator, Optional, Tuple

from ...disk import fsinfo, metadata
from ...formats import wording
from ...records import model
from ...records.codes import problem
from . import notmounted

MAX_LINKS = 40                          # as the kernel
# Sources that live in memory or belong to the running system: absent on a dead disk, and nothing is lost with them.
EPHEMERAL = (b'/run', b'/var/run', b'/proc', b'/sys', b'/dev')


def bind_path(source: str, host: Any, recorded_root: Optional[bytes], root_path: Optional[bytes],
              writable_places: Callable[[], Iterable[bytes]] = tuple) -> Tuple[Optional[bytes], str, Optional[model.Problem]]:
    """(path or None, status, problem or None) of a bind source as the dead host knew it.

    Only paths below the recorded data root move with it; every other one is looked up as it is below the host root.
    Links of the host are followed inside it; one that a container could have planted is not.
    """
    raw = wording.raw(source)
    if not raw.startswith(b'/'):
        return None, model.LOST, problem('BIND_MISSING', source, 'The bind source "%s" is not an absolute path.' % source, '')
    wanted = [raw]
    if recorded_root and root_path is not None and fsinfo.is_below(raw, recorded_root):
        wanted.insert(0, host.to_host(root_path) + raw[len(recorded_root):])
    why = ''
    for place in wanted:
        try:
            path = host.resolve(place)
            planted = None
            if path != os.path.normpath(host.place(place)):
                planted = _planted(host, place, writable_places())
        except OSError as exc:
            why = metadata.describe(exc)
            continue
        if planted:
            return None, model.LOST, problem(
                'BIND_THROUGH_LINK', source, 'The bind source %s leads through the link %s, which lies where a container '
                'could write: not followed.' % (source, wording.text(planted)), 'Archive its target by hand if you trust it.')
        return (path,) + notmounted.judged(host, place, model.COMPLETE, 'the bind source %s' % source)
    if any(raw == top or raw.startswith(top + b'/') for top in EPHEMERAL):
        return None, model.COMPLETE, None
    return None, model.LOST, problem(
        'BIND_MISSING', source, 'The bind source %s: %s.' % (source, why),
        notmounted.advice(host, raw) or 'If it lies on another disk, mount that below the host root and run again.')


def links_on_the_way(host: Any, path: bytes) -> Iterator[bytes]:
    """Yield every link, as a path that the dead host saw, that is followed when PATH (absolute bytes) is looked up."""
    here, todo, budget = b'/', [part for part in path.split(b'/') if part], MAX_LINKS
    while todo and budget:
        name = todo.pop(0)
        if name == b'.':
            continue
        if name == b'..':
            here = os.path.dirname(here)
            continue
        place = os.path.join(here, name)
        if not stat.S_ISLNK(host.lstat(place).st_mode):
            here = place
            continue
        yield place
        budget -= 1
        target = host.readlink(place)
        todo = [part for part in target.split(b'/') if part] + todo
        if target.startswith(b'/'):
            here = b'/'


def _planted(host: Any, path: bytes, places: Iterable[bytes]) -> Optional[bytes]:
    """The first link on the way that lies in one of PLACES, None if there is none."""
    for link in links_on_the_way(host, path):
        for place in places:
            if link.startswith(place.rstrip(b'/') + b'/'):
                return link
    return None
