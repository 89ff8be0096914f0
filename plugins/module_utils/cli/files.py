"""What the verbs that look at files have in common: objects as arguments, failures that are told, one line for one file."""
import os
import stat
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from ..bundles import objects
from ..disk.errors import LifeboatError
from ..disk.tree import Entry, Failure
from ..formats import wording
from ..layers import filesystem
from .host import open_host
from .main import PARTIAL, WHOLE
from .output import Output, shown
from .parser import OBJECT_HELP, Parser

if TYPE_CHECKING:
    import argparse

    from ..layers.idmap import IdMap

TOLD = 20                               # failures that are printed; all are counted
TYPES = {'f': '-', 'd': 'd', 'l': 'l', 'p': 'p', 's': 's', 'c': 'c', 'b': 'b'}


def arguments(parser: Parser, metavar: str = 'OBJECT[:PATH]', several: bool = True) -> None:
    """The argument OBJECT[:PATH], and whether mounts are looked into."""
    parser.add_argument('objects' if several else 'object', metavar=metavar, help=OBJECT_HELP, nargs='+' if several else None)
    parser.add_argument('--no-mounts', dest='mounts', action='store_false',
                        help='without volumes and binds of a container: they are empty folders')


class Tally(object):
    """What could not be read: printed to the standard error as it comes, counted to the end."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.failures = 0
        self.partial = False

    def fail(self, path: bytes, error: Union[OSError, str], what: str = 'read') -> None:
        """PATH (bytes) could not be read, or WHAT."""
        self.failures += 1
        self.partial = True
        if self.failures <= TOLD:
            self._out.error('lifeboat: cannot %s %s: %s' % (what, shown(path), filesystem.why(error) if isinstance(error, OSError) else error))

    def note(self, sentences: List[str]) -> None:
        """SENTENCES on what is missing from the start."""
        for sentence in sentences:
            self.partial = True
            self._out.error('lifeboat: %s' % sentence)

    def status(self) -> int:
        if self.failures > TOLD:
            self._out.error('lifeboat: the same with %d more' % (self.failures - TOLD))
        return PARTIAL if self.partial else WHOLE


def entries(stream: Iterable[Union[Entry, Failure]], tally: Tally, place: bytes = b'') -> Iterator[Entry]:
    """The Entry of STREAM; failures go to TALLY."""
    for item in stream:
        if isinstance(item, Failure):
            tally.fail(place + b'/' + item.path, item.error)
        else:
            yield item


def each(given: 'argparse.Namespace', out: Output, tally: Tally, show: Callable[..., Any]) -> int:
    """SHOW(opened, reference, node) for each of given.objects; one that is not there does not keep the others back."""
    missing = 0
    with open_host(given) as host:
        for text in given.objects:
            try:
                reference = objects.parse(text)
                with objects.opened(host, reference, given.mounts) as found:
                    tally.note(found.partial)
                    show(found, reference, objects.lookup(found, reference.path))
            except LifeboatError as exc:
                if len(given.objects) == 1:
                    raise
                missing += 1
                out.error('lifeboat: %s' % exc)
    if missing == len(given.objects):
        raise LifeboatError('nothing of that is there')
    tally.partial = tally.partial or bool(missing)
    return tally.status()


def about(entry: Entry, path: bytes, idmap: 'Optional[IdMap]' = None) -> Dict[str, Any]:
    """An entry as JSON: the same keys for every verb. Owners are those that the container saw."""
    st = entry.st
    uid, gid = owner(st, idmap)
    fields = wording.path_fields(path)
    fields.update({'type': filesystem.kind(st.st_mode), 'mode': '%04o' % stat.S_IMODE(st.st_mode), 'uid': uid, 'gid': gid,
                   'size': st.st_size, 'mtime': moment(st.st_mtime_ns), 'mtime_ns': st.st_mtime_ns})
    if stat.S_ISLNK(st.st_mode):
        fields.update(wording.path_fields(target(entry), 'link'))
    return fields


def owner(st: os.stat_result, idmap: 'Optional[IdMap]') -> Tuple[int, int]:
    """(uid, gid) of a stat as the container saw them. IDMAP: layers.idmap.IdMap or None."""
    return idmap.to_container(st.st_uid, st.st_gid) if idmap is not None else (st.st_uid, st.st_gid)


def target(entry: Entry) -> bytes:
    """Where a link leads (bytes), empty where that cannot be read."""
    try:
        return entry.readlink()
    except OSError:
        return b''


def moment(nanoseconds: int) -> str:
    """RFC 3339, UTC, in seconds."""
    try:
        return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(nanoseconds // 1000000000))
    except (ValueError, OverflowError, OSError):
        return '?'


def long_line(entry: Entry, name: str, idmap: 'Optional[IdMap]' = None, human: Optional[Callable[[float], str]] = None) -> str:
    """A line as ls -l has it; owners are numbers, as the container's passwd is another one."""
    st = entry.st
    uid, gid = owner(st, idmap)
    kind = filesystem.kind(st.st_mode)
    size = '%d, %d' % (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in ('c', 'b') else \
        human(st.st_size) if human else '%d' % st.st_size
    text = '%s %5d %5d %12s %s %s' % (stat.filemode(st.st_mode), uid, gid, size, moment(st.st_mtime_ns), name)
    return text + ' -> ' + shown(target(entry)) if kind == 'l' else text
