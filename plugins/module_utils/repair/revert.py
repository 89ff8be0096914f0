"""Undoes the steps of a journal, last first: every byte, mode, owner, time and link as it was.

A path that is neither as the step left it nor as it was before belongs to somebody who wrote since: it is left alone and named.
"""
import os
from typing import Any, Dict, List, NamedTuple

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording
from . import objects, steps
from .apply import finish, place, release
from .journal import Journal
from .tops import Tops


class Conflict(NamedTuple):
    """A path that was left, and why."""
    code: str
    path: bytes
    why: str


def revert(top: Tops, journal: Journal) -> List[Conflict]:
    """Undo all steps; [] if the root is as it was, and then the journal is retired. Can be repeated."""
    conflicts = _undo_from(top, journal, 0)
    if not conflicts:
        journal.retire()
    return conflicts


def unfinished(top: Tops, journal: Journal) -> List[Conflict]:
    """Undo the steps of a run that was cut short; those of runs that ended stay. [] if that is done, or nothing was to be done."""
    conflicts = []
    if journal.open_from is not None:
        conflicts = _undo_from(top, journal, journal.open_from)
        if not conflicts:
            journal.end_undone()
    return conflicts


def _undo_from(top: Tops, journal: Journal, first: int) -> List[Conflict]:
    finish(top, journal)
    conflicts = []
    for entry in reversed(journal.entries[first:]):
        if not entry.get('undone'):
            try:
                why = _undo_one(top, entry, journal)
            except OSError as exc:
                raise LifeboatError('%s of %s could not be undone (%s); the steps after it are undone. Make room, or mend what is in the way, and '
                                    'use state: reverted again' % (entry['code'], wording.show(objects.raw_of(entry['path'])), exc.strerror or exc))
            if why:
                conflicts.append(Conflict(entry['code'], objects.raw_of(entry['path']), why))
    return conflicts


def _undo_one(top: Tops, entry: Dict[str, Any], journal: Journal) -> str:
    """'' or why the step was not undone. OSError if the disk does not let us."""
    try:
        folder, name = place(top, objects.raw_of(entry['path']))
    except (FileNotFoundError, NotADirectoryError):
        return 'the folder that held it is gone' if entry['before'] != objects.NONE else ''     # else it is as it was before: not there
    try:
        return _undo(top, folder, name, entry, journal)
    finally:
        release(folder)


def _undo(top: Tops, folder: safeio.Dir, name: bytes, entry: Dict[str, Any], journal: Journal) -> str:
    """'' or why the step was not undone."""
    fd = folder.fd
    now = objects.state(fd, name)
    if entry['op'] == steps.RENAME:
        why = _rename_back(top, fd, name, now, entry)
    elif entry['op'] == steps.ASIDE and entry['before'] == objects.DIR:
        why = _bring_back(fd, name, now, entry, journal)
    elif entry['op'] == steps.PLACE:
        why = _take_away(fd, name, now, entry, journal)
    elif now == entry['before']:
        why = ''                        # it was never done, or is undone already
    elif now != entry['after']:
        why = 'it was changed after the repair'
    elif entry['op'] == steps.MKDIR:
        why = _rmdir(fd, name)
    else:
        why = _put_back(fd, name, entry, journal)
    if not why:
        os.utime(b'.', ns=tuple(entry['parent']), dir_fd=fd)
    return why


def _put_back(fd: int, name: bytes, entry: Dict[str, Any], journal: Journal) -> str:
    temp = objects.temporary(name, entry['n'])
    if entry['before'] == objects.NONE:
        os.unlink(name, dir_fd=fd)
        os.fsync(fd)
    elif entry['before'].startswith('link:'):
        objects.put_link(fd, name, objects.raw_of(entry['before'][5:]), entry['old'], temp)
    else:
        kept = entry['saved'].encode('ascii')
        if objects.state(journal.fd, kept) != entry['before']:
            raise LifeboatError('%s in %s is not the original any more; undoing stopped there' % (entry['saved'], wording.show(journal.path)))
        with os.fdopen(objects.opened(journal.fd, kept), 'rb', buffering=0) as stream:
            objects.put_file(fd, name, stream, entry['old'], temp, True)
    return ''


def _rmdir(fd: int, name: bytes) -> str:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError:
        return 'it holds what was made after the repair'
    os.fsync(fd)
    return ''


def _rename_back(top: Tops, fd: int, name: bytes, now: str, entry: Dict[str, Any]) -> str:
    folder, new = place(top, objects.raw_of(entry['to']))
    try:
        there = objects.state(folder.fd, new)
        if now == objects.DIR and there == objects.NONE:
            return ''
        if now != objects.NONE or there != objects.DIR:
            return 'it was changed after the repair'
        os.rename(new, name, src_dir_fd=folder.fd, dst_dir_fd=fd)
        os.fsync(folder.fd)
        os.fsync(fd)
        return ''
    finally:
        release(folder)


def _take_away(fd: int, name: bytes, now: str, entry: Dict[str, Any], journal: Journal) -> str:
    """A layer that came from a donor goes back into the journal's folder."""
    made = journal.name('made', entry['n'])
    if now == objects.NONE or objects.state(journal.fd, made) != objects.NONE:
        return ''                       # it never came to its place, or went back before: what lies there is not ours
    if now != objects.DIR:
        return 'it was changed after the repair'
    os.rename(name, made, src_dir_fd=fd, dst_dir_fd=journal.fd)
    os.fsync(journal.fd)
    os.fsync(fd)
    return ''


def _bring_back(fd: int, name: bytes, now: str, entry: Dict[str, Any], journal: Journal) -> str:
    kept = journal.name('aside', entry['n'])
    there = objects.state(journal.fd, kept)
    if now == objects.DIR and there == objects.NONE:
        return ''
    if now != objects.NONE:
        return 'a new one was made after the repair'
    if there != objects.DIR:
        return 'it is not in the journal any more'
    os.rename(kept, name, src_dir_fd=journal.fd, dst_dir_fd=fd)
    os.fsync(fd)
    return ''
