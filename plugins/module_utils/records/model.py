"""Records of what lies on a Docker host's disk.

Immutable; paths are bytes inside the house and become text only at the roof (:func:`text`).
A *status* is always one of :data:`STATUSES` and is computed from what was found, never asserted.
This file is private to the collection.
"""
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..formats import wording
from ..formats.containerlogs import LogRecord
from ..formats.values import NOTHING

Bytes = bytes                           # the type, where a field is called bytes

COMPLETE = 'complete'
PARTIAL = 'partial'
LOST = 'lost'
UNSUPPORTED = 'unsupported'
STATUSES = (COMPLETE, PARTIAL, LOST, UNSUPPORTED)

INFO = 'info'
WARNING = 'warning'
CRITICAL = 'critical'

# How a layer's folder encodes what it hides below it (see layers.encodings).
OVERLAY = 'overlay'            # char 0/0 devices and overlay.* xattrs (overlay2, containerd overlayfs)
AUFS = 'aufs'                  # .wh.NAME files
FUSE_OVERLAYFS = 'fuse-overlayfs'  # either of the two
PLAIN = 'plain'                # a full copy: nothing is hidden
OVERLAY_USER = 'overlay-userxattr'  # overlay mounted in a user namespace: user.overlay.* instead of trusted.overlay.*


class Problem(NamedTuple):
    """One thing that a person has to know. `code` is explained in docs/codes.md."""
    code: str
    severity: str
    object: str
    message: str
    next_step: str
    loses_data: bool = False            # something of the object is missing or cannot be read
    blocks_start: bool = False          # the engine, or this container, does not start with it

    @classmethod
    def shown(cls, code: str, severity: str, obj: Any, message: Any, next_step: Any = '', loses_data: bool = False,
              blocks_start: bool = False) -> 'Problem':
        """A Problem whose texts were made with names from a disk: each of them is one harmless line (:func:`formats.wording.sentence`)."""
        return cls(code, severity, wording.show(obj), wording.sentence(message), wording.sentence(next_step), loses_data, blocks_start)


class Layer(NamedTuple):
    """One layer's folder. `path` is absolute on the managed node, None where no folder is known."""
    path: Optional[bytes]
    encoding: str
    status: str = COMPLETE
    diff_id: Optional[str] = None
    chain_id: Optional[str] = None
    cache_id: Optional[str] = None      # the store's own name for the folder
    tar_split: Optional[bytes] = None   # where the record of its archive's exact form is, if there is one


class Stack(NamedTuple):
    """The layers of one container, top first. `init` and every image layer are read-only."""
    writable: Optional[Layer]
    init: Optional[Layer]
    image: Tuple[Layer, ...]
    work: Optional[bytes] = None
    merged: Optional[bytes] = None
    copied_init: bool = False           # legacy overlay: the writable layer began as a copy of the init layer

    def view(self) -> Tuple[Layer, ...]:
        """Layers of the merged file system, top first."""
        top = (self.writable,) if self.writable is not None else ()
        return top + (self.image if self.copied_init else self.base())

    def base(self) -> Tuple[Layer, ...]:
        """Every read-only layer, top first: what `docker diff` compares the merged file system with."""
        return ((self.init,) if self.init is not None else ()) + self.image

    def readable(self) -> 'Stack':
        """The same without layers that are lost: what a view can be made of."""
        return self._replace(image=tuple(layer for layer in self.image if layer.path and layer.status == COMPLETE))

    def known(self) -> bool:
        """True if every layer has a folder."""
        return self.writable is not None and all(layer.path and layer.status == COMPLETE for layer in self.view())


class Mount(NamedTuple):
    """One mount of a container. `path` is where the data lie on the managed node, None if not on this disk."""
    type: str                           # volume | bind | tmpfs | image | cluster | npipe
    name: Optional[str]                 # of the volume or of the image; None for other types
    source: Optional[str]               # as recorded
    path: Optional[bytes]
    destination: str
    rw: bool
    driver: Optional[str]
    anonymous: bool
    status: str
    mode: str = ''
    propagation: str = ''
    subpath: Optional[str] = None


Unpack = Callable[[List[Tuple[bytes, int]]], List[Optional[bytes]]]


class Journal(NamedTuple):
    """A log that is among the entries of all others in the journal of the host.

    LOOK() -> (how many entries the index of the journal has, a text that changes with them). READ(unpack, keep, problems) yields its
    containerlogs.LogRecords, oldest first: UNPACK as archive.compress.unpack_frames() is it, KEEP(bytes) gets each entry in the export format
    of journalctl, and to PROBLEMS is added at the end what is missing or doubtful."""
    look: Callable[[], Tuple[int, str]]
    read: Callable[[Unpack, Optional[Callable[[bytes], Any]], List[Problem]], Iterator[LogRecord]]


class Log(NamedTuple):
    """A container's log files, oldest first; None/empty where the driver keeps nothing under the data root."""
    driver: str
    files: Tuple[bytes, ...]
    bytes: int
    max_size: Optional[str]
    form: str = 'json'                  # how its files are written: json | local | cri (see formats.containerlogs)
    journal: Optional[Journal] = None   # instead of files

    @property
    def there(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.files) or self.journal is not None


class Pod(NamedTuple):
    """Containers that share namespaces. `uid`: of Kubernetes, else None."""
    id: str
    name: Optional[str]
    namespace: Optional[str]
    uid: Optional[str]
    labels: Dict[str, str] = NOTHING


class Secret(NamedTuple):
    """A secret of the engine that a container was given. Its value is in no record: READ() gives it, or raises OSError."""
    name: str
    target: str                         # its path in the container, or the name of the variable
    is_variable: bool
    path: Optional[bytes]               # of the file that has the value
    changed: str                        # when that was written, '' if there is none
    why: str                            # why there is no value on this disk, else ''
    read: Callable[[], bytes]
    driver: str = ''                    # what keeps the value
    options: Dict[str, str] = NOTHING   # of the driver
    labels: Dict[str, str] = NOTHING


class Container(NamedTuple):
    """A container as the fallback chains found it. `sources` says for each fact which source answered."""
    id: str
    name: Optional[str]                 # without the leading slash
    created: Optional[str]
    image_id: Optional[str]
    image_reference: Optional[str]
    labels: Dict[str, str]
    state: Dict[str, Any]               # status, running, exit_code, dead, started_at, finished_at, ...
    root: bytes                         # the effective data root
    folder: Optional[bytes]             # <root>/containers/<id>
    store: str                          # graphdriver | containerd | containers-storage
    driver: Optional[str]
    status: str
    problems: Tuple[Problem, ...]
    stack: Optional[Stack]
    mounts: Tuple[Mount, ...]
    log: Optional[Log]
    definition: Any                     # definition.Definition
    records: Mapping[str, Bytes]        # the engine's own files, by name; read when they are first asked for
    sources: Dict[str, str]
    idmap: Any = None                   # layers.idmap.IdMap or None
    own_files: Tuple[Tuple[Bytes, Bytes], ...] = ()     # (place in the container, path) of files that the engine mounts into it
    pod: Optional[Pod] = None


class ImageLayer(NamedTuple):
    """A layer of an image, bottom first in :class:`Image`."""
    diff_id: Optional[str]
    chain_id: Optional[str]
    cache_id: Optional[str]
    path: Optional[bytes]
    bytes: Optional[int]
    status: str
    encoding: str = OVERLAY
    tar_split: Optional[Bytes] = None   # path of tar-split.json.gz
    blob: Optional[Bytes] = None        # path of the compressed blob in containerd's content store
    blob_digest: Optional[str] = None
    media_type: Optional[str] = None


class Image(NamedTuple):
    id: str                             # sha256:...; what `docker images --no-trunc` prints
    references: Tuple[str, ...]
    created: Optional[str]
    architecture: Optional[str]
    os: Optional[str]
    status: str
    layers: Tuple[ImageLayer, ...]
    config: Dict[str, Any]
    config_raw: Optional[bytes]         # exact bytes of the image config, None when lost
    store: str
    root: bytes
    driver: Optional[str]
    problems: Tuple[Problem, ...] = ()
    variant: Optional[str] = None
    config_digest: Optional[str] = None  # sha256:... of config_raw; equals id on the graphdriver store
    blobs: Optional[Bytes] = None       # folder with the image's documents as they were pulled, named by SHA-256; None: there is none


class Volume(NamedTuple):
    name: str
    path: Optional[bytes]               # the folder whose content is the volume, None if not on this disk
    driver: str
    options: Dict[str, str]
    labels: Dict[str, str]
    anonymous: bool
    used_by: Tuple[str, ...]            # container ids
    status: str
    root: bytes
    problems: Tuple[Problem, ...] = ()
    idmap: Any = None


class Orphan(NamedTuple):
    """A writable layer that no container owns."""
    path: bytes
    stack: Stack
    image_id: Optional[str]
    image_reference: Optional[str]
    root: bytes
    store: str
    driver: str
    name: str                           # mount id or snapshot key
    owner_hint: Optional[str] = None    # container id from layerdb/mounts when only its folder is gone
    idmap: Any = None
    problems: Tuple[Problem, ...] = ()


class Resolution(NamedTuple):
    """What a store says of one container's layers. `sources`: fact -> the source that told it."""
    stack: Optional[Stack]
    status: str
    problems: Tuple[Problem, ...]
    sources: Dict[str, str]


def worst(statuses: Iterable[str]) -> str:
    """The status of a whole from those of its parts: one part that is not whole makes it partial."""
    found = set(statuses)
    if not found or found == {COMPLETE}:
        return COMPLETE
    if len(found) == 1:
        return found.pop()
    return PARTIAL
