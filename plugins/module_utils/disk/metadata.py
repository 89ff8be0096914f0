"""Metadata files of Docker's: JSON that may be empty, cut, or another's; small text files that may be empty."""
import errno
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..formats import jsonish

if TYPE_CHECKING:
    from .safeio import Dir


class Found(NamedTuple):
    """What a metadata file gave. `value` is None when nothing could be read; `damage` says why, '' if all is well."""
    value: Any
    damage: str
    source: str
    raw: Optional[bytes] = None


def describe(exc: OSError) -> str:
    """An OSError in words."""
    if exc.errno == errno.ENOENT:
        return 'missing'
    if exc.errno == errno.ELOOP:
        return 'a symbolic link, not followed'
    return os.strerror(exc.errno) if exc.errno else str(exc)


def read_json(folder: 'Dir', name: bytes, kind: type = dict) -> Found:
    """Parse NAME in FOLDER (safeio.Dir); Found.value is of type KIND or None."""
    try:
        raw = folder.read(name)
    except OSError as exc:
        return Found(None, describe(exc), '')
    try:
        value = jsonish.loads(raw)
    except ValueError as exc:
        return Found(None, str(exc), '', raw)
    if not isinstance(value, kind):
        return Found(None, 'not the kind of JSON that belongs here', '', raw)
    return Found(value, '', name.decode('ascii', 'replace'), raw)


def read_record(folder: 'Dir', name: bytes, names: Optional[Sequence[bytes]] = None, accept: Optional[Callable[[Any], str]] = None) -> Found:
    """Like :func:`read_json`, then the temporary files of interrupted writes (``.tmp-NAME*`` may hold the
    newest complete content). ACCEPT(value) -> '' or why the content cannot be used."""
    found = read_json(folder, name)
    if found.value is not None:
        why = accept(found.value) if accept else ''
        if not why:
            return found
        found = Found(None, why, '', found.raw)
    if names is None:
        try:
            names = folder.names()
        except OSError:
            names = []
    leftovers = []
    for other in names:
        if other.startswith(b'.tmp-' + name):
            try:
                leftovers.append((folder.stat(other).st_mtime_ns, other))
            except OSError:
                continue
    for dummy, other in sorted(leftovers, reverse=True):
        spare = read_json(folder, other)
        if spare.value and not (accept and accept(spare.value)):
            return Found(spare.value, found.damage, other.decode('utf-8', 'replace'), spare.raw)
    return found


def read_text(folder: 'Dir', name: bytes, limit: int = 65536) -> str:
    """A one-line text file without its white space; '' if it is missing, empty, zero-filled or unreadable."""
    try:
        raw = folder.read(name, limit)
    except OSError:
        return ''
    return raw.replace(b'\0', b'').strip().decode('utf-8', 'replace')


def get(value: Any, *keys: str) -> Any:
    """Nested look-up in parsed JSON that never raises: None where the path does not exist or is of another type.
    Go reads keys without regard to case; so does this, exact spelling first."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        if key in value:
            value = value[key]
            continue
        low, length = key.lower(), len(key)
        for name in value:
            if isinstance(name, str) and len(name) == length and name.lower() == low:
                value = value[name]
                break
        else:
            return None
    return value


def text_of(value: Any, *keys: str) -> str:
    found = get(value, *keys)
    return found if isinstance(found, str) else ''


def dict_of(value: Any, *keys: str) -> Dict[str, Any]:
    found = get(value, *keys)
    return found if isinstance(found, dict) else {}


def list_of(value: Any, *keys: str) -> List[Any]:
    found = get(value, *keys)
    return found if isinstance(found, list) else []


def strings_of(value: Any, *keys: str) -> Dict[str, str]:
    """A dict of str to str, everything else left out."""
    return {key: item for key, item in dict_of(value, *keys).items() if isinstance(key, str) and isinstance(item, str)}


class Folders(object):
    """Folders below one of an open data root, each opened once and kept open for the next look-up."""

    def __init__(self, root: 'Dir', base: bytes) -> None:
        self.root = root
        self.base = base
        self._open: Dict[bytes, Optional[Dir]] = {}

    def get(self, path: bytes) -> 'Optional[Dir]':
        """The open folder (safeio.Dir), None if there is none."""
        if path not in self._open:
            try:
                self._open[path] = self.root.descend(os.path.join(self.base, path))
            except OSError:
                self._open[path] = None
        return self._open[path]

    def child(self, path: bytes, name: bytes) -> 'Dir':
        """The folder NAME in PATH, opened; the caller closes it. OSError, also where there is no PATH."""
        folder = self.get(path)
        if folder is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return folder.child(name)

    def names(self, path: bytes) -> List[bytes]:
        """Names in it, [] if there is none."""
        folder = self.get(path)
        try:
            return folder.names() if folder is not None else []
        except OSError:
            return []
