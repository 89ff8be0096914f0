"""The controller's end of a delivery: what the node sends becomes bundles, and nothing that it says is trusted.

Messages come as records of delivery_door. A bundle gets its name only when everything that its SHA256SUMS lists was received
or verified here, an error in one bundle does not touch another, and the result says what lies on this machine's disk.
"""
from __future__ import annotations

import os
import time
from typing import Any, Callable

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles.store import (
    PROGRESS,
    FolderBundle,
    FolderStore,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import text
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.records.codes import problem
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery_door as door
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_door import ProtocolError
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_facts import count, facts, keeps_more
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_files import Folders, Part, Whole, partial
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_found import LAYERS, MAX_DOCUMENT, Found

IMAGES = door.IMAGES
BLOBS = 'image/' + imagestore.BLOBS     # where a bundle holds layers
MANIFEST, SUMS = reading.MANIFEST.decode(), reading.SUMS.decode()
MAX_BUNDLES = 20000
MAX_OPEN = 64                           # files at a time
MAX_FILES = 500000                      # of a run
MAX_QUESTIONS = 100
SUM_LINE = 67                           # bytes that a line of SHA256SUMS has at least
NEXT_STEP = 'Complete files of it are kept, and the next run uses them.'


class Receiver:
    """Applies a stream to STORE (store.FolderStore; None where bundles stay on the host, and only progress is told).

    PREPARE is called before the first file or answer. With CHECK (check mode) nothing is written, whatever the node sends.
    After feed(): `asked` (a question to answer), `ended` (the last message), `failed` ({bundle: why}), `written`.
    """

    def __init__(self, store: FolderStore | None, prepare: Callable[[], None] | None = None, check: bool = False) -> None:
        self._store: Any = store        # only progress needs none, and asks nothing of it
        self._prepare = prepare
        self._check = check
        self._parser = frames.Parser()
        self._folders: Any = Folders(store.path) if store is not None else None
        self._bundles: dict[str, Any] = {}
        self._files: dict[int, tuple[str, str, Any]] = {}       # number: (bundle, relative name, file)
        self._highest = -1                                      # number of a file
        self._digests: dict[str, dict[str, str]] = {}           # bundle: {relative name: SHA-256}
        self._count = self._questions = 0
        self._images: Any = store.images() if store is not None else None
        self._found: Any = Found(self._folders, self._images) if store is not None else None
        self._linked: set[str] = set()                          # layers (SHA-256) in images/ that were written or verified here
        self._finished: dict[str, Any] = {}                     # bundles that ended here: what they are, None for a discarded one
        self._kept: list[model.Problem] = []
        self.asked: door.Ask | None = None
        self.ended: door.End | None = None
        self.failed: dict[str, str] = {}
        self.written: set[str] = set()  # bundles that got their final name
        self.bytes = 0

    def feed(self, data: Any) -> None:
        """Raises ProtocolError; trouble with the disk is in `failed`."""
        try:
            for number, value in self._parser.feed(data):
                if self.ended is not None:
                    raise ProtocolError('something after the end')
                if number is None:
                    self._message(door.message(value))
                else:
                    self._data(number, value)
        except frames.FrameError as exc:
            raise ProtocolError(str(exc)) from exc

    def close(self) -> None:
        """Whatever is open is kept for the next run."""
        for dummy, dummy, file in self._files.values():
            file.keep()
        self._files.clear()
        if self._folders is not None:
            self._folders.close()

    # -- the stream ----------------------------------------------------------------------------------------------------------

    def _data(self, number: int, piece: memoryview) -> None:
        self.bytes += len(piece)
        if number not in self._files:
            if number > self._highest:
                raise ProtocolError('data of a file that was not opened')
            return                      # of a bundle that failed here; the node will learn it
        name, dummy, file = self._files[number]
        try:
            file.write(piece)
        except LifeboatError as exc:
            self._fail(name, exc)

    def _message(self, record: Any) -> None:
        op = type(record).__name__.lower()
        if isinstance(record, door.End):
            self.ended = record
            return
        if self._store is None or (self._check and not isinstance(record, door.Ask)):
            raise ProtocolError(f'the message {op!r}, but no bundle is to be written here')
        if isinstance(record, door.Ask):
            self._questions += 1
            if self._questions > MAX_QUESTIONS or self.asked is not None:
                raise ProtocolError('too many questions')
            self.asked = record
            return
        if record.bundle in self._finished:
            raise ProtocolError(f'the message {op!r} about {record.bundle}, which had ended')
        if isinstance(record, door.Open):
            self._highest = max(self._highest, record.number)
        if record.bundle in self.failed:
            return
        if not isinstance(record, door.Begin) and record.bundle not in self._bundles:
            raise ProtocolError(f'{record.bundle} was not begun')
        try:
            getattr(self, '_op_' + op)(record)
        except OSError as exc:
            self._fail(record.bundle, f'{exc.strerror or exc}')
        except (LifeboatError, ValueError) as exc:
            self._fail(record.bundle, exc)

    def _fail(self, name: str, why: Any) -> None:
        self.failed[name] = wording.show(str(why))
        for number, (owner, dummy, file) in list(self._files.items()):
            if owner == name:
                file.abort()
                del self._files[number]

    def _top(self) -> None:
        """Make or open the folder of the host, and lock it. Raises LifeboatError."""
        if self._prepare is not None:
            self._prepare()
        self._folders.make()

    def _op_begin(self, record: door.Begin) -> None:
        name = record.bundle
        if name in self._bundles or len(self._bundles) >= MAX_BUNDLES:
            raise ProtocolError(f'{name} was begun twice, or too many were')
        self._top()
        self._folders.there(name)
        with self._folders.inside(partial(name), True):
            self._bundles[name] = self._store.begin(name)
        self._digests[name] = {}

    def _op_open(self, record: door.Open) -> None:
        name, relative, number = record.bundle, record.file, record.number
        self._count += 1
        if number in self._files or len(self._files) >= MAX_OPEN or self._count > MAX_FILES or any(
                (owner, other) == (name, relative) for owner, other, dummy in self._files.values()):
            raise ProtocolError(f'an open of {relative!r} that is not possible')
        inner, dummy, last = relative.rpartition('/')
        file: Any
        with self._folders.inside(f'{partial(name)}/{inner}', True) as folder:
            shown = os.path.dirname(self._bundles[name].absolute(relative))
            self._digests[name].pop(relative, None)
            if record.mark is None:
                if record.skip:
                    raise ProtocolError(f'{relative!r} begins in the middle')
                file = Whole(folder, os.fsencode(last), shown)
            else:
                begun = self._found.begun.pop((name, relative), None)
                if record.skip and (begun is None or begun[1] != record.skip):
                    raise ProtocolError(f'{relative!r} goes on where nothing is')
                file = Part(folder, os.fsencode(last), shown, record.mark, begun[0] if begun and record.skip else None, record.skip)
        self._files[number] = (name, relative, file)

    def _op_commit(self, record: door.Commit) -> None:
        owner, relative, file = self._files.get(record.number, (None, '', None))
        if file is None or owner != record.bundle:
            raise ProtocolError('a commit of nothing')
        file.commit()
        del self._files[record.number]
        self._digests[record.bundle][relative] = file.digest.hexdigest()

    def _op_abort(self, record: door.Abort) -> None:
        owner, dummy, file = self._files.get(record.number, (None, '', None))
        if file is not None and owner == record.bundle:
            file.abort()
            del self._files[record.number]

    def _op_take(self, record: door.Take) -> None:
        name, whence, target = record.bundle, record.whence, record.file
        if any((owner, other) == (name, target) for owner, other, dummy in self._files.values()):
            raise ProtocolError(f'{target!r} is taken over while it is open')
        bundle = self._bundles[name]
        self._check_target(name, target)
        if whence == IMAGES:
            self._take_blob(bundle, target, record.sha256)
        elif not self._take(bundle, whence, record):
            raise LifeboatError(f'{target} could not be taken over; run again with force: true')
        self._digests[name][target] = record.sha256

    def _take(self, bundle: FolderBundle, whence: str | None, record: door.Take) -> bool:
        holder: Any = None
        if whence is None:
            folder = partial(record.bundle)
        elif whence == 'final':
            holder, folder = bundle.final, record.bundle
        else:
            if whence in self.failed:
                raise LifeboatError(f'{record.file} was to be taken over from {whence}, which failed')
            if whence not in self._bundles:
                raise ProtocolError(f'{whence} was not begun')
            if self._digests[whence].get(record.source) != record.sha256:
                raise LifeboatError(f'{record.file} was to be taken over from {whence}, which does not have it')
            holder, folder = self._bundles[whence], whence if whence in self.written else partial(whence)
        if not self._folders.there(folder) or not self._folders.check(f'{folder}/{record.source}'):
            return False
        return bundle.take(holder, record.source, record.file, record.sha256) or (
            holder is not None and bundle.copy(holder, record.source, record.file, record.sha256))

    def _check_target(self, name: str, relative: str) -> None:
        """Have the folder of a file of a bundle at work; a foreign file there is refused."""
        inner = relative.rpartition('/')[0]
        with self._folders.inside(f'{partial(name)}/{inner}', True):
            self._folders.check(f'{partial(name)}/{relative}')

    def _take_blob(self, bundle: FolderBundle, target: str, digest: str) -> None:
        """A link where there can be one, else a copy: of the blob in images/, or of the bundle that brought it."""
        if target != BLOBS + digest:
            raise ProtocolError(f'{target!r} is no place for a layer')
        if digest in self._linked and self._folders.check(f'{LAYERS}/{digest}'):
            if bundle.adopt(self._images.blob('sha256:' + digest), target) or \
                    bundle.copy(self._images.path, imagestore.BLOBS + digest, target, digest):
                return
        for other in self._bundles.values():
            if other.name not in self.failed and self._digests[other.name].get(target) == digest:
                if other is bundle or bundle.copy(other, target, target, digest):
                    return
        raise LifeboatError(f'the layer {digest[:12]} is not there any more; run again')

    def _op_share(self, record: door.Share) -> None:
        digest = record.sha256
        if self._digests[record.bundle].get(record.file) != digest:
            raise LifeboatError(f'the layer {digest[:12]} is not what the host read')
        if digest in self._linked:
            return
        with self._folders.inside(LAYERS, True) as layers, \
                self._folders.inside(f'{partial(record.bundle)}/{BLOBS}', False) as brought:
            there = self._folders.check(f'{LAYERS}/{digest}')
            try:
                if there:
                    os.unlink(digest, dir_fd=layers)        # of an earlier run, and damaged: else it would not have been sent
                os.link(digest, digest, src_dir_fd=brought, dst_dir_fd=layers, follow_symlinks=False)
                self._linked.add(digest)
            except OSError:
                pass                    # no hard links here: bundles copy it from each other

    def _op_index(self, record: door.Index) -> None:
        raws = []
        for relative in record.documents:
            if relative not in self._digests[record.bundle]:
                raise ProtocolError('an index of nothing')
            raws.append(self._folders.read(f'{partial(record.bundle)}/{relative}', MAX_DOCUMENT))
        known = {'sha256:' + imagestore.sha256(raw) for raw in raws}
        if not all(item['digest'] in known for item in record.descriptors):
            raise ProtocolError('an index of other images')
        with self._folders.inside(LAYERS, True):
            for digest in known:
                self._folders.check(f'{LAYERS}/{digest.partition(":")[2]}')
            self._images.note(raws, list(record.descriptors))

    def _op_note(self, record: door.Note) -> None:
        """What the node read is what arrived: digests of finished components, as the node computed them."""
        known = self._digests[record.bundle]
        for file, digest in record.files.items():
            if known.get(file) != digest:
                raise LifeboatError(f'{file} differs from what was read on the host')
        self._folders.check(f'{partial(record.bundle)}/{os.fsdecode(PROGRESS)}')
        self._bundles[record.bundle].note(record.records)

    def _op_drop(self, record: door.Drop) -> None:
        """finish() keeps what SHA256SUMS lists, and nothing else."""

    def _op_discard(self, record: door.Discard) -> None:
        self._bundles[record.bundle].discard()
        self._finished[record.bundle] = None

    def _op_finish(self, record: door.Finish) -> None:
        name = record.bundle
        bundle = self._bundles[name]
        if any(owner == name for owner, dummy, dummy in self._files.values()):
            raise ProtocolError(f'{name} was finished with files open')
        sums = self._sums(name)
        bundle.drop_others([*sums, SUMS])
        manifest = self._manifest(partial(name))
        info = reading.inspect_bundle(bundle.path, False)
        if info.status != reading.UNVERIFIED:
            wrong = info.differences[0]
            raise LifeboatError(f'{wrong["file"]} {wrong["problem"]}')
        found = facts(info.manifest, sums, lambda file: self._folders.size(f'{partial(name)}/{file}'))
        aside = ''
        if self._folders.there(name) and keeps_more(self._manifest(name), manifest, found):
            aside = '.until-' + time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        if bundle.finish(aside) and aside:
            self._kept.append(problem('OLD_BUNDLE_KEPT', name, f'The bundle {name} that was there has more; it is kept as '
                                      f'{name}{aside}.', 'Compare the two before you remove one.'))
        self._finished[name] = found
        self.written.add(name)

    def _sums(self, name: str) -> dict[str, str]:
        """SHA256SUMS of a bundle at work, all of which was received or verified. Raises LifeboatError."""
        raw = self._folders.read(f'{partial(name)}/{SUMS}', MAX_DOCUMENT)
        if raw.count(b'\n') > len(raw) // SUM_LINE:
            raise LifeboatError('SHA256SUMS has invalid lines')
        listed, problems = reading.parse_sums(raw)
        known = {file: digest for file, digest in self._digests[name].items() if file != SUMS}
        wrong = [text(file) for file, digest in listed.items() if known.get(text(file)) != digest]
        if problems or wrong or MANIFEST not in {text(file) for file in listed}:
            raise LifeboatError(f'{wrong[0] if wrong else SUMS if problems else MANIFEST} is not what the host read')
        return {text(file): digest for file, digest in listed.items()}

    def _manifest(self, folder: str) -> dict[str, Any]:
        """manifest.json of a bundle (folder beside the others), {} if it has none that can be read. Raises LifeboatError."""
        try:
            found = door.document(self._folders.read(f'{folder}/{MANIFEST}', MAX_DOCUMENT), MAX_DOCUMENT)
        except (ProtocolError, OSError):
            return {}
        except LifeboatError:
            if self._folders.check(f'{folder}/{MANIFEST}'):
                raise
            return {}
        return found if isinstance(found, dict) else {}

    # -- what is there ---------------------------------------------------------------------------------------------------------

    def answer(self) -> dict[str, Any]:
        """The answer to the question `asked`, which is none any more: reads every file that it speaks about. Raises LifeboatError
        if dest cannot be made or is foreign."""
        asked, self.asked = self.asked, None
        found: dict[str, Any] = {}
        if asked is None:
            raise ValueError('nothing was asked')
        if not self._check:
            self._top()
        elif not self._folders.look():
            return {'bundles': found, 'blobs': {}}
        for name in asked.names:
            try:
                entry = self._found.whole(name)
                entry.update(self._found.partial(name))
            except LifeboatError as exc:    # planted: this bundle is not written
                self._fail(name, exc)
                continue
            if entry:
                found[name] = entry
        blobs = self._found.layers(asked.blobs)
        self._linked.update(digest.partition(':')[2] for digest in blobs)
        return {'bundles': found, 'blobs': blobs}

    # -- the result ------------------------------------------------------------------------------------------------------------

    def result(self, earlier: Any = ()) -> dict[str, Any]:
        """The module's result: of each bundle, what lies on this machine. EARLIER: bundles that were written since the task began,
        by starts of the host's process before this one, which calls them unchanged."""
        if self.ended is None:
            raise ValueError('the run has not ended')
        if self.ended.result is None:
            return {'failed': True, 'msg': self.ended.error}
        said = self.ended.result
        if self._store is None:
            for item in said['bundles']:
                if item['name'] in earlier and item['status'] != model.LOST:
                    item['changed'] = True
            count(said)
            said['changed'] = said['changed'] or bool(said.get('compose'))
            return said
        problems = list(said['problems'])
        bundles: dict[str, dict[str, Any]] = {}
        for item in said['bundles']:
            bundles.setdefault(item['name'], self._entry(item, earlier, problems))
        for name in sorted(self.written.difference(bundles)):
            bundles[name] = self._entry({'name': name, 'changed': True}, earlier, problems)
        problems += [dict(item._asdict()) for item in self._kept]
        result = {'bundles': list(bundles.values()), 'problems': problems, 'summary': dict(said['summary']), 'deployment': said.get('deployment')}
        count(result)
        return result

    def _entry(self, item: dict[str, Any], earlier: Any, problems: list[dict[str, Any]]) -> dict[str, Any]:
        """One bundle of the result. PROBLEMS: one is added for a bundle that should be here and is not."""
        name, claimed = item['name'], item.get('status')
        entry = dict({key: item.get(key) for key in ('name', 'kind', 'container', 'id', 'image')},
                     **wording.path_fields(self._store.bundle_path(name)), problems=list(item.get('problems') or ()))
        if self._check and item.get('changed') and claimed != model.LOST:
            return dict(item, **entry)          # a forecast
        if name in self.written:
            return dict(entry, **self._finished[name], changed=True)
        if name not in self.failed and not item.get('changed') and claimed != model.LOST and name in self._found.verified:
            return dict(entry, **self._found.verified[name], changed=name in earlier)
        if claimed != model.LOST or item.get('changed') or name in self.failed:
            why = self.failed.get(name) or ('it was not finished' if name in self._bundles else 'it did not arrive')
            if not any(other.get('code') == 'NOT_WRITTEN' and other.get('object') == name for other in problems):
                reason = dict(problem('NOT_WRITTEN', name, f'The bundle {name} was not written: {why.rstrip(".")}.', NEXT_STEP)._asdict())
                problems.insert(0, reason)
                entry['problems'].insert(0, reason)
        return dict(entry, status=model.LOST, changed=False, bytes=0, files=0, components=[])
