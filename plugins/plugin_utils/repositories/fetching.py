"""A bundle out of a repository: its files are written by us, never by the repository's program, and verified before they get a name.

The program prints a tar archive. What is in it is not trusted: regular files only, below the bundle's folder, through descriptors.
"""
from __future__ import annotations

import hashlib
import os
import tempfile
from typing import IO, Any, Iterable

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import place, removal, tarread
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, target
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import path_fields, show

from . import base, programs, tags as door

MOST_FILES = 100000


def choose(found: Iterable[base.Stored], wanted: door.Wanted, every: bool = False) -> list[base.Stored]:
    """Those that are WANTED; the newest of each thing, unless a bundle was named by its digest or EVERY one is wanted."""
    fitting = [item for item in found if wanted.matches(item.tags)]
    if every or 'bundle' in wanted.patterns:
        return list({item.tags.bundle: item for item in fitting}.values())
    return door.newest((item.tags.group, item) for item in fitting)


def shown(item: base.Stored) -> dict[str, Any]:
    """A bundle in a repository, for a result."""
    return dict({key: show(value) for key, value in item.tags.shown().items() if key not in ('group', 'folder')}, key=item.key, stored=item.when)


def fetch(repository: base.Repository, item: base.Stored, dest: bytes, check_mode: bool) -> dict[str, Any]:
    """Bring one bundle to DEST/HOST/FOLDER -> its path, and whether it was brought. LifeboatError; nothing is left then."""
    host, name = target.folder_name(item.tags.host), target.folder_name(item.tags.folder)
    path = os.path.join(dest, host, name)
    if os.path.lexists(path):
        if reading.inspect_bundle(path).status != reading.VERIFIED or digest(path) != item.tags.bundle:
            raise LifeboatError('%s exists and is not this bundle. Choose another dest, or move it away.' % show(path))
        return dict(path_fields(path), changed=False)
    if check_mode:
        return dict(path_fields(path), changed=True)
    top = place.open_dest(dest)
    try:
        below = place.subfolder(top, host)
    finally:
        os.close(top)
    if below is None:
        raise LifeboatError('The folder %s cannot be made.' % show(os.path.dirname(path)))
    try:
        _into(repository, item, below, name, os.path.dirname(path))
    finally:
        os.close(below)
    return dict(path_fields(path), changed=True)


def _into(repository: base.Repository, item: base.Stored, parent: int, name: bytes, shown_parent: bytes) -> None:
    """The bundle ITEM as the folder NAME of the folder PARENT (whose path is SHOWN_PARENT)."""
    partial = b'.fetched-' + os.urandom(8).hex().encode('ascii')
    folder = place.subfolder(parent, partial)
    try:
        if folder is None:
            raise LifeboatError('No folder can be made in %s.' % show(shown_parent))
        _unpack(repository, item, folder)
        path = os.path.join(shown_parent, partial)
        info = reading.inspect_bundle(path)
        if info.status != reading.VERIFIED:
            what = '; '.join('%s %s' % (reading.brief(each['file']), each['problem']) for each in info.differences[:3])
            raise LifeboatError('The bundle came back %s: %s. Check the repository.' % (info.status, what))
        if digest(path) != item.tags.bundle:
            raise LifeboatError('The repository gave another bundle than its tag says. Check the repository.')
        os.rename(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        if folder is not None:
            os.close(folder)
        removal.discard(partial, parent)


def digest(path: bytes) -> str:
    """SHA-256 of the SHA256SUMS of the bundle at PATH; it names the bundle. OSError."""
    fd = os.open(os.path.join(path, reading.SUMS), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, 'rb') as stream:
        return hashlib.sha256(stream.read(reading.MAX_SUMS + 1)).hexdigest()


def _unpack(repository: base.Repository, item: base.Stored, folder: int) -> None:
    with tempfile.TemporaryFile() as messages:
        process = repository.program.stream(repository.tar(item.key), messages)
        failure: LifeboatError | None = None
        try:
            if process.stdout is not None:
                write_files(process.stdout, folder)
        except LifeboatError as exc:
            failure = exc
        finally:
            if failure is None:
                process.wait()
            programs.end(process)
        if process.returncode > 0:
            raise base.RepositoryError('The repository %s: %s' % (repository.shown, repository.program.failed(process.returncode, messages)))
        if failure is not None:
            raise failure


def write_files(stream: IO[bytes], folder: int) -> None:
    """The members of a tar STREAM as files of the open FOLDER. LifeboatError for anything that no bundle has."""
    reader = tarread.Reader(stream, 'what the repository gave')
    for member in reader:
        if member.kind == tarread.FOLDER:
            continue
        if member.kind != tarread.FILE or member.sparse is not None or not reading.safe_name(member.name):
            raise LifeboatError('The repository gave %s, which no bundle has. Nothing of it was kept.' % tarread.shown(member.name))
        if reader.members > MOST_FILES or member.name.count(b'/') > reading.MAX_DEEP:
            raise LifeboatError('The repository gave more files than a bundle has. Nothing of it was kept.')
        above, dummy, last = member.name.rpartition(b'/')
        with place.inside(folder, above) as below:
            if below is None:
                raise LifeboatError('No folder can be made for %s.' % tarread.shown(member.name))
            try:
                fd = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=below)
                with os.fdopen(fd, 'wb') as out:
                    for piece in reader.pieces():
                        out.write(piece)
            except OSError as exc:
                raise LifeboatError('%s cannot be written: %s.' % (tarread.shown(member.name), exc.strerror)) from exc
