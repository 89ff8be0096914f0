"""Whether a containerd still works on this machine."""
import os
import re
from typing import Any, Dict

from ....disk import host as hosts
from ... import api

# the name of a container's control group in /proc/PID/cgroup: cgroupfs has the ID alone, systemd puts words around it
GROUP = re.compile(br'[/:-]([0-9a-f]{64})(?=[./\n]|\Z)')
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
    """{container id: process id} of those that run on a live host. Each is a child of its shim. A pod has one shim, which has the ID of its
    sandbox; its other containers are told by the control groups of the children."""
    found: Dict[str, int] = {}
    for process in disk.processes((b'containerd-shim',)):
        for option, value in zip(process.argv, process.argv[1:]):
            if option == '-id':
                children = [int(each) for each in hosts.read_proc(process.pid, 'task/%d/children' % process.pid).split()]
                found[value] = children[0] if children else process.pid
                for child in children:
                    for ident in GROUP.findall(hosts.read_proc(child, 'cgroup')):
                        found.setdefault(ident.decode('ascii'), child)
    return found
