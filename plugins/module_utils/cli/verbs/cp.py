"""lifeboat cp: files and folders out of containers, as files."""
import contextlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Iterator, List, NamedTuple, Optional, Set

from ...archive.progress import human
from ...bundles import objects, target
from ...disk.errors import LifeboatError
from ...disk.tree import Failure
from ...formats import wording
from .. import copying, files
from ..host import open_host
from ..main import NOTHING
from ..output import Output, shown
from ..progress import Bar, Meter

if TYPE_CHECKING:
    import argparse

    from ...engines.registry import Host
    from ...layers.filesystem import Node
    from ..parser import Parser

DESCRIPTION = '''
Owners, modes, times to the nanosecond, extended attributes, ACLs, holes and hard links are kept; links are copied as links.
As with docker cp: if DEST is a folder, the copy goes into it; a PATH that ends in /. means what is in the folder. Nothing
that exists is written over: --force renames it to NAME.until-TIME. A folder gets its name when it is whole; a copy that was
ended early is taken up by the same command.'''

EXAMPLES = '''
lifeboat cp web:/srv/uploads .
lifeboat cp web:/etc/nginx web:/var/www /mnt/usb/web/
lifeboat cp db:/var/lib/mysql /srv/mysql             volumes are at their places
lifeboat cp volume:shop-data:/. /srv/shop-data       what is in a volume
lifeboat cp layer:web:/ web-changes                  only what the container itself wrote
lifeboat cp --sums sums.txt web:/srv .               and its checksums, for sha256sum -c'''

GO_ON = 'Nothing half has its final name. Run the same command again: what is whole in .NAME...lifeboat-part is not copied again.'


class Job(NamedTuple):
    """Where it goes: `folder` is the descriptor of the destination's folder, `name` the final name in it, empty for what is in the
    source's folder."""
    folder: int
    name: bytes
    source: str                         # tells this source from others


def arguments(parser: 'Parser') -> None:
    parser.add_argument('objects', metavar='OBJECT:PATH', nargs='+', help='what to copy; ' + files.OBJECT_HELP)
    parser.add_argument('dest', metavar='DEST', help='a folder to copy into, or the new name')
    parser.add_argument('-L', '--follow-link', action='store_true', help='if PATH itself is a link, copy what it leads to')
    parser.add_argument('--force', action='store_true', help='rename what is there to NAME.until-TIME')
    parser.add_argument('--devices', action='store_true', help='also make device nodes (as root)')
    parser.add_argument('--sums', metavar='FILE', help='write the SHA-256 of each file to FILE, for sha256sum -c in the copied folder')
    parser.add_argument('--no-mounts', dest='mounts', action='store_false', help='without volumes and binds')
    parser.add_argument('--owner-ids', choices=('container', 'disk'), default='container',
                        help='owners as the container saw them (default), or as on the disk: they differ with user namespaces')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tally, counts, meter = files.Tally(out), copying.Counts(), Meter('copying')
    references = [objects.with_path(text) for text in given.objects]
    sums = open(given.sums, 'wb') if given.sums else None
    ready, folders = [], set()
    try:
        with open_host(given) as host, Bar(out, meter.snapshot):
            for reference in references:
                with objects.opened(host, reference, given.mounts) as found:
                    tally.note(found.partial)
                    _copy(given, host, found, reference, tally, meter, counts, sums, ready, folders)
        with _dest(given, counts):
            _finish(given, out, ready)
    finally:
        for copy in ready:
            copy.discard()
        for fd in folders:
            os.close(fd)
        if sums is not None:
            sums.close()
    _summary(given, out, counts, tally)
    return tally.status() if ready else NOTHING


@contextlib.contextmanager
def _dest(given: 'argparse.Namespace', counts: copying.Counts) -> Iterator[None]:
    """An error of the system in here is one of the destination."""
    try:
        yield
    except OSError as exc:
        raise LifeboatError('DEST %s cannot be written: %s, after %s. Nothing half has its final name; make room or choose another DEST, and '
                            'run the same command again: it goes on where it stopped' % (
                                shown(given.dest), exc.strerror or exc, human(counts.bytes)))


def _finish(given: 'argparse.Namespace', out: Output, ready: List[copying.Copy]) -> None:
    """Only when all is copied does anything get its name: so the same command can be run again after an end in the middle."""
    for copy in ready:
        for name, aside in copy.finish(given.force):
            out.note('%s was there and is now called %s' % (shown(name), shown(aside or b'')))


def _copy(given: 'argparse.Namespace', host: 'Host', found: objects.Opened, reference: objects.Reference, tally: files.Tally, meter: Meter,
          counts: copying.Counts, sums: Optional[BinaryIO], ready: List[copying.Copy], folders: Set[int]) -> None:
    """Copy what one reference means under a temporary name; READY gets the copying.Copy."""
    node = objects.lookup(found, reference.path, given.follow_link)
    place = objects.place(found, b'')[:-1]
    _refuse_inside(given, host, found, node)
    job = _job(given, found, reference, node)
    folders.add(job.folder)
    for name in [job.name] if job.name else _names(found, node, tally, place):
        if copying.exists(job.folder, name) is not None and not given.force:
            raise LifeboatError('There is %s already. Choose another DEST, or --force, which renames it' % shown(
                os.path.join(wording.raw(given.dest), name)))
    options = copying.Options(found.object.idmap if given.owner_ids == 'container' else None, given.devices, os.geteuid() == 0, sums)
    copy = copying.Copy(job.folder, job.name, job.source, options,
                        lambda path, error: tally.fail(place + b'/' + path, error, 'copy' if isinstance(error, copying.Refused) else 'read'),
                        meter, counts)
    meter.label = node.entry.path
    with _dest(given, counts):
        if node.folder is None:
            if copy.file(node.entry):
                ready.append(copy)
            return
        skip = len(node.entry.path) + 1 if node.entry.path else 0
        copy.folder(node.entry, found.files.walk(node), skip, lambda: _bytes(found, node))
        ready.append(copy)


def _names(found: objects.Opened, node: 'Node', tally: files.Tally, place: bytes) -> List[bytes]:
    return [entry.path.rpartition(b'/')[2] for entry in files.entries(found.files.children(node), tally, place)]


def _bytes(found: objects.Opened, node: 'Node') -> int:
    """Bytes that reading a folder takes: holes are not read."""
    return sum(min(item.st.st_size, item.st.st_blocks * 512 + 4096) for item in found.files.walk(node)
               if not isinstance(item, Failure) and stat.S_ISREG(item.st.st_mode))


# -- what goes where -------------------------------------------------------------------------------------------------------


def _job(given: 'argparse.Namespace', found: objects.Opened, reference: objects.Reference, node: 'Node') -> Job:
    path = reference.path or b'/'
    contents = node.folder is not None and (not path.strip(b'/.') or path.endswith(b'/.'))
    name = os.path.basename(os.path.normpath(path)) if not contents else b''
    dest = wording.raw(given.dest)
    source = '%s %s %s %s' % (os.fsdecode(found.object.root.path), found.object.kind, getattr(found.object.record, 'id', found.object.name),
                              os.fsdecode(path))
    if os.path.isdir(dest):
        parent = dest
    elif len(given.objects) > 1 or dest.endswith(b'/') and not contents:
        if os.path.lexists(dest.rstrip(b'/')):
            raise LifeboatError('DEST %s is not a folder' % shown(given.dest))
        os.mkdir(dest)
        parent = dest
    else:
        parent, name = os.path.dirname(dest.rstrip(b'/')) or b'.', os.path.basename(dest.rstrip(b'/'))
    try:
        folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise LifeboatError('The folder %s cannot be opened: %s' % (shown(parent), exc.strerror or exc))
    return Job(folder, name, source)


def _refuse_inside(given: 'argparse.Namespace', host: 'Host', found: objects.Opened, node: 'Node') -> None:
    """DEST must not lie in what is rescued."""
    dest = os.path.abspath(wording.raw(given.dest))
    sources = []
    for root in host.roots:
        sources += root.places() + [volume.path for volume in root.volumes().values() if volume.path]
    copied = b'/' + b'/'.join(node.names)
    for mount in getattr(found.object.record, 'mounts', ()) if given.mounts else ():
        at = wording.raw(mount.destination).rstrip(b'/')
        if mount.path is None:
            continue
        if at == copied or at.startswith(copied.rstrip(b'/') + b'/'):
            sources.append(mount.path)
        elif copied.startswith(at + b'/'):
            sources.append(os.path.join(mount.path, copied[len(at) + 1:]))
    for folder in sources:
        if target.within(host, dest, folder):
            raise LifeboatError('DEST %s lies inside %s, which is being rescued and must not be written. Choose a DEST on another disk' % (
                shown(dest), shown(folder)))


def _summary(given: 'argparse.Namespace', out: Output, counts: copying.Counts, tally: files.Tally) -> None:
    if counts.devices:
        tally.note(['%d device nodes were left out%s' % (counts.devices, '' if given.devices else '; --devices makes them (as root)')])
    if counts.attributes:
        tally.note(['%d extended attributes could not be written: the file system of DEST does not take them, or it needs root'
                    % counts.attributes])
    if counts.owners:
        tally.note(['%d owners or modes could not be set: the file system of DEST does not take them' % counts.owners])
    if os.geteuid() != 0:
        out.note('lifeboat: not run as root: everything belongs to you, owners and set-user-ID bits are not kept')
    if counts.split_links:
        out.note('lifeboat: %d hard links may be separate copies' % counts.split_links)
    text = '%s, %s copied' % (wording.number(counts.files, 'file'), human(counts.bytes))
    if counts.kept:
        text += ', %d of them by an earlier run' % counts.kept
    if given.json:
        out.json({'files': counts.files, 'bytes': counts.bytes, 'kept': counts.kept, 'sockets': counts.sockets, 'devices': counts.devices,
                  'attributes': counts.attributes, 'owners': counts.owners, 'failures': tally.failures})
    else:
        out.note(text)
