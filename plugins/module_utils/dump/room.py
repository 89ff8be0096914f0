"""What a driver of a database works with inside a view: it starts programs of the image, without any privilege, and writes the dump."""
import os
import resource
import select
import signal
import stat
import struct
import subprocess
import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..archive import removal
from . import kernel, seccomp, view

NOBODY = 65533                          # stands for root as the owner of a data folder: no program of an image runs as root
USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
MAX_SAID = 8 << 20                      # bytes of what a program prints that are taken as an answer
PIECE = 1 << 16
STOP = 30                               # seconds that a server has to stop
_ELF = {'x86_64': 62, 'aarch64': 183, 'armv7l': 40, 's390x': 22, 'ppc64le': 21, 'riscv64': 243, 'i686': 3}
_RUNS = {62: ('x86_64',), 3: ('x86_64', 'i686'), 183: ('aarch64',), 40: ('armv7l', 'aarch64'), 22: ('s390x',), 21: ('ppc64le',), 243: ('riscv64',)}


class Refused(Exception):
    """There is no dump. `code`: of records.codes."""

    def __init__(self, code: str, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code


class Limits(NamedTuple):
    """What programs of an image may take. `memory`: bytes of address space of each; `file`: bytes of one file."""
    seconds: float
    memory: int = 2 << 30
    processes: int = 400
    file: int = 1 << 40


class Room(object):
    """DATA, LOG: descriptors of the pipes for the dump and for what programs complain about."""

    def __init__(self, limits: Limits, data: int, log: int) -> None:
        self.limits = limits
        self.environment = {'PATH': USUAL_PATH, 'LC_ALL': 'C', 'HOME': '/tmp'}
        self.owner = (NOBODY, NOBODY)
        self._data, self._log = data, log
        self._servers: List[subprocess.Popen] = []
        self._filter = seccomp.program(kernel.machine())

    def __enter__(self) -> 'Room':
        return self

    def __exit__(self, *dummy: Any) -> None:
        for server in self._servers:
            if server.poll() is None:
                server.kill()
                server.wait()

    # -- files of the view ------------------------------------------------------------------------------------------------

    def adopt(self, folder: bytes) -> str:
        """Programs run as the owner of FOLDER from now on -> its path for them. What root owns is given to nobody first, in the view, and
        shown at a place that he may reach."""
        st = os.stat(folder)
        self.owner = (st.st_uid, st.st_gid or NOBODY) if st.st_uid else (NOBODY, NOBODY)
        if st.st_uid:
            return os.fsdecode(folder)
        _give(folder)
        return os.fsdecode(self._shown(folder))

    def adopt_file(self, path: bytes, tails: Iterable[bytes]) -> bytes:
        """The same for a file, with those beside it whose names go on with TAILS -> its path."""
        st = os.lstat(path)
        if not stat.S_ISREG(st.st_mode):
            raise Refused('DUMP_SERVER_FAILED', 'it is no file')
        self.owner = (st.st_uid or NOBODY, st.st_gid or NOBODY)
        folder = os.path.dirname(path)
        for each in [folder, path] + [path + tail for tail in tails]:
            if os.path.lexists(each):
                os.chown(each, *self.owner, follow_symlinks=False)
        return os.path.join(self._shown(folder), os.path.basename(path))

    def _shown(self, folder: bytes) -> bytes:
        place = os.path.join(view.RUN, b'data')
        os.mkdir(place)
        kernel.mount(folder, place, None, kernel.BIND)
        return place

    def write(self, name: str, content: str) -> str:
        """A configuration file of ours -> its path in the view."""
        path = os.path.join(os.fsdecode(view.RUN), name)
        with open(path, 'w', encoding='utf-8') as out:
            out.write(content)
        return path

    def out(self, data: bytes) -> None:
        """The next bytes of the dump."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._data, rest):]

    def out_file(self, path: bytes, watch: Callable[[bytes], object] = lambda data: None) -> None:
        """The content of a file of the view as the next bytes of the dump; WATCH sees them too. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Refused('DUMP_SERVER_FAILED', 'the server wrote no file')
            piece = os.read(fd, PIECE)
            while piece:
                self.out(piece)
                watch(piece)
                piece = os.read(fd, PIECE)
        finally:
            os.close(fd)

    def note(self, line: str) -> None:
        """One more line of the log."""
        os.write(self._log, ('lifeboat: %s\n' % line).encode('utf-8', 'replace'))

    # -- programs of the image -----------------------------------------------------------------------------------------------

    def program(self, names: Iterable[str], folders: Iterable[str] = ()) -> str:
        """The path of the first of NAMES that the image has, in FOLDERS before its PATH. Raises Refused."""
        names = list(names)
        for name in names:
            for folder in list(folders) + self.environment['PATH'].split(':') + USUAL_PATH.split(':'):
                path = os.path.join(folder, name)
                if folder.startswith('/') and os.access(path, os.X_OK) and os.path.isfile(path):
                    self._check_machine(path)
                    return path
        raise Refused('DUMP_NO_BINARY', 'the image has no %s' % ' or '.join(names))

    @staticmethod
    def _check_machine(path: str) -> None:
        with open(path, 'rb') as raw:
            head = raw.read(20)
        if head[:4] != b'\x7fELF' or len(head) < 20:
            return                      # a script: the program that it names will tell
        number = struct.unpack('>H' if head[5:6] == b'\x02' else '<H', head[18:20])[0]
        here = os.uname().machine
        if number in _RUNS and here in _ELF and here not in _RUNS[number]:
            raise Refused('DUMP_FOREIGN_ARCH', 'its programs are for another processor (%s) than this machine (%s)' % (_RUNS[number][0], here))

    def start(self, argv: List[str]) -> subprocess.Popen:
        """Start a server of the image; it is killed at the end at the latest."""
        server = self._spawn(argv, subprocess.DEVNULL, self._log)
        self._servers.append(server)
        return server

    def stop(self, server: subprocess.Popen, number: int = signal.SIGTERM) -> bool:
        """Let SERVER shut down in order -> whether it did."""
        if server.poll() is None:
            server.send_signal(number)
        try:
            return server.wait(STOP) == 0
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            return False

    def ready(self, server: subprocess.Popen, probe: Callable[[], bool]) -> None:
        """Wait until PROBE says that SERVER answers. Raises Refused when it ends before. The time limit ends everything else."""
        while not probe():
            if server.poll() is not None:
                raise Refused('DUMP_SERVER_FAILED', 'the server ended with status %d before it was ready' % server.returncode)
            time.sleep(0.1)

    def call(self, argv: List[str], data: Optional[bytes] = None) -> Tuple[int, bytes]:
        """Run a program -> (exit status, what it printed, at most MAX_SAID bytes)."""
        said = bytearray()

        def take(piece: bytes) -> None:
            if len(said) < MAX_SAID:
                said.extend(piece)
        status = self.stream(argv, take, data)
        return status, bytes(said[:MAX_SAID])

    def stream(self, argv: List[str], take: Callable[[bytes], Any], data: Optional[bytes] = None, **environment: str) -> int:
        """Run a program; TAKE gets what it prints, piece by piece -> exit status."""
        child: Any = self._spawn(argv, subprocess.DEVNULL if data is None else subprocess.PIPE, subprocess.PIPE, environment)
        try:
            if data is not None:
                _feed(child, data)
            piece = os.read(child.stdout.fileno(), PIECE)
            while piece:
                take(piece)
                piece = os.read(child.stdout.fileno(), PIECE)
            return child.wait()
        finally:
            child.stdout.close()
            if child.poll() is None:
                child.kill()
                child.wait()

    def piped(self, argv: List[str], pipe: str, take: Callable[[bytes], Any]) -> Tuple[int, bytes]:
        """Run a program that writes into the file PIPE, which is a named pipe of ours: TAKE gets it -> (exit status, what it said besides, at
        most MAX_SAID bytes)."""
        if not os.path.lexists(pipe):
            os.mkfifo(pipe, 0o600)
            os.chown(pipe, *self.owner)
        # open for writing too: it has no end before the program has one, and the program finds a reader
        fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        child: Any = self._spawn(argv, subprocess.DEVNULL, subprocess.PIPE, stderr=subprocess.STDOUT)
        said = bytearray()
        try:
            sources = [fd, child.stdout.fileno()]
            while len(sources) > 1 or select.select(sources, [], [], 0)[0]:
                for ready in select.select(sources, [], [])[0]:
                    piece = os.read(ready, PIECE)
                    if ready == fd:
                        take(piece)
                    elif not piece:
                        sources.remove(ready)
                    elif len(said) < MAX_SAID:
                        said.extend(piece)
                        os.write(self._log, piece)
            return child.wait(), bytes(said)
        finally:
            os.close(fd)
            child.stdout.close()
            if child.poll() is None:
                child.kill()
                child.wait()

    def fork(self, work: Callable[[], Any]) -> int:
        """Call WORK() of ours in a process without privileges -> its exit status: 0, or 1 if it raised."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                self._drop()
                work()
                status = 0
            except Exception as exc:    # said in the log; the caller sees the status
                self.note('%s: %s' % (type(exc).__name__, exc))
            finally:
                os._exit(status)
        return os.waitpid(child, 0)[1]

    def _spawn(self, argv: List[str], stdin: int, stdout: int, environment: Optional[Dict[str, str]] = None,
               stderr: Optional[int] = None) -> subprocess.Popen:
        # pylint: disable-next=ansible-bad-function,subprocess-popen-preexec-fn
        return subprocess.Popen(argv, env=dict(self.environment, **(environment or {})), preexec_fn=self._drop, cwd='/tmp', close_fds=True,
                                stdin=stdin, stdout=stdout, stderr=self._log if stderr is None else stderr, bufsize=0)

    def _drop(self) -> None:
        """In the child: give up every privilege, for good."""
        os.setsid()
        kernel.drop_capabilities()
        uid, gid = self.owner
        if os.geteuid() == 0:           # in a user namespace of an ordinary user nobody may, and all groups but one are nobody's
            os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        kernel.clear_capabilities()
        limits = self.limits
        for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, limits.processes), (resource.RLIMIT_FSIZE, limits.file),
                           (resource.RLIMIT_AS, limits.memory)):
            resource.setrlimit(what, (most, most))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        kernel.no_new_privileges()
        if self._filter is not None:
            kernel.filter_calls(self._filter)


def _feed(child: Any, data: bytes) -> None:
    """Write DATA to the program; it answers only afterwards, or not at all."""
    try:
        child.stdin.write(data)
    except BrokenPipeError:
        pass
    finally:
        child.stdin.close()


def _give(folder: bytes) -> None:
    """Give what root owns below FOLDER to nobody, without following links."""
    for fd, names in removal.folders(folder):
        if os.fstat(fd).st_uid == 0:
            os.chown(fd, NOBODY, os.fstat(fd).st_gid or NOBODY)
        for name in names:
            st = os.lstat(name, dir_fd=fd)
            if st.st_uid == 0:
                os.chown(name, NOBODY, st.st_gid or NOBODY, dir_fd=fd, follow_symlinks=False)
    os.chown(folder, NOBODY, NOBODY)
