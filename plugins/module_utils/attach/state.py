"""What one attachment has done to this machine, on disk before it is done: so that a release can always undo it.

FOLDER (of root, 0700) holds `state.json`, the overlays, the mount points. An action is written down before it is carried
out, and undone only if what is there now is really ours: its loop devices have files of FOLDER behind them, its mounts
are below FOLDER, its device-mapper names begin with the identifier. Undoing something that was never done is harmless.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import stat
from typing import Any, Dict, Iterator, List

from ..disk.errors import LifeboatError
from ..formats.wording import show

FILE = 'state.json'
MAX_STATE = 4 << 20
PREFIX = 'lifeboat-'


def identifier(paths: List[str]) -> str:
    """A name for an attachment of PATHS, in whatever order they are given."""
    text = '\0'.join(sorted(os.path.realpath(path) for path in paths))
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:12]


def own_folder(path: str) -> str:
    """Make PATH, or check that it is a folder of ours that nobody else may write to."""
    os.makedirs(os.path.dirname(path) or '/', mode=0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    st = os.lstat(path)
    if not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid() or st.st_mode & 0o022:
        raise LifeboatError('scratch_dir: %s must be a folder of the user that runs this, which no other may write to' % show(path))
    return path


class State(object):
    """The state of one attachment. Use :func:`held`: the lock keeps two runs apart."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.data: Dict[str, Any] = {'schema': 1, 'paths': [], 'actions': [], 'result': None}
        path = os.path.join(folder, FILE)
        try:
            with open(path, 'rb') as stream:
                data = json.loads(stream.read(MAX_STATE).decode('ascii'))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as exc:
            raise LifeboatError('%s cannot be read (%s); what it attached has to be undone by hand' % (show(path), exc))
        if not isinstance(data, dict) or not isinstance(data.get('actions'), list):
            raise LifeboatError('%s is not a state of disk_attach; what it attached has to be undone by hand' % show(path))
        self.data = data

    @property
    def name(self) -> str:
        """Prefix of everything that has a name on this machine."""
        return PREFIX + os.path.basename(self.folder)

    @property
    def actions(self) -> List[Dict[str, Any]]:
        return self.data['actions']

    def path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def begin(self, **action: Any) -> Dict[str, Any]:
        """Write down ACTION, before it is done."""
        self.actions.append(action)
        self.save()
        return action

    def drop(self, action: Dict[str, Any]) -> None:
        """ACTION is undone, or was never done."""
        self.actions.remove(action)
        self.save()

    def save(self) -> None:
        """Replace the file; on stable storage when this returns."""
        path = self.path(FILE)
        temporary = path + '.new'
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, 'wb') as out:
            out.write(json.dumps(self.data, sort_keys=True).encode('ascii'))
            out.flush()
            os.fsync(out.fileno())
        os.rename(temporary, path)


@contextlib.contextmanager
def held(scratch: str, name: str, make: bool = True) -> Iterator[State]:
    """The State called NAME in SCRATCH, locked. LifeboatError if another run has it; FileNotFoundError without MAKE."""
    folder = os.path.join(scratch, name)
    if make:
        own_folder(scratch)
        own_folder(folder)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LifeboatError('Another run attaches or releases this disk just now (%s); wait until it has ended' % show(folder))
        yield State(folder)
    finally:
        os.close(fd)


def names(scratch: str) -> List[str]:
    """Every attachment in SCRATCH."""
    try:
        return sorted(name for name in os.listdir(scratch) if os.path.exists(os.path.join(scratch, name, FILE)))
    except FileNotFoundError:
        return []
