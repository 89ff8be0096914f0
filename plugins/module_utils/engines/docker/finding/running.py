"""Every dockerd that runs, if the host is the machine that we run on: its command line and environment, from /proc."""
import errno
import re
from typing import TYPE_CHECKING, Dict, Iterator, Optional, Tuple

from ....disk import host as hosts
from .claims import Claim, claim_of
from .daemonconf import daemon_flags, to_bytes
from .homes import User

if TYPE_CHECKING:
    from .scan import Scan


def daemons(scan: 'Scan') -> Iterator[Tuple[hosts.Process, Dict[str, str], Claim]]:
    """Yield (Process, flags, Claim) of every dockerd that runs and whose data root is on this host."""
    wanted = ('HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'ROOTLESSKIT_STATE_DIR', 'DOCKER_CONTAINERD_ROOT')
    for process in scan.host.processes((b'docker',), wanted):
        flags = daemon_flags(process.argv)
        if flags is None:
            continue
        try:
            user = _process_user(scan, process.env, process.pid)
        except OSError:
            continue
        claim = claim_of(scan, flags, 'running process %d' % process.pid, process.env, user, required=False)
        if _serves(scan.host, process.pid, claim.path):
            yield process, flags, claim


def _process_user(scan: 'Scan', env: Dict[str, str], pid: int) -> Optional[User]:
    """The User of a running rootless daemon, None for an ordinary one. OSError if it is gone."""
    uid = hosts.owner_of(pid)
    if uid == 0:
        if not env.get('ROOTLESSKIT_STATE_DIR'):
            return None
        uid = None                      # its process looks like root's: the owner of the data root tells
    home = env.get('HOME', '')
    for user in scan.users:
        if uid is not None and user.uid == uid or uid is None and user.home == to_bytes(home):
            # the daemon goes by its environment, whatever passwd says
            return user._replace(home=to_bytes(home)) if home.startswith('/') else user
    if not home.startswith('/'):
        raise FileNotFoundError(errno.ENOENT, 'its home is unknown')
    return User(home, uid, to_bytes(home))


def _serves(host: hosts.HostRoot, pid: int, path: bytes) -> bool:
    """Whether PATH is the same folder for process PID as for us: a dockerd in a container has its own."""
    try:
        ours = host.stat(path)
        return hosts.seen_by(pid, path) == (ours.st_dev, ours.st_ino)
    except PermissionError:             # not root: the best that can be told is whether it runs in a container
        return not re.search(br'[0-9a-f]{64}|kubepods', hosts.read_proc(pid, 'cgroup'))
    except OSError:
        return False
