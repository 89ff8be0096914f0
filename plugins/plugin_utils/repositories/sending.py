"""Bundles into a repository: each is verified, sent if it is not there yet, and compared with what was verified once more."""
from __future__ import annotations

import hashlib
import os
from typing import Any, Iterable, NamedTuple

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording

from . import base, hook as hooks, tags as door

PACKED = (b'.tar.zst', b'.tar.gz', b'.tar.xz')
HINT = ('The archives of %d bundles are compressed: a changed one is nearly all new for a repository. Rescue with compression: none, the '
        'repository compresses by itself.')


class Checked(NamedTuple):
    """A bundle that may be sent."""
    info: reading.BundleInfo
    tags: door.Tags

    def names(self) -> list[bytes]:
        """Its files, and only they, relative and sorted."""
        return sorted(set(self.info.sums) | {reading.SUMS} | set(self.info.beside))

    def refuse_changed(self) -> None:
        """LifeboatError if a file is not what was verified any more."""
        for name in self.info.sums:
            os.close(reading.open_file(self.info, name))
        if _sums(self.info.path) != self.tags.bundle:
            raise LifeboatError('SHA256SUMS of the bundle %s was changed after it was checked: run again, when nobody writes there.'
                                % wording.show(self.info.path))


def check(path: bytes, seen: dict[Any, str]) -> Checked:
    """A bundle that every byte was read of. LifeboatError for one that is damaged, incomplete or none."""
    info = reading.inspect_bundle(path, True, seen)
    if info.status != reading.VERIFIED:
        what = '; '.join('%s %s' % (reading.brief(item['file']), item['problem']) for item in info.differences[:3])
        raise LifeboatError('The bundle is %s: %s.' % (info.status, what))
    return Checked(info, _tags(info))


def _tags(info: reading.BundleInfo) -> door.Tags:
    raw = _raw_sums(info.path)
    if reading.parse_sums(raw)[0] != info.sums:
        raise LifeboatError('SHA256SUMS was changed while the bundle was checked.')
    return door.of_bundle(info, raw)


def _raw_sums(path: bytes) -> bytes:
    fd = os.open(os.path.join(path, reading.SUMS), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, 'rb') as stream:
        return stream.read(reading.MAX_SUMS + 1)


def _sums(path: bytes) -> str:
    return hashlib.sha256(_raw_sums(path)).hexdigest()


def find(paths: Iterable[str]) -> list[bytes]:
    """Every bundle at or below PATHS, each once. LifeboatError where one of them has none."""
    found: dict[bytes, None] = {}
    for path in paths:
        here = reading.find_bundles(os.path.expanduser(path))
        if not here:
            raise LifeboatError('There is no bundle in %s. Give the folder that dest named in the rescue.' % wording.show(path))
        found.update(dict.fromkeys(here))
    return list(found)


class Sender(object):
    """One run over many bundles. `repository` or `hook` may be None; `is_new`: there is nothing in it, and in check mode not even it."""

    def __init__(self, repository: base.Repository | None, hook: hooks.Hook | None, check_mode: bool, tell: base.Tell, is_new: bool = False) -> None:
        self.is_new = is_new
        self.repository, self.hook, self.check_mode, self.tell = repository, hook, check_mode, tell
        self.bundles: list[dict[str, Any]] = []
        self.packed = 0
        self.seen: dict[Any, str] = {}

    def send(self, paths: Iterable[bytes]) -> str | None:
        """Send the bundles PATHS -> the reason why it ended early, None where it came to the end. `bundles` has one entry for each that was
        looked at."""
        try:
            there = {item.tags.bundle for item in self.repository.stored()} if self.repository is not None and not self.is_new else set()
        except base.RepositoryError as exc:
            return str(exc)
        for path in paths:
            entry: dict[str, Any] = dict(wording.path_fields(path), state='refused', changed=False, reason='', bytes_added=None)
            self.bundles.append(entry)
            try:
                self._one(path, entry, there)
            except base.RepositoryError as exc:
                entry.update(state='failed', changed=False, reason=str(exc))
                return str(exc)
            except LifeboatError as exc:
                entry.update(state='refused', changed=False, reason=str(exc))
            except OSError as exc:
                entry.update(state='refused', changed=False, reason='It cannot be read: %s.' % exc.strerror)
        return None

    def _one(self, path: bytes, entry: dict[str, Any], there: set[str]) -> None:
        checked = check(path, self.seen)
        tags = checked.tags
        entry.update({key: wording.show(value) for key, value in tags.shown().items() if key not in ('group', 'folder')})
        self.packed += any(name.endswith(PACKED) for name in checked.info.sums)
        wanted = self.repository is not None and tags.bundle not in there
        run_hook = self.hook is not None and not self.hook.is_done(path, tags)
        entry['changed'] = wanted or run_hook
        entry['state'] = 'present' if not entry['changed'] else 'would be sent' if self.check_mode else 'sent'
        if self.check_mode:
            return
        if wanted and self.repository is not None:
            self._store(self.repository, checked, entry)
            there.add(tags.bundle)
        if run_hook and self.hook is not None:
            self.hook.run(path, tags)

    def _store(self, repository: base.Repository, checked: Checked, entry: dict[str, Any]) -> None:
        key, added = repository.store(checked.info.path, checked.names(), checked.tags)
        try:
            checked.refuse_changed()
        except (LifeboatError, OSError):
            repository.remove(key)
            raise
        entry.update(key=key, bytes_added=added)
        self.tell('%s %s is in the repository%s' % (wording.show(checked.tags.host), wording.show(checked.tags.folder),
                                                    '' if added is None else ', which grew by %s' % wording.number(added, 'byte')))

    def hints(self) -> list[str]:
        return [HINT % self.packed] if self.packed and self.repository is not None else []


def summary(bundles: list[dict[str, Any]]) -> dict[str, int]:
    """How many bundles came to which end."""
    states = [item['state'] for item in bundles]
    return {'bundles': len(states), 'sent': states.count('sent') + states.count('would be sent'), 'present': states.count('present'),
            'refused': states.count('refused'), 'failed': states.count('failed'),
            'bytes_added': sum(item['bytes_added'] or 0 for item in bundles)}
