"""The engines that can be read, and a host's disk opened with them. This is the only list of engines."""
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..disk import metadata
from ..disk.errors import LifeboatError
from ..disk.host import HostRoot
from ..formats import wording
from ..records.codes import problem
from .api import Given

if TYPE_CHECKING:                       # not loaded on a host without containers: the tool starts without it
    from ..records.definition import Definition
    from ..records.model import Orphan

ALL = 'all'
FIRST = 'docker'                        # wrote the bundles of version 1, which name no engine


def engines() -> Dict[str, Any]:
    """{name: module} of every engine, see engines.api; in the order in which they are asked. FIRST says what is wrong with a folder that
    the user gave and that is no engine's.

    One line an engine. It is an import statement, since Ansible sends those files to a managed node that such a statement names.
    """
    from .crio import engine as crio  # noqa: F401
    from .docker import engine as docker  # noqa: F401
    from .kubernetes import engine as kubernetes  # noqa: F401
    from .nerdctl import engine as nerdctl  # noqa: F401
    from .podman import engine as podman  # noqa: F401
    return {module.NAME: module for dummy, module in sorted(locals().items(), key=lambda item: (item[0] != FIRST, item[0]))}


def chosen(names: Sequence[str]) -> List[Any]:
    """The modules of the engines called NAMES, or of all. LifeboatError for an unknown one."""
    known = engines()
    for name in names:
        if name != ALL and name not in known:
            raise LifeboatError('engines has no "%s"; it has: %s.' % (wording.show(name), ', '.join(list(known) + [ALL])))
    return [module for name, module in known.items() if not names or ALL in names or name in names]


def definition(engine: str, read: Callable[[str], bytes]) -> 'Definition':
    """The Definition of an engine's own files, which READ(name) gives (b'' where there is none), for bundles that have no neutral one.
    Damaged files count as lost. LifeboatError for an engine that is not known."""
    module = engines().get(engine)
    if module is None:
        raise LifeboatError('This collection does not know the engine %s, whose records are to be read.' % wording.show(engine))
    return module.definition(read)


def known_names() -> List[str]:
    """The names of all engines."""
    return list(engines())


class Host(object):
    """Everything below a host root that the engines ENGINES (names) left there. Use as a context manager; close() ends it.

    HOST_ROOT, DATA_ROOTS, CONTAINERD_ROOT are bytes as the user gave them; no data roots: they are looked for. `root` is the
    disk.host.HostRoot, `roots` the api.Root of each data root. Raises LifeboatError when what was asked for cannot be opened at
    all; all other trouble is in `problems`, here and in the records.
    """

    def __init__(self, host_root: bytes = b'/', data_roots: Sequence[bytes] = (), containerd_root: Optional[bytes] = None,
                 engines: Sequence[str] = (ALL,)) -> None:
        modules = chosen(engines)
        self.root = HostRoot(host_root)
        self.usual_places = frozenset(place for module in modules for place in module.PLACES)
        self.whole = not data_roots and len(modules) == len(known_names())  # no data root and no engine was left out
        self.problems = []              # type: List[Any]
        self.roots = []                 # type: List[Any]
        try:
            self._find(_shared(self.root, modules, Given(tuple(data_roots), containerd_root)))
        except BaseException:
            self.close()
            raise

    def _find(self, asked: List[Tuple[Any, Given]]) -> None:
        nothing, candidates = [], 0
        for module, given in asked:
            found = module.find(self.root, given)
            self.problems.extend(found.problems)
            nothing = nothing or list(found.nothing)    # one sentence is enough
            candidates += len(found.candidates)
            for candidate in found.candidates:
                try:
                    root = module.open_root(self.root, candidate)
                    root.engine = module.NAME
                    self.roots.append(root)
                except OSError as exc:
                    self.problems.append(problem(
                        'DATA_ROOT_UNREADABLE', wording.text(candidate.path), 'The data root %s cannot be read: %s.' % (
                            wording.text(candidate.path), metadata.describe(exc)), 'Run as root (become: true).'))
        if not candidates:
            self.problems.extend(nothing)

    def __enter__(self) -> 'Host':
        return self

    def __exit__(self, *dummy: Any) -> None:
        self.close()

    def orphans(self) -> 'Iterator[Tuple[Any, Orphan]]':
        """Yield (api.Root, records.model.Orphan), each once: of a store that several engines share, and whose records are lost, each of
        them offers the same."""
        told = set()
        for root in self.roots:
            for orphan in root.orphans():
                if orphan.path not in told:
                    told.add(orphan.path)
                    yield root, orphan

    def close(self) -> None:
        """Give back what is open."""
        for root in self.roots:
            root.close()


def open_host(host_root: bytes = b'/', data_roots: Sequence[bytes] = (), containerd_root: Optional[bytes] = None,
              engines: Sequence[str] = (ALL,)) -> Host:
    """The Host for the options of the same names; see there."""
    return Host(host_root, data_roots, containerd_root, engines)


def host_of(options: Mapping[str, Any]) -> Host:
    """Host of the OPTIONS host_root, data_roots, containerd_root and engines, as the modules have them."""
    root = options['containerd_root']
    return open_host(wording.raw(options['host_root']), [wording.raw(path) for path in options['data_roots']],
                     wording.raw(root) if root else None, options.get('engines') or (ALL,))


def _shared(disk: HostRoot, modules: List[Any], given: Given) -> List[Tuple[Any, Given]]:
    """[(module, the Given for it)]. A folder that the user gave is for the engines that have something in it, or else for the first one,
    which says what is wrong with it."""
    if not given.data_roots or len(modules) == 1:
        return [(module, given) for module in modules]
    paths = {module.NAME: [] for module in modules}     # type: Dict[str, List[bytes]]
    for path in given.data_roots:
        for owner in [module for module in modules if module.owns(disk, path)] or modules[:1]:
            paths[owner.NAME].append(path)
    return [(module, given._replace(data_roots=tuple(paths[module.NAME]))) for module in modules if paths[module.NAME]]
