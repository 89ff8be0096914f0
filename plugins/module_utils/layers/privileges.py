"""Which marks of layers are hidden from this process, so that no incomplete layer counts as complete.

trusted.* attributes, by which overlayfs marks opaque folders, are left out of every list for a process without CAP_SYS_ADMIN in the
initial user namespace (xattr(7)): no error, they are just not there. Root inside an ordinary container is such a process.
"""
import os
from typing import Optional, Tuple

from ..disk import host
from ..formats import wording
from ..records import model
from ..records.codes import problem

CAP_SYS_ADMIN = 21                      # linux/capability.h
WHOLE = [b'0', b'0', b'4294967295']     # uid_map of the initial user namespace, user_namespaces(7)


def sees_trusted(proc: str = '/proc/self') -> bool:
    """True if trusted.* attributes are shown to this process."""
    try:
        words = [line.split() for line in host.read_kernel(os.path.join(proc, 'status')).split(b'\n') if line.startswith(b'CapEff:')]
        mapped = host.read_kernel(os.path.join(proc, 'uid_map')).split()
        return bool(int(words[0][1], 16) >> CAP_SYS_ADMIN & 1) and mapped == WHOLE
    except (IndexError, ValueError):
        return os.geteuid() == 0        # no /proc, or a kernel without user namespaces


def hidden_marks(path: bytes, blind: bool, stack: Optional[model.Stack]) -> Tuple[model.Problem, ...]:
    """Problems of a STACK of the data root PATH whose marks this process does not see (BLIND). The same for all of a root."""
    if not blind or stack is None or all(layer.encoding != model.OVERLAY for layer in stack.view()):
        return ()
    where = wording.text(path)
    return (problem('PRIVILEGES_MISSING', where, 'This process has no CAP_SYS_ADMIN, so the marks of opaque folders (trusted.overlay.*) '
                    'in the layers of %s are hidden from it: files that a container had deleted come back.' % where,
                    'Run as root (become: true). Inside a container, start that with --cap-add SYS_ADMIN or --privileged.'),)
