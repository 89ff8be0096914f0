"""Who uses a mount point: for the sentence that says why it cannot be released."""
import os
from typing import List

from ..formats.wording import show

MAX_NAMED = 5


def users_of(point: str) -> List[str]:
    """['bash (process 123)', ...] of processes with a working folder, root or open file in the file system at POINT."""
    try:
        device = os.stat(point).st_dev
    except OSError:
        return []
    found = []
    for name in sorted((name for name in os.listdir('/proc') if name.isdigit()), key=int):
        if len(found) < MAX_NAMED and int(name) != os.getpid() and _uses(name, point, device):
            found.append('%s (process %s)' % (_command(name), name))
    found += ['what is mounted at %s' % show(each) for each in _mounted_below(point)]
    return found[:MAX_NAMED]


def _uses(process: str, point: str, device: int) -> bool:
    base = '/proc/%s/' % process
    links = [base + 'cwd', base + 'root', base + 'exe']
    try:
        links += [base + 'fd/' + each for each in os.listdir(base + 'fd')]
    except OSError:
        pass
    for link in links:
        try:
            target = os.readlink(link)
            if (target == point or target.startswith(point + '/')) and os.stat(link).st_dev == device:
                return True
        except OSError:
            continue
    return False


def _command(process: str) -> str:
    try:
        with open('/proc/%s/comm' % process, encoding='utf-8', errors='replace') as stream:
            return show(stream.read().strip())
    except OSError:
        return '?'


def _mounted_below(point: str) -> List[bytes]:
    from ..disk import fsinfo
    return [each.point for each in fsinfo.mounts() if each.point.startswith(os.fsencode(point) + b'/')]
