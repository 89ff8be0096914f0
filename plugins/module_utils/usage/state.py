"""What the last run found, so that trees in which nothing happened are not walked again (option `state_path`).

Making, removing or renaming a file changes its folder's times. Writing into a file does not; therefore the newest
files of each tree are looked at as well, and after FULL_EVERY runs a tree is walked whatever its folders say.
Nothing in the file is trusted: whatever does not fit leads to a walk.
"""
import base64
import functools
import hashlib
import json
import os
import stat
import struct
import tempfile
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from ..databases.detector import Found
from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording
from ..records import model
from . import parallel, walk as usages

VERSION = 3
FULL_EVERY = 10
BETWEEN = '//'                          # paths in one text, which JSON reads much faster than a list; no path has it inside
MAX_SIZE = 512 * 1024 * 1024


class State(object):
    """Open with :meth:`load`; then for each tree ask :meth:`remembered`, call :meth:`walk` for the rest and give its
    result to :meth:`keep`; then :meth:`save`.

    `note` is a sentence if there was a file which could not be used, else None.
    """

    def __init__(self, path: bytes, full_every: int = FULL_EVERY) -> None:
        self.path = path
        self.full_every = full_every
        self.note: Optional[str] = None
        self.reused = self.walked = 0
        self._run = 0                   # number of the last one
        self._old: Dict[str, Dict[str, Any]] = {}
        self._new: Dict[str, Dict[str, Any]] = {}
        self._raw = b''                 # _old as it was read
        self._digested: Optional[Tuple[Any, str]] = None        # (table, its digest)
        self._looking: Optional[Tuple[List[str], parallel.Jobs]] = None     # (keys, parallel.Jobs)
        self._unchanged: Optional[Set[str]] = None      # keys of trees that are as they were

    @classmethod
    def load(cls, path: bytes, data_roots: Sequence[bytes] = (), full_every: int = FULL_EVERY) -> 'State':
        """PATH and DATA_ROOTS: bytes. LifeboatError if PATH lies in one of DATA_ROOTS: nothing is written there."""
        real = os.path.realpath(path)
        for root in data_roots:
            if real == os.path.realpath(root) or real.startswith(os.path.realpath(root) + b'/'):
                raise LifeboatError('state_path %s lies in the data root %s, which is only read; choose a path outside'
                                    % (wording.text(path), wording.text(root)))
        state = cls(path, full_every)
        try:
            state._run, state._old, state._raw = _read(path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as exc:
            state.note = 'state_path %s is not used, everything is walked: %s' % (wording.text(path), exc)
        return state

    def look(self, keys: Optional[Iterable[str]] = None, workers: Optional[int] = None) -> None:
        """Begin to look whether the trees of the last run (only those of KEYS, if given) are as they were: in other processes,
        until the result is asked for. Idempotent."""
        if self._looking is None:
            keys = [key for key in (self._old if keys is None else keys) if self._may_be_used(key)]
            self._looking = keys, parallel.Jobs([functools.partial(_is_unchanged, self._old[key]) for key in keys],
                                                parallel.processors() - 1 if workers is None else workers)

    def remembered(self, key: str, path: bytes, encoding: str = model.PLAIN, **options: Any) -> Optional[usages.Usage]:
        """What usage.scan_folder(PATH, ENCODING, **OPTIONS) gave the last time, None if it has to be walked. KEY: text that
        names the tree, e.g. a container's id. OPTIONS: of `detector` only whether there is one is compared, of `limits` nothing."""
        self.look()
        if self._unchanged is None and self._looking is not None:
            keys, asked = self._looking
            # what cannot be told is walked
            self._unchanged = {each for each, (same, dummy) in zip(keys, asked.results()) if same}
        old = self._old.get(key)
        # another place by the same name is another tree
        if old is None or key not in (self._unchanged or ()) or old.get('path') != os.fsdecode(path) or old.get('asked') != self._asked(encoding, options):
            return None
        try:
            result = _usage(old['result'])
        except (KeyError, TypeError, ValueError):
            return None
        self._new[key] = old
        self.reused += 1
        return result

    def walk(self, path: bytes, encoding: str = model.PLAIN, **options: Any) -> Tuple[usages.Usage, Optional[Dict[str, Any]]]:
        """(what usage.scan_folder gives, what :meth:`keep` wants). May run in another process."""
        trace = usages.Trace()
        result = usages.scan_folder(path, encoding, trace=trace, **options)
        record = {'path': os.fsdecode(path), 'asked': self._asked(encoding, options), 'run': self._run + 1}
        return result, _completed(record, result, trace) if result.complete else None

    def keep(self, key: str, record: Optional[Dict[str, Any]]) -> None:
        """To be remembered for the next run; None if that is not possible."""
        if record is not None:
            self._new[key] = record
        self.walked += 1

    def close(self) -> None:
        """End what :meth:`look` began, if it is not needed any more. Idempotent."""
        if self._looking is not None:
            self._looking[1].close()

    def _may_be_used(self, key: str) -> bool:
        old = self._old.get(key)
        return isinstance(old, dict) and _is_number(old.get('run')) and 0 <= self._run - old['run'] < self.full_every - 1

    def _asked(self, encoding: str, options: Dict[str, Any]) -> str:
        """A digest of what decides the result."""
        table = options.get('table')
        if self._digested is None or self._digested[0] is not table:
            # once for all trees of a host: it is long
            self._digested = (table, _digest(repr(_table(table)).encode('utf-8', 'surrogateescape')))
        return _digest(repr((encoding, options.get('detector') is not None,
                             sorted((name, value) for name, value in options.items() if name in ('top_depth', 'top_count')),
                             self._digested[1])).encode('utf-8', 'surrogateescape'))

    def save(self) -> None:
        """Write what this run saw. Raises OSError."""
        raw = self._raw
        if self.walked or len(self._new) != len(self._old):
            raw = json.dumps(self._new, separators=(',', ':')).encode('ascii')
        first = json.dumps({'version': VERSION, 'run': self._run + 1}).encode('ascii') + b'\n'
        fd, temporary = tempfile.mkstemp(b'.tmp', os.path.basename(self.path) + b'.', os.path.dirname(self.path) or b'.')
        try:
            with os.fdopen(fd, 'wb') as stream:
                stream.write(first + raw)       # not synced: a file that a crash cut is one more full walk
            os.rename(temporary, self.path)
        except Exception:
            os.unlink(temporary)
            raise


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _table(table: Any) -> Union[List[Tuple[str, ...]], str, None]:
    return None if table is None else [tuple(line) for line in table] if isinstance(table, tuple) else repr(type(table))


def _read(path: bytes) -> Tuple[int, Dict[str, Dict[str, Any]], bytes]:
    """(run, trees, trees as they stand there)"""
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
    first, dummy, raw = raw.partition(b'\n')
    try:
        head, trees = json.loads(first.decode('ascii')), json.loads(raw.decode('ascii'))
    except RecursionError:
        raise ValueError('it is nested too deeply')
    if not isinstance(head, dict) or head.get('version') != VERSION or not _is_number(head.get('run')) or not isinstance(trees, dict):
        raise ValueError('it has another format')
    return head['run'], trees, raw


# -- one tree ----------------------------------------------------------------------------------------------------------

# What the kernel sets whenever anything of an inode changes (an entry of a folder, its mode, its links, the content of a file)
# is st_ctime; mtime and nlink would say nothing more.
_SIGN = struct.Struct('=qQq').pack      # st_dev, st_ino, st_ctime_ns
_SIZED = struct.Struct('=qQqq').pack    # and st_size
_TOGETHER = 1024                        # names whose signs are held at a time


def _completed(record: Dict[str, Any], result: usages.Usage, trace: usages.Trace) -> Optional[Dict[str, Any]]:
    """RECORD with what the state file keeps of a walk; None if the tree was being written to."""
    record.update(folders=BETWEEN.join(os.fsdecode(prefix[:-1]) for prefix, dummy in trace.folders),
                  newest=BETWEEN.join(os.fsdecode(name) for dummy, name in sorted(trace.newest)), result=_plain(result))
    folders = hashlib.sha256()
    for dummy, st in trace.folders:
        folders.update(_SIGN(st.st_dev, st.st_ino, st.st_ctime_ns))
    record['signature'] = _signature(record)
    return record if record['signature'] is not None and record['signature'][0] == folders.hexdigest() else None


def _is_unchanged(old: Dict[str, Any]) -> bool:
    return _signature(old) == old['signature']


def _signature(old: Dict[str, Any]) -> Optional[List[str]]:
    """[digest of the folders, digest of the newest files] as they are now, None if one of them is gone. Parents come
    before what is in them, so a folder that was swapped for a link is noticed before anything is looked up through it."""
    try:
        root = safeio.openat(os.fsencode(old['path']), flags=safeio.FLAGS | os.O_DIRECTORY)
    except (OSError, KeyError, TypeError, ValueError):
        return None
    try:
        lstat = safeio.looker(root)
        top = os.fstat(root)
        folders = hashlib.sha256(_SIGN(top.st_dev, top.st_ino, top.st_ctime_ns))
        dummy, dummy, below = old['folders'].partition(BETWEEN)     # the first is the root itself
        for some in _pieces(below):
            signs = []
            for st in map(lstat, some):
                if not stat.S_ISDIR(st.st_mode):
                    return None
                signs.append(_SIGN(st.st_dev, st.st_ino, st.st_ctime_ns))
            folders.update(b''.join(signs))
        files = hashlib.sha256()
        for some in _pieces(old['newest']):
            files.update(b''.join([_SIZED(st.st_dev, st.st_ino, st.st_ctime_ns, st.st_size) for st in map(lstat, some)]))
        return [folders.hexdigest(), files.hexdigest()]
    except (OSError, AttributeError, KeyError, TypeError, ValueError, struct.error):
        return None
    finally:
        os.close(root)


def _pieces(text: Any) -> Iterator[Any]:
    names = text.split(BETWEEN) if text else []
    return (names[at:at + _TOGETHER] for at in range(0, len(names), _TOGETHER))


def _plain(result: usages.Usage) -> Dict[str, Any]:
    fields = result._asdict()
    fields['databases'] = [dict(one._asdict(), path=base64.b64encode(one.path).decode('ascii')) for one in result.databases]
    return fields


def _usage(fields: Any) -> usages.Usage:
    found = [Found(**dict(one, path=base64.b64decode(one['path']))) for one in fields['databases']]
    return usages.Usage(**dict(fields, databases=found))
