"""Everything that may lie in a folder: the trees that rescue has to carry through unharmed.

:func:`inside` runs a function with another folder as its root (a running container's, a volume's), so that paths and
links mean what they mean in there. :func:`fill` makes one of everything; :func:`change_image` changes what the image
brought along in every way that an overlay has to note down differently.
"""
import ctypes
import os
import shutil
import signal
import socket
import stat
import struct
import traceback

from .common import RigError

SPARSE = 256 << 20                      # bytes of a file that has next to none; each of its zeros is read several times
# Beyond 2^21, where the octal fields of the oldest tar format end.
FAR_UID, FAR_GID = 3000000, 4000001
HUGE_UID = (1 << 31) + 5
_CLONE_NEWUSER = 0x10000000
# Loaded before any chroot: the child cannot import from another root.
_LIBC = ctypes.CDLL(None, use_errno=True)


def inside(root, function, *args, userns_of=None):
    """Call function(*args) in a child process with the root `root`, and in the user namespace of the pid `userns_of`.

    `root` may be /proc/PID/root, which is the file system as that container sees it, its mounts included.
    """
    if os.path.samefile(root, '/'):     # a container that ended, and its process number is another's by now
        raise RigError('%s is the root of this machine' % root)

    def work(dummy):
        space = os.open('/proc/%d/ns/user' % userns_of, os.O_RDONLY) if userns_of else None
        os.chroot(root)
        os.chdir('/')
        if space is not None:
            root_of(space)
        function(*args)
    in_child(work, 'filling %s failed' % root)


def root_of(space):
    """Be root in the user namespace of the open file SPACE."""
    if _LIBC.setns(space, _CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), 'setns')
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def in_child(work, what):
    """Bytes that WORK(out) gives to out(), in a child process of two minutes at most. RigError that begins with WHAT if it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            signal.alarm(120)
            os.umask(0)
            work(lambda raw: _all(writer, raw))
            status = 0
        except BaseException:  # pylint: disable=broad-exception-caught
            _all(writer, traceback.format_exc()[-3000:].encode('utf-8', 'backslashreplace'))
        finally:
            os._exit(status)  # pylint: disable=protected-access
    os.close(writer)
    with os.fdopen(reader, 'rb') as handle:
        said = handle.read()
    if os.waitpid(child, 0)[1]:
        raise RigError('%s: %s' % (what, said.decode('utf-8', 'replace')))
    return said


def _all(writer, raw):
    while raw:
        raw = raw[os.write(writer, raw):]


def capability(bits, effective=True):
    """Value of security.capability (version 2) that permits the capabilities of the bit mask `bits`."""
    return struct.pack('<IIIII', 0x02000000 | int(effective), bits & 0xffffffff, 0, bits >> 32, 0)


def acl(*entries):
    """Value of system.posix_acl_access or _default: entries of (tag, permissions, id), id None where it has none."""
    return struct.pack('<I', 2) + b''.join(
        struct.pack('<HHI', tag, perm, 0xffffffff if who is None else who) for tag, perm, who in entries)


# user::rw- user:1000:rw- group::r-- group:2000:r-x mask::rwx other::---
SOME_ACL = ((1, 6, None), (2, 6, 1000), (4, 4, None), (8, 5, 2000), (16, 7, None), (32, 0, None))


def write(path, data=b'', mode=0o644, owner=None):
    """A regular file, whatever the umask."""
    with open(path, 'wb') as handle:
        handle.write(data)
    if owner:
        os.chown(path, *owner)
    os.chmod(path, mode)


def date(path, nanoseconds):
    """Set the time of modification (and access) of the object itself, links included."""
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def sparse(path, size=SPARSE):
    """A file of `size` bytes with a little data at the start, in the middle and at the very end."""
    with open(path, 'wb') as handle:
        handle.write(b'start of the sparse file\n')
        handle.seek(size // 2 + 12345)
        handle.write(b'middle')
        handle.seek(size - 4)
        handle.write(b'end\n')


def fill(base, privileged=True, lone_volume=False, sparse_size=SPARSE):
    """Make one of everything below the folder `base` (bytes).

    privileged: False in a user namespace, where devices, trusted.* attributes and far owners cannot be made.
    lone_volume: True where no overlay looks at the tree, so that names and devices which mean a whiteout elsewhere
    are ordinary here.
    sparse_size: apparent bytes of the sparse file.
    """
    os.makedirs(base, exist_ok=True)
    os.chdir(base)
    _names()
    _owners_and_modes(privileged)
    _links()
    _specials(privileged, lone_volume)
    _attributes(privileged)
    os.mkdir(b'sparse')
    sparse(b'sparse/image', sparse_size)
    with open(b'sparse/only-a-hole', 'wb') as handle:
        handle.truncate(5 << 20)
    os.makedirs(b'many')
    for number in range(200):
        write(b'many/%03d' % number, b'%d\n' % number)
    os.makedirs(b'empty')
    _times()
    os.chdir(b'/')


def _names():
    os.mkdir(b'names')
    for name in (b'new\nline', b'tab\there', b' blanks ', b'-rf', b'--help', b'"quoted\'', b'back\\slash', b'*?[a]',
                 b'\xc3\xa9-nfc', b'e\xcc\x81-nfd', b'\xf0\x9f\x90\xb3', b'latin-\xe9', b'\xff\xfe\x80', b'%s%n',
                 b'$(id)', b'\x01\x1b[31m', b'\x7f', b'a;b', b'a:b', b'...', b'.hidden', b'x' * 255):
        write(b'names/' + name, b'named ' + name)
    write('names/z\u0142\u00f3ty'.encode('utf-8'), b'text')
    deep = b'names/deep'
    os.mkdir(deep)
    here = os.open(deep, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(12):  # 12 * 101: beyond 255 and beyond 1024
        part = b'%02d-' % number + b'd' * 97
        os.mkdir(part, dir_fd=here)
        inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    handle = os.open(b'at-the-bottom', os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)
    os.write(handle, b'deep down\n')
    os.close(handle)
    os.close(here)


def _owners_and_modes(privileged):
    os.mkdir(b'owners')
    far = (FAR_UID, FAR_GID) if privileged else (60000, 60001)
    write(b'owners/far', b'far', owner=far)
    write(b'owners/huge', b'huge', owner=(HUGE_UID, HUGE_UID) if privileged else (60002, 60003))
    write(b'owners/user', b'user', owner=(999, 998))
    os.mkdir(b'owners/dir')
    os.chown(b'owners/dir', *far)
    os.symlink(b'user', b'owners/link')
    os.lchown(b'owners/link', 1234, 4321)
    os.mkdir(b'modes')
    for mode in (0o000, 0o400, 0o600, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6755, 0o7777):
        write(b'modes/%04o' % mode, b'mode', mode=mode)
    for mode in (0o000, 0o700, 0o755, 0o1777, 0o2775):
        os.mkdir(b'modes/dir-%04o' % mode)
        write(b'modes/dir-%04o/inner' % mode)
        os.chmod(b'modes/dir-%04o' % mode, mode)
    write(b'empty-file')


def _links():
    os.makedirs(b'links/sub')
    write(b'links/hard-a', b'three names\n', mode=0o640)
    os.link(b'links/hard-a', b'links/hard-b')
    os.link(b'links/hard-a', b'links/sub/hard-c')
    for name, target in ((b'relative', b'hard-a'), (b'absolute', b'/etc/passwd'), (b'dangling', b'/nowhere/at/all'),
                         (b'escape', b'../../../../../../../../etc/shadow'), (b'root', b'/'), (b'loop', b'loop'),
                         (b'long', b'l/' * 150 + b'end'), (b'strange', b'new\nline-\xff'), (b'dot', b'.')):
        os.symlink(target, b'links/' + name)
    os.link(b'links/relative', b'links/relative-too', follow_symlinks=False)
    os.symlink(b'/', b'etc')  # a folder's name that is a link to the root


def _specials(privileged, lone_volume):
    os.mkdir(b'special')
    os.mkfifo(b'special/fifo', 0o622)
    os.link(b'special/fifo', b'special/fifo-again')
    here = os.getcwdb()
    os.chdir(b'special')
    server = socket.socket(socket.AF_UNIX)
    server.bind('socket')
    server.close()
    os.chdir(here)
    if privileged:
        os.mknod(b'special/char', stat.S_IFCHR | 0o660, os.makedev(1, 3))
        os.mknod(b'special/block', stat.S_IFBLK | 0o600, os.makedev(7, 200))
        os.mknod(b'special/far-device', stat.S_IFCHR | 0o600, os.makedev(300, 70000))
    if lone_volume:
        write(b'special/.wh.no-whiteout', b'an ordinary file\n')
        write(b'special/.wh..wh..opq', b'')
        if privileged:
            os.mknod(b'special/char-0-0', stat.S_IFCHR | 0o000, os.makedev(0, 0))


def _attributes(privileged):
    os.mkdir(b'attributes')
    write(b'attributes/cap', b'capable', mode=0o755)
    os.setxattr(b'attributes/cap', 'security.capability', capability(1 << 13))
    write(b'attributes/user', b'user attributes')
    os.setxattr(b'attributes/user', 'user.comment', b'with = and \n and \x00 and \xff')
    os.setxattr(b'attributes/user', 'user.empty', b'')
    os.setxattr(b'attributes/user', 'user.big', bytes(range(256)) * 4)
    os.setxattr(b'attributes/user', 'user.name with = sign', b'equal')
    write(b'attributes/acl', b'acl', mode=0o640)
    os.setxattr(b'attributes/acl', 'system.posix_acl_access', acl(*SOME_ACL))
    os.mkdir(b'attributes/acl-dir', 0o750)
    os.setxattr(b'attributes/acl-dir', 'system.posix_acl_access', acl(*SOME_ACL))
    os.setxattr(b'attributes/acl-dir', 'system.posix_acl_default', acl(*SOME_ACL))
    write(b'attributes/acl-dir/inherits', b'')
    os.mkdir(b'attributes/user-dir')
    os.setxattr(b'attributes/user-dir', 'user.on.a.folder', b'yes')
    if privileged:
        write(b'attributes/trusted', b'')
        os.setxattr(b'attributes/trusted', 'trusted.lifeboat', b'for root only')


def _times():
    os.mkdir(b'times')
    for name, seconds, fraction in (
            (b'before-1970', -18489600, 0), (b'before-1970-ns', -18489600, 123456789), (b'y1901', -2147483648, 0),
            (b'epoch', 0, 0), (b'y2000-ns', 946684800, 123456789), (b'one-ns', 946684800, 1),
            (b'y2038', 2147483648, 0), (b'y2100', 4102444800, 999999999), (b'y2242', 8600000000, 0)):
        write(b'times/' + name, name)
        date(b'times/' + name, seconds * 10 ** 9 + fraction)
    os.symlink(b'y2000-ns', b'times/link')
    date(b'times/link', 946684801123456789)
    os.mkdir(b'times/dir')
    write(b'times/dir/inner', b'younger than its folder')
    date(b'times/dir', 978307200987654321)
    date(b'empty', 86400 * 365 * 10 ** 9)


# What change_image() expects in the image, below /pristine; the scenario's Dockerfile and base tree make it.
PRISTINE_FILES = ('deleted', 'edited', 'appended', 'touched', 'chmodded', 'chowned', 'attributed', 'capable', 'renamed',
                  'file-to-dir', 'file-to-link', 'again-same', 'again-other', 'untouched', 'to-fifo')
PRISTINE_DIRS = ('dir-deleted', 'dir-opaque', 'dir-empty-opaque', 'dir-to-file', 'dir-to-link', 'dir-renamed',
                 'dir-metadata', 'dir-some', 'dir-untouched', 'dir-nested')


def change_image(privileged=True):
    """Change /pristine of the image in every way there is (run inside a container's root)."""
    os.chdir(b'/pristine')
    os.unlink(b'deleted')
    write(b'edited', b'other contents\n')
    with open(b'appended', 'ab') as handle:
        handle.write(b'one more line\n')
    date(b'touched', 1000000000123456789)
    os.chmod(b'chmodded', 0o4711)
    os.chown(b'chowned', 1234, 2345)
    os.setxattr(b'attributed', 'user.added', b'later')
    os.setxattr(b'capable', 'security.capability', capability(1 << 10))
    os.rename(b'renamed', b'renamed-now')
    os.unlink(b'file-to-dir')
    os.mkdir(b'file-to-dir')
    write(b'file-to-dir/inner', b'a folder now')
    os.unlink(b'file-to-link')
    os.symlink(b'/etc', b'file-to-link')
    os.unlink(b'to-fifo')
    os.mkfifo(b'to-fifo')
    for name in (b'again-same', b'again-other'):
        with open(name, 'rb') as handle:
            contents = handle.read()
        os.unlink(name)
        write(name, contents if name == b'again-same' else b'quite another\n')
    # hard links of the image: one name is edited, which parts it from the others in an overlay
    with open(b'hard-1', 'ab') as handle:
        handle.write(b'edited through one name\n')
    os.unlink(b'hard-4')
    shutil.rmtree(b'dir-deleted')
    shutil.rmtree(b'dir-opaque')
    os.mkdir(b'dir-opaque', 0o711)
    write(b'dir-opaque/only-this', b'nothing else is here\n')
    os.mkdir(b'dir-opaque/kept-name')
    write(b'dir-opaque/kept-name/new', b'a folder of the same name as before\n')
    shutil.rmtree(b'dir-empty-opaque')
    os.mkdir(b'dir-empty-opaque')
    shutil.rmtree(b'dir-to-file')
    write(b'dir-to-file', b'a file now')
    shutil.rmtree(b'dir-to-link')
    os.symlink(b'../../../../etc/shadow', b'dir-to-link')
    try:
        os.rename(b'dir-renamed', b'dir-renamed-now')
    except OSError:  # an overlay without redirect_dir says EXDEV, and mv copies
        shutil.copytree(b'dir-renamed', b'dir-renamed-now', symlinks=True)
        shutil.rmtree(b'dir-renamed')
    os.chmod(b'dir-metadata', 0o700)
    if privileged:
        os.chown(b'dir-metadata', FAR_UID, FAR_GID)
    os.unlink(b'dir-some/one')
    write(b'dir-some/three', b'three')
    os.unlink(b'dir-nested/sub/kept-name/old')
    write(b'dir-nested/sub/kept-name/new', b'new')
    os.unlink(b'link-replaced')
    write(b'link-replaced', b'no link any more')
    os.unlink(b'link-retargeted')
    os.symlink(b'elsewhere', b'link-retargeted')
    # made and gone again: leaves nothing but the folder's changed time
    write(b'dir-some/passing', b'')
    os.unlink(b'dir-some/passing')
    write(b'/root/.ash_history', b'psql -c "select 1"\n', mode=0o600)
    os.chdir(b'/')


def plant_links():
    """Links with which a hostile container hopes that somebody reads outside (run inside a container's root)."""
    shutil.rmtree(b'/etc')
    os.symlink(b'/', b'/etc')
    os.symlink(b'../../../../etc/shadow', b'/x')
    shutil.rmtree(b'/home')
    os.symlink(b'/proc/1/root', b'/home')
    os.mkdir(b'/var/lib')
    os.symlink(b'../../../../../../..', b'/var/lib/docker')
    os.symlink(b'/etc/shadow', b'/shadow-' + b's' * 200)
    shutil.rmtree(b'/pristine')
    os.symlink(b'/root', b'/pristine')
