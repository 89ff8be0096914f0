"""A copy of all records in the journal's folder, before the first step: whatever the engine writes later, they can be compared."""
import io
import os
import stat
import tarfile
from typing import Iterator

from ..disk.errors import LifeboatError
from . import known
from .journal import Journal
from .view import FILE, FOLDER, LINK, View

MAX_FILE = 64 * 1024 * 1024
_LOGS = (b'-json.log', b'.log')


def save(view: View, journal: Journal) -> bytes:
    """Write RUN-records.tar into the journal's folder if it is not there; returns its name. LifeboatError if there is no room."""
    name = b'%d-records.tar' % journal.run
    part = name + b'.part'
    try:
        os.stat(name, dir_fd=journal.fd, follow_symlinks=False)
        return name
    except FileNotFoundError:
        pass
    try:
        out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=journal.fd)
        with os.fdopen(out, 'wb') as stream:
            with tarfile.open(fileobj=stream, mode='w', format=tarfile.PAX_FORMAT) as tar:
                for path in paths(view):
                    _add(tar, view, path)
            stream.flush()
            os.fsync(out)
        os.rename(part, name, src_dir_fd=journal.fd, dst_dir_fd=journal.fd)
        os.fsync(journal.fd)
    except OSError as exc:
        raise LifeboatError('the records cannot be copied to the journal (%s); nothing was done. Name a journal_dir with room' % (exc.strerror or exc))
    return name


def paths(view: View) -> Iterator[bytes]:
    """Every record of the root: what a start of the engine or a repair may change. No logs, no layers, no data of volumes."""
    for ident in known.containers(view):
        for name in view.names(b'containers/' + ident):
            path = b'containers/' + ident + b'/' + name
            if view.kind(path) == FILE and not any(mark in name for mark in _LOGS):
                yield path
    for top in (b'image', b'network', b'swarm', b'plugins'):
        for path in _below(view, top):
            if not path.endswith(b'/tar-split.json.gz') and b'/rootfs/' not in path:
                yield path
    for name in view.names(b'volumes'):
        path = b'volumes/' + name
        yield from (one for one in (path, path + b'/opts.json') if view.kind(one) == FILE)
    for driver in known.DRIVERS:
        for ident in view.names(driver):
            yield from (one for one in (driver + b'/' + ident + b'/link', driver + b'/' + ident + b'/lower') if view.kind(one) == FILE)
        yield from (driver + b'/l/' + name for name in view.names(driver + b'/l'))
    for place in view.top.containerd:
        for folder in view.names(place):
            path = place + b'/' + folder
            yield from (path + b'/' + name for name in view.names(path) if name.endswith(b'.db'))
    yield from (path for path in (view.top.daemon_json,) if path and view.kind(path) == FILE)
    yield from (b'buildkit/' + name for name in view.names(b'buildkit') if name.endswith(b'.db'))


def _below(view: View, top: bytes) -> Iterator[bytes]:
    pending = [top]
    while pending:
        folder = pending.pop()
        for name in view.names(folder):
            path = folder + b'/' + name
            kind = view.kind(path)
            if kind == FOLDER:
                pending.append(path)
            elif kind in (FILE, LINK):
                yield path


def _add(tar: tarfile.TarFile, view: View, path: bytes) -> None:
    st = view.stat(path)
    if st is None or st.st_size > MAX_FILE:
        return
    item = tarfile.TarInfo(path.lstrip(b'/').decode('utf-8', 'surrogateescape'))
    item.mode, item.uid, item.gid, item.mtime = stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime
    if view.kind(path) == LINK:
        item.type, item.linkname = tarfile.SYMTYPE, (view.target(path) or b'').decode('utf-8', 'surrogateescape')
        tar.addfile(item)
        return
    data = view.read(path, MAX_FILE)
    if data is not None:
        item.size = len(data)
        tar.addfile(item, io.BytesIO(data))
