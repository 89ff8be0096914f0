"""restic: a bundle is a snapshot, with tags. Its `host` is HOST/KIND:NAME and the group, by which `restic forget` counts.

https://restic.readthedocs.io: "Environment Variables", "Scripting". Tried with 0.14; newer options are not used.
"""
from __future__ import annotations

import datetime
import json
import re
from typing import Any, Mapping, Sequence

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_list
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import number, show
from ansible_collections.lifeboat.docker.plugins.plugin_utils.repositories import base, programs, tags as door

KEY = re.compile(r'[0-9a-f]{64}\Z')
SHORT_KEY = re.compile(r'[0-9a-f]{8,64}\Z')
WHEN = re.compile(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z', re.ASCII)
NONE = ('Is there a repository at the following location', 'unable to open config file', 'repository does not exist')


NOT_THERE, LOCKED = 10, 11              # exit statuses since 0.17


class Restic(base.Repository):
    NAME = PROGRAM = 'restic'
    NAMES_LOCK = ('repository is already locked', 'unable to create lock in backend')

    def secure(self, environment: dict[str, str], password: str | None) -> None:
        environment['RESTIC_REPOSITORY'] = self.settings.location
        environment.pop('RESTIC_REPOSITORY_FILE', None)
        if password is not None:
            environment['RESTIC_PASSWORD'] = password
            for name in ('RESTIC_PASSWORD_FILE', 'RESTIC_PASSWORD_COMMAND'):
                environment.pop(name, None)
        environment['RESTIC_PROGRESS_FPS'] = '0.001'

    def run(self, arguments: Sequence[str], **more: Any) -> bytes:
        try:
            return super().run(arguments, **more)
        except base.RepositoryError as exc:
            if isinstance(exc.__cause__, programs.ProgramError) and _is_none(exc.__cause__) and arguments[0] != 'init':
                raise base.RepositoryError('%s. If it is a new one, make it with init: true or `restic init`.' % str(exc).rstrip('.')) from exc
            raise

    def exists(self) -> bool:
        try:
            self.program.run(['cat', '--no-lock', 'config'])
            return True
        except programs.ProgramError as exc:
            if not _is_none(exc):
                raise base.RepositoryError('The repository %s: %s' % (self.shown, exc)) from exc
        return False

    def create(self) -> None:
        self.run(['init'])

    def is_locked(self, error: programs.ProgramError) -> bool:
        return error.status == LOCKED or super().is_locked(error)

    def stored(self) -> list[base.Stored]:
        found = []
        for item in _list_of(self.run(['snapshots', '--json', '--tag=' + door.MARK])):
            key, when, tags = item.get('id'), item.get('time'), door.read(item.get('tags'))
            moment = _moment(when)
            if tags is not None and isinstance(key, str) and KEY.match(key) and moment:
                found.append(base.Stored(key, moment, tags))
        return sorted(found, key=lambda each: each.when)

    def store(self, folder: bytes, names: Sequence[bytes], tags: door.Tags) -> tuple[str, int | None]:
        arguments = ['backup', '--json', '--files-from-raw=-', '--host=' + _place(tags)]
        try:
            out = self.run(arguments + ['--tag=' + word for word in tags.words()], fine=(0, 3), folder=folder,
                           stdin=b''.join(name + b'\0' for name in names))
        except base.RepositoryError as exc:
            raise base.RepositoryError('%s. The bundle is not in it.' % str(exc).rstrip('.')) from exc
        summary: dict[str, Any] = {}
        for line in out.splitlines():
            said = _loads(line)
            if isinstance(said, dict) and said.get('message_type') == 'summary':
                summary = said
        key = summary.get('snapshot_id')
        if not isinstance(key, str) or not SHORT_KEY.match(key):
            raise base.RepositoryError('restic did not say under which ID it stored the bundle in %s.' % self.shown)
        if summary.get('total_files_processed') != len(names):
            # exit status 3: a snapshot of a part; it must not look like a bundle
            self.remove(key)
            raise base.RepositoryError('restic read %s of %s. The bundle is not in %s: run again.' % (
                show(summary.get('total_files_processed')), number(len(names), 'file'), self.shown))
        added = summary.get('data_added_packed', summary.get('data_added'))
        return key, added if isinstance(added, int) else None

    def remove(self, key: str) -> None:
        self.run(['forget', '--', key])

    def tar(self, key: str) -> list[str]:
        return ['dump', '--', key, '/']

    def prune(self, keep: Mapping[str, Any], check_mode: bool) -> int:
        arguments = ['forget', '--json', '--tag=' + door.MARK, '--group-by=host'] + ['--keep-%s=%s' % (
            key, value if key != 'within' else _duration(value)) for key, value in keep.items()]
        gone = 0
        out = self.run(arguments + (['--dry-run'] if check_mode else []))
        for item in _list_of(out[:out.find(b']\n') + 1] if b']\n' in out else out):
            gone += len(as_list(item.get('remove')))
        if gone and not check_mode:
            self.run(['prune', '--quiet'])
        return gone

    def give_up_stale(self) -> None:
        # removes what restic itself finds stale: its process is gone, or it is older than half an hour
        self.program.run(['unlock', '--quiet'], fine=(0, 1))

    def unlock_hint(self) -> str:
        return '`restic unlock` removes locks of programs that are gone.'


def _moment(when: Any) -> str:
    """A time of restic in UTC, so that it sorts: each snapshot has the zone of the machine that made it, and an hour comes twice where summer ends.
    '' for what is no time."""
    match = WHEN.match(when) if isinstance(when, str) else None
    if match is None:
        return ''
    try:
        moment = datetime.datetime.fromisoformat(match.group(1) + match.group(3).replace('Z', '+00:00')).astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return ''
    return '%s.%sZ' % (moment.strftime('%Y-%m-%dT%H:%M:%S'), (match.group(2) or '').ljust(9, '0'))


def _is_none(error: programs.ProgramError) -> bool:
    """Did restic say that there is no repository?"""
    return error.status == NOT_THERE or any(each in error.said for each in NONE)


def _place(tags: door.Tags) -> str:
    """What restic calls the host. The group ends it, so that two things never have the same."""
    return '%s/%s:%s#%s' % (door.encoded(tags.host), tags.kind, door.encoded(tags.name), tags.group)


def _duration(value: str) -> str:
    """30d, 8w, 6m, 2y as restic writes them: it has no weeks."""
    return '%dd' % (7 * int(value[:-1])) if value.endswith('w') else value


def _loads(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _list_of(raw: bytes) -> list[dict[str, Any]]:
    found = _loads(raw) if raw.strip() else []
    if found is None and raw.strip() == b'null':
        found = []
    if not isinstance(found, list):
        raise base.RepositoryError('restic gave no list: is program really restic?')
    return [item for item in found if isinstance(item, dict)]
