"""What lies in a folder, told by the kernel alone: nothing here shares code with the collection.

:func:`listing` is the truth about contents (for comparing with an extracted archive); :func:`snapshot` is the truth
about a source that must not change, times of access included. Both look without leaving a trace: folders and files
are opened with O_NOATIME, and nothing is followed.
"""
import base64
import hashlib
import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC | os.O_NONBLOCK
_TYPES = {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p', stat.S_IFSOCK: 's',
          stat.S_IFCHR: 'c', stat.S_IFBLK: 'b'}


def _walk(root, skip=(), only=None):
    """Yield (path, name, folder descriptor, stat) below `root` (bytes), parents first, names in byte order.

    `skip`: paths relative to `root` that are left out with all below them; `only`: the one name in `root` that counts
    (and not `root` itself). Only one descriptor per level is open.
    """
    top = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        if only is None:
            yield b'.', b'.', top, os.fstat(top)
        yield from _below(top, b'', frozenset(skip), only)
    finally:
        os.close(top)


def _below(folder, prefix, skip, only=None):
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        path = prefix + name
        if path in skip or (only is not None and path != only):
            continue
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        yield path, name, folder, status
        if stat.S_ISDIR(status.st_mode):
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _below(inner, path + b'/', skip)
            finally:
                os.close(inner)


def _xattrs(folder, name):
    path = b'/proc/self/fd/%d/%s' % (folder, name)
    return {key: base64.b64encode(os.getxattr(path, key, follow_symlinks=False)).decode('ascii')
            for key in sorted(os.listxattr(path, follow_symlinks=False))}


def _sha256(folder, name, size):
    """SHA-256 of the contents; holes are not read, only counted."""
    digest = hashlib.sha256()
    zeros = bytes(1 << 20)
    handle = os.open(name, _FILE, dir_fd=folder)
    try:
        at = 0
        while at < size:
            try:
                start = os.lseek(handle, at, os.SEEK_DATA)
                end = os.lseek(handle, start, os.SEEK_HOLE)
            except OSError:  # nothing but a hole up to the end
                start = end = size
            while at < start:
                digest.update(zeros[:min(len(zeros), start - at)])
                at += min(len(zeros), start - at)
            os.lseek(handle, at, os.SEEK_SET)
            while at < end:
                block = os.read(handle, min(1 << 20, end - at))
                if not block:
                    return digest.hexdigest()
                digest.update(block)
                at += len(block)
    finally:
        os.close(handle)
    return digest.hexdigest()


def listing(root, skip=(), contents=True, only=None):
    """List of dicts, one an object below `root`, '.' (the folder itself) first.

    Keys: path (text; bytes that are not UTF-8 as surrogates, so os.fsencode gives the name back), type (one of
    f d l p s c b), mode (permission bits), uid, gid, mtime_ns, xattrs ({name: base64}); for files size, allocated,
    sha256; for links `link`; for devices rdev [major, minor]; and `same_as` with the first path of the same inode for
    further names of one file (hard links of all types). With `only`, the list has that one object of `root` alone.
    """
    found, first = [], {}
    for path, name, folder, status in _walk(os.fsencode(root), skip, only):
        item = {'path': os.fsdecode(path), 'type': _TYPES[stat.S_IFMT(status.st_mode)],
                'mode': stat.S_IMODE(status.st_mode), 'uid': status.st_uid, 'gid': status.st_gid,
                'mtime_ns': status.st_mtime_ns, 'xattrs': _xattrs(folder, name)}
        if item['type'] != 'd':
            item['nlink'] = status.st_nlink
            original = first.setdefault((status.st_dev, status.st_ino), item)
            if original is not item:
                item['same_as'] = original['path']
        if item['type'] == 'f':
            item['size'], item['allocated'] = status.st_size, status.st_blocks * 512
            if contents:
                item['sha256'] = original['sha256'] if original is not item else _sha256(folder, name, status.st_size)
        elif item['type'] == 'l':
            item['link'] = os.fsdecode(os.readlink(name, dir_fd=folder))
        elif item['type'] in 'cb':
            item['rdev'] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
        found.append(item)
    return found


def snapshot(root):
    """{path (bytes): tuple} of all that a reader could change below `root`; two snapshots of an unread tree are equal.

    Holds type and mode, inode, links, owner, size, blocks, device, the times of change, modification and access in
    ns, and xattrs. Links are not read and their time of access is left out: whoever reads a link changes it, and
    nothing can prevent that. Their inode and time of change show that they still point where they pointed.
    """
    found = {}
    for path, name, folder, status in _walk(os.fsencode(root)):
        found[path] = (status.st_mode, status.st_ino, status.st_nlink, status.st_uid, status.st_gid, status.st_size,
                       status.st_blocks, status.st_rdev, status.st_ctime_ns, status.st_mtime_ns,
                       None if stat.S_ISLNK(status.st_mode) else status.st_atime_ns,
                       tuple(sorted(_xattrs(folder, name).items())))
    return found


def differences(before, after, limit=20):
    """Lines that say what differs between two snapshots; empty if nothing does."""
    fields = ('mode', 'inode', 'nlink', 'uid', 'gid', 'size', 'blocks', 'rdev', 'ctime', 'mtime', 'atime', 'xattrs')
    lines = ['gone: %r' % path for path in sorted(before.keys() - after.keys())]
    lines += ['new: %r' % path for path in sorted(after.keys() - before.keys())]
    for path in sorted(before.keys() & after.keys()):
        for field, old, new in zip(fields, before[path], after[path]):
            if old != new:
                lines.append('%s of %r: %r -> %r' % (field, path, old, new))
    return lines[:limit] + (['and %d more' % (len(lines) - limit)] if len(lines) > limit else [])
