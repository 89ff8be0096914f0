"""Whether a containerd still works on this machine."""
import os
import re
from typing import Any, Dict

from ....disk import host as hosts
from ... import api

DAEMONS = re.compile(r'(?:containerd|k3s|k3s-server|k3s-agent|rke2)\Z')


def of_daemon(disk: Any) -> api.Liveness:
    """The Liveness of a host's containerd. Its shims go on without it, see of_container()."""
    if not disk.is_live:
        return api.Liveness(api.STOPPED, None, ('this is not the disk of the running machine',))
    for process in disk.processes((b'containerd', b'k3s', b'rke2')):
        if DAEMONS.match(os.path.basename(process.argv[0].split(' ')[0])):
            return api.Liveness(api.RUNNING, process.pid, ('process %d is a containerd' % process.pid,))
    return api.Liveness(api.STOPPED if os.geteuid() == 0 else api.UNKNOWN, None, ('no containerd runs',))


def running(disk: Any) -> Dict[str, int]:
    """{container id: process id} of those that run on a live host: each is a child of its shim."""
    found = {}
    for process in disk.processes((b'containerd-shim',)):
        for option, value in zip(process.argv, process.argv[1:]):
            if option == '-id':
                children = hosts.read_proc(process.pid, 'task/%d/children' % process.pid).split()
                found[value] = int(children[0]) if children else process.pid
    return found
