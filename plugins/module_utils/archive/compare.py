"""Compares a folder with an archive: would unpacking the archive make the same? Nothing is written, and nothing is opened through a link.

Compared are names, kinds, content, links, devices, modes, extended attributes and, as root, owners. Times are not: a folder
that had a file made and removed in it holds the same data. Sockets do not count, since no archive has them.
"""
import os
import stat
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from ..disk import safeio
from ..formats import wording
from . import tarread
from .tarread import BLOCKDEV, CHARACTER, CHUNK, FIFO, FILE, FOLDER, HARDLINK, SYMLINK, shown
from .unpack import HOST_XATTRS

KINDS = {FILE: stat.S_IFREG, HARDLINK: stat.S_IFREG, FOLDER: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, FIFO: stat.S_IFIFO,
         CHARACTER: stat.S_IFCHR, BLOCKDEV: stat.S_IFBLK}
ZEROS = bytes(CHUNK)


class _Differs(Exception):
    """Ends a comparison; its text says what tells the two apart."""


def difference(stream: Any, folder: int, name: bytes, what: str, owners: Optional[bool] = None) -> str:
    """'' if NAME in the open FOLDER is what unpack() would make of STREAM (decompressed, read(n)), else the first thing that
    tells them apart, in words. OWNERS: compare them (default: for root). Raises ArchiveError for a damaged archive.

    STREAM is read up to the first difference, and to its end if there is none.
    """
    owners = os.geteuid() == 0 if owners is None else owners
    here = safeio.Dir.held(folder)
    try:
        reader = tarread.Reader(stream, what)
        if not stat.S_ISDIR(here.stat(name).st_mode):
            _single(reader, here, name, owners)
        else:
            _Tree(reader, here.child(name), owners).compare()
        return ''
    except _Differs as exc:
        return str(exc)
    except OSError as exc:
        return 'it cannot be read: %s' % (exc.strerror or exc)
    finally:
        here.close_all()


def _single(reader: tarread.Reader, here: safeio.Dir, name: bytes, owners: bool) -> None:
    """A bind mount of one file: an archive of this file alone, whatever its name there."""
    for member in reader:
        if reader.members > 1 or member.kind != FILE:
            raise _Differs('it is one file, and the archive has more')
        _same(reader, member, here, name, owners)
    if not reader.members:
        raise _Differs('the archive has nothing of it')


class _Tree(object):
    def __init__(self, reader: tarread.Reader, root: safeio.Dir, owners: bool) -> None:
        self.reader = reader
        self.root = root
        self.owners = owners
        self.way = [(b'', root)]        # folders from the root to where the last member was

    def compare(self) -> None:
        count = 0
        for member in self.reader:
            if not member.name:
                _same_record(member, os.fstat(self.root.fd), safeio.xattrs_of(self.root.fd), self.owners)
                continue
            count += 1
            above, dummy, name = member.name.rpartition(b'/')
            here = self._folder(above)
            if member.kind == HARDLINK:
                _same_link(member, here, name, self.root)
            else:
                _same(self.reader, member, here, name, self.owners)
        present = sum(1 for dummy in _walk(self.root))
        if present != count:
            raise _Differs('there are %s and folders, and the archive has %d' % (wording.number(present, 'file'), count))

    def _folder(self, path: bytes) -> safeio.Dir:
        """The Dir of PATH; members of one folder come one after another, so the way to the last one is kept."""
        while self.way[-1][0] and path != self.way[-1][0] and not path.startswith(self.way[-1][0] + b'/'):
            self.way.pop()[1].close()
        known, here = self.way[-1]
        for part in path[len(known):].strip(b'/').split(b'/') if path != known else ():
            here = here.child(part)
            known = os.path.join(known, part)
            self.way.append((known, here))
        return here


def _walk(root: safeio.Dir) -> Iterator[os.stat_result]:
    """Yield the stat of everything below ROOT (safeio.Dir) but sockets."""
    pending: List[Tuple[Optional[safeio.Dir], bytes]] = [(None, b'')]
    while pending:
        above, name = pending.pop()
        here = root if above is None else above.child(name)
        for inner in here.names():
            st = here.stat(inner)
            if stat.S_ISDIR(st.st_mode):
                pending.append((here, inner))
            if not stat.S_ISSOCK(st.st_mode):
                yield st


def _same_link(member: tarread.Member, here: safeio.Dir, name: bytes, root: safeio.Dir) -> None:
    """A second name of a file: compared by its inode, the content was compared under the first."""
    above, dummy, last = member.link.rpartition(b'/')
    try:
        one, two = here.stat(name), root.descend(above).stat(last)
    except FileNotFoundError:
        raise _Differs('%s is not there' % shown(member.name))
    if (one.st_dev, one.st_ino) != (two.st_dev, two.st_ino):
        raise _Differs('%s is not the same file as %s' % (shown(member.name), shown(member.link)))


def _same(reader: tarread.Reader, member: tarread.Member, here: safeio.Dir, name: bytes, owners: bool) -> None:
    """One name of the folder HERE against MEMBER."""
    try:
        st = here.stat(name)
    except FileNotFoundError:
        raise _Differs('%s is not there' % shown(member.name))
    if stat.S_IFMT(st.st_mode) != KINDS[member.kind]:
        raise _Differs('%s is of another kind' % shown(member.name))
    if member.kind == FILE and st.st_size != member.realsize:
        raise _Differs('%s has %s instead of %d' % (shown(member.name), wording.number(st.st_size, 'byte'), member.realsize))
    if member.kind == SYMLINK and here.readlink(name) != member.link:
        raise _Differs('%s is a link to another place' % shown(member.name))
    if member.kind in (CHARACTER, BLOCKDEV) and (os.major(st.st_rdev), os.minor(st.st_rdev)) != member.device:
        raise _Differs('%s is another device' % shown(member.name))
    _same_record(member, st, safeio.xattrs_of(here.node(name), False), owners)
    if member.kind == FILE and member.realsize:
        fd = here.open(name)
        try:
            _same_content(reader, member, fd)
        finally:
            os.close(fd)


def _same_record(member: tarread.Member, st: os.stat_result, xattrs: Dict[str, bytes], owners: bool) -> None:
    """Mode, owner and attributes. A link has no mode of its own."""
    which = shown(member.name or b'.')
    if member.kind != SYMLINK and stat.S_IMODE(st.st_mode) != member.mode & 0o7777:
        raise _Differs('%s has the mode %o instead of %o' % (which, stat.S_IMODE(st.st_mode), member.mode & 0o7777))
    if owners and (st.st_uid, st.st_gid) != (member.uid, member.gid):
        raise _Differs('%s belongs to %d:%d instead of %d:%d' % (which, st.st_uid, st.st_gid, member.uid, member.gid))
    if _own(xattrs) != _own(member.xattrs):
        raise _Differs('%s has other extended attributes' % which)


def _own(xattrs: Union[Dict[str, bytes], Dict[bytes, bytes], None]) -> Dict[bytes, bytes]:
    """{name (bytes): value} of what is restored; None is nothing."""
    found = {os.fsencode(name): value for name, value in (xattrs or {}).items()}
    return {name: value for name, value in found.items() if name not in HOST_XATTRS}


def _same_content(reader: tarread.Reader, member: tarread.Member, fd: int) -> None:
    for piece in _pieces(reader, member):
        if not _begins(fd, piece):
            raise _Differs('%s has another content' % shown(member.name))


def _pieces(reader: tarread.Reader, member: tarread.Member) -> Iterator[bytes]:
    """The content of a file, holes as zeros."""
    if member.sparse is None:
        yield from reader.pieces()
        return
    at = 0
    for offset, length in tuple(member.sparse) + ((member.realsize, 0),):
        while at < offset:
            count = min(len(ZEROS), offset - at)
            yield ZEROS[:count]
            at += count
        yield from reader.pieces(length) if length else ()
        at = offset + length


def _begins(fd: int, piece: bytes) -> bool:
    """True if the next bytes of FD are PIECE."""
    view = memoryview(piece)
    while view:
        data = os.read(fd, len(view))
        if not data or data != view[:len(data)]:
            return False
        view = view[len(data):]
    return True
