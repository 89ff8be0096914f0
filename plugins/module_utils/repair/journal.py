"""The journal: what was there before each act, on the disk before the act.

    JOURNAL_DIR/journal.jsonl          one line a step, fsynced before the step is done
    JOURNAL_DIR/RUN-saved-N            the original of a file;  RUN-aside-N: a folder that was moved
    JOURNAL_DIR/RUN-records.tar        all records, before the first step
    JOURNAL_DIR/RUN-reverted.jsonl     a journal whose steps are all undone

A line about a run: begin or end; an end with `undone` says from which step on all are undone.
A line about a step: n, code, op, path, before, after (states as in objects.py), saved, old and new
(what give() needs), parent (times of the folder), to.
"""
import errno
import fcntl
import json
import os
import stat
from typing import Any, Dict, List, Optional

from ..disk.errors import LifeboatError
from ..formats import jsonish, wording

NAME = b'journal.jsonl'
VERSION = 1


class Journal(object):
    """An open journal; use as a context manager. `entries` are its lines about steps, `fd` its folder."""

    def __init__(self, path: bytes, root: bytes) -> None:
        """Open or make the journal in PATH for the data root ROOT (both resolved, absolute). LifeboatError."""
        self.path = path
        self.root = root
        self.fd = _folder(path, root)
        self.file = -1
        self.open_from: Optional[int] = None    # number of the first step of a run that did not end
        try:
            self.device = os.fstat(self.fd).st_dev
            self.run = sum(name.endswith('-reverted.jsonl') for name in os.listdir(self.fd)) + 1
            self.file = self._open()
            self.entries = self._lines()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'Journal':
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in (self.file, self.fd):
            if fd >= 0:
                os.close(fd)
        self.file = self.fd = -1

    def name(self, kind: str, number: int = 0) -> bytes:
        """Name in the folder of what belongs to a step of this run."""
        return ('%d-%s-%d' % (self.run, kind, number)).encode('ascii')

    def add(self, entry: Dict[str, Any]) -> None:
        """Append a line; it is on the disk when this returns. LifeboatError if it cannot be written: then its step must not be done."""
        raw = json.dumps(entry, sort_keys=True, separators=(',', ':')).encode('ascii') + b'\n'
        try:
            while raw:
                raw = raw[os.write(self.file, raw):]
            os.fsync(self.file)
        except OSError as exc:
            raise LifeboatError('the journal in %s cannot be written (%s). What was done before is in it; make room, and use state: reverted' % (
                wording.show(self.path), exc.strerror or exc))
        if 'n' in entry:
            self.entries.append(entry)

    def begin(self) -> None:
        """A run begins: until its end() its steps are to be undone before anything else."""
        self.open_from = len(self.entries)
        self.add({'begin': self.open_from})

    def end(self) -> None:
        """All steps of the run are done."""
        self.open_from = None
        self.add({'end': len(self.entries)})

    def end_undone(self) -> None:
        """All steps of the run that did not end are undone, and never to be undone again: the next run works on the same paths."""
        first = len(self.entries) if self.open_from is None else self.open_from
        self.open_from = None
        self.add({'end': len(self.entries), 'undone': first})
        _mark_undone(self.entries, first)

    def original(self, entry: Dict[str, Any]) -> Any:
        """The JSON that a step replaced; None if it is not there or no JSON."""
        try:
            with open(os.open(entry.get('saved', ''), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd), 'rb') as stream:
                return jsonish.loads(stream.read())
        except (OSError, ValueError):
            return None

    def retire(self) -> None:
        """All steps are undone: keep the lines under another name, so that the next run begins anew."""
        try:
            os.rename(NAME, b'%d-reverted.jsonl' % self.run, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            os.fsync(self.fd)
        except OSError as exc:
            raise LifeboatError('all steps are undone, but %s/%s cannot get another name (%s). Move it away before the next repair' % (
                wording.show(self.path), NAME.decode(), exc.strerror or exc))

    def _open(self) -> int:
        try:
            fd = os.open(NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fsync(fd)
                os.fsync(self.fd)
            except BaseException:
                os.close(fd)
                raise
        except OSError as exc:
            if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise LifeboatError('another repair works with the journal in %s; wait for it' % wording.show(self.path))
            raise LifeboatError('the journal in %s cannot be written safely (%s); nothing was done. Name another journal_dir' % (
                wording.show(self.path), exc.strerror or exc))
        return fd

    def _lines(self) -> List[Dict[str, Any]]:
        with open(os.dup(self.file), 'rb') as stream:
            stream.seek(0)
            raw = stream.read()
        whole = raw[:raw.rfind(b'\n') + 1]      # a cut line: its step was never begun
        if len(whole) < len(raw):
            os.ftruncate(self.file, len(whole))
        try:
            lines = [json.loads(line.decode('ascii')) for line in whole.splitlines()]
        except ValueError:
            raise LifeboatError('the journal %s/%s is damaged; nothing was done. RUN-saved-N beside it are the original files' % (
                wording.show(self.path), NAME.decode()))
        if not lines:
            self.add({'version': VERSION, 'root': self.root.decode('utf-8', 'surrogateescape')})
            return []
        if lines[0].get('version') != VERSION or lines[0].get('root') != self.root.decode('utf-8', 'surrogateescape'):
            raise LifeboatError('the journal in %s belongs to %s; name another journal_dir' % (
                wording.show(self.path), wording.show(lines[0].get('root', 'another program'))))
        marks = [line for line in lines if 'begin' in line or 'end' in line]
        if marks and 'begin' in marks[-1]:
            self.open_from = marks[-1]['begin']
        entries: List[Dict[str, Any]] = []
        for line in lines:
            if 'n' in line:
                entries.append(line)
            elif 'undone' in line:
                _mark_undone(entries, line['undone'])
        return entries


def _mark_undone(entries: List[Dict[str, Any]], first: int) -> None:
    for entry in entries[first:]:
        entry['undone'] = True


def default_dir(root: bytes) -> bytes:
    """Beside the data root: a folder is moved aside by a rename, which stays inside of a file system."""
    return root + b'.lifeboat-repair'


def exists(path: bytes) -> bool:
    """Whether PATH holds a journal whose steps are not undone."""
    return os.path.lexists(os.path.join(path, NAME))


def _folder(path: bytes, root: bytes) -> int:
    """Descriptor of the journal's folder, made if need be. LifeboatError where it must not be."""
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if (real + b'/').startswith(os.path.realpath(root) + b'/'):
        raise LifeboatError('journal_dir %s is below the data root; it must be outside of it' % wording.show(path))
    try:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        raise LifeboatError('journal_dir %s cannot be used (%s); nothing was done. Name another one' % (
            wording.show(path), exc.strerror or exc))
    st = os.fstat(fd)
    if st.st_uid != os.geteuid() or stat.S_IMODE(st.st_mode) & 0o022:
        os.close(fd)
        raise LifeboatError('journal_dir %s belongs to another user, or others may write to it; name another one' % wording.show(path))
    return fd
