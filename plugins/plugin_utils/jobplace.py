"""Which folders of the controller end with the job: a job of AWX runs in a container that is deleted afterwards."""
from __future__ import annotations

import os
import re
import typing

OWN = '/runner'                         # where ansible-runner puts the job's own files in a container


def vanishes(path: str, environ: typing.Mapping[str, str] | None = None, mounts: str = '/proc/self/mountinfo') -> bool:
    """Whether PATH (str, absolute, need not exist) is deleted with the job that runs this.

    That is so below /runner, and, in a container, wherever nothing is mounted from outside. ansible-runner tells a job by
    AWX_ISOLATED_DATA_DIR, which lies below /runner in a container only. Without a readable MOUNTS (proc(5)) only /runner counts.
    """
    real = os.path.realpath(path)
    if _below(real, OWN):
        return True
    if not _below((os.environ if environ is None else environ).get('AWX_ISOLATED_DATA_DIR', ''), OWN):
        return False
    try:
        with open(mounts, 'rb') as lines:
            points = [os.fsdecode(_plain(line.split()[4])) for line in lines]
    except (OSError, IndexError):
        return False
    return max((point for point in points if _below(real, point)), key=len, default='') == '/'


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip('/') + '/')


def _plain(raw: bytes) -> bytes:
    """The kernel writes blanks and backslashes of a mount point as octal numbers."""
    return re.sub(rb'\\([0-7]{3})', lambda found: bytes([int(found.group(1), 8)]), raw)
