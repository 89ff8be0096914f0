"""The state of one object, and all that must be the same again after an undo. Names are relative to an open folder."""
import base64
import errno
import hashlib
import os
import stat
from typing import Any, Dict, Optional

NONE, DIR, OTHER = 'none', 'dir', 'other'
_BLOCK = 1 << 20
_TEMP = b'.lifeboat-new-'


def state(fd: int, name: bytes) -> str:
    """What NAME in the folder FD is: none | dir | other | link:TARGET | SHA-256 of a file's content (hex)."""
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return NONE
    if stat.S_ISDIR(st.st_mode):
        return DIR
    if stat.S_ISLNK(st.st_mode):
        return 'link:' + words(os.readlink(name, dir_fd=fd))
    if not stat.S_ISREG(st.st_mode):
        return OTHER
    digest = hashlib.sha256()
    with os.fdopen(opened(fd, name), 'rb', buffering=0) as stream:
        for block in iter(lambda: stream.read(_BLOCK), b''):
            digest.update(block)
    return digest.hexdigest()


def words(raw: bytes) -> str:
    """Bytes of a name as JSON keeps them; :func:`raw_of` is the reverse."""
    return raw.decode('utf-8', 'surrogateescape')


def raw_of(text: str) -> bytes:
    return text.encode('utf-8', 'surrogateescape')


def opened(fd: int, name: bytes) -> int:
    """A descriptor of the regular file NAME for reading; its access time stays where the kernel lets us."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(name, flags | getattr(os, 'O_NOATIME', 0), dir_fd=fd)
    except PermissionError:
        return os.open(name, flags, dir_fd=fd)


def attributes(fd: int, name: bytes) -> Dict[str, Any]:
    """Mode, owner, times and xattrs of NAME, as a record for the journal."""
    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    found = {'mode': stat.S_IMODE(st.st_mode), 'uid': st.st_uid, 'gid': st.st_gid, 'times': [st.st_atime_ns, st.st_mtime_ns]}
    xattrs = _xattrs(fd, name)
    if xattrs:
        found['xattrs'] = xattrs
    return found


def _xattrs(fd: int, name: bytes) -> Dict[str, Any]:
    place = b'/proc/self/fd/%d/%s' % (fd, name)
    found = {}
    try:
        for one in os.listxattr(place, follow_symlinks=False):
            found[one] = base64.b64encode(os.getxattr(place, one, follow_symlinks=False)).decode('ascii')
    except OSError as exc:
        if exc.errno not in (errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.EPERM):
            raise
    return found


def give(fd: int, name: bytes, known: Dict[str, Any], times: bool) -> None:
    """Set what :func:`attributes` recorded on NAME (a file, folder or link), its times too if TIMES."""
    os.chown(name, known['uid'], known['gid'], dir_fd=fd, follow_symlinks=False)
    if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        os.chmod(name, known['mode'], dir_fd=fd)
    place = b'/proc/self/fd/%d/%s' % (fd, name)
    for key, value in known.get('xattrs', {}).items():
        raw = base64.b64decode(value)
        try:
            if os.getxattr(place, key, follow_symlinks=False) == raw:
                continue
        except OSError:
            pass
        os.setxattr(place, key, raw, follow_symlinks=False)
    if times:
        os.utime(name, ns=tuple(known['times']), dir_fd=fd, follow_symlinks=False)


def temporary(name: bytes, number: int) -> bytes:
    """The name under which new content lies until it is whole."""
    return _TEMP + b'%d' % number


def put_file(fd: int, name: bytes, data: Any, known: Dict[str, Any], temp: bytes, times: bool) -> None:
    """Replace NAME by a file with the bytes of DATA (bytes, or a stream), whole or not at all; both are on the disk afterwards."""
    remove(fd, temp)
    out = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
    with os.fdopen(out, 'wb', buffering=0) as stream:
        pieces = [data] if isinstance(data, bytes) else iter(lambda: data.read(_BLOCK), b'')
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[stream.write(view):]
        give(fd, temp, known, times)
        os.fsync(out)
    os.rename(temp, name, src_dir_fd=fd, dst_dir_fd=fd)
    os.fsync(fd)


def put_link(fd: int, name: bytes, target: bytes, known: Optional[Dict[str, Any]], temp: bytes) -> None:
    """Replace NAME by a link to TARGET."""
    remove(fd, temp)
    os.symlink(target, temp, dir_fd=fd)
    if known:
        give(fd, temp, known, True)
    os.rename(temp, name, src_dir_fd=fd, dst_dir_fd=fd)
    os.fsync(fd)


def remove(fd: int, name: bytes) -> None:
    """Remove a file or link that may be absent."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
