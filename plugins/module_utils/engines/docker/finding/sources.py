"""Every source that can name a data root: running processes, systemd units, daemon.json, snap, homes (rootless),
sysconfig files and start scripts, fstab, the default, and the layout of a disk without /etc.
"""
import itertools
import os
from typing import TYPE_CHECKING, Iterator, List

from ....formats.wording import show
from . import layouts
from .claims import DEFAULT_JSON, DEFAULT_ROOT, Claim, claim_of
from .content import is_made_by_dockerd, is_root
from .daemonconf import flags_of, parse_env, script_flags, shell_words
from .homes import dot_folders
from .running import daemons
from .units import ADMIN_UNITS, SYSTEM_UNITS, USER_UNITS, service_names, unit_daemons

if TYPE_CHECKING:
    from .scan import Scan

SNAP = b'/var/snap'
SYSCONFIG = (b'/etc/default/docker', b'/etc/sysconfig/docker', b'/etc/sysconfig/docker-storage', b'/etc/conf.d/docker')
SCRIPTS = (b'/etc/init.d/docker', b'/etc/init/docker.conf')
MAX_CLAIMS = 100                        # of one source


def all_claims(scan: 'Scan') -> List[Claim]:
    """Every source's claim, those that say most about a daemon first."""
    claims = []
    for source in (_from_processes, _from_units, _from_json, _from_snap, _from_homes, _from_sysconfig, _from_fstab):
        claims.extend(itertools.islice(source(scan, claims), MAX_CLAIMS))
    scan.looked.append(show(DEFAULT_ROOT))
    claims.append(Claim(DEFAULT_ROOT, 'default', default=True))
    claims.extend(_from_layout(scan))
    claims.extend(layouts.layout_claims(scan, claims)[:MAX_CLAIMS])
    return claims


def _from_processes(scan: 'Scan', dummy: List[Claim]) -> Iterator[Claim]:
    if scan.host.is_live:
        scan.looked.append('running processes')
    for process, dummy, claim in daemons(scan):
        yield claim._replace(why='running process %d' % process.pid) if claim.default else claim


def _from_units(scan: 'Scan', dummy: List[Claim]) -> Iterator[Claim]:
    scan.looked.append('systemd units and drop-ins')
    for name in service_names(scan, SYSTEM_UNITS, ADMIN_UNITS):
        for flags, where, env, user in unit_daemons(scan, name, SYSTEM_UNITS, None):
            claim = claim_of(scan, flags, where, env, user)
            # one that names no folder still knows the daemon's settings
            if not claim.default or claim.flags or claim.settings or claim.containerd:
                yield claim


def _from_json(scan: 'Scan', claims: List[Claim]) -> List[Claim]:
    scan.looked.append(show(DEFAULT_JSON))
    claim = claim_of(scan, {}, '', {})
    # that file may be the settings of a daemon whose flags put its root elsewhere: then it says nothing of the default
    taken = any(other.settings is claim.settings for other in claims)
    return [claim] if not claim.default or claim.settings and not taken else []


def _from_snap(scan: 'Scan', dummy: List[Claim]) -> Iterator[Claim]:
    scan.looked.append('snap')
    for name in scan.names(SNAP):
        if name == b'docker' or name.startswith(b'docker_'):    # docker_x: a parallel install
            folder = os.path.join(SNAP, name)
            claim = claim_of(scan, {}, 'snap', {}, snap=folder)
            if not claim.default:
                yield claim
                claim = claim._replace(path=folder + b'/common/var-lib-docker', settings={})
            yield claim._replace(why='snap', required=False, default=True)


def _from_homes(scan: 'Scan', dummy: List[Claim]) -> Iterator[Claim]:
    """Rootless Docker of every user."""
    users = scan.users
    scan.looked.append('the homes of %d users' % len(users))
    for user in users:
        found = dot_folders(scan, user.home)
        if b'.config' in found:
            folder = user.home + b'/.config/systemd/user'
            folders = (user.home + b'/.config/systemd/user.control', folder) + USER_UNITS
            if scan.names(folder):
                for name in service_names(scan, folders, (folder,)):
                    for flags, where, env, owner in unit_daemons(scan, name, folders, user):
                        claim = claim_of(scan, flags, '%s of user %s' % (where, show(owner.name if owner is not None else user.name)), env, owner)
                        if not claim.default or claim.flags or env.get('XDG_DATA_HOME'):
                            yield claim
            claim = claim_of(scan, {}, '', {}, user)
            if not claim.default:
                yield claim
        if b'.local' in found:
            yield claim_of(scan, {}, '', {}, user)._replace(
                path=user.home + b'/.local/share/docker', why='rootless home of %s' % show(user.name), required=False,
                default=True)


def _from_sysconfig(scan: 'Scan', dummy: List[Claim]) -> Iterator[Claim]:
    for path in SYSCONFIG:
        scan.looked.append(show(path))
        raw = scan.read(path)
        if not raw:
            continue
        for value in parse_env(raw, shell=True).values():
            if '-' not in value:
                continue
            flags = flags_of(shell_words(value, {}))
            if flags.get('data-root') or flags.get('config-file'):
                claim = claim_of(scan, flags, 'sysconfig %s' % show(path), {}, required=False)
                if not claim.default:
                    yield claim
    for path in SCRIPTS:
        for flags in script_flags(scan.read(path) or b'', {}):
            yield claim_of(scan, flags, 'sysconfig %s' % show(path), {}, required=False)


def _from_fstab(scan: 'Scan', claims: List[Claim]) -> List[Claim]:
    """A root that fstab binds from elsewhere: on a dead disk the content is at the source."""
    roots = [DEFAULT_ROOT] + [claim.path for claim in claims]
    return [Claim(entry.source, 'fstab bind mount of %s' % show(entry.point))
            for entry in scan.fstab
            if entry.is_bind and entry.source.startswith(b'/') and entry.point in roots]


def _from_layout(scan: 'Scan') -> List[Claim]:
    """A disk that is not a root file system: the data root itself, or what was mounted at /var or /var/lib."""
    if scan.host.is_live or scan.names(b'/etc'):
        return []
    names = set(scan.names(b'/'))
    claims = []
    if is_root(names) and is_made_by_dockerd(scan, b'/'):
        claims.append(Claim(b'/', 'host_root is itself a data root', default=True))
    for path in (b'/lib/docker', b'/docker'):
        claims.append(Claim(path, 'host_root looks like a file system of its own for /var or /var/lib', default=True))
    return claims
