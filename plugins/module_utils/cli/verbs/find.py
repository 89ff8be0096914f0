"""lifeboat find: files by name, age, size and type."""
import fnmatch
import stat
from typing import TYPE_CHECKING, Callable, Iterator, List, Optional

from ...bundles import objects
from ...disk.errors import LifeboatError
from ...formats import quantities, wording
from ...layers import filesystem
from .. import files
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ...disk.tree import Entry
    from ..parser import Parser

DESCRIPTION = '''
All tests that are given must hold. -print0 prints the bytes of each path and a zero byte, for xargs -0.'''

EXAMPLES = '''
lifeboat find web -name '*.conf'
lifeboat find web:/srv -newer 7d               changed in the last seven days
lifeboat find web -newer 2026-05-01 -type f
lifeboat find web:/var -newer /etc/hostname    newer than that file of the container
lifeboat find volume:shop-data -size +100M     larger than 100 MiB
lifeboat find layer:web -type f                files that the container itself wrote'''

TYPES = ('f', 'd', 'l', 'p', 's', 'c', 'b')


def arguments(parser: 'Parser') -> None:
    files.arguments(parser)
    parser.add_argument('-name', metavar='GLOB', help='the name matches, as *.conf')
    parser.add_argument('-iname', metavar='GLOB', help='the same, ignoring case')
    parser.add_argument('-path', metavar='GLOB', help='the whole path matches')
    parser.add_argument('-newer', metavar='TIME', help='changed after a time (2026-05-01, 2026-05-01T12:00:00Z), within a duration '
                        '(10m, 7d), or after a file of the same OBJECT (/etc/hostname)')
    parser.add_argument('-size', metavar='[+-]SIZE', help='larger (+), smaller (-) or as large as 4096, 64M, 2GiB')
    parser.add_argument('-type', choices=TYPES, help='f file, d folder, l link, p FIFO, s socket, c and b devices')
    parser.add_argument('-maxdepth', metavar='N', type=int, help='at most this many levels deep')
    parser.add_argument('-print0', action='store_true', help='a zero byte behind each path, and nothing escaped')
    parser.add_argument('-l', '--long', action='store_true', help='modes, owners, sizes and times')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally, found = files.Tally(out), []
    size = _size(given.size)
    count = [0]

    def show(opened: objects.Opened, reference: objects.Reference, node: filesystem.Node) -> None:
        place = objects.place(opened, b'')[:-1]
        tests = _tests(given, size, opened)
        depth = len(node.names) + given.maxdepth if given.maxdepth is not None else None
        for entry in _below(opened, node, depth, tally, place):
            if not all(test(entry) for test in tests):
                continue
            count[0] += 1
            if given.json:
                found.append(dict(files.about(entry, b'/' + entry.path, opened.object.idmap), object=reference.text))
            elif given.print0:
                out.write(b'/' + entry.path + b'\0')
            elif given.long:
                out.line(files.long_line(entry, shown(b'/' + entry.path), opened.object.idmap))
            else:
                out.line('/' + shown(entry.path))

    status = files.each(given, out, tally, show)
    if given.json:
        out.json({'entries': found})
    return status


def _below(opened: objects.Opened, node: filesystem.Node, depth: Optional[int], tally: files.Tally,
           place: bytes) -> 'Iterator[Entry]':
    if node.folder is None:
        return iter((node.entry,))
    if depth is not None and depth <= len(node.names):
        return iter(())
    return files.entries(opened.files.walk(
        node, None if depth is None else lambda entry: entry.path.count(b'/') + 1 >= depth), tally, place)


def _tests(given: 'argparse.Namespace', size: Optional[Callable[[int], bool]], opened: objects.Opened) -> 'List[Callable[[Entry], bool]]':
    tests: List[Callable[[Entry], bool]] = []
    if given.type:
        tests.append(lambda entry: filesystem.kind(entry.st.st_mode) == given.type)
    if size is not None:
        tests.append(lambda entry: stat.S_ISREG(entry.st.st_mode) and size(entry.st.st_size))
    if given.newer:
        since = _newer(given.newer, opened)
        tests.append(lambda entry: entry.st.st_mtime_ns > since)
    if given.name:
        name = wording.raw(given.name)
        tests.append(lambda entry: fnmatch.fnmatchcase(entry.path.rpartition(b'/')[2], name))
    if given.iname:
        iname = wording.raw(given.iname).lower()
        tests.append(lambda entry: fnmatch.fnmatchcase(entry.path.rpartition(b'/')[2].lower(), iname))
    if given.path:
        path = wording.raw(given.path)
        tests.append(lambda entry: fnmatch.fnmatchcase(b'/' + entry.path, path))
    return tests


def _newer(text: str, opened: objects.Opened) -> int:
    """Nanoseconds since 1970 of -newer."""
    if text.startswith('/'):
        return objects.lookup(opened, wording.raw(text)).entry.st.st_mtime_ns
    try:
        seconds, nanos = quantities.moment(text)
    except ValueError as exc:
        raise LifeboatError('-newer: %s, or the path of a file of the same object' % exc)
    return seconds * 1000000000 + nanos


def _size(text: Optional[str]) -> Optional[Callable[[int], bool]]:
    if text is None:
        return None
    try:
        limit = quantities.size(text.lstrip('+-'))
    except ValueError as exc:
        raise LifeboatError('-size: %s; + before it means larger, - smaller' % exc)
    if text.startswith('+'):
        return lambda size: size > limit
    if text.startswith('-'):
        return lambda size: size < limit
    return lambda size: size == limit
