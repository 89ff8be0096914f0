"""What a driver is asked for."""
import re
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .room import Refused, Room


class Target(NamedTuple):
    """One database in a view. `path`: its folder or file, as the container saw it."""
    engine: str                         # name in databases.registry
    path: bytes
    version: str                        # '' where its files do not tell
    environment: Dict[str, str]         # of the container; nothing of it is given to a program but what a driver picks
    attempt: int                        # 0, and one more for each view before in which it did not work
    verify: bool = True                 # count the rows in the server too
    other_image: bool = False           # the programs are not of the container's own image


class Kind(NamedTuple):
    """A kind of database that can be dumped. `dump(room, target)` is called in a view and returns {version, counts, marks, partial}:
    `counts`: {table: rows}; `marks`: sentences; `partial`: sentences on what is missing. It raises room.Refused."""
    engines: Tuple[str, ...]            # names in databases.registry
    suffix: str                         # of the file
    dump: Callable[[Room, Target], Dict[str, Any]]
    attempts: int = 1                   # fresh views that are tried
    extra: float = 0.0                  # room in the view beside the data, as a share of them
    choose: Callable[[List[str]], List[str]] = list     # of the paths that were found, those of one server are one
    proven: bool = False                # with servers of several versions, killed while they wrote
    needs_image: bool = True            # programs of an image read the data
    other_image: bool = False           # those of another image may, see refuse_other_version()
    beside: bool = False                # a path is of a file, or a folder, in the folder of the data


def picked(environment: Dict[str, str], *names: str) -> Dict[str, str]:
    """What programs need of a container's environment; never its secrets."""
    return {name: environment[name] for name in names if name in environment and '\0' not in environment[name]}


def refuse_other_version(target: Target, said: bytes, parts: int) -> None:
    """Of another image only a server of the same version may have the data: PARTS numbers of it are compared. SAID: what its program says. Raises
    Refused."""
    if not target.other_image:
        return
    known, found = _numbers(target.version)[:parts], _numbers(said.decode('utf-8', 'replace'))[:parts]
    if len(known) < parts:
        raise Refused('DUMP_VERSION_MISMATCH', 'its files do not tell of which version the data are, so no other image is used')
    if known != found:
        raise Refused('DUMP_VERSION_MISMATCH', 'the data are of %s %s, and the program of the image says: %s' % (
            target.engine, target.version, said.decode('utf-8', 'replace').strip()[:80]))


def _numbers(text: str) -> List[str]:
    """The numbers of the first version in TEXT."""
    found = re.search(r'\d+(?:\.\d+)+', text)
    return found.group().split('.') if found else []
