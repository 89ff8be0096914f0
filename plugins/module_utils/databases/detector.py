"""Find databases and other state while a tree is walked: which file to look into, and what the finds add up to.

Looking costs an open and a read, so a file is only opened when its name or its size makes it a candidate
(:mod:`registry` has the tables), and never below a folder that is already known to be a database.
"""
import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..formats.wording import path_fields
from . import noise, registry
from .look import DATABASE, KEYS, REPOSITORY, UPLOADS

if TYPE_CHECKING:
    from .look import Look, Match

MAX_FOUND = 200                         # longest list one tree gets; what is cut is counted
MAX_LOOKS = 20000                       # files opened in one tree; planted candidates must not cost hours
UPLOADS_FROM = 30                       # so many media files in one place are no decoration
UPLOADS_SHARE = 0.8                     # of the bytes below the place


Bytes = bytes                           # the type, where a field is called bytes


class Found(NamedTuple):
    """One database (or repository, mail folder, ...). `path` is relative to the walk's root, b'' is the root.

    `clean_shutdown` is None where the files do not tell. `noise` is the reason why nobody would miss it, or None.
    `files`: how many files of the kind, for keys and uploads. `empty`: the engine ran, nothing is stored.
    """
    engine: str
    kind: str
    version: Optional[str]
    path: bytes
    bytes: int
    clean_shutdown: Optional[bool]
    state: Optional[str]
    evidence: str
    empty: bool
    noise: Optional[str]
    files: int
    single: bool                        # path is a file

    def as_dict(self, prefix: Bytes = b'/') -> Dict[str, Any]:
        """JSON-ready; the path begins with PREFIX, e.g. where the volume is mounted."""
        fields = {'engine': self.engine, 'title': registry.KINDS[self.engine].title, 'kind': self.kind,
                  'version': self.version, 'bytes': self.bytes, 'clean_shutdown': self.clean_shutdown,
                  'state': self.state, 'evidence': self.evidence, 'empty': self.empty, 'noise': self.noise,
                  'single_file': self.single}
        if self.kind in (KEYS, UPLOADS):
            fields['files'] = self.files
        fields.update(path_fields(os.path.join(prefix, self.path) if self.path else prefix))
        return fields


class Detector(object):
    """One for each tree. The walk (usage/walk.py) calls :meth:`marker`, :meth:`file`, :meth:`enclosed` and :meth:`leave`; read
    :meth:`found` or :meth:`records`.

    IMAGE_VOLUMES: paths that the image declares as volumes; what is found at or below one says so in its evidence.
    """

    def __init__(self, image_volumes: Sequence[str] = (), max_found: int = MAX_FOUND, max_looks: int = MAX_LOOKS) -> None:
        self.image_volumes = tuple(path.strip('/').encode('utf-8', 'surrogateescape') for path in image_volumes or ())
        self.max_found = max_found
        self.looks_left = max_looks
        self.total = 0
        self._found: Dict[Tuple[str, bytes], Found] = {}  # (engine, path) -> Found
        self._open: Dict[bytes, List[Tuple[str, bytes]]] = {}  # folder prefix whose bytes are not known yet -> [key of _found]
        self._enclosures: Set[bytes] = set()  # prefixes of databases; nothing below them is news

    @property
    def complete(self) -> bool:
        """False: there were more candidates than may be opened."""
        return self.looks_left > 0

    # -- called during the walk -----------------------------------------------------------------------------------

    def enclosed(self, prefix: bytes) -> bool:
        """Whether the folder PREFIX is a database or lies in one."""
        while self._enclosures:
            if prefix in self._enclosures:
                return True
            if not prefix:
                return False
            prefix = prefix[:prefix.rfind(b'/', 0, -1) + 1]
        return False

    @staticmethod
    def paged(size: int) -> bool:
        return size >= 512 and not size & 511

    def marker(self, look: 'Look', name: bytes, reason: Optional[str] = None) -> None:
        """NAME is in registry.MARKERS."""
        if self.looks_left > 0:
            self.looks_left -= 1
            match = registry.MARKERS[name](look, name)
            if match is not None:
                self._add(look, match, reason)

    def file(self, look: 'Look', name: bytes, st: os.stat_result, reason: Optional[str] = None) -> None:
        """NAME ends like one of registry.TAILS, or has whole pages."""
        if self.looks_left <= 0:
            return
        self.looks_left -= 1
        probe = registry.TAILS.get(name[-4:])
        match = probe(look, name) if probe is not None else None
        if match is None and self.paged(st.st_size):
            if registry.PAGED_SIGNS.match(look.head(name, 32)):
                for probe in registry.PAGED:
                    match = probe(look, name)
                    if match is not None:
                        break
        if match is not None:
            self._add(look, match, reason, st)

    def _add(self, look: 'Look', match: 'Match', reason: Optional[str], st: Optional[os.stat_result] = None) -> None:
        if match.kind == KEYS and reason:
            return                      # keys of packages' own tests and of temporary folders
        prefix = look.prefix
        for dummy in range(match.up):
            prefix = prefix[:prefix.rfind(b'/', 0, -1) + 1]
        path, single = prefix[:-1], False
        if match.name is not None and match.kind != KEYS:
            path, single = look.prefix + match.name, True
        key = (match.engine, path)
        size = 0
        if match.name is not None:
            st = st or look.stat(match.name)
            size = st.st_size if st is not None else 0      # removed by a live container since it was seen
            size += sum(max(look.size(name), 0) for name in match.sidecars)
        known = self._found.get(key)
        if known is not None:
            if match.kind == KEYS:
                evidence = sorted(set(known.evidence.split(', ') + [match.evidence]))
                self._found[key] = known._replace(bytes=known.bytes + size, files=known.files + 1,
                                                  evidence=', '.join(evidence))
            elif match.version and not known.version:
                self._found[key] = known._replace(version=match.version)
            return
        part = registry.KINDS[match.engine].building_block or match.name is not None
        if match.kind in (DATABASE, REPOSITORY) and self.enclosed(look.prefix) and \
                (part or self._within_same(match.engine, prefix)):
            return
        evidence = match.evidence
        for volume in self.image_volumes:
            if path == volume or path.startswith(volume + b'/'):
                evidence += ', in a folder that the image declares as a volume'
        if not single and match.kind != KEYS:
            self._swallow(prefix, match.engine)
            self._enclosures.add(prefix)
            self._open.setdefault(prefix, []).append(key)
        self.total += 1
        if len(self._found) < self.max_found:
            self._found[key] = Found(match.engine, match.kind, match.version, path, size, match.clean, match.state,
                                     evidence, match.empty, reason, 1, single)

    def _within_same(self, engine: str, prefix: bytes) -> bool:
        return any(one.engine == engine and not one.single and prefix.startswith(one.path + b'/' if one.path else b'')
                   for one in self._found.values())

    def _swallow(self, prefix: bytes, engine: str) -> None:
        """Drop what was met below PREFIX before its owner was known."""
        for key, one in list(self._found.items()):
            if one.path.startswith(prefix) and one.kind == DATABASE and \
                    (one.single or one.engine == engine or registry.KINDS[one.engine].building_block):
                del self._found[key]
                self.total -= 1

    def leave(self, prefix: bytes, size: int) -> bool:
        """The walk has left the folder PREFIX, SIZE bytes lie in it. True: it is a database, nothing in it is noise."""
        keys = self._open.pop(prefix, None)
        if keys is None:
            return False
        for key in keys:
            if key in self._found:
                self._found[key] = self._found[key]._replace(bytes=size)
        return True

    def uploads(self, prefix: bytes, files: int, size: int) -> None:
        """FILES media files of SIZE bytes lie in the folder PREFIX."""
        path = prefix[:-1]
        self.total += 1
        if len(self._found) < self.max_found:
            self._found[('uploads', path)] = Found('uploads', UPLOADS, None, path, size, None, None,
                                                   '%d media and document files' % files, False, None, files, False)

    # -- afterwards -------------------------------------------------------------------------------------------------

    def records(self) -> List[Found]:
        """Found records, largest first."""
        return sorted(self._found.values(), key=lambda one: (-one.bytes, one.path, one.engine))

    def found(self, prefix: bytes = b'/') -> List[Dict[str, Any]]:
        """JSON-ready dicts, largest first; paths begin with PREFIX."""
        return [one.as_dict(prefix) for one in self.records()]


def ignored(path: str, name: str) -> bool:
    """Whether nothing in this folder (text, no slashes at the ends) can be somebody's state: package managers'
    own databases, and dependencies that are installed again."""
    return name in noise_names or path in noise.PACKAGE_MANAGERS


noise_names = frozenset(('node_modules', 'site-packages', 'dist-packages', '.npm', '.pnpm-store', '.m2', '.gradle',
                         '.nuget', '__pycache__', '.cache'))
