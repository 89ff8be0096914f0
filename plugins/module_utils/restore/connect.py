"""The engine that a restore speaks with: where it listens, and whether it is of the kind that was asked for."""
import os
from typing import TYPE_CHECKING

from ..disk.errors import LifeboatError
from . import engineapi

if TYPE_CHECKING:
    from .plan import Options

AUTO, DOCKER, PODMAN = 'auto', 'docker', 'podman'
ROOT_SOCKET = 'unix:///run/podman/podman.sock'


def podman_socket() -> str:
    """Where the Podman of this user listens by default, as podman-system-service(1) says."""
    if os.geteuid() == 0:
        return ROOT_SOCKET
    return 'unix://%s/podman/podman.sock' % (os.environ.get('XDG_RUNTIME_DIR') or '/run/user/%d' % os.geteuid())


def connected(options: 'Options') -> engineapi.Engine:
    """The Engine of OPTIONS, connected. LifeboatError where it does not answer, or is another kind of engine than options.engine says."""
    docker_host = options.docker_host
    if options.engine == PODMAN and docker_host in ('', engineapi.DEFAULT_HOST):
        docker_host = podman_socket()
    try:
        engine = engineapi.engine(docker_host, options.use_tls, options.tls, options.timeout)
    except engineapi.EngineError as exc:
        if options.engine != PODMAN or exc.status:
            raise
        raise LifeboatError('%s Podman has no daemon: its socket is that of the unit podman.socket (systemctl enable --now podman.socket, '
                            'for a user systemctl --user enable --now podman.socket).' % exc)
    if options.engine in (DOCKER, PODMAN) and engine.podman != (options.engine == PODMAN):
        raise LifeboatError('The engine at %s is %s, and engine: %s was asked for. Set docker_host.' % (
            engine.docker_host, 'Podman' if engine.podman else 'not Podman', options.engine))
    return engine
