"""Reading a host's configuration without failing: what is not there is None or empty, what may not or cannot be read is
a problem. All that is read together is bounded: a disk may be hostile, and real hosts stay far below.
"""
import errno
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Union

from ....disk import fsinfo
from ....formats import jsonish, wording
from ....formats.wording import show
from ....records import codes
from .daemonconf import MAX_CONFIG, json_root
from .homes import User, users_of

if TYPE_CHECKING:
    from ....disk.host import HostRoot
    from ....records.model import Problem

MAX_TOTAL = 16 * 1024 * 1024            # bytes of all configuration files


class Scan(object):
    """One look at a host: what was read, what was found to be wrong."""

    def __init__(self, host: 'HostRoot') -> None:
        self.host = host
        self.problems: List[Problem] = []
        self.looked: List[str] = []
        self._names: Dict[bytes, Tuple[bytes, ...]] = {}
        self._json: Dict[bytes, Tuple[Dict[str, Any], bool]] = {}
        self._mounts: Optional[Tuple[fsinfo.MountPoint, ...]] = None
        self._fstab: Optional[Tuple[fsinfo.FstabEntry, ...]] = None
        self._users: Optional[List[User]] = None
        self._left = MAX_TOTAL
        self.no_access = []

    def problem(self, code: str, obj: Union[bytes, str], message: str, next_step: str = '', severity: Optional[str] = None) -> None:
        obj = wording.text(obj)
        found = codes.problem(code, obj, message, next_step)
        if severity:
            found = found._replace(severity=severity)
        if not any(other.code == code and other.object == obj for other in self.problems):
            self.problems.append(found)

    def has(self, *wanted: str) -> bool:
        return any(problem.code in wanted for problem in self.problems)

    def names(self, folder: bytes) -> Tuple[bytes, ...]:
        """Names in a folder of configuration; () if there is none."""
        if folder not in self._names:
            try:
                self._names[folder] = tuple(self.host.listdir(folder))
            except OSError as exc:
                self._names[folder] = ()
                if exc.errno in (errno.EACCES, errno.EPERM, errno.EIO):
                    self._unreadable(folder, exc)
        return self._names[folder]

    def read(self, path: bytes) -> Optional[bytes]:
        """A configuration file; None if there is none, or something else (systemd masks by a link to /dev/null)."""
        try:
            raw = self.host.read(path, max(0, min(MAX_CONFIG, self._left)))
            self._left -= len(raw)
            return raw
        except OSError as exc:
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG):
                self._unreadable(path, exc)
            return None

    def _unreadable(self, path: bytes, exc: OSError) -> None:
        if exc.errno in (errno.EACCES, errno.EPERM):
            self.problem('CONFIG_UNREADABLE', path, '%s may not be read by this user; what it says about the data root '
                         'is unknown.' % show(path), 'Run as root (become: true), or name the data root in '
                         'data_roots.')
        else:
            self.problem('CONFIG_UNREADABLE', path, '%s cannot be read (%s); what it says about the data root is '
                         'unknown.' % (show(path), exc.strerror or exc),
                         'If you know the data root, name it in data_roots.')

    def daemon_json(self, path: bytes) -> Tuple[Dict[str, Any], bool]:
        """(settings, whether the file is whole) of a daemon.json; ({}, True) if there is none."""
        if path not in self._json:
            self._json[path] = self._read_json(path)
        return self._json[path]

    def _read_json(self, path: bytes) -> Tuple[Dict[str, Any], bool]:
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
                     % (text, damage, 'taken from its readable beginning' if json_root(settings)[0] else 'unknown'),
                     'Repair it before dockerd is started again; if you know the data root, name it in data_roots.')
        return settings, False

    @property
    def mounts(self) -> Tuple[fsinfo.MountPoint, ...]:
        if self._mounts is None:
            self._mounts = fsinfo.mounts()
        return self._mounts

    @property
    def fstab(self) -> Tuple[fsinfo.FstabEntry, ...]:
        if self._fstab is None:
            self._fstab = fsinfo.parse_fstab(self.read(b'/etc/fstab') or b'')
        return self._fstab

    @property
    def users(self) -> List[User]:
        """Users with a home of their own: of /etc/passwd, and folders of /home (users from a directory server)."""
        if self._users is None:
            self._users = users_of(self)
        return self._users

    def node(self, path: bytes) -> Optional[bytes]:
        """PATH of the dead host on the managed node, None if there is nothing."""
        try:
            return self.host.resolve(path)
        except OSError:
            return None
