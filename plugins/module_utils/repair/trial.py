"""What a real start will show: the dockerd of this machine is started on a copy of the records, asked, and ended.

It runs in mount, network and process namespaces of its own, without a network, with private sockets. The data root itself and the
machine's own containerd are covered there, everything else is read-only or thrown away. No container is started.
"""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Tuple

from ..formats import jsonish, redact, wording
from . import known
from .trialcopy import Copy
from .view import View

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot

SECONDS = 90                            # until it answers
MAX_LINES = 8                           # of its log
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
_SOCKET = 'run/lifeboat-trial.sock'
_MAX_ANSWER = 64 << 20
# $1 scratch folder, then folders that are covered. Should we be killed, the trial ends by itself;
# timeout is a child of the shell, since newer ones refuse to be process 1
_ENTER = r'''
set -e
cd "$1"; shift
mount -t proc proc /proc
mkdir etc.new etc.work
mount -t overlay trial -o "lowerdir=/etc,upperdir=$PWD/etc.new,workdir=$PWD/etc.work" /etc
for each in "$@"; do mount -t tmpfs -o ro,size=4k trial "$each"; done
mount -t tmpfs trial /run
mkdir /run/trial
mount --no-canonicalize --bind . /run/trial
mount -t tmpfs trial /tmp
mount -o remount,bind,ro / 2>/dev/null || true
cd /
timeout -s KILL 600 dockerd --config-file /run/trial/daemon.json --data-root /run/trial/root --exec-root /run/docker --pidfile /run/docker.pid \
    -H unix:///run/lifeboat-trial.sock
exit $?
'''


class Expected(object):
    """What the records say that there is: IDs of containers and images, names of volumes."""

    def __init__(self, view: View, images: Dict[str, str]) -> None:
        self.containers = {ident.decode('ascii'): str((known.config(view, ident) or {}).get('Name') or ident.decode('ascii')[:12]).lstrip('/')
                           for ident in known.containers(view)}
        self.images = images            # ID: shown name
        self.volumes = [os.fsdecode(name) for name in view.names(b'volumes') if view.is_folder(b'volumes/' + name)]


def verdict(root: 'DataRoot', view: View, beside: bytes) -> Dict[str, Any]:
    """Start an engine on a copy of what VIEW shows of ROOT (inventory.DataRoot) -> what it says, as docker_root_repair documents it.

    BESIDE: folder for the copy. `status` is complete, partial, failed or unsupported.
    """
    why = _unsupported(root, view)
    if why:
        return _result('unsupported', why)
    scratch = ''
    try:
        scratch = tempfile.mkdtemp(prefix='lifeboat-trial-', dir=os.fsdecode(beside))
        copy = os.path.join(scratch, 'root')
        os.mkdir(copy, 0o711)
        Copy(view, os.fsencode(copy)).make()
        with open(os.path.join(scratch, 'daemon.json'), 'x', encoding='ascii') as out:
            json.dump(_settings(view), out)
        covered = [os.fsdecode(root.path)] + [os.fsdecode(place) for place in view.top.containerd if place.startswith(b'/')]
        return _run(scratch, covered, Expected(view, images_of(root, view)))
    except OSError as exc:
        return _result('failed', 'no copy of the records can be made beside the root (%s); name a journal_dir with room' % exc.strerror)
    finally:
        _remove(scratch)


def _remove(scratch: str) -> None:
    """The folder goes as soon as the last process of the trial has gone."""
    for dummy in range(50):
        shutil.rmtree(scratch, ignore_errors=True)
        if not scratch or not os.path.lexists(scratch):
            return
        time.sleep(0.1)


def _unsupported(root: 'DataRoot', view: View) -> str:
    """'' or why no engine can be tried here, as a clause."""
    if os.geteuid() != 0:
        return 'starting an engine needs root'
    for program in ('dockerd', 'unshare', 'mount', 'sh', 'timeout'):
        if not shutil.which(program, path=PATH):
            return 'this machine has no %s' % program
    if root.idmap:
        return 'a root of user namespaces is not tried'
    drivers = [name for name in known.drivers_of(view) if view.names(name)]
    if any(name not in known.DRIVERS for name in drivers) or len(drivers) > 1 or drivers and known.has_snapshots(view):
        return 'it has another storage driver than overlay2, or several'
    return ''


def _settings(view: View) -> Dict[str, Any]:
    """daemon.json of the trial: no network, and the store that the records have."""
    store = known.has_snapshots(view)
    driver = next((name for name in known.drivers_of(view) if view.names(name)), b'overlay2')
    return {'iptables': False, 'ip6tables': False, 'bridge': 'none', 'ip-forward': False, 'live-restore': False,
            'features': {'containerd-snapshotter': store}, 'storage-driver': 'overlayfs' if store else os.fsdecode(driver)}


def _run(scratch: str, covered: List[str], expected: Expected) -> Dict[str, Any]:
    log = os.path.join(scratch, 'log')
    argv = ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', _ENTER, 'sh', scratch] + covered
    with open(log, 'wb') as out:
        # pylint: disable-next=ansible-bad-function
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd='/', start_new_session=True,
                                   env={'PATH': PATH, 'LC_ALL': 'C', 'HOME': '/nonexistent'})
    try:
        return _ask(process, log, expected)
    finally:
        process.kill()                  # its process namespace ends with it, and every mount
        process.wait()


def _ask(process: 'subprocess.Popen[bytes]', log: str, expected: Expected) -> Dict[str, Any]:
    """The result: what the engine tells, or why it does not."""
    address = '/proc/%d/root/%s' % (process.pid, _SOCKET)
    deadline = time.monotonic() + SECONDS
    while True:
        if process.poll() is not None:
            return _result('failed', 'dockerd ended; its last messages are in log', log=_last(log))
        try:
            version = _get(address, '/version')
            break
        except (OSError, http.client.HTTPException, ValueError):
            if time.monotonic() > deadline:
                return _result('failed', 'dockerd did not answer in %d seconds' % SECONDS, log=_last(log))
            time.sleep(0.2)
    try:
        return _compared(address, version, expected, log)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return _result('failed', 'dockerd broke off: %s' % wording.text(str(exc)), log=_last(log))


def _compared(address: str, version: Dict[str, Any], expected: Expected, log: str) -> Dict[str, Any]:
    listed = {str(row.get('Id')) for row in _rows(_get(address, '/containers/json?all=1'))}
    images = {str(row.get('Id')) for row in _rows(_get(address, '/images/json?all=1'))}
    volumes = {str(row.get('Name')) for row in _rows(_get(address, '/volumes').get('Volumes'))}
    networks = sorted(str(row.get('Name')) for row in _rows(_get(address, '/networks')))
    hidden = sorted(expected.containers[ident] for ident in set(expected.containers) - listed)
    lost = sorted(name for ident, name in expected.images.items() if ident not in images)
    gone = sorted(set(expected.volumes) - volumes)
    found = _result('partial' if hidden or lost or gone else 'complete', '', log=_last(log, True))
    found.update(version=wording.text(str(version.get('Version'))[:60]), containers=len(listed), images=len(images), volumes=len(volumes),
                 networks=_shown(networks), hidden_containers=_shown(hidden), hidden_images=_shown(lost), hidden_volumes=_shown(gone))
    return found


def _result(status: str, why: str, log: Iterable[str] = ()) -> Dict[str, Any]:
    return {'status': status, 'why': why, 'version': '', 'containers': 0, 'images': 0, 'volumes': 0, 'networks': [], 'hidden_containers': [],
            'hidden_images': [], 'hidden_volumes': [], 'log': list(log)}


def _shown(names: List[str]) -> List[str]:
    return [wording.text(name) for name in names[:200]]


def _rows(value: Any) -> List[Dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _last(path: str, bad: bool = False) -> List[str]:
    """The last lines of the log; with BAD only errors. Secrets are redacted."""
    with open(path, 'rb') as stream:
        stream.seek(max(0, os.path.getsize(path) - (64 << 10)))
        lines = [line for line in stream.read().split(b'\n') if line.strip()]
    worst = [line for line in lines if b'level=error' in line or b'level=fatal' in line or line.startswith((b'failed', b'panic', b'mount:'))]
    chosen: Tuple[bytes, ...] = tuple(worst or ([] if bad else lines))
    return [redact.text(wording.show(line[:400])) for line in chosen[-MAX_LINES:]]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        http.client.HTTPConnection.__init__(self, 'localhost', timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _get(address: str, path: str) -> Any:
    connection = _Connection(address)
    try:
        connection.request('GET', path)
        answer = connection.getresponse()
        raw = answer.read(_MAX_ANSWER + 1)
    finally:
        connection.close()
    if answer.status != 200 or len(raw) > _MAX_ANSWER:
        raise ValueError('it answers %s with %d' % (path, answer.status))
    return jsonish.loads(raw)


def images_of(root: 'DataRoot', view: View) -> Dict[str, str]:
    """{ID: shown name} of the images that the engine should list: with all their layers, as VIEW shows them."""
    found: Dict[str, str] = {}
    for name in known.drivers_of(view):
        layers = known.layers(view, name)
        images = known.images(view, name)
        for ident, top in images.top.items():
            chains = known.upwards(top, images.chains)
            if chains and all(chain in layers and known.has_content(view, name, layers[chain].cache_id) for chain in chains):
                found[ident] = ident
    if not found:                       # containerd's own store is never repaired in its parts
        for image in root.images():
            if image.status == 'complete':
                found[image.id] = image.references[0] if image.references else image.id
    return found
