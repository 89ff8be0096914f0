"""The node's end of a delivery: a store (see store.FolderStore) whose files are written on the controller.

Messages to the controller, all but `ask` and `end` with `bundle`:

    ask {number, names, blobs}          what lies there of these bundles and image layers? answered through the inbox
    begin; discard; finish              a bundle; whether the one before it is kept is the controller's decision
    open {number, file, mark, skip}     a file; MARK names its source, so that a cut file is resumable; the first
                                        SKIP bytes are there already
    commit {number}; abort {number}
    take {whence, source, file, sha256} take over a whole file: of the bundle's own remains (whence null), of the finished
                                        bundle that is replaced ('final'), of images/ ('images'), of another bundle of this
                                        run (its name)
    note {records}; drop {names}
    share {file, sha256}                a layer of an image that other bundles will take
    index {documents, descriptors}      an image for the index of images/: files of the bundle, entries
    end {result | error}

The answer to `ask`: {bundles: {name: {manifest, verified, files {name: sha256}, progress, whole {name: sha256},
parts {name: [mark, bytes, sha256]}}}, blobs: {digest: bytes}}; what is not there is left out.
"""
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type, Union

from ..archive.sink import ResumeMismatch, SinkError
from ..disk import fsinfo
from ..disk.errors import LifeboatError
from ..formats import wording
from . import frames, remoteimages

if TYPE_CHECKING:
    from .spool import Writer

_NAP = 0.05


class Refused(SinkError):
    """The controller could not write this bundle."""

    def __init__(self, why: str) -> None:
        self.args = (why,)
        self.errno: Optional[int] = None


def identity(path: bytes) -> List[Any]:
    """What tells another process of the same kernel that it sees the folder PATH (bytes) or something above it:
    [boot id, [[device, inode], ...]]."""
    try:
        with open('/proc/sys/kernel/random/boot_id') as found:
            boot = found.read().strip()
    except OSError:
        boot = None
    steps = []
    step = os.path.realpath(fsinfo.existing(path))
    while True:
        try:
            st = os.stat(step)
            steps.append([st.st_dev, st.st_ino])
        except OSError:
            pass
        parent = os.path.dirname(step)
        if parent == step:
            return [boot, steps]
        step = parent


class RemoteStore(object):
    """Bundles below PATH (bytes), a folder of the controller. WRITER: spool.Writer. ANSWER(number) waits for one.

    FREE: bytes that the controller has. WHERE: :func:`identity` of dest there.
    """

    def __init__(self, writer: 'Writer', path: bytes, free: int, where: Sequence[Any], answer: Callable[[int], Any]) -> None:
        self.path = path
        self.failed = {}                # bundle: why the controller could not write it
        self.writer = writer
        self._free = free
        self._where = where
        self._answer = answer
        self._known: Dict[str, Dict[str, Any]] = {}
        self.blobs: Dict[str, int] = {}  # digest: bytes, of image layers that the controller has and has verified
        self.at_work: Optional[RemoteBundle] = None  # the RemoteBundle that was begun last
        self._asked = self._opened = 0

    def lies_inside(self, folder: bytes) -> bool:
        """True if dest is FOLDER or below: only possible where both are one machine."""
        boot, steps = self._where
        if boot is None or boot != identity(folder)[0]:
            return False
        st = os.stat(folder)
        return [st.st_dev, st.st_ino] in steps

    def images(self) -> remoteimages.RemoteImages:
        return remoteimages.RemoteImages(self)

    def prepare(self) -> None:
        """The controller made its folders before the run began."""

    def lock(self) -> None:
        """The controller keeps other rescues out of its folder."""

    def free(self) -> int:
        return self._free

    def ask(self, names: Iterable[str], blobs: Iterable[str] = ()) -> None:
        """Learn what the controller has of these bundles and layers."""
        self._asked += 1
        self.writer.message({'op': 'ask', 'number': self._asked, 'names': list(names), 'blobs': list(blobs)})
        self.writer.flush()
        self._known, self.blobs = checked(self._answer(self._asked))

    def known(self, name: str) -> Dict[str, Any]:
        return self._known.get(name) or {}

    def bundle_path(self, name: str) -> bytes:
        return os.path.join(self.path, os.fsencode(name))

    def manifest(self, name: str) -> Dict[str, Any]:
        return self.known(name).get('manifest') or {}

    def verified(self, name: str) -> Optional[Dict[str, Any]]:
        return self.manifest(name) if self.known(name).get('verified') else None

    def leave(self, name: str) -> None:
        """The bundle NAME needs nothing; what lies beside it there is the controller's."""

    def begin(self, name: str) -> 'RemoteBundle':
        self.tell(name, 'begin')
        self.at_work = RemoteBundle(self, name)
        return self.at_work

    def settle(self) -> List[bytes]:
        """The controller does that by itself when all has come."""
        return []

    def tell(self, name: str, op: str, **more: Any) -> None:
        self.check(name)
        self.writer.message(dict(more, op=op, bundle=name))

    def check(self, name: str) -> None:
        if name in self.failed:
            raise Refused(self.failed[name])

    def number(self) -> int:
        self._opened += 1
        return self._opened


class RemoteBundle(object):
    scratch: Optional[bytes] = None     # no folder for temporary files: the host may have no room

    def __init__(self, store: RemoteStore, name: str) -> None:
        self.name = name
        self.final = store.bundle_path(name)
        self.path = self.final          # for messages
        self._store = store
        self._known = store.known(name)
        self._whole = dict(self._known.get('whole') or {})
        self._parts = dict(self._known.get('parts') or {})

    def progress(self) -> Dict[str, Dict[str, Any]]:
        return self._known.get('progress') or {}

    def before(self) -> Dict[str, Any]:
        return self._store.manifest(self.name)

    def before_verified(self) -> bool:
        return bool(self._known.get('verified'))

    def note(self, records: Dict[str, Any]) -> None:
        self._store.tell(self.name, 'note', records=records)

    def sink(self, relative: str, mark: Optional[str] = None) -> 'RemoteSink':
        if not frames.plain_name(relative):
            raise Refused('the file name %s has characters that are not brought to the controller; rescue it with store_on: host'
                          % wording.show(relative))
        self._whole.pop(relative, None)
        part = self._parts.pop(relative, None)
        if mark is None or part is None or part[0] != mark or not part[1]:
            part = None
        return RemoteSink(self._store, self.name, relative, mark, part)

    def write(self, relative: str, data: bytes) -> None:
        sink = self.sink(relative)
        sink.write(data)
        sink.commit()

    def take(self, holder: Any, source: str, target: str, digest: Optional[str]) -> bool:
        """Take over a whole file; False where the controller does not have it."""
        if not digest:
            return False
        if holder is None:
            whence, there = None, self._whole.get(source)
        elif isinstance(holder, bytes):
            whence, there = 'final', (self._known.get('files') or {}).get(source)
        else:
            whence, there = holder.name, None if holder.name in self._store.failed else digest
        if there != digest:
            return False
        self._store.tell(self.name, 'take', whence=whence, source=source, file=target, sha256=digest)
        return True

    def adopt(self, source: bytes, relative: str) -> bool:
        """Take over a blob of images/ (SOURCE: its path there)."""
        self._store.tell(self.name, 'take', whence='images', source=relative, file=relative,
                         sha256=os.fsdecode(os.path.basename(source)))
        return True

    def drop_others(self, wanted: Iterable[str]) -> None:
        self._store.tell(self.name, 'drop', names=list(wanted))

    def discard(self) -> None:
        self._store.tell(self.name, 'discard')

    def finish(self, dummy_keep_old: str) -> Optional[bytes]:
        """The controller compares the two bundles itself, and says which it kept."""
        self._store.tell(self.name, 'finish')
        return None


class RemoteSink(object):
    """See sink.py. PART: [mark, bytes, sha256] of the beginning that is there already."""

    def __init__(self, store: RemoteStore, bundle: str, relative: str, mark: Optional[str], part: Any) -> None:
        self._store = store
        self._bundle = bundle
        self._relative = relative
        self._number = store.number()
        self._open = True
        self._skip = part[1] if part else 0
        self._expect = part[2] if part else None
        self._digest = hashlib.sha256()
        self.bytes = 0
        store.tell(bundle, 'open', number=self._number, file=relative, mark=mark, skip=self._skip)

    def write(self, data: Union[bytes, memoryview]) -> None:
        self._store.check(self._bundle)
        view = memoryview(data)
        if self._skip:
            known = view[:self._skip]
            self._digest.update(known)
            self._skip -= len(known)
            self.bytes += len(known)
            view = view[len(known):]
            if not self._skip and self._digest.hexdigest() != self._expect:
                raise self._mismatch()
        self.bytes += len(view)
        self._store.writer.data(self._number, view)

    def commit(self) -> None:
        if self._skip:
            raise self._mismatch()
        self._store.tell(self._bundle, 'commit', number=self._number)
        self._open = False

    def abort(self) -> None:
        if self._open:
            self._open = False
            try:
                self._store.tell(self._bundle, 'abort', number=self._number)
            except Exception:           # pylint: disable=broad-except
                pass                    # the stream is broken, so nothing of it gets a final name

    def _mismatch(self) -> ResumeMismatch:
        return ResumeMismatch('%s: what the controller has of %s does not fit' % (self._bundle, self._relative))

    def __enter__(self) -> 'RemoteSink':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *dummy: object) -> None:
        if kind is None and self._open:
            self.commit()
        else:
            self.abort()


def checked(answer: Any) -> Tuple[Dict[str, Dict[str, Any]], Dict[str, int]]:
    """(bundles, blobs) of the controller's answer. Raises LifeboatError if it is invalid."""
    if not isinstance(answer, dict) or not isinstance(answer.get('bundles'), dict) or not isinstance(answer.get('blobs'), dict) \
            or not all(size.__class__ is int for size in answer['blobs'].values()) \
            or not all(_known_bundle(item) for item in answer['bundles'].values()):
        raise LifeboatError('The controller sent an invalid answer. Both ends must run the same version of the collection.')
    return answer['bundles'], answer['blobs']


def _known_bundle(value: Any) -> bool:
    """True if VALUE says of a bundle what the answer to `ask` says; what is left out is not there."""
    return isinstance(value, dict) and all(isinstance(value.get(key, {}), dict) for key in (
        'manifest', 'files', 'progress', 'whole', 'parts')) and all(
            isinstance(part, list) and len(part) == 3 and part[1].__class__ is int and part[1] >= 0
            for part in value.get('parts', {}).values())


def wait_for(look: Callable[[], Any], broken: Callable[[], Any], nap: float = _NAP) -> Any:
    """The first value of LOOK() that is not None; BROKEN() raises when there will be none."""
    while True:
        value = look()
        if value is not None:
            return value
        broken()
        time.sleep(nap)
