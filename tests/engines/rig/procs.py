"""Processes, mounts and control groups of one engine: find them, end them, by number and never by name alone."""
import glob
import os
import signal
import subprocess
import time


def _stat(pid):
    """(ppid, state, comm) of a process, or None if it is gone."""
    try:
        with open('/proc/%d/stat' % pid, 'rb') as handle:
            data = handle.read()
    except OSError:
        return None
    comm, rest = data[data.index(b'(') + 1:data.rindex(b')')], data[data.rindex(b')') + 2:].split()
    return int(rest[1]), rest[0], comm


def alive(pid):
    """True while the process exists and is not a zombie."""
    found = _stat(pid)
    return found is not None and found[1] not in (b'Z', b'X')


def descendants(ancestor):
    """{pid: comm} of every living process below `ancestor`, itself left out."""
    children = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            found = _stat(int(name))
            if found and found[1] not in (b'Z', b'X'):
                children.setdefault(found[0], []).append((int(name), found[2]))
    result, queue = {}, [ancestor]
    while queue:
        for pid, comm in children.get(queue.pop(), ()):
            if pid not in result:
                result[pid] = comm
                queue.append(pid)
    return result


def _rank(comm):
    """dockerd dies first, so that it cannot note down the death of the others."""
    for rank, start in enumerate((b'dockerd', b'containerd\0', b'containerd-shim')):
        if (comm + b'\0').startswith(start):
            return rank
    return 3


def kill_below(ancestor, cgroup_name, reap, timeout=90):
    """SIGKILL all descendants of `ancestor`, dockerd first; returns what is left after `timeout` (normally {}).

    `reap()` collects the dead and says whether children are left. The first process of a container goes only after those
    that `docker exec` put beside it, and a zombie may have threads that still hold files and locks.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = descendants(ancestor)
        if not (left or reap()) or time.monotonic() > deadline:
            return left
        for pid in sorted(left, key=lambda pid: (_rank(left[pid]), pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        thaw(cgroup_name)
        time.sleep(0.05)
        reap()


def cgroup_folders(cgroup_name):
    """Every control group folder named `cgroup_name`, in each hierarchy (version 1 and 2)."""
    found = []
    for pattern in ('/sys/fs/cgroup/%s', '/sys/fs/cgroup/*/%s', '/sys/fs/cgroup/*/*/%s', '/sys/fs/cgroup/*/*/*/%s'):
        found.extend(glob.glob(pattern % cgroup_name))
    return found


def thaw(cgroup_name):
    """A frozen process (paused container) of cgroup version 1 takes its SIGKILL only once it is thawed."""
    for folder in cgroup_folders(cgroup_name):
        for path, word in ((os.path.join(folder, '**', 'freezer.state'), 'THAWED'),
                           (os.path.join(folder, '**', 'cgroup.freeze'), '0')):
            for name in glob.glob(path, recursive=True):
                try:
                    with open(name, 'w', encoding='ascii') as handle:
                        handle.write(word)
                except OSError:
                    pass


def remove_cgroups(cgroup_name):
    """Remove the engine's emptied control groups; a busy one is tried again for twenty seconds."""
    for _dummy in range(400):
        folders = cgroup_folders(cgroup_name)
        if not folders:
            return
        for folder in folders:
            for path, _dirs, _files in os.walk(folder, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
        time.sleep(0.05)


def mounts_below(folder, mountinfo='/proc/self/mountinfo'):
    """Mount points (bytes) at or below `folder`, the deepest last, as one mount namespace sees them."""
    folder = os.fsencode(os.path.realpath(folder))
    found = []
    with open(mountinfo, 'rb') as handle:
        for line in handle:
            point = line.split(b' ')[4]
            for code, char in ((b'\\040', b' '), (b'\\011', b'\t'), (b'\\012', b'\n'), (b'\\134', b'\\')):
                point = point.replace(code, char)
            if point == folder or point.startswith(folder.rstrip(b'/') + b'/'):
                found.append(point)
    return found


def unmount_below(folder):
    """Unmount all that is mounted at or below `folder`, lazily if it is busy. A loop device goes with its mount."""
    for point in reversed(mounts_below(folder)):
        for argv in (['umount', '--', point], ['umount', '-l', '--', point]):
            if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0:
                break
