"""Does a daemon still work on this data root, does a container still run?

A dead dockerd does not mean stopped containers, a pid file or a socket does not mean a living one. What holds is
the lock that bbolt keeps for the daemon's whole life. Of the running system nothing but that lock counts when the
host root is not this machine's own: its Docker is another's.
"""
import errno
import fcntl
import os
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple, Union

from ...disk import fsinfo, host as hosts, safeio
from ...formats import wording
from ..api import RUNNING, STOPPED, UNKNOWN, Liveness
from . import discovery

if TYPE_CHECKING:
    from .finding.candidates import RootCandidate

BUILDKIT = (b'cache.db', b'containerdmeta.db', b'history.db', b'metadata_v2.db', b'snapshots.db')
_CONTAINER = re.compile(r'(?:\A|/)([0-9a-f]{64})\Z')


def daemon_state(host: hosts.HostRoot, candidate: 'RootCandidate') -> Liveness:
    """Liveness of the dockerd that owns a data root. CANDIDATE: discovery.RootCandidate."""
    evidence = []
    table = fsinfo.mounts()
    locks = [lock_holder(candidate.path, b'volumes/metadata.db')]
    locks.extend(lock_holder(candidate.path, b'buildkit/' + name) for name in BUILDKIT)
    held = [lock for lock in locks if lock.held]
    probed = [lock for lock in locks if lock.held is False]
    for lock in held:
        evidence.append('%s is locked by a living process%s' % (wording.show(lock.path), _named(lock.pid)))
    pid = next((lock.pid for lock in held if lock.pid), None)
    running = bool(held)
    if not held and probed:
        evidence.append('%s is not locked' % wording.show(probed[0].path))
    if host.is_live:
        found = _running(host, candidate, evidence)
        running = running or found is not None
        pid = pid or found
        _leftovers(host, candidate, table, evidence)
    for root in candidate.containerd_roots:
        lock = lock_holder(root, b'io.containerd.metadata.v1.bolt/meta.db')
        if lock.held:
            evidence.append('containerd works on %s%s' % (wording.show(root), _named(lock.pid)))
    if running:
        return Liveness(RUNNING, pid, tuple(evidence))
    mount = fsinfo.mount_of(candidate.path, table)
    if mount is not None and (mount.fstype in fsinfo.SHARED or mount.fstype.startswith('fuse.')):
        evidence.append('%s is on a file system (%s) that another machine may use: its locks are not seen here'
                        % (wording.show(candidate.path), mount.fstype))
        return Liveness(UNKNOWN, None, tuple(evidence))
    if probed:
        return Liveness(STOPPED, None, tuple(evidence))
    evidence.append('there is no lock file that could be asked%s'
                    % (' by this user' if any(lock.denied for lock in locks) else ''))
    # a live host as root sees every process: none works on this root
    if host.is_live and os.geteuid() == 0:
        return Liveness(STOPPED, None, tuple(evidence))
    return Liveness(UNKNOWN, None, tuple(evidence))


def container_alive(host: hosts.HostRoot, container_id: str, pid: Optional[Union[int, str]], shims: Optional[Dict[str, int]] = None) -> Optional[int]:
    """The process id of a container that still runs, None if it does not (or nothing can be said: HOST not live).

    PID: State.Pid as recorded; believed only if that process belongs to the container, as ids are used again.
    SHIMS: see :func:`shims_of`; who asks for many containers looks once.
    """
    if not host.is_live:
        return None
    if isinstance(pid, int) and not isinstance(pid, bool) and 0 < pid < 1 << 31 and _belongs(pid, container_id):
        return pid
    shim = (shims_of(host) if shims is None else shims).get(container_id)
    if shim is None:
        return None
    for child in _children(shim):
        if _state(child) not in (b'', b'Z', b'X'):
            return child
    return None


def shims_of(host: hosts.HostRoot) -> Dict[str, int]:
    """{container id: process id of its shim} of every container that runs on a live host."""
    found = {}
    for process in host.processes((b'containerd-shi', b'docker-containe')):
        for word in process.argv[1:]:
            match = _CONTAINER.search(word)
            if match:
                found[match.group(1)] = process.pid
                break
    return found


# -- locks ---------------------------------------------------------------------------------------------------


class Lock(NamedTuple):
    """What a look at a lock said. `held` None: it could not be looked at (`denied`: not by this user)."""
    path: bytes
    held: Optional[bool]
    pid: Optional[int] = None
    denied: bool = False


def lock_holder(root: bytes, name: bytes) -> Lock:
    """Lock of a bbolt file ROOT/NAME. Opened for reading only; the lock that proves it free is given back at once."""
    path = os.path.join(root, name)
    folder, base = os.path.split(name)
    try:
        with safeio.Dir.root(root) as top:
            fd = top.descend(folder).open(base)
    except OSError as exc:
        return Lock(path, None, None, exc.errno in (errno.EACCES, errno.EPERM))
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        return Lock(path, False)
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return Lock(path, True, _owner(os.fstat(fd)))
        return Lock(path, None)         # the file system knows no locks
    finally:
        os.close(fd)


def _owner(st: os.stat_result) -> Optional[int]:
    """The process that holds the lock by proc_locks(5), None if it is not seen from here."""
    return owner_in(hosts.read_kernel('/proc/locks'), st.st_dev, st.st_ino)


def owner_in(locks: bytes, dev: int, inode: int) -> Optional[int]:
    """The process that holds an exclusive flock on an inode, by the text of /proc/locks; None if it has no number here
    (another pid namespace) or the file system shows another device number there (btrfs)."""
    wanted = b'%02x:%02x:%d' % (os.major(dev), os.minor(dev), inode)
    for line in locks.split(b'\n'):
        fields = line.split()
        if len(fields) > 5 and fields[1:4:2] == [b'FLOCK', b'WRITE'] and fields[5] == wanted and fields[4].isdigit():
            return int(fields[4]) or None
    return None


def _named(pid: Optional[int]) -> str:
    if not pid:
        return ''
    name = wording.show(hosts.read_proc(pid, 'comm', 64).strip())
    return ' (process %d%s)' % (pid, ', ' + name if name else '')


# -- processes of a live host --------------------------------------------------------------------------------


def _running(host: hosts.HostRoot, candidate: 'RootCandidate', evidence: List[str]) -> Optional[int]:
    """The process id of a dockerd that works on CANDIDATE, None if there is none."""
    recorded = _pid_of_file(host, candidate.pidfile)
    found = None
    for process, dummy, path in discovery.running_daemons(host):
        try:
            place = host.resolve(path)
        except OSError:
            continue
        if place in (candidate.path, candidate.base):
            found = process.pid
            evidence.append('dockerd runs on %s (process %d%s)' % (
                wording.show(place), found, ', as its pid file says' if recorded == found else ''))
            break
    if found is None and recorded is not None:
        evidence.append('%s names process %d, which is not a dockerd on this data root: it was left behind'
                        % (wording.show(candidate.pidfile), recorded))
    return found


def _pid_of_file(host: hosts.HostRoot, path: bytes) -> Optional[int]:
    try:
        raw = host.read(path, 64).strip()
    except OSError:
        return None
    return int(raw) if raw.isdigit() and len(raw) < 11 else None


def _leftovers(host: hosts.HostRoot, candidate: 'RootCandidate', table: Tuple[fsinfo.MountPoint, ...], evidence: List[str]) -> None:
    """What still stands although dockerd may be dead: mounts and running containers."""
    count = 0
    places = (candidate.path,) + candidate.containerd_roots
    for mount in table:
        if mount.fstype == 'overlay':
            upper = next((option[9:] for option in mount.super_options if option.startswith(b'upperdir=')), b'')
            count += any(fsinfo.is_below(fsinfo.unescape(upper), place) for place in places if upper)
        elif mount.point.endswith(b'/mounts/shm') and fsinfo.is_below(mount.point, candidate.path):
            count += 1
    if count:
        evidence.append('containers of this data root still have %s' % wording.number(count, 'mount'))
    shims = shims_of(host)
    folder = os.path.join(host.to_host(candidate.path), b'containers')
    mine = [name for name in shims if host.is_folder(os.path.join(folder, name.encode('ascii')))]
    if mine:
        evidence.append('running: %s of this data root' % wording.number(len(mine), 'container'))


def _belongs(pid: int, container_id: str) -> bool:
    """Whether a process is in the container's cgroup, or a child of its shim."""
    if _state(pid) in (b'', b'Z', b'X'):
        return False
    wanted = container_id.encode('ascii', 'replace')
    if wanted in hosts.read_proc(pid, 'cgroup'):
        return True
    parent = _stat(pid)[1]
    return parent > 1 and _is_shim(parent, wanted)


def _is_shim(pid: int, wanted: bytes) -> bool:
    words = hosts.read_proc(pid, 'cmdline').split(b'\0')
    return b'containerd-shim' in words[0] and any(word == wanted or word.endswith(b'/' + wanted) for word in words)


def _state(pid: int) -> bytes:
    return _stat(pid)[0]


def _stat(pid: Union[int, str]) -> Tuple[bytes, int]:
    """(state letter, parent) by proc_pid_stat(5); (b'', 0) if there is no such process."""
    raw = hosts.read_proc(pid, 'stat', 4096)
    fields = raw[raw.rfind(b')') + 1:].split()
    return (fields[0], int(fields[1])) if len(fields) > 1 else (b'', 0)


def _children(pid: int) -> List[int]:
    """Child processes, oldest first."""
    found = []
    for thread in hosts.kernel_names('/proc/%d/task' % pid):
        found.extend(int(child) for child in hosts.read_proc('%d/task/%s' % (pid, thread), 'children').split())
    if not found:                       # a kernel without CONFIG_PROC_CHILDREN
        found = [int(name) for name in hosts.kernel_names('/proc') if name.isdigit() and _stat(name)[1] == pid]
    return sorted(found)
