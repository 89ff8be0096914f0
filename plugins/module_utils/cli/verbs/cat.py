"""lifeboat cat: the bytes of files."""
import os
from typing import TYPE_CHECKING

from ...bundles import objects
from ...disk.errors import LifeboatError
from ...formats import pieces
from .. import files
from ..output import Output, harmless, shown

if TYPE_CHECKING:
    import argparse

    from ...layers.filesystem import Node
    from ..parser import Parser

DESCRIPTION = '''
Links are followed inside the container. On a terminal, what it would act on is shown as escapes; --raw prints it as it is.'''

EXAMPLES = '''
lifeboat cat web:/etc/nginx/nginx.conf
lifeboat cat volume:shop-data:/config.json > config.json
lifeboat cat db:/var/log/app.log | grep ERROR'''


def arguments(parser: 'Parser') -> None:
    files.arguments(parser, 'OBJECT:PATH')
    parser.add_argument('--raw', action='store_true', help='print bytes as they are, on a terminal too')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally = files.Tally(out)
    escaped = out.terminal and not given.raw

    def show(opened: objects.Opened, reference: objects.Reference, node: 'Node') -> None:
        if reference.path is None:
            raise LifeboatError('"%s" has no path; write %s:/PATH' % ((shown(reference.text),) * 2))
        if node.folder is not None:
            raise LifeboatError('%s is a folder. lifeboat ls lists it' % shown(reference.text))
        try:
            fd = node.entry.open()
        except OSError as exc:
            raise LifeboatError('%s cannot be opened: %s' % (shown(reference.text), exc.strerror or exc))
        place = objects.place(opened, reference.path)
        try:
            _copy(fd, out, escaped)
        except OSError as exc:
            tally.fail(place, exc)
        finally:
            os.close(fd)

    return files.each(given, out, tally, show)


def _copy(fd: int, out: Output, escaped: bool) -> None:
    for piece in pieces.of(fd):
        out.write(harmless(piece) if escaped else piece)
