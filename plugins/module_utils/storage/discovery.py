# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where are this host's Docker data roots? Every source is asked, what each says is kept, content decides the rank.

1. *Claims*: each source (a running dockerd, systemd units and drop-ins, daemon.json, sysconfig files, homes, snap,
   fstab, the default) says where a data root would be.
2. *Candidates*: claims that lead to the same folder are one candidate; userns-remap folders (1.5) are candidates of
   their own; each gets the containerd roots to look into (1.4).
3. *Problems*: what is missing, empty, not mounted, damaged or out of reach. Nothing found is a problem too.

How a configuration file is understood (systemd, environment files, TOML) stands in storage.daemonconf.
Nothing is walked recursively; a host with some hundred unit files costs about a thousand small system calls.
"""
import errno
import fnmatch
import itertools
import os
import re
import shlex
import stat
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..formats import jsonish
from . import codes, fsinfo, host as hosts, model, safeio
from .daemonconf import (absolute, command_words, containerd_flags, daemon_flags, dropin_stems, flags_of, MAX_CONFIG,
                         parse_containerd, parse_env, parse_unit, script_flags, service_of, shell_words, show,
                         specify, split_words, to_bytes, toml_value, unit_unescape)

DEFAULT_ROOT = b'/var/lib/docker'
DEFAULT_JSON = b'/etc/docker/daemon.json'
DEFAULT_CONTAINERD = b'/var/lib/containerd'
DEFAULT_EXEC_ROOT = b'/var/run/docker'
DEFAULT_PIDFILE = b'/var/run/docker.pid'
SNAP = b'/var/snap'
SYSCONFIG = (b'/etc/default/docker', b'/etc/sysconfig/docker', b'/etc/sysconfig/docker-storage', b'/etc/conf.d/docker')
SCRIPTS = (b'/etc/init.d/docker', b'/etc/init/docker.conf')
# systemd.unit(5), highest priority first; _ADMIN: where people put units of any name
SYSTEM_UNITS = (b'/etc/systemd/system.control', b'/run/systemd/system.control', b'/run/systemd/transient',
                b'/run/systemd/generator.early', b'/etc/systemd/system', b'/run/systemd/system',
                b'/run/systemd/generator', b'/usr/local/lib/systemd/system', b'/usr/lib/systemd/system',
                b'/lib/systemd/system', b'/run/systemd/generator.late')
_ADMIN = (b'/run/systemd/transient', b'/etc/systemd/system', b'/run/systemd/system', b'/usr/local/lib/systemd/system')
_USER_UNITS = (b'/etc/systemd/user', b'/run/systemd/user', b'/usr/local/lib/systemd/user', b'/usr/lib/systemd/user')
# Folder of a graphdriver's layers below the data root
TREES = (('overlay2', b'overlay2'), ('overlay', b'overlay'), ('fuse-overlayfs', b'fuse-overlayfs'),
         ('aufs', b'aufs/diff'), ('vfs', b'vfs/dir'), ('btrfs', b'btrfs/subvolumes'), ('zfs', b'zfs/graph'),
         ('devicemapper', b'devicemapper/metadata'), ('windowsfilter', b'windowsfilter'))
_NO_LAYER = (b'l', b'lost+found', b'backingFsBlockDev')
_SIGNS = (b'containers', b'image', b'volumes', b'network', b'buildkit', b'graph', b'engine-id', b'containerd')
_USERNS = re.compile(br'([0-9]{1,10})\.([0-9]{1,10})\Z')
_HEX64 = re.compile(br'[0-9a-f]{64}\Z')
_SNAPSHOTTER = b'io.containerd.snapshotter.v1.'

# A disk may be hostile: real hosts stay far below all of these.
MAX_TOTAL = 16 * 1024 * 1024            # bytes of all of them
MAX_HOMES = 2000
MAX_UNITS = 300
MAX_IMPORTS = 50
MAX_CLAIMS = 100                        # of one source
MAX_FOLDERS = 50                        # userns folders, drivers, snapshotters, fstab entries of one root


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
    daemon_json: Dict[str, Any] = {}    # parsed, secrets untouched
    flags: Dict[str, Any] = {}          # dockerd's command line, in daemon.json's spelling
    volumes: int = 0                    # names in volumes/
    base: bytes = b''                   # data root without the userns folder, on the managed node
    containerd_missing: Tuple[bytes, ...] = ()  # named as containerd's root but not there; as the dead host saw it
    snapshotter_roots: Tuple[Tuple[str, bytes], ...] = ()   # snapshotters that config.toml puts elsewhere (root_path)


class Discovery(NamedTuple):
    roots: Tuple[RootCandidate, ...]    # best first
    problems: Tuple[model.Problem, ...]


class _Claim(NamedTuple):
    """What one source says. `required`: it is a fault if there is nothing."""
    path: bytes                         # as the dead host saw it
    why: str
    flags: Dict[str, Any] = {}
    settings: Dict[str, Any] = {}
    uid: Optional[int] = None           # of a rootless daemon
    kind: str = 'system'                # system | rootless | snap | given
    required: bool = False
    containerd: Optional[bytes] = None  # DOCKER_CONTAINERD_ROOT
    default: bool = False               # nothing names it: only the usual place


class _Content(NamedTuple):
    names: frozenset
    drivers: Tuple[str, ...]
    filled: Tuple[str, ...]             # stores that hold layers
    hollow: Tuple[str, ...]             # drivers with layers in layerdb but none in their tree
    containers: Tuple[bytes, ...]
    volumes: int
    layers: int
    snapshotters: Tuple[str, ...]
    remapped: Tuple[bytes, ...]         # names of userns-remap folders

    @property
    def is_empty(self):
        return not (self.containers or self.volumes or self.layers or self.hollow)

    @property
    def score(self):
        return 100 * len(self.containers) + 10 * self.volumes + self.layers


def find_roots(host, data_roots, containerd_root=None):
    """Discovery of HOST (HostRoot). DATA_ROOTS: bytes as the user gave them, empty: look everywhere.

    LifeboatError where a given folder cannot be used. An empty ``roots`` comes with a problem of severity critical.
    """
    scan = _Scan(host)
    explicit = _given(host, containerd_root, 'containerd_root') if containerd_root else None
    given = [_given(host, path, 'data_roots') for path in data_roots]
    claims = [_Claim(path, 'given', kind='given') for path in given] + _all_claims(scan)
    candidates = _candidates(scan, claims, explicit, bool(given))
    if not given:
        _elsewhere(scan)
        if not candidates and not scan.has('DATA_ROOT_MISSING', 'DATA_ROOT_UNREADABLE', 'DATA_ROOT_NOT_MOUNTED'):
            scan.no_root()
    return Discovery(tuple(candidates), tuple(scan.problems))


def running_daemons(host):
    """Yield (Process, flags, data root as the host sees it) of every dockerd that runs and has a data root on HOST."""
    for process, flags, claim in _daemons(_Scan(host)):
        yield process, flags, claim.path


# -- the scan: reading without failing -----------------------------------------------------------------------


class _User(NamedTuple):
    name: str
    uid: Optional[int]
    home: bytes


class _Scan(object):
    """One look at a host: what was read, what was found to be wrong."""

    def __init__(self, host):
        self.host = host
        self.problems = []
        self.looked = []
        self._names = {}
        self._json = {}
        self._mounts = None
        self._fstab = None
        self._users = None
        self._left = MAX_TOTAL
        self.no_access = []

    def problem(self, code, obj, message, next_step='', severity=None):
        obj = model.text(obj)
        found = codes.problem(code, obj, message, next_step)
        if severity:
            found = found._replace(severity=severity)
        if not any(other.code == code and other.object == obj for other in self.problems):
            self.problems.append(found)

    def has(self, *wanted):
        return any(problem.code in wanted for problem in self.problems)

    def names(self, folder):
        """Names in a folder of configuration; () if there is none."""
        if folder not in self._names:
            try:
                self._names[folder] = tuple(self.host.listdir(folder))
            except OSError as exc:
                self._names[folder] = ()
                if exc.errno in (errno.EACCES, errno.EPERM, errno.EIO):
                    self._unreadable(folder, exc)
        return self._names[folder]

    def read(self, path):
        """A configuration file; None if there is none, or something else (systemd masks by a link to /dev/null)."""
        try:
            raw = self.host.read(path, max(0, min(MAX_CONFIG, self._left)))
            self._left -= len(raw)
            return raw
        except OSError as exc:
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG):
                self._unreadable(path, exc)
            return None

    def _unreadable(self, path, exc):
        if exc.errno in (errno.EACCES, errno.EPERM):
            self.problem('CONFIG_UNREADABLE', path, '%s may not be read by this user; what it says about the data root '
                         'is unknown.' % show(path), 'Run as root (become: true), or name the data root in '
                         'data_roots.')
        else:
            self.problem('CONFIG_UNREADABLE', path, '%s cannot be read (%s); what it says about the data root is '
                         'unknown.' % (show(path), exc.strerror or exc),
                         'If you know the data root, name it in data_roots.')

    def daemon_json(self, path):
        """(settings, whether the file is whole) of a daemon.json; ({}, True) if there is none."""
        if path not in self._json:
            self._json[path] = self._read_json(path)
        return self._json[path]

    def _read_json(self, path):
        raw = b''
        try:
            raw = self.host.read(path, MAX_CONFIG)
            settings = jsonish.loads(raw)
            if isinstance(settings, dict):
                return settings, True
            damage = 'not a JSON object'
        except jsonish.JsonError as exc:
            if exc.kind == 'empty':
                return {}, True
            damage = str(exc)
        except OSError as exc:
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EIO):
                self._unreadable(path, exc)
                return {}, False
            if exc.errno not in (errno.EINVAL, errno.EFBIG, errno.EISDIR):
                return {}, True
            damage = exc.strerror
        settings = jsonish.salvage(raw)
        text = show(path)
        self.problem('DAEMON_JSON_DAMAGED', path, '%s is damaged (%s); what it says about the data root is %s.'
                     % (text, damage, 'taken from its readable beginning' if _json_root(settings)[0] else 'unknown'),
                     'Repair it before dockerd is started again; if you know the data root, name it in data_roots.')
        return settings, False

    @property
    def mounts(self):
        if self._mounts is None:
            self._mounts = fsinfo.mounts()
        return self._mounts

    @property
    def fstab(self):
        if self._fstab is None:
            self._fstab = fsinfo.parse_fstab(self.read(b'/etc/fstab') or b'')
        return self._fstab

    @property
    def users(self):
        """Users with a home of their own: of /etc/passwd, and folders of /home (users from a directory server)."""
        if self._users is None:
            self._users = _users(self)
        return self._users

    def node(self, path):
        """PATH of the dead host on the managed node, None if there is nothing."""
        try:
            return self.host.resolve(path)
        except OSError:
            return None

    def unmounted(self, path):
        """[(mount point, source, where that stands)] of what should be mounted at PATH, above or below it, and is not.

        Paths as the dead host saw them. ``/`` itself is never meant.
        """
        path = fsinfo.clean(path)
        found = {}
        for entry in self.fstab if path != b'/' else ():
            if entry.point != b'/' and (fsinfo.is_below(path, entry.point) or fsinfo.is_below(entry.point, path)):
                if entry.point in found or len(found) >= MAX_FOLDERS:
                    continue
                if entry.is_bind and self.filled(entry.source):
                    continue            # its content is found at its source
                found[entry.point] = (entry.point, entry.source, '/etc/fstab')
        for point, source, where in self._mount_units(path) if path != b'/' else ():
            found.setdefault(point, (point, source, where))
        return [found[point] for point in sorted(found) if not self.is_mounted(point)]

    def is_mounted(self, point):
        place = self.node(point)
        return place is not None and fsinfo.mounted_at(place, self.mounts) is not None

    def filled(self, path):
        """Whether there is something in a folder."""
        try:
            return bool(set(self.host.listdir(path)) - set(_NO_LAYER))
        except OSError:
            return False

    def _mount_units(self, path):
        wanted = set()
        step = path
        while step not in (b'/', b''):
            wanted.add(fsinfo.mount_unit_name(step))
            step = os.path.dirname(step)
        below = fsinfo.mount_unit_name(path)[:-len(b'.mount')] + b'-'
        for folder in SYSTEM_UNITS:
            for name in self.names(folder):
                if not name.endswith(b'.mount') or not (name in wanted or name.startswith(below)):
                    continue
                origin = os.path.join(folder, name)
                values = dict(parse_unit(self.read(origin) or b'', 'Mount'))
                where, what = values.get('Where', ''), values.get('What', '')
                if where.startswith('/'):
                    yield fsinfo.clean(to_bytes(where)), to_bytes(what), show(origin)

    def no_root(self):
        """Says where was looked. An empty result must not look like success."""
        message = 'No Docker data root was found under %s; looked at %s.' % (
            show(self.host.path), ', '.join(self.looked))
        lost = [item for item in self.fstab if item.point != b'/' and not item.is_bind
                and item.fstype not in ('swap', 'proc', 'sysfs', 'tmpfs', 'devpts', 'debugfs')
                and b'noauto' not in item.options and not self.is_mounted(item.point)]
        if lost:
            step = ('These file systems of its fstab are not mounted: %s. Mount those that can hold the data, or name '
                    'the data root in data_roots.' % ', '.join(
                        '%s at %s' % (show(item.source), show(_below(self.host, item.point))) for item in lost[:10]))
        elif not self.names(b'/etc'):
            step = ('There is no /etc in this host root: mount the root file system of the dead host there, or, if '
                    'this disk holds only the data, name the data root on it in data_roots.')
        else:
            step = ('If the data lie elsewhere, name the folder in data_roots; if they are on a disk that is not '
                    'mounted, mount it (read-only) and run again.')
        self.problem('NO_DATA_ROOT', self.host.path, message, step)


# -- claims --------------------------------------------------------------------------------------------------


def _all_claims(scan):
    """Every source's claim, those that say most about a daemon first."""
    claims = []
    for source in (_from_processes, _from_units, _from_json, _from_snap, _from_homes, _from_sysconfig, _from_fstab):
        claims.extend(itertools.islice(source(scan, claims), MAX_CLAIMS))
    scan.looked.append(show(DEFAULT_ROOT))
    claims.append(_Claim(DEFAULT_ROOT, 'default', default=True))
    claims.extend(_from_layout(scan))
    return claims


def _claim(scan, flags, where, env, user=None, snap=None, required=True):
    """The claim of one daemon: flags over its daemon.json over the default."""
    kind = 'system'
    default, why = DEFAULT_ROOT, 'default'
    config = DEFAULT_JSON
    if user is not None:
        kind = 'rootless'
        default = os.path.join(_env_path(env, 'XDG_DATA_HOME', user.home, b'.local/share'), b'docker')
        config = os.path.join(_env_path(env, 'XDG_CONFIG_HOME', user.home, b'.config'), b'docker/daemon.json')
        why = 'rootless home of %s' % show(user.name)
    elif snap is not None:
        kind, why = 'snap', 'snap'
        default, config = snap + b'/common/var-lib-docker', snap + b'/current/config/daemon.json'
    if flags.get('config-file'):
        config = absolute(flags['config-file'])
    settings, whole = scan.daemon_json(config)
    if not isinstance(settings, dict):
        settings = {}
    path, is_default = None, False
    if flags.get('data-root'):
        path, why = absolute(flags['data-root']), where
    else:
        value, key = _json_root(settings)
        if value:
            path = absolute(value)
            why = 'daemon.json %s' % key
            if config != DEFAULT_JSON:
                why += ' (%s)' % show(config)
            if not whole:
                why += ', damaged file'
    if path is None:
        path, is_default = default, True
    override = env.get('DOCKER_CONTAINERD_ROOT', '')
    return _Claim(path, why, flags, settings, None if user is None else user.uid, kind, required and not is_default,
                  to_bytes(override) if override.startswith('/') else None, is_default)


def _json_root(settings):
    for key in ('data-root', 'graph'):
        if isinstance(settings.get(key), str) and settings[key].strip():
            return settings[key], key
    return None, ''


def _env_path(env, name, home, below):
    value = env.get(name, '')
    return to_bytes(value) if value.startswith('/') else os.path.join(home, below)


def _process_user(scan, env, pid):
    """The _User of a running rootless daemon, None for an ordinary one. OSError if it is gone."""
    uid = os.stat('/proc/%d' % pid).st_uid
    if uid == 0:
        if not env.get('ROOTLESSKIT_STATE_DIR'):
            return None
        uid = None                      # its process looks like root's: the owner of the data root tells
    home = env.get('HOME', '')
    for user in scan.users:
        if uid is not None and user.uid == uid or uid is None and user.home == to_bytes(home):
            return user
    if not home.startswith('/'):
        raise FileNotFoundError(errno.ENOENT, 'its home is unknown')
    return _User(home, uid, to_bytes(home))


def _daemons(scan):
    wanted = ('HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'ROOTLESSKIT_STATE_DIR', 'DOCKER_CONTAINERD_ROOT')
    for process in scan.host.processes((b'docker',), wanted):
        flags = daemon_flags(process.argv)
        if flags is None:
            continue
        try:
            user = _process_user(scan, process.env, process.pid)
        except OSError:
            continue
        claim = _claim(scan, flags, 'running process %d' % process.pid, process.env, user, required=False)
        if _serves(scan.host, process.pid, claim.path):
            yield process, flags, claim


def _serves(host, pid, path):
    """Whether PATH is the same folder for process PID as for us: a dockerd in a container has its own."""
    try:
        ours = host.stat(path)
        return hosts.seen_by(pid, path) == (ours.st_dev, ours.st_ino)
    except PermissionError:             # not root: the best that can be told is whether it runs in a container
        return not re.search(br'[0-9a-f]{64}|kubepods', hosts.read_proc(pid, 'cgroup'))
    except OSError:
        return False


def _from_processes(scan, dummy):
    if scan.host.is_live:
        scan.looked.append('running processes')
    for process, dummy, claim in _daemons(scan):
        yield claim._replace(why='running process %d' % process.pid) if claim.default else claim


def _from_units(scan, dummy):
    scan.looked.append('systemd units and drop-ins')
    for name in _service_names(scan, SYSTEM_UNITS, _ADMIN):
        for flags, where, env, user in _unit_daemons(scan, name, SYSTEM_UNITS, None):
            claim = _claim(scan, flags, where, env, user)
            # one that names no folder still knows the daemon's settings
            if not claim.default or claim.flags or claim.settings or claim.containerd:
                yield claim


def _from_json(scan, claims):
    scan.looked.append(show(DEFAULT_JSON))
    claim = _claim(scan, {}, '', {})
    # that file may be the settings of a daemon whose flags put its root elsewhere: then it says nothing of the default
    taken = any(other.settings is claim.settings for other in claims)
    return [claim] if not claim.default or claim.settings and not taken else []


def _from_snap(scan, dummy):
    scan.looked.append('snap')
    for name in scan.names(SNAP):
        if name == b'docker' or name.startswith(b'docker_'):    # docker_x: a parallel install
            folder = os.path.join(SNAP, name)
            claim = _claim(scan, {}, 'snap', {}, snap=folder)
            if not claim.default:
                yield claim
                claim = claim._replace(path=folder + b'/common/var-lib-docker', settings={})
            yield claim._replace(why='snap', required=False, default=True)


def _from_homes(scan, dummy):
    """Rootless Docker of every user."""
    users = scan.users
    scan.looked.append('the homes of %d users' % len(users))
    for user in users:
        found = _dot_folders(scan, user.home)
        if b'.config' in found:
            folder = user.home + b'/.config/systemd/user'
            folders = (user.home + b'/.config/systemd/user.control', folder) + _USER_UNITS
            if scan.names(folder):
                for name in _service_names(scan, folders, (folder,)):
                    for flags, where, env, owner in _unit_daemons(scan, name, folders, user):
                        claim = _claim(scan, flags, '%s of user %s' % (where, show(owner.name)), env, owner)
                        if not claim.default or claim.flags or env.get('XDG_DATA_HOME'):
                            yield claim
            claim = _claim(scan, {}, '', {}, user)
            if not claim.default:
                yield claim
        if b'.local' in found:
            yield _claim(scan, {}, '', {}, user)._replace(
                path=user.home + b'/.local/share/docker', why='rootless home of %s' % show(user.name), required=False,
                default=True)


def _dot_folders(scan, home):
    """Which of .config, .local and .docker a home has: three calls for each of many users."""
    found = set()
    place = scan.node(home)
    if place is None:
        return found
    try:
        with safeio.Dir.root(place) as folder:
            for name in (b'.config', b'.local', b'.docker'):
                try:
                    folder.stat(name)
                    found.add(name)
                except FileNotFoundError:
                    pass
    except PermissionError:
        scan.no_access.append(home)
    except OSError:
        pass
    return found


def _from_sysconfig(scan, dummy):
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
                claim = _claim(scan, flags, 'sysconfig %s' % show(path), {}, required=False)
                if not claim.default:
                    yield claim
    for path in SCRIPTS:
        for flags in script_flags(scan.read(path) or b'', {}):
            yield _claim(scan, flags, 'sysconfig %s' % show(path), {}, required=False)


def _from_fstab(scan, claims):
    """A root that fstab binds from elsewhere: on a dead disk the content is at the source."""
    roots = [DEFAULT_ROOT] + [claim.path for claim in claims]
    return [_Claim(entry.source, 'fstab bind mount of %s' % show(entry.point))
            for entry in scan.fstab
            if entry.is_bind and entry.source.startswith(b'/') and entry.point in roots]


def _from_layout(scan):
    """A disk that is not a root file system: the data root itself, or what was mounted at /var or /var/lib."""
    if scan.host.is_live or scan.names(b'/etc'):
        return []
    names = set(scan.names(b'/'))
    claims = []
    if b'containers' in names and names & set((b'image', b'volumes', b'overlay2', b'network')):
        claims.append(_Claim(b'/', 'host_root is itself a data root', default=True))
    for path in (b'/lib/docker', b'/docker'):
        claims.append(_Claim(path, 'host_root looks like a file system of its own for /var or /var/lib', default=True))
    return claims


def _users(scan):
    users = []
    homes = set((b'/', b'/root', b'/bin', b'/sbin', b'/dev', b'/dev/null', b'/proc', b'/usr/bin', b'/usr/sbin',
                 b'/nonexistent'))
    for line in (scan.read(b'/etc/passwd') or b'').split(b'\n'):
        fields = line.split(b':')
        if len(fields) < 7 or not fields[2].isdigit() or len(fields[2]) > 10:
            continue
        home = fsinfo.clean(fields[5]) if fields[5].startswith(b'/') else b'/'
        if home in homes or int(fields[2]) == 0 or len(users) >= MAX_HOMES:
            continue
        homes.add(home)
        users.append(_User(model.text(fields[0]), int(fields[2]), home))
    for name in scan.names(b'/home')[:MAX_HOMES]:
        home = os.path.join(b'/home', name)
        if home not in homes and len(users) < MAX_HOMES:
            users.append(_User(model.text(name), None, home))
    return users


# -- candidates ----------------------------------------------------------------------------------------------


def _given(host, path, option):
    """An option's path -> as the dead host saw it. LifeboatError in one sentence if it cannot be used."""
    text = show(path)
    if not path.startswith(b'/') or b'\0' in path:
        raise model.LifeboatError('%s: %s is not an absolute path.' % (option, text))
    where = '' if host.path == b'/' else ' under host_root %s' % show(host.path)
    try:
        st = host.stat(path)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise model.LifeboatError(_refusal(option, text + where, exc))
        literal = _literal(host, path)
        if literal is None:
            if where and os.path.lexists(path):
                raise model.LifeboatError('%s: %s does not exist%s; paths are looked up there. It exists on this '
                                          'machine itself: for that one leave host_root at /.' % (option, text, where))
            raise model.LifeboatError('%s: %s does not exist%s; if it is on a disk of its own, mount that first.'
                                      % (option, text, where))
        path = literal
        st = host.stat(path)
    if not stat.S_ISDIR(st.st_mode):
        raise model.LifeboatError('%s: %s is not a folder; if it is a disk image, mount it read-only and give the '
                                  'mount point.' % (option, text))
    try:
        host.listdir(path)
    except OSError as exc:
        raise model.LifeboatError(_refusal(option, text + where, exc))
    return fsinfo.clean(path)


def _literal(host, path):
    """The user typed /mnt/dead/var/lib/docker with host_root=/mnt/dead: accept it."""
    try:
        inside = host.to_host(os.path.realpath(path))
        host.stat(inside)
    except (ValueError, OSError):
        return None
    return inside if host.path != b'/' else None


def _refusal(option, text, exc):
    if exc.errno in (errno.EACCES, errno.EPERM):
        return '%s: %s may not be read by this user; run as root (become: true).' % (option, text)
    if exc.errno == errno.ELOOP:
        return '%s: %s leads through too many symbolic links (a loop?); give the folder itself.' % (option, text)
    return '%s: %s cannot be read (%s); if the disk is failing, copy it first (ddrescue) and use the copy.' \
        % (option, text, exc.strerror)


def _candidates(scan, claims, explicit, only_given):
    """Claims -> RootCandidates, best first; says what is wrong on the way."""
    host = scan.host
    merged = []                         # [identity, path on the node, [claims]]
    missing = []
    for claim in claims:
        try:
            place = host.resolve(claim.path)
            st = os.stat(place)
        except OSError as exc:
            missing.append((claim, exc))
            continue
        if not stat.S_ISDIR(st.st_mode):
            if claim.required and not only_given:
                scan.problem('DATA_ROOT_MISSING', claim.path, '%s (%s) is not a folder.'
                             % (show(claim.path), claim.why), 'Find out what became of it, or name the data root '
                             'in data_roots.')
            continue
        identity = (st.st_dev, st.st_ino)
        for item in merged:
            if item[0] == identity:
                item[2].append(claim)
                break
        else:
            merged.append([identity, place, [claim]])
    containerd = _Containerd(scan, explicit)
    found = []
    for dummy, place, named in merged:
        if only_given and named[0].kind != 'given':
            continue
        outer = _outer(host, place)
        inherited = [claim for dummy, other, others in merged if outer and other == outer for claim in others]
        found.extend(_inspect_claims(scan, place, named + inherited, containerd, outer))
    found.sort(key=lambda pair: (-pair[0].score, pair[0].path))
    unique = []
    for pair in found:                  # a userns folder that is given and found below its data root
        if pair[0].path not in [other[0].path for other in unique]:
            unique.append(pair)
    for candidate, content in unique:
        _judge(scan, candidate, content, unique)
    # with a good root found, one that is not there is worth a warning only
    severity = model.WARNING if any(not content.is_empty for dummy, content in unique) else None
    for claim, exc in missing if not only_given else ():
        _missing(scan, claim, exc, severity)
    return [candidate for candidate, dummy in unique]


def _outer(host, place):
    """The data root that a userns-remap folder lies in, None for any other folder.

    dockerd gives the folder to the remapped group (older ones to the user too); one that only looks like it, as
    /backup/2024.11 does, belongs to others.
    """
    match = _USERNS.match(os.path.basename(place))
    if not match or place == host.path:
        return None
    st = os.stat(place)
    owned = st.st_gid == int(match.group(2)) or st.st_uid == int(match.group(1))
    return os.path.dirname(place) if owned else None


def _missing(scan, claim, exc, severity):
    host = scan.host
    if exc.errno in (errno.EACCES, errno.EPERM):
        if claim.kind == 'rootless' and claim.default:
            scan.no_access.append(claim.path)
            return
        scan.problem('DATA_ROOT_UNREADABLE', claim.path, 'The data root %s (%s) may not be read by this user.'
                     % (show(claim.path), claim.why), 'Run as root (become: true).', severity)
        return
    dangling = False
    try:
        dangling = stat.S_ISLNK(host.lstat(claim.path).st_mode)
    except OSError:
        pass
    lost = scan.unmounted(claim.path) if claim.required or dangling or claim.path == DEFAULT_ROOT else []
    if dangling and not lost:
        lost = scan.unmounted(_target(host, claim.path))
    if lost:
        for point, source, where in lost:
            _not_mounted(scan, point, source, where, 'the data root %s (%s) is not there'
                         % (show(claim.path), claim.why), severity)
    elif claim.required or dangling:
        scan.problem('DATA_ROOT_MISSING', claim.path, 'The data root %s (%s) does not exist under %s%s.'
                     % (show(claim.path), claim.why, show(host.path),
                        ': it is a link to %s, which is not there' % show(_target(host, claim.path))
                        if dangling else ''),
                     'If it is on a disk of its own, mount that at %s (read-only) and run again; if it has moved, name '
                     'the folder in data_roots.' % show(_below(host, claim.path)), severity)


def _target(host, path):
    """Where a link that leads nowhere wanted to lead (one step), as the dead host saw it."""
    try:
        folder = host.resolve(os.path.dirname(path) or b'/')
        target = os.readlink(os.path.join(folder, os.path.basename(path)))
    except OSError:
        return path
    return fsinfo.clean(os.path.join(host.to_host(folder), target))


def _inspect_claims(scan, place, claims, containerd, outer):
    """[(RootCandidate, _Content)] of one folder: itself and its userns-remap folders."""
    host = scan.host
    try:
        content = _inspect(scan, host.to_host(place))
    except OSError as exc:
        _unreadable_root(scan, place, claims, exc)
        return []
    named = [claim for claim in claims if not claim.default]
    if not named and content.is_empty and not content.remapped and not content.names & set(_SIGNS) \
            and not any(claim.path == DEFAULT_ROOT for claim in claims):
        return []                       # a folder that only has the usual name
    found = []
    for name in content.remapped[:MAX_FOLDERS]:
        inner = os.path.join(place, name)
        try:
            part = _inspect(scan, host.to_host(inner))
        except OSError as exc:
            _unreadable_root(scan, inner, claims, exc)
            continue
        if part.names & set((b'containers', b'image')):
            found.append((_candidate(scan, inner, claims, part, containerd, place), part))
    if not found or not content.is_empty:
        found.append((_candidate(scan, place, claims, content, containerd, outer), content))
    return found


def _unreadable_root(scan, place, claims, exc):
    if exc.errno in (errno.EACCES, errno.EPERM):
        scan.problem('DATA_ROOT_UNREADABLE', place, 'The data root %s (%s) may not be read by this user.'
                     % (show(place), claims[0].why), 'Run as root (become: true).')
    else:
        scan.problem('DATA_ROOT_UNREADABLE', place, 'The data root %s (%s) cannot be read: %s.'
                     % (show(place), claims[0].why, exc.strerror or exc),
                     'If the disk is failing, copy it first (ddrescue) and work on the copy.')


def _candidate(scan, place, claims, content, containerd, outer):
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
        match = _USERNS.match(name)
        userns = (int(match.group(1)), int(match.group(2)))
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
            uid = os.stat(place).st_uid
    exec_root, pidfile = _run_paths(flags, settings, claims, uid)
    override = next((claim.containerd for claim in claims if claim.containerd), None)
    roots, missing = containerd.roots(base, place, exec_root, override, uid is not None)
    score = content.score + (1 if any(not claim.default for claim in claims) else 0)
    return RootCandidate(place, recorded, tuple(sorted(set(why), key=why.index)), score, content.drivers,
                         len(content.containers), content.layers, userns, uid, roots, suffix, exec_root, pidfile,
                         settings, flags, content.volumes, base, missing, containerd.snapshotters)


def _run_paths(flags, settings, claims, uid):
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


def _inspect(scan, path):
    """_Content of a data root (as the dead host saw it, resolved). OSError if it may not be read."""
    host = scan.host
    names = frozenset(host.listdir(path))

    def inside(name):
        """Names in a folder of the root; people do put a link to another disk there."""
        if name.split(b'/')[0] not in names:
            return ()
        try:
            return host.listdir(os.path.join(path, name))
        except PermissionError:
            raise
        except OSError as exc:
            if exc.errno == errno.EIO:
                scan.problem('READ_ERROR', os.path.join(path, name), '%s cannot be read: %s.'
                             % (show(os.path.join(path, name)), exc.strerror),
                             'Copy the disk first (ddrescue) and work on the copy.')
            return ()

    recorded = {}
    for driver in inside(b'image')[:MAX_FOLDERS]:
        database = b'image/' + driver + b'/layerdb/'
        recorded[model.text(driver)] = len(inside(database + b'sha256')) + len(inside(database + b'mounts'))
    counts = {}
    for driver, folder in TREES:
        if folder.partition(b'/')[0] in names:
            counts[driver] = len([name for name in inside(folder) if name not in _NO_LAYER and name[:1] != b'.'])
    snapshotters = dict((model.text(name), 0) for name in inside(b'rootfs')[:MAX_FOLDERS])
    for name in inside(b'containerd/daemon')[:MAX_FOLDERS]:
        if name.startswith(_SNAPSHOTTER):
            number = len(inside(b'containerd/daemon/' + name + b'/snapshots'))
            if number:
                snapshotters[model.text(name[len(_SNAPSHOTTER):])] = number
    hollow = tuple(driver for driver, dummy in TREES if recorded.get(driver) and not counts.get(driver))
    stores = dict(counts)
    for driver in recorded:
        stores.setdefault(driver, 0)
    for name in snapshotters:
        stores[name] = stores.get(name, 0) + snapshotters[name]
    filled = [name for name in counts if counts[name]] + list(snapshotters)
    return _Content(names, tuple(sorted(stores, key=lambda name: (-stores[name], name))), tuple(sorted(set(filled))),
                    hollow, tuple(name for name in inside(b'containers') if _HEX64.match(name)),
                    len([name for name in inside(b'volumes') if name not in (b'metadata.db', b'backingFsBlockDev')]),
                    sum(counts.values()) + sum(snapshotters.values()), tuple(sorted(snapshotters)),
                    tuple(name for name in sorted(names) if _USERNS.match(name)))


# -- problems ------------------------------------------------------------------------------------------------


def _judge(scan, candidate, content, others):
    """Problems of one candidate. OTHERS: all of them."""
    host = scan.host
    text = show(candidate.path)
    views = [candidate.recorded_path, host.to_host(candidate.path)]
    if candidate.containers:
        views.extend(candidate.containerd_missing[:1])
        views.extend(host.to_host(root) for root in candidate.containerd_roots)
    lost = {}
    for view in views:
        for item in scan.unmounted(view):
            lost.setdefault(item[0], item)
    for point, source, where in (lost[key] for key in sorted(lost)):
        if content.is_empty or not scan.filled(point):
            _not_mounted(scan, point, source, where, 'the data root %s is not complete without it' % text)
        else:
            _not_mounted(scan, point, source, where, 'what is seen of the data root %s may be only what lies below the '
                         'mount point' % text, model.WARNING)
    if content.is_empty:
        _empty(scan, candidate, content, others, bool(lost))
    for driver in content.hollow:
        folder = os.path.join(candidate.path, dict(TREES)[driver].split(b'/')[0])
        scan.problem('DRIVER_FOLDER_EMPTY', folder, '%s holds %d containers and layers of the driver %s are recorded, '
                     'but %s is empty or missing: the driver directory is probably an unmounted file system.'
                     % (text, candidate.containers, driver, show(folder)), _remount(scan, folder, driver))
    if candidate.containers and (content.snapshotters or not content.layers and not content.hollow):
        _no_layers(scan, candidate, content)
    if len(content.filled) > 1:
        scan.problem('HIDDEN_STORE', candidate.path, '%s holds layers of several stores: %s. Docker lists only the '
                     'containers of the one in use; the others are hidden, not lost.'
                     % (text, show(', '.join(content.filled))),
                     'Nothing needs to be done: containers of every store are read.')


def _not_mounted(scan, point, source, where, consequence, severity=None):
    place = show(_below(scan.host, point))
    scan.problem('DATA_ROOT_NOT_MOUNTED', point, '%s says that %s is mounted at %s, but it is not; %s.'
                 % (where, show(source), show(point), consequence),
                 'Mount it read-only (mount -o ro %s %s) and run again.'
                 % (shlex.quote(show(source)), shlex.quote(place)), severity)


def _empty(scan, candidate, content, others, explained):
    """Never "0 containers, all is well"."""
    text = show(candidate.path)
    better = [other for other, dummy in others if other.score > 1 and other.path != candidate.path]
    seen = 'is new or empty: it holds no container, image or volume' if content.names & set(_SIGNS) else \
        'is empty' if not content.names - set((b'lost+found',)) else 'does not look like a Docker data root'
    steps = []
    severity = None
    if better:
        places = ['%s (%d containers)' % (show(other.path), other.containers) for other in better[:3]]
        steps.append('Another root holds data: %s.' % ', '.join(places))
        severity = model.WARNING
    if explained:
        steps.append('Mount what is missing first.')
    hint = _near(scan, candidate)
    if hint:
        steps.append(hint)
    own = fsinfo.mounted_at(candidate.path, scan.mounts)
    if own is not None and candidate.path != b'/':
        steps.append('A file system (%s) is mounted here; data from before may lie below the mount point: bind-mount '
                     'the file system above it elsewhere (mount --bind) and look there.' % show(own.source))
    if not steps:
        steps.append('If its disk is not mounted, mount it (read-only) and run again; if the data lie elsewhere, name '
                     'that folder in data_roots. If this host never ran a container, there is nothing to rescue.')
    scan.problem('DATA_ROOT_EMPTY', candidate.path, 'The data root %s (%s) %s.'
                 % (text, ', '.join(candidate.why), seen), ' '.join(steps), severity)


def _near(scan, candidate):
    """A data root one step away from a given folder that is none."""
    if 'given' not in candidate.why:
        return ''
    here = scan.host.to_host(candidate.path)
    for path in [os.path.join(here, name) for name in (b'docker', b'lib/docker', b'var/lib/docker')] + [
            os.path.dirname(here)]:
        try:
            names = set(scan.host.listdir(path))
        except OSError:
            continue
        if b'containers' in names and names & set((b'image', b'volumes', b'overlay2')):
            return '%s looks like one: give that in data_roots.' % show(path)
    return ''


def _remount(scan, folder, driver):
    if driver == 'zfs':
        return ('Import the pool read-only (zpool import -o readonly=on) and mount its datasets below %s.'
                % show(folder))
    return ('Find its file system (lsblk -f, fstab, the mount units), mount it at %s (mount -o ro DEVICE %s) and run '
            'again.' % (show(folder), shlex.quote(show(folder))))


def _no_layers(scan, candidate, content):
    """Containers without their layers: a driver folder that is gone, or a containerd store that is not here."""
    drivers, snapshotters = set(), set(content.snapshotters)
    for name in content.containers[:5] if not content.layers else ():
        try:
            record = jsonish.loads(scan.host.read(os.path.join(scan.host.to_host(candidate.path), b'containers', name,
                                                               b'config.v2.json'), MAX_CONFIG))
        except (OSError, ValueError):
            continue
        driver = record.get('Driver') if isinstance(record, dict) else None
        if isinstance(driver, str) and driver:
            is_graph = driver in dict(TREES) and not record.get('ImageManifest')
            (drivers if is_graph else snapshotters).add(driver)
    for driver in sorted(drivers):
        folder = os.path.join(candidate.path, dict(TREES)[driver].split(b'/')[0])
        scan.problem('DRIVER_FOLDER_EMPTY', folder, '%s holds %d containers of the driver %s, but %s is empty or '
                     'missing: the driver directory is probably an unmounted file system.'
                     % (show(candidate.path), candidate.containers, driver, show(folder)),
                     _remount(scan, folder, driver))
    for name in sorted(snapshotters):
        wanted = _SNAPSHOTTER + to_bytes(name)
        if b'/' in wanted or any(os.path.lexists(os.path.join(root, wanted)) for root in candidate.containerd_roots):
            continue
        places = candidate.containerd_missing[:3] or (DEFAULT_CONTAINERD,)
        scan.problem('STORE_UNREACHABLE', candidate.path, '%s holds containers of the containerd store (%s), whose '
                     'layers are not below any containerd root found here.' % (show(candidate.path), show(name)),
                     'Their layers lie on the dead host in %s: bring that folder here too, and name it in '
                     'containerd_root if it is elsewhere.' % ' or '.join(show(path) for path in places))


def _elsewhere(scan):
    """What else keeps containers on this host: virtual machines of Docker Desktop, Podman, CRI-O."""
    podman = [b'/var/lib/containers/storage']
    root = toml_value(scan.read(b'/etc/containers/storage.conf') or b'', 'storage', 'graphroot')
    if root:
        podman.insert(0, to_bytes(root))
    for user in scan.users:
        found = _dot_folders(scan, user.home)
        if b'.local' in found:
            podman.append(user.home + b'/.local/share/containers/storage')
        if b'.docker' in found:
            folder = user.home + b'/.docker/desktop/vms/0/data'
            for name in scan.names(folder):
                if name in (b'Docker.raw', b'Docker.qcow2'):
                    _desktop(scan, os.path.join(folder, name), user)
    for path in podman:
        try:
            names = scan.host.listdir(path)
        except OSError:
            continue
        if any(name.endswith(b'-containers') for name in names) or b'libpod' in names:
            place = show(_below(scan.host, path))
            scan.problem('OTHER_ENGINE', place, '%s holds containers of Podman or CRI-O; this collection does not read '
                         'them.' % place, 'Copy the folder before you start podman or crio on it (starting them '
                         'deletes unfinished layers), then use podman --root on the copy.')
    if scan.no_access:
        homes = sorted(set(scan.no_access))
        scan.problem('PRIVILEGES_MISSING', scan.host.path, 'Folders of %d users may not be read by this user (%s): '
                     'rootless Docker in them is not seen.'
                     % (len(homes), ', '.join(show(path) for path in homes[:3])), 'Run as root (become: true).')


def _desktop(scan, path, user):
    place = show(_below(scan.host, path))
    attach = ('losetup --find --show --read-only --partscan %s' if path.endswith(b'.raw') else
              'qemu-nbd --read-only --connect=/dev/nbd0 %s') % shlex.quote(place)
    scan.problem('VM_DISK', place, '%s is the virtual machine disk of Docker Desktop (user %s): its containers lie '
                 'inside.' % (place, show(user.name)),
                 'Attach it read-only (%s), mount its Linux file system read-only (mount -o ro,noload for ext4) and '
                 'give the mount point as host_root; if nothing is found there, look for the folder that holds '
                 'containers/ and name it in data_roots.' % attach)


def _below(host, path):
    """Where PATH of the dead host would be on the managed node, whether it is there or not."""
    return os.path.join(host.path, path.lstrip(b'/'))


# -- containerd ----------------------------------------------------------------------------------------------


class _Containerd(object):
    """Where containerd's own root is configured."""

    def __init__(self, scan, explicit):
        self.scan = scan
        self.explicit = explicit
        files, flagged = [], []
        for name in _service_names(scan, SYSTEM_UNITS, (), b'containerd'):
            for words, dummy, dummy, dummy in _unit_commands(scan, name, SYSTEM_UNITS, None):
                flags = containerd_flags(words)
                if flags is None:
                    continue
                if flags.get('config'):
                    files.append(absolute(flags['config']))
                if flags.get('root'):
                    flagged.append(absolute(flags['root']))
        configured, moved = self._config(files + [b'/etc/containerd/config.toml'])
        self.system = configured + flagged + [DEFAULT_CONTAINERD]
        self.snapshotters = tuple((name, place) for name, place in ((name, scan.node(path)) for name, path in moved)
                                  if place is not None)

    def _config(self, files):
        """(roots, [(snapshotter, its own root)]) of config.toml and what it imports; the one in force first."""
        scan = self.scan
        todo = list(files)
        todo.extend(os.path.join(b'/etc/containerd/conf.d', name) for name in scan.names(b'/etc/containerd/conf.d')
                    if name.endswith(b'.toml'))
        roots, moved, seen = [], [], set()
        while todo and len(seen) < MAX_IMPORTS:
            path = todo.pop(0)
            if path in seen:
                continue
            seen.add(path)
            config = parse_containerd(scan.read(path) or b'')
            if config.root:
                roots.insert(0, to_bytes(config.root))      # what is imported later overrides
            moved.extend((name, to_bytes(where)) for name, where in config.snapshotters)
            for name in config.imports:
                todo.extend(_glob(scan, os.path.join(os.path.dirname(path), to_bytes(name))))
        return [path for path in roots if path.startswith(b'/')], moved

    def roots(self, base, place, exec_root, override, rootless):
        """(existing folders on the node, paths of the dead host that are not there) for one data root."""
        scan = self.scan
        named = [self.explicit] if self.explicit else []
        if override:
            named.append(override)
        for root in (base, place) if place != base else (base,):
            named.append(os.path.join(scan.host.to_host(root), b'containerd/daemon'))
        generated = parse_containerd(scan.read(os.path.join(exec_root, b'containerd/containerd.toml')) or b'')
        if generated.root.startswith('/'):
            named.append(to_bytes(generated.root))
        if not rootless:                # it cannot use the system's
            named.extend(self.system)
        found, missing = [], []
        for path in named:
            node = scan.node(path)
            if node is not None and os.path.isdir(node):
                if node not in found:
                    found.append(node)
            elif path not in missing:
                missing.append(path)
        # what the disk does not have and the configuration names comes before the guesses
        missing.sort(key=lambda path: path.endswith(b'/containerd/daemon'))
        return tuple(found), tuple(missing)


# -- systemd units -------------------------------------------------------------------------------------------


def _service_names(scan, folders, admin, word=b'docker'):
    """Names of services worth reading: by their name, and in ADMIN folders whatever their name."""
    found = []
    for folder in folders:
        for name in scan.names(folder):
            is_unit = name.endswith(b'.service')
            if not is_unit and not name.endswith(b'.service.d'):
                continue
            unit = name if is_unit else name[:-2]
            if unit in found or unit == b'.service':
                continue
            if word in unit or folder in admin and (not is_unit or not _is_alias(scan, folder, name)):
                found.append(unit)
    return _instances(scan, folders, found[:MAX_UNITS])


def _is_alias(scan, folder, name):
    """sshd.service -> /lib/systemd/system/ssh.service is only another name."""
    place = scan.node(folder)
    try:
        return place is not None and os.path.basename(os.readlink(os.path.join(place, name))) != name
    except OSError:
        return False


def _instances(scan, folders, names):
    """docker@.service stands for those instances that something wants or that have drop-ins."""
    templates = [name for name in names if name.endswith(b'@.service')]
    if not templates:
        return names
    known = set(names)
    for folder in folders:
        for name in scan.names(folder):
            if name.endswith((b'.wants', b'.requires')):
                known.update(scan.names(os.path.join(folder, name)))
    for name in sorted(known):
        if any(name.startswith(one[:-len(b'.service')]) and name != one and name.endswith(b'.service')
               for one in templates) and name not in names:
            names.append(name)
    return [name for name in names if name not in templates]


def _load(scan, name, folders):
    """Service of a unit with its drop-ins by systemd's precedence; None if there is none or it is masked."""
    fragment, lines = b'', []
    template = name[:name.index(b'@') + 1] + b'.service' if b'@' in name else None
    for unit in (name, template):
        for folder in folders if unit else ():
            if unit in scan.names(folder):
                fragment = os.path.join(folder, unit)
                break
        if fragment:
            break
    if fragment:
        raw = scan.read(fragment)
        if not raw or not raw.strip():
            return None                 # masked
        lines.append((fragment, raw))
    stems = dropin_stems(name)
    files = {}
    places = [(folder, stem) for folder in folders for stem in stems] + [(folder, b'service') for folder in folders]
    for folder, stem in places:
        if stem + b'.d' in scan.names(folder):
            inner = os.path.join(folder, stem + b'.d')
            for conf in scan.names(inner):
                if conf.endswith(b'.conf'):
                    files.setdefault(conf, inner)           # a file of the same name in a later folder is masked
    for conf in sorted(files):
        path = os.path.join(files[conf], conf)
        lines.append((path, scan.read(path) or b''))
    return service_of(lines, fragment)


def _unit_commands(scan, name, folders, user):
    """Yield (words, where it stands, environment, service) of every ExecStart command of a unit."""
    service = _load(scan, name, folders)
    if service is None or not service.commands:
        return
    specifiers = _specifiers(name, user)
    env = {}
    for line in service.environment:
        for word in split_words(line):
            key, equals, value = specify(word, specifiers).partition('=')
            if equals:
                env[key] = value
    for value in service.files:
        path = specify(value.strip().strip('"'), specifiers).lstrip('-')
        for found in _glob(scan, to_bytes(path)) if path.startswith('/') else ():
            env.update(parse_env(scan.read(found) or b''))
    for value, path in service.commands:
        where = 'systemd unit %s ExecStart' % show(name) if path == service.fragment else \
            'systemd drop-in %s ExecStart' % show(path)
        for words in command_words(value, env, specifiers):
            yield words, where, env, service


def _unit_daemons(scan, name, folders, user):
    """Yield (flags, where, environment, rootless user or None) of every dockerd that a unit starts."""
    for words, where, env, service in _unit_commands(scan, name, folders, user):
        owner = user
        if user is None and service.user not in ('', 'root', '0'):
            owner = next((one for one in scan.users if service.user in (one.name, str(one.uid))), None)
            if owner is None:
                continue
        flags = daemon_flags(words)
        if flags is not None:
            yield flags, where, env, owner
        elif b'docker' in name and words[0].startswith('/'):
            for flags in script_flags(_script(scan, to_bytes(words[0])), env):
                yield flags, '%s (%s)' % (where, show(words[0])), env, owner


def _script(scan, path):
    """The text of an administrator's own script around dockerd, b'' if it is none."""
    try:
        raw = scan.host.read(path, 65536)
    except OSError:
        return b''                      # most programs are larger than a script
    return raw if raw.startswith(b'#!') else b''


def _specifiers(name, user):
    text = name.decode('utf-8', 'surrogateescape')
    stem = text[:-len('.service')]
    prefix, dummy, instance = stem.partition('@')
    found = {'n': text, 'N': stem, 'p': prefix, 'i': instance, 'I': unit_unescape(instance), '%': '%',
             'j': prefix.rpartition('-')[2], 'T': '/tmp', 'V': '/var/tmp'}
    if user is None:
        found.update(h='/root', u='root', U='0', S='/var/lib', t='/run', E='/etc', C='/var/cache', L='/var/log')
    else:
        home = user.home.decode('utf-8', 'surrogateescape')
        found.update(h=home, u=user.name, U=str(user.uid), S=home + '/.local/state', t='/run/user/%s' % user.uid,
                     E=home + '/.config', C=home + '/.cache', L=home + '/.local/state/log')
    return found


def _glob(scan, path):
    """[paths] that match PATH, whose last component may hold wildcards; PATH itself if it has none."""
    path = fsinfo.clean(path)
    folder, name = os.path.split(path)
    if not any(char in path for char in (b'*', b'?', b'[')):
        return [path]
    return [os.path.join(folder, found) for found in scan.names(folder) if fnmatch.fnmatchcase(found, name)]
