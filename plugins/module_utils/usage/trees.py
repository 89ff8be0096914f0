"""All trees of a host, each walked once, several at a time: announce them, walk, then ask for the results.

A volume that five containers mount is one tree; a folder goes the fast way (usage.scan_folder, with what the last
run remembers), a full-copy layer the way of compared entries.
"""
import functools
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, Optional, Sequence, Tuple, Union

from ..databases import detector as databases, noise
from ..disk import metadata
from ..records import model
from . import parallel, state, walk as usage

if TYPE_CHECKING:
    from ..disk.tree import Entry, Failure


class Result(object):
    """`usage` and `databases` as the facts have them (paths begin with `/`; `where` and the mount are the caller's to
    add), `error`: a sentence if the tree could not be opened, `unreadable`: what in it could not be read."""

    def __init__(self, found: Optional[usage.Usage] = None, error: Optional[str] = None) -> None:
        self.usage = found.as_dict() if found is not None else None
        self.databases = [one.as_dict() for one in found.databases] if found is not None else []
        self.error = error
        self.unreadable = list(found.failures) if found is not None else []
        self.unreadable_total = found.failures_total if found is not None else 0


class Trees(object):
    """OPTIONS as the module has them: top_depth, top_count, scan_timeout (for each tree), scan_max_files (for each tree).

    look: also look for databases. noise_lines: the option `noise`, ValueError for a wrong line. state_path: bytes, None
    for none; LifeboatError if it lies in one of data_roots. `note`: a sentence if the state file could not be used.
    """

    def __init__(self, top_depth: int = 2, top_count: int = 10, scan_timeout: int = 0, scan_max_files: int = 0, look: bool = True,
                 noise_lines: Sequence[Dict[str, str]] = (), state_path: Optional[bytes] = None,
                 data_roots: Sequence[bytes] = (), workers: Optional[int] = None) -> None:
        self._table = noise.extended(noise_lines)
        self._compiled = noise.Compiled(self._table)
        self._options = {'top_depth': top_depth, 'top_count': top_count}
        self._limits = {'scan_timeout': scan_timeout, 'scan_max_files': scan_max_files}
        self._look = look
        self._workers = workers
        self._state = state.State.load(state_path, data_roots) if state_path else None
        self.note = self._state.note if self._state else None
        self._jobs = {}
        self._results: Dict[Tuple[str, Union[bytes, str]], Result] = {}

    def folder(self, path: bytes, image_volumes: Sequence[str] = ()) -> None:
        """Announce a volume or another folder (bytes). Idempotent."""
        self._jobs.setdefault(('folder', path), (path, model.PLAIN, None, image_volumes))

    def layer(self, key: str, stack: model.Stack, image_volumes: Sequence[str] = ()) -> None:
        """Announce the writable layer of a model.Stack. IMAGE_VOLUMES: paths that the image declares as volumes."""
        top = stack.writable
        if top is None:
            raise AssertionError('whoever announces it has seen it')
        entries = functools.partial(_changed, stack) if top.encoding == model.PLAIN else None
        self._jobs.setdefault(('layer', key), (top.path, top.encoding, entries, image_volumes))

    def look_ahead(self) -> None:
        """Begin to look whether what the last run walked is as it was, before it is known what this run will announce."""
        if self._state is not None:
            self._state.look(workers=self._workers and self._workers - 1)

    def walk(self) -> None:
        """Walk what was announced since the last time. Raises nothing for a tree that cannot be read."""
        jobs = {key: job for key, job in self._jobs.items() if key not in self._results}
        if self._state is not None:
            self._state.look([_text(key) for key in jobs], self._workers and self._workers - 1)
        for key in list(jobs):
            known = self._remembered(key, *jobs[key][:3])
            if known is not None:
                self._results[key] = Result(known)
                del jobs[key]
        for key, (value, error) in zip(jobs, parallel.run(
                [functools.partial(self._walk, len(jobs) == 1, *job) for job in jobs.values()], self._workers)):
            if error is None:
                found, record = value
                self._results[key] = Result(found)
                if self._state is not None:
                    self._state.keep(_text(key), record)
                continue
            # a mistake of ours must not pass for an unreadable disk
            if not isinstance(error, (OSError, MemoryError)):
                raise error
            self._results[key] = Result(error=metadata.describe(error) if isinstance(error, OSError) else 'not enough memory')

    def save(self) -> None:
        """Keep what was found for the next run. Raises OSError."""
        if self._state is not None:
            self._state.save()

    def close(self) -> None:
        """End what look_ahead() began. Idempotent."""
        if self._state is not None:
            self._state.close()

    def of_folder(self, path: bytes) -> Result:
        return self._results[('folder', path)]

    def of_layer(self, key: str) -> Result:
        return self._results[('layer', key)]

    def _remembered(self, key: Tuple[str, Union[bytes, str]], path: bytes, encoding: str,
                    entries: 'Optional[Callable[[], Iterable[Union[Entry, Failure]]]]') -> Optional[usage.Usage]:
        if self._state is None or entries is not None:
            return None
        # whether there is a detector counts, not which
        return self._state.remembered(_text(key), path, encoding, table=self._table, detector=self._look or None, **self._options)

    def _walk(self, alone: bool, path: bytes, encoding: str, entries: 'Optional[Callable[[], Iterable[Union[Entry, Failure]]]]',
              image_volumes: Sequence[str]) -> Tuple[usage.Usage, Optional[Dict[str, Any]]]:
        """(usage.Usage, what the state keeps of it)"""
        options: Dict[str, Any] = dict(self._options, limits=self._limits, detector=databases.Detector(image_volumes) if self._look else None)
        if entries is not None:
            return usage.scan(entries(), table=self._compiled, **options), None
        # several trees keep every processor busy, each walked by one process
        options['helper'] = alone and self._workers != 1
        if self._state is None:
            return usage.scan_folder(path, encoding, table=self._compiled, **options), None
        return self._state.walk(path, encoding, table=self._table, **options)


def _text(key: Tuple[str, Union[bytes, str]]) -> str:
    return '%s %s' % (key[0], os.fsdecode(key[1]))


def _changed(stack: model.Stack) -> 'Iterator[Union[Entry, Failure]]':
    """Entries of a full-copy layer that differ from what lies below it."""
    from ..disk.tree import Failure
    from ..layers.changes import changes
    for change in changes(stack):
        if isinstance(change, Failure):
            yield change
        elif change.entry is not None:
            yield change.entry
