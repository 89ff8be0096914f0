"""OBJECT[:PATH]: which container, volume, layer or image is meant, and its file system."""
import contextlib
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats.wording import number, raw, show as shown
from ..records import codes, model, selection

if TYPE_CHECKING:
    from ..engines.api import Root
    from ..engines.registry import Host
    from ..layers.filesystem import MountPoint, Node

CONTAINER, VOLUME, LAYER, IMAGE = 'container', 'volume', 'layer', 'image'
KINDS = (VOLUME, LAYER, IMAGE)


class Reference(NamedTuple):
    """An argument OBJECT[:PATH]. `path` is None where none was given."""
    kind: str
    name: str
    path: Optional[bytes]
    text: str


class Object(NamedTuple):
    """What a Reference means. `record`: model.Container, Volume, Image or Orphan."""
    kind: str
    name: str
    root: Any                           # engines.api.Root
    record: Any
    idmap: Any


def parse(text: str) -> Reference:
    """The Reference of an argument. LifeboatError."""
    kind, rest = CONTAINER, text
    head, colon, tail = text.partition(':')
    if colon and head in KINDS:
        kind, rest = head, tail
    if kind == IMAGE:                   # references have colons
        name, colon, path = rest.partition(':/')
        path = '/' + path
    else:
        name, colon, path = rest.partition(':')
    name = name.lstrip('/') if kind == CONTAINER else name
    if not name:
        raise LifeboatError('"%s" names no %s; give NAME[:PATH], volume:NAME[:PATH], layer:NAME[:PATH] or image:REF[:PATH]' % (
            shown(text), kind))
    return Reference(kind, name, raw(path) if colon else None, text)


def with_path(text: str) -> Reference:
    """The same where a path must be given."""
    found = parse(text)
    if found.path is None:
        raise LifeboatError('"%s" has no path; write %s:/PATH, or %s:/ for everything' % ((shown(text),) * 3))
    return found


# -- which one -----------------------------------------------------------------------------------------------------------


def find(host: 'Host', reference: Reference) -> Object:
    """The Object that REFERENCE means. LifeboatError if there is none, or more than one."""
    hits = every(host, reference)
    if len(hits) > 1:
        raise LifeboatError('%s means %s: %s. Give more of the ID, or name one data root with --data-root' % (
            shown(reference.text), number(len(hits), 'object'), ', '.join('%s in %s' % (shown(item.name), shown(item.root.path)) for item in hits[:6])))
    return hits[0]


def every(host: 'Host', reference: Reference) -> List[Object]:
    """[Object] of all that REFERENCE means, whose name may be a glob for containers. LifeboatError if there is none."""
    return {CONTAINER: _containers, VOLUME: _volumes, LAYER: _layers, IMAGE: _images}[reference.kind](host, reference.name)


def _containers(host: 'Host', name: str) -> List[Object]:
    try:
        hits = selection.containers(host, [name])
    except LifeboatError as exc:
        raise LifeboatError(_reasons(host, str(exc)))
    if len(hits) > 1:
        named = [(root, ident) for root, ident in hits if root.names().get(ident) == name]
        hits = named or [(root, ident) for root, ident in hits if ident == name] or hits
    return [_container(root, ident) for root, ident in hits]


def _container(root: 'Root', ident: str) -> Object:
    record = root.container(ident)
    return Object(CONTAINER, record.name or ident[:12], root, record, record.idmap or root.idmap)


def _reasons(host: 'Host', sentence: str) -> str:
    """SENTENCE, and why there may be nothing where nothing was found."""
    if host.roots:
        return sentence
    worst = [item for item in host.problems if item.severity == model.CRITICAL]
    return ' '.join([sentence] + ['%s %s' % (item.message, item.next_step) for item in worst[:2]]).strip()


def _volumes(host: 'Host', name: str) -> List[Object]:
    tables = [(root, root.volumes_with_users()) for root in host.roots]
    hits = [Object(VOLUME, name, root, table[name], root.idmap) for root, table in tables if name in table]
    if not hits:
        selection.by_glob('volume', [name], {each for dummy, table in tables for each in table})    # says what there is
        raise LifeboatError('No volume is called "%s"' % shown(name))
    return hits


def _layers(host: 'Host', name: str) -> List[Object]:
    try:
        return [item._replace(kind=LAYER) for item in _containers(host, name)]
    except LifeboatError:
        hits = [Object(LAYER, orphan.name, root, orphan, orphan.idmap or root.idmap) for root, orphan in host.orphans()
                if orphan.name == name or len(name) >= 4 and orphan.name.startswith(name)]
        if not hits:
            raise
        return hits


def _images(host: 'Host', name: str) -> List[Object]:
    named, found = {}, []
    digest = name[7:] if name.startswith('sha256:') else name if ':' not in name else ''
    for root in host.roots:
        for image in root.images():
            for each in image.references + (image.id,):
                named.setdefault(each, None)
            if name in image.references or name + ':latest' in image.references or \
                    len(digest) >= 4 and image.id.split(':')[-1].startswith(digest):
                found.append(Object(IMAGE, (image.references or (image.id,))[0], root, image, root.idmap))
    if not found:
        selection.by_glob('image', [name], list(named))
        raise LifeboatError('No image is called "%s"' % shown(name))
    return found


# -- its file system -----------------------------------------------------------------------------------------------------


class Opened(NamedTuple):
    """An Object with its file system. `partial`: sentences on what of it cannot be shown."""
    object: Object
    files: Any                          # filesystem.FileSystem
    view: Any                           # union.View, None for a volume
    partial: Any


def opened(host: 'Host', reference: Reference, mounts: bool = True) -> ContextManager[Opened]:
    """files_of() for a Reference to one object, which is looked for at once. LifeboatError where there is no such object."""
    return files_of(find(host, reference), mounts)


@contextlib.contextmanager
def files_of(item: Object, mounts: bool = True) -> Iterator[Opened]:
    """Yield the Opened of an Object. MOUNTS: volumes and binds of a container are at their places. A container without readable layers still
    has what was mounted into it. LifeboatError where nothing of it can be read."""
    from ..layers import filesystem
    from ..layers.union import View
    record, partial = item.record, []
    if item.kind == VOLUME:
        if not safeio.is_folder(record.path):
            raise LifeboatError(said(record.problems, 'The data of the volume %s are not on this disk.' % shown(item.name)))
        yield Opened(item, filesystem.FileSystem(filesystem.plain(record.path)), None, partial)
        return
    places = mount_points(record) if mounts and item.kind == CONTAINER else []
    try:
        layers = _image_layers(record, partial) if item.kind == IMAGE else _stack_layers(item, partial)
    except LifeboatError as exc:
        if item.kind != CONTAINER or not mounts or all(mount.path is None for mount in record.mounts):
            raise
        partial.append(str(exc))
        yield Opened(item, filesystem.FileSystem(filesystem.empty(), places), None, partial)
        return
    with View(layers) as view:
        yield Opened(item, filesystem.FileSystem(filesystem.merged(view), places), view, partial)


def said(problems: Iterable[model.Problem], otherwise: str) -> str:
    """The worst of PROBLEMS with its next step, as one text."""
    ordered = sorted(problems, key=lambda item: (model.CRITICAL, model.WARNING, model.INFO).index(item.severity))
    return ' '.join(('%s %s' % (item.message, item.next_step)).strip() for item in ordered[:3]) or otherwise


def _image_layers(image: model.Image, partial: List[str]) -> List[model.Layer]:
    """Layers of an image as a view takes them, top first."""
    layers = [model.Layer(layer.path, layer.encoding, layer.status) for layer in reversed(image.layers)]
    usable = [layer for layer in layers if layer.path and layer.status == model.COMPLETE]
    if not usable:
        raise LifeboatError(said(image.problems, 'No layer of the image lies unpacked on this disk. lifeboat rescue --images writes it '
                                 'as an archive for docker load'))
    if len(usable) < len(layers):
        partial.append('%d of %s of the image are not on this disk: their files are missing.' % (
            len(layers) - len(usable), number(len(layers), 'layer')))
    return usable


def _stack_layers(item: Object, partial: List[str]) -> List[model.Layer]:
    """Layers of a container or an orphan layer, top first; of LAYER only the writable one."""
    record, stack = item.record, item.record.stack
    if stack is None or stack.writable is None and (item.kind == LAYER or not stack.readable().image):
        raise LifeboatError(said(record.problems, 'The layers of %s are not on this disk.' % shown(item.name)))
    hiding = [problem for problem in record.problems if codes.has(problem.code, codes.HIDES) or codes.has(problem.code, codes.GUESSED)]
    if hiding:
        partial.append(said(hiding, ''))
    if item.kind == LAYER:
        return [stack.writable]
    if stack.writable is None:
        partial.append('The writable layer of %s is not on this disk: these are the files of its image.' % shown(item.name))
    elif not stack.known():
        partial.append('Layers of the image of %s are not on this disk: their files are missing.' % shown(item.name))
    return list(stack.readable().view())


def mount_points(container: model.Container) -> 'List[MountPoint]':
    """filesystem.MountPoint of each mount of a model.Container, and of the files that the engine mounts into all of them."""
    from ..layers import filesystem
    found = {}
    for place, path in container.own_files:
        if safeio.is_file(path):
            found[place] = filesystem.MountPoint(place, _opener(path, None))
    for mount in container.mounts:
        place = raw(mount.destination)
        found[place] = filesystem.MountPoint(place, *_mount(mount))
    return list(found.values())


def _mount(mount: model.Mount) -> 'Tuple[Optional[Callable[[], Node]], str]':
    """(opener or None, why its data are missing or '')."""
    if mount.path is not None:
        return _opener(mount.path, mount.subpath), ''
    if mount.type == 'tmpfs' or mount.status == model.COMPLETE:
        return None, ''                 # was in memory, or belongs to the running system
    return None, '%s, mounted at %s, is not on this disk.' % (
        'The volume %s' % shown(mount.name or '?') if mount.type == 'volume' else 'The bind %s' % shown(mount.source or '?'),
        shown(mount.destination))


def _opener(path: bytes, subpath: Optional[str]) -> 'Callable[[], Node]':
    def open_it() -> 'Node':
        from ..layers import filesystem
        node = filesystem.plain(path)
        return filesystem.below(node, raw(subpath)) if subpath else node
    return open_it


def lookup(opened_: Opened, path: Optional[bytes], follow: bool = True) -> 'Node':
    """The Node at PATH (bytes, None: the root). LifeboatError."""
    from ..layers import filesystem
    try:
        return opened_.files.lookup(path or b'/', follow)
    except OSError as exc:
        raise LifeboatError('%s: %s%s' % (shown(place(opened_, path)), filesystem.why(exc), _nearest(opened_, path)))


def _nearest(opened_: Opened, path: Optional[bytes]) -> str:
    """What there is instead of a path that is not there."""
    parts = [part for part in (path or b'').split(b'/') if part]
    from ..layers import chosen
    return '. The nearest folder that exists is %s' % shown(chosen.nearest(opened_.files, parts[:-1])) if parts else ''


def place(opened_: Opened, path: Optional[bytes]) -> bytes:
    """NAME:PATH (bytes) as a person would type it."""
    item = opened_.object
    head = item.name if item.kind == CONTAINER else '%s:%s' % (item.kind, item.name)
    return raw(head) + b':' + (path or b'/')
