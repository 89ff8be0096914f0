"""The deployments of a host: what every kind of source finds, the files that are taken of it, and what Compose would change."""
import hashlib
import json
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..disk.host import HostRoot
from ..formats import variables, wording
from ..formats.wording import path_fields, show
from ..records import model as records
from ..records.codes import problem
from . import compare as comparison, ran as runs
from .collection import Collection, Taken
from .door import Door
from .model import CLOSED, ENV_FILE, ON_REQUEST, REFUSED, TOO_LARGE, UNKNOWN, UNREADABLE, Left, Scene, Stack
from .project import Reader
from .registry import KINDS

if TYPE_CHECKING:
    from ..records.model import Container, Image, Problem

SCHEMA_VERSION = 1
NAME = 'deployment'                     # of the bundle, of its component, of its kind
FILE = 'deployment.json'
MOST_STACKS = 2000
SHOWN = 200                             # rows and sentences that a result has
NAMED = 5
SEARCH = 'the search for deployments'


class Given(NamedTuple):
    """What is looked at. `containers`: those that are rescued, with their images; `volumes`: (name, folder on the managed node);
    `places`: folders of engines there; `whole`: the host is rescued as a whole; `refuse_tree`: see Collection; `credentials`: see Scene."""
    disk: HostRoot
    containers: Sequence[Tuple['Container', 'Optional[Image]']]
    volumes: Sequence[Tuple[str, bytes]] = ()
    places: Sequence[bytes] = ()
    whole: bool = True
    refuse_tree: Optional[Callable[[bytes], str]] = None
    credentials: bool = False


class Deployment(NamedTuple):
    """`document`: deployment.json without what is known only after the files were written; `fingerprint`: the same while nothing of it
    changes."""
    collection: Collection
    document: Dict[str, Any]
    problems: Tuple['Problem', ...]
    fingerprint: str
    status: str

    @property
    def is_empty(self) -> bool:
        """True if nothing was found that could be taken."""
        return not self.collection.files and not self.collection.trees and not self.collection.made


def gather(given: Given) -> Deployment:
    """The Deployment of a host. Nothing is written, and trouble with single files is in it."""
    own, views, without = _mounted(given)
    door = Door(given.disk, own, views)
    collection = Collection(door, without, given.refuse_tree)
    scene = Scene(door, tuple(container for container, dummy in given.containers), tuple(given.volumes), given.whole, given.credentials)
    rans = {container.id: runs.ran(container, image) for container, image in given.containers}
    stacks = _stacks(scene, collection)
    entries, rows, undecided, compared = [], [], [], []
    for stack, containers, others in _claimed(stacks, rans):
        found, made = _take(collection, stack, containers, others, given.whole)
        entries.append(_entry(stack, containers, found, made))
        if found is not None:
            rows.extend(found.rows)
            undecided.extend(found.undecided)
            compared.extend(found.compared)
    for path, exc in sorted(door.closed.items()):
        collection.leave(Left(show(path), CLOSED if exc.denied else exc.kind, exc.why, SEARCH))
    if door.more_closed:
        collection.leave(Left('(more)', TOO_LARGE, 'more than %s and folders could not be looked into' % wording.number(len(door.closed), 'file'), SEARCH))
    document = {
        'schema_version': SCHEMA_VERSION, 'deployments': entries, 'differences': rows[:comparison.MOST_ROWS], 'undecided': undecided[:comparison.MOST_ROWS],
        'compared': compared, 'containers': [runs.to_json(rans[ident]) for ident in sorted(rans, key=lambda one: rans[one].name) if rans[ident].project],
        'left_out': [dict(item._asdict()) for item in collection.left], 'left_out_total': collection.left_total}
    short = collection.left_total > len(collection.left) or any(item.kind in (UNREADABLE, TOO_LARGE, UNKNOWN) for item in collection.left)
    return Deployment(collection, document, tuple(_problems(collection, rows)), _fingerprint(collection, document),
                      records.PARTIAL if short else records.COMPLETE)


def _mounted(given: Given) -> Tuple[List[bytes], List[Tuple[str, bytes]], Set[bytes]]:
    """(what containers can write, views of their mounts, what archives leave out), see Door and Collection."""
    own, views = list(given.places) + [path for dummy, path in given.volumes], []
    for container, dummy in given.containers:
        for mount in container.mounts:
            if mount.path is None:
                continue
            if mount.rw and mount.type in ('bind', 'volume'):
                own.append(mount.path)
            views.append((mount.destination, mount.path))
    # an archive keeps the folder of the project itself, also if a container has it mounted
    return own, views, set(given.places) | {path for dummy, path in given.volumes} | {
        mount.path for container, dummy in given.containers for mount in container.mounts if mount.path is not None}


# -- stacks -----------------------------------------------------------------------------------------------------------------------------


def _stacks(scene: Scene, collection: Collection) -> List[Stack]:
    """What all kinds find. The same files are one Stack, whoever tells of them."""
    found: Dict[Any, Stack] = {}
    for kind in KINDS:
        if kind.usual and not scene.whole:
            continue
        for number, stack in enumerate(kind.find(scene)):
            if number >= MOST_STACKS:
                collection.leave(Left(kind.name, TOO_LARGE, 'there are more than %d of them' % MOST_STACKS, SEARCH))
                break
            key: Any = tuple(place.path for place in stack.compose) or (kind.name, stack.name, stack.base, len(found))
            found[key] = _joined(found[key], stack) if key in found else stack
    return list(found.values())


def _joined(first: Stack, second: Stack) -> Stack:
    """Two that tell of the same files. Labels know best how Compose was called."""
    labels = second if second.containers else first
    return first._replace(
        evidence='%s; %s' % (first.evidence, second.evidence) if second.evidence not in first.evidence else first.evidence,
        folder=labels.folder or first.folder, project=labels.project or first.project, env=dict(second.env, **first.env),
        env_files=labels.env_files if labels.env_files is not None else first.env_files or second.env_files,
        files=first.files + tuple(item for item in second.files if item not in first.files),
        left=first.left + tuple(item for item in second.left if item not in first.left), containers=first.containers + second.containers)


def _claimed(stacks: List[Stack], rans: Dict[str, runs.Ran]) -> List[Tuple[Stack, List[runs.Ran], Set[str]]]:
    """[(Stack, its containers, services of its project that others have)]: each container belongs to one Stack, to the one that its labels
    name."""
    free = set(rans)
    for stack in stacks:
        free.difference_update(stack.containers)
    found = []
    for stack in stacks:
        mine = list(stack.containers)
        if not mine and stack.compose:
            mine = [ident for ident in sorted(free) if stack.project and rans[ident].project == stack.project]
            free.difference_update(mine)
        others = {one.service for ident, one in rans.items() if one.project == stack.project and ident not in mine}
        found.append((stack, [rans[ident] for ident in mine if ident in rans], others))
    return found


def _take(collection: Collection, stack: Stack, containers: List[runs.Ran], others: Set[str], whole: bool) -> Tuple[
        Optional[comparison.Result], Optional[str]]:
    """Take the files of STACK -> (how it differs from its containers, None where there is nothing to compare; the name of a file that is
    made of its variables)."""
    made = None
    by = '%s %s' % (stack.kind, show(stack.name))
    for item in stack.left:
        collection.leave(item)
    for wanted in stack.files:
        collection.take(wanted.place, wanted.role, by)
    for place in stack.trees:
        collection.take_tree(place, stack.name, by)
    if not stack.compose:
        return None, None
    if stack.env and stack.kind != 'compose':
        lines = ''.join('%s=%s\n' % (name, variables.quoted(value)) for name, value in sorted(stack.env.items()) if variables.is_name(name))
        for name in sorted(stack.env):
            if not variables.is_name(name):
                collection.leave(Left(show(name)[:200], REFUSED, 'it is no name of a variable', by))
        made = collection.make('%s-%s' % (stack.kind, stack.name), lines.encode('utf-8', 'surrogateescape'), ENV_FILE, by)
    project = Reader(collection, stack).project()
    return comparison.compare(project, containers, whole, others) if containers else None, made


# -- deployment.json --------------------------------------------------------------------------------------------------------------------


def _entry(stack: Stack, containers: List[runs.Ran], found: Optional[comparison.Result], made: Optional[str]) -> Dict[str, Any]:
    """What deployment.json says of one Stack. MADE: the file of the bundle with its variables that no file of the host has."""
    return {'kind': stack.kind, 'name': show(stack.name), 'project': show(stack.project) or None, 'evidence': stack.evidence,
            'folder': show(stack.folder) or None, 'compose': [show(place.path) for place in stack.compose],
            'env_files': [show(place.path) for place in stack.env_files or ()], 'variables': made,
            'containers': [show(one.name) for one in containers], 'differences': len(found.rows) if found is not None else None}


def file_entry(taken: Taken) -> Dict[str, Any]:
    """What deployment.json says of one file, but for its size and checksum."""
    found = {'file': taken.stored, 'role': taken.role, 'confidential': taken.confidential, 'named_by': taken.named_by,
             'mode': '%04o' % taken.mark[0], 'uid': taken.mark[1], 'gid': taken.mark[2]}
    found.update(path_fields(taken.place.path))
    return found


def _fingerprint(collection: Collection, document: Dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for taken in collection.listed_files():
        digest.update(json.dumps([taken.stored, taken.role, taken.named_by, taken.mark]).encode())
    for made in collection.made:
        digest.update(made.stored.encode() + made.data)
    return digest.hexdigest()


def _problems(collection: Collection, rows: List[Dict[str, str]]) -> List['Problem']:
    found = []
    asked = [item for item in collection.left if item.kind == ON_REQUEST]
    left, total = [item for item in collection.left if item.kind != ON_REQUEST], collection.left_total - len(asked)
    if asked:
        found.append(problem(
            'DEPLOYMENT_CREDENTIALS', NAME, 'Credentials of registries, or keys of other hosts, are in %d file%s, and were not taken: %s%s.' % (
                len(asked), '' if len(asked) == 1 else 's', '; '.join(item.path for item in asked[:NAMED]),
                ' and %d more' % (len(asked) - NAMED) if len(asked) > NAMED else ''),
            'To take them too, say deployment_credentials: true.'))
    if left:
        named = '; '.join('%s (%s)' % (item.path, item.why) for item in left[:NAMED])
        more = total - NAMED
        short = any(item.kind in (UNREADABLE, TOO_LARGE, REFUSED, CLOSED, UNKNOWN) for item in left)
        found.append(problem(
            'DEPLOYMENT_INCOMPLETE', NAME, '%d file%s that labels, compose files or units name %s not taken: %s%s.' % (
                total, '' if total == 1 else 's', 'was' if total == 1 else 'were', named,
                ' and %d more' % more if more > 0 else ''),
            'deployment.json names all of them. %s' % (
                'Copy by hand what you need.' if short else 'Those that are missing on this disk may be on another one, or in a repository.')))
    if rows:
        containers = {(row['project'], row['container'] or row['service']) for row in rows}
        found.append(problem(
            'DEPLOYMENT_DIFFERS', NAME, '%d container%s ran otherwise than the original files say, in %d point%s: %s.' % (
                len(containers), '' if len(containers) == 1 else 's', len(rows), '' if len(rows) == 1 else 's', '; '.join(
                    '%s: %s' % (row['container'] or row['service'], ' '.join(word for word in (row['what'], row['name']) if word)) for row in rows[:NAMED])),
            'Read the differences in the report or in deployment.json before you start the original files: Compose would make these '
            'containers anew as the files say.'))
    return found


def summary(found: Deployment) -> Dict[str, Any]:
    """What the result of a rescue says: small."""
    document = found.document
    return {'deployments': len(document['deployments']), 'files': len(found.collection.files) + len(found.collection.made),
            'archives': len(found.collection.trees), 'compared': len(document['compared']), 'differences': document['differences'][:SHOWN],
            'differences_total': len(document['differences']), 'undecided': document['undecided'][:SHOWN],
            'undecided_total': len(document['undecided']), 'left_out': found.collection.left_total}
