"""A disk in memory for what tests make: many small files, written, flushed and removed again, which a real disk takes longest for.

It is an ext4 of its own, as /var/tmp often is, with access times, so that nothing that tests see is different; it need not outlive
them, so nothing waits for its journal. (Without a journal ext4 looks for inodes that were not freed lately, which takes longer than all
the rest.) It is mounted in the namespace of those tests only, and goes when the last of their processes ends.
"""
import os
import shutil
import subprocess
import sys
from typing import List, Sequence

TOOLS = ('unshare', 'mount', 'mkfs.ext4', 'truncate')
SIZE = '16G'                            # the disk; it takes as much memory as there is on it: what is removed is given back
ENOUGH = 8 << 30                        # bytes that have to be free, since several parts run at a time
# $0: the folder over which it is mounted; the arguments: the command that sees it. Where it cannot be made, as in a container without
# loop devices, the command has the folder as it is. Others may take the same loop device at the same moment, so that is tried again.
SCRIPT = '''
loop() {
    for each in 1 2 3 4 5; do mount -o loop,nobarrier,discard,commit=30,noinit_itable "$0/disk" "$0" && return 0; sleep 0.3; done
    return 1
}
if mount -t tmpfs -o mode=700,size=75% tmpfs "$0"; then
    if truncate -s "$LIFEBOAT_DISK_SIZE" "$0/disk" && mkfs.ext4 -q -J size=64 -m 0 "$0/disk" && loop; then
        chmod 1777 "$0" && rmdir "$0/lost+found"
    else
        umount "$0"
    fi
fi
unset LIFEBOAT_DISK_SIZE
exec "$@"
'''


def free() -> int:
    """Bytes of memory that nobody needs; 0 if that cannot be told."""
    try:
        with open('/proc/meminfo', encoding='ascii') as lines:
            return next((int(line.split()[1]) << 10 for line in lines if line.startswith('MemAvailable:')), 0)
    except OSError:
        return 0


def with_disk(folder: str, command: Sequence[str], size: str = SIZE) -> List[str]:
    """COMMAND with such a disk over FOLDER, which is empty."""
    return ['unshare', '--mount', 'env', 'LIFEBOAT_DISK_SIZE=' + size, 'sh', '-c', SCRIPT, folder] + list(command)


def possible() -> bool:
    """May this machine have one now? Not without root or the right to mount, nor where memory is short."""
    if not sys.platform.startswith('linux') or os.geteuid() or free() < ENOUGH or not all(shutil.which(tool) for tool in TOOLS):
        return False
    return subprocess.run(['unshare', '--mount', 'true'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0
