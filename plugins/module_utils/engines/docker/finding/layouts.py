"""Data roots where appliances and virtual machines keep them, known by their paths; and by content alone, where nothing
else was found. A folder counts only if what is in it is that of a data root: a share named docker is none.
"""
import collections
import os
import stat
import time
from typing import Any, Deque, Iterator, List, Tuple

from ....formats.patterns import Lazy
from ....formats.wording import show
from .claims import Claim
from .content import content_of, is_made_by_dockerd
from .daemonconf import MAX_CONFIG, absolute, json_root

# (product, path); * is any one folder or a part of a name. Where each stands: manuals and reports of these products.
LAYOUTS = (
    ('Synology', '/volume*/@docker'), ('Synology', '/volume*/docker'), ('Synology', '/@docker'),
    ('QNAP Container Station', '/share/*/Container/container-station-data/lib/docker'),
    ('QNAP Container Station', '/share/*/.qpkg/container-station/docker'), ('QNAP Container Station', '/share/*/.qpkg/container-station/lib/docker'),
    ('QNAP Container Station', '/Container/container-station-data/lib/docker'), ('QNAP Container Station', '/container-station-data/lib/docker'),
    ('QNAP Container Station', '/.qpkg/container-station/docker'),
    ('TrueNAS SCALE', '/mnt/*/ix-applications/docker'), ('TrueNAS SCALE', '/mnt/.ix-apps/docker'), ('TrueNAS SCALE', '/mnt/*/.ix-apps/docker'),
    ('TrueNAS SCALE', '/mnt/*/ix-apps/docker'), ('TrueNAS SCALE', '/ix-applications/docker'), ('TrueNAS SCALE', '/ix-apps/docker'),
    ('TrueNAS SCALE', '/.ix-apps/docker'),
    ('Unraid', '/mnt/*/system/docker/docker'), ('Unraid', '/system/docker/docker'), ('Unraid', '/mnt/*/docker'),
    ('Home Assistant OS or balenaOS', '/mnt/data/docker'), ('Home Assistant OS or balenaOS', '/docker'),
    ('openmediavault', '/srv/dev-disk-by-*/docker'), ('openmediavault', '/srv/dev-disk-by-*/*/docker'), ('openmediavault', '/srv/*/docker'),
    ('CasaOS', '/DATA/docker'), ('CasaOS', '/DATA/.docker'), ('CasaOS', '/media/*/docker'), ('CasaOS', '/mnt/*/*/docker'),
    ('WSL2 or Docker Desktop', '/data/docker'), ('WSL2 or Docker Desktop', '/docker-desktop-data/data/docker'),
    ('WSL2 or Docker Desktop', '/version-pack-data/community/docker'), ('WSL2 or Docker Desktop', '/mnt/wsl/*/data/docker'),
    ('Colima or Lima', '/mnt/lima-*/docker'), ('Colima or Lima', '/mnt/lima-*/var/lib/docker'),
    ('RancherOS', '/var/lib/system-docker'), ('RancherOS', '/lib/system-docker'), ('RancherOS', '/system-docker'),
    ('balenaOS', '/var/lib/balena-engine'), ('balenaOS', '/var/lib/balena'), ('balenaOS', '/resin-data/docker'), ('balenaOS', '/balena'),
    ('LXC', '/var/lib/lxc/*/rootfs/var/lib/docker'), ('Proxmox', '/rpool/data/subvol-*/var/lib/docker'),
    ('Proxmox', '/var/lib/vz/private/*/var/lib/docker'), ('Proxmox', '/*/subvol-*/var/lib/docker'),
    ('LXD', '/var/lib/lxd/storage-pools/*/containers/*/rootfs/var/lib/docker'), ('LXD', '/var/lib/lxd/containers/*/rootfs/var/lib/docker'),
    ('LXD', '/var/snap/lxd/common/lxd/storage-pools/*/containers/*/rootfs/var/lib/docker'),
    ('LXD or Incus', '/rootfs/var/lib/docker'), ('LXD or Incus', '/containers/*/rootfs/var/lib/docker'),
    ('Incus', '/var/lib/incus/storage-pools/*/containers/*/rootfs/var/lib/docker'),
    ('sysbox', '/var/lib/sysbox/docker/*'),
)
# settings of dockerd of such products, with a data root in it
SETTINGS = (b'/var/packages/ContainerManager/etc/dockerd.json', b'/var/packages/Docker/etc/dockerd.json')
CONFIGS = b'/etc/docker'
SIGNS = frozenset((b'image', b'volumes', b'network', b'overlay2', b'overlay', b'aufs', b'vfs', b'btrfs', b'zfs', b'fuse-overlayfs',
                   b'devicemapper', b'buildkit', b'plugins', b'swarm', b'trust', b'engine-id', b'containerd'))
ENOUGH = 3                              # of SIGNS beside containers/
MAX_NAMES = 500                         # that one * may stand for
MAX_DEPTH = 4
MAX_FOLDERS = 20000
MAX_SECONDS = 10.0
NOT_SEARCHED = frozenset((b'proc', b'sys', b'dev', b'run', b'boot', b'lost+found', b'usr', b'bin', b'sbin', b'lib64', b'overlay2', b'.snapshots'))
_TELLING = Lazy(br'(?i)docker|container|moby|engine')    # looked into first


def is_root(names: Any) -> bool:
    """Whether NAMES are those of a data root: containers/, and three of what dockerd makes beside it."""
    names = frozenset(names)
    return b'containers' in names and len(names & SIGNS) >= ENOUGH


def layout_claims(scan: Any, claims: List[Claim]) -> List[Claim]:
    """What CLAIMS of configurations lack: known places, and where nothing at all is found on a disk, a search of it. A root in which
    nothing was made yet is nothing: it may be that of a Docker that was installed again."""
    found = list(known(scan, claims))
    if not scan.host.is_live and not any(_holds(scan, claim.path) for claim in claims + found):
        taken = {claim.path for claim in claims + found}
        found += [claim for claim in searched(scan) if claim.path not in taken]
    return found


def _holds(scan: Any, path: bytes) -> bool:
    """Whether PATH is a data root with something in it, a damaged one too."""
    try:
        if len(frozenset(scan.host.listdir(path)) & (SIGNS | frozenset((b'containers',)))) < 2:
            return False
        content = content_of(scan, path)
        return bool(content.remapped) or not content.is_empty
    except PermissionError:
        return True
    except OSError:
        return False


def known(scan: Any, claims: List[Claim]) -> Iterator[Claim]:
    """Claims for data roots in the places of LAYOUTS, and what copies of daemon.json name; without what CLAIMS has."""
    taken = {claim.path for claim in claims}
    scan.looked.append('the places of appliances and virtual machines')
    for path, why in _settings(scan):
        if path not in taken and _looks(scan, path):
            taken.add(path)
            yield Claim(path, why, kind='guess', required=False)
    for product, pattern in LAYOUTS:
        for path in _matching(scan, [os.fsencode(part) for part in pattern.strip('/').split('/')], b''):
            if path not in taken and _looks(scan, path):
                taken.add(path)
                yield Claim(path, 'layout of %s' % product, kind='guess', required=False, default=True)


def _looks(scan: Any, path: bytes) -> bool:
    try:
        return is_root(scan.host.listdir(path)) and is_made_by_dockerd(scan, path)
    except OSError:
        return False


def _settings(scan: Any) -> Iterator[Tuple[bytes, str]]:
    """(data root, why) of settings of products, and of copies of daemon.json: daemon.json.bak, daemon.json_bak, ..."""
    places = list(SETTINGS)
    for name in scan.names(CONFIGS)[:MAX_NAMES]:
        if name.startswith((b'daemon.json', b'daemon_')) and name != b'daemon.json' or name.endswith((b'.json.bak', b'.json_bak')):
            places.append(os.path.join(CONFIGS, name))
    for place in places:
        try:
            if len(scan.host.read(place, MAX_CONFIG)) > 2:
                value, key = json_root(scan.daemon_json(place)[0])
                if value:
                    yield absolute(value), '%s in %s' % (key, show(place))
        except OSError:
            continue


def _matching(scan: Any, parts: List[bytes], folder: bytes) -> List[bytes]:
    """Folders of the dead host below FOLDER that match PARTS. Links count only at the end, as a user made them there."""
    first, rest = parts[0], parts[1:]
    if b'*' in first:
        head, tail = first.split(b'*')
        names = [name for name in scan.names(folder or b'/') if name.startswith(head) and name.endswith(tail)
                 and not (first == b'*' and name in NOT_SEARCHED)][:MAX_NAMES]
    else:
        names = [first]
    found = []
    for name in names:
        path = folder + b'/' + name
        try:
            if not stat.S_ISDIR(scan.host.stat(path).st_mode):
                continue
        except OSError:
            continue
        found += _matching(scan, rest, path) if rest else [path]
    return found[:MAX_NAMES]


def searched(scan: Any) -> Iterator[Claim]:
    """Claims by content alone: every folder down to MAX_DEPTH that looks like a data root. For a disk on which nothing else
    was found: MAX_FOLDERS and MAX_SECONDS bound it."""
    scan.looked.append('every folder down to %d levels' % MAX_DEPTH)
    deadline, left = time.time() + MAX_SECONDS, MAX_FOLDERS
    todo: Deque[Tuple[bytes, int]] = collections.deque([(b'', 0)])
    likely: Deque[Tuple[bytes, int]] = collections.deque()
    while (todo or likely) and left and time.time() < deadline:
        folder, depth = (likely or todo).popleft()
        left -= 1
        try:
            names = scan.host.listdir(folder or b'/')
        except OSError:
            continue
        if is_root(names) and is_made_by_dockerd(scan, folder or b'/'):
            yield Claim(folder or b'/', 'found by its content', kind='guess', required=False, default=True)
            continue
        if depth < MAX_DEPTH:
            for name in names[:MAX_NAMES]:
                if name not in NOT_SEARCHED and _is_folder(scan, folder + b'/' + name):
                    told = _TELLING.search(folder + b'/' + name)
                    (likely if told else todo).append((folder + b'/' + name, depth + 1))


def _is_folder(scan: Any, path: bytes) -> bool:
    try:
        return stat.S_ISDIR(scan.host.lstat(path).st_mode)
    except OSError:
        return False
