# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's end of a delivery: what the node sends becomes bundles, and nothing that it says is trusted.

A node may have been taken over. So every name is looked at before it becomes a path, a bundle gets its name only when
everything that its SHA256SUMS lists was received or verified here, and an error in one bundle does not touch another.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, removal
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import checksums
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import frames, imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.sink import SinkError, make_private
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.store import PARTIAL, PROGRESS, file_sha256
from ansible_collections.lifeboat.docker.plugins.module_utils.storage.model import LifeboatError, text

PART, MARK = '.lifeboat-part', '.lifeboat-mark'
BUNDLE_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,250}\Z')
ASIDE = re.compile(r'(\.until-\d{8}T\d{6}Z)?\Z')
DIGEST = re.compile(r'[0-9a-f]{64}\Z')
BLOB_DIGEST = re.compile(r'sha256:[0-9a-f]{64}\Z')
IMAGES = os.fsdecode(imagestore.NAME)
BLOBS = 'image/' + imagestore.BLOBS     # where a bundle holds layers
MAX_NAMES = 100000
MAX_DOCUMENT = 16 << 20                 # bytes of an image's config or manifest


class ProtocolError(Exception):
    """The node sent what no rescue sends."""


class Part:
    """A file that can be gone on with after a cut: its beginning lies beside its final name until commit()."""

    def __init__(self, folder: bytes, name: bytes, mark: str, digest: Any, size: int):
        self._final = os.path.join(folder, name)
        self._path, marker = part_paths(folder, name)
        self.digest = digest if size else hashlib.sha256()
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            with open(marker, 'w', encoding='utf-8') as target:
                json.dump({'mark': mark, 'name': os.fsdecode(name)}, target)
        except OSError as exc:
            raise SinkError(self._final, exc) from exc

    def write(self, data: Any) -> None:
        view = memoryview(data)
        self.digest.update(view)
        try:
            while view:
                view = view[os.write(self._fd, view):]
        except OSError as exc:
            raise SinkError(self._final, exc) from exc

    def commit(self) -> None:
        try:
            os.fsync(self._fd)
            os.close(self._fd)
            os.rename(self._path, self._final)
            os.unlink(part_paths(*os.path.split(self._final))[1])
        except OSError as exc:
            raise SinkError(self._final, exc) from exc

    def keep(self) -> None:
        """Close it; a later run goes on with it."""
        try:
            os.close(self._fd)
        except OSError:
            pass

    def abort(self) -> None:
        self.keep()
        for path in part_paths(*os.path.split(self._final)):
            try:
                os.unlink(path)
            except OSError:
                pass


class Whole:
    """A small file: whole or not at all."""

    def __init__(self, sink: Any):
        self._sink = sink
        self.digest = hashlib.sha256()
        self.commit = sink.commit
        self.abort = self.keep = sink.abort

    def write(self, data: Any) -> None:
        self.digest.update(data)
        self._sink.write(data)


def part_paths(folder: bytes, name: bytes) -> tuple[bytes, bytes]:
    """(beginning of the file, what it is the beginning of)."""
    short = name if len(name) <= 200 else name[:150] + hashlib.sha256(name).hexdigest()[:32].encode()
    base = os.path.join(folder, b'.' + short)
    return base + PART.encode(), base + MARK.encode()


class Receiver:
    """Applies a stream to STORE. After feed(): `asked` (a question to answer), `ended` (the last message), `failed`."""

    def __init__(self, store: Any, prepare: Any = None):
        self._store = store             # FolderStore; None where the bundles stay on the host, and only progress is told
        self._prepare = prepare         # called before the first question is answered
        self._parser = frames.Parser()
        self._bundles: dict[str, Any] = {}
        self._files: dict[int, tuple[str, bytes, Any]] = {}     # number: (bundle, relative name, file)
        self._digests: dict[str, dict[bytes, str]] = {}         # bundle: {relative name: SHA-256}
        self._begun: dict[tuple[str, str], Any] = {}            # digests of the beginnings that were told
        self._finished: set[str] = set()
        self._images: Any = store.images() if store is not None else None
        self._linked: set[str] = set()                          # layers (SHA-256) in images/ that were written or verified here
        self._seen: dict[Any, str] = {}
        self.asked: dict[str, Any] | None = None
        self.ended: dict[str, Any] | None = None
        self.failed: dict[str, str] = {}
        self.written: set[str] = set()  # bundles that got their final name
        self.bytes = 0

    def feed(self, data: Any) -> None:
        """Raises ProtocolError; trouble with the disk is in `failed`."""
        try:
            for number, value in self._parser.feed(data):
                if number is None:
                    self._message(value)
                else:
                    self._data(number, value)
        except frames.FrameError as exc:
            raise ProtocolError(str(exc)) from exc

    def close(self) -> None:
        """Whatever is open is kept for the next run."""
        for dummy, dummy, file in self._files.values():
            file.keep()
        self._files.clear()

    # -- the stream ----------------------------------------------------------------------------------------------------------

    def _data(self, number: int, piece: memoryview) -> None:
        self.bytes += len(piece)
        if number not in self._files:
            return                      # of a bundle that failed here; the node will learn it
        name, dummy, file = self._files[number]
        try:
            file.write(piece)
        except LifeboatError as exc:
            self._fail(name, exc)

    def _message(self, message: dict[str, Any]) -> None:
        op = message['op']
        if self._store is None and op != 'end':
            raise ProtocolError(f'the message {op!r}, but bundles stay on the host')
        if op == 'ask':
            names = message.get('names')
            if not isinstance(names, list) or len(names) > MAX_NAMES or not isinstance(message.get('number'), int):
                raise ProtocolError('a question about no names')
            blobs = message.get('blobs') or []
            if not isinstance(blobs, list) or len(blobs) > MAX_NAMES or not all(blob_digest(item) for item in blobs):
                raise ProtocolError('a question about no layers')
            self.asked = {'number': message['number'], 'names': [bundle_name(name) for name in names], 'blobs': blobs}
            return
        if op == 'end':
            if not isinstance(message.get('result'), dict) and not isinstance(message.get('error'), dict):
                raise ProtocolError('an end without a result')
            self.ended = message
            return
        name = bundle_name(message.get('bundle'))
        work = getattr(self, '_op_' + op, None)
        if work is None:
            raise ProtocolError(f'the message {op!r}')
        if name in self.failed:
            return
        try:
            work(name, message)
        except OSError as exc:
            self._fail(name, f'{exc.strerror or exc}')
        except (LifeboatError, ValueError) as exc:
            self._fail(name, exc)

    def _fail(self, name: str, why: Any) -> None:
        self.failed[name] = str(why)
        for number, (owner, dummy, file) in list(self._files.items()):
            if owner == name:
                file.abort()
                del self._files[number]

    def _bundle(self, name: str) -> Any:
        if name not in self._bundles:
            raise ProtocolError(f'{name} was not begun')
        return self._bundles[name]

    def _op_begin(self, name: str, dummy: Any) -> None:
        if name in self._bundles:
            raise ProtocolError(f'{name} was begun twice')
        self._bundles[name] = self._store.begin(name)
        self._digests[name] = {}

    def _op_open(self, name: str, message: dict[str, Any]) -> None:
        relative = file_name(message.get('file'))
        number, mark, skip = message.get('number'), message.get('mark'), message.get('skip')
        if not isinstance(number, int) or number in self._files or not isinstance(skip, int) or skip < 0:
            raise ProtocolError(f'an unusable open of {relative!r}')
        bundle = self._bundle(name)
        file: Any
        if mark is None:
            file = Whole(bundle.sink(os.fsdecode(relative)))
        else:
            begun = self._begun.pop((name, os.fsdecode(relative)), None)
            if skip and (begun is None or begun[1] != skip):
                raise ProtocolError(f'{relative!r} goes on where nothing is')
            folder = os.path.dirname(bundle.absolute(os.fsdecode(relative)))
            bundle.make_folder(os.fsdecode(relative))
            file = Part(folder, os.path.basename(relative), str(mark), begun[0] if skip else None, skip)
        self._files[number] = (name, relative, file)

    def _op_commit(self, name: str, message: dict[str, Any]) -> None:
        owner, relative, file = self._files.get(message.get('number', 0), (None, b'', None))
        if owner != name:
            raise ProtocolError('a commit of nothing')
        file.commit()
        del self._files[message['number']]
        self._digests[name][relative] = file.digest.hexdigest()

    def _op_abort(self, name: str, message: dict[str, Any]) -> None:
        owner, dummy, file = self._files.get(message.get('number', 0), (None, b'', None))
        if owner == name:
            file.abort()
            del self._files[message['number']]

    def _op_take(self, name: str, message: dict[str, Any]) -> None:
        source, target = file_name(message.get('source')), file_name(message.get('file'))
        whence, digest = message.get('whence'), message.get('sha256')
        if not isinstance(digest, str) or not DIGEST.match(digest):
            raise ProtocolError('a file without a digest')
        bundle = self._bundle(name)
        holder: Any = None
        if whence == IMAGES:
            self._take_blob(bundle, text(target), digest)
            self._digests[name][target] = digest
            return
        if whence == 'final':
            holder = bundle.final
        elif whence is not None:
            whence = bundle_name(whence)
            if whence in self.failed:
                raise LifeboatError(f'{text(target)} was to be taken over from {whence}, which failed')
            holder = self._bundle(whence)
        if not bundle.take(holder, os.fsdecode(source), os.fsdecode(target), digest) and not (
                holder is not None and bundle.copy(holder, os.fsdecode(source), os.fsdecode(target), digest)):
            raise LifeboatError(f'{text(target)} could not be taken over; run again with force: true')
        self._digests[name][target] = digest

    def _take_blob(self, bundle: Any, target: str, digest: str) -> None:
        """A link where there can be one, else a copy: of the blob in images/, or of the bundle that brought it."""
        if target != BLOBS + digest:
            raise ProtocolError(f'{target!r} is no place for a layer')
        if digest in self._linked:
            if bundle.adopt(self._images.blob('sha256:' + digest), target) or \
                    bundle.copy(self._images.path, imagestore.BLOBS + digest, target, digest):
                return
        for other in self._bundles.values():
            if other.name not in self.failed and self._digests[other.name].get(os.fsencode(target)) == digest:
                if other is bundle or bundle.copy(other, target, target, digest):
                    return
        raise LifeboatError(f'the layer {digest[:12]} is not there any more; run again')

    def _op_share(self, name: str, message: dict[str, Any]) -> None:
        relative, digest = file_name(message.get('file')), message.get('sha256')
        if not isinstance(digest, str) or not DIGEST.match(digest) or text(relative) != BLOBS + digest:
            raise ProtocolError('an unusable layer')
        self._bundle(name)
        if self._digests[name].get(relative) != digest:
            raise LifeboatError(f'the layer {digest[:12]} is not what the host read')
        if digest in self._linked:
            return
        target = self._images.blob('sha256:' + digest)
        make_private(os.path.dirname(target))
        try:
            if os.path.lexists(target):
                os.unlink(target)       # of an earlier run, and damaged: else it would not have been sent
            os.link(self._bundle(name).absolute(text(relative)), target, follow_symlinks=False)
            self._linked.add(digest)
        except OSError:
            pass                        # no hard links here: bundles copy it from each other

    def _op_index(self, name: str, message: dict[str, Any]) -> None:
        documents, descriptors = message.get('documents'), message.get('descriptors')
        if not isinstance(documents, list) or not isinstance(descriptors, list) or len(documents) > 10 or len(descriptors) > 1000:
            raise ProtocolError('an unusable index')
        entries = [_descriptor(item) for item in descriptors]
        raws = []
        for each in documents:
            relative = file_name(each)
            if relative not in self._digests[name]:
                raise ProtocolError('an index of nothing')
            with open(self._bundle(name).absolute(text(relative)), 'rb') as found:
                raws.append(found.read(MAX_DOCUMENT))
        known = {'sha256:' + imagestore.sha256(raw) for raw in raws}
        if not all(item['digest'] in known for item in entries):
            raise ProtocolError('an index of other images')
        self._images.note(raws, entries)

    def _op_note(self, name: str, message: dict[str, Any]) -> None:
        records = message.get('records')
        if not isinstance(records, dict):
            raise ProtocolError('records that are none')
        self._check(name, records.values())
        self._bundle(name).note(records)

    def _check(self, name: str, records: Any) -> None:
        """What the node read is what arrived: digests of finished components, as the node computed them."""
        known = self._digests[name]
        for record in records:
            for file, digest in listed(record):
                if known.get(os.fsencode(file)) != digest:
                    raise LifeboatError(f'{file} differs from what was read on the host')

    def _op_drop(self, name: str, message: dict[str, Any]) -> None:
        names = message.get('names')
        if not isinstance(names, list):
            raise ProtocolError('names that are none')
        self._bundle(name).drop_others([os.fsdecode(file_name(each)) for each in names])

    def _op_discard(self, name: str, dummy: Any) -> None:
        self._bundle(name).discard()
        self._finished.add(name)

    def _op_finish(self, name: str, message: dict[str, Any]) -> None:
        aside = message.get('aside')
        if not isinstance(aside, str) or not ASIDE.match(aside):
            raise ProtocolError('an unusable name for the older bundle')
        bundle = self._bundle(name)
        if any(owner == name for owner, dummy, dummy in self._files.values()):
            raise ProtocolError(f'{name} was finished with files open')
        with open(os.path.join(bundle.path, b'SHA256SUMS'), 'rb') as found:
            sums = dict((file, digest) for digest, file in checksums.parse(found))
        known = dict(self._digests[name])
        known.pop(b'SHA256SUMS', None)
        wrong = [file for file in sums if known.get(file) != sums[file]]
        if wrong or b'manifest.json' not in sums:
            raise LifeboatError(f'{text(wrong[0]) if wrong else "manifest.json"} is not what the host read')
        bundle.finish(aside)
        self._finished.add(name)
        self.written.add(name)

    # -- what is there ---------------------------------------------------------------------------------------------------------

    def inventory(self, names: list[str], blobs: list[str] | None = None) -> dict[str, Any]:
        """The answer to `ask`: reads every file that it speaks about. LifeboatError if dest cannot be made."""
        found = {}
        if self._prepare is not None:
            self._prepare()
        for name in names:
            entry = self._final(name)
            entry.update(self._partial(name))
            if entry:
                found[name] = entry
        return {'bundles': found, 'blobs': self._layers_here(blobs or [])}

    def _layers_here(self, blobs: list[str]) -> dict[str, int]:
        found = {}
        for digest in blobs:
            try:
                st = os.lstat(self._images.blob(digest))
            except OSError:
                continue
            if self._images.has(digest, st.st_size):
                found[digest] = st.st_size
                self._linked.add(digest.partition(':')[2])
        return found

    def _final(self, name: str) -> dict[str, Any]:
        path = self._store.bundle_path(name)
        if not os.path.isdir(path):
            return {}
        try:
            info = reading.inspect_bundle(path, True, self._seen)
        except LifeboatError:
            return {}
        bad = {item['file'] for item in info.differences}
        wanted = {file for record in info.manifest.get('components', ()) for file, dummy in listed(record)}
        return {'manifest': info.manifest, 'verified': info.status == reading.VERIFIED,
                'files': {text(file): digest for file, digest in info.sums.items()
                          if text(file) in wanted and text(file) not in bad}}

    def _partial(self, name: str) -> dict[str, Any]:
        path = os.path.join(self._store.path, os.fsencode('.' + name + PARTIAL))
        if not os.path.isdir(path):
            return {}
        try:
            with open(os.path.join(path, PROGRESS), encoding='utf-8') as found:
                progress = json.load(found)
        except (OSError, ValueError, RecursionError):
            progress = {}
        progress = progress if isinstance(progress, dict) else {}
        whole = {}
        for record in progress.values():
            for file, digest in listed(record):
                if file_sha256(os.path.join(path, os.fsencode(file))) == digest:
                    whole[file] = digest
        parts = {}
        for folder, each in removal.files_below(path):
            if each.endswith(MARK.encode()):
                parts.update(self._begin_again(name, path, os.path.join(path, folder) if folder else path, each))
        return {'progress': progress, 'whole': whole, 'parts': parts}

    def _begin_again(self, name: str, path: bytes, folder: bytes, marker: bytes) -> dict[str, Any]:
        try:
            with open(os.path.join(folder, marker), encoding='utf-8') as found:
                about = json.load(found)
            part = part_paths(folder, os.fsencode(about['name']))[0]
            digest, size = hashlib.sha256(), 0
            with open(part, 'rb') as begun:
                for piece in iter(lambda: begun.read(1 << 20), b''):
                    digest.update(piece)
                    size += len(piece)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        relative = os.fsdecode(os.path.relpath(os.path.join(folder, os.fsencode(about['name'])), path))
        self._begun[name, relative] = (digest, size)
        return {relative: [about.get('mark'), size, digest.hexdigest()]}

    # -- the result ------------------------------------------------------------------------------------------------------------

    def result(self, earlier: Any = ()) -> dict[str, Any]:
        """The module's result, corrected by what happened here. EARLIER: bundles that were written since the task began, by starts
        of the host's process before this one, which calls them unchanged."""
        if self.ended is None:
            raise ValueError('the run has not ended')
        if 'error' in self.ended:
            return dict(self.ended['error'], failed=True)
        result = self.ended['result']
        for item in result.get('bundles', ()):
            name = item.get('name')
            if name in earlier and item.get('status') != 'lost':
                item['changed'] = True
            why = self.failed.get(name)
            if why is None and item.get('changed') and name in self._bundles and name not in self._finished:
                why = 'it was not finished'
            if why is None:
                continue
            if item.get('status') != 'lost' or item.get('changed'):
                item.update(status='lost', changed=False, bytes=0, files=0, components=[])
                result['problems'].insert(0, {
                    'code': 'NOT_WRITTEN', 'severity': 'critical', 'object': name,
                    'message': f'The bundle {name} was not written: {str(why).rstrip(".")}.',
                    'next_step': 'What is whole of it is kept and taken up by the next run.'})
        count(result)
        result['changed'] = result['changed'] or bool(result.get('compose'))
        return result


def count(result: dict[str, Any]) -> None:
    """The summary again, after bundles were changed."""
    listing = result.get('bundles', [])
    result['changed'] = any(item.get('changed') for item in listing)
    statuses = [item.get('status') for item in listing]
    summary = result.setdefault('summary', {})
    summary.update({status: statuses.count(status) for status in ('complete', 'partial', 'lost', 'unsupported')})
    summary.update(bundles=len(listing), written=sum(bool(item.get('changed')) for item in listing),
                   bytes=sum(item.get('bytes') or 0 for item in listing))
    summary['problems'] = max(summary.get('problems') or 0, len(result.get('problems', ())))


def listed(record: Any) -> list[tuple[str, str]]:
    """(relative name, SHA-256) of the files that a component's record vouches for."""
    if not isinstance(record, dict):
        return []
    pairs = [(record.get('file'), record.get('sha256')), (record.get('sums'), record.get('sums_sha256'))]
    parts = record.get('parts')
    pairs += list(parts.items()) if isinstance(parts, dict) else []
    return [(str(file), digest) for file, digest in pairs if file and isinstance(digest, str) and _harmless(file)]


def bundle_name(value: Any) -> str:
    if not isinstance(value, str) or not BUNDLE_NAME.match(value) or value == IMAGES:
        raise ProtocolError(f'{str(value)[:80]!r} is no name of a bundle')
    return value


def blob_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(BLOB_DIGEST.match(value))


def _descriptor(value: Any) -> dict[str, Any]:
    """An entry of an OCI index with nothing in it but what belongs there."""
    names = value.get('annotations') if isinstance(value, dict) else None
    if not isinstance(value, dict) or not blob_digest(value.get('digest')) or not isinstance(value.get('size'), int) \
            or not isinstance(value.get('mediaType'), str) or not isinstance(names or {}, dict) \
            or not all(isinstance(item, str) for pair in (names or {}).items() for item in pair):
        raise ProtocolError('an unusable entry of an index')
    entry = {key: value[key] for key in ('mediaType', 'digest', 'size')}
    return dict(entry, annotations=names) if names else entry


def _harmless(value: Any) -> bool:
    if not isinstance(value, str) or not value or len(value) > 2000 or '\0' in value:
        return False
    steps = value.split('/')
    return len(steps) <= 6 and all(step not in ('', '.', '..') for step in steps)


def file_name(value: Any) -> bytes:
    """A relative name as a path (bytes) that stays in its bundle."""
    if not _harmless(value):
        raise ProtocolError(f'{str(value)[:80]!r} is no name of a file')
    return os.fsencode(value)
