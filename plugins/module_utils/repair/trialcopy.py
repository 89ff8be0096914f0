"""A copy of the records of a data root on which an engine may be started: all that it lists, and none of the data.

Layers and volumes are empty folders there, large blobs are holes of the right size. Nothing in it would start, restart or be removed by a
start. Plugins and the state of a swarm node are left out: those programs and that cluster are not for a trial.
"""
import os
from typing import Any

from ..formats import jsonish
from . import known, records
from .view import FILE, FOLDER, LINK, MAX_DB, View

SMALL = 4 << 20                         # blobs up to this size may be manifests and configs; they are copied
_SKIPPED = (b'tar-split.json.gz',)
_SNAPSHOTTER = b'io.containerd.snapshotter.v1.'
_BLOBS = b'io.containerd.content.v1.content/blobs'


class Copy(object):
    """Writes below TARGET (bytes, a new folder of ours) what VIEW shows."""

    def __init__(self, view: View, target: bytes) -> None:
        self.view = view
        self.target = target

    def make(self) -> None:
        """Write everything. OSError where there is no room."""
        view = self.view
        for ident in known.containers(view):
            for name in view.names(b'containers/' + ident):
                if name in (b'config.v2.json', b'hostconfig.json', b'hostname', b'hosts', b'resolv.conf'):
                    self._file(b'containers/' + ident + b'/' + name, name == b'hostconfig.json')
        self._tree(b'image')
        self._file(b'network/files/local-kv.db')
        self._volumes()
        for driver in known.DRIVERS:
            self._layers(driver)
        for name in view.names(b'buildkit'):
            if name.endswith(b'.db'):
                self._file(b'buildkit/' + name)
        for place in view.top.containerd:
            self._containerd(place)

    def _volumes(self) -> None:
        self._file(b'volumes/metadata.db')
        for name in self.view.names(b'volumes'):
            folder = b'volumes/' + name
            if self.view.is_folder(folder):
                self._folder(folder)
                self._file(folder + b'/opts.json')
                if self.view.is_folder(folder + b'/_data'):
                    self._folder(folder + b'/_data')

    def _layers(self, driver: bytes) -> None:
        view = self.view
        for ident in view.names(driver):
            folder = driver + b'/' + ident
            if ident == b'l':
                self._tree(folder)
            elif view.is_folder(folder):
                self._folder(folder)
                for name in view.names(folder):
                    if name in (b'link', b'lower', b'committed'):
                        self._file(folder + b'/' + name)
                    elif name in (b'diff', b'work') and view.is_folder(folder + b'/' + name):
                        self._folder(folder + b'/' + name)

    def _containerd(self, place: bytes) -> None:
        """Whatever containerd it is: the engine of the trial starts its own, at the usual place below the root."""
        for folder in self.view.names(place):
            here, there = place + b'/' + folder, b'containerd/daemon/' + folder
            for name in self.view.names(here):
                if name.endswith(b'.db'):
                    self._file(here + b'/' + name, to=there + b'/' + name)
            if folder.startswith(_SNAPSHOTTER):
                for number in self.view.names(here + b'/snapshots'):
                    for name in (b'fs', b'work'):
                        self._folder(there + b'/snapshots/' + number + b'/' + name)
        for algorithm in self.view.names(place + b'/' + _BLOBS):
            for name in self.view.names(place + b'/' + _BLOBS + b'/' + algorithm):
                inner = _BLOBS + b'/' + algorithm + b'/' + name
                self._blob(place + b'/' + inner, b'containerd/daemon/' + inner)

    def _blob(self, path: bytes, to: bytes) -> None:
        st = self.view.stat(path)
        if st is not None and st.st_size > SMALL:
            with self._new(to) as out:
                out.truncate(st.st_size)
        else:
            self._file(path, to=to)

    def _tree(self, top: bytes) -> None:
        pending = [top]
        while pending:
            folder = pending.pop()
            for name in self.view.names(folder):
                path = folder + b'/' + name
                kind = self.view.kind(path)
                if kind == FOLDER:
                    self._folder(path)
                    pending.append(path)
                elif kind == FILE and name not in _SKIPPED:
                    self._file(path)
                elif kind == LINK and top.endswith(b'/l'):
                    os.makedirs(os.path.join(self.target, folder), 0o700, exist_ok=True)
                    os.symlink(self.view.target(path) or b'', os.path.join(self.target, path))

    def _folder(self, path: bytes) -> None:
        os.makedirs(os.path.join(self.target, path), 0o711, exist_ok=True)

    def _new(self, path: bytes) -> Any:
        os.makedirs(os.path.dirname(os.path.join(self.target, path)), 0o711, exist_ok=True)
        return open(os.path.join(self.target, path), 'xb')

    def _file(self, path: bytes, harmless: bool = False, to: bytes = b'') -> None:
        raw = self.view.read(path, MAX_DB)
        if raw is not None:
            with self._new(to or path) as out:
                out.write(_held(raw) if harmless else raw)


def _held(raw: bytes) -> bytes:
    """hostconfig.json of a container that no start starts or removes."""
    try:
        value = jsonish.loads(raw)
    except ValueError:
        return raw
    if not isinstance(value, dict):
        return raw
    return records.dump(dict(value, AutoRemove=False, RestartPolicy={'Name': 'no', 'MaximumRetryCount': 0}))
