"""What Podman's API cannot tell or do: the owners of files in a volume of a user, and moving the content of a volume with them.

The command `podman` of this machine is used only where it is proved that it works on the store of the engine at the socket: a volume made for the
proof lies for both at the same place. Fixed lists of arguments, no shell, names behind `--`.
"""
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..disk.errors import LifeboatError
from ..formats.wording import text

if TYPE_CHECKING:
    from .engineapi import Engine

PROGRAM = 'podman'
TIMEOUT = 120                           # seconds
FORGOTTEN = ('CONTAINER_HOST', 'CONTAINER_CONNECTION', 'CONTAINER_SSHKEY')  # with these it would speak with another machine
SAMPLE = 20                             # files whose owners are looked at


class Owner(NamedTuple):
    """Whose a member of an archive is, as a container sees it."""
    name: bytes
    uid: int
    gid: int


class Command(object):
    """`podman` as this user. Raises LifeboatError from every method."""

    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, *words: Any) -> bytes:
        """What `podman WORDS` prints."""
        environment = dict((key, value) for key, value in os.environ.items() if key not in FORGOTTEN)
        try:
            # pylint: disable-next=ansible-bad-function
            done = subprocess.run([self.program] + list(words), env=dict(environment, LC_ALL='C.UTF-8'), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise LifeboatError('podman %s failed: %s.' % (words[0], exc))
        if done.returncode:
            raise LifeboatError('podman %s failed: %s.' % (words[0], text(done.stderr.strip()[-1000:]).rstrip('.')))
        return done.stdout

    def mountpoint(self, name: str) -> str:
        """Where the volume NAME lies for this command, '' if it knows none of that name."""
        try:
            return os.fsdecode(self.run('volume', 'inspect', '--format', '{{.Mountpoint}}', '--', name)).strip()
        except LifeboatError:
            return ''

    def owners(self, paths: Sequence[bytes]) -> List[Tuple[int, int]]:
        """[(uid, gid)] of PATHS (bytes, absolute) as root of the user's own namespace sees them."""
        said = self.run('unshare', 'stat', '-c', '%u %g', '--', *paths).split()
        return list(zip(map(int, said[::2]), map(int, said[1::2])))

    def move(self, source: bytes, target: bytes) -> None:
        """Rename the folder SOURCE to the empty folder TARGET. Owners and everything else stay."""
        self.run('unshare', 'rmdir', '--', target)
        self.run('unshare', 'mv', '-n', '-T', '--', source, target)


def command(engine: 'Engine', volume: Mapping[str, Any]) -> Optional[Command]:
    """A Command that works on the store of ENGINE, or None. VOLUME: one that was made for this proof, with a random name."""
    program = shutil.which(PROGRAM)
    if program is None or os.geteuid() == 0 or not engine.docker_host.startswith('unix:'):
        return None                     # root's own store is reached without it
    found = Command(program)
    return found if volume.get('Mountpoint') and found.mountpoint(volume['Name']) == volume['Mountpoint'] else None


def seen_owners(engine: 'Engine', folder: bytes, sample: Sequence[Owner]) -> Optional[List[Tuple[int, int]]]:
    """[(uid, gid)] of the files of SAMPLE in FOLDER as containers of ENGINE see them; None where this process cannot see it. (Of the process at
    the socket only the root is believed: with socket activation it is systemd, which is in no namespace.)"""
    pid = engine.peer()
    if pid is None:
        return None
    maps = engine.id_maps()
    for prefix in (b'', b'/proc/%d/root' % pid):
        try:
            found = [os.lstat(os.path.join(prefix + folder, item.name)) for item in sample]
        except OSError:
            continue
        return [(_inner(maps[0], st.st_uid), _inner(maps[1], st.st_gid)) for st in found]
    return None


def _inner(rows: List[Tuple[int, int, int]], ident: int) -> int:
    """IDENT inside of the namespace; -1 for one that is not in the map. No ROWS: there is no namespace."""
    return ident if not rows else next((inside + ident - here for inside, here, count in rows if here <= ident < here + count), -1)


def wrong_owner(sample: Sequence[Owner], found: Sequence[Tuple[int, int]]) -> str:
    """'' or a sentence on the first file whose owner is not that of the archive."""
    for item, owner in zip(sample, found):
        if owner != (item.uid, item.gid):
            return 'The engine gave %s the owner %d:%d, and in the archive it belongs to %d:%d.' % ((text(item.name) or 'the folder',) + owner + (
                item.uid, item.gid))
    return ''
