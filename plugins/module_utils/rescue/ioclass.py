"""Let a rescue give way to what still runs on a live host: I/O class (ioprio_set(2)) and niceness."""
import os

CLASSES = ('normal', 'best-effort', 'idle')
_VALUES = {'best-effort': (2 << 13) | 7, 'idle': 3 << 13}      # linux/ioprio.h; 7: the lowest level
# number of ioprio_set, from the kernel's syscall tables
_NUMBERS = {'x86_64': 251, 'i686': 289, 'i586': 289, 'aarch64': 30, 'riscv64': 30, 'loongarch64': 30, 'armv7l': 314,
            'armv6l': 314, 'ppc64le': 273, 'ppc64': 273, 's390x': 282}


def apply(name: str) -> bool:
    """For this process and the children it will start. False where the kernel does not do it (niceness is set anyway).

    To be called before other threads are started: the class belongs to a thread.
    """
    if name not in _VALUES:
        return True
    try:
        os.nice(19 if name == 'idle' else 5)
    except OSError:
        pass
    try:
        import ctypes
    except ImportError:                 # a Python that was built without
        return False
    number = _NUMBERS.get(os.uname().machine)
    # a 32-bit Python on a 64-bit kernel has other numbers than uname says
    if number is None or (ctypes.sizeof(ctypes.c_void_p) == 4 and os.uname().machine.endswith('64')):
        return False
    try:
        return ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, _VALUES[name]) == 0
    except (OSError, AttributeError):
        return False
