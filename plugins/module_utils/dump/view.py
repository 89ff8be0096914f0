"""A container's file system as its programs saw it, copy-on-write: what is changed goes to a scratch file system that is thrown away.

build() runs in a mount namespace of its own, so nothing of it is to be seen on the host, and all of it goes with the last process
in there. Layers, volumes and binds are bound read-only first: neither overlayfs nor a program in the view can write them or change an
access time.
"""
import os
import stat
import subprocess
from typing import List, NamedTuple, Optional, Tuple

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats.wording import show
from . import kernel, named

DEVICES = (b'null', b'zero', b'full', b'random', b'urandom')
RUN = b'/run/lifeboat'                  # in the view: sockets and configuration files of ours
MAX_LINKS = 40
MEMORY = 'tmpfs'
_OPTIONS = b'index=off,metacopy=on,redirect_dir=on,xino=off'        # else redirected folders of the source are not followed
_USER_OPTIONS = b'index=off,userxattr,xino=off'                     # the kernel has these two not with userxattr


class Place(NamedTuple):
    """What is mounted in the container at `destination`. `path`: a folder or file on the disk, None: an empty tmpfs."""
    destination: bytes
    path: Optional[bytes]


class Scene(NamedTuple):
    """What a view is made of. `layers`: folders, top first. `scratch`: an empty folder of ours; `size`: bytes that it may take at most, in
    memory or in a file in it."""
    layers: Tuple[bytes, ...]
    places: Tuple[Place, ...]
    scratch: bytes
    size: int
    in_memory: bool = False
    user_marks: bool = False            # layers with user.overlay.* attributes, of a rootless engine
    own: bool = False                   # an ordinary user's, in a user namespace
    by_name: bool = False               # layers say by names what they hide, see named


def build(scene: Scene) -> bytes:
    """Make the view -> its folder. To be called in a mount namespace of its own. Raises OSError, LifeboatError."""
    kernel.mount(None, b'/', None, kernel.REC | kernel.PRIVATE)
    top = _scratch(scene)
    os.chdir(top)                       # the options of a mount are one page: short names
    for name in (b'r', b'w', b'new'):
        os.mkdir(name, 0o755)
    for number, path in enumerate(scene.layers):
        os.mkdir(b'r/%d' % number)
        _show(path, b'r/%d' % number, scene.own)
    layers = [b'r/%d' % number for number in range(len(scene.layers))]
    if scene.by_name:
        layers = named.lower(layers, lambda layer: (layer + b'a', layer + b'b'))
    _overlay(layers, b'w/root', b'new', scene.user_marks, None)
    new = os.path.join(top, b'new')
    for number, place in enumerate(sorted(scene.places)):
        _mount_place(new, place, number, scene)
    _system_folders(new, scene.size)
    return new


def enter(new: bytes) -> None:
    """Make NEW the root folder of this process, which is the first one of a PID namespace. Raises OSError."""
    old = b'.lifeboat-old'
    os.chdir(new)
    os.mkdir(old)
    kernel.pivot_root(b'.', old)
    os.chdir(b'/')
    # read-only, since root without a capability may still write below /proc/sys
    kernel.mount(b'proc', resolve(b'/', b'/proc'), b'proc', kernel.NOSUID | kernel.NODEV | kernel.NOEXEC | kernel.RDONLY)
    kernel.detach(b'/' + old)
    os.rmdir(b'/' + old)
    kernel.host_name(b'lifeboat')
    kernel.loopback_up()


def resolve(top: bytes, path: bytes) -> bytes:
    """The absolute PATH of the container below TOP. Its links are resolved within TOP, never out of it. Nobody else is in the view yet.
    Raises LifeboatError for a loop."""
    parts = [part for part in path.split(b'/') if part]
    here, links = [], 0
    while parts:
        part = parts.pop(0)
        if part == b'.':
            continue
        if part == b'..':
            del here[-1:]
            continue
        found = os.path.join(top, *(here + [part]))
        if not os.path.islink(found):
            here.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise LifeboatError('The links at %s in the container lead in a circle' % show(path))
        target = os.readlink(found)
        if target.startswith(b'/'):
            here = []
        parts = [each for each in target.split(b'/') if each] + parts
    return os.path.join(top, *here)


def _scratch(scene: Scene) -> bytes:
    """Mount a file system of limited size on the scratch folder -> the folder."""
    if scene.in_memory:
        kernel.mount(b'tmpfs', scene.scratch, b'tmpfs', kernel.NOSUID | kernel.NODEV, b'mode=711,size=%d' % scene.size)
        return scene.scratch
    disk, folder = os.path.join(scene.scratch, b'disk'), os.path.join(scene.scratch, b'top')
    os.mkdir(folder, 0o711)
    fd = os.open(disk, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, scene.size)
    finally:
        os.close(fd)
    _run([b'mkfs.ext4', b'-q', b'-F', b'-m', b'0', b'-O', b'^has_journal', b'-E', b'lazy_itable_init=1,nodiscard', disk], 'e2fsprogs')
    _run([b'mount', b'-t', b'ext4', b'-o', b'loop,nosuid,nodev,noatime', disk, folder], 'mount')
    os.chmod(folder, 0o711)
    return folder


def _run(argv: List[bytes], package: str) -> None:
    try:
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={'PATH': '/usr/sbin:/sbin:/usr/bin:/bin', 'LC_ALL': 'C'})
    except FileNotFoundError:
        raise LifeboatError('%s is not installed here (package %s)' % (argv[0].decode('ascii'), package))
    if done.returncode:
        raise LifeboatError('%s failed: %s' % (argv[0].decode('ascii'), show(done.stdout[-500:].strip())))


def _show(path: bytes, target: bytes, own: bool) -> None:
    """Bind a folder or file of the disk read-only; by its descriptor, so that no link leads elsewhere."""
    fd = safeio.look(path)
    try:
        kernel.bind_readonly(b'/proc/self/fd/%d' % fd, target, own)
    finally:
        os.close(fd)


def _overlay(lower: List[bytes], upper: bytes, target: bytes, user_marks: bool, like: Optional[os.stat_result]) -> None:
    for name in (upper, upper + b'.work'):
        os.mkdir(name, 0o755)
    if like is not None:                # a server refuses a data folder of another owner
        os.chown(upper, like.st_uid, like.st_gid)
        os.chmod(upper, stat.S_IMODE(like.st_mode))
    data = b'lowerdir=%b,upperdir=%b,workdir=%b.work,%b' % (b':'.join(lower), upper, upper, _USER_OPTIONS if user_marks else _OPTIONS)
    try:
        # scratch is thrown away: no syncs (Linux 5.10)
        kernel.mount(b'overlay', target, b'overlay', kernel.NODEV | kernel.NOSUID, data + b',volatile')
    except OSError:
        kernel.mount(b'overlay', target, b'overlay', kernel.NODEV | kernel.NOSUID, data)


def _mount_place(new: bytes, place: Place, number: int, scene: Scene) -> None:
    target = resolve(new, place.destination)
    kind = safeio.kind(place.path)
    if place.path is not None and kind == stat.S_IFREG:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _show(place.path, target, scene.own)
        return
    os.makedirs(target, exist_ok=True)
    if place.path is None or kind != stat.S_IFDIR:     # tmpfs, or data that are not on this disk
        kernel.mount(b'tmpfs', target, b'tmpfs', kernel.NOSUID | kernel.NODEV, b'mode=1777,size=64m')
        return
    read, view = b'r/v%d' % number, b'w/m%d' % number
    os.mkdir(read)
    os.mkdir(view)
    _show(place.path, read, scene.own)
    _overlay([read], b'w/v%d' % number, view, scene.user_marks, os.stat(read))
    kernel.mount(view, target, None, kernel.BIND | kernel.REC)


def _system_folders(new: bytes, size: int) -> None:
    """/dev with what programs cannot do without, /run, /tmp and a place for /proc. There is no /sys."""
    made = {name: resolve(new, b'/' + name) for name in (b'proc', b'dev', b'run', b'tmp')}
    for path in made.values():
        os.makedirs(path, exist_ok=True)
    os.chmod(made[b'tmp'], 0o1777)
    dev = made[b'dev']
    kernel.mount(b'tmpfs', dev, b'tmpfs', kernel.NOSUID | kernel.NOEXEC, b'mode=755,size=64k')
    for name in DEVICES:
        os.close(os.open(os.path.join(dev, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        kernel.mount(b'/dev/' + name, os.path.join(dev, name), None, kernel.BIND)
    os.mkdir(os.path.join(dev, b'shm'))
    kernel.mount(b'tmpfs', os.path.join(dev, b'shm'), b'tmpfs', kernel.NOSUID | kernel.NODEV | kernel.NOEXEC, b'mode=1777,size=%d' % min(size, 1 << 28))
    kernel.mount(b'tmpfs', made[b'run'], b'tmpfs', kernel.NOSUID | kernel.NODEV, b'mode=755,size=16m')
    own = os.path.join(made[b'run'], b'lifeboat')
    os.mkdir(own)
    os.chmod(own, 0o1777)
