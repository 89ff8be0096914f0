"""What a kind of database is told by: a :class:`Look` into a folder, a :class:`Match` as the answer.

Nothing here trusts a name alone, and nothing reads more than 256 KiB. The functions of the kinds never raise for what
they find: a file that cannot be read is a file that does not match.
"""
import os
import stat
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from ..disk.safeio import Dir
    from ..disk.tree import Entry

from ..formats.values import NOTHING

DATABASE = 'database'
REPOSITORY = 'repository'
MAIL = 'mail'
UPLOADS = 'uploads'
KEYS = 'keys'


class Match(NamedTuple):
    """`name`: the file that is the database, or None: the folder is, or one `up` levels above it.

    `clean`: True, False, or None where the files do not tell whether it was shut down in order.
    """
    engine: str
    version: Optional[str]
    evidence: str
    clean: Optional[bool] = None
    state: Optional[str] = None
    name: Optional[bytes] = None
    up: int = 0
    empty: bool = False
    kind: str = DATABASE
    sidecars: tuple = ()                # further files that belong to `name`


class Kind(NamedTuple):
    """What is known of one kind of state beside how it is found.

    `building_block`: other software builds on the format, so inside that software's folder it is not news.
    `variables`: of the well-known images, which say their version, best first. `parts`: how many parts of the version the
    files of one release are tied to (0: not known). `upgrades`: it may open files of an older series. `clean`, `crashed`: what the
    first start does after an orderly shutdown and after a crash, '' where docs know nothing.
    """
    name: str
    title: str
    building_block: bool = False
    variables: Tuple[str, ...] = ()
    parts: int = 0
    upgrades: bool = False
    clean: str = ''
    crashed: str = ''


class Finder(NamedTuple):
    """One file of this folder: its kinds, and which function looks at which name.

    `markers`: name of a file or folder -> function. `tails`: the last four characters of a file's name -> function.
    `paged`: functions for files whose size is a multiple of 512, since their formats come in pages.
    """
    kinds: Tuple[Kind, ...]
    markers: Dict[bytes, Callable]
    tails: Dict[bytes, Callable] = NOTHING
    paged: Tuple[Callable, ...] = ()


class Look(object):
    """What an engine's function may see: a folder, by relative paths (bytes), without following any link."""

    def __init__(self, folder: 'Dir', prefix: bytes, entry: 'Optional[Entry]' = None) -> None:
        self._folder = folder           # safeio.Dir
        self.prefix = prefix            # of the folder from the root of the walk, b'' or ending in a slash
        self._entry = entry             # tree.Entry that was met; it knows how to open itself (copy-up of metadata)

    def _at(self, path: bytes) -> 'Tuple[Dir, bytes, List[Dir]]':
        """(folder, last name, opened folders) of a relative path."""
        opened = []
        folder = self._folder
        parts = path.split(b'/')
        try:
            for part in parts[:-1]:
                folder = folder.child(part)
                opened.append(folder)
        except OSError:
            self._release(opened)
            raise
        return folder, parts[-1], opened

    @staticmethod
    def _release(opened: 'List[Dir]') -> None:
        for folder in reversed(opened):
            folder.close()

    def head(self, path: bytes, length: int = 512, offset: int = 0) -> bytes:
        """Up to LENGTH bytes of a regular file, b'' if there is none."""
        try:
            folder, name, opened = self._at(path)
        except OSError:
            return b''
        try:
            if self._entry is not None and folder is self._folder and name == self._entry.name:
                fd = self._entry.open()
            else:
                fd = folder.open(name)
            try:
                return os.pread(fd, length, offset)
            finally:
                os.close(fd)
        except OSError:
            return b''
        finally:
            self._release(opened)

    def stat(self, path: bytes) -> Optional[os.stat_result]:
        try:
            folder, name, opened = self._at(path)
        except OSError:
            return None
        try:
            return folder.stat(name)
        except OSError:
            return None
        finally:
            self._release(opened)

    def size(self, path: bytes) -> int:
        """Size of a regular file, -1 if it is not one."""
        st = self.stat(path)
        return st.st_size if st is not None and stat.S_ISREG(st.st_mode) else -1

    def is_folder(self, path: bytes) -> bool:
        st = self.stat(path)
        return st is not None and stat.S_ISDIR(st.st_mode)

    def names(self, path: bytes = b'') -> List[bytes]:
        try:
            if not path:
                return self._folder.names()
            folder, name, opened = self._at(path + b'/')
        except OSError:
            return []
        try:
            return folder.names()
        except OSError:
            return []
        finally:
            self._release(opened)


def words(raw: bytes) -> str:
    """Bytes of a file as one line of text that is safe to show."""
    return ' '.join(raw.decode('ascii', 'replace').split())[:80]
