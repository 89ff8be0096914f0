"""Links that lead out of a volume, on their way through the API of an engine that refuses them.

Docker unpacks an archive below a folder of a container and refuses each relative link that leads above that folder ("invalid symlink"). It compares
names only, and with the folder `/` nothing leads above it. So such links are held back, and come in a second archive, unpacked at `/`: there their
names begin with the place where the volume is mounted. The folders that hold them come with them: otherwise the engine would leave them with the
time of this moment. What the container has at the other end of a link is nothing: it is made for this, empty, and never started.
"""
from typing import Dict, Iterator, List, Tuple

from ..archive import tarread
from ..formats import tarwriter

MOST = 64 << 20                         # bytes of headers that are held


def leaves(name: bytes, link: bytes) -> bool:
    """A relative link that goes up further than it is deep: engines take it for an attempt to break out."""
    if link[:1] == b'/':
        return False
    depth = name.count(b'/')
    for part in link.split(b'/'):
        if part == b'..':
            depth -= 1
        elif part not in (b'', b'.'):
            depth += 1
        if depth < 0:
            return True
    return False


class Held(object):
    """The links that are held back, and the folders in which they lie. PLACE: of the volume in the container, absolute."""

    def __init__(self, place: str) -> None:
        self._place = place.strip('/').encode('ascii')
        self._way: List[Tuple[bytes, bytes]] = []       # (name, header) of the folders down to the last member
        self._folders: Dict[bytes, bytes] = {}          # name -> header, of those that hold links
        self._links: Dict[bytes, bytes] = {}            # name -> header
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._links)

    def names(self) -> List[bytes]:
        return sorted(self._links)

    def takes(self, reader: tarread.Reader, member: tarread.Member) -> bool:
        """Is MEMBER held back? Folders are not, but remembered. ArchiveError for more links than fit into memory."""
        name = member.name
        if member.kind == tarread.FOLDER:
            while self._way and not _holds(self._way[-1][0], name):
                self._way.pop()
            self._way.append((name, self._header(member)))
            return False
        if member.kind == tarread.HARDLINK and member.link in self._links or member.kind == tarread.SYMLINK and leaves(name, member.link):
            self._links[name] = self._header(member)
            for folder, header in self._way:
                if name.rpartition(b'/')[0] == folder:
                    self._folders[folder] = header
            self._bytes += len(self._links[name]) + 2 * len(name)
            if self._bytes > MOST:
                raise reader.fail('has so many links out of the volume that they take more than %d MiB of memory: restore on the engine\'s own host '
                                  'as root' % (MOST >> 20), name)
            return True
        return False

    def _header(self, member: tarread.Member) -> bytes:
        name = self._place + b'/' + member.name if member.name else self._place
        link = self._place + b'/' + member.link if member.kind == tarread.HARDLINK else member.link
        if member.kind == tarread.FOLDER:
            name += b'/'
        return tarwriter.header(name, member.kind, member.mode, member.uid, member.gid, 0, member.mtime, link, None, member.xattrs)

    def archive(self) -> Iterator[bytes]:
        """The second archive, for the folder `/`: folders from the top down, links in the order of the first one."""
        for folder in sorted(self._folders):
            yield self._folders[folder]
        yield from self._links.values()
        yield tarwriter.END


def _holds(folder: bytes, name: bytes) -> bool:
    return not folder or name.startswith(folder + b'/')
