"""Which pod a UID, a container or a folder belongs to, and what a volume is called. Names of Kubernetes have no underscore, so those of
its folders can be split at it (kubernetes pkg/kubelet/kuberuntime/helpers.go, legacy.go)."""
import hashlib
import os
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple

ID = re.compile(r'[0-9a-f]{64}\Z')
UID = re.compile(rb'[A-Za-z0-9][A-Za-z0-9-]{0,127}\Z')      # of static pods 32 hex digits
_LOG_FOLDER = re.compile(r'([a-z0-9-]{1,63})_([a-z0-9.-]{1,253})_([A-Za-z0-9-]{1,128})\Z')
_LINK = re.compile(r'([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_([a-z0-9-]{1,63})-([0-9a-f]{64})\.log\Z')
_NAME = re.compile(r'(?P<ctr>[^_]+)_(?P<pod>[^_]+)_(?P<ns>[^_]+)_(?P<uid>[^_]+)_(?P<attempt>\d{1,9})\Z')
_LOG_FILE = re.compile(r'/([^/]+)/([^/]+)/(\d{1,9})\.log\Z')
LOGS, LINKS = b'/var/log/pods', b'/var/log/containers'
MAX_NAME = 150                          # a volume's is part of a file's name


class Whose(NamedTuple):
    """A container's place in Kubernetes, '' where it is not known."""
    namespace: str = ''
    pod: str = ''
    uid: str = ''
    container: str = ''
    attempt: int = 0
    log: str = ''                       # path, as the dead host saw it


def of_metadata_name(name: str) -> Whose:
    """Of `Name` in containerd's record: CONTAINER_POD_NAMESPACE_UID_ATTEMPT."""
    match = _NAME.match(name)
    return Whose(match.group('ns'), match.group('pod'), match.group('uid'), match.group('ctr'), int(match.group('attempt'))) if match else Whose()


def pods_of_logs(disk: Any) -> Dict[str, Tuple[str, str]]:
    """{uid: (namespace, name)} of the folders below /var/log/pods."""
    found = {}
    for name in _listed(disk, LOGS):
        match = _LOG_FOLDER.match(name)
        if match:
            found[match.group(3)] = (match.group(1), match.group(2))
    return found


def containers_of_logs(disk: Any) -> Dict[str, Whose]:
    """{container id: Whose} of the links in /var/log/containers, which lead to the file of the log."""
    found = {}
    for name in _listed(disk, LINKS):
        match = _LINK.match(name)
        if not match:
            continue
        pod, namespace, container, ident = match.groups()
        uid, attempt, target = '', 0, ''
        try:
            target = disk.readlink(os.path.join(LINKS, os.fsencode(name))).decode('utf-8', 'replace')
        except OSError:
            pass
        place = _LOG_FILE.search(target)
        folder = _LOG_FOLDER.match(place.group(1)) if place else None
        if place and folder and folder.group(1, 2) == (namespace, pod) and place.group(2) == container:
            uid, attempt = folder.group(3), int(place.group(3))
        else:
            target = ''
        found[ident] = Whose(namespace, pod, uid, container, attempt, target)
    return found


def _listed(disk: Any, folder: bytes) -> Any:
    try:
        return [name.decode('utf-8', 'backslashreplace') for name in disk.listdir(folder)]
    except OSError:
        return []


def volume_name(*parts: Optional[str]) -> str:
    """A name for a volume, of letters that every engine allows; unlike parts give unlike names."""
    plain = '_'.join(part or 'unknown' for part in parts)
    found = re.sub(r'[^A-Za-z0-9_.-]', '-', plain)
    if not re.match(r'[A-Za-z0-9]', found):
        found = 'v' + found
    if found != plain or len(found) > MAX_NAME:
        found = '%s-%s' % (found[:MAX_NAME - 13], hashlib.sha256(plain.encode('utf-8', 'backslashreplace')).hexdigest()[:12])
    return found
