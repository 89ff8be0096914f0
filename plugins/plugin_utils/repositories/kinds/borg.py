"""borg: a bundle is an archive. Its name is lifeboat-GROUP-HOST-NAME-TIME-DIGEST, its comment has the tags.

The group comes first, so that a pattern for `borg prune` matches one group whatever the names behind it are.
https://borgbackup.readthedocs.io: "Environment Variables", "borg create". Tried with 1.2.
"""
from __future__ import annotations

import json
import re
from typing import Any, Mapping, Sequence

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.plugin_utils.repositories import base, programs, tags as door

KEY = re.compile(r'lifeboat-([0-9a-f]{16})-[A-Za-z0-9_.-]{1,130}-(\d{8}T\d{6}Z)-([0-9a-f]{16})\Z', re.ASCII)
# pieces of about 128 KiB: a database changes single pages, and with borg's own of 2 MiB each page costs as much
CHUNKS = 'buzhash,13,22,17,4095'
# what borg 1.2 takes: exponents of the smallest, the largest and the usual piece, and the window of the hash; or one size, and that of a header
BUZHASH = re.compile(r'buzhash,(\d{1,2}),(\d{1,2}),(\d{1,2}),(\d{1,5})\Z', re.ASCII)
FIXED = re.compile(r'fixed,(\d{1,8})(?:,(\d{1,8}))?\Z', re.ASCII)
LEAST, MOST = 9, 23                     # exponents of sizes: a block of an archive, and 8 MiB
NONE = re.compile(r'Repository \S.* does not exist|is not a valid repository')


class Borg(base.Repository):
    NAME = PROGRAM = 'borg'
    NAMES_LOCK = ('Failed to create/acquire the lock',)

    def secure(self, environment: dict[str, str], password: str | None) -> None:
        environment['BORG_REPO'] = self.settings.location
        environment['BORG_EXIT_CODES'] = 'legacy'       # 0, 1: warnings, 2: an error
        if password is not None:
            environment['BORG_PASSPHRASE'] = password
            for name in ('BORG_PASSCOMMAND', 'BORG_PASSPHRASE_FD'):
                environment.pop(name, None)

    def pieces(self, given: str | None) -> str:
        if given is None:
            return CHUNKS
        buzhash, fixed = BUZHASH.match(given), FIXED.match(given)
        if buzhash is not None:
            least, most, usual, window = map(int, buzhash.groups())
            good = LEAST <= least <= usual <= most <= MOST and 63 <= window <= 65535 and window % 2 == 1
        else:
            good = fixed is not None and 1 << LEAST <= int(fixed.group(1)) <= 1 << MOST and int(fixed.group(2) or 0) <= 1 << MOST
        if not good:
            raise LifeboatError(
                'chunker_params is %s. It must be buzhash,MIN,MAX,USUAL,WINDOW (exponents of 2 with %d <= MIN <= USUAL <= MAX <= %d, and an odd '
                'WINDOW from 63 to 65535), such as buzhash,12,16,14,4095; or fixed,BYTES (from %d to %d), such as fixed,65536.' % (
                    show(given), LEAST, MOST, 1 << LEAST, 1 << MOST))
        return given

    def run(self, arguments: Sequence[str], **more: Any) -> bytes:
        try:
            return super().run(arguments, **more)
        except base.RepositoryError as exc:
            if isinstance(exc.__cause__, programs.ProgramError) and NONE.search(exc.__cause__.said) and arguments[0] != 'init':
                raise base.RepositoryError('%s. If it is a new one, make it with init: true or `borg init`.' % str(exc).rstrip('.')) from exc
            raise

    def exists(self) -> bool:
        try:
            self.run(['list', '--last=1', '::'])
            return True
        except base.RepositoryError as exc:
            if not isinstance(exc.__cause__, base.RepositoryError):
                raise           # only run() tells that there is none by a second error on the first
        return False

    def create(self) -> None:
        # where there is no password the key is not protected, and the data are in the clear
        secret = bool(self.program.environment.get('BORG_PASSPHRASE') or self.program.environment.get('BORG_PASSCOMMAND'))
        if not secret:
            raise base.RepositoryError('A new borg repository needs a password: set password or password_file.')
        self.run(['init', '--encryption=repokey-blake2'])

    def stored(self) -> list[base.Stored]:
        said = _loads(self.run(['list', '--json', '--glob-archives=lifeboat-*', '--format={archive}{comment}', '::']))
        listed = said.get('archives') if isinstance(said, dict) else None
        if not isinstance(listed, list):
            raise base.RepositoryError('borg gave no list: is program really borg?')
        found = []
        for item in listed:
            key, comment = (item.get('archive'), item.get('comment')) if isinstance(item, dict) else (None, None)
            match = KEY.match(key) if isinstance(key, str) else None
            tags = door.read(comment.split(' ')) if isinstance(comment, str) else None
            if match and tags is not None and (match.group(1), match.group(3)) == (tags.group, tags.bundle[:16]):
                found.append(base.Stored(str(key), match.group(2), tags))
        return sorted(found, key=lambda each: each.when)

    def store(self, folder: bytes, names: Sequence[bytes], tags: door.Tags) -> tuple[str, int | None]:
        key = 'lifeboat-%s-%s-%s-%s' % (tags.group, tags.label(), base.now(), tags.bundle[:16])
        arguments = ['create', '--json', '--chunker-params=' + self.cuts, '--compression=auto,zstd', '--comment=' + ' '.join(tags.words()),
                     '--paths-from-stdin', '--paths-delimiter=\\0', '--', '::' + key]
        try:
            out = self.run(arguments, folder=folder, stdin=b''.join(name + b'\0' for name in names))
        except base.RepositoryError as exc:
            cause = exc.__cause__
            if isinstance(cause, programs.ProgramError) and cause.status == 1:
                self._take_back(key)    # a warning: a file that it could not read, or that changed
            raise base.RepositoryError('%s. The bundle is not in it.' % str(exc).rstrip('.')) from exc
        said = _loads(out)
        stats = (said.get('archive') or {}).get('stats') if isinstance(said, dict) and isinstance(said.get('archive'), dict) else None
        stats = stats if isinstance(stats, dict) else {}
        if stats.get('nfiles') != len(names):
            self.remove(key)
            raise base.RepositoryError('borg read %s of %s. The bundle is not in %s: run again.' % (
                show(stats.get('nfiles')), wording.number(len(names), 'file'), self.shown))
        added = stats.get('deduplicated_size')
        return key, added if isinstance(added, int) else None

    def _take_back(self, key: str) -> None:
        """Remove an archive that may be there in part, and would look like a bundle."""
        try:
            self.remove(key)
        except base.RepositoryError as exc:
            if 'does not exist' not in str(exc) and 'not found' not in str(exc):
                raise base.RepositoryError('%s. The archive %s may be there in part: remove it with `borg delete`.' % (
                    str(exc).rstrip('.'), key)) from exc

    def remove(self, key: str) -> None:
        self.run(['delete', '--', '::' + key])

    def tar(self, key: str) -> list[str]:
        return ['export-tar', '--', '::' + key, '-']

    def prune(self, keep: Mapping[str, Any], check_mode: bool) -> int:
        policy = ['--keep-%s=%s' % (key, value) for key, value in keep.items()]
        before = self.stored()
        counted: dict[str, int] = {}
        for item in before:
            counted[item.tags.group] = counted.get(item.tags.group, 0) + 1
        gone = 0
        for group, number in counted.items():
            if number > 1:
                said = self.run(['prune', '--list', '--glob-archives=lifeboat-%s-*' % group] + policy
                                + (['--dry-run'] if check_mode else []) + ['::'], messages_too=True)
                gone += sum(line.startswith((b'Would prune:', b'Pruning archive')) for line in said.splitlines())
        if gone and not check_mode:
            self.run(['compact', '::'])
        return gone


def _loads(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
