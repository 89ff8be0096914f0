"""What a driver is asked for."""
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .room import Room


class Target(NamedTuple):
    """One database in a view. `path`: its folder or file, as the container saw it."""
    engine: str                         # name in databases.registry
    path: bytes
    version: str                        # '' where its files do not tell
    environment: Dict[str, str]         # of the container; nothing of it is given to a program but what a driver picks
    attempt: int                        # 0, and one more for each view before in which it did not work
    verify: bool = True                 # count the rows in the server too


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


def picked(environment: Dict[str, str], *names: str) -> Dict[str, str]:
    """What programs need of a container's environment; never its secrets."""
    return {name: environment[name] for name in names if name in environment and '\0' not in environment[name]}
