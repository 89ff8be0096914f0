"""A folder that the user named in an option: where it is on the dead host, or why it cannot be used."""
import errno
import os
import stat
from typing import Optional

from ....disk import fsinfo, host as hosts
from ....disk.errors import LifeboatError
from ....formats.wording import show


def given_root(host: hosts.HostRoot, path: bytes, option: str) -> bytes:
    """An option's path -> as the dead host saw it. LifeboatError in one sentence if it cannot be used."""
    text = show(path)
    if not path.startswith(b'/') or b'\0' in path:
        raise LifeboatError('%s: %s is not an absolute path.' % (option, text))
    where = '' if host.path == b'/' else ' under host_root %s' % show(host.path)
    try:
        st = host.stat(path)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise LifeboatError(_refusal(option, text + where, exc))
        literal = _literal(host, path)
        if literal is None:
            if where and hosts.HostRoot(b'/').exists(path):
                raise LifeboatError('%s: %s does not exist%s; paths are looked up there. It exists on this '
                                    'machine itself: for that one leave host_root at /.' % (option, text, where))
            raise LifeboatError('%s: %s does not exist%s; if it is on a disk of its own, mount that first.'
                                % (option, text, where))
        path = literal
        st = host.stat(path)
    if not stat.S_ISDIR(st.st_mode):
        raise LifeboatError('%s: %s is not a folder; if it is a disk image, mount it read-only and give the '
                            'mount point.' % (option, text))
    try:
        host.listdir(path)
    except OSError as exc:
        raise LifeboatError(_refusal(option, text + where, exc))
    return fsinfo.clean(path)


def _literal(host: hosts.HostRoot, path: bytes) -> Optional[bytes]:
    """The user typed /mnt/dead/var/lib/docker with host_root=/mnt/dead: accept it."""
    try:
        inside = host.to_host(os.path.realpath(path))
        host.stat(inside)
    except (ValueError, OSError):
        return None
    return inside if host.path != b'/' else None


def _refusal(option: str, text: str, exc: OSError) -> str:
    if exc.errno in (errno.EACCES, errno.EPERM):
        return '%s: %s may not be read by this user; run as root (become: true).' % (option, text)
    if exc.errno == errno.ELOOP:
        return '%s: %s leads through too many symbolic links (a loop?); give the folder itself.' % (option, text)
    return '%s: %s cannot be read (%s); if the disk is failing, copy it first (ddrescue) and use the copy.' \
        % (option, text, exc.strerror)
