"""What a rescue of one container, volume or orphan consists of: a list of items, each a stream that can be archived.

Nothing is read here but names; sizes come from :func:`archive.trees.measure`, data from the writer in `bundle`.
"""
import hashlib
import os
import re
import stat
from typing import Any, Callable, Container, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..archive import trees, write as archive
from ..disk import safeio
from ..records import codes, model
from ..records.codes import problem

MOUNT_PARTS = (('bind', 'binds'), ('volume', 'volumes'))
NAMED_MOUNTS = 5                        # of those that include leaves out
KINDS = ('config', 'writable', 'rootfs', 'image', 'volumes', 'binds', 'logs', 'secrets', 'dumps')
DEFAULT = ('config', 'writable', 'image', 'volumes', 'binds', 'logs')
# A bind of one of these is a window on the running system, not data of the container
SYSTEM = (b'/', b'/proc', b'/sys', b'/dev', b'/run', b'/var/run', b'/etc',
          b'/usr', b'/lib', b'/lib64', b'/bin', b'/sbin', b'/boot', b'/var', b'/var/lib', b'/tmp')


class Item(NamedTuple):
    """One component to write. `stem` is its file below the bundle without the suffixes of archive and compression."""
    name: str                           # writable | rootfs | volume:NAME | bind:NN | orphan
    kind: str                           # writable | rootfs | volume | bind
    stem: str
    tree: Any                           # a context manager factory, of archive.trees
    form: str
    about: Dict[str, Any]               # further fields of the component in the manifest
    status: str = model.COMPLETE        # the best that the component can reach
    shared: Optional[bytes] = None      # path of the data, for what several bundles share
    held: bool = False                  # only processes of the container still have it: written first


class Made(NamedTuple):
    """A component that whoever asked for the bundle writes, after everything else (a dump). `tree`: the data that it is made of, and
    `shared` their path, None for the writable layer: while they are the same, and `about` is, it is up to date."""
    name: str                           # dump:ENGINE-N
    kind: str                           # also the folder of its files in the bundle
    tree: Any                           # of archive.trees
    shared: Optional[bytes]
    about: str
    bytes: int                          # of the data
    # (its files: bundles.parts.Parts) -> (record for the manifest, problems); it raises nothing for a component that fails
    write: Callable[[Any], Tuple[Dict[str, Any], List[model.Problem]]]
    forecast: Callable[[], Tuple[Dict[str, Any], List[model.Problem]]]      # the same for check mode


def container_items(container: model.Container, include: Container[str],
                    kept_binds: Callable[[model.Mount], str]) -> Tuple[List[Item], List[model.Problem]]:
    """(list of Item, problems) of one container. KEPT_BINDS(mount) -> '' or why a bind is left out."""
    items, problems = [], []
    stack = container.stack
    if stack is not None and stack.writable is not None:
        seen = not hidden(container.problems)
        if 'writable' in include:
            items.append(Item('writable', 'writable', 'writable', trees.LayerTree(stack), archive.LAYER, {},
                              model.COMPLETE if seen else model.PARTIAL))
        if 'rootfs' in include:
            whole = seen and stack.known() and not any(codes.has(item.code, codes.IN_IMAGE) for item in container.problems)
            items.append(Item('rootfs', 'rootfs', 'rootfs', trees.MergedTree(stack), archive.TREE, {},
                              model.COMPLETE if whole else model.PARTIAL))
    number = 0
    seen = set()
    for mount in container.mounts:
        if mount.type == 'volume' and 'volumes' in include and mount.path is not None and mount.name not in seen:
            seen.add(mount.name)
            items.append(volume_item(mount.name or '', mount.path, mount.status, {'destination': mount.destination}))
        elif mount.type == 'bind' and 'binds' in include and mount.path is not None:
            number += 1
            why = kept_binds(mount)
            if why:
                problems.append(problem('BIND_TOO_WIDE', container.name or container.id, 'The bind %s of %s is left out: '
                                        '%s.' % (mount.source, container.name or container.id[:12], why),
                                        'Archive by hand the part of it that you need.'))
                continue
            stem = 'binds/%02d-%s' % (number, slug(mount.source or mount.destination))
            items.append(Item('bind:%02d' % number, 'bind', stem, trees.FolderTree(mount.path), archive.TREE,
                              {'source': mount.source, 'destination': mount.destination,
                               'single': not safeio.is_folder(mount.path)}, mount.status, mount.path))
    return items, problems


def not_included(container: model.Container, include: Container[str], elsewhere: Container[str] = ()) -> List[model.Problem]:
    """Problems that name the mounts whose data are on this disk and stay there, because INCLUDE leaves their kind out.
    ELSEWHERE: names of volumes that get bundles of their own."""
    found = []
    name = container.name or container.id[:12]
    for kind, part in MOUNT_PARTS:
        left = [mount for mount in _left(container, include, elsewhere) if mount.type == kind]
        if left:
            places = ', '.join('%s at %s' % (_clipped((mount.name if kind == 'volume' else mount.source) or '?'),
                                             _clipped(mount.destination)) for mount in left[:NAMED_MOUNTS])
            found.append(problem(
                'NOT_INCLUDED', container.name or container.id, 'The data of %d mount%s of %s are not in its bundle, because include has '
                'no %s: %s%s.' % (len(left), '' if len(left) == 1 else 's', name, part, places, '' if len(left) <= NAMED_MOUNTS else
                                  ' and %d more' % (len(left) - NAMED_MOUNTS)),
                'They stay on the disk of the host. Run again with %s in include to rescue them too.' % part))
    return found


def left_behind(container: model.Container, include: Container[str], elsewhere: Container[str] = ()) -> List[Tuple[str, str]]:
    """What of CONTAINER stays on the disk because INCLUDE leaves it out: [(layers | binds | volumes, name for a person)]."""
    name = container.name or container.id[:12]
    found = [(dict(MOUNT_PARTS)[mount.type], '%s: %s at %s' % (name, _clipped((mount.name if mount.type == 'volume' else mount.source)
                                                                              or '?'), _clipped(mount.destination)))
             for mount in _left(container, include, elsewhere)]
    if container.stack is not None and container.stack.writable is not None \
            and not any(part in include for part in ('writable', 'rootfs', 'image')):
        found.append(('layers', '%s: writable layer' % name))
    return found


def _left(container: model.Container, include: Container[str], elsewhere: Container[str]) -> List[model.Mount]:
    """Mounts with data that INCLUDE leaves out."""
    return [mount for mount in container.mounts for kind, part in MOUNT_PARTS
            if mount.type == kind and part not in include and mount.path is not None
            and not (kind == 'volume' and mount.name in elsewhere) and _holds_data(mount.path)]


def _holds_data(path: bytes) -> bool:
    """True for a folder or a file; False for a socket or a device of the host."""
    try:
        mode = safeio.lstat(path).st_mode
    except OSError:
        return True                     # not known to hold none
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _clipped(text: str) -> str:
    return text if len(text) <= 150 else '%s...%s' % (text[:100], text[-40:])


def hidden(problems: Iterable[model.Problem]) -> bool:
    """True if marks of layers were hidden when they were read: the result may be incomplete."""
    return any(codes.has(item.code, codes.HIDES) for item in problems)


def volume_item(name: str, path: bytes, status: str, about: Optional[Dict[str, Any]] = None) -> Item:
    fields = {'volume': name}
    fields.update(about or {})
    return Item('volume:' + name, 'volume', 'volumes/' + name, trees.FolderTree(path), archive.TREE, fields, status, path)


def orphan_items(orphan: model.Orphan, include: Container[str]) -> List[Item]:
    items = []
    seen = not hidden(orphan.problems)
    if 'writable' in include or not include:
        items.append(Item('writable', 'writable', 'writable', trees.LayerTree(orphan.stack), archive.LAYER, {},
                          model.COMPLETE if seen else model.PARTIAL))
    if 'rootfs' in include and orphan.stack.image:
        items.append(Item('rootfs', 'rootfs', 'rootfs', trees.MergedTree(orphan.stack), archive.TREE, {},
                          model.COMPLETE if seen and orphan.stack.known() else model.PARTIAL))
    return items


def slug(path: str) -> str:
    """A short file name made of a path."""
    return re.sub(r'[^A-Za-z0-9_.-]+', '-', path).strip('-.')[:60] or 'root'


def records_fingerprint(found: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(b'%s %d\0' % (name.encode(), len(found[name])) + found[name])
    return digest.hexdigest()


def log_fingerprint(container: model.Container) -> str:
    digest = hashlib.sha256()
    if container.log is not None and container.log.journal is not None:
        digest.update(container.log.journal.look()[1].encode('utf-8', 'replace'))
    for path in container.log.files if container.log is not None else ():
        try:
            st = safeio.lstat(path)
            digest.update(b'%s %d %d\n' % (os.path.basename(path), st.st_size, st.st_mtime_ns))
        except OSError:
            continue
    return digest.hexdigest()
