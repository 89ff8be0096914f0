"""lifeboat ls: names in a folder, of all below it with -R."""
import stat
from typing import TYPE_CHECKING, Any, List

from ...archive import progress
from ...bundles import objects
from .. import files
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ...layers.filesystem import Node
    from ..parser import Parser

DESCRIPTION = '''
Files are shown as the container saw them: all layers together, volumes and binds at their places. With -R each path below
is one line, parents first. Owners are numbers.'''

EXAMPLES = '''
lifeboat ls web:/srv                 what is in /srv of the container web
lifeboat ls -l web:/var/lib/mysql    with modes, owners, sizes and times
lifeboat ls -R volume:shop-data      everything in a volume, one path a line
lifeboat ls -R layer:web             only what the container itself wrote
lifeboat ls image:nginx:1.25:/etc    a folder of an image
lifeboat --host-root /mnt/dead ls web:/'''


def arguments(parser: 'Parser') -> None:
    files.arguments(parser)
    parser.add_argument('-l', '--long', action='store_true', help='modes, owners, sizes, times and where links lead')
    parser.add_argument('-R', '--recursive', action='store_true', help='everything below, one path a line')
    parser.add_argument('-H', '--human', action='store_true', help='with -l: sizes as 1.5 MiB')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally = files.Tally(out)
    listed = []

    def show(opened: objects.Opened, reference: objects.Reference, node: 'Node') -> None:
        heading = len(given.objects) > 1 and not given.json
        if heading:
            out.line('%s:' % shown(reference.text))
        _show(given, out, tally, opened, reference, node, listed)
        if heading:
            out.line()

    status = files.each(given, out, tally, show)
    if given.json:
        out.json({'entries': listed})
    return status


def _show(given: 'argparse.Namespace', out: Output, tally: files.Tally, opened: objects.Opened, reference: objects.Reference, node: 'Node',
          listed: List[Any]) -> None:
    place = objects.place(opened, b'')[:-1]
    if node.folder is None:
        found = [node.entry]
    elif given.recursive and not given.long and not given.json:
        return _names(out, tally, opened, node, place)
    elif given.recursive:
        found = files.entries(opened.files.walk(node), tally, place)
    else:
        found = files.entries(opened.files.children(node), tally, place)
    skip = len(node.entry.path) + 1 if node.entry.path and not given.recursive and node.folder is not None else 0
    human = progress.human if given.human else None
    for entry in found:
        path = entry.path[skip:] if not given.recursive else b'/' + entry.path
        if given.json:
            listed.append(dict(files.about(entry, b'/' + entry.path, opened.object.idmap), object=reference.text))
        elif given.long:
            out.line(files.long_line(entry, shown(path), opened.object.idmap, human))
        else:
            out.line(shown(path) + ('/' if stat.S_ISDIR(entry.st.st_mode) else ''))
    return None


def _names(out: Output, tally: files.Tally, opened: objects.Opened, node: 'Node', place: bytes) -> None:
    """Paths only: the kernel says what is a folder when it lists, so nothing else is asked of it."""
    for batch in opened.files.paths(node, lambda failure: tally.fail(place + b'/' + failure.path, failure.error)):
        if not batch:
            continue
        lines = b'/' + b'\n/'.join(batch)
        if not plain(lines, len(batch)):
            lines = '\n'.join(['/' + shown(path) for path in batch]).encode('utf-8')
        out.write(lines + b'\n')


def plain(lines: bytes, count: int) -> bool:
    """True for COUNT lines that shown() would not change."""
    try:
        text = lines.decode('utf-8')
    except UnicodeDecodeError:
        return False
    return text.count('\n') == count - 1 and text.replace('\n', '').isprintable()
