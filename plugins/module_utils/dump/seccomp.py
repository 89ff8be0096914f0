"""The filter of system calls (seccomp) for programs of a dead container's image: what no database needs and an escape wants."""
import struct
from typing import Iterable, List, Optional

# AUDIT_ARCH_* of linux/audit.h, and numbers of asm/unistd.h. EPERM for: mounts (both APIs), namespaces, chroot, pivot_root, tracing of other
# processes, kernel modules, kexec, bpf, perf, keys (keyrings are per user id across namespaces), open_by_handle_at, io_uring, device nodes,
# swap, reboot, userfaultfd, I/O ports, vhangup
_X86_64 = (0xC000003E, (165, 166, 155, 161, 272, 308, 101, 310, 311, 175, 176, 313, 246, 320, 321, 298, 248, 249, 250, 303, 304, 425, 426, 427,
                        428, 429, 430, 431, 432, 433, 442, 133, 259, 167, 168, 169, 323, 172, 173, 153), 56, 435)
_AARCH64 = (0xC00000B7, (40, 39, 41, 51, 97, 268, 117, 270, 271, 105, 106, 273, 104, 294, 280, 241, 217, 218, 219, 264, 265, 425, 426, 427,
                         428, 429, 430, 431, 432, 433, 442, 33, 224, 225, 142, 282, 58), 220, 435)
MACHINES = {'x86_64': _X86_64, 'aarch64': _AARCH64}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _EPERM, _ENOSYS = 0, 0x7FFF0000, 0x00050001, 0x00050026
_NUMBER_AT, _ARCH_AT, _ARGUMENT_AT = 0, 4, 16       # struct seccomp_data
_X32 = 0x40000000
_NEW_NAMESPACE = 0x7E020000             # any CLONE_NEW* flag


def program(machine: str) -> Optional[bytes]:
    """The BPF instructions for MACHINE (os.uname().machine), None where its numbers are not in the table."""
    if machine not in MACHINES:
        return None
    arch, denied, clone, clone3 = MACHINES[machine]
    lines = [_one(_LOAD, 0, 0, _ARCH_AT), _one(_EQUAL, 1, 0, arch), _one(_RETURN, 0, 0, _KILL), _one(_LOAD, 0, 0, _NUMBER_AT)]
    if machine == 'x86_64':
        lines += [_one(_AT_LEAST, 0, 1, _X32), _one(_RETURN, 0, 0, _EPERM)]
    # the C library falls back to clone, whose flags can be looked at
    lines += [_one(_EQUAL, 0, 1, clone3), _one(_RETURN, 0, 0, _ENOSYS)]
    lines += _each(denied)
    lines += [_one(_EQUAL, 0, 3, clone), _one(_LOAD, 0, 0, _ARGUMENT_AT), _one(_ANY_BIT, 0, 1, _NEW_NAMESPACE), _one(_RETURN, 0, 0, _EPERM),
              _one(_RETURN, 0, 0, _ALLOW)]
    return b''.join(lines)


def _each(numbers: Iterable[int]) -> List[bytes]:
    found = []
    for number in numbers:
        found += [_one(_EQUAL, 0, 1, number), _one(_RETURN, 0, 0, _EPERM)]
    return found


def _one(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """struct sock_filter."""
    return struct.pack('<HBBI', code, if_true, if_false, value)
