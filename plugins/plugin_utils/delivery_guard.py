"""Limits the size of a file that is fetched from a node: a hostile node may send more than it announced, without end.

Connection plugins of Ansible know no limit. So a thread looks at the file while it comes, and ends the programs that bring it
(sftp, scp, docker ...). One that copies by itself, inside this process, cannot be ended; its file is refused afterwards.
"""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import Iterator

from ansible.errors import AnsibleError

from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_door import ProtocolError

LOOK_EVERY = 0.05                       # seconds


@contextlib.contextmanager
def limited(files: dict[str, int]) -> Iterator[None]:
    """While the body fetches FILES ({path here: bytes that it may have}). Raises ProtocolError, whatever the body raises, once one
    of them has more; it is removed then."""
    before = children()
    done = threading.Event()
    large: list[str] = []

    def watch() -> None:
        while not done.wait(LOOK_EVERY):
            large[:] = large or _beyond(files)
            for pid in children() - before if large else ():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, name='lifeboat-guard', daemon=True)
    thread.start()
    failure: BaseException | None = None
    try:
        yield
    except (AnsibleError, OSError) as exc:
        failure = exc
    finally:
        done.set()
        thread.join()
        large += _beyond(files)
        for path in large:
            with contextlib.suppress(OSError):
                os.unlink(path)
    if large:
        raise ProtocolError('a file that is larger than was announced')
    if failure is not None:
        raise failure


def _beyond(files: dict[str, int]) -> list[str]:
    found = []
    for path, most in files.items():
        with contextlib.suppress(OSError):
            if os.lstat(path).st_size > most:
                found.append(path)
    return found


def children() -> set[int]:
    """Process ids that this process, any of its threads, has started and that still run."""
    found: set[int] = set()
    try:
        for thread in os.listdir('/proc/self/task'):
            with contextlib.suppress(FileNotFoundError), open(f'/proc/self/task/{thread}/children', encoding='ascii') as listed:
                found.update(map(int, listed.read().split()))
        if found or os.path.exists('/proc/self/task/%d/children' % os.getpid()):
            return found
    except OSError:
        pass
    return _children_by_ps()


def _children_by_ps() -> set[int]:
    """The same where the kernel has no such list."""
    try:
        said = subprocess.run(['ps', '-A', '-o', 'pid=', '-o', 'ppid='], stdout=subprocess.PIPE, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    return {int(pid) for pid, parent in (line.split() for line in said.splitlines()) if int(parent) == os.getpid()}
