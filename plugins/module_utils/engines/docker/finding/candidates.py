"""Claims -> candidates: those that lead to the same folder are one, a userns-remap folder is one of its own, and what
is in them ranks them. Problems are said on the way.
"""
import os
import stat
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ....disk import safeio
from ....formats.values import NOTHING
from ....formats.wording import show
from ....records import model
from .claims import DEFAULT_ROOT, Claim
from .containerd_roots import ContainerdRoots
from .content import MAX_FOLDERS, SIGNS, USERNS, Content, content_of
from .copies import without_copies
from .daemonconf import absolute
from .problems import judge, missing_root, unreadable_root

if TYPE_CHECKING:
    from ....disk.host import HostRoot
    from .scan import Scan

DEFAULT_EXEC_ROOT = b'/var/run/docker'
DEFAULT_PIDFILE = b'/var/run/docker.pid'


class RootCandidate(NamedTuple):
    """A folder that is, or is said to be, a data root. Paths are bytes."""
    path: bytes                         # effective data root on the managed node, no links left
    recorded_path: bytes                # as configured, as the dead host saw it
    why: Tuple[str, ...]                # every source that named it
    score: int                          # 100 a container, 10 a volume, 1 a layer folder, 1 if a configuration names it
    drivers: Tuple[str, ...]            # graphdrivers with a tree or an image/<driver> folder, snapshotters in use
    containers: int                     # folders in containers/
    layers: int                         # layer folders of all drivers, and snapshots of its own containerd
    userns: Optional[Tuple[int, int]] = None    # host ids of the containers' root (userns-remap)
    rootless_uid: Optional[int] = None
    containerd_roots: Tuple[bytes, ...] = ()    # existing folders on the managed node, in order of probability
    namespace_suffix: str = ''          # '100000.100000': containerd namespaces are moby-100000.100000
    exec_root: bytes = DEFAULT_EXEC_ROOT        # as the dead host saw it
    pidfile: bytes = DEFAULT_PIDFILE            # as the dead host saw it
    daemon_json: Dict[str, Any] = NOTHING    # parsed, secrets untouched
    flags: Dict[str, Any] = NOTHING          # dockerd's command line, in daemon.json's spelling
    volumes: int = 0                    # names in volumes/
    base: bytes = b''                   # data root without the userns folder, on the managed node
    containerd_missing: Tuple[bytes, ...] = ()  # named as containerd's root but not there; as the dead host saw it
    snapshotter_roots: Tuple[Tuple[str, bytes], ...] = ()   # snapshotters that config.toml puts elsewhere (root_path)


def candidates(scan: 'Scan', claims: List[Claim], explicit: Optional[bytes], only_given: bool) -> List[RootCandidate]:
    """Claims -> RootCandidates, best first; says what is wrong on the way."""
    host = scan.host
    merged, missing = _by_folder(scan, claims, only_given)
    containerd = ContainerdRoots(scan, explicit)
    known = [place for place, dummy in merged]
    found = []
    for place, named in merged:
        if only_given and named[0].kind != 'given':
            continue
        outer = _outer(host, place, known)
        inherited = [claim for other, others in merged if outer and other == outer for claim in others]
        found.extend(_inspect_claims(scan, place, named + inherited, containerd, outer))
    found.sort(key=lambda pair: (-pair[0].score, pair[0].path))
    unique = []
    for pair in found:                  # a userns folder that is given and found below its data root
        if pair[0].path not in [other[0].path for other in unique]:
            unique.append(pair)
    if not only_given:
        unique = without_copies(scan, unique, {place: _rank(named) for place, named in merged})
    for candidate, content in unique:
        judge(scan, candidate, content, unique)
    # with a good root found, one that is not there is worth a warning only
    severity = model.WARNING if any(not content.is_empty for dummy, content in unique) else None
    for claim, exc in missing if not only_given else ():
        missing_root(scan, claim, exc, severity)
    return [candidate for candidate, dummy in unique]


def _rank(claims: List[Claim]) -> int:
    """How much a folder is meant by CLAIMS: 0 by a configuration, 1 as the usual place, 2 by a guess."""
    sure = [claim for claim in claims if claim.kind != 'guess']
    return 2 if not sure else 1 if all(claim.default and not claim.required for claim in sure) else 0


def _by_folder(scan: 'Scan', claims: List[Claim], only_given: bool) -> Tuple[List[Tuple[bytes, List[Claim]]], List[Tuple[Claim, OSError]]]:
    """([(path on the node, [its claims])], [(claim that leads nowhere, OSError)]); two paths may be one folder."""
    merged = []                         # (identity, path on the node, [claims])
    missing = []
    for claim in claims:
        try:
            place = scan.host.resolve(claim.path)
            st = safeio.lstat(place)
        except OSError as exc:
            missing.append((claim, exc))
            continue
        if not stat.S_ISDIR(st.st_mode):
            if claim.required and not only_given:
                scan.problem('DATA_ROOT_MISSING', claim.path, '%s (%s) is not a folder.'
                             % (show(claim.path), claim.why), 'Look for it, or name the data root '
                             'in data_roots.')
            continue
        identity = (st.st_dev, st.st_ino)
        for item in merged:
            if item[0] == identity:
                item[2].append(claim)
                break
        else:
            merged.append((identity, place, [claim]))
    return [item[1:] for item in merged], missing


def _outer(host: 'HostRoot', place: bytes, known: List[bytes]) -> Optional[bytes]:
    """The data root that a userns-remap folder lies in, None for any other folder. KNOWN: the folders that claims lead to.

    dockerd gives the folder, or the folders in it, to the remapped group (older ones to the user too); in a copy the folder
    itself often is root's. One that only looks like it, as /backup/2024.11 does, lies in no data root and belongs to others.
    """
    match = USERNS.match(os.path.basename(place))
    if not match or place == host.path:
        return None
    above = os.path.dirname(place)
    if above in known:
        return above
    for folder in (place,) + tuple(os.path.join(place, name) for name in SIGNS):
        try:
            st = safeio.lstat(folder)
        except OSError:
            continue
        if st.st_gid == int(match.group(2)) or st.st_uid == int(match.group(1)):
            return above
    try:
        with safeio.Dir.root(above) as around:
            signs = len(set(SIGNS) & set(around.names()))
    except OSError:
        return None
    return above if signs > 1 else None  # one may be a folder of that name


def _inspect_claims(scan: 'Scan', place: bytes, claims: List[Claim], containerd: ContainerdRoots,
                    outer: Optional[bytes]) -> List[Tuple[RootCandidate, Content]]:
    """[(RootCandidate, Content)] of one folder: itself and its userns-remap folders."""
    host = scan.host
    try:
        content = content_of(scan, host.to_host(place))
    except OSError as exc:
        unreadable_root(scan, place, claims, exc)
        return []
    named = [claim for claim in claims if not claim.default]
    if not named and content.is_empty and not content.remapped and not content.names & set(SIGNS) \
            and not any(claim.path == DEFAULT_ROOT for claim in claims):
        return []                       # a folder that only has the usual name
    found = []
    for name in content.remapped[:MAX_FOLDERS]:
        inner = os.path.join(place, name)
        try:
            part = content_of(scan, host.to_host(inner))
        except OSError as exc:
            unreadable_root(scan, inner, claims, exc)
            continue
        if part.names & set((b'containers', b'image')):
            found.append((_candidate(scan, inner, claims, part, containerd, place), part))
    if not found or not content.is_empty:
        found.append((_candidate(scan, place, claims, content, containerd, outer), content))
    return found


def _candidate(scan: 'Scan', place: bytes, claims: List[Claim], content: Content, containerd: ContainerdRoots,
               outer: Optional[bytes]) -> RootCandidate:
    userns, suffix, recorded = None, '', claims[0].path
    why = list(claim.why for claim in claims)
    base = place
    for claim in claims:                # how it is configured says more than what the user typed
        if claim.kind != 'given':
            recorded = claim.path
            break
    if outer is not None:
        base = outer
        name = os.path.basename(place)
        match = USERNS.match(name)
        userns = (int(match.group(1)), int(match.group(2))) if match is not None else None
        suffix = name.decode('ascii')
        why.append('userns-remap folder')
        if os.path.basename(recorded) != name:
            recorded = os.path.join(recorded, name)
    flags = next((claim.flags for claim in claims if claim.flags), {})
    settings = next((claim.settings for claim in claims if claim.settings), {})
    rootless = [claim for claim in claims if claim.kind == 'rootless']
    uid = None
    if rootless and userns is None:
        uid = next((claim.uid for claim in rootless if claim.uid), None)
        if uid is None:
            uid = safeio.lstat(place).st_uid
    exec_root, pidfile = _run_paths(flags, settings, claims, uid)
    override = next((claim.containerd for claim in claims if claim.containerd), None)
    roots, missing = containerd.roots(base, place, exec_root, override, uid is not None)
    score = content.score + (1 if any(not claim.default for claim in claims) else 0)
    return RootCandidate(place, recorded, tuple(sorted(set(why), key=why.index)), score, content.drivers,
                         len(content.containers), content.layers, userns, uid, roots, suffix, exec_root, pidfile,
                         settings, flags, content.volumes, base, missing, containerd.snapshotters)


def _run_paths(flags: Dict[str, Any], settings: Dict[str, Any], claims: List[Claim], uid: Optional[int]) -> List[bytes]:
    exec_root, pidfile = DEFAULT_EXEC_ROOT, DEFAULT_PIDFILE
    if uid is not None:
        exec_root, pidfile = b'/run/user/%d/docker' % uid, b'/run/user/%d/docker.pid' % uid
    elif any(claim.kind == 'snap' for claim in claims):
        exec_root, pidfile = b'/run/snap.docker', b'/run/snap.docker/docker.pid'
    found = []
    for key, default in (('exec-root', exec_root), ('pidfile', pidfile)):
        value = flags.get(key) or settings.get(key)
        found.append(absolute(value) if isinstance(value, str) and value else default)
    return found
