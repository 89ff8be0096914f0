"""after_bundle: a command of the user for each verified bundle, for every place that no kind knows (rclone, aws, age).

It is a list of words and no shell. The word ``{bundle}`` becomes the path of the bundle, an absolute one, so that it is never an
option; the environment has the rest. A bundle for which it succeeded has a mark in ``.lifeboat-sent`` beside the bundle: an empty
file whose name is a digest of the bundle and of the command.
"""
from __future__ import annotations

import hashlib
import os
from typing import Any, Mapping, Sequence

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import place
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError

from . import programs
from .tags import Tags, encoded

FOLDER = b'.lifeboat-sent'
PLACE = '{bundle}'


class Hook(object):
    """The command WORDS with the ENVIRONMENT that the user gave for it. LifeboatError for words that are no command."""

    def __init__(self, words: Sequence[Any], environment: Mapping[str, Any]) -> None:
        self.words = [str(word) for word in words]
        if not self.words[0] or PLACE in self.words[0] or any('\0' in word for word in self.words):
            raise LifeboatError('after_bundle must begin with the name of a program.')
        self.given = environment
        self.path = programs.find(self.words[0], self.words[0])

    def is_done(self, path: bytes, tags: Tags) -> bool:
        """Has it succeeded for this bundle, in the form that it has now?"""
        with _marks(path, False) as folder:
            return folder is not None and place.check_owned(folder, self._mark(tags)) is not None

    def run(self, path: bytes, tags: Tags) -> None:
        """LifeboatError where it fails; the next run calls it again."""
        environment = programs.surroundings(self.given)
        environment.update({'LIFEBOAT_BUNDLE': os.fsdecode(path), 'LIFEBOAT_DIGEST': tags.bundle, 'LIFEBOAT_HOST': encoded(tags.host),
                            'LIFEBOAT_KIND': tags.kind, 'LIFEBOAT_NAME': encoded(tags.name), 'LIFEBOAT_STATUS': tags.status,
                            'LIFEBOAT_TIME': tags.time})
        program = programs.Program(self.path, environment, programs.secret_values(self.given, None))
        program.run([os.fsdecode(path) if word == PLACE else word for word in self.words[1:]])
        with _marks(path, True) as folder:
            if folder is not None:
                os.close(os.open(self._mark(tags), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder))

    def _mark(self, tags: Tags) -> bytes:
        return hashlib.sha256('\0'.join([tags.bundle] + self.words).encode('utf-8', 'surrogateescape')).hexdigest().encode('ascii')


class _marks(object):
    """The folder of the marks beside the bundle at PATH, open; None where it is missing and not made."""

    def __init__(self, path: bytes, make: bool) -> None:
        self.top = place.open_dest(os.path.dirname(path), False)
        try:
            self.folder = place.subfolder(self.top, FOLDER, make)
        except BaseException:
            os.close(self.top)
            raise

    def __enter__(self) -> int | None:
        return self.folder

    def __exit__(self, *dummy: Any) -> None:
        os.close(self.top)
        if self.folder is not None:
            os.close(self.folder)
