"""A rescue that runs on the node by itself, in a session of its own, and is watched through its spool.

:func:`start` is called by the module and returns at once. The process it leaves behind ends when everything was
fetched, when the controller says so (`stop`), or when no step came for a while; however it ends, the spool goes with it.
"""
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..archive import removal
from ..archive.progress import Progress
from ..disk.errors import LifeboatError
from ..transport import channel, spool

if TYPE_CHECKING:
    from ..transport.remote import RemoteStore

PACKAGE = 'ansible_collections.lifeboat.docker.plugins.module_utils.'
_TICK = 0.25
_FIRST = 60                             # seconds a controller has for its first step
_RUN = 'import sys; sys.path.insert(0, sys.argv[1]); from %s import %s as it; it.main(sys.argv[2:])'


def command(module: str) -> str:
    """What `python -c` runs for a file of module_utils (room.name); arguments: the library, then the file's own."""
    room, dummy, name = module.rpartition('.')
    return _RUN % (PACKAGE + room, name)


# -- starting ------------------------------------------------------------------------------------------------------------------


def start(params: Dict[str, Any], delivery: Dict[str, Any], check_mode: bool) -> Optional[Dict[str, Any]]:
    """Leave a process behind that works on PARAMS -> what the controller needs to talk to it: `place`, the index of a folder in
    the controller's own list, and `name`, of the spool in there.

    DELIVERY: `uid` (who logs in), `key` (what the run is for), `folder`, `free`, `where`: see action plugin and remote.py;
    `folder` None: bundles go to this machine's dest, and all of this is for progress only: then None where it cannot be had;
    `places`: folders that may hold the spool, in the order of preference; `avoid`: those of them that the connection could
    not fetch from. Raises LifeboatError.
    """
    try:
        return _start(params, delivery, check_mode)
    except LifeboatError:
        if delivery['folder'] is None:
            return None
        raise


def _start(params: Dict[str, Any], delivery: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    own = os.geteuid()
    if delivery['uid'] != own and own != 0:
        raise LifeboatError(
            'store_on: controller cannot hand files of user %d to user %d who logs in. Become root, or log in as the user '
            'who may read the data root and set become: false.' % (own, delivery['uid']))
    size = params['spool_size']
    if size < spool.MIN_SIZE:
        raise LifeboatError('The option spool_size must be at least %d (2 MiB).' % spool.MIN_SIZE)
    try:
        places, avoid = delivery['places'], delivery.get('avoid') or ()
        base, budget = spool.place(places, size, avoid)
        spool.clean_stale(places, delivery['key'])
        # what may be there was removed: look again
        base, budget = spool.place(places, size, avoid)
        folder = tempfile.mkdtemp(prefix=spool.PREFIX, dir=base)
    except spool.SpoolError as exc:
        raise LifeboatError('%s.' % exc)
    except OSError as exc:
        raise LifeboatError('No spool can be made in %s: %s. Name another folder with spool_dir.' % (
            base, exc.strerror))
    try:
        _launch(folder, budget, params, delivery, check_mode)
        return {'place': places.index(base), 'name': os.path.basename(folder)}
    except BaseException:
        removal.discard(folder)
        raise


def _launch(folder: str, budget: int, params: Dict[str, Any], delivery: Dict[str, Any], check_mode: bool) -> None:
    lock = os.open(os.path.join(folder, spool.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if delivery['uid'] != os.geteuid():
            os.chmod(folder, 0o711)     # he may open what he was given, and list nothing
        library = _library(folder)
        _write_step(folder, library)
        with open(os.path.join(folder, 'key'), 'w') as target:
            target.write(delivery['key'])
        open(os.path.join(folder, spool.HEARTBEAT), 'w').close()
        probe = os.path.basename(folder)
        spool.make_files(folder, delivery['uid'], probe.encode())
        spool.note(folder, 'spec', {'params': params, 'delivery': delivery, 'check_mode': check_mode, 'budget': budget,
                                    'lock': lock})
        with open(os.path.join(folder, spool.SAID), 'wb') as said:
            subprocess.Popen(  # pylint: disable=ansible-bad-function
                [sys.executable, '-E', '-s', '-c', command('rescue.sender'), library, folder], cwd='/', stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said, pass_fds=(lock,), start_new_session=True)
    finally:
        os.close(lock)                  # the process that was started holds it on


def _write_step(folder: str, library: str) -> None:
    """The shell script that the controller calls for each step: which Python and which code stays the business of this machine."""
    words = [sys.executable, '-E', '-s', '-c', command('transport.spool'), library, folder]
    with open(os.path.join(folder, spool.STEP), 'w') as target:
        target.write('exec %s "$1"\n' % ' '.join(map(shlex.quote, words)))


def _library(folder: str) -> str:
    """A place that the code can be imported from after this module has ended."""
    archive = getattr(globals().get('__loader__'), 'archive', None)
    if archive:
        target = os.path.join(folder, 'lib.zip')
        shutil.copyfile(archive, target)
        return target
    here = os.path.abspath(globals().get('__file__') or '')
    if not os.path.isfile(here):
        raise LifeboatError('Progress and store_on: controller do not work with this strategy plugin. Use the linear '
                            'or the free strategy of Ansible.')
    for dummy in range(7):              # rescue, module_utils, plugins, docker, lifeboat, ansible_collections
        here = os.path.dirname(here)
    return here


# -- running -------------------------------------------------------------------------------------------------------------------


class _Module(object):
    """What module.run() needs of an AnsibleModule."""
    _verbosity = 0

    def __init__(self, params: Dict[str, Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self.said: Optional[Dict[str, Any]] = None

    def exit_json(self, **result: Any) -> None:
        self.said = {'op': 'end', 'result': result}

    def fail_json(self, **result: Any) -> None:
        result.pop('exception', None)
        self.said = {'op': 'end', 'error': result}


class _Watch(object):
    """Ends this process, its children and the spool when the controller is gone. A thread."""

    def __init__(self, folder: str, writer: spool.Writer, progress: Progress, patience: float) -> None:
        self._folder = folder
        self._writer = writer
        self._progress = progress
        self._patience = patience
        self.store: Optional[RemoteStore] = None
        self._beat: Optional[int] = None
        threading.Thread(target=self._run, name='lifeboat-watch', daemon=True).start()

    def _run(self) -> None:
        since, told = time.monotonic(), 0.0
        limit = min(_FIRST, self._patience)
        while True:
            now = time.monotonic()
            try:
                beat = os.stat(os.path.join(self._folder, spool.HEARTBEAT)).st_mtime_ns
            except OSError:
                vanish(self._folder)    # somebody removed the spool
            if self._beat is None:
                self._beat = beat
            elif beat != self._beat:
                self._beat, since, limit = beat, now, self._patience
            if now - since > limit or os.path.exists(os.path.join(self._folder, channel.STOP)):
                vanish(self._folder)
            if now - told >= 1.0:
                told = now
                self._tell()
            time.sleep(_TICK)

    def _tell(self) -> None:
        try:
            spool.note(self._folder, spool.STATE, self._progress.snapshot())
            if self.store is not None:
                failed = spool.noted(self._folder, spool.FAILED)
                if isinstance(failed, dict):
                    self.store.failed.update(failed)
        except OSError:                 # no room for a line of text: not worth ending a rescue
            pass


def vanish(folder: str) -> None:
    """Remove the spool and end this process and its children, at once.

    A child of its own session removes it when this process is gone: until then another thread may write the next chunk, for which each
    that is removed makes room. It inherits the lock, so whoever looks sees that somebody is still at work.
    """
    own = os.getpid()
    ready, begun = os.pipe()
    try:
        child = os.fork()
    except OSError:                     # no process to be had
        removal.discard(folder)
        child = -1
    if child == 0:
        try:
            os.setsid()
            os.write(begun, b'.')
            until = time.monotonic() + 10
            while os.getppid() == own and time.monotonic() < until:
                time.sleep(0.01)
            removal.discard(folder)
        finally:
            os._exit(0)                 # pylint: disable=protected-access
    if child > 0:
        os.close(begun)
        os.read(ready, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(argv: List[str]) -> None:
    folder = argv[0]
    spec = spool.noted(folder, 'spec')
    os.unlink(os.path.join(folder, 'spec'))
    os.umask(0o077)
    for name in (signal.SIGHUP, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    os.set_inheritable(spec['lock'], False)
    writer = spool.Writer(folder, spec['budget'], spec['delivery']['uid'])
    progress = Progress()
    watch = _Watch(folder, writer, progress, spec['delivery'].get('patience') or 300)
    said = _work(spec, folder, writer, progress, watch)
    if said is not None:
        writer.message(said)
    writer.flush()
    try:
        spool.note(folder, spool.OVER, True)
    except OSError:                     # no room: the controller waits a little longer
        pass
    while not writer.drained():
        time.sleep(_TICK)
    # until the controller says stop, so that its last step finds somebody; the watch ends it
    while True:
        time.sleep(_TICK)


def _work(spec: Dict[str, Any], folder: str, writer: spool.Writer, progress: Progress, watch: _Watch) -> Optional[Dict[str, Any]]:
    from .. import module as shared
    from ..engines import registry
    from ..transport import remote
    from . import ioclass, run
    params, delivery = spec['params'], spec['delivery']
    ioclass.apply(params['io_class'])

    def work(module: Any) -> Dict[str, Any]:
        request = run.request_of(params, module.check_mode)
        store = None
        if delivery['folder'] is not None:
            store = remote.RemoteStore(
                writer, os.fsencode(delivery['folder']), delivery['free'], delivery['where'],
                lambda number: remote.wait_for(lambda: spool.take_reply(folder, number), lambda: None))
            request = request._replace(inside=store.lies_inside)
            watch.store = store
        with registry.host_of(params) as host:
            return run.rescue(host, request, store, progress)

    module = _Module(params, spec['check_mode'])
    try:
        shared.run(module, work)
    except Exception as exc:            # pylint: disable=broad-except
        import traceback
        traceback.print_exc()           # into `said`
        module.fail_json(msg='The rescue broke: %s: %s.' % (type(exc).__name__, str(exc).rstrip('.')))
    return module.said
