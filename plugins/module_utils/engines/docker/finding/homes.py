"""The users of a host (/etc/passwd, /home) and their homes, where rootless Docker and Docker Desktop keep data."""
import os
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Set

from ....disk import fsinfo, safeio
from ....formats import wording

if TYPE_CHECKING:
    from .scan import Scan

MAX_HOMES = 2000                        # real hosts stay far below


class User(NamedTuple):
    name: str
    uid: Optional[int]
    home: bytes


def users_of(scan: 'Scan') -> List[User]:
    """[User] with a home of their own; see Scan.users."""
    users = []
    homes = set((b'/', b'/root', b'/bin', b'/sbin', b'/dev', b'/dev/null', b'/proc', b'/usr/bin', b'/usr/sbin',
                 b'/nonexistent'))
    for line in (scan.read(b'/etc/passwd') or b'').split(b'\n'):
        fields = line.split(b':')
        if len(fields) < 7 or not fields[2].isdigit() or len(fields[2]) > 10:
            continue
        home = fsinfo.clean(fields[5]) if fields[5].startswith(b'/') else b'/'
        if home in homes or int(fields[2]) == 0 or len(users) >= MAX_HOMES:
            continue
        homes.add(home)
        users.append(User(wording.text(fields[0]), int(fields[2]), home))
    for name in scan.names(b'/home')[:MAX_HOMES]:
        home = os.path.join(b'/home', name)
        if home not in homes and len(users) < MAX_HOMES:
            users.append(User(wording.text(name), None, home))
    return users


def dot_folders(scan: 'Scan', home: bytes) -> Set[bytes]:
    """Which of .config, .local and .docker a home has: three calls for each of many users."""
    found = set()
    place = scan.node(home)
    if place is None:
        return found
    try:
        with safeio.Dir.root(place) as folder:
            for name in (b'.config', b'.local', b'.docker'):
                try:
                    folder.stat(name)
                    found.add(name)
                except FileNotFoundError:
                    pass
    except PermissionError:
        scan.no_access.append(home)
    except OSError:
        pass
    return found
