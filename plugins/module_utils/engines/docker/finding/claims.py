"""What the configuration of one daemon says about its data root: flags over its daemon.json over the default."""
import os
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional

from ....formats.values import NOTHING
from ....formats.wording import show
from .daemonconf import absolute, json_root, to_bytes

if TYPE_CHECKING:
    from .homes import User
    from .scan import Scan

DEFAULT_ROOT = b'/var/lib/docker'
DEFAULT_JSON = b'/etc/docker/daemon.json'


class Claim(NamedTuple):
    """What one source says. `required`: it is a fault if there is nothing."""
    path: bytes                         # as the dead host saw it
    why: str
    flags: Dict[str, Any] = NOTHING
    settings: Dict[str, Any] = NOTHING
    uid: Optional[int] = None           # of a rootless daemon
    kind: str = 'system'                # system | rootless | snap | given | guess: its place or content, or an old configuration
    required: bool = False
    containerd: Optional[bytes] = None  # DOCKER_CONTAINERD_ROOT
    default: bool = False               # nothing names it: only the usual place


def claim_of(scan: 'Scan', flags: Dict[str, Any], where: str, env: Dict[str, str], user: 'Optional[User]' = None,
             snap: Optional[bytes] = None, required: bool = True) -> Claim:
    """The claim of one daemon: flags over its daemon.json over the default."""
    kind = 'system'
    default, why = DEFAULT_ROOT, 'default'
    config = DEFAULT_JSON
    if user is not None:
        kind = 'rootless'
        default = os.path.join(_env_path(env, 'XDG_DATA_HOME', user.home, b'.local/share'), b'docker')
        config = os.path.join(_env_path(env, 'XDG_CONFIG_HOME', user.home, b'.config'), b'docker/daemon.json')
        why = 'rootless home of %s' % show(user.name)
    elif snap is not None:
        kind, why = 'snap', 'snap'
        default, config = snap + b'/common/var-lib-docker', snap + b'/current/config/daemon.json'
    if flags.get('config-file'):
        config = absolute(flags['config-file'])
    settings, whole = scan.daemon_json(config)
    if not isinstance(settings, dict):
        settings = {}
    path, is_default = None, False
    if flags.get('data-root'):
        path, why = absolute(flags['data-root']), where
    else:
        value, key = json_root(settings)
        if value:
            path = absolute(value)
            why = 'daemon.json %s' % key
            if config != DEFAULT_JSON:
                why += ' (%s)' % show(config)
            if not whole:
                why += ', damaged file'
    if path is None:
        path, is_default = default, True
    override = env.get('DOCKER_CONTAINERD_ROOT', '')
    return Claim(path, why, flags, settings, None if user is None else user.uid, kind, required and not is_default,
                 to_bytes(override) if override.startswith('/') else None, is_default)


def _env_path(env: Dict[str, str], name: str, home: bytes, below: bytes) -> bytes:
    value = env.get(name, '')
    return to_bytes(value) if value.startswith('/') else os.path.join(home, below)
