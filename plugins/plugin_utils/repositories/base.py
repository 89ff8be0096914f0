"""What a kind of repository offers. A kind is one file in kinds/ with a subclass of Repository, which registers itself."""
from __future__ import annotations

import datetime
import importlib
import os
import pkgutil
import re
import time
from typing import Any, Callable, ClassVar, Mapping, NamedTuple, Sequence

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import redact
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show

from . import programs
from .tags import Tags

KINDS: dict[str, type[Repository]] = {}
PERIODS = ('last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly')
WITHIN = re.compile(r'[1-9]\d{0,4}[dwmy]\Z', re.ASCII)
PAUSE = 2.0                             # seconds between two tries at a locked repository


class RepositoryError(LifeboatError):
    """The repository cannot be used: the next bundle would fail, too."""


class Settings(NamedTuple):
    """Where a repository is, and how one gets in."""
    location: str
    program: str | None
    password: str | None
    password_file: str | None
    environment: dict[str, Any]
    lock_timeout: float                 # seconds
    chunker_params: str | None = None   # how the program cuts files into pieces; None: as the kind does it


class Stored(NamedTuple):
    """A bundle in a repository. `key` is the name by which the repository's program knows it, checked by the kind; `when` sorts."""
    key: str
    when: str
    tags: Tags


class Repository(object):
    """One repository. Each method raises RepositoryError where the whole repository is the problem."""
    NAME: ClassVar[str] = ''
    PROGRAM: ClassVar[str] = ''
    NAMES_LOCK: ClassVar[tuple[str, ...]] = ()          # what the program says of a repository that somebody else uses

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        KINDS[cls.NAME] = cls

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cuts = self.pieces(settings.chunker_params)
        self.shown = show(redact.text(settings.location))
        password = settings.password
        if settings.password_file:
            password = _secret_of(settings.password_file)
        environment = programs.surroundings(settings.environment)
        self.secure(environment, password)
        self.program = programs.Program(programs.find(self.PROGRAM, settings.program), environment,
                                        programs.secret_values(settings.environment, password))

    # -- what a kind says

    def pieces(self, given: str | None) -> str:
        """The option chunker_params, checked, or what the kind uses without it. LifeboatError."""
        if given is not None:
            raise LifeboatError('chunker_params is for borg. The pieces of %s have a size that cannot be set.' % self.PROGRAM)
        return ''

    def secure(self, environment: dict[str, str], password: str | None) -> None:
        """Put the location and the PASSWORD (None: the ENVIRONMENT has it, or a file that it names) into ENVIRONMENT."""
        raise NotImplementedError

    def exists(self) -> bool:
        """Is there a repository at all? One that cannot be opened is a RepositoryError."""
        raise NotImplementedError

    def create(self) -> None:
        """Make the repository, where there is none."""
        raise NotImplementedError

    def stored(self) -> list[Stored]:
        """The bundles of ours that are in there, the oldest first."""
        raise NotImplementedError

    def store(self, folder: bytes, names: Sequence[bytes], tags: Tags) -> tuple[str, int | None]:
        """Send the files NAMES (relative) of FOLDER -> (key, bytes that the repository grew by, if known). All or nothing."""
        raise NotImplementedError

    def remove(self, key: str) -> None:
        """Remove a bundle that store() sent."""
        raise NotImplementedError

    def tar(self, key: str) -> list[str]:
        """Arguments with which the program writes the files of a bundle to its standard output, as a tar archive."""
        raise NotImplementedError

    def prune(self, keep: Mapping[str, Any], check_mode: bool) -> int:
        """Remove what the policy does not keep, with the program's own policy -> how many."""
        raise NotImplementedError

    # -- for kinds

    def run(self, arguments: Sequence[str], **more: Any) -> bytes:
        """The program's answer. A locked repository is tried again until lock_timeout; what the user can mend is a RepositoryError."""
        until = time.monotonic() + self.settings.lock_timeout
        while True:
            try:
                return self.program.run(arguments, **more)
            except programs.ProgramError as exc:
                if not self.is_locked(exc):
                    raise RepositoryError('The repository %s: %s' % (self.shown, exc)) from exc
                if time.monotonic() >= until:
                    raise RepositoryError(
                        'The repository %s is locked: another %s uses it, or was killed. %s Waited for %d seconds. %s' % (
                            self.shown, self.PROGRAM, self.unlock_hint(), self.settings.lock_timeout, exc)) from exc
                self.give_up_stale()
                time.sleep(PAUSE)

    def is_locked(self, error: programs.ProgramError) -> bool:
        return any(each in error.said for each in self.NAMES_LOCK)

    def give_up_stale(self) -> None:
        """Remove locks that the program itself knows to be stale, if it does not do so by itself."""

    def unlock_hint(self) -> str:
        return ''


def _secret_of(path: str) -> str:
    """The password in a file, its first line. LifeboatError."""
    try:
        with open(os.path.expanduser(path), encoding='utf-8', errors='surrogateescape') as stream:
            found = stream.readline(8192).rstrip('\r\n')
    except OSError as exc:
        raise LifeboatError('password_file %s cannot be read: %s.' % (show(path), exc.strerror)) from exc
    if not found:
        raise LifeboatError('password_file %s is empty.' % show(path))
    return found


def policy(given: Mapping[str, Any]) -> dict[str, Any]:
    """The option `keep`: numbers for last, hourly, daily, weekly, monthly and yearly, and `within` like 30d. LifeboatError."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in PERIODS and (isinstance(value, int) and not isinstance(value, bool) or isinstance(value, str) and value.isdecimal()):
            if int(value) > 0:
                found[key] = int(value)
        elif key == 'within' and isinstance(value, str) and WITHIN.match(value):
            found[key] = value
        else:
            raise LifeboatError('keep has a number for each of %s, and within like 30d, 8w, 6m or 2y.' % ', '.join(PERIODS))
    if given and not found:
        raise LifeboatError('keep must keep something: all its numbers are 0.')
    return found


def open_repository(kind: str, settings: Settings) -> Repository:
    """The Repository of a KIND. LifeboatError for a kind that is not there."""
    load()
    if kind not in KINDS:
        raise LifeboatError('kind has no "%s"; it has: %s.' % (show(kind), ', '.join(sorted(KINDS))))
    return KINDS[kind](settings)


def load() -> None:
    """Import every file of kinds/, so that each registers itself."""
    from . import kinds
    for found in pkgutil.iter_modules(kinds.__path__):
        importlib.import_module('%s.%s' % (kinds.__name__, found.name))


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')


Tell = Callable[[str], None]
