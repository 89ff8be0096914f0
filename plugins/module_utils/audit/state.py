# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last run found, so that trees in which nothing happened are not walked again (option `state_path`).

Making, removing or renaming a file changes its folder's times. Writing into a file does not; therefore the newest
files of each tree are looked at as well, and after FULL_EVERY runs a tree is walked whatever its folders say.
Nothing in the file is trusted: whatever does not fit leads to a walk.
"""
import base64
import hashlib
import json
import os
import stat
import struct

from ..storage import model, safeio
from . import usage as usages
from .databases import Found

VERSION = 2
FULL_EVERY = 10
BETWEEN = '//'                          # paths in one text, which JSON reads much faster than a list; no path has it inside
MAX_SIZE = 512 * 1024 * 1024


class State(object):
    """Open with :meth:`load`, ask :meth:`scan_folder` for each tree, then :meth:`save`.

    `note` is a sentence if there was a file which could not be used, else None.
    """

    def __init__(self, path, full_every=FULL_EVERY):
        self.path = path
        self.full_every = full_every
        self.note = None
        self.reused = self.walked = 0
        self._old = {}
        self._new = {}
        self._digested = None           # (table, its digest)

    @classmethod
    def load(cls, path, data_roots=(), full_every=FULL_EVERY):
        """PATH and DATA_ROOTS: bytes. LifeboatError if PATH lies in one of DATA_ROOTS: nothing is written there."""
        real = os.path.realpath(path)
        for root in data_roots:
            if real == os.path.realpath(root) or real.startswith(os.path.realpath(root) + b'/'):
                raise model.LifeboatError('state_path %s lies in the data root %s, which is only read; choose a path outside'
                                          % (model.text(path), model.text(root)))
        state = cls(path, full_every)
        try:
            state._old = _read(path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as exc:
            state.note = 'state_path %s is not used, everything is walked: %s' % (model.text(path), exc)
        return state

    def scan_folder(self, key, path, encoding=model.PLAIN, **options):
        """Like usage.scan_folder(PATH, ENCODING, **OPTIONS), or what it gave the last time. KEY: text that names the
        tree, e.g. a container's id. OPTIONS: `detector` and `limits` are left out of the comparison."""
        return self.finish(key, self.prepare(key, path, encoding, **options)())

    def prepare(self, key, path, encoding=model.PLAIN, **options):
        """A callable for parallel.run, whose value goes to :meth:`finish`."""
        table = options.get('table')
        if self._digested is None or self._digested[0] is not table:
            # once for all trees of a host: it is long
            self._digested = (table, _digest(repr(_table(table)).encode('utf-8', 'surrogateescape')))
        asked = _digest(repr((path, encoding, options.get('detector') is not None,
                              sorted((name, value) for name, value in options.items() if name in ('top_depth', 'top_count')),
                              self._digested[1])).encode('utf-8', 'surrogateescape'))
        old = self._old.get(key)
        if not isinstance(old, dict) or old.get('asked') != asked or not _is_number(old.get('age')) \
                or old['age'] + 1 >= self.full_every:
            old = None

        def job():
            now = _signature(path, old) if old is not None else None
            if now is not None and now == old.get('signature'):
                try:
                    return _usage(old['result']), None, True
                except (KeyError, TypeError, ValueError):
                    pass
            trace = usages.Trace()
            result = usages.scan_folder(path, encoding, trace=trace, **options)
            return result, _record(asked, path, result, trace) if result.complete else None, False
        return job

    def finish(self, key, done):
        result, record, reused = done
        if reused:                      # the parent has it, so the child need not send it
            record = dict(self._old[key], age=self._old[key]['age'] + 1)
        if record is not None:
            self._new[key] = record
        self.reused += reused
        self.walked += not reused
        return result

    def save(self):
        """Write what this run saw. Raises OSError."""
        raw = json.dumps({'version': VERSION, 'trees': self._new}, separators=(',', ':')).encode('ascii')
        temporary = self.path + b'.%d.tmp' % os.getpid()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, 'wb') as stream:
                stream.write(raw)       # not synced: a file that a crash cut is one more full walk
            os.rename(temporary, self.path)
        except Exception:
            os.unlink(temporary)
            raise


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _digest(raw):
    return hashlib.sha256(raw).hexdigest()


def _table(table):
    return None if table is None else [tuple(line) for line in table] if isinstance(table, tuple) else repr(type(table))


def _read(path):
    fd = safeio.openat(path)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise ValueError('it is not a regular file')
        if st.st_uid not in (0, os.geteuid()) or st.st_mode & 0o022:
            raise ValueError('others can write it')
        raw = safeio.read_all(fd, MAX_SIZE)
    finally:
        os.close(fd)
    try:
        found = json.loads(raw.decode('ascii'))
    except RecursionError:
        raise ValueError('it is nested too deeply')
    if not isinstance(found, dict) or found.get('version') != VERSION or not isinstance(found.get('trees'), dict):
        raise ValueError('it has another format')
    return found['trees']


# -- one tree ----------------------------------------------------------------------------------------------------------

def _sign(st):
    """A folder as it was: a new, removed or renamed entry shows in mtime and ctime, another inode in the rest."""
    return struct.pack('=QQQqq', st.st_dev & (1 << 64) - 1, st.st_ino, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns)


def _record(asked, path, result, trace):
    """What the state file keeps of a walk; None if the tree was being written to."""
    old = {'asked': asked, 'age': 0, 'folders': BETWEEN.join(os.fsdecode(prefix[:-1]) for prefix, dummy in trace.folders),
           'newest': BETWEEN.join(os.fsdecode(name) for dummy, name in sorted(trace.newest)), 'result': _plain(result)}
    folders = hashlib.sha256()
    for dummy, st in trace.folders:
        folders.update(_sign(st))
    now = _signature(path, old)
    if now is None or now[0] != folders.hexdigest():
        return None
    old['signature'] = now
    return old


def _signature(path, old):
    """[digest of the folders, digest of the newest files] as they are now, None if one of them is gone. Parents come
    before what is in them, so a folder that was swapped for a link is noticed before anything is looked up through it."""
    try:
        root = safeio.openat(path, flags=safeio.FLAGS | os.O_DIRECTORY)
    except OSError:
        return None
    folders, files = hashlib.sha256(), hashlib.sha256()
    lstat = os.stat
    try:
        for folder in old['folders'].split(BETWEEN):
            st = lstat(folder, dir_fd=root, follow_symlinks=False) if folder else os.fstat(root)
            if not stat.S_ISDIR(st.st_mode):
                return None
            folders.update(_sign(st))
        for name in old['newest'].split(BETWEEN) if old['newest'] else ():
            st = lstat(name, dir_fd=root, follow_symlinks=False)
            files.update(_sign(st) + struct.pack('=q', st.st_size))
        return [folders.hexdigest(), files.hexdigest()]
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    finally:
        os.close(root)


def _plain(result):
    fields = result._asdict()
    fields['databases'] = [dict(one._asdict(), path=base64.b64encode(one.path).decode('ascii')) for one in result.databases]
    return fields


def _usage(fields):
    found = [Found(**dict(one, path=base64.b64decode(one['path']))) for one in fields['databases']]
    return usages.Usage(**dict(fields, databases=found))
