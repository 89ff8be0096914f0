"""Options of a delivery as the controller reads them, and what the host and dest look like before it begins."""
from __future__ import annotations

import os
import re
from typing import Any, Callable, Sequence

from ansible.errors import AnsibleActionFail

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import target
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show as plain
from ansible_collections.lifeboat.docker.plugins.module_utils.records.model import Problem
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import spool

IN_MEMORY = '/dev/shm'
TIGHT = 8 * 1024                        # KiB: what Ansible's own files need, and some
ROOM = re.compile(r'\s([0-9]{1,19})\s+[0-9]+\s+(-?[0-9]{1,19})\s+(?:[0-9]+%|-)\s')     # a line of df -P: all and free, blocks or inodes
# Who logs in, and the room of the places for temporary files
ROOM_COMMAND = ('id -u; for d in "$HOME" /tmp %s; do test -w "$d" && echo "room $d" && df -Pk "$d" | tail -n 1 && df -Pi "$d" | tail -n 1; '
                'done; true' % IN_MEMORY)


def doubts(dest: bytes) -> list[Problem]:
    """Problems of DEST on this machine, as the module looks at one on the host. AnsibleActionFail for one that is refused."""
    try:
        return target.local(dest)
    except LifeboatError as exc:
        raise AnsibleActionFail(str(exc)) from exc


def with_problems(result: dict[str, Any], problems: Sequence[Problem]) -> dict[str, Any]:
    """RESULT of a rescue with further PROBLEMS, counted; a failure has none."""
    summary = result.get('summary')
    if problems and isinstance(summary, dict):
        result['problems'] = [dict(item._asdict()) for item in problems] + (result.get('problems') or [])
        summary['problems'] = (summary.get('problems') or 0) + len(problems)
    return result


def quantity(args: dict[str, Any], name: str, default: str, read: Callable[[Any], Any]) -> Any:
    """The option NAME, read by a function of formats.quantities."""
    try:
        return read(args.get(name) or default)
    except ValueError as exc:
        raise AnsibleActionFail('The option %s: %s.' % (name, exc)) from None


def places(args: dict[str, Any]) -> list[str]:
    """The folders on the node that may hold the spool: that of the user, or the usual ones. The node picks one by its number."""
    wanted = args.get('spool_dir')
    if not wanted:
        return list(spool.PLACES)
    if not isinstance(wanted, str) or not wanted.startswith('/') or not wanted.isprintable() or '..' in wanted.split('/'):
        raise AnsibleActionFail('spool_dir must be an absolute path without control characters, not %s.' % plain(str(wanted)))
    return [os.path.normpath(wanted).replace('//', '/')]


def is_tight(said: str) -> bool:
    """True if a usual place for temporary files is full and memory has room. SAID: what ROOM_COMMAND prints."""
    rooms = {}
    for part in re.split(r'^room ', said, flags=re.MULTILINE)[1:]:
        name, dummy, rest = part.partition('\n')
        found = [(int(match.group(1)), int(match.group(2))) for match in ROOM.finditer(rest)]
        if found:
            # some file systems do not count inodes
            rooms[name] = 0 if len(found) > 1 and found[1][0] and found[1][1] < 10 else found[0][1]
    memory = rooms.pop(IN_MEMORY, 0)
    return memory >= 2 * TIGHT and any(free < TIGHT for free in rooms.values())


def node_patience(reconnecting: float) -> float:
    """Seconds after which the node ends its work if it hears nothing: longer than we try to come back."""
    return max(60, 2 * reconnecting + 30)
