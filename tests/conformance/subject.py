"""What the conformance suite must know of an engine. One adapter, a subclass of Subject, for each engine.

To add an engine: write a file beside this one with a subclass of Subject, and name it in conftest.ADAPTERS. The engine is done
when the suite passes. An adapter answers from the engine (what it said while it lived) or from what a builder put on the disk;
it never asks the code that is tested.

The answers have the form in which the facts and the bundles of the collection say the same thing, so that the suite compares and
does not translate. Names are text; paths in a container are bytes.
"""
from typing import Any, Dict, FrozenSet, NamedTuple, Optional, Tuple


class Container(NamedTuple):
    """What the engine's own `inspect` says of a container."""
    id: str
    created: str
    image_id: str
    image_reference: str
    labels: Dict[str, str]
    status: str                         # as the engine words it: running, exited, created ...
    running: bool
    exit_code: int
    started_at: Optional[str]           # None: never
    log_driver: str
    mounts: Tuple[Tuple[str, str, str, bool], ...]     # sorted (type, name or '', destination, rw)


class Image(NamedTuple):
    """What the engine says of an image."""
    references: Tuple[str, ...]         # sorted, without those by digest
    diff_ids: Tuple[str, ...]           # bottom first


class Volume(NamedTuple):
    """What the engine says of a volume."""
    labels: Dict[str, str]
    options: Dict[str, str]
    used_by: FrozenSet[str]             # names of containers


class Damage(NamedTuple):
    """One record of the engine, damaged in one way."""
    apply: Any                          # callable(hurt.Hurt)
    hurt: Any                           # {role: (status or None, code or None)} | 'every' | callable(hurt.Hurt) -> {name: (status, code)}
    codes: Tuple[str, ...] = ()         # of the host
    same_changes: bool = True           # the hurt container's changes and layers are still known
    works_on: Optional[Tuple[str, ...]] = None      # names of subjects; None: all


class Subject(object):
    """A dead host of one kind of engine, and what is true of it. Do not write into it; see copy()."""

    # class: how it is built
    KINDS = ()                          # type: Tuple[str, ...]
    # {name of the case: Damage}
    DAMAGES = {}                        # type: Dict[str, Damage]
    # the same: damages after which nothing tells which writable layer belongs to which container
    BLINDING = {}                       # type: Dict[str, Damage]
    # roles in DAMAGES: a container that was running and one that has a named volume
    ROLES = {}                          # type: Dict[str, str]

    # instance: where it is
    name = ''
    host_root = ''
    data_root = ''
    scratch = ''                        # a folder that may be written to
    secret = ''                         # a value that must never be shown
    compression = 'auto'
    userns = False                      # has the host a map of user ids?

    @classmethod
    def build(cls, kind, request):
        """The Subject of a kind of KINDS. REQUEST: pytest's, for fixtures. Called once a session."""
        raise NotImplementedError

    def copy(self, target):
        """The same dead host in the new folder TARGET, to be damaged. The answers stay the same."""
        raise NotImplementedError

    def containers(self):
        # type: () -> Dict[str, Container]
        """Every container that the engine had, by name."""
        raise NotImplementedError

    def images(self):
        # type: () -> Dict[str, Image]
        """Every image, by its id."""
        raise NotImplementedError

    def volumes(self):
        # type: () -> Dict[str, Volume]
        """Every volume, by name."""
        raise NotImplementedError

    def users_of_volumes(self):
        # type: () -> Dict[str, FrozenSet[str]]
        """{volume: names of the containers that mount it}, from the mounts of all containers."""
        users = {}
        for name, container in self.containers().items():
            for kind, volume, dummy, dummy in container.mounts:
                if kind == 'volume':
                    users.setdefault(volume, set()).add(name)
        return {volume: frozenset(names) for volume, names in users.items()}

    def layers(self, name):
        # type: (str) -> Optional[List[str]]
        """Paths on this machine of a container's layers, the writable one first; None where the engine does not say."""
        raise NotImplementedError

    def size_pair(self, name, fact):
        """(what the engine says is the size of the writable layer, the same figure of the container's facts) or None."""
        raise NotImplementedError

    def changes(self, name):
        """Set of (A|C|D, path) as the engine's diff prints them."""
        raise NotImplementedError

    def path_of_change(self, raw):
        """How changes() writes the path RAW (bytes, absolute)."""
        raise NotImplementedError

    def view(self, name):
        """The merged view with the owners of the disk: {path: (type, mode, uid, gid, size, mtime in ns, link)}, None if not known."""
        raise NotImplementedError

    def unseen(self, name):
        """Paths (bytes) at and under which view() cannot tell what lies there, since something was mounted on them."""
        return frozenset()

    def export(self, name):
        """({path: rescued.members() tuple}, groups of hard links) of the engine's export, and paths that only we keep."""
        raise NotImplementedError

    def logs(self, name):
        """(lines of stdout, lines of stderr) as the engine's `logs --timestamps` prints them; None if it has no logs."""
        raise NotImplementedError

    def volume_tree(self, name):
        """The listing (rig.listing) of a volume's data with the owners of the container; None if it has none."""
        raise NotImplementedError

    def bind_trees(self):
        """{source: listing or None} of every bind mount."""
        raise NotImplementedError

    def renamed(self, role, name):
        """Write NAME into the engine's record of a container: its name, a label, a bind mount, a volume -> hurt.Hurt that can undo it."""
        raise NotImplementedError
