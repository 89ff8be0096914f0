"""lifeboat tar: a tar archive to the standard output."""
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Union

from ...archive import write as archive
from ...bundles import objects
from ...disk.errors import LifeboatError
from .. import files
from ..host import open_host
from ..progress import Bar, Meter

if TYPE_CHECKING:
    import argparse

    from ...disk.tree import Entry
    from ...layers.filesystem import Node
    from ...layers.idmap import IdMap
    from ..output import Output
    from ..parser import Parser

DESCRIPTION = '''
Without a path the archive of a container is what docker export gives: the merged file system without volumes and binds;
--mounts takes them in. With a path it is what docker cp NAME:PATH - gives, and mounts are in it. layer:NAME gives an OCI
layer, in which .wh.NAME means that NAME was deleted. Owners are those that the container saw.'''

EXAMPLES = '''
lifeboat tar web > web.tar                           as docker export
lifeboat tar web | docker import - web:rescued       on a healthy host
lifeboat tar web:/srv/uploads | zstd > uploads.tar.zst
lifeboat tar volume:shop-data | ssh new 'tar -x -C /srv/shop-data'
ssh dead 'python3 lifeboat.pyz tar db:/var/lib/mysql' > mysql.tar
lifeboat tar layer:web > layer.tar                   only what the container itself wrote'''

GO_ON = 'The archive that was written is not whole; run it again.'


def arguments(parser: 'Parser') -> None:
    files.arguments(parser, several=False)
    parser.add_argument('--mounts', dest='all_mounts', action='store_true', help='volumes and binds also in the archive of a whole container')
    parser.add_argument('--owner-ids', choices=('container', 'disk'), default='container',
                        help='owners as the container saw them (default), or as on the disk: they differ with user namespaces')


class Writer(object):
    """What archive.write_tar writes to."""

    def __init__(self, out: 'Output', meter: Meter) -> None:
        self._out = out
        self._meter = meter

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._out.write_now(data)
        self._meter.done += len(data)


def run(given: 'argparse.Namespace', out: 'Output') -> int:
    if out.terminal:
        raise LifeboatError('tar writes an archive, and the standard output is a terminal; write it into a file or a pipe: '
                            'lifeboat tar ... > x.tar')
    tally, meter = files.Tally(out), Meter('writing')
    reference = objects.parse(given.object)
    whole = not (reference.path or b'').strip(b'/.')
    mounts = given.mounts and (given.all_mounts or not whole)
    with open_host(given) as host, objects.opened(host, reference, mounts) as found:
        tally.note(found.partial)
        place = objects.place(found, b'')[:-1]
        idmap = found.object.idmap if given.owner_ids == 'container' else None
        with Bar(out, meter.snapshot):
            result = _write(found, reference, Writer(out, meter), idmap, lambda lost: tally.fail(
                place + b'/' + lost.path, lost.message))
    if result.markers_total:
        tally.note(['%d real files are named .wh.*: in a layer, this name means a deletion' % result.markers_total])
    return tally.status()


def _write(found: objects.Opened, reference: objects.Reference, writer: Writer, idmap: 'Optional[IdMap]',
           failed: Callable[[archive.Lost], Any]) -> archive.Result:
    node = objects.lookup(found, reference.path, follow=False)
    if found.object.kind == objects.LAYER and not node.names:
        from ...archive import trees
        with trees.LayerTree(found.object.record.stack).opened() as (root, entries):
            return archive.write_tar(entries, writer, archive.LAYER, idmap, root_entry=root, on_failure=failed)
    if node.names:
        return archive.write_tar(renamed(found, node), writer, idmap=idmap, on_failure=failed)
    root = node.entry if found.object.kind == objects.VOLUME and node.folder is not None else None
    if node.folder is None:             # a volume that is a single file
        return archive.write_tar(iter((node.entry._replace(path=node.entry.name),)), writer, idmap=idmap, on_failure=failed)
    return archive.write_tar(found.files.walk(node), writer, idmap=idmap, root_entry=root, on_failure=failed)


def renamed(found: objects.Opened, node: 'Node') -> 'Iterator[Entry]':
    """Entries of NODE and all below it, under its last name."""
    skip = sum(map(len, node.names[:-1])) + len(node.names) - 1
    yield node.entry._replace(path=node.entry.path[skip:])
    if node.folder is not None:
        for item in found.files.walk(node):
            yield item._replace(path=item.path[skip:])
