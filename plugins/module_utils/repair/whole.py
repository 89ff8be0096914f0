"""An image layer whose folder is gone, as a whole out of a donor: its tar must have the digest that names the layer."""
import contextlib
import hashlib
import os
import stat
from typing import Any, Iterator, List

from ..archive import removal, tarread, unpack
from ..disk.errors import LifeboatError
from ..formats import gunzip
from ..images import loadfile
from . import donors, known, steps
from .plan import Plan

CODES = {
    'LAYER_FOLDER': steps.Code('The folder of an image layer is gone, and no container on it can be mounted; or what is damaged in it cannot be healed '
                               'file by file: hard links, folders, links, too many bytes.',
                               'With donor: makes it anew from the same layer (diffID), if the tar of the layer has its digest. A damaged one is '
                               'moved aside.'),
}
_OPAQUE, _WHITEOUT = b'.wh..wh..opq', b'.wh.'


def plan(this: Plan, name: bytes, images: known.Images, given: List[bytes], userns: bool) -> None:
    """Plan for the driver NAME, with the donors GIVEN; the records of layers must be planned before."""
    if not given:
        return
    for chain, record in sorted(known.layers(this.view, name).items()):
        path = name + b'/' + record.cache_id
        if not record.cache_id or chain not in images.chains or this.view.kind(path + b'/diff') is not None:
            continue
        if userns or os.geteuid() != 0:
            this.leave('LAYER_FOLDER', path, 'the folder is gone, and its owners can be given only by root, outside of user namespaces',
                       'Pull the image again by its digest.')
        elif has(this, given, images.chains[chain].diff_id):
            this.place('LAYER_FOLDER', path + b'/diff', images.chains[chain].diff_id, given, 'a donor has the layer, and its tar has the digest')
        else:
            this.leave('LAYER_FOLDER', path, 'the folder is gone, and no donor has layer %s whole' % images.chains[chain].diff_id,
                       'Name another donor, or pull the image again by its digest.')


def has(this: Plan, given: List[bytes], diff_id: str) -> bool:
    """Whether one of the donors GIVEN has the layer whole, with its digest."""
    if diff_id not in this.asked:
        this.asked[diff_id] = _is_right(given, diff_id)
    return this.asked[diff_id]


def _is_right(given: List[bytes], diff_id: str) -> bool:
    """Whether a donor has the layer with its digest, in a form that can be unpacked."""
    def use(stream: Iterator[bytes]) -> bool:
        digest = hashlib.sha256()
        with contextlib.suppress(tarread.ArchiveError, gunzip.GunzipError):
            unpack.scan(loadfile.Stream(_hashed(stream, digest)), 'the layer', allow_devices=True, parents=True)
            return 'sha256:' + digest.hexdigest() == diff_id
        return False
    whole = donors.Whole(use)
    donors.search(given, diff_id, whole)
    return not whole.left


def _hashed(stream: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in stream:
        digest.update(piece)
        yield piece


def build(folder: bytes, diff_id: str, given: List[bytes], like: bytes = b'') -> None:
    """Unpack the layer DIFF_ID of a donor into FOLDER, a new folder in the journal, as overlay has it. LifeboatError if it is not right.

    LIKE: the damaged folder that it replaces. Folders that the tar does not name get their owner, mode and time from there.
    """
    silent: List[bytes] = []
    why = ['the donor has not got layer %s any more' % diff_id]

    def use(stream: Iterator[bytes]) -> bool:
        digest = hashlib.sha256()
        os.mkdir(folder, 0o755)
        try:
            made = unpack.unpack(loadfile.Stream(_hashed(stream, digest)), folder, 'the layer', allow_devices=True, owners=True, parents=True)
            silent[:] = list(made.implied) + ([] if made.root else [b''])
            if 'sha256:' + digest.hexdigest() == diff_id:
                return True
        except (tarread.ArchiveError, gunzip.GunzipError) as exc:
            why.append(str(exc).rstrip('.'))
        removal.remove(folder)
        return False
    if os.path.lexists(folder):
        removal.remove(folder)          # of a run that was killed
    whole = donors.Whole(use)
    donors.search(given, diff_id, whole)
    if whole.left:
        raise LifeboatError('%s; state: reverted undoes what was done before. Then make a new plan' % why[-1])
    if b'' in silent:
        os.chown(folder, 0, 0)
    _mark(folder)
    if like:
        _copy_attributes(like, folder, silent)
    _flush(folder)


def _copy_attributes(like: bytes, folder: bytes, paths: List[bytes]) -> None:
    """Owner, mode and time of the folders PATHS, as they are below LIKE."""
    for path in paths:
        try:
            st = os.lstat(os.path.join(like, path))
        except OSError:
            continue
        if stat.S_ISDIR(st.st_mode):
            os.chown(os.path.join(folder, path), st.st_uid, st.st_gid)
            os.chmod(os.path.join(folder, path), stat.S_IMODE(st.st_mode))
            os.utime(os.path.join(folder, path), ns=(st.st_atime_ns, st.st_mtime_ns))


def _flush(top: bytes) -> None:
    """All of it is on the disk."""
    for fd, names in removal.folders(top):
        os.fsync(fd)
        for name in names:
            if stat.S_ISREG(os.lstat(name, dir_fd=fd).st_mode):
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)


def _mark(top: bytes) -> None:
    """What a layer tar says by names, overlay says by device nodes and an attribute."""
    for fd, listed in removal.folders(top):
        marks = [name for name in map(os.fsencode, listed) if name.startswith(_WHITEOUT) and not stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode)]
        if not marks:
            continue
        st = os.fstat(fd)
        for name in marks:
            os.unlink(name, dir_fd=fd)
            if name == _OPAQUE:
                os.setxattr(fd, 'trusted.overlay.opaque', b'y')
            elif not name.startswith(b'.wh..wh.'):
                os.mknod(name[len(_WHITEOUT):], 0o020000, 0, dir_fd=fd)
        os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
