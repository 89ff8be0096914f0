"""Does the steps of a plan, each after its line in the journal. An act that was cut short is finished before the next."""
import errno
import hashlib
import os
from typing import Any, Dict, List

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording
from . import objects, steps, whole
from .journal import Journal
from .tops import Tops


def apply(top: Tops, plan: List[steps.Step], journal: Journal) -> int:
    """Do the selected steps below TOP; returns how many were done. LifeboatError where the disk is not as the plan says."""
    journal.begin()
    done = 0
    for step in plan:
        if step.selected:
            try:
                _do(top, step, journal)
            except OSError as exc:
                raise LifeboatError('%s: %s (%s). What was done before is in the journal %s; state: reverted undoes it' % (
                    step.code, wording.show(step.path), exc.strerror or exc, wording.show(journal.path)))
            done += 1
    journal.end()
    return done


def finish(top: Tops, journal: Journal) -> None:
    """Tidy up after a run that was killed: its last act is whole or has not begun, and no temporary file is left."""
    if not journal.entries:
        return
    entry = journal.entries[-1]
    try:
        folder, name = place(top, objects.raw_of(entry['path']))
    except FileNotFoundError:
        return
    try:
        objects.remove(folder.fd, objects.temporary(name, entry['n']))
        if entry['op'] == steps.MKDIR and objects.state(folder.fd, name) == objects.DIR:
            objects.give(folder.fd, name, entry['new'], False)
    finally:
        release(folder)


def place(top: Tops, path: bytes) -> Any:
    """(open folder that holds PATH, name in it). OSError."""
    parent, dummy, name = path.rpartition(b'/')
    if name in (b'', b'.', b'..'):
        raise OSError(errno.EINVAL, 'not a path below the root')
    return top.descend(parent), name


def release(folder: safeio.Dir) -> None:
    """Close a folder that :func:`place` opened."""
    if folder.parent is not None:
        folder.close()


def _do(top: Tops, step: steps.Step, journal: Journal) -> None:
    folder, name = place(top, step.path)
    try:
        before = objects.state(folder.fd, name)
        _expect(step, before)
        entry: Dict[str, Any] = {
            'n': len(journal.entries), 'code': step.code, 'op': step.operation, 'path': objects.words(step.path),
            'before': before, 'after': _after(step), 'parent': objects.attributes(folder.fd, b'.')['times'],
            'new': _owner(folder.fd, step.mode)}
        if before not in (objects.NONE, objects.DIR):
            entry['old'] = objects.attributes(folder.fd, name)
            if not before.startswith('link:'):
                _save(folder.fd, name, journal, entry, before)
        if step.operation == steps.RENAME:
            entry['to'] = objects.words(step.data or b'')
        journal.add(entry)
        _ACTS[step.operation](top, folder.fd, name, step, entry, journal)
    finally:
        release(folder)


def _expect(step: steps.Step, before: str) -> None:
    """LifeboatError if what lies there is nothing that the step may touch."""
    folders = step.operation in (steps.RENAME, steps.ASIDE)
    if before == objects.OTHER or before == objects.DIR and not folders or before == objects.NONE and folders or \
            before != objects.NONE and step.operation in (steps.MKDIR, steps.PLACE):
        raise LifeboatError('%s is not what the plan saw; somebody works on this root. Make a new plan' % wording.show(step.path))


def _after(step: steps.Step) -> str:
    if step.operation == steps.WRITE:
        return hashlib.sha256(step.data or b'').hexdigest()
    if step.operation == steps.SYMLINK:
        return 'link:' + objects.words(step.data or b'')
    return objects.DIR if step.operation in (steps.MKDIR, steps.PLACE) else objects.NONE


def _owner(fd: int, mode: int) -> Dict[str, int]:
    """Attributes of something new: it belongs to whom its folder belongs to."""
    st = os.fstat(fd)
    return {'mode': mode, 'uid': st.st_uid, 'gid': st.st_gid}


def _save(fd: int, name: bytes, journal: Journal, entry: Dict[str, Any], before: str) -> None:
    """Copy the original into the journal's folder and read the copy once more."""
    entry['saved'] = journal.name('saved', entry['n']).decode('ascii')
    kept = entry['saved'].encode('ascii')
    with os.fdopen(objects.opened(fd, name), 'rb', buffering=0) as stream:
        objects.put_file(journal.fd, kept, stream, {'mode': 0o600, 'uid': os.geteuid(), 'gid': os.getegid()}, kept + b'.part', False)
    if objects.state(journal.fd, kept) != before:
        raise LifeboatError('%s changed while it was read; somebody works on this root' % wording.show(name))


def _write(dummy_top: Tops, fd: int, name: bytes, step: steps.Step, entry: Dict[str, Any], dummy_journal: Journal) -> None:
    known = dict(entry.get('old') or entry['new'])
    if entry['before'].startswith('link:'):
        known = entry['new']            # the attributes of a link are not those of a file
    known.pop('times', None)
    if step.attributes is not None:     # of an image: what overlay itself had noted of the old content goes with it
        kept = {one: value for one, value in known.get('xattrs', {}).items() if one == 'security.selinux'}
        known.update(step.attributes, xattrs=dict(kept, **step.attributes.get('xattrs', {})))
    objects.put_file(fd, name, step.data, known, objects.temporary(name, entry['n']), 'times' in known)
    if 'times' in known:                # the folder is the image's too
        os.utime(b'.', ns=tuple(entry['parent']), dir_fd=fd)


def _mkdir(dummy_top: Tops, fd: int, name: bytes, step: steps.Step, entry: Dict[str, Any], dummy_journal: Journal) -> None:
    os.mkdir(name, step.mode, dir_fd=fd)
    objects.give(fd, name, entry['new'], False)
    os.fsync(fd)


def _symlink(dummy_top: Tops, fd: int, name: bytes, step: steps.Step, entry: Dict[str, Any], dummy_journal: Journal) -> None:
    objects.put_link(fd, name, step.data or b'', None, objects.temporary(name, entry['n']))


def _rename(top: Tops, fd: int, name: bytes, step: steps.Step, dummy_entry: Dict[str, Any], dummy_journal: Journal) -> None:
    folder, new = place(top, step.data or b'')
    try:
        if objects.state(folder.fd, new) != objects.NONE:
            raise LifeboatError('%s is not what the plan saw; make a new plan' % wording.show(step.data))
        os.rename(name, new, src_dir_fd=fd, dst_dir_fd=folder.fd)
        os.fsync(folder.fd)
        os.fsync(fd)
    finally:
        release(folder)


def _aside(dummy_top: Tops, fd: int, name: bytes, dummy_step: steps.Step, entry: Dict[str, Any], journal: Journal) -> None:
    if entry['before'] == objects.DIR:
        os.rename(name, journal.name('aside', entry['n']), src_dir_fd=fd, dst_dir_fd=journal.fd)
        os.fsync(journal.fd)
    else:
        os.unlink(name, dir_fd=fd)
    os.fsync(fd)


def _place(dummy_top: Tops, fd: int, name: bytes, step: steps.Step, entry: Dict[str, Any], journal: Journal) -> None:
    made, like = journal.name('made', entry['n']), b''
    last = journal.entries[-2] if len(journal.entries) > 1 else {}
    if last.get('op') == steps.ASIDE and last['path'] == entry['path'] and not last.get('undone'):
        like = os.path.join(journal.path, journal.name('aside', last['n']))     # what it replaces
    whole.build(os.path.join(journal.path, made), (step.data or b'').decode('ascii'), (step.attributes or {})['donors'], like)
    os.rename(made, name, src_dir_fd=journal.fd, dst_dir_fd=fd)
    os.fsync(journal.fd)
    os.fsync(fd)


_ACTS = {steps.PLACE: _place, steps.WRITE: _write, steps.MKDIR: _mkdir, steps.SYMLINK: _symlink, steps.RENAME: _rename, steps.ASIDE: _aside}
