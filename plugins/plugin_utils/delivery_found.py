"""What lies on the controller before a bundle comes: the answer to what the node asks. Every file that it speaks of is read."""
from __future__ import annotations

import os
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles.store import PROGRESS
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import text
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery_door as door
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_door import ProtocolError
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_facts import facts
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_files import (
    MARK,
    SMALL,
    Folders,
    part_names,
    partial,
)

LAYERS = f'{door.IMAGES}/{imagestore.BLOBS}'.rstrip('/')
MAX_DOCUMENT = 16 << 20                 # bytes of a JSON document: of an image, of a bundle


class Found:
    """FOLDERS: the folder of the host; IMAGES: the store.Images of it. LifeboatError for what was planted.

    `verified`: {bundle: what it is} of those that are whole. `begun`: {(bundle, file): digest} of beginnings that were told.
    """

    def __init__(self, folders: Any, images: Any) -> None:
        self._folders: Folders = folders
        self._images = images
        self._seen: dict[Any, str] = {}
        self.verified: dict[str, dict[str, Any]] = {}
        self.begun: dict[tuple[str, str], Any] = {}

    def layers(self, blobs: Any) -> dict[str, int]:
        """{digest: bytes} of those of BLOBS that are in images/ and whole."""
        found = {}
        for digest in blobs:
            plain = digest.partition(':')[2]
            if self._folders.check(f'{LAYERS}/{plain}'):
                size = self._folders.size(f'{LAYERS}/{plain}')
                if self._images.has(digest, size):
                    found[digest] = size
        return found

    def whole(self, name: str) -> dict[str, Any]:
        """What there is of a bundle that has its final name, {} for nothing: its manifest, whether it is whole, {file: SHA-256}."""
        if not self._folders.there(name):
            return {}
        try:
            info = reading.inspect_bundle(os.path.join(self._folders.path, os.fsencode(name)), True, self._seen)
        except LifeboatError:
            return {}
        bad = {item['file'] for item in info.differences}
        wanted = {file for record in reading.components(info.manifest) for file in _listed(record)}
        sums = {text(file): digest for file, digest in info.sums.items()}
        if info.status == reading.VERIFIED:
            self.verified[name] = facts(info.manifest, sums, lambda file: self._folders.size(f'{name}/{file}'))
        return {'manifest': info.manifest, 'verified': info.status == reading.VERIFIED,
                'files': {file: digest for file, digest in sums.items() if file in wanted and file not in bad}}

    def partial(self, name: str) -> dict[str, Any]:
        """What there is of a bundle at work: its progress, its whole files, and the beginnings of others."""
        top = partial(name)
        if not self._folders.there(top):
            return {}
        try:
            progress = door.document(self._folders.read(f'{top}/{os.fsdecode(PROGRESS)}', MAX_DOCUMENT), MAX_DOCUMENT)
        except (OSError, LifeboatError, ProtocolError):
            progress = {}               # cut by a full disk, or of a node that lied: all of it is read again
        progress = progress if isinstance(progress, dict) else {}
        whole = {}
        for record in progress.values():
            for file, digest in _listed(record).items():
                if self._folders.sha256(f'{top}/{file}') == digest:
                    whole[file] = digest
        parts = {}
        for inner in self._inner_folders(top):
            with self._folders.inside(f'{top}/{inner}', False) as fd:
                marks = [each for each in os.listdir(fd) if each.endswith(MARK)] if fd is not None else []
            for each in marks:
                parts.update(self._begin_again(name, inner, each))
        return {'progress': progress, 'whole': whole, 'parts': parts}

    def _inner_folders(self, top: str) -> list[str]:
        """Folders below a bundle at work, as deep as names of files may be. Links are none."""
        found, pending = [], ['']
        while pending:
            inner = pending.pop()
            found.append(inner)
            if inner.count('/') >= frames.MAX_STEPS:
                continue
            with self._folders.inside(f'{top}/{inner}', False) as fd:
                if fd is not None:
                    with os.scandir(fd) as entries:
                        pending += [f'{inner}/{entry.name}'.lstrip('/') for entry in entries if entry.is_dir(follow_symlinks=False)]
        return found

    def _begin_again(self, name: str, inner: str, marker: str) -> dict[str, Any]:
        """{relative name: [mark, bytes, SHA-256]} of the beginning of a file."""
        top = f'{partial(name)}/{inner}'.rstrip('/')
        try:
            about = door.document(self._folders.read(f'{top}/{marker}', SMALL), SMALL)
            relative = door.file_name(f'{inner}/{about["name"]}'.lstrip('/'))
            begun = os.fsdecode(part_names(os.fsencode(relative.rpartition('/')[2]))[0])
            digest = self._folders.hashed(f'{top}/{begun}')
        except (OSError, LifeboatError, ProtocolError, KeyError, TypeError):
            return {}
        self.begun[name, relative] = digest
        return {relative: [about.get('mark'), digest[1], digest[0].hexdigest()]}


def _listed(record: Any) -> dict[str, str]:
    """Files and digests that a record on this disk names; {} if the record is invalid."""
    try:
        return door.vouched(record)
    except ProtocolError:
        return {}
