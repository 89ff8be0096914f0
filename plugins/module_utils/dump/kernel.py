"""System calls for which Python has no function (os.unshare came with 3.12): namespaces, mounts, prctl(2)."""
import ctypes
import fcntl
import os
import signal
import socket
import struct
from typing import Optional

# linux/sched.h
NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000     # mount, cgroup, uts, ipc, net
NEW_PIDS = 0x20000000
NEW_USER = 0x10000000
# linux/mount.h
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 1024, 4096, 16384, 1 << 18
_MNT_DETACH = 2
# linux/prctl.h
_PDEATHSIG, _DUMPABLE, _CAPBSET_DROP, _SECCOMP, _NO_NEW_PRIVS, _CAP_AMBIENT = 1, 4, 24, 22, 38, 47
_AMBIENT_CLEAR_ALL, _SECCOMP_FILTER = 4, 2
# asm/unistd.h
PIVOT_ROOT = {'x86_64': 155, 'aarch64': 41, 'riscv64': 41, 'loongarch64': 41, 's390x': 217, 'ppc64le': 203, 'armv7l': 218}
_SIOCSIFFLAGS, _UP_RUNNING = 0x8914, 0x41

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, '%s: %s' % (what, os.strerror(number)))


def machine() -> str:
    """The name of this machine's system calls; '' for a 32-bit Python on a 64-bit kernel, whose numbers are others."""
    found = os.uname().machine
    return '' if found.endswith('64') and ctypes.sizeof(ctypes.c_void_p) == 4 else found


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _check(_libc.unshare(ctypes.c_int(flags)), 'unshare')


def mount(source: Optional[bytes], target: bytes, fstype: Optional[bytes] = None, flags: int = 0, data: Optional[bytes] = None) -> None:
    """mount(2). Raises OSError."""
    _check(_libc.mount(source, target, fstype, ctypes.c_ulong(flags), data), 'mount')


def bind_readonly(source: bytes, target: bytes, own: bool = False) -> None:
    """TARGET shows the folder or file SOURCE, and nothing can be written by it, no access time either. OWN: in a user namespace, where what the
    mount forbids and how it treats access times stays as it is. Raises OSError."""
    mount(source, target, None, BIND)
    kept = os.statvfs(target).f_flag & NOEXEC if own else NOATIME
    mount(None, target, None, BIND | REMOUNT | RDONLY | NOSUID | NODEV | kept)


def detach(target: bytes) -> None:
    """Unmount TARGET as soon as nobody uses it any more. Raises OSError."""
    _check(_libc.umount2(target, _MNT_DETACH), 'umount')


def pivot_root(new: bytes, old: bytes) -> None:
    """pivot_root(2). Raises OSError; KeyError for a machine whose number of it is not in the table."""
    _check(_libc.syscall(ctypes.c_long(PIVOT_ROOT[machine()]), new, old), 'pivot_root')


def die_with(parent: int) -> None:
    """This process gets SIGKILL when its parent, the process PARENT, ends; at once if it has ended already."""
    _check(_libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0), 'prctl')
    if os.getppid() != parent:
        os._exit(1)


def drop_capabilities() -> None:
    """No program that is started from here on has a capability, set-uid root or not."""
    number = 0
    while _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1                     # until EINVAL: the kernel knows no more
    _libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)


def clear_capabilities() -> None:
    """This process has no capability any more. In a user namespace none goes with a change of the user ID."""
    header, data = ctypes.create_string_buffer(struct.pack('=Ii', 0x20080522, 0)), ctypes.create_string_buffer(24)
    _check(_libc.capset(header, data), 'capset')


def own_user_namespace(number: int) -> None:
    """A new user namespace, in which this user and group are NUMBER, and have every capability over the namespaces that are made from it.
    Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.prctl(_DUMPABLE, 1, 0, 0, 0), 'prctl')     # of a process that was root's, /proc/self is root's
    unshare(NEW_USER)
    for name, line in (('setgroups', 'deny'), ('uid_map', '%d %d 1' % (number, uid)), ('gid_map', '%d %d 1' % (number, gid))):
        fd = os.open('/proc/self/' + name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, line.encode('ascii'))
        finally:
            os.close(fd)


def hide() -> None:
    """Nobody but root of this machine may look into /proc of this process, a program with the same user ID neither."""
    _check(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), 'prctl')


def no_new_privileges() -> None:
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), 'no_new_privs')


def filter_calls(program: bytes) -> None:
    """Install the BPF instructions PROGRAM (8 bytes each) as the seccomp filter of this process. Raises OSError."""
    instructions = ctypes.create_string_buffer(program)
    # struct sock_fprog: a short, padding, a pointer
    header = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(program) // 8, ctypes.addressof(instructions)))
    _check(_libc.prctl(_SECCOMP, _SECCOMP_FILTER, header, 0, 0), 'seccomp')


def host_name(name: bytes) -> None:
    _check(_libc.sethostname(name, len(name)), 'sethostname')


def loopback_up() -> None:
    """Some servers want a socket on loopback. There is nothing else in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack('16sh14x', b'lo', _UP_RUNNING))
