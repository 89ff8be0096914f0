"""Labels of SELinux of what is restored, on a machine that has it: those with which a container may read it.

A label of the dead host is never taken as it is, since a bundle may come from anybody and a label gives rights. What was labelled for
containers gets the label that the engine's own option `z` gives, which consists of words that stand here.
"""
import os
from typing import Any, Callable, Dict, Optional

from ..formats.values import as_list, strings

# what the policies call files of containers; the last two are older names of the first
TYPES = ('container_file_t', 'container_ro_file_t', 'svirt_sandbox_file_t', 'svirt_lxc_file_t')
ENFORCE = '/sys/fs/selinux/enforce'     # there where the kernel has a policy, enforcing or not


def kept() -> Optional[Callable[[bytes], Optional[bytes]]]:
    """What of_containers() does, where this machine has SELinux; else None."""
    return of_containers if os.path.exists(ENFORCE) else None


def of_containers(recorded: bytes) -> Optional[bytes]:
    """The label for a file that had the label RECORDED; None: the one that the policy gives it. Categories are left out: a container that is
    made anew has others."""
    parts = recorded.rstrip(b'\0').decode('utf-8', 'replace').split(':')
    return b'system_u:object_r:%s:s0\0' % parts[2].encode('ascii') if len(parts) > 2 and parts[2] in TYPES else None


def relabelled(body: Dict[str, Any], info: Dict[str, Any]) -> Dict[str, Any]:
    """BODY with the option `z` on volumes of its Binds, if the engine of INFO labels for SELinux. It labels a volume by itself only if
    the bind has no option at all, and each has `nocopy` here. What asks for `Z` or `z` stays as it is."""
    host = body['HostConfig']
    if not host.get('Binds') or not any('name=selinux' in str(option) for option in as_list(info.get('SecurityOptions'))):
        return body
    return dict(body, HostConfig=dict(host, Binds=[_labelled(bind) for bind in strings(host['Binds'])]))


def _labelled(bind: str) -> str:
    source, colon, rest = bind.partition(':')
    place, dummy, modes = rest.partition(':')
    words = [word for word in modes.split(',') if word]
    if not colon or source.startswith('/') or 'z' in words or 'Z' in words:
        return bind
    return ':'.join([source, place, ','.join(words + ['z'])])
