"""Hidden, not lost: containers that the engine would not list although nothing of them is broken, and the setting that hides them."""
import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

from ..disk import metadata
from ..formats import jsonish, wording
from . import known
from .view import View

if TYPE_CHECKING:
    from ..engines.docker.inventory import DataRoot

DAEMON_JSON = b'/etc/docker/daemon.json'
CONTAINERD_STORE = frozenset((b'overlayfs', b'native', b'stargz', b'soci', b'nydus'))
NO_PRUNE = 'Run no prune of any kind before: it would delete their images and volumes.'


class Hidden(NamedTuple):
    """`containers`: how many are hidden. `setting` is what to set, as one would write it in daemon.json."""
    containers: int
    what: str
    setting: str
    why: str
    warning: str = NO_PRUNE


def hidden(root: 'DataRoot', view: View) -> List[Hidden]:
    """What the settings on the disk hide of ROOT (inventory.DataRoot)."""
    by_driver: Dict[bytes, int] = {}
    for ident in known.containers(view):
        config = known.config(view, ident)
        name = wording.raw(config['Driver']) if config is not None and isinstance(config.get('Driver'), str) else b''
        if name:
            by_driver[name] = by_driver.get(name, 0) + 1
    settings = _settings(root)
    active, why = _active(settings, by_driver)
    found = []
    for name, count in sorted(by_driver.items()):
        if name != active:
            shown = wording.show(name)
            setting = '"features": {"containerd-snapshotter": true}' if name in CONTAINERD_STORE else \
                '"storage-driver": "%s"%s' % (shown, ', and "containerd-snapshotter": false in "features"' if active in CONTAINERD_STORE else '')
            found.append(Hidden(count, 'containers of %s' % shown, setting, why))
    return _other_root(root) + found + _elsewhere(root)


def _settings(root: 'DataRoot') -> Dict[str, Any]:
    return dict(root.candidate.daemon_json, **root.candidate.flags)


def _active(settings: Dict[str, Any], by_driver: Dict[bytes, int]) -> Tuple[bytes, str]:
    """(driver or snapshotter that the daemon will use, why). The majority where no setting says it."""
    features = settings.get('features')
    snapshotter = features.get('containerd-snapshotter') if isinstance(features, dict) else None
    if snapshotter is True:             # Docker 20.10 knows no such feature, and ignores it
        return b'overlayfs', 'containerd-snapshotter is on'
    named = metadata.text_of(settings, 'storage-driver')
    if named:
        return wording.raw(named), 'storage-driver is %s' % wording.text(named)
    if snapshotter is False:
        by_driver = {name: count for name, count in by_driver.items() if name not in CONTAINERD_STORE}
        if not by_driver:
            return b'overlay2', 'containerd-snapshotter is off'
    if not by_driver:
        return b'', ''
    most = max(sorted(by_driver), key=lambda name: by_driver[name])
    return most, 'most containers are of %s, and no setting names another driver' % wording.show(most)


def _other_root(root: 'DataRoot') -> List[Hidden]:
    """A data-root in daemon.json that is not this one: the engine does not look here at all."""
    named = next((name for name in (metadata.text_of(_of_file(root), key) for key in ('data-root', 'graph')) if name), None)
    count = root.candidate.containers
    if not named or not count or root.candidate.flags.get('data-root'):
        return []
    base = root.candidate.base or root.path
    try:
        if root.host.resolve(wording.raw(named)) == base:
            return []
    except (OSError, ValueError):
        pass                            # it is not there: dockerd makes an empty one
    shown = wording.text(b'/' + os.path.relpath(base, root.host.path))
    return [Hidden(count, 'containers of %s' % shown, '"data-root": "%s"' % shown, 'data-root is %s' % wording.text(named))]


def _of_file(root: 'DataRoot') -> Dict[str, Any]:
    """The object in daemon.json, {} where there is none that can be read."""
    try:
        value = jsonish.loads(root.host.read(DAEMON_JSON, 1 << 20))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _elsewhere(root: 'DataRoot') -> List[Hidden]:
    """A userns-remap that was switched: the same data root with and without its nested folder."""
    base = root.candidate.base or root.path
    remap = bool(metadata.text_of(_settings(root), 'userns-remap'))
    nested = root.path != base
    count = root.candidate.containers
    if count and nested and not remap and root.candidate.daemon_json:
        return [Hidden(count, 'containers of the user namespace %s' % os.path.basename(root.path).decode('ascii', 'backslashreplace'),
                       '"userns-remap": "default"', 'userns-remap is off')]
    if count and remap and not nested:
        return [Hidden(count, 'containers without a user namespace', 'no "userns-remap"', 'userns-remap is on')]
    return []


def daemon_json(root: 'DataRoot') -> List[str]:
    """What is wrong with daemon.json, as clauses with line and column. It is never changed."""
    try:
        raw = root.host.read(DAEMON_JSON, 1 << 20)
    except OSError:
        return []
    try:
        value = jsonish.loads(raw)
    except jsonish.JsonError as exc:
        return ['%s: %s%s' % (DAEMON_JSON.decode(), exc, _place(raw, exc))]
    if raw.startswith(b'\xef\xbb\xbf'):
        return ['%s: begins with a byte order mark (line 1, column 1); older dockerds do not start with it' % DAEMON_JSON.decode()]
    if not isinstance(value, dict):
        return ['%s: not a JSON object' % DAEMON_JSON.decode()]
    found = []
    if 'graph' in value:
        found.append('%s: "graph" is an old name; dockerd 23 and later do not start with it. Write "data-root"' % DAEMON_JSON.decode())
    for key in sorted(set(value) & set(root.candidate.flags)):
        found.append('%s: "%s" is given as a flag too; dockerd does not start' % (DAEMON_JSON.decode(), wording.text(key)))
    return found


def _place(raw: bytes, exc: jsonish.JsonError) -> str:
    if exc.offset is None or 'line' in str(exc):
        return ''
    before = raw[:exc.offset]
    return ' (line %d, column %d)' % (before.count(b'\n') + 1, len(before) - before.rfind(b'\n'))
