"""lifeboat du: sizes of folders, hard links once."""
import stat
from typing import TYPE_CHECKING, Dict, List, Tuple

from ...archive.progress import human
from ...bundles import objects
from .. import files
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ...layers.filesystem import FileSystem, Node
    from ..parser import Parser

DESCRIPTION = '''
The first number is what the files take on the disk, the second how long they are: holes of sparse files are the difference.'''

EXAMPLES = '''
lifeboat du web                      each folder right below /, and all together
lifeboat du -d 2 web:/var            two folders deep
lifeboat du layer:web                what the container itself wrote
lifeboat du volume:shop-data -b      in bytes'''


def arguments(parser: 'Parser') -> None:
    files.arguments(parser)
    parser.add_argument('-d', '--depth', type=int, default=1, metavar='N', help='print folders down to this depth (default: 1)')
    parser.add_argument('-b', '--bytes', action='store_true', help='bytes instead of MiB')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally, found = files.Tally(out), []

    def show(opened: objects.Opened, reference: objects.Reference, node: 'Node') -> None:
        place = objects.place(opened, b'')[:-1]
        sizes = measure(opened.files, node, given.depth, tally, place)
        for path, (allocated, apparent, count) in sorted(sizes.items(), key=lambda item: (len(item[0]) == 0, item[0])):
            full = b'/' + b'/'.join(node.names + path)
            if given.json:
                found.append({'path': shown(full), 'allocated': allocated, 'bytes': apparent, 'files': count, 'object': reference.text})
            elif given.bytes:
                out.line('%15d %15d %8d files  %s' % (allocated, apparent, count, shown(full)))
            else:
                out.line('%11s %11s %8d files  %s' % (human(allocated), human(apparent), count, shown(full)))

    status = files.each(given, out, tally, show)
    if given.json:
        out.json({'folders': found})
    return status


def measure(tree: 'FileSystem', node: 'Node', depth: int, tally: files.Tally, place: bytes = b'') -> Dict[Tuple[bytes, ...], Tuple[int, int, int]]:
    """{components of a folder below NODE: (allocated bytes, apparent bytes, files)}; () is all together. Hard links count once,
    in the folder that comes first."""
    sizes: Dict[Tuple[bytes, ...], List[int]] = {(): [0, 0, 0]}
    if node.folder is None:
        st = node.entry.st
        return {(): (st.st_blocks * 512, st.st_size, 1)}
    seen = set()
    start = len(node.names)
    for entry in files.entries(tree.walk(node), tally, place):
        st = entry.st
        parts = entry.path.split(b'/')[start:]
        folder = stat.S_ISDIR(st.st_mode)
        if st.st_nlink > 1 and not folder:
            if (st.st_dev, st.st_ino) in seen:
                continue
            seen.add((st.st_dev, st.st_ino))
        for count in range(min(depth, len(parts) - (not folder)) + 1):
            total = sizes.setdefault(tuple(parts[:count]), [0, 0, 0])
            total[0] += st.st_blocks * 512
            if stat.S_ISREG(st.st_mode):
                total[1] += st.st_size
            total[2] += not folder
    return {path: (total[0], total[1], total[2]) for path, total in sizes.items()}
