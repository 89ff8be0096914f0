"""Stacks of Portainer: compose/N/ of its volume, with names and variables from its database portainer.db (bbolt)."""
import posixpath
import re
from typing import Any, Dict, Iterator, List, Tuple

from ...formats import boltdb, jsonish
from ...formats.values import as_dict, as_int, as_list, as_str
from ...formats.wording import show
from ..finding import project_of
from ..model import MISSING, UNREADABLE, Kind, Left, NotTaken, Place, Scene, Stack, note

NAME = 'portainer'
DATABASE = b'portainer.db'
LARGEST = 256 << 20
VERSION, COMMIT = re.compile(rb'v[0-9]{1,9}\Z'), re.compile(rb'[0-9a-f]{40}(?:[0-9a-f]{24})?\Z')
DATA = '/data'                          # where Portainer's container has its volume


def find(scene: Scene) -> Iterator[Stack]:
    for folder in homes(scene):
        yield from _stacks(scene, folder)


def homes(scene: Scene) -> Iterator[bytes]:
    """Yield the folders of the host that hold Portainer's data: volumes and binds with its database in them."""
    seen = set()
    places = [path for dummy, path in scene.volumes]
    places += [mount.path for container in scene.containers for mount in container.mounts if mount.type == 'bind' and mount.path is not None
               and mount.destination.rstrip('/') == DATA]
    for real in places:
        folder = scene.door.disk.to_host(real)
        if folder not in seen and any(scene.door.maybe(name, folder) for name in (DATABASE, b'portainer.edb')):
            seen.add(folder)
            yield folder


def _stacks(scene: Scene, home: bytes) -> Iterator[Stack]:
    records, problem = _records(scene, home)
    known = set()
    for number, record in sorted(records.items()):
        stack = _stack(scene, home, number, record)
        known.add(number)
        yield stack._replace(left=stack.left + ((problem,) if problem is not None else ()))
    for name in scene.door.names(home + b'/compose'):
        if name.isdigit() and int(name) not in known:
            yield _stack(scene, home, int(name), {})
    if problem is not None and not records:
        yield Stack(NAME, 'portainer.db', 'the database of Portainer in %s' % show(home), left=(problem,))


def _records(scene: Scene, home: bytes) -> Tuple[Dict[int, Dict[str, Any]], Any]:
    """({ID: record of a stack}, a Left if the database cannot be read)."""
    place = scene.door.maybe(DATABASE, home)
    evidence = 'Portainer in %s' % show(home)
    if place is None:
        why = NotTaken(UNREADABLE, 'the database is encrypted; names and variables of the stacks are not known')
        return {}, note(home + b'/portainer.edb', why, evidence)
    found: Dict[int, Dict[str, Any]] = {}
    try:
        database = boltdb.open_db(scene.door.read(place, LARGEST))
        bucket = database.root.bucket(b'stacks', errors=[])
        for key, value in bucket.items([]) if bucket is not None else ():
            record = as_dict(jsonish.loads(value)) if value is not None else {}
            if len(key) == 8 and record:
                found[int.from_bytes(key, 'big')] = record
    except (NotTaken, ValueError) as exc:
        return found, note(place.path, NotTaken(UNREADABLE, str(exc)), evidence)
    if database.trouble:
        return found, note(place.path, NotTaken(UNREADABLE, 'the database is damaged: %s' % database.trouble), evidence)
    return found, None


def _stack(scene: Scene, home: bytes, number: int, record: Dict[str, Any]) -> Stack:
    """One stack. Its folder is ProjectPath as Portainer's container sees it; older versions have none."""
    folder, base = _folder(scene, home, number, record)
    entry = as_str(record.get('EntryPoint')) or as_str(record.get('entryPoint')) or _first(scene, base)
    evidence = 'stack %d in the database of Portainer' % number if record else 'compose/%d of Portainer' % number
    compose: List[Place] = []
    left: List[Left] = []
    for name in [entry] + [one for one in as_list(record.get('AdditionalFiles')) if isinstance(one, str)]:
        try:
            compose.append(scene.door.find(name, base, scene.door.find(home).real))
        except NotTaken as exc:
            left.append(note(name or base, exc if name else NotTaken(MISSING, 'there is no compose file in it'), evidence))
    env = {as_str(one.get('name')): as_str(one.get('value')) for one in map(as_dict, as_list(record.get('Env'))) if as_str(one.get('name'))}
    title = as_str(record.get('Name')) or 'stack %d' % number
    files = tuple(compose)
    beside = scene.door.beside(base, (b'stack.env', b'.env'))
    return Stack(NAME, title, evidence, folder, base, files, tuple(beside[name] for name in (b'.env', b'stack.env') if name in beside), env,
                 left=tuple(left), project=project_of(scene, files, title))


def _folder(scene: Scene, home: bytes, number: int, record: Dict[str, Any]) -> Tuple[str, bytes]:
    """(folder of a stack as Portainer sees it, on the host). Many stacks have a folder for each version: that of a repository is called after
    its commit, all others v1, v2 and so on. The record says which one is deployed."""
    path = as_str(record.get('ProjectPath'))
    inside = posixpath.normpath(path) if path.startswith(DATA + '/') else '%s/compose/%d' % (DATA, number)
    base = home + b'/' + inside[len(DATA) + 1:].encode('utf-8', 'surrogateescape')
    found = _version(scene, base, record)
    return ('%s/%s' % (inside, found.decode()), base + b'/' + found) if found else (inside, base)


def _version(scene: Scene, base: bytes, record: Dict[str, Any]) -> bytes:
    """The name of the folder of the deployed version in BASE, b'' if there is none."""
    there = [name for name in scene.door.names(base) if VERSION.match(name) or COMMIT.match(name)]
    number = as_int(record.get('StackFileVersion'))
    for said in (as_str(as_dict(record.get('GitConfig')).get('ConfigHash')), 'v%d' % (number or 0)):
        if said.encode('utf-8', 'replace') in there:
            return said.encode('ascii')
    if not there or _first(scene, base):
        return b''
    numbered = [name for name in there if VERSION.match(name)]
    # of several commits nothing tells which is the newest
    return max(numbered, key=lambda name: int(name[1:])) if numbered else there[0] if len(there) == 1 else b''


def _first(scene: Scene, base: bytes) -> str:
    from ..finding import COMPOSE_NAMES
    return next((name.decode() for name in COMPOSE_NAMES if scene.door.maybe(name, base) is not None), '')


KIND = Kind(NAME, find)
