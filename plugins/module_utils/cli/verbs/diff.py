"""lifeboat diff: what a container changed."""
from typing import TYPE_CHECKING

from ...bundles import objects
from ...disk.errors import LifeboatError
from ...disk.tree import Failure
from ...formats import wording
from .. import files
from ..host import open_host
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ..parser import Parser

DESCRIPTION = '''
A: added, C: changed, D: deleted, compared with the image, as docker diff prints it.'''

EXAMPLES = '''
lifeboat diff web
lifeboat diff web | grep '^A /etc'
lifeboat diff web --json'''


def arguments(parser: 'Parser') -> None:
    parser.add_argument('container', metavar='CONTAINER', help='name, or the beginning of the ID')


def run(given: 'argparse.Namespace', out: Output) -> int:
    from ...layers.changes import changes
    tally, found = files.Tally(out), []
    reference = objects.parse(given.container)
    if reference.kind not in (objects.CONTAINER, objects.LAYER):
        raise LifeboatError('diff takes a container, not %s' % shown(given.container))
    with open_host(given) as host:
        item = objects.find(host, reference)
        stack = item.record.stack
        if stack is None or stack.writable is None:
            raise LifeboatError(objects.said(item.record.problems, 'The writable layer of %s is not on this disk' % shown(item.name)))
        if not stack.known():
            tally.note(['layers of the image of %s are not on this disk: changed files of these layers are shown as added' % shown(item.name)])
        for change in changes(stack):
            if isinstance(change, Failure):
                tally.fail(b'/' + change.path, change.error)
            elif given.json:
                found.append(dict({'kind': change.kind}, **wording.path_fields(b'/' + change.path)))
            else:
                out.line('%s /%s' % (change.kind, shown(change.path)))
    if given.json:
        out.json({'changes': found})
    return tally.status()
