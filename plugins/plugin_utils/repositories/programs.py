"""Runs the user's own program (restic, borg, a hook). Secrets go in by its environment; what it says comes out without them."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from typing import IO, Any, Mapping, NamedTuple, Sequence

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import redact
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import sentence, show

MOST = 1 << 30                          # bytes of one answer
SAID = 16 << 10                         # bytes of messages that are looked at, the last ones
LINES = 4                               # of them in a sentence
# what is for Ansible and its Python; borg is a program of another Python
NOT_HANDED_ON = ('ANSIBLE_', 'PYTHON', '_ANSIBLE')
# of a traceback of borg: what comes behind the error itself
ABOUT = ('Platform: ', 'Linux: ', 'Borg: ', 'PID: ', 'sys.argv: ', 'SSH_ORIGINAL_COMMAND: ')
SHORTEST = 4                            # characters of a value that is looked for as a secret


class ProgramError(LifeboatError):
    """A program failed. `said`: its last messages, shown and without secrets; `status`: its exit status."""

    def __init__(self, message: str, said: str = '', status: int | None = None) -> None:
        super().__init__(message)
        self.said, self.status = said, status


class Program(NamedTuple):
    """A program of the user with its environment."""
    path: str
    environment: dict[str, str]
    secrets: tuple[str, ...]            # values that no message may repeat

    @property
    def name(self) -> str:
        return show(os.path.basename(self.path))

    def run(self, arguments: Sequence[str], fine: Sequence[int] = (0,), stdin: bytes = b'', folder: bytes | None = None,
            messages_too: bool = False) -> bytes:
        """What the program prints. ARGUMENTS hold no secrets: other users see them. ProgramError where its exit status is none of FINE."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as messages:
            process = self._start(arguments, out, out if messages_too else messages, folder)
            try:
                process.communicate(stdin)
            except BaseException:
                end(process)
                raise
            if process.returncode not in fine:
                raise self.failed(process.returncode, out if messages_too else messages)
            if out.seek(0, os.SEEK_END) > MOST:
                raise ProgramError('%s printed more than %d bytes.' % (self.name, MOST))
            out.seek(0)
            return out.read()

    def _start(self, arguments: Sequence[str], out: Any, messages: Any, folder: bytes | None, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen([self.path, *arguments], stdin=stdin, stdout=out, stderr=messages, cwd=folder, env=self.environment)
        except OSError as exc:
            raise ProgramError('%s cannot be started: %s.' % (show(self.path), exc.strerror)) from exc

    def stream(self, arguments: Sequence[str], messages: IO[bytes]) -> subprocess.Popen[bytes]:
        """The running program; its `stdout` is a pipe. The caller ends it with end()."""
        return self._start(arguments, subprocess.PIPE, messages, None, stdin=subprocess.DEVNULL)

    def failed(self, status: int, messages: IO[bytes]) -> ProgramError:
        """The error of a program that ended with STATUS, with its last MESSAGES."""
        size = messages.seek(0, os.SEEK_END)
        messages.seek(max(0, size - SAID))
        text = messages.read().decode('utf-8', 'backslashreplace')
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, redact.REDACTED)
        lines = [sentence(line.strip()) for line in text.splitlines() if line.strip() and not line.startswith(ABOUT)]
        most = 1 if any(line.startswith('Traceback (most recent') for line in lines) else LINES
        said = ' / '.join(lines[-most:])[:1500] or 'nothing'
        how = 'was ended by signal %d' % -status if status < 0 else 'ended with exit status %d' % status
        return ProgramError('%s %s and said: %s' % (self.name, how, said), ' / '.join(lines), status)


def end(process: subprocess.Popen[bytes]) -> None:
    """End PROCESS (it is asked first, then killed) and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)      # borg and restic then give their lock back
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def find(name: str, given: str | None) -> str:
    """The path of a program: GIVEN by the user, else NAME in PATH. ProgramError."""
    if given and not given.startswith('/') and '/' in given:
        raise ProgramError('program must be a name or an absolute path, not %s.' % show(given))
    found = shutil.which(given or name)
    if found is None:
        raise ProgramError('There is no program %s on the controller. Install it there, or name it with program.' % show(given or name))
    return os.path.abspath(found)


def surroundings(given: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a program: that of Ansible, and what the user GIVES for it. LifeboatError for a name or value that is none."""
    found = {key: value for key, value in os.environ.items() if not key.startswith(NOT_HANDED_ON)}
    for key, value in given.items():
        text = str(value)
        if not isinstance(key, str) or not key or '=' in key or '\0' in key + text or not key.isprintable():
            raise LifeboatError('environment has an invalid name or value.')
        found[key] = text
    found['LC_ALL'] = 'C.UTF-8'         # messages in the language that this code knows
    return found


def secret_values(given: Mapping[str, Any], password: str | None) -> tuple[str, ...]:
    """What no message may repeat: the password, and every value that the user GAVE for the environment."""
    found = {str(value) for value in given.values()} | ({password} if password else set())
    return tuple(value for value in found if len(value) >= SHORTEST)
