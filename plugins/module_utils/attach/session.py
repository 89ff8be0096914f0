"""One attachment at work: what was asked, what was done, what is wrong; and the records that its steps hand on."""
import os
from typing import Any, Dict, List, NamedTuple, Tuple

from ..records import codes
from .commands import Commands, line_of
from .state import State
from .superblocks import Found

REPLAY, IGNORE = 'replay', 'ignore'
MAX_DEVICES = 200                       # of all disks together: a hostile disk could name thousands
MAX_DEPTH = 6                           # layers in layers


class Request(NamedTuple):
    """What the user asked for. `passphrase` and `key_file` are of LUKS; sizes in bytes."""
    paths: Tuple[str, ...]
    journal: str = REPLAY
    scratch_dir: str = '/var/tmp/lifeboat-attach'
    scratch_size: int = 1 << 30
    passphrase: str = ''
    key_file: str = ''
    nested: bool = False
    attach_layers: bool = False


class Device(NamedTuple):
    """A part of a file or device that can be read: a disk, a partition, a logical volume.

    `file` is what the kernel reads, `offset` and `size` (bytes) where in it; `graph` is the same file as a block device of
    QEMU. `shown` names it for people, `names` are the paths in /dev that the dead host may have called it by.
    """
    file: str
    offset: int
    size: int
    graph: Dict[str, Any]
    shown: str
    names: Tuple[str, ...] = ()
    partuuid: str = ''
    partlabel: str = ''
    container: Any = None               # (Device, Found) of the LUKS container in which it lies


class FileSystem(NamedTuple):
    """A mounted file system. `point` is where; `top`: where the top of a btrfs is, else the same; `node`: the device."""
    device: Device
    found: Found
    point: str
    top: str
    node: str
    options: str


class Session(object):
    """State, commands and problems of one run."""

    def __init__(self, request: Request, state: State) -> None:
        self.request, self.state = request, state
        self.commands = Commands()
        self.problems = []
        self.images = set()             # (device, inode) of images inside the disks that were named or attached
        self.locked = []                # (Device, Found) of LUKS containers that were not opened
        self.pools: List[str] = []      # nodes of thin pools of LVM
        self._numbers = {}

    def problem(self, code: str, obj: str, message: str, next_step: str = '') -> None:
        """Add a problem, once."""
        found = codes.problem(code, obj, message, next_step)
        if found not in self.problems:
            self.problems.append(found)

    def place(self, kind: str, suffix: str = '') -> str:
        """A new path in the folder of the attachment: KIND, a number, SUFFIX. Nothing of a disk is ever part of it."""
        number = self._numbers.get(kind, 0)
        while os.path.lexists(self.state.path('%s%d%s' % (kind, number, suffix))):
            number += 1
        self._numbers[kind] = number + 1
        return self.state.path('%s%d%s' % (kind, number, suffix))

    def folder(self, kind: str) -> str:
        """Make a new folder for a mount -> where."""
        place = self.place(kind)
        self.commands.note(line_of(['mkdir', place]))
        os.mkdir(place, 0o700)
        return place

    def name(self, kind: str) -> str:
        """A new name for device-mapper or md."""
        number = self._numbers.get(kind, 0)
        self._numbers[kind] = number + 1
        return '%s-%s%d' % (self.state.name, kind, number)


def read_of(device: Device) -> Any:
    """(offset, bytes) -> bytes of DEVICE; b'' outside of it. An unreadable block is an OSError."""
    def read(offset: int, number: int) -> bytes:
        if offset < 0 or offset >= device.size:
            return b''
        fd = os.open(device.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, min(number, device.size - offset), device.offset + offset)
        finally:
            os.close(fd)
    return read


def size_of(path: str) -> int:
    """Bytes of a regular file or a block device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
