"""The component `paths`: files that the user named as OBJECT:GLOB, as an archive below the folders they were in."""
import contextlib
import errno
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Tuple

from ..archive import write as archive
from ..disk.errors import LifeboatError
from ..formats.wording import raw, show
from ..layers import chosen, filesystem
from ..records import model
from . import objects, plan

if TYPE_CHECKING:
    from ..engines.registry import Host


class Wanted(NamedTuple):
    """What is wanted of one object. `partial`: sentences on what of the paths cannot be there."""
    object: objects.Object
    item: plan.Item
    partial: Tuple[str, ...]


class PathsTree(object):
    """The files of an objects.Object that PATTERNS (bytes) choose; a tree as those of archive.trees."""

    def __init__(self, item: objects.Object, patterns: List[bytes]) -> None:
        self._object = item
        self._patterns = patterns

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tuple[None, Iterator[Any]]]:
        """Yield (None, stream of Entry and Failure). OSError if the object cannot be opened."""
        try:
            with contextlib.ExitStack() as stack:
                found = stack.enter_context(objects.files_of(self._object))
                yield None, chosen.Choice(found.files, [chosen.resolve(found.files, text) for text in self._patterns]).entries()
        except chosen.Nothing as exc:
            raise OSError(errno.ENOENT, 'what a pattern matched a moment ago is gone; %s is there' % show(exc.parent))
        except LifeboatError as exc:
            if isinstance(exc, OSError):
                raise
            raise OSError(errno.ENODATA, str(exc).rstrip('.'))


def wanted(host: 'Host', texts: Tuple[str, ...]) -> List[Wanted]:
    """What the option `paths` means, in the order of its objects. LifeboatError for a pattern that matches nothing, before anything is
    written: with it the nearest folder that exists."""
    found: Dict[Tuple[bytes, str, str], Tuple[Any, List[bytes]]] = {}
    for text in texts:
        reference = objects.with_path(text)
        hits = objects.every(host, reference)
        misses = []
        for item in hits:
            try:
                _check(item, reference)
            except LifeboatError as exc:
                misses.append(exc)
                continue
            key = (item.root.path, item.kind, getattr(item.record, 'id', item.name))
            patterns = found.setdefault(key, (item, []))[1]
            if reference.path not in patterns:
                patterns.append(reference.path or b'/')
        if len(misses) == len(hits):
            raise misses[0]
    return [_wanted(item, patterns) for item, patterns in found.values()]


def _check(item: objects.Object, reference: objects.Reference) -> None:
    """LifeboatError if REFERENCE matches no file of ITEM."""
    text = show(reference.text)
    with objects.files_of(item) as opened:
        try:
            pattern = chosen.resolve(opened.files, reference.path or b'')
        except chosen.Nothing as exc:
            raise LifeboatError('paths: %s matches nothing in %s: %s. The nearest folder that exists is %s' % (
                text, show(item.name), filesystem.why(exc.why), show(exc.parent)))
        choice, lost = chosen.Choice(opened.files, [pattern]), None
        for entry in choice.entries() if pattern.rest else ():
            if isinstance(entry, chosen.Failure):
                lost = lost or entry
            elif choice.matched:
                break
        if not choice.matched:
            raise LifeboatError('paths: %s matches nothing in %s. The nearest folder that exists is %s%s' % (
                text, show(item.name), show(b'/' + b'/'.join(pattern.names)),
                '; %s could not be read: %s' % (show(b'/' + lost.path), filesystem.why(lost.error)) if lost else ''))


def _wanted(item: objects.Object, patterns: List[bytes]) -> Wanted:
    with objects.files_of(item) as opened:
        places = [chosen.resolve(opened.files, text).names for text in patterns]
        partial = [] if all(opened.files.is_mounted(names) for names in places) else list(opened.partial)
    name = '%s%s' % ('layer-' if item.kind == objects.LAYER else '', item.name)
    about = {'object': item.name if item.kind == objects.CONTAINER else '%s:%s' % (item.kind, item.name),
             'patterns': [show(text) for text in patterns]}
    return Wanted(item, plan.Item('paths:' + name, 'paths', 'paths/' + _stem(name), PathsTree(item, patterns), archive.TREE, about,
                                  model.PARTIAL if partial else model.COMPLETE), tuple(partial))


def _stem(name: str) -> str:
    """A file name made of the name of an object."""
    return re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-.')[:100] or raw(name).hex()[:32]
