"""Where graph roots are on a host: by storage.conf and crio.conf, at the usual place, in every home, and by content.

Sources: storage/types/options.go and pkg/configfile/parse.go (which files are read), cri-o docs/crio.conf.5.md.
"""
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ....disk import fsinfo
from ....formats import wording
from ....formats.patterns import Lazy
from ....records.codes import problem
from . import drivers

ROOT, RUN = b'/var/lib/containers/storage', b'/run/containers/storage'
SYSTEM_CONF = (b'/etc/containers/storage.conf', b'/usr/share/containers/storage.conf')
DROP_INS = (b'/usr/share/containers/storage.conf.d', b'/etc/containers/storage.conf.d')
CRIO_CONF, CRIO_DROP_INS = b'/etc/crio/crio.conf', b'/etc/crio/crio.conf.d'
IN_HOME = b'.local/share/containers/storage'
MAX_CONF = 1 << 20                      # bytes of one file
MAX_FILES = 50                          # of one folder of drop-ins
MAX_LINES = 500                         # of one list
MAX_HOMES = 2000
MAX_STORES = 10                         # additional ones of one configuration
_TABLE = Lazy(r'\s*\[([A-Za-z0-9_."-]+)\]\s*(?:#.*)?\Z')
_PAIR = Lazy(r'\s*([A-Za-z0-9_-]+)\s*=\s*(.*)\Z')
_STRING = Lazy(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'')


class User(NamedTuple):
    """A user with a home. `uid` None: only the folder tells of him."""
    name: bytes
    uid: Optional[int]
    gid: Optional[int]
    home: bytes


class Candidate(NamedTuple):
    """A graph root. Paths are on the managed node, `recorded` as the dead host's configuration has it."""
    path: bytes
    recorded: bytes
    user: Optional[User]                # of a rootless one
    run: Optional[bytes]                # the run root, where it is on this disk
    extra: Tuple[bytes, ...]            # the image store and additional ones
    settings: Dict[str, Any]            # {'storage.options.overlay.mountopt': ...} of storage.conf
    why: Tuple[str, ...]


_Claim = Tuple[bytes, Optional[User], bytes, Dict[str, Any], str]      # path, user, run root, settings, why


def toml(raw: bytes) -> Dict[str, Any]:
    """{'table.key': text, bool or list of texts} of a configuration file. What is none of these, or not understood, is left out."""
    found, table, lines = {}, '', raw.decode('utf-8', 'replace').split('\n')
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        head, pair = _TABLE.match(line), _PAIR.match(line)
        if head:
            table = head.group(1).replace('"', '')
        elif pair:
            value = pair.group(2)
            last = min(len(lines), position + MAX_LINES)
            while value.startswith('[') and position < last and not _closed(value):
                value += '\n' + lines[position]
                position += 1
            found['%s.%s' % (table, pair.group(1))] = _value(value)
    return {key: value for key, value in found.items() if value is not None}


def _closed(value: str) -> bool:
    return ']' in _STRING.sub('', re.sub(r'(?m)^[ \t]*#.*$', '', value))


def _value(value: str) -> Any:
    texts = [one or two for one, two in _STRING.findall(re.sub(r'(?m)^[ \t]*#.*$', '', value))]
    if value.startswith('['):
        return texts
    if value[:1] in ('"', "'"):
        return texts[0] if texts else ''
    return {'true': True, 'false': False}.get(value.split('#')[0].strip())


class Finder(object):
    """One look at a host. DISK: disk.host.HostRoot."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk
        self.problems: List[Any] = []
        self._system: Optional[Dict[str, Any]] = None
        self._users: Optional[List[User]] = None
        self._no_access: List[bytes] = []

    # -- reading ---------------------------------------------------------------------------------------------------------------

    def read(self, path: bytes) -> bytes:
        """A configuration file; b'' if there is none or it cannot be read."""
        try:
            return self.disk.read(path, MAX_CONF)
        except OSError:
            return b''

    def names(self, path: bytes) -> List[bytes]:
        """Names in a folder, [] if there is none."""
        try:
            return self.disk.listdir(path)
        except PermissionError:
            self._no_access.append(path)
        except OSError:
            pass
        return []

    def _drop_ins(self, folder: bytes) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for name in [name for name in self.names(folder) if name.endswith(b'.conf')][:MAX_FILES]:
            found.update(toml(self.read(os.path.join(folder, name))))
        return found

    @property
    def system(self) -> Dict[str, Any]:
        """storage.conf of the system with its drop-ins."""
        if self._system is None:
            raw = next((raw for raw in map(self.read, SYSTEM_CONF) if raw), b'')
            self._system = toml(raw)
            for folder in DROP_INS:
                self._system.update(self._drop_ins(folder))
        return self._system

    @property
    def users(self) -> List[User]:
        """Users with a home of their own: of /etc/passwd, and folders of /home."""
        if self._users is None:
            self._users = list(self._find_users())[:MAX_HOMES]
        return self._users

    def _find_users(self) -> Iterator[User]:
        homes = {b'/', b'/root', b'/bin', b'/sbin', b'/dev', b'/proc', b'/usr/bin', b'/usr/sbin', b'/nonexistent'}
        for line in self.read(b'/etc/passwd').split(b'\n'):
            fields = line.split(b':')
            if len(fields) < 7 or not all(field.isdigit() and len(field) < 11 for field in fields[2:4]) or int(fields[2]) == 0:
                continue
            home = fsinfo.clean(fields[5]) if fields[5].startswith(b'/') else b'/'
            if home not in homes:
                homes.add(home)
                yield User(fields[0], int(fields[2]), int(fields[3]), home)
        for name in self.names(b'/home'):
            home = b'/home/' + name
            if home not in homes:
                yield User(name, None, None, home)

    # -- candidates --------------------------------------------------------------------------------------------------------------

    def candidates(self, given: Tuple[bytes, ...], homes: bool = True) -> List[Candidate]:
        """Every graph root, the system's first; with GIVEN (as the user typed them) only those. HOMES: those of users too."""
        wanted: List[_Claim] = []
        if given:
            wanted = [(path, self._owner(path), b'', self.system, 'given') for path in given]
        else:
            wanted.extend(self._claims(homes))
        found: Dict[bytes, Candidate] = {}
        for path, user, run, settings, why in wanted:
            try:
                place = self.disk.resolve(path)
                listed = self.disk.listdir(path)
            except OSError:
                continue
            if place in found:
                found[place] = found[place]._replace(why=found[place].why + (why,))
            elif is_store(listed):
                found[place] = Candidate(place, path, user, self._node(run), self._extra(settings, path), settings, (why,))
        if self._no_access and not given:
            self.problems.append(problem('PRIVILEGES_MISSING', wording.text(self.disk.path), 'Folders of %d users may not be read by this user (%s): '
                                         'rootless Podman in them is not seen.' % (len(self._no_access), ', '.join(
                                             wording.show(path) for path in self._no_access[:3])), 'Run as root (become: true).'))
        return list(found.values())

    def missing(self, given: Tuple[bytes, ...], found: List[Candidate]) -> Iterator[Any]:
        """Yield a problem for each path of GIVEN that is none of FOUND."""
        for path in given:
            if not any(item.recorded == path for item in found):
                yield problem('DATA_ROOT_MISSING', wording.text(path), '%s is no graph root of this engine, or does not exist below the host root.' % (
                    wording.show(path)), 'Name the folder that has overlay-containers or vfs-containers in it.')

    def nothing(self, name: str) -> Iterator[Any]:
        """Yield the problem that no graph root of the engine NAME was found."""
        yield problem('NO_DATA_ROOT', wording.text(self.disk.path), 'No graph root of %s was found: not in storage.conf, not at %s, and in no home.' % (
            name, wording.show(ROOT)), 'Is the right disk mounted there? If you know the folder, name it in data_roots.')

    def _claims(self, homes: bool) -> Iterator[_Claim]:
        """Yield (path, user, run root, settings, why)."""
        root, run = (_path(self.system.get('storage.' + key)) for key in ('graphroot', 'runroot'))
        if root:
            yield root, None, run or RUN, self.system, 'storage.conf'
        crio = toml(self.read(CRIO_CONF))
        crio.update(self._drop_ins(CRIO_DROP_INS))
        if _path(crio.get('crio.root')):
            yield _path(crio['crio.root']), None, _path(crio.get('crio.runroot')) or run or RUN, self.system, 'crio.conf'
        yield ROOT, None, run or RUN, self.system, 'default'
        for user in self.users if homes else ():
            yield from self._of_user(user)

    def _of_user(self, user: User) -> Iterator[_Claim]:
        config = user.home + b'/.config/containers'
        listed = self.names(user.home)
        if b'.config' not in listed and b'.local' not in listed and not self.system.get('storage.rootless_storage_path'):
            return
        settings = toml(self.read(config + b'/storage.conf') if b'.config' in listed else b'')
        settings.update(self._drop_ins(config + b'/storage.conf.d') if b'.config' in listed else {})
        run = _path(settings.get('storage.runroot'), user) or b'/run/user/%d/containers' % user.uid if user.uid is not None else b''
        for key, value in (('graphroot', settings.get('storage.graphroot')), ('rootless_storage_path', self.system.get('storage.rootless_storage_path'))):
            if _path(value, user):
                yield _path(value, user), user, run, settings, '%s of user %s' % (key, wording.show(user.name))
        yield os.path.join(user.home, IN_HOME), user, run, settings, 'home of %s' % wording.show(user.name)

    def _owner(self, path: bytes) -> Optional[User]:
        """The user in whose home PATH lies, or to whom it belongs."""
        for user in self.users:
            if fsinfo.is_below(path, user.home):
                return user
        try:
            uid = self.disk.stat(path).st_uid
        except OSError:
            return None
        return next((user for user in self.users if user.uid == uid), None) if uid else None

    def _node(self, path: bytes) -> Optional[bytes]:
        try:
            return self.disk.resolve(path) if path else None
        except OSError:
            return None

    def _extra(self, settings: Dict[str, Any], root: bytes) -> Tuple[bytes, ...]:
        found: List[bytes] = []
        paths = [settings.get('storage.imagestore'), settings.get('storage.options.imagestore')]
        for key in ('storage.options.additionalimagestores', 'storage.additionalimagestores'):
            value = settings.get(key)
            paths.extend(value if isinstance(value, list) else [])
        for path in map(_path, paths[:MAX_STORES]):
            place = self._node(path)
            if place is not None and place not in found and path != root:
                found.append(place)
        return tuple(found)


def _path(value: Any, user: Optional[User] = None) -> bytes:
    """A path of a configuration with $HOME, $USER and $UID of USER in it; b'' for what is none."""
    if not isinstance(value, str):
        return b''
    raw = wording.raw(value)
    if user is not None:
        for name, text in ((b'HOME', user.home), (b'USER', user.name), (b'UID', b'' if user.uid is None else b'%d' % user.uid)):
            raw = raw.replace(b'${%s}' % name, text).replace(b'$' + name, text)
    return fsinfo.clean(raw) if raw.startswith(b'/') and b'\0' not in raw and b'$' not in raw else b''


def is_store(listed: List[bytes]) -> bool:
    """Whether these are the names of a graph root."""
    return bool(drivers.present(listed)) or b'db.sql' in listed or b'libpod' in listed
